"""FTCP's variational autoencoder: one-dimensional convolutions over crystal features, with a property branch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from qperov.generative.models.base import CLASSIFIER, REGRESSOR
from qperov.generative.models.convolutional_vae import PUBLISHED, REPAIRED, ConvolutionalVAE
from qperov.generative.models.networks import Architecture, Convolution
from qperov.generative.models.published import FTCP_OPTIMISER, ftcp_network, ftcp_terms
from qperov.generative.representations.ftcp import FTCP
from qperov.generative.representations.representation import Representation

if TYPE_CHECKING:
    import torch

#: Published: channels, kernels and strides of the encoder, widths of the property branch, slope of the leaky ReLUs.
CHANNELS, KERNELS, STRIDES = (32, 64, 128), (5, 3, 3), (2, 2, 1)
WIDTHS = {REGRESSOR: (128, 32), CLASSIFIER: (128, 32)}
SLOPE = 0.2


class FTCPVAE(ConvolutionalVAE):
    """FTCP's autoencoder: crystals to 256 numbers and back, arranged by a property.

    Repaired, the encoder is Conv1d along the rows with channels {32, 64, 128}, kernels {5, 3, 3} and strides {2, 2, 1},
    each with batch norm and leaky ReLU (0.2), dense 1024, mean μ and log-variance of z. Decoder: the mirror image.
    Property branch: {128, 32} → 1. Parameters, loss and attributes are those of `ConvolutionalVAE`; there is a
    classifier only with a ``threshold``. Needs PyTorch (``pip install 'qperov[torch]'``).

    **The published model** (``mode="published"``; layers in `qperov.generative.models.published`) takes the array of
    ``FTCP(mode="published")``, scales each row and the labels to [0, 1] by all crystals, before any split, and sums
    squared errors over the whole array and the batch, so that they depend on its size: of one-hot entries, too, nearly
    all of which are zero. Its branch, read from μ, ends in a sigmoid and cannot exceed the training labels. L =
    reconstruction + 2 KL + 10 property; RMSprop 5·10⁻⁴, × 0.3 after 4 epochs without gain, 10⁻⁴ and 5·10⁻⁵ from epochs
    50 and 100 on; batches of 256, 200 epochs. What is still not as published: one property is learnt, not two, and
    codes are the means of z, where its program takes a draw of each.

    References
    ----------
    Z. Ren et al., Matter 5, 314 (2022), doi:10.1016/j.matt.2021.11.032.

    Examples
    --------
    >>> import qperov
    >>> known = qperov.load_dataset("abx3").take(range(8))
    >>> model = FTCPVAE(FTCP(max_sites=5), epochs=1, hidden=16, latent=4, random_state=0)
    >>> _ = model.fit(known.structures, known.y)
    >>> model.encode(known.structures).shape, len(model.sample(2, random_state=0))
    ((8, 4), 2)
    """

    DEFAULTS: ClassVar = {
        "repaired": REPAIRED | {"threshold": None, "equivalent_cells": 4, "epochs": 15},
        "published": PUBLISHED
        | {"threshold": None, "epochs": 200, "batch_size": 256, "learning_rate": 5e-4, "beta": 2.0},
    }
    OPTIMISER = FTCP_OPTIMISER
    SCALED_OVER = (0, 2)

    def _default_representation(self) -> Representation:
        return FTCP(mode=self.mode)

    def _architecture(self, shape: tuple[int, ...], heads: Sequence[str]) -> Architecture:
        known = self.hyperparameters()
        encoder = tuple(Convolution(*layer) for layer in zip(CHANNELS, KERNELS, STRIDES, strict=True))
        channels = (*reversed(CHANNELS[:-1]), shape[-1])
        decoder = tuple(
            Convolution(c, layer.kernel, layer.stride) for c, layer in zip(channels, reversed(encoder), strict=True)
        )
        widths = {name: WIDTHS[name] for name in heads}
        return Architecture(shape, encoder, decoder, known["hidden"], known["latent"], widths, SLOPE)

    def _published_network(self, shape: tuple[int, ...], heads: Sequence[str]) -> torch.nn.ModuleDict:
        known = self.hyperparameters()
        return ftcp_network(shape, known["latent"], known["hidden"], heads)

    def _published_terms(
        self, network: torch.nn.Module, inputs: torch.Tensor, targets: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        return ftcp_terms(network, inputs, targets)

    def _published_label_scale(self, labels: np.ndarray) -> tuple[float, float]:
        return float(labels.min()), float(np.ptp(labels)) or 1.0
