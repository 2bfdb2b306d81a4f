"""What kernels of this process remember: states, values between them and measured pairs, found again by content.

Cross-validation asks for the same samples in many arrays, and a search over the parameters of an estimator for the same
matrices. Each thing is kept under one setting of one kernel (feature map, bandwidth, …) and the bytes of its samples.
What is kept is bounded, and what was kept before makes nothing slower. Exact values belong to the fold of a comparison
that is computed, so that a run that was stopped goes on to the same digits; measured pairs, which are dear, to all.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from itertools import count, islice, repeat
from typing import Any

import numpy as np

from qperov.evaluation.folds import FOLD
from qperov.quantum.kernels.shots import pair_keys, sample_keys

#: Settings of kernels that are told apart at a time.
MAX_SETTINGS = 1000

#: Memory that the entry of one array takes beside its numbers, and one remembered pair.
ENTRY_BYTES, PAIR_BYTES = 300, 128

#: Blocks into which the unknown values of one matrix are divided at most.
MAX_BLOCKS = 8

#: Samples by which known values are found again, and for which there is room when more samples come.
PROBES, SPARE = 16, 128


class KnownValues:
    """Values between samples that were asked for together, NaN where one was not asked for yet.

    Parameters
    ----------
    name : bytes
        What they are kept under.
    contents : list of bytes
        The samples, all different.
    values : ndarray of shape (n_samples, n_samples)
    """

    def __init__(self, name: bytes, contents: list[bytes], values: np.ndarray) -> None:
        self.name = name
        self.places = {content: i for i, content in enumerate(contents)}
        self.values = values

    def shares(self, contents: list[bytes]) -> bool:
        """Whether it has samples in common with others, by a look at a few."""
        return any(content in self.places for content in contents[:: -(-len(contents) // PROBES)])

    def placed(self, contents: list[bytes]) -> np.ndarray:
        """Rows of samples, of new ones too."""
        before = len(self.places)
        rows = np.array([self.places.setdefault(content, len(self.places)) for content in contents], dtype=np.intp)
        if len(self.places) > len(self.values):
            room = max(len(self.places), before + SPARE)
            values = np.full((room, room), np.nan)
            values[:before, :before] = self.values[:before, :before]
            self.values = values
        return rows

    @property
    def nbytes(self) -> int:
        """Memory that they take."""
        return self.values.nbytes + len(self.places) * (ENTRY_BYTES + len(next(iter(self.places))))


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
            self._arrays: OrderedDict[tuple[int, bytes], tuple[Any, int]] = OrderedDict()
            self._array_bytes = 0
            self._known: dict[int, list[KnownValues]] = {}
            self._pairs: dict[int, float] = {}

    def rows(self, key: Hashable | None, X: np.ndarray, compute: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """One row of values for each sample of X, shape (n_samples, n_values); not to be written to.

        Parameters
        ----------
        key : hashable or None
            The setting that the values belong to; None for no memory.
        X : ndarray of shape (n_samples, n_features)
        compute : callable
            Gives the rows of samples that are all different; called at most once, with those that are not known.
        """
        samples, positions = distinct(X)
        if key is None:
            return _repeated(compute(samples), positions)
        setting = self._setting((FOLD.get(), key))
        contents = [(setting, row.tobytes()) for row in samples]
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

        The values of K(X, X) are remembered, and those with samples that come later: the folds of a search find what
        they have in common, and test samples the support vectors of one estimator among those of another.

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
        others, columns = (None, rows) if Y is None else distinct(Y)
        contents = [row.tobytes() for row in samples]
        other_contents = contents if others is None else [row.tobytes() for row in others]
        setting = 0 if key is None else self._setting((FOLD.get(), key))
        with self._lock:
            known = self._known_values(setting, contents, other_contents)
            if known is not None:
                down, across = known.placed(contents), known.placed(other_contents)
                self._put((setting, known.name), known)
                K = known.values[np.ix_(down, across)]
        complete = known is not None and not np.isnan(K).any()
        if known is None:
            K = compute(samples, others)
        elif not complete:
            _complete(K, samples, others, compute)
        if others is not None:
            places = {content: i for i, content in enumerate(contents)}
            same = [(places[content], j) for j, content in enumerate(other_contents) if content in places]
            K[tuple(np.array(same, dtype=np.intp).reshape(-1, 2).T)] = 1.0
        with self._lock:
            if known is not None and not complete:
                known.values[np.ix_(down, across)] = K
                known.values[np.ix_(across, down)] = K.T
            elif known is None and key is not None and others is None and self._has_room(len(K), contents[0]):
                known = KnownValues(b"%d" % next(self._numbers), contents, K.copy())
                self._known.setdefault(setting, []).append(known)
                self._put((setting, known.name), known)
        return K if K.shape == (len(rows), len(columns)) else K[np.ix_(rows, columns)]

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

    def _known_values(self, setting: int, contents: list[bytes], others: list[bytes]) -> KnownValues | None:
        """Values of which some of these samples are rows already, if there is room for the rest."""
        for known in reversed(self._known.get(setting, ())):
            if known.shares(contents) or known.shares(others):
                together = {*known.places, *contents, *others}
                return known if self._has_room(len(together), contents[0]) else None
        return None

    def _has_room(self, n_samples: int, content: bytes) -> bool:
        return 2 * n_samples * (8 * n_samples + ENTRY_BYTES + len(content)) <= self.max_bytes

    def _get(self, content: tuple[int, bytes]) -> np.ndarray | None:
        if content not in self._arrays:
            return None
        self._arrays.move_to_end(content)
        return self._arrays[content][0]

    def _put(self, content: tuple[int, bytes], array: np.ndarray | KnownValues) -> None:
        self._array_bytes -= self._arrays.pop(content, (None, 0))[1]
        n_bytes = array.nbytes + len(content[1]) + ENTRY_BYTES
        self._arrays[content] = array, n_bytes
        self._array_bytes += n_bytes
        while 4 * self._array_bytes > 3 * self.max_bytes and self._arrays:
            (setting, _), (forgotten, n_bytes) = self._arrays.popitem(last=False)
            self._array_bytes -= n_bytes
            if isinstance(forgotten, KnownValues):
                self._known[setting].remove(forgotten)


def distinct(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The samples of X, each once in the order of their coming, and where each row of X is among them."""
    X = X + 0.0  # −0 becomes 0
    places: dict[bytes, int] = {}
    positions = np.array([places.setdefault(row.tobytes(), len(places)) for row in X], dtype=np.intp)
    return (X, positions) if len(places) == len(X) else (X[np.unique(positions, return_index=True)[1]], positions)


def _complete(
    K: np.ndarray,
    samples: np.ndarray,
    others: np.ndarray | None,
    compute: Callable[[np.ndarray, np.ndarray | None], np.ndarray],
) -> None:
    """Fill in what is NaN, block by block: the rows that lack the same columns together."""
    for left in range(MAX_BLOCKS, 0, -1):
        unknown = np.isnan(K)
        incomplete = unknown.any(axis=1)
        if not incomplete.any():
            return
        rows, columns = incomplete, unknown.any(axis=0)
        if left > 1:
            columns = unknown[incomplete.argmax()]
            rows = (unknown == columns).all(axis=1)
        if others is None:
            inside = rows & columns  # all of the rows, or none
            if inside.any():
                K[np.ix_(rows, rows)] = compute(samples[rows], None)
                columns = columns & ~rows
            if columns.any():
                K[np.ix_(rows, columns)] = block = compute(samples[rows], samples[columns])
                K[np.ix_(columns, rows)] = block.T
        else:
            K[np.ix_(rows, columns)] = compute(samples[rows], others[columns])


def _repeated(rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
    return rows if len(rows) == len(positions) else rows[positions]
