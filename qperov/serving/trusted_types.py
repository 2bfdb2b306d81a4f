"""What a stored pipeline may be made of.

A skops file names the types of its parts. Those of scikit-learn's own estimators, and plain numbers, text, arrays and
containers, are known to skops; the list below adds ours, and the few others that our pipelines hold. A file that names
anything else is refused before anything of it is built.
"""

from __future__ import annotations

_OURS = (
    "classical.gaussian_process.ARDGaussianProcess",
    "classical.kernels.PowerExponential",
    "crystals.parent_lattice.ParentLattice",
    "descriptors.decorations.Decorations",
    "descriptors.decorations.SpinCorrelations",
    "descriptors.featurizer.PXRDFeaturizer",
    "descriptors.kinds.Correlations",
    "descriptors.kinds.DifferencePeaks",
    "descriptors.kinds.MergedPeaks",
    "descriptors.kinds.PeakMatrices",
    "descriptors.kinds.Profiles",
    "descriptors.kinds._degrees",
    "descriptors.neighbours.PairShells",
    "descriptors.neighbours.TransPairs",
    "descriptors.matrices.adjacency_matrix",
    "descriptors.matrices.autoencoder_vector",
    "descriptors.matrices.difference_gram",
    "descriptors.matrices.gram_matrix",
    "descriptors.matrices.laplacian_matrix",
    "descriptors.matrices.matganip_matrix",
    "descriptors.matrices.qsvr_vector",
    "descriptors.structure_factors.StructureFactors",
    "diffraction.patterns.Experiment",
    "diffraction.patterns.Experiment.patterns",
    "diffraction.profiles.ProfileGrid",
    "descriptors.perovskite_sites.SiteFeatures",
    "descriptors.rank_pca.RankPCA",
    "descriptors.scans.intensity.IntensityScaling",
    "descriptors.scans.patterns.CommonGrid",
    "descriptors.scans.peaks.PeakFeatures",
    "descriptors.scans.peaks.SuperstructureLines",
    "descriptors.scans.profile.MeasuredProfile",
    "descriptors.site_factors.SiteStructureFactors",
    "quantum.autoencoder.autoencoder.QuantumAutoencoder",
    "quantum.autoencoder.encoded_regressor.EncodedRegressor",
    "quantum.autoencoder.encoded_regressor.TorchHead",
    "quantum.estimators.classification.QuantumSVC",
    "quantum.estimators.ising_process.IsingGaussianProcess",
    "quantum.estimators.regression.QuantumKernelRidge",
    "quantum.estimators.regression.QuantumSVR",
    "quantum.kernels.fidelity.FidelityKernel",
    "quantum.kernels.ising.IsingKernel",
    "quantum.kernels.landmarks.LandmarkFeatures",
    "quantum.kernels.projected.ProjectedKernel",
    "quantum.simulation.pauli.PauliWord",
    "quantum.simulation.rotations.RotationCircuit",
    "serving.stored_structures.StoredStructure",
    "studies.inverse_design.features.CrystalFeatures",
)
_QUANTUM_OF_0_1 = {
    "autoencoder.QuantumAutoencoder": "autoencoder.autoencoder.QuantumAutoencoder",
    "encoded_regressor.EncodedRegressor": "autoencoder.encoded_regressor.EncodedRegressor",
    "encoded_regressor.TorchHead": "autoencoder.encoded_regressor.TorchHead",
    "fidelity_kernel.FidelityKernel": "kernels.fidelity.FidelityKernel",
    "pauli.PauliWord": "simulation.pauli.PauliWord",
    "projected_kernel.ProjectedKernel": "kernels.projected.ProjectedKernel",
    "regression.QuantumKernelRidge": "estimators.regression.QuantumKernelRidge",
    "regression.QuantumSVR": "estimators.regression.QuantumSVR",
    "rotations.RotationCircuit": "simulation.rotations.RotationCircuit",
}
#: Types by the names that files of qperov 0.1 give them, and by those that they have now.
RENAMED = {
    "qperov.descriptors.featurizers.PXRDFeaturizer": "qperov.descriptors.featurizer.PXRDFeaturizer",
    "qperov.descriptors.kinds.Radiation": "qperov.diffraction.patterns.Experiment",
    "qperov.descriptors.profiles.ProfileGrid": "qperov.diffraction.profiles.ProfileGrid",
    "qperov.descriptors.rounding.RankPCA": "qperov.descriptors.rank_pca.RankPCA",
    **{f"qperov.quantum.{old}": f"qperov.quantum.{new}" for old, new in _QUANTUM_OF_0_1.items()},
}
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
    *(f"qperov.{name}" for name in _OURS),
    *(f"sklearn.gaussian_process.kernels.{name}" for name in _KERNELS),
    "pymatgen.core.lattice.Lattice",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    # plain arrays of nodes, which are checked when they are read
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
