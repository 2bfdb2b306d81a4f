from __future__ import annotations

import pickle
import random

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import efficient_su2, iSwapGate, zz_feature_map
from qiskit.quantum_info import Operator, Statevector
from qperov_circuits import FEATURE_MAPS, Gate, zz
from qperov_circuits.adapters.angle_expression import evaluate, names
from qperov_circuits.adapters.from_pennylane import from_pennylane
from qperov_circuits.adapters.from_qiskit import from_qiskit
from qperov_circuits.adapters.to_pennylane import to_pennylane
from qperov_circuits.adapters.to_qiskit import to_qiskit
from qperov_circuits.gate import FIXED_GATES, ROTATION_GATES

from qperov.quantum.simulation.dual import Dual
from qperov.quantum.simulation.statevector import states, states_and_tangents

X = np.random.default_rng(0).normal(size=(4, 3))


@st.composite
def random_circuits(draw, n_qubits=3):
    gates = []
    for name in draw(st.lists(st.sampled_from([*FIXED_GATES, *ROTATION_GATES]), max_size=12)):
        wires = draw(st.permutations(range(n_qubits)))[: FIXED_GATES.get(name) or ROTATION_GATES[name]]
        angle = draw(st.floats(-7, 7)) if name in ROTATION_GATES else None
        gates.append(Gate(name, tuple(wires), angle))
    return gates


# --- formulas -----------------------------------------------------------------------------------


def test_formulas_on_numbers_arrays_tensors_and_duals():
    formula = "2*(0.5 - a)*b + a**3/4 - -b"
    a, b = 0.3, -1.2
    expected = 2 * (0.5 - a) * b + a**3 / 4 + b
    assert evaluate(formula, {"a": a, "b": b}) == pytest.approx(expected)
    arrays = evaluate(formula, {"a": np.array([a, 0.0]), "b": np.array([b, 1.0])})
    np.testing.assert_allclose(arrays, [expected, 2.0])
    tensor = torch.tensor(a, dtype=torch.float64, requires_grad=True)
    evaluate(formula, {"a": tensor, "b": b}).backward()
    dual = evaluate(formula, {"a": Dual(a, 1.0), "b": b})
    assert dual.value == pytest.approx(expected)
    assert dual.tangent == pytest.approx(-2 * b + 3 * a**2 / 4) == pytest.approx(tensor.grad.item())


@pytest.mark.parametrize("name", ["sin", "cos", "tan", "asin", "acos", "atan", "exp", "log", "sqrt", "sign", "abs"])
@pytest.mark.parametrize("value", [0.7, 0.2])
def test_functions_in_formulas(name, value):
    expected = getattr(np, {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}.get(name, name))(value)
    for angle in (value, np.float64(value), np.array([value]), torch.tensor([value], dtype=torch.float64)):
        np.testing.assert_allclose(evaluate(f"{name}(a)", {"a": angle}), expected)


def test_nan_of_functions_outside_their_domain_is_refused():
    assert np.isnan(evaluate("sqrt(a)", {"a": -1.0}))
    with pytest.raises(ValueError, match="not finite"):
        states([Gate("rx", (0,), evaluate("sqrt(a)", {"a": -1.0}))], 1)


def test_formulas_that_are_none_are_refused():
    for formula in ("__import__('os')", "a.b", "a @ b", "f(a)", "'text'", "[a]", "sin(a, a)"):
        with pytest.raises(ValueError, match="not supported"):
            names(formula)
    with pytest.raises(ValueError, match="not a formula of real numbers"):
        names("(1i)*a")
    with pytest.raises(ValueError, match="cannot be computed for features of this type"):
        evaluate("sin(a)", {"a": Dual(0.1, 0.1)})
    with pytest.raises(ValueError, match="cannot be computed for features of this type"):
        evaluate("1/a", {"a": Dual(0.1, 0.1)})
    assert names("2*a + sin(b)") == {"a", "b"}


# --- Qiskit -------------------------------------------------------------------------------------


@given(random_circuits())
@settings(max_examples=30, deadline=None)
def test_to_qiskit_and_back_is_the_same_circuit(gates):
    assert from_qiskit(to_qiskit(gates, 3))([]) == gates


@pytest.mark.parametrize("name", FEATURE_MAPS)
def test_feature_maps_come_back_from_qiskit_as_they_went(name):
    known = FEATURE_MAPS[name]
    x = [0.4, -0.9, 1.3, 0.2, 0.7]
    symbols = ParameterVector("x", len(x))
    read = from_qiskit(to_qiskit(known.gates(list(symbols), n_qubits=3), 3))
    assert (read.n_features, read.n_qubits) == (5, 3)
    ours, theirs = list(known.gates(x, n_qubits=3)), read(x)
    assert [(gate.name, gate.wires) for gate in theirs] == [(gate.name, gate.wires) for gate in ours]
    for one, other in zip(ours, theirs, strict=True):
        assert one.angle == other.angle or one.angle == pytest.approx(other.angle, rel=1e-14)


@pytest.mark.parametrize("circuit", [zz_feature_map(3, entanglement="full"), efficient_su2(3, reps=1)])
def test_circuits_of_qiskits_library(circuit):
    samples = np.random.default_rng(1).normal(size=(3, circuit.num_parameters))
    read = from_qiskit(circuit)
    expected = [Statevector(circuit.assign_parameters(x)).data for x in samples]
    np.testing.assert_allclose(states(read(list(samples.T)), 3, 3), expected, atol=1e-12)


def test_missing_gates_are_translated_with_their_global_phase():
    theta, other = Parameter("θ"), Parameter("a b")
    circuit = QuantumCircuit(3, global_phase=0.3 + theta)
    circuit.u(theta, other, 0.3, 0)
    circuit.crx(other * theta, 0, 2)
    circuit.swap(0, 1)
    circuit.ccx(0, 1, 2)
    circuit.append(iSwapGate(), [0, 1])
    circuit.barrier()
    circuit.id(0)
    circuit.rzx(theta.sin() / (2 + other.exp()), 0, 1)
    circuit.unitary(np.kron([[0, 1], [1, 0]], np.diag([1, 1j])), [0, 2])
    x = [0.3, 0.9]
    assert [parameter.name for parameter in circuit.parameters] == ["a b", "θ"]
    expected = Operator(circuit.assign_parameters(x)).data
    np.testing.assert_allclose(Operator(to_qiskit(from_qiskit(circuit)(x), 3)).data, expected, atol=1e-12)


def test_qubit_zero_of_qiskit_is_the_last_wire():
    circuit = QuantumCircuit(3)
    circuit.x(0)
    assert from_qiskit(circuit)([]) == [Gate("x", (2,))]


def test_features_come_in_the_natural_order_of_a_vector():
    symbols = ParameterVector("x", 12)
    circuit = QuantumCircuit(1)
    for symbol in reversed(symbols):
        circuit.rx(symbol, 0)
    angles = [gate.angle for gate in from_qiskit(circuit)(list(range(12)))]
    assert angles == list(range(12))[::-1]


def test_read_circuit_can_be_pickled_and_differentiated():
    read = from_qiskit(zz_feature_map(3))
    copy = pickle.loads(pickle.dumps(read))  # noqa: S301
    assert copy == read
    assert hash(copy) == hash(read)
    assert copy(X[0]) == read(X[0])
    duals = [Dual(column, column) for column in X.T]
    ours = [zz(duals, entanglement="full"), read(duals)]
    # Qiskit's circuit counts its qubits, and so the features, from the other end.
    (_, one), (_, other) = (states_and_tangents(gates, 3, len(X)) for gates in ours)
    np.testing.assert_allclose(one.reshape(-1, 2, 2, 2).transpose(0, 3, 2, 1).reshape(-1, 8), other, atol=1e-12)


def test_equal_formulas_become_the_same_object():
    angles = [gate.angle for gate in from_qiskit(zz_feature_map(3, 3))(list(X.T)) if gate.angle is not None]
    assert len({id(angle) for angle in angles}) == 5 + 1  # 3 features, 3 pairs


def test_random_formulas_have_the_values_that_qiskit_gives_them():
    """Qiskit writes a/(-b*b) as a/-b*b; what reads differently from what it is must be refused, never used."""
    rng = random.Random(3)
    symbols = [Parameter(f"x{k}") for k in range(3)]
    values = [0.7, -0.4, 1.3]
    operations = [lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b]

    def formula(depth):
        if depth == 0:
            return rng.choice([*symbols, rng.choice([2, -3, 0.1, -1.7e-7])])
        if rng.random() < 0.2:
            return -formula(depth - 1)
        if rng.random() < 0.1:
            return formula(depth - 1) ** 2
        try:
            return rng.choice(operations)(formula(depth - 1), formula(depth - 1))
        except (ArithmeticError, RuntimeError):
            return symbols[0]

    read = refused = 0
    for _ in range(200):
        circuit = QuantumCircuit(1)
        circuit.p(symbols[0], 0)
        circuit.p(symbols[1], 0)
        circuit.p(symbols[2], 0)
        try:
            circuit.p(formula(3), 0)
            expected = circuit.assign_parameters(dict(zip(symbols, values, strict=True))).data[-1].operation.params[0]
            ours = from_qiskit(circuit)(values)[-1].angle
        except (ValueError, ArithmeticError, RuntimeError) as error:
            refused += "ambiguous" in str(error)
            continue
        assert ours == pytest.approx(float(expected), rel=1e-9, abs=1e-12)
        read += 1
    assert read > 150

    a, b = symbols[:2]
    circuit = QuantumCircuit(1)
    circuit.rx(a / (-(b * b)), 0)
    with pytest.raises(ValueError, match="ambiguous as Qiskit writes it"):
        from_qiskit(circuit)


def test_qiskit_circuits_that_are_no_feature_map():
    measured = QuantumCircuit(1, 1)
    measured.measure(0, 0)
    reset = QuantumCircuit(1)
    reset.reset(0)
    prepared = QuantumCircuit(1)
    prepared.initialize([0, 1])
    conditional = QuantumCircuit(1, 1)
    with conditional.if_test((conditional.clbits[0], 1)):
        conditional.x(0)
    for circuit, name in ((measured, "measure"), (reset, "reset"), (prepared, "initialize"), (conditional, "if_else")):
        with pytest.raises(ValueError, match=f"contains '{name}': a feature map is unitary"):
            from_qiskit(circuit)
    with pytest.raises(ValueError, match="no qubits"):
        from_qiskit(QuantumCircuit())
    with pytest.raises(ValueError, match="has 3 parameters, got 2 features"):
        from_qiskit(zz_feature_map(3))([0.1, 0.2])
    symbol = Parameter("x")
    conjugated = QuantumCircuit(1)
    conjugated.rx(symbol.conjugate(), 0)
    with pytest.raises(ValueError, match="not supported"):
        from_qiskit(conjugated)
    powers = QuantumCircuit(1)
    powers.rx(symbol.sin(), 0)
    with pytest.raises(ValueError, match="cannot be computed for features of this type"):
        from_qiskit(powers)([Dual(0.1, 0.1)])


# --- PennyLane ----------------------------------------------------------------------------------


def angles_and_templates(x):
    qml.AngleEmbedding(x, wires=range(3), rotation="Y")
    qml.IQPEmbedding(x, wires=range(3))
    qml.adjoint(qml.RX)(x[0], 0)
    qml.adjoint(qml.S)(1)
    qml.StronglyEntanglingLayers(np.linspace(0, 1, 9).reshape(1, 3, 3), wires=range(3))


def many_gates(x):
    qml.Rot(0.1, x[1] * x[2], x[0], 1)
    qml.CRZ(x[0], [0, 1])
    qml.ctrl(qml.RX, 0, control_values=[0])(np.pi - x[1], 2)
    qml.MultiRZ(x[0], [0, 1, 2])
    qml.PauliRot(x[1], "XYZ", [2, 0, 1])
    qml.Toffoli([0, 1, 2])
    qml.SWAP([0, 2])
    qml.GlobalPhase(x[2])
    qml.Barrier()
    qml.Identity(0)
    qml.pow(qml.RX(x[0], 0), 2)


@pytest.mark.parametrize("circuit", [angles_and_templates, many_gates])
def test_pennylane_circuits_prepare_states_that_pennylane_gives(circuit):
    @qml.qnode(qml.device("default.qubit", wires=3))
    def node(x):
        circuit(x)
        return qml.state()

    expected = np.array([node(x) for x in X])
    for read in (from_pennylane(circuit, 3), from_pennylane(node, 3)):
        np.testing.assert_allclose(states(read(list(X.T)), 3, len(X)), expected, atol=1e-12)
        np.testing.assert_allclose(states(read(list(X[1])), 3)[0], expected[1], atol=1e-12)


@given(random_circuits())
@settings(max_examples=20, deadline=None)
def test_to_pennylane_and_back_is_the_same_circuit(gates):
    @qml.qnode(qml.device("default.qubit", wires=3))
    def node(x):
        to_pennylane([Gate("rz", (0,), x[0]), *gates])
        return qml.state()

    back = from_pennylane(node, 1)([0.3])
    assert back == [Gate("rz", (0,), 0.3), *gates]


def test_torch_gradients_pass_through_pennylane():
    tensor = torch.tensor(X, requires_grad=True)
    read = from_pennylane(angles_and_templates, 3)
    (gradient,) = torch.autograd.grad(states(read(list(tensor.T)), 3, len(X)).real[:, -1].sum(), tensor)
    step = 1e-6
    for feature in range(3):
        shift = step * np.eye(3)[feature]
        ends = [states(read(list((X + s * shift).T)), 3, len(X)).real[:, -1] for s in (1, -1)]
        np.testing.assert_allclose(gradient[:, feature].numpy(), (ends[0] - ends[1]) / (2 * step), atol=1e-8)


def test_wires_come_in_order_of_device_or_of_circuit():
    def named(x):
        qml.RX(x[0], "b")
        qml.RY(x[1], "a")

    def numbered(x):
        qml.RX(x[0], 1)
        qml.RY(x[1], 0)
        return qml.state()

    assert [gate.wires for gate in from_pennylane(named, 2)([0.1, 0.2])] == [(0,), (1,)]
    assert [gate.wires for gate in from_pennylane(numbered, 2)([0.1, 0.2])] == [(1,), (0,)]
    node = qml.QNode(numbered, qml.device("default.qubit", wires=[1, 0]))
    assert [gate.wires for gate in from_pennylane(node, 2)([0.1, 0.2])] == [(0,), (1,)]
    np.testing.assert_allclose(states(from_pennylane(node, 2)([0.1, 0.2]), 2)[0], node([0.1, 0.2]), atol=1e-12)


def test_two_names_of_rzz_are_one_gate():
    gates = from_pennylane(lambda x: qml.IQPEmbedding(x, wires=range(2)), 2)([0.5, 3])
    assert gates[-1] == Gate("rzz", (0, 1), 1.5)


def test_numbers_arrays_and_tensors_can_be_mixed():
    read = from_pennylane(many_gates, 3)
    expected = read([np.array([0.2, 0.2]), np.array([1.0, 3.0]), np.array([2.0, 2.0])])
    for x in ([0.2, np.array([1, 3]), 2], [0.2, torch.tensor([1.0, 3.0], dtype=torch.float64), 2]):
        for one, other in zip(read(x), expected, strict=True):
            assert (one.name, one.wires) == (other.name, other.wires)
            if one.angle is not None:
                np.testing.assert_allclose(one.angle, other.angle)


def test_constants_stay_numbers_and_equal_angles_one_object():
    gates = from_pennylane(angles_and_templates, 3)(list(X.T))
    constants = [gate.angle for gate in gates if gate.angle is not None and np.ndim(gate.angle) == 0]
    arrays = [gate.angle for gate in gates if np.ndim(gate.angle) == 1]
    assert len(constants) >= 9
    assert {array.shape for array in arrays} == {(4,)}
    assert len({id(array) for array in arrays}) == len({array.tobytes() for array in arrays}) < len(arrays)


def test_a_pennylane_function_can_be_pickled():
    read = from_pennylane(many_gates, 3)
    copy = pickle.loads(pickle.dumps(read))  # noqa: S301
    assert copy == read
    assert copy(X[0]) == read(X[0])


def test_pennylane_circuits_that_are_no_feature_map():
    def measured(x):
        qml.measure(0)

    def conditional(x):
        qml.cond(qml.measure(0), qml.X)(1)

    def noisy(x):
        qml.DepolarizingChannel(0.1, wires=0)

    for circuit in (measured, conditional, noisy):
        with pytest.raises(ValueError, match="a feature map is unitary"):
            from_pennylane(circuit, 3)(X[0])

    def branching(x):
        (qml.X if x[0] > 0 else qml.Hadamard)(0)

    def broadcast(x):
        qml.RX(np.ones(2) * x[0], 0)

    def observable(x):
        qml.Hermitian(np.eye(2), 0)

    with pytest.raises(ValueError, match="other gates for one sample"):
        from_pennylane(branching, 1)([np.array([-1.0, 1.0])])
    with pytest.raises(ValueError, match="one number a sample"):
        from_pennylane(broadcast, 1)([0.1])
    with pytest.raises(ValueError, match="could not be translated"):
        from_pennylane(observable, 1)([0.1])


def test_bad_arguments_of_from_pennylane():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        from_pennylane(many_gates, 0)
    with pytest.raises(ValueError, match="a QNode or a function, got str"):
        from_pennylane("circuit", 3)
    read = from_pennylane(many_gates, 3)
    with pytest.raises(ValueError, match="takes 3 features, got 2"):
        read([0.1, 0.2])
    with pytest.raises(ValueError, match="got Dual"):
        read([Dual(0.1, 0.1)] * 3)
    with pytest.raises(ValueError, match="one and the same length"):
        read([np.ones(2), np.ones(3), 0.1])
    with pytest.raises(ValueError, match="one and the same length"):
        read([np.ones(0)] * 3)
