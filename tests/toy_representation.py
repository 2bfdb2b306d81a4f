"""A representation of ABX₃ cells with 32 numbers, and crystals for it with a property that a network can learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.core import Lattice, Structure

from qperov.errors import EmptyDatasetError, RepresentationError

SPECIES = ("Rb", "Cs", "Sn", "Pb", "Br", "I")
POSITIONS = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
LONGEST = 10.0


@dataclass(frozen=True)
class ToyCells:
    """Rows 0 – 5: one-hot elements of A, B and X in columns 0 – 2. Row 6: a, b, c / 10 Å. All else is zero."""

    image: bool = False

    @property
    def species(self) -> tuple[str, ...]:
        return SPECIES

    @property
    def shape(self) -> tuple[int, ...]:
        return (8, 4, 1) if self.image else (8, 4)

    @property
    def blocks(self) -> Mapping[str, tuple[slice, ...]]:
        channels = (slice(0, 1),) if self.image else ()
        return {
            "elements": (slice(0, 6), slice(0, 3), *channels),
            "lengths": (slice(6, 7), slice(0, 3), *channels),
        }

    @property
    def choices(self) -> Mapping[str, tuple[int, ...]]:
        return {"elements": (0,)}

    def encode(self, structures: Sequence[Structure]) -> np.ndarray:
        if not len(structures):
            raise EmptyDatasetError("there are no crystals to represent")
        arrays = np.zeros((len(structures), 8, 4), np.float32)
        for row, crystal in enumerate(structures):
            symbols = [site.specie.symbol for site in crystal]
            if len(crystal) != 5 or not set(symbols) <= set(SPECIES):
                raise RepresentationError({row: f"{crystal.formula} is no cell of ABX₃"}, len(structures))
            for slot in range(3):
                arrays[row, SPECIES.index(symbols[slot]), slot] = 1
            arrays[row, 6, :3] = np.array(crystal.lattice.abc) / LONGEST
        return arrays.reshape(-1, *self.shape)

    def decode(self, arrays: ArrayLike) -> list[Structure | None]:
        return [self._crystal(array) for array in np.reshape(arrays, (-1, 8, 4))]

    def _crystal(self, array: np.ndarray) -> Structure | None:
        if not (np.isfinite(array).all() and array[6, :3].min() > 0.1):
            return None
        a, b, x = (SPECIES[k] for k in array[:6, :3].argmax(axis=0))
        return Structure(Lattice.orthorhombic(*(array[6, :3] * LONGEST)), [a, b, x, x, x], POSITIONS)


def toy_crystals(n: int, seed: int = 0) -> tuple[list[Structure], np.ndarray]:
    """Crystals, and a property that follows from elements and volume, from −2.5 to −0.5."""
    rng = np.random.default_rng(seed)
    crystals, labels = [], []
    for _ in range(n):
        a, b, x = rng.integers(2, size=3)
        edges = 5.5 + 0.1 * a + 0.2 * b + 0.5 * x + rng.uniform(-0.3, 0.3, 3)
        symbols = [SPECIES[a], SPECIES[2 + b], *[SPECIES[4 + x]] * 3]
        crystals.append(Structure(Lattice.orthorhombic(*edges), symbols, POSITIONS))
        labels.append(-2 - 0.2 * a + 0.3 * b + 0.6 * x + 0.5 * (edges.mean() - 6))
    return crystals, np.array(labels)
