"""Finds crystal files in a folder and all folders below it."""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from qperov.crystals.files.archives import BROKEN_MEMBER, archive_members
from qperov.crystals.files.sources import Kind, Source, kind_of, reason_of
from qperov.errors import FileFormatError, ReadingError, UnreadableFileError, escape_controls

#: A folder to look into, the parts of its path below the root, and the places (device, inode) of the folders above it.
_Folder = tuple[Path, tuple[str, ...], list[tuple[int, int]]]


@dataclass
class Found:
    """What a search found: sources in reading order, label tables, and what could not be looked into."""

    sources: list[Source] = field(default_factory=list)
    label_tables: list[Path] = field(default_factory=list)
    issues: list[ReadingError] = field(default_factory=list)


def find_sources(root: Path) -> Found:
    """Crystal files under a folder, in an archive, or the one file named.

    Hidden files and folders are passed over, and so is every file of a kind that is not read. Folders are visited in
    the order of their names, those that only a symbolic link reaches last, and each folder once.

    Raises
    ------
    UnreadableFileError
        If the root does not exist or cannot be read.
    FileFormatError
        If the root is a file of an unknown kind.
    """
    found = Found()
    try:
        mode = root.stat().st_mode
    except OSError as error:
        raise UnreadableFileError(root, reason_of(error)) from error
    if stat.S_ISDIR(mode):
        _walk_all(root, found)
        found.sources.sort(key=lambda source: source.parts)
        return found
    kind = kind_of(root.name)
    if kind is None or kind == "outcar" or not stat.S_ISREG(mode):
        reason = (
            "name the folder of the run: an OUTCAR alone has no structure"
            if kind == "outcar"
            else (
                "not a kind of file that is read here: POSCAR, CONTCAR, *.vasp, *.poscar, *.cif, *.extxyz, *.xyz, "
                "vasprun.xml, an ASE *.db or *.json, or an archive (.tar, .tar.gz, .tgz, .zip) of these"
            )
        )
        raise FileFormatError(root, reason)
    _take_file(root, (root.name,), kind, found)
    return found


def _walk_all(root: Path, found: Found) -> None:
    """Folders under their own names first, then what only a symbolic link reaches; each folder once."""
    seen: set[tuple[int, int]] = set()
    waiting: list[_Folder] = [(root, (), [])]
    links: list[_Folder] = []
    while waiting or links:
        folder, parts, above = waiting.pop(0) if waiting else links.pop(0)
        try:
            place = _place(folder)
            if folder != root and place in above:
                reason = "a symbolic link to a folder above it: it was not followed"
                found.issues.append(UnreadableFileError(folder, reason))
            elif place in seen:
                reason = "already read under another name; this is a symbolic link to it"
                found.issues.append(UnreadableFileError(folder, reason))
            else:
                seen.add(place)
                inside = _look_into(folder, parts, found)
                chain = [*above, place]
                waiting[:0] = [(path, (*parts, path.name), chain) for path in inside if not path.is_symlink()]
                links += [(path, (*parts, path.name), chain) for path in inside if path.is_symlink()]
        except OSError as error:
            found.issues.append(UnreadableFileError(folder, reason_of(error)))


def _place(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _look_into(folder: Path, parts: tuple[str, ...], found: Found) -> list[Path]:
    """Take the files of one folder; return the folders in it."""
    inside = []
    with os.scandir(folder) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = Path(entry.path)
        kind = kind_of(entry.name)
        try:
            mode = entry.stat().st_mode
            if stat.S_ISDIR(mode):
                inside.append(path)
            elif entry.name == "labels.csv" and stat.S_ISREG(mode):
                found.label_tables.append(path)
            elif kind is not None and not stat.S_ISREG(mode):
                found.issues.append(UnreadableFileError(path, "not a regular file"))
            elif kind is not None:
                _take_file(path, (*parts, entry.name), kind, found)
        except OSError as error:
            if kind is not None or not entry.is_symlink():
                found.issues.append(UnreadableFileError(path, reason_of(error)))
    return inside


def _take_file(path: Path, parts: tuple[str, ...], kind: Kind, found: Found) -> None:
    if kind == "archive":
        members: list[Source] = []
        try:
            for member in archive_members(path, parts[:-1], found.issues):
                members.append(member)
        except PermissionError as error:
            found.issues.append(UnreadableFileError(path, reason_of(error)))
        except BROKEN_MEMBER as error:
            kept = f"the {len(members)} crystal files before that were read" if members else "nothing of it was read"
            reason = f"the archive is damaged or cut short ({error or type(error).__name__}); {kept}"
            found.issues.append(FileFormatError(path, reason))
        found.sources.extend(sorted(members, key=lambda member: member.parts))
    else:
        found.sources.append(
            Source(escape_controls(str(path)), parts, str(path.parent), kind, partial(io.FileIO, path), path)
        )
