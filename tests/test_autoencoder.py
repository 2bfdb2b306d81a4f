from __future__ import annotations

import importlib.util
import json
import math
import pickle
import sys
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import DensityMatrix, Operator, Statevector, partial_trace
from qperov_circuits import Gate
from qperov_circuits.adapters.to_pennylane import to_pennylane
from qperov_circuits.adapters.to_qiskit import to_qiskit
from qperov_circuits.amplitude_encoding import amplitude, tree_angles
from qperov_circuits.gate import FIXED_GATES, ROTATION_GATES
from qperov_circuits.qcnn import entangling, entangling_size, published
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from qperov import PXRDFeaturizer, load_dataset
from qperov.errors import CircuitSizeError, MissingDependencyError, RecordError
from qperov.evaluation.splits import honest_groups, make_folds
from qperov.quantum.autoencoder import compression, trash_loss
from qperov.quantum.autoencoder.autoencoder import QuantumAutoencoder
from qperov.quantum.autoencoder.encoded_regressor import EncodedRegressor, TorchHead
from qperov.quantum.autoencoder.pennylane_objective import pennylane_objective
from qperov.quantum.autoencoder.trainability import dead_angles, random_gradients, trainability
from qperov.quantum.autoencoder.training import TrainingSettings, principal_columns
from qperov.quantum.autoencoder.trash_loss import TrashLoss
from qperov.quantum.simulation import noise
from qperov.quantum.simulation.noise import GateNoise, noisy_effect, noisy_losses, noisy_preparations
from qperov.quantum.simulation.pauli import PauliWord, pauli_word
from qperov.quantum.simulation.rotations import Affine, RotationCircuit, as_matrix, parameters
from qperov.quantum.simulation.statevector import states
from qperov.studies import autoencoder_findings as autoencoder_findings_module
from qperov.studies.autoencoder_findings import autoencoder_findings, compression_curve

rng = np.random.default_rng(5)
X = rng.normal(size=(12, 8)) @ np.diag([3, 2, 1, 0.3, 0.1, 0.1, 0.1, 0.1]) @ rng.normal(size=(8, 8))
SMALL = {"n_qubits": 3, "code_qubits": 2, "layers": 1}


@pytest.fixture(scope="module")
def cpx321():
    dataset = load_dataset("cpx321")
    vectors = PXRDFeaturizer("autoencoder").fit_transform(dataset.structures)
    groups = honest_groups(dataset.groups, [vectors])
    _, _, train, test = next(make_folds(len(vectors), groups, folds=4, repeats=1, random_state=0))
    return vectors[train], vectors[test]


@st.composite
def trainable_circuits(draw, n_qubits=3, n_angles=4):
    """A function of four angles: any gates, their angles sums of the four, or fixed, some by quarter turns."""
    plan = []
    for name in draw(st.lists(st.sampled_from([*FIXED_GATES, *ROTATION_GATES]), min_size=1, max_size=14)):
        wires = tuple(draw(st.permutations(range(n_qubits)))[: FIXED_GATES.get(name) or ROTATION_GATES[name]])
        kind = draw(st.sampled_from(["free", "quarters", "fixed"])) if name in ROTATION_GATES else "none"
        number = draw(st.integers(-4, 4)) * np.pi / 2 if kind == "quarters" else draw(st.floats(-3, 3))
        plan.append((name, wires, kind, number, *draw(st.tuples(*[st.integers(0, n_angles - 1)] * 2))))

    def ansatz(theta):
        for name, wires, kind, number, i, j in plan:
            angle = {"none": None, "free": 2 * theta[i] - theta[j] / 2 + number}.get(kind, number)
            yield Gate(name, wires, angle)

    return ansatz


# --- the circuit as rotations --------------------------------------------------------------------


@given(trainable_circuits())
@settings(max_examples=40, deadline=None)
def test_a_circuit_of_rotations_has_the_matrix_of_qiskit(ansatz):
    theta = np.array([0.3, -1.2, 2.5, 0.7])
    matrix = RotationCircuit(ansatz, 4, 3).matrix(theta)
    np.testing.assert_allclose(matrix, Operator(to_qiskit(ansatz(theta), 3)).data, atol=1e-12)


@given(trainable_circuits(), st.integers(1, 2))
@settings(max_examples=40, deadline=None)
def test_loss_and_gradient_against_their_definitions(ansatz, code_qubits):
    theta = np.array([0.3, -1.2, 2.5, 0.7])
    columns = np.random.default_rng(0).normal(size=(8, 3))
    circuit = RotationCircuit(ansatz, 4, 3)

    def loss(theta):
        return (columns**2).sum() - (abs(circuit.matrix(theta) @ columns)[: 2**code_qubits] ** 2).sum()

    value, gradient = TrashLoss(circuit, code_qubits)(theta, columns)
    assert value == pytest.approx(loss(theta), abs=1e-10)
    numerical = [(loss(theta + step) - loss(theta - step)) / 2e-5 for step in 1e-5 * np.eye(4)]
    np.testing.assert_allclose(gradient, numerical, atol=1e-6)


def test_gradient_is_that_of_the_parameter_shift_rule():
    states_ = compression.amplitudes(X, 3)
    columns = principal_columns(states_)
    n_angles = entangling_size(3, 2, 1)
    circuit = RotationCircuit(lambda t: entangling(t, 3, 2, 1), n_angles, 3)
    loss = TrashLoss(circuit, 2)
    theta = np.random.default_rng(1).uniform(-3, 3, n_angles)
    gradient = loss(theta, columns)[1]
    for j in range(18):  # a convolution's angles belong to one gate each
        up, down = (loss(theta + sign * np.pi / 2 * np.eye(n_angles)[j], columns)[0] for sign in (1, -1))
        assert gradient[j] == pytest.approx((up - down) / 2, abs=1e-12)


def test_gradient_is_that_of_torch_through_our_statevector():
    z = compression.amplitudes(X[:1], 3)[0]
    n_angles = entangling_size(3, 1, 1)
    theta = np.random.default_rng(2).uniform(-3, 3, n_angles)
    angles = torch.tensor(theta, requires_grad=True)
    psi = states([*amplitude(tree_angles(z)), *entangling(list(angles), 3, 1, 1)], 3)[0]
    loss = 1 - (psi[:2].abs() ** 2).sum()
    loss.backward()
    circuit = RotationCircuit(lambda t: entangling(t, 3, 1, 1), n_angles, 3)
    value, gradient = TrashLoss(circuit, 1)(theta, z[:, None])
    assert value == pytest.approx(float(loss.detach()), abs=1e-12)
    np.testing.assert_allclose(gradient, angles.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("device", ["default.qubit", "lightning.qubit"])
def test_pennylane_devices_give_the_same_loss_and_gradient(device):
    columns = principal_columns(compression.amplitudes(X, 3))
    theta = np.random.default_rng(3).uniform(-3, 3, entangling_size(3, 2, 1))

    def ansatz(theta):
        return entangling(theta, 3, 2, 1)

    ours = TrashLoss(RotationCircuit(ansatz, len(theta), 3), 2)(theta, columns)
    theirs = pennylane_objective(ansatz, 3, 2, device)(theta, columns)
    assert ours[0] == pytest.approx(theirs[0], abs=1e-12)
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-10)


def test_training_on_a_pennylane_device_follows_the_same_path():
    settings_ = SMALL | {"optimizer": "adam", "epochs": 2, "batch_size": 5, "random_state": 3}
    exact = QuantumAutoencoder(**settings_).fit(X)
    peer = QuantumAutoencoder(**settings_, simulator="default.qubit").fit(X)
    np.testing.assert_allclose(exact.angles_, peer.angles_, atol=1e-9)
    np.testing.assert_allclose(exact.step_losses_, peer.step_losses_, atol=1e-10)


def test_only_rotations_that_reach_the_trash_are_simulated():
    circuit = RotationCircuit(published, 21, 5)
    assert (TrashLoss(circuit, 4).n_rotations, len(circuit.words)) == (41, 126)
    whole = RotationCircuit(lambda t: entangling(t, 5, 1, 2), entangling_size(5, 1, 2), 5)
    assert TrashLoss(whole, 1).n_rotations == len(whole.words)


def test_columns_in_blocks_change_nothing(monkeypatch):
    columns = principal_columns(compression.amplitudes(X, 3))
    loss = TrashLoss(RotationCircuit(lambda t: entangling(t, 3, 2, 1), 22, 3), 2)
    theta = np.linspace(-1, 1, 22)
    whole = loss(theta, columns)
    monkeypatch.setattr(trash_loss, "TRAJECTORY_BYTES", 1)
    value, gradient = loss(theta, columns)
    assert value == pytest.approx(whole[0], abs=1e-14)
    np.testing.assert_allclose(gradient, whole[1], atol=1e-13)


def test_loss_of_all_samples_is_that_of_their_principal_columns():
    states_ = compression.amplitudes(np.vstack([X] * 5), 3)
    columns = principal_columns(states_)
    assert columns.shape[1] <= 8
    np.testing.assert_allclose(columns @ columns.T, states_.T @ states_ / len(states_), atol=1e-14)


@pytest.mark.parametrize("quarters", [-1, 1, 2, 3, 5])
@pytest.mark.parametrize("axis", ["xz", "yy", "zy"])
@pytest.mark.parametrize("letters", ["zx", "yx", "xx"])
def test_quarter_turns_of_pauli_words(letters, axis, quarters):
    def matrix(word):
        sources, phases = word.sources_and_phases(2)
        return phases[:, None] * np.eye(4)[sources]

    word, about = pauli_word(letters, (0, 1), 2), pauli_word(axis, (0, 1), 2)
    angle = quarters * np.pi / 4
    turn = np.cos(angle) * np.eye(4) - 1j * np.sin(angle) * matrix(about)
    np.testing.assert_allclose(matrix(word.turn(about, quarters)), turn.conj().T @ matrix(word) @ turn, atol=1e-14)
    assert word.is_imaginary == bool(np.abs(matrix(word).imag).max() > 0)


def test_the_empty_word_commutes_with_all():
    assert PauliWord(0, 0).commutes(pauli_word("xy", (0, 2), 3))
    assert not pauli_word("x", (1,), 3).commutes(pauli_word("z", (1,), 3))


def test_affine_angles_obey_the_rules_of_sums():
    a, b = parameters(2)
    weights, constants = as_matrix([2 * a - b / 4 + 1, 1 - a, -(a + b), 0.5], 2)
    np.testing.assert_array_equal(weights, [[2, -0.25], [-1, 0], [-1, -1], [0, 0]])
    np.testing.assert_array_equal(constants, [1, 1, 0, 0.5])
    assert isinstance(np.float64(2.0) * a, Affine)
    for not_a_sum in (lambda: a * b, lambda: a / b, lambda: 2 / a, lambda: a**2, lambda: 2**a, lambda: math.sin(a)):
        with pytest.raises(ValueError, match="not products or functions"):
            not_a_sum()
    with pytest.raises(TypeError, match="ufunc"):
        np.sin(a)


# --- compression ---------------------------------------------------------------------------------


def random_unitary(size, seed):
    random = np.random.default_rng(seed)
    return np.linalg.qr(random.normal(size=(size, size)) + 1j * random.normal(size=(size, size)))[0]


@given(st.integers(0, 1000), st.integers(1, 2))
@settings(max_examples=25, deadline=None)
def test_decoded_states_are_states_and_give_the_fidelity(seed, code_qubits):
    unitary = random_unitary(8, seed)
    z = compression.amplitudes(np.random.default_rng(seed).normal(size=(4, 8)), 3)
    encoded = z @ unitary.T
    decoded = compression.decoded_states(encoded, unitary, code_qubits)
    kept, fidelity = compression.kept_weights(encoded, code_qubits), compression.fidelities(encoded, code_qubits)
    for i, (state, rho) in enumerate(zip(encoded, decoded, strict=True)):
        assert np.trace(rho) == pytest.approx(1, abs=1e-12)
        assert np.linalg.eigvalsh(rho).min() > -1e-12
        assert np.sqrt((z[i] @ rho @ z[i]).real) == pytest.approx(fidelity[i], abs=1e-12)
        trash = range(3 - code_qubits)  # Qiskit counts from the other end
        code = partial_trace(Statevector(state), [2 - wire for wire in trash])
        theirs = np.kron(DensityMatrix.from_int(0, 2 ** (3 - code_qubits)).data, code.data)
        np.testing.assert_allclose(rho, unitary.conj().T @ theirs @ unitary, atol=1e-12)
    assert (kept - 1e-12 <= fidelity).all()
    assert (fidelity <= np.sqrt(kept) + 1e-12).all()


@given(st.integers(0, 1000), st.integers(1, 2))
@settings(max_examples=25, deadline=None)
def test_no_encoder_beats_the_spectral_bound(seed, code_qubits):
    z = compression.amplitudes(np.random.default_rng(seed).normal(size=(6, 8)) * np.arange(1, 9), 3)
    bound = compression.spectral_bound(z, 2**code_qubits)
    basis = np.linalg.svd(z)[2]  # the best encoder there is
    for unitary in (random_unitary(8, seed), basis):
        assert compression.fidelities(z @ unitary.T, code_qubits).mean() <= bound + 1e-12
    kept = compression.kept_weights(z @ basis.T, code_qubits).mean()
    assert np.sqrt(kept) == pytest.approx(bound, abs=1e-12)


def test_baselines_are_nested_projections():
    z = compression.amplitudes(X, 3)
    one = compression.constant_state_fidelities(z[:8], z[8:])
    linear = [compression.linear_autoencoder_fidelities(z[:8], z[8:], d) for d in (1, 2, 4, 8)]
    np.testing.assert_array_equal(one, linear[0])
    assert all((a <= b + 1e-12).all() for a, b in pairwise(linear))
    np.testing.assert_allclose(linear[3], 1, atol=1e-12)


@pytest.mark.parametrize("observables", ["z", "pauli"])
def test_code_expectations_are_those_of_qiskit(observables):
    encoded = compression.amplitudes(X[:3], 3) @ random_unitary(8, 4).T
    ours = compression.code_expectations(encoded, 2, observables)
    names = [name for name, _ in compression.code_words(2, observables)]
    assert len(names) == ours.shape[1] == (2 if observables == "z" else 3 * 2 + 9)
    for row, state in zip(ours, encoded, strict=True):
        for value, name in zip(row, names, strict=True):
            label = ["I", "I", "I"]
            for part in name.split():
                label[1 + int(part[1])] = part[0]
            assert value == pytest.approx(
                Statevector(state).expectation_value(Operator.from_label("".join(label))).real
            )


def test_amplitudes_are_padded_and_free_of_scale():
    rows = compression.amplitudes([[3.0, -4.0, 0.0], [3e-200, -4e-200, 0.0], [3e200, -4e200, 0.0]], 2)
    np.testing.assert_allclose(rows, [[0.6, -0.8, 0, 0]] * 3, atol=1e-15)


# --- the estimator -------------------------------------------------------------------------------


@parametrize_with_checks(
    [QuantumAutoencoder(epochs=5, zero_vectors="nan"), QuantumAutoencoder(epochs=5)],
    expected_failed_checks=lambda estimator: (
        {"check_estimators_dtypes": "it feeds a row of zeros, which is no state"}
        if estimator.zero_vectors == "raise"
        else {}
    ),
)
def test_scikit_learn_conventions_of_the_autoencoder(estimator, check, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    check(estimator)


def test_the_published_training_reaches_the_published_fidelity(cpx321):
    train, test = cpx321
    model = QuantumAutoencoder(mode="published").fit(train[:500])
    assert len(model.step_losses_) == 2500
    assert len(model.loss_history_) == 6
    assert 0.985 < model.score(test) < 0.993  # 0.9887 in the paper
    assert model.loss(test) < 0.02


def test_the_entangling_encoder_beats_it(cpx321):
    train, test = cpx321
    model = QuantumAutoencoder().fit(train)
    assert model.score(test) >= 0.9999
    z = compression.amplitudes(test, 5)
    assert model.score(test) <= compression.spectral_bound(z, 16)
    assert compression.constant_state_fidelities(z, z).mean() == pytest.approx(0.926, abs=0.01)
    assert QuantumAutoencoder(code_qubits=2, epochs=300).fit(train).score(test) >= 0.995


def test_the_same_seed_gives_the_same_angles():
    for settings_ in (SMALL, SMALL | {"optimizer": "adam", "batch_size": 3, "epochs": 4}):
        first, again, other = (QuantumAutoencoder(**settings_, random_state=s).fit(X) for s in (1, 1, 2))
        np.testing.assert_array_equal(first.angles_, again.angles_)
        assert not np.array_equal(first.angles_, other.angles_)


def test_a_subspace_that_fits_the_code_is_learnt_exactly():
    basis = np.linalg.qr(np.random.default_rng(8).normal(size=(8, 2)))[0]
    data = np.random.default_rng(9).normal(size=(30, 2)) @ basis.T
    model = QuantumAutoencoder(3, code_qubits=1, layers=3).fit(data[:20])
    assert model.score(data[20:]) > 1 - 1e-6
    np.testing.assert_allclose(model.reconstruct(data[20:]), data[20:], atol=1e-3)


def test_what_the_methods_say_fits_together():
    model = QuantumAutoencoder(**SMALL, epochs=30).fit(X)
    encoded = model.encode(X)
    assert model.loss(X) == pytest.approx(min(model.loss_history_), abs=1e-12)
    assert model.score(X) == pytest.approx(model.fidelity(X).mean())
    np.testing.assert_allclose(encoded, compression.amplitudes(X, 3) @ Operator(to_qiskit(model.gates(), 3)).data.T)
    lost = np.linalg.norm(model.reconstruct(X), axis=1) / np.linalg.norm(X, axis=1)
    np.testing.assert_allclose(lost**2, compression.kept_weights(encoded, 2), atol=1e-12)
    np.testing.assert_allclose(np.trace(model.decoded_states(X), axis1=1, axis2=2), 1, atol=1e-12)
    assert list(model.get_feature_names_out()) == ["Z0", "Z1"]
    words = clone(model).set_params(observables="pauli").set_angles(model.angles_)
    assert words.transform(X).shape == (12, 15) == (12, len(words.get_feature_names_out()))


def test_early_stopping_keeps_the_best_angles():
    settings_ = SMALL | {"optimizer": "adam", "epochs": 300, "patience": 5, "learning_rate": 1.0}
    model = QuantumAutoencoder(**settings_).fit(X)
    assert len(model.loss_history_) < 301
    assert model.loss(X) == pytest.approx(min(model.loss_history_), abs=1e-12)
    assert model.loss_history_[-1] > min(model.loss_history_)
    whole = QuantumAutoencoder(**settings_ | {"patience": None, "epochs": 40}).fit(X)
    assert len(whole.loss_history_) == 41


def test_the_number_of_qubits_can_follow_the_features():
    assert QuantumAutoencoder(None, code_qubits=1, epochs=2).fit(X[:, :5]).n_qubits_ == 3
    assert QuantumAutoencoder(None, code_qubits=3, epochs=2).fit(X[:, :2]).n_qubits_ == 4


def test_an_ansatz_of_ones_own():
    def ansatz(theta):
        yield Gate("ry", (0,), theta[0])
        yield Gate("cx", (1, 0))

    data = np.array([[np.cos(0.4), 0, np.sin(0.4), 0]] * 3)  # wire 0 turned by 0.8
    model = QuantumAutoencoder(2, code_qubits=1, ansatz=ansatz, n_angles=1).fit(data)
    assert model.angles_ == pytest.approx([-0.8], abs=1e-4)
    with pytest.raises(ValueError, match="cannot be saved"):
        model.save("angles.json")
    with pytest.raises(ValueError, match="needs n_angles"):
        QuantumAutoencoder(2, code_qubits=1, ansatz=ansatz).fit(data)


def test_angles_are_saved_and_replayed(tmp_path):
    model = QuantumAutoencoder(**SMALL, observables="pauli", epochs=10).fit(X)
    path = model.save(tmp_path / "angles.json")
    again = QuantumAutoencoder.load(path)
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    assert again.loss_history_ == model.loss_history_
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).transform(X), model.transform(X))  # noqa: S301
    again.angles_ = np.zeros_like(model.angles_)
    assert not np.allclose(again.transform(X), model.transform(X))
    assert [entry.name for entry in tmp_path.iterdir()] == ["angles.json"]

    theta = np.linspace(-1, 1, 21)
    replayed = QuantumAutoencoder(ansatz="published").set_angles(theta)
    np.testing.assert_allclose(replayed.unitary(), Operator(to_qiskit(published(theta), 5)).data, atol=1e-12)
    assert replayed.fidelity(np.eye(32)).shape == (32,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: "not JSON", "could be read"),
        (lambda c: json.dumps([1]), "not a file"),
        (lambda c: json.dumps(c | {"format": "other"}), "not a file"),
        (lambda c: json.dumps(c | {"version": 99}), "version 99"),
        (lambda c: json.dumps(c | {"angles": c["angles"][1:]}), "has 22 angles"),
        (lambda c: json.dumps({key: value for key, value in c.items() if key != "parameters"}), "fit no quantum"),
        (lambda c: "[" * 200_000, "could be read"),
        (lambda c: json.dumps(c | {"n_features": float("inf")}), "fit no quantum"),
        (lambda c: json.dumps(c | {"n_features": 7.5}), "fit no quantum"),
        (lambda c: json.dumps(c | {"n_features": 0}), "at least one feature"),
        # sizes that would fill any memory are refused before anything is built
        (lambda c: json.dumps(c | {"parameters": c["parameters"] | {"n_qubits": 10**30}}), "array of shape"),
        (lambda c: json.dumps(c | {"parameters": c["parameters"] | {"layers": 10**7}}), "array of shape"),
    ],
)
def test_files_that_are_no_angles(tmp_path, change, message):
    path = QuantumAutoencoder(**SMALL, epochs=2).fit(X).save(tmp_path / "angles.json")
    path.write_text(change(json.loads(path.read_text())))
    with pytest.raises(RecordError, match=message):
        QuantumAutoencoder.load(path)
    with pytest.raises(RecordError, match="could be read"):
        QuantumAutoencoder.load(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("settings_", "data", "message"),
    [
        ({}, np.vstack([X, np.zeros(8)]), "first in row 12.*zero vector"),
        ({}, np.where(X > 3, np.nan, X), "NaN"),
        ({"n_qubits": 2, "code_qubits": 1}, X, "8 features.*n_qubits=2.*n_qubits=3"),
        ({"code_qubits": 3}, X, "less than all of the 3"),
        ({"code_qubits": 0}, X, "at least one"),
        ({"ansatz": "published"}, X, "5 qubits to 4, not 3 to 2"),
        ({"ansatz": "qft"}, X, "unknown ansatz 'qft'"),
        ({"optimizer": "sgd"}, X, "unknown optimizer 'sgd'"),
        ({"batch_size": 4}, X, "L-BFGS takes all samples"),
        ({"epochs": 0}, X, "epochs must be at least 1"),
        ({"patience": 0}, X, "patience must be at least 1"),
        ({"learning_rate": -1.0}, X, "learning_rate must be positive"),
        ({"tolerance": -1.0}, X, "tolerance must not be negative"),
        ({"initial_spread": -1.0}, X, "initial_spread"),
        ({"observables": "x"}, X, "unknown observables 'x'"),
        ({"layers": 0}, X, "at least one layer"),
        ({"zero_vectors": "skip"}, X, "zero_vectors must be"),
        ({"zero_vectors": "nan"}, np.zeros((3, 8)), "all vectors are zero"),
    ],
)
def test_bad_input_is_named(settings_, data, message):
    with pytest.raises(ValueError, match=message):
        QuantumAutoencoder(**SMALL | settings_).fit(data)


def test_bad_input_after_fitting():
    model = QuantumAutoencoder(**SMALL, epochs=2).fit(X)
    with pytest.raises(ValueError, match="expecting 8 features"):
        model.transform(X[:, :5])
    with pytest.raises(ValueError, match="zero vector"):
        model.fidelity(np.zeros((1, 8)))
    with pytest.raises(ValueError, match="22 angles"):
        QuantumAutoencoder(**SMALL).set_angles([0.1])
    with pytest.raises(ValueError, match="not finite"):
        QuantumAutoencoder(**SMALL).set_angles([np.nan] * 22)
    with pytest.raises(ValueError, match="number of features must be given"):
        QuantumAutoencoder(None).set_angles([0.1])
    with pytest.raises(CircuitSizeError):
        QuantumAutoencoder(24, code_qubits=23).fit(X)


def test_angles_alone_make_no_encoder():
    model = QuantumAutoencoder(**SMALL)
    model.angles_ = np.zeros(22)
    with pytest.raises(NotFittedError):
        model.transform(X)
    for n_features in (0, -3):
        with pytest.raises(ValueError, match="at least one feature"):
            QuantumAutoencoder(**SMALL).set_angles(np.zeros(22), n_features)


def test_the_best_of_a_grid_search_over_arrays_can_be_saved(tmp_path):
    grid = {"code_qubits": np.arange(1, 3), "shared": np.array([False, True])}
    best = GridSearchCV(QuantumAutoencoder(**SMALL, epochs=5), grid, cv=2, n_jobs=2).fit(X).best_estimator_
    again = QuantumAutoencoder.load(best.save(tmp_path / "angles.json"))
    np.testing.assert_array_equal(again.transform(X), best.transform(X))


def test_tables_in_and_out():
    table = pd.DataFrame(X, columns=list("abcdefgh"))
    model = QuantumAutoencoder(**SMALL, epochs=3).set_output(transform="pandas").fit(table)
    assert list(model.transform(table).columns) == ["Z0", "Z1"]
    np.testing.assert_array_equal(model.reconstruct(table), QuantumAutoencoder(**SMALL, epochs=3).fit(X).reconstruct(X))
    with pytest.raises(ValueError, match="feature names"):
        model.transform(table[list("hgfedcba")])


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_reconstructions_have_the_scale_of_their_vectors(scale):
    model = QuantumAutoencoder(**SMALL, epochs=3).fit(X)
    np.testing.assert_allclose(model.reconstruct(scale * X) / scale, model.reconstruct(X), rtol=1e-10)


def test_zero_vectors_can_be_left_out():
    with_zero = np.vstack([X, np.zeros(8)])
    model = QuantumAutoencoder(**SMALL, epochs=5, zero_vectors="nan").fit(with_zero)
    np.testing.assert_array_equal(model.angles_, QuantumAutoencoder(**SMALL, epochs=5).fit(X).angles_)
    assert np.isnan(model.transform(with_zero)).any(axis=1).tolist() == [False] * 12 + [True]


def test_absent_packages_are_named_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert QuantumAutoencoder(**SMALL, epochs=2).fit(X).score(X) > 0  # needs neither
    with pytest.raises(MissingDependencyError, match="PennyLane and torch"):
        QuantumAutoencoder(**SMALL, simulator="default.qubit").fit(X)
    with pytest.raises(MissingDependencyError, match="needs PyTorch"):
        TorchHead().fit(X, X[:, 0])


def test_progress_is_shown_when_asked_for(capsys):
    QuantumAutoencoder(**SMALL, epochs=3).fit(X)
    assert capsys.readouterr() == ("", "")
    QuantumAutoencoder(**SMALL, epochs=3, progress=True).fit(X)
    out, error = capsys.readouterr()
    assert out == ""
    assert "loss" in error
    assert "3/3" in error


def test_training_has_the_same_defaults_inside_and_outside():
    outside = QuantumAutoencoder().get_params()
    assert all(outside[name] == value for name, value in asdict(TrainingSettings()).items())


# --- a property from the code --------------------------------------------------------------------


@pytest.mark.slow
@parametrize_with_checks(
    [
        TorchHead(epochs=20),
        EncodedRegressor(
            QuantumAutoencoder(epochs=5, observables="pauli", zero_vectors="nan"),
            regressor=DecisionTreeRegressor(random_state=0),
        ),
    ]
)
def test_scikit_learn_conventions_of_the_regressors(estimator, check, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    check(estimator)


def test_a_property_of_the_code_is_learnt():
    data = np.random.default_rng(0).normal(size=(150, 4))
    y = (data[:, 0] * data[:, 1]) / (data**2).sum(axis=1)
    autoencoder = QuantumAutoencoder(3, code_qubits=2, observables="pauli")
    for regressor, least in ((make_pipeline(StandardScaler(), Ridge(1e-3)), 0.99), (TorchHead(epochs=60), 0.9)):
        model = EncodedRegressor(autoencoder, regressor=regressor).fit(data[:100], y[:100])
        assert model.score(data[100:], y[100:]) > least
        assert not hasattr(autoencoder, "angles_")


def test_the_head_is_a_network_of_torch():
    data = np.random.default_rng(0).normal(size=(20, 3))
    head = TorchHead(epochs=2, standardize=False).fit(data, data[:, 0])
    network = torch.nn.Sequential(torch.nn.Linear(3, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1)).double()
    for parameter, values in zip(network.parameters(), head.weights_, strict=True):
        parameter.data = torch.tensor(values)
    np.testing.assert_allclose(head.predict(data), network(torch.tensor(data))[:, 0].detach().numpy(), atol=1e-12)
    shifted = TorchHead(epochs=2).fit(data, 1e3 + data[:, 0])
    np.testing.assert_allclose(shifted.predict(data) - 1e3, TorchHead(epochs=2).fit(data, data[:, 0]).predict(data))
    small = TorchHead(epochs=2).fit(data, 1e-19 * data[:, 0])  # labels in joules, say
    np.testing.assert_allclose(small.predict(data) * 1e19, TorchHead(epochs=2).fit(data, data[:, 0]).predict(data))
    numpy_s = TorchHead(np.int64(32), epochs=np.int64(2), batch_size=np.int64(32)).fit(data, data[:, 0])
    np.testing.assert_array_equal(numpy_s.predict(data), TorchHead(epochs=2).fit(data, data[:, 0]).predict(data))
    noise = np.column_stack([data, 1e-17 * data[::-1, 0]])  # an expectation value that is zero but for rounding
    assert TorchHead(epochs=1).fit(noise, data[:, 0]).scale_[3] == 1
    with pytest.raises(ValueError, match="hidden must be at least 1"):
        TorchHead(hidden=0).fit(data, data[:, 0])
    with pytest.raises(ValueError, match="learning_rate must be positive"):
        TorchHead(learning_rate=0).fit(data, data[:, 0])


# --- noise ---------------------------------------------------------------------------------------

NOISE = GateNoise(depolarising=0.02, amplitude_damping=0.03, readout=0.04)


def mixed_loss(gates, state, code_qubits, noise, prepare=None):
    """The same on PennyLane's simulator of density matrices."""
    n_qubits = len(state).bit_length() - 1
    trash = range(n_qubits - code_qubits)

    def noisy(gates):
        for gate in gates:
            to_pennylane([gate])
            for wire in gate.wires:
                qml.DepolarizingChannel(noise.depolarising, wire)
                qml.AmplitudeDamping(noise.amplitude_damping, wire)

    @qml.qnode(qml.device("default.mixed", wires=n_qubits))
    def probabilities():
        if prepare is None:
            qml.StatePrep(state, wires=range(n_qubits))
        else:
            noisy(prepare)
        noisy(gates)
        for wire in trash:
            qml.BitFlip(noise.readout, wire)
        return qml.probs(wires=trash)

    return 1 - probabilities()[0]


def test_noisy_losses_are_those_of_a_density_matrix_simulator():
    z = compression.amplitudes(X[:3], 3)
    gates = list(entangling(np.linspace(-1, 1, entangling_size(3, 1, 1)), 3, 1, 1))
    ours = noisy_losses(gates, z, 1, NOISE)
    prepared = noisy_losses(gates, z, 1, NOISE, noisy_preparation=True)
    for i, state in enumerate(z):
        assert ours[i] == pytest.approx(mixed_loss(gates, state, 1, NOISE), abs=1e-10)
        tree = list(amplitude(tree_angles(state)))
        assert prepared[i] == pytest.approx(mixed_loss(gates, state, 1, NOISE, tree), abs=1e-10)


def test_a_machine_without_noise_gives_the_exact_loss():
    model = QuantumAutoencoder(**SMALL, epochs=10).fit(X)
    z = compression.amplitudes(X, 3)
    for noisy_preparation in (False, True):
        losses = noisy_losses(model.gates(), z, 2, GateNoise(), noisy_preparation=noisy_preparation)
        assert losses.mean() == pytest.approx(model.loss(X), abs=1e-12)
    np.testing.assert_allclose(noisy_preparations(z, GateNoise()), z[:, :, None] * z[:, None, :], atol=1e-12)


def test_noisy_effects_are_effects_and_full_noise_forgets():
    gates = list(entangling(np.linspace(-1, 1, 22), 3, 2, 1))
    values = np.linalg.eigvalsh(noisy_effect(gates, 3, 2, NOISE))
    assert values.min() >= -1e-12
    assert values.max() <= 1 + 1e-12
    mixed = noisy_effect(gates, 3, 2, GateNoise(depolarising=0.75))
    np.testing.assert_allclose(mixed, np.eye(8) / 2, atol=1e-12)


def test_preparations_in_blocks_change_nothing(monkeypatch):
    z = compression.amplitudes(X, 3)
    gates = list(entangling(np.linspace(-1, 1, 22), 3, 2, 1))
    whole = noisy_losses(gates, z, 2, NOISE, noisy_preparation=True)
    sizes = []
    monkeypatch.setattr(noise, "noisy_preparations", lambda s, n: (sizes.append(len(s)), noisy_preparations(s, n))[1])
    monkeypatch.setattr(noise, "PREPARATION_BYTES", 5 * 8 * 8 * 16)
    np.testing.assert_allclose(noisy_losses(gates, z, 2, NOISE, noisy_preparation=True), whole, atol=1e-14)
    assert sizes == [5, 5, 2]


def test_shots_scatter_around_the_exact_loss():
    z = compression.amplitudes(X, 3)
    gates = list(entangling(np.linspace(-1, 1, 22), 3, 2, 1))
    exact = noisy_losses(gates, z, 2, NOISE)
    counted = noisy_losses(gates, z, 2, NOISE, shots=4000, random_state=np.random.RandomState(1))
    assert np.abs(counted - exact).max() < 5 * np.sqrt(0.25 / 4000)
    np.testing.assert_allclose(counted * 4000, np.round(counted * 4000), atol=1e-8)
    with pytest.raises(ValueError, match="shots must be at least 1"):
        noisy_losses(gates, z, 2, NOISE, shots=0)
    with pytest.raises(ValueError, match="readout is a probability"):
        GateNoise(readout=1.5)


# --- trainability and findings -------------------------------------------------------------------


def test_six_published_angles_are_dead_and_no_entangling_one():
    assert dead_angles(random_gradients("published", 5, 4, draws=10)) == [3, 4, 5, 12, 13, 14]
    for k in (1, 2, 4):
        assert dead_angles(random_gradients("entangling", 5, k, draws=10, layers=2)) == []


def test_gradients_of_a_global_loss_fall_faster():
    table = trainability((4, 6), (1,), draws=60)
    local = table[table["code_qubits"] == table["n_qubits"] - 1]["variance"].to_numpy()
    everything = table[table["code_qubits"] == 1]["variance"].to_numpy()
    assert 2 < local[0] / local[1] < 8  # about 2 a qubit
    assert 8 < everything[0] / everything[1] < 32  # about 4 a qubit


def test_findings_have_baselines_beside_every_fidelity(cpx321):
    train, test = cpx321
    y = np.random.default_rng(0).normal(size=60)
    found = autoencoder_findings(train[:40], test[:8], y[:40], y[40:48], code_qubits=(4, 1), epochs=10)
    table = found.compression
    assert list(table["model"]) == ["published 5→4", "entangling 5→4", "entangling 5→1"]
    assert (table["test"] <= table["bound"] + 1e-9).all()
    assert (table["linear"] >= table["constant"] - 1e-12).all()
    assert found.dead == {"published 5→4": [3, 4, 5, 12, 13, 14], "entangling 5→4": [], "entangling 5→1": []}
    assert found.noise["encoder"].iloc[0] == pytest.approx(table["loss_test"].iloc[0], abs=1e-12)
    assert len(found.fidelities) == 2 * 48
    assert set(found.energy["model"]) == set(found.predictions["model"])
    assert autoencoder_findings(train[:9], test[:9], code_qubits=(3,), epochs=2, published=False).energy is None


def test_crystals_with_one_pattern_are_put_under_noise_once(cpx321, monkeypatch):
    train, test = cpx321
    copies = test[[0, 50, 0, 0, 50, 100]]
    prepared = []
    monkeypatch.setattr(noise, "noisy_preparations", lambda s, n: (prepared.append(s), noisy_preparations(s, n))[1])
    table = autoencoder_findings(train[:20], copies, code_qubits=(4,), epochs=3, published=False).noise
    assert {len(rows) for rows in prepared} == {len(np.unique(copies, axis=0))}
    model = QuantumAutoencoder(5, code_qubits=4, epochs=3, observables="pauli").fit(train[:20])
    states_, level = compression.amplitudes(copies, 5), autoencoder_findings_module.NOISE_LEVELS[-1]
    each = noisy_losses(model.gates(), states_, 4, level, noisy_preparation=True)
    last = table.iloc[-1]
    assert last["preparation"] == pytest.approx(each.mean(), abs=1e-12)
    counted = np.random.RandomState(0).binomial(1024, each) / 1024
    assert last["shots"] == pytest.approx(counted.mean(), abs=1e-12)
    assert last["encoder"] == pytest.approx(noisy_losses(model.gates(), states_, 4, level).mean(), abs=1e-12)


def test_compression_curve_covers_every_code():
    curve = compression_curve({2: (X[:, :4], X[:, :4]), 3: (X, X)}, epochs=5)
    assert list(zip(curve["n_qubits"], curve["code_qubits"], strict=True)) == [(2, 1), (3, 2), (3, 1)]


def test_the_published_head_trains_with_the_paper_settings():
    y = X[:, 0] - X[:, 1]
    published = TorchHead(hidden=7, mode="published").fit(X, y)
    written = TorchHead(hidden=32, epochs=1, learning_rate=0.01, batch_size=1, standardize=False).fit(X, y)
    assert np.array_equal(published.predict(X), written.predict(X))


def test_the_published_mode_is_that_of_its_parameters(tmp_path):
    vectors = np.abs(np.random.default_rng(0).normal(size=(12, 32)))
    model = QuantumAutoencoder(mode="published", epochs=99).fit(vectors)
    settings_ = {"epochs": 5, "batch_size": 1, "learning_rate": 0.1, "patience": None}
    written = QuantumAutoencoder(ansatz="published", optimizer="adam", **settings_).fit(vectors)
    assert np.array_equal(model.angles_, written.angles_)
    again = QuantumAutoencoder.load(model.save(tmp_path / "angles.json"))
    assert np.array_equal(again.transform(vectors), model.transform(vectors))
    for estimator in (QuantumAutoencoder(mode="repaired"), TorchHead(mode="repaired")):
        with pytest.raises(ValueError, match="mode must be 'fixed' or 'published'"):
            estimator.fit(vectors, vectors[:, 0])


def test_figure_of_losses_stands_beside_constant_state():
    path = Path(__file__).parents[1] / "experiments" / "autoencoder.py"
    spec = importlib.util.spec_from_file_location("experiment_autoencoder", path)
    experiment = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = experiment  # dataclasses look their module up
    spec.loader.exec_module(experiment)
    found = autoencoder_findings(X[:9], X[9:], code_qubits=(2, 1), epochs=2, published=False)
    z = compression.amplitudes(X[:9], 3)
    constant_loss = float(1 - (compression.constant_state_fidelities(z, z) ** 2).mean())
    (axes,) = experiment.draw_losses(found, constant_loss).axes
    drawn = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert drawn["one constant state"] == [constant_loss] * 2
    # training losses and the line are of one kind: no encoder is worse than its best constant state at its optimum
    optimum = 1 - compression.spectral_bound(z, 1) ** 2
    assert constant_loss == pytest.approx(optimum, abs=1e-12)
    assert len(drawn["entangling 3→1"]) == 3
