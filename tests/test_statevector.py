from __future__ import annotations

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import Operator, Statevector
from qperov_circuits import ENTANGLEMENTS, Gate, inverse, z, zz
from qperov_circuits.adapters.to_pennylane import to_pennylane
from qperov_circuits.adapters.to_qiskit import to_qiskit
from qperov_circuits.gate import FIXED_GATES, ROTATION_GATES

from qperov.errors import CircuitSizeError
from qperov.quantum.simulation import statevector
from qperov.quantum.simulation.dual import Dual
from qperov.quantum.simulation.layering import HadamardLayer, PhaseLayer, layers
from qperov.quantum.simulation.statevector import states, states_and_tangents

N_QUBITS, N_SAMPLES = 3, 5


@st.composite
def batched_circuits(draw):
    """Any gates, the angles being numbers or one number per sample."""
    gates = []
    for name in draw(st.lists(st.sampled_from([*FIXED_GATES, *ROTATION_GATES]), min_size=1, max_size=15)):
        wires = tuple(draw(st.permutations(range(N_QUBITS)))[: FIXED_GATES.get(name) or ROTATION_GATES[name]])
        angle = None
        if name in ROTATION_GATES:
            angle = draw(st.floats(-7, 7)) * (np.linspace(-1, 1, N_SAMPLES) if draw(st.booleans()) else 1.0)
        gates.append(Gate(name, wires, angle))
    return gates


def sample(gates, i):
    return [Gate(g.name, g.wires, float(g.angle[i]) if np.ndim(g.angle) else g.angle) for g in gates]


def naive_state(gates, n_qubits):
    """Each gate as a full matrix on the whole register."""
    psi = np.zeros(2**n_qubits, complex)
    psi[0] = 1
    for gate in gates:
        psi = Operator(to_qiskit([gate], n_qubits)).data @ psi
    return psi


@given(batched_circuits())
@settings(max_examples=60, deadline=None)
def test_any_circuit_agrees_with_qiskit_and_pennylane(gates):
    ours = states(gates, N_QUBITS, N_SAMPLES)
    for i in range(N_SAMPLES):
        one = sample(gates, i)
        theirs = Statevector(to_qiskit(one, N_QUBITS)).data
        np.testing.assert_allclose(ours[i], theirs, atol=1e-12)
        matrix = qml.matrix(qml.tape.QuantumScript(to_pennylane(one)), wire_order=range(N_QUBITS))
        np.testing.assert_allclose(ours[i], matrix[:, 0], atol=1e-12)


@given(batched_circuits())
@settings(max_examples=40, deadline=None)
def test_states_are_normalised_and_undone_by_the_inverse(gates):
    ours = states(gates, N_QUBITS, N_SAMPLES)
    np.testing.assert_allclose((abs(ours) ** 2).sum(axis=1), 1, atol=1e-12)
    back = states([*gates, *inverse(gates)], N_QUBITS, N_SAMPLES)
    np.testing.assert_allclose(back, np.eye(1, 2**N_QUBITS).repeat(N_SAMPLES, 0), atol=1e-12)


@given(batched_circuits())
@settings(max_examples=20, deadline=None)
def test_torch_gives_the_states_of_numpy(gates):
    tensors = [Gate(g.name, g.wires, torch.as_tensor(g.angle) if np.ndim(g.angle) else g.angle) for g in gates]
    theirs = states(tensors, N_QUBITS, N_SAMPLES)
    np.testing.assert_allclose(np.asarray(theirs), states(gates, N_QUBITS, N_SAMPLES), atol=1e-13)


@given(batched_circuits())
@settings(max_examples=20, deadline=None)
def test_tangents_are_derivatives(gates):
    def shifted(scale):
        return [g if g.angle is None else Gate(g.name, g.wires, g.angle * scale) for g in gates]

    dual = [g if g.angle is None else Gate(g.name, g.wires, Dual(g.angle, g.angle)) for g in gates]
    psi, tangent = states_and_tangents(dual, N_QUBITS, N_SAMPLES)
    step = 1e-5
    difference = states(shifted(1 + step), N_QUBITS, N_SAMPLES) - states(shifted(1 - step), N_QUBITS, N_SAMPLES)
    np.testing.assert_allclose(psi, states(gates, N_QUBITS, N_SAMPLES), atol=1e-14)
    np.testing.assert_allclose(tangent, difference / (2 * step), atol=1e-5)


@pytest.mark.parametrize("entanglement", ENTANGLEMENTS)
def test_zz_states_agree_with_a_product_of_gate_matrices(entanglement):
    X = np.random.default_rng(3).normal(size=(4, 4))
    ours = states(zz(list(X.T), 3, entanglement), 4, 4)
    for row, x in zip(ours, X, strict=True):
        np.testing.assert_allclose(row, naive_state(list(zz(list(x), 3, entanglement)), 4), atol=1e-12)


def test_feature_map_has_one_phase_layer_per_repetition():
    program, angles = layers(zz([0.1, 0.2, 0.3], reps=2), 3)
    assert [type(layer) for layer in program] == [HadamardLayer, PhaseLayer] * 2
    assert program[1].terms == program[3].terms
    assert not program[1].is_relabelling(3)
    assert len(angles) == 3 + 2


def test_layers_depend_on_gates_and_not_on_their_order():
    wire_by_wire = [
        gate for w in range(4) for gate in (Gate("h", (w,)), Gate("p", (w,), 0.1 * w), Gate("ry", (w,), 0.3))
    ]
    program, _ = layers(wire_by_wire, 4)
    assert [type(layer) for layer in program] == [HadamardLayer, PhaseLayer] * 3  # Ry = Rz·H·Rz·H·Rz
    np.testing.assert_allclose(states(wire_by_wire, 4)[0], naive_state(wire_by_wire, 4), atol=1e-14)


def test_neighbouring_hadamards_cancel():
    assert layers([Gate("h", (0,)), Gate("h", (0,))], 1) == ([], [])


def test_basis_states_are_permuted_by_cx_and_x():
    gates = [Gate("x", (0,)), Gate("cx", (0, 2)), Gate("x", (1,)), Gate("cx", (2, 1))]
    assert np.argmax(abs(states(gates, 3)[0])) == 0b101


def test_blocks_of_samples_change_nothing(monkeypatch):
    X = np.random.default_rng(0).normal(size=(23, 4))
    whole = states(zz(list(X.T)), 4, 23)
    monkeypatch.setattr(statevector, "BLOCK_BYTES", 5 * 16 * 16)
    np.testing.assert_allclose(states(zz(list(X.T)), 4, 23), whole, atol=1e-15)


def test_more_wires_than_one_kronecker_factor():
    x = np.linspace(-1, 1, 9)
    np.testing.assert_allclose(states(zz(x), 9)[0], Statevector(to_qiskit(zz(x))).data, atol=1e-12)


def test_single_precision():
    X = np.random.default_rng(0).normal(size=(6, 4))
    single = states(zz(list(X.T)), 4, 6, dtype=np.complex64)
    assert single.dtype == np.complex64
    np.testing.assert_allclose(single, states(zz(list(X.T)), 4, 6), atol=1e-5)
    tensors = [torch.as_tensor(x) for x in X.T]
    assert states(zz(tensors), 4, 6, dtype=np.complex64).dtype == torch.complex64


def test_torch_states_are_differentiable():
    x = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(3, 2).requires_grad_()

    def probabilities(x):
        return states([*zz(list(x)), Gate("ry", (1,), x[0])], 3, 2).abs() ** 2

    assert torch.autograd.gradcheck(probabilities, (x,))


def test_circuit_without_batched_angles_gives_one_state():
    ours = states([Gate("h", (0,))], 1, 4)
    np.testing.assert_allclose(ours, np.full((4, 2), 2**-0.5))


def test_dual_numbers_follow_the_rules_of_sum_and_product():
    b = Dual(0.3, 1.0)
    result = 2 * (1.5 - b) * (b - 0.5) - b + 1
    assert result.value == pytest.approx(2 * 1.2 * -0.2 - 0.3 + 1)
    assert result.tangent == pytest.approx(2 * (1.2 - -0.2) - 1)
    batch = np.array([1.0, 2.0]) * b
    np.testing.assert_allclose(batch.tangent, [1.0, 2.0])


def test_forty_qubits_are_refused_with_the_memory_they_take():
    with pytest.raises(CircuitSizeError, match=r"40 qubits take 16 TiB.*PCA.*hardware"):
        states(z([0.1] * 40), 40)


def test_more_states_than_memory_are_refused(monkeypatch):
    monkeypatch.setattr(statevector, "physical_memory", lambda: 2.0**20)
    with pytest.raises(CircuitSizeError, match=r"2000 exact state\(s\) of 6 qubits take 1.95 MiB"):
        states(z([0.1] * 6), 6, 2000)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([Gate("x", (2,))], 2, 1), "acts on wires"),
        (([Gate("rx", (0,), np.zeros(3))], 1, 2), r"shape \(2,\), got shape \(3,\)"),
        (([Gate("rx", (0,), torch.zeros(3))], 1, 2), r"shape \(2,\), got shape \(3,\)"),
        (([Gate("rx", (0,), np.nan)], 1, 1), "not finite"),
        (([], 0, 1), "at least one qubit"),
        (([], 1, 0), "at least one qubit"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        states(*arguments)


def test_unknown_precision():
    with pytest.raises(ValueError, match="complex64 or complex128"):
        states([], 1, 1, dtype=np.float64)
