"""Time to the exact Gram matrix of a ZZ feature map (two repetitions, linear), ours against the peers.

Times are divided by that of one bare complex matrix product of the states, measured on the same machine a moment
before, so that tables from different machines can be compared. Every matrix is checked against ours before its time
counts.

    python experiments/benchmarks/kernels.py                    # the table
    python experiments/benchmarks/kernels.py --growth growth.png  # growth with samples and with qubits, too

The peers are optional: ``pip install qiskit-machine-learning squlearn qulacs pennylane``.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from qperov_circuits import zz
from sklearn.model_selection import GridSearchCV

from qperov.quantum.estimators.regression import QuantumSVR
from qperov.quantum.kernels.feature_map_kernel import MEMORY
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.projected import ProjectedKernel
from qperov.quantum.simulation.statevector import states


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


TASKS = (Task(6, 500), Task(8, 500), Task(10, 1000), Task(10, 2000))

#: Seconds that a peer may have taken at one size and still be run at the next.
PATIENCE = 60.0

Gram = Callable[[], np.ndarray]


def pennylane_gram(task: Task) -> Gram:
    """default.qubit with its parameters broadcast over the samples, and one matrix product."""
    import pennylane as qml
    from qperov_circuits.adapters.to_pennylane import to_pennylane

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


def squlearn_gram(task: Task, framework: str) -> Gram:
    """FidelityKernel of sQUlearn on the same circuit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from qiskit.circuit.library import zz_feature_map
        from squlearn import Executor
        from squlearn.encoding_circuit import QiskitEncodingCircuit
        from squlearn.kernel import FidelityKernel as PeerKernel

    def gram() -> np.ndarray:
        circuit = QiskitEncodingCircuit(zz_feature_map(task.n_qubits, 2, entanglement="linear"))
        X = task.bandwidth * task.samples()
        return PeerKernel(circuit, executor=Executor(framework)).evaluate(X, X)

    return gram


PEERS = {
    "PennyLane, broadcast, and product": pennylane_gram,
    "qiskit-machine-learning statevector": qiskit_gram,
    "sQUlearn, qulacs": partial(squlearn_gram, framework="qulacs"),
    "sQUlearn, pennylane": partial(squlearn_gram, framework="pennylane"),
}


def fastest(run: Callable[[], object], repeats: int) -> float:
    """Least wall-clock time of some runs, in seconds, with nothing remembered from one to the next."""
    times = []
    for _ in range(repeats):
        MEMORY.clear()
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(task: Task, taken: dict[str, float]) -> dict[str, float | str]:
    """Seconds of each contestant; a line of text where one is not installed, or took too long at the last size."""
    X = task.samples()
    psi = np.ascontiguousarray(states(zz(list(task.bandwidth * X.T)), *X.shape[::-1]))
    kernel = FidelityKernel(bandwidth=task.bandwidth)
    single = FidelityKernel(bandwidth=task.bandwidth, precision="single")
    ours = kernel(X)
    rows: dict[str, float | str] = {
        "bare complex product": fastest(lambda: psi @ psi.conj().T, task.repeats),
        "qperov FidelityKernel": fastest(lambda: kernel(X), task.repeats),
        "  of which the states": fastest(lambda: states(zz(list(task.bandwidth * X.T)), *X.shape[::-1]), task.repeats),
        "  in single precision": fastest(lambda: single(X), task.repeats),
        "  with its exact gradient": fastest(lambda: kernel(X, eval_gradient=True), 2),
        "qperov ProjectedKernel": fastest(lambda: ProjectedKernel(bandwidth=task.bandwidth)(X), task.repeats),
    }
    for name, peer in PEERS.items():
        if taken.get(name, 0.0) > PATIENCE:
            rows[name] = "not run (too slow)"
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                gram = peer(task)
                start = time.perf_counter()
                theirs = gram()
                taken[name] = time.perf_counter() - start
                rows[name] = fastest(gram, task.repeats) if taken[name] < 2 else taken[name]
        except ImportError as error:
            rows[name] = f"not installed ({error.name})"
            continue
        np.testing.assert_allclose(theirs, ours, atol=1e-10)
    return rows


def cache_benefit(n_samples: int = 300, n_qubits: int = 8) -> tuple[float, float]:
    """Seconds for a grid search over six values of C with five folds: with the memory of results, and without."""
    X = np.random.default_rng(0).normal(size=(n_samples, n_qubits))
    search = GridSearchCV(QuantumSVR(FidelityKernel()), {"C": [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0]})
    y = np.sin(X[:, 0])
    remembered = fastest(lambda: search.fit(X, y), 3)
    limit, MEMORY.max_bytes = MEMORY.max_bytes, 0
    forgotten = fastest(lambda: search.fit(X, y), 3)
    MEMORY.max_bytes = limit
    return remembered, forgotten


def fresh_matrix_ratio(n_samples: int = 500, n_qubits: int = 6, n_before: int = 50) -> float:
    """Processor time of a matrix of new samples after many others, over that of the first ones; medians of five."""
    MEMORY.clear()
    times = []
    for seed in range(n_before + 5):
        X = np.random.default_rng(seed).normal(size=(n_samples, n_qubits))
        start = time.process_time()
        FidelityKernel()(X)
        times.append(time.process_time() - start)
    return float(np.median(times[n_before:]) / np.median(times[:5]))


def growth(path: Path) -> None:
    """Times against the number of samples and of qubits, as a figure and as text."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    series = {
        "samples (8 qubits)": [Task(8, n) for n in (125, 250, 500, 1000, 2000)],
        "qubits (200 samples)": [Task(q, 200) for q in range(2, 17, 2)],
    }
    for axis, (label, tasks) in zip(axes, series.items(), strict=True):
        found: dict[str, list[tuple[int, float]]] = {}
        taken: dict[str, float] = {}
        for task in tasks:
            x = task.n_samples if label.startswith("samples") else task.n_qubits
            psi = np.ascontiguousarray(states(zz(list(task.samples().T)), task.n_qubits, task.n_samples))
            kernel, projected = FidelityKernel(bandwidth=0.3), ProjectedKernel(bandwidth=0.3)
            contestants = {
                "bare product": partial(np.matmul, psi, psi.conj().T),
                "qperov fidelity": partial(kernel, task.samples()),
                "qperov projected": partial(projected, task.samples()),
            }
            for name in ("qiskit-machine-learning statevector", "sQUlearn, qulacs"):
                if taken.get(name, 0.0) < 5:
                    try:
                        contestants[name] = PEERS[name](task)
                    except ImportError:
                        continue
            for name, run in contestants.items():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    taken[name] = fastest(run, 1 if name in PEERS else 3)
                found.setdefault(name, []).append((x, taken[name]))
        for name, points in found.items():
            axis.plot(*zip(*points, strict=True), marker="o", label=name)
            print(f"  {label:22}{name:38}", *(f"{x}: {1e3 * t:.3g} ms" for x, t in points))
        axis.set(xlabel=f"number of {label}", ylabel="seconds", yscale="log")
        if label.startswith("samples"):
            axis.set_xscale("log")
            axis.minorticks_off()
        ticks = [x for x, _ in found["bare product"]]
        axis.set_xticks(ticks, [str(x) for x in ticks])
        axis.grid(alpha=0.3)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    figure.savefig(path, dpi=150)


def main(figure: Path | None = None) -> None:
    """Print one table of times, in units of the bare product, per size."""
    taken: dict[str, float] = {}
    table: dict[str, list[str]] = {}
    for task in TASKS:
        rows = measure(task, taken)
        unit = rows["bare complex product"]
        assert isinstance(unit, float)
        ours = rows["qperov FidelityKernel"]
        assert isinstance(ours, float)
        print(f"\n{task.name}: bare product {1e3 * unit:.1f} ms      times the product   times ours")
        for name, seconds in rows.items():
            cell = f"{seconds / ours:.3g}" if isinstance(seconds, float) else seconds
            table.setdefault(name.replace("  ", "… ", 1), []).append(cell)
            print(
                f"  {name:38}", seconds if isinstance(seconds, str) else f"{seconds / unit:10.2f}{seconds / ours:15.2f}"
            )
    print("\n| | " + " | ".join(task.name for task in TASKS) + " |\n|" + "---|" * (1 + len(TASKS)))
    for name, cells in table.items():
        print(f"| {name} | " + " | ".join(cells) + " |")
    remembered, forgotten = cache_benefit()
    print(f"\nGrid search over C, 8 q, N 300: {forgotten / remembered:.2f} times faster with results remembered")
    remembered, forgotten = cache_benefit(800, 10)
    print(f"Grid search over C, 10 q, N 800: {forgotten / remembered:.2f} times faster with results remembered")
    print(f"A fresh matrix, 6 q, N 500, after 50 others: {fresh_matrix_ratio():.2f} times the first")
    if figure is not None:
        growth(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--growth", type=Path, metavar="PNG", help="also measure and plot growth, to this file")
    main(parser.parse_args().growth)
