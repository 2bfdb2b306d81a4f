"""POSCAR and CONTCAR files of VASP 4 and VASP 5."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NoReturn

import numpy as np
from pymatgen.core import Element, Lattice, Structure

from qperov.errors import AtomCountError, FileFormatError, ImplausibleCellError, UnknownElementError

_SYMBOL = re.compile(r"([A-Z][a-z]?)(?=$|[_/.\d])")
_FORMULA = re.compile(r"(?:[A-Z][a-z]?\d*)+")
_FORMULA_ITEM = re.compile(r"([A-Z][a-z]?)(\d*)")
_NO_ELEMENT_LINE = "add a line with the element symbols above the line of counts (VASP 5 style)"


def parse_poscar(text: str, path: str) -> Structure:
    """Read a structure from the text of a POSCAR or CONTCAR.

    The scale is one factor (negative: the cell volume in Å³) or three factors for the Cartesian x, y and z components.
    Positions are direct or Cartesian. Selective dynamics, velocities and whatever follows the positions are passed
    over. In the VASP 4 style, which has no element line, the elements are taken from the comment line if it holds
    nothing but one distinct element per count (``Cs Pb Br I``) or a formula whose numbers are the counts
    (``Cs6 Pb6 Br12 I6``).

    Parameters
    ----------
    text : str
    path : str
        What error messages call the file.

    Returns
    -------
    Structure
        Without site properties; lengths in Å.

    Raises
    ------
    UnknownElementError
        If the file does not say which elements it holds, or names something that is no element.
    AtomCountError
        If the element line and the counts do not match.
    FileFormatError
        If the file is cut short or a line is not what it must be.
    ImplausibleCellError
        If the cell has no atoms, no volume, or a coordinate that is not finite.

    References
    ----------
    VASP wiki, "POSCAR" and "CONTCAR".
    """
    lines = text.splitlines()
    if len(lines) < 7:
        raise FileFormatError(path, f"cut short: {len(lines)} lines, a POSCAR has at least 8")
    matrix, scale = _lattice(lines, path)
    if lines[5].split() and _is_count(lines[5].split()[0]):
        counts, at = _counts(lines, 5, None, path)
        elements = _elements_of_comment(lines[0], counts, path)
    else:
        elements, at = _elements(lines, path)
        counts, at = _counts(lines, at, len(elements), path)
    if sum(counts) == 0:
        raise ImplausibleCellError(path, "a cell without atoms")
    cartesian, at = _mode(lines, at, path)
    positions = _positions(lines, at, sum(counts), path)
    if cartesian:
        positions = positions * scale
    species = [element for element, count in zip(elements, counts, strict=True) for _ in range(count)]
    return Structure(Lattice(matrix), species, positions, coords_are_cartesian=cartesian, validate_proximity=False)


@lru_cache(maxsize=512)
def element_named(name: str) -> Element | None:
    """The element that a potential or a species line names, as in ``Pb``, ``Pb_d`` or ``Fe/7f3a``; None for others."""
    found = _SYMBOL.match(name)
    return Element(found[1]) if found and Element.is_valid_symbol(found[1]) else None


def _number(token: str) -> float:
    try:
        return float(token)
    except ValueError:
        return float(token.replace("d", "e").replace("D", "e"))  # Fortran's double precision exponents


def _is_count(token: str) -> bool:
    return token.isdecimal() or (token[:1] in "+-" and token[1:].isdecimal())


def _lattice(lines: list[str], path: str) -> tuple[np.ndarray, np.ndarray]:
    """The lattice vectors (rows, Å) and the factors of the Cartesian components."""
    factors: list[float] = []
    for token in lines[1].split():
        try:
            factors.append(_number(token))
        except ValueError:
            break
    if len(factors) not in (1, 3):
        raise FileFormatError(path, f"line 2 must hold the scale, one number or three; it reads {lines[1].strip()!r}")
    try:
        matrix = np.array([[_number(token) for token in line.split()[:3]] for line in lines[2:5]])
    except ValueError:
        _refuse_lattice(path)
    if matrix.shape != (3, 3):
        _refuse_lattice(path)
    scale = np.array(factors)
    if not (np.isfinite(matrix).all() and np.isfinite(scale).all()):
        raise ImplausibleCellError(path, "a lattice vector or the scale is not a finite number")
    volume = abs(np.linalg.det(matrix))
    if volume == 0:
        raise ImplausibleCellError(path, "the lattice vectors span no volume")
    if len(scale) == 1 and scale[0] < 0:
        scale = (-scale / volume) ** (1 / 3)
    if (scale <= 0).any():
        raise FileFormatError(
            path, f"the scale in line 2 must be positive, or one negative volume: {lines[1].strip()!r}"
        )
    return matrix * scale, scale


def _refuse_lattice(path: str) -> NoReturn:
    raise FileFormatError(path, "lines 3 to 5 must hold the lattice vectors, three numbers each")


def _elements(lines: list[str], path: str) -> tuple[list[Element], int]:
    """Elements of a VASP 5 file, and the line where the counts begin (long lists are wrapped)."""
    elements: list[Element] = []
    for at in range(5, len(lines)):
        tokens = lines[at].split()
        if elements and tokens and _is_count(tokens[0]):
            return elements, at
        if not tokens:
            break
        for token in tokens:
            if token.startswith(("!", "#")):
                break
            element = element_named(token)
            if element is None:
                raise UnknownElementError(path, f"line {at + 1}: {token[:40]!r} is not an element; {_NO_ELEMENT_LINE}")
            elements.append(element)
    raise FileFormatError(path, "no line of atom counts after the elements")


def _counts(lines: list[str], at: int, wanted: int | None, path: str) -> tuple[list[int], int]:
    """Atoms per element and the line after them; ``wanted`` is how many the element line announced."""
    counts: list[int] = []
    while at < len(lines) and (not counts or (wanted is not None and len(counts) < wanted)):
        row = []
        for token in lines[at].split():
            if not _is_count(token):
                break
            row.append(int(token))
        if not row:
            break
        counts += row
        at += 1
    if wanted is not None and len(counts) != wanted:
        raise AtomCountError(path, f"{wanted} elements but {len(counts)} atom counts")
    if not counts or min(counts) < 0:
        raise FileFormatError(path, f"line {at}: atom counts must be whole numbers, zero or more")
    return counts, at


def _elements_of_comment(comment: str, counts: list[int], path: str) -> list[Element]:
    """Elements of a VASP 4 file, if its comment line leaves no doubt about them."""
    tokens = comment.split()
    if len(tokens) == len(counts) and all(Element.is_valid_symbol(token) for token in tokens):
        symbols = tokens
    elif tokens and all(_FORMULA.fullmatch(token) for token in tokens):
        items = _FORMULA_ITEM.findall("".join(tokens))
        symbols = [symbol for symbol, _ in items]
        numbers = [int(number or 1) for _, number in items]
        if numbers != counts or not all(Element.is_valid_symbol(symbol) for symbol in symbols):
            symbols = []
    else:
        symbols = []
    if not symbols or len(set(symbols)) != len(symbols):
        raise UnknownElementError(
            path,
            f"no element line, and the comment {comment.strip()[:60]!r} does not name one element for each of the "
            f"counts {' '.join(map(str, counts))}; {_NO_ELEMENT_LINE}",
        )
    return [Element(symbol) for symbol in symbols]


def _mode(lines: list[str], at: int, path: str) -> tuple[bool, int]:
    """Whether positions are Cartesian, and the line where they begin."""
    if at < len(lines) and lines[at].strip()[:1].lower() == "s":
        at += 1
    mode = lines[at].strip()[:1].lower() if at < len(lines) else ""
    if not mode.isalpha():
        raise FileFormatError(path, f"line {at + 1} must say Direct or Cartesian")
    return mode in "ck", at + 1


def _positions(lines: list[str], at: int, n_atoms: int, path: str) -> np.ndarray:
    """Positions as written, shape (n_atoms, 3)."""
    rows = [line.split()[:3] for line in lines[at : at + n_atoms]]
    if len(rows) < n_atoms or not all(rows):
        found = next((i for i, row in enumerate(rows) if not row), len(rows))
        raise FileFormatError(path, f"cut short: {n_atoms} atoms but {found} positions")
    positions = []
    for i, row in enumerate(rows):
        try:
            x, y, z = row
            positions.append((_number(x), _number(y), _number(z)))
        except ValueError as error:
            reason = f"line {at + i + 1}: a position must be three numbers, not {lines[at + i].strip()[:60]!r}"
            raise FileFormatError(path, reason) from error
    array = np.array(positions)
    if not np.isfinite(array).all():
        raise ImplausibleCellError(path, "an atomic position is not a finite number")
    return array
