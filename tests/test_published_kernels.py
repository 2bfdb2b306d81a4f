"""What the experiments on two published kernels stand on: their inputs, gates, numbers and labels."""

from __future__ import annotations

import adams_2026
import few_samples as few
import heo_2026
import numpy as np
import peters_kernels as peters
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

import qperov


@pytest.fixture(scope="module")
def adams() -> tuple[np.ndarray, np.ndarray]:
    """Intensities and the exact quantum matrix of the 20 samples."""
    X = adams_2026.intensities()[list(adams_2026.SAMPLES)]
    return X, peters.peters_kernel()(adams_2026.angles_of(X))


@pytest.fixture(scope="module")
def oxides() -> np.ndarray:
    """What the quantum kernel of the 32 oxides is given, before the order of the gates."""
    dataset = qperov.load_dataset("heo106", target="structure")
    raw = peters.spread_columns(np.array([pattern.intensity for pattern in dataset.patterns]))
    return peters.quantum_angles(raw[heo_2026.published_rows(np.asarray(dataset.y))], by_row=True)


def test_published_numbers_of_the_spread(adams: tuple[np.ndarray, np.ndarray]) -> None:
    """Model complexity 37.197 of the cosine kernel and g = 11.79, as the authors' notebook prints them."""
    X, K = adams
    c = peters.cosines(X)
    assert X[0, :3].tolist() == pytest.approx([14.828766, 17.225592, 21.224158], abs=1e-3)
    assert adams_2026.published_complexity(c) == pytest.approx(37.19709, abs=1e-3)
    assert few.geometric_difference(c, K) == pytest.approx(11.7856, rel=0.01)


def test_engineered_labels_come_from_the_kernel(adams: tuple[np.ndarray, np.ndarray]) -> None:
    X, K = adams
    noisy = peters.measured_matrix(K, np.random.default_rng(0), peters.survival())
    made, published = few.engineered_labels(noisy, peters.cosines(X)), np.array(adams_2026.ENGINEERED)
    assert (made == published).all() or (made != published).all()


def test_published_input_and_matrix_of_the_oxides(oxides: np.ndarray) -> None:
    assert oxides[0, :3].tolist() == pytest.approx([0.694589418490681, 0.7012244529783849, 0.7116037392899672])
    assert oxides[2, 0] == pytest.approx(0.8836739887404026)
    correlations = [
        np.corrcoef(peters.peters_kernel()(X)[0, 1:], heo_2026.PUBLISHED_ROW)[0, 1]
        for X in (peters.qiskit_order(oxides), oxides)
    ]
    assert correlations[0] > 0.99 > 0.97 > correlations[1]


def test_features_go_to_the_gates_as_in_qiskit() -> None:
    """Each block of NLocal goes over all qubits before the next: six parameters a qubit, by their positions."""
    from qiskit.circuit import ParameterVector
    from qiskit.circuit.library import HGate, RYGate, RZGate, n_local
    from qperov_circuits import peters as circuit

    n = 3
    p = ParameterVector("p", 3)
    blocks = [HGate(), RZGate(p[0]), RYGate(p[1]), RZGate(p[2])]
    reference = n_local(n, blocks, "cz", [[0, 1], [1, 2]], reps=1, parameter_prefix="x")
    values = dict(zip(sorted(reference.parameters, key=lambda each: each.index), range(6 * n), strict=True))
    theirs = [
        (gate.name, reference.find_bit(gate.qubits[0]).index, values[gate.params[0]])
        for gate in reference.data
        if gate.operation.params
    ]
    order = np.arange(6 * n).reshape(2, 3, n).transpose(0, 2, 1).ravel().tolist()
    ours = [(gate.name, gate.wires[0], gate.angle) for gate in circuit(order, reps=1) if gate.angle is not None]
    ours = [each for each in ours if each[0] in ("rz", "ry")]
    # between rotations of one qubit the order counts; those of different qubits commute
    assert [sorted(g for g in theirs if g[1] == q) for q in range(n)] == [
        sorted(g for g in ours if g[1] == q) for q in range(n)
    ]


def test_the_most_likely_process_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(40, 2))
    y = np.sin(4 * X[:, 0]) + X[:, 1] + 0.05 * rng.normal(size=40)
    train, test, lengths = np.arange(25), np.arange(25, 40), (0.1, 0.5, 3.0)
    matrices = np.array([RBF(length)(X) for length in lengths])
    predicted, chosen = few.most_likely_regression(matrices, y[:, None], y[train].mean(keepdims=True), train, test)
    best: tuple[float, int, np.ndarray] = (-np.inf, 0, np.empty(0))
    for i, length in enumerate(lengths):
        for noise in few.NOISES:
            kernel = ConstantKernel(1.0, (1e-6, 1e6)) * (RBF(length, "fixed") + WhiteKernel(noise, "fixed"))
            process = GaussianProcessRegressor(kernel, random_state=0).fit(X[train], y[train] - y[train].mean())
            if process.log_marginal_likelihood_value_ > best[0]:
                best = process.log_marginal_likelihood_value_, i, process.predict(X[test]) + y[train].mean()
    assert chosen == best[1]
    np.testing.assert_allclose(predicted[:, 0], best[2], atol=1e-3)


def test_groups_left_out_are_left_out_whole() -> None:
    groups = np.repeat(np.arange(12), 4)
    for train, test in few.grouped_draws(groups, 18, 5, 0):
        assert len(train) == 18
        assert not set(groups[train]) & set(groups[test])


def test_superstructure_lines_are_read_where_they_are() -> None:
    """The strongest line of a fluorite cell of 5.4 Å, (222) of the doubled cell, gives the edge of that."""
    dataset = qperov.load_dataset("heo106", target="lattice_parameter").take(range(5))
    for pattern, edge in zip(dataset.patterns, dataset.y, strict=True):
        assert heo_2026.crystallography(pattern)[0] / 2 == pytest.approx(edge, rel=0.01)
