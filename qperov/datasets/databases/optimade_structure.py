"""The attributes of an OPTIMADE structure as a Structure."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymatgen.core import Element, Lattice, Structure

from qperov.crystals.plausibility import check_cell
from qperov.errors import AtomCountError, FileFormatError, ImplausibleCellError, UnknownElementError

#: What makes a structure.
STRUCTURE_FIELDS = (
    "lattice_vectors",
    "cartesian_site_positions",
    "species",
    "species_at_sites",
    "structure_features",
    "dimension_types",
)
#: Features that a list of sites cannot express, in words.
_BEYOND = {
    "assemblies": "sites exclude each other (assemblies); take an ordered model of it",
    "implicit_atoms": "atoms without a position (implicit_atoms)",
    "unknown_positions": "positions that are not known",
    "site_attachments": "groups of atoms on one position (site_attachments)",
}
_OCCUPANCY = 1e-3


def structure_of(attributes: dict[str, Any], where: str) -> Structure:
    """The structure; sites that several species share keep their occupancies, vacancies lower them.

    Parameters
    ----------
    attributes : dict
        Of an entry of the type ``structures``.
    where : str
        What messages call the entry.

    Raises
    ------
    FileFormatError
        If a field is missing or malformed, or the crystal has what a list of sites cannot express.
    UnknownElementError
        If a site's species is not described, or is of no element.
    AtomCountError
        If sites and species are not equally many.
    ImplausibleCellError
        If the cell cannot be a crystal's.
    """
    features = attributes.get("structure_features") or []
    for feature in features if isinstance(features, list) else []:
        if feature in _BEYOND:
            raise FileFormatError(where, _BEYOND[feature])
    dimensions = attributes.get("dimension_types")
    if dimensions is not None and list(dimensions) != [1, 1, 1]:
        raise FileFormatError(where, f"not periodic in three dimensions (dimension_types {dimensions})")
    lattice = _array(attributes, "lattice_vectors", where)
    positions = _array(attributes, "cartesian_site_positions", where)
    names = attributes.get("species_at_sites")
    if lattice.shape != (3, 3) or not isinstance(names, list):
        raise FileFormatError(where, "lattice_vectors are not 3 × 3, or species_at_sites is missing")
    if len(names) != len(positions):
        raise AtomCountError(where, f"{len(positions)} positions, but {len(names)} entries of species_at_sites")
    if len(positions) and positions.shape != (len(positions), 3):
        raise FileFormatError(where, f"cartesian_site_positions have the shape {positions.shape}")
    known = _species(attributes.get("species"), where)
    missing = [str(name) for name in dict.fromkeys(names) if str(name) not in known]
    if missing:
        raise UnknownElementError(where, f"species {', '.join(missing)} of its sites are not described")
    if abs(np.linalg.det(lattice)) < 1e-6:
        raise ImplausibleCellError(where, "the lattice vectors lie in a plane")
    occupied = [row for row, name in enumerate(names) if known[str(name)]]
    structure = Structure(
        Lattice(lattice),
        [known[str(names[row])] for row in occupied],
        positions[occupied] if occupied else [],
        coords_are_cartesian=True,
        validate_proximity=False,
    )
    check_cell(structure, where)
    return structure


def _array(attributes: dict[str, Any], name: str, where: str) -> np.ndarray:
    """A field of numbers; null in it is an unknown position or a direction that is not periodic."""
    try:
        values = np.array(attributes[name], dtype=np.float64)
    except KeyError:
        raise FileFormatError(where, f"{name} is missing") from None
    except (TypeError, ValueError) as error:
        raise FileFormatError(where, f"{name} is no table of numbers ({error})") from error
    if values.ndim != 2 and values.size:
        raise FileFormatError(where, f"{name} is missing or no table")
    if not np.isfinite(values).all():
        raise FileFormatError(where, f"{name} has gaps: null, or a number that is not finite")
    return values


def _species(described: Any, where: str) -> dict[str, dict[Element, float]]:
    """Occupancies by the name of the species; empty for a vacancy."""
    if not isinstance(described, list):
        raise UnknownElementError(where, "species are missing: the sites' elements are not given")
    found = {}
    for each in described:
        try:
            name, symbols, shares = each["name"], each["chemical_symbols"], each["concentration"]
            pairs = [(str(symbol), float(share)) for symbol, share in zip(symbols, shares, strict=True)]
        except (TypeError, KeyError, ValueError) as error:
            raise FileFormatError(where, f"a species is malformed ({type(error).__name__}: {error})") from error
        if each.get("attached"):
            raise FileFormatError(where, f"species {name} has atoms attached, which have no positions")
        found[str(name)] = _occupancies(str(name), pairs, where)
    return found


def _occupancies(name: str, pairs: list[tuple[str, float]], where: str) -> dict[Element, float]:
    total = sum(share for _, share in pairs)
    if not all(share >= 0 for _, share in pairs) or not 0 < total <= 1 + _OCCUPANCY:
        raise FileFormatError(where, f"concentrations of species {name} are no shares of a site")
    shares: dict[Element, float] = {}
    for symbol, share in pairs:
        if symbol == "vacancy" or share == 0:
            continue
        if not Element.is_valid_symbol(symbol):
            raise UnknownElementError(where, f"species {name} is of {symbol!r}, which is no element")
        # thirds written as 0.3334 must not overfill a site
        shares[Element(symbol)] = shares.get(Element(symbol), 0.0) + share / max(1.0, total)
    return shares
