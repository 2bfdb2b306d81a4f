from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from perovskites import perovskite, random_decoration, symmetry_image
from pymatgen.core import Structure

import qperov
from qperov import orderings
from qperov.datasets import CrystalDataset
from qperov.errors import EmptyDatasetError

SHAPE = (2, 1, 1)
FIVE = [o.structure for o in orderings(perovskite(SHAPE), "Br", ("Br", "I"), 3)]


def dataset(n: int = 5, **fields) -> CrystalDataset:
    settings = {
        "ids": tuple(f"c{i}" for i in range(n)),
        "y": np.arange(n, dtype=float),
        "target": "energy",
        "unit": "eV",
        "provenance": tuple(f"run {i}" for i in range(n)),
    }
    return CrystalDataset(name="five", structures=tuple(FIVE[:n]), **{**settings, **fields})


def with_copies() -> CrystalDataset:
    """Two classes of three and one of one: copies of the first two orderings, labels with known spread."""
    rng = np.random.default_rng(0)
    order = [0, 1, 0, 2, 1, 0, 1]
    return CrystalDataset(
        name="copies",
        structures=tuple(symmetry_image(FIVE[i], SHAPE, rng) for i in order),
        ids=tuple("abcdefg"),
        y=np.array([1.0, 10.0, 2.0, 5.0, 10.0, 3.0, 13.0]),
    )


def test_groups_are_symmetry_classes():
    assert with_copies().groups.tolist() == [0, 1, 0, 2, 1, 0, 1]


def test_known_groups_are_believed():
    assert dataset(known_groups=[7, 7, 1, 1, 1]).groups.tolist() == [7, 7, 1, 1, 1]


def test_one_per_class_keeps_the_first_and_averages_the_labels():
    one = with_copies().one_per_class()
    assert one.ids == ("a", "b", "d")
    assert one.y.tolist() == [2.0, 11.0, 5.0]
    assert one.groups.tolist() == [0, 1, 2]
    assert one.one_per_class().ids == one.ids


def test_one_per_class_without_labels_or_without_crystals():
    bare = dataclasses.replace(with_copies(), y=None)
    assert bare.one_per_class().ids == ("a", "b", "d")
    assert bare.one_per_class().y is None
    with pytest.raises(EmptyDatasetError, match="no structures"):
        dataset(0).one_per_class()


def test_label_noise_is_the_pooled_spread_within_classes():
    # deviations −1, 0, 1 and −1, −1, 2 about the class means: 2 + 6 over 2 + 2 degrees of freedom
    assert with_copies().label_noise == pytest.approx(np.sqrt(8 / 4))
    assert dataset().label_noise is None, "no class has two members"
    assert dataclasses.replace(with_copies(), y=None).label_noise is None
    assert with_copies().one_per_class().label_noise == with_copies().label_noise, "merging copies does not hide it"


def test_different_crystals_of_one_group_are_no_noise():
    grouped = dataclasses.replace(with_copies(), known_groups=np.zeros(7))
    assert grouped.label_noise == with_copies().label_noise, "symmetry copies inside a larger group still count"
    assert dataset(known_groups=[0, 0, 0, 1, 1]).label_noise is None
    assert qperov.load_dataset("abx3_radii").label_noise is None, "two charge states have two tolerance factors"


def test_cpx321_has_the_noise_of_its_cluster_expansion():
    data = qperov.load_dataset("cpx321")
    assert 0.0009 < data.label_noise < 0.002
    assert "it is no noise" in data.cautions[0]  # the 0.15 meV/atom between turned copies


def test_known_noise_follows_the_unit():
    noise = dataset(known_noise=0.5, unit="eV/cell")
    assert noise.in_unit("meV/cell").label_noise == pytest.approx(500)
    assert noise.in_unit("meV/atom").label_noise == pytest.approx(500 / len(FIVE[0]))
    assert noise.in_unit("meV/atom").cautions == ()
    mixed = dataclasses.replace(noise, structures=(*FIVE[:4], FIVE[4] * (1, 2, 1)))
    assert mixed.in_unit("meV/cell").label_noise == pytest.approx(500)
    assert mixed.in_unit("eV/atom").label_noise is None
    assert "label noise" in mixed.in_unit("eV/atom").cautions[0]
    assert dataset(0, known_noise=0.5, unit="eV/cell").in_unit("eV/atom").cautions == ()


@given(st.lists(st.integers(0, 4), max_size=8, unique=True))
def test_take_keeps_every_field_in_step(rows):
    whole = dataset(known_groups=[3, 3, 4, 5, 5])
    part = whole.take(rows)
    assert len(part) == len(rows)
    assert part.ids == tuple(f"c{i}" for i in rows)
    assert part.y.tolist() == rows
    assert part.provenance == tuple(f"run {i}" for i in rows)
    assert part.groups.tolist() == [[3, 3, 4, 5, 5][i] for i in rows]
    assert all(a is FIVE[i] for a, i in zip(part.structures, rows, strict=True))
    assert (part.name, part.target, part.unit) == ("five", "energy", "eV")


def test_take_understands_masks_ranges_and_negative_rows():
    mask = np.array([True, False, False, True, False])
    assert dataset().take(mask).ids == ("c0", "c3")
    assert dataset().take(list(mask)).ids == ("c0", "c3")
    assert dataset().take(range(2)).ids == ("c0", "c1")
    assert dataset().take([-1]).ids == ("c4",)
    for bad in ([5], np.array([True, False])):
        with pytest.raises(IndexError):
            dataset().take(bad)
    with pytest.raises(ValueError, match="ids must be unique"):
        dataset().take([0, 0])


def test_the_dataset_cannot_be_changed():
    labels = np.arange(5.0)
    crystals = dataset(y=labels, known_groups=np.arange(5))
    labels[0] = 99.0
    assert crystals.y[0] == 0.0, "labels are copied"
    for array in (crystals.y, crystals.groups, with_copies().groups):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        crystals.name = "other"
    given_as_list = CrystalDataset("list", list(FIVE), list("abcde"), provenance=["run"] * 5)
    assert isinstance(given_as_list.structures, tuple)
    assert isinstance(given_as_list.ids, tuple)
    assert isinstance(given_as_list.provenance, tuple)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"y": np.arange(4.0)}, r"5 structures, but lengths \{'y': 4\}"),
        ({"ids": ("a", "b")}, r"lengths \{'ids': 2\}"),
        ({"provenance": ("a",)}, r"lengths \{'provenance': 1\}"),
        ({"known_groups": [0, 0, 0, 0, 0, 0]}, r"lengths \{'known_groups': 6\}"),
        ({"ids": ("a", "b", "c", "b", "a")}, "not: a, b"),
        ({"y": np.zeros((5, 2))}, r"y must have one dimension, not shape \(5, 2\)"),
    ],
)
def test_fields_out_of_step_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        dataset(**fields)


def test_fingerprint_tells_data_apart_but_not_rounding():
    reference = dataset().fingerprint
    assert dataset().fingerprint == reference
    assert dataclasses.replace(dataset(), name="renamed").fingerprint == reference
    moved = FIVE[0].copy()
    moved.translate_sites([0], [1e-4, 0, 0])
    noisy = Structure(FIVE[0].lattice, FIVE[0].species, FIVE[0].frac_coords - 1e-14)
    swapped = FIVE[0].copy()
    swapped[0], swapped[1] = "Rb", "Rb"
    fingerprints = {
        dataset(y=np.arange(5.0) + 1e-9).fingerprint,
        dataset(y=None).fingerprint,
        dataset(ids=tuple("vwxyz")).fingerprint,
        *(
            dataclasses.replace(dataset(), structures=(first, *FIVE[1:])).fingerprint
            for first in (moved, swapped, FIVE[1])
        ),
    }
    assert len(fingerprints) == 6
    assert reference not in fingerprints
    assert dataclasses.replace(dataset(), structures=(noisy, *FIVE[1:])).fingerprint == reference
    assert dataset().take([1, 0, 2, 3, 4]).fingerprint != reference


def test_description_in_one_line():
    assert repr(dataset()) == "CrystalDataset('five', 5 structures, target='energy' [eV])"
    assert repr(dataset(y=None)) == "CrystalDataset('five', 5 structures)"


def test_groups_of_mixed_compositions():
    rng = np.random.default_rng(1)
    parent = perovskite(SHAPE)
    structures = [random_decoration(parent, k, rng) for k in (0, 1, 5, 6)]
    structures += [symmetry_image(s, SHAPE, rng) for s in structures]
    assert CrystalDataset("mixed", tuple(structures), tuple("abcdefgh")).groups.tolist() == [0, 1, 2, 3] * 2
