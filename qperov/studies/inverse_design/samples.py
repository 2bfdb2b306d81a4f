"""Samples of trained generators and baselines: drawn, judged, relaxed and written."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Structure
from sklearn.pipeline import Pipeline

from qperov.crystals.energies import formation_energies
from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.store import Store
from qperov.errors import CalculationInputError
from qperov.evaluation.progress import Progress
from qperov.generative.bench.comparison import PERTURBATION, SUBSTITUTION, BenchReport, compare_samples
from qperov.generative.bench.judgement import displacement
from qperov.generative.bench.proposals import ionic_substitutions, random_perturbations
from qperov.generative.imatgen.postprocessing import tidy
from qperov.generative.models.base import GenerativeModel
from qperov.generative.writing import write_generated
from qperov.potentials.label_factory import label_dataset, relaxed_dataset
from qperov.potentials.protocols import Protocol
from qperov.studies.inverse_design.nearness import TARGETED
from qperov.studies.inverse_design.results import BASELINE, Generation, RelaxedCrystals, Sample
from qperov.studies.inverse_design.standards import resembles_standard

#: What the report calls a way of sampling → the model's own name for it.
METHODS = {
    "prior": "prior",
    "posterior": "posterior",
    "local": "local",
    "slerp": "slerp",
    "search": "target",
}
NOTES = (
    "each way of sampling drew the same number of crystals: “prior” from N(0, I), where the training codes need not "
    "lie; “posterior” from a Gaussian fitted to them; “local” adds noise to the codes of the ten training crystals "
    "nearest to the target; “slerp” takes points on the arcs between these; “search” starts there and looks for codes "
    "of which the model's own head predicts the target.",
    "post-processing merged atoms of one element closer than 0.7 of twice their covalent radius; “merged” counts "
    "crystals in which that happened (iMatGen's decoder does it itself), “like a standard” those whose atoms lie as in "
    "one of TL-VAE's three perovskites, “held-out formulas” the formulas of valid crystals that are among the "
    "compositions held out.",
)
#: How crystals are relaxed, and how many side by side.
PROTOCOL, BATCH = Protocol(fmax=0.05, steps=300), 8


# --- samples ------------------------------------------------------------------------------------


def draw_samples(name: str, model: GenerativeModel, target: float, count: int, random_state: int) -> list[Sample]:
    """Post-processed crystals of one model, as many in every way."""
    samples = []
    for k, (method, own) in enumerate(METHODS.items()):
        wanted = target if method in TARGETED else None
        drawn = model.sample(count, random_state=random_state + k, method=own, target=wanted)
        tidied = [None if crystal is None else tidy(crystal) for crystal in drawn]
        pairs = zip(tidied, drawn, strict=True)
        merged = sum(a is not None and b is not None and len(a) < len(b) for a, b in pairs)
        alike = sum(crystal is not None and resembles_standard(crystal) for crystal in tidied)
        samples.append(Sample(name, method, tuple(tidied), np.full(len(tidied), np.nan), merged, alike))
    return samples


def draw_baselines(structures: Sequence[Structure], count: int, random_state: int) -> list[Sample]:
    """What the bench compares with, drawn here so that the obtained property is known of these, too."""
    unknown = np.full(count, np.nan)
    drawn = {
        PERTURBATION: random_perturbations(structures, count, random_state=random_state),
        SUBSTITUTION: ionic_substitutions(structures, count, random_state=random_state),
    }
    return [Sample(BASELINE, name, tuple(crystals), unknown) for name, crystals in drawn.items()]


def judge_samples(
    samples: Sequence[Sample],
    structures: Sequence[Structure],
    *,
    dissimilarity: bool,
    n_jobs: int,
    progress: Progress | None = None,
) -> BenchReport:
    """All samples on the bench, the training crystals as reference."""
    perovskites = all(structure.composition.anonymized_formula == "ABC3" for structure in structures)
    return compare_samples(
        {sample.name: sample.crystals for sample in samples},
        structures,
        perovskite=perovskites,
        dissimilarity=dissimilarity,
        n_jobs=n_jobs,
        progress=progress,
    )


def add_property(sample: Sample, report: BenchReport, judge: Pipeline) -> Sample:
    """The sample with the predicted property of its valid crystals."""
    rows = np.flatnonzero(report.reports[sample.name].per_structure["valid"].to_numpy(dtype=bool))
    properties = np.full(len(sample.crystals), np.nan)
    if len(rows):
        properties[rows] = judge.predict([sample.crystals[row] for row in rows])
    return replace(sample, properties=properties)


# --- relaxation ---------------------------------------------------------------------------------


def relax_samples(
    generation: Generation,
    store: Path,
    *,
    most: int,
    elements: Mapping[str, float],
    protocol: Protocol = PROTOCOL,
    potential: object = None,
    n_jobs: int = 1,
    progress: Progress | None = None,
) -> RelaxedCrystals:
    """Valid, unique and novel crystals relaxed, as many of each sample; what was done before is taken from the store.

    Parameters
    ----------
    generation : Generation
    store : Path
    most : int
        Of each sample.
    elements : mapping of str to float
        What formation energies refer to, eV per atom, by the same potential; empty where there are none.
    protocol : Protocol
    potential : str, Potential or ase Calculator, optional
        Instead of the protocol's.
    n_jobs : int
    progress : Progress, optional

    Raises
    ------
    MissingDependencyError
        CHGNet is not installed.
    """
    chosen = {
        f"{sample.name}#{row}": (sample, int(row), crystal)
        for sample in generation.samples
        for row in np.flatnonzero(generation.passing(sample))[:most]
        if (crystal := sample.crystals[row]) is not None
    }
    crystals = tuple(crystal for _, _, crystal in chosen.values())
    before = CrystalDataset("generated", crystals, tuple(chosen), known_groups=np.arange(len(chosen)))
    before = replace(before, name=f"generated-{before.fingerprint[:12]}")
    if not chosen:
        columns = ["sample", "index", "converged", "rmsd", "volume_change", "property"]
        return RelaxedCrystals(pd.DataFrame(columns=columns), protocol.describe())
    with Store(store) as file:
        file.add(before)
    report = label_dataset(
        store, before.name, protocol, potential=potential, n_jobs=n_jobs, batch=BATCH, progress=progress
    )
    ended: dict[str, tuple[Structure, float]] = {}
    if report.counts.converged:
        after = relaxed_dataset(store, before.name, report)
        energies = energies_of(after, elements).tolist()
        ended = dict(zip(after.ids, zip(after.structures, energies, strict=True), strict=True))
    rows = []
    for entry, (sample, row, crystal) in chosen.items():
        found = ended.get(entry)
        motion = None if found is None else displacement(crystal, found[0])
        rows.append(
            {
                "sample": sample.name,
                "index": row,
                "converged": found is not None,
                "rmsd": np.nan if motion is None else motion.rmsd,
                "volume_change": np.nan if motion is None else motion.volume_change,
                "property": np.nan if found is None else found[1],
            }
        )
    return RelaxedCrystals(pd.DataFrame(rows), report.provenance)


def energies_of(dataset: CrystalDataset, elements: Mapping[str, float]) -> np.ndarray:
    """Formation energies in eV/atom; NaN where the reference of an element is not known."""
    known = [all(each.symbol in elements for each in structure.composition) for structure in dataset.structures]
    energies = np.full(len(dataset), np.nan)
    rows = np.flatnonzero(known)
    if len(rows) and dataset.y is not None:
        energies[rows] = formation_energies([dataset.structures[row] for row in rows], dataset.y[rows], elements)
    return energies


# --- files --------------------------------------------------------------------------------------


def write_samples(generation: Generation, folder: Path, preset: str) -> None:
    """Valid, unique and novel crystals of each model and method as CIF, POSCAR and DFT inputs."""
    for sample in generation.samples:
        if sample.model == BASELINE or not generation.passing(sample).any():
            continue
        name = re.sub(r"[^a-z0-9]+", "-", sample.name.lower())
        given: dict[str, Any] = {
            "report": generation.bench.reports[sample.name],
            "criterion": "valid_unique_novel",
            "prefix": name,
        }
        try:
            write_generated(sample.crystals, folder / name, preset=preset, **given)
        except CalculationInputError as error:
            warnings.warn(f"{sample.name}: no DFT inputs were written, {error}", stacklevel=2)
            write_generated(sample.crystals, folder / name, **given)
