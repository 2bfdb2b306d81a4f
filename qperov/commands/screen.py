"""What the command line shows on the screen: progress, scores, and what was left out.

Imports stand inside the functions, so that ``qperov --help`` does not wait for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from qperov.datasets.dataset import CrystalDataset
    from qperov.evaluation.results import Comparison

#: So many entries that were left out are listed one by one on the screen.
FEW_ISSUES = 10


@contextmanager
def status(what: str) -> Iterator[None]:
    """A spinner on standard error while something of unknown length goes on."""
    from rich.console import Console

    with Console(stderr=True).status(what + " …"):
        yield


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int | None, str], None]]:
    """A progress bar on standard error, if that is a terminal; call what it yields with (done, total, detail)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)

        def advance(done: int, total: int | None, detail: str) -> None:
            progress.update(task, completed=done, total=total, description=detail or what)

        yield advance


def tell_issues(dataset: CrystalDataset) -> None:
    """Entries that were left out, one by one if they are few, by kind if they are many."""
    if len(dataset.issues) <= FEW_ISSUES:
        for issue in dataset.issues:
            typer.echo(f"left out: {issue} ({type(issue).__name__})", err=True)
        return
    kinds = Counter(type(issue).__name__ for issue in dataset.issues)
    for kind, count in kinds.most_common():
        first = next(issue for issue in dataset.issues if type(issue).__name__ == kind)
        typer.echo(f"left out: {count} × {kind}, first: {first}", err=True)
    typer.echo("the run directory lists all of them in left_out.csv; `qperov describe --all` prints them", err=True)


def print_table(comparison: Comparison) -> None:
    """Scores by descriptor, below what the labels are and what a reader must mind."""
    from rich.console import Console
    from rich.table import Table

    from qperov.reports.words.findings import interval

    label = comparison.label
    unit = label["unit"] or ""
    for sentence in label["provenance"]:
        typer.echo(f"labels: {sentence}")
    typer.echo(f"{label['target']}: mean {label['mean']:.6g}, standard deviation {label['sd']:.4g} {unit}")
    typer.echo(comparison.settings["split"])
    for warning in comparison.warnings:
        typer.echo(f"warning: {warning}", err=True)
    table = Table(
        caption="out-of-fold scores with 95 % intervals by bootstrap over groups; R² ≤: ceiling of the descriptor"
    )
    for column in ("model", f"MAE {unit}", "R²", "ρ", "s"):
        table.add_column(column, justify="left" if column == "model" else "right")
    scores = comparison.table
    ceilings = comparison.descriptors.set_index("descriptor")["ceiling_r2"]
    for descriptor, rows in scores.groupby("descriptor", sort=False):
        if descriptor in ceilings:
            table.add_row(f"{descriptor}, R² ≤ {ceilings[descriptor]:.2f}", style="bold")
        for _, row in rows.iterrows():
            table.add_row(
                row.model.removesuffix(f" · {descriptor}").removesuffix(" of the training labels"),
                " ".join(interval(row, "mae")),
                " ".join(interval(row, "r2")),
                "–" if row.kind == "baseline" else f"{row.spearman:.2f}",
                f"{row.seconds:.1f}",
            )
        table.add_section()
    Console().print(table)
