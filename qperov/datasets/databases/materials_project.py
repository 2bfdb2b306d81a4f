"""Crystals from the Materials Project, through its own client mp-api."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any, TypeVar
from urllib.parse import quote

from pymatgen.core import Structure

from qperov.crystals.plausibility import check_cell
from qperov.datasets.databases.fetching import About, FetchedCrystal, Page
from qperov.datasets.databases.http import HttpClient, TransientError
from qperov.errors import FetchError, FileFormatError, InvalidLabelError, MissingDependencyError, ReadingError

#: The one place where the key is looked for; it is read when it is needed and kept nowhere.
KEY_VARIABLE = "MP_API_KEY"
LICENCE = "licence: CC BY 4.0, https://materialsproject.org/about/terms"
#: Units of the most usual targets.
UNITS = {
    "band_gap": "eV",
    "density": "g/cm³",
    "efermi": "eV",
    "energy_above_hull": "eV/atom",
    "energy_per_atom": "eV/atom",
    "formation_energy_per_atom": "eV/atom",
    "uncorrected_energy_per_atom": "eV/atom",
    "volume": "Å³",
}
_LATER = re.compile(r"\b(408|429|50[0234])\b|time[ds]?[ -]?out|connection|temporarily|max retries", re.IGNORECASE)

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class MaterialsProject:
    """Materials that meet criteria.

    First the ids of all are asked for, then the materials by id: a fetch that was stopped goes on with the ids that
    follow, whatever was added meanwhile.

    Attributes
    ----------
    criteria : mapping
        Of mp-api's ``materials.summary.search``, such as ``{"formula": "ABO3", "energy_above_hull": (0, 0.1)}``.
    target : str or None
        A number among the fields of a summary, such as ``formation_energy_per_atom``.
    unit : str or None
        Of a target that ``UNITS`` does not know.
    page_size : int
        Materials asked for at a time.
    client : HttpClient
        How often and after what waits a question is repeated; the questions themselves are mp-api's.
    """

    criteria: Mapping[str, Any] = field(default_factory=dict)
    target: str | None = None
    unit: str | None = None
    page_size: int = 200
    client: HttpClient = field(default_factory=HttpClient, compare=False)

    def __post_init__(self) -> None:
        if self.page_size < 1:
            raise ValueError("page_size must be positive")

    def query(self) -> dict[str, Any]:
        """Criteria and target."""
        return {"service": "Materials Project", "criteria": dict(self.criteria), "target": self.target}

    def about(self) -> About:
        """Database version and licence.

        Raises
        ------
        MissingDependencyError
            If mp-api is not installed.
        FetchError
            If there is no key.
        """
        version = getattr(self._rester, "db_version", None)
        unit = None if self.target is None else self.unit or UNITS.get(self.target)
        return About("Materials Project", f"database {version or 'of unknown version'}", LICENCE, unit)

    def page(self, token: str | None) -> Page:
        """The materials whose ids follow the token."""
        remaining = [each for each in self._ids if token is None or each > token]
        wanted = remaining[: self.page_size]
        if not wanted:
            return Page((), None, len(self._ids))
        fields = ["material_id", "structure", *([self.target] if self.target else [])]
        documents = self._ask(lambda: self._search(material_ids=wanted, fields=fields), "materials by id")
        items = [self._item(document) for document in documents]
        came = {item.id if isinstance(item, FetchedCrystal) else item.path for item in items}
        items += [FileFormatError(each, "was listed, but not given") for each in wanted if each not in came]
        following = wanted[-1] if len(remaining) > len(wanted) else None
        return Page(tuple(items), following, len(self._ids))

    @cached_property
    def _ids(self) -> list[str]:
        """Ids of all materials that meet the criteria, sorted as text."""
        documents = self._ask(
            lambda: self._search(fields=["material_id"], **self.criteria), "ids of the materials that meet the criteria"
        )
        return sorted({str(_field(document, "material_id")) for document in documents})

    @cached_property
    def _rester(self) -> Any:
        """mp-api's client, which holds the key."""
        try:
            client = import_module("mp_api.client")
        except ImportError as error:
            raise MissingDependencyError(
                f"the Materials Project is asked through mp-api: pip install 'qperov[mp]' ({error})"
            ) from error
        key = os.environ.get(KEY_VARIABLE, "").strip()
        if not key:
            raise FetchError(
                f"the Materials Project wants a key: get one at https://materialsproject.org/api and put it into the "
                f"environment variable {KEY_VARIABLE}"
            )
        return self._ask(
            lambda: client.MPRester(key, use_document_model=False, mute_progress_bars=True), "opening the service"
        )

    def _search(self, **what: Any) -> list[Any]:
        return self._rester.materials.summary.search(all_fields=False, **what)

    def _ask(self, action: Callable[[], Answer], what: str) -> Answer:
        """What an action gives, repeated where that may help; no error tells the key."""

        def guard() -> Answer:
            try:
                return action()
            except (FetchError, MissingDependencyError):
                raise
            except Exception as error:  # mp-api lets through whatever requests, boto3 and its models raise
                words = redact_key(f"{type(error).__name__}: {error}")[:300]
                transient = isinstance(error, OSError) or _LATER.search(str(error)) is not None
            raise TransientError(words) if transient else FetchError(f"Materials Project, {what}: {words}")

        return self.client.repeat(guard, f"Materials Project, {what}")

    def _item(self, document: Any) -> FetchedCrystal | ReadingError:
        material_id = str(_field(document, "material_id"))
        try:
            given = _field(document, "structure")
            if given is None:
                return FileFormatError(material_id, "no structure")
            structure = given if isinstance(given, Structure) else Structure.from_dict(given)
            check_cell(structure, material_id)
            return FetchedCrystal(material_id, _plain(structure), self._value(document, material_id))
        except ReadingError as error:
            return error
        except Exception as error:  # a damaged dictionary breaks pymatgen in many ways
            return FileFormatError(material_id, f"its structure cannot be read ({type(error).__name__}: {error})"[:300])

    def _value(self, document: Any, material_id: str) -> float | None:
        value = None if self.target is None else _field(document, self.target)
        try:
            return None if value is None else float(value)
        except (TypeError, ValueError):
            raise InvalidLabelError(material_id, f"{self.target} is no number: {str(value)[:60]!r}") from None


def redact_key(text: str) -> str:
    """The text with the key blotted out, as it is and as URLs write it."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    for secret in {key, quote(key, safe="")} - {""}:
        text = text.replace(secret, "***")
    return text


def _plain(structure: Structure) -> Structure:
    """Lattice, species and positions alone: magnetic moments and the like are not stored."""
    species = [site.species for site in structure]
    return Structure(structure.lattice, species, structure.frac_coords, validate_proximity=False)


def _field(document: Any, name: str) -> Any:
    return document.get(name) if isinstance(document, Mapping) else getattr(document, name, None)
