"""Labels joined to structures: deduced columns, units, and every way in which a table can be wrong."""

from __future__ import annotations

import gzip
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from development_data import SHARED, needs_shared
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from qperov.crystals.files.labels import join_labels
from qperov.crystals.units import ENERGY_UNITS, convert_energies, unit_of_column
from qperov.datasets.label_cautions import label_cautions
from qperov.datasets.reading import read
from qperov.errors import (
    DuplicateIdError,
    EmptyFileError,
    FileFormatError,
    InvalidLabelError,
    LabelError,
    MissingLabelError,
    OrphanLabelError,
    UnreadableFileError,
)

CSCL = "CsCl\n1.0\n4.1 0 0\n0 4.1 0\n0 0 4.1\nCs Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"
IDS = ("train/0", "train/1", "test/0", "test/1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four structures whose last folder names repeat."""
    for name in IDS:
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "POSCAR").write_text(CSCL)
    return tmp_path


def table(folder: Path, text: str, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


GOOD = "split,flag,class,e_mev_per_atom\ntrain,0,0,1.5\ntrain,1,1,2.5\ntest,0,0,3.5\ntest,1,1,4.5\n"


def labels_by_id(folder: Path, **options: object) -> dict[str, float]:
    dataset = read(folder, target="e_mev_per_atom", **options)
    assert dataset.y is not None
    return dict(zip(dataset.ids, dataset.y.tolist(), strict=True))


def test_columns_that_name_the_structures_are_deduced(folder: Path) -> None:
    path = table(folder, GOOD)
    expected = {"set/train/0": 1.5, "set/train/1": 2.5, "set/test/0": 3.5, "set/test/1": 4.5}
    assert labels_by_id(folder, labels=path) == expected
    assert labels_by_id(folder) == expected, "the only labels.csv is found by itself"
    dataset = read(folder, target="e_mev_per_atom")
    assert dataset.provenance[0] == "labels.csv, column e_mev_per_atom"
    assert dataset.unit == "meV/atom"


def test_named_columns_and_other_formats(folder: Path) -> None:
    path = table(folder, GOOD, "energies.csv")
    packed = folder / "packed.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    pd.read_csv(path).to_parquet(folder / "energies.parquet")
    for each in (path, packed, folder / "energies.parquet"):
        assert labels_by_id(folder, labels=each, id_columns=["split", "flag"])["set/test/0"] == 3.5


def test_the_row_order_does_not_matter(folder: Path) -> None:
    head, *rows = GOOD.splitlines()
    one = labels_by_id(folder, labels=table(folder, GOOD))
    assert labels_by_id(folder, labels=table(folder, "\n".join([head, *reversed(rows)]))) == one


def test_a_column_called_id_wins(folder: Path) -> None:
    text = "e_mev_per_atom,ID,other\n1,set/train/0/POSCAR,test/0\n2,train/1,train/0\n"
    found = labels_by_id(folder, labels=table(folder, text))
    assert found == {"set/train/0": 1.0, "set/train/1": 2.0}


def test_a_suffix_must_be_whole_components(tmp_path: Path) -> None:
    joined = join_labels(("a/strain/0",), ("x",), table(tmp_path, "id,e\ntrain/0,1\n"), "e", "id")
    assert [type(issue) for issue in joined.issues] == [OrphanLabelError, MissingLabelError]
    assert np.isnan(joined.values).all()


def test_columns_that_cannot_be_deduced(folder: Path) -> None:
    with pytest.raises(LabelError, match="the columns are flag, e_mev_per_atom: name those that do with id_columns"):
        read(folder, target="e_mev_per_atom", labels=table(folder, "flag,e_mev_per_atom\n0,1\n1,2\n"))
    with pytest.raises(LabelError, match="no column 'energy_x'; the columns are split, flag"):
        read(folder, target="energy_x", labels=table(folder, GOOD))
    with pytest.raises(LabelError, match="no column 'fold'"):
        read(folder, target="e_mev_per_atom", labels=table(folder, GOOD), id_columns="fold")


@pytest.mark.parametrize("text", ["", "nan", "NaN", "inf", "-inf", "n/a", "1,5"])
def test_a_label_that_is_no_finite_number(folder: Path, text: str) -> None:
    quoted = f'"{text}"' if "," in text else text
    dataset = read(folder, target="e_mev_per_atom", labels=table(folder, GOOD.replace("2.5", quoted)))
    assert "set/train/1" not in dataset.ids
    assert len(dataset) == 3
    (issue,) = dataset.issues
    assert type(issue) is InvalidLabelError
    assert "row 3 (train/1)" in issue.path
    assert "not a finite number" in issue.reason


def test_label_without_structure(folder: Path) -> None:
    path = table(folder, GOOD + "test,7,0,9\n")
    dataset = read(folder, target="e_mev_per_atom", labels=path, id_columns=("split", "flag"))
    assert len(dataset) == 4
    (issue,) = dataset.issues
    assert type(issue) is OrphanLabelError
    assert issue.path == "labels.csv row 6 (test/7)"
    assert "no structure of this id" in issue.reason


def test_structure_without_label(folder: Path) -> None:
    dataset = read(folder, target="e_mev_per_atom", labels=table(folder, GOOD.replace("test,1,1,4.5\n", "")))
    assert len(dataset) == 3
    (issue,) = dataset.issues
    assert type(issue) is MissingLabelError
    assert issue.path.endswith("test/1/POSCAR")
    assert "no row of labels.csv has a label for set/test/1" in issue.reason


def test_two_rows_for_one_structure(folder: Path) -> None:
    path = table(folder, GOOD + "test,1,1,99\n")
    dataset = read(folder, target="e_mev_per_atom", labels=path, id_columns=("split", "flag"))
    assert dataset.y is not None
    assert dataset.y[dataset.ids.index("set/test/1")] == 4.5
    (issue,) = dataset.issues
    assert type(issue) is DuplicateIdError
    assert "row 5 already labels set/test/1" in issue.reason


def test_an_id_that_fits_several_structures(folder: Path) -> None:
    path = table(folder, "id,e_mev_per_atom\n0,5\ntrain/1,6\n")
    dataset = read(folder, target="e_mev_per_atom", labels=path)
    assert dataset.ids == ("set/train/1",)
    assert type(dataset.issues[0]) is LabelError
    assert "several structures end with this id" in dataset.issues[0].reason


def test_tables_that_cannot_be_read(folder: Path) -> None:
    with pytest.raises(UnreadableFileError, match="does not exist"):
        read(folder, target="e", labels=folder / "none.csv")
    with pytest.raises(EmptyFileError, match="table of labels is empty"):
        read(folder, target="e", labels=table(folder, ""))
    (folder / "bad.parquet").write_bytes(b"\x00\x01junk")
    with pytest.raises(FileFormatError, match="not a table"):
        read(folder, target="e", labels=folder / "bad.parquet")
    (folder / "bad.csv").write_bytes(b"\xff\xfe\x00\x01junk")
    with pytest.raises(FileFormatError, match="not a table"):
        read(folder, target="e", labels=folder / "bad.csv")


def test_rows_and_columns_are_counted(folder: Path) -> None:
    longer = "\n".join([GOOD.splitlines()[0], *(f"x,{row}" for row in GOOD.splitlines()[1:])])
    with pytest.raises(LabelError, match="no row has as many cells as the header"):
        read(folder, target="e_mev_per_atom", labels=table(folder, longer))
    dataset = read(folder, target="e_mev_per_atom", labels=table(folder, GOOD.replace("train,1,1", "train,1,1,1")))
    assert len(dataset) == 3
    assert "5 cells, but the header names 4 columns" in dataset.issues[0].reason
    with pytest.raises(LabelError, match="two columns are called 'flag'"):
        read(folder, target="e_mev_per_atom", labels=table(folder, GOOD.replace("class", "flag")))


@pytest.mark.parametrize("text", ["1_000", "1e400", "1e-400", "0x10", "1 000", "１", "True"])
def test_labels_are_plain_decimal_numbers(folder: Path, text: str) -> None:
    dataset = read(folder, target="e_mev_per_atom", labels=table(folder, GOOD.replace("2.5", text)))
    assert len(dataset) == 3
    assert "plain decimal notation" in dataset.issues[0].reason


@pytest.mark.parametrize("text", ["+2.5", "2.5e0", "25E-1", ".25e1", " 2.5 "])
def test_ways_to_write_one_number(folder: Path, text: str) -> None:
    found = labels_by_id(folder, labels=table(folder, GOOD.replace("2.5", text)))
    assert found["set/train/1"] == 2.5


def test_other_delimiters_and_encodings(folder: Path) -> None:
    expected = labels_by_id(folder, labels=table(folder, GOOD))
    for text, encoding in ((GOOD.replace(",", ";"), "utf-8"), (GOOD.replace(",", "\t"), "utf-16"), (GOOD, "utf-8-sig")):
        path = folder / "other.csv"
        path.write_text(text, encoding=encoding)
        assert labels_by_id(folder, labels=path) == expected
    with pytest.raises(FileFormatError, match="commas, semicolons or tabs"):
        read(folder, target="e_mev_per_atom", labels=table(folder, GOOD.replace(",", "|")))


@pytest.mark.parametrize(
    "name", ["l.csv.gz", "l.csv.bz2", "l.csv.xz", "l.zip", "l.tar", "l.tar.gz", "l.csv.zst", "l.pq"]
)
def test_damaged_tables_are_one_clear_error(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"PK\x03\x04 and junk" * 80)
    with pytest.raises(FileFormatError, match=rf"{name}: not a table"):
        read(folder, target="e_mev_per_atom", labels=folder / name)


def test_labels_alone_in_an_archive(folder: Path) -> None:
    with zipfile.ZipFile(folder / "l.zip", "w") as archive:
        archive.writestr("l.csv", GOOD)
    assert len(labels_by_id(folder, labels=folder / "l.zip")) == 4
    with zipfile.ZipFile(folder / "l.zip", "a") as archive:
        archive.writestr("m.csv", GOOD)
    with pytest.raises(FileFormatError, match="2 files in it"):
        read(folder, target="e_mev_per_atom", labels=folder / "l.zip")


def test_wide_tables_are_searched_quickly(folder: Path) -> None:
    head = ",".join(["e_mev_per_atom", *(f"q{i}" for i in range(300))])
    rows = [",".join([str(i), *(("0", "1", "test")[(i + j) % 3] for j in range(300))]) for i in range(4)]
    started = time.process_time()
    with pytest.raises(LabelError, match="id_columns"):
        read(folder, target="e_mev_per_atom", labels=table(folder, "\n".join([head, *rows])))
    assert time.process_time() - started < 5
    numbers = ",".join(f"{i}.5" for i in range(300))
    wide = [f"{row},{f'n{i}' if i == 0 else numbers}" for i, row in enumerate(GOOD.splitlines())]
    wide[0] = GOOD.splitlines()[0] + "," + ",".join(f"n{i}" for i in range(300))
    assert len(labels_by_id(folder, labels=table(folder, "\n".join(wide)))) == 4


def test_odd_labels_are_a_caution(folder: Path) -> None:
    dataset = read(folder, target="e_mev_per_atom", labels=table(folder, GOOD.replace("4.5", "4e6")))
    assert len(dataset) == 4
    outside, far = dataset.cautions
    assert "1 of 4 labels (set/test/1: 4e+06) lies outside -100000 to 100000 meV/atom" in outside
    assert "more than 10 robust standard deviations from the median" in far


def test_bounds_and_outliers_of_labels() -> None:
    ids = [str(i) for i in range(8)]
    calm = np.arange(8.0)
    assert label_cautions(calm, ids, "energy", "eV/atom") == ()
    assert label_cautions(np.zeros(8), ids, "energy", None) == ()
    edge = 10 * 1.4826 * 2.0
    for value, n in ((4.5 + edge * 0.99, 0), (4.5 + edge * 1.01, 1)):
        assert len(label_cautions(np.append(calm, value)[1:], ids, "energy", None)) == n
    assert "outside 0 to 30 eV" in label_cautions(calm - 1, ids, "band_gap", None)[0]


@needs_shared
def test_the_swapped_sample_of_heo106_is_told() -> None:
    rows = pd.read_csv(SHARED / "heo106" / "samples.csv")
    lattice = rows["lattice_parameter_angstrom"]
    plain = lattice.str.fullmatch(r"[\d.]+")
    names = ("lattice_parameter_angstrom", None)
    cautions = label_cautions(
        lattice[plain].astype(float).to_numpy(), rows["sample"][plain].astype(str).tolist(), *names
    )
    assert "1 of" in cautions[0]
    assert "(6: 124.7) lies outside 0.5 to 100 Å" in cautions[0]


def test_units_of_columns() -> None:
    assert unit_of_column("energy_ev_per_cell") == "eV/cell"
    assert unit_of_column("E_meV_per_atom") == "meV/atom"
    assert unit_of_column("energy_ev_per_cellar") is None


def test_declared_units(folder: Path) -> None:
    path = table(folder, GOOD.replace("e_mev_per_atom", "e"))
    plain = read(folder, target="e", labels=path)
    assert plain.unit is None
    with pytest.raises(ValueError, match="unit must be one of eV/cell"):
        read(folder, target="e", labels=path, convert="eV/atom")
    converted = read(folder, target="e", labels=path, unit="eV/cell", convert="meV/atom")
    assert plain.y is not None
    assert converted.y is not None
    np.testing.assert_allclose(converted.y, plain.y * 500, rtol=1e-15)
    with pytest.raises(ValueError, match="is in meV/atom, not 'eV/atom'; to convert it use convert='eV/atom'"):
        read(folder, target="e_mev_per_atom", labels=table(folder, GOOD), unit="eV/atom")


@given(
    value=st.floats(-1e4, 1e4),
    unit=st.sampled_from(ENERGY_UNITS),
    wanted=st.sampled_from(ENERGY_UNITS),
    n=st.integers(1, 9),
)
def test_conversions_have_inverses_and_compose(value: float, unit: str, wanted: str, n: int) -> None:
    cell = [Structure(Lattice.cubic(9), ["Cs"] * n, np.linspace(0, 0.9, n)[:, None] * [1, 1, 1])]
    there = convert_energies(np.array([value]), cell, unit, wanted)
    back = convert_energies(there, cell, wanted, unit)
    np.testing.assert_allclose(back, value, rtol=1e-14, atol=1e-290)
    factor = {"eV/cell": 1, "meV/cell": 1000, "eV/atom": 1 / n, "meV/atom": 1000 / n}
    np.testing.assert_allclose(there, value * factor[wanted] / factor[unit], rtol=1e-14, atol=1e-290)


@needs_shared
def test_the_published_orderings_get_their_published_energies() -> None:
    labels = SHARED / "cpx321" / "labels.csv"
    dataset = read(SHARED / "cpx321", target="energy_ev_per_cell", labels=labels)
    assert len(dataset) == 4572
    assert dataset.unit == "eV/cell"
    kinds = pd.Series([type(issue).__name__ for issue in dataset.issues]).value_counts()
    assert kinds.to_dict() == {"MissingLabelError": 1087, "InvalidLabelError": 1007}
    rows = pd.read_csv(labels)
    expected = {f"POSCAR_MATGANIP_E/{r[0]}/{r[1]}": r[3] for r in rows.itertuples(index=False)}
    assert dataset.y is not None
    assert dict(zip(dataset.ids, dataset.y.tolist(), strict=True)) == {k: v for k, v in expected.items() if v == v}
