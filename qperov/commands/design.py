"""``qperov design``: crystals with a wanted property, from generators that are judged beside baselines."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from qperov.commands import screen
from qperov.commands.datasets import load
from qperov.commands.options import DEFAULT_STORE, Source, StorePath, check_writable, checking, with_values


@screen.resumable("the same command takes the models that are trained")
@with_values
def design(
    source: Source,
    out: Annotated[Path, typer.Option(help="Folder of models, relaxations and runs.")] = Path("qperov-runs/design"),
    models: Annotated[str, typer.Option(help="Separated by commas: ftcp, tlvae, imatgen.")] = "ftcp,tlvae,imatgen",
    mode: Annotated[str, typer.Option(help="Models as repaired, or as published.")] = "repaired",
    quick: Annotated[bool, typer.Option("--quick", help="Small networks, three epochs.")] = False,
    target_value: Annotated[
        float | None, typer.Option(help="The property wanted, in its unit; by default −2 eV/atom or the lowest decile.")
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="Distance from the target value that still counts as a hit.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Crystals with this property or less are stable.")] = None,
    count: Annotated[int, typer.Option(help="Crystals of each model in each way of sampling.", min=1)] = 200,
    test_size: Annotated[float, typer.Option(help="Share of the formulas held out.", min=0.01, max=0.9)] = 0.2,
    folds: Annotated[int, typer.Option(help="Folds of the comparison of regressors.", min=2)] = 5,
    most: Annotated[int | None, typer.Option(help="Crystals taken of the data, at random.", min=2)] = None,
    dissimilarity: Annotated[bool, typer.Option(help="Compare surroundings: the longest part of the bench.")] = True,
    relax: Annotated[bool, typer.Option("--relax", help="Relax what is valid, unique and novel by CHGNet.")] = False,
    most_relaxed: Annotated[int, typer.Option(help="Crystals of each sample that are relaxed.", min=1)] = 50,
    dft: Annotated[str, typer.Option(help="Preset of the DFT inputs.")] = "tl-vae",
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Processes; −1 for all cores.")] = 1,
    device: Annotated[str, typer.Option(help="Of the networks: cpu, cuda, …")] = "cpu",
    seed: Annotated[int, typer.Option(help="Of split, training, sampling and bootstrap.", min=0)] = 0,
    store: StorePath = DEFAULT_STORE,
) -> None:
    """Design crystals with a wanted property: train generators, sample, judge, relax if wanted, and report.

    FTCP's, TL-VAE's and iMatGen's models learn crystals with one property; a part of the formulas is held out, on which
    reconstruction and property are measured. Each model is sampled in five ways; all samples are judged beside two
    baselines that need no model. What is valid, unique and novel is written as CIF, POSCAR and DFT inputs. Models and
    relaxations are kept in the output folder and taken again. On abx3 all of it takes hours on a processor.

    \b
    qperov design abx3
    qperov design abx3_radii --quick --models ftcp
    qperov design cifs/ --labels labels.csv --target e_form --unit eV/atom --target-value -2 --relax
    """
    from qperov.studies.inverse_design.design import run_design
    from qperov.studies.inverse_design.task import Task

    check_writable(out, "--out")
    dataset = load(source, store)
    if source.path.exists():
        dataset = dataset.one_per_class()
        if source.convert is None and dataset.unit == "meV/atom":
            dataset = dataset.in_unit("eV/atom")
    names = tuple(name.strip() for name in models.split(",") if name.strip())
    task = Task(
        out, names, mode, quick, target_value, tolerance, threshold, count, test_size, folds, most, dissimilarity,
        relax, most_relaxed, dft, jobs, device, seed,
    )  # fmt: skip
    command = shlex.join(["qperov", *sys.argv[1:]])
    with screen.bar("Designing") as advance, checking("--models, --mode"):
        page, generation = run_design(dataset, task, command=command, progress=advance)
    screen.echo(generation.bench.summary())
    screen.echo(f"report: {page}")
