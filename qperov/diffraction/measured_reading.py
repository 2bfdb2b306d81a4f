"""Reading measured powder patterns from the text files that diffractometers and their programs write."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from qperov.diffraction.measured import MeasuredPattern, kalpha_doublet
from qperov.diffraction.radiation import wavelength_in_angstrom
from qperov.errors import EmptyFileError, FileFormatError, UnreadableFileError

#: Shorter runs of numbers are not a pattern.
FEWEST_POINTS = 10
#: Larger files are not text exports of one scan.
MOST_BYTES = 200_000_000
#: So many rows before the longest run of numbers mean that a line in between is damaged.
MOST_STRAY_ROWS = 3

_POINT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?(\d+(,\d+)?|,\d+)([eE][+-]?\d+)?")
_WAYS_OF_WRITING = ((r"\s*;\s*", False), (r"\s+", False), (r"\s*,\s*", False), (r"\s*;\s*", True), (r"\s+", True))
_UXD_DATA = re.compile(r"_(2THETA)?(COUNTS|CPS)$")
_COMMENTS = ("#", "!", "%", "//", "/*", "*/")
_WAVELENGTH = r"[\"']?\s*[=:,;]?\s*[\"']?\s*(\d+[.,]\d+)"
_KALPHA1 = re.compile(r"(?:(?<!/)K-?Alpha-?1(?:\s+wavelength)?|Alpha1|_WL1)" + _WAVELENGTH, re.IGNORECASE)
_KALPHA2 = re.compile(r"(?:K-?Alpha-?2(?:\s+wavelength)?|Alpha2|_WL2)" + _WAVELENGTH, re.IGNORECASE)
_RATIO = re.compile(r"\b_?(?:WL)?Ratio(?:\s+K-?Alpha-?2/K-?Alpha-?1)?" + _WAVELENGTH, re.IGNORECASE)
_SINGLE = re.compile(r"\b(?:wavelength|lambda)(?:\s*\([^)]*\))?" + _WAVELENGTH, re.IGNORECASE)
_ANODE = re.compile(r"\banode(?:\s+material)?[\"']?\s*[=:,;]\s*[\"']?\s*(Cu|Co|Cr|Fe|Mo|Ag)\b", re.IGNORECASE)
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
    #: Rows of the same width that other lines keep apart from the run.
    elsewhere: int


def read_measured_pattern(path: str | Path, *, wavelength: str | float | None = None) -> MeasuredPattern:
    """Read a measured powder pattern.

    Understood are columns of 2θ and intensity (xy, xye, csv, dat, txt: any separator, decimal point or comma, comments
    and headings above the numbers), PANalytical's csv and xrdml, and Bruker's uxd and text exports. Descending angles
    are turned round, equal ones become their mean.

    Parameters
    ----------
    path : str or Path
    wavelength : str or float, optional
        Radiation known to pymatgen, or Å; by default what the file says, if it says anything. Of a file that names Kα₁
        and Kα₂, (2λ₁ + λ₂)/3.

    Returns
    -------
    MeasuredPattern

    Raises
    ------
    UnreadableFileError
        If the file cannot be opened, or is far too large.
    EmptyFileError
        If there is nothing in it.
    FileFormatError
        If it holds no scan over 2θ, more than one, or values that are not finite or all zero.
    """
    file = Path(path)
    text = _text_of(file)
    is_xml = text.lstrip().startswith("<")
    angles, counts, header = _xrdml(file, text) if is_xml else _columns(file, text)
    doublet, found = _radiation(header)
    if wavelength is not None:
        found = wavelength_in_angstrom(wavelength)
        doublet = kalpha_doublet(wavelength) if isinstance(wavelength, str) and wavelength.endswith("Ka") else None
    angles, counts = _in_order(file, angles, counts)
    return MeasuredPattern(angles, counts, found, doublet, file.name)


def _text_of(file: Path) -> str:
    try:
        if file.stat().st_size > MOST_BYTES:
            raise UnreadableFileError(file, f"larger than {MOST_BYTES // 10**6} MB, which no text export of a scan is")
        content = file.read_bytes()
    except OSError as error:
        raise UnreadableFileError(file, error.strerror or str(error)) from error
    if not content.strip():
        raise EmptyFileError(file, "nothing in it; export the scan again")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    if b"\0" in content[:4096]:
        raise FileFormatError(file, "binary; export the scan as text (xy, csv, uxd) or xrdml")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


# --- columns ------------------------------------------------------------------------------------


def _columns(file: Path, text: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Angles, intensities and header of a text file."""
    lines = text.splitlines()
    markers = [i for i, line in enumerate(lines) if _UXD_DATA.match(line.strip().upper())]
    if markers:
        return _uxd(file, lines, markers)
    table = max(
        (_longest_run(lines, separator, comma) for separator, comma in _WAYS_OF_WRITING), key=lambda run: len(run.rows)
    )
    if len(table.rows) < FEWEST_POINTS:
        raise FileFormatError(
            file, f"no run of at least {FEWEST_POINTS} lines with 2θ and intensity; export the scan as two columns"
        )
    broken = _breaking_line(lines, table)
    if broken is not None:
        raise FileFormatError(
            file, f"line {broken + 1} breaks the columns of numbers: {lines[broken].strip()[:60]!r}; mend or remove it"
        )
    header = [line for line in lines[: table.start] if line.strip()]
    numbers = np.array(table.rows)
    angle, intensity, radians = _chosen_columns(file, header, numbers.shape[1])
    angles = numbers[:, angle]
    return np.degrees(angles) if radians else angles, numbers[:, intensity], "\n".join(header)


def _breaking_line(lines: Sequence[str], table: _Table) -> int | None:
    """A line by which rows of the scan would be lost: damaged, with more numbers behind it or scan before it."""
    number = re.compile(f"{_POINT.pattern}|{_COMMA.pattern}")

    def numeric(line: str) -> list[bool]:
        return [bool(number.fullmatch(field)) for field in re.split(r"[\s;,]+", line.replace('"', "").strip())]

    if any(numeric(line)[0] for line in lines[table.end :]):
        return table.end
    before = numeric(lines[table.start - 1]) if table.start else [False]
    if table.elsewhere >= MOST_STRAY_ROWS or (before[0] and not all(before)):
        return table.start - 1
    return None


def _longest_run(lines: Sequence[str], separator: str, comma: bool) -> _Table:
    """The longest run of rows of one width, two or more; blank lines and comments do not end it."""
    number = _COMMA if comma else _POINT
    runs: list[_Table] = []
    start = 0
    rows: list[list[float]] = []
    for place, line in enumerate([*lines, "end"]):
        stripped = line.replace('"', "").strip()
        if rows and (not stripped or stripped.startswith(_COMMENTS)):
            continue
        fields = re.split(separator, stripped.rstrip(",; \t"))
        numeric = len(fields) >= 2 and all(number.fullmatch(field) for field in fields)
        row = [float(field.replace(",", ".")) for field in fields] if numeric else []
        if rows and len(row) != len(rows[0]):
            runs.append(_Table(start, place, rows, 0))
            rows = []
        if row:
            start = start if rows else place
            rows.append(row)
    if not runs:
        return _Table(0, 0, [], 0)
    longest = max(runs, key=lambda run: len(run.rows))
    width = len(longest.rows[0])
    elsewhere = sum(len(run.rows) for run in runs if run is not longest and len(run.rows[0]) == width)
    return replace(longest, elsewhere=elsewhere)


def _chosen_columns(file: Path, header: list[str], width: int) -> tuple[int, int, bool]:
    """Column of 2θ, column of intensity, and whether angles are in radians, by the headings when there are any."""
    last = header[-1].strip().lstrip("#!%;'\"/ ") if header else ""
    names = [name.strip().strip("\"'") for name in re.split(r"[,;\t]|\s{2,}", last.rstrip(",; \t"))]
    if len(names) != width:
        names = last.split()
    if len(names) != width or all(_POINT.fullmatch(name) for name in names):
        return 0, 1, False
    angle = next((i for i, name in enumerate(names) if _ANGLE_NAME.search(name)), None)
    if angle is None and _OTHER_AXIS.search(names[0]):
        raise FileFormatError(file, f"the first column is {names[0]!r}, not 2θ; export the scan over 2θ in degrees")
    angle = 0 if angle is None else angle
    others = [i for i in range(width) if i != angle]
    intensity = next((i for i in others if _INTENSITY_NAME.search(names[i])), others[0])
    return angle, intensity, bool(_RADIANS.search(names[angle]))


def _uxd(file: Path, lines: list[str], markers: list[int]) -> tuple[np.ndarray, np.ndarray, str]:
    """A Bruker uxd file: settings ``_KEY = value``, then pairs, or intensities alone."""
    if len(markers) > 1:
        raise FileFormatError(file, f"{len(markers)} scans in one file; export the one that is meant")
    header, marker = lines[: markers[0]], lines[markers[0]].strip().upper()
    pairs = (re.match(r"\s*_(\w+)\s*=\s*(.*)", line) for line in header)
    settings = {pair[1].upper(): pair[2].strip().strip("'\"") for pair in pairs if pair}
    drive = settings.get("DRIVE", "COUPLED").upper()
    if drive not in ("COUPLED", "2THETA", "TWOTHETA"):
        raise FileFormatError(file, f"a scan of {drive}, not of 2θ")
    body = takewhile(lambda line: not line.strip().startswith("_"), lines[markers[0] + 1 :])
    rows = [re.split(r"[\s,;]+", line.strip().rstrip(",;")) for line in body if line.strip() and line.strip()[0] != ";"]
    try:
        if marker.startswith("_2THETA"):
            table = np.array([[float(field) for field in row[:2]] for row in rows]).reshape(-1, 2)
            angles, counts = table.T
        else:
            counts = np.array([float(field) for row in rows for field in row])
            start = float(settings.get("START", settings.get("2THETA", "nan")))
            angles = start + float(settings["STEPSIZE"]) * np.arange(len(counts))
    except (ValueError, KeyError) as error:
        raise FileFormatError(file, f"damaged: {error} where start, step or counts are expected") from error
    return angles, counts, "\n".join(header)


# --- xrdml --------------------------------------------------------------------------------------


def _xrdml(file: Path, text: str) -> tuple[np.ndarray, np.ndarray, str]:
    """A PANalytical xrdml file of one scan; the wavelengths are told in the words of its csv export."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FileFormatError(file, "an xml file with a document type, which no xrdml file has")
    try:
        root = ElementTree.fromstring(text.encode())
    except ElementTree.ParseError as error:
        raise FileFormatError(file, f"damaged xml: {error}") from error
    for element in root.iter():
        element.tag = element.tag.rsplit("}", 1)[-1]
    scans = list(root.iter("scan"))
    if len(scans) != 1:
        raise FileFormatError(file, f"{len(scans)} scans in one file, where one is expected")
    axis = next((a for a in scans[0].iter("positions") if a.get("axis") == "2Theta"), None)
    values = [found for tag in ("intensities", "counts") for found in scans[0].iter(tag)]
    if axis is None or not values:
        raise FileFormatError(file, "no scan over 2θ with intensities in it")
    try:
        counts = np.array((values[0].text or "").split(), dtype=float)
        listed = axis.findtext("listPositions")
        if listed is not None:
            angles = np.array(listed.split(), dtype=float)
        else:
            first, last = (float(axis.findtext(tag, "nan")) for tag in ("startPosition", "endPosition"))
            angles = np.linspace(first, last, len(counts))
    except ValueError as error:
        raise FileFormatError(file, f"damaged: {error}") from error
    words = {"kAlpha1": "Alpha1", "kAlpha2": "Alpha2", "ratioKAlpha2KAlpha1": "Ratio"}
    told = [f"{word} = {value}" for tag, word in words.items() if (value := root.findtext(f".//{tag}"))]
    return angles, counts, "\n".join(told)


# --- both ---------------------------------------------------------------------------------------


def _radiation(header: str) -> tuple[tuple[float, float] | None, float | None]:
    """(Kα₁, Kα₂) and the wavelength that a header tells, in Å."""

    def number(pattern: re.Pattern[str]) -> float | None:
        found = pattern.search(header)
        return float(found[1].replace(",", ".")) if found else None

    first, second, single = (
        value if value and 0.1 < value < 5 else None for value in map(number, (_KALPHA1, _KALPHA2, _SINGLE))
    )
    # a monochromator that lets Kα₁ alone through leaves both wavelengths in the header, and a ratio of zero
    if first and second and first < second and number(_RATIO) != 0:
        return (first, second), (2 * first + second) / 3
    if first or single:
        return None, first or single
    anode = _ANODE.search(header)
    return None, wavelength_in_angstrom(f"{anode[1].capitalize()}Ka") if anode else None


def _in_order(file: Path, angles: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ascending angles, equal ones merged into their mean."""
    if len(angles) < FEWEST_POINTS or len(angles) != len(counts):
        raise FileFormatError(
            file, f"{len(angles)} angles and {len(counts)} intensities; at least {FEWEST_POINTS} pairs"
        )
    if not (np.isfinite(angles).all() and np.isfinite(counts).all()):
        raise FileFormatError(file, "a value is not a finite number; export the scan again")
    steps = np.diff(angles)
    if (steps > 0).any() and (steps < 0).any():
        raise FileFormatError(file, "angles go up and down: several scans in one file, or no column of 2θ")
    if angles.min() < -180 or angles.max() > 180:
        raise FileFormatError(file, f"angles from {angles.min():g} to {angles.max():g} are not 2θ in degrees")
    merged, place = np.unique(angles, return_inverse=True)
    if len(merged) < max(FEWEST_POINTS, len(angles) / 2):
        raise FileFormatError(
            file, f"only {len(merged)} different angles in {len(angles)} lines; are decimals and columns both commas?"
        )
    intensity = np.bincount(place, weights=counts) / np.bincount(place)
    if not (intensity > 0).any():
        raise FileFormatError(file, "no intensity is above zero")
    return merged, intensity
