"""Outcomes of runs, counted, and the numbers read from them, with or without correction of misread qubits."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Counts:
    """How often each outcome came, for each row of bindings.

    Attributes
    ----------
    n_qubits : int
    starts : ndarray of shape (n_bindings + 1,)
        The outcomes of row i are those from ``starts[i]`` to ``starts[i + 1]``.
    bits : ndarray of bool, shape (n_outcomes, n_qubits)
        Wire 0 first.
    counts : ndarray of shape (n_outcomes,)
    """

    n_qubits: int
    starts: np.ndarray
    bits: np.ndarray
    counts: np.ndarray

    @staticmethod
    def from_shots(outcomes: np.ndarray, n_qubits: int) -> Counts:
        """Count what Qiskit's ``BitArray.array`` holds: shape (n_bindings, shots, n_bytes), most significant first."""
        outcomes = np.ascontiguousarray(outcomes, dtype=np.uint8)
        if outcomes.ndim != 3 or outcomes.shape[2] != -(-n_qubits // 8):
            raise ValueError(f"outcomes of {n_qubits} qubits cannot be of shape {outcomes.shape}")
        found, numbers, starts = [], [], [0]
        for shots in outcomes:
            unique, count = np.unique(shots.view(f"V{shots.shape[1]}")[:, 0], return_counts=True)
            found.append(unique.view(np.uint8).reshape(len(unique), -1))
            numbers.append(count)
            starts.append(starts[-1] + len(unique))
        bits = np.unpackbits(np.concatenate(found), axis=1)[:, -n_qubits:].astype(bool)
        return Counts(n_qubits, np.array(starts), bits, np.concatenate(numbers).astype(np.int64))

    def to_bytes(self) -> bytes:
        """For a database; `from_bytes` reads it."""
        stream = io.BytesIO()
        np.savez_compressed(
            stream,
            n_qubits=self.n_qubits,
            starts=self.starts.astype(np.uint32),
            bits=np.packbits(self.bits, axis=1),
            counts=self.counts.astype(np.uint32),
        )
        return stream.getvalue()

    @staticmethod
    def from_bytes(data: bytes) -> Counts:
        """What `to_bytes` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            n_qubits = int(found["n_qubits"])
            bits = np.unpackbits(found["bits"], axis=1)[:, :n_qubits].astype(bool)
            return Counts(n_qubits, found["starts"].astype(np.int64), bits, found["counts"].astype(np.int64))

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Mean over the shots of each row of a quantity given for each outcome, shape (n_bindings, …)."""
        weights = self.counts.reshape(-1, *[1] * (values.ndim - 1))
        sums = np.add.reduceat(weights * values, self.starts[:-1], axis=0)
        return sums / self.shots.reshape(-1, *[1] * (values.ndim - 1))

    def standard_error(self, values: np.ndarray) -> np.ndarray:
        """Standard error of `mean`; as if one shot at least had come out otherwise, so that it is never 0."""
        shots = self.shots.reshape(-1, *[1] * (values.ndim - 1))
        variance = self.mean(values**2) - self.mean(values) ** 2
        return np.sqrt(np.maximum(variance, 1 / shots) / shots)

    @property
    def shots(self) -> np.ndarray:
        """Shots of each row of bindings."""
        return np.add.reduceat(self.counts, self.starts[:-1])


@dataclass(frozen=True)
class Misreading:
    """Chances that each qubit is misread, each on its own; errors of several qubits together are not known to it.

    Attributes
    ----------
    one_for_zero, zero_for_one : ndarray of shape (n_qubits,)
        P(read 1 | 0) and P(read 0 | 1), wire 0 first.
    """

    one_for_zero: np.ndarray
    zero_for_one: np.ndarray

    @staticmethod
    def from_calibration(counts: Counts) -> Misreading:
        """From two rows of outcomes: of the all-zero state, and of the all-one state.

        Raises
        ------
        ValueError
            A qubit that reads no better than a coin.
        """
        ones = counts.mean(counts.bits.astype(float))
        found = Misreading(ones[0], 1 - ones[1])
        blind = np.flatnonzero(found.contrast <= 0)
        if len(blind):
            raise ValueError(f"the readout of wire {blind[0]} tells nothing: its zeros and ones cannot be told apart")
        return found

    @property
    def contrast(self) -> np.ndarray:
        """1 − P(1|0) − P(0|1) of each qubit, 1 for a perfect one."""
        return 1 - self.one_for_zero - self.zero_for_one

    def at(self, wires: slice) -> Misreading:
        """Of some wires."""
        return Misreading(self.one_for_zero[wires], self.zero_for_one[wires])

    def zero_weights(self, bits: np.ndarray) -> np.ndarray:
        """What each outcome adds to the chance that all wires are 0, shape (n_outcomes,)."""
        b = self.zero_for_one
        return np.where(bits, -b / self.contrast, (1 - b) / self.contrast).prod(axis=1)

    def z_weights(self, bits: np.ndarray) -> np.ndarray:
        """What each outcome adds to ⟨Z⟩ of each wire, shape (n_outcomes, n_wires)."""
        return (1.0 - 2.0 * bits + self.one_for_zero - self.zero_for_one) / self.contrast


class Correction(Protocol):
    """What undoes misreading: `Misreading`, or `qperov.hardware.jobs.neighbours.NeighbourMisreading`."""

    @property
    def one_for_zero(self) -> np.ndarray:
        """P(read 1 | 0) of each wire."""

    @property
    def zero_for_one(self) -> np.ndarray:
        """P(read 0 | 1) of each wire."""

    def at(self, wires: slice) -> Correction:
        """Of some wires."""

    def zero_weights(self, bits: np.ndarray) -> np.ndarray:
        """What each outcome adds to the chance that all wires are 0, shape (n_outcomes,)."""

    def z_weights(self, bits: np.ndarray) -> np.ndarray:
        """What each outcome adds to ⟨Z⟩ of each wire, shape (n_outcomes, n_wires)."""


def zero_probability(counts: Counts, wires: slice = slice(None), misreading: Correction | None = None) -> np.ndarray:
    """Chance that some wires are all 0, shape (n_bindings,).

    Corrected, it is Σ_s p(s) Π_q (A_q⁻¹)[0, s_q] with the matrices A_q = [[1−a, b], [a, 1−b]] of each qubit,
    a = P(1|0), b = P(0|1): the inverse of all misreading, of which only one row is needed; clipped to [0, 1].

    Source: S. Bravyi et al., Phys. Rev. A 103, 042605 (2021), doi:10.1103/PhysRevA.103.042605, the tensored model.
    """
    return np.clip(counts.mean(zero_weights(counts, wires, misreading)), 0, 1)


def zero_weights(counts: Counts, wires: slice = slice(None), misreading: Correction | None = None) -> np.ndarray:
    """What each outcome adds to `zero_probability`, shape (n_outcomes,)."""
    bits = counts.bits[:, wires]
    return (~bits).all(axis=1).astype(float) if misreading is None else misreading.at(wires).zero_weights(bits)


def z_expectations(counts: Counts, wires: slice = slice(None), misreading: Correction | None = None) -> np.ndarray:
    """⟨Z⟩ of some wires, shape (n_bindings, n_wires); corrected (⟨Z⟩ + a − b) / (1 − a − b), clipped to [−1, 1]."""
    return np.clip(counts.mean(z_weights(counts, wires, misreading)), -1, 1)


def z_weights(counts: Counts, wires: slice = slice(None), misreading: Correction | None = None) -> np.ndarray:
    """What each outcome adds to `z_expectations`, shape (n_outcomes, n_wires)."""
    bits = counts.bits[:, wires]
    return 1.0 - 2.0 * bits if misreading is None else misreading.at(wires).z_weights(bits)
