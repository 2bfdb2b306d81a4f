"""Joins a table of labels to structures by their ids."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qperov.crystals.files.label_table import LabelTable, read_table
from qperov.crystals.files.sources import id_of
from qperov.errors import (
    DuplicateIdError,
    InvalidLabelError,
    LabelError,
    MissingLabelError,
    OrphanLabelError,
    ReadingError,
    escape_controls,
)

_ID_COLUMNS = ("id", "structure_id", "name", "path", "file", "material_id", "filename")
_AMBIGUOUS = -1

#: The most columns of which all ordered combinations are tried: one alone, pairs, triples.
_MOST_COLUMNS = {1: 10_000, 2: 40, 3: 12}

#: Numbers as instruments and programs write them: no digit groups, no words, no decimal comma.
_PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


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
    texts : tuple of str
        The cells as they stand; "" where there is none.
    """

    values: np.ndarray
    provenance: str
    id_columns: tuple[str, ...]
    issues: tuple[ReadingError, ...]
    texts: tuple[str, ...] = ()


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
    taken whose keys are unique and match exactly one structure each, in every row. Pairs are tried of up to 40 columns
    that hold parts of ids, triples of up to 12.

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
    missing = [name for name in (target, *named) if name not in table.columns]
    if missing:
        raise LabelError(table_path, f"no column {missing[0]!r}; the columns are {', '.join(table.columns)}")
    lookup = _Lookup(ids)
    chosen = named or _deduced_columns(table, target, lookup)
    if not chosen:
        reason = (
            f"no columns name the structures uniquely (such as {', '.join(map(repr, ids[:2]))}); the columns are "
            f"{', '.join(table.columns)}: name those that do with id_columns"
        )
        raise LabelError(table_path, reason)
    values, texts = np.full(len(ids), np.nan), [""] * len(ids)
    issues: list[ReadingError] = list(table.issues)
    row_of: dict[int, int] = {}
    for number, key, text in zip(table.numbers, _keys(table, chosen), table.column(target), strict=True):
        row = f"{table_path.name} row {number} ({key})"
        match = lookup.find(key)
        if match is None:
            issues.append(OrphanLabelError(row, "there is no structure of this id"))
        elif match == _AMBIGUOUS:
            issues.append(LabelError(row, "several structures end with this id; give more of their path"))
        elif match in row_of:
            issues.append(DuplicateIdError(row, f"row {row_of[match]} already labels {ids[match]}; that one was kept"))
        else:
            row_of[match] = number
            values[match], texts[match] = _value(text), text.strip()
            if np.isnan(values[match]):
                shown = repr(text) if text.strip() else "empty"
                reason = f"the label {target} is {shown}, not a finite number in plain decimal notation"
                issues.append(InvalidLabelError(row, reason))
    issues += [
        MissingLabelError(source, f"no row of {table_path.name} has a label for {structure_id}")
        for i, (structure_id, source) in enumerate(zip(ids, sources, strict=True))
        if i not in row_of
    ]
    return JoinedLabels(values, f"{table_path.name}, column {target}", chosen, tuple(issues), tuple(texts))


def _value(text: str) -> float:
    number = _PLAIN_NUMBER.fullmatch(text.strip())
    value = float(number[0]) if number else np.nan
    vanished = number is not None and value == 0 and any(digit in number[1] for digit in "123456789")
    return value if np.isfinite(value) and not vanished else np.nan


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
        self.components = {part for structure_id in ids for part in structure_id.split("/")} | {""}

    def may_name(self, cell: str) -> bool:
        """Whether a cell can be a part of a key that names a structure."""
        if cell in self.components or cell in self.exact or cell in self.endings:
            return True
        parts = [part for part in cell.replace("\\", "/").split("/") if part not in ("", ".")]
        return all(part in self.components or id_of((part,)) in self.components for part in parts)

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


def _keys(table: LabelTable, columns: Sequence[str]) -> Iterator[str]:
    cells = zip(*(table.column(name) for name in columns), strict=True)
    return (escape_controls("/".join(cell.strip() for cell in row)) for row in cells)


def _deduced_columns(table: LabelTable, target: str, lookup: _Lookup) -> tuple[str, ...]:
    others = [name for name in table.columns if name != target]
    for name in sorted(others, key=str.lower):
        if name.lower() in _ID_COLUMNS and any(lookup.find(key) is not None for key in table.column(name)):
            return (name,)
    candidates = [name for name in others if all(map(lookup.may_name, _keys(table, (name,))))]
    for length, most in _MOST_COLUMNS.items():
        if len(candidates) <= most:
            for columns in itertools.permutations(candidates, length):
                if _names_each_row(_keys(table, columns), lookup):
                    return columns
    return ()


def _names_each_row(keys: Iterator[str], lookup: _Lookup) -> bool:
    seen: set[int] = set()
    for key in keys:
        match = lookup.find(key)
        if match is None or match == _AMBIGUOUS or match in seen:
            return False
        seen.add(match)
    return bool(seen)
