from __future__ import annotations

import pickle

import numpy as np
import pennylane as qml
import pytest
from qiskit.circuit.library import zz_feature_map
from qiskit_machine_learning.algorithms import QSVC, QSVR, PegasosQSVC
from qiskit_machine_learning.kernels import FidelityQuantumKernel, FidelityStatevectorKernel
from qperov_circuits import zz
from qperov_circuits.adapters.to_qiskit import to_qiskit
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF
from sklearn.svm import SVC, SVR

from qperov.quantum.estimators.regression import QuantumSVR
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.interoperation import ForeignKernel, as_qiskit_kernel
from qperov.quantum.kernels.projected import ProjectedKernel

rng = np.random.default_rng(11)
X, Y = rng.uniform(-1, 1, (20, 3)), rng.uniform(-1, 1, (4, 3))
y = np.sin(3 * X[:, 0])
OURS = FidelityKernel(bandwidth=1.0)
THEIRS = zz_feature_map(3, reps=2, entanglement="linear")


def test_a_qiskit_machine_learning_kernel_as_one_of_ours():
    foreign = ForeignKernel(FidelityStatevectorKernel(feature_map=THEIRS))
    np.testing.assert_allclose(foreign(X), OURS(X), atol=1e-7)
    np.testing.assert_allclose(foreign(X, Y), OURS(X, Y), atol=1e-7)
    assert np.array_equal(foreign(X), foreign(X).T)
    assert np.array_equal(foreign.diag(X), np.ones(20))
    assert foreign(X, eval_gradient=True)[1].shape == (20, 20, 0)
    np.testing.assert_allclose(
        QuantumSVR(foreign).fit(X, y).predict(Y), QuantumSVR(OURS).fit(X, y).predict(Y), atol=1e-5
    )


def test_foreign_kernel_evaluates_each_pair_once():
    class Counting(FidelityStatevectorKernel):
        asked = 0

        def evaluate(self, x_vec, y_vec=None):
            Counting.asked += len(x_vec) * (len(x_vec) - 1) // 2 if y_vec is None else len(x_vec) * len(y_vec)
            return super().evaluate(x_vec, y_vec)

    K = ForeignKernel(Counting(feature_map=THEIRS))(np.vstack([X, X[:5]]))
    assert Counting.asked == 20 * 19 // 2
    assert np.array_equal(K[20:], K[:5])


def test_sampled_foreign_kernel_is_symmetric_with_unit_diagonal():
    K = ForeignKernel(FidelityQuantumKernel(feature_map=THEIRS))(X[:5])
    assert np.array_equal(K, K.T)
    assert np.array_equal(np.diag(K), np.ones(5))
    np.testing.assert_allclose(K, OURS(X[:5]), atol=0.15)


@pytest.mark.parametrize("kernel", [OURS, ProjectedKernel(bandwidth=0.5), 0.5 * OURS + 0.5 * RBF()])
def test_ours_in_their_regressor_and_classifiers(kernel):
    theirs = as_qiskit_kernel(kernel, 3)
    found = QSVR(quantum_kernel=theirs, C=2.0).fit(X, y).predict(Y)
    np.testing.assert_allclose(found, SVR(kernel=kernel, C=2.0).fit(X, y).predict(Y), atol=1e-8)
    labels = (y > 0).astype(int)
    assert np.array_equal(
        QSVC(quantum_kernel=theirs).fit(X, labels).predict(Y), SVC(kernel=kernel).fit(X, labels).predict(Y)
    )
    assert PegasosQSVC(quantum_kernel=theirs, C=100.0, num_steps=500, seed=3).fit(X, labels).score(X, labels) >= 0.9
    again = pickle.loads(pickle.dumps(theirs))  # noqa: S301
    assert np.array_equal(again.evaluate(X), theirs.evaluate(X))
    assert theirs.num_features == 3


def test_the_circuit_they_are_given_holds_the_bandwidth():
    inner = FidelityStatevectorKernel(
        feature_map=as_qiskit_kernel(FidelityKernel(bandwidth=[0.2, 0.3, 0.4]), 3).feature_map
    )
    np.testing.assert_allclose(inner.evaluate(X, Y), FidelityKernel(bandwidth=[0.2, 0.3, 0.4])(X, Y), atol=1e-7)


def test_a_qiskit_circuit_as_feature_map():
    own = FidelityKernel(THEIRS, bandwidth=0.7)
    np.testing.assert_allclose(own(X, Y), FidelityKernel(bandwidth=0.7)(X, Y), atol=1e-12)
    assert np.array_equal(clone(own)(X), own(X))
    gradient = own(X, eval_gradient=True)[1]
    np.testing.assert_allclose(gradient, FidelityKernel(bandwidth=0.7)(X, eval_gradient=True)[1], atol=1e-10)
    model = pickle.loads(pickle.dumps(QuantumSVR(own).fit(X, y)))  # noqa: S301
    assert model.predict(Y).shape == (4,)
    with pytest.raises(ValueError, match="3"):
        own(X[:, :2])


def test_a_pennylane_qnode_as_feature_map():
    @qml.qnode(qml.device("default.qubit", wires=3))
    def node(x):
        qml.IQPEmbedding(x, wires=range(3), n_repeats=2)
        qml.RY(0.3, wires=1)
        return qml.state()

    psi = np.array([node(0.7 * row) for row in X])
    np.testing.assert_allclose(FidelityKernel(node, bandwidth=0.7)(X), abs(psi.conj() @ psi.T) ** 2, atol=1e-12)


def test_circuits_with_fewer_qubits_than_features():
    three_in_two = to_qiskit(zz([0.1, 0.2], 1))
    with pytest.raises(ValueError, match="feature"):
        FidelityKernel(three_in_two)(X)
