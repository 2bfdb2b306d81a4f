"""What every generator of crystals offers: fit, encode, decode, reconstruct, predict, sample, save and load."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.core import Structure
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from qperov.errors import EmptyDatasetError, InvalidLabelError, MissingLabelError, OrphanLabelError
from qperov.evaluation.progress import Progress
from qperov.generative.models.files import load_generator, save_generator
from qperov.generative.models.sampling import LatentSampling
from qperov.generative.representations.representation import Representation
from qperov.torch_support import State

#: Fewer crystals have no spread to standardise by.
LEAST_CRYSTALS = 2
#: Heads on z.
REGRESSOR, CLASSIFIER = "regressor", "classifier"


class GenerativeModel(LatentSampling, BaseEstimator, ABC):
    """A generator of crystals with a latent space, of any network.

    A subclass has parameters ``representation`` (``None`` for its own default), ``mode``, ``device`` and
    ``random_state``, and all that `DEFAULTS` names, where ``None`` stands for the mode's value. It supplies the methods
    below. ``_train`` sets ``weights_``, ``history_``, ``offset_``, ``factor_`` and whatever numbers the networks need
    besides; `_numbers` and `_adopt_numbers` carry these to a file and back.

    Attributes
    ----------
    representation_ : Representation
    weights_ : dict of str to ndarray
    history_ : dict of str to list of float
        Losses of each epoch.
    latent_ : ndarray, shape (n, latent)
        Codes of the training crystals; the crystals themselves are not kept.
    labels_ : ndarray, shape (n,), or None
        Their property, in its own unit.
    offset_, factor_ : float
        The property is offset + factor · (output of its head); only with labels.
    """

    #: By mode, the values of parameters that are left at ``None``.
    DEFAULTS: ClassVar[Mapping[str, Mapping[str, Any]]]
    representation: Representation | None
    mode: str
    device: str
    random_state: int | np.random.RandomState | None
    weights_: State
    history_: dict[str, list[float]]
    offset_: float
    factor_: float

    @abstractmethod
    def _default_representation(self) -> Representation: ...

    def _represent(self, structures: list[Structure]) -> Any:
        """Arrays of crystals, as `_train` and `_codes` take them."""
        return self.representation_.encode(structures)

    @abstractmethod
    def _train(
        self,
        crystals: list[Structure],
        arrays: Any,
        labels: np.ndarray | None,
        random_state: int,
        progress: Progress | None,
        initial: State,
    ) -> None: ...

    @abstractmethod
    def _codes(self, arrays: Any) -> np.ndarray: ...

    @abstractmethod
    def _decode(self, z: np.ndarray) -> list[Structure | None]: ...

    @abstractmethod
    def _head(self, name: str) -> Callable[[np.ndarray], np.ndarray]:
        """A head on z, its network built once: codes of shape (n, latent) to bare outputs of shape (n,)."""

    @abstractmethod
    def _numbers(self) -> tuple[State, dict[str, Any]]: ...

    @abstractmethod
    def _adopt_numbers(self, tensors: State, header: dict[str, Any]) -> None: ...

    def hyperparameters(self) -> dict[str, Any]:
        """Parameters in force: those given, and the mode's values for those left at ``None``.

        Raises
        ------
        ValueError
            There is no such mode.
        """
        if self.mode not in self.DEFAULTS:
            raise ValueError(f"mode must be one of {tuple(self.DEFAULTS)}, not {self.mode!r}")
        return {
            name: default if getattr(self, name) is None else getattr(self, name)
            for name, default in self.DEFAULTS[self.mode].items()
        }

    # --- training -------------------------------------------------------------------------------

    def fit(
        self, structures: Sequence[Structure], y: ArrayLike | None = None, *, progress: Progress | None = None
    ) -> Self:
        """Train on crystals.

        Parameters
        ----------
        structures : sequence of Structure
        y : array of shape (n,), optional
            One property, such as the formation energy in eV/atom. Without it there are no heads on z.
        progress : Progress, optional
            Told of each epoch, of the number of epochs at most, and of the losses.

        Raises
        ------
        EmptyDatasetError
            Fewer than two crystals.
        InvalidLabelError, MissingLabelError, OrphanLabelError
            A label is not a finite number; there are fewer labels than crystals; there are more.
        RepresentationError
            A crystal does not fit into the representation.
        DivergedTrainingError
            The loss is no longer finite.
        MissingDependencyError
            PyTorch is not installed.
        """
        return self._fit(structures, y, progress, {})

    def _fit(
        self, structures: Sequence[Structure], y: ArrayLike | None, progress: Progress | None, initial: State
    ) -> Self:
        crystals = list(structures)
        if len(crystals) < LEAST_CRYSTALS:
            raise EmptyDatasetError(f"{len(crystals)} crystals: a generator is trained on {LEAST_CRYSTALS} at least")
        labels = None if y is None else checked_labels(y, len(crystals))
        self.representation_ = self._default_representation() if self.representation is None else self.representation
        arrays = self._represent(crystals)
        seed = int(check_random_state(self.random_state).randint(2**31))
        self._train(crystals, arrays, labels, seed, progress, initial)
        self.labels_, self.latent_ = labels, self._codes(arrays)
        return self

    # --- crystals and codes ---------------------------------------------------------------------

    def encode(self, structures: Sequence[Structure]) -> np.ndarray:
        """Posterior means z, shape (n, latent).

        Raises
        ------
        RepresentationError
            A crystal does not fit into the representation, or there is none.
        """
        check_is_fitted(self, "weights_")
        return self._codes(self._represent(list(structures)))

    def decode(self, z: ArrayLike) -> list[Structure | None]:
        """Crystals of codes of shape (n, latent); ``None`` where the decoder's output holds no crystal."""
        return self._decode(self._checked_codes(z))

    def reconstruct(self, structures: Sequence[Structure]) -> list[Structure | None]:
        """What is left of crystals behind the latent space: ``decode(encode(structures))``."""
        return self.decode(self.encode(structures))

    def predict(self, structures: Sequence[Structure]) -> np.ndarray:
        """The property of crystals, shape (n,), in the unit of the labels."""
        return self._property_head()(self.encode(structures))

    def predict_latent(self, z: ArrayLike) -> np.ndarray:
        """The property at codes of shape (n, latent), shape (n,), in the unit of the labels."""
        return self._property_head()(self._checked_codes(z))

    def predict_stability(self, structures: Sequence[Structure]) -> np.ndarray:
        """Probability that the property of crystals is at most the threshold, shape (n,).

        Raises
        ------
        MissingLabelError
            The model was fitted without labels.
        ValueError
            It was fitted without a threshold.
        """
        return expit(self._classifier()(self.encode(structures)))

    def predict_stability_latent(self, z: ArrayLike) -> np.ndarray:
        """That probability at codes of shape (n, latent), shape (n,)."""
        return expit(self._classifier()(self._checked_codes(z)))

    def _property_head(self) -> Callable[[np.ndarray], np.ndarray]:
        """Codes to the property in its unit, for as many calls as a search wants."""
        self._check_labelled()
        head = self._head(REGRESSOR)
        return lambda z: self.offset_ + self.factor_ * head(z)

    def _classifier(self) -> Callable[[np.ndarray], np.ndarray]:
        self._check_labelled()
        if not any(f"{CLASSIFIER}." in name for name in self.weights_):
            raise ValueError(f"this {type(self).__name__} tells no stability; fit it with a threshold")
        return self._head(CLASSIFIER)

    # --- files ----------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write weights, scalings, codes, labels and parameters as one safetensors file, in one step.

        Raises
        ------
        MissingDependencyError
            safetensors is not installed.
        """
        return save_generator(self, path)

    @classmethod
    def load(cls, path: str | Path, *, representation: Representation | None = None) -> Self:
        """A model as `save` wrote it, ready for use; device and random state are the defaults. Nothing in it is run.

        Parameters
        ----------
        path : str or Path
        representation : Representation, optional
            The one it was trained with, unless that is the model's default.

        Raises
        ------
        RecordError
            The file is no such file, or of another version, or of another representation.
        """
        return load_generator(cls, path, representation)

    # --- checks ---------------------------------------------------------------------------------

    def _checked_codes(self, z: ArrayLike) -> np.ndarray:
        check_is_fitted(self, "weights_")
        codes = np.asarray(z, dtype=np.float64)
        if codes.ndim != 2 or codes.shape[1] != self.latent_.shape[1]:
            raise ValueError(f"codes of this model have the shape (n, {self.latent_.shape[1]}), not {codes.shape}")
        if not np.isfinite(codes).all():
            raise ValueError("codes must be finite")
        return codes

    def _check_labelled(self) -> np.ndarray:
        check_is_fitted(self, "weights_")
        if self.labels_ is None:
            raise MissingLabelError(
                type(self).__name__, "it was fitted without labels and predicts nothing; give y to fit"
            )
        return self.labels_


def checked_labels(y: ArrayLike, n: int) -> np.ndarray:
    """Labels of n crystals, as numbers of shape (n,).

    Raises
    ------
    InvalidLabelError, MissingLabelError, OrphanLabelError
        One is not a finite number; there are fewer than n; there are more.
    """
    try:
        labels = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidLabelError("y", f"labels must be numbers ({error})") from error
    if labels.ndim != 1:
        raise InvalidLabelError("y", f"one property is learnt, of shape ({n},), not {labels.shape}")
    if len(labels) != n:
        kind = MissingLabelError if len(labels) < n else OrphanLabelError
        raise kind("y", f"{len(labels)} labels for {n} crystals; give one each")
    bad = np.flatnonzero(~np.isfinite(labels))
    if len(bad):
        raise InvalidLabelError(
            "y", f"{len(bad)} of {n} labels are not finite, the first of crystal {bad[0]}; leave such crystals out"
        )
    return labels
