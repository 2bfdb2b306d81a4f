"""What the inverse design does with a trained generator: samples, the bench, relaxation, files."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Structure
from sklearn.pipeline import Pipeline
from tlvae_standards import resembles_standard

import qperov
from qperov.crystals.energies import formation_energies
from qperov.datasets.store import Store
from qperov.errors import CalculationInputError
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


class Told:
    """Progress as lines, one in so many seconds and the last."""

    def __init__(self, what: str, every: float = 20.0) -> None:
        self.what, self.every, self.last = what, every, time.monotonic()

    def __call__(self, done: int, total: int, detail: object = "") -> None:
        if done < total and time.monotonic() < self.last + self.every:
            return
        self.last = time.monotonic()
        if isinstance(detail, Mapping):
            detail = ", ".join(f"{name} {detail[name]:.4g}" for name in ("loss", "validation_loss") if name in detail)
        print(f"{self.what}: {done} of {total} {detail}".rstrip(), flush=True)


# --- samples ------------------------------------------------------------------------------------


def sampled(name: str, model: GenerativeModel, target: float, count: int, seed: int) -> list[Sample]:
    """Post-processed crystals of one model, as many in every way."""
    samples = []
    for k, (method, own) in enumerate(METHODS.items()):
        wanted = target if method in TARGETED else None
        drawn = model.sample(count, random_state=seed + k, method=own, target=wanted)
        tidied = [None if crystal is None else tidy(crystal) for crystal in drawn]
        merged = sum(a is not None and len(a) < len(b) for a, b in zip(tidied, drawn, strict=True))
        alike = sum(crystal is not None and resembles_standard(crystal) for crystal in tidied)
        print(f"{name}, {method}: {sum(crystal is not None for crystal in tidied)} of {len(tidied)} decoded")
        samples.append(Sample(name, method, tuple(tidied), np.full(len(tidied), np.nan), merged, alike))
    return samples


def baselines(structures: Sequence[Structure], count: int, seed: int) -> list[Sample]:
    """What the bench compares with, drawn here so that the obtained property is known of these, too."""
    unknown = np.full(count, np.nan)
    made = {
        PERTURBATION: random_perturbations(structures, count, random_state=seed),
        SUBSTITUTION: ionic_substitutions(structures, count, random_state=seed),
    }
    return [Sample(BASELINE, name, tuple(crystals), unknown) for name, crystals in made.items()]


def judged(
    samples: Sequence[Sample], structures: Sequence[Structure], *, dissimilarity: bool, jobs: int
) -> BenchReport:
    """All samples on the bench, the training crystals as reference."""
    perovskites = all(structure.composition.anonymized_formula == "ABC3" for structure in structures)
    return compare_samples(
        {sample.name: sample.crystals for sample in samples},
        structures,
        perovskite=perovskites,
        dissimilarity=dissimilarity,
        n_jobs=jobs,
        progress=Told("bench"),
    )


def with_property(sample: Sample, report: BenchReport, judge: Pipeline) -> Sample:
    """The sample with the predicted property of its valid crystals."""
    rows = np.flatnonzero(report.reports[sample.name].per_structure["valid"].to_numpy(dtype=bool))
    obtained = np.full(len(sample.crystals), np.nan)
    if len(rows):
        obtained[rows] = judge.predict([sample.crystals[row] for row in rows])
    return replace(sample, properties=obtained)


# --- relaxation ---------------------------------------------------------------------------------


def relaxed(
    generation: Generation,
    store: Path,
    *,
    most: int,
    elements: Mapping[str, float],
    protocol: Protocol = PROTOCOL,
    potential: object = None,
    jobs: int = 1,
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
    jobs : int

    Raises
    ------
    MissingDependencyError
        CHGNet is not installed.
    """
    chosen = {
        f"{sample.name}#{row}": (sample, int(row))
        for sample in generation.samples
        for row in np.flatnonzero(generation.passing(sample))[:most]
    }
    before = qperov.datasets.CrystalDataset(
        "generated",
        tuple(s.crystals[row] for s, row in chosen.values()),
        tuple(chosen),
        known_groups=range(len(chosen)),
    )
    before = replace(before, name=f"generated-{before.fingerprint[:12]}")
    if not chosen:
        columns = ["sample", "index", "converged", "rmsd", "volume_change", "property"]
        return RelaxedCrystals(pd.DataFrame(columns=columns), protocol.describe())
    with Store(store) as file:
        file.add(before)
    told = Told("relaxation")
    report = label_dataset(
        store,
        before.name,
        protocol,
        potential=potential,
        n_jobs=jobs,
        batch=BATCH,
        progress=lambda done, total, what: told(done, len(before)),
    )
    ended: dict[str, tuple[Structure, float]] = {}
    if report.counts.converged:
        after = relaxed_dataset(store, before.name, report)
        energies = energies_of(after, elements).tolist()
        ended = dict(zip(after.ids, zip(after.structures, energies, strict=True), strict=True))
    rows = []
    for entry, (sample, row) in chosen.items():
        found = ended.get(entry)
        motion = None if found is None else displacement(sample.crystals[row], found[0])
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


def energies_of(dataset: qperov.datasets.CrystalDataset, elements: Mapping[str, float]) -> np.ndarray:
    """Formation energies in eV/atom; NaN where the reference of an element is not known."""
    known = [all(each.symbol in elements for each in structure.composition) for structure in dataset.structures]
    energies = np.full(len(dataset), np.nan)
    rows = np.flatnonzero(known)
    if len(rows):
        energies[rows] = formation_energies([dataset.structures[row] for row in rows], dataset.y[rows], elements)
    return energies


# --- files --------------------------------------------------------------------------------------


def write_samples(generation: Generation, folder: Path, preset: str) -> None:
    """Valid, unique and novel crystals of each model and method as CIF, POSCAR and DFT inputs."""
    for sample in generation.samples:
        if sample.model == BASELINE or not generation.passing(sample).any():
            continue
        name = re.sub(r"[^a-z0-9]+", "-", sample.name.lower())
        given = {"report": generation.bench.reports[sample.name], "criterion": "valid_unique_novel", "prefix": name}
        try:
            write_generated(sample.crystals, folder / name, preset=preset, **given)
        except CalculationInputError as error:
            print(f"{sample.name}: no DFT inputs, {error}")
            write_generated(sample.crystals, folder / name, **given)
