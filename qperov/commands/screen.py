"""What the command line shows on the screen: progress, scores, and what was left out.

Imports stand inside the functions, so that ``qperov --help`` does not wait for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from qperov.errors import can_go_on, escape_controls

if TYPE_CHECKING:
    from qperov.evaluation.progress import Progress
    from qperov.evaluation.results import Comparison

#: So many entries that were left out are listed one by one on the screen.
FEW_ISSUES = 10


def echo(text: object, err: bool = False) -> None:
    """Print text that may hold names of files, safely."""
    typer.echo("\n".join(map(escape_controls, str(text).split("\n"))), err=err)


def as_options(text: str) -> str:
    """What `qperov.read` says of its arguments, in words of the options that a user types."""
    text = text.replace("convert needs", "--convert needs").replace("energy must", "--energy must")
    text = text.replace("id_columns", "--id-columns").replace("(target)", "(--target)")
    return text.replace("convert=", "--convert ").replace("with labels", "with --labels")


@contextmanager
def resumable(remedy: str) -> Iterator[None]:
    """Also as a decorator: tell a user who presses Ctrl-C, or whose disk is full, how to go on."""
    try:
        yield
    except BaseException as stop:
        if can_go_on(stop):
            stop.add_note(remedy)
        raise


@contextmanager
def status(what: str) -> Iterator[None]:
    """A spinner on standard error while something of unknown length goes on."""
    from rich.console import Console

    with Console(stderr=True).status(what + " …"), resumable(f"while {what[0].lower()}{what[1:]}"):
        yield


@contextmanager
def bar(what: str) -> Iterator[Progress]:
    """A progress bar on standard error, if that is a terminal; what it yields is called as progress(done, total, what).

    Interrupted, it says how far it came.
    """
    from qperov.evaluation.progress import bar as shown

    with shown(what, only_on_terminal=True) as advance:
        yield advance


def tell_issues(
    issues: Sequence[Exception],
    hint: str = "the run directory lists all of them in left_out.csv; `qperov describe --all` prints them",
    every: bool = False,
) -> None:
    """Entries that were left out, one by one if they are few, by kind if they are many; orphan labels last.

    ``hint`` says where a user finds all of them.
    """
    from qperov.errors import OrphanLabelError

    ordered = sorted(issues, key=lambda issue: isinstance(issue, OrphanLabelError))
    if every or len(ordered) <= FEW_ISSUES:
        for issue in ordered:
            echo(f"left out: {as_options(str(issue))} ({type(issue).__name__})", err=True)
        return
    kinds = Counter(type(issue) for issue in ordered)
    for kind, count in sorted(kinds.items(), key=lambda item: (item[0] is OrphanLabelError, -item[1])):
        first = next(issue for issue in ordered if type(issue) is kind)
        echo(f"left out: {count} × {kind.__name__}, first: {as_options(str(first))}", err=True)
    echo(hint, err=True)


def print_table(comparison: Comparison) -> None:
    """Scores by descriptor and planned questions, below what the labels are and the cautions on them."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from qperov.evaluation.problem import BASELINES
    from qperov.reports.words.answer import planned_lines
    from qperov.reports.words.findings import HEADINGS, interval
    from qperov.reports.words.introduction import class_counts

    label = comparison.label
    unit = label["unit"] or ""
    for sentence in label["provenance"]:
        _wrapped(f"labels: {sentence}")
    classes = bool(comparison.classes)
    if classes:
        _wrapped(f"{label['target']}: {'; '.join(class_counts(comparison))}")
    else:
        _wrapped(f"{label['target']}: mean {label['mean']:.6g}, standard deviation {label['sd']:.4g} {unit}")
    _wrapped(comparison.settings["split"])
    for warning in comparison.warnings:
        _wrapped(f"warning: {warning}", err=True)
    table = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption="out-of-fold scores with 95 % intervals by bootstrap over groups, without variation of the training; "
        + ("balanced error: 1 − balanced accuracy" if classes else "R² ≤: ceiling of the descriptor"),
    )
    shown = ("accuracy", "macro_f1") if classes else ("r2", "spearman")
    short = {"spearman": "ρ", "macro_f1": "F1"}
    headings = [short.get(name, HEADINGS[name]) for name in shown]
    for column in ("model", f"{HEADINGS[comparison.loss]} {unit}", *headings, "s"):
        table.add_column(column, justify="left" if column == "model" else "right", no_wrap=True)
    scores = comparison.table
    ceilings = comparison.descriptors.set_index("descriptor")["ceiling_r2"]
    for descriptor, rows in scores.groupby("descriptor", sort=False):
        if descriptor in ceilings:
            ceiling = "" if classes else f", R² ≤ {ceilings[descriptor]:.2f}"
            table.add_row(f"{descriptor}{ceiling}", style="bold")
        for _, row in rows.iterrows():
            table.add_row(
                BASELINES.get(row["model"], row["name"]),
                "{} [{}]".format(*interval(row, comparison.loss)),
                interval(row, shown[0])[0],
                "–" if row.kind == "baseline" else f"{row[shown[1]]:.2f}",
                f"{row.seconds:.1f}",
            )
        table.add_section()
    Console().print(table)
    for line in planned_lines(comparison):
        _wrapped(line)


def print_answer(comparison: Comparison, page: Path) -> None:
    """The finding in two sentences, and where the report is."""
    from qperov.reports.words.answer import answer

    found = answer(comparison)
    typer.echo()
    _wrapped(f"{found.lead} {found.constant}".strip())
    echo(f"report: {page}")


def _wrapped(text: str, err: bool = False) -> None:
    """Print a sentence in lines as wide as the terminal."""
    from rich.console import Console

    Console(stderr=err).print(escape_controls(text), markup=False, highlight=False, emoji=False)
