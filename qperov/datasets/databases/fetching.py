"""Fetches crystals from a database into the store, page by page, and goes on where it stopped."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pymatgen.core import Structure

from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.fetch_record import FetchRecord
from qperov.datasets.names import check_name
from qperov.datasets.store import Store
from qperov.datasets.structure_text import content_id
from qperov.errors import (
    DuplicateIdError,
    EmptyDatasetError,
    FetchError,
    InvalidLabelError,
    MissingLabelError,
    ReadingError,
    StoreError,
)
from qperov.evaluation.progress import Progress

#: A call that meets so many pages in a row without an entry, so many pages, or takes so long, stops.
MOST_EMPTY_PAGES = 10
MOST_PAGES = 100_000
MOST_SECONDS = 24 * 3600.0


@dataclass(frozen=True, eq=False)
class FetchedCrystal:
    """One crystal as a database gave it, with its target if one was asked for."""

    id: str
    structure: Structure
    value: float | None = None


@dataclass(frozen=True, eq=False)
class Page:
    """Part of what a database has.

    Attributes
    ----------
    items : tuple of FetchedCrystal or ReadingError
        Crystals, and the reasons for which others cannot be had.
    next : str or None
        What to ask for next; None at the end.
    total : int or None
        Entries on all pages, where the database tells.
    """

    items: tuple[FetchedCrystal | ReadingError, ...]
    next: str | None
    total: int | None = None


@dataclass(frozen=True)
class About:
    """What a database says of itself, in words, and the unit of the target."""

    source: str
    version: str
    licence: str
    unit: str | None = None


class Database(Protocol):
    """Where crystals come from."""

    @property
    def target(self) -> str | None:
        """Name of the property that is fetched with each crystal."""

    def query(self) -> dict[str, Any]:
        """Everything that decides what is given; as JSON in the record, so never with a key."""

    def about(self) -> About:
        """Source, version, licence and unit."""

    def page(self, token: str | None) -> Page:
        """The page of a token that the page before gave; the first for None."""


@dataclass(frozen=True)
class FetchReport:
    """What a fetch did.

    Attributes
    ----------
    record : FetchRecord
    added : int
        Crystals that are new in the store.
    structures : int
        Crystals of the dataset, all in all.
    issues : tuple of ReadingError
        What could not be used, this time.
    """

    record: FetchRecord
    added: int
    structures: int
    issues: tuple[ReadingError, ...]


def fetch(
    database: Database,
    store: str | Path,
    name: str,
    *,
    most: int | None = None,
    restart: bool = False,
    strict: bool = False,
    progress: Progress | None = None,
) -> FetchReport:
    """Put what a database has into the store as a dataset.

    Each page is in the store, with the place of the next, before that is asked for: a fetch that was stopped goes on
    with the next page when it is called again. Entries that cannot be used are the dataset's issues.

    Parameters
    ----------
    database : Database
    store : str or Path
        File of the store.
    name : str
        Of the dataset.
    most : int, optional
        Stop when the dataset has so many crystals; a later call may go on.
    restart : bool
        Ask for all pages again, also of a fetch that is complete: entries that are new are added.
    strict : bool
        Raise the first issue; its page is not kept.
    progress : Progress, optional
        Called after each page with the number of entries that came, and of all where the database tells.

    Raises
    ------
    FetchError
        If the database gives no answer, refuses, goes round in circles, or comes to no end (``MOST_EMPTY_PAGES``,
        ``MOST_PAGES``, ``MOST_SECONDS``); what came is kept.
    StoreError
        If the name is taken, or a fetch of this name asked for something else.
    EmptyDatasetError
        If there is nothing, or nothing usable.
    ReadingError
        With ``strict``, at the first problem.
    """
    check_name(name)
    if most is not None and most < 1:
        raise ValueError("most must be positive")
    query = json.dumps(database.query(), sort_keys=True)
    with Store(store) as opened:
        record = _earlier(opened, name, query)
        if record is not None and record.complete and not restart:
            return FetchReport(record, 0, opened.info(name).structures, ())
        about = database.about()
        if record is None or restart:
            record = FetchRecord(name, query, about.source, about.version, about.licence, _today())
            opened.keep_fetch_record(record)
        return _Fetch(opened, database, about, record, strict, progress).run(most)


def _earlier(store: Store, name: str, query: str) -> FetchRecord | None:
    record = store.fetch_record(name)
    if record is None and name in store.names():
        raise StoreError(f"{store.path}: {name!r} is a dataset that was not fetched; choose another name")
    if record is not None and record.query != query:
        raise StoreError(
            f"{store.path}: {name!r} was fetched by another query, {record.query}; choose another name for {query}"
        )
    return record


class _Fetch:
    """A fetch under way."""

    def __init__(
        self,
        store: Store,
        database: Database,
        about: About,
        record: FetchRecord,
        strict: bool,
        progress: Progress | None,
    ) -> None:
        self.store = store
        self.database = database
        self.about = about
        self.record = record
        self.strict = strict
        self.progress = progress
        self.known = store.entries(record.dataset)
        self.issues: list[ReadingError] = []
        self.added = 0

    def run(self, most: int | None) -> FetchReport:
        seen = {self.record.next}
        came = len(self.known)
        begun, pages, empty = time.monotonic(), 0, 0
        while not self.record.complete and (most is None or len(self.known) < most):
            page = self.database.page(self.record.next)
            cut = self._keep(page, most)
            came += len(page.items)
            if self.progress is not None:
                self.progress(came, page.total, f"page {self.record.pages + 1}")
            if cut:
                break  # the record still points to this page, the rest of which another call may want
            if page.next is not None and page.next in seen:
                raise FetchError(f"{self.about.source}: its pages go round in circles, at {page.next[:300]}")
            seen.add(page.next)
            ended = _today() if page.next is None else None
            self.record = replace(self.record, next=page.next, pages=self.record.pages + 1, ended=ended)
            self.store.keep_fetch_record(self.record)
            pages, empty = pages + 1, 0 if page.items else empty + 1
            if not self.record.complete:
                self._check_limits(pages, empty, time.monotonic() - begun)
        if self.record.complete and not self.known:
            first = f"; the first of {len(self.issues)} problems: {self.issues[0]}" if self.issues else ""
            raise EmptyDatasetError(f"{self.about.source}: nothing usable for {self.record.query}{first}")
        return FetchReport(self.record, self.added, len(self.known), tuple(self.issues))

    def _check_limits(self, pages: int, empty: int, seconds: float) -> None:
        """Refuse to go on for ever."""
        if empty >= MOST_EMPTY_PAGES:
            words = f"{empty} pages in a row without an entry, and still no end"
        elif pages >= MOST_PAGES or seconds >= MOST_SECONDS:
            words = f"not at an end after {pages} pages and {seconds / 3600:.1f} hours"
        else:
            return
        raise FetchError(f"{self.about.source}: {words}; {len(self.known)} crystals are kept, the same call goes on")

    def _keep(self, page: Page, most: int | None) -> bool:
        """Put a page into the store; whether it was cut short, since that made enough crystals."""
        kept: list[FetchedCrystal] = []
        issues: list[ReadingError] = []
        repeated, cut = 0, False
        for item in page.items:
            if most is not None and len(self.known) >= most:
                cut = True
                break
            wrong = item if isinstance(item, ReadingError) else self._problem(item)
            if wrong is not None:
                issues.append(wrong)
            elif isinstance(item, FetchedCrystal) and item.id in self.known:
                repeated += 1
            elif isinstance(item, FetchedCrystal):
                self.known[item.id] = (content_id(item.structure), item.value)
                kept.append(item)
        if self.strict and issues:
            raise issues[0]
        self.store.add(self._dataset(kept, issues))
        self.record = replace(self.record, repeated=self.record.repeated + repeated)
        self.issues += issues
        self.added += len(kept)
        return cut

    def _problem(self, item: FetchedCrystal) -> ReadingError | None:
        target = self.database.target
        if target is not None and item.value is None:
            return MissingLabelError(item.id, f"no value of {target!r}")
        if item.value is not None and not math.isfinite(item.value):
            return InvalidLabelError(item.id, f"{target} is {item.value}")
        earlier = self.known.get(item.id)
        if earlier is not None and earlier != (content_id(item.structure), item.value):
            return DuplicateIdError(item.id, "came again with another structure or label; the first was kept")
        return None

    def _dataset(self, kept: Iterable[FetchedCrystal], issues: Iterable[ReadingError]) -> CrystalDataset:
        entries = tuple(kept)
        target = self.database.target
        about = self.about
        return CrystalDataset(
            name=self.record.dataset,
            structures=tuple(entry.structure for entry in entries),
            ids=tuple(entry.id for entry in entries),
            y=None if target is None else np.array([entry.value for entry in entries], dtype=np.float64),
            target=target,
            unit=None if target is None else about.unit,
            provenance=tuple(
                f"{about.source}, {about.version}: {entry.id}, {target or 'structure'}, fetched {_today()}; "
                f"{about.licence}"
                for entry in entries
            ),
            issues=tuple(issues),
        )


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
