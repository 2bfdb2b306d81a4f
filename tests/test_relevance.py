"""Features scaled by their relevance: found where it is known, and harmless where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_transformer_general

from qperov.classical.kernels import PowerExponential
from qperov.classical.relevance import RelevanceScaling


def data(n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Labels that the first of four features tells, the second tells a little of, and the others nothing."""
    X = np.random.default_rng(0).normal(size=(n, 4))
    return X, np.sin(2 * X[:, 0]) + 0.1 * X[:, 1]


@pytest.mark.parametrize("p", [1.0, 1.2, 2.0])
def test_what_tells_of_the_labels_is_stretched(p: float) -> None:
    X, y = data()
    scaling = RelevanceScaling(p=p).fit(X, y)
    assert scaling.scale_[0] > 3 * scaling.scale_[1]
    assert scaling.scale_[1] > 3 * scaling.scale_[2:].max()
    assert scaling.transform(X) == pytest.approx(X * scaling.scale_)


def test_a_kernel_learns_more_from_scaled_features() -> None:
    X, y = data(240)
    plain = KernelRidge(kernel=PowerExponential(0.25, 1.2), alpha=1e-3)
    scaled = make_pipeline(RelevanceScaling(), KernelRidge(kernel=PowerExponential(1.0, 1.2), alpha=1e-3))
    errors = [np.abs(model.fit(X[:120], y[:120]).predict(X[120:]) - y[120:]).mean() for model in (plain, scaled)]
    assert errors[1] < 0.5 * errors[0]


def test_only_a_part_of_the_samples_is_looked_at() -> None:
    X, y = data()
    few = RelevanceScaling(n_subset=60, random_state=3).fit(X, y)
    rows = np.random.default_rng(3).permutation(len(X))[:60]
    other = np.full_like(y, 7.0)
    other[rows] = y[rows]
    assert RelevanceScaling(n_subset=60, random_state=3).fit(X, other).scale_.tolist() == few.scale_.tolist()


def test_noise_of_the_labels_is_found() -> None:
    X, y = data(200)
    noisy = y + 0.5 * np.random.default_rng(1).normal(size=len(y))
    assert RelevanceScaling().fit(X, noisy).noise_ > 10 * RelevanceScaling().fit(X, y).noise_


def test_bad_settings_and_input_are_refused() -> None:
    X, y = data(20)
    with pytest.raises(ValueError, match="p must be in"):
        RelevanceScaling(p=2.5).fit(X, y)
    with pytest.raises(ValueError, match="NaN"):
        RelevanceScaling().fit(np.where(X > 1, np.nan, X), y)
    with pytest.raises(NotFittedError):
        RelevanceScaling().transform(X)
    constant = RelevanceScaling().fit(X, np.ones(20)).transform(X)
    assert np.isfinite(constant).all(), "labels without variance tell nothing, and break nothing"


def test_it_is_a_transformer_by_the_rules() -> None:
    check_transformer_general("RelevanceScaling", RelevanceScaling(n_subset=20, max_iter=3))
