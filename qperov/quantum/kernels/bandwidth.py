"""The bandwidth of a quantum kernel, found on training data.

A kernel knows nothing of data, so ``bandwidth="median"`` and ``bandwidth="aligned"`` are words that the estimators
resolve when they are fitted, in a copy of the kernel that they keep.
"""

from __future__ import annotations

from math import log

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from sklearn.base import clone
from sklearn.gaussian_process.kernels import Kernel
from sklearn.utils import check_array

from qperov.quantum.kernels.alignment import align
from qperov.quantum.kernels.feature_map_kernel import FeatureMapKernel

#: Samples on which a bandwidth is found; more change it little.
MOST_SAMPLES = 100

#: What the bandwidth is when there are no two different samples to find it on.
NO_DATA = 0.1


def resolved_kernel(kernel: Kernel, X: ArrayLike, y: ArrayLike | None = None) -> Kernel:
    """A copy of a kernel with numbers for every bandwidth that is "median" or "aligned", in its parts too.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel
        A quantum kernel, or a combination of kernels.
    X : array of shape (n_samples, n_features)
        The training data.
    y : array of shape (n_samples,) or None
        Labels, needed for "aligned".

    Raises
    ------
    ValueError
        "aligned" without labels.
    MissingDependencyError
        "aligned" without PyTorch.
    """
    resolved = clone(kernel)
    for part in (resolved, *resolved.get_params(deep=True).values()):
        if isinstance(part, FeatureMapKernel) and isinstance(part.bandwidth, str):
            start = clone(part)
            if part.bandwidth == "median":
                part.set_params(bandwidth=median_bandwidth(start, X))
            elif part.bandwidth == "aligned":
                if y is None:
                    raise ValueError("bandwidth='aligned' is found on labelled data: y is needed")
                part.set_params(**align(start.set_params(bandwidth=median_bandwidth(start, X)), X, y))
    return resolved


def median_bandwidth(kernel: FeatureMapKernel, X: ArrayLike, target: float = 0.5) -> float:
    """The least bandwidth at which the median kernel value between different samples is ``target``.

    Found on at most 100 samples, evenly spaced in the sorted distinct rows of X, with exact values (no shots, no
    backend). If no bandwidth brings the median so low, the one that brings it lowest.

    Parameters
    ----------
    kernel : FidelityKernel or ProjectedKernel
        Its own bandwidth is not looked at.
    X : array of shape (n_samples, n_features)
    target : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        NaN or infinity in X, or a target out of range.
    """
    if not 0 < target < 1:
        raise ValueError(f"target must lie between 0 and 1, got {target}")
    samples = np.unique(check_array(X, dtype=np.float64, input_name="X"), axis=0)
    if len(samples) < 2:
        return NO_DATA
    samples = samples[np.unique(np.linspace(0, len(samples) - 1, MOST_SAMPLES).astype(int))]
    exact = clone(kernel).set_params(shots=None, backend=None)
    upper = np.triu_indices(len(samples), 1)

    def excess(log_bandwidth: float) -> float:
        trial = exact.set_params(bandwidth=float(np.exp(log_bandwidth)))
        trial._checked(samples[:1])
        return float(np.median(trial._fresh_matrix(samples)[upper])) - target

    scale = float(np.abs(samples - samples.mean(axis=0)).max())
    if scale == 0 or not np.isfinite(scale):
        return NO_DATA
    first = log(1e-3 / scale)
    while excess(first) < 0 and first > log(np.finfo(float).tiny):
        first -= log(1e3)
    logs = np.arange(first, log(2 * np.pi / scale) + log(2), log(2))
    values: list[float] = []
    for step, here in enumerate(logs):
        values.append(excess(here))
        if values[-1] == 0:
            return float(np.exp(here))
        if step and values[step] < 0 < values[step - 1]:
            return float(np.exp(brentq(excess, logs[step - 1], here, xtol=1e-4)))
    return float(np.exp(logs[int(np.argmin(values))]))
