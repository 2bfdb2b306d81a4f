"""Scores, their bootstrap intervals, and the ceiling of a descriptor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from qperov.evaluation.metrics import bootstrap_weights, ceiling_r2, scores, weighted_scores
from qperov.evaluation.results import METRICS
from qperov.evaluation.splits import identical_rows

sizes = st.shared(st.integers(3, 15), key="n")
tied = hnp.arrays(float, sizes, elements=st.integers(-4, 4).map(float))
smooth = hnp.arrays(float, sizes, elements=st.floats(-1e3, 1e3).map(lambda v: round(v, 3)))
counts = hnp.arrays(int, sizes, elements=st.integers(0, 3)).filter(lambda w: w.sum() > 0)


def plain_scores(y: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """Scores of scikit-learn and scipy; NaN where they are not defined."""
    flat = np.ptp(y) == 0
    return {
        "mae": mean_absolute_error(y, prediction),
        "rmse": root_mean_squared_error(y, prediction),
        "r2": np.nan if flat else r2_score(y, prediction),
        "spearman": np.nan if flat or np.ptp(prediction) == 0 else stats.spearmanr(y, prediction).statistic,
        "maer": np.nan if (y == 0).any() else np.mean(np.abs((prediction - y) / y)),
    }


@given(st.one_of(tied, smooth), st.one_of(tied, smooth))
def test_scores_equal_those_of_scikit_learn_and_scipy(y: np.ndarray, prediction: np.ndarray) -> None:
    found = weighted_scores(y, prediction, np.ones((1, len(y))))
    assert tuple(found) == METRICS
    for name, value in plain_scores(y, prediction).items():
        assert found[name][0] == pytest.approx(value, rel=1e-9, abs=1e-9, nan_ok=True), name


@given(tied, st.one_of(tied, smooth), counts)
def test_weights_are_repetitions(y: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> None:
    """Weight w is the same as the row standing there w times; only a zero label counts even when left out."""
    found = weighted_scores(y, prediction, np.array([weights, np.ones_like(weights)], dtype=float))
    repeated = plain_scores(np.repeat(y, weights), np.repeat(prediction, weights))
    if (y == 0).any():
        repeated["maer"] = np.nan
    for name, value in repeated.items():
        assert found[name][0] == pytest.approx(value, rel=1e-9, abs=1e-9, nan_ok=True), name
    for name, value in plain_scores(y, prediction).items():
        assert found[name][1] == pytest.approx(value, rel=1e-9, abs=1e-9, nan_ok=True), name


def test_maer_depends_on_the_zero_of_energy() -> None:
    once = np.ones((1, 2))
    y, prediction = np.array([2.0, -4.0]), np.array([3.0, -5.0])
    assert weighted_scores(y, prediction, once)["maer"][0] == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert weighted_scores(y + 100, prediction + 100, once)["maer"][0] == pytest.approx((1 / 102 + 1 / 96) / 2)
    assert np.isnan(weighted_scores(y - 2, prediction - 2, once)["maer"][0])


@pytest.mark.parametrize("value", [0.0, 0.1, -37.0, 1e9])
def test_scores_that_constants_leave_undefined(value: float) -> None:
    once, line = np.ones((1, 7)), np.linspace(0, 1, 7)
    constant_labels = weighted_scores(np.full(7, value), line, once)
    assert np.isnan(constant_labels["r2"][0])
    assert np.isnan(constant_labels["spearman"][0])
    constant_predictions = weighted_scores(line, np.full(7, value), once)
    assert np.isnan(constant_predictions["spearman"][0])
    assert constant_predictions["r2"][0] <= 0
    assert np.isnan(ceiling_r2(np.full(7, value), np.arange(7)))


def test_labels_that_differ_by_rounding_alone_are_constant() -> None:
    y = np.array([0.3, 0.1 + 0.2, 0.3, 0.3])
    assert np.ptp(y) > 0
    assert np.isnan(weighted_scores(y, np.arange(4.0), np.ones((1, 4)))["r2"][0])


@pytest.mark.parametrize("seed", range(3))
def test_a_resample_of_one_value_leaves_r2_undefined(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=50)
    weights = np.vstack([np.diag(rng.integers(1, 60, size=50)), np.ones(50)])
    found = weighted_scores(y, rng.normal(size=50), weights)["r2"]
    assert np.isnan(found[:50]).all()
    assert np.isfinite(found[50])


@pytest.mark.parametrize("zero", [0.0, -37.0, -150.0, -2e5])
def test_r2_does_not_depend_on_the_zero_of_energy(zero: float) -> None:
    """Also for all-electron totals of 2·10⁵ eV that differ by meV."""
    rng = np.random.default_rng(0)
    y = 1e-3 * rng.normal(size=200)
    prediction = y + 5e-4 * rng.normal(size=200)
    weights = bootstrap_weights(np.arange(200), 5, 0)
    shifted = weighted_scores(y + zero, prediction + zero, weights)
    assert shifted["r2"] == pytest.approx(weighted_scores(y, prediction, weights)["r2"], abs=1e-6)
    assert ceiling_r2(y + zero, np.arange(200) // 2) == pytest.approx(ceiling_r2(y, np.arange(200) // 2), abs=1e-6)


# --- bootstrap ----------------------------------------------------------------------------------


@given(hnp.arrays(int, st.integers(1, 20), elements=st.integers(-2, 6)), st.integers(0, 2**31))
def test_groups_are_drawn_whole_as_many_as_there_are(groups: np.ndarray, seed: int) -> None:
    weights = bootstrap_weights(groups, 8, seed)
    assert weights.shape == (8, len(groups))
    labels, first = np.unique(groups, return_index=True)
    for label in labels:
        members = weights[:, groups == label]
        assert (members == members[:, :1]).all()
    assert (weights[:, first].sum(axis=1) == len(labels)).all()
    assert np.array_equal(weights, bootstrap_weights(groups, 8, seed))


def test_mean_weight_is_one() -> None:
    weights = bootstrap_weights(np.arange(50) // 2, 4000, 0)
    assert weights.mean(axis=0) == pytest.approx(1, abs=0.1)
    assert weights[:, 0].var() == pytest.approx(1 - 1 / 25, abs=0.1), "variance of a multinomial count"


def test_interval_covers_the_true_score_as_often_as_it_says() -> None:
    """200 times 60 crystals, errors N(0, 1): the true MAE is √(2/π)."""
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        y = rng.normal(size=60)
        score = scores(y, (y + rng.normal(size=60))[None], bootstrap_weights(np.arange(60), 400, trial))["mae"]
        covered += score.low <= np.sqrt(2 / np.pi) <= score.high
    assert 0.88 <= covered / 200 <= 0.99


def test_copies_do_not_narrow_the_interval() -> None:
    """Eight copies of each of 40 crystals: grouped, the interval is that of 40; taken one by one, √8 too narrow."""
    rng = np.random.default_rng(2)
    y = rng.normal(size=40)
    prediction = y + rng.normal(size=40)
    groups = np.repeat(np.arange(40), 8)
    honest = scores(y, prediction[None], bootstrap_weights(np.arange(40), 2000, 0))
    grouped = scores(y[groups], prediction[groups][None], bootstrap_weights(groups, 2000, 0))
    naive = scores(y[groups], prediction[groups][None], bootstrap_weights(np.arange(320), 2000, 0))
    for name in ("mae", "rmse", "r2"):
        widths = [s[name].high - s[name].low for s in (honest, grouped, naive)]
        assert grouped[name].value == pytest.approx(honest[name].value)
        assert widths[1] == pytest.approx(widths[0])
        assert widths[1] / widths[2] > 2
        if name == "mae":  # a mean; the others are curved functions of means
            assert widths[1] / widths[2] == pytest.approx(np.sqrt(8), rel=0.1)


def test_repeats_are_averaged() -> None:
    rng = np.random.default_rng(3)
    y = rng.normal(size=30)
    predictions = y + rng.normal(size=(3, 30))
    weights = bootstrap_weights(np.arange(30), 100, 0)
    single = [plain_scores(y, prediction) for prediction in predictions]
    together = scores(y, predictions, weights)
    for name in METRICS:
        assert together[name].value == pytest.approx(np.mean([s[name] for s in single]))
        assert together[name].low <= together[name].value <= together[name].high


def test_without_resamples_there_is_no_interval() -> None:
    y = np.arange(5.0)
    score = scores(y, y[None] + 1, bootstrap_weights(np.arange(5), 0, 0))["mae"]
    assert score.value == 1
    assert np.isnan([score.low, score.high]).all()


# --- ceiling ------------------------------------------------------------------------------------

rows = hnp.arrays(int, sizes, elements=st.integers(-2, 3))


@given(smooth, rows)
def test_ceiling_is_the_r2_of_group_means(y: np.ndarray, rows: np.ndarray) -> None:
    if np.ptp(y) == 0:
        assert np.isnan(ceiling_r2(y, rows))
        return
    means = np.array([y[rows == row].mean() for row in rows])
    assert ceiling_r2(y, rows) == pytest.approx(r2_score(y, means), abs=1e-9)


@given(smooth.filter(lambda y: np.ptp(y) > 0))
def test_ceiling_is_one_for_distinct_and_zero_for_equal_rows(y: np.ndarray) -> None:
    assert ceiling_r2(y, np.arange(len(y))) == 1
    assert ceiling_r2(y, np.zeros(len(y), dtype=int)) == pytest.approx(0, abs=1e-9)


@settings(deadline=None)
@given(smooth.filter(lambda y: np.ptp(y) > 0), rows, hnp.arrays(float, 6, elements=st.floats(-1e3, 1e3)))
def test_no_function_of_the_rows_beats_the_ceiling(y: np.ndarray, rows: np.ndarray, function: np.ndarray) -> None:
    assert r2_score(y, function[rows + 2]) <= ceiling_r2(y, rows) + 1e-9


def test_no_regressor_beats_ceiling_even_on_its_training_data() -> None:
    rng = np.random.default_rng(4)
    X = rng.integers(0, 3, size=(120, 3)).astype(float)
    y = X @ [1.0, -2.0, 0.5] + rng.normal(size=120)
    ceiling = ceiling_r2(y, identical_rows(X))
    forest = RandomForestRegressor(30, bootstrap=False, random_state=0).fit(X, y)
    assert forest.score(X, y) == pytest.approx(ceiling, abs=1e-9), "a grown forest reaches it"
    assert ceiling < 0.95
