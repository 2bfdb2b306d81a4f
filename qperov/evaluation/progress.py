"""Progress of long work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


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
