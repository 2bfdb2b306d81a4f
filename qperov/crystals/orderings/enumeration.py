"""Symmetry-inequivalent orderings of species on the sites of a cell: all of them, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pymatgen.core import Structure

from qperov.crystals.orderings.burnside import n_classes
from qperov.crystals.orderings.sublattices import Sublattice, decorated_cell, requested_sublattices
from qperov.crystals.orderings.subset_classes import inequivalent_decorations


@dataclass(frozen=True, eq=False)
class Ordering:
    """One inequivalent decoration of a cell, the least of its class.

    Attributes
    ----------
    parent : Structure
        The cell that is decorated, the first species of each sublattice on all of its sites.
    sites : tuple of int
        The sites that are decorated, sublattice after sublattice.
    species : tuple of str
        The species that share the sites, sublattice after sublattice.
    names : tuple of str
        The species on each of ``sites``.
    multiplicity : int
        How many decorations of the cell are equivalent to this one.
    """

    parent: Structure
    sites: tuple[int, ...]
    species: tuple[str, ...]
    names: tuple[str, ...]
    multiplicity: int

    @property
    def occupied(self) -> tuple[int, ...]:
        """Sites of ``parent`` that hold the last of ``species``."""
        return tuple(site for site, name in zip(self.sites, self.names, strict=True) if name == self.species[-1])

    @property
    def structure(self) -> Structure:
        """The decorated crystal, sites in the order of ``parent``."""
        names: list[Any] = [site.species for site in self.parent]
        for site, name in zip(self.sites, self.names, strict=True):
            names[site] = name
        return Structure(self.parent.lattice, names, self.parent.frac_coords)


def orderings(
    supercell: Structure,
    sites: str | Sequence[int] | Sequence[Sublattice],
    species: Sequence[str] | None = None,
    count: int | Sequence[int] | None = None,
) -> list[Ordering]:
    """Every symmetry-inequivalent way to share the sites of one sublattice, or of several, among species.

    Decorations are equivalent when a symmetry operation of the undecorated cell (all sites of a sublattice alike)
    that keeps the cell, and every sublattice, maps one onto the other; by Burnside's lemma the number of classes is
    the mean, over those operations, of the decorations each leaves as it is. Work grows with the number of classes,
    not with the number of decorations.

    Parameters
    ----------
    supercell : Structure
        The cell as it is; nothing is repeated.
    sites : str, sequence of int, or sequence of Sublattice
        An element, whose sites are taken, or indices, each once. Several sublattices come with their species and
        counts; the two arguments below are then left out.
    species : sequence of str, optional
        Two different species, or more.
    count : int or sequence of int, optional
        How many of the last of two species, 0 … number of sites; or how many of each species.

    Returns
    -------
    list of Ordering
        Sorted by decoration; the multiplicities add up to the number of decorations, C(n_sites, count) for two
        species on one sublattice.

    Raises
    ------
    ValueError
        If no site matches, an index is out of range or given twice, species coincide, or counts do not fit.
    SymmetryError
        If a sublattice has more than 62 sites, or there are more than two million classes: see
        :func:`~qperov.crystals.random_orderings`.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> cubic = Structure.from_spacegroup("Pm-3m", Lattice.cubic(6.0), ["Cs", "Pb", "Br"],
    ...                                   [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)])
    >>> [len(orderings(cubic * (2, 1, 1), "Br", ("Br", "I"), k)) for k in range(4)]
    [1, 2, 5, 5]
    >>> lead = Sublattice("Pb", ("Pb", "Sn"), (1, 1))
    >>> halides = Sublattice("Br", ("Br", "Cl", "I"), (4, 1, 1))
    >>> len(orderings(cubic * (2, 1, 1), [lead, halides]))
    11
    """
    cell = decorated_cell(supercell, requested_sublattices(supercell, sites, species, count))
    codes, multiplicities = inequivalent_decorations(cell.permutations, cell.blocks)
    all_species = tuple(name for group in cell.species for name in group)
    return [
        Ordering(cell.parent, cell.sites, all_species, cell.names(row), many)
        for row, many in zip(codes, multiplicities.tolist(), strict=True)
    ]


def count_orderings(
    supercell: Structure,
    sites: str | Sequence[int] | Sequence[Sublattice],
    species: Sequence[str] | None = None,
    count: int | Sequence[int] | None = None,
) -> int:
    """How many orderings there are, exactly, in cells of any size: Burnside's lemma and nothing enumerated.

    Parameters and errors are those of :func:`orderings`.
    """
    cell = decorated_cell(supercell, requested_sublattices(supercell, sites, species, count))
    return n_classes(cell.permutations, cell.blocks)
