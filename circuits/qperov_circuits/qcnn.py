"""Encoders of a quantum autoencoder, as quantum convolutional networks: angles -> gates.

Wires 0 … n−k−1 are the trash, the last k wires the code: an encoder succeeds where it brings the trash to |0…0⟩.

References
----------
I. Cong, S. Choi, M. D. Lukin, Quantum convolutional neural networks, Nature Physics 15, 1273 (2019),
doi:10.1038/s41567-019-0648-8.
J. Romero, J. P. Olson, A. Aspuru-Guzik, Quantum autoencoders for efficient compression of quantum data, Quantum
Science and Technology 2, 045001 (2017), doi:10.1088/2058-9565/aa8072.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import pi

from qperov_circuits.gate import Angle, Gate

#: Angles of the published encoder.
PUBLISHED_ANGLES = 21

#: Angles of one two-qubit convolution (one a wire, four of the interaction) and of one pool.
CONVOLUTION_ANGLES, POOL_ANGLES = 6, 2


# --- as published -------------------------------------------------------------------------------


def published(theta: Sequence[Angle]) -> Iterator[Gate]:
    """The published encoder, five wires to four, in the order in which its gates meet the state.

    U = conv · pool(0→2) · pool(0→3) · pool(0→4) · pool(0→1) as matrices, with
    conv = L(0)·T(0,1)·T(2,3)·T(0,4)·L(9)·L(0)·T(1,2)·T(3,4)·L(9); so the state meets the pools first. L and T are
    products of rotations of single wires, which entangle nothing, and the second half of a pool is not the inverse of
    its first. θ₃…θ₅ and θ₁₂…θ₁₄ turn wires of the code last of all and cannot change the loss.

    Parameters
    ----------
    theta : sequence of 21 angles
        Radians.

    Raises
    ------
    ValueError
        There are not 21 angles.

    Source: J.-J. Hu et al., Data-driven generation of mixed X-anion perovskites properties, supplement, section 8.
    """
    _check_count(theta, PUBLISHED_ANGLES)
    for target in (1, 4, 3, 2):
        yield from _published_pool(theta, 0, target)
    yield from _published_locals(theta, 9)
    yield from _published_pair(theta, 3, 4)
    yield from _published_pair(theta, 1, 2)
    yield from _published_locals(theta, 0)
    yield from _published_locals(theta, 9)
    yield from _published_pair(theta, 0, 4)
    yield from _published_pair(theta, 2, 3)
    yield from _published_pair(theta, 0, 1)
    yield from _published_locals(theta, 0)


def _published_locals(theta: Sequence[Angle], offset: int) -> Iterator[Gate]:
    """L(o): Rz·Ry·Rx on every wire, odd wires with the next three angles."""
    for wire in range(5):
        yield from _turn(wire, theta[offset + 3 * (wire % 2) : offset + 3 * (wire % 2) + 3], "xyz")


def _published_pair(theta: Sequence[Angle], first: int, second: int) -> Iterator[Gate]:
    """T(p): Rx·Ry·Rz on both wires of a pair."""
    for wire in (first, second):
        yield from _turn(wire, (theta[8], theta[7], theta[6]), "zyx")


def _published_pool(theta: Sequence[Angle], control: int, target: int) -> Iterator[Gate]:
    """pool(c→t), whose first turn has the angles of the last negated but its order kept."""
    yield from _turn(target, [-theta[15], -theta[16], -theta[17]], "xyz")
    yield Gate("cx", (control, target))
    yield from _turn(target, theta[15:18], "xyz")
    yield from _turn(control, theta[18:21], "xyz")


# --- as it should have been ---------------------------------------------------------------------


def entangling_size(n_qubits: int, code_qubits: int, layers: int = 3, shared: bool = False) -> int:
    """Number of angles of `entangling`.

    Raises
    ------
    ValueError
        There is no code or no trash, or not at least one layer.
    """
    _check_shape(n_qubits, code_qubits, layers)
    if shared:
        return layers * (CONVOLUTION_ANGLES + POOL_ANGLES)
    pools = code_qubits * (n_qubits - code_qubits)
    pairs = n_qubits if n_qubits > 2 else 1  # of the ring; counted, not listed: a file may ask for any number
    return layers * (CONVOLUTION_ANGLES * pairs + POOL_ANGLES * pools)


def ring_pairs(n_qubits: int) -> list[tuple[int, int]]:
    """Neighbouring wires of a ring: (i, i+1) with even i, then with odd i, then the pair that closes it."""
    line = [(i, i + 1) for i in range(n_qubits - 1)]
    return line[::2] + line[1::2] + ([(n_qubits - 1, 0)] if n_qubits > 2 else [])


def entangling(
    theta: Sequence[Angle], n_qubits: int = 5, code_qubits: int = 4, layers: int = 3, shared: bool = False
) -> Iterator[Gate]:
    """A convolutional encoder of true two-qubit interactions, any n wires to any k.

    Each layer convolves all neighbours on a ring by a general real two-qubit block, Ry on both wires and then
    e^{−i(aYX + bXY + cYZ + dZY)/2} factor by factor: these six generate SO(4), and real amplitudes need no more. It
    then pools every wire of the code into every trash wire, V†·CX(code→trash)·V with V = Ry on the trash, after an Ry
    on the code. The trash is the target: as a control it could not change its own populations, and the last angles
    would be dead. The whole encoder is a real matrix, apart from a global phase.

    Parameters
    ----------
    theta : sequence of ``entangling_size(n_qubits, code_qubits, layers, shared)`` angles
        Radians.
    n_qubits, code_qubits : int
        n and k, 1 ≤ k < n.
    layers : int
    shared : bool
        Whether all convolutions of a layer have the same six angles and all its pools the same two, as in a
        classical convolutional network.

    Raises
    ------
    ValueError
        A shape that is impossible, or a wrong number of angles.
    """
    _check_count(theta, entangling_size(n_qubits, code_qubits, layers, shared))
    trash = range(n_qubits - code_qubits)
    pools = [(control, target) for target in trash for control in range(n_qubits - code_qubits, n_qubits)]
    pairs = ring_pairs(n_qubits)
    start = 0
    for _ in range(layers):
        for i, pair in enumerate(pairs):
            yield from _convolution(pair, theta[start + (0 if shared else i * CONVOLUTION_ANGLES) :])
        start += CONVOLUTION_ANGLES * (1 if shared else len(pairs))
        for i, pool in enumerate(pools):
            yield from _pool(*pool, theta[start + (0 if shared else i * POOL_ANGLES) :])
        start += POOL_ANGLES * (1 if shared else len(pools))


def _convolution(pair: tuple[int, int], angles: Sequence[Angle]) -> Iterator[Gate]:
    for wire, angle in zip(pair, angles[:2], strict=True):
        yield Gate("ry", (wire,), angle)
    for letter, (at_first, at_second) in zip("xz", (angles[2:4], angles[4:6]), strict=True):
        yield from _with_y(pair[0], letter, pair, at_first)
        yield from _with_y(pair[1], letter, pair, at_second)


def _with_y(wire: int, letter: str, pair: tuple[int, int], angle: Angle) -> Iterator[Gate]:
    """e^{−iθ(Y⊗P)/2} for P = X or Z, with Y on one wire of a pair: that of P⊗P inside a quarter turn of the wire."""
    axis, quarter = ("rz", pi / 2) if letter == "x" else ("rx", -pi / 2)
    yield Gate(axis, (wire,), -quarter)
    yield Gate(f"r{letter}{letter}", pair, angle)
    yield Gate(axis, (wire,), quarter)


def _pool(control: int, target: int, angles: Sequence[Angle]) -> Iterator[Gate]:
    yield Gate("ry", (control,), angles[0])
    yield Gate("ry", (target,), angles[1])
    yield Gate("cx", (control, target))
    yield Gate("ry", (target,), -angles[1])


def _turn(wire: int, angles: Sequence[Angle], axes: str) -> Iterator[Gate]:
    for axis, angle in zip(axes, angles, strict=True):
        yield Gate(f"r{axis}", (wire,), angle)


def _check_count(theta: Sequence[Angle], count: int) -> None:
    if len(theta) != count:
        raise ValueError(f"this encoder has {count} angles, got {len(theta)}")


def _check_shape(n_qubits: int, code_qubits: int, layers: int) -> None:
    if not 1 <= code_qubits < n_qubits:
        raise ValueError(f"a code takes at least 1 and less than all {n_qubits} qubits, got {code_qubits}")
    if layers < 1:
        raise ValueError(f"there must be at least one layer, got {layers}")
