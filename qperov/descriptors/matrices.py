"""Vectors and matrices that the papers make from the peaks of a powder pattern.

Peak i has x = 2θᵢ in degrees and I = Iᵢ on the scale 0–100. Every function takes the first ``n_peaks`` peaks in order
of 2θ and fills up with zeros: the published form, which throws the tail of a longer pattern away.

References
----------
J. Hu, M. Li and P. Gao, MATGANIP: Learning to Discover the Structure-Property Relationship in Perovskites with
Generative Adversarial Networks (Gram matrix, its code form).
J.-J. Hu et al., Data-Driven Generation of Mixed X-Anion Perovskites Properties (difference Gram, QSVR and autoencoder
vectors; supplement, figure S6: graph of crystal planes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qperov.diffraction.patterns import Pattern
from qperov.diffraction.reflections import TWO_THETA_STEP
from qperov.errors import DescriptorError

#: Differences of intensity (scale 0–100) up to this size count as none.
LEAST_DIFFERENCE = 1e-5
#: Peaks of the autoencoder vector lie between these intensities (scale 0–100).
AUTOENCODER_INTENSITIES = (1.5, 70.0)


def peak_keys(pattern: Pattern) -> np.ndarray:
    """Whole numbers that are equal for peaks at the same 2θ, shape (n_peaks,): round(2θ / 1e-5°)."""
    return np.round(pattern.two_theta / TWO_THETA_STEP).astype(np.int64)


def peak_intensities(pattern: Pattern) -> dict[int, float]:
    """Merged 2θ key → intensity of the peak, on the scale 0–100."""
    return dict(zip(peak_keys(pattern).tolist(), pattern.intensity.tolist(), strict=True))


def mean_pattern(patterns: Sequence[Pattern | Mapping[int, float]]) -> dict[int, float]:
    """Mean intensity at each merged 2θ key over a set of patterns; an absent peak counts 0."""
    total: dict[int, float] = {}
    for pattern in patterns:
        for key, intensity in _by_key(pattern).items():
            total[key] = total.get(key, 0.0) + intensity
    return {key: total[key] / len(patterns) for key in sorted(total)}


def _by_key(pattern: Pattern | Mapping[int, float]) -> Mapping[int, float]:
    return peak_intensities(pattern) if isinstance(pattern, Pattern) else pattern


def difference_peaks(
    pattern: Pattern | Mapping[int, float],
    reference: Mapping[int, float],
    n_peaks: int = 28,
    *,
    by_position: bool = False,
) -> np.ndarray:
    """P = (sin 2θ, 100·ΔI): the first peaks that differ from a reference, zero-padded.

    ΔI is taken at equal 2θ (merged key), with 0 for a peak that one side lacks; differences up to 1e-5 are
    left out. The authors subtract the i-th peak of one list from the i-th of the other (``by_position``), which
    misaligns as soon as one list has a peak that the other lacks. Where the lists differ in length their program stops;
    here what one has more is left out.

    Parameters
    ----------
    pattern : Pattern or mapping of int to float
        Merged 2θ key → intensity instead of a pattern where lattices differ and keys are those of a common one.
    reference : mapping of int to float
        Merged 2θ key → intensity on the scale 0–100, as :func:`mean_pattern` gives it.
    n_peaks : int
    by_position : bool
        As published.

    Returns
    -------
    ndarray, shape (2, n_peaks)
    """
    own = _by_key(pattern)
    if by_position:
        pairs = list(zip(sorted(own), sorted(reference), strict=False))
    else:
        pairs = [(key, key) for key in sorted(own.keys() | reference.keys())]
    keys = [key for key, _ in pairs]
    differences = np.array([own.get(key, 0.0) - reference.get(other, 0.0) for key, other in pairs])
    kept = np.flatnonzero(np.abs(differences) > LEAST_DIFFERENCE)[:n_peaks]
    peaks = np.zeros((2, n_peaks))
    peaks[0, : len(kept)] = np.sin(np.radians(np.array(keys)[kept] * TWO_THETA_STEP))
    peaks[1, : len(kept)] = 100 * differences[kept]
    return peaks


def difference_gram(
    pattern: Pattern | Mapping[int, float],
    reference: Mapping[int, float],
    n_peaks: int = 28,
    *,
    by_position: bool = False,
) -> np.ndarray:
    """M = PᵀP of :func:`difference_peaks`, shape (n_peaks, n_peaks): the matrix of CNN-Gen and WSP-GAN."""
    peaks = difference_peaks(pattern, reference, n_peaks, by_position=by_position)
    return peaks.T @ peaks


def qsvr_vector(
    pattern: Pattern | Mapping[int, float],
    reference: Mapping[int, float],
    n_peaks: int = 32,
    *,
    by_position: bool = False,
) -> np.ndarray:
    """P of :func:`difference_peaks` laid out flat, shape (2·n_peaks,): the input of the published QSVR."""
    return difference_peaks(pattern, reference, n_peaks, by_position=by_position).ravel()


def _first_peaks(x: np.ndarray, intensity: np.ndarray, n_peaks: int) -> np.ndarray:
    """Columns (x, I) of the first peaks, zero-padded, shape (2, n_peaks)."""
    if n_peaks < 1:
        raise ValueError(f"n_peaks must be at least 1, not {n_peaks}")
    peaks = np.zeros((2, n_peaks))
    peaks[0, : len(x)] = x[:n_peaks]
    peaks[1, : len(x)] = intensity[:n_peaks]
    return peaks


def gram_matrix(pattern: Pattern, n_peaks: int = 28) -> np.ndarray:
    """aᵢⱼ = xᵢxⱼ + IᵢIⱼ, shape (n_peaks, n_peaks): the matrix of the MATGANIP text.

    The paper calls it a Laplacian matrix, which it is not: its rows do not sum to zero (:func:`laplacian_matrix`).
    """
    peaks = _first_peaks(pattern.two_theta, pattern.intensity, n_peaks)
    return peaks.T @ peaks


def matganip_matrix(pattern: Pattern, n_peaks: int = 28) -> np.ndarray:
    """mᵢⱼ = √(sin xᵢ sin xⱼ + IᵢIⱼ/100²), shape (n_peaks, n_peaks): the form by which MATGANIP's results were made."""
    peaks = _first_peaks(np.sin(np.radians(pattern.two_theta)), pattern.intensity / 100, n_peaks)
    return np.sqrt(peaks.T @ peaks)


def autoencoder_vector(pattern: Pattern, n_peaks: int = 32) -> np.ndarray:
    """z = I / 2θ of the first peaks with 1.5 < I < 70, zero-padded, ‖z‖₂ = 1, shape (n_peaks,).

    With 32 peaks these are the amplitudes of five qubits.

    Raises
    ------
    DescriptorError
        If no peak has such an intensity.
    """
    low, high = AUTOENCODER_INTENSITIES
    kept = (pattern.intensity > low) & (pattern.intensity < high)
    if not kept.any():
        raise DescriptorError(f"no peak has an intensity between {low} and {high}, so there is no autoencoder vector")
    angle, intensity = pattern.two_theta[kept], pattern.intensity[kept]
    amplitudes = _first_peaks(angle, intensity / angle, n_peaks)[1]
    return amplitudes / np.linalg.norm(amplitudes)


def adjacency_matrix(pattern: Pattern, n_peaks: int = 28) -> np.ndarray:
    """Wᵢⱼ = √((xᵢ − xⱼ)² + (Iᵢ − Iⱼ)²), shape (n_peaks, n_peaks): edges of the crystal-plane graph.

    Vertices are peaks, and the weight of an edge is the difference of its two peaks. Places without a peak are
    vertices without edges.
    """
    peaks = _first_peaks(pattern.two_theta, pattern.intensity, n_peaks)
    edges = np.hypot(*(peaks[:, :, None] - peaks[:, None, :]))
    present = np.arange(n_peaks) < len(pattern)
    return edges * np.outer(present, present)


def degree_matrix(pattern: Pattern, n_peaks: int = 28, *, weighted: bool = False) -> np.ndarray:
    """Diagonal matrix of how many edges meet in each vertex of the crystal-plane graph, shape (n_peaks, n_peaks).

    Every two peaks share an edge, so that each of n peaks has n − 1 of them, which tells their number alone. With
    ``weighted`` the edges count as much as they weigh: D = diag(Σⱼ Wᵢⱼ) of :func:`adjacency_matrix`.
    """
    edges = adjacency_matrix(pattern, n_peaks)
    return np.diag((edges if weighted else edges > 0).sum(axis=1).astype(float))


def laplacian_matrix(pattern: Pattern, n_peaks: int = 28) -> np.ndarray:
    """L = D − W of the crystal-plane graph, shape (n_peaks, n_peaks): rows sum to zero, no eigenvalue is negative.

    D are the degrees with weights; with counts of edges the rows of the paper's M_D − M_A would not sum to zero.
    """
    return degree_matrix(pattern, n_peaks, weighted=True) - adjacency_matrix(pattern, n_peaks)
