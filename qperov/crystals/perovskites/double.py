"""Lead-free double perovskites Cs₂B′B″X₆ in the six orderings of their B sites that a 2×2×2 cell holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Species, Structure

from qperov.crystals.operations import point_group, symmetry_operations
from qperov.crystals.orderings.enumeration import Ordering, orderings
from qperov.crystals.perovskites.cells import perovskite_cell
from qperov.crystals.perovskites.shannon import as_ion
from qperov.crystals.perovskites.sites import PerovskiteSites

#: Standard potentials (V) at which M³⁺ turns into the next lower state: M⁺ of In and Tl, the element of Sb and Bi.
#: CRC Handbook of Chemistry and Physics, electrochemical series.
POTENTIALS = {"In": -0.44, "Tl": 1.25, "Sb": 0.21, "Bi": 0.31}
#: Ag⁺ / Ag²⁺; no trivalent ion here oxidises it.
SILVER_POTENTIAL = 1.98


@dataclass(frozen=True)
class DoublePerovskite:
    """A₂B′B″X₆, ions with their charges as in ``"Sn2+"``."""

    a: str
    b: tuple[str, str]
    x: str

    @property
    def formula(self) -> str:
        """As in Cs2SnCaI6."""
        first, second = (as_ion(ion).symbol for ion in self.b)
        return f"{as_ion(self.a).symbol}2{first}{second}{as_ion(self.x).symbol}6"

    @property
    def sites(self) -> PerovskiteSites:
        """Ions of the A, B and X sites, half of each B ion."""
        first, second = (as_ion(ion) for ion in self.b)
        return PerovskiteSites(a=((as_ion(self.a), 1.0),), b=((first, 0.5), (second, 0.5)), x=((as_ion(self.x), 1.0),))


@dataclass(frozen=True, eq=False)
class OrderedDoublePerovskite:
    """One compound in one ordering.

    Attributes
    ----------
    compound : DoublePerovskite
    site_symmetry : str
        Schoenflies symbol of the ordering, as in ``"Td"``.
    structure : Structure
        2×2×2 cell of 40 atoms, with charges.
    multiplicity : int
        How many of the 70 decorations of the cell are equivalent to this one.
    """

    compound: DoublePerovskite
    site_symmetry: str
    structure: Structure
    multiplicity: int


def published_double_perovskites() -> tuple[DoublePerovskite, ...]:
    """The 15 compounds of the MATGANIP paper's heat map: eight iodides, then seven bromides.

    Iodides are Cs₂SnB″I₆ with Sn²⁺ and B″²⁺ of Ca, Ti, V, Mn, Fe, Ni, Cu, Zn. For the bromides the paper lists
    B′ = Ag, In, Tl and B″ = In, Tl, Sb, Bi, and its text does not say which pairs. Taken here are those of B′⁺ and
    B″³⁺ in which B″³⁺ does not oxidise B′⁺, by standard potentials. That leaves Ag⁺ with all four, and Tl⁺ with
    In³⁺, Sb³⁺, Bi³⁺: seven, as many as the paper has. In and Tl are one pair, and it is Tl⁺In³⁺; In⁺ would be
    oxidised by Sb³⁺ and Bi³⁺ too (see below).

    References
    ----------
    Z. Xiao et al., J. Am. Chem. Soc. 139, 6054 (2017), doi:10.1021/jacs.7b02227: Cs₂In(I)M(III)X₆ is unstable.
    """
    iodides = [
        DoublePerovskite("Cs+", ("Sn2+", f"{b}2+"), "I-") for b in ("Ca", "Ti", "V", "Mn", "Fe", "Ni", "Cu", "Zn")
    ]
    resists = {"Ag": SILVER_POTENTIAL, "In": POTENTIALS["In"], "Tl": POTENTIALS["Tl"]}
    bromides = [
        DoublePerovskite("Cs+", (f"{first}+", f"{second}3+"), "Br-")
        for first, limit in resists.items()
        for second, potential in POTENTIALS.items()
        if first != second and potential < limit
    ]
    return (*iodides, *bromides)


def site_symmetry(ordering: Ordering) -> str:
    """Schoenflies symbol of the point operations about the origin that keep an ordering.

    Operations with a translation do not count: the eight B sites of a 2×2×2 cell with A at the origin are the corners
    of a cube, and the symbol is that of the cube as it is coloured.
    """
    coloured = ordering.structure
    names = sorted({site.species_string for site in coloured})
    rotations, translations = symmetry_operations(
        coloured.lattice.matrix, coloured.frac_coords, [names.index(site.species_string) + 1 for site in coloured]
    )
    about_origin = rotations[(np.abs(translations - np.round(translations)) < 1e-4).all(axis=1)]
    return point_group(about_origin)


def double_perovskites(compounds: Sequence[DoublePerovskite] | None = None) -> list[OrderedDoublePerovskite]:
    """Every compound in every inequivalent ordering of its B sites, four and four, in the 2×2×2 cell.

    The 48 point operations sort the 70 decorations into six classes, named by the operations that keep them: Td
    (rock salt), C3v, C4v (layers), D2h (columns), Cs and C2. Edges come from Shannon radii
    (:func:`~qperov.crystals.perovskites.cells.lattice_constant`), and so does one tolerance factor for all six.

    Parameters
    ----------
    compounds : sequence of DoublePerovskite, optional
        :func:`published_double_perovskites` where left out.

    Returns
    -------
    list of OrderedDoublePerovskite
        Six for each compound, the most symmetric ordering first.

    Raises
    ------
    CompositionError
        If a radius is unknown.
    """
    chosen = published_double_perovskites() if compounds is None else tuple(compounds)
    classes: list[tuple[str, Ordering]] | None = None
    found = []
    for compound in chosen:
        cell = perovskite_cell(compound.sites) * (2, 2, 2)
        b_sites = [i for i, site in enumerate(cell) if len(site.species) == 2]
        if classes is None:
            classes = _named_classes(cell, b_sites)
        a, x = as_ion(compound.a), as_ion(compound.x)
        for name, ordering in classes:
            species: list[Species] = [a if a in site.species else x for site in cell]
            for site, held in zip(ordering.sites, ordering.names, strict=True):
                species[site] = as_ion(compound.b[ordering.species.index(held)])
            structure = Structure(cell.lattice, species, cell.frac_coords)
            found.append(OrderedDoublePerovskite(compound, name, structure, ordering.multiplicity))
    return found


def _named_classes(cell: Structure, b_sites: list[int]) -> list[tuple[str, Ordering]]:
    """The orderings of the B sites with their symbols; the cell's own ions do not matter."""
    every = orderings(cell, b_sites, ("Sn2+", "Ca2+"), 4)
    return [(site_symmetry(o), o) for o in sorted(every, key=lambda o: (o.multiplicity, o.occupied))]
