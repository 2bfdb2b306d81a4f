"""A plan: everything that is to be measured, compiled and priced before anything is submitted."""

from __future__ import annotations

import base64
import io
import json
import math
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from qperov.errors import BudgetError, HardwareError
from qperov.hardware.plan import cost as costs
from qperov.hardware.plan.cost import Cost
from qperov.hardware.plan.options import Options
from qperov.hardware.plan.pairs import Pairs
from qperov.hardware.services.service import Request

#: Version of the plan file.
VERSION = 2


@dataclass(frozen=True)
class Target:
    """The machine of a plan.

    Attributes
    ----------
    name : str
        "aer", "fake_…", or a name at IBM.
    noise : float or None
        Of "aer".
    seed : int or None
        Of simulated shots.
    """

    name: str
    noise: float | None = None
    seed: int | None = 0


@dataclass(frozen=True)
class Plan:
    """What is to be run, and what it costs.

    Attributes
    ----------
    kind : "fidelity", "bloch" or "autoencoder"
    target : Target
    calibrated : str or None
        When the machine's error rates, which the compiler went by, were measured.
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
        See `qperov.hardware.plan.compiling.Compiled`.
    cost : Cost
    budget_seconds : float or None
    created : str
    content : str
        A hash of what is to be measured, before it is compiled: machines are calibrated every day, and compiled
        circuits change with that.
    label : str
        Tells deliberate repetitions of the same plan apart.
    labels : ndarray of shape (n_samples,) or None
        What a model is to learn.
    """

    kind: str
    target: Target
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
    labels: np.ndarray | None = field(default=None)

    @property
    def plan_id(self) -> str:
        """A hash of all that decides what is measured; equal plans share it, and their results."""
        content = (
            self.kind,
            asdict(self.target),
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
        return costs.chunks(len(self.bindings), self.shots, 2 if self.readout else 0)

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
        """Time on the machine that the job for one chunk takes."""
        start, stop = self.chunks[number]
        return costs.qpu_seconds((stop - start + (2 if self.readout else 0)) * self.shots)

    def share(self, number: int) -> float:
        """Seconds of the budget that are for one chunk, all its tries together; without a budget there is no end."""
        if self.budget_seconds is None:
            return math.inf
        return self.budget_seconds * self.seconds(number) / self.cost.seconds

    # --- the file -------------------------------------------------------------------------------

    def to_json(self) -> str:
        """The plan as text, numbers to read first."""
        arrays: dict[str, Any] = {"bindings": self.bindings}
        if self.pairs is not None:
            arrays |= {name: getattr(self.pairs, name) for name in ("first", "second", "landmarks")}
        if self.labels is not None:
            arrays["labels"] = self.labels
        stream = io.BytesIO()
        np.savez_compressed(stream, **arrays)
        document = {"version": VERSION, "plan_id": self.plan_id}
        document |= {name: value for name, value in vars(self).items() if name not in ("bindings", "labels", "pairs")}
        document |= {
            "target": asdict(self.target),
            "options": self.options.as_dict(),
            "cost": asdict(self.cost),
            "pairs": None if self.pairs is None else {"form": self.pairs.form, "shape": self.pairs.shape},
            "arrays": base64.b64encode(stream.getvalue()).decode(),
        }
        return json.dumps(document | {"checksum": _checksum(document)}, indent=1)

    @staticmethod
    def from_json(text: str) -> Plan:
        """What `to_json` wrote.

        Raises
        ------
        HardwareError
            It is no plan, of another version, or was changed since.
        """
        try:
            document = json.loads(text)
            if document["version"] != VERSION:
                raise HardwareError("the plan is of another version of qperov: make it again")
            if document.pop("checksum") != _checksum(document):
                raise HardwareError("the plan was changed after it was made: make it again")
            del document["version"]
            plan_id = document.pop("plan_id")
            with np.load(io.BytesIO(base64.b64decode(document.pop("arrays"))), allow_pickle=False) as found:
                arrays = dict(found)
            described = document.pop("pairs")
            pairs = None
            if described is not None:
                places = (arrays.pop(name) for name in ("first", "second", "landmarks"))
                pairs = Pairs(described["form"], tuple(described["shape"]), *places)
            plan = Plan(
                **document
                | {
                    "target": Target(**document["target"]),
                    "options": Options.from_dict(document["options"]),
                    "cost": Cost(**document["cost"]),
                    "order": tuple(document["order"]),
                    "qubits": tuple(document["qubits"]),
                    "pairs": pairs,
                    "bindings": arrays["bindings"],
                    "labels": arrays.get("labels"),
                }
            )
        except (ValueError, KeyError, TypeError) as error:
            raise HardwareError(
                f"this is no plan of `qperov hardware plan` ({type(error).__name__}: {error})"
            ) from None
        if plan.plan_id != plan_id:
            # jobs are recorded and tagged by it
            raise HardwareError("this version of qperov would number the plan or cut its jobs otherwise: make it again")
        return plan

    def write(self, path: str | Path) -> None:
        """Write the plan file."""
        path = Path(path)
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text(self.to_json(), encoding="utf-8")
        temporary.replace(path)


def _checksum(document: dict[str, Any]) -> str:
    """Of all that is in a plan's file, prices, budget and circuits too."""
    return blake2b(json.dumps(document, sort_keys=True).encode(), digest_size=16).hexdigest()


def read_plan(path: str | Path) -> Plan:
    """The plan of a file.

    Raises
    ------
    HardwareError
        The file cannot be read, or is no plan.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HardwareError(f"the plan {path} cannot be read: {error}") from None
    return Plan.from_json(text)


@dataclass(frozen=True)
class Settings:
    """How a plan is to be run: what is the same for every kind.

    Attributes
    ----------
    shots : int
    options : Options
    budget_seconds : float or None
        Seconds on the machine that the whole plan may take at most.
    label : str
    """

    shots: int = 1024
    options: Options = Options()  # noqa: RUF009 – frozen
    budget_seconds: float | None = None
    label: str = ""

    def __post_init__(self) -> None:
        if self.shots < 1:
            raise ValueError(f"shots must be at least 1, got {self.shots}")
        if self.budget_seconds is not None and not self.budget_seconds > 0:
            raise ValueError(f"budget_seconds must be positive, got {self.budget_seconds}")


def check_budget(seconds: float, budget_seconds: float | None) -> None:
    """Raise BudgetError if it would be exceeded."""
    if budget_seconds is not None and seconds > budget_seconds:
        raise BudgetError(
            f"it costs {seconds:.0f} s on the machine and the budget is {budget_seconds:.0f} s: take fewer samples or "
            "shots, landmarks (nystroem), or a projected kernel, whose cost grows with N instead of N²"
        )
