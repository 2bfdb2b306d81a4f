"""What a backend's calibration says of a compiled circuit: how much of each measured value its errors leave.

Observables are carried back through the circuit as Pauli strings. Where a gate turns a string into a sum, one of the
terms is drawn by its squared coefficient; each error, taken as a random Pauli error, shrinks the strings that act where
it strikes. Idle qubits decay with the T1 and T2 of the calibration, gates are as late as they can be.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.providers import BackendV2

#: Strings that are carried back for the all-zero outcome, and for ⟨Z⟩ of each qubit, in each circuit.
ZERO_STRINGS, WIRE_STRINGS = 256, 4

#: Rows of bindings whose circuits are looked at.
CIRCUITS = 3

#: I, X, Y, Z.
PAULIS = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])


@dataclass(frozen=True)
class Prediction:
    """Shares of ideal values that a backend's errors leave, by its calibration.

    Attributes
    ----------
    survival : float
        p of K → pK + (1 − p)/2ⁿ for fidelities, with the readout corrected.
    gates, idle : float
        What p would be with the errors of gates alone, and the factor of idle qubits.
    contrast : tuple of float
        Share of ⟨Z⟩ of each wire that is left, with the readout corrected.
    misread : tuple of float
        Chance that each wire is read wrongly, mean of both outcomes.
    seconds : float
        Duration of one execution of the circuit, as far as the calibration tells.
    """

    survival: float
    gates: float
    idle: float
    contrast: tuple[float, ...]
    misread: tuple[float, ...]
    seconds: float


def predict(
    circuit: QuantumCircuit, qubits: tuple[int, ...], bindings: np.ndarray, backend: BackendV2, random_state: int = 0
) -> Prediction:
    """Predict what the errors of a backend leave of the values of a plan.

    Parameters
    ----------
    circuit : QuantumCircuit
        Compiled, measured at its end.
    qubits : tuple of int
        Physical qubits, wire 0 first.
    bindings : ndarray of shape (n_bindings, n_parameters)
    backend : BackendV2
    random_state : int
        Draws circuits and Pauli strings.
    """
    rng = np.random.default_rng(random_state)
    n = len(qubits)
    rows = np.sort(rng.permutation(len(bindings))[:CIRCUITS])
    some = rng.integers(0, 2, size=(ZERO_STRINGS, n), dtype=np.int8)
    each = np.repeat(np.eye(n, dtype=np.int8), WIRE_STRINGS, axis=0)
    gates, idle, seconds = [], [], 0.0
    for row in rows:
        strings = np.zeros((len(some) + len(each), circuit.num_qubits), np.int8)
        strings[:, list(qubits)] = 3 * np.concatenate([some, each])
        losses = _carried_back(circuit.assign_parameters(bindings[row]), strings, backend, rng)
        gates.append(np.exp(-losses[0]))
        idle.append(np.exp(-losses[0] - losses[1]))
        seconds = losses[2]
    by_gates, with_idle = np.mean(gates, axis=0), np.mean(idle, axis=0)
    survivals = [_survival(values[: len(some)].mean(), n) for values in (by_gates, with_idle)]
    return Prediction(
        survivals[1],
        survivals[0],
        survivals[1] / survivals[0] if survivals[0] else 1.0,
        tuple(with_idle[len(some) :].reshape(n, -1).mean(axis=1).tolist()),
        tuple(_error(backend, "measure", (qubit,)) for qubit in qubits),
        seconds,
    )


def _survival(zero: float, n_qubits: int) -> float:
    """p of the depolarising model, from the chance that a circuit that should end in 0…0 does."""
    floor = 2.0**-n_qubits
    return float(np.clip((zero - floor) / (1 - floor), 0, 1))


def _carried_back(
    circuit: QuantumCircuit, strings: np.ndarray, backend: BackendV2, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, float]:
    """What strings lose to gates and to idle qubits, as −log of a factor, and the circuit's duration."""
    times = _relaxation(backend, circuit.num_qubits)
    by_gates, by_idle = np.zeros(len(strings)), np.zeros(len(strings))
    ends = np.full(circuit.num_qubits, np.nan)  # seconds from the end back to what a qubit does next
    for step in reversed(circuit.data):
        name = step.operation.name
        where = [circuit.find_bit(qubit).index for qubit in step.qubits]
        used = np.array(where)
        if name == "measure":
            ends[used] = 0.0  # all are measured at once
            continue
        start = np.nanmax(ends[used], initial=0.0)
        for qubit in where:
            if ends[qubit] < start:
                by_idle += (start - ends[qubit]) * times[qubit][strings[:, qubit]]
            if name == "barrier" and np.isnan(ends[qubit]):
                continue
            ends[qubit] = start
        if name in ("barrier", "delay"):
            continue
        ends[used] = start + _duration(backend, name, tuple(where))
        error = _error(backend, name, tuple(where))
        size = 2 ** len(where)
        struck = np.flatnonzero(strings[:, used].any(axis=1))
        # an average infidelity e is that of a depolarising error of strength e·d/(d − 1)
        by_gates[struck] -= np.log(max(1e-12, 1 - error * size / (size - 1)))
        parameters = tuple(round(float(value), 9) for value in step.operation.params)
        place = strings[np.ix_(struck, used)] @ 4 ** np.arange(len(where))
        chances = _pauli_chances(step.operation, name, parameters)[place]
        drawn = (rng.random(len(struck))[:, None] > chances).sum(axis=1).clip(max=4 ** len(where) - 1)
        for number, qubit in enumerate(where):
            strings[struck, qubit] = drawn >> 2 * number & 3
    return by_gates, by_idle, float(np.nanmax(ends, initial=0.0))


def _pauli_chances(operation: Any, name: str, parameters: tuple[float, ...]) -> np.ndarray:
    """Of each Pauli string behind a gate the chances of those before it, summed up, shape (4ᵏ, 4ᵏ)."""
    known = _CHANCES.get((name, parameters))
    if known is None:
        from qiskit.quantum_info import Operator

        if len(_CHANCES) > 4096:
            _CHANCES.clear()
        matrix = Operator(operation).data
        basis = _strings(operation.num_qubits)
        turned = matrix.conj().T @ basis @ matrix
        coefficients = np.einsum("iab,jba->ij", turned, basis).real / len(matrix)
        known = _CHANCES[name, parameters] = np.cumsum(coefficients**2, axis=1)
    return known


_CHANCES: dict[tuple[str, tuple[float, ...]], np.ndarray] = {}


@lru_cache(maxsize=4)
def _strings(n_qubits: int) -> np.ndarray:
    """All Pauli strings; the first qubit has the least significant digit, as in Qiskit's matrices."""
    found = []
    for digits in product(range(4), repeat=n_qubits):
        matrix = np.ones((1, 1))
        for digit in digits:
            matrix = np.kron(matrix, PAULIS[digit])
        found.append(matrix)
    return np.array(found)


def _relaxation(backend: BackendV2, n_qubits: int) -> np.ndarray:
    """Rates of decay of I, X, Y and Z of each qubit, 1/s; 0 where they are not known."""
    rates = np.zeros((n_qubits, 4))
    for qubit, known in enumerate((backend.target.qubit_properties or [])[:n_qubits]):
        for letters, time in (([1, 2], getattr(known, "t2", None)), ([3], getattr(known, "t1", None))):
            if time:
                rates[qubit, letters] = 1 / time
    return rates


def _error(backend: BackendV2, name: str, qubits: tuple[int, ...]) -> float:
    value = getattr(_properties(backend, name, qubits), "error", None)
    return 0.0 if value is None else min(float(value), 1.0)


def _duration(backend: BackendV2, name: str, qubits: tuple[int, ...]) -> float:
    return float(getattr(_properties(backend, name, qubits), "duration", None) or 0.0)


def _properties(backend: BackendV2, name: str, qubits: tuple[int, ...]) -> Any:
    return (backend.target[name] or {}).get(qubits) if name in backend.target else None
