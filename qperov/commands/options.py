"""Options that several commands share, and commands that take groups of options as frozen values."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_STORE = Path("qperov.db")
StorePath = Annotated[Path, typer.Option("--store", help="The SQLite store.")]


@dataclass(frozen=True)
class Source:
    """Where crystals and their labels come from."""

    path: Annotated[
        Path,
        typer.Argument(
            help="File, folder or archive: POSCAR/CONTCAR, CIF, VASP runs, extxyz, ASE databases; a folder of scans "
            "(xy, xrdml, rasx, …); or the name of a dataset that `qperov data list` shows."
        ),
    ]
    labels: Annotated[
        Path | None, typer.Option(help="CSV or Parquet table with the target; folders: that of a scan is its class.")
    ] = None
    target: Annotated[
        str | None, typer.Option(help="Column of the table, or energy / energy_per_atom from the runs themselves.")
    ] = None
    id_columns: Annotated[
        str | None,
        typer.Option(help="Columns of the table that name a structure, separated by commas; deduced where possible."),
    ] = None
    unit: Annotated[str | None, typer.Option(help="Unit of the target, such as eV/cell; deduced where possible.")] = (
        None
    )
    convert: Annotated[
        str | None, typer.Option(help="Unit wanted. Energies are shown in meV/atom unless this says otherwise.")
    ] = None
    energy: Annotated[str, typer.Option(help="Energy of a VASP run: toten (last) or sigma0.")] = "toten"
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first file or label that cannot be used.")] = (
        False
    )


@dataclass(frozen=True)
class Scans:
    """How measured patterns are read; crystals need none of it."""

    wavelength: Annotated[
        str | None,
        typer.Option(help="Radiation of measured patterns, such as CuKa, or Å; unknown; by default as files say."),
    ] = None
    skip_bad_lines: Annotated[
        bool, typer.Option("--skip-bad-lines", help="Leave out damaged lines of measured patterns, and count them.")
    ] = False
    groups: Annotated[
        str, typer.Option(help="Measured patterns that stay in one fold: near-identical patterns, or series by names.")
    ] = "patterns"
    group_column: Annotated[
        str | None, typer.Option(help="Column of the table that names the group of a measured pattern.")
    ] = None
    two_theta: Annotated[
        str | None, typer.Option("--range", help="2θ in degrees that measured patterns must cover, such as 10,60.")
    ] = None

    def values(self) -> dict[str, Any]:
        """The arguments of `qperov.read`.

        Raises
        ------
        OptionError
            If the range is not two numbers that ascend.
        """
        from qperov.errors import OptionError

        wavelength: str | float | None = self.wavelength
        with suppress(TypeError, ValueError):
            wavelength = float(self.wavelength)  # type: ignore[arg-type]
        limits = None
        if self.two_theta is not None:
            try:
                low, high = map(float, self.two_theta.split(","))
            except ValueError:
                low, high = 0.0, 0.0
            if not low < high:
                raise OptionError(f"--range: two angles in degrees that ascend, such as 10,60, not {self.two_theta!r}")
            limits = (low, high)
        return {
            "wavelength": wavelength,
            "skip_bad_lines": self.skip_bad_lines,
            "groups": self.groups,
            "group_column": self.group_column,
            "two_theta_range": limits,
        }


def with_values(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command one option for each field of the dataclasses among its parameters."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parameters = []
    for parameter in signature(command).parameters.values():
        if parameter.name in groups:
            kind = groups[parameter.name]
            own = get_type_hints(kind, include_extras=True)
            found = [(field.name, field.default, own[field.name]) for field in fields(kind)]
        else:
            found = [(parameter.name, parameter.default, hints[parameter.name])]
        for name, value, annotation in found:
            default = Parameter.empty if value is MISSING else value
            parameters.append(Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation))

    @wraps(command)
    def expanded(**given: Any) -> Any:
        values = {name: kind(**{f.name: given.pop(f.name) for f in fields(kind)}) for name, kind in groups.items()}
        return command(**given, **values)

    expanded.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return expanded


@contextmanager
def checking(option: str) -> Iterator[None]:
    """Say of a value that the library refuses on which option it stands."""
    from qperov.errors import OptionError, QperovError

    try:
        yield
    except QperovError:
        raise
    except ValueError as error:
        raise OptionError(f"{option}: {error}") from error


@contextmanager
def as_typed() -> Iterator[None]:
    """Call the arguments of `qperov.read` in its errors by their options."""
    from qperov.commands.screen import as_options
    from qperov.errors import EmptyDatasetError, OptionError, ReadingError

    try:
        yield
    except ReadingError as error:
        raise type(error)(error.path, as_options(error.reason)) from error
    except EmptyDatasetError as error:
        raise EmptyDatasetError(as_options(str(error))) from error
    except ValueError as error:
        raise OptionError(as_options(str(error))) from error


def check_rope(rope: str) -> None:
    """Raise OptionError, before anything is computed, if no region of practical equivalence is as wide."""
    import numpy as np

    from qperov.evaluation.significance import region_half_width

    with checking("--rope"):
        region_half_width(rope, np.zeros(1))


def check_writable(folder: Path, option: str) -> None:
    """Raise OptionError, before anything is computed, if no file can be made in a folder or where it is to be made."""
    from qperov.errors import OptionError

    try:
        with TemporaryFile(dir=next(each for each in (folder, *folder.absolute().parents) if each.exists())):
            pass
    except OSError as error:
        raise OptionError(f"{option}: {folder} is not writable ({error.strerror}): choose another place") from error


def check_store(store: Path) -> None:
    """Raise OptionError or StoreError, before anything is computed, if a store cannot be written to."""
    from qperov.datasets.store import Store
    from qperov.errors import OptionError, StoreError

    if store.exists():
        with Store(store) as opened:
            try:
                with opened.transaction():
                    opened.connection.execute("DELETE FROM datasets WHERE 0")  # nothing, but it asks for the right
            except StoreError as error:
                raise OptionError(f"--store: {error}: choose another place") from error
    elif not store.parent.is_dir():
        raise OptionError(f"--store: there is no folder {store.parent}: make it, or choose another place")
    else:
        check_writable(store.parent, "--store")
