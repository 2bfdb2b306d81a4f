from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.utils.estimator_checks import parametrize_with_checks

from qperov.errors import CircuitSizeError, ConcentratedKernelWarning
from qperov.quantum.estimators.classification import QuantumSVC
from qperov.quantum.estimators.regression import QuantumKernelRidge, QuantumSVR
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.projected import ProjectedKernel

rng = np.random.default_rng(7)
X = rng.uniform(-1, 1, (60, 3))
Y = np.sin(3 * X[:, 0]) + X[:, 1] * X[:, 2]


@parametrize_with_checks(
    [
        QuantumSVR(),
        QuantumSVR(kernel=ProjectedKernel(bandwidth="median")),
        QuantumSVR(kernel="precomputed"),
        QuantumKernelRidge(),
        QuantumKernelRidge(kernel="precomputed"),
        QuantumSVC(),
        QuantumSVC(kernel="precomputed"),
    ],
    expected_failed_checks=None,
)
@pytest.mark.filterwarnings("ignore:Singular matrix")  # one check calls random numbers a kernel matrix
@pytest.mark.filterwarnings("ignore::qperov.errors.ConcentratedKernelWarning")  # and one gives a narrow Gaussian
def test_scikit_learn_conventions(estimator, check, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # one check is skipped without it
    check(estimator)


def test_a_function_in_the_kernels_space_is_learnt():
    kernel = FidelityKernel(feature_map="z", reps=1, bandwidth=0.5)  # spans products of 1, cos xᵢ, sin xᵢ
    y = np.sin(X[:, 0]) + 0.5 * np.cos(X[:, 1] - X[:, 2])
    model = QuantumSVR(kernel, C=1e4, epsilon=1e-3).fit(X[:45], y[:45])
    np.testing.assert_allclose(model.predict(X[45:]), y[45:], atol=0.01)


def test_default_kernel_has_the_median_bandwidth():
    model = QuantumSVR().fit(X, Y)
    assert np.median(model.kernel_(X)[np.triu_indices(60, 1)]) == pytest.approx(0.5, abs=0.001)
    given = QuantumSVR(FidelityKernel(bandwidth=model.kernel_.bandwidth)).fit(X, Y)
    np.testing.assert_array_equal(model.predict(X), given.predict(X))


def test_a_classical_kernel_gives_the_svr_of_scikit_learn():
    ours = QuantumSVR(RBF(length_scale=0.5), C=3.0, epsilon=0.05, tolerance=1e-8).fit(X, Y)
    theirs = SVR(kernel="rbf", gamma=2.0, C=3.0, epsilon=0.05, tol=1e-8).fit(X, Y)  # γ = 1/(2ℓ²)
    np.testing.assert_array_equal(ours.support_, theirs.support_)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-6)


def test_precomputed_matrix_gives_the_same_model():
    kernel = FidelityKernel(bandwidth=0.3)
    direct = QuantumSVR(kernel).fit(X[:40], Y[:40])
    given = QuantumSVR("precomputed").fit(kernel(X[:40]), Y[:40])
    np.testing.assert_allclose(given.predict(kernel(X[40:], X[:40])), direct.predict(X[40:]), atol=1e-12)
    assert np.isfinite(cross_val_score(QuantumSVR("precomputed"), kernel(X), Y)).all()


def test_prediction_evaluates_kernel_at_support_vectors_only():
    shapes = []

    class Watched(RBF):
        def __call__(self, X, Y=None, eval_gradient=False):
            shapes.append((len(X), len(X if Y is None else Y)))
            return super().__call__(X, Y, eval_gradient)

    model = QuantumSVR(Watched(), epsilon=0.3).fit(X, Y)
    model.predict(X[:5])
    assert shapes == [(60, 60), (5, len(model.support_))]
    assert 0 < len(model.support_) < 60


def test_no_support_vectors_predict_a_constant():
    model = QuantumSVR(epsilon=10.0).fit(X, Y)
    assert len(model.support_) == 0
    np.testing.assert_array_equal(model.predict(X[:3]), np.full(3, model.intercept_))


def test_grid_search_over_bandwidth_in_two_processes():
    pipeline = make_pipeline(StandardScaler(), QuantumSVR(FidelityKernel()))
    grid = {"quantumsvr__kernel__bandwidth": [0.01, 0.2], "quantumsvr__C": [1.0, 10.0]}
    serial, parallel = (GridSearchCV(pipeline, grid, cv=3, n_jobs=n).fit(X, Y) for n in (1, 2))
    assert serial.best_params_ == parallel.best_params_
    np.testing.assert_allclose(
        serial.cv_results_["mean_test_score"], parallel.cv_results_["mean_test_score"], atol=1e-9
    )


def test_pickled_model_predicts_the_same():
    model = QuantumSVR(ConstantKernel(2.0) * FidelityKernel() + WhiteKernel(0.1)).fit(X, Y)
    again = pickle.loads(pickle.dumps(model))  # noqa: S301
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert clone(again).get_params()["kernel__k1__k2__bandwidth"] == 0.1


@pytest.mark.parametrize("kernel", [FidelityKernel(bandwidth=0.4), RBF(0.7), None])
def test_kernel_ridge_is_the_mean_of_a_gaussian_process(kernel):
    model = QuantumKernelRidge(kernel, alpha=0.1).fit(X, Y)
    process = GaussianProcessRegressor(model.kernel_, alpha=0.1, optimizer=None).fit(X, Y - Y.mean())
    np.testing.assert_allclose(model.predict(X[:7] + 0.1), process.predict(X[:7] + 0.1) + Y.mean(), atol=1e-10)


def test_kernel_ridge_takes_several_targets():
    kernel = FidelityKernel(bandwidth=0.4)
    both = np.column_stack([Y, X[:, 2] + 5])
    direct = QuantumKernelRidge(kernel, alpha=0.1).fit(X, both).predict(X[:5])
    for column in (0, 1):
        alone = QuantumKernelRidge(kernel, alpha=0.1).fit(X, both[:, column]).predict(X[:5])
        np.testing.assert_allclose(direct[:, column], alone, atol=1e-12)
    given = QuantumKernelRidge("precomputed", alpha=0.1).fit(kernel(X), both).predict(kernel(X[:5], X))
    np.testing.assert_allclose(given, direct, atol=1e-12)
    with pytest.raises(ValueError, match="alpha must be positive"):
        QuantumKernelRidge(alpha=0.0).fit(X, Y)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classification_is_that_of_scikit_learn(n_classes):
    labels = np.array(["a", "b", "c"])[np.argsort(np.argsort(Y)) * n_classes // 60]
    kernel = FidelityKernel(bandwidth=0.6)
    ours, theirs = QuantumSVC(kernel, C=5.0).fit(X, labels), SVC(kernel=kernel, C=5.0).fit(X, labels)
    assert list(ours.classes_) == sorted(set(labels))
    assert 0 < len(ours.support_) < 60
    assert np.array_equal(ours.predict(X + 0.05), theirs.predict(X + 0.05))
    np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(X), atol=1e-8)
    given = QuantumSVC("precomputed", C=5.0).fit(kernel(X), labels)
    assert np.array_equal(given.predict(kernel(X + 0.05, X)), ours.predict(X + 0.05))
    assert ours.score(X, labels) > 0.8
    with pytest.raises(ValueError, match="greater than one"):
        QuantumSVC().fit(X, np.zeros(60, dtype=int))


@pytest.mark.parametrize("model", [QuantumSVR, QuantumKernelRidge, QuantumSVC])
def test_a_concentrated_kernel_is_warned_of(model):
    wide = np.random.default_rng(0).normal(size=(40, 10))
    target = (wide[:, 0] > 0).astype(int)
    with pytest.warns(ConcentratedKernelWarning):
        model(FidelityKernel(bandwidth=1.0)).fit(wide, target)
    with pytest.warns(ConcentratedKernelWarning):
        model(2.0 * FidelityKernel(bandwidth=1.0)).fit(wide, target)
    model(FidelityKernel(bandwidth="median")).fit(wide, target)  # a warning would be an error


def test_labels_are_numbers_or_classes():
    kernel = FidelityKernel("z", reps=1, bandwidth="aligned")
    counts, classes = np.round(10 * Y).astype(int), np.digitize(X[:, 0], [-0.5, 0.5])
    for model, y, same in (
        (QuantumSVR, counts, counts.astype(float)),
        (QuantumKernelRidge, counts, counts.astype(float)),
        (QuantumSVC, classes, classes.astype(float)),
        (QuantumSVC, classes, np.array(["a", "b", "c"])[classes]),
    ):
        found, other = (model(kernel).fit(X, labels).kernel_.bandwidth for labels in (y, same))
        assert found == pytest.approx(other)


def test_projected_kernel_is_not_judged_by_noise_of_fidelities():
    QuantumSVR(ProjectedKernel(bandwidth=0.02, shots=1000)).fit(X, Y)  # a warning would be an error
    with pytest.warns(ConcentratedKernelWarning, match="1000 shots do not resolve"):
        QuantumSVR(FidelityKernel("z", bandwidth=0.01, shots=1000)).fit(X, Y)


@pytest.mark.parametrize("model", [QuantumSVR, QuantumKernelRidge])
def test_few_or_equal_samples_and_constant_labels(model):
    assert np.isfinite(model().fit(X[:1], Y[:1]).predict(X[:3])).all()
    assert np.isfinite(model().fit(np.repeat(X[:2], 3, axis=0), np.repeat(Y[:2], 3)).predict(X[:3])).all()
    np.testing.assert_allclose(model().fit(X, np.full(60, 7.0)).predict(X[:3]), 7.0)


def test_fitting_leaves_the_given_kernel_alone():
    kernel = FidelityKernel()
    model = QuantumSVR(kernel).fit(X, Y)
    assert model.kernel is kernel
    assert model.kernel_ is not kernel


def test_bad_input():
    with pytest.raises(ValueError, match="kernel must be"):
        QuantumSVR(kernel="rbf").fit(X, Y)
    with pytest.raises(ValueError, match="kernel must be"):
        QuantumSVR(kernel=3).fit(X, Y)
    with pytest.raises(ValueError, match="must be square"):
        QuantumSVR("precomputed").fit(X, Y)
    with pytest.raises(ValueError, match="NaN"):
        QuantumSVR().fit(np.where(X > 0.9, np.nan, X), Y)
    with pytest.raises(ValueError, match="expecting 3 features"):
        QuantumSVR().fit(X, Y).predict(X[:, :2])
    with pytest.raises(CircuitSizeError, match="40 qubits"):
        QuantumSVR(FidelityKernel(simulator="statevector")).fit(np.zeros((5, 40)), Y[:5])
    with pytest.raises(ValueError, match="'C' parameter"):
        QuantumSVR(C=-1.0).fit(X, Y)


def test_a_search_reaches_the_kernel_that_was_not_given():
    search = GridSearchCV(
        make_pipeline(StandardScaler(), QuantumSVR()), {"quantumsvr__kernel__bandwidth": [0.1, 0.3]}, cv=3
    )
    assert search.fit(X, Y).best_estimator_[-1].kernel_.bandwidth in (0.1, 0.3)
    assert QuantumSVR().set_params(C=2.0).kernel is None
    with pytest.raises(ValueError, match="Invalid parameter breadth"):
        QuantumSVR().set_params(kernel__breadth=1.0)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_probabilities_are_those_of_a_calibrated_classifier(n_classes):
    labels = np.array(["a", "b", "c"])[np.digitize(Y, np.quantile(Y, np.arange(1, n_classes) / n_classes))]
    kernel = FidelityKernel(bandwidth=0.4)
    model = QuantumSVC(kernel, C=5.0, tolerance=1e-9, probability=True).fit(X[:45], labels[:45])
    found = model.predict_proba(X[45:])
    solver = CalibratedClassifierCV(SVC(kernel=kernel, C=5.0, tol=1e-9), ensemble=False, cv=5).fit(X[:45], labels[:45])
    np.testing.assert_allclose(found, solver.predict_proba(X[45:]), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-14)
    plain = QuantumSVC(kernel, C=5.0, tolerance=1e-9).fit(X[:45], labels[:45])
    assert np.array_equal(plain.predict(X[45:]), model.predict(X[45:]))
    assert not hasattr(plain, "predict_proba")


@pytest.mark.filterwarnings("ignore:The optimal value found")
def test_a_gaussian_process_with_noise_finds_its_bandwidth():
    for n_features in (2, 3):
        kernel = FidelityKernel() + WhiteKernel(0.1)
        model = GaussianProcessRegressor(kernel, normalize_y=True).fit(X[:, :n_features], Y)
        assert model.kernel_.k1.bandwidth != 0.1
