"""t-SNE of rows or of distances, always the same for the same input, and places for further rows."""

from __future__ import annotations

import numpy as np
from openTSNE import TSNE, TSNEEmbedding

FEWEST = 10  # rows below which t-SNE has no neighbourhoods to keep
PERPLEXITY = 30.0
#: Perplexity of the neighbourhood that decides where a further row goes.
PERPLEXITY_OF_NEW = 5


def lay_out(
    X: np.ndarray, start: np.ndarray, *, seed: int, perplexity: float | None = None, precomputed: bool = False
) -> TSNEEmbedding | None:
    """t-SNE of the rows of X, or of the distances X; None below 10 rows.

    Barnes and Hut's gradient on one thread, exact neighbours. The points are centred.

    Parameters
    ----------
    X : ndarray, shape (m, d), or with ``precomputed`` distances of shape (m, m)
    start : ndarray, shape (m, 2)
        Where the points begin, at any scale.
    seed : int
    perplexity : float, optional
        At least 1 and at most (m − 1) / 3; default: 30 or that bound.
    precomputed : bool

    Raises
    ------
    ValueError
        A perplexity out of bounds.

    Notes
    -----
    van der Maaten and Hinton, J. Mach. Learn. Res. 9, 2579 (2008); openTSNE: Poličar, Stražar and Zupan,
    J. Stat. Softw. 109(3) (2024).
    """
    m = len(X)
    bound = (m - 1) / 3
    if perplexity is not None and not 1 <= perplexity <= bound:
        raise ValueError(f"perplexity {perplexity} is outside 1 … {bound:.3g}, the range for {m} distinct rows")
    if m < FEWEST:
        return None
    tsne = TSNE(
        perplexity=min(PERPLEXITY, bound) if perplexity is None else perplexity,
        initialization=1e-4 * start / (start[:, 0].std() or 1.0),
        metric="precomputed" if precomputed else "euclidean",
        negative_gradient_method="bh",
        neighbors="exact",
        random_state=seed,
        n_jobs=1,
    )
    embedding = tsne.fit(X)
    embedding -= (embedding.max(axis=0) + embedding.min(axis=0)) / 2  # as transform does before it places anything
    return embedding


def place_among(embedding: TSNEEmbedding, X: np.ndarray) -> np.ndarray:
    """Points of further rows, shape (q, 2), by openTSNE's ``transform``; what is there does not move.

    Each row is placed on its own, beside those that it is nearest to.

    Parameters
    ----------
    embedding : TSNEEmbedding
    X : ndarray, shape (q, d), or distances to the rows of the embedding, shape (q, m)
    """
    before = np.array(embedding)
    points = np.array(embedding.transform(X, perplexity=PERPLEXITY_OF_NEW))
    embedding[:] = before  # transform centres once more, which shifts it by rounding
    return points
