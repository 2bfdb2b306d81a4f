"""Columns of 2θ and intensity in text files: any separator, decimal point or comma, headings, comments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from qperov.diffraction.scans.scan import Scan, unit_of_heading
from qperov.errors import FileFormatError

#: Shorter runs of numbers are not a pattern.
FEWEST_POINTS = 10
#: So many rows before the longest run of numbers mean that a line in between is damaged.
MOST_STRAY_ROWS = 3
#: Bad lines that a remark shows.
SHOWN = 3

_POINT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?(\d+(,\d+)?|,\d+)([eE][+-]?\d+)?")
_WAYS_OF_WRITING = ((r"\s*;\s*", False), (r"\s+", False), (r"\s*,\s*", False), (r"\s*;\s*", True), (r"\s+", True))
_COMMENTS = ("#", "!", "%", "//", "/*", "*/")
_ANGLE_NAME = re.compile(r"2\s*-?_?\s*th|2\s*[θϑ]|tth|two_?-?theta|angle|^pos|^x$", re.IGNORECASE)
_INTENSITY_NAME = re.compile(r"int|count|cps|obs|psd|det|^y$|^i$", re.IGNORECASE)
_OTHER_AXIS = re.compile(r"^(q|d|s)\b|d-?spacing|\bq\b|1/nm|å\^?-1|energy|kev", re.IGNORECASE)
_RADIANS = re.compile(r"\brad", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class _Table:
    """The longest run of lines that are equally many numbers: lines ``start`` to before ``end``."""

    start: int
    end: int
    rows: list[list[float]]
    #: The line of each row.
    places: list[int]
    #: Rows of the same width that other lines keep apart from the run.
    elsewhere: int
    #: Separator, and whether decimals have a comma.
    written: tuple[str, bool] = (r"\s+", False)


def read_columns(file: Path, text: str, *, skip_bad_lines: bool = False) -> Scan:
    """The scan of a text file of columns.

    Raises
    ------
    FileFormatError
        If there is none, or a damaged line would lose rows of it and is not to be skipped.
    """
    lines = text.splitlines()
    table = max((_longest_run(lines, *written) for written in _WAYS_OF_WRITING), key=lambda run: len(run.rows))
    if len(table.rows) < FEWEST_POINTS:
        raise FileFormatError(
            file, f"no run of at least {FEWEST_POINTS} lines with 2θ and intensity; export the scan as two columns"
        )
    header = [line for line in lines[: table.start] if line.strip()]
    broken = _breaking_line(lines, table)
    remarks: tuple[str, ...] = ()
    if broken is not None and skip_bad_lines:
        table, bad, fused = _all_rows(lines, table)
        header = [line for line in lines[: table.start] if line.strip()]
        done = {"skipped": bad, "split, where 2θ and intensity touch": fused}
        remarks = tuple(_remark(lines, places, what) for what, places in done.items() if places)
    elif broken is not None:
        raise FileFormatError(
            file,
            f"line {broken + 1} breaks the columns of numbers: {lines[broken].strip()[:60]!r}; mend or remove it, or "
            "skip bad lines (skip_bad_lines)",
        )
    numbers = np.array(table.rows)
    angle, intensity, radians, unit = _chosen_columns(file, header, numbers.shape[1])
    angles = np.degrees(numbers[:, angle]) if radians else numbers[:, angle]
    places = [place + 1 for place in table.places]
    return Scan(angles, numbers[:, intensity], "\n".join(header), places, unit, remarks=remarks)


def _is_numeric(line: str) -> list[bool]:
    number = re.compile(f"{_POINT.pattern}|{_COMMA.pattern}")
    return [bool(number.fullmatch(field)) for field in re.split(r"[\s;,]+", line.replace('"', "").strip())]


def _breaking_line(lines: Sequence[str], table: _Table) -> int | None:
    """A line by which rows of the scan would be lost: damaged, with more numbers behind it or scan before it."""
    if any(_is_numeric(line)[0] for line in lines[table.end :]):
        return table.end
    before = _is_numeric(lines[table.start - 1]) if table.start else [False]
    if table.elsewhere >= MOST_STRAY_ROWS or (before[0] and not all(before)):
        return table.start - 1
    return None


def _row(line: str, separator: str, comma: bool) -> list[float]:
    """The numbers of a line, or nothing if it holds anything else, or one number alone."""
    number = _COMMA if comma else _POINT
    fields = re.split(separator, line.replace('"', "").strip().rstrip(",; \t"))
    numeric = len(fields) >= 2 and all(number.fullmatch(field) for field in fields)
    return [float(field.replace(",", ".")) for field in fields] if numeric else []


def _is_aside(line: str) -> bool:
    stripped = line.replace('"', "").strip()
    return not stripped or stripped.startswith(_COMMENTS)


def _all_rows(lines: Sequence[str], run: _Table) -> tuple[_Table, list[int], list[int]]:
    """All rows as wide as those of a run, wherever they stand; the other lines from the first of them to the last line
    that begins with a number; and those of them that fields of fixed width have fused, which become rows."""
    width = len(run.rows[0])
    rows = {place: row for place, line in enumerate(lines) if len(row := _row(line, *run.written)) == width}
    start = min(rows)
    last = max(place for place, line in enumerate(lines) if _is_numeric(line)[0])
    bad = [place for place in range(start, last + 1) if place not in rows and not _is_aside(lines[place])]
    if start and not all(found := _is_numeric(lines[start - 1])) and found[0]:
        bad = [start - 1, *bad]
    fused = _fused_rows(lines, rows, bad) if width == 2 else {}
    rows = dict(sorted((rows | fused).items()))
    table = _Table(min(rows), last + 1, list(rows.values()), list(rows), 0, run.written)
    return table, [place for place in bad if place not in fused], list(fused)


def _fused_rows(lines: Sequence[str], rows: dict[int, list[float]], bad: list[int]) -> dict[int, list[float]]:
    """Lines of one number that is an angle, with as many decimals as the angles of all rows, and a count without a
    blank between them: the angle must lie between those of the rows around it, as the lines lie between theirs."""
    decimals = max(len(lines[place].split()[0].partition(".")[2]) for place in rows)
    places, angles = np.array(list(rows)), np.array([row[0] for row in rows.values()])
    if not decimals or len(rows) < FEWEST_POINTS or not (np.diff(angles) > 0).all():
        return {}
    found = {}
    for place in bad:
        match = re.fullmatch(rf"(\d+\.\d{{{decimals}}})(\d+)", lines[place].strip())
        after = int(np.searchsorted(places, place))
        if match and after:
            before = min(after, len(places) - 1) - 1
            step = (angles[before + 1] - angles[before]) / (places[before + 1] - places[before])
            expected = angles[before] + step * (place - places[before])
            if abs(float(match[1]) - expected) < step / 2:
                found[place] = [float(match[1]), float(match[2])]
    return found


def _remark(lines: Sequence[str], places: list[int], what: str) -> str:
    shown = "; ".join(f"line {place + 1}: {lines[place].strip()[:30]!r}" for place in places[:SHOWN])
    return f"{len(places)} bad line{'s' * (len(places) > 1)} {what} ({shown}{' …' * (len(places) > SHOWN)})"


def _longest_run(lines: Sequence[str], separator: str, comma: bool) -> _Table:
    """The longest run of rows of one width, two or more; blank lines and comments do not end it."""
    written = (separator, comma)
    runs: list[_Table] = []
    start = 0
    rows: list[list[float]] = []
    places: list[int] = []
    for place, line in enumerate([*lines, "end"]):
        if rows and _is_aside(line):
            continue
        row = _row(line, separator, comma)
        if rows and len(row) != len(rows[0]):
            runs.append(_Table(start, place, rows, places, 0, written))
            rows, places = [], []
        if row:
            start = start if rows else place
            rows.append(row)
            places.append(place)
    if not runs:
        return _Table(0, 0, [], [], 0, written)
    longest = max(runs, key=lambda run: len(run.rows))
    width = len(longest.rows[0])
    elsewhere = sum(len(run.rows) for run in runs if run is not longest and len(run.rows[0]) == width)
    return replace(longest, elsewhere=elsewhere)


def _chosen_columns(file: Path, header: list[str], width: int) -> tuple[int, int, bool, str | None]:
    """Column of 2θ, column of intensity, whether angles are in radians, and the unit of intensity, by the headings."""
    last = header[-1].strip().lstrip("#!%;'\"/ ") if header else ""
    names = [name.strip().strip("\"'") for name in re.split(r"[,;\t]|\s{2,}", last.rstrip(",; \t"))]
    if len(names) != width:
        names = last.split()
    if len(names) != width or all(_POINT.fullmatch(name) for name in names):
        return 0, 1, False, None
    angle = next((i for i, name in enumerate(names) if _ANGLE_NAME.search(name)), None)
    if angle is None and _OTHER_AXIS.search(names[0]):
        raise FileFormatError(file, f"the first column is {names[0]!r}, not 2θ; export the scan over 2θ in degrees")
    angle = 0 if angle is None else angle
    others = [i for i in range(width) if i != angle]
    intensity = next((i for i in others if _INTENSITY_NAME.search(names[i])), others[0])
    return angle, intensity, bool(_RADIANS.search(names[angle])), unit_of_heading(names[intensity])
