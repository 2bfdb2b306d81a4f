"""What every command about a plan starts with: the plan, its service and the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qperov.hardware.jobs.ledger import Ledger
    from qperov.hardware.plan.plan import Plan
    from qperov.hardware.services.service import Service

LedgerPath = Annotated[Path, typer.Option("--ledger", help="File that every step is written into.")]
PlanArgument = Annotated[str, typer.Argument(metavar="PLAN", help="A plan file, or the id of a plan in the ledger.")]
DEFAULT_LEDGER = Path("qperov-hardware.db")
GO_ON = "what was sent is in the ledger: `qperov hardware resume` goes on, and sends nothing twice"


@contextmanager
def open_plan(plan: str, ledger: Path, service: str, read_only: bool = False) -> Iterator[tuple[Plan, Service, Ledger]]:
    """The plan of a file or of the ledger, its service, and the ledger; read-only, a new ledger is not written."""
    from contextlib import closing

    from qperov.errors import HardwareError
    from qperov.hardware.jobs.backend import open_service
    from qperov.hardware.jobs.ledger import Ledger
    from qperov.hardware.plan.plan_file import read_plan
    from qperov.hardware.services.credentials import check_installed

    check_installed(service)
    is_file = Path(plan).is_file()
    if not is_file and (Path(plan).suffix or len(Path(plan).parts) > 1):
        raise HardwareError(f"there is no plan file {plan}: write one with `qperov hardware plan`")
    if not is_file and not ledger.exists():
        raise HardwareError(f"there is no plan file {plan}, and no ledger {ledger} that could hold a plan of that id")
    nothing_yet = read_only and not ledger.exists()
    with Ledger(":memory:" if nothing_yet else ledger, read_only=read_only and not nothing_yet) as book:
        found = read_plan(plan) if is_file else book.plan(plan)
        with closing(open_service(found.backend, ":memory:" if nothing_yet else ledger, service)) as opened:
            try:
                yield found, opened, book
            except KeyboardInterrupt as stop:
                states = Counter(attempt.state for attempt in book.attempts(found.plan_id))
                told = ", ".join(f"{count} of {states.total()} jobs {state}" for state, count in states.items())
                stop.add_note(told or "no job sent")
                raise
