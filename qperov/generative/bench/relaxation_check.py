"""How far the atoms of a generated crystal move when it is relaxed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pymatgen.core import Lattice, Structure

from qperov.errors import RelaxationError


@dataclass(frozen=True)
class Moved:
    """What a relaxation changed.

    Attributes
    ----------
    rmsd : float
        Root mean square displacement of the atoms, Å; strain of the cell and a drift of all atoms taken out.
    volume_change : float
        V_relaxed / V_generated − 1.
    """

    rmsd: float
    volume_change: float


def moved(before: Structure, after: Structure) -> Moved:
    r"""How far atoms moved: :math:`\min_t \sqrt{\langle |\bar L (\Delta x_i - t)|^2 \rangle}`.

    Fractional displacements Δx, to the nearest image, are measured in the cell of mean lengths and angles. Both
    crystals must list the same sites in the same order, on corresponding axes, as relaxations leave them.

    Raises
    ------
    RelaxationError
        If the sites are not the same.
    """
    if len(before) != len(after) or any(
        a.species.element_composition != b.species.element_composition for a, b in zip(before, after, strict=True)
    ):
        raise RelaxationError("the relaxed crystal lists other sites than the generated one")
    mean = Lattice.from_parameters(*((np.array(before.lattice.parameters) + after.lattice.parameters) / 2))
    step = after.frac_coords - before.frac_coords
    # the drift is about the displacement of some atom: with it taken out, nearest images are the right ones
    squared = min(_mean_square(step - anchor, mean) for anchor in step)
    return Moved(float(np.sqrt(squared)), float(after.volume / before.volume - 1))


def _mean_square(step: np.ndarray, lattice: Lattice) -> float:
    nearest = step - np.round(step)
    cartesian = (nearest - nearest.mean(axis=0)) @ lattice.matrix
    return float((cartesian**2).sum(axis=1).mean())
