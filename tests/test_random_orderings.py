from __future__ import annotations

from collections import Counter
from itertools import permutations as arrangements
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perovskites import halide_sites, perovskite
from scipy.stats import chisquare

from qperov import orderings
from qperov.crystals import symmetry_classes
from qperov.crystals.orderings.burnside import UniformClasses, n_classes
from qperov.crystals.orderings.enumeration import count_orderings
from qperov.crystals.orderings.sampling import least_decorations, random_orderings
from qperov.crystals.orderings.sublattices import (
    Block,
    Sublattice,
    decorated_cell,
    n_decorations,
    requested_sublattices,
)
from qperov.crystals.orderings.subset_classes import inequivalent_decorations
from qperov.errors import SymmetryError

MIXED = [
    Sublattice("Cs", ("Cs", "Rb"), (1, 1)),
    Sublattice("Pb", ("Pb", "Sn"), (1, 1)),
    Sublattice("Br", ("Br", "Cl", "I"), (3, 2, 1)),
]


def closure(generators: list[tuple[int, ...]]) -> np.ndarray:
    """The permutation group that generators make."""
    group = {tuple(range(len(generators[0])))}
    frontier = set(group)
    while frontier:
        frontier = {tuple(g[i] for i in p) for p in frontier for g in generators} - group
        group |= frontier
    return np.array(sorted(group))


def all_decorations(blocks: list[Block]) -> list[tuple[int, ...]]:
    """Every decoration, equivalent ones included."""
    parts = [
        sorted(set(arrangements([code for code, k in enumerate(counts) for _ in range(k)]))) for _, _, counts in blocks
    ]
    return [tuple(code for part in combined for code in part) for combined in product(*parts)]


def orbits(group: np.ndarray, decorations: list[tuple[int, ...]]) -> list[set[tuple[int, ...]]]:
    """Classes of decorations by brute force."""
    left, found = set(decorations), []
    while left:
        one = next(iter(left))
        orbit = {tuple(one[i] for i in p) for p in group}
        found.append(orbit)
        left -= orbit
    return found


@st.composite
def groups_and_blocks(draw: st.DrawFn) -> tuple[np.ndarray, list[Block]]:
    """A permutation group on one or two blocks, and counts of two or three species on each."""
    sizes = draw(st.sampled_from([[3], [5], [6], [3, 2], [4, 3]]))
    blocks: list[Block] = []
    start = 0
    for size in sizes:
        cuts = sorted(draw(st.lists(st.integers(0, size), min_size=1, max_size=2)))
        counts = tuple(np.diff([0, *cuts, size]).tolist())
        blocks.append((start, start + size, counts))
        start += size
    generators = [
        tuple(i for begin, end, _ in blocks for i in draw(st.permutations(range(begin, end))))
        for _ in range(draw(st.integers(1, 2)))
    ]
    return closure(generators), blocks


@settings(max_examples=80, deadline=None)
@given(groups_and_blocks())
def test_enumeration_and_count_agree_with_brute_force(case):
    group, blocks = case
    truth = orbits(group, all_decorations(blocks))
    codes, multiplicities = inequivalent_decorations(group, blocks)
    assert len(codes) == len(truth) == n_classes(group, blocks)
    sizes = {one: len(orbit) for orbit in truth for one in orbit}
    rows = [tuple(row.tolist()) for row in codes]
    assert [sizes[row] for row in rows] == multiplicities.tolist()
    assert len({frozenset(orbit) for orbit in truth for row in rows if row in orbit}) == len(truth)
    assert multiplicities.sum() == n_decorations(blocks)


@settings(max_examples=60, deadline=None)
@given(groups_and_blocks())
def test_the_least_image_is_the_one_that_enumeration_lists(case):
    group, blocks = case
    decorations = np.array(all_decorations(blocks), dtype=np.uint8)
    least, multiplicities = least_decorations(decorations, group, blocks)
    codes, sizes = inequivalent_decorations(group, blocks)
    listed = {row.tobytes(): size for row, size in zip(codes, sizes.tolist(), strict=True)}
    assert [listed[row.tobytes()] for row in least] == multiplicities.tolist()
    for decoration, image in zip(decorations[::7], least[::7], strict=True):
        assert tuple(image.tolist()) in {tuple(decoration[p].tolist()) for p in group}


@pytest.mark.parametrize("uniform_over", ["decorations", "classes"])
def test_chances_are_the_stated_ones(uniform_over):
    """2×2×1 cell, 3 of 12: 220 decorations; the statistic of 6000 draws fits, and does not fit the other rule."""
    [part] = requested_sublattices(perovskite((2, 2, 1)), "Br", ("Br", "I"), 3)
    cell = decorated_cell(perovskite((2, 2, 1)), [part])
    rng = np.random.default_rng(7)
    if uniform_over == "classes":
        drawn = UniformClasses(cell.permutations, cell.blocks).draw(6000, rng)
    else:
        drawn = rng.permuted(np.tile([0] * 9 + [1] * 3, (6000, 1)), axis=1).astype(np.uint8)
    codes, sizes = inequivalent_decorations(cell.permutations, cell.blocks)
    found = Counter(row.tobytes() for row in least_decorations(drawn, cell.permutations, cell.blocks)[0])
    observed = [found[row.tobytes()] for row in codes]
    by_size, equal = 6000 * sizes / sizes.sum(), np.full(len(sizes), 6000 / len(sizes))
    right, wrong = (equal, by_size) if uniform_over == "classes" else (by_size, equal)
    assert chisquare(observed, right).pvalue > 1e-3
    assert chisquare(observed, wrong).pvalue < 1e-9


@pytest.mark.parametrize("uniform_over", ["decorations", "classes"])
def test_draws_are_different_members_of_the_enumeration(uniform_over):
    parent = perovskite((3, 2, 1))
    every = {o.occupied: o.multiplicity for o in orderings(parent, "Br", ("Br", "I"), 6)}
    found = random_orderings(parent, "Br", ("Br", "I"), 6, 120, uniform_over=uniform_over, random_state=1)
    assert len({o.occupied for o in found}) == 120
    assert all(every[o.occupied] == o.multiplicity for o in found)
    assert len(np.unique(symmetry_classes([o.structure for o in found]))) == 120
    again = random_orderings(parent, "Br", ("Br", "I"), 6, 120, uniform_over=uniform_over, random_state=1)
    other = random_orderings(parent, "Br", ("Br", "I"), 6, 120, uniform_over=uniform_over, random_state=2)
    assert [o.occupied for o in again] == [o.occupied for o in found] != [o.occupied for o in other]
    first, second = (random_orderings(parent, "Br", ("Br", "I"), 6, 120, uniform_over=uniform_over) for _ in range(2))
    assert [o.occupied for o in first] != [o.occupied for o in second], "without a seed others each time"


@pytest.mark.parametrize("uniform_over", ["decorations", "classes"])
def test_uniform_decorations_draw_multiplicities_rightly(uniform_over):
    """Classes that fill a list of half of all: of 17 classes with 2 I in 3×2×1, drawn 8 at a time."""
    parent = perovskite((3, 2, 1))
    rng = np.random.default_rng(0)
    drawn = [
        o.multiplicity
        for _ in range(40)
        for o in random_orderings(parent, "Br", ("Br", "I"), 2, 8, uniform_over=uniform_over, random_state=rng)
    ]
    sizes = np.array([o.multiplicity for o in orderings(parent, "Br", ("Br", "I"), 2)])
    # every class alike: the mean multiplicity of a draw is that of the classes, 153 decorations in 17 classes
    if uniform_over == "classes":
        assert abs(np.mean(drawn) - sizes.mean()) < 3 * sizes.std() / np.sqrt(len(drawn))
    else:
        assert np.mean(drawn) > sizes.mean() + 5 * sizes.std() / np.sqrt(len(drawn))


def test_every_class_comes_and_one_more_is_refused():
    parent = perovskite((3, 2, 1))
    found = random_orderings(parent, "Br", ("Br", "I"), 3, 61, random_state=0)
    assert {o.occupied for o in found} == {o.occupied for o in orderings(parent, "Br", ("Br", "I"), 3)}
    with pytest.raises(ValueError, match="62 orderings are asked for, but there are only 61"):
        random_orderings(parent, "Br", ("Br", "I"), 3, 62)


def test_a_cell_of_320_atoms_has_no_duplicates_and_full_orbits():
    """4×4×4, 96 of 192: nearly every ordering has as many images as there are operations."""
    parent = perovskite((4, 4, 4))
    found = random_orderings(parent, "Br", ("Br", "I"), 96, 40, random_state=3)
    assert len({o.occupied for o in found}) == 40
    assert {o.multiplicity for o in found} == {64 * 48}
    assert found[0].structure.composition.as_dict() == {"Cs": 64, "Pb": 64, "Br": 96, "I": 96}
    # an ordering and its image under a translation and a mirror have the same least decoration
    cell = decorated_cell(parent, requested_sublattices(parent, "Br", ("Br", "I"), 96))
    codes = np.isin(cell.sites, found[0].occupied).astype(np.uint8)
    images = codes[cell.permutations[[17, 1234, 3000]]]
    least, _ = least_decorations(np.concatenate([codes[None], images]), cell.permutations, cell.blocks)
    assert (least == codes).all()


def test_all_pairs_are_distances_between_sites():
    """2 of 192 sites, a class is a kind of neighbour: more classes than half cannot be drawn by luck alone."""
    parent = perovskite((4, 4, 4))
    there_are = count_orderings(parent, "Br", ("Br", "I"), 2)
    found = random_orderings(parent, "Br", ("Br", "I"), 2, there_are, random_state=0)
    assert len({o.occupied for o in found}) == there_are
    assert sum(o.multiplicity for o in found) == 192 * 191 // 2
    with pytest.raises(SymmetryError, match="random_orderings"):
        orderings(parent, "Br", ("Br", "I"), 2)


def test_three_sublattices_at_once():
    parent = perovskite((2, 1, 1))
    found = orderings(parent, MIXED)
    assert len(found) == count_orderings(parent, MIXED)
    assert sum(o.multiplicity for o in found) == 2 * 2 * 60
    for ordering in found:
        structure = ordering.structure
        wanted = {"Cs": 1, "Rb": 1, "Pb": 1, "Sn": 1, "Br": 3, "Cl": 2, "I": 1}
        assert structure.composition.as_dict() == wanted
        assert {structure[i].specie.symbol for i in halide_sites(parent).tolist()} == {"Br", "Cl", "I"}
    # the independent engine, which finds the parent lattice by itself, sees as many crystals of the kept cell
    assert len(np.unique(symmetry_classes([o.structure for o in found]))) == len(found)
    sample = random_orderings(parent, MIXED, n=8, random_state=0)
    assert {o.names for o in sample} <= {o.names for o in found}
    assert len({o.names for o in sample}) == 8


def test_three_species_on_one_sublattice():
    """Counts in the order of the species; two of them exchanged make the same number of classes."""
    parent = perovskite((2, 2, 1))
    found = orderings(parent, "Br", ("Br", "Cl", "I"), (8, 2, 2))
    assert len(found) == count_orderings(parent, "Br", ("Cl", "Br", "I"), (2, 8, 2))
    assert sum(o.multiplicity for o in found) == 12 * 11 // 2 * (10 * 9 // 2)
    assert found[0].structure.composition.as_dict() == {"Cs": 4, "Pb": 4, "Br": 8, "Cl": 2, "I": 2}


def test_an_empty_species_is_as_if_it_were_not_there():
    parent = perovskite((2, 1, 1))
    three = orderings(parent, "Br", ("Br", "Cl", "I"), (4, 0, 2))
    two = orderings(parent, "Br", ("Br", "I"), 2)
    assert [(o.names, o.multiplicity) for o in three] == [(o.names, o.multiplicity) for o in two]


def test_sublattices_of_one_element_are_kept_apart():
    """Br on the axis of a 1×1×1 cell and Br in its plane: the axis becomes an axis of the symmetry."""
    parent = perovskite((1, 1, 1))
    axis, plane = [2], [3, 4]
    parts = [Sublattice(axis, ("Br", "I"), (1, 0)), Sublattice(plane, ("Br", "I"), (1, 1))]
    found = orderings(parent, parts)
    assert [o.multiplicity for o in found] == [2]
    assert found[0].structure[2].specie.symbol == "Br"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"sites": "Br", "species": ("Br", "Cl", "I"), "count": (4, 1)}, "add up to the 6 sites"),
        ({"sites": "Br", "species": ("Br", "I"), "count": (7, -1)}, "must not be negative"),
        ({"sites": "Br"}, "species and count are needed"),
        ({"sites": MIXED, "species": ("Br", "I")}, "nothing beside them"),
        ({"sites": [*MIXED, 3]}, "nothing beside them"),
        ({"sites": [MIXED[0], MIXED[0]]}, "belong to two sublattices"),
        ({"sites": "Br", "species": ("Br", "I"), "count": 2, "n": -1}, "n must not be negative"),
        ({"sites": "Br", "species": ("Br", "I"), "count": 2, "uniform_over": "crystals"}, "uniform_over"),
    ],
)
def test_bad_requests_are_refused(request_, message):
    with pytest.raises(ValueError, match=message):
        random_orderings(perovskite((2, 1, 1)), **request_)


def test_none_asked_for_is_none():
    assert random_orderings(perovskite(), "Br", ("Br", "I"), 1, 0) == []
