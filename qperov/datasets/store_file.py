"""The SQLite file of the store: its tables, how older ones become these, and transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from qperov.errors import QperovError, StoreError

SCHEMA_VERSION = 4
_APPLICATION_ID = 0x71706572  # "qper"

# A source is the id that an entry has in its dataset: the same cell may have been calculated more than once, and each
# calculation keeps its own value.
_VERSION_1 = """
CREATE TABLE datasets (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, target TEXT, unit TEXT
) STRICT;
CREATE TABLE structures (
    id TEXT PRIMARY KEY, formula TEXT NOT NULL, n_sites INTEGER NOT NULL, content TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE dft_properties (
    id INTEGER PRIMARY KEY, structure TEXT NOT NULL REFERENCES structures (id), source TEXT NOT NULL,
    name TEXT NOT NULL, value REAL NOT NULL, unit TEXT, provenance TEXT NOT NULL,
    UNIQUE (structure, source, name, provenance)
) STRICT;
CREATE TABLE memberships (
    dataset INTEGER NOT NULL REFERENCES datasets (id), source TEXT NOT NULL, position INTEGER NOT NULL,
    structure TEXT NOT NULL REFERENCES structures (id), property INTEGER REFERENCES dft_properties (id),
    symmetry_class INTEGER, PRIMARY KEY (dataset, source), UNIQUE (dataset, position)
) STRICT;
CREATE TABLE predictions (
    structure TEXT NOT NULL REFERENCES structures (id), source TEXT NOT NULL, run TEXT NOT NULL, model TEXT NOT NULL,
    value REAL NOT NULL, unit TEXT, PRIMARY KEY (structure, source, run, model)
) STRICT;
CREATE TABLE issues (
    dataset INTEGER NOT NULL REFERENCES datasets (id), kind TEXT NOT NULL, path TEXT NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (dataset, kind, path, reason)
) STRICT;
"""
# A structure is relaxed once by a protocol, whatever datasets it is in. A lease is the time (seconds since 1970) up to
# which its worker has promised to be alive.
_VERSION_2 = """
CREATE TABLE protocols (id TEXT PRIMARY KEY, content TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE relaxations (
    id INTEGER PRIMARY KEY, protocol TEXT NOT NULL REFERENCES protocols (id),
    structure TEXT NOT NULL REFERENCES structures (id),
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'converged', 'unconverged', 'failed')),
    worker TEXT, lease REAL, attempts INTEGER NOT NULL DEFAULT 0, ended REAL, seconds REAL,
    relaxed TEXT REFERENCES structures (id), energy REAL, greatest_force REAL, greatest_stress REAL, steps INTEGER,
    kind TEXT, reason TEXT, UNIQUE (protocol, structure)
) STRICT;
"""
# Labels are of any origin, which their provenance tells: DFT, a potential, a database, a table. Version 2 forgot the
# cautions; those of relaxed crystals were the provenance of the labels.
_VERSION_3 = """
ALTER TABLE dft_properties RENAME TO labels;
ALTER TABLE memberships RENAME COLUMN property TO label;
ALTER TABLE memberships ADD COLUMN provenance TEXT;
UPDATE memberships SET provenance = NULLIF((SELECT provenance FROM labels WHERE id = label), '');
ALTER TABLE datasets ADD COLUMN labelled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE datasets ADD COLUMN cautions TEXT NOT NULL DEFAULT '[]';
ALTER TABLE datasets ADD COLUMN known_noise REAL;
UPDATE datasets SET labelled = target IS NOT NULL, cautions = (
    SELECT json_group_array(DISTINCT provenance || '.') FROM memberships WHERE dataset = datasets.id
    AND (provenance LIKE '%machine-learned potential, not DFT%' OR provenance LIKE '%calculator of ASE%')
);
CREATE TABLE IF NOT EXISTS fetches (
    dataset TEXT PRIMARY KEY, query TEXT NOT NULL, source TEXT NOT NULL, version TEXT NOT NULL, licence TEXT NOT NULL,
    begun TEXT NOT NULL, ended TEXT, next TEXT, pages INTEGER NOT NULL, repeated INTEGER NOT NULL
) STRICT;
"""
# Measured patterns: a scan is one of them in a dataset, its value a number, or a class. Sources are citations.
_VERSION_4 = """
ALTER TABLE datasets ADD COLUMN kind TEXT NOT NULL DEFAULT 'crystals';
ALTER TABLE datasets ADD COLUMN sources TEXT NOT NULL DEFAULT '[]';
CREATE TABLE patterns (
    id TEXT PRIMARY KEY, points INTEGER NOT NULL, wavelength REAL, geometry TEXT, content TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE scans (
    dataset INTEGER NOT NULL REFERENCES datasets (id), source TEXT NOT NULL, position INTEGER NOT NULL,
    pattern TEXT NOT NULL REFERENCES patterns (id), value ANY, known_group INTEGER, provenance TEXT,
    PRIMARY KEY (dataset, source), UNIQUE (dataset, position)
) STRICT;
"""
#: What turns a store of the version before into this one.
_UPGRADES = {1: _VERSION_1, 2: _VERSION_2, 3: _VERSION_3, 4: _VERSION_4}


class StoreFile:
    """A store's file, opened; use it in a ``with`` statement.

    Each write is one transaction: it happens entirely or not at all, also when the process is killed in between.
    Several processes may read while one writes (write-ahead log). A store of an older version is brought up to date
    where it is; one that cannot be written can still be read.

    Parameters
    ----------
    path : str or Path
        Created if it does not exist.

    Raises
    ------
    StoreError
        If the file is no SQLite file, belongs to another program, or has a newer schema version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.connection = sqlite3.connect(self.path, timeout=60.0, isolation_level=None)
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: cannot be opened: {error}") from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self.close()
            raise StoreError(f"{self.path}: not a store that can be used: {error}") from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        damage = "" if error is None or isinstance(error, QperovError) else self._damage()
        self.close()
        if damage:
            raise StoreError(f"{self.path}: the file is damaged ({damage}); restore a copy of it") from error

    def _damage(self) -> str:
        """What SQLite finds wrong with the file, or nothing."""
        try:
            (found,) = self.connection.execute("PRAGMA quick_check(1)").fetchone()
        except (sqlite3.OperationalError, sqlite3.ProgrammingError):
            return ""  # locked, or closed by the block itself
        except sqlite3.DatabaseError as error:
            return str(error)
        return "" if found == "ok" else str(found).splitlines()[0]

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One transaction that writes, undone if anything is raised within it.

        Raises
        ------
        StoreError
            If the file cannot be written.
        """
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise StoreError(f"{self.path}: cannot be written: {error}") from error
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException as error:
            if self.connection.in_transaction:  # a full disk has undone it already
                self.connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                remedy = ": make room, and call again" if error.sqlite_errorname == "SQLITE_FULL" else ""
                raise StoreError(f"{self.path}: nothing was written: {error}{remedy}") from error
            raise

    def _one(self, query: str, *values: object) -> tuple:
        return self.connection.execute(query, values).fetchone()

    def _prepare(self) -> None:
        """Make the tables of a new file, or those that an older store lacks."""
        try:
            version = self._version()
        except sqlite3.OperationalError as error:
            log = self.path.with_name(self.path.name + "-wal")
            if error.sqlite_errorname == "SQLITE_BUSY" or (log.exists() and log.stat().st_size):
                raise
            self.connection.close()  # in a folder that is not to be written there can be no write-ahead log
            self.connection = sqlite3.connect(f"{self.path.resolve().as_uri()}?immutable=1", uri=True)
            version = self._version()
        if version < SCHEMA_VERSION:
            with self.transaction():
                for later in range(self._version() + 1, SCHEMA_VERSION + 1):
                    for statement in _UPGRADES[later].split(";"):
                        self.connection.execute(statement)
                self.connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                self.connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA foreign_keys = ON")

    def _version(self) -> int:
        """Version of the tables; 0 in a new file. StoreError if they are not ours, or of an unknown version."""
        (tables,) = self._one("SELECT COUNT(*) FROM sqlite_master")
        if tables == 0:
            return 0
        (application,), (version,) = self._one("PRAGMA application_id"), self._one("PRAGMA user_version")
        if application != _APPLICATION_ID:
            raise StoreError(f"{self.path}: an SQLite file of another program; choose another file for the store")
        if not 1 <= version <= SCHEMA_VERSION:
            remedy = "upgrade qperov" if version > SCHEMA_VERSION else "import the data into a new file"
            raise StoreError(
                f"{self.path}: schema version {version}, but this qperov reads version {SCHEMA_VERSION}; {remedy}"
            )
        return version
