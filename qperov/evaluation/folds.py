"""Every model on every fold."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from numbers import Integral
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import BaseCrossValidator, GroupKFold, cross_val_score
from sklearn.pipeline import Pipeline

from qperov.evaluation.finished_folds import FinishedFolds, Fold, FoldResult
from qperov.evaluation.peak_memory import peak_memory
from qperov.evaluation.problem import Problem
from qperov.evaluation.progress import Progress, callback_or_bar
from qperov.evaluation.searches import INNER_FOLDS, SampledGroupKFold, class_score, search_of, with_grouped_search

#: One model on one fold while it is computed. What is remembered from call to call belongs to it: in which blocks the
#: rest of a matrix is computed decides its last digits, and these must not depend on the folds before in this process.
FOLD: ContextVar[object | None] = ContextVar("FOLD", default=None)

#: Score of inner folds, by which candidates are chosen; of classes `class_score`.
INNER_SCORING = "neg_mean_absolute_error"


def evaluate_folds(
    problem: Problem,
    folds: list[Fold],
    groups: np.ndarray,
    *,
    n_jobs: int | None = None,
    progress: Progress | bool | None = None,
    finished: FinishedFolds | None = None,
    inner: Mapping[str, BaseCrossValidator] | None = None,
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
    inner : mapping of str to splitter
        Models whose loss on inner folds is needed, and these folds; see :func:`inner_loss`.

    Returns
    -------
    list of FoldResult
        By model, then by fold, whatever the order in which they finished.

    Raises
    ------
    ValueError
        If a model predicts NaN, infinity or the wrong number of values.
    """
    features, y, groups = problem.learnt_from(groups)
    further = np.arange(len(problem.y), len(y))
    folds = [(repeat, fold, np.append(train, further), test) for repeat, fold, train, test in folds]
    constant = np.zeros((len(y), 1))
    inner = inner or {}
    tasks = [(name, model, constant, fold) for name, model in problem.baselines.items() for fold in folds]
    tasks += [
        (name, model.of_features, features[problem.descriptor_of[name]], fold)
        for name, model in problem.models.items()
        for fold in folds
    ]
    results: list[FoldResult | None] = [None] * len(tasks)
    paths = []
    if finished is not None:
        paths = [finished.path(*task, y, groups, inner.get(task[0])) for task in tasks]
        results = [finished.read(path) for path in paths]
    left = [i for i, result in enumerate(results) if result is None]
    parent = os.getpid()
    jobs = (delayed(_numbered)(parent, i, *tasks[i], y, groups, inner.get(tasks[i][0])) for i in left)
    computed = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(jobs)
    with callback_or_bar(progress, "Cross-validation") as told:
        for done, (i, result) in enumerate(computed, start=len(tasks) - len(left) + 1):
            results[i] = result
            if finished is not None:
                finished.keep(paths[i], result)
            if told is not None:
                told(done, len(tasks), result.model)
    return [result for result in results if result is not None]


def _numbered(parent: int, i: int, *task: Any) -> tuple[int, FoldResult]:
    if os.getpid() != parent and threading.current_thread() is threading.main_thread():
        # Ctrl-C reaches all processes of a terminal; a worker between two tasks would answer with a traceback
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    token = FOLD.set(object())
    try:
        return i, _fit_and_predict(*task)
    finally:
        FOLD.reset(token)


def _fit_and_predict(
    name: str,
    model: BaseEstimator,
    X: np.ndarray,
    fold: Fold,
    y: np.ndarray,
    groups: np.ndarray,
    inner: BaseCrossValidator | None,
) -> FoldResult:
    repeat, number, train, test = fold
    start = time.perf_counter()
    estimator, fit_parameters = with_grouped_search(clone(model), groups[train])
    with peak_memory() as memory:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            estimator.fit(X[train], y[train], **fit_parameters)
        prediction, probabilities = _predicted(estimator, X[test], y)
    if len(prediction) != len(test) or (y.dtype.kind == "f" and not np.isfinite(prediction).all()):
        lost = int((~np.isfinite(prediction)).sum()) if y.dtype.kind == "f" else 0
        wrong = f"{lost} of {len(prediction)} predictions are NaN or infinite"
        raise ValueError(f"{name}, repeat {repeat}, fold {number}: {wrong}; {len(test)} finite numbers are needed")
    _, search = search_of(estimator)
    chosen = None if search is None else {k: _plain(v) for k, v in search.best_params_.items()}
    seconds = time.perf_counter() - start
    said = dict.fromkeys(str(each.message) for each in caught if issubclass(each.category, UserWarning))
    warned = () if chosen is not None else tuple(said)
    chosen_by = float("nan") if inner is None else inner_loss(estimator, X[train], y[train], groups[train], inner)
    return FoldResult(
        name,
        repeat,
        number,
        len(train),
        test,
        prediction,
        chosen,
        seconds,
        warned,
        memory.megabytes,
        chosen_by,
        probabilities,
    )


def _predicted(estimator: BaseEstimator, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Numbers; or classes with the probability of each class of ``y``, sorted: NaN where the model gives none."""
    if y.dtype.kind == "f":
        return np.asarray(estimator.predict(X), dtype=float).ravel(), None
    names = np.unique(y)
    if not hasattr(estimator, "predict_proba"):
        return np.asarray(estimator.predict(X)).ravel(), np.full((len(X), len(names)), np.nan)
    probabilities = np.zeros((len(X), len(names)))
    probabilities[:, np.searchsorted(names, estimator.classes_)] = estimator.predict_proba(X)
    return np.asarray(estimator.predict(X)).ravel(), probabilities


def inner_folds(models: Iterable[BaseEstimator]) -> BaseCrossValidator:
    """The grouped inner folds on which models are chosen: those of their searches, where all have the same.

    Then the score of a search is the loss that is wanted, and costs nothing; otherwise ``GroupKFold(INNER_FOLDS)``.
    """
    found = {}
    for model in models:
        _, search = search_of(model)
        if search is not None:
            cv = search.cv
            cv = GroupKFold(int(cv or INNER_FOLDS)) if cv is None or isinstance(cv, Integral) else cv
            found[repr(cv)] = cv
    return next(iter(found.values())) if len(found) == 1 else GroupKFold(INNER_FOLDS)


def inner_loss(
    estimator: BaseEstimator, X: np.ndarray, y: np.ndarray, groups: np.ndarray, cv: BaseCrossValidator
) -> float:
    """Loss of a fitted estimator's settings on grouped inner folds of the rows that it was fitted on.

    MAE of numbers; of classes 1 − `class_score`, which is nearly the balanced error.

    The same for all: as in a search at the end of a pipeline, the steps before the last stay fitted to all rows. A
    search keeps the hyperparameters that it has chosen; one by the same score on the same folds knows the loss already.

    Parameters
    ----------
    estimator : estimator
    X : ndarray, shape (n, d)
    y : ndarray, shape (n,)
    groups : ndarray of int, shape (n,)
    cv : splitter
        From :func:`inner_folds`; with fewer groups than folds, each group is a fold.

    Returns
    -------
    float
        NaN with fewer than two groups.
    """
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        return float("nan")
    _, search = search_of(estimator)
    classes = y.dtype.kind == "U"
    scoring, perfect = (class_score, 1.0) if classes else (INNER_SCORING, 0.0)
    same = search is not None and search.scoring == scoring and repr(search.cv) == repr(cv)
    if same and not hasattr(search, "n_resources_"):  # successive halving scores on part of the rows
        return float(perfect - search.best_score_)
    if isinstance(estimator, Pipeline):
        X = estimator[:-1].transform(X) if len(estimator) > 1 else X
        estimator = estimator[-1]
    last = clone(estimator if search is None else search.best_estimator_)
    cv = SampledGroupKFold(cv.get_n_splits(X, y, groups)) if classes and type(cv) is GroupKFold else cv
    cv = cv if cv.get_n_splits(X, y, groups) <= n_groups else GroupKFold(n_groups)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        scores = cross_val_score(last, X, y, groups=groups, cv=cv, scoring=scoring, error_score="raise")
    return float(perfect - scores.mean())


def _plain(value: Any) -> Any:
    """A chosen value as JSON takes it; kernels and the like as text."""
    try:
        return json.loads(json.dumps(value.item() if isinstance(value, np.generic) else value))
    except (TypeError, ValueError):
        return str(value)
