"""Feature maps: circuits that write a sample's features x into the phases of a state, one wire a feature.

``x`` is a sequence of angles, one per feature; each may itself be an array with one angle per sample. Angles that
recur in every repetition are computed once and passed on as the same object, so that a simulator can see that they
are equal.

References
----------
V. Havlíček et al., Supervised learning with quantum-enhanced feature spaces, Nature 567, 209 (2019),
doi:10.1038/s41586-019-0980-2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import pi

from circuits.gate import Angle, Gate

ENTANGLEMENTS = ("linear", "reverse_linear", "full", "circular", "sca", "pairwise")


def entangling_pairs(n_features: int, entanglement: str = "linear", repetition: int = 0) -> list[tuple[int, int]]:
    """Pairs of wires that one repetition entangles, in the order in which it does.

    Parameters
    ----------
    n_features : int
        Number of wires n.
    entanglement : str
        ``linear``: (i, i+1); ``reverse_linear``: the same backwards; ``full``: all i < j; ``circular``: (n−1, 0),
        then linear; ``sca``: circular, shifted by one and turned round in each repetition; ``pairwise``: the linear
        pairs with even i, then those with odd i.
    repetition : int
        Counted from 0; only ``sca`` depends on it.

    Raises
    ------
    ValueError
        The entanglement is unknown.
    """
    linear = [(i, i + 1) for i in range(n_features - 1)]
    circular = [(n_features - 1, 0), *linear] if n_features > 2 else linear
    match entanglement:
        case "linear":
            return linear
        case "reverse_linear":
            return linear[::-1]
        case "full":
            return list(combinations(range(n_features), 2))
        case "circular":
            return circular
        case "sca":
            shift = repetition % n_features
            shifted = circular[-shift:] + circular[:-shift]
            return [(b, a) for a, b in shifted] if repetition % 2 else shifted
        case "pairwise":
            return linear[::2] + linear[1::2]
    raise ValueError(f"unknown entanglement {entanglement!r}; known are {', '.join(ENTANGLEMENTS)}")


def z(x: Sequence[Angle], reps: int = 2) -> Iterator[Gate]:
    """First-order map without entanglement: ``reps`` times H, then P(2 xᵢ), on every wire.

    With ``reps=1`` its fidelity kernel is ∏ᵢ cos²(xᵢ − yᵢ).

    Parameters
    ----------
    x : sequence of n_features angles
        Radians; each a number or an array of one angle per sample.
    reps : int
        Number of repetitions.

    Source: Havlíček et al. (2019), with single-feature phases only.
    """
    _check_reps(reps)
    phases = [2 * feature for feature in x]
    for _ in range(reps):
        yield from (Gate("h", (wire,)) for wire in range(len(phases)))
        yield from (Gate("p", (wire,), phase) for wire, phase in enumerate(phases))


def zz(x: Sequence[Angle], reps: int = 2, entanglement: str = "linear") -> Iterator[Gate]:
    """Second-order map: ``reps`` times H on all wires, P(2 xᵢ), and CX·P(2(π−xᵢ)(π−xⱼ))·CX on each entangled pair.

    Parameters
    ----------
    x : sequence of n_features angles
        Radians; each a number or an array of one angle per sample.
    reps : int
        Number of repetitions.
    entanglement : str
        A pattern of `entangling_pairs`.

    Source: Havlíček et al. (2019), Eq. (1) and the text below it.
    """
    _check_reps(reps)
    phases = [2 * feature for feature in x]
    distances = [pi - feature for feature in x]
    pair_phases: dict[frozenset[int], Angle] = {}
    for repetition in range(reps):
        yield from (Gate("h", (wire,)) for wire in range(len(phases)))
        yield from (Gate("p", (wire,), phase) for wire, phase in enumerate(phases))
        for control, target in entangling_pairs(len(phases), entanglement, repetition):
            pair = frozenset((control, target))
            if pair not in pair_phases:
                pair_phases[pair] = 2 * distances[control] * distances[target]
            yield Gate("cx", (control, target))
            yield Gate("p", (target,), pair_phases[pair])
            yield Gate("cx", (control, target))


def _check_reps(reps: int) -> None:
    if reps < 1:
        raise ValueError(f"reps must be at least 1, got {reps}")
