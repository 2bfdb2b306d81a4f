"""Repaired kernel matrices are proper ones, the nearest ones, and test rows fit them."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pennylane as qml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import RBF
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVR
from sklearn.utils.estimator_checks import parametrize_with_checks

from qperov.quantum.gram.depolarising import preparation_survival, remove_depolarising
from qperov.quantum.gram.psd import feasible_rows, nearest_correlation
from qperov.quantum.gram.repair import METHODS, SPECTRUM_MODIFICATIONS, KernelRepair, modified_spectrum

TRIDIAGONAL = np.array([[2.0, -1, 0, 0], [-1, 2, -1, 0], [0, -1, 2, -1], [0, 0, -1, 2]])


def measured(K: np.ndarray, shots: int, seed: int = 0) -> np.ndarray:
    """A square matrix as shots show it: symmetric, the diagonal not measured."""
    counts = np.triu(np.random.default_rng(seed).binomial(shots, K.clip(0, 1)), 1) / shots
    return counts + counts.T + np.eye(len(K))


def indefinite(size: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    K = np.triu(rng.uniform(-1, 1, (size, size)), 1)
    return K + K.T + np.eye(size)


def alternating_projections(K: np.ndarray) -> np.ndarray:
    """The nearest correlation matrix by an algorithm of another kind: Higham (2002), algorithm 3.3."""
    Y, correction = K, np.zeros_like(K)
    for _ in range(20000):
        values, vectors = np.linalg.eigh(Y - correction)
        X = (vectors * values.clip(0)) @ vectors.T
        correction = X - (Y - correction)
        Y = X - np.diag(X.diagonal() - 1)
        if np.linalg.norm(Y - X) < 1e-11:
            break
    return Y


@pytest.fixture(scope="module")
def problem() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """True K(train, train) and K(test, train) of a smooth kernel, and the samples behind them."""
    rng = np.random.default_rng(3)
    train, test = rng.normal(size=(60, 3)), rng.normal(size=(40, 3))
    kernel = RBF(2.0)
    return kernel(train), kernel(test, train), train, test


# --- the nearest matrix ---------------------------------------------------------------------------


def test_higham_example() -> None:
    K = nearest_correlation(TRIDIAGONAL, 1e-12)[0]
    expected = [-0.80841, 0.19159, 0.10678, -0.65623, 0.19159, -0.80841]
    np.testing.assert_allclose(K[np.triu_indices(4, 1)], expected, atol=5e-6)


@pytest.mark.parametrize("seed", range(4))
def test_nearest_satisfies_the_optimality_conditions(seed: int) -> None:
    # K* is nearest iff K* = (K + diag y)₊: K* − K − diag y = Z ⪰ 0 with Z K* = 0.
    K = indefinite(7, seed)
    nearest = nearest_correlation(K, 1e-13)[0]
    off = nearest - K
    # Z has the off-diagonal part of K* − K, and Z K* = 0 fixes its diagonal.
    diagonal = -np.einsum("ij,ji->i", off - np.diag(np.diag(off)), nearest)
    Z = off - np.diag(np.diag(off)) + np.diag(diagonal)
    assert np.linalg.norm(Z @ nearest) < 1e-12
    assert np.linalg.eigvalsh(Z)[0] > -1e-12
    assert np.linalg.norm(Z) > 0.1


@pytest.mark.parametrize("seed", range(3))
def test_nearest_agrees_with_alternating_projections(seed: int) -> None:
    K = indefinite(8, 10 + seed)
    np.testing.assert_allclose(nearest_correlation(K, 1e-12)[0], alternating_projections(K), atol=1e-8)


@pytest.mark.parametrize("size", [20, 120])
@pytest.mark.parametrize("shots", [10, 1000])
def test_newton_steps_are_few_and_converge_quadratically(size: int, shots: int) -> None:
    noisy = measured(RBF(3.0)(np.random.default_rng(0).normal(size=(size, 4))), shots)
    coarse, coarse_steps = nearest_correlation(noisy, 1e-3)
    fine, fine_steps = nearest_correlation(noisy, 1e-12)
    assert fine_steps <= min(10, coarse_steps + 5)
    assert np.linalg.norm(fine - noisy) <= np.linalg.norm(coarse - noisy)
    assert np.linalg.norm(fine - coarse) <= 0.01 * np.linalg.norm(fine)


@settings(max_examples=30, deadline=None)
@given(size=st.integers(2, 9), seed=st.integers(0, 2**16), scale=st.sampled_from([0.01, 1.0, 30.0, 1e3]))
def test_dual_certificate_at_any_scale(size: int, seed: int, scale: float) -> None:
    # Nearest among correlation matrices: moving towards any other (convex set) does not bring K closer.
    K = scale * indefinite(size, seed)
    nearest = nearest_correlation(K, 1e-12)[0]
    others = [np.eye(size), np.ones((size, size)), nearest_correlation(indefinite(size, seed + 1))[0]]
    off_diagonal = K - np.diag(K.diagonal() - 1)
    for other in others:
        assert np.sum((off_diagonal - nearest) * (other - nearest)) <= 1e-6 * scale * size**2


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 9), seed=st.integers(0, 2**16))
def test_nearest_is_proper_and_stays(size: int, seed: int) -> None:
    nearest = nearest_correlation(indefinite(size, seed))[0]
    assert np.array_equal(nearest, nearest.T)
    assert np.linalg.eigvalsh(nearest)[0] >= -1e-13
    assert np.abs(nearest.diagonal() - 1).max() <= 1e-12
    assert np.array_equal(nearest_correlation(nearest)[0], nearest)


def test_proper_matrix_is_not_changed(problem: tuple[np.ndarray, ...]) -> None:
    K = problem[0]
    assert np.array_equal(nearest_correlation(K)[0], K)
    for method in SPECTRUM_MODIFICATIONS:
        np.testing.assert_allclose(modified_spectrum(K, method)[0], K, atol=1e-12)


def test_nearest_without_unit_diagonal_beats_every_other() -> None:
    K = indefinite(6, 5)
    values, vectors = np.linalg.eigh(K)
    repaired = KernelRepair(unit_diagonal=False).fit(K).matrix_
    np.testing.assert_allclose(repaired, (vectors * values.clip(0)) @ vectors.T, atol=1e-13)


def test_repair_brings_a_measured_matrix_closer_to_the_truth(problem: tuple[np.ndarray, ...]) -> None:
    K = problem[0]
    noisy = measured(K, 200)
    assert np.linalg.eigvalsh(noisy)[0] < -0.05
    assert np.linalg.norm(nearest_correlation(noisy)[0] - K) < 0.9 * np.linalg.norm(noisy - K)


def test_too_few_iterations_are_told() -> None:
    with pytest.warns(ConvergenceWarning, match="not reached in 2 iterations"):
        K, n_iter = nearest_correlation(TRIDIAGONAL, max_iter=2)
    assert n_iter == 2
    assert np.linalg.eigvalsh(K)[0] > -1e-14, "proper even when it is not yet the nearest"


@pytest.mark.parametrize("bad", [np.ones((2, 3)), np.full((2, 2), np.nan), np.empty((0, 0)), np.ones(3)])
def test_bad_matrices(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"square|finite"):
        nearest_correlation(bad)
    with pytest.raises(ValueError, match=r"square|finite"):
        modified_spectrum(bad, "clip")


# --- rows of new samples --------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 8), seed=st.integers(0, 2**16), scale=st.sampled_from([1e-3, 0.3, 1.0, 30.0]))
def test_bordered_matrix_is_psd(size: int, seed: int, scale: float) -> None:
    K = nearest_correlation(indefinite(size, seed))[0]
    rows = scale * np.random.default_rng(seed).uniform(-1, 1, (5, size))
    for row in feasible_rows(rows, K):
        bordered = np.block([[K, row[:, None]], [row[None], np.ones((1, 1))]])
        assert np.linalg.eigvalsh(bordered)[0] > -1e-7
        assert np.abs(row).max() <= 1 + 1e-9


@pytest.mark.parametrize("rank", [2, 6])
def test_feasible_row_is_the_nearest(rank: int) -> None:
    rng = np.random.default_rng(1)
    factor = rng.normal(size=(6, rank))
    factor /= np.linalg.norm(factor, axis=1, keepdims=True)
    rows = 3 * rng.normal(size=(4, 6))
    found = feasible_rows(rows, factor @ factor.T)
    for row, near in zip(rows, found, strict=True):
        # Feasible rows are factor·v with |v| ≤ 1, another form of the same set.
        best = minimize(
            lambda v, row=row: np.sum((row - factor @ v) ** 2),
            np.zeros(rank),
            constraints={"type": "ineq", "fun": lambda v: 1 - v @ v},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        np.testing.assert_allclose(np.sum((row - near) ** 2), best.fun, rtol=1e-8)
    np.testing.assert_allclose(feasible_rows(found, factor @ factor.T), found, atol=1e-8)


def test_feasible_rows_are_not_changed(problem: tuple[np.ndarray, ...]) -> None:
    K, rows, *_ = problem
    np.testing.assert_allclose(feasible_rows(rows, K), rows, atol=1e-8)
    assert feasible_rows(rows[:0], K).shape == (0, len(K))


def test_feasible_rows_want_a_proper_matrix() -> None:
    with pytest.raises(ValueError, match="repair it first"):
        feasible_rows(np.zeros((1, 4)), TRIDIAGONAL - 2 * np.eye(4))
    with pytest.raises(ValueError, match=r"shape \(n_new, 4\)"):
        feasible_rows(np.zeros((1, 3)), np.eye(4))


# --- spectral modifications -----------------------------------------------------------------------


def test_spectra_of_the_modifications() -> None:
    K = indefinite(6, 2)
    values = np.linalg.eigvalsh(K)
    expected = {"clip": values.clip(0), "flip": np.abs(values), "tikhonov": values - values[0]}
    for method, spectrum in expected.items():
        repaired, row_map = modified_spectrum(K, method, unit_diagonal=False)
        np.testing.assert_allclose(np.linalg.eigvalsh(repaired), np.sort(spectrum), atol=1e-12)
        if method != "tikhonov":
            np.testing.assert_allclose(K @ row_map, repaired, atol=1e-12)


@pytest.mark.parametrize(("method", "theirs"), [("clip", "threshold"), ("flip", "flip"), ("tikhonov", "displace")])
def test_modifications_agree_with_pennylane(method: str, theirs: str) -> None:
    K = indefinite(6, 4)
    np.testing.assert_allclose(
        modified_spectrum(K, method, unit_diagonal=False)[0], getattr(qml.kernels, f"{theirs}_matrix")(K), atol=1e-12
    )


@pytest.mark.parametrize("method", METHODS)
def test_repair_keeps_the_diagonal_at_one(method: str) -> None:
    K = KernelRepair(method).fit_transform(indefinite(9, 8))
    assert np.array_equal(K.diagonal(), np.ones(9))
    assert np.linalg.eigvalsh(K)[0] > -1e-13


# --- depolarising noise ---------------------------------------------------------------------------


def test_depolarising_inverse_is_exact(problem: tuple[np.ndarray, ...]) -> None:
    K, block, *_ = problem
    rng = np.random.default_rng(0)
    train, test = rng.uniform(0.5, 1, len(K)), rng.uniform(0.5, 1, len(block))
    noisy = np.outer(train, train) * K + (1 - np.outer(train, train)) / 2**5
    survival = preparation_survival(noisy.diagonal(), 5, "split")
    np.testing.assert_allclose(survival, train, rtol=1e-12)
    np.testing.assert_allclose(remove_depolarising(noisy, 5, survival), K, atol=1e-12)
    noisy = np.outer(test, train) * block + (1 - np.outer(test, train)) / 2**5
    np.testing.assert_allclose(remove_depolarising(noisy, 5, test, survival), block, atol=1e-12)


@pytest.mark.parametrize(("method", "theirs"), [("mean", "average"), ("split", "split_channel")])
def test_depolarising_agrees_with_pennylane(method: str, theirs: str, problem: tuple[np.ndarray, ...]) -> None:
    noisy = measured(problem[0], 1000)
    np.fill_diagonal(noisy, np.random.default_rng(1).uniform(0.6, 0.9, len(noisy)))
    survival = preparation_survival(noisy.diagonal(), 4, method)
    expected = qml.kernels.mitigate_depolarizing_noise(noisy, 4, theirs)
    np.testing.assert_allclose(remove_depolarising(noisy, 4, survival), expected, atol=1e-12)


def test_bad_depolarising_input() -> None:
    with pytest.raises(ValueError, match=r"sample 1 is 0\.25, not above 0\.25"):
        preparation_survival([0.9, 0.25], 2, "split")
    with pytest.raises(ValueError, match=r"all samples is 0\.475, not above 0\.5"):
        preparation_survival([0.9, 0.05], 1, "mean")
    with pytest.raises(ValueError, match=r"entry 0 is 1\.2"):
        preparation_survival([1.2, 0.9], 2)
    with pytest.raises(ValueError, match="unknown method 'median'"):
        preparation_survival([0.9], 2, "median")
    with pytest.raises(ValueError, match="at least one qubit"):
        preparation_survival([0.9], 0)
    with pytest.raises(ValueError, match="does not fit"):
        remove_depolarising(np.ones((2, 3)), 2, np.ones(3))
    with pytest.raises(ValueError, match="above 0"):
        remove_depolarising(np.ones((2, 2)), 2, np.array([0.0, 1.0]))


# --- the transformer ------------------------------------------------------------------------------


@parametrize_with_checks(
    [KernelRepair(method, unit_diagonal=diagonal) for method in METHODS for diagonal in (True, False)]
)
def test_scikit_learn_checks(estimator: KernelRepair, check: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # one check is skipped without it
    check(estimator)


@pytest.mark.parametrize("method", METHODS)
def test_svr_on_noisy_matrices_in_cross_validation(method: str, problem: tuple[np.ndarray, ...]) -> None:
    K, _, train, _ = problem
    y = np.sin(train[:, 0]) + train[:, 1]
    model = make_pipeline(KernelRepair(method), SVR(kernel="precomputed", C=10, epsilon=0.01))
    noisy = measured(K, 1000)
    assert cross_val_score(model, noisy, y, cv=5).mean() > 0.8
    scrambled = np.random.default_rng(0).permutation(len(y))
    assert cross_val_score(model, noisy, y[scrambled], cv=5).mean() < 0.3


def test_grid_search_over_the_method(problem: tuple[np.ndarray, ...]) -> None:
    K, _, train, _ = problem
    pipeline = make_pipeline(KernelRepair(), SVR(kernel="precomputed"))
    grid = GridSearchCV(pipeline, {"kernelrepair__method": METHODS}, cv=3, error_score="raise")
    assert grid.fit(measured(K, 500), train[:, 0]).best_score_ > 0.5


def test_test_rows_move_towards_the_truth(problem: tuple[np.ndarray, ...]) -> None:
    K, block, *_ = problem
    noisy = np.random.default_rng(5).binomial(200, block) / 200
    repair = KernelRepair().fit(measured(K, 200))
    assert np.linalg.norm(repair.transform(noisy) - block) < 0.8 * np.linalg.norm(noisy - block)


@pytest.mark.parametrize("method", METHODS)
def test_training_rows_get_their_repaired_rows(method: str, problem: tuple[np.ndarray, ...]) -> None:
    noisy = measured(problem[0], 300)
    repair = KernelRepair(method)
    repaired = repair.fit_transform(noisy)
    assert np.array_equal(repair.transform(noisy[::-2]), repaired[::-2])


def test_depolarising_then_repair(problem: tuple[np.ndarray, ...]) -> None:
    K, block, *_ = problem
    p = 0.8
    repair = KernelRepair(depolarising="mean", n_qubits=3).fit(p * K + (1 - p) / 8)
    np.testing.assert_allclose(repair.matrix_, K, atol=1e-8)
    np.testing.assert_allclose(repair.transform(p * block + (1 - p) / 8), block, atol=1e-6)
    with pytest.raises(ValueError, match="needs n_qubits"):
        KernelRepair(depolarising="mean").fit(K)


@pytest.mark.parametrize("method", METHODS)
def test_other_diagonals_are_divided_out(method: str, problem: tuple[np.ndarray, ...]) -> None:
    K, block, *_ = problem
    repair = KernelRepair(method).fit(4 * K)
    np.testing.assert_allclose(repair.matrix_, K, atol=1e-12)
    np.testing.assert_allclose(repair.transform(4 * block), block, atol=1e-6)


def test_clone_and_pickle(problem: tuple[np.ndarray, ...]) -> None:
    K, block, *_ = problem
    repair = KernelRepair("flip", tolerance=1e-7).fit(measured(K, 300))
    again = pickle.loads(pickle.dumps(repair))  # noqa: S301
    assert np.array_equal(again.transform(block), repair.transform(block))
    assert clone(repair).get_params() == repair.get_params()
    assert not hasattr(clone(repair), "matrix_")


def test_bad_training_matrices() -> None:
    with pytest.raises(ValueError, match=r"square matrix K\(train, train\), got shape \(3, 2\)"):
        KernelRepair().fit(np.ones((3, 2)))
    with pytest.raises(ValueError, match="unknown method 'wish'"):
        KernelRepair("wish").fit(np.eye(3))
    with pytest.raises(ValueError, match="self-similarity"):
        KernelRepair("clip").fit(-np.eye(3))


@pytest.mark.parametrize("matrix", [-np.eye(4), np.zeros((4, 4))])
def test_a_matrix_without_self_similarity_is_no_kernel(matrix):
    with pytest.raises(ValueError, match=r"no sample has a positive self-similarity.* to -?[01]"):
        KernelRepair().fit(matrix)
