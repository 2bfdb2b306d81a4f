"""Tables of a comparison, made from the predictions of every model on every fold."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from qperov.evaluation.finished_folds import FoldResult
from qperov.evaluation.metrics import Score, ceiling_r2, class_scores, scores, weighted_scores
from qperov.evaluation.problem import Problem
from qperov.evaluation.results import CLASS_METRICS, METRICS, planned_columns
from qperov.evaluation.significance import (
    bayesian_correlated_t_test,
    corrected_resampled_t_test,
    detectable_difference,
    holm,
)
from qperov.evaluation.splits import identical_rows

#: Singular values of the standardised descriptor below this share of the largest one are noise.
RANK_TOLERANCE = 1e-6


def descriptor_table(problem: Problem) -> pd.DataFrame:
    """Columns, numerical rank, distinct rows and ceiling R² (NaN of classes) of each descriptor."""
    rows = []
    for name, matrix in problem.features.items():
        twins = identical_rows(matrix)
        rows.append(
            {
                "descriptor": name,
                "columns": matrix.shape[1],
                "rank": numerical_rank(matrix),
                "distinct": len(np.unique(twins)),
                "ceiling_r2": np.nan if problem.has_classes else ceiling_r2(problem.y, twins),
            }
        )
    return pd.DataFrame(rows)


def numerical_rank(matrix: np.ndarray) -> int:
    """Independent numbers in a descriptor: its rank after centring and scaling every column that varies."""
    deviation = matrix.std(axis=0)
    varying = deviation > RANK_TOLERANCE * np.abs(matrix).max(initial=0.0)
    if not varying.any():
        return 0
    singular = np.linalg.svd((matrix - matrix.mean(axis=0))[:, varying] / deviation[varying], compute_uv=False)
    return int((singular > RANK_TOLERANCE * singular[0]).sum())


def score_table(
    problem: Problem,
    results: Sequence[FoldResult],
    weights: np.ndarray,
    descriptors: pd.DataFrame,
    of_class: np.ndarray | None = None,
) -> pd.DataFrame:
    """One row a model: scores with intervals, the ceiling of its descriptor, seconds, memory; see ``Comparison.table``.

    Parameters
    ----------
    weights : ndarray, shape (b, n)
        Bootstrap weights of the crystals.
    descriptors : DataFrame
        From :func:`descriptor_table`.
    of_class : ndarray, shape (n,), optional
        From :func:`~qperov.evaluation.metrics.class_weights`, where labels are classes.
    """
    ceilings = descriptors.set_index("descriptor")["ceiling_r2"]
    repeats = 1 + max(result.repeat for result in results)
    rows = []
    for name in [*problem.baselines, *problem.models]:
        own = [result for result in results if result.model == name]
        descriptor, model = problem.descriptor_of.get(name), problem.models.get(name)
        row: dict[str, Any] = {
            "model": name,
            "name": model.name if model else name,
            "descriptor": descriptor or "none",
            "kind": "model" if model else "baseline",
            "family": model.family if model else "baseline",
            "role": model.role if model else "baseline",
        }
        for metric, score in _scores(problem, own, repeats, weights, of_class).items():
            row |= {metric: score.value, f"{metric}_low": score.low, f"{metric}_high": score.high}
        ceiling = np.nan if descriptor is None else ceilings[descriptor]
        costs = {
            "seconds": sum(result.seconds for result in own),
            "memory_mb": float(np.max([result.memory_mb for result in own])),
        }
        rows.append(row | {"ceiling_r2": ceiling} | costs)
    return pd.DataFrame(rows)


def _scores(
    problem: Problem, own: Sequence[FoldResult], repeats: int, weights: np.ndarray, of_class: np.ndarray | None
) -> dict[str, Score]:
    """Scores of one model, from its results on all folds."""
    if of_class is None:
        predictions = np.full((repeats, len(problem.y)), np.nan)
        for result in own:
            predictions[result.repeat, result.test] = result.prediction
        return scores(problem.y, predictions, weights)
    names, scored = problem.class_names, of_class > 0
    numbers = np.zeros((repeats, len(problem.y)), dtype=int)
    probabilities = np.full((repeats, len(problem.y), len(names)), np.nan)
    for result in own:
        numbers[result.repeat, result.test] = np.searchsorted(names, result.prediction)
        probabilities[result.repeat, result.test] = result.probabilities
    y = np.searchsorted(names, problem.y[scored])
    return class_scores(y, numbers[:, scored], probabilities[:, scored], weights[:, scored])


def prediction_table(problem: Problem, results: Sequence[FoldResult], groups: np.ndarray) -> pd.DataFrame:
    """Out-of-fold predictions, one row for each model, repeat and crystal."""
    ids = np.array(problem.ids, dtype=object)
    names = [f"probability_{name}" for name in problem.class_names] if problem.has_classes else []
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "id": ids[result.test],
                    "group": groups[result.test],
                    "repeat": result.repeat,
                    "fold": result.fold,
                    "model": result.model,
                    "y_true": problem.y[result.test],
                    "y_pred": result.prediction,
                    **({} if result.probabilities is None else dict(zip(names, result.probabilities.T, strict=True))),
                }
            )
            for result in results
        ],
        ignore_index=True,
    )


def fold_table(problem: Problem, results: Sequence[FoldResult], of_class: np.ndarray | None = None) -> pd.DataFrame:
    """MAE, RMSE and R² of each model on each fold, and its MAE on the inner folds; see ``Comparison.folds``."""
    loss = METRICS[0] if of_class is None else CLASS_METRICS[0]
    rows = []
    for result in results:
        rows.append(
            {
                "model": result.model,
                "repeat": result.repeat,
                "fold": result.fold,
                "n_train": result.n_train,
                "n_test": len(result.test),
                **fold_scores(problem, result, of_class),
                f"inner_{loss}": result.inner_loss,
            }
        )
    return pd.DataFrame(rows)


def fold_scores(problem: Problem, result: FoldResult, of_class: np.ndarray | None = None) -> dict[str, float]:
    """MAE, RMSE and R² on one fold; or balanced error, with the weights of all samples, and accuracy.

    NaN where no sample of the fold is of a class that is scored.
    """
    y = problem.y[result.test]
    if of_class is None:
        found = weighted_scores(y, result.prediction, np.ones((1, len(y))))
        return {metric: float(found[metric][0]) for metric in ("mae", "rmse", "r2")}
    weights, hits = of_class[result.test], result.prediction == y
    if not weights.any():
        return {"error": np.nan, "accuracy": np.nan}
    return {"error": 1 - float(np.average(hits, weights=weights)), "accuracy": float(hits[weights > 0].mean())}


def parameter_table(results: Sequence[FoldResult]) -> pd.DataFrame:
    """Hyperparameters chosen inside each training fold, as JSON."""
    rows = [
        [result.model, result.repeat, result.fold, json.dumps(result.chosen, default=str)]
        for result in results
        if result.chosen is not None
    ]
    return pd.DataFrame(rows, columns=["model", "repeat", "fold", "parameters"])


def planned_table(
    questions: Mapping[str, tuple[list[str], list[str]]], folds: pd.DataFrame, rope: float
) -> pd.DataFrame:
    """Best quantum against best classical model on each descriptor that has both; see ``Comparison.planned``.

    In each fold the best of a family is the candidate with the least inner MAE, or the first where none has any: the
    held-out errors say nothing in the choice.

    Parameters
    ----------
    questions : mapping of str to (list of str, list of str)
        Descriptor → quantum and classical candidates, as in ``Problem.questions``.
    folds : DataFrame
        From :func:`fold_table`.
    rope : float
        Half-width of the region of practical equivalence, in the label's unit.
    """
    loss = _loss(folds)
    folds = folds[folds[loss].notna()]
    held_out, inner = (
        folds.pivot(index=["repeat", "fold"], columns="model", values=v) for v in (loss, f"inner_{loss}")
    )
    share = _test_share(folds)
    rows = []
    for descriptor, families in questions.items():
        most_often, maes = [], []
        for names in families:
            best = inner[names].fillna(np.inf).to_numpy().argmin(axis=1)
            most_often.append(names[Counter(best.tolist()).most_common(1)[0][0]])
            maes.append(held_out[names].to_numpy()[np.arange(len(best)), best])
        quantum, classical = maes
        test = corrected_resampled_t_test(quantum, classical, share)
        bayes = bayesian_correlated_t_test(quantum, classical, share, rope)
        detectable, floor = detectable_difference(quantum, classical, share)
        rows.append(
            {
                "descriptor": descriptor, "quantum": most_often[0], "classical": most_often[1],
                f"quantum_{loss}": float(quantum.mean()), f"classical_{loss}": float(classical.mean()),
                f"delta_{loss}": test.difference, "low": test.low, "high": test.high, "p": test.p,
                "prob_better": bayes.lower, "prob_equivalent": bayes.equivalent, "prob_worse": bayes.higher,
                "rope": rope, "detectable": detectable, "floor": floor, "folds": len(held_out),
                "outcome": bayes.outcome,
            }
        )  # fmt: skip
    columns = planned_columns(loss)
    table = pd.DataFrame(rows, columns=[name for name in columns if name != "p_holm"])
    return table.assign(p_holm=holm(table["p"].to_list()))[list(columns)].astype(columns)


def significance_table(problem: Problem, folds: pd.DataFrame, rope: float) -> pd.DataFrame:
    """Paired tests of models on one descriptor, which are exploratory, and of every model against each baseline.

    Holm's correction counts the tests of one question: which models differ from the mean, which from the median. Two
    models that are picked by their scores were not planned to be compared, and no correction over all pairs mends that:
    their p stands alone; see ``Comparison.significance``.
    """
    loss = _loss(folds)
    folds = folds[folds[loss].notna()]
    ordered = folds.sort_values(["repeat", "fold"])
    losses = {name: part[loss].to_numpy() for name, part in ordered.groupby("model")}
    share = _test_share(folds)
    names = [*problem.models, *problem.baselines]
    rows = []
    for i, a in enumerate(names[: len(problem.models)]):
        for b in names[i + 1 :]:
            if b in problem.baselines or problem.descriptor_of[a] == problem.descriptor_of[b]:
                test = corrected_resampled_t_test(losses[a], losses[b], share)
                bayes = bayesian_correlated_t_test(losses[a], losses[b], share, rope)
                probabilities = [bayes.lower, bayes.equivalent, bayes.higher]
                rows.append([a, b, test.difference, test.low, test.high, test.t, test.p, *probabilities])
    tested = ["model_a", "model_b", f"delta_{loss}", "low", "high", "t", "p"]
    probable = ["prob_better", "prob_equivalent", "prob_worse"]
    table = pd.DataFrame(rows, columns=[*tested, *probable])
    exploratory = ~table["model_b"].isin(problem.baselines)
    corrected = table["p"].groupby(table["model_b"]).transform(lambda p: holm(p.to_list())).mask(exploratory)
    table = table.assign(p_holm=corrected, rope=rope, exploratory=exploratory)
    return table[[*tested, "p_holm", *probable, "rope", "exploratory"]]


def _loss(folds: pd.DataFrame) -> str:
    """The score that models are compared by, of numbers or of classes."""
    return METRICS[0] if METRICS[0] in folds else CLASS_METRICS[0]


def _test_share(folds: pd.DataFrame) -> float:
    """n_test / n_train, its mean over folds."""
    return float((folds["n_test"] / folds["n_train"]).mean())
