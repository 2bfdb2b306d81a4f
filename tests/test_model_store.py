"""Stored models: what comes back is what was trained, and a file that was tampered with is refused, not run."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import tempfile
import zipfile
from collections.abc import Callable
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from perovskites import perovskite
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

import qperov
from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.structure_text import to_text
from qperov.diffraction.patterns import Experiment
from qperov.errors import RecordError
from qperov.evaluation.results import Comparison
from qperov.quantum.autoencoder.encoded_regressor import EncodedRegressor, TorchHead
from qperov.quantum.kernels.feature_map_kernel import MEMORY
from qperov.serving.fitting import choose_models, fit_models, groups_of, held_out_errors
from qperov.serving.model_store import FILES, INDEX, fit_and_store
from qperov.serving.pipeline_file import PIPELINE, read_pipeline, write_pipeline
from qperov.serving.stages import deviations_of, points_of, predictions_of
from qperov.serving.stored_model import find_models, load_model
from qperov.studies.models import build_suite, networks, published_qsvr
from qperov.studies.regressors import grid_search


def steps(final: Any, kind: str = "pattern") -> Pipeline:
    return Pipeline(
        [
            ("pxrd", qperov.PXRDFeaturizer(kind)),
            ("scale", StandardScaler()),
            ("pca", qperov.descriptors.RankPCA(6)),
            ("model", final),
        ]
    )


MODELS = {
    "Ridge · powder pattern": steps(grid_search(Ridge(), {"alpha": [0.1, 10.0]})),
    "GPR · powder pattern": steps(GaussianProcessRegressor(RBF(3.0) + WhiteKernel(0.1), normalize_y=True)),
    "SVR · powder pattern": steps(SVR(C=10.0)),
}


@pytest.fixture(scope="module")
def dataset() -> CrystalDataset:
    return qperov.load_dataset("cpx321").in_unit("meV/atom").take(range(0, 960, 32))


@pytest.fixture(scope="module")
def new() -> list:
    return list(qperov.load_dataset("cpx321").take(range(5, 960, 190)).structures)


@pytest.fixture(scope="module")
def comparison(dataset: CrystalDataset) -> Comparison:
    return qperov.compare(MODELS, dataset, folds=3, repeats=2, n_bootstrap=20)


@pytest.fixture(scope="module")
def parts(dataset: CrystalDataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files inside a stored support vector machine."""
    folder = tmp_path_factory.mktemp("parts")
    write_pipeline(fitted(MODELS["SVR · powder pattern"], dataset), folder)
    with zipfile.ZipFile(folder / PIPELINE) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def stored(dataset: CrystalDataset, comparison: Comparison, tmp_path: Path) -> Path:
    """The folder of a support vector machine."""
    [folder] = fit_and_store(MODELS, dataset, comparison, ["SVR · powder pattern"], tmp_path / "models")
    return folder


def fitted(model: Pipeline, dataset: CrystalDataset) -> Pipeline:
    [(_, pipeline, _)] = fit_models({"it": model}, dataset, np.arange(len(dataset)), ["it"])
    return pipeline


def there_and_back(pipeline: Pipeline, folder: Path) -> Pipeline:
    folder.mkdir()
    network = type(pipeline.steps[-1][1]).__name__ if len(write_pipeline(pipeline, folder)) == 2 else None
    return read_pipeline(folder, network)


def signed(folder: Path, change: Callable[[dict], Any] = lambda body: None) -> Path:
    """Change the index of a model, and put its checksums right as someone would who knows how."""
    body = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    body["files"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in body["files"]}
    change(body)
    body.pop("digest")
    body["digest"] = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    (folder / INDEX).write_text(json.dumps(body), encoding="utf-8")
    return folder


# --- what comes back ----------------------------------------------------------------------------


def test_every_model_of_suite_predicts_same_when_read_back(dataset: CrystalDataset, new: list, tmp_path: Path) -> None:
    models = build_suite(dataset, descriptors=("structure_factors",), quick=True).pipelines
    models["QSVR as published"] = published_qsvr(dataset).pipeline
    short = {"CNN-Gen": {"epochs": 1}, "WSP-GAN": {"steps": 4}}
    for network in networks(quick=True):
        regressor = network.regressor.set_params(**short[network.name])
        featurizer = qperov.PXRDFeaturizer("structure_factors")
        models[network.name] = Pipeline([("pxrd", featurizer), ("model", regressor)])
    assert len(models) >= 21
    for number, (name, pipeline, _) in enumerate(fit_models(models, dataset, np.arange(len(dataset)), list(models))):
        MEMORY.clear()  # states of single precision that were computed with others differ in their last digits
        before = pipeline.predict(new)
        again = there_and_back(pipeline, tmp_path / str(number))
        MEMORY.clear()  # a kernel that remembers would hide that a file holds other numbers
        np.testing.assert_allclose(again.predict(new), before, rtol=1e-13, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    "featurizer",
    [
        *(qperov.PXRDFeaturizer(kind) for kind in qperov.descriptors.featurizer.KINDS),
        qperov.PXRDFeaturizer("structure_factors", equivalents="sorted", wavelength=[("CuKa1", 1.0), ("CuKa2", 0.5)]),
        qperov.PXRDFeaturizer("qsvr", alignment="hkl"),
        qperov.PXRDFeaturizer("correlations", max_order=3),
    ],
    ids=lambda featurizer: featurizer.kind,
)
def test_every_descriptor_comes_back_to_the_last_bit(
    featurizer: qperov.PXRDFeaturizer, dataset: CrystalDataset, new: list, tmp_path: Path
) -> None:
    featurizer.fit(list(dataset.structures))
    again = there_and_back(Pipeline([("pxrd", featurizer), ("model", "passthrough")]), tmp_path / "it")
    np.testing.assert_array_equal(again.steps[0][1].transform(new), featurizer.transform(new))
    assert again.steps[0][1].feature_labels() == featurizer.feature_labels()
    assert again.steps[0][1].get_params() == featurizer.get_params()


def test_reference_crystal_with_partial_occupancies_comes_back(
    dataset: CrystalDataset, new: list, tmp_path: Path
) -> None:
    reference = dataset.structures[0].copy()
    reference[reference.indices_from_symbol("I")[0]] = {"Br": 0.25, "I": 0.75}
    featurizer = qperov.PXRDFeaturizer("difference_gram", reference=reference).fit(list(dataset.structures))
    again = there_and_back(Pipeline([("pxrd", featurizer), ("model", "passthrough")]), tmp_path / "it").steps[0][1]
    assert again.reference == reference
    assert featurizer.reference is reference  # the one that was stored is as before
    np.testing.assert_array_equal(again.transform(new), featurizer.transform(new))


def test_encoded_regressors_and_kernel_ridge_come_back(dataset: CrystalDataset, new: list, tmp_path: Path) -> None:
    finals = {
        "head": EncodedRegressor(
            qperov.QuantumAutoencoder(3, code_qubits=2, epochs=2), regressor=TorchHead(hidden=4, epochs=2)
        ),
        "ridge": qperov.quantum.QuantumKernelRidge(qperov.ProjectedKernel(bandwidth="median")),
        "sum": qperov.QuantumSVR(qperov.FidelityKernel(bandwidth=0.2) + RBF(2.0), C=10.0),
        "shots": qperov.QuantumSVR(qperov.FidelityKernel(bandwidth=0.2, shots=100), C=10.0),
    }
    for name, final in finals.items():
        pipeline = fitted(steps(final), dataset)
        again = there_and_back(pipeline, tmp_path / name)
        before = pipeline.predict(new)
        MEMORY.clear()
        np.testing.assert_allclose(again.predict(new), before, rtol=1e-13, atol=1e-12, err_msg=name)


def test_a_stored_model_knows_what_it_was_trained_on(
    dataset: CrystalDataset, comparison: Comparison, stored: Path, new: list
) -> None:
    model = load_model(stored)
    assert stored.name == "svr-powder-pattern"
    assert (model.name, model.target, model.unit) == ("SVR · powder pattern", dataset.target, "meV/atom")
    assert model.about["dataset"]["fingerprint"] == dataset.fingerprint
    assert model.about["settings"]["repeats"] == 2
    row = comparison.table.set_index("model").loc[model.name]
    assert model.about["scores"]["mae"] == row["mae"]
    assert model.ids == dataset.ids
    (worth,) = model.notes
    assert worth.startswith("it is not shown to be better than a constant")
    errors, groups = held_out_errors(comparison, model.name)
    assert len(errors) == 2 * len(dataset)
    np.testing.assert_array_equal(model.residuals.residuals, errors)
    np.testing.assert_array_equal(model.residuals.groups, groups)
    assert np.abs(errors).mean() == pytest.approx(row["mae"])
    np.testing.assert_array_equal(model.domain.groups, groups_of(comparison))
    np.testing.assert_array_equal(model.domain.spaces["descriptor"], comparison.features["powder pattern"])
    assert model.domain.spaces["components"].shape == (len(dataset), 6)
    expected = MODELS[model.name].fit(list(dataset.structures), dataset.y).predict(new)
    np.testing.assert_allclose(model.pipeline.predict(new), expected, rtol=1e-13)


def test_of_a_search_the_model_that_it_found_is_stored(
    dataset: CrystalDataset, comparison: Comparison, tmp_path: Path, new: list
) -> None:
    [folder] = fit_and_store(MODELS, dataset, comparison, ["Ridge · powder pattern"], tmp_path)
    with zipfile.ZipFile(folder / PIPELINE) as archive:
        assert "GridSearchCV" not in archive.read("schema.json").decode()
    groups = groups_of(comparison)
    by_hand = Pipeline(MODELS["Ridge · powder pattern"].steps[:-1])
    components = by_hand.fit_transform(list(dataset.structures))
    search: GridSearchCV = MODELS["Ridge · powder pattern"].steps[-1][1]
    search = GridSearchCV(search.estimator, search.param_grid, scoring=search.scoring, cv=GroupKFold(3))
    expected = search.fit(components, dataset.y, groups=groups).predict(by_hand.transform(new))
    np.testing.assert_allclose(load_model(folder).pipeline.predict(new), expected, rtol=1e-12)


def test_a_gaussian_process_keeps_its_standard_deviations(dataset: CrystalDataset, new: list, tmp_path: Path) -> None:
    pipeline = fitted(MODELS["GPR · powder pattern"], dataset)
    again = there_and_back(pipeline, tmp_path / "it")
    _, expected = pipeline.predict(new, return_std=True)
    np.testing.assert_allclose(deviations_of(again, points_of(again, new)), expected, rtol=1e-12)
    # on labels in another unit, which a scaler hides from the process
    scaled = fitted(
        steps(grid_search(GaussianProcessRegressor(RBF(3.0) + WhiteKernel(0.1)), {"alpha": [1e-9]})), dataset
    )
    deviations = deviations_of(scaled, points_of(scaled, new))
    np.testing.assert_allclose(deviations, expected, rtol=1e-3)
    ridge = fitted(MODELS["Ridge · powder pattern"], dataset)
    assert deviations_of(ridge, points_of(ridge, new)) is None


def test_models_are_found_in_a_run_and_never_overwritten(
    dataset: CrystalDataset, comparison: Comparison, tmp_path: Path
) -> None:
    names = choose_models(comparison, ["all"])
    folders = fit_and_store(MODELS, dataset, comparison, names, tmp_path / "models", n_jobs=1)
    assert [folder.name for folder in folders] == ["ridge-powder-pattern", "gpr-powder-pattern", "svr-powder-pattern"]
    [second] = fit_and_store(MODELS, dataset, comparison, [names[0]], tmp_path / "models")
    assert second.name == "ridge-powder-pattern-2"
    expected = {folder.name: folder for folder in sorted([*folders, second])}
    assert find_models(tmp_path) == find_models(tmp_path / "models") == expected
    assert find_models(second) == {second.name: second}
    for nothing in (tmp_path / "absent", tmp_path / "models" / "absent", Path(__file__)):
        with pytest.raises(RecordError, match="no stored model here"):
            find_models(nothing)


def test_models_are_chosen_by_name_or_by_score(comparison: Comparison) -> None:
    scores = comparison.table[comparison.table["kind"] == "model"].set_index("model")["mae"]
    best = scores.idxmin()
    assert choose_models(comparison, ["best"]) == (best,)
    assert set(choose_models(comparison, ["all"])) == set(MODELS)
    assert choose_models(comparison, [best, "best", "all"])[0] == best
    with pytest.raises(ValueError, match="no model is called 'mean of the training labels'"):
        choose_models(comparison, ["mean of the training labels"])


# --- what is not stored -------------------------------------------------------------------------


def own_map(angles: list) -> list:
    return []


@pytest.mark.parametrize(
    ("final", "named"),
    [
        (qperov.QuantumSVR(qperov.FidelityKernel(feature_map=own_map)), "own_map"),
        (RandomForestRegressor(2, max_depth=2).fit(np.arange(20.0)[:, None], np.arange(20.0)), "Tree"),
    ],
)
def test_a_model_that_could_not_be_read_back_is_refused_by_name(
    final: Any, named: str, dataset: CrystalDataset, tmp_path: Path
) -> None:
    pipeline = fitted(steps(Ridge()), dataset)
    with pytest.raises(RecordError, match=named):
        write_pipeline(Pipeline([*pipeline.steps[:-1], ("model", final)]), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_nothing_behind(
    dataset: CrystalDataset, comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "qperov.serving.model_store.write_index", lambda *_: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(OSError, match="disk full"):
        fit_and_store(MODELS, dataset, comparison, ["SVR · powder pattern"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_dataset_or_name_is_refused(dataset: CrystalDataset, comparison: Comparison, tmp_path: Path) -> None:
    names = ["SVR · powder pattern"]
    for other in (dataset.take(range(29)), dataset.in_unit("eV/atom")):
        with pytest.raises(ValueError, match="other crystals, or other labels"):
            fit_and_store(MODELS, other, comparison, names, tmp_path)
    with pytest.raises(ValueError, match="no model of the comparison is called 'SVM'"):
        fit_and_store(MODELS, dataset, comparison, ["SVM"], tmp_path)


def test_errors_of_folds_that_part_copies_are_no_measure(tmp_path: Path) -> None:
    once = qperov.load_dataset("cpx321").take(range(0, 960, 80))
    twice = CrystalDataset(
        "twice", once.structures * 2, tuple(str(i) for i in range(24)), np.tile(once.y, 2), "energy", "eV/cell"
    )
    models = {"Ridge": steps(Ridge())}
    leaking = qperov.compare(models, twice, folds=3, split="random", n_bootstrap=10)
    with pytest.raises(ValueError, match="part copies of one crystal"):
        fit_and_store(models, twice, leaking, ["Ridge"], tmp_path)
    grouped = qperov.compare(models, twice, folds=3, n_bootstrap=10)
    [folder] = fit_and_store(models, twice, grouped, ["Ridge"], tmp_path)
    assert load_model(folder).residuals.n_groups == 12


# --- files that are not what they were ----------------------------------------------------------


@pytest.mark.parametrize("name", [PIPELINE, "training.parquet", "components.parquet", "residuals.parquet", INDEX])
def test_a_changed_file_is_refused(name: str, stored: Path) -> None:
    content = bytearray((stored / name).read_bytes())
    place = content.index(b"meV") if name == INDEX else len(content) // 2
    content[place] ^= 1
    (stored / name).write_bytes(bytes(content))
    with pytest.raises(RecordError, match=f"{name} was changed after it was written"):
        load_model(stored)


def test_a_missing_file_is_named(stored: Path) -> None:
    (stored / "residuals.parquet").unlink()
    with pytest.raises(RecordError, match=r"residuals\.parquet is missing"):
        load_model(stored)
    (stored / INDEX).write_text("{")
    with pytest.raises(RecordError, match="cannot be read"):
        load_model(stored)
    (stored / INDEX).unlink()
    with pytest.raises(RecordError, match=r"no model\.json here"):
        load_model(stored)


def test_another_schema_is_refused(stored: Path) -> None:
    with pytest.raises(RecordError, match="model schema 2, but this qperov reads 1"):
        load_model(signed(stored, lambda body: body.update(schema=2)))


@pytest.mark.parametrize("path", ["../secret.parquet", "/etc/passwd", "notes.txt", "..\\x", f"../{PIPELINE}"])
def test_a_path_out_of_the_folder_leads_nowhere(path: str, stored: Path) -> None:
    (stored.parent / "secret.parquet").write_bytes(b"x")
    with pytest.raises(RecordError, match="which is no part of a model"):
        load_model(signed(stored, lambda body: body["files"].update({path: "0"})))


def test_a_link_in_the_place_of_a_file_is_refused(stored: Path) -> None:
    outside = stored.parent / "outside.parquet"
    (stored / "training.parquet").rename(outside)
    (stored / "training.parquet").symlink_to(outside)
    with pytest.raises(RecordError, match=r"training\.parquet is missing"):
        load_model(stored)


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.file),)


def test_pickle_in_place_of_model_is_refused_and_not_run(stored: Path, tmp_path: Path) -> None:
    (stored / PIPELINE).write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    with pytest.raises(RecordError, match="no stored pipeline could be read"):
        load_model(signed(stored))
    assert not (tmp_path / "ran").exists()


def rewritten(folder: Path, change: Callable[[str], str]) -> Path:
    """A stored pipeline whose schema someone has edited."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(folder / PIPELINE) as before, zipfile.ZipFile(buffer, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            after.writestr(name, change(content.decode()) if name == "schema.json" else content)
    (folder / PIPELINE).write_bytes(buffer.getvalue())
    return signed(folder)


FOREIGN = {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode"}
CALLED = {
    "__class__": "Popen",
    "__module__": "subprocess",
    "__loader__": "ConstructorFromReduceNode",
    "content": {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "content": []},
}
CODE = {"__class__": "attrgetter", "__module__": "operator", "__loader__": "OperatorFuncNode", "attrs": FOREIGN}


@pytest.mark.parametrize(
    ("part", "named"), [(FOREIGN, "os.system"), (CALLED, "subprocess.Popen"), (CODE, "operator.attrgetter")]
)
def test_a_foreign_type_is_refused_by_name(part: dict, named: str, stored: Path) -> None:
    def planted(text: str) -> str:
        schema = json.loads(text)
        schema["content"]["content"]["memory"] = part
        return json.dumps(schema)

    with pytest.raises(RecordError, match=named):
        load_model(rewritten(stored, planted))


def test_another_method_of_a_known_type_is_refused_by_name(dataset: CrystalDataset, stored: Path) -> None:
    changed = rewritten(stored, lambda text: text.replace('"func": "patterns"', '"func": "__init__"'))
    with pytest.raises(RecordError, match=r"Experiment\.__init__"):
        load_model(changed)
    assert Experiment.patterns  # the one that is allowed exists


def test_a_skops_file_of_something_else_is_refused(dataset: CrystalDataset, stored: Path) -> None:
    for other in (Ridge(), {"steps": []}, Pipeline([("only", Ridge())])):
        skops.io.dump(other, stored / PIPELINE)
        with pytest.raises(RecordError, match="holds no pipeline"):
            load_model(signed(stored))
    pipeline = fitted(steps(Ridge()), dataset)
    skops.io.dump(pipeline, stored / PIPELINE, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(RecordError, match="its parts are compressed"):
        load_model(signed(stored))
    (stored / PIPELINE).write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(RecordError, match="no stored pipeline could be read"):
        load_model(signed(stored))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_damaged_part_is_refused_or_harmless(data: st.DataObject, parts: dict[str, bytes]) -> None:
    name = data.draw(st.sampled_from(sorted(parts)))
    content = bytearray(parts[name])
    place = data.draw(st.integers(0, min(len(content), 2000) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(Path(folder) / PIPELINE, "w") as archive:
            for other, kept in parts.items():
                archive.writestr(other, bytes(content) if other == name else kept)
        try:
            assert isinstance(read_pipeline(Path(folder)), Pipeline)
        except RecordError as error:
            assert PIPELINE in str(error)  # noqa: PT017 (either is right)


@pytest.mark.parametrize(
    ("field", "value"), [("left", 0), ("right", 10**6), ("feature_idx", 6), ("feature_idx", -1), ("is_categorical", 1)]
)
def test_trees_whose_nodes_do_not_fit_are_refused(
    field: str, value: int, dataset: CrystalDataset, new: list, tmp_path: Path
) -> None:
    pipeline = fitted(steps(HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=3)), dataset)
    again = there_and_back(pipeline, tmp_path / "whole")
    np.testing.assert_array_equal(again.predict(new), pipeline.predict(new))
    pipeline.steps[-1][1]._predictors[1][0].nodes[field][0] = value
    with pytest.raises(RecordError, match="nodes of a tree in it do not fit each other"):
        there_and_back(pipeline, tmp_path / "forged")


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("support_", np.arange(10**6, dtype=np.int32)),
        ("_dual_coef_", np.zeros((1, 1))),
        ("_intercept_", np.empty(0)),
        ("support_vectors_", np.zeros((1, 6))),
        ("_dual_coef_", np.full((1, 30), np.nan)),
    ],
)
def test_support_vectors_that_do_not_fit_are_refused(attribute: str, value: np.ndarray, stored: Path) -> None:
    pipeline = read_pipeline(stored)
    setattr(pipeline.steps[-1][1], attribute, value)
    write_pipeline(pipeline, stored)
    with pytest.raises(RecordError, match="do not fit each other"):
        load_model(signed(stored))


def test_garbled_parts_are_refused(stored: Path) -> None:
    pq.write_table(pa.table({"residual": [1.0]}), stored / "residuals.parquet")
    with pytest.raises(RecordError, match="lacking or garbled"):
        load_model(signed(stored))


def test_other_versions_and_other_predictions_are_told(stored: Path) -> None:
    newer = signed(stored, lambda body: body["versions"].update({"scikit-learn": "1.2.0", "numpy": "1.0.0"}))
    told = f"it was trained with scikit-learn 1.2.0 (here {installed('scikit-learn')})"
    assert load_model(newer).notes[1:] == (told,)
    table = pq.read_table(stored / "training.parquet").to_pandas()
    table["fitted"] += 1.0
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), stored / "training.parquet")
    _, otherwise, versions = load_model(signed(stored)).notes
    assert "predicted otherwise than then, by up to 1" in otherwise
    assert "numpy 1.0.0" in versions


def test_a_training_crystal_that_is_refused_now_is_told(stored: Path) -> None:
    other = to_text(perovskite())
    told = load_model(signed(stored, lambda body: body["examples"][0].update(structure=other))).notes
    assert told[1].startswith("a crystal that it was trained on is refused now")


def test_only_known_names_are_written(stored: Path) -> None:
    assert {path.name for path in stored.iterdir()} <= {*FILES, INDEX}
    assert predictions_of(load_model(stored).pipeline, load_model(stored).domain.spaces).shape == (30,)
