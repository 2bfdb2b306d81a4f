"""Symmetry operations of a cell, their point group, and the permutations that they make of its sites."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import spglib
from pymatgen.core import Structure
from scipy.spatial import cKDTree

from qperov.errors import SymmetryError

#: Permutations of all sites by all operations are not held beyond this size.
MOST_PERMUTATION_BYTES = 2**30


def symmetry_operations(
    lattice_matrix: np.ndarray, frac_coords: np.ndarray, kinds: Sequence[int], *, tolerance: float = 1e-3
) -> tuple[np.ndarray, np.ndarray]:
    """Symmetry operations x ↦ Rx + t of a crystal that keep the cell as given (spglib).

    Parameters
    ----------
    lattice_matrix : ndarray, shape (3, 3)
        Rows a, b, c in Å.
    frac_coords : ndarray, shape (n, 3)
    kinds : sequence of int, shape (n,)
        Equal numbers for sites that operations may exchange.
    tolerance : float
        Å.

    Returns
    -------
    rotations : ndarray of int, shape (m, 3, 3)
    translations : ndarray, shape (m, 3)
        Both in fractional coordinates.

    Raises
    ------
    SymmetryError
        If spglib finds no symmetry.
    """
    cell: Any = (lattice_matrix, frac_coords, kinds)
    found, reason = None, ""
    with warnings.catch_warnings():
        # spglib 2.7 and 2.8 warn on every call that failures will be raised; both ways are met below
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            found = spglib.get_symmetry(cell, symprec=tolerance)
        except Exception as error:  # the class of spglib's errors depends on its version
            reason = f" ({error})"
    if found is None:
        raise SymmetryError(f"no symmetry operations were found{reason}; are two sites of the cell at one place?")
    return found["rotations"], found["translations"]


def point_group(rotations: np.ndarray) -> str:
    """Schoenflies symbol of the point group that rotations in fractional coordinates, shape (m, 3, 3), make.

    Raises
    ------
    SymmetryError
        If they are not a group.
    """
    # spglib names the nearest group to whatever it is given
    products = np.einsum("gab,hbc->ghac", rotations, rotations).reshape(-1, 9)
    if len(np.unique(np.concatenate([rotations.reshape(-1, 9), products]), axis=0)) != len(rotations):
        raise SymmetryError("the rotations are not a group: products of them lead out of it, or one is given twice")
    with warnings.catch_warnings():
        # as above
        warnings.simplefilter("ignore", DeprecationWarning)
        found: Any = spglib.get_pointgroup(rotations)
    return _schoenflies_symbols()[found[0].strip()]


@cache
def _schoenflies_symbols() -> dict[str, str]:
    """International → Schoenflies symbol of the 32 point groups, from spglib's 530 settings of space groups."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        settings: list[Any] = [spglib.get_spacegroup_type(number) for number in range(1, 531)]
    return {setting.pointgroup_international: setting.pointgroup_schoenflies for setting in settings}


def site_permutations(
    structure: Structure, sites: Sequence[int], *, kinds: Sequence[int] | None = None, tolerance: float = 1e-3
) -> np.ndarray:
    """Distinct permutations of ``sites`` under the symmetry operations that keep the cell of ``structure``.

    Operations x ↦ Rx + t are those of spglib for the cell as given: rotations that do not map the cell's own
    lattice onto itself are not among them.

    Parameters
    ----------
    structure : Structure
        The parent: ``sites`` must hold one species where the permutations are to mix them.
    sites : sequence of int
        Indices of the sites, shape (n,).
    kinds : sequence of int, optional
        For each site of the structure a number, equal for sites that operations may exchange; by default sites of
        one species.
    tolerance : float
        Å.

    Returns
    -------
    ndarray of int, shape (m, n)
        Row g sends position j to position ``g[j]`` in ``sites``; the first row is the identity.

    Raises
    ------
    SymmetryError
        If spglib finds no symmetry, an operation leads out of ``sites``, or the array would be larger than
        ``MOST_PERMUTATION_BYTES``.
    """
    shifts, turns = shifts_and_turns(structure, sites, kinds, tolerance)
    _check_size(len(shifts) * len(turns), len(sites))
    distinct = np.unique(np.concatenate([shifts[:, turn] for turn in turns]), axis=0)
    identity = (distinct == np.arange(len(sites))).all(axis=1)
    return np.concatenate([distinct[identity], distinct[~identity]])


def shifts_and_turns(
    structure: Structure, sites: Sequence[int], kinds: Sequence[int] | None = None, tolerance: float = 1e-3
) -> tuple[np.ndarray, np.ndarray]:
    """Permutations of ``sites``, shapes (m₁, n) and (m₂, n); all of them are ``shifts[i][turns[j]]``.

    Shifts are the pure translations of the cell, turns one operation of each rotation.
    """
    if kinds is None:
        species = sorted({site.species_string for site in structure})
        kinds = [species.index(site.species_string) + 1 for site in structure]
    rotations, translations = symmetry_operations(
        structure.lattice.matrix, structure.frac_coords, kinds, tolerance=tolerance
    )
    pure = (rotations == np.eye(3, dtype=int)).all(axis=(1, 2))
    _, first = np.unique(rotations, axis=0, return_index=True)
    if pure.sum() * len(first) != len(rotations):
        # within the tolerance, the operations are not quite a group
        pure, first = np.arange(len(rotations)) == np.flatnonzero(pure)[0], np.arange(len(rotations))
    _check_size(int(pure.sum()), len(sites))
    positions = structure.frac_coords[list(sites)]
    tree = site_tree(positions)

    def permutation(number: int) -> np.ndarray:
        images = positions @ rotations[number].T + translations[number]
        _, found = tree.query(in_unit_cube(images))
        offset = images - positions[found]
        offset -= np.round(offset)
        if (np.linalg.norm(offset @ structure.lattice.matrix, axis=1) > 10 * tolerance).any():
            raise SymmetryError("a symmetry operation of the parent lattice leads out of the chosen sites")
        return found

    shifts, turns = (np.array([permutation(number) for number in part]) for part in (np.flatnonzero(pure), first))
    return shifts, turns


def _check_size(n_operations: int, n_sites: int) -> None:
    needed = 8 * n_operations * n_sites
    if needed > MOST_PERMUTATION_BYTES:
        raise SymmetryError(
            f"{n_operations} symmetry operations of {n_sites} sites take {needed / 2**30:.2g} GiB, more than "
            f"{MOST_PERMUTATION_BYTES / 2**30:.2g}: take a smaller cell, or one of lower symmetry"
        )


def site_tree(frac_coords: np.ndarray) -> cKDTree:
    """Positions in the periodic unit cube, ready for the search of the nearest."""
    return cKDTree(in_unit_cube(frac_coords), boxsize=1.0)


def in_unit_cube(frac_coords: np.ndarray) -> np.ndarray:
    # the remainder of −1e-17 by 1 is 1.0 in floating point, and that of 1.0 is 0.0
    return np.mod(np.mod(frac_coords, 1.0), 1.0)
