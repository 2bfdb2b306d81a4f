"""Names of datasets: identifiers, which may become parts of paths."""

from __future__ import annotations

import re

from qperov.errors import DatasetNameError

_NAME = re.compile(r"\w([\w .,+=()-]{0,98}[\w+=()-])?")


def check_name(name: str) -> str:
    """The name, if a dataset may have it.

    Raises
    ------
    DatasetNameError
        If it holds anything but letters, digits, spaces and ``_ - + = . , ( )``, does not begin with a letter or digit,
        ends with a space or full stop, or has more than 100 characters.
    """
    if not _NAME.fullmatch(name):
        raise DatasetNameError(
            f"{name!r} cannot name a dataset: take at most 100 letters, digits, spaces and _ - + = . , ( ), with a "
            "letter or digit first"
        )
    return name


def name_of(text: str) -> str:
    """A name made of the name of a file or service, with ``-`` for spaces and whatever else a shell trips over."""
    return re.sub(r"[^\w.+-]+", "-", text).strip("-+.")[:100].rstrip(".") or "dataset"
