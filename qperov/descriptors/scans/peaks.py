"""Peaks of measured patterns, their d-spacings, and numbers made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy import signal
from scipy.ndimage import gaussian_filter1d
from sklearn.base import BaseEstimator, TransformerMixin

from qperov.descriptors.scans.patterns import check_patterns
from qperov.diffraction.measured import MeasuredPattern, subtract_background
from qperov.errors import DescriptorError

#: The least prominence of a peak in standard deviations of the noise, and as a part of the highest peak.
NOISE_RATIO, LEAST_PROMINENCE = 8.0, 0.02
#: Width of the Gaussian that smoothes weak lines, by that of the strongest, and degrees within which their background
#: lies.
SMOOTHED, AROUND = 0.7, 1.2
#: The part of its height within which a peak's centre of mass is taken.
CENTRE_HEIGHT = 0.5


@dataclass(frozen=True, eq=False)
class PeakList:
    """Peaks of one pattern in the order of their angles.

    Attributes
    ----------
    two_theta : ndarray of float, shape (n,)
        Degrees; the centre of mass of the upper half.
    d : ndarray of float, shape (n,)
        d-spacings in Å, λ / (2 sin θ); NaN where the wavelength is not known.
    height : ndarray of float, shape (n,)
        Over the background, in the pattern's unit.
    width : ndarray of float, shape (n,)
        Full width at half prominence, degrees.
    """

    two_theta: np.ndarray
    d: np.ndarray
    height: np.ndarray
    width: np.ndarray

    def __len__(self) -> int:
        return len(self.two_theta)


def find_peaks(pattern: MeasuredPattern, *, background: str | None = "arpls", smooth: float = 0.1) -> PeakList:
    """Peaks that stand out of noise and background, by `scipy.signal.find_peaks`.

    The pattern is smoothed by a quadratic Savitzky–Golay filter; a peak's prominence must be eight standard deviations
    of the noise (1.4826 times the median absolute deviation of what the filter took away, without tails of peaks) and 2
    % of the highest value.

    Parameters
    ----------
    pattern : MeasuredPattern
    background : str or None
        Method of `subtract_background`; None if it is off already.
    smooth : float
        Degrees: length of the filter's window.
    """
    flat = pattern if background is None else subtract_background(pattern, background)
    angles, counts = flat.two_theta, flat.intensity
    step = float(np.median(np.diff(angles)))
    window = max(5, 2 * round(smooth / step / 2) + 1)
    smoothed = signal.savgol_filter(counts, window, 2) if len(counts) >= window else counts
    rest = counts - smoothed
    noise = 1.4826 * float(np.median(np.abs(rest - np.median(rest))))
    prominence = max(NOISE_RATIO * noise, LEAST_PROMINENCE * float(smoothed.max()), np.finfo(float).tiny)
    places, _ = signal.find_peaks(smoothed, prominence=prominence)
    _, heights, left, right = signal.peak_widths(smoothed, places, rel_height=CENTRE_HEIGHT)
    centres = [
        _centre(angles, smoothed, int(np.ceil(a)), int(np.floor(b)), level, place)
        for a, b, level, place in zip(left, right, heights, places, strict=True)
    ]
    two_theta = np.array(centres, dtype=float)
    wavelength = np.nan if pattern.wavelength is None else pattern.wavelength
    return PeakList(
        two_theta,
        wavelength / (2 * np.sin(np.radians(two_theta / 2))),
        smoothed[places].astype(float),
        np.interp(right, np.arange(len(angles)), angles) - np.interp(left, np.arange(len(angles)), angles),
    )


def _centre(angles: np.ndarray, counts: np.ndarray, first: int, last: int, level: float, place: int) -> float:
    """Centre of mass above a level, from one point to another; a peak of one point is where that is."""
    if last <= first:
        return float(angles[place])
    part = slice(first, last + 1)
    weights = np.maximum(counts[part] - level, 0) * np.gradient(angles[part])
    return float(weights @ angles[part] / weights.sum()) if weights.sum() > 0 else float(angles[place])


class PeakFeatures(TransformerMixin, BaseEstimator):
    r"""Numbers of the strongest peaks of each pattern, the strongest first.

    ``"spacings"``: d-spacings, Å. ``"ratios"``: :math:`d_i/d_1`, which no scaling of the lattice moves; a zero shift or
    sample displacement does, unless patterns are aligned first. ``"widths"``: full widths at half prominence, degrees.
    Places that a pattern has no peak for are zero.

    Parameters
    ----------
    kind : {"spacings", "ratios", "widths"}
    n_peaks : int
    background : str or None
        As in `find_peaks`.
    """

    def __init__(self, kind: str = "spacings", *, n_peaks: int = 4, background: str | None = "arpls") -> None:
        self.kind = kind
        self.n_peaks = n_peaks
        self.background = background

    @property
    def description(self) -> str:
        """What reports call it."""
        words = {"spacings": "d-spacings", "ratios": "ratios of d-spacings", "widths": "widths"}
        return f"{words[self.kind]} of the {self.n_peaks} strongest peaks"

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters; nothing is learnt."""
        if self.kind not in ("spacings", "ratios", "widths") or self.n_peaks < 1 + (self.kind == "ratios"):
            raise ValueError(
                f"kind must be spacings, ratios (of two peaks or more) or widths, not {self.kind!r} of {self.n_peaks}"
            )
        check_patterns(X)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Shape (n, n_peaks), or (n, n_peaks − 1) for ratios.

        Raises
        ------
        DescriptorError
            If the wavelength of a pattern is not known, which d-spacings need.
        """
        rows = np.zeros((len(X), self.n_peaks))
        for row, pattern in zip(rows, check_patterns(X), strict=True):
            if pattern.wavelength is None and self.kind == "spacings":
                raise DescriptorError(f"{pattern.name}: its wavelength is not known; give it when reading (wavelength)")
            peaks = find_peaks(pattern, background=self.background)
            strongest = np.argsort(-peaks.height, kind="stable")[: self.n_peaks]
            sines = 1 / np.sin(np.radians(peaks.two_theta / 2))
            ratios = sines / sines[strongest[:1]] if len(peaks) else sines
            values = {"spacings": peaks.d, "ratios": ratios, "widths": peaks.width}[self.kind]
            row[: len(strongest)] = values[strongest]
        return rows[:, 1:] if self.kind == "ratios" else rows

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Kind and number of the peak."""
        return np.array([f"{self.kind}_{i}" for i in range(self.kind == "ratios", self.n_peaks)], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True


class SuperstructureLines(TransformerMixin, BaseEstimator):
    r"""How far the weak lines of a larger cubic cell stand out of the noise, at the places that the strongest predicts.

    A line with :math:`N = h^2 + k^2 + l^2` lies at :math:`\sin\theta = \sin\theta_s \sqrt{N / N_s}`, s the strongest,
    whatever the cell and the wavelength. Its number is :math:`\ln(1 + \max(H/\sigma, 0))`: H the highest intensity
    within ``window``, smoothed by a Gaussian nearly as wide as the strongest line, over the median around it, σ 1.4826
    times the median absolute deviation there. Lines beyond the pattern, and all of a pattern without a peak, are zero.

    Parameters
    ----------
    strongest : int
        N of the strongest line: 12, that of (222), for bixbyite, whose (222) is the (111) of fluorite.
    lines : tuple of int
        N of the weak ones; by default the first four that are strong in bixbyite, (211), (411), (332) and (431), and
        that fluorite has not.
    window : float
        Degrees to each side of a line's place.
    """

    description = "superstructure lines"

    def __init__(self, *, strongest: int = 12, lines: tuple[int, ...] = (6, 18, 22, 26), window: float = 0.25) -> None:
        self.strongest = strongest
        self.lines = lines
        self.window = window

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the patterns; nothing is learnt."""
        check_patterns(X)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Shape (n, number of lines)."""
        return np.array([self._heights(pattern) for pattern in check_patterns(X)])

    def _heights(self, pattern: MeasuredPattern) -> np.ndarray:
        flat = subtract_background(pattern)
        peaks = find_peaks(flat, background=None)
        found = np.zeros(len(self.lines))
        if not len(peaks):
            return found
        strongest = peaks.height.argmax()
        sine = np.sin(np.radians(peaks.two_theta[strongest] / 2))
        angles, counts = flat.two_theta, flat.intensity
        deviation = SMOOTHED * peaks.width[strongest] / np.sqrt(8 * np.log(2)) / np.median(np.diff(angles))
        smoothed = gaussian_filter1d(counts, deviation)
        for k, line in enumerate(self.lines):
            away = np.abs(angles - 2 * np.degrees(np.arcsin(min(1.0, sine * np.sqrt(line / self.strongest)))))
            near, around = away < self.window, (away > 1.4 * self.window) & (away < AROUND)
            if not near.any() or not around.any():
                continue
            level = np.median(counts[around])
            noise = 1.4826 * np.median(np.abs(counts[around] - level))
            found[k] = np.log1p(max(0.0, smoothed[near].max() - level) / max(noise, np.finfo(float).tiny))
        return found

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """N of each line."""
        return np.array([f"line_{line}" for line in self.lines], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True
