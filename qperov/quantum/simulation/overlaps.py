"""What kernels ask of prepared states: the fidelities of all pairs, and the one-qubit expectations of each."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg.blas import get_blas_funcs

from qperov.torch_support import import_torch, is_tensor

#: Rows and columns of a square that is mirrored at once.
BLOCK = 128

#: Memory of the states whose expectations are found at once, in the processor's cache.
BLOCK_BYTES = 2**19


def fidelities(bras: Any, kets: Any | None = None) -> np.ndarray:
    """|⟨a|b⟩|² of all pairs of states, shape (n_bras, n_kets).

    Parameters
    ----------
    bras, kets : ndarray or tensor of shape (n_bras, 2**n_qubits), (n_kets, 2**n_qubits)
        Without kets the bras with each other: exactly symmetric with ones on the diagonal. Products of tensors are
        done on their device.
    """
    if is_tensor(bras):
        overlaps = bras.conj() @ (bras if kets is None else kets).T
        K = (overlaps.real**2 + overlaps.imag**2).clamp(max=1).double().cpu().numpy()
        return K if kets is not None else symmetric(K, 1.0)
    gemm, herk = get_blas_funcs(("gemm", "herk"), (bras,))
    # BLAS gives columns one after the other, and of a Hermitian matrix the upper triangle: its transpose has rows, and
    # the lower one. It takes columns too: states that lie in memory row by row are given as their transpose, which
    # conjugates the overlaps.
    by_column = bras.flags.f_contiguous and (kets is None or kets.flags.f_contiguous)
    if kets is None:
        overlaps = (herk(1.0, bras) if by_column else herk(1.0, bras.T, trans=2)).T
    else:
        overlaps = (gemm(1.0, kets, bras, trans_b=2) if by_column else gemm(1.0, kets.T, bras.T, trans_a=2)).T
    K = np.empty(overlaps.shape)
    np.multiply(overlaps.real, overlaps.real, out=K)
    np.multiply(overlaps.imag, overlaps.imag, out=overlaps.imag)  # in place: new memory costs more than the arithmetic
    K += overlaps.imag
    np.minimum(K, 1.0, out=K)
    if kets is None:
        for start in range(0, len(K), BLOCK):
            here = slice(start, start + BLOCK)
            K[here, start + BLOCK :] = K[start + BLOCK :, here].T
            K[here, here] = symmetric(K[here, here].T, 1.0)
    return K


def fidelities_and_rates(
    bras: np.ndarray, bra_rates: np.ndarray, kets: np.ndarray, ket_rates: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """|S|² and its derivative 2 Re(S̄·dS), with the overlaps S = ⟨a|b⟩ and dS = ⟨a|db⟩ + ⟨da|b⟩ of all pairs."""
    (gemm,) = get_blas_funcs(("gemm",), (bras,))
    # a·b† is the conjugate of ⟨a|b⟩, which changes neither |S|² nor Re(S̄·dS).
    overlaps = gemm(1.0, bras, kets, trans_b=2)
    rates = gemm(1.0, bra_rates, kets, 1.0, gemm(1.0, bras, ket_rates, trans_b=2), trans_b=2)
    slopes = 2 * (overlaps.real * rates.real + overlaps.imag * rates.imag)
    return overlaps.real**2 + overlaps.imag**2, slopes


def expectations(psi: Any, phi: Any, n_qubits: int) -> np.ndarray:
    """Re⟨ψ|P|φ⟩ for P = X, Y, Z on each qubit, shape (n_samples, 3·n_qubits); of tensors, found on their device."""
    if is_tensor(psi):
        torch = import_torch()
        result = torch.empty((len(psi), n_qubits, 3), dtype=torch.float64, device=psi.device)
        for qubit in range(n_qubits):
            bra, ket = (s.reshape(len(s), 2**qubit, 2, -1).transpose(1, 2).flatten(2) for s in (psi, phi))
            moments = bra.conj() @ ket.transpose(1, 2)  # ⟨i|ρ|j⟩, transposed
            result[:, qubit, 0] = (moments[:, 0, 1] + moments[:, 1, 0]).real
            result[:, qubit, 1] = (moments[:, 0, 1] - moments[:, 1, 0]).imag
            result[:, qubit, 2] = (moments[:, 0, 0] - moments[:, 1, 1]).real
        return result.flatten(1).cpu().numpy()
    result = np.empty((len(psi), n_qubits, 3))
    basis = np.arange(2**n_qubits)[:, None] >> np.arange(n_qubits)[::-1]
    signs = 1.0 - 2.0 * (basis & 1)
    width = max(1, BLOCK_BYTES // (psi.itemsize * 2**n_qubits))
    for start in range(0, len(psi), width):
        here = slice(start, start + width)
        bras, kets = psi[here], phi[here]
        result[here, :, 2] = (bras.real * kets.real + bras.imag * kets.imag) @ signs
        for qubit in range(n_qubits):
            bra, ket = (s.reshape(len(s), 2**qubit, 2, -1) for s in (bras, kets))
            to_one = np.einsum("slr,slr->s", bra[:, :, 0].conj(), ket[:, :, 1])
            to_zero = to_one.conj() if psi is phi else np.einsum("slr,slr->s", bra[:, :, 1].conj(), ket[:, :, 0])
            result[here, qubit, 0] = (to_one + to_zero).real
            result[here, qubit, 1] = (to_one - to_zero).imag
    return result.reshape(len(psi), -1)


def symmetric(upper: np.ndarray, diagonal: float) -> np.ndarray:
    """The symmetric matrix with this upper triangle and this constant diagonal."""
    matrix = np.triu(upper, 1)
    matrix += matrix.T
    np.fill_diagonal(matrix, diagonal)
    return matrix
