"""Settings of an inverse design, and the crystals that it learns from and is measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pymatgen.core import Lattice, Structure
from sklearn.model_selection import GroupShuffleSplit

from qperov.datasets.dataset import CrystalDataset
from qperov.errors import EmptyDatasetError, MissingLabelError, ReadingError, RepresentationError
from qperov.evaluation.splits import merge_groups
from qperov.generative.models.base import GenerativeModel
from qperov.studies.inverse_design.results import Target

#: Fewer formulas than this are no ground to hold some out.
FEWEST_FORMULAS = 10
#: Crystals whose fit into a representation is tried at once.
CHUNK = 64
#: TL-VAE's threshold of stability and the default target, for formation energies in eV/atom; how near counts.
STABLE, TARGET, NEAR = -1.5, -2.0, 0.1


@dataclass(frozen=True)
class Task:
    """Settings of an inverse design.

    Attributes
    ----------
    out : Path
        Folder of models, relaxations and runs.
    models : tuple of str
        Of "ftcp", "tlvae", "imatgen".
    mode : {"repaired", "published"}
        Of the models.
    quick : bool
        Small networks, few epochs: to see that everything works.
    target, tolerance, threshold : float or None
        Property asked for, how near counts, and property up to which a crystal counts as stable. By default −2, 0.1 and
        −1.5 for formation energies in eV/atom; otherwise the lowest decile of the labels, a tenth of their standard
        deviation, and their median.
    count : int
        Crystals sampled of each model in each way, and of each baseline.
    test_size : float
        Share of the formulas held out.
    folds : int
        Of the comparison of regressors.
    most : int or None
        Crystals taken of the data, drawn at random.
    dissimilarity : bool
        Compare surroundings of sites with the training crystals': the longest part of the bench.
    relax : bool
        Relax valid, unique and novel crystals by CHGNet.
    most_relaxed : int
        Of each sample.
    dft : str
        Preset of the DFT inputs.
    n_jobs : int
        Processes of the bench, the comparison and the relaxations.
    device : str
        Of the networks, as in PyTorch.
    random_state : int
    """

    out: Path = Path("qperov-runs/design")
    models: tuple[str, ...] = ("ftcp", "tlvae", "imatgen")
    mode: str = "repaired"
    quick: bool = False
    target: float | None = None
    tolerance: float | None = None
    threshold: float | None = None
    count: int = 200
    test_size: float = 0.2
    folds: int = 5
    most: int | None = None
    dissimilarity: bool = True
    relax: bool = False
    most_relaxed: int = 50
    dft: str = "tl-vae"
    n_jobs: int = 1
    device: str = "cpu"
    random_state: int = 0


@dataclass(frozen=True, eq=False)
class Split:
    """Crystals to train on and crystals held out, each with labels and independent groups."""

    training: CrystalDataset
    training_labels: np.ndarray
    training_groups: np.ndarray
    held: CrystalDataset
    held_labels: np.ndarray
    held_groups: np.ndarray


def prepare(task: Task, dataset: CrystalDataset) -> CrystalDataset:
    """Labelled crystals with right-handed cells, at most as many as wanted.

    Raises
    ------
    MissingLabelError
        There are no labels.
    """
    if dataset.y is None:
        raise MissingLabelError(dataset.name, "generators need a property to be asked for; name a target")
    if task.most is not None and task.most < len(dataset):
        rows = np.random.default_rng(task.random_state).choice(len(dataset), task.most, replace=False)
        dataset = dataset.take(np.sort(rows))
    return replace(dataset, structures=tuple(turn_right_handed(structure) for structure in dataset.structures))


def turn_right_handed(structure: Structure) -> Structure:
    """The same crystal, all three axes turned round if they are left-handed: so representations give it back."""
    if np.linalg.det(structure.lattice.matrix) > 0:
        return structure
    return Structure(Lattice(-structure.lattice.matrix), structure.species_and_occu, -structure.frac_coords)


def keep_representable(dataset: CrystalDataset, models: Mapping[str, GenerativeModel]) -> CrystalDataset:
    """Crystals that fit into the representations of all models; the others are its issues."""
    reasons: dict[int, str] = {}
    for name, model in models.items():
        for start in range(0, len(dataset), CHUNK):
            try:
                (model.representation or model._default_representation()).encode(
                    dataset.structures[start : start + CHUNK]
                )
            except RepresentationError as error:
                reasons |= {start + row: f"does not fit {name}: {reason}" for row, reason in error.reasons.items()}
    kept = [row for row in range(len(dataset)) if row not in reasons]
    issues = tuple(ReadingError(dataset.ids[row], reason) for row, reason in sorted(reasons.items()))
    return replace(dataset.take(kept), issues=(*dataset.issues, *issues)) if issues else dataset


def split(task: Task, dataset: CrystalDataset) -> Split:
    """Crystals to train on and crystals held out: no formula and no symmetry class is on both sides.

    Raises
    ------
    EmptyDatasetError
        Too few formulas.
    """
    formulas = np.unique(formulas_of(dataset.structures), return_inverse=True)[1]
    groups = merge_groups(np.asarray(dataset.groups), formulas)
    if (many := len(np.unique(groups))) < FEWEST_FORMULAS:
        raise EmptyDatasetError(f"{dataset.name}: {many} formulas, and {FEWEST_FORMULAS} are needed to hold some out")
    splitter = GroupShuffleSplit(1, test_size=task.test_size, random_state=task.random_state)
    train, held = next(splitter.split(groups, groups=groups))
    labels = np.asarray(dataset.y, dtype=float)
    return Split(dataset.take(train), labels[train], groups[train], dataset.take(held), labels[held], groups[held])


def formulas_of(structures: Sequence[Structure]) -> list[str]:
    """Reduced formulas."""
    return [structure.composition.reduced_formula for structure in structures]


def target_of(task: Task, dataset: CrystalDataset, labels: np.ndarray) -> Target:
    """Property and value wanted, from the settings or by default."""
    energy = dataset.unit == "eV/atom" and "formation" in (dataset.target or "")
    defaults = (TARGET, NEAR, STABLE)
    if not energy:
        defaults = (float(np.quantile(labels, 0.1)), float(labels.std() / 10), float(np.median(labels)))
    given = (task.target, task.tolerance, task.threshold)
    value, tolerance, threshold = (d if g is None else g for g, d in zip(given, defaults, strict=True))
    name = (dataset.target or "property").replace("_", " ")
    return Target(dataset.name, name, dataset.unit or "", value, tolerance, threshold)
