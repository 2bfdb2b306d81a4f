"""Feature maps with trainable angles: the ``weights``, beside the features.

Weights may be numbers or 0-dimensional tensors (a torch vector is a sequence of them), but then the features have to be
tensors too. Each map has a function that gives the weights it takes by default; their order is the order in which the
circuit meets them. More features than places are written in several layers, as in `feature_maps`; every layer
of every repetition has weights of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import acos, pi, sqrt

from qperov_circuits.entanglement import entangling_pairs
from qperov_circuits.gate import Angle, Gate
from qperov_circuits.reuploading import check_reps, n_rounds, rounds

GOLDEN_RATIO = (1 + sqrt(5)) / 2


def angle_yz_cx(
    x: Sequence[Angle], reps: int = 2, n_qubits: int | None = None, weights: Sequence[Angle] | None = None
) -> Iterator[Gate]:
    """Two features per wire: layers of Ry(w + x₂ᵢ), Rz(w' + x₂ᵢ₊₁) on every wire, then CX on a chain of neighbours.

    Even layers have CX on the pairs (i, i+1) with even i, odd layers on those with odd i.

    Parameters
    ----------
    x : sequence of n_features angles
        Radians; each a number or an array of one angle per sample.
    reps : int
        Number of repetitions.
    n_qubits : int or None
        Number of wires; None: ⌈n_features / 2⌉.
    weights : sequence of angles or None
        Offsets w, w' wire by wire, 2·n_qubits for each layer; None: those of `angle_yz_cx_weights`.

    Raises
    ------
    ValueError
        No feature, no wire, no repetition, or a wrong number of weights.

    Source: T. Haug, C. N. Self, M. S. Kim, Quantum machine learning of large datasets using randomized measurements,
    Mach. Learn.: Sci. Technol. 4, 015005 (2023), doi:10.1088/2632-2153/acb0b4 (YZ-CX circuit).
    """
    check_reps(reps)
    features = list(x)
    wires = n_rounds(len(features), 2) if n_qubits is None else n_qubits
    layers = rounds(features, wires, 2) * reps
    offsets = _given_or_default(weights, angle_yz_cx_weights(len(features), reps, wires))
    for index, layer in enumerate(layers):
        for place, feature in enumerate(layer):
            angle = _shifted(feature, offsets[2 * wires * index + place])
            yield Gate("rz" if place % 2 else "ry", (place // 2,), angle)
        yield from (Gate("cx", (wire, wire + 1)) for wire in range(index % 2, wires - 1, 2))


def angle_yz_cx_weights(n_features: int, reps: int, n_qubits: int) -> list[float]:
    """Offsets of `angle_yz_cx`: π/2 for the first Ry of each wire, 0 for all else.

    The paper draws them at random. These put every wire on the equator of its Bloch sphere at x = 0, where the state
    changes in first order with both features of the wire; from |0⟩ it would not with the one in Rz.
    """
    n_layers = reps * n_rounds(n_features, 2 * n_qubits)
    return [pi / 2, 0.0] * n_qubits + [0.0] * (2 * n_qubits * (n_layers - 1))


def hubregtsen(
    x: Sequence[Angle], reps: int = 2, n_qubits: int | None = None, weights: Sequence[Angle] | None = None
) -> Iterator[Gate]:
    """Quantum embedding kernel's map: layers of H, Rz(xᵢ), Ry(w) on every wire, then CRz(w') around the ring of wires.

    The ring is (0, 1), …, (n−1, 0); two wires have the one pair (0, 1). CRz(w') is written as Rz(w'/2)·Rzz(−w'/2). All
    gates after the last Rz(xᵢ) are the same for all samples, so that they cancel in a fidelity kernel (not in a
    projected one), and with them the weights of the last layer.

    Parameters
    ----------
    x : sequence of n_features angles
        Radians; each a number or an array of one angle per sample.
    reps : int
        Number of repetitions.
    n_qubits : int or None
        Number of wires; None: one per feature.
    weights : sequence of angles or None
        For each layer the w of all wires, then the w' of all pairs; None: those of `hubregtsen_weights`.

    Raises
    ------
    ValueError
        No feature, no wire, no repetition, or a wrong number of weights.

    Source: T. Hubregtsen et al., Training quantum embedding kernels on near-term quantum computers, Phys. Rev. A 106,
    042431 (2022), doi:10.1103/PhysRevA.106.042431.
    """
    check_reps(reps)
    features = list(x)
    wires = len(features) if n_qubits is None else n_qubits
    layers = rounds(features, wires) * reps
    remaining = iter(_given_or_default(weights, hubregtsen_weights(len(features), reps, wires)))
    for layer in layers:
        yield from (Gate("h", (wire,)) for wire in range(wires))
        yield from (Gate("rz", (wire,), feature) for wire, feature in enumerate(layer))
        yield from (Gate("ry", (wire,), next(remaining)) for wire in range(wires))
        for control, target in _ring(wires):
            half = 0.5 * next(remaining)
            yield Gate("rz", (target,), half)
            yield Gate("rzz", (control, target), -half)


def hubregtsen_weights(n_features: int, reps: int, n_qubits: int) -> list[float]:
    """Weights of `hubregtsen`: 2π·frac(k/φ), k = 1, 2, …, with the golden ratio φ.

    The paper draws them uniformly from [0, 2π); this sequence fills the interval as evenly, and always in the same way.
    """
    n_layers = reps * n_rounds(n_features, n_qubits)
    count = n_layers * (n_qubits + len(_ring(n_qubits)))
    return [2 * pi * (k / GOLDEN_RATIO % 1) for k in range(1, count + 1)]


def covariant_ry(
    x: Sequence[Angle],
    reps: int = 2,
    entanglement: str = "linear",
    n_qubits: int | None = None,
    weights: Sequence[Angle] | None = None,
) -> Iterator[Gate]:
    """Covariant map: a fiducial state V|0…0⟩, then Rz(−2 x₂ᵢ₊₁) and Rx(−2 x₂ᵢ) on every wire, two features each.

    V is ``reps`` layers of Ry(w) on every wire and CZ on each entangled pair. Wire by wire the data are an element of
    SU(2); if they fit in one layer, the fidelity kernel is that of the group elements, k(D, D') = |⟨0|V†·D†D'·V|0⟩|²,
    for any ``reps``, and does not change if both are multiplied by the same element from the left. If there are more
    than 2·n_qubits features, each further layer of them comes after another ``reps`` layers of Ry and CZ, and this
    invariance is lost.

    Parameters
    ----------
    x : sequence of n_features angles
        Radians; each a number or an array of one angle per sample.
    reps : int
        Number of layers of V; the paper has 1.
    entanglement : str
        A pattern of `entangling_pairs`.
    n_qubits : int or None
        Number of wires; None: ⌈n_features / 2⌉.
    weights : sequence of angles or None
        w for each layer and wire; None: those of `covariant_ry_weights`.

    Raises
    ------
    ValueError
        No feature, no wire, no repetition, an unknown entanglement, or a wrong number of weights.

    Source: J. R. Glick et al., Covariant quantum kernels for data with group structure, Nat. Phys. 20, 479 (2024),
    doi:10.1038/s41567-023-02340-9.
    """
    check_reps(reps)
    features = list(x)
    wires = n_rounds(len(features), 2) if n_qubits is None else n_qubits
    layers = rounds([-2 * feature for feature in features], wires, 2)
    remaining = iter(_given_or_default(weights, covariant_ry_weights(len(features), reps, wires)))
    for index, layer in enumerate(layers):
        for repetition in range(reps):
            yield from (Gate("ry", (wire,), next(remaining)) for wire in range(wires))
            for pair in entangling_pairs(wires, entanglement, index * reps + repetition):
                yield Gate("cz", pair)
        for wire in range(wires):
            yield Gate("rz", (wire,), layer[2 * wire + 1])
            yield Gate("rx", (wire,), layer[2 * wire])


def covariant_ry_weights(n_features: int, reps: int, n_qubits: int) -> list[float]:
    """Weights of `covariant_ry`: π/4 each, halfway between a product state (0) and a graph state (π/2).

    Each wire of a graph state is fully mixed by itself, and a kernel of one-qubit reduced density matrices would see
    nothing of the data.
    """
    return [pi / 4] * (reps * n_rounds(n_features, 2 * n_qubits) * n_qubits)


def heisenberg(
    x: Sequence[Angle], reps: int = 2, n_qubits: int | None = None, weights: Sequence[Angle] | None = None
) -> Iterator[Gate]:
    """Evolution of a Heisenberg chain whose couplings are the features, for a time t = n_features/3 in ``reps`` steps.

    Each of the T = ``reps`` Trotter steps is ∏ᵢ exp(−i (t/T) xᵢ (XᵢXᵢ₊₁ + YᵢYᵢ₊₁ + ZᵢZᵢ₊₁)), in the order of i;
    feature i sits on the bond between wires i and i+1. The start is a product state, Ry(w) then Rz(w') on every wire.

    Parameters
    ----------
    x : sequence of n_features angles
        Radians; each a number or an array of one angle per sample.
    reps : int
        Number T of Trotter steps; the paper has 20.
    n_qubits : int or None
        Number of wires, at least 2; None: n_features + 1.
    weights : sequence of angles or None
        w, w' wire by wire, 2·n_qubits in all; None: those of `heisenberg_weights`.

    Raises
    ------
    ValueError
        No feature, less than two wires, no repetition, or a wrong number of weights.

    Source: H.-Y. Huang et al., Power of data in quantum machine learning, Nat. Commun. 12, 2631 (2021),
    doi:10.1038/s41467-021-22539-9, with n_features/3 as the time; R. Shaydulin, S. M. Wild, Phys. Rev. A 106, 042407
    (2022), doi:10.1103/PhysRevA.106.042407, for its bandwidth.
    """
    check_reps(reps)
    features = list(x)
    wires = len(features) + 1 if n_qubits is None else n_qubits
    if features and wires < 2:
        raise ValueError(f"the Heisenberg chain needs at least 2 qubits, got {wires}")
    scale = 2 * len(features) / (3 * reps)
    layers = rounds([scale * feature for feature in features], wires - 1)
    start = _given_or_default(weights, heisenberg_weights(len(features), reps, wires))
    for wire in range(wires):
        yield Gate("ry", (wire,), start[2 * wire])
        yield Gate("rz", (wire,), start[2 * wire + 1])
    for layer in layers * reps:
        for wire, coupling in enumerate(layer):
            for name in ("rxx", "ryy", "rzz"):
                yield Gate(name, (wire, wire + 1), coupling)


def heisenberg_weights(n_features: int, reps: int, n_qubits: int) -> list[float]:
    """Weights of `heisenberg`: the wires' Bloch vectors are points of a Fibonacci lattice, evenly spread on the sphere.

    The paper draws them uniformly from the sphere.
    """
    points = []
    for wire in range(n_qubits):
        points += [acos(1 - (2 * wire + 1) / n_qubits), 2 * pi * (wire / GOLDEN_RATIO % 1)]
    return points


def _given_or_default(weights: Sequence[Angle] | None, default: list[float]) -> list[Angle]:
    if weights is None:
        return default
    weights = list(weights)
    if len(weights) != len(default):
        raise ValueError(f"the feature map takes {len(default)} weights, got {len(weights)}")
    return weights


def _shifted(feature: Angle, offset: Angle) -> Angle:
    """Feature plus offset; without an offset the feature itself, so that it stays the same object."""
    return feature if isinstance(offset, float) and offset == 0 else offset + feature


def _ring(n_wires: int) -> list[tuple[int, int]]:
    return [(wire, (wire + 1) % n_wires) for wire in range(n_wires if n_wires > 2 else n_wires - 1)]
