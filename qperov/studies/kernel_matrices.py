"""Kernel matrices of compared models, for the maps that a report draws of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.gaussian_process.kernels import RBF, Kernel
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVR

from qperov.quantum.estimators.regression import QuantumSVR
from qperov.quantum.kernels.bandwidth import resolved_kernel
from qperov.quantum.kernels.feature_map_kernel import FeatureMapKernel
from qperov.records.record import evenly_spaced

if TYPE_CHECKING:
    from qperov.evaluation.results import Comparison

#: So many crystals, evenly spaced among all, get into a matrix.
MOST = 1500


def kernel_matrices(
    models: Mapping[str, BaseEstimator], comparison: Comparison, *, most: int = MOST
) -> dict[str, np.ndarray]:
    """Exact kernel matrices of the searched support vector machines on the last descriptor that has a quantum one.

    Scaling and components are fitted on all crystals, once for all matrices; the hyperparameters are those that were
    chosen in most folds (of equals, the first). Shots and backends are left out: every matrix is exact.

    Parameters
    ----------
    models : mapping of str to estimator
        The compared models. Those count that are a pipeline from a featurizer, through the same steps, to a search over
        QuantumSVR with a quantum kernel, or over SVR with an RBF kernel.
    comparison : Comparison
        What ``qperov.compare`` gave for them.
    most : int

    Returns
    -------
    dict of str to ndarray, shape (m, m)
        By model, 1 on the diagonal; m = min(n, ``most``), its rows the crystals ``evenly_spaced(n, m)``.
    """
    descriptor_of = dict(zip(comparison.table["model"], comparison.table["descriptor"], strict=True))
    machines = {
        name: machine
        for name, model in models.items()
        if descriptor_of.get(name) in comparison.features and (machine := _searched_machine(model)) is not None
    }
    quantum = [name for name, machine in machines.items() if isinstance(machine, QuantumSVR)]
    if not quantum:
        return {}
    descriptor, steps = descriptor_of[quantum[-1]], models[quantum[-1]].steps[1:-1]
    X = np.asarray(comparison.features[descriptor], dtype=np.float64)
    if steps:
        X = np.asarray(clone(make_pipeline(*(step for _, step in steps))).fit_transform(X, comparison.y))
    rows = evenly_spaced(len(X), most)
    return {
        name: _kernel(clone(machine).set_params(**chosen), X, comparison.y)(X[rows])
        for name, machine in machines.items()
        if descriptor_of[name] == descriptor
        and str(models[name].steps[1:-1]) == str(steps)
        and (chosen := _most_chosen(comparison, name)) is not None
    }


def _searched_machine(model: BaseEstimator) -> QuantumSVR | SVR | None:
    """The machine of a pipeline that ends in a search over it; None for any other model, and for any other kernel."""
    search = model.steps[-1][1] if isinstance(model, Pipeline) else None
    estimator = getattr(search, "estimator", None)
    machine = estimator.regressor if isinstance(estimator, TransformedTargetRegressor) else estimator
    quantum = isinstance(machine, QuantumSVR) and isinstance(machine.kernel, FeatureMapKernel)
    return machine if quantum or (isinstance(machine, SVR) and machine.kernel == "rbf") else None


def _most_chosen(comparison: Comparison, model: str) -> dict[str, Any] | None:
    """Parameters of the machine that most folds chose; None where no fold chose any."""
    mine = comparison.parameters.loc[comparison.parameters["model"] == model, "parameters"]
    if mine.empty:
        return None
    ((text, _),) = Counter(mine).most_common(1)
    return {key.removeprefix("regressor__"): value for key, value in json.loads(text).items()}


def _kernel(machine: QuantumSVR | SVR, X: np.ndarray, y: np.ndarray) -> Kernel:
    """The kernel of a machine with its parameters, exact."""
    if isinstance(machine, QuantumSVR):
        return resolved_kernel(machine.kernel, X, y).set_params(shots=None, backend=None)
    gamma = machine.gamma
    if isinstance(gamma, str):  # as scikit-learn resolves them
        gamma = 1 / X.shape[1] / (float(X.var()) or 1.0 if gamma == "scale" else 1.0)
    return RBF(1 / np.sqrt(2 * gamma))
