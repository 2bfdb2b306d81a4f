"""Quantum-classical machine learning on powder patterns of crystals.

The names below are the public interface; each is imported when it is first used, so that ``import qperov`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qperov.crystals.dataset import CrystalDataset
    from qperov.crystals.datasets import load_dataset
    from qperov.crystals.orderings import Ordering, orderings
    from qperov.crystals.reading import read
    from qperov.crystals.store import Store
    from qperov.crystals.symmetry import symmetry_classes
    from qperov.descriptors.featurizers import PXRDFeaturizer
    from qperov.descriptors.pxrd import Pattern, powder_patterns
    from qperov.descriptors.rounding import RankPCA
    from qperov.errors import QperovError
    from qperov.evaluation.comparison import compare
    from qperov.evaluation.results import Comparison
    from qperov.quantum.kernels import FidelityKernel, ProjectedKernel
    from qperov.quantum.regression import QuantumSVR
    from qperov.record import Record, read_record, write_record
    from qperov.reports.html import build_report

_HOMES = {
    "Comparison": "evaluation.results",
    "CrystalDataset": "crystals.dataset",
    "FidelityKernel": "quantum.kernels",
    "Ordering": "crystals.orderings",
    "PXRDFeaturizer": "descriptors.featurizers",
    "Pattern": "descriptors.pxrd",
    "ProjectedKernel": "quantum.kernels",
    "QperovError": "errors",
    "QuantumSVR": "quantum.regression",
    "RankPCA": "descriptors.rounding",
    "Record": "record",
    "Store": "crystals.store",
    "build_report": "reports.html",
    "compare": "evaluation.comparison",
    "load_dataset": "crystals.datasets",
    "orderings": "crystals.orderings",
    "powder_patterns": "descriptors.pxrd",
    "read": "crystals.reading",
    "read_record": "record",
    "symmetry_classes": "crystals.symmetry",
    "write_record": "record",
}

__all__ = [
    "Comparison",
    "CrystalDataset",
    "FidelityKernel",
    "Ordering",
    "PXRDFeaturizer",
    "Pattern",
    "ProjectedKernel",
    "QperovError",
    "QuantumSVR",
    "RankPCA",
    "Record",
    "Store",
    "build_report",
    "compare",
    "load_dataset",
    "orderings",
    "powder_patterns",
    "read",
    "read_record",
    "symmetry_classes",
    "write_record",
]

try:
    __version__ = version("qperov")
except PackageNotFoundError:  # a source tree that was not installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'qperov' has no attribute {name!r}")
    value = getattr(import_module(f"qperov.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
