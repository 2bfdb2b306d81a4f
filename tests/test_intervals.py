from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from qperov.evaluation.shares import newcombe, wilson

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
    found = wilson(count, total)
    assert found.value == count / total
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("a", "n", "b", "m", "low", "high"), DIFFERENCE)
def test_published_differences(a: int, n: int, b: int, m: int, low: float, high: float) -> None:
    found = newcombe(a, n, b, m)
    assert found.value == pytest.approx(a / n - b / m)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_limits_solve_wilsons_equation() -> None:
    found = wilson(7, 31)
    for limit in (found.low, found.high):
        assert (7 / 31 - limit) ** 2 == pytest.approx(1.959963984540054**2 * limit * (1 - limit) / 31)


def test_interval_covers_as_often_as_it_says() -> None:
    chances = binom.pmf(range(41), 40, 0.3)
    covered = sum(chances[k] for k in range(41) if wilson(k, 40).low <= 0.3 <= wilson(k, 40).high)
    assert 0.93 < covered < 0.97


@given(st.integers(1, 500), st.data())
def test_share_lies_in_its_interval_and_mirrors(total: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, total))
    found, mirrored = wilson(count, total), wilson(total - count, total)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert (1 - found.high, 1 - found.low) == pytest.approx((mirrored.low, mirrored.high))
    against = newcombe(count, total, total // 2, total)
    back = newcombe(total // 2, total, count, total)
    assert (against.low, against.high) == pytest.approx((-back.high, -back.low))
    assert -1 <= against.low <= against.value <= against.high <= 1


@pytest.mark.parametrize(
    ("count", "total", "level"), [(1, 0, 0.95), (0, 0, 0.95), (-1, 5, 0.95), (6, 5, 0.95), (1, 5, 1)]
)
def test_no_share(count: int, total: int, level: float) -> None:
    with pytest.raises(ValueError, match=r"is no share|the level must lie"):
        wilson(count, total, level)
