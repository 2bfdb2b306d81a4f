from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perovskites import perovskite, random_decoration

from qperov import powder_patterns
from qperov.descriptors.matrices import (
    adjacency_matrix,
    autoencoder_vector,
    degree_matrix,
    difference_gram,
    difference_peaks,
    gram_matrix,
    laplacian_matrix,
    matganip_matrix,
    mean_pattern,
    peak_keys,
    qsvr_vector,
)
from qperov.diffraction import Pattern
from qperov.errors import DescriptorError


def peaks(two_theta: list[float], intensity: list[float]) -> Pattern:
    """A pattern made up of given peaks."""
    angles = np.array(two_theta)
    spacing = 1.54184 / (2 * np.sin(np.radians(angles / 2)))
    return Pattern(angles, np.array(intensity), spacing, [np.zeros((0, 3))] * len(angles), False)


@st.composite
def patterns(draw: st.DrawFn) -> Pattern:
    keys = draw(st.lists(st.integers(500_000, 8_999_999), min_size=1, max_size=40, unique=True))
    intensity = draw(st.lists(st.floats(0.001, 100), min_size=len(keys), max_size=len(keys)))
    return peaks([key * 1e-5 for key in sorted(keys)], intensity)


def test_keys_merge_what_is_one_peak():
    assert peak_keys(peaks([20.0, 20.00001, 35.123456], [1, 2, 3])).tolist() == [2000000, 2000001, 3512346]


def test_mean_counts_an_absent_peak_as_zero():
    mean = mean_pattern([peaks([20.0, 30.0], [100, 50]), peaks([20.0, 40.0], [80, 100])])
    assert mean == {2000000: 90.0, 3000000: 25.0, 4000000: 50.0}
    assert list(mean) == sorted(mean)


def test_differences_are_taken_at_equal_angles():
    """By place in the list, every peak behind the missing one would be compared with its neighbour."""
    pattern, reference = peaks([30.0, 40.0, 50.0], [60, 100, 30]), peaks([20.0, 30.0, 40.0, 50.0], [10, 60, 100, 20])
    found = difference_peaks(pattern, mean_pattern([reference]), n_peaks=4)
    np.testing.assert_allclose(found[0], [np.sin(np.radians(20)), np.sin(np.radians(50)), 0, 0], atol=1e-12)
    np.testing.assert_allclose(found[1], [100 * -10, 100 * 10, 0, 0], atol=1e-12)


def test_the_authors_subtract_by_position():
    pattern, reference = peaks([30.0, 40.0, 50.0], [60, 100, 30]), peaks([20.0, 30.0, 40.0, 50.0], [10, 60, 100, 20])
    found = difference_peaks(pattern, mean_pattern([reference]), n_peaks=4, by_position=True)
    np.testing.assert_allclose(found[1], 100 * np.array([50, 40, -70, 0]))
    np.testing.assert_allclose(found[0, :3], np.sin(np.radians([30, 40, 50])))
    # lists of one length and the same peaks: nothing is misaligned
    other = peaks([30.0, 40.0, 50.0], [50, 100, 31])
    both = [difference_peaks(other, mean_pattern([pattern]), 4, by_position=way) for way in (True, False)]
    np.testing.assert_array_equal(*both)


def test_sine_of_the_whole_angle():
    """The papers use sin 2θ, which falls again past 90°."""
    found = difference_peaks(peaks([60.0, 120.0], [100, 40]), {}, n_peaks=2)
    np.testing.assert_allclose(found[0], np.sqrt(3) / 2, atol=1e-9)


def test_differences_within_the_tolerance_are_none():
    pattern = peaks([20.0, 30.0], [100, 50])
    assert not difference_peaks(pattern, {2000000: 100.0 + 9e-6, 3000000: 50.0 - 9e-6}).any()
    assert np.count_nonzero(difference_peaks(pattern, {2000000: 100.0 + 2e-5, 3000000: 50.0})[1]) == 1


def test_the_tail_is_cut_and_the_rest_padded():
    many = peaks(list(np.arange(10.0, 60.0)), [50.0] * 50)
    assert np.count_nonzero(difference_peaks(many, {})[1]) == 28
    assert np.count_nonzero(qsvr_vector(many, {})) == 64
    few = difference_peaks(peaks([20.0], [100.0]), {}, n_peaks=5)
    assert few.shape == (2, 5)
    assert not few[:, 1:].any()


@settings(max_examples=60, deadline=None)
@given(patterns(), patterns(), st.integers(1, 40))
def test_gram_matrix_is_symmetric_positive_and_of_rank_two(pattern, other, n_peaks):
    reference = mean_pattern([other])
    matrix = difference_gram(pattern, reference, n_peaks)
    rows = difference_peaks(pattern, reference, n_peaks)
    assert matrix.shape == (n_peaks, n_peaks)
    assert np.array_equal(matrix, matrix.T)
    eigenvalues = np.linalg.eigvalsh(matrix)
    assert eigenvalues.min() >= -1e-10 * max(1.0, eigenvalues.max())
    assert (eigenvalues[:-2] <= 1e-10 * max(1.0, eigenvalues.max())).all(), "rank 2 at most"
    i, j = 0, n_peaks - 1
    assert matrix[i, j] == pytest.approx(rows[0, i] * rows[0, j] + rows[1, i] * rows[1, j])
    assert matrix.trace() == pytest.approx((rows**2).sum())


@settings(max_examples=40, deadline=None)
@given(patterns())
def test_a_pattern_does_not_differ_from_itself(pattern):
    assert not qsvr_vector(pattern, mean_pattern([pattern])).any()
    assert not difference_gram(pattern, mean_pattern([pattern, pattern])).any()


@settings(max_examples=40, deadline=None)
@given(patterns(), patterns())
def test_difference_changes_sign_with_its_order(one, other):
    there = difference_peaks(one, mean_pattern([other]), n_peaks=90)
    back = difference_peaks(other, mean_pattern([one]), n_peaks=90)
    np.testing.assert_allclose(there[0], back[0], atol=1e-12)
    np.testing.assert_allclose(there[1], -back[1], atol=1e-9)


def test_qsvr_vector_is_the_peaks_laid_flat():
    pattern = peaks([20.0, 30.0], [100, 50])
    assert np.array_equal(qsvr_vector(pattern, {}, 7), difference_peaks(pattern, {}, 7).ravel())
    assert qsvr_vector(pattern, {}).shape == (64,)


def test_mean_of_differences_from_the_mean_is_zero():
    rng = np.random.default_rng(0)
    crystals = powder_patterns([random_decoration(perovskite((2, 1, 1)), 3, rng) for _ in range(6)])
    mean = mean_pattern(crystals)
    total = dict.fromkeys(mean, 0.0)
    for pattern in crystals:
        rows = difference_peaks(pattern, mean, n_peaks=len(mean))
        for sine, difference in rows.T[rows[1] != 0]:
            [key] = [k for k in mean if abs(np.sin(np.radians(k * 1e-5)) - sine) < 1e-9]
            total[key] += difference / 100
    np.testing.assert_allclose(list(total.values()), 0, atol=1e-4)


THREE = peaks([20.0, 30.0, 90.0], [3.0, 100.0, 40.0])


def test_gram_matrix_is_the_inner_product_of_peaks():
    matrix = gram_matrix(THREE, 3)
    assert matrix[0, 1] == 20 * 30 + 3 * 100
    assert matrix[2, 2] == 90**2 + 40**2
    assert np.array_equal(gram_matrix(THREE, 5)[:3, :3], matrix)
    assert not gram_matrix(THREE, 5)[3:].any()
    assert abs(matrix.sum(axis=1)).min() > 0, "rows of a Laplacian would sum to zero"


def test_matganip_matrix_is_root_of_an_inner_product():
    matrix = matganip_matrix(THREE, 3)
    assert matrix[0, 2] == pytest.approx(np.sqrt(np.sin(np.radians(20)) * 1 + 0.03 * 0.4))
    assert matrix[1, 1] == pytest.approx(np.sqrt(0.25 + 1))
    assert matganip_matrix(THREE).shape == (28, 28)


def test_autoencoder_vector_holds_middling_peaks_by_their_angle():
    vector = autoencoder_vector(THREE)
    assert vector.shape == (32,)
    expected = np.array([3 / 20, 40 / 90])
    np.testing.assert_allclose(vector[:2], expected / np.hypot(*expected))
    assert not vector[2:].any()
    with pytest.raises(DescriptorError, match=r"no peak has an intensity between 1\.5 and 70"):
        autoencoder_vector(peaks([20.0, 30.0], [100.0, 1.5]))


def test_graph_of_two_peaks_by_hand():
    pattern = peaks([20.0, 23.0], [100.0, 96.0])
    np.testing.assert_allclose(adjacency_matrix(pattern, 2), [[0, 5], [5, 0]])
    np.testing.assert_allclose(degree_matrix(pattern, 2, weighted=True), 5 * np.eye(2))
    np.testing.assert_array_equal(degree_matrix(pattern, 4), np.diag([1, 1, 0, 0]))
    np.testing.assert_array_equal(degree_matrix(THREE, 3), 2 * np.eye(3))
    np.testing.assert_allclose(laplacian_matrix(pattern, 2), [[5, -5], [-5, 5]])
    assert np.count_nonzero(laplacian_matrix(pattern, 4)) == 4, "places without a peak have no edges"


@settings(max_examples=60, deadline=None)
@given(patterns(), st.integers(1, 40))
def test_graph_forms_are_those_of_graph_theory(pattern, n_peaks):
    adjacency, laplacian = adjacency_matrix(pattern, n_peaks), laplacian_matrix(pattern, n_peaks)
    vertices = min(n_peaks, len(pattern))
    assert np.array_equal(adjacency, adjacency.T)
    assert not adjacency.diagonal().any()
    scale = max(1.0, adjacency.sum())
    np.testing.assert_allclose(laplacian.sum(axis=1), 0, atol=1e-10 * scale)
    eigenvalues = np.linalg.eigvalsh(laplacian)
    assert eigenvalues[0] >= -1e-9 * scale
    # a complete graph of distinct peaks is one component, each empty place another
    assert (eigenvalues > 1e-9 * scale).sum() == vertices - 1
    x = np.arange(n_peaks, dtype=float) ** 2
    energy = (adjacency * (x[:, None] - x) ** 2).sum() / 2
    assert x @ laplacian @ x == pytest.approx(energy, rel=1e-9, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(patterns(), st.integers(1, 40))
def test_gram_forms_are_positive_and_sizes_are_kept(pattern, n_peaks):
    gram, root = gram_matrix(pattern, n_peaks), matganip_matrix(pattern, n_peaks)
    assert gram.shape == root.shape == (n_peaks, n_peaks)
    assert np.linalg.eigvalsh(gram)[0] >= -1e-9 * gram.trace()
    assert np.array_equal(root, root.T)
    assert root.max() <= np.sqrt(2) + 1e-12
    some = (pattern.intensity > 1.5) & (pattern.intensity < 70)
    if some.any():
        assert np.linalg.norm(autoencoder_vector(pattern, n_peaks)) == pytest.approx(1)


@pytest.mark.parametrize("function", [gram_matrix, matganip_matrix, autoencoder_vector, adjacency_matrix])
def test_a_matrix_without_peaks_is_refused(function):
    with pytest.raises(ValueError, match="n_peaks must be at least 1"):
        function(THREE, 0)
