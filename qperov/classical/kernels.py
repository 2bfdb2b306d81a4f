"""A kernel between the Laplacian and the Gaussian, and beyond the Laplacian; products of cosines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel
from sklearn.utils import check_array


class PowerExponential(Kernel):
    """Power-exponential kernel: a Laplacian at p = 1, a Gaussian at p = 2.

    K(x, y) = exp(−γ Σₖ |xₖ − yₖ|ᵖ), positive semi-definite for 0 < p ≤ 2: each factor exp(−γ|d|ᵖ) is then the
    characteristic function of a symmetric stable distribution.

    Parameters
    ----------
    gamma : float
        γ > 0.
    p : float
        0 < p ≤ 2: the smaller, the rougher the functions.
    gamma_bounds : pair of floats or "fixed"
        Where an optimiser may look for γ; p stays as it is.
    """

    def __init__(
        self, gamma: float = 1.0, p: float = 1.0, gamma_bounds: tuple[float, float] | str = (1e-5, 1e5)
    ) -> None:
        self.gamma = gamma
        self.p = p
        self.gamma_bounds = gamma_bounds

    @property
    def hyperparameter_gamma(self) -> Hyperparameter:
        """γ, searched on a logarithmic axis."""
        return Hyperparameter("gamma", "numeric", self.gamma_bounds)

    def __call__(self, X: ArrayLike, Y: ArrayLike | None = None, eval_gradient: bool = False) -> Any:
        """Kernel matrix of shape (n_samples, m_samples).

        Parameters
        ----------
        X, Y : array of shape (n_samples, n_features), (m_samples, n_features)
            None for Y: X itself.
        eval_gradient : bool
            Also return the derivative with respect to log γ, shape (n_samples, n_samples, 1), last axis empty if γ is
            fixed; only for Y = None.

        Raises
        ------
        ValueError
            NaN or infinity, p or γ out of range, a gradient of K(X, Y).
        """
        if not (self.gamma > 0 and 0 < self.p <= 2):
            raise ValueError(f"gamma must be positive and p in (0, 2], got gamma = {self.gamma} and p = {self.p}")
        if Y is not None and eval_gradient:
            raise ValueError("the gradient is available for K(X, X) only: leave Y out")
        samples: np.ndarray = check_array(X, dtype=np.float64)
        others: np.ndarray = samples if Y is None else check_array(Y, dtype=np.float64)
        metrics = {1: "cityblock", 2: "sqeuclidean"}
        if self.p in metrics:
            sums = cdist(samples, others, metrics[int(self.p)])
        else:
            sums = np.zeros((len(samples), len(others)))
            # scipy's Minkowski distance takes a root that is not wanted
            for x, y in zip(samples.T, others.T, strict=True):
                sums += np.abs(np.subtract.outer(x, y)) ** self.p
        K = np.exp(-self.gamma * sums)
        if not eval_gradient:
            return K
        return K, (np.empty((*K.shape, 0)) if self.hyperparameter_gamma.fixed else (-self.gamma * sums * K)[..., None])

    def diag(self, X: ArrayLike) -> np.ndarray:
        """Ones, shape (n_samples,)."""
        return np.ones(len(check_array(X, dtype=np.float64)))

    def is_stationary(self) -> bool:
        """True."""
        return True

    def __repr__(self) -> str:
        return f"{type(self).__name__}(gamma={self.gamma:.3g}, p={self.p:.3g})"


class CosineProduct(Kernel):
    """Product of powers of cosines, K(x, y) = ∏ₖ cosᵖ(b(xₖ − yₖ)), positive semi-definite for whole numbers p.

    It is the kernel of the frequencies that a feature map without entanglement encodes: where each feature turns a
    qubit r times by 2bx, and the qubit stands on the equator of its Bloch sphere each time, p = 2r.

    Parameters
    ----------
    bandwidth : float
        b > 0; no optimiser changes it.
    power : int
        p ≥ 1.
    """

    def __init__(self, bandwidth: float = 0.1, power: int = 2) -> None:
        self.bandwidth = bandwidth
        self.power = power

    def __call__(self, X: ArrayLike, Y: ArrayLike | None = None, eval_gradient: bool = False) -> Any:
        """Kernel matrix of shape (n_samples, m_samples); with ``eval_gradient`` also an empty gradient.

        Parameters
        ----------
        X, Y : array of shape (n_samples, n_features), (m_samples, n_features)
            None for Y: X itself.

        Raises
        ------
        ValueError
            NaN or infinity, b or p out of range, a gradient of K(X, Y).
        """
        if not (self.bandwidth > 0 and self.power >= 1 and self.power == int(self.power)):
            raise ValueError(
                f"bandwidth must be positive and power a whole number, got {self.bandwidth} and {self.power}"
            )
        if Y is not None and eval_gradient:
            raise ValueError("the gradient is available for K(X, X) only: leave Y out")
        samples: np.ndarray = check_array(X, dtype=np.float64)
        others: np.ndarray = samples if Y is None else check_array(Y, dtype=np.float64)
        K = np.ones((len(samples), len(others)))
        for x, y in zip(samples.T, others.T, strict=True):
            K *= np.cos(self.bandwidth * np.subtract.outer(x, y)) ** int(self.power)
        return (K, np.empty((*K.shape, 0))) if eval_gradient else K

    def diag(self, X: ArrayLike) -> np.ndarray:
        """Ones, shape (n_samples,)."""
        return np.ones(len(check_array(X, dtype=np.float64)))

    def is_stationary(self) -> bool:
        """True."""
        return True

    def __repr__(self) -> str:
        return f"{type(self).__name__}(bandwidth={self.bandwidth:.3g}, power={self.power})"
