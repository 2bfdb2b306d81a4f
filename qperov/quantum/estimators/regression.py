"""Support vector and kernel ridge regression with any quantum or classical kernel, as plain scikit-learn regressors."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.gaussian_process.kernels import Kernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.svm import SVR
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from qperov.errors import keyword_only
from qperov.quantum.estimators.kernel_machine import KernelMachine


class QuantumSVR(RegressorMixin, KernelMachine):
    """ε-insensitive support vector regression in the feature space of a quantum kernel.

    f(x) = Σ_s α_s K(x, x_s) + c over the support vectors x_s; prediction evaluates the kernel at these only.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel, "precomputed" or None
        A quantum kernel, any kernel of scikit-learn's Gaussian processes, or a combination of them; None for
        ``FidelityKernel(bandwidth="median")``. With "precomputed", ``fit`` takes K(train, train) for X and ``predict``
        K(test, train).
    C : float
        Penalty on deviations beyond ε.
    epsilon : float
        Half-width of the tube without penalty, in units of y.
    tolerance : float
        Tolerance of the solver.
    max_iter : int
        Limit on the solver's iterations; −1 for none.

    Attributes
    ----------
    kernel_ : Kernel or "precomputed"
        The kernel that was used, with the bandwidth that was found if it was to be found.
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

    Warns
    -----
    ConcentratedKernelWarning
        The training matrix is nearly the identity, so that the model can remember and not generalise.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(30, 2))
    >>> model = QuantumSVR(C=10.0, epsilon=0.01).fit(X, X[:, 0])
    >>> model.predict([[0.5, 0.0]]).shape
    (1,)
    """

    @keyword_only(tol="tolerance")
    def __init__(
        self,
        kernel: Kernel | str | None = None,
        *,
        C: float = 1.0,
        epsilon: float = 0.1,
        tolerance: float = 1e-3,
        max_iter: int = -1,
    ) -> None:
        self.kernel = kernel
        self.C = C
        self.epsilon = epsilon
        self.tolerance = tolerance
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
        samples, labels = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        gram = self._training_matrix(samples, np.asarray(labels, dtype=np.float64))
        solver = SVR(kernel="precomputed", C=self.C, epsilon=self.epsilon, tol=self.tolerance, max_iter=self.max_iter)
        solver.fit(gram, labels)
        self._keep_support(solver, samples)
        self.dual_coef_ = solver.dual_coef_[0]
        self.intercept_ = float(solver.intercept_[0])
        self.n_iter_ = int(solver.n_iter_)
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predicted values of shape (n_samples,) for X of shape (n_samples, n_features), or for K(test, train)."""
        check_is_fitted(self)
        samples = validate_data(self, X, dtype=np.float64, reset=False)
        return self._matrix_with(samples, self.support_, self.support_vectors_) @ self.dual_coef_ + self.intercept_


class QuantumKernelRidge(RegressorMixin, KernelMachine):
    """Kernel ridge regression in the feature space of a quantum kernel.

    f(x) = ȳ + Σᵢ αᵢ K(x, xᵢ), with (K + λ1) α = y − ȳ; it is the mean of a Gaussian process with noise variance λ.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel, "precomputed" or None
        As for `QuantumSVR`.
    alpha : float
        λ > 0.

    Attributes
    ----------
    kernel_ : Kernel or "precomputed"
        The kernel that was used, with the bandwidth that was found if it was to be found.
    X_fit_ : ndarray of shape (n_samples, n_features)
        The training data; empty with a precomputed kernel.
    dual_coef_ : ndarray of shape (n_samples,) or (n_samples, n_targets)
        α.
    intercept_ : float or ndarray of shape (n_targets,)
        ȳ.

    Warns
    -----
    ConcentratedKernelWarning
        The training matrix is nearly the identity, so that the model can remember and not generalise.
    """

    @keyword_only()
    def __init__(self, kernel: Kernel | str | None = None, *, alpha: float = 1.0) -> None:
        self.kernel = kernel
        self.alpha = alpha

    def fit(self, X: ArrayLike, y: ArrayLike) -> QuantumKernelRidge:
        """Solve for the dual coefficients.

        Parameters
        ----------
        X : array of shape (n_samples, n_features), or the kernel matrix of shape (n_samples, n_samples)
        y : array of shape (n_samples,) or (n_samples, n_targets)

        Raises
        ------
        ValueError
            NaN or infinity, shapes that do not fit, an unknown kernel, a parameter out of range.
        CircuitSizeError
            More than 26 qubits.
        """
        if not self.alpha > 0:
            raise ValueError(f"alpha must be positive, got {self.alpha}")
        samples, labels = validate_data(self, X, y, dtype=np.float64, y_numeric=True, multi_output=True)
        gram = self._training_matrix(samples, np.asarray(labels, dtype=np.float64))
        self.intercept_ = np.mean(labels, axis=0)
        solver = KernelRidge(alpha=self.alpha, kernel="precomputed").fit(gram, labels - self.intercept_)
        self.dual_coef_ = solver.dual_coef_
        self.X_fit_ = samples if isinstance(self.kernel_, Kernel) else samples[:0]
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predicted values of shape (n_samples,) or (n_samples, n_targets), for X or for K(test, train)."""
        check_is_fitted(self)
        samples = validate_data(self, X, dtype=np.float64, reset=False)
        everything = np.arange(len(self.dual_coef_))
        return self._matrix_with(samples, everything, self.X_fit_) @ self.dual_coef_ + self.intercept_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
