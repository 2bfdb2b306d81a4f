"""What the commands show: prices, jobs, what is missing, and what each correction changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import typer

from qperov.hardware.jobs.collected import Collected
from qperov.hardware.jobs.jobs import LOST_STATES, ChunkStatus
from qperov.hardware.plan.cost import OPEN_PLAN_SECONDS
from qperov.hardware.plan.plan import Plan
from qperov.hardware.services.simulators import is_simulator

#: From a matrix, its number of qubits, and whether its diagonal was measured, to repaired matrices by name.
Repair: TypeAlias = Callable[[np.ndarray, int, bool], dict[str, np.ndarray]]

#: Missing entries that are named.
FEW_ENTRIES = 10


def described(plan: Plan) -> str:
    """What a plan measures, what it costs, and how good the machine is for it."""
    cost = plan.cost
    shape = "" if plan.pairs is None else f" {plan.pairs.form} matrix {plan.pairs.shape[0]} × {plan.pairs.shape[1]},"
    calibrated = "" if plan.calibrated is None else f", calibrated {plan.calibrated}"
    what = "pairs" if plan.kind == "fidelity" else "samples"
    share = cost.seconds / OPEN_PLAN_SECONDS
    fits = (
        f"fits the Open plan ({share:.0%} of its 10 minutes)" if cost.fits_open_plan else "too much for the Open plan"
    )
    lines = [
        f"plan {plan.plan_id}: {plan.kind},{shape} {plan.n_qubits} qubits on {plan.target.name}{calibrated}",
        f"  {cost.pairs:,} {what}, {cost.pubs} PUBs in {cost.jobs} jobs, {cost.executions:,} executions, "
        f"payload {cost.payload_bytes / 1e6:.2f} MB",
        f"  circuit {plan.circuit_hash[:12]}: depth {plan.depth}, {plan.two_qubit_gates} two-qubit gates, on qubits "
        f"{' '.join(map(str, plan.qubits))}; expected fidelity {plan.expected_fidelity:.3f}",
        f"  {cost.seconds:.0f} s on the machine ({cost.seconds / 60:.1f} min), {fits}",
    ]
    if is_simulator(plan.target.name):
        lines.append("  it is simulated here: nothing is charged; decoupling and twirling have no effect")
    return "\n".join(lines)


def show_states(collected: Collected) -> None:
    """How many jobs are where, and what can be done for those that gave nothing."""
    plan_id = collected.plan.plan_id
    states = ", ".join(f"{count} {state}" for state, count in sorted(collected.states.items()))
    typer.echo(f"plan {plan_id}: jobs {states}; {collected.seconds:.0f} s charged")
    if {"planned", "submitting"} & set(collected.states):
        typer.echo(f"not all was sent: qperov hardware resume {plan_id}")
    elif set(LOST_STATES) & set(collected.states):
        typer.echo(f"to send again what gave no result, and pay again: qperov hardware resume {plan_id} --failed")


def show_missing(collected: Collected) -> None:
    """Entries of the matrix that have not come."""
    entries = collected.missing_entries()
    shown = ", ".join(f"({i}, {j})" for i, j in entries[:FEW_ENTRIES])
    more = f" and {len(entries) - FEW_ENTRIES} more" if len(entries) > FEW_ENTRIES else ""
    typer.echo(f"missing: {len(entries)} of {collected.matrix().size} entries: {shown}{more}")


def show(chunks: list[ChunkStatus]) -> None:
    """One line a job."""
    for chunk in chunks:
        sent = f", sent {chunk.attempts} times" if chunk.attempts > 1 else ""
        error = f": {chunk.error}" if chunk.error else ""
        typer.echo(f"job {chunk.number + 1} of {len(chunks)}: {chunk.state} {chunk.job_id or ''}{sent}{error}".rstrip())


def corrected(repair: Repair, collected: Collected, gamma: float) -> dict[str, np.ndarray]:
    """The matrix raw, with the readout corrected, and repaired in every way there is."""
    matrices = {"raw": collected.matrix(False, gamma)}
    if collected.mitigated is not None:
        matrices["readout"] = collected.matrix(True, gamma)
    pairs = collected.plan.pairs
    if pairs is not None and pairs.form == "full":
        best = list(matrices.values())[-1]
        measured = collected.plan.kind == "fidelity" and bool((pairs.first == pairs.second).any())
        matrices |= repair(best, collected.plan.n_qubits, measured)
    return matrices


def compare(
    score: Callable[[np.ndarray, np.ndarray], float], collected: Collected, matrices: dict[str, np.ndarray]
) -> None:
    """One line a matrix: what each correction changed."""
    if collected.misreading is not None:
        one, zero = collected.misreading
        typer.echo(f"readout: a 0 is read as 1 with {one:.2%}, a 1 as 0 with {zero:.2%} (mean over qubits)")
    y = collected.plan.labels
    for name, K in matrices.items():
        line = f"{name:>24}: mean entry {K.mean():.4f}"
        if K.shape[0] == K.shape[1] and np.array_equal(K, K.T):
            smallest = float(np.linalg.eigvalsh(K)[0])
            line += f", diagonal {K.diagonal().mean():.4f}, smallest eigenvalue {smallest:+.2e}"
            if y is not None:
                line += f", R² {score(K, y):.3f}"
        typer.echo(line)


def show_losses(collected: Collected) -> None:
    """What the correction changed for an autoencoder."""
    some = np.isfinite(collected.losses(False))
    for name, wanted in (("raw", False), ("readout", True)):
        if some.any() and (not wanted or collected.mitigated is not None):
            typer.echo(f"{name:>24}: mean loss {collected.losses(wanted)[some].mean():.4f}")
    if not collected.complete:
        typer.echo(f"missing: {len(collected.missing())} of {len(collected.raw)} samples")
