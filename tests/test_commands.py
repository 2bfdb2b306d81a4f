"""What every command has in common: how it is interrupted, how it fails, and what it prints of strangers' files."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import qperov
from qperov.commands import main as cli
from qperov.commands import screen
from qperov.commands.options import with_values
from qperov.datasets import reading
from qperov.datasets.store import Store
from qperov.errors import OptionError, QperovError


@pytest.fixture
def crystals(tmp_path: Path) -> Path:
    """A folder with twelve POSCARs, one of them damaged, one without a label, and labels of no crystal."""
    dataset = qperov.load_dataset("cpx321").take(range(0, 960, 80))
    rows = ["id,gap", *(f"lost{i},1.0" for i in range(20))]
    for i, structure in enumerate(dataset.structures):
        structure.to(filename=str(tmp_path / f"c{i}.vasp"), fmt="poscar")
        rows.append(f"c{i},{i if i > 1 else ''}")
    (tmp_path / "c0.vasp").write_bytes(bytes(range(256)))
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def call(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


@dataclass(frozen=True)
class Size:
    name: Annotated[str, typer.Argument()]
    count: Annotated[int, typer.Option(min=1)] = 3


def test_groups_of_options_are_handed_on_as_values() -> None:
    told: list[object] = []

    @with_values
    def command(size: Size, loud: bool = False) -> None:
        told.extend([size, loud])

    app = typer.Typer()
    app.command()(command)
    assert CliRunner().invoke(app, ["ship", "--count", "5", "--loud"]).exit_code == 0
    assert told == [Size("ship", 5), True]
    assert CliRunner().invoke(app, ["ship", "--count", "0"]).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["compare", "here", "--labels", "l.csv", "--target", "gap"], "the same command goes on with the folds"),
        (["describe", "here"], "nothing is kept: the same command starts again"),
        (["data", "import", "here"], "the store is as it was: the same command starts again"),
        (["design", "here"], "the same command takes the models that are trained"),
        (["relax", "here"], "the same command goes on with the crystals that are left"),
    ],
)
def test_ctrl_c_says_how_far_it_came_and_how_to_go_on(
    arguments: list[str], remedy: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def read(*_: object, progress: object, **__: object) -> None:
        progress(3, 7, "x")  # type: ignore[operator]
        raise KeyboardInterrupt

    monkeypatch.setattr(reading, "read", read)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    lines = call(*arguments, code=130).strip().splitlines()
    assert lines[-1].startswith("interrupted; Reading: 3 of 7 done")
    assert remedy in lines[-1]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (QperovError("no way"), "error: no way"),
        (PermissionError(13, "Permission denied", "runs/x"), "error: runs/x: Permission denied"),
    ],
)
def test_our_errors_and_those_of_files_are_one_line(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "app", lambda: (_ for _ in ()).throw(error))
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    assert capsys.readouterr().err.splitlines() == [line]


@pytest.mark.parametrize("error", [ValueError("a fault of ours"), KeyError("x"), OSError("no file is named")])
def test_any_other_exception_keeps_its_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "app", lambda: (_ for _ in ()).throw(error))
    with pytest.raises(type(error)):
        cli.main()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", ".", "--unit", "eV/cell", "--convert", "kcal"], "--convert"),
        (["describe", ".", "--energy", "none"], "--energy must be"),
        (["inputs", "cpx321", "runs", "--preset", "none"], "--preset: no preset 'none'"),
        (["relax", "cpx321", "--protocol", "none"], "--protocol: no protocol 'none'"),
        (["data", "fetch", "nowhere"], "SOURCE/--filter: nowhere"),
        (["data", "info", "nothing"], "no embedded dataset 'nothing'"),
    ],
)
def test_errors_name_the_option_as_it_was_typed(
    arguments: list[str],
    message: str,
    crystals: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(crystals)
    monkeypatch.setattr(sys, "argv", ["qperov", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["demo", "--runs", "file/runs"],
        ["compare", "here", "--runs", "/proc/runs"],
        ["data", "import", "here", "--store", "file/s.db"],
        ["data", "import", "here", "--store", "/proc/s.db"],
        ["relax", "here", "--store", "none/s.db"],
        ["design", "here", "--out", "/proc/designs"],
    ],
)
def test_what_cannot_be_written_is_found_before_reading(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(*_: object, **__: object) -> None:
        raise AssertionError("something was read")

    monkeypatch.setattr(reading, "read", read)
    monkeypatch.setattr(qperov, "load_dataset", read)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["qperov", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"error: {arguments[-2]}: ")
    assert line.endswith("choose another place")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "here"]


def test_a_store_that_cannot_be_written_is_found_before_reading(
    crystals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(crystals / "s.db") as store:
        store.connection.execute("PRAGMA journal_mode = DELETE")
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, **how: connect(f"file:{path}?mode=ro", uri=True, **how))
    result = CliRunner().invoke(cli.app, ["data", "import", str(crystals), "--store", str(crystals / "s.db")])
    assert isinstance(result.exception, OptionError)
    assert str(result.exception).endswith("attempt to write a readonly database: choose another place")
    assert "left out" not in result.output


def test_describe_lists_files_before_labels_and_no_run(crystals: Path) -> None:
    arguments = ["describe", crystals, "--labels", crystals / "labels.csv", "--target", "gap"]
    output = call(*arguments)
    lines = [line for line in output.splitlines() if line.startswith("left out")]
    kinds = [next(k for k in ("Format", "Invalid", "Missing", "Orphan") if k in line) for line in lines[:3]]
    assert kinds[-1] == "Orphan"
    assert "run directory" not in output
    assert "--all prints every one" in output
    everything = call(*arguments, "--all")
    assert sum("lost7" in line for line in everything.splitlines()) == 1
    assert sum("c0.vasp" in line for line in everything.splitlines()) == 1


def test_names_of_files_cannot_write_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    screen.echo("a\x1b[2Jb\x07\x9b\u202e.cif\n")
    assert capsys.readouterr().out == "a\\x1b[2Jb\\x07\\x9b\\u202e.cif\n\n"
    structure = qperov.load_dataset("cpx321").structures[0]
    structure.to(filename=str(tmp_path / "good.vasp"), fmt="poscar")
    (tmp_path / "bad\x1b[31m.vasp").write_text("nothing")
    output = call("describe", tmp_path)
    assert "\x1b" not in output
    assert "\\x1b[31m.vasp" in output


def failing() -> object:
    """An ASE calculator whose energies are not numbers."""
    from ase.calculators.calculator import Calculator

    class Failing(Calculator):
        implemented_properties = ("energy", "forces", "stress")

        def calculate(self, *arguments: object, **keywords: object) -> None:
            super().calculate(*arguments, **keywords)
            n = len(self.atoms)
            self.results = {"energy": np.nan, "forces": np.full((n, 3), np.nan), "stress": np.full(6, np.nan)}

    return Failing()


def test_a_relaxation_in_which_all_failed_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Store("qperov.db") as store:
        store.add(replace(qperov.load_dataset("cpx321").take(range(1)), name="one"))
    output = call("relax", "one", "--potential", "test_commands:failing", code=1)
    assert "0 converged, 0 did not within the steps, 1 failed" in output


def test_help_takes_the_width_of_the_terminal() -> None:
    widths = {}
    for columns in ("60", "110"):
        command = [sys.executable, "-m", "qperov.commands.main", "compare", "--help"]
        page = subprocess.run(
            command, env=os.environ | {"COLUMNS": columns}, capture_output=True, text=True, check=True
        ).stdout
        widths[columns] = max(len(line) for line in page.splitlines() if not line.startswith("  qperov"))
    assert widths["60"] <= 60
    assert 90 < widths["110"] <= 110
