"""What FTCP's and TL-VAE's autoencoders share: arrays through a convolutional VAE, with heads on the mean of z."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Structure

from qperov.generative.models.array_loss import ArrayScaling, Layout, block_losses, reconstruction_loss
from qperov.generative.models.base import GenerativeModel
from qperov.generative.models.networks import Architecture, decoded, draw, kl_divergence, posterior
from qperov.generative.models.training import KL, Progress, TrainingPlan, split_rows, train
from qperov.generative.representations.equivalent_cells import equivalent_cells
from qperov.torch_support import State, import_torch

if TYPE_CHECKING:
    import torch

#: Crystals encoded or decoded at once.
EVALUATION_BATCH = 256
#: Parts of the network, and terms of the loss.
REGRESSOR, CLASSIFIER = "regressor", "classifier"
RECONSTRUCTION, REGRESSION, CLASSIFICATION = "reconstruction", "regression", "classification"
#: Of the blocks that crystals are read from, the first two being the hardest; all others weigh 1.
BLOCK_WEIGHTS = {"elements": 4.0, "coordinates": 4.0, "lengths": 2.0, "angles": 2.0}
INPUT_MEAN, INPUT_SCALE = "inputs.mean", "inputs.scale"


class ConvolutionalVAE(GenerativeModel):
    """A `GenerativeModel` on one network of `Architecture`; subclasses give that and the targets of its heads.

    Attributes
    ----------
    scaling_ : ArrayScaling
        Of the arrays, from the crystals learnt from.
    offset_, factor_ : float
        Mean and standard deviation of their labels; only with labels.
    best_epoch_ : int
        Whose weights were kept, counted from 0.
    """

    latent: int
    settings: int
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    beta: float
    warm_up: int
    property_weight: float
    block_weights: Mapping[str, float] | None
    validation_fraction: float
    patience: int

    @abstractmethod
    def _architecture(self, shape: tuple[int, ...], labelled: bool) -> Architecture: ...

    def _head_targets(self, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Targets of heads other than the regressor, by their name."""
        return {}

    def _loss_weights(self) -> dict[str, float]:
        """Of each term of the loss."""
        return {RECONSTRUCTION: 1.0, KL: self.beta, REGRESSION: self.property_weight}

    def _layout(self) -> Layout:
        if self.block_weights is not None:
            return Layout.of(self.representation_, self.block_weights)
        # a representation of one's own may have other blocks
        known = set(BLOCK_WEIGHTS) & set(self.representation_.blocks)
        return Layout.of(self.representation_, {name: BLOCK_WEIGHTS[name] for name in known})

    def _train(
        self, crystals: list[Structure], labels: np.ndarray | None, seed: int, progress: Progress | None
    ) -> None:
        plan = TrainingPlan(
            self.epochs,
            self.batch_size,
            self.learning_rate,
            self.weight_decay,
            self._loss_weights(),
            self.warm_up,
            self.validation_fraction,
            self.patience,
        )
        if self.settings < 1:
            raise ValueError(f"settings must be at least 1, not {self.settings}")
        layout = self._layout()
        architecture = self._architecture(self.representation_.shape, labels is not None)
        learnt, kept = split_rows(len(crystals), plan.validation_fraction, seed)
        as_given = self.representation_.encode(crystals)
        arrays, held = as_given[learnt], as_given[kept]
        if copies := equivalent_cells([crystals[row] for row in learnt], self.settings - 1, seed):
            arrays = np.concatenate([arrays, self.representation_.encode(copies)])
        self.scaling_ = ArrayScaling.learn(arrays, layout)
        varies = self.scaling_.varies
        targets = {} if labels is None else self._targets(labels, learnt)

        def terms(network: torch.nn.Module, batch: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
            return vae_terms(network, batch[0], layout, varies, dict(zip(targets, batch[1:], strict=True)))

        trained = train(
            architecture.build,
            terms,
            [self.scaling_.inputs(arrays), *(np.tile(each[learnt], self.settings) for each in targets.values())],
            [self.scaling_.inputs(held), *(each[kept] for each in targets.values())],
            plan,
            seed=seed,
            device=self.device,
            progress=progress,
        )
        self.weights_, self.history_, self.best_epoch_ = trained.state, trained.history, trained.best_epoch

    def _targets(self, labels: np.ndarray, learnt: np.ndarray) -> dict[str, np.ndarray]:
        """Of every head, for all crystals; labels in standard deviations of those learnt from."""
        self.offset_, self.factor_ = float(labels[learnt].mean()), float(labels[learnt].std()) or 1.0
        targets = {REGRESSOR: (labels - self.offset_) / self.factor_} | self._head_targets(labels)
        return {name: each.astype(np.float32) for name, each in targets.items()}

    def _part(self, name: str) -> torch.nn.Module:
        architecture = self._architecture(self.representation_.shape, self.labels_ is not None)
        return architecture.part(name, self.weights_, self.device)

    def _codes(self, arrays: np.ndarray) -> np.ndarray:
        encoder = self._part("encoder")
        return _in_batches(lambda some: posterior(encoder, some)[0], self.scaling_.inputs(arrays), self.device)

    def _arrays(self, z: np.ndarray) -> np.ndarray:
        decoder = self._part("decoder")
        return self.scaling_.arrays(_in_batches(lambda some: decoded(decoder, some), z, self.device), self._layout())

    def _properties(self, z: np.ndarray) -> np.ndarray:
        return self.offset_ + self.factor_ * self._head(REGRESSOR, z)

    def _head(self, name: str, z: np.ndarray) -> np.ndarray:
        """Bare outputs of a head, shape (n,)."""
        head = self._part(name)
        return _in_batches(lambda some: head(some).squeeze(1), z, self.device).astype(np.float64)

    def _numbers(self) -> tuple[State, dict[str, Any]]:
        tensors = {INPUT_MEAN: self.scaling_.mean, INPUT_SCALE: self.scaling_.scale}
        numbers: dict[str, Any] = {"best_epoch": self.best_epoch_}
        return tensors, numbers if self.labels_ is None else numbers | {"offset": self.offset_, "factor": self.factor_}

    def _adopt_numbers(self, tensors: State, header: dict[str, Any]) -> None:
        self.scaling_ = ArrayScaling(tensors.pop(INPUT_MEAN), tensors.pop(INPUT_SCALE))
        if self.labels_ is not None:
            self.offset_, self.factor_ = float(header["offset"]), float(header["factor"])
        self.best_epoch_ = int(header["best_epoch"])
        self.weights_ = tensors
        architecture = self._architecture(self.representation_.shape, self.labels_ is not None)
        for name in ("encoder", "decoder", *architecture.heads):
            architecture.part(name, self.weights_)  # raises unless the weights fit
        if self.scaling_.mean.shape != self.representation_.shape:
            raise ValueError(f"arrays are scaled with the shape {self.scaling_.mean.shape}")


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
    losses = block_losses(decoded(parts["decoder"], z), inputs, layout, varies)
    terms = {RECONSTRUCTION: reconstruction_loss(losses, layout), KL: kl_divergence(mean, log_variance)}
    if REGRESSOR in targets:
        terms[REGRESSION] = functional.mse_loss(parts[REGRESSOR](z).squeeze(1), targets[REGRESSOR])
    if CLASSIFIER in targets:
        logits = parts[CLASSIFIER](z).squeeze(1)
        terms[CLASSIFICATION] = functional.binary_cross_entropy_with_logits(logits, targets[CLASSIFIER])
    return terms | {f"block.{name}": loss for name, loss in losses.items()}


def _in_batches(function: Any, rows: np.ndarray, device: str) -> np.ndarray:
    torch = import_torch()
    with torch.no_grad():
        found = [
            function(torch.as_tensor(rows[start : start + EVALUATION_BATCH], dtype=torch.float32, device=device))
            for start in range(0, max(1, len(rows)), EVALUATION_BATCH)
        ]
    return torch.cat(found).cpu().numpy()
