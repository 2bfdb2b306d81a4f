"""`qperov design` at its smallest: record, report, files; models taken again; bad input."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.emt import EMT
from pymatgen.core import Lattice, Structure
from sklearn.dummy import DummyRegressor
from toy_representation import ToyCells, toy_crystals
from typer.testing import CliRunner

import qperov
from qperov.commands.design import design
from qperov.commands.main import app
from qperov.errors import EmptyDatasetError, MissingLabelError
from qperov.generative.bench.comparison import PERTURBATION, SUBSTITUTION, compare_samples
from qperov.generative.models.base import GenerativeModel
from qperov.generative.models.ftcp_vae import FTCPVAE
from qperov.generative.representations.ftcp import FTCP
from qperov.records.record import Record, read_record
from qperov.reports import build_report
from qperov.studies.inverse_design.generators import presets, train_model
from qperov.studies.inverse_design.results import Generation, Sample
from qperov.studies.inverse_design.samples import add_property, draw_baselines, relax_samples, write_samples
from qperov.studies.inverse_design.task import (
    Task,
    formulas_of,
    keep_representable,
    prepare,
    split,
    target_of,
    turn_right_handed,
)


@pytest.fixture(scope="module")
def toys() -> qperov.datasets.CrystalDataset:
    """Sixty crystals of eight formulas."""
    structures, y = toy_crystals(60)
    names = tuple(f"toy-{k}" for k in range(60))
    return qperov.datasets.CrystalDataset(
        "toys", tuple(structures), names, y, "formation_energy", "eV/atom", known_groups=np.arange(60)
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Record:
    out = tmp_path_factory.mktemp("out")
    options = "--models ftcp --quick --count 4 --folds 2 --most 40 --no-dissimilarity"
    done = CliRunner().invoke(app, ["design", "abx3_radii", "--out", str(out), *options.split()])
    assert done.exit_code == 0, done.output
    assert str(out / "run-1" / "report.html") in done.output.replace("\n", "")
    return read_record(out / "run-1")


# --- the whole of it ----------------------------------------------------------------------------


def test_the_record_holds_comparison_and_sections(run: Record) -> None:
    assert [study.title for study in run.studies] == [
        "Generators: reconstruction and property",
        "Latent spaces of the generators",
        "Generated crystals on the bench",
        "Asked for and obtained",
    ]
    assert run.task["models"] == ["ftcp"]
    assert run.command.split()[0] == "qperov"
    models = set(run.comparison.table["model"])
    assert {"Ridge · composition", "SVR RBF · composition and geometry"} <= models
    assert len(run.compositions) == 40
    assert not (run.path.parent / "unfinished").exists()


def test_every_sample_stands_beside_two_baselines(run: Record) -> None:
    shares = run.studies[2].tables["Shares by criterion, %"]
    assert shares["sample"].tolist() == [
        *(f"FTCP · {method}" for method in ("prior", "posterior", "local", "slerp", "search")),
        "random perturbation",
        "ionic substitution",
    ]  # fmt: skip
    counts = next(iter(run.studies[2].tables.values()))["count"]
    assert {text.split(" of ")[1] for text in counts} == {"4"}


def test_held_out_formulas_are_a_fifth(run: Record) -> None:
    _, properties = run.studies[0].tables.values()
    assert "32 crystals of abx3_radii were trained on, 8 held out" in run.studies[0].paragraphs[0]
    assert "FTCP, property head" in properties["predicted by"].tolist()


def test_the_report_is_rebuilt_from_the_record_alone(run: Record, tmp_path: Path) -> None:
    again = build_report(run, out=tmp_path / "again.html")
    assert again.read_bytes() == (run.path / "report.html").read_bytes()


# --- models are taken again ---------------------------------------------------------------------


def small(**changes: object) -> FTCPVAE:
    return FTCPVAE(ToyCells(), latent=4, hidden=8, epochs=2, **changes)


def test_trained_model_is_taken_again_if_settings_and_data_fit(
    toys: qperov.datasets.CrystalDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, data = Task(out=tmp_path), toys
    first, seconds = train_model(task, "FTCP", small(), data)
    calls = []
    fit = GenerativeModel.fit
    monkeypatch.setattr(GenerativeModel, "fit", lambda self, *args, **more: calls.append(1) or fit(self, *args, **more))
    same, again = train_model(task, "FTCP", small(), data)
    assert (calls, again) == ([], seconds)
    np.testing.assert_array_equal(first.predict(data.structures), same.predict(data.structures))
    assert same.history_ == first.history_
    train_model(task, "FTCP", small(random_state=1), data)
    train_model(task, "FTCP", small(), replace(data, y=data.y + 1))
    assert len(calls) == 2
    assert len(list((tmp_path / "models").glob("*.safetensors"))) == 3


# --- data ---------------------------------------------------------------------------------------


def test_no_formula_is_on_both_sides() -> None:
    data = qperov.load_dataset("abx3_radii").take(range(0, 1605, 20))
    data = replace(data, ids=tuple(f"x{k}" for k in range(len(data))))
    twice = qperov.datasets.CrystalDataset(
        "twice", data.structures * 2, tuple(f"x{k}" for k in range(2 * len(data))), np.r_[data.y, data.y], "t",
        known_groups=np.arange(2 * len(data)),
    )  # fmt: skip
    parts = split(Task(), twice)
    train, held = (set(formulas_of(each.structures)) for each in (parts.training, parts.held))
    assert not train & held
    assert len(parts.training) + len(parts.held) == len(twice)
    assert len(held) == pytest.approx(0.2 * len(train | held), abs=1)
    other = split(Task(random_state=1), twice)
    assert set(formulas_of(other.held.structures)) != held
    with pytest.raises(EmptyDatasetError, match="9 formulas, and 10 are needed"):
        split(Task(), data.take(range(9)))


def test_crystals_without_representation_are_named(toys: qperov.datasets.CrystalDataset) -> None:
    crystals = list(toys.structures)
    for row in (3, 58):
        crystals[row] = crystals[row].copy()
        crystals[row].replace(4, "Cl")
    mixed = replace(toys, structures=tuple(crystals))
    models = {"FTCP": FTCPVAE(FTCP(max_elements=3)), "wide": FTCPVAE(FTCP())}
    kept = keep_representable(mixed, models)
    assert set(toys.ids) - set(kept.ids) == {"toy-3", "toy-58"}
    assert len(kept.y) == 58
    assert ["toy-3" in str(issue) and "does not fit FTCP: 4 elements" in str(issue) for issue in kept.issues] == [
        True,
        False,
    ]
    assert keep_representable(toys, models) is toys


def test_left_handed_cells_stay_the_same_crystal() -> None:
    lattice = Lattice(-Lattice.from_parameters(4, 5, 6, 80, 95, 110).matrix)
    crystal = Structure(lattice, ["Na", "Cl", "K"], [[0.2, 0.3, 0.1], [0.7, 0.4, 0.6], [0.1, 0.8, 0.5]])
    turned = turn_right_handed(crystal)
    assert np.linalg.det(turned.lattice.matrix) > 0
    np.testing.assert_allclose(turned.cart_coords, crystal.cart_coords)
    assert turn_right_handed(turned) is turned


def test_labels_are_needed(toys: qperov.datasets.CrystalDataset) -> None:
    with pytest.raises(MissingLabelError, match="name a target"):
        prepare(Task(), replace(toys, y=None, target=None, unit=None))


def test_defaults_of_what_is_asked_depend_on_the_property(toys: qperov.datasets.CrystalDataset) -> None:
    target = target_of(Task(), toys, toys.y)
    assert (target.value, target.tolerance, target.threshold, target.unit) == (-2.0, 0.1, -1.5, "eV/atom")
    other = target_of(Task(tolerance=0.3), replace(toys, target="t", unit=None), toys.y)
    assert other.value == pytest.approx(np.quantile(toys.y, 0.1))
    assert other.tolerance == 0.3
    assert other.threshold == pytest.approx(np.median(toys.y))


def test_the_command_offers_every_setting_with_its_default() -> None:
    offered = inspect.signature(design).parameters
    renamed = {"target": "target_value", "n_jobs": "jobs", "random_state": "seed"}
    for field in fields(Task):
        default = offered[renamed.get(field.name, field.name)].default
        assert (tuple(default.split(",")) if field.name == "models" else default) == field.default, field.name
    with pytest.raises(ValueError, match="no model 'gan'"):
        presets(Task(models=("gan",)), 0.0)
    done = CliRunner().invoke(app, ["design", "abx3_radii", "--models", "gan"])
    assert done.exit_code != 0


# --- samples ------------------------------------------------------------------------------------


def metal(symbols: list[str], edge: float, shift: float = 0.0) -> Structure:
    return Structure(Lattice.cubic(edge), symbols, [[shift, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])


@pytest.fixture(scope="module")
def metals() -> Generation:
    """Alloys that the effective-medium potential knows, and one output that is no crystal."""
    crystals = (metal(["Au", "Cu", "Cu", "Cu"], 3.9, 0.03), None, metal(["Ag", "Pd", "Pd", "Pd"], 3.95))
    sample = Sample("toy", "search", crystals, np.full(3, np.nan))
    samples = dict.fromkeys((sample.name, PERTURBATION, SUBSTITUTION), crystals)
    report = compare_samples(samples, [metal(["Al"] * 4, 4.05)] * 3, perovskite=False, dissimilarity=False)
    return Generation((sample,), report, np.zeros(3), frozenset(), "judge", 0.1)


def test_relaxed_energies_refer_to_the_elements(
    metals: Generation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elements = {"Au": 0.0, "Cu": 0.0}
    found = relax_samples(metals, tmp_path / "r.db", most=5, elements=elements, potential=EMT())
    table = found.table.set_index("index")
    assert table.index.tolist() == [0, 2]
    assert table["converged"].all()
    assert (table["rmsd"] < 0.2).all()
    assert np.isnan(table.loc[2, "property"]), "no reference for Ag and Pd"
    assert np.isfinite(table.loc[0, "property"])
    monkeypatch.setattr(EMT, "calculate", lambda *args, **more: pytest.fail("relaxed again"))
    same = relax_samples(metals, tmp_path / "r.db", most=5, elements=elements, potential=EMT())
    np.testing.assert_array_equal(same.table["property"], found.table["property"])
    shifted = relax_samples(
        metals, tmp_path / "r.db", most=5, elements={"Au": 1.0, "Cu": 1.0}, potential=EMT()
    ).table.set_index("index")
    assert shifted.loc[0, "property"] == pytest.approx(table.loc[0, "property"] - 1)


def test_only_valid_crystals_have_a_predicted_property(metals: Generation) -> None:
    judge = DummyRegressor(strategy="constant", constant=-1.0).fit([[0.0]], [0.0])
    sample = add_property(metals.samples[0], metals.bench, judge)
    np.testing.assert_array_equal(sample.properties, [-1.0, np.nan, -1.0])


def test_crystals_are_written_for_other_programs(metals: Generation, tmp_path: Path) -> None:
    write_samples(metals, tmp_path, "tl-vae")
    folder = tmp_path / "toy-search"
    assert sorted(path.name for path in (folder / "cif").iterdir()) == ["toy-search-0000.cif", "toy-search-0002.cif"]
    assert len(list((folder / "poscar").iterdir())) == 2
    assert (folder / "dft" / "toy-search-0000").is_dir()
    assert len((folder / "verdicts.csv").read_text().splitlines()) >= 4


def test_baselines_are_as_many_as_was_asked() -> None:
    structures = qperov.load_dataset("abx3_radii").structures[:20]
    made = draw_baselines(structures, 5, 0)
    assert [(each.name, len(each.crystals)) for each in made] == [("random perturbation", 5), ("ionic substitution", 5)]


def test_bad_cells_in_a_folder_are_told(tmp_path: Path) -> None:
    structures, y = toy_crystals(3)
    lines = ["id,e"]
    for k, (structure, value) in enumerate(zip(structures, y, strict=True)):
        structure.to(filename=str(tmp_path / f"c{k}.cif"))
        lines.append(f"c{k},{value}")
    (tmp_path / "bad.cif").write_text((tmp_path / "c0.cif").read_text().replace("Br", "Zz").replace("I", "Zz"))
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    labels = ["--labels", str(tmp_path / "labels.csv"), "--target", "e", "--unit", "eV/atom"]
    done = CliRunner().invoke(app, ["design", str(tmp_path), *labels, "--out", str(tmp_path / "out")])
    assert "bad.cif" in done.output
    assert isinstance(done.exception, EmptyDatasetError)
    assert "10 are needed" in str(done.exception)
