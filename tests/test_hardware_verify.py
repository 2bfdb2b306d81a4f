"""Measured values against exact ones, and the calibration's promise against simulated noise."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector
from typer.testing import CliRunner

from qperov.commands.main import app
from qperov.errors import HardwareError
from qperov.hardware.jobs import jobs
from qperov.hardware.jobs.backend import open_service
from qperov.hardware.jobs.counts import Counts
from qperov.hardware.jobs.ledger import Ledger
from qperov.hardware.jobs.results import Results
from qperov.hardware.plan import pairs
from qperov.hardware.plan.options import Options
from qperov.hardware.plan.plan import BackendSpec, Plan, Settings
from qperov.hardware.plan.planning import plan_bloch, plan_fidelities
from qperov.hardware.plan.prediction import predict
from qperov.hardware.plan.samples import Samples
from qperov.hardware.services.simulators import simulator_backend
from qperov.hardware.verification.exact import exact_marginals, exact_values
from qperov.hardware.verification.figure import draw
from qperov.hardware.verification.verification import Verification, verify
from qperov.quantum.kernels.fidelity import FidelityKernel

X = np.random.default_rng(5).normal(size=(8, 4))
KERNEL = {"feature_map": "zz", "reps": 2, "entanglement": "linear", "n_qubits": None, "bandwidth": 0.3}


def planned(
    kind: str, backend: str, noise: float | None = None, shots: int = 2000, x: np.ndarray = X, **kernel
) -> Plan:
    arguments = KERNEL | kernel
    circuit, scaled = FidelityKernel(**arguments).circuit, arguments["bandwidth"] * x
    spec, settings = BackendSpec(backend, noise), Settings(shots, Options(layout_trials=1, optimization_level=1))
    wanted = pairs.full(len(x), diagonal=kind == "fidelity")
    with closing(open_service(spec)) as service:
        if kind == "fidelity":
            plan = plan_fidelities(circuit, scaled, wanted, service, spec, settings)
        else:
            plan = plan_bloch(circuit, scaled, service, spec, settings, wanted)
    ids = tuple(f"crystal {number}" for number in range(len(x)))
    return replace(plan, samples=Samples(ids, x, kernel=arguments))


def measured(plan: Plan) -> Results:
    with Ledger() as ledger, closing(open_service(plan.backend)) as service:
        jobs.submit(plan, service, ledger)
        return jobs.collect(plan, service, ledger)


def verified(kind: str, backend: str, noise: float | None = None, **options) -> Verification:
    return verify(measured(planned(kind, backend, noise, **options)))


@pytest.mark.parametrize("kind", ["fidelity", "bloch"])
def test_an_ideal_machine_agrees_with_exact_values(kind: str) -> None:
    found = verified(kind, "aer")
    raw = found.agreements[0]
    assert raw.rms_error < 1.5 * raw.shot_noise
    assert raw.survival == pytest.approx(1, abs=5 * raw.survival_error)
    assert raw.scatter < raw.shot_noise
    assert raw.told_apart == 1
    assert len(found.outlying_wires()) == len(found.outlying_neighbours()) == len(found.outlying_samples()) == 0


@pytest.mark.parametrize("kind", ["fidelity", "bloch"])
@pytest.mark.parametrize(("backend", "noise"), [("aer", 0.02), ("fake_manila", None)])
def test_the_calibration_promises_what_simulated_noise_does(kind: str, backend: str, noise: float | None) -> None:
    found = {agreement.name: agreement for agreement in verified(kind, backend, noise).agreements}
    for name in ("raw", "readout"):
        assert found[name].survival < 0.95
        assert found[name].survival == pytest.approx(found[f"predicted {name}"].survival, abs=0.05)
        assert found[name].rms_error == pytest.approx(found[f"predicted {name}"].rms_error, abs=0.02)


def test_idle_qubits_lose_what_t1_and_t2_say() -> None:
    backend = simulator_backend("fake_manila", 5)
    target = backend.target
    times = target.qubit_properties[1]
    gate = target["cx"][(2, 3)]
    circuit = QuantumCircuit(5, 2)
    circuit.x(1)
    for _ in range(40):
        circuit.cx(2, 3)
    circuit.barrier()
    circuit.measure([1, 2], [0, 1])
    # wire 0 is the last classical bit; X of qubit 1 is as late as it can be, and it is idle for no time
    assert predict(circuit, (1,), np.empty((1, 0)), backend).idle == pytest.approx(1)
    early = QuantumCircuit(5, 2)
    early.sx(1)
    early.barrier()
    for _ in range(40):
        early.cx(2, 3)
    early.barrier()
    early.sx(1)
    early.measure([1, 2], [0, 1])
    found = predict(early, (1,), np.empty((1, 0)), backend)
    assert found.contrast[0] == pytest.approx(np.exp(-40 * gate.duration / times.t2), rel=0.01)
    assert found.seconds == pytest.approx(40 * gate.duration, rel=0.05)


def test_qubits_and_samples_that_err_stand_out() -> None:
    results = measured(planned("bloch", "aer", shots=4000, x=np.random.default_rng(5).normal(size=(20, 8))))
    (start, stop, counts, readout), *_ = results.chunks
    rng = np.random.default_rng(0)
    shots = np.repeat(counts.bits, counts.counts, axis=0).reshape(stop - start, 4000, 8)

    def found(bits: np.ndarray) -> Verification:
        wrong = Counts.from_shots(np.packbits(bits, axis=2), 8)
        return verify(Results.from_chunks(results.plan, [(start, stop, wrong, readout)], results.states, 0.0))

    misread = shots.copy()
    misread[:, :, 2] ^= rng.random(misread.shape[:2]) < 0.1
    misread[:, :, 5:7] ^= rng.random((*misread.shape[:2], 1)) < 0.05
    wires = found(misread)
    assert wires.outlying_wires().tolist() == [2, 5, 6]
    np.testing.assert_allclose(wires.contrast[[1, 2, 5]], [1, 0.8, 0.9], atol=0.02)
    assert wires.outlying_neighbours().tolist() == [5]
    assert wires.neighbours[5] == pytest.approx(1 / 0.9**2, abs=0.05)
    assert len(draw(wires).axes) == 4
    mixed = shots.copy()
    mixed[21:24] = rng.random((3, 4000, 8)) < 0.5
    assert found(mixed).outlying_samples().tolist() == [7]


@pytest.mark.parametrize("form", ["full", "rectangular", "nystroem"])
def test_exact_values_are_those_of_the_matrix(form: str) -> None:
    plan, K = planned("fidelity", "aer"), FidelityKernel(**KERNEL)
    made = {
        "full": (pairs.full(8), K(X)),
        "rectangular": (pairs.rectangular(3, 5), K(X[:3], X[3:])),
        "nystroem": (pairs.nystroem(8, np.array([1, 6])), K(X, X[[1, 6]])),
    }
    wanted, matrix = made[form]
    np.testing.assert_allclose(wanted.matrix(exact_values(replace(plan, pairs=wanted))), matrix, atol=1e-12)


@pytest.mark.parametrize("kind", ["fidelity", "bloch"])
def test_marginals_of_circuits_are_those_of_qiskit(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from qperov.hardware.plan.compile import from_text

    plan = planned(kind, "aer")
    rows = np.array([0, 4, 8, 13])
    circuit = from_text(plan.circuit).remove_final_measurements(inplace=False)
    place = dict(enumerate(plan.qubits))
    for limit in (12, 0):
        monkeypatch.setattr("qperov.hardware.verification.exact.STATEVECTOR_QUBITS", limit)
        z, zz = exact_marginals(plan, rows)
        for row, number in enumerate(rows):
            state = Statevector(circuit.assign_parameters(plan.bindings[number]))
            signs = {q: 1 - 2 * ((np.arange(16) >> q) & 1) for q in range(4)}
            chances = state.probabilities()
            for wire in range(4):
                assert z[row, wire] == pytest.approx(chances @ signs[place[wire]], abs=1e-9)
            for wire in range(3):
                product = signs[place[wire]] * signs[place[wire + 1]]
                assert zz[row, wire] == pytest.approx(chances @ product, abs=1e-9)


def test_what_cannot_be_verified_says_why() -> None:
    plan = planned("fidelity", "aer")
    with pytest.raises(HardwareError, match="does not say of which samples"):
        exact_values(replace(plan, samples=None))
    with Ledger() as ledger, closing(open_service(plan.backend)) as service:
        jobs.submit(plan, service, ledger)
        empty = Results.from_chunks(plan, ledger.counts(plan.plan_id), {}, 0.0)
    with pytest.raises(HardwareError, match="nothing has come yet"):
        verify(empty)


def test_the_command_writes_its_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["hardware", *arguments], env={"COLUMNS": "200"})
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    assert "predicted readout" in call("plan", "x.npy", "--backend", "fake_manila", "--layout-trials", "1")
    call("submit", "plan.json")
    output = call("verify", "plan.json", "--figure", "figure.svg")
    assert output.index("raw") < output.index("predicted raw") < output.index("median contrast")
    assert Path("figure.svg").read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.slow
def test_127_qubits_are_verified_by_stabilisers() -> None:
    """Angles of multiples of π/2 on fake Brisbane: Aer's stabilisers against our matrix product states."""
    x = np.pi / 2 * np.random.default_rng(0).integers(0, 4, size=(2, 254))
    options = {"shots": 64, "x": x, "feature_map": "angle_yz_cx", "bandwidth": 1.0}
    plan = planned("bloch", "fake_brisbane", **options)
    assert plan.n_qubits == 127
    found = verify(measured(plan))
    raw, promised = found.agreements[0], found.agreements[2]
    assert raw.told_apart == 1
    assert raw.correlation > 0.8
    assert raw.survival == pytest.approx(promised.survival, abs=0.08)
