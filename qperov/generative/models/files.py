"""Trained generators as files that hold numbers and text alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sklearn.utils.validation import check_is_fitted

from qperov.errors import RecordError
from qperov.generative.representations.representation import Representation, description
from qperov.storage.model_file import read_model, write_model

if TYPE_CHECKING:
    from qperov.generative.models.base import GenerativeModel

Model = TypeVar("Model", bound="GenerativeModel")
#: Parameters that belong to the machine and the moment, not to the model.
NOT_SAVED = ("representation", "device", "random_state")
#: What files of version 0.1 call a parameter → its name.
RENAMED = {"settings": "equivalent_cells"}
#: Names of what a model keeps of its training crystals.
LATENT, LABELS = "training.latent", "training.labels"


def save_generator(model: GenerativeModel, path: str | Path) -> Path:
    """`GenerativeModel.save`."""
    check_is_fitted(model, "weights_")
    tensors, numbers = model._numbers()
    tensors = model.weights_ | tensors | {LATENT: model.latent_}
    if model.labels_ is not None:
        tensors[LABELS] = model.labels_
    parameters = model.get_params(deep=False) | model.hyperparameters()
    header = {
        "parameters": {name: value for name, value in parameters.items() if name not in NOT_SAVED},
        "representation": description(model.representation_),
        "numbers": numbers,
        "history": model.history_,
    }
    return write_model(path, type(model).__name__, tensors, header)


def load_generator(cls: type[Model], path: str | Path, representation: Representation | None) -> Model:
    """`GenerativeModel.load`."""
    tensors, header = read_model(path, cls.__name__)
    try:
        parameters = {RENAMED.get(name, name): as_tuples(value) for name, value in header["parameters"].items()}
        model = cls(**parameters, representation=representation)
        model.representation_ = model._default_representation() if representation is None else representation
        known, written = description(model.representation_), header["representation"]
        # a field that a file of an older version lacks did not exist
        if known != known | written:
            raise RecordError(f"{path}: trained with the representation {written}, not {known}; give that one to load")
        model.latent_, model.labels_ = tensors.pop(LATENT), tensors.pop(LABELS, None)
        model.history_ = header["history"]
        model._adopt_numbers(tensors, header["numbers"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise RecordError(f"{path}: what this file holds fits no {cls.__name__} ({error})") from error
    return model


def as_tuples(value: Any) -> Any:
    """Lists as tuples, at any depth."""
    return tuple(as_tuples(one) for one in value) if isinstance(value, (tuple, list)) else value
