"""The charge-balanced ABX₃ compositions as cubic cells from ionic radii: the embedded dataset abx3_radii."""

from __future__ import annotations

import numpy as np
from pymatgen.core import Structure

from qperov.crystals.perovskites.cells import perovskite_cell, perovskite_compositions
from qperov.crystals.perovskites.sites import PerovskiteSites
from qperov.crystals.perovskites.tolerance import tolerance_factors
from qperov.datasets.dataset import CrystalDataset

PROVENANCE = "Goldschmidt's tolerance factor from Shannon's radii; cubic cell from the same radii; nothing relaxed"
CAUTIONS = (
    "The cells are built from the radii that give the target: learning it tests a representation, not physics.",
    "These are compositions whose charges balance and whose radii fit; most of them were never made.",
)


def perovskite_id(sites: PerovskiteSites) -> str:
    """Id of a composition with the charges of its cations, such as ``abx3-Ca2+Ti4+O3``."""
    (a, _), (b, _), (x, _) = (mixture[0] for mixture in (sites.a, sites.b, sites.x))
    return f"abx3-{a}{b}{x.symbol}3"


def radius_cell(sites: PerovskiteSites) -> Structure:
    """Cubic cell of five atoms, sites in the order A, B, X, X, X, without charges."""
    cell = perovskite_cell(sites)
    cell.remove_oxidation_states()
    return cell


def radius_set() -> CrystalDataset:
    """All compositions with t as their target; equal groups mark equal elements on equal sites, in other charges."""
    compositions = perovskite_compositions()
    classes: dict[str, int] = {}
    return CrystalDataset(
        name="abx3_radii",
        structures=tuple(radius_cell(sites) for sites in compositions),
        ids=tuple(perovskite_id(sites) for sites in compositions),
        y=np.array([tolerance_factors(sites).t for sites in compositions]),
        target="tolerance_factor",
        unit=None,
        provenance=(PROVENANCE,) * len(compositions),
        cautions=CAUTIONS,
        known_groups=np.array([classes.setdefault(sites.formula, len(classes)) for sites in compositions]),
    )
