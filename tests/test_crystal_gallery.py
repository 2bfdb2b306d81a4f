"""Drawn crystals: what is near covers what is far, atoms on faces stand on both, equal records give equal bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.data.colors import jmol_colors
from matplotlib.collections import LineCollection, PatchCollection
from pymatgen.core import Lattice, Structure
from synthetic_comparison import DATASET, TASK, synthetic_comparison

from qperov.datasets.dataset import CrystalDataset
from qperov.records.record import read_record
from qperov.records.study import CRYSTAL_COLUMNS, Chart, Study
from qperov.records.writing import write_record
from qperov.reports import build_report
from qperov.reports.figures.charts import draw_chart
from qperov.reports.figures.crystal_gallery import DARKEST, RADIUS_SHARE, Crystal, colour, known_number, view
from qperov.reports.figures.style import save
from qperov.studies.crystal import crystal_study
from qperov.studies.inverse_design.gallery import gallery_frame

POSITIONS = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
PEROVSKITE = Structure(Lattice.cubic(3.9), ["Sr", "Ti", "O", "O", "O"], POSITIONS)
CHART = Chart("Gallery", "crystals", "gallery", "x", "y", series="element", panels="crystal")


def study(**crystals: Structure) -> Study:
    return Study("Crystals", charts=(CHART,), data={"gallery": gallery_frame(crystals)})


# --- the columns --------------------------------------------------------------------------------


def test_atoms_on_corners_and_faces_stand_on_all_of_them() -> None:
    frame = gallery_frame({"one": PEROVSKITE})
    assert frame["element"].value_counts().to_dict() == {"Sr": 8, "O": 6, "Ti": 1}
    places = frame[["x", "y", "z"]].to_numpy()
    assert places.min() == pytest.approx(0, abs=1e-9)
    assert places.max() == pytest.approx(3.9)
    assert len(np.unique(np.round(places, 6), axis=0)) == 15
    np.testing.assert_allclose(frame[list(CRYSTAL_COLUMNS[1:])].to_numpy()[0].reshape(3, 3), 3.9 * np.eye(3), atol=1e-9)


def test_atoms_just_below_a_face_are_drawn_on_both_sides() -> None:
    inside = Structure(Lattice.cubic(4.0), ["Na", "Cl"], [[0.25, 0.25, 0.25], [0.75, 0.6, 0.995]])
    frame = gallery_frame({"one": inside})
    assert frame["element"].tolist() == ["Na", "Cl", "Cl"]
    assert frame["z"].tolist()[1:] == pytest.approx([-0.02, 3.98])


@pytest.mark.parametrize("hand", [1, -1])
def test_distances_are_crystals_whatever_hand_of_its_axes(hand: int) -> None:
    lattice = Lattice(hand * Lattice.from_parameters(4, 5, 6, 80, 95, 110).matrix)
    crystal = Structure(lattice, ["Na", "Cl", "K"], [[0.2, 0.3, 0.1], [0.7, 0.4, 0.6], [0.1, 0.8, 0.5]])
    frame = gallery_frame({"one": crystal})
    places = frame[["x", "y", "z"]].to_numpy()
    drawn = Structure(Lattice(frame[list(CRYSTAL_COLUMNS[1:])].to_numpy()[0].reshape(3, 3)), frame["element"], places,
                      coords_are_cartesian=True)  # fmt: skip
    np.testing.assert_allclose(drawn.distance_matrix, crystal.distance_matrix, atol=1e-8)
    # the mirror image has the same distances: places f in axes −M are places −f in axes M
    apart = drawn.frac_coords - hand * crystal.frac_coords
    np.testing.assert_allclose(apart, np.round(apart), atol=1e-8)
    np.testing.assert_allclose(drawn.lattice.parameters, crystal.lattice.parameters)
    assert np.linalg.det(drawn.lattice.matrix) > 0


# --- the projection -----------------------------------------------------------------------------


def test_the_view_is_a_rotation_with_c_upwards() -> None:
    np.testing.assert_allclose(view() @ view().T, np.eye(3), atol=1e-12)
    assert np.linalg.det(view()) == pytest.approx(1)
    right, up, towards = view()
    assert up[2] > 0.9
    assert right[2] == pytest.approx(0)
    assert towards[2] > 0


def test_nearer_atoms_are_drawn_over_farther_ones() -> None:
    figure = draw_chart(study(a=PEROVSKITE), CHART)
    axes = figure.axes[0]
    balls = [artist for artist in axes.collections if isinstance(artist, PatchCollection)]
    frame = gallery_frame({"a": PEROVSKITE})
    depth = (frame[["x", "y", "z"]].to_numpy() @ view()[2]).tolist()
    order = np.argsort(depth, kind="stable")
    drawn = sorted(balls, key=lambda ball: ball.get_zorder())
    rims = np.array([ball.get_facecolor()[0, :3] for ball in drawn])
    expected = np.array([colour(element) for element in frame["element"].to_numpy()[order]])
    np.testing.assert_allclose(rims, (1 - DARKEST) * expected)


def test_edges_end_where_atoms_cover_them() -> None:
    bare = Crystal([], np.zeros((0, 3)), 4 * np.eye(3))
    whole = bare.seen()
    assert len(whole) == 12
    length = sum(np.linalg.norm(line[-1] - line[0]) for line in whole)
    covered = Crystal(["Cs"], np.zeros((1, 3)), 4 * np.eye(3))
    radius = covered.radii[0]
    # the atom sits on the corner 000: three edges begin there, each hidden along the radius at least
    rest = covered.seen()
    assert len(rest) == 12
    hidden = length - sum(np.linalg.norm(line[-1] - line[0]) for line in rest)
    assert hidden > 0
    corner = (np.zeros(3) - 2) @ view().T
    for line in rest:
        assert np.linalg.norm(line - corner[:2], axis=1).min() > 0
    assert radius == pytest.approx(RADIUS_SHARE * 2.44)


def test_atom_before_edge_hides_it_and_one_behind_does_not() -> None:
    towards = view()[2]
    middle = np.array([4.0, 4.0, 2.0])  # of the edge nearest to the viewer
    before, behind = (Crystal(["H"], middle + side * 0.5 * towards, 4 * np.eye(3)) for side in (1, -1))
    assert len(behind.seen()) == 12
    assert len(before.seen()) == 13, "the edge falls into two"


def test_all_panels_have_one_scale_and_their_own_legend() -> None:
    small, large = PEROVSKITE, Structure(Lattice.cubic(8.0), ["Cs"], [[0.5, 0.5, 0.5]])
    figure = draw_chart(study(small=small, large=large), CHART)
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    legends = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.axes]
    assert legends == [["Sr", "Ti", "O"], ["Cs"]]
    assert [axes.get_title() for axes in figure.axes] == ["small", "large"]
    assert all(any(isinstance(artist, LineCollection) for artist in axes.collections) for axes in figure.axes)


def test_colours_are_jmols_and_what_is_no_element_is_drawn_too() -> None:
    np.testing.assert_array_equal(colour("O"), jmol_colors[8])
    assert known_number("Qq") == 0
    frame = gallery_frame({"a": PEROVSKITE}).assign(element="Qq")
    odd = Study("Crystals", charts=(CHART,), data={"gallery": frame})
    assert draw_chart(odd, CHART).axes[0].get_legend().get_texts()[0].get_text() == "Qq"


# --- studies and records ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"series": ""}, "need a column of elements"),
        ({"panels": ""}, "need a column of elements"),
        ({"series": "charge"}, "no column 'charge'"),
        ({"x": "element"}, "holds no numbers"),
    ],
)
def test_charts_that_are_no_crystals_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(study(a=PEROVSKITE), charts=(replace(CHART, **change),))


@pytest.mark.parametrize("column", CRYSTAL_COLUMNS)
def test_a_crystal_without_its_cell_or_depth_is_refused(column: str) -> None:
    frame = gallery_frame({"a": PEROVSKITE}).drop(columns=column)
    with pytest.raises(ValueError, match=f"no column '{column}'"):
        Study("Crystals", charts=(CHART,), data={"gallery": frame})


def test_a_record_draws_its_crystals_again_byte_by_byte(tmp_path: Path) -> None:
    shown = study(first=PEROVSKITE, second=PEROVSKITE)
    direct = save(draw_chart(shown, CHART), tmp_path / "direct")["svg"].read_bytes()
    comparison = synthetic_comparison(n=24, repeats=1)
    path = write_record(tmp_path / "run", comparison, task=TASK, dataset=DATASET, studies=(shown,)).path
    (back,) = read_record(path).studies
    assert save(draw_chart(back, back.charts[0]), tmp_path / "again")["svg"].read_bytes() == direct


# --- the crystal of a report --------------------------------------------------------------------


def test_a_report_shows_a_crystal_and_its_indexed_pattern(tmp_path: Path) -> None:
    crystals = [Structure(Lattice.cubic(a), PEROVSKITE.species, POSITIONS) for a in (3.7, 3.9, 4.1)]
    dataset = CrystalDataset("three", crystals, ("a", "b", "c"), np.array([0.0, 5.0, 9.0]), "gap", "eV")
    (made,) = crystal_study(dataset)
    assert made.charts[0].caption.startswith("b, with the median label: SrTiO3, 5 atoms")
    peaks = made.data["peaks"].set_index("hkl")
    # Bragg: λ = 2 d sin θ with the mean wavelength of Cu Kα and a = 3.9 Å
    for hkl, order in (("100", 1), ("110", 2), ("111", 3), ("200", 4)):
        angle = 2 * np.degrees(np.arcsin(1.54184 * np.sqrt(order) / 2 / 3.9))
        assert peaks.loc[hkl, "two_theta"] == pytest.approx(angle, abs=0.01)
    assert peaks["intensity"].max() == 100
    assert peaks["intensity"].idxmax() == "110"
    record = write_record(tmp_path / "run", synthetic_comparison(n=40), task=TASK, dataset=DATASET, studies=[made])
    page = build_report(record).read_text(encoding="utf-8")
    data = page[page.index('<section id="data">') : page.index('<section id="scores">')]
    assert data.count("<img") == 2
    assert "<h2>One crystal</h2>" not in page


def test_what_cannot_be_drawn_is_left_out() -> None:
    mixed = Structure(Lattice.cubic(3.9), [{"Sr": 0.5, "Ca": 0.5}, "Ti", "O", "O", "O"], POSITIONS)
    for crystal in (mixed, PEROVSKITE * (4, 4, 4)):
        assert crystal_study(CrystalDataset("one", (crystal,), ("a",))) == ()
