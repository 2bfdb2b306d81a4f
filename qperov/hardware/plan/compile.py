"""A measurement turned into a circuit that a backend can run, with what is known about its errors."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import product
from math import pi
from typing import TYPE_CHECKING, Any

import numpy as np

from qperov.errors import HardwareError
from qperov.hardware.plan.measurement import REGISTER, Measurement
from qperov.hardware.plan.options import Options

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.providers import BackendV2


@dataclass(frozen=True)
class CompiledCircuit:
    """A circuit in a backend's own gates.

    Attributes
    ----------
    circuit : QuantumCircuit
    order : tuple of str
        Names of its parameters, in the order in which bindings are given.
    qubits : tuple of int
        The physical qubits that are measured, wire 0 first.
    depth, two_qubit_gates : int
    expected_fidelity : float
        Π (1 − e) over all gates and measurements, by the backend's error rates; idle errors are not in it.
    """

    circuit: QuantumCircuit
    order: tuple[str, ...]
    qubits: tuple[int, ...]
    depth: int
    two_qubit_gates: int
    expected_fidelity: float

    def digest(self) -> str:
        """A hash of gates, qubits and angles, the same in every process."""
        return digest(self.circuit)


def compile_measurement(measurement: Measurement, backend: BackendV2, options: Options) -> CompiledCircuit:
    """The circuit of a measurement for a backend: of several seeds the one with the highest expected fidelity.

    Raises
    ------
    HardwareError
        The backend has too few qubits, or the circuit came back with parameters that nobody gave.
    """
    from qiskit import transpile
    from qiskit.exceptions import QiskitError

    if backend.num_qubits is not None and backend.num_qubits < measurement.n_qubits:
        raise HardwareError(
            f"{backend.name} has {backend.num_qubits} qubits, the circuit needs {measurement.n_qubits}: "
            "use fewer features, n_qubits to write them in several rounds, or another backend"
        )
    layout = None if options.layout is None else list(reversed(options.layout))
    found = []
    for trial in range(1 if layout else options.layout_trials):
        try:
            circuit = transpile(
                measurement.circuit,
                backend,
                optimization_level=options.optimization_level,
                seed_transpiler=options.transpiler_seed + trial,
                initial_layout=layout,
            )
        except QiskitError as error:
            raise HardwareError(f"the circuit cannot be compiled for {backend.name}: {error}") from None
        # a global phase changes no outcome, and is slow to send where it depends on parameters
        circuit.global_phase = 0
        found.append(_describe(circuit, backend))
    best = max(found, key=lambda trial: (trial.expected_fidelity, -trial.two_qubit_gates, -trial.depth))
    _check_order(best, measurement.names)
    return best


def ordered_bindings(measurement: Measurement, order: Sequence[str]) -> np.ndarray:
    """Bindings with the columns that a compiled circuit asks for, in its order.

    A parameter that the compiler found to have no effect is left out.
    """
    return measurement.bindings[:, [measurement.names.index(name) for name in order]]


def check_fractional_gates(circuit: QuantumCircuit, bindings: np.ndarray) -> None:
    """Raise HardwareError for Rzz of an angle that IBM's machines do not take: they take those from 0 to π/2."""
    steps = [step.operation.params[0] for step in circuit.data if step.operation.name == "rzz"]
    for number, row in enumerate(bindings):
        values = dict(zip(circuit.parameters, row, strict=True))
        for angle in steps:
            value = float(angle.bind({p: values[p] for p in angle.parameters}) if hasattr(angle, "bind") else angle)
            if not -1e-9 <= value <= pi / 2 + 1e-9:
                raise HardwareError(
                    f"the machine's Rzz takes angles from 0 to π/2, row {number} has {value:.3f}: leave out fractional "
                    "gates, or take another bandwidth"
                )


def readout_circuit(main: CompiledCircuit, backend: BackendV2, neighbours: bool = False) -> QuantumCircuit:
    """The same qubits, each turned by an angle and measured: 0 shows misread zeros, π misread ones.

    One angle for all, or with ``neighbours`` three, for every third wire each.
    """
    from qiskit import ClassicalRegister, QuantumCircuit, transpile
    from qiskit.circuit import Parameter

    register = ClassicalRegister(len(main.qubits), REGISTER)
    circuit = QuantumCircuit(main.circuit.num_qubits)
    circuit.add_register(register)
    angles = [Parameter(f"flip_{place}") for place in range(3)] if neighbours else [Parameter("flip")]
    for bit, qubit in enumerate(reversed(main.qubits)):
        circuit.rx(angles[(len(main.qubits) - 1 - bit) % len(angles)], qubit)
        circuit.measure(qubit, register[bit])
    return transpile(
        circuit, backend, optimization_level=1, initial_layout=list(range(circuit.num_qubits)), seed_transpiler=0
    )


def readout_bindings(options: Options) -> np.ndarray:
    """Angles of `readout_circuit`: every qubit in 0, then every qubit in 1; with neighbours in all ways three can be.

    So what a wire does beside one neighbour is not taken for what it does beside the other.
    """
    if options.readout_mitigation == "neighbours":
        return pi * np.array(list(product((0.0, 1.0), repeat=3)))
    return np.array([[0.0], [pi]])


def digest(circuit: QuantumCircuit) -> str:
    """A hash of gates, qubits and angles of a circuit, the same in every process."""
    return blake2b(repr(list(_lines(circuit))).encode(), digest_size=16).hexdigest()


def to_text(circuit: QuantumCircuit) -> str:
    """A circuit as text: QPY, which runs no code when it is read, in base 64."""
    from qiskit import qpy

    stream = io.BytesIO()
    qpy.dump(circuit, stream)
    return base64.b64encode(stream.getvalue()).decode()


def from_text(text: str) -> QuantumCircuit:
    """What `to_text` wrote."""
    from qiskit import qpy

    return qpy.load(io.BytesIO(base64.b64decode(text)))[0]


def _describe(circuit: QuantumCircuit, backend: BackendV2) -> CompiledCircuit:
    measured = {}
    survival = 1.0
    for instruction in circuit.data:
        qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        survival *= 1 - _error_rate(backend, instruction.operation.name, qubits)
        if instruction.operation.name == "measure":
            measured[circuit.find_bit(instruction.clbits[0]).index] = qubits[0]
    return CompiledCircuit(
        circuit,
        tuple(parameter.name for parameter in circuit.parameters),
        tuple(measured[bit] for bit in sorted(measured, reverse=True)),
        circuit.depth(),
        circuit.num_nonlocal_gates(),
        survival,
    )


def _error_rate(backend: BackendV2, name: str, qubits: tuple[int, ...]) -> float:
    if name not in backend.target:
        return 0.0
    properties = (backend.target[name] or {}).get(qubits)
    error = getattr(properties, "error", None)
    return 0.0 if error is None else min(float(error), 1.0)


def _check_order(circuit: CompiledCircuit, names: Sequence[str]) -> None:
    """Bindings follow ``circuit.parameters``: every name must be one of ours, and there only once."""
    unknown = set(circuit.order) - set(names)
    if unknown or len(set(circuit.order)) != len(circuit.order):
        raise HardwareError(f"the compiled circuit asks for parameters that were not given: {sorted(unknown)}")


def _lines(circuit: QuantumCircuit) -> Any:
    for instruction in circuit.data:
        operation = instruction.operation
        yield (
            operation.name,
            [_canonical(value) for value in operation.params],
            [circuit.find_bit(bit).index for bit in instruction.qubits],
            [circuit.find_bit(bit).index for bit in instruction.clbits],
        )


def _canonical(value: Any) -> str:
    return repr(float(value)) if isinstance(value, int | float) else str(value)
