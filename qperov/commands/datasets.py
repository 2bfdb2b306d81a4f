"""``qperov describe`` and ``qperov data``: crystals read, described, kept in the store and written as tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qperov.commands import screen
from qperov.commands.fetch import fetch
from qperov.commands.options import DEFAULT_STORE, Source, StorePath, as_typed, check_store, checking, with_values

if TYPE_CHECKING:
    from qperov.datasets.dataset import CrystalDataset

app = typer.Typer(help="Datasets: those that come with qperov, and your own in an SQLite store.", no_args_is_help=True)
app.command()(fetch)


@screen.resumable("nothing is kept: the same command starts again")
@with_values
def describe(
    source: Source,
    store: StorePath = DEFAULT_STORE,
    every_issue: Annotated[bool, typer.Option("--all", help="Print every entry that was left out.")] = False,
) -> None:
    """Read crystals and tell what they are: compositions, symmetry classes, descriptors, and what was left out."""
    _describe(load(source, store, "--all prints every one", every_issue))


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
                screen.echo(f"{name:12} {store}   {info.structures} structures, {info.labelled} labelled{unit}")


@app.command()
@screen.resumable("nothing is kept: the same command starts again")
def info(name: str, store: StorePath = DEFAULT_STORE) -> None:
    """What a dataset holds, and where its labels come from."""
    from qperov.datasets.lookup import find_dataset

    _describe(find_dataset(name, store))


@app.command("import")
@screen.resumable("the store is as it was: the same command starts again")
@with_values
def import_dataset(
    source: Source,
    name: Annotated[
        str | None, typer.Option(help="What the store calls the dataset; by default the path's name.")
    ] = None,
    store: StorePath = DEFAULT_STORE,
) -> None:
    """Read crystals into the store; what is there already is not added again.

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
    dataset = load(source, None, "they are kept with the dataset; `qperov describe --all` prints them")
    if name is not None:
        dataset = replace(dataset, name=name)
    with Store(store) as opened:
        known = dataset.name in opened.names()
        added = opened.add(dataset)
    screen.echo(
        f"{store}: {'added to' if known else 'new'} dataset {dataset.name!r}, {added.structures} new structures, "
        f"{added.labels} new labels ({len(dataset)} read)"
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


def load(
    source: Source,
    store: Path | None = None,
    hint: str = "the run directory lists all of them in left_out.csv; `qperov describe --all` prints them",
    every_issue: bool = False,
) -> CrystalDataset:
    """Read with a progress bar, turn energies into meV/atom by default, and list what was left out.

    With a store, what is no path may be the name of a dataset. ``hint`` says where a user finds all that was left out.
    """
    from typing import cast

    from qperov.crystals.files.vasp_run import EnergyKind
    from qperov.crystals.units import ENERGY_UNITS
    from qperov.datasets.lookup import find_dataset
    from qperov.datasets.reading import read

    path = source.path
    if store is not None and not path.exists() and path.name == str(path):
        found = find_dataset(path.name, store)
        if source.labels is not None or source.target is not None:
            raise typer.BadParameter(f"{path} is a dataset with labels of its own", param_hint="--labels/--target")
        return found
    with screen.bar("Reading") as advance, as_typed():
        dataset = read(
            path,
            target=source.target,
            labels=source.labels,
            id_columns=[c.strip() for c in source.id_columns.split(",")] if source.id_columns else None,
            unit=source.unit,
            convert=source.convert,
            energy=cast(EnergyKind, source.energy),
            strict=source.strict,
            progress=advance,
        )
    if source.convert is None:
        dataset = dataset.in_unit("meV/atom") if dataset.unit in ENERGY_UNITS else dataset
    screen.tell_issues(dataset.issues, hint, every_issue)
    return dataset


def _describe(dataset: CrystalDataset) -> None:
    from qperov.studies.models import description

    with screen.status("Describing"):
        text = description(dataset)
    screen.echo(text)
