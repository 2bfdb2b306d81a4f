"""Points of a latent space: draws, noise, arcs and searches."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qperov.errors import LatentSpaceError
from qperov.generative.models.latent import (
    SearchResult,
    nearest_to_target,
    perturb,
    posterior_sample,
    prior_sample,
    slerp,
    slerp_between,
    targeted_search,
)

numbers = st.floats(-1e3, 1e3, allow_subnormal=False)
vectors = st.integers(2, 6).flatmap(lambda dim: st.tuples(*[arrays(float, dim, elements=numbers)] * 2))


def opening(a: np.ndarray, b: np.ndarray) -> float:
    """π minus the angle between two vectors."""
    u, v = a / np.abs(a).max(), b / np.abs(b).max()
    return float(np.arccos(np.clip(-u @ v / np.linalg.norm(u) / np.linalg.norm(v), -1, 1)))


# --- draws ----------------------------------------------------------------------------------------


def test_prior_has_mean_zero_and_unit_covariance():
    z = prior_sample(20_000, 4, 7)
    assert z.shape == (20_000, 4)
    assert np.abs(z.mean(0)).max() < 0.03
    assert np.abs(np.cov(z.T) - np.eye(4)).max() < 0.05
    np.testing.assert_array_equal(z, prior_sample(20_000, 4, np.random.default_rng(7)))
    assert not np.array_equal(z, prior_sample(20_000, 4, 8))


def test_gaussian_fit_has_the_mean_and_covariance_of_the_codes():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(300, 3)) @ np.array([[2.0, 0, 0], [1, 0.5, 0], [0, 0, 0.1]]) + [5, -3, 1]
    z = posterior_sample(codes, 40_000, 1)
    np.testing.assert_allclose(z.mean(0), codes.mean(0), atol=0.05)
    np.testing.assert_allclose(np.cov(z.T), np.cov(codes.T), atol=0.1)


def test_gaussian_fit_of_few_codes_stays_in_their_span():
    codes = np.random.default_rng(0).normal(size=(4, 10))
    moved = posterior_sample(codes, 50, 0) - codes.mean(0)
    assert np.linalg.matrix_rank(np.vstack([moved, codes - codes.mean(0)]), tol=1e-8) == 3


def test_jittered_codes_stay_near_codes_and_meet_each_of_them():
    codes = 100.0 * np.eye(5)
    z = posterior_sample(codes, 500, 3, jitter=0.1)
    apart = np.linalg.norm(z[:, np.newaxis] - codes, axis=2)
    assert apart.min(1).max() < 1
    assert set(apart.argmin(1)) == set(range(5))
    np.testing.assert_array_equal(posterior_sample(codes, 9, 3, jitter=0.0)[0] % 100, np.zeros(5))


@given(st.integers(1, 5), st.integers(0, 12), st.floats(0, 2), st.integers(0, 2**32))
def test_perturbed_codes_take_turns_and_scale_with_the_noise(m, n, scale, seed):
    codes = 1e6 * np.arange(1, m + 1)[:, np.newaxis] * np.ones(3)
    z = perturb(codes, scale, n, seed)
    assert z.shape == (n, 3)
    noise = z - codes[np.arange(n) % m]
    np.testing.assert_allclose(noise, scale * np.random.default_rng(seed).standard_normal((n, 3)), atol=1e-8)


def test_spread_scales_the_noise_of_each_dimension():
    z = perturb(np.zeros(3), 0.5, 20_000, 0, spread=[1.0, 10.0, 0.0])
    np.testing.assert_allclose(z.std(0), [0.5, 5.0, 0.0], rtol=0.03)


def test_nearest_to_target_come_first_and_ties_keep_their_order():
    np.testing.assert_array_equal(nearest_to_target([1.0, -2.0, 3.0, 1.0], 1.2, 3), [0, 3, 2])
    assert len(nearest_to_target([1.0, 2.0], 0.0, 10)) == 2


# --- arcs -----------------------------------------------------------------------------------------


@given(vectors)
def test_arc_has_its_ends_the_right_way_round(ends):
    a, b = ends
    assume(not a.any() or not b.any() or opening(a, b) > 2e-3)
    np.testing.assert_array_equal(slerp(a, b, 0), a)
    np.testing.assert_array_equal(slerp(a, b, 1), b)
    np.testing.assert_allclose(slerp(a, b, [0, 0.3, 1])[1], slerp(b, a, 0.7), rtol=1e-9, atol=1e-6)


@given(vectors, st.floats(0, 1))
def test_arc_stays_on_the_sphere_and_turns_evenly(ends, t):
    a, b = ends
    assume(np.linalg.norm(a) > 1e-3 and np.linalg.norm(b) > 1e-3)
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    assume(1e-2 < opening(a, b) < np.pi - 1e-2)
    point = slerp(a, b, t)
    assert np.linalg.norm(point) == pytest.approx(1, abs=1e-9)
    whole = np.pi - opening(a, b)
    np.testing.assert_allclose([a @ point, b @ point], [np.cos(t * whole), np.cos((1 - t) * whole)], atol=1e-9)


def test_arc_of_a_right_angle_by_hand():
    np.testing.assert_allclose(slerp([2.0, 0.0], [0.0, 4.0], 1 / 3), [2 * np.sqrt(3) / 2, 4 * 0.5])


@given(vectors, st.floats(0, 1), st.just(0.0) | st.floats(1e-3, 1e3))
def test_parallel_ends_and_the_zero_vector_have_a_straight_line(ends, t, factor):
    a, _ = ends
    for first, second in ((a, factor * a), (a, 0 * a), (0 * a, a)):
        np.testing.assert_allclose(slerp(first, second, t), (1 - t) * first + t * second, rtol=1e-9, atol=1e-9)


@given(vectors, st.floats(1e-3, 1e3))
def test_opposite_ends_are_refused(ends, factor):
    a, _ = ends
    assume(a.any())
    with pytest.raises(LatentSpaceError, match="opposite"):
        slerp(a, -factor * a, 0.5)


def test_inner_points_of_arcs_come_in_order():
    codes = np.random.default_rng(0).normal(size=(5, 4))
    every = slerp_between(codes, None, 0)
    expected = [slerp(codes[i], codes[j], m / 20) for i, j in combinations(range(5), 2) for m in range(1, 20)]
    np.testing.assert_array_equal(every, expected)
    for n in (3, 150):  # few of many, and most of them
        drawn = slerp_between(codes, n, 1)
        rows = [int(np.flatnonzero((every == row).all(1))[0]) for row in drawn]
        assert len(set(rows)) == n
        np.testing.assert_array_equal(drawn, slerp_between(codes, n, 1))
    assert len(slerp_between(codes, 10_000, 0)) == 190
    assert slerp_between(codes, 0, 0).shape == (0, 4)


def test_arcs_between_opposite_codes_are_passed_over():
    codes = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    assert len(slerp_between(codes, None, 0, inner=3)) == 6
    assert len(slerp_between(codes, 5, 0, inner=3)) == 5
    with pytest.raises(LatentSpaceError, match="two latent codes"):
        slerp_between(codes[:2], 4, 0)


# --- searches -------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 4), st.integers(2, 8), st.integers(0, 1000))
def test_search_reaches_target_in_reach_and_does_not_go_further(n, dim, seed):
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=dim)
    direction *= np.sqrt(dim) / np.linalg.norm(direction)
    starts = rng.normal(size=(n, dim))
    spread = rng.uniform(0.5, 2, dim)

    def predict(z: np.ndarray) -> np.ndarray:
        return (z - starts[0]) / spread @ direction / dim

    target = float(predict(starts)[0]) + 0.5  # root mean square of the shortest way: 0.5
    found = targeted_search(predict, target, starts[:1], seed, spread=spread, reach=1.0, tolerance=1e-3, rounds=300)
    assert isinstance(found, SearchResult)
    assert found.reached.all()
    np.testing.assert_allclose(found.values, predict(found.codes), atol=1e-12)
    assert abs(found.values[0] - target) <= 1e-3
    away = targeted_search(predict, target + 10, starts, seed, spread=spread, reach=1.0, rounds=20)
    assert not away.reached.any()
    shift = np.sqrt(np.mean(((away.codes - starts) / spread) ** 2, axis=1))
    assert shift.max() <= 1 + 1e-9
    assert (away.values >= predict(starts)).all()


def test_search_leaves_a_start_at_the_target():
    def predict(z: np.ndarray) -> np.ndarray:
        return np.sin(3 * z).sum(1)

    starts = np.array([[0.0, 0.0], [0.3, -0.2]])
    found = targeted_search(predict, 0.0, starts, 0)
    np.testing.assert_array_equal(found.codes[0], starts[0])
    again, other = targeted_search(predict, 0.0, starts, 0), targeted_search(predict, 0.0, starts, 1)
    np.testing.assert_array_equal(found.codes, again.codes)
    assert not np.array_equal(found.codes, other.codes)


# --- bad input ------------------------------------------------------------------------------------


def test_bad_input_is_named():
    with pytest.raises(LatentSpaceError, match="finite"):
        perturb([[np.nan, 0.0]], 0.4, 2, 0)
    with pytest.raises(LatentSpaceError, match="shape"):
        perturb(np.zeros((2, 3, 4)), 0.4, 2, 0)
    with pytest.raises(ValueError, match="scale"):
        perturb([[0.0]], -0.4, 2, 0)
    with pytest.raises(LatentSpaceError, match="two latent codes"):
        posterior_sample([[1.0, 2.0]], 3, 0)
    with pytest.raises(ValueError, match="whole number"):
        prior_sample(-1, 2, 0)
    with pytest.raises(LatentSpaceError, match="target"):
        nearest_to_target([1.0, np.nan], 0.0, 1)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        slerp([1.0, 0.0], [0.0, 1.0], 1.1)
    with pytest.raises(ValueError, match="two ends"):
        slerp([1.0, 0.0], [0.0, 1.0, 0.0], 0.5)
    with pytest.raises(LatentSpaceError, match="one finite value per latent code"):
        targeted_search(lambda z: z, 0.0, np.zeros((2, 3)), 0)
    with pytest.raises(ValueError, match="reach"):
        targeted_search(lambda z: z[:, 0], 0.0, np.zeros((2, 3)), 0, reach=0.0)
