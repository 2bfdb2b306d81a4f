"""The classifiers that are compared on measured patterns, quantum and classical ones with equal searches."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from qperov.evaluation.problem import Model
from qperov.evaluation.searches import SampledGroupKFold, class_score
from qperov.quantum.estimators.classification import QuantumSVC
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.landmarks import LandmarkFeatures
from qperov.quantum.kernels.projected import ProjectedKernel
from qperov.studies.regressors import (
    INNER_FOLDS,
    TREES,
    classical_settings,
    kernel_grid,
    plain_grid,
    quantum_settings,
    search_size,
)

#: Iterations of logistic regression, which small penalties need.
ITERATIONS = 2000


def classifiers(n_components: int, n_samples: int, *, quick: bool = False, random_state: int = 0) -> list[Model]:
    """Classifiers of ``n_components`` common components; each search has thirty candidates, or ten with ``quick``.

    Those that can weigh samples count all classes alike. A search takes the candidate of the best balanced accuracy on
    grouped inner folds; among equal ones that of the better probabilities.

    Parameters
    ----------
    n_components, n_samples : int
        They scale the ranges of the searches: lengths by the typical distance, neighbours to a quarter of the samples.
    quick : bool
        Fewer candidates, on fewer samples.
    random_state : int
        Of the candidates and of the samples on which they are compared.
    """
    draw: dict[str, Any] = {"quick": quick, "random_state": random_state}
    most = search_size(quick=quick, exploratory=True)
    folds = SampledGroupKFold(INNER_FOLDS, n_samples=most, random_state=random_state)
    alike: dict[str, Any] = {"class_weight": "balanced"}

    def search(machine: BaseEstimator, grid: list[dict[str, list[Any]]]) -> GridSearchCV:
        scaled = Pipeline([("scale", StandardScaler(with_mean=False, with_std=False)), ("machine", machine)])
        # an inner fold may learn from one class alone, which machines refuse: it decides nothing then
        return GridSearchCV(scaled, grid, scoring=class_score, cv=folds, error_score=0.0)

    names = ("learning_rate", "max_leaf_nodes", "min_samples_leaf", "l2_regularization")
    trees = HistGradientBoostingClassifier(max_iter=TREES, early_stopping=False, random_state=random_state, **alike)
    quarter = max(1, min(n_samples, most) // 4)
    neighbours = [
        one | {"machine__n_neighbors": [min(quarter, *one["machine__n_neighbors"])]}
        for one in plain_grid({"machine__n_neighbors": "neighbours"}, whiten=True, **draw)
    ]
    process = GaussianProcessClassifier(
        ConstantKernel(1.0, (1e-3, 1e5)) * Matern(1.0, (1e-3, 1e5), nu=1.5), random_state=random_state
    )
    found = [
        Model(
            "Logistic regression",
            search(
                LogisticRegression(max_iter=ITERATIONS, **alike), plain_grid({"machine__C": "C"}, whiten=True, **draw)
            ),
        ),
        Model("Nearest neighbours", search(KNeighborsClassifier(weights="distance", algorithm="brute"), neighbours)),
        Model(
            "Gradient boosting",
            search(trees, plain_grid({f"machine__{name}": name for name in names}, whiten=False, **draw)),
        ),
        Model("Gaussian process", Pipeline([("scale", StandardScaler()), ("machine", process)])),
    ]
    circuit: dict[str, Any] = {"precision": "single"}
    fidelity, projected = FidelityKernel("iqp", **circuit), ProjectedKernel("iqp", **circuit)
    quantum = quantum_settings(n_components)
    for name, kernel, settings, family in (
        ("", RBF(), classical_settings(n_components), "classical"),
        ("Q", fidelity, quantum, "quantum"),
        ("Q projected", projected, quantum_settings(n_components, projected=True), "quantum"),
    ):
        prefix, _, ending = name.partition(" ")
        grid = kernel_grid(settings, "C", **draw)
        machine = QuantumSVC(kernel, probability=True, **alike)
        found.append(Model(f"{prefix}SVC {ending}".strip(), search(machine, grid), family=family, kernel=kernel))
        if not ending:
            logistic = Pipeline(
                [("kernel", LandmarkFeatures(kernel)), ("linear", LogisticRegression(max_iter=ITERATIONS, **alike))]
            )
            inside = {"machine__C": "machine__linear__C", "machine__kernel": "machine__kernel__kernel"}
            renamed = [{_renamed(key, inside): values for key, values in one.items()} for one in grid]
            title = "Quantum kernel logistic" if prefix else "Kernel logistic"
            found.append(Model(title, search(logistic, renamed), family=family))
    return found


def _renamed(key: str, inside: dict[str, str]) -> str:
    """A parameter of a kernel machine as that of the pipeline that takes its place."""
    own = next((name for name in inside if key == name or key.startswith(f"{name}__")), None)
    return key if own is None else inside[own] + key.removeprefix(own)
