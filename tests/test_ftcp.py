from __future__ import annotations

import cmath
import itertools
import math

import numpy as np
import pytest
from development_data import needs_shared
from example_crystals import (
    differences,
    examples,
    moved_by_cells,
    published_crystals,
    random_crystal,
    rotated,
    shuffled,
    symbols,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from perovskites import perovskite
from pymatgen.core import Lattice, Structure

from qperov.diffraction.crystal_batches import squared_structure_factors
from qperov.diffraction.scattering import form_factors
from qperov.errors import EmptyDatasetError, RepresentationError
from qperov.generative.representations.element_properties import ELEMENTS, GRAPH_PROPERTIES, property_table
from qperov.generative.representations.ftcp import FTCP, shortest_hkl

FTCP280 = FTCP()


def part(arrays: np.ndarray, name: str) -> np.ndarray:
    return arrays[..., *FTCP280.blocks[name]]


def test_array_has_the_published_shape():
    assert FTCP280.shape == (280, 63)
    assert FTCP(max_elements=3, max_sites=20).shape == (240, 62)
    assert FTCP(max_elements=1, max_sites=1).shape == (200, 62)
    assert len(FTCP280.species) == 103
    encoded = FTCP280.encode([perovskite()])
    assert encoded.shape == (1, 280, 63)
    assert encoded.dtype == np.float32


def test_blocks_do_not_overlap_and_all_else_is_zero():
    times = np.zeros(FTCP280.shape)
    for block in FTCP280.blocks.values():
        times[block] += 1
    assert times.max() == 1
    encoded = FTCP280.encode(list(examples().values()))
    assert not encoded[:, times == 0].any()
    assert encoded.min() >= 0
    assert encoded.max() <= 1


def test_rows_of_caesium_lead_bromide():
    array = FTCP280.encode([perovskite(edge=6.0)])[0]
    assert np.argwhere(part(array, "elements")).tolist() == [[34, 2], [54, 0], [81, 1]]
    assert np.allclose(part(array, "lengths"), 0.3)
    assert np.allclose(part(array, "angles"), 0.5)
    assert part(array, "occupancy")[:6].argmax(axis=1).tolist() == [0, 1, 2, 2, 2, 0]
    assert part(array, "occupancy").sum() == 5
    sixteenth = 1 / 16
    expected = np.array([(0, 0, 0), (0.5, 0.5, 0.5), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]) + sixteenth
    assert np.allclose(part(array, "coordinates")[:5], expected)
    assert not part(array, "coordinates")[5:].any()
    table = property_table(GRAPH_PROPERTIES)
    assert np.array_equal(part(array, "properties")[:, :3], table[[54, 81, 34]].T)
    # {100}: three of 59 Friedel pairs, at 1/6 Å⁻¹
    assert np.allclose(part(array, "g")[0, :4] * 1.5, [1 / 6, 1 / 6, 1 / 6, math.sqrt(2) / 6])


@pytest.mark.parametrize("name", examples())
def test_fourier_rows_are_moduli_of_sums_over_atoms(name):
    structure = examples()[name]
    found = part(FTCP280.encode([structure])[0], "structure_factors")
    hkl, _ = shortest_hkl(structure.lattice.matrix)
    table = property_table(GRAPH_PROPERTIES)
    for row, column in itertools.product(range(0, 92, 5), range(0, 59, 4)):
        total = sum(
            table[ELEMENTS.index(site.specie.symbol), row]
            * cmath.exp(2j * cmath.pi * float(site.frac_coords @ hkl[column]))
            for site in structure
        )
        assert found[row, column] == pytest.approx(abs(total) / len(structure), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_fourier_rows_of_one_element_are_structure_factors(seed):
    structure = random_crystal(seed, species=("Si",))
    array = FTCP280.encode([structure])[0]
    hkl, g = shortest_hkl(structure.lattice.matrix)
    points, _, squares = next(iter(squared_structure_factors([structure], (0.0, g[-1] + 0.1))))
    by_hkl = dict(zip(map(tuple, points.hkl.tolist()), squares[0], strict=True))
    form = form_factors(["Si"], g)[0]
    geometric = np.sqrt([by_hkl[tuple(one)] for one in hkl.tolist()]) / form / len(structure)
    group = 13
    assert np.allclose(part(array, "structure_factors")[group], geometric, atol=1e-6)
    assert not part(array, "structure_factors")[group + 1].any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_hkl_are_59_shortest_by_length_one_of_each_friedel_pair(seed):
    rng = np.random.default_rng(seed)
    lattice = Lattice.from_parameters(*rng.uniform(3, 12, 3), *rng.uniform(55, 115, 3)).matrix
    hkl, g = shortest_hkl(lattice)
    assert hkl.shape == (59, 3)
    lengths = np.linalg.norm(hkl @ np.linalg.inv(lattice).T, axis=1)
    assert np.allclose(lengths, g)
    assert np.abs(g - np.sort(g)).max() < 5e-4
    assert len({tuple(one) for one in np.concatenate([hkl, -hkl]).tolist()}) == 118
    box = np.array([one for one in itertools.product(range(-9, 10), repeat=3) if any(one)])
    every = np.sort(np.linalg.norm(box @ np.linalg.inv(lattice).T, axis=1))[::2]
    assert np.allclose(np.sort(g), every[:59], atol=1e-3)


def test_hkl_keep_their_order_when_noise_breaks_symmetry():
    exact, _ = shortest_hkl(Lattice.cubic(4.0).matrix)
    noisy, _ = shortest_hkl(Lattice.from_parameters(4.0003, 3.9998, 4.0001, 90.002, 89.999, 90.001).matrix)
    assert np.array_equal(exact, noisy)
    assert exact[:3].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_order_of_sites_and_rotation_change_nothing(seed):
    structure = random_crystal(seed)
    array, *others = FTCP280.encode(
        [structure, shuffled(structure, seed), moved_by_cells(structure, seed), rotated(structure, seed)]
    )
    assert np.array_equal(array, others[0])
    assert np.abs(array - others[1]).max() < 1e-5
    assert np.abs(array - others[2]).max() < 1e-5


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_fourier_rows_do_not_depend_on_origin(seed):
    structure = random_crystal(seed)
    shift = np.random.default_rng(seed).uniform(0.1, 0.4, size=3)
    moved = Structure(structure.lattice, structure.species, structure.frac_coords + shift)
    here, there = FTCP280.encode([structure, moved])
    assert np.allclose(part(here, "structure_factors"), part(there, "structure_factors"), atol=1e-6)
    assert not np.allclose(part(here, "coordinates"), part(there, "coordinates"), atol=1e-2)


@pytest.mark.parametrize("name", examples())
def test_a_crystal_comes_back(name):
    structure = examples()[name]
    (found,) = FTCP280.decode(FTCP280.encode([structure]))
    edges, angles, coordinates = differences(structure, found)
    assert edges < 1e-5
    assert angles < 1e-4
    assert coordinates < 1e-6


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_any_crystal_comes_back(seed, n_sites):
    structure = random_crystal(seed, n_sites, ("Li", "Cl", "Cm", "O"))
    (found,) = FTCP280.decode(FTCP280.encode([structure]))
    assert max(differences(structure, found)) < 1e-4


@needs_shared
def test_published_crystals_come_back():
    crystals = published_crystals()
    for true, found in zip(crystals, FTCP280.decode(FTCP280.encode(crystals)), strict=True):
        assert max(differences(true, found)) < 1e-4


@pytest.mark.parametrize("name", examples())
def test_a_noisy_array_gives_the_crystal_within_the_noise(name):
    structure = examples()[name]
    noise = np.random.default_rng(0).normal(scale=0.02, size=(20, *FTCP280.shape))
    for found in FTCP280.decode(FTCP280.encode([structure]) + noise):
        edges, angles, coordinates = differences(structure, found)
        assert edges < 5 * 0.02 * 20
        assert angles < 5 * 0.02 * 180
        assert coordinates < 5 * 0.02


def test_values_beyond_their_range_are_wrapped_or_cut():
    array = FTCP280.encode([perovskite()])
    part(array, "coordinates")[0, 0] += [1, -1, 2]
    part(array, "lengths")[...] = 1.3
    (found,) = FTCP280.decode(array)
    assert np.allclose(found.lattice.abc, 20)
    assert differences(Structure(found.lattice, perovskite().species, perovskite().frac_coords), found)[2] < 1e-6


def test_array_without_crystal_gives_none():
    good = FTCP280.encode([perovskite()])[0]
    empty, lost, flat, nameless = np.zeros_like(good), good.copy(), good.copy(), good.copy()
    lost[150, 2] = np.nan
    part(flat, "angles")[...] = 150 / 180
    part(nameless, "elements")[:, 1] = 0
    found = FTCP280.decode([good, empty, lost, flat, nameless, good])
    assert found[1:5] == [None] * 4
    assert symbols(found[0]) == symbols(found[5]) == ["Cs", "Pb", "Br", "Br", "Br"]


def test_site_exists_where_occupancies_exceed_one_half():
    array = FTCP280.encode([perovskite()])
    part(array, "occupancy")[0, 4] = [0, 0.2, 0.4, 0]
    part(array, "occupancy")[0, 3] = [0, 0.2, 0.2, 0]
    (found,) = FTCP280.decode(array)
    assert symbols(found) == ["Cs", "Pb", "Br", "Br"]


def test_crystals_that_do_not_fit_are_named_with_their_reasons():
    cell = perovskite()
    heavy = Structure(cell.lattice, ["Rf", *cell.species[1:]], cell.frac_coords)
    five = Structure(cell.lattice, ["Cs", "Pb", "Br", "Cl", "I"], cell.frac_coords)
    with pytest.raises(RepresentationError, match="4 of 6") as caught:
        FTCP280.encode([cell, heavy, five, perovskite((3, 3, 1)), perovskite((4, 1, 1)), perovskite((2, 2, 2))])
    reasons = caught.value.reasons
    assert list(reasons) == [1, 2, 3, 4]
    assert "Rf" in reasons[1]
    assert "5 elements, at most 4" in reasons[2]
    assert "45 sites, at most 40" in reasons[3]
    assert "24.00 Å, at most 20 Å" in reasons[4]
    # larger arrays hold them
    larger = FTCP(max_elements=5, max_sites=45, max_length=24.0)
    fitting = [five, perovskite((3, 3, 1)), perovskite((4, 1, 1))]
    for true, found in zip(fitting, larger.decode(larger.encode(fitting)), strict=True):
        assert max(differences(true, found)) < 1e-4


def test_an_empty_list_and_arrays_of_another_shape_are_refused():
    with pytest.raises(EmptyDatasetError):
        FTCP280.encode([])
    with pytest.raises(ValueError, match=r"\(n, 280, 63\), not \(280, 63\)"):
        FTCP280.decode(np.zeros((280, 63)))
    with pytest.raises(ValueError, match=r"\(n, 280, 63\), not \(1, 280, 62\)"):
        FTCP280.decode(np.zeros((1, 280, 62)))
    with pytest.raises(ValueError, match="real numbers"):
        FTCP280.decode(np.zeros((1, 280, 63), complex))
    assert FTCP280.decode(np.zeros((0, 280, 63))) == []


@pytest.mark.parametrize("parameters", [{"max_elements": 0}, {"max_sites": 0}, {"max_length": -1.0}])
def test_impossible_limits_are_refused(parameters):
    with pytest.raises(ValueError, match="must be"):
        FTCP(**parameters)
