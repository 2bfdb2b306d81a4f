"""The applicability domain: inliers pass, planted outliers do not, copies of crystals change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perovskites import halide_sites, perovskite, with_iodine
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from qperov.serving.applicability import NEIGHBOURS, ApplicabilityDomain
from qperov.serving.composition_range import CompositionRange


def cloud(n: int, dimensions: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dimensions))


def test_distances_are_those_of_scikit_learns_neighbours() -> None:
    points, new = cloud(50), cloud(20, seed=1)
    domain = ApplicabilityDomain.of({"x": points}, np.arange(50))
    search = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(points)
    own = search.kneighbors()[0].mean(axis=1)  # without themselves
    mark = np.quantile(own, 0.95, method="inverted_cdf")
    np.testing.assert_allclose(domain.strangeness, own / mark)
    judged = domain.judge({"x": new})
    distances, rows = search.kneighbors(new)
    np.testing.assert_allclose(judged.strangeness, distances.mean(axis=1) / mark)
    np.testing.assert_array_equal(judged.nearest, rows[:, 0])
    expected = [(1 + (own >= d).sum()) / 51 for d in distances.mean(axis=1)]
    np.testing.assert_allclose(judged.p, expected)


def test_about_five_percent_of_held_out_inliers_are_flagged() -> None:
    flagged = outside = 0
    trials, new = 20, 200
    for seed in range(trials):
        everything = cloud(200 + new, seed=seed)
        judged = ApplicabilityDomain.of({"x": everything[:200]}, np.arange(200)).judge({"x": everything[200:]})
        flagged += (judged.verdict != "inside").sum()
        outside += (judged.verdict == "outside").sum()
    # the threshold of each trial is itself drawn: 200 training crystals tell 5 % to about 1.5 %
    error = np.sqrt(0.05 * 0.95 / (trials * new) + 0.05 * 0.95 / (200 * trials))
    assert abs(flagged / (trials * new) - 0.05) < 5 * error
    assert 0 < outside / (trials * new) < 0.02


def test_p_values_of_inliers_are_uniform() -> None:
    values = []
    for seed in range(300):
        everything = cloud(61, 3, seed=seed)
        domain = ApplicabilityDomain.of({"x": everything[:60]}, np.arange(60))
        values.append(domain.judge({"x": everything[60:]}).p[0])
    assert stats.kstest(values, "uniform").pvalue > 1e-3


def test_planted_outliers_are_found_in_whichever_space_they_lie() -> None:
    components, descriptor = cloud(120, 3), cloud(120, 30, seed=1)
    domain = ApplicabilityDomain.of({"descriptor": descriptor, "components": components}, np.arange(120))
    shift = np.zeros((3, 3))
    shift[1] = 8.0
    along = np.zeros((3, 30))
    along[2] = 8.0
    judged = domain.judge({"descriptor": descriptor[:3] + along + 1e-3, "components": components[:3] + shift + 1e-3})
    assert judged.verdict.tolist() == ["inside", "outside", "outside"]
    assert judged.strangeness[0] < 1.5
    assert (judged.strangeness[1:] > 2).all()


def test_outlier_is_outside_even_among_few_crystals() -> None:
    points = cloud(12)
    judged = ApplicabilityDomain.of({"x": points}, np.arange(12)).judge(
        {"x": np.vstack([points.mean(axis=0), points[0] + 50])}
    )
    assert judged.verdict.tolist() == ["inside", "outside"]
    assert judged.p[1] == pytest.approx(1 / 13)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 4))
def test_copies_of_crystals_change_nothing(seed: int, copies: int) -> None:
    points, new = cloud(25, seed=seed), cloud(5, seed=seed + 1)
    once = ApplicabilityDomain.of({"x": points}, np.arange(25))
    many = ApplicabilityDomain.of({"x": np.tile(points, (copies, 1))}, np.tile(np.arange(25), copies))
    np.testing.assert_allclose(once.strangeness, many.strangeness[:25], rtol=1e-9)
    first, second = once.judge({"x": new}), many.judge({"x": new})
    np.testing.assert_allclose(first.strangeness, second.strangeness, rtol=1e-9)
    np.testing.assert_allclose(first.p, second.p, rtol=1e-9)


def test_a_training_crystal_is_recognised_and_inside() -> None:
    points = np.vstack([cloud(40), [[30.0] * 4]])
    judged = ApplicabilityDomain.of({"x": points}, np.arange(41)).judge({"x": points[[40, 3]] + 1e-9})
    assert judged.same.all()
    assert judged.nearest.tolist() == [40, 3]
    assert judged.verdict.tolist() == ["inside", "inside"]


def test_crystals_that_are_all_alike_leave_no_room() -> None:
    domain = ApplicabilityDomain.of({"x": np.ones((6, 2))}, np.arange(6))
    judged = domain.judge({"x": np.array([[1.0, 1.0], [1.0, 1.1]])})
    assert judged.verdict.tolist() == ["inside", "outside"]
    assert np.isfinite(judged.strangeness).all()


def test_what_makes_no_domain_is_refused() -> None:
    with pytest.raises(ValueError, match="two groups"):
        ApplicabilityDomain.of({"x": cloud(4)}, np.zeros(4, dtype=int))
    with pytest.raises(ValueError, match="4 groups need points"):
        ApplicabilityDomain.of({"x": cloud(5)}, np.arange(4))
    with pytest.raises(ValueError, match="4 groups need points"):
        ApplicabilityDomain.of({}, np.arange(4))
    domain = ApplicabilityDomain.of({"x": cloud(9)}, np.arange(9))
    with pytest.raises(ValueError, match="beside training crystals"):
        domain.judge({"x": cloud(3, 5)})


def test_compositions_outside_the_training_crystals_are_named() -> None:
    parent = perovskite((1, 1, 2))
    sites = halide_sites(parent)
    one, two = with_iodine(parent, sites[:1]), with_iodine(parent, sites[:2])
    known = CompositionRange.of([one, two])
    assert known.fractions["Cs"] == (0.2, 0.2)
    assert known.fractions["I"] == pytest.approx((0.1, 0.2))
    assert known.remarks(one) == known.remarks(two) == []
    assert known.remarks(with_iodine(parent, sites[:3])) == [
        "30.0% of its atoms are Br (40.0% to 50.0% in the training crystals)",
        "30.0% of its atoms are I (10.0% to 20.0% in the training crystals)",
    ]
    foreign = one.copy()
    foreign.replace_species({"Cs": "Rb", "Pb": "Sn"})
    assert known.unseen(foreign) == ["Rb", "Sn"]
    assert known.remarks(foreign) == ["the model has never seen Rb or Sn"]
