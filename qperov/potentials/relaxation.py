"""Relaxes crystals with an interatomic potential, one by one or several side by side."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ase.optimize
import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from pymatgen.core import Lattice, Structure

from qperov.crystals.plausibility import check_cell
from qperov.errors import DivergedError, ImplausibleCellError, RelaxationError
from qperov.potentials.calculators import Potential, Results, open_potential
from qperov.potentials.protocols import Protocol

#: A cell that grows or shrinks beyond this factor of its volume has burst or collapsed.
MOST_VOLUME_CHANGE = 3.0
#: Tolerance (Å) of the space group that is kept.
SYMMETRY_TOLERANCE = 0.01


@dataclass(frozen=True, eq=False)
class Relaxation:
    """A crystal after its relaxation.

    Attributes
    ----------
    structure : Structure
        Sites in the order of the crystal that was given.
    energy : float
        eV per cell.
    greatest_force : float
        Longest force on an atom, eV/Å, after the constraint of symmetry if there is one.
    greatest_stress : float or None
        Largest component of the stress, GPa; None where the potential gives no stress and the cell is fixed.
    steps : int
    converged : bool
        Whether the protocol's ``fmax`` was reached (of forces, and of the virial unless the cell is fixed); true where
        it takes no steps.
    seconds : float
        Wall time; a share of it where several were relaxed at once.
    provenance : str
        Potential, version and protocol in words.
    """

    structure: Structure
    energy: float
    greatest_force: float
    greatest_stress: float | None
    steps: int
    converged: bool
    seconds: float
    provenance: str


def relax(
    structure: Structure, protocol: Protocol | None = None, potential: str | Potential | Any | None = None
) -> Relaxation:
    """Relax one crystal.

    Parameters
    ----------
    structure : Structure
        Fully ordered.
    protocol : Protocol, optional
        By default positions and cell by CHGNet, from the cell as given.
    potential : str, Potential or ase Calculator, optional
        Instead of the protocol's.

    Raises
    ------
    RelaxationError
        If the crystal cannot be relaxed; as ``DivergedError`` if it runs away.
    MissingDependencyError
        If the potential is not installed.
    """
    protocol = protocol or Protocol()
    opened = open_potential(protocol.potential if potential is None else potential)
    (found,) = relax_together([structure], protocol, opened)
    if isinstance(found, Exception):
        raise found
    return found


def relax_together(
    structures: Sequence[Structure], protocol: Protocol, potential: Potential
) -> list[Relaxation | RelaxationError]:
    """Relax crystals side by side, each by its own optimiser; their potential is evaluated for all at once.

    Every crystal takes the very steps that it takes alone (up to rounding inside the potential); where the potential
    offers no batches they are evaluated one after the other. What fails is returned in its place, the others go on.

    Returns
    -------
    list of Relaxation or RelaxationError
    """
    began = time.perf_counter()
    outcomes: list[Relaxation | RelaxationError | None] = [None] * len(structures)
    under_way: list[_Course] = []
    for place, structure in enumerate(structures):
        try:
            under_way.append(_Course(place, structure, protocol, potential))
        except Exception as error:  # whatever it is, it belongs to this crystal, and is kept in its place
            outcomes[place] = _failure(structure, error)
    while under_way:
        if potential.batch is not None:
            _evaluate(under_way, potential)
        still = []
        for course in under_way:
            try:
                if course.advance():
                    still.append(course)
                else:
                    share = (time.perf_counter() - began) / len(structures)
                    outcomes[course.place] = course.result(share, potential)
            except Exception as error:
                outcomes[course.place] = _failure(course.given, error)
        under_way = still
    return [outcome for outcome in outcomes if outcome is not None]


def _failure(structure: Structure, error: Exception) -> RelaxationError:
    """The error as one of ours, with the crystal's formula."""
    if isinstance(error, RelaxationError):
        return error
    kind = DivergedError if isinstance(error, ImplausibleCellError) else RelaxationError
    words = error.reason if isinstance(error, ImplausibleCellError) else f"{type(error).__name__}: {error}"
    failure = kind(f"{structure.formula}: {words}")
    failure.__cause__ = error
    return failure


def _evaluate(courses: Sequence[_Course], potential: Potential) -> None:
    """Fill the slots of all crystals whose positions are new."""
    assert potential.batch is not None
    due = [course for course in courses if course.slot.calculation_required(course.atoms, ["forces"])]
    if due:
        try:
            results = potential.batch([course.atoms for course in due])
        except Exception:  # one bad crystal fails its batch; singly the bad one is found
            return
        for course, found in zip(due, results, strict=True):
            course.slot.fill(course.atoms, found)


class _Slot(Calculator):
    """Holds a crystal's results, put in by a batch or asked for singly."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 (ASE compares lists)

    def __init__(self, potential: Potential) -> None:
        super().__init__()
        self.potential = potential

    def fill(self, atoms: Atoms, results: Results) -> None:
        self.atoms = atoms.copy()
        self.results = dict(results)

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        assert self.potential.batch is not None
        self.fill(atoms, self.potential.batch([atoms])[0])


@dataclass(eq=False)
class _Course:
    """One crystal on its way."""

    place: int
    given: Structure
    protocol: Protocol
    potential: Potential
    atoms: Atoms = field(init=False)
    slot: Any = field(init=False)
    optimiser: Any = field(init=False)
    volume: float = field(init=False)
    #: Where the crystal stands now.
    gradient: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        if not self.given.is_ordered:
            raise RelaxationError(f"{self.given.formula}: sites are shared; relax its orderings instead")
        start = self.protocol.start(self.given)
        check_cell(start, start.formula)
        numbers = [site.specie.Z for site in start]
        self.atoms = Atoms(numbers, start.cart_coords, cell=start.lattice.matrix, pbc=start.lattice.pbc)
        self.volume = start.volume
        if self.protocol.keep_symmetry:
            with warnings.catch_warnings():
                # spglib warns of how it will report errors one day
                warnings.simplefilter("ignore", DeprecationWarning)
                self.atoms.set_constraint(FixSymmetry(self.atoms, symprec=SYMMETRY_TOLERANCE))
        self.slot = self.potential.calculator if self.potential.batch is None else _Slot(self.potential)
        self.atoms.calc = self.slot
        target: Any = self.atoms
        if self.protocol.cell != "fixed":
            target = FrechetCellFilter(self.atoms, hydrostatic_strain=self.protocol.cell == "isotropic")
        self.optimiser = getattr(ase.optimize, self.protocol.optimiser)(target, logfile=None)
        self.optimiser.fmax = self.protocol.fmax

    def advance(self) -> bool:
        """Take one step; False when there is nothing left to do."""
        self.gradient = self.optimiser.optimizable.get_gradient()
        self._check()
        if self.optimiser.nsteps >= self.protocol.steps or self._converged():
            return False
        self.optimiser.step()
        self.optimiser.nsteps += 1
        volume = abs(self.atoms.get_volume())
        if not self.volume / MOST_VOLUME_CHANGE < volume < self.volume * MOST_VOLUME_CHANGE:
            words = "burst" if volume > self.volume else "collapsed"
            raise DivergedError(
                f"{self.given.formula}: the cell {words} from {self.volume:.0f} to {volume:.3g} Å³ in "
                f"{self.optimiser.nsteps} steps"
            )
        return True

    def result(self, seconds: float, potential: Potential) -> Relaxation:
        """What came out."""
        species = [site.species for site in self.given]
        structure = Structure(
            Lattice(self.atoms.cell[:], pbc=self.given.lattice.pbc),
            species,
            self.atoms.positions,
            coords_are_cartesian=True,
            charge=self.given._charge,
        )
        check_cell(structure, structure.formula)
        return Relaxation(
            structure=structure,
            energy=float(self.atoms.get_potential_energy()),
            greatest_force=float(np.linalg.norm(self.atoms.get_forces(), axis=1).max()),
            greatest_stress=self._greatest_stress(),
            steps=self.optimiser.nsteps,
            converged=self.protocol.steps == 0 or self._converged(),
            seconds=seconds,
            provenance=provenance(self.protocol, potential),
        )

    def _check(self) -> None:
        energy = self.atoms.get_potential_energy()
        if not (np.isfinite(self.gradient).all() and np.isfinite(energy)):
            raise DivergedError(
                f"{self.given.formula}: energy or forces are not finite after {self.optimiser.nsteps} steps"
            )

    def _converged(self) -> bool:
        return bool(self.optimiser.gradient_converged(self.gradient))

    def _greatest_stress(self) -> float | None:
        try:
            return float(np.abs(self.atoms.get_stress()).max() / units.GPa)
        except PropertyNotImplementedError:
            return None


def provenance(protocol: Protocol, potential: Potential) -> str:
    """Where an energy comes from: potential, version and protocol in words."""
    return f"{potential.label}: {protocol.describe()}"
