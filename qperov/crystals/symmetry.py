"""Which crystals are the same crystal: symmetry classes of any set of structures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from qperov.crystals.parent_lattice import ParentLattice, parent_lattices
from qperov.evaluation.progress import announced

#: Neighbours up to this distance (Å) enter the fingerprint that decides which pairs are compared in full.
FINGERPRINT_CUTOFF = 6.0
#: Fingerprints may differ by this share of their largest value …
FINGERPRINT_SHARE = 0.01
#: … and by this much in any case: a pair just inside the cutoff weighs little, but all of it changes with its distance.
FINGERPRINT_FLOOR = 1e-3
#: Translations of a cell that are tried at a time.
MOST_SHIFTS = 256


def symmetry_classes(structures: Sequence[Structure]) -> np.ndarray:
    """Number the symmetry-inequivalent crystals of a set.

    Decorations of one lattice are compared exactly, by the least image of the decoration under the lattice's
    site permutations, that is under the operations that keep the common cell: two decorations that repeat with a
    smaller period, and are one crystal turned in a way that the cell does not allow, count as two. Crystals on
    different lattices (relaxed cells, other settings) are compared with pymatgen's StructureMatcher at tight
    tolerances, but only where a smooth fingerprint of their distances agrees.

    Parameters
    ----------
    structures : sequence of Structure

    Returns
    -------
    ndarray of int, shape (n,)
        Equal numbers for equivalent crystals, counted from 0 in order of first appearance.
    """
    n = len(structures)
    labels = np.full(n, -1)
    representatives: list[int] = []
    lattice_of: list[int] = []
    for lattice_number, (parent, rows, occupations) in enumerate(parent_lattices(structures)):
        canonical = _canonical_on(parent, occupations)
        _, first, inverse = np.unique(canonical, return_index=True, return_inverse=True)
        labels[rows] = inverse + len(representatives)
        representatives.extend(int(rows[i]) for i in first)
        lattice_of.extend([lattice_number] * len(first))
    merged = _merge_across_lattices([structures[r] for r in representatives], np.array(lattice_of))
    labels = merged[labels]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def _canonical_on(parent: ParentLattice, occupations: np.ndarray) -> np.ndarray:
    """`canonical_decorations` over all permutations of a lattice, with a word where that takes long."""
    shifts, turns = parent.permutation_factors()
    n, step = len(shifts), MOST_SHIFTS
    parts = [(turn, shifts[start : start + step]) for turn in turns for start in range(0, n, step)]
    images = (canonical_decorations(occupations, some[:, turn]) for turn, some in parts)
    what = f"comparing {len(occupations)} crystals of {len(parent.sites)} sites under {n * len(turns)} operations"
    ways_out = "smaller cells have fewer operations, and a dataset with known_groups needs no comparison"
    shown = announced(images, [len(some) for _, some in parts], what, ways_out)
    return reduce(lambda a, b: np.where(b < a, b, a), shown)


def canonical_decorations(occupations: np.ndarray, permutations: Iterable[np.ndarray]) -> np.ndarray:
    """Least image of each decoration over a permutation group, as byte strings.

    Parameters
    ----------
    occupations : ndarray of int, shape (n, n_sites)
        Species index on each site, below 255.
    permutations : iterable of ndarray of int, each of shape (n_sites,)
        Every element of the group, some perhaps more than once.

    Returns
    -------
    ndarray of bytes, shape (n,)
        Equal exactly for decorations that a permutation maps onto each other.
    """
    n, n_sites = occupations.shape
    if n_sites == 0:
        return np.full(n, b"\x01")
    # codes start at 1: numpy strips zero bytes from the end of a string
    codes = (occupations + 1).astype(np.uint8)
    text = f"S{n_sites}"
    best = np.ascontiguousarray(codes).view(text).ravel()
    for permutation in permutations:
        image = np.ascontiguousarray(codes[:, permutation]).view(text).ravel()
        best = np.where(image < best, image, best)
    return best


def _merge_across_lattices(structures: list[Structure], lattice_of: np.ndarray) -> np.ndarray:
    """Class number of each representative after comparing those that stand on different lattices."""
    n = len(structures)
    if len(np.unique(lattice_of)) < 2:
        return np.arange(n)
    matcher = StructureMatcher(ltol=0.01, stol=0.05, angle_tol=0.5, primitive_cell=True, scale=False)
    by_formula: dict[tuple[str, ...], list[int]] = {}
    for i, structure in enumerate(structures):
        kinds = sorted({site.species_string for site in structure})
        by_formula.setdefault((structure.composition.reduced_formula, *kinds), []).append(i)
    pairs: list[tuple[int, int]] = []
    for members in by_formula.values():
        if len(members) < 2:
            continue
        prints = np.array([_distance_fingerprint(structures[i]) for i in members])
        allowed = FINGERPRINT_SHARE * np.abs(prints).max(axis=0) + FINGERPRINT_FLOOR
        for a in range(len(members)):
            close = (np.abs(prints[a + 1 :] - prints[a]) <= allowed).all(axis=1)
            for b in np.flatnonzero(close) + a + 1:
                i, j = members[a], members[int(b)]
                if lattice_of[i] != lattice_of[j] and matcher.fit(structures[i], structures[j]):
                    pairs.append((i, j))
    if not pairs:
        return np.arange(n)
    i, j = np.array(pairs).T
    return connected_components(coo_array((np.ones(len(i)), (i, j)), shape=(n, n)), directed=False)[1]


def _distance_fingerprint(structure: Structure) -> np.ndarray:
    """Volume per atom, and per pair of elements two sums over neighbours that vary smoothly with every distance."""
    centre, neighbour, _, distance = structure.get_neighbor_list(FINGERPRINT_CUTOFF)
    names = np.array([site.species_string for site in structure])
    kinds = sorted(set(names))
    code = np.array([kinds.index(name) for name in names])
    envelope = (1 - (distance / FINGERPRINT_CUTOFF) ** 2) ** 2
    pair = code[centre] * len(kinds) + code[neighbour]
    sums = [
        np.bincount(pair, weights=envelope * weight, minlength=len(kinds) ** 2) / len(structure)
        for weight in (np.ones_like(distance), np.exp(-distance))
    ]
    return np.concatenate([[structure.volume / len(structure)], *sums])
