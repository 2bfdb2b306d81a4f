"""What is said of files of a version that cannot be read."""

from __future__ import annotations

from typing import Any

from qperov.errors import RecordError


def check_version(found: Any, known: int, what: str) -> None:
    """Refuse a file of another version than the one that is known.

    Raises
    ------
    RecordError
        With the remedy: a newer qperov for a newer file, the one that wrote it for any other.
    """
    if found != known or isinstance(found, bool):
        newer = isinstance(found, int) and found > known
        remedy = "upgrade qperov" if newer else "use the qperov that wrote it"
        raise RecordError(f"{what} {found!r}, but this qperov reads {known}; {remedy}")
