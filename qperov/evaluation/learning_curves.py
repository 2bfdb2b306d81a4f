"""How errors fall with the number of training crystals: the same models, the same test folds, more to learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from qperov.evaluation.finished_folds import Fold
from qperov.evaluation.folds import evaluate_folds
from qperov.evaluation.metrics import class_weights
from qperov.evaluation.problem import Model, Problem
from qperov.evaluation.progress import Progress
from qperov.evaluation.splits import make_folds
from qperov.evaluation.tables import fold_scores

#: Shares of the smallest training fold that are learnt from when no sizes are given.
SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)


def learning_curve(
    models: Mapping[str, BaseEstimator | Model],
    data: Any,
    y: np.ndarray | None = None,
    *,
    sizes: Sequence[int] | None = None,
    groups: np.ndarray | None = None,
    folds: int = 5,
    repeats: int = 1,
    random_state: int = 0,
    n_jobs: int | None = None,
    progress: Progress | bool | None = None,
) -> pd.DataFrame:
    """Score models that learnt from few crystals to many, always on the same honest test folds.

    The training part of each fold is put in a random order once, and its first n crystals are learnt from: larger
    training sets contain the smaller ones, and all models see the same. No group is in a training and a test part.

    Parameters
    ----------
    models : mapping of str to estimator
        As for ``compare``: pipelines from structures with a dataset, any regressors with arrays.
    data : CrystalDataset or ndarray, shape (n, d)
    y : ndarray, shape (n,)
        With arrays only.
    sizes : sequence of int, optional
        Numbers of training crystals; by default 10, 20, 40, 70 and 100 % of the smallest training fold.
    groups : ndarray of int, shape (n,), optional
        With arrays only; by default every row stands alone.
    folds, repeats, random_state : int
    n_jobs : int, optional
        As in joblib.
    progress : Progress or bool, optional
        Told the name of each model; True for a bar, which is the default at a prompt and in a notebook.

    Returns
    -------
    DataFrame
        ``model`` (constant baselines first), ``name``, ``descriptor`` ("none" for these), ``family``, ``size``
        (training crystals), ``repeat``, ``fold``, ``n_test``, ``mae``, ``rmse``, ``r2``, ``seconds``;
        of classes ``error`` (balanced) and ``accuracy`` in place of the three.

    Raises
    ------
    ValueError
        What ``compare`` raises; and with sizes below 2 or above the smallest training fold.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> X = np.arange(40.0)[:, None]
    >>> curve = learning_curve({"line": LinearRegression()}, X, 3 * X.ravel() + 1, sizes=[4, 30])
    >>> bool(curve.loc[curve["model"] == "line", "mae"].max() < 1e-9)
    True
    """
    problem = Problem.of(models, data, y, groups)
    grouped = problem.independent_groups()
    classes = problem.y if problem.has_classes else None
    of_class = None if classes is None else class_weights(classes, grouped)
    drawn: dict[str, Any] = {"folds": folds, "repeats": repeats, "random_state": random_state}
    dealt = list(make_folds(len(problem.y), grouped, y=classes, **drawn))
    wanted = _checked_sizes(sizes, min(len(train) for _, _, train, _ in dealt))
    rng = np.random.default_rng(random_state)
    nested: list[Fold] = []
    for repeat, fold, train, test in dealt:
        order = rng.permutation(train)
        nested += [(repeat, fold, order[:size], test) for size in wanted]
    results = evaluate_folds(problem, nested, grouped, n_jobs=n_jobs, progress=progress)
    rows = []
    for result in results:
        model = problem.models.get(result.model)
        rows.append(
            {
                "model": result.model,
                "name": model.name if model else result.model,
                "descriptor": problem.descriptor_of.get(result.model, "none"),
                "family": model.family if model else "baseline",
                "size": result.n_train,
                "repeat": result.repeat,
                "fold": result.fold,
                "n_test": len(result.test),
                **fold_scores(problem, result, of_class),
                "seconds": result.seconds,
            }
        )
    return pd.DataFrame(rows)


def _checked_sizes(sizes: Sequence[int] | None, most: int) -> list[int]:
    if sizes is None:
        return sorted({max(2, round(share * most)) for share in SHARES})
    wanted = sorted(set(sizes))
    if not wanted or wanted[0] < 2 or wanted[-1] > most:
        raise ValueError(f"sizes must be between 2 and {most}, the smallest training fold, got {list(sizes)}")
    return wanted
