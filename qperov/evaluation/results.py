"""Comparison: everything one comparison of models gave, as plain tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import pandas as pd

METRICS = ("mae", "rmse", "r2", "spearman", "maer")


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Scores of several models on the same folds; no model inside, so that a report needs nothing else.

    Attributes
    ----------
    label : dict
        ``name`` (of the dataset), ``target``, ``unit``, ``n``, ``n_groups`` (folds never cross them),
        ``mean``, ``sd``, ``min``, ``max``, ``noise`` (standard deviation inside symmetry classes, or
        None) and ``provenance`` (list of sentences with their counts).
    table : DataFrame
        One row a model, baselines first: ``model`` (unique), ``name`` (without its descriptor), ``descriptor`` ("none"
        for baselines), ``kind`` ("baseline" or "model"), ``family`` ("baseline", "quantum", "classical" or
        "reference"), ``role`` ("baseline", "candidate" or "contrast"), then for each of mae, rmse, r2,
        spearman, maer the columns ``x``, ``x_low``, ``x_high`` (95 % interval, bootstrap over groups),
        ``ceiling_r2`` (of the descriptor; NaN for baselines), ``seconds`` (of all folds together) and ``memory_mb``
        (by which the process grew at most in a fold; NaN where the system does not tell).
    predictions : DataFrame
        Out-of-fold predictions, long: ``id``, ``group``, ``repeat``, ``fold``, ``model``, ``y_true``, ``y_pred``.
    folds : DataFrame
        ``model``, ``repeat``, ``fold``, ``n_train``, ``n_test``, ``mae``, ``rmse``, ``r2``.
    significance : DataFrame
        Each pair of models on one descriptor, in their order, and each model against both baselines, the model
        first: ``model_a``, ``model_b``, ``delta_mae`` (a − b, mean over folds), ``low``, ``high``, ``t``, ``p``,
        ``p_holm`` (Holm over the rows of one question: models against each other, against the mean, against
        the median); corrected resampled t-test (Nadeau and Bengio 2003).
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

    def __repr__(self) -> str:
        return f"<Comparison of {len(self.table)} models on {self.label['n']} crystals of {self.label['name']}>"

    def __str__(self) -> str:
        return f"{self._head}\n{self._scores.to_string(index=False, float_format='{:.4g}'.format)}"

    def _repr_html_(self) -> str:
        return f"<p>{escape(self._head)}</p>{self._scores.to_html(index=False, float_format='{:.4g}'.format)}"

    @property
    def _head(self) -> str:
        label = self.label
        return (
            f"{label['name']}: {label['n']} crystals, {label['n_groups']} independent groups; "
            f"{label['target']} sd {label['sd']:.4g} {label['unit'] or ''}".rstrip()
        )

    @property
    def _scores(self) -> pd.DataFrame:
        return self.table[["model", "descriptor", "mae", "mae_low", "mae_high", "r2", "spearman", "ceiling_r2"]]
