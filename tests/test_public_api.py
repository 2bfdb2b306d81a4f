"""The public names, and what importing the package must not cost."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import qperov

ROOT = Path(__file__).parents[1]
#: What the design fixes and users rely on; a name is added or removed here on purpose.
PUBLIC = {
    "read", "load_dataset", "CrystalDataset", "Store", "orderings", "Ordering", "symmetry_classes",
    "random_orderings", "count_orderings", "Sublattice", "tolerance_factors", "assign_sites", "perovskite_compositions",
    "perovskite_cell", "double_perovskites", "DoublePerovskite",
    "powder_patterns", "Pattern", "PXRDFeaturizer", "RankPCA",
    "FidelityKernel", "ProjectedKernel", "QuantumSVR", "QuantumKernelRidge", "QuantumSVC", "KernelStates",
    "StateFidelity", "resolved_kernel", "diagnose", "KernelRepair", "write_gram", "ForeignKernel", "as_qiskit_kernel",
    "compare", "Comparison", "Record", "read_record", "write_record", "build_report",
    "MeasuredPattern", "subtract_background", "strip_kalpha2", "read_measured_pattern",
    "QuantumAutoencoder", "EncodedRegressor",
    "CNNRegressor", "WSPGAN", "Backend",
    "relax", "Protocol", "label_dataset", "relaxed_dataset", "mixing_energies", "write_calculations",
    "FTCPVAE", "TLVAE", "IMatGen", "validate", "load_model",
    "QperovError",
}  # fmt: skip
HEAVY = {
    "numpy", "scipy", "pandas", "pyarrow", "matplotlib", "sklearn", "pymatgen", "ase", "spglib", "torch", "qiskit",
    "pennylane", "openTSNE",
}  # fmt: skip


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running ``code``."""
    code = f"import sys\n{code}\nprint('\\nLOADED', *sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in run.stdout.rpartition("LOADED")[2].split()}


def type_checking_imports() -> dict[str, str]:
    """Name → module of the imports that only type checkers see."""
    tree = ast.parse(Path(qperov.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    return {
        alias.name: str(node.module) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }


def test_all_is_exact_and_sorted() -> None:
    assert set(qperov.__all__) == PUBLIC
    assert len(qperov.__all__) == len(PUBLIC)
    assert qperov.__all__ == sorted(qperov.__all__)
    assert dir(qperov) == qperov.__all__


def test_lazy_table_and_type_checkers_agree_on_where_names_live() -> None:
    lazy = {name: f"qperov.{home}" for name, home in qperov._HOMES.items()}
    assert lazy == type_checking_imports()
    assert set(lazy) == set(qperov.__all__)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_name_resolves_to_the_object_of_its_home(name: str) -> None:
    value = getattr(qperov, name)
    home = importlib.import_module(f"qperov.{qperov._HOMES[name]}")
    assert value is getattr(home, name)
    assert value.__module__ == home.__name__, "the home must define the name, not pass it on"
    assert value.__doc__


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="'qperov' has no attribute 'comparison_of'"):
        _ = qperov.comparison_of
    with pytest.raises(ImportError):
        exec("from qperov import comparison_of")


def test_star_import_gives_the_public_names_alone() -> None:
    namespace: dict[str, object] = {}
    exec("from qperov import *", namespace)
    assert set(namespace) - {"__builtins__"} == PUBLIC


def test_version_is_text() -> None:
    assert qperov.__version__[0].isdigit()


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = modules_after("import qperov")
    assert "qperov" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["compare", "--help"], ["data", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    call = (
        f"sys.argv = {['qperov', *arguments]!r}\ntry:\n    main()\nexcept SystemExit as end:\n    assert not end.code"
    )
    loaded = modules_after(f"from qperov.commands.main import main\n{call}")
    assert "typer" in loaded
    assert not loaded & HEAVY


def test_the_probe_sees_what_is_loaded() -> None:
    assert {"numpy", "pymatgen"} <= modules_after("import qperov\nqperov.CrystalDataset, qperov.powder_patterns")


def test_module_runs_as_a_command() -> None:
    command = [sys.executable, "-m", "qperov.commands.main", "--help"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "compare" in run.stdout
