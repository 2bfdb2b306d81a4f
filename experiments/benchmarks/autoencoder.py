"""Time to train the published autoencoder as published (500 structures, five passes, one at a time), ours against a
PennyLane QNode called once a sample; and one step on all samples, ours against PennyLane's broadcasting.

Both sides take the same batches from the same start, and their losses are compared before their times count. The ratio
is of times measured in one run; PennyLane's is taken over fewer steps.

    python experiments/benchmarks/autoencoder.py
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

import qperov
from qperov.quantum.autoencoder.autoencoder import QuantumAutoencoder


@dataclass(frozen=True)
class Task:
    """Settings of the benchmark.

    Attributes
    ----------
    n_samples, epochs : int
        Of the published training.
    peer_samples : int
        Steps on which a PennyLane device is timed.
    seed : int
    """

    n_samples: int = 500
    epochs: int = 5
    peer_samples: int = 40
    seed: int = 0


def vectors(task: Task) -> np.ndarray:
    """Autoencoder vectors of structures drawn from cpx321, shape (n_samples, 32)."""
    structures = qperov.load_dataset("cpx321").structures
    chosen = np.random.default_rng(task.seed).choice(len(structures), task.n_samples, replace=False)
    return qperov.PXRDFeaturizer("autoencoder").fit_transform([structures[i] for i in chosen])


def seconds_to_fit(X: np.ndarray, repeats: int = 3, **settings: Any) -> tuple[float, QuantumAutoencoder]:
    """Least time of some fits, and what they trained."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        model = QuantumAutoencoder(**settings).fit(X)
        times.append(time.perf_counter() - start)
    return min(times), model


def main(task: Task) -> None:
    """Measure and print."""
    X = vectors(task)
    published = {"ansatz": "published", "optimizer": "adam", "batch_size": 1, "learning_rate": 0.1, "patience": None}
    published |= {"epochs": task.epochs, "random_state": task.seed}
    ours, model = seconds_to_fit(X, **published)
    steps = len(model.step_losses_)
    print(f"published training, {steps} steps of one sample: {ours:.2f} s, fidelity {model.score(X):.4f}")
    again = QuantumAutoencoder(**published).fit(X)
    print(f"the same seed gives the same angles: {np.array_equal(again.angles_, model.angles_)}")
    few = X[: task.peer_samples]
    once = published | {"epochs": 1}
    _, exact = seconds_to_fit(few, 1, **once)
    for simulator in ("default.qubit", "lightning.qubit"):
        seconds_to_fit(few[:2], 1, **once, simulator=simulator)  # imports and caches do not count
        theirs, peer = seconds_to_fit(few, 1, **once, simulator=simulator)
        np.testing.assert_allclose(peer.step_losses_, exact.step_losses_, atol=1e-9)
        # a fit also evaluates the loss of all samples before and after
        ratio = theirs / (task.peer_samples + 2) / (ours / steps)
        print(
            f"PennyLane {simulator}, a QNode a sample: {theirs / (task.peer_samples + 2):.4f} s a step, "
            f"{ratio:.0f} times"
        )

    whole = {"optimizer": "adam", "epochs": 20, "random_state": task.seed}
    ours, exact = seconds_to_fit(X, **whole)
    theirs, peer = seconds_to_fit(X, 1, **whole, simulator="default.qubit")
    np.testing.assert_allclose(peer.loss_history_, exact.loss_history_, atol=1e-9)
    print(
        f"entangling encoder, a pass over all samples at once: {ours / 20:.4f} s; "
        f"PennyLane, broadcast: {theirs / 20:.4f} s, {theirs / ours:.0f} times"
    )


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main(Task())
