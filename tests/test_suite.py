"""The models that the command line compares."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline

import qperov
from qperov.evaluation.problem import Model
from qperov.evaluation.searches import search_of
from qperov.studies.models import RIVALS, build_suite, description, published_qsvr
from qperov.studies.regressors import (
    ANGLE_SCALES,
    CODE_SIZE,
    FAMILIES,
    MAPS,
    MOST_LINE_QUBITS,
    MOST_QUBITS,
    RANGES,
    draw,
    regressors,
)


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
    assert all("broadened profile" in name for name, model in suite.models.items() if model.family != "reference")
    assert {model.descriptor for model in suite.models.values() if model.family == "reference"} == {
        "composition and geometry"
    }
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
    physical = {"pair correlations", "trans pairs", "pair shells"}
    assert {m.descriptor for m in models if m.family == "reference"} == physical
    diffraction = {"powder pattern", "structure factors", "QSVR vector"}
    assert {m.descriptor for m in models} == {*diffraction, "site decorations", *physical}
    decorated = {m.name: m.family for m in models if m.descriptor == "site decorations"}
    assert {name for name, family in decorated.items() if family == "quantum"} == {
        "Ising QSVR",
        "Ising Gaussian process",
    }
    assert set(RIVALS) <= set(decorated)
    contrasts = {m.name for m in models if m.role == "contrast" and m.family != "reference"}
    assert contrasts == {"QSVR as published", *(f"Kernel ridge, {family}" for family in FAMILIES)}
    assert {m.role for m in models if m.family == "reference"} == {"contrast"}
    assert {m.name for m in models if m.kernel is not None} == {"SVR", "QSVR", "QSVR projected"}
    assert any("labels were themselves made by a cluster expansion" in note for note in suite.notes)
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


# --- equal search -------------------------------------------------------------------------------


def candidates(model: Model) -> list[dict[str, Any]]:
    """What its search tries, by the last part of each name."""
    _, search = search_of(model.of_features)
    return [{k.rpartition("__")[2]: v for k, v in one.items()} for one in ParameterGrid(search.param_grid)]


def searches(models: Iterable[Model]) -> dict[str, list[dict[str, Any]]]:
    return {model.name: candidates(model) for model in models if search_of(model.of_features)[1] is not None}


@pytest.mark.parametrize(("quick", "many"), [(False, 30), (True, 10)])
def test_every_search_has_as_many_candidates(quick: bool, many: int) -> None:
    found = searches(regressors(12, 986, quick=quick))
    assert {"Ridge", "Kernel ridge", "SVR", "Quantum kernel ridge", "QSVR", "QSVR projected"} <= set(found)
    assert {name: len(one) for name, one in found.items()} == dict.fromkeys(found, many)
    assert all(len({str(one) for one in each}) == many for name, each in found.items() if name != "Nearest neighbours")
    dataset = qperov.load_dataset("cpx321").take(range(0, 986, 40))
    suite = build_suite(dataset, quick=quick).models.values()
    assert {len(c) for c in searches(m for m in suite if m.role == "candidate").values()} == {many}
    assert len({str(search_of(m.of_features)[1].cv) for m in suite if m.name in found}) == 1, "on the same crystals"


def test_quantum_and_classical_search_the_same_ranges() -> None:
    """The same penalties, widths and whitening on both sides, from all of the stated decades."""
    found = searches(regressors(12, 986))
    pairs = (("SVR", "QSVR", "C"), ("SVR", "QSVR projected", "C"), ("Kernel ridge", "Quantum kernel ridge", "alpha"))
    for classical, quantum, penalty in pairs:
        of_both = [sorted((c[penalty], c["with_std"]) for c in found[name]) for name in (classical, quantum)]
        assert of_both[0] == of_both[1]
        low, high = np.log10(RANGES[penalty])
        drawn = np.sort(np.log10([c[penalty] for c in found[quantum]]))
        assert low <= drawn[0] <= drawn[-1] <= high
        assert np.diff([low, *drawn, high]).max() < 2.1 * (high - low) / 30, "no stretch without a candidate"
    low, high = np.log10(RANGES["width"])
    for name in ("QSVR", "QSVR projected"):
        lengths = {1 / c["bandwidth"] / ANGLE_SCALES.get(c["feature_map"], 1) for c in found[name]}
        widths = np.sort(np.log10(np.array(list(lengths)) / np.sqrt(24)))
        assert np.diff([low, *widths, high]).max() < 2.1 * (high - low) / 10
        assert {(c["feature_map"], c["entanglement"]) for c in found[name]} == set(MAPS)
    gaussians = [np.log10(c["kernel"].length_scale / np.sqrt(24)) for c in found["SVR"] if hasattr(c["kernel"], "nu")]
    assert low <= min(gaussians) < max(gaussians) <= high


def test_every_family_is_tried_whitened_and_not() -> None:
    for name, key in (
        ("QSVR", lambda c: (c["feature_map"], c["entanglement"])),
        ("SVR", lambda c: str(c["kernel"])[:9]),
    ):
        found = candidates(next(model for model in regressors(12, 986) if model.name == name))
        for family in {key(c) for c in found}:
            assert {c["with_std"] for c in found if key(c) == family} == {True, False}


def test_typical_exponents_of_all_families_are_alike() -> None:
    """At width 1 the kernels of samples at the typical distance are near exp(−1/2), whatever the number of columns."""
    rng = np.random.default_rng(0)
    for d in (3, 12, 100):
        X = rng.normal(size=(200, d))
        upper = np.triu_indices(200, 1)
        for name, make in FAMILIES.items():
            middle = np.median(make(np.sqrt(2 * d), d, 0.7)(X)[upper])
            assert 0.3 < middle < 0.75, (name, d)


def test_candidates_depend_on_the_random_state_alone() -> None:
    whole = qperov.load_dataset("cpx321")
    grids = []
    for data, seed in (
        (whole.take(range(0, 986, 5)), 0),
        (whole.take(range(1, 986, 4)), 0),
        (whole.take(range(300)), 1),
    ):
        suite = build_suite(data, descriptors=("structure_factors",), exploratory=False, random_state=seed).models
        grids.append(str(candidates(suite["QSVR · structure factors"])))
    assert grids[0] == grids[1] != grids[2]
    assert draw(("C",), 30, 0) == draw(("C", "width"), 30, 0)[:0] + [{"C": p["C"]} for p in draw(("C", "width"), 30, 0)]


@pytest.mark.parametrize(
    ("n_components", "simulator", "n_qubits"),
    [(MOST_QUBITS, "statevector", MOST_QUBITS), (40, "mps", 40), (MOST_LINE_QUBITS + 1, "statevector", 8)],
)
def test_every_component_is_seen(n_components: int, simulator: str, n_qubits: int) -> None:
    """A qubit each, as long as they can be simulated; then several share one."""
    (model,) = (m for m in regressors(n_components, 986) if m.name == "QSVR")
    X = np.random.default_rng(0).normal(size=(3, n_components))
    changed = X.copy()
    changed[:, -1] += 1
    for one in candidates(model)[::3]:
        wired = {name: one[name] for name in ("feature_map", "entanglement")}
        kernel = clone(model.kernel).set_params(bandwidth=0.1, **wired)
        assert kernel.chosen_simulator(n_components) in (simulator, "mps")
        assert kernel._n_qubits(n_components) == n_qubits
        assert kernel(X, changed).diagonal().min() < 1 - 1e-4, "the last of the components is seen"


def test_code_size_is_that_of_the_code() -> None:
    encoded = next(model for model in regressors(12, 986, quick=True) if model.name.startswith("Autoencoder"))
    X = np.random.default_rng(0).normal(size=(30, 12))
    assert Pipeline([*encoded.transformers]).fit_transform(X).shape == (30, CODE_SIZE)


def test_references_of_few_values_tie_no_crystals() -> None:
    dataset = qperov.load_dataset("cpx321").take(range(0, 986, 10))
    suite = build_suite(dataset, quick=True, exploratory=False).models
    chosen = {n: m for n, m in suite.items() if n in ("Ridge · structure factors", "Ridge · trans pairs")}
    groups = [qperov.compare(chosen, dataset, folds=3, n_bootstrap=0).label["n_groups"]]
    del chosen["Ridge · trans pairs"]
    groups.append(qperov.compare(chosen, dataset, folds=3, n_bootstrap=0).label["n_groups"])
    assert groups[0] == groups[1] > 50
