"""What is to be predicted: crystals and measured patterns, from files that each may be broken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pymatgen.core import Structure

from qperov.crystals.files.discovery import find_sources
from qperov.crystals.files.entries import read_entries
from qperov.crystals.files.sources import kind_of
from qperov.datasets.pattern_reading import read_patterns
from qperov.diffraction.measured import MeasuredPattern, subtract_background
from qperov.diffraction.measured_reading import read_measured_pattern
from qperov.errors import FileFormatError, QperovError, ReadingError
from qperov.evaluation.progress import Progress

#: Endings of measured patterns; a file of crystals never has one of them.
MEASURED = (".asc", ".csv", ".dat", ".txt", ".uxd", ".xrdml", ".xy", ".xye")
#: Method of `subtract_background` that takes nothing off.
NO_BACKGROUND = "none"


@dataclass(frozen=True, eq=False)
class Entry:
    """Something to predict for.

    Attributes
    ----------
    id : str
        What the results call it.
    content : Structure or MeasuredPattern
    """

    id: str
    content: Structure | MeasuredPattern


@dataclass(frozen=True)
class Failure:
    """Something that has no prediction.

    Attributes
    ----------
    id : str
    reason : str
    kind : str
        Class of the error.
    """

    id: str
    reason: str
    kind: str

    @classmethod
    def of(cls, name: str, error: QperovError) -> Failure:
        """What an error says about an entry, whose name its message need not repeat."""
        reason = error.reason if isinstance(error, ReadingError) else str(error)
        return cls(error.path if isinstance(error, ReadingError) else name, reason, type(error).__name__)


def read_inputs(
    paths: Sequence[Path],
    *,
    wavelength: str | float | None = None,
    background: str = NO_BACKGROUND,
    scans: bool = False,
    progress: Progress | None = None,
) -> tuple[list[Entry], list[Failure]]:
    """Crystals and measured patterns from files, folders and archives.

    Folders and archives are searched for crystals, or folders for measured patterns (``scans``); otherwise a measured
    pattern is a file that is named itself, with one of the endings ``MEASURED``.

    Parameters
    ----------
    paths : sequence of Path
    wavelength : str or float, optional
        Of measured patterns; by default what their files say.
    background : str
        What takes the background off measured patterns, see :func:`~qperov.diffraction.measured.subtract_background`;
        or ``"none"``.
    scans : bool
        Whether folders hold measured patterns.
    progress : Progress, optional
        Told each path.

    Returns
    -------
    entries, failures : list of Entry, list of Failure
        An id is a file's path as given, or the id inside the folder or archive; with the path in front where two would
        be the same.
    """
    entries: dict[str, Entry] = {}
    failures: list[Failure] = []
    for done, path in enumerate(paths, start=1):
        try:
            for name, content in _contents(path, wavelength, background, scans):
                free = f"{path}/{name}" if _holds_many(path) and name in entries else name
                if isinstance(content, ReadingError):
                    failures.append(Failure.of(name, content))
                elif free in entries:
                    failures.append(Failure(free, "given twice; it is predicted once", "DuplicateIdError"))
                else:
                    entries[free] = Entry(free, content)
        except QperovError as error:
            failures.append(Failure.of(str(path), error))
        if progress is not None:
            progress(done, len(paths), str(path))
    return list(entries.values()), failures


def _contents(
    path: Path, wavelength: str | float | None, background: str, scans: bool
) -> Iterator[tuple[str, Structure | MeasuredPattern | ReadingError]]:
    """What a path holds, by the names that results give it."""
    if path.suffix.lower() in MEASURED and not path.is_dir():
        pattern = read_measured_pattern(path, wavelength=wavelength)
        yield str(path), pattern if background == NO_BACKGROUND else subtract_background(pattern, background)
        return
    if scans and path.is_dir():
        found_scans = read_patterns(path, wavelength=wavelength)
        yield from ((issue.path, issue) for issue in found_scans.issues)
        for name, pattern in zip(found_scans.ids, found_scans.patterns, strict=True):
            yield name, pattern if background == NO_BACKGROUND else subtract_background(pattern, background)
        return
    found = find_sources(path)
    yield from ((issue.path, issue) for issue in found.issues)
    items = list(read_entries(found.sources, path, "toten"))
    for number, (entry_id, item) in enumerate(items):
        own = f"{path}#{number}" if len(items) > 1 else str(path)
        name = entry_id if _holds_many(path) else own
        yield name, item if isinstance(item, ReadingError) else item.structure
    if not items and not found.issues:
        yield str(path), FileFormatError(path, "no crystal files in it; measured patterns are named one by one")


def _holds_many(path: Path) -> bool:
    """Whether a path is a folder or an archive."""
    return path.is_dir() or kind_of(path.name) == "archive"
