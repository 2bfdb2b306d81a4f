"""Diffraction profiles on a grid of 2θ: peaks broadened by a line shape, measured patterns on the same grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qperov.diffraction.measured import MeasuredPattern, bragg_angles
from qperov.diffraction.patterns import Pattern
from qperov.diffraction.radiation import Wavelength, spectral_lines
from qperov.diffraction.rounding import rounded
from qperov.errors import DescriptorError

SHAPES = ("gaussian", "lorentzian", "pseudo-voigt")
#: What is brought to 100: the strongest reflection, the largest value on the grid, or the area in % · degrees.
NORMALIZATIONS = ("strongest", "maximum", "area")
#: Intensity of the strongest peak of a pattern.
STRONGEST = 100.0
#: Wavelengths that agree to this share move no peak below 120° by more than 0.002°.
SAME_WAVELENGTH = 1e-5
#: exp(−x²/2) is zero as a float beyond this x.
UNDERFLOW = 38.7
#: A finer grid has more points than any diffractometer measures.
MOST_POINTS = 1_000_000
#: Entries of the largest array held while peaks are broadened.
BLOCK_ENTRIES = 2_000_000


def line_shape(offset: np.ndarray, width: float, shape: str = "gaussian", mixing: float = 0.5) -> np.ndarray:
    """A peak of unit area and full width at half maximum w, at offsets x from its centre (all in degrees).

    Gaussian G(x) = (2/w) √(ln 2/π) exp(−4 ln 2 x²/w²); Lorentzian L(x) = (2/πw) / (1 + 4x²/w²);
    pseudo-Voigt η L + (1 − η) G with η = ``mixing``.

    Returns
    -------
    ndarray, the shape of ``offset``
        1/degree.

    Raises
    ------
    ValueError
        On an unknown shape, a width that is not positive, or a mixing outside 0–1.

    References
    ----------
    P. Thompson, D. E. Cox and J. B. Hastings, J. Appl. Cryst. 20, 79 (1987), doi:10.1107/S0021889887087090.
    """
    if shape not in SHAPES:
        raise ValueError(f"unknown peak shape {shape!r}; known: {', '.join(SHAPES)}")
    if not width > 0:
        raise ValueError(f"the width of a peak must be positive, in degrees, not {width}")
    if not 0 <= mixing <= 1:
        raise ValueError(f"mixing, the Lorentzian share of a pseudo-Voigt peak, lies between 0 and 1, not {mixing}")
    lorentzian_share = {"gaussian": 0.0, "lorentzian": 1.0, "pseudo-voigt": mixing}[shape]
    x = np.asarray(offset) / width
    total = np.zeros_like(x)
    if lorentzian_share < 1:
        total += (1 - lorentzian_share) * 2 / width * np.sqrt(np.log(2) / np.pi) * np.exp(-4 * np.log(2) * x**2)
    if lorentzian_share > 0:
        total += lorentzian_share * 2 / (np.pi * width) / (1 + 4 * x**2)
    return total


@dataclass(frozen=True)
class ProfileGrid:
    """A grid of 2θ with the shape of the peaks on it.

    Parameters
    ----------
    two_theta_range : (float, float)
        Degrees.
    step : float
        Degrees.
    width : float
        Full width at half maximum, degrees.
    shape : str
        ``"gaussian"``, ``"lorentzian"`` or ``"pseudo-voigt"``.
    mixing : float
        Lorentzian share of a pseudo-Voigt peak.
    normalization : str
        ``"strongest"``: every peak, with its tails, has the area of a Gaussian of this width whose height is the peak's
        intensity, the strongest reflection being 100. ``"maximum"``: the largest value is 100. ``"area"``: Σ values ·
        step is 100.

    Notes
    -----
    What of a peak lies beyond the grid is left out, as a diffractometer leaves it out. Gaussians end before; of a
    Lorentzian of width w whose centre is a and b from the ends, (w/2π)(1/a + 1/b) is lost as far as w is small beside
    both: 0.2 % in the middle of 0–90° at w = 0.3°, 0.3 % at 20° and 70°; of a pseudo-Voigt peak the Lorentzian's share.

    Raises
    ------
    ValueError
        On a setting out of range.
    """

    two_theta_range: tuple[float, float] = (0.0, 90.0)
    step: float = 0.1
    width: float = 0.3
    shape: str = "gaussian"
    mixing: float = 0.5
    normalization: str = "strongest"

    def __post_init__(self) -> None:
        if not (0 < self.width < np.inf and 0 < self.step < np.inf):
            raise ValueError(
                f"width and step of a profile must be positive, in degrees, not {self.width} and {self.step}"
            )
        points = (self.two_theta_range[1] - self.two_theta_range[0]) / self.step
        if points > MOST_POINTS:
            raise ValueError(f"steps of {self.step}° make {points:.1e} points of a profile; at most {MOST_POINTS:.0e}")
        if self.normalization not in NORMALIZATIONS:
            raise ValueError(f"unknown normalization {self.normalization!r}; known: {', '.join(NORMALIZATIONS)}")
        line_shape(np.zeros(1), self.width, self.shape, self.mixing)

    @property
    def angles(self) -> np.ndarray:
        """2θ of the grid in degrees, shape (n,)."""
        return np.arange(self.two_theta_range[0], self.two_theta_range[1] + self.step / 2, self.step)

    def broaden(self, pattern: Pattern) -> np.ndarray:
        """Profile of a computed pattern, shape (n,).

        Intensities are rounded before they are broadened: rounding afterwards would spoil the tails, which a scaler
        raises to the size of the peaks.
        """
        intensity = rounded(pattern.intensity, scale=STRONGEST)
        n_points = len(self.angles)
        total = np.zeros(n_points)
        size = max(1, BLOCK_ENTRIES // n_points)
        for start in range(0, len(pattern), size):
            block = slice(start, start + size)
            total += self._sum_of_peaks(pattern.two_theta[block], intensity[block])
        return self._normalized(total)

    def _sum_of_peaks(self, centres: np.ndarray, heights: np.ndarray) -> np.ndarray:
        if self.shape == "gaussian":
            return self._sum_of_gaussians(centres, heights)
        offset = self.angles[:, None] - centres[None, :]
        area = self.width * np.sqrt(np.pi / np.log(2)) / 2
        return area * (line_shape(offset, self.width, self.shape, self.mixing) @ heights)

    def _sum_of_gaussians(self, centres: np.ndarray, heights: np.ndarray) -> np.ndarray:
        """Σ heights · exp(−x²/2σ²) on the grid, shape (n,), worked out where it is not zero as a float."""
        angles, sigma = self.angles, self.width / np.sqrt(8 * np.log(2))
        reach = min(int(np.ceil(UNDERFLOW * sigma / self.step)) + 1, len(angles))
        nearest = np.round((centres - angles[0]) / self.step).astype(np.int64)
        column = nearest[:, None] + np.arange(-reach, reach + 1)
        peak, _ = inside = np.nonzero((column >= 0) & (column < len(angles)))
        column = column[inside]
        values = heights[peak] * np.exp(-0.5 * ((angles[column] - centres[peak]) / sigma) ** 2)
        return np.bincount(column, weights=values, minlength=len(angles))

    def resample(self, pattern: MeasuredPattern, wavelength: Wavelength | None = None) -> np.ndarray:
        """A measured pattern on this grid, shape (n,): its mean over each step, so that intensity is conserved.

        Where the pattern was measured with another wavelength, its angles are moved by Bragg's law, and its
        intensities by the Lorentz–polarisation factor and by how much the angles are stretched.

        Raises
        ------
        DescriptorError
            If the measurement does not cover the grid or holds no intensity there, or the normalization is
            ``"strongest"``, which a measurement cannot know.
        """
        if self.normalization == "strongest":
            raise DescriptorError(
                f"{pattern.name}: a measurement does not tell the intensity of its strongest reflection; use "
                'PXRDFeaturizer(kind="profile", normalization="area") or "maximum" for crystals and measurements alike'
            )
        angles, counts = _at_wavelength(pattern, wavelength)
        grid = self.angles
        if angles[0] > grid[0] + self.step or angles[-1] < grid[-1] - self.step:
            raise DescriptorError(
                f"{pattern.name}: measured from {angles[0]:.2f}° to {angles[-1]:.2f}°, which does not cover the "
                f"profile from {grid[0]:g}° to {grid[-1]:g}°; give PXRDFeaturizer a two_theta_range inside "
                "the measured one"
            )
        edges = np.append(grid - self.step / 2, grid[-1] + self.step / 2)
        values = _means_between(edges, angles, counts)
        if not values.sum() > 0:
            raise DescriptorError(f"{pattern.name}: no intensity between {grid[0]:g}° and {grid[-1]:g}°")
        return self._normalized(values)

    def _normalized(self, values: np.ndarray) -> np.ndarray:
        if self.normalization == "strongest":
            return values
        whole = values.max() if self.normalization == "maximum" else values.sum() * self.step
        return values * (STRONGEST / whole)


def _means_between(edges: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean between neighbouring edges of the line that joins the points (x, y), level beyond its ends."""
    places = np.union1d(x, edges)
    heights = np.interp(places, x, y)
    area = np.concatenate([[0.0], np.cumsum(np.diff(places) * (heights[1:] + heights[:-1]) / 2)])
    return np.diff(area[np.searchsorted(places, edges)]) / np.diff(edges)


def _at_wavelength(pattern: MeasuredPattern, wavelength: Wavelength | None) -> tuple[np.ndarray, np.ndarray]:
    """Angles and intensities as another wavelength (of several lines, their mean) would give them."""
    if wavelength is None or pattern.wavelength is None:
        return pattern.two_theta, pattern.intensity
    mean = mean_wavelength(wavelength)
    if abs(mean / pattern.wavelength - 1) < SAME_WAVELENGTH:
        return pattern.two_theta, pattern.intensity
    moved = bragg_angles(pattern.two_theta, pattern.wavelength, mean)
    kept = np.isfinite(moved) & (pattern.two_theta > 0) & (moved < 180) & (pattern.two_theta < 180)
    if kept.sum() < 2:
        raise DescriptorError(f"{pattern.name}: nothing of it is left at a wavelength of {mean:g} Å")
    old, new = pattern.two_theta[kept], moved[kept]
    stretch = mean / pattern.wavelength * np.cos(np.radians(old / 2)) / np.cos(np.radians(new / 2))
    scale = lorentz_polarisation(new) / lorentz_polarisation(old) / stretch
    return new, pattern.intensity[kept] * scale


def mean_wavelength(wavelength: Wavelength) -> float:
    """The wavelength in Å, of several lines their weighted mean."""
    lines = spectral_lines(wavelength)
    return float(np.average([line.wavelength for line in lines], weights=[line.weight for line in lines]))


def lorentz_polarisation(two_theta: np.ndarray) -> np.ndarray:
    """(1 + cos² 2θ) / (sin² θ cos θ) at angles in degrees."""
    theta = np.radians(np.asarray(two_theta) / 2)
    return (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))


def profiles(
    patterns: Sequence[Pattern | MeasuredPattern], grid: ProfileGrid, wavelength: Wavelength | None = None
) -> np.ndarray:
    """Profiles of computed and measured patterns on one grid, shape (n_patterns, n_angles)."""
    values = np.zeros((len(patterns), len(grid.angles)))
    for row, pattern in zip(values, patterns, strict=True):
        if isinstance(pattern, MeasuredPattern):
            row[:] = grid.resample(pattern, wavelength)
        else:
            row[:] = grid.broaden(pattern)
    return values
