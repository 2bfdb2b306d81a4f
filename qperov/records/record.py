"""Records: what a run was and gave, written once and never overwritten.

A run directory holds ``record.json`` (everything small), ``labels.parquet``, ``predictions.parquet``,
``descriptors/<name>.parquet``, ``kernels/<name>.parquet``, ``studies/<name>.parquet``, ``table.csv`` and
``left_out.csv``; a report adds ``figures/``, ``report.html``, ``metrics.json`` and ``table.tex``; models that are kept
lie in ``models/``.
Nothing in it runs code when it is read. ``record.json`` carries the SHA-256 of itself and of each Parquet file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from qperov.errors import RecordError
from qperov.evaluation.results import Comparison
from qperov.records.study import Chart, Reference, Study
from qperov.storage.checked_folder import digest, sha256
from qperov.storage.plain_values import decode, decode_frame, symmetric
from qperov.storage.versions import check_version

SCHEMA = 1
FRAMES = ("table", "folds", "significance", "descriptors", "parameters", "planned")


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
        ``spaced_rows(n, m)``. None in records written before there were any.
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
            # older records have no planned questions
            **{name: decode_frame(stored[name]) for name in FRAMES[1:] if name in stored or name != "planned"},
            table=_named(decode_frame(stored["table"])),
            predictions=tables["predictions.parquet"].to_pandas(),
            features={item["name"]: _matrix(_read_part(path, item["file"], files)) for item in features},
            ids=tuple(tables["labels.parquet"]["id"].to_pylist()),
            y=np.array(tables["labels.parquet"]["y"].to_pylist()),
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
    check_lengths(comparison, str(path))
    return record


def slug(name: str, *, taken: Iterable[str] = ()) -> str:
    """A file name made of ``name``: lower-case ASCII letters, digits and hyphens; numbered where ``taken`` has it."""
    base = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "descriptor"
    used = {Path(other).stem for other in taken}
    number = 2
    candidate = base
    while candidate in used:
        candidate, number = f"{base}-{number}", number + 1
    return candidate


def spaced_rows(n: int, m: int) -> np.ndarray:
    """m of the rows 0 … n − 1, or all of them if m ≥ n: which crystals a kernel matrix of m rows belongs to."""
    return np.arange(min(n, m)) * n // max(min(n, m), 1)


def _read_body(path: Path) -> dict[str, Any]:
    try:
        body = json.loads((path / "record.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordError(f"{path}: no record.json here; give the directory that a run wrote") from None
    except OSError as error:
        raise RecordError(f"{path}: record.json cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: record.json is not valid JSON ({error}); copy the record again") from error
    check_version(body.get("schema") if isinstance(body, dict) else None, SCHEMA, f"{path}: record schema")
    if body.pop("digest", None) != digest(body):
        raise RecordError(f"{path}: record.json was changed after it was written; copy the record again")
    return body


def _read_part(path: Path, file: str, files: dict[str, str]) -> pa.Table:
    if not re.fullmatch(r"((descriptors|kernels|studies)/)?[a-z0-9-]+\.parquet", file):
        raise RecordError(f"{path}: record.json names the part {file!r}, which is no part of a record")
    part = path / file
    if not part.is_file():
        raise RecordError(f"{path}: {file} is missing; copy the record again, whole")
    if sha256(part) != files[file]:
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


def check_lengths(comparison: Comparison, where: str) -> None:
    """RecordError unless labels and descriptors have a row for each id."""
    n = len(comparison.ids)
    lengths = {"y": len(comparison.y), **{name: len(X) for name, X in comparison.features.items()}}
    if wrong := {name: length for name, length in lengths.items() if length != n}:
        raise RecordError(f"{where}: {n} ids, but lengths {wrong}")
    if flat := [name for name, X in comparison.features.items() if np.ndim(X) != 2 or np.shape(X)[1] == 0]:
        raise RecordError(f"{where}: descriptors need the shape (n, d) with d > 0; these have not: {', '.join(flat)}")
