"""Maps: descriptors laid flat by t-SNE."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from openTSNE import TSNEEmbedding
from scipy.spatial.distance import cdist
from sklearn.manifold import trustworthiness

from qperov.records.record import spaced_rows
from qperov.reports.maps.tsne import lay_out, place_among

NEIGHBOURS = 10
COMPONENTS = 50
#: More distinct rows than this are placed on the map of so many of them.
MOST = 4000


@dataclass(frozen=True, eq=False)
class DescriptorMap:
    """A descriptor's map.

    Attributes
    ----------
    descriptor : str
    points : ndarray, shape (n, 2)
        Crystals with identical descriptors share one point.
    distinct : int
        How many points there are.
    trustworthiness : float
        Share of neighbourhoods that the map did not invent, 0 to 1 (NaN where there are too few points).
    method : str
        "t-SNE" or "principal components".
    space : DescriptorSpace
        The descriptor, made comparable.
    rows : ndarray, shape (m, d)
        The distinct rows in that space from which the map was made.
    layout : TSNEEmbedding or None
        Their points; None where the map is the principal components.
    """

    descriptor: str
    points: np.ndarray
    distinct: int
    trustworthiness: float
    method: str
    space: DescriptorSpace
    rows: np.ndarray
    layout: TSNEEmbedding | None

    def place(self, features: np.ndarray) -> np.ndarray:
        """Points of further crystals, shape (q, 2), on the map as it is.

        A crystal whose descriptor is on the map gets that point; any other is put beside its nearest neighbours,
        whatever else is placed with it. Columns that did not vary on the map's crystals are not looked at.

        Parameters
        ----------
        features : ndarray, shape (q, d)
            The columns that the map was made of.

        Raises
        ------
        ValueError
            Another number of columns, or values that are not finite.
        """
        rows = self.space.standardised(features)
        scores = self.space.scores(rows)
        if self.layout is None:
            return scores[:, :2]
        known = {row.tobytes(): i for i, row in enumerate(self.rows)}
        which = np.array([known.get(row.tobytes(), -1) for row in rows])
        points = np.asarray(self.layout)[which]
        if (new := which < 0).any():
            points[new] = place_among(self.layout, scores[new])
        return points

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Distances between crystals in the descriptor as the map sees it, shape (n, n)."""
        rows = self.space.standardised(features)
        return cdist(rows, rows)


@dataclass(frozen=True, eq=False)
class DescriptorSpace:
    """Standardised columns of a descriptor and their principal components, as found on one set of crystals."""

    mean: np.ndarray
    sd: np.ndarray
    varied: np.ndarray
    centre: np.ndarray
    axes: np.ndarray

    def standardised(self, features: np.ndarray) -> np.ndarray:
        """Columns that varied, standardised, rounded to 1e-8."""
        X = _checked(features)
        if X.shape[1] != len(self.varied):
            raise ValueError(f"the map was made of {len(self.varied)} columns, not of {X.shape[1]}")
        return _standardised(X, self.mean, self.sd, self.varied)

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Principal components of standardised rows, at least two columns."""
        scores = (rows - self.centre) @ self.axes.T
        return np.ascontiguousarray(np.pad(scores, ((0, 0), (0, max(2 - scores.shape[1], 0)))))


def standardise(features: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and standard deviation 1, rounded to 1e-8; constant columns are dropped.

    Sums run over sorted columns, so that the order of the rows changes no bit. A column is constant when its standard
    deviation is under 1e-9 of its own largest value or 1e-12 of the matrix's: rounding noise is no information.

    Raises
    ------
    ValueError
        Not a matrix, no rows, or values that are NaN or infinite.
    """
    X = _checked(features)
    return _standardised(X, *_moments(X))


def embed(features: np.ndarray, *, seed: int = 0, perplexity: float | None = None) -> np.ndarray:
    """A two-dimensional t-SNE map of a descriptor.

    Standardised columns, at most 50 principal components, distinct rows only: identical rows share one point, nothing
    is jittered. The start is the first two components, the gradient Barnes and Hut's on one thread, so that the same
    rows always give the same map; permuted rows give the permuted map. Below 10 distinct rows the map is the first two
    principal components; of more than 4000, so many are laid out and the others placed among them.

    Parameters
    ----------
    features : ndarray, shape (n, d)
    seed : int
    perplexity : float, optional
        At least 1 and at most a third of the distinct rows, less one; default: 30 or that bound.

    Returns
    -------
    ndarray, shape (n, 2)

    Raises
    ------
    ValueError
        Features that are empty, not a matrix or not finite; a perplexity out of bounds.
    """
    return _fit("", features, seed, perplexity, MOST).points


def map_descriptor(descriptor: str, features: np.ndarray, *, seed: int = 0, most: int = MOST) -> DescriptorMap:
    """Embed a descriptor and measure how far its map can be trusted (among distinct rows, 10 neighbours).

    Of more than ``most`` distinct rows, so many are laid out, and the others placed among them.
    """
    return _fit(descriptor, features, seed, None, most)


def _fit(descriptor: str, features: np.ndarray, seed: int, perplexity: float | None, most: int) -> DescriptorMap:
    X = _checked(features)
    moments = _moments(X)
    rows, inverse = _distinct(_standardised(X, *moments))
    chosen = spaced_rows(len(rows), most)
    space = DescriptorSpace(*moments, *_components(rows[chosen]))
    scores = space.scores(rows[chosen])
    layout = lay_out(scores, scores[:, :2], seed=seed, perplexity=perplexity)
    points = scores[:, :2] if layout is None else np.array(layout)
    trust = trust_in(rows[chosen], points)
    if layout is not None and len(chosen) < len(rows):
        everything = np.empty((len(rows), 2))
        others = np.setdiff1d(np.arange(len(rows)), chosen)
        everything[chosen], everything[others] = points, place_among(layout, space.scores(rows[others]))
        points = everything
    method = "t-SNE" if layout is not None else "principal components"
    return DescriptorMap(descriptor, points[inverse], len(rows), trust, method, space, rows[chosen], layout)


def trust_in(rows: np.ndarray, points: np.ndarray, *, precomputed: bool = False) -> float:
    """Trustworthiness of points for rows, or for distances between them, with 10 neighbours; NaN for too few rows.

    Venna and Kaski, Artificial Neural Networks – ICANN 2001, 485; doi:10.1007/3-540-44668-0_68.
    """
    neighbours = min(NEIGHBOURS, (len(rows) - 1) // 2)
    if not neighbours or not rows.shape[1]:
        return math.nan
    metric = "precomputed" if precomputed else "euclidean"
    return float(trustworthiness(rows, points, n_neighbors=neighbours, metric=metric))


def _checked(features: np.ndarray) -> np.ndarray:
    X = np.asarray(features, dtype=np.float64)
    if X.ndim != 2 or len(X) == 0:
        raise ValueError(f"features need the shape (n, d) with n > 0, not {X.shape}")
    if not np.isfinite(X).all():
        raise ValueError("features hold NaN or infinite values: a map needs finite ones")
    return X


def _moments(X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column, and whether it varies."""
    if X.shape[1] == 0:
        return np.empty(0), np.empty(0), np.empty(0, dtype=bool)
    ordered = np.ascontiguousarray(np.sort(X, axis=0).T)
    mean, sd, size = ordered.mean(axis=1), ordered.std(axis=1), np.abs(ordered).max(axis=1)
    return mean, sd, (sd > 1e-9 * size) & (sd > 1e-12 * size.max())


def _standardised(X: np.ndarray, mean: np.ndarray, sd: np.ndarray, varied: np.ndarray) -> np.ndarray:
    rounded = np.round((X[:, varied] - mean[varied]) / sd[varied], 8) + 0.0  # + 0.0: no negative zeros
    return np.ascontiguousarray(rounded)


def _distinct(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if X.shape[1] == 0:
        return X[:1], np.zeros(len(X), dtype=int)
    rows, inverse = np.unique(X, axis=0, return_inverse=True)
    return np.ascontiguousarray(rows), inverse.ravel()


def _components(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean row, and the principal components above rounding, each one's largest loading positive."""
    centre = rows.mean(axis=0)
    if len(rows) < 2 or rows.shape[1] == 0:
        return centre, np.empty((0, rows.shape[1]))
    _, s, V = np.linalg.svd(rows - centre, full_matrices=False)
    axes = V[: min(int(np.sum(s > 1e-9 * s[0])), COMPONENTS)]
    return centre, axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
