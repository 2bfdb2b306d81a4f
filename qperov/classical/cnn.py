"""CNN-Gen, the papers' convolutional network, as a scikit-learn regressor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from qperov.classical.networks import evaluate, generator_with, image_side, images
from qperov.classical.published_weights import read_published_state
from qperov.classical.scaling import Scaling
from qperov.classical.training import TrainingSettings, train_generator
from qperov.errors import RecordError
from qperov.storage.model_file import read_model, write_model

MODES = ("fixed", "published")
#: Parameters that belong to the machine and the moment, not to the model.
NOT_SAVED = ("device", "random_state", "progress")


class CNNRegressor(RegressorMixin, BaseEstimator):
    """CNN-Gen: two convolutions and two linear layers on a square matrix.

    Conv(1→32, k5, pad 2) ReLU MaxPool2 · Conv(32→64, k5, pad 2) ReLU MaxPool2 · 64·⌊n/4⌋² → 128 ReLU → 1. A row of n²
    features (784 for the papers' 28×28 matrices) is an n×n image; any other number is filled up with zeros to the next
    square, at least 4×4. Needs PyTorch (``pip install 'qperov[torch]'``).

    Parameters
    ----------
    mode : {"fixed", "published"}
        ``"published"`` trains as the paper did: L1 loss, one crystal a step, one pass, Adam at 0.01, double precision,
        nothing scaled and nothing kept back, labels counted from the first one. All other parameters but ``device``,
        ``random_state`` and ``progress`` are then without effect.
    epochs : int
        Passes over the crystals at most.
    batch_size : int
    learning_rate : float
        Largest rate of AdamW's one-cycle schedule.
    weight_decay : float
    loss : {"mse", "l1"}
    scale_inputs : {"standard", "common", "none"}
        Every column to mean 0 and variance 1; or the mean image subtracted and one common scale; or nothing. The
        target is always standardised, and predictions come back in its unit.
    early_stopping : bool
        Keep a share of the crystals back, stop when their loss no longer falls, and keep the best weights. They are
        drawn at random, because ``fit`` knows no groups: copies of one crystal may stand on both sides, which makes
        the network stop later, but lets no test crystal in. Off, the learning rate ends at zero after all epochs, and
        every crystal is learnt from.
    validation_fraction : float
        That share. Fewer than eight crystals are not kept back at all.
    patience : int
        Epochs.
    device : str
        As in PyTorch: ``"cpu"``, ``"cuda"``.
    random_state : int, RandomState or None
        Draws weights, batches and the crystals kept back: the same number gives the same network on one machine with
        as many threads; another number of threads rounds otherwise in the last digits.
    progress : bool
        Show a progress bar on standard error.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        Under the names of the published state dictionaries.
    scaling_ : Scaling
    loss_history_, validation_history_ : list of float
        Loss of each epoch, for scaled labels, on the crystals trained on and on those kept back.

    References
    ----------
    J.-J. Hu et al., Data-Driven Generation of Mixed X-Anion Perovskites Properties, supplement, section 7 (CNN-Gen);
    the generator of J. Hu, M. Li and P. Gao, MATGANIP, is the same network.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(100, 16))
    >>> model = CNNRegressor(epochs=30, random_state=0).fit(X, X[:, 0])
    >>> model.predict(X[:3]).shape
    (3,)
    """

    def __init__(
        self,
        mode: str = "fixed",
        *,
        epochs: int = 12,
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.05,
        loss: str = "mse",
        scale_inputs: str = "standard",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = 0,
        progress: bool = False,
    ) -> None:
        self.mode = mode
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.loss = loss
        self.scale_inputs = scale_inputs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.device = device
        self.random_state = random_state
        self.progress = progress

    def fit(self, X: ArrayLike, y: ArrayLike) -> CNNRegressor:
        """Train on rows of shape (n_samples, n_features) and labels of shape (n_samples,).

        Raises
        ------
        ValueError
            NaN or infinity, or a parameter out of range.
        MissingDependencyError
            PyTorch is not installed.
        """
        rows, labels = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        settings = self._settings()
        if self.mode == "published":
            self.scaling_ = Scaling.identity(rows.shape[1], offset=float(labels[0]))
        else:
            self.scaling_ = Scaling.learn(rows, labels, self.scale_inputs)
        seed = int(check_random_state(self.random_state).randint(2**31))
        pictures, target = images(self.scaling_.inputs(rows)), self.scaling_.target(labels)
        trained = train_generator(pictures, target, settings, seed, self.device, self.progress)
        self.weights_ = trained.state
        self.loss_history_, self.validation_history_ = trained.losses, trained.validation_losses
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predictions in the unit of the labels, shape (n_samples,)."""
        check_is_fitted(self, "weights_")
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        network = generator_with(self.weights_, image_side(rows.shape[1]), self.device)
        return self.scaling_.prediction(evaluate(network, images(self.scaling_.inputs(rows)), self.device))

    def save(self, path: str | Path) -> Path:
        """Write weights, scaling and parameters as one safetensors file, in one step.

        Raises
        ------
        MissingDependencyError
            safetensors is not installed.
        """
        check_is_fitted(self, "weights_")
        header = {
            "parameters": {k: v for k, v in self.get_params().items() if k not in NOT_SAVED},
            "offset": self.scaling_.offset,
            "factor": self.scaling_.factor,
            "loss_history": self.loss_history_,
            "validation_history": self.validation_history_,
        }
        inputs = {"inputs.mean": self.scaling_.mean, "inputs.scale": self.scaling_.scale}
        return write_model(path, type(self).__name__, self.weights_ | inputs, header)

    @classmethod
    def load(cls, path: str | Path) -> CNNRegressor:
        """A regressor as `save` wrote it, ready to predict; device and seed are the defaults.

        Raises
        ------
        RecordError
            The file is not such a file, or of another version.
        """
        weights, header = read_model(path, cls.__name__)
        try:
            mean, scale = weights.pop("inputs.mean"), weights.pop("inputs.scale")
            model = cls(**header["parameters"])
            model._adopt(weights, Scaling(mean, scale, float(header["offset"]), float(header["factor"])))
            model.loss_history_, model.validation_history_ = header["loss_history"], header["validation_history"]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RecordError(f"{path}: what this file holds fits no {cls.__name__} ({error})") from error
        return model

    @classmethod
    def load_published_state(
        cls, path: str | Path, *, n_features: int = 784, offset: float = 0.0, factor: float = 1.0
    ) -> CNNRegressor:
        """A regressor with weights that the papers' authors published (``torch.save`` of a state dictionary).

        Parameters
        ----------
        path : str or Path
        n_features : int
            Of the rows to come.
        offset, factor : float
            Predictions are offset + factor · output. MATGANIP's generator was trained on 10⁴ (E + 91.63007225 eV) per
            cell: offset −91.63007225, factor 1e-4 for eV per cell.

        Raises
        ------
        RecordError
            The file holds anything but the tensors of this network; code in it is not run.
        """
        model = cls(mode="published")
        state = read_published_state(path, image_side(n_features))
        model._adopt(state, Scaling.identity(n_features, offset, factor))
        model.loss_history_, model.validation_history_ = [], []
        return model

    def _adopt(self, weights: dict[str, np.ndarray], scaling: Scaling) -> None:
        generator_with(weights, image_side(len(scaling.mean)))  # raises unless the weights fit
        self.weights_, self.scaling_, self.n_features_in_ = weights, scaling, len(scaling.mean)

    def _settings(self) -> TrainingSettings:
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {MODES}, not {self.mode!r}")
        if self.mode == "published":
            return TrainingSettings(
                1, 1, 0.01, 0.0, "l1", one_cycle=False, validation_fraction=0, patience=1, double=True
            )
        return TrainingSettings(
            self.epochs,
            self.batch_size,
            self.learning_rate,
            self.weight_decay,
            self.loss,
            one_cycle=True,
            validation_fraction=self.validation_fraction if self.early_stopping else 0.0,
            patience=self.patience,
        )

    def __sklearn_tags__(self) -> Tags:
        tags: Any = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = self.mode == "published"
        return tags
