"""Training of a circuit's angles: Adam on batches, L-BFGS on everything at once, stopped early, the best kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from qperov.evaluation.progress import progress_bar

#: (angles, columns) -> loss and gradient; columns are states times the square roots of their weights.
Objective = Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]

#: Directions of the data's mean density matrix that weigh less than this are left out: all of them together change the
#: loss by less than 2ⁿ times as much.
LEAST_WEIGHT = 1e-12

#: Steps that L-BFGS remembers.
MEMORY = 30

OPTIMIZERS = ("lbfgs", "adam")


@dataclass(frozen=True)
class TrainingSettings:
    """How to train.

    Attributes
    ----------
    optimizer : str
        ``"lbfgs"`` (all samples in every step) or ``"adam"``.
    epochs : int
        Passes over the samples at most; for L-BFGS its iterations.
    learning_rate : float
        Of Adam.
    batch_size : int or None
        Samples in a step of Adam; None for all.
    patience : int or None
        Stop after so many epochs without a gain; None to go through all of them.
    tolerance : float
        What counts as a gain in the loss.
    """

    optimizer: str = "lbfgs"
    epochs: int = 500
    learning_rate: float = 0.05
    batch_size: int | None = None
    patience: int | None = 50
    tolerance: float = 1e-8

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"unknown optimizer {self.optimizer!r}; known are {', '.join(OPTIMIZERS)}")
        if self.batch_size is not None and self.optimizer == "lbfgs":
            raise ValueError("L-BFGS takes all samples in every step: leave batch_size at None, or use 'adam'")
        for name in ("epochs", "batch_size", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not 0 < self.learning_rate < np.inf:
            raise ValueError(f"learning_rate must be positive and finite, got {self.learning_rate}")
        if not 0 <= self.tolerance < np.inf:
            raise ValueError(f"tolerance must not be negative, got {self.tolerance}")


@dataclass
class TrainingResult:
    """What training found.

    Attributes
    ----------
    angles : ndarray of shape (n_angles,)
        Those of the least loss seen.
    loss : float
    history : list of float
        Loss over all samples before training and after each epoch.
    step_losses : list of float
        Loss of its own batch in each step of Adam, before the step.
    """

    angles: np.ndarray
    loss: float
    history: list[float]
    step_losses: list[float] = field(default_factory=list)


def principal_columns(states: np.ndarray) -> np.ndarray:
    """Columns C with C·Cᵀ = mean of |z⟩⟨z|, at most 2**n of them however many states there are.

    The loss depends on the samples through this matrix alone, so a pass over all of them costs the same for ten and
    for ten million.
    """
    weights, vectors = np.linalg.eigh(states.T @ states / len(states))
    kept = weights > LEAST_WEIGHT
    return vectors[:, kept] * np.sqrt(weights[kept])


def train(
    objective: Objective,
    angles: np.ndarray,
    states: np.ndarray,
    settings: TrainingSettings,
    random_state: np.random.RandomState,
    progress: bool = False,
) -> TrainingResult:
    """Minimise an objective over angles.

    Parameters
    ----------
    objective : callable
    angles : ndarray of shape (n_angles,)
        Where to start.
    states : ndarray of shape (n_samples, 2**n_qubits)
        Normalised rows.
    settings : TrainingSettings
    random_state : RandomState
        Deals the batches.
    progress : bool
        Show a bar on standard error.
    """
    columns = principal_columns(states)
    loss = objective(angles, columns)[0]
    result = TrainingResult(angles.copy(), loss, [loss])
    with progress_bar(settings.epochs, progress) as advance:
        watch = _Watch(result, settings, advance)
        if settings.optimizer == "lbfgs":
            _lbfgs(objective, columns, watch)
        else:
            _adam(objective, states, columns, watch, random_state)
    return result


class _Watch:
    """Notes each epoch's loss, keeps the best angles, and says when to stop."""

    def __init__(self, result: TrainingResult, settings: TrainingSettings, advance: Callable[[float], None]) -> None:
        self.result, self.settings, self._advance = result, settings, advance
        self._reference, self._since = result.loss, 0

    def finished(self, angles: np.ndarray, loss: float) -> bool:
        self.result.history.append(loss)
        self._advance(loss)
        if loss < self.result.loss:
            self.result.loss, self.result.angles = loss, angles.copy()
        if loss < self._reference - self.settings.tolerance:
            self._reference, self._since = loss, 0
        else:
            self._since += 1
        return self.settings.patience is not None and self._since >= self.settings.patience


def _lbfgs(objective: Objective, columns: np.ndarray, watch: _Watch) -> None:
    from scipy.optimize import OptimizeResult, minimize

    def after(intermediate_result: OptimizeResult) -> None:
        if watch.finished(intermediate_result.x, float(intermediate_result.fun)):
            raise StopIteration

    epochs = watch.settings.epochs
    options = {"maxiter": epochs, "maxfun": 20 * epochs, "maxcor": MEMORY, "ftol": 0.0, "gtol": 0.0}
    minimize(
        objective, watch.result.angles, args=(columns,), jac=True, method="L-BFGS-B", callback=after, options=options
    )


def _adam(
    objective: Objective, states: np.ndarray, columns: np.ndarray, watch: _Watch, random_state: np.random.RandomState
) -> None:
    """Adam with the usual decay rates 0.9 and 0.999: D. P. Kingma, J. Ba (2014), doi:10.48550/arXiv.1412.6980."""
    settings, size = watch.settings, watch.settings.batch_size
    angles = watch.result.angles.copy()
    mean, square, step = np.zeros_like(angles), np.zeros_like(angles), 0
    for _ in range(settings.epochs):
        for batch in _batches(states, columns, size, random_state):
            loss, gradient = objective(angles, batch)
            watch.result.step_losses.append(loss)
            step += 1
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.999 * square + 0.001 * gradient**2
            corrected = np.sqrt(square / (1 - 0.999**step)) + 1e-8
            angles = angles - settings.learning_rate / (1 - 0.9**step) * mean / corrected
        if watch.finished(angles, objective(angles, columns)[0]):
            return


def _batches(
    states: np.ndarray, columns: np.ndarray, size: int | None, random_state: np.random.RandomState
) -> Iterator[np.ndarray]:
    if size is None:
        yield columns
        return
    order = random_state.permutation(len(states))
    for start in range(0, len(order), size):
        rows = states[order[start : start + size]]
        yield rows.T / np.sqrt(len(rows))
