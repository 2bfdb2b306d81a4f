"""How long work tells how far it has come."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called after each step as ``progress(done, total, what)``.

    ``done`` of ``total`` steps are finished (``total`` is None where nobody knows it), and ``what`` names the last one.
    """

    def __call__(self, done: int, total: int | None, what: str, /) -> None: ...
