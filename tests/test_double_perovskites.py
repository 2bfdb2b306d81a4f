from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from pymatgen.core import Molecule
from pymatgen.symmetry.analyzer import PointGroupAnalyzer

from qperov.crystals import symmetry_classes
from qperov.crystals.perovskites.double import (
    DoublePerovskite,
    double_perovskites,
    published_double_perovskites,
)
from qperov.crystals.perovskites.shannon import shannon_radius
from qperov.crystals.perovskites.tolerance import tolerance_factors
from qperov.errors import CompositionError

ORDERS = {"Td": 24, "C4v": 8, "D2h": 8, "C3v": 6, "C2": 2, "Cs": 2}


@pytest.fixture(scope="module")
def ninety():
    return double_perovskites()


def test_there_are_15_compounds_of_the_lists_in_the_paper():
    compounds = published_double_perovskites()
    iodides = [c for c in compounds if c.x == "I-"]
    bromides = [c for c in compounds if c.x == "Br-"]
    assert (len(iodides), len(bromides)) == (8, 7)
    assert {c.formula for c in iodides} == {f"Cs2Sn{b}I6" for b in ("Ca", "Ti", "V", "Mn", "Fe", "Ni", "Cu", "Zn")}
    assert len({frozenset(ion.rstrip("+123") for ion in c.b) for c in bromides}) == 7
    named = {ion.rstrip("+123") for c in bromides for ion in c.b}
    assert named == {"Ag", "In", "Tl", "Sb", "Bi"}
    for compound in compounds:
        mixtures = (compound.sites.a, compound.sites.b, compound.sites.x)
        a, b, x = (sum(share * ion.oxi_state for ion, share in mixture) for mixture in mixtures)
        assert a + b + 3 * x == 0


def test_each_compound_has_six_orderings_named_by_their_group(ninety):
    assert len(ninety) == 90
    assert Counter(d.compound.formula for d in ninety) == Counter(
        {c.formula: 6 for c in published_double_perovskites()}
    )
    for entry in ninety:
        # 48 operations make 48 / order images of an ordering, and translations make no more
        assert entry.multiplicity == 48 // ORDERS[entry.site_symmetry]
    assert sum(d.multiplicity for d in ninety[:6]) == 70


def test_names_are_those_of_the_cluster_of_b_ions(ninety):
    """An independent engine for molecules names the coloured cube of eight ions, away from any crystal."""
    for entry in ninety[:6]:
        sites = [site for site in entry.structure if site.specie.symbol in ("Sn", "Ca")]
        # two elements with masses as different as can be, corners at ±1/4 about the middle of the cell
        names = ["C" if site.specie.symbol == "Sn" else "U" for site in sites]
        middle = [np.mod(site.frac_coords, 1) - 0.5 for site in sites]
        cube = Molecule(names, np.array(middle) * 4)
        assert str(PointGroupAnalyzer(cube, tolerance=0.1).get_pointgroup()) == entry.site_symmetry


def test_rock_salt_is_tetrahedral_one_and_layers_fourfold_one(ninety):
    def unlike(entry):
        """How many of the six nearest B ions are of the other kind, for each B ion."""
        b_ions = [i for i, site in enumerate(entry.structure) if site.specie.symbol in ("Sn", "Ca")]
        edge = entry.structure.lattice.a / 2
        return {
            sum(
                n.specie.symbol in ("Sn", "Ca") and n.specie != entry.structure[i].specie
                for n in entry.structure.get_neighbors(entry.structure[i], 1.01 * edge)
            )
            for i in b_ions
        }

    by_name = {entry.site_symmetry: entry for entry in ninety[:6]}
    assert unlike(by_name["Td"]) == {6}
    assert unlike(by_name["C4v"]) == {2}
    assert unlike(by_name["D2h"]) == {4}


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
def test_space_groups_of_the_known_orderings(ninety):
    """Rock salt is elpasolite; layers and columns are tetragonal."""
    groups = {entry.site_symmetry: entry.structure.get_space_group_info()[0] for entry in ninety[:6]}
    assert groups["Td"] == "Fm-3m"
    assert groups["C4v"] == groups["D2h"] == "P4/mmm"


def test_six_orderings_have_one_tolerance_factor(ninety):
    six = [entry.structure for entry in ninety[:6]]
    assert len(np.unique(symmetry_classes(six))) == 6
    factors = [tolerance_factors(structure).t for structure in six]
    assert factors == pytest.approx([tolerance_factors("Cs2SnCaI6").t] * 6)


def test_cells_are_whole_neutral_and_grow_with_the_radius(ninety):
    edges = {}
    for entry in ninety:
        assert len(entry.structure) == 40
        assert entry.structure.charge == 0
        assert entry.structure.composition.reduced_composition == entry.structure.composition / 4
        edges[entry.compound.b[1], entry.compound.x] = entry.structure.lattice.a
    iodides = sorted((shannon_radius(b, 6), edge) for (b, x), edge in edges.items() if x == "I-")
    assert np.all(np.diff([edge for _, edge in iodides]) > 0)
    # Cs2AgBiBr6: 11.27 Å measured (McClure et al. 2016, doi:10.1021/acs.chemmater.5b04231)
    silver = next(e for e in ninety if e.compound.formula == "Cs2AgBiBr6")
    assert silver.structure.lattice.a == pytest.approx(11.27, rel=0.03)


def test_other_compounds_and_unknown_ions():
    found = double_perovskites([DoublePerovskite("Rb+", ("Na+", "Bi3+"), "Cl-")])
    assert [entry.compound.formula for entry in found] == ["Rb2NaBiCl6"] * 6
    mixed_valence = double_perovskites([DoublePerovskite("Cs+", ("Tl+", "Tl3+"), "Cl-")])
    assert mixed_valence[0].structure.composition.as_dict() == {"Cs+": 8, "Tl+": 4, "Tl3+": 4, "Cl-": 24}
    with pytest.raises(CompositionError, match="no Shannon radius for In\\+"):
        double_perovskites([DoublePerovskite("Cs+", ("In+", "Bi3+"), "Br-")])
