"""What the commands show: prices, jobs, what is missing, and what each correction changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import typer

from qperov.commands.hardware.matrices import exact_matrix, score
from qperov.hardware.jobs.jobs import LOST_STATES, ChunkStatus
from qperov.hardware.jobs.results import Results
from qperov.hardware.plan.cost import OPEN_PLAN_SECONDS
from qperov.hardware.plan.plan import Plan
from qperov.hardware.plan.prediction import Prediction
from qperov.hardware.services.simulators import is_simulator
from qperov.hardware.verification.verification import Agreement

#: Missing entries that are named.
FEW_ENTRIES = 10


def describe_plan(plan: Plan) -> str:
    """What a plan measures, what it costs, and how good the backend is for it."""
    cost = plan.cost
    shape = "" if plan.pairs is None else f" {plan.pairs.form} matrix {plan.pairs.shape[0]} × {plan.pairs.shape[1]},"
    calibrated = "" if plan.calibrated is None else f", calibrated {plan.calibrated}"
    lines = [
        f"plan {plan.plan_id}: {plan.kind},{shape} {count(plan.n_qubits, 'qubit')} on {plan.backend.name}{calibrated}",
        f"  {count(cost.pairs, 'pair' if plan.kind == 'fidelity' else 'sample')}, {count(cost.pubs, 'PUB')} in "
        f"{count(cost.jobs, 'job')}, {count(cost.executions, 'execution')}"
        + (f", payload {cost.payload_bytes / 1e6:.2f} MB" if cost.payload_bytes else ""),
        f"  circuit {plan.circuit_hash[:12]}: depth {plan.depth}, {count(plan.two_qubit_gates, 'two-qubit gate')}, on "
        f"qubits {' '.join(map(str, plan.qubits))}; expected fidelity {plan.expected_fidelity:.3f}",
    ]
    if plan.prediction is not None:
        lines.append(_describe_prediction(plan, plan.prediction))
    if plan.backend.service:
        lines.append(_describe_fees(plan))
    elif is_simulator(plan.backend.name):
        lines.append("  simulated here: nothing is charged; decoupling and twirling have no effect")
    else:
        share = f"fits the Open plan ({cost.seconds / OPEN_PLAN_SECONDS:.0%} of its 10 minutes)"
        fits = share if cost.fits_open_plan else "too much for the Open plan"
        lines.append(f"  {cost.seconds:.0f} s of QPU time ({cost.seconds / 60:.1f} min), {fits}")
    return "\n".join(lines)


def _describe_fees(plan: Plan) -> str:
    if plan.price is None:
        return "  the fees of this service are not known here: give them with --price TASK,SHOT"
    price, tasks = plan.price, plan.cost.executions // plan.shots
    fees = price.fees(tasks, plan.cost.executions)
    return (
        f"  {fees:,.2f} {price.currency}: {count(tasks, 'circuit')} at {price.per_task:g} and their shots at "
        f"{price.per_shot:g} ({price.source})"
    )


def _describe_prediction(plan: Plan, promised: Prediction) -> str:
    worst = int(np.argmin(np.array(promised.contrast) * (1 - 2 * np.array(promised.misread))))
    lasting = f"{promised.seconds * 1e6:.1f} µs; " if promised.seconds else ""
    return (
        f"  by the calibration: {lasting}survival {promised.survival:.3f} (gates {promised.gates:.3f}, idle qubits "
        f"{promised.idle:.3f}); of a qubit {np.mean(promised.contrast):.3f} is left, {np.mean(promised.misread):.3f} "
        f"misread; the worst is {plan.qubits[worst]}: {promised.contrast[worst]:.3f}, {promised.misread[worst]:.3f}"
    )


def show_agreements(agreements: Sequence[Agreement]) -> None:
    """One line for each set of values, measured or predicted."""
    if not agreements:
        return
    columns = ("bias", "rms error", "shot noise", "survival", "±", "scatter", "correlation", "told apart")
    typer.echo(" " * 18 + "".join(f"{name:>12}" for name in columns))
    for found in agreements:
        numbers = (found.bias, found.rms_error, found.shot_noise, found.survival, found.survival_error)
        line = "".join(f"{number:12.4f}" for number in (*numbers, found.scatter, found.correlation))
        apart = "" if found.told_apart is None else f"{found.told_apart:12.0%}"
        typer.echo(f"{found.name:>18}{line}{apart}")


def count(number: int, what: str) -> str:
    """A number with its noun."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def show_states(results: Results) -> None:
    """How many jobs are where, and what can be done for those that gave nothing."""
    plan_id = results.plan.plan_id
    states = ", ".join(f"{count} {state}" for state, count in sorted(results.states.items()))
    typer.echo(f"plan {plan_id}: jobs {states}; {results.seconds:.0f} s charged")
    if {"planned", "submitting"} & set(results.states):
        typer.echo(f"not all was sent: qperov hardware resume {plan_id}")
    elif set(LOST_STATES) & set(results.states):
        typer.echo(f"to send again what gave no result, and pay again: qperov hardware resume {plan_id} --failed")


def show_missing(results: Results) -> None:
    """Entries of the matrix that have not come."""
    entries = results.missing_entries()
    shown = ", ".join(f"({i}, {j})" for i, j in entries[:FEW_ENTRIES])
    more = f" and {len(entries) - FEW_ENTRIES} more" if len(entries) > FEW_ENTRIES else ""
    typer.echo(f"missing: {len(entries)} of {results.matrix().size} entries: {shown}{more}")


def show(chunks: list[ChunkStatus]) -> None:
    """One line a job."""
    for chunk in chunks:
        sent = f", sent {chunk.attempts} times" if chunk.attempts > 1 else ""
        error = f": {chunk.error}" if chunk.error else ""
        typer.echo(f"job {chunk.number + 1} of {len(chunks)}: {chunk.state} {chunk.job_id or ''}{sent}{error}".rstrip())


def show_matrices(results: Results, matrices: dict[str, np.ndarray], gamma: float) -> None:
    """One line a matrix: what each correction changed, beside the exact matrix and a constant."""
    if results.misreading is not None:
        one, zero = results.misreading
        typer.echo(f"readout: a 0 is read as 1 with {one:.2%}, a 1 as 0 with {zero:.2%} (mean over qubits)")
    y, exact = results.plan.labels, exact_matrix(results, gamma)
    for name, K in (matrices if exact is None else matrices | {"exact": exact}).items():
        line = f"{name:>24}: mean entry {K.mean():.4f}"
        if exact is not None and name != "exact":
            line += f", rms error {np.sqrt(np.mean((K - exact) ** 2)):.4f}"
        if K.shape[0] == K.shape[1] and np.array_equal(K, K.T):
            smallest = float(np.linalg.eigvalsh(K)[0])
            line += f", diagonal {K.diagonal().mean():.4f}, smallest eigenvalue {smallest:+.2e}"
            if y is not None:
                line += f", R² {score(K, y):.3f}"
        typer.echo(line)
    if y is not None and results.plan.pairs is not None and results.plan.pairs.form == "full":
        typer.echo(f"{'constant':>24}: R² {score(None, y):.3f} (R²: regression that is not tuned, by cross-validation)")


def show_losses(results: Results) -> None:
    """What the correction changed for an autoencoder."""
    some = np.isfinite(results.losses(False))
    for name, wanted in (("raw", False), ("readout", True)):
        if some.any() and (not wanted or results.mitigated is not None):
            typer.echo(f"{name:>24}: mean loss {results.losses(wanted)[some].mean():.4f}")
    if not results.complete:
        typer.echo(f"missing: {len(results.missing())} of {len(results.raw)} samples")
