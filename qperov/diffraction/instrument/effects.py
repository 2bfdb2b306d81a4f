"""What an instrument and a specimen do to the places, widths and heights of Bragg peaks, one formula a function."""

from __future__ import annotations

import numpy as np

from qperov.diffraction.patterns import Pattern

#: Scherrer's K for the full width at half maximum.
SCHERRER = 0.9
#: Angles about the normal over which a tilted texture is averaged.
AZIMUTHS = 16
#: Of Γ⁵ in Γ_G and Γ_L, and of η in Γ_L/Γ.
WIDTH_COEFFICIENTS = (1.0, 2.69269, 2.42843, 4.47163, 0.07842, 1.0)
MIXING_COEFFICIENTS = (1.36603, -0.47719, 0.11116)


def caglioti_width(two_theta: np.ndarray, u: float, v: float, w: float) -> np.ndarray:
    """Gaussian full width at half maximum of an instrument: Γ_G² = U tan²θ + V tan θ + W.

    Parameters
    ----------
    two_theta : ndarray
        Degrees.
    u, v, w : float
        Square degrees; V is negative where the width has a minimum.

    Raises
    ------
    ValueError
        If the square is negative at an angle.

    References
    ----------
    A. Hewat on Caglioti's formula, Rietveld users' list (2009),
    https://www.mail-archive.com/rietveld_l@ill.fr/msg04819.html.
    """
    tangent = np.tan(np.radians(np.asarray(two_theta) / 2))
    square = (u * tangent + v) * tangent + w
    if (square < 0).any():
        raise ValueError(f"U tan²θ + V tan θ + W is negative for U, V, W = {u:g}, {v:g}, {w:g}; raise U or W")
    return np.sqrt(square)


def scherrer_width(two_theta: np.ndarray, wavelength: float, size: float) -> np.ndarray:
    """Lorentzian full width (degrees) that crystallites of a size (nm) cause: Γ = (180/π) K λ / (L cos θ), K = 0.9.

    The wavelength is in Å. Infinite crystallites cause none.

    References
    ----------
    F. Izumi and T. Ikeda, Annual Report of the Advanced Ceramics Research Center, Nagoya Institute of Technology 3, 33
    (2014): Williamson and Hall's line, β cos θ against sin θ.
    """
    return np.degrees(SCHERRER * wavelength / (10 * size) / np.cos(np.radians(np.asarray(two_theta) / 2)))


def strain_width(two_theta: np.ndarray, strain: float) -> np.ndarray:
    """Lorentzian full width (degrees) that microstrain ε = Δd/d causes: Γ = (180/π) 4 ε tan θ.

    References
    ----------
    F. Izumi and T. Ikeda, Annual Report of the Advanced Ceramics Research Center, Nagoya Institute of Technology 3, 33
    (2014): Williamson and Hall's line, β cos θ against sin θ.
    """
    return np.degrees(4 * strain * np.tan(np.radians(np.asarray(two_theta) / 2)))


def thompson_cox_hastings(gaussian: np.ndarray, lorentzian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Width Γ and Lorentzian share η of the pseudo-Voigt peak that is like a Voigt peak of widths Γ_G and Γ_L.

    Γ⁵ = Γ_G⁵ + 2.69269 Γ_G⁴Γ_L + 2.42843 Γ_G³Γ_L² + 4.47163 Γ_G²Γ_L³ + 0.07842 Γ_GΓ_L⁴ + Γ_L⁵;
    η = 1.36603 q − 0.47719 q² + 0.11116 q³ with q = Γ_L/Γ.

    References
    ----------
    P. Thompson, D. E. Cox and J. B. Hastings, J. Appl. Cryst. 20, 79 (1987), doi:10.1107/S0021889887087090.
    """
    g, ell = np.asarray(gaussian, dtype=float), np.asarray(lorentzian, dtype=float)
    fifth = sum(c * g ** (5 - power) * ell**power for power, c in enumerate(WIDTH_COEFFICIENTS))
    width = np.asarray(fifth) ** 0.2
    share = ell / width
    mixing = sum(c * share ** (power + 1) for power, c in enumerate(MIXING_COEFFICIENTS))
    return width, np.asarray(mixing)


def march_dollase(cosine: np.ndarray, r: float) -> np.ndarray:
    """Density of crystallites whose texture axis is at α to the normal of the sample: (r² cos²α + sin²α / r)^(−3/2).

    r < 1 where plates lie flat, 1 without texture, r > 1 for needles; its mean over the sphere is 1.

    Parameters
    ----------
    cosine : ndarray
        cos α between a reflection and the texture axis.
    r : float

    References
    ----------
    M. Rowles, "Generalised March–Dollase preferred orientation corrections" (symmetric reflection), after T. Ida,
    Annual Report of the Advanced Ceramics Research Center, Nagoya Institute of Technology (2013).
    """
    square = np.asarray(cosine) ** 2
    return (r**2 * square + (1 - square) / r) ** -1.5


def texture_cosines(pattern: Pattern, axis: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """cos α between the normal of planes ``axis`` and every reflection of a computed pattern, and its peak's number.

    Raises
    ------
    ValueError
        If the pattern has no lattice.
    """
    hkl, peaks = pattern.reflections()
    reciprocal = np.linalg.inv(pattern.lattice).T
    vectors, normal = hkl @ reciprocal, np.asarray(axis) @ reciprocal
    return vectors @ normal / np.linalg.norm(vectors, axis=1) / np.linalg.norm(normal), peaks


def texture_factors(cosines: np.ndarray, peaks: np.ndarray, r: float, tilt: np.ndarray | None = None) -> np.ndarray:
    """Mean March–Dollase factor over the reflections of each peak, as if they scattered alike, shape (n_peaks,).

    Parameters
    ----------
    cosines, peaks : ndarray, shape (n,)
        Of `texture_cosines`.
    r : float
    tilt : ndarray, shape (n_peaks,), optional
        Degrees by which each scattering vector leans from the normal Δ, |θ − ω| at fixed incidence ω; cos ρ = cos α cos
        Δ − sin α sin Δ sin φ then takes the place of cos α, and the factor is averaged over φ.

    References
    ----------
    As `march_dollase`, asymmetric reflection.
    """
    if tilt is None:
        density = march_dollase(cosines, r)
    else:
        lean, turns = np.radians(tilt)[peaks, None], (np.arange(AZIMUTHS) + 0.5) / AZIMUTHS * np.pi
        sines = np.sqrt(np.maximum(1 - cosines**2, 0))[:, None]
        density = march_dollase(cosines[:, None] * np.cos(lean) - sines * np.sin(lean) * np.cos(turns), r).mean(axis=1)
    return np.bincount(peaks, weights=density) / np.bincount(peaks)


def polarisation_ratio(two_theta: np.ndarray, monochromator: float) -> np.ndarray:
    """Intensity with a mosaic monochromator by that without: (1 + K cos²2θ) / (1 + cos²2θ), K = cos²2θ_m.

    Parameters
    ----------
    two_theta : ndarray
        Degrees.
    monochromator : float
        2θ_m in degrees: 26.55 for graphite (002) and Cu Kα, 0 for none.

    References
    ----------
    Manual of X'Pert HighScore Plus, quoted on the Rietveld users' list,
    https://www.mail-archive.com/rietveld_l@ill.fr/msg05129.html.
    """
    square = np.cos(np.radians(two_theta)) ** 2
    return (1 + np.cos(np.radians(monochromator)) ** 2 * square) / (1 + square)


def angle_shift(two_theta: np.ndarray, zero: float, displacement: float, radius: float) -> np.ndarray:
    """What a diffractometer shows too much, in degrees: zero − (180/π) 2 s cos θ / R.

    Parameters
    ----------
    two_theta, zero : ndarray, float
        Degrees.
    displacement, radius : float
        Of the sample from the axis, and of the goniometer, in one unit.

    References
    ----------
    L. M. D. Cranswick, "Zero shift vs sample shift", Rietveld users' list (1998), after Klug and Alexander,
    http://www.cristal.org/DU-SDPD/rietveld_l/1998/00000167.htm.
    """
    return zero - np.degrees(2 * displacement / radius * np.cos(np.radians(np.asarray(two_theta) / 2)))
