"""Groups that no fold may cross, and the folds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold

#: Rows whose entries agree to this share of the largest entry are identical descriptors.
IDENTITY_TOLERANCE = 1e-7


def identical_rows(features: np.ndarray, tolerance: float = IDENTITY_TOLERANCE) -> np.ndarray:
    """Number the distinct rows of a matrix, up to a tolerance.

    In each column, sorted values that follow each other within ``tolerance`` times the largest magnitude of the
    matrix count as one value; rows are identical where all their values are. Sorting, unlike rounding to a grid, has
    no cell edges at which noise could part twins.

    Parameters
    ----------
    features : ndarray, shape (n, d)
        Finite, and of one unit: what is below ``tolerance`` in the measure of the largest entry is not seen.
    tolerance : float

    Returns
    -------
    ndarray of int, shape (n,)
    """
    step = tolerance * np.abs(features).max(initial=0.0)
    order = np.argsort(features, axis=0)
    apart = np.diff(np.take_along_axis(features, order, axis=0), axis=0) > step
    levels = np.zeros(features.shape, dtype=np.int64)
    np.put_along_axis(levels, order[1:], np.cumsum(apart, axis=0), axis=0)
    return np.unique(levels, axis=0, return_inverse=True)[1].ravel()


def merge_groups(*labels: np.ndarray) -> np.ndarray:
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
    return merge_groups(groups, *(identical_rows(matrix) for matrix in features))


def check_folds(folds: int, repeats: int, split: str) -> None:
    """Raise ValueError unless cross-validation can be dealt so."""
    if split not in ("grouped", "random"):
        raise ValueError(f'split must be "grouped" or "random", not {split!r}')
    if folds < 2:
        raise ValueError(f"cross-validation needs at least 2 folds, not {folds}")
    if repeats < 1:
        raise ValueError(f"cross-validation runs at least once, not {repeats} times")


def make_folds(
    n: int,
    groups: np.ndarray,
    *,
    folds: int,
    repeats: int,
    random_state: int,
    split: str = "grouped",
    y: np.ndarray | None = None,
) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """Folds of repeated cross-validation; with classes ``y``, each has as equal a share of them as groups allow.

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
    check_folds(folds, repeats, split)
    n_groups = len(np.unique(groups))
    if n_groups < folds:
        raise ValueError(
            f"{folds} folds need at least {folds} groups of crystals that differ, and there are {n_groups}: "
            "read more crystals or ask for fewer folds (at least 2)"
        )
    splitter, respected = (GroupKFold, groups) if split == "grouped" else (KFold, None)
    if y is not None and split == "grouped" and folds < n_groups:
        splitter = StratifiedGroupKFold
    stream = np.random.RandomState(random_state)  # one for all repeats: seed + repeat would give the next seed's folds
    for repeat in range(repeats):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class")  # said beside the scores
            dealt = list(splitter(folds, shuffle=True, random_state=stream).split(np.zeros(n), y, respected))
        if not all(len(test) for _, test in dealt):  # as may be where there are hardly more groups than folds
            dealt = list(GroupKFold(folds, shuffle=True, random_state=stream).split(np.zeros(n), groups=groups))
        for fold, (train, test) in enumerate(dealt):
            yield repeat, fold, train, test
