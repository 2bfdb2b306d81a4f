"""A published quantum kernel of 32 diffraction patterns of oxides, looked at again: what tells bixbyite from fluorite?

    python experiments/heo_2026.py                # half a minute of one core
    python experiments/heo_2026.py --quick        # seconds

"Quantum kernel Machine Learning for XRD Phase Classification in High-Entropy Oxides" (2026; its programs:
github.com/uzairkhan-qchem/QKML_HEO): the 16 bixbyite and 16 of 83 fluorite samples of `heo106`, 150 intensities in the
Peters map on 25 qubits, IonQ's noisy simulator of Aria with 1,024 shots, Gaussian-process classification, classical
kernels without anything to tune. The circuit is a matrix product state of bond dimension 4, so that its kernel is exact
here; shots and a noise model are drawn from it.

Printed and saved: geometric differences and model complexities; accuracy against the number of training samples with
the published kernels, with tuned ones, surrogates, and five numbers of crystallography: the lattice parameter and the
heights of four superstructure lines of the doubled cell, read where the strongest line says that they are; then on all
99 samples, tested at random and on composition series that were left out.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import few_samples as few
import numpy as np
import pandas as pd
import peters_kernels as peters

import qperov
from qperov.diffraction.measured import MeasuredPattern, subtract_background

#: Fluorite samples of the study, and the seed of its draw.
DRAWN, DRAW_SEED = 16, 42
#: All-zero outcomes of 1,024 runs for the first sample with each other one, in the programs' file of the noisy matrix.
PUBLISHED_ROW = (
    212, 0, 6, 15, 48, 1, 11, 6, 13, 24, 0, 16, 19, 2, 4, 22, 40, 261, 188, 59, 8, 0, 176, 13, 31, 0, 15, 146, 34, 114,
    30,
)  # fmt: skip
#: Length scale of the published Gaussian kernel, of rows that have the length 1.
GAUSSIAN_WIDTH = 1.0
#: Lines of the doubled cell that fluorite does not have.
SUPERSTRUCTURE = ((2, 1, 1), (3, 2, 1), (3, 3, 2), (4, 3, 1))
#: The strongest line of both phases, in indices of the doubled cell.
STRONGEST = (2, 2, 2)
#: Degrees: half of the range in which a line is looked for, and of the range around it that its noise is taken from.
LINE, AROUND = 0.3, 1.0
FEW = {"32 samples": "16 bixbyite and 16 fluorite samples"}
ALL = {"all, at random": "all samples, drawn at random", "all, by series": "composition series left out"}


@dataclass(frozen=True)
class Task:
    """Settings of the experiment.

    Attributes
    ----------
    out : Path
        Folder that receives the tables.
    figure : Path or None
        Folder that receives the figures.
    draws, all_draws : int
        Draws of each number of training samples, among the 32 and among all samples.
    sizes, all_sizes : tuple of int
        Numbers of training samples.
    seed : int
    """

    out: Path = Path("qperov-runs/heo-2026")
    figure: Path | None = None
    draws: int = 100
    all_draws: int = 50
    sizes: tuple[int, ...] = (5, 8, 12, 16, 20, 24, 28, 31)
    all_sizes: tuple[int, ...] = (16, 32, 48, 64)
    seed: int = 0


def published_rows(labels: np.ndarray) -> np.ndarray:
    """Rows of the study's samples: the drawn fluorite ones, then all of bixbyite."""
    fluorite, bixbyite = (np.flatnonzero(labels == name) for name in ("fluorite", "bixbyite"))
    drawn = np.random.RandomState(DRAW_SEED).choice(fluorite, DRAWN, replace=False)
    return np.concatenate([np.sort(drawn), bixbyite])


def line_angle(hkl: tuple[int, int, int], edge: float, wavelength: float) -> float:
    """2θ (degrees) of a line of a cubic cell of that edge (Å)."""
    return float(2 * np.degrees(np.arcsin(wavelength * np.linalg.norm(hkl) / (2 * edge))))


def crystallography(pattern: MeasuredPattern) -> list[float]:
    """Edge of the doubled cell (Å) by the strongest line, mean heights of the superstructure lines over local noise.

    A height h stands as sgn(h) ln(1 + |h|).
    """
    flat = subtract_background(pattern)
    angles, heights = flat.two_theta, flat.intensity
    top = int(heights.argmax())
    window = slice(max(top - 10, 0), top + 11)
    weights = heights[window].clip(0)
    theta = np.radians(float(weights @ angles[window] / weights.sum()) / 2)
    wavelength = float(pattern.wavelength or 0)
    edge = float(wavelength * np.linalg.norm(STRONGEST) / (2 * np.sin(theta)))
    found = [edge]
    for hkl in SUPERSTRUCTURE:
        distance = np.abs(angles - line_angle(hkl, edge, wavelength))
        around = heights[(distance > LINE) & (distance <= AROUND)]
        noise = 1.4826 * np.median(np.abs(around - np.median(around)))
        height = (heights[distance <= LINE].mean() - np.median(around)) / noise
        found.append(float(np.sign(height) * np.log1p(abs(height))))
    return found


def main(task: Task) -> dict[str, pd.DataFrame]:
    """Run everything; returns and saves the tables."""
    dataset = qperov.load_dataset("heo106", target="structure")
    labels = np.asarray(dataset.y)
    raw = peters.spread_columns(np.array([pattern.intensity for pattern in dataset.patterns]))
    lengths = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    physical = np.array([crystallography(pattern) for pattern in dataset.patterns])

    def tuned(rows: np.ndarray) -> list[few.Contender]:
        return peters.tuned_contenders(angles_of(raw[rows]), lengths[rows], physical[rows], task.seed)

    rows, everything = published_rows(labels), np.arange(len(labels))
    contenders = peters.published_contenders(angles_of(raw[rows]), lengths[rows], GAUSSIAN_WIDTH, task.seed)
    contenders += tuned(rows)
    at_random = partial(few.random_draws, len(rows), draws=task.draws, seed=task.seed)
    of_few = few.accuracies(contenders, labels[rows], task.sizes, at_random, *FEW)
    draws = {
        "all, at random": partial(few.random_draws, len(labels), draws=task.all_draws, seed=task.seed),
        "all, by series": partial(few.grouped_draws, dataset.groups, draws=task.all_draws, seed=task.seed),
    }
    whole = tuned(everything)
    of_all = pd.concat(few.accuracies(whole, labels, task.all_sizes, draws[name], name) for name in ALL)
    tables = {
        "entries": few.entry_table(contenders),
        "complexities": few.complexity_table(contenders, {"phase": labels[rows]}),
    }
    tables |= few.score_tables(of_few, of_all)
    row, published = contenders[0].matrices[0, 0, 1:], np.array(PUBLISHED_ROW) / peters.SHOTS
    print(
        f"share of circuits without an error: {peters.survival():.3f} by the noise model, "
        f"{row @ published / (row @ row):.3f} by the published first row, whose correlation with the exact one is "
        f"{np.corrcoef(row, published)[0, 1]:.3f}"
    )
    few.save_and_print(tables, task.out)
    if task.figure:
        few.save_png(few.draw(of_few, "accuracy", FEW), task.figure / "heo-2026.png")
        few.save_png(few.draw(of_all, "balanced", ALL), task.figure / "heo-2026-all.png")
    return tables


def angles_of(raw: np.ndarray) -> np.ndarray:
    """What the quantum kernel is given, in the order of its gates."""
    return peters.qiskit_order(peters.quantum_angles(raw, by_row=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Task.out, help="folder of the tables (default: %(default)s)")
    parser.add_argument("--figure", type=Path, metavar="FOLDER", help="also draw the figures, into this folder")
    parser.add_argument("--quick", action="store_true", help="ten draws of three numbers of training samples")
    given = parser.parse_args()
    small = {"draws": 10, "all_draws": 3, "sizes": (5, 16, 28), "all_sizes": (16, 48)} if given.quick else {}
    main(Task(given.out, given.figure, **small))
