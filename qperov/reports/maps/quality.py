"""How far a map can be trusted: neighbours that it keeps, and what its neighbourhoods say about the label."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from qperov.reports.maps.embedding import NEIGHBOURS


@dataclass(frozen=True)
class MapQuality:
    """What a map keeps of a space in which crystals have distances.

    Attributes
    ----------
    neighbours : int
        k, how many neighbours were looked at.
    kept : float
        Share of each point's k nearest in the space that are among its k nearest on the map, mean over points.
    by_chance : float
        The share that a random scatter keeps: k / (m − 1) for m points.
    r2_space, r2_map : float
        R² of the mean label of a crystal's k nearest of other groups, in the space and on the map.
    """

    neighbours: int
    kept: float
    by_chance: float
    r2_space: float
    r2_map: float


def measure_map(
    distances: np.ndarray, points: np.ndarray, y: np.ndarray, groups: np.ndarray, *, neighbours: int = NEIGHBOURS
) -> MapQuality:
    """Compare neighbourhoods on a map with those in the space that it was made of.

    Parameters
    ----------
    distances : ndarray, shape (n, n)
        In the space.
    points : ndarray, shape (n, 2)
        On the map; crystals that the space cannot tell apart share one, and count as one neighbour.
    y : ndarray, shape (n,)
        Labels. The map never saw them, so that a crystal's label is predicted by others alone.
    groups : ndarray of int, shape (n,)
        A crystal's own group does not predict it.
    neighbours : int
        k; less where there are no so many.

    Returns
    -------
    MapQuality
        NaN where there are too few points or groups.
    """
    _, one_each = np.unique(points, axis=0, return_index=True)
    m = len(one_each)
    k = min(neighbours, m - 1)
    on_map = cdist(points, points)
    subset = np.ix_(one_each, one_each)
    return MapQuality(
        neighbours=k,
        kept=neighbours_kept(distances[subset], on_map[subset], k),
        by_chance=k / (m - 1) if m > 1 else math.nan,
        r2_space=_r2(y, neighbour_means(distances, y, groups, neighbours)),
        r2_map=_r2(y, neighbour_means(on_map, y, groups, neighbours)),
    )


def neighbours_kept(distances: np.ndarray, on_map: np.ndarray, k: int) -> float:
    """Share of the k nearest that two matrices of distances, both of shape (m, m), have in common; NaN for k < 1."""
    if k < 1:
        return math.nan
    near, near_on_map = (_nearest(D, np.eye(len(D), dtype=bool), k) for D in (distances, on_map))
    both = [len(np.intersect1d(a, b, assume_unique=True)) for a, b in zip(near, near_on_map, strict=True)]
    return float(np.mean(both) / k)


def neighbour_means(distances: np.ndarray, y: np.ndarray, groups: np.ndarray, k: int) -> np.ndarray:
    """Mean label of the k nearest crystals of other groups, shape (n,); NaN for all where one has no k such others."""
    same = groups[:, None] == groups
    if k > len(y) - same.sum(axis=1).max(initial=0):
        return np.full(len(y), math.nan)
    return y[_nearest(distances, same, k)].mean(axis=1)


def _nearest(distances: np.ndarray, excluded: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k least entries of each row, the first of equals, without those that are excluded."""
    return np.argsort(np.where(excluded, np.inf, distances), axis=1, kind="stable")[:, :k]


def _r2(y: np.ndarray, predicted: np.ndarray) -> float:
    spread = float(((y - y.mean()) ** 2).sum())
    return 1 - float(((y - predicted) ** 2).sum()) / spread if spread > 0 else math.nan


def what_not_to_read(quality: MapQuality, space: str) -> list[str]:
    """Sentences on the limits of a map, by its quality.

    Parameters
    ----------
    quality : MapQuality
    space : str
        What the map was made of, such as "descriptor".
    """
    sentences = [
        "Distances between groups of points, the sizes of groups and gaps, and the axes have no meaning on this map, "
        "nor does it show which model is better."
    ]
    if math.isfinite(quality.kept) and quality.kept < 0.9:
        sentences.append(
            f"Crystals that lie apart on it may be similar: {percent(1 - quality.kept)} of nearest neighbours in the "
            f"{space} do lie apart."
        )
    r2_space, r2_map = quality.r2_space, quality.r2_map
    if not (math.isfinite(r2_space) and math.isfinite(r2_map)):
        return sentences
    if max(r2_space, r2_map) < 0.1:
        sentences.append("Patches of one colour are due to chance: neighbours carry no information about the label.")
    elif r2_map < r2_space - 0.05:
        sentences.append(
            f"Mixed colours may be an artefact of the map: neighbours in the {space} predict the label better."
        )
    return sentences


def percent(share: float) -> str:
    """A share as text: a tenth of a percent where it is less than a percent."""
    return f"{100 * share:.1f} %" if 0 < share < 0.01 else f"{100 * share:.0f} %"
