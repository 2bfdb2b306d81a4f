"""Comparison: everything one comparison of models gave, as plain tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import pandas as pd

METRICS = ("mae", "rmse", "r2", "spearman", "maer")
#: Those of classes; the first is 1 − balanced accuracy.
CLASS_METRICS = ("error", "balanced_accuracy", "accuracy", "macro_f1", "log_loss", "calibration_error")
#: A difference is significant below this p.
ALPHA = 0.05
#: What the planned questions ask.
ASKED = "best quantum against best classical model, chosen inside the training folds"


def planned_columns(loss: str) -> dict[str, str]:
    """Columns of the planned questions, and their types, where models are ranked by ``loss``."""
    scores = (f"quantum_{loss}", f"classical_{loss}", f"delta_{loss}", "low", "high", "p", "p_holm")
    return {
        **dict.fromkeys(("descriptor", "quantum", "classical"), "str"),
        **dict.fromkeys(scores, "float64"),
        **dict.fromkeys(("prob_better", "prob_equivalent", "prob_worse", "rope", "detectable", "floor"), "float64"),
        "folds": "int64",
        "outcome": "str",
    }


#: Those of numbers.
PLANNED = planned_columns("mae")


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Scores of several models on the same folds; no model inside, so that a report needs nothing else.

    Attributes
    ----------
    label : dict
        ``name`` (of the dataset), ``target``, ``unit``, ``n``, ``n_groups`` (folds never cross them),
        ``mean``, ``sd``, ``min``, ``max``, ``noise`` (standard deviation inside symmetry classes, or
        None), ``provenance`` (list of sentences with their counts) and ``samples`` ("crystals", "measured patterns").
        Of classes, ``classes`` in place of mean to noise: class → ``n``, ``groups`` (independent ones it stands in) and
        ``scored`` (False where that is one, so that a test of it would have no training samples).
    table : DataFrame
        One row a model, baselines first: ``model`` (unique), ``name`` (without its descriptor), ``descriptor`` ("none"
        for baselines), ``kind`` ("baseline" or "model"), ``family`` ("baseline", "quantum", "classical" or
        "reference"), ``role`` ("baseline", "candidate" or "contrast"), then for each of mae, rmse, r2,
        spearman, maer the columns ``x``, ``x_low``, ``x_high`` (95 % interval, bootstrap over groups),
        ``ceiling_r2`` (of the descriptor; NaN for baselines), ``seconds`` (of all folds together) and ``memory_mb``
        (by which the process grew at most in a fold; NaN where the system does not tell).
        Of classes, ``error`` (balanced error, 1 − balanced accuracy), balanced_accuracy, accuracy, macro_f1, log_loss
        and calibration_error stand in place of mae to maer, over the classes that are scored, and no ceiling is known.
    predictions : DataFrame
        Out-of-fold predictions, long: ``id``, ``group``, ``repeat``, ``fold``, ``model``, ``y_true``, ``y_pred``; of
        classes, ``probability_…`` of each too.
    folds : DataFrame
        ``model``, ``repeat``, ``fold``, ``n_train``, ``n_test``, ``mae``, ``rmse``, ``r2``, and ``inner_mae`` (on inner
        folds of the training fold; NaN where nothing was to be chosen by it). Of classes ``error`` (with the weights of
        all samples, so that folds add up to the balanced error), ``accuracy`` and ``inner_error``; in this table and
        the next, ``error`` stands wherever ``mae`` does of numbers.
    significance : DataFrame
        Each pair of models on one descriptor, in their order, and each model against both baselines, the model
        first: ``model_a``, ``model_b``, ``delta_mae`` (a − b, mean over folds), ``low``, ``high``, ``t``, ``p``,
        ``exploratory`` (True for two models: seen in the data first, so no test of a plan), ``p_holm`` (against the
        mean, or the median: Holm over the models; NaN where exploratory), ``prob_better``, ``prob_equivalent``,
        ``prob_worse`` and ``rope``, as in ``planned``; corrected resampled t-test (Nadeau and Bengio 2003).
    descriptors : DataFrame
        ``descriptor``, ``columns``, ``rank`` (numerical), ``distinct`` (rows), ``ceiling_r2``.
    parameters : DataFrame
        Hyperparameters chosen inside each training fold: ``model``, ``repeat``, ``fold``, ``parameters`` (JSON).
    features : dict of str to ndarray
        Descriptor name → matrix, shape (n, d), in the order of ``ids``.
    ids : tuple of str
    y : ndarray, shape (n,)
    settings : dict
        ``folds``, ``repeats``, ``seed``, ``split`` (sentence), ``bootstrap`` and whatever else must be told.
    warnings : tuple of str
        Sentences that a reader must see beside the scores.
    planned : DataFrame
        The planned questions: best quantum against best classical model, one row a descriptor that has candidates of
        both families. In each training fold the best of each family is chosen by MAE on grouped inner folds, and the
        difference of the two held-out errors is tested. ``descriptor``; ``quantum``, ``classical`` (the model chosen
        most often); ``quantum_mae``, ``classical_mae`` (of those chosen, mean over folds); ``delta_mae`` (quantum −
        classical), ``low``, ``high`` (95 %), ``p`` (corrected resampled t-test, Nadeau and Bengio 2003), ``p_holm``
        (Holm over descriptors); ``prob_better``, ``prob_equivalent``, ``prob_worse`` (that the quantum error is smaller
        by more than ``rope``, differs by no more, is larger by more: Corani and Benavoli 2015); ``detectable`` and
        ``floor`` (true difference that is found with power 80 %, with these folds and with infinitely many repeats);
        ``folds`` (their number, J) and ``outcome`` ("better", "likely better", "practically the same", "likely worse",
        "worse" or "undecidable"). Without rows in older records.
    """

    label: dict[str, Any]
    table: pd.DataFrame
    predictions: pd.DataFrame
    folds: pd.DataFrame
    significance: pd.DataFrame
    descriptors: pd.DataFrame
    parameters: pd.DataFrame
    features: dict[str, np.ndarray]
    ids: tuple[str, ...]
    y: np.ndarray
    settings: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    planned: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(PLANNED)).astype(PLANNED))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, sorted; none where labels are numbers."""
        return tuple(self.label.get("classes") or ())

    @property
    def loss(self) -> str:
        """The score that models are ranked by, smaller is better: ``"mae"``, or ``"error"`` of classes."""
        return CLASS_METRICS[0] if self.classes else METRICS[0]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The scores in ``table``."""
        return CLASS_METRICS if self.classes else METRICS

    @property
    def constant(self) -> pd.Series | None:
        """The row of the better constant, or None without one."""
        constants = self.table[(self.table["kind"] == "baseline") & self.table[self.loss].notna()]
        return None if constants.empty else constants.loc[constants[self.loss].idxmin()]

    def beats_constant(self, model: str) -> bool:
        """Whether a model is better than the better constant.

        By the corrected resampled t-test of the two alone (p under 0.05: of forty worthless models one passes); by the
        interval of its MAE where the pair was not tested.

        Raises
        ------
        KeyError
            If there is no such model.
        """
        constant, row = self.constant, self.table.set_index("model").loc[model]
        if constant is None:
            return True
        for first, second, sign in ((model, constant["model"], 1), (constant["model"], model, -1)):
            pairs = self.significance
            tested = pairs[(pairs["model_a"] == first) & (pairs["model_b"] == second) & pairs["p"].notna()]
            if len(tested):
                return bool((tested["p"] < ALPHA).all() and (sign * tested[f"delta_{self.loss}"] < 0).all())
        return bool(row[f"{self.loss}_high"] < constant[self.loss])

    def __repr__(self) -> str:
        samples = self.label.get("samples", "crystals")
        return f"<Comparison of {len(self.table)} models on {self.label['n']} {samples} of {self.label['name']}>"

    def __str__(self) -> str:
        tables = [each.to_string(index=False, float_format="{:.4g}".format) for each in self._shown]
        return f"\n{ASKED}:\n".join([f"{self._head}\n{tables[0]}", *tables[1:]])

    def _repr_html_(self) -> str:
        tables = [each.to_html(index=False, float_format="{:.4g}".format) for each in self._shown]
        return f"<p>{ASKED}:</p>".join([f"<p>{escape(self._head)}</p>{tables[0]}", *tables[1:]])

    @property
    def _head(self) -> str:
        label, samples = self.label, self.label.get("samples", "crystals")
        spread = (
            ", ".join(f"{name} {about['n']}" for name, about in label["classes"].items())
            if self.classes
            else f"sd {label['sd']:.4g} {label['unit'] or ''}"
        )
        return (
            f"{label['name']}: {label['n']} {samples}, {label['n_groups']} independent groups; "
            f"{label['target']} {spread}".rstrip()
        )

    @property
    def _shown(self) -> list[pd.DataFrame]:
        """Scores, and the planned questions where there are any."""
        further = CLASS_METRICS[1:] if self.classes else ("r2", "spearman", "ceiling_r2")
        scores = self.table[["model", "descriptor", self.loss, f"{self.loss}_low", f"{self.loss}_high", *further]]
        asked = self.planned[
            ["descriptor", "outcome", f"delta_{self.loss}", "low", "high", "rope", "detectable", "floor"]
        ]
        return [scores, asked] if len(asked) else [scores]
