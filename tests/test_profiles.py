from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perovskites import perovskite
from pymatgen.core import Lattice, Structure

from qperov import PXRDFeaturizer, powder_patterns
from qperov.diffraction import profiles
from qperov.diffraction.measured import MeasuredPattern, bragg_angles
from qperov.diffraction.profiles import NORMALIZATIONS, SHAPES, ProfileGrid, line_shape
from qperov.errors import DescriptorError

IRON = Structure(Lattice.cubic(3.0), ["Fe"], [(0, 0, 0)])
widths = st.floats(0.05, 2.0)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SHAPES), widths, st.floats(0, 1))
def test_every_shape_has_unit_area_and_the_width_asked_for(shape, width, mixing):
    x = width * np.linspace(-400, 400, 40_001)
    y = line_shape(x, width, shape, mixing)
    # the tails of a Lorentzian beyond ±a hold w/(πa) of it
    assert np.trapezoid(y, x) == pytest.approx(1, abs=1.1 / (400 * np.pi))
    half = line_shape(np.array([-width / 2, width / 2]), width, shape, mixing) / y.max()
    np.testing.assert_allclose(half, 0.5, rtol=1e-9)
    np.testing.assert_allclose(y, y[::-1], rtol=1e-9, atol=1e-300)


def test_pseudo_voigt_lies_between_its_ends():
    x = np.linspace(-3, 3, 101)
    gaussian, lorentzian = line_shape(x, 0.4), line_shape(x, 0.4, "lorentzian")
    np.testing.assert_array_equal(line_shape(x, 0.4, "pseudo-voigt", 0.0), gaussian)
    np.testing.assert_array_equal(line_shape(x, 0.4, "pseudo-voigt", 1.0), lorentzian)
    np.testing.assert_allclose(line_shape(x, 0.4, "pseudo-voigt", 0.3), 0.3 * lorentzian + 0.7 * gaussian)
    assert lorentzian.max() == pytest.approx(2 / (np.pi * 0.4))
    assert gaussian.max() == pytest.approx(2 / 0.4 * np.sqrt(np.log(2) / np.pi))


@pytest.mark.parametrize("shape", SHAPES)
def test_peaks_of_every_shape_have_one_area(shape):
    [pattern] = powder_patterns([IRON], two_theta_range=(20, 80))
    grid = ProfileGrid((0.0, 160.0), 0.01, 0.1, shape)
    area = pattern.intensity.sum() * 0.1 * np.sqrt(np.pi / (4 * np.log(2)))
    assert grid.broaden(pattern).sum() * 0.01 == pytest.approx(area, rel=1e-6 if shape == "gaussian" else 3e-3)


@pytest.mark.parametrize(("shape", "share"), [("gaussian", 0.0), ("lorentzian", 1.0), ("pseudo-voigt", 0.5)])
def test_intensity_is_conserved_but_for_tails_beyond_the_grid(shape, share):
    """A Lorentzian has (arctan 2b/w + arctan 2a/w)/π between its ends; the profile holds that of every peak."""
    [pattern] = powder_patterns([perovskite()], two_theta_range=(15, 80))
    grid = ProfileGrid((0.0, 90.0), 0.05, 0.3, shape)
    to_ends = np.array([pattern.two_theta + 0.025, 90.025 - pattern.two_theta])
    inside = 1 - share + share * np.arctan(2 * to_ends / 0.3).sum(axis=0) / np.pi
    area = 0.3 * np.sqrt(np.pi / (4 * np.log(2)))
    assert grid.broaden(pattern).sum() * 0.05 == pytest.approx(area * pattern.intensity @ inside, rel=1e-6)
    lost = share * 0.3 / (2 * np.pi) * (1 / to_ends).sum(axis=0)
    np.testing.assert_allclose(1 - inside, lost, rtol=2e-3, atol=1e-12)
    assert lost[(pattern.two_theta > 20) & (pattern.two_theta < 70)].max() < 0.0031


def test_gaussians_are_summed_over_the_whole_grid():
    for width, step in ((0.3, 0.1), (0.02, 0.5), (20.0, 1.0)):
        grid = ProfileGrid((5.0, 60.0), step, width)
        [pattern] = powder_patterns([perovskite()])
        sigma = width / np.sqrt(8 * np.log(2))
        whole = np.exp(-0.5 * ((grid.angles[:, None] - pattern.two_theta) / sigma) ** 2) @ pattern.intensity
        np.testing.assert_allclose(grid.broaden(pattern), whole, rtol=1e-8, atol=1e-300)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("width", [0.2, 60.0])
def test_peaks_may_be_broadened_a_few_at_a_time(shape, width, monkeypatch):
    grid = ProfileGrid(step=0.5, width=width, shape=shape)
    [pattern] = powder_patterns([Structure(Lattice.from_parameters(5, 6, 7, 80, 95, 103), ["I"], [(0, 0, 0)])])
    whole = grid.broaden(pattern)
    area = width * np.sqrt(np.pi / np.log(2)) / 2
    offset = grid.angles[:, None] - pattern.two_theta
    np.testing.assert_allclose(whole, area * line_shape(offset, width, shape) @ pattern.intensity, rtol=1e-6)
    monkeypatch.setattr(profiles, "BLOCK_ENTRIES", 3 * len(grid.angles))
    np.testing.assert_allclose(grid.broaden(pattern), whole, rtol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_normalizations_bring_one_number_to_a_hundred(shape):
    for normalization in NORMALIZATIONS:
        featurizer = PXRDFeaturizer("profile", shape=shape, normalization=normalization)
        row = featurizer.transform([perovskite()])[0]
        if normalization == "maximum":
            assert row.max() == pytest.approx(100)
        if normalization == "area":
            assert row.sum() * 0.1 == pytest.approx(100)
        plain = PXRDFeaturizer("profile", shape=shape).transform([perovskite()])[0]
        np.testing.assert_allclose(row / row.max(), plain / plain.max(), rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(30, 400), st.floats(0.03, 0.7))
def test_resampling_conserves_intensity(seed, points, step):
    """The sum over the grid is the integral under the measured line, whatever the two steps are."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.choice(np.arange(900, 7100), points, replace=False)) / 100
    angles[[0, -1]] = 9.0, 71.0
    counts = rng.exponential(100, points)
    pattern = MeasuredPattern(angles, counts)
    grid = ProfileGrid((10.0, 70.0), step, normalization="area")
    row = grid.resample(pattern)
    assert row.sum() * step == pytest.approx(100)
    low, high = grid.angles[0] - step / 2, grid.angles[-1] + step / 2
    fine = np.union1d(angles, np.linspace(low, high, 20001))
    fine = fine[(fine >= low) & (fine <= high)]
    whole = np.trapezoid(np.interp(fine, angles, counts), fine)
    for part in (row[: len(row) // 3], row[len(row) // 3 :]):
        first = low if part[0] == row[0] else low + len(row) // 3 * step
        inside = fine[(fine >= first - 1e-9) & (fine <= first + len(part) * step + 1e-9)]
        inside = np.union1d(inside, [first, first + len(part) * step])
        expected = np.trapezoid(np.interp(inside, angles, counts), inside)
        assert part.sum() * step == pytest.approx(100 * expected / whole, rel=1e-6)


def test_a_fine_measurement_of_a_profile_is_that_profile():
    [pattern] = powder_patterns([perovskite()])
    fine = ProfileGrid((5.0, 90.0), 0.01, 0.4)
    measured = MeasuredPattern(fine.angles, 37.0 * fine.broaden(pattern), wavelength=1.54184)
    for normalization in ("maximum", "area"):
        grid = ProfileGrid((10.0, 85.0), 0.05, 0.4, normalization=normalization)
        expected = grid.broaden(pattern)
        np.testing.assert_allclose(grid.resample(measured, "CuKa"), expected, atol=0.006 * expected.max())


def test_another_wavelength_is_brought_to_one_of_features():
    """Kinematic intensities differ by the Lorentz–polarisation factor alone, so Mo and Cu give one profile."""
    lines = {"MoKa": 0.71073, "CuKa": 1.54184}
    [pattern] = powder_patterns([perovskite()], wavelength="MoKa", two_theta_range=(5, 45))
    narrow = ProfileGrid((5.0, 45.0), 0.002, 0.02)
    measured = MeasuredPattern(narrow.angles, narrow.broaden(pattern), wavelength=lines["MoKa"])
    grid = ProfileGrid((12.0, 85.0), 0.5, normalization="area")
    moved = grid.resample(measured, "CuKa")
    [copper] = powder_patterns([perovskite()], wavelength="CuKa", two_theta_range=(0, 90))
    edges = grid.angles[:-1] + 0.25
    apart = np.abs(edges[:, None] - copper.two_theta).min(axis=1) > 0.15
    assert apart.sum() > 50
    inside = copper.two_theta > 11.75
    sums = np.array([copper.intensity[inside & (copper.two_theta < edge)].sum() for edge in edges])
    whole = copper.intensity[inside & (copper.two_theta < 85.25)].sum()
    np.testing.assert_allclose((np.cumsum(moved) / moved.sum())[:-1][apart], (sums / whole)[apart], atol=1e-3)
    np.testing.assert_allclose(bragg_angles(pattern.two_theta[:4], *lines.values()), copper.two_theta[:4], atol=1e-4)


def test_measurements_and_crystals_may_stand_in_one_list():
    featurizer = PXRDFeaturizer("profile", two_theta_range=(20, 80), normalization="maximum")
    fine = ProfileGrid((19.0, 81.0), 0.01, 0.3)
    [pattern] = powder_patterns([IRON])
    measured = MeasuredPattern(fine.angles, fine.broaden(pattern))
    rows = featurizer.fit_transform([IRON, measured, perovskite(), measured])
    assert rows.shape == (4, 601)
    np.testing.assert_array_equal(rows[1], rows[3])
    np.testing.assert_array_equal(rows[[0, 2]], featurizer.transform([IRON, perovskite()]))
    np.testing.assert_allclose(rows[1], rows[0], atol=3)
    empty = Structure(Lattice.cubic(5), [], [])
    with pytest.raises(DescriptorError, match=r"1 of 4 crystals .*structure 2: it has no sites"):
        featurizer.transform([measured, IRON, empty, measured])
    with pytest.raises(
        DescriptorError, match='structure 1 is a measured pattern; those have features of kind "profile"'
    ):
        PXRDFeaturizer("gram").transform([IRON, measured])


def test_measurements_that_cannot_be_compared_are_refused():
    angles = np.linspace(15, 60, 400)
    pattern = MeasuredPattern(angles, np.ones(400), name="scan.xy")
    with pytest.raises(DescriptorError, match=r"scan\.xy: .*normalization=\"area\""):
        ProfileGrid((20.0, 50.0)).resample(pattern)
    with pytest.raises(DescriptorError, match=r"measured from 15\.00° to 60\.00°, which does not cover .* 10° to 50°"):
        ProfileGrid((10.0, 50.0), normalization="area").resample(pattern)
    with pytest.raises(DescriptorError, match="no intensity between 20° and 50°"):
        ProfileGrid((20.0, 50.0), normalization="area").resample(MeasuredPattern(angles, -np.ones(400)))
    with pytest.raises(DescriptorError, match="nothing of it is left"):
        ProfileGrid((20.0, 50.0), normalization="area").resample(
            MeasuredPattern(angles + 100, np.ones(400), wavelength=0.7), 1.54
        )


@pytest.mark.parametrize(
    ("angles", "counts", "message"),
    [
        ([10.0], [1.0], "two angles or more"),
        ([10.0, 11.0], [1.0], "one intensity an angle"),
        ([10.0, 10.0], [1.0, 2.0], "must ascend"),
        ([10.0, 190.0], [1.0, 2.0], "must ascend, in degrees up to 180"),
        ([10.0, 11.0], [1.0, np.nan], "finite"),
    ],
)
def test_impossible_measurements_are_refused(angles, counts, message):
    with pytest.raises(DescriptorError, match=message):
        MeasuredPattern(np.array(angles), np.array(counts))
