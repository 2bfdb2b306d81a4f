"""Learning curves: nested training sets, honest test folds, sentences that follow the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV

import qperov
from qperov.evaluation.learning_curves import learning_curve
from qperov.evaluation.problem import BASELINES
from qperov.studies.learning_curves import learning_curve_study

MEAN, MEDIAN = BASELINES


def arrays(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    return X, X @ [1.0, -2.0, 0.5, 0.0] + 0.3 * rng.normal(size=n), rng.permutation(n) // 3


class Watching(RegressorMixin, BaseEstimator):
    """Predicts zero, and remembers what it was trained and tested on."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Watching:
        SEEN.append([tuple(row) for row in X])
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        TESTED.append([tuple(row) for row in X])
        return np.zeros(len(X))


SEEN: list[list[tuple[float, ...]]] = []
TESTED: list[list[tuple[float, ...]]] = []


@settings(max_examples=15, deadline=None)
@given(n_groups=st.integers(6, 20), seed=st.integers(0, 50))
def test_training_sets_are_nested_and_no_group_is_on_both_sides(n_groups: int, seed: int) -> None:
    SEEN.clear()
    TESTED.clear()
    X, y, groups = arrays(60, seed)
    groups = groups % n_groups
    group_of = {tuple(row): group for row, group in zip(X, groups, strict=True)}
    curve = learning_curve({"watching": Watching()}, X, y, groups=groups, sizes=[20, 4, 9], folds=3, random_state=seed)
    assert [len(rows) for rows in SEEN] == [4, 9, 20] * 3
    for fold in range(3):
        small, middle, large = (set(rows) for rows in SEEN[3 * fold : 3 * fold + 3])
        assert small < middle < large
        tests = TESTED[3 * fold : 3 * fold + 3]
        assert tests[0] == tests[1] == tests[2]
        assert not {group_of[row] for row in large} & {group_of[row] for row in tests[0]}
    assert sum(len(rows) for rows in TESTED[::3]) == 60
    own = curve[curve["model"] == "watching"]
    assert own["size"].tolist() == [4, 9, 20] * 3


def test_with_every_training_crystal_it_is_the_comparison() -> None:
    X, y, groups = arrays()
    models = {"ridge": Ridge(), "search": GridSearchCV(Ridge(), {"alpha": [0.1, 10.0]})}
    curve = learning_curve(models, X, y, groups=groups, folds=4, random_state=5, sizes=[45])
    # the order of the rows moves sums by rounding alone, but deals other inner folds
    folds = qperov.compare({"ridge": Ridge()}, X, y, groups=groups, folds=4, random_state=5, n_bootstrap=0).folds
    for model in ("ridge", MEAN, MEDIAN):
        np.testing.assert_allclose(curve.loc[curve["model"] == model, "mae"], folds.loc[folds["model"] == model, "mae"])
    assert set(curve["model"]) == {MEAN, MEDIAN, "ridge", "search"}
    assert set(curve.loc[curve["model"] == "ridge", "descriptor"]) == {"features"}


def test_line_is_learnt_and_coin_tosses_are_not() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 1))
    y = np.where(rng.random(4000) < 0.5, 1.0, -1.0)
    curve = learning_curve({"line": LinearRegression()}, X, X.ravel() * 2, sizes=[3, 100], folds=2)
    assert curve.loc[curve["model"] == "line", "mae"].max() < 1e-9
    assert (learning_curve({"line": LinearRegression()}, X, y, sizes=[2000], folds=2)["mae"] > 0.9).all()


def test_sizes_by_default_reach_the_smallest_training_fold() -> None:
    X, y, groups = arrays(50)
    curve = learning_curve({"ridge": Ridge()}, X, y, groups=groups, folds=5)
    assert sorted(set(curve["size"]))[-1] <= 41
    assert len(set(curve["size"])) == 5


@pytest.mark.parametrize("sizes", [[], [1, 10], [10, 1000]])
def test_sizes_that_cannot_be(sizes: list[int]) -> None:
    X, y, groups = arrays(50)
    with pytest.raises(ValueError, match="sizes must be between 2 and"):
        learning_curve({"ridge": Ridge()}, X, y, groups=groups, sizes=sizes)


# --- the section --------------------------------------------------------------------------------


def made_up(quantum: float, classical: float) -> pd.DataFrame:
    """MAE = c·n^−½ times a fold's own factor, with other noise for each model."""
    rng = np.random.default_rng(1)
    rows = []
    for model, scale in ((MEAN, 3.0), ("QSVR · x", quantum), ("SVR · x", classical)):
        for size in (10, 40, 160):
            for fold in range(8):
                mae = 3.0 if model == MEAN else scale * size**-0.5 * (1 + 0.01 * rng.normal())
                rows.append([model, size, 0, fold, 20, mae, 0.5])
    about = pd.DataFrame(
        [[MEAN, MEAN, "none", "baseline"], ["QSVR · x", "QSVR", "x", "quantum"], ["SVR · x", "SVR", "x", "classical"]],
        columns=["model", "name", "descriptor", "family"],
    )
    columns = ["model", "size", "repeat", "fold", "n_test", "mae", "r2"]
    return pd.DataFrame(rows, columns=columns).merge(about)


@pytest.mark.parametrize(
    ("quantum", "classical", "verdict"),
    [
        (1.0, 1.5, "better at n = 10, 40, 160"),
        (1.5, 1.0, "worse at n = 10, 40, 160"),
        (1.0, 1.0, "not distinguishable at any size"),
    ],
)
def test_the_section_says_who_is_better_where(quantum: float, classical: float, verdict: str) -> None:
    study = learning_curve_study(made_up(quantum, classical), unit="eV")
    assert verdict in study.paragraphs[1]
    table = study.tables["Mean absolute error"].set_index("model")
    assert table.loc["QSVR · x", "exponent α"] == pytest.approx(0.5, abs=0.01)
    assert np.isnan(table.loc[MEAN, "exponent α"])
    assert table.loc["SVR · x", "MAE / eV, n = 40"] == pytest.approx(classical * 40**-0.5, rel=0.01)
    assert set(study.data["x"]["model"]) == {"QSVR", "SVR"}


def test_without_rivals_the_section_says_so() -> None:
    curve = made_up(1.0, 1.0)
    study = learning_curve_study(curve[curve["model"] != "SVR · x"])
    assert study.paragraphs[1] == "No other model uses the descriptor of QSVR · x."
