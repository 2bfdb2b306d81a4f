"""The parent lattice that decorated crystals share, and the permutations its symmetry makes of their sites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import spglib
from pymatgen.core import Structure

from qperov.errors import SymmetryError

#: Sites of two structures are the same site within this fraction of a lattice vector.
SITE_TOLERANCE = 1e-3


def site_permutations(structure: Structure, sites: Sequence[int], *, symprec: float = 1e-3) -> np.ndarray:
    """Distinct permutations of ``sites`` under the symmetry operations that keep the cell of ``structure``.

    Operations x ↦ Rx + t are those of spglib for the cell as given: rotations that do not map the cell's own
    lattice onto itself are not among them.

    Parameters
    ----------
    structure : Structure
        The parent: ``sites`` must hold one species where the permutations are to mix them.
    sites : sequence of int
        Indices of the sites, shape (n,).
    symprec : float
        Tolerance in Å.

    Returns
    -------
    ndarray of int, shape (m, n)
        Row g sends position j to position ``g[j]`` in ``sites``; the first row is the identity.

    Raises
    ------
    SymmetryError
        If spglib finds no symmetry, or an operation leads out of ``sites``.
    """
    species = sorted({site.species_string for site in structure})
    numbers = [species.index(site.species_string) + 1 for site in structure]
    found = spglib.get_symmetry((structure.lattice.matrix, structure.frac_coords, numbers), symprec=symprec)
    if found is None:
        raise SymmetryError("no symmetry operations were found for the parent lattice; are two of its sites the same?")
    positions = structure.frac_coords[list(sites)]
    images = np.einsum("gab,nb->gna", found["rotations"], positions) + found["translations"][:, None, :]
    offset = images[:, :, None, :] - positions[None, None, :, :]
    offset -= np.round(offset)
    squared = np.einsum("gnma,ab,gnmb->gnm", offset, structure.lattice.metric_tensor, offset)
    permutations = squared.argmin(axis=2)
    if squared.min(axis=2).max() > (10 * symprec) ** 2:
        raise SymmetryError("a symmetry operation of the parent lattice leads out of the chosen sites")
    distinct = np.unique(permutations, axis=0)
    identity = (distinct == np.arange(len(positions))).all(axis=1)
    return np.concatenate([distinct[identity], distinct[~identity]])


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

    def occupations(self, structures: Sequence[Structure]) -> np.ndarray:
        """Species index on each decorated site, shape (n_structures, n_sites).

        Raises
        ------
        SymmetryError
            If a structure does not lie on this lattice or holds a species unknown to it.
        """
        key, order = _lattice_key(self.structure)
        rank_of_site = np.argsort(order)
        rows = np.empty((len(structures), len(self.sites)), dtype=np.int64)
        lookup = [{name: code for code, name in enumerate(choice)} for choice in self.choices]
        for row, structure in enumerate(structures):
            other_key, other_order = _lattice_key(structure)
            if other_key != key:
                raise SymmetryError(
                    f"structure {row} ({structure.composition.formula}) does not lie on the parent lattice; "
                    "correlation functions and orderings need crystals that share one lattice"
                )
            names = [site.species_string for site in structure]
            for column, site in enumerate(self.sites):
                name = names[other_order[rank_of_site[site]]]
                if name not in lookup[column]:
                    raise SymmetryError(
                        f"structure {row} has {name} where the parent lattice knows {self.choices[column]}"
                    )
                rows[row, column] = lookup[column][name]
        return rows


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
    members: dict[bytes, list[int]] = {}
    orders: list[np.ndarray] = []
    for row, structure in enumerate(structures):
        key, order = _lattice_key(structure)
        members.setdefault(key, []).append(row)
        orders.append(order)
    return [_parent_of(structures, np.array(rows), orders) for rows in members.values()]


def _parent_of(
    structures: Sequence[Structure], rows: np.ndarray, orders: list[np.ndarray]
) -> tuple[ParentLattice, np.ndarray, np.ndarray]:
    names = np.array([_species_names(structures[row])[orders[row]] for row in rows])
    first, first_order = structures[rows[0]], orders[rows[0]]
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


def _species(structure: Structure, sorted_names: np.ndarray, name: str, order: np.ndarray) -> object:
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


def _lattice_key(structure: Structure) -> tuple[bytes, np.ndarray]:
    """Bytes that are equal for equal cells and sites whatever the order of the sites, and the sorting of the sites."""
    # half a step of offset keeps the positions that crystals favour (0, 1/4, 1/3, ...) away from rounding edges
    cells = np.round(np.mod(structure.frac_coords, 1.0) / SITE_TOLERANCE + 0.137).astype(np.int64) % round(
        1 / SITE_TOLERANCE
    )
    order = np.lexsort(cells.T[::-1])
    lattice = np.round(structure.lattice.matrix / SITE_TOLERANCE).astype(np.int64)
    return lattice.tobytes() + cells[order].tobytes(), order
