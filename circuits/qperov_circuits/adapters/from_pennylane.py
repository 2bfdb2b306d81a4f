"""A PennyLane quantum function or QNode as a feature map; its wires are ordered as ours."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pennylane as qml
from pennylane.exceptions import DecompositionUndefinedError

from qperov_circuits.adapters.to_pennylane import OPERATIONS
from qperov_circuits.gate import Angle, Gate

GATES = {operation.__name__: name for name, operation in OPERATIONS.items()}


@dataclass(frozen=True)
class PennyLaneFeatureMap:
    """A feature map that asks a PennyLane circuit for its gates; it can be pickled if the circuit can.

    Parameters
    ----------
    circuit : QNode or callable
        It is called with one sample, an array or tensor of shape (n_features,); measurements that it returns are left
        out.
    n_features : int
        Number of features.
    """

    circuit: Callable[..., Any]
    n_features: int

    def __call__(self, x: Sequence[Angle]) -> list[Gate]:
        """Gates of the circuit, whose angles are arrays of one angle per sample where they differ.

        Parameters
        ----------
        x : sequence of n_features angles
            Radians; each a number, or an array or a tensor of shape (n_samples,).

        Raises
        ------
        ValueError
            A wrong number or a wrong type of features; a circuit that is not unitary, has gates that cannot be
            translated, or has other gates for one sample than for another.
        """
        if len(x) != self.n_features:
            raise ValueError(f"the feature map takes {self.n_features} features, got {len(x)}")
        samples, batched = _samples(x)
        tapes = [self._tape(sample) for sample in samples]
        order = _wire_order(self.circuit, tapes[0])
        structure, first_angles, first_phase = _read(tapes[0], order)
        angles, phases = [first_angles], [first_phase]
        for tape in tapes[1:]:
            other, more_angles, phase = _read(tape, order)
            if other != structure:
                raise ValueError(
                    "the PennyLane circuit has other gates for one sample than for another; "
                    "features may only change the angles of its gates"
                )
            angles.append(more_angles)
            phases.append(phase)
        join = _Join(batched)
        columns = zip(*angles, strict=True)
        gates = [Gate(name, wires, join(next(columns)) if rotates else None) for name, wires, rotates in structure]
        if any(not isinstance(phase, int) for phase in phases):  # e^{iφ} = P(2φ)·Rz(−2φ)
            gates += [
                Gate("p", (0,), join([2 * phase for phase in phases])),
                Gate("rz", (0,), join([-2 * phase for phase in phases])),
            ]
        return gates

    def _tape(self, sample: Any) -> qml.tape.QuantumScript:
        if isinstance(self.circuit, qml.QNode):
            tape = qml.workflow.construct_tape(self.circuit)(sample)
        else:
            tape = qml.tape.make_qscript(self.circuit)(sample)
        for operation in tape.operations:
            if isinstance(operation, qml.ops.MidMeasure | qml.ops.Conditional | qml.operation.Channel):
                raise ValueError(f"the circuit contains {operation.name}: a feature map is unitary")
        try:
            with warnings.catch_warnings():  # of gates that stay as they are, which `_read` refuses
                warnings.simplefilter("ignore", UserWarning)
                [translated], _ = qml.transforms.decompose(
                    tape, gate_set={*GATES, "GlobalPhase", "Identity"}, stopping_condition=_is_rzz
                )
        except DecompositionUndefinedError as error:
            raise ValueError(f"the PennyLane circuit could not be translated: {error}") from error
        return translated


def from_pennylane(circuit: Callable[..., Any], n_features: int) -> PennyLaneFeatureMap:
    """A function from features to gates that prepares the same states as a PennyLane circuit, global phase included.

    The circuit is run once for each sample, and translated to our gates. Wire 0 is the first wire of the QNode's
    device; for a device without wires, or a function, wires 0…n−1 keep their numbers and others come in the order in
    which the circuit meets them, as PennyLane itself has it.

    Parameters
    ----------
    circuit : QNode or quantum function
        Takes one sample, shape (n_features,); its gates must be the same for all samples, only their angles differ.
    n_features : int
        Number of features.

    Returns
    -------
    PennyLaneFeatureMap
        Callable: n_features angles in, list of gates out.

    Raises
    ------
    ValueError
        ``n_features`` is not positive, or the circuit is not callable.
    """
    if n_features < 1:
        raise ValueError(f"n_features must be at least 1, got {n_features}")
    if not callable(circuit):
        raise ValueError(f"the circuit must be a QNode or a function, got {type(circuit).__name__}")
    return PennyLaneFeatureMap(circuit, n_features)


class _Join:
    """Joins one gate's angles over the samples; angles that are equal become the same object."""

    def __init__(self, batched: bool) -> None:
        self.batched = batched
        self.known: dict[tuple[float, ...], Angle] = {}

    def __call__(self, values: Sequence[Angle]) -> Angle:
        if any(qml.math.requires_grad(value) for value in values):
            return qml.math.stack(values) if self.batched else values[0]
        key = tuple(float(value) for value in values)
        if key not in self.known:
            differ = any(value != key[0] for value in key)
            like = qml.math.get_interface(*values)
            self.known[key] = qml.math.array(key, like=like) if self.batched and differ else values[0]
        return self.known[key]


def _samples(x: Sequence[Angle]) -> tuple[list[Any], bool]:
    """The samples, each of shape (n_features,), and whether there is more than a single number per feature."""
    for feature in x:
        if not isinstance(feature, int | float) and not hasattr(feature, "shape"):
            raise ValueError(f"features must be numbers, arrays or tensors, got {type(feature).__name__}")
    lengths = {qml.math.shape(feature) for feature in x}
    batches = lengths - {()}
    if len(batches) > 1 or any(len(shape) != 1 or shape[0] == 0 for shape in batches):
        raise ValueError(f"features must be numbers or arrays of one and the same length, got shapes {sorted(lengths)}")
    if not batches:
        return [1.0 * qml.math.stack(x)], False
    (shape,) = batches
    columns = [1.0 * qml.math.broadcast_to(feature, shape) for feature in x]
    return list(qml.math.stack(columns, axis=1)), True


def _wire_order(circuit: Callable[..., Any], tape: qml.tape.QuantumScript) -> list[Any]:
    if isinstance(circuit, qml.QNode) and circuit.device.wires is not None:
        return list(circuit.device.wires)
    met = list(tape.wires)
    return sorted(met) if set(met) == set(range(len(met))) else met


def _is_rzz(operation: qml.operation.Operator) -> bool:
    """PennyLane has a second name for Rzz, a special case of MultiRZ that its IQPEmbedding uses."""
    return operation.name == "MultiRZ" and len(operation.wires) == 2


def _read(
    tape: qml.tape.QuantumScript, order: list[Any]
) -> tuple[list[tuple[str, tuple[int, ...], bool]], list[Angle], Angle]:
    """Of a translated tape: (name, wires, whether there is an angle) of each gate, the angles, the global phase φ."""
    structure = []
    angles = []
    phase: Angle = 0
    for operation in tape.operations:
        if operation.name == "GlobalPhase":
            phase = phase - operation.parameters[0]
        elif operation.name in GATES or _is_rzz(operation):
            wires = tuple(order.index(wire) for wire in operation.wires)
            structure.append((GATES.get(operation.name, "rzz"), wires, bool(operation.parameters)))
            angles += operation.parameters
        elif operation.name not in ("Identity", "Barrier", "Snapshot"):
            raise ValueError(f"PennyLane's gate {operation.name} could not be translated")
    for angle in (*angles, phase):
        if qml.math.ndim(angle):
            raise ValueError(
                f"an angle of the circuit has shape {qml.math.shape(angle)}: it must be one number a sample"
            )
    return structure, angles, phase
