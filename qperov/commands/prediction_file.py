"""Predictions as a file, together with what they were made by and what has none."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from qperov.serving.inputs import Failure
from qperov.serving.predictor import Predictions
from qperov.serving.stored_model import StoredModel

ENDINGS = (".csv", ".json", ".parquet")


def write_predictions(path: Path, model: StoredModel, predictions: Predictions, failures: Sequence[Failure]) -> None:
    """Write a table, one row an entry, those without a prediction last; an existing file is replaced at the end.

    Columns are those of ``predictions.table`` with ``confidence``, ``unit``, ``model`` and, for entries without a
    prediction, ``error``. In JSON they are the list ``predictions``, after what is known of the model.

    Raises
    ------
    ValueError
        If the name ends otherwise than ``ENDINGS``.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(f"{path}: predictions are written to {', '.join(ENDINGS)}")
    table = predictions.table.assign(error="")
    if failures:
        lost = [{"id": failure.id, "error": f"{failure.kind}: {failure.reason}"} for failure in failures]
        table = pd.concat([table, pd.DataFrame(lost)], ignore_index=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    if ending == ".json":
        text = json.dumps(_content(model, predictions, table), indent=1, ensure_ascii=False, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
    else:
        known = {"confidence": predictions.confidence, "unit": model.unit, "model": model.name}
        for place, (column, value) in enumerate(known.items(), start=table.columns.get_loc("high") + 1):
            table.insert(place, column, value)
        if ending == ".csv":
            table.to_csv(partial, index=False, encoding="utf-8", errors="backslashreplace")
        else:
            table.to_parquet(partial, index=False)
    partial.replace(path)


def _content(model: StoredModel, predictions: Predictions, table: pd.DataFrame) -> dict[str, Any]:
    return {
        "model": model.name,
        "target": model.target,
        "unit": model.unit,
        "trained_on": model.about["dataset"],
        "scores": {name: _plain(value) for name, value in model.about["scores"].items()},
        "versions": model.about["versions"],
        "notes": list(model.notes),
        "confidence": predictions.confidence,
        "predictions": [
            {name: _plain(value) for name, value in row.items()} for row in table.to_dict(orient="records")
        ],
    }


def _plain(value: Any) -> Any:
    """None for what JSON has no number for."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
