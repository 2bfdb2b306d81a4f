"""Rigaku's ras (text) and rasx (zip) files, of one scan or several."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from pathlib import Path

import numpy as np

from qperov.diffraction.scans.scan import Scan, unit_of_heading
from qperov.diffraction.scans.xrdml import parse_xml
from qperov.errors import FileFormatError, ReadingError

#: Members of a rasx file may unpack to this; a profile of a million points takes a fifth of it.
MOST_MEMBER_BYTES = 100_000_000
_PROFILE = re.compile(r"Data(\d+)/Profile(\d+)\.txt")
#: What a header tells, by its key in ras files and its element in rasx files, in the words of the other formats.
_KEYS = {
    "HW_XG_WAVE_LENGTH_ALPHA1": "Alpha1", "WavelengthKalpha1": "Alpha1",
    "HW_XG_WAVE_LENGTH_ALPHA2": "Alpha2", "WavelengthKalpha2": "Alpha2",
}  # fmt: skip
_AXIS, _UNIT = ("MEAS_SCAN_AXIS_X", "AxisName"), ("MEAS_SCAN_UNIT_Y", "IntensityUnit")


def read_ras(file: Path, text: str) -> list[Scan | ReadingError]:
    """All scans of a ras file."""
    scans: list[Scan | ReadingError] = []
    keys: dict[str, str] = {}
    rows: list[tuple[int, str]] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        word = line.strip()
        if word == "*RAS_INT_START":
            rows = []
        elif word == "*RAS_INT_END" and rows is not None:
            scans.append(_scan(file, rows, keys))
            keys, rows = {}, None
        elif rows is not None and word:
            rows.append((number, word))
        elif pair := re.match(r'\*(\w+)\s+"?([^"]*)', word):
            keys[pair[1]] = pair[2]
    if rows is not None or not scans:
        raise FileFormatError(file, "cut short: no *RAS_INT_END; export the scan again")
    return scans


def read_rasx(file: Path, content: bytes) -> list[Scan | ReadingError]:
    """All scans of a rasx file, in the order of their numbers."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = filter(None, map(_PROFILE.fullmatch, archive.namelist()))
            profiles = sorted(found, key=lambda match: (int(match[1]), int(match[2])))
            if not profiles:
                raise FileFormatError(file, "no Data…/Profile….txt in it; export the scan as text (ras, xy)")
            return [_member(file, archive, match) for match in profiles]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise FileFormatError(file, f"damaged archive: {error}; copy or export the file again") from error


def _member(file: Path, archive: zipfile.ZipFile, match: re.Match[str]) -> Scan | ReadingError:
    # "Mesurement" is how Rigaku spells it
    conditions = f"Data{match[1]}/MesurementConditions{match[2]}.xml"
    keys: dict[str, str] = {}
    try:
        if conditions in archive.namelist():
            for element in parse_xml(file, _unpack(file, archive, conditions)).iter():
                if element.text and element.text.strip():
                    keys.setdefault(element.tag, element.text.strip())
        rows = list(enumerate(map(str.strip, _unpack(file, archive, match[0]).splitlines()), 1))
    except ReadingError as error:
        return error
    return _scan(file, [(number, row) for number, row in rows if row], keys)


def _unpack(file: Path, archive: zipfile.ZipFile, name: str) -> str:
    with archive.open(name) as stream:
        content = stream.read(MOST_MEMBER_BYTES + 1)
    if len(content) > MOST_MEMBER_BYTES:
        raise FileFormatError(file, f"{name} unpacks to over {MOST_MEMBER_BYTES // 10**6} MB, which no scan does")
    return content.decode("utf-8-sig", errors="replace")


def _scan(file: Path, rows: list[tuple[int, str]], keys: dict[str, str]) -> Scan | ReadingError:
    """A scan of rows "2θ intensity attenuation"; a key that a header lacks is not known."""

    def told(names: tuple[str, ...]) -> str:
        return next((keys[name] for name in names if name in keys), "")

    axis, unit = told(_AXIS), unit_of_heading(told(_UNIT))
    if axis and "theta" not in axis.replace("θ", "theta").lower():
        return FileFormatError(file, f"a scan of {axis}, not of 2θ")
    table = []
    for number, row in rows:
        try:
            table.append([float(field) for field in row.split()[:3]])
        except ValueError:
            return FileFormatError(file, f"line {number} holds {row[:40]!r} where numbers are expected")
        if len(table[-1]) != len(table[0]) or len(table[0]) < 2:
            return FileFormatError(file, f"line {number} holds {row[:40]!r}, which is not as wide as those before it")
        if len(table[-1]) == 3 and table[-1][2] != 1:
            return FileFormatError(
                file, f"line {number}: an attenuator was in the beam; export intensities that are corrected for it"
            )
    if not table:
        return FileFormatError(file, "a scan without points; export it again")
    header = "\n".join(f"{word} = {keys[key]}" for key, word in _KEYS.items() if key in keys)
    numbers = np.array(table)
    return Scan(numbers[:, 0], numbers[:, 1], header, [n for n, _ in rows], unit, axis or None)
