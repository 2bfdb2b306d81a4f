from __future__ import annotations

import itertools

import numpy as np
import pytest
from example_crystals import calcium_titanate, moved_by_cells, random_crystal, rock_salt, rotated, shuffled, triclinic
from hypothesis import given, settings
from hypothesis import strategies as st
from perovskites import perovskite
from pymatgen.core import DummySpecies, Lattice, Structure

from qperov.crystals.perovskites.cells import perovskite_cell, perovskite_compositions
from qperov.errors import EmptyDatasetError, RepresentationError
from qperov.generative.representations.canonical_cells import CanonicalCell, canonicalise, crystal, physical_lattice


def canonical(structure: Structure) -> CanonicalCell:
    return canonicalise([structure], lambda _: None)[0]


def test_elements_of_every_generated_perovskite_come_as_a_b_x():
    compositions = perovskite_compositions()
    cells = canonicalise([perovskite_cell(sites) for sites in compositions], lambda _: None)
    expected = [tuple(mixture[0][0].symbol for mixture in (sites.a, sites.b, sites.x)) for sites in compositions]
    assert [cell.elements for cell in cells] == expected


def test_elements_of_tilted_and_inverse_perovskites_come_as_b_x():
    assert canonical(calcium_titanate()).elements == ("Ca", "Ti", "O")
    # Ga in the corners of the cube, N amid the octahedron of Mn
    sites = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    assert canonical(Structure(Lattice.cubic(3.9), ["Ga", "N", "Mn", "Mn", "Mn"], sites)).elements == ("Ga", "N", "Mn")


def test_elements_of_equal_room_come_by_electronegativity():
    assert canonical(rock_salt()).elements == ("Na", "Cl")
    stretched = Structure(Lattice.cubic(5.64001), rock_salt().species[::-1], rock_salt().frac_coords[::-1])
    assert canonical(stretched).elements == ("Na", "Cl")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_the_order_of_sites_does_not_matter(seed):
    structure = random_crystal(seed)
    first, second = canonical(structure), canonical(shuffled(structure, seed))
    assert first.elements == second.elements
    assert np.array_equal(first.slots, second.slots)
    assert np.array_equal(first.positions, second.positions)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_cells_added_to_sites_and_rotation_do_not_matter(seed):
    structure = random_crystal(seed)
    first, second = canonical(structure), canonical(rotated(moved_by_cells(structure, seed), seed))
    assert first.elements == second.elements
    assert np.array_equal(first.slots, second.slots)
    assert np.allclose(first.positions, second.positions, atol=1e-9)
    assert np.allclose(first.lengths, second.lengths)
    assert np.allclose(first.angles, second.angles)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_noise_about_special_positions_keeps_sites_in_order(seed):
    ideal = perovskite((2, 1, 1))
    noise = np.random.default_rng(seed).uniform(-0.01, 0.01, size=ideal.frac_coords.shape)
    noisy = Structure(ideal.lattice, ideal.species, ideal.frac_coords + noise)
    assert np.abs(canonical(noisy).positions - canonical(ideal).positions).max() <= 0.01


def test_left_handed_cell_gives_no_mirror_image():
    right = triclinic()
    # the same atoms in space, on the axes −a, −b, −c
    left = Structure(Lattice(-right.lattice.matrix), right.species, -right.frac_coords)
    assert np.linalg.det(left.lattice.matrix) < 0
    assert np.allclose(canonical(left).positions, canonical(right).positions)
    # and a mirror image stays one
    mirrored = Structure(Lattice(right.lattice.matrix * [1, 1, -1]), right.species, right.frac_coords)
    assert not np.allclose(canonical(mirrored).positions, canonical(right).positions)


def test_unusable_crystals_are_named_with_row_and_reason():
    good = perovskite()
    mixed = Structure(good.lattice, [{"Cs": 0.5, "Rb": 0.5}, *good.species[1:]], good.frac_coords)
    vacant = Structure(good.lattice, [{"Cs": 0.9}, *good.species[1:]], good.frac_coords)
    dummy = Structure(good.lattice, [DummySpecies("X"), *good.species[1:]], good.frac_coords)
    lost = Structure(good.lattice, good.species, good.frac_coords * np.nan)
    empty = Structure(good.lattice, [], [])
    flat = Structure(Lattice([[5, 0, 0], [0, 5, 0], [3, 2, 1e-3]]), ["Cs"], [(0, 0, 0)])
    with pytest.raises(RepresentationError, match="7 of 9 crystals") as caught:
        canonicalise([good, mixed, vacant, dummy, lost, empty, flat, "CsPbBr3", good], lambda _: None)
    reasons = caught.value.reasons
    assert list(reasons) == [1, 2, 3, 4, 5, 6, 7]
    words = ["partly empty", "partly empty", "no element", "not finite", "no sites", "volume", "no crystal"]
    assert all(word in reason for word, reason in zip(words, reasons.values(), strict=True))


def test_no_crystals_and_one_crystal_bare_are_refused():
    with pytest.raises(EmptyDatasetError, match="no crystals"):
        canonicalise([], lambda _: None)
    with pytest.raises(TypeError, match="put it into a list"):
        canonicalise(perovskite(), lambda _: None)


def test_physical_lattice_is_kept_and_others_are_bent():
    kept = physical_lattice(np.array([4.0, 5, 6]), np.array([80.0, 95, 110]))
    assert kept is not None
    assert np.allclose(kept.parameters, (4, 5, 6, 80, 95, 110))
    bent = physical_lattice(np.array([-3.0, 5, 6]), np.array([90.0, 179, 90]))
    assert bent is not None
    assert np.allclose(bent.parameters, (1, 5, 6, 90, 165, 90))
    for angles in itertools.chain(set(itertools.permutations((40.0, 40.0, 120.0))), [(130.0, 130.0, 130.0)]):
        assert physical_lattice(np.full(3, 5.0), np.array(angles)) is None
    assert physical_lattice(np.array([4.0, np.nan, 4]), np.full(3, 90.0)) is None


def test_coordinates_of_a_crystal_are_wrapped_into_the_cell():
    found = crystal(Lattice.cubic(4), ["H", "H", "He"], np.array([(-0.2, 1.3, 0.5), (-1e-18, 2, 1), (0, 0.999, 0)]))
    assert found is not None
    assert np.allclose(found.frac_coords, [(0.8, 0.3, 0.5), (0, 0, 0), (0, 0.999, 0)])
    assert found.frac_coords.min() >= 0
    assert found.frac_coords.max() < 1
    assert crystal(Lattice.cubic(4), [], np.empty((0, 3))) is None
    assert crystal(None, ["H"], np.zeros((1, 3))) is None
    assert crystal(Lattice.cubic(4), ["H"], np.array([(0, 0, np.inf)])) is None
