"""What is killed: commands on small data, each of which goes on where it was when it is started again."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from attack.inputs import crystals, poscar

Work = Callable[[Path], None]
#: What was found: a name and a value for each thing; a name that comes twice is a thing that is there twice.
Items = list[list[Any]]


@dataclass(frozen=True)
class Target:
    """Work that is killed and started again.

    Attributes
    ----------
    prepare : callable
        Fills the folder that the work starts from.
    work : callable
        What a process does; called again it must go on.
    results : callable
        What is left in the folder: for each task the results on it, more than one where each process leaves its own.
    one_each : bool
        Whether every process that ends well leaves a result of its own.
    tolerance : float
        By which numbers may differ.
    """

    prepare: Work
    work: Work
    results: Callable[[Path], dict[str, list[Items]]]
    one_each: bool = False
    tolerance: float = 0.0


def command(*arguments: object) -> None:
    """The command line, in this process; an error ends it."""
    from qperov.commands.main import main

    sys.argv = ["qperov", *map(str, arguments)]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise


def _crystals(folder: Path, n: int) -> None:
    rows = ["id,energy"]
    for i, structure in enumerate(crystals(n)):
        (folder / f"crystals/c{i}").mkdir(parents=True)
        (folder / f"crystals/c{i}/POSCAR").write_bytes(poscar(structure))
        rows.append(f"c{i},{np.sin(i) / 10 - 3:.9f}")
    (folder / "crystals/labels.csv").write_text("\n".join(rows) + "\n")


# --- compare, and many comparisons in one folder --------------------------------------------------


def _compare(folder: Path) -> None:
    """The command with five of its models, quantum kernels among them, and a page without pictures."""
    from qperov import reports
    from qperov.storage.atomic import write_text
    from qperov.studies import models

    build = models.build_suite
    kept = ("Ridge", "Kernel ridge", "SVR", "QSVR", "QSVR projected")

    def few(*about: Any, **how: Any) -> models.Suite:
        suite = build(*about, **how)
        return replace(suite, models={k: model for k, model in suite.models.items() if k.split(" · ")[0] in kept})

    models.build_suite = few
    reports.build_report = lambda record: write_text(record.path / "report.html", record.task["name"])
    options = ["--labels", folder / "crystals/labels.csv", "--target", "energy", "--quick", "--folds", 3, "--jobs", 1]
    command("compare", folder / "crystals", *options, "--studies", "", "--runs", folder / "runs")


def _benchmark(folder: Path) -> None:
    """One small comparison after the other, without those that are there; each has its folds of its own."""
    from sklearn.linear_model import Ridge
    from sklearn.svm import SVR

    import qperov
    from qperov.records.runs import claim_run, discard_folds, unfinished_run
    from qperov.records.writing import write_record

    rng = np.random.default_rng(0)
    there = set(_records(folder))
    for task in [f"task{i}" for i in range(4)]:
        X, y = rng.normal(size=(60, 4)), rng.normal(size=60)
        if task in there:
            discard_folds(folder / "runs", task)  # of a process that was at it too, and was killed
            continue
        models = {f"SVR {C}": SVR(C=C) for C in (1, 10)} | {f"Ridge {a}": Ridge(a) for a in (1, 10)}
        with unfinished_run(folder / "runs", task) as done:
            found = qperov.compare(models, X, y, folds=4, n_bootstrap=20, random_state=0, n_jobs=1, resume=done)
        about = {"name": task, "fingerprint": task, "n": 60}
        path = claim_run(folder / "runs", task)
        write_record(path, found, task={"command": task, "name": task}, dataset=about, claimed=True)
        discard_folds(folder / "runs", task)


def _records(folder: Path) -> dict[str, list[Items]]:
    from qperov.records.record import read_record

    found: dict[str, list[Items]] = {}
    for file in sorted(folder.glob("runs/*/record.json")):
        record = read_record(file.parent)
        comparison = record.comparison
        numbers = comparison.predictions.select_dtypes("number")
        rest = comparison.predictions.drop(columns=[name for name in numbers if numbers[name].dtype.kind == "f"])
        items = [
            [" ".join(map(str, about)), row]
            for about, row in zip(rest.to_numpy().tolist(), numbers.to_numpy().tolist(), strict=True)
        ]
        for name in ("folds", "significance", "descriptors", "parameters"):
            items.append([name, getattr(comparison, name).to_csv()])
        found.setdefault(record.task["name"], []).append(items)
    left = [[str(path), "left"] for path in (folder / "runs/.unfinished").rglob("*.json")]
    return found | ({"unfinished folds": [left]} if left else {})


# --- data import ----------------------------------------------------------------------------------


def _import(folder: Path) -> None:
    options = ["--labels", folder / "crystals/labels.csv", "--target", "energy", "--store", folder / "s.db"]
    command("data", "import", folder / "crystals", *options, "--name", "salts")


def _imported(folder: Path) -> dict[str, list[Items]]:
    from qperov.datasets.store import Store

    with Store(folder / "s.db") as store:
        dataset, info = store.load("salts"), asdict(store.info("salts"))
    labels = [list(row) for row in zip(dataset.ids, dataset.y.tolist(), strict=True)]
    return {"salts": [[*labels, ["fingerprint", dataset.fingerprint], *map(list, info.items())]]}


# --- relax ----------------------------------------------------------------------------------------


def _alloys(folder: Path) -> None:
    from test_label_factory import PROTOCOL, alloys, stored

    stored(folder / "s.db", alloys(12))
    (folder / "emt.json").write_text(json.dumps(asdict(PROTOCOL)))


def _relax(folder: Path) -> None:
    command("relax", "alloys", "--protocol", folder / "emt.json", "--store", folder / "s.db")


def _relaxed(folder: Path) -> dict[str, list[Items]]:
    from qperov.datasets.store import Store

    with Store(folder / "s.db") as store:
        dataset = store.load("alloys-emt")
        query = "SELECT structure, state, relaxed, energy, steps FROM relaxations ORDER BY structure"
        states = [[row[0], list(row[1:])] for row in store.connection.execute(query)]
    labels = [list(row) for row in zip(dataset.ids, dataset.y.tolist(), strict=True)]
    return {"alloys": [[*states, *labels, ["fingerprint", dataset.fingerprint]]]}


# --- hardware -------------------------------------------------------------------------------------


def _samples(folder: Path) -> None:
    np.save(folder / "x.npy", np.random.default_rng(3).normal(size=(12, 2)))


def _hardware(folder: Path) -> None:
    """Plan, submit and collect 66 pairs in 22 jobs of the local service."""
    from qperov.hardware.plan import cost

    cost.MAX_BINDINGS = 3
    plan, ledger, out = folder / "plan.json", folder / "l.db", folder / "K.npy"
    if not plan.exists():
        options = ["--backend", "aer", "--noise", 0.02, "--feature-map", "z", "--shots", 50, "--out", plan]
        options += ["--optimization-level", 1, "--layout-trials", 1, "--seed", 11]
        command("hardware", "plan", folder / "x.npy", *options)
    command("hardware", "submit", plan, "--ledger", ledger)
    command("hardware", "collect", plan, "--ledger", ledger, "--out", out, "--wait", 60)


def _collected(folder: Path) -> dict[str, list[Items]]:
    with contextlib.closing(sqlite3.connect(folder / "l-local.db")) as service:
        accepted = [[tag, "job"] for (tag,) in service.execute("SELECT tag FROM jobs ORDER BY tag")]
    rows = [[f"row {i}", row] for i, row in enumerate(np.load(folder / "K.npy").tolist())]
    plan = json.loads((folder / "plan.json").read_text())["plan_id"]
    return {plan: [[*accepted, *rows]]}


# --- write_gram -----------------------------------------------------------------------------------


def _nothing(folder: Path) -> None:
    pass


def _gram(folder: Path) -> None:
    from qperov.quantum.kernels.fidelity import FidelityKernel
    from qperov.quantum.kernels.gram_file import write_gram

    samples = np.random.default_rng(0).normal(size=(600, 6))
    write_gram(FidelityKernel(bandwidth=0.3), samples, folder / "K.npy", block=25)


def _matrix(folder: Path) -> dict[str, list[Items]]:
    done = json.loads((folder / "K.npy.progress.json").read_text())["done"]
    rows = [[f"row {i}", row] for i, row in enumerate(np.load(folder / "K.npy").tolist())]
    return {"matrix": [[*rows, ["done", done], ["files", sorted(os.listdir(folder))]]]}


TARGETS = {
    "compare": Target(lambda folder: _crystals(folder, 24), _compare, _records, one_each=True),
    "many comparisons in one folder": Target(_nothing, _benchmark, _records),
    "data import": Target(lambda folder: _crystals(folder, 120), _import, _imported),
    "relax": Target(_alloys, _relax, _relaxed),
    "hardware plan, submit, collect": Target(_samples, _hardware, _collected),
    # a process that starts in the middle adds up in another order
    "write_gram": Target(_nothing, _gram, _matrix, tolerance=1e-12),
}
