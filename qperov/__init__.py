"""Quantum-classical machine learning on powder patterns of crystals.

What stands here is imported when it is first used, so that ``import qperov`` is quick; the rooms (``qperov.crystals``,
``qperov.quantum``, …) hold the rest.
"""

import warnings
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import lazy_loader

_named, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

#: Names that stood here in 0.1, and the room of each; they go in 0.3.
_MOVED = {
    "as_qiskit_kernel": "quantum",
    "assign_sites": "crystals",
    "build_report": "reports",
    "Comparison": "evaluation",
    "count_orderings": "crystals",
    "CrystalDataset": "datasets",
    "double_perovskites": "crystals",
    "DoublePerovskite": "crystals",
    "EncodedRegressor": "quantum",
    "ForeignKernel": "quantum",
    "KernelRepair": "quantum",
    "KernelStates": "quantum",
    "label_dataset": "potentials",
    "MeasuredPattern": "diffraction",
    "mixing_energies": "crystals",
    "Ordering": "crystals",
    "Pattern": "diffraction",
    "perovskite_cell": "crystals",
    "perovskite_compositions": "crystals",
    "Protocol": "potentials",
    "QperovError": "errors",
    "QuantumKernelRidge": "quantum",
    "random_orderings": "crystals",
    "RankPCA": "descriptors",
    "read_measured_pattern": "diffraction",
    "read_record": "records",
    "Record": "records",
    "relax": "potentials",
    "relaxed_dataset": "potentials",
    "resolved_kernel": "quantum",
    "StateFidelity": "quantum",
    "strip_kalpha2": "diffraction",
    "Sublattice": "crystals",
    "subtract_background": "diffraction",
    "symmetry_classes": "crystals",
    "tolerance_factors": "crystals",
    "validate": "generative",
    "write_calculations": "crystals",
    "write_gram": "quantum",
    "write_record": "records",
}

try:
    __version__ = version("qperov")
except PackageNotFoundError:  # a source tree that was not installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    if name not in _MOVED:
        return _named(name)
    home = f"qperov.{_MOVED[name]}"
    text = f"qperov.{name} has moved: write 'from {home} import {name}'; the old name goes in qperov 0.3"
    warnings.warn(text, DeprecationWarning, stacklevel=2)
    return getattr(import_module(home), name)
