"""Patterns of entanglement: which pairs of wires a layer of a feature map couples."""

from __future__ import annotations

from itertools import combinations

ENTANGLEMENTS = ("linear", "reverse_linear", "full", "circular", "sca", "pairwise")


def entangling_pairs(n_wires: int, entanglement: str = "linear", layer: int = 0) -> list[tuple[int, int]]:
    """Pairs of wires that one layer entangles, in the order in which it does.

    Parameters
    ----------
    n_wires : int
        Number of wires n.
    entanglement : str
        ``linear``: (i, i+1); ``reverse_linear``: the same backwards; ``full``: all i < j; ``circular``: (n−1, 0),
        then linear; ``sca``: circular, shifted by one and turned round in each layer; ``pairwise``: the linear
        pairs with even i, then those with odd i.
    layer : int
        Counted from 0; only ``sca`` depends on it.

    Raises
    ------
    ValueError
        The entanglement is unknown.
    """
    linear = [(i, i + 1) for i in range(n_wires - 1)]
    circular = [(n_wires - 1, 0), *linear] if n_wires > 2 else linear
    match entanglement:
        case "linear":
            return linear
        case "reverse_linear":
            return linear[::-1]
        case "full":
            return list(combinations(range(n_wires), 2))
        case "circular":
            return circular
        case "sca":
            shift = layer % n_wires
            shifted = circular[-shift:] + circular[:-shift]
            return [(b, a) for a, b in shifted] if layer % 2 else shifted
        case "pairwise":
            return linear[::2] + linear[1::2]
    raise ValueError(f"unknown entanglement {entanglement!r}; known are {', '.join(ENTANGLEMENTS)}")
