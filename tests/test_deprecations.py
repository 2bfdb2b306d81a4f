"""What was written for 0.1 works in 0.2, with a warning that says what to write."""

from __future__ import annotations

from copy import deepcopy

import pytest
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF

from qperov import FidelityKernel, ProjectedKernel, QuantumAutoencoder, QuantumSVC, QuantumSVR
from qperov.quantum import QuantumKernelRidge
from qperov.quantum.autoencoder.encoded_regressor import TorchHead


@pytest.mark.parametrize(
    ("estimator", "arguments", "advice"),
    [
        (FidelityKernel, ("zz", 3, "full", 0.2), "reps=3, entanglement='full', bandwidth=0.2"),
        (ProjectedKernel, ("zz", 3, "full", 0.2), "reps=3, entanglement='full', gamma=0.2"),
        (QuantumSVR, (RBF(), 2.0, 0.3), "C=2.0, epsilon=0.3"),
        (QuantumKernelRidge, (RBF(), 2.0), "alpha=2.0"),
        (QuantumAutoencoder, (3, 2, "published"), "code_qubits=2, ansatz='published'"),
    ],
)
def test_positional_arguments_warn_and_mean_what_they_did(estimator, arguments, advice):
    with pytest.warns(FutureWarning, match=f"deprecated and go in 0.3: write {advice}$"):
        made = estimator(*arguments)
    names = list(made.get_params(deep=False))
    assert len(names) >= len(arguments)  # scikit-learn still sees the parameters
    written = dict(part.split("=") for part in advice.split(", "))
    for name, value in zip(written, arguments[1:], strict=True):
        assert getattr(made, name) == value
    assert clone(made).get_params(deep=False).keys() == made.get_params(deep=False).keys()


def test_the_first_argument_may_stay_positional():
    assert FidelityKernel("iqp").feature_map == "iqp"
    assert QuantumSVR(RBF()).kernel == RBF()


def test_more_arguments_than_parameters_are_refused():
    with pytest.raises(TypeError, match="positional arguments"):
        QuantumKernelRidge(RBF(), 1.0, 2.0)
    with pytest.raises(TypeError, match="positional argument"):
        QuantumKernelRidge(RBF(), 1.0, alpha=2.0)


@pytest.mark.parametrize("estimator", [QuantumSVR, QuantumSVC])
def test_tol_is_tolerance(estimator):
    with pytest.warns(DeprecationWarning, match="tol of .* goes in 0.3: write tolerance=0.5"):
        assert estimator(tol=0.5).tolerance == 0.5
    with pytest.raises(TypeError, match="both tolerance and tol"):
        estimator(tol=0.5, tolerance=0.5)


@pytest.mark.parametrize(
    ("model", "old"),
    [
        (QuantumSVR(RBF(), tolerance=0.25), {"tolerance": "tol"}),
        (QuantumAutoencoder(tolerance=0.25), {"tolerance": "tol", "simulator": "device", "mode": ""}),
        (TorchHead(), {"mode": ""}),
    ],
)
def test_a_model_kept_by_the_first_version_has_its_parameters(model, old):
    expected = model.get_params(deep=False)
    for new, name in old.items():
        model.__dict__[name] = model.__dict__.pop(new)
    assert deepcopy(model).get_params(deep=False) == expected


def test_the_device_of_the_autoencoder_is_its_simulator():
    with pytest.warns(DeprecationWarning, match="write simulator='default.qubit'"):
        assert QuantumAutoencoder(device="default.qubit").simulator == "default.qubit"
