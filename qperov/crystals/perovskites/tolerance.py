"""Tolerance factors of perovskites: Goldschmidt's t, the octahedral factor μ and Bartel's τ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.core import Composition, Structure

from qperov.crystals.perovskites.sites import PerovskiteSites, assign_sites, mean_charge, mean_radius
from qperov.errors import CompositionError


@dataclass(frozen=True)
class ToleranceFactors:
    """What ionic radii say of an ABX₃ crystal.

    Attributes
    ----------
    t, mu, tau : float
        Goldschmidt's tolerance factor, the octahedral factor, Bartel's tolerance factor.
    r_a, r_b, r_x : float
        Radii in Å, means where several ions share a site: A in coordination XII or the nearest that is tabulated,
        B and X in VI.
    sites : PerovskiteSites
        The ions.
    """

    t: float
    mu: float
    tau: float
    r_a: float
    r_b: float
    r_x: float
    sites: PerovskiteSites


def goldschmidt_factor(r_a: ArrayLike, r_b: ArrayLike, r_x: ArrayLike) -> np.ndarray:
    """Goldschmidt's tolerance factor t = (r_A + r_X) / (√2 (r_B + r_X)), 1 where spheres of A and B both touch X.

    Parameters
    ----------
    r_a, r_b, r_x : array_like
        Radii in Å, of one shape after broadcasting.

    Raises
    ------
    ValueError
        If a radius is not positive.

    References
    ----------
    V. M. Goldschmidt, Naturwissenschaften 14, 477 (1926), doi:10.1007/BF01507527.
    """
    r_a, r_b, r_x = _positive(r_a, r_b, r_x)
    return (r_a + r_x) / (np.sqrt(2) * (r_b + r_x))


def octahedral_factor(r_b: ArrayLike, r_x: ArrayLike) -> np.ndarray:
    """Octahedral factor μ = r_B / r_X; six X that touch each other leave a hole of μ = √2 − 1.

    Raises
    ------
    ValueError
        If a radius is not positive.
    """
    r_b, r_x = _positive(r_b, r_x)
    return r_b / r_x


def bartel_factor(r_a: ArrayLike, r_b: ArrayLike, r_x: ArrayLike, charge_a: ArrayLike) -> np.ndarray:
    """Bartel's tolerance factor τ = r_X/r_B − n_A (n_A − (r_A/r_B) / ln(r_A/r_B)); perovskites have τ < 4.18.

    Parameters
    ----------
    r_a, r_b, r_x : array_like
        Radii in Å; A is the larger cation.
    charge_a : array_like
        Charge n_A of the A cation.

    Raises
    ------
    ValueError
        If a radius is not positive, or r_A ≤ r_B, where τ is not defined.

    References
    ----------
    C. J. Bartel et al., Sci. Adv. 5, eaav0693 (2019), doi:10.1126/sciadv.aav0693, Eq. 2.
    """
    r_a, r_b, r_x = _positive(r_a, r_b, r_x)
    ratio = r_a / r_b
    if (ratio <= 1).any():
        raise ValueError("τ is defined for cations A larger than B")
    n = np.asarray(charge_a, dtype=float)
    return r_x / r_b - n * (n - ratio / np.log(ratio))


def tolerance_factors(material: str | Composition | Structure | PerovskiteSites) -> ToleranceFactors:
    """Goldschmidt's t, the octahedral factor μ and Bartel's τ of an ABX₃ crystal from Shannon radii.

    Parameters
    ----------
    material : str, Composition, Structure or PerovskiteSites
        Formulas and crystals go through :func:`~qperov.crystals.perovskites.sites.assign_sites`. Where ions share a
        site their radii and charges are averaged, so that orderings of one formula have one t.

    Raises
    ------
    CompositionError
        If the sites cannot be told, a radius is unknown, or A is not larger than B.

    Examples
    --------
    >>> found = tolerance_factors("CaTiO3")
    >>> round(found.t, 3), round(found.mu, 3), round(found.tau, 3)
    (0.966, 0.432, 3.885)
    """
    sites = material if isinstance(material, PerovskiteSites) else assign_sites(material)
    r_a, r_b, r_x = mean_radius(sites.a, 12, nearest=True), mean_radius(sites.b, 6), mean_radius(sites.x, 6)
    if r_a <= r_b:
        raise CompositionError(f"{sites.formula}: A ({r_a:.2f} Å) is not larger than B ({r_b:.2f} Å)")
    return ToleranceFactors(
        t=float(goldschmidt_factor(r_a, r_b, r_x)),
        mu=float(octahedral_factor(r_b, r_x)),
        tau=float(bartel_factor(r_a, r_b, r_x, mean_charge(sites.a))),
        r_a=r_a,
        r_b=r_b,
        r_x=r_x,
        sites=sites,
    )


def _positive(*radii: ArrayLike) -> list[np.ndarray]:
    arrays = [np.asarray(r, dtype=float) for r in radii]
    if not all((r > 0).all() for r in arrays):
        raise ValueError("ionic radii must be positive")
    return arrays
