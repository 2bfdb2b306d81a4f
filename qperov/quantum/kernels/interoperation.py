"""Kernels of qiskit-machine-learning as ours, and ours as theirs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.gaussian_process.kernels import Kernel
from sklearn.utils import check_array

from qperov.errors import MissingDependencyError
from qperov.quantum.kernels.feature_map_kernel import MEMORY, FeatureMapKernel


class ForeignKernel(Kernel):
    """A kernel of qiskit-machine-learning as a kernel of scikit-learn's Gaussian processes.

    K(x, y) is what ``base.evaluate`` says, with these differences: the matrix is exactly symmetric with ones on its
    diagonal, each unordered pair in a call is evaluated once, and equal samples once.

    Parameters
    ----------
    base : qiskit_machine_learning.kernels.BaseKernel
        For instance a FidelityQuantumKernel with a sampler, or a TrainableFidelityQuantumKernel.
    """

    family = "quantum"

    def __init__(self, base: Any) -> None:
        self.base = base

    def __call__(self, X: ArrayLike, Y: ArrayLike | None = None, eval_gradient: bool = False) -> Any:
        """Kernel matrix of shape (n_samples, m_samples); it has no hyperparameters, and so an empty gradient.

        Raises
        ------
        ValueError
            NaN or infinity, or what ``base`` raises on features it cannot encode.
        """
        rows: np.ndarray = check_array(X, dtype=np.float64, input_name="X")
        columns: np.ndarray | None = None if Y is None else check_array(Y, dtype=np.float64, input_name="Y")
        K = MEMORY.matrix(None, rows, columns, self._evaluate)
        return (K, np.empty((*K.shape, 0))) if eval_gradient else K

    def diag(self, X: ArrayLike) -> np.ndarray:
        """The diagonal of ``self(X)``: ones, shape (n_samples,)."""
        return np.ones(len(check_array(X, dtype=np.float64)))

    def is_stationary(self) -> bool:
        """False: nothing is known of it."""
        return False

    def _evaluate(self, X: np.ndarray, Y: np.ndarray | None) -> np.ndarray:
        K = np.asarray(self.base.evaluate(X, Y), dtype=float)
        if Y is None:
            K = (K + K.T) / 2
            np.fill_diagonal(K, 1.0)
        return K


def as_qiskit_kernel(kernel: Kernel, n_features: int) -> Any:
    """One of our kernels as a ``BaseKernel``, for QSVR, QSVC and PegasosQSVC of qiskit-machine-learning.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel
        With numbers for all bandwidths, see `qperov.quantum.resolved_kernel`.
    n_features : int
        Features of a sample, which a ``BaseKernel`` knows beforehand.

    Raises
    ------
    MissingDependencyError
        qiskit-machine-learning is not installed.
    """
    try:
        from qiskit.circuit import ParameterVector, QuantumCircuit
        from qiskit_machine_learning.kernels import BaseKernel
        from qperov_circuits.adapters.to_qiskit import to_qiskit
    except ImportError as error:
        raise MissingDependencyError(
            "this needs qiskit-machine-learning: pip install qiskit-machine-learning"
        ) from error

    class QperovKernel(BaseKernel):
        """K(x, y) of the kernel it was given."""

        def evaluate(self, x_vec: np.ndarray, y_vec: np.ndarray | None = None) -> np.ndarray:
            rows = np.atleast_2d(x_vec)
            columns = rows if y_vec is None else np.atleast_2d(y_vec)
            if len(rows) == 0 or len(columns) == 0:  # Pegasos asks before it has a support vector
                return np.empty((len(rows), len(columns)))
            return kernel(rows) if y_vec is None else kernel(rows, columns)

        def __reduce__(self) -> tuple[Any, ...]:
            return as_qiskit_kernel, (kernel, n_features)

    x = ParameterVector("x", n_features)
    if isinstance(kernel, FeatureMapKernel):
        scales = np.broadcast_to(kernel.bandwidth, n_features)
        circuit = to_qiskit(kernel.circuit([float(b) * angle for b, angle in zip(scales, x, strict=True)]))
    else:  # it has no circuit, but theirs learns the number of features from one
        circuit = QuantumCircuit(n_features)
        for wire, angle in enumerate(x):
            circuit.rz(angle, wire)
    return QperovKernel(feature_map=circuit)
