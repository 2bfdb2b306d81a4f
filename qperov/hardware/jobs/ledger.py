"""The ledger: what was planned, what was sent, what came back. It survives the death of the process at any moment.

An SQLite database in WAL mode. Before a job is sent, one transaction says that it is going to be; after the service has
answered, another one records its id. What is found between the two is healed by asking the service for the tag.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from qperov.errors import HardwareError
from qperov.hardware.jobs.counts import Counts
from qperov.hardware.plan.plan import Plan
from qperov.hardware.plan.plan_file import from_json, to_json

SCHEMA_VERSION = 2

SCHEMA = """
CREATE TABLE plans (
    plan_id TEXT PRIMARY KEY, created TEXT NOT NULL, kind TEXT NOT NULL, backend TEXT NOT NULL, calibrated TEXT,
    circuit_hash TEXT NOT NULL, parameter_order TEXT NOT NULL, seconds REAL NOT NULL, content TEXT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX plans_by_content ON plans (content);
CREATE TABLE chunks (
    plan_id TEXT NOT NULL REFERENCES plans, number INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL,
    counts BLOB, readout BLOB, collected TEXT, PRIMARY KEY (plan_id, number)
);
CREATE TABLE attempts (
    tag TEXT PRIMARY KEY, plan_id TEXT NOT NULL, number INTEGER NOT NULL, attempt INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('submitting', 'submitted', 'collected', 'failed', 'cancelled', 'lost')),
    job_id TEXT UNIQUE, intended TEXT NOT NULL, submitted TEXT, ended TEXT, seconds REAL, error TEXT,
    FOREIGN KEY (plan_id, number) REFERENCES chunks, UNIQUE (plan_id, number, attempt)
);
"""


@dataclass(frozen=True)
class Attempt:
    """One try to get a chunk measured.

    Attributes
    ----------
    state : str
        "planned" (nothing was sent), "submitting" (it was to be sent, and no answer is recorded), "submitted",
        "collected", "failed", "cancelled", or "lost" (the service does not know the job any more).
    """

    tag: str
    number: int
    attempt: int
    state: str
    job_id: str | None
    intended: str
    error: str | None


class Ledger:
    """The ledger in a file, or in memory.

    Parameters
    ----------
    path : str or Path
        ":memory:" for one that dies with the process.
    read_only : bool
        Look at a file that is there, and change nothing.

    Raises
    ------
    HardwareError
        The file is no ledger, one of another version, or damaged.
    """

    def __init__(self, path: str | Path = ":memory:", read_only: bool = False) -> None:
        self.path = str(path)
        try:
            if read_only:
                address = f"{Path(path).resolve().as_uri()}?mode=ro"
                self._connection = sqlite3.connect(address, timeout=30, isolation_level=None, uri=True)
            else:
                self._connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
                self._set_up()
            # what is not UTF-8 is told by the checksum of a plan, not by a traceback
            self._connection.text_factory = partial(str, encoding="utf-8", errors="backslashreplace")
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            (damage,) = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
            orphans = self._connection.execute("PRAGMA foreign_key_check").fetchall()
        except sqlite3.Error as error:
            raise HardwareError(f"{self.path} is no ledger of qperov, or cannot be opened: {error}") from None
        if version != SCHEMA_VERSION:
            remedy = "upgrade qperov" if version > SCHEMA_VERSION else "name another file with --ledger"
            message = f"the ledger {self.path} is of version {version}, this qperov reads {SCHEMA_VERSION}: {remedy}"
            raise HardwareError(message)
        if damage != "ok" or orphans:
            told = damage.splitlines()[0] if damage != "ok" else "rows that belong to no plan"
            raise HardwareError(f"the ledger {self.path} is damaged ({told}): restore a copy of it")

    def _set_up(self) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        # a job that is paid must be on the disk before it is sent, not merely in the system's cache
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        with self._transaction():
            if self._connection.execute("PRAGMA user_version").fetchone() == (0,):
                for statement in filter(str.strip, SCHEMA.split(";")):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- plans ----------------------------------------------------------------------------------

    def add(self, plan: Plan) -> None:
        """Enter a plan with all its chunks.

        Of one that is there already its jobs are kept; its form, its labels and its budget may have changed.
        """
        with self._transaction():
            self._connection.execute(
                "INSERT INTO plans VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (plan_id) DO UPDATE SET document = excluded.document",
                (
                    plan.plan_id,
                    plan.created,
                    plan.kind,
                    plan.backend.name,
                    plan.calibrated,
                    plan.circuit_hash,
                    " ".join(plan.order),
                    plan.cost.seconds,
                    plan.content,
                    to_json(plan),
                ),
            )
            self._connection.executemany(
                "INSERT OR IGNORE INTO chunks (plan_id, number, start, stop) VALUES (?, ?, ?, ?)",
                [(plan.plan_id, number, *chunk) for number, chunk in enumerate(plan.chunks)],
            )

    def plan(self, plan_id: str) -> Plan:
        """A plan by its id, or by the beginning of it.

        Raises
        ------
        HardwareError
            There is none, or more than one.
        """
        found = [row for row in self.plans() if row.startswith(plan_id)]
        if not found:
            raise HardwareError(f"{plan_id!r} is no plan file, and no plan in {self.path} has an id that begins so")
        if len(found) > 1:
            raise HardwareError(f"{len(found)} plans in {self.path} begin with {plan_id!r}: give more of the id")
        rows = self._connection.execute("SELECT document FROM plans WHERE plan_id = ?", (found[0],))
        return from_json(rows.fetchone()[0])

    def find_plan(self, content: str) -> Plan | None:
        """The oldest plan that measures the same, whatever the backend's calibration was when it was compiled."""
        rows = self._connection.execute(
            "SELECT document FROM plans WHERE content = ? ORDER BY created, plan_id LIMIT 1", (content,)
        ).fetchone()
        return None if rows is None else from_json(rows[0])

    def plans(self) -> list[str]:
        """Ids of all plans, oldest first."""
        return [row[0] for row in self._connection.execute("SELECT plan_id FROM plans ORDER BY created, plan_id")]

    # --- attempts -------------------------------------------------------------------------------

    def attempts(self, plan_id: str) -> list[Attempt]:
        """The latest try of each chunk, in order."""
        rows = self._connection.execute(
            "SELECT tag, chunks.number, attempt, state, job_id, intended, error FROM chunks LEFT JOIN attempts "
            "ON attempts.plan_id = chunks.plan_id AND attempts.number = chunks.number AND attempt = "
            "(SELECT max(attempt) FROM attempts AS all_of_it WHERE all_of_it.plan_id = chunks.plan_id "
            "AND all_of_it.number = chunks.number) WHERE chunks.plan_id = ? ORDER BY chunks.number",
            (plan_id,),
        )
        return [
            Attempt(tag or "", number, attempt or 0, state or "planned", job_id, intended or "", error)
            for tag, number, attempt, state, job_id, intended, error in rows
        ]

    def count_attempts(self, plan_id: str, number: int) -> int:
        """How often a chunk was sent, or was going to be."""
        rows = self._connection.execute(
            "SELECT count(*) FROM attempts WHERE plan_id = ? AND number = ?", (plan_id, number)
        )
        return rows.fetchone()[0]

    def record_intent(self, plan: Plan, number: int, attempt: int) -> None:
        """Say that a job is going to be sent, now: the transaction before; once more before each repetition."""
        with self._transaction():
            self._connection.execute(
                "INSERT INTO attempts (tag, plan_id, number, attempt, state, intended) "
                "VALUES (?, ?, ?, ?, 'submitting', ?) ON CONFLICT (tag) DO UPDATE SET intended = excluded.intended",
                (plan.tag(number, attempt), plan.plan_id, number, attempt, _now()),
            )

    def record_sent(self, tag: str, job_id: str) -> None:
        """Record the id that the service gave to a job: the transaction after."""
        self._change(tag, state="submitted", job_id=job_id, submitted=_now())

    def record_end(self, tag: str, state: str, error: str | None = None, seconds: float | None = None) -> None:
        """Record that a job failed, was cancelled or was lost; not of one that another process has collected."""
        self._change(tag, state=state, error=error, seconds=seconds, ended=_now())

    def record_found(self, tag: str) -> None:
        """Record that the service knows a job that was lost."""
        self._change(tag, state="submitted", error=None, ended=None)

    def seconds_spent(self, plan_id: str, number: int, attempt: int, estimate: float) -> float:
        """Seconds that the tries of a chunk before a given one were charged; an estimate where that is not known."""
        rows = self._connection.execute(
            "SELECT coalesce(sum(coalesce(seconds, ?)), 0) FROM attempts "
            "WHERE plan_id = ? AND number = ? AND attempt < ?",
            (estimate, plan_id, number, attempt),
        )
        return float(rows.fetchone()[0])

    def record_collected(self, tag: str, counts: Counts, readout: Counts | None, seconds: float | None = None) -> None:
        """Store the counts of a job together with the news that it is done."""
        with self._transaction():
            self._connection.execute(
                "UPDATE chunks SET counts = ?, readout = ?, collected = ? WHERE (plan_id, number) = "
                "(SELECT plan_id, number FROM attempts WHERE tag = ?)",
                (counts.to_bytes(), None if readout is None else readout.to_bytes(), _now(), tag),
            )
            self._connection.execute(
                "UPDATE attempts SET state = 'collected', seconds = ?, ended = ?, error = NULL WHERE tag = ?",
                (seconds, _now(), tag),
            )

    def counts(self, plan_id: str) -> list[tuple[int, int, Counts | None, Counts | None]]:
        """Start, stop, counts and readout of each chunk, in order; None for what is not there yet."""
        rows = self._connection.execute(
            "SELECT start, stop, counts, readout FROM chunks WHERE plan_id = ? ORDER BY number", (plan_id,)
        )
        return [(start, stop, _counts(counts), _counts(readout)) for start, stop, counts, readout in rows]

    def seconds_charged(self, plan_id: str) -> float:
        """QPU seconds that the service has charged so far."""
        rows = self._connection.execute("SELECT coalesce(sum(seconds), 0) FROM attempts WHERE plan_id = ?", (plan_id,))
        return float(rows.fetchone()[0])

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Only one process at a time may submit from a ledger; the lock falls with the process that holds it.

        Raises
        ------
        HardwareError
            Another process is submitting.
        """
        if self.path == ":memory:":
            yield
            return
        lock = sqlite3.connect(f"{self.path}.lock", timeout=0, isolation_level=None)
        try:
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:
                raise HardwareError(f"another process is submitting from {self.path}: let it finish first") from None
            yield
        finally:
            lock.close()

    # --- inside ---------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:  # a full disk has undone it already
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _change(self, tag: str, **values: Any) -> None:
        with self._transaction():
            columns = ", ".join(f"{name} = ?" for name in values)
            self._connection.execute(
                f"UPDATE attempts SET {columns} WHERE tag = ? AND state != 'collected'", (*values.values(), tag)
            )


def _counts(data: bytes | None) -> Counts | None:
    try:
        return None if data is None else Counts.from_bytes(data)
    except (ValueError, KeyError, TypeError, OSError, BadZipFile, zlib.error) as error:
        raise HardwareError(f"counts in the ledger are damaged ({error}): restore a copy of it") from None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
