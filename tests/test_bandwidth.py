from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qperov_circuits import Gate
from sklearn.base import clone
from sklearn.gaussian_process.kernels import ConstantKernel, WhiteKernel
from sklearn.model_selection import GridSearchCV

from qperov.errors import MissingDependencyError
from qperov.quantum.estimators.regression import QuantumSVR
from qperov.quantum.kernels.alignment import align
from qperov.quantum.kernels.bandwidth import median_bandwidth, resolved_kernel
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.projected import ProjectedKernel

rng = np.random.default_rng(2)
X = rng.normal(size=(50, 4))
y = np.sin(2 * X[:, 1])  # one feature of four matters
UPPER = np.triu_indices(50, 1)


def alignment(kernel, X, y):
    """Centred kernel-target alignment, written out."""
    centring = np.eye(len(y)) - 1 / len(y)
    K, ideal = (centring @ matrix @ centring for matrix in (kernel(X), np.outer(y, y)))
    return (K * ideal).sum() / np.linalg.norm(K) / np.linalg.norm(ideal)


# --- median -------------------------------------------------------------------------------------


@pytest.mark.parametrize("feature_map", ["zz", "z", "hubregtsen", "angle_yz_cx"])
@pytest.mark.parametrize("kind", [FidelityKernel, ProjectedKernel])
def test_the_median_of_the_matrix_is_one_half(kind, feature_map):
    kernel = resolved_kernel(kind(feature_map, bandwidth="median"), X)
    assert np.median(kernel(X)[UPPER]) == pytest.approx(0.5, abs=1e-3)


@given(st.floats(1e-4, 1e4), st.floats(0.1, 0.9))
@settings(max_examples=20, deadline=None)
def test_the_median_bandwidth_undoes_the_scale_of_the_features(scale, target):
    kernel = FidelityKernel("z", reps=1)
    assert scale * median_bandwidth(kernel, scale * X, target) == pytest.approx(
        median_bandwidth(kernel, X, target), rel=1e-3
    )


def test_the_median_bandwidth_of_one_qubit_is_known():
    samples = np.linspace(0, 1, 101)[:, None]  # |x − y| has median 1 − √½ over pairs of a uniform distribution
    kernel = FidelityKernel(lambda angles: [Gate("ry", (0,), angles[0])])  # cos²((x − y)/2)
    expected = 2 * np.arccos(np.sqrt(0.9)) / (1 - np.sqrt(0.5))
    assert median_bandwidth(kernel, samples, target=0.9) == pytest.approx(expected, rel=0.03)


def test_data_without_two_different_samples_have_bandwidth_too():
    for samples in (np.ones((1, 3)), np.ones((5, 3)), np.zeros((4, 2))):
        assert 0 < median_bandwidth(FidelityKernel(), samples) < 1
    with pytest.raises(ValueError, match="target"):
        median_bandwidth(FidelityKernel(), X, target=1.0)
    with pytest.raises(ValueError, match="NaN"):
        median_bandwidth(FidelityKernel(), [[np.nan, 1.0]])


def test_median_that_cannot_be_reached_comes_as_near_as_it_can():
    flat = ProjectedKernel(gamma=1e-3)
    found = median_bandwidth(flat, X)
    medians = {b: np.median(clone(flat).set_params(bandwidth=b)(X)[UPPER]) for b in (found, 0.01, 0.1)}
    assert min(medians, key=medians.__getitem__) == found


def test_a_narrow_gaussian_has_a_small_median_bandwidth():
    narrow = ProjectedKernel(gamma=1e9)
    found = median_bandwidth(narrow, X)
    assert np.median(clone(narrow).set_params(bandwidth=found)(X)[UPPER]) == pytest.approx(0.5, abs=1e-3)


def test_words_are_resolved_inside_combined_kernels():
    kernel = ConstantKernel(2.0) * FidelityKernel(bandwidth="median") + WhiteKernel(0.1)
    resolved = resolved_kernel(kernel, X)
    assert isinstance(resolved.k1.k2.bandwidth, float)
    assert kernel.k1.k2.bandwidth == "median"
    numbers = FidelityKernel(bandwidth=0.3)
    assert resolved_kernel(numbers, X) == numbers
    assert FidelityKernel(bandwidth="median").theta.size == 0


def test_shots_do_not_disturb_the_median():
    noisy = resolved_kernel(FidelityKernel(bandwidth="median", shots=10), X)
    assert noisy.shots == 10
    assert noisy.bandwidth == resolved_kernel(FidelityKernel(bandwidth="median"), X).bandwidth


def test_a_grid_may_hold_words_and_numbers():
    grid = {"kernel__bandwidth": ["median", 0.05, "aligned"]}
    search = GridSearchCV(QuantumSVR(FidelityKernel("z", reps=1), C=10.0, epsilon=0.01), grid, cv=3).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_["kernel__bandwidth"] == "aligned"


# --- alignment ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FidelityKernel, ProjectedKernel])
@pytest.mark.parametrize("feature_map", ["zz", "hubregtsen"])
def test_training_raises_the_alignment(kind, feature_map):
    start = resolved_kernel(kind(feature_map, bandwidth="median"), X)
    trained = resolved_kernel(kind(feature_map, bandwidth="aligned"), X, y)
    assert alignment(trained, X, y) > alignment(start, X, y) + 0.05
    assert len(trained.bandwidth) == 4
    assert (trained.weights is None) == (feature_map == "zz")


def test_training_finds_the_feature_that_matters():
    trained = resolved_kernel(FidelityKernel("z", reps=1, bandwidth="aligned"), X, y)
    assert np.argmax(trained.bandwidth) == 1
    assert trained.bandwidth[1] > 3 * max(np.delete(trained.bandwidth, 1))


def test_result_is_stationary_point_of_exact_alignment():
    kernel = FidelityKernel("z", reps=1, bandwidth=0.3)
    found = align(kernel, X, y, max_iter=200)
    best = alignment(clone(kernel).set_params(**found), X, y)
    for i in (0, 1):  # the others went to the edge of what they may be
        for factor in (0.9, 1.1):
            moved = np.array(found["bandwidth"])
            moved[i] *= factor
            assert alignment(clone(kernel).set_params(bandwidth=moved.tolist()), X, y) <= best + 1e-6


@pytest.mark.parametrize("labels", [(y > 0).astype(int), np.array(["a", "b", "c"])[np.digitize(X[:, 1], [-0.5, 0.5])]])
def test_classes_are_aligned_with_too(labels):
    trained = align(FidelityKernel("z", reps=1, bandwidth=0.3), X, labels)
    assert np.argmax(trained["bandwidth"]) == 1


def test_training_is_repeatable_on_a_draw_of_many_samples():
    many = np.random.default_rng(0).normal(size=(300, 2))
    first, second = (align(FidelityKernel(bandwidth=0.2), many, many[:, 0], max_iter=3) for _ in range(2))
    assert first == second
    other = align(FidelityKernel(bandwidth=0.2), many, many[:, 0], max_iter=3, random_state=1)
    assert first != other


def test_labels_that_tell_nothing_leave_the_bandwidth():
    assert align(FidelityKernel(bandwidth=0.2), X, np.ones(50))["bandwidth"] == pytest.approx([0.2] * 4)
    with pytest.raises(ValueError, match="y is needed"):
        resolved_kernel(FidelityKernel(bandwidth="aligned"), X)
    with pytest.raises(ValueError, match="inconsistent numbers"):
        align(FidelityKernel(bandwidth=0.2), X, y[:4])


def test_without_torch_the_word_aligned_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"qperov\[torch\]"):
        align(FidelityKernel(), X, y)
