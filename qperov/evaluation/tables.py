"""Tables of a comparison, made from the predictions of every model on every fold."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from qperov.evaluation.finished_folds import FoldResult
from qperov.evaluation.metrics import ceiling_r2, scores, weighted_scores
from qperov.evaluation.problem import BASELINES, Problem
from qperov.evaluation.results import PLANNED
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
    """Columns, numerical rank, distinct rows and ceiling R² of each descriptor."""
    rows = []
    for name, matrix in problem.features.items():
        twins = identical_rows(matrix)
        rows.append(
            {
                "descriptor": name,
                "columns": matrix.shape[1],
                "rank": numerical_rank(matrix),
                "distinct": len(np.unique(twins)),
                "ceiling_r2": ceiling_r2(problem.y, twins),
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
) -> pd.DataFrame:
    """One row a model: scores with intervals, the ceiling of its descriptor, seconds, memory; see ``Comparison.table``.

    Parameters
    ----------
    weights : ndarray, shape (b, n)
        Bootstrap weights of the crystals.
    descriptors : DataFrame
        From :func:`descriptor_table`.
    """
    ceilings = descriptors.set_index("descriptor")["ceiling_r2"]
    repeats = 1 + max(result.repeat for result in results)
    rows = []
    for name in [*BASELINES, *problem.models]:
        own = [result for result in results if result.model == name]
        predictions = np.full((repeats, len(problem.y)), np.nan)
        for result in own:
            predictions[result.repeat, result.test] = result.prediction
        descriptor, model = problem.descriptor_of.get(name), problem.models.get(name)
        row: dict[str, Any] = {
            "model": name,
            "name": model.name if model else name,
            "descriptor": descriptor or "none",
            "kind": "model" if model else "baseline",
            "family": model.family if model else "baseline",
            "role": model.role if model else "baseline",
        }
        for metric, score in scores(problem.y, predictions, weights).items():
            row |= {metric: score.value, f"{metric}_low": score.low, f"{metric}_high": score.high}
        ceiling = np.nan if descriptor is None else ceilings[descriptor]
        costs = {
            "seconds": sum(result.seconds for result in own),
            "memory_mb": float(np.max([result.memory_mb for result in own])),
        }
        rows.append(row | {"ceiling_r2": ceiling} | costs)
    return pd.DataFrame(rows)


def prediction_table(problem: Problem, results: Sequence[FoldResult], groups: np.ndarray) -> pd.DataFrame:
    """Out-of-fold predictions, one row for each model, repeat and crystal."""
    ids = np.array(problem.ids, dtype=object)
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
                }
            )
            for result in results
        ],
        ignore_index=True,
    )


def fold_table(problem: Problem, results: Sequence[FoldResult]) -> pd.DataFrame:
    """MAE, RMSE and R² of each model on each fold, and its MAE on the inner folds."""
    rows = []
    for result in results:
        of_fold = weighted_scores(problem.y[result.test], result.prediction, np.ones((1, len(result.test))))
        rows.append(
            {
                "model": result.model,
                "repeat": result.repeat,
                "fold": result.fold,
                "n_train": result.n_train,
                "n_test": len(result.test),
                **{metric: float(of_fold[metric][0]) for metric in ("mae", "rmse", "r2")},
                "inner_mae": result.inner_mae,
            }
        )
    return pd.DataFrame(rows)


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
    held_out, inner = (folds.pivot(index=["repeat", "fold"], columns="model", values=v) for v in ("mae", "inner_mae"))
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
                "quantum_mae": float(quantum.mean()), "classical_mae": float(classical.mean()),
                "delta_mae": test.difference, "low": test.low, "high": test.high, "p": test.p,
                "prob_better": bayes.lower, "prob_equivalent": bayes.equivalent, "prob_worse": bayes.higher,
                "rope": rope, "detectable": detectable, "floor": floor, "folds": len(held_out),
                "outcome": bayes.outcome,
            }
        )  # fmt: skip
    table = pd.DataFrame(rows, columns=[name for name in PLANNED if name != "p_holm"])
    return table.assign(p_holm=holm(table["p"].to_list()))[list(PLANNED)].astype(PLANNED)


def significance_table(problem: Problem, folds: pd.DataFrame, rope: float) -> pd.DataFrame:
    """Paired tests of models on one descriptor, which are exploratory, and of every model against each baseline.

    Holm's correction counts the tests of one question: which models differ from the mean, which from the median. Two
    models that are picked by their scores were not planned to be compared, and no correction over all pairs mends that:
    their p stands alone; see ``Comparison.significance``.
    """
    ordered = folds.sort_values(["repeat", "fold"])
    mae = {name: part["mae"].to_numpy() for name, part in ordered.groupby("model")}
    share = _test_share(folds)
    names = [*problem.models, *BASELINES]
    rows = []
    for i, a in enumerate(names[: len(problem.models)]):
        for b in names[i + 1 :]:
            if b in BASELINES or problem.descriptor_of[a] == problem.descriptor_of[b]:
                test = corrected_resampled_t_test(mae[a], mae[b], share)
                bayes = bayesian_correlated_t_test(mae[a], mae[b], share, rope)
                probabilities = [bayes.lower, bayes.equivalent, bayes.higher]
                rows.append([a, b, test.difference, test.low, test.high, test.t, test.p, *probabilities])
    tested = ["model_a", "model_b", "delta_mae", "low", "high", "t", "p"]
    probable = ["prob_better", "prob_equivalent", "prob_worse"]
    table = pd.DataFrame(rows, columns=[*tested, *probable])
    exploratory = ~table["model_b"].isin(BASELINES)
    corrected = table["p"].groupby(table["model_b"]).transform(lambda p: holm(p.to_list())).mask(exploratory)
    table = table.assign(p_holm=corrected, rope=rope, exploratory=exploratory)
    return table[[*tested, "p_holm", *probable, "rope", "exploratory"]]


def _test_share(folds: pd.DataFrame) -> float:
    """n_test / n_train, its mean over folds."""
    return float((folds["n_test"] / folds["n_train"]).mean())
