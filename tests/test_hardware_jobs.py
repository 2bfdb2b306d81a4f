"""Jobs and the ledger, on a service that loses, forgets, doubles and refuses."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qperov_circuits import feature_map
from unreliable_service import UnreliableService

from qperov.errors import BudgetError, HardwareError
from qperov.hardware.jobs import jobs
from qperov.hardware.jobs.ledger import Ledger
from qperov.hardware.plan import cost, pairs
from qperov.hardware.plan.options import Options
from qperov.hardware.plan.plan import BackendSpec, Plan, Settings
from qperov.hardware.plan.planning import plan_bloch, plan_fidelities
from qperov.hardware.services import service
from qperov.hardware.services.service import Request

N = 5
X = np.random.default_rng(3).normal(size=(N, 2))
OPTIONS = Options(optimization_level=1, layout_trials=1)


def no_sleep(seconds: float) -> None:
    """Time is not what is tested."""


@pytest.fixture(scope="module", autouse=True)
def _small_chunks() -> Any:
    """Ten pairs are four jobs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cost, "MAX_BINDINGS", 3)
        yield


@pytest.fixture(scope="module")
def plan(_small_chunks: None) -> Plan:
    cloud = UnreliableService()
    made = plan_fidelities(
        feature_map("zz").gates, X, pairs.full(N), cloud, BackendSpec("aer", 0.02, 11), Settings(200, OPTIONS)
    )
    cloud.close()
    return made


@pytest.fixture(scope="module")
def undisturbed(plan: Plan) -> np.ndarray:
    cloud = UnreliableService()
    with Ledger() as ledger:
        jobs.submit(plan, cloud, ledger, no_sleep)
        found = jobs.collect(plan, cloud, ledger, sleep=no_sleep)
    cloud.close()
    assert found.complete
    return found.matrix()


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    with Ledger(tmp_path / "ledger.db") as opened:
        yield opened


@pytest.fixture
def cloud(request: pytest.FixtureRequest) -> Any:
    made = UnreliableService(**getattr(request, "param", {}))
    yield made
    made.close()


def tags(cloud: UnreliableService) -> Counter[str]:
    """How many jobs that were not stopped have each tag."""
    rows = cloud.real._connection.execute("SELECT tag FROM jobs WHERE state != 'CANCELLED'")
    return Counter(tag for (tag,) in rows)


def states(ledger: Ledger, plan: Plan) -> list[str]:
    return [attempt.state for attempt in ledger.attempts(plan.plan_id)]


def test_matrix_is_symmetric_with_ones_and_close_to_exact_one(plan: Plan, undisturbed: np.ndarray) -> None:
    from qperov.quantum.kernels.fidelity import FidelityKernel

    exact = FidelityKernel(bandwidth=1.0)(X)
    np.testing.assert_array_equal(undisturbed, undisturbed.T)
    assert (undisturbed.diagonal() == 1).all()
    assert np.abs(undisturbed - exact).max() < 0.3
    assert np.corrcoef(undisturbed[np.triu_indices(N, 1)], exact[np.triu_indices(N, 1)])[0, 1] > 0.9
    assert len(plan.chunks) == 4


@pytest.mark.parametrize(
    "cloud",
    [
        {},
        {"sending": ("lost before", "", "lost before", "lost before", "")},
        {"sending": ("lost after", "lost after", "lost after", "lost after")},
        {"sending": ("time out", "", "lost before", "lost after")},
        {"sending": ("twice", "", "twice")},
        {"asking": 2},
        {"queue": 2},
    ],
    indirect=True,
    ids=["calm", "lost before", "lost after", "mixed", "twice", "asking", "queue"],
)
def test_each_job_is_sent_exactly_once(
    cloud: UnreliableService, plan: Plan, ledger: Ledger, undisturbed: np.ndarray
) -> None:
    jobs.submit(plan, cloud, ledger, no_sleep)
    jobs.submit(plan, cloud, ledger, no_sleep)
    assert set(tags(cloud).values()) == {1}
    assert sorted(tags(cloud)) == [plan.tag(number, 0) for number in range(4)]
    found = jobs.collect(plan, cloud, ledger, wait_seconds=100, sleep=no_sleep)
    assert found.complete
    np.testing.assert_array_equal(found.matrix(), undisturbed)
    assert found.seconds == 4 * 3.5
    assert cloud.modes == ["batch"]


def test_collecting_asks_the_service_no_more_for_what_it_has(
    cloud: UnreliableService, plan: Plan, ledger: Ledger, undisturbed: np.ndarray
) -> None:
    jobs.submit(plan, cloud, ledger, no_sleep)
    jobs.collect(plan, cloud, ledger, sleep=no_sleep)
    cloud.asking = cloud._lost = 10**9
    np.testing.assert_array_equal(jobs.collect(plan, cloud, ledger, sleep=no_sleep).matrix(), undisturbed)


@pytest.mark.parametrize("cloud", [{"queue": 10**9}], indirect=True)
def test_a_queue_that_never_ends_is_left_after_the_time_given(
    cloud: UnreliableService, plan: Plan, ledger: Ledger
) -> None:
    slept: list[float] = []
    jobs.submit(plan, cloud, ledger, no_sleep)
    found = jobs.collect(plan, cloud, ledger, wait_seconds=12, sleep=slept.append)
    assert slept == [5, 5, 2]
    assert found.states == {"submitted": 4}
    assert len(found.missing()) == 10
    assert {chunk.state for chunk in jobs.status(plan, cloud, ledger, no_sleep)} == {"queued"}


@pytest.mark.parametrize("cloud", [{"later": {1: "fails", 2: "forgotten"}}], indirect=True)
def test_partial_results_are_sent_again_only_on_request(cloud: UnreliableService, plan: Plan, ledger: Ledger) -> None:
    jobs.submit(plan, cloud, ledger, no_sleep)
    found = jobs.collect(plan, cloud, ledger, sleep=no_sleep)
    assert states(ledger, plan) == ["collected", "failed", "lost", "collected"]
    assert found.missing().tolist() == [*range(*plan.chunks[1]), *range(*plan.chunks[2])]
    assert plan.pairs is not None
    rows, columns = plan.pairs.first[found.missing()], plan.pairs.second[found.missing()]
    expected = {*zip(rows.tolist(), columns.tolist(), strict=True), *zip(columns.tolist(), rows.tolist(), strict=True)}
    assert set(found.missing_entries()) == expected
    jobs.resume(plan, cloud, ledger, sleep=no_sleep)
    assert states(ledger, plan) == ["collected", "failed", "lost", "collected"]
    chunks = jobs.resume(plan, cloud, ledger, failed=True, sleep=no_sleep)
    assert [chunk.attempts for chunk in chunks] == [1, 2, 2, 1]
    assert jobs.collect(plan, cloud, ledger, sleep=no_sleep).complete
    assert set(tags(cloud)) >= {plan.tag(1, 1), plan.tag(2, 1)}


@pytest.mark.parametrize("cloud", [{"sending": ("", "refused")}], indirect=True)
def test_a_refusal_is_no_transport_error_and_is_not_repeated(
    cloud: UnreliableService, plan: Plan, ledger: Ledger
) -> None:
    with pytest.raises(HardwareError, match="the service refuses: ValueError: the line is dead"):
        jobs.submit(plan, cloud, ledger, no_sleep)
    assert states(ledger, plan) == ["submitted", "submitting", "planned", "planned"]
    jobs.submit(plan, cloud, ledger, no_sleep)
    assert states(ledger, plan) == ["submitted"] * 4
    assert set(tags(cloud).values()) == {1}


@pytest.mark.parametrize("cloud", [{"asking": 10**9}], indirect=True)
def test_a_dead_line_is_given_up_after_growing_waits(cloud: UnreliableService, plan: Plan, ledger: Ledger) -> None:
    slept: list[float] = []
    with pytest.raises(HardwareError, match="the service cannot be reached"):
        jobs.submit(plan, cloud, ledger, slept.append)
    assert slept == [1.0, 2.0, 4.0, 8.0, 16.0]
    cloud.asking = cloud._lost = 0
    cloud.sending = ["lost before"] * 20
    slept.clear()
    with pytest.raises(HardwareError, match="the service cannot be reached"):
        jobs.submit(plan, cloud, ledger, slept.append)
    assert slept == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert not tags(cloud)


def test_cancelled_jobs_are_told_and_done_ones_kept(
    cloud: UnreliableService, plan: Plan, ledger: Ledger, undisturbed: np.ndarray
) -> None:
    jobs.submit(plan, cloud, ledger, no_sleep)
    cloud.real.find(tag=plan.tag(0, 0))[0].result()  # the first has already run
    jobs.cancel(plan, cloud, ledger, no_sleep)
    assert states(ledger, plan) == ["submitted", "cancelled", "cancelled", "cancelled"]
    found = jobs.collect(plan, cloud, ledger, sleep=no_sleep)
    assert np.isfinite(found.raw).sum() == plan.chunks[0][1]
    jobs.resume(plan, cloud, ledger, failed=True, sleep=no_sleep)
    assert jobs.collect(plan, cloud, ledger, sleep=no_sleep).complete


def test_crash_between_sending_and_recording_is_healed_by_tag(
    cloud: UnreliableService, plan: Plan, ledger: Ledger, undisturbed: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "record_sent", crash)
        with pytest.raises(KeyboardInterrupt):
            jobs.submit(plan, cloud, ledger, no_sleep)
    assert states(ledger, plan)[0] == "submitting"
    assert sum(tags(cloud).values()) == 1
    jobs.resume(plan, cloud, ledger, sleep=no_sleep)
    assert set(tags(cloud).values()) == {1}
    np.testing.assert_array_equal(jobs.collect(plan, cloud, ledger, sleep=no_sleep).matrix(), undisturbed)


def test_lagging_list_is_given_time_before_resending(
    cloud: UnreliableService, plan: Plan, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud, "settling", 30.0)
    cloud.sending = ["lost before"]
    slept: list[float] = []
    jobs.submit(plan, cloud, ledger, slept.append)
    assert slept == [30.0]


def test_repetition_that_could_cost_more_than_budget_is_refused(cloud: UnreliableService, ledger: Ledger) -> None:
    cloud.later = {0: "fails", 1: "fails", 2: "fails", 3: "fails"}
    seconds = 12.0
    made = plan_fidelities(
        feature_map("zz").gates, X, pairs.full(N), cloud, BackendSpec("aer", 0.02, 11), Settings(200, OPTIONS, seconds)
    )
    assert made.cost.seconds < seconds < 2 * made.cost.seconds
    jobs.submit(made, cloud, ledger, no_sleep)
    assert jobs.collect(made, cloud, ledger, sleep=no_sleep).states == {"failed": 4}
    with pytest.raises(BudgetError):
        jobs.resume(made, cloud, ledger, failed=True, sleep=no_sleep)
    assert states(ledger, made) == ["failed"] * 4


def test_a_session_only_if_asked_for_and_job_mode_for_one_chunk(cloud: UnreliableService, ledger: Ledger) -> None:
    for mode, rows, expected in (("session", 5, "session"), ("auto", 2, "job"), ("auto", 5, "batch")):
        options = Options(mode=mode, optimization_level=0, layout_trials=1)
        made = plan_fidelities(
            feature_map("z").gates,
            X[:rows],
            pairs.full(rows),
            cloud,
            BackendSpec("aer", 0.02, 11),
            Settings(10, options),
        )
        jobs.submit(made, cloud, ledger, no_sleep)
        assert cloud.modes[-1] == expected


def test_result_of_another_shape_is_failure_not_wrong_matrix(
    cloud: UnreliableService, plan: Plan, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unreliable_service import UnreliableJob

    jobs.submit(plan, cloud, ledger, no_sleep)
    monkeypatch.setattr(UnreliableJob, "result", lambda job: [array[:1] for array in job._job.result()])
    found = jobs.collect(plan, cloud, ledger, sleep=no_sleep)
    assert found.states == {"failed": 4}
    assert "rows of outcomes instead of" in str(ledger.attempts(plan.plan_id)[0].error)


def test_forgotten_job_is_taken_when_service_remembers_it(
    cloud: UnreliableService, plan: Plan, ledger: Ledger, undisturbed: np.ndarray
) -> None:
    jobs.submit(plan, cloud, ledger, no_sleep)
    cloud.later = {2: "forgotten"}
    assert jobs.collect(plan, cloud, ledger, sleep=no_sleep).states == {"collected": 3, "lost": 1}
    cloud.later = {}
    np.testing.assert_array_equal(jobs.collect(plan, cloud, ledger, sleep=no_sleep).matrix(), undisturbed)


def test_no_result_is_given_up_for_an_unknown_charge(
    cloud: UnreliableService, plan: Plan, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unreliable_service import UnreliableJob

    def fail(job: object) -> float:
        raise ValueError("no metadata")

    jobs.submit(plan, cloud, ledger, no_sleep)
    monkeypatch.setattr(UnreliableJob, "usage", fail)
    found = jobs.collect(plan, cloud, ledger, sleep=no_sleep)
    assert found.complete
    assert found.seconds == 0


def test_jobs_of_another_ledger_are_found_not_sent_again(
    cloud: UnreliableService, plan: Plan, undisturbed: np.ndarray
) -> None:
    """As after a ledger was deleted, or a command was given in another folder."""
    with Ledger() as first, Ledger() as second:
        jobs.submit(plan, cloud, first, no_sleep)
        jobs.submit(plan, cloud, second, no_sleep)
        assert set(tags(cloud).values()) == {1}
        np.testing.assert_array_equal(jobs.collect(plan, cloud, second, sleep=no_sleep).matrix(), undisturbed)


def test_lost_job_is_looked_for_before_it_is_sent_again(cloud: UnreliableService, plan: Plan, ledger: Ledger) -> None:
    jobs.submit(plan, cloud, ledger, no_sleep)
    cloud.later = {2: "forgotten"}
    assert jobs.collect(plan, cloud, ledger, sleep=no_sleep).states == {"collected": 3, "lost": 1}
    cloud.later, cloud.queue = {}, 10**9
    assert jobs.resume(plan, cloud, ledger, failed=True, sleep=no_sleep)[2].state == "submitted"
    assert sum(tags(cloud).values()) == 4
    cloud.queue = 0
    assert jobs.resume(plan, cloud, ledger, failed=True, sleep=no_sleep)[2].state == "collected"
    assert sum(tags(cloud).values()) == 4


def test_collected_job_cannot_be_called_lost(cloud: UnreliableService, plan: Plan, ledger: Ledger) -> None:
    jobs.submit(plan, cloud, ledger, no_sleep)
    jobs.collect(plan, cloud, ledger, sleep=no_sleep)
    ledger.record_end(plan.tag(0, 0), "lost", "it was asked a moment too early")
    assert states(ledger, plan) == ["collected"] * 4


@pytest.mark.parametrize("repetition", [True, False])
def test_lagging_list_is_given_time_after_a_crash(
    cloud: UnreliableService, plan: Plan, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, repetition: bool
) -> None:
    """The job is accepted and not yet listed; what counts is when it was last sent, not when first."""
    ledger.add(plan)
    ledger.record_intent(plan, 0, 0)
    ledger._change(plan.tag(0, 0), intended="2020-01-01T00:00:00.000+00:00")
    slept: list[float] = []
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "record_sent", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
        cloud.sending = ["lost before"] if repetition else []
        with pytest.raises(KeyboardInterrupt):
            jobs.submit(plan, cloud, ledger, no_sleep)
    monkeypatch.setattr(cloud, "settling", 30.0)
    find = cloud.find

    def lagging(job_id: str | None = None, tag: str | None = None) -> list:
        return find(job_id, tag) if slept else []

    monkeypatch.setattr(cloud, "find", lagging)
    jobs.submit(plan, cloud, ledger, slept.append)
    assert slept == [30.0]
    assert set(tags(cloud).values()) == {1}


def test_job_sent_twice_unseen_is_stopped(
    cloud: UnreliableService, plan: Plan, ledger: Ledger, undisturbed: np.ndarray
) -> None:
    cloud.sending = ["", "doubled"]
    jobs.submit(plan, cloud, ledger, no_sleep)
    assert tags(cloud)[plan.tag(1, 0)] == 2
    np.testing.assert_array_equal(jobs.collect(plan, cloud, ledger, sleep=no_sleep).matrix(), undisturbed)
    assert set(tags(cloud).values()) == {1}
    assert states(ledger, plan) == ["collected"] * 4


def test_cancelling_stops_what_was_accepted_twice(cloud: UnreliableService, plan: Plan, ledger: Ledger) -> None:
    cloud.sending = ["doubled", "doubled"]
    jobs.submit(plan, cloud, ledger, no_sleep)
    assert sum(tags(cloud).values()) == 6
    jobs.cancel(plan, cloud, ledger, no_sleep)
    assert not tags(cloud)
    assert states(ledger, plan) == ["cancelled"] * 4


def test_of_doubles_the_one_with_a_result_is_kept(cloud: UnreliableService, plan: Plan, ledger: Ledger) -> None:
    from unreliable_service import UnreliableJob

    with cloud.real.open("job") as run:
        first, second = run(plan.request(0)), run(plan.request(0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UnreliableJob, "status", lambda job: "DONE" if job.job_id() == second.job_id() else "QUEUED")
        assert jobs.submit(plan, cloud, ledger, no_sleep)[0].job_id == second.job_id()
    assert (first.status(), second.status()) == ("CANCELLED", "DONE")


def test_one_result_that_cannot_be_read_keeps_no_other_back(
    cloud: UnreliableService, plan: Plan, ledger: Ledger, undisturbed: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unreliable_service import UnreliableJob

    def result(job: UnreliableJob) -> list[np.ndarray]:
        if job.job_id() == cloud.accepted[1]:
            raise KeyError("a format of tomorrow")
        return job._job.result()

    jobs.submit(plan, cloud, ledger, no_sleep)
    with monkeypatch.context() as patch:
        patch.setattr(UnreliableJob, "result", result)
        found = jobs.collect(plan, cloud, ledger, sleep=no_sleep)
    assert found.states == {"collected": 3, "lost": 1}
    assert "cannot be read: KeyError" in str(ledger.attempts(plan.plan_id)[1].error)
    np.testing.assert_array_equal(jobs.collect(plan, cloud, ledger, sleep=no_sleep).matrix(), undisturbed)


@pytest.mark.parametrize("charged", [0.0, 3.5, None])
def test_all_tries_of_a_job_stay_within_its_share_of_the_budget(
    cloud: UnreliableService, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, charged: float | None
) -> None:
    from unreliable_service import UnreliableJob

    def usage(job: UnreliableJob) -> float:
        if charged is None:
            raise ValueError("no metadata")
        return charged

    monkeypatch.setattr(UnreliableJob, "usage", usage)
    cloud.later = {0: "fails"}
    made = plan_fidelities(
        feature_map("zz").gates, X, pairs.full(N), cloud, BackendSpec("aer", 0.02, 11), Settings(200, OPTIONS, 30.0)
    )
    jobs.submit(made, cloud, ledger, no_sleep)
    jobs.resume(made, cloud, ledger, failed=True, sleep=no_sleep)
    spent = made.seconds(0) if charged is None else charged
    request = Request.from_bytes(cloud.real.find(tag=made.tag(0, 1))[0]._column("request"))
    assert request.seconds is not None
    assert made.seconds(0) - 1 < request.seconds <= made.share(0) - spent
    assert sum(made.share(number) for number in range(4)) == pytest.approx(30.0)


@pytest.mark.parametrize("shape", [(0,), (0, 1), (200, 2)])
def test_outcomes_of_another_width_or_of_no_shots_are_a_failure(
    cloud: UnreliableService, plan: Plan, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]
) -> None:
    from unreliable_service import UnreliableJob

    jobs.submit(plan, cloud, ledger, no_sleep)
    monkeypatch.setattr(
        UnreliableJob, "result", lambda job: [np.zeros((len(a), *shape), np.uint8) for a in job._job.result()]
    )
    assert jobs.collect(plan, cloud, ledger, sleep=no_sleep).states == {"failed": 4}


def test_useless_readout_keeps_back_nothing_measured(
    cloud: UnreliableService, plan: Plan, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unreliable_service import UnreliableJob

    jobs.submit(plan, cloud, ledger, no_sleep)

    def result(job: UnreliableJob) -> list[np.ndarray]:
        main, readout = job._job.result()
        return [main, np.zeros_like(readout) if job.job_id() == cloud.accepted[1] else readout]

    monkeypatch.setattr(UnreliableJob, "result", result)
    with pytest.warns(RuntimeWarning, match="the readout is not corrected"):
        found = jobs.collect(plan, cloud, ledger, sleep=no_sleep)
    assert found.complete
    assert (found.mitigated, found.misreading) == (None, None)
    assert np.isfinite(found.matrix()).all()


# --- the ledger ---------------------------------------------------------------------------------


def test_the_ledger_tells_everything_about_a_run(cloud: UnreliableService, plan: Plan, ledger: Ledger) -> None:
    jobs.submit(plan, cloud, ledger, no_sleep)
    connection = sqlite3.connect(ledger.path)
    row = connection.execute("SELECT plan_id, backend, circuit_hash, parameter_order, kind FROM plans").fetchone()
    assert row == (plan.plan_id, "aer", plan.circuit_hash, "x0000 x0001 y0000 y0001", "fidelity")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    recorded = {job_id for (job_id,) in connection.execute("SELECT job_id FROM attempts")}
    assert recorded == set(cloud.accepted)
    connection.close()
    assert ledger.plan(plan.plan_id[:6]).plan_id == plan.plan_id
    with pytest.raises(HardwareError, match="no plan file, and no plan in"):
        ledger.plan("zzz")


def test_plans_that_share_jobs_give_the_form_used_last(cloud: UnreliableService, ledger: Ledger) -> None:
    def made(form: pairs.Pairs) -> Plan:
        return plan_bloch(feature_map("z").gates, X, cloud, BackendSpec("aer", 0.02, 11), Settings(10, OPTIONS), form)

    whole, some = made(pairs.full(N)), made(pairs.nystroem(N, np.array([1, 3])))
    assert whole.plan_id == some.plan_id
    for plan, shape in ((whole, (N, N)), (some, (N, 2))):
        jobs.submit(plan, cloud, ledger, no_sleep)
        assert jobs.collect(ledger.plan(plan.plan_id), cloud, ledger, sleep=no_sleep).matrix().shape == shape
    assert set(tags(cloud).values()) == {1}


def test_only_one_process_submits_at_a_time(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.db") as first, Ledger(tmp_path / "l.db") as second:
        with first.lock(), pytest.raises(HardwareError, match="another process is submitting"), second.lock():
            pass
        with second.lock():
            pass


def test_other_files_and_other_versions_are_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database, but long enough to be taken for one " * 20)
    with pytest.raises(HardwareError, match="no ledger"):
        Ledger(tmp_path / "text.db")
    connection = sqlite3.connect(tmp_path / "new.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(HardwareError, match="version 99"):
        Ledger(tmp_path / "new.db")


# --- transport errors ---------------------------------------------------------------------------


def test_connection_errors_are_seen_through_the_client() -> None:
    from qiskit_ibm_runtime.api.exceptions import RequestsApiError
    from qiskit_ibm_runtime.exceptions import IBMRuntimeError, RuntimeJobTimeoutError
    from requests.exceptions import ConnectTimeout, HTTPError

    def wrapped(cause: Exception) -> Exception:
        try:
            try:
                raise cause
            except Exception as inner:
                raise IBMRuntimeError(f"Failed to run program: {inner}") from None
        except IBMRuntimeError as outer:
            return outer

    for lost in (RequestsApiError("no route", -1), RequestsApiError("later", 503), ConnectTimeout("slow")):
        assert service.is_transport_error(wrapped(lost))
    for no in (RequestsApiError("bad request", 400), RequestsApiError("who are you", 401), HTTPError("no")):
        assert not service.is_transport_error(wrapped(no))
    assert not service.is_transport_error(RuntimeJobTimeoutError("the job lives on"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("UPDATE chunks SET counts = substr(counts, 1, 40)", "counts in the ledger are damaged"),
        ("UPDATE plans SET document = CAST(X'7B22FF22' AS TEXT)", "no plan of `qperov hardware plan`"),
        ("PRAGMA foreign_keys = OFF; DELETE FROM plans", "damaged .rows that belong to no plan.: restore a copy"),
    ],
)
def test_a_damaged_ledger_is_one_clear_error(
    cloud: UnreliableService, plan: Plan, tmp_path: Path, change: str, message: str
) -> None:
    path = tmp_path / "l.db"
    with Ledger(path) as opened:
        jobs.submit(plan, cloud, opened, no_sleep)
        jobs.collect(plan, cloud, opened, sleep=no_sleep)
    connection = sqlite3.connect(path)
    connection.executescript(change)
    connection.close()
    with pytest.raises(HardwareError, match=message), Ledger(path) as opened:
        opened.counts(opened.plan(plan.plan_id).plan_id)
