"""Structures from extended XYZ and ASE databases."""

from __future__ import annotations

import io
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

import ase.db
import ase.io
import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.db.row import AtomsRow
from ase.io.jsonio import decode
from pymatgen.core import DummySpecies, Element, Lattice, Species, Structure

from qperov.errors import FileFormatError, QperovError, ReadingError, UnknownElementError


@dataclass(frozen=True)
class Entry:
    """A structure with the properties that its file gives.

    Attributes
    ----------
    structure : Structure
    source : str
        What messages call the file, or the part of it.
    properties : dict of float
        By name; ``"energy"`` is in eV per cell.
    provenance : dict of str
        For each property, where it stands.
    remarks : tuple of str
        What the reader had to assume or to mend; shown as a caution.
    """

    structure: Structure
    source: str
    properties: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


Read = Entry | ReadingError

_ASE_MARKS = ('"nextid"', '"numbers"', '"positions"', '"unique_id"', '"ctime"', '"calculator"')
_ASE_START = re.compile(  # the first key, or a text that was cut before it ends
    r'\{"\d+": \{\s*"(calculator|cell|constraints|ctime|data)|\{("\d*("(:\s*(\{\s*("\w*)?)?)?)?)?$'
)
_PROPERTIES = re.compile(r"\bProperties=\S+", re.IGNORECASE)


def read_xyz(text: str, path: str) -> Iterator[Read]:
    """One structure for each frame of extended XYZ, with its energy and the numbers of its comment line."""
    lines = text.rstrip().splitlines()
    start = frame = 0
    while start < len(lines):
        where = f"{path} (frame {frame})"
        # The count is checked here because a parser that believes it would loop a billion times over a line of junk.
        count = lines[start].strip()
        end = start + int(count) + 2 if count.isdecimal() and len(count) < 10 else 0
        if not start < end <= len(lines):
            reason = f"not extended XYZ, or cut short: line {start + 1} reads {count[:40]!r}, {len(lines)} lines in all"
            yield FileFormatError(where, reason)
            return
        yield _read_frame("\n".join(lines[start:end]) + "\n", where)
        start, frame = end, frame + 1


def _read_frame(text: str, where: str) -> Read:
    _, comment, first, *_ = (*text.split("\n", 3), "")
    declared = _PROPERTIES.search(comment)
    columns = sum(int(n) for n in re.findall(r":(\d+)", declared[0])) if declared else 0
    if columns > len(first.split()):  # the parser would make room for as many as are declared
        return FileFormatError(where, f"{columns} columns declared, but the first atom has {len(first.split())}")
    try:
        atoms = ase.io.read(io.StringIO(text), index=0, format="extxyz")
    except Exception as error:  # as for CIF
        return FileFormatError(where, f"not extended XYZ: {error}")
    assert isinstance(atoms, Atoms)  # one frame was asked for
    properties = _numbers(atoms.info)
    if atoms.calc is not None:
        properties |= _numbers({name: atoms.calc.results.get(name) for name in ("energy", "free_energy")})
    return _from_arrays(where, atoms.numbers, atoms.positions, np.asarray(atoms.cell), properties)


def read_ase_database(file: Path, path: str) -> Iterator[Read]:
    """One structure for each row of an ASE database in SQLite, with its energy and its numeric keys."""
    ids: list[int] = []
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "systems" not in tables:
                yield FileFormatError(path, "an SQLite file, but not an ASE database (no table 'systems')")
                return
            for (row,) in connection.execute("SELECT id FROM systems ORDER BY id"):
                ids.append(row)
            damage = "; ".join(line for (line,) in connection.execute("PRAGMA quick_check(3)") if line != "ok")
        except sqlite3.Error as error:
            damage = str(error)
    if damage:
        reason = f"not an ASE database, or damaged: {damage[:200]}; {len(ids)} rows were found"
        yield FileFormatError(path, reason)
    database = ase.db.connect(file, type="db", use_lock_file=False)
    yield from (_read_row(partial(database.get, id=row), f"{path} (row {row})") for row in ids)


def read_ase_json(text: str, path: str) -> Iterator[Read]:
    """One structure for each row of an ASE database in JSON."""
    try:
        content = json.loads(text)
        ids = content.get("ids", [int(key) for key in content if key.isdecimal()])
        rows = {row: content.pop(str(row), None) for row in ids}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        yield FileFormatError(path, f"not an ASE database in JSON, or damaged: {error}")
        return
    lost = [key for key in content if key.isdecimal()]
    if lost:
        yield FileFormatError(
            path, f"rows {', '.join(lost[:5])} are not in its list of ids: damaged; they were not read"
        )
    for row, about in rows.items():
        yield _read_row(partial(_json_row, row, about), f"{path} (row {row})")


def _json_row(row: int, about: object) -> AtomsRow:
    return AtomsRow(decode(json.dumps(about)) | {"id": row})


def _read_row(row_of: Callable[[], Any], where: str) -> Read:
    try:
        row = row_of()
        properties = _numbers(row.key_value_pairs | {"energy": row.get("energy")})
        return _from_arrays(where, row.numbers, row.positions, row.cell, properties)
    except Exception as error:  # whatever a damaged row leads ASE to
        return FileFormatError(where, f"this row is damaged ({type(error).__name__}: {error})")


def is_ase_json(text: str) -> bool:
    """Whether a JSON text is an ASE database, sound or damaged, and not something else."""
    return sum(mark in text for mark in _ASE_MARKS) > 1 or _ASE_START.match(text) is not None


def check_elements(structure: Structure, path: str) -> None:
    """Refuse a symbol that a parser took for something else than an element.

    Raises
    ------
    UnknownElementError
    """
    strange = [
        str(kind)
        for kind in structure.composition
        if isinstance(kind, DummySpecies) or not isinstance(kind, Element | Species)
    ]
    if strange:
        raise UnknownElementError(path, f"{', '.join(strange[:5])} is not an element; mend the symbol")


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, Real) and not isinstance(value, (bool, np.bool_))
    }


def _from_arrays(
    where: str, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray, properties: dict[str, float]
) -> Read:
    if not np.isfinite(cell).all() or not abs(np.linalg.det(cell)) > 0:
        return FileFormatError(where, "no lattice with three independent vectors; crystals need one")
    if any(not 0 < number < len(chemical_symbols) for number in numbers):
        return UnknownElementError(where, f"atomic numbers {sorted(set(map(int, numbers)))} are not all elements")
    symbols = [chemical_symbols[number] for number in numbers]
    try:
        structure = Structure(Lattice(cell), symbols, positions, coords_are_cartesian=True, validate_proximity=False)
    except (ValueError, QperovError) as error:
        return FileFormatError(where, f"not a structure: {error}")
    # the id tells the frame; provenance is shown once for all labels that share it
    short = re.sub(r" \((frame|row) \d+\)$", "", where).rsplit("/", 1)[-1]
    return Entry(structure, where, properties, {name: f"{short}, {name}" for name in properties})
