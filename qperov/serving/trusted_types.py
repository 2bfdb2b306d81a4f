"""What a stored pipeline may be made of.

A skops file names the types of its parts. Those of scikit-learn's own estimators, and plain numbers, text, arrays and
containers, are known to skops; the list below adds ours, and the few others that our pipelines hold. A file that names
anything else is refused before anything of it is built.
"""

from __future__ import annotations

_DESCRIPTORS = (
    "featurizers.PXRDFeaturizer",
    "kinds.Correlations",
    "kinds.DifferencePeaks",
    "kinds.MergedPeaks",
    "kinds.PeakMatrices",
    "kinds.Profiles",
    "kinds.Radiation",
    "kinds.Radiation.patterns",
    "kinds._degrees",
    "matrices.adjacency_matrix",
    "matrices.autoencoder_vector",
    "matrices.difference_gram",
    "matrices.gram_matrix",
    "matrices.laplacian_matrix",
    "matrices.matganip_matrix",
    "matrices.qsvr_vector",
    "profiles.ProfileGrid",
    "rounding.RankPCA",
    "structure_factors.StructureFactors",
)
_QUANTUM = (
    "autoencoder.QuantumAutoencoder",
    "encoded_regressor.EncodedRegressor",
    "encoded_regressor.TorchHead",
    "fidelity_kernel.FidelityKernel",
    "pauli.PauliWord",
    "projected_kernel.ProjectedKernel",
    "regression.QuantumKernelRidge",
    "regression.QuantumSVR",
    "rotations.RotationCircuit",
)
#: Kernels of Gaussian processes, which are no estimators.
_KERNELS = (
    "CompoundKernel",
    "ConstantKernel",
    "DotProduct",
    "ExpSineSquared",
    "Exponentiation",
    "Matern",
    "PairwiseKernel",
    "Product",
    "RBF",
    "RationalQuadratic",
    "Sum",
    "WhiteKernel",
)
#: Types and functions by their full names, beside those that skops trusts by itself.
TRUSTED = (
    *(f"qperov.descriptors.{name}" for name in _DESCRIPTORS),
    *(f"qperov.quantum.{name}" for name in _QUANTUM),
    *(f"sklearn.gaussian_process.kernels.{name}" for name in _KERNELS),
    "pymatgen.core.lattice.Lattice",
    "qperov.crystals.parent_lattice.ParentLattice",
    "qperov.serving.stored_structures.StoredStructure",
)
