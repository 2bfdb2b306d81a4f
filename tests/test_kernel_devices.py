"""Kernels worked out by PyTorch: on its CPU here, by the same lines that run on a GPU."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from qperov_circuits import IsingChain, zz
from sklearn.gaussian_process.kernels import Kernel

from qperov.errors import MissingDependencyError
from qperov.quantum.gram.matrix import gaussian
from qperov.quantum.kernels import fidelity as fidelity_kernel
from qperov.quantum.kernels.feature_map_kernel import MEMORY
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.gram_file import write_gram
from qperov.quantum.kernels.projected import ProjectedKernel
from qperov.quantum.kernels.states import KernelStates
from qperov.quantum.simulation import mps_overlaps

X, Y = (np.random.default_rng(seed).normal(size=(n, 5)) for seed, n in ((0, 40), (1, 7)))
MAPS = ["zz", "peters", IsingChain(2, 0.5), lambda x: zz(x, 1, "circular")]


@pytest.fixture(autouse=True)
def empty_memory():
    MEMORY.clear()


def matrices(kernel: Kernel) -> tuple[np.ndarray, np.ndarray]:
    MEMORY.clear()
    return kernel(X), kernel(X, Y)


@pytest.mark.parametrize("kind", [FidelityKernel, ProjectedKernel])
@pytest.mark.parametrize("simulator", ["statevector", "mps"])
@pytest.mark.parametrize("own", MAPS)
def test_a_device_gives_what_numpy_gives(kind, simulator, own):
    expected = matrices(kind(own, bandwidth=0.7, simulator=simulator))
    found = matrices(kind(own, bandwidth=0.7, simulator=simulator, device="cpu"))
    for K, same in zip(found, expected, strict=True):
        np.testing.assert_allclose(K, same, atol=1e-12)
        assert K.dtype == np.float64
    assert (found[0] == found[0].T).all()
    assert (found[0].diagonal() == 1).all()


@pytest.mark.parametrize("simulator", ["statevector", "mps"])
def test_the_products_are_done_on_the_device(simulator, monkeypatch):
    def in_numpy(*arguments, **options):
        raise AssertionError("a product was done in numpy")

    expected = FidelityKernel(bandwidth=0.7, simulator=simulator)(X)
    MEMORY.clear()
    monkeypatch.setattr("qperov.quantum.simulation.overlaps.get_blas_funcs", in_numpy)
    monkeypatch.setattr(np, "matmul", in_numpy)
    monkeypatch.setattr(mps_overlaps, "_by_transfer", in_numpy)
    found = FidelityKernel(bandwidth=0.7, simulator=simulator, device="cpu")(X)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_blocks_and_tiles_on_a_device(monkeypatch, tmp_path):
    expected = matrices(FidelityKernel(bandwidth=0.7))
    monkeypatch.setattr(fidelity_kernel, "MAX_SIDE", 9)
    monkeypatch.setattr(mps_overlaps, "DEVICE_BYTES", 16 * 4**2 * 100)
    for simulator in ("statevector", "mps"):
        kernel = FidelityKernel(bandwidth=0.7, simulator=simulator, device="cpu")
        for K, same in zip(matrices(kernel), expected, strict=True):
            np.testing.assert_allclose(K, same, atol=1e-12)
        path = tmp_path / f"{simulator}.npy"
        write_gram(kernel, X, path, block=16)
        kernel.set_params(device=None)
        np.testing.assert_allclose(write_gram(kernel, X, path, block=16), expected[0], atol=1e-12)


def test_single_precision_states_and_shots_on_a_device():
    single = matrices(FidelityKernel(bandwidth=0.7, precision="single", device="cpu"))
    np.testing.assert_allclose(single[1], FidelityKernel(bandwidth=0.7)(X, Y), atol=1e-5)
    with_shots = [FidelityKernel(bandwidth=0.7, shots=50, device=device) for device in (None, "cpu")]
    assert np.array_equal(*(matrices(kernel)[0] for kernel in with_shots))
    rows = [KernelStates(FidelityKernel(bandwidth=0.7, device=device)).fit_transform(X) for device in (None, "cpu")]
    np.testing.assert_allclose(*rows, atol=1e-12)
    projected = ProjectedKernel(bandwidth=0.7, gamma=0.5, device="cpu")
    vectors = projected.bloch_vectors(X)
    np.testing.assert_allclose(projected(X), gaussian(vectors, vectors, 0.5), atol=1e-12)


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there(device):
    with pytest.raises(ValueError, match=f"device '{device}' cannot be used"):
        FidelityKernel(device=device)(X)


def test_a_device_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'qperov\[torch\]'"):
        ProjectedKernel(device="cuda")(X)


def test_angles_that_are_not_finite_on_a_device():
    with pytest.raises(ValueError, match="not finite: scale the features down"):
        FidelityKernel(bandwidth=1e200, device="cpu")(1e200 * X)
