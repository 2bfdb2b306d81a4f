"""Training the generator on labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qperov.classical.networks import generator
from qperov.evaluation.progress import progress_bar
from qperov.torch_support import State, import_torch, state_of, torch_seed

if TYPE_CHECKING:
    import torch

#: Fewer validation crystals than this cannot say when to stop.
LEAST_VALIDATION = 8


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is fitted to labels.

    Attributes
    ----------
    epochs, batch_size : int
    learning_rate : float
        Largest of the one-cycle schedule, or that of every step without it.
    weight_decay : float
    loss : {"mse", "l1"}
    one_cycle : bool
    validation_fraction : float
        Share of the crystals kept back to stop by; 0 for none.
    patience : int
        Epochs without a lower validation loss before it stops.
    double : bool
        Compute in double precision.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    loss: str
    one_cycle: bool
    validation_fraction: float
    patience: int
    double: bool = False

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("patience", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if not 0 < self.learning_rate < np.inf or self.weight_decay < 0:
            raise ValueError("learning_rate must be positive and finite, and weight_decay not negative")
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(f"validation_fraction must lie in [0, 1), not {self.validation_fraction}")
        if self.loss not in ("mse", "l1"):
            raise ValueError(f'loss must be "mse" or "l1", not {self.loss!r}')


@dataclass(frozen=True, eq=False)
class TrainingOutcome:
    """Weights, and loss of each epoch on the crystals trained on and on those kept back (empty without any)."""

    state: State
    losses: list[float]
    validation_losses: list[float]


def train_generator(
    pictures: np.ndarray, target: np.ndarray, settings: TrainingSettings, random_state: int, device: str, progress: bool
) -> TrainingOutcome:
    """Fit CNN-Gen to scaled targets of shape (n,) on images of shape (n, 1, side, side)."""
    torch = import_torch()
    dtype = torch.float64 if settings.double else torch.float32
    inputs = torch.as_tensor(pictures, dtype=dtype, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.as_tensor(target, dtype=dtype, device=device)
    kept, rows = _split(len(target), settings.validation_fraction, random_state)
    loss = torch.nn.functional.mse_loss if settings.loss == "mse" else torch.nn.functional.l1_loss
    losses: list[float] = []
    validation_losses: list[float] = []
    with torch_seed(random_state), progress_bar(settings.epochs, progress) as advance:
        network = generator(pictures.shape[-1]).to(device=device, dtype=dtype)
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        steps = settings.epochs * -(-len(rows) // settings.batch_size)
        optimizer, after_step = make_optimizer(
            network, settings.learning_rate, settings.weight_decay, steps if settings.one_cycle else None
        )
        best, best_loss, since = state_of(network), np.inf, 0
        for _ in range(settings.epochs):
            total = 0.0
            for batch in torch.as_tensor(rows)[torch.randperm(len(rows))].split(int(settings.batch_size)):
                optimizer.zero_grad()
                value = loss(network(inputs[batch]).squeeze(1), labels[batch])
                value.backward()
                optimizer.step()
                after_step()
                total += len(batch) * value.item()
            losses.append(total / len(rows))
            advance(losses[-1])
            if not len(kept):
                continue
            with torch.no_grad():
                validation_losses.append(loss(network(inputs[kept]).squeeze(1), labels[kept]).item())
            since += 1
            if validation_losses[-1] < best_loss:
                best, best_loss, since = state_of(network), validation_losses[-1], 0
            if since >= settings.patience:
                break
        return TrainingOutcome(best if len(kept) else state_of(network), losses, validation_losses)


def make_optimizer(
    network: torch.nn.Module, learning_rate: float, weight_decay: float, one_cycle_steps: int | None
) -> tuple[torch.optim.Optimizer, Callable[[], None]]:
    """AdamW, and what to call after each of its steps; with a number of steps, its rate goes through one cycle.

    Without weight decay AdamW is Adam.
    """
    torch = import_torch()
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=weight_decay)
    if one_cycle_steps is None:
        return optimizer, lambda: None
    # the schedule has taken its first step when it is made, and refuses numpy's integers
    steps = max(2, int(one_cycle_steps) + 1)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps).step


def _split(n: int, fraction: float, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    """Crystals kept back and crystals trained on; none are kept back where they would be too few."""
    many = min(round(fraction * n), n - 1)
    if many < LEAST_VALIDATION:
        return np.arange(0), np.arange(n)
    order = np.random.RandomState(random_state).permutation(n)
    return order[:many], order[many:]
