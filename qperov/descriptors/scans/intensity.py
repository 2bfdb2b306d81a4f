"""Intensities on a common grid, compressed and normalised."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

COMPRESSIONS = ("none", "sqrt", "log")
NORMS = ("none", "max", "sum", "length")


class IntensityScaling(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    r"""Compress intensities, then bring each row to one size.

    :math:`x \to \operatorname{sgn}(x)\sqrt{|x|}` ("sqrt") or :math:`\operatorname{sgn}(x)\ln(1+|x|/s)` ("log"), s the
    row's mean of :math:`|x|`; the square root gives Poisson counts a variance of 1/4 whatever they are. Then the row is
    divided by its largest value, the sum of absolute values or its Euclidean length; a row of zeros stays.

    Parameters
    ----------
    compression : {"sqrt", "log", "none"}
    norm : {"max", "sum", "length", "none"}

    References
    ----------
    F. J. Anscombe, Biometrika 35, 246 (1948).
    """

    def __init__(self, compression: str = "sqrt", norm: str = "max") -> None:
        self.compression = compression
        self.norm = norm

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the shape; nothing is learnt."""
        if self.compression not in COMPRESSIONS or self.norm not in NORMS:
            raise ValueError(
                f"compression must be one of {', '.join(COMPRESSIONS)} and norm one of {', '.join(NORMS)}, not "
                f"{self.compression!r} and {self.norm!r}"
            )
        validate_data(self, X)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Intensities, shape (n, m), to numbers without unit, shape (n, m)."""
        check_is_fitted(self)
        x = validate_data(self, X, reset=False, dtype=np.float64)
        if self.compression == "sqrt":
            x = np.sign(x) * np.sqrt(np.abs(x))
        elif self.compression == "log":
            x = np.sign(x) * np.log1p(np.abs(x) / _positive(np.abs(x).mean(axis=1)))
        if self.norm == "none":
            return x
        size = {"max": np.abs(x).max, "sum": np.abs(x).sum, "length": lambda axis: np.linalg.norm(x, axis=axis)}
        return x / _positive(size[self.norm](axis=1))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_features_in_")


def _positive(size: np.ndarray) -> np.ndarray:
    return np.where(size > 0, size, 1.0)[:, None]
