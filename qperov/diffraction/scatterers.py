"""What scatters in a crystal, taken out of pymatgen's objects once, as arrays that are cheap to send and to compare."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.analysis.diffraction.core import get_ustar
from pymatgen.analysis.diffraction.xrd import ATOMIC_SCATTERING_PARAMS
from pymatgen.core import Composition, IStructure, Structure

from qperov.errors import DescriptorError

#: Cells flatter than this (Å³) are no cells.
LEAST_VOLUME = 1e-3
#: More hkl than this are refused: the cell is a mistake, or the range of 2θ far too wide for it.
MOST_INDICES = 20_000_000
#: Sites known by identity before the memory of them is emptied.
MOST_REMEMBERED = 200_000


@dataclass(frozen=True, eq=False)
class Scatterers:
    """The sites of one crystal.

    Attributes
    ----------
    lattice : ndarray, shape (3, 3)
        Rows a, b, c in Å.
    positions : ndarray, shape (n_sites, 3)
        Fractional.
    kinds : ndarray of int, shape (n_sites,)
        Which entry of the list of site kinds (element → occupancy) stands on each site.
    ustar : ndarray, shape (n_sites, 3, 3), optional
        Anisotropic displacements U*, where the sites carry them (properties ``U11_cif`` …).
    """

    lattice: np.ndarray
    positions: np.ndarray
    kinds: np.ndarray
    ustar: np.ndarray | None = None

    def sharing(self, other: Scatterers) -> Scatterers:
        """This crystal with the other's arrays where they hold the same: kept, and sent to a process, only once."""
        same_lattice = self.lattice.tobytes() == other.lattice.tobytes()
        same_positions = self.positions.tobytes() == other.positions.tobytes()
        if not (same_lattice or same_positions):
            return self
        return Scatterers(
            other.lattice if same_lattice else self.lattice,
            other.positions if same_positions else self.positions,
            self.kinds,
            self.ustar,
        )


class SiteKinds:
    """The different occupants of a site met so far: ``table[kind]`` is element → occupancy."""

    def __init__(self) -> None:
        self.table: list[dict[str, float]] = []
        self._by_content: dict[tuple, int] = {}
        self._by_identity: dict[int, int] = {}

    def of(self, sites: Sequence[Composition]) -> np.ndarray:
        """Kind of each site, shape (n_sites,); the objects must stay alive as long as this one is used.

        Raises
        ------
        DescriptorError
            If an element has no tabulated scattering factor.
        """
        known = self._by_identity
        if len(known) > MOST_REMEMBERED:
            known.clear()
        for species in sites:
            if id(species) not in known:
                known[id(species)] = self._kind(species)
        return np.array([known[id(species)] for species in sites])

    def _kind(self, species: Composition) -> int:
        content = tuple((element.symbol, float(amount)) for element, amount in species.items())
        kind = self._by_content.get(content)
        if kind is None:
            occupancy: dict[str, float] = {}
            for symbol, amount in content:
                if symbol not in ATOMIC_SCATTERING_PARAMS:
                    raise DescriptorError(f"no X-ray scattering factor is tabulated for {symbol}")
                occupancy[symbol] = occupancy.get(symbol, 0.0) + amount
            kind = self._by_content[content] = len(self.table)
            self.table.append(occupancy)
        return kind


def crystal_list(crystals: Iterable[Any]) -> list[Any]:
    """The crystals as a list.

    Raises
    ------
    TypeError
        If this is one crystal, a table, a path or the like: going through it would give sites, column names or letters.
    """
    if isinstance(crystals, IStructure):
        hint = "put it into a list: [structure]"
    elif isinstance(crystals, str | Path):
        hint = "read the crystals with qperov.read, and give their .structures"
    elif hasattr(crystals, "structures"):
        hint = "give its .structures"
    elif hasattr(crystals, "columns"):
        hint = 'give its column of crystals, such as table["structure"]'
    elif isinstance(crystals, Mapping):
        hint = "give list(mapping.values())"
    elif isinstance(crystals, np.ndarray) and crystals.ndim != 1:
        hint = "numpy takes crystals apart into their sites; give them in a plain list"
    elif not isinstance(crystals, Iterable):
        hint = "give a list of structures"
    else:
        return list(crystals)
    raise TypeError(f"a {type(crystals).__name__} is no list of crystals: {hint}")


def scatterers_of(
    structure: Structure, kinds: SiteKinds, highest_g: float, debye_waller: Mapping[str, float] | None = None
) -> Scatterers:
    """The arrays of one crystal.

    Raises
    ------
    DescriptorError
        If it cannot have a powder pattern: no crystal at all, no sites, a flat or absurdly large cell, coordinates that
        are no numbers, an element without scattering factor, or displacements given twice.
    """
    if not isinstance(structure, IStructure):
        raise DescriptorError(f"a {type(structure).__name__} is no crystal structure")
    sites = structure.sites
    if not sites:
        raise DescriptorError("it has no sites, so nothing scatters")
    lattice = structure.lattice.matrix
    # plain numbers: on so few, numpy takes ten times as long
    a, b, c = lattice.tolist()
    volume = abs(
        a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])
    )
    if not LEAST_VOLUME < volume < math.inf:
        raise DescriptorError(f"its cell has a volume of {volume:.3g} Å³")
    indices = 0.5 * math.prod(2 * highest_g * math.hypot(*axis) + 1 for axis in (a, b, c))
    if indices > MOST_INDICES:
        raise DescriptorError(
            f"its cell of {volume:.3g} Å³ has {indices:.1e} hkl to look at in this range of 2θ, more than "
            f"{MOST_INDICES:.0e}; reduce the cell or the range"
        )
    positions = np.concatenate([site.frac_coords for site in sites]).reshape(-1, 3).astype(float, copy=False)
    if not np.isfinite(positions).all():
        raise DescriptorError("coordinates of its sites are not numbers")
    ustar = None
    if any("U11_cif" in site.properties for site in sites):
        if debye_waller:
            raise DescriptorError("it carries anisotropic displacements (U11_cif …), so debye_waller cannot be given")
        try:
            ustar = get_ustar(structure)
        except ValueError as error:
            raise DescriptorError(str(error)) from error
        except KeyError as error:
            raise DescriptorError(f"U11_cif without {error.args[0]}: give all six displacements") from error
    return Scatterers(lattice, positions, kinds.of([site.species for site in sites]), ustar)


def occupancies(kinds: Sequence[Mapping[str, float]]) -> tuple[np.ndarray, list[str]]:
    """Occupancy of each element in each kind of site, shape (n_elements, n_kinds), and the elements."""
    symbols = sorted({symbol for kind in kinds for symbol in kind})
    table = np.array([[kind.get(symbol, 0.0) for kind in kinds] for symbol in symbols])
    return table.reshape(len(symbols), len(kinds)), symbols
