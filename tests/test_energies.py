"""Energies made comparable: identities by hand, parity with pymatgen, and references that are missing."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk, fcc100
from ase.calculators.emt import EMT
from hypothesis import given, settings
from hypothesis import strategies as st
from perovskites import perovskite, random_decoration
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.entries.computed_entries import ComputedEntry
from pymatgen.io.ase import AseAtomsAdaptor

from qperov.crystals.energies import (
    JOULE_PER_SQUARE_METRE,
    binding_energies,
    end_member_energies,
    energies_above_hull,
    energies_per_atom,
    formation_energies,
    mixing_energies,
    surface_energy,
)
from qperov.errors import MissingReferenceError

ENDS = {"CsPbBr3": -17.6, "CsPbI3": -15.5}


def mixture(count: int, shape: tuple[int, int, int] = (2, 1, 1)) -> Structure:
    return random_decoration(perovskite(shape), count, np.random.default_rng(count))


def cell(formula: str) -> Structure:
    """Atoms of a formula in a row: only the composition matters."""
    symbols = [element.symbol for element, n in Composition(formula).items() for _ in range(int(n))]
    n = len(symbols)
    return Structure(Lattice.orthorhombic(3.0 * n, 3, 3), symbols, [[i / n, 0, 0] for i in range(n)])


# --- mixing -------------------------------------------------------------------------------------


def test_the_energy_of_mixing_by_hand() -> None:
    structures = [mixture(k) for k in (0, 2, 6)]
    energies = np.array([2 * ENDS["CsPbBr3"], -33.7, 2 * ENDS["CsPbI3"]])
    found = mixing_energies(structures, energies, ENDS)
    # two formula units, a third of the halide iodine: (E − 2(2/3·(−17.6) + 1/3·(−15.5)))/2
    np.testing.assert_allclose(found, [0, (-33.7 + 2 * (2 * 17.6 + 15.5) / 3) / 2, 0], atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(
    counts=st.lists(st.integers(0, 12), min_size=1, max_size=5),
    excess=st.floats(-1, 1),
    ends=st.tuples(st.floats(-30, 0), st.floats(-30, 0)),
)
def test_what_is_linear_in_composition_does_not_mix(
    counts: list[int], excess: float, ends: tuple[float, float]
) -> None:
    structures = [mixture(k, (2, 2, 1)) for k in counts]
    x = np.array(counts) / 12
    energies = 4 * ((1 - x) * ends[0] + x * ends[1] + excess)
    found = mixing_energies(structures, energies, dict(zip(ENDS, ends, strict=True)))
    np.testing.assert_allclose(found, excess, atol=1e-9)


def test_mixing_of_three_end_members() -> None:
    ends = {"NaCl": -7.0, "KCl": -6.8, "NaBr": -6.2}
    assert mixing_energies([cell("Na2KCl2Br")], np.array([-20.0]), ends)[0] == pytest.approx(0.0, abs=1e-12)
    doubled = {"Cs2Pb2Br6": -35.2, "Cs2Pb2I6": -31.0}
    once, twice = (mixing_energies([mixture(2)], np.array([-33.7]), ends)[0] for ends in (ENDS, doubled))
    assert twice == pytest.approx(2 * once), "a formula unit is what the end members are written in"


@pytest.mark.parametrize(
    ("formula", "ends", "words"),
    [
        ("CsPbCl3", ENDS, "CsPbCl3 is no mixture of CsPbBr3, CsPbI3"),
        ("CsPbBr5", ENDS, "no mixture"),
        ("CsPbBr3", {"CsPbI3": -1.0}, "no mixture"),
        ("NaCl", {"KCl": 0.0, "NaKCl2": 0.0, "Na2Cl2": 0.0}, "not independent"),
        ("KCl2Na", {"NaCl": 0.0, "K2Cl2": 0.0, "KClNa": 0.0, "KCl": 0.0}, "not independent"),
        ("NaCl", {}, "not independent"),
    ],
)
def test_compositions_without_a_reference(formula: str, ends: dict[str, float], words: str) -> None:
    with pytest.raises(MissingReferenceError, match=words):
        mixing_energies([cell(formula)], np.array([0.0]), ends)


def test_end_members_are_the_most_stable_of_their_formula() -> None:
    structures = [mixture(0), mixture(0, (1, 1, 1)), mixture(6), mixture(3)]
    energies = np.array([-35.0, -17.4, -30.8, -33.0])
    ends = end_member_energies(structures, energies, ["CsPbBr3", "CsPbI3"])
    assert ends == {"CsPbBr3": -17.5, "CsPbI3": -15.4}
    found = mixing_energies(structures, energies, ends)
    np.testing.assert_allclose(found[[0, 2]], 0, atol=1e-12)
    assert found[1] == pytest.approx(0.1)
    with pytest.raises(MissingReferenceError, match="no structure is CsPbCl3"):
        end_member_energies(structures, energies, ["CsPbCl3"])


# --- atoms and elements -------------------------------------------------------------------------


def test_binding_and_formation_are_zero_at_their_references() -> None:
    references = {"Na": -1.3, "Cl": -1.8}
    made = [cell("NaCl"), cell("Na3Cl"), cell("Na4Cl4")]
    energies = np.array([-1.3 - 1.8, -3.9 - 1.8, 8 * -3.3])
    for function in (binding_energies, formation_energies):
        np.testing.assert_allclose(function(made, energies, references), [0, 0, -3.3 + 1.55], atol=1e-12)
        with pytest.raises(MissingReferenceError, match="of Cl"):
            function(made, energies, {"Na": -1.3})
    np.testing.assert_allclose(energies_per_atom(made, energies), [-1.55, -1.425, -3.3])


def test_binding_of_copper_is_emt_s_cohesive_energy() -> None:
    copper = bulk("Cu", cubic=True)
    copper.calc = EMT()
    structure = AseAtomsAdaptor.get_structure(copper)
    # EMT counts energies from the free atom's, up to the crystal's own zero
    shifted = np.array([copper.get_potential_energy() - 4 * 3.5])
    found = binding_energies([structure], shifted, {"Cu": 0.0})
    assert found[0] == pytest.approx(copper.get_potential_energy() / 4 - 3.5)


# --- surfaces -----------------------------------------------------------------------------------


def test_surface_energy_of_copper_does_not_depend_on_slab() -> None:
    crystal = bulk("Cu")
    crystal.calc = EMT()
    unit = AseAtomsAdaptor.get_structure(crystal)
    found = []
    for layers, size in ((7, (1, 1)), (9, (1, 1)), (9, (2, 1))):
        slab = fcc100("Cu", (*size, layers), vacuum=8.0, periodic=True)
        slab.calc = EMT()
        structure = AseAtomsAdaptor.get_structure(slab)
        found.append(surface_energy(structure, slab.get_potential_energy(), unit, crystal.get_potential_energy()))
    np.testing.assert_allclose(found, found[0], rtol=1e-6)
    assert 0.5 < found[0] * JOULE_PER_SQUARE_METRE < 2.5, "metals have one or two J/m²"


def test_the_area_is_that_of_the_other_two_vectors() -> None:
    slab = Structure(Lattice.from_parameters(4, 30, 5, 90, 60, 90), ["Na", "Cl"], [[0, 0, 0], [0, 0.1, 0.5]])
    found = surface_energy(slab, -6.0, cell("Na4Cl4"), -28.0, normal=1)
    assert found == pytest.approx((-6.0 + 7.0) / (2 * 20 * np.sin(np.radians(60))))
    with pytest.raises(MissingReferenceError, match="chemical potentials"):
        surface_energy(cell("Na2Cl"), 0.0, cell("NaCl"), 0.0)


# --- hull ---------------------------------------------------------------------------------------


def test_above_the_hull_by_hand_and_as_pymatgen_says() -> None:
    entries = [PDEntry(Composition(f), e) for f, e in (("Na", 0.0), ("Cl", 0.0), ("NaCl", -4.0), ("NaCl3", -4.4))]
    structures = [cell("NaCl"), cell("Na3Cl"), cell("Na2Cl2"), cell("NaCl3")]
    energies = np.array([-4.0, -3.6, -8.4, -4.8])
    found = energies_above_hull(structures, energies, entries)
    # Na3Cl: the tie line of Na and NaCl lies at −1 eV/atom; the last two are below what was known
    np.testing.assert_allclose(found, [0, 0.1, -0.1, -0.1], atol=1e-9)
    diagram = PhaseDiagram(entries)
    again = [
        diagram.get_e_above_hull(PDEntry(s.composition, e), allow_negative=True)
        for s, e in zip(structures, energies, strict=True)
    ]
    np.testing.assert_allclose(found, again, atol=1e-12)


def test_a_hull_needs_every_element() -> None:
    entries = [ComputedEntry("Na", 0.0), ComputedEntry("NaCl", -4.0)]
    with pytest.raises(MissingReferenceError, match="no entry of the element Cl:"):
        energies_above_hull([cell("NaCl")], np.array([-4.0]), entries)
    with pytest.raises(MissingReferenceError, match="no entry of the element K:"):
        energies_above_hull([cell("KCl")], np.array([-4.0]), [*entries, ComputedEntry("Cl", 0.0)])


def test_energies_and_structures_must_match() -> None:
    for function in (energies_per_atom, lambda s, e: mixing_energies(s, e, ENDS)):
        with pytest.raises(ValueError, match="1 structures need as many energies"):
            function([mixture(0)], np.array([1.0, 2.0]))
