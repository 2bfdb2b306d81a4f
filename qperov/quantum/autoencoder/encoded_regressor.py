"""A property from the code of a quantum autoencoder: compression and regression as one estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from qperov.errors import keyword_only
from qperov.quantum.autoencoder.autoencoder import QuantumAutoencoder
from qperov.torch_support import import_torch

#: Expectation values that spread less than this are rounding noise; targets may have any unit.
LEAST_SPREAD = 1e-12


class TorchHead(RegressorMixin, BaseEstimator):
    """One hidden layer, y = w₂·ReLU(W₁x + b₁) + b₂, trained by Adam on the mean absolute error.

    torch is needed to fit, numpy alone to predict.

    Parameters
    ----------
    hidden : int
        Width of the hidden layer.
    mode : "fixed" or "published"
        ``"published"`` trains as the paper did: 32 hidden units, one pass, one vector a step, Adam at 0.01, nothing
        standardised. All other parameters but ``random_state`` are then without effect.
    epochs : int
    learning_rate : float
    batch_size : int
    standardize : bool
        Whether features and targets are brought to mean 0 and standard deviation 1; the paper did not.
    random_state : int, RandomState or None
        Draws the first weights and deals the batches.

    Attributes
    ----------
    weights_ : list of ndarray
        W₁ of shape (hidden, n_features), b₁, W₂ of shape (1, hidden), b₂.
    loss_history_ : list of float
        Mean absolute error of the batches in each epoch, in the units that are trained in.
    """

    @keyword_only()
    def __init__(
        self,
        hidden: int = 32,
        *,
        epochs: int = 100,
        learning_rate: float = 0.01,
        batch_size: int = 32,
        standardize: bool = True,
        random_state: int | np.random.RandomState | None = 0,
        mode: str = "fixed",
    ) -> None:
        self.hidden = hidden
        self.mode = mode
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.standardize = standardize
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> TorchHead:
        """Train the network on X of shape (n_samples, n_features) and y of shape (n_samples,).

        Raises
        ------
        ValueError
            NaN, shapes that do not fit, a parameter out of range.
        MissingDependencyError
            torch is not installed.
        """
        samples, targets = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        if self.mode not in ("fixed", "published"):
            raise ValueError(f"mode must be 'fixed' or 'published', got {self.mode!r}")
        for name in ("hidden", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.learning_rate < np.inf:
            raise ValueError(f"learning_rate must be positive and finite, got {self.learning_rate}")
        chosen = TorchHead(epochs=1, batch_size=1, standardize=False) if self.mode == "published" else self
        torch = import_torch("or give EncodedRegressor a regressor of scikit-learn")
        random = check_random_state(self.random_state)
        self.offset_, self.scale_ = _moments(samples, chosen.standardize, LEAST_SPREAD)
        self.y_offset_, self.y_scale_ = (float(v) for v in _moments(targets, chosen.standardize))
        inputs = torch.tensor((samples - self.offset_) / self.scale_)
        wanted = torch.tensor((targets - self.y_offset_) / self.y_scale_)
        shapes = ((chosen.hidden, samples.shape[1]), (chosen.hidden,), (1, chosen.hidden), (1,))
        fan_in = (samples.shape[1], samples.shape[1], chosen.hidden, chosen.hidden)
        weights = [
            torch.tensor(random.uniform(-1, 1, shape) / np.sqrt(inflow), requires_grad=True)
            for shape, inflow in zip(shapes, fan_in, strict=True)
        ]
        optimizer = torch.optim.Adam(weights, lr=chosen.learning_rate)
        self.loss_history_: list[float] = []
        for _ in range(chosen.epochs):
            total = 0.0
            for batch in torch.tensor(random.permutation(len(samples))).split(int(chosen.batch_size)):
                hidden = torch.relu(inputs[batch] @ weights[0].T + weights[1])
                loss = torch.nn.functional.l1_loss((hidden @ weights[2].T + weights[3])[:, 0], wanted[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += float(loss.detach()) * len(batch)
            self.loss_history_.append(total / len(samples))
        self.weights_ = [weight.detach().numpy().copy() for weight in weights]
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({"mode": "fixed"} | state)  # 0.1 had no mode

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predicted values, shape (n_samples,)."""
        check_is_fitted(self, "weights_")
        samples = validate_data(self, X, dtype=np.float64, reset=False)
        inputs = (samples - self.offset_) / self.scale_
        hidden = np.maximum(inputs @ self.weights_[0].T + self.weights_[1], 0)
        return (hidden @ self.weights_[2].T + self.weights_[3])[:, 0] * self.y_scale_ + self.y_offset_


def _moments(values: np.ndarray, standardize: bool, least: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of columns; 0 and 1 where nothing is to be done.

    The deviation is 1 for columns that are constant but for rounding, or spread no more than ``least``.
    """
    if not standardize:
        return np.zeros(values.shape[1:]), np.ones(values.shape[1:])
    spread = values.std(axis=0)
    tiny = 1e-10 * np.abs(values).max(axis=0)
    return values.mean(axis=0), np.where(spread > np.maximum(tiny, least), spread, 1.0)


class EncodedRegressor(RegressorMixin, BaseEstimator):
    """Autoencoder, then a regressor on the expectation values of its code, in one fit.

    The autoencoder never sees y: the code is what compression alone makes of the vectors.

    Parameters
    ----------
    autoencoder : QuantumAutoencoder or None
        None for ``QuantumAutoencoder(observables="pauli")``.
    regressor : scikit-learn regressor or None
        None for ``TorchHead()``.

    Attributes
    ----------
    autoencoder_ : QuantumAutoencoder
    regressor_ : regressor
    """

    family = "quantum"

    @keyword_only()
    def __init__(self, autoencoder: QuantumAutoencoder | None = None, *, regressor: Any = None) -> None:
        self.autoencoder = autoencoder
        self.regressor = regressor

    def fit(self, X: ArrayLike, y: ArrayLike) -> EncodedRegressor:
        """Train both parts on X of shape (n_samples, n_features) and y of shape (n_samples,).

        Raises
        ------
        ValueError, MissingDependencyError
            Whatever one of the two parts raises.
        """
        samples, targets = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        autoencoder = QuantumAutoencoder(observables="pauli") if self.autoencoder is None else clone(self.autoencoder)
        regressor = TorchHead() if self.regressor is None else clone(self.regressor)
        self.autoencoder_ = autoencoder.fit(samples)
        self.regressor_ = regressor.fit(self.autoencoder_.transform(samples), targets)
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predicted values, shape (n_samples,)."""
        check_is_fitted(self)
        samples = validate_data(self, X, dtype=np.float64, reset=False)
        return self.regressor_.predict(self.autoencoder_.transform(samples))
