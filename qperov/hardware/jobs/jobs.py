"""Submit, follow, collect, resume and cancel the jobs of a plan; no job is lost, and none is sent twice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from qperov.errors import BudgetError, QperovError
from qperov.hardware.jobs.asking import Sleep, asked, charged, found_jobs, only_one, refused
from qperov.hardware.jobs.collected import Collected
from qperov.hardware.jobs.counts import Counts
from qperov.hardware.jobs.ledger import Attempt, Ledger
from qperov.hardware.plan.plan import Plan, check_budget
from qperov.hardware.services.credentials import without_secrets
from qperov.hardware.services.service import Job, Request, Service, is_transport_error, repeated, waits

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
    check_budget(plan.cost.seconds, plan.budget_seconds)
    ledger.add(plan)
    with ledger.alone():
        _heal(plan, service, ledger, sleep)
        waiting = [attempt for attempt in ledger.attempts(plan.plan_id) if attempt.state in ("planned", "submitting")]
        _send(plan, waiting, service, ledger, sleep)
    return _recorded(plan, ledger)


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
        with ledger.alone():
            # what was lost may have been found again, and what has failed may not be recorded yet
            _fetch(plan, service, ledger, sleep)
            again = [attempt for attempt in ledger.attempts(plan.plan_id) if attempt.state in LOST_STATES]
            for attempt in again:
                spent = ledger.spent(plan.plan_id, attempt.number, attempt.attempt + 1, plan.seconds(attempt.number))
                if spent + plan.seconds(attempt.number) > plan.share(attempt.number):
                    raise BudgetError(
                        f"job {attempt.number + 1} has taken {spent:.0f} s and would take "
                        f"{plan.seconds(attempt.number):.0f} s more; of the budget of {plan.budget_seconds:.0f} s "
                        f"{plan.share(attempt.number):.0f} s are for it: plan again with a larger budget"
                    )
            for attempt in again:
                ledger.intend(plan, attempt.number, attempt.attempt + 1)
    return submit(plan, service, ledger, sleep)


def status(plan: Plan, service: Service, ledger: Ledger, sleep: Sleep = time.sleep) -> list[ChunkStatus]:
    """Where each chunk stands, by the ledger and, for those that are submitted, by the service."""
    found = []
    for chunk in _recorded(plan, ledger):
        if chunk.state == "submitted":
            jobs = found_jobs(service, sleep, job_id=chunk.job_id)
            state = asked(jobs[0].status, sleep).lower() if jobs else "unknown to the service"
            chunk = ChunkStatus(chunk.number, state, chunk.job_id, chunk.attempts, chunk.error)
        found.append(chunk)
    return found


def collect(
    plan: Plan,
    service: Service,
    ledger: Ledger,
    wait_seconds: float = 0.0,
    sleep: Sleep = time.sleep,
) -> Collected:
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
    Collected
        Entries of chunks that are not there are NaN, and are named.

    Raises
    ------
    HardwareError
        The service cannot be reached; what was fetched before is in the ledger.
    """
    ledger.add(plan)
    _stop_doubles(plan, service, ledger, sleep)
    waited = 0.0
    while True:
        still = _fetch(plan, service, ledger, sleep)
        pause = min(POLL_SECONDS, wait_seconds - waited)
        if not still or pause <= 0:
            return _together(plan, ledger)
        sleep(pause)
        waited += pause


def cancel(plan: Plan, service: Service, ledger: Ledger, sleep: Sleep = time.sleep) -> list[ChunkStatus]:
    """Stop all jobs that have not ended; those that are done can still be collected."""
    ledger.add(plan)
    with ledger.alone():
        _heal(plan, service, ledger, sleep)
        for attempt in ledger.attempts(plan.plan_id):
            if attempt.state == "submitting":
                ledger.ended(attempt.tag, "cancelled", "it was never accepted", 0.0)
            if attempt.state != "submitted":
                continue
            known = found_jobs(service, sleep, job_id=attempt.job_id)
            for job in [*known, *found_jobs(service, sleep, tag=attempt.tag)]:
                asked(job.cancel, sleep)
            if known and asked(known[0].status, sleep) == "CANCELLED":
                ledger.ended(attempt.tag, "cancelled", seconds=charged(known[0], sleep))
    return _recorded(plan, ledger)


# --- inside -------------------------------------------------------------------------------------


def _send(plan: Plan, waiting: list[Attempt], service: Service, ledger: Ledger, sleep: Sleep) -> None:
    if not waiting:
        return
    mode = "session" if plan.options.mode == "session" else "batch" if len(waiting) > 1 else "job"
    try:
        with service.open(mode) as run:
            for attempt in waiting:
                number, trial = attempt.number, attempt.attempt
                spent = ledger.spent(plan.plan_id, number, trial, plan.seconds(number))
                request = plan.request(number, trial, spent)

                def send(request: Request = request, number: int = number, trial: int = trial) -> Job:
                    # each time anew: by it is judged after a crash whether the service's list can be trusted yet
                    ledger.intend(plan, number, trial)
                    return run(request)

                ledger.sent(request.tag, _accepted(send, request.tag, service, sleep))
    except QperovError:
        raise
    except Exception as error:
        raise refused(error) from None


def _accepted(send: Callable[[], Job], tag: str, service: Service, sleep: Sleep) -> str:
    """The id of a request's job, sent again only when the service surely has not got it."""
    for wait in waits():
        try:
            return send().job_id()
        except Exception as error:
            if not is_transport_error(error) or wait is None:
                raise
        # the answer was lost, perhaps not the request: before it is sent again its tag must be looked for
        sleep(max(wait, service.settling))
        found = only_one(found_jobs(service, sleep, tag=tag), sleep)
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
            found = only_one(found_jobs(service, sleep, tag=tag), sleep)
            if found is not None:
                ledger.intend(plan, attempt.number, attempt.attempt)
                ledger.sent(tag, found.job_id())


def _stop_doubles(plan: Plan, service: Service, ledger: Ledger, sleep: Sleep) -> None:
    """Stop jobs that were accepted twice: the client library repeats by itself a request whose answer was lost."""
    for attempt in ledger.attempts(plan.plan_id):
        if attempt.state == "submitted":
            kept = only_one(found_jobs(service, sleep, tag=attempt.tag), sleep)
            if kept is not None and kept.job_id() != attempt.job_id:
                ledger.sent(attempt.tag, kept.job_id())


def _age(attempt: Attempt) -> float:
    """Seconds since a job was going to be sent."""
    return (datetime.now(UTC) - datetime.fromisoformat(attempt.intended)).total_seconds()


def _fetch(plan: Plan, service: Service, ledger: Ledger, sleep: Sleep) -> list[Attempt]:
    """Record what has ended; the tries that have not. One that was lost may have been found again."""
    attempts = [attempt for attempt in ledger.attempts(plan.plan_id) if attempt.state in ("submitted", "lost")]
    return [attempt for attempt in attempts if not _fetched(plan, attempt, service, ledger, sleep)]


def _fetched(plan: Plan, attempt: Attempt, service: Service, ledger: Ledger, sleep: Sleep) -> bool:
    """Whether a submitted job has ended; its counts, or its end without any, are then in the ledger."""
    known = found_jobs(service, sleep, job_id=attempt.job_id)
    job = known[0] if known else only_one(found_jobs(service, sleep, tag=attempt.tag), sleep)
    if job is None:
        ledger.ended(attempt.tag, "lost", f"the service does not know job {attempt.job_id} any more")
        return True
    state = asked(job.status, sleep)
    if state == "DONE":
        try:
            outcomes = repeated(job.result, sleep)
        except Exception as error:
            if is_transport_error(error):
                raise refused(error) from None
            # it is asked for again each time, and must not keep the results of other jobs back
            told = f"its result cannot be read: {type(error).__name__}: {without_secrets(error)}"
            ledger.ended(attempt.tag, "lost", told, charged(job, sleep))
            return True
        problem = _mismatch(plan, attempt, outcomes)
        if problem is None:
            counts = [Counts.from_shots(array, plan.n_qubits) for array in outcomes]
            ledger.collected(attempt.tag, counts[0], counts[1] if plan.readout else None, charged(job, sleep))
        else:
            ledger.ended(attempt.tag, "failed", problem, charged(job, sleep))
    elif state == "ERROR":
        message = without_secrets(asked(job.error_message, sleep)) or "the service gives no reason"
        ledger.ended(attempt.tag, "failed", message, charged(job, sleep))
    elif state == "CANCELLED":
        ledger.ended(attempt.tag, "cancelled", "it was cancelled at the service", charged(job, sleep))
    else:
        if attempt.state == "lost":
            ledger.found_again(attempt.tag)
        return False
    return True


def _mismatch(plan: Plan, attempt: Attempt, outcomes: list[np.ndarray]) -> str | None:
    """What is wrong with the shape of a result, if anything."""
    start, stop = plan.chunks[attempt.number]
    wanted = [stop - start] + ([2] if plan.readout else [])
    n_bytes = -(-plan.n_qubits // 8)
    rows = [len(array) for array in outcomes]
    if rows != wanted:
        return f"the result has {rows} rows of outcomes instead of {wanted}"
    for array in outcomes:
        if array.ndim != 3 or array.shape[1] == 0 or array.shape[2] != n_bytes:
            return f"the result has outcomes of shape {array.shape}, which are not those of {plan.n_qubits} qubits"
    return None


def _recorded(plan: Plan, ledger: Ledger) -> list[ChunkStatus]:
    return [
        ChunkStatus(a.number, a.state, a.job_id, ledger.count_attempts(plan.plan_id, a.number), a.error)
        for a in ledger.attempts(plan.plan_id)
    ]


def _together(plan: Plan, ledger: Ledger) -> Collected:
    states = Counter(attempt.state for attempt in ledger.attempts(plan.plan_id))
    return Collected.from_chunks(plan, ledger.counts(plan.plan_id), dict(states), ledger.seconds(plan.plan_id))
