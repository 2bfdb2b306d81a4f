"""CNN-Gen: conventions, architecture, determinism, files, published weights."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import qperov
from qperov.classical.cnn import CNNRegressor
from qperov.classical.networks import blank_generator, generator, image_side, images
from qperov.classical.scaling import Scaling
from qperov.errors import MissingDependencyError, RecordError
from qperov.storage.model_file import read_model, write_model

X = np.random.default_rng(3).normal(size=(160, 16))
Y = 5 + 0.1 * (X[:, 0] - 2 * X[:, 5] + X[:, 10])


@parametrize_with_checks([CNNRegressor()])
def test_scikit_learn_conventions(estimator, check, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # one check is skipped without it
    check(estimator)


def convolve(image: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """ReLU of a 5×5 cross-correlation with zero padding, then the maximum of each 2×2 block, by plain loops."""
    padded = np.pad(image, ((0, 0), (2, 2), (2, 2)))
    side = image.shape[1]
    out = np.empty((len(weight), side, side))
    for i in range(side):
        for j in range(side):
            out[:, i, j] = np.tensordot(weight, padded[:, i : i + 5, j : j + 5], axes=3) + bias
    half = side // 2
    blocks = np.maximum(out, 0)[:, : 2 * half, : 2 * half].reshape(len(weight), half, 2, half, 2)
    return blocks.max(axis=(2, 4))


@pytest.mark.parametrize("side", [5, 8])
def test_the_network_is_the_published_one_written_out_by_hand(side):
    rows = np.random.default_rng(0).normal(size=(3, side**2))
    model = CNNRegressor(epochs=1, scale_inputs="none").fit(rows, np.array([-1.0, 0.0, 1.0]))
    w = {name: value.astype(float) for name, value in model.weights_.items()}
    for row, found in zip(rows, model.predict(rows), strict=True):
        hidden = row.reshape(1, side, side)
        for name in ("conv1.0", "conv2.0"):
            hidden = convolve(hidden, w[f"{name}.weight"], w[f"{name}.bias"])
        hidden = np.maximum(w["out.0.weight"] @ hidden.ravel() + w["out.0.bias"], 0)
        output = (w["out.2.weight"] @ hidden + w["out.2.bias"]).item()
        assert found == pytest.approx(output * np.std([-1, 0, 1]), abs=1e-10)


def test_a_28_by_28_image_gives_3136_hidden_numbers():
    shapes = {name: tuple(value.shape) for name, value in generator(28).state_dict().items()}
    assert shapes["conv1.0.weight"] == (32, 1, 5, 5)
    assert shapes["conv2.0.weight"] == (64, 32, 5, 5)
    assert shapes["out.0.weight"] == (128, 3136)
    assert shapes["out.2.weight"] == (1, 128)


@given(st.integers(1, 900))
@settings(deadline=None)
def test_images_hold_every_feature_in_order(n_features):
    side = image_side(n_features)
    assert side >= 4
    assert (side - 1) ** 2 < n_features <= side**2 or side == 4
    row = np.arange(1.0, n_features + 1)
    flat = images(row[None]).ravel()
    assert np.array_equal(flat[:n_features], row)
    assert not flat[n_features:].any()


def test_a_linear_function_is_learnt_in_the_unit_of_the_labels():
    rows = np.random.default_rng(0).normal(size=(500, 16))
    y = 5 + 0.1 * (rows[:, 0] - 2 * rows[:, 5] + rows[:, 10])
    model = CNNRegressor(epochs=40).fit(rows[:400], y[:400])
    assert model.score(rows[400:], y[400:]) > 0.9
    assert len(model.loss_history_) == 40
    assert model.loss_history_[-1] < 0.1 * model.loss_history_[0]
    scaled = CNNRegressor(epochs=40).fit(rows[:400] * 1000, 1e6 * y[:400])
    np.testing.assert_allclose(scaled.predict(rows[400:] * 1000), 1e6 * model.predict(rows[400:]), rtol=1e-3)


def test_seed_determines_network_and_leaves_other_streams_alone():
    first, same, other = (CNNRegressor(epochs=2, random_state=seed).fit(X, Y).predict(X) for seed in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.allclose(first, other)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    CNNRegressor(epochs=1).fit(X, Y)
    assert torch.equal(torch.rand(3), expected)
    model = CNNRegressor(epochs=1).fit(X, Y)
    torch.manual_seed(5)
    model.predict(X)
    assert torch.equal(torch.rand(3), expected)


def test_early_stopping_keeps_the_best_epoch():
    noise = np.random.default_rng(1).normal(size=160)  # nothing to learn: validation loss soon rises
    model = CNNRegressor(epochs=60, early_stopping=True, validation_fraction=0.2, patience=3).fit(X, noise)
    history = model.validation_history_
    assert len(history) < 60
    assert int(np.argmin(history)) == len(history) - 4
    # weights are those of the best epoch: their loss on the crystals kept back is the least
    seed = np.random.RandomState(0).randint(2**31)
    kept = np.random.RandomState(seed).permutation(160)[:32]
    error = np.mean((model.predict(X[kept]) - noise[kept]) ** 2) / noise.var()
    assert error == pytest.approx(min(history), rel=1e-4)


def test_few_crystals_are_all_trained_on():
    model = CNNRegressor(epochs=2, early_stopping=True, validation_fraction=0.5).fit(X[:14], Y[:14])
    assert model.validation_history_ == []
    model = CNNRegressor(epochs=2, early_stopping=True, validation_fraction=0.99).fit(X[:10], Y[:10])
    assert len(model.loss_history_) == len(model.validation_history_) == 2  # one crystal is left to train on


def test_published_mode_is_one_pass_of_adam_without_scaling():
    rows, labels = X[:12], Y[:12]
    model = CNNRegressor("published", random_state=0).fit(rows, labels)
    seed = int(np.random.RandomState(0).randint(2**31))
    torch.manual_seed(seed)
    network = generator(4).double()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for row in torch.randperm(12):
        optimizer.zero_grad()
        loss = (network(torch.as_tensor(rows[row]).reshape(1, 1, 4, 4)).squeeze() - (labels[row] - labels[0])).abs()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        expected = network(torch.as_tensor(rows).reshape(-1, 1, 4, 4)).squeeze(1).numpy()
    np.testing.assert_allclose(model.predict(rows), labels[0] + expected, rtol=1e-6)
    assert len(model.loss_history_) == 1


@pytest.mark.parametrize(
    ("inputs", "mean", "scale"),
    [("standard", [2, 7], [1, 1]), ("common", [2, 7], [np.sqrt(0.5)] * 2), ("none", [0, 0], [1, 1])],
)
def test_input_scalings(inputs, mean, scale):
    rows = np.array([[1.0, 7.0], [3.0, 7.0 + 1e-13]])  # the second column holds rounding noise
    found = Scaling.learn(rows, np.array([1.0, 1.0]), inputs)
    np.testing.assert_allclose(found.mean, mean, atol=1e-12)
    np.testing.assert_allclose(found.scale, scale)
    assert found.factor == 1.0  # equal labels have no spread
    np.testing.assert_allclose(found.prediction(found.target(np.array([3.0]))), [3.0])


# --- files --------------------------------------------------------------------------------------


def test_a_saved_model_predicts_the_same(tmp_path):
    model = CNNRegressor(epochs=2, learning_rate=0.002).fit(X, Y)
    path = model.save(tmp_path / "cnn.safetensors")
    again = CNNRegressor.load(path)
    assert np.array_equal(again.predict(X), model.predict(X))
    assert again.get_params() == model.get_params()
    assert again.loss_history_ == model.loss_history_
    assert [file.name for file in tmp_path.iterdir()] == ["cnn.safetensors"]
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))  # noqa: S301


def test_weights_that_may_not_be_written_to_are_read():
    model = CNNRegressor(epochs=1).fit(X, Y)
    expected = model.predict(X)
    for weight in model.weights_.values():
        weight.setflags(write=False)  # as in a worker that maps them from a file; PyTorch would warn
    assert np.array_equal(model.predict(X), expected)


def test_files_that_are_no_models_are_refused(tmp_path):
    path = tmp_path / "model"
    with pytest.raises(RecordError, match="no model could be read"):
        CNNRegressor.load(path)
    path.write_bytes(b"not safetensors")
    with pytest.raises(RecordError, match="no model could be read"):
        CNNRegressor.load(path)
    write_model(path, "WSPGAN", {"a": np.zeros(2)}, {})
    with pytest.raises(RecordError, match="not a file of a CNNRegressor"):
        CNNRegressor.load(path)
    write_model(path, "CNNRegressor", {"a": np.zeros(2)}, {"version": 99})
    with pytest.raises(RecordError, match="version 99"):
        CNNRegressor.load(path)
    write_model(path, "CNNRegressor", {"a": np.zeros(2)}, {})
    with pytest.raises(RecordError, match="fits no CNNRegressor"):
        CNNRegressor.load(path)
    for header in ("[" * 200_000, json.dumps({"format": "qperov.CNNRegressor", "version": 1})):
        tensors = {"a": torch.zeros(2, dtype=torch.bfloat16)}  # numpy knows no such type
        safetensors.torch.save_file(tensors, path, metadata={"qperov": header})
        with pytest.raises(RecordError, match="no model could be read"):
            CNNRegressor.load(path)


@pytest.mark.parametrize("shapes", [((16,), (1,)), ((16,), (3,)), ((16, 2), (16, 2)), ((0,), (0,))])
def test_a_scaling_that_fits_no_rows_is_refused(tmp_path, shapes):
    path = CNNRegressor(epochs=1).fit(X, Y).save(tmp_path / "cnn.safetensors")
    tensors, header = read_model(path, "CNNRegressor")
    tensors |= {"inputs.mean": np.zeros(shapes[0]), "inputs.scale": np.ones(shapes[1])}
    write_model(path, "CNNRegressor", tensors, header)
    with pytest.raises(RecordError, match="fits no CNNRegressor"):
        CNNRegressor.load(path)


def test_a_small_file_cannot_ask_for_a_huge_network(tmp_path):
    path = CNNRegressor(epochs=1).fit(X, Y).save(tmp_path / "cnn.safetensors")
    tensors, header = read_model(path, "CNNRegressor")
    tensors |= {"inputs.mean": np.zeros(10**6), "inputs.scale": np.ones(10**6)}  # its layer would take 4 GB
    write_model(path, "CNNRegressor", tensors, header)
    with pytest.raises(RecordError, match="size mismatch"):
        CNNRegressor.load(path)
    assert blank_generator(10**6)[0][0].weight.is_meta


def test_the_best_of_a_grid_search_over_arrays_can_be_saved(tmp_path):
    grid = {"epochs": np.arange(1, 3), "batch_size": np.array([32]), "early_stopping": np.array([False, True])}
    best = GridSearchCV(CNNRegressor(), grid, cv=2, n_jobs=2).fit(X, Y).best_estimator_
    again = CNNRegressor.load(best.save(tmp_path / "cnn.safetensors"))
    assert np.array_equal(again.predict(X), best.predict(X))


def test_published_weights_are_loaded(tmp_path):
    torch.manual_seed(0)
    network = generator(28).double()
    torch.save(network.state_dict(), tmp_path / "G.pkl")
    rows = np.random.default_rng(0).uniform(0, 1.4, (4, 784))
    model = CNNRegressor.load_published_state(tmp_path / "G.pkl", offset=-91.63007225, factor=1e-4)
    with torch.no_grad():
        outputs = network(torch.as_tensor(rows).reshape(-1, 1, 28, 28)).squeeze(1).numpy()
    np.testing.assert_allclose(model.predict(rows), -91.63007225 + 1e-4 * outputs, rtol=1e-12)
    again = CNNRegressor.load(model.save(tmp_path / "copy.safetensors"))
    assert np.array_equal(again.predict(rows), model.predict(rows))


class Trap:
    """A pickle of it makes a folder when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("writer", ["torch", "torch, old format", "pickle"])
def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path, writer):
    content = dict(generator(28).state_dict()) | {"extra": Trap(tmp_path / "sprung")}
    path = tmp_path / "G.pkl"
    if writer == "pickle":
        path.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=writer == "torch")
    with pytest.raises(RecordError, match="could run code"):
        CNNRegressor.load_published_state(path)
    assert not (tmp_path / "sprung").exists()


def test_a_whole_pickled_network_is_refused(tmp_path):
    torch.save(generator(28), tmp_path / "G.pkl")
    with pytest.raises(RecordError, match="state dictionary alone"):
        CNNRegressor.load_published_state(tmp_path / "G.pkl")


@pytest.mark.parametrize("form", ["parameters", "bfloat16", "float32"])
def test_weights_of_any_real_type_are_loaded(tmp_path, form):
    network = generator(8).to(torch.bfloat16 if form == "bfloat16" else torch.float32)
    named = network.named_parameters() if form == "parameters" else network.state_dict().items()
    torch.save(dict(named), tmp_path / "G.pkl")
    weights = CNNRegressor.load_published_state(tmp_path / "G.pkl", n_features=64).weights_
    for name, value in network.state_dict().items():
        assert np.array_equal(weights[name], value.double().numpy())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (dict(enumerate(generator(28).state_dict().values())) | {"a": torch.zeros(2)}, "no weights of CNN-Gen"),
        ({name: value.to_sparse() for name, value in generator(28).state_dict().items()}, "real, dense"),
        ({name: value.to("meta") for name, value in generator(28).state_dict().items()}, "real, dense"),
        ({name: value.to(torch.complex64) for name, value in generator(28).state_dict().items()}, "real, dense"),
        ({"weight": torch.zeros(2)}, "no weights of CNN-Gen"),
        (generator(20).state_dict(), "no weights of CNN-Gen on 28×28"),
        ({"epoch": 3}, "not a table of tensors"),
        (torch.zeros(3), "not a table of tensors"),
    ],
)
def test_other_tensors_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "G.pkl")
    with pytest.raises(RecordError, match=message):
        CNNRegressor.load_published_state(tmp_path / "G.pkl")


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_loaded_or_refused(tmp_path, damage):
    path = tmp_path / "G.pkl"
    torch.save(generator(4).state_dict(), path, _use_new_zipfile_serialization=False)
    content = bytearray(path.read_bytes())
    for place, value in damage:
        content[place] = value
    path.write_bytes(content)
    with contextlib.suppress(RecordError):
        assert set(CNNRegressor.load_published_state(path, n_features=16).weights_) == set(generator(4).state_dict())


def test_a_file_that_is_absent_or_cut_short_is_refused(tmp_path):
    with pytest.raises(RecordError, match="no PyTorch file"):
        CNNRegressor.load_published_state(tmp_path / "absent.pkl")
    torch.save(generator(28).state_dict(), tmp_path / "G.pkl")
    (tmp_path / "G.pkl").write_bytes((tmp_path / "G.pkl").read_bytes()[:5000])
    with pytest.raises(RecordError):
        CNNRegressor.load_published_state(tmp_path / "G.pkl")


# --- bad input, and the way into a comparison ---------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"mode": "original"}, "mode must be"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"learning_rate": np.inf}, "learning_rate must be positive and finite"),
        ({"weight_decay": -1.0}, "weight_decay not negative"),
        ({"loss": "huber"}, "loss must be"),
        ({"scale_inputs": "minmax"}, "scale_inputs must be"),
        ({"early_stopping": True, "validation_fraction": 1.0}, "validation_fraction must lie"),
        ({"patience": 0}, "patience must be"),
    ],
)
def test_parameters_out_of_range(parameters, message):
    with pytest.raises(ValueError, match=message):
        CNNRegressor(**parameters).fit(X, Y)


def test_bad_input():
    with pytest.raises(ValueError, match="NaN"):
        CNNRegressor().fit(np.where(X > 2, np.nan, X), Y)
    with pytest.raises(ValueError, match="expecting 16 features"):
        CNNRegressor(epochs=1).fit(X, Y).predict(X[:, :9])


def test_without_pytorch_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'qperov\[torch\]'"):
        CNNRegressor().fit(X, Y)


def test_without_safetensors_one_line_says_what_to_install(monkeypatch, tmp_path):
    model = CNNRegressor(epochs=1).fit(X, Y)
    monkeypatch.setitem(__import__("sys").modules, "safetensors.numpy", None)
    with pytest.raises(MissingDependencyError, match="safetensors"):
        model.save(tmp_path / "cnn.safetensors")


def test_compare_takes_it_in_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), CNNRegressor(epochs=30))
    table = qperov.compare({"CNN-Gen": pipeline}, X, Y, folds=2).table.set_index("model")
    assert table.loc["CNN-Gen", "r2"] > 0.3
    assert table.loc["CNN-Gen", "family"] == "classical"
    assert clone(pipeline).get_params()["cnnregressor__epochs"] == 30


def test_progress_is_shown_on_standard_error(capfd):
    CNNRegressor(epochs=2, progress=True).fit(X, Y)
    captured = capfd.readouterr()
    assert "2/2" in captured.err
    assert captured.out == ""
