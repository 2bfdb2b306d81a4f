"""Voxel images of many crystals, kept as their few points that are not empty."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from qperov.errors import RepresentationError
from qperov.generative.representations.voxels import Voxels

#: Crystals whose full images are in memory at once.
CHUNK = 32


@dataclass(frozen=True, eq=False)
class SparseImages:
    """Images of side³ points, almost all of them 0.

    Attributes
    ----------
    side : int
    starts : ndarray of int, shape (n + 1,)
        Image k has the points ``starts[k]`` to ``starts[k + 1]``.
    places : ndarray of int, shape (points,)
        In the flat image.
    values : ndarray, shape (points,)
    """

    side: int
    starts: np.ndarray
    places: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, chunks: Iterable[np.ndarray], side: int) -> SparseImages:
        """Of chunks of full images, each of shape (n, side, side, side)."""
        counts, places, values = [np.zeros(1, np.int64)], [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
        for images in chunks:
            flat = images.reshape(len(images), -1)
            rows, columns = np.nonzero(flat)
            counts.append(np.bincount(rows, minlength=len(flat)))
            places.append(columns.astype(np.int32))
            values.append(flat[rows, columns].astype(np.float32))
        return cls(side, np.concatenate(counts).cumsum(), np.concatenate(places), np.concatenate(values))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def filled(self) -> np.ndarray:
        """Which images have any point, shape (n,)."""
        return np.diff(self.starts) > 0

    def full(self, rows: np.ndarray) -> np.ndarray:
        """Images as float32, shape (len(rows), 1, side, side, side)."""
        images = np.zeros((len(rows), self.side**3), np.float32)
        for image, row in zip(images, rows, strict=True):
            some = slice(self.starts[row], self.starts[row + 1])
            image[self.places[some]] = self.values[some]
        return images.reshape(len(rows), 1, self.side, self.side, self.side)

    def mean_and_deviation(self, rows: np.ndarray) -> tuple[np.ndarray, float]:
        """Mean image of shape (side, side, side), and root mean square of the deviations from it."""
        sums, squares = np.zeros(self.side**3), 0.0
        for row in rows:
            some = slice(self.starts[row], self.starts[row + 1])
            sums[self.places[some]] += self.values[some]
            squares += float((self.values[some].astype(float) ** 2).sum())
        mean = sums / len(rows)
        variance = squares / (len(rows) * mean.size) - float(np.mean(mean**2))
        return mean.reshape((self.side,) * 3).astype(np.float32), float(np.sqrt(max(variance, 0.0)))


@dataclass(frozen=True, eq=False)
class CrystalImages:
    """What `Voxels` makes of n crystals.

    Attributes
    ----------
    cell : SparseImages
        n of them.
    basis : SparseImages
        n · slots of them: those of crystal i are i · slots to (i + 1) · slots − 1. A slot without an element is empty.
    elements : ndarray, shape (n, slots, species)
        One-hot.
    """

    cell: SparseImages
    basis: SparseImages
    elements: np.ndarray

    @classmethod
    def of(cls, voxels: Voxels, structures: Sequence[Structure]) -> CrystalImages:
        """Of crystals, `CHUNK` of them at a time; raises as `Voxels.encode`."""
        found: list[CrystalImages] = []
        reasons: dict[int, str] = {}
        for start in range(0, max(1, len(structures)), CHUNK):
            try:
                found.append(cls.of_arrays(voxels, voxels.encode(structures[start : start + CHUNK])))
            except RepresentationError as error:
                reasons |= {start + row: reason for row, reason in error.reasons.items()}
        if reasons:
            raise RepresentationError(reasons, len(structures))
        return cls(
            _joined([one.cell for one in found]),
            _joined([one.basis for one in found]),
            np.concatenate([one.elements for one in found]),
        )

    @classmethod
    def of_arrays(cls, voxels: Voxels, arrays: np.ndarray) -> CrystalImages:
        """Of the flat arrays of a chunk."""
        parts = voxels.parts(arrays)
        basis = parts.basis.reshape(-1, *(voxels.grid,) * 3)
        return cls(
            SparseImages.of([parts.cell], voxels.cell_grid),
            SparseImages.of([basis], voxels.grid),
            parts.elements.astype(np.float32),
        )

    def __len__(self) -> int:
        return len(self.elements)

    def filled_slots(self, rows: np.ndarray) -> np.ndarray:
        """Which images of ``basis`` some crystals have, without the empty ones."""
        slots = self.elements.shape[1]
        own = (rows[:, np.newaxis] * slots + np.arange(slots)).ravel()
        return own[self.basis.filled()[own]]


def _joined(chunks: list[SparseImages]) -> SparseImages:
    counts = np.concatenate([np.zeros(1, np.int64), *(np.diff(chunk.starts) for chunk in chunks)])
    places, values = (np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in ("places", "values"))
    return SparseImages(chunks[0].side, counts.cumsum(), places, values)
