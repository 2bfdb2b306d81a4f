"""Versions of files and of installed packages."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from functools import cache
from importlib import metadata
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


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of Python and of those packages that are installed."""
    found = {package: _version(package) for package in packages}
    return {"python": platform.python_version()} | {package: version for package, version in found.items() if version}


@cache
def _version(package: str) -> str | None:
    """The version of a package, or None; its metadata are a text that takes milliseconds to read."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
