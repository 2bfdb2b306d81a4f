"""Powder diffraction patterns, equal to those of pymatgen's XRDCalculator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from pymatgen.analysis.diffraction.core import get_unique_families
from pymatgen.core import Structure

from qperov.descriptors.reflections import (
    TWO_THETA_STEP,
    g_limits,
    squared_structure_factors,
    wavelength_in_angstrom,
)
from qperov.errors import DescriptorError

#: Peaks below this share of the strongest one (which counts 100) are dropped (pymatgen's SCALED_INTENSITY_TOL).
LEAST_INTENSITY = 1e-3
#: |F|² (in electrons²) up to this size is rounding noise of an extinct reflection.
LEAST_SQUARED_FACTOR = 1e-10


@dataclass(frozen=True, eq=False)
class Pattern:
    """A powder pattern: merged peaks in order of 2θ.

    Attributes
    ----------
    two_theta : ndarray, shape (n_peaks,)
        Degrees.
    intensity : ndarray, shape (n_peaks,)
        The strongest peak is 100.
    d_spacing : ndarray, shape (n_peaks,)
        Å.
    """

    two_theta: np.ndarray
    intensity: np.ndarray
    d_spacing: np.ndarray
    _members: Sequence[np.ndarray] = field(repr=False)
    _hexagonal: bool = field(repr=False)

    @cached_property
    def hkl(self) -> list[list[dict[str, Any]]]:
        """Families of each peak as pymatgen gives them: ``[{"hkl": (h, k, l), "multiplicity": m}, …]``."""
        return [self._families(members) for members in self._members]

    def _families(self, members: np.ndarray) -> list[dict[str, Any]]:
        indices = [tuple(int(i) for i in sign * row) for row in members for sign in (1, -1)]
        if self._hexagonal:
            indices = [(h, k, -h - k, ell) for h, k, ell in indices]
        return [{"hkl": hkl, "multiplicity": many} for hkl, many in get_unique_families(indices).items()]

    def __len__(self) -> int:
        return len(self.two_theta)


def powder_patterns(
    structures: Sequence[Structure],
    *,
    wavelength: str | float = "CuKa",
    two_theta_range: tuple[float, float] = (0, 90),
    debye_waller: Mapping[str, float] | None = None,
) -> list[Pattern]:
    """Powder patterns of many crystals at once.

    I(hkl) = |F(hkl)|² (1 + cos² 2θ) / (sin² θ cos θ), summed over all reflections whose 2θ agree to 1e-5°, peaks
    below 1e-3 of 100 dropped, the strongest scaled to 100. Crystals with one lattice share its reflections and,
    where their sites coincide, its phases.

    Parameters
    ----------
    structures : sequence of Structure
        Any mixture of lattices; partial occupancies are welcome.
    wavelength : str or float
        A radiation known to pymatgen, or Å.
    two_theta_range : (float, float)
        Degrees, within 0 … 180.
    debye_waller : mapping of str to float, optional
        Element → B in Å², for exp(−B s²).

    Returns
    -------
    list of Pattern

    Raises
    ------
    ValueError
        On an unknown radiation or an impossible range.
    DescriptorError
        If a structure has no peak in the range, or an element has no scattering factor.

    References
    ----------
    V. Pecharsky and P. Zavalij, Fundamentals of Powder Diffraction, Springer (2009).
    """
    radiation, g_range = wavelength_in_angstrom(wavelength), g_limits(wavelength, two_theta_range)
    patterns: list[Pattern | None] = [None] * len(structures)
    for points, rows, squares in squared_structure_factors(structures, g_range, debye_waller):
        dark = rows[squares.max(axis=1, initial=0.0) <= LEAST_SQUARED_FACTOR]
        if len(dark):
            low, high = two_theta_range
            raise DescriptorError(f"structure {dark[0]}: no reflection between {low}° and {high}° at {radiation} Å")
        angles = points.two_theta(radiation)
        keys = np.round(angles / TWO_THETA_STEP).astype(np.int64)
        starts = np.flatnonzero(np.diff(keys, prepend=keys[0] - 1))
        theta = np.radians(angles / 2)
        lorentz_polarisation = (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
        merged = np.add.reduceat(squares * lorentz_polarisation, starts, axis=1)
        scaled = 100 * merged / merged.max(axis=1, keepdims=True)
        members = np.split(points.hkl, starts[1:])
        hexagonal = structures[rows[0]].lattice.is_hexagonal()
        for row, intensity in zip(rows, scaled, strict=True):
            kept = np.flatnonzero(intensity > LEAST_INTENSITY)
            patterns[row] = Pattern(
                angles[starts[kept]], intensity[kept], 1 / points.g[starts[kept]], [members[i] for i in kept], hexagonal
            )
    return [pattern for pattern in patterns if pattern is not None]
