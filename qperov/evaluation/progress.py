"""Progress of long work."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from itertools import count
from multiprocessing import parent_process
from typing import Any, Protocol, TypeVar

from qperov.errors import LongComputationWarning, can_go_on, escape_controls

Result = TypeVar("Result")

#: Seconds of work that is announced, and of work from which the rest is foretold.
LONG, PILOT = 60.0, 1.0


class Progress(Protocol):
    """Called after each step as ``progress(done, total, what)``.

    ``done`` of ``total`` steps are finished (``total`` is None where nobody knows it), and ``what`` names the last one.
    """

    def __call__(self, done: int, total: int | None, what: str, /) -> None: ...


@contextmanager
def callback_or_bar(progress: Progress | bool | None, what: str) -> Iterator[Progress | None]:
    """What is told of the steps of ``what``: a callback that was given, a `bar`, or nothing.

    Parameters
    ----------
    progress : Progress, bool or None
        True for a bar, False for none; None for a bar at a Python prompt and in a notebook, and none in a script.
    what : str
        Stands before the bar until the first step is done.
    """
    if progress is None:
        progress = hasattr(sys, "ps1")  # a prompt, IPython's and a notebook's included
    if not isinstance(progress, bool):
        yield progress
    elif progress:
        with bar(what) as advance:
            yield advance
    else:
        yield None


@contextmanager
def bar(what: str, *, only_on_terminal: bool = False) -> Iterator[Progress]:
    """A progress bar on standard error. Interrupted, the exception notes how far it came.

    Parameters
    ----------
    what : str
    only_on_terminal : bool
        No bar where standard error goes to a file.
    """
    from rich import progress as rich
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column

    text = rich.TextColumn("{task.description}", table_column=Column(max_width=50, no_wrap=True))  # paths may be long
    columns: list[Any] = [text, rich.BarColumn(), rich.MofNCompleteColumn(), rich.TimeRemainingColumn()]
    console = Console(stderr=True)
    if console.is_jupyter and find_spec("ipywidgets") is None:  # rich would ask for it; text does as well
        console = Console(stderr=True, force_jupyter=False, force_terminal=True)
    with rich.Progress(*columns, console=console, disable=only_on_terminal and not console.is_terminal) as shown:
        task = shown.add_task(what, total=None)
        reached = "nothing done yet"

        def advance(done: int, total: int | None, detail: str, /) -> None:
            nonlocal reached
            reached = f"{done} done" if total is None else f"{done} of {total} done"
            shown.update(task, completed=done, total=total, description=escape(escape_controls(detail or what)))

        try:
            yield advance
        except BaseException as stop:
            if can_go_on(stop):
                stop.add_note(f"{what}: {reached}")
            raise


@contextmanager
def progress_bar(total: int, show: bool) -> Iterator[Callable[[float], None]]:
    """A bar of training on standard error; call what it yields with the loss after each of its ``total`` steps."""
    if not show:
        yield lambda loss: None
        return
    steps = count(1)
    with bar("training") as advance:
        yield lambda loss: advance(next(steps), total, f"loss {loss:.3e}")


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
    whole, done, before = sum(costs), 0.0, 0.0
    started, told, shown = time.perf_counter(), False, None
    with ExitStack() as stack:
        for result, cost in zip(steps, costs, strict=True):
            if n_jobs > 1 and not done:  # the start of other processes says nothing of the work
                started, before = time.perf_counter(), cost
            done += cost
            seconds = time.perf_counter() - started
            expected = seconds * (whole - before) / max(done - before, cost)
            if not told and seconds >= PILOT and done < whole and expected > LONG:
                duration = f"{expected / 60:.2g} minutes" if expected < 3600 else f"{expected / 3600:.2g} hours"
                warnings.warn(f"{what} takes about {duration}: {ways_out}", LongComputationWarning, stacklevel=3)
                told = True
                if parent_process() is None:
                    shown = stack.enter_context(bar(what, only_on_terminal=True))
            if shown is not None:
                shown(round(100 * done / whole), 100, f"{what}, %")
            yield result
