"""Interactive maps hold what they show and nothing that could run: untrusted text stays text."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_comparison import MODELS, synthetic_comparison

from qperov.evaluation.results import Comparison
from qperov.reports.maps.drawing import map_colours
from qperov.reports.maps.interactive import LONGEST, MOST_SHOWN, crystal_groups, interactive_map, script_and_style

COMPARISON = synthetic_comparison(n=60)
NAMES = [name for name, *_ in MODELS]
POINTS = np.random.default_rng(0).normal(size=(60, 2)).round(1)


class Parts(HTMLParser):
    """Elements with their attributes, and the text inside each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.scripts and self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.words += data


def shown(
    comparison: Comparison = COMPARISON, title: str = "map", models: list[str] = NAMES, **options: object
) -> dict:
    points = options.pop("points", POINTS)
    fragment = interactive_map(comparison, title, points, map_colours(comparison, models), **options)  # type: ignore[arg-type]
    parts = Parts(fragment)
    assert [tag for tag, _ in parts.elements] == ["div", "script"]
    assert parts.elements[0][1] == {
        "class": "crystal-map", "role": "group", "aria-label": f"Interactive map of {title}", "hidden": None,
    }  # fmt: skip
    assert parts.elements[1][1] == {"type": "application/json"}
    assert not parts.words.strip()
    return json.loads(parts.scripts[0])


def decoded(data: dict, integers: list[int | None]) -> np.ndarray:
    """As the script does it."""
    numbers = data["numbers"]
    return np.array([np.nan if i is None else (i + numbers["offset"]) / 10 ** numbers["places"] for i in integers])


def renamed(comparison: Comparison, ids: list[str]) -> Comparison:
    new = dict(zip(comparison.ids, ids, strict=True))
    return replace(
        comparison, ids=tuple(ids), predictions=comparison.predictions.assign(id=comparison.predictions["id"].map(new))
    )


def test_values_points_and_names_are_those_of_the_comparison() -> None:
    formulas = [f"CsPbBr{i % 3}" for i in range(60)]
    data, colours = shown(compositions=formulas), map_colours(COMPARISON, NAMES)
    assert data["id"] == list(COMPARISON.ids)
    assert [data["compositions"][j] for j in data["composition"]] == formulas
    assert data["models"] == ["SVR", "Ridge", "QSVR", "Ridge", "QSVR"], "without the descriptor's name"
    np.testing.assert_allclose(decoded(data, data["label"]), COMPARISON.y, atol=1e-3 * COMPARISON.y.std())
    for column, predicted in zip(data["predictions"], colours.predictions.values(), strict=True):
        np.testing.assert_allclose(decoded(data, column), predicted, atol=1e-3 * COMPARISON.y.std())
    xy = np.column_stack([data["x"], data["y"]])[data["point"]]
    scale = (POINTS.max(axis=0) - POINTS.min(axis=0)).max() / xy.max()
    np.testing.assert_allclose(xy * scale, POINTS - POINTS.min(axis=0), atol=0.51 * scale)
    assert (data["value"]["low"], data["value"]["high"]) == (colours.low, colours.high)
    assert data["residual"]["low"] == -data["residual"]["high"] == -colours.widest
    assert len(set(data["value"]["colours"])) > 40


def test_groups_are_those_of_the_folds() -> None:
    groups, data = crystal_groups(COMPARISON), shown()
    for i, name in enumerate(COMPARISON.ids):
        mine = COMPARISON.predictions[COMPARISON.predictions["id"] == name]
        assert set(mine["group"]) == {groups[i]} == {data["group"][i]}
    without = replace(COMPARISON, predictions=COMPARISON.predictions[COMPARISON.predictions["id"] != COMPARISON.ids[3]])
    data = shown(without)
    assert data["group"][3] is None
    assert [column[3] for column in data["predictions"]] == [None] * len(NAMES)


NASTY = [
    "</script><script>alert(1)</script>", "<!--<script>", "]]>", "&lt;b&gt;", '"; alert(1); "', "\u2028\u2029", "'\\",
    "<img src=x onerror=alert(1)>", "漢字",
]  # fmt: skip
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(NASTY) | TEXTS, min_size=3, max_size=3))
def test_nothing_leaves_its_place(texts: list[str]) -> None:
    """Ids, compositions, models and the title come from files that anybody may have written."""
    name, formula, title = texts
    comparison = renamed(COMPARISON, [f"{name}{i}" for i in range(60)])
    comparison = replace(comparison, label={**comparison.label, "target": name, "unit": formula})
    model = comparison.table["model"].replace(NAMES[0], title)
    table = comparison.table.assign(model=model, name=model)
    predictions = comparison.predictions.assign(model=comparison.predictions["model"].replace(NAMES[0], title))
    comparison = replace(comparison, table=table, predictions=predictions)
    data = shown(comparison, models=[title], compositions=[formula] * 60)
    assert data["id"][7] == f"{name}7"
    assert data["compositions"] == [formula]
    assert data["models"] == [title]
    assert (data["target"], data["unit"]) == (name or "the target", formula)


@pytest.mark.parametrize("title", NASTY)
def test_a_title_stays_in_its_attribute(title: str) -> None:
    assert shown(title=title)["title"] == title


def test_a_thousand_crystals_with_many_models_stay_small() -> None:
    many = tuple((f"model {k} · d", "d", "classical", 0.5) for k in range(14))
    comparison = synthetic_comparison(n=1000, models=many, repeats=1)
    comparison = replace(comparison, y=comparison.y - 3000)
    points = np.random.default_rng(1).normal(size=(1000, 2))
    fragment = interactive_map(
        comparison, "d", points, map_colours(comparison, [name for name, *_ in many]), compositions=["CsPbBr2I"] * 1000
    )
    assert len(fragment.encode()) < 200_000
    assert len(script_and_style().encode()) < 20_000


def test_long_names_are_cut_and_many_crystals_thinned() -> None:
    data = shown(renamed(COMPARISON, [f"{'x' * 500}{i}" for i in range(60)]))
    assert {len(name) for name in data["id"]} == {LONGEST}
    n = 3 * MOST_SHOWN
    comparison = replace(COMPARISON, ids=tuple(map(str, range(n))), y=np.arange(n) / 7)
    data = shown(comparison, models=[], points=np.random.default_rng(2).normal(size=(n, 2)))
    assert data["id"] == [str(i) for i in range(0, n, 3)]
    assert data["note"] == f"{MOST_SHOWN} of {n} crystals are shown. "


def test_extreme_values_are_shown_or_left_out_never_garbled() -> None:
    y = np.array([0.0, 1e-9, -1e-9, *np.zeros(57)])
    data = shown(replace(COMPARISON, y=y), models=[])
    np.testing.assert_allclose(decoded(data, data["label"]), y, atol=1e-3 * y.std())
    wild = COMPARISON.predictions.assign(y_pred=np.where(COMPARISON.predictions["id"] == COMPARISON.ids[0], 1e300, 0))
    assert shown(replace(COMPARISON, predictions=wild), models=NAMES[:1])["predictions"][0][0] is None
    assert shown(replace(COMPARISON, y=np.full(60, 2.5)), models=[])["label"] == [0] * 60


def test_the_script_asks_for_nothing_and_writes_no_markup() -> None:
    text = script_and_style()
    parts = Parts(text)
    assert [tag for tag, _ in parts.elements] == ["style", "script"]
    assert len(parts.scripts) == 1
    for word in (
        "http", "fetch", "XMLHttp", "import ", "import(", "url(", "@import", "innerHTML", "outerHTML", "insertAdjacent",
        "document.write", "eval", "Function(", "setTimeout", "localStorage", "cookie", "animation", "transition",
    ):  # fmt: skip
        assert word not in text, word
    assert "@media print { .crystal-map { display: none; } }" in text
