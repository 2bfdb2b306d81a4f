"""What compression does to amplitudes: pure functions of encoded states, and what any encoder is measured against.

Encoded states are rows Uz, split into trash (the first n − k qubits, the most significant bits) and code (the last k):
Uz = Σₜ |t⟩⊗|cₜ⟩. The decoder puts the trash back to |0…0⟩, so ρ_out = U†(|0⟩⟨0| ⊗ Σₜ |cₜ⟩⟨cₜ|)U.

References
----------
J. Romero, J. P. Olson, A. Aspuru-Guzik, Quantum autoencoders for efficient compression of quantum data, Quantum
Science and Technology 2, 045001 (2017), doi:10.1088/2058-9565/aa8072.
"""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
from numpy.typing import ArrayLike

from qperov.quantum.simulation.pauli import PauliWord, pauli_word


def amplitudes(X: ArrayLike, n_qubits: int, zero_vectors: str = "raise") -> np.ndarray:
    """Rows as states: padded with zeros to 2**n entries and divided by their length, shape (n_samples, 2**n).

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
    n_qubits : int
    zero_vectors : "raise" or "nan"
        What becomes of a row of zeros, which has no direction: an error, or a row of NaN.

    Raises
    ------
    ValueError
        More entries than amplitudes, entries that are not finite, or a row of zeros unless it may become NaN.
    """
    if zero_vectors not in ("raise", "nan"):
        raise ValueError(f"zero_vectors must be 'raise' or 'nan', got {zero_vectors!r}")
    rows = np.atleast_2d(np.asarray(X, dtype=np.float64))
    if rows.shape[1] > 2**n_qubits:
        needed = int(rows.shape[1] - 1).bit_length()
        raise ValueError(
            f"{rows.shape[1]} features are more than the {2**n_qubits} amplitudes of {n_qubits} qubits: they need "
            f"n_qubits={needed}"
        )
    if not np.isfinite(rows).all():
        raise ValueError("a vector contains NaN or infinity: it cannot be written into amplitudes")
    largest = np.abs(rows).max(axis=1, initial=0.0)
    empty = np.flatnonzero(largest == 0)
    if len(empty) and zero_vectors == "raise":
        raise ValueError(
            f"{len(empty)} vector(s) are zero in every entry, the first in row {empty[0]}: a zero vector has no "
            "direction and cannot be written into amplitudes. Leave such rows out, or set zero_vectors='nan'."
        )
    largest[empty] = np.nan
    states = np.zeros((len(rows), 2**n_qubits))
    states[:, : rows.shape[1]] = rows / largest[:, None]  # first, lest squares overflow or vanish
    return states / np.linalg.norm(states, axis=1, keepdims=True)


def _split(encoded: np.ndarray, code_qubits: int) -> np.ndarray:
    return encoded.reshape(len(encoded), -1, 2**code_qubits)


def kept_weights(encoded: np.ndarray, code_qubits: int) -> np.ndarray:
    """Probability ‖c₀‖² that all trash qubits are found in |0⟩, shape (n_samples,)."""
    return (np.abs(encoded[:, : 2**code_qubits]) ** 2).sum(axis=1)


def fidelities(encoded: np.ndarray, code_qubits: int) -> np.ndarray:
    """F = √⟨z|ρ_out|z⟩ = (Σₜ |⟨c₀|cₜ⟩|²)^½, shape (n_samples,); the unsquared form that the paper reports."""
    parts = _split(encoded, code_qubits)
    overlaps = np.einsum("ic,itc->it", parts[:, 0].conj(), parts)
    return np.sqrt((np.abs(overlaps) ** 2).sum(axis=1))


def decoded_states(encoded: np.ndarray, unitary: np.ndarray, code_qubits: int) -> np.ndarray:
    """ρ_out of each sample, shape (n_samples, 2**n, 2**n)."""
    parts = _split(encoded, code_qubits)
    decoder = unitary[: 2**code_qubits].conj().T
    decoded = np.einsum("xc,itc->itx", decoder, parts)
    return np.einsum("itx,ity->ixy", decoded, decoded.conj())


def code_words(code_qubits: int, observables: str) -> list[tuple[str, PauliWord]]:
    """Names and words of the code's observables: ``"z"`` every Z, ``"pauli"`` all words on one and two of its qubits.

    Raises
    ------
    ValueError
        An unknown name.
    """
    if observables == "z":
        return [(f"Z{i}", pauli_word("z", (i,), code_qubits)) for i in range(code_qubits)]
    if observables != "pauli":
        raise ValueError(f"unknown observables {observables!r}; known are 'z' and 'pauli'")
    words = []
    for size in (1, 2):
        for wires in combinations(range(code_qubits), size):
            for letters in product("xyz", repeat=size):
                name = " ".join(f"{letter.upper()}{wire}" for letter, wire in zip(letters, wires, strict=True))
                words.append((name, pauli_word("".join(letters), wires, code_qubits)))
    return words


def code_expectations(encoded: np.ndarray, code_qubits: int, observables: str = "z") -> np.ndarray:
    """⟨P⟩ of the code's observables, the trash traced out, shape (n_samples, n_observables)."""
    parts = _split(encoded, code_qubits)
    columns = []
    for _, word in code_words(code_qubits, observables):
        sources, phases = word.sources_and_phases(code_qubits)
        columns.append(np.einsum("itc,itc->i", parts.conj(), phases * parts[:, :, sources]).real)
    return np.stack(columns, axis=1)


# --- what to compare with -----------------------------------------------------------------------


def spectral_bound(states: np.ndarray, dimension: int) -> float:
    """√w, w the mean weight of the states inside their own best subspace of that dimension.

    No encoder to log₂(dimension) qubits has a higher mean fidelity on these states: F ≤ ‖c₀‖ for each, and the mean of
    ‖c₀‖² is a weight inside a subspace of that dimension.
    """
    weights = np.linalg.svd(states, compute_uv=False) ** 2 / len(states)
    return float(np.sqrt(min(1.0, weights[:dimension].sum())))


def constant_state_fidelities(train: np.ndarray, states: np.ndarray) -> np.ndarray:
    """|⟨z|v⟩| for the one state v that is closest to all training states; what knowing nothing of a sample gives."""
    return linear_autoencoder_fidelities(train, states, 1)


def linear_autoencoder_fidelities(train: np.ndarray, states: np.ndarray, dimension: int) -> np.ndarray:
    """Fidelity ‖Vᵀz‖ of the classical linear autoencoder: projection on the training states' principal components.

    Parameters
    ----------
    train, states : ndarray of shape (n, 2**n_qubits)
        Normalised rows; not centred, since a state has no origin.
    dimension : int
        Components kept, as many as the code has amplitudes.
    """
    components = np.linalg.svd(train, full_matrices=False)[2][:dimension]
    return np.linalg.norm(states @ components.T, axis=1)
