"""Features of the kind ``structure_factors``: |F(hkl)|² over the hkl that the lattice makes equivalent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pymatgen.core import Lattice, Structure

from qperov.crystals.operations import symmetry_operations
from qperov.diffraction.crystal_batches import squared_structure_factors
from qperov.diffraction.reflections import Reflections, reflections
from qperov.diffraction.rounding import rounded
from qperov.diffraction.scattering import one_blas_thread
from qperov.errors import DescriptorError

#: What becomes of the |F|² of equivalent hkl.
EQUIVALENTS = ("mean", "sorted")
#: Two cells are one when their lengths agree to this share and their angles to so many degrees.
LENGTH_TOLERANCE, ANGLE_TOLERANCE = 1e-6, 1e-4


class StructureFactors:
    """|F(hkl)|² of the hkl that the lattice's point symmetry makes equivalent: columns ``|F(h k l)|²``.

    A powder pattern adds up all hkl of one |g|; these features keep apart those that no symmetry of the lattice
    connects, and still do not depend on which equivalent image of a crystal, or which setting of its cell, was written
    down. The ``"mean"`` of equivalent hkl is linear in |F|². ``"sorted"`` keeps each of their values, in ascending
    order: a crystal of lower symmetry than its lattice has different ones, and no image of it has others.
    """

    def __init__(self, g_range: tuple[float, float], equivalents: str) -> None:
        if equivalents not in EQUIVALENTS:
            raise ValueError(f"unknown treatment of equivalent hkl {equivalents!r}; known: {', '.join(EQUIVALENTS)}")
        self._g_range = g_range
        self._sorted = equivalents == "sorted"
        self.names: list[str] = []

    def learn(self, structures: Sequence[Structure]) -> np.ndarray:
        self._lattice = structures[0].lattice
        # another lattice is reported before any symmetry is looked for
        on_lattice = self._on_lattice(structures)
        points = reflections(self._lattice.matrix, self._g_range)
        if not len(points.g):
            raise DescriptorError("no reflection of this lattice lies in the range of 2θ; widen two_theta_range")
        self._family, families = _hkl_families(points, self._lattice.matrix)
        labels = [f"|F({h} {k} {ell})|²" for h, k, ell in families]
        if self._sorted:
            counts = np.bincount(self._family)
            labels = [
                label if many == 1 else f"{label} {i + 1}/{many}"
                for label, many in zip(labels, counts, strict=True)
                for i in range(many)
            ]
        self.names = labels
        # no |F| exceeds the number of electrons in the cell
        self._scale = float(max(s.composition.total_electrons for s in structures)) ** 2
        return self._reduced_squares(on_lattice)

    def describe(self, structures: Sequence[Structure]) -> np.ndarray:
        return self._reduced_squares(self._on_lattice(structures))

    def values(self, described: np.ndarray) -> np.ndarray:
        return rounded(described, scale=self._scale)

    def _on_lattice(self, structures: Sequence[Structure]) -> list[Structure]:
        """The crystals in the setting of the first one given to ``fit``."""
        changes: dict[bytes, np.ndarray | None] = {}
        common = self._lattice.matrix.tobytes()
        moved = []
        for i, structure in enumerate(structures):
            key = structure.lattice.matrix.tobytes()
            if key == common:
                moved.append(structure)
                continue
            if key not in changes:
                changes[key] = _change_of_setting(structure.lattice, self._lattice)
            change = changes[key]
            if change is None:
                raise DescriptorError(
                    f"structure {i} has another cell than the first one used in fit: hkl-resolved structure factors "
                    'compare crystals of one lattice. Use PXRDFeaturizer(kind="profile").'
                )
            thermal = any("U11_cif" in site.properties for site in structure)
            if thermal and not np.array_equal(change, np.eye(3)):
                raise DescriptorError(
                    f"structure {i} carries anisotropic displacements (U11_cif …) in another setting than the first "
                    "crystal of fit; write both in one setting, or remove the displacements"
                )
            kept = structure.site_properties if thermal else None
            moved.append(
                Structure(
                    self._lattice, structure.species_and_occu, structure.frac_coords @ change, site_properties=kept
                )
            )
        return moved

    def _reduced_squares(self, structures: list[Structure]) -> np.ndarray:
        """Mean or sorted |F|² of each family, shape (n_structures, n_columns)."""
        counts = np.bincount(self._family)
        starts = np.cumsum(counts) - counts
        order = np.argsort(self._family, kind="stable")
        reduced = np.empty((len(structures), len(self.names)))
        with one_blas_thread():
            for _, rows, squares in squared_structure_factors(structures, self._g_range):
                by_family = squares[:, order]
                if self._sorted:
                    for many in np.unique(counts):
                        columns = starts[counts == many][:, None] + np.arange(many)
                        by_family[:, columns] = np.sort(by_family[:, columns], axis=2)
                    reduced[rows] = by_family
                else:
                    reduced[rows] = np.add.reduceat(by_family, starts, axis=1) / counts
        return reduced


def _change_of_setting(own: Lattice, common: Lattice) -> np.ndarray | None:
    """Matrix C with x_common = x_own C, shape (3, 3), when both cells span one lattice; ``None`` otherwise."""
    if np.allclose(own.matrix, common.matrix, atol=1e-6):
        return np.eye(3)
    if abs(own.volume / common.volume - 1) > 4 * LENGTH_TOLERANCE:
        return None
    mapping = own.find_mapping(common, ltol=LENGTH_TOLERANCE, atol=ANGLE_TOLERANCE, skip_rotation_matrix=True)
    return None if mapping is None else np.linalg.inv(mapping[2])


def _hkl_families(points: Reflections, lattice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Family number of each reflection, and one hkl a family, under the point group of the lattice."""
    rotations = np.unique(symmetry_operations(lattice, np.zeros((1, 3)), [1])[0], axis=0)
    hkl = points.hkl
    span = 2 * np.abs(hkl).max() + 1
    weights = np.array([span**2, span, 1])
    # least code of all images, -h included, names the family
    codes = np.min([sign * (hkl @ rotation) @ weights for rotation in rotations for sign in (1, -1)], axis=0)
    _, first, family = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return np.argsort(order)[family], hkl[first[order]]
