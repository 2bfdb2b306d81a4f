"""The models that are compared on measured patterns: those of crystals, on profiles and on peaks."""

from __future__ import annotations

from dataclasses import replace

from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from qperov.datasets.pattern_dataset import PatternDataset
from qperov.descriptors.rank_pca import RankPCA
from qperov.descriptors.scans.peaks import PeakFeatures
from qperov.descriptors.scans.profile import MeasuredProfile
from qperov.errors import OptionError
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
}
#: Those that are taken by default, and where labels in nm are the sizes of crystallites.
DEFAULT_KINDS, SIZE_KINDS = ("profile", "spacings"), ("profile", "widths")


def build_measured_suite(
    dataset: PatternDataset, *, descriptors: tuple[str, ...] = (), quick: bool = False, random_state: int = 0
) -> Suite:
    """Models for measured patterns: regressors of crystals on profiles, d-spacings and widths of peaks.

    Parameters
    ----------
    dataset : PatternDataset
    descriptors : tuple of str
        Keys of `KINDS`; by default profiles and d-spacings of the strongest peaks, or their widths where
        labels are in nm.
    quick : bool
        Smaller searches.
    random_state : int
        Of the candidates of all searches.

    Raises
    ------
    OptionError
        If a kind of descriptor is unknown.
    """
    chosen = SIZE_KINDS if dataset.unit == "nm" else DEFAULT_KINDS
    kinds = descriptors or tuple(kind for kind in chosen if kind != "spacings" or _has_wavelengths(dataset))
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise OptionError(f"--descriptors: measured patterns have no {unknown[0]!r}; there are {', '.join(KINDS)}")
    models = []
    for kind in kinds:
        components = (("scale", StandardScaler(with_std=kind != "profile")), ("pca", RankPCA(COMPONENTS)))
        models += [
            replace(model, featurizer=KINDS[kind], transformers=(*components, *model.transformers))
            for model in regressors(
                min(COMPONENTS, clone(KINDS[kind]).fit_transform(dataset.patterns[:1]).shape[1]),
                len(dataset),
                quick=quick,
                random_state=random_state,
            )
        ]
    notes = (
        f"Every model of a descriptor is given the same principal components, at most {COMPONENTS}; scaling and "
        "components are fitted on the training fold, hyperparameters chosen on inner folds of it.",
        "Background is taken off each pattern by itself (arPLS), profiles are square roots of intensities on the "
        "angles that all patterns share, scaled to a maximum of one.",
        "Peaks stand out of noise and background; d-spacings and widths are those of the "
        f"{PeakFeatures().n_peaks} strongest: what peak fitting without a model of the structure gives.",
    )
    return Suite({f"{model.name} · {model.descriptor}": model for model in models}, notes)


def _has_wavelengths(dataset: PatternDataset) -> bool:
    return all(pattern.wavelength is not None for pattern in dataset.patterns)
