"""The applicability domain of a model: whether new crystals are like those it was trained on.

The distance of a crystal is the mean of its Euclidean distances to the nearest training crystals, one from each group
(the k-nearest-neighbours measure of Sahigara et al.). It is taken in every space given, the descriptor and the
components that the regressor sees: what is far along no component may still be far in the descriptor. Distances count
in units of the 95 % mark of the space, the distance that 5 % of the training crystals exceed when their own group is
left out; the largest over the spaces is the crystal's strangeness s.

p = (1 + Σ_g mean_{i ∈ g} [sᵢ ≥ s]) / (G + 1) is a conformal p-value over the G groups: of crystals like the training
crystals, a share of at most about α gets p ≤ α (Bates et al.; about, since the training crystals are measured against
one group less).

References
----------
F. Sahigara et al., Defining a novel k-nearest neighbours approach to assess the applicability domain of a QSAR model,
J. Cheminform. 5, 27 (2013), doi:10.1186/1758-2946-5-27.
S. Bates, E. Candès, L. Lei, Y. Romano, M. Sesia, Testing for outliers with conformal p-values, Ann. Statist. 51, 149
(2023), doi:10.1214/22-AOS2244.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from qperov.serving.conformal import ROUNDING, group_weights

#: Groups whose nearest crystals count.
NEIGHBOURS = 5
#: The distance that so large a share of the training crystals stays below is 1.
MARK = 0.95
#: A crystal is unusual, or outside, when no more than this share of crystals like the training crystals is as strange.
UNUSUAL, OUTSIDE = 0.05, 0.01
#: Points that are closer than this share of the data's size are one.
SAME = 1e-7
#: Distances held at once.
BLOCK_ENTRIES = 4_000_000


@dataclass(frozen=True, eq=False)
class Judgement:
    """How new crystals lie to the training crystals; arrays of shape (n_new,).

    Attributes
    ----------
    strangeness : ndarray
        s; 1 is as far as the farthest 5 % of the training crystals.
    p : ndarray
        Share of crystals like the training crystals that are as strange.
    verdict : ndarray of str
        ``"inside"``, ``"unusual"`` or ``"outside"``; what cannot be told from a training crystal is inside.
    nearest : ndarray of int
        Row of the nearest training crystal, by the first space.
    same : ndarray of bool
        Whether the first space cannot tell it from that crystal.
    """

    strangeness: np.ndarray
    p: np.ndarray
    verdict: np.ndarray
    nearest: np.ndarray
    same: np.ndarray


@dataclass(frozen=True, eq=False)
class ApplicabilityDomain:
    """Training crystals as points, and how far they lie from each other.

    Attributes
    ----------
    spaces : dict of str to ndarray, each of shape (n, d)
        Name → the training crystals in that space.
    groups : ndarray of int, shape (n,)
        Symmetry copies, and crystals that a descriptor cannot tell apart, share a number.
    marks : dict of str to float
        Distance in each space that 5 % of the training crystals exceed, their own group left out; groups weigh alike.
    strangeness : ndarray, shape (n,)
        s of the training crystals, their own group left out.
    """

    spaces: Mapping[str, np.ndarray]
    groups: np.ndarray
    marks: Mapping[str, float]
    strangeness: np.ndarray

    @classmethod
    def of(cls, spaces: Mapping[str, np.ndarray], groups: np.ndarray) -> ApplicabilityDomain:
        """The domain of training crystals.

        Raises
        ------
        ValueError
            Without a space, with arrays of unequal length, or with fewer than two groups.
        """
        shapes = {name: points.shape for name, points in spaces.items()}
        if not spaces or any(len(shape) != 2 or shape[0] != len(groups) for shape in shapes.values()):
            raise ValueError(f"{len(groups)} groups need points of shape ({len(groups)}, d), not {shapes}")
        if len(np.unique(groups)) < 2:
            raise ValueError("a domain needs at least two groups of crystals that differ")
        own = {name: _distances(points, groups, points, groups).mean for name, points in spaces.items()}
        weights = group_weights(groups)
        marks = {
            name: max(
                float(np.quantile(distances, MARK, weights=weights, method="inverted_cdf")), SAME * _size(spaces[name])
            )
            for name, distances in own.items()
        }
        return cls(spaces, groups, marks, _strangeness(own, marks))

    def judge(self, points: Mapping[str, np.ndarray]) -> Judgement:
        """Judge new crystals, given in the spaces of the training crystals.

        Raises
        ------
        ValueError
            If points have other dimensions than the training crystals.
        """
        found = {name: _distances(training, self.groups, points[name]) for name, training in self.spaces.items()}
        strangeness = _strangeness({name: distances.mean for name, distances in found.items()}, self.marks)
        weights, order = group_weights(self.groups), np.argsort(self.strangeness)
        # weight of the training crystals that are at least as strange
        heavier = np.append(np.cumsum(weights[order][::-1])[::-1], 0.0)
        # the crystal itself counts as one group: no p can be smaller, which matters where groups are few
        least = 1 / (len(np.unique(self.groups)) + 1)
        p = least + heavier[np.searchsorted(self.strangeness[order], strangeness, side="left")]
        limits = [max(OUTSIDE, least), max(UNUSUAL, least)]
        first = next(iter(self.spaces))
        same = found[first].least <= SAME * _size(self.spaces[first])
        unlike = [~same & (p <= limit + ROUNDING) for limit in limits]
        verdict = np.select(unlike, ["outside", "unusual"], "inside")
        return Judgement(strangeness, p, verdict, found[first].nearest, same)


@dataclass(frozen=True, eq=False)
class _Distances:
    """Of each point: mean distance to the nearest groups, nearest training crystal, and its distance."""

    mean: np.ndarray
    nearest: np.ndarray
    least: np.ndarray


def _distances(
    training: np.ndarray, groups: np.ndarray, points: np.ndarray, left_out: np.ndarray | None = None
) -> _Distances:
    """Distances to training crystals; ``left_out`` is for each point a group that does not count."""
    if points.ndim != 2 or points.shape[1] != training.shape[1]:
        raise ValueError(f"points of shape {points.shape} beside training crystals of shape {training.shape}")
    order = np.argsort(groups, kind="stable")
    numbers, starts = np.unique(groups[order], return_index=True)
    many = min(NEIGHBOURS, len(numbers) - 1)
    mean, least = np.empty(len(points)), np.empty(len(points))
    nearest = np.empty(len(points), dtype=np.intp)
    rows = max(1, BLOCK_ENTRIES // len(training))
    for start in range(0, len(points), rows):
        block = slice(start, start + rows)
        each = cdist(points[block], training[order])
        if left_out is not None:
            each[left_out[block, None] == groups[order]] = np.inf
        of_group = np.minimum.reduceat(each, starts, axis=1)
        mean[block] = np.partition(of_group, many - 1, axis=1)[:, :many].mean(axis=1)
        nearest[block] = order[each.argmin(axis=1)]
        least[block] = each.min(axis=1)
    return _Distances(mean, nearest, least)


def _strangeness(distances: Mapping[str, np.ndarray], marks: Mapping[str, float]) -> np.ndarray:
    return np.max([distances[name] / mark for name, mark in marks.items()], axis=0)


def _size(points: np.ndarray) -> float:
    """Largest magnitude of the points, above zero."""
    return max(float(np.abs(points).max(initial=0.0)), np.finfo(float).tiny)
