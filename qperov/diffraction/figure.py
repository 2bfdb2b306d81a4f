"""A powder pattern as a drawing and as a table of its strongest peaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from qperov.diffraction.patterns import Pattern

#: Peaks in the table, and peaks that get their indices in a drawing if they have room: a share of the axis.
MOST_ROWS, ROOM = 10, 0.03
#: Lower peaks, on the scale 0–100, have no indices.
LOWEST = 4.0


def draw(pattern: Pattern, axes: Axes | None = None) -> Axes:
    """A line a peak, the strongest that have room with their hkl; see `Pattern.plot`."""
    if axes is None:
        from matplotlib import pyplot

        _, axes = pyplot.subplots(figsize=(7, 3), layout="constrained")
    two_theta, intensity = pattern.two_theta, pattern.intensity
    axes.vlines(two_theta, 0, intensity, linewidth=1.2)
    room, labelled = ROOM * float(np.ptp(two_theta)), list[float]()
    for peak in np.argsort(-intensity, kind="stable"):
        at = float(two_theta[peak])
        if intensity[peak] >= LOWEST and all(abs(at - other) >= room for other in labelled):
            labelled.append(at)
            axes.annotate(
                hkl_text(pattern, peak, 1), (at, intensity[peak]), (0, 2), textcoords="offset points", rotation=90,
                ha="center", va="bottom", fontsize=8,
            )  # fmt: skip
    axes.set(xlabel="2θ / °", ylabel="intensity / % of the strongest", ylim=(0, 125))
    return axes


def strongest_peaks(pattern: Pattern) -> pd.DataFrame:
    """The ten strongest peaks in order of 2θ: ``2θ / °``, ``d / Å``, ``intensity``, ``hkl``."""
    peaks = np.sort(np.argsort(-pattern.intensity, kind="stable")[:MOST_ROWS])
    return pd.DataFrame(
        {
            "2θ / °": pattern.two_theta[peaks],
            "d / Å": pattern.d_spacing[peaks],
            "intensity": pattern.intensity[peaks],
            "hkl": [hkl_text(pattern, peak) for peak in peaks],
        }
    )


def hkl_text(pattern: Pattern, peak: int, most: int = 3) -> str:
    """Indices of a peak's families, at most so many, as in "110" or "2 −1 0, 300 …"; "" where no lattice is known."""
    families = [indices_text(family["hkl"]) for family in pattern.hkl[peak]]
    return ", ".join(families[:most]) + (" …" if len(families) > most else "")


def indices_text(hkl: tuple[int, ...]) -> str:
    """Miller indices as they are printed beside a peak; apart where one is negative or has two digits."""
    apart = " " if min(hkl) < 0 or max(hkl) > 9 else ""
    return apart.join(str(index).replace("-", "−") for index in hkl)
