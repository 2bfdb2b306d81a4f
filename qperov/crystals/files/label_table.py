"""Tables of labels as people keep them: CSV in any dress, also compressed, and Parquet; every cell as text."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from qperov.crystals.files.archives import BROKEN_MEMBER, open_members
from qperov.crystals.files.sources import MAX_ENTRIES, join, unpack
from qperov.errors import EmptyFileError, FileFormatError, LabelError, ReadingError, UnreadableFileError

#: What a table may unpack to, and its cells: with them reading stays under the 4 GiB that crystal files keep to.
MAX_TABLE_BYTES = 2**27
MAX_CELLS = 20_000_000

# UTF-32 first: its little-endian mark begins like that of UTF-16
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"), (codecs.BOM_UTF8, "utf-8-sig"),
)  # fmt: skip


@dataclass(frozen=True)
class LabelTable:
    """The rows of a table that have one cell for each column.

    Attributes
    ----------
    columns : tuple of str
        Distinct; a column without a name is called by its number.
    rows : list of sequences of str
    numbers : sequence of int
        What a row is called: the line of a CSV where it ends, with the header as line 1.
    issues : tuple of ReadingError
        Rows that could not be used.
    """

    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int]
    issues: tuple[ReadingError, ...] = ()

    def column(self, name: str) -> list[str]:
        """The cells of a column."""
        at = self.columns.index(name)
        return [row[at] for row in self.rows]


def read_table(path: Path) -> LabelTable:
    """Read a CSV (commas, semicolons or tabs; UTF-8 or UTF-16; also as .gz, .bz2, .xz, or alone in a zip or tar) or a
    Parquet file.

    Raises
    ------
    UnreadableFileError, EmptyFileError, FileFormatError
        If it cannot be read, or is larger than 128 MiB or 20 million cells.
    LabelError
        If two columns have one name, or no row has a cell for each column.
    """
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return _parquet(path)
        content = _content(path)
        if len(content) > MAX_TABLE_BYTES:
            raise FileFormatError(
                path, f"holds more than {MAX_TABLE_BYTES >> 20} MiB; keep the columns that are needed"
            )
        if not content.strip():
            raise EmptyFileError(path, "the table of labels is empty")
        return _csv(path, _text(path, content))
    except FileNotFoundError as error:
        raise UnreadableFileError(path, "the table of labels does not exist") from error
    except (*BROKEN_MEMBER, csv.Error) as error:  # also of pyarrow's parser
        if isinstance(error, OSError) and error.errno:
            raise UnreadableFileError(path, f"the table of labels cannot be read: {error.strerror}") from error
        raise FileFormatError(path, f"not a table that can be read: {error or type(error).__name__}") from error


def _content(path: Path) -> bytes:
    name = path.name.lower()
    ending = name.rsplit(".", 1)[-1]
    if ending in ("zip", "tar", "tgz") or ".tar." in name:
        members = [
            join(unpack(stream(), ""), MAX_TABLE_BYTES) for _, refusal, stream in open_members(path) if not refusal
        ]
        if len(members) != 1:
            raise FileFormatError(path, f"{len(members)} files in it, but a table of labels is one: extract it")
        return members[0]
    if ending == "zst":
        raise FileFormatError(path, "not a table that can be read: decompress it first (unzstd), or use gz, bz2 or xz")
    with path.open("rb") as stream:
        return join(unpack(stream, ending if ending in ("gz", "bz2", "xz") else ""), MAX_TABLE_BYTES)


def _text(path: Path, content: bytes) -> str:
    encoding = next((encoding for mark, encoding in _MARKS if content.startswith(mark)), "utf-8")
    text = content.decode(encoding, "surrogateescape" if encoding.startswith("utf-8") else "strict")
    if "\0" in text:
        raise FileFormatError(path, "not a table that can be read: binary, or text that must be saved as UTF-8")
    return text


def _csv(path: Path, text: str) -> LabelTable:
    head = text.lstrip().split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    if delimiter not in head:
        reason = (
            f"not a table that can be read: line 1 reads {head[:60]!r}; separate columns by commas, semicolons or tabs"
        )
        raise FileFormatError(path, reason)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    columns: tuple[str, ...] = ()
    rows: list[list[str]] = []
    numbers: list[int] = []
    issues: list[ReadingError] = []
    cells = 0
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        if not columns:
            columns = _distinct(path, row)
            continue
        cells += len(row)
        if cells > MAX_CELLS or len(rows) + len(issues) > MAX_ENTRIES:
            limit = f"more than {MAX_ENTRIES} rows or {MAX_CELLS} cells; keep what is needed"
            raise FileFormatError(path, limit)
        if len(row) == len(columns):
            rows.append(row)
            numbers.append(reader.line_num)
        else:
            reason = f"{len(row)} cells, but the header names {len(columns)} columns; the row was not used"
            issues.append(LabelError(f"{path.name} row {reader.line_num}", reason))
    if issues and not rows:
        raise LabelError(
            path, f"no row has as many cells as the header names columns ({len(columns)}): mend the header"
        )
    return LabelTable(columns, rows, numbers, tuple(issues))


def _distinct(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    columns = tuple(name.strip() or f"column {i + 1}" for i, name in enumerate(names))
    twice = next((name for i, name in enumerate(columns) if name in columns[:i]), None)
    if twice is not None:
        raise LabelError(path, f"two columns are called {twice!r}; give each a name of its own")
    return columns


def _parquet(path: Path) -> LabelTable:
    with pq.ParquetFile(path) as file:
        about = file.metadata
        if about.num_rows > MAX_ENTRIES or about.num_rows * about.num_columns > MAX_CELLS:
            raise FileFormatError(path, f"more than {MAX_ENTRIES} rows or {MAX_CELLS} cells; keep what is needed")
        table = file.read()
    columns = [[_cell_text(cell) for cell in column.to_pylist()] for column in table.columns]
    names = _distinct(path, table.column_names)
    return LabelTable(names, list(zip(*columns, strict=True)), range(2, len(table) + 2))


def _cell_text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return "" if np.isnan(cell) else str(int(cell)) if cell.is_integer() else repr(float(cell))
    return str(cell)
