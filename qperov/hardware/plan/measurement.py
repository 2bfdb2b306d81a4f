"""What is to be measured: one parameterised circuit, and one row of angles for each time it is run.

A fidelity is the share of all-zero outcomes of U(x) U(y)†; Bloch vectors are means of outcomes in three bases; an
autoencoder's loss is the share of outcomes whose trash is not all zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import NAMESPACE_URL, uuid5

import numpy as np
from numpy.typing import ArrayLike
from qperov_circuits import Angle, Gate, inverse, n_wires
from qperov_circuits.amplitude_encoding import amplitude, tree_angles

from qperov.errors import MissingDependencyError
from qperov.quantum.simulation.statevector import angle_values

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

#: A function from a list of angles, one a feature, to gates.
Circuit: TypeAlias = Callable[[Sequence[Angle]], Iterable[Gate]]

#: Name of the classical register that every circuit measures into.
REGISTER = "outcome"

#: Turns (about Z, then about Y) that bring the axes X, Y and Z to the axis that is measured.
BASES = ((0.0, -pi / 2), (-pi / 2, -pi / 2), (0.0, 0.0))

INSTALL = "quantum machines need Qiskit: pip install 'qperov[ibm]'"


@dataclass(frozen=True)
class Measurement:
    """A parameterised circuit and what to put into it.

    Attributes
    ----------
    kind : "fidelity", "bloch" or "autoencoder"
    circuit : QuantumCircuit
        Measured into the register `REGISTER`.
    names : tuple of str
        Of the parameters, in the order of the columns of ``bindings``.
    bindings : ndarray of shape (n_bindings, n_parameters)
        Radians. For Bloch vectors three rows a sample: X, Y, Z.
    n_qubits : int
    """

    kind: str
    circuit: QuantumCircuit
    names: tuple[str, ...]
    bindings: np.ndarray
    n_qubits: int


def fidelity_measurement(circuit: Circuit, rows: ArrayLike, columns: ArrayLike) -> Measurement:
    """U(x) U(y)† on |0…0⟩ for pairs of samples.

    Parameters
    ----------
    circuit : callable
        From a list of n_features angles to gates.
    rows, columns : array of shape (n_pairs, n_features)
        Scaled features of the first and second sample of each pair.

    Raises
    ------
    ValueError
        Shapes that do not fit, values that are not finite, or angles too large to be known.
    MissingDependencyError
        Without Qiskit.
    """
    x, y = _samples(rows, "rows"), _samples(columns, "columns")
    if x.shape != y.shape:
        raise ValueError(f"rows and columns are the two sides of pairs, got shapes {x.shape} and {y.shape}")
    _check_angles(circuit, np.concatenate([x, y]))
    names_x, names_y = _names("x", x.shape[1]), _names("y", y.shape[1])
    # K(x, y) = |⟨0|U(y)†U(x)|0⟩|², so U(x) acts first.
    gates = [*circuit(_parameters(names_x)), *inverse(circuit(_parameters(names_y)))]
    return _measurement("fidelity", gates, (*names_x, *names_y), np.hstack([x, y]))


def bloch_measurement(circuit: Circuit, samples: ArrayLike) -> Measurement:
    """All qubits of U(x)|0…0⟩ in the bases X, Y and Z, chosen by two more angles, so that one circuit does for all.

    Parameters and exceptions as for `fidelity_measurement`; ``samples`` is of shape (n_samples, n_features).
    """
    x = _samples(samples, "samples")
    _check_angles(circuit, x)
    names = _names("x", x.shape[1])
    about_z, about_y = _parameters(("basis_z", "basis_y"))
    gates = list(circuit(_parameters(names)))
    for wire in range(n_wires(gates)):
        gates += [Gate("rz", (wire,), about_z), Gate("ry", (wire,), about_y)]
    bases = np.tile(BASES, (len(x), 1))
    return _measurement("bloch", gates, (*names, "basis_z", "basis_y"), np.hstack([np.repeat(x, 3, axis=0), bases]))


def autoencoder_measurement(encoder: Iterable[Gate], vectors: ArrayLike) -> Measurement:
    """An encoder of fixed angles after the preparation of real amplitudes as a tree of RY rotations.

    Parameters
    ----------
    encoder : iterable of Gate
        Its angles are numbers.
    vectors : array of shape (n_samples, 2**n_qubits)
        Amplitudes; their lengths do not matter.
    """
    angles = np.array([tree_angles(vector) for vector in _samples(vectors, "vectors").tolist()])
    names = _names("a", angles.shape[1])
    gates = [*amplitude(_parameters(names)), *encoder]
    return _measurement("autoencoder", gates, names, angles)


def _measurement(kind: str, gates: list[Gate], names: tuple[str, ...], bindings: np.ndarray) -> Measurement:
    from qiskit import ClassicalRegister
    from qperov_circuits.adapters.to_qiskit import to_qiskit

    # P and RZ differ by a global phase alone, of which the compiler would build sums of all angles that take minutes
    circuit = to_qiskit(Gate("rz", gate.wires, gate.angle) if gate.name == "p" else gate for gate in gates)
    register = ClassicalRegister(circuit.num_qubits, REGISTER)
    circuit.add_register(register)
    # without it the compiler drops rotations just before a measurement, and with them parameters
    circuit.barrier()
    circuit.measure(range(circuit.num_qubits), register)
    return Measurement(kind, circuit, names, bindings, circuit.num_qubits)


def _samples(values: ArrayLike, name: str) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} must be of shape (n, n_features), got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has values that are not finite")
    return array


def _check_angles(circuit: Circuit, samples: np.ndarray) -> None:
    """Raise ValueError if the samples of the largest features have angles that are not known to a digit."""
    largest = samples[np.abs(samples).argmax(axis=0)]
    for gate in circuit(list(largest.T)):
        if gate.angle is not None:
            angle_values(gate.angle, len(largest), np.dtype(np.float64))


def _names(letter: str, count: int) -> tuple[str, ...]:
    """Names that sort as they are numbered."""
    return tuple(f"{letter}{number:04d}" for number in range(count))


def _parameters(names: Sequence[str]) -> list[Any]:
    """Qiskit parameters that are the same in every process."""
    try:
        from qiskit.circuit import Parameter
    except ImportError as error:
        raise MissingDependencyError(INSTALL) from error
    return [Parameter(name, uuid=uuid5(NAMESPACE_URL, f"qperov/{name}")) for name in names]
