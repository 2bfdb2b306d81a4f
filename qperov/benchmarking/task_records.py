"""What one task with one seed leaves: a small JSON file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qperov.benchmarking.tasks import BenchmarkTask
from qperov.errors import RecordError
from qperov.evaluation.results import Comparison
from qperov.storage.atomic import write_text
from qperov.storage.versions import installed_versions

#: Number of the format of a record.
FORMAT = 1
VERSIONS = ("qperov", "numpy", "scipy", "scikit-learn")
#: Significant digits of the numbers in a record.
DIGITS = 7


@dataclass(frozen=True)
class TaskRecord:
    """One task with one seed.

    Attributes
    ----------
    task : dict
        The task's fields.
    settings : dict
        ``seed``, ``folds``, ``quick``, ``fingerprint`` (of the data), ``models`` (their names) and ``format``: a record
        with the same task and settings is not made again.
    facts : dict
        ``n``, ``n_groups``, ``unit``, ``loss`` ("mae" or "error"), ``constant`` (the loss of the best constant),
        ``versions``.
    models : list of dict
        One a model: ``model``, ``name``, ``descriptor``, ``family``, ``role``, ``loss``, ``low``, ``high``,
        ``seconds``, ``memory_mb`` and ``folds``, its loss on each fold.
    planned : list of dict
        The rows of ``Comparison.planned``, with ``quantum_loss``, ``classical_loss`` and ``delta_loss``.
    """

    task: dict[str, Any]
    settings: dict[str, Any]
    facts: dict[str, Any]
    models: list[dict[str, Any]]
    planned: list[dict[str, Any]]


def record_of(task: BenchmarkTask, settings: Mapping[str, Any], comparison: Comparison) -> TaskRecord:
    """What is kept of a comparison."""
    loss = comparison.loss
    label, constant = comparison.label, comparison.constant
    facts = {"n": label["n"], "n_groups": label["n_groups"], "unit": label.get("unit"), "loss": loss}
    facts |= {"constant": None if constant is None else constant[loss], "versions": installed_versions(VERSIONS)}
    of_fold = {name: part.sort_values(["repeat", "fold"])[loss] for name, part in comparison.folds.groupby("model")}
    models = [
        {
            **{key: row[key] for key in ("model", "name", "descriptor", "family", "role")},
            "loss": row[loss],
            "low": row[f"{loss}_low"],
            "high": row[f"{loss}_high"],
            "seconds": row["seconds"],
            "memory_mb": row["memory_mb"],
            "folds": of_fold[row["model"]].tolist(),
        }
        for row in comparison.table.to_dict(orient="records")
    ]
    planned = [
        {str(key).replace(f"_{loss}", "_loss"): value for key, value in row.items()}
        for row in comparison.planned.to_dict(orient="records")
    ]
    return TaskRecord(_plain(asdict(task)), _plain(dict(settings)), _plain(facts), _plain(models), _plain(planned))


def write_task_record(record: TaskRecord, path: Path) -> None:
    """Write it so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(asdict(record), ensure_ascii=False, separators=(",", ":")) + "\n")


def read_task_record(path: Path) -> TaskRecord:
    """Read one.

    Raises
    ------
    RecordError
        If it is damaged, or of another format.
    """
    try:
        found = TaskRecord(**json.loads(path.read_text(encoding="utf-8")))
        if found.settings["format"] != FORMAT:
            raise RecordError(f"{path}: a record of format {found.settings['format']}, not {FORMAT}: compute it again")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RecordError(f"{path}: not a record of a benchmark task: {error}") from error
    return found


def is_current(path: Path, task: BenchmarkTask, settings: Mapping[str, Any]) -> bool:
    """Whether a record of this task with these settings is there."""
    try:
        found = read_task_record(path)
    except RecordError:
        return False
    return (found.task, found.settings) == (_plain(asdict(task)), _plain(dict(settings)))


def digest_of(paths: Sequence[Path]) -> str:
    """SHA-256 (hex) over the names and contents of files, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(paths, key=lambda each: each.name):
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """JSON's types: numbers of seven digits, None for what is undefined."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
    return value
