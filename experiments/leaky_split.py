"""What a random split would have reported: the same files, symmetry copies included, split both ways.

    python experiments/leaky_split.py DATA

reads all labelled POSCARs (about seven copies of each crystal), splits them once at random and once by honest groups,
and writes two run directories with a report each. The report of the random split opens with the warning that it is.
A nearest-neighbour look-up stands among the models: it can only remember, so what it gains is the leak.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

import qperov
from qperov.commands import screen
from qperov.evaluation.problem import Model


@dataclass(frozen=True)
class Task:
    """Settings of the experiment.

    Attributes
    ----------
    data : Path
        Folder with the archive of POSCARs and ``labels.csv``.
    runs : Path
        Folder that receives the two run directories.
    folds, seed : int
    classes : int
        Symmetry classes drawn, with all their copies; 0 for all.
    """

    data: Path
    runs: Path = Path("qperov-runs")
    folds: int = 5
    seed: int = 0
    classes: int = 0


def models() -> dict[str, Model]:
    """One smooth model and one that only remembers, on two descriptors, nothing tuned."""
    smooth = TransformedTargetRegressor(SVR(C=10, gamma=0.03, epsilon=0.05), transformer=StandardScaler())
    found = {}
    for kind in ("pattern", "structure_factors"):
        featurizer = qperov.PXRDFeaturizer(kind)
        for name, model in {"SVR RBF": smooth, "Nearest neighbour": KNeighborsRegressor(1)}.items():
            steps = (("scale", StandardScaler()), ("pca", qperov.descriptors.RankPCA(10)))
            found[f"{name} · {featurizer.description}"] = Model(name, model, featurizer, steps)
    return found


def main(task: Task) -> None:
    """Run both splits and write their records and reports."""
    dataset = qperov.read(task.data, target="energy_ev_per_cell", labels=task.data / "labels.csv", convert="meV/atom")
    if task.classes:
        drawn = np.random.default_rng(task.seed).permutation(np.unique(dataset.groups))[: task.classes]
        dataset = dataset.take(np.isin(dataset.groups, drawn))
    for split in ("grouped", "random"):
        with screen.bar(f"Comparing, {split} split") as advance:
            result = qperov.compare(
                models(), dataset, folds=task.folds, random_state=task.seed, split=split, progress=advance
            )
        print(result, *result.warnings, sep="\n", end="\n\n")
        settings = {"folds": task.folds, "seed": task.seed, "split": split}
        command = shlex.join(["python", *sys.argv])
        record = qperov.records.write_record(
            task.runs / f"leaky-split-{split}", result, task={"command": command} | settings, dataset=dataset.about
        )
        print(f"report: {qperov.reports.build_report(record)}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with the POSCAR archive and labels.csv")
    parser.add_argument("--runs", type=Path, default=Task.runs)
    parser.add_argument("--quick", action="store_true", help="40 symmetry classes: a minute")
    given = parser.parse_args()
    task = Task(data=given.data, runs=given.runs)
    main(replace(task, classes=40) if given.quick else task)
