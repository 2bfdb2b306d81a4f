"""What the README shows is what happens."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sklearn.model_selection import ParameterGrid
from typer.testing import CliRunner

from qperov.commands.main import app

README = Path(__file__).parents[1] / "README.md"


#: What the examples after the first take for granted.
GIVEN = """
import numpy as np, qperov
from qperov.quantum import as_qiskit_kernel, resolved_kernel
from qiskit.circuit.library import zz_feature_map
from qiskit_machine_learning.algorithms import QSVC
from sklearn.gaussian_process.kernels import WhiteKernel
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
X = np.random.default_rng(0).normal(size=(40, 10))
y, my_quantum_circuit = np.sin(X[:, 0]), zz_feature_map(10)
crystals = []
for edge in np.linspace(5.8, 6.4, 12):
    crystal = qperov.load_dataset("cpx321").structures[0].copy()
    crystal.scale_lattice(edge**3 * 6)
    crystals.append(crystal)
labels = energies = np.linspace(0, 1, 12)
angles = np.arange(10, 80, 0.02)
np.savetxt("scan.xy", np.c_[angles, 50 + sum(900 * np.exp(-((angles - a) / 0.1) ** 2) for a in (20.9, 29.7, 42.4))])
"""


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_examples_that_compare_search_equally() -> None:
    comparing = [block for block in blocks() if "compare(" in block]
    assert comparing
    for block in comparing:
        shown: dict[str, Any] = {}
        exec(block.rpartition("print(")[0], shown)
        searches = [pipeline[-1] for pipeline in shown["models"].values()]
        candidates = [list(ParameterGrid(search.param_grid)) for search in searches]
        assert {len(each) for each in candidates} == {30}
        assert len({str([candidate["C"] for candidate in each]) for each in candidates}) == 1
        assert len({search.estimator.epsilon for search in searches}) == 1
        lengths = [sorted(getattr(c["kernel"], "length_scale", None) or 1 / c["kernel"].bandwidth for c in each)
                   for each in candidates]  # fmt: skip
        assert lengths[0] == pytest.approx(lengths[1])


@pytest.mark.slow
def test_the_ten_lines_of_python_run() -> None:
    code = blocks()[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "QSVR structure factors" in " ".join(done.stdout.split())


@pytest.mark.slow
def test_the_other_examples_run(tmp_path: Path) -> None:
    code = GIVEN + "\n".join(blocks()[1:]).replace("fit(crystals, y)", "fit(crystals, labels)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "concentrat" in done.stdout.lower()


def test_files_that_it_links_to_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (README.parent / link).exists()] == []


@pytest.mark.parametrize(
    "command",
    [
        *("demo", "compare", "predict", "describe", "report", "relax", "inputs", "design"),
        *(f"data {step}" for step in ("import", "list", "fetch")),
        *(f"hardware {step}" for step in ("plan", "submit", "status", "collect", "resume")),
    ],
)
def test_commands_that_it_names_have_help(command: str) -> None:
    assert f"qperov {command}" in README.read_text(encoding="utf-8")
    page = CliRunner().invoke(app, [*command.split(), "--help"])
    assert page.exit_code == 0, page.output
    assert "Usage:" in page.output
