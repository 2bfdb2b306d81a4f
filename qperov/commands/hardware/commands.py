"""``qperov hardware plan | submit | status | collect | verify | resume | cancel``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qperov.commands import screen
from qperov.commands.hardware.opening import DEFAULT_LEDGER, GO_ON, LedgerPath, PlanArgument, open_plan
from qperov.commands.hardware.plan import ServiceOption, plan
from qperov.commands.hardware.verify import verify

app = typer.Typer(help="Quantum computers: the price first, then jobs that are neither lost nor sent twice.")
app.command()(plan)
app.command()(verify)


@app.callback(invoke_without_command=True)
def _tell_state(context: typer.Context) -> None:
    """What is missing, in one line; the help if nothing is."""
    from qperov.errors import AccountError
    from qperov.hardware.services.credentials import check_account, check_installed

    if context.invoked_subcommand is not None:
        return
    check_installed()
    try:
        check_account()
    except AccountError as error:
        typer.echo(f"{error}; qperov hardware --help")
        return
    typer.echo(context.get_help())


@app.command()
@screen.resumable(GO_ON)
def submit(
    plan: PlanArgument,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Let IBM check and time the first job without a machine; nothing is sent.")
    ] = False,
    ledger: LedgerPath = DEFAULT_LEDGER,
    service: ServiceOption = "",
) -> None:
    """Send the jobs of a plan; what was sent before is not sent again."""
    from qperov.commands.hardware.display import show
    from qperov.errors import HardwareError
    from qperov.hardware.jobs import jobs
    from qperov.hardware.services.ibm import IBMService

    with open_plan(plan, ledger, service, read_only=dry_run) as (found, opened, book):
        if dry_run:
            if not isinstance(opened, IBMService):
                raise HardwareError("a dry run is offered by IBM's service alone")
            seconds = jobs.dry_run(found, opened)
            expected = "it does not say how long" if seconds is None else f"{seconds:.0f} s of QPU time"
            typer.echo(f"job 1 of {len(found.chunks)} is taken; the service expects {expected}; nothing was sent")
            return
        show(jobs.submit(found, opened, book))
        elsewhere = "" if ledger == DEFAULT_LEDGER else f" --ledger {ledger}"
        elsewhere += f" --service {service}" if service else ""
        typer.echo(f"recorded in {ledger}: qperov hardware collect {found.plan_id}{elsewhere}")


@app.command()
def status(plan: PlanArgument, ledger: LedgerPath = DEFAULT_LEDGER, service: ServiceOption = "") -> None:
    """Tell where each job stands; nothing is changed."""
    from qperov.commands.hardware.display import show
    from qperov.hardware.jobs import jobs

    with open_plan(plan, ledger, service, read_only=True) as (found, opened, book):
        show(jobs.status(found, opened, book))


@app.command()
@screen.resumable(GO_ON)
def collect(
    plan: PlanArgument,
    out: Annotated[
        Path | None, typer.Option(help="File for the matrix or table, with its ids: .csv, .parquet or .npz; or .npy.")
    ] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for jobs that are not done.", min=0)] = 0.0,
    gamma: Annotated[float, typer.Option(help="Of a projected kernel.", min=0)] = 1.0,
    raw: Annotated[bool, typer.Option("--raw", help="Write the matrix without correction of the readout.")] = False,
    repair: Annotated[
        str | None, typer.Option(help="Write the matrix after one of the repairs that are listed.")
    ] = None,
    ledger: LedgerPath = DEFAULT_LEDGER,
    service: ServiceOption = "",
) -> None:
    """Fetch what is done; show what each correction changes, and what a regression makes of it.

    A matrix with entries that have not come is written with NaN in their places.
    """
    from qperov.commands.hardware.display import show_losses, show_matrices, show_missing, show_states
    from qperov.commands.hardware.matrices import check_ending, variants, write_matrix
    from qperov.hardware.jobs import jobs

    check_ending(out)
    with open_plan(plan, ledger, service) as (found, opened, book):
        results = jobs.collect(found, opened, book, wait)
    show_states(results)
    correction = "readout" if results.mitigated is not None and not raw else "raw"
    if found.kind == "autoencoder":
        show_losses(results)
        write_matrix(results.values(not raw), found, out, correction=correction)
        return
    if repair is None or not results.complete:
        # whatever becomes of the comparison
        write_matrix(results.matrix(not raw, gamma), found, out, correction=correction, gamma=gamma)
    if not results.complete:
        show_missing(results)
        return
    matrices = variants(results, gamma)
    show_matrices(results, matrices, gamma)
    if repair is not None:
        if repair not in matrices:
            raise typer.BadParameter(f"one of {', '.join(matrices)}", param_hint="--repair")
        write_matrix(matrices[repair], found, out, correction=repair, gamma=gamma)


@app.command()
@screen.resumable(GO_ON)
def resume(
    plan: PlanArgument,
    failed: Annotated[
        bool, typer.Option("--failed", help="Send again what failed, was cancelled or lost; it may cost again.")
    ] = False,
    ledger: LedgerPath = DEFAULT_LEDGER,
    service: ServiceOption = "",
) -> None:
    """Go on after an interruption: find what was sent and not recorded, send what was not sent."""
    from qperov.commands.hardware.display import show
    from qperov.hardware.jobs import jobs

    with open_plan(plan, ledger, service) as (found, opened, book):
        show(jobs.resume(found, opened, book, failed))


@app.command()
def cancel(plan: PlanArgument, ledger: LedgerPath = DEFAULT_LEDGER, service: ServiceOption = "") -> None:
    """Stop all jobs of a plan that have not ended."""
    from qperov.commands.hardware.display import show
    from qperov.hardware.jobs import jobs

    with open_plan(plan, ledger, service) as (found, opened, book):
        show(jobs.cancel(found, opened, book))
