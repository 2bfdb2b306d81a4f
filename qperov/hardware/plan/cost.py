"""What a run costs on IBM's machines, by their published formula and limits."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

#: Seconds that each job takes of QPU time, and each execution (one shot of one circuit) on top.
SECONDS_PER_JOB = 2.0
SECONDS_PER_EXECUTION = 0.00035

#: Executions that one job may hold, and bytes that it may send.
MAX_EXECUTIONS = 10_000_000
MAX_PAYLOAD_BYTES = 50_000_000

#: Rows of bindings in one job at the most: some room is left below `MAX_EXECUTIONS` at 1,024 shots.
MAX_BINDINGS = 9_500

#: Seconds that the Open plan gives in 28 days; a batch lives as long there, and there are no sessions.
OPEN_PLAN_SECONDS = 600.0


def qpu_seconds(executions: int, jobs: int = 1) -> float:
    """QPU time: 2 s a job and 0.35 ms an execution.

    Examples
    --------
    >>> round(qpu_seconds(1225 * 1024) / 60, 1)
    7.4
    """
    return SECONDS_PER_JOB * jobs + SECONDS_PER_EXECUTION * executions


def chunks(
    n_bindings: int, shots: int, extra_bindings: int = 0, max_bindings: int | None = None
) -> list[tuple[int, int]]:
    """Rows of bindings (start, stop) of each job, of nearly equal number, as few jobs as the limits allow.

    Parameters
    ----------
    n_bindings, shots : int
    extra_bindings : int
        That each job holds besides, for the readout.
    max_bindings : int or None
        Limit of a job besides those of IBM.

    Raises
    ------
    ValueError
        So many shots that no job can hold a single row.
    """
    largest = min(max_bindings or MAX_BINDINGS, MAX_BINDINGS, MAX_EXECUTIONS // shots - extra_bindings)
    if largest < 1:
        raise ValueError(f"a job holds {MAX_EXECUTIONS} executions at most, so {shots} shots are too many")
    jobs = -(-n_bindings // largest)
    edges = [n_bindings * job // jobs for job in range(jobs + 1)]
    return list(pairwise(edges))


@dataclass(frozen=True)
class Cost:
    """Price of a plan.

    Attributes
    ----------
    pairs : int
        Pairs of samples, or samples.
    pubs : int
        Parameterised circuits that are sent, those for the readout included.
    jobs, executions, payload_bytes : int
        The payload is that of all jobs together, encoded as the client library does.
    seconds : float
        QPU time.
    """

    pairs: int
    pubs: int
    jobs: int
    executions: int
    payload_bytes: int
    seconds: float

    @property
    def fits_open_plan(self) -> bool:
        """Whether 28 days of the Open plan would do."""
        return self.seconds <= OPEN_PLAN_SECONDS
