"""Hyperparameter searches with grouped inner folds."""

from __future__ import annotations

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

#: Parameters that scikit-learn's searches have, and no other estimator has together.
SEARCH = {"estimator", "cv", "error_score"}
#: Folds of hyperparameter searches that do not name their own.
INNER_FOLDS = 3
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
        inner, n_groups = int(search.cv or INNER_FOLDS), len(np.unique(groups))
        if n_groups < inner:
            raise ValueError(
                f"hyperparameters are chosen on {inner} inner folds, but a training fold holds only {n_groups} groups "
                "of crystals that differ: read more crystals"
            )
        search.set_params(cv=GroupKFold(inner))
    return estimator, {f"{prefix}groups": groups}


def ungrouped_parameters(estimator: BaseEstimator) -> list[str]:
    """Parameters ``cv`` deeper inside an estimator (such as RidgeCV's) that compare cannot make heed groups."""
    prefix, search = search_of(estimator)
    handled = {f"{prefix}cv"} if search is not None else set()
    parameters = estimator.get_params(deep=True)
    return [name for name in parameters if name.split("__")[-1] == "cv" and name not in handled]
