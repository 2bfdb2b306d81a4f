"""What the store knows of a dataset that was fetched: where from, under which licence, and how far it has come."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

from qperov.datasets.store import Store

_TABLE = """
CREATE TABLE IF NOT EXISTS fetches (
    dataset TEXT PRIMARY KEY, query TEXT NOT NULL, source TEXT NOT NULL, version TEXT NOT NULL, licence TEXT NOT NULL,
    begun TEXT NOT NULL, ended TEXT, next TEXT, pages INTEGER NOT NULL, repeated INTEGER NOT NULL
) STRICT
"""


@dataclass(frozen=True)
class FetchRecord:
    """A fetch, finished or not.

    Attributes
    ----------
    dataset : str
    query : str
        JSON of everything that decides what the service gives; no key is in it.
    source, version, licence : str
        Of the service, in words.
    begun : str
        Date, ISO 8601.
    ended : str or None
        Date; None while pages are missing.
    next : str or None
        Where the next page is.
    pages : int
        Pages that are in the store.
    repeated : int
        Entries that came more than once and were the same each time.
    """

    dataset: str
    query: str
    source: str
    version: str
    licence: str
    begun: str
    ended: str | None = None
    next: str | None = None
    pages: int = 0
    repeated: int = 0

    @property
    def complete(self) -> bool:
        """Whether the last page is there."""
        return self.ended is not None

    @property
    def sentence(self) -> str:
        """Source, version, dates and licence in words."""
        until = f" to {self.ended}" if self.ended not in (None, self.begun) else ""
        rest = "" if self.complete else ", not complete"
        return f"{self.source}, {self.version}, fetched {self.begun}{until}{rest}; {self.licence}"


def fetch_record(store: Store, dataset: str) -> FetchRecord | None:
    """The record of a dataset's fetch; None if the dataset was not fetched."""
    connection = store.connection
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'fetches'").fetchone() is None:
        return None
    columns = ", ".join(field.name for field in fields(FetchRecord))
    row = connection.execute(f"SELECT {columns} FROM fetches WHERE dataset = ?", (dataset,)).fetchone()
    return None if row is None else FetchRecord(*row)


def keep_record(store: Store, record: FetchRecord) -> None:
    """Write a record, in place of the one that the dataset has."""
    with store.transaction():
        store.connection.execute(_TABLE)
        marks = ", ".join("?" * len(fields(FetchRecord)))
        store.connection.execute(f"INSERT OR REPLACE INTO fetches VALUES ({marks})", astuple(record))
