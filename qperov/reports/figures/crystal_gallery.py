"""A gallery of crystals: cells and atoms in orthographic projection, drawn from plain columns."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from ase.data.colors import jmol_colors
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from qperov.records.study import CRYSTAL_COLUMNS, Chart, Study
from qperov.reports.figures.style import GREY, INK, shorten, style

#: Share of the covalent radius that an atom is drawn with.
RADIUS_SHARE = 0.45
#: Discs that make a shaded ball, and how far the brightest lies from its centre, in radii.
SHADES, LIGHT = 6, (-0.30, 0.32)
#: How far the innermost disc is from the atom's colour to white, and the outermost to black.
BRIGHTEST, DARKEST = 0.75, 0.30
#: Points of an edge, each of which is seen or covered.
POINTS = 240
#: Turn about the vertical axis and tilt towards the viewer, degrees; c points up, as Jmol and VESTA have it.
TURN, TILT = 25.0, 15.0
PANELS_A_ROW = 3
#: Inches: a panel's edge, and the room for its title and its legend.
PANEL, ABOVE, BELOW = 2.9, 0.4, 0.35
#: Letters of a panel's title.
WIDTH = 48
_CORNERS = np.array(list(np.ndindex(2, 2, 2)), dtype=float)
_EDGES = [(i, j) for i in range(8) for j in range(i) if np.abs(_CORNERS[i] - _CORNERS[j]).sum() == 1]


def draw_crystals(study: Study, chart: Chart) -> Figure:
    """One panel a crystal, all at one scale: the edges of its cell, and its atoms as shaded balls.

    Colours are Jmol's, radii proportional to the covalent ones (Cordero's). What is nearer covers what is farther.

    Parameters
    ----------
    study : Study
    chart : Chart
        Of kind "crystals": ``x`` and ``series`` name the columns of x coordinates and elements, ``panels`` that of the
        crystals' titles; `CRYSTAL_COLUMNS` are the others.
    """
    frame = study.frame(chart)
    crystals = list(frame.groupby(chart.panels, sort=False)) if chart.panels else [("", frame)]
    columns = max(1, min(len(crystals), PANELS_A_ROW))
    rows = max(1, math.ceil(len(crystals) / columns))
    shown = [_projected(mine, chart) for _, mine in crystals]
    half = max((crystal.reach for crystal in shown), default=1.0)
    with style():
        width, height = PANEL * columns, (PANEL + ABOVE + BELOW) * rows
        figure = Figure(figsize=(width, height))
        for k, ((title, _), crystal) in enumerate(zip(crystals, shown, strict=True)):
            row, column = divmod(k, columns)
            bottom = height - row * (PANEL + ABOVE + BELOW) - ABOVE - PANEL
            place = (column * PANEL / width, bottom / height, PANEL / width, PANEL / height)
            axes = figure.add_axes(place)
            axes.set_axis_off()
            axes.set_xlim(-half, half)
            axes.set_ylim(-half, half)
            crystal.draw(axes)
            axes.set_title("\n".join(shorten(part, WIDTH) for part in str(title).split("\n")), fontsize=8.5)
            handles = [_legend_entry(element) for element in dict.fromkeys(crystal.elements)]
            axes.legend(
                handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), borderaxespad=0.2, fontsize=8.5,
                ncols=min(6, len(handles)), handletextpad=0.1, columnspacing=0.9,
            )  # fmt: skip
    return figure


def view() -> np.ndarray:
    """Rows: the axes of the picture, right, up and towards the viewer, in the frame of the crystal; shape (3, 3)."""
    turn, tilt = math.radians(TURN), math.radians(TILT)
    right = np.array([-math.sin(turn), math.cos(turn), 0.0])
    towards = np.array([math.cos(turn) * math.cos(tilt), math.sin(turn) * math.cos(tilt), math.sin(tilt)])
    return np.array([right, np.cross(towards, right), towards])


class Crystal:
    """One crystal as it is seen: x right, y up, depth towards the viewer, about the middle of its cell.

    Parameters
    ----------
    elements : list of str
    atoms : ndarray, shape (n, 3)
        Å.
    cell : ndarray, shape (3, 3)
        Rows: the edges, Å.
    """

    def __init__(self, elements: list[str], atoms: np.ndarray, cell: np.ndarray) -> None:
        middle = cell.sum(axis=0) / 2
        self.elements = elements
        self.atoms = (np.reshape(atoms, (-1, 3)) - middle) @ view().T
        self.corners = (_CORNERS @ cell - middle) @ view().T
        self.radii = RADIUS_SHARE * covalent_radii[np.array([known_number(element) for element in elements], dtype=int)]

    @property
    def reach(self) -> float:
        """Half the edge of the square that holds the picture."""
        flat = np.abs(self.atoms[:, :2]) + self.radii[:, None]
        return 1.04 * float(max(flat.max(initial=0.0), np.abs(self.corners[:, :2]).max()))

    def draw(self, axes: Axes) -> None:
        """Balls, the farthest first, and what can be seen of the edges."""
        for order, k in enumerate(np.argsort(self.atoms[:, 2], kind="stable")):
            axes.add_collection(_ball(self.atoms[k], self.radii[k], colour(self.elements[k]), 2 + order))
        lines = LineCollection(self.seen(), colors=GREY, linewidths=0.9, zorder=3 + len(self.atoms))
        axes.add_collection(lines)

    def seen(self) -> list[np.ndarray]:
        """Stretches of the edges that no ball covers, each of shape (m, 2)."""
        along = np.linspace(0, 1, POINTS)[:, None]
        stretches = []
        for i, j in _EDGES:
            points = self.corners[i] + along * (self.corners[j] - self.corners[i])
            beside = ((points[:, None, :2] - self.atoms[None, :, :2]) ** 2).sum(axis=2)
            room = self.radii**2 - beside
            front = self.atoms[:, 2] + np.sqrt(np.maximum(room, 0.0))
            free = ~((room > 0) & (points[:, None, 2] < front)).any(axis=1)
            turns = np.flatnonzero(np.diff(free)) + 1
            parts = np.split(points[:, :2], turns)
            stretches += [part for part, seen in zip(parts, free[np.r_[0, turns]], strict=True) if seen]
        return stretches


def colour(element: str) -> np.ndarray:
    """Jmol's colour of an element, red, green, blue from 0 to 1; grey of what it does not know."""
    return np.asarray(jmol_colors[known_number(element)], dtype=float)


def known_number(element: str) -> int:
    """Atomic number; 0 of what is no element or has no colour."""
    number = atomic_numbers.get(element, 0)
    return number if number < min(len(jmol_colors), len(covalent_radii), len(chemical_symbols)) else 0


def _projected(frame: pd.DataFrame, chart: Chart) -> Crystal:
    atoms = frame[[chart.x, chart.y, "z"]].to_numpy(dtype=float)
    cell = frame[list(CRYSTAL_COLUMNS[1:])].to_numpy(dtype=float)[0].reshape(3, 3)
    return Crystal([str(element) for element in frame[chart.series]], atoms, cell)


def _ball(place: np.ndarray, radius: float, base: np.ndarray, zorder: float) -> PatchCollection:
    """A shaded ball: discs from the rim to the highlight, ever smaller and brighter."""
    discs, colours = [], []
    for k in range(SHADES):
        inwards = k / (SHADES - 1)
        centre = place[:2] + radius * inwards * np.array(LIGHT)
        discs.append(Circle((float(centre[0]), float(centre[1])), float(radius * (1 - 0.92 * inwards))))
        brightness = -DARKEST * (1 - 2 * inwards) if inwards < 0.5 else BRIGHTEST * (2 * inwards - 1) ** 2
        colours.append(base * (1 + brightness) if brightness < 0 else base + (1 - base) * brightness)
    rims = [INK] + ["none"] * (SHADES - 1)
    return PatchCollection(discs, facecolors=colours, edgecolors=rims, linewidths=0.5, zorder=zorder)


def _legend_entry(element: str) -> Line2D:
    return Line2D(
        [], [], linestyle="", marker="o", markersize=7, markerfacecolor=tuple(colour(element)), markeredgecolor=INK,
        markeredgewidth=0.5, label=element,
    )  # fmt: skip
