"""Records: what a run was and gave, written once and never overwritten.

A run directory holds ``record.json`` (everything small), ``labels.parquet``, ``predictions.parquet``,
``descriptors/<name>.parquet``, ``kernels/<name>.parquet``, ``studies/<name>.parquet``, ``table.csv`` and
``left_out.csv``; a report adds ``figures/``, ``report.html``, ``metrics.json`` and ``table.tex``; models that are kept
lie in ``models/``.
Nothing in it runs code when it is read. ``record.json`` carries the SHA-256 of itself and of each Parquet file.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from qperov.errors import RecordError
from qperov.evaluation.results import Comparison
from qperov.records.study import Chart, Reference, Study
from qperov.storage.plain_values import clean, decode, decode_frame, encode, encode_frame, symmetric, upper_triangle

SCHEMA = 1
FRAMES = ("table", "folds", "significance", "descriptors", "parameters")
PACKAGES = (
    "qperov", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "pymatgen", "ase", "spglib", "joblib", "openTSNE",
    "matplotlib", "torch", "pennylane", "qiskit", "qiskit-aer", "qiskit-ibm-runtime", "chgnet",
)  # fmt: skip
#: Messages kept in record.json; ``left_out.csv`` has all of them.
MAX_ISSUES = 50


@dataclass(frozen=True, eq=False)
class Record:
    """One run, as read from its directory.

    Attributes
    ----------
    path : Path
        The run directory.
    created : str
        UTC, ISO 8601.
    command : str
        The command line that repeats the run.
    versions : dict of str to str
        Python and the packages that were installed.
    platform : dict
        ``system``, ``machine`` and ``cpus``; names neither host nor user.
    task : dict
        Settings and seeds, as given.
    dataset : dict
        ``name``, ``fingerprint``, ``n``, ``left_out`` (kind → count) and ``issues`` (the first 50 messages).
    comparison : Comparison
    studies : tuple of Study
        Further sections of the report; records written before there were any have none.
    kernels : dict of str to ndarray
        Name → kernel matrix, shape (m, m), symmetric, to the precision of float32; its rows are the crystals
        ``evenly_spaced(n, m)``. None in records written before there were any.
    compositions : tuple of str
        The formula of each crystal; () where they were not given.
    """

    path: Path
    created: str
    command: str
    versions: dict[str, str]
    platform: dict[str, Any]
    task: dict[str, Any]
    dataset: dict[str, Any]
    comparison: Comparison
    studies: tuple[Study, ...] = ()
    kernels: dict[str, np.ndarray] = field(default_factory=dict)
    compositions: tuple[str, ...] = ()


def write_record(
    directory: str | Path,
    comparison: Comparison,
    *,
    task: Mapping[str, Any],
    dataset: Mapping[str, Any],
    studies: Sequence[Study] = (),
    kernels: Mapping[str, np.ndarray] | None = None,
    compositions: Sequence[str] = (),
) -> Record:
    """Write a run into a new directory and read it back.

    Everything goes into a hidden sibling directory that is renamed at the end: the target is complete or absent.
    Floats come back bit by bit; tuples come back as lists; a table's index is not kept; text that is no valid
    Unicode (some file names) is written with backslash escapes.

    Parameters
    ----------
    directory : str or Path
        Must not exist yet.
    comparison : Comparison
    task : dict
        Plain settings and seeds; ``command`` is the command line that repeats the run.
    dataset : dict
        ``name``, ``fingerprint``, ``n`` and, if there are any, ``issues``: exceptions or messages about entries left
        out. Counts by kind are made of the exceptions, unless ``left_out`` gives them; the record keeps the first
        50 messages and ``left_out.csv`` all of them.
    studies : sequence of Study
    kernels : mapping of str to ndarray, optional
        Name → kernel matrix, shape (m, m), of all crystals, or of ``evenly_spaced(n, m)`` of them. The upper triangle
        is kept, as float32.
    compositions : sequence of str
        The formula of each crystal, or nothing.

    Raises
    ------
    RecordError
        The directory exists, the command is missing, a value has no plain JSON form, a kernel matrix is not symmetric
        or finite, or lengths do not fit.
    """
    target = Path(directory)
    if target.exists() or target.is_symlink():
        raise RecordError(f"{target} exists: a record is never overwritten; choose another directory")
    if not isinstance(task.get("command"), str):
        raise RecordError("task needs 'command': the command line that repeats the run")
    _check(comparison, str(target))
    triangles = {name: _triangle(name, matrix, len(comparison.ids)) for name, matrix in (kernels or {}).items()}
    if len(compositions) not in (0, len(comparison.ids)):
        raise RecordError(f"{target}: {len(comparison.ids)} ids, but {len(compositions)} compositions")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    partial.mkdir()
    try:
        _write_left_out(partial / "left_out.csv", dataset.get("issues", ()))
        _write_parts(partial, comparison, dict(task), _dataset(dataset), studies, triangles, list(compositions))
        partial.rename(target)
    except OSError as error:
        raise RecordError(f"{target} could not be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return read_record(target)


def read_record(directory: str | Path) -> Record:
    """Read a run directory.

    Raises
    ------
    RecordError
        No record there, another schema version, a part missing, or a part changed after it was written.
    """
    path = Path(directory)
    body = _read_body(path)
    try:
        files, features = body["files"], body["features"]
        stored = body["comparison"]
        tables = {name: _read_part(path, name, files) for name in ("labels.parquet", "predictions.parquet")}
        comparison = Comparison(
            label=decode(stored["label"]),
            **{name: decode_frame(stored[name]) for name in FRAMES[1:]},
            table=_named(decode_frame(stored["table"])),
            predictions=tables["predictions.parquet"].to_pandas(),
            features={item["name"]: _matrix(_read_part(path, item["file"], files)) for item in features},
            ids=tuple(tables["labels.parquet"]["id"].to_pylist()),
            y=tables["labels.parquet"]["y"].to_numpy().copy(),
            settings=decode(stored["settings"]),
            warnings=tuple(stored["warnings"]),
        )
        record = Record(
            path=path,
            created=body["created"],
            command=body["command"],
            versions=body["versions"],
            platform=body["platform"],
            task=decode(body["task"]),
            dataset=decode(body["dataset"]),
            comparison=comparison,
            studies=tuple(_study(stored, path, files) for stored in body.get("studies", [])),
            kernels={
                item["name"]: symmetric(_read_part(path, item["file"], files)["k"].to_numpy())
                for item in body.get("kernels", [])
            },
            compositions=_compositions(tables["labels.parquet"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError, pa.ArrowException) as error:
        raise RecordError(f"{path}: record.json lacks or garbles a part ({type(error).__name__}: {error})") from error
    _check(comparison, str(path))
    return record


# --- writing ------------------------------------------------------------------------------------


def _write_left_out(path: Path, issues: Iterable[Any]) -> None:
    """Every entry that was left out: its kind and its message, which names the file."""
    rows = [(type(issue).__name__ if isinstance(issue, Exception) else "", clean(str(issue))) for issue in issues]
    table = pd.DataFrame(rows, columns=["kind", "message"])
    table.to_csv(path, index=False, encoding="utf-8", errors="backslashreplace")


def _write_parts(
    folder: Path,
    comparison: Comparison,
    task: dict[str, Any],
    dataset: dict[str, Any],
    studies: Sequence[Study],
    triangles: dict[str, np.ndarray],
    compositions: list[str],
) -> None:
    labels = pa.table({"id": pa.array(clean(list(comparison.ids)), pa.string()), "y": np.asarray(comparison.y, float)})
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
    comparison.table.to_csv(folder / "table.csv", index=False, encoding="utf-8", errors="backslashreplace")
    body = {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": clean(task["command"]),
        "versions": _versions(),
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
        "files": {file: _sha256(folder / file) for file in parts},
    }
    body["digest"] = _digest(body)
    lines = [f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in body.items()]
    (folder / "record.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


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


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "qperov": "not installed"}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def slug(name: str, *, taken: Iterable[str] = ()) -> str:
    """A file name made of ``name``: lower-case ASCII letters, digits and hyphens; numbered where ``taken`` has it."""
    base = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "descriptor"
    used = {Path(other).stem for other in taken}
    number = 2
    candidate = base
    while candidate in used:
        candidate, number = f"{base}-{number}", number + 1
    return candidate


def evenly_spaced(n: int, m: int) -> np.ndarray:
    """m of the rows 0 … n − 1, or all of them if m ≥ n: which crystals a kernel matrix of m rows belongs to."""
    return np.arange(min(n, m)) * n // max(min(n, m), 1)


# --- reading and checking -----------------------------------------------------------------------


def _read_body(path: Path) -> dict[str, Any]:
    try:
        body = json.loads((path / "record.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordError(f"{path}: no record.json here; give the directory that a run wrote") from None
    except OSError as error:
        raise RecordError(f"{path}: record.json cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: record.json is not valid JSON ({error}); copy the record again") from error
    if not isinstance(body, dict) or body.get("schema") != SCHEMA:
        found = body.get("schema") if isinstance(body, dict) else None
        raise RecordError(
            f"{path}: record schema {found!r}, but this qperov reads {SCHEMA}; use the qperov that wrote it"
        )
    if body.pop("digest", None) != _digest(body):
        raise RecordError(f"{path}: record.json was changed after it was written; copy the record again")
    return body


def _read_part(path: Path, file: str, files: dict[str, str]) -> pa.Table:
    if not re.fullmatch(r"((descriptors|kernels|studies)/)?[a-z0-9-]+\.parquet", file):
        raise RecordError(f"{path}: record.json names the part {file!r}, which is no part of a record")
    part = path / file
    if not part.is_file():
        raise RecordError(f"{path}: {file} is missing; copy the record again, whole")
    if _sha256(part) != files[file]:
        raise RecordError(f"{path}: {file} was changed after it was written; copy the record again")
    return pq.read_table(part)


def _study(stored: dict[str, Any], path: Path, files: dict[str, str]) -> Study:
    charts = []
    for chart in decode(stored["charts"]):
        references = tuple(Reference(**reference) for reference in chart.pop("references"))
        charts.append(Chart(**chart, references=references))
    return Study(
        title=stored["title"],
        paragraphs=tuple(stored["paragraphs"]),
        tables={table["name"]: decode_frame(table["frame"]) for table in stored["tables"]},
        charts=tuple(charts),
        data={item["name"]: _read_part(path, item["file"], files).to_pandas() for item in stored["data"]},
        decimals=stored["decimals"],
        # records of 0.1 have no kinds, but titles that are known
        kind=stored.get("kind", "autoencoder" if "autoencoder" in stored["title"].lower() else ""),
    )


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the models' names; records of 0.1 have them before their descriptors' alone."""
    if "name" in table or "descriptor" not in table:
        return table
    names = [model.removesuffix(f" · {of}") for model, of in zip(table["model"], table["descriptor"], strict=True)]
    return table.assign(name=names)


def _compositions(labels: pa.Table) -> tuple[str, ...]:
    return tuple(labels["composition"].to_pylist()) if "composition" in labels.column_names else ()


def _matrix(table: pa.Table) -> np.ndarray:
    return np.ascontiguousarray(np.column_stack([column.to_numpy() for column in table.columns]))


def _check(comparison: Comparison, where: str) -> None:
    n = len(comparison.ids)
    lengths = {"y": len(comparison.y), **{name: len(X) for name, X in comparison.features.items()}}
    if wrong := {name: length for name, length in lengths.items() if length != n}:
        raise RecordError(f"{where}: {n} ids, but lengths {wrong}")
    if flat := [name for name, X in comparison.features.items() if np.ndim(X) != 2 or np.shape(X)[1] == 0]:
        raise RecordError(f"{where}: descriptors need the shape (n, d) with d > 0; these have not: {', '.join(flat)}")


def _digest(body: dict[str, Any]) -> str:
    plain = {key: value for key, value in body.items() if key != "digest"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
