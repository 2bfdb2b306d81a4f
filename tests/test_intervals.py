"""Intervals of shares and of their differences on the bench, against published ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qperov.generative.bench.comparison import newcombe
from qperov.generative.bench.criteria import Sheet
from qperov.generative.bench.verdict import Verdict

#: Count, total, limits: Newcombe, Stat. Med. 17, 857 (1998), Table I, method 3.
SINGLE = [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
#: Counts and totals, limits: Newcombe, Stat. Med. 17, 873 (1998), Table II, method 10.
DIFFERENCE = [
    (56, 70, 48, 80, 0.0524, 0.3339),
    (9, 10, 3, 10, 0.1705, 0.8090),
    (6, 7, 2, 7, 0.0582, 0.8062),
    (5, 56, 0, 29, -0.0381, 0.1926),
    (0, 10, 0, 20, -0.1611, 0.2775),
    (10, 10, 0, 20, 0.6791, 1.0),
]


@pytest.mark.parametrize(("count", "total", "low", "high"), SINGLE)
def test_published_shares(count: int, total: int, low: float, high: float) -> None:
    sheet = Sheet(total)
    for index in range(count):
        sheet.note(index, "valid", Verdict(True))
    row = sheet.table(["valid"]).iloc[0]
    assert row["share"] == count / total
    assert (row["low"], row["high"]) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("a", "n", "b", "m", "low", "high"), DIFFERENCE)
def test_published_differences(a: int, n: int, b: int, m: int, low: float, high: float) -> None:
    assert newcombe(a, n, b, m) == pytest.approx((a / n - b / m, low, high), abs=5e-5)


@given(st.integers(1, 500), st.data())
def test_difference_lies_in_its_interval_and_mirrors(total: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, total))
    difference, low, high = newcombe(count, total, total // 2, total)
    _, low_back, high_back = newcombe(total // 2, total, count, total)
    assert (low, high) == pytest.approx((-high_back, -low_back))
    assert -1 <= low <= difference <= high <= 1
