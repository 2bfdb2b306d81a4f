"""A scan as a diffractometer would count it, from a computed pattern."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.polynomial.chebyshev import chebval

from qperov.diffraction.instrument.effects import (
    angle_shift,
    caglioti_width,
    polarisation_ratio,
    scherrer_width,
    strain_width,
    texture_cosines,
    texture_factors,
    thompson_cox_hastings,
)
from qperov.diffraction.measured import MeasuredPattern
from qperov.diffraction.patterns import Pattern
from qperov.diffraction.profiles import mean_wavelength

#: Peaks below this share of the strongest are not drawn.
FAINTEST = 5e-4
#: Degrees: a narrower line is drawn as wide, since no diffractometer has it.
NARROWEST = 0.01


@dataclass(frozen=True)
class Instrument:
    """A diffractometer.

    Parameters
    ----------
    u, v, w : float
        Square degrees: Γ_G² = U tan²θ + V tan θ + W.
    zero : float
        Degrees, added to all angles.
    displacement : float
        mm: how far the sample stands above the axis.
    radius : float
        mm, of the goniometer.
    monochromator : float
        2θ_m in degrees of a mosaic monochromator: 26.55 for graphite and Cu Kα; 0 for none.
    incidence : float
        Degrees between beam and sample, as in grazing incidence; 0 for the symmetric geometry, θ. It changes what
        texture does.
    counts : float
        At the highest point of the Bragg peaks.
    noise : bool
        Poisson counts; otherwise their means.
    """

    u: float = 0.0
    v: float = 0.0
    w: float = 0.01
    zero: float = 0.0
    displacement: float = 0.0
    radius: float = 240.0
    monochromator: float = 0.0
    incidence: float = 0.0
    counts: float = 1e4
    noise: bool = True

    def __post_init__(self) -> None:
        if not (self.radius > 0 and self.counts > 0):
            raise ValueError(f"radius and counts must be positive, not {self.radius} and {self.counts}")


@dataclass(frozen=True)
class Specimen:
    """What is measured, beyond its crystal. Heights are parts of the highest point of the Bragg peaks.

    Parameters
    ----------
    size : float
        nm, of crystallites.
    strain : float
        Microstrain Δd/d.
    expansion : float
        All d-spacings are longer by this part.
    texture : float
        March–Dollase r.
    texture_axis : (int, int, int)
        hkl of the planes whose normal is the texture axis.
    background : tuple of float
        Chebyshev coefficients over the scan; where they sum to less than nothing, nothing.
    hump : (float, float, float)
        Of an amorphous part: centre and full width in degrees, height; a Gaussian.
    impurities : tuple of (float, float)
        Lines of other phases: 2θ in degrees, height.
    """

    size: float = np.inf
    strain: float = 0.0
    expansion: float = 0.0
    texture: float = 1.0
    texture_axis: tuple[int, int, int] = (0, 0, 1)
    background: tuple[float, ...] = ()
    hump: tuple[float, float, float] = (25.0, 10.0, 0.0)
    impurities: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if not (self.size > 0 and self.texture > 0 and self.strain >= 0 and self.expansion > -1 and self.hump[1] > 0):
            raise ValueError(
                "size, texture and the hump's width must be positive, strain not negative, expansion above −1"
            )
        if not any(self.texture_axis):
            raise ValueError("texture_axis must be the hkl of planes, not 0 0 0")


@dataclass(frozen=True, eq=False)
class Peaks:
    """Peaks of a computed pattern with what textures need, worked out once for many scans of it."""

    pattern: Pattern
    wavelength: float
    _cosines: dict[tuple[int, int, int], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    @classmethod
    def of(cls, pattern: Pattern) -> Peaks:
        """The peaks, with the mean wavelength of the pattern."""
        return cls(pattern, mean_wavelength(pattern.wavelength))

    def intensity(self, specimen: Specimen, incidence: float = 0.0) -> np.ndarray:
        """Intensities changed by texture, shape (n_peaks,)."""
        if specimen.texture == 1:
            return self.pattern.intensity
        axis = specimen.texture_axis
        if axis not in self._cosines:
            self._cosines[axis] = texture_cosines(self.pattern, axis)
        tilt = np.abs(self.pattern.two_theta / 2 - incidence) if incidence else None
        return self.pattern.intensity * texture_factors(*self._cosines[axis], specimen.texture, tilt)


def simulate_scan(
    pattern: Pattern | Peaks,
    two_theta: np.ndarray,
    instrument: Instrument | None = None,
    specimen: Specimen | None = None,
    *,
    random_state: int | np.random.Generator | None = 0,
    name: str = "simulated scan",
) -> MeasuredPattern:
    """A computed pattern as a diffractometer would count it.

    Peaks move (expansion of the lattice, zero shift, displacement), gain and lose (texture, polarisation), become
    pseudo-Voigt lines of their own widths (Caglioti, Scherrer, microstrain; Thompson, Cox and Hastings), are brought to
    ``counts`` at their highest point, and stand on background, amorphous hump and lines of impurities; what comes out
    is counted. The formulas stand with the functions of `qperov.diffraction.instrument.effects`.

    Parameters
    ----------
    pattern : Pattern
        Of `powder_patterns`; it should reach a little further than the scan on both sides.
    two_theta : ndarray, shape (n,)
        Degrees.
    instrument : Instrument, optional
    specimen : Specimen, optional
    random_state : int, Generator or None
        Of the noise.
    name : str

    Raises
    ------
    ValueError
        If the width of a peak is imaginary, or a texture is asked of a pattern that has no lattice.
    """
    instrument, specimen = instrument or Instrument(), specimen or Specimen()
    peaks = pattern if isinstance(pattern, Peaks) else Peaks.of(pattern)
    angles, strength = peaks.pattern.two_theta, peaks.intensity(specimen, instrument.incidence)
    kept = strength > FAINTEST * strength.max()
    angles, strength = angles[kept], strength[kept]
    if specimen.expansion:
        sine = np.sin(np.radians(angles / 2)) / (1 + specimen.expansion)
        kept = sine < 1
        angles, strength = np.degrees(2 * np.arcsin(sine[kept])), strength[kept]
    strength = strength * polarisation_ratio(angles, instrument.monochromator)
    bragg = _lines(two_theta, angles, strength, peaks.wavelength, instrument, specimen)
    total = bragg / max(float(bragg.max()), np.finfo(float).tiny)
    if specimen.impurities:
        places, heights = np.array(specimen.impurities).T
        total = total + _lines(two_theta, places, heights, peaks.wavelength, instrument, specimen, heights=True)
    centre, width, height = specimen.hump
    total = total + height * np.exp(-4 * np.log(2) * ((two_theta - centre) / width) ** 2)
    if specimen.background:
        span = np.linspace(-1, 1, len(two_theta))
        total = total + np.maximum(chebval(span, specimen.background), 0)
    counts = instrument.counts * total
    if instrument.noise:
        counts = np.random.default_rng(random_state).poisson(counts).astype(float)
    return MeasuredPattern(two_theta, counts, peaks.wavelength, name=name, unit="counts")


def _lines(
    two_theta: np.ndarray,
    angles: np.ndarray,
    strength: np.ndarray,
    wavelength: float,
    instrument: Instrument,
    specimen: Specimen,
    heights: bool = False,
) -> np.ndarray:
    """Σ pseudo-Voigt lines of given areas, or heights, on the angles of a scan, shape (n,)."""
    gaussian = caglioti_width(angles, instrument.u, instrument.v, instrument.w)
    lorentzian = scherrer_width(angles, wavelength, specimen.size) + strain_width(angles, specimen.strain)
    width, mixing = thompson_cox_hastings(np.maximum(gaussian, NARROWEST), lorentzian)
    places = angles + angle_shift(angles, instrument.zero, instrument.displacement, instrument.radius)
    # heights of lines of unit area: 2/w √(ln 2/π) and 2/πw
    of_gaussian, of_lorentzian = (1 - mixing) * 2 / width * np.sqrt(np.log(2) / np.pi), mixing * 2 / np.pi / width
    if heights:
        strength = strength / (of_gaussian + of_lorentzian)
    # single precision holds lines to 1e-6 of their height and is several times as fast
    square = np.subtract.outer(two_theta, places)
    square *= 2 / width
    square = square.astype(np.float32)
    square *= square
    lorentzians = 1 / (1 + square)
    square *= -np.float32(np.log(2))
    gaussians = np.exp(square, out=square)
    areas = (strength * of_gaussian).astype(np.float32), (strength * of_lorentzian).astype(np.float32)
    return (gaussians @ areas[0] + lorentzians @ areas[1]).astype(float)
