"""Maps: descriptors laid flat by t-SNE, coloured by label, prediction and residual."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from openTSNE import TSNE
from sklearn.manifold import trustworthiness

from qperov.evaluation.results import Comparison
from qperov.reports.figures import GREY, shorten, style

NEIGHBOURS = 10
FEWEST = 10  # distinct rows below which t-SNE has no neighbourhoods to keep
COMPONENTS = 50


@dataclass(frozen=True, eq=False)
class DescriptorMap:
    """A descriptor's map.

    Attributes
    ----------
    descriptor : str
    points : ndarray, shape (n, 2)
        Crystals with identical descriptors share one point.
    distinct : int
        How many points there are.
    trustworthiness : float
        Share of neighbourhoods that the map did not invent, 0 to 1 (NaN where there are too few points).
    method : str
        "t-SNE" or "principal components".
    """

    descriptor: str
    points: np.ndarray
    distinct: int
    trustworthiness: float
    method: str


def standardise(features: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and standard deviation 1, rounded to 1e-8; constant columns are dropped.

    Sums run over sorted columns, so that the order of the rows changes no bit. A column is constant when its standard
    deviation is under 1e-9 of its own largest value or 1e-12 of the matrix's: rounding noise is no information.

    Raises
    ------
    ValueError
        Not a matrix, no rows, or values that are NaN or infinite.
    """
    X = np.asarray(features, dtype=np.float64)
    if X.ndim != 2 or len(X) == 0:
        raise ValueError(f"features need the shape (n, d) with n > 0, not {X.shape}")
    if not np.isfinite(X).all():
        raise ValueError("features hold NaN or infinite values: a map needs finite ones")
    if X.shape[1] == 0:
        return X
    ordered = np.ascontiguousarray(np.sort(X, axis=0).T)
    mean, sd, size = ordered.mean(axis=1), ordered.std(axis=1), np.abs(ordered).max(axis=1)
    varied = (sd > 1e-9 * size) & (sd > 1e-12 * size.max())
    return np.round((X[:, varied] - mean[varied]) / sd[varied], 8) + 0.0  # + 0.0: no negative zeros


def embed(features: np.ndarray, *, seed: int = 0, perplexity: float | None = None) -> np.ndarray:
    """A two-dimensional t-SNE map of a descriptor.

    Standardised columns, at most 50 principal components, distinct rows only: identical rows share one point, nothing
    is jittered. The start is the first two components, the gradient Barnes and Hut's on one thread, so that the same
    rows always give the same map; permuted rows give the permuted map. Below 10 distinct rows the map is the first two
    principal components.

    Parameters
    ----------
    features : ndarray, shape (n, d)
    seed : int
    perplexity : float, optional
        At least 1 and at most a third of the distinct rows, less one; default: 30 or that bound.

    Returns
    -------
    ndarray, shape (n, 2)

    Raises
    ------
    ValueError
        Features that are empty, not a matrix or not finite; a perplexity out of bounds.

    Notes
    -----
    van der Maaten and Hinton, J. Mach. Learn. Res. 9, 2579 (2008); openTSNE: Poličar, Stražar and Zupan,
    J. Stat. Softw. 109(3) (2024).
    """
    rows, inverse = _distinct(standardise(features))
    return _embed_distinct(rows, seed, perplexity)[inverse]


def map_descriptor(descriptor: str, features: np.ndarray, *, seed: int = 0) -> DescriptorMap:
    """Embed a descriptor and measure how far its map can be trusted (among distinct rows, 10 neighbours)."""
    rows, inverse = _distinct(standardise(features))
    flat = _embed_distinct(rows, seed, None)
    neighbours = min(NEIGHBOURS, (len(rows) - 1) // 2)
    trust = float(trustworthiness(rows, flat, n_neighbors=neighbours)) if neighbours and rows.shape[1] else math.nan
    method = "t-SNE" if len(rows) >= FEWEST else "principal components"
    return DescriptorMap(descriptor, flat[inverse], len(rows), trust, method)


def _distinct(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if X.shape[1] == 0:
        return X[:1], np.zeros(len(X), dtype=int)
    rows, inverse = np.unique(X, axis=0, return_inverse=True)
    return np.ascontiguousarray(rows), inverse.ravel()


def _embed_distinct(rows: np.ndarray, seed: int, perplexity: float | None) -> np.ndarray:
    m = len(rows)
    bound = (m - 1) / 3
    if perplexity is not None and not 1 <= perplexity <= bound:
        raise ValueError(f"perplexity {perplexity} is outside 1 … {bound:.3g}, the range for {m} distinct rows")
    scores = _principal_components(rows)
    start = scores[:, :2]
    if m < FEWEST:
        return start
    tsne = TSNE(
        perplexity=min(30.0, bound) if perplexity is None else perplexity,
        initialization=1e-4 * start / (start[:, 0].std() or 1.0),
        negative_gradient_method="bh",
        neighbors="exact",
        random_state=seed,
        n_jobs=1,
    )
    return np.array(tsne.fit(scores))


def _principal_components(rows: np.ndarray) -> np.ndarray:
    """Scores of the components above rounding, at least two columns, each component's largest loading positive."""
    m = len(rows)
    if rows.shape[1] == 0 or m == 1:
        return np.zeros((m, 2))
    U, s, V = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    kept = int(np.sum(s > 1e-9 * s[0])) if s[0] > 0 else 0
    kept = min(kept, COMPONENTS)
    largest = V[np.arange(kept), np.abs(V[:kept]).argmax(axis=1)]
    scores = U[:, :kept] * s[:kept] * np.sign(largest)
    return np.ascontiguousarray(np.pad(scores, ((0, 0), (0, max(2 - kept, 0)))))


# --- drawing ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Dots:
    """One dot a distinct point, its area growing with the number of crystals there."""

    xy: np.ndarray
    inverse: np.ndarray
    counts: np.ndarray

    def mean(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(self.inverse, weights=values) / self.counts


def draw_map(comparison: Comparison, mapped: DescriptorMap, models: list[str], *, large: bool = True) -> Figure:
    """Panels of one map: label, predictions (one shared scale) and residuals (scale centred at zero).

    A dot stands for all crystals with the same descriptor; its colour is their mean, over all repeats.

    Parameters
    ----------
    comparison : Comparison
    mapped : DescriptorMap
    models : list of str
        Models that get a pair of panels.
    large : bool
        Whether the label gets a panel twice as large, at the left.
    """
    dots = _dots(mapped.points)
    truth = np.asarray(comparison.y, dtype=float)
    predictions = {name: mean_prediction(comparison, name) for name in models}
    residuals = {name: predicted - truth for name, predicted in predictions.items()}
    low, high = np.quantile(truth, [0.02, 0.98])
    widest = max((float(np.quantile(np.abs(r), 0.98)) for r in residuals.values()), default=0.0) or 1.0
    unit = f" / {comparison.label['unit']}" if comparison.label.get("unit") else ""
    columns = max(min(4, len(models)), 1)
    bands = math.ceil(len(models) / columns)
    with style():
        widths = ([2.06] if large else []) + [1.0] * columns + [0.06]
        figure = Figure(figsize=(2.75 * sum(widths) + 0.7, 5.9 * max(bands, 1)), layout="constrained")
        grid = figure.add_gridspec(2 * max(bands, 1), len(widths), width_ratios=widths)
        shift = int(large)
        value = _Scale("viridis", float(low), float(high))
        error = _Scale("PuOr_r", -widest, widest)
        if large:
            value.panel(figure.add_subplot(grid[:2, 0]), dots, truth, "label")
        for k, name in enumerate(models):
            row, column = 2 * (k // columns), k % columns + shift
            title = f"{shorten(name.removesuffix(f' · {mapped.descriptor}'), 30)}\nprediction"
            value.panel(figure.add_subplot(grid[row, column]), dots, predictions[name], title)
            error.panel(figure.add_subplot(grid[row + 1, column]), dots, residuals[name], "residual")
        value.bar(figure, figure.add_subplot(grid[0, -1]), f"label, predictions{unit}")
        if models:
            error.bar(figure, figure.add_subplot(grid[1, -1]), f"prediction − label{unit}")
    return figure


@dataclass(frozen=True)
class _Scale:
    """A colour scale shared by panels."""

    colours: str
    low: float
    high: float

    def panel(self, axes: Axes, dots: _Dots, values: np.ndarray, title: str) -> None:
        room = 9.0 if "\n" in title or title == "residual" else 22.0
        base = float(np.clip(room * 300 / max(len(dots.xy), 1), room / 2, 3 * room))
        x, y = dots.xy.T
        axes.scatter(
            x, y, c=dots.mean(values), s=base * np.sqrt(dots.counts), cmap=self.colours, vmin=self.low, vmax=self.high,
            linewidths=0.25, edgecolors=GREY, rasterized=True,
        )  # fmt: skip
        axes.set_title(title, fontsize=9, linespacing=1.3)
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)

    def bar(self, figure: Figure, axes: Axes, title: str) -> None:
        shades = ScalarMappable(Normalize(self.low, self.high), self.colours)
        figure.colorbar(shades, cax=axes, extend="both", extendfrac=0.03).set_label(title, fontsize=9)
        axes.ticklabel_format(useOffset=False)
        axes.tick_params(labelsize=8)


def _dots(points: np.ndarray) -> _Dots:
    xy, inverse, counts = np.unique(points, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")  # small dots on top
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return _Dots(xy[order], rank[inverse.ravel()], counts[order])


def mean_prediction(comparison: Comparison, model: str) -> np.ndarray:
    """Out-of-fold prediction of each crystal, shape (n,), in the order of ``ids``: the mean over repeats."""
    mine = comparison.predictions[comparison.predictions["model"] == model]
    return mine.groupby("id")["y_pred"].mean().reindex(list(comparison.ids)).to_numpy(dtype=float)
