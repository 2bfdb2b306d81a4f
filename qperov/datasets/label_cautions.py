"""Labels that look wrong: outside what the quantity can be, or far from all others."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

#: What a quantity can be, by its unit or the name of its column; the first that fits is taken.
_RANGES = (
    (re.compile(r"eV/atom"), (-100.0, 100.0), "eV/atom"),
    (re.compile(r"meV/atom"), (-1e5, 1e5), "meV/atom"),
    (re.compile(r"gap", re.IGNORECASE), (0.0, 30.0), "eV"),
    (re.compile(r"percent|fraction", re.IGNORECASE), (0.0, 100.0), "%"),
    (re.compile(r"angstrom", re.IGNORECASE), (0.5, 100.0), "Å"),
    (re.compile(r"volume|density|modulus|_nm$|temperature", re.IGNORECASE), (0.0, np.inf), ""),
)

#: Robust standard deviations (1.4826 times the median absolute deviation) beyond which a label is an outlier.
OUTLIER = 10.0
_SHOWN = 3


def label_cautions(y: np.ndarray, ids: Sequence[str], target: str, unit: str | None) -> tuple[str, ...]:
    r"""Sentences about labels that are implausible, for the cautions of a dataset; nothing is left out for them.

    Named are values outside the range of the quantity, as its unit or its name tells it, and outliers,
    :math:`|y_i - \mathrm{median}(y)| > 10 \cdot 1.4826 \cdot \mathrm{median}_j |y_j - \mathrm{median}(y)|`.

    Parameters
    ----------
    y : ndarray of float, shape (n,)
        Finite, in ``unit``.
    ids : sequence of str, length n
    target : str
        Name of the quantity.
    unit : str or None
    """
    cautions = []
    for pattern, (low, high), symbol in _RANGES:
        if pattern.fullmatch(unit or "") or (unit is None and pattern.search(target)):
            outside = np.flatnonzero((y < low) | (y > high))
            if len(outside):
                limits = f"{low:g} to {high:g} {symbol}".strip() if np.isfinite(high) else f"values above {low:g}"
                listed = _listed(outside, y, ids)
                cautions.append(
                    f"{target}: {listed} outside {limits}; check the units, and whether columns are swapped"
                )
            break
    middle = np.median(y) if len(y) else 0.0
    deviation = 1.4826 * np.median(np.abs(y - middle)) if len(y) else 0.0
    far = np.flatnonzero(np.abs(y - middle) > OUTLIER * deviation) if deviation > 0 else np.array([], int)
    if len(far):
        order = far[np.argsort(-np.abs(y[far] - middle))]
        listed = _listed(order, y, ids)
        cautions.append(
            f"{target}: {listed} more than {OUTLIER:g} robust standard deviations from the median {middle:.6g}"
        )
    return tuple(cautions)


def _listed(rows: np.ndarray, y: np.ndarray, ids: Sequence[str]) -> str:
    shown = ", ".join(f"{ids[row]}: {y[row]:.6g}" for row in rows[:_SHOWN])
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return f"{len(rows)} of {len(y)} labels ({shown}{more}) {'lies' if len(rows) == 1 else 'lie'}"
