"""What the numbers of a Comparison say, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from qperov.evaluation.results import Comparison
from qperov.reports.words.number_format import chance, decimals, equals, fixed, significant

ALPHA = 0.05
#: Two models are called practically equivalent from this probability on.
CERTAIN = 0.95
#: So many models are named in a sentence.
FEW_NAMES = 6
#: A ceiling of R² that rounds to less than this is worth a sentence.
NO_CEILING = 0.995


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
        if not self.significant:
            return "practically equivalent" if self.same else "not distinguishable"
        which = "first is better" if self.delta < 0 else "second is better"
        return f"{which}, but negligibly" if self.same else which


def scored_models(comparison: Comparison) -> pd.DataFrame:
    """The table with ``family`` ("classical" where nothing is said) and ``descriptor`` filled in."""
    table = comparison.table.reset_index(drop=True)
    baseline = table["kind"] == "baseline"
    family = _filled(table, "family", "classical").mask(baseline, "baseline")
    descriptor = _filled(table, "descriptor", "no descriptor").mask(baseline, "")
    return table.assign(family=family, descriptor=descriptor)


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
    models = table[table["family"] != "baseline"].sort_values("mae", kind="stable")
    blocks = [("constants", table[table["family"] == "baseline"])]
    blocks += [(str(name), models[models["descriptor"] == name]) for name in descriptor_names(comparison)]
    return [(title, rows) for title, rows in blocks if len(rows)]


def best(table: pd.DataFrame) -> pd.Series | None:
    """The row with the smallest MAE, or None of an empty table."""
    finite = table[table["mae"].notna()]
    return None if finite.empty else finite.loc[finite["mae"].idxmin()]


def best_of(comparison: Comparison, descriptor: str, *families: str) -> pd.Series | None:
    """The best model of these families on one descriptor."""
    table = scored_models(comparison)
    return best(table[(table["descriptor"] == descriptor) & table["family"].isin(families)])


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
                sign * float(row["delta_mae"]), low, high, float(row["p"]), float(row["p_holm"]), *probable
            )
    return None


def beats_constant(comparison: Comparison, row: pd.Series) -> bool:
    """Whether a model is better than the better constant.

    By the corrected t-test (Holm's p under 0.05); by the interval of its MAE where the pair was not tested.
    """
    constant = best_baseline(comparison)
    if constant is None:
        return True
    tested = difference(comparison, row["model"], constant["model"])
    if tested is not None and not math.isnan(tested.p_holm):
        return tested.significant and tested.delta < 0
    return bool(row["mae_high"] < constant["mae"])


# --- numbers ------------------------------------------------------------------------------------


def interval(row: pd.Series, metric: str, scale: float = 1) -> tuple[str, str]:
    """Value and 95 % interval of a metric times ``scale``, with decimals that fit the interval."""
    value, low, high = (scale * float(row[metric + end]) for end in ("", "_low", "_high"))
    places = decimals(value, low, high)
    if any(math.isnan(number) for number in (value, low, high)):
        return fixed(value, places), ""
    return fixed(value, places), f"{fixed(low, places)} … {fixed(high, places)}"


# --- sentences ----------------------------------------------------------------------------------


def with_unit(comparison: Comparison) -> str:
    """The unit, after a space, or nothing."""
    unit = comparison.label.get("unit")
    return f" {unit}" if unit else ""


def _versus(comparison: Comparison, quantum: pd.Series, classical: pd.Series, kind: str) -> str:
    unit = with_unit(comparison)
    scores = f"best quantum model ({quantum['name']}) MAE {interval(quantum, 'mae')[0]}, "
    scores += f"best {kind} ({classical['name']}) {interval(classical, 'mae')[0]}{unit}"
    tested = difference(comparison, quantum["model"], classical["model"])
    if tested is None or math.isnan(tested.p_holm):
        return f"{scores}; the pair was not tested."
    places = decimals(tested.delta, tested.low, tested.high)
    numbers = (
        f"ΔMAE {fixed(tested.delta, places, sign=True)} [{fixed(tested.low, places, sign=True)} … "
        f"{fixed(tested.high, places, sign=True)}]{unit}, p(Holm) {equals(tested.p_holm)}"
    )
    if not tested.significant:
        return f"{scores}: not distinguishable ({numbers})."
    word = "better" if tested.delta < 0 else "worse"
    return f"{scores}: quantum is {word} by {fixed(abs(tested.delta), places)}{unit} ({numbers})."


def quotable(comparison: Comparison, a: pd.Series, b: pd.Series) -> str:
    """The sentence on two models of one descriptor that may be quoted without its surroundings; "" if not tested."""
    tested = difference(comparison, a["model"], b["model"])
    if tested is None or not all(map(math.isfinite, (tested.p_holm, tested.low, tested.high))):
        return ""
    unit, (first, second) = with_unit(comparison), (row["name"] for row in (a, b))
    verdict = f"is {'practically equivalent to' if tested.same else 'not distinguishable from'} {second}"
    if tested.significant:
        verdict = f"is {'better' if tested.delta < 0 else 'worse'} than {second}"
    places = decimals(tested.delta, tested.low, tested.high)
    number = fixed(tested.delta, places, sign=True)
    half = fixed((tested.high - tested.low) / 2, places)
    text = f"On the {a['descriptor']}, {first} {verdict} at n = {comparison.label['n']} "
    text += f"(ΔMAE {number} ± {half}{unit} at 95 % confidence)"
    if math.isnan(tested.equivalent):
        return f"{text}."
    margin = f"{significant(tested.rope, 2)}{unit}"
    return (
        f"{text}. The probability that they differ by less than {margin}, a negligible amount, is "
        f"{chance(tested.equivalent)}; that {first} is better by more than that, {chance(tested.better)}; that it is "
        f"worse by more than that, {chance(tested.worse)}."
    )


def summarise(comparison: Comparison) -> tuple[str, list[dict[str, str]]]:
    """A paragraph about the whole, and for each descriptor a sentence (``descriptor``, ``text``) and ``quotable``.

    ``quotable`` is what :func:`quotable` says of the best quantum and the best classical model, or "".
    """
    table, unit = scored_models(comparison), with_unit(comparison)
    models, constant = table[table["family"] != "baseline"], best_baseline(comparison)
    text = ""
    if (top := best(models)) is not None:
        text = f"Of {len(models)} models, {top['model']} has the smallest MAE, {_with_interval(top, 'mae')}{unit}"
        text += f" (R² {interval(top, 'r2')[0]})."
        noise = comparison.label.get("noise")
        if noise is not None and math.isfinite(noise) and noise > 0:
            text += f" That is {significant(top['mae'] / noise, 2)} times the label noise."
    if constant is not None:
        text += f" A constant (the {constant['model']}) scores MAE {_with_interval(constant, 'mae')}{unit}."
        lost = [str(row["model"]) for _, row in models.iterrows() if not beats_constant(comparison, row)]
        if len(models):
            named = f": {', '.join(lost)}" if 0 < len(lost) <= FEW_NAMES else ""
            text += f" {_count(len(lost), len(models))} no better than a constant{named}."
    return text.strip(), [_on_descriptor(comparison, name) for name in descriptor_names(comparison)]


def _with_interval(row: pd.Series, metric: str) -> str:
    value, ends = interval(row, metric)
    return f"{value} [{ends}]" if ends else value


def _count(some: int, total: int) -> str:
    return "None is" if some == 0 else f"{some} of {total} {'is' if some == 1 else 'are'}"


def _on_descriptor(comparison: Comparison, name: str) -> dict[str, str]:
    unit, quantum = with_unit(comparison), best_of(comparison, name, "quantum")
    classical, kind = best_of(comparison, name, "classical"), "classical"
    if classical is None:
        classical, kind = best_of(comparison, name, "reference"), "reference"
    if quantum is not None and classical is not None:
        text = _versus(comparison, quantum, classical, kind)
        if not beats_constant(comparison, quantum):
            text += " The quantum model is no better than a constant."
        if not beats_constant(comparison, classical):
            text += f" The {kind} model is no better than a constant."
        reference = best_of(comparison, name, "reference")
        if kind == "classical" and reference is not None:
            text += f" For reference: {reference['name']} scores {interval(reference, 'mae')[0]}{unit}."
        text += _ceiling(quantum, classical)
        return {"descriptor": name, "text": text, "quotable": quotable(comparison, quantum, classical)}
    only = quantum if quantum is not None else classical
    if only is None:
        return {"descriptor": name, "text": "no model has a finite score.", "quotable": ""}
    which = "quantum" if quantum is not None else kind
    text = f"{which} models only; best MAE {interval(only, 'mae')[0]}{unit}, "
    text += f"R² {interval(only, 'r2')[0]}."
    if not beats_constant(comparison, only):
        text += " No better than a constant."
    return {"descriptor": name, "text": text + _ceiling(only), "quotable": ""}


def _ceiling(*rows: pd.Series) -> str:
    """The bound on R² that the descriptor of these rows sets, beside the best score among them."""
    ceiling, reached = float(rows[0]["ceiling_r2"]), best(pd.DataFrame(rows))
    if reached is None or not ceiling < NO_CEILING:
        return ""
    bound = f"No model of this descriptor can exceed R² = {fixed(ceiling, 2)} on these crystals"
    return f" {bound}; {reached['name']} reaches {interval(reached, 'r2')[0]}."
