"""Groups that no fold may cross, and the folds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import GroupKFold, KFold

#: Rows whose entries agree to this share of the largest entry are identical descriptors.
IDENTITY_TOLERANCE = 1e-7


def identical_rows(features: np.ndarray, tolerance: float = IDENTITY_TOLERANCE) -> np.ndarray:
    """Number the distinct rows of a matrix, up to a tolerance.

    Rows count as identical when they fall into the same cells of a grid of step ``tolerance`` times the largest
    magnitude, on at least one of two grids half a step apart; so noise at the edge of a cell parts no twins.

    Parameters
    ----------
    features : ndarray, shape (n, d)
    tolerance : float

    Returns
    -------
    ndarray of int, shape (n,)
    """
    scale = np.abs(features).max(initial=0.0) * tolerance or 1.0
    cells = [np.floor(features / scale + shift).astype(np.int64) for shift in (0.25, 0.75)]
    return connected(*(np.unique(grid, axis=0, return_inverse=True)[1].ravel() for grid in cells))


def connected(*labels: np.ndarray) -> np.ndarray:
    """Finest common coarsening of several partitions of the same rows: rows that share any label share a group.

    Parameters
    ----------
    *labels : ndarray of int, each of shape (n,)

    Returns
    -------
    ndarray of int, shape (n,)
        Numbered from 0.
    """
    n = len(labels[0])
    rows, columns, nodes = [], [], n
    for partition in labels:
        _, codes = np.unique(partition, return_inverse=True)
        rows.append(np.arange(n))
        columns.append(nodes + codes)
        nodes += int(codes.max(initial=-1)) + 1
    edges = (np.ones(n * len(labels)), (np.concatenate(rows), np.concatenate(columns)))
    return connected_components(coo_array(edges, shape=(nodes, nodes)), directed=False)[1][:n]


def honest_groups(groups: np.ndarray, features: Sequence[np.ndarray]) -> np.ndarray:
    """Symmetry classes merged wherever a descriptor cannot tell two crystals apart.

    Parameters
    ----------
    groups : ndarray of int, shape (n,)
        Symmetry classes.
    features : sequence of ndarray, each of shape (n, d)
        Every descriptor that is used.

    Returns
    -------
    ndarray of int, shape (n,)
    """
    return connected(groups, *(identical_rows(matrix) for matrix in features))


def make_folds(
    n: int, groups: np.ndarray, *, folds: int, repeats: int, seed: int, split: str = "grouped"
) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """Folds of repeated cross-validation.

    Yields
    ------
    (repeat, fold, train, test)
        ``train`` and ``test`` are row indices. With ``split="grouped"`` no group is on both sides; with
        ``"random"`` rows are dealt out regardless of groups, which is what must not be done.

    Raises
    ------
    ValueError
        If there are fewer groups than folds, or the split is unknown.
    """
    if split not in ("grouped", "random"):
        raise ValueError(f'split must be "grouped" or "random", not {split!r}')
    n_groups = len(np.unique(groups))
    if folds < 2 or n_groups < folds:
        raise ValueError(
            f"{folds} folds need at least {max(folds, 2)} groups of crystals that differ, and there are {n_groups}: "
            "read more crystals or ask for fewer folds (at least 2)"
        )
    for repeat in range(repeats):
        splitter = GroupKFold if split == "grouped" else KFold
        dealt = splitter(folds, shuffle=True, random_state=seed + repeat).split(np.zeros(n), groups=groups)
        for fold, (train, test) in enumerate(dealt):
            yield repeat, fold, train, test
