"""Exponential concentration: do the entries of a kernel matrix differ by enough to be measured, and to learn from?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from qperov.quantum.gram.matrix import off_diagonal, square

#: Below this many samples nothing is said: the spread of so few entries is no evidence.
MIN_SAMPLES = 10

#: A kernel is near-identity if not even targets drawn from it would be predicted with an R² above this.
MIN_EXPLAINED = 0.1

#: A matrix whose typical entry is larger has not collapsed onto the identity, whatever its spread.
MAX_MEDIAN = 0.25

#: Samples whose kernel value is 1 up to this are the same sample twice.
SAME = 1e-12


@dataclass(frozen=True)
class OffDiagonalStatistics:
    """How the entries of a kernel matrix above its diagonal are distributed.

    Parameters
    ----------
    n_pairs : int
        Number of pairs i < j.
    n_same : int
        Pairs that the kernel takes for one sample: K_ij = 1 up to rounding.
    mean, variance, median, minimum, maximum : float
        Of K_ij over all pairs; the variance is that of the population.
    """

    n_pairs: int
    n_same: int
    mean: float
    variance: float
    median: float
    minimum: float
    maximum: float


@dataclass(frozen=True)
class Concentration:
    """The spread of a kernel's entries against what shots can resolve.

    Parameters
    ----------
    spread : float
        Standard deviation of the entries K_ij, i < j, of different samples.
    shot_noise : float
        √(mean K(1 − K) / shots): the standard error of an entry measured as a frequency.
    resolution : float
        spread / shot_noise; infinite without noise.
    explained : float
        Largest share of variance (R²) that one can expect to predict at a left-out sample, see `explained_variance`.
    shots : int
        Repetitions of each circuit.
    """

    spread: float
    shot_noise: float
    resolution: float
    explained: float
    shots: int


def off_diagonal_statistics(K: ArrayLike) -> OffDiagonalStatistics:
    """Mean, variance, median and range of the entries above the diagonal.

    Parameters
    ----------
    K : array of shape (n_samples, n_samples)

    Raises
    ------
    ValueError
        A matrix that is not square, not finite, or has fewer than two samples.
    """
    entries = off_diagonal(K)
    return OffDiagonalStatistics(
        n_pairs=len(entries),
        n_same=int(np.count_nonzero(entries >= 1 - SAME)),
        mean=float(entries.mean()),
        variance=float(entries.var()),
        median=float(np.median(entries)),
        minimum=float(entries.min()),
        maximum=float(entries.max()),
    )


def concentration(K: ArrayLike, shots: int) -> Concentration:
    """Compare the spread of exact kernel values with the noise that a number of shots leaves on them.

    A fidelity measured as a frequency has the binomial variance K(1 − K)/shots. Values that concentrate around a fixed
    one exponentially in the number of qubits are lost in it, unless the shots grow exponentially as well. Pairs of the
    same sample (K_ij = 1) are left out: in a matrix near the identity, a few of them would be all of the spread.

    Parameters
    ----------
    K : array of shape (n_samples, n_samples)
        Exact fidelities.
    shots : int
        Repetitions of each circuit.

    Raises
    ------
    ValueError
        As for `off_diagonal_statistics`; fewer than one shot.

    References
    ----------
    S. Thanasilp, S. Wang, M. Cerezo, Z. Holmes, Nat. Commun. 15, 5200 (2024), doi:10.1038/s41467-024-49287-w.
    """
    if shots < 1:
        raise ValueError(f"shots must be at least 1, got {shots}")
    entries = _between_different(K)
    spread = float(entries.std()) if len(entries) else 0.0
    noise = math.sqrt(_binomial_variance(entries) / shots)
    resolution = spread / noise if noise > 0 else math.inf
    return Concentration(spread, noise, resolution, explained_variance(K), shots)


def minimum_shots(K: ArrayLike, factor: float = 2.0) -> float:
    """Shots per entry for which the spread of the entries exceeds the shot noise by a factor.

    shots = ⌈factor² · mean K(1 − K) / Var K⌉ over the pairs i < j of different samples. For Haar-random states of n
    qubits it is close to factor² · 2ⁿ.

    Parameters
    ----------
    K : array of shape (n_samples, n_samples)
        Exact fidelities.
    factor : float
        How many times the noise the spread shall be.

    Returns
    -------
    float
        A whole number, or infinity if all entries are equal.

    Raises
    ------
    ValueError
        As for `off_diagonal_statistics`; a factor that is not positive.

    References
    ----------
    S. Thanasilp et al., Nat. Commun. 15, 5200 (2024), doi:10.1038/s41467-024-49287-w.
    """
    if not factor > 0:
        raise ValueError(f"factor must be positive, got {factor}")
    entries = _between_different(K)
    variance = float(entries.var()) if len(entries) else 0.0
    if variance == 0:
        return math.inf
    return float(max(1, math.ceil(factor**2 * _binomial_variance(entries) / variance)))


def explained_variance(K: ArrayLike) -> float:
    """Share of a target's variance that a near-identity kernel matrix can explain at a left-out sample.

    With the constant m = mean K_ij taken out, which an intercept stands for, K = m·11ᵀ + (1 − m)(1 + E). For targets
    drawn from the kernel itself the R² of leaving one out is, to leading order in E, the mean over samples of
    Σ_j E_ij² = Σ_j (K_ij − m)² / (1 − m)². Nothing can be learned where this is small; a large value (it has no bound)
    only says that the matrix is far from the identity. Pairs of the same sample are left out. Takes O(N²).

    Parameters
    ----------
    K : array of shape (n_samples, n_samples)
        Kernel matrix with ones on the diagonal.

    Returns
    -------
    float
        0 for the identity; infinity if the samples are all the same.
    """
    return _explained(_between_different(K), len(square(K)))


def concentration_warning(K: ArrayLike, shots: int | None = None) -> str | None:
    """One line of advice if a training matrix is concentrated, else None.

    It speaks up when the matrix is the identity for the purpose of learning (`explained_variance` below 0.1 and a
    median entry below 0.25), or when the entries were measured and their variance is no more than twice what shot
    noise alone gives. It does so neither for fewer than 10 samples, nor for exact matrices that are nearly constant:
    their small differences are exact too. Takes O(N²).

    Parameters
    ----------
    K : array of shape (n_samples, n_samples)
        The training matrix as it is used, noise included.
    shots : int or None
        Shots behind each entry; None for exact values.

    References
    ----------
    S. Thanasilp et al., Nat. Commun. 15, 5200 (2024), doi:10.1038/s41467-024-49287-w.
    """
    K = square(K)
    if len(K) < MIN_SAMPLES:
        return None
    different = _between_different(K)
    n_low = np.count_nonzero(different < MAX_MEDIAN)
    identity = 4 * n_low > len(K) * (len(K) - 1) and _explained(different, len(K)) < MIN_EXPLAINED
    lost = shots is not None and len(different) and different.var() <= 2 * _binomial_variance(different) / shots
    if not (identity or lost):
        return None
    statistics = off_diagonal_statistics(K)
    entries = f"off-diagonal entries {statistics.mean:.2g} ± {math.sqrt(statistics.variance):.1g}"
    advice = "lower the bandwidth, use fewer qubits, or a projected kernel"
    if identity:
        return f"the kernel is concentrated: its matrix is close to the identity ({entries}); {advice}"
    return f"the kernel is concentrated: {shots} shots do not resolve its values ({entries}); use more, or {advice}"


def _between_different(K: ArrayLike) -> np.ndarray:
    """Off-diagonal entries without those of the same sample, which say nothing about the others; maybe none."""
    entries = off_diagonal(K)
    return entries[entries < 1 - SAME]


def _explained(entries: np.ndarray, n_samples: int) -> float:
    """`explained_variance` from the entries between different samples."""
    if len(entries) == 0:
        return math.inf
    return float(2 * len(entries) / n_samples * entries.var() / (1 - entries.mean()) ** 2)


def _binomial_variance(entries: np.ndarray) -> float:
    """Mean K(1 − K), the variance of one shot; entries beyond [0, 1] by noise or repair count as certain."""
    return float(np.mean(np.maximum(entries * (1 - entries), 0.0))) if len(entries) else 0.0
