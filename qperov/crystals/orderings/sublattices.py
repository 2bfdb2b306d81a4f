"""Sublattices of a cell that several species share, and how many sites each of them gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial, prod

import numpy as np
from pymatgen.core import Structure

from qperov.crystals.operations import site_permutations


@dataclass(frozen=True)
class Sublattice:
    """Sites that a stated number of each of several species share.

    Attributes
    ----------
    sites : str or tuple of int
        An element, whose sites are taken, or indices, each once.
    species : tuple of str
        Two or more different ones.
    counts : tuple of int
        How many sites each of ``species`` gets; they add up to the number of sites.
    """

    sites: str | Sequence[int]
    species: Sequence[str]
    counts: Sequence[int]


#: A stretch of decorated positions, start and end, with the counts of the species that share it.
Block = tuple[int, int, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class DecoratedCell:
    """A cell whose sublattices are to be decorated, with the symmetry that makes decorations equivalent.

    Attributes
    ----------
    parent : Structure
        Every decorated site holds the first species of its sublattice.
    sites : tuple of int
        The decorated sites, sublattice after sublattice.
    species : tuple of tuple of str
        For each sublattice its species; a decoration names them by their place, 0, 1, …
    blocks : tuple of Block
        For each sublattice its stretch of ``sites`` and its counts.
    permutations : ndarray of int, shape (m, n_sites)
        The permutations of ``sites`` under the operations that keep the cell and every sublattice.
    """

    parent: Structure
    sites: tuple[int, ...]
    species: tuple[tuple[str, ...], ...]
    blocks: tuple[Block, ...]
    permutations: np.ndarray

    def names(self, codes: np.ndarray) -> tuple[str, ...]:
        """Species on each of ``sites`` for one decoration, shape (n_sites,)."""
        return tuple(
            self.species[number][code]
            for number, (start, end, _) in enumerate(self.blocks)
            for code in codes[start:end].tolist()
        )


def n_decorations(blocks: Sequence[Block]) -> int:
    """How many decorations there are, equivalent ones included: a product of multinomial coefficients."""
    return prod(factorial(sum(counts)) // prod(factorial(k) for k in counts) for _, _, counts in blocks)


def requested_sublattices(
    structure: Structure,
    sites: str | Sequence[int] | Sequence[Sublattice],
    species: Sequence[str] | None,
    count: int | Sequence[int] | None,
) -> tuple[Sublattice, ...]:
    """The sublattices of a request, whose sites are indices: one given in words, or several given whole.

    Raises
    ------
    ValueError
        If no site matches, an index is out of range or given twice, species coincide, or counts do not fit.
    """
    if isinstance(sites, Sublattice):
        sites = [sites]
    whole = [part for part in sites if isinstance(part, Sublattice)]
    if whole:
        if len(whole) != len(sites) or species is not None or count is not None:
            raise ValueError("sublattices hold their species and counts themselves; give nothing beside them")
        found = tuple(_checked(structure, part.sites, part.species, part.counts) for part in whole)
    else:
        if species is None or count is None:
            raise ValueError("species and count are needed beside the sites")
        found = (_checked(structure, sites, species, count),)  # type: ignore[arg-type]
    shared = [site for site, many in Counter(site for part in found for site in part.sites).items() if many > 1]
    if shared:
        raise ValueError(f"sites {shared[:5]} belong to two sublattices")
    return found


def decorated_cell(supercell: Structure, sublattices: Sequence[Sublattice]) -> DecoratedCell:
    """The cell with its undecorated symmetry; ``sublattices`` as :func:`requested_sublattices` gives them.

    Raises
    ------
    SymmetryError
        If spglib finds no symmetry, or an operation leads from decorated to other sites.
    """
    parent = supercell.copy()
    chosen: list[int] = []
    blocks: list[Block] = []
    # of sublattices with one first species, and undecorated sites of it, the first stays with the undecorated sites
    seen: Counter[str] = Counter()
    rank = [0] * len(parent)
    for part in sublattices:
        first = part.species[0]
        blocks.append((len(chosen), len(chosen) + len(part.sites), tuple(part.counts)))
        for site in part.sites:
            parent[int(site)] = first
            rank[int(site)] = seen[first]
        chosen.extend(int(site) for site in part.sites)
        seen[first] += 1
    keys = [(site.species_string, number) for site, number in zip(parent, rank, strict=True)]
    ordered = sorted(set(keys))
    permutations = site_permutations(parent, chosen, kinds=[ordered.index(key) + 1 for key in keys])
    return DecoratedCell(
        parent=parent,
        sites=tuple(chosen),
        species=tuple(tuple(part.species) for part in sublattices),
        blocks=tuple(blocks),
        permutations=permutations,
    )


def _checked(
    structure: Structure, sites: str | Sequence[int], species: Sequence[str], count: int | Sequence[int]
) -> Sublattice:
    if isinstance(sites, str):
        chosen = tuple(i for i, site in enumerate(structure) if site.is_ordered and site.specie.symbol == sites)
    else:
        chosen = tuple(int(i) for i in sites)
    n = len(chosen)
    if n == 0:
        raise ValueError(f"no site of the cell {structure.composition.formula} matches {sites!r}")
    if len(set(chosen)) != n or not 0 <= min(chosen) <= max(chosen) < len(structure):
        raise ValueError(f"sites must be different indices from 0 to {len(structure) - 1}, not {sites!r}")
    if isinstance(species, str) or len(species) < 2 or len(set(species)) != len(species):
        raise ValueError(f"orderings are given for two different species or more, not {species!r}")
    each = count if isinstance(count, Sequence | np.ndarray) else [count]
    if not all(isinstance(k, int | np.integer) for k in each):
        raise ValueError(f"counts of sites must be whole numbers, not {count!r}")
    if isinstance(count, int | np.integer):
        if len(species) != 2:
            raise ValueError(
                f"one count is enough for two different species, not for {species!r}: give how many sites each of "
                "them gets"
            )
        if not 0 <= count <= n:
            raise ValueError(f"count must be between 0 and the {n} sites, not {count}")
        counts: tuple[int, ...] = (n - int(count), int(count))
    else:
        counts = tuple(int(k) for k in count)
        if len(counts) != len(species) or min(counts) < 0 or sum(counts) != n:
            raise ValueError(f"counts {counts} for {species!r} must not be negative and add up to the {n} sites")
    return Sublattice(chosen, tuple(species), counts)
