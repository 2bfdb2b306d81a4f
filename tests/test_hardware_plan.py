"""Plans: prices against the published examples, pairs, payload, and the file."""

from __future__ import annotations

import json
import warnings
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qperov_circuits import Gate, feature_map
from qperov_circuits.qcnn import published

from qperov.commands.hardware.matrices import write_matrix
from qperov.errors import BudgetError, HardwareError
from qperov.hardware.plan import cost, pairs
from qperov.hardware.plan.compile import compile_measurement, from_text, ordered_bindings
from qperov.hardware.plan.measurement import autoencoder_measurement, bloch_measurement, fidelity_measurement
from qperov.hardware.plan.options import Options
from qperov.hardware.plan.plan import BackendSpec, Plan, Settings
from qperov.hardware.plan.plan_file import read_plan, write_plan
from qperov.hardware.plan.planning import plan_autoencoder, plan_bloch, plan_fidelities
from qperov.hardware.services.local import LocalService
from qperov.hardware.services.simulators import simulator_backend

PLAIN = Options(readout_mitigation=False, layout_trials=1, optimization_level=1)
TWO = feature_map("zz").gates


def small(n: int = 4, shots: int = 64, **settings: object) -> Plan:
    x = np.random.default_rng(0).normal(size=(n, 2))
    service = LocalService("aer")
    plan = plan_fidelities(TWO, x, pairs.full(n), service, BackendSpec("aer"), Settings(shots, PLAIN, **settings))  # type: ignore[arg-type]
    service.close()
    return plan


# --- cost ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "fidelity_minutes", "projected_seconds"),
    [(50, 7.4, 56), (200, 119, 217), (500, 12.4 * 60, 9 * 60)],
)
def test_the_published_examples_are_reproduced(n: int, fidelity_minutes: float, projected_seconds: float) -> None:
    n_pairs = n * (n - 1) // 2
    fidelity = cost.qpu_seconds(n_pairs * 1024, len(cost.chunks(n_pairs, 1024))) / 60
    projected = cost.qpu_seconds(3 * n * 1024, len(cost.chunks(3 * n, 1024)))
    assert fidelity == pytest.approx(fidelity_minutes, rel=0.01)
    assert projected == pytest.approx(projected_seconds, rel=0.01)


@given(st.integers(1, 200_000), st.integers(1, 100_000), st.sampled_from([0, 2]))
def test_chunks_cover_all_rows_within_the_limits(rows: int, shots: int, extra: int) -> None:
    found = cost.chunks(rows, shots, extra)
    assert found[0][0] == 0
    assert found[-1][1] == rows
    assert all(left[1] == right[0] for left, right in pairwise(found))
    sizes = [stop - start for start, stop in found]
    assert min(sizes) >= 1
    assert max(sizes) <= cost.MAX_BINDINGS
    assert (max(sizes) + extra) * shots <= cost.MAX_EXECUTIONS


def test_200_samples_are_three_jobs_of_less_than_4_mb() -> None:
    x = 0.1 * np.random.default_rng(1).normal(size=(200, 8))
    service = LocalService("fake_fez")
    settings = Settings(options=Options(layout_trials=1))
    plan = plan_fidelities(feature_map("zz").gates, x, pairs.full(200), service, BackendSpec("fake_fez"), settings)
    service.close()
    assert (plan.cost.pairs, plan.cost.jobs, plan.cost.pubs) == (19_900, 3, 6)
    assert 50_000 < plan.cost.payload_bytes < 4e6
    assert plan.cost.executions == (19_900 + 6) * 1024
    assert plan.cost.seconds / 60 == pytest.approx(119, rel=0.01)
    assert not plan.cost.fits_open_plan
    assert plan.calibrated is not None
    assert 0 < plan.expected_fidelity < 0.9
    # two circuits of two repetitions of seven ZZ; the compiler joins some of the last of U(x) with those of U(y)†
    assert 2 * 2 * 7 < plan.two_qubit_gates <= 2 * 2 * 2 * 7
    assert from_text(plan.circuit).global_phase == 0


def test_a_plan_over_its_budget_is_refused_with_what_would_help() -> None:
    with pytest.raises(BudgetError, match="projected kernel"):
        small(n=30, shots=1024, budget_seconds=100.0)
    within = small(n=30, shots=1024, budget_seconds=200.0)
    assert within.request(0).seconds == 200
    assert small(n=30, shots=1024).request(0).seconds is None


def test_shares_of_a_budget_never_exceed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "MAX_BINDINGS", 7)
    plan = small(n=9, shots=500, budget_seconds=33.0)
    shares = [plan.request(number).seconds or 0 for number in range(len(plan.chunks))]
    assert len(shares) == 6
    assert sum(shares) <= 33


# --- pairs --------------------------------------------------------------------------------------


@given(st.integers(2, 12), st.booleans(), st.data())
def test_each_pair_is_measured_once_and_fills_the_matrix(n: int, diagonal: bool, data: st.DataObject) -> None:
    rng = np.random.default_rng(0)
    whole = rng.uniform(size=(n, n))
    whole = (whole + whole.T) / 2
    if not diagonal:
        np.fill_diagonal(whole, 1.0)
    everything = pairs.full(n, diagonal)
    np.testing.assert_array_equal(everything.matrix(whole[everything.first, everything.second]), whole)
    landmarks = np.array(data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True)))
    some = pairs.nystroem(n, landmarks, diagonal)
    np.testing.assert_array_equal(some.matrix(whole[some.first, some.second]), whole[:, landmarks])
    m = len(landmarks)
    assert len(some.first) == m * (m - 1) // 2 + (n - m) * m + (m if diagonal else 0)
    assert len({frozenset(pair) for pair in zip(some.first.tolist(), some.second.tolist(), strict=True)}) == len(
        some.first
    )
    block = pairs.rectangular(3, n)
    other = rng.uniform(size=(3, n))
    np.testing.assert_array_equal(block.matrix(other[block.first, block.second - 3]), other)


def test_missing_values_leave_nan_on_both_sides_of_the_diagonal() -> None:
    K = pairs.full(3).matrix(np.array([0.5, np.nan, 0.25]))
    assert np.argwhere(np.isnan(K)).tolist() == [[0, 2], [2, 0]]


# --- circuits -----------------------------------------------------------------------------------


def test_bindings_follow_the_compiled_parameters() -> None:
    """The names basis_… sort before x…, which is where Qiskit asks for them."""
    x = np.random.default_rng(2).normal(size=(3, 2))
    measurement = bloch_measurement(TWO, x)
    found = compile_measurement(measurement, simulator_backend("fake_manila", 2), Options())
    assert found.order == tuple(parameter.name for parameter in found.circuit.parameters)
    assert found.order == tuple(sorted(measurement.names))
    assert found.order != measurement.names
    ordered = ordered_bindings(measurement, found.order)
    for name, column in zip(found.order, ordered.T, strict=True):
        np.testing.assert_array_equal(column, measurement.bindings[:, measurement.names.index(name)])


def test_a_parameter_without_effect_is_left_out_of_the_bindings() -> None:
    def circuit(angles: list) -> list[Gate]:
        return [Gate("ry", (0,), angles[0])]

    measurement = fidelity_measurement(circuit, np.ones((2, 2)), np.zeros((2, 2)))
    found = compile_measurement(measurement, simulator_backend("aer", 1), Options())
    assert found.order == ("x0000", "y0000")
    assert ordered_bindings(measurement, found.order).tolist() == [[1.0, 0.0], [1.0, 0.0]]


def test_hash_of_a_circuit_sees_every_change() -> None:
    machine = simulator_backend("fake_manila", 2)

    def digest(reps: int) -> str:
        measurement = fidelity_measurement(lambda a: TWO(a, reps), np.ones((1, 2)), np.ones((1, 2)))
        return compile_measurement(measurement, machine, PLAIN).digest()

    assert digest(1) == digest(1)
    assert digest(1) != digest(2)


def test_the_layout_of_the_highest_expected_fidelity_is_taken() -> None:
    measurement = fidelity_measurement(feature_map("zz").gates, np.ones((1, 3)), np.ones((1, 3)))
    machine = simulator_backend("fake_manila", 3)
    trials = [
        compile_measurement(measurement, machine, Options(transpiler_seed=seed, layout_trials=1)) for seed in range(5)
    ]
    best = compile_measurement(measurement, machine, Options(layout_trials=5))
    assert best.expected_fidelity == max(trial.expected_fidelity for trial in trials)
    chosen = compile_measurement(measurement, machine, Options(layout=(4, 3, 2)))
    assert set(chosen.qubits) == {4, 3, 2}


def test_too_many_qubits_for_a_machine_are_refused() -> None:
    measurement = fidelity_measurement(feature_map("z").gates, np.ones((1, 6)), np.ones((1, 6)))
    with pytest.raises(HardwareError, match="fake_manila has 5 qubits, the circuit needs 6"):
        compile_measurement(measurement, simulator_backend("fake_manila", 6), Options())


@pytest.mark.parametrize("bad", [np.ones(3), np.full((2, 2), np.nan), np.ones((0, 2))])
def test_bad_samples_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="samples"):
        bloch_measurement(TWO, bad)


# --- the file -----------------------------------------------------------------------------------


def test_features_without_digits_are_refused_unpaid() -> None:
    x = 1e16 * np.random.default_rng(1).normal(size=(4, 2))
    for measure in (lambda: fidelity_measurement(feature_map("zz").gates, x[:2], x[2:]),
                    lambda: bloch_measurement(feature_map("z").gates, x)):  # fmt: skip
        with pytest.raises(ValueError, match=r"rad, which float64 knows to \d\S* rad only"):
            measure()


def test_a_plan_survives_its_file_and_a_changed_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = small(label="again")
    write_plan(plan, tmp_path / "plan.json")
    found = read_plan(tmp_path / "plan.json")
    assert found.plan_id == plan.plan_id
    assert found.cost == plan.cost
    assert found.options == plan.options
    np.testing.assert_array_equal(found.bindings, plan.bindings)
    assert found.request(0).to_bytes() == plan.request(0).to_bytes()
    document = json.loads((tmp_path / "plan.json").read_text())
    (tmp_path / "plan.json").write_text(json.dumps(document | {"shots": 10}))
    with pytest.raises(HardwareError, match="changed after it was made"):
        read_plan(tmp_path / "plan.json")
    for path, value in (("cost", "seconds"), ("budget_seconds", None), ("circuit", None), ("labels", None)):
        changed = json.loads(json.dumps(document))
        if value is None:
            changed[path] = 1.0
        else:
            changed[path][value] = 1.0
        (tmp_path / "plan.json").write_text(json.dumps(changed))
        with pytest.raises(HardwareError, match="changed after it was made"):
            read_plan(tmp_path / "plan.json")
    monkeypatch.setattr(cost, "MAX_BINDINGS", 3)
    (tmp_path / "plan.json").write_text(json.dumps(document))
    with pytest.raises(HardwareError, match="cut its jobs otherwise"):
        read_plan(tmp_path / "plan.json")
    for damaged in ("[]", '"plan"', json.dumps(document)[:-9], json.dumps(document | {"arrays": "AAAA"})):
        (tmp_path / "plan.json").write_text(damaged)
        with pytest.raises(HardwareError):
            read_plan(tmp_path / "plan.json")
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(HardwareError, match="no plan"):
        read_plan(tmp_path / "plan.json")
    with pytest.raises(HardwareError, match="cannot be read"):
        read_plan(tmp_path / "other.json")


def test_equal_plans_share_an_id_and_a_label_makes_another() -> None:
    assert small().plan_id == small().plan_id
    assert len({small().plan_id, small(label="b").plan_id, small(shots=65).plan_id, small(n=5).plan_id}) == 4


def test_projected_kernels_cost_three_rows_a_sample() -> None:
    service = LocalService("aer")
    x = np.random.default_rng(0).normal(size=(6, 2))
    bloch = plan_bloch(TWO, x, service, BackendSpec("aer"), Settings(100, PLAIN))
    assert len(bloch.bindings) == 18
    vectors = np.abs(np.random.default_rng(0).normal(size=(7, 32)))
    encoder = list(published(np.linspace(0, 1, 21).tolist()))
    found = plan_autoencoder(encoder, vectors, 4, service, BackendSpec("aer"), Settings(100, PLAIN))
    assert found.bindings.shape == (7, 31)
    assert (found.cost.pubs, found.cost.jobs, found.n_qubits, found.code_qubits) == (1, 1, 5, 4)
    with pytest.raises(ValueError, match="a code takes 1 to 4 qubits"):
        plan_autoencoder(encoder, vectors, 5, service, BackendSpec("aer"), Settings(100, PLAIN))
    service.close()
    assert autoencoder_measurement(encoder, vectors).names[-1] == "a0030"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimization_level": 4}, "optimization_level"),
        ({"dynamical_decoupling": "YY"}, "dynamical_decoupling"),
        ({"mode": "always"}, "mode"),
        ({"layout": (1, 1)}, "twice"),
    ],
)
def test_bad_options_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Options(**settings)


def test_options_survive_json_and_unknown_ones_are_refused() -> None:
    options = Options(layout=(3, 1), mode="session", dynamical_decoupling=None)
    assert Options.from_dict(json.loads(json.dumps(options.as_dict()))) == options
    with pytest.raises(ValueError, match="unknown options: token"):
        Options.from_dict({"token": "secret"})


def test_planning_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(small().bindings) == len(pairs.full(4).first)


def test_a_matrix_cut_short_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(file: BinaryIO, *_: object, **__: object) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    out = tmp_path / "K.npy"
    out.write_bytes(b"before")
    monkeypatch.setattr(np, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        write_matrix(np.eye(4), small(), out)
    assert out.read_bytes() == b"before"
    assert not list(tmp_path.glob(".*"))
