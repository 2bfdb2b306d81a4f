"""The one writer: a file or folder is there whole or not at all, whoever else writes it."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import qperov
from qperov.storage import atomic as module
from qperov.storage.atomic import atomic_path, write_text


def test_text_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    assert write_text(path, "old") == path
    write_text(path, "new \ud800")
    assert path.read_text() == "new \\ud800"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")

    def write_half() -> None:
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_appears_whole_and_never_over_a_full_one(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for _ in range(2):
        try:
            with atomic_path(tmp_path / "run") as temporary:
                (temporary / "deep").mkdir(parents=True)
                (temporary / "deep" / "a").write_text("a")
                assert os.listdir(tmp_path / "run") in ([], ["deep"])
        except OSError:
            break
    else:
        pytest.fail("a folder with a file in it was replaced")
    assert (tmp_path / "run" / "deep" / "a").read_text() == "a"
    assert os.listdir(tmp_path) == ["run"]


def test_everything_is_on_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    flush, replace = module._flush, os.replace
    monkeypatch.setattr(module, "_flush", lambda path: calls.append(path.name) or flush(path))
    monkeypatch.setattr(module.os, "replace", lambda *paths: calls.append("rename") or replace(*paths))
    write_text(tmp_path / "a.txt", "whole")
    assert calls[1:] == ["rename", tmp_path.name]


WRITER = """
import sys
from qperov.storage.atomic import write_text
while True:
    write_text(sys.argv[1], sys.argv[2] * 200_000)
"""


def test_killed_writers_never_leave_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "a" * 200_000)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, path, letter]) for letter in "ab"]
    try:
        seen = set()
        while len(seen) < 2:
            text = path.read_text()
            assert len(text) == 200_000
            seen.update(text)
            assert all(writer.poll() is None for writer in writers)
    finally:
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
    assert [file.name for file in tmp_path.glob("*.txt")] == ["a.txt"], "no such name stays of killed writers"
    assert len(set(path.read_text())) == 1
    assert len(path.read_text()) == 200_000


def test_no_other_module_renames_files() -> None:
    """Renaming is how a writer is recognised; a download that goes on later keeps its own part."""
    root = Path(qperov.__file__).parent
    found = set()
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                of_os = isinstance(node.func.value, ast.Name) and node.func.value.id == "os"
                one = len(node.args) == 1 and not isinstance(node.args[0], ast.Constant) and not node.keywords
                if node.func.attr in ("replace", "rename") and (of_os or one):
                    found.add(file.relative_to(root).as_posix())
    assert found - {"storage/atomic.py", "datasets/databases/http.py", "quantum/kernels/gram_file.py"} == set()
