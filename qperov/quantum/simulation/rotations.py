"""A parameterised circuit as a product of Pauli rotations, applied to many states.

`statevector` prepares one state for each set of angles. Training asks the opposite: one set of angles
and many input states. Here every gate becomes rotations exp(−iφP/2) of Pauli words P, and all fixed quarter turns (CX
and the like) are moved to the end, where they are one matrix. A word permutes the amplitudes and multiplies them by
phases, so that a rotation is four array operations whatever the word is; where all words are imaginary the arithmetic
is real.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from qperov_circuits import Angle, Gate

from qperov.quantum.simulation.pauli import PauliWord, as_rotations, quarter_turns
from qperov.quantum.simulation.statevector import check_size

#: From a list of angles to the gates of a circuit.
Ansatz = Callable[[Sequence[Any]], Iterable[Gate]]


class RotationCircuit:
    """U(θ) = T · ∏ⱼ exp(−iφⱼPⱼ/2) with φ = W·θ + b and a fixed T.

    Parameters
    ----------
    ansatz : callable
        From a list of ``n_angles`` angles to gates; each gate's angle is a weighted sum of the list's entries.
    n_angles : int
        Number of trainable angles θ.
    n_qubits : int

    Attributes
    ----------
    words : list of PauliWord
        Pⱼ, in the order in which they act; fixed quarter turns are not among them.
    weights, constants : ndarray of shape (n_rotations, n_angles) and (n_rotations,)
        W and b.
    last : ndarray of shape (2**n, 2**n)
        T.

    Raises
    ------
    ValueError
        A gate outside the qubits, or an angle that is no weighted sum.
    TypeError
        An angle that a function of numpy was taken of.
    CircuitSizeError
        The unitary of that many qubits does not fit in memory.
    """

    def __init__(self, ansatz: Ansatz, n_angles: int, n_qubits: int) -> None:
        check_size(n_qubits, 2**n_qubits)
        self.n_qubits, self.n_angles = n_qubits, n_angles
        words: list[PauliWord] = []
        angles: list[Angle] = []
        turns: list[tuple[PauliWord, float]] = []
        quarters: list[tuple[PauliWord, int]] = []
        for gate in ansatz(parameters(n_angles)):
            for word, angle in as_rotations(gate, n_qubits):
                count = None if isinstance(angle, Affine) else quarter_turns(angle)
                if count is not None:
                    quarters.insert(0, (word, count))
                    turns.append((word, angle))
                    continue
                for axis, number in quarters:
                    word = word.turn(axis, number)
                words.append(word)
                angles.append(angle)
        self.words = words
        self.weights, self.constants = as_matrix(angles, n_angles)
        self.last = fixed_product(turns, n_qubits)
        self._quarters = quarters

    def matrix(self, theta: np.ndarray) -> np.ndarray:
        """U(θ), shape (2**n, 2**n), global phase included."""
        return self.apply(theta, np.eye(2**self.n_qubits))

    def apply(self, theta: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """U(θ)·C for columns C of shape (2**n, n_columns)."""
        sources, turns = rotation_tables(self.words, self.n_qubits)
        cosines, sines = rotation_factors(self.weights @ theta + self.constants, turns)
        states = np.empty((3, *columns.shape), dtype=np.result_type(turns, columns))
        states[0] = columns
        source, target, turned = states
        for cosine, sine, permutation in zip(cosines, sines, sources, strict=True):
            rotate(source, cosine, sine, permutation, turned, target)
            source, target = target, source
        return self.last @ source

    def before_last(self, word: PauliWord) -> PauliWord:
        """T†·P·T: an observable at the end of the circuit as one at the end of its rotations."""
        for axis, number in self._quarters:
            word = word.turn(axis, number)
        return word


def rotation_tables(words: Sequence[PauliWord], n_qubits: int) -> tuple[np.ndarray, np.ndarray]:
    """Permutations s and factors f, each of shape (n_words, 2**n), with (−iPψ)[b] = f[b]·ψ[s[b]].

    The factors are real numbers if all words are imaginary.
    """
    tables = [word.sources_and_phases(n_qubits) for word in words]
    shape = (len(words), 2**n_qubits)
    sources = np.array([source for source, _ in tables], dtype=np.intp).reshape(shape)
    turns = -1j * np.array([phases for _, phases in tables], dtype=complex).reshape(shape)
    return sources, turns.real if all(word.is_imaginary for word in words) else turns


def rotation_factors(angles: np.ndarray, turns: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """cos(φ/2), and sin(φ/2) times the factors of −iP, of every rotation, one for each amplitude."""
    half = 0.5 * angles[:, None, None]
    cosines = np.empty_like(turns)[:, :, None]
    cosines[:] = np.cos(half)  # numpy multiplies by an array of equal type in half the time of a number
    return list(cosines), list(np.sin(half) * turns[:, :, None])


def rotate(
    source: np.ndarray,
    cosine: np.ndarray,
    sine: np.ndarray,
    permutation: np.ndarray,
    turned: np.ndarray,
    target: np.ndarray,
) -> None:
    """target = cos·ψ + sin·(−iP)ψ, without allocating: training spends its time here."""
    np.multiply(source, cosine, target)
    source.take(permutation, 0, turned, "clip")  # other modes copy when given an output
    np.multiply(turned, sine, turned)
    np.add(target, turned, target)


def fixed_product(turns: list[tuple[PauliWord, float]], n_qubits: int) -> np.ndarray:
    """Product of rotations by fixed angles, the first of the list acting first."""
    product = np.eye(2**n_qubits, dtype=complex)
    for word, angle in turns:
        sources, phases = word.sources_and_phases(n_qubits)
        product = np.cos(angle / 2) * product - 1j * np.sin(angle / 2) * phases[:, None] * product[sources]
    return product


# --- angles as weighted sums of parameters, kept as symbols while a circuit is read once ----------


@dataclass(frozen=True)
class Affine:
    """c·θ + b for parameters θ that are not yet numbers; sums and multiples of it are again such.

    Parameters
    ----------
    weights : ndarray of shape (n_parameters,)
        c.
    constant : float
        b, in radians.
    """

    weights: np.ndarray
    constant: float = 0.0

    # Without this, numpy would take ``number * Affine`` apart.
    __array_ufunc__ = None

    def __add__(self, other: Any) -> Affine:
        if isinstance(other, Affine):
            return Affine(self.weights + other.weights, self.constant + other.constant)
        return Affine(self.weights, self.constant + float(other))

    def __mul__(self, other: Any) -> Affine:
        if isinstance(other, Affine):
            self._refuse()
        return Affine(self.weights * float(other), self.constant * float(other))

    def __truediv__(self, other: Any) -> Affine:
        return self * (1 / other)

    def __neg__(self) -> Affine:
        return self * -1

    def __sub__(self, other: Any) -> Affine:
        return self + (-other)

    def __rsub__(self, other: Any) -> Affine:
        return -self + other

    def _refuse(self, *_: Any) -> NoReturn:
        raise ValueError(
            "a trainable circuit's angles must be weighted sums of its parameters, not products or functions"
        )

    __radd__ = __add__
    __rmul__ = __mul__
    __pow__ = __rpow__ = __rtruediv__ = __float__ = __abs__ = _refuse


def parameters(count: int) -> list[Affine]:
    """The symbols θ₀ … θ₍count−1₎."""
    return [Affine(row) for row in np.eye(count)]


def as_matrix(angles: Sequence[Any], count: int) -> tuple[np.ndarray, np.ndarray]:
    """W of shape (n_angles, count) and b of shape (n_angles,) with angles = W·θ + b."""
    weights, constants = np.zeros((len(angles), count)), np.zeros(len(angles))
    for i, angle in enumerate(angles):
        if isinstance(angle, Affine):
            weights[i], constants[i] = angle.weights, angle.constant
        else:
            constants[i] = float(angle)
    return weights, constants
