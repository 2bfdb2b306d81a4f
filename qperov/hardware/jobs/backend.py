"""A backend as a plain specification, which a kernel is handed and which runs everything through a plan."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import InitVar, dataclass, field, fields
from pathlib import Path
from typing import Any
from warnings import warn

import numpy as np
from numpy.typing import ArrayLike

from qperov.errors import HardwareError
from qperov.hardware.jobs.jobs import collect, submit
from qperov.hardware.jobs.ledger import Ledger
from qperov.hardware.jobs.results import Results
from qperov.hardware.plan.measurement import Circuit
from qperov.hardware.plan.options import Options
from qperov.hardware.plan.pairs import pair_list
from qperov.hardware.plan.plan import BackendSpec, Plan, Settings
from qperov.hardware.plan.planning import FindPlan, plan_bloch, plan_fidelities
from qperov.hardware.services.ibm import IBMService
from qperov.hardware.services.local import LocalService
from qperov.hardware.services.qiskit_backend import QiskitService
from qperov.hardware.services.service import Service
from qperov.hardware.services.simulators import is_simulator

#: Where jobs at IBM are recorded unless another file is named.
DEFAULT_LEDGER = "qperov-hardware.db"


@dataclass(frozen=True)
class Backend:
    """A quantum machine or a simulator of one.

    It holds names and numbers only, so that it can be pickled, cloned and compared; the hardware is looked up when
    something is measured.

    Attributes
    ----------
    name : str
        A backend at IBM ("ibm_fez"); "aer", an ideal simulator or one with ``noise``; "fake_fez", "fake_manila", …,
        simulators with the errors of a real one at the time of its snapshot.
    shots : int
        Runs of each circuit.
    options : Options
    noise : float or None
        Of "aer": depolarising chance p of two-qubit gates and of a wrong reading, p/10 for one-qubit gates.
    random_state : int or None
        Seed of simulated shots: equal seeds give equal results; None for new noise each time. Then, unless there is a
        ledger, the specification has no hash, by which kernels know that they must not remember what it measured.
    budget_seconds : float or None
        QPU seconds that one measurement may take at most.
    ledger : str, Path or None
        File of the ledger. What is in it is not measured again. None keeps none for simulators, and is
        ``qperov-hardware.db`` for real machines.
    wait_seconds : float
        How long to wait for results; the jobs live on, and the same call collects them later.

    Examples
    --------
    >>> Backend("fake_fez", shots=2048).shots
    2048
    """

    name: str
    shots: int = 1024
    options: Options = field(default_factory=Options)
    noise: float | None = None
    random_state: int | None = 0
    budget_seconds: float | None = None
    ledger: str | Path | None = None
    wait_seconds: float = 3600.0
    seed: InitVar[Any] = ...

    def __post_init__(self, seed: Any) -> None:
        if seed is not ...:
            message = "Backend(seed=…) is deprecated and goes in qperov 0.3: write random_state=…"
            warn(message, DeprecationWarning, stacklevel=3)
            object.__setattr__(self, "random_state", seed)

    def __hash__(self) -> int:
        if self.random_state is None and self.ledger is None and is_simulator(self.name):
            raise TypeError("a simulator without seed and ledger is never twice the same, and has no hash")
        return hash(tuple(getattr(self, known.name) for known in fields(self)))

    def measure_fidelities(self, circuit: Circuit, rows: ArrayLike, columns: ArrayLike) -> np.ndarray:
        """Share of all-zero outcomes of U(x) U(y)† for pairs of samples, shape (n_pairs,).

        Parameters
        ----------
        circuit : callable
            From a list of n_features angles to gates.
        rows, columns : array of shape (n_pairs, n_features)
            Scaled features.

        Raises
        ------
        HardwareError
            Jobs that failed, or did not end in time; the message says what to do.
        BudgetError
            It costs more than the budget.
        AccountError, MissingDependencyError
        """
        x, y = np.asarray(rows, dtype=np.float64), np.asarray(columns, dtype=np.float64)
        if len(x) == 0:
            return np.empty(0)
        if x.shape != y.shape:
            raise ValueError(f"rows and columns are the two sides of pairs, got shapes {x.shape} and {y.shape}")
        samples, pairs = np.concatenate([x, y]), pair_list(len(x))
        return self._run(
            lambda service, find_plan: plan_fidelities(
                circuit, samples, pairs, service, self.spec(), self._settings(), find_plan
            )
        ).values()

    def measure_bloch(self, circuit: Circuit, samples: ArrayLike) -> np.ndarray:
        """⟨X⟩, ⟨Y⟩, ⟨Z⟩ of each qubit of U(x)|0…0⟩, shape (n_samples, n_qubits, 3); exceptions as above."""
        return self._run(
            lambda service, find_plan: plan_bloch(
                circuit, samples, service, self.spec(), self._settings(), find_plan=find_plan
            )
        ).bloch_vectors()

    def spec(self) -> BackendSpec:
        """What a plan says of it."""
        return BackendSpec(self.name, self.noise, self.random_state if is_simulator(self.name) else None)

    def _settings(self) -> Settings:
        return Settings(self.shots, self.options, self.budget_seconds)

    def _run(self, make: Callable[[Service, FindPlan], Plan]) -> Results:
        path = self.ledger
        if path is None:
            path = ":memory:" if is_simulator(self.name) else DEFAULT_LEDGER
        with Ledger(path) as ledger, closing(open_service(self.spec(), path)) as service:
            plan = make(service, ledger.find_plan)
            submit(plan, service, ledger)
            found = collect(plan, service, ledger, self.wait_seconds)
        if not found.complete:
            raise HardwareError(
                f"{len(found.missing())} of {len(found.raw)} rows have not come ({_counted(found.states)}): the jobs "
                f"are in {path}; the same call collects them later, and `qperov hardware resume {plan.plan_id} "
                f"--failed --ledger {path}` sends failed ones again"
            )
        return found


def open_service(spec: BackendSpec, ledger: str | Path = ":memory:", service: str = "") -> Service:
    """The service of a backend; jobs of a simulator are kept in a file beside the ledger.

    Parameters
    ----------
    spec : BackendSpec
    ledger : str or Path
    service : str
        What the user calls the service, "qiskit:module.factory": no function is run because a plan's file names it.

    Raises
    ------
    AccountError, MissingDependencyError
    HardwareError
        Noise for a backend that has its own, or another service than the plan's.
    """
    if spec.service != service and not spec.service:
        raise HardwareError(f"the plan is for {spec.name}, not for the service {service}: leave out --service")
    if spec.service != service:
        # a plan is a file, and no file may say what is run
        raise HardwareError(
            f"the plan is for another service: name it yourself, if you trust it: --service {spec.service}"
        )
    if service:
        return QiskitService(service, local_jobs(ledger))
    if is_simulator(spec.name):
        if spec.fractional_gates:
            raise HardwareError(f"{spec.name} has the gates that it has: fractional gates are for IBM's machines")
        return LocalService(spec.name, spec.noise, spec.seed, local_jobs(ledger))
    if spec.noise is not None:
        raise HardwareError(f"{spec.name} brings its own noise: noise is for 'aer'")
    return IBMService(spec.name, fractional_gates=spec.fractional_gates)


def local_jobs(ledger: str | Path) -> str | Path:
    """The file beside a ledger in which jobs of simulators are kept."""
    if str(ledger) == ":memory:":
        return ":memory:"
    path = Path(ledger)
    return path.with_name(path.stem + "-local" + path.suffix)


def _counted(states: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
