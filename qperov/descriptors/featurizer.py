"""PXRDFeaturizer: crystals in, one row of numbers each out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pymatgen.core import IStructure, Structure
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags

from qperov.descriptors.citations import SOURCES
from qperov.descriptors.kinds import (
    Correlations,
    DifferencePeaks,
    Kind,
    MergedPeaks,
    PeakMatrices,
    Profiles,
)
from qperov.descriptors.matminer import TableFeaturizing
from qperov.descriptors.neighbours import PairShells, TransPairs
from qperov.descriptors.structure_factors import StructureFactors
from qperov.diffraction.measured import MeasuredPattern
from qperov.diffraction.patterns import Experiment
from qperov.diffraction.profiles import ProfileGrid
from qperov.diffraction.radiation import Wavelength, checked_range, spectral_lines
from qperov.diffraction.scatterers import crystal_list
from qperov.errors import DescriptorError

#: kind → what reports call it.
KINDS = {
    "pattern": "powder pattern",
    "profile": "broadened profile",
    "structure_factors": "structure factors",
    "gram": "Gram matrix",
    "matganip": "MATGANIP matrix",
    "difference_gram": "difference Gram",
    "qsvr": "QSVR vector",
    "autoencoder": "autoencoder vector",
    "degree": "degrees of the peak graph",
    "adjacency": "adjacency matrix of the peak graph",
    "laplacian": "Laplacian matrix of the peak graph",
    "correlations": "correlation functions",
    "trans_pairs": "trans pairs",
    "pair_shells": "pair shells",
}
#: Kinds whose columns do not depend on the crystals: they need no ``fit``.
UNLEARNT = ("profile", "gram", "matganip", "autoencoder", "degree", "adjacency", "laplacian")


class PXRDFeaturizer(TableFeaturizing, TransformerMixin, BaseEstimator):
    """Powder-diffraction features (and the cluster expansion's, for comparison) of crystals.

    Values are rounded to 1e-11 of the largest they can be: what lies below is rounding noise of the Fourier sums, and a
    model that sees it can tell apart crystals whose features are equal.

    Beside scikit-learn's methods it has those of matminer's featurizers: ``featurize``, ``featurize_many``,
    ``featurize_dataframe``, ``feature_labels``, ``citations``, ``implementors``.

    Parameters
    ----------
    kind : str
        ``"pattern"``: intensities on merged 2θ keys, for crystals of one lattice.
        ``"profile"``: broadened peaks on a 2θ grid, for any crystals, and for measured patterns.
        ``"structure_factors"``: |F(hkl)|² over the hkl equivalent under the lattice's point group.
        ``"gram"``: xᵢxⱼ + IᵢIⱼ of the first 28 peaks, x = 2θ in degrees.
        ``"matganip"``: √(sin xᵢ sin xⱼ + IᵢIⱼ/100²) of the first 28 peaks.
        ``"difference_gram"``: PᵀP, P = (sin 2θ, 100·ΔI) of the first 28 peaks that differ from the reference.
        ``"qsvr"``: P of the first 32 such peaks, flat (64 numbers).
        ``"autoencoder"``: I/2θ of the first 32 peaks with 1.5 < I < 70, of norm one.
        ``"adjacency"``, ``"degree"``, ``"laplacian"``: the graph whose vertices are the first 28 peaks and whose edges
        are their differences (degrees: the sum of these at each peak; the mere number of edges is the same for all).
        ``"correlations"``: correlation functions of pairs (and triplets, …) of decorated sites, and of points where
        the crystals differ in composition.
        ``"trans_pairs"``: unlike anions on opposite corners of an octahedron, for any mixed-anion perovskites.
        ``"pair_shells"``: unlike pairs in the three nearest shells of decorated sites, for crystals of one lattice.
    wavelength : str, float or list of (str or float, float)
        Radiation known to pymatgen, or Å, or several of these with weights, such as
        ``[("CuKa1", 1.0), ("CuKa2", 0.5)]``.
    two_theta_range : (float, float), optional
        Degrees; ``None`` is 0 … 180.
    width : float
        Full width at half maximum of ``profile``, degrees.
    step : float
        Grid of ``profile``, degrees.
    shape : str
        Peaks of ``profile``: ``"gaussian"``, ``"lorentzian"`` or ``"pseudo-voigt"``, all of one area.
    mixing : float
        Lorentzian share of a pseudo-Voigt peak.
    normalization : str
        What of a ``profile`` is brought to 100: its ``"strongest"`` reflection, its ``"maximum"`` or its ``"area"`` in
        % · degrees. Measured patterns need one of the last two.
    equivalents : str
        What ``structure_factors`` keeps of equivalent hkl: their ``"mean"``, or all of their values ``"sorted"``.
    n_peaks : int, optional
        Peaks of a matrix or vector; by default those of the published forms.
    reference : Structure or "first", optional
        Reference pattern of the two difference kinds: by default the mean pattern of the crystals given to ``fit``;
        ``"first"``, as published, that of the first of them.
    alignment : str
        Which peaks the two difference kinds subtract from each other: those of one ``"two_theta"``, for crystals of one
        lattice; those of one ``"hkl"``, for strained versions of one cell (relaxed crystals); or, as published, those
        of one ``"position"`` in the list of peaks, which misaligns where one crystal has a peak that the other lacks.
    max_order : int
        Sites of the largest clusters of ``correlations``: 2 pairs, 3 triplets too.

    Attributes
    ----------
    n_features_out_ : int

    Examples
    --------
    >>> import qperov
    >>> ds = qperov.load_dataset("cpx321").take(range(5))
    >>> qperov.PXRDFeaturizer(kind="correlations").fit_transform(ds.structures).shape
    (5, 17)
    """

    def __init__(
        self,
        kind: str = "pattern",
        *,
        wavelength: Wavelength = "CuKa",
        two_theta_range: tuple[float, float] | None = (0, 90),
        width: float = 0.3,
        step: float = 0.1,
        shape: str = "gaussian",
        mixing: float = 0.5,
        normalization: str = "strongest",
        equivalents: str = "mean",
        n_peaks: int | None = None,
        reference: Structure | str | None = None,
        alignment: str = "two_theta",
        max_order: int = 2,
    ) -> None:
        self.kind = kind
        self.wavelength = wavelength
        self.two_theta_range = two_theta_range
        self.width = width
        self.step = step
        self.shape = shape
        self.mixing = mixing
        self.normalization = normalization
        self.equivalents = equivalents
        self.n_peaks = n_peaks
        self.reference = reference
        self.alignment = alignment
        self.max_order = max_order

    @property
    def description(self) -> str:
        """What reports call this descriptor."""
        if self.kind == "correlations":
            names = {2: "pair", 3: "pair and triplet"}
            return f"{names.get(self.max_order, f'up to {self.max_order}-site')} correlations"
        if self.kind == "structure_factors" and self.equivalents == "sorted":
            return "sorted structure factors"
        return KINDS.get(self.kind, self.kind)

    def fit(self, X: Sequence[Structure | MeasuredPattern], y: Any = None) -> PXRDFeaturizer:
        """Learn the columns from crystals; ``y`` is not looked at.

        Raises
        ------
        ValueError
            On an unknown kind, a setting out of range, or no crystals.
        DescriptorError
            If the crystals cannot be described in this way; the message says which kind can.
        """
        kind, crystals = self._kind_and_crystals(X)
        if self.kind not in UNLEARNT:
            kind.learn(crystals)
        self._keep(kind)
        return self

    def fit_transform(self, X: Sequence[Structure | MeasuredPattern], y: Any = None) -> np.ndarray:
        """:meth:`fit` and :meth:`transform` of the same crystals, which are described once."""
        kind, crystals = self._kind_and_crystals(X)
        described = kind.learn(crystals)
        self._keep(kind)
        return kind.values(described)

    def transform(self, X: Sequence[Structure | MeasuredPattern]) -> np.ndarray:
        """Features, shape (n_crystals, n_features).

        Raises
        ------
        NotFittedError
            Before ``fit``, for the kinds that learn their columns from crystals.
        DescriptorError, SymmetryError
            If a crystal does not lie on the lattice that ``fit`` has seen, for the kinds that need one.
        """
        return self.feature_rows(X)

    def feature_rows(self, entries: Sequence[Structure | MeasuredPattern]) -> np.ndarray:
        """As :meth:`transform`, an array whatever ``set_output`` says."""
        kind = self._ready_kind()
        return kind.values(kind.describe(self._crystals(entries)))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Column names, shape (n_features,)."""
        return np.array(self._ready_kind().names, dtype=object)

    def feature_labels(self) -> list[str]:
        """Column names as a list (matminer's name for them)."""
        return list(self.get_feature_names_out())

    def citations(self) -> list[str]:
        """BibTeX entries of what this kind of feature comes from."""
        return list(SOURCES[self.kind])

    def implementors(self) -> list[str]:
        """Who wrote this featurizer."""
        return ["The qperov developers"]

    def _kind_and_crystals(self, X: Sequence[Structure | MeasuredPattern]) -> tuple[Kind, list[Any]]:
        kind, crystals = self._new_kind(), self._crystals(X)
        if not crystals:
            raise ValueError("no crystals to learn the features from")
        return kind, crystals

    def _crystals(self, entries: Sequence[Structure | MeasuredPattern]) -> list[Structure]:
        """The entries as a list, each of what this kind can describe."""
        crystals = crystal_list(entries)
        for i, crystal in enumerate(crystals):
            if isinstance(crystal, IStructure) or (self.kind == "profile" and isinstance(crystal, MeasuredPattern)):
                continue
            if isinstance(crystal, MeasuredPattern):
                raise DescriptorError(
                    f'structure {i} is a measured pattern; those have features of kind "profile" alone'
                )
            raise DescriptorError(f"structure {i}: a {type(crystal).__name__} is no crystal structure")
        return crystals

    def _new_kind(self) -> Kind:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind!r}; known: {', '.join(KINDS)}")
        if self.n_peaks is not None and self.n_peaks < 1:
            raise ValueError(f"n_peaks must be at least 1, not {self.n_peaks}")
        low, high = checked_range(self.two_theta_range)
        spectral_lines(self.wavelength)  # a wrong one is no fault of a crystal, which ignore_errors would pass over
        experiment = Experiment(self.wavelength, (low, high))
        if self.kind == "pattern":
            return MergedPeaks(experiment)
        if self.kind == "profile":
            grid = ProfileGrid((low, high), self.step, self.width, self.shape, self.mixing, self.normalization)
            return Profiles(experiment, grid)
        if self.kind == "structure_factors":
            return StructureFactors(experiment.g_range, self.equivalents)
        if self.kind == "correlations":
            return Correlations(self.max_order)
        if self.kind == "trans_pairs":
            return TransPairs()
        if self.kind == "pair_shells":
            return PairShells()
        if self.kind in ("difference_gram", "qsvr"):
            return DifferencePeaks(self.kind, experiment, self.reference, self.alignment, self.n_peaks)
        return PeakMatrices(self.kind, experiment, self.n_peaks)

    def _keep(self, kind: Kind) -> None:
        self.kind_ = kind
        self.n_features_out_ = len(kind.names)

    def _ready_kind(self) -> Kind:
        if hasattr(self, "kind_"):
            return self.kind_
        if self.kind in UNLEARNT:
            return self._new_kind()
        raise NotFittedError(
            f"PXRDFeaturizer(kind={self.kind!r}) learns its columns from crystals: call fit or fit_transform before"
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "kind_") or self.kind in UNLEARNT

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = self.kind not in UNLEARNT
        return tags
