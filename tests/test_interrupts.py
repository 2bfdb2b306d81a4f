"""Ctrl-C, as a signal, in the middle of each command that may take long: how far it came, and how to go on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attack.inputs import crystals
from attack.results import model
from synthetic_comparison import DATASET, TASK, synthetic_comparison
from test_label_factory import PROTOCOL, alloys, stored
from typer.testing import CliRunner

from qperov.commands import main as cli
from qperov.hardware.plan import cost
from qperov.records.writing import write_record

ONCE_MORE = "the same command starts again"


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """SIGINT is answered, also where the tests were started in the background and ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve salts with labels, a store with six alloys, features, and a run."""
    rows = ["id,gap"]
    for i, structure in enumerate(crystals(12)):
        (tmp_path / f"salts/c{i}").mkdir(parents=True)
        structure.get_sorted_structure().to(filename=str(tmp_path / f"salts/c{i}/POSCAR"), fmt="poscar")
        rows.append(f"c{i},{i / 10}")
    (tmp_path / "gaps.csv").write_text("\n".join(rows) + "\n")
    stored(tmp_path / "qperov.db", alloys(6))
    (tmp_path / "emt.json").write_text(json.dumps(asdict(PROTOCOL)))
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(4, 2)))
    write_record(tmp_path / "run-1", synthetic_comparison(), task=TASK, dataset=DATASET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def interrupted(monkeypatch: pytest.MonkeyPatch, where: str, calls: int, *arguments: str) -> str:
    """The last line of a command to which SIGINT is sent when a function is called so many times."""
    module, _, name = where.rpartition(":")
    owner: Any = import_module(module)
    for part in name.split(".")[:-1]:
        owner = getattr(owner, part)
    original: Callable[..., Any] = getattr(owner, name.split(".")[-1])
    left = calls

    def counted(*given: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*given, **named)

    monkeypatch.setattr(owner, name.split(".")[-1], counted)
    result = CliRunner().invoke(cli.app, list(arguments))
    assert result.exit_code == 130, (result.output, result.exception)
    return result.output.strip().splitlines()[-1]


SALTS = ["salts", "--labels", "gaps.csv", "--target", "gap"]
CASES: dict[str, tuple[str, int, list[str], str]] = {
    "describe": (
        "qperov.studies.models:description",
        1,
        ["describe", *SALTS],
        f"while describing; nothing.*{ONCE_MORE}",
    ),
    "data info": (
        "qperov.studies.models:description",
        1,
        ["data", "info", "alloys"],
        f"while describing;.*{ONCE_MORE}",
    ),
    "data import": (
        "qperov.crystals.files.entries:parse_poscar",
        5,
        ["data", "import", *SALTS],
        rf"Reading: \d+ of 12 done; .*{ONCE_MORE}",
    ),
    "data fetch": (
        "qperov.datasets.store:Store.add",
        1,
        ["data", "fetch", "salts"],
        r"Fetching: .* done.*; the same command goes on with",
    ),
    "data export": (
        "qperov.datasets.store:Store.predictions",
        1,
        ["data", "export", "alloys", "a.csv"],
        f"as it was: {ONCE_MORE}",
    ),
    "relax": (
        "qperov.potentials.label_factory:relax_together",
        4,
        ["relax", "alloys", "--protocol", "emt.json"],
        "Relaxing: 3 of 6 done; the same command goes on with the crystals that are left",
    ),
    "compare": (
        "qperov.evaluation.folds:_fit_and_predict",
        9,
        ["compare", *SALTS, "--quick", "--folds", "2", "--jobs", "1"],
        r"fitting: 8 of \d+ done; the same command goes on with the folds that are done",
    ),
    "demo": (
        "qperov:load_dataset",
        1,
        ["demo", "--quick", "--jobs", "1"],
        "while enumerating.*; the same command goes on",
    ),
    "report": (
        "qperov.reports.html:build_report",
        1,
        ["report", "run-1"],
        f"while drawing; the page is as it was: {ONCE_MORE}",
    ),
    "inputs": (
        "qperov.crystals.dft.inputs:write_text",
        7,
        ["inputs", "alloys", "runs"],
        "the same command writes those that are not there",
    ),
    "design": (
        "qperov.studies.inverse_design.design:train_model",
        1,
        ["design", "abx3_radii", "--quick", "--models", "ftcp", "--most", "60", "--out", "designs"],
        "Designing: .*; the same command takes the models that are trained",
    ),
    "hardware plan": (
        "qperov.hardware.plan.planning:plan_fidelities",
        1,
        ["hardware", "plan", "x.npy", "--backend", "aer"],
        f"sent: {ONCE_MORE}",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_signal_is_answered(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where, calls, arguments, told = CASES[name]
    line = interrupted(monkeypatch, where, calls, *arguments)
    assert re.fullmatch(rf"interrupted; .*{told}.*", line), line


def test_a_prediction_is_interrupted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, content in model().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    arguments = ["predict", "models/ridge", "salts", "--out", "new.csv"]
    line = interrupted(monkeypatch, "qperov.serving.predictor:predict_entries", 1, *arguments)
    assert line == f"interrupted; while predicting; nothing was written: {ONCE_MORE}"
    assert not (folder / "new.csv").exists()


def test_what_a_machine_has_done_is_counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "MAX_BINDINGS", 2)
    options = ["--backend", "aer", "--layout-trials", "1", "--shots", "8", "--no-readout"]
    assert CliRunner().invoke(cli.app, ["hardware", "plan", "x.npy", *options]).exit_code == 0
    go_on = "; what was sent is in the ledger: `qperov hardware resume` goes on, and sends nothing twice"
    with monkeypatch.context() as patched:
        line = interrupted(
            patched, "qperov.hardware.jobs.ledger:Ledger.record_sent", 2, "hardware", "submit", "plan.json"
        )
    assert line == f"interrupted; 1 of 3 jobs submitted, 1 of 3 jobs submitting, 1 of 3 jobs planned{go_on}"
    assert CliRunner().invoke(cli.app, ["hardware", "resume", "plan.json"]).exit_code == 0
    with monkeypatch.context() as patched:
        place = "qperov.hardware.services.local:LocalJob.result"
        line = interrupted(patched, place, 3, "hardware", "collect", "plan.json", "--out", "K.npy", "--wait", "60")
    assert line == f"interrupted; 2 of 3 jobs collected, 1 of 3 jobs submitted{go_on}"
    with monkeypatch.context() as patched:
        line = interrupted(patched, "qperov.hardware.jobs.jobs:resume", 1, "hardware", "resume", "plan.json")
    assert line.endswith(go_on)
    assert CliRunner().invoke(cli.app, ["hardware", "collect", "plan.json", "--out", "K.npy"]).exit_code == 0
    assert np.isfinite(np.load("K.npy")).all()


@pytest.mark.slow
def test_workers_of_a_command_end_with_it_and_say_nothing(folder: Path) -> None:
    command = [sys.executable, "-m", "qperov.commands.main", "compare", *SALTS, "--quick", "--jobs", "2"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list(folder.glob("qperov-runs/.unfinished/*/*.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does: the workers get it too
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.search(r"^interrupted; .*: \d+ of \d+ done; the same command goes on with .*$", said, re.MULTILINE)
    assert "Traceback" not in said
