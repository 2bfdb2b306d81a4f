"""Cross-validation of several models on the same grouped folds."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import BaseCrossValidator

from qperov.evaluation.finished_folds import FinishedFolds, Fold, FoldResult
from qperov.evaluation.folds import evaluate_folds, inner_folds
from qperov.evaluation.metrics import bootstrap_weights, class_weights
from qperov.evaluation.problem import Model, Problem
from qperov.evaluation.progress import Progress
from qperov.evaluation.results import Comparison
from qperov.evaluation.searches import ungrouped_parameters
from qperov.evaluation.significance import ROPE, region_half_width
from qperov.evaluation.splits import check_folds, make_folds
from qperov.evaluation.tables import (
    descriptor_table,
    fold_table,
    parameter_table,
    planned_table,
    prediction_table,
    score_table,
    significance_table,
)

#: Fewer crystals than this, and a warning stands above the scores.
FEW_CRYSTALS = 100
#: What the intervals of a comparison leave out, and what they take in.
INTERVALS = (
    "Intervals of scores are a bootstrap over independent groups, with the models as trained: they do not include how "
    "scores vary with the training set. Intervals of differences come from the scatter over folds, widened for "
    "training sets that overlap: they do."
)


def compare(
    models: Mapping[str, BaseEstimator | Model],
    data: Any,
    y: np.ndarray | None = None,
    *,
    groups: np.ndarray | None = None,
    folds: int = 5,
    repeats: int = 1,
    random_state: int = 0,
    split: str = "grouped",
    rope: float | str = ROPE,
    n_bootstrap: int = 2000,
    n_jobs: int | None = None,
    families: Mapping[str, str] | None = None,
    further: Any = None,
    progress: Progress | bool | None = None,
    resume: str | Path | None = None,
    seed: int | None = None,
) -> Comparison:
    """Cross-validate several models on the same folds, beside constant baselines.

    Labels are numbers or, as text, classes (of any kind, where all models are classifiers). Classes are ranked by
    the balanced error, 1 − balanced accuracy; folds have as equal shares of each as the groups allow; a class that
    stands in one group alone is predicted and not scored.

    Folds never part crystals that a symmetry operation connects or that a used descriptor cannot tell apart. A model
    that is (or ends in) a scikit-learn search chooses its hyperparameters inside the training folds, on grouped
    inner folds. Features are computed from all crystals at once, without labels.

    Where a descriptor has quantum and classical candidates, one question is planned: the best of each family, chosen
    inside each training fold, against the other. Models without a search are fitted to inner folds once more for that
    choice. All other pairs are exploratory.

    Parameters
    ----------
    models : mapping of str to estimator or Model
        With a dataset: pipelines whose first step turns structures into features; the features are computed once for
        each distinct first step. With arrays: any regressors or classifiers. A search gives the number of its inner
        folds, or a splitter that heeds groups.
    data : CrystalDataset or ndarray, shape (n, d)
        A dataset brings its own ``y`` and ``groups``.
    y : ndarray, shape (n,)
        Labels, with arrays only.
    groups : ndarray of int, shape (n,), optional
        With arrays only; by default every row stands alone.
    folds, repeats, random_state : int
        Fixed beforehand: to add repeats until a test comes out as hoped makes its error unknown.
    split : {"grouped", "random"}
        ``"random"`` ignores the groups, to show what that does to the scores; the result carries a warning.
    rope : float or str
        Half-width of the region of practical equivalence: a number in the label's unit, or a share of the best
        constant's MAE, mean |y − median(y)|, or of its balanced error, 1 − 1/number of classes.
    n_bootstrap : int
        Resamples of groups for the intervals.
    n_jobs : int, optional
        As in joblib; a cluster by ``joblib.parallel_config``.
    families : mapping of str to str, optional
        Estimator → "quantum", "classical" or "reference"; by default told by the estimator's parts.
    further : dataset, optional
        With a dataset only: samples with labels, simulated ones say, that every fold learns from and none tests. No
        group of theirs is one of the dataset's; whether they are copies of its samples is the caller's concern.
    progress : Progress or bool, optional
        Told the name of each model; True for a bar, which is the default at a prompt and in a notebook.
    resume : str or Path, optional
        Folder that keeps each fold as soon as it is done. The same call with the same folder goes on where it was
        stopped and gives the same numbers; folds of other calls in it are left alone.
    seed : int, optional
        Deprecated name of ``random_state``, until 0.3.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        Without models or labels; with labels, features or predictions that are not finite or not of one length; with
        fewer groups than folds; with a search whose splitter ignores groups; with a model named like a baseline; with
        a ``rope`` that is neither; with classifiers for numbers, or regressors for classes; with fewer than two
        classes in two groups or more.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> X = np.arange(40.0)[:, None]
    >>> result = compare({"line": LinearRegression()}, X, 3 * X.ravel() + 1)
    >>> bool(result.table.set_index("model").loc["line", "mae"] < 1e-9)
    True
    """
    if seed is not None:
        warnings.warn("compare(seed=…) is deprecated and goes in 0.3: write random_state=…", DeprecationWarning, 2)
        random_state = seed
    check_folds(folds, repeats, split)
    problem = Problem.of(models, data, y, groups, families, further)
    grouped = problem.independent_groups()
    classes = problem.y if problem.has_classes else None
    of_class = None if classes is None else class_weights(classes, grouped)
    half_width = region_half_width(rope, problem.y if of_class is None else problem.y[of_class > 0])
    drawn: dict[str, Any] = {"folds": folds, "repeats": repeats, "random_state": random_state, "split": split}
    dealt = list(make_folds(len(problem.y), grouped, y=classes, **drawn))
    inner_groups = grouped if split == "grouped" else np.arange(len(grouped))
    finished = None if resume is None else FinishedFolds(Path(resume))
    results = evaluate_folds(
        problem, dealt, inner_groups, n_jobs=n_jobs, progress=progress, finished=finished, inner=_rivals(problem)
    )
    descriptors = descriptor_table(problem)
    by_fold = fold_table(problem, results, of_class)
    weights = bootstrap_weights(grouped, n_bootstrap, random_state)
    return Comparison(
        label=problem.label | {"n_groups": len(np.unique(grouped))} | _class_facts(problem, grouped),
        table=score_table(problem, results, weights, descriptors, of_class),
        predictions=prediction_table(problem, results, grouped),
        folds=by_fold,
        significance=significance_table(problem, by_fold, half_width),
        planned=planned_table(problem.questions, by_fold, half_width),
        descriptors=descriptors,
        parameters=parameter_table(results),
        features=dict(problem.features),
        ids=problem.ids,
        y=problem.y,
        settings={
            "folds": folds,
            "repeats": repeats,
            "seed": random_state,
            "split": _split_sentence(problem, grouped, folds, repeats, split),
            "bootstrap": n_bootstrap,
            "rope": half_width,
            "intervals": INTERVALS,
            **({} if problem.further is None else {"further": f"{len(problem.further.y)} of {problem.further.name}"}),
        },
        warnings=_warnings(problem, grouped, dealt, split) + _warned(results),
    )


def _rivals(problem: Problem) -> dict[str, BaseCrossValidator]:
    """Candidates that another of their family may be chosen over, with the inner folds of the choice."""
    found: dict[str, BaseCrossValidator] = {}
    for families in problem.questions.values():
        names = [name for family in families if len(family) > 1 for name in family]
        found |= dict.fromkeys(names, inner_folds(problem.models[name].of_features for name in names))
    return found


def _class_facts(problem: Problem, grouped: np.ndarray) -> dict[str, Any]:
    """Of each class its samples, the independent groups that it stands in, and whether it is scored."""
    if not problem.has_classes:
        return {}
    classes = {}
    for name in problem.class_names.tolist():
        own = grouped[problem.y == name]
        many = len(np.unique(own))
        classes[name] = {"n": len(own), "groups": many, "scored": many > 1}
    return {"classes": classes}


def _split_sentence(problem: Problem, grouped: np.ndarray, folds: int, repeats: int, split: str) -> str:
    n_classes, n_groups = len(np.unique(problem.groups)), len(np.unique(grouped))
    times = f"{repeats} × " if repeats > 1 else ""
    samples = problem.label.get("samples", "crystals")
    classes = "symmetry classes" if samples == "crystals" else "groups of their own"
    if split == "random":
        return f"{times}{folds} folds dealt at random, symmetry copies and identical descriptors on both sides"
    return (
        f"{times}{folds} folds over {n_groups} groups: {len(problem.y)} {samples} in {n_classes} {classes}, "
        "merged where a descriptor cannot tell them apart"
    )


def _warned(results: list[FoldResult]) -> tuple[str, ...]:
    """What each model warned of, as in the first fold in which it did."""
    found: dict[str, list[str]] = {}
    folds = Counter(result.model for result in results)
    for result in results:
        if result.warned:
            found.setdefault(result.model, []).append("; ".join(result.warned))
    return tuple(
        f"{model} warned in {len(texts)} of {folds[model]} folds: {texts[0].rstrip('.')}."
        for model, texts in found.items()
    )


def _warnings(problem: Problem, grouped: np.ndarray, dealt: list[Fold], split: str) -> tuple[str, ...]:
    found = list(problem.cautions)
    if split == "random":
        shares = [np.isin(grouped[test], grouped[train]).mean() for _, _, train, test in dealt]
        found.append(
            f"Folds were dealt at random: {np.mean(shares):.0%} of the test crystals have a copy (by symmetry or by "
            "descriptor) among the training crystals. These scores show leakage, not prediction."
        )
    elif len(np.unique(grouped)) < len(grouped):
        found += [
            f"{name} chooses parameters on inner folds of its own ({', '.join(parts)}), which may part copies of one "
            "crystal: its choice, not its score, may have seen leakage."
            for name, model in problem.models.items()
            if (parts := ungrouped_parameters(model.of_features))
        ]
    found += _class_cautions(problem, grouped, dealt)
    noise, spread = problem.label.get("noise"), problem.label.get("sd", 0.0)
    if noise is not None and noise > 0.5 * spread:
        found.append(
            f"Labels of equivalent crystals scatter by {noise:.3g} (standard deviation), against a spread of "
            f"{spread:.3g} over all crystals: of a model that cannot see what makes them scatter, an R² above "
            f"{1 - (noise / spread) ** 2:.2f} is not to be expected."
        )
    if len(problem.y) < FEW_CRYSTALS:
        found.append(
            f"Only {len(problem.y)} {problem.label.get('samples', 'crystals')}: intervals are wide and the "
            "significance tests have little power."
        )
    return tuple(found)


def _class_cautions(problem: Problem, grouped: np.ndarray, dealt: list[Fold]) -> list[str]:
    """Classes that cannot be scored, and folds that learn nothing of a class that they test."""
    if not problem.has_classes:
        return []
    found = []
    learnt = set() if problem.further is None else set(problem.further.y.tolist())
    facts = _class_facts(problem, grouped)["classes"]
    if alone := [name for name, about in facts.items() if about["n"] and not about["scored"]]:
        found.append(
            f"{', '.join(alone)}: all samples of the class are of one group, so that it is predicted, but not scored"
            + ("." if set(alone) <= learnt else ": where it is tested, nothing of it is learnt from.")
        )
    for name, about in facts.items():
        parts = [(problem.y[train] == name, problem.y[test] == name) for _, _, train, test in dealt]
        lacking = sum(bool(test.any() and not train.any()) for train, test in parts)
        if about["scored"] and lacking and name not in learnt:
            found.append(f"{name}: {lacking} of {len(dealt)} folds test the class and learn nothing of it.")
    return found
