"""The stages of a fitted pipeline: what the featurizer gives, what the regressor sees, and what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.compose import TransformedTargetRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler


def points_of(pipeline: Pipeline, entries: Sequence[Any]) -> dict[str, np.ndarray]:
    """Crystals as the featurizer describes them and, where steps lie between, as the regressor sees them.

    Returns
    -------
    dict of str to ndarray, each of shape (n, d)
        ``"descriptor"``, and ``"components"`` of a pipeline of more than two steps.

    Raises
    ------
    DescriptorError, SymmetryError
        If an entry cannot be described.
    """
    descriptor = np.asarray(pipeline.steps[0][1].transform(entries), dtype=float)
    if len(pipeline.steps) == 2:
        return {"descriptor": descriptor}
    return {"descriptor": descriptor, "components": np.asarray(pipeline[1:-1].transform(descriptor), dtype=float)}


def predictions_of(pipeline: Pipeline, points: Mapping[str, np.ndarray]) -> np.ndarray:
    """Predictions for samples given as :func:`points_of` gives them, shape (n,): numbers, or classes as text."""
    final = pipeline.steps[-1][1]
    return np.asarray(final.predict(_last(points)), dtype=str if is_classifier(final) else float).ravel()


def probabilities_of(pipeline: Pipeline, points: Mapping[str, np.ndarray], classes: Sequence[str]) -> np.ndarray:
    """Probabilities of these classes, shape (n, n_classes); zero for one that was not learnt."""
    final = pipeline.steps[-1][1]
    found = np.zeros((len(_last(points)), len(classes)))
    found[:, np.searchsorted(classes, np.asarray(final.classes_, dtype=str))] = final.predict_proba(_last(points))
    return found


def deviations_of(pipeline: Pipeline, points: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Standard deviations that a Gaussian process gives, shape (n,); None for any other regressor."""
    final = pipeline.steps[-1][1]
    scale = 1.0
    if isinstance(final, TransformedTargetRegressor) and isinstance(final.transformer_, StandardScaler):
        scale = 1.0 if final.transformer_.scale_ is None else float(final.transformer_.scale_[0])
        final = final.regressor_
    if not isinstance(final, GaussianProcessRegressor):
        return None
    return scale * np.asarray(final.predict(_last(points), return_std=True)[1], dtype=float).ravel()


def _last(points: Mapping[str, np.ndarray]) -> np.ndarray:
    return list(points.values())[-1]
