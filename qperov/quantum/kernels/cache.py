"""What kernels of this process remember: values per sample and per pair of samples, found again by content.

Overlapping training sets, as cross-validation makes them, share most of their pairs. A table belongs to one setting
of one kernel (feature map, bandwidth, …) and knows every sample by its bytes, so that each pair is evaluated once per
setting, whatever arrays it comes in.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeAlias, TypeVar

import numpy as np

#: Positions of the rows and of the columns of a part of a matrix; None for the columns: the same as the rows.
Part: TypeAlias = tuple[np.ndarray, np.ndarray | None]


class SampleTable:
    """Samples, each once, found by content.

    Attributes
    ----------
    samples : ndarray of shape (n_known, n_features)
        In the order in which they came.
    lock : threading.RLock
        Held from looking something up to storing it, so that two threads do not evaluate the same.
    """

    def __init__(self, n_features: int) -> None:
        self.lock = threading.RLock()
        self.samples = np.empty((0, n_features))
        self._positions: dict[bytes, int] = {}

    def locate(self, X: np.ndarray) -> np.ndarray:
        """Position of each sample of X in `samples`, shape (n_samples,); those that are new are added."""
        positions = np.empty(len(X), dtype=np.intp)
        new: list[int] = []
        for i, row in enumerate(X + 0.0):  # −0 becomes 0
            content = row.tobytes()
            position = self._positions.setdefault(content, len(self._positions))
            if position == len(self.samples) + len(new):
                new.append(i)
            positions[i] = position
        if new:
            self.samples = np.concatenate([self.samples, X[new]])
        return positions

    def size_with(self, X: np.ndarray) -> int:
        """Number of samples there would be after adding those of X."""
        return len(self.samples) + len({row.tobytes() for row in X + 0.0} - self._positions.keys())

    @property
    def n_bytes(self) -> int:
        """Memory taken, once every sample has its values."""
        return self.bytes_for(*self.samples.shape)

    @staticmethod
    def bytes_for(n_samples: int, n_features: int) -> int:
        """Memory that as many samples take: themselves, their keys, and what the dictionary and the table add."""
        return 2000 + n_samples * (16 * n_features + 200)


class RowTable(SampleTable):
    """One row of values a sample."""

    def __init__(self, n_features: int) -> None:
        super().__init__(n_features)
        self._rows = np.empty((0, 0))
        self._known = np.empty(0, dtype=bool)

    def get(self, X: np.ndarray, compute: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Rows of the samples of X; ``compute`` is called at most once, with those of them that are not known yet."""
        with self.lock:
            positions = self.locate(X)
            known = np.zeros(len(self.samples), dtype=bool)
            known[: len(self._known)] = self._known
            missing = np.unique(positions[~known[positions]])
            if len(missing):
                new = compute(self.samples[missing])
                rows = np.zeros((len(known), new.shape[1]))
                rows[: len(self._rows), : self._rows.shape[1]] = self._rows
                rows[missing] = new
                known[missing] = True
                self._rows, self._known = rows, known
            return self._rows[positions]

    @property
    def n_bytes(self) -> int:
        """Memory taken, once every sample has its row, of the length that rows turned out to have."""
        return SampleTable.bytes_for(*self.samples.shape) + 8 * len(self.samples) * self._rows.shape[1]

    @staticmethod
    def bytes_for(n_samples: int, n_features: int) -> int:
        """Memory that as many samples take, if rows are three values for each of as many qubits."""
        return SampleTable.bytes_for(n_samples, n_features) + 24 * n_samples * n_features


class PairTable(SampleTable):
    """A symmetric matrix over the samples with ones on its diagonal, of which parts are known."""

    def __init__(self, n_features: int) -> None:
        super().__init__(n_features)
        self._values = np.empty((0, 0))

    def missing(self, rows: np.ndarray, columns: np.ndarray | None) -> list[Part]:
        """Parts of the matrix rows × columns that are not known, as few as possible and no pair in two of them."""
        wanted = np.unique(rows if columns is None else np.concatenate([rows, columns]))
        if len(self._values) == 0 and columns is None and len(wanted) == len(self.samples) > 1:
            return [(wanted, None)]
        self._grow()
        unknown = np.isnan(self._values[np.ix_(wanted, wanted)])
        if columns is not None:
            is_row, is_column = np.isin(wanted, rows), np.isin(wanted, columns)
            unknown &= (is_row[:, None] & is_column) | (is_column[:, None] & is_row)
        return [
            (wanted[part_rows], None if part_columns is None else wanted[part_columns])
            for part_rows, part_columns in partition(unknown)
        ]

    def store(self, part: Part, values: np.ndarray) -> None:
        """Keep the values of one part, and those of its transpose."""
        rows, columns = part
        if columns is None and len(rows) == len(self.samples):
            self._values = values
            return
        columns = rows if columns is None else columns
        self._values[np.ix_(rows, columns)] = values
        self._values[np.ix_(columns, rows)] = values.T

    def values(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Values of rows × columns, a copy; NaN where they are not known."""
        everything = np.arange(len(self._values))
        if np.array_equal(rows, everything) and np.array_equal(columns, everything):
            return self._values.copy()
        return self._values[np.ix_(rows, columns)]

    @staticmethod
    def bytes_for(n_samples: int, n_features: int) -> int:
        """Memory that as many samples take, with their matrix."""
        return SampleTable.bytes_for(n_samples, n_features) + 8 * n_samples**2

    def _grow(self) -> None:
        known, size = len(self._values), len(self.samples)
        if size > known:
            values = np.full((size, size), np.nan)
            np.fill_diagonal(values, 1.0)
            values[:known, :known] = self._values
            self._values = values


Table = TypeVar("Table", RowTable, PairTable)


class KernelMemory:
    """The most recently used tables, bounded by the memory they take; safe to share between threads.

    Parameters
    ----------
    max_bytes : int
        Tables are forgotten, least recently used first, once all together take more.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._tables: OrderedDict[Hashable, tuple[RowTable | PairTable, int]] = OrderedDict()
        self._total = 0
        self._lock = threading.Lock()

    def table(self, key: Hashable | None, kind: type[Table], X: np.ndarray) -> Table:
        """The table kept under the key, or a new one, for a caller who is about to add the samples of X.

        With key None, or for samples whose table would by itself take more than the limit, it is not kept.
        """
        n_features = X.shape[1]
        if key is None or kind.bytes_for(len(X), n_features) > self.max_bytes:
            return kind(n_features)
        full_key = (key, kind, n_features)
        with self._lock:
            table, counted = self._tables.pop(full_key, (None, 0))
            if not isinstance(table, kind) or kind.bytes_for(table.size_with(X), n_features) > self.max_bytes:
                table = kind(n_features)
            size = max(kind.bytes_for(table.size_with(X), n_features), table.n_bytes)
            self._tables[full_key] = table, size
            self._total += size - counted
            while self._total > self.max_bytes and len(self._tables) > 1:
                self._total -= self._tables.popitem(last=False)[1][1]
            return table

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._tables.clear()
            self._total = 0

    @property
    def n_bytes(self) -> int:
        """Memory taken by what is kept."""
        with self._lock:
            return sum(table.n_bytes for table, _ in self._tables.values())

    def __len__(self) -> int:
        return len(self._tables)


def partition(wanted: np.ndarray) -> list[Part]:
    """The True entries of a symmetric boolean matrix as symmetric and rectangular parts, no pair in two of them.

    Rows that want the same columns make one part, so that each part is one matrix product. The diagonal is not
    looked at.
    """
    n = len(wanted)
    off_diagonal = ~np.eye(n, dtype=bool)
    left = wanted & off_diagonal
    if not left.any():
        return []
    # a row that wants its own group differs from its fellows in the diagonal alone: take what more rows agree on
    without, with_own = ([row.tobytes() for row in np.packbits(m, axis=1)] for m in (left, left | ~off_diagonal))
    counts = Counter(without)
    counts.update(with_own)
    groups: dict[bytes, list[int]] = {}
    for i in range(n):
        groups.setdefault(max(without[i], with_own[i], key=counts.__getitem__), []).append(i)
    parts: list[Part] = []
    for group in groups.values():
        rows = np.array(group)
        columns = left[rows[0]].copy()
        if len(rows) > 1 and columns[rows[1]]:
            parts.append((rows, None))
        columns[rows] = False
        if columns.any():
            parts.append((rows, np.flatnonzero(columns)))
        left[rows] = False
        left[:, rows] = False
    return parts
