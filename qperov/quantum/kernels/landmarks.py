"""Kernels of more samples than a matrix can hold: features from a few landmarks (the Nyström approximation)."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh, solve_triangular
from scipy.linalg.lapack import dpstrf
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import MiniBatchKMeans
from sklearn.gaussian_process.kernels import Kernel
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from qperov.quantum.kernels.bandwidth import resolved_kernel
from qperov.quantum.kernels.fidelity import FidelityKernel

#: Samples of which the kernel is evaluated at once.
BLOCK = 4096

#: Pivots of the Cholesky decomposition whose columns of the matrix are evaluated together.
BATCH = 64

#: Residuals below this are rounding.
ROUNDING = 1e-10

METHODS = ("random", "kmeans", "cholesky")


class LandmarkFeatures(TransformerMixin, BaseEstimator):
    """Features z(x) with z(x)·z(y) ≈ K(x, y), from the kernel's values with m landmarks l: z(x) = W^(−1/2) K(l, x).

    W = K(l, l). The approximation is exact on the landmarks, and K − z·z is positive semi-definite with the diagonal
    r(x) = K(x, x) − ‖z(x)‖², so that |K(x, y) − z(x)·z(y)| ≤ √(r(x) r(y)). A linear model on z is the kernel machine:
    ``make_pipeline(LandmarkFeatures(kernel), LinearSVR())`` for support vectors, ``Ridge`` for kernel ridge regression,
    ``BayesianRidge`` for a Gaussian process; memory and time grow with n·m, not with n².

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel or None
        None for ``FidelityKernel(bandwidth="median")``.
    n_landmarks : int
        m, at most the number of samples.
    method : "random", "kmeans" or "cholesky"
        Samples at random; the centres of so many clusters; or the pivots of a Cholesky decomposition,
        drawn in batches from the samples that the landmarks so far explain least, until the residual allows.
    tolerance : float
        With "cholesky": mean residual r of the training samples at which it stops before ``n_landmarks``.
    random_state : int, RandomState or None
        Seed of the choice.

    Attributes
    ----------
    kernel_ : Kernel
        The kernel, with the bandwidth that was found if it was to be found.
    landmarks_ : ndarray of shape (n_landmarks, n_features)
    residual_, largest_residual_ : float
        Mean and maximum of r over the training samples.

    References
    ----------
    Y. Chen, E. N. Epperly, J. A. Tropp, R. J. Webber, Randomly pivoted Cholesky: practical approximation of a kernel
    matrix with few entry evaluations (2022), arXiv:2207.06503, for "cholesky".

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(50, 2))
    >>> kernel = FidelityKernel("z", reps=1, bandwidth=0.5)
    >>> z = LandmarkFeatures(kernel, n_landmarks=9).fit_transform(X)  # its rank is 9
    >>> bool(np.abs(z @ z.T - kernel(X)).max() < 1e-6)
    True
    """

    def __init__(
        self,
        kernel: Kernel | None = None,
        *,
        n_landmarks: int = 1000,
        method: str = "cholesky",
        tolerance: float = 1e-6,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.kernel = kernel
        self.n_landmarks = n_landmarks
        self.method = method
        self.tolerance = tolerance
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> LandmarkFeatures:
        """Choose the landmarks; ``y`` is needed for a bandwidth that is "aligned".

        Raises
        ------
        ValueError
            NaN or infinity, an unknown method, a parameter out of range.
        """
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X: ArrayLike, y: ArrayLike | None = None) -> np.ndarray:
        """`fit`, and z of the samples, shape (n_samples, n_components)."""
        samples: np.ndarray = validate_data(self, X, dtype=np.float64)
        if not isinstance(self.n_landmarks, Integral) or self.n_landmarks < 1:
            raise ValueError(f"n_landmarks must be a whole number of at least 1, got {self.n_landmarks!r}")
        if not isinstance(self.tolerance, Real) or not 0 <= self.tolerance < np.inf:
            raise ValueError(f"tolerance must be at least 0 and finite, got {self.tolerance!r}")
        if self.method not in METHODS:
            raise ValueError(f"unknown method {self.method!r}; known are {', '.join(METHODS)}")
        kernel = FidelityKernel(bandwidth="median") if self.kernel is None else self.kernel
        self.kernel_: Kernel = resolved_kernel(kernel, samples, y)
        random_state = check_random_state(self.random_state)
        count = min(int(self.n_landmarks), len(samples))
        self.landmarks_: np.ndarray
        if self.method == "kmeans":
            clusters = MiniBatchKMeans(count, random_state=random_state, n_init=1, batch_size=max(1024, count))
            self.landmarks_ = np.unique(clusters.fit(samples).cluster_centers_, axis=0)
        else:
            random = self.method == "random"
            chosen = random_state.permutation(len(samples)) if random else self._pivots(samples, random_state)
            self.landmarks_ = samples[chosen[:count]]
        values, vectors = eigh(self.kernel_(self.landmarks_))
        kept = values > len(values) * np.finfo(float).eps * values[-1]
        self.normalization_: np.ndarray = vectors[:, kept] / np.sqrt(values[kept])
        features = self._features(samples)
        residuals = np.maximum(self.kernel_.diag(samples) - np.einsum("ij,ij->i", features, features), 0.0)
        self.residual_, self.largest_residual_ = float(residuals.mean()), float(residuals.max())
        return features

    def transform(self, X: ArrayLike) -> np.ndarray:
        """z of samples, shape (n_samples, n_components)."""
        check_is_fitted(self)
        return self._features(validate_data(self, X, dtype=np.float64, reset=False))

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """``landmark0, landmark1, …``"""
        check_is_fitted(self)
        return np.array([f"landmark{i}" for i in range(self.normalization_.shape[1])], dtype=object)

    def _features(self, samples: np.ndarray) -> np.ndarray:
        features = np.empty((len(samples), self.normalization_.shape[1]))
        for start in range(0, len(samples), BLOCK):
            rows = slice(start, start + BLOCK)
            np.matmul(self.kernel_(samples[rows], self.landmarks_), self.normalization_, out=features[rows])
        return features

    def _pivots(self, samples: np.ndarray, random_state: np.random.RandomState) -> list[int]:
        """Samples in the order of a Cholesky decomposition whose pivots are drawn, a batch at a time, with chances in
        the ratio of their residuals; within a batch the largest comes first."""
        residuals: np.ndarray = np.array(self.kernel_.diag(samples))
        factor = np.empty((len(samples), min(self.n_landmarks, len(samples))))
        pivots: list[int] = []
        while len(pivots) < factor.shape[1] and residuals.mean() > self.tolerance:
            count = min(BATCH, factor.shape[1] - len(pivots), int(np.count_nonzero(residuals)))
            batch = random_state.choice(len(samples), count, replace=False, p=residuals / residuals.sum())
            columns = np.concatenate(
                [self.kernel_(samples[i : i + BLOCK], samples[batch]) for i in range(0, len(samples), BLOCK)]
            )
            known = factor[:, : len(pivots)]
            columns -= known @ known[batch].T
            lower, order, rank, _ = dpstrf(columns[batch], tol=ROUNDING, lower=1)
            if rank == 0:
                break
            new = solve_triangular(lower[:rank, :rank], columns[:, order[:rank] - 1].T, lower=True).T
            factor[:, len(pivots) : len(pivots) + rank] = new
            pivots += batch[order[:rank] - 1].tolist()
            residuals = np.maximum(residuals - (new**2).sum(axis=1), 0.0)
            residuals[batch] = 0.0
        return pivots
