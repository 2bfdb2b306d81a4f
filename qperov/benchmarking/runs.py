"""Every model on every task with every seed, one record each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qperov.benchmarking.contrasts import contrasts
from qperov.benchmarking.page import write_verdict
from qperov.benchmarking.task_records import FORMAT, TaskRecord, is_current, read_task_record, record_of
from qperov.benchmarking.task_records import write_task_record as write
from qperov.benchmarking.tasks import BenchmarkTask, Protocol, read_protocol
from qperov.benchmarking.verdict import Verdict, judge
from qperov.datasets.dataset import CrystalDataset, Dataset
from qperov.datasets.pattern_dataset import PatternDataset
from qperov.evaluation.comparison import compare
from qperov.evaluation.problem import Model
from qperov.evaluation.progress import Progress, callback_or_bar
from qperov.studies.measured.models import build_measured_suite
from qperov.studies.models import build_suite

#: Folders of the records, and of the folds of tasks that are not done, in that of a benchmark.
RECORDS, FOLDS = "records", "folds"


def benchmark(
    tasks: str | Path | None = None,
    *,
    quick: bool = False,
    only: Sequence[str] = (),
    models: Sequence[Model] = (),
    out: str | Path = "qperov-runs/benchmark",
    n_jobs: int | None = None,
    progress: Progress | bool | None = None,
) -> Verdict:
    """Compare the suite's models on many tasks, and say what quantum kernels add over all of them.

    Each task is cross-validated on grouped folds, hyperparameters chosen inside the training folds, with equal budgets
    for both families. A record is written when a task is done with a seed; where it is there already, for the same
    task, data, models and settings, nothing is computed. A run that was stopped goes on with the folds that are done.

    Parameters
    ----------
    tasks : str or Path, optional
        File of tasks; by default that of qperov, ``benchmarking/tasks.toml``.
    quick : bool
        Small searches on few samples, with one seed.
    only : sequence of str
        Names of tasks; all if empty.
    models : sequence of Model
        Further ones, from the features of each descriptor: their featurizer and transformers are those of the suite.
    out : str or Path
        Folder of records, page and tables.
    n_jobs : int, optional
        As in joblib; a cluster by ``joblib.parallel_config``.
    progress : Progress or bool, optional
        Told the task and the model; True for a bar, which is the default at a prompt and in a notebook.

    Returns
    -------
    Verdict
        Also written to ``out``: ``report.html``, ``table.tex``, ``benchmark.json`` and ``scores.csv``.

    Raises
    ------
    TaskFileError
        If the file of tasks cannot be read.
    """
    protocol, out = read_protocol(tasks, quick=quick, only=only), Path(out)
    pairs = [(task, seed) for task in protocol.tasks for seed in protocol.seeds]
    files = [_record_file(out, task, seed) for task, seed in pairs]
    done, total = 0, 100 * len(pairs)
    with callback_or_bar(progress, "Benchmark") as told:
        for (task, seed), file in zip(pairs, files, strict=True):

            def within(step: int, steps: int | None, what: str, task: BenchmarkTask = task, before: int = done) -> None:
                if told is not None:
                    told(before + 99 * step // (steps or step), total, f"{task.name}: {what}")

            _run(protocol, task, seed, models, file, out / FOLDS, n_jobs, within)
            done += 100
            if told is not None:
                told(done, total, task.name)
    found = judge(read_records(files), protocol, files)
    write_verdict(found, out)
    return found


def read_records(files: Sequence[Path]) -> list[TaskRecord]:
    """The records of a benchmark, in that order."""
    return [read_task_record(file) for file in files]


def suite_of(
    dataset: Dataset, task: BenchmarkTask, seed: int, *, quick: bool = False, further: Sequence[Model] = ()
) -> dict[str, Model]:
    """The suite's models of a task, the contrasts of its quantum kernel machine, and further ones."""
    shared: dict[str, Any] = {"descriptors": task.descriptors, "quick": quick, "random_state": seed}
    if isinstance(dataset, CrystalDataset):
        suite = build_suite(dataset, exploratory=False, **shared)
    elif isinstance(dataset, PatternDataset):
        suite = build_measured_suite(dataset, **shared)
    else:
        raise TypeError(f"{task.name}: there is no suite for a {type(dataset).__name__}")
    found = dict(suite.models)
    of_descriptor = {model.descriptor: model for model in suite.models.values() if model.role == "candidate"}
    for model in suite.models.values():
        for contrast in contrasts(model) if model.name in CONTRASTED else ():
            found[f"{contrast.name} · {model.descriptor}"] = contrast
    for name, first in of_descriptor.items():
        for model in further:
            steps = tuple(step for step in first.transformers if step[0] in ("scale", "pca"))
            found[f"{model.name} · {name}"] = replace(model, featurizer=first.featurizer, transformers=steps)
    return found


#: The quantum kernel machines to which there are contrasts.
CONTRASTED = ("QSVR", "QSVC")


def _record_file(out: Path, task: BenchmarkTask, seed: int) -> Path:
    return out / RECORDS / f"{task.name}-{seed}.json"


def _run(
    protocol: Protocol,
    task: BenchmarkTask,
    seed: int,
    further: Sequence[Model],
    file: Path,
    folds: Path,
    n_jobs: int | None,
    progress: Progress,
) -> None:
    """Make the record of a task with a seed, if it is not there."""
    dataset = task.load(protocol.source.parent, seed)
    suite = suite_of(dataset, task, seed, quick=protocol.quick, further=further)
    settings: dict[str, Any] = {"seed": seed, "folds": protocol.folds, "quick": protocol.quick, "rope": protocol.rope}
    settings |= {"fingerprint": dataset.fingerprint, "models": list(suite), "format": FORMAT}
    if is_current(file, task, settings):
        return
    comparison = compare(
        suite,
        dataset,
        folds=protocol.folds,
        random_state=seed,
        rope=f"{100 * protocol.rope:g}%",
        n_jobs=n_jobs,
        progress=progress,
        resume=folds,
    )
    write(record_of(task, settings, comparison), file)
