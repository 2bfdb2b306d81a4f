"""Whether the geometry of a generated cell is that of a crystal: volume, and distances between its atoms.

References
----------
T. Xie et al., ICLR (2022), arXiv:2110.06197: 0.5 Å between any two atoms, 0.1 Å³ an atom.

B. Cordero et al., Dalton Trans. 2832 (2008), doi:10.1039/b801115j: covalent radii.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from pymatgen.core import Lattice, Structure
from pymatgen.core.molecule_structure_comparator import CovalentRadius

from qperov.generative.bench.verdict import Verdict

#: Least distance between two atoms, Å.
LEAST_DISTANCE = 0.5
#: Least distance as a share of the sum of the two covalent radii.
COVALENT_SHARE = 0.7
#: Least volume, Å³ an atom.
LEAST_VOLUME = 0.1
#: Longest vector of the reduced cell in cube roots of the volume, above which cells are not compared: the lattice
#: points to search grow with its cube.
GREATEST_ELONGATION = 10.0

_STEPS = np.array([step for step in product((-1, 0, 1), repeat=3) if any(step)])


@dataclass(frozen=True)
class Contacts:
    """The closest atoms of a cell, periodic images included.

    Attributes
    ----------
    distance : float
        Least distance, Å.
    pair : str
        The two elements at that distance.
    covalent_share : float
        Least ratio of a distance to the sum of the covalent radii; NaN if an element has none.
    covalent_pair : str
        The two elements with that ratio.
    """

    distance: float
    pair: str
    covalent_share: float
    covalent_pair: str


def volume_verdict(structure: Structure) -> Verdict:
    """At least 0.1 Å³ an atom, in a cell whose numbers are finite; the value is the volume in Å³ an atom."""
    if len(structure) == 0:
        return Verdict(False, "no atoms")
    matrix = structure.lattice.matrix
    if not (np.isfinite(matrix).all() and np.isfinite(structure.frac_coords).all()):
        return Verdict(False, "a lattice vector or a position is not a finite number")
    volume = abs(float(np.linalg.det(matrix))) / len(structure)
    reason = "" if volume >= LEAST_VOLUME else f"{volume:.3g} Å³ an atom, under {LEAST_VOLUME:g}"
    return Verdict(not reason, reason, volume)


def closest_contacts(structure: Structure) -> Contacts:
    """Least distance, and least distance by covalent radii, between atoms of a cell and of its images.

    Where species share a site, the smallest of their radii counts.
    """
    distances = np.array(structure.distance_matrix)
    np.fill_diagonal(distances, _shortest_translation(structure.lattice))
    radii = np.array([min(covalent_radius(kind.symbol) for kind in site.species) for site in structure])
    shares = distances / (radii[:, None] + radii[None])
    return Contacts(
        float(distances.min()),
        _names(structure, distances),
        float("nan") if np.isnan(shares).any() else float(shares.min()),
        _names(structure, shares),
    )


def distance_verdict(contacts: Contacts) -> Verdict:
    """No two atoms closer than 0.5 Å; the value is the least distance in Å."""
    close = contacts.distance < LEAST_DISTANCE
    reason = f"{contacts.pair} {contacts.distance:.3f} Å apart, under {LEAST_DISTANCE:g}" if close else ""
    return Verdict(not close, reason, contacts.distance)


def covalent_verdict(contacts: Contacts) -> Verdict:
    """No distance under 0.7 of the sum of the covalent radii; the value is the least such ratio."""
    share = contacts.covalent_share
    if np.isnan(share):
        return Verdict(False, "an element without a covalent radius")
    close = share < COVALENT_SHARE
    reason = f"{contacts.covalent_pair} at {share:.2f} of the covalent radii, under {COVALENT_SHARE:g}" if close else ""
    return Verdict(not close, reason, share)


def elongation(structure: Structure) -> float:
    """Longest vector of the reduced cell by the cube root of the cell's volume; 1 for a cube."""
    reduced = structure.lattice.get_lll_reduced_lattice()
    return float(max(reduced.abc) / reduced.volume ** (1 / 3))


@cache
def covalent_radius(symbol: str) -> float:
    """Covalent radius of Cordero et al., Å; NaN beyond curium."""
    return float(CovalentRadius.radius.get(symbol, np.nan))


def _shortest_translation(lattice: Lattice) -> float:
    reduced = lattice.get_lll_reduced_lattice().matrix
    return float(np.linalg.norm(_STEPS @ reduced, axis=1).min())


def _names(structure: Structure, values: np.ndarray) -> str:
    if np.isnan(values).any():
        return ""
    first, second = np.unravel_index(int(values.argmin()), values.shape)
    return "–".join(sorted((structure[int(first)].species_string, structure[int(second)].species_string)))
