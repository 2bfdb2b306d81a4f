"""The autoencoder's loss on a PennyLane device, differentiated by torch: independent of our own engine."""

from __future__ import annotations

import numpy as np

from qperov.errors import MissingDependencyError
from qperov.quantum.autoencoder.training import Objective
from qperov.quantum.simulation.rotations import Ansatz


def pennylane_objective(ansatz: Ansatz, n_qubits: int, code_qubits: int, simulator: str) -> Objective:
    """Weight outside the trash's |0…0⟩ and its gradient, from a QNode that takes all states in one broadcast.

    Parameters
    ----------
    ansatz : callable
        From angles to gates.
    n_qubits, code_qubits : int
    simulator : str
        Name of a PennyLane device, such as ``"default.qubit"`` or ``"lightning.qubit"``.

    Raises
    ------
    MissingDependencyError
        PennyLane or torch is not installed.
    """
    try:
        import pennylane as qml
        import torch
    except ImportError as error:
        raise MissingDependencyError(
            f"simulator={simulator!r} trains with PennyLane and torch, and {error.name} is not installed: "
            "pip install pennylane 'qperov[torch]', or leave simulator at 'exact'"
        ) from error
    from qperov_circuits.adapters.to_pennylane import to_pennylane

    trash = range(n_qubits - code_qubits)

    @qml.qnode(qml.device(simulator, wires=n_qubits), interface="torch", diff_method="best")
    def kept(angles: torch.Tensor, states: torch.Tensor) -> qml.measurements.ExpectationMP:
        qml.StatePrep(states, wires=range(n_qubits))
        to_pennylane(ansatz(list(angles)))
        return qml.expval(qml.Projector([0] * len(trash), wires=trash))

    def objective(angles: np.ndarray, columns: np.ndarray) -> tuple[float, np.ndarray]:
        weights = (columns**2).sum(axis=0)
        theta = torch.tensor(angles, requires_grad=True)
        states = torch.as_tensor((columns / np.sqrt(weights)).T, dtype=torch.complex128)
        loss = torch.as_tensor(weights) @ (1 - kept(theta, states).real.double())
        (gradient,) = torch.autograd.grad(loss, theta)
        return float(loss.detach()), gradient.numpy()

    return objective
