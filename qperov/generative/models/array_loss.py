"""Scaling of crystal arrays, and the repaired loss: of a reconstructed array, block by block, and of heads on z."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qperov.generative.models.base import CLASSIFIER, REGRESSOR
from qperov.generative.models.networks import draw, kl_divergence, posterior, run_decoder
from qperov.generative.models.published import CLASSIFICATION, RECONSTRUCTION, REGRESSION
from qperov.generative.models.training import KL
from qperov.generative.representations.representation import Block, Representation
from qperov.torch_support import import_torch

if TYPE_CHECKING:
    import torch

#: An entry that varies less than this, in units of its block's standard deviation, is scaled as if it varied so much.
LEAST_SPREAD = 0.1
#: And none is scaled as if it varied less than this, in units of the representation: rounding is not worth learning.
RESOLUTION = 0.01
#: Below this an entry is constant.
CONSTANT = 1e-6


@dataclass(frozen=True)
class Layout:
    """What the parts of an array mean, and how much each weighs in the loss.

    Attributes
    ----------
    blocks : dict of str to tuple of slice
    choices : dict of str to tuple of int
        As in `Representation`: blocks in which at most one entry along these axes is 1 and the others are 0. The others
        are blocks of numbers.
    weights : dict of str to float
        Of the mean loss of each block; 1 where there is none.
    """

    blocks: Mapping[str, Block]
    choices: Mapping[str, tuple[int, ...]]
    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        unknown = sorted(set(self.weights) - set(self.blocks))
        if unknown:
            raise ValueError(
                f"no blocks of this representation: {', '.join(unknown)}; there are {', '.join(self.blocks)}"
            )
        if min(self.weights.values(), default=1) < 0 or not sum(self.shares().values()) > 0:
            raise ValueError("weights of blocks must not be negative, and one must be positive")

    @classmethod
    def of(cls, representation: Representation, weights: Mapping[str, float]) -> Layout:
        return cls(dict(representation.blocks), dict(representation.choices), dict(weights))

    def shares(self) -> dict[str, float]:
        """Weight of each block, whether it was given or is 1."""
        return {name: self.weights.get(name, 1.0) for name in self.blocks}

    def numbers(self) -> Iterator[Block]:
        """Blocks that are no choices."""
        return (block for name, block in self.blocks.items() if name not in self.choices)


@dataclass(frozen=True, eq=False)
class ArrayScaling:
    """From arrays to a network's inputs, and from its outputs to arrays: x ↦ (x − mean) / scale for numbers.

    Choices are left as they are on the way in. On the way out, outputs u along the axes of a choice stand for
    probabilities pᵢ = exp(uᵢ) / (1 + Σ exp(u)), the rest being that of no entry at all.

    Attributes
    ----------
    mean, scale : ndarray
        Of the shape of one array. A number that was the same in all crystals learnt from has a scale of 0: it goes in
        unscaled, and comes out as it was.
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def learn(cls, arrays: np.ndarray, layout: Layout) -> ArrayScaling:
        """Mean and standard deviation of each entry over the crystals learnt from, (n, …)."""
        mean, scale = np.zeros(arrays.shape[1:], np.float32), np.ones(arrays.shape[1:], np.float32)
        for block in layout.numbers():
            part = arrays[(slice(None), *block)].astype(np.float64)
            spread = part.std(axis=0)
            common = float(np.sqrt(np.mean(spread**2)))
            mean[block] = part.mean(axis=0)
            scale[block] = np.where(spread < CONSTANT, 0, np.maximum(spread, max(LEAST_SPREAD * common, RESOLUTION)))
        return cls(mean, scale)

    @classmethod
    def of_range(cls, arrays: np.ndarray, axes: tuple[int, ...]) -> ArrayScaling:
        """Least value and range over some axes of all arrays, (n, …), so that all lie in [0, 1]: the published way."""
        low, high = arrays.min(axis=axes, keepdims=True), arrays.max(axis=axes, keepdims=True)
        scale = np.where(high > low, high - low, 1)
        return cls(*(np.broadcast_to(each[0], arrays.shape[1:]).astype(np.float32) for each in (low, scale)))

    @property
    def varies(self) -> np.ndarray:
        """Which entries were not the same in all crystals learnt from."""
        return self.scale > 0

    def inputs(self, arrays: np.ndarray) -> np.ndarray:
        return ((arrays - self.mean) / np.where(self.varies, self.scale, 1)).astype(np.float32)

    def arrays(self, outputs: np.ndarray, layout: Layout) -> np.ndarray:
        """Outputs of shape (n, …) as arrays: numbers scaled back, choices as probabilities, and zero outside blocks."""
        found = np.zeros(outputs.shape, np.float32)
        for name, block in layout.blocks.items():
            index = (slice(None), *block)
            if name not in layout.choices:
                found[index] = outputs[index] * self.scale[block] + self.mean[block]
                continue
            axes = tuple(axis + 1 for axis in layout.choices[name])
            logits = outputs[index].astype(np.float64)
            top = np.maximum(logits.max(axis=axes, keepdims=True), 0)
            weights = np.exp(logits - top)
            found[index] = weights / (np.exp(-top) + weights.sum(axis=axes, keepdims=True))
        return found


def block_losses(
    outputs: torch.Tensor, inputs: torch.Tensor, layout: Layout, varies: np.ndarray
) -> dict[str, torch.Tensor]:
    """Mean loss of each block for outputs and scaled inputs of shape (n, …).

    Numbers: mean (output − input)² over the entries that vary (``varies``, of the shape of one array), 0 if none does:
    sites that no crystal has must not dilute those that all have. Choices x with outputs u: mean cross-entropy
    −Σ xᵢ uᵢ + ln(1 + Σ exp uᵢ), where no entry at all is a choice too, of output 0; of a mixed site, fractions may be
    chosen.
    """
    torch = import_torch()
    losses = {}
    for name, block in layout.blocks.items():
        index = (slice(None), *block)
        found, true = outputs[index], inputs[index]
        if name not in layout.choices:
            mask = torch.as_tensor(varies[block], dtype=found.dtype, device=found.device)
            many = max(1, int(varies[block].sum()))
            losses[name] = ((found - true) * mask).square().flatten(1).sum(dim=1).mean() / many
            continue
        axes = tuple(axis + 1 for axis in layout.choices[name])
        total = torch.nn.functional.softplus(torch.logsumexp(found, dim=axes))
        losses[name] = (total - (true * found).sum(dim=axes)).mean()
    return losses


def reconstruction_loss(losses: Mapping[str, torch.Tensor], layout: Layout) -> torch.Tensor:
    """Σ weight · loss / Σ weight over the blocks."""
    shares = layout.shares()
    total = sum(shares.values())
    return sum((shares[name] / total * losses[name] for name in shares), start=import_torch().zeros(()))


def vae_terms(
    network: torch.nn.Module,
    inputs: torch.Tensor,
    layout: Layout,
    varies: np.ndarray,
    targets: Mapping[str, torch.Tensor],
) -> dict[str, torch.Tensor]:
    """Terms of the loss of a VAE with heads, each a mean.

    Parameters
    ----------
    network : Module
        As `Architecture` builds it. In training z is drawn, in evaluation it is the mean.
    inputs : tensor, shape (n, …)
        Scaled arrays.
    layout : Layout
    varies : ndarray of bool
        As in `block_losses`.
    targets : dict of str to tensor of shape (n,)
        Of each head: standardised property for ``"regressor"`` (squared error), 0 or 1 for ``"classifier"`` (binary
        cross-entropy of its logit).

    Returns
    -------
    dict
        ``reconstruction`` (weighted mean over blocks), ``kl``, ``regression`` and ``classification`` where there are
        such targets, and the loss of each block under ``block.`` and its name.
    """
    functional = import_torch().nn.functional
    parts = dict(network.named_children())
    mean, log_variance = posterior(parts["encoder"], inputs)
    z = draw(mean, log_variance) if network.training else mean
    losses = block_losses(run_decoder(parts["decoder"], z), inputs, layout, varies)
    terms = {RECONSTRUCTION: reconstruction_loss(losses, layout), KL: kl_divergence(mean, log_variance)}
    if REGRESSOR in targets:
        terms[REGRESSION] = functional.mse_loss(parts[REGRESSOR](z).squeeze(1), targets[REGRESSOR])
    if CLASSIFIER in targets:
        logits = parts[CLASSIFIER](z).squeeze(1)
        terms[CLASSIFICATION] = functional.binary_cross_entropy_with_logits(logits, targets[CLASSIFIER])
    return terms | {f"block.{name}": loss for name, loss in losses.items()}
