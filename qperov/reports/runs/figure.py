"""A figure of several runs: the MAE of each model in each of them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from qperov.evaluation.results import Comparison
from qperov.reports.figures.charts import SERIES_MARKERS
from qperov.reports.figures.style import COLOURS, FAINT, GREY, shorten, style
from qperov.reports.words.findings import HEADINGS, best_baseline, scored_models

#: Height of a run's line of a model, in inches.
LINE = 0.17


def draw_runs(runs: Mapping[str, Comparison], models: list[str]) -> Figure:
    """MAE with its 95 % interval of each model, one below the other, in the colour of its family; a shape for each run.

    Parameters
    ----------
    runs : mapping of str to Comparison
        Runs with the same labels.
    models : list of str
        From top to bottom; a run need not have all.
    """
    first = next(iter(runs.values()))
    loss = first.loss
    step = len(runs) + 0.8
    with style():
        figure = Figure(figsize=(8.5, 1.1 + LINE * step * len(models)), layout="constrained")
        axes = figure.subplots()
        for k, comparison in enumerate(runs.values()):
            rows = scored_models(comparison).set_index("model")
            marker = SERIES_MARKERS[k % len(SERIES_MARKERS)]
            for i, model in enumerate(models):
                if model not in rows.index or not math.isfinite(rows.at[model, loss]):
                    continue
                colour = COLOURS.get(str(rows.at[model, "family"]), GREY)
                y, (value, *ends) = i * step + k, rows.loc[model, [loss, f"{loss}_low", f"{loss}_high"]].astype(float)
                if all(map(math.isfinite, ends)):
                    axes.plot(ends, [y, y], color=colour, linewidth=1.8, solid_capstyle="butt")
                axes.plot([value], [y], color=colour, marker=marker, markersize=5, markeredgewidth=0)
        if (constant := best_baseline(first)) is not None:
            axes.axvline(constant[loss], color=GREY, linewidth=1.1, linestyle=(0, (5, 2)), zorder=1)
        axes.set_yticks([i * step + (len(runs) - 1) / 2 for i in range(len(models))], [shorten(m, 48) for m in models])
        axes.set_ylim(step * len(models) - 1, -1)
        axes.set_xlim(left=0)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        unit = f" / {first.label['unit']}" if first.label.get("unit") else ""
        axes.set_xlabel(f"{HEADINGS[loss]}{unit}, 95 % interval (smaller is better)")
        handles = [
            Line2D([], [], color=GREY, linewidth=1.8, markersize=5, marker=SERIES_MARKERS[k % len(SERIES_MARKERS)],
                   label=shorten(name, 40))
            for k, name in enumerate(runs)
        ]  # fmt: skip
        if constant is not None:
            label = f"constant ({constant['model']})"
            handles.append(Line2D([], [], color=GREY, linewidth=1.1, linestyle=(0, (5, 2)), label=label))
        figure.legend(handles=handles, loc="outside upper center", ncols=min(3, len(handles)), fontsize=8.5)
    return figure
