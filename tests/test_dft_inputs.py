"""DFT round trip: inputs as other readers see them, jobs that run once, and results under the same ids."""

from __future__ import annotations

import io
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.io.espresso import read_espresso_in
from hypothesis import given, settings
from hypothesis import strategies as st
from perovskites import perovskite, random_decoration
from pymatgen.core import Lattice, Structure
from pymatgen.io.pwscf import PWInput
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar

import qperov
from qperov.crystals.dft.inputs import espresso_input, vasp_inputs, write_calculations
from qperov.crystals.dft.presets import PRESETS, DftPreset
from qperov.crystals.files.espresso_run import parse_pw_output
from qperov.datasets.structure_text import content_id
from qperov.errors import CalculationInputError, FileFormatError, MissingLabelError, UnfinishedRunError

VASP = [name for name, preset in PRESETS.items() if preset.code == "vasp"]
ESPRESSO = [name for name, preset in PRESETS.items() if preset.code == "espresso"]


def halides(n: int = 3) -> list[Structure]:
    return [random_decoration(perovskite((2, 1, 1)), 2, np.random.default_rng(i)) for i in range(n)]


# --- VASP ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VASP)
def test_pymatgen_reads_what_was_written(name: str) -> None:
    structure, preset = halides()[0], PRESETS[name]
    texts = vasp_inputs(structure, preset)
    incar = Incar.from_str(texts["INCAR"])
    assert incar.check_params() is None
    assert incar["ENCUT"] == preset.cutoff
    assert incar["ISPIN"] == (2 if preset.spin else 1)
    assert ("MAGMOM" in incar) == preset.spin
    assert incar["EDIFFG"] == -preset.force_tolerance
    assert incar["EDIFF"] == pytest.approx(preset.energy_tolerance * (10 if preset.per_atom else 1))
    assert Kpoints.from_str(texts["KPOINTS"]).kpts == [preset.k_points(structure)]
    assert texts["POTCAR.spec"].split() == ["Cs_sv", "Pb_d", "I", "Br"]
    read = Poscar.from_str(texts["POSCAR"]).structure
    assert read.composition == structure.composition
    order = [min(range(10), key=lambda i: structure[i].distance(site)) for site in read]
    assert sorted(order) == list(range(10)), "sites are sorted, and each stands once"
    assert [structure[i].specie for i in order] == [site.specie for site in read]


def test_presets_are_the_numbers_of_the_papers() -> None:
    incar = Incar.from_str(vasp_inputs(perovskite((2, 2, 2)), PRESETS["cpx"])["INCAR"])
    assert (incar["ENCUT"], incar["EDIFF"], incar["EDIFFG"], incar["ISIF"]) == (550, 4e-4, -0.01, 3)
    assert PRESETS["cpx"].k_points(perovskite((3, 2, 1))) == (4, 4, 4)
    assert (PRESETS["cpx-slab"].cutoff, PRESETS["cpx-slab"].k_points(perovskite())) == (400, (4, 4, 1))
    assert (PRESETS["imatgen"].cutoff, PRESETS["imatgen"].force_tolerance) == (500, 0.05)
    assert all(preset.source for preset in PRESETS.values())


def test_hubbard_only_where_it_is_asked_for() -> None:
    oxide = Structure(Lattice.cubic(4.1), ["V", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert "LDAUU" not in vasp_inputs(oxide, PRESETS["imatgen"])["INCAR"]
    assert Incar.from_str(vasp_inputs(oxide, PRESETS["imatgen-refined"])["INCAR"])["LDAUU"] == [3.25, 0]


@pytest.mark.parametrize(("relax", "isif", "nsw"), [("nothing", 2, 0), ("positions", 2, 99), ("all", 3, 99)])
def test_what_moves(relax: str, isif: int, nsw: int) -> None:
    preset = replace(PRESETS["cpx"], relax=relax)
    incar = Incar.from_str(vasp_inputs(perovskite(), preset)["INCAR"])
    assert (incar["ISIF"], incar["NSW"], incar["IBRION"]) == (isif, nsw, -1 if nsw == 0 else 2)


@settings(max_examples=60)
@given(
    lengths=st.tuples(*[st.floats(2, 40)] * 3), angles=st.tuples(*[st.floats(70, 110)] * 3), spacing=st.floats(0.1, 1)
)
def test_k_points_are_no_farther_apart_than_asked(
    lengths: tuple[float, ...], angles: tuple[float, ...], spacing: float
) -> None:
    structure = Structure(Lattice.from_parameters(*lengths, *angles), ["Si"], [[0, 0, 0]])
    preset = replace(PRESETS["imatgen"], k_spacing=spacing)
    apart = np.array(structure.lattice.reciprocal_lattice.abc) / preset.k_points(structure)
    assert (apart <= spacing * (1 + 1e-6)).all()
    fewer = np.maximum(np.array(preset.k_points(structure)) - 1, 1)
    wider = np.array(structure.lattice.reciprocal_lattice.abc) / fewer
    assert ((wider > spacing * (1 - 1e-6)) | (np.array(preset.k_points(structure)) == 1)).all(), "and not closer"


def test_a_hexagonal_lattice_keeps_gamma() -> None:
    wurtzite = Structure(Lattice.hexagonal(3.8, 6.2), ["Zn", "S"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.375]])
    assert "Gamma" in vasp_inputs(wurtzite, PRESETS["cpx"])["KPOINTS"]
    assert "Monkhorst" in vasp_inputs(perovskite(), PRESETS["cpx"])["KPOINTS"]


# --- Quantum ESPRESSO ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ESPRESSO)
def test_two_readers_agree_on_the_espresso_input(name: str) -> None:
    structure, preset = halides()[1], PRESETS[name]
    text = espresso_input(structure, preset)
    atoms = read_espresso_in(io.StringIO(text))
    np.testing.assert_allclose(atoms.cell[:], structure.lattice.matrix, atol=1e-10)
    np.testing.assert_allclose(atoms.positions, structure.cart_coords, atol=1e-9)
    assert atoms.get_chemical_symbols() == [site.specie.symbol for site in structure]
    # pymatgen's own reader takes a list for each species for one for each site, so it is asked without spin
    read = PWInput.from_str(espresso_input(structure, replace(preset, spin=False)))
    assert content_id(read.structure.remove_site_property("pseudo")) == content_id(structure)
    assert read.sections["system"]["ecutwfc"] == preset.cutoff
    assert tuple(read.kpoints_grid) == preset.k_points(structure)
    assert read.pseudo["Pb"] == "Pb.upf"


def test_pseudopotentials_stay_the_user_s() -> None:
    files = {"Cs": "cs.upf", "Pb": "pb_d.upf", "Br": "br.upf", "I": "i.upf"}
    assert " pb_d.upf\n" in espresso_input(halides()[0], PRESETS["tl-vae"], files)
    with pytest.raises(CalculationInputError, match="no pseudopotential is named for I"):
        espresso_input(halides()[0], PRESETS["tl-vae"], {"Cs": "", "Pb": "", "Br": ""})


def pw_output(structure: Structure, energy: float, *, relaxation: str = "", end: str = "   JOB DONE.\n") -> str:
    """The lines of a pw.x output that carry meaning for us; energy in Ry."""
    alat = 10.0
    bohr = 0.529177210903
    cell = "".join(
        f"               a({i + 1}) = ( {' '.join(f'{x:.9f}' for x in row)} )  \n"
        for i, row in enumerate(structure.lattice.matrix / bohr / alat)
    )
    sites = "".join(
        f"     {i + 1:5d}           {site.specie.symbol:<3} tau({i + 1:4d}) = ( "
        f"{' '.join(f'{x:.9f}' for x in site.coords / bohr / alat)}  )\n"
        for i, site in enumerate(structure)
    )
    return (
        "\n     Program PWSCF v.7.3 starts on 1Jan2026 at 12: 0: 0 \n\n"
        f"     bravais-lattice index     =            0\n     lattice parameter (alat)  =      {alat:.4f}  a.u.\n"
        f"     number of atoms/cell      =           {len(structure):2d}\n"
        f"     number of atomic types    =            {len(structure.composition)}\n"
        f"     celldm(1)=  {alat:.6f}  celldm(2)=   0.000000  celldm(3)=   0.000000\n\n"
        f"     crystal axes: (cart. coord. in units of alat)\n{cell}\n"
        f"   Cartesian axes\n\n     site n.     atom                  positions (alat units)\n{sites}\n"
        "     End of self-consistent calculation\n\n"
        "     Number of k-points >= 100: set verbosity='high' to print the bands.\n\n"
        f"!    total energy              =  {energy:.8f} Ry\n"
        "     convergence has been achieved in  11 iterations\n\n"
        f"{relaxation}{end}"
    )


def test_an_espresso_run_is_read_when_it_finished_and_only_then() -> None:
    structure = halides()[0]
    text = pw_output(structure, -100.5)
    run = parse_pw_output(text.encode(), "pw.out")
    assert run.energy == pytest.approx(-100.5 * 13.605693, rel=1e-6)
    assert run.structure is not None
    np.testing.assert_allclose(run.structure.cart_coords, structure.cart_coords, atol=1e-6)
    assert run.static
    stopped = "     BFGS Geometry Optimization\n     The maximum number of steps has been reached.\n"
    done = stopped + "     bfgs converged in   2 scf cycles and   1 bfgs steps\n"
    assert not parse_pw_output(pw_output(structure, -1.0, relaxation=done).encode(), "pw.out").static
    for bad, words in (
        (pw_output(structure, -1.0, end=""), "cut off"),
        (text.replace("has been achieved", "NOT achieved"), "did not converge"),
        (pw_output(structure, -1.0, relaxation=stopped), "bfgs converged"),
        (text.replace("convergence has been achieved", ""), "no self-consistent"),
    ):
        with pytest.raises(UnfinishedRunError, match=words):
            parse_pw_output(bad.encode(), "pw.out")
    with pytest.raises(FileFormatError, match=r"not an output of pw\.x"):
        parse_pw_output(b"something else", "pw.out")
    with pytest.raises(FileFormatError, match="cannot be read"):
        parse_pw_output(text.replace("total energy", "total energie").encode(), "pw.out")


# --- folders and jobs ---------------------------------------------------------------------------


def test_one_folder_an_entry_and_nothing_overwritten(tmp_path: Path) -> None:
    structures, ids = halides(), ["set a/0", "set a/1#0", "2"]
    written = write_calculations(structures, ids, tmp_path / "runs", "cpx")
    assert written.runs == tuple(ids)
    assert sorted(p.name for p in (tmp_path / "runs" / "set a" / "0").iterdir()) == [
        "INCAR", "KPOINTS", "POSCAR", "POTCAR.spec",
    ]  # fmt: skip
    assert (tmp_path / "runs" / "runs.txt").read_text().splitlines() == ids
    write_calculations(structures, ids, tmp_path / "runs", "cpx")
    before = {path: path.read_text() for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    with pytest.raises(CalculationInputError, match="other inputs are there already"):
        write_calculations(structures, ids, tmp_path / "runs", "cpx-slab")
    assert {path: path.read_text() for path in (tmp_path / "runs").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("wrong", ["../up", "/root", "a//b", ".hidden", "a/INCAR", "runs.txt", "a\nb", "", "x" * 300])
def test_ids_that_cannot_be_folders(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(CalculationInputError, match="cannot be a folder"):
        write_calculations(halides(2), ["good", wrong], tmp_path / "runs", "cpx")
    assert not (tmp_path / "runs").exists()


def test_what_has_no_inputs(tmp_path: Path) -> None:
    shared = Structure(Lattice.cubic(3.7), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    with pytest.raises(CalculationInputError, match="shared by species"):
        write_calculations([shared], ["a"], tmp_path, "cpx")
    with pytest.raises(CalculationInputError, match="for espresso, not for vasp"):
        vasp_inputs(perovskite(), PRESETS["tl-vae"])
    with pytest.raises(ValueError, match="no preset 'gold standard'"):
        write_calculations(halides(1), ["a"], tmp_path, "gold standard")
    with pytest.raises(ValueError, match="as many different ids"):
        write_calculations(halides(2), ["a", "a"], tmp_path, "cpx")
    with pytest.raises(ValueError, match="k_grid or k_spacing"):
        DftPreset("vasp", "", 500, 1e-5, 0.01)
    with pytest.raises(ValueError, match="must be positive"):
        DftPreset("vasp", "", -1, 1e-5, 0.01, k_spacing=0.2)


#: Stands for VASP: says of the cell what an OUTCAR says, with an energy that the POSCAR's first line gives away.
FAKE_VASP = r"""#!/usr/bin/env python3
import pathlib, sys
lines = pathlib.Path("POSCAR").read_text().splitlines()
symbols = pathlib.Path("POTCAR.spec").read_text().split()
assert pathlib.Path("POTCAR").read_text() == "".join(f"potential {symbol}\n" for symbol in symbols)
names, counts = lines[5].split(), [int(n) for n in lines[6].split()]
with open("runs.log", "a") as log:
    log.write("run\n")
energy = -float(pathlib.Path.cwd().name) - 30
pathlib.Path("CONTCAR").write_text("\n".join(lines) + "\n")
pathlib.Path("OUTCAR").write_text(
    "".join(f"   VRHFIN ={name}: s1\n" for name in names)
    + f" number of ions     NIONS = {sum(counts)}\n   NSW    = 99\n   IBRION = 2\n"
    + f"   ions per type = {' '.join(map(str, counts))}\n"
    + "--------- Iteration    1(   1)  ---\n aborting loop because EDIFF is reached\n"
    + f"  free  energy   TOTEN  =       {energy:.8f} eV\n\n"
    + f"  energy  without entropy=   {energy:.8f}  energy(sigma->0) =   {energy:.8f}\n"
    + " reached required accuracy - stopping structural energy minimisation\n"
    + " General timing and accounting informations for this job:\n")
"""


def run_job(folder: Path, task: int, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "job-array.sh"],
        cwd=folder,
        env=os.environ | {"SLURM_ARRAY_TASK_ID": str(task)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_jobs_run_once_and_results_come_back_by_id(tmp_path: Path) -> None:
    structures, ids = halides(), ["set a/0", "set a/1", "set a/2"]
    written = write_calculations(structures, ids, tmp_path / "runs", "cpx")
    potentials = tmp_path / "my potentials"
    for symbol in ("Cs_sv", "Pb_d", "I", "Br"):
        (potentials / symbol).mkdir(parents=True)
        (potentials / symbol / "POTCAR").write_text(f"potential {symbol}\n")
    program = tmp_path / "fake_vasp"
    program.write_text(FAKE_VASP)
    program.chmod(0o755)
    environment = {"VASP_PP_PATH": str(potentials), "VASP_COMMAND": str(program)}
    for task in (1, 3, 3):
        done = run_job(written.folder, task, **environment)
        assert done.returncode == 0, done.stderr
    assert (written.folder / "set a" / "2" / "runs.log").read_text() == "run\n", "what has finished is not run again"
    without = run_job(written.folder, 2, VASP_COMMAND=str(program))
    assert without.returncode != 0
    assert "name your folder of VASP potentials" in without.stderr
    found = qperov.read(written.folder, target="energy")
    assert found.ids == ("set a/0", "set a/2")
    assert found.y is not None
    assert found.y.tolist() == [-30.0, -32.0]
    assert [type(issue) for issue in found.issues] == [MissingLabelError], "the one that has not run"
    assert [s.composition for s in found.structures] == [structures[i].composition for i in (0, 2)]


def test_espresso_results_come_back_by_id_too(tmp_path: Path) -> None:
    structures, ids = halides(), ["set/0", "set/1", "set/2"]
    written = write_calculations(structures, ids, tmp_path / "runs", "cpx-espresso")
    program = tmp_path / "fake_pw"
    program.write_text('#!/bin/bash\nset -eu\necho run >> runs.log\ncat "$PREPARED"\n')
    program.chmod(0o755)
    (tmp_path / "prepared").write_text(pw_output(structures[1], -150.0))
    environment = {"ESPRESSO_COMMAND": str(program), "ESPRESSO_PSEUDO": "x", "PREPARED": str(tmp_path / "prepared")}
    for _ in range(2):
        done = run_job(written.folder, 2, **environment)
        assert done.returncode == 0, done.stderr
    assert (written.folder / "set" / "1" / "runs.log").read_text() == "run\n"
    assert "ESPRESSO_PSEUDO" in run_job(written.folder, 1, ESPRESSO_COMMAND=str(program)).stderr
    found = qperov.read(written.folder, target="energy")
    assert found.ids == ("set/1",)
    assert found.y is not None
    assert found.y[0] == pytest.approx(-150 * 13.605693, rel=1e-6)
    assert found.provenance == ("pw.x output, last total energy",)
    assert found.structures[0].composition == structures[1].composition
