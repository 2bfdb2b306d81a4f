"""IBM's machines as a service, through qiskit-ibm-runtime from 0.45 on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from qperov.errors import AccountError, HardwareError, QperovError
from qperov.hardware.services.credentials import check_account, check_installed, without_secrets
from qperov.hardware.services.sampler import outcomes, remote_options, run_sampler
from qperov.hardware.services.service import Request, is_transport_error, repeat

if TYPE_CHECKING:
    from qiskit.providers import BackendV2


class IBMService:
    """A backend of IBM's cloud.

    Parameters
    ----------
    name : str
        Of the backend, such as "ibm_fez".
    service : QiskitRuntimeService or None
        None for the account of the store or the environment of qiskit-ibm-runtime; there is no other way to give one.
    fractional_gates : bool
        Ask for the backend with its gates of any angle.
    """

    #: The list of jobs at the service may be some seconds behind.
    settling = 30.0

    def __init__(self, name: str, service: Any = None, fractional_gates: bool = False) -> None:
        check_installed()
        if service is None:
            check_account()
        self.name, self.fractional_gates = name, fractional_gates
        self._given = service

    @cached_property
    def _service(self) -> Any:
        if self._given is not None:
            return self._given
        import qiskit_ibm_runtime

        # its name from 0.49 on, and the one before
        known = getattr(qiskit_ibm_runtime, "IBMQuantumComputeService", None)
        try:
            return (known or qiskit_ibm_runtime.QiskitRuntimeService)()
        except Exception as error:
            if is_transport_error(error):
                raise HardwareError(f"IBM cannot be reached: {without_secrets(error)}") from None
            raise AccountError(f"the IBM account is refused: {without_secrets(error)}") from None

    @cached_property
    def _backend(self) -> Any:
        try:
            # asked for only if it is wanted: without, the backend is the one that it always was
            options = {"use_fractional_gates": True} if self.fractional_gates else {}
            found = self._service.backend(self.name, **options)
            # its error rates are fetched here, where an error of the client library is told without secrets
            _ = found.target
            return found
        except QperovError:
            raise
        except Exception as error:
            if is_transport_error(error):
                raise HardwareError(f"IBM cannot be reached: {without_secrets(error)}") from None
            raise HardwareError(f"there is no backend {self.name!r} for you: {without_secrets(error)}") from None

    def backend(self, n_qubits: int) -> BackendV2:
        """What circuits are compiled for."""
        return self._backend

    @contextmanager
    def open(self, mode: str) -> Iterator[Callable[[Request], IBMJob]]:
        """Submit requests one by one ("job"), or together in a "batch" or "session" that is closed at the end."""
        if mode == "job":
            yield lambda request: IBMJob(run_sampler(self._backend, request, remote_options(request)))
            return
        from qiskit_ibm_runtime import Batch, Session

        together = (Batch if mode == "batch" else Session)(backend=self._backend)
        try:
            yield lambda request: IBMJob(run_sampler(together, request, remote_options(request)))
        finally:
            # closing takes no more jobs; those that it has go on. A session that stays open is paid
            repeat(together.close)

    def dry_run(self, request: Request) -> IBMJob:
        """The job of a request without a machine: checked and timed at the service, with results drawn at random.

        Raises
        ------
        HardwareError
            This release of qiskit-ibm-runtime has no dry run.
        """
        return IBMJob(run_sampler(self._backend, request, remote_options(request), dry_run=True))

    def find(self, job_id: str | None = None, tag: str | None = None) -> list[IBMJob]:
        """The job of that id, or all jobs of that tag, oldest first."""
        if job_id is not None:
            from qiskit_ibm_runtime.exceptions import RuntimeJobNotFound

            try:
                return [IBMJob(self._service.job(job_id))]
            except RuntimeJobNotFound:
                return []
        # without its instance the service would look only into the one that happens to be active
        instance = getattr(self._backend, "_instance", None)
        found = self._service.jobs(job_tags=[tag], limit=None, descending=False, instance=instance)
        return [IBMJob(job) for job in found]

    def close(self) -> None:
        """Nothing is held open."""


class IBMJob:
    """A job of qiskit-ibm-runtime."""

    def __init__(self, job: Any) -> None:
        self._job = job

    def job_id(self) -> str:
        """Its name at IBM."""
        return self._job.job_id()

    def status(self) -> str:
        """QUEUED, RUNNING, DONE, ERROR, …"""
        found = self._job.status()
        return str(getattr(found, "name", found))

    def result(self) -> list[np.ndarray]:
        """Outcomes of each circuit, shape (n_bindings, shots, n_bytes)."""
        return outcomes(self._job.result())

    def error_message(self) -> str:
        """Why it failed."""
        return str(self._job.error_message() or "")

    def cancel(self) -> None:
        """Stop it; one that has ended is left alone."""
        from qiskit_ibm_runtime.exceptions import RuntimeInvalidStateError

        try:
            self._job.cancel()
        except RuntimeInvalidStateError:
            return

    def usage(self) -> float:
        """QPU seconds that are charged."""
        return float(self._job.usage() or 0.0)

    def estimated_seconds(self) -> float | None:
        """QPU seconds that the service expects."""
        return (getattr(self._job, "usage_estimation", None) or {}).get("quantum_seconds")
