"""The papers' two networks, in PyTorch, which is imported when a network is built.

Layers carry the names of the published state dictionaries (``conv1.0.weight``, ``out.2.bias``, …).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from qperov.torch_support import State, import_torch

if TYPE_CHECKING:
    import torch

#: Channels of the two convolutions, and width of the hidden layer behind them.
CHANNELS, HIDDEN = (32, 64), 128
#: Two poolings leave nothing of a smaller image.
LEAST_SIDE = 4
#: Hidden units of the discriminator's LSTM and of the layer behind it.
LSTM_UNITS, LSTM_HEAD = 32, 10


def image_side(n_features: int) -> int:
    """Side n of the smallest n×n image, n ≥ 4, that holds a row of features."""
    return max(LEAST_SIDE, int(np.ceil(np.sqrt(n_features))))


def images(X: np.ndarray) -> np.ndarray:
    """Rows as square images, filled up with zeros at the end, shape (n_samples, 1, n, n); n² features fill one."""
    side = image_side(X.shape[1])
    flat = np.zeros((len(X), side * side), dtype=X.dtype)
    flat[:, : X.shape[1]] = X
    return flat.reshape(-1, 1, side, side)


def generator(side: int) -> torch.nn.Module:
    """CNN-Gen, from images of shape (batch, 1, n, n) to numbers of shape (batch, 1).

    Conv(1→32, k5, pad 2) ReLU MaxPool2 · Conv(32→64, k5, pad 2) ReLU MaxPool2 · 64·⌊n/4⌋² → 128 ReLU → 1.
    """
    nn = import_torch().nn

    def block(inward: int, outward: int) -> torch.nn.Module:
        return nn.Sequential(nn.Conv2d(inward, outward, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2))

    head = nn.Sequential(nn.Linear(CHANNELS[1] * (side // 4) ** 2, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
    layers = OrderedDict(conv1=block(1, CHANNELS[0]), conv2=block(*CHANNELS), flat=nn.Flatten(), out=head)
    return nn.Sequential(layers)


def discriminator(n_inputs: int = 1, spectral_norm: bool = False) -> torch.nn.Module:
    """LSTM(32) → 10 ReLU → 1 over a queue of property values; ask it by `logits`.

    Parameters
    ----------
    n_inputs : int
        Numbers a step of the sequence: one, or the whole queue in the published form.
    spectral_norm : bool
        Keep the largest singular value of the two layers behind the LSTM at one.
    """
    nn = import_torch().nn
    first, last = nn.Linear(LSTM_UNITS, LSTM_HEAD), nn.Linear(LSTM_HEAD, 1)
    if spectral_norm:
        first, last = (nn.utils.parametrizations.spectral_norm(layer) for layer in (first, last))
    lstm = nn.LSTM(n_inputs, LSTM_UNITS, batch_first=True)
    return nn.ModuleDict({"lstm": lstm, "out": nn.Sequential(first, nn.ReLU(), last)})


def logits(network: torch.nn.Module, sequences: torch.Tensor) -> torch.Tensor:
    """log D/(1 − D) of sequences of shape (batch, length, n_inputs), shape (batch,)."""
    parts = dict(network.named_children())
    hidden, _ = parts["lstm"](sequences)
    return parts["out"](hidden[:, -1]).squeeze(1)


# --- weights as arrays, so that models can be pickled, compared and written without PyTorch --------


def blank_generator(side: int) -> torch.nn.Module:
    """CNN-Gen without weights: takes no memory whatever its side, and draws nothing."""
    with import_torch().device("meta"):
        return generator(side)


def generator_with(state: State, side: int, device: str = "cpu") -> torch.nn.Module:
    """CNN-Gen with given weights, in double precision: a prediction must not depend on what else is in its batch."""
    torch = import_torch()
    network = blank_generator(side)
    weights = {name: torch.tensor(value, dtype=torch.float64) for name, value in state.items()}
    network.load_state_dict(weights, assign=True)
    return network.to(device).eval()


def evaluate(network: torch.nn.Module, pictures: np.ndarray, device: str = "cpu", batch: int = 256) -> np.ndarray:
    """Outputs of the generator for images of shape (n, 1, side, side), shape (n,)."""
    torch = import_torch()
    found = []
    with torch.no_grad():
        for start in range(0, len(pictures), batch):
            some = torch.as_tensor(pictures[start : start + batch], dtype=torch.float64, device=device)
            found.append(network(some).squeeze(1).cpu().numpy())
    return np.concatenate(found)
