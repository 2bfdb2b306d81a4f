"""Matrix product states of all samples at once: exact kernels of line-coupled circuits, whatever the number of qubits.

A state is a chain of tensors, one a qubit, ψ(z₀ … z_{n−1}) = A₀[z₀]·A₁[z₁] ⋯ A_{n−1}[z_{n−1}]; the size of the matrices
is the bond dimension. The circuit is sorted into the layers of the statevector engine (`layering`): Hadamards
and one-qubit phases change single tensors, and all two-qubit phases of one layer that share their first qubit are one
operator of bond dimension two, which carries that qubit's value along the line to the last of its partners. So every
gate is exact, and only the compression (`mps_compression`) leaves anything out.

References
----------
U. Schollwöck, The density-matrix renormalization group in the age of matrix product states, Ann. Phys. 326, 96 (2011),
doi:10.1016/j.aop.2010.09.012.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from qperov_circuits import Angle, Gate

from qperov.errors import BondDimensionError, CircuitSizeError
from qperov.quantum.simulation.layering import HadamardLayer, PhaseLayer, layers
from qperov.quantum.simulation.mps_compression import compress
from qperov.quantum.simulation.statevector import angle_values, cut_angles, physical_memory, readable

#: Norm of what one cut of one sweep may drop from a state.
TOLERANCE = 1e-12

#: Largest bond dimension that is worked with.
MAX_BOND = 64

#: Bond dimension up to which operators are multiplied on before the states are compressed.
LAZY_BOND = 16

#: Memory that one block of states may take while it is prepared.
BLOCK_BYTES = 2**27

#: For each qubit, its phases with later ones: {first wire: {partner: slots and coefficients of θ}}.
Fans = dict[int, dict[int, list[tuple[float, int]]]]


@dataclass(frozen=True)
class MatrixProductStates:
    """States of the same number of qubits, one per sample, right-canonical: the rows of A₁ … A_{n−1} are orthonormal.

    Parameters
    ----------
    sites : tuple of n_qubits arrays
        Of shape (n_samples, D_k, 2, D_{k+1}), with D_0 = D_n = 1.
    error : ndarray of shape (n_samples,)
        Bound on the distance to the exact state, from the discarded weights.
    """

    sites: tuple[np.ndarray, ...]
    error: np.ndarray

    def __len__(self) -> int:
        return len(self.error)

    def __getitem__(self, rows: slice | np.ndarray) -> MatrixProductStates:
        return MatrixProductStates(tuple(site[rows] for site in self.sites), self.error[rows])

    @property
    def n_qubits(self) -> int:
        """Number of qubits."""
        return len(self.sites)

    @property
    def bonds(self) -> list[int]:
        """Bond dimension of each of the n_qubits − 1 cuts."""
        return [site.shape[3] for site in self.sites[:-1]]

    @property
    def nbytes(self) -> int:
        """Memory that the tensors take."""
        return sum(site.nbytes for site in self.sites)

    def astype(self, dtype: np.dtype) -> MatrixProductStates:
        """The same in another precision."""
        return MatrixProductStates(tuple(site.astype(dtype, copy=False) for site in self.sites), self.error)


def matrix_product_states(
    gates: Iterable[Gate],
    n_qubits: int,
    n_samples: int = 1,
    *,
    tolerance: float = TOLERANCE,
    max_bond: int = MAX_BOND,
    n_jobs: int | None = None,
) -> MatrixProductStates:
    """States that a circuit prepares from |0…0⟩, including the global phase.

    Parameters
    ----------
    gates : iterable of Gate
        Angles are numbers or arrays of shape (n_samples,), in radians.
    n_qubits, n_samples : int
        Number of qubits n, and of samples.
    tolerance : float
        Norm of what is dropped at one cut in one compression; the bound on a state's error is the root of the sum of
        the squares.
    max_bond : int
        Largest bond dimension after compression.
    n_jobs : int or None
        Blocks of samples worked on at once by joblib, in threads unless the active configuration says otherwise.

    Raises
    ------
    BondDimensionError
        The first sample already needs more than ``max_bond``, or a later one does.
    CircuitSizeError
        More memory is needed than the machine has.
    ValueError
        Angles of a wrong shape or not finite, a gate outside the qubits, a parameter out of range.
    """
    if n_qubits < 1 or n_samples < 1:
        raise ValueError(f"there must be at least one qubit and one sample, got {n_qubits} and {n_samples}")
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance must be at least 0 and below 1, got {tolerance}")
    if max_bond < 1:
        raise ValueError(f"max_bond must be at least 1, got {max_bond}")
    program, angles = _program(list(gates), n_qubits)
    table = [angle_values(angle, n_samples, np.dtype(np.float64)) for angle in angles]
    scout = _Chain(program, n_qubits, tolerance, max_bond)
    parts = [scout.run(cut_angles(table, slice(0, 1)), 1)]  # one sample tells what all will need
    needed = n_samples * parts[0].nbytes
    if needed > physical_memory():
        raise CircuitSizeError(
            f"{n_samples} matrix product states of {n_qubits} qubits and bond dimension {max(parts[0].bonds)} take "
            f"{readable(needed)} of memory, the machine has {readable(physical_memory())}: evaluate the matrix in "
            "blocks with qperov.write_gram, or take fewer repetitions"
        )
    width = max(1, int(BLOCK_BYTES // (32 * n_qubits * scout.widest**2)))
    width = min(width, -(-n_samples // effective_n_jobs(n_jobs)))
    tasks = (
        delayed(scout.run)(cut_angles(table, block), block.stop - block.start) for block in _blocks(1, n_samples, width)
    )
    return join(parts + Parallel(n_jobs, prefer="threads")(tasks))


def join(parts: Sequence[MatrixProductStates]) -> MatrixProductStates:
    """Several sets of states as one; smaller bonds are filled up with zeros."""
    if len({part.n_qubits for part in parts}) > 1:
        counts = sorted({part.n_qubits for part in parts})
        raise CircuitSizeError(f"states of {counts} qubits cannot stand in one set: give all the same features")
    if len(parts) == 1:
        return parts[0]
    error = np.concatenate([part.error for part in parts])
    sites = []
    for tensors in zip(*(part.sites for part in parts), strict=True):
        left, right = (max(tensor.shape[axis] for tensor in tensors) for axis in (1, 3))
        site = np.zeros((len(error), left, 2, right), np.result_type(*tensors))
        start = 0
        for tensor in tensors:
            site[start : start + len(tensor), : tensor.shape[1], :, : tensor.shape[3]] = tensor
            start += len(tensor)
        sites.append(site)
    return MatrixProductStates(tuple(sites), error)


def largest_bond(gates: Iterable[Gate], n_qubits: int) -> int:
    """Bond dimension that suffices for a circuit whatever its angles, from its structure alone.

    Across a cut, the phases of one layer have a Schmidt rank of at most 2 to the number of qubits on either side that
    take part; the layers multiply, and 2 to the number of qubits on either side is never exceeded.
    """
    return 2 ** max(_exponents(_program(list(gates), n_qubits)[0], n_qubits), default=0)


class _Chain:
    """A program of layers run on blocks of samples."""

    def __init__(
        self, program: list[HadamardLayer | PhaseLayer], n_qubits: int, tolerance: float, max_bond: int
    ) -> None:
        self.program = program
        self.n_qubits = n_qubits
        self.tolerance = tolerance
        self.max_bond = max_bond
        self.widest = 1

    def run(self, angles: list[np.ndarray], n_samples: int) -> MatrixProductStates:
        """States of one block; angles of shape (n_samples,) or (1,)."""
        zero = np.array([1.0, 0.0], complex).reshape(1, 1, 2, 1)
        sites = [zero for _ in range(self.n_qubits)]
        error = np.zeros(n_samples)
        limit = LAZY_BOND
        for layer in self.program:
            if isinstance(layer, HadamardLayer):
                for wire in layer.wires:
                    a, b = sites[wire][:, :, 0], sites[wire][:, :, 1]
                    sites[wire] = np.stack([a + b, a - b], axis=2) * sqrt(0.5)
                continue
            single, fans = _sorted(layer, self.n_qubits)
            for wire, parts in single.items():
                sites[wire] = sites[wire] * _phases(_angle(parts, angles), wire >= 0)[:, None, :, None]
            for first, partners in fans.items():
                last = max(partners)
                if 2 * max(site.shape[3] for site in sites[first:last]) > limit:
                    error += self._compress(sites, n_samples)
                    limit = max(LAZY_BOND, 2 * max(site.shape[3] for site in sites))
                _apply_fan(sites, first, {j: _angle(parts, angles) for j, parts in partners.items()})
        error += self._compress(sites, n_samples)
        return MatrixProductStates(tuple(sites), error)

    def _compress(self, sites: list[np.ndarray], n_samples: int) -> np.ndarray:
        self.widest = max(self.widest, *(site.shape[3] for site in sites))
        discarded = compress(sites, n_samples, self.tolerance)
        bond = max(site.shape[3] for site in sites)
        if bond > self.max_bond:
            cut = next(k for k, site in enumerate(sites) if site.shape[3] == bond)
            bound = 2 ** max(_exponents(self.program, self.n_qubits))
            raise BondDimensionError(
                f"between qubits {cut} and {cut + 1} the states reach a bond dimension of {bond}, more than max_bond = "
                f"{self.max_bond}; the circuit may need up to {bound} ({self.n_qubits} qubits). Entangle neighbours "
                'only (entanglement="linear"), take fewer repetitions, a smaller bandwidth or a larger tolerance, or '
                "raise max_bond"
            )
        return np.sqrt(discarded)


def _program(gates: list[Gate], n_qubits: int) -> tuple[list[HadamardLayer | PhaseLayer], list[Angle]]:
    """Layers whose phases are of one or two qubits, and which rename no basis states."""
    program, angles = layers(gates, n_qubits)
    if all(_is_pairwise(layer, n_qubits) for layer in program):
        return program, angles
    return layers((part for gate in gates for part in _without_relabelling(gate)), n_qubits)


def _is_pairwise(layer: HadamardLayer | PhaseLayer, n_qubits: int) -> bool:
    if isinstance(layer, HadamardLayer):
        return True
    return not layer.is_relabelling(n_qubits) and all(mask.bit_count() <= 2 for mask in layer.terms)


def _without_relabelling(gate: Gate) -> Iterator[Gate]:
    """X and CX as Z and CZ between Hadamards, any other gate as it is."""
    if gate.name not in ("x", "cx"):
        yield gate
        return
    target = Gate("h", gate.wires[-1:])
    yield target
    if gate.name == "x":
        yield Gate("p", gate.wires, np.pi)
    else:
        yield Gate("cz", gate.wires)
    yield target


def _sorted(layer: PhaseLayer, n_qubits: int) -> tuple[dict[int, list[tuple[float, int]]], Fans]:
    """One-qubit phases by wire, and two-qubit ones by first wire and partner; a global phase is wire −1's."""
    single: dict[int, list[tuple[float, int]]] = {}
    fans: Fans = {}
    for mask, parts in layer.terms.items():
        wires = [n_qubits - 1 - bit for bit in range(n_qubits) if mask >> bit & 1][::-1]
        if len(wires) == 2:
            fans.setdefault(wires[0], {})[wires[1]] = parts
        else:
            single[wires[0] if wires else -1] = parts
    return single, dict(sorted(fans.items()))


def _exponents(program: list[HadamardLayer | PhaseLayer], n_qubits: int) -> list[int]:
    """Base-2 logarithm of the bond dimension that suffices at each cut."""
    found = []
    fans = [_sorted(layer, n_qubits)[1] for layer in program if isinstance(layer, PhaseLayer)]
    for cut in range(n_qubits - 1):
        total = 0
        for layer in fans:
            crossing = [(i, j) for i, partners in layer.items() for j in partners if i <= cut < j]
            total += min(len({i for i, _ in crossing}), len({j for _, j in crossing}))
        found.append(min(total, cut + 1, n_qubits - 1 - cut))
    return found or [0]


def _angle(parts: list[tuple[float, int]], angles: list[np.ndarray]) -> np.ndarray:
    return sum((c * angles[slot] for c, slot in parts), np.zeros(1))


def _phases(theta: np.ndarray, changes_sign: bool = True) -> np.ndarray:
    """e^{∓iθ/2} for a qubit in |0⟩ and in |1⟩, shape (·, 2)."""
    phase = np.exp(-0.5j * theta)
    return np.stack([phase, phase.conj() if changes_sign else phase], axis=1)


def _apply_fan(sites: list[np.ndarray], first: int, thetas: dict[int, np.ndarray]) -> None:
    """Multiply by exp(−½i Σ_j θ_j Z_first Z_j); the bond between carries the first qubit's value."""
    batch, left, _, right = sites[first].shape
    copied = np.zeros((batch, left, 2, right, 2), complex)
    for value in (0, 1):
        copied[:, :, value, :, value] = sites[first][:, :, value]
    sites[first] = copied.reshape(batch, left, 2, 2 * right)
    last = max(thetas)
    for wire in range(first + 1, last + 1):
        site = sites[wire]
        branches = [site, site]
        if wire in thetas:
            phases = _phases(thetas[wire])[:, None, :, None]
            branches = [site * phases, site * phases.conj()]
        batch, left, _, right = branches[0].shape
        if wire == last:
            sites[wire] = np.stack(branches, axis=2).reshape(batch, 2 * left, 2, right)
        else:
            carried = np.zeros((batch, left, 2, 2, right, 2), complex)
            for value in (0, 1):
                carried[:, :, value, :, :, value] = branches[value]
            sites[wire] = carried.reshape(batch, 2 * left, 2, 2 * right)


def _blocks(start: int, stop: int, width: int) -> Iterator[slice]:
    for first in range(start, stop, width):
        yield slice(first, min(first + width, stop))
