"""Circuits for PennyLane, whose wires are ordered as ours: wire 0 is the most significant bit."""

from __future__ import annotations

from collections.abc import Iterable

import pennylane as qml

from qperov_circuits.gate import Gate

OPERATIONS = {
    "h": qml.Hadamard,
    "x": qml.PauliX,
    "cx": qml.CNOT,
    "cz": qml.CZ,
    "rx": qml.RX,
    "ry": qml.RY,
    "rz": qml.RZ,
    "p": qml.PhaseShift,
    "rxx": qml.IsingXX,
    "ryy": qml.IsingYY,
    "rzz": qml.IsingZZ,
}


def to_pennylane(gates: Iterable[Gate]) -> list[qml.operation.Operation]:
    """PennyLane operations equal to the gates, in their order; called inside a QNode it also queues them.

    Parameters
    ----------
    gates : iterable of Gate
        Angles are floats, tensors of any interface that PennyLane knows, or arrays (PennyLane's parameter
        broadcasting).
    """
    return [
        OPERATIONS[gate.name](wires=gate.wires)
        if gate.angle is None
        else OPERATIONS[gate.name](gate.angle, wires=gate.wires)
        for gate in gates
    ]
