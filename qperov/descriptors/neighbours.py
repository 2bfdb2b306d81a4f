"""What a perovskite's energy may hang on, in numbers that a hand can count: who sits opposite, who sits next to whom.

Columns are shares of unlike pairs: with the composition, those of like pairs follow from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any

import numpy as np
from pymatgen.core import Structure

from qperov.crystals.operations import in_unit_cube
from qperov.crystals.parent_lattice import ParentLattice, parent_lattices
from qperov.crystals.perovskites.sites import trans_pairs
from qperov.errors import CompositionError, DescriptorError

#: Shells of neighbours that are counted.
SHELLS = 3
#: Pairs are of one shell when their lengths agree within this (Å), and what surrounds their midpoints to this share.
LENGTH_TOLERANCE, SURROUNDINGS_TOLERANCE = 0.01, 1e-3


class TransPairs:
    """Mean number of unlike pairs of anions on opposite corners of an octahedron: columns ``trans Br–B–I``.

    With them the share of each anion, ``x(I)``, where the crystals given to ``fit`` differ in it. The crystals need not
    share a lattice, and may be distorted.
    """

    names: list[str]

    def learn(self, structures: Sequence[Structure]) -> list[np.ndarray]:
        described = self.describe(structures)
        self._species = sorted({str(name) for pairs in described for name in np.unique(pairs)})
        self._unlike = list(combinations(self._species, 2))
        if not self._unlike:
            raise DescriptorError("all anions are alike in these crystals: no octahedron has two kinds of corners")
        shares = np.array([[(pairs == name).mean() for name in self._species] for pairs in described])
        # the share of the first follows from those of the others
        self._varied = [n for n, column in zip(self._species[1:], shares.T[1:], strict=True) if np.ptp(column) > 1e-9]
        self.names = [*(f"trans {a}–B–{b}" for a, b in self._unlike), *(f"x({name})" for name in self._varied)]
        return described

    def describe(self, structures: Sequence[Structure]) -> list[np.ndarray]:
        """Species of the opposite corners of each crystal's octahedra, shape (n_pairs, 2)."""
        found: list[np.ndarray] = [np.empty(0)] * len(structures)
        for parent, rows, occupations in parent_lattices(structures):
            try:
                pairs = trans_pairs(parent.structure).reshape(-1, 2)
            except CompositionError as error:
                raise DescriptorError(f"structure {rows[0]}: {error}") from error
            for row, species in zip(rows, _species_names(parent, occupations), strict=True):
                found[row] = species[pairs]
        return found

    def values(self, described: list[np.ndarray]) -> np.ndarray:
        values = np.empty((len(described), len(self.names)))
        for i, (row, pairs) in enumerate(zip(values, described, strict=True)):
            if unknown := sorted(set(pairs.ravel()) - set(self._species)):
                raise DescriptorError(f"structure {i}: {unknown[0]} was among the anions of no crystal given to fit")
            unlike = [3 * (_is_pair(pairs[:, 0], pairs[:, 1], a, b)).mean() for a, b in self._unlike]
            row[:] = [*unlike, *((pairs == name).mean() for name in self._varied)]
        return values


class PairShells:
    """Share of unlike pairs among the nearest shells of decorated sites: columns ``Br–I, shell 1 (4.26 Å)``.

    A shell holds the pairs of one length whose midpoints have the same surroundings on the lattice before it is
    decorated, so that in a cubic perovskite X–B–X is one shell and X–X as far apart without B between them another.
    With them the share of each species on the decorated sites, ``x(I)``, where the crystals differ in it.
    """

    names: list[str]

    def learn(self, structures: Sequence[Structure]) -> np.ndarray:
        lattices = parent_lattices(structures)
        if len(lattices) != 1:
            raise DescriptorError(
                f"the crystals lie on {len(lattices)} different lattices; shells of pairs need a common one. "
                'Use PXRDFeaturizer(kind="profile").'
            )
        self._parent: ParentLattice = lattices[0][0]
        if not self._parent.sites:
            raise DescriptorError("no site changes its species between these crystals: there are no pairs to count")
        described = _species_names(self._parent, lattices[0][2])[:, list(self._parent.sites)]
        self._columns: list[tuple[np.ndarray, str, str]] = []
        self.names = []
        for number, (length, pairs, _) in enumerate(shells_of_pairs(self._parent, SHELLS), start=1):
            kinds = {tuple(sorted((self._parent.choices[i], self._parent.choices[j]))) for i, j in pairs}
            of_shell = {
                tuple(sorted(pair)) for one, other in kinds for pair in product(one, other) if pair[0] != pair[1]
            }
            self._columns += [(pairs, a, b) for a, b in sorted(of_shell)]
            self.names += [f"{a}–{b}, shell {number} ({length:.2f} Å)" for a, b in sorted(of_shell)]
        firsts = {choice[0] for choice in self._parent.choices}  # their shares follow from those of the others
        others = sorted(set(np.unique(described)) - firsts)
        self._varied = [str(name) for name in others if np.ptp((described == name).mean(axis=1)) > 1e-9]
        self.names += [f"x({name})" for name in self._varied]
        return described

    def describe(self, structures: Sequence[Structure]) -> np.ndarray:
        """Species on the decorated sites, shape (n_structures, n_sites)."""
        return _species_names(self._parent, self._parent.occupations(structures))[:, list(self._parent.sites)]

    def values(self, described: np.ndarray) -> np.ndarray:
        shares = [
            _is_pair(described[:, pairs[:, 0]], described[:, pairs[:, 1]], a, b).mean(axis=1)
            for pairs, a, b in self._columns
        ]
        shares += [(described == name).mean(axis=1) for name in self._varied]
        return np.array(shares).T.reshape(len(described), len(self.names))


def _is_pair(first: np.ndarray, second: np.ndarray, a: str, b: str) -> np.ndarray:
    return ((first == a) & (second == b)) | ((first == b) & (second == a))


def _species_names(parent: ParentLattice, occupations: np.ndarray) -> np.ndarray:
    """Species on all sites of each decoration, shape (n, n_sites of the cell)."""
    names = np.array([site.species_string for site in parent.structure], dtype=object)
    all_names = np.tile(names, (len(occupations), 1))
    for column, (site, choice) in enumerate(zip(parent.sites, parent.choices, strict=True)):
        all_names[:, site] = np.array(choice, dtype=object)[occupations[:, column]]
    return all_names


def shells_of_pairs(parent: ParentLattice, many: int) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Length (Å), pairs of columns of the occupations, shape (n_pairs, 2), and vectors (Å) of the nearest shells.

    Every pair stands there from both of its ends, once for each periodic image.
    """
    structure, sites = parent.structure, np.array(parent.sites)
    column = np.full(len(structure), -1)
    column[sites] = np.arange(len(sites))
    names = np.array([site.species_string for site in structure])
    radius = 1.5 * (structure.volume / len(structure)) ** (1 / 3)
    while True:
        centre, neighbour, image, distance = structure.get_neighbor_list(radius)
        kept = (column[centre] >= 0) & (column[neighbour] >= 0) & (distance > LENGTH_TOLERANCE)
        centre, neighbour, image, distance = centre[kept], neighbour[kept], image[kept], distance[kept]
        middle = (structure.frac_coords[centre] + structure.frac_coords[neighbour] + image) / 2
        places = np.round(np.column_stack([distance, in_unit_cube(middle)]), 6)
        _, first, place_of = np.unique(places, axis=0, return_index=True, return_inverse=True)
        shells: list[tuple[np.ndarray, list[int]]] = []
        for place, pair in enumerate(first):
            mark = _surroundings(structure, names, middle[pair], float(distance[pair]))
            members = np.flatnonzero(place_of.ravel() == place).tolist()
            for known, others in shells:
                if abs(known[0] - mark[0]) < LENGTH_TOLERANCE and np.allclose(
                    known[1:], mark[1:], rtol=SURROUNDINGS_TOLERANCE, atol=SURROUNDINGS_TOLERANCE
                ):
                    others += members
                    break
            else:
                shells.append((mark, members))
        # the last length within the radius may lack a shell by rounding
        whole = [shell for shell in shells if shell[0][0] < radius - LENGTH_TOLERANCE]
        if len(whole) >= many:
            break
        radius *= 1.25
    ordered = sorted(whole, key=lambda shell: (round(shell[0][0], 2), *shell[0][1:]))[:many]
    ends = np.column_stack([centre, neighbour])
    vectors = (structure.frac_coords[neighbour] + image - structure.frac_coords[centre]) @ structure.lattice.matrix
    return [(float(mark[0]), column[ends[members]], vectors[members]) for mark, members in ordered]


def _surroundings(structure: Structure, names: np.ndarray, middle: np.ndarray, length: float) -> np.ndarray:
    """Length of a pair, and for each species of the lattice a smooth sum over what lies about its midpoint."""
    centre = structure.lattice.get_cartesian_coords(middle)
    found: Any = structure.lattice.get_points_in_sphere(structure.frac_coords, centre, 2 * length, zip_results=False)
    _, distances, about, _ = found
    weights = np.exp(-((2 * distances / length) ** 2))
    return np.array([length, *(weights[names[about] == kind].sum() for kind in sorted(set(names)))])
