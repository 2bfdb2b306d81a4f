"""Structures from CIF, extended XYZ and ASE databases."""

from __future__ import annotations

import io
import json
import re
import sqlite3
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

import ase.db
import ase.io
import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifParser

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
    """

    structure: Structure
    source: str
    properties: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)


Read = Entry | ReadingError


def read_cif(text: str, path: str) -> Iterator[Read]:
    """One structure for each data block with atoms, as deposited (no reduction to a primitive cell)."""
    blocks = _cif_blocks(text)
    if not blocks:
        yield FileFormatError(path, "not a CIF: no data_ block with atoms")
    for i, block in enumerate(blocks):
        where = path if len(blocks) == 1 else f"{path} (block {i + 1}, {block.split(None, 1)[0]})"
        said = ""
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    structures = CifParser(io.StringIO(block)).parse_structures(primitive=False, on_error="raise")
                finally:
                    said = "; ".join(str(warning.message) for warning in caught)
            (parsed,) = structures
        except Exception as error:  # the parser raises whatever a malformed CIF leads it to
            yield FileFormatError(
                where, f"the CIF cannot be turned into a structure: {error}{said and f' ({said})'}"[:500]
            )
            continue
        species = [site.species for site in parsed]
        yield Entry(Structure(parsed.lattice, species, parsed.frac_coords, validate_proximity=False), where)


def _cif_blocks(text: str) -> list[str]:
    """Data blocks that hold atoms; a line within a semicolon text field does not begin a block."""
    blocks: list[list[str]] = []
    in_text = False
    for line in text.splitlines():
        if line.startswith(";"):
            in_text = not in_text
        elif not in_text and line[:5].lower() == "data_":
            blocks.append([])
        if blocks:
            blocks[-1].append(line)
    joined = ("\n".join(block) + "\n" for block in blocks)
    return [block for block in joined if re.search(r"^\s*_atom_site[_.]", block, re.MULTILINE | re.IGNORECASE)]


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
    try:
        atoms = ase.io.read(io.StringIO(text), index=0, format="extxyz")
    except Exception as error:  # as for CIF
        return FileFormatError(where, f"not extended XYZ: {error}")
    assert isinstance(atoms, Atoms)  # one frame was asked for
    properties = _numbers(atoms.info)
    if atoms.calc is not None:
        properties |= _numbers({name: atoms.calc.results.get(name) for name in ("energy", "free_energy")})
    return _from_arrays(where, atoms.numbers, atoms.positions, np.asarray(atoms.cell), properties)


def read_ase_database(file: Path, path: str, is_json: bool) -> Iterator[Read]:
    """One structure for each row of an ASE database (SQLite or JSON), with its energy and its numeric keys."""
    try:
        if not is_json:
            _check_ase_sqlite(file)
        rows = list(ase.db.connect(file, type="json" if is_json else "db", use_lock_file=False).select())
    except Exception as error:
        reason = error.reason if isinstance(error, ReadingError) else f"not an ASE database, or damaged: {error}"
        yield FileFormatError(path, reason)
        return
    for i, row in enumerate(rows):
        where = f"{path} (row {row.id})"
        try:
            properties = _numbers(row.key_value_pairs | {"energy": row.get("energy")})
            yield _from_arrays(where, row.numbers, row.positions, row.cell, properties)
        except Exception as error:
            yield FileFormatError(where, f"row {i} cannot be read: {error}")


def is_ase_json(text: str) -> bool:
    """Whether a JSON text is an ASE database and not something else."""
    try:
        content = json.loads(text)
    except ValueError:
        return False
    return isinstance(content, dict) and {"ids", "nextid"} <= content.keys()


def _check_ase_sqlite(file: Path) -> None:
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
    try:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    finally:
        connection.close()
    if "systems" not in tables:
        raise FileFormatError(file, "an SQLite file, but not an ASE database (no table 'systems')")


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
