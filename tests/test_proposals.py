from __future__ import annotations

import numpy as np
import pytest
from crystal_prototypes import caesium_chloride, cubic_perovskite, rock_salt
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Species, Structure

from qperov.crystals.perovskites.cells import perovskite_cell, perovskite_compositions
from qperov.crystals.perovskites.shannon import shannon_radius
from qperov.errors import CompositionError, EmptyDatasetError
from qperov.generative.bench.charge_balance import charge_verdict
from qperov.generative.bench.coordination import corner_sharing_verdict
from qperov.generative.bench.novelty import formula_of
from qperov.generative.bench.proposals import ionic_substitutions, random_perturbations, replacements

CELLS = [perovskite_cell(sites) for sites in perovskite_compositions()[::10]]


def test_as_many_as_asked_and_repeatable() -> None:
    for propose in (random_perturbations, ionic_substitutions):
        found = propose(CELLS, 25, random_state=3)
        assert len(found) == 25
        assert found == propose(CELLS, 25, random_state=3)
        assert found != propose(CELLS, 25, random_state=4)
        assert propose(CELLS, 5) != propose(CELLS, 5), "without a seed others each time"
        assert propose(CELLS, 0) == []
        assert all(
            isinstance(kind.symbol, str) and not isinstance(kind, Species) for own in found for kind in own.species
        )


def test_perturbed_lattices_are_never_those_of_the_parents() -> None:
    parents = [cubic_perovskite(), Structure(Lattice.cubic(3), ["Po"], [[0, 0, 0]])]
    edges = [
        own.lattice.abc
        for own in random_perturbations(parents, 200, species_swap_probability=0, strain_sigma=1e-3, random_state=0)
    ]
    assert not any(np.isclose(edge, parent.lattice.a, rtol=1e-9, atol=0).all() for edge in edges for parent in parents)


def test_spread_of_strain_and_displacements() -> None:
    large = Structure(Lattice.cubic(10), ["Cs"], [[0, 0, 0]])
    still = {"species_swap_probability": 0.0, "coordinate_sigma": 0.0}
    found = random_perturbations([large], 2000, **still, strain_sigma=0.02, random_state=0)
    strained = np.array([own.lattice.matrix / 10 - np.eye(3) for own in found])
    assert strained == pytest.approx(np.swapaxes(strained, 1, 2))
    assert strained.std(axis=0) == pytest.approx(np.full((3, 3), 0.02), rel=0.08)
    assert strained.mean(axis=0) == pytest.approx(np.zeros((3, 3)), abs=0.002)
    moved = [
        np.array(own.frac_coords - np.round(own.frac_coords)) @ own.lattice.matrix
        for own in random_perturbations(
            [large], 2000, species_swap_probability=0, coordinate_sigma=0.3, strain_sigma=1e-6, random_state=0
        )
    ]
    assert np.std(moved) == pytest.approx(0.3, rel=0.05)


def test_species_are_swapped_as_often_as_asked() -> None:
    kept = random_perturbations(CELLS, 100, species_swap_probability=0)
    assert {formula_of(own) for own in kept} <= {formula_of(own) for own in CELLS}
    parents = [cubic_perovskite(("Ca", "Ti", "O")), cubic_perovskite(("Sr", "Zr", "S"), 5.0)]
    always = random_perturbations(parents, 100, species_swap_probability=1, random_state=0)
    # each element gives way to one that its crystal does not hold
    assert {frozenset(own.symbol_set) for own in always} == {frozenset(own.symbol_set) for own in parents}
    assert all(("Ca" in own.symbol_set) == (own.volume > 90) for own in always)
    half = random_perturbations(parents, 400, species_swap_probability=0.5, random_state=0)
    wholes = [set(own.symbol_set) for own in parents]
    kept_whole = np.mean([set(own.symbol_set) in wholes for own in half])
    # none or all of three elements
    assert kept_whole == pytest.approx(0.25, abs=0.07)


def test_random_swaps_break_charges_and_substitutions_do_not() -> None:
    perturbed = random_perturbations(CELLS, 100, random_state=0)
    substituted = ionic_substitutions(CELLS, 100, random_state=0)
    share = np.mean([charge_verdict(own.composition, "common").passed for own in perturbed])
    assert 0.3 < share < 0.95
    assert all(charge_verdict(own.composition, "common").passed for own in substituted)


def test_substitutions_are_new_formulas_in_known_prototypes() -> None:
    known = {formula_of(own) for own in CELLS}
    found = ionic_substitutions(CELLS, 60)
    assert known.isdisjoint(formula_of(own) for own in found)
    assert all(len(own.symbol_set) == 3 for own in found)
    assert np.mean([corner_sharing_verdict(own).passed for own in found]) > 0.9


def test_cell_follows_the_radii() -> None:
    parent = perovskite_cell(next(sites for sites in perovskite_compositions(["O"]) if sites.formula == "CaTiO3"))
    kinds = {"Ca": "Ca2+", "Ti": "Ti4+", "O": "O2-"}
    old = sum(shannon_radius(kinds[site.specie.symbol], 6) for site in parent)
    charge = [2, 4, -2, -2, -2]
    for own in ionic_substitutions([parent], 20):
        ions = [Species(site.specie.symbol, number) for site, number in zip(own, charge, strict=True)]
        new = sum(shannon_radius(ion, 6, nearest=True) for ion in ions)
        assert own.lattice.a / parent.lattice.a == pytest.approx(new / old)
        assert own.frac_coords == pytest.approx(parent.frac_coords)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.02, 1.0), st.integers(0, 1000))
def test_narrow_widths_take_similar_radii(sigma: float, seed: int) -> None:
    found = ionic_substitutions([caesium_chloride()], 30, radius_sigma=sigma, random_state=seed)
    sodium = shannon_radius("Na+", 6)
    for own in found:
        cation = own[0].specie.symbol
        assert cation in {ion.symbol for ion in replacements(1)}
        if sigma < 0.03:
            assert abs(shannon_radius(Species(cation, 1), 6, nearest=True) - sodium) < 0.2


def test_charges_are_found_where_none_are_written() -> None:
    plain = [own.copy().remove_oxidation_states() for own in CELLS]
    assert all(charge_verdict(own.composition).passed for own in ionic_substitutions(plain, 20, random_state=0))


def test_replacements_have_the_charge() -> None:
    assert [ion.symbol for ion in replacements(-2)] == ["O", "S", "Se", "Te"]
    assert {"Na", "K", "Ag"} <= {ion.symbol for ion in replacements(1)}
    assert "Ti" in {ion.symbol for ion in replacements(4)}
    assert not {"Tc", "Po", "U", "Th"} & {ion.symbol for charge in range(1, 7) for ion in replacements(charge)}


def test_crystals_without_charges_are_passed_over() -> None:
    alloy = Structure(Lattice.cubic(2.9), ["Ni", "Al"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    found = ionic_substitutions([alloy, rock_salt()], 5)
    assert all(len(own) == 8 for own in found)
    with pytest.raises(CompositionError, match="substitutions in a row"):
        ionic_substitutions([alloy], 1)


@pytest.mark.parametrize("propose", [random_perturbations, ionic_substitutions])
def test_bad_input(propose) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(EmptyDatasetError, match="no crystals"):
        propose([], 3)
    with pytest.raises(ValueError, match="negative"):
        propose(CELLS, -1)
    shared = cubic_perovskite()
    shared[0] = {"Ca": 0.5, "Sr": 0.5}
    with pytest.raises(CompositionError, match="crystal 1 has no sites, or sites shared"):
        propose([CELLS[0], shared], 1)


@pytest.mark.parametrize(
    "settings_",
    [
        {"strain_sigma": 0},
        {"coordinate_sigma": -0.1},
        {"species_swap_probability": 1.5},
        {"strain_sigma": float("nan")},
    ],
)
def test_parameters_out_of_range(settings_: dict) -> None:
    with pytest.raises(ValueError, match=r"must be positive|lies between"):
        random_perturbations(CELLS, 1, **settings_)
    with pytest.raises(ValueError, match="radius_sigma must be positive"):
        ionic_substitutions(CELLS, 1, radius_sigma=0)
