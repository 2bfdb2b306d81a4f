"""Reflections of a lattice and squared structure factors of the crystals on it, in batches.

F(hkl) = Σ_e f_e(s) Σ_{j in e} o_j exp(2πi h·r_j), with s = |g|/2 and
f_e(s) = Z − 41.78214 s² Σ_k a_k exp(−b_k s²), times exp(−B_e s²) where a Debye–Waller factor is given. Coefficients
and conventions are pymatgen's (`XRDCalculator`, https://pymatgen.org); no anomalous dispersion.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.analysis.diffraction.xrd import ATOMIC_SCATTERING_PARAMS, WAVELENGTHS
from pymatgen.core import Element, Structure

from qperov.errors import DescriptorError

#: Two reflections whose 2θ agree to this many degrees are one peak (pymatgen's TWO_THETA_TOL).
TWO_THETA_STEP = 1e-5
#: Entries of the largest array held at once (reflections × structures, or reflections × sites).
BLOCK_ENTRIES = 4_000_000


def wavelength_in_angstrom(wavelength: str | float) -> float:
    """The wavelength in Å of a named radiation (``"CuKa"``: 1.54184 Å), or the number itself.

    Raises
    ------
    ValueError
        If the name is unknown or the number is not positive.
    """
    if isinstance(wavelength, str):
        if wavelength not in WAVELENGTHS:
            raise ValueError(
                f"unknown radiation {wavelength!r}; known: {', '.join(sorted(WAVELENGTHS))}, or a number in Å"
            )
        return float(WAVELENGTHS[wavelength])
    if not wavelength > 0:
        raise ValueError(f"the wavelength must be positive, in Å, not {wavelength}")
    return float(wavelength)


def g_limits(wavelength: str | float, two_theta_range: tuple[float, float]) -> tuple[float, float]:
    """|g| = 2 sin θ / λ in Å⁻¹ at both ends of a range of 2θ in degrees.

    Raises
    ------
    ValueError
        On an unknown radiation or an impossible range.
    """
    radiation = wavelength_in_angstrom(wavelength)
    low, high = two_theta_range
    if not 0 <= low < high <= 180:
        raise ValueError(f"two_theta_range must be 0 ≤ low < high ≤ 180 degrees, not {two_theta_range}")
    return 2 * float(np.sin(np.radians(low / 2))) / radiation, 2 * float(np.sin(np.radians(high / 2))) / radiation


@dataclass(frozen=True, eq=False)
class Reflections:
    """One Friedel half of the reciprocal points of a lattice, sorted by |g|, then −h, −k, −l.

    Attributes
    ----------
    hkl : ndarray of int, shape (n, 3)
    g : ndarray, shape (n,)
        |g| = 1/d in Å⁻¹.
    """

    hkl: np.ndarray
    g: np.ndarray

    def two_theta(self, wavelength: float) -> np.ndarray:
        """2θ = 2 arcsin(λ|g|/2) in degrees, shape (n,)."""
        return np.degrees(2 * np.arcsin(np.clip(wavelength * self.g / 2, -1, 1)))


def reflections(lattice_matrix: np.ndarray, g_range: tuple[float, float]) -> Reflections:
    """Reciprocal points g = h a* + k b* + l c* with g_range[0] ≤ |g| ≤ g_range[1], without g = 0.

    Parameters
    ----------
    lattice_matrix : ndarray, shape (3, 3)
        Rows a, b, c in Å.
    g_range : (float, float)
        In Å⁻¹.
    """
    reciprocal = np.linalg.inv(lattice_matrix).T
    # h = g·a, so |h| ≤ |g||a|
    bound = np.floor(g_range[1] * np.linalg.norm(lattice_matrix, axis=1) + 1e-8).astype(int)
    h, k, ell = (np.arange(-b, b + 1) for b in bound)
    grid = np.stack(np.meshgrid(h[bound[0] :], k, ell, indexing="ij"), axis=-1).reshape(-1, 3)
    half = (grid[:, 0] > 0) | ((grid[:, 0] == 0) & ((grid[:, 1] > 0) | ((grid[:, 1] == 0) & (grid[:, 2] > 0))))
    grid = grid[half]
    g = np.sqrt(((grid @ reciprocal) ** 2).sum(axis=1))
    inside = (g <= g_range[1] + 1e-8) & (g >= g_range[0])
    grid, g = grid[inside], g[inside]
    order = np.lexsort((-grid[:, 2], -grid[:, 1], -grid[:, 0], g))
    return Reflections(grid[order], g[order])


def form_factors(symbols: Sequence[str], g: np.ndarray, debye_waller: Mapping[str, float] | None = None) -> np.ndarray:
    """Atomic form factors f_e(s), shape (n_elements, n_reflections).

    Raises
    ------
    DescriptorError
        If an element has no tabulated scattering factor.
    """
    s2 = (g / 2) ** 2
    values = np.empty((len(symbols), len(g)))
    for row, symbol in enumerate(symbols):
        if symbol not in ATOMIC_SCATTERING_PARAMS:
            raise DescriptorError(f"no X-ray scattering factor is tabulated for {symbol}")
        a, b = np.array(ATOMIC_SCATTERING_PARAMS[symbol]).T
        values[row] = Element(symbol).Z - 41.78214 * s2 * (a * np.exp(-b * s2[:, None])).sum(axis=1)
        if debye_waller and debye_waller.get(symbol):
            values[row] *= np.exp(-debye_waller[symbol] * s2)
    return values


def squared_structure_factors(
    structures: Sequence[Structure],
    g_range: tuple[float, float],
    debye_waller: Mapping[str, float] | None = None,
) -> Iterator[tuple[Reflections, np.ndarray, np.ndarray]]:
    """|F(hkl)|² of many crystals; those on one lattice share its reflections, and its phases where sites coincide.

    Yields
    ------
    (Reflections, rows, squares)
        Blocks: ``rows`` are indices into ``structures``, ``squares`` has shape (len(rows), n_reflections).

    Raises
    ------
    DescriptorError
        If a structure has no sites, or an element no scattering factor.
    """
    by_lattice: dict[bytes, list[int]] = {}
    for row, structure in enumerate(structures):
        if not len(structure):
            raise DescriptorError(f"structure {row} has no sites, so nothing scatters")
        by_lattice.setdefault(structure.lattice.matrix.tobytes(), []).append(row)
    for rows in by_lattice.values():
        points = reflections(structures[rows[0]].lattice.matrix, g_range)
        per_block = max(1, BLOCK_ENTRIES // max(1, len(points.g)))
        for start in range(0, len(rows), per_block):
            block = rows[start : start + per_block]
            yield points, np.array(block), _block_squares(points, [structures[row] for row in block], debye_waller)


def _block_squares(
    points: Reflections, structures: Sequence[Structure], debye_waller: Mapping[str, float] | None
) -> np.ndarray:
    """|F|² of crystals on one lattice, shape (n_structures, n_reflections)."""
    sites = np.unique(np.concatenate([s.frac_coords for s in structures]), axis=0)
    # where sites do not coincide, a shared table of phases would mostly multiply zeros
    shared = len(sites) <= 4 * max(len(s) for s in structures)
    together = [structures] if shared else [[s] for s in structures]
    return np.concatenate([_squares_on_shared_sites(points, group, debye_waller) for group in together])


def _squares_on_shared_sites(
    points: Reflections, structures: Sequence[Structure], debye_waller: Mapping[str, float] | None
) -> np.ndarray:
    """|F|² as products of phases (reflections × sites) and occupancies (sites × structures)."""
    symbols = sorted({element.symbol for s in structures for element in s.composition.elements})
    code = {symbol: i for i, symbol in enumerate(symbols)}
    factors = form_factors(symbols, points.g, debye_waller)
    positions, site_of = np.unique(np.concatenate([s.frac_coords for s in structures]), axis=0, return_inverse=True)
    occupancy = np.zeros((len(symbols), len(positions), len(structures)))
    site = iter(site_of.ravel())
    for column, structure in enumerate(structures):
        for species in structure.species_and_occu:
            row = next(site)
            for element, occupied in species.items():
                occupancy[code[element.symbol], row, column] += occupied
    squares = np.empty((len(structures), len(points.g)))
    step = max(1, BLOCK_ENTRIES // len(positions))
    for start in range(0, len(points.g), step):
        part = slice(start, start + step)
        phase = _phases(points.hkl[part], positions)
        real, imaginary = (
            sum(f[part, None] * (wave @ occupied) for f, occupied in zip(factors, occupancy, strict=True))
            for wave in (np.ascontiguousarray(phase.real), np.ascontiguousarray(phase.imag))
        )
        squares[:, part] = (real**2 + imaginary**2).T
    return squares


def _phases(hkl: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """exp(2πi h·r), shape (n_reflections, n_sites), from one table a lattice axis."""
    phase: np.ndarray | None = None
    for axis in range(3):
        index = hkl[:, axis]
        low, high = int(index.min(initial=0)), int(index.max(initial=0))
        table = np.exp(2j * np.pi * np.arange(low, high + 1)[:, None] * positions[None, :, axis])
        phase = table[index - low] if phase is None else phase * table[index - low]
    assert phase is not None
    return phase
