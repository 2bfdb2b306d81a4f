"""Any Qiskit backend as a service: right results from a sound one, and a name for what an unsound one does."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import misbehaving_backend
import numpy as np
import pytest
from misbehaving_backend import MisbehavingBackend
from typer.testing import CliRunner

from qperov.commands.main import app
from qperov.errors import HardwareError
from qperov.hardware.jobs import jobs
from qperov.hardware.jobs.backend import open_service
from qperov.hardware.jobs.ledger import Ledger
from qperov.hardware.jobs.results import Results
from qperov.hardware.plan import pairs
from qperov.hardware.plan.options import Options
from qperov.hardware.plan.plan import BackendSpec, Plan, Settings, n_probes
from qperov.hardware.plan.planning import plan_fidelities
from qperov.quantum.kernels.fidelity import FidelityKernel

SERVICE = "qiskit:misbehaving_backend.factory"
SPEC = BackendSpec("misbehaving", None, None, SERVICE)
X = np.random.default_rng(3).normal(size=(4, 3))
KERNEL = FidelityKernel(bandwidth=0.4)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> MisbehavingBackend:
    found = MisbehavingBackend()
    monkeypatch.setattr(misbehaving_backend, "factory", lambda: found, raising=False)
    return found


def planned(readout: bool = True) -> Plan:
    options = Options(layout_trials=1, optimization_level=1, readout_mitigation=readout)
    with closing(open_service(SPEC, service=SERVICE)) as service:
        return plan_fidelities(KERNEL.circuit, 0.4 * X, pairs.full(4), service, SPEC, Settings(4000, options))


def no_sleep(_: float) -> None:
    """Do not wait."""


def run(plan: Plan, ledger: Path, resume: bool = False) -> Results:
    """Submit in one opening of the service and collect in another, as two processes would."""
    with Ledger(ledger) as book, closing(open_service(SPEC, ledger, SERVICE)) as service:
        if resume:
            jobs.resume(plan, service, book, failed=True, sleep=no_sleep)
        else:
            jobs.submit(plan, service, book, no_sleep)
    with Ledger(ledger) as book, closing(open_service(SPEC, ledger, SERVICE)) as service:
        return jobs.collect(plan, service, book, sleep=no_sleep)


@pytest.mark.parametrize("fault", ["", "spaces", "hexadecimal"])
@pytest.mark.parametrize("retrievable", [False, True])
def test_a_sound_backend_gives_the_kernel(
    fault: str, retrievable: bool, backend: MisbehavingBackend, tmp_path: Path
) -> None:
    backend.__init__(fault, retrievable)  # type: ignore[misc]
    results = run(planned(), tmp_path / "ledger.db")
    assert results.complete
    np.testing.assert_allclose(results.matrix(), KERNEL(X), atol=0.04)
    assert len(backend.jobs) == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("reverse", "bits come in reverse order"),
        ("rotated", "bits come in another order: those of wires [0, 1, 2]"),
        ("dead wire", "wires [2] do not answer"),
        ("short shots", "circuit 2 has 1 shots instead of 4000"),
        ("no shots", "circuit 2 has 0 shots instead of 4000"),
        ("partial", "counts of 10 circuits, 11 were sent"),
        ("nothing", "counts of 0 circuits, 11 were sent"),
        ("raises", "the result holds no counts (KeyError"),
        ("overflow", "which is not of 3 bits"),
        ("short words", "which is not of 3 bits"),
        ("probabilities", "these are no counts"),
    ],
)
@pytest.mark.parametrize("retrievable", [False, True])
def test_what_a_backend_does_wrong_is_named(
    fault: str, message: str, retrievable: bool, backend: MisbehavingBackend, tmp_path: Path
) -> None:
    backend.__init__(fault, retrievable)  # type: ignore[misc]
    plan, path = planned(), tmp_path / "ledger.db"
    results = run(plan, path)
    assert not np.isfinite(results.raw).any(), "nothing of it may be averaged"
    with Ledger(path) as ledger:
        (attempt,) = ledger.attempts(plan.plan_id)
    assert attempt.state == ("lost" if retrievable else "failed")
    assert message in str(attempt.error)


def test_probes_find_every_exchange_of_two_wires() -> None:
    from qperov.hardware.services.qiskit_backend import _check_order

    for n in (2, 3, 7, 9):
        words = np.array([[(w + 1) >> k & 1 for w in range(n)] for k in range(n_probes(n))], dtype=np.uint8)
        assert words.any(axis=0).all()
        assert not words.all(axis=0).any()
        for a, b in [(i, j) for i in range(n) for j in range(i)]:
            order = np.arange(n)
            order[[a, b]] = b, a
            padded = np.pad(words[:, order], ((0, 0), (-n % 8, 0)))
            with pytest.raises(HardwareError, match="order"):
                _check_order(np.packbits(padded, axis=1)[:, None, :], n)
        _check_order(np.packbits(np.pad(words, ((0, 0), (-n % 8, 0))), axis=1)[:, None, :], n)


def test_jobs_stay_within_the_circuits_that_a_backend_takes(backend: MisbehavingBackend, tmp_path: Path) -> None:
    backend.__init__(max_circuits=8)  # type: ignore[misc]
    plan = planned()
    assert [stop - start for start, stop in plan.chunks] == [3, 3]
    assert plan.cost.executions == (6 + 2 * (2 + 3)) * 4000
    assert run(plan, tmp_path / "ledger.db").complete
    backend.__init__(max_circuits=3)  # type: ignore[misc]
    with pytest.raises(HardwareError, match="takes 3 circuits a job, 4 are needed at least"):
        planned(readout=False)


def test_interrupted_sending_is_not_repeated_in_silence(backend: MisbehavingBackend, tmp_path: Path) -> None:
    backend.__init__(retrievable=True, lost="after")  # type: ignore[misc]
    plan, path = planned(), tmp_path / "ledger.db"
    assert run(plan, path).states == {"failed": 1}
    with Ledger(path) as ledger:
        assert "may have been sent" in str(ledger.attempts(plan.plan_id)[0].error)
    run(plan, path)
    assert len(backend.jobs) == 1
    backend.lost = ""
    assert run(plan, path, resume=True).complete
    assert len(backend.jobs) == 2


def test_a_refusal_is_told_and_the_plan_can_be_sent_later(backend: MisbehavingBackend, tmp_path: Path) -> None:
    plan, path = planned(), tmp_path / "ledger.db"
    backend.lost = "refused"
    with pytest.raises(HardwareError, match="refuses: ValueError: no such gate"):
        run(plan, path)
    backend.lost = ""
    assert run(plan, path).complete
    assert len(backend.jobs) == 1


def test_no_file_says_which_function_is_run(
    backend: MisbehavingBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)

    def call(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["hardware", *arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return str(result.exception) if code else result.output

    output = call("plan", "x.npy", "--service", SERVICE, "--layout-trials", "1")
    assert "on misbehaving" in output
    assert "Open plan" not in output
    assert f"name it yourself, if you trust it: --service {SERVICE}" in call("submit", "plan.json", code=1)
    assert backend.jobs == {}
    assert f"--service {SERVICE}" in call("submit", "plan.json", "--service", SERVICE)
    assert "rms error" in call("collect", "plan.json", "--service", SERVICE)
    call("plan", "x.npy", "--service", SERVICE, "--backend", "aer", code=2)
    call("plan", "x.npy", "--service", "module.factory", code=2)
    assert "no backend could be had" in call("plan", "x.npy", "--service", "qiskit:no.such", code=1)
    assert "which is no BackendV2" in call("plan", "x.npy", "--service", "qiskit:builtins.dict", code=1)
