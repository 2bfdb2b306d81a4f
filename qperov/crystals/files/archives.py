"""Crystal files in tar and zip archives, read into memory."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from qperov.crystals.files.sources import DAMAGED, Source, kind_of
from qperov.errors import FileFormatError, ReadingError, UnreadableFileError

# A bound against archives that unpack to more than memory holds.
MAX_ARCHIVE_BYTES = 4 * 2**30

BROKEN_MEMBER = (*DAMAGED, tarfile.TarError, zipfile.BadZipFile, NotImplementedError, RuntimeError)


def archive_members(archive: Path, parts: tuple[str, ...], issues: list[ReadingError]) -> Iterator[Source]:
    """Members of an archive that are of a known kind, read into memory; nothing is written to disk."""
    total = 0
    members = _zip_members if archive.name.lower().endswith(".zip") else _tar_members
    for name, is_link, stream in members(archive):
        components = tuple(
            part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", ".", "..")
        )
        kind = kind_of(components[-1]) if components else None
        if kind is None or any(part.startswith((".", "__MACOSX")) for part in components):
            continue
        path = f"{archive}!{name}"
        if is_link:
            issues.append(UnreadableFileError(path, "a link in an archive, which is not followed"))
        elif kind in ("archive", "ase"):
            issues.append(FileFormatError(path, "not read from within an archive; extract it first"))
        else:
            try:
                with stream() as opened:
                    content = opened.read(MAX_ARCHIVE_BYTES - total + 1)
            except BROKEN_MEMBER as error:
                issues.append(FileFormatError(path, f"this member is damaged, cut short or encrypted ({error})"))
                continue
            total += len(content)
            if total > MAX_ARCHIVE_BYTES:
                limit = f"more than {MAX_ARCHIVE_BYTES >> 30} GiB of crystal files; extract it and read the folder"
                issues.append(FileFormatError(archive, f"the archive holds {limit}"))
                return
            folder = f"{archive}!{'/'.join(components[:-1])}"
            yield Source(path, (*parts, *components), folder, kind, partial(_same, content))


def _same(content: bytes) -> bytes:
    return content


_Member = tuple[str, bool, Callable[[], IO[bytes]]]


def _tar_members(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive, "r:*") as tar:
        for member in tar:
            if member.isreg():
                yield member.name, False, partial(_opened, tar, member)
            elif member.issym() or member.islnk():
                yield member.name, True, io.BytesIO


def _opened(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = tar.extractfile(member)
    assert stream is not None  # regular files have content
    return stream


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as zipped:
        for member in zipped.infolist():
            if not member.is_dir():
                is_link = stat.S_ISLNK(member.external_attr >> 16)
                yield member.filename, is_link, partial(zipped.open, member)
