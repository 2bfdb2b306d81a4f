"""Reading of crystal files: facts about real runs, parity with other readers, and every kind of bad input."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sqlite3
import tarfile
import time
import zipfile
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from development_data import SHARED, needs_shared
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp import Poscar

from qperov.crystals.files import archives, entries, sources
from qperov.crystals.files.poscar import parse_poscar
from qperov.crystals.plausibility import check_cell
from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.reading import read
from qperov.errors import (
    AtomCountError,
    DuplicateIdError,
    EmptyDatasetError,
    EmptyFileError,
    FileFormatError,
    ImplausibleCellError,
    MissingLabelError,
    ReadingError,
    UnfinishedRunError,
    UnknownElementError,
    UnreadableFileError,
)

NACL = """NaCl
1.0
5.6 0.0 0.0
0.0 5.6 0.0
0.0 0.0 5.6
Na Cl
4 4
Direct
0.0 0.0 0.0
0.5 0.5 0.0
0.5 0.0 0.5
0.0 0.5 0.5
0.5 0.5 0.5
0.0 0.0 0.5
0.0 0.5 0.0
0.5 0.0 0.0
"""
VASP4 = NACL.replace("Na Cl\n", "").replace("NaCl\n", "Na Cl\n")


def outcar(
    *,
    names: str = "Na Cl",
    counts: str = "4 4",
    nsw: int = 0,
    ibrion: int = -1,
    scf: bool = True,
    relaxed: bool = False,
) -> str:
    """The lines of an OUTCAR that carry meaning for us, of a run on the cell above."""
    n = sum(int(count) for count in counts.split())
    potentials = "".join(f"   VRHFIN ={name}: s1\n" for name in names.split())
    positions = Structure.from_str(NACL, fmt="poscar").cart_coords
    table = "".join(f" {x:10.5f} {y:10.5f} {z:10.5f}  0.0 0.0 0.0\n" for x, y, z in positions)
    return (
        f" vasp.6.3.0\n{potentials}   number of dos      NEDOS =    301   number of ions     NIONS = {n:6d}\n"
        f"   NSW    = {nsw:6d}    number of steps for IOM\n   IBRION = {ibrion:6d}    ionic relax\n"
        f"   ions per type = {counts}\n"
        "----------------------------------------- Iteration    1(   1)  ------------\n"
        "  free energy    TOTEN  =       -99.00000000 eV\n"
        "  energy without entropy =      -99.00000000  energy(sigma->0) =      -99.00000000\n"
        + ("------------------------ aborting loop because EDIFF is reached ------------\n" if scf else "")
        + " POSITION                                       TOTAL-FORCE (eV/Angst)\n ------\n"
        f"{table} ------\n"
        "  free  energy   TOTEN  =       -27.12345678 eV\n\n"
        "  energy  without entropy=      -27.10000000  energy(sigma->0) =      -27.11172839\n"
        + (" reached required accuracy - stopping structural energy minimisation\n" if relaxed else "")
        + " General timing and accounting informations for this job:\n"
    )


def vasprun(*, nsw: int = 0, energy: str = "-27.12345678", head: str = "") -> str:
    cell = (
        '<crystal><varray name="basis"><v>5.6 0 0</v><v>0 5.6 0</v><v>0 0 5.6</v></varray></crystal>'
        '<varray name="positions"><v>0 0 0</v><v>0.5 0.5 0.5</v></varray>'
    )
    energies = f'<i name="e_fr_energy">{energy}</i><i name="e_wo_entrp">-27.1</i><i name="e_0_energy">{energy}</i>'
    scf = '<i name="e_fr_energy">-27.12345678</i><i name="e_0_energy">-27.11172839</i>'
    return (
        f'<?xml version="1.0" encoding="ISO-8859-1"?>{head}<modeling><incar>'
        f'<i type="int" name="NSW">{nsw}</i><i type="int" name="IBRION">2</i><i type="int" name="NELM">60</i></incar>'
        '<atominfo><atoms>2</atoms><array name="atoms"><set><rc><c>Na</c><c>1</c></rc><rc><c>Cl</c><c>2</c></rc></set>'
        f"</array></atominfo><calculation><scstep><energy>{scf}</energy></scstep><energy>{energies}</energy>"
        f'</calculation><structure name="finalpos">{cell}</structure></modeling>'
    )


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def issue_of(folder: Path, kind: type[ReadingError], **options: object) -> ReadingError:
    """Read a folder with one good file beside bad ones; the good one must survive and one issue be listed."""
    write(folder / "good" / "POSCAR", NACL)
    dataset = read(folder, **options)
    assert "good" in dataset.ids
    (issue,) = dataset.issues
    assert type(issue) is kind
    return issue


# --- POSCAR ---------------------------------------------------------------------------------------


def test_vasp5_and_vasp4_files_give_the_same_crystal() -> None:
    five, four = parse_poscar(NACL, "five"), parse_poscar(VASP4, "four")
    assert five == four
    assert five.formula == "Na4 Cl4"
    assert not five.site_properties


@pytest.mark.parametrize("comment", ["Na4 Cl4", "Na4Cl4", "  Na   Cl  "])
def test_vasp4_comment_that_fits_names_the_elements(comment: str) -> None:
    assert parse_poscar(VASP4.replace("Na Cl", comment, 1), "x").formula == "Na4 Cl4"


@pytest.mark.parametrize("comment", ["Na", "Na Cl Br", "NaCl", "Na2 Cl4", "Na Na", "rock salt", "", "Xx Yy"])
def test_vasp4_comment_that_does_not_fit_is_refused_by_name(tmp_path: Path, comment: str) -> None:
    write(tmp_path / "bad" / "POSCAR", VASP4.replace("Na Cl", comment, 1))
    issue = issue_of(tmp_path, UnknownElementError)
    assert issue.path.endswith("bad/POSCAR")
    assert "add a line with the element symbols" in issue.reason
    assert "4 4" in issue.reason


def test_element_line_with_names_of_potentials() -> None:
    assert parse_poscar(NACL.replace("Na Cl\n4", "Na_pv Cl/1a2b3c\n4"), "x").formula == "Na4 Cl4"


def test_element_line_with_an_unknown_element(tmp_path: Path) -> None:
    write(tmp_path / "bad" / "POSCAR", NACL.replace("Na Cl\n4", "Na Qq\n4"))
    assert "'Qq' is not an element" in issue_of(tmp_path, UnknownElementError).reason


def test_wrong_element_counts(tmp_path: Path) -> None:
    write(tmp_path / "bad" / "POSCAR", NACL.replace("4 4", "8"))
    assert "2 elements but 1 atom counts" in issue_of(tmp_path, AtomCountError).reason


def test_negative_scale_is_the_cell_volume() -> None:
    structure = parse_poscar(NACL.replace("\n1.0\n", "\n-200.0\n", 1), "x")
    assert structure.volume == pytest.approx(200.0, rel=1e-12)
    assert structure.lattice.angles == pytest.approx((90, 90, 90))


def test_three_scales_stretch_the_cartesian_components() -> None:
    structure = parse_poscar(NACL.replace("\n1.0\n", "\n1.0 2.0 0.5\n", 1), "x")
    assert structure.lattice.abc == pytest.approx((5.6, 11.2, 2.8))


def test_cartesian_positions_are_scaled_with_the_lattice() -> None:
    rows = NACL.splitlines()
    cartesian = [" ".join(str(5.6 * float(x)) for x in row.split()) for row in rows[8:]]
    text = "\n".join([*rows[:7], "Selective dynamics", "Cartesian", *(row + " T F T" for row in cartesian)])
    for scale in ("1.0", "1.1", "-190.0"):
        scaled = text.replace("\n1.0\n", f"\n{scale}\n", 1)
        np.testing.assert_allclose(
            parse_poscar(scaled, "x").frac_coords, parse_poscar(NACL, "x").frac_coords, atol=1e-12
        )


def test_velocities_are_passed_over() -> None:
    assert parse_poscar(NACL + "\n" + "0.1 0.2 0.3\n" * 8, "x") == parse_poscar(NACL, "x")


@pytest.mark.parametrize("keep", [1, 4, 6, 8, 9, 15])
def test_a_poscar_cut_short_is_refused(keep: int) -> None:
    with pytest.raises(FileFormatError, match=r"cut short|after the elements|must say Direct"):
        parse_poscar("\n".join(NACL.splitlines()[:keep]), "x")


@pytest.mark.parametrize(
    ("old", "new", "kind", "words"),
    [
        ("5.6 0.0 0.0", "5.6 0.0", FileFormatError, "lattice vectors, three numbers"),
        ("5.6 0.0 0.0", "5.6 a 0.0", FileFormatError, "lattice vectors, three numbers"),
        ("5.6 0.0 0.0", "0.0 5.6 0.0", ImplausibleCellError, "no volume"),
        ("5.6 0.0 0.0", "nan 0.0 0.0", ImplausibleCellError, "finite"),
        ("\n1.0\n", "\none\n", FileFormatError, "the scale"),
        ("\n1.0\n", "\n0.0\n", FileFormatError, "must be positive"),
        ("\n1.0\n", "\n1.0 -1.0 1.0\n", FileFormatError, "must be positive"),
        ("0.5 0.5 0.5", "0.5 0.5 x", FileFormatError, "line 13"),
        ("0.5 0.5 0.5", "0.5 0.5 nan", ImplausibleCellError, "position is not a finite number"),
        ("4 4", "0 0", ImplausibleCellError, "without atoms"),
        ("4 4", "4 -4", FileFormatError, "whole numbers"),
    ],
)
def test_lines_of_a_poscar_that_cannot_be(old: str, new: str, kind: type[ReadingError], words: str) -> None:
    with pytest.raises(kind, match=words):
        parse_poscar(NACL.replace(old, new, 1), "x")


finite = st.floats(-2, 2).map(lambda x: round(x, 12))


@st.composite
def cells(draw: st.DrawFn) -> Structure:
    lattice = Lattice.from_parameters(
        *(draw(st.floats(3, 30)) for _ in range(3)), *(draw(st.floats(65, 115)) for _ in range(3))
    )
    species = draw(st.lists(st.sampled_from(["Cs", "Pb", "Br", "I", "O", "H"]), min_size=1, max_size=12))
    positions = [[draw(finite) for _ in range(3)] for _ in species]
    return Structure(lattice, species, positions)


@settings(max_examples=40, deadline=None)
@given(cell=cells(), direct=st.booleans(), scale=st.sampled_from(["1.0", "0.9", "-321.5"]))
def test_parser_agrees_with_pymatgen_on_vasp5_files(cell: Structure, direct: bool, scale: str) -> None:
    # pymatgen multiplies Cartesian positions by the negative number itself; ours are tested above.
    direct = direct or scale.startswith("-")
    lines = Poscar(cell).get_str(direct=direct, significant_figures=14).splitlines()
    text = "\n".join([lines[0], scale, *lines[2:]]) + "\n"
    ours, theirs = parse_poscar(text, "x"), Poscar.from_str(text).structure
    np.testing.assert_allclose(ours.lattice.matrix, theirs.lattice.matrix, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours.frac_coords, theirs.frac_coords, atol=1e-9)
    assert ours.species == theirs.species


# --- plausibility ---------------------------------------------------------------------------------


def test_absurd_volumes_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "bad" / "POSCAR", NACL.replace("\n1.0\n", "\n0.2\n", 1))
    assert "Å³ an atom, outside 2 to 1000" in issue_of(tmp_path, ImplausibleCellError).reason
    with pytest.raises(ImplausibleCellError, match="outside 2 to 1000"):
        check_cell(Structure(Lattice.cubic(15), ["H"], [[0, 0, 0]]), "x")


def test_atoms_on_top_of_each_other_are_refused_across_boundary(tmp_path: Path) -> None:
    write(tmp_path / "bad" / "POSCAR", NACL.replace("0.5 0.5 0.5", "0.97 0.98 0.99"))
    reason = issue_of(tmp_path, ImplausibleCellError).reason
    assert "atoms 1 (Na) and 5 (Cl)" in reason
    assert "0.210 Å apart" in reason


@settings(max_examples=60, deadline=None)
@given(cell=cells())
def test_close_atoms_are_found_as_by_a_search_over_all_images(cell: Structure) -> None:
    low, high = 2.0, 1000.0
    shifts = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3), axis=-1).reshape(-1, 3)
    positions = cell.frac_coords % 1
    difference = positions[:, None, None] - positions[None, :, None] + shifts
    distances = np.linalg.norm(difference @ cell.lattice.matrix, axis=-1)
    close = (distances[distances > 1e-9] < 0.5).any() or (
        distances.min(axis=2)[~np.eye(len(cell), dtype=bool)] < 0.5
    ).any()
    if close or not low <= cell.volume / len(cell) <= high:
        with pytest.raises(ImplausibleCellError):
            check_cell(cell, "x")
    else:
        check_cell(cell, "x")


def test_sites_that_share_one_atom_may_be_close() -> None:
    split = Structure(Lattice.cubic(5), [{"O": 0.5}, {"O": 0.5}], [[0, 0, 0], [0.05, 0, 0]])
    check_cell(split, "x")
    with pytest.raises(ImplausibleCellError, match="apart"):
        check_cell(Structure(Lattice.cubic(5), [{"O": 0.5}, "O"], [[0, 0, 0], [0.05, 0, 0]]), "x")


# --- files, folders, archives ---------------------------------------------------------------------


def test_names_of_files_become_ids(tmp_path: Path) -> None:
    for name in ("a/POSCAR", "b/CONTCAR", "c.vasp", "d/e.poscar", "f/POSCAR_7", "POSCAR"):
        write(tmp_path / name, NACL)
    for name in ("README.md", "a/INCAR", "a/KPOINTS", "table.csv", ".hidden/POSCAR", "b/notes.json"):
        write(tmp_path / name, "{}")
    dataset = read(tmp_path)
    assert set(dataset.ids) == {"a", "b", "c", "d/e", "f/POSCAR_7", tmp_path.name}
    assert dataset.issues == ()
    assert dataset.y is None


def test_one_file_by_name(tmp_path: Path) -> None:
    assert read(write(tmp_path / "cell" / "POSCAR", NACL)).ids == ("cell",)
    assert read(write(tmp_path / "x.vasp", NACL)).ids == ("x",)


def test_a_file_of_unknown_kind_by_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="not a kind of file that is read here"):
        read(write(tmp_path / "INCAR", "ENCUT = 500"))
    with pytest.raises(FileFormatError, match="name the folder of the run"):
        read(write(tmp_path / "OUTCAR", outcar()))
    with pytest.raises(EmptyDatasetError, match="not an ASE database"):
        read(write(tmp_path / "x.json", "[1]"))


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="No such file"):
        read(tmp_path / "nowhere")


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_compressed_files(tmp_path: Path, ending: str, pack: object) -> None:
    packed = pack(NACL.encode())  # type: ignore[operator]
    write(tmp_path / "a" / f"POSCAR.{ending}", packed)
    write(tmp_path / f"b.vasp.{ending}", packed)
    dataset = read(tmp_path)
    assert dataset.ids == ("a", "b")
    assert dataset.structures[0] == parse_poscar(NACL, "x")
    write(tmp_path / "bad" / f"POSCAR.{ending}", packed[: len(packed) // 2])
    assert "cannot be decompressed" in issue_of(tmp_path, FileFormatError).reason


def test_members_of_archives(tmp_path: Path) -> None:
    members = {
        "set/1/POSCAR": NACL,
        "set/2/POSCAR": VASP4,
        "set/README": "x",
        "run/OUTCAR": outcar(),
        "run/CONTCAR": NACL,
    }
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "in" / "a.tar.gz", "w:gz") as tar, zipfile.ZipFile(tmp_path / "b.zip", "w") as zipped:
        for name, text in members.items():
            info = tarfile.TarInfo("./" + name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
            zipped.writestr("z/" + name, text)
        link = tarfile.TarInfo("set/3/POSCAR")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    dataset = read(tmp_path)
    assert set(dataset.ids) == {"in/set/1", "in/set/2", "in/run", "z/set/1", "z/set/2", "z/run"}
    (issue,) = dataset.issues
    assert type(issue) is UnreadableFileError
    assert issue.path.endswith("a.tar.gz!set/3/POSCAR")
    assert "not followed" in issue.reason
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tar.gz", "b.zip", "in"]
    assert len(read(tmp_path, target="energy")) == 2


def test_an_archive_beyond_the_size_bound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_ARCHIVE_BYTES", 3 * len(NACL))
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        for i in range(5):
            zipped.writestr(f"{i}/POSCAR", NACL)
    dataset = read(tmp_path)
    assert len(dataset) == 3
    assert "GiB of crystal files" in dataset.issues[0].reason


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar", "a.zip"])
def test_an_archive_cut_short(tmp_path: Path, name: str) -> None:
    if name.endswith("zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as zipped:
            zipped.writestr("a/POSCAR", NACL)
    else:
        write(tmp_path / "POSCAR", NACL)
        with tarfile.open(tmp_path / name, "w:gz" if name.endswith("gz") else "w") as tar:
            tar.add(tmp_path / "POSCAR", "a/POSCAR")
        (tmp_path / "POSCAR").unlink()
    content = (tmp_path / name).read_bytes()
    write(tmp_path / name, content[: 700 if name == "a.tar" else len(content) // 2])
    assert "damaged" in issue_of(tmp_path, FileFormatError).reason


def tar_of(n: int, path: Path, mode: str) -> list[int]:
    """A tar of n cells; returns where each begins."""
    with tarfile.open(path, mode) as tar:
        for i in range(n):
            info = tarfile.TarInfo(f"c{i}/POSCAR")
            info.size = len(NACL)
            tar.addfile(info, io.BytesIO(NACL.encode()))
    with tarfile.open(path) as tar:
        return [member.offset for member in tar]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("at", [1, 3])
def test_a_flipped_bit_in_a_tar_header_is_told(tmp_path: Path, pack: object, at: int) -> None:
    offsets = tar_of(5, tmp_path / "a.tar", "w")
    content = bytearray((tmp_path / "a.tar").read_bytes())
    content[offsets[at] + 148] ^= 1
    write(tmp_path / "a.tar", pack(bytes(content)))  # type: ignore[operator]
    dataset = read(tmp_path)
    assert dataset.ids == tuple(f"c{i}" for i in range(at))
    (issue,) = dataset.issues
    assert f"the {at} crystal files before that were read" in issue.reason


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_tar_cut_between_two_files_is_told(tmp_path: Path, pack: object) -> None:
    offsets = tar_of(5, tmp_path / "a.tar", "w")
    write(tmp_path / "a.tar", pack((tmp_path / "a.tar").read_bytes()[: offsets[3]]))  # type: ignore[operator]
    dataset = read(tmp_path)
    assert len(dataset) == 3
    assert "no end mark" in dataset.issues[0].reason


def test_joined_tars_are_told_and_padding_is_not(tmp_path: Path) -> None:
    tar_of(2, tmp_path / "a.tar", "w")
    content = (tmp_path / "a.tar").read_bytes()
    write(tmp_path / "a.tar", content + bytes(10240))
    assert read(tmp_path).issues == ()
    write(tmp_path / "a.tar", content + content)
    assert "more data after its end mark" in read(tmp_path).issues[0].reason


@pytest.mark.parametrize(("ending", "pack"), [("bz2", bz2.compress), ("xz", lzma.compress)])
def test_junk_after_a_compressed_stream_is_told(tmp_path: Path, ending: str, pack: object) -> None:
    first, second = (pack(part.encode()) for part in (NACL[:40], NACL[40:]))  # type: ignore[operator]
    write(tmp_path / "a" / f"POSCAR.{ending}", first + second)
    assert read(tmp_path).ids == ("a",)
    write(tmp_path / "a" / f"POSCAR.{ending}", first + b"x" + second[1:])
    assert "cannot be decompressed" in issue_of(tmp_path, FileFormatError).reason


def test_a_zip_whose_directory_names_another_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as zipped:
        zipped.writestr("a/POSCAR", NACL)
    content = (tmp_path / "b.zip").read_bytes()
    at = content.rindex(b"POSCAR")
    write(tmp_path / "b.zip", content[:at] + b"PISCAR" + content[at + 6 :])
    assert "other names than the directory says" in issue_of(tmp_path, FileFormatError).reason


def test_text_beyond_the_limits_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "bad" / "POSCAR", NACL + "0 0 0\n" * 50)
    monkeypatch.setattr(sources, "MAX_LINES", 40)
    assert "lines, the most that is read" in issue_of(tmp_path, FileFormatError).reason
    monkeypatch.setattr(sources, "MAX_BYTES", 300)
    assert "the most that is read of a file" in issue_of(tmp_path, FileFormatError).reason


def test_memory_that_does_not_suffice_costs_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhaust(text: str, path: str) -> None:
        raise MemoryError

    monkeypatch.setattr(entries, "read_xyz", exhaust)
    write(tmp_path / "x.xyz", "1\n\nNa 0 0 0\n")
    assert "memory does not suffice" in issue_of(tmp_path, FileFormatError).reason


def test_names_that_escape_are_spelt_out(tmp_path: Path) -> None:
    for name in (b"caf\xe9", b"\x1b[2Jx", "gr\u00fcn".encode()):
        os.mkdir(os.fsencode(tmp_path) + b"/" + name)
        with open(os.fsencode(tmp_path) + b"/" + name + b"/POSCAR", "w") as file:
            file.write(NACL)
    write(tmp_path / "l.csv", b"id,e\ncaf\xe9,1\ngr\xc3\xbcn,2\n\x1b[2Jx,3\n")
    dataset = read(tmp_path, target="e", labels=tmp_path / "l.csv")
    assert set(dataset.ids) == {"caf\\xe9", "\\x1b[2Jx", "gr\u00fcn"}
    error = FileFormatError("a\x1b[2J", "two\nlines\u202e")
    assert str(error) == "a\\x1b[2J: two lines\\u202e"


def test_empty_file(tmp_path: Path) -> None:
    write(tmp_path / "bad" / "POSCAR", "")
    assert issue_of(tmp_path, EmptyFileError).reason == "the file is empty"


@pytest.mark.parametrize("name", ["POSCAR", "x.cif", "x.extxyz", "x.db", "vasprun.xml", "x.tar.gz"])
def test_binary_junk(tmp_path: Path, name: str) -> None:
    write(tmp_path / "bad" / name, bytes(np.random.default_rng(0).integers(0, 256, 4096, dtype=np.uint8)))
    assert f"bad/{name}" in issue_of(tmp_path, FileFormatError).path


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | st.text(alphabet="0123456789. NaCl\n-DdTF", max_size=300).map(str.encode))
def test_no_content_escapes_the_family_of_errors(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("junk")
    for name in ("a/POSCAR", "b.cif", "c.extxyz", "d/vasprun.xml", "e/OUTCAR", "f.json"):
        write(folder / name, content)
    try:
        dataset = read(folder)
    except EmptyDatasetError:
        return
    assert len(dataset) + len(dataset.issues) <= 6


def test_duplicate_id(tmp_path: Path) -> None:
    write(tmp_path / "a.vasp", NACL)
    write(tmp_path / "a" / "POSCAR", VASP4)
    dataset = read(tmp_path)
    assert dataset.ids == ("a",)
    (issue,) = dataset.issues
    assert type(issue) is DuplicateIdError
    assert issue.path.endswith("a.vasp")
    assert "a/POSCAR" in issue.reason


def test_unreadable_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refusing(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    issue = issue_of(tmp_path, UnreadableFileError)
    assert issue.path.endswith("closed")
    assert "Permission denied" in issue.reason


def test_dangling_link_and_fifo(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "POSCAR").symlink_to("gone")
    (tmp_path / "b").mkdir()
    os.mkfifo(tmp_path / "b" / "POSCAR")
    write(tmp_path / "good" / "POSCAR", NACL)
    dataset = read(tmp_path)
    assert [type(issue) for issue in dataset.issues] == [UnreadableFileError] * 2
    assert "No such file" in dataset.issues[0].reason
    assert "not a regular file" in dataset.issues[1].reason


def test_link_loop_is_reported_once(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b" / "x.vasp", NACL)
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a", target_is_directory=True)
    issue = issue_of(tmp_path, UnreadableFileError)
    assert issue.path.endswith("a/b/up")
    assert "a symbolic link to a folder above it" in issue.reason


def test_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    for here, there in (("a", "b"), ("b", "a")):
        write(tmp_path / here / "POSCAR", NACL)
        (tmp_path / here / "other").symlink_to(tmp_path / there, target_is_directory=True)
    dataset = read(tmp_path)
    assert dataset.ids == ("a", "b")
    assert [type(issue) for issue in dataset.issues] == [UnreadableFileError] * 2


def test_a_folder_is_read_once_under_its_own_name(tmp_path: Path) -> None:
    write(tmp_path / "inside" / "data" / "POSCAR", NACL)
    write(tmp_path / "outside" / "POSCAR", NACL)
    (tmp_path / "inside" / "alias").symlink_to(tmp_path / "inside" / "data", target_is_directory=True)
    (tmp_path / "inside" / "linked").symlink_to(tmp_path / "outside", target_is_directory=True)
    dataset = read(tmp_path / "inside")
    assert dataset.ids == ("data", "linked")
    (issue,) = dataset.issues
    assert "already read under another name" in issue.reason


def test_strict_reading_raises_the_first_issue_with_the_count(tmp_path: Path) -> None:
    for i in range(3):
        write(tmp_path / f"bad{i}" / "POSCAR", "")
    write(tmp_path / "good" / "POSCAR", NACL)
    with pytest.raises(EmptyFileError, match=r"bad0/POSCAR: the file is empty \(the first of 3 problems"):
        read(tmp_path, strict=True)


def test_nothing_usable_is_an_error_with_reasons_and_counts(tmp_path: Path) -> None:
    for i in range(5):
        write(tmp_path / f"bad{i}" / "POSCAR", "")
    write(tmp_path / "x" / "POSCAR", VASP4.replace("Na Cl", "?", 1))
    reasons = r"(?s)5 EmptyFileError, 1 UnknownElementError.*bad0/POSCAR: the file.*x/POSCAR: no element line"
    with pytest.raises(EmptyDatasetError, match=reasons):
        read(tmp_path)
    (tmp_path / "void").mkdir()
    with pytest.raises(EmptyDatasetError, match="no crystal files found"):
        read(tmp_path / "void")


def test_progress_counts_every_file(tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path / f"{i}" / "POSCAR", NACL if i else "")
    seen: list[tuple[int, int | None, str]] = []
    read(tmp_path, progress=lambda *step: seen.append(step))
    assert seen == [(1, 4, "0"), (2, 4, "1"), (3, 4, "2"), (4, 4, "3")]


# --- CIF, extended XYZ, ASE databases -------------------------------------------------------------


def test_cif_with_several_blocks_and_a_comment(tmp_path: Path) -> None:
    cell = parse_poscar(NACL, "x")
    block = str(CifWriter(cell, significant_figures=12))
    broken = block.replace("_cell_length_a", "_cell_longness_a").replace("data_NaCl", "data_broken")
    write(tmp_path / "x.cif", f"# a comment\n{block}\n{broken}\n{block}")
    dataset = read(tmp_path)
    assert dataset.ids == ("x#0", "x#2")
    np.testing.assert_allclose(dataset.structures[1].lattice.matrix, cell.lattice.matrix, atol=1e-9)
    assert not dataset.structures[0].site_properties
    (issue,) = dataset.issues
    assert type(issue) is FileFormatError
    assert "(block 2, data_broken)" in issue.path


CIF = str(CifWriter(parse_poscar(NACL, "x")))
LAST = "  Cl  Cl7  1  0.50000000  0.00000000  0.00000000  1\n"


@pytest.mark.parametrize(
    ("old", "new", "kind", "words"),
    [
        (LAST, "", FileFormatError, "its sites give Na4 Cl3, but its formula sum says Na4 Cl4"),
        (LAST, LAST[:-2] + "0\n", FileFormatError, "a site of occupancy 0"),
        (LAST, LAST[:-2] + "-1\n", FileFormatError, "a site of occupancy -1"),
        ("_cell_volume   175", "_cell_volume   185", FileFormatError, "175.62 Å³, but _cell_volume says 185.62"),
        ("_chemical_formula_sum   'Na4 Cl4'", "_symmetry_x 1", None, ""),
        ("Tables_number   1", "Tables_number   225", None, "1 rotations, but space group 225 has 48"),
        ("  Cl  Cl7", "  Qq  Qq7", UnknownElementError, "Qq"),
        ("_cell_volume   175.61600000", "_cell_volume   ?", None, ""),
    ],
)
def test_a_cif_that_contradicts_itself(
    tmp_path: Path, old: str, new: str, kind: type[ReadingError] | None, words: str
) -> None:
    assert old in CIF
    write(tmp_path / "x.cif", CIF.replace(old, new))
    if kind is not None:
        assert words in issue_of(tmp_path, kind).reason
    else:
        dataset = read(tmp_path)
        assert [words in caution for caution in dataset.cautions] == [True] * bool(words)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of spglib, in what writes the file
def test_a_cif_that_lost_its_operations_is_refused(tmp_path: Path) -> None:
    text = str(CifWriter(parse_poscar(NACL, "x"), symprec=0.01))
    write(tmp_path / "x.cif", text)
    assert read(tmp_path).structures[0].composition == parse_poscar(NACL, "x").composition
    lines = [line for line in text.splitlines() if not line.lstrip()[:1].isdigit() or "'x, y, z'" in line]
    without = [line for line in lines if "formula" not in line]
    for kept, words in ((lines, "fewer|but its formula sum|48"), (without, "but space group 225 has 48")):
        write(tmp_path / "x.cif", "\n".join(kept) + "\n")
        with pytest.raises(EmptyDatasetError, match=words):
            read(tmp_path)


def test_what_pymatgen_warns_of_is_a_caution(tmp_path: Path) -> None:
    write(tmp_path / "x.cif", CIF.replace("0.50000000  0.00000000  0.00000000  1", "0.33333  0.00000  0.00000  1", 1))
    (caution,) = read(tmp_path).cautions
    assert caution.startswith("x: pymatgen says: ")


def frames() -> list[Atoms]:
    made = []
    for i in range(3):
        atoms = Atoms("NaCl", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[4 + 0.1 * i] * 3, pbc=True)
        atoms.calc = SinglePointCalculator(atoms, energy=-6.5 - i)
        atoms.info["gap"] = 5.0 + i
        made.append(atoms)
    return made


def check_frames(dataset: CrystalDataset) -> None:
    assert dataset.ids == ("x#0", "x#1", "x#2")
    np.testing.assert_allclose([s.lattice.a for s in dataset.structures], [4.0, 4.1, 4.2], atol=1e-8)
    assert [s.formula for s in dataset.structures] == ["Na1 Cl1"] * 3


@pytest.mark.parametrize("packed", [False, True])
def test_extended_xyz_round_trip(tmp_path: Path, packed: bool) -> None:
    ase.io.write(tmp_path / "x.extxyz", frames(), format="extxyz")
    if packed:
        write(tmp_path / "x.extxyz.gz", gzip.compress((tmp_path / "x.extxyz").read_bytes()))
        (tmp_path / "x.extxyz").unlink()
    dataset = read(tmp_path, target="energy")
    check_frames(dataset)
    assert dataset.y is not None
    assert dataset.y.tolist() == [-6.5, -7.5, -8.5]
    assert dataset.unit == "eV/cell"
    assert set(dataset.provenance) == {f"x.extxyz{'.gz' * packed}, energy"}
    gaps = read(tmp_path, target="gap").y
    assert gaps is not None
    assert gaps.tolist() == [5.0, 6.0, 7.0]


def test_extended_xyz_cut_short_keeps_the_whole_frames(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "y.extxyz", frames(), format="extxyz")
    text = (tmp_path / "y.extxyz").read_text()
    write(tmp_path / "x.extxyz", "\n".join(text.splitlines()[:-1]))
    (tmp_path / "y.extxyz").unlink()
    dataset = read(tmp_path)
    assert dataset.ids == ("x#0", "x#1")
    assert "cut short" in dataset.issues[0].reason


def test_xyz_without_a_lattice(tmp_path: Path) -> None:
    write(tmp_path / "mol.xyz", "1\nhydrogen\nH 0 0 0\n")
    assert "no lattice" in issue_of(tmp_path, FileFormatError).reason


@pytest.mark.parametrize("ending", ["db", "json"])
def test_ase_database_round_trip(tmp_path: Path, ending: str) -> None:
    with ase.db.connect(tmp_path / f"x.{ending}") as database:
        for i, atoms in enumerate(frames()):
            database.write(atoms, hardness=float(i), label="abc")
    dataset = read(tmp_path / f"x.{ending}", target="energy_per_atom")
    check_frames(dataset)
    assert dataset.y is not None
    assert dataset.y.tolist() == [-3.25, -3.75, -4.25]
    hardness = read(tmp_path, target="hardness").y
    assert hardness is not None
    assert hardness.tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(EmptyDatasetError, match=r"no value of 'softness' .*energy, .*hardness"):
        read(tmp_path, target="softness")


def test_a_damaged_row_of_a_database_costs_one_row(tmp_path: Path) -> None:
    for ending in ("db", "json"):
        with ase.db.connect(tmp_path / f"x.{ending}") as database:
            for atoms in frames():
                database.write(atoms)
    connection = sqlite3.connect(tmp_path / "x.db")
    connection.execute("UPDATE systems SET positions = x'0011' WHERE id = 2")
    connection.commit()
    connection.close()
    text = (tmp_path / "x.json").read_text()
    at = text.index('"positions"', text.index('"2": {'))
    write(tmp_path / "x.json", text[:at] + '"poxitions"' + text[at + 11 :])
    for ending in ("db", "json"):
        dataset = read(tmp_path / f"x.{ending}", target="energy")
        assert dataset.ids == ("x#0", "x#2")
        assert "this row is damaged" in dataset.issues[0].reason


def test_a_damaged_json_database_is_not_passed_over(tmp_path: Path) -> None:
    with ase.db.connect(tmp_path / "x.json") as database:
        database.write(frames()[0])
    text = (tmp_path / "x.json").read_text()
    for keep in (*range(1, 21), 200, len(text) - 5):
        write(tmp_path / "x.json", text[:keep])
        assert "damaged" in issue_of(tmp_path, FileFormatError).reason


def test_columns_of_a_frame_are_not_believed(tmp_path: Path) -> None:
    comment = 'Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3:foo:R:999999999'
    write(tmp_path / "x.xyz", f"1\n{comment}\nNa 0 0 0 1\n")
    assert "columns declared, but the first atom has 5" in issue_of(tmp_path, FileFormatError).reason


# --- VASP runs ------------------------------------------------------------------------------------


def run_folder(folder: Path, output: str | bytes, name: str = "OUTCAR", contcar: str | None = NACL) -> Path:
    write(folder / name, output)
    if contcar is not None:
        write(folder / "CONTCAR", contcar)
    return folder


def test_energies_of_a_run(tmp_path: Path) -> None:
    run_folder(tmp_path / "run", outcar())
    write(tmp_path / "run" / "POSCAR", NACL)
    dataset = read(tmp_path, target="energy")
    assert (dataset.ids, dataset.unit) == (("run",), "eV/cell")
    assert dataset.y is not None
    assert dataset.y[0] == -27.12345678
    assert dataset.provenance == ("OUTCAR, last free energy TOTEN",)
    assert dataset.issues == ()
    sigma = read(tmp_path, target="energy", energy="sigma0")
    assert sigma.y is not None
    assert sigma.y[0] == -27.11172839
    per_atom = read(tmp_path, target="energy_per_atom", convert="meV/atom")
    assert per_atom.y is not None
    assert per_atom.y[0] == pytest.approx(-27123.45678 / 8, rel=1e-14)


def test_a_run_kept_compressed_in_the_folder_named(tmp_path: Path) -> None:
    run_folder(tmp_path / "one", lzma.compress(outcar().encode()), "OUTCAR.xz")
    assert read(tmp_path / "one", target="energy").ids == ("one",)


def test_an_outcar_cut_short_at_any_line_is_never_taken(tmp_path: Path) -> None:
    lines = outcar().splitlines(keepends=True)
    write(tmp_path / "good" / "POSCAR", NACL)
    for keep in range(1, len(lines)):
        run_folder(tmp_path / "run", "".join(lines[:keep]))
        dataset = read(tmp_path)
        assert dataset.ids == ("good",), keep
        assert isinstance(dataset.issues[0], UnfinishedRunError | FileFormatError)
    assert "the run was cut off" in dataset.issues[0].reason


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scf": False}, "did not reach EDIFF"),
        ({"nsw": 50, "ibrion": 2}, "without 'reached required accuracy' \\(NSW = 50\\)"),
    ],
)
def test_runs_that_did_not_converge(tmp_path: Path, options: dict, words: str) -> None:
    run_folder(tmp_path / "run", outcar(**options))
    issue = issue_of(tmp_path, UnfinishedRunError)
    with pytest.raises(UnfinishedRunError, match=words):
        raise issue


def test_a_relaxation_that_reached_its_accuracy_is_taken(tmp_path: Path) -> None:
    run_folder(tmp_path / "run", outcar(nsw=50, ibrion=2, relaxed=True))
    assert len(read(tmp_path, target="energy")) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"counts": "4 5"}, "8 atoms here, but NIONS = 9"),
        ({"names": "Na Br"}, "atom 5 is Cl here, but Br"),
        ({"names": "Na"}, "NIONS = 8, but 1 potentials"),
    ],
)
def test_contcar_of_another_composition(tmp_path: Path, options: dict, words: str) -> None:
    run_folder(tmp_path / "run", outcar(**options))
    assert words in issue_of(tmp_path, AtomCountError).reason


def test_contcar_of_another_ordering(tmp_path: Path) -> None:
    lines = NACL.splitlines()
    lines[8], lines[12] = lines[12], lines[8]
    run_folder(tmp_path / "run", outcar(), contcar="\n".join(lines))
    assert "the files do not match" in issue_of(tmp_path, FileFormatError).reason


def test_contcar_of_vasp4_does_not_take_elements_from_outcar(tmp_path: Path) -> None:
    run_folder(tmp_path / "run", outcar(), contcar=VASP4.replace("Na Cl", "unknown", 1))
    assert "add a line" in issue_of(tmp_path, UnknownElementError).reason


def test_outcar_without_a_structure(tmp_path: Path) -> None:
    run_folder(tmp_path / "run", outcar(nsw=50, ibrion=2, relaxed=True), contcar=None)
    write(tmp_path / "run" / "POSCAR", NACL)
    assert "no CONTCAR beside it" in issue_of(tmp_path, FileFormatError).reason
    run_folder(tmp_path / "run", outcar(), contcar=None)
    assert len(read(tmp_path, target="energy")) == 1, "a static run's POSCAR is its structure"


def test_vasprun_alone(tmp_path: Path) -> None:
    run_folder(tmp_path / "run", gzip.compress(vasprun().encode()), "vasprun.xml.gz", contcar=None)
    dataset = read(tmp_path, target="energy")
    assert dataset.y is not None
    assert (dataset.ids, dataset.y.tolist()) == (("run",), [-27.12345678])
    assert dataset.structures[0].formula == "Na1 Cl1"
    sigma = read(tmp_path, target="energy", energy="sigma0").y
    assert sigma is not None
    assert sigma[0] == -27.11172839, "from the last electronic step, since the last e_0_energy is unreliable"


def test_vasprun_cut_short(tmp_path: Path) -> None:
    text = vasprun()
    run_folder(tmp_path / "run", text[: len(text) * 2 // 3], "vasprun.xml", contcar=None)
    assert "cut off or damaged" in issue_of(tmp_path, UnfinishedRunError).reason


def test_vasprun_that_used_all_its_steps(tmp_path: Path) -> None:
    text = vasprun(nsw=2)
    step = text[text.index("<calculation>") : text.index("</calculation>") + len("</calculation>")]
    run_folder(tmp_path / "run", text.replace(step, step * 2), "vasprun.xml", contcar=None)
    assert "used all NSW = 2 steps" in issue_of(tmp_path, UnfinishedRunError).reason


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_vasprun_with_entities_is_not_expanded(tmp_path: Path, encoding: str) -> None:
    bomb = '<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY f SYSTEM "file:///etc/passwd">]>'
    text = vasprun(head=bomb, energy="&b;").replace("ISO-8859-1", encoding)
    run_folder(tmp_path / "run", text.encode(encoding), "vasprun.xml", contcar=None)
    assert "declares a document type" in issue_of(tmp_path, FileFormatError).reason


def test_structures_without_energy_are_listed(tmp_path: Path) -> None:
    run_folder(tmp_path / "run", outcar())
    write(tmp_path / "only" / "POSCAR", NACL)
    dataset = read(tmp_path, target="energy")
    assert dataset.ids == ("run",)
    (issue,) = dataset.issues
    assert type(issue) is MissingLabelError
    assert issue.path.endswith("only/POSCAR")


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'toten' or 'sigma0'"):
        read(tmp_path, energy="F")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="eV/cell, eV/atom, meV/cell, meV/atom"):
        read(tmp_path, target="energy", convert="Ry")


# --- development data -----------------------------------------------------------------------------


@needs_shared
def test_the_eight_runs_carry_their_published_energies() -> None:
    dataset = read(SHARED / "vasp_runs", target="energy")
    assert dataset.issues == ()
    assert dataset.y is not None
    energies = dict(zip(dataset.ids, dataset.y.tolist(), strict=True))
    assert len(energies) == 8
    assert energies["casnso_O4_0600"] == -111.37351616
    assert energies["casnso_O5_1999"] == -112.97226976
    assert {structure.composition.num_atoms for structure in dataset.structures} == {24}


@needs_shared
def test_a_real_outcar_cut_in_the_middle(tmp_path: Path) -> None:
    source = SHARED / "vasp_runs" / "casnso_O4_0600"
    content = (source / "OUTCAR").read_bytes()
    for part in (0.3, 0.9, 0.995):
        run_folder(tmp_path / "run", content[: int(len(content) * part)], contcar=(source / "CONTCAR").read_text())
        assert issue_of(tmp_path, UnfinishedRunError).path.endswith("run/OUTCAR")


@needs_shared
def test_generated_cifs() -> None:
    dataset = read(SHARED / "cifs")
    assert [s.composition.reduced_formula for s in dataset.structures] == ["AlPtS3", "AlPtO3", "GaPd3O", "GaPdO3"]


@pytest.mark.slow
@needs_shared
def test_all_6666_orderings_are_read_in_ten_seconds() -> None:
    started = time.process_time()
    dataset = read(SHARED / "cpx321" / "poscars.tar.gz")
    assert time.process_time() - started < 10
    assert len(dataset) == 6666
    assert dataset.issues == ()
    elements = [site.specie.symbol for site in dataset.structures[0]]
    assert elements == ["Cs"] * 6 + ["Pb"] * 6 + ["Br"] * 12 + ["I"] * 6
    assert all([site.specie.symbol for site in structure] == elements for structure in dataset.structures)
