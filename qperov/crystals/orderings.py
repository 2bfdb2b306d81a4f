"""Symmetry-inequivalent orderings of two species on the sites of a cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
from pymatgen.core import Structure

from qperov.crystals.parent_lattice import site_permutations
from qperov.errors import SymmetryError

#: Decorations are held as bits of a 64-bit integer.
MAX_SITES = 62
#: Enumeration beyond this many classes would not fit into memory.
MAX_CLASSES = 2_000_000


@dataclass(frozen=True, eq=False)
class Ordering:
    """One inequivalent decoration of a cell.

    Attributes
    ----------
    parent : Structure
        The cell that is decorated.
    sites : tuple of int
        The sites that are decorated.
    species : (str, str)
        The first species fills the sites that ``occupied`` leaves, the last one those it names.
    occupied : tuple of int
        Sites of ``parent`` that hold the last species; the least decoration of its class.
    multiplicity : int
        How many decorations of the cell are equivalent to this one.
    """

    parent: Structure
    sites: tuple[int, ...]
    species: tuple[str, str]
    occupied: tuple[int, ...]
    multiplicity: int

    @property
    def structure(self) -> Structure:
        """The decorated crystal, sites in the order of ``parent``."""
        names: list[Any] = [site.species for site in self.parent]
        for site in self.sites:
            names[site] = self.species[0]
        for site in self.occupied:
            names[site] = self.species[1]
        return Structure(self.parent.lattice, names, self.parent.frac_coords)


def orderings(supercell: Structure, sites: str | Sequence[int], species: tuple[str, str], count: int) -> list[Ordering]:
    """Every symmetry-inequivalent way to put ``count`` atoms of the last species on ``sites``.

    Decorations are equivalent when a symmetry operation of the undecorated cell (all of ``sites`` alike) that
    keeps the cell maps one onto the other; by Burnside's lemma the number of classes is the mean, over those
    operations, of the decorations each leaves as it is. Work grows with the number of classes, not with the
    number of decorations.

    Parameters
    ----------
    supercell : Structure
        The cell as it is; nothing is repeated.
    sites : str or sequence of int
        An element, whose sites are taken, or indices, each once.
    species : (str, str)
        First and last species, two different ones.
    count : int
        How many of the last species, 0 … number of sites.

    Returns
    -------
    list of Ordering
        Sorted by decoration; the multiplicities add up to C(n_sites, count).

    Raises
    ------
    ValueError
        If no site matches, an index is out of range or given twice, the species are not two, or ``count`` is out
        of range.
    SymmetryError
        If there are more than 62 sites, or more than two million classes.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> cubic = Structure.from_spacegroup("Pm-3m", Lattice.cubic(6.0), ["Cs", "Pb", "Br"],
    ...                                   [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)])
    >>> [len(orderings(cubic * (2, 1, 1), "Br", ("Br", "I"), k)) for k in range(4)]
    [1, 2, 5, 5]
    """
    if isinstance(sites, str):
        chosen = tuple(i for i, site in enumerate(supercell) if site.is_ordered and site.specie.symbol == sites)
    else:
        chosen = tuple(int(i) for i in sites)
    n = len(chosen)
    if n == 0:
        raise ValueError(f"no site of the cell {supercell.composition.formula} matches {sites!r}")
    if len(set(chosen)) != n or not 0 <= min(chosen) <= max(chosen) < len(supercell):
        raise ValueError(f"sites must be different indices from 0 to {len(supercell) - 1}, not {sites!r}")
    if len(species) != 2 or species[0] == species[1]:
        raise ValueError(f"orderings are given for two different species, not {species!r}")
    if not 0 <= count <= n:
        raise ValueError(f"count must be between 0 and the {n} sites, not {count}")
    if n > MAX_SITES:
        raise SymmetryError(f"{n} sites: exhaustive enumeration takes at most {MAX_SITES}")
    parent = supercell.copy()
    for site in chosen:
        parent[site] = species[0]
    permutations = site_permutations(parent, chosen)
    masks, multiplicities = inequivalent_masks(permutations, count)
    return [
        Ordering(parent, chosen, species, tuple(site for bit, site in enumerate(chosen) if mask >> bit & 1), int(many))
        for mask, many in zip(masks.tolist(), multiplicities.tolist(), strict=True)
    ]


def class_counts(permutations: np.ndarray) -> list[int]:
    """How many classes of k-subsets a permutation group makes, k = 0 … n, without enumerating them.

    Burnside's lemma: the mean over the group of the k-subsets that a permutation leaves as they are, which is the
    coefficient of xᵏ in Π (1 + x^length) over its cycles.

    Parameters
    ----------
    permutations : ndarray of int, shape (m, n)
        Every element of the group once.
    """
    n = permutations.shape[1]
    fixed = [0] * (n + 1)
    for lengths, many in Counter(_cycle_lengths(p) for p in permutations.tolist()).items():
        polynomial = [1] + [0] * n
        for length in lengths:
            for k in range(n, length - 1, -1):
                polynomial[k] += polynomial[k - length]
        fixed = [total + many * term for total, term in zip(fixed, polynomial, strict=True)]
    return [total // len(permutations) for total in fixed]


def _cycle_lengths(permutation: list[int]) -> tuple[int, ...]:
    lengths, seen = [], [False] * len(permutation)
    for start in range(len(permutation)):
        length, position = 0, start
        while not seen[position]:
            seen[position] = True
            position = permutation[position]
            length += 1
        if length:
            lengths.append(length)
    return tuple(sorted(lengths))


def inequivalent_masks(permutations: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Least bit masks of the classes of ``count``-subsets under a permutation group, and the size of each class.

    Subsets grow by one element at a time from the representatives of the size below: every class of size k
    has a member that contains a representative of size k − 1.

    Parameters
    ----------
    permutations : ndarray of int, shape (m, n)
        Every element of the group once.
    count : int

    Returns
    -------
    masks, multiplicities : ndarray of int64, shape (n_classes,)

    Raises
    ------
    SymmetryError
        If there are too many classes, or the permutations are not a group.
    """
    n = permutations.shape[1]
    expected = class_counts(permutations)[count]
    if expected > MAX_CLASSES:
        raise SymmetryError(
            f"{expected:.3g} inequivalent orderings: enumeration takes at most {MAX_CLASSES:.3g}; use a smaller cell "
            "or a composition nearer to its ends"
        )
    complement = count > n - count
    size = n - count if complement else count
    tables = _image_tables(permutations)
    masks, stabilisers = np.zeros(1, dtype=np.int64), np.array([len(permutations)])
    bits = np.int64(1) << np.arange(n, dtype=np.int64)
    for _ in range(size):
        grown = masks[:, None] | bits[None, :]
        candidates = np.unique(grown[grown != masks[:, None]])
        least, fixed = _least_images(candidates, tables)
        masks, first = np.unique(least, return_index=True)
        stabilisers = fixed[first]
    if complement:
        masks, stabilisers = _least_images(((np.int64(1) << n) - 1) ^ masks, tables)
        order = np.argsort(masks)
        masks, stabilisers = masks[order], stabilisers[order]
    multiplicities = len(permutations) // stabilisers
    if multiplicities.sum() != comb(n, count):
        raise SymmetryError("the permutations are not a group: class sizes do not add up to the number of subsets")
    return masks, multiplicities


def _image_tables(permutations: np.ndarray) -> np.ndarray:
    """Image of every 8-bit piece of a mask under every permutation, shape (m, pieces, 256)."""
    m, n = permutations.shape
    pieces = -(-n // 8)
    tables = np.zeros((m, pieces, 256), dtype=np.int64)
    values = np.arange(256)
    for position in range(n):
        piece, bit = divmod(position, 8)
        holds = (values >> bit & 1).astype(np.int64)
        tables[:, piece, :] |= holds[None, :] << permutations[:, position, None].astype(np.int64)
    return tables


def _least_images(masks: np.ndarray, tables: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least image of each mask, and how many permutations leave the mask as it is."""
    pieces = [(masks >> (8 * piece)) & 255 for piece in range(tables.shape[1])]
    least = masks.copy()
    fixed = np.zeros(len(masks), dtype=np.int64)
    for table in tables:
        image = table[0][pieces[0]]
        for piece in range(1, len(pieces)):
            image |= table[piece][pieces[piece]]
        fixed += image == masks
        np.minimum(least, image, out=least)
    return least, fixed
