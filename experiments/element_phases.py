"""Crystals of the elements at low temperature, from which make_abx3.py takes formation energies."""

from __future__ import annotations

import numpy as np
from ase.build import bulk
from ase.data import atomic_numbers, reference_states
from pymatgen.core import Element, Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from qperov.errors import MissingReferenceError

#: Lattices that ASE builds from its table of the elements.
_TABULATED = ("fcc", "bcc", "hcp", "diamond", "sc", "rhombohedral", "bct")
#: Distance (Å) of the two atoms of a molecule.
_BONDS = {"O": 1.21, "F": 1.42}


def element_phase(symbol: str) -> tuple[str, Structure]:
    """What an element is at low temperature, as a start of a relaxation: edges within a few per cent, not magnetic.

    O, F, Cl, Br and I are crystals of molecules (those of F stand upright, which costs some meV), S rings of eight,
    Mn the α phase with 29 atoms; La, Pr and Nd, whose stacking is double, are taken for hcp.

    Parameters
    ----------
    symbol : str

    Returns
    -------
    str
        Name of the structure.
    Structure
        Primitive cell.

    Raises
    ------
    MissingReferenceError
        If the structure of the element is not known here.

    References
    ----------
    J. Donohue, The Structures of the Elements, Wiley (1974); for most metals the table ``ase.data.reference_states``.
    """
    if not Element.is_valid_symbol(symbol):
        raise MissingReferenceError(f"{symbol!r} is no element")
    if symbol in _SPECIAL:
        name, group, lattice, positions = _SPECIAL[symbol]
        conventional = Structure.from_spacegroup(group, lattice, [symbol] * len(positions), positions)
        return name, conventional.get_primitive_structure()
    tabulated = reference_states[atomic_numbers[symbol]]
    if tabulated is None or tabulated["symmetry"] not in _TABULATED:
        raise MissingReferenceError(f"no structure of {symbol} is known here; give its energy yourself")
    return tabulated["symmetry"], AseAtomsAdaptor.get_structure(bulk(symbol))


def _upright(symbol: str, lattice: Lattice, centre: tuple[float, float, float]) -> list[np.ndarray]:
    """One atom of a molecule that stands on the plane of a and b; the centre is a centre of inversion."""
    normal = np.cross(lattice.matrix[0], lattice.matrix[1])
    return [centre + lattice.get_fractional_coords(normal / np.linalg.norm(normal) * _BONDS[symbol] / 2)]


_OXYGEN = Lattice.monoclinic(5.403, 3.429, 5.086, 132.53)
_FLUORINE = Lattice.monoclinic(5.50, 3.28, 7.28, 102.17)
_SPECIAL: dict[str, tuple[str, str, Lattice, list]] = {
    "O": ("α-O₂", "C2/m", _OXYGEN, _upright("O", _OXYGEN, (0, 0, 0))),
    "F": ("F₂, C2/m", "C2/c", _FLUORINE, _upright("F", _FLUORINE, (0.25, 0.25, 0))),
    "Cl": ("Cl₂, Cmce", "Cmce", Lattice.orthorhombic(6.145, 4.395, 8.154), [(0, 0.117, 0.102)]),
    "Br": ("Br₂, Cmce", "Cmce", Lattice.orthorhombic(6.567, 4.467, 8.651), [(0, 0.135, 0.112)]),
    "I": ("I₂, Cmce", "Cmce", Lattice.orthorhombic(7.136, 4.686, 9.784), [(0, 0.154, 0.117)]),
    "S": (
        "α-S₈",
        "Fddd:2",
        Lattice.orthorhombic(10.465, 12.866, 24.486),
        [(0.8554, 0.9526, 0.9516), (0.7844, 0.0301, 0.0763), (0.7069, 0.9795, 0.0040), (0.7862, 0.9073, 0.1290)],
    ),
    "Te": ("trigonal Te", "P3_121", Lattice.hexagonal(4.457, 5.929), [(0.263, 0, 1 / 3)]),
    "Ga": ("α-Ga", "Cmce", Lattice.orthorhombic(4.520, 7.663, 4.526), [(0, 0.154, 0.081)]),
    "Sn": ("α-Sn, diamond", "Fd-3m", Lattice.cubic(6.489), [(0, 0, 0)]),
    "Mn": (
        "α-Mn",
        "I-43m",
        Lattice.cubic(8.911),
        [(0, 0, 0), (0.317, 0.317, 0.317), (0.356, 0.356, 0.035), (0.089, 0.089, 0.282)],
    ),
}


if __name__ == "__main__":
    print(__doc__)
