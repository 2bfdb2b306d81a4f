"""What every generator of crystals offers: fit, encode, decode, reconstruct, predict, sample, save and load."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.core import Structure
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from qperov.errors import EmptyDatasetError, MissingLabelError, RecordError
from qperov.generative.models.latent import nearest_to_target, perturb, posterior_sample, prior_sample, slerp_between
from qperov.generative.models.latent_search import targeted_search
from qperov.generative.models.property_labels import checked_labels
from qperov.generative.models.training import Progress
from qperov.generative.representations.representation import Representation
from qperov.storage.model_file import read_model, write_model
from qperov.torch_support import State

SAMPLING = ("prior", "posterior", "local", "slerp", "target")
#: Parameters that belong to the machine and the moment, not to the model.
NOT_SAVED = ("representation", "device", "random_state")
#: Fewer crystals have no spread to standardise by.
LEAST_CRYSTALS = 2
#: Names of what a model keeps of its training crystals, in a model file.
LATENT, LABELS = "training.latent", "training.labels"


class GenerativeModel(BaseEstimator, ABC):
    """A generator of crystals with a latent space, of any network.

    A subclass has a parameter ``representation`` (``None`` for its own default), ``device`` and ``random_state``, and
    supplies the five methods below that raise nothing but work on arrays: `_default_representation`, `_train`,
    `_codes`, `_arrays` and `_properties`. ``_train`` sets ``weights_``, ``history_`` and whatever numbers a prediction
    needs besides; `_numbers` and `_adopt_numbers` carry these to a file and back.

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
    """

    representation: Representation | None
    device: str
    random_state: int | np.random.RandomState | None
    weights_: State
    history_: dict[str, list[float]]

    @abstractmethod
    def _default_representation(self) -> Representation: ...

    @abstractmethod
    def _train(
        self, crystals: list[Structure], labels: np.ndarray | None, seed: int, progress: Progress | None
    ) -> None: ...

    @abstractmethod
    def _codes(self, arrays: np.ndarray) -> np.ndarray: ...

    @abstractmethod
    def _arrays(self, z: np.ndarray) -> np.ndarray: ...

    @abstractmethod
    def _properties(self, z: np.ndarray) -> np.ndarray: ...

    @abstractmethod
    def _numbers(self) -> tuple[State, dict[str, Any]]: ...

    @abstractmethod
    def _adopt_numbers(self, tensors: State, header: dict[str, Any]) -> None: ...

    # --- training -------------------------------------------------------------------------------

    def fit(
        self, structures: Sequence[Structure], y: ArrayLike | None = None, *, progress: Progress | None = None
    ) -> Self:
        """Train on crystals.

        Parameters
        ----------
        structures : sequence of Structure
        y : array of shape (n,), optional
            One property, such as the formation energy in eV/atom. Without it there is no property head.
        progress : callable, optional
            Called after each epoch with its number, the number of epochs at most, and a dictionary of losses.

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
        crystals = list(structures)
        if len(crystals) < LEAST_CRYSTALS:
            raise EmptyDatasetError(f"{len(crystals)} crystals: a generator is trained on {LEAST_CRYSTALS} at least")
        labels = None if y is None else checked_labels(y, len(crystals))
        self.representation_ = self._default_representation() if self.representation is None else self.representation
        self._train(crystals, labels, int(check_random_state(self.random_state).randint(2**31)), progress)
        self.labels_ = labels
        self.latent_ = self.encode(crystals)
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
        return self._codes(self.representation_.encode(list(structures)))

    def decode(self, z: ArrayLike) -> list[Structure | None]:
        """Crystals of codes of shape (n, latent); ``None`` where the decoder's array holds no crystal."""
        codes = self._checked_codes(z)
        return self.representation_.decode(self._arrays(codes))

    def reconstruct(self, structures: Sequence[Structure]) -> list[Structure | None]:
        """What is left of crystals behind the latent space: ``decode(encode(structures))``."""
        return self.decode(self.encode(structures))

    def predict(self, structures: Sequence[Structure]) -> np.ndarray:
        """The property of crystals, shape (n,), in the unit of the labels."""
        self._check_labelled()
        return self._properties(self.encode(structures))

    def predict_latent(self, z: ArrayLike) -> np.ndarray:
        """The property at codes of shape (n, latent), shape (n,), in the unit of the labels."""
        codes = self._checked_codes(z)
        self._check_labelled()
        return self._properties(codes)

    # --- sampling -------------------------------------------------------------------------------

    def sample_latent(
        self,
        n: int,
        *,
        random_state: int = 0,
        method: str = "posterior",
        target: float | None = None,
        scale: float = 0.5,
        neighbours: int = 10,
    ) -> np.ndarray:
        """Codes to decode, shape (n, latent); fewer for ``"slerp"`` where the arcs have no more points.

        Parameters
        ----------
        n : int
        random_state : int
        method : {"prior", "posterior", "local", "slerp", "target"}
            N(0, I); a Gaussian fitted to the training codes; noise round training codes; points on the arcs between
            them; a search for codes with the target property, which starts from them.
        target : float, optional
            In the property's unit. Then ``"local"``, ``"slerp"`` and ``"target"`` take the training crystals nearest to
            it; ``"target"`` needs one. Otherwise crystals drawn at random.
        scale : float
            Standard deviation of the noise of ``"local"``, and reach of ``"target"`` (root mean square over the
            dimensions); in standard deviations of the training codes.
        neighbours : int
            Training crystals to start from.

        Raises
        ------
        MissingLabelError
            A target is given, but the model was fitted without labels.
        """
        check_is_fitted(self, "weights_")
        if method not in SAMPLING:
            raise ValueError(f"method must be one of {SAMPLING}, not {method!r}")
        rng = np.random.default_rng(random_state)
        if method == "prior":
            return prior_sample(n, self.latent_.shape[1], rng)
        if method == "posterior":
            return posterior_sample(self.latent_, n, rng)
        if target is not None:
            labels = self._check_labelled()
            near = nearest_to_target(labels, target, neighbours)
        else:
            near = rng.choice(len(self.latent_), size=min(neighbours, len(self.latent_)), replace=False)
        starts = self.latent_[near]
        if method == "slerp":
            return slerp_between(starts, n, rng)
        spread = np.maximum(self.latent_.std(axis=0), np.finfo(float).tiny)
        if method == "local":
            return perturb(starts, scale, n, rng, spread=spread)
        if target is None:
            raise ValueError('method="target" needs a target')
        from_here = perturb(starts, scale / 2, n, rng, spread=spread)
        return targeted_search(self.predict_latent, target, from_here, rng, spread=spread, reach=scale).codes

    def sample(
        self,
        n: int,
        *,
        random_state: int = 0,
        method: str = "posterior",
        target: float | None = None,
        scale: float = 0.5,
        neighbours: int = 10,
    ) -> list[Structure | None]:
        """Decoded codes of `sample_latent`, with its parameters; ``None`` where there is no crystal."""
        codes = self.sample_latent(
            n, random_state=random_state, method=method, target=target, scale=scale, neighbours=neighbours
        )
        return self.decode(codes)

    # --- files ----------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write weights, scalings, codes, labels and parameters as one safetensors file, in one step.

        Raises
        ------
        MissingDependencyError
            safetensors is not installed.
        """
        check_is_fitted(self, "weights_")
        tensors, numbers = self._numbers()
        tensors = self.weights_ | tensors | {LATENT: self.latent_}
        if self.labels_ is not None:
            tensors[LABELS] = self.labels_
        header = {
            "parameters": {k: v for k, v in self.get_params(deep=False).items() if k not in NOT_SAVED},
            "representation": description(self.representation_),
            "numbers": numbers,
            "history": self.history_,
        }
        return write_model(path, type(self).__name__, tensors, header)

    @classmethod
    def load(cls, path: str | Path, *, representation: Representation | None = None) -> Self:
        """A model as `save` wrote it, ready for use; device and seed are the defaults. Nothing in the file is run.

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
        tensors, header = read_model(path, cls.__name__)
        try:
            parameters = {name: as_tuples(value) for name, value in header["parameters"].items()}
            model = cls(**parameters, representation=representation)
            model.representation_ = model._default_representation() if representation is None else representation
            known, written = description(model.representation_), header["representation"]
            if known != written:
                raise RecordError(
                    f"{path}: trained with the representation {written}, not {known}; give that one to load"
                )
            model.latent_, model.labels_ = tensors.pop(LATENT), tensors.pop(LABELS, None)
            model.history_ = header["history"]
            model._adopt_numbers(tensors, header["numbers"])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise RecordError(f"{path}: what this file holds fits no {cls.__name__} ({error})") from error
        return model

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


def description(representation: Representation) -> dict[str, Any]:
    """Class and fields of a representation, as JSON gives them back."""
    fields: dict[str, Any] = {}
    if is_dataclass(representation) and not isinstance(representation, type):
        fields = asdict(representation)
    return {"name": type(representation).__name__} | {name: as_lists(value) for name, value in fields.items()}


def as_lists(value: Any) -> Any:
    """Tuples as lists, at any depth."""
    return [as_lists(one) for one in value] if isinstance(value, (tuple, list)) else value


def as_tuples(value: Any) -> Any:
    """Lists as tuples, at any depth."""
    return tuple(as_tuples(one) for one in value) if isinstance(value, (tuple, list)) else value
