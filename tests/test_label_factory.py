"""The label factory: every crystal once, through kills at random points, by several workers, failures with reasons."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from ase.calculators.emt import EMT
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from qperov.commands.relax import inputs, relax
from qperov.crystals.dft.presets import PRESETS
from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.store import Store
from qperov.datasets.structure_text import to_text
from qperov.errors import LostWorkerError, RelaxationError, StoreError
from qperov.potentials import queue
from qperov.potentials.label_factory import label_dataset, relaxed_dataset
from qperov.potentials.protocols import Protocol
from qperov.potentials.queue import MOST_ATTEMPTS, Claim, FactoryCounts, RelaxationStates
from qperov.potentials.relaxation import Relaxation

PROTOCOL = Protocol(potential="emt", cell="fixed", fmax=0.05, steps=40)
FINISHED = ("converged", "unconverged", "failed")


def alloys(n: int, name: str = "alloys") -> CrystalDataset:
    """Cells of Cu and Au whose middle atom is off its place."""
    structures = [
        Structure(Lattice.cubic(3.6 + 0.01 * i), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.53]]) for i in range(n)
    ]
    return CrystalDataset(name, tuple(structures), tuple(f"cell/{i}" for i in range(n)))


def stored(path: Path, dataset: CrystalDataset) -> Path:
    with Store(path) as store:
        store.add(dataset)
    return path


def rows(path: Path) -> list[tuple]:
    with Store(path) as store:
        return store.connection.execute(
            "SELECT id, state, worker, ended, relaxed, energy, attempts, kind FROM relaxations ORDER BY id"
        ).fetchall()


def run_script(script: str) -> list[Any]:
    """What a fresh interpreter prints, one JSON a line."""
    paths = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parent)])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


# --- kills --------------------------------------------------------------------------------------

#: Forks workers that kill themselves after a random number of SQL statements and force evaluations.
KILLED = """
import json, os, random, signal
from pathlib import Path
from ase.calculators.emt import EMT
import qperov.potentials.label_factory as factory
from qperov.datasets.store import Store
from test_label_factory import PROTOCOL, rows
path = Path({path!r})
rng = random.Random(5)

def work(left):
    def count(*_):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    opened, evaluated = Store.__init__, EMT.calculate
    def open_store(self, where):
        opened(self, where)
        self.connection.set_trace_callback(count)
    def calculate(self, *arguments):
        count()
        evaluated(self, *arguments)
    Store.__init__, EMT.calculate = open_store, calculate
    factory.label_dataset(path, "alloys", PROTOCOL)

for attempt in range(40):
    child = os.fork()
    if child == 0:
        work(rng.randrange(1, 160))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    print(json.dumps([os.WTERMSIG(status), os.waitstatus_to_exitcode(status), rows(path)]))
    if status == 0:
        break
"""


@pytest.mark.slow
def test_kills_at_random_points_lose_nothing(tmp_path: Path) -> None:
    path = stored(tmp_path / "s.db", alloys(10))
    history = run_script(KILLED.format(path=str(path)))
    kills = [signal for signal, _, _ in history]
    assert kills.count(9) == len(kills) - 1 >= 5, "killed again and again, then through to the end"
    assert history[-1][1] == 0
    for (_, _, before), (_, _, after) in pairwise(history):
        then = {row[0]: row for row in after}
        assert all(then[row[0]] == row for row in before if row[1] in FINISHED), "what was finished stays as it was"
    final = rows(path)
    assert [row[1] for row in final] == ["converged"] * 10
    assert len({row[2] for row in final}) >= 3, "several workers had a part in it"
    undisturbed = stored(tmp_path / "calm.db", alloys(10))
    label_dataset(undisturbed, "alloys", PROTOCOL)
    assert [row[4:6] for row in final] == [row[4:6] for row in rows(undisturbed)]
    assert [row[6] for row in rows(undisturbed)] == [1] * 10


def test_workers_at_once_never_take_the_same_structure(tmp_path: Path) -> None:
    path = stored(tmp_path / "s.db", alloys(24))
    label_dataset(path, "alloys", PROTOCOL, n_jobs=3)
    assert [(row[1], row[6]) for row in rows(path)] == [("converged", 1)] * 24, "each was taken once"
    assert len({row[2].partition(":")[0] for row in rows(path)}) > 1, "by several processes"


def test_a_second_call_on_the_store_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path / "s.db", alloys(2))

    def again(done: int, total: int | None, what: str) -> None:
        with pytest.raises(StoreError, match="another call relaxes crystals of this store"):
            label_dataset(path, "alloys", PROTOCOL)

    assert label_dataset(path, "alloys", PROTOCOL, progress=again).counts.converged == 2
    assert label_dataset(path, "alloys", PROTOCOL).counts.converged == 2


def kills_its_process() -> Any:
    """A calculator that is too much for its process."""

    class Deadly(EMT):
        def calculate(self, *_: Any) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

    return Deadly()


def test_a_process_that_vanishes_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*sys.path, str(Path(__file__).parent)]))
    path = stored(tmp_path / "s.db", alloys(1))
    deadly = Protocol(potential="test_label_factory:kills_its_process", cell="fixed", steps=1)
    monkeypatch.setattr(queue, "MOST_ATTEMPTS", 1)
    with pytest.raises(LostWorkerError, match="out of memory, or killed"):
        label_dataset(path, "alloys", deadly, n_jobs=2)
    report = label_dataset(path, "alloys", deadly, n_jobs=2)
    assert [(failure.id, failure.kind) for failure in report.failures] == [("cell/0", "LostWorkerError")]
    assert report.failures[0].reason.startswith("taken 1 times, and each time its process vanished")


def relaxed(claim: Claim) -> Relaxation:
    return Relaxation(claim.structure, 1.0, 0.1, None, 1, True, 1.0, "")


@settings(max_examples=60, deadline=None)
@given(
    moves=st.lists(
        st.tuples(st.sampled_from(["claim", "finish", "fail", "resume", "release"]), st.integers(0, 2)), max_size=40
    )
)
def test_claims_are_exclusive_and_outcomes_final_in_any_order(moves: list[tuple[str, int]]) -> None:
    with Store(":memory:") as store:
        store.add(alloys(3))
        states = RelaxationStates(store, "alloys", "p")
        states.enqueue({})
        held: dict[int, str] = {}
        seen: dict[str, list[Claim]] = {name: [] for name in "abc"}
        done: set[int] = set()
        for move, which in moves:
            worker = "abc"[which]
            if move == "claim":
                for claim in states.claim(worker, 2):
                    assert claim.key not in held.keys() | done, "taken while another holds it, or done already"
                    held[claim.key] = worker
                    seen[worker].append(claim)
            elif move in ("finish", "fail") and seen[worker]:
                claim = seen[worker].pop(0)
                mine = held.get(claim.key) == worker
                if move == "finish":
                    kept = states.finish(claim, worker, relaxed(claim))
                else:
                    kept = states.fail(claim, worker, RelaxationError("broken"))
                assert kept == mine, "an outcome counts if the claim was not lost, and only then"
                if kept:
                    done.add(claim.key)
                    del held[claim.key]
            elif move == "resume":
                states.resume()
                held = {}
                done |= {
                    key for (key,) in store.connection.execute("SELECT id FROM relaxations WHERE state = 'failed'")
                }
            elif move == "release":
                states.release(worker)
                held = {key: name for key, name in held.items() if name != worker}
        found = states.counts()
        assert (found.total, found.done, found.running) == (3, len(done), len(held))


def test_what_kills_its_workers_is_given_up(tmp_path: Path) -> None:
    with Store(stored(tmp_path / "s.db", alloys(2))) as store:
        states = RelaxationStates(store, "alloys", "p")
        states.enqueue({})
        for attempt in range(MOST_ATTEMPTS):
            assert len(states.claim(f"worker {attempt}")) == 1
            states.resume()
        (other,) = states.claim("the next")
        assert states.finish(other, "the next", relaxed(other))
        assert states.claim("the next") == []
        (failure,) = states.failures()
    assert (failure.id, failure.kind) == ("cell/0", "LostWorkerError")
    assert failure.reason.startswith("taken 5 times, and each time its process vanished")


# --- states and labels --------------------------------------------------------------------------


def test_a_finished_structure_is_never_repeated(tmp_path: Path) -> None:
    data = alloys(3)
    twice = CrystalDataset("alloys", (*data.structures, data.structures[0]), (*data.ids, "copy"))
    path = stored(tmp_path / "s.db", twice)
    first = label_dataset(path, "alloys", PROTOCOL)
    assert first.counts.converged == 3, "the copy is the same structure"
    before = rows(path)
    assert label_dataset(path, "alloys", PROTOCOL, retry=True).counts == first.counts
    assert rows(path) == before
    stored(path, alloys(4, "more"))
    assert label_dataset(path, "more", PROTOCOL).counts.converged == 4
    assert rows(path)[:3] == before
    assert len(rows(path)) == 4, "structures of another dataset are not done again"
    relaxed = relaxed_dataset(path, "alloys", first)
    assert relaxed.ids == twice.ids
    assert relaxed.y is not None
    assert relaxed.y[0] == relaxed.y[3]
    other = label_dataset(path, "alloys", Protocol(potential="emt", cell="fixed", fmax=0.02))
    assert other.protocol_id != first.protocol_id
    assert len(rows(path)) == 7


def test_failures_have_a_reason_and_can_be_tried_again(tmp_path: Path) -> None:
    iron = Structure(Lattice.cubic(2.87), ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    wild = Structure(Lattice.cubic(3.6), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.1]])
    good = alloys(2)
    mixed = CrystalDataset("mixed", (iron, *good.structures, wild), ("iron", *good.ids, "wild"))
    path = stored(tmp_path / "s.db", mixed)
    report = label_dataset(path, "mixed", Protocol(potential="emt", cell="fixed", fmax=1e-5, steps=3))
    assert (report.counts.converged, report.counts.unconverged, report.counts.failed) == (0, 3, 1)
    assert [failure.id for failure in report.failures] == list(mixed.ids)
    assert (report.failures[0].kind, report.failures[0].reason[:25]) == ("RelaxationError", "Fe2: NotImplementedError:")
    assert report.failures[1].kind == "Unconverged"
    assert report.failures[1].reason.endswith("eV/Å after 3 steps")
    with pytest.raises(StoreError, match="no crystal of 'mixed' is relaxed"):
        relaxed_dataset(path, "mixed", report)
    full = label_dataset(path, "mixed", PROTOCOL)
    relaxed = relaxed_dataset(path, "mixed", full, "relaxed")
    assert relaxed.ids == ("cell/0", "cell/1", "wild")
    assert [issue.path for issue in relaxed.issues] == ["iron"]
    again = label_dataset(path, "mixed", PROTOCOL, retry=True)
    assert again.failures == full.failures
    attempts = {row[1]: row[6] for row in rows(path)}
    assert attempts["failed"] == 1, "a retry counts anew"


def test_labels_say_what_they_are_and_split_by_the_start(tmp_path: Path) -> None:
    path = stored(tmp_path / "s.db", alloys(3))
    report = label_dataset(path, "alloys", PROTOCOL)
    relaxed = relaxed_dataset(path, "alloys", report)
    assert relaxed.unit == "eV/cell"
    assert set(relaxed.provenance) == {report.provenance}
    assert report.provenance.startswith("emt (ase 3.")
    assert "positions relaxed from the cell as given by FIRE to 0.05 eV/Å in at most 40 steps" in report.provenance
    assert relaxed.cautions == (report.provenance + ".",)
    assert relaxed.groups.tolist() == alloys(3).groups.tolist()
    with Store(path) as store:
        (content,) = store.connection.execute("SELECT content FROM protocols").fetchone()
        store.add(relaxed)
        assert store.load("alloys relaxed").fingerprint == relaxed.fingerprint
    assert json.loads(content)["protocol"] == json.loads(PROTOCOL.to_json())


def test_several_processes_and_their_progress(tmp_path: Path) -> None:
    path = stored(tmp_path / "s.db", alloys(6))
    seen: list[tuple[int, int | None, str]] = []
    report = label_dataset(path, "alloys", PROTOCOL, n_jobs=2, batch=2, progress=lambda *step: seen.append(step))
    assert report.counts.converged == 6
    assert [total for _, total, _ in seen] == [6, 6, 6]
    assert seen[-1] == (6, 6, report.counts.words)
    with pytest.raises(ValueError, match="by its name"):
        label_dataset(path, "alloys", PROTOCOL, potential=object(), n_jobs=2)
    with pytest.raises(StoreError, match="no dataset 'brass'"):
        label_dataset(path, "brass", PROTOCOL)


@given(st.integers(0, 99), st.integers(0, 99), st.integers(1, 9), st.floats(0.1, 1e4))
def test_estimate_is_mean_time_times_what_is_left_over_workers(
    waiting: int, done: int, workers: int, seconds: float
) -> None:
    found = FactoryCounts(waiting, workers, done, 0, 0, workers, seconds)
    assert found.seconds_left == pytest.approx(seconds * (waiting + workers) / workers)
    assert found.total == waiting + workers + done
    assert FactoryCounts(waiting, 0, 0, 0, 0, 0, None).seconds_left is None


# --- commands -----------------------------------------------------------------------------------


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.command()(relax)
    made.command()(inputs)
    return made


def call(app: typer.Typer, *arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def test_the_command_relaxes_stores_and_goes_on(app: typer.Typer, tmp_path: Path) -> None:
    folder, store = tmp_path / "cells", tmp_path / "s.db"
    for name, structure in zip(("a", "b"), alloys(2).structures, strict=True):
        (folder / name).mkdir(parents=True)
        structure.to(filename=str(folder / name / "POSCAR"), fmt="poscar")
    iron = Structure(Lattice.cubic(2.87), ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    iron.to(filename=str(folder / "iron.cif"))
    options = ["--potential", "emt", "--store", store]
    output = call(app, "relax", folder, *options)
    assert "2 converged, 0 did not within the steps, 1 failed" in output
    assert "labels: emt (ase 3." in output
    assert "iron: RelaxationError: Fe2: NotImplementedError" in output
    assert f"{store}: dataset 'cells-plain' holds the 2 relaxed crystals" in output
    before = rows(store)
    assert "2 converged" in call(app, "relax", "cells", *options)
    assert rows(store) == before
    with Store(store) as opened:
        relaxed = opened.load("cells-plain")
    assert relaxed.y is not None
    assert np.isfinite(relaxed.y).all()
    assert (relaxed.ids, relaxed.unit) == (("a", "b"), "eV/cell")


def test_the_command_writes_inputs(app: typer.Typer, tmp_path: Path) -> None:
    store = stored(tmp_path / "s.db", alloys(2))
    assert "2 runs in" in call(app, "inputs", "alloys", tmp_path / "runs", "--preset", "matganip", "--store", store)
    assert (tmp_path / "runs" / "cell" / "1" / "INCAR").exists()
    words = call(app, "inputs", "--help")
    assert all(name in words for name in PRESETS)


def test_progress_is_told_in_words() -> None:
    assert FactoryCounts(5, 1, 0, 0, 0, 1, None).words == "Relaxing"
    assert FactoryCounts(18, 2, 4, 0, 0, 2, 6.0).words == "Relaxing, about 60 s left, 2 at work"
    assert "20 min" in FactoryCounts(199, 1, 0, 0, 0, 1, 6.0).words
    assert "2.0 h" in FactoryCounts(1199, 1, 0, 0, 0, 1, 6.0).words


def test_structures_are_claimed_as_they_were_stored(tmp_path: Path) -> None:
    data = alloys(3)
    with Store(stored(tmp_path / "s.db", data)) as store:
        states = RelaxationStates(store, "alloys", "p")
        states.enqueue({})
        claims = states.claim("w", 3)
    assert [to_text(claim.structure) for claim in claims] == [to_text(structure) for structure in data.structures]
