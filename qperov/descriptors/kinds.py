"""The kinds of feature that PXRDFeaturizer offers, one small class each: learn columns, then fill them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from pymatgen.core import Structure

from qperov.crystals.cluster_expansion import cluster_orbits, correlation_functions, spins_of
from qperov.crystals.parent_lattice import ParentLattice, parent_lattices, symmetry_operations
from qperov.descriptors.matrices import difference_gram, mean_pattern, peak_keys, qsvr_vector
from qperov.descriptors.pxrd import Pattern, powder_patterns
from qperov.descriptors.reflections import (
    TWO_THETA_STEP,
    Reflections,
    g_limits,
    reflections,
    squared_structure_factors,
)
from qperov.descriptors.rounding import rounded
from qperov.errors import DescriptorError

#: More merged peaks than this, per peak of one pattern, means that the crystals do not share peak positions.
MOST_COLUMNS_PER_PEAK = 20
#: Intensity of the strongest peak of a pattern.
STRONGEST = 100.0


@dataclass(frozen=True)
class Radiation:
    """Settings of the diffraction experiment."""

    wavelength: str | float
    two_theta_range: tuple[float, float]

    def patterns(self, structures: Sequence[Structure]) -> list[Pattern]:
        return powder_patterns(structures, wavelength=self.wavelength, two_theta_range=self.two_theta_range)

    @property
    def g_range(self) -> tuple[float, float]:
        return g_limits(self.wavelength, self.two_theta_range)


class Kind(Protocol):
    """Columns learnt from the crystals given to ``fit`` (labels are never seen), filled for any crystals later.

    Values are rounded by a scale fixed in ``fit``: a crystal's features do not depend on which others are transformed
    with it.
    """

    names: list[str]

    def values(self, structures: Sequence[Structure]) -> np.ndarray: ...


class MergedPeaks:
    """Intensity at every merged 2θ key that occurs: columns ``I(2θ)``.

    A peak that none of the crystals given to ``fit`` shows has no column, and is left out later.
    """

    def __init__(self, structures: Sequence[Structure], radiation: Radiation) -> None:
        self._radiation = radiation
        patterns = radiation.patterns(structures)
        self._keys = np.unique(np.concatenate([peak_keys(p) for p in patterns]))
        if len(self._keys) > MOST_COLUMNS_PER_PEAK * np.median([len(p) for p in patterns]):
            raise DescriptorError(
                f"{len(self._keys)} different peak positions: these crystals do not share a lattice, so merged peaks "
                'say little. Use PXRDFeaturizer(kind="profile").'
            )
        self.names = [f"I({key * TWO_THETA_STEP:.5f}°)" for key in self._keys]

    def values(self, structures: Sequence[Structure]) -> np.ndarray:
        values = np.zeros((len(structures), len(self._keys)))
        for i, pattern in enumerate(self._radiation.patterns(structures)):
            keys = peak_keys(pattern)
            column = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
            known = self._keys[column] == keys
            if pattern.intensity[~known].sum() > pattern.intensity[known].sum():
                raise DescriptorError(
                    f"structure {i}: most of its intensity lies where no crystal given to fit has a peak, so it has "
                    'another lattice. Use PXRDFeaturizer(kind="profile").'
                )
            values[i, column[known]] = rounded(pattern.intensity[known], scale=STRONGEST)
        return values


class Profile:
    """Peaks broadened by a Gaussian of given full width at half maximum on a 2θ grid: columns ``profile(2θ)``.

    A measured pattern looks like this, and crystals of different lattices can be compared by it. Intensities are
    rounded before they are broadened: rounding afterwards would spoil the tails, which a scaler raises to the size of
    the peaks.
    """

    def __init__(self, radiation: Radiation, width: float, step: float) -> None:
        if not (width > 0 and step > 0):
            raise ValueError(f"width and step of a profile must be positive, in degrees, not {width} and {step}")
        self._radiation = radiation
        self._sigma = width / np.sqrt(8 * np.log(2))
        decimals = max(2, -int(np.floor(np.log10(step))))
        self._grid = np.arange(radiation.two_theta_range[0], radiation.two_theta_range[1] + step / 2, step)
        self.names = [f"profile({angle:.{decimals}f}°)" for angle in self._grid]

    def values(self, structures: Sequence[Structure]) -> np.ndarray:
        values = np.zeros((len(structures), len(self._grid)))
        for row, pattern in zip(values, self._radiation.patterns(structures), strict=True):
            offset = (self._grid[:, None] - pattern.two_theta[None, :]) / self._sigma
            row[:] = np.exp(-0.5 * offset**2) @ rounded(pattern.intensity, scale=STRONGEST)
        return values


class StructureFactors:
    """⟨|F(hkl)|²⟩ over the hkl that the lattice's point symmetry makes equivalent: columns ``|F(h k l)|²``.

    A powder pattern adds up all hkl of one |g|; these features keep apart those that no symmetry of the lattice
    connects, and still do not depend on which equivalent image of a crystal was written down.
    """

    def __init__(self, structures: Sequence[Structure], radiation: Radiation) -> None:
        self._radiation = radiation
        self._lattice = structures[0].lattice.matrix
        self._check(structures)
        points = reflections(self._lattice, radiation.g_range)
        if not len(points.g):
            raise DescriptorError("no reflection of this lattice lies in the range of 2θ; widen two_theta_range")
        self._family, families = _hkl_families(points, self._lattice)
        self.names = [f"|F({h} {k} {ell})|²" for h, k, ell in families]
        # no |F| exceeds the number of electrons in the cell
        self._scale = float(max(s.composition.total_electrons for s in structures)) ** 2

    def _check(self, structures: Sequence[Structure]) -> None:
        for i, structure in enumerate(structures):
            if not np.allclose(structure.lattice.matrix, self._lattice, atol=1e-6):
                raise DescriptorError(
                    f"structure {i} has another cell than the first one used in fit: hkl-resolved structure factors "
                    'compare crystals of one lattice. Use PXRDFeaturizer(kind="profile").'
                )

    def values(self, structures: Sequence[Structure]) -> np.ndarray:
        self._check(structures)
        counts = np.bincount(self._family)
        values = np.empty((len(structures), len(counts)))
        for _, rows, squares in squared_structure_factors(
            [Structure(self._lattice, s.species_and_occu, s.frac_coords) for s in structures], self._radiation.g_range
        ):
            order = np.argsort(self._family, kind="stable")
            starts = np.cumsum(counts) - counts
            values[rows] = np.add.reduceat(squares[:, order], starts, axis=1) / counts
        return rounded(values, scale=self._scale)


def _hkl_families(points: Reflections, lattice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Family number of each reflection, and one hkl a family, under the point group of the lattice."""
    rotations = np.unique(symmetry_operations(lattice, np.zeros((1, 3)), [1])[0], axis=0)
    hkl = points.hkl
    span = 2 * np.abs(hkl).max() + 1
    weights = np.array([span**2, span, 1])
    # least code of all images, -h included, names the family
    codes = np.min([sign * (hkl @ rotation) @ weights for rotation in rotations for sign in (1, -1)], axis=0)
    _, first, family = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return np.argsort(order)[family], hkl[first[order]]


class DifferencePeaks:
    """The papers' vectors of differences against a reference pattern: ``difference_gram`` and ``qsvr``."""

    def __init__(
        self, structures: Sequence[Structure], radiation: Radiation, reference: Structure | None, kind: str
    ) -> None:
        self._radiation = radiation
        self._function = difference_gram if kind == "difference_gram" else qsvr_vector
        patterns = radiation.patterns(structures)
        self._reference = mean_pattern(patterns if reference is None else radiation.patterns([reference]))
        values = [self._function(pattern, self._reference) for pattern in patterns]
        self.names = [f"{kind}[{i}]" for i in range(values[0].size)]
        self._scale = float(max(np.abs(value).max() for value in values))

    def values(self, structures: Sequence[Structure]) -> np.ndarray:
        patterns = self._radiation.patterns(structures)
        values = [self._function(pattern, self._reference).ravel() for pattern in patterns]
        return rounded(np.array(values).reshape(len(values), len(self.names)), scale=self._scale)


class Correlations:
    """Correlation functions of a decorated lattice up to ``max_order`` sites a cluster: columns ``Φ(i j …)``.

    Points are among them where the crystals differ in composition; where they do not, pairs tell as much.
    """

    def __init__(self, structures: Sequence[Structure], max_order: int) -> None:
        if max_order < 2:
            raise ValueError(f"max_order must be at least 2 (pairs), not {max_order}")
        lattices = parent_lattices(structures)
        if len(lattices) != 1:
            raise DescriptorError(
                f"the crystals lie on {len(lattices)} different lattices; correlation functions need a common one. "
                'Use PXRDFeaturizer(kind="profile").'
            )
        self._parent: ParentLattice = lattices[0][0]
        spins = spins_of(lattices[0][2])
        if not self._parent.sites:
            raise DescriptorError("no site changes its species between these crystals: there is nothing to correlate")
        many = {choice for choice in self._parent.choices if len(choice) > 2}
        if many:
            raise DescriptorError(
                f"correlation functions are given for two species a sublattice, not {sorted(many)[0]}"
            )
        least_order = 1 if np.ptp(spins.sum(axis=1)) > 0 else 2
        self._orbits = [
            orbit
            for order in range(least_order, max_order + 1)
            for orbit in cluster_orbits(self._parent.permutations, order)
        ]
        self.names = ["Φ(" + " ".join(str(site) for site in orbit[0]) + ")" for orbit in self._orbits]

    def values(self, structures: Sequence[Structure]) -> np.ndarray:
        return rounded(correlation_functions(spins_of(self._parent.occupations(structures)), self._orbits), scale=1.0)
