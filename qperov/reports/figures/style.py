"""What all figures share: fonts, one colour for each family of models, and how they are saved."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from qperov.storage.atomic import atomic_path

INK, GREY, FAINT = "#1f2430", "#6b7280", "#d9dde3"
#: Families of models, in every figure and on every page; Okabe and Ito's colours, told apart by shape as well.
COLOURS = {"quantum": "#d55e00", "classical": "#0072b2", "reference": "#009e73", "baseline": "#6b7280"}
MARKERS = {"quantum": "D", "classical": "o", "reference": "s", "baseline": "|"}
#: What belongs to no family.
OTHER_COLOURS = ("#4a4f5c", "#7b4fa3", "#c15b9a", "#a8a03a")
#: Shades of a family's colour for its further series: towards 0 (black) or 1 (white), and how far.
SHADES = ((0, 0.0), (0, 0.42), (1, 0.45), (0, 0.68))
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


def shorten(name: str, width: int = 34) -> str:
    """A model's name that fits a figure."""
    return textwrap.shorten(name, width, placeholder="…") if len(name) > width and " " in name else name[:width]


def series_colours(names: Sequence[str], families: Mapping[str, str]) -> dict[str, str]:
    """A colour for each series: that of its family, in another shade for each further series of the family.

    Parameters
    ----------
    names : sequence of str
    families : mapping of str to str
        Name → family, where a series has one.
    """
    often: Counter[str] = Counter()
    colours = {}
    for name in names:
        family = families.get(name, "")
        number, often[family] = often[family], often[family] + 1
        if family in COLOURS:
            towards, share = SHADES[number % len(SHADES)]
            red, green, blue = ((1 - share) * value + share * towards for value in to_rgb(COLOURS[family]))
            colours[name] = to_hex((red, green, blue))
        else:
            colours[name] = OTHER_COLOURS[number % len(OTHER_COLOURS)]
    return colours
