"""Disks that fill: what is said, what stays, and that the same call goes on where there is room again."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from attack.inputs import crystals
from sklearn.gaussian_process.kernels import RBF

from qperov.commands import main as cli
from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.store import Store
from qperov.errors import DiskSpaceError, StoreError
from qperov.evaluation.finished_folds import FinishedFolds
from qperov.quantum import write_gram
from qperov.records.record import read_record
from qperov.storage.atomic import atomic_path, write_text
from qperov.studies import models


def limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@dataclass
class Disk:
    """A folder with little room, and what gives it more."""

    path: Path
    fill: Callable[[int], object]


@contextmanager
def mounted(folder: Path) -> Iterator[Disk]:
    """A file system of its own, where that is allowed."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here; the limit on the size of files is tried instead")
    try:
        yield Disk(folder, lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True))
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def limited(folder: Path) -> Iterator[Disk]:
    """Files that may not grow beyond a size."""
    held = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield Disk(folder, limit_files)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, held)


@pytest.fixture(params=[mounted, limited], ids=["mounted file system", "limit on the size of files"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    with request.param(folder) as made:
        yield made


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The command line in this process."""
    monkeypatch.setattr(sys, "argv", ["qperov", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def written(folder: Path, n: int) -> list[object]:
    """Crystals with labels in a folder, as arguments of a command."""
    rows = ["id,energy"]
    for i, structure in enumerate(crystals(n)):
        (folder / f"c{i}").mkdir(parents=True)
        structure.get_sorted_structure().to(filename=str(folder / f"c{i}/POSCAR"), fmt="poscar")
        rows.append(f"c{i},{np.sin(i) / 10 - 3:.9f}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return [folder, "--labels", folder / "labels.csv", "--target", "energy"]


def test_import_says_how_much_is_needed_and_goes_on(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["data", "import", *written(tmp_path / "salts", 120), "--store", disk.path / "s.db"]
    disk.fill(128 * 1024)
    assert call(monkeypatch, *arguments) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    needed = r"it takes 0\.\d+ MiB, and 0\.\d+ MiB are free: .*; the store is as it was: the same command starts again"
    assert re.fullmatch(rf"error: .*s\.db: ({needed}|nothing was written: disk I/O error)", told)  # a limit is no disk
    with Store(disk.path / "s.db") as store:
        assert store.names() == []
    disk.fill(4 * 2**20)
    assert call(monkeypatch, *arguments) == 0
    with Store(disk.path / "s.db") as store:
        assert len(store.load("salts")) == 120


def test_a_store_without_room_says_how_much_is_needed(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    salts = CrystalDataset("salts", tuple(crystals(300)), tuple(f"c{i}" for i in range(300)))
    with mounted(folder) as disk:
        disk.fill(256 * 1024)
        with Store(folder / "s.db") as store:
            with pytest.raises(DiskSpaceError, match=r"s\.db: it takes 0\.\d+ MiB, and 0\.\d+ MiB are free: make room"):
                store.add(salts)
            assert store.names() == []
            disk.fill(8 * 2**20)
            assert store.add(salts).structures == 300


def test_a_log_that_fills_the_disk_undoes_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    salts = CrystalDataset("salts", tuple(crystals(300)), tuple(f"c{i}" for i in range(300)))
    monkeypatch.setattr("qperov.datasets.store.require_room", lambda *_: None)
    with mounted(folder) as disk:
        disk.fill(256 * 1024)
        with Store(folder / "s.db") as store:
            with pytest.raises(StoreError, match=r"nothing was written: .*full: make room, and call again"):
                store.add(salts)
            assert store.names() == []


def test_compare_goes_on_with_the_folds_that_are_done(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", *written(tmp_path / "salts", 18), "--quick", "--folds", 2, "--jobs", 1, "--studies", "none"]
    arguments += ["--descriptors", "profile", "--runs", disk.path / "runs"]
    build = models.build_suite

    def few(*about: object, **how: object) -> models.Suite:
        suite = build(*about, **how)
        return replace(suite, models=dict(list(suite.models.items())[:4]))

    monkeypatch.setattr(models, "build_suite", few)
    disk.fill(40 * 1024)
    assert call(monkeypatch, *arguments) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("error: ")
    assert "No space left on device" in told or "File too large" in told or "are free" in told
    assert told.endswith("the same command goes on with the folds that are done")
    kept = list(disk.path.rglob("*.json"))
    assert kept
    assert all(json.loads(path.read_text())["prediction"] for path in kept)
    disk.fill(64 * 2**20)
    resumed: list[bool] = []
    read = FinishedFolds.read
    monkeypatch.setattr(FinishedFolds, "read", lambda self, path: resumed.append(path in kept) or read(self, path))
    assert call(monkeypatch, *arguments) == 0
    assert sum(resumed) == len(kept)
    (record,) = (disk.path / "runs").glob("*/record.json")
    assert len(read_record(record.parent).comparison.ids) == 18


def test_a_matrix_is_an_error_and_no_signal(disk: Disk) -> None:
    X = np.random.default_rng(0).normal(size=(100, 2))
    disk.fill(40 * 1024)
    with pytest.raises(DiskSpaceError, match=r"the whole matrix takes 0\.076\d+ MiB"):
        write_gram(RBF(), X, disk.path / "K.npy", block=30)
    assert not (disk.path / "K.npy").exists()
    disk.fill(2**20)
    np.testing.assert_allclose(write_gram(RBF(), X, disk.path / "K.npy", block=30), RBF()(X), atol=1e-14)


def test_a_file_that_does_not_fit_leaves_the_one_before(disk: Disk) -> None:
    path = disk.path / "a.txt"
    disk.fill(16 * 1024)
    write_text(path, "before")
    with pytest.raises(DiskSpaceError, match=r"a\.txt: (it takes 0\.\d+ MiB|File too large)"):
        write_text(path, "x" * 40_000)
    with pytest.raises(DiskSpaceError, match="MiB of it: make room"), atomic_path(path) as temporary:
        temporary.write_bytes(bytes(40_000))
    assert path.read_text() == "before"
    assert [each.name for each in disk.path.iterdir()] == ["a.txt"]


def test_an_error_of_the_disk_without_a_name_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cli, "app", full)
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().err == "error: No space left on device\n"
