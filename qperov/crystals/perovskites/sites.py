"""Which ions of an ABX₃ crystal sit on its A, B and X sites: by chemistry and coordination, never by order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from pymatgen.core import Composition, Element, IStructure, Species, Structure

from qperov.crystals.perovskites.shannon import as_ion, charge_of, shannon_radius, tabulated_charges
from qperov.errors import CompositionError

#: Charges of the anions that perovskites are known with.
ANION_CHARGES = {"O": -2, "S": -2, "Se": -2, "Te": -2, "F": -1, "Cl": -1, "Br": -1, "I": -1}
#: Ions that share a kind of site, each with its share; the shares add up to 1.
Mixture = tuple[tuple[Species, float], ...]


@dataclass(frozen=True)
class PerovskiteSites:
    """Ions of the three kinds of site of ABX₃.

    Attributes
    ----------
    a, b, x : tuple of (Species, float)
        Ions with the share of the site that each of them holds.
    """

    a: Mixture
    b: Mixture
    x: Mixture

    @property
    def formula(self) -> str:
        """``A``, ``B``, ``X`` in this order, as in CaTiO3."""
        parts = [*self.a, *self.b, *((ion, 3 * share) for ion, share in self.x)]
        amounts = np.array([amount for _, amount in parts])
        # the least number of formula units that makes every amount whole, where one below 1000 does
        units = next((k for k in range(1, 1000) if np.allclose(k * amounts, np.round(k * amounts), atol=1e-6)), 1)
        numbers = [f"{round(units * amount, 4):g}" for amount in amounts]
        return "".join(
            ion.symbol + ("" if number == "1" else number) for (ion, _), number in zip(parts, numbers, strict=True)
        )


def mean_radius(ions: Mixture, coordination: int, *, nearest: bool = False) -> float:
    """Mean Shannon radius (Å) of the ions that share a site, weighted by their shares."""
    return sum(share * shannon_radius(ion, coordination, nearest=nearest) for ion, share in ions)


def mean_charge(ions: Mixture) -> float:
    """Mean charge of the ions that share a site."""
    return sum(share * charge_of(ion) for ion, share in ions)


def assign_sites(material: str | Composition | Structure) -> PerovskiteSites:
    """Find the ions on the A, B and X sites of an ABX₃ perovskite, single, double or mixed.

    X are the most electronegative elements that make up three fifths of the atoms. In a crystal, B are the cations
    nearer to their six nearest anions, in octahedra of which two share each anion. In a formula, the larger cations
    are A: by the radius in coordination VI, then in XII, then the one of lower charge, as in Bartel et al.
    Charges are taken as given; where there are none they balance, and the likeliest by their frequency in the ICSD
    are taken (pymatgen).

    Parameters
    ----------
    material : str, Composition or Structure
        ``"CaTiO3"``, ``"O3TiCa"``, ``"Cs2AgBiBr6"``; partial occupancies are averaged.

    Raises
    ------
    CompositionError
        If it is not ABX₃, charges cannot balance, no radius is known, or the crystal has no such octahedra.

    References
    ----------
    C. J. Bartel et al., Sci. Adv. 5, eaav0693 (2019), doi:10.1126/sciadv.aav0693.
    """
    if isinstance(material, IStructure):
        composition = material.composition
    else:
        try:
            composition = Composition(material)
        except (TypeError, ValueError) as error:
            raise CompositionError(f"{material!r} is not a chemical formula ({error})") from error
    amounts = {name: amount / composition.num_atoms for name, amount in composition.get_el_amt_dict().items()}
    anions = _anions(amounts, composition.formula)
    ions = _ions(composition, anions)
    x = _shares({ion: amount for ion, amount in ions.items() if ion.symbol in anions})
    if isinstance(material, IStructure):
        a, b = _by_distance(material, anions, ions)
    else:
        a, b = _by_size({ion: amount for ion, amount in ions.items() if ion.symbol not in anions}, composition.formula)
    return PerovskiteSites(a=a, b=b, x=x)


def _anions(amounts: Mapping[str, float], formula: str) -> frozenset[str]:
    taken, total = set(), 0.0
    for name in sorted(amounts.keys() & ANION_CHARGES.keys(), key=lambda name: -Element(name).X):
        if total > 0.6 - 1e-6:
            break
        taken.add(name)
        total += amounts[name]
    if abs(total - 0.6) > 1e-6:
        raise CompositionError(f"{formula} is not ABX₃: O, S, Se, Te or halogens must be three fifths of its atoms")
    return frozenset(taken)


def _ions(composition: Composition, anions: frozenset[str]) -> dict[Species, float]:
    """Ions with their share of all atoms."""
    total = composition.num_atoms
    if all(getattr(kind, "oxi_state", None) for kind in composition):
        given: defaultdict[Species, float] = defaultdict(float)
        for kind, amount in composition.items():
            # a spin beside the charge does not matter here
            given[Species(kind.symbol, charge_of(as_ion(str(kind))))] += amount / total
        if abs(sum(charge_of(ion) * share for ion, share in given.items())) > 1e-6:
            raise CompositionError(f"the charges of {composition.formula} do not add up to zero")
        return dict(given)
    whole = Composition(Composition(composition.get_el_amt_dict()).get_integer_formula_and_factor()[0])
    allowed = {
        kind.symbol: [ANION_CHARGES[kind.symbol]]
        if kind.symbol in anions
        else [charge for charge in tabulated_charges(kind.symbol) if charge > 0]
        for kind in whole
    }
    lacking = [name for name, charges in allowed.items() if not charges]
    if lacking:
        raise CompositionError(f"{composition.formula}: no Shannon radius for any cation of {', '.join(lacking)}")
    for guess in whole.oxi_state_guesses(oxi_states_override=allowed):
        if all(float(charge).is_integer() for charge in guess.values()):
            return {Species(name, int(guess[name])): whole[name] / whole.num_atoms for name in guess}
    raise CompositionError(f"no whole charges balance in {composition.formula}; give them, as in 'Fe3+'")


def _shares(ions: Mapping[Species, float]) -> Mixture:
    total = sum(ions.values())
    return tuple((ion, ions[ion] / total) for ion in sorted(ions, key=lambda ion: (Element(ion.symbol).X, str(ion))))


def _by_size(cations: Mapping[Species, float], formula: str) -> tuple[Mixture, Mixture]:
    def size(pair: tuple[Mixture, Mixture]) -> tuple[float, float, float]:
        return (
            round(mean_radius(pair[0], 6, nearest=True), 6),
            round(mean_radius(pair[0], 12, nearest=True), 6),
            -mean_charge(pair[0]),
        )

    pairs = list(_halves(cations))
    if not pairs:
        raise CompositionError(
            f"{formula} is not ABX₃: its cations do not fall into two halves; give a crystal, whose sites tell"
        )
    return max(pairs, key=size)


def _halves(cations: Mapping[Species, float]) -> Iterator[tuple[Mixture, Mixture]]:
    for many in range(1, len(cations)):
        for chosen in combinations(cations, many):
            if abs(sum(cations[ion] for ion in chosen) - 0.2) < 1e-6:
                a = {ion: cations[ion] for ion in chosen}
                yield _shares(a), _shares({ion: amount for ion, amount in cations.items() if ion not in a})


def trans_pairs(structure: Structure) -> np.ndarray:
    """Anions on opposite corners of the octahedra of an ABX₃ crystal.

    Of the six anions about a cation, those are opposite whose directions from it differ most.

    Parameters
    ----------
    structure : Structure
        Partial occupancies are allowed where a site holds anions alone, or cations alone.

    Returns
    -------
    ndarray of int, shape (n_octahedra, 3, 2)
        Numbers of sites.

    Raises
    ------
    CompositionError
        If it is not ABX₃, has no octahedra that share every anion in pairs, or some without opposite corners.
    """
    anions = _anions(structure.composition.fractional_composition.get_el_amt_dict(), structure.composition.formula)
    corners, directions = _octahedra(structure, anions)[2:]
    cosines = np.einsum("oik,ojk->oij", directions, directions)
    opposite = cosines.argmin(axis=2)
    here = np.arange(6)
    if not (np.take_along_axis(opposite, opposite, axis=1) == here).all():
        raise CompositionError(f"{structure.composition.formula}: octahedra so distorted that no corners are opposite")
    pairs = np.stack([np.broadcast_to(here, opposite.shape), opposite], axis=2)[opposite > here]
    return np.take_along_axis(corners[:, None], pairs.reshape(-1, 3, 2), axis=2)


def _by_distance(
    structure: Structure, anions: frozenset[str], ions: Mapping[Species, float]
) -> tuple[Mixture, Mixture]:
    a_sites, b_sites, *_ = _octahedra(structure, anions)
    return _held(structure, a_sites, ions), _held(structure, b_sites, ions)


def _octahedra(structure: Structure, anions: frozenset[str]) -> tuple[list[int], list[int], np.ndarray, np.ndarray]:
    """A and B sites, and of each B the six nearest anions, shape (n_b, 6), with their directions, (n_b, 6, 3)."""
    is_anion = np.array([all(kind.symbol in anions for kind in site.species) for site in structure])
    n_each = len(structure) // 5
    if is_anion.sum() != 3 * n_each or 5 * n_each != len(structure):
        raise CompositionError(f"{structure.composition.formula}: three fifths of the sites must hold anions alone")
    edge = (structure.volume / n_each) ** (1 / 3)
    centre, neighbour, image, distance = structure.get_neighbor_list(1.05 * edge)
    nearest: dict[int, np.ndarray] = {}
    means: dict[int, float] = {}
    for site in np.flatnonzero(~is_anion).tolist():
        around = np.flatnonzero(is_anion[neighbour] & (centre == site))
        nearest[site] = six = around[np.argsort(distance[around])[:6]]
        means[site] = float(distance[six].mean()) if len(six) == 6 else np.inf
    order = sorted(means, key=means.__getitem__)
    b_sites, a_sites = order[:n_each], order[n_each:]
    found = np.concatenate([nearest[site] for site in b_sites])
    corners = np.bincount(neighbour[found], minlength=len(structure))
    if len(found) != 6 * n_each or not (corners[is_anion] == 2).all():
        raise CompositionError(
            f"{structure.composition.formula}: no octahedra of cations that share every anion in pairs"
        )
    steps = structure.frac_coords[neighbour[found]] + image[found] - structure.frac_coords[centre[found]]
    directions = steps @ structure.lattice.matrix / distance[found, None]
    return a_sites, b_sites, neighbour[found].reshape(-1, 6), directions.reshape(-1, 6, 3)


def _held(structure: Structure, sites: list[int], ions: Mapping[Species, float]) -> Mixture:
    """Ions on the sites named; an element that has one charge in the whole crystal needs none on its site."""
    by_symbol = {ion.symbol: ion for ion in ions}
    found: defaultdict[Species, float] = defaultdict(float)
    for site in sites:
        for kind, amount in structure[site].species.items():
            charge = getattr(kind, "oxi_state", None)
            found[Species(kind.symbol, charge) if charge else by_symbol[kind.symbol]] += amount
    return _shares(found)
