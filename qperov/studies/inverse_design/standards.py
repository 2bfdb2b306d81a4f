"""The three perovskites that TL-VAE held its crystals against, and how far a crystal is from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import lcm

import numpy as np
from pymatgen.core import Lattice, Structure
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from qperov.errors import CompositionError, DescriptorError

#: Neighbours of each site (first role) in each role (second) that are compared: the shells of the cubic perovskite.
SHELLS = {
    ("A", "A"): 6,
    ("A", "B"): 8,
    ("A", "X"): 12,
    ("B", "A"): 8,
    ("B", "B"): 6,
    ("B", "X"): 6,
    ("X", "A"): 4,
    ("X", "B"): 2,
    ("X", "X"): 8,
}
ROLES = ("A", "B", "X")


@dataclass(frozen=True)
class Standard:
    """A perovskite with one octahedral tilt, from its cell and the angle of the tilt.

    Attributes
    ----------
    formula : str
    elements : tuple of str
        A, B, X.
    space_group : {"R-3c", "P4/mbm", "I4/mcm"}
        Glazer's a⁻a⁻a⁻, a⁰a⁰c⁺, a⁰a⁰c⁻.
    a, c : float
        Hexagonal or tetragonal axes, Å.
    tilt : float
        Degrees, about the threefold or fourfold axis.
    source : str
    """

    formula: str
    elements: tuple[str, str, str]
    space_group: str
    a: float
    c: float
    tilt: float
    source: str

    def structure(self) -> Structure:
        """The crystal: 30 atoms (R-3c), 10 (P4/mbm) or 20 (I4/mcm)."""
        a, b, x = self.elements
        turn = np.tan(np.radians(self.tilt))
        if self.space_group == "R-3c":
            lattice, sites = Lattice.hexagonal(self.a, self.c), [(a, (0.0, 0.0, 0.25)), (b, (0.0, 0.0, 0.0))]
            sites += [(x, (0.5 + turn / np.sqrt(12), 0.0, 0.25))]
        else:
            lattice = Lattice.tetragonal(self.a, self.c)
            u = (1 + turn) / 4
            doubled = self.space_group == "I4/mcm"
            apex = 0.25 if doubled else 0.5
            sites = [(a, (0.0, 0.5, apex)), (b, (0.0, 0.0, 0.0)), (x, (0.0, 0.0, apex)), (x, (u, u + 0.5, 0.0))]
        species, places = zip(*sites, strict=True)
        return Structure.from_spacegroup(self.space_group, lattice, species, places)


#: Cells to 0.01 Å and tilts to 0.5°, of the phases TL-VAE names; its own entries (ICSD 10333, 23563, 162919) are not
#: free to copy.
STANDARDS = (
    Standard(
        "NdAlO3",
        ("Nd", "Al", "O"),
        "R-3c",
        5.32,
        12.93,
        9.5,
        "C. J. Howard, B. J. Kennedy, B. C. Chakoumakos, J. Phys.: Condens. Matter 12, 349 (2000), room temperature",
    ),
    Standard(
        "NaNbO3",
        ("Na", "Nb", "O"),
        "P4/mbm",
        5.57,
        3.94,
        7.0,
        "A. M. Glazer, H. D. Megaw, Phil. Mag. 25, 1119 (1972), phase T2 at 600 °C",
    ),
    Standard(
        "CaTiO3",
        ("Ca", "Ti", "O"),
        "I4/mcm",
        5.50,
        7.78,
        5.0,
        "B. J. Kennedy, C. J. Howard, B. C. Chakoumakos, J. Phys.: Condens. Matter 11, 1479 (1999), 1523 K",
    ),
)


@dataclass(frozen=True)
class Likeness:
    """The standard that a crystal is nearest to.

    Attributes
    ----------
    standard : str
        Its formula.
    difference : float
        :func:`position_difference` from it, in pseudo-cubic edges.
    """

    standard: str
    difference: float


def position_difference(structure: Structure, other: Structure) -> float:
    """How differently the atoms of two ABX₃ crystals lie to each other, whatever their elements, cells and origins.

    TL-VAE compared "relative position differences in atomic coordinates" and did not define them. Coordinates depend
    on the cell that is chosen; distances do not. So: both crystals are scaled to a volume of 1 per ABX₃, the edge of
    the cubic cell; each site has its distances to the nearest sites of each role, as many as the cubic perovskite has
    in its first shells (`SHELLS`); sites of the same role are paired, the best way; and the difference is the root
    mean square of the differences of their distances, over all pairs. X is the element with three of five sites; A
    and B are taken both ways, and the smaller difference counts.

    Parameters
    ----------
    structure, other : Structure
        ABX₃, any number of formula units, ordered.

    Returns
    -------
    float
        In pseudo-cubic edges (about 4 Å for an oxide): 0 for the same arrangement, at most some hundredths between
        tilted perovskites, above 0.1 for anything else.

    Raises
    ------
    CompositionError
        Not ABX₃ of three elements.
    DescriptorError
        Sites that are shared by elements or partly empty.

    References
    ----------
    Sorted distances to neighbours as a crystal's fingerprint: D. Widdowson et al., MATCH 87, 529 (2022),
    doi:10.46793/match.87-3.529W.
    """
    roles = _roles(structure)
    one = _surroundings(structure, roles)
    return min(_apart(one, _surroundings(other, named)) for named in _both_ways(_roles(other)))


def nearest_standard(structure: Structure, standards: Sequence[Standard] = STANDARDS) -> Likeness:
    """The standard with the least :func:`position_difference`; raises as that."""
    found = [Likeness(s.formula, position_difference(structure, _built(s))) for s in standards]
    return min(found, key=lambda likeness: likeness.difference)


def resembles_standard(structure: Structure, tolerance: float = 0.1, standards: Sequence[Standard] = STANDARDS) -> bool:
    """TL-VAE's test before DFT: within a tolerance (pseudo-cubic edges) of a standard; no ABX₃ resembles none.

    The paper gives no tolerance; 0.1 is about 0.4 Å in an oxide.

    Raises
    ------
    DescriptorError
        Sites that are shared by elements or partly empty.
    """
    try:
        return nearest_standard(structure, standards).difference <= tolerance
    except CompositionError:
        return False


@cache
def _built(standard: Standard) -> Structure:
    return standard.structure()


def _roles(structure: Structure) -> np.ndarray:
    if not structure.is_ordered:
        raise DescriptorError("sites shared by elements or partly empty cannot be compared; order them first")
    symbols = [site.specie.symbol for site in structure]
    ranked = sorted(dict.fromkeys(symbols), key=symbols.count)
    if [5 * symbols.count(symbol) for symbol in ranked] != [len(symbols), len(symbols), 3 * len(symbols)]:
        raise CompositionError(f"{structure.composition.reduced_formula} is no ABX₃ of three elements")
    return np.array([ROLES[ranked.index(symbol)] for symbol in symbols])


def _both_ways(roles: np.ndarray) -> list[np.ndarray]:
    """Roles as they are, and with A and B exchanged."""
    return [roles, np.select([roles == "A", roles == "B"], ["B", "A"], roles)]


def _surroundings(structure: Structure, roles: np.ndarray) -> dict[str, np.ndarray]:
    """Scaled distances of the sites of each role, shape (sites, neighbours), sorted within each shell."""
    edge = (5 * structure.volume / len(structure)) ** (1 / 3)
    reach = 1.6 * edge
    while True:
        first, second, _, apart = structure.get_neighbor_list(reach)
        order = np.argsort(apart, kind="stable")
        first, second, apart = first[order], second[order], apart[order] / edge
        shells = [
            [apart[(first == i) & (roles[second] == near)][: SHELLS[role, near]] for near in ROLES]
            for i, role in enumerate(roles)
        ]
        if all(
            len(shell) == SHELLS[role, near]
            for role, row in zip(roles, shells, strict=True)
            for shell, near in zip(row, ROLES, strict=True)
        ):
            rows = [np.concatenate(row) for row in shells]
            return {
                role: np.array([row for row, its in zip(rows, roles, strict=True) if its == role]) for role in ROLES
            }
        reach *= 1.5


def _apart(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> float:
    total, count = 0.0, 0
    for role, sites in zip(ROLES, (1, 1, 3), strict=True):
        rows, others = one[role], two[role]
        copies = lcm(len(rows), len(others))
        squares = cdist(rows, others, "sqeuclidean")
        squares = squares.repeat(copies // len(rows), 0).repeat(copies // len(others), 1)
        total += sites * float(squares[linear_sum_assignment(squares)].mean())
        count += sites * rows.shape[1]
    return float(np.sqrt(total / count))
