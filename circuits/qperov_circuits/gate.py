"""The gate: a name, the wires it acts on, and an angle of whatever type the caller chose.

Wire 0 is the most significant bit of a basis state: amplitude ``0b10`` of a two-wire state has wire 0 in |1⟩.

A circuit is any iterable of gates, in the order in which they act. An angle may be a float, an array with one angle per
sample, a tensor, or a symbol: anything that knows ``+``, ``-``, ``*`` and unary minus.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

#: A float, an array of one angle per sample (batched simulation), a tensor (training), a symbol (hardware).
Angle: TypeAlias = Any

#: Gates without an angle, each its own inverse, and the number of wires they act on.
FIXED_GATES = {"h": 1, "x": 1, "cx": 2, "cz": 2}

#: Gates with an angle, and the number of wires they act on.
ROTATION_GATES = {"rx": 1, "ry": 1, "rz": 1, "p": 1, "rxx": 2, "ryy": 2, "rzz": 2}


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate of a circuit.

    ``rx, ry, rz, rxx, ryy, rzz`` are exp(−iθP/2) for the Pauli string P in their name; ``p`` is diag(1, e^{iθ});
    ``cx`` has its control on the first wire.

    Parameters
    ----------
    name : str
        One of ``h x cx cz`` (no angle) or ``rx ry rz p rxx ryy rzz`` (one angle).
    wires : tuple of int
        The wires it acts on, all different, counted from 0.
    angle : Angle or None
        θ in radians; None for the gates without an angle.

    Raises
    ------
    ValueError
        The name is unknown, or the wires or the angle do not fit the name.
    """

    name: str
    wires: tuple[int, ...]
    angle: Angle = None

    def __post_init__(self) -> None:
        count = FIXED_GATES.get(self.name) or ROTATION_GATES.get(self.name)
        if count is None:
            raise ValueError(f"unknown gate {self.name!r}; known are {', '.join([*FIXED_GATES, *ROTATION_GATES])}")
        if len(self.wires) != count or len(set(self.wires)) != count:
            raise ValueError(f"gate {self.name!r} acts on {count} different wire(s), got {self.wires}")
        if min(self.wires) < 0:
            raise ValueError(f"wires are counted from 0, got {self.wires}")
        if (self.angle is None) == (self.name in ROTATION_GATES):
            takes = "needs an angle" if self.name in ROTATION_GATES else "takes no angle"
            raise ValueError(f"gate {self.name!r} {takes}")


def inverse(gates: Iterable[Gate]) -> list[Gate]:
    """Gates that undo a circuit: the same in reverse order, every angle negated."""
    return [gate if gate.angle is None else Gate(gate.name, gate.wires, -gate.angle) for gate in reversed(list(gates))]


def n_wires(gates: Iterable[Gate]) -> int:
    """Number of wires from 0 up to the highest one that a circuit touches."""
    return max((max(gate.wires) + 1 for gate in gates), default=0)
