"""Density matrices of pairs of sites in the Ising state of an infinite crystal: features of a projected kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pymatgen.core import Structure
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from qperov.crystals.parent_lattice import ParentLattice, parent_lattices
from qperov.descriptors.neighbours import shells_of_pairs
from qperov.diffraction.scatterers import crystal_list
from qperov.errors import DescriptorError

#: Places nearer than this (Å) are one.
SAME = 0.1


class ReducedDensities(TransformerMixin, BaseEstimator):
    r"""Two-site density matrices of a crystal's Ising state, averaged over each shell of bonds: one column a shell.

    The state of `qperov.quantum.IsingKernel` without field, of one layer, on the infinite crystal. Flips make it of
    that of the undecorated crystal, so that of a bond's density matrix only ⟨YY⟩, ⟨YZ⟩ and ⟨ZY⟩ change with the spins,
    by the factor σ_iσ_j, and one-site density matrices not at all. With J_ik = θ of the shell of i and k, and 0 beyond,

        ⟨Y_iZ_j⟩ = −sin 2J_ij Π_k cos 2J_ik,    ⟨Y_iY_j⟩ = ½ (Π_k cos 2(J_ik − J_jk) − Π_k cos 2(J_ik + J_jk)),

    over all k but i and j. The distance of the means over a shell is that of the columns √½ · √(⟨YY⟩² + 2⟨YZ⟩²) times
    the mean of σ_iσ_j: a Gaussian of them is the projected kernel. They depend on no cell: crystals of one infinite
    lattice are compared whatever cells they are written in.

    Parameters
    ----------
    species : (str, str)
        What shares the decorated sites.
    couplings : float or sequence of float
        θ in radians, one number or one a shell.
    n_shells : int

    Attributes
    ----------
    lengths_ : ndarray, shape (n_shells,)
        Å.
    weights_ : ndarray, shape (n_shells,)
        √½ · √(⟨YY⟩² + 2⟨YZ⟩²) of the undecorated crystal.
    """

    description = "density matrices of pairs"

    def __init__(
        self, species: tuple[str, str] = ("Br", "I"), *, couplings: float | Sequence[float] = 0.1, n_shells: int = 6
    ) -> None:
        self.species = species
        self.couplings = couplings
        self.n_shells = n_shells

    def fit(self, X: Sequence[Structure], y: Any = None) -> ReducedDensities:
        """Work out the density matrices of the undecorated crystal, on the lattice of the first one."""
        crystals = crystal_list(X)
        if not crystals:
            raise ValueError("no crystals to learn the shells from")
        shells = shells_of_pairs(undecorated(0, crystals[0], self.species), self.n_shells)
        self.lengths_ = np.array([length for length, _, _ in shells])
        theta = np.broadcast_to(np.asarray(self.couplings, dtype=float), self.n_shells)
        starts = np.concatenate([pairs[:, 0] for _, pairs, _ in shells])
        vectors = np.concatenate([vectors for _, _, vectors in shells])
        angles = np.repeat(theta, [len(pairs) for _, pairs, _ in shells])
        squares = np.zeros(self.n_shells)
        for shell, (_, pairs, ways) in enumerate(shells):
            for (i, j), way in zip(pairs.tolist(), ways, strict=True):
                of_i, of_j = _common_frame(vectors[starts == i], vectors[starts == j] + way, angles, starts, i, j, way)
                squares[shell] += sum(value**2 for value in pair_expectations(theta[shell], of_i, of_j)) / len(pairs)
        self.weights_ = np.sqrt(squares / 2)
        return self

    def transform(self, X: Sequence[Structure]) -> np.ndarray:
        """Columns of the shells, shape (n_crystals, n_shells).

        Raises
        ------
        DescriptorError
            A crystal without the species, or of another lattice than those given to ``fit``.
        """
        check_is_fitted(self)
        return shell_correlations(crystal_list(X), self.species, self.lengths_) * self.weights_


def undecorated(row: int, crystal: Structure, species: tuple[str, str]) -> ParentLattice:
    """The lattice of a crystal whose ``species`` share their sites."""
    sites = tuple(i for i, site in enumerate(crystal) if site.species_string in species)
    if not sites:
        raise DescriptorError(f"structure {row} ({crystal.composition.formula}) holds neither {' nor '.join(species)}")
    names = [species[0] if i in set(sites) else site.species for i, site in enumerate(crystal)]
    return ParentLattice(Structure(crystal.lattice, names, crystal.frac_coords), sites, (tuple(species),) * len(sites))


def shell_correlations(crystals: Sequence[Structure], species: tuple[str, str], lengths: np.ndarray) -> np.ndarray:
    """Mean of σ_iσ_j over every shell of bonds, images of a site itself among them, shape (n_crystals, n_shells)."""
    values = np.empty((len(crystals), len(lengths)))
    for _, rows, _ in parent_lattices(crystals):
        parent = undecorated(int(rows[0]), crystals[rows[0]], species)
        shells = shells_of_pairs(parent, len(lengths))
        found = np.array([length for length, _, _ in shells])
        if np.abs(found - lengths).max() > 0.05:
            raise DescriptorError(
                f"structure {rows[0]} has shells of {', '.join(f'{x:.2f}' for x in found)} Å, those given to fit "
                f"{', '.join(f'{x:.2f}' for x in lengths)} Å: it is of another lattice"
            )
        spins = 1.0 - 2.0 * parent.occupations([crystals[row] for row in rows])
        values[rows] = np.column_stack([(spins[:, p[:, 0]] * spins[:, p[:, 1]]).mean(axis=1) for _, p, _ in shells])
    return values


def pair_expectations(own: float, of_i: np.ndarray, of_j: np.ndarray) -> tuple[float, float, float]:
    """⟨Y_iY_j⟩, ⟨Y_iZ_j⟩ and ⟨Z_iY_j⟩ of an Ising state from J_ij, and J_ik and J_jk of all other sites k."""
    yz, zy = (-np.sin(2 * own) * np.cos(2 * angles).prod() for angles in (of_i, of_j))
    yy = (np.cos(2 * (of_i - of_j)).prod() - np.cos(2 * (of_i + of_j)).prod()) / 2
    return float(yy), float(yz), float(zy)


def _common_frame(
    places: np.ndarray, others: np.ndarray, angles: np.ndarray, starts: np.ndarray, i: int, j: int, way: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Couplings of two sites, at the origin and at ``way``, to every other site about them."""
    sites = np.concatenate([places, others])
    weights = np.concatenate([angles[starts == i], np.zeros(len(others))])
    other_weights = np.concatenate([np.zeros(len(places)), angles[starts == j]])
    same = np.linalg.norm(sites[:, None] - sites, axis=2) < SAME
    first = same.argmax(axis=1)
    kept = (first == np.arange(len(sites))) & ~(np.linalg.norm(sites, axis=1) < SAME)
    kept &= ~(np.linalg.norm(sites - way, axis=1) < SAME)
    return (same @ weights)[kept], (same @ other_weights)[kept]
