"""Relaxed orderings as one small file: the parent cell once, then what each ordering became."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Lattice, Structure

from qperov.crystals.energies import end_member_energies, mixing_energies
from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.embedded.compact_file import (
    POSITION_STEP,
    cell_of,
    embedded_compact,
    read_compact,
    rounded_cell,
    write_compact,
)

_WHAT = "a set of relaxed orderings"


@dataclass(frozen=True, eq=False)
class RelaxedOrdering:
    """One ordering after its relaxation.

    Attributes
    ----------
    id : str
    structure : Structure
        Sites in the order of the parent.
    multiplicity : int
        How many decorations of the undistorted cell are equivalent to this one.
    energy : float
        eV per cell.
    greatest_force, greatest_stress : float
        eV/Å and GPa at the end.
    steps : int
    converged : bool
    """

    id: str
    structure: Structure
    multiplicity: int
    energy: float
    greatest_force: float
    greatest_stress: float
    steps: int
    converged: bool


@dataclass(frozen=True, eq=False)
class RelaxedSet:
    """Relaxed orderings of two species on the sites of one cell, by one protocol.

    Attributes
    ----------
    name : str
    parent : Structure
        The cell with the first species on every decorated site, positions undistorted.
    sites : tuple of int
        Decorated sites.
    species : (str, str)
    end_members : (str, str)
        Formulas of pure first and second species.
    orderings : tuple of RelaxedOrdering
    provenance : dict
        ``sentence`` (what every label says), ``cautions``, ``protocol``, ``potential``, ``versions``,
        ``label_noise`` (meV per formula unit, of equivalent starts) and what else is worth knowing.
    """

    name: str
    parent: Structure
    sites: tuple[int, ...]
    species: tuple[str, str]
    end_members: tuple[str, str]
    orderings: tuple[RelaxedOrdering, ...]
    provenance: dict[str, Any]

    @property
    def mixing_energies(self) -> np.ndarray:
        """Energies of mixing against the end members of the set itself, eV per formula unit, shape (n,)."""
        structures = [ordering.structure for ordering in self.orderings]
        energies = np.array([ordering.energy for ordering in self.orderings])
        return mixing_energies(structures, energies, end_member_energies(structures, energies, self.end_members))

    def dataset(self) -> CrystalDataset:
        """Converged orderings with their energy of mixing in meV per formula unit."""
        rows = [row for row, ordering in enumerate(self.orderings) if ordering.converged]
        return CrystalDataset(
            name=self.name,
            structures=tuple(self.orderings[row].structure for row in rows),
            ids=tuple(self.orderings[row].id for row in rows),
            y=1000 * self.mixing_energies[rows],
            target="mixing_energy",
            unit="meV/f.u.",
            provenance=(self.provenance["sentence"],) * len(rows),
            cautions=tuple(self.provenance["cautions"]),
            known_groups=np.arange(len(rows)),
            known_noise=self.provenance.get("label_noise"),
        )


def write_relaxed_set(relaxed: RelaxedSet, path: str | Path) -> None:
    """Write a set as compressed JSON; equal sets give equal bytes.

    Raises
    ------
    ValueError
        If an ordering does not have its sites in the order of the parent.
    """
    content = {
        "name": relaxed.name,
        "provenance": relaxed.provenance,
        "parent": {
            "lattice": relaxed.parent.lattice.matrix.tolist(),
            "species": [site.species_string for site in relaxed.parent],
            "frac_coords": np.round(relaxed.parent.frac_coords, 9).tolist(),
        },
        "sites": list(relaxed.sites),
        "species": list(relaxed.species),
        "end_members": list(relaxed.end_members),
        "position_step": POSITION_STEP,
        "orderings": [_as_plain(ordering, relaxed) for ordering in relaxed.orderings],
    }
    write_compact(content, path)


def read_relaxed_set(path: str | Path) -> RelaxedSet:
    """Read a set that ``write_relaxed_set`` wrote.

    Raises
    ------
    FileFormatError
        If the file is anything else.
    """
    return read_compact(Path(path).read_bytes(), str(path), _parsed, _WHAT)


def embedded_relaxed_set(name: str) -> RelaxedSet:
    """A relaxed set that comes with the package.

    Raises
    ------
    FileFormatError
        If the file is damaged.
    """
    return read_compact(*embedded_compact(name), _parsed, _WHAT)


def _as_plain(ordering: RelaxedOrdering, relaxed: RelaxedSet) -> dict[str, Any]:
    occupied = [site for site in relaxed.sites if ordering.structure[site].species_string == relaxed.species[1]]
    rest = _names(relaxed, occupied)
    if [site.species_string for site in ordering.structure] != rest:
        raise ValueError(f"{ordering.id}: its sites are not those of the parent, in its order")
    return {
        "id": ordering.id,
        "occupied": occupied,
        "multiplicity": ordering.multiplicity,
        **rounded_cell(ordering.structure),
        "energy": round(ordering.energy, 6),
        "greatest_force": round(ordering.greatest_force, 5),
        "greatest_stress": round(ordering.greatest_stress, 5),
        "steps": ordering.steps,
        "converged": ordering.converged,
    }


def _names(relaxed: RelaxedSet, occupied: Sequence[int]) -> list[str]:
    names = [site.species_string for site in relaxed.parent]
    for site in relaxed.sites:
        names[site] = relaxed.species[site in occupied]
    return names


def _parsed(shipped: dict[str, Any]) -> RelaxedSet:
    parent, step = shipped["parent"], shipped["position_step"]
    bare = RelaxedSet(
        name=shipped["name"],
        parent=Structure(Lattice(parent["lattice"]), parent["species"], parent["frac_coords"]),
        sites=tuple(shipped["sites"]),
        species=(shipped["species"][0], shipped["species"][1]),
        end_members=(shipped["end_members"][0], shipped["end_members"][1]),
        orderings=(),
        provenance=shipped["provenance"],
    )
    return replace(bare, orderings=tuple(_ordering(each, bare, step) for each in shipped["orderings"]))


def _ordering(plain: dict[str, Any], relaxed: RelaxedSet, step: float) -> RelaxedOrdering:
    return RelaxedOrdering(
        id=plain["id"],
        structure=cell_of(plain, _names(relaxed, plain["occupied"]), step),
        multiplicity=plain["multiplicity"],
        energy=plain["energy"],
        greatest_force=plain["greatest_force"],
        greatest_stress=plain["greatest_stress"],
        steps=plain["steps"],
        converged=plain["converged"],
    )
