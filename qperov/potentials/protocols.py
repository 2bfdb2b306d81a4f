"""Protocols: how a crystal starts and how it is relaxed, fixed once for a whole dataset."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
from pymatgen.core import Structure

from qperov.datasets.structure_text import content_id
from qperov.potentials.tilts import tilt_octahedra, tilt_signs

#: Optimisers of ASE that take one evaluation a step, so that crystals can be relaxed side by side.
OPTIMISERS = ("FIRE", "FIRE2", "BFGS", "LBFGS", "MDMin")
CELLS = ("free", "isotropic", "fixed")


@dataclass(frozen=True)
class Protocol:
    """How each crystal of a dataset is relaxed.

    Attributes
    ----------
    potential : str
        Name of the potential: see :func:`~qperov.potentials.calculators.open_potential`.
    tilt : str or None
        Glazer's pattern that is put into every cell first, such as ``a-b+a-``.
    tilt_angle : float
        Degrees about each axis.
    rattle : float
        Standard deviation (Å) of random displacements, drawn for each crystal from ``random_state`` and its content
        alone: the order of work does not matter.
    random_state : int
    keep_symmetry : bool
        Keep the space group that the start has (after the tilt); not with a rattle.
    cell : {"free", "isotropic", "fixed"}
        Whether lengths and angles relax, the volume alone, or nothing of the cell.
    optimiser : str
        FIRE, FIRE2, BFGS, LBFGS or MDMin.
    fmax : float
        Converged when no force (and, unless the cell is fixed, no row of the virial) is longer, eV/Å.
    steps : int
        At most; 0 gives the energy of the start.
    """

    potential: str = "chgnet"
    tilt: str | None = None
    tilt_angle: float = 10.0
    rattle: float = 0.0
    random_state: int = 0
    keep_symmetry: bool = False
    cell: Literal["free", "isotropic", "fixed"] = "free"
    optimiser: str = "FIRE"
    fmax: float = 0.03
    steps: int = 500

    def __post_init__(self) -> None:
        if self.tilt is not None:
            tilt_signs(self.tilt)
        if self.cell not in CELLS:
            raise ValueError(f"cell must be one of {', '.join(CELLS)}, not {self.cell!r}")
        if self.optimiser not in OPTIMISERS:
            raise ValueError(f"optimiser must be one of {', '.join(OPTIMISERS)}, not {self.optimiser!r}")
        if not (self.fmax > 0 and self.steps >= 0 and self.rattle >= 0 and self.random_state >= 0):
            raise ValueError("fmax must be positive; steps, rattle and random_state not negative")
        if self.keep_symmetry and self.rattle > 0:
            raise ValueError("a rattle breaks the symmetry that is to be kept; choose one of them")

    def start(self, structure: Structure) -> Structure:
        """The crystal as the relaxation begins, sites in the same order.

        Raises
        ------
        TiltError
            If the cell cannot hold the tilt.
        """
        begun = structure if self.tilt is None else tilt_octahedra(structure, self.tilt, self.tilt_angle)
        if self.rattle == 0:
            return begun
        rng = np.random.default_rng([self.random_state, int(content_id(structure)[:12], 16)])
        positions = begun.cart_coords + rng.normal(scale=self.rattle, size=(len(begun), 3))
        species = [site.species for site in begun]
        return Structure(begun.lattice, species, positions, coords_are_cartesian=True)

    def describe(self) -> str:
        """The protocol in words."""
        starts = [f"from the tilt {self.tilt} of {self.tilt_angle:g}°"] if self.tilt else []
        starts += [f"rattled by {self.rattle:g} Å (seed {self.random_state})"] if self.rattle else []
        start = " and ".join(starts) or "from the cell as given"
        kept = ", its space group kept" if self.keep_symmetry else ""
        if self.steps == 0:
            return f"energy of the start, {start}, nothing relaxed"
        what = {"free": "positions and cell", "isotropic": "positions and volume", "fixed": "positions"}[self.cell]
        return f"{what} relaxed {start}{kept} by {self.optimiser} to {self.fmax:g} eV/Å in at most {self.steps} steps"

    def to_json(self) -> str:
        """The settings as JSON, names sorted, as version 0.1 wrote them: relaxations of that time are not repeated."""
        settings = asdict(self)
        settings["seed"] = settings.pop("random_state")
        return json.dumps(settings, sort_keys=True)

    def id(self, version: str) -> str:
        """SHA-256 (16 hex digits) of the settings and the version of the potential."""
        return hashlib.sha256(f"{self.to_json()} {version}".encode()).hexdigest()[:16]


#: Protocols that a name stands for.
PROTOCOLS = {
    "static": Protocol(steps=0, cell="fixed"),
    "plain": Protocol(),
    "symmetric": Protocol(keep_symmetry=True),
    "tilted": Protocol(tilt="a-b+a-"),
    "rattled": Protocol(rattle=0.05),
}


def named_protocol(name: str) -> Protocol:
    """A protocol by its name, or from a JSON file with some of its settings.

    Raises
    ------
    ValueError
        If there is no such name or file, or the file holds anything else.
    """
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    path = Path(name)
    if not path.is_file():
        raise ValueError(f"no protocol {name!r}; there are {', '.join(PROTOCOLS)}, or a JSON file with settings")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if isinstance(settings, dict) and "seed" in settings:
        settings["random_state"] = settings.pop("seed")  # as version 0.1 called it
    known = {field.name for field in fields(Protocol)}
    if not isinstance(settings, dict) or not settings.keys() <= known:
        odd = ", ".join(sorted(set(settings) - known)) if isinstance(settings, dict) else "no object"
        raise ValueError(f"{path}: {odd}; settings of a protocol are {', '.join(sorted(known))}")
    try:
        return Protocol(**settings)
    except TypeError as error:
        raise ValueError(f"{path}: a setting has the wrong type: {error}") from error
