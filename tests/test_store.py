"""The SQLite store: exact round trips, nothing twice, nothing by halves, nothing contradictory."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from qperov.datasets import store_file
from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.store import ISSUES, AddedCounts, Store
from qperov.datasets.structure_text import content_id, from_text, to_text
from qperov.errors import DatasetNameError, FileFormatError, StoreError


def dataset(n: int = 5, name: str = "salts") -> CrystalDataset:
    structures = [Structure(Lattice.cubic(4 + 0.01 * i), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]) for i in range(n)]
    return CrystalDataset(
        name=name,
        structures=tuple(structures),
        ids=tuple(f"cell/{i}" for i in range(n)),
        y=np.arange(n) / 7 - 1,
        target="energy",
        unit="eV/cell",
        provenance=tuple("OUTCAR, last free energy TOTEN" for _ in range(n)),
        issues=(FileFormatError("bad/POSCAR", "cut short"),),
        known_groups=np.arange(n) // 2,
    )


def same(one: Structure, other: Structure) -> bool:
    return (
        one.lattice.matrix.tobytes() == other.lattice.matrix.tobytes()
        and one.frac_coords.tobytes() == other.frac_coords.tobytes()
        and [site.species for site in one] == [site.species for site in other]
        and one.lattice.pbc == other.lattice.pbc
        and one._charge == other._charge
    )


def test_a_dataset_comes_back_bit_by_bit(tmp_path: Path) -> None:
    data = dataset()
    with Store(tmp_path / "s.db") as store:
        assert store.add(data) == AddedCounts(structures=5, memberships=5, labels=5, issues=1)
    with Store(tmp_path / "s.db") as store:
        loaded = store.load("salts")
        assert store.names() == ["salts"]
        info = store.info("salts")
    assert loaded.fingerprint == data.fingerprint
    assert all(same(a, b) for a, b in zip(data.structures, loaded.structures, strict=True))
    assert data.y is not None
    assert loaded.y is not None
    assert loaded.y.tobytes() == data.y.tobytes()
    assert (loaded.ids, loaded.unit, loaded.target, loaded.provenance) == (
        data.ids,
        "eV/cell",
        "energy",
        data.provenance,
    )
    assert [(type(i), str(i)) for i in loaded.issues] == [(FileFormatError, "bad/POSCAR: cut short")]
    assert loaded.groups.tolist() == [0, 0, 1, 1, 2]
    assert (info.structures, info.labelled, info.issues) == (5, 5, 1)


def test_structures_without_a_target(tmp_path: Path) -> None:
    bare = CrystalDataset("bare", dataset().structures, dataset().ids)
    with Store(tmp_path / "s.db") as store:
        store.add(bare)
        loaded = store.load("bare")
    assert loaded.y is None
    assert loaded.known_groups is None
    assert loaded.provenance == ()


def test_importing_twice_adds_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        store.add(dataset())
        assert store.add(dataset()) == AddedCounts(0, 0, 0, 0)
        assert store.add(dataset(7)) == AddedCounts(2, 2, 2, 0)
        assert len(store.load("salts")) == 7
        assert store.add(dataset(name="again")) == AddedCounts(0, 5, 0, 1)


@pytest.mark.parametrize("kill_at", ["INSERT OR IGNORE INTO structures", "INSERT INTO memberships", "COMMIT"])
def test_a_killed_import_leaves_the_old_state(tmp_path: Path, kill_at: str) -> None:
    path = tmp_path / "s.db"
    with Store(path) as store:
        store.add(dataset(3))
    script = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_store import dataset
from qperov.datasets.store import Store
store = Store({str(path)!r})
seen = 0
def watch(statement):
    global seen
    seen += statement.startswith({kill_at!r})
    if seen == (1 if {kill_at!r} == "COMMIT" else 20):
        os.kill(os.getpid(), signal.SIGKILL)
store.connection.set_trace_callback(watch)
store.add(dataset(40))
"""
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": paths}, check=False)
    assert done.returncode == -signal.SIGKILL
    with Store(path) as store:
        assert store.load("salts").fingerprint == dataset(3).fingerprint
        assert store.info("salts").structures == 3
        assert store.connection.execute("SELECT COUNT(*) FROM structures").fetchone() == (3,)
        store.add(dataset(40))
        assert store.load("salts").ids == dataset(40).ids


def test_a_contradicting_value_writes_nothing(tmp_path: Path) -> None:
    data = dataset()
    assert data.y is not None
    changed = data.y.copy()
    changed[3] += 1e-9
    more = dataset(9)
    assert more.y is not None
    with Store(tmp_path / "s.db") as store:
        store.add(data)
        with pytest.raises(StoreError, match=r"energy of 'cell/3' \(OUTCAR, .* contradicts; nothing was written"):
            store.add(replace(data, y=changed))
        with pytest.raises(StoreError, match="contradicts"):
            store.add(replace(more, y=more.y + 1))
        with pytest.raises(StoreError, match=r"'cell/3' of 'salts' is already labelled .* contradicts"):
            store.add(replace(data, y=changed, provenance=("another table",) * len(data)))
        assert store.load("salts").fingerprint == data.fingerprint
        assert store.connection.execute("SELECT COUNT(*) FROM structures").fetchone() == (5,)


def test_other_contradictions_write_nothing(tmp_path: Path) -> None:
    data = dataset()
    with Store(tmp_path / "s.db") as store:
        store.add(data)
        with pytest.raises(StoreError, match="'cell/0' of 'salts' already stands for another structure"):
            store.add(replace(data, structures=tuple(reversed(data.structures))))
        with pytest.raises(StoreError, match=r"stored with target energy \[eV/cell\], not gap \[eV\]"):
            store.add(replace(data, target="gap", unit="eV"))
        with pytest.raises(StoreError, match="a label is not finite"):
            store.add(replace(data, name="new", y=np.full(5, np.nan)))
        assert store.names() == ["salts"]
        with pytest.raises(StoreError, match="no dataset 'pepper'; there are: salts"):
            store.load("pepper")


def test_one_cell_calculated_twice_keeps_both_energies(tmp_path: Path) -> None:
    cell = dataset().structures[0]
    twice = CrystalDataset(
        "twice", (cell, cell), ("a", "b"), np.array([1.0, 1.1]), "energy", "eV/cell", ("OUTCAR",) * 2
    )
    with Store(tmp_path / "s.db") as store:
        assert store.add(twice).structures == 1
        loaded = store.load("twice")
    assert loaded.y is not None
    assert loaded.y.tolist() == [1.0, 1.1]


def test_predictions_join_their_structures(tmp_path: Path) -> None:
    data = dataset()
    with Store(tmp_path / "s.db") as store:
        store.add(data)
        assert store.add_predictions("salts", "run-1", "SVR", data.ids[:3], [0.1, 0.2, 0.3]) == 3
        assert store.add_predictions("salts", "run-1", "SVR", data.ids[:3], [0.1, 0.2, 0.3]) == 0
        with pytest.raises(StoreError, match=r"run 'run-1' already has 0\.2 eV/cell of 'SVR' for 'cell/1'"):
            store.add_predictions("salts", "run-1", "SVR", ["cell/4", "cell/1"], [0.5, 0.25])
        with pytest.raises(StoreError, match="no entry 'cell/9'"):
            store.add_predictions("salts", "run-1", "SVR", ["cell/4", "cell/9"], [0.5, 0.25])
        with pytest.raises(StoreError, match="as many finite values"):
            store.add_predictions("salts", "run-1", "SVR", ["cell/4"], [np.nan])
        table = store.predictions("salts")
        assert store.info("salts").predictions == 3
    assert table["id"].tolist() == ["cell/0", "cell/1", "cell/2"]
    assert table["value"].tolist() == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_export(tmp_path: Path, ending: str) -> None:
    data = dataset()
    path = tmp_path / f"t.{ending}"
    with Store(tmp_path / "s.db") as store:
        store.add(data)
        store.add_predictions("salts", "run-1", "SVR", ["cell/1"], [0.25])
        store.export("salts", path)
        with pytest.raises(ValueError, match=r"\.parquet or a \.csv"):
            store.export("salts", tmp_path / "t.pkl")
    table = pd.read_csv(path) if ending == "csv" else pd.read_parquet(path)
    assert table["id"].tolist() == list(data.ids)
    assert data.y is not None
    np.testing.assert_array_equal(table["energy"], data.y)
    assert table["SVR @ run-1"].notna().tolist() == [False, True, False, False, False]
    assert set(table["unit"]) == {"eV/cell"}
    assert all(same(from_text(text), s) for text, s in zip(table["structure"], data.structures, strict=True))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["s.db", path.name]


def test_cells_of_exported_csv_are_no_formulas(tmp_path: Path) -> None:
    data = replace(dataset(2), ids=("=1+1", "@b"), target="-gap", y=np.array([-1.0, 2.0]))
    with Store(tmp_path / "s.db") as store:
        store.add(data)
        store.export("salts", tmp_path / "t.csv")
    table = pd.read_csv(tmp_path / "t.csv")
    assert table["id"].tolist() == ["'=1+1", "'@b"]
    assert table["'-gap"].tolist() == [-1.0, 2.0]


def test_files_that_are_no_store(tmp_path: Path) -> None:
    (tmp_path / "junk.db").write_bytes(b"not a database, just text that is long enough" * 10)
    with pytest.raises(StoreError, match="not a store that can be used"):
        Store(tmp_path / "junk.db")
    with pytest.raises(StoreError, match=r"cannot be opened|not a store"):
        Store(tmp_path / "nowhere" / "s.db")
    foreign = sqlite3.connect(tmp_path / "foreign.db")
    foreign.execute("CREATE TABLE t (x)")
    foreign.close()
    with pytest.raises(StoreError, match="of another program"):
        Store(tmp_path / "foreign.db")


@pytest.mark.parametrize(("version", "cure"), [(99, "upgrade qperov"), (0, "import the data into a new file")])
def test_another_schema_version_says_what_to_do(tmp_path: Path, version: int, cure: str) -> None:
    with Store(tmp_path / "s.db") as store:
        store.connection.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(StoreError, match=f"schema version {version}, .*; {cure}"):
        Store(tmp_path / "s.db")


def test_write_ahead_log_and_foreign_keys(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store, Store(tmp_path / "s.db") as reader:
        assert store.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        store.connection.execute("BEGIN IMMEDIATE")
        assert reader.names() == [], "a reader is not held up by a writer"
        store.connection.execute("ROLLBACK")
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            store.connection.execute("INSERT INTO memberships VALUES (1, 'a', 0, 'none', NULL, NULL, NULL)")


# --- everything comes back ----------------------------------------------------------------------


def assert_equal(one: CrystalDataset, other: CrystalDataset) -> None:
    """Every field is the same, to the last bit."""
    for field in fields(CrystalDataset):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name == "structures":
            assert all(same(x, y) for x, y in zip(a, b, strict=True))
        elif field.name == "issues":
            assert [(type(x), x.path, x.reason) for x in a] == [(type(x), x.path, x.reason) for x in b]
        elif isinstance(a, np.ndarray):
            assert isinstance(b, np.ndarray), field.name
            assert (a.dtype, a.tobytes()) == (b.dtype, b.tobytes()), field.name
        else:
            assert (type(a), a) == (type(b), b), field.name


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
finite = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def datasets(draw: st.DrawFn) -> CrystalDataset:
    n = draw(st.integers(0, 4))
    each = st.lists(words, min_size=n, max_size=n)
    issue = st.tuples(st.sampled_from(list(ISSUES.values())), words, words)
    return CrystalDataset(
        name="drawn",
        structures=dataset(n).structures,
        ids=tuple(draw(st.lists(words, min_size=n, max_size=n, unique=True))),
        y=draw(st.none() | st.lists(finite, min_size=n, max_size=n)),
        target=draw(st.none() | words),
        unit=draw(st.none() | words),
        provenance=tuple(draw(each)) if draw(st.booleans()) else (),
        issues=tuple(kind(path, reason) for kind, path, reason in draw(st.lists(issue, max_size=3, unique=True))),
        cautions=tuple(draw(st.lists(words, max_size=3, unique=True))),
        known_groups=draw(st.none() | st.lists(st.integers(-5, 5), min_size=n, max_size=n)) if n else None,
        known_noise=draw(st.none() | finite),
    )


@settings(max_examples=60, deadline=None)
@given(data=datasets())
def test_every_field_of_a_dataset_comes_back(data: CrystalDataset) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with Store(Path(folder) / "s.db") as store:
            store.add(data)
        with Store(Path(folder) / "s.db") as store:
            assert_equal(store.load("drawn"), data)
            assert store.add(data) == AddedCounts(0, 0, 0, 0)
            assert_equal(store.load("drawn"), data)


def test_a_label_of_minus_zero_is_zero(tmp_path: Path) -> None:
    data = replace(dataset(2), y=np.array([-0.0, 1.0]))
    with Store(tmp_path / "s.db") as store:
        store.add(data)
    with Store(tmp_path / "s.db") as store:
        assert_equal(store.load("salts"), data)
        assert store.load("salts").fingerprint == data.fingerprint


def test_merged_copies_keep_their_noise_in_the_store(tmp_path: Path) -> None:
    data = dataset(6)
    merged = replace(data, structures=[data.structures[row // 2] for row in range(6)]).one_per_class()
    assert merged.label_noise is not None
    with Store(tmp_path / "s.db") as store:
        store.add(merged)
        assert store.load("salts").label_noise == merged.label_noise
        with pytest.raises(StoreError, match="stored with label noise"):
            store.add(replace(merged, known_noise=1.0))


def test_cautions_of_additions_join_those_that_are_there(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        store.add(replace(dataset(2), cautions=("by CHGNet, not DFT",)))
        store.add(replace(dataset(4), cautions=("unrelaxed",)))
        store.add(dataset(5))
        assert store.load("salts").cautions == ("by CHGNet, not DFT", "unrelaxed")


def test_labels_and_no_labels_do_not_mix_under_one_name(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        store.add(dataset(2))
        with pytest.raises(StoreError, match="give the dataset another name"):
            store.add(replace(dataset(4), y=None))
        assert len(store.load("salts")) == 2


@pytest.mark.parametrize("name", ["../../evil/../run", "", "a/b", "a\x1b]0;owned\x07"])
def test_a_name_that_is_no_identifier_is_refused(tmp_path: Path, name: str) -> None:
    with Store(tmp_path / "s.db") as store:
        with pytest.raises(DatasetNameError, match="cannot name a dataset"):
            store.add(replace(dataset(), name=name))
        assert store.names() == []


def test_a_store_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path, data = tmp_path / "s.db", dataset(2)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(store_file._VERSION_1)
        connection.execute(f"PRAGMA application_id = {store_file._APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 1")
        connection.execute("INSERT INTO datasets (name) VALUES ('salts')")
        for i, structure in enumerate(data.structures):
            row = (content_id(structure), structure.formula, len(structure), to_text(structure))
            connection.execute("INSERT INTO structures VALUES (?, ?, ?, ?)", row)
            connection.execute("INSERT INTO memberships VALUES (1, ?, ?, ?, NULL, NULL)", (data.ids[i], i, row[0]))
        connection.commit()
    with Store(path) as store:
        assert store._version() == store_file.SCHEMA_VERSION
        assert_equal(store.load("salts"), CrystalDataset("salts", data.structures, data.ids))


def test_a_store_that_cannot_be_written_is_read(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:  # other users may not enter pytest's
        path = Path(folder) / "s.db"
        with Store(path) as store:
            store.add(dataset())
        script = f"""
import os
from test_store import Store, StoreError, dataset
if os.getuid() == 0:
    os.setuid(65534)
with Store({str(path)!r}) as store:
    assert store.load("salts").ids == dataset().ids
    try:
        store.add(dataset(9))
    except StoreError as error:
        print(error)
"""
        path.chmod(0o444)
        Path(folder).chmod(0o555)
        paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        environment = os.environ | {"PYTHONPATH": paths}
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        Path(folder).chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert "nothing was written: attempt to write a readonly database" in done.stdout


def test_a_full_disk_is_called_by_its_name(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        store.add(dataset(2))
        (pages,) = store.connection.execute("PRAGMA page_count").fetchone()
        store.connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match=r"nothing was written: .*full"):
            store.add(dataset(2000))
        assert store.load("salts").ids == dataset(2).ids


species = st.sampled_from(["Cs", "Fe3+", "Fe2.5+", "O2-", "D", "Pb", "X0+", "Fe3+,spin=5"])


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.tuples(*[st.floats(2, 40)] * 3),
    sites=st.lists(
        st.tuples(species, species, st.floats(0.05, 0.95), st.tuples(*[st.floats(-3, 3)] * 3)), min_size=1, max_size=6
    ),
    charge=st.sampled_from([None, 1.0]),
)
def test_text_gives_back_every_bit(lengths: tuple, sites: list, charge: float | None) -> None:
    occupants = [{a: w, b: 1 - w} if a != b else {a: 1.0} for a, b, w, _ in sites]
    structure = Structure(Lattice.orthorhombic(*lengths), occupants, [site[3] for site in sites], charge=charge)
    again = from_text(to_text(structure))
    assert same(structure, again)
    assert content_id(structure) == content_id(again)


def test_content_id_tells_different_cells_apart() -> None:
    cell = dataset().structures[0]
    moved = cell.copy()
    moved.translate_sites([1], [1e-6, 0, 0], to_unit_cell=False)
    noise = cell.copy()
    noise.translate_sites([1], [1e-12, 0, 0], to_unit_cell=False)
    other = cell.copy()
    other.replace(1, "Br")
    assert content_id(noise) == content_id(cell)
    assert len({content_id(each) for each in (cell, moved, other)}) == 3
