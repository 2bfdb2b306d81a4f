"""From structures to films: can simulated scans tell the space group of a perovskite film that was measured?

    python experiments/films.py --figure docs/films.png

Crystals of seven structure types are drawn, their scans simulated with texture, displacement, noise and lines of other
phases, and models learn from these alone, from these and measured films, or from measured films alone; on profiles and
on lists of peaks. The films of one family (one series, one batch) are always left out together: no model names a film
whose siblings it has seen. Scores are over the classes of which two families or more were measured; the others are
known from simulation only, and are counted apart. The figure shows scores against the number of measured films.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.base import ClassifierMixin, clone
from sklearn.metrics import accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

import qperov
from qperov.commands import screen
from qperov.datasets.film_simulation import standard_symbol
from qperov.datasets.pattern_dataset import PatternDataset
from qperov.descriptors.scans.lines import LineProfile
from qperov.descriptors.scans.space_groups import SpaceGroupClassifier, simulated_lines

#: A scan of fewer points is cut to one peak.
SHORT = 500
REPRESENTATIONS = {"profile": False, "peaks": True}


@dataclass(frozen=True)
class Task:
    """Settings of the experiment.

    Attributes
    ----------
    out : Path
        Folder that receives the tables.
    figure : Path or None
        Where the figure is drawn.
    crystals, copies : int
        Simulated crystals of each structure type, and scans of each.
    networks : int
        Over which probabilities are averaged.
    films : tuple of int
        Numbers of measured films of the figure, beside none and all.
    draws : int
        Of these films.
    seed : int
    """

    out: Path = Path("qperov-runs/films")
    figure: Path | None = None
    crystals: int = 400
    copies: int = 3
    networks: int = 3
    films: tuple[int, ...] = (5, 15)
    draws: int = 1
    seed: int = 0


Predict = Callable[[np.ndarray, np.ndarray], np.ndarray]


def left_out(dataset: PatternDataset, predict: Predict, advance: Callable[[str], None]) -> np.ndarray:
    """What is predicted of each family by a model of the others: rows to learn from, rows to predict → labels."""
    labels = np.empty(len(dataset), dtype=object)
    for family in np.unique(dataset.groups):
        test = np.flatnonzero(dataset.groups == family)
        labels[test] = predict(np.flatnonzero(dataset.groups != family), test)
        advance(f"family {family}")
    return labels.astype(str)


def measured_only(dataset: PatternDataset, model: ClassifierMixin) -> Predict:
    """A model that has seen measured films alone."""
    patterns = np.array(dataset.patterns, dtype=object)
    return lambda train, test: clone(model).fit(patterns[train], dataset.y[train]).predict(patterns[test])


def with_simulation(dataset: PatternDataset, model: SpaceGroupClassifier, films: int | None, seed: int) -> Predict:
    """Networks that have seen simulated scans and so many measured films, or all (None)."""
    patterns = np.array(dataset.patterns, dtype=object)

    def predict(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        if films is not None:
            train = np.random.default_rng([seed, int(test[0])]).permutation(train)[:films]
        if not len(train):
            return clone(model).fit(patterns[test]).predict(patterns[test])
        return clone(model).fit(patterns[train], dataset.y[train]).predict(patterns[test])

    return predict


def nearest_simulated(dataset: PatternDataset, task: Task, peaks: bool, measured: bool) -> Predict:
    """The nearest neighbour among simulated scans, and measured ones where asked."""
    lines, labels = simulated_lines(task.crystals, task.copies, task.seed, peaks)
    own = LineProfile(peaks=peaks).fit_transform(dataset.patterns)
    symbols = np.array([standard_symbol(label) for label in dataset.y])

    def predict(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        X, y = (
            (np.concatenate([lines, own[train]]), np.concatenate([labels, symbols[train]]))
            if measured
            else (lines, labels)
        )
        return KNeighborsClassifier(1, metric="cosine").fit(X, y).predict(own[test])

    return predict


def scores(dataset: PatternDataset, predicted: np.ndarray) -> dict[str, object]:
    """Accuracies over the classes of two families or more, and right films of each class."""
    truth = np.array([standard_symbol(label) for label in dataset.y])
    found = np.array([standard_symbol(label) for label in predicted])
    classes = np.unique(truth)
    several = [c for c in classes if len(np.unique(dataset.groups[truth == c])) > 1]
    scored = np.isin(truth, several)
    recalls = [np.mean(found[truth == c] == c) for c in several]
    counts = {c: f"{(found[truth == c] == c).sum()}/{(truth == c).sum()}" for c in classes}
    return {"accuracy": accuracy_score(truth[scored], found[scored]), "balanced": float(np.mean(recalls))} | counts


def main(task: Task) -> pd.DataFrame:
    """Run all; returns the table, which is saved as it grows."""
    dataset = qperov.load_dataset("films")
    common = {"crystals": task.crystals, "copies": task.copies, "networks": task.networks, "random_state": task.seed}
    runs: list[tuple[str, str, int, Predict]] = []
    total = len(dataset)
    for name, peaks in REPRESENTATIONS.items():
        network = SpaceGroupClassifier(peaks=peaks, **common)
        for title, model in (
            ("nearest neighbour", KNeighborsClassifier(1, metric="cosine")),
            ("SVC", SVC(C=10.0, gamma=0.03, class_weight="balanced")),
        ):
            pipeline = make_pipeline(LineProfile(peaks=peaks), model)
            runs.append((f"{title}, measured only", name, total, measured_only(dataset, pipeline)))
        runs.append(("nearest neighbour, simulated only", name, 0, nearest_simulated(dataset, task, peaks, False)))
        runs.append(("nearest neighbour, both", name, total, nearest_simulated(dataset, task, peaks, True)))
        runs.append(("network, simulated only", name, 0, with_simulation(dataset, network, 0, task.seed)))
        runs.append(("network, both", name, total, with_simulation(dataset, network, None, task.seed)))
    network = SpaceGroupClassifier(**common)
    for films in task.films:
        for draw in range(task.draws):
            runs.append(("network, some films", "profile", films, with_simulation(dataset, network, films, draw + 1)))
    task.out.mkdir(parents=True, exist_ok=True)
    rows, labels = [], {"film": dataset.ids, "space group": dataset.y}
    steps = len(runs) * len(np.unique(dataset.groups))
    done = 0
    with screen.bar("Families left out") as bar:
        for model, representation, films, predict in runs:

            def advance(what: str, model: str = model) -> None:
                nonlocal done
                done += 1
                bar(done, steps, f"{model}: {what}")

            predicted = left_out(dataset, predict, advance)
            rows.append({"model": model, "from": representation, "films": films} | scores(dataset, predicted))
            labels[f"{model}, {representation}, {films}"] = predicted
            pd.DataFrame(rows).to_csv(task.out / "scores.csv", index=False)
            pd.DataFrame(labels).to_csv(task.out / "predictions.csv", index=False)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    if task.figure is not None:
        draw_figure(table, dataset, task, task.figure)
    return table


def draw_figure(table: pd.DataFrame, dataset: PatternDataset, task: Task, path: Path) -> None:
    """A film of each class with the simulated scan that is most like it, and scores against measured films."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    scans, axes = figure.subplots(1, 2, width_ratios=(1.3, 1))
    draw_scans(scans, dataset, task)
    networks = table[table["model"].str.startswith("network") & (table["from"] == "profile")]
    for score, style in (("accuracy", "o-"), ("balanced", "s--")):
        means = networks.groupby("films")[score].mean()
        axes.plot(means.index, means, style, label=f"network, simulated and measured: {score}")
    only = table[table["model"].str.endswith("measured only") & (table["from"] == "profile")]
    for marker, (_, row) in zip("xv", only.iterrows(), strict=False):
        axes.plot(row["films"], row["balanced"], marker, color="0.3", label=f"{row['model']}: balanced")
    axes.set(xlabel="measured films, at most, of other families", ylabel="score, families left out", ylim=(0, 1))
    axes.legend(loc="lower left", fontsize=8, frameon=False)
    figure.savefig(path, dpi=130)


def draw_scans(axes: Axes, dataset: PatternDataset, task: Task) -> None:
    """√ of intensity against 2θ, the first film of each class in black over the nearest simulated scan of its type."""
    profile = LineProfile()
    lines, labels = simulated_lines(min(task.crystals, 40), task.copies, task.seed)
    for level, label in enumerate(np.unique(dataset.y)):
        film = next(i for i, own in enumerate(dataset.y) if own == label and len(dataset.patterns[i]) > SHORT)
        [measured] = profile.fit_transform([dataset.patterns[film]])
        own = lines[labels == standard_symbol(label)]
        nearest = own[(own @ measured / np.linalg.norm(own, axis=1)).argmax()]
        axes.fill_between(profile.angles, level, level + 0.9 * nearest, color="C0", alpha=0.5, linewidth=0)
        axes.plot(profile.angles, level + 0.9 * measured, color="black", linewidth=0.7)
        axes.text(55.5, level + 0.55, standard_symbol(label), ha="right", fontsize=8)
    axes.set(xlabel="2θ (degrees, Cu Kα)", yticks=[], xlim=(5, 56), title="films (lines) and simulated scans (filled)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Task.out, help="folder of the tables")
    parser.add_argument("--figure", type=Path, help="where the figure is drawn, such as docs/films.png")
    for number in ("crystals", "copies", "networks", "draws", "seed"):
        parser.add_argument(f"--{number}", type=int, default=getattr(Task, number))
    parser.add_argument("--quick", action="store_true", help="ten crystals a type, one network: a minute")
    arguments = vars(parser.parse_args())
    quick, task = arguments.pop("quick"), Task(**arguments)
    main(replace(task, crystals=10, copies=2, networks=1, films=(5,), draws=1) if quick else task)
