"""Reflections of lattices."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qperov.diffraction.scatterers import Scatterers

#: Two reflections whose 2θ agree to this many degrees are one peak (pymatgen's TWO_THETA_TOL).
TWO_THETA_STEP = 1e-5


@dataclass(frozen=True, eq=False)
class Reflections:
    """One Friedel half of the reciprocal points of a lattice, sorted by |g|, then −h, −k, −l.

    Attributes
    ----------
    bounds : (int, int, int)
        Largest |h|, |k|, |l| of the box h = H … 0, k = K … −K, l = L … −L.
    places : ndarray of int, shape (n,)
        Where each reflection stands in that box.
    g : ndarray, shape (n,)
        |g| = 1/d in Å⁻¹.
    """

    bounds: tuple[int, int, int]
    places: np.ndarray
    g: np.ndarray

    @cached_property
    def hkl(self) -> np.ndarray:
        """Miller indices, shape (n, 3)."""
        h, k, ell = self.bounds
        box = np.unravel_index(self.places, (h + 1, 2 * k + 1, 2 * ell + 1))
        return np.array(self.bounds) - np.stack(box, axis=-1)

    def as_lists(self) -> ReflectionLists:
        """The same as a list of one lattice's reflections."""
        return ReflectionLists(self.bounds, self.places, self.g, np.array([len(self.g)]))

    def two_theta(self, wavelength: float) -> np.ndarray:
        """2θ = 2 arcsin(λ|g|/2) in degrees, shape (n,)."""
        return np.degrees(2 * np.arcsin(np.clip(wavelength * self.g / 2, -1, 1)))


@dataclass(frozen=True, eq=False)
class ReflectionLists:
    """Reflections of several lattices, one list after another, in a box of hkl that is the same for all.

    Attributes
    ----------
    bounds : (int, int, int)
        As in :class:`Reflections`.
    places : ndarray of int, shape (n,)
        Where each reflection stands in the boxes of all lattices laid end to end.
    g : ndarray, shape (n,)
        |g| in Å⁻¹, ascending in each list.
    counts : ndarray of int, shape (n_lattices,)
        Reflections of each lattice.
    """

    bounds: tuple[int, int, int]
    places: np.ndarray
    g: np.ndarray
    counts: np.ndarray


def index_bounds(lattice_matrix: np.ndarray, highest_g: float) -> tuple[int, int, int]:
    """Largest |h|, |k|, |l| with |g| up to ``highest_g``: h = g·a, so |h| ≤ |g||a|."""
    h, k, ell = (int(highest_g * math.hypot(*axis) + 1e-8) for axis in lattice_matrix.tolist())
    return h, k, ell


def same_bounds(
    crystals: Sequence[Scatterers], rows: Sequence[int], highest_g: float, entries: int
) -> Iterator[tuple[tuple[int, int, int], list[int]]]:
    """Crystals in batches whose boxes of hkl have the same bounds, and together about ``entries`` entries."""
    by_bounds: dict[tuple[bool, tuple[int, int, int]], list[int]] = {}
    for row in rows:
        thermal = crystals[row].ustar is not None
        by_bounds.setdefault((thermal, index_bounds(crystals[row].lattice, highest_g)), []).append(row)
    for (_, bounds), alike in by_bounds.items():
        h, k, ell = bounds
        size = max(1, entries // ((h + 1) * (2 * k + 1) * (2 * ell + 1)))
        for start in range(0, len(alike), size):
            yield bounds, alike[start : start + size]


def reflections(lattice_matrix: np.ndarray, g_range: tuple[float, float]) -> Reflections:
    """Reciprocal points g = h a* + k b* + l c* with g_range[0] ≤ |g| ≤ g_range[1], without g = 0.

    Parameters
    ----------
    lattice_matrix : ndarray, shape (3, 3)
        Rows a, b, c in Å.
    g_range : (float, float)
        In Å⁻¹.
    """
    found = reflection_lists(lattice_matrix[None], index_bounds(lattice_matrix, g_range[1]), g_range)
    return Reflections(found.bounds, found.places, found.g)


def reflection_lists(
    lattices: np.ndarray, bounds: tuple[int, int, int], g_range: tuple[float, float]
) -> ReflectionLists:
    """As :func:`reflections`, of lattices of shape (n_lattices, 3, 3) that have the same ``index_bounds``."""
    h, k, ell = bounds
    box = (h + 1) * (2 * k + 1) * (2 * ell + 1)
    # counted downwards, the box lists the half sphere first and g = 0 right after it
    origin = (h * (2 * k + 1) + k) * (2 * ell + 1) + ell
    g = _box_g(lattices, bounds)[:, :origin]
    inside = (g <= g_range[1] + 1e-8) & (g >= g_range[0])
    counts = np.count_nonzero(inside, axis=1)
    lattice, place = np.nonzero(inside)
    g = g[inside]
    stops = np.cumsum(counts).tolist()
    order = np.concatenate([_ascending(g[start:stop]) + start for start, stop in zip([0, *stops], stops, strict=False)])
    return ReflectionLists(bounds, (place + lattice * box)[order], g[order], counts)


def _ascending(g: np.ndarray) -> np.ndarray:
    """Indices that sort positive numbers; among equal ones, in order of index.

    As bits, positive floats are in the order of whole numbers. The last bits make room for the index, so that sorting
    bare numbers, which is several times faster than sorting indices by them, is enough unless two agree in all but
    these bits.
    """
    n_bits = len(g).bit_length()
    packed = g.view(np.int64) >> n_bits << n_bits
    packed |= np.arange(len(g))
    packed.sort()
    order = packed & ((1 << n_bits) - 1)
    ascending = g[order]
    return order if (ascending[1:] >= ascending[:-1]).all() else np.argsort(g, kind="stable")


def _box_g(lattices: np.ndarray, bounds: tuple[int, int, int]) -> np.ndarray:
    """|g| in Å⁻¹ of the box h = H … 0, k = K … −K, l = L … −L, shape (n_lattices, box)."""
    reciprocal = np.linalg.inv(lattices).swapaxes(1, 2)
    h, k, ell = bounds
    along_h, along_k, along_l = (
        np.arange(high, low - 1.0, -1.0)[:, None] * reciprocal[:, axis, None, :]
        for axis, (high, low) in enumerate(((h, 0), (k, -k), (ell, -ell)))
    )
    plane = (along_h[:, :, None] + along_k[:, None]).reshape(len(lattices), -1, 3)
    squares = plane[:, :, None, 0] + along_l[:, None, :, 0]
    squares *= squares
    for axis in (1, 2):
        component = plane[:, :, None, axis] + along_l[:, None, :, axis]
        component *= component
        squares += component
    return np.sqrt(squares, out=squares).reshape(len(lattices), -1)
