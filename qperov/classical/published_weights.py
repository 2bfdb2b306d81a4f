"""Weights that the papers' authors published as PyTorch files; nothing in them is run."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

from qperov.classical.networks import blank_generator
from qperov.errors import RecordError
from qperov.torch_support import State, import_torch

#: What PyTorch's reader raises for damaged files.
UNREADABLE = (OSError, RuntimeError, EOFError, ValueError, TypeError, LookupError, AttributeError, AssertionError)


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
