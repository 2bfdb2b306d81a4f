"""Models of a comparison, trained on all of its crystals."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.special import softmax
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from qperov.datasets.dataset import Dataset
from qperov.evaluation.progress import Progress
from qperov.evaluation.results import Comparison
from qperov.evaluation.searches import with_grouped_search
from qperov.serving.conformal import group_weights

#: Temperatures that are tried: few samples that are all right must not make a model surer than twice what it says.
TEMPERATURES = tuple(np.geomspace(0.5, 50, 101).tolist())
#: What a probability of zero counts as.
TINY = 1e-12


def choose_models(comparison: Comparison, wanted: Sequence[str]) -> tuple[str, ...]:
    """Names of models that were compared; ``"best"`` is the one with the least MAE (or balanced error).

    Raises
    ------
    ValueError
        If no model has such a name.
    """
    scores = comparison.table[comparison.table["kind"] == "model"].set_index("model")[comparison.loss]
    groups = {"all": list(scores.index), "best": [scores.idxmin()]}
    names = [name for one in wanted for name in groups.get(one, [one])]
    if unknown := [name for name in names if name not in scores.index]:
        raise ValueError(f"no model is called {unknown[0]!r}; best, all, or: {', '.join(scores.index)}")
    return tuple(dict.fromkeys(names))


def held_out_errors(comparison: Comparison, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Errors y − ŷ of a model on the folds that held each sample out, and the groups of the samples, shape (m,).

    Of classes, 1 − probability of the true class, after calibration with `held_out_temperature`.

    Raises
    ------
    ValueError
        If folds parted crystals of one group: errors on copies of training crystals tell nothing of new ones.
    """
    rows = comparison.predictions[comparison.predictions["model"] == name]
    if (rows.groupby(["repeat", "group"])["fold"].nunique() > 1).any():
        raise ValueError(
            f"{name}: the folds of this comparison part copies of one crystal, so that its errors say nothing of new "
            'crystals; compare with split="grouped" to keep a model'
        )
    groups = rows["group"].to_numpy()
    if not comparison.classes:
        return (rows["y_true"] - rows["y_pred"]).to_numpy(), groups
    probabilities, true = _probabilities(comparison, rows, name)
    calibrated = with_temperature(probabilities, held_out_temperature(comparison, name))
    return 1 - calibrated[np.arange(len(true)), true], groups


def held_out_temperature(comparison: Comparison, name: str) -> float:
    """T of the probabilities ∝ p^(1/T) that have the least log loss on samples held out, each group counting alike.

    Samples of classes that stand in one group alone do not count: nothing of them was learnt.

    Raises
    ------
    ValueError
        If the model gives no probabilities.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, Proc. Mach. Learn. Res. 70, 1321 (2017), arXiv:1706.04599.
    """
    rows = comparison.predictions[comparison.predictions["model"] == name]
    scored = [each for each, about in comparison.label["classes"].items() if about["scored"]]
    rows = rows[rows["y_true"].isin(scored)]
    probabilities, true = _probabilities(comparison, rows, name)
    weights = group_weights(rows["group"].to_numpy())

    def log_loss(temperature: float) -> float:
        found = with_temperature(probabilities, temperature)[np.arange(len(true)), true]
        return float(weights @ -np.log(np.maximum(found, TINY)))

    return float(min(TEMPERATURES, key=log_loss))


def with_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities ∝ p^(1/T), shape (n, n_classes): less sure of themselves where T is above 1."""
    return softmax(np.log(np.maximum(probabilities, TINY)) / temperature, axis=1)


def _probabilities(comparison: Comparison, rows: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of each class, and the number of the true one."""
    found = rows[[f"probability_{each}" for each in comparison.classes]].to_numpy(dtype=float)
    if np.isnan(found).any():
        raise ValueError(f"{name} gives no probabilities, which a stored classifier needs (predict_proba)")
    return found, np.searchsorted(comparison.classes, rows["y_true"].to_numpy(dtype=str))


def groups_of(comparison: Comparison) -> np.ndarray:
    """The groups that no fold crossed, in the order of ``comparison.ids``, shape (n,)."""
    first = comparison.predictions.drop_duplicates("id").set_index("id")["group"]
    return first.loc[list(comparison.ids)].to_numpy()


def fit_models(
    models: Mapping[str, BaseEstimator],
    dataset: Dataset,
    groups: np.ndarray,
    names: Sequence[str],
    *,
    n_jobs: int | None = None,
    further: Dataset | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[str, Pipeline, tuple[str, ...]]]:
    """Train pipelines on all crystals, searches with grouped inner folds.

    Yields
    ------
    (name, pipeline, warnings)
        In the order of ``names``. Of a search, the model that it found.
    """
    jobs = (delayed(_fitted)(models[name], dataset, groups, further) for name in names)
    parallel = Parallel(n_jobs=1 if len(names) == 1 else n_jobs, return_as="generator")
    for done, (name, (pipeline, warned)) in enumerate(zip(names, parallel(jobs), strict=True), start=1):
        if progress is not None:
            progress(done, len(names), name)
        yield name, pipeline, warned


def _fitted(
    model: Pipeline, dataset: Dataset, groups: np.ndarray, further: Dataset | None
) -> tuple[Pipeline, tuple[str, ...]]:
    samples, y = list(dataset.samples), np.asarray(dataset.y)
    if further is not None:
        samples += further.samples
        y = np.concatenate([y, np.asarray(further.y)])
        groups = np.concatenate([groups, further.groups - further.groups.min() + groups.max() + 1])
    pipeline, parameters = with_grouped_search(clone(model), groups)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        pipeline.fit(samples, y, **parameters)
    name, final = pipeline.steps[-1]
    if hasattr(final, "best_estimator_"):  # a search tries things that are worth a warning
        return Pipeline([*pipeline.steps[:-1], (name, final.best_estimator_)]), ()
    return pipeline, tuple(dict.fromkeys(_words(each.message) for each in caught))


def _words(message: Any) -> str:
    return " ".join(str(message).split())
