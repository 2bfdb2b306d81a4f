"""Properties of the elements as one-hot vectors: each property is a row of bins, of which an element is in one.

Values are pymatgen's (https://pymatgen.org), covalent radii ASE's (Cordero's). Ranges of the bins are fixed here, so
that arrays keep their meaning when a tabulated value changes; values beyond the ends fall into the outermost bins. An
element of which a value is unknown is in no bin of that property.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from ase.data import covalent_radii
from pymatgen.core import Element

#: H to Lr.
ELEMENTS = tuple(Element.from_Z(z).symbol for z in range(1, 104))
_F_BLOCK_GROUP = 19
_BLOCKS = ("s", "p", "d", "f")


@dataclass(frozen=True)
class ElementProperty:
    """One property and its bins.

    Attributes
    ----------
    name : str
        With unit.
    bins : int
        How many.
    low, high : float
        Ends of the range, which the bins divide evenly.
    value : callable
        Element → value, or ``None`` where it is unknown.
    logarithmic : bool
        Whether the logarithm of value and ends is divided.
    """

    name: str
    bins: int
    low: float
    high: float
    value: Callable[[Element], float | None]
    logarithmic: bool = False

    def bin_of(self, element: Element) -> int | None:
        """Number of the element's bin, from 0, or ``None``."""
        value = self.value(element)
        if value is None:
            return None
        value, low, high = (
            (math.log(x) for x in (value, self.low, self.high)) if self.logarithmic else (value, self.low, self.high)
        )
        return min(max(int((value - low) / (high - low) * self.bins), 0), self.bins - 1)


def periodic_table_place(symbol: str) -> tuple[int, int]:
    """Row and column of an element in the printed periodic table, from 0: nine rows of 18, the f-block last."""
    element = Element(symbol)
    if element.is_lanthanoid:
        return 7, 2 + element.Z - 57
    if element.is_actinoid:
        return 8, 2 + element.Z - 89
    return element.row - 1, element.group - 1


def _tabulated(key: str) -> Callable[[Element], float | None]:
    return lambda element: element.data.get(key)


def _group(element: Element) -> float:
    return _F_BLOCK_GROUP if element.is_lanthanoid or element.is_actinoid else element.group


def _valence_electrons(element: Element) -> float:
    """Electrons outside closed shells as the group tells them; three in the f-block."""
    if element.Z == 2:
        return 2
    return element.group - 10 if element.group > 12 else element.group


def _block(element: Element) -> float:
    # helium stands above neon, but its shell is 1s²
    return 0 if element.Z == 2 else _BLOCKS.index(element.block)


def _ionic_radius(element: Element) -> float | None:
    radii = list((element.data.get("Ionic radii") or {}).values())
    return sum(radii) / len(radii) if radii else None


#: The nine properties of crystal-graph networks, in 92 bins.
GRAPH_PROPERTIES = (
    ElementProperty("group", 19, 0.5, 19.5, _group),
    ElementProperty("period", 7, 0.5, 7.5, lambda element: element.row),
    ElementProperty("electronegativity (Pauling)", 10, 0.5, 4.0, _tabulated("X")),
    ElementProperty("covalent radius (Å)", 10, 0.25, 2.75, lambda element: float(covalent_radii[element.Z])),
    ElementProperty("valence electrons", 12, 0.5, 12.5, _valence_electrons),
    ElementProperty(
        "first ionisation energy (eV)", 10, 3.8, 25.0, lambda element: element.ionization_energies[0], logarithmic=True
    ),
    ElementProperty("electron affinity (eV)", 10, -2.4, 3.7, _tabulated("Electron affinity")),
    ElementProperty("block", 4, -0.5, 3.5, _block),
    ElementProperty("molar volume (cm³/mol)", 10, 4.3, 72.0, _tabulated("Molar volume"), logarithmic=True),
)
#: Those, and four of thermochemistry, in 132 bins.
THERMOCHEMICAL_PROPERTIES = (
    *GRAPH_PROPERTIES,
    ElementProperty("average ionic radius (Å)", 10, 0.2, 2.0, _ionic_radius),
    ElementProperty(
        "thermal conductivity (W/m/K)", 10, 0.0035, 450.0, _tabulated("Thermal conductivity"), logarithmic=True
    ),
    ElementProperty("melting point (K)", 10, 0.0, 3900.0, _tabulated("Melting point")),
    ElementProperty("Mendeleev number", 10, 0.5, 103.5, _tabulated("Mendeleev no")),
)


@cache
def property_table(properties: tuple[ElementProperty, ...]) -> np.ndarray:
    """One-hot vectors of all elements, shape (103, total number of bins), read-only."""
    table = np.zeros((len(ELEMENTS), sum(p.bins for p in properties)))
    for row, symbol in enumerate(ELEMENTS):
        start = 0
        for known in properties:
            filled = known.bin_of(Element(symbol))
            if filled is not None:
                table[row, start + filled] = 1
            start += known.bins
    table.flags.writeable = False
    return table
