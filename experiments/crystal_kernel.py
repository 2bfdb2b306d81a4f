"""A quantum kernel with one qubit a site, against what else knows the sites: learning curves, and what shots leave.

    python experiments/crystal_kernel.py --out qperov-runs/crystal-kernel --figure docs/crystal-kernel.png
    python experiments/crystal_kernel.py --quick         # few crystals, two sizes: a minute

What is finished in the folder is not computed again, so that an interrupted run goes on where it stopped.

Labels are the energies of cpx321, and synthetic ones of the same orderings: random terms on pairs, triplets and
quadruplets of halide sites no farther apart than the cubic cell is wide, of equal variance each. Every model learns
from the same crystals and is tested on the same folds, which no symmetry class crosses:

- the Ising Gaussian process: `IsingKernel` with one trained coupling a shell, and the same with a trained field;
- its classical twins: with the fidelity replaced by exp(−Σ J_ij² (σ_iσ_j − σ′_iσ′_j)² − Σ h² (σ_i − σ′_i)²), a
  Gaussian of the products of spins on the bonds, which equals it to second order; trained and averaged over the
  symmetry in the same way;
- its separable twin: couplings as good as zero, and a trained field instead;
- models of pair correlations: ridge regression, kernel ridge regression with an RBF and with a Laplacian, a Gaussian
  process with a length scale a component; and ridge regression on pairs and triplets (a cluster expansion);
- kernel ridge regression with a Laplacian on structure factors, which stand for diffraction.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.pipeline import Pipeline

import qperov
from qperov.commands.screen import bar
from qperov.crystals.orderings.cluster_expansion import cluster_orbits, correlation_functions
from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.embedded.cpx222 import embedded_relaxed_set
from qperov.descriptors.decorations import Decorations, SpinCorrelations
from qperov.evaluation.learning_curves import learning_curve
from qperov.evaluation.problem import Model
from qperov.quantum.estimators.ising_process import IsingGaussianProcess
from qperov.quantum.kernels.ising import IsingKernel
from qperov.quantum.kernels.ising_overlaps import flip_codes, site_masks, walsh_hadamard, x_outcomes
from qperov.reports.figures.style import DPI, GREY, style
from qperov.storage.atomic import atomic_path
from qperov.studies.models import components, count_components
from qperov.studies.regressors import grid_search, regressors

ISING, WITH_FIELD = "Ising Gaussian process", "Ising Gaussian process, field"
TWIN, TWIN_WITH_FIELD, SEPARABLE = "classical twin", "classical twin, field", "separable twin"
PAIRS = ("Ridge", "Kernel ridge, RBF", "Kernel ridge, Laplacian", "Gaussian process")
#: Lines of the figure: name, colour and dashes.
LINES = {
    ISING: ("#d55e00", "-"),
    WITH_FIELD: ("#d55e00", "--"),
    TWIN: ("#0072b2", "-"),
    TWIN_WITH_FIELD: ("#0072b2", "--"),
    SEPARABLE: ("#d55e00", ":"),
    "Ridge, pairs": (GREY, "-"),
    "Gaussian process, pairs": ("#009e73", "-"),
    "Kernel ridge, RBF, pairs": ("#009e73", "--"),
    "Kernel ridge, Laplacian, pairs": ("#009e73", ":"),
    "Ridge, pairs and triplets": (GREY, "--"),
    "Kernel ridge, Laplacian, structure factors": ("#cc79a7", "-"),
}


@dataclass(frozen=True)
class Task:
    """Settings of the experiment.

    Attributes
    ----------
    out : Path
        Folder of the tables.
    figure : Path or None
    sizes : tuple of int
        Training crystals.
    folds, every, seed : int
        Folds; step in the list of orderings; seed of folds, training sets, synthetic labels and shots.
    n_shells, n_subset : int
        Shells with a coupling each, and crystals on which they are trained, at most.
    shots : tuple of int
        Runs of the one circuit.
    device : bool
        Also compile the circuit for a machine (needs ``qperov[ibm]``).
    one : bool
        Stop after one size of one set of labels.
    """

    out: Path = Path("qperov-runs/crystal-kernel")
    figure: Path | None = None
    sizes: tuple[int, ...] = (15, 30, 60, 120, 260, 650)
    folds: int = 3
    every: int = 1
    seed: int = 0
    n_shells: int = 4
    n_subset: int = 100
    shots: tuple[int, ...] = (256, 1024, 4096, 16384, 65536)
    device: bool = False
    one: bool = False


class BondGaussian(IsingKernel):
    """exp(−Σ J_ij² (σ_iσ_j − σ′_iσ′_j)² − Σ h² (σ_i − σ′_i)²) in the place of the fidelity."""

    family = "classical"

    def _fidelities(self, matrices: Sequence[np.ndarray] = (), fields: Sequence[float] = ()) -> np.ndarray:
        matrix, field, _ = self._angles()
        n_sites, flip = len(matrix), field == 0
        masks = site_masks(n_sites, flip=flip)
        rows, columns = np.triu_indices(n_sites, 1)

        def alike(weights: np.ndarray, of_sites: float) -> np.ndarray:
            """Σ w_ij (τ_iτ_j − 1) + w Σ (τ_i − 1)."""
            sums = np.bincount(masks[rows] ^ masks[columns], weights[rows, columns], 2 ** (n_sites - flip))
            sums[masks] += of_sites
            return walsh_hadamard(sums) - sums.sum()

        values = np.exp(2 * alike(matrix**2, field**2))
        rates = [alike(2 * matrix * rate, 2 * field * change) for rate, change in zip(matrices, fields, strict=True)]
        return np.stack([values, *(2 * values * rate for rate in rates)], axis=-1)


def synthetic_labels(decorations: Decorations, spins: np.ndarray, edge: float, seed: int) -> np.ndarray:
    """Random energies of compact pairs, triplets and quadruplets, each order of unit variance."""
    lattice = decorations.lattice_
    apart = lattice.structure.distance_matrix[np.ix_(lattice.sites, lattice.sites)]
    rng = np.random.default_rng(seed)
    labels = np.zeros(len(spins))
    for order in (2, 3, 4):
        orbits = [
            orbit
            for orbit in cluster_orbits(decorations.permutations_, order)
            if max(apart[i, j] for i, j in combinations(orbit[0], 2)) <= edge
        ]
        part = correlation_functions(spins, orbits) @ rng.normal(size=len(orbits))
        labels += (part - part.mean()) / part.std()
    return labels


def models(dataset: CrystalDataset, task: Task) -> dict[str, Model]:
    """What is compared, by the names of the figure."""
    decorations = Decorations(n_shells=task.n_shells).fit(dataset.structures)
    kernel = IsingKernel(decorations.bonds_, decorations.permutations_, couplings=[0.02] * task.n_shells)
    parts = (decorations.bonds_, decorations.permutations_)
    field = IsingKernel(*parts, couplings=1e-6, couplings_bounds="fixed", field=0.1, field_bounds=(1e-3, 0.7))
    both = clone(kernel).set_params(field=0.05, field_bounds=(1e-3, 0.7))
    twin = BondGaussian(*parts, couplings=[0.02] * task.n_shells)
    twin_with_field = clone(twin).set_params(field=0.05, field_bounds=(1e-3, 0.7))
    machines = {ISING: kernel, WITH_FIELD: both, TWIN: twin, TWIN_WITH_FIELD: twin_with_field, SEPARABLE: field}
    found = {
        name: Model(
            name,
            IsingGaussianProcess(one, n_subset=task.n_subset, random_state=task.seed),
            Decorations(n_shells=task.n_shells),
            family=one.family,
        )
        for name, one in machines.items()
    }
    steps = (("correlations", SpinCorrelations(decorations.permutations_)), *components())
    rank = count_components(Pipeline([("features", decorations), *steps]), dataset)
    searched = {m.name: m for m in regressors(rank, len(dataset), exploratory=True, random_state=task.seed)}
    for name in PAIRS:
        found[f"{name}, pairs"] = replace(
            searched[name], featurizer=Decorations(n_shells=task.n_shells), transformers=steps
        )
    penalties = {"alpha": list(np.logspace(-9, 1, 6))}
    triplets = (("correlations", SpinCorrelations(decorations.permutations_, max_order=3)),)
    found["Ridge, pairs and triplets"] = Model(
        "Ridge", grid_search(Ridge(), penalties), Decorations(n_shells=task.n_shells), triplets
    )
    factors = qperov.PXRDFeaturizer("structure_factors")
    rank = count_components(Pipeline([("features", factors), *components()]), dataset)
    searched = {m.name: m for m in regressors(rank, len(dataset), exploratory=True, random_state=task.seed)}
    found["Kernel ridge, Laplacian, structure factors"] = replace(
        searched["Kernel ridge, Laplacian"], featurizer=factors, transformers=components()
    )
    return found


def shot_table(dataset: CrystalDataset, task: Task) -> pd.DataFrame:
    """R² of the trained kernel, its probabilities replaced by frequencies of so many runs of the one circuit.

    The couplings are stronger by a factor than those that were trained: what is near 1 takes many shots to tell apart.
    Of a share of the runs the outcome is random, as after complete depolarisation.
    """
    decorations = Decorations(n_shells=task.n_shells).fit(dataset.structures)
    spins, y = decorations.transform(dataset.structures), np.asarray(dataset.y)
    rng = np.random.default_rng(task.seed)
    order = rng.permutation(len(y))
    size = min(260, 2 * len(y) // 3)
    train, test = order[:size], order[size:]
    start = IsingKernel(decorations.bonds_, decorations.permutations_, couplings=[0.02] * task.n_shells)
    process = IsingGaussianProcess(start, n_subset=task.n_subset, random_state=task.seed).fit(spins[train], y[train])
    trained = process.kernel_.k1.k2
    rows = []
    for factor in (1, 3, 10, 20):
        kernel = clone(trained).set_params(couplings=np.minimum(factor * np.asarray(trained.couplings), 0.5))
        matrix, field, _ = kernel._angles()
        p, _ = x_outcomes([matrix], [field])
        n_sites = len(matrix)
        for shots, random_share in [(0, 0.0), *((n, 0.0) for n in task.shots), *((n, 0.5) for n in task.shots[-1:])]:
            if shots:
                codes = rng.choice(len(p), size=shots, p=p / p.sum())
                bits = (codes[:, None] << 1 >> np.arange(n_sites)) & 1
                bits[:, 0] = bits[:, 1:].sum(axis=1) % 2  # the circuit has no field: outcomes are even
                lost = rng.random(shots) < random_share
                bits[lost] = rng.integers(0, 2, size=(lost.sum(), n_sites))
            own = clone(kernel).set_params(outcomes=bits if shots else None)
            rows.append((factor, shots, random_share, _ridge_score([own(spins)], y, train, test)))
    return pd.DataFrame(rows, columns=["couplings", "shots", "random share", "r2"])


def _ridge_score(matrices: Sequence[np.ndarray], y: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    """R² of kernel ridge regression; matrix and penalty have the least leave-one-out error on the training crystals."""
    target = y[train] - y[train].mean()
    best, predicted = np.inf, np.zeros(len(test))
    for K in matrices:
        centre = K[train].mean(axis=0)
        centred = K - centre - centre[:, None] + K[np.ix_(train, train)].mean()
        values, vectors = np.linalg.eigh(centred[np.ix_(train, train)])
        for penalty in np.logspace(-10, 1, 23) * max(values.max(), 1e-300):
            inverse = (vectors / (np.maximum(values, 0) + penalty)) @ vectors.T
            left_out = np.abs(inverse @ target / inverse.diagonal()).mean()
            if left_out < best:
                best, predicted = left_out, centred[np.ix_(test, train)] @ (inverse @ target)
    return float(r2_score(y[test], predicted + y[train].mean()))


def relaxed_table(task: Task) -> pd.DataFrame:
    """R² on the relaxed orderings of cpx222, all compositions of 24 sites; six settings of each kernel.

    Crystals go to the sites of their undecorated cell. Matrix and penalty are chosen by leave-one-out error on the
    training crystals, and each score is the mean over five draws of these.
    """
    dataset = qperov.load_dataset("cpx222")
    dataset = dataset.take(range(0, len(dataset), task.every))
    y, decorations = np.asarray(dataset.y), Decorations(embedded_relaxed_set("cpx222").parent, n_shells=4)
    spins = decorations.fit_transform(dataset.structures)
    kernel = IsingKernel(decorations.bonds_, decorations.permutations_, lengths=decorations.lengths_, decay=4.0)
    settings = [(theta, field) for theta in (0.01, 0.03, 0.1) for field in (0.03, 0.1)]
    twin = BondGaussian(**kernel.get_params())
    matrices = {
        name: [clone(one).set_params(couplings=theta, field=field)(spins) for theta, field in settings]
        for name, one in {"Ising, field": kernel, TWIN_WITH_FIELD: twin}.items()
    }
    for name, order in (("pairs", 2), ("pairs and triplets", 3)):
        columns = SpinCorrelations(decorations.permutations_, max_order=order).fit_transform(spins)
        columns = Pipeline([*components()]).fit_transform(columns)
        matrices[f"linear, {name}"] = [columns @ columns.T]
        for metric, label in (("sqeuclidean", "RBF"), ("cityblock", "Laplacian")):
            apart = cdist(columns, columns, metric)
            widths = np.median(apart) * np.geomspace(0.3, 100, 6)
            matrices[f"{label}, {name}"] = [np.exp(-apart / width) for width in widths]
    rows = []
    for draw in range(5):
        order = np.random.default_rng([task.seed, draw]).permutation(len(y))
        test = order[-len(y) // 4 :]
        for size in [size for size in task.sizes if size <= len(y) - len(test)]:
            rows += [(name, size, _ridge_score(some, y, order[:size], test)) for name, some in matrices.items()]
    return (
        pd.DataFrame(rows, columns=["model", "size", "r2"]).groupby(["model", "size"], sort=False).mean().reset_index()
    )


def circuit_table(dataset: CrystalDataset) -> pd.DataFrame:
    """Size of the one circuit: its couplings and their layers, and what they become on a machine of 156 qubits."""
    from qiskit import transpile
    from qiskit_ibm_runtime.fake_provider import FakeFez
    from qperov_circuits.adapters.to_qiskit import to_qiskit

    rows = []
    for n_shells in (1, 2, 4):
        decorations = Decorations(n_shells=n_shells).fit(dataset.structures)
        gates = IsingKernel(decorations.bonds_, decorations.permutations_, couplings=0.1).circuit()
        circuit = to_qiskit(gates)
        circuit.h(range(circuit.num_qubits))
        circuit.measure_all()
        native = transpile(circuit, FakeFez(), optimization_level=3, seed_transpiler=0)
        many = sum(count for name, count in native.count_ops().items() if name in ("cz", "rzz"))
        layers, depth = (
            one.depth(lambda step: step.operation.num_qubits == 2 and step.operation.name != "barrier")
            for one in (circuit, native)
        )
        rows.append((n_shells, sum(gate.name == "rzz" for gate in gates), layers, many, depth))
    return pd.DataFrame(rows, columns=["shells", "couplings", "layers", "gates on FakeFez", "depth on FakeFez"])


def draw_curves(table: pd.DataFrame, path: Path) -> None:
    """R² against training crystals, one panel a label, as 1 − R² on a logarithmic axis."""
    with style():
        figure = Figure(figsize=(9.0, 5.0), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, table["labels"].nunique(), sharey=True, squeeze=False)[0]
        for axes, (labels, part) in zip(panels, table.groupby("labels", sort=False), strict=True):
            for name, (colour, dashes) in LINES.items():
                mine = part[part["model"] == name].groupby("size")["r2"].mean()
                axes.plot(mine.index, 1 - mine, dashes, color=colour, label=name, marker="o", markersize=3)
            axes.set(xscale="log", yscale="log", title=labels, xlabel="training crystals", ylim=(1e-5, 2))
            sizes = sorted(set(part["size"].astype(int)))
            axes.set_xticks(sizes, [str(size) for size in sizes])
            axes.set_xticks([], minor=True)
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panels[0].set_ylabel("1 − R², out of fold")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize="small")
        with atomic_path(path) as written:
            figure.savefig(written, dpi=DPI, format=path.suffix[1:])


def main(task: Task) -> pd.DataFrame:
    """Run all curves; prints, saves and returns the mean R² by model and size."""
    energies = qperov.load_dataset("cpx321")
    energies = energies.take(range(0, len(energies), task.every))
    decorations = Decorations(n_shells=task.n_shells).fit(energies.structures)
    spins = decorations.transform(energies.structures)
    synthetic = synthetic_labels(decorations, spins, 1.001 * energies.structures[0].lattice.c, task.seed)
    sets = {
        "energies of cpx321": energies,
        "synthetic: pairs, triplets, quadruplets": replace(
            energies, y=synthetic, target="synthetic", unit=None, known_noise=None, provenance=(), cautions=()
        ),
    }
    assert np.array_equal(np.unique(flip_codes(spins, flip=True)).shape, (len(spins),)), "every ordering once"
    kept = task.out / "curves.csv"
    task.out.mkdir(parents=True, exist_ok=True)
    table = pd.read_csv(kept) if kept.exists() else pd.DataFrame({"labels": [], "size": []})
    for size in task.sizes:
        for labels, dataset in sets.items():
            if len(table.query("labels == @labels and size == @size")):
                continue
            with bar(f"{labels}, {size} crystals") as advance:
                curve = learning_curve(
                    models(dataset, task), dataset, sizes=[size], folds=task.folds, random_state=task.seed,
                    progress=advance,
                )  # fmt: skip
            table = pd.concat([table, curve[curve["family"] != "baseline"].assign(labels=labels)])
            table.to_csv(kept, index=False)
            if task.one:
                return table
    means = table.groupby(["labels", "model", "size"], sort=False)["r2"].mean().unstack("size")
    print(f"R², mean of {task.folds} folds")
    print(means.to_string(float_format=lambda value: f"{value:.4f}"))
    start = time.perf_counter()
    kernel = IsingKernel(decorations.bonds_, decorations.permutations_)
    matrix = kernel(spins)
    seconds, n_operations = time.perf_counter() - start, len(decorations.permutations_)
    print(f"matrix of {len(matrix)} crystals, {n_operations} operations: {seconds:.2f} s")
    print("cpx222, R², mean of five draws")
    relaxed = relaxed_table(task)
    relaxed.to_csv(task.out / "cpx222.csv", index=False)
    print(relaxed.pivot(index="model", columns="size", values="r2").to_string(float_format=lambda r2: f"{r2:.3f}"))
    if task.device:
        print(circuit_table(energies).to_string(index=False))
    shots = shot_table(energies, task)
    shots.to_csv(task.out / "shots.csv", index=False)
    print("R² of kernel ridge regression from 260 crystals, shots of one circuit (0: exact)")
    print(shots.pivot_table(index=["couplings", "random share"], columns="shots", values="r2").to_string())
    if task.figure is not None:
        draw_curves(table, task.figure)
    return means


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Task.out, help="folder of the tables")
    parser.add_argument("--figure", type=Path, help="file of the figure")
    parser.add_argument("--seed", type=int, default=Task.seed)
    parser.add_argument("--device", action="store_true", help="also compile the circuit for a machine")
    parser.add_argument("--one", action="store_true", help="stop after one size of one set of labels")
    parser.add_argument("--quick", action="store_true", help="every twelfth ordering, two sizes: a minute")
    arguments = vars(parser.parse_args())
    quick, task = arguments.pop("quick"), Task(**arguments)
    small = {"sizes": (15, 40), "folds": 2, "every": 12, "n_shells": 3, "n_subset": 40, "shots": (256, 4096)}
    main(replace(task, **small) if quick else task)
