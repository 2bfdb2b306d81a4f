"""Networks of the variational autoencoders, in PyTorch, which is imported when a network is built.

Each is a `ModuleDict` of parts that are built, stored and used apart: ``encoder`` (array → mean and log-variance of
z), ``decoder`` (z → array), and heads on z (``regressor``, ``classifier``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from qperov.torch_support import State, import_torch

if TYPE_CHECKING:
    import torch


#: ln σ² stays below this. Without a bound, the exponential of a stray output throws one z far away, and the running
#: variances of the decoder's batch norms with it, which spoils its reconstructions for epochs to come.
LARGEST_LOG_VARIANCE = 2.0


@dataclass(frozen=True)
class Convolution:
    """One convolution with an odd kernel k, padded by k // 2: n entries become ⌈n / stride⌉."""

    channels: int
    kernel: int
    stride: int

    def __post_init__(self) -> None:
        if self.channels < 1 or self.stride < 1 or self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"a convolution needs channels, an odd kernel and a stride, all positive, not {self}")


@dataclass(frozen=True)
class Architecture:
    """A convolutional VAE for arrays of shape (n₁, …, n_d, channels), d = 1 to 3.

    Encoder: convolutions, each with batch norm and leaky ReLU, then a dense layer, then mean and log-variance of z.
    Decoder: dense, dense to the encoder's last map, transposed convolutions back, the last of them bare.

    Attributes
    ----------
    shape : tuple of int
        Of one array, channels last.
    encoder : tuple of Convolution
    decoder : tuple of Convolution
        Transposed; their strides must undo those of the encoder one by one (strides of 1 may be left out). The last
        one's channels are those of the array.
    hidden, latent : int
        Widths of the dense layer and of z.
    heads : dict of str to tuple of int
        Hidden widths of each head on z; each ends in one number.
    slope : float
        Of the leaky ReLUs for negative values.
    """

    shape: tuple[int, ...]
    encoder: tuple[Convolution, ...]
    decoder: tuple[Convolution, ...]
    hidden: int
    latent: int
    heads: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    slope: float = 0.0

    def __post_init__(self) -> None:
        if not 2 <= len(self.shape) <= 4 or not self.encoder or not self.decoder:
            raise ValueError(f"arrays of one to three dimensions and channels are convolved, not {self.shape}")
        if min(self.hidden, self.latent, *(width for widths in self.heads.values() for width in widths)) < 1:
            raise ValueError("every layer needs at least one unit")
        strides = [layer.stride for layer in self.encoder if layer.stride > 1]
        if strides != [layer.stride for layer in reversed(self.decoder) if layer.stride > 1]:
            raise ValueError("the strides of the decoder must be those of the encoder backwards")
        if self.decoder[-1].channels != self.shape[-1]:
            raise ValueError(f"the decoder must end in the array's {self.shape[-1]} channels")

    def maps(self) -> list[tuple[int, ...]]:
        """Size of the input, and of the map behind each convolution, without channels."""
        sizes = [self.shape[:-1]]
        for layer in self.encoder:
            sizes.append(tuple(-(-n // layer.stride) for n in sizes[-1]))
        return sizes

    def build(self) -> torch.nn.ModuleDict:
        """The network, its weights drawn from PyTorch's stream."""
        nn = import_torch().nn
        dims = len(self.shape) - 1
        convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
        transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[dims - 1]
        norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[dims - 1]
        sizes = self.maps()
        last_map = (self.encoder[-1].channels, *sizes[-1])
        flat = int(np.prod(last_map))

        def leaky() -> torch.nn.Module:
            return nn.LeakyReLU(self.slope)

        inward: list[torch.nn.Module] = []
        channels = self.shape[-1]
        for layer in self.encoder:
            one = convolution(channels, layer.channels, layer.kernel, layer.stride, layer.kernel // 2)
            channels = layer.channels
            inward += [one, norm(channels), leaky()]
        inward += [nn.Flatten(), nn.Linear(flat, self.hidden), leaky(), nn.Linear(self.hidden, 2 * self.latent)]

        outward: list[torch.nn.Module] = [nn.Linear(self.latent, self.hidden), leaky(), nn.Linear(self.hidden, flat)]
        outward += [leaky(), nn.Unflatten(1, last_map)]
        size, larger = sizes[-1], [n for n, stride in zip(sizes, self._strides(), strict=False) if stride > 1]
        for layer in self.decoder:
            target = larger.pop() if layer.stride > 1 else size
            missing = tuple(t - (n - 1) * layer.stride - 1 for t, n in zip(target, size, strict=True))
            one = transposed(channels, layer.channels, layer.kernel, layer.stride, layer.kernel // 2, missing)
            channels, size = layer.channels, target
            outward += [one, norm(channels), leaky()]
        network = nn.ModuleDict(
            {"encoder": nn.Sequential(*inward), "decoder": nn.Sequential(*outward[:-2])}
            | {name: self._head(widths) for name, widths in self.heads.items()}
        )
        # arrays come with channels last; weights laid out alike make a step a third faster
        return network.to(memory_format=import_torch().channels_last) if dims == 2 else network

    def _strides(self) -> list[int]:
        return [layer.stride for layer in self.encoder]

    def _head(self, widths: tuple[int, ...]) -> torch.nn.Module:
        nn = import_torch().nn
        layers: list[torch.nn.Module] = []
        width = self.latent
        for wider in widths:
            layers += [nn.Linear(width, wider), nn.LeakyReLU(self.slope)]
            width = wider
        return nn.Sequential(*layers, nn.Linear(width, 1))


def stored_part(
    build: Callable[[], torch.nn.ModuleDict], name: str, state: State, device: str = "cpu"
) -> torch.nn.Module:
    """One part of a network with its share of the stored weights, ready to be asked.

    Raises
    ------
    RuntimeError
        The weights are not those of this part.
    """
    torch = import_torch()
    with torch.device("meta"):
        part = build()[name]
    prefix = name + "."
    weights = {key.removeprefix(prefix): torch.tensor(value) for key, value in state.items() if key.startswith(prefix)}
    part.load_state_dict(weights, assign=True)
    return part.to(device).eval()


def channels_first(arrays: torch.Tensor) -> torch.Tensor:
    """From (n, n₁, …, n_d, channels) to (n, channels, n₁, …, n_d), as PyTorch convolves."""
    return arrays.movedim(-1, 1)


def posterior(encoder: torch.nn.Module, arrays: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and log-variance of q(z | x), each (n, latent), for arrays with channels last.

    ln σ² = 2 − ln(1 + exp(2 − u)) of the encoder's output u: u itself where it is small, and below 2 in any case.
    """
    mean, free = encoder(channels_first(arrays)).chunk(2, dim=1)
    return mean, LARGEST_LOG_VARIANCE - import_torch().nn.functional.softplus(LARGEST_LOG_VARIANCE - free)


def run_decoder(decoder: torch.nn.Module, z: torch.Tensor) -> torch.Tensor:
    """The decoder's outputs, channels last."""
    return decoder(z).movedim(1, -1)


def draw(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """z = μ + σ ε, ε ~ N(0, 1): a sample of q that passes gradients to both."""
    return mean + (0.5 * log_variance).exp() * import_torch().randn_like(mean)


def kl_divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL(q ‖ N(0, 1)) = ½ (μ² + σ² − 1 − ln σ²), mean over crystals and over the components of z.

    References
    ----------
    D. P. Kingma and M. Welling, ICLR 2014, arXiv:1312.6114, appendix B (there summed over components).
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
