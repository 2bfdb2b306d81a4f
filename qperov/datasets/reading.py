"""Reads crystals with one target each from files, folders and archives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from qperov.crystals.files.discovery import find_sources
from qperov.crystals.files.entries import Entry, read_entries
from qperov.crystals.files.labels import join_labels
from qperov.crystals.files.sources import kind_of
from qperov.crystals.files.vasp_run import EnergyKind
from qperov.crystals.units import ENERGY_UNITS, convert_energies, unit_of_column
from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.label_cautions import label_cautions
from qperov.datasets.names import name_of
from qperov.datasets.pattern_dataset import PatternDataset
from qperov.datasets.pattern_reading import ENDINGS, FOLDERS, SHARED_ENDINGS, find_scans, read_patterns
from qperov.diffraction.measured import MeasuredPattern
from qperov.diffraction.measured_reading import UNKNOWN, read_scans
from qperov.errors import (
    DuplicateIdError,
    EmptyDatasetError,
    InvalidLabelError,
    MissingLabelError,
    ReadingError,
    escape_controls,
)
from qperov.evaluation.progress import Progress, callback_or_bar

_MOST_REMARKS = 10
#: So many tables and notes are looked into for a scan.
_MOST_PROBES = 20
_RUN_ENERGIES = {"energy": "eV/cell", "energy_per_atom": "eV/atom"}


def read(
    path: str | Path,
    *,
    target: str | None = None,
    labels: str | Path | None = None,
    id_columns: str | Sequence[str] | None = None,
    unit: str | None = None,
    convert: str | None = None,
    energy: EnergyKind = "toten",
    wavelength: str | float | None = None,
    skip_bad_lines: bool = False,
    groups: str = "patterns",
    group_column: str | None = None,
    two_theta_range: tuple[float, float] | None = None,
    strict: bool = False,
    progress: Progress | bool | None = None,
) -> CrystalDataset | PatternDataset:
    """Read a file, a folder (with all below it) or an archive into a dataset of crystals or of measured patterns.

    Read are POSCAR and CONTCAR (VASP 4 and 5), CIF, finished VASP runs (a folder with OUTCAR or vasprun.xml) and
    Quantum ESPRESSO runs (a folder with pw.out), extended XYZ and ASE databases, each also compressed by gzip, bzip2 or
    xz (databases not), and tar and zip archives of them
    (databases not). Other files are passed over. Nothing that a file holds is executed.

    A folder without crystals may hold measured patterns, in all formats of `read_measured_pattern`; a file may hold
    several scans. Those are checked for what no counter gives (see `read_scans`), and become a PatternDataset.

    An id is the path relative to ``path`` without generic names (POSCAR, CONTCAR, vasprun.xml) and without endings;
    files with several structures add ``#0``, ``#1``… What cannot be used is listed in ``issues`` with its reason.

    Parameters
    ----------
    path : str or Path
    target : str, optional
        ``"energy"`` (total, eV per cell) or ``"energy_per_atom"`` (eV per atom) of runs, frames and database rows; or a
        column of ``labels``; or a numeric key of frames and database rows. Only structures with a valid value stay.
        Without a target only structures are read. A column of words labels patterns with classes.
    labels : str or Path, optional
        CSV or Parquet table with the target; ``"folders"`` labels patterns with the folders that they lie in. If it is
        not given and the folder holds exactly one file ``labels.csv``, that one is taken for a target that the
        structures' own files do not give.
    id_columns : str or sequence of str, optional
        Columns of ``labels`` that, joined by ``/``, name a structure; see ``labels.join_labels``.
    unit : str, optional
        Unit of the target as it stands. Deduced for energies of runs and for columns such as ``energy_mev_per_atom``.
    convert : str, optional
        Unit wanted: ``eV/cell``, ``eV/atom``, ``meV/cell`` or ``meV/atom``.
    energy : {"toten", "sigma0"}
        Which energy of a VASP run: the free energy, or the energy for zero smearing.
    wavelength : str or float, optional
        Of patterns: radiation known to pymatgen, or Å; by default what each file says; ``"unknown"`` if nobody knows.
    skip_bad_lines : bool
        Leave out lines that break the columns of a scan; the cautions count them.
    groups : {"patterns", "names"}
        Which patterns a split must not part: those with a correlation of 0.99 or more, or those whose files' names
        begin with one word, amounts and digits apart (see `near_identical`, `series_of`). Scans of one file always.
    group_column : str, optional
        Column of ``labels`` that has the groups of patterns instead.
    two_theta_range : (float, float), optional
        Degrees that every pattern must cover.
    strict : bool
        Raise the first issue instead of listing it.
    progress : Progress or bool, optional
        Told the id of each entry; True for a bar, which is the default at a prompt and in a notebook.

    Raises
    ------
    EmptyDatasetError
        If nothing usable is left.
    UnreadableFileError, FileFormatError
        If ``path`` does not exist or is a file of an unknown kind.
    LabelError
        If the table of labels cannot be joined to the structures.
    ReadingError
        With ``strict``, at the first problem.
    ValueError
        For an unknown ``energy``, a table without a target, or units that cannot be converted.

    Examples
    --------
    >>> import pathlib, tempfile, qperov
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> crystal = qperov.load_dataset("abx3_radii").structures[0]
    >>> _ = crystal.to(filename=str(folder / "first.cif"))
    >>> _ = (folder / "labels.csv").write_text("id,gap_ev\\nfirst,1.5\\n")
    >>> found = qperov.read(folder, target="gap_ev")
    >>> found.ids, found.y.tolist()
    (('first',), [1.5])
    """
    root = Path(path)
    if str(labels) == FOLDERS or _holds_scans(root):
        if convert is not None:
            raise ValueError("convert turns energies of crystals into each other; measured patterns have a unit alone")
        with callback_or_bar(progress, "Reading") as told:
            return read_patterns(
                root,
                target=target,
                labels=labels,
                id_columns=id_columns,
                unit=unit,
                wavelength=wavelength,
                skip_bad_lines=skip_bad_lines,
                groups=groups,
                group_column=group_column,
                two_theta_range=two_theta_range,
                strict=strict,
                progress=told,
            )
    if energy not in ("toten", "sigma0"):
        raise ValueError(f"energy must be 'toten' or 'sigma0', not {energy!r}")
    if labels is not None and target is None:
        raise ValueError(f"{labels}: name the column that holds the labels (target)")
    if convert is not None and (target is None or convert not in ENERGY_UNITS):
        raise ValueError(f"convert needs a target, and one of the units {', '.join(ENERGY_UNITS)}; got {convert!r}")
    found = find_sources(root)
    issues = list(found.issues)
    entries: dict[str, Entry] = {}
    with callback_or_bar(progress, "Reading") as told:
        for entry_id, item in read_entries(found.sources, root, energy, told):
            if isinstance(item, ReadingError):
                issues.append(item)
            elif entry_id in entries:
                reason = f"the id {entry_id!r} was already taken by {entries[entry_id].source}, which was kept"
                issues.append(DuplicateIdError(item.source, reason))
            else:
                entries[entry_id] = item
    dataset = CrystalDataset(
        name=name_of(root.resolve().name.split(".")[0]),
        structures=tuple(entry.structure for entry in entries.values()),
        ids=tuple(entries),
        issues=tuple(issues),
        cautions=_remarks(entries),
    )
    if target is not None and entries:
        table = _table(labels, target, found.label_tables, list(entries.values()))
        dataset = _labelled(dataset, list(entries.values()), target, table, id_columns)
        dataset = _with_unit(dataset, unit, convert)
        assert dataset.y is not None
        odd = label_cautions(dataset.y, dataset.ids, target, dataset.unit)
        dataset = replace(dataset, cautions=(*dataset.cautions, *odd))
    if strict and dataset.issues:
        first = dataset.issues[0]
        raise type(first)(
            first.path, f"{first.reason} (the first of {len(dataset.issues)} problems; reading is strict)"
        )
    if not len(dataset):
        raise EmptyDatasetError(_why_empty(root, dataset.issues))
    return dataset


def _holds_scans(root: Path) -> bool:
    """Whether a path is a scan, or a folder with scans and without crystals."""
    if root.is_file():
        return root.suffix.lower() in (*ENDINGS, *SHARED_ENDINGS) and kind_of(root.name) is None
    scans = find_scans(root) if root.is_dir() else []
    first = sorted(scans, key=lambda file: file.suffix.lower() not in ENDINGS)
    return any(map(_is_scan, first[:_MOST_PROBES])) and not find_sources(root).sources


def _is_scan(file: Path) -> bool:
    """Whether a file's ending says so, or, of a table or note, what is in it."""
    return file.suffix.lower() in ENDINGS or any(
        isinstance(scan, MeasuredPattern) for scan in read_scans(file, wavelength=UNKNOWN)
    )


def _table(given: str | Path | None, target: str, found: list[Path], entries: list[Entry]) -> Path | None:
    """The table that holds the target, or None if the structures' own files do."""
    if given is not None:
        return Path(given)
    if target in _RUN_ENERGIES or len(found) != 1 or any(target in entry.properties for entry in entries):
        return None
    return found[0]


def _labelled(
    dataset: CrystalDataset,
    entries: list[Entry],
    target: str,
    table: Path | None,
    id_columns: str | Sequence[str] | None,
) -> CrystalDataset:
    """The dataset of those entries that have a valid value of the target."""
    sources = [entry.source for entry in entries]
    issues: list[ReadingError] = []
    if table is not None:
        joined = join_labels(dataset.ids, sources, table, target, id_columns)
        values, unit = joined.values, unit_of_column(target)
        provenance = [joined.provenance] * len(entries)
        issues.extend(joined.issues)
    else:
        key = "energy" if target in _RUN_ENERGIES and target not in _keys(entries) else target
        unit = _RUN_ENERGIES.get(target) or unit_of_column(target)
        values = np.array([entry.properties.get(key, np.nan) for entry in entries])
        if key != target:
            values = convert_energies(values, dataset.structures, "eV/cell", "eV/atom")
        provenance = [entry.provenance.get(key, "") for entry in entries]
        known = ", ".join(sorted(_keys(entries))) or "nothing"
        reason = f"no value of {target!r} (the files give {known}); name a table that has it with labels"
        for source, value in zip(sources, values, strict=True):
            if np.isinf(value):
                issues.append(InvalidLabelError(source, f"the label {target} is {value}, not a finite number"))
            elif np.isnan(value):
                issues.append(MissingLabelError(source, reason))
    rows = np.flatnonzero(np.isfinite(values))
    return replace(
        dataset,
        structures=tuple(dataset.structures[i] for i in rows),
        ids=tuple(dataset.ids[i] for i in rows),
        y=values[rows],
        target=target,
        unit=unit,
        provenance=tuple(provenance[i] for i in rows),
        issues=(*dataset.issues, *issues),
    )


def _keys(entries: list[Entry]) -> set[str]:
    return {name for entry in entries for name in entry.properties}


def _remarks(entries: Mapping[str, Entry]) -> tuple[str, ...]:
    """What readers had to assume or to mend, each once, with the number of structures that it concerns."""
    concerned: dict[str, list[str]] = {}
    for entry_id, entry in entries.items():
        for remark in entry.remarks:
            concerned.setdefault(remark, []).append(entry_id)
    said = [
        f"{ids[0]}: {remark}" if len(ids) == 1 else f"{len(ids)} structures, such as {ids[0]}: {remark}"
        for remark, ids in sorted(concerned.items(), key=lambda item: -len(item[1]))
    ]
    more = [f"{len(said) - _MOST_REMARKS} more remarks of this kind"] if len(said) > _MOST_REMARKS else []
    return tuple(escape_controls(sentence) for sentence in (*said[:_MOST_REMARKS], *more))


def _with_unit(dataset: CrystalDataset, declared: str | None, wanted: str | None) -> CrystalDataset:
    """The dataset with the declared unit, then converted to the one wanted."""
    if declared is not None and dataset.unit is not None and declared != dataset.unit:
        raise ValueError(
            f"{dataset.target} is in {dataset.unit}, not {declared!r}; to convert it use convert={declared!r}"
        )
    unit = dataset.unit or declared
    if wanted is None or wanted == unit:
        return replace(dataset, unit=unit)
    assert dataset.y is not None
    return replace(dataset, y=convert_energies(dataset.y, dataset.structures, unit, wanted), unit=wanted)


def _why_empty(root: Path, issues: Sequence[ReadingError]) -> str:
    if not issues:
        return (
            f"{root}: no crystal files found (POSCAR, CIF, VASP runs, extended XYZ, ASE databases, archives of these)"
        )
    kinds = Counter(type(issue).__name__ for issue in issues)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    first_of = {type(issue).__name__: issue for issue in reversed(issues)}
    examples = "".join(f"\n  {first_of[kind]}" for kind, _ in kinds.most_common())
    return f"{root}: nothing usable among what was read ({counts}). The first of each:{examples}"
