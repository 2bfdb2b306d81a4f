"""The SQLite store: exact round trips, nothing twice, nothing by halves, nothing contradictory."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.store import AddedCounts, Store
from qperov.datasets.structure_text import content_id, from_text, to_text
from qperov.errors import FileFormatError, StoreError


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
        assert store.add(data) == AddedCounts(structures=5, memberships=5, dft_properties=5, issues=1)
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
    assert not list(tmp_path.glob("*.partial"))


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
            store.connection.execute("INSERT INTO memberships VALUES (1, 'a', 0, 'none', NULL, NULL)")


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
