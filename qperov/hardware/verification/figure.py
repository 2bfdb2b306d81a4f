"""The figure of a verification."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from qperov.hardware.verification.verification import Verification

#: Points drawn at most in the scatter; more are a blot.
MAX_POINTS = 5000

MEASURED, PREDICTED, GREY = "#0b6e99", "#d1783c", "0.7"


def draw(verification: Verification) -> Figure:
    """Four panels: measured against exact values, contrast of the wires, of neighbours, and samples that deviate."""
    figure = Figure(figsize=(9.5, 7.2), layout="constrained")
    FigureCanvasAgg(figure)
    values, wires, neighbours, samples = figure.subplots(2, 2).flat
    _draw_values(values, verification)
    _draw_wires(wires, verification)
    _draw_errors(
        neighbours, verification.neighbours, verification.neighbours_errors, verification.outlying_neighbours(), 1.0
    )
    neighbours.set(xlabel="first wire of two that follow each other", ylabel="⟨ZZ⟩ over the product of their own")
    neighbours.set_title("Errors of neighbours together")
    _draw_errors(samples, verification.samples, np.ones(len(verification.samples)), verification.outlying_samples(), 0)
    samples.set(xlabel="sample", ylabel="mean deviation, standard errors", title="Samples")
    for axes in (values, wires, neighbours, samples):
        axes.spines[["top", "right"]].set_visible(False)
    plan = verification.plan
    for axes in (wires, neighbours, samples):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(f"{plan.kind} on {plan.n_qubits} qubits of {plan.backend.name}, {plan.shots} shots")
    return figure


def _draw_values(axes: Axes, verification: Verification) -> None:
    name, measured = list(verification.measured.items())[-1]
    agreement = next(found for found in verification.agreements if found.name == name)
    exact, shown = verification.exact.ravel(), measured.ravel()
    known = np.flatnonzero(np.isfinite(shown))
    known = np.random.default_rng(0).permutation(known)[:MAX_POINTS]
    axes.plot(exact[known], shown[known], ".", color=MEASURED, markersize=3, alpha=0.5, rasterized=True)
    ends = np.array([exact.min(), exact.max()])
    floor = 2.0**-verification.plan.n_qubits if verification.plan.kind == "fidelity" else 0.0
    axes.plot(ends, ends, color=GREY, linewidth=0.8, zorder=0, label="equal")
    line = agreement.survival * ends + (1 - agreement.survival) * floor
    axes.plot(ends, line, color=PREDICTED, linewidth=1.2, label=f"survival {agreement.survival:.3f}")
    axes.set(xlabel="exact", ylabel=f"measured ({name})", title="Values")
    axes.legend(frameon=False, fontsize="small")


def _draw_wires(axes: Axes, verification: Verification) -> None:
    contrast, errors = verification.contrast, verification.contrast_errors
    _draw_errors(axes, contrast, errors, verification.outlying_wires(), None)
    prediction = verification.plan.prediction
    if prediction is not None:
        promised = np.array(prediction.contrast) * (1 - 2 * np.array(prediction.misread))
        axes.plot(promised, "_", color=PREDICTED, markersize=8, label="by the calibration")
        axes.legend(frameon=False, fontsize="small")
    axes.set(xlabel="wire", ylabel="share of ⟨Z⟩ that is left", title="Qubits, as they are read")


def _draw_errors(axes: Axes, values: np.ndarray, errors: np.ndarray, outlying: np.ndarray, level: float | None) -> None:
    axes.errorbar(np.arange(len(values)), values, errors, fmt=".", color=MEASURED, ecolor=GREY, markersize=5)
    axes.plot(outlying, values[outlying], "o", mfc="none", color=PREDICTED, markersize=9)
    if level is not None:
        axes.axhline(level, color=GREY, linewidth=0.8, zorder=0)
