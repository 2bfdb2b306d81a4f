"""Real amplitudes written into a state: vector -> angles of a binary tree -> gates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import atan2, hypot, isfinite

from qperov_circuits.gate import Angle, Gate


def tree_angles(vector: Sequence[float]) -> list[float]:
    """Angles of the tree of RY rotations that prepares the direction of a real vector, root first.

    Node by node, θ = 2·atan2(‖right half‖, ‖left half‖); the lowest nodes keep the signs of their two entries.

    Parameters
    ----------
    vector : sequence of 2ⁿ finite numbers, n ≥ 1
        Its length does not matter, but must not be zero.

    Returns
    -------
    list of 2ⁿ − 1 float
        Level by level: one angle, two angles, four …

    Raises
    ------
    ValueError
        The length is no power of two, an entry is not finite, or all are zero.
    """
    values = [float(entry) for entry in vector]
    if len(values) < 2 or len(values) & (len(values) - 1):
        raise ValueError(f"amplitudes come in powers of two, at least two of them, got {len(values)}")
    if not all(isfinite(entry) for entry in values):
        raise ValueError("an amplitude is not finite")
    largest = max(abs(entry) for entry in values)
    if largest == 0:
        raise ValueError("all amplitudes are zero: a state needs a direction")
    values = [entry / largest for entry in values]
    angles: list[float] = []
    while len(values) > 1:
        halves = list(zip(values[::2], values[1::2], strict=True))
        angles = [2 * atan2(right, left) for left, right in halves] + angles
        values = [hypot(left, right) for left, right in halves]
    return angles


def amplitude(angles: Sequence[Angle]) -> Iterator[Gate]:
    """Prepare Σᵢ vᵢ|i⟩ / ‖v‖ from |0…0⟩, with RY and CX alone.

    Level l of the tree is an RY on wire l that the wires above it select, split into 2ˡ rotations with a CX after each
    by a Gray code; 2ⁿ − 1 RY and 2ⁿ − 2 CX in all.

    Parameters
    ----------
    angles : sequence of 2ⁿ − 1 angles
        As `tree_angles` gives them; each may be an array with one angle per sample.

    Raises
    ------
    ValueError
        The number of angles is not 2ⁿ − 1.

    Source: M. Möttönen et al., Transformation of quantum states using uniformly controlled rotations, Quantum
    Information and Computation 5, 467 (2005), doi:10.26421/QIC5.6-5.
    """
    n_qubits = (len(angles) + 1).bit_length() - 1
    if n_qubits < 1 or len(angles) != 2**n_qubits - 1:
        raise ValueError(f"a tree has 2ⁿ − 1 angles with n ≥ 1, got {len(angles)}")
    for wire in range(n_qubits):
        yield from _selected_ry(wire, angles[2**wire - 1 : 2 ** (wire + 1) - 1])


def _selected_ry(wire: int, angles: Sequence[Angle]) -> Iterator[Gate]:
    """RY by ``angles[s]`` on a wire, where s is the basis state of the wires above it."""
    count = len(angles)
    for step in range(count):
        gray = step ^ (step >> 1)
        total = angles[0]
        for selected, angle in enumerate(angles[1:], start=1):
            total = total - angle if (selected & gray).bit_count() % 2 else total + angle
        yield Gate("ry", (wire,), total * (1 / count))
        if count > 1:
            after = (step + 1) % count
            changed = gray ^ after ^ (after >> 1)
            yield Gate("cx", (wire - changed.bit_length(), wire))
