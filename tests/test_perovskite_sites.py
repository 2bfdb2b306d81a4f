"""Site-resolved numbers of perovskites, against cells built by hand and the formulas that Perov-5 prints."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import qperov
from qperov.descriptors.perovskite_sites import SiteFeatures, perovskite_roles
from qperov.descriptors.site_factors import SiteStructureFactors
from qperov.diffraction.crystal_batches import squared_structure_factors
from qperov.errors import DescriptorError
from qperov.studies.models import build_suite

LABELS = Path(__file__).parents[2] / "shared" / "data" / "perov5" / "val_labels.csv"


def cell(*anions: str, edges: tuple[float, float, float] = (4.0, 4.0, 4.0), moved: float = 0.0) -> Structure:
    """SrTiX₃ with X along a, b and c from Ti; Ti moved along a."""
    places = [(0.5, 0.5, 0.5), (moved, 0, 0), (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5)]
    return Structure(Lattice.orthorhombic(*edges), ["Sr", "Ti", *anions], places)


def numbers(structure: Structure) -> dict[str, float]:
    featurizer = SiteFeatures()
    return dict(zip(featurizer.feature_labels(), featurizer.featurize(structure), strict=True))


def test_a_cube_has_its_lengths_and_elements() -> None:
    found = numbers(cell("O", "O", "O"))
    assert len(found) == 39
    assert (found["A: electronegativity (Pauling)"], found["B: group"], found["X2: period"]) == (0.95, 4, 2)
    assert found["edge along B–X1 (Å)"] == found["edge along B–X3 (Å)"] == 4
    assert found["mean B–X distance (Å)"] == found["least B–X distance (Å)"] == pytest.approx(2)
    assert found["mean A–X distance (Å)"] == pytest.approx(np.sqrt(8))
    assert found["spread of A–X distance (Å)"] == pytest.approx(0, abs=1e-9)


def test_the_edge_and_the_bonds_go_with_their_anion() -> None:
    found = numbers(cell("S", "O", "N", edges=(4.6, 4.0, 3.8), moved=0.05))
    assert [found[f"X{i}: group"] for i in (1, 2, 3)] == [15, 16, 16], "N, O, S: by their atomic number"
    assert [found[f"X{i}: period"] for i in (1, 2, 3)] == [2, 2, 3]
    assert [found[f"edge along B–X{i} (Å)"] for i in (1, 2, 3)] == pytest.approx([3.8, 4.0, 4.6])
    along = [0.5 * 4.6 - 0.05 * 4.6, 0.5 * 4.6 + 0.05 * 4.6]
    others = [np.hypot(half, 0.05 * 4.6) for half in (2.0, 2.0, 1.9, 1.9)]
    assert found["mean B–X distance (Å)"] == pytest.approx(np.mean([*along, *others]))
    assert found["least B–X distance (Å)"] == pytest.approx(min(*along, *others))
    assert found["spread of B–X distance (Å)"] == pytest.approx(np.std([*along, *others]))


def test_numbers_do_not_depend_on_the_setting() -> None:
    rng = np.random.default_rng(0)
    for structure in qperov.load_dataset("perov5").structures[:12]:
        axes, sites = rng.permutation(3), rng.permutation(5)
        lattice = Lattice(structure.lattice.matrix[axes])
        places = structure.frac_coords[:, axes] + rng.random(3)
        other = Structure(lattice, [structure[int(i)].specie for i in sites], places[sites])
        assert SiteFeatures().featurize(other) == pytest.approx(SiteFeatures().featurize(structure), abs=1e-6)


@pytest.mark.skipif(not LABELS.exists(), reason="development data are not here")
def test_a_and_b_are_those_of_the_printed_formula() -> None:
    with LABELS.open() as table:
        formulas = {row["material_id"]: row["formula"] for row in csv.DictReader(table)}
    data = qperov.load_dataset("perov5").take(range(0, 3787, 7))
    for entry, structure in zip(data.ids, data.structures, strict=True):
        a, b = (structure[int(site)].specie.symbol for site in perovskite_roles(structure)[:2])
        assert [a, b] == re.findall("[A-Z][a-z]?", formulas[entry])[:2], entry


def test_fewer_properties_and_the_ways_of_matminer() -> None:
    featurizer = SiteFeatures(("group", "period"))
    assert featurizer.fit_transform([cell("O", "O", "F")]).shape == (1, len(featurizer.feature_labels())) == (1, 19)
    rows = featurizer.featurize_many(
        [cell("O", "O", "O"), cell("O", "O", "O") * (2, 1, 1)], ignore_errors=True, pbar=False
    )
    assert np.isfinite(rows[0]).all()
    assert np.isnan(rows[1]).all()


def test_bad_cells_and_settings_are_named() -> None:
    with pytest.raises(DescriptorError, match=r"structure 1: .*cells of five sites"):
        SiteFeatures().transform([cell("O", "O", "O"), cell("O", "O", "O") * (2, 1, 1)])
    with pytest.raises(DescriptorError, match="cells of five sites"):
        SiteFeatures().transform([cell({"O": 0.5, "F": 0.5}, "O", "O")])
    with pytest.raises(DescriptorError, match="no electronegativity"):
        SiteFeatures().transform([cell("O", "O", "He")])
    crowded = Structure(Lattice.cubic(4), ["Sr", "Ti", "O", "O", "O"], np.full((5, 3), 0.1) * np.arange(5)[:, None])
    with pytest.raises(DescriptorError, match="do not lie as in a perovskite"):
        SiteFeatures().transform([crowded])
    with pytest.raises(ValueError, match="unknown property 'colour'"):
        SiteFeatures(("colour",)).fit([])


def test_enough_perovskites_are_compared_by_their_sites() -> None:
    data = qperov.load_dataset("perov5").take(range(100))
    models = build_suite(data, quick=True, exploratory=False).models
    assert {"perovskite sites", "broadened profile"} <= {model.descriptor for model in models.values()}
    assert all(len(model.transformers) for model in models.values() if model.descriptor == "perovskite sites")
    few = build_suite(data.take(range(20)), quick=True, exploratory=False).models
    assert "perovskite sites" not in {model.descriptor for model in few.values()}
    chosen = build_suite(data, descriptors=("site_factors",), quick=True, exploratory=False).models
    assert "site-resolved structure factors" in {model.descriptor for model in chosen.values()}


# --- structure factors by site ------------------------------------------------------------------


def test_partial_intensities_add_up_to_the_engine_s() -> None:
    crystals = [qperov.load_dataset("perov5").structures[row] for row in (0, 1, 2)]
    featurizer = SiteStructureFactors()
    assert featurizer.fit_transform(crystals).shape == (3, 39)
    for structure, row in zip(crystals, featurizer.transform(crystals), strict=True):
        partial = dict(zip(featurizer.feature_labels(), row, strict=True))
        a = structure.lattice.a
        [(points, _, squares)] = squared_structure_factors([structure], (0.5 / a, 2.5 / a))
        for n in range(1, 7):
            whole = squares[0, (points.hkl**2).sum(axis=1) == n].mean()
            own = {pair: partial[f"I({pair}), h²+k²+l² = {n}"] for pair in ("AA", "AB", "AX", "BB", "BX", "XX")}
            assert sum(own[pair] * (1 if pair[0] == pair[1] else 2) for pair in own) == pytest.approx(whole, rel=1e-9)


def test_partial_intensities_do_not_depend_on_the_setting() -> None:
    structure = qperov.load_dataset("perov5").structures[1]
    other = Structure(
        Lattice(structure.lattice.matrix[[2, 0, 1]]), structure.species, structure.frac_coords[:, [2, 0, 1]] + 0.3
    )
    featurizer = SiteStructureFactors(3)
    assert featurizer.featurize(other) == pytest.approx(featurizer.featurize(structure), rel=1e-6)
    with pytest.raises(ValueError, match="shells must be at least 1"):
        SiteStructureFactors(0).fit([structure])
    with pytest.raises(DescriptorError, match=r"structure 0: .*five sites"):
        featurizer.transform([structure * (2, 1, 1)])
