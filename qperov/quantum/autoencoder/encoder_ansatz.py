"""Encoders by name, or given as functions: what turns a list of angles into gates, and how many angles it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeAlias

from qperov_circuits import Gate
from qperov_circuits.qcnn import PUBLISHED_ANGLES, entangling, entangling_size, published

from qperov.quantum.simulation.rotations import Ansatz

#: ``"entangling"``, ``"published"``, or a function from a list of ``n_angles`` angles to the gates of an encoder.
EncoderAnsatz: TypeAlias = str | Callable[[Sequence[Any]], Iterable[Gate]]


def encoder_ansatz(
    ansatz: EncoderAnsatz,
    n_qubits: int,
    code_qubits: int,
    layers: int = 3,
    shared: bool = False,
    n_angles: int | None = None,
) -> tuple[Ansatz, int]:
    """The encoder as a function of its angles alone, and how many it takes; parameters as in `QuantumAutoencoder`.

    Raises
    ------
    ValueError
        An unknown name, a shape that the encoder does not have, or a function without ``n_angles``.
    """
    if not 1 <= code_qubits < n_qubits:
        raise ValueError(
            f"a code takes at least one and less than all of the {n_qubits} qubits, got code_qubits={code_qubits}"
        )
    if callable(ansatz):
        if n_angles is None or n_angles < 1:
            raise ValueError("an ansatz of your own needs n_angles, the number of its angles")
        return ansatz, n_angles
    if ansatz == "published":
        if (n_qubits, code_qubits) != (5, 4):
            raise ValueError(
                f"the published ansatz takes 5 qubits to 4, not {n_qubits} to {code_qubits}: use 'entangling'"
            )
        return published, PUBLISHED_ANGLES
    if ansatz != "entangling":
        raise ValueError(f"unknown ansatz {ansatz!r}; known are 'entangling', 'published', and any function")
    gates = partial(entangling, n_qubits=n_qubits, code_qubits=code_qubits, layers=layers, shared=shared)
    return gates, entangling_size(n_qubits, code_qubits, layers, shared)
