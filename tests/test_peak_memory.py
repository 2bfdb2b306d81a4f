"""Peak memory: what an array takes, nothing where nothing is taken, and NaN where the system does not tell."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from qperov.evaluation import peak_memory as module
from qperov.evaluation.peak_memory import peak_memory

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the system does not tell")


@linux
@pytest.mark.parametrize("megabytes", [100, 300])
def test_an_array_that_is_gone_is_counted(megabytes: int) -> None:
    with peak_memory() as memory:
        assert np.ones(megabytes * 1_000_000 // 8).sum() > 0
    assert memory.megabytes == pytest.approx(megabytes, rel=0.1)


@linux
def test_what_was_there_before_is_not_counted() -> None:
    before = np.ones(25_000_000)
    with peak_memory() as memory:
        assert before.sum() > 0
    assert memory.megabytes < 20


def test_nan_where_the_system_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLEAR", tmp_path / "no" / "such")
    with peak_memory() as memory:
        assert math.isnan(memory.megabytes)
    assert math.isnan(memory.megabytes)
