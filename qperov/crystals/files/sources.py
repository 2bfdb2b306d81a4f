"""Files of crystals: their kinds, their ids and their content."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from qperov.errors import EmptyFileError, FileFormatError, UnreadableFileError

Kind = Literal["poscar", "cif", "xyz", "ase", "json", "outcar", "vasprun", "pw_output", "archive"]

# A bound against files that unpack to more than memory holds.
MAX_FILE_BYTES = 2 * 2**30

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
    raw : callable
        Returns the bytes as stored.
    file : Path or None
        Where it is on disk, unless it is a member of an archive.
    """

    path: str
    parts: tuple[str, ...]
    folder: str
    kind: Kind
    raw: Callable[[], bytes]
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
        try:
            content = self.raw()
        except OSError as error:
            raise UnreadableFileError(self.path, reason_of(error)) from error
        ending = _COMPRESSED.search(self.parts[-1])
        if ending and content:
            content = self._decompressed(content, ending[1].lower())
        if not content.strip():
            raise EmptyFileError(self.path, "the file is empty")
        return content

    def text(self) -> str:
        """The content as text.

        Raises
        ------
        UnreadableFileError, EmptyFileError, FileFormatError
        """
        content = self.read()
        if b"\0" in content:
            raise FileFormatError(self.path, "binary content where text is expected")
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return content.decode("latin-1")  # older programs write comments in it; the numbers read the same

    def _decompressed(self, content: bytes, ending: str) -> bytes:
        openers: dict[str, Any] = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}
        try:
            with openers[ending](io.BytesIO(content)) as stream:
                plain = stream.read(MAX_FILE_BYTES + 1)
        except DAMAGED as error:
            raise FileFormatError(self.path, f"cannot be decompressed: cut short or not {ending} ({error})") from error
        if len(plain) > MAX_FILE_BYTES:
            raise FileFormatError(self.path, f"decompresses to more than {MAX_FILE_BYTES >> 30} GiB")
        return plain


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
    """An id from the components of a relative path: no generic file names, no recognised endings."""
    *folders, name = parts
    name = _COMPRESSED.sub("", name)
    suffix = PurePosixPath(name).suffix
    if suffix.lower() in _EXTENSIONS:
        name = name.removesuffix(suffix)
    if name not in _GENERIC:
        folders.append(name)
    return "/".join(folders)


def reason_of(error: OSError) -> str:
    """What the operating system says about a file."""
    return f"cannot be read: {error.strerror or error}"
