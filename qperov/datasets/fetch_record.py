"""What the store knows of a dataset that was fetched: where from, under which licence, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass


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
