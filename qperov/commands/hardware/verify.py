"""``qperov hardware verify``: what was measured against exact values, and against what the calibration promised."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qperov.commands import screen
from qperov.commands.hardware.opening import DEFAULT_LEDGER, GO_ON, LedgerPath, PlanArgument, open_plan
from qperov.commands.hardware.plan import ServiceOption

if TYPE_CHECKING:
    from qperov.hardware.verification.verification import Verification


@screen.resumable(GO_ON)
def verify(
    plan: PlanArgument,
    figure: Annotated[Path | None, typer.Option(help="File for a figure: .png, .svg or .pdf.")] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for jobs that are not done.", min=0)] = 0.0,
    ledger: LedgerPath = DEFAULT_LEDGER,
    service: ServiceOption = "",
) -> None:
    """Compare what was measured with exact values, and with what the calibration promised.

    Exact values come from statevectors, or from matrix product states where neighbours on a line are coupled, whatever
    the number of qubits.
    """
    from qperov.commands.hardware.display import show_agreements
    from qperov.hardware.jobs import jobs
    from qperov.hardware.verification.verification import verify as compare

    if figure is not None and figure.suffix not in (".png", ".svg", ".pdf"):
        raise typer.BadParameter(f"{figure}: a figure is written to .png, .svg or .pdf", param_hint="--figure")
    with open_plan(plan, ledger, service) as (found, opened, book):
        results = jobs.collect(found, opened, book, wait)
    verification = compare(results)
    if not results.complete:
        typer.echo(f"{len(results.missing())} of {len(results.raw)} circuits have not come and are left out")
    show_agreements(verification.agreements)
    _show_outliers(verification)
    if figure is not None:
        from qperov.hardware.verification.figure import draw
        from qperov.storage.atomic import atomic_path

        with atomic_path(figure) as temporary:
            draw(verification).savefig(temporary, format=figure.suffix[1:], dpi=150)
        typer.echo(f"wrote {figure}")


def _show_outliers(verification: Verification) -> None:
    import numpy as np

    plan = verification.plan
    known = np.isfinite(verification.contrast)
    if known.any():
        lowest, middle = np.nanmin(verification.contrast), np.nanmedian(verification.contrast)
        typer.echo(
            f"qubits: median contrast {middle:.3f}, lowest {lowest:.3f}"
            + (f"; {int((~known).sum())} that these circuits do not test" if not known.all() else "")
        )
    for wire in verification.outlying_wires():
        typer.echo(f"  qubit {plan.qubits[wire]} (wire {wire}) stands out: {verification.contrast[wire]:.3f}")
    for wire in verification.outlying_neighbours():
        typer.echo(
            f"  qubits {plan.qubits[wire]} and {plan.qubits[wire + 1]} err together: ⟨ZZ⟩ is "
            f"{verification.neighbours[wire]:.3f} of what each by itself leaves"
        )
    ids = plan.axes()[0] if plan.samples is None else list(plan.samples.ids)
    for sample in verification.outlying_samples():
        typer.echo(f"  sample {ids[sample]} stands out: its values deviate by {verification.samples[sample]:+.1f} σ")
