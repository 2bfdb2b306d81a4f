"""What FTCP's and TL-VAE's autoencoders share: arrays through a convolutional VAE, with heads on the mean of z."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Structure

from qperov.errors import keyword_only
from qperov.evaluation.progress import Progress
from qperov.generative.models.array_loss import ArrayScaling, Layout, vae_terms
from qperov.generative.models.base import CLASSIFIER, REGRESSOR, GenerativeModel
from qperov.generative.models.networks import Architecture, posterior, run_decoder, stored_part
from qperov.generative.models.published import CLASSIFICATION, RECONSTRUCTION, REGRESSION
from qperov.generative.models.training import KL, ONE_CYCLE, Optimiser, TrainingPlan, split_rows, train
from qperov.generative.representations.equivalent_cells import draw_equivalent_cells
from qperov.generative.representations.representation import Representation
from qperov.torch_support import State, import_torch

if TYPE_CHECKING:
    import torch

#: Crystals encoded or decoded at once.
EVALUATION_BATCH = 256
#: Of the blocks that crystals are read from, the first two being the hardest; all others weigh 1.
BLOCK_WEIGHTS = {"elements": 4.0, "coordinates": 4.0, "lengths": 2.0, "angles": 2.0}
INPUT_MEAN, INPUT_SCALE = "inputs.mean", "inputs.scale"
#: What both repaired models share of their parameters.
REPAIRED: dict[str, Any] = {
    "latent": 256,
    "hidden": 1024,
    "batch_size": 64,
    "learning_rate": 7e-4,
    "weight_decay": 0.05,
    "beta": 0.01,
    "warm_up": 3,
    "property_weight": 1.0,
    "stability_weight": 1.0,
    "validation_fraction": 0.1,
    "patience": 5,
}
#: And what both published ones share: nothing is kept back, and each crystal is learnt from as it is.
PUBLISHED: dict[str, Any] = REPAIRED | {
    "equivalent_cells": 1,
    "weight_decay": 0.0,
    "warm_up": 0,
    "property_weight": 10.0,
    "stability_weight": 10.0,
    "validation_fraction": 0.0,
}


class ConvolutionalVAE(GenerativeModel):
    """A `GenerativeModel` on one convolutional network; `FTCPVAE` and `TLVAE` give it, and the mode's parameters.

    The repaired loss: L = Σ_b w_b L_b / Σ_b w_b + β KL + w_p (regressor(z) − y)² + w_s BCE, each term a mean over
    crystals and entries, y in standard deviations, heads trained on drawn z and read from μ. L_b of a block of numbers
    is the mean squared error in standard deviations of each entry; of a block of choices (elements, occupancy, binned
    properties), cross-entropy. Scalings are learnt from the crystals trained on, the weights of the best epoch on
    crystals kept back are kept, and AdamW's learning rate goes through one cycle.

    Parameters
    ----------
    representation : Representation, optional
        The model's own, in its mode, if none is given.
    mode : {"repaired", "published"}
        The published model, its faults included, or the repaired one. Parameters left at ``None`` have the values of
        the mode (`DEFAULTS`).
    latent, hidden : int
        Widths of z and of the dense layers.
    threshold : float
        Crystals with this property or less are the stable ones of a classifier on z; without it there is none.
    equivalent_cells : int
        In how many equivalent cells each crystal is learnt from, the one given among them: axes in any order and
        direction, drawn from 48. All are kept in memory.
    epochs, batch_size : int
    learning_rate : float
        Largest one of the schedule.
    weight_decay : float
        Of AdamW.
    beta : float
        Weight of KL(q(z | x) ‖ N(0, 1)), a mean over the components of z: β here is β · latent / (number of entries)
        of the usual sums.
    warm_up : int
        Epochs in which β grows to its value.
    property_weight, stability_weight : float
        w_p and w_s.
    block_weights : dict of str to float, optional
        w_b for blocks of the representation; 1 for those left out. By default 4 for ``elements`` and ``coordinates``,
        2 for ``lengths`` and ``angles``. The published mode has none.
    validation_fraction : float
        Share of the crystals kept back at random to stop by; 0 for none.
    patience : int
        Epochs without a lower validation loss before training stops.
    device : str
        As in PyTorch: ``"cpu"``, ``"cuda"``.
    random_state : int, RandomState or None

    Attributes
    ----------
    scaling_ : ArrayScaling
        Of the arrays.
    best_epoch_ : int
        Whose weights were kept, counted from 0.
    """

    @keyword_only(settings="equivalent_cells")
    def __init__(
        self,
        representation: Representation | None = None,
        *,
        mode: str = "repaired",
        latent: int | None = None,
        hidden: int | None = None,
        threshold: float | None = None,
        equivalent_cells: int | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        beta: float | None = None,
        warm_up: int | None = None,
        property_weight: float | None = None,
        stability_weight: float | None = None,
        block_weights: Mapping[str, float] | None = None,
        validation_fraction: float | None = None,
        patience: int | None = None,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.representation = representation
        self.mode = mode
        self.latent = latent
        self.hidden = hidden
        self.threshold = threshold
        self.equivalent_cells = equivalent_cells
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

    #: Of the published mode.
    OPTIMISER: Optimiser
    #: Axes over which the published scaling takes least and greatest values.
    SCALED_OVER: tuple[int, ...] = (0,)

    @abstractmethod
    def _architecture(self, shape: tuple[int, ...], heads: Sequence[str]) -> Architecture: ...

    @abstractmethod
    def _published_network(self, shape: tuple[int, ...], heads: Sequence[str]) -> torch.nn.ModuleDict: ...

    @abstractmethod
    def _published_terms(
        self, network: torch.nn.Module, inputs: torch.Tensor, targets: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]: ...

    def _published_label_scale(self, labels: np.ndarray) -> tuple[float, float]:
        """What is subtracted from labels, and what they are divided by."""
        return 0.0, 1.0

    def _heads(self, labelled: bool) -> list[str]:
        classifier = [CLASSIFIER] * (self.hyperparameters()["threshold"] is not None)
        return [REGRESSOR, *classifier] if labelled else []

    def _builder(self, heads: Sequence[str]) -> Callable[[], torch.nn.ModuleDict]:
        shape = self.representation_.shape
        if self.mode == "published":
            return lambda: self._published_network(shape, heads)
        return self._architecture(shape, heads).build

    def _layout(self) -> Layout:
        blocks = self.representation_.blocks
        if self.mode == "published":
            return Layout({"all": tuple(slice(None) for _ in self.representation_.shape)}, {}, {})
        if self.block_weights is not None:
            return Layout.of(self.representation_, self.block_weights)
        # a representation of one's own may have other blocks
        return Layout.of(self.representation_, {name: w for name, w in BLOCK_WEIGHTS.items() if name in blocks})

    def _plan(self) -> TrainingPlan:
        known = self.hyperparameters()
        weights = {
            RECONSTRUCTION: 1.0,
            KL: known["beta"],
            REGRESSION: known["property_weight"],
            CLASSIFICATION: known["stability_weight"],
        }
        names = ("epochs", "batch_size", "learning_rate", "weight_decay", "warm_up", "validation_fraction", "patience")
        optimiser = self.OPTIMISER if self.mode == "published" else ONE_CYCLE
        return TrainingPlan(weights=weights, optimiser=optimiser, **{name: known[name] for name in names})

    def _cells(self) -> int:
        many = self.hyperparameters()["equivalent_cells"]
        if many < 1:
            raise ValueError(f"equivalent_cells must be at least 1, not {many}")
        return many

    def _train(
        self,
        crystals: list[Structure],
        arrays: np.ndarray,
        labels: np.ndarray | None,
        random_state: int,
        progress: Progress | None,
        initial: State,
    ) -> None:
        plan, cells, layout = self._plan(), self._cells(), self._layout()
        heads = self._heads(labels is not None)
        build = self._builder(heads)
        learnt, kept = split_rows(len(crystals), plan.validation_fraction, random_state)
        rows, held = arrays[learnt], arrays[kept]
        if copies := draw_equivalent_cells([crystals[row] for row in learnt], cells - 1, random_state):
            rows = np.concatenate([rows, self.representation_.encode(copies)])
        published = self.mode == "published"
        self.scaling_ = (
            ArrayScaling.of_range(arrays, self.SCALED_OVER) if published else ArrayScaling.learn(rows, layout)
        )
        varies = self.scaling_.varies
        targets = {} if labels is None else self._targets(labels, learnt, heads)

        def terms(network: torch.nn.Module, batch: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
            known = dict(zip(targets, batch[1:], strict=True))
            if published:
                return self._published_terms(network, batch[0], known)
            return vae_terms(network, batch[0], layout, varies, known)

        result = train(
            build,
            terms,
            [self.scaling_.inputs(rows), *(np.tile(each[learnt], cells) for each in targets.values())],
            [self.scaling_.inputs(held), *(each[kept] for each in targets.values())],
            plan,
            random_state=random_state,
            device=self.device,
            progress=progress,
            initial=initial,
        )
        self.weights_, self.history_, self.best_epoch_ = result.state, result.history, result.best_epoch

    def _targets(self, labels: np.ndarray, learnt: np.ndarray, heads: Sequence[str]) -> dict[str, np.ndarray]:
        """Of every head, for all crystals; repaired, labels are in standard deviations of those learnt from."""
        if self.mode == "published":
            self.offset_, self.factor_ = self._published_label_scale(labels)
        else:
            self.offset_, self.factor_ = float(labels[learnt].mean()), float(labels[learnt].std()) or 1.0
        targets = {REGRESSOR: (labels - self.offset_) / self.factor_}
        if CLASSIFIER in heads:
            targets[CLASSIFIER] = labels <= self.hyperparameters()["threshold"]
        return {name: each.astype(np.float32) for name, each in targets.items()}

    def _part(self, name: str) -> torch.nn.Module:
        return stored_part(self._builder(self._heads(self.labels_ is not None)), name, self.weights_, self.device)

    def _codes(self, arrays: np.ndarray) -> np.ndarray:
        encoder = stored_part(self._builder([]), "encoder", self.weights_, self.device)
        return _in_batches(lambda some: posterior(encoder, some)[0], self.scaling_.inputs(arrays), self.device)

    def _decode(self, z: np.ndarray) -> list[Structure | None]:
        decoder = self._part("decoder")
        outputs = _in_batches(lambda some: run_decoder(decoder, some), z, self.device)
        return self.representation_.decode(self.scaling_.arrays(outputs, self._layout()))

    def _head(self, name: str) -> Callable[[np.ndarray], np.ndarray]:
        head = self._part(name)
        return lambda z: _in_batches(lambda some: head(some).squeeze(1), z, self.device).astype(np.float64)

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
        for name in ("encoder", "decoder", *self._heads(self.labels_ is not None)):
            self._part(name)  # raises unless the weights fit
        if self.scaling_.mean.shape != self.representation_.shape:
            raise ValueError(f"arrays are scaled with the shape {self.scaling_.mean.shape}")


def _in_batches(function: Any, rows: np.ndarray, device: str) -> np.ndarray:
    torch = import_torch()
    with torch.no_grad():
        outputs = [
            function(torch.as_tensor(rows[start : start + EVALUATION_BATCH], dtype=torch.float32, device=device))
            for start in range(0, max(1, len(rows)), EVALUATION_BATCH)
        ]
    return torch.cat(outputs).cpu().numpy()
