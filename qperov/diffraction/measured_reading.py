"""Reading measured powder patterns from the files that diffractometers and their programs write."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from qperov.diffraction.measured import MeasuredPattern, kalpha_doublet
from qperov.diffraction.radiation import wavelength_in_angstrom
from qperov.diffraction.scans.bruker import read_bruker
from qperov.diffraction.scans.columns import FEWEST_POINTS, read_columns
from qperov.diffraction.scans.rigaku import read_ras, read_rasx
from qperov.diffraction.scans.scan import Scan
from qperov.diffraction.scans.uxd import is_uxd, read_uxd
from qperov.diffraction.scans.xrdml import read_xrdml
from qperov.errors import (
    AngleOrderError,
    DescriptorError,
    EmptyFileError,
    FileFormatError,
    IntensityError,
    MissingDependencyError,
    ReadingError,
    UnreadableFileError,
    WavelengthError,
)

#: Larger files are not exports of one sample.
MOST_BYTES = 200_000_000
#: So many points in a row at the highest count of a scan, ten times the median or more, mean a saturated detector.
SATURATED_POINTS, SATURATED_RATIO = 4, 10.0
#: What a scan may say of its wavelength where nobody knows it.
UNKNOWN = "unknown"

_WAVELENGTH = r"[\"']?\s*[=:,;]?\s*[\"']?\s*(\d+[.,]\d+)"
_KALPHA1 = re.compile(r"(?:(?<!/)K-?Alpha-?1(?:\s+wavelength)?|Alpha1|_WL1)" + _WAVELENGTH, re.IGNORECASE)
_KALPHA2 = re.compile(r"(?:K-?Alpha-?2(?:\s+wavelength)?|Alpha2|_WL2)" + _WAVELENGTH, re.IGNORECASE)
_RATIO = re.compile(r"\b_?(?:WL)?Ratio(?:\s+K-?Alpha-?2/K-?Alpha-?1)?" + _WAVELENGTH, re.IGNORECASE)
_SINGLE = re.compile(r"\b(?:wavelength|lambda)(?:\s*\([^)]*\))?" + _WAVELENGTH, re.IGNORECASE)
_ANODE = re.compile(r"\banode(?:\s+material)?[\"']?\s*[=:,;]\s*[\"']?\s*(Cu|Co|Cr|Fe|Mo|Ag)\b", re.IGNORECASE)


def read_measured_pattern(
    path: str | Path, *, wavelength: str | float | None = None, skip_bad_lines: bool = False
) -> MeasuredPattern:
    """Read a measured powder pattern.

    Understood are columns of 2θ and intensity (xy, xye, csv, dat, txt: any separator, decimal point or comma, comments
    and headings above the numbers), PANalytical's csv and xrdml, Rigaku's ras and rasx, Bruker's uxd and text exports,
    and with geddes installed Bruker's raw and brml. Descending angles are turned round, equal ones become their mean.

    Parameters
    ----------
    path : str or Path
    wavelength : str or float, optional
        Radiation known to pymatgen, or Å; by default what the file says, if it says anything. Of a file that names Kα₁
        and Kα₂, (2λ₁ + λ₂)/3.
    skip_bad_lines : bool
        Leave out lines of a text file that break its columns; ``remarks`` of the pattern counts them.

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
    MissingDependencyError
        If geddes is needed and not installed.
    """
    file = Path(path)
    scans = _scans(file, skip_bad_lines)
    if len(scans) != 1:
        raise FileFormatError(file, f"{len(scans)} scans in one file, where one is expected; qperov.read takes all")
    if isinstance(scans[0], ReadingError):
        raise scans[0]
    return _pattern(file, scans[0], wavelength, file.name)


def read_scans(
    path: str | Path, *, wavelength: str | float | None = None, skip_bad_lines: bool = False
) -> list[MeasuredPattern | ReadingError]:
    """All scans of a file, as they were counted; for what is no such scan, the error that says why.

    Beside what `read_measured_pattern` refuses, these are errors: a wavelength that neither file nor caller tells
    (``WavelengthError``), negative intensities, and a saturated detector (``IntensityError``): four points in a row at
    the highest intensity, ten times the median or more.

    Parameters
    ----------
    path : str or Path
    wavelength : str or float, optional
        As in `read_measured_pattern`; ``"unknown"`` where it cannot be told.
    skip_bad_lines : bool
    """
    file = Path(path)
    try:
        scans = _scans(file, skip_bad_lines)
    except ReadingError as error:
        return [error]
    except MissingDependencyError as error:
        return [UnreadableFileError(file, str(error))]
    return [_checked(file, scan, wavelength, _name(file, i, len(scans))) for i, scan in enumerate(scans)]


def _name(file: Path, number: int, count: int) -> str:
    return file.name if count == 1 else f"{file.name}#{number}"


def _checked(
    file: Path, scan: Scan | ReadingError, wavelength: str | float | None, name: str
) -> MeasuredPattern | ReadingError:
    if isinstance(scan, ReadingError):
        return scan
    try:
        pattern = _pattern(file, scan, None if wavelength == UNKNOWN else wavelength, name)
    except ReadingError as error:
        return error
    except DescriptorError as error:
        return FileFormatError(file, str(error))
    where = file.with_name(name)
    if pattern.wavelength is None and wavelength != UNKNOWN:
        return WavelengthError(
            where, 'the file tells no wavelength; give it, such as wavelength="CuKa" or 1.5418 (Å), or "unknown"'
        )
    negative = np.flatnonzero(scan.intensities < 0)
    if len(negative):
        first = int(negative[0])
        return IntensityError(
            where,
            f"{scan.place(first)}: intensity {scan.intensities[first]:g}, and {len(negative)} negative in all, which "
            "no counter gives; export the scan as it was measured, without subtracting anything",
        )
    top = scan.intensities == scan.intensities.max()
    runs = np.convolve(top, np.ones(SATURATED_POINTS), "valid") == SATURATED_POINTS
    if runs.any() and scan.intensities.max() > SATURATED_RATIO * np.median(scan.intensities):
        return IntensityError(
            where,
            f"{scan.place(int(runs.argmax()))}: the peak is flat at {scan.intensities.max():g}, so the detector was "
            "saturated; measure again with less intensity",
        )
    return pattern


def _pattern(file: Path, scan: Scan, wavelength: str | float | None, name: str) -> MeasuredPattern:
    doublet, found = _radiation(scan.header)
    if wavelength is not None:
        found = wavelength_in_angstrom(wavelength)
        doublet = kalpha_doublet(wavelength) if isinstance(wavelength, str) and wavelength.endswith("Ka") else None
    angles, counts, remarks = _in_order(file, scan)
    return MeasuredPattern(
        angles,
        counts,
        found,
        doublet,
        name,
        geometry=scan.geometry,
        unit=scan.unit,
        remarks=(*scan.remarks, *remarks),
    )


def _scans(file: Path, skip_bad_lines: bool) -> list[Scan | ReadingError]:
    content = _content(file)
    if file.suffix.lower() == ".rasx":
        return read_rasx(file, content)
    if file.suffix.lower() == ".brml" or content.startswith((b"RAW", b"FI\0\0")):
        return read_bruker(file, content)
    text = _text(file, content)
    if text.lstrip().startswith("<"):
        return read_xrdml(file, text)
    if text.lstrip().startswith("*RAS_"):
        return read_ras(file, text)
    return read_uxd(file, text) if is_uxd(text) else [read_columns(file, text, skip_bad_lines=skip_bad_lines)]


def _content(file: Path) -> bytes:
    try:
        if file.stat().st_size > MOST_BYTES:
            raise UnreadableFileError(file, f"larger than {MOST_BYTES // 10**6} MB, which no export of a scan is")
        content = file.read_bytes()
    except OSError as error:
        raise UnreadableFileError(file, error.strerror or str(error)) from error
    if not content.strip():
        raise EmptyFileError(file, "nothing in it; export the scan again")
    return content


def _text(file: Path, content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    if b"\0" in content[:4096]:
        raise FileFormatError(file, "binary; export the scan as text (xy, csv, uxd) or xrdml")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


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


def _in_order(file: Path, scan: Scan) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Ascending angles, equal ones merged into their mean, and what is to be said of it."""
    angles, counts = scan.angles, scan.intensities
    if len(angles) < FEWEST_POINTS or len(angles) != len(counts):
        raise FileFormatError(
            file, f"{len(angles)} angles and {len(counts)} intensities; at least {FEWEST_POINTS} pairs"
        )
    finite = np.isfinite(angles) & np.isfinite(counts)
    if not finite.all():
        where = scan.place(int((~finite).argmax()))
        raise FileFormatError(file, f"{where}: a value is not a finite number; export the scan again")
    steps = np.diff(angles)
    if (steps > 0).any() and (steps < 0).any():
        turn = int(np.flatnonzero(np.sign(steps) == -np.sign(steps[steps != 0][0]))[0]) + 1
        raise AngleOrderError(
            file,
            f"{scan.place(turn)}: the angle goes from {angles[turn - 1]:g} to {angles[turn]:g}; angles go up and down: "
            "several scans in one file, or no column of 2θ",
        )
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
    repeated = len(angles) - len(merged)
    if not repeated:
        return merged, intensity, []
    first = scan.place(int(np.flatnonzero(steps == 0)[0]) + 1)
    return merged, intensity, [f"{repeated} repeated angles became their mean (the first at {first})"]
