from __future__ import annotations

from math import pi
from pathlib import Path

import numpy as np
import pennylane as qml
import pytest
import qperov_circuits
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import qasm3
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import zz_feature_map
from qiskit.quantum_info import Operator
from qiskit_aer import AerSimulator
from qperov_circuits import (
    ENTANGLEMENTS,
    FEATURE_MAPS,
    Gate,
    IsingChain,
    angle_yz_cx,
    covariant_ry,
    entangling_pairs,
    heisenberg,
    high_dimensional,
    hubregtsen,
    inverse,
    iqp,
    n_wires,
    peters,
    z,
    zz,
)
from qperov_circuits.adapters.to_pennylane import OPERATIONS, to_pennylane
from qperov_circuits.adapters.to_qasm import to_qasm
from qperov_circuits.adapters.to_qiskit import to_qiskit
from qperov_circuits.gate import FIXED_GATES, ROTATION_GATES

from qperov.quantum.simulation.statevector import states

QASM = Path(qperov_circuits.__file__).parent / "qasm"

EVERY_GATE = [
    *(Gate(name, tuple(range(1, 1 + wires))) for name, wires in FIXED_GATES.items()),
    *(Gate(name, (2, 0)[:wires], 0.1 * (i + 1)) for i, (name, wires) in enumerate(ROTATION_GATES.items())),
    Gate("cx", (2, 0)),
]

GOLDEN = {
    "every_gate.qasm": EVERY_GATE,
    "z_3.qasm": list(z([0.25, -0.5, 1.5])),
    "zz_3_linear.qasm": list(zz([0.25, -0.5, 1.5])),
    "zz_4_sca.qasm": list(zz([0.25, -0.5, 1.5, 0.125], entanglement="sca")),
    "zz_5_features_2_qubits.qasm": list(zz([0.25, -0.5, 1.5, 0.125, 2.0], 1, n_qubits=2)),
    "iqp_3_full.qasm": list(iqp([0.25, -0.5, 1.5], entanglement="full")),
    "high_dimensional_7_features_2_qubits.qasm": list(high_dimensional([0.125 * k for k in range(7)], 1, 2)),
    "ising_chain_4_distance_2.qasm": list(IsingChain(distance=2, gamma=0.25).gates([0.25, 0.5, 1.5, 2.0])),
    "peters_12_features_2_qubits.qasm": list(peters([0.125 * k for k in range(12)], 1)),
    "angle_yz_cx_5_features_3_qubits.qasm": list(angle_yz_cx([0.25, -0.5, 1.5, 0.125, 2.0])),
    "hubregtsen_3.qasm": list(hubregtsen([0.25, -0.5, 1.5], 1)),
    "covariant_ry_4_features_2_qubits.qasm": list(covariant_ry([0.25, -0.5, 1.5, 0.125], 1)),
    "heisenberg_2_features_3_qubits.qasm": list(heisenberg([0.25, -0.5], 2, weights=[0.5, 1, 1.5, 2, 2.5, 3])),
}


@st.composite
def random_circuits(draw, n_qubits=3):
    gates = []
    for name in draw(st.lists(st.sampled_from([*FIXED_GATES, *ROTATION_GATES]), min_size=1, max_size=12)):
        wires = draw(st.permutations(range(n_qubits)))[: FIXED_GATES.get(name) or ROTATION_GATES[name]]
        angle = draw(st.floats(-7, 7)) if name in ROTATION_GATES else None
        gates.append(Gate(name, tuple(wires), angle))
    return gates


def pauli_rotation(word, angle):
    """exp(−iθP/2) from its definition, by the eigenvectors of P."""
    paulis = {"x": [[0, 1], [1, 0]], "y": [[0, -1j], [1j, 0]], "z": [[1, 0], [0, -1]]}
    matrix = np.eye(1)
    for letter in word:
        matrix = np.kron(matrix, paulis[letter])
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(np.exp(-0.5j * angle * values)) @ vectors.conj().T


@pytest.mark.parametrize("name", [name for name in ROTATION_GATES if name != "p"])
def test_rotations_are_exponentials_of_their_pauli_string(name):
    gate = Gate(name, (0, 1)[: ROTATION_GATES[name]], 0.7)
    np.testing.assert_allclose(Operator(to_qiskit([gate])).data, pauli_rotation(name[1:], 0.7), atol=1e-14)


def test_every_gate_is_known_to_every_adapter():
    assert set(OPERATIONS) == {gate.name for gate in EVERY_GATE} == {*FIXED_GATES, *ROTATION_GATES}


@given(random_circuits())
@settings(max_examples=40, deadline=None)
def test_pennylane_and_qiskit_agree_on_any_circuit(gates):
    ours = Operator(to_qiskit(gates, 3)).data
    theirs = qml.matrix(qml.tape.QuantumScript(to_pennylane(gates)), wire_order=range(3))
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def our_unitary(gates, n_qubits):
    """Column b is what the circuit makes of basis state b, prepared with rx(π) = −i X on the wires that it sets."""
    bits = (np.arange(2**n_qubits)[:, None] >> np.arange(n_qubits)[::-1]) & 1
    flips = [Gate("rx", (wire,), pi * bits[:, wire]) for wire in range(n_qubits)]
    return (states([*flips, *gates], n_qubits, 2**n_qubits) * 1j ** bits.sum(axis=1)[:, None]).T


@given(random_circuits())
@settings(max_examples=20, deadline=None)
def test_our_engine_and_aer_have_the_unitary_of_qiskit(gates):
    circuit = to_qiskit(gates, 3)
    expected = Operator(circuit).data
    np.testing.assert_allclose(our_unitary(gates, 3), expected, atol=1e-12)
    circuit.save_unitary()
    theirs = AerSimulator(method="unitary").run(circuit).result().get_unitary()
    np.testing.assert_allclose(theirs, expected, atol=1e-12)


@pytest.mark.parametrize("name", FEATURE_MAPS)
@pytest.mark.parametrize("n_qubits", [2, 3, None])
def test_feature_maps_have_one_unitary_in_all_simulators(name, n_qubits):
    x = [0.4, -0.9, 1.3, 0.2]
    wires = n_qubits or FEATURE_MAPS[name].n_qubits(len(x))
    gates = list(FEATURE_MAPS[name].gates(x, 2, "circular", n_qubits))
    ours = our_unitary(gates, wires)
    circuit = to_qiskit(gates, wires)
    np.testing.assert_allclose(ours, Operator(circuit).data, atol=1e-12)
    tape = qml.tape.QuantumScript(to_pennylane(gates))
    np.testing.assert_allclose(ours, qml.matrix(tape, wire_order=range(wires)), atol=1e-12)
    circuit.save_unitary()
    theirs = AerSimulator(method="unitary").run(circuit).result().get_unitary()
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


@given(random_circuits())
@settings(max_examples=20, deadline=None)
def test_inverse_undoes_the_gates(gates):
    np.testing.assert_allclose(Operator(to_qiskit([*gates, *inverse(gates)], 3)).data, np.eye(8), atol=1e-12)


@given(random_circuits())
@settings(max_examples=20, deadline=None)
def test_qasm_read_back_by_qiskit_is_the_same_unitary(gates):
    read = qasm3.loads(to_qasm(gates, 3))
    np.testing.assert_allclose(Operator(read.reverse_bits()).data, Operator(to_qiskit(gates, 3)).data, atol=1e-12)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_qasm_files(name):
    text = (QASM / name).read_text()
    assert text == to_qasm(GOLDEN[name])
    read = Operator(qasm3.loads(text).reverse_bits()).data
    np.testing.assert_allclose(read, Operator(to_qiskit(GOLDEN[name])).data, atol=1e-12)


def test_there_is_no_golden_file_without_its_test():
    assert {path.name for path in QASM.iterdir() if not path.name.startswith("qcnn_")} == set(GOLDEN)


@pytest.mark.parametrize("entanglement", ENTANGLEMENTS)
@pytest.mark.parametrize(("n_features", "reps"), [(2, 2), (3, 3), (5, 2)])
def test_zz_is_the_map_of_qiskit(entanglement, n_features, reps):
    x = np.linspace(-0.9, 1.3, n_features)
    theirs = zz_feature_map(n_features, reps, entanglement=entanglement).assign_parameters(x)
    ours = to_qiskit(zz(x, reps, entanglement))
    np.testing.assert_allclose(Operator(ours).data, Operator(theirs.reverse_bits()).data, atol=1e-12)


@pytest.mark.parametrize("entanglement", ENTANGLEMENTS)
@pytest.mark.parametrize("n_features", [2, 3, 4, 5])
def test_pairs_come_in_the_order_of_qiskit(entanglement, n_features):
    theirs = zz_feature_map(n_features, 3, entanglement=entanglement)
    pairs = [
        tuple(theirs.find_bit(q).index for q in step.qubits) for step in theirs.data if step.operation.name == "cx"
    ]
    ours = [pair for repetition in range(3) for pair in entangling_pairs(n_features, entanglement, repetition)]
    assert ours == pairs[::2]


def test_one_feature_has_no_pair():
    assert [gate.name for gate in zz([0.3], reps=2)] == ["h", "p", "h", "p"]


def test_qiskit_parameters_go_through_the_feature_map():
    symbols = ParameterVector("x", 3)
    values = [0.25, -0.5, 1.5]
    symbolic = to_qiskit(zz(list(symbols)))
    assert set(symbolic.parameters) == set(symbols)
    bound = symbolic.assign_parameters(dict(zip(symbols, values, strict=True)))
    np.testing.assert_allclose(Operator(bound).data, Operator(to_qiskit(zz(values))).data, atol=1e-12)


def test_kernel_circuit_of_two_samples_can_be_parameterised():
    x, y = ParameterVector("x", 2), ParameterVector("y", 2)
    circuit = to_qiskit([*zz(list(x)), *inverse(zz(list(y)))])
    same = circuit.assign_parameters({**dict(zip(x, (0.3, 0.8), strict=True)), **dict(zip(y, (0.3, 0.8), strict=True))})
    np.testing.assert_allclose(Operator(same).data, np.eye(4), atol=1e-12)


def test_wire_zero_is_the_most_significant_bit():
    matrix = Operator(to_qiskit([Gate("x", (0,))], 2)).data
    assert matrix[0b10, 0b00] == 1


def test_pennylane_queues_the_operations():
    @qml.qnode(qml.device("default.qubit", wires=1))
    def flipped():
        to_pennylane([Gate("x", (0,))])
        return qml.expval(qml.Z(0))

    assert flipped() == -1


@pytest.mark.parametrize(
    ("name", "wires", "angle", "message"),
    [
        ("swap", (0, 1), None, "unknown gate"),
        ("h", (0, 1), None, "1 different wire"),
        ("cx", (1, 1), None, "2 different wire"),
        ("x", (-1,), None, "counted from 0"),
        ("rx", (0,), None, "needs an angle"),
        ("h", (0,), 0.3, "takes no angle"),
    ],
)
def test_gates_that_are_none_are_refused(name, wires, angle, message):
    with pytest.raises(ValueError, match=message):
        Gate(name, wires, angle)


def test_bad_arguments_of_maps_and_adapters():
    with pytest.raises(ValueError, match="unknown entanglement 'star'"):
        list(zz([0.1, 0.2], entanglement="star"))
    with pytest.raises(ValueError, match="reps must be at least 1"):
        list(z([0.1], reps=0))
    for adapter in (to_qiskit, to_qasm):
        with pytest.raises(ValueError, match="3 wires"):
            adapter([Gate("x", (2,))], 2)
    with pytest.raises(TypeError):
        to_qasm([Gate("rx", (0,), np.array([0.1, 0.2]))])


def test_qasm_keeps_every_digit():
    angle = pi / 3
    line = to_qasm([Gate("rx", (0,), angle)]).splitlines()[-1]
    assert float(line[line.index("(") + 1 : line.index(")")]) == angle


def test_n_wires_counts_from_zero():
    assert n_wires([Gate("x", (4,))]) == 5
    assert n_wires([]) == 0
