"""A small memory of results keyed by content, so that a grid over C does not prepare the same states again."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np

Arrays = tuple[np.ndarray, ...]


class ArrayCache:
    """The most recently used results, bounded by the memory they take; safe to share between threads.

    Parameters
    ----------
    max_bytes : int
        Results are forgotten, least recently used first, once all together take more. One that is larger by itself is
        never kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._entries: OrderedDict[Hashable, Arrays] = OrderedDict()
        self._n_bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable | None, compute: Callable[[], Arrays]) -> Arrays:
        """Arrays kept under the key, else those that ``compute`` returns, which are then kept and made read-only.

        With key None nothing is kept. Two threads that ask for the same at once may both compute it.
        """
        if key is None:
            return compute()
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        arrays = compute()
        for array in arrays:
            array.flags.writeable = False
        size = _size(arrays)
        if size <= self.max_bytes:
            with self._lock:
                self._n_bytes += size - _size(self._entries.pop(key, ()))
                self._entries[key] = arrays
                while self._n_bytes > self.max_bytes:
                    self._n_bytes -= _size(self._entries.popitem(last=False)[1])
        return arrays

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._n_bytes = 0

    @property
    def n_bytes(self) -> int:
        """Memory taken by what is kept."""
        return self._n_bytes

    def __len__(self) -> int:
        return len(self._entries)


def fingerprint(array: np.ndarray) -> tuple[tuple[int, ...], bytes]:
    """Key of an array by content: its shape and a cryptographic digest of its bytes."""
    return array.shape, hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).digest()


def _size(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays)
