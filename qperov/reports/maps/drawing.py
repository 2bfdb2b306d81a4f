"""Figures of maps: label, predictions and residuals beside each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from qperov.evaluation.results import Comparison
from qperov.reports.figures.style import GREY, shorten, style
from qperov.reports.words.findings import scored_models

#: Both keep their order for readers who do not see all colours, and in grey the first one does too.
VALUE_COLOURS, RESIDUAL_COLOURS = "viridis", "PuOr_r"
WIDTH = 11.0
#: Pairs of panels beside each other in a figure without the label.
PAIRS = 2
#: Inches between panels, for their titles, and for the colour bars.
GAP, TITLE, BARS = 0.12, 0.3, 0.8


@dataclass(frozen=True, eq=False)
class MapColours:
    """What the panels of one map show, and the two scales that they share.

    Attributes
    ----------
    truth : ndarray, shape (n,)
    predictions : dict of str to ndarray, shape (n,)
        Model → mean out-of-fold prediction over the repeats.
    low, high : float
        Of label and predictions: the 2 % and 98 % quantiles of the label.
    widest : float
        The residuals' scale is −widest … widest: the largest of the models' 98 % quantiles.
    """

    truth: np.ndarray
    predictions: dict[str, np.ndarray]
    low: float
    high: float
    widest: float


def map_colours(comparison: Comparison, models: list[str]) -> MapColours:
    """Label, predictions and their scales, the same for every figure of these models."""
    truth = np.asarray(comparison.y, dtype=float)
    predictions = {name: mean_prediction(comparison, name) for name in models}
    low, high = np.quantile(truth, [0.02, 0.98])
    errors = [np.abs(predicted - truth) for predicted in predictions.values()]
    widest = max((float(np.nanquantile(e, 0.98)) for e in errors if np.isfinite(e).any()), default=0.0)
    return MapColours(truth, predictions, float(low), float(high) if high > low else float(low) + 1.0, widest or 1.0)


def mean_prediction(comparison: Comparison, model: str) -> np.ndarray:
    """Out-of-fold prediction of each crystal, shape (n,), in the order of ``ids``: the mean over repeats."""
    mine = comparison.predictions[comparison.predictions["model"] == model]
    return mine.groupby("id")["y_pred"].mean().reindex(list(comparison.ids)).to_numpy(dtype=float)


def draw_map(
    comparison: Comparison,
    points: np.ndarray,
    models: list[str],
    *,
    rows: np.ndarray | None = None,
    colours: MapColours | None = None,
    with_label: bool = True,
) -> Figure:
    """Panels of one map: the label, and for each model prediction and residual beside each other.

    A dot stands for all crystals at one point; its area grows with their number, its colour is their mean.

    Parameters
    ----------
    comparison : Comparison
    points : ndarray, shape (m, 2)
    models : list of str
        Models that get a pair of panels.
    rows : ndarray of int, shape (m,), optional
        Which crystals have the points; by default all, in their order.
    colours : MapColours, optional
        Scales that further figures share; by default those of these models.
    with_label : bool
        Whether the label gets a panel, at the left and as high as all the others together.
    """
    rows = np.arange(len(comparison.ids)) if rows is None else rows
    colours = map_colours(comparison, models) if colours is None else colours
    dots = stacked(points)
    titles = {row["model"]: row["name"] for _, row in scored_models(comparison).iterrows()}
    plan = _Plan.of(points, len(models), with_label)
    value = _Scale(VALUE_COLOURS, colours.low, colours.high)
    error = _Scale(RESIDUAL_COLOURS, -colours.widest, colours.widest)
    unit = f" / {comparison.label['unit']}" if comparison.label.get("unit") else ""
    with style():
        figure = Figure(figsize=(WIDTH, plan.height))
        if with_label:
            value.panel(plan.label_axes(figure), dots, colours.truth[rows], "label")
        for k, name in enumerate(models):
            predicted, title = colours.predictions[name][rows], shorten(titles.get(name, name), 24)
            left, right = plan.pair_axes(figure, k)
            value.panel(left, dots, predicted, f"{title}: prediction")
            error.panel(right, dots, predicted - colours.truth[rows], f"{title}: residual")
        value.bar(figure, plan.bar_axes(figure, 0), f"label and predictions{unit}")
        if models:
            error.bar(figure, plan.bar_axes(figure, 1), f"residual: prediction − label{unit}")
    return figure


@dataclass(frozen=True)
class _Plan:
    """Where the panels are, in inches: bands of pairs, the label at their left, two colour bars below."""

    panel: tuple[float, float]
    bands: int
    pairs: int
    label: float

    @classmethod
    def of(cls, points: np.ndarray, models: int, with_label: bool) -> _Plan:
        pairs = 1 if with_label else min(PAIRS, max(models, 1))
        bands = max(math.ceil(models / pairs), 1)
        share = min(bands, 2) if with_label else 0  # the label's width in panels
        columns = 2 * pairs + share if models else 2
        width = (WIDTH - GAP * (2 * pairs + bool(share))) / columns
        size = np.ptp(points, axis=0)
        aspect = float(size[1] / size[0]) if size[0] > 0 else 1.0
        return cls((width, width * min(max(aspect, 0.5), 1.2)), bands, pairs, width * share)

    @property
    def height(self) -> float:
        return self.bands * (self.panel[1] + TITLE) + BARS

    def label_axes(self, figure: Figure) -> Axes:
        return self._axes(figure, GAP / 2, BARS, self.label, self.height - BARS - TITLE)

    def pair_axes(self, figure: Figure, k: int) -> tuple[Axes, Axes]:
        """Axes of prediction and residual of the k-th model."""
        width, height = self.panel
        band, column = divmod(k, self.pairs)
        left = GAP / 2 + (self.label + GAP if self.label else 0) + 2 * column * (width + GAP)
        bottom = BARS + (self.bands - 1 - band) * (height + TITLE)
        first = self._axes(figure, left, bottom, width, height)
        return first, self._axes(figure, left + width + GAP, bottom, width, height)

    def bar_axes(self, figure: Figure, k: int) -> Axes:
        """Axes of the k-th of two bars."""
        width = WIDTH / 2 - 0.8
        return self._axes(figure, 0.4 + k * WIDTH / 2, 0.5, width, 0.12)

    def _axes(self, figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
        return figure.add_axes((left / WIDTH, bottom / self.height, width / WIDTH, height / self.height))


# --- dots and scales ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Stacked:
    """Distinct points, most crowded first: ``xy`` of shape (m, 2), ``which`` of them each crystal has, ``counts``."""

    xy: np.ndarray
    which: np.ndarray
    counts: np.ndarray

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Mean over the crystals of each point, shape (m,)."""
        return np.bincount(self.which, weights=values) / self.counts


def stacked(points: np.ndarray) -> Stacked:
    """Crystals with one and the same point put together."""
    xy, which, counts = np.unique(points, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")  # small dots on top
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return Stacked(xy[order], rank[which.ravel()], counts[order])


@dataclass(frozen=True)
class _Scale:
    """A colour scale shared by panels."""

    colours: str
    low: float
    high: float

    def panel(self, axes: Axes, dots: Stacked, values: np.ndarray, title: str) -> None:
        width = axes.get_position().width * WIDTH
        area = float(np.clip(330 * width**2 / max(len(dots.xy), 1), 3, 40))
        x, y = dots.xy.T
        axes.scatter(
            x, y, c=dots.mean(values), s=area * np.sqrt(dots.counts), cmap=self.colours, vmin=self.low, vmax=self.high,
            linewidths=0.25, edgecolors=GREY, rasterized=True,
        )  # fmt: skip
        axes.set_title(title, fontsize=9)
        axes.set_aspect("equal", adjustable="datalim")
        axes.margins(0.04)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)

    def bar(self, figure: Figure, axes: Axes, title: str) -> None:
        shades = ScalarMappable(Normalize(self.low, self.high), self.colours)
        bar = figure.colorbar(shades, cax=axes, orientation="horizontal", extend="both", extendfrac=0.02)
        bar.set_label(title, fontsize=9)
        axes.ticklabel_format(useOffset=False)
        axes.tick_params(labelsize=8)
