"""The game of WSP-GAN: queues of property values, the discriminator's and the generator's losses, and their steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from qperov.classical.networks import discriminator, generator, logits
from qperov.classical.training import make_optimizer
from qperov.evaluation.progress import progress_bar
from qperov.torch_support import State, import_torch, state_of, torch_seed

if TYPE_CHECKING:
    import torch

#: MATGANICSS's program rounds what the generator gives to so many decimals.
PUBLISHED_DECIMALS = 6


@dataclass(frozen=True)
class GameSettings:
    """How generator and discriminator play; see `WSPGAN` for the meaning of each."""

    program: str
    queue: int
    fake_step: str
    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    generator_loss: str
    adversarial_weight: float
    supervised_weight: float
    gradient_penalty: float
    spectral_norm: bool

    def __post_init__(self) -> None:
        least_queue = 1 if self.program == "matganip" else 2
        for name, least in (("queue", least_queue), ("steps", 1), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if not 0 < self.learning_rate < np.inf:
            raise ValueError(f"learning_rate must be positive and finite, not {self.learning_rate}")
        for name in ("weight_decay", "adversarial_weight", "supervised_weight", "gradient_penalty"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, but is {getattr(self, name)}")
        if self.generator_loss not in ("saturating", "non_saturating"):
            raise ValueError(f'generator_loss must be "saturating" or "non_saturating", not {self.generator_loss!r}')
        if self.fake_step not in ("replace", "append"):
            raise ValueError(f'fake_step must be "replace" or "append", not {self.fake_step!r}')

    @property
    def repaired(self) -> bool:
        """Whether it follows none of the authors' programs."""
        return self.program == "fixed"

    @property
    def cut(self) -> bool:
        """Whether the generator's value is rounded, which cuts its gradient, and the queue is one step of n numbers."""
        return self.program == "matganicss"


@dataclass(eq=False)
class PropertyQueue:
    """The last n real property values, oldest first.

    A real step appends x_t and drops the oldest: x_r. A fake step makes x_f, whose last value is the generator's. What
    stands before it is either the history that x_t itself has in x_r (``"replace"``), or ends in x_t (``"append"``,
    figure S1 of the paper: the fake follows the real value and the oldest is dropped). The next real step removes the
    fake again, so that the queue keeps real values alone.

    With ``"append"`` a perfect generator repeats x_t at once, which no real queue does: the discriminator tells it
    from the truth, and a generator that deceives it must not depend on the crystal. With ``"replace"`` the queues of a
    perfect generator are the real ones, and D = 1/2 is reached.
    """

    values: torch.Tensor
    fake_step: str

    def real_step(self, real: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Append values of shape (batch,) one after another.

        Returns
        -------
        x_r : tensor, shape (batch, n)
        history : tensor, shape (batch, n − 1)
            What stands before the generated value in x_f.
        """
        torch = import_torch()
        length = len(self.values)
        stream = torch.cat([self.values, real])
        windows = stream.unfold(0, length, 1)[1:]
        self.values = stream[-length:]
        return windows, windows[:, :-1] if self.fake_step == "replace" else windows[:, 1:]


def fake_queues(history: torch.Tensor, generated: torch.Tensor) -> torch.Tensor:
    """x_f: generated values of shape (batch,) behind their histories, shape (batch, n)."""
    return import_torch().cat([history, generated[:, None]], dim=1)


def discriminator_loss(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """L_D = −mean[log D(x_r) + log(1 − D(x_f))] from logits of D; 2 ln 2 where D = 1/2."""
    softplus = import_torch().nn.functional.softplus
    return softplus(-real).mean() + softplus(fake).mean()


def generator_loss(fake: torch.Tensor, kind: str) -> torch.Tensor:
    """L_G from logits of D(x_f): mean log(1 − D), ``"saturating"``, or −mean log D, ``"non_saturating"``."""
    softplus = import_torch().nn.functional.softplus
    return -softplus(fake).mean() if kind == "saturating" else softplus(-fake).mean()


def gradient_penalty(network: torch.nn.Module, real: torch.Tensor) -> torch.Tensor:
    """R₁ = ½ mean ‖∂ logit D(x_r) / ∂x_r‖², zero where D is flat around real queues.

    References
    ----------
    L. Mescheder, A. Geiger and S. Nowozin, ICML 2018, arXiv:1801.04406, Eq. 9.
    """
    torch = import_torch()
    points = real.detach().requires_grad_(True)
    with torch.backends.cudnn.flags(enabled=False):  # cuDNN's LSTM has no second derivatives
        slopes = torch.autograd.grad(logits(network, points).sum(), points, create_graph=True)[0]
    return 0.5 * slopes.flatten(1).square().sum(dim=1).mean()


@dataclass(eq=False)
class Game:
    """Weights at the end, and one entry a step in each list of ``history``."""

    generator: State = field(default_factory=dict)
    discriminator: State = field(default_factory=dict)
    history: dict[str, list[float]] = field(default_factory=dict)

    def note(self, **values: torch.Tensor) -> None:
        for name, value in values.items():
            self.history.setdefault(name, []).append(value.item())


def play(
    pictures: np.ndarray,
    target: np.ndarray,
    unlabelled: np.ndarray,
    settings: GameSettings,
    random_state: int,
    device: str,
    progress: bool,
) -> Game:
    """Odd steps train the discriminator, even steps the discriminator and then the generator.

    Parameters
    ----------
    pictures : ndarray, shape (n, 1, side, side)
    target : ndarray, shape (n,)
        Scaled labels.
    unlabelled : ndarray, shape (m, 1, side, side)
        Crystals without labels, m ≥ 0; they are met in fake steps.
    settings : GameSettings
    random_state : int
    device : str
    progress : bool
    """
    torch = import_torch()
    dtype = torch.float32 if settings.repaired else torch.float64
    inputs, others, labels = (
        torch.as_tensor(values, dtype=dtype, device=device) for values in (pictures, unlabelled, target)
    )
    game = Game()
    with torch_seed(random_state), progress_bar(settings.steps, progress) as advance:
        g = generator(pictures.shape[-1]).to(device=device, dtype=dtype)
        n_inputs = settings.queue if settings.cut else 1
        d = discriminator(n_inputs, settings.spectral_norm).to(device=device, dtype=dtype)
        cycle = settings.repaired
        g_optimizer, after_g = make_optimizer(
            g, settings.learning_rate, settings.weight_decay, settings.steps // 2 if cycle else None
        )
        d_optimizer, after_d = make_optimizer(d, settings.learning_rate, 0.0, settings.steps if cycle else None)
        queue = PropertyQueue(labels[torch.randint(len(labels), (settings.queue,))], settings.fake_step)
        labelled_rows = _batches(len(inputs), settings.batch_size, replace=not settings.repaired)
        other_rows = _batches(len(others), min(settings.batch_size, len(inputs)))
        for step in range(1, settings.steps + 1):
            rows = next(labelled_rows)
            seen, real = inputs[rows], labels[rows]
            windows, history = queue.real_step(real)
            if len(others):
                more = others[next(other_rows)[: len(rows)]]
                seen, history = torch.cat([seen, more]), torch.cat([history, history[: len(more)]])
            with torch.set_grad_enabled(step % 2 == 0):
                generated = g(seen).squeeze(1)
            fake = fake_queues(history, _rounded(generated) if settings.cut else generated)
            x_r, x_f = (_sequences(x, settings.cut) for x in (windows, fake))

            real_logits, fake_logits = logits(d, x_r), logits(d, x_f.detach())
            loss_d = discriminator_loss(real_logits, fake_logits)
            penalty = settings.gradient_penalty * gradient_penalty(d, x_r) if settings.gradient_penalty else 0.0
            _take_step(d_optimizer, loss_d + penalty, after_d)
            supervised = torch.nn.functional.mse_loss(generated[: len(rows)], real)
            game.note(
                d_real=torch.sigmoid(real_logits).mean(),
                d_fake=torch.sigmoid(fake_logits).mean(),
                loss_d=loss_d,
                loss_g=generator_loss(fake_logits, settings.generator_loss),
                supervised_loss=supervised,
            )
            if step % 2 == 0:
                loss_g = settings.adversarial_weight * generator_loss(logits(d, x_f), settings.generator_loss)
                if settings.supervised_weight:
                    loss_g = loss_g + settings.supervised_weight * supervised
                _take_step(g_optimizer, loss_g, after_g)
            advance(loss_d.item())
        game.generator, game.discriminator = state_of(g), state_of(d)
    return game


def _take_step(optimizer: torch.optim.Optimizer, loss: torch.Tensor, after_step: Callable[[], None]) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    after_step()


def _rounded(generated: torch.Tensor) -> torch.Tensor:
    """MATGANICSS's fault: a number that was taken out of its graph and rounded carries no gradient."""
    numbers = [round(value, PUBLISHED_DECIMALS) for value in generated.tolist()]
    return import_torch().as_tensor(numbers, dtype=generated.dtype, device=generated.device)


def _sequences(queues: torch.Tensor, one_step: bool) -> torch.Tensor:
    """A queue as n steps of one number; MATGANICSS: as one step of n numbers, in which the LSTM never recurs."""
    return queues[:, None, :] if one_step else queues[:, :, None]


def _batches(n: int, size: int, replace: bool = False) -> Iterator[torch.Tensor]:
    """Rows in random order without end, each once before any comes again, or drawn with replacement."""
    torch = import_torch()
    while True:
        if replace:
            yield torch.randint(n, (max(1, int(size)),))
        else:
            yield from torch.randperm(n).split(max(1, int(size)))
