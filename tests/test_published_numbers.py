"""The numbers that the project stands on, from the command line to the report; slow."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from development_data import SHARED, needs_shared

import qperov
from qperov.studies.models import build_suite

pytestmark = pytest.mark.slow


def run(folder: Path, *arguments: object) -> tuple[pd.DataFrame, qperov.records.Record]:
    """Scores by model, and record, of one run of the command line."""
    command = [sys.executable, "-m", "qperov.commands.main", *map(str, arguments), "--runs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
    (directory,) = folder.iterdir()
    assert (directory / "report.html").stat().st_size > 100_000
    record = qperov.records.read_record(directory)
    return record.comparison.table.set_index("model"), record


def assert_specified_scores(scores: pd.DataFrame) -> None:
    """R² of the specification's table, within what other folds and grids change."""
    assert scores.loc["SVR · powder pattern", "r2"] == pytest.approx(0.41, abs=0.07)
    assert scores.loc["SVR · structure factors", "r2"] == pytest.approx(0.70, abs=0.07)
    assert scores.loc["Ridge · powder pattern", "r2"] == pytest.approx(0.29, abs=0.05)
    assert scores.loc["Ridge · structure factors", "r2"] == pytest.approx(0.44, abs=0.08)
    assert scores.loc["Cluster expansion · pair correlations", "r2"] > 0.99
    assert scores.loc["Cluster expansion · pair correlations", "mae"] == pytest.approx(0.0110, abs=0.001)
    # what a hand can count, without a pattern
    assert scores.loc["Ridge · trans pairs", "r2"] == pytest.approx(0.79, abs=0.03)
    assert scores.loc["Ridge · pair shells", "r2"] == pytest.approx(0.92, abs=0.02)
    # a tuned bandwidth learns, the published setting does not
    assert scores.loc["QSVR · structure factors", "r2"] > 0.5
    assert scores.loc["QSVR as published · QSVR vector", "r2"] < 0.05
    ceilings = scores["ceiling_r2"].dropna()
    assert (scores.loc[ceilings.index, "r2"] <= ceilings + 1e-9).all()


def test_demo(tmp_path: Path) -> None:
    scores, record = run(tmp_path, "demo")
    assert_specified_scores(scores)
    assert record.comparison.label["n"] == 986
    assert record.comparison.label["n_groups"] == 564
    assert "PBE energies through a cluster expansion" in record.comparison.label["provenance"][0]


@needs_shared
def test_published_files() -> None:
    data = SHARED / "cpx321"
    dataset = qperov.read(data, labels=data / "labels.csv", target="energy_ev_per_cell", convert="meV/atom")
    kinds = Counter(type(issue).__name__ for issue in dataset.issues)
    assert kinds == {"InvalidLabelError": 1007, "MissingLabelError": 1087}
    suite = build_suite(dataset.one_per_class(), exploratory=False)
    scored = qperov.compare(suite.models, dataset.one_per_class(), folds=5, n_jobs=2)
    assert_specified_scores(scored.table.set_index("model"))
    assert scored.label["n"] == 650
    assert scored.label["unit"] == "meV/atom"
    assert scored.label["sd"] == pytest.approx(0.268, abs=0.001)
