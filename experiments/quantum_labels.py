"""For which labels of crystals would a quantum kernel be ahead, and how far are real labels from them?

    python experiments/quantum_labels.py            # 10, 25 and 60 qubits; a minute of one core
    python experiments/quantum_labels.py --quick    # 10 and 25 qubits, few draws: seconds

One qubit takes one column of the powder profiles of cpx321, as in many_qubits.py, standardised. Labels are drawn from a
Gaussian process whose covariance is the quantum kernel at one bandwidth: nothing can predict them better than that
kernel. Then the same kernel, with its bandwidth to be found, and classical kernels learn from half of the crystals;
the widths of all of them, 13 each, and their noise are chosen by marginal likelihood. "engineered" labels are the one
direction in which the kernel differs most from the closest Gaussian (geometric difference). Real labels are the
energies of the same crystals.

The table has, for each map, number of qubits and bandwidth, the R² of the quantum kernel, of its separable twin and of
the best classical kernel (the best by its scores, which favours the classical side), and the alignment of the labels
with the quantum matrix: for labels that are drawn from it, and for the energies.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import few_samples as few
import many_qubits as many
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from scipy.spatial.distance import pdist, squareform
from sklearn.preprocessing import StandardScaler

import qperov
from qperov.commands.screen import bar
from qperov.evaluation.splits import identical_rows
from qperov.quantum.gram.geometry import geometric_difference, kernel_target_alignment
from qperov.reports.figures.style import COLOURS, FAINT, style
from qperov.studies.surrogate_kernels import closed_form, closest_gaussian, separable_twin

#: Widths among which marginal likelihood chooses: multiples of the bandwidth that made the labels, or of the median
#: distance.
WIDTHS = tuple(np.geomspace(1 / 8, 8, 13).tolist())
#: Noise of labels, by their variance.
NOISE = 0.01
MAPS = ("iqp", "zz")
#: Gaps that the figure shows, and R² of the quantum kernel below which it shows none: where the matrix is nearly the
#: identity, R² may be far below zero for all.
GAPS, LEAST_R2 = (-0.2, 0.65), -1.0
#: Regularisation of g.
LAMBDA = 0.01
#: Kinds of labels, with the colour and the line of each.
KINDS = {
    "drawn": (COLOURS["quantum"], "o-"), "engineered": (COLOURS["reference"], "s--"),
    "energies": (COLOURS["classical"], "D:"),
}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """Settings of the experiment.

    Attributes
    ----------
    crystals, train : int
        Drawn from the orderings of cpx321 that differ in their profiles, and how many of them are learnt from.
    qubits : tuple of int
    bandwidths : tuple of float
        Times the root of the number of qubits.
    draws : int
        Of labels and of the crystals that are learnt from.
    seed : int
    """

    crystals: int = 160
    train: int = 80
    qubits: tuple[int, ...] = (10, 25, 60)
    bandwidths: tuple[float, ...] = (0.1, 0.4, 1.6)
    draws: int = 8
    seed: int = 0


def crystals(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Profiles and energies (meV/atom) of crystals that differ in their profiles."""
    dataset = qperov.load_dataset("cpx321")
    profiles = qperov.PXRDFeaturizer("profile").fit_transform(dataset.structures)
    distinct = np.sort(np.unique(identical_rows(profiles), return_index=True)[1])
    rows = np.random.default_rng(task.seed).choice(distinct, task.crystals, replace=False)
    return profiles[rows], np.asarray(dataset.y)[rows]


def classical_matrices(kernel: qperov.FidelityKernel, X: np.ndarray) -> dict[str, np.ndarray]:
    """Classical kernels, each with all `WIDTHS`; the twin and its closed form in units of the kernel's bandwidth."""
    distances = squareform(pdist(X))
    far = distances / np.median(distances[distances > 0])
    city = squareform(pdist(X, "cityblock"))
    city /= np.median(city[city > 0])

    def of_widths(make: Callable[[float], np.ndarray]) -> np.ndarray:
        return np.array([make(width) for width in WIDTHS])

    def matern(width: float) -> np.ndarray:
        scaled = np.sqrt(3) * far / width
        return (1 + scaled) * np.exp(-scaled)

    def twin(width: float) -> np.ndarray:
        return separable_twin(wider(kernel, width), X.shape[1])(X)

    return {
        "separable twin": of_widths(twin),
        "closed form": of_widths(lambda width: closed_form(wider(kernel, width), X)),
        "Gaussian": of_widths(lambda width: np.exp(-0.5 * (far / width) ** 2)),
        "Matérn 3/2": of_widths(matern),
        "Laplacian": of_widths(lambda width: np.exp(-city / width)),
    }


def wider(kernel: qperov.FidelityKernel, width: float) -> qperov.FidelityKernel:
    """The kernel with a bandwidth that is smaller by a factor."""
    return qperov.FidelityKernel(kernel.feature_map, bandwidth=kernel.bandwidth / width)


def drawn_labels(K: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Labels of a Gaussian process with covariance K, with noise."""
    eigenvalues, U = np.linalg.eigh(K)
    values = (U * np.sqrt(eigenvalues.clip(0))) @ random.normal(size=len(K))
    return values + np.sqrt(NOISE) * values.std() * random.normal(size=len(K))


def engineered_labels(K: np.ndarray, gaussian: np.ndarray) -> np.ndarray:
    """√K v, v leading in √K (L + λ1)⁻¹ √K for the Gaussian L, both centred: the same for all draws."""
    n = len(K)
    centre = np.eye(n) - 1 / n
    eigenvalues, U = np.linalg.eigh(centre @ K @ centre)
    root = (U * np.sqrt(eigenvalues.clip(0))) @ U.T
    inverse = np.linalg.inv(centre @ gaussian @ centre + LAMBDA * np.eye(n))
    return root @ np.linalg.eigh(root @ inverse @ root)[1][:, -1]


def r2(matrices: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    """R² on the test crystals of the most likely Gaussian process."""
    predicted, _ = few.most_likely_regression(matrices, y[:, None], y[train].mean(keepdims=True), train, test)
    return float(1 - np.sum((y[test] - predicted[:, 0]) ** 2) / np.sum((y[test] - y[test].mean()) ** 2))


def one_setting(task: Task, name: str, scaled: float, X: np.ndarray, energies: np.ndarray) -> list[dict[str, object]]:
    """The rows of a map on so many qubits at one bandwidth."""
    kernel = qperov.FidelityKernel(name, bandwidth=scaled / np.sqrt(X.shape[1]))
    quantum = np.array([wider(kernel, width)(X) for width in WIDTHS])
    K = quantum[WIDTHS.index(min(WIDTHS, key=lambda width: abs(width - 1)))]
    families = {"quantum": quantum, **classical_matrices(kernel, X)}
    gaussian = closest_gaussian(K, X)
    fixed = {"engineered": engineered_labels(K, gaussian), "energies": energies}
    rows = []
    for labels in KINDS:
        scores: dict[str, list[float]] = {family: [] for family in families}
        alignments = []
        for draw in range(task.draws):
            random = np.random.default_rng([task.seed, draw])
            order = random.permutation(len(X))
            train, test = order[: task.train], order[task.train :]
            y = drawn_labels(K, random) if labels == "drawn" else fixed[labels]
            alignments.append(kernel_target_alignment(K, y))
            for family, matrices in families.items():
                scores[family].append(r2(matrices, y, train, test))
        table = pd.DataFrame(scores)
        best = table.drop(columns="quantum").mean().idxmax()
        gap = table["quantum"] - table[best]
        half = 1.96 * gap.std() / np.sqrt(len(gap))
        row = {"map": name, "qubits": X.shape[1], "bandwidth × √qubits": scaled, "labels": labels}
        row |= {"quantum": table["quantum"].mean(), "separable twin": table["separable twin"].mean()}
        row |= {"best classical": table[best].mean(), "which": best, "gap": gap.mean(), "± gap": half}
        row |= {"alignment": float(np.mean(alignments)), "g": geometric_difference(gaussian, K, LAMBDA)}
        rows.append(row)
    return rows


def measured(task: Task) -> pd.DataFrame:
    """The table."""
    profiles, energies = crystals(task)
    order = many.columns(profiles, max(task.qubits))
    every = [(name, n, scaled) for name in MAPS for n in task.qubits for scaled in task.bandwidths]
    rows = []
    with bar("labels") as progress:
        for done, (name, n, scaled) in enumerate(every, 1):
            X = StandardScaler().fit_transform(profiles[:, np.sort(order[:n])])
            rows += one_setting(task, name, scaled, X, energies)
            progress(done, len(every), f"{name}, {n} qubits")
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame) -> Figure:
    """The gap in R² for three kinds of labels, and their alignment, against the bandwidth."""
    numbers = sorted(set(table["qubits"]))
    shown = {"gap": "R², quantum − best classical", "alignment": "alignment with the quantum matrix"}
    with style():
        figure = Figure(figsize=(10.0, 3.2 * len(MAPS)), layout="constrained")
        panels = figure.subplots(len(MAPS), len(shown), sharex=True, sharey="col")
        for row, name in zip(panels, MAPS, strict=True):
            for axes, (column, title) in zip(row, shown.items(), strict=True):
                for (labels, n), line in table[table["map"] == name].groupby(["labels", "qubits"], sort=False):
                    colour, dashes = KINDS[labels]
                    alpha = 0.35 + 0.65 * numbers.index(n) / max(1, len(numbers) - 1)
                    look = {"color": colour, "alpha": alpha, "label": f"{labels}, {n} qubits"}
                    values = line[column].where(line["quantum"] > LEAST_R2)
                    axes.plot(line["bandwidth × √qubits"], values, dashes, markersize=4, **look)
                axes.set_xscale("log")
                axes.xaxis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:g}"))
                axes.xaxis.set_minor_formatter(NullFormatter())
                axes.set_title(f"{name}: {title}")
                axes.grid(color=FAINT, linewidth=0.6)
        panels[0][0].set_ylim(*GAPS)
        for axes in panels[-1]:
            axes.set_xlabel("bandwidth × √qubits")
        figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8.5)
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="120 crystals, 10 and 25 qubits, 4 draws")
    parser.add_argument("--out", type=Path, default=Path("qperov-runs/quantum-labels"), help="folder of the table")
    parser.add_argument("--figure", type=Path, metavar="PNG", help="also draw the figure, to this file")
    given = parser.parse_args()
    found = measured(Task(120, 60, (10, 25), draws=4) if given.quick else Task())
    few.save_and_print({"quantum-labels": found}, given.out)
    if given.figure:
        few.save_png(draw(found), given.figure)
