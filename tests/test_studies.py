"""Studies: records keep them bit by bit, reports draw them from the record alone, the autoencoder's is honest."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from synthetic_comparison import DATASET, TASK, synthetic_comparison

import qperov
from qperov.errors import RecordError
from qperov.evaluation.splits import honest_groups
from qperov.records.record import read_record
from qperov.records.study import Chart, Reference, Study
from qperov.records.writing import write_record
from qperov.reports import build_report
from qperov.reports.figures.charts import draw_chart
from qperov.reports.figures.style import COLOURS, OTHER_COLOURS
from qperov.studies import autoencoder as autoencoder_study

COMPARISON = synthetic_comparison(n=24, repeats=1)
NASTY = '<script>alert("x")</script> & $\\frac{1} {{ 7 * 7 }} </td>'
CURVE = pd.DataFrame(
    {
        "model": ["a", "a", "b", "b"],
        "part": ["one", "two", "one", "two"],
        "n": [1, 2, 1, 2],
        "loss": [0.5, 1e-14, 0.25, 0.125],
    }
)
STUDY = Study(
    "Compression",
    ("Four numbers, one of them rounding noise.",),
    tables={"Scores": pd.DataFrame({"model": ["a", "b"], "fidelity": [0.99994, 0.5], "r": [math.nan, 12345.678]})},
    charts=(
        Chart(
            "Loss", "lines", "curve", "n", "loss", series="model", log_y=True, least=1e-10, y_label="loss",
            references=(Reference("constant", 0.75),), caption="Lower is better.",
        ),
        Chart("Spread", "histogram", "curve", "loss", series="model", log_x=True, least=1e-10),
        Chart("Parity", "scatter", "curve", "n", "loss", panels="part", references=(Reference("=", axis="diagonal"),)),
        Chart("Bars", "bars", "curve", "loss", "part", series="model", references=(Reference("floor", 0.1, "x"),)),
    ),
    data={"curve": CURVE},
    decimals={"fidelity": 5},
)  # fmt: skip


def write(path: Path, *studies: Study) -> Path:
    return write_record(path, COMPARISON, task=TASK, dataset=DATASET, studies=studies).path


def assert_same(a: Study, b: Study) -> None:
    assert (a.title, a.paragraphs, a.charts, a.decimals) == (b.title, b.paragraphs, b.charts, b.decimals)
    for mine, other in ((a.tables, b.tables), (a.data, b.data)):
        assert list(mine) == list(other)
        for name, frame in mine.items():
            pd.testing.assert_frame_equal(frame, other[name], check_exact=True)


# --- what is no study ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "pie"}, "unknown kind 'pie'"),
        ({"kind": "histogram"}, "a histogram has x alone"),
        ({"y": ""}, "every other kind x and y"),
        ({"kind": "bars"}, "length of a bar"),
        ({"table": "nowhere"}, "no table 'nowhere'"),
        ({"y": "nothing"}, "no column 'nothing'"),
        ({"y": "part"}, "'part' holds no numbers"),
        ({"least": 0.0}, "a place on a logarithmic axis"),
        ({"references": (Reference("r", axis="z"),)}, "cannot be at 'z'"),
        ({"references": (Reference("r", axis="diagonal"),)}, "a diagonal belongs to a scatter"),
    ],
)
def test_charts_of_what_is_not_there_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(STUDY, charts=(replace(STUDY.charts[0], **change),))


# --- records ------------------------------------------------------------------------------------


def test_studies_come_back_bit_by_bit(tmp_path: Path) -> None:
    other = replace(STUDY, title="compression!")
    path = write(tmp_path / "run", STUDY, other)
    first, second = read_record(path).studies
    assert_same(STUDY, first)
    assert_same(other, second)
    assert len(list((path / "studies").iterdir())) == 2, "titles that give one file name are kept apart"


@settings(max_examples=15, deadline=None)
@given(
    values=st.lists(st.floats(width=64), min_size=1, max_size=5),
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
def test_any_float_and_text_survives(tmp_path_factory: pytest.TempPathFactory, values: list[float], text: str) -> None:
    frame = pd.DataFrame({"x": np.array(values), "name": [text] * len(values)})
    chart = Chart(text, "histogram", text, "x", references=(Reference(text, values[0]),))
    study = Study(text, (text,), tables={text: frame}, charts=(chart,), data={"d": frame})
    back = read_record(write(tmp_path_factory.mktemp("any") / "run", study)).studies[0]
    for found in (back.tables[text], back.data["d"]):
        np.testing.assert_array_equal(found["x"], values)
        assert found["name"].tolist() == frame["name"].tolist()
    np.testing.assert_equal(asdict(back.charts[0]), asdict(chart))


def test_text_that_is_no_unicode_is_escaped(tmp_path: Path) -> None:
    bad = os.fsdecode(b"run_\xff")
    frame = pd.DataFrame({"name": pd.Series([bad, "b"], dtype=object), "x": [1.0, 2.0]})
    chart = Chart(bad, "bars", bad, "x", "name")
    back = read_record(write(tmp_path / "run", Study(bad, (bad,), charts=(chart,), data={bad: frame}))).studies[0]
    assert back.title == back.charts[0].table == "run_\\udcff"
    assert back.data["run_\\udcff"]["name"].tolist() == ["run_\\udcff", "b"]


def test_a_record_from_before_studies_still_reads(tmp_path: Path) -> None:
    from qperov.storage.checked_folder import digest

    path = write(tmp_path / "run")
    assert not (path / "studies").exists()
    body = json.loads((path / "record.json").read_text())
    del body["digest"], body["studies"]
    (path / "record.json").write_text(json.dumps({**body, "digest": digest(body)}))
    assert read_record(path).studies == ()


def test_damage_to_a_study_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "run", STUDY)
    part = path / "studies" / "compression-curve.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[:-1])
    with pytest.raises(RecordError, match=r"studies/compression-curve\.parquet was changed"):
        read_record(path)
    part.unlink()
    with pytest.raises(RecordError, match=r"studies/compression-curve\.parquet is missing"):
        read_record(path)
    part.write_bytes(whole)
    text = (path / "record.json").read_text()
    (path / "record.json").write_text(text.replace("one of them rounding noise", "all of them exact"))
    with pytest.raises(RecordError, match="changed after it was written"):
        read_record(path)


@pytest.mark.parametrize(
    ("forge", "message"),
    [
        (lambda study: study["charts"][0].update(kind="pie"), "unknown kind"),
        (lambda study: study["charts"][0].update(run="rm"), "unexpected keyword"),
        (lambda study: study["charts"][0].update(x="nothing"), "no column"),
        (lambda study: study.pop("paragraphs"), "paragraphs"),
        (lambda study: study["data"][0].update(file="../secret.parquet"), "no part of a record"),
    ],
)
def test_forged_studies_are_refused(tmp_path: Path, forge: object, message: str) -> None:
    from qperov.storage.checked_folder import digest

    path = write(tmp_path / "run", STUDY)
    body = json.loads((path / "record.json").read_text())
    del body["digest"]
    forge(body["studies"][0])  # type: ignore[operator]
    (path / "record.json").write_text(json.dumps({**body, "digest": digest(body)}))
    with pytest.raises(RecordError, match=message):
        read_record(path)


def test_other_data_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="Compression, odd cannot be recorded"):
        write(tmp_path / "run", Study("Compression", data={"odd": pd.DataFrame({"x": [1, "a", object()]})}))
    assert list(tmp_path.iterdir()) == []


# --- the page -----------------------------------------------------------------------------------


def test_report_of_a_study_is_the_same_twice(tmp_path: Path) -> None:
    path = write(tmp_path / "run", STUDY)
    page = build_report(read_record(path))
    text = page.read_text(encoding="utf-8")
    section = text[text.index("<h2>Compression</h2>") : text.index("<h2>Maps")]
    assert "Four numbers, one of them rounding noise." in section
    rows = re.findall(r"<tr>(.*?)</tr>", section)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    assert cells == [["model", "fidelity", "r"], ["a", "0.99994", "–"], ["b", "0.50000", "12346"]]
    assert section.count("<img") == len(STUDY.charts)
    assert "Lower is better." in section
    figures = {file.name: file.read_bytes() for file in (path / "figures").glob("study-*")}
    assert len(figures) == 2 * len(STUDY.charts)
    again = build_report(read_record(path), out=tmp_path / "again.html")
    assert again.read_bytes() == page.read_bytes()
    assert {file.name: file.read_bytes() for file in (path / "figures").glob("study-*")} == figures


def test_hostile_text_is_shown_and_not_run(tmp_path: Path) -> None:
    frame = pd.DataFrame({NASTY: [1.0, 2.0], "name": [NASTY, "_b"]})
    chart = Chart(
        NASTY, "bars", NASTY, NASTY, "name", series="name", panels="name", x_label=NASTY, y_label=NASTY,
        references=(Reference(NASTY, 1.5, "x"),), caption=NASTY,
    )  # fmt: skip
    study = Study(NASTY, (NASTY,), tables={NASTY: frame}, charts=(chart,), decimals={NASTY: 2})
    text = build_report(read_record(write(tmp_path / "run", study))).read_text(encoding="utf-8")
    assert "<script>alert" not in text
    section = text[text.rindex("<h2>", 0, text.index("<h2>Maps")) : text.index("<h2>Maps")]
    assert section.count("&lt;script&gt;") >= 7
    assert section.count("</td>") == 4
    assert "{{ 7 * 7 }}" in section


# --- figures ------------------------------------------------------------------------------------


def test_lines_are_drawn_where_their_numbers_are() -> None:
    axes = draw_chart(STUDY, STUDY.charts[0]).axes[0]
    a, b, constant = axes.lines
    np.testing.assert_array_equal(a.get_ydata(), [0.5, 1e-10])
    np.testing.assert_array_equal(b.get_ydata(), [0.25, 0.125])
    np.testing.assert_array_equal(constant.get_ydata(), [0.75, 0.75])
    assert axes.get_yscale() == "log"
    assert axes.get_xscale() == "linear"


def test_a_histogram_counts_shares_of_each_series() -> None:
    axes = draw_chart(STUDY, STUDY.charts[1]).axes[0]
    for colour in OTHER_COLOURS[:2]:
        bars = [bar for bar in axes.patches if to_hex(bar.get_facecolor()) == colour]
        assert math.isclose(sum(bar.get_height() for bar in bars), 1)


def test_series_have_the_colours_of_their_families() -> None:
    chart = Chart("Loss", "lines", "curve", "n", "loss", series="model")
    curve = pd.DataFrame({"n": [1, 2] * 3, "loss": [1.0, 0.5] * 3, "model": list("aabbcc")})
    told = Study("Told", charts=(chart,), data={"curve": curve.assign(family=["quantum"] * 4 + ["classical"] * 2)})
    colours = [to_hex(line.get_color()) for line in draw_chart(told, chart).axes[0].lines]
    assert (colours[0], colours[2]) == (COLOURS["quantum"], COLOURS["classical"])
    assert len(set(colours)) == 3, "a second quantum model has a shade of its own"
    known = draw_chart(Study("Known", charts=(chart,), data={"curve": curve}), chart, {"b": "classical"}).axes[0].lines
    assert to_hex(known[1].get_color()) == COLOURS["classical"]
    assert to_hex(known[0].get_color()) == OTHER_COLOURS[0]


def test_a_pattern_has_marks_and_the_indices_of_its_peaks() -> None:
    chart = Chart("Pattern", "sticks", "peaks", "x", "y", series="hkl")
    peaks = pd.DataFrame(
        {"x": [10.0, 10.1, 40.0, 80.0], "y": [100.0, 50.0, 1.0, 30.0], "hkl": ["100", "010", "200", "1 0 −12"]}
    )
    axes = draw_chart(Study("Sticks", charts=(chart,), data={"peaks": peaks}), chart).axes[0]
    assert [text.get_text() for text in axes.texts] == ["100", "1 0 −12"], "no room for one, too low the other"
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), peaks["x"])
    (sticks,) = axes.collections
    np.testing.assert_array_equal([path.vertices[1, 1] for path in sticks.get_paths()], peaks["y"])


def test_parity_has_one_scale_and_bars_the_lengths_of_the_table() -> None:
    panels = draw_chart(STUDY, STUDY.charts[2]).axes
    assert [axes.get_title() for axes in panels] == ["one", "two"]
    for axes in panels:
        assert axes.get_xlim() == axes.get_ylim()
        assert axes.get_aspect() == 1
    axes = draw_chart(STUDY, STUDY.charts[3]).axes[0]
    assert [bar.get_width() for bar in axes.patches] == CURVE["loss"].tolist()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["one", "two"]


@settings(max_examples=12, deadline=None)
@given(
    kind=st.sampled_from(["lines", "scatter", "histogram", "bars", "sticks"]),
    values=st.lists(st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, 0.0]), max_size=5),
    log=st.booleans(),
)
def test_any_numbers_have_a_figure(kind: str, values: list[float], log: bool) -> None:
    frame = pd.DataFrame({"x": np.array(values, dtype=float), "name": [f"_{i % 2}" for i in range(len(values))]})
    y = {"histogram": "", "bars": "name"}.get(kind, "x")
    chart = Chart(
        "c",
        kind,
        "t",
        "x",
        y,
        series="name",
        log_x=log and kind not in ("bars", "sticks"),
        log_y=log and bool(y) and kind not in ("bars", "sticks"),
    )
    figure = draw_chart(Study("s", charts=(chart,), data={"t": frame}), chart)
    figure.canvas.draw()
    assert figure.axes


# --- the autoencoder ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset() -> qperov.datasets.CrystalDataset:
    return qperov.load_dataset("cpx321").take(range(0, 986, 12))


def test_the_autoencoder_stands_beside_its_baselines(
    dataset: qperov.datasets.CrystalDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoencoder_study, "QUICK_EPOCHS", 8)
    compression, noise, energy = autoencoder_study.autoencoder_studies(dataset, quick=True)
    table = compression.tables["Mean fidelity"].set_index("encoder")
    assert list(table.index) == ["published 5→4", *(f"entangling 5→{k}" for k in (4, 3, 2, 1))]
    assert (table["test"] <= table["spectral bound"] + 1e-12).all()
    assert (table["linear autoencoder"] <= table["spectral bound"] + 1e-12).all()
    # eight passes do not reach the optimum: every encoder is below the linear one, and the page must say so
    assert (table["test"] < table["linear autoencoder"]).all()
    text = " ".join(compression.paragraphs)
    assert "5 of 5 quantum encoders are below the linear autoencoder" in text
    assert "θ3, θ4, θ5, θ12, θ13, θ14" in text
    distinct = len(np.unique(qperov.PXRDFeaturizer("autoencoder").fit_transform(dataset.structures).round(6), axis=0))
    assert f"{len(dataset)} crystals have only {distinct} distinct vectors" in text
    assert len(noise.tables["Loss on the test crystals"]) == 14
    assert energy.paragraphs == ("Skipped in a quick run.",)
    record = read_record(write(tmp_path / "run", compression, noise, energy))
    page = build_report(record).read_text(encoding="utf-8")
    assert f"{table.loc['entangling 5→2', 'test']:.5f}" in page
    assert f"<h2>{compression.title}</h2>" in page
    assert noise.title in page, "folded under the first of its kind"
    assert f"<h2>{energy.title}</h2>" not in page, "no section of what there is not"
    assert f"<li>{energy.title}: Skipped in a quick run.</li>" in page


def test_no_class_and_no_vector_is_on_both_sides(
    dataset: qperov.datasets.CrystalDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, np.ndarray] = {}

    def spy(X_train: np.ndarray, X_test: np.ndarray, *labels: np.ndarray, **_: object) -> None:
        seen.update(train=X_train, test=X_test)
        raise InterruptedError

    monkeypatch.setattr(autoencoder_study, "autoencoder_findings", spy)
    with pytest.raises(InterruptedError):
        autoencoder_study.autoencoder_studies(dataset)
    vectors = np.vstack([seen["train"], seen["test"]])
    side = np.repeat([0, 1], [len(seen["train"]), len(seen["test"])])
    twins = honest_groups(np.arange(len(vectors)), [vectors])
    assert not set(twins[side == 0]) & set(twins[side == 1])


def test_without_torch_one_sentence_says_what_to_install(
    dataset: qperov.datasets.CrystalDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoencoder_study, "find_spec", lambda name: None)
    monkeypatch.setattr(autoencoder_study, "EPOCHS", 2)
    energy = autoencoder_study.autoencoder_studies(dataset)[-1]
    assert energy.paragraphs == ("Skipped: this needs torch (pip install 'qperov[torch]').",)


def test_too_few_distinct_vectors_give_a_reason_and_no_numbers() -> None:
    (study,) = autoencoder_study.autoencoder_studies(qperov.load_dataset("cpx321").take(range(4)))
    assert study.paragraphs[0].startswith("Skipped: the crystals' vectors fall into")
    assert not study.tables
    assert not study.charts
