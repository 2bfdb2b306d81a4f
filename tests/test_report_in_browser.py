"""Reports in a real browser, at the width of a desk and of a phone, and on paper. Needs Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from headless_browser import Browser, browser, find_browser
from PIL import Image
from synthetic_comparison import DATASET, TASK, synthetic_comparison

from qperov.evaluation.results import PLANNED
from qperov.records.study import Chart, Study
from qperov.records.writing import write_record
from qperov.reports import build_report
from qperov.reports.runs.page import compare_runs

pytestmark = pytest.mark.slow

DESK, PHONE = 1280, 390
#: What a reader sees before scrolling, and what a whole page may take.
FIRST_SCREEN = {DESK: 800, PHONE: 844}
HIGHEST, LARGEST = 8000, 2_000_000
#: What A4 leaves between the margins that the pages ask for, in CSS pixels: 182 mm × 265 mm.
PAPER = (688, 1001)
LONG = "an_uninterrupted_name_that_is_much_longer_than_a_telephone_is_wide_" * 2
MODELS = tuple(
    (f"{model} · {descriptor}", descriptor, family, 0.3 + 0.02 * k)
    for descriptor in ("powder pattern", "structure factors")
    for k, (model, family) in enumerate(
        [("Ridge", "classical"), ("Kernel ridge", "classical"), ("Gaussian process", "classical"),
         ("SVR polynomial", "classical"), ("SVR RBF", "classical"), ("CNN-Gen", "classical"), ("QSVR", "quantum"),
         ("QSVR projected", "quantum"), ("Autoencoder + SVR", "quantum")]
    )
)  # fmt: skip
CURVE = pd.DataFrame({"n": [1, 2, 3, 4], "loss": [0.5, 0.25, 0.2, 0.1], "model": ["a", "a", "b", "b"]})
STUDY = Study(
    "What a study shows",
    ("One paragraph.",),
    tables={"Many columns": pd.DataFrame({f"a rather long column {k}": [0.123456, 2.0] for k in range(9)})},
    charts=(Chart("Loss", "lines", "curve", "n", "loss", series="model", x_label="passes", y_label="loss"),),
    data={"curve": CURVE},
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report of eighteen models, one with a very long name in it, and a page that compares two runs."""
    folder = tmp_path_factory.mktemp("pages")
    comparison = synthetic_comparison(n=80, models=MODELS, repeats=1)
    probable = {"prob_better": 0.3, "prob_equivalent": 0.3, "prob_worse": 0.4, "rope": 0.0027}
    question = dict.fromkeys(PLANNED, 0.0105) | {
        "descriptor": "structure factors", "quantum": "QSVR · structure factors", "outcome": "likely better",
        "classical": "Gaussian process · structure factors", "folds": 5,
    }  # fmt: skip
    comparison = comparison.__class__(
        **{
            **vars(comparison),
            "planned": pd.DataFrame([question]),
            "table": comparison.table.assign(memory_mb=np.linspace(1, 999, len(comparison.table))),
            "significance": comparison.significance.assign(**probable),
            "label": {**comparison.label, "provenance": [LONG]},
        }
    )
    task = {**TASK, "command": f"qperov compare {LONG}"}
    records = [
        write_record(folder / name, comparison, task=task, dataset=DATASET, studies=[STUDY]) for name in ("first", LONG)
    ]
    return {"report": build_report(records[0]), "several": compare_runs(records, folder / "several.html")}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("name", ["report", "several"])
def test_pages_are_whole_at_the_width_of_a_desk_and_of_a_phone(
    opened: Browser, pages: dict[str, Path], tmp_path: Path, name: str, width: int
) -> None:
    opened.open(pages[name], width, mobile=width == PHONE)
    picture = Image.open(opened.screenshot(tmp_path / f"{name}-{width}.png"))
    assert picture.width == width
    assert len(set(picture.convert("L").resize((60, 400)).tobytes())) > 20, "a blank page"
    assert opened.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [width, width], "scrolls sideways"
    assert opened.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.alt)") == []
    assert opened.evaluate("document.images.length") == pages[name].read_text(encoding="utf-8").count("<img ")
    dead = "[...document.links].map(a => a.getAttribute('href')).filter(h => h[0] == '#' && !document.querySelector(h))"
    assert opened.evaluate(dead) == []
    assert opened.evaluate("document.querySelectorAll('nav a').length") >= 5
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert opened.complaints() == []
    assert opened.requests() == [pages[name].resolve().as_uri()], "nothing is fetched but the page itself"


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_the_answer_is_on_the_first_screen(opened: Browser, pages: dict[str, Path], width: int) -> None:
    opened.open(pages["report"], width, height=FIRST_SCREEN[width], mobile=width == PHONE)
    for part in (".verdict", ".verdict + p", "#figure-1 img", ".answer .box"):
        bottom = f"document.querySelector('{part}').getBoundingClientRect().bottom"
        assert 0 < opened.evaluate(bottom) <= FIRST_SCREEN[width], part
    legible = "document.querySelector('#figure-1 img').getBoundingClientRect().width"
    assert opened.evaluate(legible) >= 0.8 * min(width, 600)


def test_a_page_is_neither_long_nor_large(opened: Browser, pages: dict[str, Path]) -> None:
    opened.open(pages["report"], DESK)
    assert opened.evaluate("document.documentElement.scrollHeight") <= HIGHEST
    assert pages["report"].stat().st_size <= LARGEST
    assert opened.evaluate("document.querySelectorAll('details[open]').length") == 0
    assert opened.evaluate("document.querySelectorAll('#scores img, #data img').length") >= 3


def test_a_link_into_what_is_folded_opens_it(opened: Browser, pages: dict[str, Path]) -> None:
    opened.open(pages["report"], DESK)
    opened.evaluate("document.querySelector('#maps sup a').click()")
    assert opened.evaluate("document.querySelector('#source-t-sne').checkVisibility()")


def test_wide_tables_scroll_in_their_boxes_on_a_phone(opened: Browser, pages: dict[str, Path]) -> None:
    opened.open(pages["report"], PHONE, mobile=True)
    boxes = opened.evaluate(
        "[...document.querySelectorAll('details')].forEach(d => { d.open = true; }) || "
        "[...document.querySelectorAll('figure.table .scroll')].filter(b => b.checkVisibility())"
        ".map(b => [b.clientWidth, b.scrollWidth, getComputedStyle(b).overflowX])"
    )
    assert all(width <= PHONE and overflow == "auto" for width, _, overflow in boxes)
    assert any(inside > width for width, inside, _ in boxes)
    sizes = opened.evaluate(
        "[...document.querySelectorAll('p, li, td, th, figcaption')].map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 12
    assert opened.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") >= 16


def test_on_a_desk_the_tables_fit(opened: Browser, pages: dict[str, Path]) -> None:
    opened.open(pages["report"], DESK)
    opened.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    wide = (
        "[...document.querySelectorAll('#scores .scroll, #planned .scroll')].map(b => [b.scrollWidth, b.clientWidth])"
    )
    found = opened.evaluate(wide)
    assert len(found) >= 6
    assert all(inside <= width for inside, width in found), found


def test_maps_are_drawn_once_and_still_on_paper(opened: Browser, pages: dict[str, Path]) -> None:
    opened.open(pages["report"], DESK)
    seen = "[...document.querySelectorAll('{}')].map(m => m.checkVisibility())"
    live, still = (seen.format(name) for name in (".crystal-map", ".still img"))
    assert opened.evaluate(live) == [True, False], "one is open, one is folded"
    assert opened.evaluate(still) == [False, False]
    opened.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    heights = "[...document.querySelectorAll('.crystal-map')].map(m => m.getBoundingClientRect().height)"
    assert all(height > 100 for height in opened.evaluate(f"new Promise(d => setTimeout(() => d({heights}), 200))"))
    opened.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert set(opened.evaluate(heights)) == {0}
        assert opened.evaluate(still) == [True, True]
    finally:
        opened.call("Emulation.setEmulatedMedia", media="")


@pytest.mark.parametrize("name", ["report", "several"])
def test_on_paper_nothing_is_cut(opened: Browser, pages: dict[str, Path], tmp_path: Path, name: str) -> None:
    opened.call("Emulation.setEmulatedMedia", media="print")
    try:
        opened.open(pages[name], PAPER[0], height=PAPER[1])
        beyond = (
            "[...document.querySelectorAll('table, img, pre, p, figcaption')].filter(e => e.checkVisibility() && "
            "e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + ' ' + e.textContent.slice(0, 40))"
        )
        assert opened.evaluate(beyond) == []
        tall = "[...document.querySelectorAll('figure:not(.table)')].map(f => f.getBoundingClientRect().height)"
        assert max(opened.evaluate(tall)) <= PAPER[1], "a figure that no page could hold"
    finally:
        opened.call("Emulation.setEmulatedMedia", media="")
    opened.open(pages[name], DESK)
    printed = opened.pdf(tmp_path / f"{name}.pdf").read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 2
    (box,) = set(re.findall(rb"/MediaBox\s*\[([^\]]+)\]", printed))
    assert [round(float(side)) for side in box.split()] == [0, 0, 595, 842], "A4"


def test_the_checks_see_what_is_wrong(opened: Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        '<!DOCTYPE html><meta name="viewport" content="width=device-width, initial-scale=1"><title>bad</title>'
        '<img src="missing.png"><img src="https://example.org/x.png"><div style="width: 500px">wide</div>'
        "<script>nobody.knows()</script>"
    )
    opened.open(page, PHONE, mobile=True)
    assert opened.evaluate("document.documentElement.scrollWidth") > PHONE
    assert opened.evaluate("[...document.images].every(i => !i.naturalWidth)")
    assert "https://example.org/x.png" in opened.requests()
    assert any("nobody is not defined" in complaint for complaint in opened.complaints())


def test_a_refused_script_is_seen(opened: Browser, pages: dict[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "injected.html"
    text = pages["report"].read_text(encoding="utf-8")
    page.write_text(text.replace("</main>", "<script>document.title = 'taken over'</script></main>"), encoding="utf-8")
    opened.open(page, DESK)
    assert opened.evaluate("document.title") == "synthetic: energy_per_atom in meV/atom"
    assert any("Content Security Policy" in complaint for complaint in opened.complaints())


def test_without_a_browser_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AssertionError, match="apt-get install chromium"):
        find_browser()
