"""Random inequivalent orderings of cells that are too large to enumerate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pymatgen.core import Structure

from qperov.crystals.orderings.burnside import UniformClasses, n_classes
from qperov.crystals.orderings.enumeration import Ordering
from qperov.crystals.orderings.sublattices import (
    Block,
    DecoratedCell,
    Sublattice,
    decorated_cell,
    requested_sublattices,
)
from qperov.crystals.orderings.subset_classes import MAX_SITES, inequivalent_decorations

#: Pairs of a decoration and a permutation that are compared at once.
PAIRS_AT_ONCE = 4_000_000
#: Decorations drawn at once.
DRAWN_AT_ONCE = 4096


def random_orderings(
    supercell: Structure,
    sites: str | Sequence[int] | Sequence[Sublattice],
    species: Sequence[str] | None = None,
    count: int | Sequence[int] | None = None,
    n: int = 1,
    *,
    uniform_over: Literal["decorations", "classes"] = "decorations",
    random_state: int | np.random.Generator | None = None,
) -> list[Ordering]:
    """Different symmetry-inequivalent orderings of a cell, drawn at random; equivalence as in :func:`orderings`.

    Orderings are drawn one after the other, and one equivalent to an earlier one is left out. With
    ``uniform_over="decorations"`` every decoration of the cell has the same chance in each draw, and so a class one
    in proportion to its multiplicity, as in a crystal whose species are mixed at random. With ``"classes"`` every
    class has the same chance (Dixon and Wilf), so that symmetric orderings, whose multiplicity is small, come as often
    as others. Whether two orderings are equivalent is decided exactly.

    Parameters
    ----------
    supercell, sites, species, count
        As in :func:`orderings`; cells of hundreds of sites are meant.
    n : int
        How many orderings.
    uniform_over : {"decorations", "classes"}
        What has the same chance in each draw.
    random_state : int or numpy Generator, optional
        Equal seeds give equal orderings.

    Returns
    -------
    list of Ordering
        Shape (n,), in the order of drawing, each as the least decoration of its class and with its multiplicity.

    Raises
    ------
    ValueError
        If ``n`` is more than the number of classes (see :func:`count_orderings`), or as in :func:`orderings`.

    References
    ----------
    J. D. Dixon, H. S. Wilf, J. Algorithms 4, 205 (1983), doi:10.1016/0196-6774(83)90021-4.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> cubic = Structure.from_spacegroup("Pm-3m", Lattice.cubic(6.0), ["Cs", "Pb", "Br"],
    ...                                   [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)])
    >>> found = random_orderings(cubic * (4, 4, 4), "Br", ("Br", "I"), 96, 3, random_state=0)
    >>> [ordering.multiplicity for ordering in found]
    [3072, 3072, 3072]
    """
    if uniform_over not in ("decorations", "classes"):
        raise ValueError(f"uniform_over must be 'decorations' or 'classes', not {uniform_over!r}")
    if n < 0:
        raise ValueError(f"n must not be negative, not {n}")
    cell = decorated_cell(supercell, requested_sublattices(supercell, sites, species, count))
    there_are = n_classes(cell.permutations, cell.blocks)
    if n > there_are:
        raise ValueError(f"{n} orderings are asked for, but there are only {there_are} inequivalent ones")
    rng = np.random.default_rng(random_state)
    if 2 * n > there_are:
        codes, multiplicities = _all_classes(cell, there_are, rng)
        # sorted by exponential waiting times, classes stand as if drawn one after the other without return
        chances = multiplicities if uniform_over == "decorations" else np.ones(there_are)
        order = np.argsort(rng.exponential(size=there_are) / chances)[:n]
        codes, multiplicities = codes[order], multiplicities[order]
    else:
        codes, multiplicities = _different_classes(cell, n, uniform_over, rng)
    all_species = tuple(name for group in cell.species for name in group)
    return [
        Ordering(cell.parent, cell.sites, all_species, cell.names(row), many)
        for row, many in zip(codes, multiplicities.tolist(), strict=True)
    ]


def least_decorations(
    codes: np.ndarray, permutations: np.ndarray, blocks: Sequence[Block]
) -> tuple[np.ndarray, np.ndarray]:
    """Least image of each decoration over a permutation group, and how many decorations are equivalent to it.

    Images are compared as `subset_classes.inequivalent_decorations` sorts them: by the sites
    of the second species of the first sublattice read as a binary number whose highest digit is the last site, then
    by those of the third, and so on. Site after site only the permutations that still give the least image are
    kept; at the end they are as many as leave the decoration as it is.

    Parameters
    ----------
    codes : ndarray of uint8, shape (n, n_sites)
        Place of the species on each site among those of its sublattice.
    permutations : ndarray of int, shape (m, n_sites)
        Every element of the group once.
    blocks : sequence of Block

    Returns
    -------
    least : ndarray of uint8, shape (n, n_sites)
    multiplicities : ndarray of int64, shape (n,)
    """
    at_once = max(1, PAIRS_AT_ONCE // len(permutations))
    least = np.empty_like(codes)
    kept = np.empty(len(codes), dtype=np.int64)
    columns = np.ascontiguousarray(permutations.T)
    steps = [
        (column, code)
        for start, end, counts in blocks
        for code in range(1, len(counts))
        for column in range(end - 1, start - 1, -1)
    ]
    for first in range(0, len(codes), at_once):
        part = codes[first : first + at_once]
        row = np.repeat(np.arange(len(part)), len(permutations))
        operation = np.tile(np.arange(len(permutations)), len(part))
        for column, code in steps:
            holds = part[row, columns[column][operation]] == code
            spared = np.zeros(len(part), dtype=bool)
            spared[row[~holds]] = True
            stay = ~(holds & spared[row])
            row, operation = row[stay], operation[stay]
        _, representative, many = np.unique(row, return_index=True, return_counts=True)
        least[first : first + at_once] = np.take_along_axis(part, permutations[operation[representative]], axis=1)
        kept[first : first + at_once] = many
    return least, len(permutations) // kept


def _different_classes(
    cell: DecoratedCell, n: int, uniform_over: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Least decorations and multiplicities of the first ``n`` different classes that are drawn."""
    uniform = UniformClasses(cell.permutations, cell.blocks) if uniform_over == "classes" else None
    found: dict[bytes, int] = {}
    while len(found) < n:
        wanted = min(DRAWN_AT_ONCE, n - len(found))
        drawn = uniform.draw(wanted, rng) if uniform else _random_decorations(cell.blocks, wanted, rng)
        least, multiplicities = least_decorations(drawn, cell.permutations, cell.blocks)
        for row, many in zip(least, multiplicities.tolist(), strict=True):
            found.setdefault(row.tobytes(), many)
    codes = np.frombuffer(b"".join(found), dtype=np.uint8).reshape(n, len(cell.sites))
    return codes, np.array(list(found.values()), dtype=np.int64)


def _all_classes(cell: DecoratedCell, there_are: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Every class: by enumeration, or in larger cells drawn with equal chances until none is missing."""
    if max(end - start for start, end, _ in cell.blocks) <= MAX_SITES:
        return inequivalent_decorations(cell.permutations, cell.blocks)
    codes, multiplicities = _different_classes(cell, there_are, "classes", rng)
    order = np.lexsort(codes.T)
    return codes[order], multiplicities[order]


def _random_decorations(blocks: Sequence[Block], n: int, rng: np.random.Generator) -> np.ndarray:
    """Decorations, every one with the same chance, shape (n, n_sites)."""
    parts = [np.tile(np.repeat(np.arange(len(counts), dtype=np.uint8), counts), (n, 1)) for _, _, counts in blocks]
    return np.concatenate([rng.permuted(part, axis=1) for part in parts], axis=1)
