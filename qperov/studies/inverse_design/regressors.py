"""Regressors that generate nothing: what a generator's property head has to stand beside, and what judges samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pymatgen.core import Structure
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from qperov.generative.bench.reconstruction import reconstruction_errors
from qperov.studies.inverse_design.features import CrystalFeatures
from qperov.studies.inverse_design.results import HeldOut
from qperov.studies.inverse_design.task import Split
from qperov.studies.inverse_design.training import CONSTANT
from qperov.studies.regressors import EPSILON, INNER_FOLDS, grid_search

REGRESSOR_NOTES = (
    "The regressors compared here generate nothing: they are what a generator's property head has to stand beside. "
    "They see statistics of the elements' properties over the atoms, and with “geometry” the volume an atom, distances "
    "to nearest neighbours and the shape of the cell.",
    "This comparison cross-validates over all crystals; the sections on generators use one split, in which some "
    "formulas are held out, since every model is trained once.",
)
#: What predicts the obtained property.
JUDGE = "SVR RBF · composition and geometry"


def build_regressors(quick: bool) -> dict[str, Pipeline]:
    """From structures to the property, each on composition alone and with geometry."""
    penalties, widths = ([10.0], [0.01, 0.03]) if quick else ([1.0, 10.0, 100.0], [0.003, 0.01, 0.03, 0.1])
    found = {}
    for features in (CrystalFeatures(), CrystalFeatures(geometry=True)):
        for name, model in (
            ("Ridge", grid_search(Ridge(), {"alpha": list(np.logspace(-3, 3, 4 if quick else 13))})),
            ("SVR RBF", grid_search(SVR(epsilon=EPSILON), {"C": penalties, "gamma": widths})),
            ("Extra trees", ExtraTreesRegressor(50 if quick else 300, random_state=0)),
        ):
            steps = [("features", features), ("scale", StandardScaler()), ("model", model)]
            found[f"{name} · {features.description}"] = Pipeline(steps)
    return found


def fit_regressor(model: Pipeline, structures: Sequence[Structure], y: np.ndarray, groups: np.ndarray) -> Pipeline:
    """A regressor fitted, its hyperparameters chosen on grouped inner folds."""
    if hasattr(model[-1], "cv"):
        model.set_params(model__cv=GroupKFold(INNER_FOLDS))
        return model.fit(structures, y, model__groups=groups)
    return model.fit(structures, y)


def describe_held_out(parts: Split, judges: Mapping[str, Pipeline]) -> HeldOut:
    """What is known of the crystals held out without any generator."""
    training, held = parts.training, parts.held
    by_size = sorted(training.structures, key=lambda structure: structure.volume / len(structure))
    typical = [by_size[len(by_size) // 2]] * len(held)
    constant = {CONSTANT: np.full(len(held), parts.training_labels.mean())}
    return HeldOut(
        parts.held_labels,
        parts.held_groups,
        len(training),
        reconstruction_errors(held.structures, typical),
        constant | {name: model.predict(held.structures) for name, model in judges.items()},
    )
