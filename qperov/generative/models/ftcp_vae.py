"""FTCP's variational autoencoder: one-dimensional convolutions over crystal features, with a property branch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qperov.generative.models.convolutional_vae import REGRESSOR, ConvolutionalVAE
from qperov.generative.models.networks import Architecture, Convolution
from qperov.generative.representations.ftcp import FTCP
from qperov.generative.representations.representation import Representation

#: Published: channels, kernels and strides of the encoder, widths of the property branch, slope of the leaky ReLUs.
CHANNELS, KERNELS, STRIDES = (32, 64, 128), (5, 3, 3), (2, 2, 1)
PROPERTY_WIDTHS = (128, 32)
SLOPE = 0.2


class FTCPVAE(ConvolutionalVAE):
    """FTCP's autoencoder: crystals to 256 numbers and back, arranged by a property.

    Encoder: Conv1d along the rows with channels {32, 64, 128}, kernels {5, 3, 3} and strides {2, 2, 1}, each with batch
    norm and leaky ReLU (0.2), dense 1024, mean μ and log-variance of z. Decoder: the mirror image. Property branch,
    trained on drawn z and read from μ: {128, 32} → 1. Needs PyTorch (``pip install 'qperov[torch]'``).

    L = Σ_b w_b L_b / Σ_b w_b + β KL + w_p (branch(z) − y)², each term a mean over crystals and entries, y in standard
    deviations. L_b of a block of numbers is the mean squared error in standard deviations of each entry; of a block of
    choices (elements, occupancy), cross-entropy.

    **What differs from the published model.** It sums losses over the array, so that they depend on its size and the
    learning rate on the batch; it takes squared errors of one-hot entries, whose positions are nearly all zero; its
    branch ends in a sigmoid on labels scaled to [0, 1], which cannot exceed the training labels, where this one is
    linear; it scales by all crystals before they are split; RMSprop, 200 epochs. Here scalings are learnt from the
    crystals trained on, and the weights of the best epoch on crystals kept back are kept.

    Parameters
    ----------
    representation : Representation, optional
        Of two-dimensional arrays, rows × columns; ``FTCP()`` if none is given.
    latent, hidden : int
        Widths of z and of the dense layers.
    settings : int
        In how many equivalent cells each crystal is learnt from, the one given among them: axes in any order and
        direction, drawn from 48. All are kept in memory.
    epochs, batch_size : int
    learning_rate : float
        Largest rate of AdamW's one-cycle schedule.
    weight_decay : float
    beta : float
        Weight of KL(q(z | x) ‖ N(0, 1)), a mean over the components of z: β here is β · latent / (number of entries)
        of the usual sums.
    warm_up : int
        Epochs in which β grows to its value.
    property_weight : float
        w_p.
    block_weights : dict of str to float, optional
        w_b for blocks of the representation; 1 for those left out. By default 4 for ``elements`` and ``coordinates``,
        2 for ``lengths`` and ``angles``.
    validation_fraction : float
        Share of the crystals kept back at random to stop by; 0 for none.
    patience : int
        Epochs without a lower validation loss before training stops.
    device : str
        As in PyTorch: ``"cpu"``, ``"cuda"``.
    random_state : int, RandomState or None

    Attributes
    ----------
    representation_, weights_, history_, latent_, labels_
        As in `GenerativeModel`.
    scaling_ : ArrayScaling
    offset_, factor_ : float
    best_epoch_ : int
        As in `ConvolutionalVAE`.

    References
    ----------
    Z. Ren et al., Matter 5, 314 (2022), doi:10.1016/j.matt.2021.11.032.
    """

    def __init__(
        self,
        representation: Representation | None = None,
        *,
        latent: int = 256,
        hidden: int = 1024,
        settings: int = 4,
        epochs: int = 15,
        batch_size: int = 64,
        learning_rate: float = 7e-4,
        weight_decay: float = 0.05,
        beta: float = 0.01,
        warm_up: int = 3,
        property_weight: float = 1.0,
        block_weights: Mapping[str, float] | None = None,
        validation_fraction: float = 0.1,
        patience: int = 5,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.representation = representation
        self.latent = latent
        self.hidden = hidden
        self.settings = settings
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.beta = beta
        self.warm_up = warm_up
        self.property_weight = property_weight
        self.block_weights = block_weights
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.device = device
        self.random_state = random_state

    def _default_representation(self) -> Representation:
        return FTCP()

    def _architecture(self, shape: tuple[int, ...], labelled: bool) -> Architecture:
        encoder = tuple(Convolution(*layer) for layer in zip(CHANNELS, KERNELS, STRIDES, strict=True))
        channels = (*reversed(CHANNELS[:-1]), shape[-1])
        decoder = tuple(
            Convolution(c, layer.kernel, layer.stride) for c, layer in zip(channels, reversed(encoder), strict=True)
        )
        heads = {REGRESSOR: PROPERTY_WIDTHS} if labelled else {}
        return Architecture(shape, encoder, decoder, self.hidden, self.latent, heads, SLOPE)
