from __future__ import annotations

import numpy as np
import pytest
from crystal_prototypes import (
    cubic_perovskite,
    face_sharing,
    ilmenite,
    redescribed,
    rock_salt,
    trigonal_prisms,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Structure

from qperov.crystals.perovskites.cells import perovskite_cell, perovskite_compositions, tilt_angle
from qperov.errors import CompositionError
from qperov.generative.bench.coordination import b_x_bonds, corner_sharing_verdict, octahedra_verdict


def test_bonds_of_the_cubic_perovskite() -> None:
    bonds = b_x_bonds(cubic_perovskite(a=3.9))
    assert bonds.b_sites.tolist() == [1]
    assert np.linalg.norm(bonds.vectors, axis=2) == pytest.approx(np.full((1, 6), 1.95))
    # Cordero: Ti 1.60 Å, O 0.66 Å
    assert bonds.longest == pytest.approx([1.95 / 2.26])


def test_vectors_go_from_b_to_x_wherever_sites_are_listed() -> None:
    structure = cubic_perovskite()
    structure.perturb(0.2, seed=1)
    cells = np.array([[0, 0, 0], [3, -2, 1], [-1, 0, 2], [-1, 0, 2], [0, 0, -1]])
    moved = Structure(structure.lattice, structure.species, structure.frac_coords + cells)
    lengths = np.sort(np.linalg.norm(b_x_bonds(structure).vectors, axis=2))
    assert np.sort(np.linalg.norm(b_x_bonds(moved).vectors, axis=2)) == pytest.approx(lengths)
    assert lengths.max() < 2.6


@pytest.mark.parametrize("tilt", ["cubic", "a-a-c+"])
def test_perovskites_share_corners(tilt: str) -> None:
    tilted = [sites for sites in perovskite_compositions()[::120] if tilt == "cubic" or tilt_angle(sites) > 0]
    assert len(tilted) > 5
    for sites in tilted:
        verdict = corner_sharing_verdict(perovskite_cell(sites, tilt))  # type: ignore[arg-type]
        assert verdict.passed, f"{sites.formula}: {verdict.reason}"


@pytest.mark.parametrize(("structure", "shared"), [(ilmenite(), "edges"), (face_sharing(), "faces")])
def test_octahedra_joined_otherwise(structure: Structure, shared: str) -> None:
    assert octahedra_verdict(structure).passed
    verdict = corner_sharing_verdict(structure)
    assert (verdict.passed, verdict.reason) == (False, f"octahedra share {shared}")


def test_trigonal_prisms_are_no_octahedra() -> None:
    verdict = octahedra_verdict(trigonal_prisms())
    assert (verdict.passed, verdict.value) == (False, 0.0)
    assert "2 of 2 B sites" in verdict.reason


def test_too_large_a_cell_has_no_bonds() -> None:
    assert octahedra_verdict(cubic_perovskite(a=5.0)).passed
    assert "0 sites have six X" in octahedra_verdict(cubic_perovskite(a=7.0)).reason


def test_antiperovskites_do_not_count() -> None:
    verdict = octahedra_verdict(cubic_perovskite(("O", "Ag", "Pd")))
    assert "most electronegative elements are not three fifths" in verdict.reason


def test_mixed_anions_count_as_one() -> None:
    structure = cubic_perovskite(("Cs", "Pb", "Br"), 5.9)
    structure[2] = "I"
    assert corner_sharing_verdict(structure).passed


@pytest.mark.parametrize("structure", [rock_salt(), Structure.from_sites(list(rock_salt())[:5])])
def test_other_formulas(structure: Structure) -> None:
    with pytest.raises(CompositionError, match="not ABX₃"):
        b_x_bonds(structure)


def test_shared_sites() -> None:
    structure = cubic_perovskite()
    structure[0] = {"Ca": 0.5, "Sr": 0.5}
    assert "shared by species" in octahedra_verdict(structure).reason


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(["perovskite", "edges", "faces"]))
def test_verdict_does_not_depend_on_the_description(seed: int, kind: str) -> None:
    structure = {"perovskite": cubic_perovskite, "edges": ilmenite, "faces": face_sharing}[kind]()
    other = redescribed(structure, seed)
    assert corner_sharing_verdict(other) == corner_sharing_verdict(structure)
