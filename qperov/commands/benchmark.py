"""``qperov benchmark``: the suite's models on many tasks, and one page with the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qperov.commands import screen
from qperov.commands.options import check_writable


@screen.resumable("the same command goes on with what is done")
def benchmark(
    tasks: Annotated[Path | None, typer.Argument(help="File of tasks (TOML); by default that of qperov.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small searches on few samples, one seed.")] = False,
    only: Annotated[str, typer.Option(help="Names of tasks, separated by commas; all if empty.")] = "",
    out: Annotated[Path, typer.Option("--out", help="Folder of records, page and tables.")] = Path(
        "qperov-runs/benchmark"
    ),
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Processes; −1 for all cores.")] = -1,
) -> None:
    """Compare quantum and classical models on many datasets under one protocol, and say what quantum kernels add.

    Tasks, seeds and planned questions stand in one file. A task that is done is not computed again; one that was
    stopped goes on with the folds that are done. The folder receives report.html, table.tex, benchmark.json, scores.csv
    and a record of each task.

    \b
    qperov benchmark --quick
    qperov benchmark my_tasks.toml --only films,perov5
    """
    from qperov.benchmarking.runs import benchmark as run

    check_writable(out, "--out")
    names = tuple(name.strip() for name in only.split(",") if name.strip())
    with screen.bar("Benchmark") as advance:
        verdict = run(tasks, quick=quick, only=names, out=out, n_jobs=jobs, progress=advance)
    screen.echo(verdict.answer)
    for row in verdict.planned.to_dict(orient="records")[1:]:
        screen.echo(
            f"{row['quantum']} against {row['classical']}: {row['outcome']} ({100 * row['difference']:+.1f} % of the "
            f"best constant's error, {row['datasets']} datasets)"
        )
    screen.echo(f"report: {out / 'report.html'}")
