"""A section of a report: maps of the generators' latent spaces."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from qperov.records.study import Chart, Study
from qperov.studies.inverse_design.results import Target, TrainedGenerator, short_number

TITLE = "Latent spaces of the generators"
#: Classes of the property on the maps.
CLASSES = 3


def latent_study(target: Target, labels: np.ndarray, trained: Mapping[str, TrainedGenerator]) -> Study:
    """Maps of the latent spaces, coloured by the property and by stability.

    Parameters
    ----------
    target : Target
    labels : ndarray, shape (n,)
        Of the training crystals.
    trained : mapping of str to TrainedGenerator
    """
    order = np.argsort(labels, kind="stable")
    classes, names = property_classes(labels)
    stable = np.where(labels <= target.threshold, "stable", "not stable")
    said = f"{target.name} ≤ {target.with_unit(target.threshold)}"
    points = pd.DataFrame(
        {
            "model": np.repeat(list(trained), len(labels)),
            "x": np.concatenate([model.points[order, 0] for model in trained.values()]),
            "y": np.concatenate([model.points[order, 1] for model in trained.values()]),
            "property": np.tile(np.array(names)[classes[order]], len(trained)),
            "stability": np.tile(stable[order], len(trained)),
        }
    )
    count = int((labels <= target.threshold).sum())
    charts = tuple(
        Chart(
            title, "scatter", "points", "x", "y", series=column, panels="model", shared_x=False,
            x_label="t-SNE 1", y_label="t-SNE 2", caption=caption,
        )
        for title, column, caption in (
            (f"By {target.name}", "property", f"Thirds of the training crystals by their {target.axis}."),
            ("By stability", "stability", f"Stable: {said}."),
        )
    )  # fmt: skip
    return Study(
        TITLE,
        (
            "t-SNE of the latent codes (posterior means) of the training crystals. Near on a map means alike in latent "
            "space; distances between far groups mean nothing. The heads were trained on these very labels: order on "
            "the map shows what the space was arranged by, not what it can predict.",
            f"{count} of {len(labels)} training crystals ({100 * count / len(labels):.0f} %) count as stable: {said}.",
        ),
        charts=charts,
        data={"points": points},
    )


def property_classes(labels: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Thirds of labels: the class of each, shape (n,), and the classes' names from the least; fewer where many are
    equal."""
    inner = np.unique(np.quantile(labels, np.linspace(0, 1, CLASSES + 1)[1:-1]))
    classes = np.searchsorted(inner, labels, side="left")
    kept, classes = np.unique(classes, return_inverse=True)
    names = [
        f"{short_number(labels[classes == k].min())} to {short_number(labels[classes == k].max())}"
        for k in range(len(kept))
    ]
    return classes, names
