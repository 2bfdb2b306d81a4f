"""Principal components without rounding noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

#: Singular values below this share of the largest one are noise.
RANK_TOLERANCE = 1e-6


class RankPCA(TransformerMixin, BaseEstimator):
    """Principal components up to the numerical rank of the training data, never beyond.

    X ↦ (X − mean) V / s. A component beyond the rank holds rounding noise, and whitening would raise it to the size of
    the others: a hash by which models recognise identical crystals.

    Parameters
    ----------
    n_components : int, optional
        At most so many; by default all up to the rank.
    whiten : bool
        s is each component's own standard deviation; by default one number for all of them, which brings their mean
        variance to 1 and leaves their proportions as they are.
    tolerance : float
        Singular values below ``tolerance`` times the largest one are noise.

    Attributes
    ----------
    n_components_ : int
        Components kept; one of zeros where the training data are constant.
    """

    def __init__(
        self, n_components: int | None = None, *, whiten: bool = False, tolerance: float = RANK_TOLERANCE
    ) -> None:
        self.n_components = n_components
        self.whiten = whiten
        self.tolerance = tolerance

    def fit(self, X: np.ndarray, y: Any = None) -> RankPCA:
        """Find the components of ``X``, shape (n_samples, n_features)."""
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        if self.n_components is not None and self.n_components < 1:
            raise ValueError(f"n_components must be at least 1, not {self.n_components}")
        self.mean_ = X.mean(axis=0)
        _, singular, axes = np.linalg.svd(X - self.mean_, full_matrices=False)
        rank = int((singular > self.tolerance * singular[0]).sum()) if singular[0] > 0 else 0
        kept = max(1, rank if self.n_components is None else min(rank, self.n_components))
        axes = axes[:kept] if rank else np.zeros_like(axes[:1])
        # the sign of a singular vector is arbitrary; it is fixed by the first of the largest entries, equal ones
        # told apart with room for rounding, so that results repeat on every machine
        size = np.abs(axes)
        leading = (size >= (1 - 1e-6) * size.max(axis=1, keepdims=True)).argmax(axis=1)
        self.components_ = axes * np.sign(axes[np.arange(kept), leading])[:, None]
        deviation = singular[:kept] / np.sqrt(len(X) - 1)
        common = np.full(kept, np.sqrt((deviation**2).mean()))
        self.scale_ = np.where(deviation > 0, deviation if self.whiten else common, 1.0)
        self.n_components_ = kept
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Components of ``X``, shape (n_samples, ``n_components_``)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return (X - self.mean_) @ self.components_.T / self.scale_

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """``pc0``, ``pc1``, …"""
        check_is_fitted(self)
        return np.array([f"pc{i}" for i in range(self.n_components_)], dtype=object)
