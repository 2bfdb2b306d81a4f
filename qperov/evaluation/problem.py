"""What is compared: models without their featurizers, one matrix a descriptor, labels and groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

#: Constant predictions that stand in every table.
BASELINES = {"mean of the training labels": "mean", "median of the training labels": "median"}


@dataclass(frozen=True)
class Problem:
    """What is compared, with features in place of structures."""

    models: dict[str, BaseEstimator]
    descriptor_of: dict[str, str]
    features: dict[str, np.ndarray]
    y: np.ndarray
    groups: np.ndarray
    ids: tuple[str, ...]
    label: dict[str, Any]

    @classmethod
    def of(cls, models: Mapping[str, BaseEstimator], data: Any, y: Any, groups: Any) -> Problem:
        clash = set(models) & set(BASELINES)
        if clash:
            raise ValueError(f"these names are taken by baselines: {sorted(clash)}")
        if hasattr(data, "structures"):
            if y is not None or groups is not None:
                raise ValueError("a dataset brings its own labels and groups: do not pass y or groups beside it")
            if data.y is None:
                raise ValueError("the dataset has no labels: name a target when reading it")
            return cls._from_dataset(models, data)
        X = np.asarray(data, dtype=float)
        if y is None:
            raise ValueError("labels y are missing")
        labels = np.asarray(y, dtype=float)
        if len(labels) != len(X):
            raise ValueError(f"{len(X)} rows, but {len(labels)} labels")
        groups = np.arange(len(X)) if groups is None else np.asarray(groups)
        if len(groups) != len(X):
            raise ValueError(f"{len(X)} rows, but {len(groups)} groups")
        ids = tuple(str(i) for i in range(len(X)))
        label = _label("arrays", "y", None, labels, None, ())
        return cls(dict(models), dict.fromkeys(models, "features"), {"features": X}, labels, groups, ids, label)

    @classmethod
    def _from_dataset(cls, models: Mapping[str, BaseEstimator], data: Any) -> Problem:
        features: dict[str, np.ndarray] = {}
        name_of_settings: dict[str, str] = {}
        heads, descriptor_of = {}, {}
        for name, model in models.items():
            if not isinstance(model, Pipeline) or len(model.steps) < 2:
                raise ValueError(f"{name}: with a dataset each model is a Pipeline whose first step makes the features")
            featurizer = model.steps[0][1]
            settings = repr((type(featurizer).__qualname__, sorted(featurizer.get_params().items(), key=str)))
            if settings not in name_of_settings:
                described = getattr(featurizer, "description", type(featurizer).__name__)
                twins = sum(known == described or known.startswith(described + " #") for known in features)
                described = f"{described} #{twins + 1}" if twins else described
                name_of_settings[settings] = described
                features[described] = np.asarray(clone(featurizer).fit_transform(data.structures), dtype=float)
            descriptor_of[name] = name_of_settings[settings]
            rest = Pipeline(model.steps[1:])
            heads[name] = rest.steps[0][1] if len(rest.steps) == 1 else rest
        label = _label(data.name, data.target, data.unit, data.y, data.label_noise, data.provenance)
        return cls(heads, descriptor_of, features, np.array(data.y), np.asarray(data.groups), tuple(data.ids), label)


def _label(
    name: str, target: str | None, unit: str | None, y: np.ndarray, noise: float | None, provenance: Sequence[str]
) -> dict[str, Any]:
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
