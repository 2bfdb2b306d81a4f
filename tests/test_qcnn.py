from __future__ import annotations

from functools import reduce
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import qperov_circuits
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import qasm3
from qiskit.quantum_info import Operator, Pauli
from qperov_circuits.adapters.to_qasm import to_qasm
from qperov_circuits.adapters.to_qiskit import to_qiskit
from qperov_circuits.amplitude_encoding import amplitude, tree_angles
from qperov_circuits.qcnn import entangling, entangling_size, published, ring_pairs
from scipy.linalg import expm

from qperov.quantum.simulation.statevector import states

QASM = Path(qperov_circuits.__file__).parent / "qasm"
GOLDEN = {
    "qcnn_published.qasm": lambda: published([round(0.1 * i - 1, 1) for i in range(21)]),
    "qcnn_entangling_3_2.qasm": lambda: entangling([0.125 * i for i in range(22)], 3, 2, layers=1),
    "qcnn_amplitude_3.qasm": lambda: amplitude(tree_angles([1.0, -2.0, 0.5, 0.0, 0.0, 0.0, 3.0, 4.0])),
}

I2, X, Z = np.eye(2), np.array([[0, 1], [1, 0]]), np.diag([1, -1])
Y = 1j * X @ Z
angles = st.floats(-7, 7)


def rotation(pauli, angle):
    return expm(-0.5j * angle * pauli)


def on(wire_matrices):
    return reduce(np.kron, [wire_matrices.get(wire, I2) for wire in range(5)])


def published_by_matrices(theta):
    """The encoder from its definition, product of matrices from left to right."""

    def local(offset):
        turns = {}
        for wire in range(5):
            a = offset + 3 * (wire % 2)
            turns[wire] = rotation(Z, theta[a + 2]) @ rotation(Y, theta[a + 1]) @ rotation(X, theta[a])
        return on(turns)

    def pair(first, second):
        turn = rotation(X, theta[6]) @ rotation(Y, theta[7]) @ rotation(Z, theta[8])
        return on({first: turn, second: turn})

    def pool(control, target):
        after = rotation(Z, theta[17]) @ rotation(Y, theta[16]) @ rotation(X, theta[15])
        of_control = rotation(Z, theta[20]) @ rotation(Y, theta[19]) @ rotation(X, theta[18])
        before = rotation(Z, -theta[17]) @ rotation(Y, -theta[16]) @ rotation(X, -theta[15])
        controlled = on({control: np.diag([1, 0])}) + on({control: np.diag([0, 1]), target: X})
        return on({target: after, control: of_control}) @ controlled @ on({target: before})

    convolution = [local(0), pair(0, 1), pair(2, 3), pair(0, 4), local(9), local(0), pair(1, 2), pair(3, 4), local(9)]
    return reduce(np.matmul, [*convolution, pool(0, 2), pool(0, 3), pool(0, 4), pool(0, 1)])


def matrix(gates, n_qubits):
    return Operator(to_qiskit(list(gates), n_qubits)).data


@given(st.lists(angles, min_size=21, max_size=21))
@settings(max_examples=10, deadline=None)
def test_published_is_the_product_of_its_matrices(theta):
    np.testing.assert_allclose(matrix(published(theta), 5), published_by_matrices(theta), atol=1e-12)


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_sizes_count_the_angles_that_are_used(n):
    for k in range(1, n):
        pairs, pools = len(ring_pairs(n)), k * (n - k)
        assert entangling_size(n, k, 2) == 2 * (6 * pairs + 2 * pools)
        gates = list(entangling([1.0] * entangling_size(n, k, 2), n, k, 2))
        assert sum(len(gate.wires) == 2 for gate in gates) == 2 * (4 * pairs + pools)
    assert entangling_size(10**30, 1, shared=True) == 24  # counted, not listed


def test_published_entangles_by_its_pools_alone():
    gates = list(published([0.1] * 21))
    assert [gate.wires for gate in gates if len(gate.wires) == 2] == [(0, 1), (0, 4), (0, 3), (0, 2)]
    assert {gate.name for gate in gates} == {"rx", "ry", "rz", "cx"}


@pytest.mark.parametrize(("n", "k"), [(2, 1), (3, 1), (3, 2), (4, 2)])
@pytest.mark.parametrize("shared", [False, True])
def test_entangling_is_unitary_and_real_up_to_a_phase(n, k, shared):
    theta = np.random.default_rng(n).uniform(-3, 3, entangling_size(n, k, 2, shared))
    unitary = matrix(entangling(theta, n, k, 2, shared), n)
    np.testing.assert_allclose(unitary @ unitary.conj().T, np.eye(2**n), atol=1e-12)
    phase = unitary.flat[np.argmax(abs(unitary))]
    np.testing.assert_allclose((unitary / phase).imag, 0, atol=1e-12)


def test_a_convolution_is_the_product_of_its_six_exponentials():
    theta = [0.3, -0.8, 1.1, 0.4, -0.6, 0.9, 0.0, 0.0]
    words = ["YI", "IY", "YX", "XY", "YZ", "ZY"]
    expected = np.eye(4)
    for word, angle in zip(words, theta, strict=False):
        expected = expm(-0.5j * angle * Pauli(word).to_matrix()) @ expected
    cx = np.array([[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]])  # code wire 1 on trash wire 0
    np.testing.assert_allclose(matrix(entangling(theta, 2, 1, layers=1), 2), cx @ expected, atol=1e-12)


def test_six_real_generators_span_rotations_of_four_dimensions():
    generators = [1j * Pauli(word).to_matrix() for word in ("YI", "IY", "YX", "XY", "YZ", "ZY")]
    assert np.abs(np.imag(generators)).max() == 0
    assert np.linalg.matrix_rank(np.real(generators).reshape(6, -1)) == 6  # the dimension of so(4)


def test_a_shared_layer_gives_all_pairs_the_same_angles():
    theta = np.arange(1, 9) * 0.1
    size = entangling_size(4, 2, 1)
    copied = np.concatenate([np.tile(theta[:6], 4), np.tile(theta[6:], (size - 24) // 2)])
    np.testing.assert_allclose(
        matrix(entangling(theta, 4, 2, 1, shared=True), 4), matrix(entangling(copied, 4, 2, 1), 4), atol=1e-13
    )


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8])
def test_ring_pairs_touch_every_wire_and_close_the_ring(n):
    pairs = ring_pairs(n)
    assert len({frozenset(pair) for pair in pairs}) == len(pairs) == (1 if n == 2 else n)
    assert all((a + 1) % n == b for a, b in pairs)
    even = [pair for pair in pairs if pair[0] % 2 == 0 and pair[1] == pair[0] + 1]
    assert all(a[1] < b[0] for a, b in pairwise(even))  # side by side, they act at once


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.floats(-1e3, 1e3), min_size=2**n, max_size=2**n)))
@settings(max_examples=40, deadline=None)
def test_amplitudes_are_prepared_with_their_signs(vector):
    if max(map(abs, vector)) < 1e-6:
        vector[0] = 1.0
    n = len(vector).bit_length() - 1
    prepared = states(amplitude(tree_angles(vector)), n)[0]
    np.testing.assert_allclose(prepared, np.array(vector) / np.linalg.norm(vector), atol=1e-12)


def test_amplitudes_of_a_batch_and_their_cost():
    X = np.random.default_rng(0).normal(size=(6, 16))
    gates = list(amplitude(list(np.array([tree_angles(x) for x in X]).T)))
    np.testing.assert_allclose(states(gates, 4, 6), X / np.linalg.norm(X, axis=1, keepdims=True), atol=1e-12)
    assert [sum(gate.name == name for gate in gates) for name in ("ry", "cx")] == [15, 14]


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_amplitudes_do_not_depend_on_the_scale(scale):
    vector = np.array([1.0, -3.0, 0.5, 2.0])
    np.testing.assert_allclose(tree_angles(scale * vector), tree_angles(vector), atol=1e-12)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_qasm_files(name):
    text = (QASM / name).read_text()
    assert text == to_qasm(GOLDEN[name]())
    read = Operator(qasm3.loads(text).reverse_bits()).data
    np.testing.assert_allclose(read, Operator(to_qiskit(GOLDEN[name]())).data, atol=1e-12)


def test_there_is_no_golden_encoder_without_its_test():
    assert {path.name for path in QASM.glob("qcnn_*")} == set(GOLDEN)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: list(published([0.1] * 20)), "21 angles, got 20"),
        (lambda: list(entangling([0.1] * 5)), "114 angles, got 5"),
        (lambda: entangling_size(3, 3), "less than all 3 qubits"),
        (lambda: entangling_size(3, 0), "at least 1"),
        (lambda: entangling_size(3, 2, 0), "at least one layer"),
        (lambda: tree_angles([1.0, 2.0, 3.0]), "powers of two"),
        (lambda: tree_angles([1.0]), "at least two"),
        (lambda: tree_angles([0.0, 0.0]), "all amplitudes are zero"),
        (lambda: tree_angles([1.0, np.nan]), "not finite"),
        (lambda: list(amplitude([0.1, 0.2])), "2ⁿ − 1 angles"),
        (lambda: list(amplitude([])), "2ⁿ − 1 angles"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
