"""Relaxed ABX₃ cells of many compositions as one small file, with what their formation energies refer to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Species, Structure

from qperov.crystals.energies import formation_energies
from qperov.crystals.perovskites.sites import PerovskiteSites
from qperov.crystals.perovskites.tolerance import tolerance_factors
from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.embedded.compact_file import (
    POSITION_STEP,
    cell_of,
    embedded_compact,
    read_compact,
    rounded_cell,
    write_compact,
)
from qperov.errors import UnfinishedRunError

_WHAT = "a set of relaxed perovskites"
#: Where the six bonds of an octahedron differ by more than this factor it has opened; of the 1605 cells of abx3 only
#: 105 lie between 1.4 and 1.7.
MOST_BOND_RATIO = 1.5


@dataclass(frozen=True, eq=False)
class RelaxedPerovskite:
    """One composition after its relaxation.

    Attributes
    ----------
    id : str
    sites : PerovskiteSites
        The ions, with the charges from which the starting cell was built.
    structure : Structure
        Five atoms in the order A, B, X, X, X; cell vectors in the order of the cubic ones, positions not wrapped.
    energy : float
        eV per cell.
    greatest_force, greatest_stress : float
        eV/Å and GPa at the end.
    steps : int
    converged : bool
    """

    id: str
    sites: PerovskiteSites
    structure: Structure
    energy: float
    greatest_force: float
    greatest_stress: float
    steps: int
    converged: bool

    @property
    def tolerance_factor(self) -> float:
        """Goldschmidt's t of the ions."""
        return tolerance_factors(self.sites).t

    @property
    def bonds(self) -> np.ndarray:
        """Distances (Å) of B to the six X of its octahedron, as they were in the cubic cell, shape (6,)."""
        towards = self.structure.frac_coords[2:] - self.structure.frac_coords[1]
        # the X sites (½, ½, 0), (½, 0, ½), (0, ½, ½) have their second neighbour B one cell along c, b, a
        vectors = np.concatenate([towards, towards + np.eye(3)[::-1]])
        return np.linalg.norm(vectors @ self.structure.lattice.matrix, axis=1)

    @property
    def octahedral(self) -> bool:
        """Whether B kept its octahedron: no bond longer than ``MOST_BOND_RATIO`` times the shortest."""
        return bool(self.bonds.max() < MOST_BOND_RATIO * self.bonds.min())


@dataclass(frozen=True)
class ElementReference:
    """What the formation energies take an element to be: the name of its structure, and eV per atom."""

    phase: str
    energy: float


@dataclass(frozen=True, eq=False)
class PerovskiteSet:
    """Relaxed cells by one protocol.

    Attributes
    ----------
    name : str
    perovskites : tuple of RelaxedPerovskite
        Also those that did not converge.
    elements : dict of str to ElementReference
    failures : dict of str to str
        Ids that have no relaxed cell, and why.
    provenance : dict
        ``sentence`` (what every label says), ``cautions``, ``protocol``, ``potential``, ``versions`` and so on.
    """

    name: str
    perovskites: tuple[RelaxedPerovskite, ...]
    elements: dict[str, ElementReference]
    failures: dict[str, str]
    provenance: dict[str, Any]

    @cached_property
    def formation_energies(self) -> np.ndarray:
        """(E − Σ nᵢ μᵢ)/N in eV per atom, shape (n,), μᵢ of ``elements``."""
        return formation_energies(
            [each.structure for each in self.perovskites],
            np.array([each.energy for each in self.perovskites]),
            {symbol: reference.energy for symbol, reference in self.elements.items()},
        )

    def dataset(self) -> CrystalDataset:
        """Converged cells with their formation energy in eV per atom; all others are its issues.

        Equal groups mark equal elements on equal sites, whose cells started from the radii of other charges.
        """
        rows = [row for row, each in enumerate(self.perovskites) if each.converged]
        chosen = [self.perovskites[row] for row in rows]
        classes: dict[str, int] = {}
        unfinished = [
            UnfinishedRunError(each.id, f"longest force {each.greatest_force:.3f} eV/Å after {each.steps} steps")
            for each in self.perovskites
            if not each.converged
        ]
        failed = [UnfinishedRunError(entry_id, reason) for entry_id, reason in self.failures.items()]
        return CrystalDataset(
            name=self.name,
            structures=tuple(each.structure for each in chosen),
            ids=tuple(each.id for each in chosen),
            y=self.formation_energies[rows],
            target="formation_energy",
            unit="eV/atom",
            provenance=(self.provenance["sentence"],) * len(rows),
            issues=(*unfinished, *failed),
            cautions=tuple(self.provenance["cautions"]),
            known_groups=np.array([classes.setdefault(each.sites.formula, len(classes)) for each in chosen]),
        )


def write_perovskite_set(perovskites: PerovskiteSet, path: str | Path) -> None:
    """Write a set as compressed JSON; equal sets give equal bytes."""
    content = {
        "name": perovskites.name,
        "provenance": perovskites.provenance,
        "elements": {
            symbol: [reference.phase, round(reference.energy, 6)]
            for symbol, reference in sorted(perovskites.elements.items())
        },
        "failures": perovskites.failures,
        "position_step": POSITION_STEP,
        "perovskites": [_as_plain(each) for each in perovskites.perovskites],
    }
    write_compact(content, path)


def read_perovskite_set(path: str | Path) -> PerovskiteSet:
    """Read a set that ``write_perovskite_set`` wrote.

    Raises
    ------
    FileFormatError
        If the file is anything else.
    """
    return read_compact(Path(path).read_bytes(), str(path), _parsed, _WHAT)


def embedded_perovskite_set(name: str) -> PerovskiteSet:
    """A set that comes with the package.

    Raises
    ------
    FileFormatError
        If the file is damaged.
    """
    return read_compact(*embedded_compact(name), _parsed, _WHAT)


def _as_plain(each: RelaxedPerovskite) -> dict[str, Any]:
    return {
        "id": each.id,
        "ions": [str(mixture[0][0]) for mixture in (each.sites.a, each.sites.b, each.sites.x)],
        **rounded_cell(each.structure),
        "energy": round(each.energy, 6),
        "greatest_force": round(each.greatest_force, 5),
        "greatest_stress": round(each.greatest_stress, 5),
        "steps": each.steps,
        "converged": each.converged,
    }


def _parsed(shipped: dict[str, Any]) -> PerovskiteSet:
    step = shipped["position_step"]
    return PerovskiteSet(
        name=shipped["name"],
        perovskites=tuple(_perovskite(each, step) for each in shipped["perovskites"]),
        elements={symbol: ElementReference(*reference) for symbol, reference in shipped["elements"].items()},
        failures=shipped["failures"],
        provenance=shipped["provenance"],
    )


def _perovskite(plain: dict[str, Any], step: float) -> RelaxedPerovskite:
    a, b, x = (Species.from_str(ion) for ion in plain["ions"])
    return RelaxedPerovskite(
        id=plain["id"],
        sites=PerovskiteSites(((a, 1.0),), ((b, 1.0),), ((x, 1.0),)),
        structure=cell_of(plain, [a.symbol, b.symbol, *[x.symbol] * 3], step),
        **{name: plain[name] for name in ("energy", "greatest_force", "greatest_stress", "steps", "converged")},
    )
