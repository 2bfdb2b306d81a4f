from __future__ import annotations

from itertools import combinations, permutations, product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perovskites import halide_sites, perovskite
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from qperov import orderings
from qperov.crystals.operations import site_permutations
from qperov.crystals.orderings.burnside import class_counts
from qperov.crystals.orderings.subset_classes import inequivalent_masks
from qperov.errors import SymmetryError

CLASSES = {
    (2, 1, 1): [1, 2, 5, 5],
    (3, 2, 1): [1, 3, 17, 61, 195, 476, 986, 1604, 2185, 2394],
    (2, 2, 2): [1, 1, 7, 19, 80, 207, 603, 1295, 2664, 4374, 6520, 7992, 8798],
}
DISTINCT_OPERATIONS = {(2, 1, 1): 8, (3, 2, 1): 24, (2, 2, 2): 384}


def mirrored(counts: list[int], n_sites: int) -> list[int]:
    """Counts for all k, from those of the first half: k and n − k have equally many classes."""
    return [counts[min(k, n_sites - k)] for k in range(n_sites + 1)]


def closure(generators: list[tuple[int, ...]]) -> np.ndarray:
    """The permutation group that generators make."""
    group = {tuple(range(len(generators[0])))}
    frontier = set(group)
    while frontier:
        frontier = {tuple(g[i] for i in p) for p in frontier for g in generators} - group
        group |= frontier
    return np.array(sorted(group))


def orbits_of_subsets(group: np.ndarray, count: int) -> dict[int, int]:
    """Least bit mask → size, of every orbit of ``count``-subsets, by brute force."""
    sizes: dict[int, int] = {}
    for subset in combinations(range(group.shape[1]), count):
        least = min(sum(1 << int(p[i]) for i in subset) for p in group)
        sizes[least] = sizes.get(least, 0) + 1
    return sizes


@st.composite
def permutation_groups(draw: st.DrawFn) -> np.ndarray:
    n = draw(st.integers(1, 7))
    return closure([tuple(draw(st.permutations(range(n)))) for _ in range(draw(st.integers(1, 2)))])


@pytest.mark.parametrize("shape", [(2, 1, 1), (3, 2, 1)])
def test_every_composition_has_its_number_of_orderings(shape):
    parent = perovskite(shape)
    n = len(halide_sites(parent))
    found = [orderings(parent, "Br", ("Br", "I"), k) for k in range(n + 1)]
    assert [len(f) for f in found] == mirrored(CLASSES[shape], n)
    assert [sum(o.multiplicity for o in f) for f in found] == [comb(n, k) for k in range(n + 1)]


@pytest.mark.slow
def test_double_cubic_cell_has_56324_orderings():
    parent = perovskite((2, 2, 2))
    group = site_permutations(parent, halide_sites(parent))
    enumerated = [len(inequivalent_masks(group, k)[0]) for k in range(25)]
    assert enumerated == class_counts(group) == mirrored(CLASSES[(2, 2, 2)], 24)
    assert sum(enumerated) == 56324
    assert len(orderings(parent, "Br", ("Br", "I"), 5)) == 207


@pytest.mark.parametrize(("shape", "distinct"), DISTINCT_OPERATIONS.items())
def test_operations_of_a_cell_are_a_group_led_by_the_identity(shape, distinct):
    parent = perovskite(shape)
    group = site_permutations(parent, halide_sites(parent))
    assert group.shape == (distinct, len(halide_sites(parent)))
    assert (group[0] == np.arange(group.shape[1])).all()
    elements = {p.tobytes() for p in group}
    assert len(elements) == distinct
    some = group[:: max(1, distinct // 20)]
    assert all(np.ascontiguousarray(p[q]).tobytes() in elements for p in some for q in some)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(permutation_groups(), st.data())
def test_classes_are_the_orbits_found_by_brute_force(group, data):
    count = data.draw(st.integers(0, group.shape[1]))
    masks, multiplicities = inequivalent_masks(group, count)
    assert dict(zip(masks.tolist(), multiplicities.tolist(), strict=True)) == orbits_of_subsets(group, count)
    assert masks.tolist() == sorted(masks.tolist())


@settings(max_examples=60, deadline=None)
@given(permutation_groups())
def test_counts_are_the_mean_number_of_fixed_subsets(group):
    n = group.shape[1]
    for k in range(n + 1):
        subsets = [frozenset(s) for s in combinations(range(n), k)]
        fixed = sum(frozenset(int(p[i]) for i in s) == s for p in group for s in subsets)
        assert class_counts(group)[k] * len(group) == fixed


def test_crystals_of_an_enumeration_are_different_crystals():
    """One cell kept as it is, all orderings differ; turned freely, only those of half the period can coincide."""
    keep_cell = StructureMatcher(0.01, 0.01, 0.5, primitive_cell=False, scale=False)
    any_cell = StructureMatcher(0.01, 0.01, 0.5, primitive_cell=True, scale=False)
    for count, crystals in [(0, 1), (1, 2), (2, 4), (3, 5)]:
        structures = [o.structure for o in orderings(perovskite((2, 1, 1)), "Br", ("Br", "I"), count)]
        assert not any(keep_cell.fit(a, b) for a, b in combinations(structures, 2))
        same = [(a, b) for a, b in combinations(structures, 2) if any_cell.fit(a, b)]
        assert len(structures) - len(same) == crystals
        # I on the face across the long axis, or on one along it, in both small cells alike
        assert all(len(s.get_primitive_structure()) == 5 for pair in same for s in pair)


def test_rock_salt_orderings_fall_into_six_point_classes():
    corners = list(product((-1, 1), repeat=3))
    group = closure(
        [
            tuple(corners.index(tuple(s * c[a] for s, a in zip(signs, axes, strict=True))) for c in corners)
            for axes in permutations(range(3))
            for signs in product((-1, 1), repeat=3)
        ]
    )
    assert len(group) == 48
    masks, sizes = inequivalent_masks(group, 4)
    # 48 operations over each class size: Td 24, C4v 8 and D2h 8, C3v 6, Cs 2 and C2 2
    assert sorted(sizes.tolist()) == [2, 6, 6, 8, 24, 24]
    # a translation by one small cell mirrors the cube of eight sites, so translations join no classes
    found = orderings(perovskite((2, 2, 2)), "Pb", ("Pb", "Sn"), 4)
    assert len(found) == len(masks) == 6
    assert sorted(o.multiplicity for o in found) == sorted(sizes.tolist())


def test_ordering_decorates_the_cell_in_place():
    parent = perovskite((3, 2, 1))
    sites = halide_sites(parent)
    for ordering in orderings(parent, "Br", ("Cl", "I"), 5)[::100]:
        structure = ordering.structure
        assert [i for i, site in enumerate(structure) if site.species_string == "I"] == sorted(ordering.occupied)
        assert structure.composition.as_dict() == {"Cs": 6, "Pb": 6, "Cl": 13, "I": 5}
        assert np.array_equal(structure.frac_coords, parent.frac_coords)
        assert set(ordering.occupied) <= set(sites.tolist())
    assert parent.composition.as_dict() == {"Cs": 6, "Pb": 6, "Br": 18}, "the parent must stay as it was"


def test_ends_of_the_composition_are_the_pure_crystals():
    parent = perovskite((2, 1, 1))
    assert [o.structure.composition.reduced_formula for o in orderings(parent, "Br", ("Br", "I"), 6)] == ["CsPbI3"]
    assert [o.structure.composition.reduced_formula for o in orderings(parent, "Br", ("Br", "I"), 0)] == ["CsPbBr3"]


def test_sites_may_be_named_by_index_in_any_order():
    parent = perovskite((3, 2, 1))
    sites = halide_sites(parent)
    parent[int(sites[3])] = "I"
    shuffled = np.random.default_rng(0).permutation(sites)
    assert len(orderings(parent, shuffled.tolist(), ("Br", "I"), 4)) == 195


def test_oxidation_states_do_not_hide_an_element():
    charged = perovskite((2, 1, 1)).add_oxidation_state_by_element({"Cs": 1, "Pb": 2, "Br": -1})
    assert len(orderings(charged, "Br", ("Br-", "I-"), 2)) == 5


def test_lower_symmetry_gives_more_orderings_up_to_all_of_them():
    rng = np.random.default_rng(1)
    shaken = perovskite((2, 1, 1))
    shaken = Structure(shaken.lattice, shaken.species, shaken.frac_coords + rng.normal(scale=0.02, size=(10, 3)))
    found = orderings(shaken, "Br", ("Br", "I"), 3)
    assert len(found) == comb(6, 3)
    assert {o.multiplicity for o in found} == {1}


@pytest.mark.parametrize(
    ("sites", "species", "count", "message"),
    [
        ("Cl", ("Br", "I"), 1, "matches 'Cl'"),
        ([], ("Br", "I"), 0, "matches"),
        ("Br", ("Br", "I"), 4, "between 0 and the 3 sites"),
        ("Br", ("Br", "I"), -1, "between 0 and the 3 sites"),
        ([2, 2], ("Br", "I"), 1, "different indices"),
        ([2, 9], ("Br", "I"), 1, "different indices from 0 to 4"),
        ([-1], ("Br", "I"), 1, "different indices"),
        ("Br", ("Br", "Br"), 1, "two different species"),
        ("Br", ("Br", "Cl", "I"), 1, "two different species"),
        ("Br", ("Br", "I"), 1.5, "counts of sites must be whole numbers, not 1.5"),
        ("Br", ("Br", "I"), (2.2, 1.4), "whole numbers"),
        ("Br", ("Br", "I"), "1", "whole numbers"),
    ],
)
def test_bad_requests_are_refused(sites, species, count, message):
    with pytest.raises(ValueError, match=message):
        orderings(perovskite(), sites, species, count)


def test_too_large_an_enumeration_is_refused_before_it_starts():
    with pytest.raises(SymmetryError, match="at most 62"):
        orderings(perovskite((3, 3, 3)), "Br", ("Br", "I"), 1)
    with pytest.raises(SymmetryError, match="inequivalent orderings"):
        orderings(perovskite((3, 3, 2)), "Br", ("Br", "I"), 27)


def test_permutations_that_are_no_group_are_refused():
    with pytest.raises(SymmetryError, match="not a group"):
        inequivalent_masks(np.array([[0, 1, 2], [1, 2, 0]]), 1)


def test_two_sites_at_one_place_have_no_symmetry():
    parent = Structure(perovskite().lattice, ["Br", "Br"], [(0, 0, 0), (0, 0, 0)])
    with pytest.raises(SymmetryError, match="two sites of the cell at one place"):
        orderings(parent, "Br", ("Br", "I"), 1)


def test_symmetry_must_not_lead_out_of_the_chosen_sites():
    parent = perovskite()
    with pytest.raises(SymmetryError, match="leads out of the chosen sites"):
        site_permutations(parent, halide_sites(parent)[:2])
