"""``qperov report``: the page of one run, or one page on several, from their records alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qperov.commands import screen
from qperov.errors import RecordError

if TYPE_CHECKING:
    from qperov.records.record import Record

#: Where the page on several runs goes by default.
SEVERAL = Path("comparison.html")


@screen.resumable("the page is as it was: the same command starts again")
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help=f"The page, or its folder; by default report.html in the run, {SEVERAL} here for several.",
        ),
    ] = None,
) -> None:
    """Rebuild the report of a run from its record alone, or compare several runs on one page.

    For several runs the page shows what differs between them, their models side by side, and paired tests of runs
    that share crystals, labels and folds. A directory without a valid record is reported and skipped.

    \b
    qperov report qperov-runs/demo-1
    qperov report qperov-runs/demo-1 qperov-runs/demo-2 --out comparison.html
    """
    from qperov.reports.html import build_report
    from qperov.reports.runs.page import compare_runs
    from qperov.reports.runs.sets import cautions, named_runs

    records, refused = _read(runs)
    page = _page(out, "report.html" if len(records) == 1 else SEVERAL.name)
    try:
        if page is not None:
            page.parent.mkdir(parents=True, exist_ok=True)
        with screen.status("Drawing"):
            if len(records) == 1:
                written = build_report(records[0], out=page)
            else:
                written = compare_runs(records, page or SEVERAL, left_out=refused)
    except OSError as error:
        where = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise RecordError(f"the page could not be written: {where}") from error
    if len(records) > 1:
        for caution in cautions(named_runs(records)):
            screen.echo(f"warning: {caution}", err=True)
    screen.echo(f"report: {written}")


def _read(runs: list[Path]) -> tuple[list[Record], list[str]]:
    """Records that can be read, each directory once, and why the others cannot; RecordError where none can."""
    from qperov.records.record import read_record

    once: dict[Path, Path] = {}
    for run in runs:
        once.setdefault(run.resolve(), run)
    records, refused = [], []
    for path in once.values():
        try:
            records.append(read_record(path))
        except (RecordError, OSError) as error:
            refused.append(str(error))
    if not records:
        raise RecordError(refused[0] if len(refused) == 1 else f"none of these is a run: {'; '.join(refused)}")
    for message in refused:
        screen.echo(f"left out: {message}", err=True)
    return records, refused


def _page(out: Path | None, name: str) -> Path | None:
    return out / name if out is not None and out.is_dir() else out
