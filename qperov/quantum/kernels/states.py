"""What a quantum kernel compares, as features: a step of a pipeline that can be remembered on disk."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg.blas import zgemm
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.gaussian_process.kernels import RBF, Kernel
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from qperov.quantum.kernels.bandwidth import resolved_kernel
from qperov.quantum.kernels.feature_map_kernel import FeatureMapKernel
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.projected import ProjectedKernel


class KernelStates(TransformerMixin, BaseEstimator):
    """States of a fidelity kernel, or Bloch vectors of a projected one, one row of real numbers a sample.

    ``Pipeline([..., ("states", KernelStates(kernel)), ("svr", SVR(kernel=StateFidelity()))], memory="cache")`` prepares
    each state once, whatever the later steps try.

    Parameters
    ----------
    kernel : FidelityKernel, ProjectedKernel or None
        None for ``FidelityKernel(bandwidth="median")``. Its shots must be None: states are exact.

    Attributes
    ----------
    kernel_ : FidelityKernel or ProjectedKernel
        The kernel, with the bandwidth that was found if it was to be found.
    output_kernel_ : Kernel
        The kernel that on the output equals ``kernel_`` on the input: `StateFidelity`, or a Gaussian.
    """

    family = "quantum"

    def __init__(self, kernel: FeatureMapKernel | None = None) -> None:
        self.kernel = kernel

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> KernelStates:
        """Resolve the bandwidth; the states themselves depend on no data.

        Raises
        ------
        ValueError
            NaN or infinity, or a kernel that is not one of the two, or is not exact.
        """
        samples = validate_data(self, X, dtype=np.float64)
        kernel = FidelityKernel(bandwidth="median") if self.kernel is None else self.kernel
        if not isinstance(kernel, FidelityKernel | ProjectedKernel):
            raise ValueError(f"kernel must be a FidelityKernel or a ProjectedKernel, got {kernel!r}")
        if kernel.shots is not None or kernel.backend is not None:
            raise ValueError("states are exact: give a kernel with shots=None and backend=None")
        self.kernel_ = resolved_kernel(kernel, samples, y)
        projected = isinstance(self.kernel_, ProjectedKernel)
        # exp(−(γ/2) r²) is a Gaussian of length scale 1/√γ
        self.output_kernel_: Kernel = RBF(1 / np.sqrt(self.kernel_.gamma)) if projected else StateFidelity()
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Real and imaginary parts of the amplitudes in turn, shape (n_samples, 2·2**n_qubits), or Bloch vectors, shape
        (n_samples, 3·n_qubits)."""
        check_is_fitted(self)
        samples = validate_data(self, X, dtype=np.float64, reset=False)
        if isinstance(self.kernel_, ProjectedKernel):
            return self.kernel_.bloch_vectors(samples)
        samples = self.kernel_._checked(samples)
        psi = self.kernel_._states(samples, self.kernel_._n_qubits(samples.shape[1]))
        amplitudes = psi if self.kernel_.device is None else psi.cpu().numpy()
        return np.ascontiguousarray(amplitudes, dtype=np.complex128).view(np.float64)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """``re0, im0, re1, …`` by basis state, or ``x0, y0, z0, x1, …`` by qubit."""
        check_is_fitted(self)
        n_qubits = self.kernel_._n_qubits(self.n_features_in_)
        projected = isinstance(self.kernel_, ProjectedKernel)
        letters, count = (("x", "y", "z"), n_qubits) if projected else (("re", "im"), 2**n_qubits)
        return np.array([f"{letter}{i}" for i in range(count) for letter in letters], dtype=object)


class StateFidelity(Kernel):
    """Fidelity of states given as rows of real and imaginary parts, as `KernelStates` makes them.

    K(a, b) = |Σ_k ā_k b_k|².
    """

    family = "quantum"

    def __call__(self, X: ArrayLike, Y: ArrayLike | None = None, eval_gradient: bool = False) -> Any:
        """Kernel matrix of shape (n_samples, m_samples) between states of shape (·, 2·2**n_qubits).

        Raises
        ------
        ValueError
            NaN or infinity, rows of odd or different length.
        """
        bras = _as_states(X)
        kets = bras if Y is None else _as_states(Y)
        if bras.shape[1] != kets.shape[1]:
            raise ValueError(f"states of X have {bras.shape[1]} amplitudes and those of Y {kets.shape[1]}")
        overlaps = zgemm(1.0, bras, kets, trans_b=2)
        K = overlaps.real**2 + overlaps.imag**2
        return (K, np.empty((*K.shape, 0))) if eval_gradient else K

    def diag(self, X: ArrayLike) -> np.ndarray:
        """Squared norms to the second power: ones for states."""
        return (np.abs(_as_states(X)) ** 2).sum(axis=1) ** 2

    def is_stationary(self) -> bool:
        """False."""
        return False


def _as_states(rows: ArrayLike) -> np.ndarray:
    array: np.ndarray = check_array(rows, dtype=np.float64)
    if array.shape[1] % 2:
        raise ValueError(f"states are rows of real and imaginary parts in turn, got {array.shape[1]} columns")
    return np.ascontiguousarray(array).view(np.complex128)
