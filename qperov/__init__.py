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
    from qperov.crystals.dft.inputs import write_calculations
    from qperov.crystals.energies import mixing_energies
    from qperov.crystals.orderings.enumeration import Ordering, count_orderings, orderings
    from qperov.crystals.orderings.sampling import random_orderings
    from qperov.crystals.orderings.sublattices import Sublattice
    from qperov.crystals.perovskites.cells import perovskite_cell, perovskite_compositions
    from qperov.crystals.perovskites.double import DoublePerovskite, double_perovskites
    from qperov.crystals.perovskites.sites import assign_sites
    from qperov.crystals.perovskites.tolerance import tolerance_factors
    from qperov.crystals.symmetry import symmetry_classes
    from qperov.datasets.dataset import CrystalDataset
    from qperov.datasets.named import load_dataset
    from qperov.datasets.reading import read
    from qperov.datasets.store import Store
    from qperov.descriptors.featurizer import PXRDFeaturizer
    from qperov.descriptors.rank_pca import RankPCA
    from qperov.diffraction.measured import MeasuredPattern, strip_kalpha2, subtract_background
    from qperov.diffraction.measured_reading import read_measured_pattern
    from qperov.diffraction.patterns import Pattern, powder_patterns
    from qperov.errors import QperovError
    from qperov.evaluation.comparison import compare
    from qperov.evaluation.results import Comparison
    from qperov.generative.bench.validation import validate
    from qperov.generative.imatgen.model import IMatGen
    from qperov.generative.models.ftcp_vae import FTCPVAE
    from qperov.generative.models.tlvae import TLVAE
    from qperov.hardware.jobs.backend import Backend
    from qperov.potentials.label_factory import label_dataset, relaxed_dataset
    from qperov.potentials.protocols import Protocol
    from qperov.potentials.relaxation import relax
    from qperov.quantum.autoencoder.autoencoder import QuantumAutoencoder
    from qperov.quantum.autoencoder.encoded_regressor import EncodedRegressor
    from qperov.quantum.diagnosis.diagnostics import diagnose
    from qperov.quantum.estimators.classification import QuantumSVC
    from qperov.quantum.estimators.regression import QuantumKernelRidge, QuantumSVR
    from qperov.quantum.gram.repair import KernelRepair
    from qperov.quantum.kernels.bandwidth import resolved_kernel
    from qperov.quantum.kernels.fidelity import FidelityKernel
    from qperov.quantum.kernels.gram_file import write_gram
    from qperov.quantum.kernels.interoperation import ForeignKernel, as_qiskit_kernel
    from qperov.quantum.kernels.projected import ProjectedKernel
    from qperov.quantum.kernels.states import KernelStates, StateFidelity
    from qperov.records.record import Record, read_record, write_record
    from qperov.reports.html import build_report
    from qperov.serving.stored_model import load_model

_HOMES = {
    "Backend": "hardware.jobs.backend",
    "CNNRegressor": "classical.cnn",
    "Comparison": "evaluation.results",
    "CrystalDataset": "datasets.dataset",
    "DoublePerovskite": "crystals.perovskites.double",
    "EncodedRegressor": "quantum.autoencoder.encoded_regressor",
    "FTCPVAE": "generative.models.ftcp_vae",
    "FidelityKernel": "quantum.kernels.fidelity",
    "ForeignKernel": "quantum.kernels.interoperation",
    "IMatGen": "generative.imatgen.model",
    "KernelRepair": "quantum.gram.repair",
    "KernelStates": "quantum.kernels.states",
    "MeasuredPattern": "diffraction.measured",
    "Ordering": "crystals.orderings.enumeration",
    "PXRDFeaturizer": "descriptors.featurizer",
    "Pattern": "diffraction.patterns",
    "ProjectedKernel": "quantum.kernels.projected",
    "Protocol": "potentials.protocols",
    "QperovError": "errors",
    "QuantumAutoencoder": "quantum.autoencoder.autoencoder",
    "QuantumKernelRidge": "quantum.estimators.regression",
    "QuantumSVC": "quantum.estimators.classification",
    "QuantumSVR": "quantum.estimators.regression",
    "RankPCA": "descriptors.rank_pca",
    "Record": "records.record",
    "StateFidelity": "quantum.kernels.states",
    "Store": "datasets.store",
    "Sublattice": "crystals.orderings.sublattices",
    "TLVAE": "generative.models.tlvae",
    "WSPGAN": "classical.gan",
    "as_qiskit_kernel": "quantum.kernels.interoperation",
    "assign_sites": "crystals.perovskites.sites",
    "build_report": "reports.html",
    "compare": "evaluation.comparison",
    "count_orderings": "crystals.orderings.enumeration",
    "diagnose": "quantum.diagnosis.diagnostics",
    "double_perovskites": "crystals.perovskites.double",
    "label_dataset": "potentials.label_factory",
    "load_dataset": "datasets.named",
    "load_model": "serving.stored_model",
    "mixing_energies": "crystals.energies",
    "orderings": "crystals.orderings.enumeration",
    "perovskite_cell": "crystals.perovskites.cells",
    "perovskite_compositions": "crystals.perovskites.cells",
    "powder_patterns": "diffraction.patterns",
    "random_orderings": "crystals.orderings.sampling",
    "read": "datasets.reading",
    "read_measured_pattern": "diffraction.measured_reading",
    "read_record": "records.record",
    "relax": "potentials.relaxation",
    "relaxed_dataset": "potentials.label_factory",
    "resolved_kernel": "quantum.kernels.bandwidth",
    "strip_kalpha2": "diffraction.measured",
    "subtract_background": "diffraction.measured",
    "symmetry_classes": "crystals.symmetry",
    "tolerance_factors": "crystals.perovskites.tolerance",
    "validate": "generative.bench.validation",
    "write_calculations": "crystals.dft.inputs",
    "write_gram": "quantum.kernels.gram_file",
    "write_record": "records.record",
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
