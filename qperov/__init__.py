"""Quantum-classical machine learning on powder patterns of crystals.

The names below are the public interface; each is imported when it is first used, so that ``import qperov`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qperov.classical.cnn import CNNRegressor
    from qperov.classical.gan import WSPGAN
    from qperov.crystals.dataset import CrystalDataset
    from qperov.crystals.datasets import load_dataset
    from qperov.crystals.dft_inputs import write_calculations
    from qperov.crystals.double_perovskites import DoublePerovskite, double_perovskites
    from qperov.crystals.energies import mixing_energies
    from qperov.crystals.orderings import Ordering, count_orderings, orderings
    from qperov.crystals.perovskite_cells import perovskite_cell, perovskite_compositions
    from qperov.crystals.perovskite_sites import assign_sites
    from qperov.crystals.random_orderings import random_orderings
    from qperov.crystals.reading import read
    from qperov.crystals.store import Store
    from qperov.crystals.sublattices import Sublattice
    from qperov.crystals.symmetry import symmetry_classes
    from qperov.crystals.tolerance import tolerance_factors
    from qperov.descriptors.featurizers import PXRDFeaturizer
    from qperov.descriptors.measured import MeasuredPattern, strip_kalpha2, subtract_background
    from qperov.descriptors.measured_reading import read_measured_pattern
    from qperov.descriptors.pxrd import Pattern, powder_patterns
    from qperov.descriptors.rounding import RankPCA
    from qperov.errors import QperovError
    from qperov.evaluation.comparison import compare
    from qperov.evaluation.results import Comparison
    from qperov.generative.ftcp_vae import FTCPVAE
    from qperov.generative.imatgen import IMatGen
    from qperov.generative.tlvae import TLVAE
    from qperov.generative.validation import validate
    from qperov.hardware.backend import Backend
    from qperov.potentials.label_factory import label_dataset, relaxed_dataset
    from qperov.potentials.protocols import Protocol
    from qperov.potentials.relaxation import relax
    from qperov.quantum.autoencoder import QuantumAutoencoder
    from qperov.quantum.bandwidth import resolved_kernel
    from qperov.quantum.classification import QuantumSVC
    from qperov.quantum.diagnostics import diagnose
    from qperov.quantum.encoded_regressor import EncodedRegressor
    from qperov.quantum.fidelity_kernel import FidelityKernel
    from qperov.quantum.gram_file import write_gram
    from qperov.quantum.interoperation import ForeignKernel, as_qiskit_kernel
    from qperov.quantum.kernel_states import KernelStates, StateFidelity
    from qperov.quantum.mitigation import KernelRepair
    from qperov.quantum.projected_kernel import ProjectedKernel
    from qperov.quantum.regression import QuantumKernelRidge, QuantumSVR
    from qperov.record import Record, read_record, write_record
    from qperov.reports.html import build_report
    from qperov.serving.stored_model import load_model

_HOMES = {
    "Backend": "hardware.backend",
    "CNNRegressor": "classical.cnn",
    "Comparison": "evaluation.results",
    "CrystalDataset": "crystals.dataset",
    "DoublePerovskite": "crystals.double_perovskites",
    "EncodedRegressor": "quantum.encoded_regressor",
    "FTCPVAE": "generative.ftcp_vae",
    "FidelityKernel": "quantum.fidelity_kernel",
    "ForeignKernel": "quantum.interoperation",
    "IMatGen": "generative.imatgen",
    "KernelRepair": "quantum.mitigation",
    "KernelStates": "quantum.kernel_states",
    "MeasuredPattern": "descriptors.measured",
    "Ordering": "crystals.orderings",
    "PXRDFeaturizer": "descriptors.featurizers",
    "Pattern": "descriptors.pxrd",
    "ProjectedKernel": "quantum.projected_kernel",
    "Protocol": "potentials.protocols",
    "QperovError": "errors",
    "QuantumAutoencoder": "quantum.autoencoder",
    "QuantumKernelRidge": "quantum.regression",
    "QuantumSVC": "quantum.classification",
    "QuantumSVR": "quantum.regression",
    "RankPCA": "descriptors.rounding",
    "Record": "record",
    "StateFidelity": "quantum.kernel_states",
    "Store": "crystals.store",
    "Sublattice": "crystals.sublattices",
    "TLVAE": "generative.tlvae",
    "WSPGAN": "classical.gan",
    "as_qiskit_kernel": "quantum.interoperation",
    "assign_sites": "crystals.perovskite_sites",
    "build_report": "reports.html",
    "compare": "evaluation.comparison",
    "count_orderings": "crystals.orderings",
    "diagnose": "quantum.diagnostics",
    "double_perovskites": "crystals.double_perovskites",
    "label_dataset": "potentials.label_factory",
    "load_dataset": "crystals.datasets",
    "load_model": "serving.stored_model",
    "mixing_energies": "crystals.energies",
    "orderings": "crystals.orderings",
    "perovskite_cell": "crystals.perovskite_cells",
    "perovskite_compositions": "crystals.perovskite_cells",
    "powder_patterns": "descriptors.pxrd",
    "random_orderings": "crystals.random_orderings",
    "read": "crystals.reading",
    "read_measured_pattern": "descriptors.measured_reading",
    "read_record": "record",
    "relax": "potentials.relaxation",
    "relaxed_dataset": "potentials.label_factory",
    "resolved_kernel": "quantum.bandwidth",
    "strip_kalpha2": "descriptors.measured",
    "subtract_background": "descriptors.measured",
    "symmetry_classes": "crystals.symmetry",
    "tolerance_factors": "crystals.tolerance",
    "validate": "generative.validation",
    "write_calculations": "crystals.dft_inputs",
    "write_gram": "quantum.gram_file",
    "write_record": "record",
}

__all__ = [  # noqa: RUF022 (WSPGAN is a class, not a constant)
    "Backend",
    "CNNRegressor",
    "Comparison",
    "CrystalDataset",
    "DoublePerovskite",
    "EncodedRegressor",
    "FTCPVAE",
    "FidelityKernel",
    "ForeignKernel",
    "IMatGen",
    "KernelRepair",
    "KernelStates",
    "MeasuredPattern",
    "Ordering",
    "PXRDFeaturizer",
    "Pattern",
    "ProjectedKernel",
    "Protocol",
    "QperovError",
    "QuantumAutoencoder",
    "QuantumKernelRidge",
    "QuantumSVC",
    "QuantumSVR",
    "RankPCA",
    "Record",
    "StateFidelity",
    "Store",
    "Sublattice",
    "TLVAE",
    "WSPGAN",
    "as_qiskit_kernel",
    "assign_sites",
    "build_report",
    "compare",
    "count_orderings",
    "diagnose",
    "double_perovskites",
    "label_dataset",
    "load_dataset",
    "load_model",
    "mixing_energies",
    "orderings",
    "perovskite_cell",
    "perovskite_compositions",
    "powder_patterns",
    "random_orderings",
    "read",
    "read_measured_pattern",
    "read_record",
    "relax",
    "relaxed_dataset",
    "resolved_kernel",
    "strip_kalpha2",
    "subtract_background",
    "symmetry_classes",
    "tolerance_factors",
    "validate",
    "write_calculations",
    "write_gram",
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
