"""The commands, from a table of features to a regression on what was collected."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from qperov_circuits import Gate
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_predict
from typer.testing import CliRunner

import qperov
from qperov.commands.hardware import commands
from qperov.commands.hardware.commands import Toolbox, hardware_app
from qperov.errors import AccountError, BudgetError, HardwareError, MissingDependencyError
from qperov.hardware.plan import cost
from qperov.quantum.autoencoder.autoencoder import QuantumAutoencoder

N = 12


def dataset(name: str, samples: int | None, components: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    assert name == "crystals"
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples or N, components or 2))
    return x, x.sum(axis=1)


def encoder(path: Path, vectors: np.ndarray) -> tuple[Sequence[Gate], int, np.ndarray]:
    model = QuantumAutoencoder.load(path)
    return model.gates(), model.code_qubits, vectors


def repair(K: np.ndarray, n_qubits: int, diagonal: bool) -> dict[str, np.ndarray]:
    found = {"nearest": qperov.quantum.KernelRepair().fit(K).matrix_}
    if diagonal:
        found["depolarising"] = qperov.quantum.KernelRepair(depolarising="mean", n_qubits=n_qubits).fit(K).matrix_
    return found


def score(K: np.ndarray, y: np.ndarray) -> float:
    model = qperov.QuantumSVR("precomputed", C=100.0, epsilon=0.01)
    return float(r2_score(y, cross_val_predict(model, K, y, cv=KFold(4, shuffle=True, random_state=0))))


APP = hardware_app(lambda: Toolbox(dataset, encoder, repair, score))


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
def test_the_whole_way_from_a_plan_to_a_regression_on_the_collected_matrix(machine: str) -> None:
    options = ["--backend", machine, "--labels", "energy", "--bandwidth", 0.2, "--diagonal", "--layout-trials", 1]
    output = call("plan", "table.csv", *options, "--budget-seconds", 60)
    assert "fidelity, full matrix 12 × 12, 2 qubits" in output
    assert "78 pairs, 2 PUBs in 1 jobs, 81,920 executions" in output
    assert "31 s on the machine (0.5 min), fits the Open plan (5% of its 10 minutes)" in output
    assert "nothing is charged" in output
    assert "submitted local-" in call("submit", "plan.json")
    assert "done local-" in call("status", "plan.json")
    output = call("collect", "plan.json", "--out", "K.npy", "--repair", "depolarising")
    assert "jobs 1 collected" in output
    lines = {line.split(":")[0].strip(): line for line in output.splitlines() if "R²" in line}
    assert set(lines) == {"raw", "readout", "nearest", "depolarising"}
    scores = {name: float(line.rpartition("R² ")[2]) for name, line in lines.items()}
    K = np.load("K.npy")
    labels = pd.read_csv("table.csv")["energy"].to_numpy()
    assert scores["depolarising"] == pytest.approx(score(K, labels), abs=1e-3)
    assert np.linalg.eigvalsh(K)[0] > -1e-9
    assert scores["depolarising"] > 0.6
    assert "diagonal 1.0000" in lines["depolarising"]


def test_a_plan_is_known_by_its_id_and_an_incomplete_matrix_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cost, "MAX_BINDINGS", 30)
    call("plan", "features.npy", "--backend", "aer", "--out", "p.json", "--layout-trials", 1)
    plan_id = json.loads(Path("p.json").read_text())["plan_id"]
    assert "planned" in call("status", "p.json")
    output = call("collect", plan_id[:8], "--out", "K.csv")
    assert "missing: 132 of 144 entries: (0, 1), (0, 2)" in output
    assert "and 122 more" in output
    assert f"not all was sent: qperov hardware resume {plan_id}" in output
    K = pd.read_csv("K.csv").to_numpy()
    assert np.isnan(K).sum() == 132
    assert "job 3 of 3: submitted" in call("submit", plan_id)
    assert "cancelled" in call("cancel", plan_id)
    assert "job 1 of 3: cancelled" in call("resume", plan_id)
    assert f"qperov hardware resume {plan_id} --failed" in call("collect", plan_id)
    assert "job 1 of 3: submitted" in call("resume", plan_id, "--failed")
    assert "sent 2 times" in call("status", plan_id)
    assert "smallest eigenvalue" in call("collect", plan_id, "--out", "K.parquet")
    assert pd.read_parquet("K.parquet").shape == (N, N)


def test_nystroem_and_rectangular_and_projected_matrices_have_their_shapes() -> None:
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
    output = call("plan", "crystals", "--backend", "aer", "--samples", 5, "--components", 3, "--noise", 0.01)
    assert "full matrix 5 × 5, 3 qubits" in output
    model = QuantumAutoencoder(n_qubits=3, code_qubits=2, layers=1)
    vectors = np.abs(np.random.default_rng(0).normal(size=(4, 8)))
    model.set_angles(np.zeros(22), 8).save("model.json")
    np.save("vectors.npy", vectors)
    options = ["--backend", "aer", "--kernel", "autoencoder", "--encoder", "model.json"]
    assert "autoencoder, 3 qubits" in call("plan", "vectors.npy", *options)
    assert "missing: 4 of 4 samples" in call("collect", "plan.json")
    call("submit", "plan.json")
    assert "mean loss" in call("collect", "plan.json", "--out", "codes.csv")
    table = pd.read_csv("codes.csv").to_numpy()
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


def test_a_matrix_is_written_whatever_becomes_of_its_comparison() -> None:
    call("plan", "table.csv", "--labels", "energy", "--backend", "aer", "--layout-trials", 1, "--shots", 64)
    assert "--ledger other.db" in call("submit", "plan.json", "--ledger", "other.db")

    def fail(K: np.ndarray, y: np.ndarray) -> float:
        raise ValueError("nothing to learn")

    app = hardware_app(lambda: Toolbox(dataset, encoder, repair, fail))
    result = CliRunner().invoke(app, ["collect", "plan.json", "--ledger", "other.db", "--out", "K.npy"])
    assert isinstance(result.exception, ValueError)
    assert np.load("K.npy").shape == (N, N)


def test_labels_that_are_all_alike_and_a_diagonal_of_noise_alone_have_no_score_and_no_correction() -> None:
    from qperov.commands.hardware.tools import _repairs, _score

    assert np.isnan(_score(np.eye(4), np.ones(4)))
    assert set(_repairs(np.full((4, 4), 0.25), 2, diagonal=True)) == {"nearest"}


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
        (ValueError, "unknown feature map", ("plan", "features.npy", "--backend", "aer", "--feature-map", "no")),
        (ValueError, "do not fit together", ("plan", "features.npy", "--backend", "aer", "--labels", "short.csv")),
        (ValueError, "1 labels are missing", ("plan", "features.npy", "--backend", "aer", "--labels", "holes.csv")),
        (ValueError, "not numbers: name", ("plan", "words.csv", "--backend", "aer")),
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
    ],
)
def test_options_that_contradict_each_other_are_refused(arguments: tuple[str, ...]) -> None:
    call("plan", "features.npy", "--backend", "aer", *arguments, code=2)
