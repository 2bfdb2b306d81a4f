"""Generated crystals tidied, and held against three perovskites."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from development_data import SHARED, needs_shared
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from qperov.errors import CompositionError, DescriptorError
from qperov.generative.imatgen.postprocessing import drop_sites, merge_sites, tidy
from qperov.studies.inverse_design.standards import (
    STANDARDS,
    nearest_standard,
    position_difference,
    resembles_standard,
)

CUBE = Lattice.cubic(10.0)
#: iMatGen's distances (Å).
MERGED, DROPPED = {"V": 1.6, "O": 1.3}, {("O", "V"): 1.2}
CUBIC_PEROVSKITE = Structure(
    Lattice.cubic(3.9),
    ["Sr", "Ti", "O", "O", "O"],
    [(0, 0, 0), (0.5,) * 3, (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)],
)


def crowd(seed: int, count: int = 12) -> Structure:
    """Atoms at random in a small skew cell: many are too close."""
    rng = np.random.default_rng(seed)
    lattice = Lattice.from_parameters(*rng.uniform(4, 6, 3), *rng.uniform(60, 120, 3))
    return Structure(lattice, rng.choice(["V", "O"], count).tolist(), rng.random((count, 3)))


# --- merging --------------------------------------------------------------------------------------


def test_pair_across_the_faces_becomes_one_atom_in_its_middle():
    pair = Structure(CUBE, ["O", "O"], [(0.97, 0.5, 0.98), (0.05, 0.5, 0.02)])
    merged = merge_sites(pair, {"O": 1.3})
    assert len(merged) == 1
    np.testing.assert_allclose(np.mod(merged.frac_coords + 0.25, 1), [(0.26, 0.75, 0.25)], atol=1e-12)


def test_pair_in_a_skew_cell_is_measured_to_the_nearest_image():
    skew = Lattice([[4, 0, 0], [11.9, 4, 0], [-8.1, 3.9, 5]])
    first = np.array([0.1, 0.2, 0.3])
    second = np.mod(first + skew.get_fractional_coords([0.5, 0.5, 0.5]), 1) + np.array([1, -2, 1])
    merged = merge_sites(Structure(skew, ["V", "V"], [first, second]), {"V": 1.6})
    assert len(merged) == 1
    shift = skew.get_cartesian_coords(merged.frac_coords[0] - first)
    images = np.array([shift + skew.get_cartesian_coords(k) for k in np.ndindex(9, 9, 9)]) - 4 * skew.matrix.sum(0)
    assert np.linalg.norm(images - 0.25, axis=1).min() < 1e-9


def test_only_the_elements_named_and_the_distances_given_count():
    crystal = Structure(CUBE, ["V", "V", "O", "O", "V", "O"], np.array([0, 1.5, 4, 5.2, 7, 7.5])[:, None] * [0.1, 0, 0])
    merged = merge_sites(crystal, MERGED)
    assert merged.composition.as_dict() == {"V": 2, "O": 2}
    np.testing.assert_allclose(merged.cart_coords[:, 0], [0.75, 4.6, 7, 7.5])
    assert len(merge_sites(crystal, {"V": 1.5})) == 6  # not closer than 1.5


def test_pair_keeps_the_least_distance_of_valid_crystals():
    # covalent radius of O 0.66 Å: 0.7 of two of them are 0.924
    assert len(merge_sites(Structure(CUBE, ["O", "O"], [(0, 0, 0), (0.092, 0, 0)]))) == 1
    assert len(merge_sites(Structure(CUBE, ["O", "O"], [(0, 0, 0), (0.093, 0, 0)]))) == 2


def test_merged_atoms_count_for_as_many_as_they_were():
    three = Structure(CUBE, ["O"] * 3, [(0.1, 0, 0), (0.15, 0, 0), (0.25, 0, 0)])
    merged = merge_sites(three, {"O": 1.3})
    assert len(merged) == 1
    np.testing.assert_allclose(merged.cart_coords[0], [(1 + 1.5 + 2.5) / 3, 0, 0])


def test_chain_through_cell_is_thinned_to_atoms_that_are_apart():
    chain = Structure(CUBE, ["O"] * 10, [(k / 10, 0.2, 0.3) for k in range(10)])
    merged = merge_sites(chain, {"O": 1.3})
    assert 1 < len(merged) < 10
    apart = np.array(merged.distance_matrix)
    assert apart[np.triu_indices(len(merged), 1)].min() >= 1.3


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.tuples(*[st.floats(-2, 2)] * 3))
def test_merging_is_idempotent_and_knows_no_origin(seed, shift):
    crystal = crowd(seed)
    merged = merge_sites(crystal, MERGED)
    again = merge_sites(merged, MERGED)
    assert merged.composition == again.composition
    np.testing.assert_allclose(merged.frac_coords, again.frac_coords, atol=1e-12)
    for symbol, distance in MERGED.items():
        rows = [i for i, site in enumerate(merged) if site.specie.symbol == symbol]
        apart = np.array(merged.distance_matrix)[np.ix_(rows, rows)]
        assert (apart[np.triu_indices(len(rows), 1)] >= distance).all()
    moved = merge_sites(
        Structure(crystal.lattice, crystal.species, crystal.frac_coords + shift, to_unit_cell=True), MERGED
    )
    assert moved.composition == merged.composition
    difference = moved.frac_coords - merged.frac_coords - shift
    np.testing.assert_allclose(difference, np.round(difference), atol=1e-6)


def test_an_atom_near_its_own_image_is_left():
    thin = Structure(Lattice.orthorhombic(1.0, 5, 5), ["O"], [(0.2, 0.3, 0.4)])
    assert len(merge_sites(thin, {"O": 1.3})) == 1


# --- dropping -------------------------------------------------------------------------------------


def test_oxygen_on_vanadium_is_dropped_across_the_faces():
    crystal = Structure(CUBE, ["V", "O", "O", "O"], [(0, 0, 0), (0.95, 0.95, 0.95), (0.119, 0, 0), (0.2, 0, 0)])
    kept = drop_sites(crystal, DROPPED)
    assert [site.specie.symbol for site in kept] == ["V", "O"]
    np.testing.assert_allclose(kept.frac_coords[1], [0.2, 0, 0])
    assert drop_sites(kept, DROPPED) == kept
    assert len(crystal) == 4
    assert drop_sites(crystal, {("O", "Ti"): 9.0}) == crystal


def test_tidy_merges_first():
    # each O is 1.1 Å from V; merged, they stand in V's place
    crystal = Structure(CUBE, ["V", "O", "O"], [(0, 0, 0), (0.06, 0.09, 0), (-0.06, 0.09, 0)])
    assert tidy(crystal, MERGED, DROPPED).composition.as_dict() == {"V": 1}
    assert tidy(crystal, {"O": 1.3}).composition.as_dict() == {"V": 1, "O": 1}


def test_shared_sites_are_refused():
    mixed = Structure(CUBE, [{"O": 0.5, "S": 0.5}], [(0, 0, 0)])
    for function in (merge_sites, resembles_standard):
        with pytest.raises(DescriptorError, match="order them first"):
            function(mixed)


# --- likeness to the standards --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("standard", "number", "atoms", "b_to_x"),
    list(zip(STANDARDS, (167, 127, 140), (30, 10, 20), (1.90, 1.98, 1.95), strict=True)),
    ids=[standard.formula for standard in STANDARDS],
)
def test_standards_have_their_symmetry_and_whole_octahedra(standard, number, atoms, b_to_x):
    crystal = standard.structure()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib's, on every call
        assert crystal.get_space_group_info(0.01)[1] == number
    assert len(crystal) == atoms
    assert crystal.composition.reduced_formula == standard.formula
    for site in crystal:
        if site.specie.symbol == standard.elements[1]:
            bonds = [near.nn_distance for near in crystal.get_neighbors(site, 2.6)]
            assert len(bonds) == 6
            np.testing.assert_allclose(bonds, b_to_x, atol=0.03)


def test_standard_is_nearest_to_itself_in_any_cell():
    for standard in STANDARDS:
        crystal = standard.structure()
        crystal.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
        crystal.translate_sites(range(len(crystal)), [0.1, 0.7, 0.3])
        crystal.apply_strain(0.05)
        crystal.replace_species(dict(zip(standard.elements, ("Cs", "Pb", "I"), strict=True)))
        likeness = nearest_standard(crystal)
        assert (likeness.standard, round(likeness.difference, 9)) == (standard.formula, 0)


def test_difference_is_symmetric_and_grows_with_noise():
    one, two = STANDARDS[0].structure(), STANDARDS[1].structure()
    assert position_difference(one, two) == pytest.approx(position_difference(two, one), abs=1e-12)
    swapped = two.copy()
    swapped.replace_species({"Na": "Nb", "Nb": "Na"})
    assert position_difference(swapped, two) == pytest.approx(0, abs=1e-12)
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(len(two), 3))
    noisy = [
        position_difference(
            Structure(two.lattice, two.species, two.cart_coords + amplitude * direction, coords_are_cartesian=True), two
        )
        for amplitude in (0.01, 0.1, 0.3)
    ]
    assert 0 < noisy[0] < noisy[1] < noisy[2]


def test_perovskites_pass_and_other_abx3_crystals_fail():
    gadolinium_type = Structure.from_spacegroup(
        "Pnma",
        Lattice.orthorhombic(5.44, 7.64, 5.38),
        ["Ca", "Ti", "O", "O"],
        [(0.036, 0.25, 0.993), (0.5, 0, 0), (0.484, 0.25, 0.071), (0.289, 0.037, 0.711)],
    )
    assert resembles_standard(CUBIC_PEROVSKITE)
    assert resembles_standard(gadolinium_type)
    calcite = Structure.from_spacegroup(
        "R-3c", Lattice.hexagonal(4.99, 17.06), ["Ca", "C", "O"], [(0, 0, 0), (0, 0, 0.25), (0.257, 0, 0.25)]
    )
    ilmenite = Structure.from_spacegroup(
        "R-3", Lattice.hexagonal(5.088, 14.09), ["Fe", "Ti", "O"], [(0, 0, 0.355), (0, 0, 0.146), (0.317, 0.023, 0.245)]
    )
    assert not resembles_standard(calcite)
    assert not resembles_standard(ilmenite)


def test_what_is_no_abx3_resembles_nothing():
    rutile = Structure(Lattice.tetragonal(4.6, 2.96), ["Ti", "O", "O"], [(0, 0, 0), (0.3, 0.3, 0), (0.7, 0.7, 0)])
    assert not resembles_standard(rutile)
    with pytest.raises(CompositionError, match="TiO2 is no ABX"):
        nearest_standard(rutile)


@needs_shared
def test_published_finds_of_tlvae_are_no_perovskites():
    for path in sorted((SHARED / "cifs").glob("tlvae_*.cif")):
        assert nearest_standard(Structure.from_file(path)).difference > 0.15
