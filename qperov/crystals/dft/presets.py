"""Settings of DFT calculations: those of the papers, as presets to use or to change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pymatgen.core import Structure


@dataclass(frozen=True)
class DftPreset:
    """Settings of a plane-wave calculation with PBE and PAW potentials.

    Attributes
    ----------
    code : {"vasp", "espresso"}
    source : str
        Where the settings come from, and what was added because nothing is stated.
    cutoff : float
        Of the wave functions: eV for VASP, Ry for Quantum ESPRESSO.
    energy_tolerance : float
        Of the electronic loop: eV for VASP, Ry for Quantum ESPRESSO; a cell, or an atom where ``per_atom``.
    force_tolerance : float
        eV/Å for VASP, Ry/bohr for Quantum ESPRESSO.
    k_grid : (int, int, int) or None
        Points along each reciprocal axis …
    k_spacing : float or None
        … or their greatest distance, 1/Å, 2π included.
    relax : {"nothing", "positions", "all"}
        What moves: nothing, the atoms, or atoms and cell.
    spin : bool
        Spin-polarised.
    hubbard : bool
        The Materials Project's U on d states of oxides and fluorides (VASP).
    smearing : {"gaussian", "metal"}
        Gaussian of 0.05 eV, or first-order Methfessel–Paxton of 0.2 eV.
    per_atom : bool
    vacuum : int or None
        Axis along which a slab has vacuum: one k-point there.
    density_cutoff : float or None
        Ry, of Quantum ESPRESSO.
    """

    code: Literal["vasp", "espresso"]
    source: str
    cutoff: float
    energy_tolerance: float
    force_tolerance: float
    k_grid: tuple[int, int, int] | None = None
    k_spacing: float | None = None
    relax: Literal["nothing", "positions", "all"] = "all"
    spin: bool = False
    hubbard: bool = False
    smearing: Literal["gaussian", "metal"] = "gaussian"
    per_atom: bool = False
    vacuum: int | None = None
    density_cutoff: float | None = None

    def __post_init__(self) -> None:
        if (self.k_grid is None) == (self.k_spacing is None):
            raise ValueError("give k_grid or k_spacing, one of them")
        if min(self.cutoff, self.energy_tolerance, self.force_tolerance, self.k_spacing or 1.0) <= 0:
            raise ValueError("cut-off, tolerances and spacing of k-points must be positive")

    def k_points(self, structure: Structure) -> tuple[int, int, int]:
        """Points along each axis: the grid, or nᵢ = ⌈|bᵢ| / spacing⌉ with the reciprocal vectors bᵢ, 2π included."""
        points: Sequence[int]
        if self.k_grid is not None:
            points = self.k_grid
        else:
            lengths = np.array(structure.lattice.reciprocal_lattice.abc)
            # rounding first: a spacing that divides a length exactly must not add a point
            points = [max(1, int(n)) for n in np.ceil(np.round(lengths / self.k_spacing, 9))]
        a, b, c = (1 if axis == self.vacuum else n for axis, n in enumerate(points))
        return a, b, c


PRESETS = {
    "cpx": DftPreset(
        "vasp",
        "CsPb(Br,I)3 in 2×2×2 and 3×2×1 cells: 550 eV, 4×4×4 k-points, 1e-5 eV/atom, 0.01 eV/Å; smearing not stated",
        cutoff=550,
        energy_tolerance=1e-5,
        force_tolerance=0.01,
        k_grid=(4, 4, 4),
        per_atom=True,
    ),
    "sfm": DftPreset(
        "vasp",
        "Si-Fe-Mn alloys: as cpx; spin polarisation and metallic smearing are not stated and were added",
        cutoff=550,
        energy_tolerance=1e-5,
        force_tolerance=0.01,
        k_grid=(4, 4, 4),
        spin=True,
        smearing="metal",
        per_atom=True,
    ),
    "cpx-slab": DftPreset(
        "vasp",
        "(100) slab of CsPb(Br,I)3: 400 eV, 4×4 k-points and one along the vacuum (axis c), 1e-5 eV/atom, 0.01 eV/Å",
        cutoff=400,
        energy_tolerance=1e-5,
        force_tolerance=0.01,
        k_grid=(4, 4, 4),
        relax="positions",
        per_atom=True,
        vacuum=2,
    ),
    "matganip": DftPreset(
        "vasp",
        "perovskites of MATGANIP: 550 eV, 5e-5 eV/atom, 0.01 eV/Å; k-points not stated, 0.25/Å was chosen",
        cutoff=550,
        energy_tolerance=5e-5,
        force_tolerance=0.01,
        k_spacing=0.25,
        per_atom=True,
    ),
    "imatgen": DftPreset(
        "vasp",
        "training set of iMatGen: 500 eV, k-points 0.5/Å apart, 1e-5 eV, 0.05 eV/Å",
        cutoff=500,
        energy_tolerance=1e-5,
        force_tolerance=0.05,
        k_spacing=0.5,
    ),
    "imatgen-refined": DftPreset(
        "vasp",
        "best crystals of iMatGen: as imatgen with spin, the Materials Project's U, and k-points 0.25/Å apart",
        cutoff=500,
        energy_tolerance=1e-5,
        force_tolerance=0.05,
        k_spacing=0.25,
        spin=True,
        hubbard=True,
    ),
    "tl-vae": DftPreset(
        "espresso",
        "TL-VAE: PBE, PAW, spin-polarised, 1e-7 Ry, 1e-3 Ry/bohr; cut-offs (60 and 480 Ry) and k-points (0.5/Å apart) "
        "are not stated and were chosen",
        cutoff=60,
        energy_tolerance=1e-7,
        force_tolerance=1e-3,
        k_spacing=0.5,
        spin=True,
        density_cutoff=480,
    ),
    "cpx-espresso": DftPreset(
        "espresso",
        "CsPb(Br,I)3 by Quantum ESPRESSO with the k-points of cpx; cut-offs (60 and 480 Ry) were chosen",
        cutoff=60,
        energy_tolerance=1e-8,
        force_tolerance=4e-4,
        k_grid=(4, 4, 4),
        density_cutoff=480,
    ),
}
