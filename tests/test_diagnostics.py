"""Diagnoses of kernel matrices whose diagnosis is known."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import inv, sqrtm
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from qperov.quantum.diagnosis.diagnostics import diagnose, median_rbf
from qperov.quantum.diagnosis.expressibility import expressibility, expressibility_of
from qperov.quantum.gram.concentration import (
    concentration,
    concentration_warning,
    explained_variance,
    minimum_shots,
    off_diagonal_statistics,
)
from qperov.quantum.gram.geometry import (
    effective_rank,
    geometric_difference,
    kernel_target_alignment,
    model_complexity,
    spectrum,
)
from qperov.quantum.gram.matrix import off_diagonal
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.projected import ProjectedKernel


def random_gram(size: int, seed: int) -> np.ndarray:
    """A positive definite matrix with ones on the diagonal."""
    vectors = np.random.default_rng(seed).normal(size=(size, size + 2))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors @ vectors.T


def haar_fidelities(n_qubits: int, count: int, seed: int = 0) -> np.ndarray:
    """Fidelities of independent pairs of Haar-random states, from the states themselves."""
    rng = np.random.default_rng(seed)
    psi, phi = rng.normal(size=(2, count, 2**n_qubits)) + 1j * rng.normal(size=(2, count, 2**n_qubits))
    overlaps = np.abs(np.sum(psi.conj() * phi, axis=1)) ** 2
    return overlaps / np.sum(np.abs(psi) ** 2, axis=1) / np.sum(np.abs(phi) ** 2, axis=1)


def haar_gram(n_qubits: int, size: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    psi = rng.normal(size=(size, 2**n_qubits)) + 1j * rng.normal(size=(size, 2**n_qubits))
    psi /= np.linalg.norm(psi, axis=1, keepdims=True)
    return np.abs(psi.conj() @ psi.T) ** 2


def zz_kernel(bandwidth: float) -> FidelityKernel:
    return FidelityKernel(feature_map="zz", reps=2, entanglement="linear", bandwidth=bandwidth)


# --- concentration --------------------------------------------------------------------------------


def test_off_diagonal_statistics_against_a_loop() -> None:
    K = random_gram(7, 0)
    entries = [K[i, j] for i in range(7) for j in range(i + 1, 7)]
    statistics = off_diagonal_statistics(K)
    assert statistics.n_pairs == 21
    assert statistics.mean == pytest.approx(np.mean(entries))
    assert statistics.variance == pytest.approx(np.var(entries))
    assert statistics.median == pytest.approx(np.median(entries))
    assert (statistics.minimum, statistics.maximum) == (min(entries), max(entries))


def test_shot_noise_is_that_of_measured_entries() -> None:
    K = RBF(2.0)(np.random.default_rng(0).normal(size=(100, 3)))
    found = concentration(K, 500)
    exact = off_diagonal(K)
    deviation = np.random.default_rng(1).binomial(500, exact) / 500 - exact
    assert found.shot_noise == pytest.approx(np.sqrt(np.mean(deviation**2)), rel=0.05)
    assert found.resolution == pytest.approx(found.spread / found.shot_noise)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), factor=st.floats(0.1, 10))
def test_minimum_shots_are_just_enough(seed: int, factor: float) -> None:
    K = np.abs(random_gram(6, seed))
    shots = int(minimum_shots(K, factor))
    assert concentration(K, shots).resolution >= factor * (1 - 1e-12)
    if shots > 1:
        assert concentration(K, shots - 1).resolution < factor


@pytest.mark.parametrize("n_qubits", [4, 6, 8])
def test_minimum_shots_of_random_states_grow_as_the_dimension(n_qubits: int) -> None:
    # Haar: mean 1/D and variance (D − 1)/(D²(D + 1)), so that mean K(1−K)/Var K = D.
    assert minimum_shots(haar_gram(n_qubits, 300), 1.0) == pytest.approx(2**n_qubits, rel=0.1)


def test_no_number_of_shots_resolves_what_does_not_differ() -> None:
    assert minimum_shots(np.eye(5)) == np.inf
    assert minimum_shots(np.ones((5, 5))) == np.inf


def test_explained_variance_is_the_score_of_leaving_one_out() -> None:
    # Targets drawn from a near-identity kernel without mean: 1 − (LOO variance)/(variance), averaged over samples.
    rng = np.random.default_rng(0)
    E = np.triu(rng.normal(scale=0.005, size=(200, 200)), 1)
    K = np.eye(200) + E + E.T
    leave_one_out = 1 - 1 / np.diag(inv(K))
    assert explained_variance(K) == pytest.approx(leave_one_out.mean(), rel=0.05)
    assert explained_variance(np.eye(20)) == 0
    shifted = 0.3 + 0.7 * K
    assert explained_variance(shifted) == pytest.approx(explained_variance(K))


def test_large_bandwidth_is_flagged_and_small_one_is_not() -> None:
    X = np.random.default_rng(0).normal(size=(80, 10))
    assert "close to the identity" in (concentration_warning(zz_kernel(1.0)(X)) or "")
    for bandwidth in (0.05, 0.02, 1e-4):
        assert concentration_warning(zz_kernel(bandwidth)(X)) is None
    assert diagnose(zz_kernel(1.0), X).concentrated
    assert not diagnose(zz_kernel(0.02), X).concentrated


@pytest.mark.parametrize("n_samples", [10, 30, 300])
@pytest.mark.parametrize("n_features", [1, 5, 60])
def test_healthy_kernels_are_not_flagged(n_samples: int, n_features: int) -> None:
    X = np.random.default_rng(n_samples).normal(size=(n_samples, n_features))
    scale = median_rbf(X).length_scale / np.sqrt(2 * np.log(2))
    K = RBF(scale)(X)
    assert np.median(off_diagonal(K)) == pytest.approx(0.5)
    assert concentration_warning(K) is None


def test_identity_is_flagged_from_ten_samples_on() -> None:
    assert concentration_warning(np.eye(9)) is None
    assert concentration_warning(np.eye(10)) is not None
    assert concentration_warning(np.eye(1)) is None
    assert concentration_warning(np.ones((10, 10))) is None


def test_repeated_samples_do_not_hide_the_concentration() -> None:
    once = haar_gram(10, 40)
    thrice = np.kron(once, np.ones((3, 3)))
    assert concentration_warning(thrice) is not None
    assert off_diagonal_statistics(thrice).n_same == 120
    assert concentration(thrice, 100).resolution == pytest.approx(concentration(once, 100).resolution)
    assert minimum_shots(thrice) == minimum_shots(once)


def test_nearly_constant_matrix_is_flagged_with_shots_only() -> None:
    X = np.random.default_rng(0).normal(size=(60, 5))
    K = zz_kernel(1e-3)(X)
    noisy = np.triu(np.random.default_rng(1).binomial(100, K) / 100, 1)
    noisy += noisy.T + np.eye(60)
    assert concentration_warning(K) is None
    assert "100 shots do not resolve" in (concentration_warning(noisy, 100) or "")
    assert concentration_warning(zz_kernel(0.05)(X), 1024) is None


@pytest.mark.parametrize("n_qubits", [1, 2, 5, 8])
def test_haar_states_have_no_expressibility_gap(n_qubits: int) -> None:
    # The estimate is biased by about (occupied bins)/(2·pairs).
    assert 0 <= expressibility(haar_fidelities(n_qubits, 5000), n_qubits) < 0.015


def test_expressibility_of_one_state_is_the_largest() -> None:
    # All fidelities 1: −ln of the Haar mass of the last bin, (1/75)^(D−1).
    assert expressibility(np.ones(100), 4) == pytest.approx(15 * np.log(75))
    assert expressibility(np.ones(100), 10) == pytest.approx(1023 * np.log(75))


@pytest.mark.parametrize("bad", [[], [np.nan], [1.1], [-0.1]])
def test_expressibility_wants_fidelities(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        expressibility(bad, 3)


def test_expressibility_of_one_rotation_is_that_of_its_density() -> None:
    # One feature on H P(2x): F = cos²(x − y) for a uniform angle, of distribution 2 arcsin(√F)/π; Haar: uniform.
    edges = np.linspace(0, 1, 76)
    masses = np.diff(2 / np.pi * np.arcsin(np.sqrt(edges)))
    expected = np.sum(masses * np.log(75 * masses))
    found = expressibility_of(FidelityKernel("z", reps=1), 1, n_pairs=50000)
    assert found == pytest.approx(expected, abs=0.01)


def test_expressibility_belongs_to_the_circuit() -> None:
    kernel = FidelityKernel("zz", bandwidth=[0.3, 0.01, 2.0], shots=10)
    found = expressibility_of(kernel, 3)
    assert found == expressibility_of(ProjectedKernel("zz", bandwidth="median"), 3)
    assert found != expressibility_of(kernel, 3, random_state=1)
    assert found == pytest.approx(expressibility_of(kernel, 3, random_state=1), abs=0.03)
    assert kernel.bandwidth == [0.3, 0.01, 2.0]
    # Without entangling gates fewer states are reached.
    assert found < expressibility_of(FidelityKernel("z", reps=1), 3) - 0.1


@pytest.mark.parametrize(("n_features", "n_pairs"), [(0, 10), (3, 0)])
def test_expressibility_of_nothing(n_features: int, n_pairs: int) -> None:
    with pytest.raises(ValueError, match="at least one feature and one pair"):
        expressibility_of(FidelityKernel(), n_features, n_pairs)


# --- geometry -------------------------------------------------------------------------------------


def test_effective_rank_of_known_matrices() -> None:
    assert effective_rank(np.eye(9)) == pytest.approx(9)
    assert effective_rank(np.ones((9, 9))) == pytest.approx(1)
    assert effective_rank(np.kron(np.eye(3), np.ones((4, 4)))) == pytest.approx(3)
    assert effective_rank(np.diag([0.5, 0.25, 0.25])) == pytest.approx(2**1.5)
    with pytest.raises(ValueError, match="no positive eigenvalue"):
        effective_rank(np.zeros((2, 2)))


def test_alignment_of_known_matrices() -> None:
    y = np.array([1.0, 1, -1, 1, -1, -1])
    for centred in (True, False):
        assert kernel_target_alignment(np.outer(y, y), y, centred=centred) == pytest.approx(1)
    assert kernel_target_alignment(np.eye(6), y, centred=False) == pytest.approx(1 / np.sqrt(6))
    values = np.random.default_rng(0).normal(size=6)
    assert kernel_target_alignment(np.outer(values, values) + 3, values - 7) == pytest.approx(1)
    assert kernel_target_alignment(np.outer(values, values), np.eye(6)) < 1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 10), shift=st.floats(-5, 5))
def test_alignment_knows_no_scale_and_no_constant(seed: int, scale: float, shift: float) -> None:
    K, y = random_gram(6, seed), np.random.default_rng(seed).normal(size=6)
    alignment = kernel_target_alignment(K, y)
    assert 0 <= alignment <= 1
    assert kernel_target_alignment(scale * K + shift, scale * y + shift) == pytest.approx(alignment, abs=1e-9)


def test_alignment_refuses_what_is_constant() -> None:
    with pytest.raises(ValueError, match="nothing to align"):
        kernel_target_alignment(np.eye(4), np.full(4, 2.0))
    with pytest.raises(ValueError, match="one row for each of the 4 samples"):
        kernel_target_alignment(np.eye(4), np.ones(3))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), size=st.integers(1, 8), scale=st.floats(0.01, 100))
def test_geometric_difference_is_at_least_one(seed: int, size: int, scale: float) -> None:
    K, other = random_gram(size, seed), random_gram(size, seed + 1)
    assert geometric_difference(K, scale * K) == pytest.approx(1)
    assert geometric_difference(K, other) >= 1 - 1e-9


@pytest.mark.parametrize("regularisation", [0.0, 0.01, 1.0])
def test_geometric_difference_against_its_formula(regularisation: float) -> None:
    C, Q = random_gram(6, 1), random_gram(6, 2)
    root_c, root_q = np.real(sqrtm(C)), np.real(sqrtm(Q))
    inverse = inv(C + regularisation * np.eye(6))
    form = root_q @ root_c @ inverse @ inverse @ root_c @ root_q
    expected = np.sqrt(np.linalg.norm(form, 2))
    assert geometric_difference(3 * C, 7 * Q, regularisation) == pytest.approx(expected)
    assert geometric_difference(C, Q, 0.0) != pytest.approx(geometric_difference(Q, C, 0.0))


def test_geometric_difference_bounds_the_ratio_of_complexities() -> None:
    # s_C ≤ g² s_Q for every target, with equality for the worst one.
    C, Q = random_gram(6, 3), random_gram(6, 4)
    g = geometric_difference(C, Q)
    targets = np.random.default_rng(0).normal(size=(200, 6))
    ratios = [model_complexity(C, y) / model_complexity(Q, y) for y in targets]
    assert max(ratios) <= g**2 + 1e-9
    root = np.real(sqrtm(Q))
    worst = root @ np.linalg.eigh(root @ inv(C) @ root)[1][:, -1]
    assert model_complexity(C, worst) / model_complexity(Q, worst) == pytest.approx(g**2)


def test_singular_matrices_give_infinity_or_a_number() -> None:
    ones = np.ones((4, 4))
    assert geometric_difference(ones, np.eye(4)) == np.inf
    assert geometric_difference(np.eye(4), ones) == pytest.approx(2)
    assert geometric_difference(ones, ones) == pytest.approx(1)
    assert model_complexity(ones, np.full(4, 2.0)) == pytest.approx(4)
    assert model_complexity(ones, [1.0, 0, 0, 0]) == np.inf
    assert np.isfinite(geometric_difference(ones, np.eye(4), 1e-3))


def test_model_complexity_of_the_identity() -> None:
    assert model_complexity(5 * np.eye(3), [1.0, 2, 3]) == pytest.approx(14)
    assert model_complexity(np.eye(3), [1.0, 2, 3], 1.0) == pytest.approx(14 / 4)


def test_bad_matrices() -> None:
    with pytest.raises(ValueError, match="K_quantum is not symmetric"):
        geometric_difference(np.eye(2), np.array([[1.0, 0], [0.5, 1]]))
    with pytest.raises(ValueError, match="different sizes"):
        geometric_difference(np.eye(2), np.eye(3))
    with pytest.raises(ValueError, match="trace of K_classical"):
        geometric_difference(-np.eye(2), np.eye(2))
    with pytest.raises(ValueError, match="must not be negative"):
        model_complexity(np.eye(2), [1.0, 2], -1.0)
    with pytest.raises(ValueError, match="not finite"):
        spectrum(np.full((2, 2), np.inf))
    with pytest.raises(ValueError, match="at least two samples"):
        off_diagonal_statistics(np.eye(1))
    with pytest.raises(ValueError, match="must be square"):
        concentration(np.ones((2, 3)), 10)
    with pytest.raises(ValueError, match="shots must be at least 1"):
        concentration(np.eye(3), 0)
    with pytest.raises(ValueError, match="factor must be positive"):
        minimum_shots(np.eye(3), 0.0)


# --- the diagnosis --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).normal(size=(40, 4))
    return X, X[:, 0] + np.sin(X[:, 1])


def test_table_and_text_hold_the_values(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    kernel = zz_kernel(0.05)
    diagnosis = diagnose(kernel, X, y, shots=500)
    table = diagnosis.table.set_index("quantity")["value"]
    assert list(diagnosis.table.columns) == ["quantity", "value", "meaning"]
    assert table["mean off-diagonal entry"] == pytest.approx(off_diagonal(kernel(X)).mean())
    assert table["effective rank"] == pytest.approx(effective_rank(kernel(X)))
    assert table["geometric difference g"] == pytest.approx(
        geometric_difference(median_rbf(X)(X), kernel(X), diagnosis.regularisation)
    )
    assert table["target alignment"] == pytest.approx(kernel_target_alignment(kernel(X), y))
    assert table["minimum shots"] == minimum_shots(kernel(X), 2.0)
    assert diagnosis.table["value"].notna().all()
    text = str(diagnosis)
    assert text.startswith(f"{kernel} on 40 samples\nNot concentrated: 500 shots resolve the entries\n")
    assert str(median_rbf(X)) in text
    assert table["expressibility"] == expressibility_of(kernel, 4)
    assert all(name in text for name in diagnosis.table["quantity"])


def test_too_few_shots_are_concentration_too(data: tuple[np.ndarray, np.ndarray]) -> None:
    diagnosis = diagnose(zz_kernel(0.005), data[0], shots=100)
    assert diagnosis.concentrated
    assert not diagnosis.near_identity
    assert "100 shots do not resolve" in str(diagnosis)
    assert not diagnose(zz_kernel(0.005), data[0], shots=int(diagnosis.minimum_shots)).concentrated


def test_without_target_nothing_is_said_of_it(data: tuple[np.ndarray, np.ndarray]) -> None:
    names = " ".join(diagnose(zz_kernel(0.05), data[0]).table["quantity"])
    assert "target" not in names
    assert "complexity" not in names


def test_expressibility_is_told_of_small_feature_maps_only(data: tuple[np.ndarray, np.ndarray]) -> None:
    X = np.random.default_rng(0).normal(size=(5, 11))
    assert diagnose(ProjectedKernel(), data[0]).expressibility == expressibility_of(ProjectedKernel(), 4)
    assert diagnose(RBF(), X).expressibility is None
    assert diagnose(zz_kernel(0.05), X).expressibility is None


def test_exact_values_are_judged_by_the_shots_of_the_kernel(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, _ = data
    measured = FidelityKernel("zz", bandwidth="median", shots=77)
    for kernel in (measured, ConstantKernel(2.0) * measured):
        diagnosis = diagnose(kernel, X)
        assert diagnosis.concentration.shots == 77
        assert diagnosis.statistics.median == pytest.approx(0.5, abs=1e-3)
        np.testing.assert_allclose(diagnosis.K, diagnosis.kernel(X) / diagnosis.kernel(X)[0, 0], atol=1e-14)
    assert diagnose(zz_kernel(0.05), X).concentration.shots == 1024
    assert (measured.bandwidth, measured.shots) == ("median", 77)


def test_kernel_against_itself_and_its_multiple(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    diagnosis = diagnose(ConstantKernel(4.0) * RBF(1.0), X, y, classical=RBF(1.0), regularisation=0.0)
    assert diagnosis.geometric_difference == pytest.approx(1)
    assert diagnosis.alignment == pytest.approx(diagnosis.alignment_classical)
    np.testing.assert_allclose(diagnosis.K, RBF(1.0)(X))


def test_median_rbf_is_scaled_by_the_median_distance() -> None:
    assert median_rbf(np.array([[0.0], [1.0], [3.0]])).length_scale == 2
    assert median_rbf(np.array([[0.0], [0.0], [0.0], [5.0]])).length_scale == 5


@pytest.mark.parametrize("with_target", [True, False])
@pytest.mark.parametrize("bandwidth", [1.0, 0.05, 1e-6])
def test_figure_shows_what_was_found(data: tuple[np.ndarray, np.ndarray], with_target: bool, bandwidth: float) -> None:
    X, y = data
    diagnosis = diagnose(zz_kernel(bandwidth), X, y if with_target else None)
    figure = diagnosis.figure()
    figure.canvas.draw()
    entries, eigenvalues, matrix, pairs = figure.axes[:4]
    assert sum(patch.get_height() for patch in entries.containers[0]) == diagnosis.statistics.n_pairs
    shown = eigenvalues.lines[0].get_ydata()
    np.testing.assert_allclose(shown, diagnosis.eigenvalues[: len(shown)])
    order = np.argsort(y) if with_target else np.arange(len(X))
    np.testing.assert_array_equal(matrix.images[0].get_array(), diagnosis.K[np.ix_(order, order)])
    assert ("target alignment" in pairs.get_ylabel()) == with_target
    assert ("not concentrated" in figure.get_suptitle()) != diagnosis.concentrated


def test_identical_features_are_diagnosed_without_a_warning() -> None:
    X = np.ones((12, 3))
    X[0, 0] = 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert diagnose(zz_kernel(0.05), X, np.arange(12.0)).effective_rank < 2


def test_bad_data(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    kernel = zz_kernel(0.05)
    with pytest.raises(ValueError, match="minimum of 2"):
        diagnose(kernel, X[:1])
    with pytest.raises(ValueError, match="NaN"):
        diagnose(kernel, np.where(np.eye(40, 4) > 0, np.nan, X))
    with pytest.raises(ValueError, match=r"y must have shape \(40,\)"):
        diagnose(kernel, X, y[:5])
    with pytest.raises(ValueError, match="same for all samples"):
        diagnose(kernel, X, np.ones(40))
    with pytest.raises(ValueError, match="all samples are the same"):
        diagnose(kernel, np.ones((12, 3)))
