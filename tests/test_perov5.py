"""The embedded dataset perov5: complete, in its splits, with labels of one of them, and in groups of composition."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Poscar

import qperov
from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.embedded.perov5 import embedded_crystal_splits, read_crystal_splits, write_crystal_splits
from qperov.errors import DatasetNameError, FileFormatError

DATA = Path(__file__).parents[2] / "shared" / "data" / "perov5"
SIZES = {"train": 11356, "val": 3787, "test": 3785}


@pytest.fixture(scope="module")
def labelled() -> CrystalDataset:
    return qperov.load_dataset("perov5")


# --- what is in it ------------------------------------------------------------------------------


def test_all_splits_are_there_and_the_file_is_small() -> None:
    splits = embedded_crystal_splits("perov5")
    assert {split: len(crystals) for split, crystals in splits.crystals.items()} == SIZES
    assert len({entry for crystals in splits.crystals.values() for entry in crystals}) == sum(SIZES.values())
    file = resources.files("qperov.datasets.embedded").joinpath("data", "perov5.json.gz")
    assert len(file.read_bytes()) < 1_000_000


def test_only_one_split_has_labels(labelled: CrystalDataset) -> None:
    assert (labelled.target, labelled.unit, len(labelled)) == ("heat_all", "eV/cell", SIZES["val"])
    assert {"train", "test"} == {split for split in SIZES if qperov.load_dataset("perov5", split=split).y is None}
    for target, unit in (("heat_ref", "eV/cell"), ("dir_gap", "eV"), ("ind_gap", "eV")):
        assert qperov.load_dataset("perov5", target=target).unit == unit
    with pytest.raises(DatasetNameError, match="labels of its split 'val' alone"):
        qperov.load_dataset("perov5", target="heat_all", split="test")


def test_splits_share_compositions_as_the_caution_says(labelled: CrystalDataset) -> None:
    formulas = {
        split: [
            crystal.composition.reduced_formula for crystal in qperov.load_dataset("perov5", split=split).structures
        ]
        for split in SIZES
    }
    times = Counter(formula for names in formulas.values() for formula in names)
    assert len(times) == 9646
    assert Counter(times.values()) == {2: 9282, 1: 364}
    assert sum(name in set(formulas["train"]) for name in formulas["test"]) == 2214
    assert "leaks" in " ".join(labelled.cautions)


def test_a_group_is_a_composition(labelled: CrystalDataset) -> None:
    formulas = [crystal.composition.reduced_formula for crystal in labelled.structures]
    pairs = set(zip(formulas, labelled.groups.tolist(), strict=True))
    assert len(pairs) == len(set(formulas)) == len(np.unique(labelled.groups)) == 3425


@pytest.mark.skipif(not DATA.exists(), reason="development data are not here")
def test_crystals_and_labels_are_those_distributed(labelled: CrystalDataset) -> None:
    with gzip.open(DATA / "val.jsonl.gz", "rt") as lines:
        entries = [json.loads(line) for line in lines]
    assert labelled.ids == tuple(entry["id"] for entry in entries)
    for row in range(0, len(entries), 500):
        own, true = labelled.structures[row], Poscar.from_str(entries[row]["poscar"]).structure
        assert [site.specie for site in own] == [site.specie for site in true]
        assert np.abs(own.frac_coords - true.frac_coords).max() < 1e-6
        assert np.abs(own.lattice.matrix - true.lattice.matrix).max() < 1e-5
    with (DATA / "val_labels.csv").open() as table:
        labels = {row["material_id"]: float(row["heat_all"]) for row in csv.DictReader(table)}
    assert [labels[entry] for entry in labelled.ids] == labelled.y.tolist()


# --- groups that are larger than a class of copies ----------------------------------------------


def test_different_crystals_of_a_composition_stay_apart(labelled: CrystalDataset) -> None:
    rows = np.flatnonzero(np.isin(labelled.groups, np.flatnonzero(np.bincount(labelled.groups) == 2)[:5]))
    few = labelled.take(rows)
    merged = few.one_per_class()
    assert merged.ids == few.ids
    assert merged.y.tolist() == few.y.tolist()
    assert len(np.unique(merged.groups)) == 5


def test_copies_inside_a_group_are_merged() -> None:
    cubic = Structure(Lattice.cubic(4), ["Ca", "Ti"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    moved = cubic.copy().translate_sites([0, 1], [0.1, 0, 0])
    other = Structure(Lattice.cubic(5), ["Ca", "Ti"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    data = CrystalDataset("d", (cubic, other, moved), ("a", "b", "c"), np.array([1.0, 5, 3]), known_groups=np.zeros(3))
    merged = data.one_per_class()
    assert merged.ids == ("a", "b")
    assert merged.y.tolist() == [2, 5]


# --- bad input ----------------------------------------------------------------------------------


def test_unknown_splits_and_targets_are_named() -> None:
    with pytest.raises(DatasetNameError, match="no split 'dev'; it has train, val, test"):
        qperov.load_dataset("perov5", split="dev")
    with pytest.raises(DatasetNameError, match="no target 'gap'; it has heat_all"):
        qperov.load_dataset("perov5", target="gap")
    with pytest.raises(DatasetNameError, match="in one piece"):
        qperov.load_dataset("abx3", split="train")


def test_a_file_is_read_back_and_a_damaged_one_refused(tmp_path: Path) -> None:
    whole = embedded_crystal_splits("perov5")
    few = replace(
        whole,
        crystals={split: dict(list(crystals.items())[:3]) for split, crystals in whole.crystals.items()},
        targets={name: replace(target, values=target.values[:3]) for name, target in whole.targets.items()},
    )
    write_crystal_splits(few, tmp_path / "few.json.gz")
    again = read_crystal_splits(tmp_path / "few.json.gz")
    assert again.dataset().fingerprint == few.dataset().fingerprint
    assert again.dataset(split="train").fingerprint == few.dataset(split="train").fingerprint
    content = json.loads(gzip.decompress((tmp_path / "few.json.gz").read_bytes()))
    del content["splits"]["val"]["species"]
    (tmp_path / "bad.json.gz").write_bytes(gzip.compress(json.dumps(content).encode()))
    with pytest.raises(FileFormatError, match=r"not a set of crystals in splits"):
        read_crystal_splits(tmp_path / "bad.json.gz")
