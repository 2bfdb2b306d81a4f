"""The models that are compared on measured patterns: those of crystals, on profiles and on peaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from qperov.classical.pattern_network import PatternNetwork
from qperov.datasets.pattern_dataset import PatternDataset
from qperov.descriptors.rank_pca import RankPCA
from qperov.descriptors.scans.peaks import PeakFeatures, SuperstructureLines
from qperov.descriptors.scans.profile import MeasuredProfile
from qperov.errors import OptionError
from qperov.evaluation.problem import Model
from qperov.studies.measured.classifiers import classifiers
from qperov.studies.models import Suite
from qperov.studies.regressors import regressors

#: Components, and so qubits, that every model of a descriptor is given.
COMPONENTS = 10

#: Features of measured patterns by the names that `qperov compare --descriptors` takes.
KINDS = {
    "profile": MeasuredProfile(),
    "spacings": PeakFeatures("spacings"),
    "ratios": PeakFeatures("ratios"),
    "widths": PeakFeatures("widths"),
    "superstructure": SuperstructureLines(),
}
#: Those that are taken by default, where labels in nm are the sizes of crystallites, and where they are classes.
DEFAULT_KINDS, SIZE_KINDS, CLASS_KINDS = ("profile", "spacings"), ("profile", "widths"), ("profile", "ratios")
#: Where patterns share less than half of what most of them have, profiles go over what nine of ten reach.
LEAST_SHARED, REACHED = 0.5, 0.9
#: Name of the network among the classifiers.
NETWORK = "All-convolutional network"


def build_measured_suite(
    dataset: PatternDataset, *, descriptors: tuple[str, ...] = (), quick: bool = False, random_state: int = 0
) -> Suite:
    """Models for measured patterns, on profiles, d-spacings, their ratios or widths of peaks.

    Regressors are those of crystals; where labels are classes, classifiers, and an all-convolutional network and the
    nearest neighbour of whole profiles.

    Parameters
    ----------
    dataset : PatternDataset
    descriptors : tuple of str
        Keys of `KINDS`; by default profiles and d-spacings of the strongest peaks, their widths where labels are in nm,
        or their ratios where they are classes.
    quick : bool
        Smaller searches.
    random_state : int
        Of the candidates of all searches.

    Raises
    ------
    OptionError
        If a kind of descriptor is unknown.
    """
    classes = dataset.y is not None and dataset.y.dtype.kind == "U"
    chosen = CLASS_KINDS if classes else SIZE_KINDS if dataset.unit == "nm" else DEFAULT_KINDS
    kinds = descriptors or tuple(kind for kind in chosen if kind != "spacings" or _has_wavelengths(dataset))
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise OptionError(f"--descriptors: measured patterns have no {unknown[0]!r}; there are {', '.join(KINDS)}")
    profile, remarks = profile_of(dataset)
    make: Callable[..., list[Model]] = classifiers if classes else regressors
    models: list[Model] = []
    for kind in kinds:
        featurizer = profile if kind == "profile" else KINDS[kind]
        components = (("scale", StandardScaler(with_std=kind != "profile")), ("pca", RankPCA(COMPONENTS)))
        columns = clone(featurizer).fit_transform(dataset.patterns[:1]).shape[1]
        models += [
            replace(model, featurizer=featurizer, transformers=(*components, *model.transformers))
            for model in make(min(COMPONENTS, columns), len(dataset), quick=quick, random_state=random_state)
        ]
    if classes and "profile" in kinds:
        models += [replace(model, featurizer=profile) for model in whole_profiles(quick=quick)]
        if find_spec("torch") is None:
            remarks = (*remarks, f"{NETWORK} was left out: it needs pip install 'qperov[torch]'.")
    notes = (
        f"Every model of a descriptor is given the same principal components, at most {COMPONENTS}; scaling and "
        "components are fitted on the training fold, hyperparameters chosen on inner folds of it.",
        "Background is taken off each pattern by itself (arPLS), profiles are square roots of intensities on the "
        "angles that all patterns share, scaled to a maximum of one.",
        "Peaks stand out of noise and background; d-spacings and widths are those of the "
        f"{PeakFeatures().n_peaks} strongest: what peak fitting without a model of the structure gives.",
        *remarks,
    )
    return Suite({f"{model.name} · {model.descriptor}": model for model in models}, notes)


def profile_of(dataset: PatternDataset) -> tuple[BaseEstimator, tuple[str, ...]]:
    """Profiles on the angles that all patterns share, and what is to be said of them.

    Where some patterns are so short that little is shared, they are of zero intensity beyond what was measured.
    """
    low, high = (np.array([pattern.two_theta[end] for pattern in dataset.patterns]) for end in (0, -1))
    typical = float(np.median(high) - np.median(low))
    if high.min() - low.max() >= LEAST_SHARED * typical:
        return KINDS["profile"], ()
    reached = (float(np.quantile(low, REACHED)), float(np.quantile(high, 1 - REACHED)))
    short = int(((low > reached[0]) | (high < reached[1])).sum())
    text = (
        f"Profiles go from {reached[0]:.4g}° to {reached[1]:.4g}°; {short} patterns that do not reach so far count as "
        "zero there."
    )
    return clone(KINDS["profile"]).set_params(two_theta_range=reached, fill=0.0), (text,)


def whole_profiles(*, quick: bool = False) -> list[Model]:
    """Classifiers that see whole profiles, without components or a search, as they are used in the field."""
    nearest = Model("1 nearest neighbour, whole", KNeighborsClassifier(1, metric="cosine"), role="contrast")
    if find_spec("torch") is None:
        return [nearest]
    return [nearest, Model(NETWORK, PatternNetwork(epochs=30 if quick else 60))]


def _has_wavelengths(dataset: PatternDataset) -> bool:
    return all(pattern.wavelength is not None for pattern in dataset.patterns)
