"""Paired tests between runs with the same crystals, labels and folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from qperov.evaluation.results import Comparison
from qperov.evaluation.significance import (
    ROPE,
    bayesian_correlated_t_test,
    corrected_resampled_t_test,
    holm,
    region_half_width,
)
from qperov.reports.words.findings import Difference, best, scored_models


@dataclass(frozen=True)
class RunPair:
    """A model of one run against a model of another: their names, what was tested, and whether every fold is equal."""

    a: str
    b: str
    tested: Difference
    identical: bool


def same_labels(a: Comparison, b: Comparison) -> bool:
    """Whether two runs have the same label of the same crystals, in whatever order."""
    if (a.label["target"], a.label.get("unit")) != (b.label["target"], b.label.get("unit")):
        return False
    return dict(zip(a.ids, a.y.tolist(), strict=True)) == dict(zip(b.ids, b.y.tolist(), strict=True))


def same_folds(a: Comparison, b: Comparison) -> bool:
    """Whether two runs tested the same crystals in the same folds of the same repeats."""
    one, other = (_fold_assignment(comparison) for comparison in (a, b))
    return one.shape == other.shape and bool((one.to_numpy() == other.to_numpy()).all())


def _fold_assignment(comparison: Comparison) -> pd.DataFrame:
    columns = ["repeat", "id", "fold"]
    return comparison.predictions[columns].drop_duplicates().sort_values(columns, ignore_index=True)


def region(comparison: Comparison) -> float:
    """Half the width of a run's region of practical equivalence; the default one in records that have none."""
    return float(comparison.settings.get("rope", region_half_width(ROPE, comparison.y)))


def paired_differences(a: Comparison, b: Comparison) -> list[RunPair]:
    """Each model that both runs have, and the best of one against the best of the other, where that is another pair.

    ΔMAE is that of the first run minus that of the second, fold by fold: corrected resampled t-test with Holm's
    correction over the list, Bayesian correlated t-test with the region of practical equivalence of the first run.

    Parameters
    ----------
    a, b : Comparison
        With the same labels and folds.

    Returns
    -------
    list of RunPair
        Empty where there are fewer than two folds.
    """
    losses = [_fold_losses(comparison) for comparison in (a, b)]
    names = [_models(comparison) for comparison in (a, b)]
    pairs = [(name, name) for name in names[0]["model"] if name in set(names[1]["model"])]
    leaders = [best(table) for table in names]
    if leaders[0] is not None and leaders[1] is not None:
        pairs = list(dict.fromkeys([(str(leaders[0]["model"]), str(leaders[1]["model"])), *pairs]))
    share = float((a.folds["n_test"] / a.folds["n_train"]).mean())
    rope = region(a)
    scores = [(one, other, losses[0][one], losses[1][other]) for one, other in pairs]
    scores = [(one, other, x, y) for one, other, x, y in scores if len(x) == len(y) > 1]
    tests = [corrected_resampled_t_test(x, y, share) for _, _, x, y in scores]
    corrected = holm([test.p for test in tests])
    found = []
    for (one, other, x, y), test, p_holm in zip(scores, tests, corrected, strict=True):
        bayes = bayesian_correlated_t_test(x, y, share, rope)
        tested = Difference(
            test.difference, test.low, test.high, test.p, float(p_holm), bayes.lower, bayes.equivalent, bayes.higher,
            rope,
        )  # fmt: skip
        found.append(RunPair(one, other, tested, bool((x == y).all())))
    return found


def _models(comparison: Comparison) -> pd.DataFrame:
    table = scored_models(comparison)
    return table[table["family"] != "baseline"]


def _fold_losses(comparison: Comparison) -> dict[str, np.ndarray]:
    ordered = comparison.folds.sort_values(["repeat", "fold"])
    return {str(name): part[comparison.loss].dropna().to_numpy(dtype=float) for name, part in ordered.groupby("model")}
