"""``qperov data fetch``: crystals from the databases of the field, or from a folder, into the store."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qperov.commands import screen
from qperov.commands.options import DEFAULT_STORE, StorePath, check_store, checking

if TYPE_CHECKING:
    from qperov.datasets.databases.fetching import Database, FetchReport

#: Entries asked for at a time, unless told otherwise.
PAGE_SIZE = 100


@screen.resumable("the same command goes on with the page that follows")
def fetch(
    source: Annotated[
        str,
        typer.Argument(
            help="mp (Materials Project, key in MP_API_KEY), jarvis (or jarvis:dft_2d, jarvis:FILE), optimade:NAME, "
            "the https:// URL of an OPTIMADE provider, or a file or folder of crystals."
        ),
    ],
    filter: Annotated[
        str,
        typer.Option(
            "--filter",
            help="What to fetch. OPTIMADE: its filter language. mp: JSON with arguments of mp-api's summary search.",
        ),
    ] = "",
    target: Annotated[
        str | None, typer.Option(help="Property that becomes the label; entries without it are listed and left out.")
    ] = None,
    unit: Annotated[str | None, typer.Option(help="Unit of the property, where it is not known.")] = None,
    name: Annotated[str | None, typer.Option(help="What the store calls the dataset; by default after the source.")] = (
        None
    ),
    most: Annotated[
        int | None, typer.Option(help="Stop after this many crystals; the next call goes on.", min=1)
    ] = None,
    page_size: Annotated[int, typer.Option(help="Entries asked for at a time.", min=1)] = PAGE_SIZE,
    restart: Annotated[bool, typer.Option("--restart", help="Ask for everything again, and add what is new.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first entry that cannot be used.")] = False,
    every_issue: Annotated[bool, typer.Option("--all", help="Print every entry that was left out.")] = False,
    store: StorePath = DEFAULT_STORE,
) -> None:
    """Fetch crystals from a database into the store, with their origin and licence.

    It may be stopped at any moment: the same command goes on with the page that follows. What cannot be used is listed.

    \b
    qperov data fetch optimade:oqmd --filter 'elements HAS ALL "Cs","Pb" AND nelements=3' --target _oqmd_delta_e
    qperov data fetch mp --filter '{"formula": "ABO3"}' --target formation_energy_per_atom --name mp-abo3
    qperov data fetch jarvis --target formation_energy_peratom --most 1000
    qperov data fetch my_cifs/
    """
    from qperov.datasets.databases.fetching import fetch as fetch_into

    check_store(store)
    with checking("SOURCE/--filter"):
        database = find_database(source, filter, target, unit, page_size, store.parent)
    with screen.bar("Fetching") as advance:
        report = fetch_into(
            database, store, name or _name_of(source), most=most, restart=restart, strict=strict, progress=advance
        )
    _tell(report, store, every_issue)


def find_database(
    source: str,
    filter: str = "",
    target: str | None = None,
    unit: str | None = None,
    page_size: int = PAGE_SIZE,
    folder: Path = Path(),
) -> Database:
    """The database that a source on the command line stands for.

    Raises
    ------
    ValueError
        If there is none, or the filter does not belong to it.
    """
    from qperov.datasets.databases.folder import Folder
    from qperov.datasets.databases.jarvis import ARCHIVES, Jarvis
    from qperov.datasets.databases.materials_project import MaterialsProject
    from qperov.datasets.databases.optimade import PROVIDERS, Optimade

    kind, _, rest = source.partition(":")
    if kind in ("https", "http"):
        return Optimade(source, filter, target, unit, page_size)
    if kind == "optimade":
        if rest not in PROVIDERS and "://" not in rest:
            raise ValueError(
                f"no OPTIMADE provider {rest!r} is known by name; give its URL, or: {', '.join(PROVIDERS)}"
            )
        return Optimade(rest, filter, target, unit, page_size)
    if source == "mp":
        return MaterialsProject(_criteria(filter), target, unit, page_size)
    if filter:
        raise ValueError(f"{source}: a filter is for OPTIMADE providers and mp; this source is taken whole")
    if kind == "jarvis":
        archive = rest or next(iter(ARCHIVES))
        if archive not in ARCHIVES and not Path(archive).exists():
            raise ValueError(f"JARVIS: {archive!r} is no file, and no archive; there are {', '.join(ARCHIVES)}")
        return Jarvis(archive, folder, target, unit, page_size)
    if not Path(source).exists():
        raise ValueError(
            f"{source}: neither a file or folder, nor mp, jarvis, optimade:NAME, or the URL of an OPTIMADE provider"
        )
    return Folder(Path(source), target)


def _criteria(text: str) -> dict[str, Any]:
    try:
        criteria = json.loads(text or "{}")
    except ValueError as error:
        raise ValueError(f'--filter for mp is JSON, such as \'{{"formula": "ABO3"}}\': {error}') from None
    if not isinstance(criteria, dict):
        raise ValueError("--filter for mp is a JSON object with arguments of mp-api's summary search")
    return criteria


def _name_of(source: str) -> str:
    """A dataset's name for a source: its last part, without what a shell or a table trips over."""
    from qperov.datasets.names import name_of

    path = Path(source)
    last = path.resolve().name.split(".")[0] if path.exists() else re.sub(r"^https?://", "", source)
    return name_of(last)


def _tell(report: FetchReport, store: Path, every_issue: bool) -> None:
    record = report.record
    screen.echo(f"{store}: dataset {record.dataset!r}, {report.added} new crystals, {report.structures} in all")
    screen.echo(record.sentence)
    if record.repeated:
        screen.echo(f"{record.repeated} entries came more than once, the same each time", err=True)
    screen.tell_issues(report.issues, "--all prints every one; they are kept with the dataset", every_issue)
    if not record.complete:
        screen.echo("not all pages are there yet: the same command goes on", err=True)
