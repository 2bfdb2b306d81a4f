"""The whole of an inverse design: generators trained, sampled and judged, with a record, a report and files."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from sklearn.pipeline import Pipeline

from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.embedded.abx3 import embedded_perovskite_set
from qperov.evaluation.comparison import compare
from qperov.evaluation.progress import Progress
from qperov.generative.bench.reconstruction import reconstruction_errors
from qperov.records.writing import write_record
from qperov.reports.html import build_report
from qperov.reports.maps.embedding import embed
from qperov.studies.inverse_design.bench import bench_study
from qperov.studies.inverse_design.generators import presets, train_model, within
from qperov.studies.inverse_design.latent import latent_study
from qperov.studies.inverse_design.nearness import nearness_study
from qperov.studies.inverse_design.regressors import (
    JUDGE,
    REGRESSOR_NOTES,
    build_regressors,
    describe_held_out,
    fit_regressor,
)
from qperov.studies.inverse_design.results import Generation, Sample, Target, TrainedGenerator
from qperov.studies.inverse_design.samples import (
    NOTES,
    add_property,
    draw_baselines,
    draw_samples,
    judge_samples,
    relax_samples,
    write_samples,
)
from qperov.studies.inverse_design.task import Split, Task, formulas_of, keep_representable, prepare, split, target_of
from qperov.studies.inverse_design.training import training_study

#: Formation energies of this data set refer to elements relaxed by the same potential.
WITH_REFERENCES = "abx3"


def run_design(
    dataset: CrystalDataset, task: Task, *, command: str = "qperov design", progress: Progress | None = None
) -> tuple[Path, Generation]:
    """Train, sample, judge, write; the report, and what was generated.

    Trained models and relaxations are kept in ``task.out`` and taken again; each call has a run directory of its own
    there.

    Raises
    ------
    MissingLabelError
        The dataset has no labels.
    EmptyDatasetError
        It has too few formulas to hold some out.
    MissingDependencyError
        PyTorch, or for relaxations CHGNet, is not installed.
    """
    dataset = keep_representable(prepare(task, dataset), presets(task, 0.0))
    parts = split(task, dataset)
    target = target_of(task, dataset, parts.training_labels)
    # these refuse crystals whose charges cannot be told: better now than after the training
    rivals = draw_baselines(parts.training.structures, task.count, task.random_state)
    judges = {
        name: fit_regressor(model, parts.training.structures, parts.training_labels, parts.training_groups)
        for name, model in build_regressors(task.quick).items()
    }
    held_out = describe_held_out(parts, judges)
    trained, samples = train_generators(task, parts, target, progress)
    generation = judge_generation(task, dataset.name, parts, [*samples, *rivals], judges[JUDGE], progress)
    studies = (
        training_study(target, held_out, trained, random_state=task.random_state),
        latent_study(target, parts.training_labels, trained),
        bench_study(target, generation),
        nearness_study(target, generation),
    )
    unfinished = task.out / "unfinished"
    comparison = compare(
        build_regressors(task.quick), dataset, folds=task.folds, random_state=task.random_state, n_jobs=task.n_jobs,
        progress=within(progress, "regressors"), resume=unfinished,
    )  # fmt: skip
    comparison = replace(comparison, settings=comparison.settings | {"notes": list(REGRESSOR_NOTES)})
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(task).items()}
    record = write_record(
        next_run(task.out), comparison, task={"command": command, **settings}, dataset=dataset.about, studies=studies,
        compositions=formulas_of(dataset.structures),
    )  # fmt: skip
    shutil.rmtree(unfinished, ignore_errors=True)
    write_samples(generation, record.path / "generated", task.dft)
    return build_report(record), generation


def train_generators(
    task: Task, parts: Split, target: Target, progress: Progress | None = None
) -> tuple[dict[str, TrainedGenerator], list[Sample]]:
    """Models trained and measured on the crystals held out, and what was sampled from them."""
    trained: dict[str, TrainedGenerator] = {}
    samples: list[Sample] = []
    for name, model in presets(task, target.threshold).items():
        ready, seconds = train_model(task, name, model, parts.training, progress)
        errors = reconstruction_errors(parts.held.structures, ready.reconstruct(parts.held.structures))
        points = embed(ready.latent_, seed=task.random_state)
        trained[name] = TrainedGenerator(ready.history_, seconds, errors, ready.predict(parts.held.structures), points)
        samples += draw_samples(name, ready, target.value, task.count, task.random_state)
    return trained, samples


def judge_generation(
    task: Task,
    name: str,
    parts: Split,
    samples: Sequence[Sample],
    judge: Pipeline,
    progress: Progress | None = None,
) -> Generation:
    """Samples of models and baselines on the bench, with their predicted property, and relaxed if that is wanted."""
    training, held = parts.training, parts.held
    report = judge_samples(
        samples, training.structures, dissimilarity=task.dissimilarity, n_jobs=task.n_jobs, progress=progress
    )
    generation = Generation(
        tuple(add_property(sample, report, judge) for sample in samples),
        report,
        parts.training_labels,
        frozenset(formulas_of(held.structures)),
        JUDGE,
        float(np.abs(judge.predict(held.structures) - parts.held_labels).mean()),
        notes=NOTES,
    )
    if not task.relax:
        return generation
    known = embedded_perovskite_set(name).elements if name == WITH_REFERENCES else {}
    elements: Mapping[str, float] = {symbol: reference.energy for symbol, reference in known.items()}
    relaxed = relax_samples(
        generation,
        task.out / "relaxations.db",
        most=task.most_relaxed,
        elements=elements,
        n_jobs=task.n_jobs,
        progress=within(progress, "relaxation"),
    )
    return replace(generation, relaxed=relaxed)


def next_run(out: Path) -> Path:
    """The first of ``out/run-1``, ``out/run-2``, … that is not there."""
    number = 1
    while (out / f"run-{number}").exists():
        number += 1
    return out / f"run-{number}"
