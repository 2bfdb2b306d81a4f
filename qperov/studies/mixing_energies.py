"""The demo's second task: energies of mixing of relaxed crystals, which a powder pattern can see."""

from __future__ import annotations

import numpy as np
import pandas as pd

from qperov.datasets.dataset import CrystalDataset
from qperov.evaluation.comparison import compare
from qperov.evaluation.metrics import bootstrap_weights, scores
from qperov.evaluation.progress import Progress
from qperov.evaluation.results import Comparison
from qperov.records.study import Chart, Reference, Study
from qperov.reports.words.answer import planned_lines
from qperov.studies.models import build_suite

#: Models that take part; the second for ``--quick``.
MODELS = ("Ridge", "Kernel ridge", "Gaussian process", "SVR", "QSVR", "Autoencoder + SVR")
QUICK_MODELS = ("Ridge", "SVR", "QSVR")
FOLDS = 3
#: Resamples of the intervals.
BOOTSTRAP = 2000
COMPOSITION = "composition alone"


def second_task(
    dataset: CrystalDataset,
    element: str,
    *,
    quick: bool = False,
    seed: int = 0,
    n_jobs: int | None = None,
    progress: Progress | None = None,
) -> Study:
    """Compare regressors on relaxed crystals of several compositions, beside what the composition alone tells.

    Parameters
    ----------
    dataset : CrystalDataset
        Labelled crystals of a solid solution, such as cpx222.
    element : str
        The one whose share of the atoms that take each other's place is the composition: I / (Br + I) in cpx222.
    quick : bool
        Fewer models.
    seed : int
        Of folds and bootstrap.
    n_jobs, progress
        As in :func:`qperov.compare`.

    Raises
    ------
    ValueError
        If the dataset has no labels, or fewer groups than folds.
    """
    chosen = QUICK_MODELS if quick else MODELS
    suite = build_suite(dataset, quick=True, exploratory=False, random_state=seed).models.values()
    models = {model.name: model for model in suite if model.name in chosen and model.family != "reference"}
    comparison = compare(
        models,
        dataset,
        folds=FOLDS,
        random_state=seed,
        n_bootstrap=BOOTSTRAP,
        n_jobs=n_jobs,
        progress=progress,
    )
    counts = pd.DataFrame([s.composition.get_el_amt_dict() for s in dataset.structures]).fillna(0.0)
    fractions = counts.div(counts.sum(axis=1), axis=0)
    mixed = [name for name in fractions if np.ptp(fractions[name]) > 1e-9 or name == element]
    share = (counts[element] / counts[mixed].sum(axis=1)).to_numpy()
    return _study(dataset, comparison, f"{element} / ({' + '.join(mixed)})", share, seed)


def composition_predictions(y: np.ndarray, share: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """What the composition tells: the mean label of the training crystals at each share, linear between the shares.

    Parameters
    ----------
    y, share : ndarray, shape (n,)
    folds : ndarray of int, shape (n,)
        The fold in which each crystal is tested.
    """
    predicted = np.empty(len(y))
    for fold in np.unique(folds):
        test = folds == fold
        known, position = np.unique(np.round(share[~test], 9), return_inverse=True)
        means = np.bincount(position, weights=y[~test]) / np.bincount(position)
        predicted[test] = np.interp(share[test], known, means)
    return predicted


def _study(dataset: CrystalDataset, comparison: Comparison, axis: str, share: np.ndarray, seed: int) -> Study:
    label, unit = comparison.label, comparison.label["unit"] or "label's unit"
    by_id = comparison.predictions.set_index("id")
    first = by_id[by_id["model"] == comparison.table["model"].iloc[0]].loc[list(comparison.ids)]
    alone = composition_predictions(comparison.y, share, first["fold"].to_numpy())
    weights = bootstrap_weights(first["group"].to_numpy(), BOOTSTRAP, seed)
    of_composition = {name: (s.value, s.low, s.high) for name, s in scores(comparison.y, alone[None], weights).items()}
    rows = [(COMPOSITION, of_composition, np.nan)]
    rows += [
        (row["model"], {m: (row[m], row[f"{m}_low"], row[f"{m}_high"]) for m in ("mae", "r2")}, row["seconds"])
        for row in comparison.table.to_dict(orient="records")
    ]
    mae = f"MAE, {unit}"
    table = pd.DataFrame(
        [
            {
                "model": name, mae: score["mae"][0], "from": score["mae"][1], "to": score["mae"][2],
                "R²": score["r2"][0], "R² from": score["r2"][1], "R² to": score["r2"][2], "time, s": seconds,
            }
            for name, score, seconds in rows
        ]
    )  # fmt: skip
    models = comparison.table[comparison.table["kind"] == "model"]
    best = [
        part.loc[part["mae"].idxmin(), "model"]
        for family in ("classical", "quantum")
        if len(part := models[models["family"] == family])
    ]
    drawn = comparison.predictions[comparison.predictions["model"].isin(best)]
    scatter = drawn[["model", "y_true", "y_pred"]].reset_index(drop=True)
    name = str(label["target"]).replace("_", " ")
    descriptor = next(iter(comparison.features))
    return Study(
        f"A second task: {dataset.name}, {name}",
        (
            _what_composition_tells(table, mae, best, unit),
            f"{label['n']} crystals, {descriptor}; {comparison.settings['split']}. {name.capitalize()}, in {unit}: "
            f"standard deviation {label['sd']:.3g}. Scores out of fold, 95 % intervals by bootstrap over groups.",
            f"Labels: {'; '.join(label['provenance'])}.",
            *comparison.warnings,
            *planned_lines(comparison),
        ),
        tables={"Scores": table},
        charts=(
            Chart(
                "Labels against composition", "scatter", "labels", "share", "label",
                x_label=axis, y_label=f"{name}, {unit}",
                caption="Each point is a crystal; those above each other differ in their ordering alone.",
            ),
            Chart(
                "Predicted against label", "scatter", "predictions", "y_true", "y_pred", panels="model",
                x_label=f"label, {unit}", y_label=f"predicted, {unit}",
                references=(Reference("equal", axis="diagonal"),),
                caption="Out of fold, the best classical and the best quantum model.",
            ),
        ),
        data={"labels": pd.DataFrame({"share": share, "label": comparison.y}), "predictions": scatter},
        decimals={mae: 2, "from": 2, "to": 2, "R²": 2, "R² from": 2, "R² to": 2, "time, s": 1},
    )  # fmt: skip


def _what_composition_tells(table: pd.DataFrame, mae: str, best: list[str], unit: str) -> str:
    by_model = table.set_index("model")
    alone = by_model.loc[COMPOSITION]
    said = " and ".join(f"{name} {by_model.loc[name, mae]:.2f}" for name in best)
    higher = [name for name in best if by_model.loc[name, "to"] < alone["from"]]
    verdict = "their intervals overlap: no evidence that the pattern says more than the composition"
    if len(higher) == len(best):
        verdict = "their intervals do not overlap: the pattern says more than the composition"
    elif higher:
        verdict = f"of these, only {higher[0]} has an interval below that of the composition"
    return (
        f"The mean label of the training crystals of the same composition has MAE {alone[mae]:.2f} {unit}; {said}; "
        f"{verdict}."
    )
