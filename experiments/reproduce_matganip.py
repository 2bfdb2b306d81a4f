"""What MATGANIP's error was worth: its published setting against an honest one, on its own files.

    python experiments/reproduce_matganip.py DATA --out qperov-runs/matganip

reads the labelled POSCARs (DATA holds ``poscars.tar.gz`` and ``labels.csv``), and splits them 80:20 in three ways: at
random, with copies of one crystal on both sides; by symmetry class; by honest groups, which also keep together what the
matrix cannot tell apart. Each is done with the right species and with those that pymatgen takes VASP 4 files to hold
(H, He, Li, Be for Cs, Pb, Br, I), on MATGANIP's 28×28 matrix. Beside every network stand the median of the training
labels and a look-up of the nearest training matrix, which can only remember; beside the repaired GAN the same without
its game. One table is printed, and saved as CSV and as a figure; more figures show the games and the errors on train
and test. Each row is saved as soon as it is there: a run that was stopped goes on. --quick takes 60 classes and few
steps: seconds a row, and scores that mean nothing.
"""

from __future__ import annotations

import argparse
import tarfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from gan_figures import draw_errors, draw_training
from matplotlib.figure import Figure
from pymatgen.core import Structure
from scipy.stats import spearmanr
from sklearn.base import RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from sklearn.neighbors import KNeighborsRegressor

import qperov
from qperov.classical.cnn import CNNRegressor
from qperov.classical.gan import WSPGAN
from qperov.errors import PublishedFaultWarning
from qperov.evaluation.splits import honest_groups
from qperov.reports.figures.style import COLOURS, save, style

#: The authors' labels are energies of a cell of 30 atoms in units of 1e-4 eV; here in meV/atom.
PUBLISHED_UNIT = 0.1 / 30
#: What pymatgen names the first, second, … species of a POSCAR that does not name them.
MISREAD = ("H", "He", "Li", "Be", "B", "C")
BASELINES = ("median of the training labels", "nearest training matrix")
SPLITS = ("at random", "by symmetry class", "by honest groups")


@dataclass(frozen=True)
class Task:
    """Settings of the experiment.

    Attributes
    ----------
    data : Path
        Folder with ``poscars.tar.gz`` and ``labels.csv``.
    out : Path
        Folder that receives the table and the figures.
    classes : int
        Symmetry classes drawn, with all their copies; 0 for all.
    epochs, steps, published_steps : int
        Of the fixed CNN-Gen, of the fixed GANs (32 crystals a step), and of the authors' (one crystal a step).
    seed : int
    """

    data: Path
    out: Path = Path("qperov-runs/matganip")
    classes: int = 0
    epochs: int = 12
    steps: int = 600
    published_steps: int = 2000
    seed: int = 0

    @property
    def quick(self) -> Task:
        """The same in two minutes, to see that it runs."""
        return replace(self, classes=60, epochs=1, steps=20, published_steps=100)


def vasp4_ids(archive: Path) -> set[str]:
    """Ids (split/flag) of the POSCARs without a line of elements."""
    found = set()
    with tarfile.open(archive) as files:
        for member in files:
            file = files.extractfile(member)
            if file is not None and file.read().decode().splitlines()[5].split()[0].isdecimal():
                found.add("/".join(Path(member.name).parts[-3:-1]))
    return found


def misread(structure: Structure) -> Structure:
    """The crystal that pymatgen sees in a POSCAR without elements."""
    names = list(dict.fromkeys(site.species_string for site in structure))
    false = structure.copy()
    false.replace_species(dict(zip(names, MISREAD, strict=False)))
    return false


def models(task: Task) -> dict[str, tuple[RegressorMixin, bool]]:
    """Name → (model, whether it takes labels in the authors' unit)."""
    return {
        BASELINES[0]: (DummyRegressor(strategy="median"), False),
        BASELINES[1]: (KNeighborsRegressor(1), False),
        "CNN-Gen as published": (CNNRegressor("published", random_state=task.seed), True),
        "WSP-GAN as in MATGANIP": (WSPGAN("matganip", steps=task.published_steps, random_state=task.seed), True),
        "WSP-GAN as in MATGANICSS": (WSPGAN("matganicss", steps=task.published_steps, random_state=task.seed), True),
        "CNN-Gen": (CNNRegressor(epochs=task.epochs, random_state=task.seed), False),
        "WSP-GAN": (WSPGAN(steps=task.steps, random_state=task.seed), False),
        "WSP-GAN without the game": (
            WSPGAN(steps=task.steps, adversarial_weight=0.0, random_state=task.seed),
            False,
        ),
    }


def splits(
    groups: np.ndarray, matrix: np.ndarray, seed: int
) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Name, training rows, test rows and honest groups of the three ways to split 80:20."""
    honest = honest_groups(groups, [matrix])
    for name, respected in zip(SPLITS, (None, groups, honest), strict=True):
        splitter = ShuffleSplit if respected is None else GroupShuffleSplit
        train, test = next(splitter(1, test_size=0.2, random_state=seed).split(matrix, groups=respected))
        yield name, train, test, honest


def main(task: Task) -> pd.DataFrame:
    """Run every setting that is not in the folder yet; returns and saves the table."""
    dataset = qperov.read(task.data, target="energy_ev_per_cell", labels=task.data / "labels.csv", convert="meV/atom")
    if task.classes:
        drawn = np.random.default_rng(task.seed).permutation(np.unique(dataset.groups))[: task.classes]
        dataset = dataset.take(np.isin(dataset.groups, drawn))
    without = vasp4_ids(task.data / "poscars.tar.gz")
    is_vasp4 = np.array([i.split("/", 1)[-1] in without or i in without for i in dataset.ids])
    print(f"{len(dataset)} crystals, {len(np.unique(dataset.groups))} symmetry classes, {is_vasp4.sum()} VASP 4 files")
    rows = earlier_rows(task)
    warnings.simplefilter("ignore", PublishedFaultWarning)
    y = dataset.y
    for species in ("right", "VASP 4 misread"):
        crystals = [
            misread(s) if species != "right" and old else s for s, old in zip(dataset.structures, is_vasp4, strict=True)
        ]
        matrix = qperov.PXRDFeaturizer("matganip").fit_transform(crystals)
        for split, train, test, honest in splits(dataset.groups, matrix, task.seed):
            copies = np.isin(honest[test], honest[train]).mean()
            for name, (model, published) in models(task).items():
                if any((row["species"], row["split"], row["model"]) == (species, split, name) for row in rows):
                    continue
                unit = PUBLISHED_UNIT if published else 1.0
                prediction = unit * model.fit(matrix[train], y[train] / unit).predict(matrix)
                error = mean_absolute_error(y[test], prediction[test])
                rows.append(
                    {
                        "species": species,
                        "split": split,
                        "copies in training": copies,
                        "model": name,
                        "MAE meV/atom": error,
                        "MAE of the median": mean_absolute_error(y[test], np.full(len(test), np.median(y[train]))),
                        "R²": r2_score(y[test], prediction[test]),
                        "Spearman": _spearman(y[test], prediction[test]),
                    }
                )
                pd.DataFrame(rows).to_csv(task.out / "settings.csv", index=False)
                print(f"{species:15} {split:18} {name:30} MAE {error:.4f}  R² {rows[-1]['R²']:.3f}", flush=True)
                if species == "right" and split == SPLITS[2] and isinstance(model, WSPGAN) and model.adversarial_weight:
                    save(draw_training(model.history_, name), task.out / f"training-{model.mode}")
                    parts = [(y[part], prediction[part]) for part in (train, test)]
                    save(
                        draw_errors(*parts, "meV/atom", f"{name}, split {split}; rates depend on the zero of energy"),
                        task.out / f"errors-{model.mode}",
                    )
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format=lambda v: f"{v:.3f}"))
    save(draw_settings(table), task.out / "settings")
    return table


def earlier_rows(task: Task) -> list[dict]:
    """Rows that a stopped run of the same settings left in the folder, which notes the settings.

    Raises
    ------
    SystemExit
        The folder holds a run of other settings.
    """
    task.out.mkdir(parents=True, exist_ok=True)
    note, table = task.out / "task.txt", task.out / "settings.csv"
    settings = repr(replace(task, out=Path()))
    if note.exists() and note.read_text() != settings:
        raise SystemExit(f"{task.out} holds a run of other settings ({note}): give another --out")
    note.write_text(settings)
    return pd.read_csv(table).to_dict("records") if table.exists() else []


def _spearman(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Rank correlation; NaN for a constant prediction."""
    return float(spearmanr(truth, prediction).statistic) if np.ptp(prediction) > 0 else np.nan


def draw_settings(table: pd.DataFrame) -> Figure:
    """MAE of every model in each of the six settings, beside the median's."""
    settings = list(table.groupby(["species", "split"], sort=False))
    names = [name for name in dict.fromkeys(table["model"]) if name != BASELINES[0]]
    highest = 1.6 * table["MAE of the median"].max()
    with style():
        figure = Figure(figsize=(10.5, 5.4), layout="constrained")
        panels = figure.subplots(2, 3, sharex=True, sharey=True)
        for axes, ((_, split), part) in zip(panels.flat, settings, strict=True):
            errors = part.set_index("model")["MAE meV/atom"]
            for at, name in enumerate(names):
                colour = COLOURS["baseline"] if name in BASELINES else COLOURS["classical"]
                shown = min(errors[name], highest)
                axes.barh(at, shown, height=0.62, color=colour, alpha=0.45 if " as " in name else 0.9)
                outside = errors[name] > highest
                axes.text(
                    shown - 0.005 if outside else shown + 0.004,
                    at,
                    f"{errors[name]:.3g}" + (" →" if outside else ""),
                    va="center",
                    ha="right" if outside else "left",
                    fontsize=8,
                    bbox={"facecolor": "none" if outside else "white", "edgecolor": "none", "pad": 0.8},
                )
            axes.axvline(errors[BASELINES[0]], color=COLOURS["quantum"], linewidth=1.2)
            copies = part["copies in training"].iloc[0]
            axes.set_title(f"split {split}:\n{copies:.0%} of the test set is also in training")
            axes.set_yticks(range(len(names)), names)
            axes.set_xlim(0, 1.15 * highest)
        for row, species in zip(panels, dict.fromkeys(table["species"]), strict=True):
            row[0].set_ylabel(f"species: {species}")
        panels[0, 0].invert_yaxis()
        figure.supxlabel("MAE on the test set (meV/atom); vertical lines: median of the training labels", fontsize=9.5)
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with poscars.tar.gz and labels.csv")
    parser.add_argument("--out", type=Path, default=Task.out)
    for number in ("classes", "epochs", "steps", "published_steps", "seed"):
        parser.add_argument(f"--{number.replace('_', '-')}", type=int, default=getattr(Task, number))
    parser.add_argument("--quick", action="store_true", help="60 classes, few steps")
    arguments = vars(parser.parse_args())
    quick, task = arguments.pop("quick"), Task(**arguments)
    main(task.quick if quick else task)
