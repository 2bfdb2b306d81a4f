"""Submit, follow, collect, resume and cancel the jobs of a plan; no job is lost, and none is sent twice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from qperov.errors import BudgetError, HardwareError, QperovError
from qperov.hardware.jobs.calls import Sleep, ask, cancel_duplicates, find_jobs, refusal, seconds_charged
from qperov.hardware.jobs.counts import Counts
from qperov.hardware.jobs.ledger import Attempt, Ledger
from qperov.hardware.jobs.results import Results
from qperov.hardware.plan.plan import Plan
from qperov.hardware.services.credentials import without_secrets
from qperov.hardware.services.ibm import IBMService
from qperov.hardware.services.service import Job, Request, Service, is_transport_error, repeat, waits

#: Seconds between two looks at jobs that are waited for.
POLL_SECONDS = 5.0

#: Seconds after which a job that was going to be sent is surely not on its way any more.
LONGEST_SENDING = 900.0

#: States that end an attempt without a result.
LOST_STATES = ("failed", "cancelled", "lost")


@dataclass(frozen=True)
class ChunkStatus:
    """Where a chunk stands.

    Attributes
    ----------
    number : int
    state : str
        That of the ledger; "queued", "running" or "done" by the service for one that is submitted.
    job_id : str or None
    attempts : int
        How often it was sent.
    error : str or None
    """

    number: int
    state: str
    job_id: str | None
    attempts: int
    error: str | None


def submit(plan: Plan, service: Service, ledger: Ledger, sleep: Sleep = time.sleep) -> list[ChunkStatus]:
    """Send all jobs of a plan that were never sent; those that are there already are left alone.

    Job mode for one chunk, a batch for several, a session only if the plan's options ask for it.

    Parameters
    ----------
    plan : Plan
    service : Service
    ledger : Ledger
    sleep : callable
        Waits for a number of seconds.

    Raises
    ------
    HardwareError
        The service refuses a job, or cannot be reached; what was sent is in the ledger.
    BudgetError
        The plan costs more than its budget.
    """
    plan.check_budget()
    ledger.add(plan)
    with ledger.lock():
        _heal(plan, service, ledger, sleep)
        waiting = [attempt for attempt in ledger.attempts(plan.plan_id) if attempt.state in ("planned", "submitting")]
        _send(plan, waiting, service, ledger, sleep)
    return _statuses(plan, ledger)


def dry_run(plan: Plan, service: IBMService, sleep: Sleep = time.sleep) -> float | None:
    """QPU seconds that IBM expects for the first job of a plan, which it checks without a machine; None if unknown.

    Raises
    ------
    HardwareError
        The job is refused, fails, or there is no dry run.
    """
    job = ask(lambda: service.dry_run(plan.request(0)), sleep)
    while (state := ask(job.status, sleep)) not in ("DONE", "ERROR", "CANCELLED"):
        sleep(POLL_SECONDS)
    if state != "DONE":
        raise HardwareError(f"the dry run failed: {without_secrets(ask(job.error_message, sleep)) or state}")
    return ask(job.estimated_seconds, sleep)


def resume(
    plan: Plan, service: Service, ledger: Ledger, failed: bool = False, sleep: Sleep = time.sleep
) -> list[ChunkStatus]:
    """Send what was not sent yet; with ``failed`` also what failed, was cancelled or was lost, once more.

    Parameters and exceptions as for `submit`. A job that failed may have been charged, so that its repetition counts
    against the budget: of it each chunk has a share, which all its tries together must not exceed. One that was lost
    is looked for first.
    """
    if failed:
        ledger.add(plan)
        with ledger.lock():
            # what was lost may have been found again, and what has failed may not be recorded yet
            _fetch(plan, service, ledger, sleep)
            again = [attempt for attempt in ledger.attempts(plan.plan_id) if attempt.state in LOST_STATES]
            # each try of the past is counted, whether or not it was charged
            plan.check_budget(
                [a.number for a in ledger.attempts(plan.plan_id) for _ in range(a.attempt)] + [a.number for a in again]
            )
            for attempt in again:
                spent = ledger.seconds_spent(
                    plan.plan_id, attempt.number, attempt.attempt + 1, plan.seconds(attempt.number)
                )
                if spent + plan.seconds(attempt.number) > plan.share(attempt.number):
                    raise BudgetError(
                        f"job {attempt.number + 1} has taken {spent:.0f} s and would take "
                        f"{plan.seconds(attempt.number):.0f} s more; of the budget of {plan.budget_seconds:.0f} s "
                        f"{plan.share(attempt.number):.0f} s are for it: plan again with a larger budget"
                    )
            for attempt in again:
                ledger.record_intent(plan, attempt.number, attempt.attempt + 1)
    return submit(plan, service, ledger, sleep)


def status(plan: Plan, service: Service, ledger: Ledger, sleep: Sleep = time.sleep) -> list[ChunkStatus]:
    """Where each chunk stands, by the ledger and, for those that are submitted, by the service."""
    found = []
    for chunk in _statuses(plan, ledger):
        if chunk.state == "submitted":
            jobs = find_jobs(service, sleep, job_id=chunk.job_id)
            state = ask(jobs[0].status, sleep).lower() if jobs else "unknown to the service"
            chunk = ChunkStatus(chunk.number, state, chunk.job_id, chunk.attempts, chunk.error)
        found.append(chunk)
    return found


def collect(
    plan: Plan,
    service: Service,
    ledger: Ledger,
    wait_seconds: float = 0.0,
    sleep: Sleep = time.sleep,
) -> Results:
    """Fetch what is done, store its counts, and put together what there is so far; what was accepted twice is stopped.

    Parameters
    ----------
    plan : Plan
    service : Service
    ledger : Ledger
    wait_seconds : float
        How long to wait for jobs that are not done.
    sleep : callable

    Returns
    -------
    Results
        Entries of chunks that are not there are NaN, and are named.

    Raises
    ------
    HardwareError
        The service cannot be reached; what was fetched before is in the ledger.
    """
    ledger.add(plan)
    _cancel_doubles(plan, service, ledger, sleep)
    waited = 0.0
    while True:
        still = _fetch(plan, service, ledger, sleep)
        pause = min(POLL_SECONDS, wait_seconds - waited)
        if not still or pause <= 0:
            return _results(plan, ledger)
        sleep(pause)
        waited += pause


def cancel(plan: Plan, service: Service, ledger: Ledger, sleep: Sleep = time.sleep) -> list[ChunkStatus]:
    """Stop all jobs that have not ended; those that are done can still be collected."""
    ledger.add(plan)
    with ledger.lock():
        _heal(plan, service, ledger, sleep)
        for attempt in ledger.attempts(plan.plan_id):
            if attempt.state == "submitting":
                ledger.record_end(attempt.tag, "cancelled", "it was never accepted", 0.0)
            if attempt.state != "submitted":
                continue
            known = find_jobs(service, sleep, job_id=attempt.job_id)
            for job in [*known, *find_jobs(service, sleep, tag=attempt.tag)]:
                ask(job.cancel, sleep)
            if known and ask(known[0].status, sleep) == "CANCELLED":
                ledger.record_end(attempt.tag, "cancelled", seconds=seconds_charged(known[0], sleep))
    return _statuses(plan, ledger)


# --- inside -------------------------------------------------------------------------------------


def _send(plan: Plan, waiting: list[Attempt], service: Service, ledger: Ledger, sleep: Sleep) -> None:
    if not waiting:
        return
    mode = "session" if plan.options.mode == "session" else "batch" if len(waiting) > 1 else "job"
    try:
        with service.open(mode) as run:
            for attempt in waiting:
                number, trial = attempt.number, attempt.attempt
                spent = ledger.seconds_spent(plan.plan_id, number, trial, plan.seconds(number))
                request = plan.request(number, trial, spent)

                def send(request: Request = request, number: int = number, trial: int = trial) -> Job:
                    # each time anew: by it is judged after a crash whether the service's list can be trusted yet
                    ledger.record_intent(plan, number, trial)
                    return run(request)

                ledger.record_sent(request.tag, _send_once(send, request.tag, service, sleep))
    except QperovError:
        raise
    except Exception as error:
        raise refusal(error) from None


def _send_once(send: Callable[[], Job], tag: str, service: Service, sleep: Sleep) -> str:
    """The id of a request's job, sent again only when the service surely has not got it."""
    for wait in waits():
        try:
            return send().job_id()
        except Exception as error:
            if not is_transport_error(error) or wait is None:
                raise
        # the answer was lost, perhaps not the request: before it is sent again its tag must be looked for
        sleep(max(wait, service.settling))
        found = cancel_duplicates(find_jobs(service, sleep, tag=tag), sleep)
        if found is not None:
            return found.job_id()
    raise AssertionError("unreachable")


def _heal(plan: Plan, service: Service, ledger: Ledger, sleep: Sleep) -> None:
    """Find by their tags the jobs that were sent and not recorded: after a crash, or by another ledger."""
    attempts = ledger.attempts(plan.plan_id)
    if any(attempt.state == "submitting" and _age(attempt) < LONGEST_SENDING for attempt in attempts):
        sleep(service.settling)
    for attempt in attempts:
        if attempt.state in ("planned", "submitting"):
            tag = plan.tag(attempt.number, attempt.attempt)
            found = cancel_duplicates(find_jobs(service, sleep, tag=tag), sleep)
            if found is not None:
                ledger.record_intent(plan, attempt.number, attempt.attempt)
                ledger.record_sent(tag, found.job_id())


def _cancel_doubles(plan: Plan, service: Service, ledger: Ledger, sleep: Sleep) -> None:
    """Stop jobs that were accepted twice: the client library repeats by itself a request whose answer was lost."""
    for attempt in ledger.attempts(plan.plan_id):
        if attempt.state == "submitted":
            kept = cancel_duplicates(find_jobs(service, sleep, tag=attempt.tag), sleep)
            if kept is not None and kept.job_id() != attempt.job_id:
                ledger.record_sent(attempt.tag, kept.job_id())


def _age(attempt: Attempt) -> float:
    """Seconds since a job was going to be sent."""
    return (datetime.now(UTC) - datetime.fromisoformat(attempt.intended)).total_seconds()


def _fetch(plan: Plan, service: Service, ledger: Ledger, sleep: Sleep) -> list[Attempt]:
    """Record what has ended; the tries that have not. One that was lost may have been found again."""
    attempts = [attempt for attempt in ledger.attempts(plan.plan_id) if attempt.state in ("submitted", "lost")]
    return [attempt for attempt in attempts if not _fetch_job(plan, attempt, service, ledger, sleep)]


def _fetch_job(plan: Plan, attempt: Attempt, service: Service, ledger: Ledger, sleep: Sleep) -> bool:
    """Whether a submitted job has ended; its counts, or its end without any, are then in the ledger."""
    known = find_jobs(service, sleep, job_id=attempt.job_id)
    job = known[0] if known else cancel_duplicates(find_jobs(service, sleep, tag=attempt.tag), sleep)
    if job is None:
        ledger.record_end(attempt.tag, "lost", f"the service does not know job {attempt.job_id} any more")
        return True
    state = ask(job.status, sleep)
    if state == "DONE":
        try:
            outcomes = repeat(job.result, sleep)
        except Exception as error:
            if is_transport_error(error):
                raise refusal(error) from None
            # it is asked for again each time, and must not keep the results of other jobs back
            told = f"its result cannot be read: {type(error).__name__}: {without_secrets(error)}"
            ledger.record_end(attempt.tag, "lost", told, seconds_charged(job, sleep))
            return True
        problem = _mismatch(plan, attempt, outcomes)
        if problem is None:
            counts = [Counts.from_shots(array, plan.n_qubits) for array in outcomes]
            ledger.record_collected(
                attempt.tag, counts[0], counts[1] if plan.readout else None, seconds_charged(job, sleep)
            )
        else:
            ledger.record_end(attempt.tag, "failed", problem, seconds_charged(job, sleep))
    elif state == "ERROR":
        message = without_secrets(ask(job.error_message, sleep)) or "the service gives no reason"
        ledger.record_end(attempt.tag, "failed", message, seconds_charged(job, sleep))
    elif state == "CANCELLED":
        ledger.record_end(attempt.tag, "cancelled", "it was cancelled at the service", seconds_charged(job, sleep))
    else:
        if attempt.state == "lost":
            ledger.record_found(attempt.tag)
        return False
    return True


def _mismatch(plan: Plan, attempt: Attempt, outcomes: list[np.ndarray]) -> str | None:
    """What is wrong with the shape of a result, if anything."""
    start, stop = plan.chunks[attempt.number]
    wanted = [stop - start] + ([plan.options.readout_circuits] if plan.readout else [])
    n_bytes = -(-plan.n_qubits // 8)
    rows = [len(array) for array in outcomes]
    if rows != wanted:
        return f"the result has {rows} rows of outcomes instead of {wanted}"
    for array in outcomes:
        if array.ndim == 3 and array.shape[1] < plan.shots:
            return f"the result has {array.shape[1]} shots instead of {plan.shots}"
        if array.ndim != 3 or array.shape[2] != n_bytes:
            return f"the result has outcomes of shape {array.shape}, which are not those of {plan.n_qubits} qubits"
    return None


def _statuses(plan: Plan, ledger: Ledger) -> list[ChunkStatus]:
    """What the ledger says of each chunk; of a plan that it does not know, that nothing was sent."""
    known = ledger.attempts(plan.plan_id)
    if not known:
        return [ChunkStatus(number, "planned", None, 0, None) for number in range(len(plan.chunks))]
    return [
        ChunkStatus(a.number, a.state, a.job_id, ledger.count_attempts(plan.plan_id, a.number), a.error) for a in known
    ]


def _results(plan: Plan, ledger: Ledger) -> Results:
    states = Counter(attempt.state for attempt in ledger.attempts(plan.plan_id))
    return Results.from_chunks(plan, ledger.counts(plan.plan_id), dict(states), ledger.seconds_charged(plan.plan_id))
