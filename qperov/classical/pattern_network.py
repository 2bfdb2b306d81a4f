"""An all-convolutional network that names the class of a pattern, and shows on what it decides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from qperov.classical.training import make_optimizer
from qperov.errors import RecordError
from qperov.evaluation.progress import progress_bar
from qperov.storage.model_file import read_model, write_model
from qperov.torch_support import import_torch, state_of, torch_seed

if TYPE_CHECKING:
    import torch

#: Cosines of the position with which a pattern enters, the constant among them: convolutions alone see no angles.
WAVES = 8
#: The score of a class is so many times the mean of its map: peaks fill a small part of a pattern.
GAIN = 10.0
#: Length and step of the kernels of each layer.
LAYERS = ((15, 4), (9, 2), (5, 1))
#: Parameters that belong to the machine and the moment, not to the model.
NOT_SAVED = ("device", "random_state", "progress")


class PatternNetwork(ClassifierMixin, BaseEstimator):
    r"""All-convolutional network for patterns: three convolutions, the mean over all angles, a linear layer.

    The pattern times cos(π k u), k = 0…7, u from 0 to 1 along it · Conv(8→c, k15, step 4) ReLU · Conv(c→c, k9, step 2)
    ReLU · Conv(c→c, k5) ReLU · linear · ten times the mean over positions. Since the mean comes last, the score of a
    class is that of its activation map :math:`M_k(x) = \sum_c w_{kc} f_c(x) + b_k`. Classes count alike in the loss,
    whatever their numbers. In training each pattern is moved along its grid, and stretches of it made stronger and
    weaker, at random. Needs PyTorch (``pip install 'qperov[torch]'``).

    Parameters
    ----------
    channels : int
    epochs, batch_size : int
    learning_rate : float
        Largest rate of AdamW's one-cycle schedule.
    weight_decay : float
    shift : int
        Points of the grid by which a pattern is moved at most.
    scatter : float
        Standard deviation of the logarithm of the factors of its stretches (a twentieth of the pattern each).
    device : str
        As in PyTorch.
    random_state : int, RandomState or None
    progress : bool
        Show a progress bar on standard error.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    weights_ : dict of str to ndarray
    scale_ : float
        Root mean square of all points of the training patterns, by which patterns are divided.
    loss_history_ : list of float

    References
    ----------
    B. Zhou, A. Khosla, A. Lapedriza, A. Oliva and A. Torralba, Learning Deep Features for Discriminative Localization
    (2016), arXiv:1512.04150: the activation maps.
    """

    def __init__(
        self,
        *,
        channels: int = 24,
        epochs: int = 60,
        batch_size: int = 16,
        learning_rate: float = 1e-2,
        weight_decay: float = 0.05,
        shift: int = 4,
        scatter: float = 0.3,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = 0,
        progress: bool = False,
    ) -> None:
        self.channels = channels
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.shift = shift
        self.scatter = scatter
        self.device = device
        self.random_state = random_state
        self.progress = progress

    def fit(self, X: ArrayLike, y: ArrayLike) -> PatternNetwork:
        """Train on patterns of shape (n_samples, n_points) and class labels of shape (n_samples,).

        Raises
        ------
        ValueError
            NaN or infinity, one class only, or too few points for the kernels.
        MissingDependencyError
            PyTorch is not installed.
        """
        torch = import_torch()
        rows, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"the number of classes has to be greater than one; got {len(self.classes_)} class")
        self.scale_ = float(np.sqrt(np.mean(rows**2))) or 1.0
        inputs = torch.as_tensor(rows / self.scale_, dtype=torch.float32, device=self.device)
        target = torch.as_tensor(numbers, device=self.device)
        weights = torch.as_tensor(1 / np.bincount(numbers), dtype=torch.float32, device=self.device)
        seed = int(check_random_state(self.random_state).randint(2**31))
        rng = np.random.default_rng(seed)
        self.loss_history_: list[float] = []
        with torch_seed(seed), progress_bar(self.epochs, self.progress) as advance:
            network = _network(self.channels, len(self.classes_)).to(self.device)
            steps = self.epochs * -(-len(rows) // self.batch_size)
            optimizer, after_step = make_optimizer(network, self.learning_rate, self.weight_decay, steps)
            for _ in range(self.epochs):
                total = 0.0
                for batch in torch.as_tensor(rng.permutation(len(rows))).split(int(self.batch_size)):
                    optimizer.zero_grad()
                    scores = GAIN * network(_waves(self._varied(inputs[batch], rng))).mean(dim=-1)
                    loss = torch.nn.functional.cross_entropy(scores, target[batch], weight=weights)
                    loss.backward()
                    optimizer.step()
                    after_step()
                    total += len(batch) * loss.item()
                self.loss_history_.append(total / len(rows))
                advance(self.loss_history_[-1])
            self.weights_ = state_of(network)
        return self

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Probability of each class, shape (n_samples, n_classes)."""
        return softmax(GAIN * self._maps(X).mean(axis=2), axis=1)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The most probable class, shape (n_samples,)."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def class_activation(self, X: ArrayLike) -> np.ndarray:
        """What each point adds to the score of each class, shape (n_samples, n_classes, n_points).

        Activation maps on the points of the input, by linear interpolation between the centres of what each value sees.
        """
        maps = self._maps(X)
        step = int(np.prod([step for _, step in LAYERS]))
        centres = step * np.arange(maps.shape[2])
        points = np.arange(self.n_features_in_)
        return np.apply_along_axis(lambda values: np.interp(points, centres, values), 2, maps)

    def save(self, path: str | Path) -> Path:
        """Write weights and parameters as one safetensors file, in one step.

        Raises
        ------
        MissingDependencyError
            safetensors is not installed.
        """
        check_is_fitted(self, "weights_")
        header = {
            "parameters": {k: v for k, v in self.get_params().items() if k not in NOT_SAVED},
            "classes": [str(name) for name in self.classes_],
            "n_features": self.n_features_in_,
            "scale": self.scale_,
            "loss_history": self.loss_history_,
        }
        return write_model(path, type(self).__name__, self.weights_, header)

    @classmethod
    def load(cls, path: str | Path) -> PatternNetwork:
        """A network as `save` wrote it, ready to predict; its classes are text.

        Raises
        ------
        RecordError
            The file is not such a file, or of another version.
        """
        weights, header = read_model(path, cls.__name__)
        try:
            model = cls(**header["parameters"])
            model.classes_ = np.array([str(name) for name in header["classes"]])
            model.n_features_in_ = int(header["n_features"])
            model.scale_ = float(header["scale"])
            model.weights_, model.loss_history_ = weights, header["loss_history"]
            model._maps(np.zeros((1, model.n_features_in_)))  # raises unless the weights fit
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RecordError(f"{path}: what this file holds fits no {cls.__name__} ({error})") from error
        return model

    def _maps(self, X: ArrayLike) -> np.ndarray:
        """Activation maps, shape (n_samples, n_classes, n_positions)."""
        check_is_fitted(self, "weights_")
        torch = import_torch()
        rows = validate_data(self, X, dtype=np.float64, reset=False) / self.scale_
        with torch.device("meta"):
            network = _network(self.channels, len(self.classes_))
        # in double precision: a prediction must not depend on what else is in its batch
        state = {name: torch.tensor(value, dtype=torch.float64) for name, value in self.weights_.items()}
        network.load_state_dict(state, assign=True)
        with torch.no_grad():
            inputs = torch.as_tensor(rows, dtype=torch.float64, device=self.device)
            return network.to(self.device).eval()(_waves(inputs)).cpu().numpy()

    def _varied(self, batch: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Patterns moved along the grid, stretches of them stronger and weaker."""
        torch = import_torch()
        n, points = batch.shape
        moves = rng.integers(-self.shift, self.shift + 1, n)
        places = (np.arange(points) - moves[:, None]).clip(0, points - 1)
        anchors = np.linspace(0, points - 1, 20)
        factors = np.exp(self.scatter * rng.standard_normal((n, len(anchors))))
        factors = np.array([np.interp(np.arange(points), anchors, own) for own in factors])
        moved = torch.gather(batch, 1, torch.as_tensor(places, device=batch.device))
        return moved * torch.as_tensor(factors, dtype=batch.dtype, device=batch.device)


def _waves(batch: torch.Tensor) -> torch.Tensor:
    """Patterns of shape (n, points) times cosines of the position, shape (n, `WAVES`, points)."""
    torch = import_torch()
    phase = torch.linspace(0, np.pi, batch.shape[1], dtype=batch.dtype, device=batch.device)
    return batch[:, None] * torch.cos(torch.arange(WAVES, device=batch.device)[:, None] * phase)


def _network(channels: int, n_classes: int) -> torch.nn.Module:
    """From patterns as `_waves` gives them to activation maps of shape (n, n_classes, positions)."""
    nn = import_torch().nn
    layers: list[Any] = []
    for number, (length, step) in enumerate(LAYERS):
        layers += [
            nn.Conv1d(channels if number else WAVES, channels, length, stride=step, padding=length // 2),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.Conv1d(channels, n_classes, 1))
