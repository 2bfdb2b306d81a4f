"""Budgets in the service's own unit: fees and shots, with everything that is sent again."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import misbehaving_backend
import numpy as np
import pytest
from misbehaving_backend import MisbehavingBackend
from typer.testing import CliRunner

from qperov.commands.main import app
from qperov.errors import BudgetError
from qperov.hardware.jobs import jobs
from qperov.hardware.jobs.backend import open_service
from qperov.hardware.jobs.ledger import Ledger
from qperov.hardware.plan import pairs
from qperov.hardware.plan.options import Options
from qperov.hardware.plan.plan import BackendSpec, Plan, Settings
from qperov.hardware.plan.plan_file import from_json, to_json
from qperov.hardware.plan.planning import plan_fidelities
from qperov.hardware.plan.prices import AMAZON, Budget, Price, known_price
from qperov.quantum.kernels.fidelity import FidelityKernel

SERVICE = "qiskit:misbehaving_backend.factory"
SPEC = BackendSpec("misbehaving", None, None, SERVICE)
X = np.random.default_rng(3).normal(size=(4, 3))
PRICE = Price(0.5, 0.01)


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> MisbehavingBackend:
    found = MisbehavingBackend()
    monkeypatch.setattr(misbehaving_backend, "factory", lambda: found, raising=False)
    return found


def planned(budget: Budget = Budget(), price: Price | None = PRICE) -> Plan:  # noqa: B008 – frozen
    settings = Settings(100, Options(layout_trials=1, optimization_level=1), price=price, budget=budget)
    with closing(open_service(SPEC, service=SERVICE)) as service:
        return plan_fidelities(FidelityKernel(bandwidth=0.4).circuit, 0.4 * X, pairs.full(4), service, SPEC, settings)


def test_fees_are_those_of_all_circuits_and_shots() -> None:
    plan = planned(Budget(fees=16.5, shots=1100))
    circuits = 6 + 2 + 3
    assert plan.cost.executions == circuits * 100
    assert plan.price is not None
    assert plan.price.fees(circuits, circuits * 100) == pytest.approx(16.5)
    read = from_json(to_json(plan))
    assert (read.price, read.budget) == (PRICE, Budget(16.5, 1100))


@pytest.mark.parametrize(
    ("budget", "price", "message"),
    [
        (Budget(fees=16.4), PRICE, "costs 16.50 USD and the budget is 16.40"),
        (Budget(shots=1099), PRICE, "1,100 shots and the budget is 1,099"),
        (Budget(fees=1000.0), None, "not known: give them with --price"),
    ],
)
def test_a_plan_beyond_its_budget_is_refused(budget: Budget, price: Price | None, message: str) -> None:
    with pytest.raises(BudgetError, match=message):
        planned(budget, price)


def test_what_is_sent_again_counts(backend: MisbehavingBackend) -> None:
    backend.fault = "partial"
    once, twice = planned(Budget(fees=32.9)), planned(Budget(fees=33.0))
    assert once.plan_id == twice.plan_id
    with Ledger() as ledger, closing(open_service(SPEC, service=SERVICE)) as service:
        jobs.submit(once, service, ledger)
        jobs.collect(once, service, ledger)
        with pytest.raises(BudgetError, match=r"costs 33.00 USD and the budget is 32.90"):
            jobs.resume(once, service, ledger, failed=True)
        assert len(backend.jobs) == 1
        jobs.resume(twice, service, ledger, failed=True)
        assert len(backend.jobs) == 2
        jobs.collect(twice, service, ledger)
        with pytest.raises(BudgetError, match=r"costs 49.50 USD"):
            jobs.resume(twice, service, ledger, failed=True)


def test_only_machines_of_the_table_have_a_known_price(backend: MisbehavingBackend) -> None:
    assert known_price(backend) is None
    machine = type("BraketAwsBackend", (), {"name": "Garnet", "__module__": "qiskit_braket_provider.providers"})()
    assert known_price(machine) == Price(0.30, 0.00145, source=AMAZON)
    simulator = type("BraketLocalBackend", (), {"name": "Garnet", "__module__": "qiskit_braket_provider.providers"})()
    assert known_price(simulator) is None


def test_fees_are_told_before_anything_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)

    def call(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["hardware", "plan", "x.npy", "--layout-trials", "1", *arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return str(result.exception) if code == 1 else result.output

    assert "give them with --price TASK,SHOT" in call("--service", SERVICE)
    service = ("--service", SERVICE, "--shots", "100", "--price", "0.5,0.01")
    assert "16.50 USD: 11 circuits at 0.5 and their shots at 0.01 (given by --price)" in call(*service)
    assert "budget is 16.00" in call(*service, "--budget-fees", "16", code=1)
    assert "must be positive" in call(*service, "--budget-fees", "-1", code=1)
    assert "--price" in call("--service", SERVICE, "--price", "much", code=1)
    assert "must not be negative" in call("--service", SERVICE, "--price", "-1,0", code=1)
    call("--backend", "aer", "--price", "1,1", code=2)
