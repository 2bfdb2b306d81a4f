"""Fidelities of Ising states that differ by flips of some of their qubits, from one Walsh–Hadamard transform.

An Ising state of n qubits is |ψ⟩ = e^{iE} R(β_L) … e^{iE} R(β₁) e^{iE} |+…+⟩ with the diagonal energy
E(z) = Σ_{i<j} J_ij z_i z_j + h Σ_i z_i over z ∈ {±1}ⁿ, in radians, and R(β) = Π_i exp(−iβX_i/2). Spins σ enter as
J_ij σ_i σ_j and h σ_i, which is what flips X^σ on the qubits with σ_i = −1 make of |ψ⟩: |+⟩ and R commute with them.
So ⟨φ(σ)|φ(σ′)⟩ = ⟨ψ|X^σ X^σ′|ψ⟩ depends on τ = σσ′ alone. In the X basis, where the outcome k ⊆ {1 … n} has the
probability p(k), X^τ is Π_{i∈k} τ_i, and

    A(τ) = ⟨ψ|X^τ|ψ⟩ = Σ_k p(k) Π_{i∈k} τ_i,    F(τ) = A(τ)².

A is real, and the Walsh–Hadamard transform of p: overlaps of all pairs of all decorations take as long as one state.
Without a field z and −z have the same amplitude, and one qubit is left out.

Beyond the qubits that this takes, a state of one layer has A(τ) as the mean over z of

    Π_{ij: τ_iτ_j=−1} exp(−2iJ_ij z_i z_j) Π_{i: τ_i=−1} exp(−2ih z_i),

an Ising model with imaginary couplings on the bonds that differ, which is contracted as a tensor network.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from scipy.linalg import hadamard

from qperov.errors import CircuitSizeError, LongComputationWarning, MissingDependencyError
from qperov.quantum.simulation.statevector import MAX_QUBITS, physical_memory, readable

#: Multiplications a second of contractions of small tensors, and seconds that each network takes beside them.
_RATE, _OVERHEAD = 1e8, 5e-3
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


def contracted_amplitudes(matrix: np.ndarray, field: float, products: np.ndarray) -> np.ndarray:
    """A(τ) of states of one layer, each by the contraction of a network (cotengra), shape (n_products,).

    Parameters
    ----------
    matrix : ndarray of shape (n_sites, n_sites)
        J in radians, of which the upper triangle counts.
    field : float
    products : ndarray of ±1, shape (n_products, n_sites)
        τ.

    Raises
    ------
    MissingDependencyError
        cotengra is not installed.
    CircuitSizeError
        The largest tensor on the best path found has more than 2²⁶ entries.

    Warns
    -----
    LongComputationWarning
        Before the first contraction, where all together take over a minute.
    """
    try:
        import cotengra
    except ImportError as error:
        raise MissingDependencyError(
            f"overlaps of more than {MAX_QUBITS} sites need cotengra: pip install 'qperov[networks]'"
        ) from error
    z = np.array([1.0, -1.0])
    n_sites = len(matrix)
    trees, tensors, n_summed = [], [], []
    for tau in products:
        bonds = [(i, j) for i, j in np.argwhere(np.triu(matrix, 1)).tolist() if tau[i] != tau[j]]
        # a site that stands in no bond still has its field
        turned = np.flatnonzero(tau < 0).tolist() if field else []
        inputs = [*((str(i), str(j)) for i, j in bonds), *((str(i),) for i in turned)]
        tensors.append(
            [*(np.exp(-2j * matrix[i, j] * np.outer(z, z)) for i, j in bonds), *[np.exp(-2j * field * z)] * len(turned)]
        )
        n_summed.append(len({site for term in inputs for site in term}))
        sizes = {str(site): 2 for site in range(n_sites)}
        trees.append(cotengra.array_contract_tree(inputs, (), sizes, optimize="greedy") if inputs else None)
    used = [tree for tree in trees if tree is not None]
    widest, total = max((t.contraction_width() for t in used), default=0), sum(t.contraction_cost() for t in used)
    if widest > MAX_QUBITS:
        raise CircuitSizeError(
            f"{len(products)} overlaps of {n_sites} sites: the best path found has a tensor of 2^{widest:.0f} entries "
            f"(limit: 2^{MAX_QUBITS}), and {total:.1e} multiplications. Take fewer shells or a smaller cell."
        )
    if (seconds := total / _RATE + len(products) * _OVERHEAD) > 60:
        warnings.warn(
            f"{len(products)} overlaps of {n_sites} sites take {total:.1e} multiplications and tensors of up to "
            f"2^{widest:.0f} entries, about {seconds / 60:.2g} minutes: fewer shells or crystals take less",
            LongComputationWarning,
            stacklevel=2,
        )
    found = np.empty(len(products))
    for row, (tree, arrays) in enumerate(zip(trees, tensors, strict=True)):
        found[row] = 1.0 if tree is None else np.real(tree.contract(arrays)) / 2.0 ** n_summed[row]
    return found


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
