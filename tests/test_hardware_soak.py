"""Processes killed in the middle of submitting and collecting: every job is sent exactly once, nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "hardware_soak.py"

#: One thread, so that forking is safe.
SINGLE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def soak(folder: Path, points: int, seed: int) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPT), str(folder), str(points), str(seed)],
        env=os.environ | SINGLE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["tags"] == 4
    assert len(found["points"]) == points
    for point in found["points"]:
        assert len(point["jobs"]) == 4, point
        assert set(point["jobs"].values()) == {1}, point
        assert point["equal"], point


@pytest.mark.slow
def test_five_kills(tmp_path: Path) -> None:
    soak(tmp_path, points=5, seed=1)


@pytest.mark.slow
def test_fifty_kills(tmp_path: Path) -> None:
    soak(tmp_path, points=50, seed=2)
