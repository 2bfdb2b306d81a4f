"""Maps of descriptors and kernels: distances, one map for one input, places for further crystals, pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import colormaps
from matplotlib.axes import Axes
from scipy.spatial.distance import cdist
from sklearn.datasets import make_blobs
from sklearn.gaussian_process.kernels import RBF
from sklearn.manifold import trustworthiness
from synthetic_comparison import DATASET, MODELS, TASK, synthetic_comparison

from qperov.records.record import spaced_rows
from qperov.records.writing import write_record
from qperov.reports.maps.drawing import RESIDUAL_COLOURS, VALUE_COLOURS, draw_map, map_colours, mean_prediction
from qperov.reports.maps.embedding import map_descriptor, standardise
from qperov.reports.maps.kernel_maps import kernel_distances, map_kernel
from qperov.reports.maps.section import map_section

COMPARISON = synthetic_comparison()
NAMES = [name for name, *_ in MODELS]
X = COMPARISON.features["powder pattern"]
K = RBF(3.0)(standardise(X))
#: A map of 90 crystals; the others are further ones.
OLD, NEW = X[:90], X[90:]


def extent(points: np.ndarray) -> float:
    return float(np.ptp(points, axis=0).max())


def states(n: int, seed: int, dimension: int = 3) -> np.ndarray:
    """Unit vectors φ."""
    vectors = np.random.default_rng(seed).normal(size=(n, dimension))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# --- distances ----------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 12), seed=st.integers(0, 1000))
def test_kernel_distances_are_those_in_feature_space(n: int, seed: int) -> None:
    """K = ⟨ψ|φ⟩² of real states is the scalar product of the matrices φφᵀ: d² = 2 − 2K between these."""
    vectors = states(n, seed)
    features = np.einsum("ni,nj->nij", vectors, vectors).reshape(n, -1)
    D = kernel_distances((vectors @ vectors.T) ** 2)
    np.testing.assert_allclose(D, cdist(features, features), atol=1e-6)
    np.testing.assert_array_equal(D.diagonal(), 0)


def test_a_kernel_that_is_not_normalised_is_normalised() -> None:
    vectors, lengths = states(8, 0), np.linspace(0.5, 4, 8)
    np.testing.assert_allclose(
        kernel_distances(vectors @ vectors.T * np.outer(lengths, lengths)), cdist(vectors, vectors), atol=1e-7
    )


def test_entry_above_one_gives_no_imaginary_distance() -> None:
    assert kernel_distances(np.array([[1.0, 1.01], [1.01, 1.0]])).max() == 0


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((2, 3)), "shape"),
        (np.empty((0, 0)), "n > 0"),
        (np.array([[1.0, 0.5], [0.1, 1.0]]), "not symmetric"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "NaN"),
        (np.diag([1.0, 0.0]), "positive diagonal"),
    ],
)
def test_what_is_no_kernel_matrix_is_refused(matrix: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        map_kernel("k", matrix)


# --- maps ---------------------------------------------------------------------------------------


def test_kernel_map_keeps_clusters_apart_and_is_same_every_time() -> None:
    Z, which = make_blobs(75, n_features=6, centers=3, cluster_std=0.5, random_state=1)
    matrix = RBF(4.0)(Z)
    mapped = map_kernel("rbf", matrix, seed=2)
    own = [np.linalg.norm(mapped.points - mapped.points[which == k].mean(axis=0), axis=1) for k in range(3)]
    assert (np.argmin(own, axis=0) == which).all()
    np.testing.assert_array_equal(map_kernel("rbf", matrix, seed=2).points, mapped.points)
    assert (mapped.method, mapped.distinct) == ("t-SNE", 75)


def test_trustworthiness_is_scikit_learns() -> None:
    mapped, of_kernel = map_descriptor("x", X), map_kernel("k", K)
    rows, first = np.unique(standardise(X), axis=0, return_index=True)
    assert mapped.trustworthiness == pytest.approx(
        trustworthiness(rows, mapped.points[first], n_neighbors=10), abs=1e-12
    )
    # an RBF keeps the order of the distances in X
    expected = trustworthiness(rows, of_kernel.points[first], n_neighbors=10)
    assert of_kernel.trustworthiness == pytest.approx(expected, abs=1e-12)


def test_indistinguishable_crystals_share_a_point() -> None:
    mapped = map_kernel("k", K.astype(np.float32).astype(float))
    assert mapped.distinct == len(np.unique(standardise(X), axis=0)) == 105
    np.testing.assert_array_equal(mapped.points[60:75], mapped.points[:15])


@settings(max_examples=15, deadline=None)
@given(n=st.integers(1, 12), dimension=st.integers(1, 4), seed=st.integers(0, 50))
def test_few_crystals_have_kernel_maps(n: int, dimension: int, seed: int) -> None:
    vectors = states(n, seed, dimension)
    mapped = map_kernel("k", vectors @ vectors.T)
    assert mapped.points.shape == (n, 2)
    assert np.isfinite(mapped.points).all()
    if mapped.layout is None:  # principal coordinates shorten distances, never lengthen them
        assert (cdist(mapped.points, mapped.points) <= mapped.distances + 1e-6).all()


def test_below_ten_crystals_kernel_map_is_principal_coordinates() -> None:
    flat = states(7, 3, 2)
    mapped = map_kernel("k", flat @ flat.T)
    assert mapped.method == "principal coordinates"
    np.testing.assert_allclose(cdist(mapped.points, mapped.points), cdist(flat, flat), atol=1e-7)


def test_many_crystals_are_placed_on_the_map_of_some() -> None:
    mapped = map_descriptor("x", X, most=80)
    assert (mapped.distinct, len(mapped.rows)) == (105, 80)
    assert len(np.unique(mapped.points, axis=0)) == 105
    np.testing.assert_array_equal(mapped.points[60:75], mapped.points[:15])
    rows, first = np.unique(standardise(X), axis=0, return_index=True)
    assert trustworthiness(rows, mapped.points[first], n_neighbors=10) > 0.9


# --- places -------------------------------------------------------------------------------------


def test_a_crystal_on_the_map_is_placed_at_its_own_point() -> None:
    mapped, of_kernel = map_descriptor("x", OLD), map_kernel("k", K[:90, :90])
    np.testing.assert_array_equal(mapped.place(OLD), mapped.points)
    np.testing.assert_array_equal(of_kernel.place(K[:90, :90]), of_kernel.points)
    assert mapped.place(NEW).shape == (30, 2)
    np.testing.assert_array_equal(mapped.place(OLD), mapped.points, err_msg="placing others moves nothing")


def test_crystal_that_hardly_differs_is_placed_beside_its_twin() -> None:
    shift = 5e-3 * X.std(axis=0)
    mapped = map_descriptor("x", OLD)
    matrix = RBF(3.0)(standardise(np.concatenate([OLD, OLD + shift])))
    of_kernel = map_kernel("k", matrix[:90, :90])
    for points, placed in (
        (mapped.points, mapped.place(OLD + shift)),
        (of_kernel.points, of_kernel.place(matrix[90:, :90])),
    ):
        away = np.linalg.norm(placed - points, axis=1)
        assert away.max() > 0
        assert np.median(away) < 0.02 * extent(points)
        assert np.quantile(away, 0.9) < 0.08 * extent(points)


def test_each_crystal_is_placed_on_its_own() -> None:
    mapped = map_descriptor("x", OLD)
    together = mapped.place(NEW)
    np.testing.assert_allclose(mapped.place(NEW[::-1])[::-1], together, atol=1e-3 * extent(mapped.points))
    np.testing.assert_allclose(mapped.place(NEW[4:5])[0], together[4], atol=1e-3 * extent(mapped.points))


def test_placed_crystals_keep_their_neighbours() -> None:
    mapped = map_descriptor("x", OLD)
    new = NEW[~(NEW[:, None] == OLD).all(axis=2).any(axis=1)]
    nearest = cdist(mapped.space.standardised(new), mapped.space.standardised(OLD)).argmin(axis=1)
    away = np.linalg.norm(mapped.place(new) - mapped.points[nearest], axis=1)
    at_random = np.linalg.norm(mapped.place(new) - mapped.points[np.roll(nearest, 7)], axis=1)
    assert np.median(away) < 0.35 * np.median(at_random)


def test_on_map_of_principal_components_places_are_projections() -> None:
    few = map_descriptor("x", X[:9])
    np.testing.assert_allclose(few.place(X[:9]), few.points, atol=1e-9)
    line = np.linspace(0, 1, 8)[:, None] * np.ones(3)
    np.testing.assert_allclose(
        map_descriptor("x", line).place(line[3:5].mean(axis=0, keepdims=True)),
        map_descriptor("x", line).points[3:5].mean(axis=0, keepdims=True),
        atol=1e-7,
    )


def test_principal_coordinates_place_a_new_crystal() -> None:
    flat = states(9, 5, 2)
    mapped = map_kernel("k", (flat @ flat.T)[:8, :8])
    placed = mapped.place((flat @ flat.T)[8:, :8])
    np.testing.assert_allclose(cdist(placed, mapped.points), cdist(flat[8:], flat[:8]), atol=1e-7)


def test_what_cannot_be_placed_is_refused() -> None:
    with pytest.raises(ValueError, match="24 columns, not of 3"):
        map_descriptor("x", OLD).place(OLD[:, :3])
    with pytest.raises(ValueError, match="finite"):
        map_descriptor("x", OLD).place(np.full((1, 24), np.inf))
    with pytest.raises(ValueError, match=r"\(q, 90\)"):
        map_kernel("k", K[:90, :90]).place(K[:5])
    with pytest.raises(ValueError, match="above 1, or NaN"):
        map_kernel("k", K[:90, :90]).place(np.full((1, 90), np.nan))


# --- pictures -----------------------------------------------------------------------------------


def panels(axes: list[Axes], ending: str) -> list[Axes]:
    return [a for a in axes if a.get_title().endswith(ending)]


def test_label_and_predictions_share_one_scale() -> None:
    mapped = map_descriptor("powder pattern", X)
    figure = draw_map(COMPARISON, mapped.points, NAMES[:3])
    values, errors = panels(figure.axes, "label") + panels(figure.axes, "prediction"), panels(figure.axes, "residual")
    assert (len(values), len(errors)) == (4, 3)
    assert {(a.collections[0].cmap.name, a.collections[0].get_clim()) for a in values} == {
        (VALUE_COLOURS, tuple(np.quantile(COMPARISON.y, [0.02, 0.98])))
    }
    ((colours, (low, high)),) = {(a.collections[0].cmap.name, a.collections[0].get_clim()) for a in errors}
    assert colours == RESIDUAL_COLOURS
    assert low == -high < 0
    for prediction, residual in zip(panels(figure.axes, "prediction"), errors, strict=True):
        assert prediction.get_position().y0 == residual.get_position().y0, "side by side"
        assert prediction.get_position().x1 < residual.get_position().x0


def test_dot_has_mean_colour_and_area_of_its_crystals() -> None:
    mapped = map_descriptor("powder pattern", X)
    figure = draw_map(COMPARISON, mapped.points, NAMES[:1])
    (residual,) = panels(figure.axes, "residual")
    dots, errors = residual.collections[0], mean_prediction(COMPARISON, NAMES[0]) - COMPARISON.y
    offsets = np.asarray(dots.get_offsets())
    assert len(offsets) == 105
    for xy, colour, size in zip(offsets, dots.get_array(), dots.get_sizes(), strict=True):
        here = (mapped.points == xy).all(axis=1)
        assert colour == pytest.approx(errors[here].mean())
        assert size / dots.get_sizes().min() == pytest.approx(np.sqrt(here.sum()))


def test_further_figures_of_a_map_share_its_scales() -> None:
    mapped = map_descriptor("powder pattern", X)
    colours = map_colours(COMPARISON, NAMES[:3])
    limits = set()
    for models, with_label in ((NAMES[:1], True), (NAMES[1:3], False)):
        axes = draw_map(COMPARISON, mapped.points, models, colours=colours, with_label=with_label).axes
        limits |= {a.collections[0].get_clim() for a in panels(axes, "residual")}
    assert limits == {(-colours.widest, colours.widest)}


def linear(colours: np.ndarray) -> np.ndarray:
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


def lightness(rgb: np.ndarray) -> np.ndarray:
    """CIE L* of linear RGB."""
    return 116 * np.cbrt(rgb @ [0.2126, 0.7152, 0.0722]) - 16


def deuteranope(rgb: np.ndarray) -> np.ndarray:
    """What is left of linear RGB: Machado, Oliveira and Fernandes 2009, doi:10.1109/TVCG.2009.113, severity 1."""
    matrix = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    return np.clip(rgb @ np.array(matrix).T, 0, 1)


def test_colours_keep_their_order_for_the_colour_blind() -> None:
    value, error = (linear(colormaps[name](np.linspace(0, 1, 64))[:, :3]) for name in (VALUE_COLOURS, RESIDUAL_COLOURS))
    for seen in (np.asarray, deuteranope):
        assert (np.diff(lightness(seen(value))) > 0).all(), "the label grows with the lightness"
        assert (np.diff(lightness(seen(error))[:31]) > 0).all(), "lighter towards zero"
        assert (np.diff(lightness(seen(error))[33:]) < 0).all()
        ends = seen(error)[[14, -15]]
        assert np.linalg.norm(ends[0] - ends[1]) > 0.2, "the signs differ"


@pytest.mark.parametrize(("models", "with_label"), [(0, True), (1, True), (5, False), (3, True)])
def test_no_panel_hides_another(models: int, with_label: bool) -> None:
    points = np.random.default_rng(0).normal(size=(len(X), 2)) * [3, 1]
    figure = draw_map(COMPARISON, points, NAMES[:models], with_label=with_label)
    boxes = [a.get_position() for a in figure.axes]
    assert len(boxes) == with_label + 2 * models + 1 + bool(models)
    assert all(b.x0 >= 0 and b.y0 > 0 and b.x1 <= 1 and b.y1 <= 1 for b in boxes)
    apart = [a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0 for a in boxes for b in boxes if a is not b]
    assert all(apart)


# --- the section --------------------------------------------------------------------------------


def test_section_has_every_descriptor_and_kernel(tmp_path: Path) -> None:
    kernels = {NAMES[2]: K, "another": K[:60, :60] * 0.5 + 0.5 * np.eye(60)}
    formulas = [f"CsPbBr{i}" for i in range(len(X))]
    record = write_record(
        tmp_path / "run", COMPARISON, task=TASK, dataset=DATASET, kernels=kernels, compositions=formulas
    )
    section = map_section(record, tmp_path)
    assert [(entry["descriptor"], entry["kind"], entry["crystals"]) for entry in section] == [
        ("powder pattern", "descriptor", 120),
        ("pair correlations", "descriptor", 120),
        ("kernel of QSVR on powder pattern", "kernel", 120),
        ("kernel of another", "kernel", 60),
    ]
    for entry in section:
        assert {f"{entry['file']}.png", f"{entry['file']}.svg"} <= {path.name for path in tmp_path.iterdir()}
        assert entry["picture"].startswith("data:image/png;base64,")
        sentences = " ".join(entry["quality"])
        assert f"Trustworthiness {entry['trust']}" in sentences
        assert "and the axes have no meaning on this map" in sentences
        data = json.loads(entry["interactive"].split(">", 2)[2].split("</script>")[0])
        assert len(data["id"]) == entry["crystals"]
        rows = spaced_rows(120, entry["crystals"])
        assert [data["compositions"][j] for j in data["composition"]] == [formulas[i] for i in rows]
    assert [entry["interactive"].count("<style>") for entry in section] == [0, 0, 0, 1]


def test_matrix_without_map_says_why_and_others_have_theirs(tmp_path: Path) -> None:
    case = replace(COMPARISON, features={"pair correlations": COMPARISON.features["pair correlations"]})
    record = write_record(tmp_path / "run", case, task=TASK, dataset=DATASET, kernels={"k": -np.eye(120)})
    first, second = map_section(record, tmp_path)
    assert first["problem"] == ""
    assert "positive diagonal" in second["problem"]
    assert "<script>" in first["interactive"]
