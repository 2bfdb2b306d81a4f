"""Wavelengths of X-rays: by name, in Å, or several lines with weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.analysis.diffraction.xrd import WAVELENGTHS

#: A named radiation, a number in Å, or several of these with their weights.
Wavelength = str | float | Sequence[tuple[str | float, float]]


@dataclass(frozen=True)
class SpectralLine:
    """One wavelength of the source, in Å, and its share of the intensity."""

    wavelength: float
    weight: float = 1.0

    def g_limits(self, two_theta_range: tuple[float, float]) -> tuple[float, float]:
        """|g| = 2 sin θ / λ in Å⁻¹ at both ends of a range of 2θ in degrees."""
        low, high = two_theta_range
        at_low, at_high = (2 * float(np.sin(np.radians(angle / 2))) / self.wavelength for angle in (low, high))
        return at_low, at_high


def wavelength_in_angstrom(wavelength: str | float) -> float:
    """The wavelength in Å of a named radiation (``"CuKa"``: 1.54184 Å), or the number itself.

    Raises
    ------
    ValueError
        If the name is unknown or the number is not positive.
    """
    if isinstance(wavelength, str):
        if wavelength not in WAVELENGTHS:
            raise ValueError(
                f"unknown radiation {wavelength!r}; known: {', '.join(sorted(WAVELENGTHS))}, or a number in Å"
            )
        return float(WAVELENGTHS[wavelength])
    if not 0 < wavelength < np.inf:
        raise ValueError(f"the wavelength must be positive, in Å, not {wavelength}")
    return float(wavelength)


def spectral_lines(wavelength: Wavelength) -> tuple[SpectralLine, ...]:
    """The lines of a source: one for a name or number, several for ``[("CuKa1", 1.0), ("CuKa2", 0.5)]``.

    Raises
    ------
    ValueError
        On an unknown name, a wavelength or weight that is not positive, or no line at all.
    """
    if wavelength is None:
        raise ValueError('no wavelength was given: leave it out for "CuKa", or give a name or a number in Å')
    if isinstance(wavelength, str | float | int | np.number):
        return (SpectralLine(wavelength_in_angstrom(wavelength)),)
    lines = []
    for entry in wavelength:
        if isinstance(entry, str) or np.size(entry) != 2:
            raise ValueError(f"several lines are given as pairs (wavelength, weight), not {entry!r}")
        line, weight = entry
        if not 0 < weight < np.inf:
            raise ValueError(f"the weight of {line!r} must be positive, not {weight}")
        lines.append(SpectralLine(wavelength_in_angstrom(line), float(weight)))
    if not lines:
        raise ValueError("no wavelength was given")
    return tuple(lines)


def checked_range(two_theta_range: tuple[float, float] | None) -> tuple[float, float]:
    """Both ends of 2θ in degrees; ``None`` is the whole sphere that the wavelength reaches, 0 … 180.

    Raises
    ------
    ValueError
        Unless 0 ≤ low < high ≤ 180.
    """
    if two_theta_range is None:
        return 0.0, 180.0
    low, high = two_theta_range
    if not 0 <= low < high <= 180:
        raise ValueError(f"two_theta_range must be 0 ≤ low < high ≤ 180 degrees, not {two_theta_range}")
    return float(low), float(high)


def g_limits(wavelength: Wavelength, two_theta_range: tuple[float, float] | None) -> tuple[float, float]:
    """|g| = 2 sin θ / λ in Å⁻¹ at both ends of a range of 2θ in degrees; of several lines, the outermost.

    Raises
    ------
    ValueError
        On an unknown radiation or an impossible range.
    """
    limits = [line.g_limits(checked_range(two_theta_range)) for line in spectral_lines(wavelength)]
    return min(low for low, _ in limits), max(high for _, high in limits)
