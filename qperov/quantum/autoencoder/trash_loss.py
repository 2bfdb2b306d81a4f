"""The autoencoder's loss and its exact gradient, for one set of angles and many states.

The gradient follows from one walk through the circuit and one back, the adjoint method. Rotations that cannot reach the
trash are left out: those that commute with the measurement and with every later rotation that matters. In the published
encoder that is more than half of them, since its convolution comes last and entangles nothing.

References
----------
T. Jones, J. Gacon, Efficient calculation of gradients in classical simulations of variational quantum algorithms
(2020), doi:10.48550/arXiv.2009.02823.
"""

from __future__ import annotations

import numpy as np

from qperov.quantum.simulation.pauli import PauliWord, pauli_word
from qperov.quantum.simulation.rotations import RotationCircuit, rotate, rotation_factors, rotation_tables

#: Memory that the states along a circuit may take while the gradient is computed; more columns go block by block.
TRAJECTORY_BYTES = 2**24


class TrashLoss:
    """L(θ) = Tr C†C − Tr C†U†ΠUC, where Π finds the first n − k qubits in |0…0⟩.

    Called with angles of shape (n_angles,) and columns C of shape (2**n, n_columns), states times the square roots of
    their weights, it gives L and its gradient of shape (n_angles,).

    Parameters
    ----------
    circuit : RotationCircuit
    code_qubits : int
        k.

    Attributes
    ----------
    n_rotations : int
        Rotations that matter.
    """

    def __init__(self, circuit: RotationCircuit, code_qubits: int) -> None:
        n_qubits = circuit.n_qubits
        trash = [pauli_word("z", (wire,), n_qubits) for wire in range(n_qubits - code_qubits)]
        kept = _light_cone(circuit.words, [circuit.before_last(word) for word in trash])
        self.n_rotations, self._n_qubits = len(kept), n_qubits
        self._weights, self._constants = circuit.weights[kept], circuit.constants[kept]
        self._sources, self._turns = rotation_tables([circuit.words[j] for j in kept], n_qubits)
        rows = circuit.last[: 2**code_qubits]
        effect = rows.conj().T @ rows
        self._effect = effect.real.copy() if np.abs(effect.imag).max() < 1e-14 else effect

    def __call__(self, theta: np.ndarray, columns: np.ndarray) -> tuple[float, np.ndarray]:
        cosines, sines = rotation_factors(self._weights @ theta + self._constants, self._turns)
        dtype = np.result_type(self._turns, columns, self._effect)
        width = max(1, TRAJECTORY_BYTES // (2 * dtype.itemsize * (self.n_rotations + 1) * 2**self._n_qubits))
        kept, slopes = 0.0, np.zeros(self.n_rotations)
        for start in range(0, columns.shape[1], width):
            block = columns[:, start : start + width].astype(dtype)
            more, slope = self._kept_and_slopes(cosines, sines, block)
            kept, slopes = kept + more, slopes + slope
        return float(np.vdot(columns, columns).real) - kept, -slopes @ self._weights

    def _kept_and_slopes(
        self, cosines: list[np.ndarray], sines: list[np.ndarray], columns: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """Tr ψ†Eψ and its slopes Re⟨λⱼ|(−iPⱼ)ψⱼ⟩ in φ, with ψ carried forward and λ = Eψ carried back."""
        forward = np.empty((self.n_rotations + 1, *columns.shape), dtype=columns.dtype)
        back = np.empty_like(forward)
        turned = np.empty_like(columns)
        states, duals, sources = list(forward), list(back), list(self._sources)
        forward[0] = columns
        for j in range(self.n_rotations):
            rotate(states[j], cosines[j], sines[j], sources[j], turned, states[j + 1])
        np.matmul(self._effect, states[-1], out=duals[-1])
        kept = float(np.vdot(states[-1], duals[-1]).real)
        opposite = [-sine for sine in sines]
        for j in reversed(range(self.n_rotations)):
            rotate(duals[j + 1], cosines[j], opposite[j], sources[j], turned, duals[j])
        images = np.take_along_axis(forward[1:], self._sources[:, :, None], 1) * self._turns[:, :, None]
        return kept, np.einsum("jzc,jzc->j", back[1:].conj(), images).real


def _light_cone(words: list[PauliWord], observables: list[PauliWord]) -> list[int]:
    """Positions of the words that an observable can feel, last to first commutation; in ascending order."""
    felt, kept = list(observables), []
    for j in reversed(range(len(words))):
        if not all(words[j].commutes(word) for word in felt):
            felt.append(words[j])
            kept.append(j)
    return kept[::-1]
