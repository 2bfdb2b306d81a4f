from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from qperov_circuits import Gate
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold

from qperov.quantum.estimators.regression import QuantumSVR
from qperov.quantum.kernels import fidelity as fidelity_kernel
from qperov.quantum.kernels.cache import KernelMemory, PairTable, RowTable, partition
from qperov.quantum.kernels.feature_map_kernel import MEMORY
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.projected import ProjectedKernel

X = np.random.default_rng(5).normal(size=(9, 3))


@pytest.fixture(autouse=True)
def empty_memory():
    MEMORY.clear()


@pytest.fixture
def counted(monkeypatch):
    """Sizes of the matrices of overlaps that are really computed, as numbers of unordered pairs."""
    pairs = []
    original = fidelity_kernel._fidelities

    def count(bras, kets):
        pairs.append(len(bras) * (len(bras) - 1) // 2 if kets is None else len(bras) * len(kets))
        return original(bras, kets)

    monkeypatch.setattr(fidelity_kernel, "_fidelities", count)
    return pairs


@given(arrays(bool, st.integers(0, 9).map(lambda n: (n, n))))
@settings(max_examples=200)
def test_parts_cover_every_wanted_pair_once(wanted):
    wanted = wanted | wanted.T
    covered = np.zeros(wanted.shape, dtype=int)
    for rows, columns in partition(wanted.copy()):
        if columns is None:
            covered[np.ix_(rows, rows)] += 1
        else:
            assert not set(rows) & set(columns)
            covered[np.ix_(rows, columns)] += 1
            covered[np.ix_(columns, rows)] += 1
    off_diagonal = ~np.eye(len(wanted), dtype=bool)
    assert np.array_equal(covered[off_diagonal], wanted[off_diagonal].astype(int))


def test_a_block_beside_what_is_known_makes_two_parts():
    wanted = np.ones((60, 60), dtype=bool)
    wanted[:48, :48] = False
    assert [(len(rows), None if columns is None else len(columns)) for rows, columns in partition(wanted)] == [
        (48, 12),
        (12, None),
    ]


@pytest.mark.parametrize("kernel", [FidelityKernel(), ProjectedKernel()])
def test_a_grid_search_evaluates_each_pair_or_sample_once_a_bandwidth(kernel, counted, monkeypatch):
    rng = np.random.default_rng(0)
    samples, y = rng.normal(size=(60, 3)), rng.normal(size=60)
    prepared = []
    original = ProjectedKernel._bloch
    monkeypatch.setattr(ProjectedKernel, "_bloch", lambda self, X: prepared.append(len(X)) or original(self, X))
    grid = [{"kernel__bandwidth": [b], "C": [0.1, 1.0, 10.0]} for b in (0.05, 0.2)]
    GridSearchCV(QuantumSVR(kernel, epsilon=0.0), grid, cv=KFold(5, shuffle=True, random_state=0)).fit(samples, y)
    assert sum(prepared) == (2 * 60 if isinstance(kernel, ProjectedKernel) else 0)
    assert sum(counted) == (0 if isinstance(kernel, ProjectedKernel) else 2 * 60 * 59 // 2)


def test_prediction_touches_support_vectors_only(counted):
    model = QuantumSVR(FidelityKernel(lambda angles: [Gate("rx", (0,), angles[0])]), epsilon=0.6).fit(X, X[:, 0])
    counted.clear()
    model.predict(np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]))
    assert 0 < len(model.support_) < len(X)
    assert counted == [2 * len(model.support_)]


def test_equal_samples_are_evaluated_once(counted):
    K = FidelityKernel()(np.vstack([X, X[:4]]))
    assert counted == [9 * 8 // 2]
    assert np.array_equal(K[9:], K[:4])
    own = FidelityKernel(lambda angles: [Gate("rx", (0,), angles[0])])
    own(np.vstack([X, X[:4]]), np.vstack([X[:2], X[:2]]))
    assert counted[1:] == [9 * 2]


def test_results_are_remembered_by_content(counted):
    kernel = FidelityKernel(bandwidth=0.4)
    first = kernel(X)
    expected = first.copy()
    first[:] = 0  # what a caller does to a result must not come back
    assert np.array_equal(clone(kernel)(X.copy()), expected)
    assert np.array_equal(kernel(X[3:5], X), expected[3:5])
    assert len(counted) == 1
    others = [{"bandwidth": 0.3}, {"reps": 1}, {"precision": "single"}, {"entanglement": "full"}, {"feature_map": "z"}]
    for i, changed in enumerate(others):
        clone(kernel).set_params(**changed)(X)
        assert len(counted) == i + 2
    kernel(X + 1e-12)
    assert counted[-1] == counted[0]


@given(
    st.lists(st.tuples(st.lists(st.integers(0, 19), min_size=1), st.lists(st.integers(0, 19), min_size=1)), max_size=6)
)
@settings(max_examples=40, deadline=None)
def test_what_was_asked_before_changes_nothing(requests):
    MEMORY.clear()
    samples = np.random.default_rng(3).normal(size=(20, 2))
    kernel = FidelityKernel(bandwidth=0.5)
    exact = FidelityKernel(lambda angles: kernel.circuit(angles), bandwidth=0.5)(samples)
    for rows, columns in requests:
        np.testing.assert_allclose(kernel(samples[rows], samples[columns]), exact[np.ix_(rows, columns)], atol=1e-14)
        np.testing.assert_allclose(kernel(samples[rows]), exact[np.ix_(rows, rows)], atol=1e-14)


def test_own_feature_maps_are_never_remembered():
    factor = 1.0
    kernel = FidelityKernel(lambda angles: [Gate("rx", (0,), factor * angles[0])], bandwidth=1.0)
    before = kernel(X)
    factor = 2.0
    assert abs(kernel(X) - before).max() > 0.1
    assert len(MEMORY) == 0


def test_memory_is_bounded_and_forgets_the_least_recently_used():
    samples = np.arange(40.0)[:, None]
    memory = KernelMemory(max_bytes=3 * PairTable.bytes_for(10, 1))
    tables = {key: memory.table(key, PairTable, samples[:10]) for key in "abc"}
    for table in tables.values():
        table.locate(samples[:10])
    assert memory.table("a", PairTable, samples[:10]) is tables["a"]
    memory.table("d", PairTable, samples[:10]).locate(samples[:10])
    assert memory.table("a", PairTable, samples[:10]) is tables["a"]
    assert memory.table("b", PairTable, samples[:10]) is not tables["b"]
    assert memory.n_bytes <= memory.max_bytes
    assert memory.table("a", PairTable, samples) is not tables["a"]  # too large to keep
    assert memory.table("a", PairTable, samples[10:18]) is not tables["c"]


def test_a_table_of_rows_computes_what_is_new():
    asked = []
    table = RowTable(1)
    double = lambda rows: asked.append(len(rows)) or 2 * rows  # noqa: E731
    assert np.array_equal(table.get(np.array([[1.0], [2.0], [1.0]]), double), [[2], [4], [2]])
    assert np.array_equal(table.get(np.array([[3.0], [2.0], [-0.0]]), double), [[6], [4], [0]])
    assert np.array_equal(table.get(np.array([[0.0]]), double), [[0]])
    assert asked == [2, 2]


@pytest.mark.parametrize("kind", [FidelityKernel, ProjectedKernel])
def test_samples_that_failed_once_do_not_stop_others(kind):
    expected = kind()(X)
    MEMORY.clear()
    with pytest.raises(ValueError, match="not finite"):
        kind()([[1e200, 1e200, 0.0], [0.0, 1e200, 0.0]])
    np.testing.assert_allclose(kind()(X), expected, atol=1e-14)


@pytest.mark.parametrize("kind", [FidelityKernel, ProjectedKernel])
def test_what_a_broken_backend_did_not_measure_is_not_asked_of_it_later(kind):
    class Unsteady:
        calls: ClassVar[list[int]] = []

        def measure_fidelities(self, circuit, rows, columns):
            self.calls.append(len(rows))
            if len(self.calls) == 1:
                raise ConnectionError
            return np.full(len(rows), 0.5)

        def measure_bloch(self, circuit, samples):
            return self.measure_fidelities(circuit, samples, samples)[:, None, None] * np.ones((3, 3))

    kernel = kind(backend=Unsteady())
    with pytest.raises(ConnectionError):
        kernel(X[:6])
    kernel(X[6:])
    assert Unsteady.calls == [15 if kind is FidelityKernel else 6, 3]  # three pairs, or three samples


def test_a_subclass_with_another_circuit_has_values_of_its_own():
    class Product(FidelityKernel):
        def circuit(self, angles):
            return [Gate("rx", (wire,), angle) for wire, angle in enumerate(angles)]

    FidelityKernel(bandwidth=0.4)(X)
    expected = np.prod(np.cos(0.2 * (X[:, None] - X)) ** 2, axis=2)
    np.testing.assert_allclose(Product(bandwidth=0.4)(X), expected, atol=1e-12)


def test_a_bandwidth_that_went_through_its_logarithm_is_the_same_setting(counted):
    kernel = FidelityKernel(bandwidth=0.1)
    again = kernel.clone_with_theta(kernel.theta)
    assert again.bandwidth != 0.1
    assert np.array_equal(kernel(X), again(X))
    assert len(counted) == 1


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 12)), max_size=40))
@settings(max_examples=50)
def test_memory_stays_bounded_as_tables_grow(requests):
    samples = np.arange(12.0)[:, None]
    memory = KernelMemory(max_bytes=2 * PairTable.bytes_for(12, 1))
    for key, size in requests:
        kind = PairTable if key % 2 else RowTable
        table = memory.table(key, kind, samples[:size])
        table.locate(samples[:size])
        assert memory.n_bytes <= memory.max_bytes
        assert memory.table(key, kind, samples[:size]) is table


def test_long_rows_count_for_what_they_take():
    table = RowTable(1)
    table.get(np.arange(10.0)[:, None], lambda rows: np.zeros((len(rows), 1000)))
    assert table.n_bytes >= 10 * 1000 * 8


def test_threads_share_the_memory():
    samples = [np.random.default_rng(i % 4).normal(size=(6, 3)) for i in range(40)]
    expected = [FidelityKernel()(s) for s in samples[:4]]
    MEMORY.clear()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(FidelityKernel(), samples))
    for i, K in enumerate(found):
        np.testing.assert_allclose(K, expected[i % 4], atol=1e-14)
