"""Peaks of strained crystals brought to the peaks of one lattice, reflection by reflection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pymatgen.core import Lattice, Structure

from qperov.diffraction.crystal_batches import squared_structure_factors
from qperov.diffraction.profiles import lorentz_polarisation
from qperov.diffraction.reflections import TWO_THETA_STEP, reflections
from qperov.errors import DescriptorError

#: Cells whose lengths differ by more than this share, or angles by more than so many degrees, have other indices.
MOST_STRAIN, MOST_SHEAR = 0.1, 10.0
#: Peaks below this share of the strongest one, which counts 100, are dropped, as in a powder pattern.
LEAST_INTENSITY = 1e-3


def mean_lattice(structures: Sequence[Structure]) -> Lattice:
    """The lattice of the mean lengths and angles of some cells."""
    return Lattice.from_parameters(*np.mean([s.lattice.parameters for s in structures], axis=0))


def aligned_peaks(
    structures: Sequence[Structure], lattice: Lattice, wavelength: float, g_range: tuple[float, float]
) -> list[dict[int, float]]:
    """Intensities of crystals on the merged 2θ keys that the same hkl have in a common lattice.

    I(key) = Σ |F(hkl)|² (1 + cos² 2θ) / (sin² θ cos θ) over the hkl that fall on this key in the common lattice, with θ
    from each crystal's own lattice; the largest is 100. Reflections outside ``g_range`` in either lattice are left out.

    Parameters
    ----------
    structures : sequence of Structure
        Strained versions of one cell: hkl must mean the same in all of them.
    lattice : Lattice
    wavelength : float
        Å.
    g_range : (float, float)
        Å⁻¹.

    Returns
    -------
    list of dict of int to float
        Merged 2θ key (of the common lattice) → intensity on the scale 0–100, one dictionary a crystal.

    Raises
    ------
    DescriptorError
        If a cell is too far from the common one, or no common reflection is in the range.
    """
    for i, structure in enumerate(structures):
        strain = np.abs(np.divide(structure.lattice.abc, lattice.abc) - 1).max()
        shear = np.abs(np.subtract(structure.lattice.angles, lattice.angles)).max()
        if strain > MOST_STRAIN or shear > MOST_SHEAR:
            raise DescriptorError(
                f"structure {i}: its cell is no strained version of the common one (lengths differ by {strain:.0%}, "
                f'angles by {shear:.0f}°), so hkl do not compare. Use PXRDFeaturizer(kind="profile").'
            )
    common = reflections(lattice.matrix, g_range)
    keys, peak = np.unique(
        np.round(common.two_theta(wavelength) / TWO_THETA_STEP).astype(np.int64), return_inverse=True
    )
    place = {tuple(sign * row): peak[i] for i, row in enumerate(common.hkl) for sign in (1, -1)}
    aligned: list[dict[int, float]] = [{} for _ in structures]
    for points, rows, squares in squared_structure_factors(structures, g_range):
        column = np.array([place.get(tuple(row), -1) for row in points.hkl], dtype=np.int64)
        shared = column >= 0
        weighted = squares[:, shared] * lorentz_polarisation(points.two_theta(wavelength)[shared])
        for row, values in zip(rows, weighted, strict=True):
            sums = np.bincount(column[shared], weights=values, minlength=len(keys))
            if not sums.max(initial=0.0) > 0:
                raise DescriptorError(f"structure {row}: no reflection that it shares with the others is in the range")
            sums *= 100 / sums.max()
            kept = sums > LEAST_INTENSITY
            aligned[row] = dict(zip(keys[kept].tolist(), sums[kept].tolist(), strict=True))
    return aligned
