"""Bruker's uxd files: for each scan settings ``_KEY = value``, then pairs, or intensities alone."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

import numpy as np

from qperov.diffraction.scans.scan import Scan
from qperov.errors import FileFormatError, ReadingError

_DATA = re.compile(r"_(2THETA)?(COUNTS|CPS)$")


def is_uxd(text: str) -> bool:
    """Whether a text has the line that begins the data of a uxd file."""
    return any(_DATA.match(line.strip().upper()) for line in text.splitlines())


def read_uxd(file: Path, text: str) -> list[Scan | ReadingError]:
    """All scans of a uxd file; what is told of the radiation before the first holds for all."""
    lines = text.splitlines()
    markers = [i for i, line in enumerate(lines) if _DATA.match(line.strip().upper())]
    scans: list[Scan | ReadingError] = []
    for before, marker in zip([0, *markers], markers, strict=False):
        try:
            scans.append(_scan(file, lines, lines[: markers[0]], lines[before:marker], marker))
        except ReadingError as error:
            scans.append(error)
    return scans


def _scan(file: Path, lines: list[str], head: list[str], header: list[str], at: int) -> Scan:
    marker = lines[at].strip().upper()
    pairs = (re.match(r"\s*_(\w+)\s*=\s*(.*)", line) for line in [*head, *header])
    settings = {pair[1].upper(): pair[2].strip().strip("'\"") for pair in pairs if pair}
    drive = settings.get("DRIVE", "COUPLED").upper()
    if drive not in ("COUPLED", "2THETA", "TWOTHETA"):
        raise FileFormatError(file, f"a scan of {drive}, not of 2θ")
    body = [
        (number, re.split(r"[\s,;]+", line.strip().rstrip(",;")))
        for number, line in enumerate(takewhile(lambda line: not line.strip().startswith("_"), lines[at + 1 :]), at + 2)
        if line.strip() and line.strip()[0] != ";"
    ]
    numbers: list[int] = []
    try:
        if marker.startswith("_2THETA"):
            table = np.array([[float(field) for field in row[:2]] for _, row in body]).reshape(-1, 2)
            angles, counts = table.T
            numbers = [number for number, _ in body]
        else:
            counts = np.array([float(field) for _, row in body for field in row])
            numbers = [number for number, row in body for _ in row]
            start = float(settings.get("START", settings.get("2THETA", "nan")))
            angles = start + float(settings["STEPSIZE"]) * np.arange(len(counts))
    except (ValueError, KeyError) as error:
        raise FileFormatError(file, f"damaged: {error} where start, step or counts are expected") from error
    unit = "counts/s" if marker.endswith("CPS") else "counts"
    return Scan(angles, counts, "\n".join([*head, *header]), numbers, unit, drive.lower())
