"""Every model on every fold."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Collection
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import Pipeline

from qperov.evaluation.finished_folds import FinishedFolds, Fold, FoldResult
from qperov.evaluation.peak_memory import peak_memory
from qperov.evaluation.problem import BASELINES, Problem
from qperov.evaluation.progress import Progress, told_progress
from qperov.evaluation.searches import INNER_FOLDS, search_of, with_grouped_search

#: Score of inner folds, by which candidates are chosen.
INNER_SCORING = "neg_mean_absolute_error"


def evaluate_folds(
    problem: Problem,
    folds: list[Fold],
    groups: np.ndarray,
    *,
    n_jobs: int | None = None,
    progress: Progress | bool | None = None,
    finished: FinishedFolds | None = None,
    inner: Collection[str] = (),
) -> list[FoldResult]:
    """Fit every baseline and model on every fold.

    Parameters
    ----------
    problem : Problem
    folds : list of (repeat, fold, train, test)
    groups : ndarray of int, shape (n,)
        Groups for the inner folds of hyperparameter searches.
    n_jobs : int, optional
        As in joblib.
    progress : Progress or bool, optional
        Told the name of each model; True for a bar, which is the default at a prompt and in a notebook.
    finished : FinishedFolds, optional
        Where each result is kept as soon as it is there, and looked for before it is computed.
    inner : collection of str
        Models whose MAE on inner folds is needed, as :func:`inner_mae` gives it; of others it is told where it costs
        nothing.

    Returns
    -------
    list of FoldResult
        By model, then by fold, whatever the order in which they finished.

    Raises
    ------
    ValueError
        If a model predicts NaN, infinity or the wrong number of values.
    """
    constant = np.zeros((len(problem.y), 1))
    tasks = [
        (name, DummyRegressor(strategy=strategy), constant, fold)
        for name, strategy in BASELINES.items()
        for fold in folds
    ]
    tasks += [
        (name, model.of_features, problem.features[problem.descriptor_of[name]], fold)
        for name, model in problem.models.items()
        for fold in folds
    ]
    results: list[FoldResult | None] = [None] * len(tasks)
    paths = []
    if finished is not None:
        paths = [finished.path(*task, problem.y, groups) for task in tasks]
        results = [finished.read(path) for path in paths]
        results = [None if kept and kept.model in inner and math.isnan(kept.inner_mae) else kept for kept in results]
    left = [i for i, result in enumerate(results) if result is None]
    jobs = (delayed(_numbered)(i, *tasks[i], problem.y, groups, tasks[i][0] in inner) for i in left)
    computed = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(jobs)
    with told_progress(progress, "Cross-validation") as told:
        for done, (i, result) in enumerate(computed, start=len(tasks) - len(left) + 1):
            results[i] = result
            if finished is not None:
                finished.keep(paths[i], result)
            if told is not None:
                told(done, len(tasks), result.model)
    return [result for result in results if result is not None]


def _numbered(i: int, *task: Any) -> tuple[int, FoldResult]:
    return i, _fit_and_predict(*task)


def _fit_and_predict(
    name: str, model: BaseEstimator, X: np.ndarray, fold: Fold, y: np.ndarray, groups: np.ndarray, inner: bool = False
) -> FoldResult:
    repeat, number, train, test = fold
    start = time.perf_counter()
    estimator, fit_parameters = with_grouped_search(clone(model), groups[train])
    with peak_memory() as memory:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            estimator.fit(X[train], y[train], **fit_parameters)
        prediction = np.asarray(estimator.predict(X[test]), dtype=float).ravel()
    if len(prediction) != len(test) or not np.isfinite(prediction).all():
        wrong = f"{int((~np.isfinite(prediction)).sum())} of {len(prediction)} predictions are NaN or infinite"
        raise ValueError(f"{name}, repeat {repeat}, fold {number}: {wrong}; {len(test)} finite numbers are needed")
    _, search = search_of(estimator)
    chosen = None if search is None else {k: _plain(v) for k, v in search.best_params_.items()}
    seconds = time.perf_counter() - start
    said = dict.fromkeys(str(each.message) for each in caught if issubclass(each.category, UserWarning))
    warned = () if chosen is not None else tuple(said)
    chosen_by = _search_mae(estimator)
    if inner and math.isnan(chosen_by):
        chosen_by = inner_mae(estimator, X[train], y[train], groups[train])
    return FoldResult(
        name, repeat, number, len(train), test, prediction, chosen, seconds, warned, memory.megabytes, chosen_by
    )


def inner_mae(estimator: BaseEstimator, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> float:
    """MAE of a fitted estimator's settings on grouped inner folds of the rows that it was fitted on.

    The same for all: as in a search at the end of a pipeline, the steps before the last stay fitted to all rows. A
    search keeps the hyperparameters that it has chosen; one by the same score on the same folds knows the MAE already.

    Parameters
    ----------
    estimator : estimator
    X : ndarray, shape (n, d)
    y : ndarray, shape (n,)
    groups : ndarray of int, shape (n,)

    Returns
    -------
    float
        NaN with fewer than two groups.
    """
    known = _search_mae(estimator)
    folds = min(INNER_FOLDS, len(np.unique(groups)))
    if not math.isnan(known) or folds < 2:
        return known
    _, search = search_of(estimator)
    if isinstance(estimator, Pipeline):
        X = estimator[:-1].transform(X) if len(estimator) > 1 else X
        estimator = estimator[-1]
    last = clone(estimator if search is None else search.best_estimator_)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        scores = cross_val_score(
            last, X, y, groups=groups, cv=GroupKFold(folds), scoring=INNER_SCORING, error_score="raise"
        )
    return float(-scores.mean())


def _search_mae(estimator: BaseEstimator) -> float:
    """The MAE on inner folds by which a search has chosen, if it is that of `inner_mae`; else NaN."""
    _, search = search_of(estimator)
    if search is None or search.scoring != INNER_SCORING or repr(search.cv) != repr(GroupKFold(INNER_FOLDS)):
        return math.nan
    # successive halving scores on part of the rows
    return math.nan if hasattr(search, "n_resources_") else float(-search.best_score_)


def _plain(value: Any) -> Any:
    """A chosen value as JSON takes it; kernels and the like as text."""
    try:
        return json.loads(json.dumps(value.item() if isinstance(value, np.generic) else value))
    except (TypeError, ValueError):
        return str(value)
