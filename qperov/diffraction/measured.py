"""Measured powder patterns: what a diffractometer counted, on the angles it went through."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solveh_banded
from scipy.special import expit

from qperov.diffraction.radiation import wavelength_in_angstrom
from qperov.errors import DescriptorError, MissingDependencyError

#: Kα₂ is so much weaker than Kα₁.
KALPHA2_RATIO = 0.5
#: The weights of the background are found in so many rounds, or when they change by less than this share.
ARPLS_ITERATIONS, ARPLS_TOLERANCE = 50, 1e-3


@dataclass(frozen=True, eq=False)
class MeasuredPattern:
    """Intensity against 2θ as measured; angles ascend and no angle occurs twice.

    Parameters
    ----------
    two_theta : array of float, shape (n,)
        Degrees.
    intensity : array of float, shape (n,)
        Counts or counts per second; negative where a background has been taken off.
    wavelength : float, optional
        Å, the mean of Kα₁ and Kα₂ when both were there; ``None`` when it is not known.
    kalpha : (float, float), optional
        Kα₁ and Kα₂ in Å, when both are in the pattern.
    name : str
        Where the pattern comes from.
    geometry : str, optional
        The axes that moved, as the file calls them, such as ``"2Theta-Omega"``.
    unit : str, optional
        ``"counts"`` or ``"counts/s"``, where it is known.
    remarks : tuple of str
        What was mended on reading.

    Raises
    ------
    DescriptorError
        If there are fewer than two points, the angles do not ascend within 0–180°, or a value is not finite.
    """

    two_theta: np.ndarray
    intensity: np.ndarray
    wavelength: float | None = None
    kalpha: tuple[float, float] | None = None
    name: str = "measured pattern"
    geometry: str | None = None
    unit: str | None = None
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        angles, counts = np.asarray(self.two_theta, dtype=float), np.asarray(self.intensity, dtype=float)
        if angles.ndim != 1 or angles.shape != counts.shape or len(angles) < 2:
            raise DescriptorError(f"{self.name}: needs one intensity an angle, for two angles or more")
        if not (np.isfinite(angles).all() and np.isfinite(counts).all()):
            raise DescriptorError(f"{self.name}: angles and intensities must be finite numbers")
        if (np.diff(angles) <= 0).any() or angles[0] < -180 or angles[-1] > 180:
            raise DescriptorError(f"{self.name}: 2θ must ascend, in degrees up to 180")
        object.__setattr__(self, "two_theta", angles)
        object.__setattr__(self, "intensity", counts)

    def __len__(self) -> int:
        return len(self.two_theta)


def kalpha_doublet(wavelength: str) -> tuple[float, float]:
    """Kα₁ and Kα₂ in Å of a named mean radiation such as ``"CuKa"``.

    Raises
    ------
    ValueError
        If the name is not that of a Kα radiation known to pymatgen.
    """
    if not (isinstance(wavelength, str) and wavelength.endswith("Ka")):
        raise ValueError(f'a doublet needs the name of a Kα radiation such as "CuKa", not {wavelength!r}')
    return wavelength_in_angstrom(f"{wavelength}1"), wavelength_in_angstrom(f"{wavelength}2")


def bragg_angles(two_theta: np.ndarray, wavelength: float, other: float) -> np.ndarray:
    """2θ′ = 2 arcsin(sin θ · other/wavelength): where lattice planes reflect another wavelength; NaN beyond 180°."""
    sine = np.sin(np.radians(np.asarray(two_theta) / 2)) * other / wavelength
    return np.degrees(2 * np.arcsin(np.where(np.abs(sine) <= 1, sine, np.nan)))


def subtract_background(pattern: MeasuredPattern, method: str = "arpls", *, width: float = 5.0) -> MeasuredPattern:
    """The pattern without its slowly varying background.

    ``"arpls"``: the smooth curve z that minimises Σ wᵢ (Iᵢ − zᵢ)² + λ Σ (zᵢ₋₁ − 2zᵢ + zᵢ₊₁)², where wᵢ falls to zero
    for points that stand out above the noise; it runs through the middle of the noise, not below it. Any other name is
    a method of pybaselines, such as ``"snip"`` or ``"airpls"``, with that library's own settings.

    Parameters
    ----------
    pattern : MeasuredPattern
    method : str
    width : float
        Degrees: ``"arpls"`` follows what is broader, λ = (width / 2π step)⁴. Peaks, and groups of overlapping ones,
        must be narrower.

    Returns
    -------
    MeasuredPattern
        Noise about the background leaves negative values; they average out and are not cut off.

    Raises
    ------
    MissingDependencyError
        If the method is one of pybaselines, which is not installed.
    ValueError
        On an unknown method, or a width that is not positive.

    References
    ----------
    S.-J. Baek, A. Park, Y.-J. Ahn and J. Choo, Analyst 140, 250 (2015), doi:10.1039/C4AN01061B.
    """
    if not width > 0:
        raise ValueError(f"width must be positive, in degrees, not {width}")
    background = _arpls(pattern, width) if method == "arpls" else _pybaselines(pattern, method)
    return replace(pattern, intensity=pattern.intensity - background)


def _arpls(pattern: MeasuredPattern, width: float) -> np.ndarray:
    # differences are taken from point to point, so the steps must be equal
    even = np.linspace(pattern.two_theta[0], pattern.two_theta[-1], max(len(pattern), 5))
    counts = np.interp(even, pattern.two_theta, pattern.intensity)
    n = len(even)
    stiffness = max(1.0, width / (2 * np.pi * (even[1] - even[0]))) ** 4
    # λDᵀD of the second differences D, its diagonal and the two above it as solveh_banded takes them
    bands = np.zeros((3, n))
    for column, weight in enumerate((1.0, -2.0, 1.0)):
        for other in range(column, 3):
            bands[2 - (other - column), other : n - 2 + other] += stiffness * weight * (1.0, -2.0, 1.0)[other]
    weights = np.ones(n)
    for _ in range(ARPLS_ITERATIONS):
        system = bands.copy()
        system[2] += weights
        background = solveh_banded(system, weights * counts)
        above = counts - background
        below = above[above < 0]
        spread = below.std() if len(below) else 0.0
        if spread == 0:
            break
        last, weights = weights, expit(-2 * (above - (2 * spread - below.mean())) / spread)
        if np.linalg.norm(weights - last) < ARPLS_TOLERANCE * np.linalg.norm(last):
            break
    return np.interp(pattern.two_theta, even, background)


def _pybaselines(pattern: MeasuredPattern, method: str) -> np.ndarray:
    try:
        from pybaselines import Baseline
    except ImportError as error:
        raise MissingDependencyError(
            f'background method {method!r} comes from pybaselines: pip install "qperov[measured]", or use "arpls"'
        ) from error
    fitter = Baseline(x_data=pattern.two_theta)
    if method.startswith("_") or not callable(getattr(fitter, method, None)):
        raise ValueError(f'unknown background method {method!r}; "arpls", or one of pybaselines such as "snip"')
    return getattr(fitter, method)(pattern.intensity)[0]


def strip_kalpha2(
    pattern: MeasuredPattern, kalpha: str | tuple[float, float] | None = None, *, ratio: float = KALPHA2_RATIO
) -> MeasuredPattern:
    """The part of a pattern that Kα₁ makes (Rachinger's correction).

    I₁(t) = I(t) − ratio · I₁(u) du/dt with sin(u/2) = sin(t/2) λ₁/λ₂, from the lowest angle upwards: what Kα₁ reflects
    at u, Kα₂ reflects at t. Take the background off first.

    Parameters
    ----------
    pattern : MeasuredPattern
    kalpha : str or (float, float), optional
        ``"CuKa"`` and the like, or Kα₁ and Kα₂ in Å; by default those that the file told.
    ratio : float
        Kα₂ intensity by Kα₁ intensity.

    Returns
    -------
    MeasuredPattern
        Its wavelength is Kα₁.

    Raises
    ------
    DescriptorError
        If neither the pattern nor the caller tells the two wavelengths.
    ValueError
        If they are not in order, or the ratio is not between 0 and 1.

    References
    ----------
    W. A. Rachinger, J. Sci. Instrum. 25, 254 (1948), doi:10.1088/0950-7671/25/7/125.
    """
    doublet = kalpha_doublet(kalpha) if isinstance(kalpha, str) else kalpha or pattern.kalpha
    if doublet is None:
        raise DescriptorError(f'{pattern.name}: Kα₁ and Kα₂ are not known; say kalpha="CuKa" or give both in Å')
    first, second = doublet
    if not (0 < first < second and 0 <= ratio < 1):
        raise ValueError(f"Kα₁ must be shorter than Kα₂ and the ratio from 0 to below 1, not {doublet} and {ratio}")
    angles = pattern.two_theta
    source = bragg_angles(angles, second, first)
    share = ratio * (first / second) * np.cos(np.radians(angles / 2)) / np.cos(np.radians(source / 2))
    left = np.clip(np.searchsorted(angles, source, side="right") - 1, 0, len(angles) - 2)
    weight = np.clip((source - angles[left]) / (angles[left + 1] - angles[left]), 0, 1)
    stripped = np.array(pattern.intensity)
    for i in range(len(angles)):
        if source[i] <= angles[0] or angles[i] <= 0:  # nothing is known below the first angle; it is taken as equal
            stripped[i] = pattern.intensity[i] / (1 + share[i])
        elif left[i] + 1 < i:
            before = (1 - weight[i]) * stripped[left[i]] + weight[i] * stripped[left[i] + 1]
            stripped[i] = pattern.intensity[i] - share[i] * before
        else:  # u lies in the last step, so I₁(u) holds a part of I₁(t) itself
            known = pattern.intensity[i] - share[i] * (1 - weight[i]) * stripped[i - 1]
            stripped[i] = known / (1 + share[i] * weight[i])
    return replace(pattern, intensity=stripped, wavelength=first, kalpha=None)
