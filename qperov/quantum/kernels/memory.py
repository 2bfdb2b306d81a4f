"""What kernels of this process remember: states, training matrices and measured pairs, found again by content.

Cross-validation asks for the same samples in many arrays, and a search over the parameters of an estimator for the same
matrices. Each thing is kept under one setting of one kernel (feature map, bandwidth, …) and the bytes of its samples.
What is kept is bounded, and what was kept before makes nothing slower.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from hashlib import blake2b
from itertools import count, islice, repeat

import numpy as np

from qperov.quantum.kernels.shots import pair_keys, sample_keys

#: Settings of kernels that are told apart at a time.
MAX_SETTINGS = 1000

#: Memory that the entry of one array takes beside its numbers, and one remembered pair.
ENTRY_BYTES, PAIR_BYTES = 300, 128


class KernelMemory:
    """Arrays and pairs, the least recently used forgotten first; safe to share between threads.

    Parameters
    ----------
    max_bytes : int
        Memory of the arrays (three quarters) and of the pairs (one quarter).
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        #: Held by those whose values are dear, so that two threads do not measure the same.
        self.measuring = threading.RLock()
        self._lock = threading.Lock()
        self._numbers = count(1)
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._settings: OrderedDict[Hashable, int] = OrderedDict()
            self._arrays: OrderedDict[tuple[int, bytes], np.ndarray] = OrderedDict()
            self._pairs: dict[int, float] = {}
            self._array_bytes = 0

    def rows(
        self, key: Hashable | None, X: np.ndarray, compute: Callable[[np.ndarray], np.ndarray], beside: bytes = b""
    ) -> np.ndarray:
        """One row of values for each sample of X, shape (n_samples, n_values); not to be written to.

        Parameters
        ----------
        key : hashable or None
            The setting that the values belong to; None for no memory.
        X : ndarray of shape (n_samples, n_features)
        compute : callable
            Gives the rows of samples that are all different; called at most once, with those that are not known.
        beside : bytes
            What else the values depend on.
        """
        samples, positions = distinct(X)
        if key is None:
            return _repeated(compute(samples), positions)
        setting = self._setting(key)
        contents = [(setting, beside + row.tobytes()) for row in samples]
        with self._lock:
            known = [self._get(content) for content in contents]
        missing = [i for i, row in enumerate(known) if row is None]
        if missing:
            computed = compute(samples[missing])
            rows = np.ascontiguousarray(computed)
            if 2 * rows.nbytes <= self.max_bytes:  # else the first would be forgotten before the last is asked for
                with self._lock:
                    for i, row in zip(missing, rows, strict=True):
                        self._put(contents[i], row.copy())
            if len(missing) == len(samples):
                return _repeated(computed, positions)
            for i, row in zip(missing, rows, strict=True):
                known[i] = row
        return _repeated(np.array(known), positions)

    def matrix(
        self,
        key: Hashable | None,
        X: np.ndarray,
        Y: np.ndarray | None,
        compute: Callable[[np.ndarray, np.ndarray | None], np.ndarray],
    ) -> np.ndarray:
        """K(X, Y) of a symmetric kernel with K(x, x) = 1, shape (n_samples, m_samples), the caller's own.

        K(X, X) is remembered as a whole, K(X, Y) by its columns: an estimator asks again for the same test samples X,
        with other support vectors Y.

        Parameters
        ----------
        key : hashable or None
            As for `rows`.
        X, Y : ndarray of shape (n_samples, n_features), (m_samples, n_features)
            None for Y: X itself.
        compute : callable
            K of two sets of samples, the samples of each all different.
        """
        samples, rows = distinct(X)
        everything = blake2b(samples.tobytes() + repr(samples.shape).encode(), digest_size=16).digest()
        if Y is not None:
            K = self.rows(key, Y, lambda new: compute(samples, new).T, everything).T
            return K[rows] if len(samples) < len(X) else K.copy()
        content = None if key is None else (self._setting(key), everything)
        with self._lock:
            known = None if content is None else self._get(content)
        K = compute(samples, None) if known is None else known.copy()
        if known is None and content is not None and 2 * K.nbytes <= self.max_bytes:
            with self._lock:
                self._put(content, K.copy())
        return K if len(samples) == len(X) else K[np.ix_(rows, rows)]

    def pairs(
        self,
        key: Hashable | None,
        X: np.ndarray,
        Y: np.ndarray | None,
        measure: Callable[[np.ndarray, np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """K(X, Y) like `matrix`, of values that are dear: each unordered pair of different samples is measured once.

        Parameters
        ----------
        key, X, Y
            As for `matrix`; the samples of X, and those of Y, are all different.
        measure : callable
            Values of pairs, shape (n_pairs,), from the positions of their rows in X and of their columns in Y.
        """
        setting = 0 if key is None else self._setting(key)
        own = sample_keys(X, setting)
        other = own if Y is None else sample_keys(Y, setting)
        rows, columns = np.triu_indices(len(X), 1) if Y is None else np.nonzero(own[:, None] != other)
        keys, first, inverse = np.unique(pair_keys(own[rows], other[columns]), return_index=True, return_inverse=True)
        store = {} if key is None else self._pairs
        with self.measuring:
            values = np.array(list(map(store.get, keys.tolist(), repeat(np.nan))), dtype=float)
            missing = np.isnan(values)
            if missing.any():
                values[missing] = measure(rows[first[missing]], columns[first[missing]])
                store.update(zip(keys[missing].tolist(), values[missing].tolist(), strict=True))
                excess = len(store) - self.max_bytes // (4 * PAIR_BYTES)
                for old in list(islice(store, max(excess, 0))):
                    del store[old]
        K = np.ones((len(X), len(other)))
        K[rows, columns] = values[inverse]
        if Y is None:
            K[columns, rows] = K[rows, columns]
        return K

    @property
    def n_bytes(self) -> int:
        """Memory taken by what is kept."""
        return self._array_bytes + PAIR_BYTES * len(self._pairs)

    def __len__(self) -> int:
        return len(self._arrays) + len(self._pairs)

    def _setting(self, key: Hashable) -> int:
        """A number from 1 on for each key, the same as long as the key is among those used last."""
        with self._lock:
            if key not in self._settings:
                self._settings[key] = next(self._numbers)
                if len(self._settings) > MAX_SETTINGS:
                    self._settings.popitem(last=False)
            self._settings.move_to_end(key)
            return self._settings[key]

    def _get(self, content: tuple[int, bytes]) -> np.ndarray | None:
        if content in self._arrays:
            self._arrays.move_to_end(content)
        return self._arrays.get(content)

    def _put(self, content: tuple[int, bytes], array: np.ndarray) -> None:
        if content in self._arrays:
            self._array_bytes -= _entry_bytes(content, self._arrays.pop(content))
        self._arrays[content] = array
        self._array_bytes += _entry_bytes(content, array)
        while 4 * self._array_bytes > 3 * self.max_bytes and self._arrays:
            self._array_bytes -= _entry_bytes(*self._arrays.popitem(last=False))


def distinct(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The samples of X, each once in the order of their coming, and where each row of X is among them."""
    X = X + 0.0  # −0 becomes 0
    places: dict[bytes, int] = {}
    positions = np.array([places.setdefault(row.tobytes(), len(places)) for row in X], dtype=np.intp)
    return (X, positions) if len(places) == len(X) else (X[np.unique(positions, return_index=True)[1]], positions)


def _entry_bytes(content: tuple[int, bytes], array: np.ndarray) -> int:
    return array.nbytes + len(content[1]) + ENTRY_BYTES


def _repeated(rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
    return rows if len(rows) == len(positions) else rows[positions]
