from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from crystal_prototypes import caesium_chloride, cubic_perovskite, rock_salt
from pymatgen.core import Structure

from qperov.crystals.perovskites.cells import perovskite_cell, perovskite_compositions
from qperov.datasets.reading import read
from qperov.errors import CalculationInputError
from qperov.generative.bench.novelty import same_crystal
from qperov.generative.bench.validation import validate
from qperov.generative.writing import write_generated


def generated() -> list[Structure | None]:
    charged = perovskite_cell(perovskite_compositions(["O"])[0])
    distorted = cubic_perovskite()
    distorted.perturb(0.2, seed=0)
    return [distorted, None, caesium_chloride(0.5), charged]


def test_crystals_come_back_from_both_formats(tmp_path: Path) -> None:
    written = write_generated(generated(), tmp_path)
    assert written.ids == {0: "generated-0000", 2: "generated-0002", 3: "generated-0003"}
    assert written.inputs is None
    first = generated()[0]
    assert first is not None
    for path in (tmp_path / "cif" / "generated-0000.cif", tmp_path / "poscar" / "generated-0000.vasp"):
        back = Structure.from_file(path)
        assert same_crystal(back, first)
        assert back.lattice.parameters == pytest.approx(first.lattice.parameters, abs=1e-6)
        order = [next(i for i, own in enumerate(first) if own.distance(site) < 1e-5) for site in back]
        assert sorted(order) == list(range(5))
        assert [site.species_string for site in back] == [first[i].species_string for i in order]


def test_a_folder_of_them_can_be_read(tmp_path: Path) -> None:
    write_generated([cubic_perovskite(), rock_salt()], tmp_path, prefix="vae")
    dataset = read(tmp_path / "cif")
    assert [Path(own).stem for own in dataset.ids] == ["vae-0000", "vae-0001"]
    assert [own.composition.reduced_formula for own in dataset.structures] == ["CaTiO3", "NaCl"]


def test_a_report_chooses(tmp_path: Path) -> None:
    crystals = generated()
    report = validate(crystals, [cubic_perovskite()], dissimilarity=False)
    report = replace(report, per_structure=report.per_structure.assign(note="=1+1"))
    written = write_generated(crystals, tmp_path, report=report, criterion="valid_unique_novel")
    assert list(written.ids) == [3]
    told = pd.read_csv(tmp_path / "verdicts.csv")
    assert told["valid"].tolist() == [True, False, False, True]
    assert set(told["note"]) == {"'=1+1"}
    with pytest.raises(ValueError, match="no criterion 'stable'"):
        write_generated(crystals, tmp_path, report=report, criterion="stable")
    with pytest.raises(ValueError, match="on 4 crystals, not on these 3"):
        write_generated(crystals[:3], tmp_path, report=report)


@pytest.mark.parametrize(("preset", "files"), [("cpx", {"INCAR", "KPOINTS", "POSCAR", "POTCAR.spec"})])
def test_dft_inputs(tmp_path: Path, preset: str, files: set[str]) -> None:
    written = write_generated([None, cubic_perovskite()], tmp_path, preset=preset)
    assert written.inputs is not None
    assert written.inputs.runs == ("generated-0001",)
    assert {path.name for path in (tmp_path / "dft" / "generated-0001").iterdir()} == files
    assert written.inputs.script.exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write_generated([rock_salt()], tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    write_generated([rock_salt()], tmp_path)
    with pytest.raises(CalculationInputError, match="another file is there already"):
        write_generated([cubic_perovskite()], tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_nothing_to_write(tmp_path: Path) -> None:
    with pytest.raises(CalculationInputError, match="no crystal is left"):
        write_generated([None], tmp_path)
    with pytest.raises(ValueError, match="prefix"):
        write_generated([rock_salt()], tmp_path, prefix="../out")
    assert list(tmp_path.iterdir()) == []
