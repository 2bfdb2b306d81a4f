"""The power-exponential kernel and the Gaussian process with a length scale a feature."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, PairwiseKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.svm import SVR

from qperov.classical.gaussian_process import MOST_SCALES, ARDGaussianProcess
from qperov.classical.kernels import PowerExponential

X = np.random.default_rng(0).normal(size=(30, 4))


@settings(max_examples=15, deadline=None)
@given(gamma=st.floats(0.01, 5), p=st.floats(0.2, 2))
def test_power_exponential_is_what_a_loop_gives(gamma: float, p: float) -> None:
    K = PowerExponential(gamma, p)(X[:6], X[6:9])
    loop = [[np.exp(-gamma * sum(abs(a - b) ** p for a, b in zip(x, y, strict=True))) for y in X[6:9]] for x in X[:6]]
    np.testing.assert_allclose(K, loop, rtol=1e-10)


@settings(max_examples=15, deadline=None)
@given(gamma=st.floats(0.01, 5), p=st.floats(0.2, 2))
def test_power_exponential_is_positive_semi_definite(gamma: float, p: float) -> None:
    K = PowerExponential(gamma, p)(X)
    np.testing.assert_allclose(K.diagonal(), PowerExponential(gamma, p).diag(X))
    assert np.linalg.eigvalsh(K).min() > -1e-10


def test_at_one_it_is_a_laplacian_and_at_two_a_gaussian() -> None:
    np.testing.assert_allclose(PowerExponential(0.3, 1)(X), PairwiseKernel(metric="laplacian", gamma=0.3)(X))
    np.testing.assert_allclose(PowerExponential(0.5 / 9, 2)(X), RBF(3.0)(X))


def test_its_gradient_is_that_of_differences() -> None:
    step = 1e-6
    _, gradient = PowerExponential(0.3, 1.4)(X, eval_gradient=True)
    ends = [PowerExponential(0.3 * np.exp(sign * step), 1.4)(X) for sign in (1, -1)]
    np.testing.assert_allclose(gradient[..., 0], (ends[0] - ends[1]) / (2 * step), atol=1e-8)
    assert PowerExponential(0.3, 1.4, "fixed")(X, eval_gradient=True)[1].shape == (30, 30, 0)


@pytest.mark.parametrize(("gamma", "p"), [(0.0, 1.0), (1.0, 0.0), (1.0, 2.1), (np.nan, 1.0)])
def test_powers_that_give_no_kernel_are_refused(gamma: float, p: float) -> None:
    with pytest.raises(ValueError, match="gamma must be positive and p in"):
        PowerExponential(gamma, p)(X)


def test_it_serves_machines_of_scikit_learn() -> None:
    y = np.sin(X[:, 0])
    kernel = clone(PowerExponential(0.1, 1.0))
    matrix = kernel(X)
    for machine, given_matrix in (
        (SVR(kernel=kernel, C=10.0), SVR(kernel="precomputed", C=10.0)),
        (KernelRidge(kernel=kernel, alpha=0.1), KernelRidge(kernel="precomputed", alpha=0.1)),
    ):
        np.testing.assert_allclose(machine.fit(X, y).predict(X), given_matrix.fit(matrix, y).predict(matrix), atol=1e-9)


def test_irrelevant_features_get_long_length_scales() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(150, 3))
    y = 5 + 3 * np.sin(2 * points[:, 0]) + 0.01 * rng.normal(size=150)
    process = ARDGaussianProcess(n_subset=100).fit(points[:120], y[:120])
    lengths = process.kernel_.k1.k2.length_scale
    assert lengths[1:].min() > 20 * lengths[0]
    mean, deviation = process.predict(points[120:], return_std=True)
    assert np.sqrt(np.mean((mean - y[120:]) ** 2)) < 0.1
    assert (np.abs(mean - y[120:]) < 5 * deviation).all()
    assert len(process.X_train_) == 120


def test_many_features_share_a_length_scale() -> None:
    rng = np.random.default_rng(2)
    points = rng.normal(size=(40, MOST_SCALES + 1))
    y = points[:, 0]
    process = ARDGaussianProcess(random_state=3)
    assert np.size(process.fit(points, y).kernel_.k1.k2.length_scale) == 1
    first = process.predict(points)
    np.testing.assert_array_equal(clone(process).fit(points, y).predict(points), first)
    np.testing.assert_array_equal(process.fit(points, y).predict(points), first)
    assert clone(process).get_params() == {"n_subset": 200, "random_state": 3}
