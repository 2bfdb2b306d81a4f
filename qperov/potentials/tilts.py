"""Tilts of octahedra: Glazer's patterns put into supercells of the cubic perovskite."""

from __future__ import annotations

import re

import numpy as np
from pymatgen.core import Structure

from qperov.crystals.perovskites.sites import assign_sites
from qperov.errors import CompositionError, TiltError

#: Three letters for the axes, each with its sign: 0 no tilt, + in phase, − out of phase along the axis.
_PATTERN = re.compile(r"([a-c])([-+0−⁻⁺⁰])([a-c])([-+0−⁻⁺⁰])([a-c])([-+0−⁻⁺⁰])")
_SIGNS = {"-": -1, "−": -1, "⁻": -1, "+": 1, "⁺": 1, "0": 0, "⁰": 0}
#: An anion may stand this far from the middle between two B sites, in pseudo-cubic edges.
_OFF_CENTRE = 0.15


def tilt_signs(pattern: str) -> tuple[int, int, int]:
    """−1, 0 or +1 for each axis of a pattern such as ``a-b+a-`` (also ``a⁻b⁺a⁻``).

    Raises
    ------
    ValueError
        If it is no such pattern.
    """
    found = _PATTERN.fullmatch(pattern)
    if found is None:
        raise ValueError(f"a tilt pattern is three letters with signs, such as 'a-b+a-' or 'a0a0c+', not {pattern!r}")
    a, b, c = (_SIGNS[found[i]] for i in (2, 4, 6))
    return a, b, c


def tilt_octahedra(structure: Structure, pattern: str, angle: float = 10.0, b_sites: tuple[str, ...] = ()) -> Structure:
    r"""The cell with its octahedra turned by ``angle`` about each axis that the pattern tilts.

    The octahedron at B site (i, j, k) of the pseudo-cubic grid turns about z by ±ω with the sign (−1)^(i+j) in phase
    (+) and (−1)^(i+j+k) out of phase (−), and likewise about x and y: corners stay shared. The anion half an edge
    along x̂ is displaced by tan ω · (s × x̂)/2 edges, s the signs about the three axes: the rotation to first order.
    A and B sites and the cell stay.

    Parameters
    ----------
    structure : Structure
        A supercell of the cubic perovskite along its axes, any species on the sites, near their ideal positions.
    pattern : str
        Glazer's: three letters with signs, in the order of the cell's axes. The letters name equal angles; all are
        ``angle`` here.
    angle : float
        ω in degrees.
    b_sites : tuple of str
        Elements at the centres of the octahedra; by default told from charges and radii.

    Returns
    -------
    Structure
        Sites in the same order.

    Raises
    ------
    TiltError
        If the cell is no such supercell, or a tilt needs an even number of octahedra along an axis that has an odd one.
    ValueError
        If the pattern or the angle is none.

    References
    ----------
    A. M. Glazer, Acta Cryst. B 28, 3384 (1972), doi:10.1107/S0567740872007976.
    """
    signs = tilt_signs(pattern)
    if not 0 < angle < 30:
        raise ValueError(f"a tilt is an angle between 0 and 30 degrees, not {angle}")
    centres = _centres(structure, b_sites)
    counts, grid = _grid(structure, centres)
    _check_periodic(signs, counts, pattern)
    moved = structure.frac_coords.copy()
    anions = _anions(structure, centres, counts)
    turn = np.tan(np.radians(angle)) * np.array([_sign(grid, axis, signs[axis]) for axis in range(3)]).T
    for axis, half_edge in enumerate(np.eye(3) / 2):
        moved[anions[:, axis]] += np.cross(turn, half_edge) / counts
    return Structure(structure.lattice, [site.species for site in structure], moved)


def _sign(grid: np.ndarray, axis: int, sign: int) -> np.ndarray:
    """Sense in which each octahedron turns about an axis, shape (n,)."""
    across = grid.sum(axis=1) - grid[:, axis] if sign > 0 else grid.sum(axis=1)
    return abs(sign) * (-1.0) ** across


def _centres(structure: Structure, b_sites: tuple[str, ...]) -> np.ndarray:
    """Indices of the B sites."""
    if not b_sites:
        try:
            b_sites = tuple(ion.symbol for ion, _ in assign_sites(structure).b)
        except CompositionError as error:
            raise TiltError(
                f"{structure.formula}: which ions are octahedra's centres is not clear ({error})"
            ) from error
    symbols = [next(iter(site.species.elements)).symbol for site in structure]
    return np.flatnonzero([symbol in b_sites for symbol in symbols])


def _grid(structure: Structure, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many octahedra there are along each axis, shape (3,), and the place of each B site, shape (n, 3)."""
    if not len(centres):
        raise TiltError(f"{structure.formula}: no octahedra, no ion of the B site")
    positions = structure.frac_coords[centres]
    counts = np.array([_layers(positions[:, axis]) for axis in range(3)])
    offset = (positions - positions[0]) * counts
    grid = np.round(offset).astype(int) % counts
    if (
        np.abs(offset - np.round(offset)).max() > _OFF_CENTRE
        or len(np.unique(grid, axis=0)) != len(centres)
        or counts.prod() != len(centres)
        or 5 * len(centres) != len(structure)
    ):
        raise TiltError(
            f"{structure.formula}: not a supercell of the cubic perovskite along its axes ({len(centres)} B sites of "
            f"{len(structure)} atoms); tilts are put into no other cells"
        )
    return counts, grid


def _layers(positions: np.ndarray) -> int:
    """Different fractional coordinates along one axis."""
    ordered = np.sort(np.mod(positions, 1.0))
    gaps = np.diff(ordered, append=ordered[0] + 1)
    return int((gaps > 0.5 * gaps.max()).sum())


def _check_periodic(signs: tuple[int, int, int], counts: np.ndarray, pattern: str) -> None:
    """Neighbours turn in opposite senses across the axis of a tilt, and along it if the tilt is out of phase."""
    for axis, sign in enumerate(signs):
        odd = [other for other in range(3) if counts[other] % 2 and (sign < 0 or (sign > 0 and other != axis))]
        if odd:
            cell = "×".join(map(str, counts))
            raise TiltError(
                f"a cell of {cell} octahedra cannot hold {pattern}: the tilt about {'abc'[axis]} alternates along "
                f"{'abc'[odd[0]]}, where their number is odd; repeat the cell"
            )


def _anions(structure: Structure, centres: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The anion half an edge along each axis from each B site, shape (n, 3)."""
    others = np.setdiff1d(np.arange(len(structure)), centres)
    middles = structure.frac_coords[centres][:, None] + np.eye(3) / 2 / counts
    offset = structure.frac_coords[others] - middles[:, :, None]
    offset -= np.round(offset)
    distance = np.linalg.norm(offset * counts, axis=3)
    if distance.min(axis=2).max() > _OFF_CENTRE:
        raise TiltError(f"{structure.formula}: not an anion between every two B sites; is the cell relaxed already?")
    return others[distance.argmin(axis=2)]
