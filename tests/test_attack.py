"""The quick part of the attack: no loss in silence, no traceback, under the stated limits."""

from __future__ import annotations

import pytest
from attack.__main__ import attack, jobs
from attack.crafted import CASES
from attack.kills import FAULTS, compared, kill
from attack.targets import TARGETS

#: Crafted cases that unpack a GiB take seconds each; the whole attack has them.
LARGE = ("GiB of newlines", "GiB of zeros", "1.2 GB")


def test_a_tenth_of_the_attack() -> None:
    small = [f"crafted {i}" for i, case in enumerate(CASES) if not any(words in case[0] for words in LARGE)]
    found = list(attack([*jobs(150)[:150], *small]))
    assert len(found) == 150 + len(small)
    assert [row for row in found if row["verdict"] not in ("same", "said", "unknowable")] == []
    said = sum(row["verdict"] == "said" for row in found)
    assert said > 100, "most damage is seen"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["data import", "write_gram"])
def test_kills_leave_what_an_undisturbed_run_leaves(name: str) -> None:
    rows = list(kill(name, TARGETS[name], 6))
    assert sum(row["kills"] for row in rows) >= 6, "two at once may be one more"
    assert not any(row[fault] for row in rows for fault in FAULTS), rows


def test_loss_doubling_and_difference_are_counted() -> None:
    expected = {"task": [[["a", [1.0, 2.0]], ["b", 2]]], "other": [[["a", 1]]]}
    assert compared(expected, expected) == {"lost": 0, "doubled": 0, "different": 0}
    found = {"task": [[["a", [1.0, 2.0 + 1e-13]]], [["a", [1.0, 2.0]], ["b", 2], ["b", 3]]]}
    assert compared(found, expected, 1e-12) == {"lost": 2, "doubled": 1, "different": 1}
    assert compared(found, expected) == {"lost": 2, "doubled": 1, "different": 2}
    assert compared({**expected, "third": [[]]}, expected) == {"lost": 0, "doubled": 0, "different": 1}
