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

from qperov.quantum.kernels.bandwidth import resolved_kernel
from qperov.records.record import spaced_rows

if TYPE_CHECKING:
    from qperov.evaluation.problem import Model
    from qperov.evaluation.results import Comparison

#: So many crystals, evenly spaced among all, get into a matrix.
MOST = 1500


def kernel_matrices(models: Mapping[str, Model], comparison: Comparison, *, most: int = MOST) -> dict[str, np.ndarray]:
    """Exact matrices of the searched kernels on the last descriptor that has a quantum one.

    Scaling and components are fitted on all crystals, once for all matrices; the hyperparameters are those that were
    chosen in most folds (of equals, the first). Shots and backends are left out: every matrix is exact.

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
    return {
        name: _exact(model.kernel, chosen, X, comparison.y)(X[rows])
        for name, model in own.items()
        if descriptor_of[name] == descriptor
        and str(model.transformers) == str(steps)
        and (chosen := _most_chosen(comparison, name)) is not None
    }


def _most_chosen(comparison: Comparison, model: str) -> dict[str, Any] | None:
    """Parameters that most folds chose; None where no fold chose any."""
    mine = comparison.parameters.loc[comparison.parameters["model"] == model, "parameters"]
    if mine.empty:
        return None
    ((text, _),) = Counter(mine).most_common(1)
    return {key.rpartition("__")[2]: value for key, value in json.loads(text).items()}


def _exact(kernel: Kernel, chosen: dict[str, Any], X: np.ndarray, y: np.ndarray) -> Kernel:
    """The kernel with those of the chosen parameters that are its own, without shots."""
    own = kernel.get_params()
    exact = {name: None for name in ("shots", "backend") if name in own}
    resolved = clone(kernel).set_params(**{name: value for name, value in chosen.items() if name in own})
    return resolved_kernel(resolved, X, y).set_params(**exact)
