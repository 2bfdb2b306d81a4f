"""Progress: callbacks are told, bars appear where someone looks, scripts are silent."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from qperov.evaluation.comparison import compare
from qperov.evaluation.progress import bar, callback_or_bar, progress_bar

X = np.arange(24.0).reshape(12, 2)


def ridge(**arguments: object) -> None:
    compare({"ridge": Ridge()}, X, X[:, 0], folds=2, n_bootstrap=10, **arguments)


def test_scripts_are_silent_and_prompts_show_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ridge()
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    ridge(progress=False)
    assert capsys.readouterr() == ("", "")
    for asked in ({}, {"progress": True}):
        ridge(**asked)
        out, err = capsys.readouterr()
        assert out == ""
        assert "6/6" in err


def test_callbacks_are_told_and_nothing_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    told: list[tuple[int, int | None, str]] = []
    ridge(progress=lambda *step: told.append(step))
    assert [step[:2] for step in told] == [(k, 6) for k in range(1, 7)]
    assert told[-1][2] == "ridge"
    assert capsys.readouterr() == ("", "")


def test_interrupted_work_says_how_far_it_came() -> None:
    def interrupted() -> None:
        with bar("Reading", only_on_terminal=True) as advance:
            advance(3, 8, "POSCAR")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        interrupted()
    assert caught.value.__notes__ == ["Reading: 3 of 8 done"]


def test_training_shows_its_loss(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(2, True) as advance:
        advance(0.5)
        advance(0.25)
    err = capsys.readouterr().err
    assert "loss 2.500e-01" in err
    assert "2/2" in err
    with progress_bar(2, False) as advance:
        advance(0.5)
    assert capsys.readouterr().err == ""


def test_a_notebook_without_widgets_shows_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """rich asks for ipywidgets there, as a warning, which is an error in this suite."""
    import rich.console

    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr("qperov.evaluation.progress.find_spec", lambda name: None)
    with callback_or_bar(True, "Fitting") as told:
        assert told is not None
        told(1, 2, "SVR")
    assert "1/2" in capsys.readouterr().err
