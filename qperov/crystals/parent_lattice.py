"""The parent lattice that decorated crystals share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from pymatgen.core import Structure
from scipy.spatial import cKDTree

from qperov.crystals.operations import in_unit_cube, shifts_and_turns, site_permutations, site_tree
from qperov.errors import SymmetryError

#: Sites of two structures are the same site within this fraction of a lattice vector.
SITE_TOLERANCE = 1e-3
#: Cells are the same cell when the components of their vectors agree to this many Å.
CELL_TOLERANCE = 1e-3


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

    def permutation_factors(self) -> tuple[np.ndarray, np.ndarray]:
        """Permutations of shapes (m₁, n) and (m₂, n), all of which are ``shifts[i][turns[j]]``: less than they are."""
        if not self.sites:
            return self.permutations, self.permutations
        return shifts_and_turns(self.structure, self.sites)

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
        return site_tree(self.structure.frac_coords)


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
            lattice = _Members(structure.lattice.matrix, site_tree(structure.frac_coords[same_site]), [], [])
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


def _matched_sites(matrix: np.ndarray, tree: cKDTree, structure: Structure) -> np.ndarray | None:
    """For each site of a lattice the index of the same site in ``structure``; None if cells or sites differ."""
    if len(structure) != tree.n or np.abs(structure.lattice.matrix - matrix).max() > CELL_TOLERANCE:
        return None
    distance, nearest = tree.query(in_unit_cube(structure.frac_coords), p=np.inf)
    if distance.max() > SITE_TOLERANCE:
        return None
    same_site = np.full(tree.n, -1)
    same_site[nearest] = np.arange(tree.n)
    return None if (same_site < 0).any() else same_site
