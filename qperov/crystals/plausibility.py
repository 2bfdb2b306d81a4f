"""Whether a cell can be a crystal at all."""

from __future__ import annotations

import numpy as np
from pymatgen.core import Structure

from qperov.errors import ImplausibleCellError

# Diamond, the densest solid at ambient pressure, has 5.7 Å³ an atom, and terapascals squeeze matter to about 2; open
# frameworks and monolayers in vacuum stay below a few hundred, while a lone atom in a box is no crystal.
VOLUME_PER_ATOM = (2.0, 1000.0)

# The shortest bond there is, H–H, measures 0.74 Å.
LEAST_DISTANCE = 0.5

_PAIRWISE_LIMIT = 400


def check_cell(structure: Structure, path: str) -> None:
    r"""Refuse a cell that no crystal can have.

    The volume must lie between 2 and 1000 Å³ an atom, and no two atoms may be closer than 0.5 Å. Sites that share one
    atom (occupancies that add up to 1 or less) may be.

    Raises
    ------
    ImplausibleCellError
        For a cell without atoms, positions that are not finite, an absurd volume, or atoms on top of each other.
    """
    n = len(structure)
    if n == 0:
        raise ImplausibleCellError(path, "a cell without atoms")
    matrix = structure.lattice.matrix
    positions = structure.frac_coords
    if not (np.isfinite(matrix).all() and np.isfinite(positions).all()):
        raise ImplausibleCellError(path, "a lattice vector or a position is not a finite number")
    volume = abs(np.linalg.det(matrix)) / n
    low, high = VOLUME_PER_ATOM
    if not low <= volume <= high:
        reason = f"{volume:.4g} Å³ an atom, outside {low:g} to {high:g}; check the scale and the lattice vectors"
        raise ImplausibleCellError(path, reason)
    for i, j, distance in _close_pairs(structure):
        if structure[i].species.num_atoms + structure[j].species.num_atoms > 1.0 + 1e-3:
            names = f"{i + 1} ({structure[i].species_string}) and {j + 1} ({structure[j].species_string})"
            raise ImplausibleCellError(path, f"atoms {names} are {distance:.3f} Å apart, under {LEAST_DISTANCE} Å")


def _close_pairs(structure: Structure) -> list[tuple[int, int, float]]:
    """Pairs closer than LEAST_DISTANCE, periodic images included."""
    matrix = structure.lattice.matrix
    widths = 1 / np.linalg.norm(np.linalg.inv(matrix), axis=0)
    if len(structure) > _PAIRWISE_LIMIT or widths.min() <= 2 * LEAST_DISTANCE:
        first, second, _, distances = structure.get_neighbor_list(LEAST_DISTANCE)
        return [(int(i), int(j), float(d)) for i, j, d in zip(first, second, distances, strict=True)]
    # Between lattice planes at least 2r apart, a vector shorter than r has fractional components below 1/2: the
    # image that rounding picks is then the only candidate.
    positions = structure.frac_coords
    difference = positions[:, None] - positions[None]
    difference -= np.round(difference)
    squared = ((difference @ matrix) ** 2).sum(axis=2)
    first, second = np.nonzero(np.triu(squared < LEAST_DISTANCE**2, 1))
    return [(int(i), int(j), float(np.sqrt(squared[i, j]))) for i, j in zip(first, second, strict=True)]
