from __future__ import annotations

import numpy as np
import pytest
from crystal_prototypes import (
    caesium_chloride,
    cubic_perovskite,
    face_sharing,
    redescribed,
    rock_salt,
    trigonal_prisms,
    zinc_blende,
)
from pymatgen.core import Lattice, Structure

from qperov.errors import DescriptorError
from qperov.generative.bench.dissimilarity import (
    distinct_fingerprints,
    fingerprint,
    fingerprint_distance,
    fingerprints,
    geometry,
    nearest,
)

#: By matminer 0.10.1, SiteStatsFingerprint over CrystalNNFingerprint("ops", distance_cutoffs=None, x_diff_weight=0)
#: with mean, standard deviation, minimum and maximum.
MATMINER = [
    (rock_salt, zinc_blende, 3.5724),
    (rock_salt, caesium_chloride, 3.0989),
    (rock_salt, cubic_perovskite, 2.7417),
    (cubic_perovskite, face_sharing, 1.1455),
    (face_sharing, trigonal_prisms, 1.8328),
]


@pytest.mark.parametrize(("first", "second", "published"), MATMINER)
def test_as_matminer(first, second, published: float) -> None:  # type: ignore[no-untyped-def]
    found = fingerprint_distance(fingerprint(first()), fingerprint(second()))
    assert found == pytest.approx(published, abs=0.01)


def test_rock_salt_is_all_octahedra() -> None:
    mean, spread, low, high = fingerprint(rock_salt())
    assert mean.shape == (61,)
    assert spread == pytest.approx(np.zeros(61), abs=1e-6)
    assert low == pytest.approx(high, abs=1e-6)
    # the weight of coordination six and of the octahedron, which are the same thing here
    assert sorted(mean)[-2:] == pytest.approx([1, 1], abs=0.01)


def test_elements_scale_turns_and_supercells_do_not_count() -> None:
    structure = cubic_perovskite()
    other = redescribed(cubic_perovskite(("Cs", "Pb", "I"), 6.3))
    assert fingerprint_distance(fingerprint(structure), fingerprint(other)) == pytest.approx(0, abs=0.01)
    assert geometry(cubic_perovskite(a=4)) == geometry(cubic_perovskite(("Cs", "Pb", "I"), 6.3))


def test_a_displacement_grows_the_distance() -> None:
    structure = caesium_chloride()
    moved = [structure.copy().translate_sites([0], [shift, 0, 0]) for shift in (0.01, 0.04, 0.1)]
    start = fingerprint(structure)
    distances = [fingerprint_distance(start, fingerprint(own)) for own in moved]
    assert 0 < distances[0] < distances[1] < distances[2]


def test_each_geometry_once() -> None:
    seen: list[tuple[int, int]] = []
    crystals = [cubic_perovskite(a=a) for a in (3.8, 4.0, 5.5)] + [caesium_chloride()]
    found = fingerprints(crystals, progress=lambda done, total, _: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    known = distinct_fingerprints(found)
    assert known.shape == (2, 4, 61)
    assert nearest(fingerprint(caesium_chloride()), known) == 0
    other = fingerprint(trigonal_prisms())
    assert nearest(other, known) == pytest.approx(min(fingerprint_distance(other, own) for own in known))


def test_what_has_no_fingerprint() -> None:
    empty = Structure(Lattice.cubic(3), [], [])
    with pytest.raises(DescriptorError, match="without atoms"):
        fingerprint(empty)
    found = fingerprints([empty, caesium_chloride()])
    assert isinstance(found[0], str)
    assert "without atoms" in found[0]
    assert isinstance(found[1], np.ndarray)
