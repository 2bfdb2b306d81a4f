"""Files that qperov 0.1.0 wrote open and give the same numbers; newer ones are refused with the remedy."""

from __future__ import annotations

import json
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qperov.datasets.store import Store
from qperov.errors import RecordError, StoreError
from qperov.evaluation.finished_folds import FinishedFolds
from qperov.hardware.jobs.ledger import Ledger
from qperov.hardware.plan.plan_file import read_plan
from qperov.quantum.autoencoder.autoencoder import QuantumAutoencoder
from qperov.records.record import read_record
from qperov.serving.stored_model import find_models, load_model
from qperov.serving.trusted_types import RENAMED, TRUSTED
from qperov.storage.checked_folder import write_index
from qperov.storage.model_file import read_model, write_model

MODELS = (
    "autoencoder-svr-structure-factors",
    "cluster-expansion-pair-correlations",
    "gaussian-process-structure-factors",
    "qsvr-pattern",
    "qsvr-structure-factors",
    "qsvr-vector",
    "ridge-matrix",
    "ridge-profile",
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """What 0.1.0 wrote of twelve orderings of Cu and Au: store, run, kept models, folds, networks, a hardware plan."""
    with tarfile.open(Path(__file__).parent / "data" / "v0_1" / "files.tar.xz") as archive:
        archive.extractall(tmp_path)
    return tmp_path


def test_a_store_opens_and_relaxed_labels_say_what_they_are(old: Path) -> None:
    with Store(old / "qperov.db") as store:
        assert store.names() == ["alloys", "relaxed"]
        given, relaxed = store.load("alloys"), store.load("relaxed")
        (relaxations,) = store.connection.execute(
            "SELECT COUNT(*) FROM relaxations WHERE state = 'converged'"
        ).fetchone()
    assert given.cautions == ()
    assert set(given.provenance) == {"labels.csv, column energy_ev_per_cell"}
    assert (given.target, given.unit, len(given)) == ("energy_ev_per_cell", "meV/atom", 12)
    assert len(relaxed.cautions) == 1
    assert relaxed.cautions[0].startswith("emt (ase 3.29.0), calculator of ASE: positions and cell relaxed")
    assert (relaxed.target, relaxed.unit, relaxations) == ("energy", "eV/cell", 12)
    with Store(old / "qperov.db") as store:
        assert store.load("relaxed").cautions == relaxed.cautions


@pytest.mark.parametrize("name", MODELS)
def test_a_kept_model_predicts_what_it_predicted(old: Path, name: str) -> None:
    expected = json.loads((old / "predictions.json").read_text())[name]
    with Store(old / "qperov.db") as store:
        crystals = store.load("alloys").structures[: len(expected)]
    model = load_model(find_models(old / "models")[name])
    np.testing.assert_allclose(model.pipeline.predict(list(crystals)), expected, rtol=1e-9)
    assert all("predicted otherwise" not in note for note in model.notes)


def test_names_of_0_1_stand_for_types_that_are_trusted() -> None:
    assert set(RENAMED.values()) <= set(TRUSTED)
    assert not set(RENAMED) & set(TRUSTED)
    for name in TRUSTED:
        found: Any = None
        for part in name.split("."):
            found = getattr(found, part, None) or import_module(f"{found.__name__}.{part}" if found else part)
        assert found is not None


def test_a_kept_model_that_cannot_be_read_says_who_wrote_it(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qperov.serving.pipeline_file.RENAMED", {})
    with pytest.raises(RecordError, match=r"Untrusted types.*kept by qperov 0\.1\.0: keep it anew"):
        load_model(old / "models" / "ridge-profile")


def test_a_run_opens(old: Path) -> None:
    record = read_record(old / "run")
    assert record.versions["qperov"] == "0.1.0"
    assert len(record.comparison.ids) == 12
    assert "QSVR · structure factors" in set(record.comparison.table["model"])
    assert set(record.comparison.features) == {"structure factors", "pair correlations"}


def test_networks_and_autoencoders_open(old: Path) -> None:
    model = QuantumAutoencoder.load(old / "autoencoder.json")
    X = np.random.default_rng(0).random((6, 4))
    np.testing.assert_allclose(model.transform(X), np.load(old / "codes.npy"), atol=1e-12)
    tensors, header = read_model(old / "network.safetensors", "CNNRegressor")
    np.testing.assert_array_equal(tensors["weight"], np.arange(6.0).reshape(2, 3))
    assert header["parameters"] == {"epochs": 1}


def test_a_hardware_plan_and_its_ledger_open(old: Path) -> None:
    plan = read_plan(old / "hardware" / "plan.json")
    assert plan.plan_id == "3746441de5f7536e"
    with closing(Ledger(old / "hardware" / "qperov-hardware.db")) as ledger:
        assert ledger.plan(plan.plan_id).plan_id == plan.plan_id


def test_finished_folds_can_be_read_but_belong_to_the_old_code(old: Path) -> None:
    folds, files = FinishedFolds(old / "folds"), list((old / "folds").glob("*.json"))
    assert len(files) == 3
    assert all(folds.read(file) is not None for file in files)
    rows, fold = np.zeros(12), (0, 0, np.arange(8), np.arange(8, 12))
    assert folds.path("Ridge", QuantumAutoencoder(), rows[:, None], fold, rows, rows) not in files


# --- newer files --------------------------------------------------------------------------------


def newer_store(old: Path) -> object:
    with closing(sqlite3.connect(old / "qperov.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    return Store(old / "qperov.db")


def newer_model(old: Path) -> object:
    folder = old / "models" / "ridge-profile"
    body = json.loads((folder / "model.json").read_text())
    write_index(folder, "model.json", body | {"schema": 99}, body["files"])
    return load_model(folder)


def newer_run(old: Path) -> object:
    body = json.loads((old / "run" / "record.json").read_text())
    (old / "run" / "record.json").write_text(json.dumps(body | {"schema": 99}))
    return read_record(old / "run")


def newer_autoencoder(old: Path) -> object:
    body = json.loads((old / "autoencoder.json").read_text())
    (old / "autoencoder.json").write_text(json.dumps(body | {"version": 99}))
    return QuantumAutoencoder.load(old / "autoencoder.json")


def newer_network(old: Path) -> object:
    path = write_model(old / "newer.safetensors", "CNNRegressor", {"w": np.ones(1)}, {"version": 99})
    return read_model(path, "CNNRegressor")


@pytest.mark.parametrize("read", [newer_store, newer_model, newer_run, newer_autoencoder, newer_network])
def test_a_newer_file_is_refused_in_one_sentence(old: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises((RecordError, StoreError), match=r"99, but this qperov reads (version )?\d; upgrade qperov$"):
        read(old)
