"""One crystal of a dataset and its powder pattern, drawn beside the data in a report."""

from __future__ import annotations

import numpy as np
import pandas as pd

from qperov.datasets.dataset import CrystalDataset
from qperov.diffraction.figure import indices_text
from qperov.diffraction.patterns import powder_patterns
from qperov.records.study import Chart, Study
from qperov.studies.inverse_design.gallery import gallery_frame

#: What reports know the study by.
KIND = "crystal"
#: Larger cells are a cloud of balls.
MOST_ATOMS = 200


def crystal_study(dataset: CrystalDataset) -> tuple[Study, ...]:
    """The crystal with the median label (the first one without labels), and its pattern with Cu Kα.

    Returns
    -------
    tuple of Study
        Empty where it is disordered or has more than 200 atoms.
    """
    row = 0 if dataset.y is None else int(np.argsort(dataset.y, kind="stable")[len(dataset) // 2])
    structure, name = dataset.structures[row], dataset.ids[row]
    if not structure.is_ordered or len(structure) > MOST_ATOMS:
        return ()
    (pattern,) = powder_patterns([structure])
    peaks = pd.DataFrame(
        {
            "two_theta": pattern.two_theta,
            "intensity": pattern.intensity,
            "hkl": [indices_text(families[0]["hkl"]) if families else "" for families in pattern.hkl],
        }
    )
    formula, atoms = structure.composition.reduced_formula, len(structure)
    which = "with the median label" if dataset.y is not None else "the first one"
    charts = (
        Chart(
            "A crystal", "crystals", "atoms", "x", "y", series="element", panels="crystal",
            caption=f"{name}, {which}: {formula}, {atoms} atoms a cell.",
        ),
        Chart(
            "Its powder pattern", "sticks", "peaks", "two_theta", "intensity", series="hkl",
            x_label="2θ / ° (Cu Kα)", y_label="relative intensity / %",
            caption="Marks below the axis are all reflections, indexed in the cell shown.",
        ),
    )  # fmt: skip
    return (
        Study(
            "One crystal", charts=charts, data={"atoms": gallery_frame({formula: structure}), "peaks": peaks}, kind=KIND
        ),
    )
