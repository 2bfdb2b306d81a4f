from __future__ import annotations

import numpy as np
import pytest
from crystal_prototypes import caesium_chloride, cubic_perovskite, face_sharing, ilmenite, redescribed, rock_salt
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.core.structure_matcher import ElementComparator, StructureMatcher

from qperov.generative.bench.novelty import by_formula, compare_crystals, formula_of, same_crystal


def compared(generated: list[Structure], reference: list[Structure]) -> dict:
    return compare_crystals(dict(enumerate(generated)), reference, by_formula(reference))


@pytest.mark.parametrize("structure", [rock_salt(), cubic_perovskite(), ilmenite()])
def test_other_descriptions_are_the_same_crystal(structure: Structure) -> None:
    assert same_crystal(structure, redescribed(structure, 3))
    assert same_crystal(structure, structure.copy().scale_lattice(1.3 * structure.volume))


def test_charges_do_not_make_a_crystal_another() -> None:
    charged = rock_salt().add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    assert formula_of(charged) == "NaCl"
    assert same_crystal(charged, rock_salt())


def test_polymorphs_and_other_elements_are_not() -> None:
    assert not same_crystal(rock_salt(), caesium_chloride())
    assert not same_crystal(rock_salt(), rock_salt(species=("K", "Cl")))
    # A and B exchanged
    assert not same_crystal(cubic_perovskite(("Ca", "Ti", "O")), cubic_perovskite(("Ti", "Ca", "O")))


def test_groups_and_known_crystals() -> None:
    generated = [rock_salt(), caesium_chloride(), redescribed(rock_salt(), 1), cubic_perovskite()]
    found = compared(generated, [ilmenite(), caesium_chloride(3.5)])
    assert [found[i].group for i in range(4)] == [0, 1, 0, 3]
    assert [found[i].known_as for i in range(4)] == [-1, 1, -1, -1]
    assert [found[i].known_formula for i in range(4)] == [True, True, True, False]


def test_crystals_between_two_others_join_them() -> None:
    """Along a strain that carries the c axis past the tolerance, ends differ, neighbours do not."""

    def stretched(share: float) -> Structure:
        return Structure(Lattice.tetragonal(3.4, 3.4 * share), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])

    chain = [stretched(share) for share in (1.0, 1.15, 1.35, 1.55)]
    assert not same_crystal(chain[0], chain[-1])
    assert {own.group for own in compared(chain, [ilmenite()]).values()} == {0}
    assert len({own.group for own in compared([chain[0], chain[-1]], [ilmenite()]).values()}) == 2


@settings(max_examples=6, deadline=None)
@given(st.permutations(range(6)), st.integers(0, 100))
def test_order_does_not_matter(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    strains = 1 + 0.25 * rng.random((6, 3))
    places = [[[0, 0, 0], [0.5, 0.5, 0.5 + 0.2 * shift]] for shift in rng.random(6)]
    crystals = [
        Structure(Lattice.orthorhombic(*(3.4 * strain)), ["Na", "Cl"], own)
        for strain, own in zip(strains, places, strict=True)
    ]
    found = compared(crystals, [caesium_chloride()])
    shuffled = compared([crystals[i] for i in order], [caesium_chloride()])
    for place, index in enumerate(order):
        assert shuffled[place].known_as == found[index].known_as
        partners = {other for other in found if found[other].group == found[index].group}
        assert partners == {order[p] for p in shuffled if shuffled[p].group == shuffled[place].group}


def test_groups_agree_with_the_matchers_own() -> None:
    crystals = []
    for seed, kind in enumerate([caesium_chloride, cubic_perovskite, face_sharing] * 3):
        crystal = kind()
        crystal.perturb(0.05, seed=seed)
        crystals.append(crystal)
    matcher = StructureMatcher(0.2, 0.3, 5, comparator=ElementComparator())
    expected = {
        frozenset(next(i for i, own in enumerate(crystals) if own is member) for member in group)
        for group in matcher.group_structures(crystals)
    }
    found = compared(crystals, [ilmenite()])
    groups = {own.group for own in found.values()}
    assert {frozenset(i for i in found if found[i].group == group) for group in groups} == expected
    assert len(expected) == 3


def test_what_cannot_be_compared_is_told() -> None:
    broken = Structure(Lattice([[1, 0, 0], [1, 0, 0], [0, 0, 1]]), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    found = compared([broken, rock_salt()], [ilmenite()])
    assert found[0].group == -1
    assert found[0].fault
    assert found[1].group == 1
    assert not found[1].fault
    against = compared([rock_salt()], [broken])
    assert against[0].reference_fault.startswith("reference 0 could not be compared")


def test_formulas() -> None:
    assert by_formula([rock_salt(), ilmenite(), caesium_chloride()]) == {"NaCl": [0, 2], "TiFeO3": [1]}
    # pymatgen warns of elements without electronegativity
    assert formula_of(caesium_chloride(species=("Na", "Ne"))) in ("NaNe", "NeNa")
