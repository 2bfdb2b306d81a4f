"""Measured patterns as a dataset: read from folders, embedded, grouped, stored, compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from typer.testing import CliRunner

import qperov
from qperov.commands.main import app
from qperov.datasets.dataset import CrystalDataset, require_crystals
from qperov.datasets.embedded.scans import embedded_pattern_set, read_pattern_set, write_pattern_set
from qperov.datasets.pattern_dataset import PatternDataset, describe_patterns, near_identical, series_of
from qperov.datasets.store import Store
from qperov.descriptors.scans.profile import MeasuredProfile
from qperov.diffraction.measured import MeasuredPattern
from qperov.errors import (
    DatasetKindError,
    DatasetNameError,
    DuplicateIdError,
    EmptyDatasetError,
    IntensityError,
    InvalidLabelError,
    MissingLabelError,
    PatternRangeError,
    StoreError,
    WavelengthError,
)
from qperov.records import write_record
from qperov.reports import build_report

DATA = Path(__file__).parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not here")
ANGLES = 20 + 0.05 * np.arange(600)


def peaks(*centres: float, seed: int = 0, scale: float = 1000.0) -> np.ndarray:
    clean = 50 + scale * sum(np.exp(-0.5 * ((ANGLES - centre) / 0.15) ** 2) for centre in centres)
    return np.random.default_rng(seed).poisson(clean).astype(float)


def write_scan(path: Path, counts: np.ndarray, head: str = "# lambda = 1.5406\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{x:.2f} {y:g}\n" for x, y in zip(ANGLES, counts, strict=False))
    path.write_text(head + rows, encoding="utf-8")
    return path


def series(n: int = 6) -> PatternDataset:
    patterns = [MeasuredPattern(ANGLES, peaks(25 + i, 40 + i, seed=i), 1.5406, None, f"s{i}") for i in range(n)]
    return PatternDataset(
        "series",
        tuple(patterns),
        tuple(f"s{i}" for i in range(n)),
        y=np.arange(float(n)),
        target="a",
        unit="Å",
        provenance=("made",) * n,
        cautions=("noise",),
        known_groups=np.arange(n) // 2,
        sources=("nobody",),
    )


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Two films twice each, one of them in two folders, beside a table."""
    folder = tmp_path / "scans"
    for name, centre, seed in (("a/FAPbI1", 25, 0), ("a/FAPbI2", 25, 1), ("b/CsPb1", 33, 2), ("b/CsPb2", 36, 3)):
        write_scan(folder / f"{name}.xy", peaks(centre, centre + 12, seed=seed))
    table = "file,size_nm,phase,batch\na/FAPbI1.xy,10,cubic,x\na/FAPbI2.xy,11,cubic,x\n"
    (folder / "labels.csv").write_text(table + "b/CsPb1.xy,20,layered,y\nb/CsPb2.xy,nine,layered,x\n", encoding="utf-8")
    return folder


# --- reading ------------------------------------------------------------------------------------


def test_a_folder_of_scans_is_a_dataset(scans: Path) -> None:
    dataset = qperov.read(scans)
    assert isinstance(dataset, PatternDataset)
    assert dataset.ids == ("a/FAPbI1", "a/FAPbI2", "b/CsPb1", "b/CsPb2")
    assert dataset.groups.tolist() == [0, 0, 1, 2]
    assert dataset.patterns[0].wavelength == 1.5406
    assert dataset.y is None
    assert not dataset.issues
    with pytest.raises(DatasetKindError, match="where crystals are needed"):
        require_crystals(dataset)


def test_labels_of_scans_are_numbers_classes_or_folders(scans: Path) -> None:
    sizes = qperov.read(scans, target="size_nm", unit="nm")
    assert sizes.y.tolist() == [10, 11, 20]
    assert sizes.unit == "nm"
    assert [type(issue) for issue in sizes.issues] == [InvalidLabelError]
    phases = qperov.read(scans, target="phase", labels=scans / "labels.csv", group_column="batch")
    assert phases.y.tolist() == ["cubic", "cubic", "layered", "layered"]
    assert phases.groups.tolist() == [0, 0, 1, 0]
    folders = qperov.read(scans, target="space_group", labels="folders", groups="names")
    assert folders.y.tolist() == ["a", "a", "b", "b"]
    assert folders.groups.tolist() == [0, 0, 1, 1]
    assert len({sizes.fingerprint, phases.fingerprint, folders.fingerprint}) == 3


def test_scans_that_cannot_be_used_are_listed_and_others_go_on(scans: Path) -> None:
    write_scan(scans / "b" / "dark.xy", peaks(30), head="")
    write_scan(scans / "b" / "short.xy", peaks(30)[:100])
    write_scan(scans / "b" / "flat.xy", np.minimum(peaks(30), 700))
    write_scan(scans / "b" / "rate.csv", peaks(30), head="# lambda = 1.5406\n# 2theta cps\n")
    write_scan(scans / "b" / "count.csv", peaks(31), head="# lambda = 1.5406\n# 2theta counts\n")
    write_scan(scans / "b" / "counts.csv", peaks(32), head="# lambda = 1.5406\n# 2theta counts\n")
    write_scan(scans / "b" / "CsPb1.txt", peaks(33))
    write_scan(scans / "loose.xy", peaks(30))
    dataset = qperov.read(scans, labels="folders", two_theta_range=(21, 49))
    assert len(dataset) == 6
    found = {type(issue): issue.path for issue in dataset.issues}
    assert found[WavelengthError].endswith("dark.xy")
    assert found[PatternRangeError] == "b/short"
    assert found[DuplicateIdError].endswith("CsPb1.xy")
    assert found[MissingLabelError] == "loose"
    intensities = {issue.path for issue in dataset.issues if isinstance(issue, IntensityError)}
    assert intensities == {"b/rate", str(scans / "b" / "flat.xy")}
    with pytest.raises(DuplicateIdError, match="reading is strict"):
        qperov.read(scans, strict=True)


def test_nothing_usable_says_why(tmp_path: Path) -> None:
    write_scan(tmp_path / "scan.xy", peaks(30), head="")
    with pytest.raises(EmptyDatasetError, match="1 WavelengthError"):
        qperov.read(tmp_path)
    with pytest.raises(ValueError, match="scans do not hold 'size'"):
        qperov.read(tmp_path, target="size", wavelength="CuKa")
    with pytest.raises(ValueError, match="a column of a table"):
        qperov.read(tmp_path, group_column="batch", wavelength="CuKa")
    with pytest.raises(ValueError, match="groups must be one of"):
        qperov.read(tmp_path, groups="phase", wavelength="CuKa")


def test_a_folder_of_notes_is_no_folder_of_scans(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing here\n", encoding="utf-8")
    with pytest.raises(EmptyDatasetError, match="no crystal files found"):
        qperov.read(tmp_path)


@needs_data
def test_the_films_are_read_by_folders() -> None:
    options = {"labels": "folders", "wavelength": "CuKa", "groups": "names"}
    refused = qperov.read(DATA / "films", **options)
    assert (len(refused), len(refused.issues)) == (50, 3)
    dataset = qperov.read(DATA / "films", skip_bad_lines=True, **options)
    assert (len(dataset), len(dataset.issues)) == (53, 0)
    assert sum("bad line" in caution for caution in dataset.cautions) == 4
    shipped = qperov.load_dataset("films")
    assert np.array_equal([p.intensity.sum() for p in dataset.patterns], [p.intensity.sum() for p in shipped.patterns])


# --- the dataset --------------------------------------------------------------------------------


def test_take_and_fingerprint_of_patterns() -> None:
    dataset = series()
    part = dataset.take([3, 1])
    assert part.ids == ("s3", "s1")
    assert part.y.tolist() == [3, 1]
    assert part.groups.tolist() == [1, 0]
    assert part.sources == dataset.sources
    louder = replace(dataset.patterns[0], intensity=dataset.patterns[0].intensity + 1)
    other = replace(dataset, patterns=(louder, *dataset.patterns[1:]))
    moved = replace(dataset, patterns=(replace(dataset.patterns[0], wavelength=1.6), *dataset.patterns[1:]))
    assert len({dataset.fingerprint, other.fingerprint, moved.fingerprint, part.fingerprint}) == 4
    assert series().fingerprint == dataset.fingerprint
    assert dataset.about["sources"] == ["nobody"]
    with pytest.raises(ValueError, match="6 patterns, but lengths"):
        replace(dataset, ids=("a",))


def test_repeats_are_found_across_ranges_but_not_wavelengths() -> None:
    counts = peaks(25, 40)
    noisy = peaks(25, 40, seed=7)
    one = MeasuredPattern(ANGLES, counts, 1.54)
    twins = [one, MeasuredPattern(ANGLES[:500], 3 * noisy[:500], 1.54), replace(one, wavelength=0.7)]
    other = MeasuredPattern(ANGLES, peaks(26, 41), 1.54)
    assert near_identical([*twins, other]).tolist() == [0, 0, 1, 2]
    assert near_identical([]).tolist() == []


def test_series_are_told_by_names() -> None:
    names = {
        "FAPbI37_MAPbBr3_2-Theta": "FAPbI",
        "FAPbI3_gixrd_2-Theta": "FAPbI",
        "0.65M DT perovskite 14 deg peak": "DT",
        "100% SnPerovskite at 0.5M": "Sn",
        "0% Sn 100%Pb Perovskite": "Sn",
        "12_2-Theta": "",
        "scan_7": "",
    }
    assert {name: series_of(name) for name in names} == names


# --- those that come with the package -----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "target", "n", "groups"),
    [
        ("heo106", "lattice_parameter", 105, 30),
        ("heo106", "crystallite_size", 106, 31),
        ("heo106", "structure", 99, 26),
        ("fegapd", "magnetisation", 278, 60),
        ("fegapd", "region", 278, 60),
        ("films", "space_group", 53, 18),
    ],
)
def test_embedded_patterns(name: str, target: str, n: int, groups: int) -> None:
    dataset = qperov.load_dataset(name, target=target)
    assert (len(dataset), len(np.unique(dataset.groups))) == (n, groups)
    assert len(dataset.sources) >= 1
    assert all(word in describe_patterns(dataset) for word in ("cite:", "caution:", target))
    with pytest.raises(DatasetNameError, match=f"has no target 'energy'; it has .*{target}"):
        qperov.load_dataset(name, target="energy")


def test_facts_of_heo106() -> None:
    """Sample 6 is put right; bixbyite counts as a fluorite cell; the line (111) lies where the parameter says."""
    sizes, cells = (qperov.load_dataset("heo106", target=t) for t in ("crystallite_size", "lattice_parameter"))
    assert sizes.y[5] == 124.7
    assert cells.y[cells.ids.index("heo106-006")] == 10.73466 / 2
    assert np.ptp(cells.y) < 0.5
    pattern = cells.patterns[cells.ids.index("heo106-002")]
    angle = pattern.two_theta[np.argmax(np.where(pattern.two_theta < 24, pattern.intensity, 0))]
    expected = 2 * np.degrees(np.arcsin(pattern.wavelength * np.sqrt(3) / (2 * 10.89494 / 2)))
    assert abs(angle - expected) < 0.1


def test_a_set_of_patterns_is_written_and_read_back(tmp_path: Path) -> None:
    shipped = embedded_pattern_set("films")
    write_pattern_set(shipped, tmp_path / "again.json.gz")
    again = read_pattern_set(tmp_path / "again.json.gz")
    assert again.dataset().fingerprint == shipped.dataset().fingerprint
    assert [p.remarks for p in again.patterns] == [p.remarks for p in shipped.patterns]


@needs_data
def test_embedded_patterns_are_those_of_the_source() -> None:
    table = pd.read_csv(DATA / "heo106" / "patterns.csv.gz")
    dataset = qperov.load_dataset("heo106", target="crystallite_size")
    assert np.array_equal(dataset.patterns[41].intensity, table["42"])
    assert np.array_equal(dataset.patterns[0].two_theta, table["two_theta_deg"])
    spread = np.loadtxt(DATA / "fegapd" / "FeGaPd_XRD.txt.gz", delimiter=",")
    patterns = qperov.load_dataset("fegapd").patterns
    assert np.abs([p.intensity for p in patterns] - spread[1:]).max() < 0.00051


# --- the store ----------------------------------------------------------------------------------


def test_patterns_come_back_from_the_store_bit_by_bit(tmp_path: Path) -> None:
    dataset = replace(series(), issues=(WavelengthError("x.xy", "none"),))
    with Store(tmp_path / "s.db") as store:
        added = store.add(dataset)
        assert (added.structures, added.memberships, added.labels, added.issues) == (6, 6, 6, 1)
        assert sum(vars(store.add(dataset)).values()) == 0
        again = store.load("series")
        assert store.info("series").labelled == 6
        assert isinstance(again, PatternDataset)
        assert again.fingerprint == dataset.fingerprint
        for field in ("ids", "target", "unit", "provenance", "cautions", "sources"):
            assert getattr(again, field) == getattr(dataset, field)
        assert again.groups.tolist() == dataset.groups.tolist()
        assert [type(issue) for issue in again.issues] == [WavelengthError]
        for one, other in zip(again.patterns, dataset.patterns, strict=True):
            assert np.array_equal(one.intensity, other.intensity)
            assert one.name == other.name
        store.export("series", tmp_path / "s.csv")
    assert pd.read_csv(tmp_path / "s.csv")["a"].tolist() == dataset.y.tolist()


def test_classes_and_bare_patterns_come_back(tmp_path: Path) -> None:
    films = qperov.load_dataset("films").take(range(4))
    bare = replace(series(3), name="bare", y=None, target=None, unit=None, known_groups=None, provenance=())
    with Store(tmp_path / "s.db") as store:
        store.add(films)
        store.add(bare)
        again, unlabelled = store.load("films"), store.load("bare")
    assert again.y.tolist() == films.y.tolist()
    assert again.patterns[0].kalpha == films.patterns[0].kalpha
    assert unlabelled.y is None
    assert unlabelled.known_groups is None


def test_contradicting_patterns_write_nothing(tmp_path: Path) -> None:
    dataset = series()
    crystals = CrystalDataset("series", (), (), target="a", unit="Å", y=np.zeros(0))
    with Store(tmp_path / "s.db") as store:
        store.add(dataset)
        with pytest.raises(StoreError, match="another pattern or label"):
            store.add(replace(dataset, y=dataset.y + 1))
        with pytest.raises(StoreError, match="stored as a dataset of patterns"):
            store.add(crystals)
        assert store.load("series").y.tolist() == dataset.y.tolist()
        store.connection.execute("UPDATE patterns SET content = '{}'")
        with pytest.raises(StoreError, match="is damaged"):
            store.load("series")


# --- models and commands ------------------------------------------------------------------------


def test_patterns_are_compared_by_groups() -> None:
    dataset = qperov.load_dataset("heo106").take(range(25, 65))
    result = qperov.compare({"ridge": make_pipeline(MeasuredProfile(step=0.2), Ridge())}, dataset, n_bootstrap=0)
    table = result.table.set_index("model")
    assert table.loc["ridge", "mae"] < table.loc["median of the training labels", "mae"]
    tested = result.predictions.groupby("group")["fold"].nunique() if "group" in result.predictions else None
    assert tested is None or (tested == 1).all()
    assert result.label["n_groups"] == len(np.unique(dataset.groups))


def test_reports_cite_the_data_and_say_what_was_measured(tmp_path: Path) -> None:
    dataset = qperov.load_dataset("heo106").take(range(25, 65))
    models = {"ridge": make_pipeline(MeasuredProfile(step=0.5), Ridge())}
    result = qperov.compare(models, dataset, folds=2, n_bootstrap=10)
    assert "40 measured patterns in" in result.settings["split"]
    record = write_record(tmp_path / "run", result, task={"command": "qperov compare heo106"}, dataset=dataset.about)
    page = build_report(record).read_text(encoding="utf-8")
    assert "Advanced Materials 33, 2102301 (2021)" in page
    assert "MIT licence" in page


def call(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_commands_take_folders_of_scans(scans: Path, tmp_path: Path) -> None:
    store = tmp_path / "s.db"
    described = call("describe", scans, "--labels", "folders", "--groups", "names", "--store", store)
    assert "4 measured patterns in 2 groups" in described
    assert "class: a (2 in 1 groups), b (2 in 1 groups)" in described
    options = ["--target", "size_nm", "--unit", "nm", "--name", "sizes", "--store", store]
    assert "3 new patterns, 3 new labels" in call("data", "import", scans, *options)
    assert "3 samples, 3 labelled [nm]" in call("data", "list", "--store", store)
    assert "wavelength: 1.5406 Å (3)" in call("data", "info", "sizes", "--store", store)
    assert "Nature Communications 11, 5966" in call("data", "info", "fegapd", "--target", "region")


def test_commands_say_what_classes_cannot_have(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["compare", "films", "--studies", "kernels", "--runs", str(tmp_path)])
    assert "these sections are of numbers" in result.output
    result = CliRunner().invoke(app, ["describe", str(tmp_path), "--range", "60,10"])
    assert "--range: two angles" in str(result.exception)


def test_descriptors_of_measured_patterns_follow_the_labels() -> None:
    from qperov.studies.measured.models import build_measured_suite

    cells, sizes = (qperov.load_dataset("heo106", target=t) for t in ("lattice_parameter", "crystallite_size"))
    names = {model.descriptor for model in build_measured_suite(cells, quick=True).models.values()}
    assert names == {"measured profile", "d-spacings of the 4 strongest peaks"}
    names = {model.descriptor for model in build_measured_suite(sizes, quick=True).models.values()}
    assert names == {"measured profile", "widths of the 4 strongest peaks"}
    with pytest.raises(ValueError, match="measured patterns have no 'pattern'"):
        build_measured_suite(cells, descriptors=("pattern",))
