"""iMatGen's networks: autoencoders of voxel images, and the variational autoencoder of their codes.

References
----------
J. Noh et al., Matter 1, 1370 (2019), doi:10.1016/j.matt.2019.08.017, supplement S1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qperov.generative.models.base import CLASSIFIER, REGRESSOR
from qperov.generative.models.networks import kl_divergence
from qperov.generative.models.published import CLASSIFICATION, REGRESSION
from qperov.generative.models.training import KL
from qperov.generative.representations import element_properties
from qperov.generative.representations.element_properties import GRAPH_PROPERTIES, property_table
from qperov.torch_support import import_torch

if TYPE_CHECKING:
    import torch

#: Edge of the image behind the last strided convolution, and of every kernel.
EDGE = 4
SLOPE = 0.2
#: Mean images are kept this far from 0 and 1, where their log-odds are infinite.
LEAST_MEAN = 2e-3
#: Root mean square of what an encoder is given: images are so sparse that its sums grow to about 1 from this.
INPUT_SIZE = 0.3
#: Parts of the networks.
ENCODER, DECODER, POSTERIOR, ELEMENTS = "encoder", "decoder", "posterior", "elements"
#: The term of MG's loss that other models lack.
CODES = "codes"
#: What stands for 1 in the vectors of elements that go to z: a few numbers among hundreds must be heard.
ELEMENT_SIZE = 8.0


@dataclass(frozen=True)
class ImageCompression:
    """An autoencoder of images of shape (side, side, side): CELL and BASIS.

    Conv3d of kernel 4, stride 2, until the image has an edge of 4, and one more of stride 1 without padding, which
    leaves one voxel: the code, through a tanh. Back by the mirror image, to a sigmoid. Leaky ReLUs (0.2) between.

    Attributes
    ----------
    side : int
        A power of two, 8 or more.
    channels : tuple of int
        Of each strided convolution: log₂(side) − 2 of them. Published: 64 for all.
    code : int
        Published: 20 for CELL (32³), 200 for BASIS (64³; its supplement's "500" is a slip).
    """

    side: int
    channels: tuple[int, ...]
    code: int

    def __post_init__(self) -> None:
        halvings = self.side.bit_length() - 3
        if self.side < 2 * EDGE or self.side != EDGE << halvings:
            raise ValueError(f"images have an edge that is a power of two from 8, not {self.side}")
        if len(self.channels) != halvings:
            raise ValueError(f"an edge of {self.side} needs {halvings} strided convolutions, not {len(self.channels)}")
        if min(*self.channels, self.code) < 1:
            raise ValueError("every layer needs at least one channel")

    def build(self, keep_size: bool = True) -> torch.nn.ModuleDict:
        """``encoder`` (n, 1, side, side, side) → (n, code), and ``decoder`` back to log-odds of the image.

        Weights come from PyTorch's stream: of such a size that signals keep theirs from layer to layer, or of PyTorch's
        usual size, by which they fade.
        """
        nn = import_torch().nn
        inward: list[Any] = []
        outward: list[Any] = [nn.Unflatten(1, (self.code, 1, 1, 1))]
        outward += [nn.ConvTranspose3d(self.code, self.channels[-1], EDGE)]
        for narrow, wide in zip((1, *self.channels), self.channels, strict=False):
            inward += [nn.Conv3d(narrow, wide, EDGE, 2, 1), nn.LeakyReLU(SLOPE)]
        inward += [nn.Conv3d(self.channels[-1], self.code, EDGE), nn.Flatten(), nn.Tanh()]
        for wide, narrow in zip(reversed(self.channels), (*reversed(self.channels[:-1]), 1), strict=True):
            outward += [nn.LeakyReLU(SLOPE), nn.ConvTranspose3d(wide, narrow, EDGE, 2, 1)]
        if keep_size:
            for layer in (*inward, *outward):
                if isinstance(layer, (nn.Conv3d, nn.ConvTranspose3d)):
                    nn.init.kaiming_normal_(layer.weight, a=SLOPE)
                    nn.init.zeros_(layer.bias)
        return nn.ModuleDict({ENCODER: nn.Sequential(*inward), DECODER: nn.Sequential(*outward)})


@dataclass(frozen=True, eq=False)
class ImageCentre:
    """What an autoencoder sees of an image x: 0.3 (x − mean) / deviation; it adds to the log-odds of the mean.

    Images are so sparse that all crystals look alike at first. Codes that are the same for all soon draw their mean,
    and behind a tanh they stay so; a network that is given the mean has nothing to learn but the differences.

    Attributes
    ----------
    mean : ndarray, shape (side, side, side), or None
        ``None`` as published: the encoder sees x, and the image is σ(u) of the decoder's output u alone.
    deviation : float
        Root mean square of x − mean over the images learnt from.
    """

    mean: np.ndarray | None
    deviation: float

    def inputs(self, images: torch.Tensor) -> torch.Tensor:
        """Of the encoder, for images of shape (n, 1, side, side, side)."""
        if self.mean is None:
            return images
        return INPUT_SIZE / self.deviation * (images - import_torch().as_tensor(self.mean, device=images.device))

    def images(self, outputs: torch.Tensor) -> torch.Tensor:
        """Of the decoder's outputs."""
        torch = import_torch()
        if self.mean is None:
            return torch.sigmoid(outputs)
        mean = torch.as_tensor(self.mean, device=outputs.device).clamp(LEAST_MEAN, 1 - LEAST_MEAN)
        return torch.sigmoid(torch.logit(mean) + outputs)

    def loss(self, outputs: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Mean squared error of images, in units of the variance of those learnt from."""
        return import_torch().nn.functional.mse_loss(self.images(outputs), images) / self.deviation**2


@dataclass(frozen=True)
class MaterialsGenerator:
    """The variational autoencoder of a crystal's codes, MG, with heads on z.

    Convolutions of kernels 4, 4, 4, 1 and strides 2, 2, 2, 1 along the codes, with leaky ReLUs (0.2), then the mean and
    log-variance of z; back by the mirror image, to a tanh. The stability classifier is dense, tanh, one logit. The
    published sizes: length 200, width 6 (five elements, and the code of the cell filled up with zeros), channels 100,
    100, 100, 50, so 1250 numbers before z, 500 in it, and 500 units in the classifier.

    Which elements they are the published network knows by position alone, which does for one chemical system. Here a
    vector of each goes to z beside the 1250 numbers (`element_vectors`), and a head gives the elements back.

    Attributes
    ----------
    length : int
        Of a code; a multiple of 8.
    width : int
        Codes a crystal: one for each slot of an element, and the cell's.
    species : int
        Elements there are.
    properties : int
        Further entries of an element's vector.
    channels : tuple of int
        Of the four convolutions.
    latent, hidden : int
        Of z, and of a head's hidden layer.
    heads : tuple of str
        Of ``"classifier"``, ``"regressor"``.
    informed : bool
        Vectors of the elements go to z. Published: they do not.
    """

    length: int = 200
    width: int = 6
    species: int = 103
    properties: int = 92
    channels: tuple[int, ...] = (100, 100, 100, 50)
    latent: int = 500
    hidden: int = 500
    heads: tuple[str, ...] = (CLASSIFIER,)
    informed: bool = True

    def __post_init__(self) -> None:
        if self.length < 8 or self.length % 8:
            raise ValueError(f"the length of a code must be a multiple of 8, not {self.length}")
        least = min(self.width - 1, self.species, *self.channels, self.latent, self.hidden)
        if least < 1 or len(self.channels) != 4:
            raise ValueError("four convolutions, two codes, one element and one unit a layer are needed at least")

    @property
    def flat(self) -> int:
        """Numbers between the convolutions and z."""
        return self.channels[-1] * self.length // 8

    def build(self) -> torch.nn.ModuleDict:
        """Parts with weights from PyTorch's stream.

        ``encoder`` (n, width, length) → (n, flat), ``posterior`` (n, flat + slots · (species + properties)) →
        (n, 2 · latent), ``decoder`` (n, latent) → (n, width, length), ``elements`` (n, latent) → logits
        (n, slots · species), and heads.
        """
        nn = import_torch().nn
        a, b, c, d = self.channels
        slots = self.width - 1
        encoder = nn.Sequential(
            *(nn.Conv1d(self.width, a, 4, 2, 1), nn.LeakyReLU(SLOPE)),
            *(nn.Conv1d(a, b, 4, 2, 1), nn.LeakyReLU(SLOPE)),
            *(nn.Conv1d(b, c, 4, 2, 1), nn.LeakyReLU(SLOPE)),
            *(nn.Conv1d(c, d, 1), nn.LeakyReLU(SLOPE), nn.Flatten()),
        )
        decoder = nn.Sequential(
            *(nn.Linear(self.latent, self.flat), nn.LeakyReLU(SLOPE), nn.Unflatten(1, (d, self.length // 8))),
            *(nn.ConvTranspose1d(d, c, 1), nn.LeakyReLU(SLOPE)),
            *(nn.ConvTranspose1d(c, b, 4, 2, 1), nn.LeakyReLU(SLOPE)),
            *(nn.ConvTranspose1d(b, a, 4, 2, 1), nn.LeakyReLU(SLOPE)),
            *(nn.ConvTranspose1d(a, self.width, 4, 2, 1), nn.Tanh()),
        )
        vectors = slots * (self.species + self.properties) if self.informed else 0
        posterior = nn.Linear(self.flat + vectors, 2 * self.latent)
        heads = {name: self._head(1) for name in self.heads} | {ELEMENTS: self._head(slots * self.species)}
        return nn.ModuleDict({ENCODER: encoder, POSTERIOR: posterior, DECODER: decoder} | heads)

    def _head(self, outputs: int) -> torch.nn.Module:
        nn = import_torch().nn
        return nn.Sequential(nn.Linear(self.latent, self.hidden), nn.Tanh(), nn.Linear(self.hidden, outputs))


def element_vectors(elements: np.ndarray, species: Sequence[str]) -> np.ndarray:
    """One-hot elements (n, slots, species), and what is known of them, (n, slots, species + 92), zero for empty slots.

    The nine properties of crystal-graph networks in bins, less their mean over the elements: so that an element that is
    rare among the crystals learnt from is met as a neighbour of others.
    """
    known = property_table(GRAPH_PROPERTIES)[[element_properties.ELEMENTS.index(symbol) for symbol in species]]
    centred = (known - known.mean(0)).astype(np.float32)
    return np.concatenate([elements, elements @ centred], axis=-1)


def posterior_of(
    parts: Mapping[str, torch.nn.Module], codes: torch.Tensor, vectors: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and log-variance of z, each (n, latent), for codes (n, width, length) and vectors of the elements (unless
    they are not for it to see)."""
    joined = parts[ENCODER](codes)
    if parts[POSTERIOR].in_features > joined.shape[1]:
        joined = import_torch().cat([joined, ELEMENT_SIZE * vectors.flatten(1)], dim=1)
    mean, log_variance = parts[POSTERIOR](joined).chunk(2, dim=1)
    return mean, log_variance


def generator_terms(
    network: torch.nn.Module, batch: Sequence[torch.Tensor], delta: float, code_variance: float, published: bool = False
) -> dict[str, torch.Tensor]:
    """Terms of MG's loss, each a mean.

    Published, KL is a sum over the components of z, and what the published model lacks, elements and property, is read
    from z without shaping it.

    Parameters
    ----------
    network : Module
        As `MaterialsGenerator` builds it. In training z is drawn, in evaluation it is the mean.
    batch : sequence of tensor
        Codes (n, slots + 1, length), vectors of elements (n, slots, species + properties) that begin with one-hot
        ones, and for the heads the property in standard deviations and 0 or 1, each of shape (n,).
    delta, code_variance : float
        δ, and the unit of squared errors of codes.

    Returns
    -------
    dict
        ``codes``, ``elements``, ``kl``, and with labels ``regression`` and ``classification``.
    """
    pytorch = import_torch()
    functional = pytorch.nn.functional
    parts = dict(network.named_children())
    codes, vectors, *targets = batch
    mean, log_variance = posterior_of(parts, codes, vectors)
    z = mean + delta * (0.5 * log_variance).exp() * pytorch.randn_like(mean) if network.training else mean
    seen = z.detach() if published else z
    logits = parts[ELEMENTS](seen).reshape(*codes.shape[:1], codes.shape[1] - 1, -1)
    elements = vectors[..., : logits.shape[-1]]
    total = pytorch.logsumexp(pytorch.cat([logits, pytorch.zeros_like(logits[..., :1])], dim=-1), dim=-1)
    terms = {
        CODES: functional.mse_loss(parts[DECODER](z), codes) / code_variance,
        ELEMENTS: (total - (elements * logits).sum(-1)).mean(),
        KL: kl_divergence(mean, log_variance) * (mean.shape[1] if published else 1),
    }
    if targets:
        terms[REGRESSION] = functional.mse_loss(parts[REGRESSOR](seen).squeeze(1), targets[0])
        logit = parts[CLASSIFIER](z).squeeze(1)
        terms[CLASSIFICATION] = functional.binary_cross_entropy_with_logits(logit, targets[1])
    return terms
