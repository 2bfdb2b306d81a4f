"""TL-VAE: two-dimensional convolutions over images of perovskites, with a stability classifier and a regressor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from qperov.generative.models.base import CLASSIFIER, REGRESSOR
from qperov.generative.models.convolutional_vae import PUBLISHED, REPAIRED, ConvolutionalVAE
from qperov.generative.models.networks import Architecture, Convolution
from qperov.generative.models.published import TLVAE_OPTIMISER, tlvae_network, tlvae_terms
from qperov.generative.representations.representation import Representation
from qperov.generative.representations.tlvae_image import TLVAEImage

if TYPE_CHECKING:
    import torch

#: Published: channels, kernels and strides of the encoder, and hidden widths of the two heads.
CHANNELS, KERNELS, STRIDES = (32, 64, 64), (3, 3, 5), (1, 2, 2)
WIDTHS = {REGRESSOR: (256, 128, 64, 32), CLASSIFIER: (128, 64, 32)}
#: Published: crystals with a formation energy (eV/atom) up to this are stable.
STABLE = -1.5


class TLVAE(ConvolutionalVAE):
    """TL-VAE: images of perovskites to 256 numbers and back, with a regressor and a stability classifier.

    Repaired, the encoder is Conv2d 32 k3 s1, 64 k3 s2, 64 k5 s2, each with batch norm and ReLU, dense 1024, mean μ and
    log-variance of z. Decoder: dense 1024, dense to 15 × 22 × 64, two transposed convolutions to the image. Regressor
    {256, 128, 64, 32} → 1 and classifier {128, 64, 32} → 1, which tells whether the property is at most ``threshold``
    (−1.5). Parameters, loss and attributes are those of `ConvolutionalVAE`. Needs PyTorch
    (``pip install 'qperov[torch]'``).

    **The published model** (``mode="published"``; layers in `qperov.generative.models.published`) takes the image of
    ``TLVAEImage(mode="published")``, every pixel scaled to [0, 1] by all crystals. It multiplies the squared error of
    the image, already a sum, by the image's size, and weighs both heads by 10 beside that and the KL divergence;
    one-hot pixels, nearly all of them zero, count like all others. Adam 10⁻⁴ / (1 + 5·10⁻⁶ step), batches of 32
    (Keras's default), 150 epochs, labels in their own unit. Not public, and so ours: how the 60 × 88 × 3 numbers are
    laid out and scaled. The program of its ancestor of 154 × 60 numbers (github.com/chenebuah/high_dim_descriptor),
    whose order of rows is public (`qperov.generative.representations.tlvae_image`), scales each number by all crystals.

    References
    ----------
    E. T. Chenebuah, M. Nganbe, A. B. Tchagang, Proc. Canadian AI 2023, doi:10.21428/594757db.07402193.

    Examples
    --------
    >>> import qperov
    >>> known = qperov.load_dataset("abx3").take(range(8))
    >>> model = TLVAE(epochs=1, hidden=16, latent=4, random_state=0).fit(known.structures, known.y)
    >>> model.predict(known.structures).shape
    (8,)
    """

    DEFAULTS: ClassVar = {
        "repaired": REPAIRED | {"threshold": STABLE, "equivalent_cells": 1, "epochs": 20},
        "published": PUBLISHED
        | {"threshold": STABLE, "epochs": 150, "batch_size": 32, "learning_rate": 1e-4, "beta": 1.0},
    }
    OPTIMISER = TLVAE_OPTIMISER

    def _default_representation(self) -> Representation:
        return TLVAEImage(mode=self.mode)

    def _architecture(self, shape: tuple[int, ...], heads: Sequence[str]) -> Architecture:
        known = self.hyperparameters()
        encoder = tuple(Convolution(*layer) for layer in zip(CHANNELS, KERNELS, STRIDES, strict=True))
        channels = (CHANNELS[0], shape[-1])
        decoder = tuple(
            Convolution(c, layer.kernel, layer.stride) for c, layer in zip(channels, encoder[:0:-1], strict=True)
        )
        widths = {name: WIDTHS[name] for name in heads}
        return Architecture(shape, encoder, decoder, known["hidden"], known["latent"], widths)

    def _published_network(self, shape: tuple[int, ...], heads: Sequence[str]) -> torch.nn.ModuleDict:
        known = self.hyperparameters()
        return tlvae_network(shape, known["latent"], known["hidden"], heads)

    def _published_terms(
        self, network: torch.nn.Module, inputs: torch.Tensor, targets: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        return tlvae_terms(network, inputs, targets)
