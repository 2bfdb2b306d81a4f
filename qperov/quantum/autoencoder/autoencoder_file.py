"""Angles of an autoencoder as a JSON file: read without running code, written in one step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from qperov.errors import RecordError
from qperov.storage.atomic import write_text
from qperov.storage.versions import check_version

#: What a file of angles calls itself.
FILE_FORMAT, FILE_VERSION = "qperov.QuantumAutoencoder", 1


def write_angles(path: str | Path, content: dict[str, Any]) -> Path:
    """Write parameters, angles and history; the file appears whole or not at all."""
    whole = {"format": FILE_FORMAT, "version": FILE_VERSION} | content
    text = json.dumps(whole, indent=1, allow_nan=False, default=np.generic.item)  # a grid search sets numpy's numbers
    return write_text(path, text + "\n")


def read_angles(path: str | Path) -> dict[str, Any]:
    """Content of a file of `write_angles`.

    Raises
    ------
    RecordError
        The file cannot be read, is not such a file, or is of another version.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path}: no angles of a quantum autoencoder could be read ({error})") from error
    if not isinstance(content, dict) or content.get("format") != FILE_FORMAT:
        raise RecordError(f"{path}: not a file of a quantum autoencoder's angles")
    check_version(content.get("version"), FILE_VERSION, f"{path}: file version")
    return content
