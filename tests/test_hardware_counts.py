"""Counts and what is read from them: against dense matrices, and back from a database."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qperov.hardware.jobs.counts import Counts, Misreading, z_expectations, zero_probability


def of_shots(shots: np.ndarray, n_qubits: int) -> Counts:
    """Counts of outcomes given as numbers, shape (n_bindings, shots); wire 0 is the most significant bit."""
    n_bytes = -(-n_qubits // 8)
    array = (shots[..., None] >> (8 * np.arange(n_bytes)[::-1])) & 0xFF
    return Counts.from_shots(array.astype(np.uint8), n_qubits)


def z_of(distribution: np.ndarray, n_qubits: int) -> np.ndarray:
    signs = 1 - 2 * ((np.arange(2**n_qubits)[:, None] >> np.arange(n_qubits)[::-1]) & 1)
    return distribution @ signs


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 11), st.integers(1, 4), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_means_are_those_of_the_shots(n_qubits: int, rows: int, n_shots: int, seed: int) -> None:
    shots = np.random.default_rng(seed).integers(2**n_qubits, size=(rows, n_shots))
    counts = of_shots(shots, n_qubits)
    bits = (shots[..., None] >> np.arange(n_qubits)[::-1]) & 1
    np.testing.assert_allclose(zero_probability(counts), (shots == 0).mean(axis=1))
    np.testing.assert_allclose(z_expectations(counts), (1 - 2 * bits).mean(axis=1))
    np.testing.assert_allclose(zero_probability(counts, slice(None, 1)), (bits[..., 0] == 0).mean(axis=1))
    again = Counts.from_bytes(counts.to_bytes())
    for name in ("starts", "bits", "counts"):
        assert np.array_equal(getattr(again, name), getattr(counts, name))


def test_correction_is_inverse_of_dense_confusion_matrix() -> None:
    """Frequencies that are exactly A·p give back p."""
    n = 3
    rng = np.random.default_rng(4)
    misreading = Misreading(rng.uniform(0, 0.1, n), rng.uniform(0, 0.15, n))
    pairs = zip(misreading.one_for_zero, misreading.zero_for_one, strict=True)
    A = reduce(np.kron, [np.array([[1 - a, b], [a, 1 - b]]) for a, b in pairs])
    p = rng.dirichlet(np.ones(2**n))
    size = 10**9
    read = np.rint(A @ p * size).astype(int)
    bits = ((np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1).astype(bool)
    counts = Counts(n, np.array([0, 2**n]), bits, read)
    np.testing.assert_allclose(zero_probability(counts, misreading=misreading), p[:1], atol=1e-7)
    np.testing.assert_allclose(z_expectations(counts, misreading=misreading)[0], z_of(p, n), atol=1e-7)
    trash = zero_probability(counts, slice(None, 2), misreading)
    np.testing.assert_allclose(trash, [p[0] + p[1]], atol=1e-7)


def test_calibration_finds_chances_and_refuses_blind_qubit() -> None:
    shots = np.array([[0, 0, 0, 1], [3, 3, 2, 0]])  # wire 1 misread once of four as 1; twice of four as 0
    found = Misreading.from_calibration(of_shots(shots, 2))
    np.testing.assert_allclose(found.one_for_zero, [0, 0.25])
    np.testing.assert_allclose(found.zero_for_one, [0.25, 0.5])
    with pytest.raises(ValueError, match="wire 0 tells nothing"):
        Misreading.from_calibration(of_shots(np.array([[2, 2], [0, 0]]), 2))


def test_corrected_values_stay_physical() -> None:
    misreading = Misreading(np.array([0.1]), np.array([0.1]))
    counts = of_shots(np.array([[0, 0, 0], [1, 1, 1]]), 1)
    assert zero_probability(counts, misreading=misreading).tolist() == [1.0, 0.0]
    assert z_expectations(counts, misreading=misreading)[:, 0].tolist() == [1.0, -1.0]


def test_outcomes_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="outcomes of 9 qubits"):
        Counts.from_shots(np.zeros((1, 2, 1), np.uint8), 9)
