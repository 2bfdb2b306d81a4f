"""A Gaussian process that finds out which features matter."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

#: Features above which one length scale serves them all.
MOST_SCALES = 32
#: Where length scales are looked for, in units of the typical distance √(2 n_features) of standardised samples; one at
#: the upper end takes its feature out.
WIDTHS = (0.03, 300.0)


class ARDGaussianProcess(GaussianProcessRegressor):
    """Gaussian process with one length scale a feature (automatic relevance determination) and noise.

    k(x, y) = s² exp(−½ Σₖ (xₖ − yₖ)²/ℓₖ²) + σ² δ(x, y). All of s, ℓₖ and σ maximise the marginal likelihood of a random
    part of the training data; then the process is conditioned on all of them. More than 32 features share one ℓ.

    Parameters
    ----------
    n_subset : int
        Samples whose likelihood is maximised.
    random_state : int
        Of their draw.

    Attributes
    ----------
    kernel_ : Kernel
        With the parameters that were found.
    """

    def __init__(self, *, n_subset: int = 200, random_state: int = 0) -> None:
        super().__init__(normalize_y=True, random_state=random_state)
        self.n_subset = n_subset
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> ARDGaussianProcess:
        """Find the parameters, then condition on all samples.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
        y : array of shape (n_samples,)
        """
        X, y = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
        typical = np.sqrt(2 * X.shape[1])
        scales = np.full(X.shape[1] if X.shape[1] <= MOST_SCALES else 1, typical)
        bounds = (WIDTHS[0] * typical, WIDTHS[1] * typical)
        start = ConstantKernel(1.0, (1e-3, 1e3)) * RBF(scales, bounds) + WhiteKernel(0.1, (1e-6, 10.0))
        rows = np.random.default_rng(self.random_state).permutation(len(X))[: self.n_subset]
        with warnings.catch_warnings():
            # a length scale at its upper end is an answer
            warnings.filterwarnings("ignore", "The optimal value found for dimension", ConvergenceWarning)
            found = GaussianProcessRegressor(start, normalize_y=True).fit(X[rows], y[rows])
        self.kernel, self.optimizer = found.kernel_, None
        return super().fit(X, y)
