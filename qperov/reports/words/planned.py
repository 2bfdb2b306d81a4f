"""The planned questions of a comparison, one line each."""

from __future__ import annotations

import pandas as pd

from qperov.evaluation.results import Comparison
from qperov.reports.words.findings import scored_models, with_unit
from qperov.reports.words.number_format import decimals, fixed, significant


def planned_lines(comparison: Comparison) -> list[str]:
    """What was asked of each descriptor, what came out, and what could have."""
    names = scored_models(comparison).set_index("model")["name"]
    return [
        _line(row, with_unit(comparison), (names[row["quantum"]], names[row["classical"]]))
        for _, row in comparison.planned.iterrows()
    ]


def _line(row: pd.Series, unit: str, chosen: tuple[str, str]) -> str:
    places = decimals(row["delta_mae"], row["low"], row["high"])
    delta, low, high = (fixed(float(row[name]), places, sign=True) for name in ("delta_mae", "low", "high"))
    rope, detectable, floor = (significant(float(row[name]), 2) for name in ("rope", "detectable", "floor"))
    return (
        f"{row['descriptor']}: best quantum against best classical: {row['outcome']} "
        f"(ΔMAE {delta} [{low}, {high}]{unit}; region ±{rope}; detectable {detectable}, floor {floor}; "
        f"most often {chosen[0]} against {chosen[1]})"
    )
