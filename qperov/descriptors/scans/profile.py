"""MeasuredProfile: measured patterns in, one row of compressed intensities each out."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from qperov.descriptors.scans.intensity import IntensityScaling
from qperov.descriptors.scans.patterns import BackgroundSubtraction, CommonGrid


class MeasuredProfile(TransformerMixin, BaseEstimator):
    """Background off, common grid, square root or logarithm, norm: the steps of this room in one.

    Parameters
    ----------
    two_theta_range, step, fill
        As in `CommonGrid`; ``fill`` is an intensity before it is compressed.
    background : str or None
        As in `BackgroundSubtraction`; None leaves it.
    compression, norm
        As in `IntensityScaling`.
    """

    description = "measured profile"

    def __init__(
        self,
        *,
        two_theta_range: tuple[float, float] | None = None,
        step: float = 0.05,
        background: str | None = "arpls",
        compression: str = "sqrt",
        norm: str = "max",
        fill: float | None = None,
    ) -> None:
        self.two_theta_range = two_theta_range
        self.step = step
        self.background = background
        self.compression = compression
        self.norm = norm
        self.fill = fill

    def fit(self, X: Any, y: Any = None) -> Self:
        """Choose the angles: those that all patterns share, unless a range is given."""
        self.grid_ = CommonGrid(two_theta_range=self.two_theta_range, step=self.step, fill=self.fill).fit(X)
        self.scaling_ = IntensityScaling(self.compression, self.norm)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Numbers without unit, shape (n, m)."""
        flat = X if self.background is None else BackgroundSubtraction(self.background).fit_transform(X)
        return self.scaling_.fit_transform(self.grid_.transform(flat))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The angles, as text."""
        return self.grid_.get_feature_names_out()
