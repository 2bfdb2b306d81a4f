"""Expressibility: how far the states that a circuit prepares are from states drawn at random."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone

from qperov.quantum.kernels.feature_map_kernel import FeatureMapKernel


def expressibility(fidelities: ArrayLike, n_qubits: int, bins: int = 75) -> float:
    """Distance of a circuit's states from Haar-random ones, in nats: 0 for a circuit that reaches all states evenly.

    D_KL(P(F) ‖ P_Haar(F)) between the histogram of the fidelities of pairs of states and those of Haar-random ones, of
    density P_Haar(F) = (2ⁿ − 1)(1 − F)^(2ⁿ − 2), integrated over the same bins. The estimate is too high by about
    (occupied bins − 1) / (2 · pairs), and where 2ⁿ is far above the number of bins, it knows only whether fidelities
    leave the first bin.

    Parameters
    ----------
    fidelities : array of any shape
        F = |⟨φ(x)|φ(y)⟩|² of independent pairs, in [0, 1].
    n_qubits : int
        n.
    bins : int
        Equal bins between 0 and 1.

    Raises
    ------
    ValueError
        No fidelity, or one outside [0, 1]; fewer than one qubit or bin.

    References
    ----------
    S. Sim, P. D. Johnson, A. Aspuru-Guzik, Adv. Quantum Technol. 2, 1900070 (2019), doi:10.1002/qute.201900070.
    """
    values = np.asarray(fidelities, dtype=np.float64).ravel()
    if n_qubits < 1 or bins < 1:
        raise ValueError(f"there must be at least one qubit and one bin, got {n_qubits} and {bins}")
    if values.size == 0 or not (np.isfinite(values).all() and values.min() >= -1e-9 and values.max() <= 1 + 1e-9):
        raise ValueError("fidelities must be numbers between 0 and 1, at least one of them")
    counts, edges = np.histogram(values.clip(0, 1), bins=bins, range=(0, 1))
    seen = counts > 0
    shares = counts[seen] / values.size
    # The Haar mass of a bin is (1−a)^(2ⁿ−1) − (1−b)^(2ⁿ−1); only its logarithm does not underflow for ten qubits.
    with np.errstate(divide="ignore"):
        tails = (2.0**n_qubits - 1) * np.log1p(-edges)
    lower, upper = tails[:-1][seen], tails[1:][seen]
    log_haar = lower + np.log1p(-np.exp(upper - lower))
    return float(np.sum(shares * (np.log(shares) - log_haar)))


def expressibility_of(
    kernel: FeatureMapKernel, n_features: int, n_pairs: int = 5000, random_state: int | None = 0
) -> float:
    """Expressibility of a kernel's feature map: over independent inputs, uniform in [−π, π) for each feature.

    The map is taken at bandwidth 1, so that the inputs are its angles: the number belongs to the circuit, whatever the
    data, the bandwidth and the shots.

    Parameters
    ----------
    kernel : FidelityKernel or ProjectedKernel
    n_features : int
    n_pairs : int
        Pairs of states; twice as many circuits are simulated.
    random_state : int or None
        Seed of the inputs.

    Raises
    ------
    ValueError
        Fewer than one feature or pair; more features than the map takes.
    CircuitSizeError
        More than 26 qubits.

    References
    ----------
    As for `expressibility`.
    """
    if n_features < 1 or n_pairs < 1:
        raise ValueError(f"there must be at least one feature and one pair, got {n_features} and {n_pairs}")
    circuit = clone(kernel).set_params(bandwidth=1.0, shots=None, device=None)
    n_qubits = circuit._n_qubits(n_features)
    rows = circuit._tile_rows(n_qubits, 2)
    angles = np.random.default_rng(random_state).uniform(-math.pi, math.pi, (n_pairs, 2, n_features))
    fidelities = []
    for start in range(0, n_pairs, rows):
        left, right = (circuit._states(angles[start : start + rows, side], n_qubits) for side in (0, 1))
        fidelities.append(np.abs(np.einsum("sa,sa->s", left.conj(), right)) ** 2)
    return expressibility(np.minimum(np.concatenate(fidelities), 1.0), n_qubits)
