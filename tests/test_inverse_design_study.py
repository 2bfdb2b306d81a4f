"""The sections on inverse design: numbers are those that were planted, sentences follow from the numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from crystal_prototypes import cubic_perovskite
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from scipy.stats import binomtest
from synthetic_comparison import DATASET, TASK, synthetic_comparison

from qperov.errors import DescriptorError
from qperov.evaluation.metrics import bootstrap_weights
from qperov.generative.bench.comparison import PERTURBATION, SUBSTITUTION, compare_samples
from qperov.generative.bench.reconstruction import reconstruction_errors
from qperov.records.writing import write_record
from qperov.reports.figures.charts import draw_chart
from qperov.reports.words.introduction import listed
from qperov.studies.inverse_design.bench import bench_study, decisive_table, shares_table
from qperov.studies.inverse_design.features import CrystalFeatures
from qperov.studies.inverse_design.gallery import IN_GALLERY, chosen_for_gallery
from qperov.studies.inverse_design.latent import latent_study, property_classes
from qperov.studies.inverse_design.nearness import near_share, nearness_study, nearness_table
from qperov.studies.inverse_design.results import (
    BASELINE,
    Generation,
    HeldOut,
    RelaxedCrystals,
    Sample,
    Target,
    TrainedGenerator,
    short_number,
)
from qperov.studies.inverse_design.training import (
    CONSTANT,
    ONE_FOR_ALL,
    PUBLISHED,
    learning_curves,
    reconstruction_table,
    training_study,
    weighted_mean,
)

ASKED = Target("toys", "formation energy", "eV/atom", -2.0, 0.1, -1.5)


KNOWN = [
    cubic_perovskite(f.split())
    for f in ("Sr Ti O", "Ba Ti O", "Ca Ti O", "Sr Zr O", "Ba Zr O", "K Nb O", "La Al O", "Na Ta O")
]
LABELS = np.array([-3.4, -3.3, -3.2, -3.6, -3.5, -2.05, -3.7, -1.4])


# --- features -----------------------------------------------------------------------------------


def row_of(structure: Structure, geometry: bool = True) -> dict[str, float]:
    features = CrystalFeatures(geometry)
    return dict(zip(features.feature_labels(), features.fit_transform([structure])[0], strict=True))


def test_features_of_rock_salt_are_those_of_the_tables() -> None:
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)])
    row = row_of(salt)
    assert row["electronegativity (Pauling): mean"] == pytest.approx((0.93 + 3.16) / 2)
    assert row["electronegativity (Pauling): minimum"] == 0.93
    assert row["group: standard deviation"] == pytest.approx(8)
    assert row["least nearest-neighbour distance (Å)"] == pytest.approx(2.82)
    assert row["mean nearest-neighbour distance over the sum of covalent radii"] == pytest.approx(2.82 / (1.66 + 1.02))
    assert row["logarithm of the volume an atom (Å³)"] == pytest.approx(np.log(5.64**3 / 8))
    assert row["mean deviation of the angles from 90°"] == pytest.approx(0, abs=1e-9)


def test_geometry_tells_crystals_of_one_formula_apart() -> None:
    crystals = [cubic_perovskite(("Sr", "Ti", "O"), edge) for edge in (3.9, 4.1)]
    alone, both = (CrystalFeatures(geometry).fit_transform(crystals) for geometry in (False, True))
    np.testing.assert_array_equal(alone[0], alone[1])
    assert not np.allclose(both[0], both[1])
    assert both.shape == (2, len(CrystalFeatures(True).feature_labels()))


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=3, max_size=3), st.permutations(range(5)))
def test_features_do_not_depend_on_origin_order_or_size_of_cell(shift: list[float], order: list[int]) -> None:
    crystal = cubic_perovskite(("Sr", "Ti", "O"))
    other = Structure.from_sites([crystal[k] for k in order])
    other.translate_sites(range(5), shift)
    doubled = crystal * (2, 2, 2)
    rows = CrystalFeatures(True).fit_transform([crystal, other, doubled])
    np.testing.assert_allclose(rows, rows[[0, 0, 0]], rtol=1e-6, atol=1e-6)


def test_an_atom_alone_has_its_own_images_for_neighbours() -> None:
    polonium = Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]])
    assert row_of(polonium)["least nearest-neighbour distance (Å)"] == pytest.approx(3.35)


def test_elements_without_property_have_the_median() -> None:
    argon = Structure(Lattice.cubic(5.0), ["Ar"], [[0, 0, 0]])
    assert np.isfinite(list(row_of(argon).values())).all()
    mixed = Structure(Lattice.cubic(4.0), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    with pytest.raises(DescriptorError, match="each of one element"):
        CrystalFeatures().transform([mixed])
    with pytest.raises(DescriptorError, match="H to Lr"):
        CrystalFeatures().transform([Structure(Lattice.cubic(4.0), ["Rf"], [[0, 0, 0]])])
    assert CrystalFeatures().transform([]).shape == (0, 52)


# --- training -----------------------------------------------------------------------------------


def trained(
    structures: list[Structure], found: list[Structure | None], predicted: np.ndarray | None
) -> TrainedGenerator:
    history = {"loss": [3.0, 1.0], "validation_loss": [3.5, 2.0], "kl": [0.1, 0.2]}
    return TrainedGenerator(
        history, 12.0, reconstruction_errors(structures, found), predicted, np.zeros((len(LABELS), 2))
    )


def held_out(structures: list[Structure], y: np.ndarray) -> HeldOut:
    typical = reconstruction_errors(structures, [KNOWN[0]] * len(structures))
    constant = {CONSTANT: np.full(len(y), LABELS.mean()), "ridge": y + 0.2}
    return HeldOut(y, np.arange(len(y)), len(KNOWN), typical, constant)


HELD = [cubic_perovskite(f.split(), 4.2) for f in ("Cs Pb I", "K Mg F", "Na Nb O", "Rb Ca F")]
TRUE = np.array([-1.0, -2.0, -3.0, -2.5])


def test_study_of_training_states_what_was_reached_and_missed() -> None:
    near = [cubic_perovskite(f.split(), 4.3) for f in ("Cs Pb I", "K Mg F", "Na Nb O", "Rb Ca F")]
    models = {
        "good": trained(HELD, list(near), TRUE + 0.01),
        "poor": trained(
            HELD,
            [cubic_perovskite(("Sr", "Ti", "O"), 3.7), None, *[cubic_perovskite(("Ba", "Ti", "O"), 3.7)] * 2],
            TRUE * 0,
        ),
        "dead": trained(HELD, [None] * 4, None),
    }
    study = training_study(ASKED, held_out(HELD, TRUE), models)
    table = study.tables[
        "Reconstruction of held-out compositions of toys; TL-VAE, published, of 27,587 perovskites of the OQMD"
    ].set_index("model")
    assert table.loc["good", "lattice, Å"] == pytest.approx(0.1)
    assert table.loc["good", "species right"] == 1
    assert table.loc["poor", "lattice, Å"] == pytest.approx(0.5)
    assert table.loc["poor", "not decoded"] == 0.25
    assert table.loc["poor", "species right"] == pytest.approx(3 / 20)  # the oxygen of NaNbO3
    assert table.loc[PUBLISHED, ["lattice, Å", "angles, °", "coordinates"]].tolist() == [0.82, 5.3, 0.136]
    assert np.isnan(table.loc["dead", "lattice, Å"])
    told = " ".join(study.paragraphs)
    assert "good reaches all four" in told
    assert "poor misses lattice 0.5 Å and species 15 %, and reaches angles 0° and coordinates 0" in told
    assert f"no better than {ONE_FOR_ALL} in lattice, angles, coordinates and species" in told
    assert "dead decoded nothing." in told
    assert "another data set" in told
    assert "good, property head: R² 1 on held-out compositions, which reaches the aim" in told
    properties = study.tables[
        "Formation energy of held-out compositions of toys; TL-VAE, published, of 27,587 perovskites of the OQMD"
    ].set_index("predicted by")
    assert properties.loc["good, property head", "MAE, eV/atom"] == pytest.approx(0.01)
    assert properties.loc["ridge", "MAE, eV/atom"] == pytest.approx(0.2)
    assert properties.loc[PUBLISHED, ["MAE, eV/atom", "R²"]].tolist() == [0.125, 0.96]
    assert "dead, property head" not in properties.index


def test_published_energies_stand_beside_energies_alone() -> None:
    target = replace(ASKED, name="tolerance factor", unit="")
    study = training_study(target, held_out(HELD, TRUE), {"a": trained(HELD, list(HELD), TRUE)})
    table = study.tables["Tolerance factor of held-out compositions of toys"]
    assert PUBLISHED not in table["predicted by"].tolist()
    assert "MAE" in table


def test_intervals_come_from_whole_groups() -> None:
    values, groups = np.array([1.0, 1.0, 1.0, 5.0]), np.array([0, 0, 0, 1])
    mean, low, high = weighted_mean(values, bootstrap_weights(groups, 4000, 0))
    assert (mean, low, high) == (2.0, 1.0, 5.0), "a quarter of the draws holds one group alone, twice"
    mean, _, _ = weighted_mean(np.array([np.nan, 3.0]), np.ones((1, 2)))
    assert mean == 3.0
    assert np.isnan(weighted_mean(np.full(2, np.nan), np.ones((1, 2)))).all()


def test_reconstructions_that_decode_nothing_have_no_interval() -> None:
    table = reconstruction_table({"dead": reconstruction_errors(HELD, [None] * 4)}, np.ones((3, 4)))
    assert table.loc[0, "lattice, Å: 95 %"] == "–"
    assert table.loc[0, "species right"] == 0


def test_networks_trained_before_have_panels_of_their_own() -> None:
    history = {
        "cell.loss": [2.0],
        "cell.validation_loss": [3.0],
        "loss": [1.0],
        "validation_block.loss": [9.0],
        "kl": [0],
    }
    curves = learning_curves("iMatGen", history)
    assert [(panel, losses) for panel, _, losses in curves] == [
        ("iMatGen, cell", [2.0]), ("iMatGen, cell", [3.0]), ("iMatGen", [1.0])
    ]  # fmt: skip


# --- latent spaces ------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40))
def test_classes_part_the_labels_in_order(values: list[float]) -> None:
    labels = np.array(values)
    classes, names = property_classes(labels)
    assert set(classes) == set(range(len(names)))
    assert 1 <= len(names) <= 3
    for lower in range(len(names) - 1):
        assert labels[classes == lower].max() < labels[classes == lower + 1].min()


def test_maps_count_stable_crystals() -> None:
    study = latent_study(ASKED, LABELS, {name: trained(HELD, list(HELD), None) for name in ("a", "b")})
    assert "7 of 8 training crystals (88 %) count as stable: formation energy ≤ −1.5 eV/atom." in study.paragraphs[1]
    points = study.data["points"]
    assert points["model"].tolist() == ["a"] * 8 + ["b"] * 8
    assert (points["stability"] == "stable").sum() == 14
    assert points["property"].tolist()[:8] == points["property"].tolist()[8:]


# --- the bench ----------------------------------------------------------------------------------


def copies(n: int) -> list[Structure]:
    return [KNOWN[k % len(KNOWN)] for k in range(n)]


def collided(n: int) -> list[Structure]:
    return [Structure(Lattice.cubic(4.0), ["Sr", "O"], [[0, 0, 0], [0, 0, 0.05]]) for _ in range(n)]


NEW = [
    cubic_perovskite(f.split(), 4.0)
    for f in ("Sr Hf O", "Ba Hf O", "Ca Zr O", "Rb Nb O", "K Ta O", "La Ga O", "Ca Hf O", "Sr Sn O")
]


def sample(model: str, method: str, crystals: list[Structure | None], obtained: float = np.nan, **more: int) -> Sample:
    return Sample(model, method, tuple(crystals), np.full(len(crystals), obtained), **more)


@pytest.fixture(scope="module")
def generation() -> Generation:
    """Copies, new crystals, and nothing; half of the perturbations collide."""
    samples = (
        sample("copier", "prior", copies(16)),
        replace(sample("maker", "search", [*NEW, *NEW], -2.02), properties=np.r_[np.full(6, -2.05), np.full(10, -3.0)]),
        sample("dead", "search", [None] * 16, merged=3, like_standards=2),
        sample(BASELINE, PERTURBATION, [*collided(8), *copies(8)], -3.3),
        sample(BASELINE, SUBSTITUTION, [*NEW[:4], *copies(12)], -2.5),
    )
    report = compare_samples({each.name: each.crystals for each in samples}, KNOWN, dissimilarity=False)
    return Generation(samples, report, LABELS, frozenset({"SrHfO3", "CsPbI3"}), "SVR", 0.05, notes=("as planted.",))


def test_shares_and_differences_are_those_of_the_bench(generation: Generation) -> None:
    valid, new = "valid", "valid_unique_novel"
    tables = {
        criterion: decisive_table(generation.bench, criterion).assign(criterion=criterion) for criterion in (valid, new)
    }
    table = pd.concat(tables.values()).set_index(["sample", "criterion"])
    assert table.loc[("copier · prior", valid), "share, %"] == 100
    assert table.loc[("copier · prior", valid), "verdict"] == "above"
    assert table.loc[("copier · prior", new), "share, %"] == 0
    assert table.loc[("maker · search", new), "count"] == "8 of 16", "duplicates count once"
    assert table.loc[("maker · search", new), "difference"] == 50
    assert table.loc[("dead · search", valid), "verdict"] == "below"
    assert table.loc[(PERTURBATION, valid), "verdict"] == "the baseline"
    assert np.isnan(table.loc[(PERTURBATION, valid), "difference"])
    shares = shares_table(generation).set_index("sample")
    assert shares.loc["dead · search", ["like a standard", "merged"]].tolist() == [2, 3]
    assert shares.loc["maker · search", "held-out formulas"] == 1
    assert "dissimilar" not in shares
    assert shares.loc["copier · prior", "octahedra"] == 100


def test_the_plain_statement_follows_from_the_bench(generation: Generation) -> None:
    told = " ".join(bench_study(ASKED, generation).paragraphs)
    assert (
        f"The share of valid crystals is above that of {PERTURBATION} for 2 of 3 samples: copier · prior and maker"
        in told
    )
    assert (
        f"The share of valid, unique and novel crystals is above that of {PERTURBATION} for 1 of 3 samples: maker"
        in told
    )
    assert "dead · search: 0.0 % valid, below random perturbation (difference −50.0 points" in told
    assert "Ionic substitution, which needs no model, gives 25.0 %, and 1 of 3 samples more than that." in told
    assert "Sampling: as planted." in told
    dead = tuple(each for each in generation.samples if each.model in ("dead", BASELINE))
    alone = bench_study(ASKED, replace(generation, samples=dead)).paragraphs
    assert any(f"valid crystals is not above that of {PERTURBATION} for any of 1 samples" in each for each in alone)


def test_gallery_shows_what_passed_and_is_nearest_to_target(generation: Generation) -> None:
    chosen = chosen_for_gallery(ASKED, generation)
    assert len(chosen) == IN_GALLERY
    near = {crystal.composition.reduced_formula for crystal in NEW[:6]}
    assert {crystal.composition.reduced_formula for crystal in chosen.values()} <= near
    assert all(title.endswith("−2.05\nmaker · search") for title in chosen)
    nothing = replace(generation, samples=generation.samples[2:])
    assert [chart.kind for chart in bench_study(ASKED, nothing).charts] == ["bars"]


# --- asked for and obtained ---------------------------------------------------------------------


def test_near_target_are_counted_valid_unique_and_novel_ones(generation: Generation) -> None:
    table = nearness_table(ASKED, generation).set_index("sample")
    assert table.loc["training crystals", ["crystals", "near"]].tolist() == [8, 1]
    assert table.loc["maker · search", ["crystals", "near"]].tolist() == [8, 6]
    assert table.loc["maker · search", "median, eV/atom"] == -2.05
    assert table.loc["copier · prior", "crystals"] == 0
    assert np.isnan(table.loc["dead · search", "share, %"])
    exact = binomtest(6, 8).proportion_ci(method="wilson")
    assert table.loc["maker · search", "95 %"] == f"{100 * exact.low:.1f} to {100 * exact.high:.1f}"


def test_sample_is_called_better_where_intervals_are_apart(generation: Generation) -> None:
    told = " ".join(nearness_study(ASKED, generation).paragraphs)
    assert "No sample has a larger share" in told, "6 of 8 against 1 of 8 is not enough"
    many = replace(generation, labels=np.tile(LABELS, 20))
    told = " ".join(nearness_study(ASKED, many).paragraphs)
    assert "their intervals apart: maker · search." in told
    assert "Nothing was relaxed" in told
    assert np.isnan(near_share(np.array([]), ASKED)).all()


def relaxed(obtained: float) -> RelaxedCrystals:
    table = pd.DataFrame(
        {
            "sample": "maker · search", "index": range(3), "converged": [True, True, False], "rmsd": [0.1, 0.3, np.nan],
            "volume_change": [0.02, 0.04, np.nan], "property": [obtained, obtained, np.nan],
        }
    )  # fmt: skip
    return RelaxedCrystals(table, "a potential")


def test_relaxed_crystals_have_their_motion_and_their_property(generation: Generation) -> None:
    study = nearness_study(ASKED, replace(generation, relaxed=relaxed(-1.95)))
    row = study.tables["After relaxation"].iloc[0]
    assert row[["relaxed", "converged", "near", "crystals"]].tolist() == [3, 2, 2, 2]
    assert row["RMSD, Å"] == pytest.approx(0.2)
    assert row["volume, %"] == pytest.approx(3)
    assert any("Relaxed: 3 crystals, 2 of them to convergence, by a potential." in each for each in study.paragraphs)
    counts = study.data["histogram"].groupby("crystals").size().to_dict()
    assert counts == {"training crystals": 8, "generated, predicted": 8, "generated, relaxed": 2}


def test_energies_that_cannot_be_compared_are_not_shown(generation: Generation) -> None:
    study = nearness_study(ASKED, replace(generation, relaxed=relaxed(np.nan)))
    assert "near" not in study.tables["After relaxation"]
    assert any("cannot be compared" in each for each in study.paragraphs)


def test_crystals_of_elements_without_a_reference_are_counted(generation: Generation) -> None:
    table = relaxed(-1.95).table.assign(property=[-1.95, np.nan, np.nan])
    study = nearness_study(ASKED, replace(generation, relaxed=RelaxedCrystals(table, "a potential")))
    assert any(each.startswith("1 of them hold elements") for each in study.paragraphs)
    assert study.tables["After relaxation"]["crystals"].tolist() == [1]


def test_with_nothing_relaxed_the_table_is_empty(generation: Generation) -> None:
    empty = RelaxedCrystals(pd.DataFrame(columns=relaxed(0).table.columns), "a potential")
    study = nearness_study(ASKED, replace(generation, relaxed=empty))
    assert any("Relaxed: 0 crystals" in each for each in study.paragraphs)


# --- words and records --------------------------------------------------------------------------


def test_words() -> None:
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert short_number(-1.2345) == "−1.23"
    assert short_number(np.nan) == "–"
    assert replace(ASKED, unit="").with_unit(0.5) == "0.5"


def test_records_keep_the_sections_and_every_chart_is_drawn(generation: Generation, tmp_path: Path) -> None:
    models = {"good": trained(HELD, list(HELD), TRUE), "dead": trained(HELD, [None] * 4, None)}
    studies = (
        training_study(ASKED, held_out(HELD, TRUE), models),
        latent_study(ASKED, LABELS, models),
        bench_study(ASKED, replace(generation, samples=generation.samples[2:])),  # no gallery: an empty table
        bench_study(ASKED, generation),
        nearness_study(ASKED, generation),
    )
    run = write_record(
        tmp_path / "run", synthetic_comparison(n=24, repeats=1), task=TASK, dataset=DATASET, studies=studies
    )
    for written, read in zip(studies, run.studies, strict=True):
        assert (read.title, read.paragraphs, read.charts) == (written.title, written.paragraphs, written.charts)
        for name, frame in written.data.items():
            assert len(read.data[name]) == len(frame)
        for chart in read.charts:
            assert draw_chart(read, chart).axes
    assert [chart.kind for study in studies for chart in study.charts].count("crystals") == 1
