"""A Qiskit backend that does what backends of vendors have been known to do wrong, on top of Aer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from qiskit.providers import BackendV2, JobV1, Options
from qiskit_aer import AerSimulator

#: From the right counts of all circuits to what the backend gives.
FAULTS: dict[str, Callable[[list[dict[str, int]]], Any]] = {
    "": lambda counts: counts,
    "spaces": lambda counts: [{f"{key[:1]} {key[1:]}": n for key, n in one.items()} for one in counts],
    "hexadecimal": lambda counts: [{hex(int(key, 2)): n for key, n in one.items()} for one in counts],
    "reverse": lambda counts: [{key[::-1]: n for key, n in one.items()} for one in counts],
    "rotated": lambda counts: [{key[1:] + key[:1]: n for key, n in one.items()} for one in counts],
    "dead wire": lambda counts: [_merged((key[:-1] + "0", n) for key, n in one.items()) for one in counts],
    "short shots": lambda counts: [*counts[:2], {next(iter(counts[2])): 1}, *counts[3:]],
    "no shots": lambda counts: [*counts[:2], {}, *counts[3:]],
    "partial": lambda counts: counts[:-1],
    "nothing": lambda counts: None,
    "overflow": lambda counts: [{hex(int(key, 2) + 2 ** len(key)): n for key, n in one.items()} for one in counts],
    "short words": lambda counts: [{key[1:]: n for key, n in one.items()} for one in counts],
    "probabilities": lambda counts: [{key: n / sum(one.values()) for key, n in one.items()} for one in counts],
}


def _merged(pairs: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for key, n in pairs:
        found[key] = found.get(key, 0) + n
    return found


class Result:
    def __init__(self, counts: Any) -> None:
        self._counts = counts

    def get_counts(self) -> Any:
        if self._counts == "raises":
            raise KeyError("counts")
        return self._counts


class MisbehavingBackend(BackendV2):
    """Behaves as ``fault`` says; ``jobs`` is what the vendor would charge, and gives jobs back if ``retrievable``."""

    def __init__(
        self, fault: str = "", retrievable: bool = False, max_circuits: int | None = None, lost: str = ""
    ) -> None:
        super().__init__(name="misbehaving")
        self.fault, self.lost = fault, lost
        self._limit = max_circuits
        self._aer = AerSimulator(seed_simulator=7)
        self.jobs: dict[str, Job] = {}
        if retrievable:
            self.retrieve_job = self.jobs.__getitem__

    @property
    def target(self) -> Any:
        return self._aer.target

    @property
    def max_circuits(self) -> int | None:
        return self._limit

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def run(self, run_input: Any, **options: Any) -> Job:
        if self.lost == "before":
            raise ConnectionError("the line is dead")
        if self.lost == "refused":
            raise ValueError("no such gate")
        assert self._limit is None or len(run_input) <= self._limit
        counts = self._aer.run(run_input, **options).result().get_counts()
        job = Job(self, str(uuid4()), FAULTS[self.fault](counts) if self.fault in FAULTS else self.fault)
        self.jobs[job.job_id()] = job
        if self.lost == "after":
            raise ConnectionResetError("the line is dead")
        return job


class Job(JobV1):
    def __init__(self, backend: BackendV2, job_id: str, counts: Any) -> None:
        super().__init__(backend, job_id)
        self._counts = counts

    def submit(self) -> None:
        """It was."""

    def result(self) -> Result:
        return Result(self._counts)

    def status(self) -> str:
        return "DONE"
