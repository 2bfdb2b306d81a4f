"""A Gaussian process that trains the couplings of its Ising kernel."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, WhiteKernel

from qperov.quantum.kernels.ising import IsingKernel

#: Where s² and the noise variance are looked for, labels of unit variance: small couplings come with a large s.
SCALES, NOISES = (1e-2, 1e6), (1e-8, 10.0)
#: Of a matrix of ones, as a share of its size.
ROUNDING = 1e-15


class IsingGaussianProcess(GaussianProcessRegressor):
    """Gaussian process s² K_θ(σ, σ′) + σ_n² δ(σ, σ′) of decorations with an `IsingKernel` K.

    s, σ_n, the couplings θ and whatever else of the kernel has bounds maximise the marginal likelihood of a random part
    of the training data, by its exact gradient; then the process is conditioned on all of them.

    Parameters
    ----------
    ising : IsingKernel
        Where the search begins; with a list of couplings, each shell has its own.
    n_subset : int
        Samples whose likelihood is maximised.
    max_iter : int
        Steps of the optimiser (L-BFGS-B).
    random_state : int
        Of their draw.

    Attributes
    ----------
    kernel_ : Kernel
        With the parameters that were found; ``kernel_.k1.k2`` is the `IsingKernel`.
    """

    family = "quantum"

    def __init__(self, ising: IsingKernel, *, n_subset: int = 200, max_iter: int = 30, random_state: int = 0) -> None:
        super().__init__(normalize_y=True, random_state=random_state)
        self.ising = ising
        self.n_subset = n_subset
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> IsingGaussianProcess:
        """Find the parameters, then condition on all samples.

        Parameters
        ----------
        X : array of ±1, shape (n_samples, n_sites)
        y : array of shape (n_samples,)
        """
        X, y = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
        start = ConstantKernel(10.0, SCALES) * clone(self.ising) + WhiteKernel(1e-2, NOISES)
        rows = np.random.default_rng(self.random_state).permutation(len(X))[: self.n_subset]
        with warnings.catch_warnings():
            # a parameter at its end is an answer
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = GaussianProcessRegressor(start, normalize_y=True, optimizer=self._maximise).fit(X[rows], y[rows])
        self.kernel, self.optimizer = found.kernel_, None
        # all values of K are near 1 where couplings are small: s² times their rounding must stay below the noise
        self.alpha = max(1e-10, ROUNDING * len(X) * found.kernel_.k1.k1.constant_value)
        return super().fit(X, y)

    def _maximise(
        self, objective: Callable[..., Any], start: np.ndarray, bounds: np.ndarray
    ) -> tuple[np.ndarray, float]:
        found = minimize(
            objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": self.max_iter}
        )
        return found.x, found.fun
