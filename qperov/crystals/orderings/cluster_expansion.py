"""Cluster expansion on a decorated lattice: orbits of clusters, correlation functions, energies.

E(σ) = J₀ + Σ_α J_α Φ_α(σ), where Φ_α is the mean over the clusters of orbit α of Π_{i in cluster} σ_i and
σ_i = +1 for the first and −1 for the last species of a site (Sanchez, Ducastelle and Gratias, Physica A 128,
334 (1984), doi:10.1016/0378-4371(84)90096-7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

#: Samples whose cluster products are held at once.
BLOCK = 4096


def cluster_orbits(permutations: np.ndarray, order: int) -> tuple[np.ndarray, ...]:
    """Orbits of the ``order``-site clusters under a permutation group.

    Parameters
    ----------
    permutations : ndarray of int, shape (m, n)
    order : int
        Sites a cluster: 1 points, 2 pairs, 3 triplets.

    Returns
    -------
    tuple of ndarray, each of shape (n_clusters, order)
        Sorted by their least cluster; the first row of each orbit is its representative.
    """
    n = permutations.shape[1]
    clusters = np.array(list(combinations(range(n), order)), dtype=np.int64).reshape(-1, order)
    weights = n ** np.arange(order - 1, -1, -1)
    least = clusters @ weights
    for permutation in permutations:
        least = np.minimum(least, np.sort(permutation[clusters], axis=1) @ weights)
    _, orbit_of = np.unique(least, return_inverse=True)
    return tuple(clusters[orbit_of == orbit] for orbit in range(orbit_of.max(initial=-1) + 1))


def correlation_functions(spins: np.ndarray, orbits: Sequence[np.ndarray]) -> np.ndarray:
    """Φ_α(σ), the mean over each orbit of the product of spins.

    Parameters
    ----------
    spins : ndarray, shape (n_samples, n_sites)
        +1 or −1.
    orbits : sequence of ndarray, each of shape (n_clusters, order)

    Returns
    -------
    ndarray, shape (n_samples, n_orbits)
    """
    values = np.empty((len(spins), len(orbits)))
    for start in range(0, len(spins), BLOCK):
        block = spins[start : start + BLOCK]
        for column, orbit in enumerate(orbits):
            values[start : start + BLOCK, column] = block[:, orbit].prod(axis=2).mean(axis=1)
    return values


def spins_of(occupations: np.ndarray) -> np.ndarray:
    """Species indices 0 and 1 as spins +1.0 and −1.0, same shape."""
    return 1.0 - 2.0 * occupations


@dataclass(frozen=True)
class ClusterExpansion:
    """Coefficients of an energy over the orbits of a decorated lattice.

    Attributes
    ----------
    constant : float
        J₀, eV per cell.
    representatives : tuple of tuple of int
        One cluster of site numbers for each orbit.
    coefficients : tuple of float
        J_α, eV per cell.
    """

    constant: float
    representatives: tuple[tuple[int, ...], ...]
    coefficients: tuple[float, ...]

    def energies(self, spins: np.ndarray, permutations: np.ndarray) -> np.ndarray:
        """E(σ) in eV per cell, shape (n_samples,).

        Parameters
        ----------
        spins : ndarray, shape (n_samples, n_sites)
        permutations : ndarray of int, shape (m, n_sites)
            The symmetry of the lattice, which spreads each representative over its orbit.
        """
        orbits = [
            np.unique(np.sort(permutations[:, list(cluster)], axis=1), axis=0) for cluster in self.representatives
        ]
        return self.constant + correlation_functions(spins, orbits) @ np.array(self.coefficients)
