"""The planned question: best quantum against best classical model, chosen inside the training folds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, HalvingGridSearchCV, KFold, cross_val_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from synthetic_comparison import DATASET, TASK, synthetic_comparison

import qperov
from qperov.commands.screen import print_table
from qperov.evaluation import folds as module
from qperov.evaluation.folds import inner_folds, inner_loss
from qperov.evaluation.problem import Model
from qperov.evaluation.results import PLANNED
from qperov.evaluation.significance import bayesian_correlated_t_test, region_half_width
from qperov.evaluation.splits import honest_groups
from qperov.evaluation.tables import planned_table
from qperov.records import read_record, write_record
from qperov.reports.exports import metrics

MAE = "neg_mean_absolute_error"


class QuantumRidge(Ridge):
    """Quantum by its own word."""

    family: ClassVar[str] = "quantum"


def searched(model: Any, **grid: list[Any]) -> GridSearchCV:
    return GridSearchCV(model, grid, scoring=MAE, cv=3)


def arrays(n: int = 90) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X, y and groups of three rows, in no order."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, 4))
    return X, X @ [1.0, -2.0, 0.5, 0.0] + np.sin(3 * X[:, 0]) + 0.3 * rng.normal(size=n), rng.permutation(n) // 3


MODELS = {
    "quantum, stiff": QuantumRidge(1000.0),
    "quantum": make_pipeline(StandardScaler(), searched(QuantumRidge(), alpha=[0.1, 1.0])),
    "neighbours": searched(KNeighborsRegressor(), n_neighbors=[2, 5]),
    "ridge": make_pipeline(StandardScaler(), Ridge(1.0)),
}


@pytest.fixture(scope="module")
def compared() -> qperov.evaluation.Comparison:
    X, y, groups = arrays()
    return qperov.compare(MODELS, X, y, groups=groups, folds=3, repeats=2, n_bootstrap=20)


def test_choice_and_test_are_those_of_a_plain_loop(compared: qperov.evaluation.Comparison) -> None:
    X, y, groups = arrays()
    groups = honest_groups(groups, [X])
    held_out = []
    for (_, _), part in compared.predictions.groupby(["repeat", "fold"]):
        test = np.isin(np.arange(len(y)), part["id"].astype(int))
        row = []
        for names in (["quantum, stiff", "quantum"], ["neighbours", "ridge"]):
            scores = []
            for name in names:
                inner = list(GroupKFold(3).split(X[~test], y[~test], groups[~test]))
                model, rows, new = clone(MODELS[name]), X[~test], X[test]
                if hasattr(model, "steps"):
                    scaler, model = model[0].fit(rows), model[-1]
                    rows, new = scaler.transform(rows), scaler.transform(new)
                if hasattr(model, "cv"):
                    model = model.set_params(cv=inner).fit(rows, y[~test]).best_estimator_
                mae = -cross_val_score(model, rows, y[~test], cv=inner, scoring=MAE).mean()
                predicted = model.fit(rows, y[~test]).predict(new)
                scores.append((mae, np.abs(predicted - y[test]).mean()))
            row.append(min(scores)[1])
        held_out.append(row)
    quantum, classical = np.array(held_out).T
    (found,) = compared.planned.to_dict(orient="records")
    assert (found["descriptor"], found["quantum"], found["classical"]) == ("features", "quantum", "ridge")
    assert found["quantum_mae"] == pytest.approx(quantum.mean())
    assert found["classical_mae"] == pytest.approx(classical.mean())
    d = quantum - classical
    share = (compared.folds["n_test"] / compared.folds["n_train"]).mean()
    error = np.sqrt((1 / 6 + share) * d.var(ddof=1))
    assert found["folds"] == 6
    assert found["delta_mae"] == pytest.approx(d.mean())
    assert found["high"] - found["low"] == pytest.approx(2 * stats.t.ppf(0.975, 5) * error)
    assert found["p"] == found["p_holm"] == pytest.approx(2 * stats.t.sf(abs(d.mean() / error), 5))
    assert found["rope"] == pytest.approx(0.05 * np.abs(y - np.median(y)).mean())
    assert found["outcome"] == bayesian_correlated_t_test(quantum, classical, share, found["rope"]).outcome


def test_holm_counts_the_planned_questions_alone() -> None:
    """Two descriptors, two questions: the smaller p is doubled."""
    dataset = qperov.load_dataset("cpx321").take(range(0, 980, 14))
    models = {
        f"{name} · {kind}": Model(name, model, qperov.PXRDFeaturizer(kind), family=family)
        for kind in ("pattern", "structure_factors")
        for name, model, family in (("q", Ridge(1.0), "quantum"), ("c", KNeighborsRegressor(3), "classical"))
    }
    planned = qperov.compare(models, dataset, folds=4, n_bootstrap=10).planned
    assert planned["descriptor"].tolist() == ["powder pattern", "structure factors"]
    least, other = sorted(planned["p"])
    assert sorted(planned["p_holm"]) == pytest.approx(sorted([min(1, 2 * least), max(min(1, 2 * least), other)]))


@pytest.mark.parametrize(
    ("family", "role"), [("reference", "candidate"), ("reference", "contrast"), ("quantum", "contrast")]
)
def test_references_and_contrasts_are_never_chosen(family: str, role: str) -> None:
    """They know the answer here, and still are not asked."""
    X, _, groups = arrays()
    models = {
        "knows": Model("knows", Ridge(1e-9), family=family, role=role),
        "q": Model("q", KNeighborsRegressor(40), family="quantum"),
        "c": Model("c", KNeighborsRegressor(41)),
    }
    planned = qperov.compare(models, X, X @ [1.0, -2.0, 0.5, 0.0], groups=groups, folds=3, n_bootstrap=10).planned
    assert planned[["quantum", "classical"]].to_numpy().tolist() == [["q", "c"]]


def test_no_question_where_a_family_is_missing() -> None:
    X, y, groups = arrays()
    planned = qperov.compare({"ridge": Ridge()}, X, y, groups=groups, folds=3, n_bootstrap=10).planned
    assert list(planned.columns) == list(PLANNED)
    assert planned.empty


def test_held_out_labels_do_not_reach_the_choice() -> None:
    """Other labels in the first test fold leave its inner scores, and so what is chosen in it, as they were."""
    X, y, groups = arrays()
    one = qperov.compare(MODELS, X, y, groups=groups, folds=3, n_bootstrap=10)
    tested = one.predictions.query("fold == 0")["id"].astype(int).unique()
    changed = y.copy()
    changed[tested] = 100 - 7 * changed[tested]
    other = qperov.compare(MODELS, X, changed, groups=groups, folds=3, n_bootstrap=10)
    first, second = (result.folds.query("fold == 0").set_index("model")["inner_mae"] for result in (one, other))
    assert first[list(MODELS)].notna().all()
    pd.testing.assert_series_equal(first, second)


def test_a_search_of_the_same_score_and_folds_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y, groups = arrays()
    cv = inner_folds([Ridge(), make_pipeline(StandardScaler(), searched(Ridge(), alpha=[1.0]))])
    known = searched(Ridge(), alpha=[0.1, 10.0]).set_params(cv=GroupKFold(3)).fit(X, y, groups=groups)
    again = clone(known).set_params(scoring="neg_root_mean_squared_error").fit(X, y, groups=groups)
    assert again.best_params_ == known.best_params_
    assert inner_loss(again, X, y, groups, cv) == pytest.approx(-known.best_score_)
    halved = HalvingGridSearchCV(Ridge(), {"alpha": [0.1, 10.0]}, cv=GroupKFold(3), scoring=MAE)
    halved.fit(X, y, groups=groups)
    assert halved.best_params_ == known.best_params_
    assert inner_loss(halved, X, y, groups, cv) == pytest.approx(-known.best_score_)
    monkeypatch.setattr(module, "cross_val_score", None)
    assert inner_loss(known, X, y, groups, cv) == -known.best_score_


def test_inner_folds_are_those_of_the_searches_where_they_agree() -> None:
    five = GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=5)
    assert repr(inner_folds([Ridge(), make_pipeline(StandardScaler(), five)])) == repr(GroupKFold(5))
    assert repr(inner_folds([five, searched(Ridge(), alpha=[1.0])])) == repr(GroupKFold(3))
    assert repr(inner_folds([Ridge()])) == repr(GroupKFold(3))


def test_with_few_groups_each_is_an_inner_fold() -> None:
    X, y, _ = arrays(6)
    groups = np.array([0, 0, 0, 1, 1, 1])
    expected = -cross_val_score(Ridge(), X, y, groups=groups, cv=GroupKFold(2), scoring=MAE).mean()
    assert inner_loss(Ridge().fit(X, y), X, y, groups, GroupKFold(3)) == pytest.approx(expected)
    assert np.isnan(inner_loss(Ridge().fit(X, y), X, y, np.zeros(6, dtype=int), GroupKFold(3)))


def test_kept_folds_without_the_inner_score_are_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lone candidate of its family needs none; with a rival it does, and the score of one is asked for."""
    X, y, groups = arrays()
    lone = {name: MODELS[name] for name in ("quantum, stiff", "ridge")}
    options: dict[str, Any] = {"groups": groups, "folds": 3, "n_bootstrap": 10}
    first = qperov.compare(lone, X, y, resume=tmp_path, **options)
    assert first.folds["inner_mae"].isna().all()
    resumed = qperov.compare(MODELS, X, y, resume=tmp_path, **options)
    fresh = qperov.compare(MODELS, X, y, **options)
    pd.testing.assert_frame_equal(resumed.planned, fresh.planned)
    pd.testing.assert_frame_equal(resumed.folds, fresh.folds)
    done: list[str] = []
    original = module._fit_and_predict
    monkeypatch.setattr(module, "_fit_and_predict", lambda *task: done.append(task[0]) or original(*task))
    qperov.compare(MODELS, X, y, resume=tmp_path, **options)
    assert done == []
    monkeypatch.setattr("qperov.evaluation.finished_folds.FORMAT", 1)  # of a version that knew of no inner score
    qperov.compare(MODELS, X, y, resume=tmp_path, **options)
    assert set(done) > set(MODELS)


def test_rope_widens_the_region() -> None:
    X, y, groups = arrays()
    options: dict[str, Any] = {"groups": groups, "folds": 3, "n_bootstrap": 10}
    wide = qperov.compare(MODELS, X, y, rope=100.0, **options)
    assert wide.planned["outcome"].tolist() == ["practically the same"]
    assert (wide.significance["rope"] == 100).all()
    assert wide.settings["rope"] == 100
    assert "do not include" in wide.settings["intervals"]
    with pytest.raises(ValueError, match="region of practical equivalence"):
        qperov.compare(MODELS, X, y, rope="wide", **options)


def straight_line(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    shifted = x - x.mean()
    return y.mean() + (shifted * y).sum() / (shifted**2).sum() * (new - x.mean())


def simulated_outcome(rng: np.random.Generator, n: int, weight: float) -> str:
    """Four models, each of which sees one of four features of equal weight: neither family is better."""
    X = rng.normal(size=(n, 4))
    y = weight * X.sum(axis=1) + rng.normal(size=n)
    rows = []
    for repeat in range(2):
        splitter = KFold(5, shuffle=True, random_state=int(rng.integers(1 << 30)))
        for fold, (train, test) in enumerate(splitter.split(X)):
            parts = [(train, test), *((train[a], train[b]) for a, b in KFold(3).split(train))]
            for name, x in zip(("q1", "q2", "c1", "c2"), X.T, strict=True):
                maes = [np.abs(straight_line(x[a], y[a], x[b]) - y[b]).mean() for a, b in parts]
                rows.append((name, repeat, fold, len(train), len(test), maes[0], np.mean(maes[1:])))
    columns = ["model", "repeat", "fold", "n_train", "n_test", "mae", "inner_mae"]
    rope = region_half_width("5%", y)
    table = planned_table({"x": (["q1", "q2"], ["c1", "c2"])}, pd.DataFrame(rows, columns=columns), rope)
    return table["outcome"].item()


def test_equal_families_are_rarely_told_apart() -> None:
    """With choice, overlap and all, in real cross-validation: no more than 5 % certain answers either way."""
    rng = np.random.default_rng(0)
    small = [simulated_outcome(rng, 60, 1.0) for _ in range(100)]
    assert small.count("better") <= 5
    assert small.count("worse") <= 5
    assert {simulated_outcome(rng, 400, 0.0) for _ in range(10)} == {"practically the same"}


def test_a_printed_comparison_ends_with_its_questions(compared: qperov.evaluation.Comparison) -> None:
    last = str(compared).splitlines()[-1]
    assert last.split()[0] == "features"
    assert compared.planned["outcome"].item() in last
    assert compared._repr_html_().count("<table") == 2


# --- records, exports, the screen ---------------------------------------------------------------


def test_records_hold_the_planned_questions(compared: qperov.evaluation.Comparison, tmp_path: Path) -> None:
    record = write_record(tmp_path / "run", compared, task=TASK, dataset=DATASET)
    pd.testing.assert_frame_equal(record.comparison.planned, compared.planned)
    (told,) = metrics(record)["planned"]
    assert told == compared.planned.iloc[0].to_dict()


def test_records_without_questions_open_with_none(tmp_path: Path) -> None:
    record = write_record(tmp_path / "run", synthetic_comparison(), task=TASK, dataset=DATASET)
    assert list(record.comparison.planned.columns) == list(PLANNED)
    assert metrics(read_record(tmp_path / "run"))["planned"] == []


def test_the_screen_shows_each_question(
    compared: qperov.evaluation.Comparison, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    row = compared.planned.iloc[[0]].assign(
        descriptor="structure factors", delta_mae=-0.004, low=-0.0123, high=0.0121, rope=0.011, detectable=0.0093,
        floor=0.0061, outcome="undecidable",
    )  # fmt: skip
    label = compared.label | {"unit": "meV/atom"}
    print_table(replace(compared, planned=row, label=label))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(line.strip() for line in lines[-3:]) == (
        "structure factors: best quantum against best classical: undecidable (ΔMAE −0.004 [−0.012, +0.012] meV/atom; "
        "region ±0.011; detectable 0.0093, floor 0.0061; most often quantum against ridge)"
    )
