"""Networks, losses and optimisers of FTCP and TL-VAE as in their authors' programs.

FTCP: ``model.py`` and ``main.py`` of github.com/PV-Lab/FTCP, which differ from the supplement of the first preprint
(RMSprop 0.008, batches of 128). TL-VAE: ``tl_vae_model.py`` of github.com/chenebuah/TL-VAE. Both are for Keras, whose
first weights (Glorot's, uniform, without bias), batch norms and RMSprop are taken over.

References
----------
Z. Ren et al., Matter 5, 314 (2022), doi:10.1016/j.matt.2021.11.032.

E. T. Chenebuah, M. Nganbe, A. B. Tchagang, Proc. Canadian AI 2023, doi:10.21428/594757db.07402193.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from qperov.generative.models.base import CLASSIFIER, REGRESSOR
from qperov.generative.models.networks import channels_first, draw, kl_divergence, run_decoder
from qperov.generative.models.training import KL, Optimiser
from qperov.torch_support import import_torch

if TYPE_CHECKING:
    import torch

SLOPE = 0.2
RECONSTRUCTION, REGRESSION, CLASSIFICATION = "reconstruction", "regression", "classification"
#: FTCP: the rate falls on a plateau, and is set before epochs 50 and 100. TL-VAE: it falls as 1 / (1 + 5·10⁻⁶ step).
FTCP_OPTIMISER = Optimiser("RMSprop", lambda step, steps: 1.0, None, {50: 1e-4, 100: 5e-5}, (0.3, 4, 1e-6))
TLVAE_OPTIMISER = Optimiser("Adam", lambda step, steps: 1 / (1 + 5e-6 * step), None)


def ftcp_network(shape: tuple[int, ...], latent: int, hidden: int, heads: Sequence[str]) -> torch.nn.ModuleDict:
    """Encoder: Conv1d 32 k5 s2, 64 k3 s2, 128 k3 s1, each with batch norm and leaky ReLU, dense, sigmoid, μ and ln σ².
    Decoder: dense, ReLU, batch norm, transposed convolutions 64, 32 with batch norm and ReLU, and one to a sigmoid.
    Regressor: ReLU, dense 128 and 32 with ReLU, and one number, sigmoid.
    """
    nn = import_torch().nn
    rows, columns = shape
    flat = 128 * _quarter(rows)
    encoder: list[torch.nn.Module] = []
    for narrow, wide, kernel, stride in ((columns, 32, 5, 2), (32, 64, 3, 2), (64, 128, 3, 1)):
        encoder += [
            nn.Conv1d(narrow, wide, kernel, stride, kernel // 2), nn.BatchNorm1d(wide), nn.LeakyReLU(SLOPE)
        ]  # fmt: skip
    encoder += [nn.Flatten(), nn.Linear(flat, hidden), nn.Sigmoid(), nn.Linear(hidden, 2 * latent)]
    decoder = [nn.Linear(latent, flat), nn.ReLU(), nn.Unflatten(1, (128, flat // 128)), nn.BatchNorm1d(128)]
    decoder += [nn.ConvTranspose1d(128, 64, 3, 1, 1), nn.BatchNorm1d(64), nn.ReLU()]
    decoder += [nn.ConvTranspose1d(64, 32, 3, 2, 1, 1), nn.BatchNorm1d(32), nn.ReLU()]
    decoder += [nn.ConvTranspose1d(32, columns, 5, 2, 2, 1), nn.Sigmoid()]
    parts = {"encoder": nn.Sequential(*encoder), "decoder": nn.Sequential(*decoder)}
    return _as_in_keras(parts | {name: _head(latent, (128, 32), sigmoid=True) for name in heads})


def tlvae_network(shape: tuple[int, ...], latent: int, hidden: int, heads: Sequence[str]) -> torch.nn.ModuleDict:
    """Encoder: Conv2d 32 k3 s1, 64 k3 s2, 64 k5 s2, each with leaky ReLU and batch norm, dense, sigmoid, μ and ln σ².
    Decoder: dense, sigmoid, dense with leaky ReLU and batch norm, transposed convolutions 64 k5, 64 k3, each with leaky
    ReLU and batch norm, and one, k3 s1, to a sigmoid. Heads: ReLU, then dense with ReLU.
    """
    nn = import_torch().nn
    height, width, channels = shape
    small = (64, _quarter(height), _quarter(width))
    flat = int(np.prod(small))
    encoder: list[torch.nn.Module] = []
    for narrow, wide, kernel, stride in ((channels, 32, 3, 1), (32, 64, 3, 2), (64, 64, 5, 2)):
        encoder += [
            nn.Conv2d(narrow, wide, kernel, stride, kernel // 2), nn.LeakyReLU(SLOPE), nn.BatchNorm2d(wide)
        ]  # fmt: skip
    encoder += [nn.Flatten(), nn.Linear(flat, hidden), nn.Sigmoid(), nn.Linear(hidden, 2 * latent)]
    decoder = [nn.Linear(latent, hidden), nn.Sigmoid(), nn.Linear(hidden, flat), nn.LeakyReLU(SLOPE)]
    decoder += [nn.BatchNorm1d(flat), nn.Unflatten(1, small)]
    for kernel in (5, 3):
        decoder += [
            nn.ConvTranspose2d(64, 64, kernel, 2, kernel // 2, 1), nn.LeakyReLU(SLOPE), nn.BatchNorm2d(64)
        ]  # fmt: skip
    decoder += [nn.ConvTranspose2d(64, channels, 3, 1, 1), nn.Sigmoid()]
    widths = {REGRESSOR: (256, 128, 64, 32), CLASSIFIER: (128, 64, 32)}
    parts = {"encoder": nn.Sequential(*encoder), "decoder": nn.Sequential(*decoder)}
    return _as_in_keras(parts | {name: _head(latent, widths[name]) for name in heads})


def ftcp_terms(
    network: torch.nn.Module, inputs: torch.Tensor, targets: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Squared errors summed over entries and crystals, also those of the property, which is read from μ; KL a mean."""
    parts = dict(network.named_children())
    mean, log_variance, outputs, _ = _through(parts, inputs, network.training)
    terms = {RECONSTRUCTION: (outputs - inputs).square().sum(), KL: kl_divergence(mean, log_variance)}
    if REGRESSOR in targets:
        terms[REGRESSION] = (parts[REGRESSOR](mean).squeeze(1) - targets[REGRESSOR]).square().sum()
    return terms


def tlvae_terms(
    network: torch.nn.Module, inputs: torch.Tensor, targets: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Squared errors summed over the pixels of a channel, a mean over channels and crystals, times the size of the
    image; KL summed over z; heads on drawn z, their losses means."""
    functional = import_torch().nn.functional
    parts = dict(network.named_children())
    mean, log_variance, outputs, z = _through(parts, inputs, network.training)
    errors = (outputs - inputs).square().sum(dim=(1, 2)).mean()
    terms = {RECONSTRUCTION: inputs[0].numel() * errors, KL: mean.shape[1] * kl_divergence(mean, log_variance)}
    if REGRESSOR in targets:
        terms[REGRESSION] = functional.mse_loss(parts[REGRESSOR](z).squeeze(1), targets[REGRESSOR])
    if CLASSIFIER in targets:
        logits = parts[CLASSIFIER](z).squeeze(1)
        terms[CLASSIFICATION] = functional.binary_cross_entropy_with_logits(logits, targets[CLASSIFIER])
    return terms


def _through(
    parts: Mapping[str, torch.nn.Module], inputs: torch.Tensor, training: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """μ, ln σ², the decoder's outputs, and the z that it was given: drawn in training, otherwise μ."""
    mean, log_variance = parts["encoder"](channels_first(inputs)).chunk(2, dim=1)
    z = draw(mean, log_variance) if training else mean
    return mean, log_variance, run_decoder(parts["decoder"], z), z


def _head(latent: int, widths: tuple[int, ...], *, sigmoid: bool = False) -> torch.nn.Module:
    nn = import_torch().nn
    layers: list[torch.nn.Module] = [nn.ReLU()]
    for width, wider in pairwise((latent, *widths)):
        layers += [nn.Linear(width, wider), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 1), *([nn.Sigmoid()] if sigmoid else []))


def _quarter(size: int) -> int:
    if size % 4:
        raise ValueError(f"the published networks halve an array twice; {size} cannot be halved so")
    return size // 4


def _as_in_keras(parts: dict[str, torch.nn.Module]) -> torch.nn.ModuleDict:
    nn = import_torch().nn
    network = nn.ModuleDict(parts)
    for layer in network.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            layer.eps, layer.momentum = 1e-3, 0.01
        elif isinstance(getattr(layer, "weight", None), nn.Parameter):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return network
