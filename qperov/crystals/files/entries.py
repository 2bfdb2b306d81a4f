"""Turns files into entries: a structure with an id and what its file says about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pymatgen.core import Structure

from qperov.crystals.files.cif import read_cif
from qperov.crystals.files.espresso_run import parse_pw_output
from qperov.crystals.files.formats import (
    Entry,
    Read,
    check_elements,
    is_ase_json,
    read_ase_database,
    read_ase_json,
    read_xyz,
)
from qperov.crystals.files.poscar import parse_poscar
from qperov.crystals.files.sources import Source
from qperov.crystals.files.vasp_run import EnergyKind, VaspRun, check_belongs, parse_outcar, parse_vasprun
from qperov.crystals.plausibility import check_cell
from qperov.errors import DuplicateIdError, FileFormatError, ReadingError
from qperov.evaluation.progress import Progress

_RUN_FILES = ("OUTCAR", "vasprun.xml", "pw.out", "CONTCAR", "POSCAR")
_OUTPUTS = ("outcar", "vasprun", "pw_output")


def read_entries(
    sources: list[Source], root: Path, energy: EnergyKind, progress: Progress | None = None
) -> Iterator[tuple[str, Read]]:
    """Ids with the entry, or the reason why there is none, in the order of the sources.

    The files of one VASP run make one entry. A file with several structures gives the ids ``…#0``, ``…#1``, ….
    """
    groups = _groups(sources)
    for done, group in enumerate(groups, start=1):
        name = group[0].id if len(group) == 1 else "/".join(group[0].parts[:-1])
        items = list(_guarded(group, energy, named_directly=not root.is_dir()))
        for i, item in enumerate(items):
            entry_id = name or _name_of_root(root)
            yield (f"{entry_id}#{i}" if len(items) > 1 else entry_id), item
        if progress is not None:
            progress(done, len(groups), name or _name_of_root(root))


def _name_of_root(root: Path) -> str:
    """What an entry is called whose relative path is nothing but a generic file name."""
    resolved = root.resolve()
    return resolved.parent.name if resolved.name.startswith(_RUN_FILES) else resolved.name.split(".")[0]


def _groups(sources: list[Source]) -> list[list[Source]]:
    """The sources, with those of one VASP run together."""
    runs: dict[str, list[Source]] = {}
    outputs = {source.folder for source in sources if source.kind in _OUTPUTS}
    groups: list[list[Source]] = []
    for source in sources:
        if source.folder in outputs and source.name in _RUN_FILES:
            if source.folder not in runs:
                runs[source.folder] = []
                groups.append(runs[source.folder])
            runs[source.folder].append(source)
        else:
            groups.append([source])
    return groups


def _guarded(group: list[Source], energy: EnergyKind, named_directly: bool) -> Iterator[Read]:
    """What the group holds, checked for plausibility; every failure becomes an item, so that reading goes on."""
    try:
        for item in _read_group(group, energy, named_directly):
            if isinstance(item, Entry):
                try:
                    check_elements(item.structure, item.source)
                    check_cell(item.structure, item.source)
                except ReadingError as error:
                    yield error
                    continue
            yield item
    except ReadingError as error:
        yield error
    except MemoryError:
        yield FileFormatError(group[0].path, "memory does not suffice for it; split it, or read it on a larger machine")
    except Exception as error:  # a file may break a third party's parser in ways nobody listed
        yield FileFormatError(group[0].path, f"cannot be read ({type(error).__name__}: {error})")


def _read_group(group: list[Source], energy: EnergyKind, named_directly: bool) -> Iterator[Read]:
    source = group[0]
    if any(member.kind in _OUTPUTS for member in group):
        yield from _read_run(group, energy)
    elif source.kind == "poscar":
        yield Entry(parse_poscar(source.text(), source.path), source.path)
    elif source.kind == "cif":
        yield from read_cif(source.text(), source.path)
    elif source.kind == "xyz":
        yield from read_xyz(source.text(), source.path)
    elif source.kind == "json":
        text = source.text()
        if is_ase_json(text):
            yield from read_ase_json(text, source.path)
        elif named_directly:
            yield FileFormatError(source.path, "not an ASE database in JSON")
    elif source.file is None:
        yield FileFormatError(source.path, "an ASE database is not read from within an archive; extract it first")
    else:
        yield from read_ase_database(source.file, source.path)


def _read_run(group: list[Source], energy: EnergyKind) -> Iterator[Read]:
    files: dict[str, Source] = {}
    for source in group:
        if source.name in files:
            reason = f"the run already has {files[source.name].path}, which was kept"
            yield DuplicateIdError(source.path, reason)
        files.setdefault(source.name, source)
    output = files.get("OUTCAR") or files.get("vasprun.xml") or files["pw.out"]
    if output.name == "pw.out":
        run = parse_pw_output(output.read(), output.path)
    else:
        run = (parse_outcar if output.name == "OUTCAR" else parse_vasprun)(output.read(), output.path, energy)
    geometry = files.get("CONTCAR") or (files.get("POSCAR") if run.static else None)
    if geometry is not None:
        structure = parse_poscar(geometry.text(), geometry.path)
        check_belongs(structure, run, geometry.path)
    elif run.structure is not None:
        structure = run.structure
    elif "vasprun.xml" in files:
        structure = _structure_of(files["vasprun.xml"], run, energy)
    else:
        raise FileFormatError(output.path, "no CONTCAR beside it: the run's last structure is missing")
    yield Entry(structure, output.path, {"energy": run.energy}, {"energy": run.provenance})


def _structure_of(source: Source, run: VaspRun, energy: EnergyKind) -> Structure:
    last = parse_vasprun(source.read(), source.path, energy).structure
    assert last is not None  # a vasprun.xml without one is refused by its parser
    check_belongs(last, run, source.path)
    return last
