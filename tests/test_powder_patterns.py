from __future__ import annotations

import pickle
import re
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perovskites import perovskite, random_decoration, symmetry_image
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import DummySpecies, Lattice, Structure
from threadpoolctl import threadpool_info, threadpool_limits

from qperov import load_dataset, powder_patterns
from qperov.diffraction import Pattern, scattering
from qperov.diffraction import patterns as pxrd
from qperov.diffraction.crystal_batches import squared_structure_factors
from qperov.diffraction.radiation import spectral_lines, wavelength_in_angstrom
from qperov.diffraction.reflections import reflections
from qperov.diffraction.scattering import form_factors
from qperov.errors import DescriptorError, MissingDependencyError, PatternError, QperovError

CU_KA = 1.54184

CRYSTAL_SYSTEMS = {
    "cubic": Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)]),
    "tetragonal": Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [(0, 0, 0), (0.3053, 0.3053, 0)]
    ),
    "orthorhombic": Structure.from_spacegroup(
        "Pnma",
        Lattice.orthorhombic(5.44, 7.64, 5.38),
        ["Ca", "Ti", "O", "O"],
        [(0.036, 0.25, 0.993), (0, 0, 0.5), (0.484, 0.25, 0.071), (0.289, 0.037, 0.711)],
    ),
    "hexagonal": Structure.from_spacegroup(
        "P6_3mc", Lattice.hexagonal(3.25, 5.207), ["Zn", "O"], [(1 / 3, 2 / 3, 0), (1 / 3, 2 / 3, 0.3819)]
    ),
    "trigonal": Structure.from_spacegroup(
        "R-3c", Lattice.hexagonal(4.76, 12.99), ["Al", "O"], [(0, 0, 0.3522), (0.3062, 0, 0.25)]
    ),
    "rhombohedral": Structure(Lattice.rhombohedral(4.75, 57.2), ["Bi", "Bi"], [(0.234,) * 3, (0.766,) * 3]),
    "monoclinic": Structure.from_spacegroup(
        "P2_1/c",
        Lattice.monoclinic(5.15, 5.21, 5.32, 99.2),
        ["Zr", "O", "O"],
        [(0.2754, 0.0395, 0.2083), (0.07, 0.3317, 0.3447), (0.4496, 0.7569, 0.4792)],
    ),
    "triclinic": Structure(
        Lattice.from_parameters(4.1, 5.3, 6.7, 78, 95, 103),
        ["Cs", "Pb", "I"],
        [(0, 0, 0), (0.4, 0.5, 0.6), (0.1, 0.7, 0.3)],
    ),
}
MIXED = Structure(
    Lattice.orthorhombic(5.1, 6.2, 7.3),
    [{"Br": 0.6, "I": 0.4}, {"Cs": 0.9}, "Pb", {"O2-": 0.5, "S2-": 0.25}],
    [(0.1, 0.2, 0.3), (0.5, 0.5, 0.5), (0, 0, 0), (0.7, 0.1, 0.9)],
)


def assert_equals_pymatgen(structure, wavelength="CuKa", two_theta_range=(0, 90), debye_waller=None, families=True):
    reference = XRDCalculator(wavelength=wavelength, debye_waller_factors=debye_waller).get_pattern(
        structure, two_theta_range=two_theta_range
    )
    [pattern] = powder_patterns(
        [structure], wavelength=wavelength, two_theta_range=two_theta_range, debye_waller=debye_waller
    )
    assert len(pattern) == len(reference.x)
    np.testing.assert_allclose(pattern.two_theta, reference.x, rtol=0, atol=1e-9)
    np.testing.assert_allclose(pattern.intensity, reference.y, rtol=0, atol=1e-8)
    np.testing.assert_allclose(pattern.d_spacing, reference.d_hkls, rtol=1e-10)
    if families:
        assert [family_set(peak) for peak in pattern.hkl] == [family_set(peak) for peak in reference.hkls]


def assert_same(pattern, other):
    """Two ways to one pattern: equal angles, intensities up to rounding."""
    assert np.array_equal(pattern.two_theta, other.two_theta)
    assert np.array_equal(pattern.d_spacing, other.d_spacing)
    np.testing.assert_allclose(pattern.intensity, other.intensity, rtol=0, atol=1e-9)


def vacant(structure: Structure, site: int) -> Structure:
    """``structure`` without one site."""
    other = structure.copy()
    other.remove_sites([site])
    return other


def shaken(structure: Structure, rng: np.random.Generator) -> Structure:
    """``structure`` with every site moved a little, in the same cell."""
    moves = rng.normal(scale=0.02, size=(len(structure), 3))
    return Structure(structure.lattice, structure.species, structure.frac_coords + moves)


def family_set(families: list[dict]) -> set[tuple]:
    return {(family["hkl"], family["multiplicity"]) for family in families}


def random_structure(rng: np.random.Generator, n_sites: int) -> Structure:
    while True:
        lattice = Lattice.from_parameters(*rng.uniform(3, 8, size=3), *rng.uniform(60, 120, size=3))
        # angles that close no cell, or a flat one, are drawn again
        if np.isfinite(lattice.volume) and lattice.volume > 20:
            break
    species = rng.choice(["H", "O", "Si", "Fe", "Br", "I", "Cs", "Pb"], size=n_sites)
    return Structure(lattice, list(species), rng.random((n_sites, 3)))


@pytest.mark.parametrize("system", CRYSTAL_SYSTEMS)
def test_equal_to_pymatgen_in_every_crystal_system(system):
    assert_equals_pymatgen(CRYSTAL_SYSTEMS[system])


@pytest.mark.parametrize("wavelength", ["CuKa", "MoKa", "CrKa", "CoKa1", 0.7, 2.5])
def test_equal_to_pymatgen_for_other_radiation(wavelength):
    assert_equals_pymatgen(CRYSTAL_SYSTEMS["orthorhombic"], wavelength=wavelength, families=wavelength != "MoKa")


def test_equal_to_pymatgen_with_mixed_sites_and_vacancies():
    assert_equals_pymatgen(MIXED)


def test_equal_to_pymatgen_with_thermal_motion():
    assert_equals_pymatgen(CRYSTAL_SYSTEMS["cubic"], debye_waller={"Na": 1.3, "Cl": 2.1})
    assert_equals_pymatgen(MIXED, debye_waller={"Br": 3.0, "Fe": 1.0, "Pb": 0.0})


@pytest.mark.parametrize("two_theta_range", [(0, 170), (90, 170), (20.5, 61.3), (0, 40)])
def test_equal_to_pymatgen_in_other_ranges(two_theta_range):
    for system in ("monoclinic", "hexagonal"):
        assert_equals_pymatgen(CRYSTAL_SYSTEMS[system], two_theta_range=two_theta_range, families=False)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 8))
def test_equal_to_pymatgen_for_any_cell(seed, n_sites):
    assert_equals_pymatgen(random_structure(np.random.default_rng(seed), n_sites), families=False)


def test_equal_to_pymatgen_for_decorations_of_one_lattice():
    rng = np.random.default_rng(0)
    for _ in range(3):
        assert_equals_pymatgen(random_decoration(perovskite((3, 2, 1)), 6, rng))


def test_a_batch_gives_what_single_crystals_give(monkeypatch):
    """Shared lattices, shared and unshared sites, several lattices, in any order and in small blocks."""
    rng = np.random.default_rng(1)
    decorated = [random_decoration(perovskite((2, 2, 1)), 4, rng) for _ in range(10)]
    decorated += [symmetry_image(structure, (2, 2, 1), rng) for structure in decorated]
    decorated += [vacant(structure, 7) for structure in decorated[:10]]
    moved = [shaken(structure, rng) for structure in decorated[:10]]
    batch = [*decorated, MIXED, *moved, *CRYSTAL_SYSTEMS.values()]
    batch = [batch[i] for i in rng.permutation(len(batch))]
    alone = [powder_patterns([structure])[0] for structure in batch]
    batches = [powder_patterns(batch)]
    monkeypatch.setattr(scattering, "BLOCK_ENTRIES", 3000)
    monkeypatch.setattr(scattering, "CACHE_ENTRIES", 3000)
    batches.append(powder_patterns(batch))
    for size in (1, 7):
        monkeypatch.setattr(pxrd, "CHUNK", size)
        batches.append(powder_patterns(batch))
    for patterns in batches:
        for together, single in zip(patterns, alone, strict=True):
            assert_same(together, single)
    assert [pattern.hkl for pattern in batches[-1][::5]] == [single.hkl for single in alone[::5]]


def test_no_crystals_give_no_patterns():
    assert powder_patterns([]) == []


@pytest.mark.parametrize(
    ("positions", "allowed"),
    [
        ([(0, 0, 0)], lambda h, k, ell: True),
        ([(0, 0, 0), (0.5, 0.5, 0.5)], lambda h, k, ell: (h + k + ell) % 2 == 0),
        (
            [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)],
            lambda h, k, ell: h % 2 == k % 2 == ell % 2,
        ),
    ],
    ids=["primitive", "body-centred", "face-centred"],
)
def test_cubic_peaks_stand_where_bragg_says(positions, allowed):
    a = 3.6
    structure = Structure(Lattice.cubic(a), ["Fe"] * len(positions), positions)
    [pattern] = powder_patterns([structure])
    squares = sorted(
        {
            h * h + k * k + ell * ell
            for h in range(5)
            for k in range(5)
            for ell in range(5)
            if allowed(h, k, ell) and 0 < (h * h + k * k + ell * ell) <= (2 * a * np.sin(np.pi / 4) / CU_KA) ** 2
        }
    )
    d = a / np.sqrt(squares)
    np.testing.assert_allclose(pattern.d_spacing, d, rtol=1e-12)
    np.testing.assert_allclose(pattern.two_theta, 2 * np.degrees(np.arcsin(CU_KA / (2 * d))), rtol=1e-12)
    multiplicities = [sum(family["multiplicity"] for family in peak) for peak in pattern.hkl]
    points = np.array([(h, k, m) for h in range(-5, 6) for k in range(-5, 6) for m in range(-5, 6)])
    lengths = (points**2).sum(axis=1)
    assert multiplicities == [int((lengths == s).sum()) for s in squares]


def test_intensity_of_a_simple_cubic_crystal_by_hand():
    """One atom a cell: |F|² = f², so I ∝ m f² (1 + cos² 2θ)/(sin² θ cos θ)."""
    [pattern] = powder_patterns([Structure(Lattice.cubic(3.35), ["Po"], [(0, 0, 0)])])
    theta = np.radians(pattern.two_theta / 2)
    f = form_factors(["Po"], 1 / pattern.d_spacing)[0]
    multiplicity = np.array([sum(family["multiplicity"] for family in peak) for peak in pattern.hkl])
    expected = multiplicity * f**2 * (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    np.testing.assert_allclose(pattern.intensity, 100 * expected / expected.max(), rtol=1e-12)


def test_hexagonal_indices_have_four_numbers():
    [pattern] = powder_patterns([CRYSTAL_SYSTEMS["hexagonal"]])
    for peak in pattern.hkl:
        for family in peak:
            h, k, i, _ = family["hkl"]
            assert i == -h - k


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**9))
def test_pattern_does_not_depend_on_origin_or_setting(seed):
    rng = np.random.default_rng(seed)
    structure = random_structure(rng, 5)
    order, axes = rng.permutation(5), rng.permutation(3)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    other = Structure(
        Lattice(structure.lattice.matrix[axes] @ rotation),
        [structure.species[int(i)] for i in order],
        (-structure.frac_coords + rng.random(3))[order][:, axes],
    )
    pattern, image = powder_patterns([structure, other])
    assert len(pattern) == len(image)
    np.testing.assert_allclose(image.two_theta, pattern.two_theta, atol=2e-5)
    np.testing.assert_allclose(image.intensity, pattern.intensity, atol=1e-7)


def test_a_supercell_has_the_pattern_of_its_small_cell():
    small, large = powder_patterns([perovskite(), perovskite((3, 2, 2))])
    np.testing.assert_allclose(large.two_theta, small.two_theta, atol=1e-9)
    np.testing.assert_allclose(large.intensity, small.intensity, atol=1e-8)


def test_form_factor_forwards_is_the_number_of_electrons():
    symbols = ["O", "Br", "I", "Cs", "Pb"]
    assert form_factors(symbols, np.zeros(1))[:, 0].tolist() == [8, 35, 53, 55, 82]
    g = np.linspace(0, 1.2, 20)
    assert (np.diff(form_factors(symbols, g), axis=1) < 0).all()
    damped = form_factors(["Br"], g, {"Br": 1.5}) / form_factors(["Br"], g)
    np.testing.assert_allclose(damped[0], np.exp(-1.5 * (g / 2) ** 2), rtol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**9))
def test_reflections_are_one_half_of_all_points_in_the_shell(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(3, 3)) + 4 * np.eye(3)
    low, high = sorted(rng.uniform(0.1, 0.9, size=2))
    found = reflections(matrix, (low, high))
    span = np.arange(-9, 10)
    points = np.stack(np.meshgrid(span, span, span), axis=-1).reshape(-1, 3)
    lengths = np.linalg.norm(points @ np.linalg.inv(matrix).T, axis=1)
    inside = {tuple(p) for p in points[(lengths >= low) & (lengths <= high)].tolist()}
    half = {tuple(p) for p in found.hkl.tolist()}
    assert half | {tuple(-i for i in p) for p in half} == inside
    assert len(half) * 2 == len(inside)
    assert (np.diff(found.g) >= 0).all()


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"wavelength": "UnobtainiumKa"}, "unknown radiation 'UnobtainiumKa'.*CuKa"),
        ({"wavelength": 0}, "must be positive"),
        ({"wavelength": float("nan")}, "must be positive"),
        ({"two_theta_range": (50, 10)}, "low < high"),
        ({"two_theta_range": (-5, 90)}, "low < high"),
        ({"two_theta_range": (0, 181)}, "low < high"),
        ({"two_theta_range": (float("nan"), 90)}, "low < high"),
    ],
)
def test_impossible_settings_are_refused(settings_, message):
    with pytest.raises(ValueError, match=message):
        powder_patterns([perovskite()], **settings_)


def test_radiation_by_name_and_number():
    assert wavelength_in_angstrom("CuKa") == CU_KA
    assert wavelength_in_angstrom(1) == 1.0


def test_settings_of_the_batch_are_refused_before_any_work():
    with pytest.raises(ValueError, match="on_error is 'raise' or 'warn'"):
        powder_patterns([perovskite()], on_error="ignore")
    for factor in (float("inf"), "0.5", None):
        with pytest.raises(ValueError, match="the Debye–Waller factor of Br must be a number"):
            powder_patterns([perovskite()], debye_waller={"Br": factor})
    for key in ("Br-", "Qq", 35):
        with pytest.raises(ValueError, match=f"given by element.* not by {key!r}"):
            powder_patterns([perovskite()], debye_waller={key: 0.5})


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        (perovskite(), r"a Structure is no list of crystals: put it into a list: \[structure\]"),
        (pd.DataFrame({"structure": [perovskite()]}), "a DataFrame is no list of crystals: give its column"),
        ("my_runs/", "a str is no list of crystals: read the crystals with qperov.read"),
        (Path("POSCAR"), "read the crystals with qperov.read"),
        ({"a": perovskite()}, r"a dict is no list of crystals: give list\(mapping.values\(\)\)"),
        (np.array([perovskite(), perovskite()], dtype=object), "give them in a plain list"),
        (load_dataset("cpx321"), r"give its \.structures"),
        (None, "a NoneType is no list of crystals"),
    ],
)
def test_what_is_no_list_of_crystals_is_told_from_one(given_, message):
    with pytest.raises(TypeError, match=message):
        powder_patterns(given_)


def test_any_row_of_crystals_will_do():
    [alone] = powder_patterns([MIXED])
    column = pd.Series([MIXED], index=["x"])
    array = np.empty(1, dtype=object)
    array[0] = MIXED
    for row in ((MIXED,), iter([MIXED]), column, array):
        [pattern] = powder_patterns(row)
        assert_same(pattern, alone)


NO_CRYSTALS = {
    "no reflection between 10° and 20°": Structure(Lattice.cubic(3), ["Fe"], [(0, 0, 0)]),
    "it has no sites, so nothing scatters": Structure(Lattice.cubic(3), [], []),
    "no X-ray scattering factor is tabulated for Lr": Structure(Lattice.cubic(4), ["Lr"], [(0, 0, 0)]),
    "no X-ray scattering factor is tabulated for X": Structure(Lattice.cubic(4), [DummySpecies("X")], [(0, 0, 0)]),
    "a NoneType is no crystal structure": None,
    "a str is no crystal structure": "POSCAR",
    "its cell has a volume of 0 Å³": Structure(Lattice([[1, 0, 0], [0, 1, 0], [1, 1, 0]]), ["Fe"], [(0, 0, 0)]),
    "its cell has a volume of nan Å³": Structure(Lattice(np.full((3, 3), np.nan)), ["Fe"], [(0, 0, 0)]),
    "coordinates of its sites are not numbers": Structure(Lattice.cubic(9), ["Fe"], [(0, np.nan, 0)]),
    "hkl to look at in this range of 2θ, more than 2e.07": Structure(Lattice.cubic(3000), ["Fe"], [(0, 0, 0)]),
}


@pytest.mark.parametrize("on_error", ["raise", "warn"])
def test_bad_crystals_are_listed_and_others_computed(on_error):
    good = perovskite()
    batch = [crystal for bad in NO_CRYSTALS.values() for crystal in (good, bad)]
    if on_error == "raise":
        with pytest.raises(PatternError, match=r"^10 of 20 crystals have no powder pattern; structure 1: ") as caught:
            powder_patterns(batch, two_theta_range=(10, 20))
        patterns = caught.value.patterns
        assert list(caught.value.reasons) == list(range(1, 20, 2))
        for reason, expected in zip(caught.value.reasons.values(), NO_CRYSTALS, strict=True):
            assert re.search(expected, reason)
        again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 — its own bytes
        assert again.reasons == caught.value.reasons
        assert str(again) == str(caught.value)
    else:
        with pytest.warns(UserWarning, match="structure 19: its cell"):
            patterns = powder_patterns(batch, two_theta_range=(10, 20), on_error="warn")
    [alone] = powder_patterns([good], two_theta_range=(10, 20))
    assert patterns[1::2] == [None] * len(NO_CRYSTALS)
    for pattern in patterns[::2]:
        assert_same(pattern, alone)


def test_a_long_list_of_reasons_is_cut_short():
    with pytest.raises(PatternError, match=r"structure 9: .*; and 2 more$") as caught:
        powder_patterns([None] * 12)
    assert len(caught.value.reasons) == 12


def test_a_single_crystal_without_pattern_is_told_plainly():
    iron = Structure(Lattice.cubic(2.87), ["Fe", "Fe"], [(0, 0, 0), (0.5, 0.5, 0.5)])
    assert CU_KA / (2 * np.sin(np.radians(31.15 / 2))) == pytest.approx(2.87, abs=0.01), "100 lies in the range"
    with pytest.raises(QperovError, match=r"^structure 0: no reflection between 25° and 35° at 1.54184 Å$"):
        powder_patterns([iron], two_theta_range=(25, 35))


def test_structure_factors_of_bad_crystal_are_refused_by_number():
    with pytest.raises(DescriptorError, match="structure 1: it has no sites"):
        list(squared_structure_factors([perovskite(), Structure(Lattice.cubic(3), [], [])], (0, 0.5)))


def test_sites_that_nothing_occupies_scatter_nothing():
    cell = perovskite()
    vacancy = Structure(cell.lattice, [*cell.species_and_occu, {}], [*cell.frac_coords, (0.2, 0.3, 0.4)])
    assert_same(*powder_patterns([cell, vacancy]))
    with pytest.raises(PatternError, match="structure 0: no reflection"):
        powder_patterns([Structure(cell.lattice, [{}], [(0, 0, 0)])])


@pytest.mark.slow
def test_processes_give_what_one_process_gives():
    rng = np.random.default_rng(3)
    batch = [random_decoration(perovskite((2, 1, 1)), 2, rng) for _ in range(12)]
    batch += [random_structure(rng, 4) for _ in range(12)]
    for parallel, single in zip(powder_patterns(batch, n_jobs=2), powder_patterns(batch), strict=True):
        assert_same(parallel, single)


def test_processes_within_threads_give_the_same():
    batch = list(CRYSTAL_SYSTEMS.values())
    with joblib.parallel_config(backend="threading", n_jobs=2):
        nested = joblib.Parallel()(joblib.delayed(powder_patterns)(batch, n_jobs=2) for _ in range(2))
    for patterns in nested:
        for pattern, single in zip(patterns, powder_patterns(batch), strict=True):
            assert_same(pattern, single)


def test_matrix_products_take_one_thread(monkeypatch):
    def threads() -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    seen = []

    def watched(*arguments):
        seen.append(threads())
        return chunk_peaks(*arguments)

    chunk_peaks = pxrd._chunk_peaks
    monkeypatch.setattr(pxrd, "_chunk_peaks", watched)
    with threadpool_limits(2, "blas"):
        before = threads()
        powder_patterns([MIXED])
        assert threads() == before
    assert before
    assert set(seen[0]) == {1}


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"device 'abacus' cannot be used .* leave device out"):
        powder_patterns([MIXED], device="abacus")


def test_a_device_gives_what_numpy_gives(monkeypatch):
    rng = np.random.default_rng(4)
    batch = [random_decoration(perovskite((2, 1, 1)), 2, rng) for _ in range(10)]
    batch += [shaken(structure, rng) for structure in batch[:3]] + [MIXED, *CRYSTAL_SYSTEMS.values()]
    monkeypatch.setattr(pxrd, "DEVICE_ENTRIES", 3000)
    damping = {"Br": 1.0, "O": 0.5}
    on_device = powder_patterns(batch, device="cpu", debye_waller=damping)
    for pattern, reference in zip(on_device, powder_patterns(batch, debye_waller=damping), strict=True):
        assert_same(pattern, reference)


def test_a_device_without_torch_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"needs PyTorch: pip install"):
        powder_patterns([perovskite()], device="cpu")


def test_lines_of_a_source_add_up():
    """Kα₁ and Kα₂ at two to one: the sum of both patterns, each peak at its own angle."""
    structure = CRYSTAL_SYSTEMS["orthorhombic"]
    [doublet] = powder_patterns([structure], wavelength=[("CuKa1", 1.0), ("CuKa2", 0.5)], two_theta_range=(20, 60))
    expected: dict[float, float] = {}
    for name, weight in (("CuKa1", 1.0), ("CuKa2", 0.5)):
        calculator = XRDCalculator(wavelength=name)
        single = calculator.get_pattern(structure, scaled=False, two_theta_range=(20, 60))
        expected |= {angle: weight * high for angle, high in zip(single.x, single.y, strict=True)}
    strongest = max(expected.values())
    kept = {angle: 100 * high / strongest for angle, high in expected.items() if high > 2e-5 * strongest}
    seen = doublet.intensity > 2e-3
    np.testing.assert_allclose(doublet.two_theta[seen], sorted(kept), rtol=0, atol=1e-9)
    np.testing.assert_allclose(doublet.intensity[seen], [kept[angle] for angle in sorted(kept)], rtol=0, atol=1e-8)
    assert [family["hkl"] for family in doublet.hkl[0]] == [family["hkl"] for family in doublet.hkl[1]]


def test_reflections_out_of_range_do_not_count():
    """Two lines far apart and a narrow range: most |g| between their limits are seen by neither."""
    lines, span = [("MoKa", 1.0), ("CrKa", 1.0)], (20, 21)
    iron = Structure(Lattice.cubic(2.87), ["Fe", "Fe"], [(0, 0, 0), (0.5, 0.5, 0.5)])
    [pattern] = powder_patterns([iron], wavelength=lines, two_theta_range=span)
    [alone] = powder_patterns([iron], wavelength="MoKa", two_theta_range=span)
    assert_same(pattern, alone)
    for count in (1, 10):
        with pytest.raises(PatternError, match=r"at 0\.71073 Å and 2\.291 Å"):
            powder_patterns([iron] * count, wavelength=lines, two_theta_range=(18, 19))


def test_one_line_split_in_two_equal_halves_is_that_line():
    [split] = powder_patterns([MIXED], wavelength=[(1.2, 1.0), (1.2, 1.0)])
    [whole] = powder_patterns([MIXED], wavelength=1.2)
    assert_same(split, whole)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "no wavelength"),
        (["CuKa1", "CuKa2"], "pairs"),
        ([("CuKa1", 0.0)], "weight of 'CuKa1' must be positive"),
        ([("CuKa1", float("nan"))], "weight of 'CuKa1' must be positive"),
        ([("CuKa1", 1.0), ("Cu", 0.5)], "unknown radiation 'Cu'"),
    ],
)
def test_impossible_sources_are_refused(source, message):
    with pytest.raises(ValueError, match=message):
        spectral_lines(source)


def test_a_pattern_made_by_hand_has_no_indices():
    assert Pattern(np.array([20.0]), np.array([100.0]), np.array([4.4])).hkl == [[]]


def test_displacements_exclude_debye_waller_factors():
    structure = with_displacements(CRYSTAL_SYSTEMS["monoclinic"], np.random.default_rng(0))
    with pytest.raises(PatternError, match="structure 0: it carries anisotropic displacements"):
        powder_patterns([structure], debye_waller={"O": 1.0})
    structure[1].properties["U11_cif"] = None
    with pytest.raises(PatternError, match=r"structure 0: U11_cif, ..., U12_cif must be set on every site"):
        powder_patterns([structure])
    alone = CRYSTAL_SYSTEMS["monoclinic"].copy()
    alone.add_site_property("U11_cif", [0.01] * len(alone))
    with pytest.raises(PatternError, match=r"structure 0: U11_cif without U22_cif: give all six displacements"):
        powder_patterns([alone])


def test_equal_to_pymatgen_with_anisotropic_displacements():
    assert_equals_pymatgen(with_displacements(CRYSTAL_SYSTEMS["monoclinic"], np.random.default_rng(1)))


def with_displacements(structure: Structure, rng: np.random.Generator) -> Structure:
    """``structure`` with thermal ellipsoids on its sites."""
    other = structure.copy()
    for name, scale in (("11", 0.03), ("22", 0.04), ("33", 0.05), ("23", 0.004), ("13", 0.003), ("12", 0.005)):
        other.add_site_property(f"U{name}_cif", (scale * rng.uniform(0.5, 1, size=len(other))).tolist())
    return other
