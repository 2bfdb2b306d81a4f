"""Kernel matrices as classifiers of few samples: as published, and with every setting chosen on the training samples.

The experiments on two studies of measured diffraction, and the one on labels of quantum kernels, import this; it does
nothing by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import t as student
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import Kernel
from sklearn.preprocessing import LabelBinarizer

from qperov.evaluation.significance import corrected_resampled_t_test
from qperov.quantum.gram.geometry import geometric_difference, model_complexity
from qperov.reports.figures.style import DPI, FAINT, series_colours, style
from qperov.storage.atomic import atomic_path
from qperov.studies.kernel_findings import likeness

#: Noise relative to the signal, among which marginal likelihood chooses.
NOISES = tuple(np.geomspace(1e-4, 10, 11).tolist())
#: Regularisation of geometric differences and complexities: none, as the studies have it, and some.
REGULARISATIONS = (0.0, 0.1)
#: Models that figures show; the tables have all.
SHOWN = (
    "quantum", "quantum, noise model", "angular", "cosine", "quantum, tuned", "without entanglement, tuned",
    "Gaussian, tuned", "physical descriptors, tuned",
)  # fmt: skip
#: Rows of a table that is printed; longer ones are saved only.
MOST_PRINTED = 300


@dataclass(frozen=True, eq=False)
class Contender:
    """A classifier of samples that are rows of kernel matrices.

    Attributes
    ----------
    name : str
    family : {"quantum", "classical", "reference"}
    matrices : ndarray, shape (m, n, n)
        One, which is taken as it is; or several widths, of which marginal likelihood chooses.
    """

    name: str
    family: str
    matrices: np.ndarray

    @property
    def tuned(self) -> bool:
        """Whether there is something to choose."""
        return len(self.matrices) > 1


# --- Gaussian processes on given matrices -------------------------------------------------------


class _Rows(Kernel):
    """The entries of a matrix as a kernel of its row numbers."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix

    def __call__(self, X: np.ndarray, Y: np.ndarray | None = None, eval_gradient: bool = False) -> Any:
        rows = np.asarray(X)[:, 0].astype(int)
        K = self.matrix[np.ix_(rows, rows if Y is None else np.asarray(Y)[:, 0].astype(int))]
        return (K, np.empty((*K.shape, 0))) if eval_gradient else K

    def diag(self, X: np.ndarray) -> np.ndarray:
        return self.matrix.diagonal()[np.asarray(X)[:, 0].astype(int)]

    def is_stationary(self) -> bool:
        return False


def published_predictions(K: np.ndarray, labels: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Gaussian-process classification with a fixed kernel (Laplace's approximation, logistic link)."""
    if len(set(labels[train])) == 1:
        return np.repeat(labels[train][:1], len(test))
    machine = GaussianProcessClassifier(_Rows(K), optimizer=None).fit(train[:, None], labels[train])
    return machine.predict(test[:, None])


def most_likely_regression(
    matrices: np.ndarray, Y: np.ndarray, mean: np.ndarray, train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, int]:
    """Predictions of the Gaussian process, among all matrices and `NOISES`, of greatest marginal likelihood.

    With K = UΛUᵀ of the training samples, a = Uᵀ(Y − mean) and noise η relative to the signal, the signal's variance is
    σ² = mean of a²/(λ + η), and −2 log p = N log σ² + k Σ log(λ + η) + constant, N = n k numbers.

    Parameters
    ----------
    matrices : ndarray, shape (m, n, n)
    Y : ndarray, shape (n, k)
        One column a target; their signal and noise are the same.
    mean : ndarray, shape (k,)
        What is expected without data.

    Returns
    -------
    ndarray, shape (n_test, k); the number of the matrix
    """
    centred = Y[train] - mean
    noises = np.array(NOISES)
    best: tuple[float, int, np.ndarray] = (np.inf, 0, np.empty(0))
    for i, K in enumerate(matrices):
        eigenvalues, U = np.linalg.eigh(K[np.ix_(train, train)])
        shifted = eigenvalues.clip(0)[:, None] + noises
        a = U.T @ centred
        variances = ((a**2).sum(axis=1)[:, None] / shifted).sum(axis=0) / a.size
        costs = a.size * np.log(variances) + a.shape[1] * np.log(shifted).sum(axis=0)
        at = int(costs.argmin())
        if costs[at] < best[0]:
            best = (float(costs[at]), i, U @ (a / shifted[:, at, None]))
    _, chosen, weights = best
    return mean + matrices[chosen][np.ix_(test, train)] @ weights, chosen


def tuned_predictions(matrices: np.ndarray, labels: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The class with the largest prediction of `most_likely_regression` on one column a class, −1 and 1.

    Without data all classes are expected to be equally frequent.
    """
    classes, numbers = np.unique(labels, return_inverse=True)
    columns = 2 * np.eye(len(classes))[numbers] - 1
    expected = np.full(len(classes), 2 / len(classes) - 1)
    predicted, _ = most_likely_regression(matrices, columns, expected, train, test)
    return classes[predicted.argmax(axis=1)]


# --- accuracy against the number of training samples --------------------------------------------


def random_draws(n: int, size: int, draws: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Training and test rows, at random; the same for every contender."""
    for draw in range(draws):
        order = np.random.default_rng([seed, size, draw]).permutation(n)
        yield order[:size], order[size:]


def grouped_draws(groups: np.ndarray, size: int, draws: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Training rows of one part of the groups, whose other rows are left out, and test rows of all other groups."""
    names = np.unique(groups)
    for draw in range(draws):
        random = np.random.default_rng([seed, size, draw])
        order = random.permutation(names)
        counts = np.cumsum([(groups == name).sum() for name in order])
        taken = order[: int(np.searchsorted(counts, size)) + 1]
        inside = np.isin(groups, taken)
        yield random.permutation(np.flatnonzero(inside))[:size], np.flatnonzero(~inside)


Draws = Callable[[int], Iterable[tuple[np.ndarray, np.ndarray]]]


def accuracies(
    contenders: Sequence[Contender], labels: np.ndarray, sizes: Sequence[int], draws: Draws, what: str
) -> pd.DataFrame:
    """One row a contender, size and draw: ``task``, ``model``, ``family``, ``size``, ``draw``, ``n_test``,
    ``accuracy``, ``balanced`` (mean of the recalls of the classes tested)."""
    rows = []
    for size in sizes:
        for draw, (train, test) in enumerate(draws(size)):
            for each in contenders:
                if each.tuned:
                    predicted = tuned_predictions(each.matrices, labels, train, test)
                else:
                    predicted = published_predictions(each.matrices[0], labels, train, test)
                right = predicted == labels[test]
                balanced = np.mean([right[labels[test] == name].mean() for name in set(labels[test])])
                rows.append([what, each.name, each.family, size, draw, len(test), right.mean(), balanced])
    columns = ["task", "model", "family", "size", "draw", "n_test", "accuracy", "balanced"]
    return pd.DataFrame(rows, columns=columns)


def summary(table: pd.DataFrame, score: str = "accuracy") -> pd.DataFrame:
    """Mean over draws with its 95 % interval, by task, model and size."""
    groups = table.groupby(["task", "model", "family", "size"], sort=False)[score]
    found = groups.agg(["mean", "sem", "count"]).reset_index()
    half = student.ppf(0.975, found["count"] - 1) * found["sem"]
    return found.assign(low=found["mean"] - half, high=found["mean"] + half).drop(columns=["sem"])


def differences(table: pd.DataFrame, models: Sequence[str], score: str = "accuracy") -> pd.DataFrame:
    """The models named against every other: mean of their score minus its by task and size, with a 95 % interval.

    The interval is that of the corrected resampled t-test: draws from one set of samples share most of them.
    """
    rows = []
    for (task, size), part in table.groupby(["task", "size"], sort=False):
        scores = part.pivot(index="draw", columns="model", values=score)
        share = float((part["n_test"] / size).mean())
        for model, other in product(scores.columns.intersection(models), scores.columns):
            if model != other:
                test = corrected_resampled_t_test(scores[model].to_numpy(), scores[other].to_numpy(), share)
                rows.append([task, size, model, other, test.difference, test.low, test.high])
    return pd.DataFrame(rows, columns=["task", "size", "model", "against", "difference", "low", "high"])


def score_tables(of_few: pd.DataFrame, of_all: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """All draws, their means, and the quantum kernels against everything else."""
    draws = pd.concat([of_few, of_all], ignore_index=True)
    return {
        "draws": draws,
        "accuracies": summary(draws),
        "balanced": summary(of_all, "balanced"),
        "differences": differences(draws, ["quantum", "quantum, tuned"]),
        "balanced-differences": differences(of_all, ["quantum, tuned"], "balanced"),
    }


# --- geometric difference and model complexity --------------------------------------------------


def engineered_labels(K_quantum: np.ndarray, K_classical: np.ndarray) -> np.ndarray:
    """Two classes made for one kernel against another: the signs of √K_Q v, v leading in √K_Q K_C⁻¹ √K_Q.

    References
    ----------
    H.-Y. Huang et al., Nat. Commun. 12, 2631 (2021), doi:10.1038/s41467-021-22539-9.
    """
    eigenvalues, U = np.linalg.eigh(K_quantum)
    root = (U * np.sqrt(eigenvalues.clip(0))) @ U.T
    _, vectors = np.linalg.eigh(root @ np.linalg.pinv(K_classical, hermitian=True) @ root)
    return (root @ vectors[:, -1] >= 0).astype(int)


def complexity_table(contenders: Sequence[Contender], labels: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Geometric difference of the untuned quantum kernels to every classical one, and back, and model complexities.

    A complexity is the mean of those of the classes, one column each with −1 and 1.
    """
    columns = {name: LabelBinarizer(neg_label=-1).fit_transform(each).astype(float) for name, each in labels.items()}
    untuned = [each for each in contenders if not each.tuned]
    rows = []
    for noise in REGULARISATIONS:
        complexity = {
            (each.name, name): model_complexity(each.matrices[0], Y, noise) / Y.shape[1]
            for each in untuned
            for name, Y in columns.items()
        }
        for quantum, classical in product(untuned, untuned):
            if (quantum.family, classical.family) == ("quantum", "classical"):
                pair = classical.matrices[0], quantum.matrices[0]
                row = {"regularisation": noise, "quantum": quantum.name, "classical": classical.name}
                row |= {"g": geometric_difference(*pair, noise), "g reversed": geometric_difference(*pair[::-1], noise)}
                for name in columns:
                    row[f"s quantum, {name}"] = complexity[quantum.name, name]
                    row[f"s classical, {name}"] = complexity[classical.name, name]
                rows.append(row)
    return pd.DataFrame(rows)


def entry_table(contenders: Sequence[Contender], quantum: str = "quantum") -> pd.DataFrame:
    """Off-diagonal entries of the untuned matrices, and their centred alignment with the exact quantum one."""
    untuned = {each.name: each.matrices[0] for each in contenders if not each.tuned}
    rows = []
    for name, K in untuned.items():
        entries = K[np.triu_indices(len(K), 1)]
        spread = entries.mean(), entries.std(), entries.min(), entries.max()
        rows.append([name, *spread, likeness(untuned[quantum], K)])
    return pd.DataFrame(rows, columns=["kernel", "mean", "sd", "least", "largest", "alignment with quantum"])


# --- figure and files ---------------------------------------------------------------------------


def draw(table: pd.DataFrame, score: str, titles: Mapping[str, str]) -> Figure:
    """Mean score of the models `SHOWN` with its interval against the number of training samples, one panel a task."""
    found = summary(table[table["model"].isin(SHOWN)], score)
    families = dict(zip(found["model"], found["family"], strict=True))
    colours = series_colours(list(families), families)
    with style():
        figure = Figure(figsize=(max(4.2 * len(titles), 8.0), 4.9), layout="constrained")
        panels = np.atleast_1d(figure.subplots(1, len(titles), sharey=True))
        for axes, (task, title) in zip(panels, titles.items(), strict=True):
            for name, line in found[found["task"] == task].groupby("model", sort=False):
                shown = {"color": colours[name], "linestyle": "-" if name.endswith(", tuned") else "--"}
                axes.plot(line["size"], line["mean"], label=name, linewidth=1.5, **shown)
                axes.fill_between(line["size"], line["low"], line["high"], color=colours[name], alpha=0.1, linewidth=0)
            axes.set_title(title)
            axes.set_xlabel("training samples")
            axes.grid(color=FAINT, linewidth=0.6)
        panels[0].set_ylabel(score if score == "accuracy" else "balanced accuracy")
        lines, names = panels[0].get_legend_handles_labels()
        figure.legend(lines, names, loc="outside lower center", ncols=4, fontsize=8)
    return figure


def save_and_print(tables: Mapping[str, pd.DataFrame], out: Path) -> None:
    """Each table as a CSV file, whole or not at all, and on the screen."""
    out.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        with atomic_path(out / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
        if len(table) <= MOST_PRINTED:
            print(f"\n{name}\n{table.to_string(index=False, float_format='{:.3f}'.format)}")


def save_png(figure: Figure, path: Path) -> None:
    """A PNG file, whole or not at all."""
    figure.set_dpi(DPI)
    with style(), atomic_path(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)


if __name__ == "__main__":
    print(__doc__)
