from __future__ import annotations

import pickle

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
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from qperov import PXRDFeaturizer, load_dataset, orderings, powder_patterns
from qperov.descriptors import RankPCA, kinds, matrices, structure_factors
from qperov.descriptors.featurizer import KINDS, UNLEARNT
from qperov.descriptors.matrices import difference_gram, mean_pattern, qsvr_vector
from qperov.diffraction import patterns as computed
from qperov.diffraction.reflections import reflections
from qperov.diffraction.rounding import rounded
from qperov.errors import DescriptorError, SymmetryError
from qperov.evaluation.splits import identical_rows
from qperov.evaluation.tables import numerical_rank

SHAPE = (3, 2, 1)
ORDERINGS = [o.structure for o in orderings(perovskite(SHAPE), "Br", ("Br", "I"), 6)][::70]
FITTED = {kind: PXRDFeaturizer(kind).fit(ORDERINGS) for kind in KINDS}
FEATURES = {kind: FITTED[kind].transform(ORDERINGS) for kind in KINDS}
COLUMNS = {
    "profile": 901,
    "gram": 28 * 28,
    "matganip": 28 * 28,
    "difference_gram": 28 * 28,
    "qsvr": 64,
    "autoencoder": 32,
    "degree": 28,
    "adjacency": 28 * 28,
    "laplacian": 28 * 28,
    "correlations": 17,
}


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
def test_columns_do_not_depend_on_order_of_crystals_or_sites(kind):
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


@pytest.mark.parametrize("kind", KINDS)
def test_a_fitted_featurizer_goes_to_other_processes(kind):
    other = pickle.loads(pickle.dumps(FITTED[kind]))  # noqa: S301
    np.testing.assert_array_equal(other.transform(ORDERINGS[:3]), FEATURES[kind][:3])


def test_parameters_are_kept_and_cloned():
    featurizer = PXRDFeaturizer("profile", wavelength="MoKa", two_theta_range=(5, 60), width=0.5, step=0.2)
    copy = clone(featurizer)
    assert copy.get_params() == featurizer.get_params()
    assert copy.set_params(step=0.4).step == 0.4
    assert featurizer.step == 0.2
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


def test_another_lattice_is_refused_with_a_hint():
    foreign = perovskite(SHAPE, edge=6.3)
    for kind, error, message in [
        ("pattern", DescriptorError, 'structure 1: .*another lattice.*kind="profile"'),
        ("structure_factors", DescriptorError, 'structure 1 has another cell.*kind="profile"'),
        ("difference_gram", DescriptorError, 'structure 1: .*another lattice.*alignment="hkl"'),
        ("qsvr", DescriptorError, 'structure 1: .*another lattice.*kind="profile"'),
        ("correlations", SymmetryError, "structure 1 .*does not lie on the parent lattice"),
    ]:
        with pytest.raises(error, match=message):
            FITTED[kind].transform([ORDERINGS[0], foreign])
    assert FITTED["profile"].transform([foreign]).max() > 50


@pytest.mark.parametrize("kind", ["pattern", "structure_factors", "difference_gram", "qsvr", "correlations"])
def test_mixed_lattices_are_refused_with_a_hint(kind):
    rng = np.random.default_rng(2)
    mixed = [random_decoration(perovskite(SHAPE, edge=6 + 0.02 * i), 6, rng) for i in range(40)]
    with pytest.raises(DescriptorError, match='PXRDFeaturizer\\(kind="profile"\\)'):
        PXRDFeaturizer(kind).fit(mixed)
    assert PXRDFeaturizer("profile").fit_transform(mixed).shape == (40, 901)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"kind": "wavelet"}, "unknown kind 'wavelet'; known: pattern"),
        ({"kind": "gram", "n_peaks": 0}, "n_peaks must be at least 1"),
        ({"kind": "qsvr", "alignment": "index"}, "unknown alignment 'index'"),
        ({"kind": "qsvr", "reference": "last"}, "not 'last'"),
        ({"kind": "profile", "shape": "voigt"}, "unknown peak shape 'voigt'"),
        ({"kind": "profile", "shape": "pseudo-voigt", "mixing": 1.5}, "between 0 and 1"),
        ({"kind": "profile", "normalization": "sum"}, "unknown normalization 'sum'"),
        ({"kind": "structure_factors", "equivalents": "median"}, "unknown treatment of equivalent hkl"),
        ({"kind": "correlations", "max_order": 1}, "max_order must be at least 2"),
        ({"kind": "profile", "width": 0}, "width and step of a profile must be positive"),
        ({"kind": "profile", "step": -0.1}, "width and step of a profile must be positive"),
        ({"kind": "structure_factors", "two_theta_range": (90, 0)}, "low < high"),
        ({"wavelength": "Xx"}, "unknown radiation"),
        ({"kind": "profile", "width": float("inf")}, "width and step of a profile must be positive"),
        ({"kind": "profile", "step": 1e-9}, "make 9.0e\\+10 points"),
        ({"kind": "profile", "two_theta_range": (90, 0)}, "low < high"),
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


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_crystal_is_refused_by_every_kind(kind):
    for other in (None, "POSCAR", ORDERINGS[0].as_dict()):
        with pytest.raises(DescriptorError, match=f"structure 1: a {type(other).__name__} is no crystal structure"):
            FITTED[kind].transform([ORDERINGS[0], other])
    for whole in (ORDERINGS[0], pd.DataFrame({"structure": ORDERINGS})):
        for method in (FITTED[kind].transform, PXRDFeaturizer(kind).fit, PXRDFeaturizer(kind).fit_transform):
            with pytest.raises(TypeError, match="no list of crystals"):
                method(whole)


def test_the_whole_range_may_be_asked_for():
    whole = PXRDFeaturizer("pattern", two_theta_range=None).fit(ORDERINGS)
    assert whole.feature_labels() == PXRDFeaturizer("pattern", two_theta_range=(0, 180)).fit(ORDERINGS).feature_labels()


def test_settings_are_searched_over_in_several_processes():
    target = FEATURES["correlations"][:, 0]
    pipeline = make_pipeline(PXRDFeaturizer("profile", step=1.0), StandardScaler(), Ridge())
    grid = {"pxrdfeaturizer__kind": ["profile", "pattern"], "pxrdfeaturizer__reference": [None, ORDERINGS[0]]}
    alone = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(ORDERINGS, target)
    several = GridSearchCV(pipeline, grid, cv=2, n_jobs=2, error_score="raise").fit(ORDERINGS, target)
    np.testing.assert_allclose(several.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])


def test_structure_factors_keep_anisotropic_displacements():
    """Equal ellipsoids on all sites damp |F|² by exp(−4π² hᵀU*h), U* = U/(|a||a|) … on a cubic cell."""
    still = perovskite()
    moving = still.copy()
    for name in ("11", "22", "33", "12", "13", "23"):
        moving.add_site_property(f"U{name}_cif", [0.02 if name[0] == name[1] else 0.0] * len(still))
    featurizer = PXRDFeaturizer("structure_factors").fit([still])
    hkl = np.array([[int(i) for i in name[3:-3].split()] for name in featurizer.feature_labels()])
    g2 = (hkl**2).sum(axis=1) / still.lattice.a**2
    rows = featurizer.transform([still, moving])
    np.testing.assert_allclose(rows[1], rows[0] * np.exp(-4 * np.pi**2 * 0.02 * g2), rtol=1e-9, atol=1e-5)
    rounded_off = Structure(
        Lattice(still.lattice.matrix * (1 + 1e-9)),
        moving.species,
        moving.frac_coords,
        site_properties=moving.site_properties,
    )
    np.testing.assert_array_equal(featurizer.transform([rounded_off])[0], rows[1])
    turned = Structure(Lattice(still.lattice.matrix[[1, 2, 0]]), moving.species, moving.frac_coords[:, [1, 2, 0]])
    np.testing.assert_allclose(featurizer.transform([turned])[0], rows[0], rtol=1e-9, atol=1e-5)
    for name, values in moving.site_properties.items():
        turned.add_site_property(name, values)
    with pytest.raises(DescriptorError, match="structure 0 carries anisotropic displacements"):
        featurizer.transform([turned])


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


def test_difference_kinds_are_those_of_the_papers():
    patterns = powder_patterns(ORDERINGS)
    mean = mean_pattern(patterns)
    gram = np.array([difference_gram(p, mean).ravel() for p in patterns])
    np.testing.assert_allclose(FEATURES["difference_gram"], gram, rtol=0, atol=1e-10 * np.abs(gram).max())
    np.testing.assert_allclose(FEATURES["qsvr"], [qsvr_vector(p, mean) for p in patterns], atol=1e-6)
    own = PXRDFeaturizer("qsvr", reference=ORDERINGS[2]).fit(ORDERINGS).transform(ORDERINGS)
    assert not own[2].any()
    assert own[0].any()
    first = PXRDFeaturizer("qsvr", reference="first").fit(ORDERINGS)
    np.testing.assert_array_equal(
        first.transform(ORDERINGS[2:]),
        PXRDFeaturizer("qsvr", reference=ORDERINGS[0]).fit(ORDERINGS).transform(ORDERINGS[2:]),
    )
    published = PXRDFeaturizer("qsvr", reference="first", alignment="position").fit(ORDERINGS)
    reference = mean_pattern(patterns[:1])
    expected = [qsvr_vector(p, reference, by_position=True) for p in patterns]
    np.testing.assert_allclose(published.transform(ORDERINGS), expected, atol=1e-6)
    one = PXRDFeaturizer("qsvr").fit(ORDERINGS[:1])
    assert not one.transform(ORDERINGS[:1]).any(), "one crystal does not differ from its own mean"


@pytest.mark.parametrize("kind", ["difference_gram", "qsvr"])
def test_differences_by_hkl_are_those_by_angle_on_one_lattice(kind):
    found = PXRDFeaturizer(kind, alignment="hkl").fit_transform(ORDERINGS)
    np.testing.assert_allclose(found, FEATURES[kind], rtol=0, atol=1e-9 * np.abs(FEATURES[kind]).max())


def test_differences_by_hkl_survive_a_strain():
    """A strain changes intensities a little, not which reflection is compared with which."""
    strained = [s.copy() for s in ORDERINGS]
    for i, structure in enumerate(strained):
        structure.apply_strain([1e-3 * (i % 3), -5e-4 * (i % 2), 5e-4])
    reference = ORDERINGS[3]
    still = PXRDFeaturizer("qsvr", reference=reference, n_peaks=300).fit_transform(ORDERINGS).reshape(-1, 2, 300)
    moved = PXRDFeaturizer("qsvr", reference=reference, n_peaks=300, alignment="hkl").fit(strained)
    for own, other in zip(still, moved.transform(strained).reshape(-1, 2, 300), strict=True):
        for sine, difference in own[:, own[1] != 0].T[:32]:
            found = other[1][np.abs(other[0] - sine) < 1e-9].sum()
            assert abs(found - difference) < 0.02 * np.abs(own[1]).max() + 2
    with pytest.raises(DescriptorError, match="another lattice"):
        PXRDFeaturizer("qsvr").fit(strained)
    with pytest.raises(DescriptorError, match="structure 1: its cell is no strained version"):
        moved.transform([strained[0], perovskite(SHAPE, edge=7)])


def test_correlations_hold_points_where_composition_varies():
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
    assert PXRDFeaturizer("structure_factors", equivalents="sorted").description == "sorted structure factors"
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


def test_kinds_that_learn_nothing_need_no_fit():
    for kind in KINDS:
        fresh = PXRDFeaturizer(kind)
        if kind in UNLEARNT:
            assert np.array_equal(fresh.transform(ORDERINGS[:2]), FEATURES[kind][:2])
            assert fresh.feature_labels() == FITTED[kind].feature_labels()
            assert not hasattr(fresh, "kind_")
        else:
            for method in (lambda f=fresh: f.transform(ORDERINGS), fresh.get_feature_names_out):
                with pytest.raises(NotFittedError, match="call fit"):
                    method()


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"trans_pairs", "pair_shells"}))
def test_fit_transform_describes_each_crystal_once(kind, monkeypatch):
    described = []
    patterns, squares = computed.powder_patterns, structure_factors.squared_structure_factors
    spins = kinds.spins_of
    monkeypatch.setattr(computed, "powder_patterns", lambda s, **k: described.extend(s) or patterns(s, **k))
    monkeypatch.setattr(
        structure_factors, "squared_structure_factors", lambda s, *a: described.extend(s) or squares(s, *a)
    )
    monkeypatch.setattr(kinds, "spins_of", lambda occupations: described.extend(occupations) or spins(occupations))
    features = PXRDFeaturizer(kind).fit_transform(ORDERINGS)
    assert np.array_equal(features, FEATURES[kind])
    # decorations are read off once to find the lattice, and once as spins on it
    assert len(described) == (2 if kind == "correlations" else 1) * len(ORDERINGS)


def test_matrix_kinds_are_the_functions_of_their_name():
    named = {
        "gram": matrices.gram_matrix,
        "matganip": matrices.matganip_matrix,
        "autoencoder": matrices.autoencoder_vector,
        "degree": lambda pattern: np.diag(matrices.degree_matrix(pattern, weighted=True)),
        "adjacency": matrices.adjacency_matrix,
        "laplacian": matrices.laplacian_matrix,
    }
    for kind, function in named.items():
        expected = np.array([function(pattern).ravel() for pattern in powder_patterns(ORDERINGS)])
        np.testing.assert_allclose(FEATURES[kind], expected, rtol=0, atol=1e-10 * np.abs(expected).max())
    longer = PXRDFeaturizer("gram", n_peaks=60).fit_transform(ORDERINGS[:1])
    assert longer.shape == (1, 3600)
    assert np.array_equal(longer.reshape(60, 60)[:28, :28].ravel(), FEATURES["gram"][0])


def test_profiles_of_two_wavelengths_hold_both_peaks():
    lone = Structure(Lattice.cubic(3.0), ["Fe"], [(0, 0, 0)])
    doublet = PXRDFeaturizer(
        "profile", wavelength=[("CuKa1", 1.0), ("CuKa2", 0.5)], two_theta_range=(75, 90), width=0.02, step=0.005
    )
    [row] = doublet.transform([lone])
    grid = 75 + 0.005 * np.arange(len(row))
    for name, height in (("CuKa1", 1.0), ("CuKa2", 0.5)):
        [strongest] = [
            p.two_theta[p.intensity.argmax()]
            for p in powder_patterns([lone], wavelength=name, two_theta_range=(75, 90))
        ]
        near = np.abs(grid - strongest) < 0.03
        assert grid[near][row[near].argmax()] == pytest.approx(strongest, abs=0.005)
        assert row[near].max() == pytest.approx(100 * height, rel=0.08)


def moved_settings(structure: Structure, rng: np.random.Generator) -> list[Structure]:
    """The same crystal with its cell turned in space, with its axes exchanged, and in a skew cell of one volume."""
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turned = Structure(structure.lattice.matrix @ turn, structure.species, structure.frac_coords)
    change = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    skew = np.array([[1, 1, 0], [0, 1, 0], [0, -1, 1]])
    others = [
        Structure(m @ structure.lattice.matrix, structure.species, structure.frac_coords @ np.linalg.inv(m))
        for m in (change, skew)
    ]
    return [turned, *others]


@pytest.mark.parametrize("equivalents", ["mean", "sorted"])
@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6))
def test_structure_factors_do_not_depend_on_the_setting(equivalents, seed):
    rng = np.random.default_rng(seed)
    featurizer = PXRDFeaturizer("structure_factors", equivalents=equivalents)
    features = featurizer.fit_transform(ORDERINGS)
    rows = rng.choice(len(ORDERINGS), size=3, replace=False)
    images = [symmetry_image(ORDERINGS[i], SHAPE, rng) for i in rows]
    scale = features.max()
    np.testing.assert_allclose(featurizer.transform(images), features[rows], rtol=0, atol=1e-9 * scale)
    for i in rows:
        own = features[[i, i, i]]
        np.testing.assert_allclose(
            featurizer.transform(moved_settings(ORDERINGS[i], rng)), own, rtol=0, atol=1e-8 * scale
        )


def test_sorted_structure_factors_hold_the_mean_and_more():
    mean, whole = FITTED["structure_factors"], PXRDFeaturizer("structure_factors", equivalents="sorted").fit(ORDERINGS)
    assert len(set(whole.feature_labels())) == whole.n_features_out_ > mean.n_features_out_
    families = [name.split("²")[0] for name in whole.feature_labels()]
    frame = pd.DataFrame(whole.transform(ORDERINGS).T).groupby(families, sort=False).mean()
    assert list(frame.index) == [name.rstrip("²") for name in mean.feature_labels()]
    np.testing.assert_allclose(frame.to_numpy().T, FEATURES["structure_factors"], rtol=0, atol=1e-5)


def test_structure_factors_hold_twelve_or_fourteen_numbers():
    """On the ideal lattice |F|² depends on hkl modulo (6, 4, 2); what symmetry and the counts of I leave is this many.

    |F|² of one form factor never tells which of the three kinds of X site a wave comes from, so that no resolution and
    no range of 2θ gives more: the unaveraged values of all images together span 14 dimensions.
    """
    structures = load_dataset("cpx321").structures[::4]
    for equivalents, rank in (("mean", 12), ("sorted", 14)):
        assert (
            numerical_rank(PXRDFeaturizer("structure_factors", equivalents=equivalents).fit_transform(structures))
            == rank
        )
    points = reflections(structures[0].lattice.matrix, (0.0, 0.9))
    squares = np.empty((len(structures), len(points.g)))
    for _, rows, block in structure_factors.squared_structure_factors(structures, (0.0, 0.9)):
        squares[rows] = block
    place = {tuple(sign * row): i for i, row in enumerate(points.hkl) for sign in (1, -1)}
    images = [
        squares[:, [place[tuple(np.array(signs) * row)] for row in points.hkl]]
        for signs in ((1, 1, 1), (1, 1, -1), (1, -1, 1), (1, -1, -1))
    ]
    assert numerical_rank(rounded(np.concatenate(images))) == 14


@pytest.mark.parametrize(
    ("settings_", "distinct"),
    [
        ({"kind": "pattern"}, 564),
        ({"kind": "structure_factors"}, 774),
        ({"kind": "structure_factors", "equivalents": "sorted"}, 855),
        ({"kind": "correlations"}, 884),
    ],
)
def test_descriptors_of_the_986_orderings_that_are_distinct(settings_, distinct):
    """986 orderings have 564 powder patterns."""
    features = PXRDFeaturizer(**settings_).fit_transform(load_dataset("cpx321").structures)
    assert len(np.unique(identical_rows(features))) == distinct
