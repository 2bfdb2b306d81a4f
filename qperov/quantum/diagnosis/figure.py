"""The figure of a kernel's diagnosis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from qperov.quantum.gram.matrix import off_diagonal

if TYPE_CHECKING:
    from qperov.quantum.diagnosis.diagnostics import KernelDiagnosis

#: Pairs drawn at most in the scatter; more are a blot.
MAX_POINTS = 5000

QUANTUM, CLASSICAL, NOISE = "#0b6e99", "#d1783c", "#f0b8a0"


def draw(diagnosis: KernelDiagnosis) -> Figure:
    """Four panels: entries with the shot-noise band, spectrum, matrix, and quantum against classical."""
    figure = Figure(figsize=(9.5, 7.6), layout="constrained")
    FigureCanvasAgg(figure)
    entries, eigenvalues, matrix, scatter = figure.subplots(2, 2).flat
    _draw_entries(entries, diagnosis)
    _draw_spectrum(eigenvalues, diagnosis)
    _draw_matrix(figure, matrix, diagnosis)
    _draw_scatter(scatter, diagnosis)
    for axes in (entries, eigenvalues, scatter):
        axes.spines[["top", "right"]].set_visible(False)
    state = "concentrated" if diagnosis.concentrated else "not concentrated"
    figure.suptitle(
        f"{type(diagnosis.kernel).__name__} of {len(diagnosis.K)} samples: {state}, "
        f"g = {diagnosis.geometric_difference:.3g}"
    )
    return figure


def _draw_entries(axes: Axes, diagnosis: KernelDiagnosis) -> None:
    mean, noise = diagnosis.statistics.mean, diagnosis.concentration.shot_noise
    axes.hist(off_diagonal(diagnosis.K), bins=60, color=QUANTUM, label="off-diagonal entries")
    axes.axvspan(
        mean - noise,
        mean + noise,
        color=NOISE,
        alpha=0.7,
        label=f"mean ± noise of {diagnosis.concentration.shots} shots",
    )
    axes.set(xlabel="kernel value", ylabel="pairs", title="Entries")
    axes.margins(y=0.3)
    axes.legend(framealpha=0.9, edgecolor="none", fontsize="small", loc="best")


def _draw_spectrum(axes: Axes, diagnosis: KernelDiagnosis) -> None:
    classical = np.linalg.eigvalsh(diagnosis.K_classical)[::-1]
    # Below the rounding of a double there is nothing to see.
    floor = len(classical) * np.finfo(float).eps
    numbers = np.arange(1, len(classical) + 1)
    for values, colour, label in (
        (diagnosis.eigenvalues, QUANTUM, f"quantum, effective rank {diagnosis.effective_rank:.3g}"),
        (classical, CLASSICAL, "classical"),
    ):
        shown = values > floor
        axes.semilogy(numbers[shown], values[shown], color=colour, marker=".", markersize=4, label=label)
    axes.axhline(1, color="0.7", linewidth=0.8, zorder=0, label="identity")
    axes.set(xlabel="index", ylabel="eigenvalue", title="Spectrum")
    axes.legend(framealpha=0.9, edgecolor="none", fontsize="small", loc="best")


def _draw_matrix(figure: Figure, axes: Axes, diagnosis: KernelDiagnosis) -> None:
    order = np.arange(len(diagnosis.K)) if diagnosis.y is None else np.argsort(diagnosis.y, kind="stable")
    image = axes.imshow(diagnosis.K[np.ix_(order, order)], vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
    figure.colorbar(image, ax=axes, shrink=0.9, label="kernel value")
    label = "samples" if diagnosis.y is None else "samples in order of the target"
    axes.set(xlabel=label, ylabel=label, title="Matrix")


def _draw_scatter(axes: Axes, diagnosis: KernelDiagnosis) -> None:
    quantum, classical = off_diagonal(diagnosis.K), off_diagonal(diagnosis.K_classical)
    chosen = np.random.default_rng(0).permutation(len(quantum))[:MAX_POINTS]
    axes.plot(classical[chosen], quantum[chosen], ".", color=QUANTUM, markersize=2, alpha=0.4, rasterized=True)
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8, zorder=0)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), title="Pairs of samples")
    axes.set_xlabel(_named("classical kernel", diagnosis.alignment_classical))
    axes.set_ylabel(_named("quantum kernel", diagnosis.alignment))


def _named(name: str, alignment: float | None) -> str:
    return name if alignment is None else f"{name} (target alignment {alignment:.2f})"
