"""PXRDFeaturizer: crystals in, one row of numbers each out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pymatgen.core import Structure
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from qperov.descriptors.kinds import (
    Correlations,
    DifferencePeaks,
    Kind,
    MergedPeaks,
    Profile,
    Radiation,
    StructureFactors,
)

#: kind → what reports call it.
KINDS = {
    "pattern": "powder pattern",
    "profile": "broadened profile",
    "structure_factors": "structure factors",
    "difference_gram": "difference Gram",
    "qsvr": "QSVR vector",
    "correlations": "correlation functions",
}


class PXRDFeaturizer(TransformerMixin, BaseEstimator):
    """Powder-diffraction features (and the cluster expansion's, for comparison) of crystals.

    Values are rounded to 1e-11 of the largest they can be: what lies below is rounding noise of the Fourier sums, and a
    model that sees it can tell apart crystals whose features are equal.

    Parameters
    ----------
    kind : str
        ``"pattern"``: intensities on merged 2θ keys, for crystals of one lattice.
        ``"profile"``: peaks broadened by a Gaussian on a 2θ grid, for any crystals.
        ``"structure_factors"``: |F(hkl)|² averaged over the hkl equivalent under the lattice's point group.
        ``"difference_gram"``: PᵀP, P = (sin 2θ, 100·ΔI) of the first 28 peaks that differ from the reference.
        ``"qsvr"``: P of the first 32 such peaks, flat (64 numbers).
        ``"correlations"``: correlation functions of pairs (and triplets, …) of decorated sites, and of points where
        the crystals differ in composition.
    wavelength : str or float
        Radiation known to pymatgen, or Å.
    two_theta_range : (float, float)
        Degrees.
    width : float
        Full width at half maximum of ``profile``, degrees.
    step : float
        Grid of ``profile``, degrees.
    reference : Structure, optional
        Reference pattern of the two difference kinds; by default the mean pattern of the crystals given to ``fit``.
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
        wavelength: str | float = "CuKa",
        two_theta_range: tuple[float, float] = (0, 90),
        width: float = 0.3,
        step: float = 0.1,
        reference: Structure | None = None,
        max_order: int = 2,
    ) -> None:
        self.kind = kind
        self.wavelength = wavelength
        self.two_theta_range = two_theta_range
        self.width = width
        self.step = step
        self.reference = reference
        self.max_order = max_order

    @property
    def description(self) -> str:
        """What reports call this descriptor."""
        if self.kind == "correlations":
            names = {2: "pair", 3: "pair and triplet"}
            return f"{names.get(self.max_order, f'up to {self.max_order}-site')} correlations"
        return KINDS.get(self.kind, self.kind)

    def fit(self, X: Sequence[Structure], y: Any = None) -> PXRDFeaturizer:
        """Learn the columns from crystals; ``y`` is not looked at.

        Raises
        ------
        ValueError
            On an unknown kind, a setting out of range, or no crystals.
        DescriptorError
            If the crystals cannot be described in this way; the message says which kind can.
        """
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind!r}; known: {', '.join(KINDS)}")
        structures = list(X)
        if not structures:
            raise ValueError("no crystals to learn the features from")
        self.kind_ = self._make_kind(structures)
        self.n_features_out_ = len(self.kind_.names)
        return self

    def _make_kind(self, structures: list[Structure]) -> Kind:
        low, high = self.two_theta_range
        radiation = Radiation(self.wavelength, (low, high))
        if self.kind == "pattern":
            return MergedPeaks(structures, radiation)
        if self.kind == "profile":
            return Profile(radiation, self.width, self.step)
        if self.kind == "structure_factors":
            return StructureFactors(structures, radiation)
        if self.kind == "correlations":
            return Correlations(structures, self.max_order)
        return DifferencePeaks(structures, radiation, self.reference, self.kind)

    def transform(self, X: Sequence[Structure]) -> np.ndarray:
        """Features, shape (n_crystals, n_features).

        Raises
        ------
        DescriptorError, SymmetryError
            If a crystal does not lie on the lattice that ``fit`` has seen, for the kinds that need one.
        """
        check_is_fitted(self, "kind_")
        return self.kind_.values(list(X))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Column names, shape (n_features,)."""
        check_is_fitted(self, "kind_")
        return np.array(self.kind_.names, dtype=object)

    def feature_labels(self) -> list[str]:
        """Column names as a list (matminer's name for them)."""
        return list(self.get_feature_names_out())

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "kind_")
