"""Classes compared, recorded, reported, kept and predicted."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from typer.testing import CliRunner

import qperov
from qperov.commands.main import app
from qperov.datasets.pattern_dataset import PatternDataset
from qperov.descriptors.scans.peaks import SuperstructureLines
from qperov.descriptors.scans.profile import MeasuredProfile
from qperov.diffraction.measured import MeasuredPattern
from qperov.errors import PatternRangeError
from qperov.evaluation.metrics import class_weights, weighted_class_scores
from qperov.evaluation.results import CLASS_METRICS, Comparison
from qperov.evaluation.searches import SampledGroupKFold, class_score
from qperov.records import write_record
from qperov.reports import build_report
from qperov.serving.fitting import held_out_temperature, with_temperature
from qperov.serving.inputs import Entry
from qperov.serving.model_store import fit_and_store
from qperov.serving.predictor import predict_entries
from qperov.serving.stored_model import load_model

ANGLES = 20 + 0.1 * np.arange(300)
#: Places of the peaks of each class of `scans`.
PLACES = {"cubic": (25.0, 36.0), "layered": (23.0, 41.0), "other": (30.0, 45.0)}


def scans(n: int = 24, *, alone: bool = False, seed: int = 0) -> PatternDataset:
    """Patterns of two or three classes, two a group; the third class, if it is there, in one group."""
    rng = np.random.default_rng(seed)
    names = [("cubic", "layered")[i // 2 % 2] for i in range(n)] + ["other"] * (2 * alone)
    patterns = []
    for i, name in enumerate(names):
        moved = rng.normal(0, 0.1)
        clean = 20 + 400 * sum(np.exp(-0.5 * ((ANGLES - at - moved) / 0.2) ** 2) for at in PLACES[name])
        patterns.append(MeasuredPattern(ANGLES, rng.poisson(clean).astype(float), 1.5406, None, f"s{i}"))
    return PatternDataset(
        "phases",
        tuple(patterns),
        tuple(f"s{i}" for i in range(len(names))),
        y=np.array(names),
        target="phase",
        provenance=("made",) * len(names),
        known_groups=np.arange(len(names)) // 2,
    )


def models() -> dict[str, object]:
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 10.0]}, scoring=class_score, cv=SampledGroupKFold(3))
    return {
        "logistic": make_pipeline(MeasuredProfile(step=0.2), search),
        "neighbours": make_pipeline(MeasuredProfile(step=0.2), KNeighborsClassifier(1)),
    }


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return qperov.compare(models(), scans(alone=True), folds=4, n_bootstrap=200)


# --- scores -------------------------------------------------------------------------------------


def test_class_scores_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    y, said = rng.integers(0, 3, 60), rng.integers(0, 3, 60)
    probabilities = rng.dirichlet(np.ones(3), 60)
    times = rng.integers(1, 4, 60)
    found = weighted_class_scores(y, said, probabilities, times[None].astype(float))
    again = np.repeat(y, times), np.repeat(said, times)
    assert found["balanced_accuracy"][0] == pytest.approx(balanced_accuracy_score(*again))
    assert found["error"][0] == pytest.approx(1 - balanced_accuracy_score(*again))
    assert found["accuracy"][0] == pytest.approx(accuracy_score(*again))
    assert found["macro_f1"][0] == pytest.approx(f1_score(*again, average="macro"))
    surprise = -np.log(np.maximum(probabilities[np.arange(60), y], 1e-3))
    assert found["log_loss"][0] == pytest.approx(np.average(surprise, weights=times))


def test_a_class_that_is_sure_and_wrong_is_not_calibrated() -> None:
    y, sure = np.array([0, 1] * 10), np.tile([1.0, 0.0], (20, 1))
    found = weighted_class_scores(y, np.zeros(20, dtype=int), sure, np.ones((1, 20)))
    assert found["calibration_error"][0] == pytest.approx(0.5)
    assert found["log_loss"][0] == pytest.approx(-0.5 * np.log(1e-3))
    honest = weighted_class_scores(y, np.zeros(20, dtype=int), np.full((20, 2), 0.5), np.ones((1, 20)))
    assert honest["calibration_error"][0] == pytest.approx(0.0)


def test_classes_in_one_group_have_no_weight() -> None:
    weights = class_weights(np.array(["a", "a", "b", "b", "b", "c"]), np.array([0, 1, 2, 3, 3, 4]))
    assert weights == pytest.approx([1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3, 0])
    with pytest.raises(ValueError, match="b: 1"):
        class_weights(np.array(["a", "a", "b"]), np.array([0, 1, 2]))


# --- comparison ---------------------------------------------------------------------------------


def test_classes_are_learnt_and_told_from_chance(comparison: Comparison) -> None:
    table = comparison.table.set_index("model")
    assert comparison.loss == "error"
    assert set(comparison.classes) == {"cubic", "layered", "other"}
    assert table.loc["logistic", "balanced_accuracy"] == 1.0
    assert table.loc["most frequent class", "balanced_accuracy"] <= 0.5
    assert comparison.beats_constant("logistic")
    assert {f"{name}_low" for name in CLASS_METRICS} <= set(table.columns)
    assert "24 measured patterns" not in repr(comparison)
    assert "cubic 12" in str(comparison)


def test_a_class_of_one_group_is_predicted_and_not_scored(comparison: Comparison) -> None:
    assert comparison.label["classes"]["other"] == {"n": 2, "groups": 1, "scored": False}
    assert any("other" in warning and "not scored" in warning for warning in comparison.warnings)
    mine = comparison.predictions.query("y_true == 'other' and model == 'logistic'")
    assert len(mine) == 2
    assert not (mine["y_pred"] == "other").any()
    assert (mine["probability_other"] == 0).all()  # nothing of it was learnt there


def test_no_fold_parts_a_group_and_folds_share_classes(comparison: Comparison) -> None:
    rows = comparison.predictions.query("model == 'logistic'")
    assert (rows.groupby("group")["fold"].nunique() == 1).all()
    scored = rows[rows["y_true"] != "other"]
    assert (scored.groupby("fold")["y_true"].nunique() == 2).all()


def test_folds_add_up_to_the_balanced_error() -> None:
    data = scans()
    rng = np.random.default_rng(2)
    X = rng.normal(size=(len(data), 3))
    result = qperov.compare({"k": KNeighborsClassifier(3)}, X, data.y, groups=data.groups, folds=3, n_bootstrap=50)
    folds = result.folds.query("model == 'k'")
    # as many samples of each class, so that folds weigh as their samples
    whole = np.average(folds["error"], weights=folds["n_test"])
    assert whole == pytest.approx(result.table.set_index("model").loc["k", "error"])


def test_classifiers_take_classes_of_any_kind() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 2)), np.arange(40) % 2
    result = qperov.compare({"k": KNeighborsClassifier(3)}, X, y, folds=3, n_bootstrap=20)
    assert result.classes == ("0", "1")
    with pytest.raises(ValueError, match="labels are classes, but it is a regressor"):
        qperov.compare({"line": Ridge()}, X, np.where(y == 0, "a", "b"))
    with pytest.raises(ValueError, match="labels are numbers, but it is a classifier"):
        qperov.compare({"line": Ridge(), "k": KNeighborsClassifier(3)}, X, y.astype(float))
    with pytest.raises(ValueError, match="None or NaN"):
        qperov.compare({"k": KNeighborsClassifier(3)}, X, np.array(["a", None] * 20, dtype=object))


def test_further_samples_are_learnt_from_and_never_tested() -> None:
    data, drawn = scans(12), scans(8, alone=True, seed=5)
    other = drawn.take(np.flatnonzero(drawn.y == "other"))
    named = replace(other, ids=("x0", "x1"), name="simulated")
    alone = scans(12, alone=True)
    one = {"neighbours": models()["neighbours"]}
    with_them = qperov.compare(one, alone, folds=3, n_bootstrap=20, further=named)
    found = with_them.predictions.query("model == 'neighbours' and y_true == 'other'")
    assert (found["y_pred"] == "other").all()  # reachable from simulation alone
    assert set(with_them.ids) == set(alone.ids)
    assert (with_them.folds["n_train"] > len(alone) - with_them.folds["n_test"]).all()
    assert with_them.settings["further"] == "2 of simulated"
    with pytest.raises(ValueError, match="need labels like those"):
        qperov.compare(one, data, folds=3, further=replace(named, y=None, target=None))
    with pytest.raises(ValueError, match="beside a dataset"):
        qperov.compare({"k": KNeighborsClassifier(1)}, np.ones((4, 1)), ["a", "b"] * 2, further=named)


def test_class_score_breaks_ties_by_probability() -> None:
    X, y = np.zeros((6, 1)), np.array(["a", "a", "b", "b", "a", "b"])

    class Fixed(DummyClassifier):
        def __init__(self, sure: float = 0.5) -> None:
            super().__init__()
            self.sure = sure

        def predict(self, X: np.ndarray) -> np.ndarray:
            return y

        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            own = (y[:, None] == self.classes_).astype(float)
            return own * self.sure + (1 - own) * (1 - self.sure)

    timid, bold = (class_score(Fixed(sure).fit(X, y), X, y) for sure in (0.6, 0.9))
    assert 0.99 < timid < bold < 1.0


# --- pages --------------------------------------------------------------------------------------


def test_the_page_of_classes_speaks_of_them(comparison: Comparison, tmp_path: Path) -> None:
    data = scans(alone=True)
    record = write_record(tmp_path / "run", comparison, task={"command": "qperov"}, dataset=data.about)
    again = record.comparison
    assert again.classes == comparison.classes
    assert again.y.tolist() == data.y.tolist()
    pd.testing.assert_frame_equal(again.predictions, comparison.predictions, check_dtype=False)
    page = build_report(record).read_text(encoding="utf-8")
    for text in ("balanced error", "other 2 in 1 group (not scored)", "true classes", "measured patterns", "Chance"):
        assert text in page
    words = re.sub(r"data:[^\"]*|<style.*?</style>", "", page.partition("<body")[2], flags=re.DOTALL)
    assert "MAE" not in words
    assert "crystals" not in words
    assert "Balanced accuracy" in (tmp_path / "run" / "table.tex").read_text(encoding="utf-8")


# --- kept models --------------------------------------------------------------------------------


def test_a_kept_classifier_answers_with_class_and_set(comparison: Comparison, tmp_path: Path) -> None:
    data = scans(alone=True)
    (path,) = fit_and_store(models(), data, comparison, ["logistic"], tmp_path)
    model = load_model(path)
    assert model.takes_patterns
    new = scans(6, seed=9)
    # too few groups to promise nine of ten: no class is ruled out then
    found = predict_entries(model, [Entry(i, p) for i, p in zip(new.ids, new.patterns, strict=True)], 0.7)
    assert found.table["prediction"].tolist() == new.y.tolist()
    columns = [f"probability_{name}" for name in model.classes]
    assert found.table[columns].sum(axis=1).to_numpy() == pytest.approx(1)
    assert found.table["probability"].between(0.4, 1).all()
    assert all(name in members.split(" | ") for name, members in found.table[["prediction", "set"]].to_numpy())
    assert found.table["seen"].str.contains("strongest peaks at").all()
    assert found.table["seen"].str.contains(r"2[2-5]\.\d\d°").all()
    sure = predict_entries(model, [Entry("x", new.patterns[0])], 0.99)
    assert sure.table["set"].tolist() == ["cubic | layered | other"]


def test_a_model_of_patterns_refuses_crystals(comparison: Comparison, tmp_path: Path) -> None:
    from pymatgen.core import Lattice, Structure

    (path,) = fit_and_store(models(), scans(alone=True), comparison, ["neighbours"], tmp_path)
    crystal = Structure(Lattice.cubic(4.0), ["Po"], [[0, 0, 0]])
    found = predict_entries(load_model(path), [Entry("crystal", crystal)])
    assert found.table.empty
    assert "reads measured patterns" in found.failures[0].reason


def test_temperature_mends_what_is_too_sure() -> None:
    rng = np.random.default_rng(0)
    n = 400
    y = rng.integers(0, 2, n)
    right = rng.random(n) < 0.75
    sure = np.where((right == (y == 1))[:, None], [0.01, 0.99], [0.99, 0.01])
    predictions = pd.DataFrame(
        {
            "id": [str(i) for i in range(n)], "group": np.arange(n), "repeat": 0, "fold": np.arange(n) % 5,
            "model": "m", "y_true": np.array(["a", "b"])[y], "y_pred": "a",
            "probability_a": sure[:, 0], "probability_b": sure[:, 1],
        }
    )  # fmt: skip
    label = {"classes": {name: {"n": 0, "groups": 9, "scored": True} for name in "ab"}}
    empty = pd.DataFrame()
    made = Comparison(label, empty, predictions, empty, empty, empty, empty, {}, (), np.array(["a"]))
    temperature = held_out_temperature(made, "m")
    # three of four are right: log(3) is what the logit of 0.99 must become
    assert with_temperature(sure, temperature).max() == pytest.approx(0.75, abs=0.05)


# --- parts --------------------------------------------------------------------------------------


def test_short_patterns_are_filled_where_asked() -> None:
    whole = scans(2).patterns[0]
    short = replace(whole, two_theta=whole.two_theta[:100], intensity=whole.intensity[:100])
    profile = MeasuredProfile(two_theta_range=(20, 49), background=None, compression="none", norm="none")
    with pytest.raises(PatternRangeError):
        profile.fit([whole]).transform([short])
    filled = profile.set_params(fill=0.0).fit([whole]).transform([short])
    assert (filled[0, -100:] == 0).all()
    assert filled[0, 0] == whole.intensity[0]


def test_calibration_needs_no_second_sample_of_a_class() -> None:
    from sklearn.gaussian_process.kernels import RBF

    rng = np.random.default_rng(0)
    y = np.array(["a"] * 10 + ["b"] * 10 + ["c"])
    X = rng.normal(size=(21, 2)) + 5 * np.array([[label == "a", label == "b"] for label in y])
    machine = qperov.QuantumSVC(RBF(), probability=True, C=10.0).fit(X, y)
    assert machine.predict_proba(X).sum(axis=1) == pytest.approx(1)
    assert machine.calibration_[2] == pytest.approx(machine.calibration_[:2].mean(axis=0))


def test_the_network_finds_the_peak_that_tells(tmp_path: Path) -> None:
    from qperov.classical import PatternNetwork

    rng = np.random.default_rng(0)
    X = 0.05 * rng.random((40, 120))
    y = np.where(np.arange(40) % 2 == 0, "left", "right")
    X[:, 60] += 1  # a peak that all have
    X[np.arange(40), np.where(y == "left", 20, 100)] += 1
    network = PatternNetwork(epochs=30, channels=8, shift=1).fit(X, y)
    assert (network.predict(X) == y).all()
    maps = network.class_activation(X)
    assert maps.shape == (40, 2, 120)
    difference = (maps[:, 1] - maps[:, 0])[y == "right"].mean(axis=0)
    assert abs(int(difference.argmax()) - 100) < 15
    again = PatternNetwork.load(network.save(tmp_path / "network.safetensors"))
    assert again.predict_proba(X) == pytest.approx(network.predict_proba(X))
    with pytest.raises(ValueError, match="greater than one"):
        PatternNetwork().fit(X, np.repeat("a", 40))


@pytest.mark.slow
def test_films_from_the_command_line_to_a_scan(tmp_path: Path) -> None:
    runner = CliRunner()
    options = ["--quick", "--folds", "4", "--descriptors", "ratios", "--jobs", "1", "--keep", "Nearest neighbours"]
    # the name of a model has its descriptor behind it
    options[-1] += " · ratios of d-spacings of the 4 strongest peaks"
    done = runner.invoke(app, ["compare", "films", "--runs", str(tmp_path), *options])
    assert done.exit_code == 0, done.output
    scan = tmp_path / "scan.xy"
    pattern = qperov.load_dataset("films").patterns[20]
    np.savetxt(scan, np.column_stack([pattern.two_theta, pattern.intensity]))
    out = tmp_path / "classes.csv"
    command = ["predict", str(tmp_path / "films-1"), str(scan), "--wavelength", "CuKa", "--out", str(out)]
    told = runner.invoke(app, command)
    assert told.exit_code == 0, told.output
    table = pd.read_csv(out)
    assert table["prediction"].notna().all()
    assert sum(column.startswith("probability_") for column in table) == 7


def test_superstructure_lines_stand_where_the_cell_says() -> None:
    strongest = 24.0
    weak = 2 * np.degrees(np.arcsin(np.sin(np.radians(strongest / 2)) * np.sqrt(26 / 12)))
    angles = 10 + 0.02 * np.arange(2000)
    rng = np.random.default_rng(0)

    def pattern(height: float) -> MeasuredPattern:
        lines = 1000 * np.exp(-0.5 * ((angles - strongest) / 0.15) ** 2)
        lines += height * np.exp(-0.5 * ((angles - weak) / 0.15) ** 2)
        return MeasuredPattern(angles, lines + rng.normal(0, 3, len(angles)) + 50, None)

    without, with_line = SuperstructureLines().fit_transform([pattern(0), pattern(30)])
    assert with_line.argmax() == 3
    assert with_line[3] > np.log1p(5) > without.max()
    flat = MeasuredPattern(angles, np.full(2000, 5.0), 1.54)
    assert SuperstructureLines().fit_transform([flat]).max() < np.log1p(5)
