from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVR
from sklearn.utils.estimator_checks import parametrize_with_checks

from qperov.quantum.kernels import fidelity as fidelity_kernel
from qperov.quantum.kernels.feature_map_kernel import MEMORY, FeatureMapKernel
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.projected import ProjectedKernel
from qperov.quantum.kernels.states import KernelStates, StateFidelity

rng = np.random.default_rng(4)
X, Y = rng.normal(size=(40, 3)), rng.normal(size=(6, 3))
y = np.sin(X[:, 0])


@parametrize_with_checks([KernelStates(), KernelStates(ProjectedKernel())], expected_failed_checks=None)
def test_scikit_learn_conventions(estimator, check, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # one check is skipped without it
    check(estimator)


@pytest.mark.parametrize("kernel", [FidelityKernel(bandwidth=0.4), ProjectedKernel(bandwidth=0.4, gamma=0.7)])
def test_the_output_with_its_kernel_is_the_kernel(kernel):
    step = KernelStates(kernel).fit(X)
    states, others = step.transform(X), step.transform(Y)
    np.testing.assert_allclose(step.output_kernel_(states), kernel(X), atol=1e-12)
    np.testing.assert_allclose(step.output_kernel_(others, states), kernel(Y, X), atol=1e-12)
    np.testing.assert_allclose(step.output_kernel_.diag(states), np.ones(40), atol=1e-12)
    assert len(step.get_feature_names_out()) == states.shape[1]
    assert isinstance(step.output_kernel_, RBF) == isinstance(kernel, ProjectedKernel)


def test_names_tell_what_the_columns_are():
    assert list(KernelStates(FidelityKernel()).fit(X[:, :1]).get_feature_names_out()) == ["re0", "im0", "re1", "im1"]
    assert list(KernelStates(ProjectedKernel()).fit(X[:, :1]).get_feature_names_out()) == ["x0", "y0", "z0"]


def test_a_pipeline_with_memory_prepares_the_states_once(tmp_path, monkeypatch):
    prepared = []
    original = FeatureMapKernel._states
    monkeypatch.setattr(FeatureMapKernel, "_states", lambda self, X, n: prepared.append(len(X)) or original(self, X, n))
    kernel = FidelityKernel(bandwidth=0.4)
    for C in (1.0, 10.0):
        steps = [("states", KernelStates(kernel)), ("svr", SVR(kernel=StateFidelity(), C=C))]
        found = Pipeline(steps, memory=str(tmp_path)).fit(X, y)
        np.testing.assert_allclose(found.predict(Y), SVR(kernel=kernel, C=C).fit(X, y).predict(Y), atol=1e-8)
    assert prepared.count(40) <= 2  # once by the first pipeline, once by the SVR that it is compared with


def test_nystroem_evaluates_landmarks_only(monkeypatch):
    MEMORY.clear()
    shapes = []
    original = fidelity_kernel.fidelities
    monkeypatch.setattr(
        fidelity_kernel,
        "fidelities",
        lambda a, b=None: shapes.append((len(a), len(a if b is None else b))) or original(a, b),
    )
    model = make_pipeline(Nystroem(FidelityKernel(bandwidth=0.4), n_components=5, random_state=0), Ridge(1e-3))
    model.fit(X, y)
    assert sum(a * b for a, b in shapes) <= 5 * 5 + 5 * 40  # m² and N·m, not N²


def test_bad_input():
    with pytest.raises(ValueError, match="shots=None"):
        KernelStates(FidelityKernel(shots=100)).fit(X)
    with pytest.raises(ValueError, match="must be a FidelityKernel"):
        KernelStates(RBF()).fit(X)
    with pytest.raises(ValueError, match="real and imaginary parts"):
        StateFidelity()(np.ones((2, 3)))
    with pytest.raises(ValueError, match="4 amplitudes and those of Y 2"):
        StateFidelity()(np.ones((2, 8)), np.ones((2, 4)))
    assert not StateFidelity().is_stationary()
    assert StateFidelity()(np.eye(4), eval_gradient=True)[1].shape == (4, 4, 0)
