"""Sound inputs of every kind that is read, to be damaged."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import ase.db
import ase.io
import pandas as pd
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp import Poscar

from attack import results
from qperov.datasets.reading import read
from qperov.datasets.store import Store


@dataclass(frozen=True)
class Input:
    """Files of one kind, and the one of them that is damaged.

    Attributes
    ----------
    files : dict of bytes
        By path.
    damaged : str
        The path of the file that is changed.
    checked : bool
        Whether a checksum of the format covers every byte, so that no change may pass unnoticed.
    text : bool
        Whether lines and numbers of it mean something.
    options : dict
        Of ``read``.
    read_back : callable or None
        What reads the folder instead: its contents by name, and all that was said.
    """

    files: dict[str, bytes]
    damaged: str
    checked: bool = False
    text: bool = False
    options: dict = field(default_factory=dict)
    read_back: Callable[[Path], results.Result] | None = None


def crystals(n: int) -> list[Structure]:
    """Rock salts, no two alike."""
    kinds = [("Na", "Cl"), ("K", "Br"), ("Li", "F"), ("Cs", "I")]
    sites = [
        [0, 0, 0],
        [0, 0.5, 0.5],
        [0.5, 0, 0.5],
        [0.5, 0.5, 0],
        [0.5, 0.5, 0.5],
        [0.5, 0, 0],
        [0, 0.5, 0],
        [0, 0, 0.5],
    ]
    return [
        Structure(Lattice.cubic(5.6 + 0.03 * i), [kind for kind in kinds[i % 4] for _ in range(4)], sites)
        for i in range(n)
    ]


def poscar(structure: Structure) -> bytes:
    return Poscar(structure.get_sorted_structure()).get_str().encode()


def vasp4(structure: Structure) -> bytes:
    lines = poscar(structure).decode().splitlines()
    return "\n".join([lines[5], *lines[1:5], *lines[6:]]).encode() + b"\n"


def _poscars(n: int = 4) -> dict[str, bytes]:
    return {f"c{i}/POSCAR": poscar(structure) for i, structure in enumerate(crystals(n))}


def _labels(delimiter: str = ",", n: int = 6) -> bytes:
    rows = [delimiter.join(("id", "gap", "energy_ev_per_atom"))]
    rows += [delimiter.join((f"c{i}", f"{1.5 + 0.25 * i}", f"{-3.0 - 0.125 * i:.6f}")) for i in range(n)]
    return ("\n".join(rows) + "\n").encode()


def _tar(mode: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as tar:
        for name, text in _poscars(6).items():
            info = tarfile.TarInfo(f"set/{name}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    return content.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return content.getvalue()


def _frames() -> list[Atoms]:
    made = []
    for i, structure in enumerate(crystals(5)):
        symbols = [site.specie.symbol for site in structure]
        atoms = Atoms(symbols, structure.cart_coords, cell=structure.lattice.matrix, pbc=True)
        atoms.calc = SinglePointCalculator(atoms, energy=-27.0 - i)
        made.append(atoms)
    return made


def _extxyz() -> bytes:
    text = io.StringIO()
    ase.io.write(text, _frames(), format="extxyz")
    return text.getvalue().encode()


def _ase(ending: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"x.{ending}")
        with ase.db.connect(path) as database:
            for atoms in _frames():
                database.write(atoms)
        return path.read_bytes()


def _store() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in _poscars(6).items():
            Path(folder, name).parent.mkdir()
            Path(folder, name).write_bytes(text)
        Path(folder, "labels.csv").write_bytes(_labels())
        dataset = read(folder, target="energy_ev_per_atom")
        with Store(Path(folder, "s.db")) as store:
            store.add(dataset)
        return Path(folder, "s.db").read_bytes()


def _parquet() -> bytes:
    content = io.BytesIO()
    pd.DataFrame({"id": [f"c{i}" for i in range(6)], "energy": [-3.0 - 0.125 * i for i in range(6)]}).to_parquet(
        content
    )
    return content.getvalue()


def outcar(structure: Structure) -> bytes:
    """The lines of an OUTCAR that carry meaning."""
    structure = structure.get_sorted_structure()
    counts = structure.composition.get_el_amt_dict()
    names = list(dict.fromkeys(site.specie.symbol for site in structure))
    table = "".join(f" {x:10.5f} {y:10.5f} {z:10.5f}  0.0 0.0 0.0\n" for x, y, z in structure.cart_coords)
    return (
        " vasp.6.3.0\n"
        + "".join(f"   VRHFIN ={name}: s1\n" for name in names)
        + f"   number of ions     NIONS = {len(structure):6d}\n   NSW    =      0\n   IBRION =     -1\n"
        f"   ions per type = {' '.join(str(int(counts[name])) for name in names)}\n"
        "----------------------------------------- Iteration    1(   1)  ------------\n"
        "------------------------ aborting loop because EDIFF is reached ------------\n"
        f" POSITION                                       TOTAL-FORCE (eV/Angst)\n ------\n{table} ------\n"
        "  free  energy   TOTEN  =       -27.12345678 eV\n\n"
        "  energy  without entropy=      -27.10000000  energy(sigma->0) =      -27.11172839\n"
        " General timing and accounting informations for this job:\n"
    ).encode()


def vasprun() -> bytes:
    cell = (
        '<crystal><varray name="basis"><v>5.6 0 0</v><v>0 5.6 0</v><v>0 0 5.6</v></varray></crystal>'
        '<varray name="positions"><v>0 0 0</v><v>0.5 0.5 0.5</v></varray>'
    )
    energies = '<i name="e_fr_energy">-27.12345678</i><i name="e_0_energy">-27.11172839</i>'
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?><modeling><incar><i type="int" name="NSW">0</i></incar>'
        '<atominfo><array name="atoms"><set><rc><c>Na</c><c>1</c></rc><rc><c>Cl</c><c>2</c></rc></set></array>'
        f"</atominfo><calculation><scstep><energy>{energies}</energy></scstep><energy>{energies}</energy></calculation>"
        f'<structure name="finalpos">{cell}</structure></modeling>'
    ).encode()


def _run() -> Input:
    first = crystals(1)[0]
    return Input(
        {"run/OUTCAR": outcar(first), "run/CONTCAR": poscar(first)},
        "run/OUTCAR",
        text=True,
        options={"target": "energy"},
    )


def _labelled(name: str, content: bytes, *, text: bool = False, checked: bool = False, target: str = "") -> Input:
    options = {"target": target or "energy_ev_per_atom", "labels": name}
    return Input({**_poscars(6), name: content}, name, text=text, checked=checked, options=options)


def _record(damaged: str) -> Input:
    return Input(
        results.record(), damaged, checked=True, text=damaged.endswith("json"), read_back=results.read_back_record
    )


def _model(damaged: str) -> Input:
    text = damaged.endswith("json")
    return Input(results.model(), f"models/ridge/{damaged}", checked=True, text=text, read_back=results.read_back_model)


def _packed(ending: str, pack: Callable[[bytes], bytes]) -> Input:
    files = {**_poscars(2), f"p/POSCAR.{ending}": pack(poscar(crystals(3)[2]))}
    return Input(files, f"p/POSCAR.{ending}", checked=True)


_KINDS: dict[str, Callable[[], Input]] = {
    "POSCAR": lambda: Input(_poscars(), "c2/POSCAR", text=True),
    "POSCAR of VASP 4": lambda: Input({**_poscars(), "v/POSCAR": vasp4(crystals(1)[0])}, "v/POSCAR", text=True),
    "CIF": lambda: Input({**_poscars(), "x.cif": str(CifWriter(crystals(1)[0])).encode()}, "x.cif", text=True),
    "CIF with symmetry": lambda: Input(
        {**_poscars(), "x.cif": str(CifWriter(crystals(1)[0], symprec=0.01)).encode()}, "x.cif", text=True
    ),
    "extended XYZ": lambda: Input({"x.extxyz": _extxyz()}, "x.extxyz", text=True, options={"target": "energy"}),
    "ASE database": lambda: Input({**_poscars(2), "x.db": _ase("db")}, "x.db"),
    "ASE JSON": lambda: Input({**_poscars(2), "x.json": _ase("json")}, "x.json", text=True),
    "OUTCAR": _run,
    "vasprun.xml": lambda: Input({**_poscars(2), "run/vasprun.xml": vasprun()}, "run/vasprun.xml", text=True),
    "POSCAR.gz": lambda: _packed("gz", gzip.compress),
    "POSCAR.bz2": lambda: _packed("bz2", bz2.compress),
    "POSCAR.xz": lambda: _packed("xz", lzma.compress),
    "tar": lambda: Input({**_poscars(2), "a.tar": _tar("w")}, "a.tar"),
    "tar.gz": lambda: Input({**_poscars(2), "a.tar.gz": _tar("w:gz")}, "a.tar.gz", checked=True),
    "tar.bz2": lambda: Input({**_poscars(2), "a.tar.bz2": _tar("w:bz2")}, "a.tar.bz2", checked=True),
    "tar.xz": lambda: Input({**_poscars(2), "a.tar.xz": _tar("w:xz")}, "a.tar.xz", checked=True),
    "zip": lambda: Input(
        {**_poscars(2), "a.zip": zipped({f"set/{name}": text for name, text in _poscars(6).items()})},
        "a.zip",
        checked=True,
    ),
    "labels, CSV": lambda: _labelled("l.csv", _labels(), text=True),
    "labels, semicolons": lambda: _labelled("l.csv", _labels(";"), text=True),
    "labels, CSV.gz": lambda: _labelled("l.csv.gz", gzip.compress(_labels()), checked=True),
    "labels, zip": lambda: _labelled("l.zip", zipped({"l.csv": _labels()}), checked=True),
    "labels, Parquet": lambda: _labelled("l.parquet", _parquet(), target="energy"),
    "record.json": lambda: _record("run/record.json"),
    "record, Parquet": lambda: _record("run/predictions.parquet"),
    "model.json": lambda: _model("model.json"),
    "model, skops": lambda: _model("pipeline.skops"),
    "model, Parquet": lambda: _model("training.parquet"),
    "plan": lambda: Input(results.plan_file(), "plan.json", checked=True, text=True, read_back=results.read_back_plan),
    "ledger": lambda: Input(results.ledger(), "l.db", read_back=results.read_back_ledger),
    "store": lambda: Input({"s.db": _store()}, "s.db"),
}
KINDS = tuple(_KINDS)


@cache
def sound(kind: str) -> Input:
    """The sound input of a kind."""
    return _KINDS[kind]()
