"""A cloud service that misbehaves in every way that is known of clouds, on top of a simulator that does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from qperov.hardware.services.local import LocalJob, LocalService
from qperov.hardware.services.service import Job, Request

#: What may go wrong when a request is sent.
SENDING = ("lost before", "lost after", "time out", "twice", "doubled", "refused")

#: What may go wrong with a job later.
LATER = ("fails", "forgotten", "cancelled")


class UnreliableService:
    """Behaves as told.

    Parameters
    ----------
    path : str or Path
        Where the jobs are kept.
    sending : sequence of str
        What happens to the first, second, … request: "" or one of `SENDING`; then all goes well.
    later : dict of int to str
        What happens to the job of a number, counted from 0 in the order of acceptance: one of `LATER`.
    queue : int
        Looks at a job's status that still say QUEUED.
    asking : int
        Calls other than submissions that are lost before one comes through; again and again.
    """

    settling = 0.0

    def __init__(
        self,
        path: Any = ":memory:",
        sending: tuple[str, ...] = (),
        later: dict[int, str] | None = None,
        queue: int = 0,
        asking: int = 0,
        error: str = "the line is dead",
    ) -> None:
        self.real = LocalService("aer", noise=0.02, random_state=11, path=path)
        self.sending = list(sending)
        self.later = later or {}
        self.queue = queue
        self.asking = self._lost = asking
        self.error = error
        self.modes: list[str] = []
        self.accepted: list[str] = []
        self.looks: dict[str, int] = {}

    def backend(self, n_qubits: int) -> Any:
        return self.real.backend(n_qubits)

    @contextmanager
    def open(self, mode: str) -> Iterator[Callable[[Request], Job]]:
        self.modes.append(mode)
        with self.real.open(mode) as run:
            yield lambda request: self._run(request, run)

    def find(self, job_id: str | None = None, tag: str | None = None) -> list[UnreliableJob]:
        self.may_be_lost()
        found = [UnreliableJob(self, job) for job in self.real.find(job_id, tag)]
        return [job for job in found if self.fate(job.job_id()) != "forgotten"]

    def close(self) -> None:
        self.real.close()

    def fate(self, job_id: str) -> str:
        number = self.accepted.index(job_id) if job_id in self.accepted else -1
        return self.later.get(number, "")

    def may_be_lost(self) -> None:
        if self._lost > 0:
            self._lost -= 1
            raise ConnectionResetError(self.error)
        self._lost = self.asking

    def _run(self, request: Request, run: Callable[[Request], LocalJob]) -> UnreliableJob:
        trouble = self.sending.pop(0) if self.sending else ""
        if trouble == "lost before":
            raise ConnectionError(self.error)
        if trouble == "refused":
            raise ValueError(self.error)
        job = run(request)
        self.accepted.append(job.job_id())
        if trouble in ("twice", "doubled"):
            self.accepted.append(run(request).job_id())
        if trouble in ("lost after", "twice"):
            raise ConnectionResetError(self.error)
        if trouble == "time out":
            raise TimeoutError(self.error)
        return UnreliableJob(self, self.real.find(self.accepted[-1])[0])


class UnreliableJob:
    """A job that queues, fails, or is forgotten."""

    def __init__(self, service: UnreliableService, job: LocalJob) -> None:
        self._service = service
        self._job = job

    def job_id(self) -> str:
        return self._job.job_id()

    def status(self) -> str:
        self._service.may_be_lost()
        looks = self._service.looks
        looks[self.job_id()] = looks.get(self.job_id(), 0) + 1
        if self._service.fate(self.job_id()) == "fails":
            return "ERROR"
        if self._service.fate(self.job_id()) == "cancelled":
            return "CANCELLED"
        state = self._job.status()
        return "QUEUED" if state == "DONE" and looks[self.job_id()] <= self._service.queue else state

    def result(self) -> list[np.ndarray]:
        self._service.may_be_lost()
        return self._job.result()

    def error_message(self) -> str:
        return self._service.error

    def cancel(self) -> None:
        self._service.may_be_lost()
        self._job.cancel()

    def usage(self) -> float:
        return 3.5
