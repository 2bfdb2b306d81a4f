"""Structure factors resolved by the sites of a perovskite: what diffraction that tells A, B and X apart would know.

Resonant scattering at the absorption edges of the elements, or neutrons on isotopes, can do that in part; a powder
pattern gives the sum of all columns of one shell.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement, product
from typing import Any, Self

import numpy as np
from pymatgen.core import Structure
from sklearn.base import BaseEstimator, TransformerMixin

from qperov.descriptors.matminer import TableFeaturizing
from qperov.descriptors.perovskite_sites import ordered_axes, perovskite_roles
from qperov.diffraction.scattering import form_factors, phases
from qperov.errors import DescriptorError

#: The kinds of site, and which of the five sites (A, B, X, X, X) each has.
KINDS = {"A": slice(0, 1), "B": slice(1, 2), "X": slice(2, 5)}
PAIRS = tuple(combinations_with_replacement(KINDS, 2))


class SiteStructureFactors(TableFeaturizing, TransformerMixin, BaseEstimator):
    r"""Partial intensities of ABX₃ cells of five atoms by pairs of kinds of site, and cell edges: 39 with six shells.

    :math:`I_{rs}(n) = \langle \mathrm{Re}\, F_r(hkl) F_s^*(hkl) \rangle` over the hkl with h² + k² + l² = n, in
    electrons², with :math:`F_r = \sum_{j \in r} f_j(|g|/2) \exp(2\pi i\, h \cdot x_j)` over the sites of kind r of A,
    B and X. The intensity of all is :math:`\langle |F|^2 \rangle = \sum_r I_{rr} + 2 \sum_{r<s} I_{rs}`. The edges (Å)
    are in the order of `SiteFeatures`. Nothing is learnt.

    Parameters
    ----------
    shells : int
        n = 1 … shells.
    """

    def __init__(self, shells: int = 6) -> None:
        self.shells = shells

    @property
    def description(self) -> str:
        """What reports call the features."""
        return "site-resolved structure factors"

    @property
    def n_features(self) -> int:
        """Columns."""
        return len(self.feature_labels())

    def fit(self, X: Sequence[Structure], y: Any = None) -> Self:
        """Nothing is learnt; ValueError without shells."""
        self.feature_labels()
        return self

    def transform(self, X: Sequence[Structure]) -> np.ndarray:
        """Features, shape (n_crystals, 6 n_shells + 3).

        Raises
        ------
        DescriptorError
            A cell has not five sites, or an element no scattering factor.
        """
        return self.feature_rows(X)

    def feature_rows(self, entries: Sequence[Structure]) -> np.ndarray:
        """As :meth:`transform`."""
        labels = self.feature_labels()
        hkl, shell = _points(self._shells())
        rows = []
        for number, structure in enumerate(entries):
            try:
                rows.append(self._row(structure, hkl, shell))
            except DescriptorError as error:
                raise DescriptorError(f"structure {number}: {error}") from error
        return np.array(rows).reshape(-1, len(labels))

    def feature_labels(self) -> list[str]:
        """A name for each column; ValueError without shells."""
        partial = [f"I({r}{s}), h²+k²+l² = {n}" for n in self._shells() for r, s in PAIRS]
        return [*partial, *(f"edge along B–X{i} (Å)" for i in (1, 2, 3))]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Column names, shape (n_features,)."""
        return np.array(self.feature_labels(), dtype=object)

    def _shells(self) -> list[int]:
        """Sums of three squares up to the last shell."""
        if self.shells < 1:
            raise ValueError(f"shells must be at least 1, not {self.shells}")
        return sorted({h * h + k * k + m * m for h, k, m in _box(self.shells)} & set(range(1, self.shells + 1)))

    def _row(self, structure: Structure, hkl: np.ndarray, shell: np.ndarray) -> np.ndarray:
        roles = perovskite_roles(structure)
        g = np.linalg.norm(hkl @ np.linalg.inv(structure.lattice.matrix).T, axis=1)
        waves = phases(hkl, structure.frac_coords[roles]).T
        waves = waves * form_factors([structure[int(site)].specie.symbol for site in roles], g)
        amplitudes = {kind: waves[sites].sum(axis=0) for kind, sites in KINDS.items()}
        products = np.array([(amplitudes[r] * amplitudes[s].conj()).real for r, s in PAIRS])
        means = [products[:, shell == n].mean(axis=1) for n in self._shells()]
        return np.concatenate([*means, np.array(structure.lattice.abc)[ordered_axes(structure, roles)]])


def _points(shells: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The hkl of the shells, one of each Friedel pair, and h² + k² + l² of each."""
    half = np.array([point for point in _box(max(shells)) if point > (0, 0, 0)])
    squares = (half**2).sum(axis=1)
    kept = np.isin(squares, shells)
    return half[kept], squares[kept]


def _box(largest: int) -> list[tuple[int, int, int]]:
    reach = range(-int(np.sqrt(largest)), int(np.sqrt(largest)) + 1)
    return list(product(reach, reach, reach))
