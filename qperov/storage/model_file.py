"""Model files: tensors as safetensors with a JSON header, and published PyTorch weights; nothing in them is run."""

from __future__ import annotations

import json
import os
import pickle
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from qperov.classical.networks import State, blank_generator, import_torch
from qperov.errors import MissingDependencyError, RecordError

FILE_VERSION = 1
#: What PyTorch's reader raises for damaged files.
UNREADABLE = (OSError, RuntimeError, EOFError, ValueError, TypeError, LookupError, AttributeError, AssertionError)


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
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.partial")
    whole = {"format": f"qperov.{model}", "version": FILE_VERSION} | header
    text = json.dumps(whole, allow_nan=False, default=np.generic.item)  # a grid search sets numpy's numbers
    contiguous = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    numpy_files.save_file(contiguous, unfinished, metadata={"qperov": text})
    os.replace(unfinished, path)
    return path


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
    if header.get("version") != FILE_VERSION:
        raise RecordError(f"{path}: version {header.get('version')} of such files is unknown, {FILE_VERSION} is known")
    return tensors, header


def read_published_state(path: str | Path, side: int) -> State:
    """Weights of CNN-Gen as its authors kept them: a state dictionary written by ``torch.save``.

    Such files are pickles. This one is read by PyTorch's restricted reader, which makes tensors and nothing else.

    Raises
    ------
    RecordError
        The file holds other things than tensors (code among them, which is not run), or other tensors.
    """
    torch = import_torch()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about pickle protocols, before it refuses them
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise RecordError(
            f"{path}: refused, because it is no plain table of weights: loading it could run code. Ask its author for "
            "the state dictionary alone (torch.save(model.state_dict(), …)) or a safetensors file"
        ) from error
    except UNREADABLE as error:
        raise RecordError(f"{path}: no PyTorch file could be read ({error})") from error
    expected = {name: tuple(value.shape) for name, value in blank_generator(side).state_dict().items()}
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise RecordError(f"{path}: not a table of tensors")
    if any(value.is_meta or value.layout != torch.strided or value.is_complex() for value in found.values()):
        raise RecordError(f"{path}: not a table of real, dense tensors")
    shapes = {name: tuple(value.shape) for name, value in found.items()}
    if shapes != expected:
        wrong = sorted(set(shapes.items()) ^ set(expected.items()), key=repr)[:4]
        raise RecordError(f"{path}: these are no weights of CNN-Gen on {side}×{side} images; differences: {wrong}")
    # numpy knows no bfloat16
    return {name: value.detach().to(torch.float64).numpy().copy() for name, value in found.items()}


def _safetensors() -> ModuleType:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise MissingDependencyError("model files need safetensors: pip install 'qperov[torch]'") from error
    return safetensors.numpy
