"""Circuits as OpenQASM 3 text (openqasm.com/versions/3.0).

``q[w]`` is wire w. Gates that ``stdgates.inc`` lacks are defined in the header, but only those that are used.
"""

from __future__ import annotations

from collections.abc import Iterable

from qperov_circuits.gate import Gate, n_wires

DEFINITIONS = {
    "rxx": "gate rxx(theta) a, b { h a; h b; cx a, b; rz(theta) b; cx a, b; h a; h b; }",
    "ryy": "gate ryy(theta) a, b { rx(pi/2) a; rx(pi/2) b; cx a, b; rz(theta) b; cx a, b; rx(-pi/2) a; rx(-pi/2) b; }",
    "rzz": "gate rzz(theta) a, b { cx a, b; rz(theta) b; cx a, b; }",
}


def to_qasm(gates: Iterable[Gate], n_qubits: int | None = None) -> str:
    """OpenQASM 3 program of a circuit.

    Parameters
    ----------
    gates : iterable of Gate
        Angles are numbers; they are printed with all digits, so that reading gives the same float back.
    n_qubits : int or None
        Number of qubits; None for as many as the gates touch.

    Raises
    ------
    ValueError
        A gate acts outside the qubits, or there is no qubit at all.
    TypeError
        An angle is not one number.
    """
    gates = list(gates)
    touched = n_wires(gates)
    if n_qubits is None:
        n_qubits = touched
    if touched > n_qubits or n_qubits < 1:
        raise ValueError(f"the gates act on {touched} wires, the program has {n_qubits} qubits")
    used = {gate.name for gate in gates}
    lines = ["OPENQASM 3.0;", 'include "stdgates.inc";']
    lines += [definition for name, definition in DEFINITIONS.items() if name in used]
    lines.append(f"qubit[{n_qubits}] q;")
    for gate in gates:
        angle = "" if gate.angle is None else f"({float(gate.angle)!r})"
        lines.append(f"{gate.name}{angle} {', '.join(f'q[{wire}]' for wire in gate.wires)};")
    return "\n".join(lines) + "\n"
