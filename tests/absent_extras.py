"""A plugin for the core suite where no extra is installed: what asks for one is skipped, by its name.

    python -m pytest -p absent_extras -rs

Only the packages of `EXTRAS` may be absent; anything else that cannot be imported is an error, as always.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

#: By import name, what the extras and the tools of development bring.
EXTRAS = (
    "torch", "safetensors", "geddes", "pybaselines", "smact", "mp_api", "chgnet", "qiskit", "qiskit_aer",
    "qiskit_ibm_runtime", "pennylane", "qiskit_machine_learning", "dask", "distributed", "openqasm3", "quimb",
    "qiskit_qasm3_import", "zarr", "importlinter",
)  # fmt: skip

#: Tests that need an extra without an error that says so: a search takes it for a candidate that failed.
QUIET = {"test_a_grid_may_hold_words_and_numbers": "torch"}


def absent(error: BaseException | None) -> str:
    """The extra that an error, or what it came from, is about; or nothing."""
    while error is not None:
        name = (getattr(error, "name", None) or "").partition(".")[0]
        # a command that failed is told by what an assertion shows of its result
        text = name or f"{type(error).__name__}: {error}".partition("MissingDependencyError")[2]
        for extra in EXTRAS:
            if re.search(rf"(?i)\b{extra.replace('_', '[-_]')}\b", text) and find_spec(extra) is None:
                return extra
        error = error.__cause__ or error.__context__
    return ""


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[Any]:
    """A module that imports what is absent is skipped as a whole."""
    report = yield
    found = re.search(r"No module named '(\w+)", str(report.longrepr)) if report.outcome == "failed" else None
    if found and found[1] in EXTRAS and find_spec(found[1]) is None:
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, f"needs {found[1]}")
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[Any]:
    """A test, or one of its fixtures, that finds something absent is skipped."""
    report = yield
    if report.outcome == "failed" and call.excinfo is not None:
        quiet = QUIET.get(item.name.partition("[")[0], "")
        if extra := absent(call.excinfo.value) or (quiet if quiet and find_spec(quiet) is None else ""):
            report.outcome = "skipped"
            report.longrepr = (str(item.path), 0, f"needs {extra}")
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was skipped for want of what: whole modules, and tests."""
    found: dict[str, set[str]] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        if reason.startswith("needs "):
            found.setdefault(reason, set()).add(report.nodeid.removeprefix("tests/"))
    for reason, names in sorted(found.items()):
        terminalreporter.write_line(f"skipped, {reason}: {len(names)}: {', '.join(sorted(names))}")
