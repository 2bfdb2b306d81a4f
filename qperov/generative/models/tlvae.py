"""TL-VAE: two-dimensional convolutions over images of perovskites, with a stability classifier and a regressor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.core import Structure
from scipy.special import expit

from qperov.generative.models.convolutional_vae import CLASSIFICATION, CLASSIFIER, REGRESSOR, ConvolutionalVAE
from qperov.generative.models.networks import Architecture, Convolution
from qperov.generative.representations.representation import Representation
from qperov.generative.representations.tlvae_image import TLVAEImage

#: Published: channels, kernels and strides of the encoder, and hidden widths of the two heads.
CHANNELS, KERNELS, STRIDES = (32, 64, 64), (3, 3, 5), (1, 2, 2)
CLASSIFIER_WIDTHS, REGRESSOR_WIDTHS = (128, 64, 32), (256, 128, 64, 32)


class TLVAE(ConvolutionalVAE):
    """TL-VAE: images of perovskites to 256 numbers and back, with a regressor and a stability classifier.

    Encoder: Conv2d 32 k3 s1, 64 k3 s2, 64 k5 s2, each with batch norm and ReLU, dense 1024, mean μ and log-variance of
    z. Decoder: dense 1024, dense to 15 × 22 × 64, two transposed convolutions to the image. Trained on drawn z and read
    from μ: regressor {256, 128, 64, 32} → 1 and classifier {128, 64, 32} → 1, which tells whether the property is at
    most ``threshold``. Needs PyTorch (``pip install 'qperov[torch]'``).

    L = Σ_b w_b L_b / Σ_b w_b + β KL + w_p (regressor(z) − y)² + w_s BCE, each term a mean over crystals and entries, y
    in standard deviations. L_b of a block of numbers is the mean squared error in standard deviations of each entry; of
    a block of choices (elements, binned properties), cross-entropy.

    **What differs from the published model.** It multiplies mean errors by the size of the image, and weighs both heads
    by 10 beside that sum; it takes squared errors of one-hot pixels behind a sigmoid, where nearly all are zero. Here
    scalings are learnt from the crystals trained on, numbers leave the decoder without a sigmoid, and the weights of
    the best epoch on crystals kept back are kept.

    Parameters
    ----------
    representation : Representation, optional
        Of three-dimensional arrays, height × width × channels; ``TLVAEImage()`` if none is given.
    latent, hidden : int
        Widths of z and of the dense layers.
    threshold : float
        Crystals with this property or less are the classifier's stable ones; published: E_f ≤ −1.5 eV/atom.
    settings : int
        In how many equivalent cells each crystal is learnt from, the one given among them: axes in any order and
        direction, drawn from 48. All are kept in memory.
    epochs, batch_size : int
    learning_rate : float
        Largest rate of AdamW's one-cycle schedule.
    weight_decay : float
    beta : float
        Weight of KL(q(z | x) ‖ N(0, 1)), a mean over the components of z.
    warm_up : int
        Epochs in which β grows to its value.
    property_weight, stability_weight : float
        w_p and w_s.
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
    E. T. Chenebuah, M. Nganbe, A. B. Tchagang, Proc. Canadian AI 2023, doi:10.21428/594757db.07402193.
    """

    def __init__(
        self,
        representation: Representation | None = None,
        *,
        latent: int = 256,
        hidden: int = 1024,
        threshold: float = -1.5,
        settings: int = 1,
        epochs: int = 20,
        batch_size: int = 64,
        learning_rate: float = 7e-4,
        weight_decay: float = 0.05,
        beta: float = 0.01,
        warm_up: int = 3,
        property_weight: float = 1.0,
        stability_weight: float = 1.0,
        block_weights: Mapping[str, float] | None = None,
        validation_fraction: float = 0.1,
        patience: int = 5,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.representation = representation
        self.latent = latent
        self.hidden = hidden
        self.threshold = threshold
        self.settings = settings
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.beta = beta
        self.warm_up = warm_up
        self.property_weight = property_weight
        self.stability_weight = stability_weight
        self.block_weights = block_weights
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.device = device
        self.random_state = random_state

    def predict_stability(self, structures: Sequence[Structure]) -> np.ndarray:
        """Probability that the property of crystals is at most ``threshold``, shape (n,)."""
        self._check_labelled()
        return expit(self._head(CLASSIFIER, self.encode(structures)))

    def predict_stability_latent(self, z: ArrayLike) -> np.ndarray:
        """That probability at codes of shape (n, latent), shape (n,)."""
        codes = self._checked_codes(z)
        self._check_labelled()
        return expit(self._head(CLASSIFIER, codes))

    def _default_representation(self) -> Representation:
        return TLVAEImage()

    def _head_targets(self, labels: np.ndarray) -> dict[str, np.ndarray]:
        return {CLASSIFIER: labels <= self.threshold}

    def _loss_weights(self) -> dict[str, float]:
        return super()._loss_weights() | {CLASSIFICATION: self.stability_weight}

    def _architecture(self, shape: tuple[int, ...], labelled: bool) -> Architecture:
        encoder = tuple(Convolution(*layer) for layer in zip(CHANNELS, KERNELS, STRIDES, strict=True))
        channels = (CHANNELS[0], shape[-1])
        decoder = tuple(
            Convolution(c, layer.kernel, layer.stride) for c, layer in zip(channels, encoder[:0:-1], strict=True)
        )
        heads = {REGRESSOR: REGRESSOR_WIDTHS, CLASSIFIER: CLASSIFIER_WIDTHS} if labelled else {}
        return Architecture(shape, encoder, decoder, self.hidden, self.latent, heads)
