"""Tables of a report as rows of text: scores, tested pairs, chosen hyperparameters, tables of studies."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from qperov.evaluation.results import Comparison
from qperov.reports.words import answer
from qperov.reports.words import findings as say
from qperov.reports.words.number_format import chance, decimals, fixed, probability, significant

#: Scores of the main table, of numbers and of classes.
SHOWN = ("mae", "rmse", "r2", "spearman")
SHOWN_OF_CLASSES = ("error", "accuracy", "macro_f1", "log_loss", "calibration_error")


def score_groups(comparison: Comparison) -> list[dict[str, Any]]:
    """Rows grouped by descriptor, best first, baselines on top."""
    return [
        {
            "title": title,
            "note": "" if (rows["family"] == "baseline").all() else _limits_of(comparison, title),
            "rows": [_row(comparison, row) for _, row in rows.iterrows()],
        }
        for title, rows in say.score_blocks(comparison)
    ]


def score_headings(comparison: Comparison) -> list[tuple[str, str]]:
    """Name and unit of each score of the main table."""
    unit = comparison.label.get("unit") or ""
    return [(say.HEADINGS[name], unit if name in ("mae", "rmse") else "") for name in _shown(comparison)]


def _shown(comparison: Comparison) -> tuple[str, ...]:
    return SHOWN_OF_CLASSES if comparison.classes else SHOWN


def _row(comparison: Comparison, row: pd.Series) -> dict[str, Any]:
    return {
        "model": row["name"],
        "family": row["family"],
        "contrast": row["role"] == "contrast",
        "scores": [say.interval(row, metric) for metric in _shown(comparison)],
        "costs": [significant(float(row[name]), 2) for name in costs(comparison)],
        "flag": row["family"] != "baseline" and not comparison.beats_constant(str(row["model"])),
    }


def costs(comparison: Comparison) -> list[str]:
    """Columns of the table that say what a model costs; older records know no memory."""
    return [name for name in ("seconds", "memory_mb") if name in comparison.table]


def _limits_of(comparison: Comparison, descriptor: str) -> str:
    found = comparison.descriptors[comparison.descriptors["descriptor"] == descriptor]
    if found.empty:
        return ""
    row = found.iloc[0]
    ceiling = float(row["ceiling_r2"])
    parts = [f"ceiling R² {fixed(ceiling, 3)}"] if math.isfinite(ceiling) else ["ceiling R² not known"]
    parts = [] if comparison.classes else parts
    parts.append(f"numerical rank {int(row['rank'])} of {int(row['columns'])} columns")
    parts.append(f"{int(row['distinct'])} distinct rows among {comparison.label['n']} {say.samples(comparison)}")
    return "; ".join(parts)


# --- planned questions --------------------------------------------------------------------------


def planned_questions(comparison: Comparison) -> dict[str, Any]:
    """Rows of the planned questions, and what they share: ``rope`` with its unit, ``folds``."""
    table = comparison.planned
    if table.empty:
        return {"rows": []}
    first = table.iloc[0]
    return {
        "rope": f"{significant(float(first['rope']), 2)}{say.with_unit(comparison)}",
        "folds": int(first["folds"]),
        "rows": [_question(comparison, row) for row in table.to_dict(orient="records")],
    }


def _question(comparison: Comparison, row: dict[str, Any]) -> dict[str, Any]:
    loss = comparison.loss
    places = decimals(row[f"delta_{loss}"], row["low"], row["high"])
    low, high = (fixed(row[end], places, sign=True) for end in ("low", "high"))
    return {
        "descriptor": row["descriptor"],
        "outcome": row["outcome"],
        **{family: answer.model_name(comparison, row[family]) for family in ("quantum", "classical")},
        **{f"{family}_loss": fixed(row[f"{family}_{loss}"], places) for family in ("quantum", "classical")},
        "delta": fixed(row[f"delta_{loss}"], places, sign=True),
        "ci": f"{low} … {high}",
        "p": probability(row["p_holm"]),
        "probable": [chance(row[f"prob_{name}"]) for name in ("better", "equivalent", "worse")],
        **{name: significant(row[name], 2) for name in ("detectable", "floor")},
    }


# --- pairs --------------------------------------------------------------------------------------


def tested_pairs(comparison: Comparison) -> dict[str, list[dict[str, Any]]]:
    """Tested pairs: quantum against classical on one descriptor, quantum on the left; all models against constants.

    Other pairs are in ``metrics.json`` alone. Each list has groups with a ``title``, which says what the names of the
    models leave out, and ``rows``.
    """
    table = say.scored_models(comparison).set_index("model")
    first: dict[str, list[dict[str, Any]]] = {}
    constants: dict[str, list[dict[str, Any]]] = {}
    for a, b in comparison.significance[["model_a", "model_b"]].itertuples(index=False):
        if a not in table.index or b not in table.index:
            continue
        families = (table.at[a, "family"], table.at[b, "family"])
        if families[1] == "quantum" and families[0] != "quantum":
            a, b, families = b, a, families[::-1]
        same = table.at[a, "descriptor"] == table.at[b, "descriptor"]
        focus = same and families[0] == "quantum" and families[1] in ("classical", "reference")
        if not focus and "baseline" not in families:
            continue
        title, names = _common(table, a, b)
        tested = say.difference(comparison, a, b)
        assert tested is not None  # these are the tested pairs
        row = {"a": names[0], "b": names[1], **pair_cells(tested)}
        (first if focus else constants).setdefault(title, []).append(row)
    return {
        name: [{"title": title, "rows": rows} for title, rows in groups.items()]
        for name, groups in (("first", first), ("constants", constants))
    }


def _common(table: pd.DataFrame, a: str, b: str) -> tuple[str, tuple[str, str]]:
    """What heads the rows of a pair, and the models' names without it."""
    one, other = str(table.at[a, "descriptor"]), str(table.at[b, "descriptor"])
    short = (str(table.at[a, "name"]), str(table.at[b, "name"]))
    if "baseline" in (table.at[a, "family"], table.at[b, "family"]):
        return f"{one or other}, against constants", short
    return (one, short) if one == other else ("different descriptors", (a, b))


def pair_cells(tested: say.Difference) -> dict[str, Any]:
    """Difference, interval, p-values, probabilities and verdict as text."""
    places = decimals(tested.delta, tested.low, tested.high)
    low, high = (fixed(end, places, sign=True) for end in (tested.low, tested.high))
    return {
        "delta": fixed(tested.delta, places, sign=True),
        "ci": f"{low} … {high}",
        "p": probability(tested.p),
        "p_holm": probability(tested.p_holm),
        "probable": [chance(p) for p in (tested.better, tested.equivalent, tested.worse)],
        "verdict": tested.verdict,
    }


def rope_text(comparison: Comparison) -> str:
    """Half the region of practical equivalence, with unit; nothing in records that have none."""
    ropes = comparison.significance.get("rope", pd.Series(dtype=float)).dropna()
    return f"{significant(float(ropes.iloc[0]), 2)}{say.with_unit(comparison)}" if len(ropes) else ""


# --- hyperparameters ----------------------------------------------------------------------------


def chosen_parameters(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """For each model the settings that were chosen, the most frequent first, with their folds."""
    chosen: dict[str, dict[str, list[str]]] = {}
    for model, repeat, fold, parameters in frame[["model", "repeat", "fold", "parameters"]].itertuples(index=False):
        chosen.setdefault(model, {}).setdefault(_settings_text(parameters), []).append(f"{repeat + 1}.{fold + 1}")
    return [
        {"model": model, "choices": sorted(choices.items(), key=lambda item: -len(item[1]))}
        for model, choices in chosen.items()
    ]


def _settings_text(text: Any) -> str:
    try:
        values = json.loads(text)
    except (TypeError, ValueError):
        return str(text)
    if not isinstance(values, dict):
        return str(text)
    return ", ".join(f"{k} = {v:.4g}" if isinstance(v, float) else f"{k} = {v}" for k, v in values.items()) or "none"


# --- folds --------------------------------------------------------------------------------------


def fold_rows(comparison: Comparison) -> list[list[str]]:
    """Model, then mean, standard deviation, least and largest of its MAE, or balanced error, over the folds."""
    rows = []
    for model, part in comparison.folds.groupby("model", sort=False):
        loss = part[comparison.loss]
        places = decimals(loss.mean(), loss.min(), loss.max())
        deviation = float(loss.std()) if len(loss) > 1 else math.nan
        rows.append([str(model), *(fixed(float(v), places) for v in (loss.mean(), deviation, loss.min(), loss.max()))])
    return rows


def fold_sizes(comparison: Comparison) -> str:
    """How many samples a fold tests, as in "120 to 124"."""
    sizes = comparison.folds["n_test"]
    if sizes.empty:
        return "no"
    low, high = int(sizes.min()), int(sizes.max())
    return str(low) if low == high else f"{low} to {high}"


# --- any table ----------------------------------------------------------------------------------


def is_text(column: pd.Series) -> bool:
    """Whether a column is read, not compared."""
    return not pd.api.types.is_numeric_dtype(column)


def cells(table: pd.DataFrame, places: dict[str, int]) -> list[list[str]]:
    """Rows of text; ``places`` are decimals of columns where three significant digits are not right."""
    columns = [[_cell(value, places.get(str(name))) for value in table[name].tolist()] for name in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def _cell(value: Any, places: int | None) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return significant(value) if places is None else fixed(value, places)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
