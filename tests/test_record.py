"""Records come back bit by bit, are never overwritten, never half there, and tell when they were touched."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_comparison import DATASET, TASK, synthetic_comparison

from qperov.errors import RecordError, UnfinishedRunError, UnreadableFileError
from qperov.evaluation.results import Comparison
from qperov.records.record import FRAMES, read_record, slug
from qperov.records.writing import write_record

COMPARISON = synthetic_comparison()


def write(path: Path, comparison: Comparison = COMPARISON, **changes: dict) -> Path:
    return write_record(path, comparison, task=changes.get("task", TASK), dataset=changes.get("dataset", DATASET)).path


def assert_same(a: Comparison, b: Comparison) -> None:
    for name in (*FRAMES, "predictions"):
        pd.testing.assert_frame_equal(getattr(a, name), getattr(b, name), check_exact=True)
    assert a.label == b.label
    assert a.settings == b.settings
    assert a.warnings == b.warnings
    assert a.ids == b.ids
    assert a.y.tobytes() == b.y.tobytes()
    assert list(a.features) == list(b.features)
    for name, matrix in a.features.items():
        assert b.features[name].dtype == np.float64
        assert np.ascontiguousarray(matrix).tobytes() == b.features[name].tobytes()


def test_a_comparison_comes_back_bit_by_bit(tmp_path: Path) -> None:
    written = write_record(tmp_path / "run", COMPARISON, task=TASK, dataset=DATASET)
    record = read_record(tmp_path / "run")
    assert_same(COMPARISON, record.comparison)
    assert_same(written.comparison, record.comparison)
    assert COMPARISON.table["ceiling_r2"].isna().any(), "the case must hold a NaN"
    assert record.command == TASK["command"]
    assert record.task == TASK
    assert record.dataset == DATASET
    assert record.created.endswith("+00:00")
    assert record.versions["numpy"] == np.__version__


def test_directory_names_no_machine(tmp_path: Path) -> None:
    path = write(tmp_path / "run")
    files = {str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()}
    assert files == {
        "record.json",
        "left_out.csv",
        "table.csv",
        "labels.parquet",
        "predictions.parquet",
        "descriptors/powder-pattern.parquet",
        "descriptors/pair-correlations.parquet",
    }
    text = (path / "record.json").read_text()
    assert str(tmp_path) not in text
    assert set(json.loads(text)["platform"]) == {"system", "machine", "cpus"}
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert [p.name for p in tmp_path.iterdir()] == ["run"], "no temporary directory is left"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.floats(width=64), min_size=1, max_size=6),
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), min_size=1, max_size=6),
    setting=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    ),
)
def test_any_float_and_text_survives(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], texts: list[str], setting: object
) -> None:
    n = min(len(values), len(texts))
    frame = pd.DataFrame({"model": texts[:n], "mae": np.array(values[:n])})
    features = {"f": np.array(values)[:, None]}
    case = replace(
        COMPARISON,
        table=frame,
        y=np.array(values),
        ids=tuple(f"{i}" for i in range(len(values))),
        features=features,
        settings={"setting": setting},
    )
    record = read_record(write(tmp_path_factory.mktemp("any") / "run", case))
    back = record.comparison
    pd.testing.assert_frame_equal(back.table, frame, check_exact=True)
    np.testing.assert_array_equal(back.y, values)
    np.testing.assert_array_equal(np.signbit(back.y), np.signbit(values))
    np.testing.assert_array_equal(back.features["f"], features["f"])
    assert back.settings == {"setting": setting}


def test_records_of_0_1_tell_models_from_descriptors(tmp_path: Path) -> None:
    old = replace(COMPARISON, table=COMPARISON.table.drop(columns=["name", "role"]))
    table = read_record(write(tmp_path / "run", old)).comparison.table
    assert table["name"].tolist() == COMPARISON.table["name"].tolist()


def test_nan_in_settings_and_integers_and_missing_text_survive(tmp_path: Path) -> None:
    table = COMPARISON.table.assign(flag=True, count=np.arange(len(COMPARISON.table), dtype=np.int32), note=None)
    case = replace(COMPARISON, table=table, settings={"nan": math.nan, "inf": -math.inf, "np": np.float64(0.1)})
    back = read_record(write(tmp_path / "run", case)).comparison
    pd.testing.assert_frame_equal(back.table, table, check_exact=True)
    assert math.isnan(back.settings["nan"])
    assert back.settings["inf"] == -math.inf
    assert back.settings["np"] == 0.1


def test_file_names_that_are_no_unicode_are_escaped(tmp_path: Path) -> None:
    bad = os.fsdecode(b"run_\xff")
    predictions = COMPARISON.predictions.copy()
    predictions["id"] = predictions["id"].astype(object).where(predictions["id"] != COMPARISON.ids[0], bad)
    case = replace(COMPARISON, ids=(bad, *COMPARISON.ids[1:]), predictions=predictions)
    back = read_record(write(tmp_path / "run", case, dataset={"name": bad})).comparison
    assert back.ids[0] == "run_\\udcff"
    assert set(back.predictions["id"]) == set(back.ids)


def test_issues_are_counted_by_kind_and_cut_to_fifty(tmp_path: Path) -> None:
    issues = [UnfinishedRunError(f"run_{i}", "did not end") for i in range(60)] + [UnreadableFileError("x", "no")]
    dataset = read_record(write(tmp_path / "run", dataset={"name": "d", "issues": issues})).dataset
    assert dataset["left_out"] == {"UnfinishedRunError": 60, "UnreadableFileError": 1}
    assert len(dataset["issues"]) == 50
    assert dataset["issues"][0] == "run_0: did not end"


def test_descriptors_with_like_names_get_their_own_files(tmp_path: Path) -> None:
    X = np.arange(240.0).reshape(120, 2)
    names = ("|F|² pairs", "F pairs", "../../f pairs", "漢字")
    case = replace(COMPARISON, features={name: X + k for k, name in enumerate(names)})
    path = write(tmp_path / "run", case)
    back = read_record(path).comparison.features
    assert {name: float(matrix[0, 0]) for name, matrix in back.items()} == {name: k for k, name in enumerate(names)}
    assert len(list((path / "descriptors").iterdir())) == 4


@given(st.text(max_size=100))
def test_slugs_are_safe_file_names(name: str) -> None:
    text = slug(name)
    assert text
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert slug(name, taken=[f"{text}.parquet"]) == f"{text}-2"


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["record", "empty directory", "file", "dangling link"])
def test_nothing_is_overwritten(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "run"
    if kind == "record":
        write(target)
    elif kind == "empty directory":
        target.mkdir()
    elif kind == "file":
        target.write_text("mine")
    else:
        target.symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RecordError, match="choose another directory"):
        write(target)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": {"seed": 0}}, "needs 'command'"),
        ({"task": {**TASK, "model": object()}}, "holds a object"),
        ({"comparison": replace(COMPARISON, ids=COMPARISON.ids[1:])}, "119 ids"),
        ({"comparison": replace(COMPARISON, features={"f": np.empty((120, 0))})}, "d > 0"),
    ],
)
def test_what_cannot_be_recorded_is_refused_and_leaves_nothing(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        write(tmp_path / "run", **change)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("qperov.records.writing.pq.write_table", full)
    with pytest.raises(RecordError, match="No space left"):
        write(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_write_leaves_no_record(tmp_path: Path) -> None:
    script = """
import os, sys
sys.path.insert(0, sys.argv[2])
import qperov.records.writing as record
from synthetic_comparison import DATASET, TASK, synthetic_comparison
comparison = synthetic_comparison(n=40)
write_table = record.pq.write_table
def die_at_predictions(table, where):
    if where.name == "predictions.parquet":
        os.kill(os.getpid(), 9)
    write_table(table, where)
record.pq.write_table = die_at_predictions
record.write_record(sys.argv[1], comparison, task=TASK, dataset=DATASET)
"""
    root = Path(__file__).parents[1]
    arguments = [sys.executable, "-c", script, str(tmp_path / "run"), str(root / "tests")]
    done = subprocess.run(arguments, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, timeout=120, check=False)
    assert done.returncode == -9
    assert not (tmp_path / "run").exists()
    with pytest.raises(RecordError, match=r"no record\.json"):
        read_record(tmp_path / "run")
    assert_same(COMPARISON, read_record(write(tmp_path / "run")).comparison)


# --- damage -------------------------------------------------------------------------------------


def edit(path: Path, old: str, new: str) -> None:
    file = path / "record.json"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: edit(p, '"schema": 1', '"schema": 2'), "schema 2, but this qperov reads 1"),
        (lambda p: edit(p, '"n": 120', '"n": 121'), "changed after it was written"),
        (lambda p: edit(p, '"n": 120', '"n": 1e400'), "changed after it was written"),
        (lambda p: (p / "record.json").write_text('{"schema": 1, "cut'), "not valid JSON"),
        (lambda p: (p / "record.json").write_text("[1, 2]"), "schema None"),
        (lambda p: (p / "record.json").write_text("[" * 100_000), "not valid JSON"),
        (lambda p: (p / "record.json").write_bytes(b"\xff\xfe\x00"), "not valid JSON"),
        (lambda p: (p / "record.json").unlink(), "no record.json here"),
        (lambda p: (p / "predictions.parquet").unlink(), "predictions.parquet is missing"),
        (lambda p: (p / "descriptors/powder-pattern.parquet").write_bytes(b"PAR1"), "was changed after"),
    ],
)
def test_damage_is_named(tmp_path: Path, damage: object, message: str) -> None:
    path = write(tmp_path / "run")
    damage(path)  # type: ignore[operator]
    with pytest.raises(RecordError, match=message):
        read_record(path)


@pytest.mark.parametrize("part", ["files", "comparison", "task", "features", "command"])
def test_a_forged_record_without_a_part_is_refused(tmp_path: Path, part: str) -> None:
    from qperov.storage.checked_folder import digest

    path = write(tmp_path / "run")
    body = json.loads((path / "record.json").read_text())
    del body[part], body["digest"]
    (path / "record.json").write_text(json.dumps({**body, "digest": digest(body)}))
    with pytest.raises(RecordError, match=f"lacks or garbles a part.*{part}"):
        read_record(path)


def test_a_forged_record_cannot_point_outside(tmp_path: Path) -> None:
    from qperov.storage.checked_folder import digest

    path = write(tmp_path / "run")
    (tmp_path / "secret.parquet").write_bytes((path / "labels.parquet").read_bytes())
    body = json.loads((path / "record.json").read_text())
    body["features"][0]["file"] = "../secret.parquet"
    body["files"]["../secret.parquet"] = body["files"]["labels.parquet"]
    (path / "record.json").write_text(json.dumps({**body, "digest": digest(body)}))
    with pytest.raises(RecordError, match="no part of a record"):
        read_record(path)
