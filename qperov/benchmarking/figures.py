"""The figures of a verdict."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qperov.benchmarking.verdict import Verdict
from qperov.reports.figures.style import COLOURS, FAINT, GREY, MARKERS, style

#: Colours of the planned questions, in their order.
QUESTION_COLOURS = (COLOURS["quantum"], "#7b4fa3", "#4a4f5c")


def draw_differences(verdict: Verdict) -> Figure:
    """Each planned question on each task: quantum error less classical error, by that of the best constant."""
    table, rope = verdict.differences, 100 * verdict.protocol["rope"]
    tasks = list(dict.fromkeys(table["task"]))[::-1]
    with style():
        figure = Figure(figsize=(8.6, 1.9 + 0.34 * len(tasks)), layout="constrained")
        axes = figure.subplots()
        axes.axvspan(-rope, rope, color=FAINT, alpha=0.6, linewidth=0)
        axes.axvline(0, color=GREY, linewidth=0.8)
        questions = table.groupby(["quantum", "classical"], sort=False)
        for number, ((quantum, classical), part) in enumerate(questions):
            places = np.array([tasks.index(task) for task in part["task"]]) + 0.22 * (1 - number)
            colour = QUESTION_COLOURS[number % len(QUESTION_COLOURS)]
            axes.hlines(places, 100 * part["least"], 100 * part["largest"], color=colour, linewidth=1, alpha=0.5)
            axes.plot(
                100 * part["difference"], places, "oDs"[number % 3], color=colour, markersize=5,
                label=f"{quantum} − {classical}",
            )  # fmt: skip
        axes.set_yticks(range(len(tasks)), tasks)
        axes.set_xlabel("difference of errors, % of the best constant's; to the left quantum is better")
        axes.grid(axis="x", color=FAINT, linewidth=0.6)
        figure.legend(loc="outside lower center", ncols=1, fontsize=8.5)
    return figure


def draw_ranks(verdict: Verdict) -> Figure:
    """Mean ranks of the models over all tasks, with the critical difference as a bar."""
    table = verdict.ranks.iloc[::-1]
    with style():
        figure = Figure(figsize=(7.2, 1.2 + 0.27 * len(table)), layout="constrained")
        axes = figure.subplots()
        for place, (_, row) in enumerate(table.iterrows()):
            axes.plot(row["rank"], place, MARKERS[row["family"]], color=COLOURS[row["family"]], markersize=6)
        if np.isfinite(verdict.critical_difference):
            best = float(table["rank"].min())
            axes.axvspan(best, best + verdict.critical_difference, color=FAINT, alpha=0.6, linewidth=0)
        axes.set_yticks(range(len(table)), table["model"])
        axes.set_xlabel("mean rank over tasks; in grey within the critical difference of the best")
        axes.grid(axis="x", color=FAINT, linewidth=0.6)
    return figure


def draw_sizes(verdict: Verdict) -> Figure | None:
    """Best quantum and best classical error against the number of samples, where a dataset has several tasks."""
    best = best_by_task(verdict.scores)
    several = [name for name, part in best.groupby("evidence", sort=False) if part["n"].nunique() > 1]
    if not several:
        return None
    with style():
        figure = Figure(figsize=(3.6 * min(len(several), 3) + 0.4, 3.0), layout="constrained")
        panels = np.atleast_1d(figure.subplots(1, min(len(several), 3), sharey=True))
        for axes, name in zip(panels, several, strict=False):
            _sizes(axes, best[best["evidence"] == name])
            axes.set_title(name)
        panels[0].set_ylabel("error by the best constant's")
        panels[0].legend()
    return figure


def best_by_task(scores: pd.DataFrame) -> pd.DataFrame:
    """The smallest relative error of each family on each task, one row a task and family."""
    compared = scores[scores["family"].isin(("quantum", "classical")) & (scores["role"] == "candidate")]
    return compared.loc[compared.groupby(["task", "family"], sort=False)["relative"].idxmin()]


def _sizes(axes: Axes, part: pd.DataFrame) -> None:
    for family, line in part.groupby("family", sort=False):
        line = line.groupby("n")["relative"].min()
        axes.plot(line.index, line, MARKERS[family] + "-", color=COLOURS[family], label=f"best {family}")
    axes.set_xlabel("samples")
    axes.grid(color=FAINT, linewidth=0.6)
