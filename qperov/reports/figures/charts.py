"""Figures of a Study's charts: lines, histograms, bars, intervals, sticks, crystals, in one panel or several."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter

from qperov.records.study import Chart, Study
from qperov.reports.figures.crystal_gallery import draw_crystals
from qperov.reports.figures.style import COLOURS, FAINT, GREY, INK, OTHER_COLOURS, series_colours, shorten, style

#: Series are told apart by shape or dashes as well as by colour.
SERIES_MARKERS = ("o", "D", "s", "^", "v", "P")
SERIES_DASHES = ("-", (0, (5, 2)), (0, (1, 1.3)), (0, (4, 1.5, 1, 1.5)), (0, (8, 2)), (0, (2, 2)))
REFERENCE_DASHES = ((0, (5, 2)), (0, (1, 1.5)), (0, (3, 1.5, 1, 1.5)))
LINE: Any = {"linewidth": 1.5, "markersize": 5.5}
#: Lines of more points than this have no markers.
MOST_MARKERS = 30
BINS = 28
PANELS_A_ROW = 3
#: Kinds that have a name at each place of the y axis.
NAMED_ROWS = ("bars", "intervals")
#: Letters of a name that fit a legend, a title or an axis.
WIDTH = 44
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


#: Peaks lower than this share of the highest, or nearer to a labelled one than this share of the axis, have no label.
LOWEST_LABELLED, LABEL_ROOM = 0.04, 0.03


def draw_chart(study: Study, chart: Chart, families: Mapping[str, str] | None = None) -> Figure:
    """One figure: a panel for each value of ``chart.panels``, a colour for each of ``chart.series``.

    Parameters
    ----------
    study : Study
    chart : Chart
    families : mapping of str to str, optional
        Series or panel → family of models, whose colour it has; a column ``family`` of the table says so, too.
    """
    if chart.kind == "crystals":
        return draw_crystals(study, chart)
    frame = study.frame(chart)
    panels = _parts(frame, chart.panels)
    names = list(_parts(frame, chart.series))
    few = _have_few_points(frame, chart)
    known = {**(families or {}), **_families(frame, chart)}
    columns = 2 if len(panels) == 4 else min(len(panels), PANELS_A_ROW)
    rows = math.ceil(len(panels) / columns)
    with style():
        width, height = _panel_size(frame, chart)
        width = width if columns == 1 else 3.6 * columns + 0.4
        figure = Figure(figsize=(width, height * rows + 0.6), layout="constrained")
        grid = figure.subplots(rows, columns, sharex=chart.shared_x, sharey=True, squeeze=False)
        for axes, (panel, mine) in zip(grid.flat, panels.items(), strict=False):
            colours = _colours(names, panel, known)
            if chart.kind == "histogram":
                edges = _edges(_numbers(frame[chart.x], chart.log_x, chart.least), chart)
                _histogram(axes, chart, mine, colours, edges)
            elif chart.kind == "bars":
                _bars(axes, chart, mine, colours)
            elif chart.kind == "intervals":
                _intervals(axes, chart, mine)
            elif chart.kind == "sticks":
                _sticks(axes, chart, mine)
            else:
                _points(axes, chart, mine, colours, few)
            _references(axes, chart, panel)
            _dress(axes, chart)
            if any(reference.axis == "diagonal" for reference in chart.references):
                _equal_axes(axes, frame[[chart.x, chart.y]].to_numpy(dtype=float))
            elif chart.kind == "lines" and few and not chart.log_x:
                axes.set_xticks(np.unique(mine[chart.x].dropna()))
            if chart.panels:
                axes.set_title(shorten(panel, WIDTH))
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        if chart.kind in NAMED_ROWS:
            grid[0, 0].invert_yaxis()
        figure.supxlabel(chart.x_label, fontsize=9.5)
        figure.supylabel(chart.y_label, fontsize=9.5)
        if handles := _legend(chart, _colours(names, next(iter(panels)), known), few):
            many = 2 if columns == 1 else min(4, len(handles))
            figure.legend(handles=handles, loc="outside upper center", ncols=many, fontsize=8.5, handlelength=2.6)
    return figure


def _parts(frame: pd.DataFrame, column: str) -> dict[str, pd.DataFrame]:
    """Rows by the values of a column, in the order in which they occur; all rows under "" without one."""
    if not column or frame.empty:
        return {"": frame}
    return {str(value): frame[frame[column] == value] for value in frame[column].dropna().unique()} or {"": frame}


def _families(frame: pd.DataFrame, chart: Chart) -> dict[str, str]:
    """Series and panels all rows of which say that they are of one family."""
    found: dict[str, str] = {}
    if "family" not in frame:
        return found
    for column in filter(None, (chart.panels, chart.series)):
        of = frame.groupby(column)["family"].unique()
        found |= {str(name): str(values[0]) for name, values in of.items() if len(values) == 1}
    return found or ({"": str(frame["family"].iloc[0])} if frame["family"].nunique() == 1 else {})


def _colours(names: list[str], panel: str, known: Mapping[str, str]) -> dict[str, str]:
    """A colour for each series: of its family, or of the panel's."""
    own = known if any(name in known for name in names) else dict.fromkeys(names, known.get(panel, ""))
    return series_colours(names, own)


def _numbers(values: pd.Series, log: bool, least: float | None) -> np.ndarray:
    """Numbers as they are drawn; NaN where they are not."""
    numbers = values.to_numpy(dtype=float)
    if log:
        numbers = np.where(numbers > 0, numbers, np.nan) if least is None else np.maximum(numbers, least)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _panel_size(frame: pd.DataFrame, chart: Chart) -> tuple[float, float]:
    """Width and height in inches of the only panel."""
    if chart.kind in NAMED_ROWS:
        return 6.6, max(1.6, 0.36 * frame[chart.y].nunique() + 0.5)
    if chart.kind == "sticks":
        return 4.8, 2.7
    return (4.4 if any(reference.axis == "diagonal" for reference in chart.references) else 6.6), 3.1


# --- kinds --------------------------------------------------------------------------------------


def _points(axes: Axes, chart: Chart, frame: pd.DataFrame, colours: dict[str, str], few: bool) -> None:
    for name, mine in _parts(frame, chart.series).items():
        k = list(colours).index(name)
        x, y = _numbers(mine[chart.x], chart.log_x, chart.least), _numbers(mine[chart.y], chart.log_y, chart.least)
        colour, marker = colours[name], SERIES_MARKERS[k % len(SERIES_MARKERS)]
        if chart.kind == "scatter":
            size = float(np.clip(3000 / max(len(x), 1), 6, 14))
            alpha = float(np.clip(250 / max(len(x), 1), 0.2, 0.7))
            axes.scatter(x, y, s=size, alpha=alpha, color=colour, marker=marker, linewidths=0, rasterized=True)
        else:
            axes.plot(x, y, color=colour, marker=marker if few else "", linestyle=_series_dashes(k, few), **LINE)


def _series_dashes(k: int, few: bool) -> Any:
    """Where markers tell lines apart, dashes need not."""
    return "-" if few else SERIES_DASHES[k % len(SERIES_DASHES)]


def _have_few_points(frame: pd.DataFrame, chart: Chart) -> bool:
    columns = [column for column in (chart.panels, chart.series) if column]
    return len(frame) <= MOST_MARKERS or bool(columns and frame.groupby(columns).size().max() <= MOST_MARKERS)


def _edges(x: np.ndarray, chart: Chart) -> np.ndarray:
    """Edges of the bins, common to all panels and series."""
    finite = x[np.isfinite(x)]
    low, high = (finite.min(), finite.max()) if len(finite) else (1.0, 1.0)
    if low == high:
        low, high = (low / 2, high * 2) if chart.log_x else (low - 0.5, high + 0.5)
    edges = (np.geomspace if chart.log_x else np.linspace)(low, high, BINS + 1)
    edges[[0, -1]] = low, high  # rounding must not put the least value outside
    return edges


def _histogram(axes: Axes, chart: Chart, frame: pd.DataFrame, colours: dict[str, str], edges: np.ndarray) -> None:
    """Shares of each series' values."""
    for name, mine in _parts(frame, chart.series).items():
        x = _numbers(mine[chart.x], chart.log_x, chart.least)
        x = x[np.isfinite(x)]
        weights = np.full(len(x), 1 / max(len(x), 1))
        axes.hist(x, edges.tolist(), weights=weights, color=colours[name], alpha=0.55)


def _bars(axes: Axes, chart: Chart, frame: pd.DataFrame, colours: dict[str, str]) -> None:
    places = [str(value) for value in frame[chart.y].unique()]
    height = 0.76 / len(colours)
    for name, mine in _parts(frame, chart.series).items():
        k = list(colours).index(name)
        at = np.array([places.index(str(value)) for value in mine[chart.y]]) + (k - (len(colours) - 1) / 2) * height
        lengths = np.nan_to_num(_numbers(mine[chart.x], chart.log_x, chart.least))
        axes.barh(at, lengths, height * 0.94, color=colours[name])
    axes.set_yticks(range(len(places)), [shorten(place, WIDTH) for place in places])
    axes.tick_params(axis="y", length=0)


def _intervals(axes: Axes, chart: Chart, frame: pd.DataFrame) -> None:
    """A row each, in the colour of its family where the table has a column of them."""
    places = [str(value) for value in frame[chart.y]]
    families = frame["family"] if "family" in frame else pd.Series("", frame.index)
    colours = [COLOURS.get(str(family), OTHER_COLOURS[0]) for family in families]
    x, at = frame[chart.x].to_numpy(dtype=float), np.arange(len(places))
    axes.hlines(at, frame["low"], frame["high"], color=colours, linewidth=1.5)
    axes.scatter(x, at, color=colours, s=30, zorder=3)
    axes.set_yticks(at, [shorten(place, WIDTH) for place in places])
    axes.set_ylim(-0.5, len(places) - 0.5)
    axes.tick_params(axis="y", length=0)


def _sticks(axes: Axes, chart: Chart, frame: pd.DataFrame) -> None:
    """A powder pattern: a line for each peak, a mark below it, the indices of the highest that have room."""
    frame = frame[np.isfinite(frame[[chart.x, chart.y]]).all(axis=1)]
    x, y = frame[chart.x].to_numpy(dtype=float), frame[chart.y].to_numpy(dtype=float)
    top = float(y.max(initial=0)) or 1.0
    axes.vlines(x, 0, y, color=INK, linewidth=1.1)
    axes.plot(x, np.full(len(x), -0.05 * top), "|", color=GREY, markersize=5)
    room, labelled = LABEL_ROOM * float(np.ptp(x)) if len(x) else 0.0, list[float]()
    for k in np.argsort(-y, kind="stable"):
        if chart.series and y[k] > LOWEST_LABELLED * top and all(abs(x[k] - other) > room for other in labelled):
            labelled.append(float(x[k]))
            axes.annotate(str(frame[chart.series].iloc[k]), (x[k], y[k]), (0, 2), textcoords="offset points",
                          ha="center", va="bottom", fontsize=7.5, rotation=90)  # fmt: skip
    axes.set_ylim(top=1.25 * top)
    axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= top])


# --- what surrounds them ------------------------------------------------------------------------


def _references(axes: Axes, chart: Chart, panel: str) -> None:
    for k, reference in enumerate(chart.references):
        if reference.panel not in (None, panel) or not math.isfinite(reference.value):
            continue
        value = reference.value
        if chart.least is not None and {"x": chart.log_x, "y": chart.log_y}.get(reference.axis, False):
            value = max(value, chart.least)
        drawn: Any = {"color": INK, "linewidth": 1.1, "linestyle": _dashes(chart, k), "zorder": 1}
        if reference.axis == "x":
            axes.axvline(value, **drawn)
        elif reference.axis == "y":
            axes.axhline(value, **drawn)
        else:
            axes.axline((0, value), slope=1, **drawn)


def _dashes(chart: Chart, k: int) -> tuple[int, tuple[float, ...]]:
    """One dash pattern a label: a baseline may stand elsewhere in each panel."""
    labels = list(dict.fromkeys(reference.label for reference in chart.references))
    return REFERENCE_DASHES[labels.index(chart.references[k].label) % len(REFERENCE_DASHES)]


def _dress(axes: Axes, chart: Chart) -> None:
    for axis, log in ((axes.xaxis, chart.log_x), (axes.yaxis, chart.log_y)):
        if log:
            (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
            _plain_powers(axis)
        elif axis is axes.xaxis:
            axes.locator_params(axis="x", nbins=5)
    if not (chart.log_x or chart.log_y or chart.kind in NAMED_ROWS):
        axes.ticklabel_format(useOffset=False)
    axes.grid(axis="x" if chart.kind in NAMED_ROWS else "y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5)


def _equal_axes(axes: Axes, values: np.ndarray) -> None:
    """One scale for both axes: a flat cloud must look flat."""
    finite = values[np.isfinite(values)]
    if len(finite):
        margin = 0.05 * np.ptp(finite) or 1.0
        axes.set_xlim(finite.min() - margin, finite.max() + margin)
        axes.set_ylim(finite.min() - margin, finite.max() + margin)
    axes.set_aspect("equal")


def _plain_powers(axis: Axis) -> None:
    """Label a logarithmic axis 10⁻³, 0.01, …: mathematical text is switched off in figures."""

    def label(value: float, position: int | None = None) -> str:
        exponent = round(math.log10(value))
        if not math.isclose(value, 10.0**exponent):
            return f"{value:.2g}"
        return f"{value:g}" if -2 <= exponent <= 3 else f"10{str(exponent).translate(SUPERSCRIPTS)}"

    axis.set_major_formatter(FuncFormatter(label))
    axis.set_minor_formatter(NullFormatter())


def _legend(chart: Chart, colours: dict[str, str], few: bool) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = []
    style_of: dict[str, Any]
    for k, (name, colour) in enumerate(colours.items() if chart.series and chart.kind != "sticks" else ()):
        marker = SERIES_MARKERS[k % len(SERIES_MARKERS)]
        label = shorten(name, WIDTH)
        if chart.kind in ("histogram", "bars"):
            handles.append(Patch(color=colour, alpha=0.55 if chart.kind == "histogram" else 1, label=label))
        elif chart.kind == "scatter":
            handles.append(Line2D([], [], color=colour, marker=marker, markersize=5.5, linestyle="", label=label))
        else:
            style_of = {"marker": marker if few else "", "linestyle": _series_dashes(k, few)}
            handles.append(Line2D([], [], color=colour, label=label, **style_of, **LINE))
    labels = dict.fromkeys(reference.label for reference in chart.references)
    for k, label in enumerate(labels):
        dashes = REFERENCE_DASHES[k % len(REFERENCE_DASHES)]
        handles.append(Line2D([], [], color=INK, linewidth=1.1, linestyle=dashes, label=shorten(label, WIDTH)))
    return handles
