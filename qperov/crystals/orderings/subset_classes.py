"""Every class of subsets, and of decorations, under a permutation group."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np

from qperov.crystals.orderings.burnside import class_counts, n_classes
from qperov.crystals.orderings.sublattices import Block, n_decorations
from qperov.errors import SymmetryError

#: Subsets are held as bits of a 64-bit integer.
MAX_SITES = 62
#: Enumeration beyond this many classes would not fit into memory.
MAX_CLASSES = 2_000_000


def inequivalent_decorations(permutations: np.ndarray, blocks: Sequence[Block]) -> tuple[np.ndarray, np.ndarray]:
    """Least decoration of every class, and the size of each class.

    Species are placed one after the other. The places of the next species are classified under the permutations
    that leave those already placed as they are: by the theorem of orbits and stabilisers the pairs so found are
    the classes of pairs.

    Parameters
    ----------
    permutations : ndarray of int, shape (m, n)
        Every element of the group once; none leads from one block to another.
    blocks : sequence of Block

    Returns
    -------
    codes : ndarray of uint8, shape (n_classes, n)
        Place of the species on each site among those of its sublattice; sorted.
    multiplicities : ndarray of int64, shape (n_classes,)

    Raises
    ------
    SymmetryError
        If there are too many classes, a sublattice has too many sites, or the permutations are not a group.
    """
    largest = max(end - start for start, end, _ in blocks)
    if largest > MAX_SITES:
        raise SymmetryError(
            f"{largest} sites: exhaustive enumeration takes at most {MAX_SITES}; larger cells can be sampled "
            "(random_orderings)"
        )
    expected = n_classes(permutations, blocks)
    if expected > MAX_CLASSES:
        raise SymmetryError(
            f"{expected:.3g} inequivalent orderings: enumeration takes at most {MAX_CLASSES:.3g}; use a smaller cell, "
            "a composition nearer to its ends, or a sample (random_orderings)"
        )
    steps = [(block, code, k) for block in blocks for code, k in enumerate(block[2]) if code]
    known: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
    # decorations so far, with the permutations that leave them as they are
    partial = [(np.zeros(permutations.shape[1], dtype=np.uint8), np.arange(len(permutations)))]
    found: list[np.ndarray] = []
    sizes: list[np.ndarray] = []
    for number, ((start, end, _), code, k) in enumerate(steps, start=1):
        grown: list[tuple[np.ndarray, np.ndarray]] = []
        for codes, keepers in partial:
            free = start + np.flatnonzero(codes[start:end] == 0)
            place = np.zeros(permutations.shape[1], dtype=np.int64)
            place[free] = np.arange(len(free))
            moves = place[permutations[np.ix_(keepers, free)]]
            key = k.to_bytes(1) + moves.astype(np.uint8).tobytes()
            if key not in known:
                known[key] = inequivalent_masks(moves, k)
            masks, orbit_sizes = known[key]
            members = (masks[:, None] >> np.arange(len(free)) & 1).astype(bool)
            new = np.repeat(codes[None, :], len(masks), axis=0)
            new[:, free] = np.where(members, np.uint8(code), codes[free])
            if number == len(steps):
                found.append(new)
                sizes.append(len(permutations) // len(keepers) * orbit_sizes)
            else:
                grown += [
                    (row, keepers[(member[moves] == member).all(axis=1)])
                    for row, member in zip(new, members, strict=True)
                ]
        partial = grown
    multiplicities = np.concatenate(sizes)
    if sum(multiplicities.tolist()) != n_decorations(blocks):
        raise SymmetryError("the permutations are not a group: class sizes do not add up to the number of decorations")
    return np.concatenate(found), multiplicities


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
