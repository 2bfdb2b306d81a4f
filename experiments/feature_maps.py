"""Which quantum feature map predicts best: all of them, with fidelity and projected kernels, beside an RBF kernel.

    python experiments/feature_maps.py            # cpx321, some minutes
    python experiments/feature_maps.py --quick    # four maps, three folds: 40 s on two cores

Every kernel sees the same principal components and has the same number of candidates (five bandwidths by three
penalties), chosen on inner folds. The record and the report go to a run directory.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from sklearn.gaussian_process.kernels import RBF, Kernel
from sklearn.preprocessing import StandardScaler

import qperov
from qperov.commands.screen import bar
from qperov.evaluation.problem import Model
from qperov.studies.regressors import EPSILON, grid_search

#: Bandwidths of each map, around where the median kernel value is one half.
BANDWIDTHS = {
    "zz": [0.005, 0.01, 0.02, 0.04, 0.08],
    "z": [0.04, 0.08, 0.15, 0.3, 0.5],
    "iqp": [0.05, 0.1, 0.2, 0.3, 0.45],
    "hubregtsen": [0.05, 0.1, 0.2, 0.3, 0.45],
    "angle_yz_cx": [0.05, 0.1, 0.2, 0.3, 0.45],
    "high_dimensional": [0.05, 0.1, 0.2, 0.3, 0.45],
    "covariant_ry": [0.05, 0.1, 0.2, 0.3, 0.45],
    "heisenberg": [0.005, 0.01, 0.02, 0.04, 0.08],
}
#: Maps that take a pattern of entanglement, and those that are tried.
ENTANGLEMENTS = {"zz": ("linear", "full"), "iqp": ("linear", "circular", "full")}


@dataclass(frozen=True)
class Task:
    """Settings of the study.

    Attributes
    ----------
    kind : str
        Descriptor, a kind of ``PXRDFeaturizer``.
    maps : tuple of str
        Feature maps, names in ``BANDWIDTHS``.
    folds, seed : int
    runs : Path
        Folder that receives the run directory.
    """

    kind: str = "structure_factors"
    maps: tuple[str, ...] = tuple(BANDWIDTHS)
    folds: int = 5
    seed: int = 0
    runs: Path = Path("qperov-runs")


def kernels(task: Task) -> dict[str, list[Kernel]]:
    """Name → five candidates."""
    found: dict[str, list[Kernel]] = {"RBF": [RBF(length) for length in (2.0, 3.0, 4.0, 6.0, 10.0)]}
    for name in task.maps:
        for entanglement in ENTANGLEMENTS.get(name, ("linear",)):
            label = f"{name} {entanglement}" if name in ENTANGLEMENTS else name
            for title, kind in {"fidelity": qperov.FidelityKernel, "projected": qperov.ProjectedKernel}.items():
                found[f"{label}, {title}"] = [
                    kind(name, entanglement=entanglement, bandwidth=b, precision="single") for b in BANDWIDTHS[name]
                ]
    return found


def models(task: Task) -> dict[str, Model]:
    """One model a kernel."""
    featurizer = qperov.PXRDFeaturizer(task.kind)
    found = {}
    for name, candidates in kernels(task).items():
        # one grid a kernel: all penalties of a bandwidth follow each other and share its remembered values
        grid = [{"kernel": [kernel], "C": [1.0, 10.0, 100.0]} for kernel in candidates]
        search = grid_search(qperov.QuantumSVR(candidates[0], epsilon=EPSILON), grid)
        steps = (("scale", StandardScaler()), ("pca", qperov.descriptors.RankPCA()))
        found[name] = Model(name, search, featurizer, steps, "classical" if name == "RBF" else "quantum")
    return found


def main(task: Task, command: str) -> None:
    """Compare, print, and write the record and its report."""
    dataset = qperov.load_dataset("cpx321")
    with bar("Cross-validation") as progress:
        result = qperov.compare(
            models(task), dataset, folds=task.folds, random_state=task.seed, n_jobs=2, progress=progress
        )
    print(result, *result.warnings, sep="\n")
    settings = {"command": command, "folds": task.folds, "seed": task.seed}
    record = qperov.records.write_record(
        task.runs / f"feature-maps-{task.kind}", result, task=settings, dataset=dataset.about
    )
    print(f"report: {qperov.reports.build_report(record)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", default=Task.kind, help="descriptor (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="four maps, three folds")
    parser.add_argument("--runs", type=Path, default=Task.runs)
    given = parser.parse_args()
    main(
        Task(
            given.kind,
            tuple(BANDWIDTHS)[:4] if given.quick else tuple(BANDWIDTHS),
            3 if given.quick else 5,
            0,
            given.runs,
        ),
        shlex.join(["python", "experiments/feature_maps.py", *sys.argv[1:]]),
    )
