"""The experiment on inverse design at its smallest: record, report, files; models taken again; bad input."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from ase.calculators.emt import EMT
from pymatgen.core import Lattice, Structure
from sklearn.dummy import DummyRegressor
from toy_representation import ToyCells, toy_crystals

import qperov
from qperov.errors import EmptyDatasetError, MissingLabelError, UnknownElementError
from qperov.generative.bench.comparison import PERTURBATION, SUBSTITUTION, compare_samples
from qperov.generative.models.base import GenerativeModel
from qperov.generative.models.ftcp_vae import FTCPVAE
from qperov.generative.representations.ftcp import FTCP
from qperov.records.record import Record, read_record
from qperov.reports import build_report
from qperov.studies.inverse_design.results import Generation, Sample

EXPERIMENTS = Path(__file__).parents[1] / "experiments"


@pytest.fixture(scope="module")
def design() -> Iterator[ModuleType]:
    """The script, which is no part of the package; beside it stands one that it imports."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(EXPERIMENTS)
        spec = importlib.util.spec_from_file_location("experiment_inverse_design", EXPERIMENTS / "inverse_design.py")
        module = importlib.util.module_from_spec(spec)
        patched.setitem(sys.modules, spec.name, module)  # dataclasses look their module up
        spec.loader.exec_module(module)
        yield module


@pytest.fixture(scope="module")
def toys() -> qperov.datasets.CrystalDataset:
    """Sixty crystals of eight formulas."""
    structures, y = toy_crystals(60)
    names = tuple(f"toy-{k}" for k in range(60))
    return qperov.datasets.CrystalDataset(
        "toys", tuple(structures), names, y, "formation_energy", "eV/atom", known_groups=np.arange(60)
    )


@pytest.fixture(scope="module")
def run(design: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Record:
    out = tmp_path_factory.mktemp("out")
    task = design.Task(
        out=out, data="abx3_radii", models=("ftcp",), quick=True, count=4, folds=2, most=40, dissimilarity=False
    )
    page = design.main(task)
    assert page == out / "run-1" / "report.html"
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
    assert run.command == "python experiments/inverse_design.py"
    models = set(run.comparison.table["model"])
    assert {"Ridge · composition", "SVR RBF · composition and geometry"} <= models
    assert len(run.compositions) == 40
    assert not (run.path.parent / "unfinished").exists()


def test_every_sample_has_the_same_size_and_stands_beside_two_baselines(run: Record) -> None:
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


def test_a_trained_model_is_taken_again_if_settings_and_data_fit(
    design: ModuleType, toys: qperov.datasets.CrystalDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, data = design.Task(out=tmp_path), toys
    first, seconds = design.trained_model(task, "FTCP", small(), data)
    calls = []
    fit = GenerativeModel.fit
    monkeypatch.setattr(GenerativeModel, "fit", lambda self, *args, **more: calls.append(1) or fit(self, *args, **more))
    same, again = design.trained_model(task, "FTCP", small(), data)
    assert (calls, again) == ([], seconds)
    np.testing.assert_array_equal(first.predict(data.structures), same.predict(data.structures))
    assert same.history_ == first.history_
    design.trained_model(task, "FTCP", small(random_state=1), data)
    design.trained_model(task, "FTCP", small(), replace(data, y=data.y + 1))
    assert len(calls) == 2
    assert len(list((tmp_path / "models").glob("*.safetensors"))) == 3


# --- data ---------------------------------------------------------------------------------------


def test_no_formula_is_on_both_sides(design: ModuleType) -> None:
    data = qperov.load_dataset("abx3_radii").take(range(0, 1605, 20))
    data = replace(data, ids=tuple(f"x{k}" for k in range(len(data))))
    twice = qperov.datasets.CrystalDataset(
        "twice", data.structures * 2, tuple(f"x{k}" for k in range(2 * len(data))), np.r_[data.y, data.y], "t",
        known_groups=np.arange(2 * len(data)),
    )  # fmt: skip
    parts = design.split(design.Task(), twice)
    train, held = (set(design.formulas_of(each.structures)) for each in (parts.training, parts.held))
    assert not train & held
    assert len(parts.training) + len(parts.held) == len(twice)
    assert len(held) == pytest.approx(0.2 * len(train | held), abs=1)
    other = design.split(design.Task(seed=1), twice)
    assert set(design.formulas_of(other.held.structures)) != held
    with pytest.raises(EmptyDatasetError, match="9 formulas, and 10 are needed"):
        design.split(design.Task(), data.take(range(9)))


def test_crystals_that_fit_no_representation_are_left_out_by_name(
    design: ModuleType, toys: qperov.datasets.CrystalDataset
) -> None:
    crystals = list(toys.structures)
    for row in (3, 58):
        crystals[row] = crystals[row].copy()
        crystals[row].replace(4, "Cl")
    mixed = replace(toys, structures=tuple(crystals))
    models = {"FTCP": FTCPVAE(FTCP(max_elements=3)), "wide": FTCPVAE(FTCP())}
    kept = design.represented(mixed, models)
    assert set(toys.ids) - set(kept.ids) == {"toy-3", "toy-58"}
    assert len(kept.y) == 58
    assert ["toy-3" in str(issue) and "does not fit FTCP: 4 elements" in str(issue) for issue in kept.issues] == [
        True,
        False,
    ]
    assert design.represented(toys, models) is toys


def test_left_handed_cells_become_right_handed_and_stay_the_same_crystal(design: ModuleType) -> None:
    lattice = Lattice(-Lattice.from_parameters(4, 5, 6, 80, 95, 110).matrix)
    crystal = Structure(lattice, ["Na", "Cl", "K"], [[0.2, 0.3, 0.1], [0.7, 0.4, 0.6], [0.1, 0.8, 0.5]])
    turned = design.right_handed(crystal)
    assert np.linalg.det(turned.lattice.matrix) > 0
    np.testing.assert_allclose(turned.cart_coords, crystal.cart_coords)
    assert design.right_handed(turned) is turned


def test_labels_are_needed(design: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy_crystals(1)[0][0].to(filename=str(tmp_path / "one.cif"))
    with pytest.raises(MissingLabelError, match="name a target"):
        design.load(design.Task(data=str(tmp_path)))


<<<<<<< HEAD
def test_defaults_of_what_is_asked_depend_on_the_property(
    design: ModuleType, toys: qperov.datasets.CrystalDataset
) -> None:
    asked = design.asked_of(design.Task(), toys, toys.y)
    assert (asked.value, asked.tolerance, asked.threshold, asked.unit) == (-2.0, 0.1, -1.5, "eV/atom")
    other = design.asked_of(design.Task(tolerance=0.3), replace(toys, target="t", unit=None), toys.y)
=======
def test_defaults_of_what_is_asked_depend_on_the_property(design: ModuleType, toys: qperov.CrystalDataset) -> None:
    target = design.target_of(design.Task(), toys, toys.y)
    assert (target.value, target.tolerance, target.threshold, target.unit) == (-2.0, 0.1, -1.5, "eV/atom")
    other = design.target_of(design.Task(tolerance=0.3), replace(toys, target="t", unit=None), toys.y)
>>>>>>> 1f6bed4 (Bench: comparison and judgement instead of benching, judging and relaxation_check; intervals of shares by scipy)
    assert other.value == pytest.approx(np.quantile(toys.y, 0.1))
    assert other.tolerance == 0.3
    assert other.threshold == pytest.approx(np.median(toys.y))


def test_the_command_line_gives_the_task(design: ModuleType) -> None:
    task = design.parsed(["--models", "ftcp, tlvae", "--target-value", "-1", "--no-dissimilarity", "--relax"])
    assert (task.models, task.target_value, task.dissimilarity, task.relax) == (("ftcp", "tlvae"), -1.0, False, True)
    assert design.parsed([]) == design.Task()
    with pytest.raises(ValueError, match="no model 'gan'"):
        design.presets(design.Task(models=("gan",)), 0.0)


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


def test_relaxed_crystals_are_kept_and_their_energies_refer_to_the_elements(
    design: ModuleType, metals: Generation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = sys.modules["inverse_design_samples"]
    elements = {"Au": 0.0, "Cu": 0.0}
    found = steps.relaxed(metals, tmp_path / "r.db", most=5, elements=elements, potential=EMT())
    table = found.table.set_index("index")
    assert table.index.tolist() == [0, 2]
    assert table["converged"].all()
    assert (table["rmsd"] < 0.2).all()
    assert np.isnan(table.loc[2, "property"]), "no reference for Ag and Pd"
    assert np.isfinite(table.loc[0, "property"])
    monkeypatch.setattr(EMT, "calculate", lambda *args, **more: pytest.fail("relaxed again"))
    same = steps.relaxed(metals, tmp_path / "r.db", most=5, elements=elements, potential=EMT())
    np.testing.assert_array_equal(same.table["property"], found.table["property"])
    shifted = steps.relaxed(
        metals, tmp_path / "r.db", most=5, elements={"Au": 1.0, "Cu": 1.0}, potential=EMT()
    ).table.set_index("index")
    assert shifted.loc[0, "property"] == pytest.approx(table.loc[0, "property"] - 1)


def test_only_valid_crystals_have_a_predicted_property(design: ModuleType, metals: Generation) -> None:
    judge = DummyRegressor(strategy="constant", constant=-1.0).fit([[0.0]], [0.0])
    sample = design.with_property(metals.samples[0], metals.bench, judge)
    np.testing.assert_array_equal(sample.properties, [-1.0, np.nan, -1.0])


def test_crystals_are_written_for_other_programs(design: ModuleType, metals: Generation, tmp_path: Path) -> None:
    design.write_samples(metals, tmp_path, "tl-vae")
    folder = tmp_path / "toy-search"
    assert sorted(path.name for path in (folder / "cif").iterdir()) == ["toy-search-0000.cif", "toy-search-0002.cif"]
    assert len(list((folder / "poscar").iterdir())) == 2
    assert (folder / "dft" / "toy-search-0000").is_dir()
    assert len((folder / "verdicts.csv").read_text().splitlines()) >= 4


def test_baselines_are_as_many_as_was_asked(design: ModuleType) -> None:
    structures = qperov.load_dataset("abx3_radii").structures[:20]
    made = design.baselines(structures, 5, 0)
    assert [(each.name, len(each.crystals)) for each in made] == [("random perturbation", 5), ("ionic substitution", 5)]


def test_bad_cells_in_a_folder_are_issues_of_the_run(design: ModuleType, tmp_path: Path) -> None:
    structures, y = toy_crystals(3)
    lines = ["id,e"]
    for k, (structure, value) in enumerate(zip(structures, y, strict=True)):
        structure.to(filename=str(tmp_path / f"c{k}.cif"))
        lines.append(f"c{k},{value}")
    (tmp_path / "bad.cif").write_text((tmp_path / "c0.cif").read_text().replace("Br", "Zz").replace("I", "Zz"))
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    dataset = design.load(design.Task(data=str(tmp_path), target="e", unit="eV/atom"))
    assert len(dataset) == 3
    assert dataset.unit == "eV/atom"
    assert any(isinstance(issue, UnknownElementError) or "bad" in str(issue) for issue in dataset.issues)
