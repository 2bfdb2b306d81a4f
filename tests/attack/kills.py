"""Processes that are killed at random moments, alone or two at once, and started again.

    PYTHONPATH=tests python -m attack --cases 0 --kills 200

Processes are forked from one that has loaded everything and computed nothing, so that the moments lie in the work.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attack.targets import TARGETS, Items, Target

#: Times that one run is started to be killed, and tries that find it done before, after which something is wrong.
STARTS, TRIES = 3, 40
#: What must be zero.
FAULTS = ("lost", "doubled", "different")


def kill_all(n: int, seed: int, done: list[dict]) -> Iterator[dict]:
    """Kill each target until all kills with those done are n: a row for each run, which may be killed several times."""
    share = [n // len(TARGETS) + (i < n % len(TARGETS)) for i in range(len(TARGETS))]
    for (name, target), kills in zip(TARGETS.items(), share, strict=True):
        rows = [row for row in done if row["name"] == name]
        left = kills - sum(row["kills"] for row in rows)
        if left > 0:
            yield from kill(name, target, left, seed, first=len(rows))


def kill(name: str, target: Target, n: int, seed: int = 0, first: int = 0) -> Iterator[dict]:
    """Rows on as many runs as it takes for n kills, every other one with two processes at once.

    Each run is killed and started again until it ends, and what it leaves is compared with an undisturbed one.
    """
    expected, duration = _undisturbed(name, target)
    kills = vain = 0
    while kills < n:
        rng = random.Random(f"{name} {seed} {first}")
        two = bool((first - vain) % 2)
        with tempfile.TemporaryDirectory() as folder_name:
            row = _killed_run(target, Path(folder_name), rng, two, duration, n - kills, expected)
        if not row["kills"]:
            duration *= 0.7  # measured while the machine was busy
            vain += 1
            assert vain < TRIES, f"{name} ends before it is killed"
        first += 1
        kills += row["kills"]
        yield {"name": name, "two": two} | row


def _killed_run(
    target: Target, folder: Path, rng: random.Random, two: bool, duration: float, most: int, expected: dict
) -> dict:
    """One run: started and killed a few times, then left alone."""
    _ended(_fork(lambda: target.prepare(folder)))
    began = time.monotonic()
    kills = starts = ended = 0
    for _ in range(STARTS):
        left = max(0.1, 1 - (time.monotonic() - began) / duration) * duration
        processes = [_fork(lambda: target.work(folder)) for _ in range(1 + two)]
        starts += len(processes)
        moments = sorted((rng.uniform(0.02, 0.98) * left, process) for process in processes)
        if two and rng.random() < 0.5:
            moments = moments[:1]  # the other goes on alone, or has said that it is the second
        since = time.monotonic()
        for moment, process in moments:
            time.sleep(max(0.0, since + moment - time.monotonic()))
            if kills < most:
                os.kill(process, signal.SIGKILL)
        codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
        fallen = codes.count(-signal.SIGKILL)
        kills += fallen
        ended += codes.count(0)
        if not fallen or kills >= most:
            break
    starts += 1
    ended += _ended(_fork(lambda: target.work(folder)))
    found = _results(target, folder)
    faults = compared(found, expected, target.tolerance)
    if target.one_each:
        faults["lost"] += max(0, ended - sum(map(len, found.values())))
    seconds = round(time.monotonic() - began, 1)
    return {"kills": kills, "started": starts, "ended": ended} | faults | {"seconds": seconds}


def compared(found: dict[str, list[Items]], expected: dict[str, list[Items]], tolerance: float = 0.0) -> dict[str, int]:
    """How many things are lost, doubled or different, in all results on all tasks."""
    faults = Counter(dict.fromkeys(FAULTS, 0))
    faults["different"] += len(found.keys() - expected.keys())
    for task, (whole,) in expected.items():
        values = dict(map(tuple, whole))
        results = found.get(task, [])
        faults["lost"] += 0 if results else len(values)
        for result in results:
            times = Counter(name for name, _ in result)
            faults["lost"] += len(values.keys() - times.keys())
            faults["doubled"] += sum(times.values()) - len(times)
            faults["different"] += sum(
                name not in values or not _equal(v, values[name], tolerance) for name, v in result
            )
    return dict(faults)


def _equal(a: Any, b: Any, tolerance: float) -> bool:
    if a == b or not (tolerance and isinstance(a, list) and isinstance(b, list) and len(a) == len(b)):
        return bool(a == b)
    return all(isinstance(x, float) for x in (*a, *b)) and bool(np.allclose(a, b, rtol=0, atol=tolerance))


def table(rows: Sequence[dict]) -> str:
    """Markdown, one row a target."""
    lines = ["| killed | kills | of two at once | runs | starts | lost | doubled | different |", "|---" * 8 + "|"]
    for name in [*dict.fromkeys(row["name"] for row in rows), ""]:
        own = [row for row in rows if name in ("", row["name"])]
        of_two = sum(row["kills"] for row in own if row["two"])
        counts = [sum(row["kills"] for row in own), of_two, len(own), sum(row["started"] for row in own)]
        counts += [sum(row[fault] for row in own) for fault in FAULTS]
        lines.append(f"| {name or 'all'} | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)


# --- processes ------------------------------------------------------------------------------------


def _undisturbed(name: str, target: Target) -> tuple[dict[str, list[Items]], float]:
    """What a run leaves that nobody kills, and its seconds; this process then has all that it loads."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        for folder in map(Path, (first, second)):
            assert _ended(_fork(lambda folder=folder: target.prepare(folder))), f"{name} cannot be prepared"
            started = time.monotonic()
            modules = _heard(lambda folder=folder: _modules_of(target, folder))
            duration = time.monotonic() - started
            assert modules, f"{name} does not even end undisturbed"
            for module in json.loads(modules):
                with contextlib.suppress(Exception):
                    importlib.import_module(module)
        results, again = (_results(target, Path(folder)) for folder in (first, second))
    assert not any(compared(results, again, target.tolerance).values()), f"{name} gives other results each time"
    return results, duration


def _modules_of(target: Target, folder: Path) -> str:
    """The modules that the work loads, as JSON, after it is done."""
    target.work(folder)
    return json.dumps([name for name in sys.modules if not name.startswith("_")])


def _results(target: Target, folder: Path) -> dict[str, list[Items]]:
    """What a process that only looks finds, so that this one stays as it is."""
    return json.loads(_heard(lambda: json.dumps(target.results(folder))) or "{}")


def _fork(work: Callable[[], None]) -> int:
    """A process that does some work in silence."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
            work()
            status = 0
        finally:
            os._exit(status)
    return process


def _ended(process: int) -> bool:
    """Whether a process ended well."""
    return os.waitpid(process, 0)[1] == 0


def _heard(speak: Callable[[], str]) -> str:
    """What a process of its own has to say."""
    reading, writing = os.pipe()

    def answer() -> None:
        with os.fdopen(writing, "w") as stream:
            stream.write(speak())

    process = _fork(answer)
    os.close(writing)
    with os.fdopen(reading) as stream:
        told = stream.read()
    os.waitpid(process, 0)
    return told
