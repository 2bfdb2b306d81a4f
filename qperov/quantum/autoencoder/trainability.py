"""Whether an encoder can be trained: the spread of its gradient over random angles, and angles that do nothing.

Where the variance of the gradient falls exponentially with the number of qubits, a random start lies on a barren
plateau, and no number of shots that one can pay for shows the way down. A loss that asks about many trash qubits at
once (small codes) falls faster than one that asks about a single one.

References
----------
J. R. McClean et al., Barren plateaus in quantum neural network training landscapes, Nature Communications 9, 4812
(2018), doi:10.1038/s41467-018-07090-4.
M. Cerezo et al., Cost function dependent barren plateaus in shallow parametrized quantum circuits, Nature
Communications 12, 1791 (2021), doi:10.1038/s41467-021-21728-w.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from qperov.quantum.autoencoder.encoder_ansatz import EncoderAnsatz, encoder_ansatz
from qperov.quantum.autoencoder.trash_loss import TrashLoss
from qperov.quantum.simulation.rotations import RotationCircuit

#: Derivatives below this at all random angles are zero but for rounding.
ZERO_GRADIENT = 1e-12


def random_gradients(
    ansatz: EncoderAnsatz,
    n_qubits: int,
    code_qubits: int,
    states: np.ndarray | None = None,
    *,
    layers: int = 3,
    shared: bool = False,
    n_angles: int | None = None,
    draws: int = 100,
    random_state: int = 0,
) -> np.ndarray:
    """∂L/∂θ at angles drawn uniformly from a full turn, shape (draws, n_angles).

    Parameters
    ----------
    ansatz, n_qubits, code_qubits, layers, shared, n_angles
        As in `QuantumAutoencoder`.
    states : ndarray of shape (n_samples, 2**n_qubits), optional
        Normalised rows; each draw takes the next of them. Without, random real states.
    draws, random_state : int
    """
    circuit = RotationCircuit(*encoder_ansatz(ansatz, n_qubits, code_qubits, layers, shared, n_angles), n_qubits)
    loss = TrashLoss(circuit, code_qubits)
    random = np.random.RandomState(random_state)
    if states is None:
        states = random.normal(size=(draws, 2**n_qubits))
        states /= np.linalg.norm(states, axis=1, keepdims=True)
    gradients = np.empty((draws, circuit.n_angles))
    for i in range(draws):
        theta = random.uniform(-np.pi, np.pi, circuit.n_angles)
        gradients[i] = loss(theta, states[i % len(states), :, None])[1]
    return gradients


def dead_angles(gradients: np.ndarray) -> list[int]:
    """Angles whose derivative vanishes at every draw: turning them does not change the loss."""
    return [int(i) for i in np.flatnonzero(np.abs(gradients).max(axis=0) < ZERO_GRADIENT)]


def trainability(
    n_qubits: Sequence[int] = (4, 5, 6, 7, 8), layers: Sequence[int] = (1, 3), draws: int = 100, random_state: int = 0
) -> pd.DataFrame:
    """Gradient variance of the encoders against qubits and depth, on random real states.

    Each size is asked with one trash qubit (a local loss) and with one code qubit (a global one); five qubits to four
    also with the published encoder, whose number of layers is given as 1.

    Returns
    -------
    DataFrame
        Columns ``ansatz``, ``n_qubits``, ``code_qubits``, ``layers``, ``n_angles``, ``variance`` (mean over the angles
        that are not dead), ``least_variance`` (of these) and ``dead_angles`` (list of int).
    """
    cases: list[tuple[str, int, int, int]] = []
    for n in n_qubits:
        cases += [("entangling", n, k, depth) for depth in layers for k in sorted({1, n - 1})]
        if n == 5:
            cases.append(("published", 5, 4, 1))
    rows = []
    for ansatz, n, k, depth in cases:
        gradients = random_gradients(ansatz, n, k, layers=depth, draws=draws, random_state=random_state)
        dead = dead_angles(gradients)
        variances = np.delete(gradients.var(axis=0), dead)
        rows.append(
            {
                "ansatz": ansatz,
                "n_qubits": n,
                "code_qubits": k,
                "layers": depth,
                "n_angles": gradients.shape[1],
                "variance": float(variances.mean()),
                "least_variance": float(variances.min()),
                "dead_angles": dead,
            }
        )
    return pd.DataFrame(rows)
