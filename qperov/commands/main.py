"""The command line: ``qperov demo``, ``compare``, ``predict`` and the others, which ``qperov --help`` lists."""

from __future__ import annotations

import hashlib
import shlex
import sqlite3
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from qperov.commands import datasets, screen
from qperov.commands.benchmark import benchmark
from qperov.commands.design import design
from qperov.commands.hardware import commands as hardware
from qperov.commands.options import DEFAULT_STORE, Scans, Source, StorePath, check_rope, check_writable, with_values
from qperov.commands.predict import predict
from qperov.commands.relax import inputs, relax
from qperov.commands.report import report

if TYPE_CHECKING:
    from qperov.datasets.dataset import CrystalDataset
    from qperov.datasets.pattern_dataset import PatternDataset
    from qperov.evaluation.results import Comparison
    from qperov.records.study import Study
    from qperov.studies.models import Suite


#: Commands in the order of a day; others come after them.
ORDER = ("demo", "describe", "data", "compare", "report", "predict", "relax", "inputs", "design", "hardware")


class Commands(TyperGroup):
    """Commands that say, when a user stops them, how far they came and how to go on."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in the order of `ORDER`."""
        return sorted(super().list_commands(ctx), key=lambda name: [*ORDER, name].index(name))

    def invoke(self, ctx: Any) -> Any:
        """Run one of them."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            typer.echo("; ".join(["interrupted", *getattr(stop, "__notes__", [])]), err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    name="qperov",
    cls=Commands,
    help="Quantum-classical machine learning on powder patterns of crystals, with honest baselines and intervals.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
app.add_typer(datasets.app, name="data")
app.add_typer(hardware.app, name="hardware")
for command in (predict, relax, inputs, report, design, benchmark, datasets.describe):
    app.command()(command)

#: Sections that a report may have beside the comparison.
STUDIES = ("kernels", "surrogates", "noise", "autoencoder", "learning_curve")
#: The quick demo takes one crystal of so many.
QUICK_STEP = 4
#: The section that belongs to the demo: another dataset.
SECOND_TASK = "second_task"

Runs = Annotated[Path, typer.Option("--runs", help="Folder that receives a new run directory for each run.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", help="Processes; −1 for all cores.")]
Folds = Annotated[int, typer.Option(help="Folds of cross-validation, grouped; at most one per group.", min=2)]
Repeats = Annotated[
    int,
    typer.Option(
        help="Repetitions of the cross-validation with new folds, fixed beforehand; more narrow the intervals of "
        "differences, down to a floor.",
        min=1,
        max=10,
    ),
]
Rope = Annotated[
    str,
    typer.Option(
        "--rope",
        help="Difference of two MAE that is practically nothing: a number in the label's unit, or a share of the best "
        "constant's MAE.",
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of folds and bootstrap.", min=0)]
Quick = Annotated[bool, typer.Option("--quick", help="Small hyperparameter grids.")]
Studies = Annotated[
    str,
    typer.Option(help=f"Further sections of the report, separated by commas: {', '.join(STUDIES)}; or none."),
]
Keep = Annotated[
    list[str] | None,
    typer.Option(
        "--keep",
        help="Model to be fitted to all samples and kept for `qperov predict`: its name in the table, best, or all; "
        "may be given again.",
    ),
]
#: How a comparison that was stopped goes on.
GO_ON = "the same command goes on with the folds that are done"


@app.callback(invoke_without_command=True)
def _main(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from qperov import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.command()
@screen.resumable(GO_ON)
def demo(
    runs: Runs = Path("qperov-runs"),
    folds: Folds = 5,
    repeats: Repeats = 2,
    rope: Rope = "5%",
    seed: Seed = 0,
    jobs: Jobs = -1,
    quick: Quick = False,
    studies: Annotated[
        str,
        typer.Option(
            help=f"Further sections of the report, separated by commas: {', '.join((SECOND_TASK, *STUDIES))}; or none."
        ),
    ] = "second_task,kernels,surrogates,noise,autoencoder",
) -> None:
    """Compare quantum and classical regression on the embedded dataset cpx321; a few minutes on two cores.

    Linear and kernel regression, Gaussian processes, nearest neighbours, SVRs, quantum-kernel SVRs and a quantum
    autoencoder on powder patterns and structure factors; for contrast the published quantum SVR, counts of neighbouring
    pairs and a cluster expansion. The report has sections on a second task (the relaxed crystals of cpx222), the
    quantum kernels, classical surrogates of them, device noise and the autoencoder. With --quick: a quarter of the
    crystals and small grids, about a minute.
    """
    from qperov import load_dataset

    chosen = _chosen_studies(studies, (SECOND_TASK, *STUDIES))
    check_rope(rope)
    check_writable(runs, "--runs")
    with screen.status("Enumerating 986 orderings of CsPb(Br2I)"):
        dataset = load_dataset("cpx321")
    if quick:
        dataset = dataset.take(range(0, len(dataset), QUICK_STEP))
    _compare_and_report(
        dataset, runs, "demo", folds, repeats, rope, seed, jobs, quick, (), "grouped", chosen, exploratory=False
    )


@app.command()
@screen.resumable(GO_ON)
@with_values
def compare(
    source: Source,
    scans: Scans,
    store: StorePath = DEFAULT_STORE,
    keep_duplicates: Annotated[
        bool, typer.Option("--keep-duplicates", help="Keep all symmetry copies; by default, one crystal per class.")
    ] = False,
    random_split: Annotated[
        bool, typer.Option("--random-split", help="Ignore symmetry copies when splitting, to show the leakage.")
    ] = False,
    descriptors: Annotated[
        str | None,
        typer.Option(help="Kinds of feature, separated by commas; by default those that suit the crystals."),
    ] = None,
    simulated: Annotated[
        int,
        typer.Option(
            help="Simulated crystals of each structure type of halide perovskite films, three scans each, that every "
            "fold learns from beside measured films; labels are space groups.",
            min=0,
        ),
    ] = 0,
    runs: Runs = Path("qperov-runs"),
    folds: Folds = 10,
    repeats: Repeats = 1,
    rope: Rope = "5%",
    seed: Seed = 0,
    jobs: Jobs = -1,
    quick: Quick = False,
    studies: Studies = "none",
    keep: Keep = None,
) -> None:
    """Compare quantum and classical models on your crystals or measured patterns: numbers or classes.

    Symmetry copies stay in one fold; every score comes with baselines, intervals and upper bounds. The run
    directory holds the record, the predictions, the figures and report.html.

    \b
    qperov compare my_vasp_runs/
    qperov compare crystals/ --labels labels.csv --target gap --unit eV
    qperov compare poscars.tar.gz --labels labels.csv --target energy_ev_per_cell --id-columns set,number
    qperov compare heo106 --target lattice_parameter
    qperov compare films
    qperov compare scans/ --labels labels.csv --target size_nm --wavelength CuKa --group-column batch
    """
    from qperov.datasets.dataset import CrystalDataset

    chosen = _chosen_studies(studies)
    if keep and random_split:
        raise typer.BadParameter(
            "random folds leak, and their errors say nothing about new crystals", param_hint="--keep"
        )
    if source.labels is not None and source.target is None:
        raise typer.BadParameter("name the column of the table to be predicted", param_hint="--target")
    check_rope(rope)
    check_writable(runs, "--runs")
    if source.target is None and source.labels is None and source.path.exists():
        source = replace(source, target="energy_per_atom")
    dataset = datasets.load_samples(source, scans, store)
    crystals = isinstance(dataset, CrystalDataset)
    if chosen and dataset.y is not None and dataset.y.dtype.kind != "f":
        raise typer.BadParameter("these sections are of numbers, and labels are classes", param_hint="--studies")
    with screen.status("Finding groups"):
        n_classes = len(set(dataset.groups.tolist()))
    what, sets = ("crystals", "symmetry classes") if crystals else ("measured patterns", "groups")
    typer.echo(f"{len(dataset)} labelled {what} in {n_classes} {sets}")
    if isinstance(dataset, CrystalDataset) and not keep_duplicates:
        dataset = dataset.one_per_class()
    kinds = tuple(kind.strip() for kind in descriptors.split(",") if kind.strip()) if descriptors else ()
    split = "random" if random_split else "grouped"
    if n_classes < folds:
        typer.echo(f"{n_classes} {sets}: leaving out one at a time instead of {folds} folds", err=True)
        folds = max(n_classes, 2)
    kept = tuple(keep or ())
    further = None
    if simulated:
        from qperov.datasets.film_simulation import simulated_films
        from qperov.datasets.pattern_dataset import PatternDataset

        if not isinstance(dataset, PatternDataset) or dataset.target != "space_group":
            raise typer.BadParameter(
                "simulated films are learnt from beside scans and space_group", param_hint="--simulated"
            )
        with screen.status("Simulating films"):
            further = simulated_films(simulated, like=dataset, random_state=seed)
    _compare_and_report(
        dataset, runs, dataset.name, folds, repeats, rope, seed, jobs, quick, kinds, split, chosen, kept, True, further
    )


def _compare_and_report(
    dataset: CrystalDataset | PatternDataset,
    runs: Path,
    name: str,
    folds: int,
    repeats: int,
    rope: str,
    seed: int,
    jobs: int,
    quick: bool,
    kinds: tuple[str, ...],
    split: str,
    studies: tuple[str, ...],
    keep: tuple[str, ...] = (),
    exploratory: bool = True,
    further: PatternDataset | None = None,
) -> None:
    from qperov import compare as compare_models
    from qperov.datasets.dataset import CrystalDataset
    from qperov.datasets.names import check_name
    from qperov.datasets.pattern_dataset import PatternDataset
    from qperov.records import write_record
    from qperov.records.runs import claim_run, discard_folds, unfinished_run
    from qperov.reports import build_report
    from qperov.studies.crystal import crystal_study
    from qperov.studies.kernel_matrices import kernel_matrices
    from qperov.studies.measured.activation import activation_studies
    from qperov.studies.measured.models import build_measured_suite
    from qperov.studies.measured.splits import random_split_studies
    from qperov.studies.models import build_suite

    try:
        with screen.status("Preparing models"):
            if isinstance(dataset, CrystalDataset):
                suite = build_suite(dataset, descriptors=kinds, quick=quick, exploratory=exploratory, random_state=seed)
            else:
                suite = build_measured_suite(dataset, descriptors=kinds, quick=quick, random_state=seed)
    except ValueError as error:
        if not kinds:
            raise
        raise typer.BadParameter(str(error), param_hint="--descriptors") from error
    if unknown := [name for name in keep if name not in (*suite.models, "best", "all")]:
        raise typer.BadParameter(
            f"no model {unknown[0]!r}; known: best, all, {', '.join(suite.models)}", param_hint="--keep"
        )
    inputs = repr((dataset.fingerprint, folds, repeats, seed, split, quick, kinds, len(further or ())))
    run = f"{check_name(name)}-{hashlib.blake2b(inputs.encode(), digest_size=8).hexdigest()}"
    with screen.bar("Computing descriptors, then fitting") as advance, unfinished_run(runs, run) as folds_done:
        comparison = compare_models(
            suite.models,
            dataset,
            folds=folds,
            repeats=repeats,
            random_state=seed,
            split=split,
            rope=rope,
            n_jobs=jobs,
            further=further,
            progress=advance,
            resume=folds_done,
        )
    comparison = replace(comparison, settings=comparison.settings | {"notes": list(suite.notes)})
    screen.print_table(comparison)
    task = {
        "command": shlex.join(["qperov", *sys.argv[1:]]),
        "name": name,
        "folds": folds,
        "repeats": repeats,
        "rope": rope,
        "seed": seed,
        "quick": quick,
        "split": split,
        "studies": list(studies),
    }
    sections = _sections(studies, dataset, suite, comparison, quick, seed, jobs)
    compositions = []
    if isinstance(dataset, PatternDataset) and split == "grouped":
        with screen.bar("The same at random") as advance:
            sections = (
                *random_split_studies(suite, dataset, comparison, further=further, n_jobs=jobs, progress=advance),
                *sections,
            )
    if isinstance(dataset, PatternDataset) and comparison.classes:
        with screen.status("Asking the network what it sees"):
            sections = (*activation_studies(suite, dataset), *sections)
    if isinstance(dataset, CrystalDataset):
        sections = (*crystal_study(dataset), *sections)
        compositions = [structure.composition.reduced_formula for structure in dataset.structures]
    kernels = {}
    if not comparison.classes:
        with screen.status("Computing kernel matrices for the maps"):
            kernels = kernel_matrices(suite.models, comparison)
    with screen.status("Writing the record, drawing figures and maps"):
        record = write_record(
            claim_run(runs, name),
            comparison,
            task=task,
            dataset=dataset.about,
            studies=sections,
            kernels=kernels,
            compositions=compositions,
            claimed=True,
        )
        page = build_report(record)
    if keep:
        from qperov.serving.fitting import choose_models
        from qperov.serving.model_store import fit_and_store

        with screen.bar(f"Fitting models to all {dataset.CALLED}") as advance:
            names = choose_models(comparison, keep)
            fit_and_store(
                suite.pipelines,
                dataset,
                comparison,
                names,
                record.path / "models",
                n_jobs=jobs,
                further=further,
                progress=advance,
            )
        for kept in names:
            if not comparison.beats_constant(kept):
                screen.echo(
                    f"warning: {kept} is not shown to be better than a constant: trust its predictions no more",
                    err=True,
                )
        typer.echo(f"models kept: {', '.join(names)}; use them with `qperov predict {record.path} FILES…`")
    discard_folds(runs, run)
    screen.print_answer(comparison, page)


def _chosen_studies(names: str, known: tuple[str, ...] = STUDIES) -> tuple[str, ...]:
    """The studies that an option names; BadParameter for one that there is not."""
    chosen = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip() not in ("", "none")))
    if unknown := [name for name in chosen if name not in known]:
        raise typer.BadParameter(f"no study {unknown[0]!r}; known: {', '.join(known)}", param_hint="--studies")
    return chosen


def _sections(
    studies: tuple[str, ...],
    dataset: CrystalDataset | PatternDataset,
    suite: Suite,
    comparison: Comparison,
    quick: bool,
    seed: int,
    jobs: int,
) -> tuple[Study, ...]:
    """What the chosen studies say of the dataset; what belongs to the compared models first."""
    from joblib import Parallel, delayed

    from qperov.datasets.dataset import CrystalDataset

    sections: tuple[Study, ...] = ()
    if SECOND_TASK in studies:
        from qperov import load_dataset
        from qperov.studies.mixing_energies import second_task

        with screen.bar("A second task: cpx222") as advance:
            other = load_dataset("cpx222")
            sections += (second_task(other, "I", quick=quick, seed=seed, n_jobs=jobs, progress=advance),)
    if "learning_curve" in studies:
        from qperov.evaluation.learning_curves import learning_curve
        from qperov.studies.learning_curves import learning_curve_study

        with screen.bar("Learning from few crystals to many") as advance:
            curve = learning_curve(suite.models, dataset, random_state=seed, n_jobs=jobs, progress=advance)
        sections += (learning_curve_study(curve, unit=dataset.unit or ""),)
    shared: dict[str, Any] = {"quick": quick, "seed": seed}
    made: dict[str, Any] = {}
    if "autoencoder" in studies and isinstance(dataset, CrystalDataset):
        from qperov.studies.autoencoder import autoencoder_studies

        made["autoencoder"] = delayed(autoencoder_studies)(dataset, **shared)
    if "kernels" in studies:
        from qperov.studies.kernels import kernel_studies

        made["kernels"] = delayed(kernel_studies)(suite.models, dataset, comparison, **shared)
    if "surrogates" in studies:
        from qperov.studies.surrogates import surrogate_studies

        made["surrogates"] = delayed(surrogate_studies)(suite.models, comparison, **shared)
    if "noise" in studies:
        from qperov.studies.noise import noise_studies

        made["noise"] = delayed(noise_studies)(suite.models, dataset, comparison, **shared)
    with screen.status("Diagnosing quantum kernels, noise and autoencoders"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A worker stopped")  # it is replaced
        # those that take longest begin
        found = dict(zip(made, Parallel(n_jobs=jobs)(made.values()), strict=True))
    return sections + tuple(study for name in STUDIES if name in found for study in found[name])


def main() -> None:
    """Entry point: errors of the family, and of files and disks, become one line and exit status 1."""
    from qperov.errors import QperovError
    from qperov.storage.atomic import NO_ROOM

    try:
        app()
    except QperovError as error:
        message = "; ".join([str(error), *getattr(error, "__notes__", [])])
    except OSError as error:
        if error.filename is None and error.errno not in NO_ROOM:
            raise
        message = ": ".join(filter(None, [error.filename, error.strerror]))
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname != "SQLITE_FULL":
            raise
        message = f"{error}: make room, and call again"
    else:
        return
    screen.echo(f"error: {message}", err=True)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
