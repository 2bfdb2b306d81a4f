"""Two ways to propose crystals without a model: the baselines that a generator has to beat.

Random perturbation knows no chemistry; ionic substitution knows charges and radii, as a chemist with a table does.
Neither ever gives a training crystal back unchanged. Proposals carry no charges.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from pymatgen.core import Composition, Element, Lattice, Species, Structure

from qperov.crystals.perovskites.shannon import as_ion, charge_of, shannon_radius, tabulated_charges
from qperov.crystals.perovskites.sites import ANION_CHARGES
from qperov.errors import CompositionError, EmptyDatasetError

#: Draws for one ionic substitution before it counts as impossible.
ATTEMPTS = 1000
#: Elements above bismuth have no stable isotope, and two below it have none.
HEAVIEST, RADIOACTIVE = 83, ("Tc", "Pm")


def random_perturbations(
    structures: Sequence[Structure],
    n: int,
    *,
    species_swap_probability: float = 0.5,
    coordinate_sigma: float = 0.1,
    strain_sigma: float = 0.03,
    random_state: int | np.random.Generator | None = None,
) -> list[Structure]:
    r"""Training crystals with random displacements, strain and exchanged elements.

    A crystal is drawn; each of its elements is replaced, with a probability, by one drawn from all elements of the
    training crystals that it does not hold yet; the lattice becomes :math:`L(1 + \varepsilon)` with ε symmetric; each
    atom is displaced. Displacements and the six strains are normal.

    Parameters
    ----------
    structures : sequence of Structure
        Without sites that are shared by species.
    n : int
    species_swap_probability : float
        Of each element. At 0 every proposal keeps its parent's formula and charges: nearly all are valid, none new.
    coordinate_sigma : float
        Å, along each axis.
    strain_sigma : float
        Must be positive: no proposal is then a training crystal.
    random_state : int or Generator, optional
        Equal seeds give equal crystals.

    Returns
    -------
    list of Structure, length n

    Raises
    ------
    EmptyDatasetError
        If there are no structures.
    CompositionError
        If sites are shared by species.
    ValueError
        If a parameter is out of its range.
    """
    _check(structures, n)
    if not 0 <= species_swap_probability <= 1:
        raise ValueError(f"a probability lies between 0 and 1, not at {species_swap_probability:g}")
    if not strain_sigma > 0 or not coordinate_sigma >= 0:
        raise ValueError("strain_sigma must be positive and coordinate_sigma not negative; else a crystal may return")
    rng = np.random.default_rng(random_state)
    pool = sorted({name for structure in structures for name in _elements(structure)})
    proposals = []
    for parent in rng.integers(len(structures), size=n):
        structure = structures[parent]
        names = _elements(structure)
        swapped = dict(_swaps(sorted(set(names)), pool, species_swap_probability, rng))
        draws = np.tril(rng.normal(scale=strain_sigma, size=(3, 3)))
        lattice = Lattice(structure.lattice.matrix @ (np.eye(3) + draws + np.tril(draws, -1).T))
        moved = rng.normal(scale=coordinate_sigma, size=(len(structure), 3))
        places = np.mod(structure.frac_coords + lattice.get_fractional_coords(moved), 1.0)
        proposals.append(Structure(lattice, [swapped.get(name, name) for name in names], places))
    return proposals


def ionic_substitutions(
    structures: Sequence[Structure],
    n: int,
    *,
    radius_sigma: float = 0.1,
    random_state: int | np.random.Generator | None = None,
) -> list[Structure]:
    r"""Training crystals in which ions are replaced by others of the same charge and a similar radius.

    A crystal is drawn, and one or more of its ions, each number of them as likely. A replacement of radius r' for r
    has the weight :math:`\exp(-(r' - r)^2 / 2\sigma^2)`; candidates are the ions of common charge up to bismuth that
    Shannon has a radius for, O, S, Se, Te and the halogens for anions. The cell is scaled by the ratio of the mean
    radii, places are kept. Formulas of the training crystals are drawn again, so none of those comes back.

    Charges are those on the sites; where there are none, the likeliest that balance, by their frequency in the ICSD.
    Crystals whose charges cannot be told are not drawn.

    Parameters
    ----------
    structures : sequence of Structure
        Without sites that are shared by species.
    n : int
    radius_sigma : float
        Å; radii are Shannon's in coordination VI, or the nearest that is tabulated.
    random_state : int or Generator, optional
        Equal seeds give equal crystals.

    Returns
    -------
    list of Structure, length n

    Raises
    ------
    EmptyDatasetError
        If there are no structures.
    CompositionError
        If sites are shared by species, no crystal has charges that can be told, or a thousand draws in a row give a
        formula that is there already.

    References
    ----------
    R. D. Shannon, Acta Cryst. A 32, 751 (1976), doi:10.1107/S0567739476001551. For the cell: I.-H. Chu et al.,
    Comput. Mater. Sci. 146, 184 (2018), doi:10.1016/j.commatsci.2018.01.040.
    """
    _check(structures, n)
    if not radius_sigma > 0:
        raise ValueError(f"radius_sigma must be positive, not {radius_sigma:g}")
    rng = np.random.default_rng(random_state)
    known = {_formula(_elements(structure)) for structure in structures}
    told: dict[int, list[Species] | None] = {}
    proposals: list[Structure] = []
    draws = 0
    while len(proposals) < n:
        if draws == ATTEMPTS:
            raise CompositionError(
                f"{ATTEMPTS} substitutions in a row gave formulas that are there already, or crystals whose charges "
                "cannot be told"
            )
        draws += 1
        parent = int(rng.integers(len(structures)))
        if parent not in told:
            told[parent] = _ions(structures[parent])
        ions = told[parent]
        if ions is None:
            continue
        new = _replaced(ions, radius_sigma, rng)
        if _formula([ion.symbol for ion in new]) in known:
            continue
        structure = structures[parent]
        scale = sum(_radius(ion) for ion in new) / sum(_radius(ion) for ion in ions)
        lattice = Lattice(structure.lattice.matrix * scale)
        proposals.append(Structure(lattice, [ion.symbol for ion in new], structure.frac_coords))
        draws = 0
    return proposals


@cache
def replacements(charge: int) -> tuple[Species, ...]:
    """Ions of a charge that may replace each other, by atomic number."""
    if charge < 0:
        names = [name for name, of_anion in ANION_CHARGES.items() if of_anion == charge]
    else:
        names = [
            kind.symbol
            for kind in Element
            if kind.Z <= HEAVIEST
            and kind.symbol not in RADIOACTIVE
            and (kind.is_metal or kind.is_metalloid)
            and charge in kind.common_oxidation_states
            and charge in tabulated_charges(kind.symbol)
        ]
    return tuple(Species(name, charge) for name in sorted(names, key=lambda name: Element(name).Z))


def _swaps(
    names: Sequence[str], pool: Sequence[str], probability: float, rng: np.random.Generator
) -> list[tuple[str, str]]:
    taken = set(names)
    swaps = []
    for name in names:
        others = [other for other in pool if other not in taken]
        if rng.random() < probability and others:
            chosen = str(rng.choice(others))
            taken.add(chosen)
            swaps.append((name, chosen))
    return swaps


def _replaced(ions: Sequence[Species], sigma: float, rng: np.random.Generator) -> list[Species]:
    """Some of the ions exchanged, wherever they stand."""
    kinds = sorted(set(ions), key=str)
    taken = {ion.symbol for ion in kinds}
    exchanged: dict[Species, Species] = {}
    for place in rng.permutation(len(kinds))[: rng.integers(1, len(kinds) + 1)]:
        old = kinds[place]
        candidates = [ion for ion in replacements(charge_of(old)) if ion.symbol not in taken]
        if not candidates:
            continue
        weights = np.exp(-((np.array([_radius(ion) for ion in candidates]) - _radius(old)) ** 2) / (2 * sigma**2))
        if weights.sum() > 0:
            exchanged[old] = candidates[rng.choice(len(candidates), p=weights / weights.sum())]
            taken.add(exchanged[old].symbol)
    return [exchanged.get(ion, ion) for ion in ions]


def _ions(structure: Structure) -> list[Species] | None:
    """The ion on each site, if charges can be told and all have radii."""
    try:
        kinds = [site.specie for site in structure]
        if not all(getattr(kind, "oxi_state", None) for kind in kinds):
            formula = Composition(structure.composition.element_composition.get_integer_formula_and_factor()[0])
            guesses = formula.oxi_state_guesses()
            if not guesses or not all(float(charge).is_integer() and charge for charge in guesses[0].values()):
                return None
            kinds = [Species(kind.symbol, int(guesses[0][kind.symbol])) for kind in kinds]
        ions = [as_ion(str(kind)) for kind in kinds]
        for ion in set(ions):
            _radius(ion)
    except CompositionError:
        return None
    return ions


@cache
def _radius(ion: Species) -> float:
    return shannon_radius(ion, 6, nearest=True)


def _elements(structure: Structure) -> list[str]:
    return [site.specie.symbol for site in structure]


def _formula(names: Sequence[str]) -> str:
    return str(Composition("".join(names)).reduced_formula)


def _check(structures: Sequence[Structure], n: int) -> None:
    if not len(structures):
        raise EmptyDatasetError("there are no crystals to start from")
    if n < 0:
        raise ValueError(f"n must not be negative, not {n}")
    for index, structure in enumerate(structures):
        if not structure.is_ordered or not len(structure):
            raise CompositionError(f"crystal {index} has no sites, or sites shared by species")
