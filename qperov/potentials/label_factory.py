"""The label factory: relaxes every crystal of a stored dataset, by several processes, through kills and failures."""

from __future__ import annotations

import json
import os
import uuid
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from joblib import Parallel, delayed

from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.store import Store
from qperov.errors import LostWorkerError, StoreError
from qperov.evaluation.progress import Progress, callback_or_bar
from qperov.potentials.calculators import Potential, open_potential
from qperov.potentials.protocols import Protocol
from qperov.potentials.queue import MOST_ATTEMPTS, FactoryCounts, RelaxationFailure, RelaxationStates
from qperov.potentials.relaxation import Relaxation, provenance, relax_together


@dataclass(frozen=True)
class FactoryReport:
    """What the factory did, and what it holds.

    Attributes
    ----------
    protocol_id : str
        Settings of the protocol and version of the potential, hashed.
    provenance : str
        What every label says of itself.
    counts : FactoryCounts
    failures : tuple of RelaxationFailure
        Every entry that failed or did not converge.
    """

    protocol_id: str
    provenance: str
    counts: FactoryCounts
    failures: tuple[RelaxationFailure, ...]


def label_dataset(
    store: str | Path,
    dataset: str,
    protocol: Protocol,
    *,
    potential: str | Potential | Any | None = None,
    n_jobs: int = 1,
    batch: int = 1,
    retry: bool = False,
    progress: Progress | bool | None = None,
) -> FactoryReport:
    """Relax every crystal of a stored dataset that this protocol has not relaxed yet.

    It may be killed at any moment and called again. A structure that stands in the dataset twice, or in another dataset
    under the same protocol, is relaxed once.

    Parameters
    ----------
    store : str or Path
        File of the store, on a disk of this machine.
    dataset : str
    protocol : Protocol
    potential : str, Potential or ase Calculator, optional
        Instead of the protocol's; an object is only for ``n_jobs=1``.
    n_jobs : int
        Processes; −1 for all cores.
    batch : int
        Crystals that a process relaxes side by side, which pays on a GPU.
    retry : bool
        Also what failed or did not converge before.
    progress : Progress or bool, optional
        Called after each batch; True for a bar, which is the default at a prompt and in a notebook.

    Raises
    ------
    StoreError
        If there is no such dataset, or another call works on the store.
    LostWorkerError
        If one of several processes vanishes; the same call goes on, and gives a crystal up that was lost too often.
    MissingDependencyError
        If the potential is not installed.
    """
    if batch < 1:
        raise ValueError("batch must be positive")
    if n_jobs != 1 and not isinstance(potential, str | None):
        raise ValueError("several processes open the potential by its name; give the name, or n_jobs=1")
    named = protocol.potential if potential is None else potential
    opened = open_potential(named)
    key = protocol.id(opened.label)
    settings = {"protocol": json.loads(protocol.to_json()), "potential": opened.label}
    path = Path(store)
    try:
        # the system releases it when the process dies, so that what is in work then was left by a call that is gone
        with FileLock(path.with_name(f"{path.name}.lock"), timeout=0), Store(path) as file:
            states = RelaxationStates(file, dataset, key)
            states.enqueue(settings)
            states.resume()
            if retry:
                states.retry()
            task = delayed(_relax_next)(path, dataset, key, protocol, opened if n_jobs == 1 else named, batch)
            tasks = [task] * -(-states.counts().waiting // batch)
            with callback_or_bar(progress, "Relaxing") as told:
                for _ in Parallel(n_jobs=n_jobs, return_as="generator_unordered")(tasks):
                    if told is not None:
                        counts = states.counts()
                        told(counts.done, counts.total, counts.words)
            return FactoryReport(key, provenance(protocol, opened), states.counts(), tuple(states.failures()))
    except Timeout:
        raise StoreError(f"{path}: another call relaxes crystals of this store; wait for it to end") from None
    except BrokenProcessPool as error:
        raise LostWorkerError(
            "a process vanished while it relaxed a crystal: out of memory, or killed? The same call goes on; a crystal "
            f"that is lost {MOST_ATTEMPTS} times is given up"
        ) from error


def relaxed_dataset(store: str | Path, dataset: str, report: FactoryReport, name: str | None = None) -> CrystalDataset:
    """The converged crystals of a dataset with their energies, as the factory's report describes them.

    Raises
    ------
    StoreError
        If none has converged.
    """
    with Store(store) as file:
        states = RelaxationStates(file, dataset, report.protocol_id)
        cautions = (f"{report.provenance}.",)
        return states.relaxed_dataset(name or f"{dataset} relaxed", report.provenance, cautions=cautions)


def _relax_next(
    store: Path, dataset: str, key: str, protocol: Protocol, potential: str | Potential, batch: int
) -> None:
    """Relax the next crystals that wait, and keep what comes out."""
    opened = potential if isinstance(potential, Potential) else _open_once(potential)
    worker = f"{os.getpid()}:{uuid.uuid4().hex[:12]}"
    with Store(store) as file:
        states = RelaxationStates(file, dataset, key)
        claims = states.claim(worker, batch)
        try:
            outcomes = relax_together([claim.structure for claim in claims], protocol, opened)
            for claim, outcome in zip(claims, outcomes, strict=True):
                if isinstance(outcome, Relaxation):
                    states.finish(claim, worker, outcome)
                else:
                    states.fail(claim, worker, outcome)
        finally:
            states.release(worker)


#: Loads a potential once in each process.
_open_once = cache(open_potential)
