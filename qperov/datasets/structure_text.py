"""Structures as compact JSON text that gives back every bit, and their content ids."""

from __future__ import annotations

import hashlib
import json

import numpy as np
from pymatgen.core import Lattice, Structure
from pymatgen.core.periodic_table import get_el_sp


def content_id(structure: Structure) -> str:
    """SHA-256 (hex) of lattice, species, occupancies and positions, lengths and positions rounded to 1e-8.

    Equal for structures that differ by less than the digits that files carry; different for symmetry copies.
    """
    digest = hashlib.sha256()
    for numbers in (structure.lattice.matrix, structure.frac_coords):
        digest.update((np.round(numbers, 8) + 0.0).tobytes())  # adding 0.0 turns -0.0 into 0.0
    digest.update(repr((_species(structure), structure.lattice.pbc, structure._charge)).encode())
    return digest.hexdigest()


def to_text(structure: Structure) -> str:
    """JSON with lattice (Å), periodicity, the different species, which of them each site has, and positions."""
    species = _species(structure)
    distinct = list(dict.fromkeys(species))
    number = {composition: i for i, composition in enumerate(distinct)}
    content = {
        "lattice": structure.lattice.matrix.tolist(),
        "pbc": list(structure.lattice.pbc),
        "species": [dict(composition) for composition in distinct],
        "sites": [number[composition] for composition in species],
        "positions": structure.frac_coords.tolist(),
        "charge": structure._charge,
    }
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def from_text(text: str) -> Structure:
    """The structure that ``to_text`` wrote, to the last bit.

    Raises
    ------
    ValueError, KeyError, IndexError, TypeError
        If the text is not of this form.
    """
    content = json.loads(text)
    compositions = [
        {get_el_sp(name): amount for name, amount in composition.items()} for composition in content["species"]
    ]
    return Structure(
        Lattice(content["lattice"], pbc=tuple(content["pbc"])),
        [compositions[i] for i in content["sites"]],
        content["positions"],
        charge=content["charge"],
        validate_proximity=False,
    )


def _species(structure: Structure) -> list[tuple[tuple[str, float], ...]]:
    """Per site, its species by name with their occupancies."""
    return [
        tuple(sorted((str(species), float(amount)) for species, amount in site.species.items())) for site in structure
    ]
