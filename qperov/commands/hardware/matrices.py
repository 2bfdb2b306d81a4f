"""Collected matrices: repaired, scored, set beside the exact one, and written with the ids of their samples."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import typer
from sklearn.dummy import DummyRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_predict

from qperov.errors import CircuitSizeError
from qperov.hardware.jobs.results import Results
from qperov.hardware.plan.plan import Plan
from qperov.hardware.verification.exact import exact_values, has_exact_values
from qperov.quantum.estimators.regression import QuantumSVR
from qperov.quantum.gram.repair import KernelRepair
from qperov.storage.atomic import atomic_path, write_text
from qperov.storage.plain_values import plain_cells

#: Endings of files that hold a matrix with the ids of its rows and columns; in .npy and .csv no more than that fits.
ENDINGS = (".npy", ".npz", ".csv", ".parquet")

#: The exact matrix is set beside the measured one up to so many qubits.
MAX_EXACT_QUBITS = 14


def variants(results: Results, gamma: float) -> dict[str, np.ndarray]:
    """The matrix raw, with the readout corrected, and repaired in every way there is."""
    matrices = {"raw": results.matrix(False, gamma)}
    if results.mitigated is not None:
        matrices["readout"] = results.matrix(True, gamma)
    pairs = results.plan.pairs
    if pairs is not None and pairs.form == "full":
        best = list(matrices.values())[-1]
        diagonal = results.plan.kind == "fidelity" and bool((pairs.first == pairs.second).any())
        matrices |= repairs(best, results.plan.n_qubits, diagonal)
    return matrices


def repairs(K: np.ndarray, n_qubits: int, diagonal: bool) -> dict[str, np.ndarray]:
    """A measured square matrix after each repair, by its name; ``diagonal`` says whether the diagonal was measured."""
    found = {"nearest": KernelRepair().fit(K).matrix_}
    if diagonal:
        # a diagonal that noise has brought to its floor leaves nothing to correct; the other repairs still can be had
        with suppress(ValueError):
            found["depolarising"] = KernelRepair(depolarising="mean", n_qubits=n_qubits).fit(K).matrix_
    return found


def exact_matrix(results: Results, gamma: float) -> np.ndarray | None:
    """What an ideal machine would have measured; None where the plan does not say of what, or it is too large."""
    plan = results.plan
    if plan.n_qubits > MAX_EXACT_QUBITS or not has_exact_values(plan):
        return None
    try:
        return replace(results, raw=exact_values(plan)).matrix(False, gamma)
    except CircuitSizeError:
        return None


def score(K: np.ndarray | None, y: np.ndarray) -> float:
    """Cross-validated R² of a support vector regression on a matrix, not tuned; without a matrix that of a constant."""
    if y.std() == 0:
        return float("nan")
    z = (y - y.mean()) / y.std()
    folds = KFold(min(5, len(y)), shuffle=True, random_state=0)
    model: Any = DummyRegressor() if K is None else QuantumSVR("precomputed", C=10.0, epsilon=0.05)
    return float(r2_score(z, cross_val_predict(model, np.zeros((len(y), 1)) if K is None else K, z, cv=folds)))


def check_ending(out: Path | None) -> None:
    """Raise BadParameter for a file that no matrix can be written to."""
    if out is not None and out.suffix not in ENDINGS:
        raise typer.BadParameter(f"{out}: a matrix is written to {', '.join(ENDINGS)}", param_hint="--out")


def write_matrix(values: np.ndarray, plan: Plan, out: Path | None, **how: Any) -> None:
    """Write a matrix, or an autoencoder's losses and codes, with its ids and all that led to it.

    A .parquet file holds the ids and, in ``DataFrame.attrs``, the rest; .npz arrays ``matrix``, ``row_ids``,
    ``column_ids``, ``labels`` and the rest as JSON in ``about``. A .csv file holds the ids, .npy not even these; the
    rest is in ``….about.json`` beside them.
    """
    if out is None:
        return
    rows, columns = plan.axes()
    if plan.kind == "autoencoder":
        columns = ["loss", *(f"z{qubit}" for qubit in range(plan.code_qubits))]
    about = _about(plan, rows, columns) | how
    table = pd.DataFrame(values, pd.Index(rows, name="id"), columns)
    if out.suffix in (".csv", ".npy"):
        text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
        beside = write_text(out.with_name(out.name + ".about.json"), text)
        typer.echo(f"wrote {beside}: ids, labels, and what led to them")
    with atomic_path(out) as temporary, temporary.open("wb") as file:
        if out.suffix == ".parquet":
            table.attrs = about
            table.to_parquet(file)
        elif out.suffix == ".npz":
            labels = {} if plan.labels is None else {"labels": plan.labels}
            named: dict[str, Any] = {"row_ids": np.array(rows), "column_ids": np.array(columns), **labels}
            np.savez_compressed(file, matrix=values, about=np.array(json.dumps(about)), **named)
        elif out.suffix == ".csv":
            plain_cells(table).to_csv(file)
        else:
            np.save(file, values, allow_pickle=False)
    typer.echo(f"wrote {out}")


def _about(plan: Plan, rows: list[str], columns: list[str]) -> dict[str, Any]:
    samples = {} if plan.samples is None else plan.samples.as_dict()
    return {
        "plan_id": plan.plan_id,
        "kind": plan.kind,
        "backend": plan.backend.as_dict(),
        "calibrated": plan.calibrated,
        "qubits": list(plan.qubits),
        "shots": plan.shots,
        "options": plan.options.as_dict(),
        "row_ids": rows,
        "column_ids": columns,
        "labels": None if plan.labels is None else plan.labels.tolist(),
    } | {name: value for name, value in samples.items() if name != "ids"}
