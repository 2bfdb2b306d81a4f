"""Kernels of a hundred qubits and of twenty thousand samples: time, memory, and parity with independent contractions.

Each part runs on its own (``--part``), since the memory that is reported is the most that the process ever held.

    python experiments/benchmarks/many_qubits.py --part published    # 165 qubits, 6,400 points: minutes on two cores
    python experiments/benchmarks/many_qubits.py --part quimb        # a pair against quimb (pip install quimb)
    python experiments/benchmarks/many_qubits.py --part peters       # 25 qubits, 150 features, 32 samples
    python experiments/benchmarks/many_qubits.py --part landmarks    # QSVR of 20,000 samples from 1,000 landmarks
    python experiments/benchmarks/many_qubits.py --part growth       # with qubits and with samples
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from qperov_circuits import IsingChain
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVR
from threadpoolctl import threadpool_limits

from qperov.quantum.kernels.feature_map_kernel import MEMORY
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.landmarks import LandmarkFeatures

#: Pairs that are contracted a second time, independently.
CHECKED = 200


def published(n_samples: int, tolerance: float, precision: str, n_jobs: int) -> None:
    """The training matrix of Metcalf et al., arXiv:2411.09336 (10,557 s on 32 A100), on features drawn at random."""
    X = np.random.default_rng(0).uniform(0, 2, size=(n_samples, 165))
    chain = IsingChain(distance=1, gamma=0.1)
    kernel = FidelityKernel(
        chain, bandwidth=1.0, simulator="mps", tolerance=tolerance, precision=precision, n_jobs=n_jobs
    )
    before = time.process_time()
    K, seconds = timed(lambda: kernel(X))
    processor = time.process_time() - before
    pairs = np.random.default_rng(1).integers(n_samples, size=(CHECKED, 2))
    exact = np.array([contracted(X[i], X[j], chain.gamma) for i, j in pairs])
    difference = abs(K[pairs[:, 0], pairs[:, 1]] - exact).max()
    few = kernel._chains(X[:200], 165)
    n_pairs = n_samples * (n_samples + 1) / 2
    print(f"165 qubits, {n_samples} samples, tolerance {tolerance:g}, {precision}, bond {np.mean(few.bonds):.2f}:")
    print(f"  {seconds:.1f} s by the clock, {processor:.1f} s of processors; {memory()}")
    print(f"  {1e6 * processor / n_pairs:.2f} µs of a processor a pair, states included")
    print(f"  {1e6 * product_seconds([1, *few.bonds, 1]):.2f} µs for as many operations in one complex matrix product")
    print(f"  largest difference from the independent contraction of {CHECKED} pairs: {difference:.1e}")
    print(f"  bound on the error of any value: {kernel.error_bound(X[:200]):.1e} (of the first 200 samples)")


def product_seconds(bonds: list[int]) -> float:
    """Seconds on one processor for the 2·D·D'·(D + D') complex multiplications a qubit of one pair, at the rate of a
    product of two complex matrices of a thousand rows."""
    A = np.random.default_rng(0).normal(size=(1000, 1000)) + 0j
    with threadpool_limits(1, "blas"):
        seconds = min(timed(lambda: A @ A)[1] for _ in range(3))
    return sum(2 * a * b * (a + b) for a, b in pairwise(bonds)) * seconds / 1000**3


def contracted(x: np.ndarray, y: np.ndarray, gamma: float) -> float:
    """|⟨φ(x)|φ(y)⟩|² of the Ising chain of two repetitions, site by site, from operators of bond dimension two each.

    It shares nothing with the package: exp(−iθXX) = Σ_b (X^b √w_b) ⊗ (X^b √w_b) with w = (cos θ, −i sin θ).
    """

    def tensors(x: np.ndarray) -> list[np.ndarray]:
        theta = np.pi / 2 * gamma**2 * (1 - x[:-1]) * (1 - x[1:])
        roots = np.sqrt(np.array([np.cos(theta), -1j * np.sin(theta)]).T)
        powers = np.array([np.eye(2), [[0, 1], [1, 0]]])
        sites = []
        for k, value in enumerate(x):
            left = np.ones((1,)) if k == 0 else roots[k - 1]
            right = np.ones((1,)) if k == len(x) - 1 else roots[k]
            coupling = np.einsum("a,b,aij,bjk->abik", left, right, powers[: len(left)], powers[: len(right)])
            layer = coupling * np.exp([-1j * gamma * value, 1j * gamma * value])
            site = np.einsum("abij,cdjk,k->acibd", layer, layer, np.full(2, 0.5**0.5))
            sites.append(site.reshape(len(left) ** 2, 2, len(right) ** 2))
        return sites

    E = np.ones((1, 1), complex)
    for a, b in zip(tensors(x), tensors(y), strict=True):
        E = np.einsum("xy,xsa,ysb->ab", E, a.conj(), b, optimize=True)
    return abs(E[0, 0]) ** 2


def against_quimb(n_qubits: int = 100, n_samples: int = 64) -> None:
    """Time of one pair, states apart, and the same value."""
    import quimb.tensor as qtn

    X = np.random.default_rng(0).uniform(0, 2, size=(n_samples, n_qubits))
    kernel = FidelityKernel(IsingChain(), bandwidth=1.0, simulator="mps")
    chains = kernel._chains(X, n_qubits)
    from qperov.quantum.simulation.mps_overlaps import fidelities

    fidelities(chains)
    K, ours = timed(lambda: fidelities(chains, chains))
    _, ours_states = timed(lambda: kernel._chains(X, n_qubits))

    def theirs(x: np.ndarray) -> qtn.MatrixProductState:
        circuit = qtn.CircuitMPS(n_qubits, cutoff=1e-16)
        for gate in kernel.circuit(list(x)):
            circuit.apply_gate(gate.name.upper(), *([] if gate.angle is None else [float(gate.angle)]), *gate.wires)
        return circuit.psi

    theirs(X[0])
    few = 8
    states, their_states = timed(lambda: [theirs(x) for x in X[:few]])
    abs(states[0].H @ states[1])
    values, their_pairs = timed(lambda: [[abs(a.H @ b) ** 2 for b in states] for a in states])
    np.testing.assert_allclose(values, K[:few, :few], atol=1e-8)
    pair, their_pair = ours / n_samples**2, their_pairs / few**2
    print(
        f"{n_qubits} qubits: a pair {1e6 * pair:.2f} µs, quimb {1e6 * their_pair:.0f} µs: {their_pair / pair:.0f} times"
    )
    state, their_state = ours_states / n_samples, their_states / few
    print(f"  a state {1e3 * state:.2f} ms, quimb {1e3 * their_state:.0f} ms: {their_state / state:.0f}×")


def peters_kernel() -> None:
    """The kernel of 150 features on 25 qubits, and the same map on 12 qubits against statevectors."""
    X = np.random.default_rng(0).uniform(0, np.pi, size=(32, 150))
    kernel = FidelityKernel("peters", reps=1, bandwidth=1.0, simulator="mps")
    _, seconds = timed(lambda: kernel(X))
    print(f"Peters map, 25 qubits, 32 samples: {seconds:.2f} s; {memory()}")
    fewer = X[:, :72]
    exact = FidelityKernel("peters", reps=1, bandwidth=1.0, simulator="statevector")(fewer)
    print(f"  largest difference from statevectors of 12 qubits: {abs(kernel(fewer) - exact).max():.1e}")


def landmark_regression(n_samples: int = 20_000, n_landmarks: int = 1000) -> None:
    """A support vector regression on landmark features of a kernel of ten qubits."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples + 2000, 10))
    y = np.sin(X[:, 0]) + 0.5 * X[:, 1] * X[:, 2] + 0.1 * rng.normal(size=len(X))
    features = LandmarkFeatures(FidelityKernel(bandwidth="median"), n_landmarks=n_landmarks)
    svr = LinearSVR(C=1.0, epsilon=0.01, loss="squared_epsilon_insensitive", dual=False)
    model = make_pipeline(features, svr)
    _, seconds = timed(lambda: model.fit(X[:n_samples], y[:n_samples]))
    score = model.score(X[n_samples:], y[n_samples:])
    residual = model[0].residual_
    print(f"QSVR from {n_landmarks} landmarks, 10 qubits, N = {n_samples}: {seconds:.1f} s; {memory()}")
    print(f"  mean residual of the kernel {residual:.3f}, R² on 2,000 others {score:.3f}")


def growth() -> None:
    """Seconds of one core, states included, with the qubits (500 samples) and with the samples (50 qubits)."""
    for n_qubits, n_samples in [(n, 500) for n in (25, 50, 100, 200, 400)] + [(50, n) for n in (250, 1000, 2000)]:
        X = np.random.default_rng(0).uniform(0, 2, size=(n_samples, n_qubits))
        for name, kernel in (
            ("Ising chain, tolerance 1e-7", FidelityKernel("ising_chain", bandwidth=1.0, tolerance=1e-7)),
            ("zz linear, exact", FidelityKernel(bandwidth=0.1, simulator="mps")),
        ):
            MEMORY.clear()
            start = time.process_time()
            _, seconds = timed(lambda kernel=kernel, X=X: kernel(X))
            used = time.process_time() - start
            print(
                f"{name:30}{n_qubits:5} qubits{n_samples:6} samples: {used:7.2f} s, {seconds:.2f} s by the clock",
                flush=True,
            )


def timed(run: Callable[[], object]) -> tuple[object, float]:
    """What a call returns, and its seconds by the clock."""
    start = time.perf_counter()
    result = run()
    return result, time.perf_counter() - start


def memory() -> str:
    """The most memory that the process has held."""
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB at most"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("published", "quimb", "peters", "landmarks", "growth"), required=True)
    parser.add_argument("--samples", type=int, default=6400, help="of the published matrix")
    parser.add_argument("--tolerance", type=float, default=1e-7, help="norm dropped at a cut")
    parser.add_argument("--precision", choices=("double", "single"), default="double")
    parser.add_argument("--jobs", type=int, default=2)
    chosen = parser.parse_args()
    if chosen.part == "published":
        published(chosen.samples, chosen.tolerance, chosen.precision, chosen.jobs)
    else:
        {"quimb": against_quimb, "peters": peters_kernel, "landmarks": landmark_regression, "growth": growth}[
            chosen.part
        ]()
