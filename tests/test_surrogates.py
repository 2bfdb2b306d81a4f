"""Classical surrogates of quantum kernels: closed forms as simulated, limits as expected, scores as scikit-learn's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pytest
from qperov_circuits import Gate
from sklearn.compose import TransformedTargetRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from qperov.evaluation.comparison import compare
from qperov.evaluation.problem import Model
from qperov.evaluation.results import Comparison
from qperov.quantum.estimators.regression import QuantumKernelRidge, QuantumSVR
from qperov.quantum.kernels.feature_map_kernel import FeatureMapKernel
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.projected import ProjectedKernel
from qperov.records.study import Study
from qperov.reports.figures.charts import draw_chart
from qperov.reports.words.kernel_findings import surrogate_conclusion, surrogate_sentence
from qperov.studies import surrogates
from qperov.studies.kernel_matrices import most_chosen_parameters
from qperov.studies.surrogate_kernels import (
    closed_form,
    closest_gaussian,
    encoding,
    fourier_features,
    reorder_qubits,
    separable_twin,
)

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(12, 4))
MAPS = ("zz", "iqp", "high_dimensional", "angle_yz_cx", "hubregtsen", "covariant_ry", "heisenberg", "ising_chain")


def equator(x: Sequence[np.ndarray]) -> Iterator[Gate]:
    """Each qubit on the equator, turned once, by angles of several features and signs."""
    for wire, angle in enumerate((x[0], 2 * x[1] - x[3], -0.5 * x[2] + 1.0)):
        yield Gate("h", (wire,))
        yield Gate("rz", (wire,), angle)


# --- kernels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("feature_map", [equator, "z"])
@pytest.mark.parametrize("kind", [FidelityKernel, ProjectedKernel])
def test_twin_of_a_separable_kernel_is_itself(kind: type[FeatureMapKernel], feature_map: object) -> None:
    kernel = kind(feature_map, bandwidth=0.7)
    np.testing.assert_allclose(separable_twin(kernel, 4)(X), kernel(X), rtol=0, atol=1e-14)


def test_twin_of_zz_is_the_map_z() -> None:
    twin = separable_twin(FidelityKernel("zz", entanglement="full", bandwidth=0.3), 4)
    np.testing.assert_allclose(twin(X), FidelityKernel("z", bandwidth=0.3)(X), rtol=0, atol=1e-14)


@pytest.mark.parametrize("feature_map", MAPS)
def test_states_of_a_twin_are_products(feature_map: str) -> None:
    """A product of pure qubits has K = ∏ ½(1 + r·r′) and Bloch vectors of length 1; the entangled map has not."""
    kernel = FidelityKernel(feature_map, bandwidth=0.8)
    twin = separable_twin(kernel, 4)
    vectors = ProjectedKernel(twin.feature_map, bandwidth=0.8).bloch_vectors(X).reshape(len(X), -1, 3)
    np.testing.assert_allclose((vectors**2).sum(axis=2), 1, atol=1e-12)
    expected = (0.5 * (1 + np.einsum("iqc,jqc->ijq", vectors, vectors))).prod(axis=2)
    np.testing.assert_allclose(twin(X), expected, rtol=0, atol=1e-12)
    assert np.abs(kernel(X) - expected).max() > 1e-3


@pytest.mark.parametrize("feature_map", [equator, "z", "iqp", "zz"])
@pytest.mark.parametrize("kind", [FidelityKernel, ProjectedKernel])
def test_closed_form_is_the_simulated_kernel(kind: type[FeatureMapKernel], feature_map: object) -> None:
    """Where each qubit is turned once, with a bandwidth for each feature."""
    kernel = kind(feature_map, reps=1, bandwidth=[0.5, 1.1, 0.9, 0.2])
    if kind is ProjectedKernel:
        kernel.set_params(gamma=0.6)
    twin = separable_twin(kernel, 4)
    np.testing.assert_allclose(closed_form(kernel, X), twin(X), rtol=0, atol=1e-12)


def test_encoding_counts_every_rotation_that_writes_a_feature() -> None:
    np.testing.assert_allclose(encoding(FidelityKernel("iqp", reps=3), 2), np.tile(np.eye(2), (3, 1)))
    np.testing.assert_allclose(encoding(FidelityKernel("zz", reps=1), 2), 2 * np.eye(2))
    expected = [[1, 0, 0, 0], [0, 2, 0, -1], [0, 0, -0.5, 0]]
    np.testing.assert_allclose(encoding(FidelityKernel(equator), 4), expected)


@pytest.mark.parametrize(
    "kernel", [FidelityKernel("z", reps=1, bandwidth=0.8), ProjectedKernel("z", reps=1, gamma=1.5)]
)
def test_fourier_features_converge_to_the_separable_map(kernel: FeatureMapKernel) -> None:
    exact, error = kernel(X), []
    for n_frequencies in (100, 40_000):
        Z = fourier_features(kernel, X, n_frequencies, np.random.default_rng(1))
        assert Z.shape == (12, 2 * n_frequencies)
        np.testing.assert_allclose((Z**2).sum(axis=1), 1)
        error.append(np.abs(Z @ Z.T - exact).max())
    assert error[1] < 0.02 < error[0] < 0.4


def test_fitted_gaussian_is_found_again() -> None:
    for length in (0.4, 3.0):
        np.testing.assert_allclose(closest_gaussian(RBF(length)(X), X), RBF(length)(X), atol=1e-3)
    with pytest.raises(ValueError, match="all samples are the same"):
        closest_gaussian(np.ones((3, 3)), np.ones((3, 2)))


def test_order_of_qubits_matters_to_chains_only() -> None:
    order = np.array([2, 0, 3, 1])
    for entanglement, differs in (("full", False), ("circular", True)):
        kernel = FidelityKernel("iqp", entanglement=entanglement, bandwidth=0.8)
        difference = np.abs(reorder_qubits(kernel, X, order) - kernel(X)).max()
        assert difference > 1e-3 if differs else difference < 1e-12
    scaled = FidelityKernel("z", bandwidth=[0.1, 0.5, 1.0, 2.0])
    np.testing.assert_allclose(reorder_qubits(scaled, X, order), scaled(X), rtol=0, atol=1e-12)


# --- the study ----------------------------------------------------------------------------------


def searched(machine: QuantumSVR) -> GridSearchCV:
    grid = {"regressor__kernel__bandwidth": [0.2, 0.4], "regressor__C": [1.0, 10.0]}
    return GridSearchCV(TransformedTargetRegressor(machine, transformer=StandardScaler()), grid, cv=3)


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    kernel = FidelityKernel("iqp", entanglement="circular")
    scale = (("scale", StandardScaler()),)
    return {
        "ridge": Model("ridge", Ridge()),
        "QSVR": Model("QSVR", searched(QuantumSVR(kernel, epsilon=0.05)), transformers=scale, family="quantum"),
        "ridge, symmetric": Model(
            "ridge, symmetric",
            QuantumKernelRidge(ProjectedKernel("iqp", entanglement="full", bandwidth="median"), alpha=0.1),
            family="quantum",
        ),
        "contrast": Model("contrast", QuantumSVR(kernel), family="quantum", role="contrast"),
    }


@pytest.fixture(scope="module")
def comparison(models: dict[str, Model]) -> Comparison:
    rng = np.random.default_rng(5)
    data = 3 * rng.normal(size=(54, 3))
    labels = np.sin(data[:, 0]) + 0.3 * data[:, 1] + 0.1 * rng.normal(size=54)
    return compare(models, data, labels, groups=np.arange(54) // 2, folds=4, repeats=2, n_bootstrap=50)


@pytest.fixture(scope="module")
def study(models: dict[str, Model], comparison: Comparison) -> Study:
    (found,) = surrogates.surrogate_studies(models, comparison)
    return found


def test_candidates_have_rows_and_contrasts_have_none(study: Study) -> None:
    (table,) = study.tables.values()
    assert table["kernel"].unique().tolist() == ["QSVR", "ridge, symmetric"]
    assert table["surrogate"].tolist()[:6] == table["surrogate"].tolist()[6:]
    own = table[table["kernel"] == "QSVR"].set_index("surrogate")
    assert own.index[0] == surrogates.QUANTUM
    assert own.loc[surrogates.QUANTUM, "alignment"] == pytest.approx(1)
    assert own["alignment"].between(0.2, 1 + 1e-12).all()
    (chart,) = study.charts
    figure = draw_chart(study, chart)
    assert [axes.get_title() for axes in figure.axes] == ["QSVR", "ridge, symmetric"]
    assert study.data["scores"]["family"].tolist() == (["classical"] * 4 + ["quantum"]) * 2
    middle = study.data["scores"][["low", "high"]].mean(axis=1)
    np.testing.assert_allclose(middle, study.data["scores"]["mae"])


def test_quantum_row_is_the_model_with_its_settings(
    models: dict[str, Model], comparison: Comparison, study: Study
) -> None:
    """The same machine, fitted by scikit-learn on the comparison's own folds."""
    (table,) = study.tables.values()
    chosen = most_chosen_parameters(comparison, "QSVR")
    assert chosen is not None
    kernel = FidelityKernel("iqp", entanglement="circular", bandwidth=chosen["regressor__kernel__bandwidth"])
    data = StandardScaler().fit_transform(comparison.features["features"])
    rows = {key: row for row, key in enumerate(comparison.ids)}
    errors = []
    mine = comparison.predictions[comparison.predictions["model"] == "QSVR"]
    for _, part in mine.groupby(["repeat", "fold"]):
        test = np.array([rows[key] for key in part["id"]])
        train = np.setdiff1d(np.arange(54), test)
        y, machine = comparison.y[train], SVR(kernel=kernel, C=chosen["regressor__C"], epsilon=0.05)
        machine.fit(data[train], (y - y.mean()) / y.std())
        errors.append(mean_absolute_error(comparison.y[test], y.mean() + y.std() * machine.predict(data[test])))
    assert len(errors) == 8
    assert table["MAE"].iloc[0] == pytest.approx(np.mean(errors), rel=1e-3)


def test_symmetric_kernel_has_no_spread_over_orders(study: Study) -> None:
    (table,) = study.tables.values()
    own = table.set_index(["kernel", "surrogate"])
    symmetric, chain = own.loc[("ridge, symmetric", surrogates.REORDERED)], own.loc[("QSVR", surrogates.REORDERED)]
    assert symmetric["alignment"] == pytest.approx(1, abs=1e-9)
    assert symmetric["sd of draws"] < 1e-9
    assert symmetric["outcome"] == "practically the same"
    assert chain["alignment"] == pytest.approx(1), "three qubits on a ring are coupled all to all"


def test_crystals_are_drawn_by_group(models: dict[str, Model], comparison: Comparison) -> None:
    rows = surrogates._drawn_rows(comparison, 21, seed=3)
    assert len(rows) == 20
    assert (rows[::2] + 1 == rows[1::2]).all(), "pairs of equal group stay together"
    chosen = surrogates.quantum_kernel_of("QSVR", models["QSVR"], comparison, rows)
    assert chosen is not None
    for train, test in chosen.folds:
        assert sorted([*train, *test]) == list(range(20))
        assert not set(rows[train] // 2) & set(rows[test] // 2)


def test_without_quantum_kernels_there_is_no_section(models: dict[str, Model], comparison: Comparison) -> None:
    classical = {name: models[name] for name in ("ridge", "contrast")}
    assert surrogates.surrogate_studies(classical, comparison) == ()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("Q", 0.01, "practically the same")], "Nothing that these classical kernels lack"),
        ([("Q", 0.97, "better")], "0.50 eV of MAE of Q, which none of its classical surrogates reaches"),
        ([("Q", 0.5, "undecidable")], "Undecidable for Q with so few crystals (ΔMAE −0.5 [−0.9 … −0.1] eV"),
        ([("P", 0.02, "worse"), ("Q", 0.85, "likely better")], "likely better; all of it"),
    ],
)
def test_conclusion_says_what_is_left(rows: list[tuple[str, float, str]], expected: str) -> None:
    table = pd.DataFrame(rows, columns=["kernel", "better", "outcome"])
    table = table.assign(surrogate="fitted RBF", mae=1.0, delta=-0.5, low=-0.9, high=-0.1)
    text = surrogate_conclusion(table, "eV")
    assert expected in text
    assert ("; nothing of P." in text) == (len(rows) == 2)


def test_a_kernel_without_entanglement_is_called_classical() -> None:
    columns = ["kernel", "surrogate", "alignment", "mae", "spread", "delta", "low", "high", "outcome"]
    rows = [
        ("Q", surrogates.QUANTUM, 1.0, 0.2, np.nan, np.nan, np.nan, np.nan, ""),
        ("Q", "without entanglement", 1.0, 0.2, np.nan, 0.0, 0.0, 0.0, "practically the same"),
        ("Q", surrogates.REORDERED, 1.0, 0.2, 1e-16, 0.0, -1e-17, 1e-17, "practically the same"),
    ]
    own = pd.DataFrame(rows, columns=columns)
    text = surrogate_sentence("z", own, own.iloc[[1]], "eV")
    assert "practically the same (ΔMAE 0.000 [0.000 … 0.000] eV)" in text
    assert text.endswith("Its map does not entangle: it is a classical kernel already.")
    entangled = surrogate_sentence("iqp", own.assign(alignment=[1, 0.9, 1], spread=0.01), own.iloc[[1]], "eV")
    assert entangled.endswith("Random orders of its qubits scatter by 0.010 eV.")
