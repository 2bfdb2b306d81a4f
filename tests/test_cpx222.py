"""The embedded dataset cpx222: complete, converged, without copies, and zero where it must be."""

from __future__ import annotations

from collections import Counter
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

import qperov
from qperov.crystals.operations import site_permutations
from qperov.crystals.orderings.enumeration import count_orderings
from qperov.crystals.symmetry import canonical_decorations
from qperov.datasets.embedded.cpx222 import RelaxedSet, embedded_relaxed_set


@pytest.fixture(scope="module")
def shipped() -> RelaxedSet:
    return embedded_relaxed_set("cpx222")


def iodine(shipped: RelaxedSet) -> np.ndarray:
    return np.array([ordering.structure.composition["I"] for ordering in shipped.orderings], dtype=int)


def test_the_file_is_small() -> None:
    file = resources.files("qperov.datasets.embedded").joinpath("data", "cpx222.json.gz")
    assert len(file.read_bytes()) < 2_000_000


def test_all_compositions_and_every_ordering_of_one(shipped: RelaxedSet) -> None:
    counts = Counter(iodine(shipped).tolist())
    assert len(shipped.orderings) >= 400
    assert set(counts) == set(range(25))
    assert counts[5] == count_orderings(shipped.parent, "Br", ("Br", "I"), 5) == 207


def test_no_two_orderings_are_equivalent(shipped: RelaxedSet) -> None:
    occupations = np.array([[s.structure[i].species_string == "I" for i in shipped.sites] for s in shipped.orderings])
    permutations = site_permutations(shipped.parent, shipped.sites)
    assert len(permutations) == 384
    assert len(set(canonical_decorations(occupations.astype(np.int64), permutations))) == len(shipped.orderings)


def test_multiplicities_are_those_of_the_decorations(shipped: RelaxedSet) -> None:
    found = np.array([ordering.multiplicity for ordering in shipped.orderings])
    assert found[iodine(shipped) == 5].sum() == 42504


def test_all_converged_and_end_members_are_zero(shipped: RelaxedSet) -> None:
    assert all(ordering.converged and ordering.greatest_force <= 0.03 for ordering in shipped.orderings)
    energies, counts = shipped.mixing_energies, iodine(shipped)
    np.testing.assert_allclose(energies[(counts == 0) | (counts == 24)], 0, atol=1e-9)
    assert np.abs(energies).max() < 0.2, "eV per formula unit"


def test_cells_grow_with_iodine_and_distances_are_bonds(shipped: RelaxedSet) -> None:
    volumes, counts = np.array([o.structure.volume for o in shipped.orderings]), iodine(shipped)
    assert np.corrcoef(volumes, counts)[0, 1] > 0.98
    for ordering in shipped.orderings[::40]:
        distances = ordering.structure.distance_matrix + 10 * np.eye(40)
        assert 2.7 < distances.min() < 3.4


def test_the_labels_say_whose_they_are(shipped: RelaxedSet) -> None:
    data = qperov.load_dataset("cpx222")
    assert data.fingerprint == shipped.dataset().fingerprint
    assert data.unit == "meV/f.u."
    assert set(data.provenance) == {shipped.provenance["sentence"]}
    assert data.provenance[0].startswith("CHGNet 0.3.0")
    assert "not DFT" in data.provenance[0]
    assert data.label_noise == shipped.provenance["label_noise"] > 0


def test_chgnet_against_pbe_is_one_figure_everywhere() -> None:
    figure = "r = −0.07 unrelaxed, 0.58 relaxed with the symmetry kept and 0.53 relaxed freely"
    root = Path(__file__).parents[1]
    assert any(figure in caution for caution in qperov.load_dataset("cpx222").cautions)
    for page in ("docs/datasets.md", "docs/published.md"):
        assert figure in " ".join((root / page).read_text(encoding="utf-8").split()), page
