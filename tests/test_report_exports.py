"""metrics.json holds every number of a record to its last bit; table.tex is LaTeX whatever the names of the models."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from synthetic_comparison import DATASET, TASK, synthetic_comparison

from qperov.evaluation.results import METRICS, Comparison
from qperov.records.record import Record
from qperov.records.study import Study
from qperov.records.writing import write_record
from qperov.reports.exports import metrics, write_exports
from qperov.reports.latex import escape, latex_table

COMPARISON = synthetic_comparison(n=60, repeats=1)
NUMBERS = pd.DataFrame({"x": [0.1, math.nan], "name": ["a", "b"]})
STUDY = Study("A study", ("One sentence.",), tables={"Numbers": NUMBERS})
#: Every command that table.tex may use: LaTeX without packages, and booktabs' three rules; in text, and in formulas.
IN_TEXT = {
    "begin", "end", "centering", "footnotesize", "scriptsize", "caption", "label", "multicolumn", "textit", "toprule",
    "midrule", "bottomrule", "textbackslash", "textasciicircum", "textasciitilde", "textless", "textgreater",
    "textbar", "textperiodcentered", "char", "textellipsis", "textendash", "textemdash", "textquoteleft",
    "textquoteright", "textquotedblleft", "textquotedblright", "i", "ss", "o", "O", "l", "L", "ae", "AE", "oe", "OE",
    "v", "u", "H", "c", "r",
}  # fmt: skip
IN_MATH = {
    "hbar", "times", "pm", "leq", "geq", "approx", "surd", "infty", "to", "circ", "alpha", "beta", "gamma", "delta",
    "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta", "iota", "kappa", "lambda", "mu", "nu", "xi", "pi",
    "rho", "sigma", "tau", "upsilon", "phi", "varphi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda",
    "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega",
}  # fmt: skip


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    path = tmp_path_factory.mktemp("exports") / "run"
    record = write_record(path, COMPARISON, task=TASK, dataset=DATASET, studies=[STUDY])
    write_exports(record)
    return record


@pytest.fixture(scope="module")
def body(record: Record) -> dict:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads((record.path / "metrics.json").read_text(encoding="utf-8"), parse_constant=refuse)


# --- metrics.json -------------------------------------------------------------------------------


def test_every_score_of_every_model_is_there_to_the_last_bit(body: dict) -> None:
    table = COMPARISON.table
    assert [model["model"] for model in body["models"]] == table["model"].tolist()
    for model, (_, row) in zip(body["models"], table.iterrows(), strict=True):
        assert set(model["scores"]) == set(METRICS) == set(body["metrics"])
        for name, score in model["scores"].items():
            found = [math.nan if score[part] is None else score[part] for part in ("value", "low", "high")]
            np.testing.assert_array_equal(found, [row[name], row[f"{name}_low"], row[f"{name}_high"]])
        folds = COMPARISON.folds[COMPARISON.folds["model"] == model["model"]]
        assert [fold["mae"] for fold in model["folds"]] == folds["mae"].tolist()
        assert model["seconds"] == row["seconds"]
        assert model["memory_mb"] is None
    assert body["models"][0]["scores"]["spearman"]["value"] is None or not math.isnan(table["spearman"].iloc[0])
    assert body["models"][0]["descriptor"] is None


def test_tests_baselines_and_the_noise_floor_are_there(body: dict) -> None:
    pairs = pd.DataFrame(body["significance"])
    for name in ("model_a", "model_b", "delta_mae", "low", "high", "t", "p", "p_holm"):
        assert pairs[name].tolist() == COMPARISON.significance[name].tolist()
    assert pairs["significant"].tolist() == (COMPARISON.significance["p_holm"] < 0.05).tolist()
    assert set(pairs["verdict"]) <= {"not distinguishable", "first is better", "second is better"}
    assert pairs["rope"].isna().all(), "records of that age have none"
    table = COMPARISON.table.set_index("model")
    assert body["baselines"] == table.loc[["mean", "median"], "mae"].sort_values().index.tolist()
    assert body["label"]["noise"] == COMPARISON.label["noise"]
    assert body["settings"] == COMPARISON.settings
    assert body["task"] == TASK
    assert body["dataset"] == {"name": "synthetic", "fingerprint": "0" * 64, "n": 60, "left_out": DATASET["left_out"]}
    assert body["parameters"][0]["parameters"]["bandwidth"] == 0.1, "an object, not text"


def test_studies_are_there_and_what_is_undefined_is_null(body: dict) -> None:
    (study,) = body["studies"]
    assert study["tables"] == {"Numbers": [{"x": 0.1, "name": "a"}, {"x": None, "name": "b"}]}
    assert study["paragraphs"] == ["One sentence."]


def test_an_infinite_t_is_null(record: Record) -> None:
    significance = COMPARISON.significance.assign(t=math.inf, prob_better=0.5, rope=0.0027)
    infinite = replace(record, comparison=replace(COMPARISON, significance=significance))
    pairs = metrics(infinite)["significance"]
    assert {pair["t"] for pair in pairs} == {None}
    assert {pair["rope"] for pair in pairs} == {0.0027}
    json.dumps(metrics(infinite), allow_nan=False)


def test_the_module_documents_every_key(body: dict) -> None:
    from qperov.reports import exports

    documented = set(re.findall(r"``(\w+)``", exports.__doc__ or ""))
    keys = {key for part in ("models", "significance", "descriptors", "parameters", "studies") for key in body[part][0]}
    keys |= {
        *body,
        *body["dataset"],
        *body["conclusions"],
        *body["conclusions"]["descriptors"][0],
        *body["metrics"]["mae"],
    }
    assert keys - documented == set()


def test_the_same_record_gives_the_same_bytes(record: Record) -> None:
    before = {name: (record.path / name).read_bytes() for name in ("metrics.json", "table.tex")}
    write_exports(record)
    assert before == {name: (record.path / name).read_bytes() for name in before}
    assert not list(record.path.glob(".*"))


# --- table.tex ----------------------------------------------------------------------------------


def checked(source: str) -> list[list[str]]:
    """The rows of a tabular as cells; AssertionError for what LaTeX would stop at."""
    assert source.isascii()
    source = re.sub(r"(?<!\\)%.*", "", source)
    tokens = re.findall(r"\\[a-zA-Z]+|\\.|.", source, flags=re.DOTALL)
    open_braces, in_math = [], False
    for at, token in enumerate(tokens):
        if re.fullmatch(r"\\[a-zA-Z]+", token):
            assert token[1:] in (IN_MATH if in_math else IN_TEXT), token
        elif token == "{":
            open_braces.append(in_math)
        elif token == "}":
            assert open_braces.pop() == in_math, "a brace parts a formula"
        elif token == "$":
            in_math = not in_math
        elif token in ("^", "_"):
            assert in_math, tokens[max(at - 5, 0) : at + 5]
        else:
            assert token != "#", "a parameter outside a macro"
    assert not open_braces
    assert not in_math
    inside = source[source.index(r"\toprule") : source.index(r"\bottomrule")]
    lines = [line for line in re.split(r"\\\\", re.sub(r"\\(?:top|mid)rule", "", inside)) if line.strip()]
    assert not any(line.lstrip().startswith(("[", "*")) for line in lines), "taken for an argument of the row's end"
    return [[cell.strip() for cell in re.split(r"(?<!\\)&", line)] for line in lines]


def test_the_table_has_every_score_with_its_interval_and_unit() -> None:
    source = latex_table(COMPARISON)
    rows = checked(source)
    assert rows[0] == ["Model", "MAE", "RMSE", "$R^2$", r"Spearman $\rho$", "Time"]
    assert rows[1] == ["", "(meV/atom)", "(meV/atom)", "", "", "(s)"]
    assert r"\begin{tabular}{lrrrrr}" in source
    wide = [row for row in rows if len(row) > 1]
    assert {len(row) for row in wide} == {6}
    assert len(wide) == 2 + 2 * len(COMPARISON.table), "two lines a model"
    table = COMPARISON.table.set_index("model")
    line = next(k for k, row in enumerate(rows) if row[0] == "SVR")
    mae = table.loc["SVR · powder pattern", ["mae", "mae_low", "mae_high"]].astype(float)
    places = len(rows[line][1].partition(".")[2])
    assert rows[line][1] == f"{mae.iloc[0]:.{places}f}"
    assert rows[line + 1][1] == rf"{{\scriptsize [{mae.iloc[1]:.{places}f}, {mae.iloc[2]:.{places}f}]}}"
    assert "PBE energies through a cluster expansion" in source


NASTY = r"\input{/etc/passwd} 100 % of $x$ & a_b^c #1 ~{} \\ [2pt] * “µ-κ” Å² 5→4 é ű 中 𝔘 ‘’ <|>"


def test_hostile_names_are_typeset_and_not_obeyed() -> None:
    rename = {"SVR · powder pattern": NASTY, "QSVR · powder pattern": "[2cm] name", "Ridge · powder pattern": "*star"}
    table = COMPARISON.table.replace(rename)
    case = replace(
        COMPARISON,
        table=table.assign(name=table["model"]),
        significance=COMPARISON.significance.replace(rename),
        label={**COMPARISON.label, "name": NASTY, "unit": NASTY, "target": NASTY, "provenance": [NASTY]},
    )
    rows = checked(latex_table(case))
    assert {len(row) for row in rows if len(row) > 1} == {6}
    assert {row[0] for row in rows if row[0].startswith("{}")} == {"{}[2cm] name", "{}*star"}


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
@example(NASTY)
@example("\udcff\x00\x1b\u0301\u200b\n\t--")
def test_any_text_is_escaped(text: str) -> None:
    rows = checked(f"\\toprule {{}}{escape(text)} & {escape(text)} \\\\ \\bottomrule")
    assert len(rows) == 1
    assert len(rows[0]) == 2


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("R² of CsPb(Br₂I)", r"R$^2$ of CsPb(Br$_2$I)"),
        ("Schrödinger, Poličar, Erdős", r"Schr\"odinger, Poli\v{c}ar, Erd\H{o}s"),
        ("−0.5 ± 0.1 Å", r"$-$0.5 $\pm$ 0.1 \r{A}"),
        ("50 % & more_", r"50 \% \& more\_"),
        ("Δρ · µ", r"$\Delta$$\rho$ \textperiodcentered{} $\mu$"),
        ("鉛", "[U+925B]"),
        ("ħω ű Ħ", r"$\hbar$$\omega$ \H{u} [U+0126]"),
    ],
)
def test_what_the_field_writes_looks_as_it_should(text: str, latex: str) -> None:
    assert escape(text) == latex


def test_memory_and_constants_alone_have_tables() -> None:
    with_memory = replace(COMPARISON, table=COMPARISON.table.assign(memory_mb=12.5))
    rows = checked(latex_table(with_memory))
    assert rows[0][-1] == "Memory"
    assert rows[1][-1] == "(MB)"
    assert rows[3][-1] == "12"
    constants: Comparison = replace(COMPARISON, table=COMPARISON.table[COMPARISON.table["kind"] == "baseline"])
    assert len(checked(latex_table(constants))) == 2 + 1 + 4


def test_metrics_of_a_record_without_a_family_column(tmp_path: Path) -> None:
    case = replace(COMPARISON, table=COMPARISON.table.drop(columns="family"), significance=COMPARISON.significance[:0])
    body = metrics(write_record(tmp_path / "run", case, task=TASK, dataset=DATASET))
    assert {model["family"] for model in body["models"]} == {"baseline", "classical"}
    assert body["significance"] == []
