"""Other cells of one crystal: no atom moves, and representations of the same crystal come out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from qperov.generative.representations.equivalent_cells import draw_equivalent_cells, permuted_cell
from qperov.generative.representations.ftcp import FTCP


def triclinic(seed: int = 0) -> Structure:
    rng = np.random.default_rng(seed)
    lattice = Lattice.from_parameters(*rng.uniform(4, 7, 3), *rng.uniform(70, 110, 3))
    positions = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    return Structure(lattice, ["Cs", "Pb", "Br", "Br", "Br"], positions + rng.uniform(-0.05, 0.05, (5, 3)))


@given(st.permutations(range(3)), st.lists(st.sampled_from([1, -1]), min_size=3, max_size=3), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_no_atom_moves(order: list[int], signs: list[int], seed: int) -> None:
    crystal = triclinic(seed)
    other = permuted_cell(crystal, order, signs)
    assert other.volume == pytest.approx(crystal.volume)
    for site, same in zip(crystal, other, strict=True):
        assert same.specie == site.specie
        shift = crystal.lattice.get_fractional_coords(same.coords - site.coords)
        np.testing.assert_allclose(shift, np.round(shift), atol=1e-9)
    assert ((other.frac_coords >= 0) & (other.frac_coords < 1)).all()
    assert other.lattice.abc == pytest.approx([crystal.lattice.abc[k] for k in order])
    cosines = np.cos(np.radians(crystal.lattice.angles))[list(order)]
    expected = np.prod(signs) * np.array(signs) * cosines  # α lies between b and c
    assert np.cos(np.radians(other.lattice.angles)) == pytest.approx(expected)


def test_arrays_of_other_cells_hold_the_same_crystal() -> None:
    crystal = triclinic()
    cells = draw_equivalent_cells([crystal], 12, random_state=0)
    arrays = FTCP().encode([crystal, *cells])
    assert len(np.unique(arrays.reshape(13, -1), axis=0)) > 6
    matcher = StructureMatcher(ltol=0.01, stol=0.01, angle_tol=0.1, primitive_cell=False, scale=False)
    for decoded in FTCP().decode(arrays):
        assert decoded is not None
        assert matcher.fit(decoded, crystal)


def test_draws_follow_from_the_seed_and_come_round_by_round() -> None:
    crystals = [triclinic(0), triclinic(1)]
    cells = draw_equivalent_cells(crystals, 3, random_state=4)
    assert cells == draw_equivalent_cells(crystals, 3, random_state=4)
    assert cells != draw_equivalent_cells(crystals, 3, random_state=5)
    assert [cell.volume for cell in cells] == pytest.approx([crystals[i % 2].volume for i in range(6)])
    assert draw_equivalent_cells(crystals, 0, random_state=4) == []


def test_mixed_sites_stay_mixed() -> None:
    crystal = triclinic()
    crystal.replace(4, {"Br": 0.5, "I": 0.5})
    assert permuted_cell(crystal, [2, 0, 1], [1, -1, 1])[4].species == crystal[4].species


@pytest.mark.parametrize(("order", "signs"), [([0, 1, 1], [1, 1, 1]), ([0, 1, 2], [1, 1]), ([0, 1, 2], [1, 2, 1])])
def test_what_is_no_signed_permutation(order: list[int], signs: list[int]) -> None:
    with pytest.raises(ValueError, match="put in another order"):
        permuted_cell(triclinic(), order, signs)
