"""The papers' figures of a training and of its errors; double_perovskites.py and reproduce_matganip.py draw them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

#: Where neither network can gain: D = 1/2, L_D = 2 ln 2.
OPTIMAL_D, OPTIMAL_LOSS = 0.5, 2 * float(np.log(2))
#: Steps in the running mean drawn over the single ones, as a share of all.
SMOOTHING = 0.03

TRAIN, TEST, LINE = "#0b6e99", "#d1783c", "#4a4a4a"


def draw_training(history: Mapping[str, list[float]], title: str = "") -> Figure:
    """D(x_f) and L_D against step, with the lines 1/2 and 2 ln 2 of the optimum.

    Parameters
    ----------
    history : mapping of str to list of float
        ``WSPGAN.history_``.
    title : str
    """
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _draw_steps(left, history["d_fake"], OPTIMAL_D, "optimum: 1/2", "D(x_f)", TRAIN)
    left.set_ylim(0, 1)
    _draw_steps(right, history["loss_d"], OPTIMAL_LOSS, "optimum: 2 ln 2 = 1.3863", "L_D", TEST)
    figure.suptitle(title)
    return figure


def draw_errors(
    train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], unit: str, title: str = ""
) -> Figure:
    """Box plots of |prediction − truth| and of the error rate |prediction − truth| / |truth|, on train and on test.

    Boxes hold the middle half, whiskers reach to the 5th and 95th percentile, diamonds are means. Beside each pair
    stands what the median of the training labels scores.

    Parameters
    ----------
    train, test : (truth, prediction)
        Arrays of shape (n,) each.
    unit : str
    title : str

    Raises
    ------
    ValueError
        A truth is zero: it has no error rate.
    """
    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    constant = float(np.median(train[0]))
    groups = {
        "train": train,
        "test": test,
        "constant,\ntrain": (train[0], np.full_like(train[0], constant)),
        "constant,\ntest": (test[0], np.full_like(test[0], constant)),
    }
    if any((truth == 0).any() for truth, _ in groups.values()):
        raise ValueError("a label is zero, and has no error rate")
    errors = {name: np.abs(prediction - truth) for name, (truth, prediction) in groups.items()}
    rates = {name: 100 * errors[name] / np.abs(truth) for name, (truth, _) in groups.items()}
    left, right = figure.subplots(1, 2)
    _draw_boxes(left, errors, f"absolute error ({unit})")
    _draw_boxes(right, rates, "error rate (%)")
    figure.suptitle(title)
    return figure


def _draw_steps(axes: Axes, values: list[float], optimum: float, label: str, name: str, colour: str) -> None:
    steps = np.arange(1, len(values) + 1)
    width = max(1, round(SMOOTHING * len(values)))
    axes.plot(steps, values, color=colour, linewidth=0.6, alpha=0.35, label="each step")
    if len(values) >= 2 * width:
        smooth = np.convolve(values, np.ones(width) / width, mode="valid")
        middle = steps[: len(smooth)] + (width - 1) / 2
        axes.plot(middle, smooth, color=colour, linewidth=1.6, label=f"mean of {width} steps")
    axes.axhline(optimum, color=LINE, linestyle="--", linewidth=1.0, label=label)
    axes.set(xlabel="step", ylabel=name, xlim=(1, max(2, len(values))))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small", ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))


def _draw_boxes(axes: Axes, groups: dict[str, np.ndarray], label: str) -> None:
    boxes = axes.boxplot(
        list(groups.values()),
        tick_labels=[f"{name}\nmean {values.mean():.3g}" for name, values in groups.items()],
        whis=(5, 95),
        showfliers=False,
        showmeans=True,
        patch_artist=True,
        widths=0.55,
        medianprops={"color": "black", "linewidth": 1.8},
        meanprops={"marker": "D", "markerfacecolor": "white", "markeredgecolor": "black", "markersize": 5},
    )
    for box, colour in zip(boxes["boxes"], (TRAIN, TEST, "#c9d3d8", "#ecd5c4"), strict=True):
        box.set_facecolor(colour)
    axes.tick_params(axis="x", labelsize="small")
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    print(__doc__)
