"""Simulators as a service: jobs have ids and tags, and outlive the process in a file."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from qperov.hardware.services.credentials import check_installed
from qperov.hardware.services.service import Request
from qperov.hardware.services.simulators import simulate, simulator_backend

if TYPE_CHECKING:
    from qiskit.providers import BackendV2

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY, job_id TEXT UNIQUE NOT NULL, tag TEXT NOT NULL, request BLOB NOT NULL,
    state TEXT NOT NULL, result BLOB
)
"""


class LocalService:
    """Runs jobs on a simulator, when their result is asked for.

    Parameters
    ----------
    name, noise
        See `qperov.hardware.services.simulators.simulator_backend`.
    random_state : int or None
        With a seed the result of a job depends on its tag alone; None for new noise in every job.
    path : str or Path
        Where jobs are kept; ":memory:" if they may die with the process.
    """

    settling = 0.0

    def __init__(
        self, name: str, noise: float | None = None, random_state: int | None = 0, path: str | Path = ":memory:"
    ) -> None:
        check_installed()
        self.name, self.noise, self.random_state = name, noise, random_state
        self._connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(SCHEMA)
        self._backends: dict[int, BackendV2] = {}

    def backend(self, n_qubits: int) -> BackendV2:
        """What circuits are compiled for."""
        key = n_qubits if self.name == "aer" else 0
        if key not in self._backends:
            self._backends[key] = simulator_backend(self.name, n_qubits, self.noise)
        return self._backends[key]

    @contextmanager
    def open(self, mode: str) -> Iterator[Callable[[Request], LocalJob]]:
        """Submit requests; all modes are the same here."""
        yield self._accept

    def find(self, job_id: str | None = None, tag: str | None = None) -> list[LocalJob]:
        """The job of that id, or all jobs of that tag, oldest first."""
        rows = self._connection.execute(
            "SELECT job_id FROM jobs WHERE job_id = ? OR tag = ? ORDER BY number", (job_id, tag)
        )
        return [LocalJob(self, found) for (found,) in rows]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _accept(self, request: Request) -> LocalJob:
        job_id = f"local-{uuid4().hex[:16]}"
        self._connection.execute(
            "INSERT INTO jobs (job_id, tag, request, state) VALUES (?, ?, ?, 'DONE')",
            (job_id, request.tag, request.to_bytes()),
        )
        return LocalJob(self, job_id)

    def _seed(self, tag: str) -> int | None:
        if self.random_state is None:
            return None
        # Aer's seeds are of 31 bits
        return int.from_bytes(blake2b(f"{self.random_state} {tag}".encode(), digest_size=4).digest(), "little") >> 1


class LocalJob:
    """A job of a `LocalService`. It is DONE from the start: a simulator has no queue, and works when it is asked."""

    def __init__(self, service: LocalService, job_id: str) -> None:
        self._service = service
        self._job_id = job_id

    def job_id(self) -> str:
        """Its name."""
        return self._job_id

    def status(self) -> str:
        """DONE or CANCELLED."""
        return self._column("state")

    def result(self) -> list[np.ndarray]:
        """Outcomes of each circuit, shape (n_bindings, shots, n_bytes)."""
        stored = self._column("result")
        if stored is not None:
            with np.load(io.BytesIO(stored), allow_pickle=False) as found:
                return [found[name] for name in sorted(found)]
        request = Request.from_bytes(self._column("request"))
        service = self._service
        outcomes = simulate(service.backend(request.n_qubits), request, service._seed(request.tag))
        stream = io.BytesIO()
        arrays: dict[str, Any] = {f"pub{number}": array for number, array in enumerate(outcomes)}
        np.savez_compressed(stream, **arrays)
        service._connection.execute("UPDATE jobs SET result = ? WHERE job_id = ?", (stream.getvalue(), self._job_id))
        return outcomes

    def error_message(self) -> str:
        """Nothing: simulations do not fail."""
        return ""

    def cancel(self) -> None:
        """Take it off."""
        self._service._connection.execute(
            "UPDATE jobs SET state = 'CANCELLED' WHERE job_id = ? AND result IS NULL", (self._job_id,)
        )

    def usage(self) -> float:
        """Nothing is charged."""
        return 0.0

    def _column(self, name: str) -> Any:
        (value,) = self._service._connection.execute(
            f"SELECT {name} FROM jobs WHERE job_id = ?", (self._job_id,)
        ).fetchone()
        return value
