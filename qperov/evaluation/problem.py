"""What is compared: models, one matrix a descriptor, labels and groups."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.gaussian_process.kernels import Kernel
from sklearn.pipeline import Pipeline

from qperov.evaluation.searches import check_search
from qperov.evaluation.splits import honest_groups

#: Constant predictions that stand in every table.
BASELINES = {"mean of the training labels": "mean", "median of the training labels": "median"}
#: Those of classes; drawn classes are drawn anew in each fold.
CLASS_BASELINES = {"most frequent class": "prior", "classes drawn by their frequency": "stratified"}
#: What a model can be, besides a baseline.
FAMILIES = ("quantum", "classical", "reference")
#: What a model is compared for: to answer whether quantum models do better, or to stand beside those that do.
ROLES = ("candidate", "contrast")


@dataclass(frozen=True, eq=False)
class Model:
    """A model of a comparison.

    Attributes
    ----------
    name : str
        Without its descriptor.
    regressor : estimator
        From features, or from what ``transformers`` make of them, to numbers or classes; a search chooses its
        hyperparameters.
    featurizer : transformer or None
        From structures to features; None for models of arrays.
    transformers : tuple of (str, transformer)
        Steps between the two.
    family : {"quantum", "classical", "reference"}
    kernel : Kernel or None
        The kernel that the regressor's search tunes, before it does, where reports map and diagnose it.
    role : {"candidate", "contrast"}

    Raises
    ------
    ValueError
        Another family or role.
    """

    name: str
    regressor: BaseEstimator
    featurizer: BaseEstimator | None = None
    transformers: tuple[tuple[str, BaseEstimator], ...] = ()
    family: str = "classical"
    kernel: Kernel | None = None
    role: str = "candidate"

    def __post_init__(self) -> None:
        if self.family not in FAMILIES or self.role not in ROLES:
            raise ValueError(
                f"{self.name}: family {self.family!r} and role {self.role!r}; there are {FAMILIES} and {ROLES}"
            )

    @classmethod
    def of(cls, name: str, estimator: BaseEstimator, *, structures: bool, family: str | None = None) -> Model:
        """An estimator of features, or of structures: then its first step makes the features; ValueError if not.

        Where no family is given, it is quantum if a part of it says so, by a class attribute ``family``.
        """
        if isinstance(estimator, type) or not hasattr(estimator, "fit") or not hasattr(estimator, "get_params"):
            raise ValueError(f"{name}: {estimator!r} is not a scikit-learn estimator")
        parts = [estimator, *estimator.get_params(deep=True).values()]
        quantum = any(getattr(type(part), "family", "") == "quantum" for part in parts)
        family = family or ("quantum" if quantum else "classical")
        if not structures:
            return cls(name, estimator, family=family)
        if not isinstance(estimator, Pipeline) or len(estimator) < 2 or not hasattr(estimator[0], "transform"):
            raise ValueError(f"{name}: with a dataset each model is a Pipeline whose first step makes the features")
        rest = estimator[1:]
        return cls(name, rest[0] if len(rest) == 1 else rest, estimator[0], family=family)

    @property
    def descriptor(self) -> str:
        """What its featurizer makes, in words."""
        return getattr(self.featurizer, "description", type(self.featurizer).__name__)

    @property
    def of_features(self) -> BaseEstimator:
        """The model from features to predictions."""
        return Pipeline([*self.transformers, ("model", self.regressor)]) if self.transformers else self.regressor

    @property
    def pipeline(self) -> Pipeline:
        """The model from structures to predictions."""
        return Pipeline([("pxrd", self.featurizer), *self.transformers, ("model", self.regressor)])


@dataclass(frozen=True, eq=False)
class FurtherSamples:
    """Samples, simulated ones say, that are learnt from in every fold and never tested.

    Attributes
    ----------
    features : dict of str to ndarray, each of shape (m, d)
        Under the descriptors' names.
    y, groups : ndarray, shape (m,)
    name : str
    """

    features: dict[str, np.ndarray]
    y: np.ndarray
    groups: np.ndarray
    name: str


@dataclass(frozen=True, eq=False)
class Problem:
    """What is compared, with features in place of structures; classes are text."""

    models: dict[str, Model]
    descriptor_of: dict[str, str]
    features: dict[str, np.ndarray]
    y: np.ndarray
    groups: np.ndarray
    ids: tuple[str, ...]
    label: dict[str, Any]
    cautions: tuple[str, ...] = ()
    further: FurtherSamples | None = None

    @property
    def has_classes(self) -> bool:
        """Whether labels are the names of classes."""
        return self.y.dtype.kind == "U"

    @property
    def class_names(self) -> np.ndarray:
        """All classes, sorted, those of further samples among them."""
        return np.unique(self.y if self.further is None else np.concatenate([self.y, self.further.y]))

    @property
    def baselines(self) -> dict[str, BaseEstimator]:
        """What knows the training labels alone."""
        if self.has_classes:
            return {name: DummyClassifier(strategy=s, random_state=0) for name, s in CLASS_BASELINES.items()}
        return {name: DummyRegressor(strategy=strategy) for name, strategy in BASELINES.items()}

    @property
    def questions(self) -> dict[str, tuple[list[str], list[str]]]:
        """Quantum and classical candidates of each descriptor that has both: what is planned to be tested."""
        found = {}
        for descriptor in self.features:
            models = [(name, model) for name, model in self.models.items() if self.descriptor_of[name] == descriptor]
            quantum, classical = (
                [name for name, model in models if (model.family, model.role) == (family, "candidate")]
                for family in ("quantum", "classical")
            )
            if quantum and classical:
                found[descriptor] = (quantum, classical)
        return found

    @classmethod
    def of(
        cls,
        models: Mapping[str, BaseEstimator | Model],
        data: Any,
        y: Any,
        groups: Any,
        families: Mapping[str, str] | None = None,
        further: Any = None,
    ) -> Problem:
        """Check the input of ``compare`` and compute the features; ValueError says what is wrong."""
        known = _models(models, hasattr(data, "samples"), families or {})
        if further is not None and not (hasattr(data, "samples") and hasattr(further, "samples")):
            raise ValueError("further training samples are a dataset beside a dataset")
        if hasattr(data, "samples"):
            if y is not None or groups is not None:
                raise ValueError("a dataset brings its own labels and groups: do not pass y or groups beside it")
            if data.y is None:
                raise ValueError("the dataset has no labels: name a target when reading it")
            return cls._from_dataset(known, data, further)
        if y is None:
            raise ValueError("labels y are missing")
        labels = _labels(y, known)
        label = _label("arrays", "y", None, labels, None, ())
        n = len(labels)
        features = _matrix("features", data, n)
        groups = np.arange(n) if groups is None else np.asarray(groups)
        if groups.shape != (n,):
            raise ValueError(f"{n} rows, but groups of shape {groups.shape}")
        ids = tuple(str(i) for i in range(n))
        return cls(known, dict.fromkeys(known, "features"), {"features": features}, labels, groups, ids, label)

    @classmethod
    def _from_dataset(cls, models: dict[str, Model], data: Any, further: Any) -> Problem:
        labels = _labels(data.y, models)
        label = _label(data.name, data.target, data.unit, labels, data.label_noise, data.provenance)
        label["samples"] = data.CALLED
        features: dict[str, np.ndarray] = {}
        beside: dict[str, np.ndarray] = {}
        name_of_settings: dict[str, str] = {}
        descriptor_of = {}
        for name, model in models.items():
            settings = _settings(model.featurizer)
            if settings not in name_of_settings:
                described = _unused(model.descriptor, features)
                featurizer = clone(model.featurizer)
                made = featurizer.fit_transform(data.samples)
                name_of_settings[settings], features[described] = described, _matrix(described, made, len(labels))
                if further is not None:
                    beside[described] = _matrix(described, featurizer.transform(further.samples), len(further))
            descriptor_of[name] = name_of_settings[settings]
        groups, ids = np.asarray(data.groups), tuple(data.ids)
        cautions = tuple(getattr(data, "cautions", ()))
        more = None
        if further is not None:
            if further.y is None or (further.target, further.unit) != (data.target, data.unit):
                raise ValueError(
                    f"further samples need labels like those of the others, {data.target} in {data.unit or 'no unit'}"
                )
            own = np.asarray(further.groups) + int(groups.max()) + 1
            more = FurtherSamples(beside, _labels(further.y, models), own, further.name)
        return cls(models, descriptor_of, features, labels, groups, ids, label, cautions, more)

    def independent_groups(self) -> np.ndarray:
        """The groups, merged where a descriptor cannot tell crystals apart, shape (n,).

        Those of references alone merge nothing: that one number is the same for half of the crystals is what they are
        there to show.
        """
        tested = {self.descriptor_of[name] for name, model in self.models.items() if model.family != "reference"}
        return honest_groups(self.groups, [self.features[name] for name in tested or self.features])

    def learnt_from(self, groups: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Features, labels and groups with the further samples behind the others."""
        more = self.further
        if more is None:
            return self.features, self.y, groups
        # groups of further samples begin behind all numbers that are taken
        own = more.groups - more.groups.min() + int(groups.max()) + 1
        features = {name: np.concatenate([matrix, more.features[name]]) for name, matrix in self.features.items()}
        return features, np.concatenate([self.y, more.y]), np.concatenate([groups, own])


def _models(
    models: Mapping[str, BaseEstimator | Model], structures: bool, families: Mapping[str, str]
) -> dict[str, Model]:
    if not models:
        raise ValueError('no models given: pass a dictionary such as {"SVR": pipeline}')
    if clash := set(models) & {*BASELINES, *CLASS_BASELINES}:
        raise ValueError(f"these names are taken by baselines: {sorted(clash)}")
    if unknown := set(families) - set(models):
        raise ValueError(f"families names no model {sorted(unknown)[0]!r}; there are {', '.join(models)}")
    known = {
        name: model
        if isinstance(model, Model)
        else Model.of(name, model, structures=structures, family=families.get(name))
        for name, model in models.items()
    }
    for name, model in known.items():
        check_search(name, model.regressor)
    return known


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


def _labels(y: Any, models: Mapping[str, Model]) -> np.ndarray:
    """Numbers, or classes as text: where labels are text, or where all models are classifiers."""
    labels = np.asarray(y)
    found = {name: is_classifier(model.regressor) for name, model in models.items()}
    classes = labels.dtype.kind in "OUSb" or all(found.values())
    if wrong := [name for name, classifies in found.items() if classifies != classes and _known_kind(models[name])]:
        what = ("classes", "a regressor") if classes else ("numbers", "a classifier")
        raise ValueError(f"{wrong[0]}: labels are {what[0]}, but it is {what[1]}")
    if not classes:
        return np.asarray(y, dtype=float)
    if labels.dtype.kind == "O" and any(each is None or each != each for each in labels.ravel()):
        raise ValueError("classes are missing: a label is None or NaN")
    return labels.astype(str)


def _known_kind(model: Model) -> bool:
    return is_classifier(model.regressor) or is_regressor(model.regressor)


def _label(
    name: str, target: str | None, unit: str | None, y: np.ndarray, noise: float | None, provenance: Sequence[str]
) -> dict[str, Any]:
    if y.ndim != 1 or len(y) == 0:
        raise ValueError(f"labels must have the shape (n,) with n > 0, not {y.shape}")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError(f"{int((~np.isfinite(y)).sum())} labels are NaN or infinite")
    spread: dict[str, Any] = {"classes": {name: {"n": many} for name, many in sorted(Counter(y.tolist()).items())}}
    if y.dtype.kind == "f":
        spread = {"mean": float(y.mean()), "sd": float(y.std()), "min": float(y.min()), "max": float(y.max())}
        spread["noise"] = noise
    sentences = [f"{sentence} ({many} labels)" for sentence, many in Counter(provenance).most_common()]
    return {
        "name": name,
        "target": target or "y",
        "unit": unit,
        "n": len(y),
        **spread,
        "provenance": sentences,
    }
