"""Kernel matrices and compositions in records: what comes back, what is refused, what old records have."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_comparison import DATASET, TASK, synthetic_comparison

from qperov.errors import RecordError
from qperov.records.record import Record, read_record, spaced_rows
from qperov.records.writing import write_record
from qperov.storage.checked_folder import digest
from qperov.storage.plain_values import symmetric, upper_triangle

COMPARISON = synthetic_comparison(n=40)
VECTORS = np.random.default_rng(0).normal(size=(40, 5))
K = np.exp(-0.1 * ((VECTORS[:, None] - VECTORS) ** 2).sum(axis=2))
FORMULAS = [f"CsPb(Br{i}I)3" for i in range(40)]


def write(path: Path, kernels: dict[str, np.ndarray] | None = None, formulas: list[str] = FORMULAS) -> Record:
    kernels = {"QSVR · |F|²": K} if kernels is None else kernels
    return write_record(path, COMPARISON, task=TASK, dataset=DATASET, kernels=kernels, compositions=formulas)


def test_kernels_come_back_as_float32(tmp_path: Path) -> None:
    written, read = write(tmp_path / "run"), read_record(tmp_path / "run")
    for record in (written, read):
        assert list(record.kernels) == ["QSVR · |F|²"]
        np.testing.assert_array_equal(record.kernels["QSVR · |F|²"], K.astype(np.float32))
        assert record.compositions == tuple(FORMULAS)
    table = pq.read_table(tmp_path / "run/kernels/qsvr-f.parquet")
    assert (table.num_rows, str(table.schema.field("k").type)) == (820, "float")


@settings(max_examples=20, deadline=None)
@given(m=st.integers(1, 12), seed=st.integers(0, 99))
def test_a_triangle_is_the_whole_matrix(m: int, seed: int) -> None:
    matrix = np.random.default_rng(seed).normal(size=(m, m))
    matrix = (matrix + matrix.T).astype(np.float32).astype(float)
    np.testing.assert_array_equal(symmetric(upper_triangle(matrix, "k")), matrix)


@pytest.mark.parametrize("length", [2, 4, 5, 819])
def test_what_is_no_triangle_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="no square matrix"):
        symmetric(np.zeros(length))


def test_kernels_of_some_crystals_and_like_names_are_kept(tmp_path: Path) -> None:
    kernels = {"k": K[:7, :7], "K": K[:1, :1], "../k": K}
    read = write(tmp_path / "run", kernels, []).kernels
    assert {name: len(matrix) for name, matrix in read.items()} == {"k": 7, "K": 1, "../k": 40}
    assert len(list((tmp_path / "run/kernels").iterdir())) == 3


@given(n=st.integers(0, 500), m=st.integers(0, 500))
def test_evenly_spaced_rows_are_spread_over_all(n: int, m: int) -> None:
    rows = spaced_rows(n, m)
    assert len(rows) == min(n, m)
    if len(rows) > 1:
        steps = np.diff(rows)
        assert 1 <= steps.min() <= steps.max() <= steps.min() + 1
    assert all(0 <= row < n for row in rows)


def test_a_record_without_kernels_has_none(tmp_path: Path) -> None:
    record = write_record(tmp_path / "run", COMPARISON, task=TASK, dataset=DATASET)
    assert (record.kernels, record.compositions) == ({}, ())
    assert not (tmp_path / "run/kernels").exists()


def test_a_record_from_before_there_were_kernels_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "run", {}, []).path
    body = json.loads((path / "record.json").read_text())
    del body["kernels"], body["digest"]
    (path / "record.json").write_text(json.dumps({**body, "digest": digest(body)}))
    assert read_record(path).kernels == {}


@pytest.mark.parametrize(
    ("kernels", "message"),
    [
        ({"k": K[:5]}, r"the shape \(m, m\)"),
        ({"k": np.ones(5)}, r"the shape \(m, m\)"),
        ({"k": np.empty((0, 0))}, "0 rows: 1 to 40"),
        ({"k": np.eye(41)}, "41 rows: 1 to 40"),
        ({"k": np.triu(K)}, "not symmetric"),
        ({"k": np.where(K == 1, np.nan, K)}, "NaN"),
    ],
)
def test_what_is_no_kernel_is_refused_and_leaves_nothing(
    tmp_path: Path, kernels: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(RecordError, match=f"kernel 'k'.*{message}"):
        write(tmp_path / "run", kernels)
    assert list(tmp_path.iterdir()) == []


def test_compositions_of_other_crystals_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="40 ids, but 39 compositions"):
        write(tmp_path / "run", formulas=FORMULAS[1:])


def test_a_kernel_that_was_touched_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "run").path / "kernels/qsvr-f.parquet"
    table = pq.read_table(path)
    values = table["k"].to_numpy().copy()
    values[3] += 1e-6
    pq.write_table(table.set_column(0, "k", [values]), path)
    with pytest.raises(RecordError, match=r"kernels/qsvr-f\.parquet was changed after"):
        read_record(tmp_path / "run")
    path.unlink()
    with pytest.raises(RecordError, match=r"kernels/qsvr-f\.parquet is missing"):
        read_record(tmp_path / "run")


def test_a_forged_kernel_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "run").path
    body = json.loads((path / "record.json").read_text())
    for file, message in (("labels.parquet", "k"), ("../labels.parquet", "no part of a record")):
        del body["digest"]
        body["kernels"][0]["file"] = file
        body["files"].setdefault(file, body["files"]["labels.parquet"])
        body["digest"] = digest(body)
        (path / "record.json").write_text(json.dumps(body))
        with pytest.raises(RecordError, match=message):
            read_record(path)
