"""Every model on every task with every seed, one record each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from qperov.benchmarking.contrasts import contrasts
from qperov.benchmarking.page import write_verdict
from qperov.benchmarking.task_records import FORMAT, is_current, record_of, write_task_record
from qperov.benchmarking.tasks import BenchmarkTask, Protocol, read_protocol
from qperov.benchmarking.verdict import Verdict, judge
from qperov.datasets.dataset import CrystalDataset, Dataset
from qperov.datasets.pattern_dataset import PatternDataset
from qperov.descriptors.featurizer import PXRDFeaturizer
from qperov.descriptors.perovskite_sites import SiteFeatures
from qperov.descriptors.rank_pca import RankPCA
from qperov.evaluation.comparison import compare
from qperov.evaluation.problem import Model
from qperov.evaluation.progress import Progress, callback_or_bar
from qperov.studies.measured.models import COMPONENTS, NETWORK, build_measured_suite
from qperov.studies.models import count_components, diffraction_kinds, lattices_of, references
from qperov.studies.regressors import regressors

#: Folders of the records and of single folds in that of a benchmark.
RECORDS, FOLDS = "records", "folds"
#: The descriptor that names what sits on the sites of five-atom perovskites.
SITES = "sites"
#: Steps of the progress of one task with one seed.
STEPS = 100
#: The quantum kernel machines to which there are contrasts.
CONTRASTED = ("QSVR", "QSVC")
#: What takes the most time, on both sides, and what is no candidate for the planned question.
LEFT_OUT = ("Gradient boosting", "Quantum kernel ridge", "Kernel logistic", "Quantum kernel logistic", NETWORK)


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

    Examples
    --------
    >>> from qperov.benchmarking.tasks import read_protocol
    >>> read_protocol(quick=True).seeds  # what ``benchmark(quick=True)`` would run
    (0,)
    """
    protocol, out = read_protocol(tasks, quick=quick, only=only), Path(out)
    pairs = [(task, seed) for seed in protocol.seeds for task in protocol.tasks]
    files = [out / RECORDS / f"{task.name}-{seed}.json" for task, seed in pairs]
    total, there = STEPS * len(pairs), []
    with callback_or_bar(progress, "Benchmark") as told:
        for done, ((task, seed), file) in enumerate(zip(pairs, files, strict=True)):
            tell = None if told is None else _within(told, task.name, STEPS * done, total)
            made = _make_record(protocol, task, seed, models, file, out / FOLDS, n_jobs, tell)
            there.append(file)
            if made or len(there) == len(files):
                verdict = judge(there, protocol, len(files))
                write_verdict(verdict, out)
            if told is not None:
                told(STEPS * len(there), total, task.name)
    return verdict


def _within(told: Progress, task: str, before: int, total: int) -> Progress:
    """The progress of one task as a part of the whole."""

    def tell(step: int, steps: int | None, what: str) -> None:
        told(before + (STEPS - 1) * step // (steps or step), total, f"{task}: {what}")

    return tell


def suite_of(
    dataset: Dataset, task: BenchmarkTask, seed: int, *, quick: bool = False, further: Sequence[Model] = ()
) -> dict[str, Model]:
    """The models of a task: on crystals and on measured patterns the same, from at most ten common components.

    Beside them the contrasts of the quantum kernel machine, what knows more than patterns (references), and further
    models, which are given the same components.
    """
    drawn: dict[str, Any] = {"quick": quick, "random_state": seed}
    if isinstance(dataset, CrystalDataset):
        lattices = lattices_of(dataset)
        kinds = task.descriptors or diffraction_kinds(lattices)
        models = [model for kind in kinds for model in _of_crystals(dataset, kind, drawn)]
        models += references(dataset, lattices, exploratory=False, **drawn)
    elif isinstance(dataset, PatternDataset):
        models = list(build_measured_suite(dataset, descriptors=task.descriptors, **drawn).models.values())
    else:
        raise TypeError(f"{task.name}: there are no models for a {type(dataset).__name__}")
    models = [model for model in models if model.name not in LEFT_OUT]
    first = {model.descriptor: model for model in reversed(models) if model.transformers and model.role == "candidate"}
    models += [contrast for model in models if model.name in CONTRASTED for contrast in contrasts(model)]
    for model in first.values():
        steps = tuple(step for step in model.transformers if step[0] in ("scale", "pca"))
        models += [replace(each, featurizer=model.featurizer, transformers=steps) for each in further]
    return {f"{model.name} · {model.descriptor}": model for model in models}


def _of_crystals(dataset: CrystalDataset, kind: str, drawn: dict[str, Any]) -> list[Model]:
    featurizer = SiteFeatures() if kind == SITES else PXRDFeaturizer(kind)
    steps = (("scale", StandardScaler(with_std=kind != "profile")), ("pca", RankPCA(COMPONENTS)))
    rank = count_components(Pipeline([("features", featurizer), *steps]), dataset)
    return [
        replace(model, featurizer=featurizer, transformers=(*steps, *model.transformers))
        for model in regressors(rank, len(dataset), exploratory=False, **drawn)
    ]


def _make_record(
    protocol: Protocol,
    task: BenchmarkTask,
    seed: int,
    further: Sequence[Model],
    file: Path,
    folds: Path,
    n_jobs: int | None,
    progress: Progress | None,
) -> bool:
    """Make the record of a task with a seed, if it is not there; whether it was not."""
    dataset = task.load(protocol.source.parent, seed)
    suite = suite_of(dataset, task, seed, quick=protocol.quick, further=further)
    settings: dict[str, Any] = {"seed": seed, "folds": protocol.folds, "quick": protocol.quick, "rope": protocol.rope}
    settings |= {"fingerprint": dataset.fingerprint, "models": list(suite), "format": FORMAT}
    if is_current(file, task, settings):
        return False
    n_folds = min(protocol.folds, len(set(dataset.groups.tolist())))
    comparison = compare(
        suite,
        dataset,
        folds=n_folds,
        random_state=seed,
        rope=f"{100 * protocol.rope:g}%",
        n_jobs=n_jobs,
        progress=progress or False,
        resume=folds,
    )
    write_task_record(record_of(task, settings, comparison), file)
    return True
