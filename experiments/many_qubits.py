"""What becomes of a quantum kernel of crystals when it gets more qubits: concentration, rank, and the nearest Gaussian.

    python experiments/many_qubits.py            # to 127 qubits; two minutes of one core
    python experiments/many_qubits.py --quick    # to 32 qubits, on fewer crystals: seconds

One qubit takes one feature of a powder pattern: the columns of the descriptor that vary most from crystal to crystal,
no two of them correlated above 0.999, in the order of the descriptor (2θ, or hkl) along the line of qubits. No
principal components are taken, and no feature is used twice, so structure factors end where their distinct columns end.
In "profile, shuffled" the values of each column are permuted over the crystals: the same columns, but independent,
which is what random data would give.

For each number of qubits and bandwidth the table has the mean and the spread (standard deviation) of the matrix's
off-diagonal entries, the runs of a circuit that resolve the spread, the effective rank, and the closest Gaussian
kernel: the largest centred alignment with an RBF kernel of the same features, of any length scale. The spread is what
there is to learn from; a bandwidth that is too small makes all entries 1, one that is too large makes them 0.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from scipy.spatial.distance import pdist, squareform
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import qperov
from qperov.commands.screen import bar
from qperov.evaluation.splits import identical_rows
from qperov.quantum.gram.concentration import concentration, minimum_shots, off_diagonal_statistics
from qperov.quantum.gram.geometry import effective_rank
from qperov.reports.figures.style import DPI, FAINT, GREY, style
from qperov.storage.atomic import atomic_path
from qperov.studies.kernel_findings import likeness

#: Feature map → what scales its features, and bandwidths times the root of the number of qubits.
MAPS = {
    "ising_chain": (MinMaxScaler((0, 2)), np.geomspace(0.5, 64, 15)),
    "zz": (StandardScaler(), np.geomspace(1 / 64, 2, 15)),
}
KERNELS = {"fidelity": qperov.FidelityKernel, "projected": qperov.ProjectedKernel}
#: Length scales of the Gaussians among which the closest is looked for, in median distances of the crystals.
LENGTHS = np.geomspace(0.05, 20, 49)
#: Two columns with a larger correlation are one.
MOST_CORRELATED = 0.999
SHUFFLED = "profile, shuffled"
DESCRIPTORS = ("structure_factors", "profile")
#: Colours of the descriptors beside the profile.
OTHERS = {"structure_factors": "#d55e00", SHUFFLED: GREY}


@dataclass(frozen=True)
class Task:
    """Settings of the study.

    Attributes
    ----------
    crystals : int
        Drawn from the orderings of cpx321 that differ in their profiles.
    qubits : tuple of int
        Numbers of qubits, those that a descriptor has columns for.
    every : int
        Step in the list of bandwidths; 1 takes all.
    seed : int
        Of the draw and of the shuffled columns.
    """

    crystals: int = 100
    qubits: tuple[int, ...] = (4, 8, 16, 32, 64, 127)
    every: int = 1
    seed: int = 0


def features(task: Task) -> dict[str, np.ndarray]:
    """Descriptor → one row a crystal."""
    structures = qperov.load_dataset("cpx321").structures
    described = {kind: qperov.PXRDFeaturizer(kind).fit_transform(structures) for kind in DESCRIPTORS}
    rng = np.random.default_rng(task.seed)
    distinct = np.unique(identical_rows(described["profile"]), return_index=True)[1]
    drawn = rng.choice(np.sort(distinct), task.crystals, replace=False)
    found = {kind: table[drawn] for kind, table in described.items()}
    return found | {SHUFFLED: rng.permuted(found["profile"], axis=0)}


def columns(X: np.ndarray, most: int) -> np.ndarray:
    """Indices of the columns that vary most, no two of them correlated above the limit; at most so many."""
    spread = X.std(axis=0)
    order = [k for k in np.argsort(-spread, kind="stable") if spread[k] > 1e-6 * spread.max()]
    correlation = np.abs(np.corrcoef(X[:, order].T))
    chosen: list[int] = []
    for k in range(len(order)):
        if len(chosen) < most and (not chosen or correlation[k, chosen].max() <= MOST_CORRELATED):
            chosen.append(k)
    return np.array(order)[chosen]


def settings(task: Task) -> Iterator[tuple[str, np.ndarray, str, str, float]]:
    """Descriptor, its columns on the qubits, feature map, kernel and bandwidth of every row of the table."""
    tables = features(task)
    for descriptor, X in tables.items():
        chosen = columns(tables["profile"] if descriptor == SHUFFLED else X, max(task.qubits))
        for n in sorted({min(n, len(chosen)) for n in task.qubits}):
            for name, (scaler, scaled) in MAPS.items():
                on_qubits = scaler.fit_transform(X[:, np.sort(chosen[:n])])
                for kernel in KERNELS:
                    for b in scaled[:: task.every]:
                        yield descriptor, on_qubits, name, kernel, float(b / np.sqrt(n))


def diagnosis(X: np.ndarray, name: str, kernel: str, bandwidth: float) -> dict[str, float]:
    """One kernel matrix in numbers."""
    K = KERNELS[kernel](name, bandwidth=bandwidth, tolerance=1e-9)(X)
    squares = squareform(pdist(X, "sqeuclidean"))
    lengths = LENGTHS * np.sqrt(np.median(squares[squares > 0]))
    alike = [likeness(K, np.exp(-squares / (2 * length**2))) for length in lengths]
    return {
        "mean": off_diagonal_statistics(K).mean,
        "spread": concentration(K, 1024).spread,
        "minimum shots": minimum_shots(K),
        "effective rank": effective_rank(K),
        "closest RBF": max(alike),
        "its length scale": float(lengths[int(np.argmax(alike))]),
    }


def measured(task: Task) -> pd.DataFrame:
    """The table."""
    every = list(settings(task))
    rows = []
    with bar("kernel matrices") as progress:
        for done, (descriptor, X, name, kernel, bandwidth) in enumerate(every, 1):
            row = {
                "descriptor": descriptor,
                "map": name,
                "kernel": kernel,
                "qubits": X.shape[1],
                "bandwidth": bandwidth,
            }
            rows.append(row | diagnosis(X, name, kernel, bandwidth))
            progress(done, len(every), f"{descriptor}, {X.shape[1]} qubits")
    return pd.DataFrame(rows)


def widest(table: pd.DataFrame) -> pd.DataFrame:
    """Of every kernel and number of qubits, the bandwidth at which its entries are spread widest."""
    keys = ["descriptor", "map", "kernel", "qubits"]
    return table.loc[table.groupby(keys, sort=False)["spread"].idxmax()]


def draw(table: pd.DataFrame) -> Figure:
    """Spread, effective rank and closest Gaussian of each kernel against the bandwidth, one line a number of qubits."""
    quantities = {
        "spread": "spread of the entries",
        "effective rank": "effective rank",
        "closest RBF": "alignment, closest RBF",
    }
    kernels = list(table.groupby(["map", "kernel"], sort=False).groups)
    with style():
        figure = Figure(figsize=(10.5, 7.2), layout="constrained")
        panels = figure.subplots(len(quantities), len(kernels), sharex="col", sharey="row")
        for axes, label in zip(panels[:, 0], quantities.values(), strict=True):
            axes.set_ylabel(label)
        for column, (name, kernel) in zip(panels.T, kernels, strict=True):
            column[0].set_title(f"{name}, {kernel}")
            column[-1].set_xlabel("bandwidth × √qubits")
            for axes, quantity in zip(column, quantities, strict=True):
                draw_lines(axes, table[(table["map"] == name) & (table["kernel"] == kernel)], quantity)
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8.5)
    return figure


def draw_lines(axes: Axes, table: pd.DataFrame, quantity: str) -> None:
    """The profiles with all numbers of qubits, the other descriptors with the most that they have."""
    numbers = sorted(table.loc[table["descriptor"] == "profile", "qubits"].unique())
    shades = dict(zip(numbers, colormaps["viridis_r"](np.linspace(0.12, 1, len(numbers))), strict=True))
    for (descriptor, n), rows in table.groupby(["descriptor", "qubits"], sort=False):
        line: dict[str, Any]
        if descriptor == "profile":
            line = {"color": shades[n], "linewidth": 1.7}
        else:
            if n != table.loc[table["descriptor"] == descriptor, "qubits"].max():
                continue
            line = {"color": OTHERS[descriptor], "linewidth": 1.5, "linestyle": "--" if descriptor == SHUFFLED else ":"}
        label = f"{descriptor.replace('_', ' ')}, {n} qubits"
        axes.plot(rows["bandwidth"] * np.sqrt(n), rows[quantity], label=label, **line)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(color=FAINT, linewidth=0.6)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="40 crystals, up to 32 qubits, every third bandwidth")
    parser.add_argument("--out", type=Path, default=Path("many-qubits.csv"), help="the table (default: %(default)s)")
    parser.add_argument("--figure", type=Path, metavar="PNG", help="also draw the figure, to this file")
    given = parser.parse_args()
    table = measured(Task(40, (4, 8, 16, 32), 3) if given.quick else Task())
    with atomic_path(given.out) as temporary:
        table.to_csv(temporary, index=False)
    if given.figure:
        figure = draw(table)
        figure.set_dpi(DPI)
        with style(), atomic_path(given.figure) as temporary:
            FigureCanvasAgg(figure).print_png(temporary)
    pd.set_option("display.width", 200)
    print(widest(table).to_string(index=False, float_format="{:.3g}".format))
