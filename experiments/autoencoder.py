"""The quantum autoencoder on powder patterns: as published, and as it should have been.

    python experiments/autoencoder.py cpx321 --out qperov-runs/autoencoder

splits a dataset (a name, or a folder of crystals) by honest groups, trains encoders from 5 qubits to 4, 3, 2 and 1, and
writes tables (CSV) and figures (PNG and SVG): the loss curve, the density of the fidelity and the parity of the energy
heads, each with its baselines; fidelity against the size of the code; noise; and what a gradient is worth at 4 to 8
qubits.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from sklearn.model_selection import GroupShuffleSplit

import qperov
from qperov.evaluation.splits import honest_groups
from qperov.quantum.autoencoder.autoencoder import QuantumAutoencoder
from qperov.quantum.autoencoder.compression import amplitudes, constant_state_fidelities
from qperov.quantum.autoencoder.trainability import trainability
from qperov.reports.figures.style import COLOURS, GREY, INK, save, style
from qperov.studies.autoencoder_findings import AutoencoderFindings, autoencoder_findings, compression_curve

#: What the paper reports for its test set.
REPORTED_FIDELITY = 0.9887

#: Peaks above it are left out of the vectors.
HIGHEST_INTENSITY = 70.0

#: One colour a split: training, test.
SPLIT_COLOURS = (COLOURS["classical"], COLOURS["quantum"])
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
SHADES = ("#d55e00", "#e69f00", "#009e73", "#56b4e9", "#cc79a7", "#0072b2")


@dataclass(frozen=True)
class Task:
    """Settings of the experiment.

    Attributes
    ----------
    dataset : str
        Name of an embedded dataset, or a folder or file of crystals.
    out : Path
        Folder that receives tables and figures.
    labels, target : str or None
        Of a dataset that is read from files.
    test_size : float
        Share of the groups that is held out.
    epochs, curve_epochs : int
        Of the encoders from 5 qubits, and of those at every size.
    starts : int
        Random starts of the published training.
    most : int or None
        Crystals taken at most.
    seed : int
    """

    dataset: str = "cpx321"
    out: Path = Path("qperov-runs/autoencoder")
    labels: str | None = None
    target: str | None = None
    test_size: float = 0.25
    epochs: int = 500
    curve_epochs: int = 80
    starts: int = 10
    most: int | None = None
    seed: int = 0


def load(task: Task) -> qperov.datasets.CrystalDataset:
    """One crystal a symmetry class."""
    if Path(task.dataset).exists():
        settings = {name: getattr(task, name) for name in ("labels", "target") if getattr(task, name) is not None}
        return qperov.read(task.dataset, **settings).one_per_class()
    return qperov.load_dataset(task.dataset)


def split(X: np.ndarray, groups: np.ndarray, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Rows for training and test: no symmetry class and no two equal vectors on both sides."""
    honest = honest_groups(groups, [X])
    splitter = GroupShuffleSplit(1, test_size=task.test_size, random_state=task.seed)
    train, test = next(splitter.split(X, groups=honest))
    print(f"{len(train)} and {len(test)} crystals, {len(set(honest[train]))} and {len(set(honest[test]))} groups")
    return train, test


def vectors_of_every_size(
    dataset: qperov.datasets.CrystalDataset, sizes: Sequence[int] = (4, 5, 6, 7, 8)
) -> dict[int, np.ndarray]:
    """I / 2θ of the first 16 to 256 peaks below I = 70, weak ones included, up to 180°.

    The published vector leaves weak peaks out; 32 amplitudes are then more than it fills.
    """
    patterns = qperov.powder_patterns(dataset.structures, two_theta_range=(0, 180))
    found = {n: np.zeros((len(patterns), 2**n)) for n in sizes}
    for i, pattern in enumerate(patterns):
        kept = pattern.intensity < HIGHEST_INTENSITY
        z = pattern.intensity[kept] / pattern.two_theta[kept]
        for n, vectors in found.items():
            vectors[i, : len(z)] = z[: 2**n]
    return found


def published_starts(X_train: np.ndarray, X_test: np.ndarray, task: Task) -> pd.DataFrame:
    """The published training from angles near zero and from anywhere: where it ends depends on where it began."""
    rows = []
    for spread in (QuantumAutoencoder().initial_spread, float(np.pi)):
        for seed in range(task.starts):
            model = QuantumAutoencoder(mode="published", initial_spread=spread, random_state=seed).fit(X_train)
            history = model.loss_history_
            print(f"start {seed}, spread {spread:.2f}: loss {history[-1]:.4f}", flush=True)
            rows.append(
                {
                    "initial_spread": spread,
                    "seed": seed,
                    "loss_start": history[0],
                    "loss_end": history[-1],
                    "test": model.score(X_test),
                }
            )
    return pd.DataFrame(rows)


# --- figures ------------------------------------------------------------------------------------


def plain_powers(axis: Axis, base: int = 10) -> None:
    """Label a logarithmic axis with superscripts; mathematical text is switched off in our figures."""

    def label(value: float, position: int | None = None) -> str:
        exponent = round(np.log(value) / np.log(base))
        return f"{base}{str(exponent).translate(SUPERSCRIPTS)}" if exponent else "1"

    axis.set_major_formatter(FuncFormatter(label))
    axis.set_minor_formatter(NullFormatter())


def draw_losses(findings: AutoencoderFindings, constant_loss: float) -> Figure:
    """Training loss against passes, both axes logarithmic, with that of the best constant state."""
    with style():
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.subplots()
        for (name, curve), colour in zip(findings.losses.groupby("model", sort=False), SHADES[::-1], strict=False):
            axes.plot(curve["epoch"] + 1, curve["loss"], color=colour, linewidth=1.8, label=name)
        axes.axhline(constant_loss, color=GREY, linewidth=1.1, linestyle=(0, (5, 2)), label="one constant state")
        axes.set_xscale("log")
        axes.set_yscale("log")
        plain_powers(axes.xaxis)
        plain_powers(axes.yaxis)
        axes.set_xlabel("1 + passes over the training samples")
        axes.set_ylabel("loss: trash not in |0…0⟩")
        axes.legend(fontsize=8.5, loc="lower left")
    return figure


def draw_fidelities(findings: AutoencoderFindings) -> Figure:
    """Density of 1 − fidelity on a logarithmic axis, training and test, with baselines and the paper's value."""
    with style():
        names = list(dict.fromkeys(findings.fidelities["model"]))
        figure = Figure(figsize=(3.4 * len(names) + 0.4, 3.6), layout="constrained")
        panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        infidelity = np.clip(1 - findings.fidelities["fidelity"], 1e-7, 1)
        edges = np.linspace(np.log10(infidelity.min()) - 0.1, 0, 28)
        for axes, name in zip(panels, names, strict=True):
            mine = findings.fidelities["model"] == name
            for part, colour in zip(("train", "test"), SPLIT_COLOURS, strict=True):
                values = np.log10(infidelity[mine & (findings.fidelities["split"] == part)])
                axes.hist(values, edges, density=True, color=colour, alpha=0.55, label=part)
            row = findings.compression.set_index("model").loc[name]
            marks = (("constant state", row["constant"], (0, (5, 2))), ("reported", REPORTED_FIDELITY, (0, (1, 1.5))))
            for label, fidelity, dashes in marks:
                axes.axvline(np.log10(1 - fidelity), color=INK, linewidth=1.1, linestyle=dashes, label=label)
            axes.set_title(f"{name}: {row['train']:.5f} train, {row['test']:.5f} test", fontsize=9)
            ticks = np.arange(np.ceil(edges[0]), 1)
            axes.set_xticks(ticks, [f"{1 - 10**tick:.{-int(tick)}f}" for tick in ticks])
            axes.tick_params(axis="x", labelsize=8, rotation=40)
            axes.invert_xaxis()
        panels[0].set_ylabel("density of samples")
        figure.supxlabel("fidelity", fontsize=9.5)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(handles), fontsize=8.5)
    return figure


def draw_parity(findings: AutoencoderFindings, unit: str) -> Figure | None:
    """Predicted against true energies relative to the median, training and test, with the median's line."""
    if findings.predictions is None or findings.energy is None:
        return None
    with style():
        names = list(dict.fromkeys(findings.predictions["model"]))[1:]
        figure = Figure(figsize=(6.2, 3.1 * len(names) + 0.3), layout="constrained")
        grid = figure.subplots(len(names), 2, sharex=True, sharey=True, squeeze=False)
        true = findings.predictions["true"]
        median = float(findings.predictions["predicted"].iloc[0])
        low, high = true.min() - median - 0.1, true.max() - median + 0.1
        scores = findings.energy.set_index(["model", "split"])
        for row, name in zip(grid, names, strict=True):
            for axes, part, colour in zip(row, ("train", "test"), SPLIT_COLOURS, strict=True):
                mine = findings.predictions.query("model == @name and split == @part")
                axes.axline((0, 0), slope=1, color=GREY, linewidth=1, linestyle=(0, (5, 2)))
                axes.axhline(0, color=GREY, linewidth=1, linestyle=(0, (1, 1.5)))
                axes.scatter(mine["true"] - median, mine["predicted"] - median, s=6, alpha=0.4, color=colour, lw=0)
                score, base = scores.loc[(name, part)], scores.loc[(scores.index[0][0], part)]
                axes.set_title(
                    f"{name}, {part}\nMAE {score['mae']:.3f} (median {base['mae']:.3f})   R² {score['r2']:.2f}",
                    fontsize=9,
                )
                axes.set_xlim(low, high)
                axes.set_ylim(low, high)
                axes.set_aspect("equal")
        figure.supxlabel(f"true energy − median / {unit}", fontsize=9.5)
        figure.supylabel(f"predicted − median / {unit}", fontsize=9.5)
    return figure


def draw_compression(curve: pd.DataFrame) -> Figure:
    """Test infidelity against the size of the code, one panel a size of input, beside baselines and bound."""
    with style():
        sizes = sorted(curve["n_qubits"].unique())
        figure = Figure(figsize=(max(2.3 * len(sizes) + 0.7, 6.4), 3.5), layout="constrained")
        panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
        for axes, n in zip(panels, sizes, strict=True):
            rows = curve[curve["n_qubits"] == n].sort_values("code_qubits")
            lines = (
                ("constant state", "constant", GREY, "", (0, (5, 2))),
                ("bound of the spectrum", "bound", INK, "", "-"),
                ("linear autoencoder", "linear", COLOURS["classical"], "o", "-"),
                ("entangling encoder", "test", COLOURS["quantum"], "D", "-"),
            )
            for label, column, colour, marker, dashes in lines:
                infidelity = np.clip(1 - rows[column], 1e-10, 1)
                axes.plot(
                    rows["code_qubits"], infidelity, color=colour, marker=marker, markersize=5, linestyle=dashes,
                    linewidth=1.5, label=label,
                )  # fmt: skip
            axes.set_yscale("log")
            plain_powers(axes.yaxis)
            axes.set_xticks(rows["code_qubits"])
            axes.set_title(f"{n} qubits, {2**n} amplitudes", fontsize=9)
        panels[0].set_ylabel("1 − mean fidelity, test")
        figure.supxlabel("qubits of the code", fontsize=9.5)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4 if len(sizes) > 1 else 2, fontsize=8.5)
    return figure


def draw_trainability(table: pd.DataFrame) -> Figure:
    """Variance of the gradient against qubits, by depth, for one trash qubit and for one code qubit."""
    with style():
        figure = Figure(figsize=(6.2, 4.0), layout="constrained")
        axes = figure.subplots()
        entangling = table[table["ansatz"] == "entangling"]
        deepest = entangling["layers"].max()
        for depth, rows in entangling.groupby("layers"):
            for local, colour in ((True, COLOURS["quantum"]), (False, COLOURS["classical"])):
                mine = rows[(rows["code_qubits"] == (rows["n_qubits"] - 1 if local else 1))]
                kind = "one trash qubit" if local else "one code qubit"
                axes.plot(
                    mine["n_qubits"], mine["variance"], color=colour, marker="D" if local else "o", markersize=5,
                    linestyle="-" if depth == deepest else (0, (4, 2)), label=f"{kind}, layers: {depth}",
                )  # fmt: skip
        published = table[table["ansatz"] == "published"]
        axes.plot(published["n_qubits"], published["variance"], "*", color=INK, markersize=11, label="published")
        axes.set_yscale("log", base=2)
        plain_powers(axes.yaxis, 2)
        axes.set_xticks(sorted(table["n_qubits"].unique()))
        axes.set_xlabel("qubits")
        axes.set_ylabel("variance of a derivative of the loss")
        axes.legend(fontsize=8.5, handlelength=3)
    return figure


def draw_noise(noise: pd.DataFrame) -> Figure:
    """Loss on the test samples under each noise, encoder alone and with a noisy preparation."""
    with style():
        names = list(dict.fromkeys(noise["model"]))
        figure = Figure(figsize=(3.6 * len(names) + 2.2, 3.6), layout="constrained")
        panels = figure.subplots(1, len(names), sharey=True, sharex=True, squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            rows = noise[noise["model"] == name].reset_index(drop=True)
            at = np.arange(len(rows))
            axes.barh(at - 0.19, rows["encoder"], 0.36, color=COLOURS["quantum"], label="noisy encoder")
            axes.barh(at + 0.19, rows["preparation"], 0.36, color=COLOURS["classical"], label="noisy preparation too")
            labels = [
                ", ".join(
                    f"{short} {row[column]:g}"
                    for short, column in (("p", "depolarising"), ("γ", "amplitude_damping"), ("r", "readout"))
                    if row[column]
                )
                or "no noise"
                for _, row in rows.iterrows()
            ]
            axes.set_yticks(at, labels)
            axes.set_title(f"{name}, {rows['n_gates'].iloc[0]} gates", fontsize=9)
        panels[0].invert_yaxis()
        figure.supxlabel("loss on test samples (p depolarising, γ damping, r readout)", fontsize=9.5)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=8.5)
    return figure


def main(task: Task) -> None:
    """Train, print the tables, write everything."""
    task.out.mkdir(parents=True, exist_ok=True)
    dataset = load(task)
    if task.most is not None and task.most < len(dataset):
        rows = np.random.default_rng(task.seed).choice(len(dataset), task.most, replace=False)
        dataset = dataset.take(np.sort(rows))
    X = qperov.PXRDFeaturizer("autoencoder").fit_transform(dataset.structures)
    train, test = split(X, dataset.groups, task)
    labels = () if dataset.y is None else (dataset.y[train], dataset.y[test])
    print("training encoders from 5 qubits to 4, 3, 2 and 1 …", flush=True)
    findings = autoencoder_findings(X[train], X[test], *labels, epochs=task.epochs, seed=task.seed)
    print("training from other starts, for other sizes, and measuring gradients …", flush=True)
    sizes = vectors_of_every_size(dataset)
    tables = {
        "compression": findings.compression,
        "losses": findings.losses,
        "noise": findings.noise,
        "starts": published_starts(X[train], X[test], task),
        "sizes": compression_curve(
            {n: (vectors[train], vectors[test]) for n, vectors in sizes.items()},
            epochs=task.curve_epochs,
            seed=task.seed,
        ),
        "trainability": trainability(random_state=task.seed),
    }
    if findings.energy is not None:
        tables["energy"] = findings.energy
    for name, table in tables.items():
        table.to_csv(task.out / f"{name}.csv", index=False)
        if name != "losses":
            print(f"\n{name}\n{table.to_string(index=False)}")
    print("\nangles without effect:", findings.dead)
    states = amplitudes(X[train], int(findings.compression["n_qubits"].iloc[0]))
    constant_loss = float(1 - (constant_state_fidelities(states, states) ** 2).mean())
    figures = {
        "losses": draw_losses(findings, constant_loss),
        "fidelities": draw_fidelities(findings),
        "parity": draw_parity(findings, dataset.unit or ""),
        "compression": draw_compression(findings.compression[findings.compression["model"].str.startswith("ent")]),
        "sizes": draw_compression(tables["sizes"]),
        "trainability": draw_trainability(tables["trainability"]),
        "noise": draw_noise(findings.noise),
    }
    for name, figure in figures.items():
        if figure is not None:
            save(figure, task.out / name)
    print(f"tables and figures: {task.out}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", default=Task.dataset, help="cpx321, or a folder of crystals")
    parser.add_argument("--out", type=Path, default=Task.out)
    parser.add_argument("--labels", help="CSV of labels, for crystals from files")
    parser.add_argument("--target", help="column of the labels")
    parser.add_argument("--seed", type=int, default=Task.seed)
    parser.add_argument("--quick", action="store_true", help="150 crystals, few epochs: about a minute")
    given = parser.parse_args()
    task = Task(given.dataset, given.out, given.labels, given.target, seed=given.seed)
    main(replace(task, epochs=10, curve_epochs=4, starts=1, most=150) if given.quick else task)
