"""Errors of reconstructed crystals: planted ones are found, equal crystals have none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perovskites import perovskite
from pymatgen.core import Lattice, Structure

from qperov.errors import EmptyDatasetError
from qperov.generative.bench.reconstruction import reconstruction_errors


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(5)), st.lists(st.integers(-2, 2), min_size=3, max_size=3))
def test_order_of_sites_and_choice_of_images_are_no_errors(order: list[int], image: list[int]) -> None:
    crystal = perovskite()
    crystal.lattice = Lattice.from_parameters(5, 6, 7, 80, 90, 100)
    other = Structure.from_sites([crystal[i] for i in order])
    other.translate_sites([0], image, to_unit_cell=False)
    table = reconstruction_errors([crystal], [other])
    assert table.iloc[0].to_dict() == pytest.approx(
        {"lattice": 0, "angles": 0, "coordinates": 0, "species": 1, "undecodable": 0}, abs=1e-12
    )


def test_planted_errors_are_found() -> None:
    moved = perovskite()
    moved.lattice = Lattice.from_parameters(6.3, 6.0, 5.4, 90, 96, 87)
    moved[1], moved[4] = "Sn", "Cl"
    moved.translate_sites([0], [-0.05, 0, 0.1])  # across a face
    row = reconstruction_errors([perovskite()], [moved]).iloc[0]
    assert row["lattice"] == pytest.approx((0.3 + 0 + 0.6) / 3)
    assert row["angles"] == pytest.approx((0 + 6 + 3) / 3)
    assert row["coordinates"] == pytest.approx((0.05 + 0.1) / 15)
    assert row["species"] == pytest.approx(3 / 5)


def test_a_missing_or_additional_site_counts_as_a_wrong_species() -> None:
    fewer = Structure.from_sites(perovskite()[:4])
    table = reconstruction_errors([perovskite(), fewer], [fewer, perovskite()])
    assert table["species"].tolist() == pytest.approx([0.8, 0.8])
    assert table["coordinates"].tolist() == pytest.approx([0, 0], abs=1e-12)


def test_sites_at_one_place_are_told_apart_by_species() -> None:
    lattice = Lattice.cubic(4.0)
    stacked = Structure(lattice, ["Na", "Cl"], [[0, 0, 0], [0, 0, 0]])
    swapped = Structure(lattice, ["Cl", "Na"], [[0, 0, 0], [0, 0, 0]])
    assert reconstruction_errors([stacked], [swapped])["species"].item() == 1


def test_charges_are_no_species_and_mixtures_are() -> None:
    charged = perovskite().add_oxidation_state_by_element({"Cs": 1, "Pb": 2, "Br": -1})
    mixed = perovskite()
    mixed.replace(4, {"Br": 0.5, "I": 0.5})
    table = reconstruction_errors([charged, mixed, mixed], [perovskite(), mixed, perovskite()])
    assert table["species"].tolist() == pytest.approx([1, 1, 0.8])


def test_undecoded_crystals_count_for_species_only() -> None:
    table = reconstruction_errors([perovskite(), perovskite()], [None, perovskite(edge=6.6)])
    means = table.mean()
    assert means["undecodable"] == 0.5
    assert means["species"] == 0.5
    assert means["lattice"] == pytest.approx(0.6)
    assert table.loc[0, ["lattice", "angles", "coordinates"]].isna().all()


def test_bad_input_is_named() -> None:
    with pytest.raises(EmptyDatasetError, match="no crystals"):
        reconstruction_errors([], [])
    with pytest.raises(ValueError, match="2 crystals have 1"):
        reconstruction_errors([perovskite()] * 2, [None])
