"""What other programs read of a run: ``metrics.json`` and ``table.tex``, beside the page and made of the record alone.

``metrics.json`` is one object. Numbers have full precision; what is undefined or infinite is ``null``. Its keys:

``schema``
    "qperov-metrics/1"; the number grows when a key changes its meaning or goes. Keys may be added.
``created``, ``command``, ``versions``, ``platform``, ``task``, ``settings``, ``warnings``
    As in the record: when, by which command line, with which packages, on what, with which seeds and folds.
``dataset``
    ``name``, ``fingerprint``, ``n``, ``left_out`` (kind → count).
``label``
    ``target``, ``unit``, ``n``, ``n_groups``, ``mean``, ``sd``, ``min``, ``max``, ``noise`` (the noise floor: standard
    deviation inside symmetry classes) and ``provenance``; where labels are classes, ``classes`` (class → ``n``,
    ``groups``, ``scored``) in place of ``mean`` to ``noise``, and ``error`` in place of ``mae`` in every key below.
``metrics``
    Score → ``unit`` ("" for none), ``better`` ("smaller" or "larger") and ``about``.
``confidence``
    Level of every interval, 0.95.
``models``
    One a row of the table, baselines among them: ``model``, ``descriptor`` (null for baselines), ``kind`` ("model" or
    "baseline"), ``family``, ``scores`` (score → ``value``, ``low``, ``high``), ``ceiling_r2``, ``seconds``,
    ``memory_mb`` (null in older records), ``beats_constant`` (null for baselines) and ``folds``: for each fold
    ``repeat``, ``fold``, ``n_train``, ``n_test``, ``mae``, ``rmse``, ``r2``.
``baselines``
    Names of the constants, the better one first.
``significance``
    Tested pairs: ``model_a``, ``model_b``, ``delta_mae`` (a − b), ``low``, ``high``, ``t``, ``p``, ``p_holm``;
    ``prob_better``, ``prob_equivalent``, ``prob_worse`` (of a), ``rope``, ``exploratory`` (null in older records);
    ``significant`` (``p_holm`` < 0.05; ``p_holm`` is null where exploratory) and ``verdict``, in which a is the first.
``planned``
    Best quantum against best classical model of each descriptor, chosen inside the folds; keys as the columns of
    ``Comparison.planned``. Empty in older records.
``descriptors``
    ``descriptor``, ``columns``, ``rank``, ``distinct``, ``ceiling_r2``.
``parameters``
    Chosen hyperparameters: ``model``, ``repeat``, ``fold``, ``parameters`` (an object).
``conclusions``
    The page's sentences: ``summary``, and for each descriptor with quantum and classical models ``descriptor``,
    ``text`` and the same as ``quotable``.
``studies``
    ``title``, ``paragraphs`` and ``tables``: name → rows, each an object of column → value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from qperov.evaluation.results import Comparison
from qperov.records.record import Record
from qperov.records.study import Study
from qperov.reports.latex import latex_table
from qperov.reports.words import findings as say
from qperov.reports.words.answer import answer, questions, sentence
from qperov.storage.atomic import write_text

SCHEMA = "qperov-metrics/1"
CONFIDENCE = 0.95
ABOUT = {
    "mae": ("smaller", "mean absolute error"),
    "rmse": ("smaller", "root mean squared error"),
    "r2": ("larger", "coefficient of determination: 1 is perfect, 0 a constant prediction"),
    "spearman": ("larger", "Spearman's rank correlation of predicted and true values"),
    "maer": ("smaller", "mean of |error / label|: depends on the zero of the label"),
    "error": ("smaller", "balanced error: 1 − balanced accuracy"),
    "balanced_accuracy": ("larger", "mean over the scored classes of the share of their samples that is right"),
    "accuracy": ("larger", "share of the samples of scored classes that is right"),
    "macro_f1": ("larger", "mean over the scored classes of F1"),
    "log_loss": ("smaller", "mean of −ln of the true class's probability, 0.001 at least"),
    "calibration_error": ("smaller", "mean over ten bins of |share that is right − mean highest probability|"),
}
#: Columns of a tested pair; older records lack some of the last.
PAIR = (
    "model_a", "model_b", "delta_mae", "low", "high", "t", "p", "p_holm",
    "prob_better", "prob_equivalent", "prob_worse", "rope", "exploratory",
)  # fmt: skip


def write_exports(record: Record) -> None:
    """Write ``metrics.json`` and ``table.tex`` into the record's directory; each is replaced in one step."""
    text = json.dumps(metrics(record), indent=1, ensure_ascii=False, allow_nan=False)
    write_text(record.path / "metrics.json", text + "\n")
    write_text(record.path / "table.tex", latex_table(record.comparison))


def metrics(record: Record) -> dict[str, Any]:
    """Every score and test of a run as one JSON object; the module says what its keys are."""
    comparison = record.comparison
    label = {key: value for key, value in comparison.label.items() if key != "name"}
    asked = [(question.descriptor, sentence(comparison, question)) for question in questions(comparison)]
    unit = label.get("unit") or ""
    return _finite(
        {
            "schema": SCHEMA,
            "created": record.created,
            "command": record.command,
            "dataset": {
                "name": record.dataset.get("name", comparison.label["name"]),
                "fingerprint": record.dataset.get("fingerprint"),
                "n": label["n"],
                "left_out": record.dataset.get("left_out", {}),
            },
            "label": label,
            "warnings": list(comparison.warnings),
            "metrics": {
                name: {"unit": unit if name in ("mae", "rmse") else "", "better": better, "about": about}
                for name, (better, about) in ABOUT.items()
                if name in comparison.metrics
            },
            "confidence": CONFIDENCE,
            "models": _models(comparison),
            "baselines": _baselines(comparison),
            "planned": _rows(comparison.planned),
            "significance": _pairs(comparison),
            "descriptors": _rows(comparison.descriptors),
            "parameters": [
                {**row, "parameters": _parsed(row["parameters"])} for row in _rows(comparison.parameters)
            ],
            "conclusions": {
                "summary": answer(comparison).text,
                "descriptors": [{"descriptor": name, "text": text, "quotable": text} for name, text in asked],
            },
            "studies": [_study(study) for study in record.studies],
            "settings": comparison.settings,
            "task": record.task,
            "versions": record.versions,
            "platform": record.platform,
        }
    )  # fmt: skip


def _models(comparison: Comparison) -> list[dict[str, Any]]:
    by_model = {str(name): part for name, part in comparison.folds.groupby("model", sort=False)}
    models = []
    for _, row in say.scored_models(comparison).iterrows():
        baseline = row["family"] == "baseline"
        folds = by_model.get(str(row["model"]), comparison.folds.iloc[:0])
        models.append(
            {
                "model": row["model"],
                "descriptor": None if baseline else row["descriptor"],
                "kind": row["kind"],
                "family": row["family"],
                "scores": {
                    name: {"value": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]}
                    for name in comparison.metrics
                },
                "ceiling_r2": row["ceiling_r2"],
                "seconds": row["seconds"],
                "memory_mb": row.get("memory_mb"),
                "beats_constant": None if baseline else comparison.beats_constant(str(row["model"])),
                "folds": _rows(folds.drop(columns="model")),
            }
        )
    return models


def _baselines(comparison: Comparison) -> list[str]:
    table = say.scored_models(comparison)
    return table[table["family"] == "baseline"].sort_values(comparison.loss, kind="stable")["model"].tolist()


def _pairs(comparison: Comparison) -> list[dict[str, Any]]:
    pairs = []
    for row in _rows(comparison.significance):
        tested = say.difference(comparison, row["model_a"], row["model_b"])
        assert tested is not None  # it stands in this table
        told = {"significant": tested.significant, "verdict": tested.verdict}
        columns = [f"delta_{comparison.loss}" if name == "delta_mae" else name for name in PAIR]
        pairs.append({name: row.get(name) for name in columns} | told)
    return pairs


def _study(study: Study) -> dict[str, Any]:
    tables = {name: _rows(table) for name, table in study.tables.items()}
    return {"title": study.title, "paragraphs": list(study.paragraphs), "tables": tables}


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict(orient="records")]


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text


def _finite(value: Any) -> Any:
    """The value in plain JSON: NaN and infinity are null, arrays are lists."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
