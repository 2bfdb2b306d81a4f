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
