"""PyTorch, imported when it is needed, with seeds and weights as everything here uses them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from qperov.errors import MissingDependencyError

if TYPE_CHECKING:
    import torch

#: Weights of a network by the names of its layers.
State = dict[str, np.ndarray]


def import_torch(otherwise: str = "") -> ModuleType:
    """PyTorch.

    Parameters
    ----------
    otherwise : str
        What to do without it, for the message.

    Raises
    ------
    MissingDependencyError
        It is not installed.
    """
    try:
        import torch
    except ImportError as error:
        remedies = ", ".join(filter(None, ("this needs PyTorch: pip install 'qperov[torch]'", otherwise)))
        raise MissingDependencyError(remedies) from error
    return torch


def check_device(device: str) -> None:
    """See that a device is there and works in double precision.

    Raises
    ------
    MissingDependencyError
        Where torch is not installed.
    ValueError
        Where torch has no such device.
    """
    torch = import_torch()
    try:
        torch.zeros(1, dtype=torch.complex128, device=device)
    except (AssertionError, RuntimeError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"device {device!r} cannot be used for double precision here ({reason}); leave device out to use numpy"
        ) from error


def is_tensor(array: object) -> bool:
    """Whether it is one of PyTorch's tensors, without importing PyTorch."""
    return type(array).__module__.partition(".")[0] == "torch"


@contextmanager
def torch_seed(seed: int) -> Iterator[None]:
    """Everything PyTorch draws inside follows from ``seed``; its own stream goes on unchanged behind."""
    torch = import_torch()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def state_of(network: torch.nn.Module) -> State:
    """Weights as numpy arrays of their own."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}
