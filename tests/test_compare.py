"""compare: nothing of a test fold reaches the model that predicts it, and the tables say what was done."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, Ridge, RidgeCV
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import GridSearchCV, GroupKFold, GroupShuffleSplit, KFold, ShuffleSplit
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVR

import qperov
from qperov.evaluation.finished_folds import FinishedFolds
from qperov.evaluation.metrics import bootstrap_weights, scores
from qperov.evaluation.results import METRICS
from qperov.evaluation.splits import honest_groups

MEAN, MEDIAN = "mean of the training labels", "median of the training labels"


class SpeciesFeaturizer(TransformerMixin, BaseEstimator):
    """Atomic numbers site by site; counts how often it is fitted."""

    fits: ClassVar[list[Any]] = []
    description = "species"

    def __init__(self, power: int = 1, extra: Any = None) -> None:
        self.power = power
        self.extra = extra

    def fit(self, X: Sequence[Any], y: Any = None) -> SpeciesFeaturizer:
        assert y is None, "features are made without labels"
        self.fits.append(self.power)
        return self

    def transform(self, X: Sequence[Any]) -> np.ndarray:
        return np.array([structure.atomic_numbers for structure in X], dtype=float) ** self.power


class Recorder(RegressorMixin, BaseEstimator):
    """Predicts ``shift``; notes the rows (first column, 1e-12 each) that it is fitted on and that it predicts."""

    log: ClassVar[list[tuple[str, frozenset[int]]]] = []

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift

    def fit(self, X: np.ndarray, y: np.ndarray) -> Recorder:
        self.log.append(("fit", frozenset(np.rint(1e12 * X[:, 0]).astype(int))))
        self.fitted_ = True
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        self.log.append(("predict", frozenset(np.rint(1e12 * X[:, 0]).astype(int))))
        return np.full(len(X), self.shift)


class RecordingKFold(GroupKFold):
    """Notes the labels that it is shown."""

    seen: ClassVar[list[np.ndarray]] = []

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Any:
        self.seen.append(np.asarray(y))
        return super().split(X, y, groups)


class NotANumber(RegressorMixin, BaseEstimator):
    """Predicts NaN for half the rows."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> NotANumber:
        self.fitted_ = True
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.where(np.arange(len(X)) % 2, np.nan, 0.0)


@pytest.fixture(scope="module")
def dataset() -> qperov.datasets.CrystalDataset:
    return qperov.load_dataset("cpx321").take(range(60))


@pytest.fixture(scope="module")
def crystals_compared(dataset: qperov.datasets.CrystalDataset) -> qperov.evaluation.Comparison:
    """Two descriptors, a search, two repeats."""
    pattern, correlations = qperov.PXRDFeaturizer("pattern"), qperov.PXRDFeaturizer("correlations")
    models = {
        "search": Pipeline(
            [("x", pattern), ("scale", StandardScaler()), ("svr", GridSearchCV(SVR(), {"C": [0.1, 1]}, cv=3))]
        ),
        "ridge": make_pipeline(clone(pattern), StandardScaler(), Ridge(10)),
        "expansion": make_pipeline(correlations, Ridge(1e-6)),
    }
    return qperov.compare(models, dataset, repeats=2, n_bootstrap=200)


def arrays(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X, y and groups of three rows, in no order."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    return X, X @ [1.0, -2.0, 0.5, 0.0] + 0.3 * rng.normal(size=n), rng.permutation(n) // 3


def without_seconds(result: qperov.evaluation.Comparison) -> list[pd.DataFrame]:
    return [
        result.table.drop(columns=["seconds", "memory_mb"]),
        result.predictions,
        result.folds,
        result.significance,
        result.parameters,
    ]


# --- what the tables hold -----------------------------------------------------------------------


def test_table_has_baselines_first_and_columns_of_contract(
    crystals_compared: qperov.evaluation.Comparison,
) -> None:
    table = crystals_compared.table
    assert table["model"].tolist() == [MEAN, MEDIAN, "search", "ridge", "expansion"]
    assert table["kind"].tolist() == ["baseline"] * 2 + ["model"] * 3
    assert table["family"].tolist() == ["baseline"] * 2 + ["classical"] * 3
    assert table["descriptor"].tolist() == ["none"] * 2 + ["powder pattern"] * 2 + ["pair correlations"]
    columns = [name for metric in METRICS for name in (metric, f"{metric}_low", f"{metric}_high")]
    assert list(table.columns) == [
        "model",
        "name",
        "descriptor",
        "kind",
        "family",
        "role",
        *columns,
        "ceiling_r2",
        "seconds",
        "memory_mb",
    ]
    assert table["ceiling_r2"].isna().tolist() == [True, True, False, False, False]
    for metric in ("mae", "rmse", "r2"):
        assert (table[f"{metric}_low"] <= table[metric]).all()
        assert (table[metric] <= table[f"{metric}_high"]).all()
    assert "powder pattern" in str(crystals_compared)
    assert len(repr(crystals_compared)) < 100
    assert crystals_compared._repr_html_().count("<tr") == 1 + len(table)


def test_result_tells_the_data(
    crystals_compared: qperov.evaluation.Comparison, dataset: qperov.datasets.CrystalDataset
) -> None:
    label, features = crystals_compared.label, crystals_compared.features
    assert dataset.y is not None
    merged = honest_groups(dataset.groups, list(features.values()))
    assert label["n_groups"] == len(np.unique(merged)) < 60, "powder patterns do not tell all orderings apart"
    assert (label["name"], label["n"], label["unit"]) == ("cpx321", 60, "meV/atom")
    assert label["sd"] == pytest.approx(dataset.y.std())
    assert label["provenance"][0].endswith("(60 labels)")
    assert crystals_compared.ids == dataset.ids
    assert np.array_equal(crystals_compared.y, dataset.y)
    for row in crystals_compared.descriptors.itertuples():
        assert features[row.descriptor].shape == (60, row.columns)
        assert row.rank == np.linalg.matrix_rank(features[row.descriptor] - features[row.descriptor].mean(axis=0), 1e-6)
    assert crystals_compared.settings["folds"] == 5
    assert crystals_compared.warnings == (
        *dataset.cautions,
        "Only 60 crystals: intervals are wide and the significance tests have little power.",
    )


def test_every_model_predicts_every_crystal_once_a_repeat(crystals_compared: qperov.evaluation.Comparison) -> None:
    predictions = crystals_compared.predictions
    assert len(predictions) == 5 * 2 * 60
    for _, part in predictions.groupby(["model", "repeat"]):
        assert sorted(part["id"]) == sorted(crystals_compared.ids)
    truth = dict(zip(crystals_compared.ids, crystals_compared.y, strict=True))
    assert (predictions["y_true"] == predictions["id"].map(truth)).all()


def test_no_group_is_in_two_folds_of_a_repeat(crystals_compared: qperov.evaluation.Comparison) -> None:
    assert (crystals_compared.predictions.groupby(["repeat", "group"])["fold"].nunique() == 1).all()
    dealt = crystals_compared.predictions.groupby("model")[["id", "repeat", "fold"]].apply(
        lambda part: set(part.itertuples(index=False, name=None))
    )
    assert all(folds == dealt.iloc[0] for folds in dealt), "all models meet the same folds"


def test_baselines_are_mean_and_median_of_training_labels(
    crystals_compared: qperov.evaluation.Comparison,
) -> None:
    for (model, _), part in crystals_compared.predictions.groupby(["model", "repeat"]):
        for fold in range(5):
            train, test = part.loc[part["fold"] != fold, "y_true"], part.loc[part["fold"] == fold, "y_pred"]
            if model == MEAN:
                assert test.to_numpy() == pytest.approx(train.mean(), rel=1e-12)
            if model == MEDIAN:
                assert (test == train.median()).all()


def test_predictions_are_those_of_a_plain_loop(crystals_compared: qperov.evaluation.Comparison) -> None:
    X, y = crystals_compared.features["powder pattern"], crystals_compared.y
    own = (
        crystals_compared.predictions.query("model == 'ridge' and repeat == 1")
        .set_index("id")
        .loc[list(crystals_compared.ids)]
    )
    for fold in range(5):
        test = (own["fold"] == fold).to_numpy()
        plain = make_pipeline(StandardScaler(), Ridge(10)).fit(X[~test], y[~test])
        assert own.loc[test, "y_pred"].to_numpy() == pytest.approx(plain.predict(X[test]))


def test_scores_are_means_over_repeats_and_folds_have_their_own(
    crystals_compared: qperov.evaluation.Comparison,
) -> None:
    plain: dict[str, Callable[[Any, Any], float]] = {
        "mae": mean_absolute_error,
        "rmse": root_mean_squared_error,
        "r2": r2_score,
        "spearman": lambda y, p: stats.spearmanr(y, p).statistic,
    }
    table = crystals_compared.table.set_index("model")
    folds = crystals_compared.folds.set_index(["model", "repeat", "fold"])
    for model, own in crystals_compared.predictions.groupby("model"):
        for metric, score in plain.items():
            repeats = [score(part["y_true"], part["y_pred"]) for _, part in own.groupby("repeat")]
            assert table.loc[model, metric] == pytest.approx(np.mean(repeats))
        for (repeat, fold), part in own.groupby(["repeat", "fold"]):
            row = folds.loc[(model, repeat, fold)]
            assert (row["n_train"], row["n_test"]) == (60 - len(part), len(part))
            for metric in ("mae", "rmse", "r2"):
                assert row[metric] == pytest.approx(plain[metric](part["y_true"], part["y_pred"]))


def test_significance_pairs_models_of_one_descriptor(
    crystals_compared: qperov.evaluation.Comparison,
) -> None:
    table = crystals_compared.significance
    assert list(zip(table["model_a"], table["model_b"], strict=True)) == [
        ("search", "ridge"), ("search", MEAN), ("search", MEDIAN), ("ridge", MEAN), ("ridge", MEDIAN),
        ("expansion", MEAN), ("expansion", MEDIAN),
    ]  # fmt: skip
    folds = crystals_compared.folds
    share = (folds["n_test"] / folds["n_train"]).mean()
    assert share == pytest.approx(0.25, abs=0.01)
    for row in table.itertuples():
        maes = [
            folds[folds["model"] == name].sort_values(["repeat", "fold"])["mae"].to_numpy()
            for name in (row.model_a, row.model_b)
        ]
        difference = maes[0] - maes[1]
        t = difference.mean() / np.sqrt((1 / 10 + share) * difference.var(ddof=1))
        assert row.delta_mae == pytest.approx(difference.mean())
        assert row.t == pytest.approx(t)
        assert row.p == pytest.approx(2 * stats.t.sf(abs(t), 9))
        assert row.rope == pytest.approx(0.05 * np.abs(crystals_compared.y - np.median(crystals_compared.y)).mean())
        posterior = stats.t(9, difference.mean(), np.sqrt((1 / 10 + share) * difference.var(ddof=1)))
        assert row.prob_better == pytest.approx(posterior.cdf(-row.rope))
        assert row.prob_worse == pytest.approx(posterior.sf(row.rope))
        assert row.prob_better + row.prob_equivalent + row.prob_worse == pytest.approx(1)
    assert table["exploratory"].tolist() == [True] + 6 * [False]
    assert table["p_holm"].isna().tolist() == [True] + 6 * [False]
    for baseline in (MEAN, MEDIAN):
        asked = table[table["model_b"] == baseline]
        assert asked["p_holm"].to_numpy() == pytest.approx(stats_holm(asked["p"].to_numpy()))


def stats_holm(p: np.ndarray) -> np.ndarray:
    """Holm's correction written out: max over the smaller p of p times the number not smaller, at most 1."""
    factors = [(p >= value).sum() for value in p]
    return np.array([min(1.0, max(q * f for q, f in zip(p, factors, strict=True) if q <= value)) for value in p])


def test_chosen_parameters_are_told_for_each_fold(crystals_compared: qperov.evaluation.Comparison) -> None:
    parameters = crystals_compared.parameters
    assert Counter(parameters["model"]) == {"search": 10}
    assert all(json.loads(text)["C"] in (0.1, 1) for text in parameters["parameters"])


def test_intervals_are_of_whole_groups() -> None:
    X, y, groups = arrays(120)
    result = qperov.compare({"ridge": Ridge()}, X, y, groups=groups, repeats=2, n_bootstrap=300, random_state=5)
    own = result.predictions.query("model == 'ridge'")
    by_row = own.assign(row=own["id"].astype(int)).pivot(index="repeat", columns="row", values="y_pred").to_numpy()
    row = result.table.set_index("model").loc["ridge"]
    for metric, score in scores(y, by_row, bootstrap_weights(honest_groups(groups, [X]), 300, 5)).items():
        assert (score.value, score.low, score.high) == (row[metric], row[f"{metric}_low"], row[f"{metric}_high"])


# --- features -----------------------------------------------------------------------------------


def test_features_are_computed_once_for_each_featurizer(dataset: qperov.datasets.CrystalDataset) -> None:
    SpeciesFeaturizer.fits.clear()
    models = {
        "a": make_pipeline(SpeciesFeaturizer(), Ridge()),
        "b": make_pipeline(SpeciesFeaturizer(power=2), Ridge()),
        "c": make_pipeline(SpeciesFeaturizer(), StandardScaler(), SVR()),
        "d": make_pipeline(SpeciesFeaturizer(power=3), Ridge()),
    }
    result = qperov.compare(models, dataset, n_bootstrap=10)
    assert SpeciesFeaturizer.fits == [1, 2, 3]
    descriptors = result.table.set_index("model")["descriptor"]
    assert descriptors[list("abcd")].tolist() == ["species", "species #2", "species", "species #3"]
    assert list(result.features) == ["species", "species #2", "species #3"]
    for power, matrix in enumerate(result.features.values(), start=1):
        assert np.array_equal(matrix, [np.array(s.atomic_numbers, dtype=float) ** power for s in dataset.structures])


def test_groups_are_merged_by_every_descriptor_and_by_symmetry(dataset: qperov.datasets.CrystalDataset) -> None:
    """Species tell all 60 crystals apart; six of the anion sites alone do not; two more are said to be symmetric."""
    six = FunctionTransformer(lambda structures: np.array([s.atomic_numbers[12:18] for s in structures]))
    fine, coarse = make_pipeline(SpeciesFeaturizer(), Ridge()), make_pipeline(six, Ridge())
    sites = np.array([s.atomic_numbers[12:18] for s in dataset.structures])
    distinct, number = np.unique(sites, axis=0, return_inverse=True)
    first, other = np.flatnonzero(number == 0)[0], np.flatnonzero(number == 1)[0]
    symmetry = np.arange(60)
    symmetry[other] = first
    symmetric = dataclasses.replace(dataset, known_groups=symmetry)
    found = [
        qperov.compare(models, data, folds=2, n_bootstrap=0).label["n_groups"]
        for models, data in [
            ({"fine": fine}, dataset),
            ({"fine": fine}, symmetric),
            ({"fine": fine, "coarse": coarse}, dataset),
            ({"fine": fine, "coarse": coarse}, symmetric),
        ]
    ]
    assert 2 < len(distinct) < 59
    assert found == [60, 59, len(distinct), len(distinct) - 1]


def test_settings_that_print_alike_are_still_told_apart(dataset: qperov.datasets.CrystalDataset) -> None:
    """Long arrays are printed with dots, and structures with four decimals."""
    moved = dataset.structures[0].copy()
    moved.translate_sites([1], [0, 1e-7, 0])
    long = np.zeros((2, 5000))
    long[1, 2500] = 1
    extras = {"a": long[0], "b": long[1], "c": dataset.structures[0], "d": moved}
    extras |= {"e": long[0].copy(), "f": dataset.structures[0].copy()}
    assert repr(extras["a"]) == repr(extras["b"])
    assert repr(extras["c"]) == repr(extras["d"])
    models = {name: make_pipeline(SpeciesFeaturizer(extra=extra), Ridge()) for name, extra in extras.items()}
    result = qperov.compare(models, dataset, n_bootstrap=0)
    descriptors = result.table.set_index("model")["descriptor"]
    assert len(set(descriptors[list("abcd")])) == 4
    assert descriptors["a"] == descriptors["e"]
    assert descriptors["c"] == descriptors["f"]


def test_a_lambda_makes_features_too(dataset: qperov.datasets.CrystalDataset) -> None:
    featurizer = FunctionTransformer(lambda structures: np.array([s.atomic_numbers for s in structures]))
    models = {"a": make_pipeline(featurizer, Ridge()), "b": make_pipeline(featurizer, Ridge(2))}
    assert list(qperov.compare(models, dataset, n_bootstrap=0).features) == ["FunctionTransformer"]


# --- nothing leaks ------------------------------------------------------------------------------


def test_twins_leak_in_a_random_split_and_not_in_a_grouped_one() -> None:
    """Labels are pure noise; each row stands there three times. Only recognition of twins can score."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(60), 3)
    X = rng.normal(size=(60, 5))[rows] + rng.uniform(-1e-13, 1e-13, size=(180, 5))
    y = rng.normal(size=60)[rows]
    models = {
        "neighbour": KNeighborsRegressor(1),
        "forest": GridSearchCV(RandomForestRegressor(20, random_state=0), {"min_samples_leaf": [1, 10]}),
    }
    r2 = {}
    for split in ("random", "grouped"):
        result = qperov.compare(models, X, y, split=split, n_bootstrap=10)
        r2[split] = result.table.set_index("model")["r2"][list(models)]
        assert result.label["n_groups"] == 60
        shares = [word for warning in result.warnings for word in warning.split() if "dealt at random" in warning]
        if split == "random":
            dealt = result.predictions.query("model == @MEAN")
            copies = [
                part["group"].isin(dealt.loc[dealt["fold"] != fold, "group"]).mean()
                for fold, part in dealt.groupby("fold")
            ]
            assert f"{np.mean(copies):.0%}" in shares
            assert np.mean(copies) > 0.9
            assert "symmetry copies and identical descriptors on both sides" in result.settings["split"]
        else:
            assert not shares
    assert (r2["random"] > 0.6).all(), r2
    assert (r2["grouped"] < 0.05).all(), r2


@pytest.mark.parametrize(
    "wrap", [lambda search: search, lambda search: Pipeline([("scale", "passthrough"), ("last", search)])]
)
@pytest.mark.parametrize("cv", [None, 4, GroupShuffleSplit(3, random_state=0)])
def test_search_sees_training_rows_alone_and_parts_no_group(wrap: Callable[[Any], Any], cv: Any) -> None:
    """Neither groups that are given nor rows that only the invisible first column tells apart."""
    X, y, given = arrays()
    X[50:54] = X[5:9]
    X[:, 0] = 1e-12 * np.arange(60)
    groups = honest_groups(given, [X])
    assert len(set(groups)) < len(set(given))
    search = GridSearchCV(Recorder(), {"shift": [0.0, 1.0]}, cv=cv, scoring="neg_mean_absolute_error")
    Recorder.log.clear()
    result = qperov.compare({"model": wrap(search)}, X, y, groups=given, folds=3, n_bootstrap=0)
    tests = [
        frozenset(map(int, part["id"])) for _, part in result.predictions.query("model == 'model'").groupby("fold")
    ]
    remaining = list(Recorder.log)
    inner_folds = cv if isinstance(cv, int) else 3
    for test in tests:
        until = remaining.index(("predict", test))
        events, remaining = remaining[:until], remaining[until + 1 :]
        assert len(events) == 2 * 2 * inner_folds + 1, "two candidates on each inner fold, and the refit"
        assert events[-1] == ("fit", frozenset(range(60)) - test)
        for (first, inner_train), (second, inner_test) in zip(events[:-1:2], events[1:-1:2], strict=True):
            assert (first, second) == ("fit", "predict")
            assert not (inner_train | inner_test) & test, "no inner fold holds a row of the outer test fold"
            assert not {groups[i] for i in inner_train} & {groups[i] for i in inner_test}
    assert not remaining


def test_search_is_shown_training_labels_alone() -> None:
    X, _, groups = arrays()
    RecordingKFold.seen.clear()
    result = qperov.compare(
        {"model": GridSearchCV(Ridge(), {"alpha": [1.0, 10.0]}, cv=RecordingKFold(3))},
        X,
        np.arange(60.0),
        groups=groups,
        n_bootstrap=0,
    )
    own = result.predictions.query("model == 'model'")
    assert len(RecordingKFold.seen) == 5
    for fold, labels in enumerate(RecordingKFold.seen):
        assert set(labels) == set(own.loc[own["fold"] != fold, "y_true"])


def test_labels_of_test_fold_change_nothing_in_its_predictions() -> None:
    X, y, groups = arrays()
    models = {
        "search": make_pipeline(StandardScaler(), GridSearchCV(SVR(), {"C": [0.01, 1, 100], "gamma": [0.01, 1]})),
        "forest": RandomForestRegressor(10, random_state=0),
    }
    honest = qperov.compare(models, X, y, groups=groups, n_bootstrap=0)
    test = honest.predictions.query("fold == 2 and model == 'forest'")["id"].astype(int).to_numpy()
    poisoned = y.copy()
    poisoned[test] = 1e3 * np.random.default_rng(1).normal(size=len(test))
    other = qperov.compare(models, X, poisoned, groups=groups, n_bootstrap=0)
    for before, after in ((honest.predictions, other.predictions), (honest.parameters, other.parameters)):
        assert set(before.columns) >= {"model", "fold"}
        columns = [name for name in before.columns if name != "y_true"]
        pd.testing.assert_frame_equal(before.query("fold == 2")[columns], after.query("fold == 2")[columns])
    assert not honest.predictions["y_pred"].equals(other.predictions["y_pred"])


@pytest.mark.parametrize("cv", [KFold(3), ShuffleSplit(3), [([0, 1], [2, 3])]])
def test_search_with_splitter_that_ignores_groups_is_refused(cv: Any, dataset: qperov.datasets.CrystalDataset) -> None:
    search = GridSearchCV(Ridge(), {"alpha": [1, 2]}, cv=cv)
    SpeciesFeaturizer.fits.clear()
    with pytest.raises(ValueError, match=f"tuned: the search's cv, {type(cv).__name__}, would part copies"):
        qperov.compare({"tuned": make_pipeline(SpeciesFeaturizer(), search)}, dataset)
    assert not SpeciesFeaturizer.fits, "refused before features are computed"


def test_inner_folds_out_of_reach_are_told() -> None:
    X, y, groups = arrays()
    deep = TransformedTargetRegressor(GridSearchCV(Ridge(), {"alpha": [1.0, 10.0]}))
    models = {"deep": deep, "own": RidgeCV(), "fine": GridSearchCV(Ridge(), {"alpha": [1.0, 10.0]})}
    told = qperov.compare(models, X, y, groups=groups, n_bootstrap=0).warnings
    assert [(w.split()[0], "leakage" in w) for w in told[:2]] == [("deep", True), ("own", True)]
    assert len(told) == 3, "and that crystals are few"
    assert len(qperov.compare(models, X, y, n_bootstrap=0).warnings) == 1, "without copies there is nothing to part"


def test_no_model_beats_the_ceiling_of_its_descriptor() -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 3, size=(150, 2)).astype(float)
    y = X[:, 0] + 0.5 * rng.normal(size=150)
    models = {
        "forest": RandomForestRegressor(20, random_state=0),
        "neighbour": KNeighborsRegressor(1),
        "line": LinearRegression(),
    }
    table = qperov.compare(models, X, y, repeats=3, n_bootstrap=10).table
    own = table[table["kind"] == "model"]
    assert (own["r2"] <= own["ceiling_r2"]).all()
    assert own["ceiling_r2"].nunique() == 1
    assert own["ceiling_r2"].max() < 0.9


# --- repeatability ------------------------------------------------------------------------------


def test_seed_is_the_old_name_of_random_state() -> None:
    X, y, _ = arrays()
    with pytest.deprecated_call(match="write random_state"):
        old = qperov.compare({"ridge": Ridge()}, X, y, seed=3, n_bootstrap=20)
    new = qperov.compare({"ridge": Ridge()}, X, y, random_state=3, n_bootstrap=20)
    assert old.settings == new.settings
    np.testing.assert_array_equal(old.table["mae_low"], new.table["mae_low"])


def test_same_seed_same_numbers_on_one_or_two_processes(dataset: qperov.datasets.CrystalDataset) -> None:
    models = {
        "search": make_pipeline(qperov.PXRDFeaturizer(), StandardScaler(), GridSearchCV(SVR(), {"C": [0.1, 1]})),
        "forest": make_pipeline(qperov.PXRDFeaturizer(), RandomForestRegressor(5, random_state=0)),
    }
    one, two = (qperov.compare(models, dataset, random_state=3, n_bootstrap=50, n_jobs=n) for n in (1, 2))
    for a, b in zip(without_seconds(one), without_seconds(two), strict=True):
        pd.testing.assert_frame_equal(a, b, check_exact=True)
    other = qperov.compare(models, dataset, random_state=4, n_bootstrap=50)
    assert not np.array_equal(other.predictions["id"], one.predictions["id"])


def test_order_of_models_and_company_change_no_score() -> None:
    X, y, groups = arrays()
    models = {"ridge": Ridge(), "svr": SVR()}
    both = qperov.compare(models, X, y, groups=groups, n_bootstrap=50).table.set_index("model")
    alone = qperov.compare({"svr": SVR()}, X, y, groups=groups, n_bootstrap=50).table.set_index("model")
    columns = [name for name in both.columns if name not in ("seconds", "memory_mb")]
    pd.testing.assert_series_equal(both.loc["svr", columns], alone.loc["svr", columns])


def test_models_given_are_left_as_they_were() -> None:
    X, y, groups = arrays()
    X_before, search = X.copy(), GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]})
    qperov.compare({"search": search}, X, y, groups=groups, n_bootstrap=0)
    assert search.cv is None
    assert not hasattr(search, "best_params_")
    assert np.array_equal(X, X_before)


def test_progress_counts_every_fit() -> None:
    X, y, _ = arrays()
    seen: list[tuple[int, int, str]] = []
    qperov.compare({"ridge": Ridge()}, X, y, repeats=2, n_bootstrap=0, progress=lambda *now: seen.append(now))
    assert [done for done, _, _ in seen] == list(range(1, 31))
    assert {total for _, total, _ in seen} == {30}
    assert Counter(model for *_, model in seen) == {MEAN: 10, MEDIAN: 10, "ridge": 10}


# --- families and warnings ----------------------------------------------------------------------


def test_quantum_models_are_recognised_wherever_the_kernel_is() -> None:
    X, y, _ = arrays(30)
    kernel = qperov.FidelityKernel(bandwidth=0.1)
    models = {
        "bare": qperov.QuantumSVR(kernel),
        "kernel of an SVR": SVR(kernel=kernel),
        "deep": make_pipeline(
            StandardScaler(),
            GridSearchCV(TransformedTargetRegressor(qperov.QuantumSVR(kernel)), {"regressor__C": [1.0]}),
        ),
        "classical": make_pipeline(StandardScaler(), SVR()),
        "named": Ridge(),
    }
    table = qperov.compare(models, X, y, n_bootstrap=0, families={"named": "reference"}).table
    assert table["family"].tolist() == ["baseline"] * 2 + ["quantum"] * 3 + ["classical", "reference"]


def test_noise_of_labels_is_told() -> None:
    crystals = qperov.load_dataset("cpx321").take(range(10)).structures
    structures = [crystals[row // 2] for row in range(20)]
    rng = np.random.default_rng(0)
    noisy = qperov.datasets.CrystalDataset(
        "noisy",
        structures=structures,
        ids=tuple(map(str, range(20))),
        y=rng.normal(size=20),
        known_groups=np.arange(20) // 2,
    )
    result = qperov.compare({"ridge": make_pipeline(SpeciesFeaturizer(), Ridge())}, noisy, n_bootstrap=0)
    assert result.label["n_groups"] == 10
    assert any("Labels of equivalent crystals scatter by" in warning for warning in result.warnings)


# --- bad input ----------------------------------------------------------------------------------

NUMBERS, LABELS, _ = arrays(20)
NAN_LABELS = np.where(np.arange(20) < 3, np.nan, LABELS)
RIDGE = {"ridge": Ridge()}


@pytest.mark.parametrize(
    ("models", "X", "y", "options", "message"),
    [
        ({}, NUMBERS, LABELS, {}, "no models given"),
        (RIDGE, NUMBERS, NAN_LABELS, {}, "3 labels are NaN or infinite"),
        (RIDGE, NUMBERS, LABELS[:-1], {}, r"19 labels need numbers of shape \(19, d\)"),
        (RIDGE, NUMBERS, LABELS[:, None], {}, "labels must have the shape"),
        (RIDGE, NUMBERS, [], {}, "labels must have the shape"),
        (RIDGE, NUMBERS, None, {}, "labels y are missing"),
        (RIDGE, NUMBERS[:, 0], LABELS, {}, "need numbers of shape"),
        (RIDGE, NUMBERS[:, :0], LABELS, {}, "need numbers of shape"),
        (RIDGE, np.where(NUMBERS > 1, np.nan, NUMBERS), LABELS, {}, "NaN or infinity in .* rows"),
        (RIDGE, [object()] * 20, LABELS, {}, "neither a dataset nor numbers"),
        (RIDGE, NUMBERS, LABELS, {"groups": np.arange(19)}, "20 rows, but groups of shape"),
        (RIDGE, NUMBERS, LABELS, {"groups": np.arange(20) // 5}, "5 folds need at least 5 groups"),
        (RIDGE, NUMBERS, LABELS, {"split": "stratified"}, "must be \"grouped\" or \"random\""),
        (RIDGE, NUMBERS, LABELS, {"folds": 1}, "at least 2 folds"),
        (RIDGE, NUMBERS, LABELS, {"repeats": 0}, "at least once"),
        (RIDGE, NUMBERS, LABELS, {"families": {"rigde": "quantum"}}, "rigde"),
        (RIDGE, NUMBERS, LABELS, {"families": {"ridge": "magic"}}, "magic"),
        ({MEAN: Ridge()}, NUMBERS, LABELS, {}, "taken by baselines"),
        ({"class": Ridge}, NUMBERS, LABELS, {}, "class: .* is not a scikit-learn estimator"),
        ({"text": "ridge"}, NUMBERS, LABELS, {}, "text: 'ridge' is not a scikit-learn estimator"),
        ({"nan": NotANumber()}, NUMBERS, LABELS, {}, "nan, repeat 0, fold 0: 2 of 4 predictions are NaN"),
    ],
)  # fmt: skip
def test_bad_arrays(models: Any, X: Any, y: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qperov.compare(models, X, y, **options)


def test_bad_use_of_a_dataset(dataset: qperov.datasets.CrystalDataset) -> None:
    pipeline = make_pipeline(SpeciesFeaturizer(), Ridge())
    unlabelled = qperov.datasets.CrystalDataset("bare", dataset.structures, dataset.ids)
    nan = qperov.datasets.CrystalDataset(
        "nan", dataset.structures, dataset.ids, y=np.full(60, np.nan), known_groups=np.arange(60)
    )
    with pytest.raises(ValueError, match="the dataset has no labels"):
        qperov.compare({"ridge": pipeline}, unlabelled)
    with pytest.raises(ValueError, match="60 labels are NaN"):
        qperov.compare({"ridge": pipeline}, nan)
    with pytest.raises(ValueError, match="do not pass y or groups"):
        qperov.compare({"ridge": pipeline}, dataset, dataset.y)
    for model in (Ridge(), Pipeline([("ridge", Ridge())]), make_pipeline("passthrough", Ridge())):
        with pytest.raises(ValueError, match="alone: with a dataset each model is a Pipeline whose first step"):
            qperov.compare({"alone": model}, dataset)
    broken = make_pipeline(FunctionTransformer(lambda structures: np.full((len(structures), 2), np.nan)), Ridge())
    with pytest.raises(ValueError, match="FunctionTransformer: NaN or infinity in 60 rows, the first is row 0"):
        qperov.compare({"broken": broken}, dataset)


def test_too_few_groups_for_inner_folds_is_said_plainly() -> None:
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]})
    with pytest.raises(ValueError, match="3 inner folds, but a training fold holds only 2 groups"):
        qperov.compare({"ridge": search}, np.arange(4.0)[:, None], np.arange(4.0), folds=2)


class Complaining(DummyRegressor):
    """A model that warns when it sees a negative label."""

    def fit(self, X, y, sample_weight=None):
        if y.min() < 0:
            warnings.warn("a label is negative", UserWarning, stacklevel=2)
        return super().fit(X, y, sample_weight)


def test_what_a_model_warns_of_stands_above_the_scores():
    X = np.arange(120.0)[:, None]
    y = np.where(np.arange(120) < 60, -1.0, 1.0) + X.ravel() / 1000
    result = qperov.compare({"plain": DummyRegressor(), "complaining": Complaining()}, X, y, folds=4)
    (text,) = [text for text in result.warnings if "warned" in text]
    assert text == "complaining warned in 4 of 4 folds: a label is negative."
    searched = qperov.compare({"search": GridSearchCV(Complaining(), {"strategy": ["mean", "median"]})}, X, y, folds=4)
    assert not any("warned" in text for text in searched.warnings)


# --- stopped and taken up again -----------------------------------------------------------------

STOPPED = """
import sys, time
import numpy as np
import qperov
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVR

class Slow(Ridge):
    def fit(self, X, y):
        time.sleep(0.05)
        return super().fit(X, y)

if __name__ == "__main__":
    rng = np.random.default_rng(0)
    X, groups = rng.normal(size=(120, 3)), np.arange(120) // 2
    models = {"slow": Slow(), "search": GridSearchCV(SVR(), {"C": [0.1, 1.0]})}
    settings = {"folds": 5, "repeats": 2, "n_bootstrap": 50}
    result = qperov.compare(models, X, np.sin(X[:, 0]), groups=groups, resume=sys.argv[1], **settings)
    columns = [c for c in result.table if c not in ("seconds", "memory_mb")]
    print(result.table[columns].to_json(double_precision=15), result.parameters.to_json())
"""


@pytest.mark.slow
def test_killed_comparison_goes_on_with_same_numbers(tmp_path):
    script = tmp_path / "stopped.py"
    script.write_text(STOPPED)

    def run(folder):
        return subprocess.run([sys.executable, script, folder], capture_output=True, check=True, text=True).stdout

    def kill_when(folder, n_folds):
        process = subprocess.Popen([sys.executable, script, folder], stdout=subprocess.DEVNULL)
        while process.poll() is None and len(list(folder.glob("*.json"))) < n_folds:
            time.sleep(0.005)
        process.kill()
        process.wait()

    undisturbed = run(tmp_path / "whole")
    for n_folds in (12, 17):
        kill_when(tmp_path / "killed", n_folds)
    assert 17 <= len(list((tmp_path / "killed").glob("*.json"))) < 4 * 10
    assert run(tmp_path / "killed") == undisturbed
    assert len(list((tmp_path / "killed").glob("*.json"))) == 4 * 10


def test_folds_that_are_done_are_not_done_again(tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 2))
    fitted = []

    class Counting(LinearRegression):
        def fit(self, X, y):
            fitted.append(len(y))
            return super().fit(X, y)

    first = qperov.compare({"line": Counting()}, X, X[:, 0] ** 2, folds=4, resume=tmp_path / "done")
    assert len(fitted) == 4
    again = qperov.compare({"line": Counting()}, X, X[:, 0] ** 2, folds=4, resume=tmp_path / "done")
    assert len(fitted) == 4
    assert again.predictions.equals(first.predictions)
    assert again.table.equals(first.table)
    files = sorted((tmp_path / "done").glob("*.json"))
    files[0].write_text(files[0].read_text()[:20])  # cut short
    for changed in ({"folds": 5}, {"random_state": 1}, {"y": X[:, 1]}, {"model": Counting(fit_intercept=False)}, {}):
        before = len(fitted)
        model, y = changed.pop("model", Counting()), changed.pop("y", X[:, 0] ** 2)
        qperov.compare({"line": model}, X, y, resume=tmp_path / "done", **({"folds": 4} | changed))
        assert len(fitted) > before or changed == {}


EDITED = """
import sys
import numpy as np
import qperov
from edited_estimator import {estimator}

X = np.random.default_rng(0).normal(size=(40, 2))
table = qperov.compare({{"model": {estimator}()}}, X, X[:, 0], folds=4, n_bootstrap=50, resume=sys.argv[1]).table
print(table.set_index("model").loc["model", "mae"])
"""


def test_an_edited_estimator_never_takes_old_folds(tmp_path):
    module, script = tmp_path / "edited_estimator.py", tmp_path / "script.py"

    def run(estimator, source):
        module.write_text(source)
        script.write_text(EDITED.format(estimator=estimator))
        command = [sys.executable, "-B", script, tmp_path / "done"]
        error = float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
        return error, len(list((tmp_path / "done").glob("*.json")))

    source = """
import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

SHIFT = 1.0

def shifted(X):
    return np.full(len(X), SHIFT)

class Constant(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        return self

    def predict(self, X):
        return shifted(X)

class Child(Constant):
    pass
"""
    first, kept = run("Constant", source)
    assert run("Constant", source) == (first, kept), "the same code takes the folds that are done"
    second, more = run("Constant", source.replace("SHIFT = 1.0", "SHIFT = 2.0"))
    assert second != first
    assert more > kept
    assert run("Constant", source) == (first, more)
    child, most = run("Child", source)
    assert (child, most > more) == (first, True)
    assert run("Child", source.replace("SHIFT = 1.0", "SHIFT = 2.0"))[0] == second


def test_the_code_that_is_loaded_counts_beside_the_source(tmp_path, monkeypatch):
    source = "from sklearn.linear_model import Ridge\nclass Mine(Ridge):\n    def fit(self, X, y):\n        return {}\n"
    monkeypatch.syspath_prepend(tmp_path)
    folds, y = FinishedFolds(tmp_path), np.zeros(4)
    fold = (0, 0, np.arange(2), np.arange(2, 4))
    (tmp_path / "loaded_estimator.py").write_text(source.format("super().fit(X, y)"))
    import loaded_estimator

    before = folds.path("m", loaded_estimator.Mine(), y[:, None], fold, y, y)
    assert folds.path("m", loaded_estimator.Mine(), y[:, None], fold, y, y) == before
    for parameters in ({"alpha": 2.0}, {"solver": "svd"}):
        assert folds.path("m", loaded_estimator.Mine(**parameters), y[:, None], fold, y, y) != before
    loaded_estimator.Mine.fit = lambda self, X, y: self
    assert folds.path("m", loaded_estimator.Mine(), y[:, None], fold, y, y) != before


def test_functions_and_long_arrays_as_parameters_differ(tmp_path):
    class Holder(LinearRegression):
        def __init__(self, held=None):
            self.held = held

    folds, y = FinishedFolds(tmp_path), np.zeros(4)
    fold = (0, 0, np.arange(2), np.arange(2, 4))
    held = [lambda x: x + 1, lambda x: x + 2, np.arange(5000), np.append(np.arange(4999), 0), [Holder(1)], [Holder(2)]]
    paths = {folds.path("m", Holder(each), y[:, None], fold, y, y) for each in held}
    assert len(paths) == len(held)
    assert folds.path("m", Holder(held[2].copy()), y[:, None], fold, y, y) in paths
