"""Files and folders that appear whole or not at all, whatever stops the process that writes them."""

from __future__ import annotations

import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path``, for a file or a folder, which takes its name when the block ends.

    What was written is on the disk before it is renamed. A file that is there is replaced, and so is an empty folder.
    If the block raises, the temporary path is removed and nothing else has changed.

    Raises
    ------
    OSError
        If it cannot be written, or ``path`` is a folder that holds something.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.partial")
    try:
        yield temporary
        for written in (*temporary.rglob("*"), temporary) if temporary.is_dir() else (temporary,):
            _flush(written)
        os.replace(temporary, path)
        _flush(path.parent)
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


def write_text(path: str | Path, text: str) -> Path:
    """Write text as UTF-8, with backslash escapes for what is no valid Unicode; returns the path."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
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
