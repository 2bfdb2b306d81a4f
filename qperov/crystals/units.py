"""Units of energies, per cell or per atom."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from pymatgen.core import Structure

ENERGY_UNITS = ("eV/cell", "eV/atom", "meV/cell", "meV/atom")

_COLUMN = re.compile(r"_(m?)ev_per_(cell|atom)$", re.IGNORECASE)


def unit_of_column(name: str) -> str | None:
    """The unit that a column's name ends with (``energy_ev_per_cell`` → ``eV/cell``), or None."""
    found = _COLUMN.search(name)
    return f"{found[1].lower()}eV/{found[2].lower()}" if found else None


def convert_energies(values: np.ndarray, structures: Sequence[Structure], unit: str | None, wanted: str) -> np.ndarray:
    """Convert energies, shape (n,), between eV and meV and between per cell and per atom.

    The number of atoms is the sum of a structure's occupancies.

    Raises
    ------
    ValueError
        If one of the units is not among ``ENERGY_UNITS``.
    """
    for name, given in (("unit", unit), ("convert", wanted)):
        if given not in ENERGY_UNITS:
            possible = ", ".join(ENERGY_UNITS)
            raise ValueError(f"cannot convert from {unit!r} to {wanted!r}: {name} must be one of {possible}")
    assert unit is not None
    values = np.array(values, dtype=np.float64)
    if unit[-4:] != wanted[-4:]:
        atoms = np.array([structure.composition.num_atoms for structure in structures])
        values = values / atoms if wanted.endswith("atom") else values * atoms
    if unit.startswith("m") != wanted.startswith("m"):
        values = values * 1000 if wanted.startswith("m") else values / 1000
    return values
