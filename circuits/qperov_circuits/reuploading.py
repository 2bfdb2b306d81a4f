"""Re-uploading: more features than a layer has places for are written in several rounds, one layer each.

References
----------
A. Pérez-Salinas et al., Data re-uploading for a universal quantum classifier, Quantum 4, 226 (2020),
doi:10.22331/q-2020-02-06-226.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle, islice

from qperov_circuits.gate import Angle


def n_rounds(n_features: int, n_places: int) -> int:
    """Rounds that ``n_features`` features need if a layer has ``n_places`` places: ⌈n_features / n_places⌉."""
    return -(-n_features // n_places)


def rounds(features: Iterable[Angle], n_wires: int, per_wire: int = 1) -> list[list[Angle]]:
    """The features in rounds of ``n_wires * per_wire``, in their order.

    The last round is filled up from the first feature on.

    Raises
    ------
    ValueError
        There is no feature, or no wire.
    """
    features = list(features)
    if not features:
        raise ValueError("a feature map needs at least one feature, got none")
    if n_wires < 1:
        raise ValueError(f"n_qubits must be at least 1, got {n_wires}")
    n_places = n_wires * per_wire
    dealt = list(islice(cycle(features), n_rounds(len(features), n_places) * n_places))
    return [dealt[start : start + n_places] for start in range(0, len(dealt), n_places)]


def check_reps(reps: int) -> None:
    """Raise ValueError unless there is at least one repetition."""
    if reps < 1:
        raise ValueError(f"reps must be at least 1, got {reps}")
