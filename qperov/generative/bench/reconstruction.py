"""How far reconstructed crystals lie from the true ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pymatgen.core import Structure
from scipy.optimize import linear_sum_assignment

from qperov.errors import EmptyDatasetError

#: Sites at one place are told apart by their species: weight of a wrong species beside distances in cell edges.
SPECIES_WEIGHT = 1e-3


def reconstruction_errors(structures: Sequence[Structure], reconstructed: Sequence[Structure | None]) -> pd.DataFrame:
    """Errors of each reconstructed crystal; ``.mean()`` of the table gives those of the whole set.

    Sites are matched one to one with the least sum of distances, in edges of the cell and across its faces.
    Cells are compared edge by edge as they are given, and no origin is shifted: a representation keeps both.

    Parameters
    ----------
    structures : sequence of Structure
    reconstructed : sequence of Structure or None
        In the same order; ``None`` for what could not be decoded.

    Returns
    -------
    DataFrame, one row per crystal
        ``lattice`` (Å) and ``angles`` (degrees): mean absolute error of a, b, c and of α, β, γ. ``coordinates``: that
        of the fractional coordinates of matched sites, to the nearest periodic image. These three are NaN where nothing
        was decoded. ``species``: share of sites with the right elements, among as many as the larger of the two
        crystals has, 0 where nothing was decoded. ``undecodable``: 1 where nothing was decoded, otherwise 0.

    Raises
    ------
    EmptyDatasetError
        There are no structures.
    ValueError
        The two lists are not of one length.
    """
    if not len(structures):
        raise EmptyDatasetError("there are no crystals to compare with their reconstructions")
    if len(structures) != len(reconstructed):
        raise ValueError(f"{len(structures)} crystals have {len(reconstructed)} reconstructions")
    return pd.DataFrame([_errors(true, found) for true, found in zip(structures, reconstructed, strict=True)])


def _errors(true: Structure, found: Structure | None) -> dict[str, float]:
    if found is None:
        nothing = float("nan")
        return {"lattice": nothing, "angles": nothing, "coordinates": nothing, "species": 0.0, "undecodable": 1.0}
    apart = true.frac_coords[:, None] - found.frac_coords[None]
    apart = np.abs(apart - np.round(apart))
    elements, others = ([site.species.element_composition for site in crystal] for crystal in (true, found))
    wrong = np.array([[mine != theirs for theirs in others] for mine in elements])
    mine, theirs = linear_sum_assignment(np.linalg.norm(apart, axis=-1) + SPECIES_WEIGHT * wrong)
    return {
        "lattice": float(np.abs(np.subtract(true.lattice.abc, found.lattice.abc)).mean()),
        "angles": float(np.abs(np.subtract(true.lattice.angles, found.lattice.angles)).mean()),
        "coordinates": float(apart[mine, theirs].mean()),
        "species": float((~wrong[mine, theirs]).sum() / max(len(elements), len(others))),
        "undecodable": 0.0,
    }
