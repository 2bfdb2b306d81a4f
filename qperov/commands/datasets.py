"""``qperov describe`` and ``qperov data``: crystals read, described, kept in the store and written as tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qperov.commands import screen
from qperov.commands.fetch import fetch
from qperov.commands.options import (
    DEFAULT_STORE,
    Scans,
    Source,
    StorePath,
    as_typed,
    check_store,
    checking,
    with_values,
)

if TYPE_CHECKING:
    from qperov.datasets.dataset import CrystalDataset
    from qperov.datasets.pattern_dataset import PatternDataset

app = typer.Typer(help="Datasets: those that come with qperov, and your own in an SQLite store.", no_args_is_help=True)


@screen.resumable("nothing is kept: the same command starts again")
@with_values
def describe(
    source: Source,
    scans: Scans,
    store: StorePath = DEFAULT_STORE,
    every_issue: Annotated[bool, typer.Option("--all", help="Print every entry that was left out.")] = False,
) -> None:
    """Read crystals or measured patterns and tell what they are, and what was left out."""
    _describe(load_samples(source, scans, store, "--all prints every one", every_issue))


@app.command("list")
def list_datasets(store: StorePath = DEFAULT_STORE) -> None:
    """Datasets that can be named."""
    from qperov.datasets.lookup import EMBEDDED
    from qperov.datasets.store import Store

    for name, what in EMBEDDED.items():
        typer.echo(f"{name:12} embedded   {what}")
    if store.exists():
        with Store(store) as opened:
            for name in opened.names():
                info = opened.info(name)
                unit = f" [{info.unit}]" if info.unit else ""
                screen.echo(f"{name:12} {store}   {info.structures} samples, {info.labelled} labelled{unit}")


@app.command()
@screen.resumable("nothing is kept: the same command starts again")
def info(
    name: str,
    target: Annotated[str | None, typer.Option(help="One of several targets.")] = None,
    store: StorePath = DEFAULT_STORE,
) -> None:
    """What a dataset holds, where its labels come from, and whom to cite."""
    from qperov.datasets.lookup import find_dataset

    _describe(find_dataset(name, store, target))


@app.command("import")
@screen.resumable("the store is as it was: the same command starts again")
@with_values
def import_dataset(
    source: Source,
    scans: Scans,
    name: Annotated[
        str | None, typer.Option(help="What the store calls the dataset; by default the path's name.")
    ] = None,
    store: StorePath = DEFAULT_STORE,
) -> None:
    """Read crystals or measured patterns into the store; what is there already is not added again.

    \b
    qperov data import crystals/ --labels labels.csv --target gap --name gaps
    qperov compare gaps
    """
    from dataclasses import replace

    from qperov.datasets.names import check_name
    from qperov.datasets.store import Store

    if name is not None:
        check_name(name)
    check_store(store)
    dataset = load_samples(source, scans, None, "they are kept with the dataset; `qperov describe --all` prints them")
    if name is not None:
        dataset = replace(dataset, name=name)
    with Store(store) as opened:
        known = dataset.name in opened.names()
        added = opened.add(dataset)
    screen.echo(
        f"{store}: {'added to' if known else 'new'} dataset {dataset.name!r}, {added.structures} new "
        f"{dataset.SAMPLES}, {added.labels} new labels ({len(dataset)} read)"
    )


@app.command()
@screen.resumable("the file is as it was: the same command starts again")
def export(
    name: str,
    out: Annotated[Path, typer.Argument(help="A .parquet or .csv file.")],
    store: StorePath = DEFAULT_STORE,
) -> None:
    """Write a stored dataset as one table."""
    from qperov.datasets.store import Store

    if not store.exists():
        raise typer.BadParameter(f"there is no store {store}; `qperov data import` makes one", param_hint="--store")
    with Store(store) as opened, checking("OUT"):
        opened.export(name, out)
    screen.echo(f"wrote {out}")


#: Where a run lists what was left out.
LISTED = "the run directory lists all of them in left_out.csv; `qperov describe --all` prints them"


def load(source: Source, store: Path | None = None) -> CrystalDataset:
    """`load_samples`, where crystals are needed."""
    from qperov.datasets.dataset import require_crystals

    return require_crystals(load_samples(source, Scans(), store))


def load_samples(
    source: Source, scans: Scans, store: Path | None = None, hint: str = LISTED, every_issue: bool = False
) -> CrystalDataset | PatternDataset:
    """Read with a progress bar, turn energies into meV/atom by default, and list what was left out.

    With a store, what is no path may be the name of a dataset. ``hint`` says where a user finds all that was left out.
    """
    from typing import cast

    from qperov.crystals.files.vasp_run import EnergyKind
    from qperov.crystals.units import ENERGY_UNITS
    from qperov.datasets.dataset import CrystalDataset
    from qperov.datasets.lookup import find_dataset
    from qperov.datasets.reading import read

    path = source.path
    if store is not None and not path.exists() and path.name == str(path):
        if source.labels is not None:
            raise typer.BadParameter(f"{path} is a dataset with labels of its own", param_hint="--labels")
        return find_dataset(path.name, store, source.target)
    with screen.bar("Reading") as advance, as_typed():
        dataset = read(
            path,
            target=source.target,
            labels=source.labels,
            id_columns=[c.strip() for c in source.id_columns.split(",")] if source.id_columns else None,
            unit=source.unit,
            convert=source.convert,
            energy=cast(EnergyKind, source.energy),
            **scans.values(),
            strict=source.strict,
            progress=advance,
        )
    if source.convert is None and isinstance(dataset, CrystalDataset):
        dataset = dataset.in_unit("meV/atom") if dataset.unit in ENERGY_UNITS else dataset
    screen.tell_issues(dataset.issues, hint, every_issue)
    return dataset


def _describe(dataset: CrystalDataset | PatternDataset) -> None:
    from qperov.datasets.pattern_dataset import PatternDataset, describe_patterns
    from qperov.studies.models import description

    with screen.status("Describing"):
        text = describe_patterns(dataset) if isinstance(dataset, PatternDataset) else description(dataset)
    screen.echo(text)


app.command()(fetch)
