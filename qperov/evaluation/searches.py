"""Hyperparameter searches with grouped inner folds."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    LeaveOneGroupOut,
    LeavePGroupsOut,
    StratifiedGroupKFold,
)
from sklearn.pipeline import Pipeline

from qperov.evaluation.metrics import LEAST_PROBABILITY

#: Parameters that scikit-learn's searches have, and no other estimator has together.
SEARCH = {"estimator", "cv", "error_score"}
#: Folds of hyperparameter searches that do not name their own.
INNER_FOLDS = 3
#: Part of the log loss that is taken off the balanced accuracy in searches: less than one sample counts.
TIE = 1e-3


class SampledGroupKFold(GroupKFold):
    """Folds over groups of at most so many samples, drawn at random group by group; the others are in no fold.

    A search on these folds costs the same however many samples there are: it chooses on some, and is fitted to all.
    Where labels are classes (text), every fold has as equal a share of each as the groups allow.

    Parameters
    ----------
    n_splits : int
    n_samples : int
        Samples of the folds at most; at least ``n_splits`` groups are taken.
    random_state : int
        Of the draw.
    """

    def __init__(self, n_splits: int = INNER_FOLDS, *, n_samples: int = 400, random_state: int = 0) -> None:
        super().__init__(n_splits)
        self.n_samples = n_samples
        self.random_state = random_state  # scikit-learn's own, which shuffles nothing here

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows to train and to test on, of every fold."""
        groups = np.asarray(groups)
        rows = np.arange(len(groups))
        if len(groups) > self.n_samples:
            names, sizes = np.unique(groups, return_counts=True)
            order = np.random.default_rng(self.random_state).permutation(len(names))
            within = np.flatnonzero(sizes[order].cumsum() <= self.n_samples)
            taken = names[order[: max(self.n_splits, len(within))]]
            rows = np.flatnonzero(np.isin(groups, taken))
        if y is None or np.asarray(y).dtype.kind != "U":
            folds = super().split(rows, groups=groups[rows])
        else:
            folds = StratifiedGroupKFold(self.n_splits).split(rows, np.asarray(y)[rows], groups[rows])
        for train, test in folds:
            yield rows[train], rows[test]


def class_score(estimator: BaseEstimator, X: Any, y: np.ndarray) -> float:
    """Balanced accuracy of classes minus a thousandth of the log loss: ties, which are many among few samples, are
    broken by the probabilities. The scoring of searches among classifiers.

    The mean is over the classes of ``y``; a class that was not learnt from has the least probability.
    """
    code = np.unique(y, return_inverse=True)[1]
    score = float(np.mean(np.bincount(code, weights=estimator.predict(X) == y) / np.bincount(code)))
    if not hasattr(estimator, "predict_proba"):
        return score
    found = estimator.predict_proba(X)
    of_class = dict(zip(estimator.classes_, found.T, strict=True))
    own = np.array([of_class[label][i] if label in of_class else 0.0 for i, label in enumerate(y)])
    return score + TIE * float(np.log(np.maximum(own, LEAST_PROBABILITY)).mean())


GROUP_SPLITTERS = (GroupKFold, GroupShuffleSplit, LeaveOneGroupOut, LeavePGroupsOut, StratifiedGroupKFold)


def search_of(estimator: BaseEstimator) -> tuple[str, Any]:
    """The search that an estimator is, or ends in (None without one), and the prefix of its parameters."""
    prefix, final = "", estimator
    if isinstance(estimator, Pipeline):
        name, final = estimator.steps[-1]
        prefix = f"{name}__"
    is_search = hasattr(final, "get_params") and final.get_params(deep=False).keys() >= SEARCH
    return prefix, final if is_search else None


def check_search(name: str, estimator: BaseEstimator) -> None:
    """Raise ValueError if the model's search brings a splitter that ignores groups."""
    _, search = search_of(estimator)
    if search is None or search.cv is None or isinstance(search.cv, (Integral, *GROUP_SPLITTERS)):
        return
    raise ValueError(
        f"{name}: the search's cv, {type(search.cv).__name__}, would part copies of one crystal: give the number of "
        f"inner folds, or a splitter that heeds groups ({', '.join(s.__name__ for s in GROUP_SPLITTERS)})"
    )


def with_grouped_search(estimator: BaseEstimator, groups: np.ndarray) -> tuple[BaseEstimator, dict[str, Any]]:
    """Make the search that an estimator is, or ends in, split by groups.

    Parameters
    ----------
    estimator : estimator
        Changed in place: a search that names no splitter gets GroupKFold.
    groups : ndarray of int, shape (n_train,)

    Returns
    -------
    (estimator, dict)
        What ``fit`` must be given besides X and y.

    Raises
    ------
    ValueError
        If there are fewer groups than inner folds.
    """
    prefix, search = search_of(estimator)
    if search is None:
        return estimator, {}
    if search.cv is None or isinstance(search.cv, Integral):
        search.set_params(cv=GroupKFold(int(search.cv or INNER_FOLDS)))
    if isinstance(search.cv, GroupKFold) and (n_groups := len(np.unique(groups))) < (inner := search.cv.n_splits):
        raise ValueError(
            f"hyperparameters are chosen on {inner} inner folds, but a training fold holds only {n_groups} groups "
            "of crystals that differ: read more crystals"
        )
    return estimator, {f"{prefix}groups": groups}


def ungrouped_parameters(estimator: BaseEstimator) -> list[str]:
    """Parameters ``cv`` deeper inside an estimator (such as RidgeCV's) that compare cannot make heed groups."""
    prefix, search = search_of(estimator)
    handled = {f"{prefix}cv"} if search is not None else set()
    parameters = estimator.get_params(deep=True)
    return [name for name in parameters if name.split("__")[-1] == "cv" and name not in handled]
