"""Crystals from any database that speaks OPTIMADE.

References
----------
C. W. Andersen et al., Sci. Data 8, 217 (2021), doi:10.1038/s41597-021-00974-z; specification at
https://specification.optimade.org.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urljoin

from qperov.datasets.databases.fetching import About, FetchedCrystal, Page
from qperov.datasets.databases.http import HttpClient, check_onward, check_url, shorten
from qperov.datasets.databases.optimade_structure import STRUCTURE_FIELDS, structure_of
from qperov.errors import FetchError, FileFormatError, InvalidLabelError, QperovError, ReadingError

#: Base URLs by the names of https://providers.optimade.org; a URL serves any other.
PROVIDERS = {
    "aflow": "https://aflow.org/API/optimade",
    "alexandria": "https://alexandria.icams.rub.de/pbe",
    "alexandria.pbesol": "https://alexandria.icams.rub.de/pbesol",
    "cmr": "https://cmr-optimade.fysik.dtu.dk",
    "cod": "https://www.crystallography.net/cod/optimade",
    "jarvis": "https://jarvis.nist.gov/optimade/jarvisdft",
    "mcloud.mc2d": "https://aiida.materialscloud.org/mc2d/optimade",
    "mcloud.mc3d": "https://aiida.materialscloud.org/mc3d/optimade",
    "mp": "https://optimade.materialsproject.org",
    "odbx": "https://optimade.odbx.science",
    "odbx.gnome": "https://optimade-gnome.odbx.science",
    "omdb": "https://optimade.openmaterialsdb.se",
    "oqmd": "https://oqmd.org/optimade",
    "tcod": "https://www.crystallography.net/tcod/optimade",
    "twodmatpedia": "http://optimade.2dmatpedia.org",
}
#: JARVIS writes this where a property was not calculated.
_NOT_CALCULATED = -99999.0
#: A provider that asks for a longer pause between pages is asked to be more patient with us.
_LONGEST_PAUSE = 30.0
_VERSIONED = re.compile(r"/v\d+(\.\d+)*/?$")


@dataclass(frozen=True)
class Optimade:
    """The structures of a provider that pass a filter.

    Attributes
    ----------
    base_url : str
        Of the provider, or its name in ``PROVIDERS``; with ``/v1`` at its end or without.
    filter : str
        In OPTIMADE's language, such as ``elements HAS ALL "Pb","I" AND nelements=3``; empty for everything.
    target : str or None
        A property of the provider, such as ``_oqmd_delta_e``; dots lead into objects.
    unit : str or None
        Of the target, where the provider does not state it.
    page_size : int
        Entries asked for at a time; a provider may give fewer.
    client : HttpClient

    Raises
    ------
    ValueError
        If the URL is none, or holds a password.
    """

    base_url: str
    filter: str = ""
    target: str | None = None
    unit: str | None = None
    page_size: int = 100
    client: HttpClient = field(default_factory=HttpClient, compare=False)

    def __post_init__(self) -> None:
        if self.page_size < 1:
            raise ValueError("page_size must be positive")
        check_url(self.root)

    @property
    def root(self) -> str:
        """The versioned base URL."""
        url = PROVIDERS.get(self.base_url, self.base_url).rstrip("/")
        return url if _VERSIONED.search(url) else url + "/v1"

    def query(self) -> dict[str, Any]:
        """URL, filter and target."""
        return {"service": "OPTIMADE", "url": self.root, "filter": self.filter, "target": self.target}

    def about(self) -> About:
        """What the provider says at ``/info`` and ``/info/structures``.

        Raises
        ------
        FetchError
            If it does not answer at ``/info``.
        """
        answer = _object(self.client.get_json(f"{self.root}/info"), self.root)
        said = _dictionary(_dictionary(answer.get("data")).get("attributes"))
        meta = _dictionary(answer.get("meta"))
        provider = _dictionary(meta.get("provider")).get("name") or self.base_url
        release = _dictionary(meta.get("implementation")).get("version")
        spoken = said.get("api_version") or meta.get("api_version") or "of unknown version"
        return About(
            source=f"{provider} ({self.root})",
            version=f"OPTIMADE {spoken}" + (f", server {release}" if release else ""),
            licence=_licence(said),
            unit=self.unit or self._unit(),
        )

    def page(self, token: str | None) -> Page:
        """A page; the token is the URL that the page before names as the next."""
        url = token or self._first()
        answer = _object(self.client.get_json(url), url)
        entries = answer.get("data")
        if not isinstance(entries, list):
            raise FetchError(f"{shorten(url)}: no list of structures in the answer; is it an OPTIMADE provider?")
        meta = _dictionary(answer.get("meta"))
        pause = meta.get("request_delay")
        following = _next(answer, url)
        if following is not None and isinstance(pause, int | float) and pause > 0:
            self.client.sleep(min(float(pause), _LONGEST_PAUSE))
        total = meta.get("data_returned")
        return Page(
            items=tuple(self._item(entry, number, url) for number, entry in enumerate(entries)),
            next=following,
            total=total if isinstance(total, int) else None,
        )

    def _first(self) -> str:
        fields = [*STRUCTURE_FIELDS, *([self.target.partition(".")[0]] if self.target else [])]
        wanted = {"response_fields": ",".join(fields), "page_limit": self.page_size, "response_format": "json"}
        return f"{self.root}/structures?{urlencode(({'filter': self.filter} if self.filter else {}) | wanted)}"

    def _item(self, entry: Any, number: int, url: str) -> FetchedCrystal | ReadingError:
        """A crystal, or why there is none."""
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), str | int):
            return FileFormatError(shorten(url), f"entry {number + 1} of the page has no id")
        entry_id = str(entry["id"])
        attributes = entry.get("attributes")
        if not isinstance(attributes, dict):
            return FileFormatError(entry_id, "no attributes")
        try:
            return FetchedCrystal(entry_id, structure_of(attributes, entry_id), self._value(attributes, entry_id))
        except ReadingError as error:
            return error

    def _value(self, attributes: dict[str, Any], entry_id: str) -> float | None:
        if self.target is None:
            return None
        value: Any = attributes
        if self.target in attributes:
            value = attributes[self.target]
        else:
            for name in self.target.split("."):
                value = value.get(name) if isinstance(value, dict) else None
        if value is None or value == _NOT_CALCULATED:
            return None
        try:
            return float(value)
        except (TypeError, ValueError):
            raise InvalidLabelError(entry_id, f"{self.target} is no number: {str(value)[:60]!r}") from None

    def _unit(self) -> str | None:
        """The unit of the target, where the provider states it."""
        if self.target is None:
            return None
        try:
            answer = _object(self.client.get_json(f"{self.root}/info/structures"), self.root)
        except QperovError:
            return None  # it must answer, but some do not, and the unit is not worth the fetch
        properties = _dictionary(_dictionary(answer.get("data")).get("properties"))
        unit = _dictionary(properties.get(self.target)).get("unit")
        return unit if isinstance(unit, str) and unit not in ("inapplicable", "dimensionless") else None


def _object(answer: Any, url: str) -> dict[str, Any]:
    """The answer, which must be an object without errors."""
    if not isinstance(answer, dict):
        raise FetchError(f"{shorten(url)}: the answer is no JSON object; is it an OPTIMADE provider?")
    if answer.get("errors"):
        details = [_dictionary(each).get("detail") for each in answer["errors"] if isinstance(each, dict)]
        raise FetchError(f"{shorten(url)}: the provider says: {'; '.join(map(str, details))[:300]}")
    return answer


def _next(answer: dict[str, Any], url: str) -> str | None:
    """URL of the next page: a string, an object with ``href``, or nothing."""
    link = _dictionary(answer.get("links")).get("next")
    link = link.get("href") if isinstance(link, dict) else link
    if not link:
        return None
    following = urljoin(url, str(link))
    check_onward(url, following)
    return following


def _licence(said: dict[str, Any]) -> str:
    """The licence in words; providers may name SPDX identifiers, a page, or nothing."""
    for name in ("available_licenses_for_entries", "available_licenses"):
        listed = said.get(name)
        if isinstance(listed, list) and listed:
            return "licence: " + ", ".join(map(str, listed))
    page = said.get("license")
    page = page.get("href") if isinstance(page, dict) else page
    return f"licence: {page}" if page else "licence not stated by the service: ask before you share"


def _dictionary(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
