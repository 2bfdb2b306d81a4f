"""Machines handed to kernels: simulators against exact values, within what shots and noise allow."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qperov_circuits import Gate, feature_map
from qperov_circuits.qcnn import entangling, entangling_size
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from qperov.errors import BudgetError, HardwareError
from qperov.hardware import Backend, Options
from qperov.hardware.jobs import jobs
from qperov.hardware.jobs.backend import local_jobs, open_service
from qperov.hardware.jobs.ledger import Ledger
from qperov.hardware.plan import pairs, planning
from qperov.hardware.plan.compile import compile_measurement
from qperov.hardware.plan.plan import BackendSpec, Settings
from qperov.hardware.plan.planning import plan_autoencoder, plan_bloch, plan_fidelities
from qperov.quantum.autoencoder.autoencoder import QuantumAutoencoder
from qperov.quantum.estimators.regression import QuantumSVR
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.projected import ProjectedKernel

X = np.random.default_rng(5).normal(size=(6, 3))
LEFT, RIGHT = np.triu_indices(6, 1)
FAST = Options(layout_trials=1)
CIRCUIT = feature_map("zz").gates


def exact() -> np.ndarray:
    return FidelityKernel(bandwidth=1.0)(X)[LEFT, RIGHT]


def exact_bloch() -> np.ndarray:
    return ProjectedKernel(bandwidth=1.0).bloch_vectors(X).reshape(6, 3, 3)


def test_ideal_machine_gives_binomial_values_around_exact_ones() -> None:
    shots = 4096
    found = Backend("aer", shots=shots, options=FAST).measure_fidelities(CIRCUIT, X[LEFT], X[RIGHT])
    assert found.shape == (15,)
    z = (found - exact()) / np.sqrt(exact() * (1 - exact()) / shots)
    assert np.abs(z).max() < 4
    assert 0.5 < np.sqrt(np.mean(z**2)) < 1.6
    np.testing.assert_array_equal(found * shots, np.rint(found * shots))


def test_bloch_vectors_have_the_axes_and_wires_in_their_places() -> None:
    shots = 4096
    found = Backend("aer", shots=shots, options=FAST).measure_bloch(CIRCUIT, X)
    assert found.shape == (6, 3, 3)
    assert np.abs(found - exact_bloch()).max() < 4.5 / np.sqrt(shots)


def test_equal_seeds_give_equal_results_and_others_do_not() -> None:
    def measured(seed: int | None) -> np.ndarray:
        backend = pickle.loads(pickle.dumps(Backend("aer", noise=0.02, random_state=seed, options=FAST)))  # noqa: S301
        return backend.measure_fidelities(CIRCUIT, X[LEFT], X[RIGHT])

    np.testing.assert_array_equal(measured(3), measured(3))
    assert (measured(3) != measured(4)).any()
    assert (measured(None) != measured(None)).any()


def test_kernel_with_a_backend_measures_and_repeats_itself() -> None:
    backend = Backend("aer", shots=4096, options=FAST)
    fidelity = FidelityKernel(bandwidth=0.5, backend=backend)
    K = fidelity(X)
    np.testing.assert_array_equal(K, K.T)
    np.testing.assert_allclose(K, FidelityKernel(bandwidth=0.5)(X), atol=4.5 * 0.5 / np.sqrt(4096))
    np.testing.assert_array_equal(clone(fidelity)(X), K)
    projected = ProjectedKernel(bandwidth=0.5, backend=backend)
    np.testing.assert_allclose(projected(X), ProjectedKernel(bandwidth=0.5)(X), atol=0.1)


def test_backends_are_plain_values() -> None:
    backend = Backend("fake_fez", shots=10, options=Options(layout=(1, 2)))
    assert pickle.loads(pickle.dumps(backend)) == backend  # noqa: S301
    assert hash(backend) == hash(Backend("fake_fez", shots=10, options=Options(layout=(1, 2))))


@pytest.mark.parametrize("name", ["fake_manila", "fake_fez"])
def test_readout_correction_takes_some_noise_away(name: str) -> None:
    with Ledger() as ledger:
        service = open_service(BackendSpec(name))
        settings = Settings(4096, FAST)
        plan = plan_fidelities(CIRCUIT, X, pairs.full(6, diagonal=True), service, BackendSpec(name), settings)
        jobs.submit(plan, service, ledger)
        found = jobs.collect(plan, service, ledger)
        service.close()
    diagonal = {mitigated: found.matrix(mitigated).diagonal().mean() for mitigated in (False, True)}
    assert diagonal[False] < diagonal[True] < 1
    # what is left of the all-zero outcome is about the product of the survivals of all gates and readings
    assert diagonal[False] == pytest.approx(plan.expected_fidelity, abs=0.1)
    truth = FidelityKernel(bandwidth=1.0)(X)
    errors = [np.abs(found.matrix(mitigated) - truth).mean() for mitigated in (False, True)]
    assert errors[1] < errors[0]
    assert found.misreading is not None
    assert 0 < min(found.misreading) < max(found.misreading) < 0.2


def test_depolarising_noise_takes_diagonal_where_formula_says() -> None:
    """n layers of independent depolarising noise leave about Π(1 − e)."""
    with Ledger() as ledger:
        target = BackendSpec("aer", 0.01)
        service = open_service(target)
        plan = plan_fidelities(CIRCUIT, X, pairs.full(6, diagonal=True), service, target, Settings(4096, FAST))
        jobs.submit(plan, service, ledger)
        found = jobs.collect(plan, service, ledger)
        service.close()
    assert found.matrix(False).diagonal().mean() == pytest.approx(plan.expected_fidelity, abs=0.04)


def test_measured_projected_kernel_is_that_of_bloch_vectors() -> None:
    with Ledger() as ledger:
        service = open_service(BackendSpec("aer"))
        settings = Settings(1 << 14, FAST)
        plan = plan_bloch(CIRCUIT, X, service, BackendSpec("aer"), settings, pairs.nystroem(6, np.array([1, 4])))
        jobs.submit(plan, service, ledger)
        found = jobs.collect(plan, service, ledger)
        service.close()
    expected = ProjectedKernel(bandwidth=1.0, gamma=0.7)(X)[:, [1, 4]]
    np.testing.assert_allclose(found.matrix(gamma=0.7), expected, atol=0.05)
    with pytest.raises(HardwareError, match="no losses"):
        found.losses()


def test_an_autoencoders_loss_and_code_come_from_one_pub() -> None:
    n_qubits, code_qubits = 3, 2
    rng = np.random.default_rng(8)
    vectors = np.abs(rng.normal(size=(5, 8)))
    model = QuantumAutoencoder(n_qubits=n_qubits, code_qubits=code_qubits, layers=1)
    angles = rng.uniform(-1, 1, entangling_size(n_qubits, code_qubits, 1))
    model.set_angles(angles, 8)
    gates = list(entangling(angles.tolist(), n_qubits, code_qubits, 1))
    with Ledger() as ledger:
        service = open_service(BackendSpec("aer"))
        settings = Settings(1 << 14, Options(layout_trials=1, readout_mitigation=False))
        plan = plan_autoencoder(gates, vectors, code_qubits, service, BackendSpec("aer"), settings)
        assert plan.cost.pubs == 1
        jobs.submit(plan, service, ledger)
        found = jobs.collect(plan, service, ledger)
        service.close()
    np.testing.assert_allclose(found.codes(), model.transform(vectors), atol=0.04)
    assert found.losses().mean() == pytest.approx(model.loss(vectors), abs=0.01)
    with pytest.raises(HardwareError, match="no kernel matrix"):
        found.matrix()


def test_what_is_in_the_ledger_is_not_measured_again(tmp_path: Path) -> None:
    backend = Backend("aer", shots=100, options=FAST, random_state=None, ledger=tmp_path / "l.db")
    first = backend.measure_fidelities(CIRCUIT, X[LEFT], X[RIGHT])
    np.testing.assert_array_equal(backend.measure_fidelities(CIRCUIT, X[LEFT], X[RIGHT]), first)
    assert Path(local_jobs(tmp_path / "l.db")).name == "l-local.db"


def test_feature_map_beyond_eight_qubits_fills_two_bytes() -> None:
    x = 0.3 * np.random.default_rng(1).normal(size=(2, 9))
    found = Backend("aer", shots=4096, options=FAST).measure_fidelities(feature_map("z").gates, x[:1], x[1:])
    truth = FidelityKernel(feature_map="z", bandwidth=1.0)(x)[0, 1]
    assert found[0] == pytest.approx(truth, abs=4 * np.sqrt(truth * (1 - truth) / 4096) + 1e-9)


@pytest.mark.parametrize(
    ("backend", "error", "message"),
    [
        (Backend("fake_nowhere"), HardwareError, "no simulator 'fake_nowhere'"),
        (Backend("fake_fez", noise=0.1), HardwareError, "brings its own noise"),
        (Backend("aer", noise=2.0), HardwareError, "noise is a chance"),
        (Backend("aer", shots=0), ValueError, "shots must be at least 1"),
        (Backend("aer", budget_seconds=1.0), BudgetError, "the budget is 1 s"),
    ],
)
def test_bad_specifications_are_refused_when_they_are_used(
    backend: Backend, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        backend.measure_fidelities(CIRCUIT, X[LEFT], X[RIGHT])


def test_kernels_remember_only_what_a_ledger_keeps(tmp_path: Path) -> None:
    new = FidelityKernel(bandwidth=0.5, backend=Backend("aer", shots=100, random_state=None, options=FAST))
    first, second = new(X), new(X)
    assert (first != second).any()
    np.testing.assert_array_equal(first, first.T)
    with pytest.raises(TypeError, match="no hash"):
        hash(new.backend)
    assert clone(new).backend == pickle.loads(pickle.dumps(new.backend)) == new.backend  # noqa: S301
    for kept in (
        Backend("aer", random_state=None, ledger=tmp_path / "l.db"),
        Backend("aer"),
        Backend("ibm_fez", random_state=None),
    ):
        assert hash(kept) == hash(pickle.loads(pickle.dumps(kept)))  # noqa: S301


def test_seed_of_simulators_makes_no_other_job_of_real_machine() -> None:
    assert Backend("ibm_fez", random_state=1).spec() == Backend("ibm_fez", random_state=2).spec()
    assert Backend("fake_fez", random_state=1).spec() != Backend("fake_fez", random_state=2).spec()


def test_a_calibration_between_two_calls_costs_no_second_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler goes by error rates; another layout tomorrow must not make another plan."""
    with Ledger() as ledger:
        service = open_service(BackendSpec("fake_manila"))
        plans = []
        for layout in ((0, 1, 2), (2, 3, 4)):  # what two calibrations lead to

            def calibrated(measurement: Any, machine: Any, options: Any, layout: tuple = layout) -> Any:
                return compile_measurement(measurement, machine, replace(options, layout=layout))

            monkeypatch.setattr(planning, "compile_measurement", calibrated)
            wanted = (CIRCUIT, X, pairs.full(6), service, BackendSpec("fake_manila"), Settings(64, FAST))
            plans.append(plan_fidelities(*wanted, ledger.find_plan))
            ledger.add(plans[-1])
        other = plan_fidelities(*wanted)
        shifted = plan_fidelities(CIRCUIT, X + 1e-9, *wanted[2:], ledger.find_plan)
        with pytest.raises(BudgetError):
            plan_fidelities(*wanted[:5], Settings(64, FAST, 1.0), ledger.find_plan)
        service.close()
    assert plans[0].plan_id == plans[1].plan_id
    assert other.plan_id != plans[0].plan_id
    assert shifted.plan_id != plans[0].plan_id
    assert plans[0].content == other.content != shifted.content


@pytest.mark.parametrize("layout", [None, (4, 0, 2)])
def test_wires_are_read_where_they_are_in_any_layout(
    layout: tuple[int, ...] | None,
) -> None:
    """Three RY of different angles: ⟨X⟩ = sin, ⟨Y⟩ = 0, ⟨Z⟩ = cos on each wire of its own."""
    angles = np.array([[0.1, 1.2, 2.9]])
    backend = Backend("fake_manila", shots=4096, options=Options(layout=layout))
    found = backend.measure_bloch(lambda a: [Gate("ry", (i,), a[i]) for i in range(3)], angles)[0]
    expected = np.stack([np.sin(angles[0]), np.zeros(3), np.cos(angles[0])], axis=1)
    np.testing.assert_allclose(found, expected, atol=0.09)


def test_machine_in_regression_is_searched_cloned_and_pickled() -> None:
    backend = Backend("fake_manila", shots=256, options=FAST)
    model = QuantumSVR(FidelityKernel(bandwidth=0.3, backend=backend), C=10.0)
    y = X.sum(axis=1)
    search = GridSearchCV(model, {"kernel__bandwidth": [0.2, 0.4]}, cv=2).fit(X, y)
    again = pickle.loads(pickle.dumps(search))  # noqa: S301
    np.testing.assert_array_equal(again.predict(X), search.predict(X))
    assert clone(model).kernel.backend == backend


def test_no_pairs_are_no_job() -> None:
    assert Backend("ibm_nowhere").measure_fidelities(CIRCUIT, X[:0], X[:0]).shape == (0,)
    with pytest.raises(ValueError, match="two sides of pairs"):
        Backend("aer").measure_fidelities(CIRCUIT, X, X[:2])


def test_the_old_name_of_the_seed_warns_and_works() -> None:
    with pytest.warns(DeprecationWarning, match="write random_state="):
        old = Backend("aer", seed=5)
    assert old == Backend("aer", random_state=5)
    assert hash(old) == hash(Backend("aer", random_state=5))
    assert pickle.loads(pickle.dumps(old)) == old  # noqa: S301
