"""Writes records; see :mod:`~qperov.records.record` for what a run directory holds."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from qperov.errors import RecordError
from qperov.evaluation.results import Comparison
from qperov.records.record import FRAMES, SCHEMA, Record, check_lengths, read_record, slug
from qperov.records.study import Study
from qperov.storage.atomic import atomic_path
from qperov.storage.checked_folder import digest, sha256
from qperov.storage.plain_values import clean, encode, encode_frame, plain_cells, upper_triangle
from qperov.storage.versions import installed_versions

PACKAGES = (
    "qperov", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "pymatgen", "ase", "spglib", "joblib", "openTSNE",
    "matplotlib", "torch", "pennylane", "qiskit", "qiskit-aer", "qiskit-ibm-runtime", "chgnet",
)  # fmt: skip
#: Messages kept in record.json; ``left_out.csv`` has all of them.
MAX_ISSUES = 50


def write_record(
    directory: str | Path,
    comparison: Comparison,
    *,
    task: Mapping[str, Any],
    dataset: Mapping[str, Any],
    studies: Sequence[Study] = (),
    kernels: Mapping[str, np.ndarray] | None = None,
    compositions: Sequence[str] = (),
    claimed: bool = False,
) -> Record:
    """Write a run into a new directory and read it back.

    Everything goes into a hidden sibling directory that is renamed at the end: the target is complete or absent.
    Floats come back bit by bit; tuples come back as lists; a table's index is not kept; text that is no valid
    Unicode (some file names) is written with backslash escapes.

    Parameters
    ----------
    directory : str or Path
        Must not exist yet, unless it is ``claimed``.
    comparison : Comparison
    task : dict
        Plain settings and seeds; ``command`` is the command line that repeats the run.
    dataset : dict
        ``name``, ``fingerprint``, ``n`` and, if there are any, ``issues``: exceptions or messages about entries left
        out. Counts by kind are made of the exceptions, unless ``left_out`` gives them; the record keeps the first
        50 messages and ``left_out.csv`` all of them.
    studies : sequence of Study
    kernels : mapping of str to ndarray, optional
        Name → kernel matrix, shape (m, m), of all crystals, or of ``spaced_rows(n, m)`` of them. The upper triangle
        is kept, as float32.
    compositions : sequence of str
        The formula of each crystal, or nothing.
    claimed : bool
        The directory is there and empty: :func:`~qperov.records.runs.claim_run` made it for this record.

    Raises
    ------
    RecordError
        The directory exists, the command is missing, a value has no plain JSON form, a kernel matrix is not symmetric
        or finite, or lengths do not fit.
    """
    target = Path(directory)
    if target.is_symlink() or (target.exists() and not claimed):
        raise RecordError(f"{target} exists: a record is never overwritten; choose another directory")
    if not isinstance(task.get("command"), str):
        raise RecordError("task needs 'command': the command line that repeats the run")
    check_lengths(comparison, str(target))
    triangles = {name: _triangle(name, matrix, len(comparison.ids)) for name, matrix in (kernels or {}).items()}
    if len(compositions) not in (0, len(comparison.ids)):
        raise RecordError(f"{target}: {len(comparison.ids)} ids, but {len(compositions)} compositions")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as partial:
            partial.mkdir()
            _write_left_out(partial / "left_out.csv", dataset.get("issues", ()))
            _write_parts(partial, comparison, dict(task), _dataset(dataset), studies, triangles, list(compositions))
    except OSError as error:
        raise RecordError(f"{target} could not be written: {error.strerror or error}") from error
    finally:
        if claimed:
            with suppress(OSError):
                target.rmdir()  # only where nothing was written
    return read_record(target)


def _write_left_out(path: Path, issues: Iterable[Any]) -> None:
    """Every entry that was left out: its kind and its message, which names the file."""
    rows = [(type(issue).__name__ if isinstance(issue, Exception) else "", clean(str(issue))) for issue in issues]
    table = pd.DataFrame(rows, columns=["kind", "message"])
    plain_cells(table).to_csv(path, index=False, encoding="utf-8", errors="backslashreplace")


def _write_parts(
    folder: Path,
    comparison: Comparison,
    task: dict[str, Any],
    dataset: dict[str, Any],
    studies: Sequence[Study],
    triangles: dict[str, np.ndarray],
    compositions: list[str],
) -> None:
    labels = pa.table({"id": pa.array(clean(list(comparison.ids)), pa.string()), "y": _labels(comparison)})
    if compositions:
        labels = labels.append_column("composition", pa.array(clean(compositions), pa.string()))
    parts = {"labels.parquet": labels, "predictions.parquet": _columns(comparison.predictions, "predictions")}
    features: list[dict[str, str]] = []
    for name, matrix in comparison.features.items():
        file = f"descriptors/{slug(name, taken={item['file'] for item in features})}.parquet"
        features.append({"name": clean(name), "file": file})
        columns = np.asarray(matrix, dtype=np.float64).T
        parts[file] = pa.table({str(j): np.ascontiguousarray(column) for j, column in enumerate(columns)})
    described = [_describe_study(study, parts) for study in studies]
    kernels: list[dict[str, str]] = []
    for name, triangle in triangles.items():
        file = f"kernels/{slug(name, taken={item['file'] for item in kernels})}.parquet"
        kernels.append({"name": clean(name), "file": file})
        parts[file] = pa.table({"k": triangle})
    for file, table in parts.items():
        (folder / file).parent.mkdir(exist_ok=True)
        pq.write_table(table, folder / file)
    plain_cells(comparison.table).to_csv(folder / "table.csv", index=False, encoding="utf-8", errors="backslashreplace")
    body = {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": clean(task["command"]),
        "versions": {"python": "", "qperov": "not installed"} | installed_versions(PACKAGES),
        "platform": {"system": platform.system(), "machine": platform.machine(), "cpus": os.cpu_count()},
        "task": encode(task, "task"),
        "dataset": encode(dataset, "dataset"),
        "comparison": {
            "label": encode(comparison.label, "label"),
            **{name: encode_frame(getattr(comparison, name), name) for name in FRAMES},
            "settings": encode(comparison.settings, "settings"),
            "warnings": encode(comparison.warnings, "warnings"),
        },
        "features": features,
        "kernels": kernels,
        "studies": described,
        "files": {file: sha256(folder / file) for file in parts},
    }
    body["digest"] = digest(body)
    lines = [f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in body.items()]
    (folder / "record.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _labels(comparison: Comparison) -> pa.Array:
    y = comparison.y
    return pa.array(clean(y.tolist()), pa.string()) if comparison.classes else pa.array(np.asarray(y, dtype=float))


def _columns(frame: pd.DataFrame, where: str) -> pa.Table:
    """A table for Parquet: columns of numbers or text, without an index."""
    plain = frame.reset_index(drop=True)
    for column in plain.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in plain.dtypes]]:
        plain[column] = [clean(value) for value in plain[column]]
    try:
        return pa.Table.from_pandas(plain, preserve_index=False)
    except (pa.ArrowException, ValueError) as error:
        raise RecordError(f"{where} cannot be recorded: {error}") from error


def _triangle(name: str, matrix: np.ndarray, n: int) -> np.ndarray:
    if not 0 < len(matrix) <= n:
        raise RecordError(f"kernel {name!r} has {len(matrix)} rows: 1 to {n}, the number of crystals, are needed")
    return upper_triangle(matrix, f"kernel {name!r}")


def _describe_study(study: Study, parts: dict[str, pa.Table]) -> dict[str, Any]:
    """JSON form of a study; its data go into ``parts``, to be written as Parquet."""
    data = []
    for name, frame in study.data.items():
        where = f"{study.title}, {name}"
        file = f"studies/{slug(where, taken=[other for other in parts if other.startswith('studies/')])}.parquet"
        parts[file] = _columns(frame, where)
        data.append({"name": clean(name), "file": file})
    tables = [
        {"name": clean(name), "frame": encode_frame(table, f"{study.title}, {name}")}
        for name, table in study.tables.items()
    ]
    return {
        "title": clean(study.title),
        "kind": clean(study.kind),
        "paragraphs": encode(study.paragraphs, study.title),
        "tables": tables,
        "charts": encode([asdict(chart) for chart in study.charts], study.title),
        "data": data,
        "decimals": encode(study.decimals, study.title),
    }


def _dataset(dataset: Mapping[str, Any]) -> dict[str, Any]:
    issues = list(dataset.get("issues", ()))
    kinds = Counter(type(issue).__name__ for issue in issues if isinstance(issue, Exception))
    return {
        **dataset,
        "left_out": dict(dataset.get("left_out", kinds)),
        "issues": [str(issue) for issue in issues[:MAX_ISSUES]],
    }
