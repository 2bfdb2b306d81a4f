"""Kernel matrices for maps: of the right models, at the parameters that were chosen, exact."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.gaussian_process.kernels import RBF, PairwiseKernel
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVR
from synthetic_comparison import synthetic_comparison

import qperov
from qperov.evaluation.problem import Model
from qperov.evaluation.results import Comparison
from qperov.quantum.kernels.bandwidth import resolved_kernel
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.projected import ProjectedKernel
from qperov.records.record import spaced_rows
from qperov.studies.kernel_matrices import chosen_kernel, kernel_matrices, most_chosen
from qperov.studies.kernels import kernel_studies
from qperov.studies.models import build_suite

MODELS = tuple(
    (f"{name} · {descriptor}", descriptor, "quantum" if name.startswith("Q") else "classical", 0.5)
    for descriptor in ("first", "second", "third")
    for name in ("SVR RBF", "SVR linear", "QSVR", "QSVR projected", "Ridge", "Other components", "Untuned")
    if descriptor != "third" or not name.startswith("Q")
)
COMPARISON = synthetic_comparison(n=30, models=MODELS)
X = PCA(3).fit_transform(StandardScaler().fit_transform(COMPARISON.features["second"]))


def model(kernel: Any = None, family: str = "classical", components: int = 3) -> Model:
    steps = (("s", StandardScaler()), ("p", PCA(components)))
    return Model("", Ridge(), FunctionTransformer(), steps, family, kernel)


MACHINES = {
    "SVR RBF": model(PairwiseKernel(metric="rbf")),
    "SVR linear": model(),
    "QSVR": model(FidelityKernel("z", shots=50), "quantum"),
    "QSVR projected": model(ProjectedKernel("zz"), "quantum"),
    "Ridge": model(),
    "Other components": model(PairwiseKernel(metric="rbf"), components=2),
    "Untuned": Model("", SVR(), FunctionTransformer(), kernel=PairwiseKernel(metric="rbf")),
}
COMPARED = {name: MACHINES[name.split(" · ")[0]] for name, *_ in MODELS}


def chosen(**parameters: list[dict[str, Any]]) -> Comparison:
    """The comparison, in whose folds the models of the second descriptor chose these."""
    rows = [
        (f"{name.replace('_', ' ')} · second", 0, fold, json.dumps({f"regressor__{k}": v for k, v in choice.items()}))
        for name, choices in parameters.items()
        for fold, choice in enumerate(choices)
    ]
    return replace(COMPARISON, parameters=pd.DataFrame(rows, columns=["model", "repeat", "fold", "parameters"]))


CHOSEN = chosen(
    SVR_RBF=[{"C": 1.0, "gamma": 0.5}, {"C": 10.0, "gamma": 0.2}, {"C": 10.0, "gamma": 0.2}],
    QSVR=[{"C": 1.0, "kernel__bandwidth": 0.3}, {"C": 10.0, "kernel__bandwidth": 0.1}],
    QSVR_projected=[{"C": 1.0, "kernel__bandwidth": 0.2}],
    Other_components=[{"C": 1.0}],
    Ridge=[{"alpha": 1.0}],
    SVR_linear=[{"C": 1.0}],
)


def test_matrices_have_the_parameters_chosen_most_often() -> None:
    matrices = kernel_matrices(COMPARED, CHOSEN)
    assert list(matrices) == ["SVR RBF · second", "QSVR · second", "QSVR projected · second"]
    expected = [
        RBF(np.sqrt(1 / (2 * 0.2)))(X),
        FidelityKernel("z", bandwidth=0.3)(X),  # of equals, the first; and no shots
        ProjectedKernel("zz", bandwidth=0.2)(X),
    ]
    for matrix, other in zip(matrices.values(), expected, strict=True):
        np.testing.assert_allclose(matrix, other, atol=1e-12)
        np.testing.assert_allclose(matrix.diagonal(), 1)


def test_a_bandwidth_in_words_is_found_on_all_crystals() -> None:
    median = model(FidelityKernel(bandwidth="median"), "quantum")
    (matrix,) = kernel_matrices({"QSVR · second": median}, chosen(QSVR=[{"C": 1.0}])).values()
    np.testing.assert_allclose(matrix, resolved_kernel(FidelityKernel(bandwidth="median"), X)(X), atol=1e-12)
    assert np.median(matrix[np.triu_indices(30, 1)]) == pytest.approx(0.5, abs=1e-3)


def test_some_of_many_crystals_are_taken() -> None:
    some, everything = kernel_matrices(COMPARED, CHOSEN, most=8), kernel_matrices(COMPARED, CHOSEN)
    rows = spaced_rows(30, 8)
    for name, matrix in some.items():
        np.testing.assert_allclose(matrix, everything[name][np.ix_(rows, rows)], atol=1e-12)


def test_without_a_quantum_model_there_is_no_matrix() -> None:
    assert kernel_matrices({name: one for name, one in COMPARED.items() if "QSVR" not in name}, CHOSEN) == {}
    assert kernel_matrices({}, CHOSEN) == {}


def test_kernels_of_the_suite_are_those_its_searches_chose() -> None:
    """Family, feature map, entanglement and whitening among the chosen parameters; classical kernels found by text."""
    dataset = qperov.load_dataset("cpx321").take(range(0, 986, 25))
    models = build_suite(dataset, descriptors=("pattern",), quick=True, exploratory=False).models
    models = {name: model for name, model in models.items() if model.kernel is not None}
    comparison = qperov.compare(models, dataset, folds=2, n_bootstrap=0)
    matrices = kernel_matrices(models, comparison)
    assert list(matrices) == [f"{name} · powder pattern" for name in ("SVR", "QSVR", "QSVR projected")]
    for name, matrix in matrices.items():
        chosen = most_chosen(comparison, name)
        components = Pipeline([*models[name].transformers]).fit_transform(comparison.features["powder pattern"])
        Z = components / components.std(axis=0) if chosen["with_std"] else components
        if name.startswith("SVR"):
            assert repr(chosen_kernel(models[name], chosen)) == chosen["kernel"]
            expected = chosen_kernel(models[name], chosen)(Z)
        else:
            wired = {key: chosen[key] for key in ("feature_map", "entanglement", "bandwidth", "gamma") if key in chosen}
            expected = (ProjectedKernel if "gamma" in wired else FidelityKernel)(**wired)(Z)
        np.testing.assert_allclose(matrix, expected, atol=1e-5)
    (study,) = kernel_studies(models, dataset, comparison, quick=True)
    wiring = most_chosen(comparison, "QSVR · powder pattern")
    assert f"QSVR: {wiring['feature_map']} map, {wiring['entanglement']}" in " ".join(study.paragraphs)
