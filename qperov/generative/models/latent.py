"""Points of a latent space to decode: drawn from the prior or round crystals, on arcs, or by their property.

Latent codes are rows of shape (n, dim). Every function that draws takes a ``numpy.random.Generator`` or a seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import ArrayLike

from qperov.errors import LatentSpaceError
from qperov.generative.models.latent_search import (
    SearchResult,
    Seed,
    checked_codes,
    checked_count,
    targeted_search,
)

__all__ = [
    "SearchResult",
    "nearest_to_target",
    "perturb",
    "posterior_sample",
    "prior_sample",
    "slerp",
    "slerp_between",
    "targeted_search",
]

#: Inner points of an arc: t = 1/20 … 19/20, as iMatGen took them.
INNER_POINTS = 19
#: Nearer to opposite than this angle (radians), the arc between two codes is lost in rounding, and its weights diverge.
LEAST_OPENING = 1e-3
#: Below this angle (radians) an arc is a straight line.
STRAIGHT = 1e-7


def prior_sample(n: int, dim: int, random_state: Seed) -> np.ndarray:
    """Draws from the prior N(0, I), shape (n, dim)."""
    return np.random.default_rng(random_state).standard_normal((checked_count(n), checked_count(dim, "dim")))


def posterior_sample(codes: ArrayLike, n: int, random_state: Seed, *, jitter: float | None = None) -> np.ndarray:
    """Draws from where the training crystals lie in latent space, which need not be where the prior is.

    Parameters
    ----------
    codes : array (m, dim)
        Posterior means of the training crystals, m ≥ 2.
    n : int
    random_state : int or Generator
    jitter : float or None
        ``None`` fits one Gaussian to the codes: z = μ + gᵀ(Z − μ)/√(m − 1), g ~ N(0, I), has their mean and covariance,
        and with fewer codes than dimensions stays in their span. A number draws codes with replacement instead, and
        adds noise of this standard deviation: closer to the crystals, and true to clusters.

    Returns
    -------
    ndarray (n, dim)

    Raises
    ------
    LatentSpaceError
        Fewer than two codes, or numbers that are not finite.
    """
    rows, generator = checked_codes(codes), np.random.default_rng(random_state)
    if jitter is not None:
        return perturb(rows[generator.integers(len(rows), size=checked_count(n))], jitter, n, generator)
    if len(rows) < 2:
        raise LatentSpaceError("a Gaussian needs two latent codes at least")
    mean = rows.mean(0)
    return mean + generator.standard_normal((checked_count(n), len(rows))) @ (rows - mean) / np.sqrt(len(rows) - 1)


def perturb(codes: ArrayLike, scale: float, n: int, random_state: Seed, *, spread: ArrayLike = 1.0) -> np.ndarray:
    """Gaussian noise round chosen codes: z = codes[i mod m] + scale · spread · ε, ε ~ N(0, I).

    Parameters
    ----------
    codes : array (m, dim) or (dim,)
        For a property, those of the crystals nearest to it: :func:`nearest_to_target`.
    scale : float
        FTCP took 0.4 to 0.6.
    n : int
        Points in all; the codes take turns.
    random_state : int or Generator
    spread : float or array (dim,)
        Unit of ``scale``: 1 for a space that keeps to its prior, or the standard deviation of the training codes.

    Returns
    -------
    ndarray (n, dim)

    References
    ----------
    Z. Ren et al., Matter 5, 314 (2022), doi:10.1016/j.matt.2021.11.032.
    """
    rows = checked_codes(codes)
    if not (np.isfinite(scale) and scale >= 0):
        raise ValueError(f"scale must be finite and not negative, not {scale}")
    noise = np.random.default_rng(random_state).standard_normal((checked_count(n), rows.shape[1]))
    return rows[np.arange(n) % len(rows)] + scale * np.asarray(spread, dtype=float) * noise


def nearest_to_target(values: ArrayLike, target: float, count: int) -> np.ndarray:
    """Indices of the ``count`` values nearest to a target, nearest first; all of them if there are no more.

    Raises
    ------
    LatentSpaceError
        There is no value, or one is not a number.
    """
    known = np.asarray(values, dtype=float)
    if known.ndim != 1 or not len(known) or not np.isfinite(known).all() or not np.isfinite(target):
        raise LatentSpaceError("crystals near a target need a finite target and one finite value per crystal")
    return np.argsort(np.abs(known - target), kind="stable")[: checked_count(count, "count")]


def slerp(a: ArrayLike, b: ArrayLike, t: ArrayLike) -> np.ndarray:
    """Spherical linear interpolation: z(t) = [sin((1 − t)Ω) a + sin(tΩ) b] / sin Ω, Ω the angle between a and b.

    z(0) = a and z(1) = b exactly. Parallel ends, and a zero vector at one, have the straight line (1 − t)a + tb for
    their arc. iMatGen's equation S4 has the two ends swapped; this is Shoemake's form, and TL-VAE's equation 4.

    Parameters
    ----------
    a, b : array (dim,)
    t : float, or array (m,)
        From 0 to 1.

    Returns
    -------
    ndarray (dim,) or (m, dim)

    Raises
    ------
    LatentSpaceError
        The ends are opposite to within 0.001 rad: no arc between them is the shortest.

    References
    ----------
    K. Shoemake, SIGGRAPH Computer Graphics 19, 245 (1985), doi:10.1145/325165.325242.
    """
    first, second = checked_codes(a), checked_codes(b)
    if first.shape != second.shape or len(first) != 1:
        raise ValueError(f"an arc has two ends of shape (dim,), not {np.shape(a)} and {np.shape(b)}")
    steps = np.asarray(t, dtype=float)
    if not ((steps >= 0) & (steps <= 1)).all():
        raise ValueError("t must lie in [0, 1]")
    angle = _angle(first[0], second[0])
    if np.pi - angle < LEAST_OPENING:
        raise LatentSpaceError("opposite latent codes have no shortest arc between them; choose another pair")
    along = steps[..., np.newaxis]
    if angle < STRAIGHT:
        return (1 - along) * first[0] + along * second[0]
    # weights first: at the ends they are 1 and 0 exactly
    return np.sin((1 - along) * angle) / np.sin(angle) * first[0] + np.sin(along * angle) / np.sin(angle) * second[0]


def slerp_between(codes: ArrayLike, n: int | None, random_state: Seed, *, inner: int = INNER_POINTS) -> np.ndarray:
    """Inner points of the arcs between pairs of codes, at t = 1/(inner + 1) … inner/(inner + 1).

    Parameters
    ----------
    codes : array (m, dim)
        m ≥ 2. Pairs of opposite codes are passed over.
    n : int or None
        Points drawn from all inner · m(m − 1)/2, none twice; all, in order of pairs, for ``None`` or if there are no
        more.
    random_state : int or Generator
    inner : int

    Returns
    -------
    ndarray (n, dim)

    Raises
    ------
    LatentSpaceError
        There is no pair with an arc.
    """
    rows = checked_codes(codes)
    total = checked_count(inner, "inner") * comb(len(rows), 2)
    if n is None or checked_count(n) >= total:
        wanted = total
        chosen: Iterable[tuple[int, int, int]] = _arcs(len(rows), inner)
    else:
        wanted = n
        chosen = _drawn_arcs(len(rows), inner, n, np.random.default_rng(random_state))
    points: list[np.ndarray] = []
    for i, j, step in chosen:
        if len(points) == wanted:
            break
        if np.pi - _angle(rows[i], rows[j]) >= LEAST_OPENING:
            points.append(slerp(rows[i], rows[j], step / (inner + 1)))
    if not points and n != 0:
        raise LatentSpaceError("arcs need two latent codes at least that are not opposite to each other")
    return np.array(points).reshape(len(points), rows.shape[1])


def _arcs(m: int, inner: int) -> Iterator[tuple[int, int, int]]:
    return ((i, j, step) for i, j in combinations(range(m), 2) for step in range(1, inner + 1))


def _drawn_arcs(m: int, inner: int, n: int, generator: np.random.Generator) -> Iterator[tuple[int, int, int]]:
    """Points of arcs in random order, none twice."""
    total = inner * comb(m, 2)
    if total <= 4 * n:
        points = list(_arcs(m, inner))
        yield from (points[k] for k in generator.permutation(total))
        return
    seen: set[tuple[int, int, int]] = set()
    while len(seen) < total:
        i, j = sorted(generator.choice(m, 2, replace=False).tolist())
        point = (i, j, int(generator.integers(1, inner + 1)))
        if point not in seen:
            seen.add(point)
            yield point


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    """Angle between two vectors, 0 if one is zero; sharp near 0 and π, where the arc cosine is not."""
    largest_a, largest_b = np.abs(a).max(), np.abs(b).max()
    if largest_a == 0 or largest_b == 0:
        return 0.0
    u, v = a / largest_a, b / largest_b
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    return float(2 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v)))
