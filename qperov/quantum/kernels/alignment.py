"""Training a quantum kernel on its alignment with the labels, by exact gradients with PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from qperov_circuits import FEATURE_MAPS
from scipy.optimize import minimize
from sklearn.utils import check_X_y

from qperov.quantum.kernels.feature_map_kernel import FeatureMapKernel
from qperov.quantum.simulation.statevector import states
from qperov.torch_support import import_torch

#: Samples that one training looks at; its time grows with their square.
MOST_SAMPLES = 200

#: How far a bandwidth may go from its start, as a factor.
REACH = 30.0

#: Amplitudes of all samples below which one thread is faster than several, by far on a machine that is busy.
SMALL = 2**17


def align(
    kernel: FeatureMapKernel, X: ArrayLike, y: ArrayLike, *, max_iter: int = 50, random_state: int = 0
) -> dict[str, Any]:
    """Parameters that maximise the centred kernel-target alignment: one bandwidth a feature, and trainable weights.

    A(K, y) = ⟨K_c, y_c y_cᵀ⟩ / (‖K_c‖ ‖y_c‖²), with K_c the kernel matrix centred in feature space; found with
    L-BFGS-B from the kernel's own parameters, on at most 200 samples drawn from X, with exact values (no shots).

    Parameters
    ----------
    kernel : FidelityKernel or ProjectedKernel
        With a number, or one a feature, for bandwidth.
    X : array of shape (n_samples, n_features)
    y : array of shape (n_samples,)
        Numbers, or class labels; with more than two classes, the ideal kernel is 1 within a class and 0 without.
    max_iter : int
        Steps of the optimiser.
    random_state : int
        Seed of the draw.

    Returns
    -------
    dict
        ``bandwidth``: list of n_features floats; ``weights``: list of floats if the feature map has any; ready for
        ``kernel.set_params``.

    Raises
    ------
    MissingDependencyError
        PyTorch is not installed.
    ValueError
        NaN, infinity, or shapes that do not fit.

    References
    ----------
    C. Cortes, M. Mohri, A. Rostamizadeh, JMLR 13, 795 (2012) (centred alignment);
    T. Hubregtsen et al., Phys. Rev. A 106, 042431 (2022), doi:10.1103/PhysRevA.106.042431 (for quantum kernels).
    """
    torch = import_torch("or use bandwidth='median'")
    samples: np.ndarray
    labels: np.ndarray
    samples, labels = check_X_y(X, y, dtype=np.float64)
    n_features = samples.shape[1]
    kernel._check_bandwidth(n_features)
    start = np.broadcast_to(np.log(np.asarray(kernel.bandwidth, dtype=float)), n_features)
    weights = _start_weights(kernel, n_features)
    if len(samples) > MOST_SAMPLES:
        rows = np.random.default_rng(random_state).choice(len(samples), MOST_SAMPLES, replace=False)
        samples, labels = samples[rows], labels[rows]
    target = _centred(_ideal_kernel(labels))
    if not target.any():
        return _parameters(start, weights)
    n_qubits = kernel._n_qubits(n_features)
    data, ideal = torch.as_tensor(samples), torch.as_tensor(target / np.linalg.norm(target))

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        leaf = torch.tensor(parameters, requires_grad=True)
        scaled = list((torch.exp(leaf[: len(start)]) * data).T)
        trial = kernel.get_params(deep=False) | {"weights": list(leaf[len(start) :]) if len(weights) else None}
        gates = type(kernel)(**trial).circuit(scaled)
        gram = kernel._matrix_of_tensors(states(gates, n_qubits, len(samples)), n_qubits)
        centred = gram - gram.mean(0) - gram.mean(1, keepdim=True) + gram.mean()
        value = -(centred * ideal).sum() / (torch.linalg.norm(centred) + 1e-12)
        return value.item(), torch.autograd.grad(value, leaf)[0].numpy()

    reach = [(value - np.log(REACH), value + np.log(REACH)) for value in start]
    threads = torch.get_num_threads()
    if len(samples) * 2**n_qubits < SMALL:
        torch.set_num_threads(1)
    try:
        found = minimize(
            loss,
            np.concatenate([start, weights]),
            jac=True,
            method="L-BFGS-B",
            bounds=reach + [(None, None)] * len(weights),
            options={"maxiter": max_iter},
        )
    finally:
        torch.set_num_threads(threads)
    return _parameters(found.x[: len(start)], found.x[len(start) :])


def _parameters(log_bandwidths: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    found: dict[str, Any] = {"bandwidth": np.exp(log_bandwidths).tolist()}
    if len(weights):
        found["weights"] = weights.tolist()
    return found


def _start_weights(kernel: FeatureMapKernel, n_features: int) -> np.ndarray:
    """Weights of the feature map to begin with; none if it has none."""
    if not isinstance(kernel.feature_map, str):
        return np.empty(0)
    if kernel.weights is not None:
        return np.asarray(kernel.weights, dtype=float)
    named = FEATURE_MAPS[kernel.feature_map]
    return np.asarray(named.default_weights(n_features, kernel.reps, kernel.n_qubits), dtype=float)


def _ideal_kernel(y: np.ndarray) -> np.ndarray:
    """y yᵀ for numbers and for two classes; whether labels are the same for more."""
    classes = np.unique(y)
    if y.dtype.kind in "OSU" or (y.dtype.kind in "iub" and len(classes) > 2):
        return (y[:, None] == y).astype(float)
    numbers = np.where(y == classes[0], -1.0, 1.0) if len(classes) == 2 else y.astype(float)
    numbers = numbers - numbers.mean()
    return np.outer(numbers, numbers)


def _centred(K: np.ndarray) -> np.ndarray:
    return K - K.mean(0) - K.mean(1, keepdims=True) + K.mean()
