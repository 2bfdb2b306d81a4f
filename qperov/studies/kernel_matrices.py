"""Kernel matrices of compared models, for the maps that a report draws of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.gaussian_process.kernels import Kernel
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from qperov.evaluation.searches import search_of
from qperov.quantum.kernels.bandwidth import resolved_kernel
from qperov.records.record import spaced_rows

if TYPE_CHECKING:
    from qperov.evaluation.problem import Model
    from qperov.evaluation.results import Comparison

#: So many crystals, evenly spaced among all, get into a matrix.
MOST = 1500


def kernel_matrices(models: Mapping[str, Model], comparison: Comparison, *, most: int = MOST) -> dict[str, np.ndarray]:
    """Exact matrices of the searched kernels on the last descriptor that has a quantum one.

    Scaling and components are fitted on all crystals, once for all matrices; the hyperparameters, whitening and
    feature map among them, are those that were chosen in most folds (of equals, the first). Shots and backends are left
    out: every matrix is exact.

    Parameters
    ----------
    models : mapping of str to Model
        The compared models. Those count that have a kernel, on the same components as the last quantum one.
    comparison : Comparison
        What ``qperov.compare`` gave for them.
    most : int

    Returns
    -------
    dict of str to ndarray, shape (m, m)
        By model, 1 on the diagonal; m = min(n, ``most``), its rows the crystals ``spaced_rows(n, m)``.
    """
    descriptor_of = dict(zip(comparison.table["model"], comparison.table["descriptor"], strict=True))
    own = {name: model for name, model in models.items() if model.kernel is not None and name in descriptor_of}
    quantum = [name for name, model in own.items() if model.family == "quantum"]
    if not quantum:
        return {}
    descriptor, steps = descriptor_of[quantum[-1]], own[quantum[-1]].transformers
    X = np.asarray(comparison.features[descriptor], dtype=np.float64)
    if steps:
        X = np.asarray(clone(Pipeline([*steps])).fit_transform(X, comparison.y))
    rows = spaced_rows(len(X), most)
    matrices = {}
    for name, model in own.items():
        same = descriptor_of[name] == descriptor and str(model.transformers) == str(steps)
        if same and (chosen := most_chosen(comparison, name)) is not None:
            Z = whitened(X, chosen)
            kernel = resolved_kernel(chosen_kernel(model, chosen), Z, comparison.y)
            matrices[name] = kernel(Z[rows])
    return matrices


def most_chosen_parameters(comparison: Comparison, model: str) -> dict[str, Any] | None:
    """Parameters that most folds chose (of equals, the first), by their full names; None where no fold chose any."""
    mine = comparison.parameters.loc[comparison.parameters["model"] == model, "parameters"]
    return json.loads(Counter(mine).most_common(1)[0][0]) if len(mine) else None


def most_chosen(comparison: Comparison, model: str) -> dict[str, Any] | None:
    """`most_chosen_parameters` by the last part of their names."""
    found = most_chosen_parameters(comparison, model)
    return None if found is None else {key.rpartition("__")[2]: value for key, value in found.items()}


def chosen_kernel(model: Model, chosen: dict[str, Any]) -> Kernel:
    """The kernel of a model with those of the chosen parameters that are its own, without shots."""
    kernel = clone(model.kernel)
    if "kernel" in chosen:  # one of those that its search was given
        _, search = search_of(model.regressor)
        given = [value for grid in search.param_grid for key in grid if key.endswith("__kernel") for value in grid[key]]
        kernel = clone(next(one for one in given if str(one) == chosen["kernel"]))
    own = kernel.get_params()
    exact = {name: None for name in ("shots", "backend") if name in own}
    return kernel.set_params(**{name: value for name, value in chosen.items() if name in own}, **exact)


def whitened(X: np.ndarray, chosen: dict[str, Any]) -> np.ndarray:
    """Components with unit variance each, where a search chose so."""
    return StandardScaler(with_mean=False, with_std=bool(chosen.get("with_std", False))).fit_transform(X)
