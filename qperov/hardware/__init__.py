"""Quantum machines: what a run costs, its submission, its survival, its results.

One way through: a `measurement` (circuit and bindings) is compiled and priced into a `plan`; `jobs` submits it through
a `service` (IBM's, or a simulator on this machine) and writes each step into the `ledger` before and after it is taken;
what is collected are `counts`, and from them kernel entries, Bloch vectors or losses. A `backend` does all of it at
once for a kernel.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qperov.hardware.jobs.backend import Backend
    from qperov.hardware.plan.options import Options

__all__ = ["Backend", "Options"]


def __getattr__(name: str) -> Any:
    # the command line imports this package before it knows whether numpy and Qiskit are needed at all
    if name not in __all__:
        raise AttributeError(f"module 'qperov.hardware' has no attribute {name!r}")
    return getattr(import_module(f"qperov.hardware.{'jobs' if name == 'Backend' else 'plan'}.{name.lower()}"), name)
