from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy.integrate import quad
from scipy.special import voigt_profile

from qperov.descriptors.scans.patterns import shift_angles
from qperov.diffraction import Instrument, InstrumentRanges, Specimen, augment, powder_patterns, simulate_scan
from qperov.diffraction.instrument import effects
from qperov.diffraction.measured import MeasuredPattern
from qperov.diffraction.patterns import Pattern
from qperov.diffraction.profiles import line_shape

ANGLES = np.arange(10.0, 70.0, 0.01)
CUBIC = Structure(Lattice.cubic(4.0), ["Cs", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)])
SHARP = {"w": 0.0025, "counts": 1.0, "noise": False}


@pytest.fixture(scope="module")
def pattern() -> Pattern:
    return powder_patterns([CUBIC], wavelength=1.5406, two_theta_range=(5, 80))[0]


def highest(scan: MeasuredPattern, near: float) -> float:
    """Angle of the highest point within half a degree."""
    rows = np.abs(scan.two_theta - near) < 0.5
    return float(scan.two_theta[rows][scan.intensity[rows].argmax()])


def width(scan: MeasuredPattern, near: float) -> float:
    """Full width at half maximum of one peak, between points by straight lines."""
    rows = np.abs(scan.two_theta - near) < 2
    x, y = scan.two_theta[rows], scan.intensity[rows]
    top = int(y.argmax())
    left = np.interp(y[top] / 2, y[: top + 1], x[: top + 1])
    return float(np.interp(-y[top] / 2, -y[top:], x[top:]) - left)


def test_caglioti_width_at_right_angles_and_at_zero():
    np.testing.assert_allclose(effects.caglioti_width(np.array([0.0, 90.0]), 0.04, -0.02, 0.01), [0.1, 0.03**0.5])
    with pytest.raises(ValueError, match="raise U or W"):
        effects.caglioti_width(np.array([30.0]), 0.0, -1.0, 0.01)


def test_scherrer_width_of_ten_nanometres():
    """0.9 · 0.15406 / 10 / cos 20° = 0.0147553 rad, worked out by hand."""
    assert effects.scherrer_width(40.0, 1.5406, 10.0) == pytest.approx(0.84542, abs=1e-5)
    assert effects.scherrer_width(40.0, 1.5406, np.inf) == 0


@pytest.mark.parametrize("two_theta", [20.0, 60.0, 110.0])
def test_strain_width_is_what_braggs_law_makes_of_two_spacings(two_theta):
    strain, sine = 1e-4, np.sin(np.radians(two_theta / 2))
    ends = [np.degrees(2 * np.arcsin(sine / (1 + sign * strain))) for sign in (-1, 1)]
    assert effects.strain_width(two_theta, strain) == pytest.approx(ends[0] - ends[1], rel=1e-6)


@pytest.mark.parametrize(("gaussian", "lorentzian"), [(0.1, 0.1), (0.3, 0.03), (0.03, 0.3), (0.2, 0.0), (0.1, 0.02)])
def test_thompson_cox_hastings_is_nearly_a_voigt_peak(gaussian, lorentzian):
    x = np.linspace(-4, 4, 8001)
    gamma, mixing = effects.thompson_cox_hastings(gaussian, lorentzian)
    exact = voigt_profile(x, gaussian / np.sqrt(8 * np.log(2)), lorentzian / 2)
    ours = line_shape(x, float(gamma), "pseudo-voigt", float(np.clip(mixing, 0, 1)))
    assert np.abs(ours - exact).max() < 0.013 * exact.max()


def test_march_dollase_conserves_crystallites():
    for r in (0.3, 1.0, 2.5):
        assert quad(lambda cosine, r=r: effects.march_dollase(cosine, r), 0, 1)[0] == pytest.approx(1)
        ends = effects.march_dollase(np.array([1.0, 0.0]), r)
        np.testing.assert_allclose(ends, [r**-3, r**1.5])


def test_texture_of_a_cubic_crystal_by_hand(pattern):
    """With [100] as axis, (100) has one normal of three along it, (110) one at 90° and two at 45°."""
    r = 0.5
    factors = effects.texture_factors(*effects.texture_cosines(pattern, (1, 0, 0)), r)
    half = (r**2 / 2 + 1 / (2 * r)) ** -1.5
    np.testing.assert_allclose(
        factors[:3], [(r**-3 + 2 * r**1.5) / 3, (2 * half + r**1.5) / 3, (r**2 / 3 + 2 / (3 * r)) ** -1.5]
    )


def test_texture_takes_the_normal_of_planes_in_oblique_cells():
    oblique = Structure(Lattice.hexagonal(4.0, 7.0), ["Cs"], [(0, 0, 0)])
    [pattern] = powder_patterns([oblique], two_theta_range=(5, 60))
    cosines, peaks = effects.texture_cosines(pattern, (1, 0, 0))
    first = next(i for i, families in enumerate(pattern.hkl) if families[0]["hkl"][:2] == (1, 0))
    np.testing.assert_allclose(np.sort(np.abs(cosines[peaks == first])), [0.5, 0.5, 1.0], atol=1e-9)


def test_tilted_texture_conserves_crystallites():
    cosines, peaks = np.cos(np.linspace(0, np.pi / 2, 4001)), np.zeros(4001, dtype=int)
    upright = effects.texture_factors(cosines, peaks, 0.5)
    np.testing.assert_allclose(effects.texture_factors(cosines, peaks, 0.5, np.zeros(1)), upright, rtol=1e-12)
    each = np.arange(4001)
    tilted = effects.texture_factors(cosines, each, 0.5, np.full(4001, 20.0))
    assert np.trapezoid(tilted * np.sin(np.linspace(0, np.pi / 2, 4001)), dx=np.pi / 8000) == pytest.approx(1, abs=1e-3)
    assert tilted[0] == pytest.approx(effects.march_dollase(np.cos(np.radians(20.0)), 0.5))


def test_polarisation_by_graphite_has_the_tabulated_factor():
    """K = 0.800 for Cu Kα and graphite (002), 2θ_m = 26.55° (table of X'Pert HighScore)."""
    at_zero, at_right_angles = effects.polarisation_ratio(np.array([0.0, 90.0]), 26.55)
    assert 2 * at_zero - 1 == pytest.approx(0.800, abs=5e-4)
    assert at_right_angles == pytest.approx(1)
    np.testing.assert_allclose(effects.polarisation_ratio(ANGLES, 0.0), 1)


def test_displacement_moves_peaks_down_and_is_undone(pattern):
    """A sample 0.24 mm above the axis of a 240 mm circle: 2θ falls by 0.002 cos θ rad."""
    moved = simulate_scan(pattern, ANGLES, Instrument(displacement=0.24, zero=0.05, **SHARP))
    where = pattern.two_theta[1]
    shift = 0.05 - np.degrees(0.002) * np.cos(np.radians(where / 2))
    assert highest(moved, where) == pytest.approx(where + shift, abs=0.006)
    mended = shift_angles(moved, 0.05, -np.degrees(0.002))
    assert highest(mended, where) == pytest.approx(where, abs=0.006)


def test_peaks_have_the_widths_that_the_formulas_say(pattern):
    scan = simulate_scan(pattern, ANGLES, Instrument(w=0.01, u=0.02, noise=False), Specimen(size=40.0, strain=0.001))
    where = pattern.two_theta[[1, 5]]
    expected, _ = effects.thompson_cox_hastings(
        effects.caglioti_width(where, 0.02, 0.0, 0.01),
        effects.scherrer_width(where, 1.5406, 40.0) + effects.strain_width(where, 0.001),
    )
    np.testing.assert_allclose([width(scan, each) for each in where], expected, rtol=0.02)


def test_areas_of_peaks_are_the_computed_intensities(pattern):
    scan = simulate_scan(pattern, ANGLES, Instrument(**SHARP))
    areas = [scan.intensity[np.abs(ANGLES - each) < 0.6].sum() for each in pattern.two_theta[:4]]
    np.testing.assert_allclose(areas / max(areas), pattern.intensity[:4] / pattern.intensity[:4].max(), rtol=1e-4)


def test_expansion_moves_peaks_as_a_larger_crystal(pattern):
    [larger] = powder_patterns([Structure(Lattice.cubic(4.04), ["Cs", "Cl"], CUBIC.frac_coords)], wavelength=1.5406)
    scan = simulate_scan(pattern, ANGLES, Instrument(**SHARP), Specimen(expansion=0.01))
    assert highest(scan, larger.two_theta[2]) == pytest.approx(larger.two_theta[2], abs=0.006)


def test_background_hump_and_impurity_stand_where_they_are_put(pattern):
    specimen = Specimen(background=(0.3, -0.1), hump=(33.0, 8.0, 0.5), impurities=((50.0, 0.4),))
    bare = simulate_scan(pattern, ANGLES, Instrument(**SHARP))
    added = simulate_scan(pattern, ANGLES, Instrument(**SHARP), specimen).intensity - bare.intensity
    span = np.linspace(-1, 1, len(ANGLES))
    rest = added - (0.3 - 0.1 * span)
    at = [int(np.abs(ANGLES - where).argmin()) for where in (29.0, 33.0, 50.0, 65.0)]
    np.testing.assert_allclose(rest[at], [0.25, 0.5, 0.4, 0.0], atol=1e-3)


def test_noise_is_that_of_counts(pattern):
    instrument = Instrument(counts=400.0)
    specimen = Specimen(background=(1.0,))
    expected = simulate_scan(pattern, ANGLES, Instrument(counts=400.0, noise=False), specimen).intensity
    drawn = simulate_scan(pattern, ANGLES, instrument, specimen, random_state=3).intensity
    deviations = (drawn - expected) / np.sqrt(expected)
    assert abs(deviations.mean()) < 0.05
    assert deviations.std() == pytest.approx(1, abs=0.03)
    assert (drawn == np.round(drawn)).all()


def test_augmented_scans_do_not_depend_on_jobs_or_neighbours(pattern):
    one = augment([pattern, pattern], 3, random_state=5)
    two = augment([pattern, pattern], 3, random_state=5, n_jobs=2)
    assert [scan.name for scan in one] == ["0-0", "0-1", "0-2", "1-0", "1-1", "1-2"]
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.intensity, b.intensity)
    np.testing.assert_array_equal(augment([pattern], 1, random_state=5)[0].intensity, one[0].intensity)
    assert (augment([pattern], 1, random_state=6)[0].intensity != one[0].intensity).any()


def test_ranges_of_one_value_are_that_value():
    fixed = InstrumentRanges(w=(0.01, 0.01), zero=(0.1, 0.1), size=(50, 50), impurities=(2, 2), axes=((1, 1, 1),))
    instrument, specimen = fixed.draw(np.random.default_rng(0), (10.0, 20.0))
    assert (instrument.w, instrument.zero, specimen.size) == (pytest.approx(0.01), 0.1, pytest.approx(50))
    assert specimen.texture_axis == (1, 1, 1)
    assert len(specimen.impurities) == 2
    assert all(10 <= angle <= 20 for angle, _ in specimen.impurities)


def test_bad_settings_are_refused(pattern):
    for settings in ({"radius": 0.0}, {"counts": -1.0}):
        with pytest.raises(ValueError, match="must be positive"):
            Instrument(**settings)
    for settings in ({"size": 0.0}, {"texture": 0.0}, {"strain": -1e-3}, {"hump": (20.0, 0.0, 1.0)}):
        with pytest.raises(ValueError, match="must be positive"):
            Specimen(**settings)
    with pytest.raises(ValueError, match="not 0 0 0"):
        Specimen(texture_axis=(0, 0, 0))
    with pytest.raises(ValueError, match="size must go"):
        InstrumentRanges(size=(50.0, 10.0))
    with pytest.raises(ValueError, match="a plane at least"):
        InstrumentRanges(axes=())
    with pytest.raises(ValueError, match="a copy and two steps"):
        augment([pattern], 0)
    without = Pattern(pattern.two_theta, pattern.intensity, pattern.d_spacing)
    with pytest.raises(ValueError, match="has no lattice"):
        simulate_scan(without, ANGLES, specimen=Specimen(texture=0.5))
