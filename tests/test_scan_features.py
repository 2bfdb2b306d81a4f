"""Transformers of measured patterns: grid, background, Kα₂, scaling, peaks, alignment."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import qperov
from qperov.descriptors.scans.alignment import Alignment
from qperov.descriptors.scans.intensity import IntensityScaling
from qperov.descriptors.scans.patterns import BackgroundSubtraction, CommonGrid, Kalpha2Stripping, shift_angles
from qperov.descriptors.scans.peaks import PeakFeatures, find_peaks
from qperov.descriptors.scans.profile import MeasuredProfile
from qperov.diffraction.measured import (
    MeasuredPattern,
    bragg_angles,
    kalpha_doublet,
    strip_kalpha2,
    subtract_background,
)
from qperov.errors import DescriptorError, PatternRangeError

ANGLES = np.arange(15, 75, 0.02)
SIGMA = 0.08
#: Five lines of a cubic cell, hkl squared.
LINES, HEIGHTS = np.array([3, 4, 8, 11, 12]), np.array([1000.0, 300, 600, 500, 150])


def cubic(
    a: float = 5.4,
    *,
    wavelength: float = 1.5406,
    zero: float = 0.0,
    displacement: float = 0.0,
    noise: int | None = None,
) -> MeasuredPattern:
    """Gaussian lines of a cubic cell (Å) on a hump, as a misaligned diffractometer shows them."""
    places = 2 * np.degrees(np.arcsin(wavelength * np.sqrt(LINES) / (2 * a)))
    places = places + zero + displacement * np.cos(np.radians(places / 2))
    counts = 80 + 60 * np.exp(-(((ANGLES - 25) / 15) ** 2))
    for place, height in zip(places, HEIGHTS, strict=True):
        counts = counts + height * np.exp(-0.5 * ((ANGLES - place) / SIGMA) ** 2)
    if noise is not None:
        counts = np.random.default_rng(noise).poisson(counts).astype(float)
    return MeasuredPattern(ANGLES, counts, wavelength, name=f"a = {a}")


@parametrize_with_checks([IntensityScaling(), IntensityScaling("log", "length"), IntensityScaling("none", "sum")])
def test_scaling_is_a_transformer(estimator, check) -> None:
    check(estimator)


def test_the_square_root_gives_counts_one_variance() -> None:
    counts = np.random.default_rng(0).poisson([[100], [10_000]], (2, 20_000)).astype(float)
    rooted = IntensityScaling("sqrt", "none").fit_transform(counts)
    assert np.allclose(rooted.var(axis=1), 0.25, rtol=0.05)


def test_norms_and_unknown_ones() -> None:
    x = np.array([[4.0, -9.0, 0.0], [0.0, 0.0, 0.0]])
    assert np.allclose(IntensityScaling("sqrt", "max").fit_transform(x), [[2 / 3, -1, 0], [0, 0, 0]])
    assert np.allclose(IntensityScaling("none", "sum").fit_transform(x)[0], [4 / 13, -9 / 13, 0])
    assert np.isclose(np.linalg.norm(IntensityScaling("log", "length").fit_transform(x)[0]), 1)
    with pytest.raises(ValueError, match="compression must be"):
        IntensityScaling("cube").fit(x)


def test_the_grid_is_what_all_patterns_share() -> None:
    whole, part = cubic(), MeasuredPattern(ANGLES[500:2000], cubic().intensity[500:2000], 1.5406)
    grid = CommonGrid(step=0.1).fit([whole, part])
    assert grid.two_theta_[0] == pytest.approx(25)
    assert grid.two_theta_[-1] <= part.two_theta[-1] + 1e-9
    rows = grid.transform([whole, part])
    assert np.allclose(rows[0], rows[1])
    assert len(grid.get_feature_names_out()) == rows.shape[1]
    with pytest.raises(PatternRangeError, match=r"25°.* to .* are needed|where 15°"):
        CommonGrid().fit([whole]).transform([part])
    with pytest.raises(DescriptorError, match="share no range"):
        CommonGrid().fit([part, MeasuredPattern(ANGLES[:400], np.ones(400), 1.5406)])
    with pytest.raises(NotFittedError):
        CommonGrid().transform([whole])


def test_other_wavelengths_are_brought_to_the_grid() -> None:
    """The same crystal by Cu and by Co radiation has its lines at the same places of the grid."""
    copper, cobalt = cubic(wavelength=1.5406), cubic(wavelength=1.789)
    with pytest.raises(DescriptorError, match="several wavelengths"):
        CommonGrid().fit([copper, cobalt])
    grid = CommonGrid(two_theta_range=(20, 60), wavelength=1.5406).fit([copper, cobalt])
    first, second = grid.transform([copper, cobalt])
    assert first.argmax() == second.argmax()
    with pytest.raises(DescriptorError, match="its wavelength is not known"):
        grid.transform([MeasuredPattern(ANGLES, cubic().intensity)])


def test_background_and_kalpha2_are_those_of_diffraction() -> None:
    pattern = cubic(noise=0)
    (flat,) = BackgroundSubtraction().fit_transform([pattern])
    assert np.array_equal(flat.intensity, subtract_background(pattern).intensity)
    (stripped,) = Kalpha2Stripping("CuKa").fit_transform([flat])
    assert np.array_equal(stripped.intensity, strip_kalpha2(flat, "CuKa").intensity)
    assert stripped.wavelength == kalpha_doublet("CuKa")[0]
    (snip,) = BackgroundSubtraction("snip").fit_transform([pattern])
    assert abs(np.median(snip.intensity)) < 30


@pytest.mark.parametrize("noise", [None, 0, 1])
def test_peaks_have_their_places_spacings_and_widths(noise: int | None) -> None:
    found = find_peaks(cubic(noise=noise))
    assert len(found) == 5
    assert np.allclose(found.d, 5.4 / np.sqrt(LINES), rtol=2e-4 if noise is None else 1e-3)
    assert np.allclose(found.width[[0, 2, 3]], 2 * SIGMA * np.sqrt(2 * np.log(2)), rtol=0.1)
    assert np.allclose(found.height, HEIGHTS, rtol=0.15, atol=20)


def test_noise_alone_has_no_peaks() -> None:
    flat = MeasuredPattern(ANGLES, np.random.default_rng(0).poisson(100, len(ANGLES)).astype(float), 1.5406)
    assert len(find_peaks(flat)) == 0
    assert not PeakFeatures("spacings").fit_transform([flat]).any()


def test_ratios_of_spacings_do_not_feel_the_size_of_the_cell() -> None:
    patterns = [cubic(5.3), cubic(5.5)]
    spacings, ratios = (PeakFeatures(kind, n_peaks=3).fit_transform(patterns) for kind in ("spacings", "ratios"))
    assert spacings.shape == (2, 3)
    assert np.allclose(spacings[1] / spacings[0], 5.5 / 5.3, rtol=1e-3)
    assert np.allclose(ratios[0], ratios[1], rtol=1e-3)
    assert np.allclose(ratios[0], np.sqrt(3 / np.array([8, 11])), rtol=1e-3)
    unknown = MeasuredPattern(ANGLES, cubic().intensity, name="unknown")
    assert PeakFeatures("ratios").fit_transform([unknown]).shape == (1, 3)
    with pytest.raises(DescriptorError, match="unknown: its wavelength is not known"):
        PeakFeatures().fit_transform([unknown])
    with pytest.raises(ValueError, match="kind must be"):
        PeakFeatures("areas").fit([unknown])


@pytest.mark.parametrize("kind", ["displacement", "zero"])
def test_alignment_finds_the_shift(kind: str) -> None:
    shift = {"displacement": {"displacement": 0.11}, "zero": {"zero": 0.11}}[kind]
    moved = cubic(noise=3, **shift)
    alignment = Alignment(kind, reference=cubic())
    (aligned,) = alignment.fit_transform([moved])
    assert alignment.shifts_[0] == pytest.approx(0.11, abs=0.01)
    assert np.allclose(find_peaks(aligned).d, 5.4 / np.sqrt(LINES), rtol=1e-3)


def test_patterns_are_aligned_within_their_set() -> None:
    patterns = [cubic(displacement=shift, noise=i) for i, shift in enumerate((-0.1, 0.0, 0.1))]
    alignment = Alignment().fit(patterns)
    aligned = alignment.transform(patterns)
    spread = [np.ptp([find_peaks(each).two_theta[0] for each in some]) for some in (patterns, aligned)]
    assert spread[1] < spread[0] / 5
    with pytest.raises(NotFittedError):
        Alignment().transform(patterns)
    with pytest.raises(ValueError, match="kind must be"):
        Alignment("strain").fit(patterns)


def test_shifts_are_in_degrees_at_the_angle_that_is_seen() -> None:
    pattern = cubic()
    assert np.allclose(shift_angles(pattern, 0.2, 0).two_theta, ANGLES - 0.2)
    assert np.allclose(shift_angles(pattern, 0, 0.2).two_theta, ANGLES - 0.2 * np.cos(np.radians(ANGLES / 2)))
    assert np.isnan(bragg_angles(np.array([179.0]), 1.0, 1.5)).all()


def test_a_profile_is_the_steps_of_the_room() -> None:
    patterns = [cubic(a, noise=i) for i, a in enumerate((5.3, 5.4, 5.5))]
    profile = MeasuredProfile(step=0.1)
    by_hand = make_pipeline(BackgroundSubtraction(), CommonGrid(step=0.1), IntensityScaling())
    rows = profile.fit_transform(patterns)
    assert np.array_equal(rows, by_hand.fit_transform(patterns))
    assert np.array_equal(clone(profile).fit(patterns).transform(patterns[:1]), rows[:1])
    assert len(profile.get_feature_names_out()) == rows.shape[1]


@pytest.mark.parametrize("wrong", [[], "scan.xy", [1, 2], cubic()])
def test_what_is_no_list_of_patterns_is_refused(wrong: object) -> None:
    with pytest.raises(DescriptorError, match=r"needs .*measured patterns"):
        MeasuredProfile().fit(wrong)


def test_the_strongest_line_tells_the_cell_of_real_oxides() -> None:
    """A line through the first d-spacing, fitted to half of the samples, predicts the other half's parameter."""
    dataset = qperov.load_dataset("heo106").take(range(30, 80))
    d = PeakFeatures(n_peaks=1).fit_transform(dataset.patterns)[:, 0]
    line = np.polyfit(d[::2], dataset.y[::2], 1)
    assert np.median(np.abs(np.polyval(line, d[1::2]) - dataset.y[1::2])) < 0.01
