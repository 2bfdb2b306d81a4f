"""Model files: tensors as safetensors with a JSON header; nothing in them is run."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from qperov.errors import MissingDependencyError, RecordError
from qperov.storage.atomic import atomic_path
from qperov.storage.versions import check_version
from qperov.torch_support import State

FILE_VERSION = 1


def write_model(path: str | Path, model: str, tensors: State, header: dict[str, Any]) -> Path:
    """Write arrays and what they belong to; the file appears whole or not at all.

    Parameters
    ----------
    path : str or Path
    model : str
        Name of the model's class.
    tensors : dict of str to ndarray
    header : dict
        Anything that JSON can hold.

    Raises
    ------
    MissingDependencyError
        safetensors is not installed.
    """
    numpy_files = _safetensors()
    whole = {"format": f"qperov.{model}", "version": FILE_VERSION} | header
    text = json.dumps(whole, allow_nan=False, default=np.generic.item)  # a grid search sets numpy's numbers
    contiguous = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    with atomic_path(path) as temporary:
        numpy_files.save_file(contiguous, temporary, metadata={"qperov": text})
    return Path(path)


def read_model(path: str | Path, model: str) -> tuple[State, dict[str, Any]]:
    """Arrays and header of a file of `write_model`.

    Raises
    ------
    RecordError
        The file cannot be read, or holds no such model.
    MissingDependencyError
        safetensors is not installed.
    """
    _safetensors()
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("qperov", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, TypeError, RecursionError, SafetensorError) as error:
        raise RecordError(f"{path}: no model could be read ({error})") from error
    if not isinstance(header, dict) or header.get("format") != f"qperov.{model}":
        raise RecordError(f"{path}: not a file of a {model}")
    check_version(header.get("version"), FILE_VERSION, f"{path}: file version")
    return tensors, header


def _safetensors() -> ModuleType:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise MissingDependencyError("model files need safetensors: pip install 'qperov[torch]'") from error
    return safetensors.numpy
