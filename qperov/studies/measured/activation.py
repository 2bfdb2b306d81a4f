"""A report's section on what the all-convolutional network looks at."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.base import clone

from qperov.datasets.pattern_dataset import PatternDataset
from qperov.records.study import Chart, Study
from qperov.studies.measured.models import NETWORK
from qperov.studies.models import Suite

TITLE = "What the network sees"
#: Angles of which a figure is made at most.
MOST_POINTS = 600


def activation_studies(suite: Suite, dataset: PatternDataset) -> tuple[Study, ...]:
    """Class activation maps of the network, trained on all patterns; no section where it was not compared.

    For each class the mean of its patterns, as the network is given them, and the mean of what each angle adds to the
    score of that class.
    """
    model = next((model for model in suite.models.values() if model.name == NETWORK), None)
    if model is None or dataset.y is None:
        return ()
    featurizer = clone(model.featurizer)
    X = featurizer.fit_transform(dataset.patterns)
    angles = np.array([float(name.rstrip("°")) for name in featurizer.get_feature_names_out()])
    network = clone(model.regressor).fit(X, dataset.y)
    activation = network.class_activation(X)
    every = -(-len(angles) // MOST_POINTS)
    parts, strongest = [], []
    for number, name in enumerate(network.classes_):
        own = dataset.y == name
        mean, seen = X[own].mean(axis=0), activation[own, number].mean(axis=0)
        size = float(np.abs(seen).max()) or 1.0
        for series, values in (("mean pattern", mean), ("activation", seen / size)):
            shown = {"angle": angles[::every], "height": values[::every], "what": series}
            parts.append(pd.DataFrame(shown | {"class": f"{name}, {own.sum()} patterns"}))
        strongest.append(f"{name}: {_places(angles, seen)}")
    text = (
        "The score of a class is the mean of its activation map, so that the map says where in a pattern the network "
        "finds the class, or (below zero) finds against it. Means over all patterns of a class, by a network that was "
        "trained on all of them: what it looks at, not how well it predicts. The highest places: "
        + "; ".join(strongest)
    )
    chart = Chart(
        "Class activation maps", "lines", "activation", "angle", "height", series="what", panels="class",
        x_label="2θ / °", y_label="√intensity, and activation by its largest value",
        caption="A line of the pattern on which the activation is high speaks for the class.",
    )  # fmt: skip
    return (Study(TITLE, (f"{text}.",), charts=(chart,), data={"activation": pd.concat(parts, ignore_index=True)}),)


def _places(angles: np.ndarray, seen: np.ndarray, many: int = 2, apart: float = 2.0) -> str:
    """Angles at which the activation is highest, so many degrees apart."""
    found: list[float] = []
    for row in np.argsort(-seen):
        if all(abs(angles[row] - other) >= apart for other in found):
            found.append(float(angles[row]))
        if len(found) == many:
            break
    return " and ".join(f"{angle:.1f}°" for angle in sorted(found))
