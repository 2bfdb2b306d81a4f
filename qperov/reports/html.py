"""The report: one self-contained page, built from a record alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qperov.evaluation.results import ALPHA, Comparison
from qperov.records.record import Record, slug
from qperov.records.study import Study
from qperov.reports.exports import write_exports
from qperov.reports.figures.charts import draw_chart
from qperov.reports.figures.scores import draw_best, draw_confusion, draw_parity, draw_reliability, draw_scores
from qperov.reports.figures.style import save
from qperov.reports.maps.section import map_section
from qperov.reports.page import Section, embedded, full_stop, plain, render
from qperov.reports.words import findings as say
from qperov.reports.words.answer import answer, leaders, questions
from qperov.reports.words.introduction import best_caption, contestants, data_facts, spread, title
from qperov.reports.words.page_tables import (
    cells,
    chosen_parameters,
    costs,
    fold_rows,
    fold_sizes,
    is_text,
    planned_questions,
    rope_text,
    score_groups,
    score_headings,
    tested_pairs,
)
from qperov.reports.words.sources import sources
from qperov.storage.atomic import write_text

MAP_SEED = 0
FEW_ISSUES = 10
#: The study that stands among the data.
CRYSTAL = "crystal"
#: Inches; a study's first figure that is wider stands below its text.
WIDE = 7.5


def build_report(record: Record, *, out: Path | None = None) -> Path:
    """Write the figures, the exports and the page of a record; the same record gives the same bytes.

    Figures go to ``figures/`` in the record's directory, as PNG and SVG, ``metrics.json`` and ``table.tex`` beside it;
    the page embeds the figures and needs no other file and no network. Files that exist are replaced, each in one step;
    the record itself is not touched.

    Parameters
    ----------
    record : Record
    out : Path, optional
        The page; default ``report.html`` in the record's directory.

    Returns
    -------
    Path
    """
    page_file = record.path / "report.html" if out is None else Path(out)
    figures = record.path / "figures"
    figures.mkdir(exist_ok=True)
    write_exports(record)
    comparison, issues = record.comparison, record.dataset.get("issues", [])
    asked = questions(comparison)
    # colours of maps are numbers
    first = asked[0].descriptor if asked else ""
    maps = [] if comparison.classes else map_section(record, figures, seed=MAP_SEED, first=first)
    families = {str(row["name"]): str(row["family"]) for _, row in say.scored_models(comparison).iterrows()}
    studies = _studies([study for study in record.studies if study.tables or study.charts], figures, families)
    sections = [study for study in studies if study["kind"] != CRYSTAL]
    page = render(
        "template.html",
        fragments=[item.get("interactive", "") for item in maps],
        record=record,
        title=title(comparison),
        lead=f"{contestants(comparison)} on the same folds",
        sections=_contents(maps, sections, say.samples(comparison)),
        answer=answer(comparison),
        best_caption=best_caption(comparison),
        facts=data_facts(record),
        label=comparison.label,
        classes=comparison.classes,
        samples=say.samples(comparison),
        loss=say.loss_name(comparison),
        score_headings=score_headings(comparison),
        unit=comparison.label.get("unit") or "",
        warnings=comparison.warnings,
        issues=issues[:FEW_ISSUES],
        issues_kept=len(issues),
        crystal=next((study for study in studies if study["kind"] == CRYSTAL), None),
        groups=score_groups(comparison),
        models=len(comparison.table),
        costs=costs(comparison),
        spread=spread(comparison),
        planned=planned_questions(comparison),
        pairs=tested_pairs(comparison),
        alpha=ALPHA,
        rope=rope_text(comparison),
        **_pictures(comparison, figures),
        maps=[{"quality": "", "interactive": "", **item} for item in maps],
        studies=sections,
        skipped=[(s.title, " ".join(s.paragraphs)) for s in record.studies if not (s.tables or s.charts)],
        split=comparison.settings.get("split", ""),
        notes=comparison.settings.get("notes", []),
        fold_rows=fold_rows(comparison),
        fold_sizes=fold_sizes(comparison),
        parameters=chosen_parameters(comparison.parameters),
        settings=plain({key: value for key, value in comparison.settings.items() if key not in ("split", "notes")}),
        task=plain(_task(record)),
        platform=plain(record.platform),
        sources=sources(record, mapped=any(not item["problem"] for item in maps)),
    )
    return write_text(page_file, page)


def _task(record: Record) -> dict[str, Any]:
    """Settings of the run, and the fingerprint of its data."""
    fingerprint = record.dataset.get("fingerprint")
    settings = {key: value for key, value in record.task.items() if key != "command"}
    return settings | ({"fingerprint of the data": fingerprint} if fingerprint else {})


def _contents(maps: list[dict[str, Any]], studies: list[dict[str, Any]], samples: str) -> list[Section]:
    """The page's sections in their order."""
    return [
        Section("data", "Data"),
        Section("scores", "Scores"),
        Section("planned", "Quantum against classical"),
        *(Section(study["anchor"], study["title"]) for study in studies),
        *([Section("maps", f"Maps of the {samples}")] if maps else []),
        Section("method", "Method, settings and sources"),
        Section("reproduce", "How to reproduce it"),
    ]


def _pictures(comparison: Comparison, figures: Path) -> dict[str, str]:
    """The figures of the scores as data: addresses; each that a telephone could not show has a narrow twin."""
    best = [str(row["model"]) for row in leaders(comparison) if row["family"] != "baseline"]
    table = say.scored_models(comparison)
    others = table.loc[(table["family"] != "baseline") & ~table["model"].isin(best), "model"].tolist()
    draw_predictions = draw_confusion if comparison.classes else draw_parity
    save(draw_predictions(comparison), figures / "parity")
    pictures = {
        "best": draw_best(comparison),
        "best_narrow": draw_best(comparison, narrow=True),
        "scores": draw_scores(comparison),
        "scores_narrow": draw_scores(comparison, narrow=True),
        "parity": draw_predictions(comparison, best),
        **({"parity_others": draw_predictions(comparison, others)} if others and best else {}),
        **({"reliability": draw_reliability(comparison, best)} if comparison.classes and best else {}),
    }
    files = {name: save(picture, figures / name.replace("_", "-"))["png"] for name, picture in pictures.items()}
    found = {name: embedded(file, folded=name == "parity_others") for name, file in files.items()}
    return {"parity_others": "", "reliability": "", **found}


# --- studies ------------------------------------------------------------------------------------


def _studies(studies: list[Study], figures: Path, families: dict[str, str]) -> list[dict[str, Any]]:
    """Sections beside the comparison: sentences, tables, figures; those of one kind under the first of them."""
    sections: list[dict[str, Any]] = []
    files: list[str] = []
    anchors: list[str] = []
    for study in studies:
        charts, widths = [], []
        for chart in study.charts:
            files.append(slug(f"{study.title} {chart.title}", taken=files))
            drawn = draw_chart(study, chart, families)
            picture = embedded(save(drawn, figures / f"study-{files[-1]}")["png"])
            charts.append(
                {"title": chart.title, "caption": f"{chart.title}. {chart.caption}".strip(), "picture": picture}
            )
            widths.append(drawn.get_figwidth())
        tables = [
            {
                "caption": full_stop(name),
                "columns": [{"name": str(c), "text": is_text(table[c])} for c in table.columns],
                "rows": cells(table, study.decimals),
            }
            for name, table in study.tables.items()
        ]
        anchors.append(slug(study.title, taken=anchors))
        first = next((other for other in sections if study.kind and other["kind"] == study.kind), None)
        (sections if first is None else first["further"]).append(
            {
                "further": [],
                "anchor": f"study-{anchors[-1]}",
                "title": study.title,
                "kind": study.kind,
                "paragraphs": study.paragraphs or ("",),
                "tables": tables,
                "charts": charts,
                "wide": bool(widths) and widths[0] > WIDE,
                "more": _more(len(study.paragraphs) - 1, len(tables) - (not charts), len(charts) - 1),
            }
        )
    return sections


def _more(paragraphs: int, tables: int, charts: int) -> str:
    """What is folded away of a study."""
    parts = [
        f"{many} {name}{'s' if many > 1 else ''}" for many, name in ((tables, "table"), (charts, "figure")) if many > 0
    ]
    return f"How it was done{', ' + ' and '.join(parts) if parts else ''}" if paragraphs > 0 or parts else ""
