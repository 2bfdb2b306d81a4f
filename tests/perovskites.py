"""Cubic ABX₃ cells, their decorations, and images of them under symmetry written out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pymatgen.core import Lattice, Structure


def perovskite(shape: tuple[int, int, int] = (1, 1, 1), edge: float = 6.0) -> Structure:
    """CsPbBr₃ repeated ``shape`` times."""
    positions = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return Structure(Lattice.cubic(edge), ["Cs", "Pb", "Br", "Br", "Br"], positions) * shape


def halide_sites(structure: Structure) -> np.ndarray:
    """Indices of the X sites."""
    return np.flatnonzero([site.species_string in ("Br", "I") for site in structure])


def with_iodine(parent: Structure, sites: Sequence[int] | np.ndarray) -> Structure:
    """``parent`` with I on ``sites``."""
    structure = parent.copy()
    for site in sites:
        structure[int(site)] = "I"
    return structure


def random_decoration(parent: Structure, count: int, rng: np.random.Generator) -> Structure:
    """``parent`` with I on ``count`` X sites taken at random."""
    return with_iodine(parent, rng.choice(halide_sites(parent), size=count, replace=False))


def symmetry_image(structure: Structure, shape: tuple[int, int, int], rng: np.random.Generator) -> Structure:
    """A random image of a decorated ``shape`` cell, on the same sites, listed in random order.

    The operations are mirrors of the three axes, exchanges of axes that are repeated equally often, and
    translations by the vectors of the small cubic cell.
    """
    repeats = np.array(shape)
    axes = np.arange(3)
    for many in set(shape):
        equal = np.flatnonzero(repeats == many)
        axes[equal] = rng.permutation(equal)
    positions = structure.frac_coords[:, axes] * rng.choice([-1, 1], size=3) + rng.integers(0, repeats) / repeats
    order = rng.permutation(len(structure))
    # whole cells are added, because files may list a site outside the cell
    positions = np.mod(positions + 1e-9, 1.0) - 1e-9 + rng.integers(-1, 2, size=positions.shape)
    return Structure(structure.lattice, [structure[int(i)].species for i in order], positions[order])
