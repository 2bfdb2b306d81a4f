"""The states of relaxations in the store: which crystal waits, which worker has it, what came out."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.store import Store
from qperov.datasets.structure_text import content_id, from_text, to_text
from qperov.errors import LostWorkerError, ReadingError, StoreError, UnfinishedRunError
from qperov.potentials.relaxation import Relaxation

#: A crystal whose workers vanished so often is given up: it may be what kills them.
MOST_ATTEMPTS = 5

_OF_DATASET = (
    "r.protocol = ? AND r.structure IN (SELECT m.structure FROM memberships m JOIN datasets d ON d.id = m.dataset"
    " WHERE d.name = ?)"
)


@dataclass(frozen=True, eq=False)
class Claim:
    """A crystal that a worker has taken."""

    key: int
    structure: Structure


@dataclass(frozen=True, eq=False)
class End:
    """How a relaxation ended: crystal, energy (eV per cell), longest force (eV/Å), greatest stress (GPa), and steps."""

    structure: Structure
    energy: float
    greatest_force: float
    greatest_stress: float | None
    steps: int
    converged: bool


@dataclass(frozen=True)
class RelaxationFailure:
    """A crystal that could not be relaxed, or not to the end."""

    id: str
    kind: str
    reason: str


@dataclass(frozen=True)
class FactoryCounts:
    """How far a dataset has come under a protocol, in different structures.

    Attributes
    ----------
    waiting, running, converged, unconverged, failed : int
    workers : int
        Tasks that hold a crystal.
    seconds_each : float or None
        Mean time of a relaxation so far.
    """

    waiting: int
    running: int
    converged: int
    unconverged: int
    failed: int
    workers: int
    seconds_each: float | None

    @property
    def done(self) -> int:
        """Crystals that need no more work."""
        return self.converged + self.unconverged + self.failed

    @property
    def total(self) -> int:
        """All crystals."""
        return self.done + self.waiting + self.running

    @property
    def seconds_left(self) -> float | None:
        """Estimate: mean time of a relaxation × crystals not done / workers; None before the first is done."""
        if self.seconds_each is None:
            return None
        return self.seconds_each * (self.total - self.done) / max(1, self.workers)

    @property
    def words(self) -> str:
        """What is done, and for how long still."""
        left = self.seconds_left
        if left is None:
            return "Relaxing"
        span = f"{left:.0f} s" if left < 90 else f"{left / 60:.0f} min" if left < 5400 else f"{left / 3600:.1f} h"
        return f"Relaxing, about {span} left, {self.workers} at work"


class RelaxationStates:
    """Relaxations of one dataset by one protocol.

    A worker takes crystals by ``claim`` in a transaction that no other can share, and gives the outcome by ``finish``
    or ``fail``. What a worker that was stopped had taken, ``resume`` lets wait again; what that worker still brings is
    refused, so that each crystal has one outcome.

    Parameters
    ----------
    store : Store
    dataset : str
    protocol : str
        Id of the protocol.
    """

    def __init__(self, store: Store, dataset: str, protocol: str) -> None:
        self.store = store
        self.dataset = dataset
        self.protocol = protocol

    def enqueue(self, settings: dict[str, object]) -> int:
        """Let every crystal of the dataset wait that this protocol has not met; returns how many are new.

        Raises
        ------
        StoreError
            If there is no dataset of this name.
        """
        self.store.info(self.dataset)
        content = json.dumps(settings, sort_keys=True)
        with self.store.transaction():
            connection = self.store.connection
            connection.execute("INSERT OR IGNORE INTO protocols VALUES (?, ?)", (self.protocol, content))
            before = connection.execute("SELECT COUNT(*) FROM relaxations").fetchone()[0]
            connection.execute(
                "INSERT OR IGNORE INTO relaxations (protocol, structure, state) SELECT ?, m.structure, 'waiting'"
                " FROM memberships m JOIN datasets d ON d.id = m.dataset WHERE d.name = ? ORDER BY m.position",
                (self.protocol, self.dataset),
            )
            return connection.execute("SELECT COUNT(*) FROM relaxations").fetchone()[0] - before

    def resume(self) -> None:
        """Let wait again what workers had taken that are gone; give up what was lost ``MOST_ATTEMPTS`` times."""
        with self.store.transaction():
            self.store.connection.execute(
                "UPDATE relaxations AS r SET state = 'failed', ended = ?, kind = ?, reason ="
                " 'taken ' || attempts || ' times, and each time its process vanished: out of memory, or killed?'"
                f" WHERE {_OF_DATASET} AND r.state = 'running' AND r.attempts >= ?",
                (time.time(), LostWorkerError.__name__, self.protocol, self.dataset, MOST_ATTEMPTS),
            )
            self.store.connection.execute(
                f"UPDATE relaxations AS r SET state = 'waiting', worker = NULL WHERE {_OF_DATASET}"
                " AND r.state = 'running'",
                (self.protocol, self.dataset),
            )

    def claim(self, worker: str, most: int = 1) -> list[Claim]:
        """Take up to ``most`` crystals that wait."""
        with self.store.transaction():
            rows = self.store.connection.execute(
                f"SELECT r.id, s.content FROM relaxations r JOIN structures s ON s.id = r.structure WHERE {_OF_DATASET}"
                " AND r.state = 'waiting' ORDER BY r.id LIMIT ?",
                (self.protocol, self.dataset, most),
            ).fetchall()
            self.store.connection.executemany(
                "UPDATE relaxations SET state = 'running', worker = ?, attempts = attempts + 1 WHERE id = ?",
                [(worker, key) for key, _ in rows],
            )
        return [Claim(key, from_text(content)) for key, content in rows]

    def finish(self, claim: Claim, worker: str, outcome: Relaxation) -> bool:
        """Keep an outcome; False if the claim was lost to another worker meanwhile, and nothing was kept."""
        relaxed = content_id(outcome.structure)
        values = (
            "converged" if outcome.converged else "unconverged",
            *(time.time(), outcome.seconds, relaxed, outcome.energy, outcome.greatest_force),
            *(outcome.greatest_stress, outcome.steps, claim.key, worker),
        )
        with self.store.transaction():
            connection = self.store.connection
            connection.execute(
                "INSERT OR IGNORE INTO structures VALUES (?, ?, ?, ?)",
                (relaxed, outcome.structure.formula, len(outcome.structure), to_text(outcome.structure)),
            )
            changed = connection.execute(
                "UPDATE relaxations SET state = ?, ended = ?, seconds = ?, relaxed = ?, energy = ?, greatest_force = ?,"
                " greatest_stress = ?, steps = ? WHERE id = ? AND worker = ? AND state = 'running'",
                values,
            )
            return changed.rowcount == 1

    def fail(self, claim: Claim, worker: str, error: Exception) -> bool:
        """Keep the reason of a failure; False if the claim was lost meanwhile."""
        with self.store.transaction():
            changed = self.store.connection.execute(
                "UPDATE relaxations SET state = 'failed', ended = ?, kind = ?, reason = ?"
                " WHERE id = ? AND worker = ? AND state = 'running'",
                (time.time(), type(error).__name__, str(error), claim.key, worker),
            )
            return changed.rowcount == 1

    def release(self, worker: str) -> None:
        """Let what the worker holds wait again: it stops before the end."""
        with self.store.transaction():
            self.store.connection.execute(
                "UPDATE relaxations SET state = 'waiting', worker = NULL, attempts = attempts - 1"
                " WHERE worker = ? AND state = 'running'",
                (worker,),
            )

    def retry(self) -> int:
        """Let what failed or did not converge wait again; returns how many."""
        with self.store.transaction():
            changed = self.store.connection.execute(
                "UPDATE relaxations AS r SET state = 'waiting', worker = NULL, attempts = 0, ended = NULL,"
                " seconds = NULL, relaxed = NULL, energy = NULL, greatest_force = NULL, greatest_stress = NULL,"
                f" steps = NULL, kind = NULL, reason = NULL WHERE {_OF_DATASET}"
                " AND r.state IN ('failed', 'unconverged')",
                (self.protocol, self.dataset),
            )
            return changed.rowcount

    def counts(self) -> FactoryCounts:
        """Counts, workers and the mean time so far."""
        connection, of = self.store.connection, (self.protocol, self.dataset)
        counts = dict(
            connection.execute(f"SELECT r.state, COUNT(*) FROM relaxations r WHERE {_OF_DATASET} GROUP BY r.state", of)
        )
        (workers,) = connection.execute(
            f"SELECT COUNT(DISTINCT r.worker) FROM relaxations r WHERE {_OF_DATASET} AND r.state = 'running'", of
        ).fetchone()
        (mean,) = connection.execute(f"SELECT AVG(r.seconds) FROM relaxations r WHERE {_OF_DATASET}", of).fetchone()
        return FactoryCounts(
            waiting=counts.get("waiting", 0),
            running=counts.get("running", 0),
            converged=counts.get("converged", 0),
            unconverged=counts.get("unconverged", 0),
            failed=counts.get("failed", 0),
            workers=workers,
            seconds_each=mean,
        )

    def failures(self) -> list[RelaxationFailure]:
        """Entries that failed or did not converge, in the order of the dataset, with the reason."""
        rows = self.store.connection.execute(
            "SELECT m.source, r.state, r.kind, r.reason, r.greatest_force, r.steps FROM relaxations r"
            " JOIN memberships m ON m.structure = r.structure JOIN datasets d ON d.id = m.dataset"
            " WHERE r.protocol = ? AND d.name = ? AND r.state IN ('failed', 'unconverged') ORDER BY m.position",
            (self.protocol, self.dataset),
        )
        return [
            RelaxationFailure(source, kind, reason)
            if state == "failed"
            else RelaxationFailure(source, "Unconverged", f"longest force {force:.3f} eV/Å after {steps} steps")
            for source, state, kind, reason, force, steps in rows
        ]

    def ends(self) -> dict[str, End]:
        """How the relaxation of each entry ended, converged or not, by id in the order of the dataset."""
        rows = self.store.connection.execute(
            "SELECT m.source, s.content, r.energy, r.greatest_force, r.greatest_stress, r.steps, r.state"
            " FROM relaxations r JOIN structures s ON s.id = r.relaxed"
            " JOIN memberships m ON m.structure = r.structure JOIN datasets d ON d.id = m.dataset"
            " WHERE r.protocol = ? AND d.name = ? ORDER BY m.position",
            (self.protocol, self.dataset),
        )
        return {
            source: End(from_text(content), energy, force, stress, steps, state == "converged")
            for source, content, energy, force, stress, steps, state in rows
        }

    def relaxed_dataset(self, name: str, provenance: str, *, cautions: Sequence[str] = ()) -> CrystalDataset:
        """The converged crystals as a dataset with their energies (eV per cell); all others are its issues.

        Groups are the symmetry classes of the crystals before relaxation: equivalent starts stay together, even if a
        tilt made them end differently.

        Raises
        ------
        StoreError
            If none is there yet.
        """
        ends = {source: end for source, end in self.ends().items() if end.converged}
        if not ends:
            raise StoreError(
                f"{self.store.path}: no crystal of {self.dataset!r} is relaxed by protocol {self.protocol}"
            )
        before = self.store.load(self.dataset)
        place = {source: i for i, source in enumerate(before.ids)}
        issues: list[ReadingError] = [
            UnfinishedRunError(failure.id, f"{failure.kind}: {failure.reason}") for failure in self.failures()
        ]
        return CrystalDataset(
            name=name,
            structures=tuple(end.structure for end in ends.values()),
            ids=tuple(ends),
            y=np.array([end.energy for end in ends.values()]),
            target="energy",
            unit="eV/cell",
            provenance=(provenance,) * len(ends),
            issues=tuple(issues),
            cautions=tuple(cautions),
            known_groups=before.groups[[place[source] for source in ends]],
        )
