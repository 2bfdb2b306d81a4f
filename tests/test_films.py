from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone

from qperov.crystals import draw_prototypes
from qperov.datasets import simulated_films
from qperov.datasets.film_simulation import FILM_RANGES, standard_symbol
from qperov.descriptors import LineProfile, SpaceGroupClassifier
from qperov.diffraction import MeasuredPattern, augment, powder_patterns
from qperov.errors import DescriptorError

SMALL = SpaceGroupClassifier(crystals=25, copies=2, networks=1, hidden=64, passes=2, mixed=200)


def peaked(angles: np.ndarray, *places: float, wavelength: float | None = 1.54184) -> MeasuredPattern:
    lines = sum(400 * np.exp(-0.5 * ((angles - place) / 0.08) ** 2) for place in places)
    noise = np.random.default_rng(0).normal(0, 2, len(angles))
    return MeasuredPattern(angles, 50 + 0.2 * angles + lines + noise, wavelength)


@pytest.mark.parametrize("peaks", [False, True])
def test_lines_stand_where_they_were_measured(peaks):
    profile = LineProfile(peaks=peaks)
    [row] = profile.fit_transform([peaked(np.arange(20, 40, 0.02), 25.0, 33.0)])
    assert row.max() == pytest.approx(1)
    assert {round(float(angle)) for angle in profile.angles[row > 0.9]} == {25, 33}
    outside = (profile.angles < 20) | (profile.angles > 40)
    assert np.abs(row[outside]).max() < 1e-9
    far = np.abs(profile.angles[:, None] - [25.0, 33.0]).min(axis=1) > 1
    assert row[far].mean() < 0.02


def test_other_wavelengths_are_brought_to_copper():
    molybdenum = 0.7107
    angle = 2 * np.degrees(np.arcsin(np.sin(np.radians(15.0)) * molybdenum / 1.54184))
    profile = LineProfile()
    [row] = profile.fit_transform([peaked(np.arange(5, 30, 0.01), angle, wavelength=molybdenum)])
    assert profile.angles[row.argmax()] == pytest.approx(30.0, abs=0.1)


def test_bad_profiles_are_refused():
    with pytest.raises(ValueError, match="a step long"):
        LineProfile(two_theta_range=(20.0, 10.0)).fit([peaked(np.arange(5, 30, 0.1), 10.0)])
    with pytest.raises(DescriptorError, match="needs measured patterns"):
        LineProfile().fit_transform([1, 2])


def test_published_slips_of_symbols():
    assert standard_symbol("P6_3/mmc") == standard_symbol("P61mmc") == "P63/mmc"
    assert standard_symbol("P3m1") == "P-3m1"


def test_simulated_films_are_a_dataset_spelt_like_another():
    films = simulated_films(2, 2, random_state=3)
    assert len(films) == 28
    assert set(films.y) == {"Pm-3m", "I4/mcm", "Fm-3m", "P-3m1", "P63/mmc", "Pc", "P21/a"}
    assert np.bincount(films.groups).tolist() == [2] * 14
    spelt = simulated_films(2, 2, like=replace(films, y=np.array(["P3m1"] * 28)), random_state=3)
    assert (spelt.y == "P3m1").sum() == 4
    assert spelt.fingerprint != films.fingerprint
    assert simulated_films(2, 2, random_state=3).fingerprint == films.fingerprint


@pytest.fixture(scope="module")
def unseen() -> tuple[list[MeasuredPattern], list[str]]:
    """Scans of crystals that no classifier has seen."""
    structures, space_groups = draw_prototypes(6, random_state=77)
    patterns = powder_patterns(structures, two_theta_range=(4, 64))
    return augment(patterns, ranges=FILM_RANGES, two_theta_range=(5, 60), random_state=77), space_groups


def test_simulation_alone_tells_types_of_unseen_crystals(unseen):
    scans, space_groups = unseen
    model = clone(SMALL).fit(scans)
    right = np.mean([standard_symbol(a) == b for a, b in zip(space_groups, model.predict(scans), strict=True)])
    assert right > 0.5  # one of seven is chance
    probabilities = model.predict_proba(scans)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert probabilities.shape == (len(scans), 7)


def test_measured_films_refine_and_name_the_classes(unseen):
    scans, _ = unseen
    cubic = [row for row in range(len(scans)) if unseen[1][row] == "Pm-3m"]
    wrong_on_purpose = (
        clone(SMALL).set_params(repeats=40, passes=6).fit([scans[row] for row in cubic], ["P61mmc"] * len(cubic))
    )
    assert "P61mmc" in wrong_on_purpose.classes_
    assert "Pm-3m" in wrong_on_purpose.classes_
    assert np.mean(wrong_on_purpose.predict([scans[row] for row in cubic]) == "P61mmc") > 0.5
    untouched = clone(SMALL).fit(scans)
    again = clone(SMALL).fit(scans)
    np.testing.assert_array_equal(untouched.predict_proba(scans), again.predict_proba(scans))


def test_a_space_group_without_prototype_is_refused(unseen):
    with pytest.raises(ValueError, match="no prototype has the space group 'R-3c'"):
        clone(SMALL).fit(unseen[0][:2], ["Pm-3m", "R-3c"])
