from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from qperov.descriptors import RankPCA
from qperov.diffraction.rounding import rounded


def low_rank(rng: np.random.Generator, n: int, columns: int, rank: int) -> np.ndarray:
    return rng.normal(size=(n, rank)) @ rng.normal(size=(rank, columns)) + rng.normal(size=columns)


@parametrize_with_checks([RankPCA(), RankPCA(2, whiten=True)])
def test_scikit_learn_conventions(estimator, check, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # one check is skipped without it
    check(estimator)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_components_span_the_space_of_scikit_learns(seed, n_components):
    X = np.random.default_rng(seed).normal(size=(25, 6)) * [5, 3, 2, 1, 0.5, 0.1]
    ours, reference = RankPCA(n_components).fit(X), PCA(n_components).fit(X)
    cosines = np.abs((ours.components_ * reference.components_).sum(axis=1))
    np.testing.assert_allclose(cosines, 1, atol=1e-8)
    assert ours.n_components_ == n_components


@pytest.mark.parametrize("n_components", [None, 1, 3])
def test_scores_are_scikit_learns_up_to_sign_and_one_scale(n_components):
    rng = np.random.default_rng(1)
    X, new = rng.normal(size=(30, 5)) * [4, 2, 1, 1, 0.2], rng.normal(size=(4, 5))
    ours, reference = RankPCA(n_components).fit(X), PCA(n_components).fit(X)
    scale = np.sqrt(reference.explained_variance_.mean())
    np.testing.assert_allclose(np.abs(ours.transform(new)) * scale, np.abs(reference.transform(new)), atol=1e-10)
    assert ours.transform(X).var(axis=0, ddof=1).mean() == pytest.approx(1)
    white, reference = RankPCA(n_components, whiten=True).fit(X), PCA(n_components, whiten=True).fit(X)
    np.testing.assert_allclose(np.abs(white.transform(new)), np.abs(reference.transform(new)), atol=1e-10)
    np.testing.assert_allclose(white.transform(X).var(axis=0, ddof=1), 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(0, 8))
def test_never_a_component_of_noise(seed, rank, copies):
    """Columns that repeat each other up to 1e-13 add no component, however many are asked for."""
    rng = np.random.default_rng(seed)
    X = low_rank(rng, 40, 6, rank)
    X = np.hstack([X, X[:, rng.integers(0, 6, size=copies)]])
    X += 1e-13 * rng.normal(size=X.shape)
    model = RankPCA(10).fit(X)
    assert model.n_components_ == rank
    assert RankPCA().fit(X).n_components_ == rank
    assert model.transform(X).shape == (40, rank)
    restored = model.transform(X) * model.scale_ @ model.components_ + model.mean_
    np.testing.assert_allclose(restored, X, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_signs_do_not_depend_on_order_or_sign_of_the_data(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(20, 4)) * [8, 4, 2, 1]
    model = RankPCA().fit(X)
    for other in (X[rng.permutation(20)], X.mean(axis=0) * 2 - X):
        np.testing.assert_allclose(RankPCA().fit(other).components_, model.components_, atol=1e-9)
    leading = np.abs(model.components_).argmax(axis=1)
    assert (model.components_[np.arange(4), leading] > 0).all()


def test_sign_of_entries_of_equal_size_is_that_of_the_first():
    line = np.linspace(-1, 1, 9)[:, None] * [1.0, -1.0]
    for noise in (1e-12, -1e-12):
        model = RankPCA().fit(line * [1 + noise, 1])
        np.testing.assert_allclose(model.components_, [[np.sqrt(0.5), -np.sqrt(0.5)]], atol=1e-9)


def test_constant_data_give_one_component_of_zeros():
    model = RankPCA(3).fit(np.full((5, 2), 7.0))
    assert model.n_components_ == 1
    assert not model.transform(np.array([[7.0, 7.0], [9.0, 1.0]])).any()


def test_column_names_and_bad_settings():
    X = np.random.default_rng(0).normal(size=(6, 3))
    assert RankPCA(2).fit(X).get_feature_names_out().tolist() == ["pc0", "pc1"]
    frame = RankPCA(2).set_output(transform="pandas").fit_transform(X)
    assert list(frame.columns) == ["pc0", "pc1"]
    with pytest.raises(ValueError, match="at least 1"):
        RankPCA(0).fit(X)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=12),
    st.integers(-11, -1),
)
def test_rounding_moves_a_value_by_less_than_the_resolution(values, exponent):
    array, resolution = np.array(values), 10.0**exponent
    largest = np.abs(array).max()
    result = rounded(array, resolution)
    assert np.abs(result - array).max() <= 0.5000001 * resolution * largest + 1e-15 * largest + 1e-300
    assert np.array_equal(rounded(result, resolution, scale=largest or None), result)


def test_rounding_removes_noise_and_negative_zeros():
    values = np.array([100.0, 33.3, -1e-13])
    noisy = values + np.array([1e-13, -1e-13, 1e-14])
    assert rounded(values).tobytes() == rounded(noisy).tobytes()
    assert not np.signbit(rounded(values)[2])
    assert rounded(np.zeros(3)).tolist() == [0, 0, 0]
    assert rounded(np.zeros((0, 3))).shape == (0, 3)


def test_rounding_with_a_scale_does_not_depend_on_the_batch():
    values = np.random.default_rng(0).normal(size=20)
    whole = rounded(values, 1e-3, scale=5.0)
    assert np.array_equal(np.concatenate([rounded(v[None], 1e-3, scale=5.0) for v in values]), whole)
    assert not np.array_equal(np.concatenate([rounded(v[None], 1e-3) for v in values]), whole)


def test_whitened_noise_tells_no_twins_apart():
    """A descriptor of 3 numbers with rounding noise: beyond its rank lies a hash by which twins are recognised.

    The target is pure chance for each distinct descriptor value; every crystal has one twin on each side of the split,
    plus many others with the same descriptor and another target, told apart only by noise at 1e-15.
    """
    rng = np.random.default_rng(3)
    kinds = np.repeat(np.arange(12), 8)
    signatures = 1e-13 * rng.normal(size=(len(kinds), 30))
    X = low_rank(rng, 12, 30, 3)[kinds] + signatures
    y = rng.normal(size=len(kinds))
    twin = X.copy()
    nearest = KNeighborsRegressor(1)
    hashed = make_pipeline(PCA(20, whiten=True), nearest).fit(X, y)
    assert np.corrcoef(hashed.predict(twin), y)[0, 1] > 0.99, "the fault: noise recognises every crystal"
    honest = RankPCA(20, whiten=True).fit(rounded(X))
    assert honest.n_components_ == 3
    features = honest.transform(rounded(twin))
    assert len(np.unique(np.round(features, 7), axis=0)) == 12, "crystals of one descriptor have one row"
    assert honest.transform(rounded(X)).tobytes() == features.tobytes()
