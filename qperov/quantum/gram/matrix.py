"""Kernel matrices as arrays: their check, their symmetric part, their diagonal and what is off it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist


def square(K: ArrayLike, name: str = "the kernel matrix") -> np.ndarray:
    """A matrix as finite floats of shape (n_samples, n_samples), n_samples ≥ 1; the array itself if it is one already.

    Raises
    ------
    ValueError
        A matrix that is empty, not square or not finite; the message calls it ``name``.
    """
    K = np.asarray(K, dtype=np.float64)
    if K.ndim != 2 or K.shape[0] != K.shape[1] or len(K) == 0:
        raise ValueError(f"{name} must be square, got shape {K.shape}")
    if not np.isfinite(K).all():
        raise ValueError(f"{name} has entries that are not finite")
    return K


def gaussian(X: np.ndarray, Y: np.ndarray, gamma: float) -> np.ndarray:
    """exp(−(γ/2) ‖x − y‖²) of all rows x of X and y of Y, shape (n_samples, m_samples)."""
    return np.exp(-0.5 * gamma * cdist(X, Y, "sqeuclidean"))


def symmetrise(K: ArrayLike) -> np.ndarray:
    """(K + Kᵀ)/2 of a `square` matrix, always a copy."""
    K = square(K)
    return (K + K.T) / 2


def with_unit_diagonal(K: ArrayLike) -> np.ndarray:
    """D^(−1/2) K D^(−1/2) with the diagonal D of K: exactly symmetric, exactly 1 on the diagonal.

    Raises
    ------
    ValueError
        As for `square`; a diagonal entry that is not positive.
    """
    K = square(K)
    diagonal = K.diagonal()
    if not (diagonal > 0).all():
        raise ValueError("a sample without self-similarity: the diagonal of a kernel matrix must be positive")
    roots = np.sqrt(diagonal)
    K = symmetrise(K / np.outer(roots, roots))
    np.fill_diagonal(K, 1.0)
    return K


def off_diagonal(K: ArrayLike) -> np.ndarray:
    """The entries K_ij, i < j, of a `square` matrix with at least two rows, shape (n_samples (n_samples − 1) / 2,)."""
    K = square(K)
    if len(K) < 2:
        raise ValueError("a matrix of one sample has no off-diagonal entries: give at least two samples")
    return K[np.triu_indices(len(K), 1)]
