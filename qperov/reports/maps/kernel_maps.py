"""Maps of kernels: crystals laid flat by their distances in a kernel's feature space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from openTSNE import TSNEEmbedding
from scipy.linalg import eigh
from scipy.sparse.csgraph import connected_components

from qperov.reports.maps.embedding import trust_in
from qperov.reports.maps.tsne import lay_out, place_among

#: Squared distances under this are rounding of a float32 entry near 1.
ROUNDING = 5e-7


@dataclass(frozen=True, eq=False)
class KernelMap:
    """A kernel's map.

    Attributes
    ----------
    kernel : str
    points : ndarray, shape (n, 2)
        Crystals that the kernel cannot tell apart share one point.
    distinct : int
        How many points there are.
    trustworthiness : float
        Share of neighbourhoods that the map did not invent, 0 to 1 (NaN where there are too few points).
    method : str
        "t-SNE" or "principal coordinates".
    distances : ndarray, shape (n, n)
        Between crystals, in the kernel's feature space.
    representatives : ndarray of int, shape (m,)
        One crystal for each point.
    layout : TSNEEmbedding or None
        The distinct points; None where the map is the principal coordinates.
    """

    kernel: str
    points: np.ndarray
    distinct: int
    trustworthiness: float
    method: str
    distances: np.ndarray
    representatives: np.ndarray
    layout: TSNEEmbedding | None

    def place(self, K: np.ndarray) -> np.ndarray:
        """Points of further crystals, shape (q, 2), on the map as it is.

        A crystal that the kernel cannot tell from one on the map gets that point; any other is put beside its nearest
        neighbours, whatever else is placed with it.

        Parameters
        ----------
        K : ndarray, shape (q, n)
            The kernel between further crystals and those of the map, 1 where they are the same.

        Raises
        ------
        ValueError
            Another shape, or values that are not finite or above 1.
        """
        values = np.asarray(K, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != len(self.points):
            raise ValueError(f"kernel values need the shape (q, {len(self.points)}), not {values.shape}")
        if not (values <= 1 + ROUNDING).all():
            raise ValueError("kernel values above 1, or NaN: a normalised kernel is needed")
        squares = _squares(values[:, self.representatives])
        there = self.points[self.representatives]
        if self.layout is None:
            return _principal_coordinates(self.distances[np.ix_(self.representatives, self.representatives)], squares)
        points = there[squares.argmin(axis=1)]
        if (new := squares.min(axis=1) > ROUNDING).any():
            points[new] = place_among(self.layout, np.sqrt(squares[new]))
        return points


def kernel_distances(K: np.ndarray) -> np.ndarray:
    """Distances d in the feature space of a kernel: d² = 2 − 2 K(x, y) / √(K(x, x) K(y, y)), shape (n, n).

    Without noise, and with K(x, x) = 1, it is ‖φ(x) − φ(y)‖. Negative squares, which shots may bring, become 0.

    Raises
    ------
    ValueError
        A matrix that is not square, symmetric and finite, or without a positive diagonal.
    """
    K = np.asarray(K, dtype=np.float64)
    if K.ndim != 2 or K.shape[0] != K.shape[1] or len(K) == 0:
        raise ValueError(f"a kernel matrix needs the shape (n, n) with n > 0, not {K.shape}")
    if not np.isfinite(K).all() or not np.allclose(K, K.T, rtol=1e-5, atol=1e-8):
        raise ValueError("the kernel matrix is not symmetric, or holds NaN or infinity")
    if not (K.diagonal() > 0).all():
        raise ValueError("the kernel matrix has no positive diagonal")
    length = np.sqrt(K.diagonal())
    squares = _squares((K + K.T) / 2 / np.outer(length, length))
    np.fill_diagonal(squares, 0.0)
    return np.sqrt(squares)


def map_kernel(kernel: str, K: np.ndarray, *, seed: int = 0) -> KernelMap:
    """A two-dimensional t-SNE map of the distances d² = 2 − 2K of a kernel matrix, shape (n, n).

    Crystals that the kernel cannot tell apart share one point. The start is the first two principal coordinates, so
    that the same matrix always gives the same map; below 10 distinct crystals they are the map.

    Raises
    ------
    ValueError
        See :func:`kernel_distances`.
    """
    D = kernel_distances(K)
    _, which = connected_components(D**2 <= ROUNDING, directed=False)
    _, first, which = np.unique(which, return_index=True, return_inverse=True)
    distinct = np.ascontiguousarray(D[np.ix_(first, first)])
    start = _principal_coordinates(distinct)
    layout = lay_out(distinct, start, seed=seed, precomputed=True)
    points = start if layout is None else np.array(layout)
    trust = trust_in(distinct, points, precomputed=True)
    method = "t-SNE" if layout is not None else "principal coordinates"
    return KernelMap(kernel, points[which], len(first), trust, method, D, first, layout)


def _squares(K: np.ndarray) -> np.ndarray:
    return np.clip(2 - 2 * K, 0, None)


def _principal_coordinates(D: np.ndarray, new: np.ndarray | None = None) -> np.ndarray:
    """The first two principal coordinates of distances D, shape (m, 2); of further rows where ``new``, their squared
    distances to these, is given. Gower, Biometrika 53, 325 (1966), doi:10.1093/biomet/53.3-4.325, and 55, 582 (1968).
    """
    squares = D**2
    m, means = len(D), squares.mean(axis=0)
    if m < 2:
        return np.zeros((m if new is None else len(new), 2))
    values, vectors = eigh(-0.5 * (squares - means[:, None] - means + means.mean()), subset_by_index=[m - 2, m - 1])
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = values > 1e-9 * max(values[0], 0.0)
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(2)])
    inverse = np.where(kept, 1 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
    rows = squares if new is None else new
    centred = -0.5 * (rows - rows.mean(axis=1, keepdims=True) - means + means.mean())
    return (centred @ vectors) * inverse
