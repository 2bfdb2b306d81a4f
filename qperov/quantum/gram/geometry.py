"""The geometry that a kernel matrix gives to the samples: spectrum, alignment with a target, difference to another."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from qperov.quantum.gram.matrix import square


def spectrum(K: ArrayLike) -> np.ndarray:
    """Eigenvalues of a symmetric matrix, largest first, shape (n_samples,)."""
    return np.linalg.eigvalsh(_symmetric("K", K))[::-1]


def effective_rank(K: ArrayLike) -> float:
    """Number of directions that a kernel matrix uses: the exponential of its spectral entropy.

    exp(−Σ p_i ln p_i) with p_i = λ_i / Σ λ; 1 for a matrix of ones, n_samples for the identity. Negative eigenvalues of
    a noisy matrix count as 0.

    Parameters
    ----------
    K : array of shape (n_samples, n_samples)

    Raises
    ------
    ValueError
        Not square, not symmetric, not finite, or without a positive eigenvalue.

    References
    ----------
    O. Roy, M. Vetterli, The effective rank, Proc. EUSIPCO 2007, 606–610.
    """
    eigenvalues = spectrum(K).clip(0)
    if eigenvalues[0] == 0:
        raise ValueError("the kernel matrix has no positive eigenvalue")
    shares = eigenvalues / eigenvalues.sum()
    shares = shares[shares > 0]
    return float(np.exp(-np.sum(shares * np.log(shares))))


def kernel_target_alignment(K: ArrayLike, y: ArrayLike, *, centred: bool = True) -> float:
    """Cosine between a kernel matrix and the ideal one, yyᵀ.

    A = ⟨K, yyᵀ⟩ / (‖K‖ ‖yyᵀ‖) in the Frobenius product; centred: with HKH for K and Hy for y, H = 1 − 11ᵀ/N, so that a
    constant in the kernel or in the target changes nothing. Between 0 and 1 for a positive semi-definite K.

    Parameters
    ----------
    K : array of shape (n_samples, n_samples)
    y : array of shape (n_samples,) or (n_samples, n_targets)
        Values, or ±1 for two classes, or a column of 0 and 1 for each of several classes.
    centred : bool
        Cortes' alignment; False for the plain one of Cristianini, which suits balanced ±1 labels only.

    Raises
    ------
    ValueError
        Shapes that do not fit, a target that is the same everywhere, a kernel without spread.

    References
    ----------
    N. Cristianini et al., On kernel-target alignment, NeurIPS 14 (2001);
    C. Cortes, M. Mohri, A. Rostamizadeh, J. Mach. Learn. Res. 13, 795 (2012).
    """
    matrix = _symmetric("K", K)
    Y = _targets(y, len(matrix))
    size = np.linalg.norm(matrix) * np.linalg.norm(Y) ** 2
    if centred:
        matrix = matrix - matrix.mean(axis=0)
        matrix -= matrix.mean(axis=1, keepdims=True)
        Y = Y - Y.mean(axis=0)
    scale = float(np.linalg.norm(matrix) * np.linalg.norm(Y.T @ Y))
    if scale <= len(matrix) * np.finfo(float).eps * size:
        raise ValueError("the kernel matrix or the target is the same everywhere: there is nothing to align")
    return float(np.sum(Y * (matrix @ Y)) / scale)


def geometric_difference(K_classical: ArrayLike, K_quantum: ArrayLike, regularisation: float = 0.0) -> float:
    """Geometric difference g(K_C‖K_Q): how much better the quantum kernel can at best be than the classical one.

    g = √‖√K_Q K_C⁻¹ √K_Q‖ in the spectral norm, both matrices scaled to trace N. Some labels exist for which the
    classical model needs g² times the quantum model's complexity; where g is close to 1, no labels do, and where it is
    of the order √N, labels made for the purpose can separate the two (which says nothing about those at hand). With
    λ > 0 it is g = √‖√K_Q √K_C (K_C + λ1)⁻² √K_C √K_Q‖, the form for regularised regression.

    Parameters
    ----------
    K_classical, K_quantum : array of shape (n_samples, n_samples)
    regularisation : float
        λ ≥ 0, relative to matrices of trace N. Spectra of smooth kernels fall below rounding, and without λ the
        result is then noise or infinity.

    Returns
    -------
    float
        At least 1 for λ = 0; infinity if K_C is singular where K_Q is not.

    Raises
    ------
    ValueError
        Matrices that are not square and symmetric, are of different sizes, or have a trace that is not positive; a
        negative λ.

    References
    ----------
    H.-Y. Huang et al., Nat. Commun. 12, 2631 (2021), doi:10.1038/s41467-021-22539-9; with λ: its supplement.
    """
    classical, C = _eigen("K_classical", K_classical)
    quantum, Q = _eigen("K_quantum", K_quantum)
    if C.shape != Q.shape:
        raise ValueError(f"the matrices are of different sizes: {len(C)} and {len(Q)} samples")
    overlaps = (C.T @ Q) * np.sqrt(quantum)
    rates, lost = _inverse_roots(classical, regularisation)
    # Directions without any classical weight stop g only if the quantum kernel has weight there.
    if np.linalg.norm(overlaps[lost]) ** 2 > _rounding(quantum):
        return float("inf")
    return float(np.linalg.norm(rates[:, None] * overlaps, 2))


def model_complexity(K: ArrayLike, y: ArrayLike, regularisation: float = 0.0) -> float:
    """Complexity of the model that fits the targets: the squared norm of its weights.

    s = yᵀK⁻¹y with K scaled to trace N, and s = yᵀ√K (K + λ1)⁻² √K y for λ > 0. The expected error on new data is
    bounded by a multiple of √(s/N).

    Parameters
    ----------
    K : array of shape (n_samples, n_samples)
    y : array of shape (n_samples,) or (n_samples, n_targets)
        The sum over the targets is returned.
    regularisation : float
        λ ≥ 0, relative to a matrix of trace N.

    Returns
    -------
    float
        Infinity if K is singular and cannot reproduce y.

    Raises
    ------
    ValueError
        As for `geometric_difference`.

    References
    ----------
    H.-Y. Huang et al., Nat. Commun. 12, 2631 (2021), doi:10.1038/s41467-021-22539-9.
    """
    eigenvalues, vectors = _eigen("K", K)
    weights = vectors.T @ _targets(y, len(vectors))
    rates, lost = _inverse_roots(eigenvalues, regularisation)
    if np.linalg.norm(weights[lost]) > np.sqrt(np.finfo(float).eps) * np.linalg.norm(weights):
        return float("inf")
    return float(np.sum((rates[:, None] * weights) ** 2))


def _inverse_roots(eigenvalues: np.ndarray, regularisation: float) -> tuple[np.ndarray, np.ndarray]:
    """√λ_i / (λ_i + λ), 0 for eigenvalues that are 0 up to rounding, and which of them cannot be inverted."""
    if not regularisation >= 0:
        raise ValueError(f"regularisation must not be negative, got {regularisation}")
    zero = eigenvalues <= _rounding(eigenvalues)
    rates = np.zeros_like(eigenvalues)
    rates[~zero] = np.sqrt(eigenvalues[~zero]) / (eigenvalues[~zero] + regularisation)
    return rates, zero if regularisation == 0 else np.zeros_like(zero)


def _rounding(eigenvalues: np.ndarray) -> float:
    return float(10 * len(eigenvalues) * np.finfo(float).eps * eigenvalues.max())


def _eigen(name: str, K: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, clipped at 0, and eigenvectors of a matrix scaled to trace N."""
    K = _symmetric(name, K)
    trace = float(np.trace(K))
    if not trace > 0:
        raise ValueError(f"the trace of {name} must be positive, got {trace}")
    eigenvalues, vectors = np.linalg.eigh(K * (len(K) / trace))
    return eigenvalues.clip(0), vectors


def _symmetric(name: str, K: ArrayLike) -> np.ndarray:
    K = square(K, name)
    if not np.allclose(K, K.T, rtol=0, atol=1e-8 * max(1.0, float(np.abs(K).max()))):
        raise ValueError(f"{name} is not symmetric: give the matrix of the training samples with themselves")
    return K


def _targets(y: ArrayLike, n_samples: int) -> np.ndarray:
    """Targets as columns, shape (n_samples, n_targets)."""
    Y = np.asarray(y, dtype=np.float64)
    if Y.ndim not in (1, 2) or len(Y) != n_samples:
        raise ValueError(f"y must have one row for each of the {n_samples} samples, got shape {Y.shape}")
    if not np.isfinite(Y).all():
        raise ValueError("y has entries that are not finite")
    return Y.reshape(n_samples, -1)
