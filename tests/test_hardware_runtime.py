"""Today's releases of qiskit-ibm-runtime: dry runs, the service's new name, one number of shots, fractional gates."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import qiskit_ibm_runtime
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit_ibm_runtime.fake_provider.local_runtime_job import LocalRuntimeJob
from test_hardware_ibm import Cloud, no_sleep
from test_hardware_ibm import planned as planned_at

from qperov.errors import HardwareError
from qperov.hardware.jobs import jobs
from qperov.hardware.jobs.backend import open_service
from qperov.hardware.plan import planning
from qperov.hardware.plan.compile import check_fractional_gates
from qperov.hardware.plan.pairs import full
from qperov.hardware.plan.plan import BackendSpec, Plan, Settings
from qperov.hardware.plan.planning import plan_bloch
from qperov.hardware.services import sampler
from qperov.hardware.services.ibm import IBMService
from qperov.quantum.kernels.projected import ProjectedKernel


def planned(cloud: Cloud) -> Plan:
    return planned_at(IBMService("ibm_manila", cloud), shots=64, twirl_gates=False, twirl_measurement=False)


def test_a_dry_run_uses_no_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud()
    plan, service = planned(cloud), IBMService("ibm_manila", cloud)
    assert jobs.dry_run(plan, service, lambda _: cloud.received[0].job._future.result()) is None
    monkeypatch.setattr(LocalRuntimeJob, "usage_estimation", {"quantum_seconds": 3.5}, raising=False)
    assert jobs.dry_run(plan, service, lambda _: cloud.received[1].job._future.result()) == 3.5
    assert [entry.dry_run for entry in cloud.received] == [True, True]
    monkeypatch.setattr(LocalRuntimeJob, "status", lambda job: "ERROR")
    monkeypatch.setattr(LocalRuntimeJob, "error_message", lambda job: "no such gate")
    with pytest.raises(HardwareError, match="the dry run failed: no such gate"):
        jobs.dry_run(plan, service, no_sleep)


def test_a_release_without_dry_runs_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud()
    plan = planned(cloud)

    def sampler_v2(mode: Any, options: dict[str, Any]) -> Any:
        return SimpleNamespace(run=lambda pubs, shots: None)

    monkeypatch.setattr(sampler, "has_client_side_sampler", lambda: False)
    monkeypatch.setattr("qiskit_ibm_runtime.SamplerV2", sampler_v2)
    with pytest.raises(HardwareError, match=r"takes qiskit-ibm-runtime 0\.50"):
        jobs.dry_run(plan, IBMService("ibm_manila", cloud), no_sleep)


def test_all_circuits_of_a_job_have_the_same_shots() -> None:
    cloud = Cloud()
    plan = planned(cloud)
    request = plan.request(0)
    sampler.run_sampler(cloud.backend("ibm_manila"), request, sampler.remote_options(request)).result()
    assert len(cloud.received[0].program.items) == 2
    assert cloud.received[0].program.shots == plan.shots


@pytest.mark.parametrize("name", ["IBMQuantumComputeService", "QiskitRuntimeService"])
def test_the_service_is_found_by_its_new_name_and_the_old(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = SimpleNamespace(backend=lambda name: SimpleNamespace(name=name, target=None))
    monkeypatch.setattr("qperov.hardware.services.ibm.check_account", lambda: None)
    monkeypatch.delattr(qiskit_ibm_runtime, "IBMQuantumComputeService", raising=False)
    monkeypatch.setattr(qiskit_ibm_runtime, name, lambda: asked, raising=False)
    assert IBMService("ibm_fez").backend(2).name == "ibm_fez"


def test_fractional_gates_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud()
    options: list[dict] = []
    monkeypatch.setattr(Cloud, "backend", lambda self, name, **given: options.append(given) or self._machine)
    spec = BackendSpec("ibm_manila", fractional_gates=True)
    kernel, x = ProjectedKernel(bandwidth=0.2), np.random.default_rng(0).normal(size=(3, 2))

    def plan(spec: BackendSpec) -> Plan:
        service = IBMService(spec.name, cloud, spec.fractional_gates)
        return plan_bloch(kernel.circuit, 0.2 * x, service, spec, Settings(64), full(3))

    assert plan(spec).plan_id != plan(BackendSpec("ibm_manila")).plan_id
    assert options == [{"use_fractional_gates": True}, {}]
    assert "fractional_gates" not in BackendSpec("ibm_manila").as_dict()
    monkeypatch.setattr(planning, "has_client_side_sampler", lambda: False)
    with pytest.raises(HardwareError, match=r"fractional gates with twirling take qiskit-ibm-runtime 0\.47"):
        plan(spec)
    with pytest.raises(HardwareError, match="fractional gates are for IBM's machines"):
        open_service(BackendSpec("fake_fez", fractional_gates=True))


def test_angles_that_machines_do_not_take_are_refused() -> None:
    a = Parameter("a")
    circuit = QuantumCircuit(2)
    circuit.rzz(2 * a, 0, 1)
    circuit.rzz(0.3, 0, 1)
    check_fractional_gates(circuit, np.array([[0.0], [np.pi / 4]]))
    with pytest.raises(HardwareError, match=r"row 1 has -0\.200"):
        check_fractional_gates(circuit, np.array([[0.2], [-0.1]]))
