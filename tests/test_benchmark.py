"""The benchmark over many tasks: its file of tasks, its records, its contrasts and its verdict."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from typer.testing import CliRunner

import qperov
from qperov.benchmarking import runs as module
from qperov.benchmarking.contrasts import SCALES, TWIN, contrasts
from qperov.benchmarking.task_records import TaskRecord, digest_of, is_current, read_task_record, write_task_record
from qperov.benchmarking.tasks import BenchmarkTask, drawn_rows, read_protocol
from qperov.benchmarking.verdict import BEST, difference_table, judge, planned_table, rank_table, score_table
from qperov.classical.kernels import CosineProduct
from qperov.commands.main import app
from qperov.descriptors.scans.profile import MeasuredProfile
from qperov.errors import RecordError, TaskFileError
from qperov.evaluation.problem import Model
from qperov.quantum.estimators.regression import QuantumSVR
from qperov.studies.surrogate_kernels import closed_form, separable_twin

TASKS = """
[protocol]
seeds = [0]
folds = 2
rope = 0.05
[quick]
samples = 20
[[task]]
name = "lattice"
dataset = "heo106"
target = "lattice_parameter"
samples = 30
[[task]]
name = "size"
dataset = "heo106"
target = "crystallite_size"
samples = 30
"""


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.toml"
    path.write_text(TASKS, encoding="utf-8")
    return path


class QuantumRidge(Ridge):
    """Quantum by its own word."""


def small_suite(*_: Any, **__: Any) -> dict[str, Model]:
    profile = MeasuredProfile(step=0.5)
    models = [
        Model("QSVR", QuantumRidge(1.0), profile, family="quantum"),
        Model("SVR", Ridge(10.0), profile),
        Model("Nearest neighbours", KNeighborsRegressor(2), profile),
        Model("QSVR, without entanglement", Ridge(1.0), profile, role="contrast"),
    ]
    return {model.name: model for model in models}


# --- tasks --------------------------------------------------------------------------------------


def test_the_shipped_tasks_can_be_loaded() -> None:
    protocol = read_protocol()
    assert len(protocol.seeds) > 1
    assert len({task.unit_of_evidence for task in protocol.tasks}) >= 9
    quick = read_protocol(quick=True)
    assert {task.samples for task in quick.tasks} == {90}
    assert quick.digest == protocol.digest
    assert [task.name for task in quick.tasks if task.dataset == "perov5"] == ["perov5-200"]
    film = next(task for task in quick.tasks if task.dataset == "films")
    assert len(film.load(quick.source.parent, 0)) == 53


def test_groups_are_drawn_whole() -> None:
    groups = np.repeat(np.arange(20), 3)
    rows = drawn_rows(groups, 31, 0)
    assert len(rows) == 30
    assert np.unique(groups[rows], return_counts=True)[1].tolist() == [3] * 10
    assert len(drawn_rows(groups, 100, 0)) == 60


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not toml", "not a file of tasks"),
        ("[protocol]\nseeds = [0]\nfolds = 2\nrope = 0.1\n", "'task' is missing"),
        (TASKS.replace("samples = 30", "sample = 30"), "a task has no 'sample'"),
        (TASKS.replace('"size"', '"lattice"'), "names of their own"),
        (TASKS.replace("seeds = [0]", "seeds = []"), "a task and a seed"),
        (TASKS.replace('"size"', '"../size"'), "not a file of tasks"),
    ],
)
def test_a_wrong_file_of_tasks_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tasks.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TaskFileError, match=message):
        read_protocol(path)


def test_tasks_may_be_files_of_the_user(tasks: Path, tmp_path: Path) -> None:
    crystals = tmp_path / "crystals"
    crystals.mkdir()
    for i, structure in enumerate(qperov.load_dataset("abx3").structures[:3]):
        structure.to_file(str(crystals / f"{i}.cif"))
    pd.DataFrame({"id": range(3), "gap": [1.0, 2.0, 3.0]}).to_csv(tmp_path / "labels.csv", index=False)
    task = BenchmarkTask("mine", "crystals", "gap", labels="labels.csv", unit="eV")
    assert task.load(tmp_path, 0).y.tolist() == [1.0, 2.0, 3.0]


# --- contrasts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["iqp", "zz", "z"])
@pytest.mark.parametrize("entanglement", ["linear", "circular"])
def test_contrasts_are_twin_and_closed_form(name: str, entanglement: str) -> None:
    X = np.random.default_rng(0).normal(size=(7, 4))
    kernel = qperov.FidelityKernel(name, entanglement=entanglement, bandwidth=0.3)
    twin = qperov.FidelityKernel(TWIN, bandwidth=SCALES[name] * 0.3)
    np.testing.assert_allclose(twin(X), separable_twin(kernel, 4)(X), atol=1e-12)
    np.testing.assert_allclose(CosineProduct(SCALES[name] * 0.3, 4)(X), closed_form(kernel, X), atol=1e-12)


def test_contrasts_search_among_as_many() -> None:
    grid = [
        {"kernel__feature_map": ["iqp"], "kernel__entanglement": ["circular"], "kernel__bandwidth": [0.2], "C": [1, 2]},
        {"kernel__feature_map": ["zz"], "kernel__entanglement": ["linear"], "kernel__bandwidth": [0.4], "C": [3]},
    ]
    model = Model("QSVR", GridSearchCV(QuantumSVR(qperov.FidelityKernel("iqp")), grid), family="quantum")
    twin, closed = contrasts(model)
    assert twin.regressor.param_grid == [
        {"kernel__feature_map": ["z"], "kernel__entanglement": ["linear"], "kernel__bandwidth": [0.1], "C": [1, 2]},
        {"kernel__feature_map": ["z"], "kernel__entanglement": ["linear"], "kernel__bandwidth": [0.4], "C": [3]},
    ]
    assert [one["C"] for one in closed.regressor.param_grid] == [[1, 2], [3]]
    assert repr(closed.regressor.param_grid[0]["kernel"]) == "[CosineProduct(bandwidth=0.1, power=4)]"
    assert {(each.family, each.role) for each in (twin, closed)} == {("classical", "contrast")}
    X = np.random.default_rng(0).normal(size=(20, 2))
    for each in (twin, closed):
        assert each.regressor.set_params(cv=2).fit(X, X[:, 0]).score(X, X[:, 0]) > 0.5
    assert contrasts(Model("Ridge", Ridge())) == ()


def test_a_product_of_cosines_is_a_kernel() -> None:
    X = np.random.default_rng(0).normal(size=(12, 3))
    K, gradient = CosineProduct(0.7, 3)(X, eval_gradient=True)
    assert gradient.shape == (12, 12, 0)
    assert np.linalg.eigvalsh(K).min() > -1e-12
    np.testing.assert_allclose(K[2, 5], np.prod(np.cos(0.7 * (X[2] - X[5])) ** 3))
    np.testing.assert_array_equal(CosineProduct().diag(X), np.diag(CosineProduct()(X)))
    for wrong in ({"bandwidth": 0.0}, {"power": 0}, {"power": 1.5}):
        with pytest.raises(ValueError, match="bandwidth must be positive"):
            CosineProduct(**wrong)(X)
    with pytest.raises(ValueError, match=r"K\(X, X\) only"):
        CosineProduct()(X, X, eval_gradient=True)


# --- records and verdict ------------------------------------------------------------------------


def record(name: str, losses: dict[str, float], dataset: str = "", delta: float = 0.0, seed: int = 0) -> TaskRecord:
    """A record with constant losses on two folds; the best constant's is 2."""
    task = {"name": name, "dataset": dataset or name, "target": None}
    facts = {"n": 10, "n_groups": 9, "unit": "eV", "loss": "mae", "constant": 2.0}
    families = {"QSVR": "quantum"}
    models = [
        {
            "model": key, "name": key, "descriptor": "d", "family": families.get(key, "classical"),
            "role": "candidate", "loss": value, "seconds": 1.0, "folds": [value, value],
        }
        for key, value in losses.items()
    ]  # fmt: skip
    return TaskRecord(task, {"seed": seed, "format": 1}, facts, models, [{"delta_loss": delta}])


def test_records_come_back_and_damage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a-0.json"
    write_task_record(record("a", {"SVR": 1.0}), path)
    assert read_task_record(path) == record("a", {"SVR": 1.0})
    assert digest_of([path]) != digest_of([])
    for damage in ("{", path.read_text(encoding="utf-8").replace('"format":1', '"format":9')):
        path.write_text(damage, encoding="utf-8")
        with pytest.raises(RecordError):
            read_task_record(path)
        assert not is_current(path, BenchmarkTask("a", "a"), {})


def test_the_critical_difference_is_demsars() -> None:
    """Four classifiers on fourteen datasets: 1.25 (Demšar 2006, section 3.2.2)."""
    rng = np.random.default_rng(0)
    records = [record(f"t{i}", dict(zip("abcd", rng.random(4), strict=True))) for i in range(14)]
    table, critical, p = rank_table(score_table(records))
    assert critical == pytest.approx(1.25, abs=0.005)
    assert table["rank"].mean() == pytest.approx(2.5)
    assert 0 < p < 1


def test_tasks_of_one_dataset_are_one_piece_of_evidence() -> None:
    records = [record(f"t{i}", {"QSVR": 1.0, "SVR": 1.0}, dataset="same", delta=-1.0) for i in range(5)]
    planned = planned_table(difference_table([*records, record("other", {"QSVR": 1.0}, delta=0.0)]), 0.05)
    assert planned["datasets"].tolist() == [2]
    assert planned["difference"].tolist() == [pytest.approx(-0.25)]


@pytest.mark.parametrize(
    ("delta", "outcome"),
    [(-0.8, "better"), (0.8, "worse"), (0.01, "practically the same"), (-0.01, "practically the same")],
)
def test_planned_questions_have_their_outcomes(delta: float, outcome: str) -> None:
    rng = np.random.default_rng(0)
    records = [record(f"t{i}", {"QSVR": 1.0}, delta=delta * (1 + 0.1 * rng.random())) for i in range(12)]
    planned = planned_table(difference_table(records), 0.05)
    assert planned["outcome"].tolist() == [outcome]
    assert planned["classical"].tolist() == [BEST]


def test_seeds_are_averaged() -> None:
    records = [record("t", {"SVR": value}, seed=seed) for seed, value in enumerate((1.0, 2.0))]
    assert score_table(records)["relative"].tolist() == [pytest.approx(0.75)]


def test_a_benchmark_is_run_once_and_goes_on(tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "suite_of", small_suite)
    real, told = module.compare, []

    def stopped(suite: Any, dataset: Any, **settings: Any) -> Any:
        if dataset.target == "crystallite_size":
            raise KeyboardInterrupt
        return real(suite, dataset, **settings)

    def run() -> Any:
        return qperov.benchmark(tasks, out=tmp_path / "out", progress=lambda *step: told.append(step))

    monkeypatch.setattr(module, "compare", stopped)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert [path.name for path in (tmp_path / "out" / "records").iterdir()] == ["lattice-0.json"]
    assert json.loads((tmp_path / "out" / "benchmark.json").read_text())["protocol"]["records"] == "1 of 2"
    before = (tmp_path / "out" / "records" / "lattice-0.json").read_bytes()
    monkeypatch.setattr(module, "compare", real)
    told.clear()
    first = run()
    assert (tmp_path / "out" / "records" / "lattice-0.json").read_bytes() == before
    assert [step[0] for step in told] == sorted(step[0] for step in told)
    assert told[-1][:2] == (200, 200)
    monkeypatch.setattr(module, "compare", None)  # all is there: nothing is computed
    again = run()
    pd.testing.assert_frame_equal(first.scores, again.scores)
    assert first.protocol == again.protocol
    assert first.protocol["records"] == "2 of 2"
    assert set(first.planned["datasets"]) == {2}
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for text in (first.answer[:40], first.protocol["tasks_sha256"], first.protocol["records_sha256"], "lattice"):
        assert text in page
    assert r"\begin{tabular}" in (tmp_path / "out" / "table.tex").read_text(encoding="utf-8")
    assert len(pd.read_csv(tmp_path / "out" / "scores.csv")) == len(first.scores)


def test_further_models_have_the_suites_features(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = qperov.load_dataset("heo106").take(range(40))
    task = BenchmarkTask("t", "heo106", descriptors=("profile",))
    suite = module.suite_of(dataset, task, 0, quick=True, further=(Model("mine", Ridge()),))
    mine, svr = suite["mine · measured profile"], suite["SVR · measured profile"]
    assert mine.featurizer is svr.featurizer
    assert [name for name, _ in mine.transformers] == ["scale", "pca"]
    names = {model.name for model in suite.values()}
    assert {"QSVR, without entanglement", "QSVR, closed form"} <= names
    assert not names & set(module.LEFT_OUT)


def test_classifiers_have_contrasts_too() -> None:
    dataset = qperov.load_dataset("heo106", target="structure").take(range(40))
    suite = module.suite_of(dataset, BenchmarkTask("t", "heo106", descriptors=("profile",)), 0, quick=True)
    assert {"QSVC, without entanglement", "QSVC, closed form"} <= {model.name for model in suite.values()}


def test_crystals_are_given_ten_components() -> None:
    dataset = qperov.load_dataset("cpx321").take(range(40))
    suite = module.suite_of(dataset, BenchmarkTask("t", "cpx321", descriptors=("profile",)), 0, quick=True)
    svr = next(model for model in suite.values() if model.name == "SVR")
    assert dict(svr.transformers)["pca"].n_components == 10
    assert any(model.family == "reference" for model in suite.values())


def test_one_dataset_says_nothing_of_a_further_one(tmp_path: Path) -> None:
    path = tmp_path / "a-0.json"
    write_task_record(record("a", {"QSVR": 1.0, "SVR": 0.5}, delta=1.0), path)
    verdict = judge([path], replace(read_protocol(), seeds=(0,)), 1)
    assert verdict.planned["outcome"].tolist() == ["undecidable"]
    assert "cannot be told from" in verdict.answer


def test_an_unknown_task_is_refused_by_the_command(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["benchmark", "--only", "nothing", "--out", str(tmp_path)])
    assert isinstance(result.exception, TaskFileError)
    assert "no task 'nothing'; there are cpx321-structure-factors" in str(result.exception)
