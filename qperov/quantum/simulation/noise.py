"""The autoencoder's loss on an imperfect machine: noise after every gate, misread qubits, finitely many shots.

The loss asks one thing of the circuit: whether all trash qubits read 0. That question is an operator, and it is carried
back through the noisy circuit once (the Heisenberg picture), E → Σ K†EK; then every sample costs one quadratic form.

References
----------
M. A. Nielsen, I. L. Chuang, Quantum Computation and Quantum Information, chapter 8, doi:10.1017/CBO9780511976667.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from qperov_circuits import Gate
from qperov_circuits.amplitude_encoding import amplitude, tree_angles

from qperov.quantum.simulation.pauli import as_rotations
from qperov.quantum.simulation.rotations import fixed_product

#: Memory of the density matrices that are prepared at a time; more states go block by block.
PREPARATION_BYTES = 2**24


@dataclass(frozen=True)
class GateNoise:
    """Noise of a machine.

    Attributes
    ----------
    depolarising : float
        Probability of a random X, Y or Z on each wire of a gate, after it: ρ → (1 − p)ρ + (p/3) Σ PρP.
    amplitude_damping : float
        Probability γ that |1⟩ has fallen to |0⟩, on each wire of a gate, after the depolarising.
    readout : float
        Probability that a qubit is read wrongly, either way.

    Raises
    ------
    ValueError
        A probability outside 0…1.
    """

    depolarising: float = 0.0
    amplitude_damping: float = 0.0
    readout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("depolarising", "amplitude_damping", "readout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability, got {getattr(self, name)}")


def noisy_effect(gates: Iterable[Gate], n_qubits: int, code_qubits: int, noise: GateNoise) -> np.ndarray:
    """E with Tr(Eρ) the probability that the trash reads 0…0 when ρ enters the noisy circuit.

    Parameters
    ----------
    gates : iterable of Gate
        Angles are numbers.
    n_qubits, code_qubits : int
    noise : GateNoise

    Returns
    -------
    ndarray of shape (2**n_qubits, 2**n_qubits)
    """
    reads_zero: np.ndarray = np.ones(1)
    for _ in range(n_qubits - code_qubits):
        reads_zero = np.kron(reads_zero, [1 - noise.readout, noise.readout])
    effect = np.diag(np.kron(reads_zero, np.ones(2**code_qubits))).astype(complex)
    for gate in reversed(list(gates)):
        for wire in gate.wires:
            effect = _damped_back(effect, wire, n_qubits, noise.amplitude_damping)
            effect = _depolarised(effect, wire, n_qubits, noise.depolarising)
        matrix = fixed_product(list(as_rotations(gate, n_qubits)), n_qubits)
        effect = matrix.conj().T @ effect @ matrix
    return effect


def noisy_preparations(states: np.ndarray, noise: GateNoise) -> np.ndarray:
    """Density matrices that a noisy machine prepares in place of real states, shape (n_samples, 2**n, 2**n).

    The circuit is `qperov_circuits.amplitude`, 2ⁿ − 1 RY and 2ⁿ − 2 CX, the noise as after any gate.

    Parameters
    ----------
    states : ndarray of shape (n_samples, 2**n)
        Normalised rows.
    noise : GateNoise
    """
    size = states.shape[1]
    n_qubits = size.bit_length() - 1
    density = np.zeros((len(states), size, size))
    density[:, 0, 0] = 1
    for gate in amplitude(list(np.array([tree_angles(state) for state in states]).T)):
        density = _applied(_applied(density, gate, n_qubits).swapaxes(1, 2), gate, n_qubits)
        for wire in gate.wires:
            density = _depolarised(density, wire, n_qubits, noise.depolarising)
            density = _damped(density, wire, n_qubits, noise.amplitude_damping)
    return density


def noisy_losses(
    gates: Iterable[Gate],
    states: np.ndarray,
    code_qubits: int,
    noise: GateNoise,
    *,
    shots: int | None = None,
    noisy_preparation: bool = False,
    random_state: np.random.RandomState | None = None,
) -> np.ndarray:
    """Share of runs whose trash does not read 0…0, for each state, shape (n_samples,).

    Parameters
    ----------
    gates : iterable of Gate
        The trained encoder.
    states : ndarray of shape (n_samples, 2**n_qubits)
        Normalised real rows.
    code_qubits : int
    noise : GateNoise
    shots : int or None
        Runs a state; None for the limit of infinitely many.
    noisy_preparation : bool
        Whether writing the amplitudes is noisy too.
    random_state : RandomState
        Draws the shots.
    """
    if shots is not None and shots < 1:
        raise ValueError(f"shots must be at least 1, got {shots}")
    effect = noisy_effect(gates, states.shape[1].bit_length() - 1, code_qubits, noise)
    if noisy_preparation:
        many = max(1, PREPARATION_BYTES // effect.nbytes)
        blocks = [noisy_preparations(states[i : i + many], noise) for i in range(0, len(states), many)]
        kept = np.concatenate([np.einsum("xy,iyx->i", effect, block).real for block in blocks])
    else:
        kept = np.einsum("ix,xy,iy->i", states, effect, states, optimize=True).real
    kept = np.clip(kept, 0, 1)
    if shots is not None:
        kept = (random_state or np.random.RandomState(0)).binomial(shots, kept) / shots
    return 1 - kept


# --- channels on operators of shape (…, 2**n, 2**n) -----------------------------------------------


def _blocks(operator: np.ndarray, wire: int, n_qubits: int) -> np.ndarray:
    """View of shape (…, left, 2, right, left, 2, right), the twos being the wire's."""
    left, right = 2**wire, 2 ** (n_qubits - 1 - wire)
    return operator.reshape(*operator.shape[:-2], left, 2, right, left, 2, right)


def _depolarised(operator: np.ndarray, wire: int, n_qubits: int, probability: float) -> np.ndarray:
    """The depolarising channel, which is its own adjoint: a share 4p/3 of the wire becomes fully mixed."""
    share = 4 * probability / 3
    blocks = _blocks(operator, wire, n_qubits)
    mixed = (1 - share) * blocks
    half = 0.5 * share * (blocks[..., 0, :, :, 0, :] + blocks[..., 1, :, :, 1, :])
    mixed[..., 0, :, :, 0, :] += half
    mixed[..., 1, :, :, 1, :] += half
    return mixed.reshape(operator.shape)


def _damped(density: np.ndarray, wire: int, n_qubits: int, probability: float) -> np.ndarray:
    """Amplitude damping of a state: a share γ of |1⟩⟨1| becomes |0⟩⟨0|."""
    blocks = _blocks(density, wire, n_qubits).copy()
    blocks[..., 0, :, :, 0, :] += probability * blocks[..., 1, :, :, 1, :]
    return _faded(blocks, probability).reshape(density.shape)


def _damped_back(effect: np.ndarray, wire: int, n_qubits: int, probability: float) -> np.ndarray:
    """Amplitude damping of an effect, the adjoint of the above."""
    blocks = _blocks(effect, wire, n_qubits)
    faded = _faded(blocks.copy(), probability)
    faded[..., 1, :, :, 1, :] += probability * blocks[..., 0, :, :, 0, :]
    return faded.reshape(effect.shape)


def _faded(blocks: np.ndarray, probability: float) -> np.ndarray:
    blocks[..., 1, :, :, 1, :] *= 1 - probability
    blocks[..., 0, :, :, 1, :] *= np.sqrt(1 - probability)
    blocks[..., 1, :, :, 0, :] *= np.sqrt(1 - probability)
    return blocks


def _applied(operators: np.ndarray, gate: Gate, n_qubits: int) -> np.ndarray:
    """An RY (one angle per sample) or CX times operators of shape (n_samples, 2**n, 2**n)."""
    wire = gate.wires[-1]
    parts = operators.reshape(len(operators), 2**wire, 2, -1)
    zero, one = parts[:, :, 0], parts[:, :, 1]
    if gate.name == "ry":
        half = 0.5 * np.asarray(gate.angle)[:, None, None]
        turned = [np.cos(half) * zero - np.sin(half) * one, np.sin(half) * zero + np.cos(half) * one]
        return np.stack(turned, axis=2).reshape(operators.shape)
    control = n_qubits - 1 - gate.wires[0]
    rows = np.arange(2**n_qubits)
    return operators[:, rows ^ (((rows >> control) & 1) << (n_qubits - 1 - wire))]
