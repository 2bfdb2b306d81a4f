"""Features scaled by what they tell of the labels."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

#: Where relevances, the signal's variance and the noise's are looked for (natural logarithms).
BOUNDS = {"relevance": (-12.0, 3.0), "signal": (-3.0, 6.0), "noise": (-9.0, 0.0)}
#: Where that begins: relevances that add up to this, signal and noise in variances of the labels.
START = {"relevance": 1 / 3, "signal": 3.0, "noise": 3e-3}


class RelevanceScaling(TransformerMixin, BaseEstimator):
    r"""Multiplies each feature by its relevance: automatic relevance determination, for any kernel that comes after.

    The relevances :math:`w_k` maximise the marginal likelihood of a Gaussian process on a random part of the training
    samples, :math:`k(x, y) = s^2 \exp(-\sum_k w_k |x_k - y_k|^p) + \sigma^2 \delta`, standardised labels, by L-BFGS
    from equal relevances; features become :math:`w_k^{1/p} x_k`, so that :math:`\exp(-\sum_k |x_k - y_k|^p)` is the
    kernel that was fitted. Scale the features to unit variance before.

    Parameters
    ----------
    p : float
        0 < p ≤ 2: 2 for Gaussians, 1 for Laplacians.
    n_subset : int
        Samples whose likelihood is maximised: time grows with its square, and with the number of features.
    max_iter : int
        Steps of the optimiser.
    random_state : int
        Of the draw.

    Attributes
    ----------
    scale_ : ndarray, shape (n_features,)
        What features are multiplied by.
    noise_ : float
        σ²/s², the regularisation that belongs to this kernel in kernel ridge regression.
    """

    def __init__(self, *, p: float = 1.2, n_subset: int = 700, max_iter: int = 60, random_state: int = 0) -> None:
        self.p = p
        self.n_subset = n_subset
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Find the relevances.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
        y : array of shape (n_samples,)

        Raises
        ------
        ValueError
            NaN or infinity, p out of range, no labels.
        """
        if not 0 < self.p <= 2:
            raise ValueError(f"p must be in (0, 2], got {self.p}")
        samples: np.ndarray
        labels: np.ndarray
        samples, labels = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        rows = np.random.default_rng(self.random_state).permutation(len(samples))[: self.n_subset]
        samples, labels = samples[rows], labels[rows] - labels[rows].mean()
        target = (labels / (labels.std() or 1.0))[:, None]
        m, d = samples.shape
        apart = np.array([np.abs(column[:, None] - column) ** self.p for column in samples.T], dtype=np.float32)
        apart = apart.reshape(d, m * m)

        def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            weights, (signal, noise) = np.exp(parameters[:d]), np.exp(parameters[d:])
            smooth = signal * np.exp(-(weights.astype(np.float32) @ apart).reshape(m, m).astype(np.float64))
            factor = cho_factor(smooth + noise * np.eye(m), lower=True)
            solved, inverse = cho_solve(factor, target), cho_solve(factor, np.eye(m))
            rate = 0.5 * (inverse - solved @ solved.T)
            along = rate * smooth
            gradient = np.empty_like(parameters)
            gradient[:d] = -weights * (apart @ along.ravel().astype(np.float32))
            gradient[d:] = along.sum(), noise * np.trace(rate)
            return 0.5 * (target * solved).sum() + np.log(np.diag(factor[0])).sum(), gradient

        start = np.log([*np.full(d, START["relevance"] / d), START["signal"], START["noise"]])
        bounds = [BOUNDS["relevance"]] * d + [BOUNDS["signal"], BOUNDS["noise"]]
        options = {"maxiter": self.max_iter}
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
        self.scale_: np.ndarray = np.exp(found[:d] / self.p)
        self.noise_ = float(np.exp(found[d + 1] - found[d]))
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Scaled features, shape (n_samples, n_features)."""
        check_is_fitted(self)
        samples: np.ndarray = validate_data(self, X, dtype=np.float64, reset=False)
        return samples * self.scale_

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The names that come in, shape (n_features,)."""
        check_is_fitted(self)
        names = [f"x{i}" for i in range(len(self.scale_))] if input_features is None else list(input_features)
        return np.array(names, dtype=object)
