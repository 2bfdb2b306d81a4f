"""LineProfile: what stands out of background and noise, on angles that a scan need not cover."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.ndimage import gaussian_filter1d
from sklearn.base import BaseEstimator, TransformerMixin

from qperov.descriptors.scans.patterns import check_patterns
from qperov.descriptors.scans.peaks import find_peaks
from qperov.diffraction.measured import MeasuredPattern, bragg_angles, subtract_background


class LineProfile(TransformerMixin, BaseEstimator):
    r"""Square roots of the intensity of Bragg lines on common angles; zero where a scan did not go.

    Counts, background taken off, are smoothed by a Gaussian; three standard deviations of the noise that is left are
    cut off, :math:`\sqrt{\max(I - 3\sigma, 0)}`, and the largest value is brought to one. As a list of peaks, each peak
    of `find_peaks` is a Gaussian of its height and of one width instead, whatever its own width is.

    Parameters
    ----------
    two_theta_range : (float, float)
        Degrees.
    step : float
        Degrees.
    smooth : float
        Degrees: standard deviation of the filter, and of the peaks of a list.
    cut : float
        Standard deviations of the noise.
    background : str or None
        As in `subtract_background`; None where there is none.
    peaks : bool
        Take the list of peaks.
    wavelength : float
        Å, of the angles; scans of other wavelengths are brought to it, scans of none are taken as they are.
    """

    description = "lines of a scan"

    def __init__(
        self,
        *,
        two_theta_range: tuple[float, float] = (5.0, 56.0),
        step: float = 0.1,
        smooth: float = 0.1,
        cut: float = 3.0,
        background: str | None = "arpls",
        peaks: bool = False,
        wavelength: float = 1.54184,
    ) -> None:
        self.two_theta_range = two_theta_range
        self.step = step
        self.smooth = smooth
        self.cut = cut
        self.background = background
        self.peaks = peaks
        self.wavelength = wavelength

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters; nothing is learnt."""
        low, high = self.two_theta_range
        if not (self.step > 0 and self.smooth > 0 and high - low >= self.step):
            raise ValueError(
                f"step and smooth must be positive and the range a step long, not {self.step}, {self.smooth} and "
                f"{self.two_theta_range}"
            )
        check_patterns(X)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Numbers from 0 to 1, shape (n, m)."""
        angles = self.angles
        rows = np.zeros((len(X), len(angles)))
        for row, pattern in zip(rows, check_patterns(X), strict=True):
            row[:] = self._peak_list(pattern, angles) if self.peaks else self._lines(pattern, angles)
            row /= max(float(row.max()), np.finfo(float).tiny)
        return rows

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The angles, as text."""
        return np.array([f"{angle:.2f}°" for angle in self.angles], dtype=object)

    @property
    def angles(self) -> np.ndarray:
        """2θ in degrees, shape (m,)."""
        low, high = self.two_theta_range
        return low + self.step * np.arange(int((high - low) / self.step + 1e-6) + 1)

    def _lines(self, pattern: MeasuredPattern, angles: np.ndarray) -> np.ndarray:
        flat = pattern if self.background is None else subtract_background(pattern, self.background)
        points = self.smooth / float(np.median(np.diff(flat.two_theta)))
        noise = 1.4826 * float(np.median(np.abs(np.diff(flat.intensity)))) / np.sqrt(2)
        # what a Gaussian filter leaves of independent noise
        noise /= np.sqrt(max(2 * np.sqrt(np.pi) * points, 1.0))
        lines = np.sqrt(np.maximum(gaussian_filter1d(flat.intensity, points) - self.cut * noise, 0))
        return np.interp(angles, self._brought(pattern, flat.two_theta), lines, left=0.0, right=0.0)

    def _peak_list(self, pattern: MeasuredPattern, angles: np.ndarray) -> np.ndarray:
        found = find_peaks(pattern, background=self.background)
        offsets = angles[:, None] - self._brought(pattern, found.two_theta)
        return np.exp(-0.5 * (offsets / self.smooth) ** 2) @ np.sqrt(np.maximum(found.height, 0))

    def _brought(self, pattern: MeasuredPattern, two_theta: np.ndarray) -> np.ndarray:
        if pattern.wavelength is None or pattern.wavelength == self.wavelength:
            return two_theta
        angles = bragg_angles(two_theta, pattern.wavelength, self.wavelength)
        return np.where(np.isfinite(angles), angles, 180.0)

    def __sklearn_is_fitted__(self) -> bool:
        return True
