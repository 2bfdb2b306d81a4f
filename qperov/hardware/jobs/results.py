"""What came back from a plan's jobs, raw and corrected for misread qubits, complete or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from warnings import warn

import numpy as np

from qperov.errors import HardwareError
from qperov.hardware.jobs.counts import (
    Correction,
    Counts,
    z_expectations,
    z_weights,
    zero_probability,
    zero_weights,
)
from qperov.hardware.jobs.neighbours import readout_misreading
from qperov.hardware.plan.pairs import full
from qperov.hardware.plan.plan import Plan
from qperov.quantum.gram.matrix import gaussian

#: Start and stop of a job's rows of bindings, its counts and those of its readout, None for what has not come.
Chunk: TypeAlias = tuple[int, int, Counts | None, Counts | None]


@dataclass(frozen=True)
class Results:
    """Measured values.

    Attributes
    ----------
    plan : Plan
    raw, mitigated : ndarray, ndarray or None
        One row for each row of bindings, NaN where nothing has come: for "fidelity" shape (n_pairs,); for "bloch"
        ⟨Z⟩ of each qubit, shape (3 n_samples, n_qubits); for "autoencoder" the loss, then ⟨Z⟩ of the code, shape
        (n_samples, 1 + code_qubits). ``mitigated`` is None if the readout was not measured, or tells nothing.
    states : dict of str to int
        How many chunks are in which state.
    misreading : tuple of float or None
        Mean over qubits and jobs of P(read 1 | 0) and of P(read 0 | 1).
    seconds : float
        QPU time that was charged.
    raw_errors, mitigated_errors : ndarray, ndarray or None
        Standard errors of the values from the shots alone, those of the readout's own measurement left out.
    chunks : sequence
        Start, stop, counts and readout of each job.
    """

    plan: Plan
    raw: np.ndarray
    mitigated: np.ndarray | None
    states: dict[str, int]
    misreading: tuple[float, float] | None
    seconds: float
    raw_errors: np.ndarray | None = None
    mitigated_errors: np.ndarray | None = None
    chunks: Sequence[Chunk] = field(default=(), repr=False)

    @staticmethod
    def from_chunks(
        plan: Plan,
        chunks: Sequence[Chunk],
        states: dict[str, int],
        seconds: float,
    ) -> Results:
        """Values of all chunks that are there; each is corrected by the readout of its own job."""
        width: tuple[int, ...] = {"fidelity": (), "bloch": (plan.n_qubits,)}.get(plan.kind, (1 + plan.code_qubits,))
        raw = np.full((len(plan.bindings), *width), np.nan)
        mitigated = raw.copy() if plan.readout else None
        errors, mitigated_errors = raw.copy(), raw.copy()
        found: list[Correction] = []
        for start, stop, counts, readout in chunks:
            if counts is None:
                continue
            raw[start:stop], errors[start:stop] = _values(plan, counts, None)
            if mitigated is not None and readout is not None:
                try:
                    found.append(readout_misreading(readout))
                except ValueError as error:
                    # what was paid for can still be had as it was measured, and all of it alike
                    warn(f"the readout is not corrected: {error}", RuntimeWarning, stacklevel=2)
                    mitigated = None
                    continue
                mitigated[start:stop], mitigated_errors[start:stop] = _values(plan, counts, found[-1])
        misreading = None
        if mitigated is not None and found:
            misreading = (
                float(np.mean([m.one_for_zero for m in found])),
                float(np.mean([m.zero_for_one for m in found])),
            )
        kept = None if mitigated is None else mitigated_errors
        return Results(plan, raw, mitigated, states, misreading, seconds, errors, kept, chunks)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return bool(np.isfinite(self.raw).all())

    def missing(self) -> np.ndarray:
        """Numbers of the rows of bindings that are missing; for "fidelity" these are pairs."""
        return np.flatnonzero(~np.isfinite(self.raw.reshape(len(self.raw), -1)).all(axis=1))

    def missing_entries(self) -> list[tuple[int, int]]:
        """Row and column of each missing entry of the kernel matrix."""
        return [(int(i), int(j)) for i, j in np.argwhere(~np.isfinite(self.matrix()))]

    def values(self, mitigated: bool = True) -> np.ndarray:
        """The corrected values if there are any and they are wanted, else the raw ones."""
        return self.mitigated if mitigated and self.mitigated is not None else self.raw

    def bloch_vectors(self, mitigated: bool = True) -> np.ndarray:
        """⟨X⟩, ⟨Y⟩, ⟨Z⟩, shape (n_samples, n_qubits, 3).

        Raises
        ------
        HardwareError
            The plan is not one for Bloch vectors.
        """
        if self.plan.kind != "bloch":
            raise HardwareError(f"a plan of kind {self.plan.kind!r} gives no Bloch vectors")
        return self.values(mitigated).reshape(self.plan.n_samples, 3, self.plan.n_qubits).transpose(0, 2, 1)

    def matrix(self, mitigated: bool = True, gamma: float = 1.0) -> np.ndarray:
        """The kernel matrix, NaN where entries are missing.

        Parameters
        ----------
        mitigated : bool
        gamma : float
            Of the projected kernel exp(−(γ/2) ‖r − r'‖²).

        Raises
        ------
        HardwareError
            An autoencoder's plan.
        """
        plan = self.plan
        if plan.kind == "autoencoder":
            raise HardwareError("an autoencoder's plan gives losses and codes, no kernel matrix")
        if plan.kind == "fidelity":
            if plan.pairs is None:
                raise HardwareError("the plan does not say which pairs it is of")
            return plan.pairs.matrix(self.values(mitigated))
        vectors = self.bloch_vectors(mitigated).reshape(plan.n_samples, -1)
        K = gaussian(vectors, vectors, gamma)
        pairs = plan.pairs or full(plan.n_samples)
        if pairs.form == "rectangular":
            return K[: pairs.shape[0], pairs.shape[0] :]
        return K[:, pairs.landmarks] if pairs.form == "nystroem" else K

    def losses(self, mitigated: bool = True) -> np.ndarray:
        """Of an autoencoder: share of outcomes whose trash is not all zero, shape (n_samples,)."""
        return self._autoencoder(mitigated)[:, 0]

    def codes(self, mitigated: bool = True) -> np.ndarray:
        """Of an autoencoder: ⟨Z⟩ of the code's qubits, shape (n_samples, code_qubits)."""
        return self._autoencoder(mitigated)[:, 1:]

    def _autoencoder(self, mitigated: bool) -> np.ndarray:
        if self.plan.kind != "autoencoder":
            raise HardwareError(f"a plan of kind {self.plan.kind!r} gives no losses and codes")
        return self.values(mitigated)


def _values(plan: Plan, counts: Counts, misreading: Correction | None) -> tuple[np.ndarray, np.ndarray]:
    """Values and their standard errors."""
    if plan.kind == "fidelity":
        return zero_probability(counts, misreading=misreading), counts.standard_error(
            zero_weights(counts, misreading=misreading)
        )
    if plan.kind == "bloch":
        return z_expectations(counts, misreading=misreading), counts.standard_error(
            z_weights(counts, misreading=misreading)
        )
    trash, code = slice(None, plan.n_qubits - plan.code_qubits), slice(plan.n_qubits - plan.code_qubits, None)
    values = [1 - zero_probability(counts, trash, misreading), z_expectations(counts, code, misreading)]
    weights = [zero_weights(counts, trash, misreading), z_weights(counts, code, misreading)]
    return np.column_stack(values), counts.standard_error(np.column_stack(weights))
