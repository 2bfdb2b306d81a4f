"""Run directories: no two processes share a name, and the folds of one run are no other run's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from qperov.errors import DatasetNameError
from qperov.records.runs import UNFINISHED, claim_run, discard_folds, unfinished_run

CLAIM = """
import sys
from qperov.records.runs import claim_run
for _ in range(50):
    print(claim_run(sys.argv[1], "demo").name)
"""

HOLD = """
import sys, time
from qperov.records.runs import unfinished_run
with unfinished_run(sys.argv[1], "run") as folder:
    (folder / "fold.json").write_text("done")
    print(folder.name, flush=True)
    time.sleep(600)
"""


def started(script: str, runs: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, runs], stdout=subprocess.PIPE, text=True)


def test_names_are_counted_up(tmp_path: Path) -> None:
    assert claim_run(tmp_path / "runs", "demo") == tmp_path / "runs" / "demo-1"
    assert claim_run(tmp_path / "runs", "demo") == tmp_path / "runs" / "demo-2"


def test_processes_never_claim_the_same_name(tmp_path: Path) -> None:
    processes = [started(CLAIM, tmp_path) for _ in range(4)]
    names = [name for process in processes for name in process.communicate()[0].split()]
    assert Counter(names) == {f"demo-{number}": 1 for number in range(1, 201)}


@pytest.mark.parametrize(
    "name", ["../../x", "..", ".", "", "a/b", "a\\b", "-x", ".hidden", "a\x1b[2J", "a\nb", "x" * 101]
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetNameError, match="cannot name a dataset"):
        claim_run(tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_a_stopped_run_goes_on_and_others_keep_their_folds(tmp_path: Path) -> None:
    with unfinished_run(tmp_path, "other") as other:
        (other / "fold.json").write_text("done")
    with unfinished_run(tmp_path, "run") as folder:
        (folder / "fold.json").write_text("done")
    with unfinished_run(tmp_path, "run") as again:
        assert again == folder
        assert (again / "fold.json").exists()
    discard_folds(tmp_path, "run")
    assert [path.name for path in (tmp_path / UNFINISHED).iterdir()] == ["other"]
    assert (other / "fold.json").exists()
    discard_folds(tmp_path, "other")
    assert not (tmp_path / UNFINISHED).exists()


def test_a_run_that_is_at_work_is_left_alone_until_it_is_killed(tmp_path: Path) -> None:
    process = started(HOLD, tmp_path)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "run\n"
        with unfinished_run(tmp_path, "run") as second:
            assert second.name == "run-2"
        discard_folds(tmp_path, "run")
        assert os.listdir(tmp_path / UNFINISHED) == ["run"]
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    with unfinished_run(tmp_path, "run") as folder:
        assert folder.name == "run"
        assert (folder / "fold.json").read_text() == "done"
