"""Scores of out-of-fold predictions, each with a bootstrap interval, and what limits them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Score:
    """A score and its 95 % interval."""

    value: float
    low: float
    high: float


def weighted_scores(y: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of one set of predictions under several weightings of the crystals.

    MAE = Σ w|e| / Σ w; RMSE = √(Σ w e² / Σ w); R² = 1 − Σ w e² / Σ w (y − ȳ)²; Spearman ρ: Pearson correlation of
    mid-ranks; MAER = Σ w |e/y| / Σ w (the papers' mean absolute error rate; it depends on where y has its zero).

    Parameters
    ----------
    y, prediction : ndarray, shape (n,)
    weights : ndarray, shape (b, n)
        How often each crystal counts.

    Returns
    -------
    dict of str to ndarray, shape (b,)
        NaN where a score is not defined (constant labels or predictions, a label of zero for MAER).
    """
    total = weights.sum(axis=1)
    error = prediction - y
    squared = weights @ error**2
    shifted = y - y.mean()
    around_mean = weights @ shifted**2
    spread = around_mean - (weights @ shifted) ** 2 / total
    # what is left of constant labels by the rounding of this difference and of the labels themselves
    rounding = 1e-12 * around_mean + total * (1e-13 * np.abs(y).max()) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.abs(error / y) if (y != 0).all() else np.full(len(y), np.nan)
        return {
            "mae": weights @ np.abs(error) / total,
            "rmse": np.sqrt(squared / total),
            "r2": np.where(spread > rounding, 1 - squared / spread, np.nan),
            "spearman": _weighted_correlation(_mid_ranks(y, weights), _mid_ranks(prediction, weights), weights),
            "maer": weights @ rate / total,
        }


def _mid_ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean rank of each entry when entry i stands weights[:, i] times in the sample, shape (b, n)."""
    levels, level_of = np.unique(values, return_inverse=True)
    per_level = np.zeros((weights.shape[0], len(levels)))
    np.add.at(per_level.T, level_of, weights.T)
    upper = np.cumsum(per_level, axis=1)
    return (upper - (per_level - 1) / 2)[:, level_of]


def _weighted_correlation(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = weights.sum(axis=1, keepdims=True)
    a = a - (weights * a).sum(axis=1, keepdims=True) / total
    b = b - (weights * b).sum(axis=1, keepdims=True) / total
    covariance = (weights * a * b).sum(axis=1)
    variances = (weights * a**2).sum(axis=1) * (weights * b**2).sum(axis=1)
    return np.where(variances > 0, covariance / np.sqrt(np.where(variances > 0, variances, 1)), np.nan)


def bootstrap_weights(groups: np.ndarray, n_bootstrap: int, random_state: int) -> np.ndarray:
    """How often each crystal counts when whole groups are drawn with replacement, shape (n_bootstrap, n)."""
    _, code = np.unique(groups, return_inverse=True)
    n_groups = int(code.max()) + 1
    drawn = np.random.default_rng(random_state).multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n_bootstrap)
    return drawn[:, code].astype(np.float64)


def scores(y: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> dict[str, Score]:
    """Scores with percentile intervals, averaged over the repeats of cross-validation.

    Parameters
    ----------
    y : ndarray, shape (n,)
    predictions : ndarray, shape (n_repeats, n)
        Out-of-fold predictions.
    weights : ndarray, shape (b, n)
        From :func:`bootstrap_weights`; the same for every model, so that models meet the same resamples.

    Returns
    -------
    dict of str to Score
    """
    once = np.vstack([np.ones(len(y)), weights])
    repeats = [weighted_scores(y, prediction, once) for prediction in predictions]
    result = {}
    for name in repeats[0]:
        mean = np.mean([values[name] for values in repeats], axis=0)
        drawn = mean[1:][~np.isnan(mean[1:])]
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(drawn, [tail, 1 - tail]) if len(drawn) else (np.nan, np.nan)
        result[name] = Score(float(mean[0]), float(low), float(high))
    return result


def ceiling_r2(y: np.ndarray, rows: np.ndarray) -> float:
    """R² of the best possible function of a descriptor on these crystals: 1 − E[var(y | descriptor)] / var(y).

    Parameters
    ----------
    y : ndarray, shape (n,)
    rows : ndarray of int, shape (n,)
        Equal numbers where the descriptor is identical.

    Returns
    -------
    float
        1.0 when every crystal has a descriptor of its own; NaN when y is constant.
    """
    _, code = np.unique(rows, return_inverse=True)
    means = np.bincount(code, weights=y) / np.bincount(code)
    return float(weighted_scores(y, means[code], np.ones((1, len(y))))["r2"][0])
