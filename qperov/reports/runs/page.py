"""One page that compares several runs: what differs between them, and which scores may be compared at all."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from qperov.evaluation.results import ALPHA
from qperov.evaluation.significance import CERTAIN
from qperov.records.record import Record
from qperov.reports.figures.style import style
from qperov.reports.page import Section, plain, render
from qperov.reports.runs.figure import draw_runs
from qperov.reports.runs.sets import NOT_COMPARABLE, Run, cautions, comparable_sets, named_runs, run_names
from qperov.reports.runs.tests import RunPair, paired_differences, region, same_folds
from qperov.reports.words import findings as say
from qperov.reports.words.introduction import class_counts, listed, target
from qperov.reports.words.number_format import significant
from qperov.reports.words.page_tables import pair_cells
from qperov.reports.words.sources import BOOTSTRAP, EQUIVALENCE, HOLM, REGION, T_TEST
from qperov.storage.atomic import write_text

#: Digits of a fingerprint that are shown.
SHORT = 12
ABSENT = "–"


def compare_runs(records: Sequence[Record], out: Path, *, left_out: Sequence[str] = ()) -> Path:
    """Write one page that sets runs side by side; the same records give the same bytes, whatever their order on disk.

    Runs with the same labels of the same crystals share a table; runs with others get a table of their own, under a
    warning. Where two runs share the folds too, their models are tested against each other fold by fold.

    Parameters
    ----------
    records : sequence of Record
        Two or more.
    out : Path
        The page; replaced in one step if it is there.
    left_out : sequence of str
        Messages about requested runs that could not be read.

    Raises
    ------
    ValueError
        With fewer than two records.
    """
    if len(records) < 2:
        raise ValueError(f"two or more runs are needed for a comparison, not {len(records)}")
    runs = named_runs(records)
    sets = comparable_sets(runs)
    parts = [_set(mine, number, len(sets)) for number, mine in enumerate(sets, start=1)]
    page = render(
        "several.html",
        title=f"{len(runs)} runs compared",
        sections=[
            Section("runs", "The runs"),
            Section("differences", "What differs"),
            *(Section(part["anchor"], part["title"]) for part in parts),
            Section("reproduce", "How to reproduce it"),
            Section("sources", "Sources"),
        ],
        runs=runs,
        about=_about(runs),
        cautions=[(text, text.startswith(NOT_COMPARABLE)) for text in cautions(runs)],
        differing=_differing(runs),
        sets=parts,
        left_out=list(left_out),
        alpha=ALPHA,
        certain=CERTAIN,
        sources=[BOOTSTRAP, T_TEST, HOLM, EQUIVALENCE, REGION],
    )
    return write_text(out, page)


# --- tables -------------------------------------------------------------------------------------


def _about(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """The properties of each run, one row each."""
    rows: list[tuple[str, list[str]]] = []
    for name in ("created", "dataset", "samples", "groups", "label", "spread", "split", "qperov"):
        rows.append((name, [_property(run.record, name) for run in runs]))
    return rows


def _property(record: Record, name: str) -> str:
    comparison = record.comparison
    label = comparison.label
    return {
        "created": f"{record.created[:16].replace('T', ' ')} UTC",
        "dataset": str(record.dataset.get("name", label["name"])),
        "samples": f"{label['n']} {say.samples(comparison)}",
        "groups": str(label.get("n_groups", ABSENT)),
        "label": f"{target(comparison)}{',' if label.get('unit') else ''}{say.with_unit(comparison)}",
        "spread": "; ".join(class_counts(comparison))
        if comparison.classes
        else f"standard deviation {significant(label['sd'])}",
        "split": str(comparison.settings.get("split", ABSENT)),
        "qperov": record.versions.get("qperov", ABSENT),
    }[name]


def _differing(runs: Sequence[Run]) -> dict[str, Any]:
    """Everything that is not the same in all runs, and the names of what is."""
    parts: dict[str, list[dict[str, str]]] = {
        "data": [
            {"fingerprint": str(run.record.dataset.get("fingerprint") or ABSENT)[:SHORT], **_label_of(run)}
            for run in runs
        ],
        "settings": [
            dict(plain({k: v for k, v in run.record.comparison.settings.items() if k not in ("split", "notes")}))
            for run in runs
        ],
        "task": [dict(plain({k: v for k, v in run.record.task.items() if k != "command"})) for run in runs],
        "versions": [dict(run.record.versions) for run in runs],
        "platform": [dict(plain(run.record.platform)) for run in runs],
    }
    rows: list[dict[str, Any]] = []
    same: list[str] = []
    for kind, values in parts.items():
        for key in dict.fromkeys(key for each in values for key in each):
            cells = [each.get(key, ABSENT) for each in values]
            if len(set(cells)) == 1:
                same.append(key)
            elif (key, cells) not in [(row["key"], row["cells"]) for row in rows]:
                rows.append({"kind": kind, "key": key, "cells": cells})
    return {"rows": rows, "same": list(dict.fromkeys(same))}


def _label_of(run: Run) -> dict[str, str]:
    label = run.record.comparison.label
    names = {"dataset": "name", "label": "target", "unit": "unit", "crystals": "n", "groups": "n_groups"}
    return {name: str(label.get(key) or ABSENT) for name, key in names.items()}


# --- what may be compared -----------------------------------------------------------------------


def _set(runs: list[Run], number: int, total: int) -> dict[str, Any]:
    """Scores of runs with the same labels side by side, and the tests between those with the same folds."""
    first = runs[0].record.comparison
    groups = _rows(runs)
    models = [str(row["model"]) for group in groups if group["title"] != "constants" for row in group["rows"]]
    tests = []
    for a, b in combinations(runs, 2):
        if same_folds(a.record.comparison, b.record.comparison):
            pairs = paired_differences(a.record.comparison, b.record.comparison)
            if pairs:
                tests.append(
                    {"a": a.name, "b": b.name, "groups": _pairs(a, b, pairs), "verdict": _verdict(a, b, pairs)}
                )
    warnings: dict[str, list[Run]] = {}
    for run in runs:
        for warning in run.record.comparison.warnings:
            warnings.setdefault(warning, []).append(run)
    return {
        "anchor": f"scores-{number}",
        "title": "Scores" if total == 1 else f"Scores of {run_names(runs)}",
        "names": [run.name for run in runs],
        "label": first.label,
        "target": target(first),
        "unit": first.label.get("unit") or "",
        "samples": say.samples(first),
        "headings": [say.HEADINGS[name] for name in _shown(runs[0])],
        "rope": f"{significant(region(first), 2)}{say.with_unit(first)}",
        "groups": groups,
        "models": len(models),
        "picture": _picture(draw_runs({run.name: run.record.comparison for run in runs}, models)) if models else "",
        "tests": tests,
        "warnings": [(run_names(mine), warning) for warning, mine in warnings.items()],
    }  # fmt: skip


def _rows(runs: list[Run]) -> list[dict[str, Any]]:
    """Models by descriptor, best of the first run that has them first; a cell pair (MAE, R²) for each run."""
    tables = [say.scored_models(run.record.comparison).set_index("model") for run in runs]
    loss, beside = _shown(runs[0])
    groups: dict[str, dict[str, float]] = {}
    for table in tables:
        for model, row in table.iterrows():
            title = "constants" if row["family"] == "baseline" else str(row["descriptor"])
            groups.setdefault(title, {}).setdefault(str(model), float(row[loss]))
    found = []
    for title, models in groups.items():
        rows = []
        for model in sorted(models, key=lambda name: models[name]):
            mine = [table.loc[model] if model in table.index else None for table in tables]
            scores = [
                score
                for row in mine
                for score in (
                    [(ABSENT, "")] * 2 if row is None else [say.interval(row, loss), say.interval(row, beside)]
                )
            ]
            about = next(row for row in mine if row is not None)
            rows.append({"model": model, "shown": about["name"], "family": about["family"], "scores": scores})
        found.append({"title": title, "rows": rows})
    return found


def _shown(run: Run) -> tuple[str, str]:
    """The two scores of the table."""
    comparison = run.record.comparison
    return comparison.loss, "accuracy" if comparison.classes else "r2"


def _pairs(a: Run, b: Run, pairs: list[RunPair]) -> list[dict[str, Any]]:
    """Rows by the descriptor that both models see."""
    of = [say.scored_models(run.record.comparison).set_index("model") for run in (a, b)]
    groups: dict[str, list[dict[str, Any]]] = {}
    for pair in pairs:
        (one, first), (other, second) = (
            table.loc[name, ["descriptor", "name"]] for table, name in zip(of, (pair.a, pair.b), strict=True)
        )
        cells = {**pair_cells(pair.tested), **({"verdict": "identical in every fold"} if pair.identical else {})}
        if one != other:
            one, first, second = "different descriptors", pair.a, pair.b
        groups.setdefault(one, []).append({"a": first, "b": second, **cells})
    return [{"title": title, "rows": rows} for title, rows in groups.items()]


def _verdict(a: Run, b: Run, pairs: list[RunPair]) -> str:
    """One sentence on two runs with the same folds."""
    significant_pairs = [pair for pair in pairs if pair.tested.significant]
    better, worse = ([p.a for p in significant_pairs if p.a == p.b and sign * p.tested.delta > 0] for sign in (-1, 1))
    same = sum(pair.identical for pair in pairs)
    parts = [f"{same} of {len(pairs)} pairs have identical scores in every fold"] if same else []
    parts += [f"in {a.name}, {listed(better)} {'is' if len(better) == 1 else 'are'} better"] if better else []
    parts += [f"in {b.name}, {listed(worse)} {'is' if len(worse) == 1 else 'are'} better"] if worse else []
    if not significant_pairs:
        parts.append("no model differs significantly between the two runs")
    text = "; ".join(parts) or "only the best models of the two runs differ significantly"
    return f"{a.name} against {b.name}: {text}."


def _picture(figure: Figure) -> str:
    stream = io.BytesIO()
    with style():
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(stream.getvalue()).decode()}"
