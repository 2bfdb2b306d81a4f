"""Crystals of several systems (not to be changed in place), and how far one is from another in the same cell."""

from __future__ import annotations

from functools import cache

import numpy as np
from development_data import SHARED
from perovskites import perovskite
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifParser
from scipy.optimize import linear_sum_assignment


@cache
def rock_salt() -> Structure:
    """NaCl, eight atoms."""
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)])


@cache
def calcium_titanate() -> Structure:
    """CaTiO₃, Pnma, 20 atoms."""
    sites = [(0.0350, 0.25, 0.9935), (0.5, 0, 0), (0.4840, 0.25, 0.0710), (0.2880, 0.0370, 0.7110)]
    return Structure.from_spacegroup("Pnma", Lattice.orthorhombic(5.442, 7.640, 5.380), ["Ca", "Ti", "O", "O"], sites)


@cache
def zinc_oxide() -> Structure:
    """ZnO, wurtzite, four atoms of a hexagonal cell."""
    sites = [(1 / 3, 2 / 3, 0), (1 / 3, 2 / 3, 0.382)]
    return Structure.from_spacegroup("P6_3mc", Lattice.hexagonal(3.250, 5.207), ["Zn", "O"], sites)


def triclinic() -> Structure:
    """KNbO₃ in a cell and at places without any symmetry."""
    sites = [(0.11, 0.03, 0.96), (0.55, 0.48, 0.57), (0.31, 0.72, 0.40), (0.83, 0.30, 0.42), (0.52, 0.21, 0.81)]
    return Structure(Lattice.from_parameters(4.9, 5.9, 7.1, 78, 103, 95.5), ["K", "Nb", "O", "O", "O"], sites)


def examples() -> dict[str, Structure]:
    return {
        "CsPbBr3": perovskite(),
        "NaCl": rock_salt(),
        "CaTiO3": calcium_titanate(),
        "ZnO": zinc_oxide(),
        "KNbO3": triclinic(),
    }


def published_crystals() -> list[Structure]:
    """The four crystals that TL-VAE found."""
    return [CifParser(path).parse_structures(primitive=False)[0] for path in sorted((SHARED / "cifs").glob("*.cif"))]


def differences(true: Structure, found: Structure) -> tuple[float, float, float]:
    """Largest differences of edges (Å), angles (degrees) and fractional coordinates, sites matched by element."""
    assert sorted(symbols(true)) == sorted(symbols(found))
    apart = found.frac_coords[None] - true.frac_coords[:, None]
    coordinates = np.abs(apart - np.round(apart)).max(axis=-1)
    unlike = np.array(symbols(true))[:, None] != np.array(symbols(found))
    rows, columns = linear_sum_assignment(coordinates + unlike)
    edges = np.abs(np.array(true.lattice.abc) - found.lattice.abc).max()
    angles = np.abs(np.array(true.lattice.angles) - found.lattice.angles).max()
    return float(edges), float(angles), float((coordinates + unlike)[rows, columns].max())


def symbols(structure: Structure) -> list[str]:
    return [site.specie.symbol for site in structure]


def shuffled(structure: Structure, seed: int) -> Structure:
    """The same crystal with its sites in another order."""
    order = np.random.default_rng(seed).permutation(len(structure))
    return Structure.from_sites([structure[int(i)] for i in order])


def moved_by_cells(structure: Structure, seed: int) -> Structure:
    """The same crystal with sites listed in other cells."""
    cells = np.random.default_rng(seed).integers(-3, 4, size=(len(structure), 3))
    return Structure(structure.lattice, structure.species, structure.frac_coords + cells)


def rotated(structure: Structure, seed: int) -> Structure:
    """The same crystal turned in space."""
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    return Structure(Lattice(structure.lattice.matrix @ rotation), structure.species, structure.frac_coords)


def random_crystal(seed: int, n_sites: int = 6, species: tuple[str, ...] = ("Sr", "Ti", "O")) -> Structure:
    """A crystal of random cell, atoms at least 2 Å apart."""
    rng = np.random.default_rng(seed)
    lattice = Lattice.from_parameters(*rng.uniform(5, 8, 3), *rng.uniform(65, 115, 3))
    positions = rng.random((1, 3))
    while len(positions) < n_sites:
        candidate = rng.random(3)
        if lattice.get_all_distances(candidate, positions).min() > 2:
            positions = np.vstack([positions, candidate])
    return Structure(lattice, rng.choice(species, n_sites).tolist(), positions)
