"""Patterns against pymatgen's XRDCalculator: seven crystal systems, the whole table of elements, every radiation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.diffraction.xrd import ATOMIC_SCATTERING_PARAMS, WAVELENGTHS, XRDCalculator
from pymatgen.core import Lattice, Structure

from qperov import powder_patterns

PER_SYSTEM = 32
#: Space groups of each system, with and without centring, screw axes, glide planes and inversion.
SPACE_GROUPS = {
    "cubic": ["P23", "I23", "Pa-3"],
    "hexagonal": ["P6", "P6_3", "P6/m", "P622"],
    "trigonal": ["P3", "R3", "R-3", "P321"],
    "tetragonal": ["P4", "I4", "P4/n", "P4_12_12"],
    "orthorhombic": ["P222", "Pna2_1", "C222", "Pmmm"],
    "monoclinic": ["P2", "P2_1/c", "C2/m"],
    "triclinic": ["P1", "P-1"],
}
#: Deuterium scatters as what pymatgen calls its symbol: hydrogen.
ELEMENTS = sorted(ATOMIC_SCATTERING_PARAMS.keys() - {"D"})


def random_lattice(system: str, rng: np.random.Generator) -> Lattice:
    a, b, c = rng.uniform(3, 5.5, size=3)
    if system == "triclinic":
        while True:
            lattice = Lattice.from_parameters(a, b, c, *rng.uniform(55, 125, size=3))
            # angles that close no cell, or a flat one, are drawn again
            if np.isfinite(lattice.volume) and lattice.volume > 15:
                return lattice
    return {
        "cubic": Lattice.cubic(a),
        "hexagonal": Lattice.hexagonal(a, c),
        "trigonal": Lattice.hexagonal(a, c),
        "tetragonal": Lattice.tetragonal(a, c),
        "orthorhombic": Lattice.orthorhombic(a, b, c),
        "monoclinic": Lattice.monoclinic(a, b, c, rng.uniform(92, 125)),
    }[system]


def occupants(rng: np.random.Generator, element: str) -> dict[str, float]:
    """A full site, a site with vacancies, or one that two or three elements share."""
    kind = rng.integers(4)
    if kind < 2:
        return {element: 1.0 if kind == 0 else float(rng.uniform(0.2, 1))}
    others = [str(other) for other in rng.choice(ELEMENTS, size=kind - 1, replace=False) if other != element]
    shares = rng.dirichlet(np.ones(len(others) + 2))
    return dict(zip([element, *others], shares.tolist(), strict=False))


def crystals_of(system: str) -> list[Structure]:
    """Random crystals on general positions; the first element of each walks through the table."""
    rng = np.random.default_rng(list(SPACE_GROUPS).index(system))
    first = PER_SYSTEM * list(SPACE_GROUPS).index(system)
    groups = SPACE_GROUPS[system]
    crystals = []
    for i in range(PER_SYSTEM):
        n_orbits = int(rng.integers(1, 3))
        walking = ELEMENTS[(first + i) % len(ELEMENTS)]
        species = [occupants(rng, walking), occupants(rng, str(rng.choice(ELEMENTS)))][:n_orbits]
        crystals.append(
            Structure.from_spacegroup(
                groups[i % len(groups)], random_lattice(system, rng), species, rng.random((n_orbits, 3))
            )
        )
    return crystals


def assert_equal(pattern, structure: Structure, two_theta_range=(0, 90), **settings_) -> None:
    reference = XRDCalculator(**settings_).get_pattern(structure, two_theta_range=two_theta_range)
    assert len(pattern) == len(reference.x)
    np.testing.assert_allclose(pattern.two_theta, reference.x, rtol=0, atol=1e-9)
    np.testing.assert_allclose(pattern.intensity, reference.y, rtol=0, atol=1e-8)
    np.testing.assert_allclose(pattern.d_spacing, reference.d_hkls, rtol=1e-10)


def test_the_sample_covers_what_it_claims():
    everything = [crystal for system in SPACE_GROUPS for crystal in crystals_of(system)]
    assert len(everything) >= 200
    assert {element.symbol for crystal in everything for element in crystal.composition.elements} == set(ELEMENTS)
    assert sum(not crystal.is_ordered for crystal in everything) >= 100
    assert sum(crystal.is_ordered for crystal in everything) >= 20


@pytest.mark.parametrize("system", SPACE_GROUPS)
def test_one_batch_of_a_crystal_system(system):
    crystals = crystals_of(system)
    for pattern, structure in zip(powder_patterns(crystals), crystals, strict=True):
        assert_equal(pattern, structure)


@pytest.mark.parametrize("wavelength", WAVELENGTHS)
def test_every_radiation(wavelength):
    rng = np.random.default_rng(0)
    crystals = [Structure(random_lattice(system, rng), ["Fe", "O"], rng.random((2, 3))) for system in SPACE_GROUPS][::3]
    span = (0, 90) if WAVELENGTHS[wavelength] > 1.3 else (10, 40)
    patterns = powder_patterns(crystals, wavelength=wavelength, two_theta_range=span)
    for pattern, structure in zip(patterns, crystals, strict=True):
        assert_equal(pattern, structure, span, wavelength=wavelength)


def test_the_whole_sphere_up_to_backscattering():
    crystals = [crystals_of(system)[0] for system in SPACE_GROUPS]
    patterns = powder_patterns(crystals, wavelength="CrKa", two_theta_range=None)
    for pattern, structure in zip(patterns, crystals, strict=True):
        assert_equal(pattern, structure, None, wavelength="CrKa")


def test_orderings_with_vacancies_and_mixing():
    """One batch on shared sites: what is left out of the product must come back from the first crystal."""
    rng = np.random.default_rng(5)
    lattice, positions = random_lattice("monoclinic", rng), rng.random((8, 3))
    halides = [{"Br": 1.0}, {"I": 1.0}, {"Br": 0.3, "I": 0.7}, {"Cl": 1.0}]
    for choices in (halides[:2], halides, [*halides, {"Br": 0.5}, {}]):
        crystals = [
            Structure(lattice, [{"Cs": 1.0}, {"Pb": 0.9, "Sn": 0.1}, *rng.choice(choices, size=6)], positions)
            for _ in range(12)
        ]
        for settings_ in ({}, {"Br": 1.2, "Pb": 0.4}):
            patterns = powder_patterns(crystals, debye_waller=settings_)
            for pattern, structure in zip(patterns[::3], crystals[::3], strict=True):
                assert_equal(pattern, structure, debye_waller_factors=settings_)


@st.composite
def random_crystals(draw: st.DrawFn) -> Structure:
    lengths = [draw(st.floats(2.5, 7)) for _ in range(3)]
    angles = [draw(st.floats(50, 130)) for _ in range(3)]
    lattice = Lattice.from_parameters(*lengths, *angles)
    if not (np.isfinite(lattice.volume) and lattice.volume > 12):
        lattice = Lattice.orthorhombic(*lengths)
    n_sites = draw(st.integers(1, 5))
    elements = st.sampled_from(ELEMENTS)
    species = [
        {draw(elements): draw(st.floats(0.05, 0.5)), draw(elements): draw(st.floats(0.05, 0.5))} for _ in range(n_sites)
    ]
    positions = [[draw(st.floats(-1.5, 1.5, width=32)) for _ in range(3)] for _ in range(n_sites)]
    return Structure(lattice, species, positions)


@settings(max_examples=40, deadline=None)
@given(random_crystals(), st.floats(0.9, 2.4), st.floats(0, 15), st.floats(65, 150), st.floats(0, 4))
def test_any_cell_radiation_range_and_thermal_motion(structure, wavelength, low, width, factor):
    damping = {structure.composition.elements[0].symbol: factor}
    [pattern] = powder_patterns(
        [structure], wavelength=wavelength, two_theta_range=(low, low + width), debye_waller=damping
    )
    assert_equal(pattern, structure, (low, low + width), wavelength=wavelength, debye_waller_factors=damping)
