"""Scores of out-of-fold predictions, each with a bootstrap interval, and what limits them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qperov.errors import DatasetKindError

CONFIDENCE = 0.95
#: Least probability in a log loss, which a class without training samples would make infinite.
LEAST_PROBABILITY = 1e-3
#: Bins of equal width of the highest probability, in which calibration is measured.
CALIBRATION_BINS = 10


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
    return _mean_with_intervals([weighted_scores(y, prediction, once) for prediction in predictions])


def class_scores(
    y: np.ndarray, predictions: np.ndarray, probabilities: np.ndarray, weights: np.ndarray
) -> dict[str, Score]:
    """Scores of classes with percentile intervals, averaged over the repeats of cross-validation.

    Parameters
    ----------
    y : ndarray of int, shape (n,)
    predictions : ndarray of int, shape (n_repeats, n)
    probabilities : ndarray, shape (n_repeats, n, n_classes)
    weights : ndarray, shape (b, n)
        From :func:`bootstrap_weights`; the same for every model.
    """
    once = np.vstack([np.ones(len(y)), weights])
    pairs = zip(predictions, probabilities, strict=True)
    return _mean_with_intervals([weighted_class_scores(y, prediction, p, once) for prediction, p in pairs])


def weighted_class_scores(
    y: np.ndarray, prediction: np.ndarray, probabilities: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    r"""Scores of one set of predicted classes under several weightings of the samples.

    Balanced accuracy: mean over the classes of y of the share of their samples that is right; balanced error:
    1 − balanced accuracy; macro F1: mean over the same classes of 2 TP / (2 TP + FP + FN); log loss:
    −Σ w ln max(p, 0.001) / Σ w, p the probability of the true class; calibration error:
    :math:`\sum_b |\sum_{i∈b} w_i (h_i - p_i)| / \sum w` over ten bins of the highest probability p, h 1 where that
    class is right and else 0.

    Parameters
    ----------
    y, prediction : ndarray of int, shape (n,)
        Numbers of classes; predicted classes may be others than those of y.
    probabilities : ndarray, shape (n, n_classes)
        NaN where a model gives none.
    weights : ndarray, shape (b, n)
        How often each sample counts.

    Returns
    -------
    dict of str to ndarray, shape (b,)
        NaN where a score is not defined.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, Proc. Mach. Learn. Res. 70, 1321 (2017): the calibration error.
    """
    total = weights.sum(axis=1)
    hits = prediction == y
    recalls, f1s = [], []
    with np.errstate(divide="ignore", invalid="ignore"):
        for number in np.unique(y):
            own, said = y == number, prediction == number
            right, there = weights @ (own & said), weights @ own
            recalls.append(right / there)  # NaN where the class was not drawn
            f1s.append(np.where(there > 0, 2 * right / (there + weights @ said), np.nan))
    balanced = _mean_of_known(recalls)
    found = {
        "error": 1 - balanced,
        "balanced_accuracy": balanced,
        "accuracy": weights @ hits / total,
        "macro_f1": _mean_of_known(f1s),
    }
    if np.isnan(probabilities).any():
        unknown = np.full(len(total), np.nan)
        return found | {"log_loss": unknown, "calibration_error": unknown}
    surprise = -np.log(np.maximum(probabilities[np.arange(len(y)), y], LEAST_PROBABILITY))
    highest, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == y
    bins = np.minimum((highest * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = [np.abs(weights @ ((right - highest) * (bins == b))) for b in range(CALIBRATION_BINS)]
    return found | {"log_loss": weights @ surprise / total, "calibration_error": np.sum(gaps, axis=0) / total}


def _mean_of_known(parts: Sequence[np.ndarray]) -> np.ndarray:
    values = np.array(parts)
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(axis=0) / known.sum(axis=0)


def class_weights(y: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Weights with which a mean of hits is the balanced accuracy, shape (n,): 1 / samples of the class.

    Zero for a class that stands in one group alone: where that is tested, nothing of the class is learnt from.

    Raises
    ------
    DatasetKindError
        If fewer than two classes stand in two groups or more.
    """
    names, code, counts = np.unique(y, return_inverse=True, return_counts=True)
    many = np.array([len(np.unique(groups[code == number])) for number in range(len(names))])
    if (many > 1).sum() < 2:
        found = ", ".join(f"{name}: {one}" for name, one in zip(names, many, strict=True))
        raise DatasetKindError(
            "at least two classes must stand in two independent groups or more, to be tested and learnt from at once; "
            f"the groups of each class are {found}: add samples of other series, or say what groups are"
        )
    return np.where(many[code] > 1, 1 / counts[code], 0.0)


def _mean_with_intervals(repeats: Sequence[dict[str, np.ndarray]]) -> dict[str, Score]:
    """Values and intervals of scores whose first entry is of the samples as they are."""
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
