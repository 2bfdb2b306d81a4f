"""iMatGen's images: atoms as Gaussians on a grid in real space, beside an image of the cell.

The flat array of a crystal holds three parts, which `Voxels.parts` takes out:

- ``cell``, 32³: one atom in the middle of the true cell, seen at the fractions i/32 of its axes;
- ``basis``, 64³ for each element: the atoms of one cell in a cube of 15 Å. The middle of the cell, the point 7/16 along
  all its axes, lies in the middle of the cube; a lies in the cube's xz plane and c along z (pymatgen's
  ``Lattice.from_parameters``). Elements are in the order of `canonical_cells`;
- ``elements``: a one-hot vector for each of these.

All Gaussians have σ = 0.26 Å and height 1, and end at 0.02. How they are turned back is said in `voxel_cell`
and `voxel_peaks`.

**What differs from the published images.** They put the mean of the atoms into the middle of the cube, so that the
origin of the crystal is lost, and the image depends on which of its equal atoms were listed. Elements are told apart by
channel alone (V, O), which does for one chemical system. Atoms are placed at the nearest grid point, up to 0.12 Å off
along each axis, and the lattice is taken from single points; here both are fitted.

**What fits.** Edges and the shorter diagonals of faces up to 23.3 Å in a cell image of 32³ (two equal edges at right
angles: 16.4 Å); atoms within 6.77 Å of the middle of the cube along its axes; atoms of one element at least 0.8 Å apart
(64³) or 1.4 Å (32³), less where the grid happens to favour them. Without noise the lattice comes back to 1e-5 Å, and so
do atoms whose Gaussians do not overlap; others to 0.05 Å. ``Voxels(grid=32)`` is meant for computers without an
accelerator: three elements take 0.5 MB a crystal, at 64³ 3.3 MB.

J. Noh et al., Matter 1, 1370 (2019), doi:10.1016/j.matt.2019.08.017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.core import Structure

from qperov.generative.representations.canonical_cells import (
    ORIGIN,
    CanonicalCell,
    canonicalise,
    crystal,
    physical_lattice,
)
from qperov.generative.representations.element_properties import ELEMENTS
from qperov.generative.representations.representation import Block, checked_arrays
from qperov.generative.representations.voxel_cell import cell_fault, cell_image, lattice_of_image
from qperov.generative.representations.voxel_peaks import REACH, SIGMA, PeakGrid

#: Fraction of each axis that lies in the middle of the cube.
MIDDLE = 0.5 + ORIGIN


class VoxelParts(NamedTuple):
    """Images of n crystals.

    Attributes
    ----------
    cell : ndarray, shape (n, 32, 32, 32)
    basis : ndarray, shape (n, n_elements, 64, 64, 64)
    elements : ndarray, shape (n, n_elements, n_species)
    """

    cell: np.ndarray
    basis: np.ndarray
    elements: np.ndarray


@dataclass(frozen=True)
class Voxels:
    """Images of the cell and of its atoms, laid out as this module's introduction says.

    Parameters
    ----------
    grid : int
        Points along an edge of the cube: 64 as published, or 32.
    max_elements : int
        Of one crystal; each takes an image.
    species : tuple of str
        Elements that it can hold.
    box : float
        Edge of the cube, Å.
    cell_grid : int
        Points along an axis of the cell image; even.
    least_height : float
        On the way back, peaks fitted to no more than this are no atoms.
    """

    grid: int = 64
    max_elements: int = 3
    species: tuple[str, ...] = ELEMENTS
    box: float = 15.0
    cell_grid: int = 32
    least_height: float = 0.5

    def __post_init__(self) -> None:
        if self.max_elements < 1 or not self.species:
            raise ValueError("max_elements must be at least 1, and there must be species")
        if self.cell_grid < 4 or self.cell_grid % 2:
            raise ValueError(f"cell_grid must be even, and 4 at least, not {self.cell_grid}")
        if not self.box > 2 * REACH:
            raise ValueError(f"box must be larger than one atom, {2 * REACH:.2f} Å")
        if self.box > 2 * SIGMA * self.grid:
            raise ValueError(
                f"{self.grid} points over {self.box:g} Å are more than 2σ = {2 * SIGMA:g} Å apart, and atoms get lost "
                f"between them; grid must be {int(np.ceil(self.box / (2 * SIGMA)))} at least"
            )

    @property
    def shape(self) -> tuple[int]:
        return (self.blocks["elements"][0].stop,)

    @property
    def blocks(self) -> Mapping[str, Block]:
        """``cell``, ``basis`` and ``elements``, each flat."""
        basis = self.cell_grid**3 + self.max_elements * self.grid**3
        return {
            "cell": (slice(0, self.cell_grid**3),),
            "basis": (slice(self.cell_grid**3, basis),),
            "elements": (slice(basis, basis + self.max_elements * len(self.species)),),
        }

    @property
    def choices(self) -> Mapping[str, tuple[int, ...]]:
        """None in the flat array; the element of an image is one along the last axis of `VoxelParts.elements`."""
        return {}

    def parts(self, arrays: np.ndarray) -> VoxelParts:
        """Views of flat arrays of shape (n, …) as images."""
        n, side = len(arrays), self.cell_grid
        cell, basis, elements = (arrays[:, *block] for block in self.blocks.values())
        return VoxelParts(
            cell.reshape(n, side, side, side),
            basis.reshape(n, self.max_elements, self.grid, self.grid, self.grid),
            elements.reshape(n, self.max_elements, len(self.species)),
        )

    def joined(self, parts: VoxelParts) -> np.ndarray:
        """Flat arrays of images, shape (n, …): the way back from `parts`."""
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)

    def encode(self, structures: Sequence[Structure]) -> np.ndarray:
        """Flat arrays of crystals, float32, shape (n, 32³ + max_elements (64³ + n_species)).

        Raises
        ------
        EmptyDatasetError
            There is none.
        RepresentationError
            Some have too many elements or one not in ``species``, shared sites, atoms beyond the cube or too close
            together to be told apart, or a cell that its image does not determine: larger than about 23 Å at 32³.
        """
        cells = canonicalise(structures, self._fault)
        arrays = np.zeros((len(cells), *self.shape), np.float32)
        parts = self.parts(arrays)
        place = {symbol: index for index, symbol in enumerate(self.species)}
        for row, cell in enumerate(cells):
            parts.cell[row] = cell_image(cell.lattice, self.cell_grid)
            for slot, symbol in enumerate(cell.elements):
                parts.basis[row, slot] = self._peaks.image(self._places(cell)[cell.slots == slot])
                parts.elements[row, slot, place[symbol]] = 1
        return arrays

    def decode(self, arrays: ArrayLike) -> list[Structure | None]:
        """Crystals of flat arrays of shape (n, …).

        The element of an image is the greatest entry of its vector. ``None`` where no image has an atom or one that
        does has no element, where an entry is not finite, or where the cell image determines no cell.
        """
        parts = self.parts(checked_arrays(arrays, self.shape))
        return [self._crystal(*one) for one in zip(*parts, strict=True)]

    @property
    def _peaks(self) -> PeakGrid:
        return PeakGrid(self.grid, self.box)

    def _places(self, cell: CanonicalCell) -> np.ndarray:
        """Sites in the cube, Å, shape (n_sites, 3)."""
        return (cell.positions - MIDDLE) @ cell.lattice + self.box / 2

    def _fault(self, cell: CanonicalCell) -> str | None:
        reason = cell.fault(self.species, self.max_elements) or cell_fault(cell.lattice, self.cell_grid)
        if reason is not None:
            return reason
        places = self._places(cell)
        faults = (self._peaks.fault(places[cell.slots == slot]) for slot in range(len(cell.elements)))
        reason = next((fault for fault in faults if fault is not None), None)
        return reason and f"{reason}; take a larger box or a finer grid"

    def _crystal(self, cell: np.ndarray, basis: np.ndarray, elements: np.ndarray) -> Structure | None:
        if not all(np.isfinite(part).all() for part in (cell, basis, elements)):
            return None
        parameters = lattice_of_image(cell)
        lattice = None if parameters is None else physical_lattice(*parameters)
        if lattice is None:
            return None
        offsets, symbols = [], []
        for image, vector in zip(basis, elements, strict=True):
            places = self._peaks.places(image, self.least_height)
            if len(places) and not vector.max() > 0:
                return None
            offsets.append(places - self.box / 2)
            symbols += [self.species[vector.argmax()]] * len(places)
        return crystal(lattice, symbols, np.concatenate(offsets) @ np.linalg.inv(lattice.matrix) + MIDDLE)
