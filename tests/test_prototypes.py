from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from qperov.crystals.perovskites import prototypes
from qperov.crystals.perovskites.prototypes import PROTOTYPES, draw_prototypes

pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")

#: Of I4/mcm, Fm-3m, … in the settings of the International Tables.
NUMBERS = {"Pm-3m": 221, "I4/mcm": 140, "Fm-3m": 225, "P-3m1": 164, "P6_3/mmc": 194, "Pc": 7, "P2_1/a": 14}
ATOMS = {"Pm-3m": 5, "I4/mcm": 20, "Fm-3m": 40, "P-3m1": 14, "P6_3/mmc": 28, "Pc": 56, "P2_1/a": 56}


@pytest.mark.parametrize("prototype", PROTOTYPES, ids=lambda prototype: prototype.space_group)
def test_every_draw_has_its_space_group_and_composition(prototype):
    rng = np.random.default_rng(1)
    for _ in range(3):
        crystal = prototype.draw(rng)
        assert SpacegroupAnalyzer(crystal, symprec=1e-3).get_space_group_number() == NUMBERS[prototype.space_group]
        assert len(crystal) == ATOMS[prototype.space_group]
        anions = sum(crystal.composition[name] for name in ("Cl", "Br", "I"))
        assert anions / len(crystal) == pytest.approx(
            9 / 14 if "A3B2X9" in prototype.name or "Rb3" in prototype.name else 0.6
        )


@pytest.mark.parametrize("prototype", PROTOTYPES, ids=lambda prototype: prototype.space_group)
def test_octahedra_are_regular_enough(prototype):
    """Every B has six X at bonds of 2.5 to 3.6 Å, and nothing is nearer than 2 Å to anything."""
    crystal = prototype.draw(np.random.default_rng(2))
    distances = crystal.distance_matrix + 9 * np.eye(len(crystal))
    assert distances.min() > 2.0
    is_anion = np.array([any(kind.symbol in ("Cl", "Br", "I") for kind in site.species) for site in crystal])
    metals = [
        i for i, site in enumerate(crystal) if any(k.symbol in ("Pb", "Sn", "Bi", "Sb", "Ag") for k in site.species)
    ]
    for metal in metals:
        neighbours = crystal.get_neighbors(crystal[metal], 3.9)
        bonds = sorted(each.nn_distance for each in neighbours if is_anion[each.index])[:6]
        assert len(bonds) == 6
        assert 2.0 < bonds[0] <= bonds[-1] < 3.8


def test_orbits_are_those_of_pymatgen():
    crystal = PROTOTYPES[4].draw(np.random.default_rng(3))
    orbits = SpacegroupAnalyzer(crystal, symprec=1e-3).get_symmetrized_structure().equivalent_sites
    first = [orbit[0] for orbit in orbits]
    theirs = Structure.from_spacegroup(
        "P6_3/mmc", crystal.lattice, [site.species for site in first], [site.frac_coords for site in first]
    )
    assert theirs.matches(crystal, ltol=1e-6, stol=1e-4, angle_tol=1e-3, scale=False)


def test_draws_are_seeded_and_counted():
    crystals, space_groups = draw_prototypes(2, random_state=4)
    again, _ = draw_prototypes(2, random_state=4)
    assert space_groups == [p.space_group for p in PROTOTYPES for _ in range(2)]
    assert all(a == b for a, b in zip(crystals, again, strict=True))
    assert crystals[0] != draw_prototypes(1, random_state=5)[0][0]


def test_molecules_scatter_with_their_electrons():
    """CH3NH3+ has 6 + 3 + 7 + 3 − 1 = 18 electrons, HC(NH2)2+ 24."""
    atomic = {"K": 19, "Rb": 37}
    electrons = {name: sum(atomic[e] * n for e, n in ion.items()) for name, ion in prototypes.MOLECULES.items()}
    assert electrons == pytest.approx({"MA": 18, "FA": 24})
