"""The study of quantum kernels: numbers as in scikit-learn and the diagnoses, words as in the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pytest
from qperov_circuits import Gate
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

import qperov
from qperov.evaluation.problem import Model
from qperov.evaluation.splits import honest_groups
from qperov.quantum.diagnosis.diagnostics import diagnose
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.projected import ProjectedKernel
from qperov.records.study import Study
from qperov.reports.words.kernel_findings import conclusion
from qperov.studies import kernel_findings
from qperov.studies import kernels as kernel_study
from qperov.studies.models import build_suite


def product(x: Sequence[np.ndarray]) -> Iterator[Gate]:
    """One rotation a qubit, no entanglement."""
    return (Gate("ry", (k,), angle) for k, angle in enumerate(x))


@pytest.fixture(scope="module")
def dataset() -> qperov.datasets.CrystalDataset:
    return qperov.load_dataset("cpx321").take(range(0, 986, 16))


@pytest.fixture(scope="module")
def models(dataset: qperov.datasets.CrystalDataset) -> dict[str, Model]:
    return build_suite(dataset, quick=True).models


@pytest.fixture(scope="module")
def study(models: dict[str, Model], dataset: qperov.datasets.CrystalDataset) -> Study:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(kernel_study, "QUICK_BANDWIDTHS", (0.1, 0.3))
        (study,) = kernel_study.kernel_studies(models, dataset, quick=True, seed=3)
    return study


@pytest.fixture(scope="module")
def problem() -> kernel_findings.KernelProblem:
    """Forty points of a smooth function, in pairs of copies."""
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(20, 3)), 2, axis=0)
    y, groups = np.sin(X[:, 0]) + X[:, 1], np.arange(40) // 2
    folds = list(GroupKFold(4).split(X, groups=groups))
    return kernel_findings.KernelProblem(X, make_pipeline(StandardScaler()), y, groups, folds, 0.05)


# --- what is measured ---------------------------------------------------------------------------


def test_scores_are_those_of_a_grid_search_in_scikit_learn(problem: kernel_findings.KernelProblem) -> None:
    found = kernel_findings.cross_validated(problem, RBF(2.0))
    for k, (train, test) in enumerate(problem.folds):
        scaler = StandardScaler().fit(problem.features[train])
        z = (problem.y - problem.y[train].mean()) / problem.y[train].std()
        search = GridSearchCV(
            SVR(gamma=1 / 8, epsilon=0.05),
            {"C": list(kernel_findings.PENALTIES)},
            scoring="neg_mean_absolute_error",
            cv=GroupKFold(kernel_findings.INNER_FOLDS),
        )
        search.fit(scaler.transform(problem.features[train]), z[train], groups=problem.groups[train])
        expected = search.predict(scaler.transform(problem.features[test]))
        own = (found.predictions[test] - problem.y[train].mean()) / problem.y[train].std()
        np.testing.assert_allclose(own, expected, atol=1e-3)
        assert found.inner[k] == pytest.approx(-search.best_score_, abs=1e-3)


def test_the_bandwidth_is_chosen_without_the_test_fold(problem: kernel_findings.KernelProblem) -> None:
    """Of two candidates the one with the smaller inner error is taken in every fold, however it does outside."""
    perfect = kernel_findings.KernelScore(problem.y, np.full(4, 0.5))
    useless = kernel_findings.KernelScore(np.zeros(40), np.array([0.4, 0.6, 0.4, 0.6]))
    predictions, chosen = kernel_findings.nested_predictions(problem, [perfect, useless])
    assert chosen.tolist() == [1, 0, 1, 0]
    for index, (_, test) in zip(chosen, problem.folds, strict=True):
        np.testing.assert_array_equal(predictions[test], useless.predictions[test] if index else problem.y[test])


def test_gaussian_is_recognised_and_concentrated_is_not(problem: kernel_findings.KernelProblem) -> None:
    X = problem.features[::2]
    matrices = [RBF(1 / b)(X) for b in kernel_findings.GAUSSIANS]
    likeness = [kernel_findings.likeness(matrices[9], other) for other in matrices]
    assert np.argmax(likeness) == 9
    assert likeness[9] == pytest.approx(1)
    assert kernel_findings.likeness(3 * matrices[9] + 0.5, matrices[9]) == pytest.approx(1), "constants do not count"
    assert kernel_findings.likeness(np.ones((20, 20)), matrices[9]) == 0


def test_at_small_bandwidths_a_product_map_is_a_gaussian(problem: kernel_findings.KernelProblem) -> None:
    """Without entanglement K = Π cos²(b(xₖ − yₖ)/2) = 1 − b²‖x − y‖²/4 + …: a Gaussian of bandwidth b/√2."""
    X = problem.features[::2]
    own = {"product": FidelityKernel(product, bandwidth=0.01)}
    kernels = {name: kernel_findings.at_bandwidth(kernel) for name, kernel in own.items()}
    table = kernel_findings.diagnosis_table(X, problem.y[::2], own, kernels, {"product": 0.04})
    assert table.set_index(["kernel", "chosen by"]).loc[("product", kernel_findings.CHOSEN), "closest RBF"] > 0.9999


def test_shots_cost_runs_by_pairs_or_by_samples(problem: kernel_findings.KernelProblem) -> None:
    own = {"f": FidelityKernel(product), "p": ProjectedKernel(product)}
    table = kernel_findings.shot_table(problem, own, {"f": 0.5, "p": 0.5}, (16, 10**7), 0).set_index(
        ["kernel", "shots"]
    )
    assert table.loc[("f", 16), "runs of circuits"] == 16 * 40 * 39 // 2
    assert table.loc[("p", 16), "runs of circuits"] == 16 * 3 * 40
    for name, kernel in own.items():
        exact = kernel_findings.cross_validated(problem, kernel_findings.at_bandwidth(kernel)(0.5))
        assert table.loc[(name, 10**7), "R²"] == pytest.approx(r2_score(problem.y, exact.predictions), abs=0.03)
        assert table.loc[(name, 16), "R²"] < table.loc[(name, 10**7), "R²"]


# --- what is said -------------------------------------------------------------------------------


def test_study_holds_kernels_of_comparison_and_rbf(study: Study) -> None:
    assert study.title == "Is there anything quantum in it?"
    scores, diagnosis, shots = study.tables.values()
    assert scores["kernel"].tolist() == ["QSVR", "QSVR projected", "RBF"]
    assert diagnosis["kernel"].tolist() == ["QSVR", "QSVR", "QSVR projected", "QSVR projected", "RBF", "RBF"]
    assert shots.groupby("kernel")["shots"].apply(list).tolist() == [list(kernel_study.QUICK_SHOTS)] * 2
    assert [chart.kind for chart in study.charts] == ["lines"] * 3
    probable = scores[["better", "equivalent", "worse"]].iloc[:2]
    np.testing.assert_allclose(probable.sum(axis=1), 1)
    assert scores.iloc[2][["better", "equivalent", "worse"]].isna().all()


def test_diagnoses_are_those_of_diagnose(
    study: Study, models: dict[str, Model], dataset: qperov.datasets.CrystalDataset
) -> None:
    X = models["QSVR · powder pattern"].pipeline[:-1].fit_transform(dataset.structures)
    row = study.tables["Diagnosis"].iloc[0]
    own = diagnose(clone(models["QSVR · powder pattern"].kernel).set_params(bandwidth="median"), X, dataset.y)
    assert (row["bandwidth"], row["chosen by"]) == (pytest.approx(own.kernel.bandwidth), kernel_findings.MEDIAN)
    assert row["g to the median RBF"] == pytest.approx(own.geometric_difference)
    assert row["effective rank"] == pytest.approx(own.effective_rank)
    assert row["minimum shots"] == own.minimum_shots
    assert row["target alignment"] == pytest.approx(own.alignment)
    assert (study.tables["Diagnosis"]["least g to any RBF"] <= study.tables["Diagnosis"]["g to the median RBF"])[
        :4
    ].all()


def test_the_words_follow_the_numbers(study: Study) -> None:
    text = " ".join(study.paragraphs)
    scores, diagnosis, _ = study.tables.values()
    for row in scores.iloc[:2].to_dict(orient="records"):
        assert f"that they are equivalent: {row['equivalent']:.2f}; that it is worse: {row['worse']:.2f}" in text
    for row in diagnosis.iloc[[1, 3]].to_dict(orient="records"):
        word = "effectively a Gaussian" if row["closest RBF"] >= 0.98 else "not a Gaussian of a single width"
        assert f"cosine of {row['closest RBF']:.3f} with that of the closest RBF (it is {word})" in text


@pytest.mark.parametrize(
    ("delta", "significant", "closest", "expected"),
    [
        (
            -0.1,
            True,
            0.5,
            ["Significantly better than an RBF on these folds: Q.", "Different from every Gaussian: Q."],
        ),
        (
            0.1,
            True,
            0.99,
            ["No quantum kernel is significantly better", "Effectively a Gaussian at the chosen bandwidth"],
        ),
        (-0.1, False, 0.5, ["No quantum kernel is significantly better", "there is no evidence that this helps"]),
    ],
)
def test_the_conclusion_answers_the_title(delta: float, significant: bool, closest: float, expected: list[str]) -> None:
    scores = pd.DataFrame({"kernel": ["Q", "RBF"], "significant": [significant, False], "ΔMAE to RBF": [delta, np.nan]})
    chosen = pd.DataFrame({"kernel": ["Q"], "closest RBF": [closest]})
    text = conclusion(scores, chosen)
    assert all(sentence in text for sentence in expected)


def test_no_class_and_no_equal_vector_is_on_both_sides(
    models: dict[str, Model], dataset: qperov.datasets.CrystalDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[kernel_findings.KernelProblem] = []

    def spy(data: kernel_findings.KernelProblem, *_: object) -> Study:
        seen.append(data)
        return Study("seen")

    monkeypatch.setattr(kernel_study, "_study", spy)
    kernel_study.kernel_studies(models, dataset, quick=True)
    (data,) = seen
    rows = range(len(dataset))
    groups = honest_groups(
        dataset.groups, [models["QSVR · powder pattern"].featurizer.fit_transform(dataset.structures)]
    )
    assert len(data.y) == len(rows) == len(data.groups)
    for train, test in data.folds:
        assert not set(groups[train]) & set(groups[test])


def test_nothing_to_study_is_said(models: dict[str, Model], dataset: qperov.datasets.CrystalDataset) -> None:
    def why(chosen: dict[str, Model], data: qperov.datasets.CrystalDataset) -> str:
        (study,) = kernel_study.kernel_studies(chosen, data, quick=True)
        return " ".join(study.paragraphs)

    no_search = {"ridge": Model("ridge", Ridge(), qperov.PXRDFeaturizer("pattern"))}
    assert why(no_search, dataset) == "Skipped: no model searches over the bandwidth of a quantum kernel."
    assert why(models, dataset.take(range(10))).endswith("and 15 are needed.")
    bare = qperov.datasets.CrystalDataset("bare", dataset.structures, dataset.ids)
    assert why(models, bare) == "Skipped: no labels."
