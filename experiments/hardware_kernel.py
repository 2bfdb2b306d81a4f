"""What a machine does to a quantum kernel: exact, with shots, with the noise of IBM's Fez, and corrected.

    python experiments/hardware_kernel.py --out qperov-runs/hardware-kernel

plans and runs a fidelity and a projected kernel on a simulated machine, for crystals drawn from cpx321, and writes
``report.html`` (the price of the same run on the real machine, a table and a figure), ``matrices.csv``, the figure and
the plans. A second call with the same folder takes what was measured from the ledger.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.dummy import DummyRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import qperov
from qperov.commands.hardware.display import count
from qperov.evaluation.splits import honest_groups
from qperov.hardware import Backend, Options
from qperov.hardware.jobs import jobs
from qperov.hardware.jobs.backend import open_service
from qperov.hardware.jobs.ledger import Ledger
from qperov.hardware.jobs.results import Results
from qperov.hardware.plan import pairs
from qperov.hardware.plan.plan import Plan, Settings
from qperov.hardware.plan.plan_file import write_plan
from qperov.hardware.plan.planning import plan_bloch, plan_fidelities
from qperov.reports.figures.style import GREY, INK, save, style
from qperov.reports.page import embedded, render


@dataclass(frozen=True)
class Task:
    """Settings of the experiment.

    Attributes
    ----------
    out : Path
        Folder that receives the report, the figure, the plans and the ledger.
    machine : str
        The simulated machine.
    n_crystals : int
        Drawn by the seed, one of each symmetry class.
    components : int
        Principal components of the pair correlations, one a qubit. Scaling and components are found on all crystals
        that were drawn, labels unseen.
    bandwidth, gamma : float
        Of the kernels. The default was found by the scores of exact matrices, which are flattered by it; what counts
        is how the others differ from them.
    shots : int
    C, epsilon : float
        Of the regression, on labels of unit variance.
    folds, repeats : int
        Grouped cross-validation, repeated with other folds.
    seed : int
    """

    out: Path = Path("qperov-runs/hardware-kernel")
    machine: str = "fake_fez"
    n_crystals: int = 30
    components: int = 6
    bandwidth: float = 0.03
    gamma: float = 1.0
    shots: int = 1024
    C: float = 10.0
    epsilon: float = 0.05
    folds: int = 5
    repeats: int = 10
    seed: int = 0


@dataclass(frozen=True)
class Measured:
    """One matrix of the comparison, and how its repair is fitted within a fold, if it has one."""

    kernel: str
    name: str
    matrix: np.ndarray
    measured: np.ndarray
    repair: qperov.quantum.KernelRepair | None = None


def crystals(task: Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels of unit variance, and groups that no split may part."""
    dataset = qperov.load_dataset("cpx321").one_per_class()
    drawn = np.random.default_rng(task.seed).permutation(len(dataset))[: task.n_crystals]
    dataset = dataset.take(np.sort(drawn))
    correlations = qperov.PXRDFeaturizer("correlations").fit_transform(dataset.structures)
    X = make_pipeline(StandardScaler(), qperov.descriptors.RankPCA(task.components)).fit_transform(correlations)
    y = np.asarray(dataset.y)
    return X, (y - y.mean()) / y.std(), honest_groups(np.asarray(dataset.groups), [correlations])


def collected(task: Task, name: str, backend: Backend, planned: Callable[[Any, Settings], Plan]) -> Results:
    """Plan, submit and collect, with a ledger in the folder."""
    ledger_path = task.out / "ledger.db"
    with Ledger(ledger_path) as ledger, closing(open_service(backend.spec(), ledger_path)) as service:
        plan = planned(service, Settings(backend.shots, backend.options))
        write_plan(plan, task.out / f"plan-{name}.json")
        jobs.submit(plan, service, ledger)
        return jobs.collect(plan, service, ledger)


def measure(task: Task, X: np.ndarray) -> tuple[list[Measured], dict[str, Plan]]:
    """All matrices, and the plans for the noisy machine."""
    fidelity = qperov.FidelityKernel(bandwidth=task.bandwidth)
    projected = qperov.ProjectedKernel(bandwidth=task.bandwidth, gamma=task.gamma)
    wanted = pairs.full(len(X), diagonal=True)
    scaled = task.bandwidth * X
    found: list[Measured] = []
    plans = {}
    for kernel in (fidelity, projected):
        label = "fidelity" if kernel is fidelity else "projected"
        exact = kernel(X)
        found.append(Measured(label, "exact", exact, exact))
        results = {}
        for name in ("aer", task.machine):
            options = Options(readout_mitigation=name != "aer")
            backend = Backend(name, shots=task.shots, options=options, random_state=task.seed)

            def planned(service: Any, settings: Settings, backend: Backend = backend, kernel: Any = kernel) -> Plan:
                if kernel is fidelity:
                    return plan_fidelities(kernel.circuit, scaled, wanted, service, backend.spec(), settings)
                return plan_bloch(kernel.circuit, scaled, service, backend.spec(), settings)

            print(f"measuring the {label} kernel of {len(X)} crystals on {name} …", flush=True)
            results[name] = collected(task, f"{label}-{name}", backend, planned)
        shots, noisy = results["aer"].matrix(gamma=task.gamma), results[task.machine]
        plans[label] = noisy.plan
        raw, corrected = (noisy.matrix(mitigated, task.gamma) for mitigated in (False, True))
        found.append(Measured(label, f"{task.shots} shots", shots, shots))
        if kernel is fidelity:
            repair = qperov.quantum.KernelRepair()
            found.append(Measured(label, "shots, nearest PSD", repair.fit(shots).matrix_, shots, repair))
        found += [
            Measured(label, task.machine, raw, raw),
            Measured(label, "+ readout", corrected, corrected),
        ]
        if kernel is fidelity:
            n_qubits = noisy.plan.n_qubits
            nearest = qperov.quantum.KernelRepair()
            depolarising = qperov.quantum.KernelRepair(depolarising="mean", n_qubits=n_qubits)
            found += [
                Measured(label, "+ nearest PSD", nearest.fit(corrected).matrix_, corrected, nearest),
                Measured(label, "+ depolarising", depolarising.fit(corrected).matrix_, corrected, depolarising),
            ]
    return found, plans


def scores(task: Task, entry: Measured, y: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """R² of each repetition; a repair sees the training rows and columns alone."""
    model: Any = qperov.QuantumSVR("precomputed", C=task.C, epsilon=task.epsilon)
    if entry.repair is not None:
        model = make_pipeline(entry.repair, model)
    found = []
    for repeat in range(task.repeats):
        folds = GroupKFold(task.folds, shuffle=True, random_state=repeat)
        found.append(r2_score(y, cross_val_predict(model, entry.measured, y, cv=folds, groups=groups)))
    return np.array(found)


def table(task: Task, found: list[Measured], y: np.ndarray, groups: np.ndarray) -> pd.DataFrame:
    """One row a matrix: errors of its entries, what it lacks of being positive semi-definite, and R²."""
    rows = []
    upper = np.triu_indices(len(y), 1)
    for entry in found:
        exact = next(other.matrix for other in found if other.kernel == entry.kernel)
        errors = (entry.matrix - exact)[upper]
        r2 = scores(task, entry, y, groups)
        rows.append(
            {
                "kernel": entry.kernel,
                "matrix": entry.name,
                "mean error": errors.mean(),
                "rms error": np.sqrt(np.mean(errors**2)),
                "largest error": np.abs(errors).max(),
                "mean diagonal": entry.matrix.diagonal().mean(),
                "smallest eigenvalue": np.linalg.eigvalsh(entry.matrix)[0],
                "R²": r2.mean(),
                "sd of R²": r2.std(ddof=1),
            }
        )
    return pd.DataFrame(rows)


def draw(task: Task, found: list[Measured], rows: pd.DataFrame) -> Figure:
    """Matrices of the fidelity kernel side by side, their errors below, and R² of every matrix."""
    shown = [entry for entry in found if entry.kernel == "fidelity"]
    exact = shown[0].matrix
    off = exact[np.triu_indices(len(exact), 1)]
    limit = max(np.abs(entry.matrix - exact)[np.triu_indices(len(exact), 1)].max() for entry in shown[1:])
    with style():
        figure = Figure(figsize=(1.9 * len(shown) + 0.8, 7.2), layout="constrained")
        above, below = figure.subfigures(2, 1, height_ratios=(1.75, 1))
        tops, bottoms = above.subplots(2, len(shown))
        for entry, top, bottom in zip(shown, tops, bottoms, strict=True):
            image = top.imshow(entry.matrix, vmin=off.min(), vmax=1, cmap="viridis")
            top.set_title(entry.name)
            error = bottom.imshow(entry.matrix - exact, vmin=-limit, vmax=limit, cmap="RdBu_r")
            smallest = np.linalg.eigvalsh(entry.matrix)[0]
            bottom.set_xlabel(f"smallest eigenvalue\n{smallest:+.1e}", color=INK)
            for axes in (top, bottom):
                axes.set_xticks([])
                axes.set_yticks([])
                axes.spines[:].set_visible(False)
        tops[0].set_ylabel("K")
        bottoms[0].set_ylabel("K − exact")
        above.colorbar(image, ax=tops, shrink=0.9, pad=0.01)
        above.colorbar(error, ax=bottoms, shrink=0.9, pad=0.01)
        for axes, (kernel, block) in zip(below.subplots(1, 2), rows.groupby("kernel", sort=False), strict=True):
            positions = np.arange(len(block))
            axes.errorbar(block["R²"], positions, xerr=block["sd of R²"], fmt="o", color=INK, ecolor=GREY, capsize=2)
            axes.axvline(block["R²"].iloc[0], color=GREY, linewidth=0.8, linestyle=(0, (5, 2)))
            axes.set_yticks(positions, block["matrix"])
            axes.set_ylim(len(block) - 0.5, -0.5)
            axes.set_xlabel(f"R² of the {kernel} kernel, mean and spread over {task.repeats} repetitions")
    return figure


def report(task: Task, rows: pd.DataFrame, plans: dict[str, Plan], constant: float, png: Path) -> str:
    """The page: prices, figure and table in one file."""
    prices = []
    for name, plan in plans.items():
        cost = plan.cost
        prices.append(
            f"{name}: {count(cost.executions, 'execution')} in {count(cost.jobs, 'job')}, {cost.seconds:.0f} s on the "
            f"machine, {cost.payload_bytes / 1e6:.2f} MB sent; {count(plan.two_qubit_gates, 'two-qubit gate')}, "
            f"expected fidelity {plan.expected_fidelity:.3f}."
        )
    method = (
        f"{task.components} qubits, bandwidth {task.bandwidth:g}, {task.shots} shots. Errors are those of entries off "
        "the diagonal, against the exact matrix. R² is by support vector regression on the matrix in "
        f"{task.folds} folds that part no twins, {task.repeats} times; a constant scores {constant:.3f}. Repairs are "
        "fitted on the training rows alone."
    )
    return render(
        "experiment.html",
        title="A quantum kernel on a machine",
        lead=f"{task.n_crystals} crystals on {task.machine}, simulated",
        sections=[("What was done", [method]), ("What the run would cost on the machine", prices)],
        picture=embedded(png),
        alt="matrices and scores",
        caption="Matrices of the fidelity kernel, their errors, and R² of every matrix.",
        table_caption="Errors of each matrix and scores of regressions on it.",
        columns=list(rows.columns),
        rows=[[value if isinstance(value, str) else f"{value:.4f}" for value in row] for row in rows.to_numpy()],
    )


def main(task: Task) -> None:
    """Measure, compare, and write everything."""
    task.out.mkdir(parents=True, exist_ok=True)
    X, y, groups = crystals(task)
    found, plans = measure(task, X)
    rows = table(task, found, y, groups)
    folds = GroupKFold(task.folds, shuffle=True, random_state=0)
    constant = r2_score(y, cross_val_predict(DummyRegressor(), X, y, cv=folds, groups=groups))
    rows.to_csv(task.out / "matrices.csv", index=False)
    print(rows.round(4).to_string(index=False))
    print(f"a constant: R² {constant:.3f}")
    png = save(draw(task, found, rows), task.out / "matrices")["png"]
    (task.out / "report.html").write_text(report(task, rows, plans, constant, png), encoding="utf-8")
    print(f"report: {task.out / 'report.html'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Task.out)
    parser.add_argument("--machine", default=Task.machine)
    parser.add_argument("--crystals", type=int, default=Task.n_crystals)
    parser.add_argument("--shots", type=int, default=Task.shots)
    parser.add_argument("--bandwidth", type=float, default=Task.bandwidth)
    parser.add_argument("--seed", type=int, default=Task.seed)
    parser.add_argument("--quick", action="store_true", help="ten crystals on four qubits of fake_manila")
    given = parser.parse_args()
    task = Task(
        out=given.out,
        machine=given.machine,
        n_crystals=given.crystals,
        shots=given.shots,
        bandwidth=given.bandwidth,
        seed=given.seed,
    )
    main(replace(task, machine="fake_manila", n_crystals=10, components=4) if given.quick else task)
