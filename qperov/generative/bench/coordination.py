"""Whether a crystal is built as a perovskite: BX₆ octahedra that share corners.

X are the most electronegative elements that make up three fifths of the sites; B is the half of the other sites that
is nearer to its six nearest X. Nothing is asked of A. Antiperovskites, whose cations form the octahedra, do not count.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from pymatgen.core import Structure

from qperov.errors import CompositionError
from qperov.generative.bench.charge_balance import electronegativity
from qperov.generative.bench.validity import covalent_radius
from qperov.generative.bench.verdict import Verdict

#: Longest bond in sums of covalent radii: in perovskites built from ionic radii B–X bonds measure 0.77 to 1.23 of them.
LONGEST_BOND = 1.4
#: Least angle (degrees) across an octahedron, and window of the others: an octahedron has 180° and 90°, a trigonal
#: prism about 135° and 82°.
LEAST_ACROSS = 150.0
BESIDE = (60.0, 120.0)


@dataclass(frozen=True)
class Bonds:
    """The six nearest X of each B.

    Attributes
    ----------
    b_sites : ndarray of int, shape (b,)
    x_sites : ndarray of int, shape (b, 6)
    cells : ndarray of int, shape (b, 6, 3)
        In which image of the cell each X lies.
    vectors : ndarray, shape (b, 6, 3)
        From B to X, Å.
    longest : ndarray, shape (b,)
        Longest bond of each B in sums of covalent radii.
    """

    b_sites: np.ndarray
    x_sites: np.ndarray
    cells: np.ndarray
    vectors: np.ndarray
    longest: np.ndarray


def octahedra_verdict(structure: Structure) -> Verdict:
    """Every B has six bonds, at angles of an octahedron; the value is the share of B that do."""
    try:
        bonds = b_x_bonds(structure)
    except CompositionError as error:
        return Verdict(False, str(error))
    good = np.array([_is_octahedron(vectors) for vectors in bonds.vectors]) & (bonds.longest <= LONGEST_BOND)
    reason = "" if good.all() else f"{int((~good).sum())} of {len(good)} B sites are not in an octahedron of X"
    return Verdict(not reason, reason, float(good.mean()))


def corner_sharing_verdict(structure: Structure) -> Verdict:
    """Octahedra, of which every X joins two, and no two of which share more than one X."""
    octahedra = octahedra_verdict(structure)
    if not octahedra.passed:
        return octahedra
    bonds = b_x_bonds(structure)
    around: dict[int, list[tuple[int, tuple[int, ...]]]] = {}
    for b, neighbours, cells in zip(bonds.b_sites, bonds.x_sites, bonds.cells, strict=True):
        for x, cell in zip(neighbours, cells, strict=True):
            # seen from X in the home cell
            around.setdefault(int(x), []).append((int(b), tuple(int(-step) for step in cell)))
    n_x = 3 * len(bonds.b_sites)
    if len(around) != n_x or any(len(owners) != 2 for owners in around.values()):
        return Verdict(False, "not every X is shared by two octahedra")
    shared = Counter(_pair(*owners) for owners in around.values())
    if most := max(shared.values()) - 1:
        return Verdict(False, f"octahedra share {'edges' if most == 1 else 'faces'}")
    return Verdict(True)


def b_x_bonds(structure: Structure) -> Bonds:
    """Six nearest X of the sites taken for B.

    Raises
    ------
    CompositionError
        If three fifths of the sites are not X, or fewer than a fifth of all sites have six X at the distance of a
        bond.
    """
    names = [site.species.element_composition.elements[0].symbol for site in structure]
    is_x = _anion_sites(structure, names)
    n_b = len(structure) // 5
    radii = np.array([covalent_radius(name) for name in names])
    reach = LONGEST_BOND * (radii[~is_x].max() + radii[is_x].max())
    centre, neighbour, image, distance = structure.get_neighbor_list(float(reach))
    candidates = []
    for site in np.flatnonzero(~is_x).tolist():
        around = np.flatnonzero((centre == site) & is_x[neighbour])
        six = around[np.argsort(distance[around], kind="stable")[:6]]
        if len(six) == 6:
            candidates.append((float(distance[six].mean()), site, six))
    if len(candidates) < n_b:
        raise CompositionError(f"{len(candidates)} sites have six X at the distance of a bond; {n_b} should")
    chosen = sorted(candidates, key=lambda candidate: candidate[:2])[:n_b]
    b_sites = np.array([site for _, site, _ in chosen])
    six = np.array([rows for *_, rows in chosen])
    moved = structure.frac_coords[neighbour[six]] + image[six] - structure.frac_coords[b_sites][:, None]
    bound = distance[six] / (radii[b_sites][:, None] + radii[neighbour[six]])
    vectors = moved @ structure.lattice.matrix
    return Bonds(b_sites, neighbour[six], image[six].astype(int), vectors, bound.max(axis=1))


def _anion_sites(structure: Structure, names: list[str]) -> np.ndarray:
    formula = structure.composition.element_composition.reduced_formula
    if not structure.is_ordered:
        raise CompositionError(f"{formula}: sites are shared by species")
    if len(names) % 5 or not names:
        raise CompositionError(f"{formula} is not ABX₃")
    counts = Counter(names)
    taken: set[str] = set()
    for name in sorted(counts, key=lambda name: (-(electronegativity(name) or 0.0), name)):
        if 5 * sum(counts[kind] for kind in taken) >= 3 * len(names):
            break
        taken.add(name)
    is_x = np.array([name in taken for name in names])
    if 5 * int(is_x.sum()) != 3 * len(names):
        raise CompositionError(f"{formula} is not ABX₃: its most electronegative elements are not three fifths of it")
    return is_x


def _is_octahedron(vectors: np.ndarray) -> bool:
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = [float(np.clip(units[i] @ units[j], -1, 1)) for i, j in combinations(range(6), 2)]
    angles = np.sort(np.degrees(np.arccos(cosines)))
    return bool((angles[-3:] >= LEAST_ACROSS).all() and BESIDE[0] <= angles[0] and angles[-4] <= BESIDE[1])


def _pair(first: tuple[int, tuple[int, ...]], second: tuple[int, tuple[int, ...]]) -> tuple[int, int, tuple[int, ...]]:
    """Two octahedra by their sites and the translation between them, the same for both directions."""
    (a, cell_a), (b, cell_b) = first, second
    step = tuple(q - p for p, q in zip(cell_a, cell_b, strict=True))
    back = tuple(-number for number in step)
    return min((a, b, step), (b, a, back))
