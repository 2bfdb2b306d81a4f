"""IBM's service behind the seam: the client library's own path to the wire, with the far end played by Aer."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime import QiskitRuntimeService
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import IBMRuntimeError, RuntimeJobNotFound
from qiskit_ibm_runtime.fake_provider import FakeManilaV2
from qiskit_ibm_runtime.fake_provider.executor.run_quantum_program import run_quantum_program
from qiskit_ibm_runtime.fake_provider.local_runtime_job import LocalRuntimeJob
from qiskit_ibm_runtime.ibm_backend import IBMBackend
from qiskit_ibm_runtime.json import RuntimeEncoder
from qiskit_ibm_runtime.models.backend_configuration import QasmBackendConfiguration
from qiskit_ibm_runtime.options_models.simulator import SimulatorOptions
from qiskit_ibm_runtime.quantum_program.params_converters import QUANTUM_PROGRAM_PARAMS_CONVERTERS
from qperov_circuits import feature_map

from qperov.errors import AccountError, HardwareError
from qperov.hardware.jobs import jobs
from qperov.hardware.jobs.ledger import Ledger
from qperov.hardware.plan import cost, pairs
from qperov.hardware.plan.options import Options
from qperov.hardware.plan.plan import BackendSpec, Plan, Settings
from qperov.hardware.plan.plan_file import write_plan
from qperov.hardware.plan.planning import plan_fidelities
from qperov.hardware.services import sampler
from qperov.hardware.services.credentials import check_account, without_secrets
from qperov.hardware.services.ibm import IBMService
from qperov.hardware.services.service import Service
from qperov.quantum.kernels.fidelity import FidelityKernel

TOKEN = "s3cret-token-0123456789abcdef"
CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/b:c::"
X = np.random.default_rng(6).normal(size=(4, 2))


def no_sleep(seconds: float) -> None:
    """Time is not what is tested."""


class Cloud(QiskitRuntimeService):
    """The client library's service up to the wire; behind it the requests are decoded and run on Aer."""

    def __new__(cls, *arguments: Any, **options: Any) -> Any:
        return object.__new__(cls)

    def __init__(self) -> None:
        self.received: list[SimpleNamespace] = []
        self.sessions: list[str] = []
        self.closed = 0
        self.error: Exception | None = None
        snapshot = FakeManilaV2()
        snapshot._set_props_dict_from_json()
        client = SimpleNamespace(
            backend_properties=lambda *a, **k: snapshot._props_dict,
            create_session=self._create_session,
            close_session=self._close_session,
        )
        configuration = QasmBackendConfiguration.from_dict(snapshot._get_conf_dict_from_json())
        self._machine = IBMBackend(configuration, self, client, instance=CRN)
        self._client = client

    def _create_session(self, backend: Any, instance: Any, max_time: Any, mode: str) -> dict:
        self.sessions.append(mode)
        return {"id": f"session-{len(self.sessions)}"}

    def _close_session(self, session_id: str) -> None:
        self.closed += 1

    def _get_api_client(self, instance: str | None = None) -> Any:
        return self._client

    def backend(self, name: str, *arguments: Any, **options: Any) -> Any:
        return self._machine

    def _run(self, program_id: str, inputs: dict, options: Any = None, **rest: Any) -> Any:
        if self.error is not None:
            raise self.error
        converter = QUANTUM_PROGRAM_PARAMS_CONVERTERS[inputs["schema_version"]]
        wire = json.dumps(inputs, cls=RuntimeEncoder)
        program, _ = converter.decoder(converter.model.model_validate(json.loads(wire)))
        for item in program.items:
            if hasattr(item, "samplex"):
                item.samplex.finalize()
        job = LocalRuntimeJob(
            run_quantum_program, AerSimulator(), "executor", program, options=SimulatorOptions(seed_simulator=1)
        )
        job._submit()
        self.received.append(
            SimpleNamespace(job=job, tags=options["job_tags"], options=options, size=len(wire), program=program, **rest)
        )
        return job

    def job(self, job_id: str) -> Any:
        for entry in self.received:
            if entry.job.job_id() == job_id:
                return entry.job
        raise RuntimeJobNotFound(f"Job not found: {job_id}")

    def jobs(self, *, job_tags: list[str], **options: Any) -> Any:  # type: ignore[override]
        assert options == {"limit": None, "descending": False, "instance": CRN}
        return [entry.job for entry in self.received if set(job_tags) <= set(entry.tags)]


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def planned(service: Service, shots: int = 512, **options: Any) -> Plan:
    settings = Settings(shots, Options(layout_trials=1, **options), budget_seconds=60.0)
    return plan_fidelities(
        feature_map("zz").gates, X, pairs.full(4, diagonal=True), service, BackendSpec("ibm_manila"), settings
    )


def test_from_plan_to_matrix_through_the_wire(cloud: Cloud, tmp_path: Path) -> None:
    service = IBMService("ibm_manila", cloud)
    plan = planned(service)
    with Ledger(tmp_path / "l.db") as ledger:
        jobs.submit(plan, service, ledger, no_sleep)
        assert jobs.status(plan, service, ledger, no_sleep)[0].state in ("queued", "running", "done")
        for entry in cloud.received:
            entry.job._future.result()
        found = jobs.collect(plan, service, ledger, sleep=no_sleep)
        assert ledger.attempts(plan.plan_id)[0].error is None
    (entry,) = cloud.received
    assert entry.tags == [plan.tag(0, 0)]
    assert entry.options["max_execution_time"] == 60
    sent = entry.program.passthrough_data["post_processor"]["options"]
    assert sent["dynamical_decoupling"]["sequence_type"] == "XpXm"
    assert (sent["twirling"]["enable_gates"], sent["twirling"]["enable_measure"]) == (True, True)
    assert entry.size == pytest.approx(plan.cost.payload_bytes, rel=0.05)
    assert found.complete
    # the far end has no noise, so that what twirling and decoupling did must have been undone
    exact = FidelityKernel(bandwidth=1.0)(X)
    assert np.abs(found.matrix(False) - exact).max() < 4.5 * 0.5 / np.sqrt(512)
    assert found.matrix(False).diagonal() == pytest.approx(np.ones(4))
    assert plan.calibrated is not None


def test_several_chunks_are_a_batch_found_by_its_tags(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "MAX_BINDINGS", 6)
    service = IBMService("ibm_manila", cloud)
    plan = planned(service, shots=32, twirl_gates=False, twirl_measurement=False, dynamical_decoupling=None)
    with Ledger() as ledger:
        jobs.submit(plan, service, ledger, no_sleep)
        assert cloud.sessions == ["batch"]
        assert cloud.closed == 1
        assert [entry.session_id for entry in cloud.received] == ["session-1"] * 2
        again = service.find(tag=plan.tag(1, 0))
        assert [job.job_id() for job in again] == [cloud.received[1].job.job_id()]
    assert service.find(job_id="nothing") == []


def test_the_old_sampler_is_used_where_there_is_no_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the releases before 0.47 the server-side SamplerV2 takes the same request."""
    used: list[str] = []

    def sampler_v2(mode: Any, options: dict[str, Any]) -> Any:
        used.append(mode)
        return SimpleNamespace(run=lambda pubs, shots: (len(pubs), shots, options["environment"]["job_tags"]))

    monkeypatch.setattr(sampler, "has_client_side_sampler", lambda: False)
    monkeypatch.setattr("qiskit_ibm_runtime.SamplerV2", sampler_v2, raising=False)
    plan = planned(IBMService("ibm_manila", Cloud()))
    request = plan.request(0)
    assert sampler.run_sampler("machine", request, sampler.remote_options(request)) == (2, 512, [plan.tag(0, 0)])
    assert used == ["machine"]
    assert 1_000 < sampler.payload_bytes(request, FakeManilaV2()) < 50_000


# --- credentials --------------------------------------------------------------------------------


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An account in a store of its own, and none in the environment."""
    store = tmp_path / "qiskit-ibm.json"
    monkeypatch.setattr("qiskit_ibm_runtime.accounts.management._DEFAULT_ACCOUNT_CONFIG_JSON_FILE", str(store))
    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE"):
        monkeypatch.delenv(name, raising=False)
    return store


def saved(store: Path) -> None:
    entry = {"channel": "ibm_quantum_platform", "token": TOKEN, "instance": CRN, "url": "https://cloud.ibm.com"}
    store.write_text(json.dumps({"default-ibm-quantum-platform": entry}))


def test_no_account_is_one_line_that_says_what_to_set(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AccountError, match="QISKIT_IBM_TOKEN") as error:
        IBMService("ibm_fez")
    assert "\n" not in str(error.value)
    monkeypatch.setenv("QISKIT_IBM_TOKEN", TOKEN)
    check_account()
    monkeypatch.delenv("QISKIT_IBM_TOKEN")
    saved(account)
    check_account()


def test_damaged_account_store_is_reported_without_its_content(account: Path) -> None:
    account.write_text(f'{{"token": "{TOKEN}"')
    with pytest.raises(AccountError, match="cannot be read") as error:
        check_account()
    assert TOKEN not in str(error.value)
    assert without_secrets("all is well") == "all is well"


def test_secrets_are_found_in_proxies_and_tokens(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QISKIT_IBM_INSTANCE", CRN)
    proxy = "http://someone:passw0rd@proxy.example:8080"
    entry = {"channel": "ibm_quantum_platform", "token": TOKEN, "proxies": {"urls": {"https": proxy}}}
    account.write_text(json.dumps({"default-ibm-quantum-platform": entry}))
    hour = "eyJhbGciOiJSUzI1NiJ9.eyJpYW1faWQiOiJ4In0.c2lnbmF0dXJl"
    told = without_secrets(f"{proxy} refused /instances/{quote(CRN, safe='')} with Bearer {hour} for {TOKEN}")
    assert told == "*** refused /instances/*** with Bearer *** for ***"


def test_missing_error_rates_tell_no_secret(cloud: Cloud, account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(account)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise IBMRuntimeError(f"{TOKEN} may not see this")

    monkeypatch.setattr(cloud._client, "backend_properties", refuse)
    cloud._machine._properties = None
    with pytest.raises(HardwareError, match=r"\*\*\* may not see this") as error:
        planned(IBMService("ibm_manila", cloud))
    assert TOKEN not in str(error.value)


def test_closing_a_session_which_is_paid_is_tried_again(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = [ConnectionResetError("the line is dead")]
    close = cloud._client.close_session

    def unreliable(session_id: str) -> None:
        if lost:
            raise lost.pop()
        close(session_id)

    monkeypatch.setattr(cloud._client, "close_session", unreliable)
    monkeypatch.setattr("qperov.hardware.services.service.FIRST_WAIT", 0.0)
    with IBMService("ibm_manila", cloud).open("session"):
        pass
    assert cloud.closed == 1


@pytest.mark.parametrize("where", ["store", "environment"])
def test_secrets_are_in_no_record_no_log_and_no_message(
    cloud: Cloud,
    account: Path,
    tmp_path: Path,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if where == "store":
        saved(account)
    else:
        monkeypatch.setenv("QISKIT_IBM_TOKEN", TOKEN)
        monkeypatch.setenv("QISKIT_IBM_INSTANCE", CRN)
    caplog.set_level(logging.DEBUG, logger="qperov")
    service = IBMService("ibm_manila", cloud)
    plan = planned(service, shots=16)
    write_plan(plan, tmp_path / "plan.json")
    messages = []
    with Ledger(tmp_path / "l.db") as ledger:
        for status_code in (401, 503):
            cloud.error = IBMRuntimeError(f"Failed to run program: token {TOKEN} of {CRN} is expired")
            cloud.error.__context__ = RequestsApiError("", status_code)
            with pytest.raises(HardwareError) as refused:
                jobs.submit(plan, service, ledger, no_sleep)
            messages.append(str(refused.value))
            assert refused.value.__cause__ is None
            assert refused.value.__suppress_context__
        cloud.error = None
        jobs.submit(plan, service, ledger, no_sleep)
        cloud.received[0].job._future.result()
        monkeypatch.setattr(LocalRuntimeJob, "status", lambda job: "ERROR")
        monkeypatch.setattr(LocalRuntimeJob, "error_message", lambda job: f"the token {TOKEN} was revoked")
        jobs.collect(plan, service, ledger, sleep=no_sleep)
        messages.append(str(ledger.attempts(plan.plan_id)[0].error))
    assert messages[0].startswith("the service refuses: IBMRuntimeError: 'Failed to run program: token ***")
    assert messages[1].startswith("the service cannot be reached")
    assert messages[2] == "the token *** was revoked"
    texts = [*messages, caplog.text, *capsys.readouterr(), repr(plan), repr(service)]
    files = [path.read_bytes() for path in tmp_path.iterdir() if path != account]
    assert len(files) >= 2
    for secret in (TOKEN, CRN):
        assert not any(secret in text for text in texts)
        assert not any(secret.encode() in content for content in files)


def test_a_refused_account_tells_no_token(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(account)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise ValueError(f"{TOKEN} is no valid token")

    monkeypatch.setattr(QiskitRuntimeService, "__init__", refuse)
    with pytest.raises(AccountError, match=r"refused: \*\*\* is no valid token"):
        IBMService("ibm_fez").backend(2)
