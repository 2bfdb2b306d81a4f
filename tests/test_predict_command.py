"""``qperov predict``: what a user types, reads, and is told when something is wrong."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from perovskites import perovskite
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner, Result

import qperov
from qperov.commands.predict import predict
from qperov.datasets.dataset import CrystalDataset
from qperov.errors import ReadingError
from qperov.serving.inputs import Entry, read_inputs
from qperov.serving.model_store import fit_and_store
from qperov.serving.predictor import COLUMNS, predict_entries
from qperov.serving.stored_model import StoredModel, load_model

run = CliRunner()
app = typer.Typer()
app.command()(predict)

RIDGE, PROFILE, PROCESS = "Ridge · structure factors", "Ridge · broadened profile", "GPR · pair correlations"
#: Of the peaks, degrees: so broad that it does not matter whether a step is sampled or averaged.
WIDTH = 1.0


@pytest.fixture(scope="module")
def dataset() -> CrystalDataset:
    return qperov.load_dataset("cpx321").in_unit("meV/atom").take(range(0, 960, 24))


@pytest.fixture(scope="module")
def models(dataset: CrystalDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with three models."""
    area = qperov.PXRDFeaturizer("profile", width=WIDTH, two_theta_range=(10, 60), normalization="area")
    pipelines = {
        RIDGE: Pipeline(
            [
                ("f", qperov.PXRDFeaturizer("structure_factors")),
                ("s", StandardScaler()),
                ("p", qperov.descriptors.RankPCA(10)),
                ("m", Ridge()),
            ]
        ),
        PROFILE: Pipeline(
            [("f", area), ("s", StandardScaler(with_std=False)), ("p", qperov.descriptors.RankPCA(8)), ("m", Ridge())]
        ),
        PROCESS: Pipeline(
            [
                ("f", qperov.PXRDFeaturizer("correlations")),
                ("m", GaussianProcessRegressor(RBF(3.0) + WhiteKernel(0.1), normalize_y=True)),
            ]
        ),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the likelihood of forty crystals has its maximum on an edge
        comparison = qperov.compare(pipelines, dataset, folds=4, n_bootstrap=20)
    folder = tmp_path_factory.mktemp("run")
    fit_and_store(pipelines, dataset, comparison, list(pipelines), folder / "models")
    return folder


@pytest.fixture(scope="module")
def ridge(models: Path) -> StoredModel:
    return load_model(models / "models" / "ridge-structure-factors")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A folder of four new crystals, one copy of a training crystal, and one corrupt file."""
    source = qperov.load_dataset("cpx321")
    folder = tmp_path / "new"
    for i in (7, 101, 333, 500, 24):
        (folder / f"c{i}").mkdir(parents=True)
        source.structures[i].to(filename=str(folder / f"c{i}" / "POSCAR"), fmt="poscar")
    (folder / "broken").mkdir()
    (folder / "broken" / "POSCAR").write_bytes(bytes(range(256)))
    return folder


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """RbPbBr₃."""
    crystal = perovskite()
    crystal.replace_species({"Cs": "Rb"})
    crystal.to(filename=str(tmp_path / "foreign.cif"))
    return tmp_path / "foreign.cif"


def call(*arguments: object, code: int = 0) -> Result:
    result = run.invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})
    assert result.exit_code == code, (result.output, result.exception)
    return result


def measured(structure: object, path: Path, low: float = 5.0) -> Path:
    """A file of counts over 2θ, background and all, such as a diffractometer would give for a crystal."""
    featurizer = qperov.PXRDFeaturizer("profile", width=WIDTH, two_theta_range=(low, 70), step=0.02)
    [counts] = featurizer.fit_transform([structure])
    angles = np.array([float(name[8:-2]) for name in featurizer.feature_labels()])
    rows = zip(angles, 100 * counts + 300 * np.exp(-angles / 20) + 50, strict=True)
    path.write_text("".join(f"{angle:.2f} {count:.3f}\n" for angle, count in rows))
    return path


def test_a_user_reads_predictions_intervals_and_what_is_wrong(models: Path, new: Path, foreign: Path) -> None:
    result = call(models, new, foreign, "--model", RIDGE)
    assert "Ridge · structure factors: energy [meV/atom], trained on 40 crystals of cpx321" in result.stdout
    assert "on crystals held out: MAE" in result.stdout
    assert "90 % interval" in result.stdout
    rows = [line for line in result.stdout.splitlines() if "CsPbIBr2" in line]
    assert len(rows) == 5
    assert all("inside" in row or "unusual" in row for row in rows)
    assert "broken/POSCAR: binary content where text is expected (FileFormatError)" in result.stderr
    assert "foreign.cif: this crystal has another cell than the first one used in fit" in result.stderr
    assert "note: c24: the descriptor cannot tell it from training crystal cpx321-0024" in result.stderr


def test_numbers_are_those_of_the_pipeline_and_of_the_residuals(
    models: Path, new: Path, tmp_path: Path, ridge: StoredModel
) -> None:
    out = tmp_path / "tables" / "out.csv"
    call(models, new, "--model", "ridge-structure-factors", "--confidence", 0.8, "--out", out)
    table = pd.read_csv(out)
    good = table[table["error"].isna()]
    assert good["id"].tolist() == ["c101", "c24", "c333", "c500", "c7"]
    source = qperov.load_dataset("cpx321")
    crystals = [source.structures[int(name[1:])] for name in good["id"]]
    np.testing.assert_allclose(good["prediction"], ridge.pipeline.predict(crystals), rtol=1e-9)
    np.testing.assert_allclose(good["high"] - good["prediction"], ridge.residuals.half_width(0.8), rtol=1e-9)
    np.testing.assert_allclose(good["prediction"] - good["low"], ridge.residuals.half_width(0.8), rtol=1e-9)
    assert set(good["unit"]) == {"meV/atom"}
    assert table["error"].dropna().tolist() == ["FileFormatError: binary content where text is expected"]


def test_all_three_files_hold_the_same(models: Path, new: Path, tmp_path: Path) -> None:
    for ending in ("csv", "parquet", "json"):
        call(models, new, "--model", PROCESS, "--out", tmp_path / f"out.{ending}")
    parquet = pd.read_parquet(tmp_path / "out.parquet")
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert content["unit"] == "meV/atom"
    assert content["trained_on"]["n"] == 40
    for name in ("id", "prediction", "low", "sd", "p", "remarks"):
        assert [row[name] for row in content["predictions"]][:5] == parquet[name].tolist()[:5]
    assert content["predictions"][5]["prediction"] is None
    assert "binary content" in content["predictions"][5]["error"]
    csv = pd.read_csv(tmp_path / "out.csv")
    assert list(csv.columns) == list(parquet.columns)
    np.testing.assert_allclose(csv["sd"], parquet["sd"], rtol=1e-12)
    assert (parquet["sd"][:5] > 0).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "out.csv", "out.json", "out.parquet"]


def test_the_score_stands_beside_every_answer(models: Path, new: Path, tmp_path: Path) -> None:
    result = call(models, new, "--model", PROCESS, "--out", tmp_path / "out.csv")
    scores = json.loads(next(models.glob("models/gpr*/model.json")).read_text(encoding="utf-8"))["scores"]
    table = pd.read_csv(tmp_path / "out.csv")
    for name in ("mae", "mae_low", "mae_high"):
        np.testing.assert_allclose(table[f"model_{name}"], scores[name], rtol=1e-12)
    said = f"MAE {scores['mae']:.3g} [{scores['mae_low']:.3g} … {scores['mae_high']:.3g}] meV/atom; a constant: 0."
    assert result.stdout.count(said) == 2, "before the table and below it"


def test_a_model_like_a_constant_says_so_each_time(dataset: CrystalDataset, new: Path, tmp_path: Path) -> None:
    noise = replace(dataset, y=np.random.default_rng(0).normal(size=len(dataset)))
    pipeline = Pipeline([("f", qperov.PXRDFeaturizer("correlations")), ("m", Ridge(1e6))])
    comparison = qperov.compare({"Ridge": pipeline}, noise, folds=4)
    fit_and_store({"Ridge": pipeline}, noise, comparison, ["Ridge"], tmp_path / "run" / "models")
    result = call(tmp_path / "run", new, "--out", tmp_path / "out.csv")
    said = "it is not shown to be better than a constant: MAE "
    assert f"warning: {said}" in result.stderr
    assert said in " ".join(result.stdout.split())
    assert pd.read_csv(tmp_path / "out.csv")["model_warning"].str.startswith(said).all()


def test_foreign_crystal_is_outside_the_domain(models: Path, new: Path, foreign: Path) -> None:
    result = call(models, new / "c7", foreign, "--model", PROFILE)
    [row] = [line for line in result.stdout.splitlines() if "RbPbBr3" in line]
    assert "outside" in row
    assert "warning: outside: " in result.stderr
    assert "the model has never seen Rb" in result.stderr
    assert "times as far from the training crystals as 95% of them" in result.stderr


def test_another_composition_is_at_best_unusual(models: Path, new: Path) -> None:
    model = load_model(models / "models" / "gpr-pair-correlations")
    crystal = qperov.load_dataset("cpx321").structures[7].copy()
    crystal[crystal.indices_from_symbol("Br")[0]] = "I"
    predictions = predict_entries(model, [Entry("more iodine", crystal)])
    [row] = predictions.table.to_dict(orient="records")
    assert row["domain"] in ("unusual", "outside")
    assert "of its atoms are I (20.0% in the training crystals)" in row["remarks"]


def test_a_measured_pattern_is_predicted_like_its_crystal(models: Path, tmp_path: Path) -> None:
    crystal = qperov.load_dataset("cpx321").structures[7]
    crystal.to(filename=str(tmp_path / "c7.vasp"), fmt="poscar")
    pattern = measured(crystal, tmp_path / "c7.xy")
    out = tmp_path / "out.json"
    call(models, tmp_path / "c7.vasp", pattern, "--model", PROFILE, "--out", out)
    computed, found = json.loads(out.read_text(encoding="utf-8"))["predictions"]
    assert found["composition"] == ""
    assert abs(found["prediction"] - computed["prediction"]) < (computed["high"] - computed["low"]) / 4
    # with its background it is no pattern that the model knows
    call(models, pattern, "--model", PROFILE, "--background", "none", "--out", out)
    [raw] = json.loads(out.read_text(encoding="utf-8"))["predictions"]
    assert raw["domain"] == "outside"
    assert raw["strangeness"] > 3 * found["strangeness"]
    short = call(models, measured(crystal, tmp_path / "short.xy", low=20.0), "--model", PROFILE, code=1)
    assert "which does not cover the profile from 10° to 60°" in short.stderr


def test_other_models_refuse_measured_patterns_in_words(models: Path, tmp_path: Path) -> None:
    pattern = measured(qperov.load_dataset("cpx321").structures[7], tmp_path / "c7.xy")
    result = call(models, pattern, "--model", RIDGE, code=1)
    assert "its descriptor (structure factors) is worked out from atoms" in result.stderr
    assert "nothing could be predicted" in result.stderr


def test_which_model_must_be_said_where_there_are_several(models: Path, new: Path) -> None:
    several = call(models, new, code=1).exception
    assert "3 models here, say which: gpr-pair-correlations, ridge-broadened-profile, ridge-" in str(several)
    assert "no model 'SVR' here" in str(call(models, new, "--model", "SVR", code=1).exception)
    assert "inside" in call(models / "models" / "ridge-structure-factors", new).stdout


def test_nothing_predicted_is_a_failure_and_leaves_no_file(models: Path, new: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    for nothing in (new / "broken", tmp_path / "absent.cif", tmp_path / "absent.xy", tmp_path):
        (tmp_path / "new").rename(tmp_path / ".hidden") if nothing == tmp_path else None
        result = call(models, nothing, "--model", RIDGE, "--out", out, code=1)
        assert "left out: " in result.stderr
        assert "nothing could be predicted" in result.stderr
    assert not out.exists()


def test_strict_stops_at_the_first_problem(models: Path, new: Path, foreign: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    for files in ([new], [new / "c7", foreign]):
        result = call(models, *files, "--model", RIDGE, "--strict", "--out", out, code=1)
        assert isinstance(result.exception, ReadingError)
        assert "the first of 1 problems; prediction is strict" in str(result.exception)
    assert not out.exists()


def test_wrong_options_are_told_before_anything_is_read(models: Path, new: Path) -> None:
    assert "predictions are written to .csv, .json, .parquet" in call(models, new, "--out", "x.xlsx", code=2).stderr
    assert "between 0 and 1" in call(models, new, "--confidence", 90, code=2).stderr


def test_an_interval_that_cannot_be_told_is_not_invented(models: Path, new: Path) -> None:
    result = call(models, new / "c7", "--model", RIDGE, "--confidence", 0.99)
    assert "unknown" in result.stdout
    assert "too few groups of crystals were held out to give intervals of 99 %" in " ".join(result.stdout.split())


def test_notes_on_the_model_are_told(models: Path, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qperov.serving.stored_model.versions_here", lambda: {"qperov": "99.0"})
    stderr = call(models, new, "--model", RIDGE).stderr
    assert "warning: it was trained with qperov" in stderr
    assert "(here 99.0)" in stderr


def test_many_predictions_are_shown_in_part(ridge: StoredModel, models: Path, tmp_path: Path) -> None:
    crystals = qperov.load_dataset("cpx321").structures
    for i in range(1, 961, 20):
        crystals[i].to(filename=str(tmp_path / f"c{i}.vasp"), fmt="poscar")
    assert "and 8 more: --out FILE keeps all of them" in call(models, tmp_path, "--model", RIDGE).stdout


# --- reading and predicting, apart from the command ----------------------------------------------


def test_names_tell_entries_apart(new: Path, tmp_path: Path) -> None:
    (tmp_path / "b" / "c7").mkdir(parents=True)
    (tmp_path / "b" / "c7" / "POSCAR").write_bytes((new / "c7" / "POSCAR").read_bytes())
    single = tmp_path / "b" / "c7" / "POSCAR"
    entries, failures = read_inputs([new, tmp_path / "b", single, single])
    assert [entry.id for entry in entries[5:]] == [f"{tmp_path / 'b'}/c7", str(single)]
    assert [failure.kind for failure in failures] == ["FileFormatError", "DuplicateIdError"]


def test_one_bad_crystal_among_many_is_found(ridge: StoredModel) -> None:
    crystals = list(qperov.load_dataset("cpx321").structures[1:960:60])
    crystals[5] = perovskite()
    entries = [Entry(str(i), crystal) for i, crystal in enumerate(crystals)]
    predictions = predict_entries(ridge, entries)
    assert [failure.id for failure in predictions.failures] == ["5"]
    assert predictions.failures[0].kind == "DescriptorError"
    assert predictions.table["id"].tolist() == [str(i) for i in range(16) if i != 5]
    alone = [predict_entries(ridge, [entry]).table["prediction"].item() for entry in entries if entry.id != "5"]
    np.testing.assert_allclose(predictions.table["prediction"], alone, rtol=1e-9)


def test_nothing_to_predict_gives_an_empty_table(ridge: StoredModel) -> None:
    predictions = predict_entries(ridge, [])
    assert list(predictions.table.columns) == list(COLUMNS)
    assert (len(predictions.table), predictions.failures) == (0, [])


def test_training_crystals_are_recognised_and_inside(ridge: StoredModel, dataset: CrystalDataset) -> None:
    entries = [Entry(name, crystal) for name, crystal in zip(dataset.ids, dataset.structures, strict=True)]
    table = predict_entries(ridge, entries).table
    assert set(table["domain"]) == {"inside"}
    twins = table["nearest"] != table["id"]  # crystals that structure factors cannot tell apart
    assert twins.sum() <= len(dataset) - ridge.residuals.n_groups
    assert table["remarks"].str.contains("the descriptor cannot tell it from training crystal").all()


def test_intervals_hold_for_new_crystals_of_the_same_kind(ridge: StoredModel) -> None:
    source = qperov.load_dataset("cpx321").in_unit("meV/atom")
    rows = np.arange(1, 960, 5)
    table = predict_entries(ridge, [Entry(str(i), source.structures[i]) for i in rows], 0.8).table
    held = ((table["low"] <= source.y[rows]) & (source.y[rows] <= table["high"])).mean()
    # one training set of 40 crystals tells 80 % to about sqrt(0.8 * 0.2 / 41)
    assert abs(held - 0.8) < 4 * np.sqrt(0.8 * 0.2 * (1 / 41 + 1 / len(rows)))
    assert (table["domain"] == "inside").mean() > 0.85


def test_a_model_that_predicts_no_number_says_so(ridge: StoredModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qperov.serving.predictor.predictions_of", lambda *_: np.array([np.nan, 1.0]))
    crystals = qperov.load_dataset("cpx321").structures[:2]
    predictions = predict_entries(ridge, [Entry("a", crystals[0]), Entry("b", crystals[1])])
    assert predictions.table["id"].tolist() == ["b"]
    assert [(failure.id, failure.reason) for failure in predictions.failures] == [
        ("a", "the model's prediction is no finite number")
    ]
