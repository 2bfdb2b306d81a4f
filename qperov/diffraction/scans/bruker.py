"""Bruker's binary raw files and brml archives, read by geddes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qperov.diffraction.scans.scan import Scan
from qperov.errors import FileFormatError, MissingDependencyError, ReadingError

#: Ranges that one file may hold.
MOST_RANGES = 1000


def read_bruker(file: Path, content: bytes) -> list[Scan | ReadingError]:
    """All ranges of a raw or brml file; geddes tells no wavelength.

    Raises
    ------
    MissingDependencyError
        If geddes is not installed.
    """
    try:
        import geddes
    except ImportError as error:
        raise MissingDependencyError(
            f'{file}: {file.suffix} files need geddes: pip install "qperov[measured]", or export the scan as text'
        ) from error
    scans: list[Scan | ReadingError] = []
    while len(scans) < MOST_RANGES:
        try:
            pattern = geddes.read_bytes(content, file.name, index=len(scans))
        except (ValueError, OSError, IndexError) as error:
            if scans and "range" in str(error):
                break
            scans.append(FileFormatError(file, f"damaged or unknown binary file ({error}); export the scan as text"))
            break
        scans.append(Scan(np.array(pattern.x, dtype=float), np.array(pattern.y, dtype=float)))
    return scans
