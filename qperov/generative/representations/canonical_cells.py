"""One way to write down a crystal's cell, whatever order its sites are listed in, and the way back.

Lengths, angles and fractional coordinates are those of the cell given; its orientation in space is dropped, and of a
left-handed cell all three axes are turned round. Elements and sites are put in order:

- Elements by their number of atoms in the cell, then by the room they take, largest first, then by electronegativity
  (Pauling). The room is the mean distance to the nearest neighbour; elements are equal in it within 0.1 Å. In ABX₃ this
  gives A, B, X, of perovskites and antiperovskites alike: A in its cuboctahedron has more room than B in its
  octahedron.
- Sites by element, then by x, y, z in steps of 1/24, then by x, y, z. Multiples of 1/24, where most special positions
  are, lie in the middle of a step, so that small displacements do not change the order.

Coordinates run from −1/16 to 15/16, for the same reason: noise about 0 does not send a site to the other end.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from pymatgen.core import Element, IStructure, Lattice, Structure
from scipy.spatial import cKDTree

from qperov.diffraction.scatterers import crystal_list
from qperov.errors import EmptyDatasetError, RepresentationError

#: Coordinates start here.
ORIGIN = -1 / 16
STEPS = 24
#: Difference of room (Å) by which elements of the same number of atoms are told apart.
ROOM_STEP = 0.1
#: No cell has a shorter edge (Å), an angle (degrees) outside these, or a smaller volume (Å³).
LEAST_LENGTH = 1.0
ANGLES = (15.0, 165.0)
LEAST_VOLUME = 1.0
_IMAGES = np.stack(np.meshgrid(*[[0, -1, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


@dataclass(frozen=True, eq=False)
class CanonicalCell:
    """A crystal in canonical order.

    Attributes
    ----------
    lengths, angles : ndarray, shape (3,)
        Å and degrees.
    elements : tuple of str
        In order of their slots.
    slots : ndarray of int, shape (n_sites,)
        Which element each site is, ascending.
    positions : ndarray, shape (n_sites, 3)
        Fractional, from −1/16 up to 15/16.
    """

    lengths: np.ndarray
    angles: np.ndarray
    elements: tuple[str, ...]
    slots: np.ndarray
    positions: np.ndarray

    @cached_property
    def lattice(self) -> np.ndarray:
        """Rows a, b, c in Å, oriented as by `Lattice.from_parameters`, shape (3, 3)."""
        return Lattice.from_parameters(*self.lengths, *self.angles).matrix

    def fault(self, species: tuple[str, ...], max_elements: int, max_length: float = math.inf) -> str | None:
        """Why elements or edges (Å) do not fit, if so."""
        unknown = [symbol for symbol in self.elements if symbol not in species]
        if unknown:
            return f"{', '.join(unknown)} not among the elements of this representation"
        if len(self.elements) > max_elements:
            return f"{len(self.elements)} elements, at most {max_elements} fit; raise max_elements"
        if self.lengths.max() > max_length:
            return f"an edge of {self.lengths.max():.2f} Å, at most {max_length:g} Å fit; raise max_length"
        return None


def canonicalise(
    structures: Sequence[Structure], fault: Callable[[CanonicalCell], str | None], *, as_given: bool = False
) -> list[CanonicalCell]:
    """Crystals in canonical order; ``fault`` says what is wrong with one for the purpose at hand.

    With ``as_given``, sites, coordinates and elements stay in the order of their list, as the published programs have
    them.

    Raises
    ------
    EmptyDatasetError
        There are no crystals.
    RepresentationError
        Sites are shared or partly empty, an atom is no element, coordinates are not finite, a cell is flat or has no
        sites, or ``fault`` gave a reason.
    """
    crystals = crystal_list(structures)
    if not crystals:
        raise EmptyDatasetError("there are no crystals to represent")
    cells: list[CanonicalCell] = []
    reasons: dict[int, str] = {}
    for row, structure in enumerate(crystals):
        reason = _unusable(structure)
        if reason is None:
            cells.append(_listed(structure) if as_given else _canonical(structure))
            reason = fault(cells[-1])
        if reason is not None:
            reasons[row] = reason
    if reasons:
        raise RepresentationError(reasons, len(crystals))
    return cells


def physical_lattice(lengths: np.ndarray, angles: np.ndarray) -> Lattice | None:
    """The lattice of edges (Å) and angles (degrees) that may be off, or ``None`` if there is none.

    Edges below 1 Å and angles outside 15° to 165° are set to these bounds. ``None`` where a number is not finite, or
    where the three angles leave less than 1 Å³.
    """
    if not (np.isfinite(lengths).all() and np.isfinite(angles).all()):
        return None
    edges, corners = np.maximum(lengths, LEAST_LENGTH), np.clip(angles, *ANGLES)
    cosines = np.cos(np.radians(corners))
    squared = 1 - cosines @ cosines + 2 * cosines.prod()
    if edges.prod() * math.sqrt(max(squared, 0.0)) < LEAST_VOLUME:
        return None
    return Lattice.from_parameters(*edges.tolist(), *corners.tolist())


def crystal(lattice: Lattice | None, symbols: Sequence[str], positions: np.ndarray) -> Structure | None:
    """A crystal of sites at fractional ``positions``, wrapped to [0, 1); ``None`` without lattice or sites."""
    if lattice is None or len(symbols) == 0 or not np.isfinite(positions).all():
        return None
    return Structure(lattice, list(symbols), _wrapped(np.asarray(positions, dtype=float)))


def _wrapped(positions: np.ndarray) -> np.ndarray:
    wrapped = np.mod(positions, 1.0)
    # the remainder of a tiny negative number is 1
    wrapped[wrapped == 1.0] = 0.0
    return wrapped


def _unusable(structure: object) -> str | None:
    if not isinstance(structure, IStructure):
        return f"a {type(structure).__name__} is no crystal structure"
    if not len(structure):
        return "it has no sites"
    if not structure.is_ordered:
        return "sites are shared by several species or partly empty; choose one ordering (qperov.orderings)"
    dummies = {site.specie.symbol for site in structure if not Element.is_valid_symbol(site.specie.symbol)}
    if dummies:
        return f"{', '.join(sorted(dummies))}: no element"
    if not (np.isfinite(structure.frac_coords).all() and np.isfinite(structure.lattice.matrix).all()):
        return "a coordinate or a lattice vector is not finite"
    if structure.lattice.volume < LEAST_VOLUME:
        return f"its cell has a volume of {structure.lattice.volume:.3g} Å³"
    return None


def _listed(structure: Structure) -> CanonicalCell:
    symbols = [site.specie.symbol for site in structure]
    elements = tuple(dict.fromkeys(symbols))
    slots = np.array([elements.index(symbol) for symbol in symbols])
    lattice = structure.lattice
    return CanonicalCell(np.array(lattice.abc), np.array(lattice.angles), elements, slots, structure.frac_coords)


def _canonical(structure: Structure) -> CanonicalCell:
    lattice = structure.lattice
    # the axes −a, −b, −c make the same cell, and the other hand
    hand = math.copysign(1.0, np.linalg.det(lattice.matrix))
    shifted = _wrapped(hand * structure.frac_coords - ORIGIN)
    positions = shifted + ORIGIN
    symbols = [site.specie.symbol for site in structure]
    elements = _element_order(symbols, positions, hand * lattice.matrix)
    place = {symbol: slot for slot, symbol in enumerate(elements)}
    slots = np.array([place[symbol] for symbol in symbols])
    steps = np.floor(shifted * STEPS)
    order = np.lexsort([*positions.T[::-1], *steps.T[::-1], slots])
    return CanonicalCell(np.array(lattice.abc), np.array(lattice.angles), elements, slots[order], positions[order])


def _element_order(symbols: list[str], positions: np.ndarray, lattice: np.ndarray) -> tuple[str, ...]:
    counts = Counter(symbols)
    step = dict.fromkeys(counts, 0)
    if len(set(counts.values())) < len(counts):
        step = _room_steps(symbols, positions, lattice)
    return tuple(sorted(counts, key=lambda s: (counts[s], step[s], Element(s).data.get("X") or math.inf, Element(s).Z)))


def _room_steps(symbols: list[str], positions: np.ndarray, lattice: np.ndarray) -> dict[str, int]:
    """Rank of each element by room, from the largest; equal where rooms follow one another within 0.1 Å."""
    # neighbours are looked for in the cell and the 26 about it
    images = (positions[None] + _IMAGES[:, None]).reshape(-1, 3) @ lattice
    distances = cKDTree(images).query(positions @ lattice, k=2)[0][:, 1]
    names = np.array(symbols)
    room = {symbol: float(np.sort(distances[names == symbol]).mean()) for symbol in set(symbols)}
    ranked = sorted(room, key=lambda symbol: (-room[symbol], symbol))
    step, found = 0, {ranked[0]: 0}
    for previous, symbol in pairwise(ranked):
        step += room[previous] - room[symbol] > ROOM_STEP
        found[symbol] = step
    return found
