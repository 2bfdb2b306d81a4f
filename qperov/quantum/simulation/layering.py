"""A circuit as layers of two kinds: Hadamards, and diagonal phases followed by a relabelling of basis states.

Every gate of the set is one of the two, or a product of them: Rx(θ) = H·Rz(θ)·H, and so on. Within a layer, CX and X
keep basis states basis states, so that any mixture of them with Rz, P, CZ and Rzz is a *phase polynomial*: basis
state z gets the phase exp(−½i Σ_m θ_m χ_m(z)), where χ_m(z) = (−1)^(parity of z & m) for bit masks m, and is then
renamed by an affine map over GF(2). A CX·P·CX sandwich is one such term; so a whole entangling block of a feature map
is one diagonal.

References
----------
M. Amy, D. Maslov, M. Mosca, Polynomial-time T-depth optimization of Clifford+T circuits via matroid partitioning,
IEEE Trans. CAD 33, 1476 (2014), doi:10.1109/TCAD.2014.2341953, for phase polynomials.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from math import pi

import numpy as np
from qperov_circuits import Angle, Gate

# Named, so that every gate shares the same object and therefore the same slot.
HALF_PI = pi / 2
MINUS_HALF_PI = -pi / 2


@dataclass
class HadamardLayer:
    """Hadamards on a set of wires."""

    wires: set[int] = field(default_factory=set)


@dataclass
class PhaseLayer:
    """A phase polynomial, then an affine relabelling of the basis states.

    Attributes
    ----------
    wires : set of int
        Wires that a gate of the layer touches.
    masks, flips : dict of int
        For each touched wire: the bits of the incoming basis state whose parity it now holds, and whether it is
        negated.
    terms : dict of list
        For each bit mask m: pairs (coefficient c, slot s); θ_m = Σ c·angle[s].
    """

    wires: set[int] = field(default_factory=set)
    masks: dict[int, int] = field(default_factory=dict)
    flips: dict[int, int] = field(default_factory=dict)
    terms: dict[int, list[tuple[float, int]]] = field(default_factory=dict)

    def add_term(self, wires: tuple[int, ...], coefficient: float, slot: int) -> None:
        """Multiply by exp(−½i·c·angle·Z…Z) on the wires as they are now; no wire: a global phase."""
        mask = 0
        for wire in wires:
            mask ^= self.masks[wire]
            coefficient = -coefficient if self.flips[wire] else coefficient
        self.terms.setdefault(mask, []).append((coefficient, slot))

    def is_relabelling(self, n_qubits: int) -> bool:
        """Whether basis states are renamed at all."""
        return any(self.flips[w] or self.masks[w] != 1 << (n_qubits - 1 - w) for w in self.wires)

    def sources(self, n_qubits: int) -> np.ndarray:
        """For each outgoing basis state the incoming one it was, an index array of shape (2**n_qubits,)."""
        states = np.arange(2**n_qubits)
        renamed = np.zeros_like(states)
        for wire in range(n_qubits):
            bit = n_qubits - 1 - wire
            parity = np.bitwise_count(states & self.masks.get(wire, 1 << bit)) & 1
            renamed |= (parity.astype(states.dtype) ^ self.flips.get(wire, 0)) << bit
        sources = np.empty_like(states)
        sources[renamed] = states
        return sources


def layers(gates: Iterable[Gate], n_qubits: int) -> tuple[list[HadamardLayer | PhaseLayer], list[Angle]]:
    """Sort gates into as few layers as their order allows, each gate as early as it can go.

    Returns
    -------
    layers : list of HadamardLayer or PhaseLayer
        In the order in which they act.
    angles : list
        The distinct angle objects; the terms of the layers refer to them by their position. Two gates given the very
        same object share a position, which is how equal repetitions are seen to be equal.

    Raises
    ------
    ValueError
        A gate acts outside the qubits.
    """
    built: list[HadamardLayer | PhaseLayer] = []
    angles: list[Angle] = []
    slots: dict[int, int] = {}

    def slot(angle: Angle) -> int:
        if id(angle) not in slots:
            slots[id(angle)] = len(angles)
            angles.append(angle)
        return slots[id(angle)]

    for gate in gates:
        if max(gate.wires) >= n_qubits:
            raise ValueError(f"gate {gate.name!r} acts on wires {gate.wires} of a circuit of {n_qubits} qubits")
        for part in _elementary(gate):
            last = max((i for i, layer in enumerate(built) if not layer.wires.isdisjoint(part.wires)), default=-1)
            if part.name == "h":
                _add_hadamard(built, last, part.wires[0])
            else:
                layer = _phase_layer(built, max(last, 0), part.wires, n_qubits)
                _add_to_phases(layer, part, slot)
    return [layer for layer in built if layer.wires], angles


def _elementary(gate: Gate) -> Iterator[Gate]:
    """A gate as a product of Hadamards and gates that belong in a phase layer, in the order in which they act."""
    match gate.name:
        case "rx" | "rxx":
            hadamards = [Gate("h", (wire,)) for wire in gate.wires]
            yield from hadamards
            yield Gate("rz" if gate.name == "rx" else "rzz", gate.wires, gate.angle)
            yield from hadamards
        case "ry" | "ryy":  # Y = S·X·S†, on each wire
            yield from (Gate("rz", (wire,), MINUS_HALF_PI) for wire in gate.wires)
            yield from _elementary(Gate("rx" if gate.name == "ry" else "rxx", gate.wires, gate.angle))
            yield from (Gate("rz", (wire,), HALF_PI) for wire in gate.wires)
        case _:
            yield gate


def _add_hadamard(built: list[HadamardLayer | PhaseLayer], last: int, wire: int) -> None:
    """Put a Hadamard after layer ``last``, or cancel it with one that is there already (H² = 1)."""
    if last >= 0 and isinstance(built[last], HadamardLayer):
        built[last].wires.discard(wire)
        return
    for layer in built[last + 1 :]:
        if isinstance(layer, HadamardLayer):
            layer.wires.add(wire)
            return
    built.append(HadamardLayer({wire}))


def _phase_layer(
    built: list[HadamardLayer | PhaseLayer], first: int, wires: tuple[int, ...], n_qubits: int
) -> PhaseLayer:
    """The first phase layer from position ``first`` on, a new one if there is none; it then knows the wires."""
    layer = next((layer for layer in built[first:] if isinstance(layer, PhaseLayer)), None)
    if layer is None:
        layer = PhaseLayer()
        built.append(layer)
    for wire in wires:
        if wire not in layer.wires:
            layer.wires.add(wire)
            layer.masks[wire] = 1 << (n_qubits - 1 - wire)
            layer.flips[wire] = 0
    return layer


def _add_to_phases(layer: PhaseLayer, gate: Gate, slot: Callable[[Angle], int]) -> None:
    wires = gate.wires
    match gate.name:
        case "x":
            layer.flips[wires[0]] ^= 1
        case "cx":
            control, target = wires
            layer.masks[target] ^= layer.masks[control]
            layer.flips[target] ^= layer.flips[control]
        case "cz":  # exp(iπ z_a z_b), with z = (1 − Z)/2
            half_pi = slot(HALF_PI)
            for group, coefficient in (((), -1.0), (wires[:1], 1.0), (wires[1:], 1.0), (wires, -1.0)):
                layer.add_term(group, coefficient, half_pi)
        case "p":  # e^{iθ/2} Rz(θ)
            layer.add_term(wires, 1.0, slot(gate.angle))
            layer.add_term((), -1.0, slot(gate.angle))
        case "rz" | "rzz":
            layer.add_term(wires, 1.0, slot(gate.angle))
