"""Simulated scans of halide perovskite films, labelled by space group, to learn from beside measured ones."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from qperov.crystals.perovskites.prototypes import draw_prototypes
from qperov.datasets.pattern_dataset import PatternDataset
from qperov.diffraction.instrument.augmentation import InstrumentRanges, augment
from qperov.diffraction.measured import MeasuredPattern
from qperov.diffraction.patterns import powder_patterns

#: Lines that films often show beside their own: PbI₂ (001), then SnO₂ and In₂O₃ of conducting glass (degrees, Cu Kα).
SUBSTRATE_LINES = (12.67, 26.5, 30.4, 37.7, 51.5)
#: Films are strongly textured; the background is taken off measured scans, so that simulated ones need none.
FILM_RANGES = InstrumentRanges(
    texture=(0.12, 1.5),
    counts=(500.0, 1e5),
    displacement=(-0.3, 0.3),
    expansion=(-0.002, 0.002),
    background=(0.0, 0.0),
    tilt=(0.0, 0.0),
    hump=(0.0, 0.0),
    impurities=(0, 3),
    impurity=(0.0, 0.6),
    known_lines=SUBSTRATE_LINES,
)
#: Å²: B of all elements.
DEBYE_WALLER = dict.fromkeys(("Cs", "Rb", "K", "Pb", "Sn", "Bi", "Sb", "Ag", "I", "Br", "Cl"), 2.5)
#: Degrees.
SCAN_RANGE = (5.0, 60.0)
#: Space groups as they are misspelt in published labels.
ALIASES = {"P3m1": "P-3m1", "I4Imcm": "I4/mcm", "P61mmc": "P63/mmc", "P21a": "P21/a", "pm-3m": "Pm-3m"}


def standard_symbol(label: str) -> str:
    """A Hermann–Mauguin symbol without underscores, and without the slips of published labels."""
    symbol = str(label).replace("_", "").replace(" ", "")
    return ALIASES.get(symbol, symbol)


def simulated_films(
    crystals: int = 100, copies: int = 3, *, like: PatternDataset | None = None, random_state: int = 0
) -> PatternDataset:
    """Simulated scans of the structure types of `draw_prototypes`, as those of thin films.

    Texture is strong, the incidence fixed in every fourth scan, lines of PbI₂ and of conducting glass are often there;
    there is no background. Cu Kα, 5° to 60° by 0.05°.

    Parameters
    ----------
    crystals : int
        Of each of the seven structure types.
    copies : int
        Scans of each crystal.
    like : PatternDataset, optional
        Spell space groups as the labels of this dataset.
    random_state : int

    Returns
    -------
    PatternDataset
        Scans of one crystal are a group. For `compare`, as ``further``.
    """
    scans, symbols = _scans(crystals, copies, random_state)
    spelt = (
        {} if like is None or like.y is None else {standard_symbol(label): str(label) for label in np.unique(like.y)}
    )
    return PatternDataset(
        name="simulated films",
        patterns=scans,
        ids=tuple(scan.name for scan in scans),
        y=np.array([spelt.get(symbol, symbol) for symbol in symbols]),
        target="space_group",
        provenance=("structure type of the simulated crystal",) * len(scans),
        known_groups=np.repeat(np.arange(len(scans) // copies), copies),
    )


@lru_cache(maxsize=1)
def _scans(crystals: int, copies: int, random_state: int) -> tuple[tuple[MeasuredPattern, ...], tuple[str, ...]]:
    structures, space_groups = draw_prototypes(crystals, random_state=random_state)
    low, high = SCAN_RANGE
    patterns = powder_patterns(structures, two_theta_range=(low - 1, high + 4), debye_waller=DEBYE_WALLER)
    scans = augment(patterns, copies, ranges=FILM_RANGES, two_theta_range=SCAN_RANGE, random_state=random_state)
    return tuple(scans), tuple(np.repeat([standard_symbol(symbol) for symbol in space_groups], copies).tolist())
