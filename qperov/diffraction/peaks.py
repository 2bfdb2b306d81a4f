"""From squared structure factors to the peaks of powder patterns, for many crystals at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qperov.diffraction.radiation import SpectralLine
from qperov.diffraction.reflections import TWO_THETA_STEP, ReflectionLists, Reflections

#: Peaks below this share of the strongest one (which counts 100) are dropped (pymatgen's SCALED_INTENSITY_TOL).
LEAST_INTENSITY = 1e-3
#: |F|² (in electrons²) up to this size is rounding noise of an extinct reflection.
LEAST_SQUARED_FACTOR = 1e-10


@dataclass(frozen=True, eq=False)
class MergedReflections:
    """Reflections of a lattice under the lines of a source, merged where 2θ agree to 1e-5°.

    Attributes
    ----------
    which : ndarray of int, shape (n,), optional
        Reflection behind each entry, in order of 2θ; ``None`` where each stands once, in the lattice's order.
    weight : ndarray, shape (n,)
        Lorentz–polarisation factor times the weight of the line.
    starts : ndarray of int, shape (n_peaks,)
        First entry of each peak.
    two_theta, d_spacing : ndarray, shape (n_peaks,)
        Degrees and Å, of the first entry.
    """

    which: np.ndarray | None
    weight: np.ndarray
    starts: np.ndarray
    two_theta: np.ndarray
    d_spacing: np.ndarray

    def seen(self, values: np.ndarray) -> np.ndarray:
        """What belongs to each reflection (last axis), laid out as the entries."""
        return values if self.which is None else values[..., self.which]

    def intensities(self, squares: np.ndarray) -> np.ndarray:
        """Σ |F|² LP over each peak's reflections, shape (n_structures, n_peaks), from (n_structures, n_reflections)."""
        weighted = self.seen(squares) * self.weight
        if len(self.starts) == len(self.weight):
            return weighted
        return np.add.reduceat(weighted, self.starts, axis=1)


def merge_reflections(
    points: Reflections, lines: Sequence[SpectralLine], two_theta_range: tuple[float, float]
) -> MergedReflections:
    """Peaks of a lattice: I ∝ |F|² (1 + cos² 2θ) / (sin² θ cos θ), summed over what falls on one multiple of 1e-5°."""
    return _merged(points.g, np.zeros(len(points.g), dtype=int), lines, two_theta_range)[0]


def _merged(
    g: np.ndarray, owner: np.ndarray, lines: Sequence[SpectralLine], two_theta_range: tuple[float, float]
) -> tuple[MergedReflections, np.ndarray]:
    """Peaks of lists of reflections, each of one owner, and the owner of each peak."""
    if len(lines) == 1:
        which = None
        angles, weight = _angles_and_weights(g, lines[0])
    else:
        inside = []
        for line in lines:
            low, high = line.g_limits(two_theta_range)
            inside.append(np.flatnonzero((g <= high + 1e-8) & (g >= low)))
        parts = [_angles_and_weights(g[seen], line) for seen, line in zip(inside, lines, strict=True)]
        angles, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
        which = np.concatenate(inside)
        order = np.lexsort((angles, owner[which]))
        which, angles, weight = which[order], angles[order], weight[order]
        g, owner = g[which], owner[which]
    keys = np.round(angles / TWO_THETA_STEP)
    new = np.ones(len(keys), dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=new[1:])
    new[1:] |= owner[1:] != owner[:-1]
    starts = np.flatnonzero(new)
    return MergedReflections(which, weight, starts, angles[starts], 1 / g[starts]), owner[starts]


def _angles_and_weights(g: np.ndarray, line: SpectralLine) -> tuple[np.ndarray, np.ndarray]:
    """2θ in degrees, and the Lorentz–polarisation factor times the line's weight."""
    sine = np.clip(line.wavelength * g / 2, -1, 1)
    # without a call of cos, which takes longer than all the rest; at 90° it is what cos gives, not 0
    cosine = np.maximum(np.sqrt((1 - sine) * (1 + sine)), np.cos(np.pi / 2))
    squared = sine * sine
    weight = line.weight * (1 + (1 - 2 * squared) ** 2) / (squared * cosine)
    return np.degrees(2 * np.arcsin(sine)), weight


@dataclass(frozen=True, eq=False)
class PeakLists:
    """Peaks of several crystals, one after another.

    Attributes
    ----------
    rows : ndarray of int, shape (n_structures,)
    counts : ndarray of int, shape (n_structures,)
        Peaks of each; 0 where nothing scatters into the range.
    two_theta, intensity, d_spacing : ndarray, shape (sum of counts,)
    """

    rows: np.ndarray
    counts: np.ndarray
    two_theta: np.ndarray
    intensity: np.ndarray
    d_spacing: np.ndarray


def peak_lists(merged: MergedReflections, rows: np.ndarray, squares: np.ndarray) -> PeakLists:
    """Peaks above 1e-3 of the strongest, which counts 100, of crystals of one lattice."""
    if not len(merged.starts):
        nothing = np.empty(0)
        return PeakLists(rows, np.zeros(len(rows), dtype=int), nothing, nothing, nothing)
    intensity = merged.intensities(squares)
    dark = merged.seen(squares).max(axis=1) <= LEAST_SQUARED_FACTOR
    intensity *= 100 / np.where(dark, np.inf, intensity.max(axis=1))[:, None]
    kept = intensity > LEAST_INTENSITY
    column = np.nonzero(kept)[1]
    return PeakLists(rows, kept.sum(axis=1), merged.two_theta[column], intensity[kept], merged.d_spacing[column])


def unlike_peak_lists(
    points: ReflectionLists,
    lines: Sequence[SpectralLine],
    two_theta_range: tuple[float, float],
    rows: np.ndarray,
    squares: np.ndarray,
) -> PeakLists:
    """As :func:`peak_lists`, of crystals each of its own lattice; ``squares`` of all reflections, shape (n,)."""
    crystal = np.repeat(np.arange(len(rows)), points.counts)
    merged, owner = _merged(points.g, crystal, lines, two_theta_range)
    if not len(owner):
        nothing = np.empty(0)
        return PeakLists(rows, np.zeros(len(rows), dtype=int), nothing, nothing, nothing)
    intensity = merged.intensities(squares[None])[0]
    lit, first = np.unique(owner, return_index=True)
    strongest = np.full(len(rows), np.inf)
    strongest[lit] = np.maximum.reduceat(intensity, first)
    dark = np.ones(len(rows), dtype=bool)
    dark[merged.seen(crystal)[merged.seen(squares) > LEAST_SQUARED_FACTOR]] = False
    strongest[dark] = np.inf
    intensity *= (100 / strongest)[owner]
    kept = np.flatnonzero(intensity > LEAST_INTENSITY)
    return PeakLists(
        rows,
        np.bincount(owner[kept], minlength=len(rows)),
        merged.two_theta[kept],
        intensity[kept],
        merged.d_spacing[kept],
    )
