"""Learn from cells of some sizes, predict those of others: what a projected quantum kernel carries over.

    python experiments/cell_transfer.py
    python experiments/cell_transfer.py --quick          # fewer crystals: seconds

Orderings of CsPb(Br₂I) in the 2×2×1, 2×2×2 and 3×2×1 cells. Their labels are energies per atom of one cluster expansion
on the infinite cubic lattice: means of the products of spins over every shell of pairs and every shape of triplets
within a cutoff, fitted by ridge regression to the energies of cpx321; its error there is printed. The features are
`ReducedDensities`, which do not depend on the cell, and the model is a Gaussian process with one length scale and noise
(the projected kernel), beside a line on the same columns.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import qperov
from qperov.crystals import count_orderings, random_orderings
from qperov.crystals.parent_lattice import parent_lattices
from qperov.descriptors.neighbours import shells_of_pairs
from qperov.descriptors.reduced_densities import ReducedDensities, undecorated

SPECIES = ("Br", "I")
#: Vectors nearer than this (Å) are one.
SAME = 0.1


@dataclass(frozen=True)
class Task:
    """Settings of the experiment.

    Attributes
    ----------
    crystals : int
        Orderings of each cell, at most.
    n_shells : int
        Shells of pairs in the expansion and in the features.
    triplet_shells : int
        Shells that the three sides of a triplet may be.
    coupling : float
        θ of all shells, radians.
    seed : int
    """

    crystals: int = 300
    n_shells: int = 6
    triplet_shells: int = 3
    coupling: float = 0.1
    seed: int = 0


def cluster_means(crystals: Sequence[Structure], n_shells: int, triplet_shells: int) -> pd.DataFrame:
    """Mean products of spins over shells of pairs and shapes of triplets, one column each."""
    parts = []
    for _, rows, _ in parent_lattices(crystals):
        lattice = undecorated(int(rows[0]), crystals[rows[0]], SPECIES)
        spins = 1.0 - 2.0 * lattice.occupations([crystals[row] for row in rows])
        shells = shells_of_pairs(lattice, n_shells)
        columns = {
            f"pair {number}": (spins[:, pairs[:, 0]] * spins[:, pairs[:, 1]]).mean(axis=1)
            for number, (_, pairs, _) in enumerate(shells)
        }
        near = [
            (number, i, j, vector)
            for number, (_, pairs, vectors) in enumerate(shells[:triplet_shells])
            for (i, j), vector in zip(pairs.tolist(), vectors, strict=True)
        ]
        triplets: dict[tuple[int, ...], list[tuple[int, int, int]]] = {}
        for site in range(len(lattice.sites)):
            own = [(number, j, vector) for number, i, j, vector in near if i == site]
            about = {j: [(n, v, k) for n, i, k, v in near if i == j] for j in {j for _, j, _ in own}}
            for (first, j, one), (second, k, other) in combinations(own, 2):
                third = [n for n, v, end in about[j] if end == k and np.linalg.norm(v - (other - one)) < SAME]
                if third:
                    triplets.setdefault(tuple(sorted((first, second, third[0]))), []).append((site, j, k))
        columns |= {
            f"triplet {shape}": spins[:, np.array(members)].prod(axis=2).mean(axis=1)
            for shape, members in triplets.items()
        }
        parts.append(pd.DataFrame(columns, index=rows))
    return pd.concat(parts).sort_index().fillna(0.0)


def sample_of(cell: Structure, count: int, crystals: int, seed: int) -> list[Structure]:
    """Orderings of a cell with so many iodine atoms, none twice."""
    most = min(crystals, count_orderings(cell, "Br", SPECIES, count))
    found = random_orderings(cell, "Br", SPECIES, count, n=most, random_state=seed)
    return [ordering.structure for ordering in found]


def projected_kernel_process() -> GaussianProcessRegressor:
    """Gaussian process with the projected kernel, its width and noise by marginal likelihood."""
    kernel = ConstantKernel(10.0, (1e-2, 1e6)) * RBF(1.0, (1e-3, 1e4)) + WhiteKernel(1e-3, (1e-8, 1.0))
    return GaussianProcessRegressor(kernel, normalize_y=True)


def main(task: Task) -> pd.DataFrame:
    """Fit the expansion, label all cells, learn from some and predict the others; prints and returns the scores."""
    energies = qperov.load_dataset("cpx321")
    cubic = Structure.from_spacegroup(
        "Pm-3m",
        Lattice.cubic(energies.structures[0].lattice.c),
        ["Cs", "Pb", "Br"],
        [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)],
    )
    cells = {
        "2×2×1": sample_of(cubic * (2, 2, 1), 4, task.crystals, task.seed),
        "2×2×2": sample_of(cubic * (2, 2, 2), 8, task.crystals, task.seed),
        "3×2×1": list(energies.structures),
    }
    means = {name: cluster_means(crystals, task.n_shells, task.triplet_shells) for name, crystals in cells.items()}
    columns = means["3×2×1"].columns
    line = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-8, 2, 11)))
    out_of_fold = cross_val_predict(line, means["3×2×1"], energies.y, cv=5)
    print(
        f"expansion on the infinite lattice ({len(columns)} columns): R² {r2_score(energies.y, out_of_fold):.3f}, MAE "
        f"{np.abs(out_of_fold - energies.y).mean():.4f} meV/atom on cpx321, out of fold"
    )
    line.fit(means["3×2×1"], energies.y)
    labels = {name: line.predict(table.reindex(columns=columns, fill_value=0.0)) for name, table in means.items()}
    featurizer = ReducedDensities(SPECIES, couplings=task.coupling, n_shells=task.n_shells).fit(cells["2×2×2"])
    X = {name: featurizer.transform(crystals) / featurizer.weights_.max() for name, crystals in cells.items()}
    rows = []
    for learnt in (("2×2×1", "2×2×2"), ("2×2×2",), ("3×2×1",)):
        train = np.concatenate([X[name] for name in learnt]), np.concatenate([labels[name] for name in learnt])
        machines = {"projected kernel": projected_kernel_process(), "line": RidgeCV(np.logspace(-8, 2, 11))}
        for model, machine in machines.items():
            machine.fit(*train)
            for name in sorted(set(cells) - set(learnt)):
                score = r2_score(labels[name], machine.predict(X[name]))
                rows.append((" + ".join(learnt), name, model, len(train[1]), len(X[name]), score))
    table = pd.DataFrame(rows, columns=["learnt from", "predicted", "model", "n train", "n test", "r2"])
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for number in ("crystals", "n_shells", "triplet_shells", "seed"):
        parser.add_argument(f"--{number.replace('_', '-')}", type=int, default=getattr(Task, number))
    parser.add_argument("--coupling", type=float, default=Task.coupling)
    parser.add_argument("--quick", action="store_true", help="60 crystals of each cell")
    arguments = vars(parser.parse_args())
    quick, task = arguments.pop("quick"), Task(**arguments)
    main(replace(task, crystals=60) if quick else task)
