"""Figures of a Comparison: scores with their intervals, and predicted against true."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from qperov.evaluation.results import Comparison
from qperov.reports.words.findings import best_baseline, interval, score_blocks, scored_models
from qperov.storage.atomic import atomic_path

INK, GREY, FAINT = "#1f2430", "#6b7280", "#d9dde3"
# Okabe and Ito's colours, told apart by shape as well
COLOURS = {"quantum": "#d55e00", "classical": "#0072b2", "reference": "#009e73", "baseline": "#6b7280"}
MARKERS = {"quantum": "D", "classical": "o", "reference": "s", "baseline": "|"}
DPI = 150
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.parse_math": False,  # names of models and crystals are no formulas
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "svg.hashsalt": "qperov",
    "svg.fonttype": "path",
    "figure.facecolor": "white",
}


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's settings for every figure here."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def save(figure: Figure, path: Path) -> dict[str, Path]:
    """Write ``path`` as .png (150 dpi) and .svg, each in one step; the same figure gives the same bytes."""
    figure.set_dpi(DPI)
    written = {}
    with style():
        for kind in ("png", "svg"):
            target = path.with_suffix(f".{kind}")
            with atomic_path(target) as temporary:
                # savefig would draw everything twice
                if kind == "png":
                    FigureCanvasAgg(figure).print_png(temporary)
                else:
                    FigureCanvasSVG(figure).print_svg(temporary, metadata={"Date": None})
            # the layout is settled by the first drawing
            figure.set_layout_engine("none")
            written[kind] = target
    return written


# --- scores -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Line:
    y: float
    row: pd.Series


def draw_scores(comparison: Comparison) -> Figure:
    """Forest plot: MAE and R² of each model with 95 % intervals, by descriptor, best first.

    Marks what a constant scores, the label's standard deviation and noise floor, and each descriptor's ceiling R².
    """
    table = scored_models(comparison)
    lines: list[_Line] = []
    headings: list[tuple[float, str]] = []
    spans: list[tuple[float, float, float]] = []
    y = 0.0
    for title, rows in score_blocks(comparison):
        headings.append((y, title))
        first = y + 1
        for _, row in rows.iterrows():
            y += 1
            lines.append(_Line(y, row))
        if math.isfinite(ceiling := float(rows["ceiling_r2"].iloc[0])):
            spans.append((ceiling, first, y))
        y += 1.35
    with style():
        figure = Figure(figsize=(10.5, 1.35 + 0.285 * y), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.25, 1))
        _mae_panel(left, comparison, lines)
        _r2_panel(right, lines, spans)
        for axes in (left, right):
            axes.set_ylim(y - 0.6, -0.7)
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
            axes.grid(axis="x", color=FAINT, linewidth=0.6)
            axes.set_axisbelow(True)
        left.set_yticks([line.y for line in lines], [shorten(line.row["name"]) for line in lines])
        for at, title in headings:
            left.annotate(
                title, (0, at), xycoords=("axes fraction", "data"), xytext=(-6, 0), textcoords="offset points",
                ha="right", va="center", weight="bold", annotation_clip=False,
            )  # fmt: skip
        families = [f for f in ("quantum", "classical", "reference") if (table["family"] == f).any()]
        handles = [
            Line2D([], [], color=COLOURS[f], marker=MARKERS[f], markersize=6, linewidth=1.8, label=f) for f in families
        ]
        if spans:
            handles.append(
                Line2D([], [], color=INK, marker="|", markersize=10, markeredgewidth=2, linewidth=0,
                       label="ceiling of the descriptor")
            )  # fmt: skip
        figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), fontsize=9)
    return figure


def _mae_panel(axes: Axes, comparison: Comparison, lines: list[_Line]) -> None:
    label, constant = comparison.label, best_baseline(comparison)
    reference = max(label["sd"], constant["mae"] if constant is not None else 0)
    tops = [line.row["mae"] for line in lines] + [line.row["mae_high"] for line in lines]
    limit = 1.04 * min(max([reference, *(t for t in tops if math.isfinite(t))]), 2 * reference or 1.0)
    marks: list[tuple[float, str, Any]] = [(label["sd"], "label's sd", (0, (1, 1.5)))]
    if constant is not None:
        marks.append((constant["mae"], f"constant ({constant['model']})", (0, (5, 2))))
    if label.get("noise") is not None and math.isfinite(label["noise"]):
        marks.append((label["noise"], "label's noise", (0, (3, 1.5, 1, 1.5))))
    for value, _, dashes in marks:
        axes.axvline(value, color=GREY, linewidth=1.1, linestyle=dashes, zorder=1)
    handles = [Line2D([], [], color=GREY, linewidth=1.1, linestyle=d, label=name) for _, name, d in reversed(marks)]
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, fontsize=8.5, borderaxespad=0.2,
        handlelength=1.8, columnspacing=1.2,
    )  # fmt: skip
    for line in lines:
        _interval(axes, line, "mae", 0, limit)
        axes.annotate(
            interval(line.row, "mae")[0], (1, line.y), xycoords=("axes fraction", "data"), xytext=(5, 0),
            textcoords="offset points", va="center", fontsize=8.5, color=INK, annotation_clip=False,
        )  # fmt: skip
    axes.set_xlim(0, limit)
    unit = f" / {label['unit']}" if label.get("unit") else ""
    axes.set_xlabel(f"MAE{unit}, 95 % interval (smaller is better)")


def _r2_panel(axes: Axes, lines: list[_Line], spans: list[tuple[float, float, float]]) -> None:
    lows = [line.row[k] for line in lines for k in ("r2", "r2_low") if math.isfinite(line.row[k])]
    low = max(min([*lows, 0.0]) - 0.05, -0.6)
    axes.axvline(0, color=GREY, linewidth=1.1, linestyle=(0, (5, 2)), zorder=1)
    for ceiling, first, last in spans:
        axes.plot([ceiling] * 2, [first - 0.42, last + 0.42], color=INK, linewidth=2, solid_capstyle="butt", zorder=2)
    for line in lines:
        _interval(axes, line, "r2", low, 1.04)
    axes.set_xlim(low, 1.04)
    axes.set_xlabel("R², 95 % interval (1 is perfect, 0 a constant)")


def _interval(axes: Axes, line: _Line, metric: str, low: float, high: float) -> None:
    """One row: the interval as a bar, the value as a marker, an arrow where it lies outside the panel."""
    row, family = line.row, line.row["family"]
    colour = COLOURS.get(family, COLOURS["classical"])
    ends = [float(row[f"{metric}_low"]), float(row[f"{metric}_high"])]
    if all(math.isfinite(end) for end in ends):
        axes.plot(np.clip(ends, low, high), [line.y] * 2, color=colour, linewidth=2, solid_capstyle="butt", zorder=3)
    value = float(row[metric])
    if not math.isfinite(value):
        return
    if low <= value <= high:
        marker, size = MARKERS.get(family, "o"), 10.0 if family == "baseline" else 6.0
    else:
        value, marker, size = (low, "<", 7.0) if value < low else (high, ">", 7.0)
    axes.plot([value], [line.y], color=colour, marker=marker, markersize=size, markeredgewidth=2 if size > 9 else 0,
              clip_on=False, zorder=4)  # fmt: skip


def shorten(name: str, width: int = 34) -> str:
    """A model's name that fits a figure."""
    return textwrap.shorten(name, width, placeholder="…") if len(name) > width and " " in name else name[:width]


# --- predicted against true ---------------------------------------------------------------------


def draw_parity(comparison: Comparison) -> Figure:
    """Out-of-fold predictions against true values, one panel a model, the same axes in all."""
    table = scored_models(comparison)
    models = table[table["family"] != "baseline"]
    models = models if len(models) else table
    columns = len(models) if len(models) < 5 else 3 if len(models) < 7 else 4
    count = math.ceil(len(models) / columns)
    low, high = _limits(comparison.y)
    by_model = dict(tuple(comparison.predictions.groupby("model", sort=False)))
    with style():
        figure = Figure(figsize=(2.75 * columns + 0.5, 3.2 * count + 0.45), layout="compressed")
        grid = figure.subplots(count, columns, sharex=True, sharey=True, squeeze=False)
        for axes, (_, row) in zip(grid.flat, models.iterrows(), strict=False):
            _parity_panel(axes, row, by_model.get(row["model"]), low, high)
        for axes in grid.flat[len(models) :]:
            axes.set_axis_off()
        for j in range(columns):  # the last panel of each column keeps its numbers
            last = (len(models) - 1 - j) // columns
            grid[last, j].tick_params(labelbottom=True)
        unit = f" / {comparison.label['unit']}" if comparison.label.get("unit") else ""
        target = comparison.label["target"]
        figure.supxlabel(f"true {target}{unit}", fontsize=10)
        figure.supylabel(f"predicted, out of fold{unit}", fontsize=10)
    return figure


def _parity_panel(axes: Axes, row: pd.Series, mine: pd.DataFrame | None, low: float, high: float) -> None:
    axes.axline((low, low), slope=1, color=GREY, linewidth=1, linestyle=(0, (5, 2)), zorder=1)
    if mine is not None:
        x, y = mine["y_true"].to_numpy(), mine["y_pred"].to_numpy()
        size = float(np.clip(1500 / max(len(x), 1), 4, 14))
        alpha = float(np.clip(250 / max(len(x), 1), 0.16, 0.6))
        colour = COLOURS.get(row["family"], COLOURS["classical"])
        axes.scatter(x, np.clip(y, low, high), s=size, color=colour, alpha=alpha, linewidths=0, rasterized=True)
        if outside := int(np.sum((y < low) | (y > high))):
            axes.text(0.97, 0.03, f"{outside} outside", transform=axes.transAxes, ha="right", fontsize=8, color=GREY)
    numbers = f"MAE {interval(row, 'mae')[0]}   R² {interval(row, 'r2')[0]}"
    name, descriptor = shorten(row["name"]), shorten(str(row["descriptor"]))
    axes.set_title("\n".join(part for part in (name, descriptor, numbers) if part), fontsize=9, linespacing=1.35)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    axes.locator_params(nbins=5)
    axes.ticklabel_format(useOffset=False)
    axes.tick_params(labelsize=8)


def _limits(y: np.ndarray) -> tuple[float, float]:
    low, high = float(np.min(y)), float(np.max(y))
    margin = 0.06 * (high - low) or max(abs(low) * 0.05, 1.0)
    return low - margin, high + margin
