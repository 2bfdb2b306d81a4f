"""Searches in latent space for codes with a wanted property, by trial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from qperov.errors import LatentSpaceError

Seed = int | np.random.Generator


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search in latent space came to.

    Attributes
    ----------
    codes : ndarray (n, dim)
        One for each start, in the same order.
    values : ndarray (n,)
        Property predicted for them.
    reached : ndarray (n,) of bool
        Whether that is within the tolerance of the target.
    """

    codes: np.ndarray
    values: np.ndarray
    reached: np.ndarray


def targeted_search(
    predict: Callable[[np.ndarray], np.ndarray],
    target: float,
    starts: ArrayLike,
    random_state: Seed,
    *,
    tolerance: float = 0.01,
    spread: ArrayLike = 1.0,
    reach: float = 1.0,
    trials: int = 32,
    rounds: int = 100,
) -> SearchResult:
    """Climb from each start to codes of a wanted property, without gradients.

    A (1, λ) evolution strategy from every start, all of them in one call of ``predict`` a round: λ trials
    z + σ · spread · ε, of which the best is taken if it is better. σ grows by 3/2 after a round that helped and shrinks
    by 2/3 after one that did not; it begins at a tenth of ``reach``. A start that is within the tolerance stays.

    Parameters
    ----------
    predict : callable
        Codes of shape (k, dim) to values of shape (k,).
    target : float
    starts : array (n, dim)
        Codes of known crystals, or draws from the prior: a property head is only worth its word near its training
        codes, and a search that runs away finds its errors, not crystals.
    random_state : int or Generator
    tolerance : float
        In the property's unit.
    spread : float or array (dim,)
        Unit of a step along each dimension; the standard deviation of the training codes, if they do not keep to the
        prior.
    reach : float
        Greatest root mean square of (z − start)/spread over the dimensions; trials beyond are pulled back to it.
    trials, rounds : int
        λ, and rounds at most.

    Returns
    -------
    SearchResult

    Raises
    ------
    LatentSpaceError
        Predictions of the wrong shape or not finite; codes that are not finite.
    """
    origin, unit = _origin(starts, target, tolerance, spread, reach)
    generator = np.random.default_rng(random_state)
    shift = np.zeros_like(origin)
    values = _predicted(predict, origin)
    step = np.full(len(origin), reach / 10)
    for _ in range(checked_count(rounds, "rounds")):
        going = np.flatnonzero(np.abs(values - target) > tolerance)
        if not len(going):
            break
        noise = generator.standard_normal((len(going), max(1, checked_count(trials, "trials")), origin.shape[1]))
        tried = _within(shift[going, np.newaxis] + step[going, np.newaxis, np.newaxis] * noise, reach)
        codes = origin[going, np.newaxis] + tried * unit
        found = _predicted(predict, codes.reshape(-1, origin.shape[1])).reshape(codes.shape[:2])
        best = np.abs(found - target).argmin(1)
        rows = np.arange(len(going))
        better = np.abs(found[rows, best] - target) < np.abs(values[going] - target)
        moved = going[better]
        shift[moved], values[moved] = tried[rows, best][better], found[rows, best][better]
        step[going] = np.minimum(np.where(better, 1.5, 2 / 3) * step[going], reach)
    return SearchResult(origin + shift * unit, values, np.abs(values - target) <= tolerance)


def _origin(
    starts: ArrayLike, target: float, tolerance: float, spread: ArrayLike, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Starts, and the unit of a step along each dimension."""
    rows = checked_codes(starts)
    unit = np.broadcast_to(np.asarray(spread, dtype=float), rows.shape[1:])
    if not (np.isfinite(target) and tolerance >= 0 and reach > 0 and (unit > 0).all()):
        raise ValueError("the target must be finite, the tolerance not negative, and reach and spread positive")
    return rows, unit


def _within(shift: np.ndarray, reach: float) -> np.ndarray:
    """Shifts pulled back to a root mean square of ``reach``."""
    size = np.sqrt(np.mean(shift**2, axis=-1, keepdims=True))
    return shift * np.minimum(1.0, reach / np.maximum(size, np.finfo(float).tiny))


def _predicted(predict: Callable[[np.ndarray], np.ndarray], codes: np.ndarray) -> np.ndarray:
    values = np.asarray(predict(codes), dtype=float)
    if values.shape != (len(codes),) or not np.isfinite(values).all():
        raise LatentSpaceError("a property head must give one finite value per latent code")
    return values.copy()


def checked_codes(codes: ArrayLike) -> np.ndarray:
    """Latent codes as rows of finite numbers.

    Raises
    ------
    LatentSpaceError
        They are not.
    """
    rows = np.atleast_2d(np.asarray(codes, dtype=float))
    if rows.ndim != 2 or not rows.size:
        raise LatentSpaceError(f"latent codes have the shape (n, dim), not {rows.shape}")
    if not np.isfinite(rows).all():
        raise LatentSpaceError("latent codes must be finite")
    return rows


def checked_count(n: int, name: str = "n") -> int:
    """A whole number from 0."""
    if int(n) != n or n < 0:
        raise ValueError(f"{name} must be a whole number and not negative, not {n}")
    return int(n)
