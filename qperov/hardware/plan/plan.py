"""A plan: everything that is to be measured, compiled and priced before anything is submitted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b

import numpy as np

from qperov.errors import BudgetError
from qperov.hardware.plan import cost as costs
from qperov.hardware.plan.cost import Cost
from qperov.hardware.plan.options import Options
from qperov.hardware.plan.pairs import Pairs
from qperov.hardware.plan.prediction import Prediction
from qperov.hardware.plan.prices import Budget, Price
from qperov.hardware.plan.samples import Samples
from qperov.hardware.services.service import Request

#: What the name of a service begins with that is a function which gives a Qiskit backend.
PREFIX = "qiskit:"


def n_probes(n_qubits: int) -> int:
    """Circuits whose outcomes are known, in each job of a service that is not IBM's: ⌈log₂(n_qubits + 2)⌉."""
    return (n_qubits + 1).bit_length()


@dataclass(frozen=True)
class BackendSpec:
    """The backend of a plan.

    Attributes
    ----------
    name : str
        "aer", "fake_…", or a name at the service.
    noise : float or None
        Of "aer".
    seed : int or None
        Of simulated shots.
    service : str
        "" for IBM and the simulators of its backends; "qiskit:module.factory" for what that function returns.
    fractional_gates : bool
        Whether IBM's gates of any angle, Rx and Rzz, are compiled to.
    """

    name: str
    noise: float | None = None
    seed: int | None = 0
    service: str = ""
    fractional_gates: bool = False

    def as_dict(self) -> dict[str, str | float | None]:
        """Its attributes by name, newer ones left out if empty: hashes of plans must not change with them."""
        newer = ("service", "fractional_gates")
        return {name: value for name, value in asdict(self).items() if name not in newer or value}


@dataclass(frozen=True)
class Plan:
    """What is to be run, and what it costs.

    Attributes
    ----------
    kind : "fidelity", "bloch" or "autoencoder"
    backend : BackendSpec
    calibrated : str or None
        When the backend's error rates, which the compiler went by, were measured.
    pairs : Pairs or None
        For fidelities.
    n_samples : int
    n_qubits : int
    code_qubits : int
        Of an autoencoder.
    circuit, readout : str, str or None
        The compiled circuits as text.
    circuit_hash : str
    order : tuple of str
        Parameters, in the order of the columns of ``bindings``.
    qubits : tuple of int
        Physical qubits, wire 0 first.
    bindings : ndarray of shape (n_bindings, n_parameters)
    shots : int
    options : Options
    depth, two_qubit_gates, expected_fidelity
        See `qperov.hardware.plan.compile.CompiledCircuit`.
    cost : Cost
    budget_seconds : float or None
    created : str
    content : str
        A hash of what is to be measured, before it is compiled: machines are calibrated every day, and compiled
        circuits change with that.
    label : str
        Tells deliberate repetitions of the same plan apart.
    max_bindings : int or None
        Rows of bindings that the service takes in one job; None for the limit of IBM's.
    samples : Samples or None
        What is measured, where it comes from, and what was done to it.
    prediction : Prediction or None
        What the backend's calibration says of the circuit; None in plans of version 0.1.
    price : Price or None
        Fees of a service that is not IBM's; None where they are not known.
    budget : Budget
        In the unit of such a service.
    """

    kind: str
    backend: BackendSpec
    calibrated: str | None
    pairs: Pairs | None
    n_samples: int
    n_qubits: int
    code_qubits: int
    circuit: str
    readout: str | None
    circuit_hash: str
    order: tuple[str, ...]
    qubits: tuple[int, ...]
    bindings: np.ndarray
    shots: int
    options: Options
    depth: int
    two_qubit_gates: int
    expected_fidelity: float
    cost: Cost
    budget_seconds: float | None
    created: str
    content: str
    label: str = ""
    max_bindings: int | None = None
    samples: Samples | None = None
    prediction: Prediction | None = None
    price: Price | None = None
    budget: Budget = Budget()  # noqa: RUF009 – frozen

    @property
    def plan_id(self) -> str:
        """A hash of all that decides what is measured; equal plans share it, and their results."""
        content = (
            self.kind,
            self.backend.as_dict(),
            self.circuit_hash,
            self.order,
            self.shots,
            self.options.as_dict(),
            self.label,
            self.chunks,
        )
        digest = blake2b(repr(content).encode(), digest_size=8)
        digest.update(np.ascontiguousarray(self.bindings).tobytes())
        return digest.hexdigest()

    @property
    def chunks(self) -> list[tuple[int, int]]:
        """Rows of bindings of each job."""
        return costs.chunks(len(self.bindings), self.shots, self.extra, self.max_bindings)

    @property
    def extra(self) -> int:
        """Executions of a shot that each job holds besides: for the readout, and to check the order of bits."""
        return (self.options.readout_circuits if self.readout else 0) + (
            n_probes(self.n_qubits) if self.backend.service else 0
        )

    @property
    def labels(self) -> np.ndarray | None:
        """What a model is to learn."""
        return None if self.samples is None else self.samples.labels

    def axes(self) -> tuple[list[str], list[str]]:
        """Ids of the rows and of the columns of the kernel matrix; their numbers where the samples have no ids."""
        ids = list(map(str, range(self.n_samples))) if self.samples is None else list(self.samples.ids)
        if self.pairs is None or self.pairs.form == "full":
            return ids, ids
        if self.pairs.form == "nystroem":
            return ids, [ids[row] for row in self.pairs.landmarks]
        n_rows = self.pairs.shape[0]
        return ids[:n_rows], ids[n_rows:] if self.pairs.form == "rectangular" else ["value"]

    def tag(self, number: int, attempt: int) -> str:
        """The content tag of one job."""
        return f"qperov-{self.plan_id}-{number}-{attempt}"

    def request(self, number: int, attempt: int = 0, spent: float = 0.0) -> Request:
        """The job for one chunk; with a budget it is told when to stop, so that all jobs together stay within.

        Parameters
        ----------
        number, attempt : int
        spent : float
            Seconds of the chunk's share of the budget that earlier tries have taken.
        """
        start, stop = self.chunks[number]
        seconds = None
        if self.budget_seconds is not None:
            seconds = max(1, math.floor(self.share(number) - spent))
        return Request(
            self.tag(number, attempt),
            self.circuit,
            self.readout,
            self.bindings[start:stop],
            self.n_qubits,
            self.shots,
            self.options.as_dict(),
            seconds,
        )

    def seconds(self, number: int) -> float:
        """QPU time that the job for one chunk takes."""
        return costs.qpu_seconds(self.executions(number))

    def executions(self, number: int) -> int:
        """Executions of the job for one chunk."""
        start, stop = self.chunks[number]
        return (stop - start + self.extra) * self.shots

    def check_budget(self, repeated: Sequence[int] = ()) -> None:
        """Raise BudgetError if the plan costs more than its budgets, with what is sent once more.

        Parameters
        ----------
        repeated : sequence of int
            Chunks that are sent besides, as often as they are named.
        """
        check_budget(self.cost.seconds, self.budget_seconds)
        executions = self.cost.executions + sum(map(self.executions, repeated))
        fees = None if self.price is None else self.price.fees(executions // self.shots, executions)
        self.budget.check(executions, fees, "" if self.price is None else self.price.currency)

    def share(self, number: int) -> float:
        """Seconds of the budget that are for one chunk, all its tries together; without a budget there is no end."""
        if self.budget_seconds is None:
            return math.inf
        return self.budget_seconds * self.seconds(number) / self.cost.seconds


@dataclass(frozen=True)
class Settings:
    """How a plan is to be run: what is the same for every kind.

    Attributes
    ----------
    shots : int
    options : Options
    budget_seconds : float or None
        QPU time that the whole plan may take at most.
    label : str
    price : Price or None
        Fees of a service that is not IBM's, instead of those that are known.
    budget : Budget
        In the unit of such a service.
    """

    shots: int = 1024
    options: Options = Options()  # noqa: RUF009 – frozen
    budget_seconds: float | None = None
    label: str = ""
    price: Price | None = None
    budget: Budget = Budget()  # noqa: RUF009 – frozen

    def __post_init__(self) -> None:
        if self.shots < 1:
            raise ValueError(f"shots must be at least 1, got {self.shots}")
        if self.budget_seconds is not None and not self.budget_seconds > 0:
            raise ValueError(f"budget_seconds must be positive, got {self.budget_seconds}")


def check_budget(seconds: float, budget_seconds: float | None) -> None:
    """Raise BudgetError if it would be exceeded."""
    if budget_seconds is not None and seconds > budget_seconds:
        raise BudgetError(
            f"it costs {seconds:.0f} s of QPU time and the budget is {budget_seconds:.0f} s: take fewer samples or "
            "shots, landmarks (nystroem), or a projected kernel, whose cost grows with N instead of N²"
        )
