"""Generated crystals chosen for a gallery, and their atoms as the plain columns that it is drawn from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure

from qperov.records.study import CRYSTAL_COLUMNS
from qperov.studies.inverse_design.results import BASELINE, Generation, Target, short_number

#: Crystals of each model in the gallery.
IN_GALLERY = 3
#: Fractional coordinates within this of a face are drawn on the opposite one, too.
ON_FACE = 0.02


def chosen_for_gallery(target: Target, generation: Generation) -> dict[str, Structure]:
    """Title → crystal: of each model the crystals that pass, nearest to the target, no formula twice."""
    found: dict[str, Structure] = {}
    for model in dict.fromkeys(sample.model for sample in generation.samples if sample.model != BASELINE):
        candidates = [
            (abs(sample.properties[i] - target.value), sample, i, sample.crystals[i])
            for sample in generation.samples
            if sample.model == model
            for i in np.flatnonzero(generation.passing(sample) & np.isfinite(sample.properties))
        ]
        formulas: set[str] = set()
        for _, sample, i, crystal in sorted(candidates, key=lambda candidate: candidate[0]):
            formula = crystal.composition.reduced_formula if crystal is not None else ""
            if crystal is None or formula in formulas:
                continue
            formulas.add(formula)
            found[f"{formula}, {short_number(sample.properties[i])}\n{sample.name}"] = crystal
            if len(formulas) == IN_GALLERY:
                break
    return found


def gallery_frame(crystals: Mapping[str, Structure]) -> pd.DataFrame:
    """Atoms of crystals as plain columns, one row an atom; those on a face of the cell stand on the opposite one, too.

    Returns
    -------
    DataFrame
        ``crystal``, ``element``, ``x``, ``y``, ``z`` (Å), and the cell's edges ``a_x`` … ``c_z`` (Å) in every row.
        Cells are oriented as by ``Lattice.from_parameters``.
    """
    rows = []
    for title, crystal in crystals.items():
        lattice = Lattice.from_parameters(*crystal.lattice.parameters)
        edges = lattice.matrix.ravel().tolist()
        # of a left-handed cell the mirror image would be drawn; all axes turned round make the same crystal
        hand = np.sign(np.linalg.det(crystal.lattice.matrix))
        for site in crystal:
            place = np.mod(hand * site.frac_coords, 1.0)
            place[place > 1 - ON_FACE] -= 1
            for shift in np.ndindex(*(2 if within else 1 for within in place < ON_FACE)):
                x, y, z = lattice.get_cartesian_coords(place + shift).tolist()
                rows.append((title, site.specie.symbol, x, y, z, *edges))
    return pd.DataFrame(rows, columns=["crystal", "element", "x", "y", *CRYSTAL_COLUMNS])
