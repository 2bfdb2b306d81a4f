"""How circuits are compiled, run and read: every choice with its default."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

#: Pulse sequences of dynamical decoupling that the service knows.
SEQUENCES = ("XX", "XpXm", "XY4")

MODES = ("auto", "session")


@dataclass(frozen=True)
class Options:
    """Choices for a run.

    Attributes
    ----------
    optimization_level : int
        Of the transpiler, 0 to 3.
    transpiler_seed : int
        The first seed that is tried.
    layout_trials : int
        Seeds that are tried; the circuit of the highest expected fidelity by the backend's error rates is kept.
    layout : tuple of int or None
        Physical qubits to use instead, one a wire.
    dynamical_decoupling : "XX", "XpXm", "XY4" or None
        Pulses on idle qubits. Without effect on simulators.
    twirl_gates, twirl_measurement : bool
        Random Pauli frames around two-qubit gates and measurements, which make coherent errors random ones. Without
        effect on simulators.
    readout_mitigation : bool or "neighbours"
        Measure all-zero and all-one states in each job (two executions a shot more), and undo the misreading of each
        qubit with what they show; with "neighbours" eight states, and also what wires that follow each other misread
        together.
    mode : "auto" or "session"
        "auto" is job mode for one chunk and a batch for several; a session is opened only if asked for, since its
        whole duration is paid.

    Raises
    ------
    ValueError
        A value out of range.
    """

    optimization_level: int = 3
    transpiler_seed: int = 0
    layout_trials: int = 4
    layout: tuple[int, ...] | None = None
    dynamical_decoupling: str | None = "XpXm"
    twirl_gates: bool = True
    twirl_measurement: bool = True
    readout_mitigation: bool | str = True
    mode: str = "auto"

    def __post_init__(self) -> None:
        if self.optimization_level not in range(4):
            raise ValueError(f"optimization_level must be 0, 1, 2 or 3, got {self.optimization_level}")
        if self.transpiler_seed < 0 or self.layout_trials < 1:
            raise ValueError(
                "transpiler_seed must not be negative and layout_trials be at least 1, got "
                f"{self.transpiler_seed} and {self.layout_trials}"
            )
        if self.dynamical_decoupling is not None and self.dynamical_decoupling not in SEQUENCES:
            raise ValueError(
                f"dynamical_decoupling must be None or one of {', '.join(SEQUENCES)}, got {self.dynamical_decoupling!r}"
            )
        if self.readout_mitigation not in (False, True, "neighbours"):
            raise ValueError(f"readout_mitigation is True, False or 'neighbours', got {self.readout_mitigation!r}")
        if self.mode not in MODES:
            raise ValueError(f"mode must be 'auto' or 'session', got {self.mode!r}")
        if self.layout is not None and len(set(self.layout)) != len(self.layout):
            raise ValueError(f"layout names a qubit twice: {self.layout}")

    @property
    def readout_circuits(self) -> int:
        """Circuits that each job holds besides, for the readout."""
        return 8 if self.readout_mitigation == "neighbours" else 2 * bool(self.readout_mitigation)

    def as_dict(self) -> dict[str, Any]:
        """The choices by name, for a file."""
        return asdict(self)

    @staticmethod
    def from_dict(found: dict[str, Any]) -> Options:
        """The choices of `as_dict`, also as JSON gives them back."""
        unknown = set(found) - {field.name for field in fields(Options)}
        if unknown:
            raise ValueError(f"unknown options: {', '.join(sorted(unknown))}")
        layout = found.get("layout")
        return Options(**found | {"layout": None if layout is None else tuple(layout)})
