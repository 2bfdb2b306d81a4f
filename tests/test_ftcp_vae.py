"""FTCP's autoencoder: its layers, what it learns from a toy set, files, sampling and bad input."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from toy_representation import ToyCells, toy_crystals

from qperov.errors import (
    EmptyDatasetError,
    InvalidLabelError,
    MissingDependencyError,
    MissingLabelError,
    OrphanLabelError,
    RecordError,
    RepresentationError,
)
from qperov.generative.bench.reconstruction import reconstruction_errors
from qperov.generative.models.ftcp_vae import FTCPVAE
from qperov.generative.models.networks import posterior
from qperov.generative.representations.ftcp import FTCP
from qperov.storage.model_file import read_model, write_model

CRYSTALS, LABELS = toy_crystals(120)
OTHERS, OTHER_LABELS = toy_crystals(40, seed=1)


def small(**changes: object) -> FTCPVAE:
    parameters: dict = {
        "equivalent_cells": 1,
        "latent": 8,
        "hidden": 32,
        "epochs": 60,
        "batch_size": 32,
        "learning_rate": 3e-3,
    }
    return FTCPVAE(ToyCells(), **(parameters | changes))


@pytest.fixture(scope="module")
def fitted() -> FTCPVAE:
    return small().fit(CRYSTALS, LABELS)


def shapes_of_layers(part: torch.nn.Module, given: torch.Tensor) -> list[tuple[str, tuple[int, ...]]]:
    found: list[tuple[str, tuple[int, ...]]] = []
    for layer in part:
        layer.register_forward_hook(lambda module, _, out: found.append((type(module).__name__, tuple(out.shape[1:]))))
    part(given)
    return found


def test_layers_are_the_published_ones() -> None:
    network = FTCPVAE()._architecture(FTCP().shape, ["regressor"]).build().eval()
    with torch.no_grad():
        encoder = shapes_of_layers(network["encoder"], torch.zeros(1, 63, 280))
        decoder = shapes_of_layers(network["decoder"], torch.zeros(1, 256))
    convolution = ["BatchNorm1d", "LeakyReLU"]
    assert [name for name, _ in encoder] == [*["Conv1d", *convolution] * 3, "Flatten", "Linear", "LeakyReLU", "Linear"]
    assert [shape for name, shape in encoder if name in ("Conv1d", "Flatten", "Linear")] == [
        (32, 140), (64, 70), (128, 70), (8960,), (1024,), (512,)
    ]  # fmt: skip
    assert [layer.kernel_size[0] for layer in network["encoder"] if isinstance(layer, torch.nn.Conv1d)] == [5, 3, 3]
    assert {layer.negative_slope for layer in network.modules() if isinstance(layer, torch.nn.LeakyReLU)} == {0.2}
    transposed = ["ConvTranspose1d", *convolution]
    names = ["Linear", "LeakyReLU"] * 2 + ["Unflatten"] + transposed * 2 + ["ConvTranspose1d"]
    assert [name for name, _ in decoder] == names
    assert [shape for name, shape in decoder if name in ("Linear", "Unflatten", "ConvTranspose1d")] == [
        (1024,), (8960,), (128, 70), (64, 70), (32, 140), (63, 280)
    ]  # fmt: skip
    widths = [layer.out_features for layer in network["regressor"] if isinstance(layer, torch.nn.Linear)]
    assert widths == [128, 32, 1]
    mean, log_variance = posterior(network["encoder"], torch.zeros(2, 280, 63))
    assert mean.shape == log_variance.shape == (2, 256)


def test_unseen_crystals_are_reconstructed_with_property(fitted: FTCPVAE) -> None:
    errors = reconstruction_errors(OTHERS, fitted.reconstruct(OTHERS)).mean()
    assert errors["species"] == 1
    assert errors["lattice"] < 0.1
    assert errors["undecodable"] == errors["angles"] == 0
    residuals = fitted.predict(OTHERS) - OTHER_LABELS
    assert np.mean(residuals**2) < 0.05 * OTHER_LABELS.var()
    z = fitted.encode(OTHERS)
    assert z.shape == (40, 8)
    assert np.array_equal(fitted.predict_latent(z), fitted.predict(OTHERS))
    assert np.array_equal(fitted.latent_, fitted.encode(CRYSTALS))
    assert np.array_equal(fitted.labels_, LABELS)


def test_history_holds_every_term_of_every_epoch(fitted: FTCPVAE) -> None:
    terms = {"loss", "reconstruction", "kl", "regression", "block.elements", "block.lengths"}
    assert set(fitted.history_) == terms | {f"validation_{name}" for name in terms}
    epochs = len(fitted.history_["loss"])
    assert {len(values) for values in fitted.history_.values()} == {epochs}
    assert fitted.history_["loss"][-1] < 0.2 * fitted.history_["loss"][0]
    assert fitted.best_epoch_ == int(np.argmin(fitted.history_["validation_loss"]))


def test_a_seed_determines_the_model() -> None:
    first, same, other = (small(epochs=3, random_state=seed).fit(CRYSTALS, LABELS) for seed in (1, 1, 2))
    assert np.array_equal(first.predict(OTHERS), same.predict(OTHERS))
    assert first.history_ == same.history_
    assert not np.allclose(first.predict(OTHERS), other.predict(OTHERS))


def test_labels_are_scaled_by_the_crystals_learnt_from_alone() -> None:
    model = small(epochs=1, validation_fraction=0.5).fit(CRYSTALS, LABELS)
    seed = int(np.random.RandomState(0).randint(2**31))
    kept = np.random.default_rng(seed).permutation(120)[:60]
    learnt = np.setdiff1d(np.arange(120), kept)
    assert model.offset_ == pytest.approx(LABELS[learnt].mean())
    assert model.factor_ == pytest.approx(LABELS[learnt].std())
    lengths = np.array([CRYSTALS[i].lattice.abc for i in learnt]) / 10
    np.testing.assert_allclose(model.scaling_.mean[6, :3], lengths.mean(axis=0), rtol=1e-5)


def test_crystals_are_learnt_from_in_several_cells() -> None:
    once, thrice = (small(epochs=1, equivalent_cells=k).fit(CRYSTALS, LABELS) for k in (1, 3))
    spread = [np.ptp(model.scaling_.mean[6, :3]) for model in (once, thrice)]
    assert spread[1] < spread[0]  # axes are exchanged
    assert thrice.history_["loss"][0] < once.history_["loss"][0]  # an epoch has three times as many steps
    assert thrice.latent_.shape == (120, 8)
    with pytest.raises(ValueError, match="equivalent_cells must be at least 1"):
        small(equivalent_cells=0).fit(CRYSTALS)


def test_another_unit_of_the_labels_changes_nothing_else() -> None:
    model, scaled = (small(epochs=3).fit(CRYSTALS, y) for y in (LABELS, 96.485 * LABELS + 7))
    np.testing.assert_allclose(scaled.predict(OTHERS), 96.485 * model.predict(OTHERS) + 7, rtol=1e-4)


def test_equal_labels_are_learnt() -> None:
    model = small(epochs=2).fit(CRYSTALS, np.full(120, -1.5))
    assert np.isfinite(model.predict(OTHERS)).all()


def test_without_labels_there_is_no_property_head() -> None:
    model = small(epochs=2).fit(CRYSTALS)
    assert "regression" not in model.history_
    assert not any(name.startswith("regressor") for name in model.weights_)
    assert len(model.reconstruct(OTHERS)) == 40
    for ask in (lambda: model.predict(OTHERS), lambda: model.predict_latent(np.zeros((1, 8)))):
        with pytest.raises(MissingLabelError, match="fitted without labels"):
            ask()
    with pytest.raises(MissingLabelError, match="fitted without labels"):
        model.sample(2, method="local", target=-1.0)


def test_blocks_weigh_what_they_are_given() -> None:
    model = small(epochs=1, block_weights={"lengths": 3.0}).fit(CRYSTALS)
    history = {name: values[0] for name, values in model.history_.items()}
    expected = (history["block.elements"] + 3 * history["block.lengths"]) / 4
    assert history["reconstruction"] == pytest.approx(expected, rel=1e-6)
    assert history["loss"] == pytest.approx(expected + 0.01 / 3 * history["kl"], rel=1e-6)
    with pytest.raises(ValueError, match="no blocks of this representation: phases"):
        small(block_weights={"phases": 1.0}).fit(CRYSTALS)


# --- sampling -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["prior", "posterior", "local", "slerp"])
def test_samples_are_crystals_and_follow_from_the_seed(fitted: FTCPVAE, method: str) -> None:
    codes = fitted.sample_latent(12, method=method, random_state=0)
    assert codes.shape == (12, 8)
    assert np.array_equal(codes, fitted.sample_latent(12, method=method, random_state=0))
    assert not np.array_equal(codes, fitted.sample_latent(12, method=method, random_state=1))
    assert not np.array_equal(*(fitted.sample_latent(12, method=method) for _ in range(2)))
    crystals = fitted.sample(12, method=method)
    assert len(crystals) == 12
    assert all(crystal is None or len(crystal) == 5 for crystal in crystals)


def test_local_samples_without_noise_are_the_nearest_crystals(fitted: FTCPVAE) -> None:
    codes = fitted.sample_latent(6, method="local", target=-1.4, scale=0.0, neighbours=3)
    nearest = np.argsort(np.abs(LABELS - -1.4), kind="stable")[:3]
    assert np.array_equal(codes, fitted.latent_[[*nearest, *nearest]])


def test_a_search_comes_nearer_to_its_target_than_the_prior(fitted: FTCPVAE) -> None:
    target = float(np.quantile(LABELS, 0.8))
    found = fitted.predict_latent(fitted.sample_latent(10, method="target", target=target))
    assert np.abs(found - target).max() <= 0.01
    drawn = fitted.predict_latent(fitted.sample_latent(10, method="prior"))
    assert np.abs(drawn - target).mean() > 0.05


def test_sampling_that_cannot_be_done(fitted: FTCPVAE) -> None:
    with pytest.raises(ValueError, match="method must be one of"):
        fitted.sample(3, method="random")
    with pytest.raises(ValueError, match="needs a target"):
        fitted.sample(3, method="target")


# --- files --------------------------------------------------------------------------------------


def test_a_saved_model_does_the_same(fitted: FTCPVAE, tmp_path: Path) -> None:
    path = fitted.save(tmp_path / "ftcp.safetensors")
    again = FTCPVAE.load(path, representation=ToyCells())
    assert np.array_equal(again.predict(OTHERS), fitted.predict(OTHERS))
    assert again.reconstruct(OTHERS) == fitted.reconstruct(OTHERS)
    assert again.get_params() == fitted.get_params() | fitted.hyperparameters()
    assert again.history_ == fitted.history_
    samples = [model.sample(3, method="local", target=-1.0, random_state=0) for model in (again, fitted)]
    assert samples[0] == samples[1]
    assert [file.name for file in tmp_path.iterdir()] == ["ftcp.safetensors"]
    assert np.array_equal(pickle.loads(pickle.dumps(fitted)).predict(OTHERS), fitted.predict(OTHERS))  # noqa: S301


def test_a_model_without_labels_is_saved_as_such(tmp_path: Path) -> None:
    model = small(epochs=1, block_weights={"lengths": 2.0}).fit(CRYSTALS)
    again = FTCPVAE.load(model.save(tmp_path / "ftcp"), representation=ToyCells())
    assert again.labels_ is None
    assert again.block_weights == {"lengths": 2.0}
    assert np.array_equal(again.encode(OTHERS), model.encode(OTHERS))


class Trap:
    """A pickle of it makes a folder when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.folder,)


def test_files_that_are_no_such_models_are_refused(fitted: FTCPVAE, tmp_path: Path) -> None:
    path = tmp_path / "model"
    for content in (b"nothing", pickle.dumps(Trap(tmp_path / "sprung"))):
        path.write_bytes(content)
        with pytest.raises(RecordError, match="no model could be read"):
            FTCPVAE.load(path)
    torch.save({"weights": Trap(tmp_path / "sprung")}, path)
    with pytest.raises(RecordError, match="no model could be read"):
        FTCPVAE.load(path)
    assert not (tmp_path / "sprung").exists()
    write_model(path, "TLVAE", {"a": np.zeros(2)}, {})
    with pytest.raises(RecordError, match="not a file of a FTCPVAE"):
        FTCPVAE.load(path)
    write_model(path, "FTCPVAE", {"a": np.zeros(2)}, {})
    with pytest.raises(RecordError, match="fits no FTCPVAE"):
        FTCPVAE.load(path)
    fitted.save(path)
    with pytest.raises(RecordError, match=r"trained with the representation .*ToyCells"):
        FTCPVAE.load(path)
    with pytest.raises(RecordError, match=r"'image': False.* not .*'image': True"):
        FTCPVAE.load(path, representation=ToyCells(image=True))


@pytest.mark.parametrize("damage", ["a weight of another shape", "no weight", "no decoder", "scaling", "parameter"])
def test_a_damaged_file_is_refused(fitted: FTCPVAE, tmp_path: Path, damage: str) -> None:
    path = fitted.save(tmp_path / "ftcp")
    tensors, header = read_model(path, "FTCPVAE")
    if damage == "a weight of another shape":
        tensors["encoder.0.weight"] = tensors["encoder.0.weight"][:, :2]
    elif damage == "no weight":
        del tensors["regressor.0.bias"]
    elif damage == "no decoder":
        tensors = {name: value for name, value in tensors.items() if not name.startswith("decoder")}
    elif damage == "scaling":
        tensors["inputs.mean"] = np.zeros(3, np.float32)
    else:
        header["parameters"]["depth"] = 3
    write_model(path, "FTCPVAE", tensors, header)
    with pytest.raises(RecordError, match="fits no FTCPVAE"):
        FTCPVAE.load(path, representation=ToyCells())


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        ([*LABELS[:-1], np.nan], InvalidLabelError, "1 of 120 labels are not finite, the first of crystal 119"),
        ([None, *LABELS[1:]], InvalidLabelError, "first of crystal 0"),
        (["low", *LABELS[1:]], InvalidLabelError, "must be numbers"),
        (LABELS[:, None], InvalidLabelError, "one property"),
        (LABELS[:-1], MissingLabelError, "119 labels for 120 crystals"),
        ([*LABELS, 0.0], OrphanLabelError, "121 labels for 120 crystals"),
    ],
)
def test_labels_that_do_not_fit(y: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        small().fit(CRYSTALS, y)


def test_too_few_crystals() -> None:
    for crystals in ([], CRYSTALS[:1]):
        with pytest.raises(EmptyDatasetError, match=f"{len(crystals)} crystals"):
            small().fit(crystals)
    fewer_than_a_batch = small(epochs=1).fit(CRYSTALS[:3], LABELS[:3])
    assert fewer_than_a_batch.predict(CRYSTALS[:3]).shape == (3,)


def test_crystals_that_do_not_fit(fitted: FTCPVAE) -> None:
    salt = Structure(Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    for ask in (fitted.encode, fitted.predict, fitted.reconstruct, small().fit):
        with pytest.raises(RepresentationError, match="Na1 Cl1"):
            ask([*CRYSTALS[:2], salt])
    with pytest.raises(EmptyDatasetError, match="no crystals"):
        fitted.encode([])


def test_codes_that_do_not_fit(fitted: FTCPVAE) -> None:
    for ask in (fitted.decode, fitted.predict_latent):
        with pytest.raises(ValueError, match=r"\(n, 8\), not \(2, 9\)"):
            ask(np.zeros((2, 9)))
        with pytest.raises(ValueError, match="finite"):
            ask(np.full((1, 8), np.nan))
    assert fitted.decode(np.zeros((0, 8))) == []


def test_weights_that_may_not_be_written_to_are_read() -> None:
    model = small(epochs=1).fit(CRYSTALS)
    expected = model.encode(OTHERS)
    for weight in model.weights_.values():
        weight.setflags(write=False)  # as in a worker that maps them from a file; PyTorch would warn
    assert np.array_equal(model.encode(OTHERS), expected)


def test_asked_before_it_is_fitted() -> None:
    model = small()
    for ask in (model.encode, model.predict, model.reconstruct, model.sample_latent, model.save):
        with pytest.raises(NotFittedError):
            ask(CRYSTALS[:2])
    with pytest.raises(NotFittedError):
        model.decode(np.zeros((1, 8)))


def test_parameters_are_assigned_and_cloned() -> None:
    model = small(epochs=7, block_weights={"lengths": 2.0})
    assert clone(model).get_params() == model.get_params()
    assert FTCPVAE().representation is None
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        small(epochs=0).fit(CRYSTALS)


def test_without_pytorch_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'qperov\[torch\]'"):
        small().fit(CRYSTALS)
