"""MATGANIP.f: networks that learn the tolerance factor from powder patterns, and what they say of orderings.

    python experiments/double_perovskites.py --out qperov-runs/double-perovskites [--energies ENERGIES.csv]

makes cubic and tilted cells of every charge-balanced ABX₃ composition whose radii allow a perovskite, and has the
networks predict Goldschmidt's t from MATGANIP's 28×28 matrix, by honest groups of compositions, beside constants and
ridge regression. A network fitted to all of them then gives its "structure factor" for 15 double perovskites in six
orderings of their B sites, which t cannot tell apart. Energies of the ideal cells are CHGNet's (a machine-learned
potential, one static calculation a cell, nothing relaxed; ``pip install 'qperov[potentials]'``), or DFT energies of
your own: a CSV with the columns formula, ordering and energy_ev_per_atom. The heat map shows both, with Pearson's r
over the 15 compounds for each ordering. Two controls stand beside it: r of t itself, and r over the six orderings
inside a compound, where all differences are due to the ordering. Folds are kept in the folder: a run that was stopped
goes on. --quick takes 40 compositions and few steps.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from gan_figures import draw_errors, draw_training
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from pymatgen.core import Structure
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import qperov
from qperov.classical.cnn import CNNRegressor
from qperov.classical.gan import WSPGAN
from qperov.commands import screen
from qperov.crystals.perovskites.cells import tilt_angle
from qperov.crystals.perovskites.double import double_perovskites
from qperov.errors import MissingDependencyError, PublishedFaultWarning
from qperov.evaluation.comparison import compare
from qperov.reports.figures.style import INK, save, style

COLUMNS = ("formula", "ordering", "energy_ev_per_atom")
#: Colour maps of the upper and the lower triangle.
ENERGY_MAP, FACTOR_MAP = "viridis", "coolwarm"


@dataclass(frozen=True)
class Task:
    """Settings of the experiment.

    Attributes
    ----------
    out : Path
        Folder that receives tables and figures.
    energies : Path or None
        CSV of energies; without it CHGNet's.
    compositions : int
        ABX₃ compositions drawn; 0 for all.
    epochs, steps : int
        Of the CNN and of the GAN.
    folds, seed : int
    """

    out: Path = Path("qperov-runs/double-perovskites")
    energies: Path | None = None
    compositions: int = 0
    epochs: int = 12
    steps: int = 600
    folds: int = 5
    seed: int = 0


def tolerance_task(task: Task) -> qperov.datasets.CrystalDataset:
    """Cubic and tilted cells of each composition, with t; both cells of a composition are one group."""
    compositions = qperov.crystals.perovskite_compositions()
    if task.compositions:
        drawn = np.random.default_rng(task.seed).permutation(len(compositions))[: task.compositions]
        compositions = [compositions[i] for i in sorted(drawn)]
    structures, ids, y, groups = [], [], [], []
    for number, sites in enumerate(compositions):
        for tilt in ("cubic", "a-a-c+")[: 2 if tilt_angle(sites) > 0 else 1]:
            structures.append(qperov.crystals.perovskite_cell(sites, tilt))
            charges = [ion.oxi_state for ((ion, _),) in (sites.a, sites.b, sites.x)]
            ids.append(f"{sites.formula} {charges[0]:+g}{charges[1]:+g}{charges[2]:+g} {tilt}")
            y.append(qperov.crystals.tolerance_factors(sites).t)
            groups.append(number)
    return qperov.datasets.CrystalDataset(
        name="tolerance factors of generated perovskites",
        structures=tuple(structures),
        ids=tuple(ids),
        y=np.array(y),
        target="Goldschmidt t",
        provenance=("t from Shannon radii; most of these compositions were never made",) * len(y),
        known_groups=np.array(groups),
    )


def networks(task: Task) -> dict[str, CNNRegressor | WSPGAN]:
    """Both networks of the papers."""
    return {
        "CNN-Gen": CNNRegressor(epochs=task.epochs, random_state=task.seed),
        "WSP-GAN": WSPGAN(steps=task.steps, random_state=task.seed),
    }


def chgnet_energies(structures: list[Structure]) -> np.ndarray:
    """Energies of the cells as they stand, eV per atom.

    Raises
    ------
    MissingDependencyError
        CHGNet is not installed.
    """
    try:
        from chgnet.model import CHGNet
    except ImportError as error:
        raise MissingDependencyError(
            "energies need CHGNet, pip install 'qperov[potentials]', or a table: --energies"
        ) from error
    potential = CHGNet.load(use_device="cpu", verbose=False)
    neutral = [structure.copy().remove_oxidation_states() for structure in structures]
    return np.array([potential.predict_structure(s, task="e")["e"] for s in neutral], dtype=float)


def given_energies(path: Path, table: pd.DataFrame) -> np.ndarray:
    """Energies of a CSV in the order of ``table``, eV per atom.

    Raises
    ------
    ValueError
        A column or a crystal is missing, or stands there twice.
    """
    given = pd.read_csv(path)
    if missing := set(COLUMNS) - set(given.columns):
        raise ValueError(f"{path}: columns {sorted(missing)} are missing; needed are {', '.join(COLUMNS)}")
    merged = table[["formula", "ordering"]].merge(given, how="left", on=["formula", "ordering"])
    if len(merged) != len(table) or merged[COLUMNS[2]].isna().any():
        absent = [f"{row.formula} {row.ordering}" for row in merged[merged[COLUMNS[2]].isna()].itertuples()]
        raise ValueError(f"{path}: one energy is needed for each crystal; missing: {absent[:5] or 'none, some twice'}")
    return merged[COLUMNS[2]].to_numpy(dtype=float)


def correlations(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Pearson r with the energy: for each ordering over the compounds, of the factor and of t; inside each compound."""
    with np.errstate(invalid="ignore", divide="ignore"):  # equal energies have no correlation: NaN
        rows = {
            name: {key: part["energy_ev_per_atom"].corr(part[key]) for key in ("structure_factor", "t")}
            for name, part in table.groupby("ordering", sort=False)
        }
        inside = {
            formula: part["energy_ev_per_atom"].corr(part["structure_factor"])
            for formula, part in table.groupby("formula", sort=False)
        }
    return pd.DataFrame(rows).T, pd.Series(inside)


def main(task: Task) -> None:
    """Score the networks on t, then draw the heat map."""
    task.out.mkdir(parents=True, exist_ok=True)
    dataset = tolerance_task(task)
    featurizer = qperov.PXRDFeaturizer("matganip")
    ridge = Pipeline([("pxrd", featurizer), ("scale", StandardScaler()), ("model", Ridge(10.0))])
    others = {
        "nearest training matrix": KNeighborsRegressor(1),
        "WSP-GAN as in MATGANIP": WSPGAN("matganip", steps=2000),
    }
    warnings.simplefilter("ignore", PublishedFaultWarning)
    models = {
        name: Pipeline([("pxrd", featurizer), ("model", model)]) for name, model in (networks(task) | others).items()
    }
    with screen.bar("Folds") as advance:
        result = compare(
            {"Ridge": ridge} | models,
            dataset,
            folds=task.folds,
            random_state=task.seed,
            progress=advance,
            resume=task.out / "folds",
        )
    print(result, *result.warnings, sep="\n")
    result.table.to_csv(task.out / "tolerance-scores.csv", index=False)

    matrix = result.features["MATGANIP matrix"]
    fold = result.predictions.query("model == 'WSP-GAN' and fold == 0")
    train = ~np.isin(dataset.ids, fold["id"])
    gan = networks(task)["WSP-GAN"].fit(matrix[train], dataset.y[train])
    save(draw_training(gan.history_, "MATGANIP.f, one fold: the game on tolerance factors"), task.out / "training")
    parts = [(dataset.y[rows], gan.predict(matrix[rows])) for rows in (train, ~train)]
    save(draw_errors(*parts, "tolerance factor", "MATGANIP.f, one fold by composition"), task.out / "errors")

    crystals = double_perovskites()
    table = pd.DataFrame(
        {
            "formula": [c.compound.formula for c in crystals],
            "ordering": [c.site_symmetry for c in crystals],
            "t": [qperov.crystals.tolerance_factors(c.compound.sites).t for c in crystals],
        }
    )
    double = featurizer.transform([c.structure for c in crystals])
    table["structure_factor"] = networks(task)["WSP-GAN"].fit(matrix, dataset.y).predict(double)
    if task.energies is None:
        table["energy_ev_per_atom"] = chgnet_energies([c.structure for c in crystals])
        source = "CHGNet (machine-learned potential), ideal cells, not relaxed"
    else:
        table["energy_ev_per_atom"] = given_energies(task.energies, table)
        source = task.energies.name
    by_ordering, by_compound = correlations(table)
    table.to_csv(task.out / "double-perovskites.csv", index=False)
    by_ordering.to_csv(task.out / "pearson-by-ordering.csv")
    by_compound.rename("r").to_csv(task.out / "pearson-by-compound.csv")
    print(f"\nPearson r with the energy over the compounds, for each ordering:\n{by_ordering.round(3)}")
    print(
        f"inside a compound, over its orderings: mean r {by_compound.mean():.3f} "
        f"({by_compound.min():.3f} to {by_compound.max():.3f})"
    )
    save(draw_heat_map(table, by_ordering, source), task.out / "heat-map")


def draw_heat_map(table: pd.DataFrame, by_ordering: pd.DataFrame, source: str) -> Figure:
    """Compounds × orderings: upper triangles are energies, lower ones structure factors; r at the end of each row."""
    formulas, names = list(dict.fromkeys(table["formula"])), list(dict.fromkeys(table["ordering"]))
    corners = {
        "energy_ev_per_atom": ([(0, 0), (1, 0), (0, 1)], ENERGY_MAP, f"energy (eV/atom)\n{source}"),
        "structure_factor": ([(1, 0), (1, 1), (0, 1)], FACTOR_MAP, "structure factor of MATGANIP.f\n"),
    }
    with style():
        figure = Figure(figsize=(12.5, 5.0), layout="constrained")
        axes = figure.subplots()
        for column, (triangle, colours, label) in corners.items():
            where = [
                (formulas.index(f), names.index(o)) for f, o in zip(table["formula"], table["ordering"], strict=True)
            ]
            shapes = [[(i + x, j + y) for x, y in triangle] for i, j in where]
            patches = PolyCollection(shapes, array=table[column], cmap=colours, edgecolors="white", linewidths=0.4)
            axes.add_collection(patches)
            figure.colorbar(patches, ax=axes, pad=0.012, shrink=0.85, label=label)
        for column, right in (("structure_factor", 1.0), ("t", 2.0)):
            for j, name in enumerate(names):
                value = f"{by_ordering.loc[name, column]:+.2f}".replace("-", "−")
                axes.text(len(formulas) + right, j + 0.5, value, va="center", ha="right", color=INK)
        axes.text(len(formulas) + 0.15, -0.15, "r of factor,  of t", va="bottom", color=INK)
        axes.set_xticks(np.arange(len(formulas)) + 0.5, [_subscripts(f) for f in formulas], rotation=40, ha="right")
        axes.set_yticks(np.arange(len(names)) + 0.5, names)
        axes.set_xlim(0, len(formulas) + 2.3)
        axes.set_ylim(len(names), -0.02)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title("upper triangles: energy; lower triangles: structure factor", loc="left")
    return figure


def _subscripts(formula: str) -> str:
    return formula.translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Task.out)
    parser.add_argument("--energies", type=Path, help="CSV with the columns " + ", ".join(COLUMNS))
    for number in ("compositions", "epochs", "steps", "folds", "seed"):
        parser.add_argument(f"--{number}", type=int, default=getattr(Task, number))
    parser.add_argument("--quick", action="store_true", help="40 compositions, few steps")
    arguments = vars(parser.parse_args())
    quick, task = arguments.pop("quick"), Task(**arguments)
    main(replace(task, compositions=40, epochs=1, steps=20) if quick else task)
