from __future__ import annotations

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
    triclinic,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from perovskites import perovskite
from pymatgen.core import Lattice, Structure

from qperov.errors import EmptyDatasetError, RepresentationError
from qperov.generative.representations.element_properties import ELEMENTS, THERMOCHEMICAL_PROPERTIES, property_table
from qperov.generative.representations.tlvae_image import TLVAEImage, image_hkl

IMAGE = TLVAEImage()


def part(arrays: np.ndarray, name: str) -> np.ndarray:
    return arrays[..., *IMAGE.blocks[name]]


def complex_factors(image: np.ndarray) -> dict[tuple[int, ...], np.ndarray]:
    """F of 45 rows and 3 channels by hkl, put together from the columns of Friedel pairs."""
    columns = 2 * part(image, "structure_factors").astype(float) - 1
    place = {tuple(hkl): i for i, hkl in enumerate(image_hkl().tolist())}
    found = {}
    for hkl, i in place.items():
        if hkl > (0, 0, 0):
            mate = place[tuple(-index for index in hkl)]
            # F(−h) is the conjugate of F(h)
            found[hkl] = columns[:, i] - 1j * columns[:, mate]
    return found


def test_the_image_has_the_published_shape_and_its_57_hkl():
    assert IMAGE.shape == (60, 88, 3)
    assert IMAGE.encode([perovskite()]).dtype == np.float32
    hkl = image_hkl()
    assert len({tuple(one) for one in hkl.tolist()}) == 57
    assert np.abs(hkl).sum(axis=1).max() == 3
    assert np.array_equal(np.sort(hkl, axis=0), np.sort(-hkl, axis=0))
    assert hkl[0].tolist() == [0, 0, 0]


def test_blocks_do_not_overlap_and_all_else_is_zero():
    times = np.zeros(IMAGE.shape)
    for block in IMAGE.blocks.values():
        times[block] += 1
    assert times.max() == 1
    encoded = IMAGE.encode(list(examples().values()))
    assert not encoded[:, times == 0].any()
    assert encoded.min() >= 0
    assert encoded.max() <= 1


def test_direct_space_of_caesium_lead_bromide():
    image = IMAGE.encode([perovskite(edge=6.0)])[0]
    # Cs in the sixth row and first column of the table, Pb and Br likewise, one a channel
    assert np.argwhere(part(image, "elements")).tolist() == [[3, 16, 2], [5, 0, 0], [5, 13, 1]]
    assert np.allclose(part(image, "lengths"), 0.3)
    assert np.allclose(part(image, "angles"), 0.5)
    assert part(image, "occupancy")[:, 0].sum(axis=0).tolist() == [1, 1, 3]
    # Cs at 0: cos = 1, sin = 0; Pb at 1/2: cos = −1
    assert np.allclose(part(image, "coordinates")[0, :, 0], [1, 0.5] * 3)
    assert np.allclose(part(image, "coordinates")[0, :, 1], [0, 0.5] * 3)
    assert np.allclose(part(image, "coordinates")[3:], 0.5)
    assert part(image, "properties").sum(axis=1).max() == 1


@pytest.mark.parametrize("name", examples())
def test_fourier_columns_of_friedel_pairs_are_sums_over_atoms(name):
    structure = examples()[name]
    image = IMAGE.encode([structure])[0]
    table = property_table(THERMOCHEMICAL_PROPERTIES)
    z = [ELEMENTS.index(symbol) for symbol in symbols(structure)]
    found = complex_factors(image)
    assert len(found) == 28
    for hkl, values in found.items():
        waves = np.exp(2j * np.pi * structure.frac_coords @ np.array(hkl)) / len(structure)
        expected = table[z].T @ waves
        assert np.allclose(values[:44].T.ravel(), expected, atol=1e-6)
        # the last row: the sites of A, B and X, which add up to all of them
        assert values[44].sum() == pytest.approx(waves.sum(), abs=1e-6)


def test_reciprocal_vectors_and_spacings_of_a_cubic_cell():
    image = IMAGE.encode([perovskite(edge=5.0)])[0]
    hkl = image_hkl()
    g = np.linalg.norm(hkl, axis=1) / 5
    assert np.allclose(part(image, "g")[0].T, g / 1.5, atol=1e-6)
    assert np.allclose(part(image, "d")[0].T, np.append(0, 1 / g[1:]) / 20, atol=1e-6)
    assert np.allclose((2 * part(image, "g_vectors")[0] - 1) * 1.5, hkl / 5, atol=1e-6)


def test_reciprocal_vectors_end_at_scale_and_nothing_is_lost():
    thin = Structure(Lattice.orthorhombic(1.3, 6, 6), ["C"], [(0.2, 0.3, 0.4)])
    image = IMAGE.encode([thin])
    assert part(image, "g").max() == part(image, "g_vectors").max() == 1
    assert max(differences(thin, IMAGE.decode(image)[0])) < 1e-4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_order_of_sites_and_rotation_change_nothing(seed):
    structure = random_crystal(seed)
    image, *others = IMAGE.encode(
        [structure, shuffled(structure, seed), moved_by_cells(structure, seed), rotated(structure, seed)]
    )
    assert np.array_equal(image, others[0])
    assert np.abs(image - others[1]).max() < 1e-5
    assert np.abs(image - others[2]).max() < 1e-5


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_moduli_of_fourier_columns_do_not_depend_on_origin(seed):
    structure = random_crystal(seed)
    shift = np.random.default_rng(seed).random(3)
    moved = Structure(structure.lattice, structure.species, structure.frac_coords + shift)
    here, there = (complex_factors(image) for image in IMAGE.encode([structure, moved]))
    for hkl, values in here.items():
        assert np.allclose(np.abs(values), np.abs(there[hkl]), atol=1e-6)
        assert np.allclose(values * np.exp(2j * np.pi * np.dot(hkl, shift)), there[hkl], atol=1e-6)


def test_image_changes_little_when_atom_crosses_face_of_cell():
    cell = triclinic()
    before, after = cell.copy(), cell.copy()
    before.replace(0, "K", coords=[0.9999, 0.03, 0.96])
    after.replace(0, "K", coords=[0.0001, 0.03, 0.96])
    first, second = IMAGE.encode([before, after])
    assert np.abs(first - second).max() < 2e-3


@pytest.mark.parametrize("name", examples())
def test_a_crystal_comes_back(name):
    structure = examples()[name]
    (found,) = IMAGE.decode(IMAGE.encode([structure]))
    edges, angles, coordinates = differences(structure, found)
    assert edges < 1e-5
    assert angles < 1e-4
    assert coordinates < 1e-6


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_any_crystal_comes_back(seed, n_sites):
    structure = random_crystal(seed, n_sites, ("Li", "Cm", "O"))
    (found,) = IMAGE.decode(IMAGE.encode([structure]))
    assert max(differences(structure, found)) < 1e-4


@needs_shared
def test_published_crystals_come_back():
    crystals = published_crystals()
    for true, found in zip(crystals, IMAGE.decode(IMAGE.encode(crystals)), strict=True):
        assert max(differences(true, found)) < 1e-4


@pytest.mark.parametrize("name", examples())
def test_a_noisy_image_gives_the_crystal_within_the_noise(name):
    structure = examples()[name]
    noise = np.random.default_rng(0).normal(scale=0.05, size=(20, *IMAGE.shape))
    for found in IMAGE.decode(IMAGE.encode([structure]) + noise):
        edges, angles, coordinates = differences(structure, found)
        # twelve pixels or more of each edge and angle; circles turn δ into δ/π
        assert edges < 5 * 0.05 / np.sqrt(12) * 20
        assert angles < 5 * 0.05 / np.sqrt(12) * 180
        assert coordinates < 5 * 0.05 / np.pi


def test_image_without_crystal_gives_none():
    good = IMAGE.encode([perovskite()])[0]
    empty, lost, flat, nameless = np.zeros_like(good), good.copy(), good.copy(), good.copy()
    lost[59, 87, 2] = np.inf
    part(flat, "angles")[...] = 150 / 180
    part(nameless, "elements")[..., 1] = 0
    found = IMAGE.decode([good, empty, lost, flat, nameless, good])
    assert found[1:5] == [None] * 4
    assert symbols(found[0]) == symbols(found[5])
    assert found[0].composition.reduced_formula == "CsPbBr3"


def test_pixels_between_the_places_of_elements_name_none():
    image = IMAGE.encode([perovskite()])
    # between H and He there is nothing
    part(image, "elements")[0, 0, 5, :] = 7
    (found,) = IMAGE.decode(image)
    assert found.composition.reduced_formula == "CsPbBr3"


def test_crystals_that_do_not_fit_are_named_with_their_reasons():
    cell = perovskite()
    heavy = Structure(cell.lattice, ["Rf", *cell.species[1:]], cell.frac_coords)
    four = Structure(cell.lattice, ["Cs", "Pb", "Br", "Br", "I"], cell.frac_coords)
    with pytest.raises(RepresentationError, match="4 of 6") as caught:
        IMAGE.encode([cell, heavy, four, perovskite((3, 3, 2)), perovskite((4, 1, 1)), perovskite((3, 2, 2))])
    reasons = caught.value.reasons
    assert list(reasons) == [1, 2, 3, 4]
    assert "Rf" in reasons[1]
    assert "4 elements, at most 3" in reasons[2]
    assert "54 sites of Br, at most 38" in reasons[3]
    assert "24.00 Å, at most 20 Å" in reasons[4]


def test_empty_lists_and_wrong_images_are_refused():
    with pytest.raises(EmptyDatasetError):
        IMAGE.encode([])
    with pytest.raises(ValueError, match=r"\(n, 60, 88, 3\), not \(1, 3, 60, 88\)"):
        IMAGE.decode(np.zeros((1, 3, 60, 88)))
    with pytest.raises(ValueError, match="max_length must be positive"):
        TLVAEImage(max_length=0)
