"""WSP-GAN, the papers' weakly supervised GAN (MATGANIP, MATGANICSS), as a scikit-learn regressor."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from qperov.classical.adversarial import GameSettings, play
from qperov.classical.cnn import NOT_SAVED
from qperov.classical.networks import evaluate, generator_with, image_side, images
from qperov.classical.scaling import Scaling
from qperov.errors import PublishedFaultWarning, RecordError
from qperov.storage.model_file import read_model, write_model

#: Our repair, and the authors' programs.
MODES = ("fixed", "matganip", "matganicss")
#: What is wrong with the predictions of each program.
FAULTS = {
    "matganip": "the discriminator is given one property value at a time, the generator no label: the game can teach "
    "where values lie, not which crystal has which.",
    "matganicss": "the generator's value is rounded to a plain number before it reaches the discriminator, which cuts "
    "its gradient. The generator stays as it was drawn; its predictions are those of an untrained network.",
}
#: Prefixes of the two networks in a model file.
GENERATOR, DISCRIMINATOR = "generator.", "discriminator."


class WSPGAN(RegressorMixin, BaseEstimator):
    """A generator G (CNN-Gen) predicts properties; a discriminator D tells queues of them from queues of real ones.

    D is an LSTM(32) → 10 ReLU → 1 sigmoid over a queue of property values. x_r ends in the label of a crystal, x_f in
    the generator's value for it. L_D = −mean[log D(x_r) + log(1 − D(x_f))]; L_G = mean log(1 − D(x_f)), or −mean log
    D(x_f). Odd steps train D, even steps D and then G. At the optimum D = 1/2 and L_D = 2 ln 2. Needs PyTorch
    (``pip install 'qperov[torch]'``).

    D sees property values and never a crystal, so the game alone can teach G how properties are distributed, but not
    which crystal has which. Which is which comes from the supervised term.

    Parameters
    ----------
    mode : {"fixed", "matganip", "matganicss"}
        The last two do what the authors' programs do, and a `PublishedFaultWarning` says what is wrong with it. Both
        compute in double precision, take one crystal a step, drawn with replacement, the saturating loss and a constant
        learning rate; nothing is scaled, labels are counted from the first one. Of the parameters below only ``steps``,
        ``learning_rate``, ``device``, ``random_state`` and (MATGANICSS) ``queue`` then count.

        ``"matganip"``: D reads G's value itself, as a sequence of one number, against the crystal's label; G is
        trained. The repository MATGANIP holds networks and weights without the loop that trained them; the loop is
        that of the authors' notebooks for the same networks (MATGANICSS-old-version). MATGANIP's generators were
        trained: 21 % and 2.9 % of the weights of their output layers lie outside PyTorch's initial bounds.

        ``"matganicss"``: G's value is rounded to a plain number before it enters the queue of figure S1, which cuts
        its gradient, so that G is never trained; D is fed the queue as one step of n numbers, so that its LSTM never
        recurs. The generators shipped with MATGANICSS lie inside the initial bounds; of its discriminators only O4's
        takes three numbers a step, the two of O5 take one. ``"published"``, the name until 0.2, is deprecated.
    queue : int
        Property values D sees at once; MATGANICSS's program takes 3, that of WSP-GAN 5.
    fake_step : {"replace", "append"}
        Whether the generated value stands in the place of the crystal's label, or behind it as in figure S1 of the
        paper. Behind it, a correct prediction repeats the label, which D learns to recognise: there the game works
        against the truth.
    steps : int
        Steps of D; G makes half as many.
    batch_size : int
        Labelled crystals a step, and as many unlabelled ones.
    learning_rate : float
        Largest rate of the one-cycle schedule of both Adams (the authors: constant, 0.01 in the papers' texts and in
        MATGANICSS's program, 0.001 in MATGANIP's).
    weight_decay : float
        Of G.
    generator_loss : {"non_saturating", "saturating"}
        −log D(x_f), or log(1 − D(x_f)) as published.
    adversarial_weight, supervised_weight : float
        G minimises adversarial_weight · L_G + supervised_weight · mean (G(x) − y)² over labelled crystals, y in
        standard deviations. A supervised weight of 0 leaves the game alone.
    gradient_penalty : float
        Weight of R₁ = ½ mean ‖∂ logit D/∂x_r‖² in D's loss.
    spectral_norm : bool
        Spectral normalisation of the two layers of D behind its LSTM.
    scale_inputs : {"standard", "common", "none"}
        As in `CNNRegressor`; unlabelled crystals take part.
    device : str
    random_state : int, RandomState or None
    progress : bool

    Attributes
    ----------
    history_ : dict of str to list of float
        One number a step, before the step: ``d_real`` and ``d_fake`` (means of D(x_r) and D(x_f)), ``loss_d``,
        ``loss_g`` (adversarial) and ``supervised_loss``.
    weights_, discriminator_weights_ : dict of str to ndarray
    scaling_ : Scaling

    References
    ----------
    J. Hu, M. Li and P. Gao, MATGANIP; J.-J. Hu et al., Data-Driven Generation of Mixed X-Anion Perovskites Properties,
    supplement, sections 1 and 7, figures S1 and S7. Programs: repositories j2hu/MATGANIP, j2hu/MATGANICSS,
    j2hu/MATGANICSS-old-version and HuByHu/PCCP-code-2022 on GitHub.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 16))
    >>> model = WSPGAN(steps=40).fit(X[:5], X[:5, 0], X_unlabelled=X[5:])
    >>> model.predict(X[:3]).shape, len(model.history_["d_fake"])
    ((3,), 40)
    """

    def __init__(
        self,
        mode: str = "fixed",
        *,
        queue: int = 5,
        fake_step: str = "replace",
        steps: int = 600,
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.05,
        generator_loss: str = "non_saturating",
        adversarial_weight: float = 0.1,
        supervised_weight: float = 1.0,
        gradient_penalty: float = 0.0,
        spectral_norm: bool = False,
        scale_inputs: str = "standard",
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = 0,
        progress: bool = False,
    ) -> None:
        self.mode = mode
        self.queue = queue
        self.fake_step = fake_step
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.generator_loss = generator_loss
        self.adversarial_weight = adversarial_weight
        self.supervised_weight = supervised_weight
        self.gradient_penalty = gradient_penalty
        self.spectral_norm = spectral_norm
        self.scale_inputs = scale_inputs
        self.device = device
        self.random_state = random_state
        self.progress = progress

    def fit(self, X: ArrayLike, y: ArrayLike, X_unlabelled: ArrayLike | None = None) -> WSPGAN:
        """Play the game.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Labelled crystals; three to five are enough to play.
        y : array of shape (n_samples,)
        X_unlabelled : array of shape (n_unlabelled, n_features), optional
            Crystals without labels.

        Raises
        ------
        ValueError
            NaN or infinity, features that do not fit, or a parameter out of range.
        MissingDependencyError
            PyTorch is not installed.
        """
        rows, labels = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        settings = self._settings()
        others = np.empty((0, rows.shape[1]))
        if X_unlabelled is not None:
            others = check_array(X_unlabelled, dtype=np.float64, input_name="X_unlabelled")
            if others.shape[1] != rows.shape[1]:
                raise ValueError(f"X_unlabelled has {others.shape[1]} features, X has {rows.shape[1]}")
            # a table's columns may stand in another order
            validate_data(self, X_unlabelled, reset=False, skip_check_array=True)
        if not settings.repaired:
            warnings.warn(
                f'WSPGAN(mode="{settings.program}"): {FAULTS[settings.program]}', PublishedFaultWarning, stacklevel=2
            )
            self.scaling_ = Scaling.identity(rows.shape[1], offset=float(labels[0]))
        else:
            self.scaling_ = Scaling.learn(np.concatenate([rows, others]), labels, self.scale_inputs)
        pictures, unlabelled = (images(self.scaling_.inputs(some)) for some in (rows, others))
        seed = int(check_random_state(self.random_state).randint(2**31))
        game = play(pictures, self.scaling_.target(labels), unlabelled, settings, seed, self.device, self.progress)
        self.weights_, self.discriminator_weights_ = game.generator, game.discriminator
        self.history_ = game.history
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The generator's values in the unit of the labels, shape (n_samples,)."""
        check_is_fitted(self, "weights_")
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        network = generator_with(self.weights_, image_side(rows.shape[1]), self.device)
        return self.scaling_.prediction(evaluate(network, images(self.scaling_.inputs(rows)), self.device))

    def save(self, path: str | Path) -> Path:
        """Write both networks, scaling, parameters and history as one safetensors file, in one step.

        Raises
        ------
        MissingDependencyError
            safetensors is not installed.
        """
        check_is_fitted(self, "weights_")
        tensors = {GENERATOR + name: value for name, value in self.weights_.items()}
        tensors |= {DISCRIMINATOR + name: value for name, value in self.discriminator_weights_.items()}
        tensors |= {"inputs.mean": self.scaling_.mean, "inputs.scale": self.scaling_.scale}
        header = {
            "parameters": {k: v for k, v in self.get_params().items() if k not in NOT_SAVED},
            "offset": self.scaling_.offset,
            "factor": self.scaling_.factor,
            "history": self.history_,
        }
        return write_model(path, type(self).__name__, tensors, header)

    @classmethod
    def load(cls, path: str | Path) -> WSPGAN:
        """A regressor as `save` wrote it, ready to predict; device and seed are the defaults.

        Raises
        ------
        RecordError
            The file is not such a file, or of another version.
        """
        tensors, header = read_model(path, cls.__name__)
        try:
            mean, scale = tensors.pop("inputs.mean"), tensors.pop("inputs.scale")
            model = cls(**header["parameters"])
            model.scaling_ = Scaling(mean, scale, float(header["offset"]), float(header["factor"]))
            model.weights_ = _part(tensors, GENERATOR)
            generator_with(model.weights_, image_side(len(mean)))  # raises unless the weights fit
            model.discriminator_weights_ = _part(tensors, DISCRIMINATOR)
            model.history_, model.n_features_in_ = header["history"], len(mean)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RecordError(f"{path}: what this file holds fits no {cls.__name__} ({error})") from error
        return model

    def _settings(self) -> GameSettings:
        program = self.mode
        if program == "published":
            program = "matganicss"
            message = 'WSPGAN(mode="published") is deprecated and goes in 0.3: write mode="matganicss"'
            warnings.warn(message, DeprecationWarning, stacklevel=3)
        if program not in MODES:
            raise ValueError(f"mode must be one of {MODES}, not {self.mode!r}")
        if program != "fixed":
            return GameSettings(
                program=program,
                queue=self.queue if program == "matganicss" else 1,
                fake_step="append" if program == "matganicss" else "replace",
                steps=self.steps,
                batch_size=1,
                learning_rate=self.learning_rate,
                weight_decay=0.0,
                generator_loss="saturating",
                adversarial_weight=1.0,
                supervised_weight=0.0,
                gradient_penalty=0.0,
                spectral_norm=False,
            )
        return GameSettings(
            program=program,
            queue=self.queue,
            fake_step=self.fake_step,
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            generator_loss=self.generator_loss,
            adversarial_weight=self.adversarial_weight,
            supervised_weight=self.supervised_weight,
            gradient_penalty=self.gradient_penalty,
            spectral_norm=self.spectral_norm,
        )

    def __sklearn_tags__(self) -> Tags:
        tags: Any = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = self.mode != "fixed" or not self.supervised_weight
        return tags


def _part(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
