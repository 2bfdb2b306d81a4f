"""Joins a table of labels to structures by their ids."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from qperov.crystals.files.sources import id_of
from qperov.errors import (
    DuplicateIdError,
    EmptyFileError,
    FileFormatError,
    InvalidLabelError,
    LabelError,
    MissingLabelError,
    OrphanLabelError,
    ReadingError,
    UnreadableFileError,
)

_ID_COLUMNS = ("id", "structure_id", "name", "path", "file", "material_id", "filename")
_MOST_COLUMNS = 3
_AMBIGUOUS = -1


@dataclass(frozen=True)
class JoinedLabels:
    """Labels in step with structures.

    Attributes
    ----------
    values : ndarray of float, shape (n_structures,)
        NaN where a structure has no valid label; ``issues`` says why.
    provenance : str
    id_columns : tuple of str
        The columns that name the structures.
    issues : tuple of ReadingError
    """

    values: np.ndarray
    provenance: str
    id_columns: tuple[str, ...]
    issues: tuple[ReadingError, ...]


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV (also compressed) or Parquet file; every cell as text, empty where there is no value.

    Raises
    ------
    UnreadableFileError, EmptyFileError, FileFormatError
    """
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            table = pd.read_parquet(path)
            return pd.DataFrame({str(name): [_cell_text(cell) for cell in table[name]] for name in table.columns})
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True)
    except FileNotFoundError as error:
        raise UnreadableFileError(path, "the table of labels does not exist") from error
    except pd.errors.EmptyDataError as error:
        raise EmptyFileError(path, "the table of labels is empty") from error
    except (ValueError, EOFError) as error:  # also of pandas' and pyarrow's parsers, and of wrong encodings
        raise FileFormatError(path, f"not a table that can be read: {error}") from error
    except OSError as error:
        raise UnreadableFileError(path, f"the table of labels cannot be read: {error.strerror or error}") from error
    table.columns = [str(name).strip() for name in table.columns]
    return table.fillna("")


def _cell_text(cell: object) -> str:
    if cell is None or cell is pd.NA:
        return ""
    if isinstance(cell, float):
        return "" if np.isnan(cell) else str(int(cell)) if cell.is_integer() else repr(float(cell))
    return str(cell)


def join_labels(
    ids: Sequence[str],
    sources: Sequence[str],
    table_path: Path,
    target: str,
    id_columns: str | Sequence[str] | None = None,
) -> JoinedLabels:
    """Find the label of each structure in the column ``target`` of a table.

    A row names its structure by the value of one column, or of several joined by ``/``. It matches an id that is equal
    to it or ends with it in whole components: ``train/0`` matches ``set_a/train/0``, but not ``set_a/strain/0``.

    Without ``id_columns`` a column called id, structure_id, name, path, file, material_id or filename is taken if it
    matches anything. Otherwise single columns and then ordered combinations of up to three are tried, and the first is
    taken whose keys are unique and match exactly one structure each, in every row.

    Parameters
    ----------
    ids, sources : sequence of str
        Of the structures; sources are what messages call them.
    table_path : Path
    target : str
    id_columns : str or sequence of str, optional

    Raises
    ------
    LabelError
        If a column is missing, or no columns can be found that name the structures.
    UnreadableFileError, EmptyFileError, FileFormatError
        If the table cannot be read.
    """
    table = read_table(table_path)
    named = (id_columns,) if isinstance(id_columns, str) else tuple(id_columns or ())
    columns = list(table.columns)
    missing = [name for name in (target, *named) if name not in columns]
    if missing:
        raise LabelError(table_path, f"no column {missing[0]!r}; the columns are {', '.join(columns)}")
    lookup = _Lookup(ids)
    chosen = named or _deduced_columns(table, target, lookup)
    if not chosen:
        reason = (
            f"no columns name the structures uniquely (such as {', '.join(map(repr, ids[:2]))}); the columns are "
            f"{', '.join(columns)}: name those that do with id_columns"
        )
        raise LabelError(table_path, reason)
    values = np.full(len(ids), np.nan)
    issues: list[ReadingError] = []
    row_of: dict[int, int] = {}
    for i, (key, text) in enumerate(zip(_keys(table, chosen), table[target], strict=True)):
        row = f"{table_path.name} row {i + 2} ({key})"
        match = lookup.find(key)
        if match is None:
            issues.append(OrphanLabelError(row, "there is no structure of this id"))
        elif match == _AMBIGUOUS:
            issues.append(LabelError(row, "several structures end with this id; give more of their path"))
        elif match in row_of:
            issues.append(DuplicateIdError(row, f"row {row_of[match]} already labels {ids[match]}; that one was kept"))
        else:
            row_of[match] = i + 2
            values[match] = _value(text)
            if np.isnan(values[match]):
                shown = repr(text) if text.strip() else "empty"
                issues.append(InvalidLabelError(row, f"the label {target} is {shown}, not a finite number"))
    issues += [
        MissingLabelError(source, f"no row of {table_path.name} has a label for {structure_id}")
        for i, (structure_id, source) in enumerate(zip(ids, sources, strict=True))
        if i not in row_of
    ]
    return JoinedLabels(values, f"{table_path.name}, column {target}", chosen, tuple(issues))


def _value(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return np.nan
    return value if np.isfinite(value) else np.nan


class _Lookup:
    """Finds the structure that a key names, by its whole id or by the end of it."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.exact = {structure_id: i for i, structure_id in enumerate(ids)}
        self.endings: dict[str, int] = {}
        for i, structure_id in enumerate(ids):
            parts = structure_id.split("/")
            for start in range(1, len(parts)):
                ending = "/".join(parts[start:])
                self.endings[ending] = _AMBIGUOUS if ending in self.endings else i

    def find(self, key: str) -> int | None:
        """The index of a structure, -1 if several fit, or None."""
        if not key:
            return None
        parts = tuple(part for part in key.replace("\\", "/").split("/") if part not in ("", "."))
        for name in (key, id_of(parts)) if parts else (key,):
            for where in (self.exact, self.endings):
                if name in where:
                    return where[name]
        return None


def _keys(table: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    return ["/".join(cell.strip() for cell in row) for row in zip(*(table[name] for name in columns), strict=True)]


def _deduced_columns(table: pd.DataFrame, target: str, lookup: _Lookup) -> tuple[str, ...]:
    others = [name for name in table.columns if name != target]
    for name in sorted(others, key=str.lower):
        if name.lower() in _ID_COLUMNS and any(lookup.find(key) is not None for key in table[name]):
            return (name,)
    for length in range(1, _MOST_COLUMNS + 1):
        for columns in itertools.permutations(others, length):
            if _names_each_row(_keys(table, columns), lookup):
                return columns
    return ()


def _names_each_row(keys: list[str], lookup: _Lookup) -> bool:
    seen: set[int] = set()
    for key in keys:
        match = lookup.find(key)
        if match is None or match == _AMBIGUOUS or match in seen:
            return False
        seen.add(match)
    return bool(keys)
