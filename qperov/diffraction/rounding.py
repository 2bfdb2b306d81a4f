"""Keeping rounding noise out of features."""

from __future__ import annotations

import numpy as np

#: Features are rounded to this share of the largest one.
FEATURE_RESOLUTION = 1e-11


def rounded(values: np.ndarray, resolution: float = FEATURE_RESOLUTION, *, scale: float | None = None) -> np.ndarray:
    """``values`` rounded to the power of ten at or below ``resolution × scale``, same shape.

    ``scale`` is the largest magnitude by default. There is no negative zero in the result.
    """
    largest = np.abs(values).max(initial=0.0) if scale is None else scale
    if largest == 0:
        return values
    # 10 to the power of more than 308 is no float
    decimals = min(300, -int(np.floor(np.log10(largest) + np.log10(resolution))))
    return np.round(values, decimals) + 0.0
