"""Matrices over pairs of samples, of which each pair is evaluated once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

import numpy as np

from qperov.quantum.kernels.cache import PairTable, Part, SampleTable
from qperov.quantum.kernels.feature_map_kernel import MEMORY


def pair_matrix(
    X: np.ndarray,
    Y: np.ndarray | None,
    key: Hashable | None,
    evaluate: Callable[[np.ndarray, list[Part]], Iterable[np.ndarray]],
) -> np.ndarray:
    """K(X, Y) of a symmetric kernel with K(x, x) = 1, in which each unordered pair of samples is evaluated once.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    Y : ndarray of shape (m_samples, n_features) or None
        None for X itself.
    key : hashable or None
        What the values are remembered under from call to call; None for not at all. A matrix too large to remember is
        not remembered either.
    evaluate : callable
        Given samples, each once, and parts of their matrix (positions of rows, and of columns or None for the same),
        returns the values of each part; those of a symmetric part must be symmetric.

    Returns
    -------
    ndarray of shape (n_samples, m_samples)
        The caller's own.
    """
    together = X if Y is None else np.concatenate([X, Y])
    table = MEMORY.table(key, PairTable, together)
    if key is None or PairTable.bytes_for(len(together), X.shape[1]) > MEMORY.max_bytes:
        return _once(X, Y, evaluate)
    with table.lock:
        rows = table.locate(X)
        columns = None if Y is None else table.locate(Y)
        parts = table.missing(rows, columns)
        for part, values in zip(parts, evaluate(table.samples, parts), strict=True):
            table.store(part, values)
        return table.values(rows, rows if columns is None else columns)


def _once(
    X: np.ndarray, Y: np.ndarray | None, evaluate: Callable[[np.ndarray, list[Part]], Iterable[np.ndarray]]
) -> np.ndarray:
    """The matrix without any memory but that of equal rows; a rectangle takes no more than itself."""
    distinct = SampleTable(X.shape[1])
    rows = distinct.locate(X)
    if Y is None:
        samples, columns = distinct.samples, rows
        part: Part = (np.arange(len(samples)), None)
    else:
        others = SampleTable(X.shape[1])
        columns = others.locate(Y)
        samples = np.concatenate([distinct.samples, others.samples])
        part = (np.arange(len(distinct.samples)), np.arange(len(distinct.samples), len(samples)))
    (values,) = evaluate(samples, [part])
    return values if values.shape == (len(rows), len(columns)) else values[np.ix_(rows, columns)]
