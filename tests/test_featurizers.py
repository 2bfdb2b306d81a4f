from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perovskites import perovskite, random_decoration, symmetry_image
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from qperov import PXRDFeaturizer, RankPCA, load_dataset, orderings, powder_patterns
from qperov.descriptors.featurizers import KINDS
from qperov.descriptors.matrices import difference_gram, mean_pattern, qsvr_vector
from qperov.errors import DescriptorError, SymmetryError
from qperov.evaluation.splits import identical_rows

SHAPE = (3, 2, 1)
ORDERINGS = [o.structure for o in orderings(perovskite(SHAPE), "Br", ("Br", "I"), 6)][::70]
FITTED = {kind: PXRDFeaturizer(kind).fit(ORDERINGS) for kind in KINDS}
FEATURES = {kind: FITTED[kind].transform(ORDERINGS) for kind in KINDS}
COLUMNS = {"profile": 901, "difference_gram": 28 * 28, "qsvr": 64, "correlations": 17}


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_has_one_name(kind):
    names = FITTED[kind].get_feature_names_out()
    assert FEATURES[kind].shape == (len(ORDERINGS), len(names))
    assert len(set(names)) == len(names) == FITTED[kind].n_features_out_
    assert FITTED[kind].feature_labels() == list(names)
    assert len(names) == COLUMNS.get(kind, len(names))
    assert np.isfinite(FEATURES[kind]).all()
    assert np.ptp(FEATURES[kind], axis=0).max() > 0


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6))
def test_features_do_not_see_symmetry_or_the_order_of_sites(kind, seed):
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(ORDERINGS), size=3, replace=False)
    images = [symmetry_image(ORDERINGS[i], SHAPE, rng) for i in rows]
    size = np.abs(FEATURES[kind]).max()
    np.testing.assert_allclose(FITTED[kind].transform(images), FEATURES[kind][rows], rtol=0, atol=1e-9 * max(1, size))


@pytest.mark.parametrize("kind", KINDS)
def test_columns_do_not_depend_on_the_order_of_crystals_or_of_their_sites(kind):
    rng = np.random.default_rng(1)
    order = rng.permutation(len(ORDERINGS))
    shuffled = [Structure.from_sites([ORDERINGS[i][int(j)] for j in rng.permutation(30)]) for i in order]
    other = PXRDFeaturizer(kind).fit(shuffled)
    assert other.feature_labels() == FITTED[kind].feature_labels()
    size = np.abs(FEATURES[kind]).max()
    np.testing.assert_allclose(other.transform(ORDERINGS), FEATURES[kind], rtol=0, atol=1e-9 * max(1, size))


@pytest.mark.parametrize("kind", KINDS)
def test_a_crystal_has_the_same_features_alone_and_in_company(kind):
    alone = np.concatenate([FITTED[kind].transform([structure]) for structure in ORDERINGS])
    size = np.abs(FEATURES[kind]).max()
    np.testing.assert_allclose(alone, FEATURES[kind], rtol=0, atol=1e-10 * max(1, size))
    assert FITTED[kind].transform([]).shape == (0, FEATURES[kind].shape[1])


@pytest.mark.parametrize("kind", KINDS)
def test_tables_of_pandas_and_pipelines(kind):
    frame = PXRDFeaturizer(kind).set_output(transform="pandas").fit_transform(ORDERINGS)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == FITTED[kind].feature_labels()
    y = np.arange(len(ORDERINGS), dtype=float)
    scores = cross_val_score(make_pipeline(PXRDFeaturizer(kind), RankPCA(3), Ridge()), ORDERINGS, y, cv=3)
    assert np.isfinite(scores).all()


def test_parameters_are_kept_and_cloned():
    featurizer = PXRDFeaturizer("profile", wavelength="MoKa", two_theta_range=(5, 60), width=0.5, step=0.2)
    copy = clone(featurizer)
    assert copy.get_params() == featurizer.get_params()
    assert copy.set_params(step=0.4).step == 0.4
    assert featurizer.step == 0.2
    with pytest.raises(NotFittedError):
        copy.transform(ORDERINGS)
    with pytest.raises(NotFittedError):
        copy.get_feature_names_out()
    reference = PXRDFeaturizer("qsvr", reference=ORDERINGS[0])
    assert clone(reference).reference == ORDERINGS[0]


def test_pattern_columns_are_the_peaks_of_pymatgen():
    calculator = XRDCalculator()
    for structure, row in zip(ORDERINGS[:3], FEATURES["pattern"][:3], strict=True):
        reference = calculator.get_pattern(structure)
        expected = {f"I({angle:.5f}°)": intensity for angle, intensity in zip(reference.x, reference.y, strict=True)}
        for name, value in zip(FITTED["pattern"].feature_labels(), row, strict=True):
            assert value == pytest.approx(expected.pop(name, 0.0), abs=1e-8)
        assert not expected


def test_rows_of_an_extinct_or_unseen_peak():
    """Pure CsPbBr₃ lacks the superstructure peaks of its orderings; seen alone, it leaves no column for theirs."""
    pure = perovskite(SHAPE)
    row = FITTED["pattern"].transform([pure])[0]
    assert (row == 0).any()
    assert row.max() == 100
    narrow = PXRDFeaturizer().fit([pure])
    [pattern] = powder_patterns([ORDERINGS[3]])
    kept = narrow.transform([ORDERINGS[3]])[0]
    assert len(kept) < len(pattern)
    assert set(kept[kept > 0]) <= set(np.round(pattern.intensity, 9))


def test_another_lattice_is_refused_with_a_hint_and_never_a_row_of_zeros():
    foreign = perovskite(SHAPE, edge=6.3)
    for kind, error, message in [
        ("pattern", DescriptorError, 'structure 1: .*another lattice.*kind="profile"'),
        ("structure_factors", DescriptorError, 'structure 1 has another cell.*kind="profile"'),
        ("correlations", SymmetryError, "structure 1 .*does not lie on the parent lattice"),
    ]:
        with pytest.raises(error, match=message):
            FITTED[kind].transform([ORDERINGS[0], foreign])
    assert FITTED["profile"].transform([foreign]).max() > 50


@pytest.mark.parametrize("kind", ["pattern", "structure_factors", "correlations"])
def test_mixed_lattices_are_refused_with_a_hint(kind):
    rng = np.random.default_rng(2)
    mixed = [random_decoration(perovskite(SHAPE, edge=6 + 0.02 * i), 6, rng) for i in range(40)]
    with pytest.raises(DescriptorError, match='Use PXRDFeaturizer\\(kind="profile"\\)'):
        PXRDFeaturizer(kind).fit(mixed)
    assert PXRDFeaturizer("profile").fit_transform(mixed).shape == (40, 901)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"kind": "laplacian"}, "unknown kind 'laplacian'; known: pattern"),
        ({"kind": "correlations", "max_order": 1}, "max_order must be at least 2"),
        ({"kind": "profile", "width": 0}, "width and step of a profile must be positive"),
        ({"kind": "profile", "step": -0.1}, "width and step of a profile must be positive"),
        ({"kind": "structure_factors", "two_theta_range": (90, 0)}, "low < high"),
        ({"wavelength": "Xx"}, "unknown radiation"),
    ],
)
def test_impossible_settings_are_refused(settings_, message):
    with pytest.raises(ValueError, match=message):
        PXRDFeaturizer(**settings_).fit(ORDERINGS)


def test_crystals_that_cannot_be_described_are_refused():
    with pytest.raises(ValueError, match="no crystals"):
        PXRDFeaturizer().fit([])
    with pytest.raises(DescriptorError, match="nothing to correlate"):
        PXRDFeaturizer("correlations").fit(ORDERINGS[:1])
    three = perovskite()
    three[2], three[3] = "Cl", "I"
    with pytest.raises(DescriptorError, match="two species a sublattice"):
        PXRDFeaturizer("correlations").fit([perovskite(), three])
    with pytest.raises(DescriptorError, match="widen two_theta_range"):
        PXRDFeaturizer("structure_factors", two_theta_range=(1, 2)).fit(ORDERINGS)


def test_profile_is_a_sum_of_gaussians_of_the_given_width():
    structure = Structure(Lattice.cubic(3.0), ["Fe"], [(0, 0, 0)])
    [pattern] = powder_patterns([structure])
    featurizer = PXRDFeaturizer("profile", width=0.4, step=0.001)
    [row] = featurizer.fit_transform([structure])
    grid = np.arange(len(row)) * 0.001
    for angle, intensity in zip(pattern.two_theta[:3], pattern.intensity[:3], strict=True):
        inside = np.abs(grid - angle) < 2
        assert row[inside].max() == pytest.approx(intensity, rel=1e-4)
        above_half = grid[inside][row[inside] > intensity / 2]
        assert np.ptp(above_half) == pytest.approx(0.4, abs=0.003)
    area = pattern.intensity.sum() * 0.4 / np.sqrt(8 * np.log(2)) * np.sqrt(2 * np.pi)
    assert row.sum() * 0.001 == pytest.approx(area, rel=1e-3)


def test_structure_factors_add_up_to_the_powder_pattern():
    """Families of one |g|, weighted by their multiplicity, make the peak; the family of one hkl has one |F|²."""
    names = FITTED["structure_factors"].feature_labels()
    hkl = np.array([[int(i) for i in name[3:-3].split()] for name in names])
    lengths = np.linalg.norm(hkl / np.array(ORDERINGS[0].lattice.abc), axis=1)
    # in an orthorhombic cell signs are free: two to the number of indices that are not zero
    multiplicity = 2 ** (hkl != 0).sum(axis=1)
    theta = np.arcsin(1.54184 * lengths / 2)
    weights = multiplicity * (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    for structure, row in zip(ORDERINGS[:4], FEATURES["structure_factors"][:4], strict=True):
        [pattern] = powder_patterns([structure])
        sums = np.array([(row * weights)[np.abs(1 / lengths - d) < 1e-6].sum() for d in pattern.d_spacing])
        np.testing.assert_allclose(100 * sums / sums.max(), pattern.intensity, atol=1e-7)


def test_difference_kinds_are_those_of_the_papers_about_the_mean_or_a_reference():
    patterns = powder_patterns(ORDERINGS)
    mean = mean_pattern(patterns)
    gram = np.array([difference_gram(p, mean).ravel() for p in patterns])
    np.testing.assert_allclose(FEATURES["difference_gram"], gram, rtol=0, atol=1e-10 * np.abs(gram).max())
    np.testing.assert_allclose(FEATURES["qsvr"], [qsvr_vector(p, mean) for p in patterns], atol=1e-6)
    own = PXRDFeaturizer("qsvr", reference=ORDERINGS[2]).fit(ORDERINGS).transform(ORDERINGS)
    assert not own[2].any()
    assert own[0].any()
    one = PXRDFeaturizer("qsvr").fit(ORDERINGS[:1])
    assert not one.transform(ORDERINGS[:1]).any(), "one crystal does not differ from its own mean"


def test_correlations_hold_points_exactly_where_the_composition_varies():
    assert FEATURES["correlations"].shape[1] == 17
    assert PXRDFeaturizer("correlations", max_order=3).fit(ORDERINGS).n_features_out_ == 78
    rng = np.random.default_rng(4)
    varied = [random_decoration(perovskite(SHAPE), k, rng) for k in (0, 3, 6, 9, 18)]
    features = PXRDFeaturizer("correlations").fit_transform(varied)
    assert features.shape == (5, 3 + 17)
    # six sites on each of the three kinds of X site, so their mean is the composition
    np.testing.assert_allclose(features[:, :3].mean(axis=1), 1 - 2 * np.array([0, 3, 6, 9, 18]) / 18)
    assert (features[0] == 1).all()


def test_names_of_descriptors_in_reports():
    assert PXRDFeaturizer().description == "powder pattern"
    assert PXRDFeaturizer("correlations").description == "pair correlations"
    assert PXRDFeaturizer("correlations", max_order=3).description == "pair and triplet correlations"
    assert PXRDFeaturizer("correlations", max_order=4).description == "up to 4-site correlations"


@pytest.mark.parametrize(("kind", "components"), [("pattern", 11), ("profile", 11), ("structure_factors", 12)])
def test_scaled_features_have_few_independent_components(kind, components):
    """Scaling raises small columns, and whatever noise is in them: none of it may pass as a component."""
    features = PXRDFeaturizer(kind).fit_transform(load_dataset("cpx321").structures[::3])
    scaled = StandardScaler().fit_transform(features)
    model = RankPCA().fit(scaled)
    assert model.n_components_ == components
    singular = np.linalg.svd(scaled, compute_uv=False)
    assert singular[components] < 1e-6 * singular[0] < 1e-3 * singular[components - 1]
    # twins of the descriptor have equal components
    twins = identical_rows(features)
    assert len(np.unique(twins)) < len(twins)
    assert len(np.unique(identical_rows(model.transform(scaled)))) == len(np.unique(twins))


@pytest.mark.parametrize(("kind", "distinct"), [("pattern", 564), ("structure_factors", 774), ("correlations", 884)])
def test_descriptors_of_the_986_orderings_that_are_distinct(kind, distinct):
    """986 orderings have 564 powder patterns."""
    features = PXRDFeaturizer(kind).fit_transform(load_dataset("cpx321").structures)
    assert len(np.unique(identical_rows(features))) == distinct
