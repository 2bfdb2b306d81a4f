"""The models that the command line compares."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import qperov
from qperov.studies.models import build_suite, description, published_qsvr


def mixed_lattices(n: int) -> qperov.datasets.CrystalDataset:
    """Rock salts of many sizes and three chemistries, with labels that have nothing to do with them."""
    rng = np.random.default_rng(0)
    species = [("Na", "Cl"), ("Mg", "O"), ("K", "Br")]
    structures = tuple(
        Structure.from_spacegroup(
            "Fm-3m", Lattice.cubic(4 + 3 * rng.random()), list(species[i % 3]), [(0, 0, 0), (0.5, 0.5, 0.5)]
        )
        for i in range(n)
    )
    ids = tuple(map(str, range(n)))
    return qperov.datasets.CrystalDataset("mixed", structures, ids, rng.normal(size=n), "gap", "eV")


@pytest.mark.slow
def test_crystals_of_many_lattices_are_compared_by_profiles() -> None:
    dataset = mixed_lattices(24)
    suite = build_suite(dataset, quick=True)
    assert all("broadened profile" in name for name in suite.models)
    assert dataset.y is not None
    table = qperov.compare(suite.models, dataset, folds=4, n_bootstrap=0).table
    assert table["mae"].max() < 3 * dataset.y.std()


def test_networks_need_crystals_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = qperov.load_dataset("cpx321").take(range(0, 986, 8))
    suite = build_suite(dataset, quick=True)
    networks = [suite.models[f"{name} · structure factors"] for name in ("CNN-Gen", "WSP-GAN")]
    assert [network.family for network in networks] == ["classical"] * 2
    monkeypatch.setattr("qperov.studies.models.find_spec", lambda name: None)
    without = build_suite(dataset, quick=True)
    assert not any("GAN" in name for name in without.models)
    assert any("qperov[torch]" in note for note in without.notes)
    assert any("left out" in note for note in build_suite(dataset.take(range(50))).notes)


def test_decorations_of_one_lattice_get_resolved_features() -> None:
    dataset = qperov.load_dataset("cpx321").take(range(0, 986, 40))
    suite = build_suite(dataset)
    models = suite.models.values()
    assert {model.family for model in models} == {"classical", "quantum", "reference"}
    assert {m.descriptor for m in models} == {"powder pattern", "structure factors", "QSVR vector", "pair correlations"}
    assert {m.name for m in models if m.role == "contrast"} == {"QSVR as published", "Cluster expansion"}
    assert {m.name for m in models if m.kernel is not None} == {"SVR RBF", "QSVR", "QSVR projected"}
    assert all(name == f"{model.name} · {model.descriptor}" for name, model in suite.models.items())


@pytest.mark.filterwarnings("ignore::qperov.errors.ConcentratedKernelWarning")  # which is what is wrong with it
@pytest.mark.parametrize(("unit", "scale"), [("meV/cell", 1), ("meV/atom", 1 / 30), ("eV/cell", 1e-3)])
def test_published_setting_does_not_depend_on_unit_of_labels(unit: str, scale: float) -> None:
    dataset = qperov.load_dataset("cpx321").take(range(0, 986, 20)).in_unit(unit)
    model = published_qsvr(dataset).pipeline
    assert (model[-1].C, model[-1].epsilon) == pytest.approx((scale, 0.1 * scale))
    reference = dataset.in_unit("meV/cell")
    shifted = [np.asarray(d.y) - np.asarray(d.y).mean() for d in (dataset, reference)]
    ours = model.fit(dataset.structures, shifted[0]).predict(dataset.structures)
    theirs = published_qsvr(reference).pipeline.fit(dataset.structures, shifted[1]).predict(dataset.structures)
    assert ours / scale == pytest.approx(theirs, abs=0.01 * shifted[1].std())


def test_published_setting_needs_energies() -> None:
    from dataclasses import replace

    dataset = replace(qperov.load_dataset("cpx321").take(range(0, 986, 20)), target="gap", unit="eV")
    assert not any("published" in name for name in build_suite(dataset).models)


def test_description_without_labels_or_common_lattice() -> None:
    mixed = mixed_lattices(6)
    text = description(qperov.datasets.CrystalDataset("bare", mixed.structures, mixed.ids))
    assert "bare: 6 crystals, 6 symmetry classes, lattices: 6" in text
    assert "broadened profile: 901 columns" in text
    assert "labels" not in text
