"""What a file holds of one scan, before it is checked and becomes a `MeasuredPattern`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_RATE = re.compile(r"\bcps\b|(counts|cts)\s*(/\s*s|per\s+s)", re.IGNORECASE)
_COUNTS = re.compile(r"counts|\bcts\b|impulse", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Scan:
    """Angles (degrees 2θ) and intensities in the order of the file.

    Attributes
    ----------
    angles, intensities : ndarray of float, shape (n,)
    header : str
        What the file tells of the radiation.
    lines : sequence of int
        Line of the file, from 1, that each point stands on; empty where points have no lines of their own.
    unit : str or None
        ``"counts"`` or ``"counts/s"``, where the file tells it.
    geometry : str or None
        The axes that moved, in the file's own words.
    remarks : tuple of str
        What had to be mended.
    """

    angles: np.ndarray
    intensities: np.ndarray
    header: str = ""
    lines: Sequence[int] = ()
    unit: str | None = None
    geometry: str | None = None
    remarks: tuple[str, ...] = ()

    def place(self, point: int) -> str:
        """Where a point stands, for messages."""
        return f"line {self.lines[point]}" if len(self.lines) else f"point {point + 1}"


def unit_of_heading(text: str) -> str | None:
    """The unit of intensity that a heading tells."""
    if _RATE.search(text):
        return "counts/s"
    return "counts" if _COUNTS.search(text) else None
