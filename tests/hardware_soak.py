"""Kill a process at chosen lines of submit and collect, start it again, and tell what is left of it all.

    python tests/hardware_soak.py FOLDER POINTS SEED

prints JSON: for each point the number of jobs by content tag, and whether the matrix is that of an undisturbed run.
Lines are counted in the package's own files; the process ends itself by SIGKILL just before the line is executed, so
that nothing can be tidied up. Processes are forked from one that has loaded everything and computed nothing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from qperov_circuits import feature_map

import qperov.hardware
from qperov.hardware.jobs import jobs
from qperov.hardware.jobs.ledger import Ledger
from qperov.hardware.plan import cost, pairs
from qperov.hardware.plan.options import Options
from qperov.hardware.plan.plan import BackendSpec, Plan, Settings
from qperov.hardware.plan.plan_file import read_plan, write_plan
from qperov.hardware.plan.planning import plan_fidelities
from qperov.hardware.services.local import LocalService

PACKAGE = str(Path(qperov.hardware.__file__).parent)

#: Files whose lines count: those that decide about jobs, not those that compile and compute.
COUNTED = ("jobs.py", "asking.py", "ledger.py", "local.py", "service.py", "collected.py")


def main(folder: Path, points: int, seed: int) -> None:
    """Run once undisturbed, then once for each point."""
    cost.MAX_BINDINGS = 3
    child(lambda: make_plan(folder), folder)
    calm = run(folder, "calm", None)
    rng = np.random.default_rng(seed)
    lines = int((folder / "calm.lines").read_text())
    found = []
    for point in sorted(rng.choice(np.arange(1, lines), points, replace=False).tolist()):
        matrix = run(folder, f"point{point}", point)
        found.append({"point": point, "jobs": jobs_by_tag(folder, f"point{point}"), "equal": matrix == calm})
    print(json.dumps({"lines": lines, "tags": len(jobs_by_tag(folder, "calm")), "points": found}))


def make_plan(folder: Path) -> None:
    """Ten pairs in four jobs."""
    x = np.random.default_rng(3).normal(size=(5, 2))
    service = LocalService("aer", 0.02, 11)
    settings = Settings(50, Options(optimization_level=1, layout_trials=1))
    plan = plan_fidelities(feature_map("z").gates, x, pairs.full(5), service, BackendSpec("aer", 0.02, 11), settings)
    write_plan(plan, folder / "plan.json")


def run(folder: Path, name: str, point: int | None) -> list[list[float]]:
    """Submit and collect, killed at a line if one is given, then as often as it takes to complete."""
    killed = child(lambda: work(folder, name, point), folder)
    assert killed == (point is not None), f"{name}: the process was {'' if killed else 'not '}killed"
    if killed:
        assert not child(lambda: work(folder, name, None), folder)
    return json.loads((folder / f"{name}.matrix").read_text())


def work(folder: Path, name: str, point: int | None) -> None:
    """What the process does."""
    plan: Plan = read_plan(folder / "plan.json")
    with Ledger(folder / f"{name}.db") as ledger:
        service = LocalService("aer", 0.02, 11, folder / f"{name}-cloud.db")
        counted = Lines(point)
        sys.settrace(counted)
        jobs.submit(plan, service, ledger)
        found = jobs.collect(plan, service, ledger)
        sys.settrace(None)
    assert found.complete
    (folder / f"{name}.lines").write_text(str(counted.seen))
    (folder / f"{name}.matrix").write_text(json.dumps(found.matrix().tolist()))


class Lines:
    """Counts lines of the package, and kills the process before one of them."""

    def __init__(self, point: int | None) -> None:
        self.point = point
        self.seen = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        folder, name = os.path.split(frame.f_code.co_filename)
        return self.line if folder.startswith(PACKAGE) and name in COUNTED else None

    def line(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            self.seen += 1
            if self.seen == self.point:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.line


def jobs_by_tag(folder: Path, name: str) -> dict[str, int]:
    """How many jobs the service has accepted for each content tag."""
    service = LocalService("aer", path=folder / f"{name}-cloud.db")
    rows = service._connection.execute("SELECT tag FROM jobs").fetchall()
    service.close()
    return dict(Counter(tag for (tag,) in rows))


def child(work: Any, folder: Path) -> bool:
    """Whether a forked process that does some work was killed; any other end but a good one is an error."""
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    assert os.waitstatus_to_exitcode(status) == 0, "the process failed"
    return False


if __name__ == "__main__":
    # loaded once, before the first fork
    import qiskit_aer  # noqa: F401
    import qiskit_ibm_runtime.executor_sampler  # noqa: F401

    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
