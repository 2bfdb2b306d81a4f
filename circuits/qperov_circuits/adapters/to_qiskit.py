"""Circuits for Qiskit: the one place where bit order is reversed.

Wire 0 is our most significant bit, qubit 0 is Qiskit's least significant one; so wire w becomes qubit n−1−w.
Amplitudes, unitaries and printed bit strings then read the same on both sides.
"""

from __future__ import annotations

from collections.abc import Iterable

from qiskit import QuantumCircuit

from qperov_circuits.gate import Gate, n_wires


def to_qiskit(gates: Iterable[Gate], n_qubits: int | None = None) -> QuantumCircuit:
    """A Qiskit circuit whose matrix equals that of the gates, without any reordering of amplitudes.

    Parameters
    ----------
    gates : iterable of Gate
        Angles are floats or Qiskit parameter expressions; the circuit is then parameterised by the symbols in them.
    n_qubits : int or None
        Number of qubits; None for as many as the gates touch.

    Raises
    ------
    ValueError
        A gate acts outside the qubits.
    """
    gates = list(gates)
    touched = n_wires(gates)
    if n_qubits is None:
        n_qubits = touched
    if touched > n_qubits:
        raise ValueError(f"the gates act on {touched} wires, the circuit has {n_qubits}")
    circuit = QuantumCircuit(n_qubits)
    for gate in gates:
        qubits = [n_qubits - 1 - wire for wire in gate.wires]
        apply = getattr(circuit, gate.name)
        if gate.angle is None:
            apply(*qubits)
        else:
            apply(gate.angle, *qubits)
    return circuit
