"""CIF: structures as deposited, checked against what the file itself says of them."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from pymatgen.core import Composition, Structure, SymmOp
from pymatgen.io.cif import CifParser, str2float
from pymatgen.symmetry.groups import SpaceGroup

from qperov.crystals.files.formats import Entry, Read, check_elements
from qperov.errors import FileFormatError, ReadingError

#: Sites times symmetry operations of one block: more would take the parser minutes.
MAX_IMAGES = 200_000

_OPERATIONS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
_NUMBERS = ("_space_group_IT_number", "_symmetry_Int_Tables_number")
_SYMBOLS = ("_space_group_name_H-M_alt", "_symmetry_space_group_name_H-M")
_FORMULA_TOLERANCE = 0.01  # of each element; formula sums of partly occupied sites are rounded
_VOLUME_TOLERANCE = 0.01

_Block = Mapping[str, Any]


def read_cif(text: str, path: str) -> Iterator[Read]:
    """One structure for each data block with atoms, as deposited (no reduction to a primitive cell).

    Refused is what contradicts itself: sites that do not give the formula sum, an occupancy that is not positive, a
    cell volume that the lattice does not have, fewer symmetry operations than the space group unless the formula sum
    and Z confirm the number of atoms. What pymatgen warns of is kept as a remark.
    """
    blocks = _cif_blocks(text)
    if not blocks:
        yield FileFormatError(path, "not a CIF: no data_ block with atoms")
    for i, block in enumerate(blocks):
        where = path if len(blocks) == 1 else f"{path} (block {i + 1}, {block.split(None, 1)[0]})"
        try:
            yield _read_block(block, where)
        except ReadingError as error:
            yield error
        except Exception as error:  # the parser raises whatever a malformed CIF leads it to
            yield FileFormatError(where, f"the CIF cannot be turned into a structure: {error}"[:500])


def _read_block(block: str, where: str) -> Read:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parser: Any = CifParser(io.StringIO(block), check_cif=False)
        (said,) = parser.as_dict().values()
        _check_sites(said, where)
        try:
            (parsed,) = parser.parse_structures(primitive=False, on_error="raise")
        except (ValueError, KeyError) as error:
            heard = "; ".join(dict.fromkeys(str(warning.message) for warning in caught))
            raise ValueError(f"{error}{heard and f' ({heard})'}") from error
    structure = Structure(
        parsed.lattice, [site.species for site in parsed], parsed.frac_coords, validate_proximity=False
    )
    check_elements(structure, where)
    _check_volume(said, structure, where)
    confirmed = _check_formula(said, structure.composition.element_composition, where)
    remarks = [f"pymatgen says: {remark}" for remark in dict.fromkeys(parser.warnings)]
    contradiction = _symmetry_contradiction(said)
    if contradiction and not confirmed:
        raise FileFormatError(where, f"{contradiction}: list all operations, or name the space group P 1")
    return Entry(structure, where, remarks=(*remarks, *([contradiction] if contradiction else [])))


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


def _values(said: _Block, *names: str) -> list[str]:
    """The values of the first of these names that the block gives, without ``.`` and ``?``."""
    found: str | list[str] = next((said[name] for name in names if name in said), [])
    return [value for value in ([found] if isinstance(found, str) else found) if value.strip() not in (".", "?", "")]


def _number(said: _Block, *names: str) -> float | None:
    try:
        return float(str2float(_values(said, *names)[0]))
    except (IndexError, ValueError):
        return None


def _check_sites(said: _Block, where: str) -> None:
    sites = len(_values(said, "_atom_site_fract_x"))
    if sites * max(len(_values(said, *_OPERATIONS)), 1) > MAX_IMAGES:
        raise FileFormatError(where, f"{sites} sites with their symmetry operations make more than {MAX_IMAGES} images")
    for occupancy in _values(said, "_atom_site_occupancy"):
        if not str2float(occupancy) > 0:
            raise FileFormatError(where, f"a site of occupancy {occupancy}: an atom is there in part or not listed")


def _check_volume(said: _Block, structure: Structure, where: str) -> None:
    volume = _number(said, "_cell_volume")
    if volume is not None and not abs(volume - structure.volume) <= _VOLUME_TOLERANCE * structure.volume:
        reason = (
            f"the cell measures {structure.volume:.2f} Å³, but _cell_volume says {volume:.2f}: one of them is wrong"
        )
        raise FileFormatError(where, reason)


def _check_formula(said: _Block, found: Composition, where: str) -> bool:
    """Whether the formula sum, counted as often as the file says, gives the atoms of the cell.

    Raises
    ------
    FileFormatError
        If no multiple of the formula sum gives them.
    """
    try:
        formula = Composition(_values(said, "_chemical_formula_sum")[0])
    except (IndexError, ValueError, KeyError):
        return False
    units = _number(said, "_cell_formula_units_Z")
    in_cell = formula.get_integer_formula_and_factor()[1]  # programs write the whole cell's formula, too
    ratios = [found[element] / amount for element, amount in formula.items() if amount > 0]
    if not any(_are_same(found, formula * count) for count in {units or 1.0, 1.0, max(ratios, default=0.0)} if count):
        reason = f"its sites give {found.formula}, but its formula sum says {formula.formula}: cut short or incomplete"
        raise FileFormatError(where, reason)
    return (units is not None and _are_same(found, formula * units)) or (
        in_cell > 1 and units in (None, in_cell) and _are_same(found, formula)
    )


def _are_same(found: Composition, formula: Composition) -> bool:
    for element in {*found, *formula}:
        wanted, there = formula[element], found[element]
        whole = abs(wanted - round(wanted)) < 1e-6 and abs(there - round(there)) < 1e-3
        if abs(wanted - there) > (1e-3 if whole else _FORMULA_TOLERANCE * wanted + 0.01):
            return False
    return True


def _symmetry_contradiction(said: _Block) -> str:
    """How the operations contradict the space group that the block names, or nothing."""
    operations = _values(said, *_OPERATIONS)
    number = _number(said, *_NUMBERS) or _number_of(" ".join(_values(said, *_SYMBOLS)[:1]))
    if not operations or number is None or not 1 <= number <= 230:
        return ""
    rotations = {SymmOp.from_xyz_str(text).rotation_matrix.round().tobytes() for text in operations}
    expected = _n_rotations(int(number))
    if len(rotations) == expected:
        return ""
    return f"its operations hold {len(rotations)} rotations, but space group {int(number)} has {expected}"


def _number_of(symbol: str) -> int | None:
    try:
        return SpaceGroup(re.sub(r"\s|:.*$", "", symbol)).int_number
    except ValueError:
        return None


@lru_cache
def _n_rotations(number: int) -> int:
    return len(
        {np.asarray(op.rotation_matrix).round().tobytes() for op in SpaceGroup.from_int_number(number).symmetry_ops}
    )
