"""Figures of a Comparison: scores with their intervals, and predicted against true."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from qperov.evaluation.metrics import CALIBRATION_BINS
from qperov.evaluation.results import Comparison
from qperov.reports.figures.style import COLOURS, FAINT, GREY, INK, MARKERS, shorten, style
from qperov.reports.words.answer import leaders
from qperov.reports.words.findings import best_baseline, interval, loss_name, score_blocks, scored_models

#: Inches across a figure for a telephone.
NARROW = 4.2


# --- the answer ---------------------------------------------------------------------------------


def draw_best(comparison: Comparison, *, narrow: bool = False) -> Figure:
    """MAE (balanced error) with its 95 % interval of the best model of each family and of the better constant.

    Parameters
    ----------
    comparison : Comparison
    narrow : bool
        For a telephone.
    """
    rows, constant = leaders(comparison), best_baseline(comparison)
    loss = comparison.loss
    ends = [value for row in rows for value in (row[loss], row[f"{loss}_high"]) if math.isfinite(value)]
    limit = 1.06 * max(ends, default=1.0) or 1.0
    with style():
        figure = Figure(
            figsize=(NARROW if narrow else 6.2, 0.65 + (0.44 if narrow else 0.5) * len(rows)), layout="constrained"
        )
        axes = figure.subplots()
        if constant is not None:
            axes.axvline(constant[loss], color=GREY, linewidth=1.1, linestyle=(0, (5, 2)), zorder=1)
        for k, row in enumerate(rows):
            _interval(axes, _Line(k, row), loss, 0, limit)
            of = f" · {row['descriptor']}" if row["descriptor"] else ""
            name = shorten(str(row["name"]), 34)
            name = (
                of.removeprefix(" · ") if narrow and row["family"] == "reference" else f"{name}{'' if narrow else of}"
            )
            text = f"{row['family'] if row['family'] != 'baseline' else 'constant'}: {name}"
            at: Any = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center"}
            axes.annotate(text, (0, k), xytext=(2, 11), color=COLOURS[row["family"]], weight="bold", **at)
            axes.annotate(interval(row, loss)[0], (1, k), xytext=(5, 0), annotation_clip=False, **at)
        axes.set_xlim(0, limit)
        axes.set_ylim(len(rows) - 0.55, -0.75)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        unit = f" / {comparison.label['unit']}" if comparison.label.get("unit") else ""
        axes.set_xlabel(f"{loss_name(comparison)}{unit} (smaller is better)")
    return figure


# --- scores -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Line:
    y: float
    row: pd.Series


def draw_scores(comparison: Comparison, *, narrow: bool = False) -> Figure:
    """Forest plot: MAE and R² of each model with 95 % intervals, by descriptor, best first; of classes balanced error
    and accuracy.

    Marks what a constant scores, the label's standard deviation and noise floor, and each descriptor's ceiling R².

    Parameters
    ----------
    comparison : Comparison
    narrow : bool
        For a telephone: the first of the two alone.
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
        figure = Figure(figsize=(NARROW if narrow else 10.5, 1.35 + 0.225 * y), layout="constrained")
        shape: dict[str, Any] = {"ncols": 1} if narrow else {"ncols": 2, "sharey": True, "width_ratios": (1.25, 1)}
        left, *others = figure.subplots(1, squeeze=False, **shape)[0]
        _loss_panel(left, comparison, lines, narrow)
        for right in others:
            if comparison.classes:
                _accuracy_panel(right, lines)
            else:
                _r2_panel(right, lines, spans)
        for axes in (left, *others):
            axes.set_ylim(y - 0.6, -0.7)
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
            axes.grid(axis="x", color=FAINT, linewidth=0.6)
            axes.set_axisbelow(True)
        letters = 22 if narrow else 34
        left.set_yticks([line.y for line in lines], [shorten(line.row["name"], letters) for line in lines])
        for at, title in headings:
            left.annotate(
                title, (0, at), xycoords=("axes fraction", "data"), xytext=(-6, 0), textcoords="offset points",
                ha="right", va="center", weight="bold", annotation_clip=False,
            )  # fmt: skip
        families = [f for f in ("quantum", "classical", "reference") if (table["family"] == f).any()]
        handles = [
            Line2D([], [], color=COLOURS[f], marker=MARKERS[f], markersize=6, linewidth=1.8, label=f) for f in families
        ]
        if spans and others:
            handles.append(
                Line2D([], [], color=INK, marker="|", markersize=10, markeredgewidth=2, linewidth=0,
                       label="ceiling of the descriptor")
            )  # fmt: skip
        figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), fontsize=9, columnspacing=1.2)
    return figure


def _loss_panel(axes: Axes, comparison: Comparison, lines: list[_Line], narrow: bool) -> None:
    label, constant, loss = comparison.label, best_baseline(comparison), comparison.loss
    spread = label.get("sd", 0.0)
    reference = max(spread, constant[loss] if constant is not None else 0)
    tops = [line.row[loss] for line in lines] + [line.row[f"{loss}_high"] for line in lines]
    limit = 1.04 * min(max([reference, *(t for t in tops if math.isfinite(t))]), 2 * reference or 1.0)
    marks: list[tuple[float, str, Any]] = [(spread, "label's sd", (0, (1, 1.5)))] if "sd" in label else []
    if constant is not None:
        marks.append((constant[loss], f"constant ({constant['model']})", (0, (5, 2))))
    if label.get("noise") is not None and math.isfinite(label["noise"]):
        marks.append((label["noise"], "label's noise", (0, (3, 1.5, 1, 1.5))))
    for value, _, dashes in marks:
        axes.axvline(value, color=GREY, linewidth=1.1, linestyle=dashes, zorder=1)
    handles = [Line2D([], [], color=GREY, linewidth=1.1, linestyle=d, label=name) for _, name, d in reversed(marks)]
    axes.legend(
        handles=handles, loc="lower right" if narrow else "lower left", bbox_to_anchor=(1.0 if narrow else -0.02, 1.0),
        ncols=1 if narrow else 3, fontsize=8.5, borderaxespad=0.2, handlelength=1.8, columnspacing=1.2,
    )  # fmt: skip
    for line in lines:
        _interval(axes, line, loss, 0, limit)
        axes.annotate(
            interval(line.row, loss)[0], (1, line.y), xycoords=("axes fraction", "data"), xytext=(5, 0),
            textcoords="offset points", va="center", fontsize=8.5, color=INK, annotation_clip=False,
        )  # fmt: skip
    axes.set_xlim(0, limit)
    unit = f" / {label['unit']}" if label.get("unit") else ""
    axes.set_xlabel(f"{loss_name(comparison)}{unit}{'' if narrow else ', 95 % interval'} (smaller is better)")


def _accuracy_panel(axes: Axes, lines: list[_Line]) -> None:
    for line in lines:
        _interval(axes, line, "accuracy", 0, 1)
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("accuracy, 95 % interval (1 is perfect)")


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


# --- predicted against true ---------------------------------------------------------------------


def draw_parity(comparison: Comparison, models: Sequence[str] = ()) -> Figure:
    """Out-of-fold predictions against true values, one panel a model, the same axes in all.

    Parameters
    ----------
    comparison : Comparison
    models : sequence of str
        By default all but constants.
    """
    table = scored_models(comparison)
    if not len(models):
        models = table.loc[table["family"] != "baseline", "model"].tolist() or table["model"].tolist()
    rows = table.set_index("model", drop=False).loc[list(models)]
    columns = len(rows) if len(rows) < 5 else 3 if len(rows) < 7 else 4
    count = math.ceil(len(rows) / columns)
    low, high = _limits(comparison.y)
    by_model = dict(tuple(comparison.predictions.groupby("model", sort=False)))
    with style():
        figure = Figure(figsize=(2.75 * columns + 0.5, 3.2 * count + 0.45), layout="compressed")
        grid = figure.subplots(count, columns, sharex=True, sharey=True, squeeze=False)
        for axes, (_, row) in zip(grid.flat, rows.iterrows(), strict=False):
            _parity_panel(axes, row, by_model.get(row["model"]), low, high)
        for axes in grid.flat[len(rows) :]:
            axes.set_axis_off()
        for j in range(columns):  # the last panel of each column keeps its numbers
            last = (len(rows) - 1 - j) // columns
            grid[last, j].tick_params(labelbottom=True)
        unit = f" / {comparison.label['unit']}" if comparison.label.get("unit") else ""
        target = comparison.label["target"]
        figure.supxlabel(f"true {target}{unit}", fontsize=10)
        figure.supylabel(f"predicted, out of fold{unit}", fontsize=10)
    return figure


def draw_confusion(comparison: Comparison, models: Sequence[str] = ()) -> Figure:
    """Predicted against true classes, out of fold, one panel a model: samples (mean over repeats), and as colour what
    share of their class they are.

    Parameters
    ----------
    comparison : Comparison
        Of classes.
    models : sequence of str
        By default all but constants.
    """
    table = scored_models(comparison)
    if not len(models):
        models = table.loc[table["family"] != "baseline", "model"].tolist() or table["model"].tolist()
    rows = table.set_index("model", drop=False).loc[list(models)]
    names = list(comparison.classes)
    columns = min(len(rows), 3)
    count = math.ceil(len(rows) / columns)
    side = max(2.6, 0.42 * len(names) + 0.9)
    by_model = dict(tuple(comparison.predictions.groupby("model", sort=False)))
    with style():
        figure = Figure(figsize=(side * columns + 0.9, (side + 0.75) * count + 0.3), layout="compressed")
        grid = figure.subplots(count, columns, sharex=True, sharey=True, squeeze=False)
        for axes, (_, row) in zip(grid.flat, rows.iterrows(), strict=False):
            _confusion_panel(axes, row, by_model[row["model"]], names)
        for axes in grid.flat[len(rows) :]:
            axes.set_axis_off()
        for j in range(columns):
            grid[(len(rows) - 1 - j) // columns, j].tick_params(labelbottom=True)
        figure.supxlabel("predicted, out of fold", fontsize=10)
        figure.supylabel(f"true {comparison.label['target']}", fontsize=10)
    return figure


def _confusion_panel(axes: Axes, row: pd.Series, mine: pd.DataFrame, names: list[str]) -> None:
    counts = pd.crosstab(mine["y_true"], mine["y_pred"]).reindex(index=names, columns=names, fill_value=0)
    counts = counts / (mine["repeat"].nunique() or 1)
    shares = counts.div(counts.sum(axis=1).where(lambda total: total > 0, 1), axis=0).to_numpy()
    colours = LinearSegmentedColormap.from_list("family", ["white", COLOURS.get(row["family"], COLOURS["classical"])])
    axes.imshow(shares, cmap=colours, vmin=0, vmax=1, aspect="equal")
    for i, j in np.argwhere(counts.to_numpy() > 0):
        shade = "white" if shares[i, j] > 0.6 else INK
        axes.text(j, i, f"{counts.to_numpy()[i, j]:.3g}", ha="center", va="center", fontsize=8.5, color=shade)
    axes.set_xticks(range(len(names)), [shorten(name, 12) for name in names], rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), [shorten(name, 12) for name in names], fontsize=8)
    axes.tick_params(length=0)
    numbers = f"balanced acc. {interval(row, 'balanced_accuracy')[0]}   acc. {interval(row, 'accuracy')[0]}"
    title = [shorten(str(row["name"])), shorten(str(row["descriptor"])), numbers]
    axes.set_title("\n".join(part for part in title if part), fontsize=9, linespacing=1.35)


def draw_reliability(comparison: Comparison, models: Sequence[str]) -> Figure:
    """How often the most probable class is right, against its probability, in ten bins; dots as large as the bins.

    Parameters
    ----------
    comparison : Comparison
        Of classes.
    models : sequence of str
        Those that give no probabilities are left out.
    """
    table = scored_models(comparison).set_index("model")
    scored = [name for name, about in comparison.label["classes"].items() if about["scored"]]
    columns = [f"probability_{name}" for name in comparison.classes]
    with style():
        figure = Figure(figsize=(4.4, 4.2), layout="constrained")
        axes = figure.subplots()
        axes.axline((0, 0), slope=1, color=GREY, linewidth=1, linestyle=(0, (5, 2)), zorder=1)
        for model in models:
            part = comparison.predictions
            part = part[(part["model"] == model) & part["y_true"].isin(scored) & part[columns].notna().all(axis=1)]
            if part.empty:
                continue
            probabilities, family = part[columns].to_numpy(), str(table.at[model, "family"])
            right = np.array(comparison.classes)[probabilities.argmax(axis=1)] == part["y_true"].to_numpy()
            highest = probabilities.max(axis=1)
            bins = np.minimum((highest * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
            taken = np.unique(bins)
            x, y = ([values[bins == b].mean() for b in taken] for values in (highest, right))
            sizes = [12 + 160 * float(np.mean(bins == b)) for b in taken]
            axes.plot(x, y, color=COLOURS[family], linewidth=1)
            axes.scatter(x, y, s=sizes, color=COLOURS[family], marker=MARKERS[family], linewidths=0,
                         label=shorten(str(table.at[model, "name"])))  # fmt: skip
        axes.set_xlim(0, 1.03)
        axes.set_ylim(-0.03, 1.03)
        axes.set_aspect("equal")
        axes.set_xlabel("probability of the most probable class")
        axes.set_ylabel("share that is right")
        axes.legend(fontsize=8.5, loc="upper left", markerscale=0.8)
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
