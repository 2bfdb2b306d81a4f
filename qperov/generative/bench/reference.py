"""Known crystals, prepared once to judge generated ones against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from qperov.errors import EmptyDatasetError
from qperov.evaluation.progress import Progress
from qperov.generative.bench.dissimilarity import distinct_fingerprints, fingerprints
from qperov.generative.bench.novelty import by_formula


@dataclass(frozen=True)
class ReferenceCrystals:
    """Known crystals, prepared for comparison.

    Attributes
    ----------
    structures : tuple of Structure
    formulas : dict of str to list of int
        Indices by reduced formula.
    fingerprints : ndarray, shape (n, 4, m), or None
        The different ones; None where none were asked for, or none could be had.
    without : int
        Crystals that have no fingerprint.
    """

    structures: tuple[Structure, ...]
    formulas: Mapping[str, Sequence[int]]
    fingerprints: np.ndarray | None
    without: int


def prepare_reference(
    reference: Sequence[Structure],
    *,
    dissimilarity: bool = True,
    n_jobs: int | None = None,
    progress: Progress | None = None,
) -> ReferenceCrystals:
    """Formulas and fingerprints of known crystals, to judge several models against them.

    Raises
    ------
    EmptyDatasetError
        If there is none.
    """
    if not len(reference):
        raise EmptyDatasetError("there is no reference to compare generated crystals with")
    if not dissimilarity:
        return ReferenceCrystals(tuple(reference), by_formula(reference), None, 0)
    found = fingerprints(reference, n_jobs, progress, "fingerprints of the reference")
    without = sum(isinstance(own, str) for own in found)
    distinct = distinct_fingerprints(found) if without < len(found) else None
    return ReferenceCrystals(tuple(reference), by_formula(reference), distinct, without)
