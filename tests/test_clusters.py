"""Kernels, patterns and comparisons on a real Dask cluster, and in joblib's processes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from dask.distributed import Client, LocalCluster
from joblib import parallel_config
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

import qperov
from qperov.diffraction import patterns
from qperov.evaluation import folds
from qperov.quantum.kernels import fidelity as fidelity_kernel
from qperov.quantum.kernels import projected as projected_kernel
from qperov.quantum.kernels.feature_map_kernel import MEMORY
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.gram_file import write_gram
from qperov.quantum.kernels.projected import ProjectedKernel

X = np.random.default_rng(0).normal(size=(60, 4))
Y = np.random.default_rng(1).normal(size=(9, 4))
KERNELS = [FidelityKernel(bandwidth=0.3), FidelityKernel(bandwidth=0.3, shots=100), ProjectedKernel(bandwidth=0.3)]


@pytest.fixture(scope="module")
def cluster():
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client


def here(*arguments):
    raise AssertionError("a task was done in this process")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # what Dask and its dependencies deprecate is theirs
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_dask_cluster_evaluates_the_blocks(cluster, kernel, monkeypatch):
    MEMORY.clear()
    expected = kernel(X), kernel(X, Y)
    MEMORY.clear()
    monkeypatch.setattr(fidelity_kernel, "fidelities", here)
    monkeypatch.setattr(projected_kernel, "expectations", here)
    with parallel_config(backend="dask"):
        found = kernel(X), kernel(X, Y)
    for K, same in zip(found, expected, strict=True):
        np.testing.assert_allclose(K, same, atol=1e-13)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_dask_cluster_writes_a_matrix_to_a_file(cluster, monkeypatch, tmp_path):
    kernel = FidelityKernel(bandwidth=0.3)
    expected = kernel(X)
    MEMORY.clear()
    monkeypatch.setattr(fidelity_kernel, "fidelities", here)
    with parallel_config(backend="dask"):
        np.testing.assert_allclose(write_gram(kernel, X, tmp_path / "gram.npy", block=30), expected, atol=1e-13)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_dask_cluster_works_out_patterns(cluster, monkeypatch):
    crystals = qperov.load_dataset("cpx321").structures[:12]
    expected = qperov.powder_patterns(crystals)
    monkeypatch.setattr(patterns, "same_lattice", here)
    with parallel_config(backend="dask"):
        found = qperov.powder_patterns(crystals)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.intensity, other.intensity, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_dask_cluster_compares_models(cluster, monkeypatch):
    dataset = qperov.load_dataset("cpx321").take(range(40))
    model = {"ridge": make_pipeline(qperov.PXRDFeaturizer("pattern"), Ridge(10))}
    expected = qperov.compare(model, dataset, n_bootstrap=50).predictions
    monkeypatch.setattr(folds, "_fit_and_predict", here)
    with parallel_config(backend="dask"):
        found = qperov.compare(model, dataset, n_bootstrap=50).predictions
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9)


def test_processes_evaluate_the_blocks(monkeypatch):
    expected = FidelityKernel(bandwidth=0.3)(X)
    MEMORY.clear()
    np.testing.assert_allclose(FidelityKernel(bandwidth=0.3, n_jobs=2)(X), expected, atol=1e-13)
