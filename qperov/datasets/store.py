"""SQLite store of structures, measured patterns, labels, predictions and relaxations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from qperov import errors
from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.fetch_record import FetchRecord
from qperov.datasets.names import check_name
from qperov.datasets.pattern_dataset import PatternDataset
from qperov.datasets.pattern_store import KIND, add_scans, load_scans, scan_table
from qperov.datasets.store_file import StoreFile
from qperov.datasets.structure_text import content_id, from_text, to_text
from qperov.errors import ReadingError, StoreError
from qperov.storage.atomic import atomic_path, require_room
from qperov.storage.plain_values import plain_cells

#: Classes of issues by their names; what the store names otherwise is a ReadingError.
ISSUES = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, ReadingError)
}

#: What an entry takes in the file beside the text of its structure: its row, its label, and their indexes.
ENTRY_BYTES = 600


@dataclass(frozen=True)
class AddedCounts:
    """What an import added: rows that were not there before; a measured pattern counts as a structure."""

    structures: int
    memberships: int
    labels: int
    issues: int


@dataclass(frozen=True)
class DatasetInfo:
    """What the store holds of a dataset."""

    name: str
    target: str | None
    unit: str | None
    structures: int
    labelled: int
    issues: int
    predictions: int


class Store(StoreFile):
    """Datasets in one SQLite file, with their predictions and relaxations; see `StoreFile` for how it is opened.

    Examples
    --------
    >>> import pathlib, tempfile, qperov
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "crystals.db"
    >>> with Store(file) as store:
    ...     added = store.add(qperov.load_dataset("abx3_radii").take(range(3)))
    ...     (added.structures, store.names(), len(store.load("abx3_radii")))
    (3, ['abx3_radii'], 3)
    """

    def add(self, dataset: CrystalDataset | PatternDataset) -> AddedCounts:
        """Add a dataset under its name, or what is new in it; adding the same twice adds nothing.

        Raises
        ------
        DatasetNameError
            If the name is no identifier.
        StoreError
            If the name is taken by a dataset of another kind, target, unit or label noise, an id already stands for
            another sample, or the same label of the same entry has another value. Then nothing is written.
        DiskSpaceError
            If the disk has no room for the samples, before anything is written.
        """
        check_name(dataset.name)
        if dataset.y is not None and dataset.y.dtype.kind == "f" and not np.isfinite(dataset.y).all():
            raise StoreError(f"{dataset.name}: a label is not finite; nothing was written")
        with self.transaction():
            before = self._counts()
            key = self._dataset_key(dataset)
            if isinstance(dataset, PatternDataset):
                add_scans(self, dataset, key)
            else:
                self._add_structures(dataset, key)
            self.connection.executemany(
                "INSERT OR IGNORE INTO issues VALUES (?, ?, ?, ?)",
                ((key, type(issue).__name__, issue.path, issue.reason) for issue in dataset.issues),
            )
            after = self._counts()
        return AddedCounts(*(new - old for new, old in zip(after, before, strict=True)))

    def load(self, name: str) -> CrystalDataset | PatternDataset:
        """The dataset of this name, with its entries in the order in which they were added.

        Raises
        ------
        StoreError
            If there is no dataset of this name.
        """
        key, target, unit = self._find(name)
        kind, labelled, cautions, noise, sources = self._one(
            "SELECT kind, labelled, cautions, known_noise, sources FROM datasets WHERE id = ?", key
        )
        issues = tuple(
            ISSUES.get(issue, ReadingError)(path, reason)
            for issue, path, reason in self.connection.execute(
                "SELECT kind, path, reason FROM issues WHERE dataset = ? ORDER BY rowid", (key,)
            )
        )
        if kind == KIND:
            return load_scans(
                self,
                key,
                name,
                labelled=bool(labelled),
                target=target,
                unit=unit,
                issues=issues,
                cautions=tuple(json.loads(cautions)),
                known_noise=noise,
                sources=tuple(json.loads(sources)),
            )
        rows = self.connection.execute(
            "SELECT m.source, s.content, l.value, m.provenance, m.symmetry_class FROM memberships m"
            " JOIN structures s ON s.id = m.structure LEFT JOIN labels l ON l.id = m.label"
            " WHERE m.dataset = ? ORDER BY m.position",
            (key,),
        ).fetchall()
        ids, texts, values, provenance, classes = zip(*rows, strict=True) if rows else ((),) * 5
        try:
            structures = tuple(from_text(text) for text in texts)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise StoreError(f"{self.path}: a structure of {name!r} is damaged ({error}); import it anew") from error
        return CrystalDataset(
            name=name,
            structures=structures,
            ids=ids,
            y=np.array(values, dtype=np.float64) if labelled else None,
            target=target,
            unit=unit,
            provenance=tuple(each or "" for each in provenance) if any(each is not None for each in provenance) else (),
            issues=issues,
            cautions=tuple(json.loads(cautions)),
            known_groups=None if not rows or None in classes else np.array(classes),
            known_noise=noise,
        )

    def entries(self, name: str) -> dict[str, tuple[str, float | None]]:
        """Content id of the structure, and label, of each entry of a dataset, by the entry's id; {} without it."""
        rows = self.connection.execute(
            "SELECT m.source, m.structure, l.value FROM memberships m JOIN datasets d ON d.id = m.dataset"
            " LEFT JOIN labels l ON l.id = m.label WHERE d.name = ?",
            (name,),
        )
        return {source: (structure, value) for source, structure, value in rows}

    def fetch_record(self, name: str) -> FetchRecord | None:
        """The record of a dataset's fetch; None if the dataset was not fetched."""
        columns = ", ".join(field.name for field in fields(FetchRecord))
        row = self._one(f"SELECT {columns} FROM fetches WHERE dataset = ?", name)
        return None if row is None else FetchRecord(*row)

    def keep_fetch_record(self, record: FetchRecord) -> None:
        """Write a record, in place of the one that the dataset has."""
        marks = ", ".join("?" * len(fields(FetchRecord)))
        with self.transaction():
            self.connection.execute(f"INSERT OR REPLACE INTO fetches VALUES ({marks})", astuple(record))

    def names(self) -> list[str]:
        """Names of the datasets, sorted."""
        return [name for (name,) in self.connection.execute("SELECT name FROM datasets ORDER BY name")]

    def info(self, name: str) -> DatasetInfo:
        """Counts of what the store holds of a dataset.

        Raises
        ------
        StoreError
            If there is no dataset of this name.
        """
        key, target, unit = self._find(name)
        structures, labelled = self._one(
            "SELECT COUNT(*), COUNT(label) FROM (SELECT dataset, label FROM memberships UNION ALL"
            " SELECT dataset, value FROM scans) WHERE dataset = ?",
            key,
        )
        (issues,) = self._one("SELECT COUNT(*) FROM issues WHERE dataset = ?", key)
        (predictions,) = self._one(
            "SELECT COUNT(*) FROM memberships m JOIN predictions p USING (structure, source) WHERE m.dataset = ?", key
        )
        return DatasetInfo(name, target, unit, structures, labelled, issues, predictions)

    def add_predictions(
        self, name: str, run: str, model: str, ids: Sequence[str], values: Sequence[float] | np.ndarray
    ) -> int:
        """Add a model's predictions for entries of a dataset, in its unit; returns how many are new.

        Raises
        ------
        StoreError
            If the dataset or an id is unknown, a value is not finite, or this run's model already predicted another
            value. Then nothing is written.
        """
        key, _, unit = self._find(name)
        numbers = np.asarray(values, dtype=np.float64)
        if numbers.shape != (len(ids),) or not np.isfinite(numbers).all():
            raise StoreError(f"{len(ids)} ids need as many finite values; got an array of shape {numbers.shape}")
        query = "SELECT source, structure FROM memberships WHERE dataset = ?"
        with self.transaction():
            (before,) = self._one("SELECT COUNT(*) FROM predictions")
            structure_of = dict(self.connection.execute(query, (key,)))
            for source, value in zip(ids, numbers.tolist(), strict=True):
                if source not in structure_of:
                    raise StoreError(f"{self.path}: {name!r} has no entry {source!r}")
                entry = (structure_of[source], source, run, model)
                self.connection.execute(
                    "INSERT OR IGNORE INTO predictions VALUES (?, ?, ?, ?, ?, ?)", (*entry, value, unit)
                )
                stored = self._one(
                    "SELECT value, unit FROM predictions WHERE (structure, source, run, model) = (?, ?, ?, ?)", *entry
                )
                if stored != (value, unit):
                    raise StoreError(
                        f"{self.path}: run {run!r} already has {stored[0]} {stored[1]} of {model!r} for {source!r}, "
                        f"not {value} {unit}; give the new predictions another run name"
                    )
            (after,) = self._one("SELECT COUNT(*) FROM predictions")
        return after - before

    def predictions(self, name: str) -> pd.DataFrame:
        """Predictions for a dataset: columns id, run, model, value, unit.

        Raises
        ------
        StoreError
            If there is no dataset of this name.
        """
        key, _, _ = self._find(name)
        rows = self.connection.execute(
            "SELECT m.source, p.run, p.model, p.value, p.unit FROM memberships m"
            " JOIN predictions p USING (structure, source) WHERE m.dataset = ? ORDER BY p.run, p.model, m.position",
            (key,),
        )
        return pd.DataFrame(rows.fetchall(), columns=["id", "run", "model", "value", "unit"])

    def export(self, name: str, path: str | Path) -> None:
        """Write a dataset as a table, one row an entry, to a ``.parquet`` or ``.csv`` file.

        Columns: id, structure_id, formula, n_sites, the target with its unit and provenance, ``model @ run`` for each
        set of predictions, and structure, the JSON of ``structure_text``; of measured patterns id, pattern_id, points,
        wavelength, geometry, the target with its unit and provenance, group, and pattern as JSON. An existing file is
        replaced at the end.

        Raises
        ------
        StoreError
            If there is no dataset of this name.
        ValueError
            If the file name ends otherwise.
        """
        path = Path(path)
        if path.suffix not in (".parquet", ".csv"):
            raise ValueError(f"{path}: a table is written to a .parquet or a .csv file")
        key, target, unit = self._find(name)
        if self._one("SELECT kind FROM datasets WHERE id = ?", key) == (KIND,):
            head = ("id", "pattern_id", "points", "wavelength", "geometry")
            table = scan_table(self, key, (*head, target or "target", "provenance", "group", "pattern"))
            table.insert(len(head) + 1, "unit", unit)
            return _write(table, path)
        columns = ["id", "structure_id", "formula", "n_sites", target or "target", "provenance", "structure"]
        rows = self.connection.execute(
            "SELECT m.source, s.id, s.formula, s.n_sites, l.value, m.provenance, s.content FROM memberships m"
            " JOIN structures s ON s.id = m.structure LEFT JOIN labels l ON l.id = m.label"
            " WHERE m.dataset = ? ORDER BY m.position",
            (key,),
        )
        table = pd.DataFrame(rows.fetchall(), columns=columns)
        table.insert(5, "unit", unit)
        predicted = self.predictions(name)
        for (run, model), part in predicted.groupby(["run", "model"]):
            table.insert(table.columns.size - 1, f"{model} @ {run}", table["id"].map(part.set_index("id")["value"]))
        return _write(table, path)

    def _counts(self) -> tuple[int, ...]:
        (labelled,) = self._one("SELECT COUNT(value) FROM scans")
        structures, members, labels, issues, patterns, scans = (
            self._one(f"SELECT COUNT(*) FROM {table}")[0]
            for table in ("structures", "memberships", "labels", "issues", "patterns", "scans")
        )
        return structures + patterns, members + scans, labels + labelled, issues

    def _find(self, name: str) -> tuple[int, str | None, str | None]:
        row = self._one("SELECT id, target, unit FROM datasets WHERE name = ?", name)
        if row is None:
            known = ", ".join(self.names()) or "none"
            raise StoreError(f"{self.path}: no dataset {name!r}; there are: {known}")
        return row

    def _dataset_key(self, dataset: CrystalDataset | PatternDataset) -> int:
        """The key of the dataset's row, which is made if the name is new; cautions and label noise join it."""
        kind, sources = (KIND, dataset.sources) if isinstance(dataset, PatternDataset) else ("crystals", ())
        self.connection.execute(
            "INSERT OR IGNORE INTO datasets (name, target, unit, labelled, kind, sources) VALUES (?, ?, ?, ?, ?, ?)",
            (dataset.name, dataset.target, dataset.unit, dataset.y is not None, kind, json.dumps(sources)),
        )
        key, *stored, labelled, cautions, noise, of_kind = self._one(
            "SELECT id, target, unit, labelled, cautions, known_noise, kind FROM datasets WHERE name = ?", dataset.name
        )
        if of_kind != kind:
            raise StoreError(
                f"{self.path}: {dataset.name!r} is stored as a dataset of {of_kind}; give the dataset another name"
            )
        if (*stored, bool(labelled)) != (dataset.target, dataset.unit, dataset.y is not None):
            raise StoreError(
                f"{self.path}: {dataset.name!r} is stored with target {stored[0]} [{stored[1]}], not {dataset.target} "
                f"[{dataset.unit}]; give the dataset another name"
            )
        if noise is not None and dataset.known_noise not in (None, noise):
            raise StoreError(
                f"{self.path}: {dataset.name!r} is stored with label noise {noise}, not {dataset.known_noise}; give "
                "the dataset another name"
            )
        self.connection.execute(
            "UPDATE datasets SET cautions = ?, known_noise = COALESCE(known_noise, ?) WHERE id = ?",
            (json.dumps(list(dict.fromkeys([*json.loads(cautions), *dataset.cautions]))), dataset.known_noise, key),
        )
        return key

    def _add_structures(self, dataset: CrystalDataset, key: int) -> None:
        keys = [content_id(structure) for structure in dataset.structures]
        rows = [
            (structure_id, structure.formula, len(structure), to_text(structure))
            for structure_id, structure in zip(keys, dataset.structures, strict=True)
            if self._one("SELECT 1 FROM structures WHERE id = ?", structure_id) is None
        ]
        # SQLite writes them into its log first, and from there into the file
        require_room(self.path, 2 * sum(len(row[-1]) + ENTRY_BYTES for row in rows))
        self.connection.executemany("INSERT OR IGNORE INTO structures VALUES (?, ?, ?, ?)", rows)
        self._add_members(dataset, key, keys)

    def _add_members(self, dataset: CrystalDataset, key: int, structure_ids: list[str]) -> None:
        (position,) = self._one("SELECT COALESCE(MAX(position) + 1, 0) FROM memberships WHERE dataset = ?", key)
        for i, (source, structure_id) in enumerate(zip(dataset.ids, structure_ids, strict=True)):
            label = None if dataset.y is None else self._add_label(dataset, i, structure_id)
            known = self._one(
                "SELECT m.structure, l.value FROM memberships m LEFT JOIN labels l ON l.id = m.label"
                " WHERE m.dataset = ? AND m.source = ?",
                *(key, source),
            )
            if known is None:
                group = None if dataset.known_groups is None else int(dataset.known_groups[i])
                provenance = dataset.provenance[i] if dataset.provenance else None
                row = (key, source, position, structure_id, label, group, provenance)
                self.connection.execute("INSERT INTO memberships VALUES (?, ?, ?, ?, ?, ?, ?)", row)
                position += 1
            elif known[0] != structure_id:
                raise StoreError(
                    f"{self.path}: {source!r} of {dataset.name!r} already stands for another structure; "
                    f"nothing was written. Give the entry another id or the dataset another name"
                )
            elif dataset.y is not None and known[1] != float(dataset.y[i]):
                raise StoreError(
                    f"{self.path}: {source!r} of {dataset.name!r} is already labelled {known[1]}, which "
                    f"{float(dataset.y[i])} contradicts; nothing was written. Give the dataset another name"
                )

    def _add_label(self, dataset: CrystalDataset, i: int, structure_id: str) -> int:
        assert dataset.y is not None
        value = float(dataset.y[i])
        provenance = dataset.provenance[i] if dataset.provenance else ""
        self.connection.execute(
            "INSERT OR IGNORE INTO labels (structure, source, name, value, unit, provenance) VALUES (?, ?, ?, ?, ?, ?)",
            (structure_id, dataset.ids[i], dataset.target or "", value, dataset.unit, provenance),
        )
        key, stored, unit = self._one(
            "SELECT id, value, unit FROM labels WHERE (structure, source, name, provenance) = (?, ?, ?, ?)",
            *(structure_id, dataset.ids[i], dataset.target or "", provenance),
        )
        if (stored, unit) != (value, dataset.unit):
            raise StoreError(
                f"{self.path}: {dataset.target} of {dataset.ids[i]!r} ({provenance}) is stored as {stored} {unit}, "
                f"which {value} {dataset.unit} contradicts; nothing was written. Use a new store or another provenance"
            )
        return key


def _write(table: pd.DataFrame, path: Path) -> None:
    with atomic_path(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            plain_cells(table).to_csv(temporary, index=False)
