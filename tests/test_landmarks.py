from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.landmarks import METHODS, LandmarkFeatures
from qperov.quantum.kernels.projected import ProjectedKernel

KERNEL = FidelityKernel(bandwidth=0.1)
X = np.random.default_rng(0).normal(size=(150, 4))


@parametrize_with_checks([LandmarkFeatures(RBF(), n_landmarks=5), LandmarkFeatures(n_landmarks=5)])
def test_scikit_learn_interface(estimator, check):
    check(estimator)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kernel", [KERNEL, ProjectedKernel(bandwidth=0.2), 2.0 * RBF() + KERNEL])
def test_features_are_exact_on_landmarks_and_bounded_elsewhere(method, kernel):
    features = LandmarkFeatures(kernel, n_landmarks=40, method=method)
    Z = features.fit_transform(X)
    at_landmarks = features.transform(features.landmarks_)
    np.testing.assert_allclose(at_landmarks @ at_landmarks.T, kernel(features.landmarks_), atol=1e-8)
    difference = kernel(X) - Z @ Z.T
    residuals = difference.diagonal()
    np.testing.assert_allclose([features.residual_, features.largest_residual_], [residuals.mean(), residuals.max()])
    assert np.linalg.eigvalsh(difference).min() > -1e-8
    bound = np.sqrt(np.maximum(np.outer(residuals, residuals), 0))
    assert (abs(difference) <= bound + 1e-7).all()
    np.testing.assert_allclose(features.transform(X), Z, atol=1e-12)


def test_all_samples_as_landmarks_give_kernel_machine_itself():
    y = np.sin(X[:, 0])
    exact = KernelRidge(alpha=0.1, kernel="precomputed").fit(KERNEL(X), y)
    model = make_pipeline(LandmarkFeatures(KERNEL, tolerance=0.0), Ridge(0.1, fit_intercept=False)).fit(X, y)
    others = X[:20] + 0.1
    np.testing.assert_allclose(model.predict(others), exact.predict(KERNEL(others, X)), atol=1e-6)


def test_pivots_stop_at_the_residual_that_was_asked_for():
    features = LandmarkFeatures(FidelityKernel(bandwidth=0.02), tolerance=1e-3).fit(X)
    assert features.residual_ <= 1e-3
    assert len(features.landmarks_) < len(X)
    tighter = LandmarkFeatures(FidelityKernel(bandwidth=0.02), tolerance=1e-5).fit(X)
    assert tighter.residual_ <= 1e-5


def test_repeated_samples_are_taken_once():
    repeated = np.repeat(X[:10], 15, axis=0)
    features = LandmarkFeatures(KERNEL, n_landmarks=100).fit(repeated)
    assert len(features.landmarks_) <= 10
    assert features.largest_residual_ < 1e-8


@pytest.mark.parametrize("method", METHODS)
def test_choices_follow_their_seed(method):
    first, same, other = (
        LandmarkFeatures(KERNEL, n_landmarks=20, method=method, random_state=seed).fit(X).landmarks_
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"method": "grid"}, "unknown method 'grid'; known are random, kmeans, cholesky"),
        ({"n_landmarks": 0}, "n_landmarks"),
        ({"n_landmarks": 2.5}, "n_landmarks"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"tolerance": np.nan}, "tolerance"),
    ],
)
def test_bad_requests(parameters, message):
    with pytest.raises(ValueError, match=message):
        LandmarkFeatures(KERNEL, **parameters).fit(X)
