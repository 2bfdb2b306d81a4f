from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, kstest
from sklearn.base import clone

from qperov.quantum.kernels.feature_map_kernel import MEMORY
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.projected import ProjectedKernel
from qperov.quantum.kernels.shots import measured_expectations, measured_fidelities, noise_key, pair_keys, sample_keys

X = np.random.default_rng(5).normal(size=(40, 3))
NOISY = [
    FidelityKernel(bandwidth=0.4, shots=200),
    ProjectedKernel(bandwidth=0.4, shots=200),
    FidelityKernel(bandwidth=0.4, shots=200, random_state=7),
]


def test_measured_values_are_binomial():
    rows, columns = (sample_keys(np.random.default_rng(i).normal(size=(300, 2)), noise_key(0)) for i in (1, 2))
    keys = pair_keys(np.repeat(rows, 300), np.tile(columns, 300))
    counts = measured_fidelities(np.full(300 * 300, 0.3), keys, 50) * 50
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-9)
    frequencies = np.bincount(np.round(counts).astype(int), minlength=51) / counts.size
    np.testing.assert_allclose(frequencies, binom.pmf(np.arange(51), 50, 0.3), atol=0.004)


def test_noise_of_pairs_is_uncorrelated():
    keys = sample_keys(X, noise_key(3))
    rows, columns = np.triu_indices(40, 1)
    noise = measured_fidelities(np.full(len(rows), 0.5), pair_keys(keys[rows], keys[columns]), 400) - 0.5
    assert kstest(noise * 2 * np.sqrt(400), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.1


@pytest.mark.parametrize("kernel", NOISY)
def test_the_same_pair_gets_the_same_value_in_any_matrix(kernel):
    K = kernel(X)
    assert np.array_equal(K, K.T)
    assert np.array_equal(np.diag(K), np.ones(40))
    np.testing.assert_allclose(kernel(X[::-1])[::-1, ::-1], K, atol=1e-14)
    np.testing.assert_allclose(kernel(X[7:11], X[2:9]), K[7:11, 2:9], atol=1e-14)
    np.testing.assert_allclose(clone(kernel)(X), K, atol=1e-14)


@pytest.mark.parametrize("kernel", NOISY)
def test_noise_falls_with_the_root_of_the_shots(kernel):
    exact = clone(kernel).set_params(shots=None)(X)
    errors = [abs(clone(kernel).set_params(shots=shots)(X) - exact).mean() for shots in (100, 10_000)]
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.3)


def test_seeds_and_settings_draw_apart():
    base = FidelityKernel(bandwidth=0.4, shots=50)
    others = [base.clone_with_theta(np.log([0.4 + 1e-9])), clone(base).set_params(random_state=1)]
    assert all(abs(base(X) - other(X)).max() > 0.01 for other in others)


@pytest.mark.parametrize("kernel", NOISY)
def test_type_of_a_number_changes_no_measurement(kernel):
    names = ("reps", "shots", "random_state", "bandwidth")
    numpys = {name: np.asarray(getattr(kernel, name))[()] for name in names}
    expected = kernel(X)
    for other in (clone(kernel).set_params(**numpys), kernel.clone_with_theta(kernel.theta)):
        MEMORY.clear()
        np.testing.assert_allclose(other(X), expected, atol=1e-14)


@pytest.mark.parametrize("kind", [FidelityKernel, ProjectedKernel])
def test_without_a_seed_every_call_measures_anew(kind):
    kernel = kind(bandwidth=0.4, shots=50, random_state=None)
    assert abs(kernel(X) - kernel(X)).max() > 0.01


def test_bloch_vectors_are_counted_in_three_bases():
    vectors = ProjectedKernel(bandwidth=0.4, shots=100).bloch_vectors(X)
    counts = (1 + vectors) / 2 * 100
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-9)
    exact = ProjectedKernel(bandwidth=0.4).bloch_vectors(X)
    scores = (vectors - exact) / np.sqrt(np.maximum(1 - exact**2, 1e-9) / 100)
    assert 0.8 < scores[abs(exact) < 0.99].std() < 1.2


def test_qubits_measured_together_are_correlated_as_state_is():
    bell = np.array([[0.5, 0, 0, 0.5]])
    found = measured_expectations(bell, np.array([3], np.uint64), 1000)[0]
    assert found[0] == found[1]
    certain = measured_expectations(np.array([[0, 1.0, 0, 0]]), np.array([3], np.uint64), 10)
    assert np.array_equal(certain, [[1, -1]])
