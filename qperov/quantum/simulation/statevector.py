"""Exact, batched statevector simulation: one circuit, one set of angles per sample, all samples at once.

States are held with samples last, shape (2**n, n_samples), so that every operation runs along contiguous memory. The
circuit is first sorted into layers (`layering`): Hadamards are applied as real matrix products with
Kronecker factors of at most 2⁴ × 2⁴, and each phase layer is one diagonal whose factors are built by doubling, wire
by wire, from one complex exponential per angle. Samples are taken in blocks that fit the processor's cache.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike
from qperov_circuits import Angle, Gate

from qperov.errors import CircuitSizeError
from qperov.quantum.simulation.dual import Dual
from qperov.quantum.simulation.layering import HadamardLayer, PhaseLayer, layers
from qperov.torch_support import is_tensor

#: Largest circuit simulated; one state of it takes 1 GiB in double precision.
MAX_QUBITS = 26

#: Memory that one block of states may take; a few such arrays live at once, and should fit the processor's cache.
BLOCK_BYTES = 2**20

#: Hadamards on up to this many neighbouring wires are one matrix product.
KRONECKER_WIRES = 4

#: Multiplications up to which OpenBLAS works in one thread. Two threads do not make products this small faster when the
#: machine is idle, and several times slower when its cores are busy with something else.
SMALL_PRODUCT = 2**18

#: Samples in a block at most, so that the products stay small for few qubits too.
BLOCK_SAMPLES = 512

#: Largest rounding error of an angle, in radians; beyond, a state is noise.
ANGLE_ERROR = 1e-3

NOT_FINITE = "an angle of the circuit is not finite: scale the features down, and remove NaN"

#: A numpy array or a torch tensor; no annotation can say so without importing torch.
Array: TypeAlias = Any


def states(gates: Iterable[Gate], n_qubits: int, n_samples: int = 1, *, dtype: DTypeLike = np.complex128) -> Array:
    """States that a circuit prepares from |0…0⟩, one per sample, exact up to rounding and including the global phase.

    Parameters
    ----------
    gates : iterable of Gate
        Angles are numbers or arrays of shape (n_samples,), in radians. If one is a torch tensor all of the work is
        done in torch, on that tensor's device and differentiably.
    n_qubits : int
        Number of qubits n; wire 0 is the most significant bit.
    n_samples : int
        Number of samples.
    dtype : complex128 or complex64
        Precision of the amplitudes. With torch it applies as well.

    Returns
    -------
    ndarray or tensor of shape (n_samples, 2**n_qubits)

    Raises
    ------
    CircuitSizeError
        More than 26 qubits, or more amplitudes than the machine has memory for.
    ValueError
        Angles of a wrong shape, angles that are not finite or too large to be known, a gate outside the qubits.
    """
    return _simulate(gates, n_qubits, n_samples, dtype)[0].T


def states_and_tangents(
    gates: Iterable[Gate], n_qubits: int, n_samples: int = 1, *, dtype: DTypeLike = np.complex128
) -> tuple[np.ndarray, np.ndarray]:
    """States, and their derivatives with respect to the one parameter that the tangents of `Dual` angles refer to.

    The derivative is exact: it is carried forward through the layers beside the state. Parameters and exceptions as in
    `states`; angles that are not `Dual` are constants.

    Returns
    -------
    states, tangents : ndarray of shape (n_samples, 2**n_qubits)
    """
    psi, tangent = _simulate(gates, n_qubits, n_samples, dtype)
    return psi.T, (np.zeros_like(psi) if tangent is None else tangent).T


def check_size(n_qubits: int, n_samples: int = 1, itemsize: int = 16) -> None:
    """Raise CircuitSizeError if that many states of that many qubits cannot be held in memory."""
    needed = itemsize * 2**n_qubits * n_samples
    if n_qubits > MAX_QUBITS or needed > physical_memory():
        raise CircuitSizeError(
            f"{n_samples} exact state(s) of {n_qubits} qubits take {readable(needed)} of memory "
            f"(limits: {MAX_QUBITS} qubits, {readable(physical_memory())}). "
            "Reduce the features, for instance by PCA to 10 components or fewer, or measure on quantum hardware."
        )


def _simulate(gates: Iterable[Gate], n_qubits: int, n_samples: int, dtype: DTypeLike) -> tuple[Array, Array | None]:
    dtype = np.dtype(dtype)
    if dtype not in (np.complex64, np.complex128):
        raise ValueError(f"dtype must be complex64 or complex128, got {dtype}")
    if n_qubits < 1 or n_samples < 1:
        raise ValueError(f"there must be at least one qubit and one sample, got {n_qubits} and {n_samples}")
    check_size(n_qubits, n_samples, dtype.itemsize)
    real = np.dtype(np.float32 if dtype == np.complex64 else np.float64)
    program, angles = layers(gates, n_qubits)
    device = next((angle.device for angle in angles if is_tensor(angle)), None)
    if device is not None:
        table = [_tensor_angle(angle, n_samples, real, device) for angle in angles]
        return _run(program, n_qubits, table, None, real)[0].expand(-1, n_samples), None

    table = [angle_values(angle.value if isinstance(angle, Dual) else angle, n_samples, real) for angle in angles]
    tangents = None
    if any(isinstance(angle, Dual) for angle in angles):
        tangents = [
            angle_values(angle.tangent if isinstance(angle, Dual) else 0.0, n_samples, real) for angle in angles
        ]
    keep_freed_memory()
    # a state lies in memory as a row, since states are kept, and gathered, one by one
    psi: np.ndarray = np.empty((n_samples, 2**n_qubits), dtype).T
    tangent: Array | None = None if tangents is None else np.empty_like(psi)
    width = min(BLOCK_SAMPLES, max(1, BLOCK_BYTES // (dtype.itemsize * 2**n_qubits)))
    for start in range(0, n_samples, width):
        block = slice(start, start + width)
        block_tangents = None if tangents is None else cut_angles(tangents, block)
        psi[:, block], block_tangent = _run(program, n_qubits, cut_angles(table, block), block_tangents, real)
        if tangent is not None:
            tangent[:, block] = block_tangent
    return psi, tangent


def _run(
    program: list[HadamardLayer | PhaseLayer],
    n_qubits: int,
    angles: list[Array],
    tangents: list[Array] | None,
    real: np.dtype,
) -> tuple[Array, Array | None]:
    """State (2**n, width) and its tangent; the width is 1 as long as no angle differs between samples."""
    like = next((angle for angle in angles if is_tensor(angle)), None)
    start = np.zeros((2**n_qubits, 1), np.result_type(real, np.complex64))
    start[0] = 1
    psi = _constant(start, like)
    tangent = None if tangents is None else np.zeros_like(psi)
    cube = (2,) * n_qubits + (-1,)
    known: dict[Any, Array] = {}
    for layer in program:
        if isinstance(layer, HadamardLayer):
            psi = _hadamards(psi, layer.wires, n_qubits)
            tangent = None if tangent is None else _hadamards(tangent, layer.wires, n_qubits)
            continue
        if layer.terms:
            key = tuple((mask, tuple(parts)) for mask, parts in sorted(layer.terms.items()))
            if key not in known:
                known[key] = _doubled(_thetas(layer, angles), n_qubits, _phase, _phase_pair)
            if tangent is not None and tangents is not None:
                rate = _doubled(_thetas(layer, tangents), n_qubits, _identity, _sum_pair)
                tangent = tangent.reshape(cube) - 0.5j * (rate * psi.reshape(cube))
                tangent = (known[key] * tangent).reshape(2**n_qubits, -1)
            psi = (known[key] * psi.reshape(cube)).reshape(2**n_qubits, -1)
        if layer.is_relabelling(n_qubits):
            sources = _constant(layer.sources(n_qubits), like)
            psi = psi[sources]
            tangent = None if tangent is None else tangent[sources]
    return psi, tangent


# --- phase layers -------------------------------------------------------------------------------


def _thetas(layer: PhaseLayer, angles: list[Array]) -> dict[int, Array]:
    """θ_m of each mask of the phase polynomial, arrays of one angle per sample (or a single one)."""
    return {mask: sum(c * angles[slot] for c, slot in parts) for mask, parts in layer.terms.items()}


def _doubled(
    thetas: dict[int, Array], n_qubits: int, leaf: Callable[[Array], Array], pair: Callable[..., tuple[Array, Array]]
) -> Array:
    """A function of Σ_m θ_m χ_m(z) at all z, shape (1 or 2, …, 1 or 2, width): extent 1 along wires that do not matter.

    The terms with the first wire change sign with it, the others do not know it; each half is a problem with one wire
    less. ``leaf`` makes the function of one number, ``pair`` joins the two halves for that wire in |0⟩ and in |1⟩.
    """
    if thetas.keys() == {0}:
        return leaf(thetas[0]).reshape((1,) * n_qubits + (-1,))
    top = 1 << (n_qubits - 1)
    without = {mask: theta for mask, theta in thetas.items() if not mask & top}
    changing = {mask ^ top: theta for mask, theta in thetas.items() if mask & top}
    fixed: Array = _doubled(without, n_qubits - 1, leaf, pair) if without else None
    if not changing:
        return fixed[None]
    zero, one = pair(fixed, _doubled(changing, n_qubits - 1, leaf, pair))
    return _namespace(zero).stack([zero, one])


def _phase(theta: Array) -> Array:
    return _namespace(theta).exp(-0.5j * theta)


def _phase_pair(fixed: Array | None, changing: Array) -> tuple[Array, Array]:
    opposite = changing.conj()
    return (changing, opposite) if fixed is None else (fixed * changing, fixed * opposite)


def _identity(theta: Array) -> Array:
    return theta


def _sum_pair(fixed: Array | None, changing: Array) -> tuple[Array, Array]:
    return (changing, -changing) if fixed is None else (fixed + changing, fixed - changing)


# --- Hadamard layers ----------------------------------------------------------------------------


def _hadamards(psi: Array, wires: set[int], n_qubits: int) -> Array:
    """Hadamards on some wires of states (2**n, width)."""
    amplitudes = _as_real(psi)
    for first, count in _runs(tuple(sorted(wires))):
        matrix = _constant(_hadamard_matrix(count, 4 * (psi.dtype.itemsize // 8)), amplitudes)
        amplitudes = _product(matrix, amplitudes.reshape(2**first, 2**count, -1))
    return _as_complex(amplitudes.reshape(2**n_qubits, -1))


def _product(matrix: Array, amplitudes: Array) -> Array:
    """matrix @ amplitudes for (d, d) and (left, d, columns); with numpy in pieces that BLAS does in one thread."""
    if is_tensor(amplitudes):
        return matrix @ amplitudes
    left, rows, columns = amplitudes.shape
    pieces = 1
    while columns % (2 * pieces) == 0 and rows * rows * (columns // pieces) > SMALL_PRODUCT:
        pieces *= 2
    result = np.empty_like(amplitudes)
    source, target = (a.reshape(left, rows, pieces, -1).swapaxes(1, 2) for a in (amplitudes, result))
    np.matmul(matrix, source, out=target)
    return result


@lru_cache(maxsize=64)
def _runs(wires: tuple[int, ...]) -> list[tuple[int, int]]:
    """Neighbouring wires in groups of at most KRONECKER_WIRES and even size: (first wire, count)."""
    groups: list[list[int]] = []
    for wire in wires:
        if groups and wire == groups[-1][-1] + 1:
            groups[-1].append(wire)
        else:
            groups.append([wire])
    runs = []
    for group in groups:
        parts = -(-len(group) // KRONECKER_WIRES)
        runs += [(int(part[0]), len(part)) for part in np.array_split(group, parts)]
    return runs


@lru_cache(maxsize=2 * KRONECKER_WIRES)
def _hadamard_matrix(n_qubits: int, itemsize: int) -> np.ndarray:
    states = np.arange(2**n_qubits)
    parity = np.bitwise_count(states[:, None] & states) & 1
    matrix = (1 - 2.0 * parity) * 2 ** (-n_qubits / 2)
    return matrix.astype(f"f{itemsize}")


# --- numpy or torch -----------------------------------------------------------------------------


def _namespace(array: Array) -> ModuleType:
    if is_tensor(array):
        import torch

        return torch
    return np


def _constant(array: np.ndarray, like: Array | None) -> Array:
    """The array itself, or a tensor of it beside a tensor."""
    if like is None or not is_tensor(like):
        return array
    import torch

    return torch.as_tensor(array, device=like.device)


def _as_real(psi: Array) -> Array:
    """Complex (rows, width) as real (rows, 2·width), without a copy."""
    if is_tensor(psi):
        import torch

        return torch.view_as_real(psi).reshape(len(psi), -1)
    return np.ascontiguousarray(psi).view(psi.real.dtype)


def _as_complex(amplitudes: Array) -> Array:
    if is_tensor(amplitudes):
        import torch

        return torch.view_as_complex(amplitudes.reshape(len(amplitudes), -1, 2))
    return amplitudes.view(np.result_type(amplitudes.dtype, np.complex64))


def angle_values(angle: Angle, n_samples: int, real: np.dtype) -> np.ndarray:
    values = np.atleast_1d(np.asarray(angle, dtype=real))
    _check_shape(values.shape, n_samples)
    if not np.isfinite(values).all():
        raise ValueError(NOT_FINITE)
    largest = float(np.abs(values).max())
    if largest * np.finfo(real).eps > ANGLE_ERROR:
        raise ValueError(
            f"an angle of the circuit is {largest:.3g} rad, which {real} knows to "
            f"{largest * np.finfo(real).eps:.1g} rad only: scale the features down"
        )
    return values


def _tensor_angle(angle: Angle, n_samples: int, real: np.dtype, device: Any) -> Array:
    import torch

    dtype = torch.float32 if real == np.float32 else torch.float64
    values = torch.atleast_1d(torch.as_tensor(angle, dtype=dtype, device=device))
    _check_shape(tuple(values.shape), n_samples)
    if not torch.isfinite(values).all():
        raise ValueError(NOT_FINITE)
    return values


def cut_angles(angles: list[np.ndarray], block: slice) -> list[np.ndarray]:
    """Angles of the samples of a block; one angle that serves all samples stays."""
    return [angle[block] if len(angle) > 1 else angle for angle in angles]


def _check_shape(shape: tuple[int, ...], n_samples: int) -> None:
    if shape not in ((1,), (n_samples,)):
        raise ValueError(f"angles must be numbers or arrays of shape ({n_samples},), got shape {shape}")


# --- memory -------------------------------------------------------------------------------------


def physical_memory() -> float:
    """Bytes of memory in this machine; infinite where the operating system does not tell."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


def keep_freed_memory() -> None:
    """Have glibc's malloc use freed arrays again, instead of returning them to the system after each operation.

    Getting their pages back may cost more than the arithmetic. What is freed is kept up to the largest array that was
    ever freed, of at most 32 MiB (mallopt(3), M_MMAP_THRESHOLD); this one is never touched.
    """
    np.empty(2**25 - 2**16, np.uint8)


def readable(n_bytes: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.3g} PiB"
