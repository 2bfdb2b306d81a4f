"""What a study of quantum kernels measures: scores beside a Gaussian's on the same folds, diagnoses, and shots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist, squareform
from sklearn.base import clone
from sklearn.gaussian_process.kernels import Kernel
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline
from sklearn.svm import SVR

from qperov.quantum.diagnosis.diagnostics import diagnose, median_rbf
from qperov.quantum.gram.geometry import geometric_difference
from qperov.quantum.kernels.bandwidth import resolved_kernel
from qperov.quantum.kernels.feature_map_kernel import FeatureMapKernel
from qperov.quantum.kernels.projected import ProjectedKernel

INNER_FOLDS = 3
PENALTIES = (1.0, 10.0, 100.0)
#: Bandwidths of the Gaussians among which a kernel's nearest is looked for; every third is tried for g.
GAUSSIANS = tuple(np.geomspace(0.02, 2.0, 31).tolist())
RBF_NAME = "RBF"
#: What chose a bandwidth that is diagnosed.
MEDIAN, CHOSEN = "median heuristic", "inner folds"


@dataclass(frozen=True, eq=False)
class KernelProblem:
    """What all kernels see.

    Attributes
    ----------
    features : ndarray, shape (n, d)
        Before scaling.
    components : Pipeline
        Scaling and principal components; fitted on training crystals.
    y : ndarray, shape (n,)
    groups : ndarray of int, shape (n,)
        Crystals that stay together in inner folds.
    folds : list of (train, test)
    epsilon : float
        Half-width of the SVR's tube in standard deviations of the training labels.
    """

    features: np.ndarray
    components: Pipeline
    y: np.ndarray
    groups: np.ndarray
    folds: list[tuple[np.ndarray, np.ndarray]]
    epsilon: float


@dataclass(frozen=True, eq=False)
class KernelScore:
    """Out-of-fold predictions, and by fold the MAE on inner folds that the penalty was chosen by."""

    predictions: np.ndarray
    inner: np.ndarray


KernelAt = Callable[[float], Kernel]


def at_bandwidth(kernel: FeatureMapKernel) -> KernelAt:
    """The kernel as a function of its bandwidth."""
    return lambda b: clone(kernel).set_params(bandwidth=b)


def cross_validated(data: KernelProblem, kernel: Kernel) -> KernelScore:
    """One kernel on all folds; components and labels are scaled on the training crystals, C is chosen inside them."""
    predictions, inner = np.empty(len(data.y)), np.empty(len(data.folds))
    for k, (train, test) in enumerate(data.folds):
        X = clone(data.components).fit(data.features[train]).transform(data.features)
        K = kernel(X)
        mean, deviation = data.y[train].mean(), data.y[train].std() or 1.0
        z = (data.y - mean) / deviation
        splits = list(GroupKFold(INNER_FOLDS).split(train, groups=data.groups[train]))
        errors = [np.mean([_error(K, z, train[a], train[b], C, data.epsilon) for a, b in splits]) for C in PENALTIES]
        best = int(np.argmin(errors))
        predictions[test] = mean + deviation * _predicted(K, z, train, test, PENALTIES[best], data.epsilon)
        inner[k] = errors[best]
    return KernelScore(predictions, inner)


def _predicted(
    K: np.ndarray, z: np.ndarray, train: np.ndarray, test: np.ndarray, C: float, epsilon: float
) -> np.ndarray:
    # the solver of QuantumSVR, without its warnings: far too large a bandwidth is shown on purpose
    machine = SVR(kernel="precomputed", C=C, epsilon=epsilon).fit(K[np.ix_(train, train)], z[train])
    return machine.predict(K[np.ix_(test, train)])


def _error(K: np.ndarray, z: np.ndarray, train: np.ndarray, test: np.ndarray, C: float, epsilon: float) -> float:
    return float(mean_absolute_error(z[test], _predicted(K, z, train, test, C, epsilon)))


def nested_predictions(data: KernelProblem, scores: list[KernelScore]) -> tuple[np.ndarray, np.ndarray]:
    """Out-of-fold predictions with the bandwidth that was best on each fold's inner folds, and its index by fold."""
    chosen = np.argmin([score.inner for score in scores], axis=0)
    predictions = np.empty(len(data.y))
    for (_, test), index in zip(data.folds, chosen, strict=True):
        predictions[test] = scores[index].predictions[test]
    return predictions, chosen


def diagnosis_table(
    X: np.ndarray,
    y: np.ndarray,
    own: dict[str, FeatureMapKernel],
    kernels: dict[str, KernelAt],
    typical: dict[str, float],
) -> pd.DataFrame:
    """Each kernel at the median heuristic's bandwidth and at the one that the inner folds typically chose."""
    median = {name: _median(kernel, X) for name, kernel in own.items()}
    median[RBF_NAME] = 1 / float(median_rbf(X).length_scale)
    squares = squareform(pdist(X, "sqeuclidean"))
    gaussians = [np.exp(-0.5 * b**2 * squares) for b in GAUSSIANS]
    rows = []
    for name, at in kernels.items():
        for which, b in ((MEDIAN, median[name]), (CHOSEN, typical[name])):
            found = diagnose(at(b), X, y)
            quantum = name != RBF_NAME
            alike = [likeness(found.K, gaussian) for gaussian in gaussians]
            g = [geometric_difference(L, found.K, found.regularisation) for L in gaussians[::3] if quantum]
            rows.append(
                {
                    "kernel": name,
                    "bandwidth": b,
                    "chosen by": which,
                    "median entry": found.statistics.median,
                    "spread": found.concentration.spread,
                    "minimum shots": found.minimum_shots if quantum else np.nan,
                    "effective rank": found.effective_rank,
                    "target alignment": found.alignment,
                    "s / N": None if found.complexity is None else found.complexity / len(y),
                    "g to the median RBF": found.geometric_difference if quantum else np.nan,
                    "least g to any RBF": min(*g, found.geometric_difference) if quantum else np.nan,
                    "closest RBF": max(alike) if quantum else np.nan,
                }
            )
    return pd.DataFrame(rows)


def _median(kernel: FeatureMapKernel, X: np.ndarray) -> float:
    return float(resolved_kernel(clone(kernel).set_params(bandwidth="median"), X).bandwidth)


def likeness(K: np.ndarray, L: np.ndarray) -> float:
    """Cosine of two kernel matrices after centring; 0 where one of them is constant."""
    K, L = (M - M.mean(axis=0) - M.mean(axis=1, keepdims=True) + M.mean() for M in (K, L))
    norm = float(np.linalg.norm(K) * np.linalg.norm(L))
    return float((K * L).sum()) / norm if norm > 1e-12 * len(K) else 0.0


def entry_quantiles(X: np.ndarray, kernels: dict[str, KernelAt], bandwidths: tuple[float, ...]) -> pd.DataFrame:
    """Quantiles of the off-diagonal entries at each bandwidth."""
    upper = np.triu_indices(len(X), 1)
    return pd.DataFrame(
        [
            (name, b, label, float(value))
            for name, at in kernels.items()
            for b in bandwidths
            for label, value in zip(
                ("95 %", "median", "5 %"), np.quantile(at(b)(X)[upper], (0.95, 0.5, 0.05)), strict=True
            )
        ],
        columns=["kernel", "bandwidth", "entries", "entry"],
    )


def shot_table(
    data: KernelProblem, own: dict[str, FeatureMapKernel], typical: dict[str, float], shots: tuple[int, ...], seed: int
) -> pd.DataFrame:
    """R² with measured kernels, and how many runs of a circuit the whole matrix takes."""
    n = len(data.y)
    rows = []
    for name, kernel in own.items():
        circuits = 3 * n if isinstance(kernel, ProjectedKernel) else n * (n - 1) // 2
        for each in shots:
            measured = clone(kernel).set_params(bandwidth=typical[name], shots=each, random_state=seed)
            r2 = float(r2_score(data.y, cross_validated(data, measured).predictions))
            rows.append({"kernel": name, "shots": each, "R²": r2, "runs of circuits": circuits * each})
    return pd.DataFrame(rows)
