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

from qperov.crystals.files.sources import DAMAGED, MAX_BYTES, MAX_ENTRIES, Source, join, kind_of, unpack
from qperov.errors import FileFormatError, ReadingError, UnreadableFileError, escape_controls

MAX_ARCHIVE_BYTES = MAX_BYTES

#: What a compressed tar may unpack to, with all that is passed over in it.
MAX_TAPE_BYTES = 8 * MAX_BYTES

BROKEN_MEMBER = (
    *DAMAGED, tarfile.TarError, zipfile.BadZipFile, NotImplementedError, RuntimeError, MemoryError, ValueError,
)  # fmt: skip

_MAGIC = ((b"\x1f\x8b", "gz"), (b"BZh", "bz2"), (b"\xfd7zXZ\0", "xz"))
_BLOCK = bytes(tarfile.BLOCKSIZE)

#: Name, why it is not read (a link, a device), and what opens its content.
Member = tuple[str, str, Callable[[], IO[bytes]]]


def archive_members(archive: Path, parts: tuple[str, ...], issues: list[ReadingError]) -> Iterator[Source]:
    """Members of an archive that are of a known kind, read into memory; nothing is written to disk.

    Raises
    ------
    OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile
        If the archive is damaged or cut short; the members before that were handed out.
    """
    total = 0
    for count, (name, refusal, stream) in enumerate(open_members(archive)):
        if count == MAX_ENTRIES:
            issues.append(FileFormatError(archive, f"only the first {MAX_ENTRIES} of its members were read; split it"))
            return
        components = tuple(
            part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", ".", "..")
        )
        kind = kind_of(components[-1]) if components else None
        path = escape_controls(f"{archive}!{name}")
        if kind is None or any(part.startswith((".", "__MACOSX")) for part in components):
            continue
        if refusal:
            issues.append(UnreadableFileError(path, refusal))
        elif kind in ("archive", "ase"):
            issues.append(FileFormatError(path, "not read from within an archive; extract it first"))
        else:
            try:
                with stream() as opened:
                    content = join(unpack(opened, ""), MAX_ARCHIVE_BYTES - total)
            except BROKEN_MEMBER as error:
                issues.append(FileFormatError(path, f"this member is damaged, cut short or encrypted ({error})"))
                continue
            total += len(content)
            if total > MAX_ARCHIVE_BYTES:
                limit = (
                    f"more than {MAX_ARCHIVE_BYTES / 2**30:.2g} GiB of crystal files; extract it and read the folder"
                )
                issues.append(FileFormatError(archive, f"the archive holds {limit}"))
                return
            folder = f"{archive}!{'/'.join(components[:-1])}"
            yield Source(path, (*parts, *components), folder, kind, partial(io.BytesIO, content))


def open_members(archive: Path) -> Iterator[Member]:
    """All files in a tar (also compressed) or zip archive; a tar's content is there until the next is asked for."""
    if archive.name.lower().endswith(".zip"):
        yield from _zip_members(archive)
        return
    with archive.open("rb") as stream:
        head = stream.read(6)
        stream.seek(0)
        yield from _tar_members(_Tape(stream, next((ending for magic, ending in _MAGIC if head.startswith(magic)), "")))


class _Tape:
    """A tar, read forwards in pieces; it keeps the last block, which tells why ``tarfile`` stopped."""

    def __init__(self, stream: IO[bytes], ending: str) -> None:
        self.pieces = unpack(stream, ending)
        self.limit = MAX_TAPE_BYTES if ending else float("inf")
        self.piece = self.last = b""
        self.at = self.position = 0

    def read(self, size: int) -> bytes:
        """The next bytes; no size that a header declares makes room for more than there is."""
        if size > MAX_ARCHIVE_BYTES:
            raise tarfile.ReadError(f"a header declares {size} bytes")
        parts = []
        while size:
            if self.at == len(self.piece):
                self.piece, self.at = next(self.pieces, b""), 0
                if not self.piece:
                    break
            parts.append(self.piece[self.at : self.at + size])
            self.at += len(parts[-1])
            size -= len(parts[-1])
        self.last = b"".join(parts)
        self.position += len(self.last)
        if self.position > self.limit:
            raise tarfile.ReadError(f"it unpacks to more than {MAX_TAPE_BYTES >> 30} GiB")
        return self.last

    def tell(self) -> int:
        return self.position

    def seek(self, position: int) -> None:
        """Forwards only."""
        if position < self.position:
            raise tarfile.ReadError("a header points backwards")
        while self.position < position and self.read(min(position - self.position, 2**18)):
            pass


def _tar_members(tape: _Tape) -> Iterator[Member]:
    with tarfile.open(fileobj=tape, mode="r:") as tar:  # type: ignore[call-overload]
        for member in tar:
            tar.members = []  # it would keep all of them
            if member.isreg():
                yield member.name, "", partial(_opened, tar, member)
            elif member.issym() or member.islnk():
                yield member.name, "a link in an archive, which is not followed", io.BytesIO
            elif not member.isdir():
                yield member.name, "not a regular file", io.BytesIO
    # tarfile ends in silence at whatever is no header; two blocks of zeros are the only end a tar has
    if not tape.last:
        raise tarfile.ReadError("no end mark: it was cut between two of its files")
    if tape.last != _BLOCK or tape.read(len(_BLOCK)) != _BLOCK:
        raise tarfile.ReadError(f"a header before byte {tape.position} is damaged, and what follows was not read")
    while piece := tape.read(2**18):
        if piece.strip(b"\0"):
            raise tarfile.ReadError("more data after its end mark, which were not read")


def _opened(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = tar.extractfile(member)
    assert stream is not None  # regular files have content
    return stream


def _zip_members(archive: Path) -> Iterator[Member]:
    with archive.open("rb") as stream, zipfile.ZipFile(stream) as zipped:
        stream.seek(max(stream.seek(0, io.SEEK_END) - 2**16 - 22, 0))
        tail = stream.read()
        at = tail.rfind(b"PK\5\6")
        declared = int.from_bytes(tail[at + 10 : at + 12], "little")
        misnamed = []
        for member in zipped.infolist():
            try:
                zipped.open(member).close()  # compares the name with the one that stands before the content
            except zipfile.BadZipFile:
                misnamed.append(member.filename)
            except (NotImplementedError, RuntimeError):  # encrypted or of an unknown compression: matters if it is read
                pass
            if not member.is_dir():
                is_link = stat.S_ISLNK(member.external_attr >> 16)
                refusal = "a link in an archive, which is not followed" if is_link else ""
                yield member.filename, refusal, partial(zipped.open, member)
        if misnamed:
            raise zipfile.BadZipFile(f"{len(misnamed)} files have other names than the directory says: {misnamed[0]}")
        if declared not in (len(zipped.infolist()) & 0xFFFF, 0xFFFF):
            raise zipfile.BadZipFile(f"its directory lists {len(zipped.infolist())} files, its end says {declared}")
