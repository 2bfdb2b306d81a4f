"""The parent lattice that decorated crystals share, and the permutations its symmetry makes of their sites."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import spglib
from pymatgen.core import Structure
from scipy.spatial import cKDTree

from qperov.errors import SymmetryError

#: Sites of two structures are the same site within this fraction of a lattice vector.
SITE_TOLERANCE = 1e-3
#: Cells are the same cell when the components of their vectors agree to this many Å.
CELL_TOLERANCE = 1e-3
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
    shifts, turns = _shifts_and_turns(structure, sites, kinds, tolerance)
    _check_size(len(shifts) * len(turns), len(sites))
    distinct = np.unique(np.concatenate([shifts[:, turn] for turn in turns]), axis=0)
    identity = (distinct == np.arange(len(sites))).all(axis=1)
    return np.concatenate([distinct[identity], distinct[~identity]])


def _shifts_and_turns(
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
    tree = _site_tree(positions)

    def permutation(number: int) -> np.ndarray:
        images = positions @ rotations[number].T + translations[number]
        _, found = tree.query(_in_unit_cube(images))
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


@dataclass(frozen=True, eq=False)
class ParentLattice:
    """Sites shared by a set of decorated crystals.

    Attributes
    ----------
    structure : Structure
        Every site that is decorated holds the first species of its sublattice.
    sites : tuple of int
        The decorated sites: those on which the species differs between crystals.
    choices : tuple of tuple of str
        For each of ``sites`` the species seen on its sublattice, sorted.
    """

    structure: Structure
    sites: tuple[int, ...]
    choices: tuple[tuple[str, ...], ...]

    @cached_property
    def permutations(self) -> np.ndarray:
        """:func:`site_permutations` of the decorated sites, shape (m, n)."""
        if not self.sites:
            return np.zeros((1, 0), dtype=np.int64)
        return site_permutations(self.structure, self.sites)

    def permutation_blocks(self) -> Iterator[np.ndarray]:
        """The permutations, each once or more, in blocks of shape (m, n): for cells too large for the whole array."""
        if not self.sites:
            yield self.permutations
            return
        shifts, turns = _shifts_and_turns(self.structure, self.sites)
        yield from (shifts[:, turn] for turn in turns)

    def occupations(self, structures: Sequence[Structure]) -> np.ndarray:
        """Species index on each decorated site, shape (n_structures, n_sites).

        Raises
        ------
        SymmetryError
            If a structure does not lie on this lattice or holds a species unknown to it.
        """
        rows = np.empty((len(structures), len(self.sites)), dtype=np.int64)
        lookup = [{name: code for code, name in enumerate(choice)} for choice in self.choices]
        for row, structure in enumerate(structures):
            same_site = _matched_sites(self.structure.lattice.matrix, self._tree, structure)
            if same_site is None:
                raise SymmetryError(
                    f"structure {row} ({structure.composition.formula}) does not lie on the parent lattice; "
                    "correlation functions and orderings need crystals that share one lattice"
                )
            names = _species_names(structure)[same_site]
            for column, site in enumerate(self.sites):
                if names[site] not in lookup[column]:
                    raise SymmetryError(
                        f"structure {row} has {names[site]} where the parent lattice knows {self.choices[column]}"
                    )
                rows[row, column] = lookup[column][names[site]]
        return rows

    @cached_property
    def _tree(self) -> cKDTree:
        return _site_tree(self.structure.frac_coords)


def parent_lattices(structures: Sequence[Structure]) -> list[tuple[ParentLattice, np.ndarray, np.ndarray]]:
    """Sort crystals by the lattice of sites they share.

    Elements that replace each other on some site of a lattice (Br and I, say) form one sublattice species of
    its parent.

    Returns
    -------
    list of (ParentLattice, rows, occupations)
        ``rows`` are the indices of the crystals on that lattice, ``occupations`` their decoration, shape
        (len(rows), n_sites).
    """
    # lattices found so far, by number of sites and a coarse bin of the cell's trace
    found: dict[tuple[int, int], list[_Members]] = {}
    lattices: list[_Members] = []
    for row, structure in enumerate(structures):
        trace_bin = int(np.floor(np.trace(structure.lattice.matrix) / (10 * CELL_TOLERANCE)))
        near = [lattice for step in (0, -1, 1) for lattice in found.get((len(structure), trace_bin + step), [])]
        for lattice in near:
            same_site = _matched_sites(lattice.matrix, lattice.tree, structure)
            if same_site is not None:
                break
        else:
            same_site = _site_order(structure)
            lattice = _Members(structure.lattice.matrix, _site_tree(structure.frac_coords[same_site]), [], [])
            found.setdefault((len(structure), trace_bin), []).append(lattice)
            lattices.append(lattice)
        lattice.rows.append(row)
        lattice.orders.append(same_site)
    return [_parent_of(structures, lattice) for lattice in lattices]


@dataclass(frozen=True, eq=False)
class _Members:
    """Crystals found on one lattice: their rows, and for each the index of its site on every site of the lattice."""

    matrix: np.ndarray
    tree: cKDTree
    rows: list[int]
    orders: list[np.ndarray]


def _parent_of(structures: Sequence[Structure], lattice: _Members) -> tuple[ParentLattice, np.ndarray, np.ndarray]:
    rows = np.array(lattice.rows)
    names = np.array([_species_names(structures[row])[o] for row, o in zip(rows, lattice.orders, strict=True)])
    first, first_order = structures[rows[0]], lattice.orders[0]
    mates = _replaceable(names)
    parent_names = np.array([mates[name][0] for name in names[0]])
    parent = Structure(
        first.lattice,
        [_species(first, names[0], name, first_order) for name in parent_names],
        first.frac_coords[first_order],
    )
    varying = np.flatnonzero((names != names[0]).any(axis=0))
    # symmetry moves decorated sites onto sites of the same sublattice, decorated in this set or not
    sites = np.flatnonzero(np.isin(parent_names, parent_names[varying])) if len(varying) else varying
    choices = tuple(mates[parent_names[site]] for site in sites)
    codes = np.array([[choices[c].index(n) for c, n in enumerate(row)] for row in names[:, sites]], dtype=np.int64)
    return ParentLattice(parent, tuple(int(s) for s in sites), choices), rows, codes.reshape(len(rows), len(sites))


def _species(structure: Structure, sorted_names: np.ndarray, name: str, order: np.ndarray) -> Any:
    """The species object that prints as ``name``: partial occupancies cannot be rebuilt from their name alone."""
    found = np.flatnonzero(sorted_names == name)
    return structure[int(order[found[0]])].species if len(found) else name


def _replaceable(names: np.ndarray) -> dict[str, tuple[str, ...]]:
    """Species → sorted species of its sublattice, from names of shape (n_structures, n_sites)."""
    mates = {str(name): {str(name)} for name in np.unique(names)}
    for column in names.T:
        together = set().union(*(mates[str(name)] for name in np.unique(column)))
        for name in together:
            mates[name] = together
    return {name: tuple(sorted(group)) for name, group in mates.items()}


def _species_names(structure: Structure) -> np.ndarray:
    return np.array([site.species_string for site in structure], dtype=object)


def _site_order(structure: Structure) -> np.ndarray:
    """Sorting of the sites by position, so that the parent does not depend on how a file lists them."""
    # a third of a step of offset keeps the positions that crystals favour (0, 1/4, 1/3, 1/2, …) off the edges
    # of rounding
    steps = round(1 / SITE_TOLERANCE)
    cells = np.round(np.mod(structure.frac_coords, 1.0) * steps + 1 / 3).astype(np.int64) % steps
    return np.lexsort(cells.T[::-1])


def _site_tree(frac_coords: np.ndarray) -> cKDTree:
    """Positions in the periodic unit cube, ready for the search of the nearest."""
    return cKDTree(_in_unit_cube(frac_coords), boxsize=1.0)


def _in_unit_cube(frac_coords: np.ndarray) -> np.ndarray:
    # the remainder of −1e-17 by 1 is 1.0 in floating point, and that of 1.0 is 0.0
    return np.mod(np.mod(frac_coords, 1.0), 1.0)


def _matched_sites(matrix: np.ndarray, tree: cKDTree, structure: Structure) -> np.ndarray | None:
    """For each site of a lattice the index of the same site in ``structure``; None if cells or sites differ."""
    if len(structure) != tree.n or np.abs(structure.lattice.matrix - matrix).max() > CELL_TOLERANCE:
        return None
    distance, nearest = tree.query(_in_unit_cube(structure.frac_coords), p=np.inf)
    if distance.max() > SITE_TOLERANCE:
        return None
    same_site = np.full(tree.n, -1)
    same_site[nearest] = np.arange(tree.n)
    return None if (same_site < 0).any() else same_site
