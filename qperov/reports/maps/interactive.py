"""Maps that can be asked: a fragment of a page that shows what lies under the pointer, without any network."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.colors import to_hex

from qperov.evaluation.results import Comparison
from qperov.records.record import spaced_rows
from qperov.reports.maps.drawing import RESIDUAL_COLOURS, VALUE_COLOURS, MapColours, stacked
from qperov.reports.words.findings import samples, scored_models

#: More crystals than this are not shown, but every other or so.
MOST_SHOWN = 2000
#: Characters of an id or a composition that are kept.
LONGEST = 80
SHADES = 48
#: Steps into which a coordinate is cut.
STEPS = 2000
#: Least decimals at which a step is no more than this share of the label's standard deviation.
FINENESS = 1e-3
LARGEST = 1e15


@dataclass(frozen=True)
class _Numbers:
    """Values as short whole numbers: round(value · 10^places) − offset."""

    places: int
    offset: int

    @classmethod
    def of(cls, values: np.ndarray) -> _Numbers:
        spread = float(np.std(values))
        places = 3 if spread == 0 else min(max(math.ceil(-math.log10(FINENESS * spread)), 0), 12)
        return cls(places, round(float(np.mean(values)) * 10**places))

    def encode(self, values: np.ndarray) -> list[int | None]:
        scaled = [float(value) * 10**self.places for value in values]
        return [round(v) - self.offset if math.isfinite(v) and abs(v) < LARGEST else None for v in scaled]


def interactive_map(
    comparison: Comparison,
    title: str,
    points: np.ndarray,
    colours: MapColours,
    *,
    rows: np.ndarray | None = None,
    compositions: Sequence[str] = (),
) -> Markup:
    """A fragment of HTML that shows a map's crystals; :func:`script_and_style` brings it to life.

    It shows nothing where no script runs, and nothing on paper. Ids, compositions and names are text to it, whatever
    they hold. Of more than 2000 crystals every other, third, … is shown.

    Parameters
    ----------
    comparison : Comparison
    title : str
        What the map is of.
    points : ndarray, shape (m, 2)
    colours : MapColours
        The models that can be chosen, the first of them to begin with, and the scales.
    rows : ndarray of int, shape (m,), optional
        Which crystals have the points; by default all, in their order.
    compositions : sequence of str, shape (n,), or nothing
    """
    every = spaced_rows(len(points), MOST_SHOWN)
    rows = (np.arange(len(comparison.ids)) if rows is None else rows)[every]
    dots = stacked(np.asarray(points)[every])
    low = dots.xy.min(axis=0)
    step = (float((dots.xy.max(axis=0) - low).max()) or 1.0) / STEPS
    xy = np.round((dots.xy - low) / step).astype(int)
    numbers = _Numbers.of(colours.truth)
    titles = {row["model"]: row["name"] for _, row in scored_models(comparison).iterrows()}
    formulas = list(dict.fromkeys(compositions[i] for i in rows)) if len(compositions) else []
    number_of = {formula: j for j, formula in enumerate(formulas)}
    groups = crystal_groups(comparison)
    shown = f"{len(rows)} of {len(points)} {samples(comparison)} are shown. " if len(rows) < len(points) else ""
    data: dict[str, Any] = {
        "title": title,
        "target": str(comparison.label.get("target") or "the target"),
        "unit": str(comparison.label.get("unit") or ""),
        "note": shown,
        "x": xy[:, 0].tolist(),
        "y": xy[:, 1].tolist(),
        "extent": np.maximum(xy.max(axis=0), 1).tolist(),
        "point": dots.which.tolist(),
        "id": [_short(comparison.ids[i]) for i in rows],
        "compositions": [_short(formula) for formula in formulas],
        "composition": [number_of[compositions[i]] for i in rows] if formulas else [],
        "group": [None if groups[i] < 0 else int(groups[i]) for i in rows],
        "numbers": {"places": numbers.places, "offset": numbers.offset},
        "label": numbers.encode(colours.truth[rows]),
        "models": [titles.get(name, name) for name in colours.predictions],
        "predictions": [numbers.encode(predicted[rows]) for predicted in colours.predictions.values()],
        "value": _scale(VALUE_COLOURS, colours.low, colours.high),
        "residual": _scale(RESIDUAL_COLOURS, -colours.widest, colours.widest),
    }
    return Markup(
        '<div class="crystal-map" role="group" aria-label="Interactive map of {}" hidden>'
        '<script type="application/json">{}</script></div>\n'
    ).format(title, _json(data))


def crystal_groups(comparison: Comparison) -> np.ndarray:
    """The group of each crystal, shape (n,), in the order of ``ids``; −1 where none is known."""
    known = comparison.predictions.drop_duplicates("id").set_index("id")["group"]
    return known.reindex(list(comparison.ids)).fillna(-1).to_numpy(dtype=np.int64)


@cache
def script_and_style() -> Markup:
    """What one page needs once for all its interactive maps: a style sheet and a script, both of our own."""
    text = resources.files("qperov.reports").joinpath("interactive_map.html").read_text(encoding="utf-8")
    return Markup(text)


def _json(data: dict[str, Any]) -> Markup:
    """JSON in which nothing can end the element that it stands in."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _scale(colours: str, low: float, high: float) -> dict[str, Any]:
    shades = mpl.colormaps[colours](np.linspace(0, 1, SHADES))
    return {"low": low, "high": high, "colours": [to_hex(shade) for shade in shades]}


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
