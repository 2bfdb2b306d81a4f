"""Calls to a service: repeated while they are lost, and answered by a job or by one line without secrets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

from qperov.errors import HardwareError, QperovError
from qperov.hardware.services.credentials import without_secrets
from qperov.hardware.services.service import Job, Service, is_transport_error, repeat

Sleep: TypeAlias = Callable[[float], None]
Answer = TypeVar("Answer")


def ask(call: Callable[[], Answer], sleep: Sleep) -> Answer:
    """The answer to a call that changes nothing, or nothing more when it is made twice.

    Raises
    ------
    HardwareError
        The service refuses, or cannot be reached.
    """
    try:
        return repeat(call, sleep)
    except QperovError:
        raise
    except Exception as error:
        raise refusal(error) from None


def refusal(error: Exception) -> HardwareError:
    """The error of a service as one line."""
    what = "the service cannot be reached" if is_transport_error(error) else "the service refuses"
    return HardwareError(f"{what}: {type(error).__name__}: {without_secrets(error)}")


def find_jobs(service: Service, sleep: Sleep, job_id: str | None = None, tag: str | None = None) -> Sequence[Job]:
    """The job of that id, or all jobs of that tag, oldest first; empty if there are none."""
    return ask(lambda: service.find(job_id=job_id, tag=tag), sleep)


def cancel_duplicates(jobs: Sequence[Job], sleep: Sleep) -> Job | None:
    """Cancel all jobs of one content but the one nearest to a result, the oldest of several, which is given back."""
    ranked: list[list[Job]] = [[], [], [], []]
    for job in jobs:
        state = ask(job.status, sleep)
        if state != "CANCELLED":
            ranked[{"DONE": 0, "RUNNING": 1, "ERROR": 3}.get(state, 2)].append(job)
    for double in [job for rank in ranked[:3] for job in rank][1:]:
        ask(double.cancel, sleep)
    return next((job for rank in ranked for job in rank), None)


def seconds_charged(job: Job, sleep: Sleep) -> float | None:
    """Seconds that a job is charged; None if they cannot be told, for which no result must be given up."""
    try:
        return ask(job.usage, sleep)
    except HardwareError:
        return None
