"""The numbers of a Comparison that sentences, tables and figures are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from qperov.evaluation.results import ALPHA, CLASS_METRICS, METRICS, Comparison
from qperov.evaluation.significance import CERTAIN
from qperov.reports.words.number_format import decimals, fixed

#: What tables and axes call a score.
HEADINGS = {
    "mae": "MAE", "rmse": "RMSE", "r2": "R²", "spearman": "Spearman ρ", "error": "balanced error",
    "balanced_accuracy": "balanced accuracy", "accuracy": "accuracy", "macro_f1": "macro F1", "log_loss": "log loss",
    "calibration_error": "calibration error",
}  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """MAE of one model minus that of another, with its 95 % interval, Holm's p, and the probabilities that the first is
    better by more than ``rope``, differs by no more, is worse by more; NaN in records that do not hold them."""

    delta: float
    low: float
    high: float
    p: float
    p_holm: float
    better: float = math.nan
    equivalent: float = math.nan
    worse: float = math.nan
    rope: float = math.nan

    @property
    def significant(self) -> bool:
        """Whether the corrected resampled t-test, after Holm's correction, finds a difference."""
        return self.p_holm < ALPHA

    @property
    def same(self) -> bool:
        """Whether the two are practically equivalent beyond reasonable doubt."""
        return self.equivalent >= CERTAIN

    @property
    def verdict(self) -> str:
        """What the two tests say of the first and the second model, in a few words."""
        if math.isnan(self.p_holm):
            return "exploratory"
        if not self.significant:
            return "practically equivalent" if self.same else "not distinguishable"
        which = "first is better" if self.delta < 0 else "second is better"
        return f"{which}, but negligibly" if self.same else which


def scored_models(comparison: Comparison) -> pd.DataFrame:
    """The table with ``family``, ``role`` and ``descriptor`` filled in.

    Where nothing is said, a model is classical, and a candidate unless it is a reference.
    """
    table = comparison.table.reset_index(drop=True)
    baseline = table["kind"] == "baseline"
    family = _filled(table, "family", "classical").mask(baseline, "baseline")
    role = _filled(table, "role", "candidate").mask(family == "reference", "contrast").mask(baseline, "baseline")
    descriptor = _filled(table, "descriptor", "no descriptor").mask(baseline, "")
    return table.assign(family=family, role=role, descriptor=descriptor)


def candidates(comparison: Comparison) -> pd.DataFrame:
    """Rows of the models that may lead: no baseline, and none that stands there for contrast."""
    table = scored_models(comparison)
    return table[table["role"] == "candidate"]


def _filled(table: pd.DataFrame, column: str, default: str) -> pd.Series:
    if column not in table:
        return pd.Series(default, index=table.index, dtype=object)
    values = table[column].astype(object)
    return values.where(values.notna() & (values != ""), default)


def descriptor_names(comparison: Comparison) -> list[str]:
    """Descriptors in the order of the models that use them."""
    table = scored_models(comparison)
    return list(dict.fromkeys(table.loc[table["family"] != "baseline", "descriptor"]))


def score_blocks(comparison: Comparison) -> list[tuple[str, pd.DataFrame]]:
    """Title and rows of the constants, then of each descriptor, best first."""
    table = scored_models(comparison)
    models = table[table["family"] != "baseline"].sort_values(comparison.loss, kind="stable")
    blocks = [("constants", table[table["family"] == "baseline"])]
    blocks += [(str(name), models[models["descriptor"] == name]) for name in descriptor_names(comparison)]
    return [(title, rows) for title, rows in blocks if len(rows)]


def best(table: pd.DataFrame) -> pd.Series | None:
    """The row with the smallest MAE, or balanced error, or None of an empty table."""
    loss = METRICS[0] if METRICS[0] in table else CLASS_METRICS[0]
    finite = table[table[loss].notna()]
    return None if finite.empty else finite.loc[finite[loss].idxmin()]


def best_of(comparison: Comparison, descriptor: str, *families: str) -> pd.Series | None:
    """The best model of these families on one descriptor; a candidate, where there is one."""
    table = scored_models(comparison)
    own = table[(table["descriptor"] == descriptor) & table["family"].isin(families)]
    return best(own[own["role"] == "candidate"] if (own["role"] == "candidate").any() else own)


def best_baseline(comparison: Comparison) -> pd.Series | None:
    """The better constant."""
    table = scored_models(comparison)
    return best(table[table["family"] == "baseline"])


def difference(comparison: Comparison, a: str, b: str) -> Difference | None:
    """MAE of ``a`` minus MAE of ``b``, or None where the pair was not tested."""
    pairs = comparison.significance
    for first, second, sign in ((a, b, 1.0), (b, a, -1.0)):
        found = pairs[(pairs["model_a"] == first) & (pairs["model_b"] == second)]
        if len(found):
            row = found.iloc[0]
            low, high = sorted((sign * float(row["low"]), sign * float(row["high"])))
            better, worse = ("prob_better", "prob_worse") if sign > 0 else ("prob_worse", "prob_better")
            probable = (float(row.get(name, math.nan)) for name in (better, "prob_equivalent", worse, "rope"))
            return Difference(
                sign * float(row[f"delta_{comparison.loss}"]),
                low,
                high,
                float(row["p"]),
                float(row["p_holm"]),
                *probable,
            )
    return None


# --- words --------------------------------------------------------------------------------------


def loss_name(comparison: Comparison) -> str:
    """The score that models are ranked by, as sentences and axes call it."""
    return HEADINGS[comparison.loss]


def samples(comparison: Comparison) -> str:
    """What was predicted: crystals, or measured patterns."""
    return str(comparison.label.get("samples", "crystals"))


# --- numbers ------------------------------------------------------------------------------------


def interval(row: pd.Series, metric: str) -> tuple[str, str]:
    """Value and 95 % interval of a metric, with decimals that fit the interval."""
    value, low, high = (float(row[metric + end]) for end in ("", "_low", "_high"))
    places = decimals(value, low, high)
    if any(math.isnan(number) for number in (value, low, high)):
        return fixed(value, places), ""
    return fixed(value, places), f"{fixed(low, places)} … {fixed(high, places)}"


def with_unit(comparison: Comparison) -> str:
    """The unit, after a space, or nothing."""
    unit = comparison.label.get("unit")
    return f" {unit}" if unit else ""
