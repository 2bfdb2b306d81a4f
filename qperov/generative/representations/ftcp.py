"""Fourier-transformed crystal properties (FTCP): real space beside reciprocal space, in one array.

With 4 elements and 40 sites at most, the array of a crystal has 280 × 63 entries. Its rows and, after a colon, what the
4 columns of real space (s is the element's slot) and the 59 of reciprocal space hold:

==========  ==========================================================================================================
rows        contents
==========  ==========================================================================================================
0 – 102     one-hot vector of element s (H to Lr): zero
103         a, b, c / max_length: zero
104         α, β, γ / 180°: zero
105 – 144   site by site, x, y, z, each plus 1/16: zero
145 – 184   site by site, 1 where element s sits on it: zero
185         zero: |g| / 1.5 Å⁻¹
186 – 277   properties of element s in 92 bins (one-hot): |F(hkl)|
278, 279    zero (rows are filled up to a multiple of four, for strides)
==========  ==========================================================================================================

**Reciprocal space.** For the property bin p, F(hkl) = 1/N Σⱼ pⱼ exp 2πi(h xⱼ + k yⱼ + l zⱼ) over the N sites, where pⱼ
is 1 if the element of site j is in the bin. Its modulus is stored, between 0 and 1: it is periodic and does not depend
on the origin. The 59 hkl are the shortest reciprocal vectors, one of each Friedel pair, in order of |g|; equal ones in
falling order of h, k, l. The way back needs real space alone.

**The published array** (``mode="published"``, from ``data.py`` of github.com/PV-Lab/FTCP): the Fourier rows hold Σ pⱼ
π(hx + ky + lz), without the exponential, which changes when an atom is listed in the next cell or the origin moves; the
59 hkl come from within 1.297 Å⁻¹ (1.4 if these are fewer than 59), sorted by |h| + |k| + |l|, their Friedel mates
included; elements, sites and coordinates stay as the file has them; a site exists where its greatest occupancy is more
than 0.05. In both, the 92 properties are the nine of crystal-graph networks with our own bins (`element_properties`).

Z. Ren et al., Matter 5, 314 (2022), doi:10.1016/j.matt.2021.11.032.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.core import Structure

from qperov.diffraction.reflections import reflections
from qperov.generative.representations.canonical_cells import (
    ORIGIN,
    CanonicalCell,
    canonicalise,
    crystal,
    physical_lattice,
)
from qperov.generative.representations.element_properties import ELEMENTS, GRAPH_PROPERTIES, property_table
from qperov.generative.representations.representation import MODES, Block, checked_arrays

#: Reciprocal vectors of a crystal.
N_HKL = 59
#: Scale of |g| in Å⁻¹: 59 Friedel pairs reach so far in a cell of 8 Å³.
G_SCALE = 1.5
ANGLE_SCALE = 180.0
#: Published: radii (Å⁻¹) within which hkl are looked for, and the least occupancy of a site.
PUBLISHED_RADII, PUBLISHED_OCCUPANCY = (1.297, 1.4), 0.05
#: Reciprocal vectors whose lengths follow one another within this (Å⁻¹) count as equally long.
SAME_G = 1e-4
_Z = {symbol: z for z, symbol in enumerate(ELEMENTS)}


def shortest_hkl(lattice: np.ndarray, count: int = N_HKL) -> tuple[np.ndarray, np.ndarray]:
    """The shortest reciprocal vectors, one of each Friedel pair and without 000.

    Parameters
    ----------
    lattice : ndarray, shape (3, 3)
        Rows a, b, c in Å.
    count : int

    Returns
    -------
    hkl : ndarray of int, shape (count, 3)
        In ascending order of |g|; those that follow one another within 0.0001 Å⁻¹ by falling h, k, l, so that the order
        is the same in a crystal whose edges are equal but for noise.
    g : ndarray, shape (count,)
        |g| = 1/d in Å⁻¹.
    """
    # a half sphere of radius g holds 2/3 π g³ V of them, more or less
    limit = (1.5 * count / (np.pi * abs(np.linalg.det(lattice)))) ** (1 / 3)
    while True:
        limit *= 1.2
        points = reflections(lattice, (0.0, limit))
        shell = np.cumsum(np.diff(points.g, prepend=0.0) > SAME_G)
        if len(shell) > count and shell[-1] > shell[count - 1]:
            break
    hkl = points.hkl
    order = np.lexsort([*-hkl.T[::-1], shell])[:count]
    return hkl[order], points.g[order]


def published_hkl(lattice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most 59 hkl in the published order, by |h| + |k| + |l| and then by falling h, k, l, and |g| in Å⁻¹."""
    for radius in PUBLISHED_RADII:
        half = reflections(lattice, (0.0, radius))
        if 2 * len(half.g) >= N_HKL:
            break
    hkl, g = np.concatenate([half.hkl, -half.hkl]), np.tile(half.g, 2)
    order = np.lexsort([*-hkl.T[::-1], np.abs(hkl).sum(axis=1)])[:N_HKL]
    return hkl[order], g[order]


@dataclass(frozen=True)
class FTCP:
    """Fourier-transformed crystal properties, laid out as this module's introduction says.

    Parameters
    ----------
    max_elements, max_sites : int
        Of one cell.
    max_length : float
        Longest edge, in Å; smaller ones spread the lengths of small cells better over [0, 1].
    least_occupancy : float
        On the way back, a site exists where the occupancies of all elements add up to more than this.
    mode : {"repaired", "published"}
    """

    max_elements: int = 4
    max_sites: int = 40
    max_length: float = 20.0
    least_occupancy: float = 0.5
    mode: str = "repaired"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {MODES}, not {self.mode!r}")
        if self.max_elements < 1 or self.max_sites < 1:
            raise ValueError("max_elements and max_sites must be at least 1")
        if not self.max_length > 0:
            raise ValueError("max_length must be positive")

    @property
    def species(self) -> tuple[str, ...]:
        return ELEMENTS

    @property
    def shape(self) -> tuple[int, int]:
        """Rows (a multiple of four) and columns."""
        rows = self.blocks["structure_factors"][0].stop
        return -(-rows // 4) * 4, self._slots + N_HKL

    @property
    def _origin(self) -> float:
        return 0.0 if self.mode == "published" else ORIGIN

    @property
    def _slots(self) -> int:
        # lattice and coordinates take three columns
        return max(self.max_elements, 3)

    @cached_property
    def blocks(self) -> Mapping[str, Block]:
        """``elements``, ``lengths``, ``angles``, ``coordinates``, ``occupancy``, ``g``, ``properties`` and
        ``structure_factors``."""
        table = property_table(GRAPH_PROPERTIES)
        stops = np.cumsum([len(ELEMENTS), 1, 1, self.max_sites, self.max_sites, 1, table.shape[1]]).tolist()
        rows = [slice(start, stop) for start, stop in zip([0, *stops], stops, strict=False)]
        real, xyz, reciprocal = slice(0, self._slots), slice(0, 3), slice(self._slots, self._slots + N_HKL)
        return {
            "elements": (rows[0], real),
            "lengths": (rows[1], xyz),
            "angles": (rows[2], xyz),
            "coordinates": (rows[3], xyz),
            "occupancy": (rows[4], real),
            "g": (rows[5], reciprocal),
            "properties": (rows[6], real),
            "structure_factors": (rows[6], reciprocal),
        }

    @property
    def choices(self) -> Mapping[str, tuple[int, ...]]:
        """The element of each slot, and the slot of each site."""
        return {"elements": (0,), "occupancy": (1,)}

    def encode(self, structures: Sequence[Structure]) -> np.ndarray:
        """Arrays of crystals, float32, shape (n, 280, 63).

        Raises
        ------
        EmptyDatasetError
            There is none.
        RepresentationError
            Some have too many elements or sites, too long an edge, shared sites, or an element beyond Lr.
        """
        cells = canonicalise(structures, self._fault, as_given=self.mode == "published")
        arrays = np.zeros((len(cells), *self.shape), np.float32)
        for array, cell in zip(arrays, cells, strict=True):
            self._fill(array, cell)
        return arrays

    def decode(self, arrays: ArrayLike) -> list[Structure | None]:
        """Crystals of arrays of shape (n, 280, 63).

        Elements are the greatest entries of their columns, whatever their size, unless none is positive. ``None`` where
        there is no site or a site has no element, where an entry is not finite, or where the angles leave no volume.
        """
        return [self._crystal(array) for array in checked_arrays(arrays, self.shape)]

    def _fault(self, cell: CanonicalCell) -> str | None:
        if len(cell.positions) > self.max_sites:
            return f"{len(cell.positions)} sites, at most {self.max_sites} fit; raise max_sites"
        return cell.fault(ELEMENTS, self.max_elements, self.max_length)

    def _fill(self, array: np.ndarray, cell: CanonicalCell) -> None:
        part = {name: array[block] for name, block in self.blocks.items()}
        z = np.array([_Z[symbol] for symbol in cell.elements])
        slots, sites = np.arange(len(z)), np.arange(len(cell.positions))
        part["elements"][z, slots] = 1
        part["lengths"][0] = cell.lengths / self.max_length
        part["angles"][0] = cell.angles / ANGLE_SCALE
        part["coordinates"][sites] = cell.positions - self._origin
        part["occupancy"][sites, cell.slots] = 1
        properties = property_table(GRAPH_PROPERTIES)[z]
        part["properties"][:, slots] = properties.T
        if self.mode == "published":
            hkl, g = published_hkl(cell.lattice)
            part["g"][0, : len(g)] = g / G_SCALE
            part["structure_factors"][:, : len(g)] = properties.T[:, cell.slots] @ (np.pi * cell.positions @ hkl.T)
            return
        hkl, g = shortest_hkl(cell.lattice)
        part["g"][0] = g / G_SCALE
        waves = np.exp(2j * np.pi * (cell.positions @ hkl.T))
        by_element = np.add.reduceat(waves, np.flatnonzero(np.diff(cell.slots, prepend=-1)), axis=0)
        part["structure_factors"][:] = np.abs(properties.T @ by_element) / len(sites)

    def _crystal(self, array: np.ndarray) -> Structure | None:
        if not np.isfinite(array).all():
            return None
        part = {name: array[block] for name, block in self.blocks.items()}
        occupancy = part["occupancy"]
        exists = occupancy.sum(axis=1) > self.least_occupancy
        if self.mode == "published":
            exists = occupancy.max(axis=1) > PUBLISHED_OCCUPANCY
        sites = np.flatnonzero(exists)
        slots = part["occupancy"][sites].argmax(axis=1)
        if not (part["elements"][:, slots].max(axis=0) > 0).all():
            return None
        lengths = np.minimum(part["lengths"][0], 1.0) * self.max_length
        return crystal(
            physical_lattice(lengths, part["angles"][0] * ANGLE_SCALE),
            [ELEMENTS[z] for z in part["elements"].argmax(axis=0)[slots]],
            part["coordinates"][sites] + self._origin,
        )
