"""A Qiskit circuit with parameters as a feature map: the inverse of `to_qiskit`, bit order included.

Qubit q becomes wire n−1−q, so that amplitudes, unitaries and printed bit strings read the same on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isclose, isfinite

from qiskit import QuantumCircuit, transpile
from qiskit.circuit import CircuitError, ControlFlowOp, Parameter, ParameterExpression

from qperov_circuits.adapters.angle_expression import evaluate, names
from qperov_circuits.gate import FIXED_GATES, ROTATION_GATES, Angle, Gate

OUR_GATES = [*FIXED_GATES, *ROTATION_GATES]


@dataclass(frozen=True)
class QiskitFeatureMap:
    """A feature map that was read from a Qiskit circuit; it can be pickled, compared and hashed.

    Parameters
    ----------
    n_features : int
        Number of parameters of the circuit.
    n_qubits : int
        Number of qubits of the circuit.
    steps : tuple of (name, wires, angle)
        The gates; an angle is None, a number, or a formula of x0, x1, … as text.
    """

    n_features: int
    n_qubits: int
    steps: tuple[tuple[str, tuple[int, ...], float | str | None], ...] = field(repr=False)

    def __call__(self, x: Sequence[Angle]) -> list[Gate]:
        """Gates of the circuit with its parameters bound.

        Parameters
        ----------
        x : sequence of n_features angles
            Radians; each a number, an array of one angle per sample, or a tensor.

        Raises
        ------
        ValueError
            A wrong number of features, or a type of features that a formula in the circuit cannot be computed for.
        """
        if len(x) != self.n_features:
            raise ValueError(f"the circuit has {self.n_features} parameters, got {len(x)} features")
        features = {_name(index): feature for index, feature in enumerate(x)}
        computed: dict[str, Angle] = {}
        gates = []
        for name, wires, angle in self.steps:
            if isinstance(angle, str):
                if angle not in computed:
                    computed[angle] = evaluate(angle, features)
                gates.append(Gate(name, wires, computed[angle]))
            else:
                gates.append(Gate(name, wires, angle))
        return gates


def from_qiskit(circuit: QuantumCircuit) -> QiskitFeatureMap:
    """A function from features to gates that prepares the same states as a Qiskit circuit, global phase included.

    Parameters
    ----------
    circuit : QuantumCircuit
        Its parameters are the features, in the order of ``circuit.parameters`` (by name, elements of a
        ``ParameterVector`` by index). It is translated to our gates once, here, without any optimisation; gates that
        are ours already stay as they are.

    Returns
    -------
    QiskitFeatureMap
        Callable: n_features angles in, list of gates out. Angles with sums, products and whole powers of parameters can
        be computed for every type of angle, those with other functions for numbers, arrays and tensors.

    Raises
    ------
    ValueError
        The circuit is not unitary (measurements, resets, classical control), has no qubit, or an angle is no formula
        that can be computed.
    """
    if not circuit.num_qubits:
        raise ValueError("the circuit has no qubits")
    _check_unitary(circuit)
    parameters = list(circuit.parameters)
    renamed = circuit.assign_parameters({old: Parameter(_name(index)) for index, old in enumerate(parameters)})
    translated = renamed
    if not all(instruction.operation.name in ("barrier", *OUR_GATES) for instruction in renamed.data):
        translated = transpile(renamed, basis_gates=OUR_GATES, optimization_level=0)
        _check_unitary(translated)
    steps: list[tuple[str, tuple[int, ...], float | str | None]] = []
    for instruction in translated.data:
        operation = instruction.operation
        if operation.name == "barrier":
            continue
        if operation.name not in OUR_GATES:
            raise ValueError(f"Qiskit's gate {operation.name!r} could not be translated")
        qubits = (translated.find_bit(qubit).index for qubit in instruction.qubits)
        wires = tuple(circuit.num_qubits - 1 - qubit for qubit in qubits)
        steps.append((operation.name, wires, _angle(operation.params[0]) if operation.params else None))
    steps += _global_phase(translated.global_phase)
    return QiskitFeatureMap(len(parameters), circuit.num_qubits, tuple(steps))


def _name(index: int) -> str:
    return f"x{index}"


def _check_unitary(circuit: QuantumCircuit) -> None:
    for instruction in circuit.data:
        operation = instruction.operation
        if instruction.clbits or isinstance(operation, ControlFlowOp) or operation.name in ("reset", "initialize"):
            raise ValueError(
                f"the circuit contains {operation.name!r}: a feature map is unitary, without measurements, resets and "
                "classical control (circuit.remove_final_measurements(inplace=False) drops measurements at its end)"
            )


def _angle(angle: float | ParameterExpression) -> float | str:
    if not isinstance(angle, ParameterExpression):
        return float(angle)
    if not angle.parameters:
        return float(angle.numeric())
    formula = str(angle)
    names(formula)
    if not _reads_right(formula, angle):
        raise ValueError(f"the angle {formula} is ambiguous as Qiskit writes it: avoid minus signs after / and **")
    return formula


def _reads_right(formula: str, angle: ParameterExpression) -> bool:
    """Whether a formula has the values of the expression that it was made from.

    Qiskit's text leaves out brackets that matter in a few places: a/(-b*b) is written a/-b*b.
    """
    compared = 0
    for scale in (1.0, -1.0, 7.0):
        values = {symbol: scale * (0.5 + 0.618 * k) / (1 + k) for k, symbol in enumerate(angle.parameters)}
        try:
            theirs = complex(angle.bind(values).numeric())
            ours = evaluate(formula, {symbol.name: value for symbol, value in values.items()})
        except (ArithmeticError, RuntimeError, ValueError, CircuitError):  # outside the domain of one of its functions
            continue
        if isfinite(theirs.real) and theirs.imag == 0:
            compared += 1
            if not isclose(ours, theirs.real, rel_tol=1e-6, abs_tol=1e-9):
                return False
    return compared > 0


def _global_phase(phase: float | ParameterExpression) -> list[tuple[str, tuple[int, ...], float | str | None]]:
    """Two gates on wire 0 whose product is e^{iφ}: P(2φ) and Rz(−2φ)."""
    if not isinstance(phase, ParameterExpression) and phase == 0:
        return []
    return [("p", (0,), _angle(2 * phase)), ("rz", (0,), _angle(-2 * phase))]
