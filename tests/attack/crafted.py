# ruff: noqa: E501
"""Input made to be misread, believed, executed or expanded: what must be said of each."""

from __future__ import annotations

import gzip
import os
import re
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from pymatgen.io.cif import CifWriter

from attack.inputs import _labels, crystals, poscar
from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.reading import read
from qperov.errors import QperovError

NACL = crystals(1)[0]
CIF = str(CifWriter(NACL))
LABELLED = {"target": "energy_ev_per_atom", "labels": "l.csv"}

#: Fills a folder that holds six sound crystals c0 to c5 with something more.
Fill = Callable[[Path], object]


def text(name: str, content: str | bytes) -> Fill:
    def fill(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return fill


def labels(content: str | bytes, name: str = "l.csv") -> Fill:
    return text(name, content)


def _tar_that_declares(size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo("big/POSCAR")
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(4096)


def _newlines(folder: Path) -> None:
    with gzip.open(folder / "n.vasp.gz", "wb", compresslevel=1) as stream:
        for _ in range(1024):
            stream.write(b"\n" * 2**20)


def _huge_labels(folder: Path) -> None:
    with gzip.open(folder / "l.csv", "wb", compresslevel=1) as stream:
        stream.write(_labels())
        row = b"nothing,1.0,2.0\n" * 2**16
        for _ in range(1200):
            stream.write(row)
    (folder / "l.csv").rename(folder / "l.csv.gz")


def _zip_bomb(folder: Path) -> None:
    with zipfile.ZipFile(folder / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(12):
            archive.writestr(f"b{i}/POSCAR", bytes(2**27))


def _wide(n: int) -> str:
    head = ",".join([f"q{i}" for i in range(n)] + ["energy_ev_per_atom"])
    return (
        head + "\n" + "".join(",".join([f"c{(row + i) % 5}" for i in range(n)] + ["-3.0"]) + "\n" for row in range(6))
    )


def _cif(old: str, new: str) -> Fill:
    changed = CIF.replace(old, new)
    assert changed != CIF, old
    return text("x.cif", changed)


def _named(name: bytes) -> Fill:
    def fill(folder: Path) -> None:
        path = os.fsencode(folder) + b"/" + name
        os.mkdir(path)
        with open(path + b"/POSCAR", "wb") as stream:
            stream.write(poscar(NACL))

    return fill


def _loop(folder: Path) -> None:
    (folder / "c0" / "up").symlink_to(folder, target_is_directory=True)


def _utf16(folder: Path) -> None:
    (folder / "l.csv").write_text(_labels().decode(), encoding="utf-16")


PLAIN = _labels().decode()
LONGER = "\n".join([PLAIN.splitlines()[0], *(line + ",55" for line in PLAIN.splitlines()[1:])])

#: Name, what fills the folder, options of ``read``, crystals that must be left (None: refused as a whole), and a
#: pattern that something said must match ("" for: nothing is said).
CASES: tuple[tuple[str, Fill, dict, int | None, str], ...] = (
    ("a tar that declares 8 GiB", text("a.tar", _tar_that_declares(8**11 - 1)), {}, 6, "damaged or cut short"),
    ("a tar whose long name declares 4 GiB", text("a.tar", _tar_that_declares(2**32, b"L")), {}, 6, "declares"),
    ("extended XYZ of a billion columns", text("x.xyz", "1\nLattice=\"4 0 0 0 4 0 0 0 4\" Properties=species:S:1:pos:R:3:foo:R:999999999\nNa 0 0 0 1\n"), {}, 6, "columns declared"),
    ("extended XYZ of a billion atoms", text("x.xyz", "999999999\n\nNa 0 0 0\n"), {}, 6, "cut short"),
    ("a POSCAR of a billion atoms", text("x.vasp", poscar(NACL).decode().replace("4 4", "999999999 4")), {}, 6, "cut short"),
    ("a gz of a GiB of newlines", _newlines, {}, 6, "lines, the most|file is empty"),
    ("a zip of 1.5 GiB of zeros", _zip_bomb, {}, 6, "GiB of crystal files|more than"),
    ("labels of 1.2 GB in a gz", _huge_labels, {**LABELLED, "labels": "l.csv.gz"}, None, "more than 128 MiB"),
    ("XML entities", text("r/vasprun.xml", '<!DOCTYPE m [<!ENTITY a "aaaa">]><modeling>&a;</modeling>'), {}, 6, "document type"),
    ("JSON nested 100,000 deep", text("x.json", '{"1": {"data": ' + "[" * 100_000), {}, 6, "damaged"),
    ("labels one field longer than the header", labels(LONGER), LABELLED, None, "mend the header"),
    ("one row one field longer", labels(PLAIN.replace("c2,2.0", "c2,foo,2.0")), LABELLED, 5, "4 cells, but the header names 3"),
    ("two columns of one name", labels(PLAIN.replace("gap", "id")), LABELLED, None, "two columns are called 'id'"),
    ("digit groups in a label", labels(PLAIN.replace("-3.125000", "-3_125")), LABELLED, 5, "plain decimal notation"),
    ("a label of 1e400", labels(PLAIN.replace("-3.125000", "1e400")), LABELLED, 5, "plain decimal notation"),
    ("an infinite label", labels(PLAIN.replace("-3.125000", "inf")), LABELLED, 5, "plain decimal notation"),
    ("an energy of 1e400 in a frame", text("x.xyz", "1\nLattice=\"4 0 0 0 4 0 0 0 4\" energy=1e400\nNa 0 0 0\n"), {"target": "energy"}, None, "not a finite number"),
    ("an outlier among the labels", labels(PLAIN.replace("-3.125000", "-3125.0")), LABELLED, 6, "robust standard deviations"),
    ("labels in UTF-16", _utf16, LABELLED, 6, ""),
    ("labels between semicolons", labels(_labels(";")), LABELLED, 6, ""),
    ("labels between tabs", labels(_labels("\t")), LABELLED, 6, ""),
    ("labels between vertical bars", labels(_labels("|")), LABELLED, None, "commas, semicolons or tabs"),
    ("labels of 300 columns, none called id", labels(_wide(300)), LABELLED, None, "id_columns"),
    ("labels in a damaged zip", labels(b"PK\3\4junk", "l.zip"), {**LABELLED, "labels": "l.zip"}, None, "not a table"),
    ("labels in a damaged tar", labels(b"junk" * 300, "l.tar"), {**LABELLED, "labels": "l.tar"}, None, "not a table"),
    ("labels in zst", labels(b"\x28\xb5\x2f\xfdjunk", "l.csv.zst"), {**LABELLED, "labels": "l.csv.zst"}, None, "decompress"),
    ("a CIF with fewer sites than its formula", _cif("  Cl  Cl7  1  0.00000000  0.00000000  0.50000000  1\n", ""), {}, 6, "Na4 Cl3"),
    ("a CIF with an occupancy of 0", _cif("Cl7  1  0.00000000  0.00000000  0.50000000  1\n", "Cl7  1  0 0 0.5  0\n"), {}, 6, "occupancy 0"),
    ("a CIF with an occupancy of -1", _cif("Cl7  1  0.00000000  0.00000000  0.50000000  1\n", "Cl7  1  0 0 0.5  -1\n"), {}, 6, "occupancy -1"),
    ("a CIF of 225 with one operation", text("x.cif", re.sub(r"Tables_number   1", "Tables_number   225", CIF)), {}, 7, "has 48"),
    ("a CIF of another cell volume", _cif("_cell_volume   175", "_cell_volume   195"), {}, 6, "_cell_volume says"),
    ("a CIF of an unknown element", _cif("  Cl  Cl7", "  Qq  Qq7"), {}, 6, "Qq.* is not an element"),
    ("a name that is not UTF-8", _named(b"caf\xe9"), {}, 7, ""),
    ("a name with terminal escapes", _named(b"\x1b[2Jx"), {}, 7, ""),
    ("a name that begins a formula", _named(b"=cmd()"), {}, 7, ""),
    ("a link to the folder above", _loop, {}, 6, "link to a folder above"),
    ("a tar that names paths above", text("a.tar", struct.pack("512s", b"")), {}, 6, "damaged|empty"),
)  # fmt: skip


def failure(number: int, folder: Path) -> str:
    """What is wrong with the answer to a case, or nothing."""
    name, fill, options, left, pattern = CASES[number]
    for i, structure in enumerate(crystals(6)):
        text(f"c{i}/POSCAR", poscar(structure))(folder)
    fill(folder)
    options = {key: folder / value if key == "labels" else value for key, value in options.items()}
    try:
        dataset: CrystalDataset | None = read(folder, **options)
    except QperovError as error:
        dataset, said = None, [str(error)]
    else:
        said = [*map(str, dataset.issues), *dataset.cautions]
        if not all(structure_id.isprintable() for structure_id in dataset.ids):
            return f"{name}: ids {dataset.ids} are not printable"
    if (len(dataset) if dataset is not None else None) != left:
        return f"{name}: {None if dataset is None else len(dataset)} crystals, not {left}; {said}"
    if (pattern and not any(re.search(pattern, line) for line in said)) or (not pattern and said):
        return f"{name}: {said or 'nothing was said'}, not {pattern!r}"
    return ""
