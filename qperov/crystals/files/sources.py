"""Files of crystals: their kinds, their ids and their content."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from qperov.errors import EmptyFileError, FileFormatError, UnreadableFileError, escape_controls

Kind = Literal["poscar", "cif", "xyz", "ase", "json", "outcar", "vasprun", "pw_output", "archive"]

# The limits under which reading stays below 4 GiB of memory, whatever sizes a file declares: what a file, or all
# crystal files of an archive together, may unpack to; how long a text with structures may be; members of an archive.
MAX_BYTES = 2**30
MAX_TEXT_BYTES = 2**28
MAX_LINES = 5_000_000
MAX_ENTRIES = 1_000_000

_PIECE = 2**18

_COMPRESSED = re.compile(r"\.(gz|bz2|xz)$", re.IGNORECASE)
_ARCHIVE = re.compile(r"\.(tar|tgz|tbz2|txz|zip|tar\.(gz|bz2|xz))$", re.IGNORECASE)
_EXTENSIONS: dict[str, Kind] = {
    ".vasp": "poscar",
    ".poscar": "poscar",
    ".cif": "cif",
    ".extxyz": "xyz",
    ".xyz": "xyz",
    ".db": "ase",
    ".json": "json",
}
_GENERIC = ("POSCAR", "CONTCAR", "OUTCAR", "vasprun.xml", "pw.out")
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True)
class Source:
    """One file, in a folder or in an archive.

    Attributes
    ----------
    path : str
        What messages call it; members of an archive stand behind ``!``.
    parts : tuple of str
        Its path relative to the root, in components; where ids come from.
    folder : str
        The folder that it shares with the other files of its run, as messages call it.
    kind : str
    open : callable
        Opens the bytes as stored.
    file : Path or None
        Where it is on disk, unless it is a member of an archive.
    """

    path: str
    parts: tuple[str, ...]
    folder: str
    kind: Kind
    open: Callable[[], IO[bytes]]
    file: Path | None = None

    @property
    def name(self) -> str:
        """The file name without the ending of a compression."""
        return _COMPRESSED.sub("", self.parts[-1])

    @property
    def id(self) -> str:
        """The relative path without generic file names and recognised endings."""
        return id_of(self.parts)

    def read(self) -> bytes:
        """The content, decompressed.

        Raises
        ------
        UnreadableFileError, EmptyFileError, FileFormatError
        """
        ending = _COMPRESSED.search(self.parts[-1])
        try:
            with self.open() as stream:
                content = join(unpack(stream, ending[1].lower() if ending else ""), MAX_BYTES)
        except DAMAGED as error:
            if ending and not (isinstance(error, OSError) and error.errno):
                reason = f"cannot be decompressed: cut short or not {ending[1]} ({error})"
                raise FileFormatError(self.path, reason) from error
            raise UnreadableFileError(self.path, reason_of(error)) from error
        if len(content) > MAX_BYTES:
            raise FileFormatError(self.path, f"holds more than {MAX_BYTES >> 20} MiB, the most that is read of a file")
        if not content or content.isspace():
            raise EmptyFileError(self.path, "the file is empty")
        return content

    def text(self) -> str:
        """The content as text.

        Raises
        ------
        UnreadableFileError, EmptyFileError, FileFormatError
        """
        content = self.read()
        if len(content) > MAX_TEXT_BYTES or content.count(b"\n") > MAX_LINES:
            reason = (
                f"more than {MAX_TEXT_BYTES >> 20} MiB or {MAX_LINES} lines, the most that is read as text; split it"
            )
            raise FileFormatError(self.path, reason)
        if b"\0" in content:
            raise FileFormatError(self.path, "binary content where text is expected")
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return content.decode("latin-1")  # older programs write comments in it; the numbers read the same


def unpack(stream: IO[bytes], ending: str) -> Iterator[bytes]:
    """The content of a stream in pieces, decompressed (gz, bz2, xz) to its end, where its checksums stand.

    Raises
    ------
    OSError, EOFError, zlib.error, lzma.LZMAError
        If it is damaged or cut short, or junk follows it (Python's own files pass over that in silence).
    """
    if ending in ("", "gz"):
        content = gzip.GzipFile(fileobj=stream) if ending else stream
        while piece := content.read(_PIECE):
            yield piece
        return
    data = stream.read(_PIECE)
    while data:
        decompressor = bz2.BZ2Decompressor() if ending == "bz2" else lzma.LZMADecompressor()
        while not decompressor.eof:
            if decompressor.needs_input and not data:
                data = stream.read(_PIECE)
                if not data:
                    raise EOFError("the compressed data end before their end mark")
            yield decompressor.decompress(data, _PIECE)
            data = b""
        data = (decompressor.unused_data or stream.read(_PIECE)).lstrip(b"\0")  # xz may be padded with zeros


def join(pieces: Iterable[bytes], limit: int) -> bytes:
    """The pieces as one, at most one piece beyond the limit."""
    content = io.BytesIO()
    for piece in pieces:
        content.write(piece)
        if content.tell() > limit:
            break
    return content.getvalue()


def kind_of(name: str) -> Kind | None:
    """What a file of this name holds, or None if it is none of ours."""
    if name.startswith("."):
        return None
    if _ARCHIVE.search(name):
        return "archive"
    plain = _COMPRESSED.sub("", name)
    if plain == "OUTCAR":
        return "outcar"
    if plain == "vasprun.xml":
        return "vasprun"
    if plain == "pw.out":
        return "pw_output"
    known = _EXTENSIONS.get(PurePosixPath(plain).suffix.lower())
    if known in ("ase", "json") and plain != name:
        return None
    if known is None and plain.startswith(("POSCAR", "CONTCAR")):
        return "poscar"
    return known


def id_of(parts: tuple[str, ...]) -> str:
    """An id from the components of a relative path: no generic file names, no recognised endings, no controls."""
    *folders, name = parts
    name = _COMPRESSED.sub("", name)
    suffix = PurePosixPath(name).suffix
    if suffix.lower() in _EXTENSIONS:
        name = name.removesuffix(suffix)
    if name not in _GENERIC:
        folders.append(name)
    return escape_controls("/".join(folders))


def reason_of(error: BaseException) -> str:
    """What the operating system says about a file."""
    return f"cannot be read: {getattr(error, 'strerror', None) or error}"
