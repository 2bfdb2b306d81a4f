"""Pauli words as bit masks, gates as rotations about them, and how a quarter turn about one word changes another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import pi
from typing import Any

import numpy as np
from qperov_circuits import Angle, Gate

#: Angles this close to a multiple of a quarter turn are one, in radians.
QUARTER_TOLERANCE = 1e-12


@dataclass(frozen=True)
class PauliWord:
    """P = ±i^{|x∧z|} Xˣ Zᶻ, a product of X, Y and Z on some wires.

    Parameters
    ----------
    x, z : int
        Masks of the wires that hold X or Y, and of those that hold Z or Y; wire 0 is the most significant bit.
    sign : int
        1 or −1.
    """

    x: int
    z: int
    sign: int = 1

    @property
    def is_imaginary(self) -> bool:
        """Whether the matrix is imaginary, so that exp(−iφP/2) is a real rotation: an odd number of Y."""
        return bool((self.x & self.z).bit_count() % 2)

    def commutes(self, other: PauliWord) -> bool:
        return ((self.x & other.z).bit_count() + (self.z & other.x).bit_count()) % 2 == 0

    def turn(self, axis: PauliWord, quarters: int) -> PauliWord:
        """R†·P·R for R = exp(−iφQ/2) about the axis Q by φ = quarters·π/2; again a Pauli word."""
        quarters %= 4
        if quarters == 0 or self.commutes(axis):
            return self
        if quarters == 2:
            return PauliWord(self.x, self.z, -self.sign)
        x, z = self.x ^ axis.x, self.z ^ axis.z  # ±iQP
        powers_of_i = 1 + sum((w.x & w.z).bit_count() for w in (axis, self)) - (x & z).bit_count()
        powers_of_i += 2 * (axis.z & self.x).bit_count() + (2 if quarters == 3 else 0)
        return PauliWord(x, z, self.sign * axis.sign * (1 if powers_of_i % 4 == 0 else -1))

    def sources_and_phases(self, n_qubits: int) -> tuple[np.ndarray, np.ndarray]:
        """s and f, each of shape (2**n,), with (Pψ)[b] = f[b]·ψ[s[b]]."""
        sources = np.arange(2**n_qubits) ^ self.x
        parity = np.bitwise_count(sources & self.z) & 1
        return sources, self.sign * 1j ** ((self.x & self.z).bit_count() % 4) * (1 - 2.0 * parity)


def pauli_word(letters: str, wires: Iterable[int], n_qubits: int) -> PauliWord:
    """The word with these letters out of ``xyz`` on these wires."""
    x = z = 0
    for letter, wire in zip(letters, wires, strict=True):
        bit = 1 << (n_qubits - 1 - wire)
        x |= bit if letter in "xy" else 0
        z |= bit if letter in "yz" else 0
    return PauliWord(x, z)


def as_rotations(gate: Gate, n_qubits: int) -> Iterator[tuple[PauliWord, Angle]]:
    """A gate as rotations exp(−iφP/2) in the order in which they act; the empty word is a global phase e^{−iφ/2}.

    Raises
    ------
    ValueError
        The gate acts outside the qubits.
    """
    if max(gate.wires) >= n_qubits:
        raise ValueError(f"gate {gate.name!r} acts on wires {gate.wires} of a circuit of {n_qubits} qubits")
    wires = gate.wires
    phase: Any = None
    match gate.name:
        case "x":
            factors, phase = [("x", wires, pi)], -pi
        case "h":
            factors, phase = [(letter, wires, pi / 2) for letter in "zxz"], -pi
        case "cx" | "cz":  # exp(iπ/4 (1 − Z)(1 − P))
            letter = gate.name[1]
            factors = [("z", wires[:1], pi / 2), (letter, wires[1:], pi / 2), ("z" + letter, wires, -pi / 2)]
            phase = -pi / 2
        case "p":
            factors, phase = [("z", wires, gate.angle)], -gate.angle
        case _:
            factors = [(gate.name[1:], wires, gate.angle)]
    for letters, on, angle in factors:
        yield pauli_word(letters, on, n_qubits), angle
    if phase is not None:
        yield PauliWord(0, 0), phase


def quarter_turns(angle: float) -> int | None:
    """How many times π/2 an angle is, None if it is no whole number of times."""
    quarters = round(angle / (pi / 2))
    return quarters if abs(angle - quarters * pi / 2) < QUARTER_TOLERANCE else None
