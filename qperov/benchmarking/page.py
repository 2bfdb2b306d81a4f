"""The verdict as files: one page, a table for LaTeX, one object for programs, all scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qperov.benchmarking.figures import best_by_task, draw_differences, draw_ranks, draw_sizes
from qperov.benchmarking.verdict import Verdict
from qperov.reports.figures.style import save
from qperov.reports.latex import escape
from qperov.reports.page import Section, embedded, plain, render
from qperov.storage.atomic import atomic_path, write_text

SCHEMA = "qperov-benchmark/1"
TITLE = "Is it quantum?"


def write_verdict(verdict: Verdict, out: Path) -> Path:
    """Write ``report.html``, ``table.tex``, ``benchmark.json``, ``scores.csv`` and the figures; returns the page."""
    figures = out / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    drawn = {"differences": draw_differences(verdict), "ranks": draw_ranks(verdict), "sizes": draw_sizes(verdict)}
    pictures = {
        name: "" if figure is None else embedded(save(figure, figures / name)["png"]) for name, figure in drawn.items()
    }
    with atomic_path(out / "scores.csv") as temporary:
        verdict.scores.to_csv(temporary, index=False, float_format="%.6g")
    write_text(out / "benchmark.json", json.dumps(as_object(verdict), ensure_ascii=False, indent=1) + "\n")
    write_text(out / "table.tex", latex(verdict))
    sections = {
        "planned": "The planned questions",
        "tasks": "Every task",
        "ranks": "Ranks",
        "costs": "Cost",
        "protocol": "Protocol",
    }
    page = render(
        "benchmark.html",
        title=TITLE,
        answer=verdict.answer,
        sections=[Section(*each) for each in sections.items()],
        pictures=pictures,
        critical="–" if np.isnan(verdict.critical_difference) else f"{verdict.critical_difference:.2f}",
        friedman=f"{verdict.friedman_p:.2g}",
        rope=f"{100 * verdict.protocol['rope']:g} %",
        tables={
            "planned": _shown(planned_text(verdict)),
            "tasks": _shown(task_text(verdict)),
            "ranks": _shown(verdict.ranks.assign(rank=verdict.ranks["rank"].map("{:.2f}".format))),
            "costs": _shown(cost_text(verdict)),
        },
        protocol=plain(verdict.protocol),
    )
    return write_text(out / "report.html", page)


def planned_text(verdict: Verdict) -> pd.DataFrame:
    """The planned questions as they are shown."""
    table = verdict.planned
    return pd.DataFrame(
        {
            "quantum": table["quantum"],
            "classical": table["classical"],
            "datasets": table["datasets"],
            "difference / %": (100 * table["difference"]).map("{:+.1f}".format),
            "better": table["prob_better"].map("{:.2f}".format),
            "practically the same": table["prob_equivalent"].map("{:.2f}".format),
            "worse": table["prob_worse"].map("{:.2f}".format),
            "outcome": table["outcome"],
        }
    )


def task_text(verdict: Verdict) -> pd.DataFrame:
    """On every task the best quantum, classical and reference model by their scores, which saw the held-out folds."""
    best = best_by_task(verdict.scores).set_index(["task", "family"])
    references = verdict.scores[verdict.scores["family"] == "reference"]
    rows = []
    for task, part in verdict.scores.groupby("task", sort=False):
        row = {"task": task, "samples": part["n"].iloc[0]}
        for family in ("quantum", "classical"):
            if (task, family) in best.index:
                found = best.loc[(task, family)]
                row |= {f"best {family}": found["model"], f"{family} error": f"{found['relative']:.3f}"}
        own = references[references["task"] == task]
        row["reference error"] = f"{own['relative'].min():.3f}" if len(own) else "–"
        rows.append(row)
    return pd.DataFrame(rows).fillna("–")


def cost_text(verdict: Verdict) -> pd.DataFrame:
    """Times as they are shown, least first."""
    table = verdict.costs.sort_values("ratio")
    return pd.DataFrame(
        {
            "model": table["model"],
            "family": table["family"],
            "seconds": table["seconds"].map("{:.1f}".format),
            "by the SVR's": table["ratio"].map("{:.2g}".format),
        }
    )


def as_object(verdict: Verdict) -> dict[str, Any]:
    """What other programs read: ``schema``, ``answer``, ``protocol``, and every table as a list of rows.

    Errors are relative, by that of the best constant; what is undefined is null.
    """
    tables = {name: getattr(verdict, name) for name in ("planned", "differences", "ranks", "costs", "scores")}
    numbers = {"critical_difference": verdict.critical_difference, "friedman_p": verdict.friedman_p}
    found: dict[str, Any] = {"schema": SCHEMA, "answer": verdict.answer, "protocol": verdict.protocol}
    found |= {name: None if np.isnan(value) else value for name, value in numbers.items()}
    return found | {name: json.loads(table.to_json(orient="records")) for name, table in tables.items()}


def latex(verdict: Verdict) -> str:
    r"""The best models of every task as a ``table``; the document needs ``\usepackage{booktabs}``."""
    table = task_text(verdict)
    lines = [
        "% Made by qperov benchmark. In the preamble: \\usepackage{booktabs}",
        r"\begin{table}",
        r"\centering\footnotesize",
        rf"\caption{{{escape(verdict.answer)} Errors by that of the best constant.}}",
        r"\label{tab:benchmark}",
        rf"\begin{{tabular}}{{{_alignment(table)}}}",
        r"\toprule",
        " & ".join(escape(str(name)) for name in table) + r" \\",
        r"\midrule",
        *(" & ".join(escape(str(value)) for value in row) + r" \\" for row in table.to_numpy()),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _alignment(table: pd.DataFrame) -> str:
    return "".join("r" if name.endswith("error") or name == "samples" else "l" for name in table)


def _shown(table: pd.DataFrame) -> dict[str, Sequence[Any]]:
    return {"columns": list(table), "rows": table.astype(str).to_numpy().tolist()}
