"""Many scans of computed patterns, with instruments and specimens drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs

from qperov.diffraction.instrument.instrument import Instrument, Peaks, Specimen, simulate_scan
from qperov.diffraction.measured import MeasuredPattern
from qperov.diffraction.patterns import Pattern

#: Ranges whose logarithm is drawn evenly.
LOGARITHMIC = ("w", "size", "texture", "counts")

LISTS = ("known_lines", "axes")
#: How often a known line is there, and how often incidence is fixed.
KNOWN_LINE, GRAZING = 0.25, 0.25


@dataclass(frozen=True)
class InstrumentRanges:
    """From what, to what each property of instruments and specimens is drawn; evenly, or evenly in its logarithm.

    The defaults are wide, for thin films on laboratory diffractometers; ``(a, a)`` is a fixed value.

    Parameters
    ----------
    w : (float, float)
        Square degrees, in the logarithm: the instrument's Gaussian width is √W at small angles.
    u : (float, float)
        Square degrees.
    zero, displacement : (float, float)
        Degrees, and mm for a radius of 240 mm.
    monochromator : (float, float)
        2θ_m in degrees.
    incidence : (float, float)
        Degrees, in every fourth scan; the others are symmetric.
    counts : (float, float)
        At the highest point, in the logarithm.
    size, texture : (float, float)
        nm and March–Dollase r, in the logarithm.
    strain, expansion : (float, float)
        Δd/d.
    background, tilt, hump : (float, float)
        Parts of the highest point: constant, what it falls by over half of the scan, the amorphous hump.
    hump_centre, hump_width : (float, float)
        Degrees.
    impurities : (int, int)
        How many lines of other phases, anywhere.
    impurity : (float, float)
        Their height.
    known_lines : tuple of float
        Degrees: lines of substrates and of phases that are often there; each is there in one scan of four.
    axes : tuple of (int, int, int)
        Planes whose normals are texture axes, each as likely.
    """

    w: tuple[float, float] = (0.003, 0.06)
    u: tuple[float, float] = (0.0, 0.03)
    zero: tuple[float, float] = (-0.05, 0.05)
    displacement: tuple[float, float] = (-0.4, 0.4)
    monochromator: tuple[float, float] = (0.0, 26.55)
    incidence: tuple[float, float] = (0.3, 3.0)
    counts: tuple[float, float] = (200.0, 1e5)
    size: tuple[float, float] = (15.0, 300.0)
    texture: tuple[float, float] = (0.3, 1.6)
    strain: tuple[float, float] = (0.0, 0.003)
    expansion: tuple[float, float] = (-0.005, 0.005)
    background: tuple[float, float] = (0.0, 0.2)
    tilt: tuple[float, float] = (0.0, 0.1)
    hump: tuple[float, float] = (0.0, 0.1)
    hump_centre: tuple[float, float] = (20.0, 30.0)
    hump_width: tuple[float, float] = (6.0, 14.0)
    impurities: tuple[int, int] = (0, 2)
    impurity: tuple[float, float] = (0.0, 0.2)
    known_lines: tuple[float, ...] = ()
    axes: tuple[tuple[int, int, int], ...] = ((0, 0, 1), (1, 0, 0), (1, 1, 0), (1, 1, 1))

    def __post_init__(self) -> None:
        for each in fields(self):
            if each.name not in LISTS:
                low, high = getattr(self, each.name)
                if not (low <= high and (low > 0 or each.name not in LOGARITHMIC)):
                    raise ValueError(f"{each.name} must go from a value to one at least as large, not {low} to {high}")
        if not self.axes:
            raise ValueError("axes must name a plane at least")

    def draw(self, rng: np.random.Generator, two_theta_range: tuple[float, float]) -> tuple[Instrument, Specimen]:
        """One instrument and one specimen."""
        value = {}
        for each in fields(self):
            if each.name in (*LISTS, "impurities"):
                continue
            low, high = getattr(self, each.name)
            logarithmic = each.name in LOGARITHMIC
            value[each.name] = float(
                np.exp(rng.uniform(*np.log((low, high)))) if logarithmic else rng.uniform(low, high)
            )
        lines = int(rng.integers(self.impurities[0], self.impurities[1] + 1))
        there = [line for line in self.known_lines if rng.random() < KNOWN_LINE]
        places = [*rng.uniform(*two_theta_range, lines).tolist(), *there]
        heights = rng.uniform(*self.impurity, len(places)).tolist()
        instrument = Instrument(
            u=value["u"],
            w=value["w"],
            zero=value["zero"],
            displacement=value["displacement"],
            monochromator=value["monochromator"],
            incidence=value["incidence"] if rng.random() < GRAZING else 0.0,
            counts=value["counts"],
        )
        specimen = Specimen(
            size=value["size"],
            strain=value["strain"],
            expansion=value["expansion"],
            texture=value["texture"],
            texture_axis=self.axes[int(rng.integers(len(self.axes)))],
            background=(value["background"], -value["tilt"]),
            hump=(value["hump_centre"], value["hump_width"], value["hump"]),
            impurities=tuple(zip(places, heights, strict=True)),
        )
        return instrument, specimen


def augment(
    patterns: Sequence[Pattern],
    copies: int = 1,
    *,
    ranges: InstrumentRanges | None = None,
    two_theta_range: tuple[float, float] = (10.0, 60.0),
    step: float = 0.05,
    random_state: int = 0,
    n_jobs: int | None = None,
) -> list[MeasuredPattern]:
    """Scans of computed patterns on instruments and specimens that are drawn from ranges.

    Parameters
    ----------
    patterns : sequence of Pattern
        Of `powder_patterns`, a degree or two wider than the scans.
    copies : int
        Scans of each.
    ranges : InstrumentRanges, optional
    two_theta_range : (float, float)
        Degrees, of the scans.
    step : float
        Degrees.
    random_state : int
        The scan of a pattern's place and a copy's number is always the same, whatever ``n_jobs`` is.
    n_jobs : int, optional
        As in joblib.

    Returns
    -------
    list of MeasuredPattern
        All copies of the first pattern, then those of the second, …; named "place-copy".

    Raises
    ------
    ValueError
        If there are no copies to make, or the range has less than two steps.
    """
    low, high = two_theta_range
    if copies < 1 or not 0 < step <= (high - low) / 2:
        raise ValueError(f"needs a copy and two steps at least, not {copies} and {low:g} to {high:g} by {step:g}")
    ranges = ranges or InstrumentRanges()
    two_theta = low + step * np.arange(int((high - low) / step + 1e-6) + 1)
    size = -(-len(patterns) // max(1, 4 * effective_n_jobs(n_jobs) if effective_n_jobs(n_jobs) > 1 else 1))
    blocks = [range(start, min(start + size, len(patterns))) for start in range(0, len(patterns), max(1, size))]
    made = Parallel(n_jobs=n_jobs)(
        delayed(_scans)([patterns[place] for place in block], block, copies, ranges, two_theta, random_state)
        for block in blocks
    )
    return [scan for block in made for scan in block]


def _scans(
    patterns: Sequence[Pattern],
    places: Sequence[int],
    copies: int,
    ranges: InstrumentRanges,
    two_theta: np.ndarray,
    random_state: int,
) -> list[MeasuredPattern]:
    scans = []
    for place, pattern in zip(places, patterns, strict=True):
        peaks = Peaks.of(pattern)
        for copy in range(copies):
            rng = np.random.default_rng([random_state, place, copy])
            instrument, specimen = ranges.draw(rng, (float(two_theta[0]), float(two_theta[-1])))
            scans.append(
                simulate_scan(peaks, two_theta, instrument, specimen, random_state=rng, name=f"{place}-{copy}")
            )
    return scans
