"""The label factory: relaxes every crystal of a stored dataset, by several processes, through kills and failures."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.store import Store
from qperov.potentials.calculators import Potential, open_potential
from qperov.potentials.protocols import Protocol
from qperov.potentials.queue import Failure, Outcome, Progress, RelaxationStates
from qperov.potentials.relaxation import Relaxation, provenance, relax_together

#: Seconds for which a worker promises to live; it renews the promise three times as often.
LEASE = 60.0
#: Seconds between two looks at the progress of other processes.
LOOK = 1.0

Watch = Callable[[Progress], None]


@dataclass(frozen=True)
class FactoryReport:
    """What the factory did, and what it holds.

    Attributes
    ----------
    protocol_id : str
        Settings of the protocol and version of the potential, hashed.
    provenance : str
        What every label says of itself.
    progress : Progress
    failures : tuple of Failure
        Every entry that failed or did not converge.
    """

    protocol_id: str
    provenance: str
    progress: Progress
    failures: tuple[Failure, ...]


def label_dataset(
    store: str | Path,
    dataset: str,
    protocol: Protocol,
    *,
    potential: str | Potential | Any | None = None,
    jobs: int = 1,
    batch: int = 1,
    lease: float = LEASE,
    retry: bool = False,
    progress: Watch | None = None,
) -> FactoryReport:
    """Relax every crystal of a stored dataset that this protocol has not relaxed yet.

    It may be killed at any moment and called again; several calls may work on one store at once. A structure that
    stands in the dataset twice, or in another dataset under the same protocol, is relaxed once.

    Parameters
    ----------
    store : str or Path
        File of the store, on a disk of this machine.
    dataset : str
    protocol : Protocol
    potential : str, Potential or ase Calculator, optional
        Instead of the protocol's; an object is only for ``jobs=1``.
    jobs : int
        Processes; −1 for all cores.
    batch : int
        Crystals that a process relaxes side by side, which pays on a GPU.
    lease : float
        Seconds after which the crystal of a killed process is free again.
    retry : bool
        Also what failed or did not converge before.
    progress : callable, optional
        Called with a ``Progress`` after each crystal, or every second with several processes.

    Raises
    ------
    StoreError
        If there is no such dataset.
    MissingDependencyError
        If the potential is not installed.
    """
    if lease <= 0 or batch < 1:
        raise ValueError("lease and batch must be positive")
    if jobs != 1 and not isinstance(potential, str | None):
        raise ValueError("several processes open the potential by its name; give the name, or jobs=1")
    named = protocol.potential if potential is None else potential
    opened = open_potential(named)
    key = protocol.id(opened.label)
    settings = {"protocol": json.loads(protocol.to_json()), "potential": opened.label}
    with Store(store) as file:
        states = RelaxationStates(file, dataset, key)
        states.enqueue(settings)
        if retry:
            states.retry()
        if jobs == 1:
            _work(file, states, protocol, opened, batch, lease, progress)
        else:
            with _watching(store, dataset, key, progress):
                Parallel(n_jobs=jobs)(
                    delayed(_work_alone)(str(store), dataset, key, protocol, named, batch, lease)
                    for _ in range(_processes(jobs))
                )
        return FactoryReport(key, provenance(protocol, opened), states.progress(), tuple(states.failures()))


def relaxed_dataset(store: str | Path, dataset: str, report: FactoryReport, name: str | None = None) -> CrystalDataset:
    """The converged crystals of a dataset with their energies, as the factory's report describes them.

    Raises
    ------
    StoreError
        If none has converged.
    """
    with Store(store) as file:
        states = RelaxationStates(file, dataset, report.protocol_id)
        return states.relaxed(name or f"{dataset} relaxed", report.provenance, cautions=(report.provenance + ".",))


def _processes(jobs: int) -> int:
    return jobs if jobs > 0 else max(1, (os.cpu_count() or 1) + 1 + jobs)


def _work_alone(
    store: str, dataset: str, key: str, protocol: Protocol, potential: str, batch: int, lease: float
) -> None:
    """A worker in a process of its own, which stops when the process that started it is gone."""
    parent = os.getppid()

    def orphaned(_: Progress) -> bool:
        return os.getppid() != parent

    with Store(store) as file:
        _work(file, RelaxationStates(file, dataset, key), protocol, open_potential(potential), batch, lease, orphaned)


def _work(
    file: Store,
    states: RelaxationStates,
    protocol: Protocol,
    potential: Potential,
    batch: int,
    lease: float,
    watch: Callable[[Progress], object] | None,
) -> None:
    """Take crystals and relax them until none waits and none is held by a worker that may be dead.

    ``watch`` sees the progress after each crystal; if it returns True, the work stops.
    """
    worker = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
    try:
        with _alive(file.path, states, worker, lease):
            while True:
                claims = states.claim(worker, lease, batch)
                if claims:
                    outcomes = relax_together([claim.structure for claim in claims], protocol, potential)
                    for claim, outcome in zip(claims, outcomes, strict=True):
                        if isinstance(outcome, Relaxation):
                            states.finish(claim, worker, _outcome(outcome))
                        else:
                            states.fail(claim, worker, outcome)
                if watch is not None and watch(states.progress()) is True:
                    return
                if not claims:
                    expiry = states.next_expiry()
                    if expiry is None:
                        return
                    # others are at work: if one of them dies, its crystal is still to be done
                    time.sleep(min(LOOK, max(0.05, expiry - states.clock())))
    finally:
        states.release(worker)


def _outcome(relaxation: Relaxation) -> Outcome:
    return Outcome(
        structure=relaxation.structure,
        energy=relaxation.energy,
        greatest_force=relaxation.greatest_force,
        greatest_stress=relaxation.greatest_stress,
        steps=relaxation.steps,
        converged=relaxation.converged,
        seconds=relaxation.seconds,
    )


@contextmanager
def _alive(path: Path, states: RelaxationStates, worker: str, lease: float) -> Iterator[None]:
    """Renew the worker's promise from a thread of its own while crystals are relaxed."""
    over = threading.Event()

    def renew() -> None:
        with Store(path) as own:  # a connection belongs to the thread that opened it
            mine = RelaxationStates(own, states.dataset, states.protocol, states.clock)
            while not over.wait(lease / 3):
                mine.renew(worker, lease)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _watching(store: str | Path, dataset: str, key: str, progress: Watch | None) -> Iterator[None]:
    """Tell the progress of all processes every second."""
    over = threading.Event()

    def look() -> None:
        assert progress is not None
        with Store(store) as own:
            states = RelaxationStates(own, dataset, key)
            while not over.wait(LOOK):
                progress(states.progress())
            progress(states.progress())

    if progress is None:
        yield
        return
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
