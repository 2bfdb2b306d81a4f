"""The corrected resampled t-test, Holm's correction, and probabilities of practical equivalence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn.model_selection import KFold

from qperov.evaluation.significance import (
    PracticalTest,
    bayesian_correlated_t_test,
    bayesian_signed_rank_test,
    corrected_resampled_t_test,
    detectable_difference,
    holm,
    region_half_width,
)


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


# --- practical equivalence ----------------------------------------------------------------------


@given(scores, scores, st.floats(0, 1), st.floats(0, 20))
def test_the_posterior_is_student_t_around_the_mean(a: np.ndarray, b: np.ndarray, share: float, rope: float) -> None:
    """Closed form with ρ = n_test/(n_train + n_test), as Corani and Benavoli write it."""
    found = bayesian_correlated_t_test(a, b, share, rope)
    assert found.lower + found.equivalent + found.higher == pytest.approx(1)
    difference = a - b
    if np.ptp(difference) == 0:
        where = [difference[0] < -rope, abs(difference[0]) <= rope, difference[0] > rope]
        assert [found.lower, found.equivalent, found.higher] == where
        return
    rho = share / (1 + share)
    scale = np.sqrt((1 / len(a) + rho / (1 - rho)) * difference.var(ddof=1))
    posterior = stats.t(len(a) - 1, loc=difference.mean(), scale=scale)
    expected = [posterior.cdf(-rope), posterior.cdf(rope) - posterior.cdf(-rope), posterior.sf(rope)]
    np.testing.assert_allclose([found.lower, found.equivalent, found.higher], expected, atol=1e-9)


@given(scores, scores, st.floats(0, 1))
def test_without_region_half_two_sided_p_is_left_on_wrong_side(a: np.ndarray, b: np.ndarray, share: float) -> None:
    paired = corrected_resampled_t_test(a, b, share)
    found = bayesian_correlated_t_test(a, b, share, 0.0)
    if np.ptp(a - b) > 0:
        assert min(found.lower, found.higher) == pytest.approx(paired.p / 2, abs=1e-12)
        assert found.equivalent == pytest.approx(0, abs=1e-12)


@given(scores, scores, st.floats(0, 1), st.floats(0, 20))
def test_exchange_of_the_models_exchanges_the_sides(a: np.ndarray, b: np.ndarray, share: float, rope: float) -> None:
    for one, other in (
        (bayesian_correlated_t_test(a, b, share, rope), bayesian_correlated_t_test(b, a, share, rope)),
        (bayesian_signed_rank_test(a, b, rope), bayesian_signed_rank_test(b, a, rope)),
    ):
        swapped = [other.higher, other.equivalent, other.lower]
        np.testing.assert_allclose([one.lower, one.equivalent, one.higher], swapped, atol=1e-9)


def test_with_more_overlap_the_region_is_less_sure() -> None:
    a, b = np.array([0.1, -0.1, 0.2, -0.2, 0.05]), np.zeros(5)
    inside = [bayesian_correlated_t_test(a, b, share, 0.2).equivalent for share in (0.0, 0.25, 1.0)]
    assert inside == sorted(inside, reverse=True)
    assert inside[0] > 0.9


def test_signed_rank_test_of_one_sided_and_of_tiny_differences() -> None:
    b = np.arange(12.0)
    assert bayesian_signed_rank_test(b - 1, b, 0.1).lower > 0.99
    assert bayesian_signed_rank_test(b + 0.01, b, 0.1).equivalent == 1
    even = bayesian_signed_rank_test(b + np.tile([1.0, -1.0], 6), b, 0.1)
    assert even.lower == pytest.approx(even.higher, abs=0.05)


@given(scores, scores, st.floats(0, 20))
def test_the_signed_rank_test_knows_ranks_and_not_sizes(a: np.ndarray, b: np.ndarray, rope: float) -> None:
    found = bayesian_signed_rank_test(a, b, rope)
    assert found.lower + found.equivalent + found.higher == pytest.approx(1)
    larger = bayesian_signed_rank_test(4 * a, 4 * b, 4 * rope)
    assert (larger.lower, larger.equivalent) == (found.lower, found.equivalent)


def test_the_signed_rank_probability_of_two_datasets() -> None:
    """d = (0, 1, 1), w ~ Dirichlet(½, 1, 1): above has 1 − w₀², in between w₀², with w₀ ~ Beta(½, 2)."""
    found = bayesian_signed_rank_test(np.ones(2), np.zeros(2), 0.0)
    assert found.higher == pytest.approx(stats.beta(0.5, 2).cdf(np.sqrt(0.5)), abs=0.015)
    assert found.lower == 0


@pytest.mark.parametrize("rope", [-0.1, float("nan")])
def test_a_region_has_a_width(rope: float) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        bayesian_correlated_t_test(np.zeros(3), np.ones(3), 0.25, rope)
    with pytest.raises(ValueError, match="must not be negative"):
        bayesian_signed_rank_test(np.zeros(3), np.ones(3), rope)


# --- outcomes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lower", "equivalent", "higher", "outcome"),
    [
        (0.95, 0.05, 0.0, "better"),
        (0.949, 0.051, 0.0, "likely better"),
        (0.80, 0.10, 0.10, "likely better"),
        (0.79, 0.21, 0.0, "undecidable"),
        (0.03, 0.95, 0.02, "practically the same"),
        (0.03, 0.94, 0.03, "undecidable"),
        (0.05, 0.14, 0.81, "likely worse"),
        (0.0, 0.04, 0.96, "worse"),
    ],
)
def test_one_of_six_outcomes(lower: float, equivalent: float, higher: float, outcome: str) -> None:
    assert PracticalTest(lower, equivalent, higher, 0.01).outcome == outcome


MIRROR = {"better": "worse", "likely better": "likely worse", "likely worse": "likely better", "worse": "better"}


@given(scores, scores, st.floats(0, 1), st.floats(0, 20))
def test_outcomes_mirror_under_exchange(a: np.ndarray, b: np.ndarray, share: float, rope: float) -> None:
    one, other = (bayesian_correlated_t_test(*pair, share, rope).outcome for pair in ((a, b), (b, a)))
    assert other == MIRROR.get(one, one)


def fold_differences(mean: float, folds: int, share: float, trials: int) -> np.ndarray:
    """Differences of unit variance whose folds are correlated by ρ = n_test/(n_train + n_test), shape (trials, J)."""
    rng, rho = np.random.default_rng(3), share / (1 + share)
    common, own = rng.normal(size=(trials, 1)), rng.normal(size=(trials, folds))
    return mean + np.sqrt(rho) * common + np.sqrt(1 - rho) * own


def outcomes(differences: np.ndarray, share: float, rope: float) -> list[str]:
    return [bayesian_correlated_t_test(row, np.zeros_like(row), share, rope).outcome for row in differences]


def test_false_better_is_rare_and_large_effects_are_found() -> None:
    share, folds = 0.2, 12
    equal = outcomes(fold_differences(0.0, folds, share, 2000), share, rope=0.1)
    assert equal.count("better") / 2000 <= 0.05
    assert equal.count("worse") / 2000 <= 0.05
    large = outcomes(fold_differences(-4.0, folds, share, 200), share, rope=0.1)
    assert set(large) == {"better"}
    alike = outcomes(1e-3 * fold_differences(0.0, folds, share, 200), share, rope=0.1)
    assert set(alike) == {"practically the same"}


def test_a_detectable_difference_is_found_in_four_of_five() -> None:
    """Against the noncentral t distribution, which says the power exactly."""
    rng = np.random.default_rng(0)
    for n, share in ((5, 0.25), (12, 0.2), (100, 0.1)):
        difference = rng.normal(size=n)
        detectable, floor = detectable_difference(difference, np.zeros(n), share)
        error = np.sqrt((1 / n + share) * difference.var(ddof=1))
        quantile = stats.t.ppf(0.975, n - 1)
        assert stats.nct.sf(quantile, n - 1, detectable / error) == pytest.approx(0.8, abs=0.03)
        assert floor == pytest.approx((1.959964 + 0.841621) * np.sqrt(share * difference.var(ddof=1)), rel=1e-6)
        assert floor < detectable
    assert detectable_difference(np.ones(4), np.zeros(4), 0.25) == (0, 0)


def test_the_region_is_a_width_or_a_share_of_the_best_constant() -> None:
    y = np.array([0.0, 1.0, 2.0, 10.0])  # median 1.5: absolute errors 1.5, 0.5, 0.5, 8.5
    assert region_half_width("5%", y) == pytest.approx(0.05 * 2.75)
    assert region_half_width(0.2, y) == region_half_width("0.2", y) == 0.2
    assert region_half_width(0, y) == 0


@pytest.mark.parametrize("rope", [-0.1, np.nan, np.inf, "-5%", "much", "", "5 meV"])
def test_no_region_of_such_a_width(rope: float | str) -> None:
    with pytest.raises(ValueError, match="region of practical equivalence"):
        region_half_width(rope, np.zeros(3))
