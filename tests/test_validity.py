from __future__ import annotations

import numpy as np
import pytest
from crystal_prototypes import caesium_chloride, cubic_perovskite, redescribed, rock_salt
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from qperov.generative.bench.validity import (
    closest_contacts,
    covalent_radius,
    covalent_verdict,
    distance_verdict,
    elongation,
    volume_verdict,
)


def test_contacts_of_rock_salt() -> None:
    contacts = closest_contacts(rock_salt(5.64))
    assert contacts.distance == pytest.approx(2.82)
    assert contacts.pair == "Cl–Na"
    # Cordero: Na 1.66 Å, Cl 1.02 Å
    assert contacts.covalent_share == pytest.approx(2.82 / 2.68)
    assert contacts.covalent_pair == "Cl–Na"
    assert distance_verdict(contacts).passed
    assert covalent_verdict(contacts).passed


def test_an_atom_touches_its_own_image() -> None:
    thin = Structure(Lattice.orthorhombic(0.4, 9, 9), ["Na"], [[0, 0, 0]])
    contacts = closest_contacts(thin)
    assert contacts.distance == pytest.approx(0.4)
    assert not distance_verdict(contacts).passed
    assert "0.400 Å" in distance_verdict(contacts).reason


@pytest.mark.parametrize(
    ("distance", "apart", "covalent"), [(0.49, False, False), (0.51, True, False), (2.0, True, True)]
)
def test_collisions(distance: float, apart: bool, covalent: bool) -> None:
    pair = Structure(Lattice.cubic(9), ["Na", "Cl"], [[0, 0, 0], [distance / 9, 0, 0]])
    contacts = closest_contacts(pair)
    assert contacts.distance == pytest.approx(distance)
    assert distance_verdict(contacts).passed is apart
    assert covalent_verdict(contacts).passed is covalent


def test_smallest_ratio_need_not_be_the_shortest_distance() -> None:
    mixed = Structure(
        Lattice.cubic(12), ["H", "O", "Cs", "Cs"], [[0, 0, 0], [0.08, 0, 0], [0.5, 0.5, 0.5], [0.75, 0.5, 0.5]]
    )
    contacts = closest_contacts(mixed)
    assert contacts.pair == "H–O"
    assert contacts.covalent_pair == "Cs–Cs"
    assert contacts.covalent_share == pytest.approx(3.0 / 4.88)


def test_element_without_covalent_radius() -> None:
    assert np.isnan(covalent_radius("Lr"))
    verdict = covalent_verdict(closest_contacts(caesium_chloride(3.4, ("Lr", "Cl"))))
    assert (verdict.passed, verdict.reason) == (False, "an element without a covalent radius")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_contacts_do_not_depend_on_the_description(seed: int) -> None:
    structure = cubic_perovskite()
    structure.perturb(0.3, seed=seed)
    contacts, others = closest_contacts(structure), closest_contacts(redescribed(structure, seed))
    assert others.distance == pytest.approx(contacts.distance)
    assert others.covalent_share == pytest.approx(contacts.covalent_share)


def test_sheared_cell_is_the_same_crystal() -> None:
    structure = cubic_perovskite()
    sheared = structure.copy()
    sheared.make_supercell([[1, 7, 0], [0, 1, -5], [0, 0, 1]])
    assert closest_contacts(sheared).distance == pytest.approx(3.9 / 2)
    assert elongation(sheared) == pytest.approx(1)


def test_volume() -> None:
    tiny = caesium_chloride(0.58)
    assert volume_verdict(tiny).value == pytest.approx(0.58**3 / 2)
    assert not volume_verdict(tiny).passed
    assert volume_verdict(caesium_chloride(0.6)).passed
    assert volume_verdict(Structure(Lattice.cubic(3), [], [])).reason == "no atoms"
    broken = Structure(Lattice.cubic(3), ["Na"], [[np.nan, 0, 0]])
    assert "not a finite number" in volume_verdict(broken).reason


def test_elongation_of_a_needle() -> None:
    assert elongation(Structure(Lattice.orthorhombic(2, 2, 250), ["Na"], [[0, 0, 0]])) == pytest.approx(25)
