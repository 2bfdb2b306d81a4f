"""The commands, from a table of features to a regression on what was collected."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import qperov
from qperov.commands import main
from qperov.commands.hardware import commands, display
from qperov.commands.hardware.matrices import repairs, score
from qperov.datasets.store import Store
from qperov.errors import (
    AccountError,
    BudgetError,
    HardwareError,
    LabelError,
    MissingDependencyError,
    OptionError,
    ReadingError,
)
from qperov.hardware.jobs.ledger import Ledger
from qperov.hardware.plan import cost
from qperov.hardware.plan.plan_file import read_plan
from qperov.quantum.autoencoder.autoencoder import QuantumAutoencoder

N = 12


APP = commands.app


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table of features and labels, and no account anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "qiskit_ibm_runtime.accounts.management._DEFAULT_ACCOUNT_CONFIG_JSON_FILE", str(tmp_path / "accounts.json")
    )
    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE"):
        monkeypatch.delenv(name, raising=False)
    x = np.random.default_rng(0).normal(size=(N, 2))
    table = pd.DataFrame(x, columns=["a", "b"]).assign(energy=np.sin(x[:, 0]) + 0.5 * x[:, 1])
    table.to_csv("table.csv", index=False)
    np.save("features.npy", x)
    return tmp_path


def call(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(APP, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def fails(error: type[Exception], message: str, *arguments: object) -> None:
    result = CliRunner().invoke(APP, [str(argument) for argument in arguments])
    assert isinstance(result.exception, error), (result.output, result.exception)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)


@pytest.mark.parametrize("machine", ["fake_manila", "fake_fez"])
def test_whole_way_from_plan_to_regression_on_collected_matrix(machine: str) -> None:
    options = ["--backend", machine, "--labels", "energy", "--bandwidth", 0.2, "--diagonal", "--layout-trials", 1]
    output = call("plan", "table.csv", *options, "--budget-seconds", 60)
    assert "fidelity, full matrix 12 × 12, 2 qubits" in output
    assert "78 pairs, 2 PUBs in 1 job, 81,920 executions" in output
    assert "nothing is charged" in output
    assert "QPU" not in output, "a simulator takes no time of a quantum computer"
    assert "Open plan" not in output
    assert "submitted local-" in call("submit", "plan.json")
    assert "done local-" in call("status", "plan.json")
    output = call("collect", "plan.json", "--out", "K.npy", "--repair", "depolarising")
    assert "jobs 1 collected" in output
    lines = {line.split(":")[0].strip(): line for line in output.splitlines() if "R² " in line}
    assert set(lines) == {"raw", "readout", "nearest", "depolarising", "exact", "constant"}
    scores = {name: float(line.partition("R² ")[2].split()[0]) for name, line in lines.items()}
    assert scores["constant"] < 0 < scores["exact"]
    K = np.load("K.npy")
    labels = pd.read_csv("table.csv")["energy"].to_numpy()
    assert scores["depolarising"] == pytest.approx(score(K, labels), abs=1e-3)
    assert np.linalg.eigvalsh(K)[0] > -1e-9
    assert scores["depolarising"] > 0.6
    assert "diagonal 1.0000" in lines["depolarising"]


def test_incomplete_matrix_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cost, "MAX_BINDINGS", 30)
    call("plan", "features.npy", "--backend", "aer", "--out", "p.json", "--layout-trials", 1)
    plan_id = json.loads(Path("p.json").read_text())["plan_id"]
    assert "planned" in call("status", "p.json")
    output = call("collect", "p.json", "--out", "K.csv")
    assert "missing: 132 of 144 entries: (0, 1), (0, 2)" in output
    assert "and 122 more" in output
    assert f"not all was sent: qperov hardware resume {plan_id}" in output
    K = pd.read_csv("K.csv", index_col="id").to_numpy()
    assert np.isnan(K).sum() == 132
    assert "job 3 of 3: submitted" in call("submit", plan_id[:8])
    assert "cancelled" in call("cancel", plan_id)
    assert "job 1 of 3: cancelled" in call("resume", plan_id)
    assert f"qperov hardware resume {plan_id} --failed" in call("collect", plan_id)
    assert "job 1 of 3: submitted" in call("resume", plan_id, "--failed")
    assert "sent 2 times" in call("status", plan_id)
    assert "smallest eigenvalue" in call("collect", plan_id, "--out", "K.parquet")
    assert pd.read_parquet("K.parquet").shape == (N, N)


def test_nystroem_and_projected_matrices_have_their_shapes() -> None:
    np.save("others.npy", np.zeros((3, 2)))
    fast = ["--backend", "aer", "--layout-trials", 1, "--shots", 64]
    for options, shape in (
        (["--landmarks", 4], (N, 4)),
        (["--columns", "others.npy"], (3, N)),
        (["--kernel", "projected"], (N, N)),
        (["--kernel", "projected", "--landmarks", 4], (N, 4)),
    ):
        call("plan", "features.npy", *fast, *options)
        call("submit", "plan.json")
        call("collect", "plan.json", "--out", "K.npy")
        assert np.load("K.npy").shape == shape


def test_a_dataset_by_name_and_an_autoencoder() -> None:
    crystals = qperov.load_dataset("cpx321").take(range(8))
    with Store("qperov.db") as store:
        store.add(replace(crystals, name="eight"))
    output = call("plan", "eight", "--backend", "aer", "--samples", 5, "--components", 3, "--noise", 0.01)
    assert "full matrix 5 × 5, 3 qubits" in output
    samples = read_plan("plan.json").samples
    assert samples is not None
    assert set(samples.ids) < set(crystals.ids)
    assert [samples.ids.index(name) for name in crystals.ids if name in samples.ids] == [0, 1, 2, 3, 4]
    assert samples.origin["fingerprint"] == crystals.fingerprint
    assert samples.labels.tolist() == [crystals.y[crystals.ids.index(name)] for name in samples.ids]
    assert samples.random_state == 0
    assert [step.split("(")[0] for step in samples.steps[2:]] == ["PXRDFeaturizer", "StandardScaler", "RankPCA"]
    model = QuantumAutoencoder(n_qubits=3, code_qubits=2, layers=1)
    vectors = np.abs(np.random.default_rng(0).normal(size=(4, 8)))
    model.set_angles(np.zeros(22), 8).save("model.json")
    np.save("vectors.npy", vectors)
    options = ["--backend", "aer", "--kernel", "autoencoder", "--encoder", "model.json"]
    assert "autoencoder, 3 qubits" in call("plan", "vectors.npy", *options)
    assert "missing: 4 of 4 samples" in call("collect", "plan.json")
    call("submit", "plan.json")
    assert "mean loss" in call("collect", "plan.json", "--out", "codes.csv")
    table = pd.read_csv("codes.csv", index_col="id").to_numpy()
    np.testing.assert_allclose(table[:, 1:], model.transform(vectors), atol=0.15)


def test_a_plan_over_the_budget_writes_nothing() -> None:
    fails(BudgetError, "the budget is 10 s", "plan", "features.npy", "--backend", "aer", "--budget-seconds", 10)
    assert not Path("plan.json").exists()


def test_what_is_missing_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = call().splitlines()
    assert line.startswith("no IBM account: save one")
    assert "QISKIT_IBM_TOKEN" in line
    fails(AccountError, "no IBM account", "plan", "features.npy", "--backend", "ibm_fez")
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "a-token-of-a-test")
    assert "Usage" in call()
    assert "a-token-of-a-test" not in call()
    monkeypatch.setattr("qperov.hardware.services.credentials.find_spec", lambda name: None)
    install = "pip install 'qperov[ibm]'"
    fails(MissingDependencyError, install)
    fails(MissingDependencyError, install, "plan", "features.npy", "--backend", "aer")
    for command in ("submit", "status", "collect", "resume", "cancel"):
        fails(MissingDependencyError, install, command, "plan.json")


def test_a_matrix_is_written_whatever_becomes_of_its_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    call("plan", "table.csv", "--labels", "energy", "--backend", "aer", "--layout-trials", 1, "--shots", 64)
    assert "--ledger other.db" in call("submit", "plan.json", "--ledger", "other.db")

    def fail(*_: object) -> float:
        raise RuntimeError("nothing to learn")

    monkeypatch.setattr(display, "score", fail)
    fails(RuntimeError, "nothing to learn", "collect", "plan.json", "--ledger", "other.db", "--out", "K.npy")
    assert np.load("K.npy").shape == (N, N)


def test_equal_labels_and_pure_noise_have_no_score() -> None:
    assert np.isnan(score(np.eye(4), np.ones(4)))
    assert set(repairs(np.full((4, 4), 0.25), 2, diagonal=True)) == {"nearest"}


def test_the_commands_are_read_without_what_takes_long() -> None:
    heavy = "[name for name in ('numpy', 'pandas', 'qiskit', 'scipy', 'sklearn') if name in sys.modules]"
    code = f"import sys, qperov.commands.hardware.commands; print({heavy})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_no_option_takes_a_token() -> None:
    names = {
        name
        for command in ("plan", "submit", "status", "collect", "resume", "cancel")
        for name in inspect.signature(getattr(commands, command)).parameters
    }
    assert not {name for name in names if any(word in name for word in ("token", "key", "account", "secret"))}


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (HardwareError, "no plan file", ("submit", "nothing.json")),
        (HardwareError, "no plan file no/thing", ("submit", "no/thing")),
        (HardwareError, "no plan file 0123abc, and no ledger", ("submit", "0123abc")),
        (OptionError, "unknown feature map", ("plan", "features.npy", "--backend", "aer", "--feature-map", "no")),
        (LabelError, "do not fit together", ("plan", "features.npy", "--backend", "aer", "--labels", "short.csv")),
        (
            LabelError,
            "1 of 12 labels are missing or not finite, the first of 0",
            ("plan", "features.npy", "--backend", "aer", "--labels", "holes.csv"),
        ),
        (
            ReadingError,
            "not numbers: name; if it names the samples, say --id-column name",
            ("plan", "words.csv", "--backend", "aer"),
        ),
        (HardwareError, "no simulator", ("plan", "features.npy", "--backend", "fake_nothing")),
    ],
)
def test_bad_input_is_one_line(error: type[Exception], message: str, arguments: tuple[str, ...]) -> None:
    pd.DataFrame({"y": [1.0, 2.0]}).to_csv("short.csv", index=False)
    pd.DataFrame({"y": [np.nan, *range(1, N)]}).to_csv("holes.csv", index=False)
    pd.DataFrame({"name": ["a", "b"], "y": [1.0, 2.0]}).to_csv("words.csv", index=False)
    fails(error, message, *arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--kernel", "linear"),
        ("--columns", "features.npy", "--landmarks", "2"),
        ("--kernel", "autoencoder"),
        ("--labels", "nothing"),
        ("--bandwidth", "-1"),
        ("--bandwidth", "nan"),
        ("--id-column", "id"),
    ],
)
def test_options_that_contradict_each_other_are_refused(arguments: tuple[str, ...]) -> None:
    call("plan", "features.npy", "--backend", "aer", *arguments, code=2)


def hashes() -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path().iterdir() if path.is_file()}


def test_status_changes_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "MAX_BINDINGS", 30)
    call("plan", "features.npy", "--backend", "aer", "--layout-trials", 1, "--shots", 8)
    before = hashes()
    assert "job 3 of 3: planned" in call("status", "plan.json")
    assert hashes() == before
    call("submit", "plan.json")
    before = hashes()
    assert "job 3 of 3: done" in call("status", "plan.json")
    assert {name: digest for name, digest in hashes().items() if name in before} == before


def test_ctrl_c_says_how_many_jobs_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "MAX_BINDINGS", 30)
    call("plan", "features.npy", "--backend", "aer", "--layout-trials", 1, "--shots", 8)
    record_sent, sent = Ledger.record_sent, []

    def stop_after_one(ledger: Ledger, *arguments: str) -> None:
        if sent:
            raise KeyboardInterrupt
        sent.append(record_sent(ledger, *arguments))

    monkeypatch.setattr(Ledger, "record_sent", stop_after_one)
    result = CliRunner().invoke(main.app, ["hardware", "submit", "plan.json"])
    assert result.exit_code == 130
    assert "1 of 3 jobs submitted, 1 of 3 jobs submitting, 1 of 3 jobs planned" in result.output
    assert "`qperov hardware resume` goes on" in result.output


@pytest.mark.parametrize("ending", ["csv", "parquet", "npz", "npy"])
def test_a_matrix_keeps_ids_labels_and_what_led_to_it(ending: str) -> None:
    x = np.random.default_rng(1).normal(size=(4, 2))
    names = ["007", "7", "NA", "=b c"]
    pd.DataFrame(x, columns=["u", "v"]).assign(name=names).to_csv("named.csv", index=False)
    pd.DataFrame({"name": names[::-1], "gap": [4.0, 3.0, 2.0, 1.0]}).to_csv("gaps.csv", index=False)
    options = ["--id-column", "name", "--labels", "gaps.csv", "--backend", "aer", "--shots", 8, "--layout-trials", 1]
    call("plan", "named.csv", *options, "--landmarks", 2, "--seed", 5)
    call("submit", "plan.json")
    call("collect", "plan.json", "--out", f"K.{ending}")
    if ending == "csv":
        table = pd.read_csv("K.csv", index_col="id", dtype={"id": str}, keep_default_na=False)
        assert "'=b c" in {*table.index, *table.columns}, "no formula"
        table = table.rename(lambda name: name.removeprefix("'")).rename(columns=lambda name: name.removeprefix("'"))
    elif ending == "parquet":
        table = pd.read_parquet("K.parquet")
    if ending in ("csv", "parquet"):
        rows, columns = list(table.index), list(table.columns)
    if ending == "npz":
        with np.load("K.npz", allow_pickle=False) as found:
            about = json.loads(str(found["about"]))
            rows, columns, labels = (found[name].tolist() for name in ("row_ids", "column_ids", "labels"))
            assert found["matrix"].shape == (4, 2)
    else:
        about = table.attrs if ending == "parquet" else json.loads(Path(f"K.{ending}.about.json").read_text())
        labels = about["labels"]
    if ending == "npy":
        rows, columns = about["row_ids"], about["column_ids"]
    assert rows == names
    assert set(columns) < set(names)
    assert labels == [1.0, 2.0, 3.0, 4.0]
    assert about["random_state"] == 5
    assert about["origin"]["target"] == "gap"
    assert about["origin"]["features"]["sha256"] == hashlib.sha256(Path("named.csv").read_bytes()).hexdigest()
    assert about["kernel"] == {
        "kernel": "fidelity",
        "feature_map": "zz",
        "reps": 2,
        "entanglement": "linear",
        "n_qubits": None,
        "bandwidth": 0.1,
    }


def test_rows_and_columns_of_a_rectangular_matrix_are_named() -> None:
    x = np.random.default_rng(1).normal(size=(5, 2))
    table = pd.DataFrame(x, columns=["u", "v"]).assign(name=list("abcde"))
    table[:3].to_csv("train.csv", index=False)
    table[3:].to_csv("test.csv", index=False)
    options = ["--id-column", "name", "--columns", "test.csv", "--backend", "aer", "--shots", 20_000, "--noise", 0]
    call("plan", "train.csv", *options, "--layout-trials", 1)
    call("submit", "plan.json")
    assert "exact" in call("collect", "plan.json", "--out", "K.csv")
    K = pd.read_csv("K.csv", index_col="id")
    assert (list(K.index), list(K.columns)) == (["d", "e"], ["a", "b", "c"])
    np.testing.assert_allclose(K, qperov.FidelityKernel(bandwidth=0.1)(x[3:], x[:3]), atol=0.02)


@pytest.mark.parametrize(
    ("names", "labels", "message"),
    [
        (["a", "a", "b"], None, "ids must be unique"),
        (["a", "b", "c"], ["a", "b", "d"], "1 of 3 samples have no label here, such as c"),
    ],
)
def test_ids_that_do_not_fit_are_refused(names: list[str], labels: list[str] | None, message: str) -> None:
    pd.DataFrame({"name": names, "u": [1.0, 2.0, 3.0]}).to_csv("named.csv", index=False)
    options = ["--id-column", "name", "--backend", "aer"]
    if labels is not None:
        pd.DataFrame({"name": labels, "gap": [1.0, 2.0, 3.0]}).to_csv("gaps.csv", index=False)
        options += ["--labels", "gaps.csv"]
    fails(ReadingError, message, "plan", "named.csv", *options)


@pytest.mark.filterwarnings("default")
def test_the_page_on_hardware_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "hardware.md").read_text(encoding="utf-8")
    example, vendor = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(10, 2)), columns=["u", "v"]).assign(id=[f"c{i}" for i in range(10)])
    table.to_csv("features.csv", index=False)
    table.assign(gap=np.sin(table.u))[["id", "gap"]].to_csv("labels.csv", index=False)
    Path("vendor.py").write_text(vendor)
    monkeypatch.syspath_prepend(tmp_path)
    for line in re.findall(r"^qperov hardware (.*)$", page, flags=re.MULTILINE):
        call(*line.split(), *(["--shots", "200"] if line.startswith("plan") else []))
    assert list(pd.read_csv("kernel.csv", index_col="id").index) == list(table.id)
    exec(example, {})
