"""Time to the exact Gram matrix of a ZZ feature map (two repetitions, linear), ours against the peers.

Times are divided by that of one bare complex matrix product of the states, measured on the same machine a moment
before, so that tables from different machines can be compared. Every matrix is checked against ours before its time
counts.

    python experiments/benchmarks/kernels.py
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import GridSearchCV

from circuits import zz
from qperov.quantum.encoding import CACHE
from qperov.quantum.kernels import FidelityKernel, ProjectedKernel
from qperov.quantum.regression import QuantumSVR
from qperov.quantum.statevector import states


@dataclass(frozen=True)
class Task:
    """One size of the benchmark."""

    n_qubits: int
    n_samples: int
    repeats: int = 5
    bandwidth: float = 0.3

    @property
    def name(self) -> str:
        return f"{self.n_qubits} q, N {self.n_samples}"

    def samples(self) -> np.ndarray:
        """Features of shape (n_samples, n_qubits)."""
        return np.random.default_rng(0).normal(size=(self.n_samples, self.n_qubits))


TASKS = (Task(6, 500), Task(8, 500), Task(10, 1000))

Gram = Callable[[], np.ndarray]


def pennylane_gram(task: Task) -> Gram:
    """default.qubit with its parameters broadcast over the samples, and one matrix product."""
    import pennylane as qml

    from circuits.to_pennylane import to_pennylane

    @qml.qnode(qml.device("default.qubit", wires=task.n_qubits))
    def state(x: np.ndarray) -> np.ndarray:
        to_pennylane(zz(list(x.T)))
        return qml.state()

    def gram() -> np.ndarray:
        psi = state(task.bandwidth * task.samples())
        return abs(psi @ psi.conj().T) ** 2

    return gram


def qiskit_gram(task: Task) -> Gram:
    """FidelityStatevectorKernel of qiskit-machine-learning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from qiskit.circuit.library import zz_feature_map
        from qiskit_machine_learning.kernels import FidelityStatevectorKernel

    def gram() -> np.ndarray:
        circuit = zz_feature_map(task.n_qubits, 2, entanglement="linear")
        kernel = FidelityStatevectorKernel(feature_map=circuit)
        return kernel.evaluate(task.bandwidth * task.samples())

    return gram


PEERS = {"PennyLane, broadcast, and product": pennylane_gram, "qiskit-machine-learning statevector": qiskit_gram}


def fastest(run: Callable[[], object], repeats: int) -> float:
    """Least wall-clock time of some runs, in seconds, with nothing remembered from one to the next."""
    times = []
    for _ in range(repeats):
        CACHE.clear()
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(task: Task) -> dict[str, float | str]:
    """Seconds of each contestant; a line of text where one is not installed."""
    X = task.samples()
    psi = np.ascontiguousarray(states(zz(list(task.bandwidth * X.T)), *X.shape[::-1]))
    kernel = FidelityKernel(bandwidth=task.bandwidth)
    ours = kernel(X)
    rows: dict[str, float | str] = {
        "bare complex product": fastest(lambda: psi @ psi.conj().T, task.repeats),
        "qperov FidelityKernel": fastest(lambda: kernel(X), task.repeats),
        "  of which the states": fastest(lambda: states(zz(list(task.bandwidth * X.T)), *X.shape[::-1]), task.repeats),
        "  with its exact gradient": fastest(lambda: kernel(X, eval_gradient=True), task.repeats),
        "qperov ProjectedKernel": fastest(lambda: ProjectedKernel(bandwidth=task.bandwidth)(X), task.repeats),
    }
    for name, peer in PEERS.items():
        try:
            gram = peer(task)
        except ImportError as error:
            rows[name] = f"not installed ({error.name})"
            continue
        np.testing.assert_allclose(gram(), ours, atol=1e-10)
        rows[name] = fastest(gram, 1 if "qiskit" in name else task.repeats)
    return rows


def cache_benefit(n_samples: int = 300, n_qubits: int = 8) -> tuple[float, float]:
    """Seconds for a grid search over six values of C with five folds: with the memory of results, and without."""
    X = np.random.default_rng(0).normal(size=(n_samples, n_qubits))
    search = GridSearchCV(QuantumSVR(FidelityKernel()), {"C": [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0]})
    y = np.sin(X[:, 0])
    remembered = fastest(lambda: search.fit(X, y), 3)
    limit, CACHE.max_bytes = CACHE.max_bytes, 0
    forgotten = fastest(lambda: search.fit(X, y), 3)
    CACHE.max_bytes = limit
    return remembered, forgotten


def main() -> None:
    """Print one table of times, in units of the bare product, per size."""
    for task in TASKS:
        rows = measure(task)
        unit = rows["bare complex product"]
        assert isinstance(unit, float)
        print(f"\n{task.name}: bare product {1e3 * unit:.1f} ms")
        for name, seconds in rows.items():
            print(f"  {name:38}", seconds if isinstance(seconds, str) else f"{seconds / unit:8.2f}")
    remembered, forgotten = cache_benefit()
    print(f"\nGrid search over C, 8 q, N 300: {forgotten / remembered:.2f} times faster with results remembered")


if __name__ == "__main__":
    main()
