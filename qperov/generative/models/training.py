"""Training of a network on a sum of mean losses: KL warm-up, crystals kept back to stop by, and the best weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from qperov.errors import DivergedTrainingError
from qperov.evaluation.progress import Progress
from qperov.torch_support import State, import_torch, state_of, torch_seed

if TYPE_CHECKING:
    import torch

#: Name of the term whose weight is warmed up.
KL = "kl"
#: Share of the steps in which the learning rate rises.
RISE = 0.1
#: Greatest norm of a step's gradient; beyond, σ = exp(½ ln σ²) can run away within a few steps.
GRADIENT_NORM = 1.0
#: Losses that progress tells of.
TOLD = ("loss", "validation_loss")

#: Unweighted terms of the loss, each a mean, for a network and one batch of each array.
Terms = Callable[["torch.nn.Module", "Sequence[torch.Tensor]"], "dict[str, torch.Tensor]"]


def share_of_rate(step: int, steps: int) -> float:
    """Share of the largest learning rate in a step, from 0: linear up to 1, then half a cosine down to 0."""
    rise = max(1, round(RISE * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step + 1 - rise) / max(1, steps - rise)))


@dataclass(frozen=True)
class Optimiser:
    """How weights follow gradients.

    Attributes
    ----------
    method : {"AdamW", "Adam", "RMSprop"}
        RMSprop with Keras's numbers: it forgets a tenth of the squared gradients in each step.
    share : callable
        Step and steps in all to the share of the learning rate.
    gradient_norm : float, optional
        Greatest norm of a step's gradient.
    rates : dict of int to float
        Learning rates that are set before some epochs, counted from 0.
    plateau : tuple of (float, int, float), optional
        Factor by which the rate falls after so many epochs without a loss lower by 10⁻⁴, and the least rate.
    """

    method: str = "AdamW"
    share: Callable[[int, int], float] = share_of_rate
    gradient_norm: float | None = GRADIENT_NORM
    rates: Mapping[int, float] = field(default_factory=dict)
    plateau: tuple[float, int, float] | None = None

    def build(self, network: torch.nn.Module, rate: float, weight_decay: float) -> torch.optim.Optimizer:
        torch, parameters = import_torch(), network.parameters()
        if self.method == "AdamW":
            return torch.optim.AdamW(parameters, lr=rate, weight_decay=weight_decay, fused=True)
        if self.method == "Adam":
            return torch.optim.Adam(parameters, lr=rate, eps=1e-7)
        return torch.optim.RMSprop(parameters, lr=rate, alpha=0.9, eps=1e-7)


ONE_CYCLE = Optimiser()


@dataclass(frozen=True)
class TrainingPlan:
    """How a network is trained.

    Attributes
    ----------
    epochs, batch_size : int
    learning_rate : float
        Largest of the optimiser's schedule; by default one cycle: up for a tenth of the steps, then down to nothing.
    weight_decay : float
    weights : dict of str to float
        Of each term of the loss; L = Σ weight · term. A term without a weight is recorded, not learnt from.
    warm_up : int
        Epochs in which the weight of the term ``"kl"`` grows linearly from nothing to its value.
    validation_fraction : float
        Share of the crystals kept back, drawn at random; 0 for none.
    patience : int
        Epochs without a lower validation loss before training stops.
    optimiser : Optimiser
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    weights: Mapping[str, float]
    warm_up: int
    validation_fraction: float
    patience: int
    optimiser: Optimiser = ONE_CYCLE

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2), ("patience", 1), ("warm_up", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if not 0 < self.learning_rate < np.inf or not 0 <= self.weight_decay < np.inf:
            raise ValueError("learning_rate must be positive and finite, and weight_decay not negative")
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(f"validation_fraction must lie in [0, 1), not {self.validation_fraction}")
        wrong = {name: weight for name, weight in self.weights.items() if not 0 <= weight < np.inf}
        if wrong:
            raise ValueError(f"weights of a loss must be finite and not negative, unlike {wrong}")

    def weights_in(self, epoch: int) -> dict[str, float]:
        """Weights in an epoch, counted from 0."""
        share = min(1.0, (epoch + 1) / self.warm_up) if self.warm_up else 1.0
        return {name: weight * share if name == KL else weight for name, weight in self.weights.items()}


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """What training left.

    Attributes
    ----------
    state : dict of str to ndarray
        Weights of the epoch with the lowest validation loss; of the last one where nothing was kept back.
    history : dict of str to list of float
        One number an epoch: ``loss`` and every term (unweighted) on the crystals learnt from, as they were during the
        epoch, and ``validation_loss``, ``validation_…`` on those kept back, behind it and with all weights in full.
    best_epoch : int
        Of the weights, counted from 0.
    """

    state: State
    history: dict[str, list[float]]
    best_epoch: int


def split_rows(n: int, fraction: float, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from, at least two, and rows kept back, none for a fraction of 0; each sorted."""
    many = min(round(fraction * n), n - 2)
    if many < 1:
        return np.arange(n), np.arange(0)
    order = np.random.default_rng(random_state).permutation(n)
    return np.sort(order[many:]), np.sort(order[:many])


def train(
    build: Callable[[], torch.nn.Module],
    terms: Terms,
    learnt: Sequence[np.ndarray],
    kept: Sequence[np.ndarray],
    plan: TrainingPlan,
    *,
    random_state: int,
    device: str = "cpu",
    progress: Progress | None = None,
    initial: State | None = None,
) -> TrainingResult:
    """Minimise L = Σ weight · term with the plan's optimiser.

    Every term is a mean over a batch, so that L and the learning rate that suits it do not depend on the size of the
    batch or of the set, as the published sums do. Batches of an epoch are of one size within one crystal.

    Parameters
    ----------
    build : callable
        Gives the network; it draws its weights from PyTorch's stream.
    terms : callable
        Of the network and a batch of each array. In evaluation mode (``network.training`` false) it must draw nothing.
    learnt, kept : sequences of ndarray
        Arrays with one row per crystal, in single precision or as they are to be seen: those to learn from, and those
        kept back (with no rows if nothing is).
    plan : TrainingPlan
    random_state : int
        The same seed gives the same weights on one machine with as many threads.
    device : str
        As in PyTorch.
    progress : Progress, optional
    initial : dict of str to ndarray, optional
        Weights to go on from (fine-tuning) in place of drawn ones.

    Raises
    ------
    DivergedTrainingError
        The loss is no longer finite.
    RuntimeError
        The initial weights are not this network's.
    """
    torch = import_torch()
    rows = [torch.as_tensor(array, device=device) for array in learnt]
    held = [torch.as_tensor(array, device=device) for array in kept]
    n, batches = len(rows[0]), -(-len(rows[0]) // plan.batch_size)
    history: dict[str, list[float]] = {}
    with torch_seed(random_state):
        network = build().to(device)
        if initial:
            network.load_state_dict({name: torch.tensor(value) for name, value in initial.items()})
        way, rate = plan.optimiser, plan.learning_rate
        optimizer = way.build(network, rate, plan.weight_decay)
        steps, least, since = count(), np.inf, 0
        best, best_loss, best_epoch = None, np.inf, 0

        def step(loss: Any) -> None:
            for group in optimizer.param_groups:
                group["lr"] = rate * way.share(next(steps), plan.epochs * batches)
            optimizer.zero_grad()
            loss.backward()
            if way.gradient_norm is not None:
                torch.nn.utils.clip_grad_norm_(network.parameters(), way.gradient_norm)
            optimizer.step()

        for epoch in range(plan.epochs):
            rate = way.rates.get(epoch, rate)
            losses = _train_epoch(
                network, terms, rows, plan.weights_in(epoch), torch.randperm(n).tensor_split(batches), step
            )
            if len(held[0]):
                losses |= _evaluate(network, terms, held, plan)
            for name, value in losses.items():
                history.setdefault(name, []).append(value)
            if not np.isfinite(list(losses.values())).all():
                raise DivergedTrainingError(
                    f"the loss is no longer finite in epoch {epoch + 1}: {losses}; lower the learning rate"
                )
            if progress is not None:
                told = [f"{name.replace('_', ' ')} {losses[name]:.4g}" for name in TOLD if name in losses]
                progress(epoch + 1, plan.epochs, ", ".join(told))
            if way.plateau is not None:
                factor, patience, floor = way.plateau
                least, since = (losses["loss"], 0) if losses["loss"] < least - 1e-4 else (least, since + 1)
                if since >= patience:
                    rate, since = max(factor * rate, floor), 0
            if not len(held[0]):
                best_epoch = epoch
            elif losses["validation_loss"] < best_loss:
                best, best_loss, best_epoch = state_of(network), losses["validation_loss"], epoch
            elif epoch - best_epoch >= plan.patience:
                break
        return TrainingResult(state_of(network) if best is None else best, history, best_epoch)


def total_loss(terms: Mapping[str, torch.Tensor], weights: Mapping[str, float]) -> torch.Tensor:
    """L = Σ weight · term over the terms that have a weight."""
    return sum(
        (weight * terms[name] for name, weight in weights.items() if name in terms), start=import_torch().zeros(())
    )


def _train_epoch(
    network: torch.nn.Module,
    terms: Terms,
    rows: Sequence[torch.Tensor],
    weights: Mapping[str, float],
    batches: Sequence[torch.Tensor],
    step: Callable[[torch.Tensor], None],
) -> dict[str, float]:
    """One epoch, and its mean losses."""
    sums: dict[str, float] = {}
    n = sum(map(len, batches))
    network.train()
    for batch in batches:
        parts = terms(network, [array[batch] for array in rows])
        loss = total_loss(parts, weights)
        step(loss)
        _add(sums, {"loss": loss} | parts, len(batch) / n)
    return sums


def _evaluate(
    network: torch.nn.Module, terms: Terms, held: Sequence[torch.Tensor], plan: TrainingPlan
) -> dict[str, float]:
    sums: dict[str, float] = {}
    n = len(held[0])
    network.eval()
    with import_torch().no_grad():
        for start in range(0, n, plan.batch_size):
            some = [array[start : start + plan.batch_size] for array in held]
            parts = terms(network, some)
            _add(sums, {"loss": total_loss(parts, plan.weights)} | parts, len(some[0]) / n)
    return {f"validation_{name}": value for name, value in sums.items()}


def _add(sums: dict[str, float], parts: Mapping[str, torch.Tensor], share: float) -> None:
    for name, value in parts.items():
        sums[name] = sums.get(name, 0.0) + share * value.item()
