"""Transformers from measured patterns: background, Kα₂, a common grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError

from qperov.diffraction.measured import (
    KALPHA2_RATIO,
    MeasuredPattern,
    bragg_angles,
    strip_kalpha2,
    subtract_background,
)
from qperov.errors import DescriptorError, PatternRangeError


def check_patterns(patterns: Any) -> list[MeasuredPattern]:
    """The patterns as a list.

    Raises
    ------
    DescriptorError
        If there are none, or something else is among them.
    """
    if isinstance(patterns, MeasuredPattern) or not isinstance(patterns, Sequence | np.ndarray):
        raise DescriptorError("needs a list of measured patterns; give a dataset's .patterns")
    found = list(patterns)
    wrong = [i for i, each in enumerate(found) if not isinstance(each, MeasuredPattern)]
    if wrong or not found:
        what = f"{type(found[wrong[0]]).__name__} at place {wrong[0]}" if wrong else "none"
        raise DescriptorError(f"needs measured patterns, and has {what}")
    return found


class _PatternByPattern(TransformerMixin, BaseEstimator):
    """Patterns in, as many patterns out; nothing is learnt."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the patterns; nothing is learnt."""
        check_patterns(X)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True


class BackgroundSubtraction(_PatternByPattern):
    """`subtract_background` of each pattern.

    Parameters
    ----------
    method : str
        ``"arpls"``, or a method of pybaselines such as ``"snip"``.
    width : float
        Degrees: ``"arpls"`` follows what is broader.
    """

    def __init__(self, method: str = "arpls", width: float = 5.0) -> None:
        self.method = method
        self.width = width

    def transform(self, X: Any) -> list[MeasuredPattern]:
        """The patterns without their background."""
        return [subtract_background(pattern, self.method, width=self.width) for pattern in check_patterns(X)]


class Kalpha2Stripping(_PatternByPattern):
    """`strip_kalpha2` of each pattern; take the background off first.

    Parameters
    ----------
    kalpha : str or (float, float), optional
        Radiation such as ``"CuKa"``, or Kα₁ and Kα₂ in Å; by default those of each pattern.
    ratio : float
        Kα₂ intensity by Kα₁ intensity.
    """

    def __init__(self, kalpha: str | tuple[float, float] | None = None, ratio: float = KALPHA2_RATIO) -> None:
        self.kalpha = kalpha
        self.ratio = ratio

    def transform(self, X: Any) -> list[MeasuredPattern]:
        """The part of each pattern that Kα₁ makes."""
        return [strip_kalpha2(pattern, self.kalpha, ratio=self.ratio) for pattern in check_patterns(X)]


class CommonGrid(TransformerMixin, BaseEstimator):
    """Intensities of all patterns at the same angles, by linear interpolation.

    Where patterns are of different wavelengths, angles are those that the wavelength of the grid would give,
    2θ′ = 2 arcsin(sin θ · λ′/λ).

    Parameters
    ----------
    two_theta_range : (float, float), optional
        Degrees; by default the range that all patterns given to ``fit`` share.
    step : float
        Degrees.
    wavelength : float, optional
        Å, of the grid; by default that of the patterns given to ``fit`` if they have one in common.
    fill : float, optional
        Intensity where a pattern does not reach; by default such a pattern is refused.

    Attributes
    ----------
    two_theta_ : ndarray of float, shape (m,)
        Degrees.
    wavelength_ : float or None
        Å; None where angles are taken as they are.
    """

    def __init__(
        self,
        *,
        two_theta_range: tuple[float, float] | None = None,
        step: float = 0.05,
        wavelength: float | None = None,
        fill: float | None = None,
    ) -> None:
        self.two_theta_range = two_theta_range
        self.step = step
        self.wavelength = wavelength
        self.fill = fill

    def fit(self, X: Any, y: Any = None) -> Self:
        """Choose the angles.

        Raises
        ------
        DescriptorError
            If the patterns share no range, or have several wavelengths of which none is chosen.
        ValueError
            If the step is not positive, or the range is empty.
        """
        patterns = check_patterns(X)
        if not self.step > 0:
            raise ValueError(f"step must be positive, in degrees, not {self.step}")
        wavelengths = {pattern.wavelength for pattern in patterns}
        if self.wavelength is None and len(wavelengths) > 1:
            raise DescriptorError(
                "patterns of several wavelengths, or of some that are not known; choose that of the grid (wavelength)"
            )
        self.wavelength_ = self.wavelength or next(iter(wavelengths))
        if self.two_theta_range is None:
            angles = [self._angles(pattern) for pattern in patterns]
            low, high = max(each[0] for each in angles), min(each[-1] for each in angles)
        else:
            low, high = self.two_theta_range
        if not high - low >= self.step:
            raise DescriptorError(
                f"the patterns share no range of angles ({low:g}° to {high:g}°); leave out those that are cut"
                if self.two_theta_range is None
                else f"two_theta_range must ascend by a step or more, not {self.two_theta_range}"
            )
        self.two_theta_ = low + self.step * np.arange(int((high - low) / self.step + 1e-6) + 1)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Intensities, shape (n, m).

        Raises
        ------
        PatternRangeError
            If a pattern does not reach over the grid.
        DescriptorError
            If a pattern's wavelength is not known while the grid has another.
        """
        if not hasattr(self, "two_theta_"):
            raise NotFittedError("CommonGrid is not fitted: call fit, or fit_transform, first")
        rows = []
        for pattern in check_patterns(X):
            angles, slack = self._angles(pattern), float(np.diff(pattern.two_theta).max())
            if self.fill is not None:
                rows.append(np.interp(self.two_theta_, angles, pattern.intensity, left=self.fill, right=self.fill))
                continue
            if angles[0] > self.two_theta_[0] + slack or angles[-1] < self.two_theta_[-1] - slack:
                raise PatternRangeError(
                    pattern.name,
                    f"goes from {angles[0]:g}° to {angles[-1]:g}°, where {self.two_theta_[0]:g}° to "
                    f"{self.two_theta_[-1]:g}° are needed; measure it again, or use a narrower range",
                )
            rows.append(np.interp(self.two_theta_, angles, pattern.intensity))
        return np.array(rows)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The angles, as text."""
        return np.array([f"{angle:.4f}°" for angle in self.two_theta_], dtype=object)

    def _angles(self, pattern: MeasuredPattern) -> np.ndarray:
        if self.wavelength_ is None or pattern.wavelength == self.wavelength_:
            return pattern.two_theta
        if pattern.wavelength is None:
            raise DescriptorError(
                f"{pattern.name}: its wavelength is not known, so that it cannot be brought to {self.wavelength_:g} Å"
            )
        angles = bragg_angles(pattern.two_theta, pattern.wavelength, self.wavelength_)
        return np.where(np.isfinite(angles), angles, 180.0)


def shift_angles(pattern: MeasuredPattern, zero: float, displacement: float) -> MeasuredPattern:
    """2θ − zero − displacement · cos θ, in degrees: what an aligned diffractometer would have shown."""
    angles = pattern.two_theta
    return replace(pattern, two_theta=angles - zero - displacement * np.cos(np.radians(angles / 2)))
