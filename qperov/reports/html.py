"""The report: one self-contained page, built from a record alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qperov.records.record import Record, slug
from qperov.records.study import Study
from qperov.reports.exports import write_exports
from qperov.reports.figures.charts import draw_chart
from qperov.reports.figures.style import draw_parity, draw_scores, save
from qperov.reports.maps.section import map_section
from qperov.reports.page import Section, embedded, plain, render
from qperov.reports.words import findings as say
from qperov.reports.words.introduction import asked, contestants, data_facts, spread, target, title
from qperov.reports.words.page_tables import (
    cells,
    chosen_parameters,
    costs,
    fold_rows,
    fold_sizes,
    is_text,
    rope_text,
    score_groups,
    tested_pairs,
)
from qperov.reports.words.sources import sources
from qperov.storage.atomic import write_text

MAP_SEED = 0
FEW_ISSUES = 10


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
    paragraph, per_descriptor = say.summarise(comparison)
    maps, studies = _maps(record, figures), _studies(record.studies, figures)
    page = render(
        "template.html",
        fragments=[item.get("interactive", "") for item in maps],
        record=record,
        title=title(comparison),
        lead=f"{contestants(comparison)} on the same crystals and folds",
        sections=_contents(maps, studies),
        asked=asked(record),
        facts=data_facts(record),
        label=comparison.label,
        target=target(comparison),
        unit=comparison.label.get("unit") or "",
        warnings=comparison.warnings,
        issues=issues[:FEW_ISSUES],
        issues_kept=len(issues),
        groups=score_groups(comparison),
        models=len(comparison.table),
        costs=costs(comparison),
        spread=spread(comparison),
        paragraph=paragraph,
        per_descriptor=per_descriptor,
        pairs=tested_pairs(comparison),
        alpha=say.ALPHA,
        rope=rope_text(comparison),
        certain=say.CERTAIN,
        scores=embedded(save(draw_scores(comparison), figures / "scores")["svg"]),
        parity=embedded(save(draw_parity(comparison), figures / "parity")["png"]),
        maps=[{"quality": "", "interactive": "", **item} for item in maps],
        map_seed=MAP_SEED,
        studies=studies,
        split=comparison.settings.get("split", ""),
        notes=comparison.settings.get("notes", []),
        fold_rows=fold_rows(comparison),
        fold_sizes=fold_sizes(comparison),
        parameters=chosen_parameters(comparison.parameters),
        settings=plain({key: value for key, value in comparison.settings.items() if key not in ("split", "notes")}),
        task=plain({key: value for key, value in record.task.items() if key != "command"}),
        platform=plain(record.platform),
        sources=sources(comparison, record.studies, mapped=any(not item["problem"] for item in maps)),
    )
    return write_text(page_file, page)


def _contents(maps: list[dict[str, Any]], studies: list[dict[str, Any]]) -> list[Section]:
    """The page's sections in their order."""
    return [
        Section("asked", "Question"),
        Section("data", "Data and provenance"),
        Section("scores", "Scores"),
        Section("conclusions", "Conclusions"),
        Section("differences", "Which differences are significant"),
        Section("figures", "Figures"),
        *([Section("maps", "Maps of the crystals")] if maps else []),
        *(Section(study["anchor"], study["title"]) for study in studies),
        Section("method", "Methods"),
        Section("settings", "Settings and versions"),
        Section("reproduce", "How to reproduce it"),
        Section("sources", "Sources"),
    ]


# --- maps ---------------------------------------------------------------------------------------


def _maps(record: Record, figures: Path) -> list[dict[str, Any]]:
    """A map of each descriptor in use and of each kernel in the record; their keys are those of :func:`map_section`."""
    return map_section(record, figures, seed=MAP_SEED)


# --- studies ------------------------------------------------------------------------------------


def _studies(studies: tuple[Study, ...], figures: Path) -> list[dict[str, Any]]:
    """Sections beside the comparison: sentences, tables, figures."""
    sections: list[dict[str, Any]] = []
    files: list[str] = []
    anchors: list[str] = []
    for study in studies:
        about = study.title if study.title.endswith(("?", ".")) else f"{study.title}."
        charts = []
        for chart in study.charts:
            files.append(slug(f"{study.title} {chart.title}", taken=files))
            saved = save(draw_chart(study, chart), figures / f"study-{files[-1]}")
            caption = f"{about} {chart.title}. {chart.caption}".strip()
            # shaded balls are thousands of paths
            picture = embedded(saved["png" if chart.kind == "crystals" else "svg"])
            charts.append({"title": chart.title, "caption": caption, "picture": picture})
        tables = [
            {
                "caption": f"{about} {name}.",
                "columns": [{"name": str(c), "text": is_text(table[c])} for c in table.columns],
                "rows": cells(table, study.decimals),
            }
            for name, table in study.tables.items()
        ]
        anchors.append(slug(study.title, taken=anchors))
        sections.append(
            {
                "anchor": f"study-{anchors[-1]}",
                "title": study.title,
                "paragraphs": study.paragraphs,
                "tables": tables,
                "charts": charts,
            }
        )
    return sections
