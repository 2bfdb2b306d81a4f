"""Kernel matrices that noise has made indefinite: the nearest proper one, and the rows of new samples that fit it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse.linalg import LinearOperator, cg
from sklearn.exceptions import ConvergenceWarning

from qperov.quantum.gram.matrix import symmetrise, with_unit_diagonal

EPSILON = float(np.finfo(float).eps)


def nearest_correlation(K: ArrayLike, tolerance: float = 1e-6, max_iter: int = 200) -> tuple[np.ndarray, int]:
    """The nearest positive semi-definite matrix with ones on the diagonal, and the eigendecompositions it took.

    It is X = (K + diag y)₊, the positive part, with the y that minimises the convex dual
    θ(y) = ½‖(K + diag y)₊‖² − Σ y_i, whose gradient is diag(X) − 1. Newton's method finds y in a handful of
    eigendecompositions, its linear systems being solved by conjugate gradients. The last step divides by the roots of
    the diagonal, so that the diagonal is exactly 1 and no eigenvalue negative beyond rounding, whatever the tolerance.

    Parameters
    ----------
    K : array of shape (n_samples, n_samples)
        Only its symmetric part counts, and of that nothing on the diagonal.
    tolerance : float
        The iteration ends when setting the diagonal to 1 changes X by no more than this, relative to its norm. The
        default is far below the noise of any number of shots.
    max_iter : int
        Eigendecompositions at most; a ConvergenceWarning tells when they did not suffice.

    Raises
    ------
    ValueError
        A matrix that is empty, not square or not finite; a tolerance or number of iterations that is not positive.

    References
    ----------
    H. Qi, D. Sun, SIAM J. Matrix Anal. Appl. 28, 360 (2006), doi:10.1137/050624509; preconditioner: R. Borsdorf, N. J.
    Higham, IMA J. Numer. Anal. 30, 94 (2010), doi:10.1093/imanum/drn085. For kernels measured on hardware: T.
    Hubregtsen et al., Phys. Rev. A 106, 042431 (2022), doi:10.1103/PhysRevA.106.042431, R-SDP.
    """
    if not tolerance > 0 or max_iter < 1:
        raise ValueError(f"tolerance and max_iter must be positive, got {tolerance} and {max_iter}")
    K = symmetrise(K)
    np.fill_diagonal(K, 1.0)
    point = _dual_point(K, np.zeros(len(K)))
    if point.eigenvalues[0] >= -_rounding(K):
        return K, 1
    n_iter = 1
    while not point.is_solution(tolerance):
        direction = _newton_direction(point)
        slope, step = float(point.gradient @ direction), 1.0
        start, accepted = point, False
        while not accepted and n_iter < max_iter:
            n_iter += 1
            point = _dual_point(K, start.y + step * direction)
            accepted = point.value <= start.value + 1e-4 * step * slope + start.uncertainty
            step /= 2
        if not accepted:
            warnings.warn(
                f"the nearest correlation matrix was not reached in {max_iter} iterations; raise max_iter or tolerance",
                ConvergenceWarning,
                stacklevel=2,
            )
            point = start
            break
    X = _positive_part(K + np.diag(point.y), point.eigenvalues, point.vectors)
    # A zero on the diagonal, with a row of zeros, can only be left by an iteration cut short.
    np.fill_diagonal(X, np.where(X.diagonal() > 0, X.diagonal(), 1.0))
    return with_unit_diagonal(X), n_iter


def feasible_rows(rows: ArrayLike, K: ArrayLike) -> np.ndarray:
    """The rows nearest to given ones that new samples with K(x, x) = 1 can have beside a training matrix.

    The bordered matrix [[K, k], [kᵀ, 1]] is positive semi-definite exactly if k is in the range of K and kᵀK⁺k ≤ 1.
    This is an ellipsoid with the eigenvectors u_i of K as axes; a point outside of it is projected on its surface,
    (u_iᵀk) → (u_iᵀk) λ_i / (λ_i + ν), where ν > 0 solves the secular equation Σ_i (u_iᵀk)² λ_i / (λ_i + ν)² = 1. All
    rows are solved at once.

    Parameters
    ----------
    rows : array of shape (n_new, n_samples)
    K : array of shape (n_samples, n_samples)
        Positive semi-definite.

    Returns
    -------
    ndarray of shape (n_new, n_samples)

    Raises
    ------
    ValueError
        Shapes that do not fit, entries that are not finite, a matrix with a negative eigenvalue.

    References
    ----------
    Conditions: R. A. Horn, C. R. Johnson, Matrix Analysis, 2nd ed. (2013), section 7.7 (Schur complement). Secular
    equation: J. J. Moré, D. C. Sorensen, SIAM J. Sci. Stat. Comput. 4, 553 (1983), doi:10.1137/0904038.
    """
    K = symmetrise(K)
    rows = np.asarray(rows, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != len(K) or not np.isfinite(rows).all():
        raise ValueError(f"rows must be finite and of shape (n_new, {len(K)}), got shape {rows.shape}")
    eigenvalues, vectors = np.linalg.eigh(K)
    if eigenvalues[0] < -1e-6 * max(1.0, eigenvalues[-1]):
        raise ValueError(f"the training matrix has the eigenvalue {eigenvalues[0]:.2g}: repair it first")
    kept = eigenvalues > 10 * _rounding(K)
    eigenvalues, vectors = eigenvalues[kept], vectors[:, kept]
    components = rows @ vectors
    outside = np.flatnonzero(np.sum(components**2 / eigenvalues, axis=1) > 1)
    if len(outside):
        nu = _secular_roots(components[outside], eigenvalues)
        components[outside] *= eigenvalues / (eigenvalues + nu[:, None])
        lengths = np.sum(components[outside] ** 2 / eigenvalues, axis=1)
        components[outside] /= np.sqrt(np.maximum(lengths, 1.0))[:, None]
    return components @ vectors.T


@dataclass(frozen=True)
class _DualPoint:
    """The dual θ at y: its value and gradient, and the eigendecomposition of K + diag y behind them."""

    y: np.ndarray
    eigenvalues: np.ndarray
    vectors: np.ndarray
    value: float
    gradient: np.ndarray

    @property
    def uncertainty(self) -> float:
        """Rounding error of the value."""
        return len(self.y) * EPSILON * float(np.sum(self.eigenvalues**2) + np.abs(self.y).sum())

    def is_solution(self, tolerance: float) -> bool:
        """Whether X, and X with ones on its diagonal, differ by no more than the tolerance or than rounding does."""
        norm = float(np.linalg.norm(self.eigenvalues.clip(0)))
        rounding = 10 * len(self.y) * EPSILON * float(np.abs(self.eigenvalues).max())
        return float(np.linalg.norm(self.gradient)) <= max(tolerance * norm, rounding)


def _dual_point(K: np.ndarray, y: np.ndarray) -> _DualPoint:
    eigenvalues, vectors = np.linalg.eigh(K + np.diag(y))
    positive = eigenvalues.clip(0)
    return _DualPoint(y, eigenvalues, vectors, float(positive @ positive / 2 - y.sum()), vectors**2 @ positive - 1)


def _newton_direction(point: _DualPoint) -> np.ndarray:
    """d with V d = −∇θ for a generalised Hessian V of θ, by preconditioned conjugate gradients.

    V h = diag(P [Ω ∘ (Pᵀ diag(h) P)] Pᵀ), where Ω_ij is 1 for two positive eigenvalues, 0 for two others, and
    λ_i / (λ_i − λ_j) for λ_i > 0 ≥ λ_j. If most are positive, 1 − Ω has fewer entries, and h less its sum is V h.
    """
    eigenvalues, P = point.eigenvalues, point.vectors
    few = eigenvalues > 0
    mostly_positive = 2 * np.count_nonzero(few) > len(few)
    if mostly_positive:
        few = ~few
    sizes, Q = np.abs(eigenvalues), P[:, few]
    # Rows of Ω or 1 − Ω; the sum doubles them, for the columns, and so counts pairs of the same kind twice.
    weights = np.full((Q.shape[1], len(P)), 0.5)
    weights[:, ~few] = sizes[few, None] / (sizes[few, None] + sizes[~few])
    squares = P**2
    diagonal = 2 * np.einsum("ij,ij->i", squares[:, few] @ weights, squares)
    residual = float(np.linalg.norm(point.gradient))
    diagonal = 1 - diagonal if mostly_positive else diagonal
    # V can be singular far from the solution; towards it, the damping vanishes with the gradient.
    damping = 1e-3 * min(1.0, residual) * diagonal.mean() + EPSILON

    def hessian(h: np.ndarray) -> np.ndarray:
        h = h.ravel()
        part = 2 * np.einsum("ij,ij->i", Q @ (((Q.T * h) @ P) * weights), P)
        return (h - part if mostly_positive else part) + damping * h

    shape = (len(P), len(P))
    direction, _ = cg(
        LinearOperator(shape, matvec=hessian, dtype=np.float64),
        -point.gradient,
        rtol=min(0.1, residual),
        maxiter=len(P),
        M=LinearOperator(shape, matvec=lambda h: h.ravel() / (diagonal + damping), dtype=np.float64),
    )
    return direction


def _positive_part(K: np.ndarray, eigenvalues: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """K₊, exactly symmetric: the symmetric matrix of this eigendecomposition without its negative eigenvalues."""
    kept = eigenvalues > 0
    if 2 * kept.sum() <= len(K):
        half = vectors[:, kept] * np.sqrt(eigenvalues[kept])
        return half @ half.T
    half = vectors[:, ~kept] * np.sqrt(-eigenvalues[~kept])
    return symmetrise(K + half @ half.T)


def _secular_roots(components: np.ndarray, eigenvalues: np.ndarray) -> np.ndarray:
    """ν > 0 with φ(ν) = Σ c_i² λ_i / (λ_i + ν)² = 1 for each row c, where φ(0) > 1: Newton's method on 1 − φ^(−1/2).

    1/√φ is nearly a straight line, and concave, so that from ν = 0 the steps stay on one side; the bracket is for
    rounding.
    """
    weights = components**2 * eigenvalues
    low, high = np.zeros(len(weights)), np.sqrt(weights.sum(axis=1))
    nu = low.copy()
    for _ in range(100):
        shifted = eigenvalues + nu[:, None]
        phi = np.sum(weights / shifted**2, axis=1)
        slope = -2 * np.sum(weights / shifted**3, axis=1)
        low, high = np.where(phi >= 1, nu, low), np.where(phi <= 1, nu, high)
        if np.all(np.abs(phi - 1) <= 1e-13):
            break
        step = 2 * phi * (np.sqrt(phi) - 1) / -slope
        nu = nu + step
        nu = np.where((nu >= low) & (nu <= high), nu, (low + high) / 2)
    return nu


def _rounding(K: np.ndarray) -> float:
    """What an eigenvalue of 0 may be computed as."""
    return float(10 * len(K) * EPSILON * max(1.0, np.abs(K).max()))
