"""Models of a comparison, trained on all of its crystals."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from qperov.datasets.dataset import CrystalDataset
from qperov.evaluation.progress import Progress
from qperov.evaluation.results import Comparison
from qperov.evaluation.searches import with_grouped_search


def choose_models(comparison: Comparison, wanted: Sequence[str]) -> tuple[str, ...]:
    """Names of models that were compared; ``"best"`` is the one with the least mean absolute error, ``"all"`` all.

    Raises
    ------
    ValueError
        If no model has such a name.
    """
    scores = comparison.table[comparison.table["kind"] == "model"].set_index("model")["mae"]
    groups = {"all": list(scores.index), "best": [scores.idxmin()]}
    names = [name for one in wanted for name in groups.get(one, [one])]
    if unknown := [name for name in names if name not in scores.index]:
        raise ValueError(f"no model is called {unknown[0]!r}; best, all, or: {', '.join(scores.index)}")
    return tuple(dict.fromkeys(names))


def held_out_errors(comparison: Comparison, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Errors y − ŷ of a model on the folds that held each crystal out, and the groups of the crystals, shape (m,).

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
    return (rows["y_true"] - rows["y_pred"]).to_numpy(), rows["group"].to_numpy()


def groups_of(comparison: Comparison) -> np.ndarray:
    """The groups that no fold crossed, in the order of ``comparison.ids``, shape (n,)."""
    first = comparison.predictions.drop_duplicates("id").set_index("id")["group"]
    return first.loc[list(comparison.ids)].to_numpy()


def fit_models(
    models: Mapping[str, BaseEstimator],
    dataset: CrystalDataset,
    groups: np.ndarray,
    names: Sequence[str],
    *,
    n_jobs: int | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[str, Pipeline, tuple[str, ...]]]:
    """Train pipelines on all crystals, searches with grouped inner folds.

    Yields
    ------
    (name, pipeline, warnings)
        In the order of ``names``. Of a search, the model that it found.
    """
    jobs = (delayed(_fitted)(models[name], dataset, groups) for name in names)
    parallel = Parallel(n_jobs=1 if len(names) == 1 else n_jobs, return_as="generator")
    for done, (name, (pipeline, warned)) in enumerate(zip(names, parallel(jobs), strict=True), start=1):
        if progress is not None:
            progress(done, len(names), name)
        yield name, pipeline, warned


def _fitted(model: Pipeline, dataset: CrystalDataset, groups: np.ndarray) -> tuple[Pipeline, tuple[str, ...]]:
    pipeline, parameters = with_grouped_search(clone(model), groups)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        pipeline.fit(list(dataset.structures), dataset.y, **parameters)
    name, final = pipeline.steps[-1]
    if hasattr(final, "best_estimator_"):  # a search tries things that are worth a warning
        return Pipeline([*pipeline.steps[:-1], (name, final.best_estimator_)]), ()
    return pipeline, tuple(dict.fromkeys(_words(each.message) for each in caught))


def _words(message: Any) -> str:
    return " ".join(str(message).split())
