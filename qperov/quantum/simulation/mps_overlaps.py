"""Overlaps of all pairs of two sets of matrix product states, and the Bloch vectors of their qubits.

Pairs are taken in tiles that stay in the processor's cache. For each, E = ⟨bra|ket⟩ over the qubits so far is a matrix
of the two bonds. Up to bond dimension 2, the transfer matrices of a few qubits are one matrix product over all pairs
of a tile; beyond, E takes the ket's and the bra's tensor in turn, which costs 4·D³ multiplications a pair and qubit,
with the bonds that the states of the tile have.
"""

from __future__ import annotations

from functools import partial
from math import isqrt
from typing import Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import DTypeLike
from threadpoolctl import threadpool_limits

from qperov.errors import CircuitSizeError
from qperov.evaluation.progress import announced
from qperov.quantum.simulation.mps import MatrixProductStates
from qperov.torch_support import import_torch, is_tensor

#: Qubits whose transfer matrices are taken together where bonds are small.
MERGED_QUBITS = 3

#: Bond dimension up to which transfer matrices are formed, as a mean of fourth powers: their size.
TRANSFER_BOND = 2.4

#: Bras and kets of a tile: for transfer matrices, and for tensors in turn (no powers of two, whose rows would meet in
#: the same lines of the cache).
TRANSFER_TILE = (32, 128)
TENSOR_TILE = (32, 30)

#: Rows of the matrix that are one task, and columns of a tile on a device.
TASK_ROWS = 256

#: Memory of the matrices E of a tile on a device.
DEVICE_BYTES = 2**28


def fidelities(
    bras: MatrixProductStates,
    kets: MatrixProductStates | None = None,
    *,
    dtype: DTypeLike = np.complex128,
    n_jobs: int | None = None,
    device: str | None = None,
) -> np.ndarray:
    """|⟨a|b⟩|² of all pairs.

    Parameters
    ----------
    bras : MatrixProductStates
        n states a.
    kets : MatrixProductStates or None
        m states b; None for the bras themselves: the matrix is then exactly symmetric with ones on the diagonal.
    dtype : complex128 or complex64
        Precision of the overlaps.
    n_jobs : int or None
        Bands of rows worked on at once by joblib, in threads unless the active configuration says otherwise.
    device : str or None
        Name of a torch device for the products; None for numpy.

    Returns
    -------
    ndarray of shape (n, m)

    Raises
    ------
    CircuitSizeError
        The states are of different numbers of qubits.
    """
    others = bras if kets is None else kets
    if bras.n_qubits != others.n_qubits:
        raise CircuitSizeError(
            f"states of {bras.n_qubits} and of {others.n_qubits} qubits have no overlap: give both the same features"
        )
    left, right = (states.astype(np.dtype(dtype)) for states in (bras, others))
    starts = range(0, len(bras), TASK_ROWS)
    tasks = (delayed(_band)(left[top : top + TASK_ROWS], right[top if kets is None else 0 :], device) for top in starts)
    K = np.empty((len(bras), len(others)))
    with threadpool_limits(1, "blas"):  # the products are small
        bands = Parallel(n_jobs, prefer="threads", return_as="generator")(tasks)
        bond = max(bras.bonds, default=1)
        what = f"a kernel matrix of {len(bras)} × {len(others)} matrix product states with bonds up to {bond}"
        costs = [len(others) - (top if kets is None else 0) for top in starts]
        ways_out = "fewer repetitions have smaller bonds, and LandmarkFeatures needs fewer pairs"
        shown = announced(bands, costs, what, ways_out, effective_n_jobs(n_jobs))
        for top, band in zip(starts, shown, strict=True):
            rows = slice(top, top + len(band))
            if kets is None:
                K[rows, top:] = band
                K[top:, rows] = band.T
                K[rows, rows] = np.triu(band[:, : len(band)]) + np.triu(band[:, : len(band)], 1).T
            else:
                K[rows] = band
    if kets is None:
        np.fill_diagonal(K, 1.0)
    return K


def fidelity_error(bras: MatrixProductStates, kets: MatrixProductStates | None = None) -> float:
    """Bound on the error of any of their fidelities from what compression left out.

    | |⟨a|b⟩|² − |⟨ã|b̃⟩|² | ≤ 2(‖a − ã‖ + ‖b − b̃‖), for states of norm 1 and their compressions of norm at most 1.
    """
    return float(2 * (bras.error.max() + (bras if kets is None else kets).error.max()))


def bloch_vectors(states: MatrixProductStates) -> np.ndarray:
    """⟨X⟩, ⟨Y⟩, ⟨Z⟩ of each qubit of each state, shape (n_samples, 3·n_qubits)."""
    result = np.empty((len(states), states.n_qubits, 3))
    left = np.ones((len(states), 1, 1), complex)  # of the qubits before; those behind give the identity
    for k, site in enumerate(states.sites):
        moved = np.einsum("nab,nbsr->nasr", left, site)
        reduced = np.einsum("nasr,natr->nst", moved, site.conj())
        result[:, k, 0] = 2 * reduced[:, 1, 0].real
        result[:, k, 1] = 2 * reduced[:, 1, 0].imag
        result[:, k, 2] = (reduced[:, 0, 0] - reduced[:, 1, 1]).real
        left = np.einsum("nasr,nast->ntr", moved, site.conj())
    return result.reshape(len(states), -1)


def _band(bras: MatrixProductStates, kets: MatrixProductStates, device: str | None) -> np.ndarray:
    """Fidelities of some rows with all columns, tile by tile."""
    bonds = [1, *bras.bonds, *kets.bonds]
    transfer = device is None and np.mean(np.array(bonds, float) ** 4) <= TRANSFER_BOND**4
    height, width = TRANSFER_TILE if transfer else TENSOR_TILE
    if device is not None:
        height = width = min(TASK_ROWS, max(1, isqrt(DEVICE_BYTES // (16 * max(bonds) ** 2))))
    split = _merged if transfer else partial(_matrices, device=device)
    overlap = _by_transfer if transfer else _by_tensors
    K = np.empty((len(bras), len(kets)))
    rows = [(slice(top, top + height), split(bras[top : top + height], True)) for top in range(0, len(K), height)]
    for start in range(0, len(kets), width):
        columns = slice(start, start + width)
        own = split(kets[columns], False)
        for here, operands in rows:
            overlaps = overlap(operands, own)
            values = overlaps.real**2 + overlaps.imag**2
            K[here, columns] = values if device is None else values.cpu().numpy()
    return np.minimum(K, 1.0, out=K)


# --- small bonds: transfer matrices -------------------------------------------------------------


def _merged(states: MatrixProductStates, bra: bool) -> list[np.ndarray]:
    """Tensors of a few neighbouring qubits each, as (D, D', n, 2ᵏ) for bras and (2ᵏ, D, D', n) for kets."""
    result = []
    for start in range(0, states.n_qubits, MERGED_QUBITS):
        merged, *following = states.sites[start : start + MERGED_QUBITS]
        for site in following:
            product = np.einsum("nasb,nbtc->nastc", merged, site)
            merged = product.reshape(len(states), merged.shape[1], -1, site.shape[3])
        order = (1, 3, 0, 2) if bra else (2, 1, 3, 0)
        result.append(np.ascontiguousarray((merged.conj() if bra else merged).transpose(order)))
    return result


def _by_transfer(bras: list[np.ndarray], kets: list[np.ndarray]) -> np.ndarray:
    """Overlaps of all pairs of a tile from tensors as `_merged` gives them."""
    n, m = bras[0].shape[2], kets[0].shape[3]
    E = np.ones((1, n, 1, m), bras[0].dtype)  # bond of the bra, bra, bond of the ket, ket
    for bra, ket in zip(bras, kets, strict=True):
        (a, c, _, values), (_, b, d, _) = bra.shape, ket.shape
        transfer = (bra.reshape(-1, values) @ ket.reshape(values, -1)).reshape(a, c, n, b, d, m)
        transfer *= E[:, None, :, :, None, :]
        E = _total(_total(transfer, 0), 2)
    return E[0, :, 0]


def _total(array: np.ndarray, axis: int) -> np.ndarray:
    """Sum along a short axis, as whole slices."""
    first, *rest = np.moveaxis(array, axis, 0)
    for part in rest:
        first = np.add(first, part)
    return first


# --- larger bonds: tensors in turn --------------------------------------------------------------


def _matrices(states: MatrixProductStates, bra: bool, device: str | None = None) -> list[Any]:
    """Tensors as (n, D', D·2) for bras and (2, m, D, D') for kets."""
    order = (0, 3, 1, 2) if bra else (2, 0, 1, 3)
    tensors = [np.ascontiguousarray((s.conj() if bra else s).transpose(order)) for s in _trimmed(states)]
    shaped = [t.reshape(*t.shape[:2], -1) for t in tensors] if bra else tensors
    return shaped if device is None else [import_torch().from_numpy(t).to(device) for t in shaped]


def _trimmed(states: MatrixProductStates) -> list[np.ndarray]:
    """Tensors without the bonds that none of the states has."""
    sites = list(states.sites)
    for k in range(states.n_qubits - 1):
        width = 1 + int(np.flatnonzero(sites[k].any(axis=(0, 1, 2)))[-1])
        sites[k], sites[k + 1] = sites[k][..., :width], sites[k + 1][:, :width]
    return sites


def _by_tensors(bras: list[Any], kets: list[Any]) -> Any:
    """Overlaps of all pairs of a tile from tensors as `_matrices` gives them."""
    n, m = len(bras[0]), kets[0].shape[1]
    on_device = is_tensor(bras[0])
    E: Any = bras[0].new_ones((n, m, 1)) if on_device else np.ones((n, m, 1), bras[0].dtype)
    for bra, ket in zip(bras, kets, strict=True):  # E: the bra and its bond, the ket, its bond
        d = ket.shape[3]
        if on_device:
            half = (E.transpose(0, 1) @ ket).permute(2, 0, 1, 3)
        else:
            half = np.empty((len(E), 2, m, d), E.dtype)
            for value in (0, 1):
                np.matmul(E.transpose(1, 0, 2), ket[value], out=half[:, value].transpose(1, 0, 2))
        E = (bra @ half.reshape(n, -1, m * d)).reshape(-1, m, d)
    return E.reshape(n, m)
