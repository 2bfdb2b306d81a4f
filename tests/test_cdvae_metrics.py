"""CDVAE's metrics, on crystals whose numbers are known by hand."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import qperov
from qperov.errors import EmptyDatasetError, MissingDependencyError
from qperov.generative import cdvae_metrics
from qperov.generative.cdvae_metrics import (
    DescribedCrystals,
    composition_scale,
    describe_crystals,
    generation_metrics,
    reconstruction_metrics,
    structure_valid,
)


def oxide(a: str, b: str, edge: float = 3.9) -> Structure:
    """Cubic ABO₃."""
    places = [(0.5, 0.5, 0.5), (0, 0, 0), (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5)]
    return Structure(Lattice.cubic(edge), [a, b, "O", "O", "O"], places)


def described(structures: list[float], compositions: list[float], valid: list[bool] | None = None) -> DescribedCrystals:
    """Crystals with fingerprints that have one number other than zero; NaN for none."""
    n = len(structures)
    ok = np.ones(n, dtype=bool) if valid is None else np.array(valid)
    prints = [np.c_[np.array(first, dtype=float), np.zeros((n, 3))] for first in (structures, compositions)]
    prints[1][np.isnan(prints[0][:, 0])] = np.nan
    return DescribedCrystals(ok, ok, *prints, density=np.arange(n, dtype=float), n_elements=np.full(n, 3.0))


# --- the definitions ----------------------------------------------------------------------------


def test_test_crystals_as_samples_have_everything() -> None:
    test = describe_crystals([oxide("Ca", "Ti"), oxide("Sr", "Zr", 4.1)])
    assert (test.structures.shape, test.compositions.shape) == ((2, 61), (2, 132))
    found = generation_metrics(test, test, property_of_samples=np.arange(2.0), property_of_test=np.arange(2.0))
    assert [found[name] for name in ("structure_valid", "composition_valid", "valid")] == [1, 1, 1]
    assert (found["cov_recall"], found["cov_precision"]) == (1, 1)
    assert (found["emd_density"], found["emd_elements"], found["emd_property"]) == (0, 0, 0)


def test_coverage_counts_from_both_sides() -> None:
    test = described([0.0, 1.0, 2.0], [0.0, 10.0, 20.0])
    samples = described([0.1, 0.15, 5.0, np.nan], [1.0, 2.0, 0.0, 0.0])
    found = generation_metrics(samples, test)
    assert found["cov_precision"] == 2 / 4, "what has no fingerprint counts in the denominator"
    assert found["cov_recall"] == 1 / 3


def test_nearest_structure_and_composition_may_differ() -> None:
    test = described([0.0, 1.0], [0.0, 100.0])
    samples = described([0.0], [100.0])
    assert generation_metrics(samples, test)["cov_precision"] == 1
    assert generation_metrics(samples, test)["cov_recall"] == 0, "neither test crystal has both near"


def test_distances_are_of_valid_samples_alone() -> None:
    test = described([0.0, 0.0], [0.0, 0.0])
    samples = described([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], valid=[True, False, False])
    found = generation_metrics(samples, test, property_of_samples=np.array([4.0, 9, 9]), property_of_test=np.ones(2))
    assert found["emd_density"] == pytest.approx(0.5), "0 against 0 and 1"
    assert found["emd_property"] == 3
    assert found["valid"] == pytest.approx(1 / 3)


def test_atoms_of_the_cell_are_half_an_angstrom_apart() -> None:
    def pair(apart: float, a: float = 4.0) -> Structure:
        return Structure(Lattice.cubic(a), ["Na", "Cl"], [[0, 0, 0], [apart / a, 0, 0]])

    assert structure_valid(pair(0.51))
    assert not structure_valid(pair(0.49))
    assert structure_valid(Structure(Lattice.cubic(0.48), ["Na"], [[0, 0, 0]])), "its own images do not count"
    assert not structure_valid(Structure(Lattice.cubic(0.4), ["Na"], [[0, 0, 0]])), "0.064 Å³"


def test_compositions_are_standardised_as_published() -> None:
    mean, deviation = composition_scale()
    assert mean.shape == deviation.shape == (132,)
    assert (mean[0], deviation[131]) == (21.1944, 85.9802)
    own = describe_crystals([oxide("Ca", "Ti")]).compositions[0]
    assert own[0] * deviation[0] + mean[0] == pytest.approx(8), "the least atomic number, of O"


def test_real_crystals_are_valid_and_broken_ones_are_not() -> None:
    real = list(qperov.load_dataset("perov5", split="test").structures[:3])
    broken = Structure(Lattice.cubic(4), ["Ca", "Ti", "O", "O", "O"], np.zeros((5, 3)))
    found = describe_crystals([*real, None, broken])
    assert found.structure_valid.tolist() == [True, True, True, False, False]
    assert found.described[:4].tolist() == [True, True, True, False]
    assert not found.valid[3:].any()


# --- reconstruction -----------------------------------------------------------------------------


def test_a_copy_matches_and_a_moved_atom_has_its_distance() -> None:
    true = oxide("Ca", "Ti")
    moved = true.copy().translate_sites([0], [0.1, 0, 0], frac_coords=False)
    wrong = oxide("Ba", "Ti")
    found = reconstruction_metrics([true] * 4, [true.copy(), moved, wrong, None])
    # 0.1 Å of one atom of five, less the drift of the cell
    expected = 0.1 * np.sqrt((1 / 5) * (4 / 5)) / (true.volume / 5) ** (1 / 3)
    assert found["match"] == 0.5
    assert found["rmse"] == pytest.approx(expected / 2, rel=1e-3)


# --- bad input ----------------------------------------------------------------------------------


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(EmptyDatasetError, match="no crystals to describe"):
        describe_crystals([])
    with pytest.raises(EmptyDatasetError, match="no test crystal"):
        generation_metrics(described([0.0], [0.0]), described([np.nan], [0.0]))
    with pytest.raises(EmptyDatasetError, match="reconstructions"):
        reconstruction_metrics([], [])
    with pytest.raises(ValueError, match="2 crystals have 1 reconstructions"):
        reconstruction_metrics([oxide("Ca", "Ti")] * 2, [None])


def test_no_valid_sample_has_no_distance() -> None:
    found = generation_metrics(describe_crystals([None, None]), described([0.0], [0.0]))
    assert (found["valid"], found["cov_recall"], found["cov_precision"]) == (0, 0, 0)
    assert np.isnan([found["emd_density"], found["emd_elements"], found["emd_property"]]).all()


def test_without_matminer_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matminer.featurizers.composition.composite", None)
    cdvae_metrics._featurizers.cache_clear()
    with pytest.raises(MissingDependencyError, match=r"qperov\[generate\]"):
        describe_crystals([oxide("Ca", "Ti")])
    cdvae_metrics._featurizers.cache_clear()
