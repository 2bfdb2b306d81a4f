"""Kill a process at chosen lines of submit and collect, start it again, and tell what is left of it all.

    python tests/hardware_soak.py SERVICE FOLDER POINTS SEED

prints JSON: for each point the number of jobs by content tag, and whether the matrix is that of an undisturbed run.
SERVICE is "simulator", "ibm" (the service of IBM's machines, whose cloud is played by a file) or "qiskit" (a backend
that gives jobs back by their ids). Lines are counted in the package's own files; the process ends itself by SIGKILL
just before the line is executed, so that nothing can be tidied up. Processes are forked from one that has loaded
everything and computed nothing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections import Counter
from pathlib import Path
from types import FrameType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from misbehaving_backend import Job, MisbehavingBackend
from qiskit_ibm_runtime.exceptions import RuntimeJobNotFound
from qperov_circuits import feature_map

import qperov.hardware
from qperov.hardware.jobs import jobs
from qperov.hardware.jobs.ledger import Ledger
from qperov.hardware.plan import cost, pairs
from qperov.hardware.plan.options import Options
from qperov.hardware.plan.plan import BackendSpec, Plan, Settings
from qperov.hardware.plan.plan_file import read_plan, write_plan
from qperov.hardware.plan.planning import plan_fidelities
from qperov.hardware.services import ibm
from qperov.hardware.services.ibm import IBMService
from qperov.hardware.services.local import LocalJob, LocalService
from qperov.hardware.services.qiskit_backend import QiskitService
from qperov.hardware.services.service import Service

PACKAGE = str(Path(qperov.hardware.__file__).parent)

#: Files whose lines count: those that decide about jobs, not those that compile and compute.
COUNTED = (
    "jobs.py",
    "calls.py",
    "ledger.py",
    "results.py",
    "service.py",
    "local.py",
    "ibm.py",
    "qiskit_backend.py",
)


def main(service: str, folder: Path, points: int, seed: int) -> None:
    """Run once undisturbed, then once for each point."""
    cost.MAX_BINDINGS = 3
    child(lambda: make_plan(service, folder), folder)
    calm, _ = run(service, folder, "calm", None)
    rng = np.random.default_rng(seed)
    lines = int((folder / "calm.lines").read_text())
    found = []
    for point in sorted(rng.choice(np.arange(1, lines), points, replace=False).tolist()):
        matrix, told = run(service, folder, f"point{point}", point)
        sent = jobs_by_tag(service, folder, f"point{point}")
        found.append({"point": point, "jobs": sent, "equal": matrix == calm, "told": told})
    tags = len(jobs_by_tag(service, folder, "calm"))
    print(json.dumps({"lines": lines, "tags": tags, "points": found}))


def opened(service: str, folder: Path, name: str) -> tuple[Service, BackendSpec]:
    """The service, with its jobs in files of a run."""
    cloud = LocalService("aer", 0.02, 11, folder / f"{name}-cloud.db")
    if service == "simulator":
        return cloud, BackendSpec("aer", 0.02, 11)
    if service == "ibm":
        return IBMService("ibm_played", PlayedCloud(cloud)), BackendSpec("ibm_played")
    sys.modules["played"] = ModuleType("played")
    sys.modules["played"].factory = lambda: PlayedBackend(folder / f"{name}-jobs")  # type: ignore[attr-defined]
    spec = BackendSpec("played", None, None, "qiskit:played.factory")
    return QiskitService(spec.service, folder / f"{name}-cloud.db"), spec


class PlayedCloud:
    """Stands for ``QiskitRuntimeService``: its jobs are those of a simulator in a file."""

    def __init__(self, cloud: LocalService) -> None:
        self.cloud = cloud
        ibm.run_sampler = lambda mode, request, options: PlayedJob(cloud._accept(request))

    def backend(self, name: str) -> Any:
        return self.cloud.backend(2)

    def job(self, job_id: str) -> Any:
        found = self.cloud.find(job_id=job_id)
        if not found:
            raise RuntimeJobNotFound(job_id)
        return PlayedJob(found[0])

    def jobs(self, *, job_tags: list[str], **options: Any) -> list[Any]:
        return [PlayedJob(job) for job in self.cloud.find(tag=job_tags[0])]


class PlayedJob:
    """Stands for a job of qiskit-ibm-runtime."""

    def __init__(self, job: LocalJob) -> None:
        self._job = job
        self.job_id, self.status, self.cancel = job.job_id, job.status, job.cancel
        self.usage, self.error_message = job.usage, job.error_message

    def result(self) -> Any:
        return [SimpleNamespace(data=SimpleNamespace(outcome=SimpleNamespace(array=a))) for a in self._job.result()]


class PlayedBackend(MisbehavingBackend):
    """A backend of Qiskit whose jobs lie in a folder; equal circuits give equal counts."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def run(self, run_input: Any, **options: Any) -> Any:
        job = super().run(run_input, **options)
        counts = job.result().get_counts()
        temporary = self.folder / f".{job.job_id()}"
        temporary.write_text(json.dumps({"first": sorted(counts[0].items()), "counts": counts}))
        temporary.rename(self.folder / job.job_id())
        return job

    def retrieve_job(self, job_id: str) -> Any:
        return Job(self, job_id, json.loads((self.folder / job_id).read_text())["counts"])


def make_plan(service: str, folder: Path) -> None:
    """Ten pairs in four jobs."""
    x = np.random.default_rng(3).normal(size=(5, 2))
    found, spec = opened(service, folder, "plan")
    settings = Settings(50, Options(optimization_level=1, layout_trials=1))
    plan = plan_fidelities(feature_map("z").gates, x, pairs.full(5), found, spec, settings)
    write_plan(plan, folder / "plan.json")


def run(service: str, folder: Path, name: str, point: int | None) -> tuple[list[list[float]], list[str]]:
    """The matrix of submit and collect, killed at a line if one is given, then as often as it takes; what was told."""
    killed = child(lambda: work(service, folder, name, point), folder)
    assert killed == (point is not None), f"{name}: the process was {'' if killed else 'not '}killed"
    if killed:
        assert not child(lambda: work(service, folder, name, None), folder)
    found = json.loads((folder / f"{name}.matrix").read_text())
    return found["matrix"], found["told"]


def work(service: str, folder: Path, name: str, point: int | None) -> None:
    """What the process does; a job that may have been sent is sent again only when that was told."""
    plan: Plan = read_plan(folder / "plan.json")
    told = []
    with Ledger(folder / f"{name}.db") as ledger:
        found, _ = opened(service, folder, name)
        counted = Lines(point)
        sys.settrace(counted)
        jobs.submit(plan, found, ledger)
        results = jobs.collect(plan, found, ledger)
        sys.settrace(None)
        if not results.complete:
            told = [str(attempt.error) for attempt in ledger.attempts(plan.plan_id) if attempt.state == "failed"]
            jobs.resume(plan, found, ledger, failed=True)
            results = jobs.collect(plan, found, ledger)
    assert results.complete
    (folder / f"{name}.lines").write_text(str(counted.seen))
    (folder / f"{name}.matrix").write_text(json.dumps({"matrix": results.matrix().tolist(), "told": told}))


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


def jobs_by_tag(service: str, folder: Path, name: str) -> dict[str, int]:
    """How many jobs the service has accepted for each content: its tag, or its circuits as their counts tell them."""
    if service == "qiskit":
        files = (folder / f"{name}-jobs").iterdir()
        return dict(Counter(json.dumps(json.loads(file.read_text())["first"]) for file in files))
    cloud = LocalService("aer", path=folder / f"{name}-cloud.db")
    rows = cloud._connection.execute("SELECT tag FROM jobs").fetchall()
    cloud.close()
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
        except BaseException:
            traceback.print_exc()
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

    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
