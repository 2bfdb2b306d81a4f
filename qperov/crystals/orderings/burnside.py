"""How many classes of decorations a permutation group makes, and classes drawn with equal chances.

Burnside's lemma: the number of classes is the mean over the group of the decorations that a permutation leaves as
they are, those constant on its cycles.

References
----------
J. D. Dixon, H. S. Wilf, "The random selection of unlabeled graphs", J. Algorithms 4, 205 (1983),
doi:10.1016/0196-6774(83)90021-4: a permutation drawn with chances in proportion to the decorations it fixes, then one
of these decorations, belongs to every class with the same chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from math import comb

import numpy as np

from qperov.crystals.orderings.sublattices import Block

#: Cycles of a permutation on one sublattice: (length, how many), longest first.
CycleType = tuple[tuple[int, int], ...]


def class_counts(permutations: np.ndarray) -> list[int]:
    """How many classes of k-subsets a permutation group makes, k = 0 … n, without enumerating them.

    Parameters
    ----------
    permutations : ndarray of int, shape (m, n)
        Every element of the group once.
    """
    n = permutations.shape[1]
    types = Counter(_cycle_type(_cycles(p, 0, n)) for p in permutations.tolist())
    return [
        sum(many * _fixed(cycles, (n - k, k)) for cycles, many in types.items()) // len(permutations)
        for k in range(n + 1)
    ]


def n_classes(permutations: np.ndarray, blocks: Sequence[Block]) -> int:
    """How many classes of decorations with the counts of ``blocks`` a permutation group makes, exactly.

    Parameters
    ----------
    permutations : ndarray of int, shape (m, n)
        Every element of the group once; none leads from one block to another.
    blocks : sequence of Block
    """
    types = Counter(
        tuple(_cycle_type(_cycles(p, start, end)) for start, end, _ in blocks) for p in permutations.tolist()
    )
    return sum(many * _fixed_by_type(key, blocks) for key, many in types.items()) // len(permutations)


class UniformClasses:
    """Draws decorations so that every class has the same chance."""

    def __init__(self, permutations: np.ndarray, blocks: Sequence[Block]) -> None:
        self.blocks = tuple(blocks)
        self.n_sites = permutations.shape[1]
        self.members: dict[tuple[CycleType, ...], list[list[int]]] = {}
        for p in permutations.tolist():
            key = tuple(_cycle_type(_cycles(p, start, end)) for start, end, _ in blocks)
            self.members.setdefault(key, []).append(p)
        weights = [len(rows) * _fixed_by_type(key, blocks) for key, rows in self.members.items()]
        # the weights may be far beyond floating point, their shares are not
        self.shares = np.array([weight / sum(weights) for weight in weights])

    def draw(self, n: int, random_state: np.random.Generator) -> np.ndarray:
        """Decorations, shape (n, n_sites), as species codes of each sublattice."""
        codes = np.zeros((n, self.n_sites), dtype=np.uint8)
        keys = list(self.members)
        for row, kind in enumerate(random_state.choice(len(keys), size=n, p=self.shares)):
            rows = self.members[keys[kind]]
            permutation = rows[random_state.integers(len(rows))]
            for start, end, counts in self.blocks:
                _colour_cycles(codes[row], _cycles(permutation, start, end), counts, random_state)
        return codes


def _colour_cycles(
    codes: np.ndarray, cycles: list[list[int]], counts: tuple[int, ...], random_state: np.random.Generator
) -> None:
    """Write one of the decorations that are constant on the cycles, all of them with the same chance."""
    groups = _cycle_type(cycles)
    left = counts
    for place, (length, many) in enumerate(groups):
        splits = list(_splits(many, tuple(k // length for k in left)))
        weights = [_arrangements(split) * _fixed(groups[place + 1 :], _minus(left, split, length)) for split in splits]
        total = sum(weights)
        split = splits[random_state.choice(len(splits), p=np.array([weight / total for weight in weights]))]
        colours = random_state.permutation(np.repeat(np.arange(len(split)), split))
        same_length = [cycle for cycle in cycles if len(cycle) == length]
        for cycle, colour in zip(same_length, colours, strict=True):
            codes[cycle] = colour
        left = _minus(left, split, length)


def _cycles(permutation: list[int], start: int, end: int) -> list[list[int]]:
    found, seen = [], [False] * len(permutation)
    for first in range(start, end):
        cycle, position = [], first
        while not seen[position]:
            seen[position] = True
            cycle.append(position)
            position = permutation[position]
        if cycle:
            found.append(cycle)
    return found


def _cycle_type(cycles: list[list[int]]) -> CycleType:
    return tuple(sorted(Counter(len(cycle) for cycle in cycles).items(), reverse=True))


def _fixed_by_type(key: tuple[CycleType, ...], blocks: Sequence[Block]) -> int:
    total = 1
    for cycles, (_, _, counts) in zip(key, blocks, strict=True):
        total *= _fixed(cycles, counts)
    return total


@cache
def _fixed(groups: CycleType, counts: tuple[int, ...]) -> int:
    """Decorations with these counts that are constant on cycles of these lengths."""
    if not groups:
        return int(not any(counts))
    (length, many), rest = groups[0], groups[1:]
    return sum(
        _arrangements(split) * _fixed(rest, _minus(counts, split, length))
        for split in _splits(many, tuple(k // length for k in counts))
    )


def _splits(total: int, most: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Every way to share ``total`` among species that take at most so many each."""
    if len(most) == 1:
        if total <= most[0]:
            yield (total,)
        return
    for first in range(max(0, total - sum(most[1:])), min(total, most[0]) + 1):
        for others in _splits(total - first, most[1:]):
            yield (first, *others)


def _arrangements(split: tuple[int, ...]) -> int:
    """Multinomial coefficient."""
    ways, left = 1, sum(split)
    for k in split:
        ways *= comb(left, k)
        left -= k
    return ways


def _minus(counts: tuple[int, ...], split: tuple[int, ...], length: int) -> tuple[int, ...]:
    return tuple(k - length * j for k, j in zip(counts, split, strict=True))
