"""Support vector regression with any quantum or classical kernel, as a plain scikit-learn regressor."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.gaussian_process.kernels import Kernel
from sklearn.svm import SVR
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from qperov.quantum.kernels import FidelityKernel


class QuantumSVR(RegressorMixin, BaseEstimator):
    """ε-insensitive support vector regression in the feature space of a quantum kernel.

    f(x) = Σ_s α_s K(x, x_s) + c over the support vectors x_s; prediction evaluates the kernel at these only.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel, "precomputed" or None
        A quantum kernel, any kernel of scikit-learn's Gaussian processes, or a combination of them; None for
        ``FidelityKernel()``. With "precomputed", ``fit`` takes K(train, train) for X and ``predict`` K(test, train).
        To search over a kernel's parameters (``kernel__bandwidth``) give the kernel itself, not None.
    C : float
        Penalty on deviations beyond ε.
    epsilon : float
        Half-width of the tube without penalty, in units of y.
    tol : float
        Tolerance of the solver.
    max_iter : int
        Limit on the solver's iterations; −1 for none.

    Attributes
    ----------
    kernel_ : Kernel or "precomputed"
        The kernel that was used.
    support_ : ndarray of shape (n_support,)
        Rows of the training data that are support vectors.
    support_vectors_ : ndarray of shape (n_support, n_features)
        The support vectors; empty with a precomputed kernel.
    dual_coef_ : ndarray of shape (n_support,)
        α_s.
    intercept_ : float
        c.
    n_iter_ : int
        Iterations that the solver took.
    """

    def __init__(
        self,
        kernel: Kernel | str | None = None,
        C: float = 1.0,
        epsilon: float = 0.1,
        tol: float = 1e-3,
        max_iter: int = -1,
    ) -> None:
        self.kernel = kernel
        self.C = C
        self.epsilon = epsilon
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X: ArrayLike, y: ArrayLike) -> QuantumSVR:
        """Find the support vectors.

        Parameters
        ----------
        X : array of shape (n_samples, n_features), or the kernel matrix of shape (n_samples, n_samples)
        y : array of shape (n_samples,)

        Raises
        ------
        ValueError
            NaN or infinity, shapes that do not fit, an unknown kernel, a parameter out of range.
        CircuitSizeError
            More than 26 qubits.
        """
        samples, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        if self.kernel is None:
            self.kernel_: Kernel | str = FidelityKernel()
        elif isinstance(self.kernel, Kernel):
            self.kernel_ = clone(self.kernel)
        elif isinstance(self.kernel, str) and self.kernel == "precomputed":
            self.kernel_ = self.kernel
        else:
            raise ValueError(f"kernel must be a Gaussian-process kernel, 'precomputed' or None, got {self.kernel!r}")
        gram = samples if isinstance(self.kernel_, str) else self.kernel_(samples)
        if gram.shape != (len(samples), len(samples)):
            raise ValueError(f"a precomputed kernel matrix must be square for fit, got shape {gram.shape}")
        solver = SVR(kernel="precomputed", C=self.C, epsilon=self.epsilon, tol=self.tol, max_iter=self.max_iter)
        solver.fit(gram, y)
        self.support_ = solver.support_
        self.support_vectors_ = samples[self.support_] if isinstance(self.kernel_, Kernel) else samples[:0]
        self.dual_coef_ = solver.dual_coef_[0]
        self.intercept_ = float(solver.intercept_[0])
        self.n_iter_ = int(solver.n_iter_)
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predicted values of shape (n_samples,) for X of shape (n_samples, n_features), or for K(test, train)."""
        check_is_fitted(self)
        samples = validate_data(self, X, dtype=np.float64, reset=False)
        if len(self.support_) == 0:
            return np.full(len(samples), self.intercept_)
        if isinstance(self.kernel_, str):
            gram = samples[:, self.support_]
        else:
            gram = self.kernel_(samples, self.support_vectors_)
        return gram @ self.dual_coef_ + self.intercept_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = isinstance(self.kernel, str) and self.kernel == "precomputed"
        return tags
