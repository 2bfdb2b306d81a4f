"""What is compared: models without their featurizers, one matrix a descriptor, labels and groups."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from qperov.evaluation.searches import check_search

#: Constant predictions that stand in every table.
BASELINES = {"mean of the training labels": "mean", "median of the training labels": "median"}


@dataclass(frozen=True, eq=False)
class Problem:
    """What is compared, with features in place of structures."""

    models: dict[str, BaseEstimator]
    descriptor_of: dict[str, str]
    features: dict[str, np.ndarray]
    y: np.ndarray
    groups: np.ndarray
    ids: tuple[str, ...]
    label: dict[str, Any]
    cautions: tuple[str, ...] = ()

    @classmethod
    def of(cls, models: Mapping[str, BaseEstimator], data: Any, y: Any, groups: Any) -> Problem:
        """Check the input of ``compare`` and compute the features; ValueError says what is wrong."""
        _check_models(models)
        if hasattr(data, "structures"):
            if y is not None or groups is not None:
                raise ValueError("a dataset brings its own labels and groups: do not pass y or groups beside it")
            if data.y is None:
                raise ValueError("the dataset has no labels: name a target when reading it")
            return cls._from_dataset(models, data)
        if y is None:
            raise ValueError("labels y are missing")
        labels = np.asarray(y, dtype=float)
        label = _label("arrays", "y", None, labels, None, ())
        n = len(labels)
        features = _matrix("features", data, n)
        groups = np.arange(n) if groups is None else np.asarray(groups)
        if groups.shape != (n,):
            raise ValueError(f"{n} rows, but groups of shape {groups.shape}")
        ids = tuple(str(i) for i in range(n))
        return cls(dict(models), dict.fromkeys(models, "features"), {"features": features}, labels, groups, ids, label)

    @classmethod
    def _from_dataset(cls, models: Mapping[str, BaseEstimator], data: Any) -> Problem:
        for name, model in models.items():
            if not isinstance(model, Pipeline) or len(model.steps) < 2 or not hasattr(model.steps[0][1], "transform"):
                raise ValueError(f"{name}: with a dataset each model is a Pipeline whose first step makes the features")
        labels = np.array(data.y, dtype=float)
        label = _label(data.name, data.target, data.unit, labels, data.label_noise, data.provenance)
        features: dict[str, np.ndarray] = {}
        name_of_settings: dict[str, str] = {}
        heads, descriptor_of = {}, {}
        for name, model in models.items():
            featurizer = model.steps[0][1]
            settings = _settings(featurizer)
            if settings not in name_of_settings:
                described = _unused(getattr(featurizer, "description", type(featurizer).__name__), features)
                name_of_settings[settings] = described
                features[described] = _matrix(described, clone(featurizer).fit_transform(data.structures), len(labels))
            descriptor_of[name] = name_of_settings[settings]
            rest = Pipeline(model.steps[1:])
            heads[name] = rest.steps[0][1] if len(rest.steps) == 1 else rest
        groups, ids = np.asarray(data.groups), tuple(data.ids)
        cautions = tuple(getattr(data, "cautions", ()))
        return cls(heads, descriptor_of, features, labels, groups, ids, label, cautions)


def _check_models(models: Mapping[str, BaseEstimator]) -> None:
    if not models:
        raise ValueError('no models given: pass a dictionary such as {"SVR": pipeline}')
    if clash := set(models) & set(BASELINES):
        raise ValueError(f"these names are taken by baselines: {sorted(clash)}")
    for name, model in models.items():
        if isinstance(model, type) or not hasattr(model, "fit") or not hasattr(model, "get_params"):
            raise ValueError(f"{name}: {model!r} is not a scikit-learn estimator")
        check_search(name, model)


def _settings(featurizer: BaseEstimator) -> str:
    """A key that is equal for featurizers of one type with equal parameters, arrays and structures among them."""
    parameters = featurizer.get_params()
    # two copies of a structure are pickled differently, but give the same dictionary
    plain = {name: value.as_dict() if hasattr(value, "as_dict") else value for name, value in parameters.items()}
    try:
        return joblib.hash((type(featurizer), plain))
    except (pickle.PicklingError, AttributeError, TypeError):  # such as a lambda: equal only to itself
        return str(id(featurizer))


def _unused(name: str, taken: Mapping[str, Any]) -> str:
    number, candidate = 2, name
    while candidate in taken:
        number, candidate = number + 1, f"{name} #{number}"
    return candidate


def _matrix(name: str, values: Any, n: int) -> np.ndarray:
    try:
        matrix = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: neither a dataset nor numbers of shape ({n}, d): {error}") from error
    if matrix.ndim != 2 or len(matrix) != n or matrix.shape[1] == 0:
        raise ValueError(f"{name}: {n} labels need numbers of shape ({n}, d), d > 0, not {matrix.shape}")
    wrong = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if len(wrong):
        raise ValueError(f"{name}: NaN or infinity in {len(wrong)} rows, the first is row {wrong[0]}")
    return matrix


def _label(
    name: str, target: str | None, unit: str | None, y: np.ndarray, noise: float | None, provenance: Sequence[str]
) -> dict[str, Any]:
    if y.ndim != 1 or len(y) == 0:
        raise ValueError(f"labels must have the shape (n,) with n > 0, not {y.shape}")
    if not np.isfinite(y).all():
        raise ValueError(f"{int((~np.isfinite(y)).sum())} labels are NaN or infinite")
    sentences = [f"{sentence} ({many} labels)" for sentence, many in Counter(provenance).most_common()]
    return {
        "name": name,
        "target": target or "y",
        "unit": unit,
        "n": len(y),
        "mean": float(y.mean()),
        "sd": float(y.std()),
        "min": float(y.min()),
        "max": float(y.max()),
        "noise": noise,
        "provenance": sentences,
    }
