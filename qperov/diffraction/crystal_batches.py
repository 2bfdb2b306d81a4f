"""Which way each crystal of a batch goes to its |F(hkl)|², and the arrays that this way needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from qperov.diffraction.reflections import ReflectionLists, Reflections, reflections
from qperov.diffraction.scatterers import Scatterers, SiteKinds, occupancies, scatterers_of
from qperov.diffraction.scattering import (
    box_structure_factors,
    form_factors,
    from_device,
    shared_site_squares,
    thermal_squares,
    to_device,
)
from qperov.errors import DescriptorError
from qperov.torch_support import import_torch

Kinds = Sequence[Mapping[str, float]]
DebyeWaller = Mapping[str, float] | None

#: Fewer crystals on the same sites than this are not worth a table of all phases.
FEWEST_TOGETHER = 8
#: A shared table of phases may have so many times the sites of a crystal: beyond, it mostly multiplies zeros.
MOST_SHARED_SITES = 4
#: Crystals looked at before deciding whether a lattice's crystals share sites.
SAMPLE = 32


def same_lattice(crystals: Sequence[Scatterers]) -> list[list[int]]:
    """Crystals by lattice."""
    by_lattice: dict[bytes, list[int]] = {}
    for row, crystal in enumerate(crystals):
        by_lattice.setdefault(crystal.lattice.tobytes(), []).append(row)
    return list(by_lattice.values())


def together_and_alone(crystals: Sequence[Scatterers]) -> tuple[list[list[int]], list[int]]:
    """Crystals of one lattice by whether their sites coincide: groups that share a table of phases, and the rest."""
    by_positions: dict[bytes, list[int]] = {}
    alone = []
    for index, crystal in enumerate(crystals):
        if crystal.ustar is None:
            by_positions.setdefault(crystal.positions.tobytes(), []).append(index)
        else:
            alone.append(index)
    together = [group for group in by_positions.values() if len(group) >= FEWEST_TOGETHER]
    few = [index for group in by_positions.values() if len(group) < FEWEST_TOGETHER for index in group]
    # the same sites may be listed in another order; where they are not, a few crystals mostly tell
    if len(few) >= FEWEST_TOGETHER and all(
        _share_sites([crystals[index] for index in few[::step]]) for step in (max(1, len(few) // SAMPLE), 1)
    ):
        return [*together, few], alone
    return together, alone + few


def _share_sites(crystals: Sequence[Scatterers]) -> bool:
    return len(_union(crystals)[0]) <= MOST_SHARED_SITES * max(len(crystal.positions) for crystal in crystals)


def _union(crystals: Sequence[Scatterers]) -> tuple[np.ndarray, np.ndarray]:
    """All positions of some crystals, and the number of each crystal's own among them, one after another."""
    # adding zero makes −0.0 and 0.0 one position
    everything = np.concatenate([crystal.positions for crystal in crystals]) + 0.0
    _, first, places = np.unique(everything.view("V24").ravel(), return_index=True, return_inverse=True)
    return everything[first], places.ravel()


def squares_together(
    points: Reflections,
    crystals: Sequence[Scatterers],
    kinds: Kinds,
    debye_waller: DebyeWaller = None,
    device: str | None = None,
) -> Iterator[tuple[slice, np.ndarray]]:
    """|F|² of crystals on one lattice whose sites coincide, in blocks: which of them, and (n, n_reflections)."""
    if not len(points.g):
        yield slice(0, len(crystals)), np.empty((len(crystals), 0))
        return
    of_kind, symbols, codes = _used(np.concatenate([crystal.kinds for crystal in crystals]), kinds)
    factors = form_factors(symbols, points.g, debye_waller)
    positions = crystals[0].positions
    if all(crystal.positions.tobytes() == positions.tobytes() for crystal in crystals):
        occupancy = of_kind[:, codes.reshape(len(crystals), -1)]
    else:
        positions, places = _union(crystals)
        crystal_of = np.repeat(np.arange(len(crystals)), [len(crystal.kinds) for crystal in crystals])
        shape = (len(crystals), len(positions))
        target = np.ravel_multi_index((crystal_of, places), shape)
        occupancy = np.stack([np.bincount(target, row[codes], shape[0] * shape[1]).reshape(shape) for row in of_kind])
    yield from shared_site_squares(points.hkl, factors, positions, occupancy, device)


def _used(codes: np.ndarray, kinds: Kinds) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Occupancies (n_elements, n_used) of the kinds of site that occur, the elements, and codes among these kinds."""
    used, own = np.unique(codes, return_inverse=True)
    return *occupancies([kinds[kind] for kind in used]), own


def squares_unlike(
    points: ReflectionLists,
    crystals: Sequence[Scatterers],
    kinds: Kinds,
    debye_waller: DebyeWaller = None,
    device: str | None = None,
) -> np.ndarray:
    """|F|² of one crystal for each list of reflections, shape (n_reflections of all,)."""
    [thermal] = {crystal.ustar is not None for crystal in crystals}
    if thermal:
        return _squares_thermal(points, crystals, kinds, debye_waller)
    xp = np if device is None else import_torch()
    groups = _by_element(crystals, kinds)
    sums = box_structure_factors(
        points.bounds, to_device(groups.positions, device), to_device(groups.occupancy, device), groups.counts, xp
    )
    places = to_device(points.places, device)
    real, imaginary = (to_device(np.zeros(len(points.g)), device) for _ in range(2))
    for values, symbols in zip(sums, groups.symbols, strict=True):
        f = to_device(_unlike_factors(symbols, points, debye_waller), device)
        own = values.ravel().take(places)
        real += f * own.real
        imaginary += f * own.imag
    return from_device(real * real + imaginary * imaginary)


def _unlike_factors(symbols: Sequence[str], points: ReflectionLists, debye_waller: DebyeWaller) -> np.ndarray:
    """Form factors along lists of reflections, of one element a list; ``""`` scatters nothing."""
    if len(set(symbols)) == 1:
        return form_factors(symbols[:1], points.g, debye_waller)[0]
    factors = np.zeros(len(points.g))
    owner = np.repeat(np.arange(len(symbols)), points.counts)
    for symbol in set(symbols) - {""}:
        own = np.flatnonzero(np.array([other == symbol for other in symbols])[owner])
        factors[own] = form_factors([symbol], points.g[own], debye_waller)[0]
    return factors


@dataclass(frozen=True, eq=False)
class _Groups:
    """Sites of several crystals in groups of one element, the largest first, padded with sites that nothing occupies.

    ``symbols[slot][crystal]`` is the element of a crystal's group, ``""`` where it has no such group.
    """

    positions: np.ndarray
    occupancy: np.ndarray
    counts: list[int]
    symbols: list[list[str]]


def _by_element(crystals: Sequence[Scatterers], kinds: Kinds) -> _Groups:
    of_kind, symbols, codes = _used(np.concatenate([crystal.kinds for crystal in crystals]), kinds)
    positions = np.concatenate([crystal.positions for crystal in crystals])
    owner = np.repeat(np.arange(len(crystals)), [len(crystal.kinds) for crystal in crystals])
    element, site = np.nonzero(of_kind[:, codes])
    sizes = np.zeros((len(crystals), len(symbols)), dtype=int)
    np.add.at(sizes, (owner[site], element), 1)
    # rank of each element among those of its crystal, by number of sites
    slot = np.argsort(np.argsort(-sizes, axis=1, kind="stable"), axis=1, kind="stable")
    n_slots = int(np.count_nonzero(sizes, axis=1).max())
    ordered = -np.sort(-sizes, axis=1)[:, :n_slots]
    counts = ordered.max(axis=0)
    starts = np.cumsum(counts) - counts
    # number of each entry within its group: entries stand in order of element, then crystal
    first = np.cumsum(sizes.T.ravel()) - sizes.T.ravel()
    within = np.arange(len(site)) - first[element * len(crystals) + owner[site]]
    column = starts[slot[owner[site], element]] + within
    where = np.zeros((len(crystals), int(counts.sum()), 3))
    occupied = np.zeros(where.shape[:2])
    where[owner[site], column] = positions[site]
    occupied[owner[site], column] = of_kind[element, codes[site]]
    named: list[list[str]] = [[""] * len(crystals) for _ in range(n_slots)]
    for crystal, kind in zip(*np.nonzero(sizes), strict=True):
        named[slot[crystal, kind]][crystal] = symbols[kind]
    return _Groups(where, occupied, counts.tolist(), named)


def _squares_thermal(
    points: ReflectionLists, crystals: Sequence[Scatterers], kinds: Kinds, debye_waller: DebyeWaller
) -> np.ndarray:
    """|F|² of crystals whose sites move anisotropically."""
    h, k, ell = points.bounds
    squares = np.empty(len(points.g))
    stops = np.cumsum(points.counts)
    box = (h + 1) * (2 * k + 1) * (2 * ell + 1)
    for crystal, start, stop in zip(crystals, stops - points.counts, stops, strict=True):
        assert crystal.ustar is not None
        own = slice(start, stop)
        place = np.unravel_index(points.places[own] % box, (h + 1, 2 * k + 1, 2 * ell + 1))
        of_kind, symbols, codes = _used(crystal.kinds, kinds)
        factors = form_factors(symbols, points.g[own], debye_waller)
        hkl = np.array(points.bounds) - np.stack(place, axis=-1)
        squares[own] = thermal_squares(hkl, factors, crystal.positions, of_kind[:, codes], crystal.ustar)
    return squares


def squared_structure_factors(
    structures: Sequence[Structure],
    g_range: tuple[float, float],
    debye_waller: Mapping[str, float] | None = None,
) -> Iterator[tuple[Reflections, np.ndarray, np.ndarray]]:
    """|F(hkl)|² of many crystals; those on one lattice share its reflections, and its phases where sites coincide.

    Yields
    ------
    (Reflections, rows, squares)
        Blocks: ``rows`` are indices into ``structures``, ``squares`` has shape (len(rows), n_reflections).

    Raises
    ------
    DescriptorError
        If a structure has no sites, or an element no scattering factor.
    """
    kinds = SiteKinds()
    crystals = []
    structures = list(structures)
    for row, structure in enumerate(structures):
        try:
            crystals.append(scatterers_of(structure, kinds, g_range[1], debye_waller))
        except DescriptorError as error:
            raise DescriptorError(f"structure {row}: {error}") from error
    for rows in same_lattice(crystals):
        points = reflections(crystals[rows[0]].lattice, g_range)
        together, alone = together_and_alone([crystals[row] for row in rows])
        for group in together:
            members = np.array(rows)[group]
            for block, squares in squares_together(
                points, [crystals[row] for row in members], kinds.table, debye_waller
            ):
                yield points, members[block], squares
        for row in (rows[index] for index in alone):
            squares = squares_unlike(points.as_lists(), [crystals[row]], kinds.table, debye_waller)
            yield points, np.array([row]), squares[None]
