"""Which pairs of samples a kernel matrix needs, and the matrix from their values.

Samples of a rectangular matrix are those of the rows followed by those of the columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pairs:
    """Pairs of samples.

    Attributes
    ----------
    form : "full", "rectangular", "nystroem" or "pairs"
        K(X, X); K(X, Y); K(X, landmarks) with landmarks among the rows of X; or just a list.
    shape : pair of int
        Of the matrix; (n_pairs, 1) for a list.
    first, second : ndarray of int, shape (n_pairs,)
    landmarks : ndarray of int, shape (n_landmarks,)
        Rows of X; empty but for "nystroem".
    """

    form: str
    shape: tuple[int, int]
    first: np.ndarray
    second: np.ndarray
    landmarks: np.ndarray

    def matrix(self, values: np.ndarray) -> np.ndarray:
        """The matrix of values, one a pair; NaN where there is none. A diagonal that was not measured is 1."""
        K = np.full(self.shape, np.nan)
        if self.form == "pairs":
            K[:, 0] = values
        elif self.form == "rectangular":
            K[self.first, self.second - self.shape[0]] = values
        elif self.form == "full":
            np.fill_diagonal(K, 1.0)
            K[self.first, self.second] = K[self.second, self.first] = values
        else:
            place = np.full(self.shape[0], -1)
            place[self.landmarks] = np.arange(len(self.landmarks))
            K[self.landmarks, np.arange(len(self.landmarks))] = 1.0
            K[self.first, place[self.second]] = values
            mutual = place[self.first] >= 0
            K[self.second[mutual], place[self.first[mutual]]] = values[mutual]
        return K


def full(n_samples: int, diagonal: bool = False) -> Pairs:
    """Each pair of K(X, X) once; with ``diagonal`` also each sample with itself, which shows the noise of a backend."""
    first, second = np.triu_indices(n_samples, 0 if diagonal else 1)
    return Pairs("full", (n_samples, n_samples), first, second, np.empty(0, int))


def rectangular(n_rows: int, n_columns: int) -> Pairs:
    """All pairs of K(X, Y)."""
    first, second = np.divmod(np.arange(n_rows * n_columns), n_columns)
    return Pairs("rectangular", (n_rows, n_columns), first, second + n_rows, np.empty(0, int))


def nystroem(n_samples: int, landmarks: np.ndarray, diagonal: bool = False) -> Pairs:
    """Pairs of all samples with some of them, each once.

    Raises
    ------
    ValueError
        A landmark that is named twice or is no row.
    """
    landmarks = np.asarray(landmarks, dtype=int)
    if len(set(landmarks.tolist())) != len(landmarks) or len(landmarks) == 0:
        raise ValueError("landmarks must be different rows, at least one")
    if landmarks.min() < 0 or landmarks.max() >= n_samples:
        raise ValueError(f"landmarks must be rows from 0 to {n_samples - 1}")
    pairs = []
    place = {int(row): number for number, row in enumerate(landmarks)}
    for number, landmark in enumerate(landmarks.tolist()):
        for row in range(n_samples):
            earlier = place.get(row, number + 1) < number
            if not earlier and (row != landmark or diagonal):
                pairs.append((row, landmark))
    found = np.array(pairs, dtype=int).reshape(-1, 2)
    return Pairs("nystroem", (n_samples, len(landmarks)), found[:, 0], found[:, 1], landmarks)


def pair_list(n_pairs: int) -> Pairs:
    """Pairs in a list: row i of one set of samples with row i of another, which follows it."""
    first = np.arange(n_pairs)
    return Pairs("pairs", (n_pairs, 1), first, first + n_pairs, np.empty(0, int))
