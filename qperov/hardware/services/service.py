"""The seam to whatever runs circuits: one method that opens it for submission, one that finds jobs again."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

if TYPE_CHECKING:
    from qiskit.providers import BackendV2

Result = TypeVar("Result")

#: Answers of a server that mean "later", not "no".
TEMPORARY_STATUS = (408, 425, 429, 500, 502, 503, 504)

#: Seconds before the first repetition of a call that was lost; each further one waits twice as long.
FIRST_WAIT = 1.0

#: Calls of one kind before giving up.
TRIALS = 6


@dataclass(frozen=True)
class Request:
    """One job.

    Attributes
    ----------
    tag : str
        Names the content; a job can be found by it.
    circuit, readout : str or None
        Compiled circuits as `qperov.hardware.plan.compile.to_text` writes them.
    bindings : ndarray of shape (n_bindings, n_parameters)
    n_qubits : int
        That are measured.
    shots : int
    options : dict
        As of `qperov.hardware.plan.options.Options.as_dict`.
    seconds : int or None
        QPU time after which the job must be stopped.
    """

    tag: str
    circuit: str
    readout: str | None
    bindings: np.ndarray
    n_qubits: int
    shots: int
    options: dict[str, Any]
    seconds: int | None = None

    def to_bytes(self) -> bytes:
        """For a database; `from_bytes` reads it."""
        texts = {name: value for name, value in vars(self).items() if name != "bindings"}
        stream = io.BytesIO()
        np.savez_compressed(stream, texts=np.frombuffer(json.dumps(texts).encode(), np.uint8), bindings=self.bindings)
        return stream.getvalue()

    @staticmethod
    def from_bytes(data: bytes) -> Request:
        """What `to_bytes` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            return Request(bindings=found["bindings"], **json.loads(found["texts"].tobytes()))


class Job(Protocol):
    """A job, by whatever service."""

    def job_id(self) -> str:
        """Its name at the service."""

    def status(self) -> str:
        """QUEUED, RUNNING, or at the end DONE, ERROR or CANCELLED."""

    def result(self) -> list[np.ndarray]:
        """Outcomes, shape (n_bindings, shots, n_bytes), of the circuit and, if it was asked for, of the readout.

        To be asked for only when the status is DONE.
        """

    def error_message(self) -> str:
        """Why it failed."""

    def cancel(self) -> None:
        """Stop it, if it has not ended."""

    def usage(self) -> float:
        """QPU seconds that are charged."""


class Service(Protocol):
    """Whatever runs circuits."""

    #: Seconds after which a job that was accepted can surely be found by its tag.
    settling: float

    def backend(self, n_qubits: int) -> BackendV2:
        """What circuits are compiled for."""

    def open(self, mode: str) -> AbstractContextManager[Callable[[Request], Job]]:
        """Submit requests: "job" one by one, "batch" or "session" together."""

    def find(self, job_id: str | None = None, tag: str | None = None) -> Sequence[Job]:
        """The job of that id, or all jobs of that tag, oldest first; empty if there are none."""

    def close(self) -> None:
        """Let go of files and connections."""


def is_transport_error(error: BaseException) -> bool:
    """Whether a call may have been lost on the way, so that it makes sense to repeat it.

    The client library raises its own exceptions out of those of the connection; the chain of contexts is looked
    through.
    """
    return any(_is_lost(link) for link in _chain(error))


def _is_lost(error: BaseException) -> bool:
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return status < 0 or status in TEMPORARY_STATUS
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    package = type(error).__module__.partition(".")[0]
    names = {base.__name__ for base in type(error).__mro__}
    return package in ("requests", "urllib3") and bool(names & {"ConnectionError", "Timeout", "TimeoutError"})


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def repeat(call: Callable[[], Result], sleep: Callable[[float], None] = time.sleep) -> Result:
    """The result of a call that changes nothing at the service, repeated with growing waits while it is lost."""
    for wait in waits():
        try:
            return call()
        except Exception as error:
            if not is_transport_error(error) or wait is None:
                raise
        sleep(wait)
    raise AssertionError("unreachable")


def waits() -> Iterator[float | None]:
    """Seconds to wait after each trial; None after the last."""
    yield from (FIRST_WAIT * 2**trial for trial in range(TRIALS - 1))
    yield None
