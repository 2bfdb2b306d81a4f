"""Progress of long work."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing import parent_process
from typing import Protocol, TypeVar

from qperov.errors import LongComputationWarning

Result = TypeVar("Result")

#: Seconds of work that is announced, and of work from which the rest is foretold.
LONG, PILOT = 60.0, 1.0


class Progress(Protocol):
    """Called after each step as ``progress(done, total, what)``.

    ``done`` of ``total`` steps are finished (``total`` is None where nobody knows it), and ``what`` names the last one.
    """

    def __call__(self, done: int, total: int | None, what: str, /) -> None: ...


@contextmanager
def progress_bar(total: int, show: bool) -> Iterator[Callable[[float], None]]:
    """A bar of training on standard error; call what it yields with the loss after each of its ``total`` steps."""
    if not show:
        yield lambda loss: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("training", total=total)
        yield lambda loss: bar.update(task, advance=1, description=f"loss {loss:.3e}")


def announced(
    steps: Iterable[Result], costs: Sequence[float], what: str, ways_out: str, n_jobs: int = 1
) -> Iterator[Result]:
    """Results of steps of work; where all take over a minute, a LongComputationWarning says so as soon as it is known.

    From then on a bar shows on standard error, if that is a terminal.

    Parameters
    ----------
    steps : iterable
        Each result is computed when it is asked for.
    costs : sequence of float
        How long each step takes, in any unit.
    what, ways_out : str
        What takes long, with its size, and what takes less.
    n_jobs : int
        Steps that are worked on at once.
    """
    whole, done, ahead = sum(costs), 0.0, (n_jobs - 1) * (costs[0] if len(costs) else 0)
    started, shown = time.perf_counter(), None
    with ExitStack() as stack:
        for result, cost in zip(steps, costs, strict=True):
            done += cost
            seconds = time.perf_counter() - started
            expected = seconds * whole / min(whole, done + ahead)
            if shown is None and seconds >= PILOT and done < whole and expected > LONG:
                duration = f"{expected / 60:.2g} minutes" if expected < 3600 else f"{expected / 3600:.2g} hours"
                warnings.warn(f"{what} takes about {duration}: {ways_out}", LongComputationWarning, stacklevel=3)
                shown = stack.enter_context(_bar_of_shares(what))
            if shown is not None:
                shown(done / whole)
            yield result


@contextmanager
def _bar_of_shares(what: str) -> Iterator[Callable[[float], None]]:
    """A bar on standard error; call what it yields with the share that is done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    hidden = parent_process() is not None or not console.is_terminal
    with Progress(*columns, console=console, disable=hidden, transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda share: bar.update(task, completed=share)
