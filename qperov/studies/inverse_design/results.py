"""What an inverse design gave: trained generators, their samples, and what these turned into when relaxed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pymatgen.core import Structure

from qperov.generative.bench.comparison import BenchReport

#: Kind of sample that no model made.
BASELINE = "baseline"


@dataclass(frozen=True)
class Target:
    """The property, and the value that is wanted of it.

    Attributes
    ----------
    dataset, name, unit : str
        Of the property; no unit is "".
    value, tolerance : float
        The property wanted, and how near to it is near enough.
    threshold : float
        Crystals with this property or less count as stable.
    """

    dataset: str
    name: str
    unit: str
    value: float
    tolerance: float
    threshold: float

    def with_unit(self, number: float, digits: int = 3) -> str:
        """A number of the property as a sentence has it."""
        return f"{short_number(number, digits)} {self.unit}".rstrip()

    @property
    def axis(self) -> str:
        """The property with its unit, as an axis has it."""
        return f"{self.name}, {self.unit}" if self.unit else self.name


@dataclass(frozen=True, eq=False)
class TrainedGenerator:
    """A trained generator, as a report needs it.

    Attributes
    ----------
    history : mapping of str to list of float
        Losses of each epoch; ``loss`` and ``validation_loss`` are shown.
    seconds : float
        Training alone; NaN where it is not known.
    reconstruction : DataFrame
        Of ``reconstruction_errors`` on the held-out crystals.
    predicted : ndarray, shape (m,), or None
        By the property head, of the held-out crystals.
    points : ndarray, shape (n, 2)
        Training crystals on a map of the latent space.
    """

    history: Mapping[str, Sequence[float]]
    seconds: float
    reconstruction: pd.DataFrame
    predicted: np.ndarray | None
    points: np.ndarray


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Crystals of compositions that no model was trained on.

    Attributes
    ----------
    y, groups : ndarray, shape (m,)
        Labels; equal groups are drawn together in the bootstrap.
    n_train : int
        Crystals trained on.
    one_for_all : DataFrame
        Errors of a constant reconstruction: the training crystal of median volume in place of every crystal.
    predictions : dict of str to ndarray, shape (m,)
        By whatever is no generator; the first of them by the mean of the training labels.
    """

    y: np.ndarray
    groups: np.ndarray
    n_train: int
    one_for_all: pd.DataFrame
    predictions: Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Sample:
    """What one method drew from one model, or a baseline made.

    Attributes
    ----------
    model, method : str
        Of a baseline, "baseline" and its name.
    crystals : tuple of Structure or None
        After post-processing.
    properties : ndarray, shape (n,)
        The property as an independent regressor predicts it; NaN where it is not known.
    merged : int
        Crystals in which sites were merged; 0 where nothing was post-processed.
    like_standards : int
        Crystals that resemble one of TL-VAE's three standards.
    """

    model: str
    method: str
    crystals: tuple[Structure | None, ...]
    properties: np.ndarray
    merged: int = 0
    like_standards: int = 0

    @property
    def name(self) -> str:
        """What the bench calls it."""
        return self.method if self.model == BASELINE else f"{self.model} · {self.method}"


@dataclass(frozen=True, eq=False)
class RelaxedCrystals:
    """Generated crystals after relaxation.

    Attributes
    ----------
    table : DataFrame
        One row a crystal: ``sample``, ``index`` (in the sample), ``converged``, ``rmsd`` (Å), ``volume_change`` (share)
        and ``property`` (the property; NaN where it has none).
    provenance : str
        Potential and protocol.
    """

    table: pd.DataFrame
    provenance: str


@dataclass(frozen=True, eq=False)
class Generation:
    """All that was sampled.

    Attributes
    ----------
    samples : tuple of Sample
        Those of models first.
    bench : BenchReport
    labels : ndarray, shape (n,)
        Of the training crystals.
    held_out_formulas : frozenset of str
        Reduced formulas that no model has seen.
    judge, judge_mae : str, float
        What predicts the obtained property, and its mean absolute error on held-out crystals.
    relaxed : RelaxedCrystals, optional
    notes : tuple of str
        Further sentences on how it was sampled.
    """

    samples: tuple[Sample, ...]
    bench: BenchReport
    labels: np.ndarray
    held_out_formulas: frozenset[str]
    judge: str
    judge_mae: float
    relaxed: RelaxedCrystals | None = None
    notes: tuple[str, ...] = ()

    def passing(self, sample: Sample) -> np.ndarray:
        """Which crystals of a sample are valid, unique and novel, shape (n,)."""
        return self.bench.reports[sample.name].per_structure["valid_unique_novel"].to_numpy(dtype=bool)


def short_number(number: float, digits: int = 3) -> str:
    """A number with so many significant digits and a true minus sign."""
    return f"{number:.{digits}g}".replace("-", "−") if np.isfinite(number) else "–"
