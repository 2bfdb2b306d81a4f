"""Classes from few scans: accuracy against the number of training samples, over many random draws.

    python experiments/few_scans.py fegapd --target region --sizes 20 --draws 100
    python experiments/few_scans.py heo106 --target structure --each 16 --descriptor superstructure --sizes 8,16,24

Machines with kernels choose one of twenty, from the families and ranges of `qperov compare`, and one of three C,
on stratified inner folds of the training samples alone. Features need no label and are made of all samples at once:
square roots of intensities on ten principal components, or superstructure lines. Neighbours of a spread may stand on
both sides of a draw; --groups keeps the dataset's groups together instead.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupShuffleSplit, StratifiedKFold, StratifiedShuffleSplit
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import qperov
from qperov.descriptors.rank_pca import RankPCA
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.projected import ProjectedKernel
from qperov.studies.measured.models import COMPONENTS, KINDS
from qperov.studies.regressors import INNER_FOLDS, SETTINGS, classical_settings, draw, quantum_settings

#: Penalties that each kernel is tried with.
PENALTIES = (0.3, 3.0, 30.0)
#: What needs no kernel, and those that choose one.
LOGISTIC, MACHINES = "Logistic regression", ("SVC", "QSVC", "QSVC projected")


def gram_matrices(X: np.ndarray, wanted: list[str], random_state: int) -> dict[str, list[np.ndarray]]:
    """Matrices of all samples for kernels that a machine may choose: ten settings, on components whitened or not."""
    points = draw(("width", "p", "gamma"), SETTINGS, random_state)
    d = X.shape[1]
    classical = classical_settings(d)
    families: dict[str, list[np.ndarray]] = {name: [] for name in MACHINES if name in wanted}
    for whiten in (False, True):
        Z = StandardScaler(with_mean=False, with_std=whiten).fit_transform(X)
        for number, point in enumerate(points):
            if "SVC" in families:
                families["SVC"].append(classical[number % len(classical)](point)["kernel"](Z))
            for name, kernel in (("QSVC", FidelityKernel("iqp")), ("QSVC projected", ProjectedKernel("iqp"))):
                if name not in families:
                    continue
                quantum = quantum_settings(d, projected=name.endswith("projected"))
                chosen = quantum[number % len(quantum)](point)
                chosen = {key.removeprefix("kernel__"): value for key, value in chosen.items()}
                families[name].append(clone(kernel).set_params(**chosen)(Z))
    return families


def accuracy(matrices: list[np.ndarray], y: np.ndarray, train: np.ndarray, test: np.ndarray) -> tuple[float, float]:
    """Accuracy and balanced accuracy on the test samples, of the setting that is best on inner folds."""
    inner = list(StratifiedKFold(INNER_FOLDS).split(train, y[train]))
    best, chosen = -1.0, (matrices[0], PENALTIES[0])
    for K in matrices:
        for C in PENALTIES:
            hits = 0
            for fit, held in inner:
                machine = SVC(kernel="precomputed", C=C).fit(K[np.ix_(train[fit], train[fit])], y[train[fit]])
                hits += (machine.predict(K[np.ix_(train[held], train[fit])]) == y[train[held]]).sum()
            if hits > best:
                best, chosen = hits, (K, C)
    K, C = chosen
    said = SVC(kernel="precomputed", C=C).fit(K[np.ix_(train, train)], y[train]).predict(K[np.ix_(test, train)])
    return scores(y[test], said)


def scores(y: np.ndarray, said: np.ndarray) -> tuple[float, float]:
    """Accuracy and balanced accuracy."""
    return float((said == y).mean()), float(balanced_accuracy_score(y, said))


def draws(y: np.ndarray, groups: np.ndarray | None, size: int, many: int, seed: int) -> Iterator[tuple]:
    """Training and test rows; with groups, those of random groups until there are enough, of two classes or more."""
    if groups is None:
        yield from StratifiedShuffleSplit(many, train_size=size, random_state=seed).split(y, y)
        return
    rng = np.random.default_rng(seed)
    share = size / len(y)
    splitter = partial(GroupShuffleSplit, 1, train_size=min(0.9, 3 * share))
    done = 0
    while done < many:
        train, test = next(splitter(random_state=int(rng.integers(2**31))).split(y, y, groups))
        train = rng.permutation(train)[:size]
        _, counts = np.unique(y[train], return_counts=True)
        if len(train) == size and (counts >= INNER_FOLDS).sum() > 1:
            done += 1
            yield train, test


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="heo106, fegapd, films, or another dataset of scans")
    parser.add_argument("--target", help="label; by default the dataset's first")
    parser.add_argument("--descriptor", default="profile", choices=list(KINDS))
    parser.add_argument("--sizes", default="20", help="numbers of training samples, separated by commas")
    parser.add_argument("--draws", type=int, default=100, help="random draws of each size")
    parser.add_argument("--each", type=int, default=0, help="take so many samples of each class, at random")
    parser.add_argument("--groups", action="store_true", help="keep the dataset's groups together")
    parser.add_argument("--models", default=",".join((LOGISTIC, *MACHINES)), help="separated by commas")
    parser.add_argument("--seed", type=int, default=42)
    options = parser.parse_args()
    data = qperov.load_dataset(options.dataset, target=options.target)
    if options.each:
        rng = np.random.RandomState(options.seed)  # the generator of the published draw
        rows = [np.flatnonzero(data.y == name) for name in np.unique(data.y)]
        rows = [own if len(own) <= options.each else np.sort(rng.choice(own, options.each, False)) for own in rows]
        data = data.take(np.sort(np.concatenate(rows)))
    start = time.perf_counter()
    X = clone(KINDS[options.descriptor]).fit_transform(data.patterns)
    X = RankPCA(COMPONENTS).fit_transform(StandardScaler(with_std=options.descriptor != "profile").fit_transform(X))
    wanted = options.models.split(",")
    families = gram_matrices(X, wanted, options.seed)
    print(
        f"{len(data)} patterns, {X.shape[1]} components, kernels after {time.perf_counter() - start:.0f} s", flush=True
    )
    groups = data.groups if options.groups else None
    rows = []
    for size in map(int, options.sizes.split(",")):
        for number, (train, test) in enumerate(draws(data.y, groups, size, options.draws, options.seed)):
            if LOGISTIC in wanted:
                line = LogisticRegression(max_iter=1000).fit(X[train], data.y[train])
                rows.append((size, LOGISTIC, number, *scores(data.y[test], line.predict(X[test]))))
            for name, matrices in families.items():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # rare classes of a draw
                    found, balanced = accuracy(matrices, data.y, train, test)
                rows.append((size, name, number, found, balanced))
        table = pd.DataFrame(rows, columns=["training samples", "model", "draw", "accuracy", "balanced accuracy"])
        mean = table[table["training samples"] == size].groupby("model", sort=False)
        print(mean[["accuracy", "balanced accuracy"]].agg(["mean", "std"]).round(3).to_string(), flush=True)
        print(f"n = {size}, {options.draws} draws, {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
