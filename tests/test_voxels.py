from __future__ import annotations

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
    rock_salt,
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
from qperov.generative.representations.canonical_cells import physical_lattice
from qperov.generative.representations.voxel_cell import cell_fault, cell_image, lattice_of_image
from qperov.generative.representations.voxel_peaks import CUT, REACH, SIGMA, PeakGrid, gaussian
from qperov.generative.representations.voxels import Voxels

SMALL = Voxels(grid=32)
PUBLISHED = Voxels()


def published_inversion(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """iMatGen's: the faintest point on each axis and face diagonal, and the law of cosines."""
    n = image.shape[0]
    middle = n // 2

    def length(line: np.ndarray) -> float:
        seen = np.flatnonzero(line >= CUT)
        faintest = seen[np.argmin(line[seen])]
        return math.sqrt(-2 * SIGMA**2 * math.log(line[faintest])) * n / abs(faintest - middle)

    diagonal = np.arange(n)
    lengths = np.array(
        [length(image[:, middle, middle]), length(image[middle, :, middle]), length(image[middle, middle])]
    )
    faces = [length(image[middle, diagonal, diagonal]), length(image[diagonal, middle, diagonal])]
    faces.append(length(image[diagonal, diagonal, middle]))
    pairs = [(1, 2), (0, 2), (0, 1)]
    cosines = [
        (face**2 - lengths[i] ** 2 - lengths[j] ** 2) / (2 * lengths[i] * lengths[j])
        for face, (i, j) in zip(faces, pairs, strict=True)
    ]
    return lengths, np.degrees(np.arccos(np.clip(cosines, -1, 1)))


# --- Gaussians and their inversion --------------------------------------------------------------


def test_the_gaussian_has_the_published_width_and_cut():
    assert gaussian(np.array([0.0])) == 1
    assert gaussian(np.array([0.26**2])) == pytest.approx(math.exp(-0.5))
    assert pytest.approx(0.7273, abs=1e-4) == REACH
    below, above = gaussian(np.array([0.7272, 0.7274]) ** 2)
    assert below == pytest.approx(0.02, abs=1e-4)
    assert above == 0


def test_an_image_is_the_sum_over_atoms_at_every_point():
    grid = PeakGrid(12, 6.0)
    places = np.random.default_rng(0).uniform(1, 5, size=(7, 3))
    image = grid.image(places)
    for point in itertools.product(range(12), repeat=3):
        distances = [math.dist([0.5 * index for index in point], place) for place in places]
        expected = sum(
            math.exp(-(d**2) / (2 * 0.26**2)) for d in distances if math.exp(-(d**2) / (2 * 0.26**2)) >= 0.02
        )
        assert image[point] == pytest.approx(expected, abs=1e-12)


def test_cell_image_is_one_atom_in_middle_seen_along_axes():
    lattice = Lattice.from_parameters(3.1, 4.2, 5.3, 75, 100, 112)
    image = cell_image(lattice.matrix, 8)
    for point in itertools.product(range(8), repeat=3):
        distance = lattice.get_distance_and_image(np.array(point) / 8, [0.5, 0.5, 0.5])[0]
        expected = math.exp(-(distance**2) / (2 * 0.26**2))
        assert image[point] == pytest.approx(expected if expected >= 0.02 else 0, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_lattice_comes_back_or_that_is_reported(seed):
    rng = np.random.default_rng(seed)
    lattice = physical_lattice(rng.uniform(2, 23, 3), rng.uniform(50, 130, 3))
    if lattice is not None and cell_fault(lattice.matrix, 32) is None:
        lengths, angles = lattice_of_image(cell_image(lattice.matrix, 32).astype(np.float32))
        assert np.allclose(lengths, lattice.abc, atol=1e-5)
        assert np.allclose(angles, lattice.angles, atol=1e-4)


def test_published_inversion_gives_same_lattice_without_noise():
    lattice = triclinic().lattice
    lengths, angles = published_inversion(cell_image(lattice.matrix, 32))
    assert np.allclose(lengths, lattice.abc)
    assert np.allclose(angles, lattice.angles)


def test_fitted_lattice_is_nearer_than_the_published_one():
    lattice = triclinic().lattice
    clean = cell_image(lattice.matrix, 32)
    rng = np.random.default_rng(0)
    fitted, published = [], []
    for _ in range(20):
        # so little that no stray point reaches the cut, which would send the published inversion astray altogether
        noisy = np.clip(clean + rng.normal(scale=0.003, size=clean.shape), 0, 1)
        fitted.append(np.abs(lattice_of_image(noisy)[0] - lattice.abc).max())
        published.append(np.abs(published_inversion(noisy)[0] - lattice.abc).max())
    assert max(fitted) < 0.05
    assert np.mean(published) > 5 * np.mean(fitted)


@pytest.mark.parametrize(
    ("edges", "fits"),
    [((22.9, 4, 4), True), ((23.3, 4, 4), False), ((16.4, 16.4, 4), True), ((16.6, 16.6, 4), False)],
)
def test_cells_come_back_from_edges_and_face_diagonals(edges, fits):
    lattice = Lattice.orthorhombic(*edges)
    image = cell_image(lattice.matrix, 32).astype(np.float32)
    assert (cell_fault(lattice.matrix, 32) is None) == fits
    assert (lattice_of_image(image) is not None) == fits
    if fits:
        assert np.allclose(lattice_of_image(image)[0], edges, atol=1e-4)
    else:
        assert lattice_of_image(cell_image(lattice.matrix, 64).astype(np.float32)) is not None


def test_a_cell_in_which_the_atom_meets_itself_is_refused():
    assert "meets itself" in cell_fault(Lattice.orthorhombic(1.4, 5, 5).matrix, 32)


@pytest.mark.parametrize("n", [32, 64])
def test_atoms_come_back_wherever_they_lie_between_the_points(n):
    grid = PeakGrid(n, 15.0)
    rng = np.random.default_rng(n)
    corner = 16 * grid.step
    # on a point, and half way along one, two and three axes
    shifts = [np.array(s) * grid.step for s in ((0, 0, 0), (0.5, 0, 0), (0.5, 0.5, 0), (0.5, 0.5, 0.5))]
    for shift in [*shifts, *rng.uniform(0, grid.step, size=(20, 3))]:
        (found,) = grid.places(grid.image(corner + shift[None]).astype(np.float32))
        assert np.abs(found - corner - shift).max() < 1e-5


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([32, 64]))
def test_two_near_atoms_come_back_or_are_reported(seed, n):
    rng = np.random.default_rng(seed)
    grid = PeakGrid(n, 15.0)
    direction = rng.normal(size=3)
    first = rng.uniform(5, 10, size=3)
    places = np.array([first, first + direction / np.linalg.norm(direction) * rng.uniform(0.3, 1.8)])
    if grid.fault(places) is None:
        found = grid.places(grid.image(places).astype(np.float32))
        assert len(found) == 2
        assert min(np.abs(found - places).max(), np.abs(found[::-1] - places).max()) < 0.05


def test_hydrogen_molecules_need_the_finer_grid():
    places = np.array([(7.3, 7.3, 7.3), (8.04, 7.3, 7.3)])
    assert PeakGrid(64, 15.0).fault(places) is None
    assert "0.74 Å apart blur" in PeakGrid(32, 15.0).fault(places)


@pytest.mark.parametrize("n", [32, 64])
def test_images_without_atoms_have_none(n):
    grid = PeakGrid(n, 15.0)
    assert grid.places(np.zeros((n, n, n))).shape == (0, 3)
    # as faint as a decoder's background may be
    assert grid.places(np.random.default_rng(0).uniform(0, 0.1, size=(n, n, n))).shape == (0, 3)
    assert len(grid.places(0.4 * grid.image(np.full((1, 3), 7.1)))) == 0
    # as flat as before training
    assert len(grid.places(np.full((n, n, n), 0.5))) <= 1


# --- crystals -----------------------------------------------------------------------------------


def test_parts_are_views_with_the_published_shapes():
    assert PUBLISHED.shape == (32**3 + 3 * 64**3 + 3 * 103,)
    arrays = SMALL.encode([perovskite(), rock_salt()])
    assert arrays.dtype == np.float32
    assert arrays.shape == (2, *SMALL.shape)
    parts = SMALL.parts(arrays)
    assert parts.cell.shape == (2, 32, 32, 32)
    assert parts.basis.shape == (2, 3, 32, 32, 32)
    assert parts.elements.shape == (2, 3, 103)
    assert all(np.shares_memory(part, arrays) for part in parts)
    assert np.array_equal(SMALL.joined(parts), arrays)
    assert sum(block[0].stop - block[0].start for block in SMALL.blocks.values()) == SMALL.shape[0]
    assert [row.argmax() + 1 for row in parts.elements[0]] == [55, 82, 35]
    # NaCl leaves the third image empty
    assert not parts.basis[1, 2].any()
    assert not parts.elements[1, 2].any()


@pytest.mark.parametrize("voxels", [SMALL, PUBLISHED], ids=["32", "64"])
@pytest.mark.parametrize("name", examples())
def test_a_crystal_comes_back(name, voxels):
    structure = examples()[name]
    (found,) = voxels.decode(voxels.encode([structure]))
    edges, angles, coordinates = differences(structure, found)
    assert edges < 1e-4
    assert angles < 1e-3
    assert coordinates < 1e-5


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_any_crystal_comes_back(seed, n_sites):
    structure = random_crystal(seed, n_sites)
    (found,) = SMALL.decode(SMALL.encode([structure]))
    assert max(differences(structure, found)) < 1e-3


@needs_shared
@pytest.mark.parametrize("voxels", [SMALL, PUBLISHED], ids=["32", "64"])
def test_published_crystals_come_back(voxels):
    crystals = published_crystals()
    for true, found in zip(crystals, voxels.decode(voxels.encode(crystals)), strict=True):
        assert max(differences(true, found)) < 1e-4


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_order_of_sites_and_rotation_change_nothing(seed):
    structure = random_crystal(seed)
    array, *others = SMALL.encode(
        [structure, shuffled(structure, seed), moved_by_cells(structure, seed), rotated(structure, seed)]
    )
    assert np.array_equal(array, others[0])
    # values about the cut come and go with the last digit
    assert np.abs(array - others[1]).max() < CUT + 1e-3
    assert np.abs(array - others[2]).max() < CUT + 1e-3


@pytest.mark.parametrize(("voxels", "noise"), [(SMALL, 0.03), (PUBLISHED, 0.05)], ids=["32", "64"])
def test_noisy_images_give_the_crystal(voxels, noise):
    structures = [triclinic(), perovskite(edge=5.9)]
    clean = voxels.encode(structures)
    noisy = clean + np.random.default_rng(0).normal(scale=noise, size=clean.shape).astype(np.float32)
    for true, found in zip(structures, voxels.decode(noisy), strict=True):
        edges, angles, coordinates = differences(true, found)
        assert edges < 0.3
        assert angles < 5
        assert coordinates < 0.05


def test_a_chosen_set_of_species_makes_smaller_arrays():
    voxels = Voxels(grid=32, max_elements=2, species=("V", "O"))
    rutile = Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.55, 2.85), ["V", "O"], [(0, 0, 0), (0.3, 0.3, 0)]
    )
    assert voxels.shape == (32**3 + 2 * 32**3 + 4,)
    (found,) = voxels.decode(voxels.encode([rutile]))
    assert max(differences(rutile, found)) < 1e-4
    with pytest.raises(RepresentationError, match="Na, Cl not among"):
        voxels.encode([rock_salt()])


def test_crystals_that_do_not_fit_are_named_with_their_reasons():
    cell = perovskite()
    four = Structure(cell.lattice, ["Cs", "Pb", "Br", "Br", "I"], cell.frac_coords)
    long = Structure(Lattice.orthorhombic(24, 4, 4), ["Cs"], [(0.44, 0.4, 0.4)])
    wide = perovskite((3, 1, 1))
    doubled = Structure(cell.lattice, [*cell.species, "Br"], np.vstack([cell.frac_coords, [0.5, 0.5, 0.02]]))
    with pytest.raises(RepresentationError, match="4 of 5") as caught:
        SMALL.encode([four, long, wide, doubled, cell])
    reasons = caught.value.reasons
    assert "4 elements, at most 3" in reasons[0]
    assert "24.00, 4.00, 4.00 Å: on 32³ points" in reasons[1]
    assert "23.3 Å" in reasons[1]
    assert "from the middle of the cube" in reasons[2]
    assert "0.12 Å apart blur" in reasons[3]
    larger = Voxels(grid=48, box=22.0)
    assert max(differences(wide, larger.decode(larger.encode([wide]))[0])) < 1e-4


def test_array_without_crystal_gives_none():
    good = SMALL.encode([perovskite()])[0]
    many = np.stack([good] * 7)
    parts = SMALL.parts(many)
    parts.cell[1] = 0
    parts.basis[2] = 0
    parts.elements[3, 1] = 0
    parts.basis[4, 0, 0, 0, 0] = np.nan
    many[5] = 0.5
    found = SMALL.decode(many)
    assert found[1:6] == [None] * 5
    assert symbols(found[0]) == symbols(found[6]) == ["Cs", "Pb", "Br", "Br", "Br"]


def test_random_numbers_give_none():
    assert SMALL.decode(np.random.default_rng(0).random((2, *SMALL.shape))) == [None, None]


def test_empty_lists_and_wrong_arrays_are_refused():
    with pytest.raises(EmptyDatasetError):
        SMALL.encode([])
    with pytest.raises(ValueError, match="arrays of this representation"):
        SMALL.decode(np.zeros((1, 10)))
    with pytest.raises(ValueError, match="grid must be 29 at least"):
        Voxels(grid=28)
    with pytest.raises(ValueError, match="cell_grid must be even"):
        Voxels(cell_grid=31)
    with pytest.raises(ValueError, match="larger than one atom"):
        Voxels(box=1.0)
    with pytest.raises(ValueError, match="species"):
        Voxels(species=())
