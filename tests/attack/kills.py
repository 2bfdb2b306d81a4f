"""Processes that are killed at random moments, alone or two at once, and started again."""

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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attack.inputs import crystals, poscar

Work = Callable[[Path], None]


@dataclass(frozen=True)
class Target:
    """What is killed.

    Attributes
    ----------
    prepare : callable
        Fills the folder that the work starts from.
    work : callable
        What a process does; called again it must go on.
    outcome : callable
        What is left, in plain values that are equal for equal results.
    """

    prepare: Work
    work: Work
    outcome: Callable[[Path], Any]


def command(*arguments: object) -> None:
    """The command line, in this process."""
    from qperov.commands.main import main

    sys.argv = ["qperov", *map(str, arguments)]
    with contextlib.suppress(SystemExit):
        main()


def _crystals(folder: Path, n: int) -> None:
    rows = ["id,energy"]
    for i, structure in enumerate(crystals(n)):
        (folder / f"crystals/c{i}").mkdir(parents=True)
        (folder / f"crystals/c{i}/POSCAR").write_bytes(poscar(structure))
        rows.append(f"c{i},{np.sin(i) / 10 - 3:.9f}")
    (folder / "crystals/labels.csv").write_text("\n".join(rows) + "\n")


def _compare(folder: Path) -> None:
    options = ["--labels", folder / "crystals/labels.csv", "--target", "energy", "--quick", "--folds", 3, "--jobs", 1]
    command("compare", folder / "crystals", *options, "--studies", "", "--runs", folder / "runs")


def _compared(folder: Path) -> Any:
    import qperov

    newest = max(folder.glob("runs/*/record.json"), key=lambda file: file.stat().st_mtime).parent
    predictions = qperov.read_record(newest).comparison.predictions
    return [sorted(map(str, predictions.columns)), predictions.select_dtypes("number").to_numpy().tolist()]


def _import(folder: Path) -> None:
    options = ["--labels", folder / "crystals/labels.csv", "--target", "energy", "--store", folder / "s.db"]
    command("data", "import", folder / "crystals", *options, "--name", "salts")


def _imported(folder: Path) -> Any:
    from qperov.datasets.store import Store

    with Store(folder / "s.db") as store:
        return store.load("salts").fingerprint


def _alloys(folder: Path) -> None:
    from test_label_factory import alloys, stored

    stored(folder / "s.db", alloys(6))


def _relax(folder: Path) -> None:
    from test_label_factory import PROTOCOL

    from qperov.potentials.label_factory import label_dataset

    label_dataset(folder / "s.db", "alloys", PROTOCOL)


def _relaxed(folder: Path) -> Any:
    from test_label_factory import rows

    return [[row[0], row[1], *row[4:6]] for row in rows(folder / "s.db")]


def _plan(folder: Path) -> None:
    from hardware_soak import make_plan

    make_plan(folder)


def _submit(folder: Path) -> None:
    from hardware_soak import work

    work(folder, "run", None)


def _collected(folder: Path) -> Any:
    from hardware_soak import jobs_by_tag

    return [json.loads((folder / "run.matrix").read_text()), sorted(jobs_by_tag(folder, "run").items())]


def _nothing(folder: Path) -> None:
    pass


def _gram(folder: Path) -> None:
    from qperov.quantum.kernels.fidelity import FidelityKernel
    from qperov.quantum.kernels.gram_file import write_gram

    write_gram(
        FidelityKernel(bandwidth=0.3), np.random.default_rng(0).normal(size=(400, 6)), folder / "K.npy", block=25
    )


def _matrix(folder: Path) -> Any:
    matrix = np.load(folder / "K.npy")  # a process that starts in the middle adds up in another order: 2e-16 apart
    return np.rint(matrix * 1e6).astype(int).tolist()


TARGETS = {
    "compare": Target(lambda folder: _crystals(folder, 24), _compare, _compared),
    "data import": Target(lambda folder: _crystals(folder, 120), _import, _imported),
    "relax": Target(_alloys, _relax, _relaxed),
    "hardware": Target(_plan, _submit, _collected),
    "write_gram": Target(_nothing, _gram, _matrix),
}


def kill_all(n: int, done: list[dict]) -> Iterator[dict]:
    """Kill each target as often as is left to do; a row for each kill."""
    for name, target in TARGETS.items():
        before = sum(row["name"] == name for row in done)
        if before < n:
            yield from kill(name, target, n - before, seed=before)


def kill(name: str, target: Target, n: int, seed: int = 0) -> Iterator[dict]:
    """Rows on n kills, spread over as many runs as it takes, each run compared with an undisturbed one."""
    rng = random.Random(f"{name} {seed}")
    with tempfile.TemporaryDirectory() as name_of_calm:
        calm = Path(name_of_calm)
        _finish(lambda: target.prepare(calm))
        modules = _heard(lambda: _modules_of(target, calm))
        assert modules, f"{name} does not even end undisturbed"
        for module in json.loads(modules):
            with contextlib.suppress(Exception):
                importlib.import_module(module)
        expected = _told(target, calm)
    kills = 0
    while kills < n:
        with tempfile.TemporaryDirectory() as folder_name:
            folder = Path(folder_name)
            _finish(lambda folder=folder: target.prepare(folder))
            two = bool(rng.getrandbits(1))
            started = time.monotonic()
            fallen = 0
            duration = _duration(target)
            for _ in range(min(3, n - kills)):
                processes = [_fork(lambda folder=folder: target.work(folder)) for _ in range(1 + two)]
                time.sleep(rng.uniform(0.02, 0.95) * duration)
                fallen += _killed(processes[0])
                for process in processes[1:]:
                    os.waitpid(process, 0)  # it goes on alone, or has said that it is the second
            _finish(lambda folder=folder: target.work(folder))
            equal = _told(target, folder) == expected
            seconds = round(time.monotonic() - started, 1)
        rows = max(fallen, 1)
        for _ in range(min(rows, n - kills)):
            yield {"name": name, "two": two, "equal": equal, "seconds": seconds}
        kills += rows


_DURATIONS: dict[int, float] = {}


def _duration(target: Target) -> float:
    """Seconds that an undisturbed process takes."""
    if id(target) not in _DURATIONS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _finish(lambda: target.prepare(folder))
            started = time.monotonic()
            _finish(lambda: target.work(folder))
            _DURATIONS[id(target)] = time.monotonic() - started
    return _DURATIONS[id(target)]


def _fork(work: Callable[[], None]) -> int:
    """A process in a group of its own that does some work in silence."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            os.setpgid(0, 0)
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
            work()
            status = 0
        finally:
            os._exit(status)
    return process


def _finish(work: Callable[[], None]) -> None:
    os.waitpid(_fork(work), 0)


def _killed(process: int) -> bool:
    """Whether a process still ran when it was to be killed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(process, 0)[1])


def _told(target: Target, folder: Path) -> Any:
    """What a process that only looks finds, so that this one stays as it is."""
    return _heard(lambda: json.dumps(target.outcome(folder))) or f"nothing in {folder}"


def _modules_of(target: Target, folder: Path) -> str:
    """The modules that the work loads, as JSON, after it is done."""
    target.work(folder)
    return json.dumps([name for name in sys.modules if not name.startswith("_")])


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
