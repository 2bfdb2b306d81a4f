"""The noise of a finite number of shots, drawn from the content of samples instead of from a stream.

Each sample or pair of samples has its own random numbers, found from a seed and its bytes. What a pair gets therefore
depends neither on the matrix it stands in, nor on the order of evaluation, nor on the process: a measured value stays
measured, as it would in a laboratory's notebook.
"""

from __future__ import annotations

import hashlib

import numpy as np
from scipy.stats import binom


def noise_key(random_state: int, *settings: object) -> int:
    """64 bits from a seed and whatever else tells one series of measurements from another."""
    return int.from_bytes(hashlib.blake2b(repr((random_state, *settings)).encode(), digest_size=8).digest(), "little")


def sample_keys(X: np.ndarray, key: int) -> np.ndarray:
    """64 bits of each sample's content, shape (n_samples,), of type uint64."""
    salt = key.to_bytes(8, "little")
    digests = b"".join(hashlib.blake2b(row.tobytes(), digest_size=8, key=salt).digest() for row in X + 0.0)
    return np.frombuffer(digests, dtype=np.uint64)


def pair_keys(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """64 bits of each unordered pair, from the keys of its two samples; shapes (n_pairs,), of type uint64."""
    lower, upper = np.minimum(rows, columns), np.maximum(rows, columns)
    return _mixed(_mixed(lower) ^ (upper + np.uint64(0x9E3779B97F4A7C15)))


def measured_fidelities(fidelities: np.ndarray, keys: np.ndarray, shots: int) -> np.ndarray:
    """Fractions of all-zero outcomes in ``shots`` runs of U†(y)U(x): binomial, with the exact fidelities as chances.

    Parameters
    ----------
    fidelities : ndarray of shape (n_pairs,)
        Exact fidelities.
    keys : ndarray of uint64, shape (n_pairs,)
        Keys of the pairs.
    shots : int

    Returns
    -------
    ndarray of shape (n_pairs,)
    """
    uniform = ((keys >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return binom.ppf(uniform, shots, np.clip(fidelities, 0.0, 1.0)) / shots


def measured_expectations(probabilities: np.ndarray, keys: np.ndarray, shots: int) -> np.ndarray:
    """⟨Z⟩ of each qubit from ``shots`` measurements of all qubits at once, with the correlations that this brings.

    Parameters
    ----------
    probabilities : ndarray of shape (n_samples, 2**n_qubits)
        Of the outcomes; qubit 0 is the most significant bit.
    keys : ndarray of uint64, shape (n_samples,)
    shots : int

    Returns
    -------
    ndarray of shape (n_samples, n_qubits)
    """
    n_qubits = probabilities.shape[1].bit_length() - 1
    outcomes = np.arange(2**n_qubits)
    signs = 1 - 2 * ((outcomes[:, None] >> np.arange(n_qubits)[::-1]) & 1)
    counts = np.empty(probabilities.shape)
    for i, (chances, key) in enumerate(zip(probabilities, keys, strict=True)):
        counts[i] = np.random.default_rng(int(key)).multinomial(shots, chances / chances.sum())
    return counts @ signs / shots


def _mixed(bits: np.ndarray) -> np.ndarray:
    """Stafford's thirteenth mixing of 64 bits, the finaliser of SplitMix64 (doi:10.1145/2714064.2660195)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
