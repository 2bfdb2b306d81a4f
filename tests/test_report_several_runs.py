"""Several runs on one page: what may not be compared is said first, what may is tested on the same folds."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_comparison import DATASET, TASK, corrected_t, synthetic_comparison
from typer.testing import CliRunner

from qperov.commands.report import report
from qperov.errors import RecordError
from qperov.evaluation.results import Comparison
from qperov.records.record import Record, read_record
from qperov.records.writing import write_record
from qperov.reports.runs.page import compare_runs
from qperov.reports.runs.sets import NOT_COMPARABLE, cautions, comparable_sets, named_runs
from qperov.reports.runs.tests import paired_differences, same_folds, same_labels

COMPARISON = synthetic_comparison(n=60, repeats=2)
MODELS = COMPARISON.table["model"].tolist()[2:]
RIDGE = "Ridge · powder pattern"
NASTY = '<script>alert("x")</script> {{ 7 * 7 }}'


def worse(comparison: Comparison, model: str, share: float) -> Comparison:
    """The comparison with the errors of one model larger by a share."""
    p, folds = comparison.predictions.copy(), comparison.folds.copy()
    mine = p["model"] == model
    p.loc[mine, "y_pred"] += share * (p.loc[mine, "y_pred"] - p.loc[mine, "y_true"])
    folds.loc[folds["model"] == model, ["mae", "rmse"]] *= 1 + share
    return replace(comparison, predictions=p, folds=folds)


def without(comparison: Comparison, model: str) -> Comparison:
    kept = {
        name: getattr(comparison, name)[lambda frame: frame["model"] != model]
        for name in ("table", "predictions", "folds", "parameters")
    }
    return replace(comparison, **kept)


def shuffled(comparison: Comparison) -> Comparison:
    """The same comparison with its crystals in another order."""
    order = np.random.default_rng(0).permutation(len(comparison.ids))
    return replace(
        comparison,
        ids=tuple(comparison.ids[i] for i in order),
        y=comparison.y[order],
        features={name: X[order] for name, X in comparison.features.items()},
        predictions=comparison.predictions.sample(frac=1, random_state=0),
        folds=comparison.folds.sample(frac=1, random_state=0),
    )


OTHER_FOLDS = replace(
    COMPARISON, predictions=COMPARISON.predictions.assign(fold=(COMPARISON.predictions["fold"] + 1) % 5)
)
OTHER_LABELS = replace(COMPARISON, y=COMPARISON.y + np.where(np.arange(60) < 7, 0.1, 0))
OTHER_UNIT = replace(COMPARISON, label={**COMPARISON.label, "unit": "eV/cell"})
OTHER_CRYSTALS = replace(
    COMPARISON, ids=(*COMPARISON.ids[:40], *(f"new-{i}" for i in range(20))), label={**COMPARISON.label, "name": "else"}
)


def written(folder: Path, comparison: Comparison = COMPARISON, **task: Any) -> Record:
    return write_record(folder, comparison, task={**TASK, **task}, dataset=DATASET)


def page_of(tmp_path: Path, *comparisons: Comparison, **options: Any) -> str:
    records = [written(tmp_path / f"run-{k}", each) for k, each in enumerate(comparisons, start=1)]
    return compare_runs(records, tmp_path / "page.html", **options).read_text(encoding="utf-8")


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.partition("</style>")[2]))


# --- what may be compared -----------------------------------------------------------------------


def test_the_order_of_crystals_is_no_difference() -> None:
    assert same_labels(COMPARISON, shuffled(COMPARISON))
    assert same_folds(COMPARISON, shuffled(COMPARISON))


@pytest.mark.parametrize("other", [OTHER_LABELS, OTHER_UNIT, OTHER_CRYSTALS], ids=["labels", "unit", "crystals"])
def test_another_label_of_any_crystal_is(other: Comparison) -> None:
    assert not same_labels(COMPARISON, other)
    assert not same_labels(other, COMPARISON)


@pytest.mark.parametrize("other", [OTHER_FOLDS, synthetic_comparison(n=60, repeats=1)], ids=["dealt", "repeats"])
def test_other_folds_are_seen(other: Comparison) -> None:
    assert not same_folds(COMPARISON, other)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (OTHER_LABELS, "the crystals are the same, but 7 of 60 labels differ"),
        (OTHER_UNIT, "the crystals are the same, but one has the label energy_per_atom meV/atom and the "
         "other energy_per_atom eV/cell"),
        (OTHER_CRYSTALS, "their crystals differ (synthetic and else): 40 in common, of 60 and 60"),
    ],
    ids=["labels", "unit", "crystals"],
)  # fmt: skip
def test_what_must_not_be_compared_is_said_first(tmp_path: Path, other: Comparison, message: str) -> None:
    text = page_of(tmp_path, COMPARISON, other, COMPARISON)
    body = text.partition("</style>")[2]
    stop = body.index('class="box stop"')
    assert stop < body.index("<nav") < body.index("<table")
    shown = plain(text)
    assert f"{NOT_COMPARABLE}: run-1 and run-3; run-2. run-2 against run-1: {message}." in shown
    assert "Scores of run-1 and run-3" in shown
    assert "Scores of run-2" in shown
    for table in re.findall(r"<table.*?</table>", body, flags=re.DOTALL)[2:]:
        assert not ("run-1" in table and "run-2" in table), "in one table, scores that must not be compared"


def test_runs_on_other_folds_stand_beside_each_other_untested(tmp_path: Path) -> None:
    text = page_of(tmp_path, COMPARISON, OTHER_FOLDS)
    assert 'class="box stop"' not in text
    assert "tested on different folds: run-1; run-2" in plain(text)
    assert "Paired differences" not in text
    assert "No two of these runs share their folds" in text


def test_the_same_run_twice_differs_in_nothing(tmp_path: Path) -> None:
    text = plain(page_of(tmp_path, COMPARISON, shuffled(COMPARISON)))
    assert "Data, settings, versions and machine are the same in all runs." in text
    assert "5 of 5 pairs have identical scores in every fold" in text
    assert cautions(named_runs([written(tmp_path / "a"), written(tmp_path / "b")])) == []


def test_what_differs_is_listed(tmp_path: Path) -> None:
    case = replace(COMPARISON, settings={**COMPARISON.settings, "seed": 5, "bootstrap": 61})
    records = [written(tmp_path / "a"), written(tmp_path / "b", case, seed=5, quick=True)]
    records[1] = replace(records[1], versions={**records[1].versions, "numpy": "9.9"})
    text = compare_runs(records, tmp_path / "page.html").read_text(encoding="utf-8")
    rows = [[plain(f"</style>{cell}").strip() for cell in re.findall(r"<td>(.*?)</td>", row)]
            for row in re.findall(r"<tr>(.*?)</tr>", text[text.index("What differs</h2>") :])]  # fmt: skip
    found = {row[0]: row[1:] for row in rows if len(row) == 3}
    assert found["seed settings"] == ["0", "5"]
    assert "seed task" not in found, "said once"
    assert found["bootstrap settings"] == ["60", "61"]
    assert found["quick task"] == ["–", "true"]
    assert found["numpy versions"] == [records[0].versions["numpy"], "9.9"]
    assert "scipy versions" not in found


# --- side by side -------------------------------------------------------------------------------


def test_models_stand_side_by_side_with_intervals(tmp_path: Path) -> None:
    text = page_of(tmp_path, COMPARISON, without(COMPARISON, RIDGE))
    scores = text[text.index('id="scores-1"') :]
    row = next(row for row in re.findall(r"<tr>(.*?)</tr>", scores) if row.startswith("<td>Ridge <"))
    cells = re.findall(r"<td>(.*?)</td>", row)
    mae = COMPARISON.table.set_index("model").loc[RIDGE, "mae"]
    assert len(cells) == 5
    assert float(cells[1].partition("<")[0]) == pytest.approx(mae, rel=0.05)
    assert " … " in cells[1]
    assert [cell.partition("<")[0] for cell in cells[3:]] == ["–", "–"]
    assert scores.count("<img") == 1
    assert "mean <span" in scores


def test_pairs_are_tested_fold_by_fold_with_the_corrected_test() -> None:
    other = worse(worse(COMPARISON, RIDGE, 0.2), MODELS[0], -0.01)
    pairs = {(pair.a, pair.b): pair for pair in paired_differences(COMPARISON, shuffled(other))}
    assert set(pairs) == {(model, model) for model in MODELS}
    ratio = float((COMPARISON.folds["n_test"] / COMPARISON.folds["n_train"]).mean())
    ps = []
    for model in MODELS:
        tested = pairs[model, model].tested
        a, b = (
            c.folds[c.folds["model"] == model].sort_values(["repeat", "fold"])["mae"].to_numpy()
            for c in (COMPARISON, other)
        )
        delta, low, high, _, p = corrected_t(a, b, ratio)
        np.testing.assert_allclose([tested.delta, tested.low, tested.high], [delta, low, high], atol=1e-12)
        assert tested.p == pytest.approx(p)
        assert tested.better + tested.equivalent + tested.worse == pytest.approx(1)
        assert pairs[model, model].identical == (model not in (RIDGE, MODELS[0]))
        ps.append(tested.p)
    assert pairs[RIDGE, RIDGE].tested.delta < 0, "the first run is better"
    assert pairs[RIDGE, RIDGE].tested.p_holm >= pairs[RIDGE, RIDGE].tested.p
    assert pairs[RIDGE, RIDGE].tested.p_holm == pytest.approx(min(ps) * len(ps))
    assert pairs[RIDGE, RIDGE].tested.rope == pytest.approx(
        0.05 * np.abs(COMPARISON.y - np.median(COMPARISON.y)).mean()
    )


def test_best_of_each_are_tested_where_they_are_other_models() -> None:
    leader = "Ridge · pair correlations"
    pairs = [(pair.a, pair.b) for pair in paired_differences(COMPARISON, without(COMPARISON, leader))]
    best = COMPARISON.table.set_index("model")["mae"].drop([leader, "mean", "median"]).idxmin()
    assert pairs[0] == (leader, best)
    assert len(pairs) == 5


@settings(max_examples=20, deadline=None)
@given(st.floats(-0.5, 0.5), st.sampled_from(MODELS))
def test_exchanging_two_runs_exchanges_better_and_worse(share: float, model: str) -> None:
    other = worse(COMPARISON, model, share)
    there = {(p.a, p.b): p.tested for p in paired_differences(COMPARISON, other)}
    back = {(p.a, p.b): p.tested for p in paired_differences(other, COMPARISON)}
    one, two = there[model, model], back[model, model]
    assert (one.delta, one.low, one.high) == pytest.approx((-two.delta, -two.high, -two.low))
    assert (one.better, one.equivalent, one.worse, one.p) == pytest.approx(
        (two.worse, two.equivalent, two.better, two.p)
    )


def test_single_folds_are_not_tested(tmp_path: Path) -> None:
    first = COMPARISON.folds["repeat"].eq(0) & COMPARISON.folds["fold"].eq(0)
    assert paired_differences(replace(COMPARISON, folds=COMPARISON.folds[first]), COMPARISON) == []


# --- the page -----------------------------------------------------------------------------------


def test_the_page_is_whole_and_shows_hostile_names(tmp_path: Path) -> None:
    case = replace(
        COMPARISON,
        table=COMPARISON.table.replace({RIDGE: NASTY, "Ridge": NASTY}),
        folds=COMPARISON.folds.replace({RIDGE: NASTY}),
        warnings=(NASTY,),
        settings={NASTY: NASTY},
        label={**COMPARISON.label, "name": NASTY},
    )
    text = page_of(tmp_path, COMPARISON, case, left_out=[NASTY])
    assert "<script" not in text
    assert "script-src" not in text
    assert text.count("&lt;script&gt;") > 5
    assert "{{ 7 * 7 }}" in text
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(re.findall(r' id="([^"]+)"', text))
    assert all(found.startswith("data:image/") for found in re.findall(r'src="([^"]{11})', text))


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    records = [written(tmp_path / "a"), written(tmp_path / "b", OTHER_FOLDS)]
    first = compare_runs(records, tmp_path / "1.html").read_bytes()
    (tmp_path / "2.html").write_text("old")
    assert compare_runs(records, tmp_path / "2.html").read_bytes() == first
    assert not list(tmp_path.glob(".*"))


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    records = [written(tmp_path / "x" / "demo-1"), written(tmp_path / "y" / "demo-1"), written(tmp_path / "z")]
    assert [run.name for run in named_runs(records)] == ["x/demo-1", "y/demo-1", "z"]
    assert len(comparable_sets(named_runs(records))) == 1


def test_one_run_is_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two or more"):
        compare_runs([written(tmp_path / "a")], tmp_path / "page.html")


def test_a_run_of_constants_alone_has_a_place(tmp_path: Path) -> None:
    constants = COMPARISON
    for model in MODELS:
        constants = without(constants, model)
    shown = plain(page_of(tmp_path, constants, constants))
    assert "constants" in shown
    assert "Paired differences" not in shown


# --- the command --------------------------------------------------------------------------------

app = typer.Typer()
app.command()(report)


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    small = replace(COMPARISON, features={})
    for name, comparison in (("a", small), ("b", worse(small, RIDGE, 0.1))):
        written(folder / name, comparison)
    for name, change in (("tampered", '"n": 60'), ("newer", '"schema": 1')):
        shutil.copytree(folder / "a", folder / name)
        record = folder / name / "record.json"
        record.write_text(record.read_text().replace(change, change[:-1] + "9", 1))
    (folder / "empty").mkdir()
    (folder / "file").write_text("no run")
    return folder


@pytest.mark.slow
def test_one_run_is_rebuilt_where_it_is_or_where_it_is_wanted(runs: Path, tmp_path: Path) -> None:
    done = call(runs / "a")
    assert done.exit_code == 0, done.output
    assert f"report: {runs / 'a' / 'report.html'}" in done.output.replace("\n", "")
    assert json.loads((runs / "a" / "metrics.json").read_text())["schema"] == "qperov-metrics/1"
    assert call(runs / "a", "--out", tmp_path / "new" / "page.html").exit_code == 0
    assert call(runs / "a", "--out", tmp_path).exit_code == 0
    pages = {(tmp_path / "new" / "page.html").read_bytes(), (tmp_path / "report.html").read_bytes()}
    assert pages == {(runs / "a" / "report.html").read_bytes()}


def test_bad_inputs_are_named_and_the_others_go_on(runs: Path, tmp_path: Path) -> None:
    bad = {"tampered": "changed after it was written", "newer": "record schema 9", "empty": "no record.json",
           "file": "record.json", "nowhere": "no record.json"}  # fmt: skip
    page = tmp_path / "page.html"
    done = call(runs / "a", *(runs / name for name in bad), runs / "b", runs / "a", "--out", page)
    assert done.exit_code == 0, done.output
    shown = plain(page.read_text(encoding="utf-8"))
    assert "2 runs compared a · b" in shown
    for name, message in bad.items():
        line = next(line for line in done.stderr.splitlines() if str(runs / name) in line)
        assert line.startswith("left out: ")
        assert message in line
        assert str(runs / name) in shown
    assert "Ridge · powder pattern" in shown


def test_nothing_usable_is_an_error(runs: Path) -> None:
    for arguments in ([runs / "empty"], [runs / "empty", runs / "file"]):
        done = call(*arguments)
        assert isinstance(done.exception, RecordError)
        assert all(str(path) in str(done.exception) for path in arguments)


def test_one_sound_run_among_bad_ones_is_rebuilt(runs: Path, tmp_path: Path) -> None:
    done = call(runs / "empty", runs / "b", "--out", tmp_path / "page.html")
    assert done.exit_code == 0
    assert "left out: " in done.stderr
    assert "Quantum against classical" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_several_runs_go_to_the_working_directory_by_default(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    other = written(tmp_path / "other", replace(OTHER_LABELS, features={}))
    done = call(runs / "a", other.path)
    assert done.exit_code == 0
    assert "report: comparison.html" in done.stdout
    assert f"warning: {NOT_COMPARABLE}" in done.stderr
    assert (tmp_path / "comparison.html").exists()
    assert read_record(other.path).comparison.label["n"] == 60


def test_a_page_that_cannot_be_written_is_one_line(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = call(runs / "a", runs / "b", "--out", tmp_path / "file" / "page.html")
    assert isinstance(done.exception, RecordError)
    assert "could not be written" in str(done.exception)
