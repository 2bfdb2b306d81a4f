"""Values and tables as JSON and back, to the last bit of every float; symmetric matrices as their triangle."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from qperov.errors import RecordError

#: How a cell begins that spreadsheets would compute.
_FORMULA = ("=", "+", "-", "@")


def clean(value: Any) -> Any:
    """Text, or a list with text in it, with what is no valid Unicode written as backslash escapes."""
    if isinstance(value, list):
        return [clean(item) for item in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def plain_cells(table: pd.DataFrame) -> pd.DataFrame:
    """A table for CSV whose texts no spreadsheet takes for formulas: an apostrophe before ``= + - @``, also in names of
    rows and columns."""

    def plain(cell: Any) -> Any:
        return f"'{cell}" if isinstance(cell, str) and cell.lstrip().startswith(_FORMULA) else cell

    shown = table.copy()
    for j, kind in enumerate(table.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            shown.isetitem(j, [plain(cell) for cell in table.iloc[:, j]])
    return shown.set_axis(shown.index.map(plain)).set_axis(shown.columns.map(plain), axis=1)


def encode(value: Any, where: str) -> Any:
    """JSON form; non-finite floats, which JSON lacks, become ``{"$float": "nan"}``."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str | os.PathLike):
        return clean(os.fspath(value))
    if isinstance(value, float):
        return value if np.isfinite(value) else {"$float": str(value)}
    if isinstance(value, Mapping):
        return {clean(str(key)): encode(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item, where) for item in value]
    raise RecordError(f"{where} holds a {type(value).__name__}: records hold numbers, text, lists and dicts only")


def decode(value: Any) -> Any:
    """What :func:`encode` was given, tuples as lists."""
    if isinstance(value, dict):
        if value.keys() == {"$float"}:
            return float(value["$float"])
        return {key: decode(item) for key, item in value.items()}
    return [decode(item) for item in value] if isinstance(value, list) else value


def encode_frame(frame: pd.DataFrame, where: str) -> dict[str, Any]:
    """Columns with their types, and rows; NaN becomes null."""
    kinds, columns = {}, []
    for name in frame.columns:
        column = frame[name]
        numeric = pd.api.types.is_numeric_dtype(column) and isinstance(column.dtype, np.dtype)
        text = not numeric and pd.api.types.is_string_dtype(column)
        kinds[str(name)] = column.dtype.name if numeric else "text" if text else "object"
        values = column.tolist()
        if text or numeric:
            values = [None if pd.isna(value) else value for value in values]
        columns.append(encode(values, f"{where}.{name}"))
    return {"columns": kinds, "rows": [list(row) for row in zip(*columns, strict=True)]}


def decode_frame(stored: dict[str, Any]) -> pd.DataFrame:
    """The table that :func:`encode_frame` was given, without its index."""
    rows = [[decode(value) for value in row] for row in stored["rows"]]
    frame = {}
    for j, (name, kind) in enumerate(stored["columns"].items()):
        values = [row[j] for row in rows]
        if kind == "text":
            frame[name] = pd.Series(values, dtype=pd.Series(["text"]).dtype)
        elif kind.startswith("float"):
            frame[name] = pd.Series([np.nan if value is None else value for value in values], dtype=kind)
        else:
            frame[name] = pd.Series(values, dtype=kind)
    return pd.DataFrame(frame)


def upper_triangle(matrix: np.ndarray, where: str) -> np.ndarray:
    """The upper triangle with the diagonal, row by row, as float32, shape (m (m + 1) / 2,)."""
    M = np.asarray(matrix, dtype=np.float64)
    if M.ndim != 2 or M.shape[0] != M.shape[1]:
        raise RecordError(f"{where} needs the shape (m, m), not {M.shape}")
    if not np.isfinite(M).all() or not np.allclose(M, M.T, rtol=1e-5, atol=1e-8):
        raise RecordError(f"{where} is not symmetric, or holds NaN or infinity")
    return M[np.triu_indices(len(M))].astype(np.float32)


def symmetric(triangle: np.ndarray) -> np.ndarray:
    """The matrix, of float64, whose triangle :func:`upper_triangle` gave; ValueError if it is none."""
    m = (math.isqrt(8 * len(triangle) + 1) - 1) // 2
    if m * (m + 1) // 2 != len(triangle):
        raise ValueError(f"{len(triangle)} values are the triangle of no square matrix")
    matrix = np.empty((m, m))
    upper = np.triu_indices(m)
    matrix[upper] = triangle
    matrix.T[upper] = triangle
    return matrix
