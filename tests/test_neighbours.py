"""Counts of neighbouring pairs, against crystals counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from perovskites import perovskite, random_decoration, symmetry_image
from pymatgen.core import Lattice, Structure

from qperov import PXRDFeaturizer
from qperov.crystals.perovskites.sites import trans_pairs
from qperov.errors import CompositionError, DescriptorError


def cubic(*anions: str, strain: float = 0.0) -> Structure:
    """Five atoms of CsPbX₃, X along a, b and c about Pb at the origin."""
    lattice = Lattice(6.0 * (np.eye(3) + strain * np.array([[0.0, 1, 0], [0, 0.5, 0], [0, 0, -1]])))
    return Structure(
        lattice, ["Cs", "Pb", *anions], [(0.5, 0.5, 0.5), (0, 0, 0), (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5)]
    )


def test_each_anion_of_a_cube_is_opposite_to_itself() -> None:
    assert {frozenset(pair) for pair in trans_pairs(cubic("Br", "Br", "I"))[0].tolist()} == {
        frozenset({2}),
        frozenset({3}),
        frozenset({4}),
    }


def test_unlike_corners_along_one_axis() -> None:
    """Along a: Pb–Br–Pb–I–Pb…, so that each of two octahedra has one unlike pair; b and c have like ones."""
    doubled = cubic("Br", "Br", "Br") * (2, 1, 1)
    along_a = [
        i
        for i, site in enumerate(doubled)
        if site.specie.symbol == "Br" and abs(site.coords[1]) + abs(site.coords[2]) < 1e-6
    ]
    assert len(along_a) == 2
    doubled[along_a[0]] = "I"
    pure = cubic("Br", "Br", "Br") * (2, 1, 1)
    other = pure.copy()
    other[next(i for i in range(len(pure)) if i not in along_a and pure[i].specie.symbol == "Br")] = "I"
    featurizer = PXRDFeaturizer("trans_pairs")
    values = featurizer.fit_transform([doubled, pure, other])
    assert featurizer.feature_labels() == ["trans Br–B–I", "x(I)"]
    np.testing.assert_allclose(values, [[1, 1 / 6], [0, 0], [0, 1 / 6]])


def test_three_anions_have_three_unlike_pairs() -> None:
    """Br, Cl and I in turn along a: every octahedron has one pair along a, each time another."""
    tripled = cubic("Br", "Br", "Br") * (3, 1, 1)
    along_a = sorted(
        (
            i
            for i, site in enumerate(tripled)
            if site.specie.symbol == "Br" and abs(site.coords[1]) + abs(site.coords[2]) < 1e-6
        ),
        key=lambda i: tripled[i].coords[0],
    )
    for i, name in zip(along_a, ("Br", "Cl", "I"), strict=True):
        tripled[i] = name
    featurizer = PXRDFeaturizer("trans_pairs")
    np.testing.assert_allclose(featurizer.fit_transform([tripled]), [[1 / 3] * 3])
    assert featurizer.feature_labels() == ["trans Br–B–Cl", "trans Br–B–I", "trans Cl–B–I"]


def test_a_distorted_crystal_has_the_counts_of_its_cube() -> None:
    rng = np.random.default_rng(0)
    still = [random_decoration(perovskite((2, 2, 1)), 5, rng) for _ in range(4)]
    moved = []
    for structure in still:
        shaken = structure.copy()
        shaken.perturb(0.15)
        moved.append(Structure(Lattice(shaken.lattice.matrix @ (np.eye(3) + 0.02)), shaken.species, shaken.frac_coords))
    featurizer = PXRDFeaturizer("trans_pairs").fit(still)
    np.testing.assert_array_equal(featurizer.transform(moved), featurizer.transform(still))


def test_shells_of_a_cube_are_counted_by_hand() -> None:
    """Of 18 anions: 72 pairs of edges, 18 of opposite corners, and 36 as far apart without B between them."""
    rng = np.random.default_rng(1)
    structures = [random_decoration(perovskite((3, 2, 1), edge=6.0), 6, rng) for _ in range(6)]
    featurizer = PXRDFeaturizer("pair_shells")
    values = featurizer.fit_transform(structures)
    assert [name.split(" (")[1] for name in featurizer.feature_labels()] == ["4.24 Å)", "6.00 Å)", "6.00 Å)"]
    for row, structure in zip(values, structures, strict=True):
        anions = [i for i, site in enumerate(structure) if site.specie.symbol in ("Br", "I")]
        unlike: dict[str, list[bool]] = {"edge": [], "trans": [], "rest": []}
        for i in anions:
            for near in structure.get_neighbors(structure[i], 6.1):
                if near.specie.symbol not in ("Br", "I"):
                    continue
                middle = (structure[i].coords + near.coords) / 2
                has_b = any(site.specie.symbol == "Pb" for site in structure.get_sites_in_sphere(middle, 0.1))
                kind = "edge" if near.nn_distance < 5 else "trans" if has_b else "rest"
                unlike[kind].append(near.specie != structure[i].specie)
        assert [len(found) for found in unlike.values()] == [18 * 8, 18 * 2, 18 * 4]
        edge, trans, rest = (np.mean(found) for found in unlike.values())
        assert row[0] == pytest.approx(edge)
        assert sorted(row[1:]) == pytest.approx(sorted([trans, rest]))


def test_trans_pairs_are_one_of_the_shells() -> None:
    rng = np.random.default_rng(2)
    structures = [random_decoration(perovskite((3, 2, 1)), 6, rng) for _ in range(8)]
    trans = PXRDFeaturizer("trans_pairs").fit_transform(structures)[:, 0]
    shells = PXRDFeaturizer("pair_shells").fit_transform(structures)
    assert np.isclose(shells * 3, trans[:, None]).all(axis=0).sum() == 1
    images = [symmetry_image(structure, (3, 2, 1), rng) for structure in structures]
    np.testing.assert_allclose(PXRDFeaturizer("trans_pairs").fit_transform(images)[:, 0], trans)


def test_what_has_no_octahedra_or_one_anion_is_refused() -> None:
    rock_salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)])
    with pytest.raises(CompositionError, match="not ABX₃"):
        trans_pairs(rock_salt)
    with pytest.raises(DescriptorError, match=r"structure 1: .*not ABX₃"):
        PXRDFeaturizer("trans_pairs").fit([cubic("Br", "Br", "I"), rock_salt])
    with pytest.raises(DescriptorError, match="all anions are alike"):
        PXRDFeaturizer("trans_pairs").fit([cubic("Br", "Br", "Br")])
    with pytest.raises(DescriptorError, match="structure 0: Cl was among the anions of no crystal"):
        PXRDFeaturizer("trans_pairs").fit([cubic("Br", "Br", "I")]).transform([cubic("Br", "Br", "Cl")])
    with pytest.raises(DescriptorError, match="no pairs to count"):
        PXRDFeaturizer("pair_shells").fit([cubic("Br", "Br", "I")])
    with pytest.raises(DescriptorError, match=r'2 different lattices.*kind="profile"'):
        PXRDFeaturizer("pair_shells").fit([cubic("Br", "Br", "I"), cubic("Br", "I", "Br", strain=0.01)])
