"""What a map keeps: planted neighbourhoods, chance, and labels that only other groups may predict."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.neighbors import KNeighborsRegressor, NearestNeighbors

from qperov.reports.maps.quality import (
    MapQuality,
    measure_map,
    neighbour_means,
    neighbours_kept,
    percent,
    what_not_to_read,
)

RNG = np.random.default_rng(0)
PLANE = RNG.normal(size=(300, 2))
D = cdist(PLANE, PLANE)
ALONE = np.arange(300)
SMOOTH = np.sin(PLANE[:, 0]) + PLANE[:, 1]


def test_a_map_that_is_the_space_keeps_everything() -> None:
    quality = measure_map(D, PLANE * 7 - 3, SMOOTH, ALONE)
    assert quality.kept == 1
    assert quality.r2_map == quality.r2_space > 0.9


@pytest.mark.parametrize("k", [5, 20])
def test_a_shuffled_map_keeps_what_chance_keeps(k: int) -> None:
    quality = measure_map(D, RNG.permutation(PLANE), SMOOTH, ALONE, neighbours=k)
    assert quality.by_chance == pytest.approx(k / 299)
    assert quality.kept == pytest.approx(quality.by_chance, abs=4 * np.sqrt(quality.by_chance / (300 * k)))
    assert quality.r2_map < 0.1 < quality.r2_space


@settings(max_examples=20, deadline=None)
@given(m=st.integers(3, 30), k=st.integers(1, 40), seed=st.integers(0, 99))
def test_the_share_is_that_of_a_naive_count(m: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = min(k, m - 1)
    space, flat = rng.normal(size=(m, 4)), rng.normal(size=(m, 2))
    near = [NearestNeighbors(n_neighbors=k).fit(Z).kneighbors(return_distance=False) for Z in (space, flat)]
    expected = np.mean([len(set(a) & set(b)) / k for a, b in zip(*near, strict=True)])
    assert neighbours_kept(cdist(space, space), cdist(flat, flat), k) == pytest.approx(expected)


def test_predictions_leave_one_group_out() -> None:
    groups = RNG.integers(0, 60, 300)
    expected = cross_val_predict(KNeighborsRegressor(10), PLANE, SMOOTH, groups=groups, cv=LeaveOneGroupOut())
    np.testing.assert_allclose(neighbour_means(D, SMOOTH, groups, 10), expected)


def test_a_crystals_own_group_does_not_predict_it() -> None:
    """Labels are noise that ten copies share: copies would predict them, others cannot."""
    groups = np.repeat(np.arange(30), 11)
    points = np.repeat(RNG.normal(size=(30, 2)), 11, axis=0)
    y = np.repeat(RNG.normal(size=30), 11)
    distances = cdist(points, points)
    assert measure_map(distances, points, y, np.arange(330)).r2_space == pytest.approx(1)
    assert measure_map(distances, points, y, groups).r2_space < 0


def test_twins_count_as_one_neighbour() -> None:
    points = np.concatenate([PLANE, PLANE[:50], PLANE[:50]])
    distances = cdist(points, points)
    y, groups = np.concatenate([SMOOTH, SMOOTH[:50], SMOOTH[:50]]), np.concatenate([ALONE, ALONE[:50], ALONE[:50]])
    quality = measure_map(distances, points, y, groups)
    assert (quality.kept, quality.by_chance) == (1, pytest.approx(10 / 299))


@pytest.mark.parametrize("n", [1, 2, 3, 11])
def test_few_crystals_have_a_quality_or_none(n: int) -> None:
    points = PLANE[:n]
    quality = measure_map(D[:n, :n], points, SMOOTH[:n], ALONE[:n])
    assert quality.neighbours == min(10, n - 1)
    assert np.isnan(quality.kept) == (n == 1)
    assert np.isnan(quality.r2_map) == (n < 11)
    assert what_not_to_read(quality, "descriptor")[0].startswith("Distances between groups of points, the sizes")


def test_labels_that_do_not_vary_have_no_r2() -> None:
    assert np.isnan(measure_map(D, PLANE, np.ones(300), ALONE).r2_map)


def test_sentences_follow_the_numbers() -> None:
    def text(**numbers: float) -> str:
        return " ".join(what_not_to_read(MapQuality(10, **{"by_chance": 0.01, **numbers}), "kernel"))

    good = text(kept=0.95, r2_space=0.5, r2_map=0.5)
    assert "apart on it" not in good
    assert "colours" not in good
    assert "62 % of nearest neighbours in the kernel do lie apart" in text(kept=0.38, r2_space=0.5, r2_map=0.5)
    assert "Mixed colours may be an artefact of the map" in text(kept=0.95, r2_space=0.5, r2_map=0.3)
    assert "chance" in text(kept=0.95, r2_space=0.05, r2_map=-0.1)
    assert [percent(share) for share in (0.0, 0.004, 0.7, 1.0)] == ["0 %", "0.4 %", "70 %", "100 %"]
