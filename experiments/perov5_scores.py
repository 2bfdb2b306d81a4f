"""Heat of formation of Perov-5's cells: what diffraction, elements on sites, and a quantum kernel of 39 qubits know.

    python experiments/perov5_scores.py --out qperov-runs/perov5-scores

Five folds by composition over the 3,787 labelled cells, eV per cell: powder profiles, |F|² resolved by site, and 39
site-resolved numbers with ridge regression, boosted trees, kernel ridge regression and projected quantum kernels with a
qubit a number; as references a random forest on matminer's Magpie features, where that is installed, and with
--pretrained CHGNet's embeddings. The kernels "with relevances", and the quantum ones, scale every number by what it
tells of the labels, found on the training fold. --curve adds learning curves. --split random shows what the leak of
compositions does to the scores. Folds that are done are kept: a run that was stopped goes on, and runs of some --models
are taken up by one of all. --quick: every twelfth cell, three minutes.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Structure
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor, VotingRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import qperov
from qperov.classical.kernels import PowerExponential
from qperov.classical.relevance import RelevanceScaling
from qperov.commands import screen
from qperov.descriptors.perovskite_sites import PROPERTIES, SiteFeatures
from qperov.descriptors.site_factors import SiteStructureFactors
from qperov.evaluation.learning_curves import learning_curve
from qperov.evaluation.problem import Model
from qperov.quantum.kernels.projected import ProjectedKernel
from qperov.quantum.kernels.states import KernelStates
from qperov.records import write_record
from qperov.records.runs import claim_run
from qperov.records.study import Study
from qperov.reports import build_report
from qperov.studies.learning_curves import learning_curve_study

#: Exponent of the power-exponential kernel; samples whose likelihood tells the relevances; the ridge that goes with it.
P, SUBSET, ALPHA = 1.3, 1400, 2e-3
#: Feature maps with their repetitions, and how fast their Bloch vectors turn with a small angle.
MAPS = {"iqp": (2, 1.0), "z": (1, 2.0)}
SIZES = (100, 300, 1000, 3000)
#: matbench_perovskites: 18,928 labels, five random folds; eV per cell.
PUBLISHED = {
    "coGN": 0.0269,
    "ALIGNN": 0.0288,
    "CGCNN": 0.0452,
    "MODNet": 0.0908,
    "random forest on SCM and Magpie": 0.2355,
    "CrabNet (composition alone)": 0.4065,
    "dummy": 0.566,
}


@dataclass(frozen=True)
class Task:
    """Settings of the experiment.

    Attributes
    ----------
    split : {"grouped", "random"}
    folds, jobs, seed : int
    models : str
        Parts of names of models, separated by commas; empty for all.
    curve, pretrained, quick : bool
        With learning curves; with CHGNet's embeddings; few cells.
    out : Path
    """

    split: str = "grouped"
    folds: int = 5
    jobs: int = 1
    seed: int = 0
    models: str = ""
    curve: bool = False
    pretrained: bool = False
    quick: bool = False
    out: Path = Path("qperov-runs/perov5-scores")


class MagpieFeatures(TransformerMixin, BaseEstimator):
    """matminer's ``ElementProperty`` ("magpie") of the composition, 132 numbers."""

    description = "Magpie (composition)"

    def fit(self, X: Sequence[Structure], y: Any = None) -> MagpieFeatures:
        """Nothing is learnt."""
        return self

    def transform(self, X: Sequence[Structure]) -> np.ndarray:
        """Features, shape (n, 132)."""
        from matminer.featurizers.composition.composite import ElementProperty

        featurizer = ElementProperty.from_preset("magpie")
        rows = {structure.composition: None for structure in X}
        found = {composition: featurizer.featurize(composition) for composition in rows}
        return np.array([found[structure.composition] for structure in X])


class CHGNetEmbeddings(TransformerMixin, BaseEstimator):
    """The 64 numbers that CHGNet makes of a crystal before its last layers: what a pre-trained network knows of it."""

    description = "CHGNet embedding (pre-trained)"

    def fit(self, X: Sequence[Structure], y: Any = None) -> CHGNetEmbeddings:
        """Nothing is learnt."""
        return self

    def transform(self, X: Sequence[Structure]) -> np.ndarray:
        """Embeddings, shape (n, 64)."""
        from chgnet.model import CHGNet

        network = CHGNet.load(use_device="cpu", verbose=False)
        found = network.predict_structure(list(X), task="e", return_crystal_feas=True, batch_size=64)
        return np.array([each["crystal_fea"] for each in found])


def models(task: Task) -> dict[str, Model]:
    """What is compared."""
    subset = 150 if task.quick else SUBSET
    sites, more, factors = SiteFeatures(), SiteFeatures(tuple(PROPERTIES)), SiteStructureFactors()
    profile = qperov.PXRDFeaturizer("profile", width=0.6, step=0.3)
    scale = ("scale", StandardScaler())
    relevant = (scale, ("relevance", RelevanceScaling(p=P, n_subset=subset, random_state=task.seed)))

    def ridge(kernel: Any, alpha: float = ALPHA) -> BaseEstimator:
        return TransformedTargetRegressor(KernelRidge(kernel=kernel, alpha=alpha), transformer=StandardScaler())

    def laplacian(d: int) -> BaseEstimator:
        return ridge(PowerExponential(1 / (3 * d), 1.0), 1e-3)

    trees = HistGradientBoostingRegressor(max_iter=400, learning_rate=0.06, random_state=task.seed)
    unit = PowerExponential(1.0, P)
    beside: dict[str, Any] = {"role": "contrast"}
    found = [
        Model("Kernel ridge with relevances", ridge(unit), more, relevant, **beside),
        Model("Mean of three draws with relevances", three_draws(task, subset, ridge(unit)), more, (scale,), **beside),
        Model("Kernel ridge with relevances", ridge(unit), sites, relevant),
        *(
            Model(
                f"Quantum kernel ridge, {name}, 39 qubits",
                ridge(PowerExponential(MAPS[name][1] ** -P, P)),
                sites,
                (*relevant, ("states", KernelStates(line_kernel(name)))),
                family="quantum",
            )
            for name in MAPS
        ),
        Model("Kernel ridge, Laplacian", laplacian(39), sites, (scale,), **beside),
        Model("Kernel ridge, RBF", ridge(RBF(np.sqrt(39.0))), sites, (scale,), **beside),
        Model("Gradient boosting", trees, sites, **beside),
        Model("Ridge", Ridge(1.0), sites, (scale,), **beside),
        Model("Kernel ridge, Laplacian", laplacian(factors.n_features), factors, (scale,), **beside),
        Model("Kernel ridge, Laplacian", laplacian(301), profile, (scale,), **beside),
    ]
    if find_spec("matminer"):
        forest = RandomForestRegressor(100, max_features=0.33, random_state=task.seed)
        found.append(Model("Random forest", forest, MagpieFeatures(), family="reference", **beside))
    if task.pretrained:
        found += [
            Model("Ridge", Ridge(1e-2), CHGNetEmbeddings(), (scale,), family="reference", **beside),
            Model("Kernel ridge, RBF", ridge(RBF(8.0)), CHGNetEmbeddings(), (scale,), family="reference", **beside),
        ]
    named = {f"{model.name} · {model.descriptor}": model for model in found}
    parts = [part.strip() for part in task.models.split(",") if part.strip()]
    return {name: model for name, model in named.items() if not parts or any(part in name for part in parts)}


def three_draws(task: Task, subset: int, machine: BaseEstimator) -> VotingRegressor:
    """The mean of three machines whose relevances were found on other samples each."""
    scalings = [RelevanceScaling(p=P, n_subset=subset, random_state=task.seed + draw) for draw in range(3)]
    return VotingRegressor([(f"draw{i}", make_pipeline(each, machine)) for i, each in enumerate(scalings)])


def line_kernel(feature_map: str) -> ProjectedKernel:
    """A projected kernel with a qubit a number, as matrix product states."""
    return ProjectedKernel(feature_map=feature_map, reps=MAPS[feature_map][0], bandwidth=1.0, simulator="mps")


def main(task: Task) -> pd.DataFrame:
    """Compare, write record and report; returns the table of scores."""
    dataset = qperov.load_dataset("perov5")
    if task.quick:
        dataset = dataset.take(range(0, len(dataset), 12))
    compared = models(task)
    with screen.resumable("the same command goes on with the folds that are done"), screen.bar("Fitting") as advance:
        comparison = qperov.compare(
            compared,
            dataset,
            folds=task.folds,
            split=task.split,
            random_state=task.seed,
            n_jobs=task.jobs,
            progress=advance,
            resume=task.out / "folds",
        )
    screen.print_table(comparison)
    studies = [standard_split_study(comparison, task)]
    if task.curve:
        chosen = {name: model for name, model in compared.items() if "with relevances" in name or "Laplacian" in name}
        most = int(len(dataset) * (1 - 1 / task.folds)) - 50
        sizes = [size for size in SIZES if size <= most]
        with screen.bar("Learning curves") as advance:
            curve = learning_curve(
                chosen,
                dataset,
                sizes=sizes,
                folds=task.folds,
                n_jobs=task.jobs,
                random_state=task.seed,
                progress=advance,
            )
        curve.to_csv(task.out / "curve.csv", index=False)
        studies.append(learning_curve_study(curve, unit=dataset.unit or ""))
    record = write_record(
        claim_run(task.out, "run"),
        comparison,
        task={"command": shlex.join(["python", *sys.argv]), **{k: str(v) for k, v in asdict(task).items()}},
        dataset=dataset.about,
        studies=studies,
        compositions=[structure.composition.reduced_formula for structure in dataset.structures],
        claimed=True,
    )
    print(f"report: {build_report(record)}")
    return comparison.table


def standard_split_study(comparison: qperov.Comparison, task: Task) -> Study:
    """The published scores, and what the standard split shares between its parts."""
    formulas = {
        split: [
            crystal.composition.reduced_formula for crystal in qperov.load_dataset("perov5", split=split).structures
        ]
        for split in ("train", "val", "test")
    }
    rows = []
    for split, names in formulas.items():
        others = set().union(*(other for name, other in formulas.items() if name != split))
        rows.append(
            {
                "split": split,
                "cells": len(names),
                "whose composition is in another split": sum(n in others for n in names),
            }
        )
    published = pd.DataFrame({"model": PUBLISHED.keys(), "MAE / eV a cell": PUBLISHED.values()})
    return Study(
        "Published scores, and the standard split",
        (
            "matbench_perovskites has the same cells with five times the labels, and random folds, so that a "
            "composition with A and B exchanged may be on both sides; its scores do not compare with those here, whose "
            f"folds are {'by composition' if task.split == 'grouped' else 'random here, too'}.",
            "The standard split of the generators' benchmark was drawn at random as well: the table counts the cells "
            "of each part whose composition is in another part.",
        ),
        tables={"matbench_perovskites, as published": published, "Compositions that splits share": pd.DataFrame(rows)},
        decimals={"MAE / eV a cell": 4},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("grouped", "random"), default=Task.split, help="random leaks")
    for number, meaning in (
        ("folds", "of the cross-validation"),
        ("jobs", "processes"),
        ("seed", "of folds and models"),
    ):
        parser.add_argument(f"--{number}", type=int, default=getattr(Task, number), help=meaning)
    parser.add_argument("--models", default="", help="parts of names of models, separated by commas; by default all")
    parser.add_argument("--pretrained", action="store_true", help="CHGNet's embeddings, too; minutes more")
    parser.add_argument("--curve", action="store_true", help="learning curves from 100 to 3,000 cells, too")
    parser.add_argument("--quick", action="store_true", help="every twelfth cell")
    parser.add_argument("--out", type=Path, default=Task.out)
    main(Task(**vars(parser.parse_args())))
