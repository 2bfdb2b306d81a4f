"""Studies: sections of a report beside the comparison of models, as plain data.

A study holds sentences, tables and what its figures show. It holds no model and no figure, so that a report draws it
again from the record alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

#: Kinds of chart.
KINDS = ("lines", "scatter", "histogram", "bars", "intervals", "sticks", "crystals")
#: Columns that drawings of crystals need beside x, y and the elements: the third coordinate and the cell's edges (Å).
CRYSTAL_COLUMNS = ("z", *(f"{edge}_{axis}" for edge in "abc" for axis in "xyz"))
#: Columns that intervals need beside x and y: their ends.
INTERVAL_COLUMNS = ("low", "high")
#: What a reference line is drawn at: one x, one y, or y = x + value.
REFERENCE_AXES = ("x", "y", "diagonal")


@dataclass(frozen=True)
class Reference:
    """A line across a chart, for comparison: a baseline, a bound.

    Attributes
    ----------
    label : str
    value : float
    axis : "x", "y" or "diagonal"
        Drawn at x = value, y = value, or y = x + value.
    panel : str or None
        The panel it belongs to; None for all.
    """

    label: str
    value: float = 0.0
    axis: str = "y"
    panel: str | None = None


@dataclass(frozen=True)
class Chart:
    """What one figure shows.

    Attributes
    ----------
    title : str
        Also names the figure's files.
    kind : "lines", "scatter", "histogram", "bars", "intervals", "sticks" or "crystals"
        Histograms count ``x`` in shares of their series; bars are horizontal, of length ``x`` at the names in ``y``;
        intervals are horizontal, from ``low`` to ``high`` with a point at ``x``, at the names in ``y``; sticks stand
        at ``x``, as high as ``y``, the highest below what ``series`` says of them; crystals are drawn one a panel, a
        row an atom, ``series`` the elements, with the columns `CRYSTAL_COLUMNS`.
    table : str
        Table of the study, or one of its ``data``.
    x, y : str
        Columns; a histogram has no ``y``.
    series, panels : str
        Columns that part the rows by colour and by panel; empty for one of them. Where the table has a column
        ``family``, the colour is that of the family of models.
    x_label, y_label : str
        With unit; a ratio, a probability and the like have none.
    references : tuple of Reference
    log_x, log_y : bool
        Values that are not positive are left out of a logarithmic axis, unless there is a ``least`` one.
    least : float or None
        On logarithmic axes, smaller values are drawn here.
    shared_x : bool
        Whether all panels have the same x axis.
    caption : str
    """

    title: str
    kind: str
    table: str
    x: str
    y: str = ""
    series: str = ""
    panels: str = ""
    x_label: str = ""
    y_label: str = ""
    references: tuple[Reference, ...] = ()
    log_x: bool = False
    log_y: bool = False
    least: float | None = None
    shared_x: bool = True
    caption: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"chart {self.title!r}: unknown kind {self.kind!r}; known: {', '.join(KINDS)}")
        if bool(self.y) == (self.kind == "histogram"):
            raise ValueError(f"chart {self.title!r}: a histogram has x alone, every other kind x and y")
        if self.kind in ("bars", "sticks") and (self.log_x or self.log_y):
            raise ValueError(f"chart {self.title!r}: the length of a bar means nothing on a logarithmic axis")
        if self.kind == "crystals" and not (self.series and self.panels):
            raise ValueError(f"chart {self.title!r}: crystals need a column of elements and one of their names")
        if self.least is not None and not self.least > 0:
            raise ValueError(f"chart {self.title!r}: least is a place on a logarithmic axis, got {self.least}")
        for reference in self.references:
            if reference.axis not in REFERENCE_AXES:
                raise ValueError(f"chart {self.title!r}: a reference line cannot be at {reference.axis!r}")
            if reference.axis == "diagonal" and (self.log_x or self.log_y or self.kind != "scatter"):
                raise ValueError(f"chart {self.title!r}: a diagonal belongs to a scatter with linear axes")


@dataclass(frozen=True, eq=False)
class Study:
    """One section of a report.

    Attributes
    ----------
    title : str
    paragraphs : tuple of str
        Plain sentences that say what the numbers mean.
    tables : dict of str to DataFrame
        Heading → small table that is shown; its columns' names are the headings a reader sees.
    charts : tuple of Chart
    data : dict of str to DataFrame
        What charts draw and nobody reads: columns of numbers or text.
    kind : str
        What it is about, such as "autoencoder"; "" for what needs no source.
    decimals : dict of str to int
        Column → decimals shown, where three significant digits are not right.

    Raises
    ------
    ValueError
        A chart names a table or a column that is not there, or draws text where numbers are needed.
    """

    title: str
    paragraphs: tuple[str, ...] = ()
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    charts: tuple[Chart, ...] = ()
    data: dict[str, pd.DataFrame] = field(default_factory=dict)
    decimals: dict[str, int] = field(default_factory=dict)
    kind: str = ""

    def __post_init__(self) -> None:
        for chart in self.charts:
            self._check(chart)

    def frame(self, chart: Chart) -> pd.DataFrame:
        """The table that a chart draws."""
        return self.data[chart.table] if chart.table in self.data else self.tables[chart.table]

    def _check(self, chart: Chart) -> None:
        where = f"study {self.title!r}, chart {chart.title!r}"
        if chart.table not in self.data and chart.table not in self.tables:
            raise ValueError(f"{where}: there is no table {chart.table!r}")
        frame = self.frame(chart)
        further = {"crystals": CRYSTAL_COLUMNS, "intervals": INTERVAL_COLUMNS}.get(chart.kind, ())
        named = [name for name in (chart.x, chart.y, chart.series, chart.panels, *further) if name]
        if missing := [name for name in named if name not in frame]:
            raise ValueError(f"{where}: its table has no column {missing[0]!r}")
        named_y = chart.kind in ("histogram", "bars", "intervals")
        numbers = (chart.x, *further) if named_y else (chart.x, chart.y, *further)
        if text := [name for name in numbers if not pd.api.types.is_numeric_dtype(frame[name])]:
            raise ValueError(f"{where}: column {text[0]!r} holds no numbers")
