"""What qperov itself writes, to be damaged: records, stored models, plans and ledgers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from qperov_circuits import feature_map
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from synthetic_comparison import DATASET, TASK, synthetic_comparison

import qperov
from qperov.datasets.dataset import CrystalDataset
from qperov.hardware.jobs import jobs
from qperov.hardware.jobs.ledger import Ledger
from qperov.hardware.plan import pairs
from qperov.hardware.plan.options import Options
from qperov.hardware.plan.plan import BackendSpec, Plan, Settings
from qperov.hardware.plan.plan_file import read_plan, to_json
from qperov.hardware.plan.planning import plan_fidelities
from qperov.hardware.services.local import LocalService
from qperov.records.record import read_record
from qperov.records.writing import write_record
from qperov.serving.model_store import fit_and_store
from qperov.serving.stored_model import load_model

Result = tuple[dict[str, tuple], list[str]]


def written(write: Callable[[Path], object]) -> dict[str, bytes]:
    """Files that a function writes into a folder, by path."""
    with tempfile.TemporaryDirectory() as name:
        write(Path(name))
        return {str(path.relative_to(name)): path.read_bytes() for path in Path(name).rglob("*") if path.is_file()}


@cache
def record() -> dict[str, bytes]:
    return written(lambda folder: write_record(folder / "run", synthetic_comparison(), task=TASK, dataset=DATASET))


@cache
def crystals() -> CrystalDataset:
    return qperov.load_dataset("cpx321").in_unit("meV/atom").take(range(0, 960, 48))


@cache
def model() -> dict[str, bytes]:
    models = {"Ridge": Pipeline([("pxrd", qperov.PXRDFeaturizer("pattern")), ("model", Ridge())])}
    comparison = qperov.compare(models, crystals(), folds=3, n_bootstrap=20)
    return written(lambda folder: fit_and_store(models, crystals(), comparison, ["Ridge"], folder / "models"))


@cache
def plan() -> Plan:
    x = np.linspace(0, 1, 8).reshape(4, 2)
    service = LocalService("aer")
    try:
        gates, settings = feature_map("zz").gates, Settings(64, Options())
        return plan_fidelities(gates, x, pairs.full(4), service, BackendSpec("aer", 0.02, 11), settings)
    finally:
        service.close()


def plan_file() -> dict[str, bytes]:
    return {"plan.json": to_json(plan()).encode()}


@cache
def ledger() -> dict[str, bytes]:
    def write(folder: Path) -> None:
        service = LocalService("aer")
        with Ledger(folder / "l.db") as opened:
            jobs.submit(plan(), service, opened)
            jobs.collect(plan(), service, opened, 60)
        service.close()

    return written(write)


def read_back_record(folder: Path) -> Result:
    found = read_record(folder / "run")
    told = found.comparison
    values = {name: table.to_csv() for name, table in vars(told).items() if isinstance(table, pd.DataFrame)}
    values |= {name: array.tobytes() for name, array in told.features.items()}
    values |= {name: repr(getattr(found, name)) for name in ("created", "command", "versions", "task", "dataset")}
    values |= {"labels": told.y.tobytes(), "ids": told.ids, "settings": repr(told.settings)}
    return {name: (value,) for name, value in values.items()}, []


def read_back_model(folder: Path) -> Result:
    found = load_model(folder / "models" / "ridge")
    predicted = found.pipeline.predict(crystals().structures[:2])
    values = {"name": found.name, "about": repr(found.about), "ids": found.ids, "predicted": predicted.tobytes()}
    return {name: (value,) for name, value in values.items()}, list(found.notes)


def read_back_plan(folder: Path) -> Result:
    return {"plan": (to_json(read_plan(folder / "plan.json")),)}, []


def read_back_ledger(folder: Path) -> Result:
    with Ledger(folder / "l.db") as opened:
        values: dict[str, tuple] = {}
        for plan_id in opened.plans():
            values[plan_id] = (to_json(opened.plan(plan_id)),)
            values |= {f"{plan_id} {attempt.number}": (repr(attempt),) for attempt in opened.attempts(plan_id)}
            values |= {f"{plan_id} {row[0]} counts": (repr(row),) for row in opened.counts(plan_id)}
    return values, []
