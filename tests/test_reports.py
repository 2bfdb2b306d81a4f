"""Reports are self-contained, say what the numbers say, escape everything and are rebuilt from the record alone."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from PIL import Image
from sklearn.datasets import make_blobs
from synthetic_comparison import DATASET, MODELS, PROVENANCE, TASK, synthetic_comparison

from qperov.evaluation.results import PLANNED, Comparison
from qperov.records.record import Record, read_record
from qperov.records.writing import write_record
from qperov.reports import build_report, draw_parity, draw_scores, embed, map_descriptor
from qperov.reports.figures.style import COLOURS
from qperov.reports.page import script_policy
from qperov.reports.words import findings as say
from qperov.reports.words.answer import answer, leaders, questions, sentence
from qperov.reports.words.number_format import chance, decimals, fixed, significant

COMPARISON = synthetic_comparison()
NASTY = '<script>alert("x")</script> & $\\frac{1} {{ 7 * 7 }} </td>'


class Page(HTMLParser):
    """Tags, ids, links, resources, scripts and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.resources: list[str] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        of = dict(attrs)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag == "a":
            self.links.append(of.get("href") or "")
        else:
            self.resources += [v or "" for name, v in attrs if name in ("src", "href", "srcset", "data", "action")]
        self.inside = "data" if tag == "script" and "type" in of else tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts.append(data)
        elif self.inside not in ("style", "data"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    return write_record(tmp_path_factory.mktemp("report") / "run", COMPARISON, task=TASK, dataset=DATASET)


@pytest.fixture(scope="module")
def page(record: Record) -> Page:
    return Page(build_report(record).read_text(encoding="utf-8"))


def report_of(path: Path, comparison: Comparison, **dataset: object) -> str:
    record = write_record(path, comparison, task=TASK, dataset={**DATASET, **dataset})
    return build_report(record).read_text(encoding="utf-8")


# --- the page -----------------------------------------------------------------------------------


def test_the_page_needs_nothing_but_itself(page: Page, record: Record) -> None:
    assert page.resources, "the pictures are resources"
    assert all(resource.startswith("data:image/") for resource in page.resources)
    assert not {"link", "iframe", "object", "base", "form"} & set(page.tags)
    text = (record.path / "report.html").read_text(encoding="utf-8")
    assert "@import" not in text
    assert "url(" not in text
    assert "default-src 'none'" in text
    assert str(record.path) not in text


def test_only_scripts_of_our_own_may_run(page: Page, record: Record) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', (record.path / "report.html").read_text())
    assert policy
    allowed = re.findall(r"'sha256-([^']+)'", policy[1])
    assert len(page.scripts) == len(allowed) == 1
    assert [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in page.scripts] == allowed
    assert "unsafe-inline" not in policy[1].partition("script-src")[2]
    assert script_policy(["<p>", "<script type='application/json'>1</script>"]) == "", "no script, none allowed"


def test_links_lead_somewhere_and_numbers_are_in_order(page: Page) -> None:
    inside = [link for link in page.links if link.startswith("#")]
    assert len(inside) >= 9
    assert {link[1:] for link in inside} <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)
    outside = [link for link in page.links if not link.startswith("#")]
    assert outside
    assert all(link.startswith("https://doi.org/10.") for link in outside)
    for kind in ("table", "figure"):
        numbers = [int(name.removeprefix(f"{kind}-")) for name in page.ids if re.fullmatch(rf"{kind}-\d+", name)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert all(f"{kind.capitalize()} {number}." in page.text for number in numbers)
    assert page.tags.count("img") == sum(name.startswith("figure-") for name in page.ids), "no figure without a caption"


def test_the_answer_comes_first_and_the_rest_in_order(page: Page, record: Record) -> None:
    text = (record.path / "report.html").read_text(encoding="utf-8")
    sections = re.findall(r'<section id="(.+?)">\n<h2>(.+?)</h2>', text)
    assert [heading for _, heading in sections] == [
        "Data", "Scores", "Quantum against classical", "Maps of the crystals", "Method, settings and sources",
        "How to reproduce it",
    ]  # fmt: skip
    assert re.findall(r'<li><a href="#(.+?)">(.+?)</a>', text) == sections, "the table of contents"
    found = answer(COMPARISON)
    order = [found.lead, found.constant, "Figure 1.", COMPARISON.warnings[0], "Table of", sections[0][1]]
    order.remove("Table of")
    places = [page.text.index(part) for part in order]
    assert places == sorted(places)
    assert "2 quantum, 2 classical and 1 reference model on the same folds" in page.text


def test_memory_of_a_model_has_a_column(tmp_path: Path, page: Page) -> None:
    table = COMPARISON.table.assign(memory_mb=np.linspace(1, 97.5, len(COMPARISON.table)))
    known = Page(report_of(tmp_path / "run", replace(COMPARISON, table=table, features={})))
    assert "time s memory MB" in known.text
    assert "time s memory MB" not in page.text
    assert " 98 " in known.text, "97.5 with two digits"


def test_the_page_says_what_must_be_said(page: Page) -> None:
    text = page.text
    for part in (
        PROVENANCE,
        COMPARISON.warnings[0],
        COMPARISON.settings["split"],
        TASK["command"],
        "UnfinishedRunError: 2",
        "run_07/OUTCAR: did not end",
        "they hold the choice of test crystals, not that of training crystals",
        "ceiling R² 0.860; numerical rank 3 of 24 columns; 105 distinct rows among 120 crystals",
        "noise 0.0011 meV/atom",
        "depends on the zero of the label",
        "the corrected resampled t-test",
        "bandwidth = 0.1",
        "0" * 64,
        "Trustworthiness 0.9",
    ):
        assert part in text, part
    rows = re.findall(r"(mean|median) baseline", text)
    assert rows == ["mean", "median"]
    for model in COMPARISON.table["model"]:
        assert model in text
    assert text.index(COMPARISON.warnings[0]) < text.index(PROVENANCE) < text.index("95 % intervals by bootstrap")


def test_a_copied_record_gives_the_same_bytes(record: Record, page: Page, tmp_path: Path) -> None:
    before = {p.relative_to(record.path): p.read_bytes() for p in record.path.rglob("*") if p.is_file()}
    copy = tmp_path / "elsewhere"
    shutil.copytree(record.path, copy, ignore=shutil.ignore_patterns("figures", "report.html", "metrics.json", "*.tex"))
    script = """
import sys
from qperov.records.record import read_record
from qperov.reports import build_report
build_report(read_record(sys.argv[1]))
models = ("qperov.quantum", "qperov.classical", "qperov.descriptors", "torch", "qiskit", "pennylane")
sys.exit(str([name for name in models if name in sys.modules] or "") or 0)
"""
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", script, str(copy)], cwd=root, check=True, timeout=120)
    after = {p.relative_to(copy): p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    assert before.keys() == after.keys()
    assert [str(name) for name in before if before[name] != after[name]] == []
    assert {name.name for name in after if name.parent.name == "figures"} >= {"scores.svg", "parity.png"}


def test_page_goes_where_it_is_sent_and_replaces_old_one(record: Record, page: Page, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    target.write_text("old")
    sealed = (record.path / "record.json").stat().st_mtime_ns
    assert build_report(record, out=target) == target
    assert target.read_bytes() == (record.path / "report.html").read_bytes()
    assert (record.path / "record.json").stat().st_mtime_ns == sealed
    assert not list(tmp_path.glob(".*"))


def test_nothing_from_files_is_executed_or_breaks_the_page(tmp_path: Path) -> None:
    rename = {"QSVR · powder pattern": NASTY}
    frames = {
        name: getattr(COMPARISON, name).replace(rename)
        for name in ("table", "predictions", "folds", "significance", "parameters")
    }
    frames["table"]["name"] = frames["table"]["model"]
    frames["predictions"]["id"] = frames["predictions"]["id"].replace({COMPARISON.ids[0]: NASTY})
    case = replace(
        COMPARISON,
        **frames,
        ids=(NASTY, *COMPARISON.ids[1:]),
        label={**COMPARISON.label, "name": NASTY, "unit": NASTY, "target": NASTY, "provenance": [NASTY]},
        warnings=(NASTY,),
        settings={**COMPARISON.settings, "split": NASTY, NASTY: NASTY},
    )
    text = report_of(tmp_path / "run", case, issues=[NASTY, "\udcff"], left_out={NASTY: 1}, name=NASTY)
    page = Page(text)
    assert "<script>alert" not in text
    assert len(page.scripts) == 1, "that of the maps"
    assert page.tags.count("table") == page.tags.count("tbody")
    assert NASTY in page.text, "shown as it is, not run as a template"


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        replace(COMPARISON, table=COMPARISON.table.drop(columns="family")),
        replace(COMPARISON, table=COMPARISON.table[COMPARISON.table["kind"] != "baseline"]),
        replace(COMPARISON, table=COMPARISON.table[COMPARISON.table["kind"] == "baseline"]),
        replace(COMPARISON, table=COMPARISON.table.iloc[[0, 4]], significance=COMPARISON.significance.iloc[:0]),
        replace(COMPARISON, table=COMPARISON.table.assign(descriptor=None), features={}),
        replace(COMPARISON, descriptors=COMPARISON.descriptors.iloc[:0], parameters=COMPARISON.parameters.iloc[:0]),
        replace(COMPARISON, label={**COMPARISON.label, "unit": None, "noise": None, "provenance": []}, settings={}),
        replace(COMPARISON, features={"powder pattern": np.full((120, 3), np.nan)}, warnings=()),
        synthetic_comparison(n=12, repeats=1),
    ],
    ids=["no family", "no baselines", "baselines only", "two models, no tests", "no descriptors", "no tables",
         "bare label", "NaN features", "twelve crystals"],
)  # fmt: skip
def test_sparse_comparisons_have_reports(tmp_path: Path, case: Comparison) -> None:
    page = Page(report_of(tmp_path / "run", case))
    assert len(page.resources) >= 2
    assert "Scores" in page.text
    assert " nan" not in page.text.lower().replace("hold nan", "")


# --- what the numbers say -----------------------------------------------------------------------


def asked(delta: float, half: float, p_holm: float, probable: tuple[float, float, float] | None = None) -> Comparison:
    """A record without planned questions in which QSVR − SVR on the powder pattern is the given difference."""
    values = (
        "SVR · powder pattern",
        "QSVR · powder pattern",
        -delta,
        -delta - half,
        -delta + half,
        2.0,
        p_holm,
        p_holm,
    )
    pairs = pd.DataFrame([values], columns=COMPARISON.significance.columns)
    if probable is not None:
        better, same, worse = probable
        pairs = pairs.assign(prob_better=worse, prob_equivalent=same, prob_worse=better, rope=0.0027)
    table = COMPARISON.table[~COMPARISON.table["model"].isin(["Ridge · powder pattern", "QSVR · pair correlations"])]
    return replace(COMPARISON, significance=pairs, table=table)


@pytest.mark.parametrize(
    ("delta", "p_holm", "probable", "said"),
    [
        (-0.03, 0.001, None, "the best quantum model (QSVR) is better than the best classical one (SVR): MAE"),
        (0.03, 0.001, None, "the best quantum model (QSVR) is worse than the best classical one (SVR): MAE"),
        (-0.03, 0.06, None, "120 crystals do not decide between the best quantum model (QSVR) and the best classical"),
        (
            0.001,
            0.6,
            (0.01, 0.97, 0.02),
            "the best quantum model (QSVR) and the best classical one (SVR) are practically",
        ),
    ],
)
def test_quantum_against_classical_is_told_with_the_right_sign(
    delta: float, p_holm: float, probable: tuple[float, float, float] | None, said: str
) -> None:
    (question,) = questions(asked(delta, 0.01, p_holm, probable))
    text = sentence(asked(delta, 0.01, p_holm, probable), question)
    assert text.startswith(f"From the powder pattern, {said}")
    low, high = (f"{delta + end:+.3f}".replace("-", "−") for end in (-0.01, 0.01))
    assert text.endswith(f"(difference {delta:+.3f} [{low} … {high}]).".replace("-", "−"))


def test_a_reference_never_leads_but_says_what_is_lost() -> None:
    assert COMPARISON.table.loc[COMPARISON.table["mae"].idxmin(), "model"] == "Ridge · pair correlations"
    found = answer(COMPARISON)
    assert "pair correlations" not in found.lead
    (lost,) = [text for text in found.others if text.startswith("Outside the comparison, Ridge on pair corr")]
    assert "better than the best model of the powder pattern" in lost
    assert [row["family"] for row in leaders(COMPARISON)] == ["quantum", "classical", "reference", "baseline"]
    candidates = COMPARISON.table.assign(
        role=COMPARISON.table["role"].where(COMPARISON.table["family"] != "quantum", "contrast")
    )
    alone = replace(COMPARISON, table=candidates, significance=COMPARISON.significance.iloc[:0])
    assert "Of 2 models, SVR on the powder pattern has the smallest MAE: 0." in answer(alone).lead


def test_a_constant_stands_beside_the_answer() -> None:
    table = COMPARISON.table.set_index("model")
    constant, best = table.loc[["mean", "median"], "mae"].min(), table.loc["QSVR · powder pattern", "mae"]
    untested = replace(COMPARISON, significance=COMPARISON.significance.iloc[:0])
    assert answer(untested).constant.startswith("A constant, the m")
    assert answer(untested).constant.endswith(f"removes {100 * (1 - best / constant):.0f} % of that error.")
    worthless = replace(untested, table=COMPARISON.table.assign(mae_high=9.0))
    assert answer(worthless).lead.startswith(
        "No model is shown to predict the energy per atom better than a constant: "
    )


def with_planned(outcome: str, delta: float = -0.0036) -> Comparison:
    """A record whose question on the powder pattern has this outcome."""
    row = dict.fromkeys(PLANNED, 0.01) | {
        "descriptor": "powder pattern", "quantum": "QSVR · powder pattern", "classical": "SVR · powder pattern",
        "quantum_mae": 0.1139, "classical_mae": 0.1175, "delta_mae": delta, "low": -0.012, "high": 0.005,
        "rope": 0.0102, "detectable": 0.0113, "floor": 0.0078, "folds": 12, "outcome": outcome,
    }  # fmt: skip
    significance = COMPARISON.significance.assign(p_holm=float("nan"), exploratory=True)
    return replace(COMPARISON, planned=pd.DataFrame([row]), significance=significance)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("better", "(QSVR) is better than the best classical one (SVR)"),
        ("likely better", "(QSVR) is likely, not certainly, better than the best classical one (SVR)"),
        ("practically the same", "(QSVR) and the best classical one (SVR) are practically the same"),
        ("likely worse", "(QSVR) is likely, not certainly, worse than the best classical one (SVR)"),
        ("worse", "(QSVR) is worse than the best classical one (SVR)"),
        ("undecidable", "120 crystals do not decide between the best quantum model (QSVR) and"),
    ],
)
def test_the_page_leads_with_the_planned_outcome(outcome: str, said: str) -> None:
    lead = answer(with_planned(outcome)).lead
    assert said in lead
    assert lead.endswith("MAE 0.114 and 0.117 meV/atom (difference −0.004 [−0.012 … +0.005]).")


def test_planned_questions_have_a_table_others_are_exploratory(tmp_path: Path) -> None:
    page = Page(report_of(tmp_path / "run", replace(with_planned("undecidable"), features={})))
    row = "powder pattern undecidable 0.114 QSVR 0.117 SVR −0.004 −0.012 … +0.005 0.01 0.01 · 0.01 · 0.01 0.011 0.0078"
    for part in (row, "±0.010 meV/atom, the region of practical equivalence", "12 folds", "exploratory, not tests"):
        assert part in page.text, part
    assert "not distinguishable" not in page.text, "exploratory pairs have no verdict"


@pytest.mark.parametrize(
    ("p_holm", "probable", "verdict"),
    [
        (0.6, (0.02, 0.96, 0.02), "practically equivalent"),
        (0.6, (0.3, 0.4, 0.3), "not distinguishable"),
        (0.001, (0.0, 0.99, 0.01), "first is better, but negligibly"),
        (0.001, (0.99, 0.01, 0.0), "first is better"),
    ],
)
def test_pairs_show_whether_their_difference_matters(
    tmp_path: Path, p_holm: float, probable: tuple[float, float, float], verdict: str
) -> None:
    values = ("QSVR · powder pattern", "SVR · powder pattern", -0.02, -0.03, -0.01, -2.0, p_holm, p_holm)
    pairs = pd.DataFrame([values], columns=COMPARISON.significance.columns)
    pairs = pairs.assign(prob_better=probable[0], prob_equivalent=probable[1], prob_worse=probable[2], rope=0.0027)
    text = report_of(tmp_path / "run", replace(COMPARISON, significance=pairs, features={}))
    chances = "".join(f"<td>{chance(p).replace('<', '&lt;').replace('>', '&gt;')}</td>" for p in probable)
    assert f"{chances}<td>{verdict}</td></tr>" in text
    assert "differ by less than 0.0027 meV/atom" in text


def test_records_without_probabilities_have_no_columns_for_them(page: Page) -> None:
    assert "first better" not in page.text
    assert "p (Holm) verdict" in page.text


def test_no_better_than_constant_is_judged_against_better_one() -> None:
    table = COMPARISON.table.set_index("model")
    assert say.best_baseline(COMPARISON)["model"] == table.loc[["mean", "median"], "mae"].idxmin()
    rows = {row["model"]: row for _, row in say.scored_models(COMPARISON).iterrows()}
    assert COMPARISON.beats_constant("Ridge · pair correlations")
    assert not COMPARISON.beats_constant("QSVR · pair correlations")
    # significantly different but worse is no better
    worse = rows["QSVR · pair correlations"].copy()
    pair = pd.DataFrame(
        [(worse["model"], "mean", 0.1, 0.05, 0.15, 9.0, 1e-6, 1e-6)], columns=COMPARISON.significance.columns
    )
    assert not replace(COMPARISON, significance=pair).beats_constant(worse["model"])
    # untested pairs: by the interval
    untested = replace(COMPARISON, significance=COMPARISON.significance.iloc[:0])
    assert untested.beats_constant("Ridge · pair correlations")
    assert not untested.beats_constant("QSVR · pair correlations")


def test_differences_are_antisymmetric() -> None:
    a, b = MODELS[0][0], MODELS[2][0]
    ab, ba = say.difference(COMPARISON, a, b), say.difference(COMPARISON, b, a)
    assert (ab.delta, ab.low, ab.high, ab.p) == (-ba.delta, -ba.high, -ba.low, ba.p)
    assert say.difference(COMPARISON, a, "nobody") is None


@given(st.floats(-1e3, 1e3), st.floats(1e-6, 1e3))
def test_decimals_fit_the_interval(value: float, width: float) -> None:
    step = 10.0 ** -decimals(value, value - width / 2, value + width / 2)
    assert step <= max(width / 6 * 1.001, 1e-8)
    assert step >= min(width / 61, 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.16543, "0.165"), (-37.03, "−37.0"), (123456.0, "123456"), (2.5e-7, "2.50e−07"), (0.0, "0"),
     (float("nan"), "–"), (float("inf"), "∞"), (None, "–")],
)  # fmt: skip
def test_significant_digits(value: float | None, text: str) -> None:
    assert significant(value) == text


def test_fixed_numbers() -> None:
    assert fixed(-0.0004, 2, sign=True) == "0.00"
    assert fixed(-0.25, 1) == "−0.2"
    assert fixed(0.25, 2, sign=True) == "+0.25"


# --- figures ------------------------------------------------------------------------------------


def test_scores_draw_each_model_where_its_numbers_are() -> None:
    left, right = draw_scores(COMPARISON).axes
    table = COMPARISON.table
    for axes, metric in ((left, "mae"), (right, "r2")):
        drawn = sorted(float(line.get_xdata()[0]) for line in axes.lines if len(line.get_xdata()) == 1)
        np.testing.assert_allclose(drawn, sorted(table[metric]))
    assert [label.get_text() for label in left.get_yticklabels()][:2] == ["mean", "median"]
    low, high = left.get_ylim()
    assert low > high, "best first, from the top"


def test_pictures_in_the_page_keep_the_colours_of_families(record: Record, page: Page) -> None:
    # the first is that of telephones
    pictures = [data.partition(",")[2] for data in page.resources if data.startswith("data:image/png")]
    drawn = Image.open(io.BytesIO(base64.b64decode(pictures[1]))).convert("RGB")
    colours = np.array(drawn).reshape(-1, 3).astype(int)
    for family in ("quantum", "classical", "reference", "baseline"):
        own = 255 * np.array(to_rgb(COLOURS[family]))
        assert (np.abs(colours - own).max(axis=1) <= 4).sum() > 100, family
    with Image.open(record.path / "figures" / "best.png") as whole:
        assert drawn.size == whole.size


def test_parity_shows_out_of_fold_predictions() -> None:
    figure = draw_parity(COMPARISON)
    panels = [axes for axes in figure.axes if axes.collections]
    assert len(panels) == len(MODELS)
    for axes, (name, *_) in zip(panels, MODELS, strict=True):
        mine = COMPARISON.predictions[COMPARISON.predictions["model"] == name]
        np.testing.assert_array_equal(axes.collections[0].get_offsets()[:, 0], mine["y_true"])
        np.testing.assert_array_equal(axes.collections[0].get_offsets()[:, 1], mine["y_pred"])
        assert axes.get_xlim() == axes.get_ylim() == panels[0].get_xlim()


# --- maps ---------------------------------------------------------------------------------------


def test_a_map_keeps_clusters_apart() -> None:
    X, which = make_blobs(90, n_features=8, centers=3, cluster_std=0.5, random_state=0)
    points = embed(X)
    own = np.array([np.linalg.norm(points - points[which == k].mean(axis=0), axis=1) for k in range(3)]).argmin(axis=0)
    assert (own == which).all()
    assert map_descriptor("blobs", X).trustworthiness > 0.9


def test_maps_are_deterministic_and_rows_may_be_permuted() -> None:
    X = COMPARISON.features["powder pattern"]
    points = embed(X, seed=3)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_array_equal(embed(X, seed=3), points)
    np.testing.assert_array_equal(embed(X[order], seed=3), points[order])
    np.testing.assert_array_equal(embed(np.asfortranarray(X), seed=3), points)


def test_identical_rows_share_a_point_and_scale_does_not_matter() -> None:
    X = COMPARISON.features["powder pattern"]
    points = embed(X)
    np.testing.assert_array_equal(points[60:75], points[:15])
    assert len(np.unique(points, axis=0)) == map_descriptor("x", X).distinct == 105
    np.testing.assert_array_equal(embed(X * 2.0**8), points)
    noise = 1e-13 * np.random.default_rng(0).normal(size=(len(X), 2))
    np.testing.assert_array_equal(embed(np.hstack([X, noise, 5.0 + noise])), points)


@settings(max_examples=15, deadline=None)
@given(n=st.integers(1, 14), d=st.integers(1, 5), seed=st.integers(0, 5))
def test_few_rows_have_maps(n: int, d: int, seed: int) -> None:
    X = np.random.default_rng(seed).integers(0, 3, (n, d)).astype(float)
    points = embed(X)
    assert points.shape == (n, 2)
    assert np.isfinite(points).all()
    trust = map_descriptor("x", X).trustworthiness
    assert np.isnan(trust) or 0 <= trust <= 1


def test_below_ten_rows_the_map_is_the_principal_components() -> None:
    X = np.random.default_rng(1).normal(size=(9, 4))
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    points = embed(X)
    values = np.linalg.eigvalsh(np.cov(Z.T, bias=True))[::-1]
    np.testing.assert_allclose(points.var(axis=0), values[:2], rtol=1e-6)
    assert abs(np.corrcoef(points.T)[0, 1]) < 1e-6
    assert map_descriptor("x", X).method == "principal components"


def test_a_descriptor_of_constants_is_one_point() -> None:
    np.testing.assert_array_equal(embed(np.full((20, 3), 4.2)), np.zeros((20, 2)))


@pytest.mark.parametrize(
    ("features", "perplexity", "message"),
    [
        (np.empty((0, 3)), None, "n > 0"),
        (np.ones(5), None, "shape"),
        (np.array([[1.0, np.nan]]), None, "finite"),
        (np.eye(30), 10.0, r"outside 1 … 9\.67"),
        (np.eye(30), 0.5, "outside 1"),
    ],
)
def test_what_has_no_map_is_refused(features: np.ndarray, perplexity: float | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        embed(features, perplexity=perplexity)


def test_a_read_record_and_a_written_one_report_alike(record: Record, page: Page, tmp_path: Path) -> None:
    again = build_report(read_record(record.path), out=tmp_path / "again.html")
    assert again.read_bytes() == (record.path / "report.html").read_bytes()
