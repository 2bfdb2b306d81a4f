from __future__ import annotations

import numpy as np
import pytest
from crystal_prototypes import cubic_perovskite, rock_salt
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.core.operations import SymmOp

from qperov.errors import RelaxationError
from qperov.generative.bench.judgement import displacement


def test_one_atom_moves() -> None:
    before = rock_salt()
    after = before.copy().translate_sites([3], [0.2, 0, 0], frac_coords=False)
    # the drift 0.2 / 8 of all atoms is taken out: 0.2² (1/8 − 1/64)
    assert displacement(before, after).rmsd == pytest.approx(0.2 * np.sqrt(1 / 8 - 1 / 64))
    assert displacement(before, after).volume_change == pytest.approx(0)


def test_strain_alone_moves_nothing() -> None:
    before = cubic_perovskite(a=4.0)
    after = Structure(Lattice.tetragonal(4.1, 4.3), before.species, before.frac_coords)
    change = displacement(before, after)
    assert change.rmsd == pytest.approx(0, abs=1e-12)
    assert change.volume_change == pytest.approx(4.1**2 * 4.3 / 64 - 1)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_drift_rotation_and_images_do_not_count(seed: int) -> None:
    rng = np.random.default_rng(seed)
    before = cubic_perovskite()
    after = before.copy().perturb(0.3, seed=seed)
    plain = displacement(before, after).rmsd
    other = after.copy().translate_sites(range(5), rng.random(3), to_unit_cell=False)
    other = Structure(other.lattice, other.species, other.frac_coords + rng.integers(-2, 3, size=(5, 3)))
    other.apply_operation(SymmOp.from_axis_angle_and_translation([1, 2, 3], float(rng.uniform(0, 360))))
    assert displacement(before, other).rmsd == pytest.approx(plain)
    assert 0 < plain <= 0.3


def test_other_sites() -> None:
    with pytest.raises(RelaxationError, match="other sites"):
        displacement(rock_salt(), cubic_perovskite())
    with pytest.raises(RelaxationError, match="other sites"):
        displacement(cubic_perovskite(("Ca", "Ti", "O")), cubic_perovskite(("Ti", "Ca", "O")))
