"""The corrected resampled t-test and Holm's correction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn.model_selection import KFold

from qperov.evaluation.significance import corrected_resampled_t_test, holm


def test_worked_by_hand() -> None:
    """Differences 1, 2, 3, 4, 5: mean 3, s² = 2.5; with n_test/n_train = 1/4, σ² = (1/5 + 1/4)·2.5 = 1.125."""
    b = np.array([0.5, -1.0, 2.0, 0.0, 1.0])
    test = corrected_resampled_t_test(b + np.arange(1, 6), b, 0.25)
    assert test.difference == pytest.approx(3)
    assert test.t == pytest.approx(3 / np.sqrt(1.125))
    quantile = 2.7764451051977987  # of t with 4 degrees of freedom at 0.975
    assert test.low == pytest.approx(3 - quantile * np.sqrt(1.125))
    assert test.high == pytest.approx(3 + quantile * np.sqrt(1.125))
    # the distribution function of t with 4 degrees of freedom in closed form
    u = test.t / np.sqrt(test.t**2 + 4)
    assert test.p == pytest.approx(1 - 1.5 * (u - u**3 / 3))


scores = hnp.arrays(float, st.shared(st.integers(2, 12), key="J"), elements=st.integers(-50, 50).map(float))


@given(scores, scores)
def test_without_overlap_it_is_the_paired_t_test(a: np.ndarray, b: np.ndarray) -> None:
    test = corrected_resampled_t_test(a, b, 0.0)
    if np.ptp(a - b) == 0:
        assert test.p == (1.0 if a[0] == b[0] else 0.0)
        return
    reference = stats.ttest_rel(a, b)
    assert test.t == pytest.approx(reference.statistic)
    assert test.p == pytest.approx(reference.pvalue)
    low, high = reference.confidence_interval(0.95)
    assert (test.low, test.high) == (pytest.approx(low), pytest.approx(high))


@given(scores, scores, st.floats(0, 2))
def test_antisymmetric_and_interval_agrees_with_p(a: np.ndarray, b: np.ndarray, share: float) -> None:
    one, other = corrected_resampled_t_test(a, b, share), corrected_resampled_t_test(b, a, share)
    assert (one.difference, one.t, one.low, one.p) == (-other.difference, -other.t, -other.high, other.p)
    if abs(one.p - 0.05) > 1e-9:
        assert (one.low > 0 or one.high < 0) == (one.p < 0.05)
    assert corrected_resampled_t_test(a, b, share + 0.1).p >= one.p - 1e-12, "more overlap, less certainty"


def test_equal_and_constantly_different_scores() -> None:
    a = np.array([0.5, 0.25, 0.125])
    same = corrected_resampled_t_test(a, a, 0.25)
    assert (same.difference, same.low, same.high, same.t, same.p) == (0, 0, 0, 0, 1)
    shifted = corrected_resampled_t_test(a - 1, a, 0.25)
    assert (shifted.difference, shifted.t, shifted.p) == (-1, -np.inf, 0)


@pytest.mark.parametrize(("a", "b"), [([1.0], [2.0]), ([1.0, 2.0], [1.0]), ([[1.0, 2.0]], [[1.0, 2.0]])])
def test_too_few_or_unpaired_folds(a: list[float], b: list[float]) -> None:
    with pytest.raises(ValueError, match="two or more folds"):
        corrected_resampled_t_test(np.array(a), np.array(b), 0.25)


def straight_line(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Predictions of least squares, one fit a row."""
    centred = x - x.mean(axis=1, keepdims=True)
    slope = (centred * y).sum(axis=1) / (centred**2).sum(axis=1)
    return y.mean(axis=1, keepdims=True) + slope[:, None] * (new - x.mean(axis=1, keepdims=True))


def test_type_one_error_on_overlapping_folds() -> None:
    """Two models that are equally good: each sees one of two features of equal weight.

    Ten times five folds share most of their training rows. The plain t-test takes them for fifty independent trials
    and is wrong far more often than 5 %; the corrected one is not.
    """
    rng = np.random.default_rng(0)
    wrong = {0.0: 0, 0.25: 0}
    trials = 300
    dealt = [split for repeat in range(10) for split in KFold(5, shuffle=True, random_state=repeat).split(np.zeros(40))]
    train, test = (np.array(rows) for rows in zip(*dealt, strict=True))
    for _ in range(trials):
        X = rng.normal(size=(40, 2))
        y = X.sum(axis=1) + rng.normal(size=40)
        a, b = (np.abs(straight_line(x[train], y[train], x[test]) - y[test]).mean(axis=1) for x in X.T)
        for share in wrong:
            wrong[share] += corrected_resampled_t_test(a, b, share).p < 0.05
    assert wrong[0.0] / trials > 0.2
    assert wrong[0.25] / trials < 0.1


# --- Holm ---------------------------------------------------------------------------------------


def test_holm_worked_by_hand() -> None:
    """Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04; the last is raised to 0.06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == pytest.approx([1, 1])
    assert holm([0.04]) == pytest.approx([0.04])
    assert len(holm([])) == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.sampled_from([0.01, 0.05, 0.2]))
def test_holm_rejects_what_stepping_down_rejects(p: list[float], alpha: float) -> None:
    """The rule in Holm's own words: go up from the least p, stop at the first with p·(hypotheses left) > α."""
    rejected = np.zeros(len(p), dtype=bool)
    for step, i in enumerate(np.argsort(p, kind="stable")):
        if p[i] * (len(p) - step) > alpha:
            break
        rejected[i] = True
    adjusted = holm(p)
    assert np.array_equal(adjusted <= alpha, rejected)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(1, np.array(p) * len(p)) + 1e-15).all(), "never stricter than Bonferroni"
