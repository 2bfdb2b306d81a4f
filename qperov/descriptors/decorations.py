"""Crystals as decorations of their parent lattice: spins for the sites, bonds and symmetry for a kernel of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pymatgen.core import IStructure, Structure
from scipy.optimize import linear_sum_assignment
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from qperov.crystals.operations import in_unit_cube
from qperov.crystals.orderings.cluster_expansion import cluster_orbits, correlation_functions
from qperov.crystals.parent_lattice import ParentLattice, parent_lattices
from qperov.crystals.symmetry import canonical_decorations
from qperov.descriptors.neighbours import shells_of_pairs
from qperov.diffraction.scatterers import crystal_list
from qperov.errors import DescriptorError, SymmetryError


class Decorations(TransformerMixin, BaseEstimator):
    """Spins ±1 on the sites that species share: columns ``site``, or ``site species`` where there are more than two.

    Of two species the first of the alphabet is +1 and the second −1; of more, each has a column of its own, +1 where it
    is (one-hot). Equivalent decorations get equal rows, the least image under the symmetry of the undecorated cell.

    Parameters
    ----------
    parent : Structure or None
        The undecorated cell, for crystals that are relaxed: each of their sites goes to the site of the parent that is
        nearest in fractional coordinates. None where the crystals share one cell and its sites.
    n_shells : int
        Shells of bonds between the shared sites, of equal length and equal surroundings on the undecorated lattice.
    tolerance : float
        Distance (Å) between a site and that of a given parent, at most.

    Attributes
    ----------
    lattice_ : ParentLattice
    bonds_ : ndarray of int, shape (n_bonds, 3)
        Shell and the two columns of every bond; with more than two species, bonds of like species.
    lengths_ : ndarray, shape (n_shells,)
        Å.
    permutations_ : ndarray of int, shape (m, n_columns)
        The symmetry of the undecorated cell, as permutations of the columns.

    Examples
    --------
    >>> import qperov
    >>> ds = qperov.load_dataset("cpx321").take(range(0, 986, 100))
    >>> decorations = Decorations().fit(ds.structures)
    >>> decorations.transform(ds.structures).shape, decorations.permutations_.shape
    ((10, 18), (24, 18))
    >>> kernel = qperov.quantum.IsingKernel(decorations.bonds_, decorations.permutations_)
    """

    description = "site decorations"

    def __init__(self, parent: Structure | None = None, *, n_shells: int = 6, tolerance: float = 1.5) -> None:
        self.parent = parent
        self.n_shells = n_shells
        self.tolerance = tolerance

    def fit(self, X: Sequence[Structure], y: Any = None) -> Decorations:
        """Find the lattice, its bonds and its symmetry; ``y`` is not looked at.

        Raises
        ------
        DescriptorError
            Crystals of different parent lattices, of other numbers of sites (vacancies), or with nothing to decorate.
        """
        if self.n_shells < 1:
            raise ValueError(f"n_shells must be at least 1, not {self.n_shells}")
        lattices = parent_lattices(self._on_parent(X))
        if len(lattices) != 1:
            raise DescriptorError(
                f"the crystals lie on {len(lattices)} different parent lattices ({_listed(lattices)}); decorations "
                "need a common one: give relaxed crystals their undecorated cell as parent, and cells of different "
                "size models of their own"
            )
        self.lattice_: ParentLattice = lattices[0][0]
        if not self.lattice_.sites:
            raise DescriptorError("no site changes its species between these crystals: there is nothing to decorate")
        sites = [(site, choice) for site, choice in zip(self.lattice_.sites, self.lattice_.choices, strict=True)]
        # column of each site, or of each species on it
        n_columns = [1 if len(choice) == 2 else len(choice) for _, choice in sites]
        self._columns = [(place, code) for place, many in enumerate(n_columns) for code in range(many)]
        where = {column: number for number, column in enumerate(self._columns)}
        self.permutations_ = np.array(
            [[where[int(row[place]), code] for place, code in self._columns] for row in self.lattice_.permutations]
        )
        shells = shells_of_pairs(self.lattice_, self.n_shells)
        self.lengths_ = np.array([length for length, _, _ in shells])
        self.bonds_ = np.array(
            [
                (number, where[i, code], where[j, code])
                for number, (_, pairs, _) in enumerate(shells)
                for i, j in pairs[pairs[:, 0] < pairs[:, 1]].tolist()
                for code in range(len(sites[i][1]))
                if (i, code) in where and (j, code) in where
            ]
        ).reshape(-1, 3)
        self.n_features_out_ = len(self._columns)
        return self

    def transform(self, X: Sequence[Structure]) -> np.ndarray:
        """Spins, shape (n_crystals, n_columns).

        Raises
        ------
        NotFittedError
        DescriptorError
            A crystal that does not lie on the lattice, has vacancies, or holds a species that ``fit`` has not seen.
        """
        check_is_fitted(self)
        crystals = self._on_parent(X)
        if not crystals:
            return np.empty((0, len(self._columns)))
        for row, crystal in enumerate(crystals):
            _check_sites(row, crystal, len(self.lattice_.structure))
        try:
            occupations = self.lattice_.occupations(crystals)
        except SymmetryError as error:
            raise DescriptorError(str(error)) from error
        least = canonical_decorations(occupations, self.lattice_.permutations)
        codes = np.frombuffer(least.tobytes(), dtype=np.uint8).reshape(occupations.shape).astype(int) - 1
        two = [len(choice) == 2 for choice in self.lattice_.choices]
        return np.column_stack([np.where(codes[:, place] == code, 1.0, -1.0) for place, code in self._columns]).reshape(
            len(codes), len(two) and len(self._columns)
        )

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Column names, shape (n_columns,)."""
        check_is_fitted(self)
        lattice = self.lattice_
        return np.array(
            [
                f"site {lattice.sites[place]}" + ("" if len(choice) == 2 else f" {choice[code]}")
                for place, code in self._columns
                for choice in [lattice.choices[place]]
            ],
            dtype=object,
        )

    def _on_parent(self, X: Sequence[Structure]) -> list[Structure]:
        """The crystals, each moved onto the sites of the parent if one is given."""
        crystals = crystal_list(X)
        for row, crystal in enumerate(crystals):
            if not isinstance(crystal, IStructure):
                raise DescriptorError(f"structure {row}: a {type(crystal).__name__} is no crystal structure")
        if self.parent is None:
            return crystals
        return [self._moved(row, crystal, self.parent) for row, crystal in enumerate(crystals)]

    def _moved(self, row: int, crystal: Structure, parent: Structure) -> Structure:
        _check_sites(row, crystal, len(parent))
        apart = in_unit_cube(parent.frac_coords)[:, None] - in_unit_cube(crystal.frac_coords)
        # a crystal may have drifted as a whole
        shifts = np.zeros(3)
        for _ in range(2):
            steps = apart - shifts
            distances = np.linalg.norm((steps - np.round(steps)) @ parent.lattice.matrix, axis=2)
            own, nearest = linear_sum_assignment(distances**2)
            step = steps[own, nearest]
            shifts = shifts + (step - np.round(step)).mean(axis=0)
        farthest = float(distances[own, nearest].max())
        if farthest > self.tolerance:
            raise DescriptorError(
                f"structure {row} ({crystal.composition.formula}) has a site {farthest:.2f} Å from the nearest free "
                f"site of the parent, more than the tolerance of {self.tolerance:g} Å"
            )
        return Structure(parent.lattice, [crystal[int(i)].species for i in nearest], parent.frac_coords)


class SpinCorrelations(TransformerMixin, BaseEstimator):
    """Correlation functions of decorations: the mean of the product of spins over each orbit of clusters.

    Parameters
    ----------
    permutations : array of int, shape (m, n_sites)
        The symmetry, as `Decorations` finds it.
    max_order : int
        Sites of the largest clusters: points and pairs by default.

    Attributes
    ----------
    orbits_ : list of ndarray
    """

    def __init__(self, permutations: np.ndarray, *, max_order: int = 2) -> None:
        self.permutations = permutations
        self.max_order = max_order

    def fit(self, X: np.ndarray, y: Any = None) -> SpinCorrelations:
        """Find the orbits; neither X nor ``y`` is looked at."""
        orders = range(1, self.max_order + 1)
        self.orbits_ = [orbit for order in orders for orbit in cluster_orbits(np.asarray(self.permutations), order)]
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Correlation functions, shape (n_samples, n_orbits)."""
        check_is_fitted(self)
        return correlation_functions(np.asarray(X, dtype=np.float64), self.orbits_)


def _check_sites(row: int, crystal: Structure, n_sites: int) -> None:
    if len(crystal) != n_sites:
        raise DescriptorError(
            f"structure {row} ({crystal.composition.formula}) has {len(crystal)} sites, its parent lattice {n_sites}: "
            "vacancies and interstitials are no decorations"
        )


def _listed(lattices: Sequence[tuple[ParentLattice, np.ndarray, np.ndarray]]) -> str:
    parts = [f"{len(rows)} of {len(parent.structure)} sites" for parent, rows, _ in lattices[:3]]
    return ", ".join(parts) + (", …" if len(lattices) > 3 else "")
