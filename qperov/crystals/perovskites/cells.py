"""Perovskite cells built from ionic radii: cubic and tilted, and a set of charge-balanced ABX₃ compositions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pymatgen.core import Element, Lattice, Species, Structure

from qperov.crystals.perovskites.shannon import charge_of, shannon_radii, shannon_radius, tabulated_charges
from qperov.crystals.perovskites.sites import ANION_CHARGES, Mixture, PerovskiteSites, mean_radius
from qperov.crystals.perovskites.tolerance import goldschmidt_factor, octahedral_factor, tolerance_factors
from qperov.errors import CompositionError

#: Windows of t and μ for generated compositions, a little wider than those of known perovskites.
T_WINDOW = (0.75, 1.10)
LEAST_MU = 0.3
#: Bismuth is the last element with a practically stable isotope; two before it have none.
HEAVIEST = 83
RADIOACTIVE = ("Tc", "Pm")
#: A cations are tabulated for this coordination at least.
LEAST_A_COORDINATION = 8


def lattice_constant(sites: PerovskiteSites) -> float:
    """Edge (Å) of the cubic or pseudo-cubic cell: a = 0.06741 + 0.490523 (r_A + r_X) + 1.29212 (r_B + r_X).

    All radii are Shannon's for coordination VI (the nearest that is tabulated for A), means where ions share a site.

    Raises
    ------
    CompositionError
        If a radius is unknown.

    References
    ----------
    R. Ubic, J. Am. Ceram. Soc. 90, 3326 (2007), doi:10.1111/j.1551-2916.2007.01881.x: mean error 0.6 %.
    """
    r_a, r_b, r_x = mean_radius(sites.a, 6, nearest=True), mean_radius(sites.b, 6), mean_radius(sites.x, 6)
    return 0.06741 + 0.490523 * (r_a + r_x) + 1.29212 * (r_b + r_x)


def tilt_angle(sites: PerovskiteSites) -> float:
    """Angle ω (degrees) by which octahedra turn about each cubic axis: tan²ω = ((2d/a)² − 1) / 2, d = r_B + r_X.

    Octahedra of bonds d, each turned by ω about all three axes, stand a = 2d / √(1 + 2 tan²ω) apart; a is
    :func:`lattice_constant`. Zero where t ≥ 1: there A is large enough to keep the octahedra upright, and bonds are
    shortened instead.
    """
    factors = tolerance_factors(sites)
    if factors.t >= 1:
        return 0.0
    excess = (2 * (factors.r_b + factors.r_x) / lattice_constant(sites)) ** 2 - 1
    return float(np.degrees(np.arctan(np.sqrt(max(0.0, excess / 2)))))


def perovskite_cell(sites: PerovskiteSites, tilt: Literal["cubic", "a-a-c+"] = "cubic") -> Structure:
    """An ABX₃ crystal with its edges from ionic radii.

    Parameters
    ----------
    sites : PerovskiteSites
        Ions that share a site do so with partial occupancy.
    tilt : {"cubic", "a-a-c+"}
        The cubic cell (Pm-3m, 5 atoms, A at the origin), or Glazer's tilt a⁻a⁻c⁺ (Pbnm, 20 atoms, axes √2 a, √2 a,
        2 a): octahedra turn by :func:`tilt_angle` about all three cubic axes, about two of them in opposite sense
        from octahedron to octahedron along the axis, about c in the same. Anions are displaced by the rotation to
        first order, which keeps corners shared and all B–X bonds r_B + r_X; A stays at the middle.

    Returns
    -------
    Structure
        With charges; as many atoms as stated.

    Raises
    ------
    CompositionError
        If a radius is unknown, or nothing tilts.
    """
    a = lattice_constant(sites)
    ions = [dict(mixture) for mixture in (sites.a, sites.b, sites.x)]
    if tilt == "cubic":
        positions = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
        return Structure(Lattice.cubic(a), [ions[0], ions[1], ions[2], ions[2], ions[2]], positions)
    if tilt != "a-a-c+":
        raise ValueError(f"tilt must be 'cubic' or 'a-a-c+', not {tilt!r}")
    angle = tilt_angle(sites)
    if angle == 0:
        raise CompositionError(f"{sites.formula}: no octahedra tilt (t = {tolerance_factors(sites).t:.3f})")
    shift = np.tan(np.radians(angle)) / 2
    # cubic coordinates, in edges; B at (i, j, k), rotation of its octahedron by ±ω about each axis
    kinds: list[int] = []
    cubic: list[np.ndarray] = []
    for i, j, k in [(0, 0, 0), (1, 0, 0), (0, 0, 1), (1, 0, 1)]:
        b_site = np.array([i, j, k], dtype=float)
        rotation = shift * np.array([(-1) ** (i + j + k), (-1) ** (i + j + k), (-1) ** (i + j)])
        kinds += [0, 1, 2, 2, 2]
        cubic += [b_site + 0.5, b_site]
        cubic += [b_site + axis / 2 + np.cross(rotation, axis) for axis in np.eye(3)]
    # axes of Pbnm: a − b, a + b, 2c of the cubic cell
    axes = np.array([[1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
    positions = np.mod(np.array(cubic) @ np.linalg.inv(axes), 1.0)
    edge = np.sqrt(2) * a
    return Structure(Lattice.orthorhombic(edge, edge, 2 * a), [ions[kind] for kind in kinds], positions)


def perovskite_compositions(anions: Sequence[str] = ("O", "F", "Cl", "Br", "I", "S")) -> list[PerovskiteSites]:
    """Every charge-balanced ABX₃ of two different metals whose radii allow a perovskite.

    Cations are metals and metalloids up to bismuth, without Tc and Pm, in their common charges for which Shannon has
    radii: A of charge 1 to 3, known in coordination VIII or more, and larger than B, known in VI. Kept are
    0.75 ≤ t ≤ 1.10 and μ ≥ 0.3. These are compositions, not compounds: most of them were never made.

    Parameters
    ----------
    anions : sequence of str
        Any of O, S, Se, Te, F, Cl, Br, I.

    Returns
    -------
    list of PerovskiteSites
        Sorted by anion as given, then by the atomic numbers of A and B.
    """
    unknown = [name for name in anions if name not in ANION_CHARGES]
    if unknown:
        raise ValueError(f"no anions: {', '.join(unknown)}; there are {', '.join(ANION_CHARGES)}")
    cations = _cations()
    found = []
    for name in anions:
        x = Species(name, ANION_CHARGES[name])
        r_x = shannon_radius(x, 6)
        for a in cations:
            for b in cations:
                if a.symbol != b.symbol and charge_of(a) + charge_of(b) + 3 * charge_of(x) == 0 and _fits(a, b, r_x):
                    found.append(PerovskiteSites(_alone(a), _alone(b), _alone(x)))
    return found


def _cations() -> list[Species]:
    stable = [e for e in Element if e.Z <= HEAVIEST and e.symbol not in RADIOACTIVE]
    elements = sorted((e for e in stable if e.is_metal or e.is_metalloid), key=lambda e: e.Z)
    return [
        Species(e.symbol, charge)
        for e in elements
        for charge in sorted(set(e.common_oxidation_states) & set(tabulated_charges(e.symbol)))
        if charge > 0
    ]


def _fits(a: Species, b: Species, r_x: float) -> bool:
    radii_a, radii_b = shannon_radii(a), shannon_radii(b)
    if charge_of(a) > 3 or max(radii_a) < LEAST_A_COORDINATION or 6 not in radii_b:
        return False
    r_a, r_b = shannon_radius(a, 12, nearest=True), radii_b[6]
    if r_a <= r_b or shannon_radius(a, 6, nearest=True) <= r_b:
        return False
    t, mu = goldschmidt_factor(r_a, r_b, r_x), octahedral_factor(r_b, r_x)
    return bool(T_WINDOW[0] <= t <= T_WINDOW[1] and mu >= LEAST_MU)


def _alone(ion: Species) -> Mixture:
    return ((ion, 1.0),)
