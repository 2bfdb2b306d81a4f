"""Is one model better than another, or were the folds kind to it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class PairedTest:
    """Mean difference of two models' fold scores, its 95 % interval, t and two-sided p."""

    difference: float
    low: float
    high: float
    t: float
    p: float


def corrected_resampled_t_test(a: np.ndarray, b: np.ndarray, test_share: float) -> PairedTest:
    """Paired t-test for scores from (repeated) cross-validation, whose training sets overlap.

    t = d̄ / √((1/J + n_test/n_train) s²_d), J − 1 degrees of freedom, d the J differences of fold scores: the
    ordinary t-test takes the folds for independent and finds differences that are not there.

    Parameters
    ----------
    a, b : ndarray, shape (J,)
        Scores of two models on the same folds.
    test_share : float
        n_test / n_train, its mean over folds.

    Returns
    -------
    PairedTest
        With equal scores in every fold: t = 0, p = 1; with the same difference in every fold: t = ±∞, p = 0.

    Raises
    ------
    ValueError
        With fewer than two folds, or not the same number for both.

    References
    ----------
    C. Nadeau and Y. Bengio, Machine Learning 52, 239 (2003), doi:10.1023/A:1024068626366.
    """
    if np.shape(a) != np.shape(b) or np.ndim(a) != 1 or len(a) < 2:
        raise ValueError(
            f"two or more folds of both models are needed, not scores of shape {np.shape(a)}, {np.shape(b)}"
        )
    difference = np.asarray(a) - np.asarray(b)
    n = len(difference)
    mean = float(difference.mean())
    error = float(np.sqrt((1 / n + test_share) * difference.var(ddof=1)))
    if error == 0:
        t, p = (0.0, 1.0) if mean == 0 else (float(np.copysign(np.inf, mean)), 0.0)
        return PairedTest(mean, mean, mean, t, p)
    t = mean / error
    half = float(stats.t.ppf(0.975, n - 1)) * error
    return PairedTest(mean, mean - half, mean + half, t, float(2 * stats.t.sf(abs(t), n - 1)))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p-values adjusted for their number by Holm's step-down rule, same order.

    References
    ----------
    S. Holm, Scandinavian Journal of Statistics 6, 65 (1979).
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted
