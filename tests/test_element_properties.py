from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Element

from qperov.generative.representations.element_properties import (
    ELEMENTS,
    GRAPH_PROPERTIES,
    THERMOCHEMICAL_PROPERTIES,
    periodic_table_place,
    property_table,
)


@pytest.mark.parametrize(
    ("properties", "count", "bins"), [(GRAPH_PROPERTIES, 9, 92), (THERMOCHEMICAL_PROPERTIES, 13, 132)]
)
def test_elements_stand_in_the_bins_of_the_paper(properties, count, bins):
    table = property_table(properties)
    assert len(properties) == count
    assert table.shape == (103, bins)
    assert set(np.unique(table)) == {0, 1}
    start = 0
    for one in properties:
        filled = table[:, start : start + one.bins].sum(axis=1)
        unknown = [one.value(Element(symbol)) is None for symbol in ELEMENTS]
        assert np.array_equal(filled == 0, unknown)
        assert filled.max() == 1
        start += one.bins


def test_no_bin_is_empty_and_none_holds_half_the_elements():
    table = property_table(GRAPH_PROPERTIES)
    start = 0
    for one in GRAPH_PROPERTIES:
        members = table[:, start : start + one.bins].sum(axis=0)
        if one.name in ("group", "period", "valence electrons", "block"):
            assert members.min() >= 1
        assert members.max() < 52
        start += one.bins


def test_bins_of_titanium():
    bins = {one.name: one.bin_of(Element("Ti")) for one in GRAPH_PROPERTIES}
    # group 4, period 4, χ = 1.54 in 1.2 … 1.55, 1.60 Å in 1.5 … 1.75, four valence electrons, a d-block element
    assert bins["group"] == 3
    assert bins["period"] == 3
    assert bins["electronegativity (Pauling)"] == 2
    assert bins["covalent radius (Å)"] == 5
    assert bins["valence electrons"] == 3
    assert bins["block"] == 2


def test_values_beyond_the_range_fall_into_the_outermost_bins():
    melting = next(one for one in THERMOCHEMICAL_PROPERTIES if one.name.startswith("melting"))
    narrow = type(melting)(melting.name, 4, 500.0, 1000.0, melting.value)
    assert narrow.bin_of(Element("He")) == 0
    assert narrow.bin_of(Element("W")) == 3


def test_periodic_table_has_place_of_its_own_for_every_element():
    places = {symbol: periodic_table_place(symbol) for symbol in ELEMENTS}
    assert len(set(places.values())) == 103
    assert places["H"] == (0, 0)
    assert places["He"] == (0, 17)
    assert places["Cs"] == (5, 0)
    assert places["Ti"] == (3, 3)
    assert places["Hf"] == (5, 3)
    assert places["Br"] == (3, 16)
    assert (places["La"], places["Lu"], places["Lr"]) == ((7, 2), (7, 16), (8, 16))
