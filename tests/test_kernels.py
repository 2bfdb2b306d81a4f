from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pennylane as qml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from qiskit.quantum_info import Statevector, partial_trace
from sklearn.base import clone
from sklearn.decomposition import KernelPCA
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, WhiteKernel
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.svm import SVR

from circuits import ENTANGLEMENTS, Gate, zz
from circuits.to_pennylane import to_pennylane
from circuits.to_qiskit import to_qiskit
from qperov.errors import CircuitSizeError
from qperov.quantum import encoding
from qperov.quantum.cache import ArrayCache, fingerprint
from qperov.quantum.encoding import CACHE
from qperov.quantum.kernels import FidelityKernel, ProjectedKernel

X = np.random.default_rng(5).normal(size=(9, 3))
Y = np.random.default_rng(6).normal(size=(4, 3))

KERNELS = [
    FidelityKernel(bandwidth=0.4),
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
    CACHE.clear()


# --- mathematics --------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [*KERNELS, FidelityKernel(rotations), ProjectedKernel(rotations)])
def test_matrices_are_symmetric_positive_semidefinite_with_unit_diagonal(kernel):
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


def test_projected_kernel_is_a_gaussian_of_reduced_density_matrices():
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
    CACHE.clear()
    monkeypatch.setattr(encoding, "TILE_BYTES", 4 * 32 * 2**3)
    for kernel, (K, cross, gradient) in zip(KERNELS, wholes, strict=True):
        np.testing.assert_allclose(kernel(X), K, atol=1e-14)
        np.testing.assert_allclose(kernel(X, Y), cross, atol=1e-14)
        np.testing.assert_allclose(kernel(X, eval_gradient=True)[1], gradient, atol=1e-13)
        assert np.array_equal(kernel(X), kernel(X).T)


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
    assert not kernel.is_stationary()
    assert f"bandwidth={kernel.bandwidth}" in repr(kernel)


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
def test_gaussian_process_recovers_the_bandwidth_of_its_own_samples(truth, start):
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


# --- the memory of results ----------------------------------------------------------------------


def test_results_are_remembered_by_content(monkeypatch):
    calls = []
    original = encoding.states
    monkeypatch.setattr(encoding, "states", lambda *a: calls.append(1) or original(*a))
    kernel = FidelityKernel(bandwidth=0.4)
    first = kernel(X)
    first[:] = 0  # what a caller does to a result must not come back
    again = clone(kernel)(X.copy())
    assert len(calls) == 1
    assert np.array_equal(np.diag(again), np.ones(9))
    for changed in (kernel.clone_with_theta(np.log([0.3])), FidelityKernel(bandwidth=0.4, reps=1)):
        before = len(calls)
        changed(X)
        assert len(calls) == before + 1
    kernel(X + 1e-12)
    assert len(calls) == 4


def test_callable_feature_maps_are_never_remembered():
    factor = 1.0
    kernel = FidelityKernel(lambda angles: [Gate("rx", (0,), factor * angles[0])], bandwidth=1.0)
    before = kernel(X)
    factor = 2.0
    assert abs(kernel(X) - before).max() > 0.1
    assert len(CACHE) == 0


def test_cache_is_bounded_and_forgets_the_least_recently_used():
    cache = ArrayCache(max_bytes=3 * 80)
    for key in "abc":
        cache.get(key, lambda: (np.ones(10),))
    cache.get("a", lambda: (np.zeros(10),))
    cache.get("d", lambda: (np.ones(10),))
    assert cache.n_bytes == 240
    assert cache.get("a", lambda: (np.zeros(10),))[0][0] == 1
    assert cache.get("b", lambda: (np.zeros(10),))[0][0] == 0  # forgotten, computed anew
    cache.get("large", lambda: (np.ones(100),))
    assert cache.n_bytes == 240


def test_threads_share_the_cache():
    samples = [np.random.default_rng(i % 4).normal(size=(6, 3)) for i in range(40)]
    expected = [FidelityKernel()(s) for s in samples[:4]]
    CACHE.clear()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(FidelityKernel(), samples))
    assert all(np.array_equal(K, expected[i % 4]) for i, K in enumerate(found))


def test_fingerprint_tells_shape_and_content():
    a = np.arange(6.0)
    assert fingerprint(a) == fingerprint(a.copy())
    assert fingerprint(a) != fingerprint(a.reshape(2, 3))
    assert fingerprint(a) != fingerprint(a + 1)


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
    with pytest.raises(ValueError, match="not finite"):
        kernel([[1e200, 1e200]])
    with pytest.raises(ValueError, match="infinity"):
        kernel.diag([[np.inf]])
    with pytest.raises(CircuitSizeError, match="40 qubits"):
        kernel(np.zeros((2, 40)))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"feature_map": "iqp"}, "unknown feature map 'iqp'"),
        ({"entanglement": "star"}, "unknown entanglement 'star'"),
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
