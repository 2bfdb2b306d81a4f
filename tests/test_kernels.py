from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pennylane as qml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from joblib import parallel_config
from qiskit.quantum_info import Pauli, Statevector, partial_trace
from qiskit_aer import AerSimulator
from qperov_circuits import ENTANGLEMENTS, FEATURE_MAPS, Gate, zz
from qperov_circuits.adapters.to_pennylane import to_pennylane
from qperov_circuits.adapters.to_qiskit import to_qiskit
from sklearn.base import clone
from sklearn.decomposition import KernelPCA
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Exponentiation, WhiteKernel
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.svm import SVR

from qperov.errors import BondDimensionError, CircuitSizeError, KernelSizeError, LongComputationWarning
from qperov.evaluation import progress
from qperov.quantum.kernels import feature_map_kernel as encoding
from qperov.quantum.kernels.feature_map_kernel import MEMORY
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.projected import ProjectedKernel

X = np.random.default_rng(5).normal(size=(9, 3))
Y = np.random.default_rng(6).normal(size=(4, 3))

KERNELS = [
    FidelityKernel(bandwidth=0.4),
    FidelityKernel(bandwidth=[0.4, 0.1, 0.8], entanglement="circular"),
    FidelityKernel("hubregtsen", n_qubits=2, bandwidth=0.5),
    ProjectedKernel("angle_yz_cx", bandwidth=[0.3, 0.2, 0.5]),
    FidelityKernel(feature_map="z", reps=1, bandwidth=0.7),
    FidelityKernel(entanglement="full", reps=3, bandwidth=0.2),
    ProjectedKernel(gamma=0.8, bandwidth=0.4),
]


def rotations(angles):
    """A feature map of one's own, with more wires than features."""
    for wire, angle in enumerate(angles):
        yield Gate("ry", (wire,), angle)
        yield Gate("cx", (wire, wire + 1))
        yield Gate("rx", (wire + 1,), 0.5 * angle * angle)


@pytest.fixture(autouse=True)
def empty_cache():
    MEMORY.clear()


# --- mathematics --------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [*KERNELS, FidelityKernel(rotations), ProjectedKernel(rotations)])
def test_matrices_are_symmetric_psd_with_unit_diagonal(kernel):
    samples = np.vstack([X, X[:3]])  # duplicates
    K = kernel(samples)
    assert np.array_equal(K, K.T)
    assert np.array_equal(np.diag(K), np.ones(12))
    assert np.array_equal(kernel.diag(samples), np.ones(12))
    assert np.linalg.eigvalsh(K).min() >= -1e-10
    np.testing.assert_allclose(K[9:], K[:3], atol=1e-14)


@given(arrays(float, (6, 2), elements=st.floats(-5, 5)), st.floats(0.01, 2))
@settings(max_examples=30, deadline=None)
def test_any_samples_give_a_kernel_matrix(samples, bandwidth):
    for kernel in (FidelityKernel(bandwidth=bandwidth), ProjectedKernel(bandwidth=bandwidth)):
        K = kernel(samples)
        assert np.array_equal(K, K.T)
        assert K.max() == 1
        assert K.min() >= 0
        assert np.linalg.eigvalsh(K).min() >= -1e-10


@given(arrays(float, (5, 4), elements=st.floats(-3, 3)))
@settings(max_examples=30, deadline=None)
def test_z_map_has_a_product_of_cosines_for_kernel(samples):
    K = FidelityKernel(feature_map="z", reps=1, bandwidth=0.6)(samples)
    expected = np.prod(np.cos(0.6 * (samples[:, None] - samples)) ** 2, axis=2)
    np.testing.assert_allclose(K, expected, atol=1e-12)


@pytest.mark.parametrize("entanglement", ENTANGLEMENTS)
def test_fidelity_agrees_with_a_loop_over_qiskit_states(entanglement):
    kernel = FidelityKernel(entanglement=entanglement, bandwidth=0.4)
    bras, kets = ([Statevector(to_qiskit(zz(0.4 * x, 2, entanglement))) for x in samples] for samples in (X, Y))
    expected = [[abs(bra.inner(ket)) ** 2 for ket in kets] for bra in bras]
    np.testing.assert_allclose(kernel(X, Y), expected, atol=1e-12)


def test_fidelity_agrees_with_pennylane():
    @qml.qnode(qml.device("default.qubit", wires=3))
    def overlap(x, y):
        to_pennylane(zz(0.4 * x))
        qml.adjoint(to_pennylane)(list(zz(0.4 * y)))
        return qml.probs()

    expected = qml.kernels.kernel_matrix(X, Y, lambda x, y: overlap(x, y)[0])
    np.testing.assert_allclose(FidelityKernel(bandwidth=0.4)(X, Y), expected, atol=1e-12)


@pytest.mark.parametrize("name", FEATURE_MAPS)
@pytest.mark.parametrize("n_qubits", [2, None])
def test_both_kernels_agree_with_the_simulator_aer(name, n_qubits):
    parameters = {"feature_map": name, "reps": 2, "entanglement": "full", "bandwidth": 0.4, "n_qubits": n_qubits}
    samples = np.vstack([X[:3], Y[:2]])
    wires = n_qubits or FEATURE_MAPS[name].n_qubits(3)
    simulator = AerSimulator(method="statevector")
    programs = [to_qiskit(FEATURE_MAPS[name].gates(0.4 * x, 2, "full", n_qubits), wires) for x in samples]
    for program in programs:
        program.save_statevector()
    result = simulator.run(programs).result()
    found = [result.get_statevector(i) for i in range(len(samples))]
    fidelities = [[abs(bra.inner(ket)) ** 2 for ket in found] for bra in found]
    np.testing.assert_allclose(FidelityKernel(**parameters)(samples), fidelities, atol=1e-12)
    reduced = np.array(
        [[partial_trace(psi, [q for q in range(wires) if q != k]) for k in range(wires)] for psi in found]
    )
    squares = np.sum(abs(reduced[:, None] - reduced) ** 2, axis=(2, 3, 4))
    np.testing.assert_allclose(ProjectedKernel(**parameters)(samples), np.exp(-squares), atol=1e-12)


def test_projected_kernel_is_gaussian_of_reduced_densities():
    def reduced(x):
        psi = Statevector(to_qiskit(zz(0.4 * x)))
        return np.array([partial_trace(psi, [q for q in range(3) if q != k]).data for k in range(3)])

    distances = [
        [sum(np.linalg.norm(a - b) ** 2 for a, b in zip(reduced(x), reduced(y), strict=True)) for y in Y] for x in X
    ]
    K = ProjectedKernel(gamma=0.8, bandwidth=0.4)(X, Y)
    np.testing.assert_allclose(K, np.exp(-0.8 * np.array(distances)), atol=1e-12)


def test_bloch_vectors_of_pure_product_states_have_unit_length():
    vectors = ProjectedKernel(feature_map="z", reps=3).bloch_vectors(X).reshape(9, 3, 3)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=2), 1, atol=1e-12)


def test_bloch_vectors_of_one_rotated_qubit():
    vectors = ProjectedKernel(lambda angles: [Gate("rx", (0,), angles[0])], bandwidth=1.0).bloch_vectors([[0.3]])
    np.testing.assert_allclose(vectors, [[0, -np.sin(0.3), np.cos(0.3)]], atol=1e-14)


def test_matrix_with_itself_given_twice_is_the_same():
    for kernel in KERNELS:
        np.testing.assert_allclose(kernel(X, X.copy()), kernel(X), atol=1e-13)


@pytest.mark.parametrize("kernel", [*KERNELS, FidelityKernel(rotations), ProjectedKernel(rotations)])
def test_gradient_agrees_with_finite_differences(kernel):
    K, gradient = kernel(X, eval_gradient=True)
    np.testing.assert_allclose(K, kernel(X), atol=1e-14)
    assert gradient.shape == (9, 9, len(kernel.theta))
    step = 1e-5
    for i in range(len(kernel.theta)):
        shift = step * np.eye(len(kernel.theta))[i]
        upper, lower = (kernel.clone_with_theta(kernel.theta + sign * shift)(X) for sign in (1, -1))
        np.testing.assert_allclose(gradient[:, :, i], (upper - lower) / (2 * step), atol=1e-6)


def test_gradient_of_fixed_parameters_is_left_out():
    assert FidelityKernel(bandwidth_bounds="fixed")(X, eval_gradient=True)[1].shape == (9, 9, 0)
    assert ProjectedKernel(bandwidth_bounds="fixed")(X, eval_gradient=True)[1].shape == (9, 9, 1)
    assert ProjectedKernel(gamma_bounds="fixed", bandwidth_bounds="fixed")(X, eval_gradient=True)[1].shape == (9, 9, 0)


def test_tiles_change_nothing(monkeypatch):
    wholes = [(k(X), k(X, Y), k(X, eval_gradient=True)[1]) for k in KERNELS]
    MEMORY.clear()
    monkeypatch.setattr(encoding, "TILE_BYTES", 4 * 32 * 2**3)
    for kernel, (K, cross, gradient) in zip(KERNELS, wholes, strict=True):
        np.testing.assert_allclose(kernel(X), K, atol=1e-14)
        np.testing.assert_allclose(kernel(X, Y), cross, atol=1e-14)
        np.testing.assert_allclose(kernel(X, eval_gradient=True)[1], gradient, atol=1e-13)
        assert np.array_equal(kernel(X), kernel(X).T)


@pytest.mark.parametrize("kind", [FidelityKernel, ProjectedKernel])
def test_a_matrix_beyond_memory_is_refused_first(kind, monkeypatch):
    monkeypatch.setattr(encoding, "physical_memory", lambda: 15 * 2.0**30)
    many = np.random.default_rng(0).normal(size=(50_000, 4))
    with pytest.raises(KernelSizeError, match=r"50000 × 50000 samples takes 18.6 GiB.*write_gram.*LandmarkFeatures"):
        kind()(many)
    assert kind()(many, many[:2]).shape == (50_000, 2)


def test_a_large_matrix_is_made_of_blocks(monkeypatch):
    whole = FidelityKernel(bandwidth=0.3)(X, Y)
    MEMORY.clear()
    monkeypatch.setattr("qperov.quantum.kernels.fidelity.MAX_SIDE", 2)
    np.testing.assert_allclose(FidelityKernel(bandwidth=0.3)(X, Y), whole, atol=1e-14)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_long_computations_are_announced(n_jobs, monkeypatch):
    monkeypatch.setattr(progress, "LONG", 0)
    monkeypatch.setattr(progress, "PILOT", 0)
    monkeypatch.setattr(encoding, "TILE_BYTES", 4 * 32 * 2**3)
    size = r"9 × 9 samples and 3 qubits \(648 bytes\) takes about \S+ (minutes|hours): "
    ways_out = r"simulator='mps'.*LandmarkFeatures.*write_gram"
    with parallel_config(backend="threading"), pytest.warns(LongComputationWarning, match=size + ".*" + ways_out):
        FidelityKernel(bandwidth=0.31, n_jobs=n_jobs)(X)
    size = "preparing states of 9 samples and 3 qubits takes about"
    with parallel_config(backend="threading"), pytest.warns(LongComputationWarning, match=size):
        ProjectedKernel(bandwidth=0.31, n_jobs=n_jobs)(X)
    monkeypatch.setattr("qperov.quantum.simulation.mps_overlaps.TASK_ROWS", 4)
    with pytest.warns(LongComputationWarning, match=r"9 × 9 matrix product states with bonds up to \d"):
        FidelityKernel(bandwidth=0.31, simulator="mps")(X)


@pytest.mark.parametrize("kernel", KERNELS)
def test_single_precision_is_near_double(kernel):
    single = clone(kernel).set_params(precision="single")
    assert single(X).dtype == np.float64
    np.testing.assert_allclose(single(X), kernel(X), atol=3e-6)
    assert abs(single(X) - kernel(X)).max() > 0
    assert np.array_equal(np.diag(single(X)), np.ones(9))


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [*KERNELS, FidelityKernel(rotations, bandwidth=0.3), ProjectedKernel(rotations)])
def test_jobs_change_nothing(kernel):
    parallel = clone(kernel).set_params(n_jobs=2)
    with parallel_config(backend="threading"):  # the blocks are the same; starting processes takes seconds
        np.testing.assert_allclose(parallel(X), kernel(X), atol=1e-14)
        MEMORY.clear()
        np.testing.assert_allclose(parallel(X, Y), kernel(X, Y), atol=1e-14)
    assert np.array_equal(parallel(X), parallel(X).T)


class Exact:
    """A backend that computes what it should measure, pair by pair."""

    def measure_fidelities(self, circuit, rows, columns):
        bras, kets = ([Statevector(to_qiskit(circuit(list(x)))) for x in samples] for samples in (rows, columns))
        return np.array([abs(bra.inner(ket)) ** 2 for bra, ket in zip(bras, kets, strict=True)])

    def measure_bloch(self, circuit, samples):
        n_qubits = len(samples[0])
        labels = [["I" * k + p + "I" * (n_qubits - 1 - k) for p in "XYZ"] for k in range(n_qubits)]
        states = [Statevector(to_qiskit(circuit(list(x)))) for x in samples]
        return np.array(
            [[[s.expectation_value(Pauli(l[::-1])).real for l in row] for row in labels] for s in states]  # noqa: E741
        )


@pytest.mark.parametrize("kernel", [FidelityKernel(bandwidth=0.4), ProjectedKernel(bandwidth=0.4)])
def test_a_backend_measures_each_pair_or_sample_once(kernel, monkeypatch):
    asked = []
    measured = clone(kernel).set_params(backend=Exact())
    for name in ("measure_fidelities", "measure_bloch"):
        original = getattr(Exact, name)
        monkeypatch.setattr(
            Exact,
            name,
            lambda self, c, *arrays, original=original: asked.append(len(arrays[0])) or original(self, c, *arrays),
        )
    np.testing.assert_allclose(measured(X[:6]), kernel(X[:6]), atol=1e-12)
    np.testing.assert_allclose(
        measured(X[:3], np.vstack([X[2:5], Y])), kernel(X[:3], np.vstack([X[2:5], Y])), atol=1e-12
    )
    if isinstance(kernel, FidelityKernel):
        assert asked == [15, 3 * 4]
    else:
        assert asked == [6, 4]
    with pytest.raises(ValueError, match="backend=None"):
        measured(X, eval_gradient=True)
    with pytest.raises(ValueError, match="the backend's"):
        clone(measured).set_params(shots=10)(X)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # of bounds that are met
@pytest.mark.parametrize("noisy", [{"shots": 400}, {"backend": Exact()}])
@pytest.mark.parametrize("kind", [FidelityKernel, ProjectedKernel])
def test_measured_kernels_serve_gaussian_processes(kind, noisy):
    fixed = kind(bandwidth=0.3, bandwidth_bounds="fixed", **noisy)
    total = ConstantKernel(2.0) * fixed + WhiteKernel(0.1)
    gradient = total(X, eval_gradient=True)[1]
    step = 1e-4 * np.eye(len(total.theta))
    for i in range(len(total.theta)):
        upper, lower = (total.clone_with_theta(total.theta + sign * step[i])(X) for sign in (1, -1))
        np.testing.assert_allclose(gradient[:, :, i], (upper - lower) / 2e-4, atol=1e-6)
    model = GaussianProcessRegressor(total).fit(X, X[:, 0])
    assert model.kernel_.k1.k2.bandwidth == 0.3
    assert np.isfinite(model.predict(Y, return_std=True)).all()


@pytest.mark.parametrize(
    "feature_map",
    [
        lambda angles: [Gate("ry", (0,), np.sin(angles[0]))],
        qml.QNode(lambda x: qml.AngleEmbedding(x, range(3)) and qml.state(), qml.device("default.qubit", wires=3)),
    ],
)
def test_maps_that_cannot_be_differentiated_say_so(feature_map):
    kernel = FidelityKernel(feature_map, bandwidth=0.5)
    kernel(X[:3])
    with pytest.raises(ValueError, match="bandwidth_bounds='fixed'"):
        kernel(X[:3], eval_gradient=True)
    assert kernel.set_params(bandwidth_bounds="fixed")(X[:3], eval_gradient=True)[1].shape == (3, 3, 0)


def test_equal_bandwidths_are_one_bandwidth():
    np.testing.assert_allclose(FidelityKernel(bandwidth=[0.4] * 3)(X), FidelityKernel(bandwidth=0.4)(X), atol=1e-14)
    gradient = FidelityKernel(bandwidth=0.4)(X, eval_gradient=True)[1]
    by_feature = FidelityKernel(bandwidth=[0.4] * 3)(X, eval_gradient=True)[1]
    np.testing.assert_allclose(by_feature.sum(axis=2), gradient[:, :, 0], atol=1e-12)


# --- scikit-learn -------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
def test_clone_pickle_and_parameters(kernel):
    kernel(X)
    assert clone(kernel) == kernel
    assert pickle.loads(pickle.dumps(kernel)) == kernel  # noqa: S301
    assert len(pickle.dumps(kernel)) < 1000  # no states inside
    changed = clone(kernel).set_params(bandwidth=0.01)
    assert changed != kernel
    assert changed.theta[0] == pytest.approx(np.log(0.01))
    if np.size(kernel.bandwidth) == 3:
        assert kernel.clone_with_theta(kernel.theta + 1).bandwidth == pytest.approx(
            np.exp(1) * np.array(kernel.bandwidth)
        )
    assert not kernel.is_stationary()
    assert eval(repr(kernel), {"FidelityKernel": FidelityKernel, "ProjectedKernel": ProjectedKernel}) == kernel  # noqa: S307


@pytest.mark.parametrize("kind", [FidelityKernel, ProjectedKernel])
def test_fitted_kernels_are_written_with_all_digits(kind):
    kernel = kind(
        bandwidth=np.array([1 / 3, 0.2, 0.3]), reps=np.int64(1), bandwidth_bounds=[(0.1, np.float64(2.0))] * 3
    )
    again = eval(repr(kernel), {kind.__name__: kind})  # noqa: S307
    assert again.bandwidth == [1 / 3, 0.2, 0.3]
    assert np.array_equal(again(X), kernel(X))
    assert "np." not in repr(kernel)


def test_samples_may_come_in_any_form():
    for kernel in KERNELS:
        K = kernel(X)
        for form in (pd.DataFrame(X), np.asfortranarray(X), X.tolist(), X[::-1][::-1], X.astype(object)):
            assert np.array_equal(kernel(form), K)
        narrow = X.astype(np.float32)
        assert np.array_equal(kernel(narrow), kernel(narrow.astype(float)))


def test_one_sample_and_one_feature():
    for kind in (FidelityKernel, ProjectedKernel):
        assert np.array_equal(kind()(X[:1]), [[1.0]])
        K, gradient = kind()(X[:1, :1], eval_gradient=True)
        assert np.array_equal(K, [[1.0]])
        assert np.array_equal(gradient, np.zeros((1, 1, len(kind().theta))))


@pytest.mark.parametrize(
    "kernel",
    [
        FidelityKernel(bandwidth=[0.2, 0.3, 0.4]) + ProjectedKernel(bandwidth=0.3),
        FidelityKernel(bandwidth=0.3) * RBF([1.0, 2.0, 3.0]),
        Exponentiation(FidelityKernel(bandwidth=[0.2, 0.3, 0.4]), 2),
        2.0 * ProjectedKernel("hubregtsen") ** 3 + WhiteKernel(0.1),
    ],
)
def test_gradients_of_combinations_are_finite_differences(kernel):
    gradient = kernel(X, eval_gradient=True)[1]
    assert gradient.shape == (9, 9, len(kernel.theta))
    step = 1e-5 * np.eye(len(kernel.theta))
    for i in range(len(kernel.theta)):
        upper, lower = (kernel.clone_with_theta(kernel.theta + sign * step[i])(X) for sign in (1, -1))
        np.testing.assert_allclose(gradient[..., i], (upper - lower) / 2e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # of bounds that are met
def test_gaussian_processes_search_within_bounds():
    bounds = [(0.1, 0.3), (0.05, 0.5), (0.01, 1.0)]
    model = GaussianProcessRegressor(FidelityKernel(bandwidth=[0.2] * 3, bandwidth_bounds=bounds), alpha=1e-2)
    found = model.fit(X, X[:, 0]).kernel_.bandwidth
    assert all(low <= b * (1 + 1e-9) and b <= high * (1 + 1e-9) for b, (low, high) in zip(found, bounds, strict=True))
    assert max(abs(found - 0.2)) > 0.01
    labels = np.array(["a", "b", "c"])[np.arange(9) % 3]
    classifier = GaussianProcessClassifier(FidelityKernel(bandwidth=0.3)).fit(X, labels)
    np.testing.assert_allclose(classifier.predict_proba(Y).sum(axis=1), 1)
    assert classifier.score(X, labels) == 1


def test_kernels_compose_with_those_of_scikit_learn():
    quantum = FidelityKernel(bandwidth=0.4)
    total = ConstantKernel(2.0) * quantum + WhiteKernel(0.1)
    np.testing.assert_allclose(total(X), 2 * quantum(X) + 0.1 * np.eye(9), atol=1e-14)
    assert clone(total).set_params(k1__k2__bandwidth=0.2).k1.k2.bandwidth == 0.2


@pytest.mark.parametrize(
    ("truth", "start"),
    [
        (FidelityKernel(bandwidth=0.5), FidelityKernel(bandwidth=0.3)),
        (
            ProjectedKernel(gamma=2.0, bandwidth=0.2, gamma_bounds="fixed"),
            ProjectedKernel(gamma=2.0, gamma_bounds="fixed", bandwidth_bounds=(0.05, 1.0)),
        ),
    ],
)
def test_gaussian_process_recovers_bandwidth_of_its_own_samples(truth, start):
    generator = np.random.default_rng(0)
    samples = generator.uniform(-1, 1, (60, 3))
    y = generator.multivariate_normal(np.zeros(60), truth(samples) + 1e-6 * np.eye(60), method="cholesky")
    model = GaussianProcessRegressor(start, alpha=1e-6).fit(samples, y)
    assert model.kernel_.bandwidth == pytest.approx(truth.bandwidth, rel=0.05)


@pytest.mark.parametrize("kernel", KERNELS)
def test_one_kernel_object_serves_the_kernel_methods(kernel):
    y = np.arange(9.0)
    np.testing.assert_allclose(KernelRidge(alpha=1e-8, kernel=kernel).fit(X, y).predict(X), y, atol=1e-4)
    landmarks = Nystroem(kernel, n_components=9).fit_transform(X)
    np.testing.assert_allclose(landmarks @ landmarks.T, kernel(X), atol=1e-8)
    direct, given = SVR(kernel=kernel).fit(X, y), SVR(kernel="precomputed").fit(kernel(X), y)
    np.testing.assert_allclose(direct.predict(Y), given.predict(kernel(Y, X)), atol=1e-8)
    components = KernelPCA(2, kernel=kernel).fit_transform(X)
    theirs = KernelPCA(2, kernel="precomputed").fit_transform(kernel(X))
    np.testing.assert_allclose(abs(components), abs(theirs), atol=1e-8)


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FidelityKernel, ProjectedKernel])
def test_bad_input(kind):
    kernel = kind()
    with pytest.raises(ValueError, match="X contains NaN"):
        kernel([[0.1, np.nan]])
    with pytest.raises(ValueError, match="Y contains NaN"):
        kernel([[0.1, 0.2]], [[0.1, np.nan]])
    with pytest.raises(ValueError, match="X has 3 features and Y has 2"):
        kernel(X, Y[:, :2])
    with pytest.raises(ValueError, match="Expected 2D array"):
        kernel(X[0])
    with pytest.raises(ValueError, match="leave Y out"):
        kernel(X, Y, eval_gradient=True)
    with pytest.raises(ValueError, match="shots=None"):
        kind(shots=10)(X, eval_gradient=True)
    with pytest.raises(ValueError, match="scale the features down"):
        kernel([[1e200, 1e200], [0.0, 1e200]])
    with pytest.raises(ValueError, match="infinity"):
        kernel.diag([[np.inf]])
    with pytest.raises(CircuitSizeError, match="40 qubits"):
        kind(simulator="statevector")(np.zeros((2, 40)))
    with pytest.raises(BondDimensionError, match=r"a bond dimension of 128, more than max_bond = 64"):
        kind(entanglement="full", bandwidth=1.0)(np.random.default_rng(0).normal(size=(2, 40)))
    with pytest.raises(ValueError, match="the gradient is available from statevectors of at most 26 qubits"):
        kind()(np.zeros((2, 40)), eval_gradient=True)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"feature_map": "qip"}, "unknown feature map 'qip'"),
        ({"feature_map": 7}, "feature_map must be a name"),
        ({"feature_map": rotations, "n_qubits": 2}, "belong to the named feature maps"),
        ({"feature_map": "hubregtsen", "weights": [0.1]}, "weights"),
        ({"feature_map": "zz", "weights": [0.1]}, "takes no weights"),
        ({"n_qubits": 0}, "n_qubits must be at least 1"),
        ({"precision": "half"}, "precision must be 'double' or 'single'"),
        ({"simulator": "dense"}, "unknown simulator 'dense'; known are auto, statevector, mps"),
        ({"simulator": "mps", "tolerance": -1.0}, "tolerance must be at least 0"),
        ({"simulator": "mps", "max_bond": 0}, "max_bond must be at least 1"),
        ({"shots": 0}, "shots must be at least 1"),
        ({"bandwidth": "median"}, "found on training data"),
        ({"bandwidth": "mean"}, "'median' or 'aligned', got 'mean'"),
        ({"bandwidth": [0.1, 0.2]}, "one for each of 3 features, got 2"),
        ({"bandwidth": [0.1, 0.2, -1.0]}, "bandwidth must be positive"),
        ({"entanglement": "star"}, "unknown entanglement 'star'"),
        ({"reps": 2.0}, "reps must be a whole number, got 2.0"),
        ({"reps": None}, "reps must be a whole number, got None"),
        ({"n_qubits": 2.0}, "n_qubits must be a whole number"),
        ({"shots": 1e3}, "shots must be a whole number"),
        ({"shots": 10, "random_state": np.random.RandomState(0)}, "random_state must be a whole number"),
        ({"bandwidth": None}, "bandwidth must be positive"),
        ({"reps": 0}, "reps must be at least 1"),
        ({"bandwidth": 0.0}, "bandwidth must be positive"),
        ({"bandwidth": np.nan}, "bandwidth must be positive"),
    ],
)
def test_bad_parameters(parameters, message):
    for kind in (FidelityKernel, ProjectedKernel):
        with pytest.raises(ValueError, match=message):
            kind(**parameters)(X)


def test_bad_gamma():
    with pytest.raises(ValueError, match="gamma must be positive"):
        ProjectedKernel(gamma=-1.0)(X)
    with pytest.raises(ValueError, match="gamma must be positive and finite, got 'scale'"):
        ProjectedKernel(gamma="scale")(X)


@pytest.mark.parametrize("simulator", ["statevector", "mps"])
@pytest.mark.parametrize("feature_map", FEATURE_MAPS)
def test_no_map_takes_features_without_digits(feature_map, simulator):
    for kind in (FidelityKernel, ProjectedKernel):
        kernel = kind(feature_map=feature_map, simulator=simulator, bandwidth=1.0)
        with pytest.raises(ValueError, match=r"rad, which float64 knows to \d\S* rad only"):
            kernel(1e16 * X)


@pytest.mark.parametrize("kernel", KERNELS)
def test_features_that_leave_no_digits_are_refused(kernel):
    with pytest.raises(ValueError, match=r"rad, which float64 knows to \d\S* rad only: scale the features down"):
        kernel(1e16 * X)
    clone(kernel)(1e3 * X)
