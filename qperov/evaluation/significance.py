"""Tests of differences between models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

#: Half-width of the region of practical equivalence: a share of the best constant's MAE, all that there is to learn.
ROPE = "5%"
#: Probabilities from which on an outcome is certain, or likely.
CERTAIN, LIKELY = 0.95, 0.80
#: Chance that a detectable difference is found by a two-sided test at 5 %.
POWER = 0.80
#: Draws from the posterior of the signed-rank test: probabilities are exact to about 0.01.
DRAWS = 5000


@dataclass(frozen=True)
class PairedTest:
    """Mean difference of two models' fold scores, its 95 % interval, t and two-sided p."""

    difference: float
    low: float
    high: float
    t: float
    p: float


@dataclass(frozen=True)
class PracticalTest:
    """Probabilities that model a scores lower than b by more than ``rope``, that they differ by no more, and that a
    scores higher by more; for errors, lower is better. They add up to 1."""

    lower: float
    equivalent: float
    higher: float
    rope: float

    @property
    def outcome(self) -> str:
        """What is decided of errors of model a: one of six.

        "better", "practically the same" or "worse" where its probability is 0.95 or more, "likely better" or "likely
        worse" where it is 0.80 or more; else "undecidable" with these folds of these crystals.
        """
        for probability, word in ((self.lower, "better"), (self.higher, "worse")):
            if probability >= LIKELY:
                return word if probability >= CERTAIN else f"likely {word}"
        return "practically the same" if self.equivalent >= CERTAIN else "undecidable"


def region_half_width(rope: float | str, y: np.ndarray) -> float:
    """Half the width of the region of practical equivalence, in the label's unit.

    Parameters
    ----------
    rope : float or str
        The half-width itself, or a share such as "5%" of the best constant's MAE, mean |y − median(y)|, or of classes
        of its balanced error, 1 − 1/number of classes.
    y : ndarray, shape (n,)
        Labels; of classes, those that are scored.

    Raises
    ------
    ValueError
        If it is neither, negative or infinite.
    """
    text = str(rope).strip()
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = np.nan
    if not 0 <= value < np.inf:
        raise ValueError(
            f"the region of practical equivalence is half as wide as a number in the label's unit, or as a share of "
            f'the best constant\'s MAE such as "5%": {rope!r} is neither'
        )
    if not text.endswith("%"):
        return value
    spread = 1 - 1 / len(np.unique(y)) if y.dtype.kind == "U" else float(np.abs(y - np.median(y)).mean())
    return value / 100 * spread


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
    mean, error, n = _mean_and_error(a, b, test_share)
    if error == 0:
        t, p = (0.0, 1.0) if mean == 0 else (float(np.copysign(np.inf, mean)), 0.0)
        return PairedTest(mean, mean, mean, t, p)
    t = mean / error
    half = float(stats.t.ppf(0.975, n - 1)) * error
    return PairedTest(mean, mean - half, mean + half, t, float(2 * stats.t.sf(abs(t), n - 1)))


def detectable_difference(a: np.ndarray, b: np.ndarray, test_share: float) -> tuple[float, float]:
    """True difference that :func:`corrected_resampled_t_test` finds in four of five experiments, and its floor.

    δ_J = (t₀.₉₇₅ + t₀.₈₀) √((1/J + n_test/n_train) s²_d), t quantiles with J − 1 degrees of freedom: two-sided 5 %,
    power 80 %. Further repeats enlarge J alone: the floor δ_∞ = (z₀.₉₇₅ + z₀.₈₀) √(n_test/n_train · s²_d) is what
    stays of it, which only more crystals lower. The scatter s_d is that of these folds.

    Parameters
    ----------
    a, b : ndarray, shape (J,)
        Scores of two models on the same folds.
    test_share : float
        n_test / n_train, its mean over folds.

    Returns
    -------
    (float, float)
        At this J, and with J → ∞; in the unit of the scores.

    Raises
    ------
    ValueError
        With fewer than two folds, or not the same number for both.
    """
    _, error, n = _mean_and_error(a, b, test_share)
    quantiles = [float(each.ppf(0.975) + each.ppf(POWER)) for each in (stats.t(n - 1), stats.norm())]
    return quantiles[0] * error, quantiles[1] * error * float(np.sqrt(test_share / (1 / n + test_share)))


def bayesian_correlated_t_test(a: np.ndarray, b: np.ndarray, test_share: float, rope: float) -> PracticalTest:
    """How probable it is that two models differ by more than matters, from (repeated) cross-validation.

    With a flat prior the mean difference μ of the fold scores has the posterior (μ − d̄) / √((1/J + ρ/(1 − ρ)) s²_d) ~
    Student's t with J − 1 degrees of freedom; folds are correlated by ρ = n_test / (n_train + n_test), that is
    ρ/(1 − ρ) = n_test/n_train. Its central 95 % are the interval of :func:`corrected_resampled_t_test`.

    Parameters
    ----------
    a, b : ndarray, shape (J,)
        Scores of two models on the same folds.
    test_share : float
        n_test / n_train, its mean over folds; 0 for independent trials.
    rope : float
        Half-width of the region of practical equivalence, in the unit of the scores.

    Returns
    -------
    PracticalTest
        With the same difference in every fold the posterior is that one number.

    Raises
    ------
    ValueError
        With fewer than two folds, or not the same number for both; with a negative rope.

    References
    ----------
    G. Corani and A. Benavoli, Machine Learning 100, 285 (2015), doi:10.1007/s10994-015-5486-z;
    A. Benavoli, G. Corani, J. Demšar and M. Zaffalon, JMLR 18, 77 (2017), the region of practical equivalence.
    """
    _check_rope(rope)
    mean, error, n = _mean_and_error(a, b, test_share)
    if error == 0:
        lower, higher = float(mean < -rope), float(mean > rope)
        return PracticalTest(lower, 1 - lower - higher, higher, rope)
    lower = float(stats.t.cdf((-rope - mean) / error, n - 1))
    higher = float(stats.t.sf((rope - mean) / error, n - 1))
    return PracticalTest(lower, max(0.0, 1 - lower - higher), higher, rope)


def bayesian_signed_rank_test(a: np.ndarray, b: np.ndarray, rope: float, *, random_state: int = 0) -> PracticalTest:
    """Which of two models does better on a further dataset, from one score of each on several datasets.

    The differences dᵢ and one more, d₀ = 0, are weighed by w ~ Dirichlet(½, 1, …, 1); the mass of Σᵢⱼ wᵢ wⱼ is dealt
    out by where the mean of dᵢ and dⱼ lies: below −rope, in between, or above. A probability is the share of draws in
    which its region has the most mass; a tie is shared. Datasets count as independent: folds of one dataset are not,
    and belong in :func:`bayesian_correlated_t_test`.

    Parameters
    ----------
    a, b : ndarray, shape (n,)
        Scores of two models on the same datasets, all of one unit or all relative.
    rope : float
        Half-width of the region of practical equivalence, in the unit of the scores.
    random_state : int

    Raises
    ------
    ValueError
        With fewer than two datasets, or not the same number for both; with a negative rope.

    References
    ----------
    A. Benavoli, G. Corani, J. Demšar and M. Zaffalon, JMLR 18, 77 (2017), section 4.2, with prior strength ½.
    """
    _check_rope(rope)
    difference = np.concatenate([[0.0], _differences(a, b)])
    sums = difference[:, None] + difference
    weights = np.random.default_rng(random_state).dirichlet([0.5, *np.ones(len(difference) - 1)], DRAWS)
    below, above = (((weights @ part) * weights).sum(axis=1) for part in (sums < -2 * rope, sums > 2 * rope))
    masses = np.column_stack([below, 1 - below - above, above])
    most = np.isclose(masses, masses.max(axis=1, keepdims=True), rtol=0, atol=1e-12)
    lower, equivalent, higher = (most / most.sum(axis=1, keepdims=True)).mean(axis=0).tolist()
    return PracticalTest(lower, equivalent, higher, rope)


def _differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if np.shape(a) != np.shape(b) or np.ndim(a) != 1 or len(a) < 2:
        raise ValueError(
            f"two or more folds of both models are needed, not scores of shape {np.shape(a)}, {np.shape(b)}"
        )
    return np.asarray(a, dtype=float) - np.asarray(b, dtype=float)


def _mean_and_error(a: np.ndarray, b: np.ndarray, test_share: float) -> tuple[float, float, int]:
    """Mean of the differences, its standard error widened for the overlap of training sets, and their number."""
    difference = _differences(a, b)
    n = len(difference)
    return float(difference.mean()), float(np.sqrt((1 / n + test_share) * difference.var(ddof=1))), n


def _check_rope(rope: float) -> None:
    if not rope >= 0:
        raise ValueError(f"rope is half the width of a region and must not be negative, got {rope}")


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
