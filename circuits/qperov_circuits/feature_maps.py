"""Feature maps without trainable angles: circuits that write a sample's features x into a state.

``x`` is a sequence of angles, one per feature; each may itself be an array with one angle per sample. Angles that
recur are computed once and passed on as the same object, so that a simulator can see that they are equal.

Each repetition writes all features. If there are more of them than a layer has places for (`reuploading`),
a repetition is several layers, layer l with the next features in their order; places that are left in the last layer,
or all over if there are fewer features than places, are filled from the first feature on.

References
----------
V. Havlíček et al., Supervised learning with quantum-enhanced feature spaces, Nature 567, 209 (2019),
doi:10.1038/s41586-019-0980-2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf, pi

from qperov_circuits.entanglement import entangling_pairs
from qperov_circuits.gate import Angle, Gate
from qperov_circuits.reuploading import check_reps, n_rounds, rounds


def z(x: Sequence[Angle], reps: int = 2, n_qubits: int | None = None) -> Iterator[Gate]:
    """First-order map without entanglement: ``reps`` times H, then P(2 xᵢ), on every wire.

    With ``reps=1`` and a wire for each feature its fidelity kernel is ∏ᵢ cos²(xᵢ − yᵢ).

    Parameters
    ----------
    x : sequence of n_features angles
        Radians; each a number or an array of one angle per sample.
    reps : int
        Number of repetitions.
    n_qubits : int or None
        Number of wires; None: one per feature.

    Raises
    ------
    ValueError
        No feature, no wire or no repetition.

    Source: Havlíček et al. (2019), with single-feature phases only.
    """
    check_reps(reps)
    phases = [2 * feature for feature in x]
    layers = rounds(phases, len(phases) if n_qubits is None else n_qubits)
    for _ in range(reps):
        for layer in layers:
            yield from (Gate("h", (wire,)) for wire in range(len(layer)))
            yield from (Gate("p", (wire,), phase) for wire, phase in enumerate(layer))


def zz(x: Sequence[Angle], reps: int = 2, entanglement: str = "linear", n_qubits: int | None = None) -> Iterator[Gate]:
    """Second-order map: ``reps`` times H on all wires, P(2 xᵢ), and CX·P(2(π−xᵢ)(π−xⱼ))·CX on each entangled pair.

    With a wire for each feature it is Qiskit's ``zz_feature_map``, for each of the entanglement patterns.

    Parameters
    ----------
    x : sequence of n_features angles
        Radians; each a number or an array of one angle per sample.
    reps : int
        Number of repetitions.
    entanglement : str
        A pattern of `entangling_pairs`.
    n_qubits : int or None
        Number of wires; None: one per feature.

    Raises
    ------
    ValueError
        No feature, no wire, no repetition, or an unknown entanglement.

    Source: Havlíček et al. (2019), Eq. (1) and the text below it.
    """
    check_reps(reps)
    features = list(x)
    places = len(features) if n_qubits is None else n_qubits
    phase_layers = rounds([2 * feature for feature in features], places)
    distance_layers = rounds([pi - feature for feature in features], places)
    pair_phases: dict[tuple[int, frozenset[int]], Angle] = {}
    for repetition in range(reps):
        for layer, (phases, distances) in enumerate(zip(phase_layers, distance_layers, strict=True)):
            yield from (Gate("h", (wire,)) for wire in range(places))
            yield from (Gate("p", (wire,), phase) for wire, phase in enumerate(phases))
            for control, target in entangling_pairs(places, entanglement, repetition * len(phase_layers) + layer):
                pair = (layer, frozenset((control, target)))
                if pair not in pair_phases:
                    pair_phases[pair] = 2 * distances[control] * distances[target]
                yield Gate("cx", (control, target))
                yield Gate("p", (target,), pair_phases[pair])
                yield Gate("cx", (control, target))


def iqp(x: Sequence[Angle], reps: int = 2, entanglement: str = "linear", n_qubits: int | None = None) -> Iterator[Gate]:
    """Instantaneous quantum polynomial map: ``reps`` times H on all wires, Rz(xᵢ), and Rzz(xᵢ xⱼ) on entangled pairs.

    It differs from `zz` in the products, which vanish at x = 0: a small bandwidth makes it the product map `z` at half
    the angle. With ``entanglement="full"`` and a wire for each feature it is PennyLane's ``IQPEmbedding``.

    Parameters
    ----------
    x : sequence of n_features angles
        Radians; each a number or an array of one angle per sample.
    reps : int
        Number of repetitions.
    entanglement : str
        A pattern of `entangling_pairs`.
    n_qubits : int or None
        Number of wires; None: one per feature.

    Raises
    ------
    ValueError
        No feature, no wire, no repetition, or an unknown entanglement.

    Source: D. Shepherd, M. J. Bremner, Proc. R. Soc. A 465, 1413 (2009), doi:10.1098/rspa.2008.0443, for the circuits;
    Havlíček et al. (2019) and H.-Y. Huang et al., Nat. Commun. 12, 2631 (2021), doi:10.1038/s41467-021-22539-9, for
    their use as a kernel.
    """
    check_reps(reps)
    features = list(x)
    places = len(features) if n_qubits is None else n_qubits
    layers = rounds(features, places)
    products: dict[tuple[int, frozenset[int]], Angle] = {}
    for repetition in range(reps):
        for index, layer in enumerate(layers):
            yield from (Gate("h", (wire,)) for wire in range(places))
            yield from (Gate("rz", (wire,), feature) for wire, feature in enumerate(layer))
            for a, b in entangling_pairs(places, entanglement, repetition * len(layers) + index):
                pair = (index, frozenset((a, b)))
                if pair not in products:
                    products[pair] = layer[a] * layer[b]
                yield Gate("rzz", (a, b), products[pair])


def high_dimensional(x: Sequence[Angle], reps: int = 2, n_qubits: int | None = None) -> Iterator[Gate]:
    """Dense map of three features per wire: H, then layers of Rz(x₃ᵢ), Ry(x₃ᵢ₊₁), Rz(x₃ᵢ₊₂) with √iSWAP between them.

    The √iSWAP gates, exp(iπ/8 (XX + YY)), couple neighbours of an open chain: first the pairs (i, i+1) with even i,
    then those with odd i. There are none after the last layer.

    Parameters
    ----------
    x : sequence of n_features angles
        Radians; each a number or an array of one angle per sample.
    reps : int
        Number of repetitions.
    n_qubits : int or None
        Number of wires; None: ⌈n_features / 3⌉.

    Raises
    ------
    ValueError
        No feature, no wire or no repetition.

    Source: E. Peters et al., Machine learning of high dimensional data on a noisy quantum processor, npj Quantum Inf.
    7, 161 (2021), doi:10.1038/s41534-021-00498-9.
    """
    check_reps(reps)
    features = list(x)
    wires = n_rounds(len(features), 3) if n_qubits is None else n_qubits
    yield from (Gate("h", (wire,)) for wire in range(wires))
    for index, layer in enumerate(rounds(features, wires, 3) * reps):
        if index:
            yield from _root_iswaps(wires)
        yield from _three_a_wire(layer)


def peters(x: Sequence[Angle], reps: int = 2, n_qubits: int | None = None) -> Iterator[Gate]:
    """Map of new features in every block: H, Rz, Ry and Rz on each wire, ``reps`` times with √iSWAP after it, and once.

    The features go through the reps + 1 blocks in their order, three a wire, and through as many blocks more as
    ``n_qubits`` asks for; the √iSWAP are those of `high_dimensional`. At x = 0 the Hadamards of the second block undo
    those of the first, and single features there change nothing: scale them to a range such as [0, π].

    Parameters
    ----------
    x : sequence of n_features angles
        Radians; each a number or an array of one angle per sample.
    reps : int
        Number of blocks before the last.
    n_qubits : int or None
        Number of wires; None: ⌈n_features / (3 (reps + 1))⌉.

    Raises
    ------
    ValueError
        No feature, no wire or no repetition.

    Source: Peters et al. (2021), see `high_dimensional`.
    """
    check_reps(reps)
    features = list(x)
    wires = n_rounds(len(features), 3 * (reps + 1)) if n_qubits is None else n_qubits
    dealt = [feature for part in rounds(features, wires, 3 * (reps + 1)) for feature in part]
    for start in range(0, len(dealt), 3 * wires):
        if start:
            yield from _root_iswaps(wires)
        yield from (Gate("h", (wire,)) for wire in range(wires))
        yield from _three_a_wire(dealt[start : start + 3 * wires])


def ising_chain(
    x: Sequence[Angle], reps: int = 2, n_qubits: int | None = None, distance: int = 1, gamma: float = 0.1
) -> Iterator[Gate]:
    """Ising chain: H on all wires, then ``reps`` times Rz(2γxᵢ) and Rxx(πγ²(1−xᵢ)(1−xⱼ)) for all |i − j| ≤ distance.

    The couplings are those of features scaled to [0, 2]. States of any number of wires are matrix product states of
    small bond dimension.

    Parameters
    ----------
    x : sequence of n_features angles
        Each a number or an array of one number per sample.
    reps : int
        Number of repetitions.
    n_qubits : int or None
        Number of wires; None: one per feature.
    distance : int
        Farthest wires along the chain that are coupled.
    gamma : float
        γ > 0, which scales the angles; no bandwidth, since the couplings go with its square.

    Raises
    ------
    ValueError
        No feature, no wire, no repetition, a distance below 1 or a γ that is not positive and finite.

    Source: M. Metcalf, P. Andrés-Martínez, N. Fitzpatrick, Realizing quantum kernel models at scale with matrix product
    state simulation (2024), arXiv:2411.09336.
    """
    check_reps(reps)
    if distance < 1:
        raise ValueError(f"distance must be at least 1, got {distance}")
    if not 0 < gamma < inf:
        raise ValueError(f"gamma must be positive and finite, got {gamma}")
    features = list(x)
    places = len(features) if n_qubits is None else n_qubits
    turns = rounds([2 * gamma * feature for feature in features], places)
    gaps = rounds([1 - feature for feature in features], places)
    couplings = [
        {
            (i, j): pi * gamma**2 * (layer[i] * layer[j])
            for i in range(places)
            for j in range(i + 1, min(places, i + distance + 1))
        }
        for layer in gaps
    ]
    yield from (Gate("h", (wire,)) for wire in range(places))
    for _ in range(reps):
        for layer, pairs in zip(turns, couplings, strict=True):
            yield from (Gate("rz", (wire,), angle) for wire, angle in enumerate(layer))
            yield from (Gate("rxx", pair, angle) for pair, angle in pairs.items())


def _root_iswaps(n_wires: int) -> Iterator[Gate]:
    """√iSWAP on neighbours: first the pairs with an even wire in front, then those with an odd one."""
    root_iswap = -pi / 4
    for pair in entangling_pairs(n_wires, "pairwise"):
        yield Gate("rxx", pair, root_iswap)
        yield Gate("ryy", pair, root_iswap)


def _three_a_wire(features: Sequence[Angle]) -> Iterator[Gate]:
    """Rz, Ry and Rz on each wire."""
    for place, feature in enumerate(features):
        yield Gate("ry" if place % 3 == 1 else "rz", (place // 3,), feature)
