"""What a crystal is made of and how densely, as numbers for regressors that share nothing with a generator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Self

import numpy as np
from ase.data import covalent_radii
from pymatgen.core import Element, Structure
from sklearn.base import BaseEstimator, TransformerMixin

from qperov.errors import DescriptorError
from qperov.generative.representations.element_properties import ELEMENTS, THERMOCHEMICAL_PROPERTIES

#: Statistics of each property of the elements, weighted by their shares of the atoms.
STATISTICS = ("mean", "standard deviation", "minimum", "maximum")
GEOMETRY = (
    "logarithm of the volume an atom (Å³)",
    "covalent spheres' share of the volume",
    "least nearest-neighbour distance (Å)",
    "mean nearest-neighbour distance (Å)",
    "greatest nearest-neighbour distance (Å)",
    "least nearest-neighbour distance over the sum of covalent radii",
    "mean nearest-neighbour distance over the sum of covalent radii",
    "logarithm of the longest edge over the shortest",
    "mean deviation of the angles from 90°",
)


class CrystalFeatures(TransformerMixin, BaseEstimator):
    """Statistics of the elements' properties, and measures of the geometry.

    Of 13 properties (group, period, electronegativity, radii, …) mean, standard deviation, minimum and maximum over the
    atoms; with ``geometry``, nine numbers that say how dense the crystal is and how its cell is shaped. A property that
    is not tabulated for an element is taken to be the median of all elements. Nothing is learnt.

    Parameters
    ----------
    geometry : bool
        False: crystals of one formula are equal.
    """

    def __init__(self, geometry: bool = False) -> None:
        self.geometry = geometry

    @property
    def description(self) -> str:
        """What reports call the features."""
        return "composition and geometry" if self.geometry else "composition"

    def feature_labels(self) -> list[str]:
        """A name for each column."""
        names = [f"{known.name}: {statistic}" for statistic in STATISTICS for known in THERMOCHEMICAL_PROPERTIES]
        return [*names, *GEOMETRY] if self.geometry else names

    def fit(self, structures: Sequence[Structure], y: Any = None) -> Self:
        """Nothing is learnt."""
        return self

    def transform(self, structures: Sequence[Structure]) -> np.ndarray:
        """Features, shape (n, 52) or (n, 61).

        Raises
        ------
        DescriptorError
            A crystal has no sites, sites that are shared, an element beyond Lr, or no volume.
        """
        return np.array([self._row(structure) for structure in structures]).reshape(-1, len(self.feature_labels()))

    def _row(self, structure: Structure) -> np.ndarray:
        if not len(structure) or not structure.is_ordered:
            raise DescriptorError(
                f"{structure.formula or 'a crystal without sites'}: sites must be there, each of one element"
            )
        symbols = [site.specie.symbol for site in structure]
        if unknown := sorted(set(symbols).difference(ELEMENTS)):
            raise DescriptorError(f"{', '.join(unknown)}: not among H to Lr, whose properties are tabulated")
        places = np.array([ELEMENTS.index(symbol) for symbol in symbols])
        values = property_values()[places]
        row = [values.mean(axis=0), values.std(axis=0), values.min(axis=0), values.max(axis=0)]
        return np.concatenate([*row, _geometry(structure, covalent_radii[places + 1])] if self.geometry else row)


@cache
def property_values() -> np.ndarray:
    """Properties of all elements, shape (103, 13), read-only."""
    known = np.array(
        [[tabulated.value(Element(symbol)) for tabulated in THERMOCHEMICAL_PROPERTIES] for symbol in ELEMENTS], float
    )
    values = np.where(np.isnan(known), np.nanmedian(known, axis=0), known)
    values.flags.writeable = False
    return values


def _geometry(structure: Structure, radii: np.ndarray) -> np.ndarray:
    lattice = structure.lattice
    if not lattice.volume > 0:
        raise DescriptorError(f"{structure.formula}: the cell has no volume")
    apart = np.array(structure.distance_matrix)
    # an atom's own images are neighbours too
    np.fill_diagonal(apart, min(lattice.get_lll_reduced_lattice().abc))
    ratios = apart / (radii[:, None] + radii[None])
    nearest, share = apart.min(axis=1), ratios.min(axis=1)
    return np.array(
        [
            np.log(lattice.volume / len(structure)),
            4 / 3 * np.pi * (radii**3).sum() / lattice.volume,
            nearest.min(),
            nearest.mean(),
            nearest.max(),
            share.min(),
            share.mean(),
            np.log(max(lattice.abc) / min(lattice.abc)),
            np.abs(np.array(lattice.angles) - 90).mean(),
        ]
    )
