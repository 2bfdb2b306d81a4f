"""The file of tasks: what is compared on what, fixed before anything is computed."""

from __future__ import annotations

import hashlib
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from qperov.datasets.dataset import CrystalDataset, Dataset
from qperov.datasets.lookup import EMBEDDED, load_dataset
from qperov.datasets.names import check_name
from qperov.datasets.reading import read
from qperov.errors import TaskFileError


@dataclass(frozen=True)
class BenchmarkTask:
    """One dataset with one target, described in one way, at one size.

    Attributes
    ----------
    name : str
        Unique; it names the files of the task's records.
    dataset : str
        A name that comes with qperov, or a path that `qperov.read` takes, relative to the file of tasks.
    target : str or None
    descriptors : tuple of str
        Kinds of features, as for ``qperov compare --descriptors``, or "sites" for site-resolved numbers of five-atom
        perovskites; empty for those that suit the data.
    samples : int or None
        At most so many, whole groups drawn at random; None for all.
    labels, unit : str or None
        As in `qperov.read`; paths are relative to the file of tasks.
    """

    name: str
    dataset: str
    target: str | None = None
    descriptors: tuple[str, ...] = ()
    samples: int | None = None
    labels: str | None = None
    unit: str | None = None

    @property
    def unit_of_evidence(self) -> str:
        """Dataset and target: tasks that share both are one piece of evidence."""
        return f"{self.dataset}, {self.target}" if self.target else self.dataset

    def load(self, folder: Path, random_state: int) -> Dataset:
        """The samples of the task: of crystals one a symmetry class."""
        if self.dataset in EMBEDDED:
            dataset: Dataset = load_dataset(self.dataset, target=self.target)
        else:
            labels = None if self.labels is None else folder / self.labels
            dataset = read(folder / self.dataset, target=self.target, labels=labels, unit=self.unit)
        if isinstance(dataset, CrystalDataset):
            dataset = dataset.one_per_class()
        return dataset if self.samples is None else dataset.take(drawn_rows(dataset.groups, self.samples, random_state))


@dataclass(frozen=True)
class Protocol:
    """Everything that is fixed beforehand.

    Attributes
    ----------
    tasks : tuple of BenchmarkTask
    seeds : tuple of int
        One cross-validation each, with folds and candidates of their own.
    folds : int
    rope : float
        Half-width of the region of practical equivalence, as a share of the best constant's error.
    quick : bool
        Small searches.
    source : Path
        The file.
    digest : str
        SHA-256 of the file (hex).
    """

    tasks: tuple[BenchmarkTask, ...]
    seeds: tuple[int, ...]
    folds: int
    rope: float
    quick: bool
    source: Path
    digest: str

    @property
    def commit(self) -> str | None:
        """The commit that last changed the file, where it stands in a git repository without later changes."""
        command = ["git", "-C", str(self.source.parent)]
        try:
            changed = subprocess.run([*command, "status", "--porcelain", "--", self.source.name], **_QUIET)
            found = subprocess.run([*command, "log", "-1", "--format=%H", "--", self.source.name], **_QUIET)
        except OSError:
            return None
        return found.stdout.strip() or None if changed.returncode == 0 and not changed.stdout.strip() else None


_QUIET: Any = {"capture_output": True, "text": True, "check": False, "timeout": 30}


def read_protocol(path: str | Path | None = None, *, quick: bool = False, only: Sequence[str] = ()) -> Protocol:
    """Read a file of tasks.

    Parameters
    ----------
    path : str or Path, optional
        A TOML file with the tables ``protocol``, ``quick`` and one ``task`` for each task; by default that of qperov.
    quick : bool
        Take seeds, folds and the largest number of samples from the table ``quick``; of tasks that this makes the same,
        the first.
    only : sequence of str
        Names of the tasks that are wanted; all if empty.

    Raises
    ------
    TaskFileError
        If it is no such file, or names no task.
    """
    source = Path(str(resources.files("qperov.benchmarking") / "tasks.toml")) if path is None else Path(path)
    try:
        content = source.read_bytes()
        body = tomllib.loads(content.decode("utf-8"))
        general = body["protocol"] | (body.get("quick", {}) if quick else {})
        tasks = tuple(_task(entry) for entry in body["task"])
        found = Protocol(
            tasks,
            tuple(int(seed) for seed in general["seeds"]),
            int(general["folds"]),
            float(general["rope"]),
            quick,
            source.resolve(),
            hashlib.sha256(content).hexdigest(),
        )
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise TaskFileError(f"{source}: not a file of tasks: {_reason(error)}") from error
    names = [task.name for task in found.tasks]
    if len(set(names)) < len(names) or not names or not found.seeds:
        raise TaskFileError(f"{source}: tasks need names of their own, and there must be a task and a seed")
    if unknown := [name for name in only if name not in names]:
        raise TaskFileError(f"{source}: no task {unknown[0]!r}; there are {', '.join(names)}")
    most = general.get("samples")
    chosen = [task for task in found.tasks if not only or task.name in only]
    if most is not None:
        smaller = [replace(task, samples=min(int(most), task.samples or int(most))) for task in chosen]
        # sizes of one task that are the same now are one task
        chosen = list({replace(task, name=""): task for task in reversed(smaller)}.values())[::-1]
    return replace(found, tasks=tuple(chosen))


def drawn_rows(groups: np.ndarray, most: int, random_state: int) -> np.ndarray:
    """Rows of whole groups, drawn at random, of at most so many samples; all if there are no more."""
    names, sizes = np.unique(groups, return_counts=True)
    if len(groups) <= most:
        return np.arange(len(groups))
    order = np.random.default_rng(random_state).permutation(len(names))
    return np.flatnonzero(np.isin(groups, names[order[np.cumsum(sizes[order]) <= most]]))


def _task(entry: dict[str, Any]) -> BenchmarkTask:
    known = {field.name for field in fields(BenchmarkTask)}
    if unknown := set(entry) - known:
        raise ValueError(f"a task has no {sorted(unknown)[0]!r}; known: {', '.join(sorted(known))}")
    task = BenchmarkTask(**entry | {"descriptors": tuple(entry.get("descriptors", ()))})
    check_name(task.name)
    return task


def _reason(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
