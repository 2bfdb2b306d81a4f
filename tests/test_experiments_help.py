"""Every experiment says what it does when it is asked, and does nothing else."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
SCRIPTS = sorted(EXPERIMENTS.rglob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: str(script.relative_to(EXPERIMENTS)))
def test_help_teaches_and_runs_nothing(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    monkeypatch.syspath_prepend(script.parent)
    monkeypatch.chdir(tmp_path)
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        assert not end.code  # noqa: PT017 (a module that scripts import prints its purpose and ends)
    told = capsys.readouterr().out
    purpose = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))
    assert purpose.splitlines()[0] in told
    assert list(tmp_path.iterdir()) == []
