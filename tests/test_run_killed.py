"""A whole run, killed at random points and started again, gives the numbers of an undisturbed one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import qperov
from qperov.records.record import Record

#: `make release` kills two hundred times, other work too.
KILLS = 6
#: What a process says it took, not what it found.
COSTS = ["seconds", "memory_mb"]


def started(crystals: Path, runs: Path) -> subprocess.Popen[bytes]:
    """The command line in a process group of its own, so that its workers can be killed with it."""
    arguments = ["compare", crystals, "--labels", crystals / "labels.csv", "--target", "energy", "--quick"]
    arguments += ["--folds", 3, "--jobs", 2, "--studies", "kernels", "--runs", runs]
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "qperov.commands.main", *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def newest(runs: Path) -> Record:
    return qperov.records.read_record(max(runs.glob("*/record.json"), key=lambda file: file.stat().st_mtime).parent)


def assert_same(record: Record, other: Record) -> None:
    for name in ("predictions", "folds", "significance", "descriptors", "parameters"):
        pd.testing.assert_frame_equal(getattr(record.comparison, name), getattr(other.comparison, name), rtol=0, atol=0)
    pd.testing.assert_frame_equal(
        record.comparison.table.drop(columns=COSTS), other.comparison.table.drop(columns=COSTS), rtol=0, atol=0
    )
    assert [study.title for study in record.studies] == [study.title for study in other.studies]
    for study, of_other in zip(record.studies, other.studies, strict=True):
        assert study.paragraphs == of_other.paragraphs
        for name, table in study.tables.items():
            pd.testing.assert_frame_equal(table, of_other.tables[name], rtol=0, atol=0)


@pytest.mark.slow
def test_run_survives_kills(tmp_path: Path) -> None:
    dataset = qperov.load_dataset("cpx321").take(range(0, 960, 20))
    crystals = tmp_path / "crystals"
    rows = ["id,energy"]
    for i, structure in enumerate(dataset.structures):
        (crystals / f"c{i}").mkdir(parents=True)
        structure.to(filename=str(crystals / f"c{i}" / "POSCAR"), fmt="poscar")
        rows.append(f"c{i},{float(dataset.y[i])!r}")
    (crystals / "labels.csv").write_text("\n".join(rows) + "\n")

    start = time.monotonic()
    assert started(crystals, tmp_path / "whole").wait() == 0
    duration = time.monotonic() - start
    undisturbed = newest(tmp_path / "whole")

    random = np.random.default_rng(0)
    kills = finished = 0
    while kills < KILLS:
        process = started(crystals, tmp_path / "killed")
        try:
            process.wait(timeout=random.uniform(0.05, 0.95) * duration)
            finished += 1  # what was left took less than the time it was given
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
    assert started(crystals, tmp_path / "killed").wait() == 0
    records = [qperov.records.read_record(file.parent) for file in (tmp_path / "killed").glob("*/record.json")]
    assert len(records) >= finished + 1
    for record in records:
        assert_same(record, undisturbed)
