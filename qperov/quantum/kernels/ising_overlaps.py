"""Fidelities of Ising states that differ by flips of some of their qubits, from one Walsh–Hadamard transform.

An Ising state of n qubits is |ψ⟩ = e^{iE} R(β_L) … e^{iE} R(β₁) e^{iE} |+…+⟩ with the diagonal energy
E(z) = Σ_{i<j} J_ij z_i z_j + h Σ_i z_i over z ∈ {±1}ⁿ, in radians, and R(β) = Π_i exp(−iβX_i/2). Spins σ enter as
J_ij σ_i σ_j and h σ_i, which is what flips X^σ on the qubits with σ_i = −1 make of |ψ⟩: |+⟩ and R commute with them.
So ⟨φ(σ)|φ(σ′)⟩ = ⟨ψ|X^σ X^σ′|ψ⟩ depends on τ = σσ′ alone. In the X basis, where the outcome k ⊆ {1 … n} has the
probability p(k), X^τ is Π_{i∈k} τ_i, and

    A(τ) = ⟨ψ|X^τ|ψ⟩ = Σ_k p(k) Π_{i∈k} τ_i,    F(τ) = A(τ)².

A is real, and the Walsh–Hadamard transform of p: overlaps of all pairs of all decorations take as long as one state.
Without a field z and −z have the same amplitude, and one qubit is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import hadamard

from qperov.errors import CircuitSizeError
from qperov.quantum.simulation.statevector import MAX_QUBITS, physical_memory, readable

#: Qubits that one matrix product of the transform acts on.
_STEP = 5


def walsh_hadamard(values: np.ndarray) -> np.ndarray:
    """Σ_z (−1)^{|k∧z|} v(z) along the last axis, whose length is a power of two; twice gives v times that length."""
    n_qubits = values.shape[-1].bit_length() - 1
    shape, done = values.shape, 0
    while done < n_qubits:
        step = min(_STEP, n_qubits - done)
        matrix = hadamard(2**step, dtype=float)
        done += step
        if done == n_qubits:
            values = values.reshape(-1, 2**step) @ matrix
        else:
            values = matrix @ values.reshape(-1, 2**step, 2 ** (n_qubits - done))
    return values.reshape(shape)


def site_masks(n_sites: int, *, flip: bool) -> np.ndarray:
    """Bit of each site in the number of a basis state, shape (n_sites,); with ``flip`` the first site has none."""
    masks = np.left_shift(1, np.arange(n_sites, dtype=np.int64))
    return masks >> 1 if flip else masks


def flip_codes(spins: np.ndarray, *, flip: bool) -> np.ndarray:
    """Decorations as numbers whose bitwise difference is that of their products, from spins of shape (…, n_sites)."""
    down = spins != spins[..., :1] if flip else spins < 0
    return down @ site_masks(spins.shape[-1], flip=flip)


def x_outcomes(
    couplings: Sequence[np.ndarray], fields: Sequence[float], mixing: Sequence[float] = ()
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Probabilities p of the outcomes in the X basis, and their derivatives.

    Parameters
    ----------
    couplings : sequence of ndarray, each of shape (n_sites, n_sites)
        J in radians, of which the upper triangle counts; then dJ for each derivative.
    fields : sequence of float
        h, then dh for each derivative.
    mixing : sequence of float
        β of every further layer.

    Returns
    -------
    p : ndarray of shape (2**n_sites,), or (2**(n_sites − 1),) where all fields are zero
    rates : list of ndarray of that shape

    Raises
    ------
    CircuitSizeError
        More than 26 qubits, or more memory than there is.
    """
    n_sites, flip = len(couplings[0]), not any(fields)
    n_qubits = n_sites - 1 if flip else n_sites
    check_sites(n_sites, flip=flip, n_arrays=4 + 4 * (len(couplings) - 1))
    masks = site_masks(n_sites, flip=flip)
    rows, columns = np.triu_indices(n_sites, 1)
    size = 2.0 ** (-n_qubits / 2)

    def energy(matrix: np.ndarray, field: float) -> np.ndarray:
        coefficients = np.bincount(masks[rows] ^ masks[columns], matrix[rows, columns], minlength=2**n_qubits)
        if not flip:
            coefficients[masks] += field
        return walsh_hadamard(coefficients)

    phase = energy(couplings[0], fields[0])
    slopes = [energy(matrix, field) for matrix, field in zip(couplings[1:], fields[1:], strict=True)]
    state = size * np.stack([np.cos(phase), np.sin(phase)])
    tangents = [slope * _times_i(state) for slope in slopes]
    for beta in mixing:
        turn = -beta / 2 * _x_sums(n_sites, flip=flip)
        state = _turned(size * walsh_hadamard(_turned(size * walsh_hadamard(state), turn)), phase)
        tangents = [
            _turned(size * walsh_hadamard(_turned(size * walsh_hadamard(tangent), turn)), phase)
            + slope * _times_i(state)
            for tangent, slope in zip(tangents, slopes, strict=True)
        ]
    amplitudes = size * walsh_hadamard(state)
    p = amplitudes[0] ** 2 + amplitudes[1] ** 2
    rates = []
    for tangent in tangents:
        rate = size * walsh_hadamard(tangent)
        rates.append(2 * (amplitudes[0] * rate[0] + amplitudes[1] * rate[1]))
    return p, rates


def check_sites(n_sites: int, *, flip: bool, n_arrays: int = 4) -> None:
    """Raise CircuitSizeError where the amplitudes of all basis states do not fit in memory."""
    n_qubits = n_sites - 1 if flip else n_sites
    needed = 8.0 * n_arrays * 2.0**n_qubits
    if n_sites > MAX_QUBITS or needed > physical_memory():
        raise CircuitSizeError(
            f"{n_sites} qubits, one for each decorated site (and species, of more than two): all overlaps at once take "
            f"{readable(needed)} (limits: {MAX_QUBITS} qubits, {readable(physical_memory())}). Take a smaller cell."
        )


def _times_i(state: np.ndarray) -> np.ndarray:
    return np.stack([-state[1], state[0]])


def _turned(state: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """State times e^{i·angle}, real and imaginary part on the first axis."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * state[0] - sin * state[1], sin * state[0] + cos * state[1]])


def _x_sums(n_sites: int, *, flip: bool) -> np.ndarray:
    """ΣX_i of every outcome in the X basis; without a field the outcome of the first site makes the number even."""
    n_qubits = n_sites - 1 if flip else n_sites
    ones = np.bitwise_count(np.arange(2**n_qubits)).astype(float)
    if flip:
        ones += ones % 2
    return n_sites - 2 * ones
