"""Any Qiskit backend as a service: ``run()`` and ``get_counts()`` are all that is asked of it.

What such a backend gives is checked before it is used: each job holds, beside its circuits, some whose outcomes are
known, from which a wrong order of bits or a qubit that does not answer can be told.
"""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qperov.errors import HardwareError
from qperov.hardware.plan.compile import from_text, readout_bindings
from qperov.hardware.plan.options import Options
from qperov.hardware.plan.plan import PREFIX, n_probes
from qperov.hardware.services.credentials import check_installed, without_secrets
from qperov.hardware.services.service import Request, is_transport_error

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.providers import BackendV2

SCHEMA = """
CREATE TABLE IF NOT EXISTS qiskit_jobs (
    tag TEXT PRIMARY KEY, job_id TEXT, request BLOB NOT NULL, state TEXT NOT NULL, result BLOB, error TEXT
)
"""

#: What is said of a job whose process died while it was sent.
UNKNOWN = (
    "it may have been sent before the process died, and this service cannot be asked for it: look there, and send it "
    "again with `qperov hardware resume --failed` if it is not"
)


class QiskitService:
    """Jobs of a Qiskit backend, written down in a file before and after they are sent.

    Where a backend gives a job by its id (``retrieve_job``, of its own or of its provider), results are fetched when
    they are asked for; where it does not, as simulators in the process, they are waited for when the job is sent.

    Parameters
    ----------
    service : str
        "qiskit:module.factory"; the function is called without arguments and gives a ``BackendV2``.
    path : str or Path
        Where jobs are kept; ":memory:" if they may die with the process.

    Raises
    ------
    HardwareError
        There is no such function, or it gives no backend.
    """

    settling = 0.0

    def __init__(self, service: str, path: str | Path = ":memory:") -> None:
        check_installed(service)
        self.service = service
        self._connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(SCHEMA)
        self._live: dict[str, Any] = {}

    @cached_property
    def _backend(self) -> BackendV2:
        from qiskit.providers import BackendV2

        module, _, name = self.service.removeprefix(PREFIX).rpartition(".")
        try:
            found = getattr(import_module(module), name)()
        except Exception as error:
            what = f"{type(error).__name__}: {without_secrets(error)}"
            raise HardwareError(f"{self.service}: no backend could be had from it ({what})") from None
        if not isinstance(found, BackendV2):
            raise HardwareError(f"{self.service} gives a {type(found).__name__}, which is no BackendV2 of Qiskit")
        return found

    def backend(self, n_qubits: int) -> BackendV2:
        """What circuits are compiled for."""
        return self._backend

    @contextmanager
    def open(self, mode: str) -> Iterator[Callable[[Request], QiskitJob]]:
        """Submit requests; all modes are the same here."""
        yield self._send

    def find(self, job_id: str | None = None, tag: str | None = None) -> list[QiskitJob]:
        """The job of that id, or of that tag; none that has died with its process."""
        rows = self._connection.execute(
            "SELECT tag, job_id, state FROM qiskit_jobs WHERE job_id = ? OR tag = ?", (job_id, tag)
        )
        return [QiskitJob(self, tag) for tag, known, state in rows if self._is_alive(known, state)]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _is_alive(self, job_id: str | None, state: str) -> bool:
        return state not in ("SENDING", "SENT") or job_id in self._live or self._retrieve is not None

    @cached_property
    def _retrieve(self) -> Callable[[str], Any] | None:
        provider = getattr(self._backend, "provider", None)
        found = getattr(self._backend, "retrieve_job", None) or getattr(provider, "retrieve_job", None)
        return found if callable(found) else None

    def _send(self, request: Request) -> QiskitJob:
        values = (request.tag, request.to_bytes())
        self._connection.execute(
            "INSERT INTO qiskit_jobs (tag, request, state) VALUES (?, ?, 'SENDING') "
            "ON CONFLICT (tag) DO UPDATE SET state = 'SENDING', job_id = NULL, result = NULL, error = NULL",
            values,
        )
        try:
            job = self._backend.run(circuits(request, self._backend), shots=request.shots)
            job_id = str(job.job_id())
        except Exception as error:
            # a request that was lost on its way may have arrived; one that was refused has not
            if not is_transport_error(error):
                self._connection.execute("DELETE FROM qiskit_jobs WHERE tag = ?", (request.tag,))
            raise
        self._live[job_id] = job
        self._record(request.tag, "SENT", job_id=job_id)
        sent = QiskitJob(self, request.tag)
        if self._retrieve is None:
            try:
                sent.result()
            except Exception as error:
                # it is told when the job is asked for, as those of other jobs are
                self._record(request.tag, "ERROR", error=f"{type(error).__name__}: {without_secrets(error)}")
        return sent

    def _record(self, tag: str, state: str, **values: Any) -> None:
        columns = "".join(f", {name} = ?" for name in values)
        self._connection.execute(
            f"UPDATE qiskit_jobs SET state = ?{columns} WHERE tag = ?", (state, *values.values(), tag)
        )


class QiskitJob:
    """A job of a `QiskitService`."""

    def __init__(self, service: QiskitService, tag: str) -> None:
        self._service = service
        self._tag = tag

    def job_id(self) -> str:
        """Its name at the backend."""
        return self._column("job_id") or f"unknown-{self._tag}"

    def status(self) -> str:
        """QUEUED, RUNNING, DONE, ERROR, …"""
        state = self._column("state")
        if state != "SENT":
            return "ERROR" if state == "SENDING" else state
        found = self._job().status()
        return str(getattr(found, "name", found))

    def result(self) -> list[np.ndarray]:
        """Outcomes of each circuit, shape (n_bindings, shots, n_bytes).

        Raises
        ------
        HardwareError
            They are not those of the circuits that were sent.
        """
        if self._column("state") == "DONE":
            with np.load(io.BytesIO(self._column("result")), allow_pickle=False) as found:
                return [found[name] for name in sorted(found)]
        request = Request.from_bytes(self._column("request"))
        arrays = outcomes(self._job().result(), request)
        stream = io.BytesIO()
        named: dict[str, Any] = {f"pub{number}": array for number, array in enumerate(arrays)}
        np.savez_compressed(stream, **named)
        self._service._record(self._tag, "DONE", result=stream.getvalue())
        return arrays

    def error_message(self) -> str:
        """Why it failed."""
        if self._column("state") == "SENDING":
            return UNKNOWN
        if known := self._column("error"):
            return known
        error = getattr(self._job(), "error_message", None)
        return str((error() if callable(error) else error) or "")

    def cancel(self) -> None:
        """Stop it, where the backend can."""
        if self._column("state") == "SENT":
            self._job().cancel()

    def usage(self) -> float:
        """What it costs is not known here."""
        return 0.0

    def _job(self) -> Any:
        job_id = self._column("job_id")
        if job_id not in self._service._live and self._service._retrieve is not None:
            self._service._live[job_id] = self._service._retrieve(job_id)
        return self._service._live[job_id]

    def _column(self, name: str) -> Any:
        (value,) = self._service._connection.execute(
            f"SELECT {name} FROM qiskit_jobs WHERE tag = ?", (self._tag,)
        ).fetchone()
        return value


def circuits(request: Request, backend: BackendV2) -> list[QuantumCircuit]:
    """All circuits of a request: with its bindings, those of the readout, and those whose outcomes are known."""
    main = from_text(request.circuit)
    found = [main.assign_parameters(row) for row in request.bindings]
    if request.readout is not None:
        readout = from_text(request.readout)
        found += [readout.assign_parameters(row) for row in readout_bindings(Options.from_dict(request.options))]
    return found + _probes(main, request.n_qubits, backend)


def outcomes(result: Any, request: Request) -> list[np.ndarray]:
    """Outcomes of the circuits and of the readout, shape (n_bindings, shots, n_bytes), once all are found to be sound.

    Raises
    ------
    HardwareError
        Results are missing or failed, shots are missing, outcomes have too many bits, or bits come in another order.
    """
    end, n_readout = len(request.bindings), 0
    if request.readout is not None:
        n_readout = Options.from_dict(request.options).readout_circuits
    wanted = end + n_readout + n_probes(request.n_qubits)
    failed = [number for number, one in enumerate(getattr(result, "results", ())) if not getattr(one, "success", True)]
    if failed:
        raise HardwareError(f"{len(failed)} of {wanted} circuits failed, the first is number {failed[0]}")
    try:
        counts = result.get_counts()
    except Exception as error:
        raise HardwareError(f"the result holds no counts ({type(error).__name__}: {without_secrets(error)})") from None
    counts = [counts] if isinstance(counts, Mapping) else list(counts or ())
    if len(counts) != wanted:
        raise HardwareError(f"the result holds counts of {len(counts)} circuits, {wanted} were sent")
    arrays = np.stack([_shots(one, number, request) for number, one in enumerate(counts)])
    _check_order(arrays[len(arrays) - n_probes(request.n_qubits) :], request.n_qubits)
    return [arrays[:end]] + ([arrays[end : end + n_readout]] if n_readout else [])


def _probes(main: QuantumCircuit, n_qubits: int, backend: BackendV2) -> list[QuantumCircuit]:
    """Circuits of which number k reads bit k of w + 1 on each wire w; no wire is 0, or 1, in all of them."""
    from qiskit import QuantumCircuit, QuantumRegister, transpile

    measured = {
        main.find_bit(step.clbits[0]).index: main.find_bit(step.qubits[0]).index
        for step in main.data
        if step.operation.name == "measure"
    }
    found = []
    for probe in range(n_probes(n_qubits)):
        circuit = QuantumCircuit(QuantumRegister(main.num_qubits), *main.cregs)
        for bit, qubit in measured.items():
            if (n_qubits - bit) >> probe & 1:
                circuit.x(qubit)
            circuit.measure(qubit, bit)
        found.append(circuit)
    layout = list(range(main.num_qubits))
    return transpile(found, backend, optimization_level=0, initial_layout=layout, seed_transpiler=0)


def _shots(counts: Any, number: int, request: Request) -> np.ndarray:
    """Counts of one circuit as one row of bytes a shot, most significant first."""
    n_bytes = -(-request.n_qubits // 8)
    rows, times = [], []
    for outcome, count in dict(counts).items():
        if isinstance(outcome, int) or str(outcome).startswith("0x"):
            value = int(outcome) if isinstance(outcome, int) else int(outcome, 16)
            text = format(value, f"0{request.n_qubits}b")
        else:
            text = str(outcome).replace(" ", "")
        if len(text) != request.n_qubits or set(text) - {"0", "1"}:
            raise HardwareError(
                f"circuit {number} has the outcome {outcome!r}, which is not of {request.n_qubits} bits"
            )
        if count != int(count) or count < 0:
            raise HardwareError(f"circuit {number} has the outcome {outcome!r} {count} times: these are no counts")
        rows.append(list(int(text, 2).to_bytes(n_bytes, "big")))
        times.append(int(count))
    if sum(times) != request.shots:
        raise HardwareError(f"circuit {number} has {sum(times)} shots instead of {request.shots}")
    return np.repeat(np.array(rows, dtype=np.uint8), times, axis=0)


def _check_order(probes: np.ndarray, n_qubits: int) -> None:
    bits = np.unpackbits(probes, axis=2)[:, :, -n_qubits:]
    read = ((bits.mean(axis=1) > 0.5) << np.arange(len(probes))[:, None]).sum(axis=0) - 1
    wires = np.arange(n_qubits)
    if np.array_equal(read, wires):
        return
    if np.array_equal(read, wires[::-1]):
        raise HardwareError("bits come in reverse order: the backend puts the first classical bit first, Qiskit last")
    wrong: Sequence[int] = np.flatnonzero(read != wires).tolist()
    if sorted(read.tolist()) == wires.tolist():
        raise HardwareError(f"bits come in another order: those of wires {wrong} stand at {read[wrong].tolist()}")
    raise HardwareError(f"wires {wrong} do not answer: prepared in 0 and in 1, they do not read so")
