"""The import rules of pyproject.toml hold, and would be seen to be broken."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS = PYPROJECT["tool"]["importlinter"]["contracts"]
LINT = "from importlinter.cli import lint_imports_command as lint; lint(['--no-cache', '--no-logo'])"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the packages in ``folder``."""
    environment = os.environ | {"COLUMNS": "300", "PYTHONPATH": "circuits"}
    return subprocess.run(
        [sys.executable, "-c", LINT], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def kept_and_broken(output: str) -> tuple[int, int]:
    found = re.search(r"Contracts: (\d+) kept, (\d+) broken", output)
    assert found, output
    return int(found[1]), int(found[2])


@pytest.fixture(scope="module")
def copy_of_sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for package in ("circuits", "qperov"):
        for source in (ROOT / package).rglob("*.py"):
            target = folder / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_import_rules_hold() -> None:
    result = lint(ROOT)
    assert kept_and_broken(result.stdout) == (len(CONTRACTS), 0), result.stdout
    assert result.returncode == 0


#: In each contract's order: a line that breaks it, and the module it is put into.
VIOLATIONS = [
    ("qperov/records/record.py", "from qperov.reports import html"),
    ("circuits/qperov_circuits/gate.py", "import numpy"),
    ("qperov/evaluation/splits.py", "from pymatgen.core import Structure"),
    ("qperov/quantum/kernels/fidelity.py", "from qperov.datasets import dataset"),
    ("qperov/records/record.py", "from qperov.evaluation.comparison import compare"),
]


def test_each_rule_catches_a_planted_violation(copy_of_sources: Path) -> None:
    sources = {module: (copy_of_sources / module).read_text(encoding="utf-8") for module, _ in VIOLATIONS}
    for module, line in VIOLATIONS:
        with (copy_of_sources / module).open("a", encoding="utf-8") as stream:
            stream.write(f"\n\ndef _planted() -> None:\n    {line}\n")
    result = lint(copy_of_sources)
    assert kept_and_broken(result.stdout) == (0, len(CONTRACTS)), result.stdout
    assert result.returncode != 0
    links = set(re.findall(r"([\w.]+) (?:->|is not allowed to import) ([\w.]+)", result.stdout))
    for module, line in VIOLATIONS:
        importer = module.removesuffix(".py").removeprefix("circuits/").replace("/", ".")
        assert any(link[0] == importer and _imported(line).startswith(link[1]) for link in links), (module, line, links)
    for module, source in sources.items():
        (copy_of_sources / module).write_text(source, encoding="utf-8")


def _imported(line: str) -> str:
    words = line.split()
    return f"{words[1]}.{words[3]}" if words[0] == "from" else words[1]


def test_an_import_for_type_checkers_breaks_no_rule(copy_of_sources: Path) -> None:
    module = copy_of_sources / "qperov/evaluation/splits.py"
    source = module.read_text(encoding="utf-8")
    guarded = "if TYPE_CHECKING:\n    from qperov.datasets.dataset import CrystalDataset\n"
    module.write_text(f"{source}\nfrom typing import TYPE_CHECKING\n\n{guarded}", encoding="utf-8")
    result = lint(copy_of_sources)
    module.write_text(source, encoding="utf-8")
    assert kept_and_broken(result.stdout) == (len(CONTRACTS), 0)


def test_circuits_imports_standard_library_and_one_sdk_adapter() -> None:
    """A rule can forbid packages by name only; this holds for packages that nobody has thought of."""
    third_party = {}
    for module in sorted((ROOT / "circuits").rglob("*.py")):
        imported = set()
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module}: relative import"
                imported.add(str(node.module).split(".")[0])
        if foreign := imported - sys.stdlib_module_names - {"qperov_circuits"}:
            third_party[module.stem] = foreign
    assert third_party == {
        "to_pennylane": {"pennylane"},
        "from_pennylane": {"pennylane"},
        "from_qiskit": {"qiskit"},
        "to_qiskit": {"qiskit"},
    }


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports inside functions count too; those for type checkers do not."""
    graph = grimp.build_graph("qperov", "qperov_circuits", exclude_type_checking_imports=True, cache_dir=None)
    TopologicalSorter({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}).prepare()


def test_names_of_tests_are_short() -> None:
    names = [
        node.name
        for module in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert len(names) > 1000
    assert [name for name in names if len(name) >= 60] == []
