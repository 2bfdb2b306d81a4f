from __future__ import annotations

import pickle
from functools import reduce
from itertools import pairwise
from math import pi

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import iSwapGate, z_feature_map, zz_feature_map
from qiskit.quantum_info import Operator, Statevector
from qperov_circuits import (
    ENTANGLEMENTS,
    FEATURE_MAPS,
    IsingChain,
    angle_yz_cx,
    covariant_ry,
    feature_map,
    heisenberg,
    high_dimensional,
    hubregtsen,
    iqp,
    n_wires,
    peters,
    z,
    zz,
)
from qperov_circuits.adapters.to_pennylane import to_pennylane
from qperov_circuits.adapters.to_qiskit import to_qiskit
from qperov_circuits.reuploading import rounds
from scipy.linalg import expm

from qperov.quantum.simulation.dual import Dual
from qperov.quantum.simulation.statevector import states, states_and_tangents

TRAINABLE = [name for name, known in FEATURE_MAPS.items() if known.trainable]
PAULI = {"x": np.array([[0, 1], [1, 0]]), "y": np.array([[0, -1j], [1j, 0]]), "z": np.diag([1, -1])}


def fidelity(a, b):
    return abs(np.vdot(a, b)) ** 2


def prepared(gates, n_qubits):
    return states(gates, n_qubits)[0]


@st.composite
def settings_of_a_map(draw):
    known = FEATURE_MAPS[draw(st.sampled_from(list(FEATURE_MAPS)))]
    x = draw(st.lists(st.floats(-3, 3), min_size=1, max_size=7))
    n_qubits = draw(st.integers(1 + known.extra_qubits, 4))
    return known, x, draw(st.integers(1, 3)), draw(st.sampled_from(ENTANGLEMENTS)), n_qubits


@given(settings_of_a_map())
@settings(max_examples=60, deadline=None)
def test_three_simulators_prepare_the_same_state(chosen):
    known, x, reps, entanglement, n_qubits = chosen
    gates = list(known.gates(x, reps, entanglement, n_qubits))
    ours = prepared(gates, n_qubits)
    theirs = qml.matrix(qml.tape.QuantumScript(to_pennylane(gates)), wire_order=range(n_qubits))[:, 0]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    np.testing.assert_allclose(ours, Statevector(to_qiskit(gates, n_qubits)).data, atol=1e-12)


@given(settings_of_a_map())
@settings(max_examples=40, deadline=None)
def test_every_feature_reaches_a_gate_and_no_wire_is_left_out(chosen):
    known, x, reps, entanglement, n_qubits = chosen
    symbols = ParameterVector("x", len(x))
    circuit = to_qiskit(known.gates(list(symbols), reps, entanglement, n_qubits), n_qubits)
    assert set(circuit.parameters) == set(symbols)
    assert n_wires(known.gates(x, reps, entanglement, n_qubits)) == n_qubits


@given(settings_of_a_map())
@settings(max_examples=30, deadline=None)
def test_a_batch_is_its_samples_one_by_one(chosen):
    known, x, reps, entanglement, n_qubits = chosen
    X = np.array([x, np.flip(x), np.multiply(x, 0.5)])
    batch = states(known.gates(list(X.T), reps, entanglement, n_qubits), n_qubits, len(X))
    for row, state in zip(X, batch, strict=True):
        np.testing.assert_allclose(
            state, prepared(known.gates(row, reps, entanglement, n_qubits), n_qubits), atol=1e-12
        )


@pytest.mark.parametrize("name", FEATURE_MAPS)
@pytest.mark.parametrize("n_qubits", [2, 3, None])
def test_torch_and_dual_angles_give_finite_differences(name, n_qubits):
    known = feature_map(name)
    x = np.array([0.4, -0.9, 1.3, 0.2, 0.7])
    wires = known.n_qubits(len(x)) if n_qubits is None else n_qubits
    state, tangent = states_and_tangents(known.gates([Dual(v, v) for v in x], n_qubits=n_qubits), wires)
    step = 1e-6
    ends = [prepared(known.gates(list(x * (1 + s)), n_qubits=n_qubits), wires) for s in (step, -step)]
    np.testing.assert_allclose(tangent[0], (ends[0] - ends[1]) / (2 * step), atol=1e-7)

    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    tensor = states(known.gates(list(scale * torch.tensor(x)), n_qubits=n_qubits), wires)
    np.testing.assert_allclose(tensor.detach().numpy(), state, atol=1e-12)
    (gradient,) = torch.autograd.grad(tensor[0].real[-1], scale)
    np.testing.assert_allclose(gradient.item(), tangent[0, -1].real, atol=1e-12)


@pytest.mark.parametrize("name", FEATURE_MAPS)
def test_angles_that_recur_are_the_same_object(name):
    x = [np.array([0.1, 0.2]), np.array([0.3, 0.4]), np.array([0.5, 0.6])]

    def distinct(reps):
        gates = list(feature_map(name).gates(x, reps=reps))
        return len({id(gate.angle) for gate in gates if isinstance(gate.angle, np.ndarray)})

    assert distinct(3) == distinct(2)


# --- parity with the libraries ------------------------------------------------------------------


@pytest.mark.parametrize("n_features", [1, 2, 4])
@pytest.mark.parametrize("reps", [1, 3])
def test_z_is_the_map_of_qiskit(n_features, reps):
    x = np.linspace(-0.9, 1.3, n_features)
    theirs = z_feature_map(n_features, reps).assign_parameters(x)
    np.testing.assert_allclose(Operator(to_qiskit(z(x, reps))).data, Operator(theirs.reverse_bits()).data, atol=1e-12)


@pytest.mark.parametrize("entanglement", ["linear", "full"])
def test_features_in_rounds_are_maps_of_qiskit_one_after_other(entanglement):
    x = np.array([0.4, -0.9, 1.3, 0.2, 0.7])
    first, second = (
        zz_feature_map(3, 1, entanglement=entanglement).assign_parameters(x[list(part)])
        for part in ((0, 1, 2), (3, 4, 0))
    )
    theirs = first.compose(second).compose(first).compose(second)
    ours = to_qiskit(zz(x, 2, entanglement, n_qubits=3))
    np.testing.assert_allclose(Operator(ours).data, Operator(theirs.reverse_bits()).data, atol=1e-12)


@pytest.mark.parametrize("reps", [1, 2])
def test_iqp_with_full_entanglement_is_embedding_of_pennylane(reps):
    x = np.array([0.4, -0.9, 1.3])
    theirs = qml.matrix(qml.IQPEmbedding(x, wires=range(3), n_repeats=reps), wire_order=range(3))
    np.testing.assert_allclose(Operator(to_qiskit(iqp(x, reps, "full"))).data, theirs, atol=1e-12)


def test_hubregtsen_is_the_circuit_of_its_authors():
    """As they write it for PennyLane: H, RZ(x), RY(w), and a ring of CRZ(w')."""
    x = np.array([0.4, -0.9, 1.3, 0.2])
    weights = np.linspace(-2, 2, 16).reshape(2, 2, 4)

    def theirs():
        for layer in weights:
            for wire in range(4):
                qml.Hadamard(wire)
                qml.RZ(x[wire], wire)
                qml.RY(layer[0, wire], wire)
            for wire in range(4):
                qml.CRZ(layer[1, wire], [wire, (wire + 1) % 4])

    matrix = qml.matrix(theirs, wire_order=range(4))()
    ours = to_qiskit(hubregtsen(x, 2, weights=weights.ravel()))
    np.testing.assert_allclose(Operator(ours).data, matrix, atol=1e-12)


def test_high_dimensional_couples_by_the_root_of_iswap():
    x = np.linspace(-1, 1, 18)
    theirs = QuantumCircuit(3)
    theirs.h(range(3))
    for layer in range(2):
        if layer:
            theirs.append(iSwapGate().power(0.5), [0, 1])
            theirs.append(iSwapGate().power(0.5), [1, 2])
        for qubit in range(3):
            a, b, c = x[9 * layer + 3 * qubit :][:3]
            theirs.rz(a, qubit)
            theirs.ry(b, qubit)
            theirs.rz(c, qubit)
    ours = to_qiskit(high_dimensional(x, 1, n_qubits=3))
    np.testing.assert_allclose(Operator(ours).data, Operator(theirs.reverse_bits()).data, atol=1e-12)


def test_angle_yz_cx_alternates_the_pairs():
    x, weights = np.linspace(-1, 1, 16), np.linspace(2, -3, 16)
    theirs = QuantumCircuit(4)
    for layer, pairs in enumerate([[(0, 1), (2, 3)], [(1, 2)]]):
        for qubit in range(4):
            slot = 8 * layer + 2 * qubit
            theirs.ry(x[slot] + weights[slot], qubit)
            theirs.rz(x[slot + 1] + weights[slot + 1], qubit)
        for pair in pairs:
            theirs.cx(*pair)
    ours = to_qiskit(angle_yz_cx(x, 1, n_qubits=4, weights=weights))
    np.testing.assert_allclose(Operator(ours).data, Operator(theirs.reverse_bits()).data, atol=1e-12)


# --- analytic facts -----------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=5))
@settings(max_examples=25, deadline=None)
def test_kernel_of_z_is_a_product_of_cosines(pairs):
    x, y = np.array(pairs).T
    n = len(x)
    kernel = fidelity(prepared(z(x, 1), n), prepared(z(y, 1), n))
    np.testing.assert_allclose(kernel, np.prod(np.cos(x - y) ** 2), atol=1e-12)


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_hubregtsen_without_weights_is_z_at_half_the_angle(pairs):
    x, y = np.array(pairs).T
    n = len(x)
    none = [0.0] * FEATURE_MAPS["hubregtsen"].n_weights(n, 1)
    kernel = fidelity(prepared(hubregtsen(x, 1, weights=none), n), prepared(hubregtsen(y, 1, weights=none), n))
    np.testing.assert_allclose(kernel, np.prod(np.cos((x - y) / 2) ** 2), atol=1e-12)


def test_last_weights_cancel_in_hubregtsens_fidelity_kernel():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3))
    weights = rng.normal(size=(2, 6))
    changed = weights.copy()
    changed[-1] += 1
    kernels = [
        fidelity(*(prepared(hubregtsen(v, 2, weights=w.ravel()), 3) for v in (x, y))) for w in (weights, changed)
    ]
    np.testing.assert_allclose(*kernels, atol=1e-12)
    changed[0] += 1
    other = fidelity(*(prepared(hubregtsen(v, 2, weights=changed.ravel()), 3) for v in (x, y)))
    assert abs(other - kernels[0]) > 1e-3


def test_kernel_of_covariant_ry_on_a_product_state():
    """From |0…0⟩, Rz(−2b) does nothing and Rx(−2a) turns each wire by itself: ∏ cos²(aᵢ − a'ᵢ)."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 6))
    none = [0.0] * 6
    kernel = fidelity(*(prepared(covariant_ry(v, 2, "full", weights=none), 3) for v in (x, y)))
    np.testing.assert_allclose(kernel, np.prod(np.cos((x - y)[::2]) ** 2), atol=1e-12)


@pytest.mark.parametrize("entanglement", ENTANGLEMENTS)
@pytest.mark.parametrize("reps", [1, 2, 3])
def test_covariant_kernel_ignores_a_common_rotation(entanglement, reps):
    """k(D'', D''D†D') for group elements that are turned from the left: angles of Rx, the last gate, add up."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 6))
    turn = np.array([0.7, 0, -1.1, 0, 0.3, 0])
    pairs = [(x, y), (x + turn, y + turn)]
    kernels = [fidelity(*(prepared(covariant_ry(v, reps, entanglement), 3) for v in pair)) for pair in pairs]
    np.testing.assert_allclose(*kernels, atol=1e-12)
    assert 1e-3 < kernels[0] < 0.999


@pytest.mark.parametrize("n_qubits", [2, 4, 6])
@pytest.mark.parametrize("reps", [1, 2])
def test_single_qubits_see_the_default_fiducial_state(n_qubits, reps):
    def lengths(weights):
        gates = covariant_ry([0.0] * 2 * n_qubits, reps, weights=weights)
        psi = prepared(gates, n_qubits).reshape((2,) * n_qubits)
        found = []
        for wire in range(n_qubits):
            rows = np.moveaxis(psi, wire, 0).reshape(2, -1)
            rho = rows @ rows.conj().T
            found.append(np.linalg.norm([np.trace(rho @ pauli).real for pauli in PAULI.values()]))
        return np.array(found)

    assert lengths(None).min() > 0.1
    if reps == 1:
        np.testing.assert_allclose(lengths([pi / 2] * n_qubits), 0, atol=1e-12)


@given(st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=9, deadline=None)
def test_one_bond_of_the_heisenberg_chain_evolves_exactly(reps, n_features):
    """Equal couplings on the one bond of two wires add up to exp(−i t x (XX + YY + ZZ)) per round."""
    gates = list(heisenberg([0.4] * n_features, reps, n_qubits=2))[4:]
    hamiltonian = sum(np.kron(pauli, pauli) for pauli in PAULI.values())
    values, vectors = np.linalg.eigh(hamiltonian)
    time = n_features / 3 * n_features  # a third of the features, once for each round
    expected = vectors @ np.diag(np.exp(-1j * time * 0.4 * values)) @ vectors.conj().T
    np.testing.assert_allclose(Operator(to_qiskit(gates, 2)).data, expected, atol=1e-12)


def test_heisenberg_evolution_keeps_the_total_spin():
    state = prepared(heisenberg([0.7, -1.1, 0.3], 3), 4)
    start = prepared(heisenberg([0.0, 0.0, 0.0], 3), 4)
    for pauli in PAULI.values():
        total = sum(np.kron(np.kron(np.eye(2**wire), pauli), np.eye(2 ** (3 - wire))) for wire in range(4))
        np.testing.assert_allclose(np.vdot(state, total @ state), np.vdot(start, total @ start), atol=1e-12)
    assert fidelity(state, start) < 0.99


def test_default_starts_of_heisenberg_are_spread_over_sphere():
    theta, phi = np.reshape(FEATURE_MAPS["heisenberg"].default_weights(199, 1), (200, 2)).T
    points = np.array([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])
    assert np.linalg.norm(points.mean(axis=1)) < 0.02
    np.testing.assert_allclose(points @ points.T / 200, np.eye(3) / 3, atol=0.02)


@pytest.mark.parametrize("n_features", [9, 30])
def test_peters_is_blocks_with_the_root_of_iswap_between(n_features):
    x = np.linspace(0, 3, n_features)
    theirs = QuantumCircuit(3)
    for block in range(2 if n_features == 9 else 4):
        if block:
            theirs.append(iSwapGate().power(0.5), [0, 1])
            theirs.append(iSwapGate().power(0.5), [1, 2])
        theirs.h(range(3))
        for qubit in range(3):
            for k, turn in enumerate((theirs.rz, theirs.ry, theirs.rz)):
                turn(x[(9 * block + 3 * qubit + k) % n_features], qubit)
    ours = to_qiskit(peters(x, 1, n_qubits=3))
    np.testing.assert_allclose(Operator(ours).data, Operator(theirs.reverse_bits()).data, atol=1e-12)


@pytest.mark.parametrize("distance", [1, 3])
def test_ising_chain_is_the_evolution_of_its_paper(distance):
    x, gamma = np.linspace(0, 2, 5), 0.7

    def word(letter, *wires):
        return reduce(np.kron, [PAULI[letter] if wire in wires else np.eye(2) for wire in range(5)])

    field = sum(gamma * x[i] * word("z", i) for i in range(5))
    pairs = [(i, j) for i in range(5) for j in range(i + 1, 5) if j - i <= distance]
    coupling = sum(np.pi / 2 * gamma**2 * (1 - x[i]) * (1 - x[j]) * word("x", i, j) for i, j in pairs)
    state = np.full(32, 32**-0.5)
    for _ in range(2):
        state = expm(-1j * coupling) @ expm(-1j * field) @ state
    np.testing.assert_allclose(prepared(IsingChain(distance, gamma).gates(x), 5), state, atol=1e-12)


@pytest.mark.parametrize("name", FEATURE_MAPS)
def test_every_feature_changes_the_state_in_first_order_at_zero(name):
    """A feature that the default weights hide at x = 0 would be lost to a kernel of small bandwidth."""
    known = feature_map(name)
    n_features = 2 * known.features_per_qubit
    wires = known.n_qubits(n_features)
    start = 1.2 if name == "peters" else 0.0  # whose Hadamards undo each other at 0, as its docstring says
    least = 0.001 if name == "ising_chain" else 0.01  # it has the factor γ in its angles: ‖dψ‖² goes with γ²
    for feature in range(n_features):
        x = [Dual(start, float(k == feature)) for k in range(n_features)]
        state, tangent = states_and_tangents(known.gates(x), wires)
        metric = np.vdot(tangent[0], tangent[0]).real - abs(np.vdot(state[0], tangent[0])) ** 2
        assert metric > least


# --- rounds and the catalogue -------------------------------------------------------------------


@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 3))
def test_rounds_deal_in_order_and_fill_up_from_the_first(n_features, n_wires_, per_wire):
    dealt = rounds(range(n_features), n_wires_, per_wire)
    flat = [feature for one in dealt for feature in one]
    assert flat == [k % n_features for k in range(len(flat))]
    assert {len(one) for one in dealt} == {n_wires_ * per_wire}
    assert n_features <= len(flat) < n_features + n_wires_ * per_wire


def test_counts_of_qubits():
    counts = {name: [known.n_qubits(n) for n in (1, 4, 17)] for name, known in FEATURE_MAPS.items()}
    one_each = [1, 4, 17]
    assert counts == {
        "zz": one_each,
        "z": one_each,
        "iqp": one_each,
        "hubregtsen": one_each,
        "heisenberg": [2, 5, 18],
        "angle_yz_cx": [1, 2, 9],
        "covariant_ry": [1, 2, 9],
        "high_dimensional": [1, 2, 6],
        "ising_chain": one_each,
        "peters": [1, 1, 2],
    }
    assert feature_map("peters").n_qubits(150, reps=1) == 25


@pytest.mark.parametrize("name", FEATURE_MAPS)
@pytest.mark.parametrize("n_qubits", [2, 3, None])
def test_default_weights_are_those_that_are_taken_without_any(name, n_qubits):
    known = feature_map(name)
    x = [0.3, -0.2, 0.9, 1.2, 0.1, -0.7, 0.5]
    weights = known.default_weights(len(x), 2, n_qubits)
    assert len(weights) == known.n_weights(len(x), 2, n_qubits)
    assert (len(weights) > 0) == known.trainable == (name in TRAINABLE)
    assert list(known.gates(x, n_qubits=n_qubits, weights=weights)) == list(known.gates(x, n_qubits=n_qubits))


@pytest.mark.parametrize("name", FEATURE_MAPS)
def test_entanglement_is_what_the_catalogue_says(name):
    known = feature_map(name)
    gates = {pattern: list(known.gates([0.3] * 12, 2, pattern, n_qubits=4)) for pattern in ("linear", "full")}
    assert known.entangles == any(len(gate.wires) == 2 for gate in gates["linear"])
    assert known.takes_entanglement == (gates["linear"] != gates["full"])
    assert not known.takes_entanglement or known.entangles


@pytest.mark.parametrize("name", TRAINABLE)
def test_weights_can_be_trained_with_torch(name):
    known = feature_map(name)
    x, y = torch.tensor([[0.4, -0.9, 1.3, 0.2], [0.1, 0.5, -0.6, 0.8]], dtype=torch.float64)
    start = known.default_weights(4, 2)
    weights = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    wires = known.n_qubits(4)

    def kernel(values):
        a, b = (states(known.gates(list(v), weights=values), wires)[0] for v in (x, y))
        return (a.conj() @ b).abs() ** 2

    (gradient,) = torch.autograd.grad(kernel(weights), weights)
    direction = torch.linspace(-1, 1, len(start), dtype=torch.float64)
    step = 1e-6 * direction
    with torch.no_grad():
        slope = (kernel(weights + step) - kernel(weights - step)) / 2e-6
    np.testing.assert_allclose((gradient @ direction).item(), slope.item(), atol=1e-8)
    assert gradient.abs().max() > 1e-3


def test_bad_requests():
    with pytest.raises(ValueError, match="unknown feature map 'zzz'; known are zz, z, "):
        feature_map("zzz")
    with pytest.raises(TypeError):
        FEATURE_MAPS["mine"] = FEATURE_MAPS["z"]
    for name, known in FEATURE_MAPS.items():
        with pytest.raises(ValueError, match="at least one feature"):
            known.gates([])
        with pytest.raises(ValueError, match="at least one feature"):
            list(known.generator([]))
        with pytest.raises(ValueError, match="n_qubits of at least"):
            known.gates([0.1], n_qubits=0)
        with pytest.raises(ValueError, match=r"at least (1|2 qubits), got 0"):
            list(known.generator([0.1], n_qubits=0))
        with pytest.raises(ValueError, match="reps must be at least 1"):
            list(known.gates([0.1], reps=0))
        with pytest.raises(ValueError, match="reps must be at least 1"):
            known.default_weights(3, 0)
        takes = "takes no weights, got 1" if name not in TRAINABLE else r"takes \d+ weights, got 1"
        with pytest.raises(ValueError, match=takes):
            list(known.gates([0.1, 0.2, 0.3], weights=[0.1]))
        if known.takes_entanglement:
            with pytest.raises(ValueError, match="unknown entanglement 'star'"):
                list(known.gates([0.1] * 4, entanglement="star"))
    with pytest.raises(ValueError, match="at least 2 qubits, got 1"):
        list(heisenberg([0.1], n_qubits=1))
    for settings_, message in (({"distance": 0}, "distance must be at least 1"), ({"gamma": -1.0}, "gamma must be")):
        with pytest.raises(ValueError, match=message):
            IsingChain(**settings_)


def test_ising_chain_is_a_value():
    assert IsingChain() == FEATURE_MAPS["ising_chain"]
    assert IsingChain(gamma=0.2) != IsingChain()
    assert len({IsingChain(2), IsingChain(2), IsingChain(3)}) == 2
    assert pickle.loads(pickle.dumps(IsingChain(2, 0.3))) == IsingChain(distance=2, gamma=0.3)  # noqa: S301
    assert repr(IsingChain(2, 0.3)) == "IsingChain(distance=2, gamma=0.3)"


def test_layers_of_cyclic_patterns_go_on_through_the_rounds():
    """sca turns its pairs round in every layer, whether the layer belongs to a new repetition or to a new round."""
    x = [0.1, 0.2, 0.3]
    by_rounds = [gate.wires for gate in zz(x * 2, 1, "sca", n_qubits=3) if gate.name == "cx"]
    by_reps = [gate.wires for gate in zz(x, 2, "sca") if gate.name == "cx"]
    assert by_rounds == by_reps
    assert any(a != b[::-1] for a, b in pairwise(by_reps))
