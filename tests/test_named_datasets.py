"""Datasets by their names: found in one place, never mistaken for paths, and with the cautions of their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.calculators.emt import EMT
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from qperov.commands import main as cli
from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.lookup import find_dataset
from qperov.datasets.names import check_name, name_of
from qperov.datasets.reading import read
from qperov.datasets.store import Store
from qperov.errors import DatasetNameError
from qperov.potentials.calculators import Potential
from qperov.potentials.label_factory import label_dataset, relaxed_dataset
from qperov.potentials.protocols import Protocol
from qperov.records.record import read_record


def alloys(n: int = 6) -> CrystalDataset:
    cells = [Structure(Lattice.cubic(3.6 + 0.02 * i), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.53]]) for i in range(n)]
    return CrystalDataset("alloys", tuple(cells), tuple(f"cell-{i}" for i in range(n)))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with Store(tmp_path / "s.db") as opened:
        opened.add(alloys())
    return tmp_path / "s.db"


def call(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    if isinstance(result.exception, DatasetNameError):
        return str(result.exception)
    assert result.exit_code == code, result.output
    return result.output


def test_embedded_and_stored_datasets_are_found(store: Path) -> None:
    assert len(find_dataset("cpx222", store)) == len(find_dataset("cpx222", store.with_name("none.db"))) == 441
    assert find_dataset("alloys", store).ids == alloys().ids


@pytest.mark.parametrize(("name", "nearest"), [("cpx312", "cpx321"), ("aloys", "alloys")])
def test_a_mistyped_name_is_told_the_nearest(store: Path, name: str, nearest: str) -> None:
    with pytest.raises(
        DatasetNameError, match=f"no embedded dataset '{name}', nor one in .*; did you mean '{nearest}'?"
    ):
        find_dataset(name, store)
    for command in (["compare"], ["describe"], ["data", "info"], ["relax"], ["inputs"], ["hardware", "plan"]):
        rest = ["out"] if command == ["inputs"] else ["--backend", "aer"] if command[0] == "hardware" else []
        assert f"did you mean '{nearest}'?" in call(*command, name, *rest, "--store", store)


def test_a_name_like_no_other_is_told_all_there_are(store: Path) -> None:
    with pytest.raises(DatasetNameError, match="There are: cpx321, cpx222, abx3, abx3_radii, heo106, fegapd, "):
        find_dataset("quartz", store)


@pytest.mark.parametrize("name", ["../../evil/../run", "a/b", "..", "-rf", "\x1b[31mred"])
def test_names_that_lead_elsewhere_are_refused_where_they_enter(store: Path, tmp_path: Path, name: str) -> None:
    alloys().structures[0].to(filename=str(tmp_path / "one.cif"), fmt="cif")
    before = sorted(tmp_path.rglob("*"))
    for arguments in (
        ["data", "import", tmp_path / "one.cif", f"--name={name}"],
        ["data", "fetch", tmp_path / "one.cif", f"--name={name}"],
        ["relax", "alloys", "--potential", "emt", f"--name={name}"],
    ):
        assert "cannot name a dataset" in call(*arguments, "--store", store)
    assert sorted(tmp_path.rglob("*")) == before
    with Store(store) as opened:
        assert opened.names() == ["alloys"]


@pytest.mark.parametrize("folder", ["my crystals", "a;rm -rf b", "\x1b[31mred", "…", "-x", "x" * 150])
def test_a_folder_of_any_name_gives_a_name(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    alloys().structures[0].to(filename=str(tmp_path / folder / "one.cif"), fmt="cif")
    name = read(tmp_path / folder).name
    assert check_name(name) == name == name_of(folder)


@pytest.mark.slow
def test_relaxed_crystals_say_so_in_the_next_comparison(store: Path, tmp_path: Path) -> None:
    call("relax", "alloys", "--potential", "emt", "--protocol", "static", "--name", "by-emt", "--store", store)
    with Store(store) as opened:
        (caution,) = opened.load("by-emt").cautions
    assert caution.startswith("emt (ase")
    assert "calculator of ASE" in caution
    options = ["--quick", "--folds", 2, "--jobs", 1, "--descriptors", "profile", "--keep-duplicates"]
    output = call("compare", "by-emt", "--store", store, "--runs", tmp_path / "runs", *options)
    assert "calculator of ASE" in output
    record = read_record(tmp_path / "runs" / "by-emt-1")
    assert caution in record.comparison.warnings
    assert caution.rstrip(".") in (tmp_path / "runs" / "by-emt-1" / "report.html").read_text(encoding="utf-8")


def test_labels_of_a_learned_potential_stay_no_dft(store: Path) -> None:
    potential = Potential("toy", "1", EMT(), learned=True)
    report = label_dataset(store, "alloys", Protocol(cell="fixed", fmax=0.05, steps=40), potential=potential)
    with Store(store) as opened:
        opened.add(relaxed_dataset(store, "alloys", report, "relaxed"))
    with Store(store) as opened:
        loaded = opened.load("relaxed")
    assert len(loaded.cautions) == 1
    assert "machine-learned potential, not DFT" in loaded.cautions[0]
    assert all("not DFT" in provenance for provenance in loaded.provenance)
    assert loaded.take(np.arange(2)).one_per_class().cautions == loaded.cautions
