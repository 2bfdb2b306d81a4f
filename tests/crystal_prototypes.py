"""Crystals whose structure is known, and other descriptions of the same crystal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pymatgen.core import Lattice, Structure
from pymatgen.core.operations import SymmOp


def rock_salt(a: float = 5.64, species: tuple[str, str] = ("Na", "Cl")) -> Structure:
    """NaCl, eight atoms."""
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), species, [[0, 0, 0], [0.5, 0.5, 0.5]])


def zinc_blende(a: float = 5.41, species: tuple[str, str] = ("Zn", "S")) -> Structure:
    """ZnS, eight atoms."""
    return Structure.from_spacegroup("F-43m", Lattice.cubic(a), species, [[0, 0, 0], [0.25, 0.25, 0.25]])


def caesium_chloride(a: float = 3.4, species: tuple[str, str] = ("Na", "Cl")) -> Structure:
    """The CsCl type, two atoms."""
    return Structure(Lattice.cubic(a), species, [[0, 0, 0], [0.5, 0.5, 0.5]])


def cubic_perovskite(species: Sequence[str] = ("Ca", "Ti", "O"), a: float = 3.9) -> Structure:
    """ABX₃, five atoms."""
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return Structure(Lattice.cubic(a), [species[0], species[1], *3 * [species[2]]], places)


def ilmenite() -> Structure:
    """FeTiO₃: octahedra that share edges (and faces, between Fe and Ti)."""
    return Structure.from_spacegroup(
        "R-3",
        Lattice.hexagonal(5.088, 14.08),
        ["Fe", "Ti", "O"],
        [[0, 0, 0.3553], [0, 0, 0.1465], [0.3174, 0.0233, 0.2452]],
    )


def face_sharing() -> Structure:
    """BaNiO₃, hexagonal: chains of octahedra that share faces."""
    return Structure.from_spacegroup(
        "P6_3/mmc",
        Lattice.hexagonal(5.58, 4.832),
        ["Ba", "Ni", "O"],
        [[1 / 3, 2 / 3, 0.75], [0, 0, 0], [0.1462, 0.2924, 0.25]],
    )


def trigonal_prisms() -> Structure:
    """BaNiO₃ with all layers of O turned alike: Ni in trigonal prisms."""
    triangle = [(0.1462, 0.2924), (0.1462, -0.1462), (-0.2924, -0.1462)]
    places = [(1 / 3, 2 / 3, 0.25), (2 / 3, 1 / 3, 0.75), (0, 0, 0), (0, 0, 0.5)]
    places += [(x, y, z) for z in (0.25, 0.75) for x, y in triangle]
    return Structure(Lattice.hexagonal(5.58, 4.832), ["Ba", "Ba", "Ni", "Ni", *6 * ["O"]], places)


def redescribed(structure: Structure, seed: int = 0) -> Structure:
    """The same crystal in a supercell, turned, with the origin moved and the sites shuffled."""
    rng = np.random.default_rng(seed)
    other = structure.copy()
    other.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    other.translate_sites(range(len(other)), rng.random(3))
    other.apply_operation(SymmOp.from_axis_angle_and_translation(rng.normal(size=3), float(rng.uniform(0, 360))))
    return Structure.from_sites([other[int(i)] for i in rng.permutation(len(other))])
