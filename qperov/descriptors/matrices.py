"""Vectors and matrices that the papers make from the peaks of a powder pattern."""

from __future__ import annotations

import numpy as np

from qperov.descriptors.pxrd import Pattern
from qperov.descriptors.reflections import TWO_THETA_STEP

#: Differences of intensity (scale 0–100) up to this size count as none.
LEAST_DIFFERENCE = 1e-5


def peak_keys(pattern: Pattern) -> np.ndarray:
    """Whole numbers that are equal for peaks at the same 2θ, shape (n_peaks,): round(2θ / 1e-5°)."""
    return np.round(pattern.two_theta / TWO_THETA_STEP).astype(np.int64)


def mean_pattern(patterns: list[Pattern]) -> dict[int, float]:
    """Mean intensity at each merged 2θ key over a set of patterns; an absent peak counts 0."""
    total: dict[int, float] = {}
    for pattern in patterns:
        for key, intensity in zip(peak_keys(pattern).tolist(), pattern.intensity.tolist(), strict=True):
            total[key] = total.get(key, 0.0) + intensity
    return {key: total[key] / len(patterns) for key in sorted(total)}


def difference_peaks(pattern: Pattern, reference: dict[int, float], n_peaks: int = 28) -> np.ndarray:
    """P = (sin 2θ, 100·ΔI): the first peaks that differ from a reference, zero-padded.

    ΔI is taken at equal 2θ (merged key), with 0 for a peak that one side lacks; differences up to 1e-5 are
    left out. The papers subtract by position in the list, which misaligns as soon as peak counts differ.

    Parameters
    ----------
    pattern : Pattern
    reference : dict of int to float
        Merged 2θ key → intensity on the scale 0–100, as :func:`mean_pattern` gives it.
    n_peaks : int

    Returns
    -------
    ndarray, shape (2, n_peaks)
    """
    own = dict(zip(peak_keys(pattern).tolist(), pattern.intensity.tolist(), strict=True))
    keys = sorted(own.keys() | reference.keys())
    differences = np.array([own.get(key, 0.0) - reference.get(key, 0.0) for key in keys])
    kept = np.flatnonzero(np.abs(differences) > LEAST_DIFFERENCE)[:n_peaks]
    peaks = np.zeros((2, n_peaks))
    peaks[0, : len(kept)] = np.sin(np.radians(np.array(keys)[kept] * TWO_THETA_STEP))
    peaks[1, : len(kept)] = 100 * differences[kept]
    return peaks


def difference_gram(pattern: Pattern, reference: dict[int, float], n_peaks: int = 28) -> np.ndarray:
    """M = PᵀP of :func:`difference_peaks`, shape (n_peaks, n_peaks): the matrix of CNN-Gen and WSP-GAN."""
    peaks = difference_peaks(pattern, reference, n_peaks)
    return peaks.T @ peaks


def qsvr_vector(pattern: Pattern, reference: dict[int, float], n_peaks: int = 32) -> np.ndarray:
    """P of :func:`difference_peaks` laid out flat, shape (2·n_peaks,): the input of the published QSVR."""
    return difference_peaks(pattern, reference, n_peaks).ravel()
