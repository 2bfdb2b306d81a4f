"""Crystals from JARVIS-DFT: the archives that NIST publishes at figshare, or one that was downloaded before.

References
----------
K. Choudhary et al., npj Comput. Mater. 6, 173 (2020), doi:10.1038/s41524-020-00440-1.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import ijson
import numpy as np
from pymatgen.core import Element, Lattice, Structure

from qperov.crystals.plausibility import check_cell
from qperov.datasets.databases.fetching import About, FetchedCrystal, Page
from qperov.datasets.databases.http import HttpClient
from qperov.errors import (
    AtomCountError,
    FileFormatError,
    InvalidLabelError,
    ReadingError,
    UnknownElementError,
    UnreadableFileError,
)


@dataclass(frozen=True)
class Archive:
    """A published archive: where it is, which release, and its DOI."""

    url: str
    release: str
    doi: str


ARCHIVES = {
    "dft_3d": Archive("https://ndownloader.figshare.com/files/38521619", "12-12-2022", "10.6084/m9.figshare.6815699"),
    "dft_2d": Archive("https://ndownloader.figshare.com/files/38521268", "12-12-2022", "10.6084/m9.figshare.6815705"),
}
#: Units of the most usual targets; JARVIS-DFT's functional is OptB88vdW, so they mix with nobody else's.
UNITS = {
    "bulk_modulus_kv": "GPa",
    "density": "g/cm³",
    "ehull": "eV/atom",
    "exfoliation_energy": "meV/atom",
    "formation_energy_peratom": "eV/atom",
    "hse_gap": "eV",
    "mbj_bandgap": "eV",
    "optb88vdw_bandgap": "eV",
    "optb88vdw_total_energy": "eV/atom",
    "shear_modulus_gv": "GPa",
}
#: What stands where a property was not calculated.
_ABSENT = (None, "na", "", -99999, "-99999")
#: Hosts to which figshare sends on for its files, with all below them.
HOSTS = ("figshare.com", "amazonaws.com")


@dataclass(eq=False)
class Jarvis:
    """The entries of an archive.

    Attributes
    ----------
    archive : str
        A name in ``ARCHIVES``, or the path of an archive (``.json.zip`` or ``.json``).
    folder : Path
        Where a published archive is put; it stays there for the next fetch.
    target : str or None
        A number of the entries, such as ``formation_energy_peratom``.
    unit : str or None
        Of a target that ``UNITS`` does not know.
    page_size : int
    client : HttpClient
    """

    archive: str = "dft_3d"
    folder: Path = Path()
    target: str | None = None
    unit: str | None = None
    page_size: int = 500
    client: HttpClient = field(default_factory=HttpClient)
    #: Entries that follow ``_place``, so that pages in a row read the archive once.
    _entries: Iterator[Any] | None = field(default=None, init=False, repr=False)
    _place: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.page_size < 1:
            raise ValueError("page_size must be positive")

    def query(self) -> dict[str, Any]:
        """Archive and target."""
        published = ARCHIVES.get(self.archive)
        return {"service": "JARVIS-DFT", "archive": published.url if published else self.archive, "target": self.target}

    def about(self) -> About:
        """Release and licence."""
        unit = None if self.target is None else self.unit or UNITS.get(self.target)
        published = ARCHIVES.get(self.archive)
        if published is None:
            return About(f"JARVIS-DFT ({self.archive})", "of the file's release", "licence: as of the file", unit)
        return About(
            f"JARVIS-DFT {self.archive} (doi:{published.doi})",
            f"release {published.release}",
            "licence: CC BY 4.0, as figshare states it",
            unit,
        )

    def page(self, token: str | None) -> Page:
        """Entries from the one of the token's number on."""
        place = int(token or 0)
        if self._entries is None or self._place != place:
            self._entries = islice(_entries(self._file()), place, None)
        found = list(islice(self._entries, self.page_size))
        self._place = place + len(found)
        items = tuple(self._item(entry, place + number) for number, entry in enumerate(found))
        return Page(items, str(self._place) if len(found) == self.page_size else None)

    def _file(self) -> Path:
        """The archive on this machine, downloaded if need be."""
        published = ARCHIVES.get(self.archive)
        if published is None:
            return Path(self.archive)
        path = self.folder / f"jarvis-{self.archive}-{published.release}.json.zip"
        if not path.exists():
            self.client.download(published.url, path, HOSTS)
        return path

    def _item(self, entry: Any, number: int) -> FetchedCrystal | ReadingError:
        if not isinstance(entry, dict) or not entry.get("jid"):
            return FileFormatError(self.archive, f"entry {number} has no jid")
        jid = str(entry["jid"])
        try:
            return FetchedCrystal(jid, _structure(entry.get("atoms"), jid), self._value(entry, jid))
        except ReadingError as error:
            return error

    def _value(self, entry: dict[str, Any], jid: str) -> float | None:
        value = None if self.target is None else entry.get(self.target)
        if value in _ABSENT:
            return None
        try:
            return float(value)
        except (TypeError, ValueError):
            raise InvalidLabelError(jid, f"{self.target} is no number: {str(value)[:60]!r}") from None


def _structure(atoms: Any, jid: str) -> Structure:
    """The structure of JARVIS' ``atoms``: lattice_mat, elements, coords, and whether these are cartesian."""
    try:
        lattice = np.array(atoms["lattice_mat"], dtype=np.float64)
        coordinates = np.array(atoms["coords"], dtype=np.float64)
        elements = [str(name).strip() for name in atoms["elements"]]
        cartesian = bool(atoms["cartesian"])
    except (TypeError, KeyError, ValueError) as error:
        raise FileFormatError(jid, f"its atoms are malformed ({type(error).__name__}: {error})") from error
    if lattice.shape != (3, 3) or not np.isfinite(lattice).all() or abs(np.linalg.det(lattice)) < 1e-6:
        raise FileFormatError(jid, "lattice_mat holds no three vectors that span a cell")
    if coordinates.shape != (len(elements), 3):
        raise AtomCountError(jid, f"{len(elements)} elements, but coords of the shape {coordinates.shape}")
    if unknown := [name for name in dict.fromkeys(elements) if not Element.is_valid_symbol(name)]:
        raise UnknownElementError(jid, f"no elements: {', '.join(unknown)}")
    structure = Structure(
        Lattice(lattice), elements, coordinates, coords_are_cartesian=cartesian, validate_proximity=False
    )
    check_cell(structure, jid)
    return structure


def _entries(path: Path) -> Iterator[Any]:
    """The objects of the list in an archive, one at a time: all at once would take gigabytes."""
    try:
        if path.suffix != ".zip":
            with path.open("rb") as stream:
                yield from json_items(stream, path)
            return
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith(".json")]
            if len(members) != 1:
                raise FileFormatError(path, f"an archive of JARVIS holds one JSON file, not {len(members)}")
            with archive.open(members[0]) as member:
                yield from json_items(member, path)
    except OSError as error:
        raise UnreadableFileError(path, str(error)) from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise FileFormatError(path, f"not an archive of JARVIS ({error}); delete it to fetch it anew") from error


def json_items(stream: IO[bytes], path: str | Path) -> Iterator[Any]:
    """The items of a JSON list, read piece by piece; numbers with a decimal point are ``Decimal``.

    Raises
    ------
    FileFormatError
        If it is no list, or broken, or ends early.
    """
    try:
        events = ijson.parse(stream)
        first = next(events)
        if first[1] != "start_array":
            raise FileFormatError(path, "not a list of entries")
        yield from ijson.items(chain([first], events), "item")
    except ijson.JSONError as error:
        words = " ".join(str(error).split())
        raise FileFormatError(path, f"the list of entries is broken, or ends early ({words})") from error
