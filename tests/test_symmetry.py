from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perovskites import halide_sites, perovskite, random_decoration, symmetry_image, with_iodine
from pymatgen.core import Lattice, Structure

from qperov import orderings
from qperov.crystals import operations, symmetry, symmetry_classes
from qperov.crystals.operations import point_group, site_permutations, symmetry_operations
from qperov.crystals.parent_lattice import parent_lattices
from qperov.crystals.symmetry import canonical_decorations
from qperov.errors import LongComputationWarning, SymmetryError
from qperov.evaluation import progress


def shaken(structure: Structure, seed: int, scale: float = 0.02) -> Structure:
    """The crystal with a strained cell and displaced sites: no symmetry left."""
    rng = np.random.default_rng(seed)
    strain = np.eye(3) + rng.normal(scale=scale, size=(3, 3))
    positions = structure.frac_coords + rng.normal(scale=scale, size=structure.frac_coords.shape)
    return Structure(Lattice(structure.lattice.matrix @ strain), structure.species, positions)


def turned(structure: Structure, seed: int) -> Structure:
    """The same crystal in another setting: cell vectors exchanged, all of space rotated and mirrored, origin moved."""
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    axes, order = rng.permutation(3), rng.permutation(len(structure))
    positions = (structure.frac_coords + rng.random(3))[order][:, axes]
    return Structure(
        Lattice(structure.lattice.matrix[axes] @ rotation), [structure[int(i)].species for i in order], positions
    )


@pytest.mark.parametrize(("shape", "count", "planted"), [((3, 2, 1), 6, 40), ((2, 2, 2), 4, 25), ((2, 1, 1), 3, 5)])
def test_images_of_planted_orderings_fall_into_their_classes(shape, count, planted):
    rng = np.random.default_rng(3)
    found = orderings(perovskite(shape), "Br", ("Br", "I"), count)
    chosen = [found[i] for i in rng.choice(len(found), size=planted, replace=False)]
    truth = np.concatenate([np.arange(planted), rng.integers(0, planted, size=3 * planted)])
    images = [symmetry_image(chosen[i].structure, shape, rng) for i in truth]
    # the first images of the planted orderings come in order, so the numbers are the planted ones
    assert np.array_equal(symmetry_classes(images), truth)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9))
def test_random_ordering_is_found_in_its_image_only(seed, count):
    rng = np.random.default_rng(seed)
    shape = (3, 2, 1)
    parent = perovskite(shape)
    first = random_decoration(parent, count, rng)
    second = random_decoration(parent, count, rng)
    labels = symmetry_classes([first, second, symmetry_image(first, shape, rng), symmetry_image(second, shape, rng)])
    assert labels[2] == labels[0] == 0
    assert labels[3] == labels[1]
    occupied = halide_sites(parent)
    patterns = {tuple(o.occupied) for o in orderings(parent, occupied.tolist(), ("Br", "I"), count)}
    assert len(patterns) > labels.max()


def test_all_orderings_of_a_cell_are_as_many_classes():
    structures = [o.structure for o in orderings(perovskite((3, 2, 1)), "Br", ("Br", "I"), 4)]
    assert np.array_equal(symmetry_classes(structures), np.arange(195))


def test_mixtures_on_two_sublattices_are_decorated_together():
    parent = perovskite((2, 2, 1))
    lead = [i for i, site in enumerate(parent) if site.species_string == "Pb"]
    tin = parent.copy()
    tin[lead[0]] = "Sn"
    halides = halide_sites(parent)
    # I beside Sn, I far from Sn, and an image of the first
    distances = tin.distance_matrix[lead[0], halides]
    near, far = halides[distances < 3.1], halides[distances > 6]
    beside, apart = with_iodine(tin, near[:1]), with_iodine(tin, far[:1])
    image = symmetry_image(beside, (2, 2, 1), np.random.default_rng(0))
    assert symmetry_classes([beside, apart, image]).tolist() == [0, 1, 0]


def test_pure_crystals_and_other_elements_stay_apart():
    parent = perovskite()
    iodide = with_iodine(parent, halide_sites(parent))
    other = parent.copy()
    other.replace_species({"Cs": "Rb"})
    assert symmetry_classes([parent, iodide, other, parent]).tolist() == [0, 1, 2, 0]


def test_no_crystals_have_no_classes():
    assert symmetry_classes([]).shape == (0,)


def test_relaxed_copies_in_other_settings_are_merged():
    first = shaken(random_decoration(perovskite((2, 1, 1)), 2, np.random.default_rng(1)), seed=1)
    second = shaken(first, seed=2)
    crystals = [
        first,
        second,
        turned(first, 3),
        turned(first * (1, 2, 1), 4),
        turned(second, 5),
        turned(second * (2, 1, 1), 6),
        shaken(first, seed=7),
    ]
    assert symmetry_classes(crystals).tolist() == [0, 1, 0, 0, 1, 1, 2]


def test_relaxed_cell_and_its_numerical_repeat_are_one_crystal():
    first = shaken(random_decoration(perovskite((2, 1, 1)), 2, np.random.default_rng(8)), seed=8)
    noise = np.random.default_rng(9).normal(scale=2e-4, size=first.frac_coords.shape)
    repeat = Structure(Lattice(first.lattice.matrix * 1.0005), first.species, first.frac_coords + noise)
    assert symmetry_classes([first, turned(repeat, 10)]).tolist() == [0, 0]


def test_crystal_turned_in_its_cell_may_count_twice():
    """Layers of I across the long and the short axis of a 2×1×1 cell: one crystal, two orderings of the cell."""
    parent = perovskite((2, 1, 1))
    halides = halide_sites(parent)
    in_small_cell = np.mod(parent.frac_coords[halides] * (2, 1, 1), 1)
    across_long = with_iodine(parent, halides[np.isclose(in_small_cell[:, 0], 0)])
    across_short = with_iodine(parent, halides[np.isclose(in_small_cell[:, 2], 0)])
    assert symmetry_classes([across_long, across_short]).tolist() == [0, 1]
    assert symmetry_classes([across_long, across_long.get_primitive_structure()]).tolist() == [0, 0]


def test_mixed_occupancy_differs_from_full_order():
    parent = perovskite((2, 1, 1))
    mixed = parent.copy()
    for site in halide_sites(parent):
        mixed[int(site)] = {"Br": 0.5, "I": 0.5}
    ordered = random_decoration(perovskite((2, 1, 1), edge=6.1), 3, np.random.default_rng(0))
    assert mixed.composition.reduced_formula == ordered.composition.reduced_formula
    assert symmetry_classes([mixed, ordered, turned(mixed, 1), mixed * (1, 2, 1)]).tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize("edge", [6.0175, 6.0005, 5.9995])
def test_rounding_of_the_last_digit_makes_no_other_lattice(edge):
    rng = np.random.default_rng(2)
    structures = []
    for _ in range(20):
        parent = perovskite((3, 2, 1), edge + rng.normal(scale=1e-7))
        positions = parent.frac_coords + rng.normal(scale=1e-7, size=(30, 3)) + [0, 0.0005, 0.00025]
        structures.append(random_decoration(Structure(parent.lattice, parent.species, positions), 6, rng))
    [(parent, rows, occupations)] = parent_lattices(structures)
    assert rows.tolist() == list(range(20))
    assert (occupations.sum(axis=1) == 6).all()
    assert len(parent.permutations) == 24


def test_occupations_follow_sites_and_not_their_order_in_file():
    rng = np.random.default_rng(4)
    structures = [random_decoration(perovskite((3, 2, 1)), 6, rng) for _ in range(10)]
    [(parent, _, occupations)] = parent_lattices(structures)
    assert {parent.structure[site].species_string for site in parent.sites} == {"Br"}
    assert set(parent.choices) == {("Br", "I")}
    reordered = [Structure.from_sites([s[int(i)] for i in rng.permutation(30)]) for s in structures]
    assert np.array_equal(parent.occupations(reordered), occupations)
    # a site with I is where the parent says it is
    for structure, row in zip(reordered, occupations, strict=True):
        iodine = structure.frac_coords[[site.species_string == "I" for site in structure]]
        named = parent.structure.frac_coords[np.array(parent.sites)[row == 1]]
        assert {tuple(np.round(p, 6)) for p in np.mod(iodine, 1)} == {tuple(np.round(p, 6)) for p in np.mod(named, 1)}


def test_occupations_of_foreign_crystals_are_refused():
    rng = np.random.default_rng(5)
    parent_cell = perovskite((2, 1, 1))
    [(parent, _, _)] = parent_lattices([random_decoration(parent_cell, 2, rng) for _ in range(5)])
    with pytest.raises(SymmetryError, match="does not lie on the parent lattice"):
        parent.occupations([perovskite((2, 1, 1), edge=6.2)])
    chloride = parent_cell.copy()
    chloride.replace_species({"Br": "Cl"})
    with pytest.raises(SymmetryError, match="has Cl where the parent lattice knows"):
        parent.occupations([chloride])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_canonical_decorations_are_equal_exactly_on_orbits(seed):
    rng = np.random.default_rng(seed)
    parent = perovskite((2, 1, 1))
    [(lattice, _, _)] = parent_lattices([parent, with_iodine(parent, halide_sites(parent)[:1])])
    group = lattice.permutations
    rows = rng.integers(0, 3, size=(12, 6))
    canonical = canonical_decorations(rows, group)
    for a in range(len(rows)):
        orbit = {tuple(rows[a][p]) for p in group}
        for b in range(len(rows)):
            assert (canonical[a] == canonical[b]) == (tuple(rows[b]) in orbit)


def test_shifts_and_turns_are_all_operations() -> None:
    cells = [perovskite((2, 2, 1)), perovskite((2, 2, 2)), shaken(perovskite((2, 1, 1)), 1)]
    cells.append(Structure.from_spacegroup("R-3m", Lattice.hexagonal(4, 20), ["Bi", "Te"], [(0, 0, 0), (0, 0, 0.4)]))
    for cell in cells:
        sites = np.flatnonzero([site.specie.symbol in ("Br", "Te") for site in cell])
        kinds = [site.specie.Z for site in cell]
        rotations, translations = symmetry_operations(cell.lattice.matrix, cell.frac_coords, kinds)
        images = np.einsum("gab,nb->gna", rotations, cell.frac_coords[sites]) + translations[:, None]
        offset = images[:, :, None] - cell.frac_coords[sites]
        offset -= np.round(offset)
        one_by_one = np.unique(np.linalg.norm(offset @ cell.lattice.matrix, axis=3).argmin(axis=2), axis=0)
        found = site_permutations(cell, sites)
        assert found[0].tolist() == list(range(len(sites)))
        assert np.unique(found, axis=0).tolist() == one_by_one.tolist()
        assert len(found) == len(one_by_one)


def test_classes_of_a_large_cell_take_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = perovskite((6, 6, 6))
    changed = [with_iodine(cell, [site]) for site in halide_sites(cell)[[0, 7, 300]]]
    tracemalloc.start()
    assert symmetry_classes([cell, *changed]).tolist() == [0, 1, 1, 1]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6, "all permutations at once are 54 MB, and were worked out in 161 MB"
    monkeypatch.setattr(operations, "MOST_PERMUTATION_BYTES", 2**20)
    with pytest.raises(SymmetryError, match=r"216 symmetry operations of 648 sites take 0.001 GiB.*a smaller cell"):
        symmetry_classes([cell, *changed])


def test_classes_that_take_long_are_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = perovskite((2, 2, 2))
    crystals = [cell, with_iodine(cell, halide_sites(cell)[:1])]
    whole = symmetry_classes(crystals)
    monkeypatch.setattr(progress, "LONG", 0)
    monkeypatch.setattr(progress, "PILOT", 0)
    monkeypatch.setattr(symmetry, "MOST_SHIFTS", 3)
    with pytest.warns(LongComputationWarning, match="2 crystals of 24 sites under 384 operations.*known_groups"):
        assert np.array_equal(symmetry_classes(crystals), whole)


def test_cubic_cell_has_48_operations_and_the_long_one_fewer():
    for shape, many in [((1, 1, 1), 48), ((2, 1, 1), 2 * 16), ((3, 2, 1), 6 * 8), ((2, 2, 2), 8 * 48)]:
        cell = perovskite(shape)
        rotations, translations = symmetry_operations(cell.lattice.matrix, cell.frac_coords, cell.atomic_numbers)
        assert len(rotations) == len(translations) == many


def test_point_groups_have_their_symbols():
    for shape, symbol in [((1, 1, 1), "Oh"), ((2, 1, 1), "D4h"), ((3, 2, 1), "D2h")]:
        cell = perovskite(shape)
        rotations, _ = symmetry_operations(cell.lattice.matrix, cell.frac_coords, cell.atomic_numbers)
        assert point_group(np.unique(rotations, axis=0)) == symbol
    with pytest.raises(SymmetryError, match="not a group"):
        point_group(np.array([[[1, 1, 0], [0, 1, 0], [0, 0, 1]]]))


@pytest.mark.slow
def test_published_files_hold_974_orderings(cpx321_files):
    assert len(cpx321_files) == 6666
    groups = symmetry_classes(cpx321_files.structures)
    assert len(np.unique(groups)) == 974
    # copies of a crystal cannot outnumber the images that 24 operations make, unless a file occurs twice
    [(parent, rows, occupations)] = parent_lattices(cpx321_files.structures)
    assert len(rows) == 6666
    for group in range(0, 974, 40):
        assert len(np.unique(occupations[groups == group], axis=0)) <= len(parent.permutations)
