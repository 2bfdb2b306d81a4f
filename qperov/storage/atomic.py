"""Files and folders that appear whole or not at all, whatever stops the process that writes them."""

from __future__ import annotations

import errno
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qperov.errors import DiskSpaceError

#: Errors of a disk, of a quota or of a limit on files that is reached.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path``, for a file or a folder, which takes its name when the block ends.

    What was written is on the disk before it is renamed. A file that is there is replaced, and so is an empty folder.
    If the block raises, the temporary path is removed and nothing else has changed.

    Raises
    ------
    DiskSpaceError
        If the disk is full.
    OSError
        If it cannot be written otherwise, or ``path`` is a folder that holds something.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.partial")
    try:
        yield temporary
        for written in (*temporary.rglob("*"), temporary) if temporary.is_dir() else (temporary,):
            _flush(written)
        os.replace(temporary, path)
        _flush(path.parent)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        files = temporary.rglob("*") if temporary.is_dir() else [temporary]
        size = sum(file.stat().st_size for file in files if file.is_file()) / 2**20
        reason = f"{os.strerror(error.errno)} after {size:.3g} MiB of it"
        raise DiskSpaceError(f"no room for {path}: {reason}: make room, and call again") from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with suppress(OSError):
                temporary.unlink()


def remove_partial(path: str | Path) -> None:
    """Remove temporary paths beside ``path`` that a process left which was killed; none other may be writing it."""
    for left in Path(path).parent.glob(f".{glob.escape(Path(path).name)}.{'?' * 12}.partial"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def require_room(path: str | Path, size: int) -> None:
    """Raise DiskSpaceError unless the disk has room for a file of so many bytes at this path."""
    free = shutil.disk_usage(Path(path).parent).free
    if free < size:
        needed = f"it takes {size / 2**20:.3g} MiB, and {free / 2**20:.3g} MiB are free"
        raise DiskSpaceError(f"no room for {path}: {needed}: make room, and call again")


def write_text(path: str | Path, text: str) -> Path:
    """Write text as UTF-8, with backslash escapes for what is no valid Unicode; returns the path."""
    content = text.encode("utf-8", "backslashreplace")
    require_room(path, len(content))
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def _flush(path: Path) -> None:
    """Have the disk keep what was written so far."""
    if path.is_dir() and os.name == "nt":
        return  # Windows flushes no folders
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError:
        if not path.is_dir():  # some file systems flush no folders
            raise
    finally:
        os.close(handle)
