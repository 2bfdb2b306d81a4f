"""Generated crystals tidied: atoms that are one are merged, atoms on top of others dropped."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pymatgen.core import Structure
from pymatgen.util.coord import pbc_shortest_vectors

from qperov.errors import DescriptorError
from qperov.generative.bench.validity import COVALENT_SHARE, covalent_radius

#: Distances that differ by less (Å) are equal: rounding must not choose which pair is merged first.
SAME_DISTANCE = 1e-6


def merge_sites(structure: Structure, distances: Mapping[str, float] | None = None) -> Structure:
    """Atoms of one element closer than a distance, through the cell's faces too, become one in their middle.

    The closest pair goes first; the merged atom counts for as many as it was made of, in later mergers; until no pair
    is closer. So a chain becomes one atom only as far as its middle stays close, a second pass changes nothing, and
    the choice of origin does not matter. An atom close to its own image is left.

    Parameters
    ----------
    structure : Structure
        Ordered.
    distances : mapping of str to float, or None
        Å for each element; elements without one are left alone. ``None``: 0.7 of twice the covalent radius, the least
        distance of a valid crystal, for all that have one. iMatGen's are 1.6 for V, 1.3 for O.

    Returns
    -------
    Structure
        Merged atoms stand where the first of them stood in the list of sites; charges and site properties are lost.

    Raises
    ------
    DescriptorError
        Sites that are shared by elements or partly empty.

    References
    ----------
    J. Noh et al., Matter 1, 1370 (2019), doi:10.1016/j.matt.2019.08.017, supplement S3.3.
    """
    symbols = np.array(_symbols(structure))
    if distances is None:
        distances = {symbol: 2 * COVALENT_SHARE * covalent_radius(symbol) for symbol in set(symbols.tolist())}
    places = structure.frac_coords.copy()
    kept = np.ones(len(symbols), dtype=bool)
    for symbol in dict.fromkeys(symbols.tolist()):
        rows = np.flatnonzero(symbols == symbol)
        merged, left = _merge(structure, places[rows], distances.get(symbol, 0.0))
        places[rows], kept[rows] = merged, left
    return Structure(structure.lattice, symbols[kept].tolist(), places[kept], to_unit_cell=True)


def drop_sites(structure: Structure, distances: Mapping[tuple[str, str], float]) -> Structure:
    """Drop atoms of one element that are too near to one of another.

    Parameters
    ----------
    structure : Structure
    distances : mapping of (str, str) to float
        (element that is dropped, element that stays) to Å; in turn. iMatGen's is 1.2 for (O, V).

    Returns
    -------
    Structure

    Raises
    ------
    DescriptorError
        Sites that are shared by elements or partly empty.
    """
    kept = structure.copy()
    for (dropped, stays), distance in distances.items():
        symbols = np.array(_symbols(kept))
        rows, others = np.flatnonzero(symbols == dropped), np.flatnonzero(symbols == stays)
        if dropped == stays or not len(rows) or not len(others):
            continue
        apart = kept.lattice.get_all_distances(kept.frac_coords[rows], kept.frac_coords[others])
        kept.remove_sites(rows[apart.min(1) < distance].tolist())
    return kept


def tidy(
    structure: Structure,
    merged: Mapping[str, float] | None = None,
    dropped: Mapping[tuple[str, str], float] | None = None,
) -> Structure:
    """`merge_sites` and then `drop_sites`, as iMatGen did with every decoded crystal.

    Parameters
    ----------
    structure : Structure
    merged, dropped : mapping or None
        As there. ``dropped=None`` drops nothing.
    """
    return drop_sites(merge_sites(structure, merged), dropped or {})


def _merge(structure: Structure, places: np.ndarray, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Places of one element after mergers, and which of them are left."""
    places, weights, left = places.copy(), np.ones(len(places)), np.ones(len(places), dtype=bool)
    while left.sum() > 1:
        rows = np.flatnonzero(left)
        vectors, squares = pbc_shortest_vectors(structure.lattice, places[rows], places[rows], return_d2=True)
        apart = np.sqrt(squares)
        apart[np.tril_indices(len(rows))] = np.inf
        if not apart.min() < distance:  # nor if no distance is known
            break
        i, j = np.argwhere(apart <= apart.min() + SAME_DISTANCE)[0]
        a, b = rows[i], rows[j]
        whole = weights[a] + weights[b]
        places[a] += structure.lattice.get_fractional_coords(vectors[i, j]) * weights[b] / whole
        weights[a], left[b] = whole, False
    return places, left


def _symbols(structure: Structure) -> list[str]:
    if not structure.is_ordered:
        raise DescriptorError("sites shared by elements or partly empty cannot be merged; order them first")
    return [site.specie.symbol for site in structure]
