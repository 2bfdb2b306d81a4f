"""Kernels on a real Dask cluster, and in joblib's processes."""

from __future__ import annotations

import numpy as np
import pytest
from dask.distributed import Client, LocalCluster
from joblib import parallel_config

from qperov.quantum.kernels import fidelity as fidelity_kernel
from qperov.quantum.kernels import projected as projected_kernel
from qperov.quantum.kernels.feature_map_kernel import MEMORY
from qperov.quantum.kernels.fidelity import FidelityKernel
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


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # what Dask and its dependencies deprecate is theirs
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_dask_cluster_evaluates_the_blocks(cluster, kernel, monkeypatch):
    MEMORY.clear()
    expected = kernel(X), kernel(X, Y)
    MEMORY.clear()

    def here(*arguments):
        raise AssertionError("a block was evaluated in this process")

    monkeypatch.setattr(fidelity_kernel, "fidelities", here)
    monkeypatch.setattr(projected_kernel, "expectations", here)
    with parallel_config(backend="dask"):
        found = kernel(X), kernel(X, Y)
    for K, same in zip(found, expected, strict=True):
        np.testing.assert_allclose(K, same, atol=1e-13)


def test_processes_evaluate_the_blocks(monkeypatch):
    expected = FidelityKernel(bandwidth=0.3)(X)
    MEMORY.clear()
    np.testing.assert_allclose(FidelityKernel(bandwidth=0.3, n_jobs=2)(X), expected, atol=1e-13)
