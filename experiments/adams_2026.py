"""A published quantum kernel of 20 diffraction patterns, looked at again: which labels, which classical kernels?

    python experiments/adams_2026.py                # two minutes of one core
    python experiments/adams_2026.py --quick        # seconds

F. Adams et al., "Quantum Kernel Machine Learning for Autonomous Materials Science", arXiv:2601.11775 (2026): 20 of 278
patterns of an Fe-Ga-Pd spread, 150 intensities in the Peters map on 25 qubits, Gaussian-process classification, five
classical kernels without anything to tune. The circuit is a matrix product state of bond dimension 4, so that its
kernel is exact here; 1,024 shots and a noise model are drawn from it.

Printed and saved: the kernel's likeness to itself with shots and noise; geometric differences and model complexities;
accuracy against the number of training samples for three sets of labels: those that the authors' programs engineered
from the quantum kernel, those engineered in the same way from the cosine kernel, and the regions that the authors
assigned; then with tuned kernels, surrogates and peak descriptors, and on all samples with the regions of DFT, tested
at random and on neighbourhoods of the spread that were left out.
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

#: Rows of the spread, in the order of the authors' programs (github.com/fadams-umd/qkml_for_autonomous_matsci).
SAMPLES = (25, 68, 112, 161, 37, 91, 136, 184, 77, 85, 128, 224, 168, 229, 220, 233, 195, 210, 256, 264)
#: Classes that the programs made from the simulated noisy quantum kernel, against the cosine kernel, and learnt.
ENGINEERED = (1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 1, 1, 1, 0, 1, 0, 1, 1, 1, 0)
#: Regions that people assigned, by the same programs: four samples each.
REGIONS = tuple(np.repeat([3, 2, 4, 1, 0], 4).tolist())
#: Angles of the programs, 2θ in degrees: 550 points from here on.
FIRST_ANGLE = 37.02
#: Degrees: half-width of a line, and distance from which on another point is not part of it.
LINE, APART = 0.6, 1.0
#: Tasks and how figures call them.
FEW = {
    "engineered for quantum": "labels made for the quantum kernel",
    "engineered for cosine": "labels made for the cosine kernel",
    "regions": "regions by the authors",
}
ALL = {"all, at random": "all samples, drawn at random", "all, by neighbourhood": "neighbourhoods left out"}


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
        Draws of each number of training samples, among the 20 and among all samples.
    sizes, all_sizes : tuple of int
        Numbers of training samples.
    seed : int
    """

    out: Path = Path("qperov-runs/adams-2026")
    figure: Path | None = None
    draws: int = 100
    all_draws: int = 30
    sizes: tuple[int, ...] = (5, 7, 9, 11, 13, 15, 17, 19)
    all_sizes: tuple[int, ...] = (20, 40, 80, 160)
    seed: int = 0


def intensities() -> np.ndarray:
    """The 550 intensities of all samples, shape (278, 550)."""
    patterns = qperov.load_dataset("fegapd").patterns
    kept = patterns[0].two_theta > FIRST_ANGLE - 0.01
    return np.array([pattern.intensity[kept] for pattern in patterns])


def peak_numbers(pattern: MeasuredPattern) -> list[float]:
    """Place (2θ, degrees), spread and ln(1 + height) of the strongest line, those of the highest point away from it,
    and the share of all intensity that the line holds; background taken off."""
    flat = subtract_background(pattern)
    angles, heights = flat.two_theta, flat.intensity.clip(0)
    near = np.abs(angles - angles[heights.argmax()]) <= LINE
    weights = heights[near]
    place = weights @ angles[near] / weights.sum()
    spread = np.sqrt(weights @ (angles[near] - place) ** 2 / weights.sum())
    away = np.where(np.abs(angles - place) > APART, heights, 0)
    other = int(away.argmax())
    share = weights.sum() / heights.sum()
    return [place, spread, np.log1p(heights.max()), angles[other], np.log1p(away[other]), share]


def physical_numbers() -> np.ndarray:
    """`peak_numbers` of all samples, shape (278, 6)."""
    return np.array([peak_numbers(pattern) for pattern in qperov.load_dataset("fegapd").patterns])


def angles_of(X: np.ndarray) -> np.ndarray:
    """What the quantum kernel is given, in the order of its gates."""
    return peters.qiskit_order(peters.quantum_angles(peters.spread_columns(X), by_row=False))


def labels_of(contenders: list[few.Contender]) -> dict[str, np.ndarray]:
    """Task → classes of the 20 samples."""
    of = {each.name: each.matrices[0] for each in contenders}
    centre = np.eye(len(SAMPLES)) - 1 / len(SAMPLES)  # without it the labels for the cosine kernel are all the same
    return {
        "engineered for quantum": np.array(ENGINEERED),
        "engineered for cosine": few.engineered_labels(*(centre @ of[name] @ centre for name in ("cosine", "quantum"))),
        "regions": np.array(REGIONS),
    }


def published_complexity(K: np.ndarray) -> float:
    """Σ (K⁻¹)_ij of samples of one region, less that of samples of two: what the programs call the complexity."""
    regions = np.array(REGIONS)
    return float((np.linalg.inv(K) * np.where(regions[:, None] == regions, 1, -1)).sum())


def all_samples(task: Task) -> pd.DataFrame:
    """Accuracies on all samples, with the regions of DFT."""
    dataset, X = qperov.load_dataset("fegapd", target="region"), intensities()
    contenders = peters.tuned_contenders(angles_of(X), X, physical_numbers(), task.seed)
    draws = {
        "all, at random": partial(few.random_draws, len(X), draws=task.all_draws, seed=task.seed),
        "all, by neighbourhood": partial(few.grouped_draws, dataset.groups, draws=task.all_draws, seed=task.seed),
    }
    tables = [few.accuracies(contenders, np.asarray(dataset.y), task.all_sizes, draws[name], name) for name in ALL]
    return pd.concat(tables, ignore_index=True)


def main(task: Task) -> dict[str, pd.DataFrame]:
    """Run everything; returns and saves the tables."""
    rows = np.array(SAMPLES)
    X = intensities()[rows]
    contenders = peters.published_contenders(angles_of(X), X, peters.median_distance(X), task.seed)
    labels = labels_of(contenders)
    contenders += peters.tuned_contenders(angles_of(X), X, physical_numbers()[rows], task.seed)
    at_random = partial(few.random_draws, len(rows), draws=task.draws, seed=task.seed)
    of_few = pd.concat(few.accuracies(contenders, labels[name], task.sizes, at_random, name) for name in FEW)
    of_all = all_samples(task)
    tables = {"entries": few.entry_table(contenders), "complexities": few.complexity_table(contenders, labels)}
    tables |= few.score_tables(of_few, of_all)
    print(f"share of circuits without an error, by the noise model: {peters.survival():.3f}")
    of = {each.name: each.matrices[0] for each in contenders}
    print(f"published complexity of the cosine kernel: {published_complexity(of['cosine']):.3f}")
    for name in ("quantum", "quantum, noise model"):
        made = few.engineered_labels(of[name], of["cosine"])
        same = max((made == ENGINEERED).sum(), (made != ENGINEERED).sum())  # which class is 1 says nothing
        print(f"{name}: published complexity {published_complexity(of[name]):.3f}, {same} of 20 engineered labels")
    few.save_and_print(tables, task.out)
    if task.figure:
        few.save_png(few.draw(of_few, "accuracy", FEW), task.figure / "adams-2026.png")
        few.save_png(few.draw(of_all, "balanced", ALL), task.figure / "adams-2026-all.png")
    return tables


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Task.out, help="folder of the tables (default: %(default)s)")
    parser.add_argument("--figure", type=Path, metavar="FOLDER", help="also draw the figures, into this folder")
    parser.add_argument("--quick", action="store_true", help="ten draws of three numbers of training samples")
    given = parser.parse_args()
    small = {"draws": 10, "all_draws": 3, "sizes": (5, 11, 17), "all_sizes": (20, 80)} if given.quick else {}
    main(Task(given.out, given.figure, **small))
