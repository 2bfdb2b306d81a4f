"""Intervals from held-out errors: the quantile, its coverage, and what groups do to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, cross_val_predict

from qperov.serving.conformal import ConformalResiduals, group_weights


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.floats(0.02, 0.98))
def test_without_copies_it_is_the_order_statistic_of_n_plus_1(residuals: list[float], confidence: float) -> None:
    size = np.sort(np.abs(residuals))
    place = int(np.ceil((len(size) + 1) * confidence - 1e-9))
    expected = size[place - 1] if place <= len(size) else np.inf
    assert ConformalResiduals(np.array(residuals), np.arange(len(size))).half_width(confidence) == expected


def test_too_few_groups_give_no_interval() -> None:
    nine = ConformalResiduals(np.arange(9.0), np.arange(9))
    assert nine.half_width(0.9) == 8.0  # 9/10 is just enough
    assert nine.half_width(0.91) == np.inf
    copies = ConformalResiduals(np.arange(900.0), np.arange(900) % 3)  # many crystals, three of them different
    assert copies.half_width(0.9) == np.inf
    assert copies.n_groups == 3


def test_weights_are_equal_between_groups() -> None:
    groups = np.array([7, 7, 7, 2, 5, 5])
    weights = group_weights(groups)
    assert weights.sum() == pytest.approx(3 / 4)
    assert [weights[groups == g].sum() for g in (2, 5, 7)] == pytest.approx([1 / 4] * 3)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=2, max_size=30), st.integers(2, 5), st.floats(0.05, 0.9))
def test_copies_of_crystal_and_repeats_of_folds_change_nothing(
    residuals: list[float], copies: int, confidence: float
) -> None:
    once = ConformalResiduals(np.array(residuals), np.arange(len(residuals)))
    many = ConformalResiduals(np.tile(residuals, copies), np.tile(np.arange(len(residuals)), copies))
    uneven = ConformalResiduals(np.append(residuals, [residuals[0]] * 9), np.append(np.arange(len(residuals)), [0] * 9))
    assert once.half_width(confidence) == many.half_width(confidence) == uneven.half_width(confidence)


def bounds(trials: int, low: float, high: float) -> tuple[float, float]:
    """Counts that a coverage between ``low`` and ``high`` leaves with a probability below 1e-6."""
    return stats.binom.ppf(1e-6, trials, low), stats.binom.ppf(1 - 1e-6, trials, high)


@pytest.mark.parametrize(("n", "confidence"), [(19, 0.9), (49, 0.5), (200, 0.95)])
def test_exchangeable_residuals_are_covered_as_theory_says(n: int, confidence: float) -> None:
    rng = np.random.default_rng(n)
    trials = 2000
    errors = rng.standard_t(3, size=(trials, n + 1))
    held = sum(abs(row[n]) <= ConformalResiduals(row[:n], np.arange(n)).half_width(confidence) for row in errors)
    low, high = bounds(trials, confidence, confidence + 1 / (n + 1))
    assert low <= held <= high


def test_a_new_group_is_covered_where_pooled_crystals_are_not() -> None:
    rng = np.random.default_rng(1)
    trials, confidence = 1500, 0.8
    held = pooled = 0
    for _ in range(trials):
        # a third of the groups are hard, and small: 30 easy crystals stand beside each hard one
        hard = rng.random(41) < 1 / 3
        sizes = np.where(hard, 1, 30)
        groups = np.repeat(np.arange(41), sizes)
        errors = np.repeat(np.where(hard, 10.0, 1.0) * rng.normal(size=41), sizes) * rng.uniform(0.9, 1.1, len(groups))
        known = groups < 40
        new = abs(errors[~known][0])
        held += new <= ConformalResiduals(errors[known], groups[known]).half_width(confidence)
        pooled += new <= ConformalResiduals(errors[known], np.arange(known.sum())).half_width(confidence)
    low, high = bounds(trials, confidence, confidence + 1 / 41)
    assert low <= held <= high
    assert pooled < low


@pytest.mark.slow
def test_errors_of_grouped_folds_cover_new_crystals() -> None:
    rng = np.random.default_rng(2)
    slopes = rng.normal(size=5)
    trials, new, held = 60, 20, 0
    for _ in range(trials):
        X = np.repeat(rng.normal(size=(60, 5)), 2, axis=0)
        groups = np.repeat(np.arange(60), 2)
        y = X @ slopes + np.repeat(rng.normal(size=60), 2)  # copies have one label
        held_out = cross_val_predict(Ridge(), X, y, groups=groups, cv=GroupKFold(10))
        width = ConformalResiduals(y - held_out, groups).half_width(0.9)
        other = rng.normal(size=(new, 5))
        truth = other @ slopes + rng.normal(size=new)
        held += int((np.abs(Ridge().fit(X, y).predict(other) - truth) <= width).sum())
    # new crystals of one trial share a width, so that the trials are what is independent
    spread = np.sqrt(trials * (new * 0.9 * 0.1 + new**2 * 0.9 * 0.1 / 61))
    assert abs(held - 0.9 * trials * new) < 5 * spread


def test_what_is_no_residual_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        ConformalResiduals(np.array([1.0, np.nan]), np.arange(2))
    with pytest.raises(ValueError, match="needs a group"):
        ConformalResiduals(np.ones(3), np.arange(2))
    with pytest.raises(ValueError, match="needs a group"):
        ConformalResiduals(np.empty(0), np.empty(0, dtype=int))
    fine = ConformalResiduals(np.ones(3), np.arange(3))
    for confidence in (0.0, 1.0, -0.5, 90.0, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            fine.half_width(confidence)
