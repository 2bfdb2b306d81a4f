"""Tables of the SQLite store, and how its file is opened."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from qperov.errors import StoreError

SCHEMA_VERSION = 2
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
#: What turns a store of the version before into this one.
_UPGRADES = {1: _VERSION_1, 2: _VERSION_2}


def open_store(path: Path) -> sqlite3.Connection:
    """Open the file, with tables made if it is new; statements outside a transaction commit by themselves.

    Raises
    ------
    StoreError
        If the file cannot be used as a store.
    """
    try:
        connection = sqlite3.connect(path, timeout=60.0, isolation_level=None)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: cannot be opened: {error}") from error
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("BEGIN IMMEDIATE")
        _prepare(connection, path)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.Error as error:
        connection.close()
        raise StoreError(f"{path}: not a store that can be used: {error}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables in a new file or an older store; refuse a file that is not ours or of an unknown version."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    if tables == 0:
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        _upgrade(connection, 0)
    elif application != _APPLICATION_ID:
        raise StoreError(f"{path}: an SQLite file of another program; choose another file for the store")
    elif 1 <= version < SCHEMA_VERSION:
        _upgrade(connection, version)
    elif version != SCHEMA_VERSION:
        cure = "upgrade qperov" if version > SCHEMA_VERSION else "import the data into a new file"
        raise StoreError(f"{path}: schema version {version}, but this qperov reads version {SCHEMA_VERSION}; {cure}")


def _upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Add the tables of the versions after this one."""
    for later in range(version + 1, SCHEMA_VERSION + 1):
        for statement in _UPGRADES[later].split(";"):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
