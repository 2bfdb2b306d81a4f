"""The public names, and what importing the package must not cost."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
import qperov_circuits

import qperov

ROOT = Path(__file__).parents[1]
#: Rooms whose names users rely on.
ROOMS = {
    "benchmarking", "classical", "crystals", "datasets", "descriptors", "diffraction", "evaluation", "generative",
    "hardware", "potentials", "quantum", "records", "reports", "serving",
}  # fmt: skip
#: What the design fixes at the root; a name is added or removed here on purpose.
PUBLIC = {
    "read", "load_dataset", "Store", "orderings", "powder_patterns", "PXRDFeaturizer", "FidelityKernel",
    "ProjectedKernel", "LandmarkFeatures", "QuantumSVR", "QuantumSVC", "QuantumAutoencoder", "diagnose", "WSPGAN",
    "CNNRegressor", "FTCPVAE", "TLVAE", "IMatGen", "compare", "load_model", "Backend", "benchmark",
}  # fmt: skip
#: Names that stood at the root in 0.1; each warns and goes in 0.3.
MOVED = {
    "Comparison", "CrystalDataset", "DoublePerovskite", "EncodedRegressor", "ForeignKernel", "KernelRepair",
    "KernelStates", "MeasuredPattern", "Ordering", "Pattern", "Protocol", "QperovError", "QuantumKernelRidge",
    "RankPCA", "Record", "StateFidelity", "Sublattice", "as_qiskit_kernel", "assign_sites", "build_report",
    "count_orderings", "double_perovskites", "label_dataset", "mixing_energies", "perovskite_cell",
    "perovskite_compositions", "random_orderings", "read_measured_pattern", "read_record", "relax", "relaxed_dataset",
    "resolved_kernel", "strip_kalpha2", "subtract_background", "symmetry_classes", "tolerance_factors", "validate",
    "write_calculations", "write_gram", "write_record",
}  # fmt: skip
HEAVY = {
    "numpy", "scipy", "pandas", "pyarrow", "matplotlib", "sklearn", "pymatgen", "ase", "spglib", "torch", "qiskit",
    "pennylane", "openTSNE",
}  # fmt: skip
PACKAGES = [
    importlib.import_module(found.name)
    for package in (qperov, qperov_circuits)
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if found.ispkg
]


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running ``code``."""
    code = f"import sys\n{code}\nprint('\\nLOADED', *sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in run.stdout.rpartition("LOADED")[2].split()}


def test_the_root_has_the_fixed_names_and_the_rooms() -> None:
    assert set(qperov.__all__) == PUBLIC | ROOMS
    assert len(qperov.__all__) == len(PUBLIC | ROOMS)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_each_name_is_documented_and_stands_in_a_room(name: str) -> None:
    value = getattr(qperov, name)
    room = value.__module__.split(".")[1]
    assert room in ROOMS
    assert value.__doc__
    # a room cannot export a function under the name of one of its own folders
    assert name == "orderings" or getattr(getattr(qperov, room), name) is value


@pytest.mark.parametrize("name", sorted(ROOMS))
def test_each_room_defines_what_it_exports(name: str) -> None:
    room = getattr(qperov, name)
    assert room.__all__
    for exported in room.__all__:
        value = getattr(room, exported)
        assert value.__module__.startswith(f"qperov.{name}."), exported
        assert value.__doc__


@pytest.mark.parametrize("name", sorted(MOVED))
def test_old_names_warn_and_name_their_new_home(name: str) -> None:
    with pytest.warns(DeprecationWarning, match=rf"from qperov\.\w+ import {name}'; the old name goes in qperov 0.3"):
        value = getattr(qperov, name)
    assert value.__name__ == name


@pytest.mark.parametrize("package", [qperov_circuits, *PACKAGES], ids=lambda package: package.__name__)
def test_no_room_exports_a_name_of_its_modules(package: object) -> None:
    modules = {found.name for found in pkgutil.iter_modules(package.__path__)}
    shadowed = {name for name in getattr(package, "__all__", ()) if name in modules}
    assert not {name for name in shadowed if not inspect.ismodule(getattr(package, name))}


@pytest.mark.parametrize("package", [qperov, *PACKAGES], ids=lambda package: package.__name__)
def test_no_folder_holds_more_than_thirteen_modules(package: object) -> None:
    modules = [found.name for found in pkgutil.iter_modules(package.__path__) if not found.ispkg]
    assert len(modules) <= 13
    if package is qperov:
        assert set(modules) == {"errors", "torch_support"}


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="qperov attribute comparison_of"):
        _ = qperov.comparison_of
    with pytest.raises(ImportError):
        exec("from qperov import comparison_of")


def test_version_is_text() -> None:
    assert qperov.__version__[0].isdigit()


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = modules_after("import qperov")
    assert "qperov" in loaded
    assert not loaded & HEAVY


def test_help_loads_nothing_heavy() -> None:
    pages = [["--help"], ["--version"], ["compare", "--help"], ["data", "--help"]]
    loaded = modules_after(
        "from qperov.commands.main import main\n"
        f"for page in {pages!r}:\n"
        "    sys.argv = ['qperov', *page]\n"
        "    try:\n        main()\n    except SystemExit as end:\n        assert not end.code"
    )
    assert "typer" in loaded
    assert not loaded & HEAVY


def test_the_probe_sees_what_is_loaded() -> None:
    assert {"numpy", "pymatgen"} <= modules_after("import qperov\nqperov.Store, qperov.powder_patterns")


def test_module_runs_as_a_command() -> None:
    command = [sys.executable, "-m", "qperov.commands.main", "--help"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "compare" in run.stdout
