"""The command line on small data: what a user types, reads, and is told when something is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import qperov
from qperov.commands import main as cli
from qperov.evaluation import folds
from qperov.records.runs import UNFINISHED

run = CliRunner()


@pytest.fixture
def crystals(tmp_path: Path) -> Path:
    """A folder of 24 POSCARs with a table of labels, one label missing and one file corrupt."""
    dataset = qperov.load_dataset("cpx321").take(range(0, 960, 40))
    folder = tmp_path / "crystals"
    rows = ["id,gap"]
    for i, structure in enumerate(dataset.structures):
        (folder / f"c{i}").mkdir(parents=True)
        structure.to(filename=str(folder / f"c{i}" / "POSCAR"), fmt="poscar")
        rows.append(f"c{i},{dataset.y[i] + 3050 if i else ''}")
    (folder / "broken").mkdir()
    (folder / "broken" / "POSCAR").write_bytes(bytes(range(256)))
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


def call(*arguments: object, code: int = 0) -> str:
    result = run.invoke(cli.app, [str(a) for a in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def test_version_is_printed() -> None:
    assert call("--version").strip() == qperov.__version__


@pytest.mark.slow
def test_compare_lists_what_is_left_out_and_writes_report(
    crystals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["qperov", "compare", "crystals"])
    options = ["--labels", crystals / "labels.csv", "--target", "gap", "--folds", 3, "--quick", "--jobs", 1]
    output = call("compare", crystals, *options, "--runs", tmp_path / "runs")
    assert "(FileFormatError)" in output
    assert "(InvalidLabelError)" in output
    assert "23 labelled crystals" in output
    run_directory = tmp_path / "runs" / "crystals-1"
    assert (run_directory / "report.html").exists()
    assert len((run_directory / "left_out.csv").read_text().splitlines()) == 3
    record = qperov.records.read_record(run_directory)
    assert record.command == "qperov compare crystals"
    assert set(record.comparison.table["family"]) == {"baseline", "classical", "quantum", "reference"}
    assert [study.kind for study in record.studies] == ["crystal"]
    page = (run_directory / "report.html").read_bytes()
    assert f"report: {run_directory / 'report.html'}" in call("report", run_directory).replace("\n", "")
    assert (run_directory / "report.html").read_bytes() == page


@pytest.mark.slow
def test_demo_has_sections_on_second_task_and_autoencoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"cpx321": qperov.load_dataset("cpx321").take(range(0, 960, 40))}
    small["cpx222"] = qperov.load_dataset("cpx222").take(range(0, 440, 20))
    monkeypatch.setattr(qperov, "load_dataset", small.__getitem__)
    monkeypatch.setattr("qperov.studies.autoencoder.QUICK_EPOCHS", 3)
    monkeypatch.setattr(cli, "QUICK_STEP", 1)
    call("demo", "--quick", "--folds", 2, "--jobs", 1, "--runs", tmp_path)
    record = qperov.records.read_record(tmp_path / "demo-1")
    assert record.task["studies"] == ["second_task", "kernels", "surrogates", "noise", "autoencoder"]
    autoencoder = [study for study in record.studies if study.title.startswith("Quantum autoencoder")]
    assert len(autoencoder) == 3
    assert [study.title for study in record.studies[:3]] == [
        "One crystal",
        "A second task: cpx222, mixing energy",
        "Is there anything quantum in it?",
    ]
    page = (tmp_path / "demo-1" / "report.html").read_text(encoding="utf-8")
    fidelity = autoencoder[0].tables["Mean fidelity"]["test"].iloc[0]
    assert f"<td>{fidelity:.5f}</td>" in page
    assert "Quantum autoencoder: noise" in page


def test_unknown_descriptor_is_refused_by_its_option() -> None:
    output = " ".join(call("compare", "abx3", "--descriptors", "palm", code=2).split())
    assert "--descriptors" in output
    assert "profile" in output, "those that there are"


@pytest.mark.parametrize("command", [["demo"], ["compare", "cpx321"]])
def test_unknown_study_is_refused_before_computing(command: list[str]) -> None:
    output = call(*command, "--studies", "autoencoder,palm reading", code=2)
    assert "kernels, surrogates, noise, autoencoder, learning_curve" in " ".join(output.split())


@pytest.mark.slow
def test_a_run_that_was_stopped_takes_its_finished_folds_along(
    crystals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["compare", crystals, "--labels", crystals / "labels.csv", "--target", "gap", "--quick"]
    arguments += ["--folds", 2, "--jobs", 1, "--runs", tmp_path]

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(qperov.records, "write_record", stop)
        call(*arguments, code=130)
    kept = len(list((tmp_path / UNFINISHED).glob("*/*.json")))
    assert kept > 20
    fitted: list[str] = []
    original = folds._fit_and_predict
    monkeypatch.setattr(folds, "_fit_and_predict", lambda *task: fitted.append(task[0]) or original(*task))
    call(*arguments)
    assert fitted == []
    assert not (tmp_path / UNFINISHED).exists()


def test_describe_tells_compositions_classes_and_ceilings(crystals: Path) -> None:
    output = call("describe", crystals, "--labels", crystals / "labels.csv", "--target", "gap")
    assert "23 crystals, 23 symmetry classes, lattices: 1" in output
    assert "CsPbIBr2 (23)" in output
    assert "pair correlations: 17 columns" in output


def test_describe_says_where_embedded_labels_come_from() -> None:
    output = call("data", "info", "cpx321")
    assert "986 crystals, 986 symmetry classes" in output
    assert "PBE energies through a cluster expansion, out-of-fold error" in output
    assert "564 distinct" in output


def test_import_twice_adds_nothing_and_export_writes_a_table(crystals: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    options = ["--labels", crystals / "labels.csv", "--target", "gap", "--store", store]
    assert "23 new structures, 23 new labels" in call("data", "import", crystals, *options)
    assert "0 new structures, 0 new labels" in call("data", "import", crystals, *options)
    assert "crystals" in call("data", "list", "--store", store)
    assert "23 crystals, 23 symmetry classes" in call("describe", "crystals", "--store", store)
    call("data", "export", "crystals", tmp_path / "out.csv", "--store", store)
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 24


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "no-such-folder"], "no-such-folder"),
        (["report", "no-such-run"], "no-such-run"),
        (["data", "info", "no-such-dataset"], "no embedded dataset"),
        (["compare", "cpx321", "--rope", "wide"], "--rope: the region of practical equivalence"),
        (["demo", "--rope", "-5%"], "--rope: the region of practical equivalence"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["qperov", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert message in lines[0]


@pytest.mark.parametrize("repeats", [0, 11])
def test_repeats_are_one_to_ten(repeats: int) -> None:
    assert "--repeats" in call("compare", "cpx321", "--repeats", repeats, code=2)


def test_strict_stops_at_the_first_problem(crystals: Path) -> None:
    options = ["--labels", crystals / "labels.csv", "--target", "gap", "--strict"]
    result = run.invoke(cli.app, ["describe", str(crystals), *map(str, options)])
    assert isinstance(result.exception, qperov.errors.QperovError)
    assert "reading is strict" in str(result.exception)


def test_table_without_target_is_refused_with_option_to_give(crystals: Path) -> None:
    output = call("compare", crystals, "--labels", crystals / "labels.csv", code=2)
    assert "--target" in output


def test_energies_are_shown_in_mev_per_atom(tmp_path: Path) -> None:
    dataset = qperov.load_dataset("cpx321").take(range(4))
    energies = "\n".join(f"c{i},{e * 30 / 1000!r}" for i, e in enumerate(np.asarray(dataset.y).tolist()))
    (tmp_path / "labels.csv").write_text("id,e_ev_per_cell\n" + energies + "\n")
    for i, structure in enumerate(dataset.structures):
        structure.to(filename=str(tmp_path / f"c{i}.vasp"), fmt="poscar")
    output = call("describe", tmp_path, "--labels", tmp_path / "labels.csv", "--target", "e_ev_per_cell")
    assert f"[meV/atom]: mean {dataset.y.mean():.6g}" in output
