"""Reads measured patterns with one target each from files and folders."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from qperov.crystals.files.labels import JoinedLabels, join_labels
from qperov.crystals.units import unit_of_column
from qperov.datasets.label_cautions import label_cautions
from qperov.datasets.names import name_of
from qperov.datasets.pattern_dataset import NEAR_IDENTICAL, PatternDataset, groups_of, near_identical, series_of
from qperov.diffraction.measured import MeasuredPattern
from qperov.diffraction.measured_reading import read_scans
from qperov.errors import (
    DuplicateIdError,
    EmptyDatasetError,
    IntensityError,
    InvalidLabelError,
    LabelError,
    MissingLabelError,
    ReadingError,
    UnreadableFileError,
    escape_controls,
)
from qperov.evaluation.progress import Progress
from qperov.evaluation.splits import merge_groups

#: Endings that only scans have, and endings that tables and notes have too.
ENDINGS = (".xy", ".xye", ".xrdml", ".ras", ".rasx", ".uxd", ".raw", ".brml", ".asc")
SHARED_ENDINGS = (".csv", ".dat", ".txt")
#: ``labels`` of this kind are the names of the folders.
FOLDERS = "folders"
#: How groups are found where no column has them.
GROUPINGS = ("patterns", "names")


def find_scans(root: Path, labels: Path | None = None) -> list[Path]:
    """Scans of a folder and all below it, sorted, or the one file named; hidden files and tables of labels are not."""
    if root.is_file():
        return [root] if root.suffix.lower() in (*ENDINGS, *SHARED_ENDINGS) else []
    found = []
    for folder, inside, names in os.walk(root):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        found += [
            Path(folder, name)
            for name in names
            if not name.startswith(".")
            and Path(name).suffix.lower() in (*ENDINGS, *SHARED_ENDINGS)
            and name not in ("labels.csv", "README.txt")
        ]
    table = None if labels is None else labels.resolve()
    return sorted(path for path in found if path.resolve() != table)


def read_patterns(
    path: str | Path,
    *,
    target: str | None = None,
    labels: str | Path | None = None,
    id_columns: str | Sequence[str] | None = None,
    unit: str | None = None,
    wavelength: str | float | None = None,
    skip_bad_lines: bool = False,
    groups: str = "patterns",
    group_column: str | None = None,
    two_theta_range: tuple[float, float] | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> PatternDataset:
    """Read scans; `qperov.read` calls this and documents the parameters."""
    if groups not in GROUPINGS:
        raise ValueError(f"groups must be one of {', '.join(GROUPINGS)}, not {groups!r}")
    root = Path(path)
    by_folder = str(labels) == FOLDERS
    table = None if labels is None or by_folder else Path(labels)
    if (table is None) != (target is None) and not by_folder and root.is_dir() and (root / "labels.csv").is_file():
        table = root / "labels.csv"
    if target is not None and table is None and not by_folder:
        raise ValueError(f"scans do not hold {target!r}: name the table that does (labels), or labels='folders'")
    if group_column is not None and table is None:
        raise ValueError(f"the groups {group_column!r} are a column of a table: name it (labels)")
    if not root.exists():
        raise UnreadableFileError(root, "No such file or directory")
    patterns, files, issues = _read_all(find_scans(root, table), root, wavelength, skip_bad_lines, progress)
    patterns, others = _of_one_unit(patterns)
    issues += others
    ids = tuple(patterns)
    dataset = PatternDataset(
        name=name_of(root.resolve().name.split(".")[0]),
        patterns=tuple(patterns.values()),
        ids=ids,
        issues=tuple(issues),
        cautions=_cautions(patterns),
    )
    if ids:
        dataset = replace(dataset, known_groups=_groups(dataset, files, groups, group_column, table, id_columns))
        dataset = replace(dataset, cautions=(*dataset.cautions, _grouping(groups, group_column, dataset.groups)))
        if by_folder:
            dataset = _of_folders(dataset, target or "class")
        elif target is not None and table is not None:
            dataset = _labelled(dataset, files, target, table, id_columns, unit)
    if two_theta_range is not None:
        dataset = dataset.within(*two_theta_range)
    if strict and dataset.issues:
        first = dataset.issues[0]
        raise type(first)(
            first.path, f"{first.reason} (the first of {len(dataset.issues)} problems; reading is strict)"
        )
    if not len(dataset):
        kinds = Counter(type(issue).__name__ for issue in dataset.issues)
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()) or "no files of scans"
        first_of = {type(issue).__name__: issue for issue in reversed(dataset.issues)}
        examples = "".join(f"\n  {first_of[kind]}" for kind, _ in kinds.most_common())
        raise EmptyDatasetError(f"{root}: no measured pattern can be used ({counts}){examples}")
    return dataset


def _read_all(
    found: list[Path],
    root: Path,
    wavelength: str | float | None,
    skip_bad_lines: bool,
    progress: Progress | None,
) -> tuple[dict[str, MeasuredPattern], dict[str, Path], list[ReadingError]]:
    """Patterns and files by id, and what could not be read."""
    patterns: dict[str, MeasuredPattern] = {}
    files: dict[str, Path] = {}
    issues: list[ReadingError] = []
    for done, file in enumerate(found, 1):
        relative = file.relative_to(root) if file != root else Path(file.name)
        base = escape_controls(relative.with_suffix("").as_posix())
        scans = read_scans(file, wavelength=wavelength, skip_bad_lines=skip_bad_lines)
        for number, scan in enumerate(scans):
            key = base if len(scans) == 1 else f"{base}#{number}"
            if isinstance(scan, ReadingError):
                issues.append(scan)
            elif key in patterns:
                reason = f"the id {key!r} was already taken by {files[key]}, which was kept"
                issues.append(DuplicateIdError(file, reason))
            else:
                patterns[key], files[key] = replace(scan, name=key), file
        if progress is not None:
            progress(done, len(found), base)
    return patterns, files, issues


def _of_one_unit(patterns: dict[str, MeasuredPattern]) -> tuple[dict[str, MeasuredPattern], list[ReadingError]]:
    """The patterns of the most frequent unit of intensity, and those whose unit is not known; the others are errors."""
    units = Counter(pattern.unit for pattern in patterns.values() if pattern.unit)
    if len(units) < 2:
        return patterns, []
    (usual, many), *_ = units.most_common()
    odd = {key: p for key, p in patterns.items() if p.unit not in (None, usual)}
    issues: list[ReadingError] = [
        IntensityError(key, f"intensities in {p.unit}, where {many} other scans are in {usual}; export all in one unit")
        for key, p in odd.items()
    ]
    return {key: p for key, p in patterns.items() if key not in odd}, issues


def _cautions(patterns: dict[str, MeasuredPattern]) -> tuple[str, ...]:
    said = [f"{key}: {remark}" for key, pattern in patterns.items() for remark in pattern.remarks]
    unknown = sum(pattern.wavelength is None for pattern in patterns.values())
    if unknown:
        said.append(f"The wavelength of {unknown} patterns is not known: they have no d-spacings.")
    wavelengths = sorted({round(p.wavelength, 5) for p in patterns.values() if p.wavelength is not None})
    if len(wavelengths) > 1:
        said.append(f"Patterns of different wavelengths: {', '.join(f'{each:g}' for each in wavelengths)} Å.")
    return tuple(escape_controls(sentence) for sentence in said)


def _groups(
    dataset: PatternDataset,
    files: dict[str, Path],
    groups: str,
    column: str | None,
    table: Path | None,
    id_columns: str | Sequence[str] | None,
) -> np.ndarray:
    """Groups by a column, by the names of series, or by likeness; scans of one file always belong together."""
    same_file = groups_of([str(files[key]) for key in dataset.ids])
    if column is not None:
        assert table is not None
        cells = _joined(dataset, files, table, column, id_columns).texts
        # what the table does not name stands alone
        chosen = groups_of([cell or f"\0{key}" for key, cell in zip(dataset.ids, cells, strict=True)])
    elif groups == "names":
        # one batch is numbered in its own folder; a series may go through several
        names = [PurePosixPath(key.rpartition("#")[0] or key) for key in dataset.ids]
        chosen = groups_of([series_of(name.name) or f"\0{name.parent}" for name in names])
    else:
        chosen = near_identical(dataset.patterns)
    return merge_groups(chosen, same_file)


def _grouping(groups: str, column: str | None, found: np.ndarray) -> str:
    """How groups were found, for the cautions."""
    count = len(np.unique(found))
    if column is not None:
        return f"{count} groups by the column {column}."
    if groups == "names":
        return f"{count} groups by names: the first word of a file's name without amounts and digits."
    return (
        f"{count} groups: patterns with a correlation of {NEAR_IDENTICAL:g} or more are taken for repeats; series and "
        "batches that the patterns do not show need a column of groups, or groups by names."
    )


def _of_folders(dataset: PatternDataset, target: str) -> PatternDataset:
    folders = [PurePosixPath(key).parent.as_posix() for key in dataset.ids]
    known = [row for row, folder in enumerate(folders) if folder != "."]
    issues = [
        MissingLabelError(dataset.ids[row], "in no folder that could name its class; move it into one")
        for row, folder in enumerate(folders)
        if folder == "."
    ]
    return replace(
        dataset.take(known),
        y=np.array([folders[row] for row in known], dtype=str),
        target=target,
        provenance=("name of the folder",) * len(known),
        issues=(*dataset.issues, *issues),
    )


def _labelled(
    dataset: PatternDataset,
    files: dict[str, Path],
    target: str,
    table: Path,
    id_columns: str | Sequence[str] | None,
    unit: str | None,
) -> PatternDataset:
    """The patterns that have a label: numbers, or classes if no cell begins with one."""
    joined = _joined(dataset, files, table, target, id_columns)
    numeric = any(re.match(r"[+-]?\.?\d", text) for text in joined.texts)
    have = np.isfinite(joined.values) if numeric else np.array([bool(text) for text in joined.texts])
    rows = np.flatnonzero(have)
    issues = [issue for issue in joined.issues if numeric or not isinstance(issue, InvalidLabelError)]
    labelled = replace(
        dataset.take(rows),
        y=joined.values[rows] if numeric else np.array([joined.texts[row] for row in rows], dtype=str),
        target=target,
        unit=(unit_of_column(target) or unit) if numeric else None,
        provenance=(joined.provenance,) * len(rows),
        issues=(*dataset.issues, *issues),
    )
    if numeric and len(rows):
        assert labelled.y is not None
        odd = label_cautions(labelled.y, labelled.ids, target, labelled.unit)
        labelled = replace(labelled, cautions=(*labelled.cautions, *odd))
    return labelled


def _joined(
    dataset: PatternDataset,
    files: dict[str, Path],
    table: Path,
    column: str,
    id_columns: str | Sequence[str] | None,
) -> JoinedLabels:
    """Cells of a column by ids, or by the names of files with their endings, whichever name more patterns."""
    sources = [str(files[key]) for key in dataset.ids]
    endings = tuple(f"{key.partition('#')[0]}{files[key].suffix}{key.partition('#')[1]}" for key in dataset.ids)
    found: list[JoinedLabels] = []
    failure: LabelError | None = None
    for ids in dict.fromkeys((dataset.ids, endings if len(set(endings)) == len(endings) else dataset.ids)):
        try:
            found.append(join_labels(ids, sources, table, column, id_columns))
        except LabelError as error:
            failure = failure or error
    if not found:
        assert failure is not None
        raise failure
    return max(found, key=lambda joined: sum(map(bool, joined.texts)))
