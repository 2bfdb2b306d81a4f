"""Run directories: a name that no two processes share, and a place for the folds of a run that is not done."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from qperov.datasets.names import check_name

#: Folder, among the runs, of folds that are done in runs that are not.
UNFINISHED = ".unfinished"


def claim_run(runs: str | Path, name: str) -> Path:
    """Make the first of ``runs/name-1``, ``runs/name-2``, … that is not there: no other process gets it.

    Raises
    ------
    DatasetNameError
        If the name is no identifier.
    """
    check_name(name)
    Path(runs).mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        directory = Path(runs) / f"{name}-{number}"
        try:
            directory.mkdir()
        except FileExistsError:
            number += 1
        else:
            return directory


@contextmanager
def unfinished_run(runs: str | Path, inputs: str) -> Iterator[Path]:
    """The folder of the folds of a run with these inputs, which no other process uses until the block ends.

    A run that was stopped finds what it has done; one that is started twice at once gets a second folder. The lock ends
    with the process, however that ends.

    Parameters
    ----------
    runs : str or Path
    inputs : str
        Digest of everything that the run is made of.
    """
    for number in count(1):
        folder = Path(runs) / UNFINISHED / (inputs if number == 1 else f"{inputs}-{number}")
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(Timeout), _lock(folder):
            yield folder
            return


def discard_folds(runs: str | Path, inputs: str) -> None:
    """Remove the folds of runs with these inputs, which are done, but of none that another process is at."""
    for folder in (Path(runs) / UNFINISHED).glob(f"{inputs}*"):
        with suppress(Timeout), _lock(folder):
            shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        (Path(runs) / UNFINISHED).rmdir()


def _lock(folder: Path) -> FileLock:
    return FileLock(folder / "lock", blocking=False)
