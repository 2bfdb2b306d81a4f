"""iMatGen: its layers, what it learns from a toy set, fine-tuning, files, sampling and bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from qperov.errors import (
    EmptyDatasetError,
    InvalidLabelError,
    MissingLabelError,
    RecordError,
    RepresentationError,
)
from qperov.generative.bench.reconstruction import reconstruction_errors
from qperov.generative.imatgen.compression import train_compression
from qperov.generative.imatgen.images import CHUNK, CrystalImages, SparseImages
from qperov.generative.imatgen.model import IMatGen
from qperov.generative.imatgen.networks import (
    ImageCentre,
    ImageCompression,
    MaterialsGenerator,
    generator_terms,
    posterior_of,
)
from qperov.generative.models.latent import slerp
from qperov.generative.models.networks import kl_divergence
from qperov.generative.models.training import TrainingPlan
from qperov.generative.representations.ftcp import FTCP
from qperov.generative.representations.voxels import Voxels
from qperov.storage.model_file import read_model, write_model

SMALL = Voxels(grid=16, max_elements=3, species=("Ca", "Sr", "Ba", "Ti", "Zr", "O", "S"), box=8.0, cell_grid=16)


def toy_crystals(n: int, seed: int = 0) -> tuple[list[Structure], np.ndarray]:
    """Cubic ABX₃ cells with an edge of 3.6 to 4.4 Å, and a property that follows from edge and elements."""
    rng = np.random.default_rng(seed)
    crystals, labels = [], []
    for _ in range(n):
        a, b, x, edge = rng.choice(["Ca", "Sr", "Ba"]), rng.choice(["Ti", "Zr"]), rng.choice(["O", "S"]), rng.random()
        places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
        crystals.append(Structure(Lattice.cubic(3.6 + 0.8 * edge), [a, b, x, x, x], places))
        labels.append(2 * edge - (a == "Ba") + 0.5 * (x == "S"))
    return crystals, np.array(labels)


CRYSTALS, LABELS = toy_crystals(96)
OTHERS, OTHER_LABELS = toy_crystals(24, seed=1)


def small(**changes: object) -> IMatGen:
    parameters: dict = {
        "cell_channels": (4, 8),
        "basis_channels": (4, 8),
        "cell_code": 8,
        "basis_code": 16,
        "channels": (16, 16, 16, 8),
        "latent": 12,
        "hidden": 32,
        "cell_epochs": 20,
        "basis_epochs": 12,
        "epochs": 80,
        "batch_size": 16,
        "learning_rate": 5e-3,
        "warm_up": 5,
    }
    return IMatGen(SMALL, **(parameters | changes))


def briefly(**changes: object) -> IMatGen:
    return small(**({"cell_epochs": 1, "basis_epochs": 1, "epochs": 2} | changes))


@pytest.fixture(scope="module")
def fitted() -> IMatGen:
    return small().fit(CRYSTALS, LABELS)


@pytest.fixture(scope="module")
def unlabelled() -> IMatGen:
    return briefly().fit(CRYSTALS[:20])


# --- networks -------------------------------------------------------------------------------------


def outputs(part: torch.nn.Module, given: torch.Tensor, kind: type) -> list[tuple[int, ...]]:
    """Shapes that leave the layers of a kind."""
    found: list[tuple[int, ...]] = []
    for layer in part:
        if isinstance(layer, kind):
            layer.register_forward_hook(lambda _, __, out: found.append(tuple(out.shape[1:])))
    with torch.no_grad():
        part(given)
    return found


@pytest.mark.parametrize(
    ("side", "channels", "code"), [(32, (64,) * 3, 20), (64, (64,) * 4, 200)], ids=["CELL", "BASIS"]
)
def test_image_networks_have_the_published_layers(side: int, channels: tuple[int, ...], code: int) -> None:
    network = ImageCompression(side, channels, code).build()
    inward = outputs(network["encoder"], torch.zeros(1, 1, side, side, side), torch.nn.Conv3d)
    edges = [side >> k for k in range(1, len(channels) + 1)]
    assert inward == [(64, edge, edge, edge) for edge in edges] + [(code, 1, 1, 1)]
    outward = outputs(network["decoder"], torch.zeros(1, code), torch.nn.ConvTranspose3d)
    assert outward == [(64, edge, edge, edge) for edge in reversed(edges)] + [(1, side, side, side)]
    layers = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv3d | torch.nn.ConvTranspose3d)]
    assert {layer.kernel_size for layer in layers} == {(4, 4, 4)}
    assert isinstance(network["encoder"][-1], torch.nn.Tanh)
    assert {layer.negative_slope for layer in network.modules() if isinstance(layer, torch.nn.LeakyReLU)} == {0.2}


def test_generator_has_the_published_layers() -> None:
    architecture = MaterialsGenerator()
    network = architecture.build()
    assert outputs(network["encoder"], torch.zeros(1, 6, 200), torch.nn.Conv1d) == [
        (100, 100), (100, 50), (100, 25), (50, 25)
    ]  # fmt: skip
    assert architecture.flat == 1250
    assert outputs(network["decoder"], torch.zeros(1, 500), torch.nn.ConvTranspose1d) == [
        (100, 25), (100, 50), (100, 100), (6, 200)
    ]  # fmt: skip
    assert isinstance(network["decoder"][-1], torch.nn.Tanh)
    mean, log_variance = posterior_of(dict(network.named_children()), torch.zeros(2, 6, 200), torch.zeros(2, 5, 195))
    assert mean.shape == log_variance.shape == (2, 500)
    classifier = network["classifier"]
    assert [type(layer).__name__ for layer in classifier] == ["Linear", "Tanh", "Linear"]
    assert (classifier[0].in_features, classifier[0].out_features, classifier[2].out_features) == (500, 500, 1)


def test_published_preset_has_the_published_sizes() -> None:
    model = IMatGen(mode="published", epochs=7)
    known = model.hyperparameters()
    assert (known["epochs"], known["delta"]) == (7, 1e-4)
    assert (known["centred"], known["saturation_weight"]) == (False, 0.0)
    with pytest.deprecated_call(match="published"):
        assert IMatGen.published(epochs=7).get_params() == model.get_params()
    model.representation_, model.centres_ = model._default_representation(), {}
    pipeline = model._pipeline({})
    assert pipeline.compressions["cell"] == ImageCompression(32, (64,) * 3, 20)
    assert pipeline.compressions["basis"] == ImageCompression(64, (64,) * 4, 200)
    assert pipeline.generator == MaterialsGenerator(heads=(), informed=False)


def test_generator_terms_pass_gradients_to_every_weight() -> None:
    torch.manual_seed(0)
    network = MaterialsGenerator(8, 3, 4, 1, (4, 4, 4, 2), 6, 5, ("regressor", "classifier")).build().double()
    codes, elements = torch.rand(5, 3, 8).double(), torch.eye(4).double()[torch.randint(4, (5, 2))]
    vectors = torch.cat([elements, torch.rand(5, 2, 1).double()], dim=-1)
    batch = [codes, vectors, torch.randn(5).double(), (torch.rand(5) < 0.5).double()]
    terms = generator_terms(network.eval(), batch, 1.0, 0.25)
    doubled = generator_terms(network, [torch.cat([column, column]) for column in batch], 1.0, 0.25)
    assert all(torch.isclose(terms[name], doubled[name]) for name in terms)
    parts = dict(network.named_children())
    mean, log_variance = posterior_of(parts, codes, vectors)
    assert torch.isclose(terms["codes"], (parts["decoder"](mean) - codes).square().mean() / 0.25)
    assert torch.isclose(terms["kl"], kl_divergence(mean, log_variance))
    logits = torch.cat([parts["elements"](mean).reshape(5, 2, 4), torch.zeros(5, 2, 1)], dim=-1)
    chosen = torch.nn.functional.cross_entropy(logits.flatten(0, 1), elements.argmax(-1).flatten())
    assert torch.isclose(terms["elements"], chosen)
    sum(generator_terms(network.train(), batch, 1.0, 0.25).values()).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in network.parameters())


def test_an_element_of_no_slot_has_the_log_odds_zero() -> None:
    network = MaterialsGenerator(8, 2, 3, 0, (2, 2, 2, 2), 2, 2, ()).build().eval()
    with torch.no_grad():
        network["elements"][2].weight.zero_()
        network["elements"][2].bias.copy_(torch.tensor([-50.0, -50, -50]))
    empty = generator_terms(network, [torch.zeros(1, 2, 8), torch.zeros(1, 1, 3)], 1.0, 1.0)
    full = generator_terms(network, [torch.zeros(1, 2, 8), torch.eye(3)[None, :1]], 1.0, 1.0)
    assert empty["elements"].item() == pytest.approx(0)
    assert full["elements"].item() == pytest.approx(50)


def test_gradients_of_image_loss_are_finite_differences() -> None:
    torch.manual_seed(0)
    network = ImageCompression(8, (2,), 3).build().double()
    images = torch.rand(2, 1, 8, 8, 8).double()
    centre = ImageCentre(images.mean((0, 1)).numpy(), 0.2)

    def loss() -> torch.Tensor:
        return centre.loss(network["decoder"](network["encoder"](centre.inputs(images))), images)

    loss().backward()
    for weight in network.parameters():
        place = (0,) * weight.dim()
        with torch.no_grad():
            weight[place] += 1e-6
            above = loss().item()
            weight[place] -= 2e-6
            below = loss().item()
            weight[place] += 1e-6
        assert weight.grad[place].item() == pytest.approx((above - below) / 2e-6, rel=1e-4, abs=1e-8)


def test_a_decoder_that_says_nothing_draws_the_mean() -> None:
    mean = np.full((8, 8, 8), 0.25, np.float32)
    mean[0, 0, 0] = 0
    drawn = ImageCentre(mean, 0.1).images(torch.zeros(1, 1, 8, 8, 8))
    np.testing.assert_allclose(drawn[0, 0], np.clip(mean, 2e-3, None), rtol=1e-5)
    np.testing.assert_allclose(ImageCentre(None, 0.1).images(torch.zeros(1, 1, 8, 8, 8)), 0.5)


# --- images ---------------------------------------------------------------------------------------


def test_sparse_images_are_the_full_ones() -> None:
    crystals = [*CRYSTALS[: CHUNK + 3], Structure(Lattice.cubic(4.0), ["Ca", "O"], [(0, 0, 0), (0.5, 0.5, 0.5)])]
    images = CrystalImages.of(SMALL, crystals)
    parts = SMALL.parts(SMALL.encode(crystals))
    rows = np.array([5, 0, CHUNK + 2])
    np.testing.assert_array_equal(images.cell.full(rows)[:, 0], parts.cell[rows])
    every = np.arange(3 * len(crystals))
    basis = images.basis.full(every)[:, 0]
    np.testing.assert_array_equal(basis, parts.basis.reshape(basis.shape))
    np.testing.assert_array_equal(images.elements, parts.elements)
    np.testing.assert_array_equal(images.filled_slots(np.array([0, CHUNK + 3])), [0, 1, 2, every[-3], every[-2]])
    mean, deviation = images.basis.mean_and_deviation(every[:30])
    np.testing.assert_allclose(mean, basis[:30].mean(0), rtol=1e-5)
    assert deviation == pytest.approx((basis[:30] - basis[:30].mean(0)).std(), rel=1e-3)
    assert len(images.basis.places) < 0.1 * basis.size


def test_crystals_that_do_not_fit_are_named_by_place() -> None:
    wrong = Structure(Lattice.cubic(4.0), ["Fe"], [(0, 0, 0)])
    with pytest.raises(RepresentationError) as raised:
        CrystalImages.of(SMALL, [*CRYSTALS[:CHUNK], wrong, CRYSTALS[0], wrong])
    assert list(raised.value.reasons) == [CHUNK, CHUNK + 2]
    with pytest.raises(EmptyDatasetError):
        CrystalImages.of(SMALL, [])


@pytest.mark.slow
def test_published_images_teach_less_than_centred_ones() -> None:
    images = SparseImages.of([SMALL.parts(SMALL.encode(CRYSTALS)).cell], 16)
    mean, deviation = images.mean_and_deviation(np.arange(len(images)))
    plan = TrainingPlan(6, 16, 3e-3, 0.0, {"images": 1.0}, 0, 0.0, 99)
    architecture = ImageCompression(16, (4, 8), 8)
    last = [
        train_compression(
            architecture, ImageCentre(centre, deviation), images, np.arange(96), np.arange(0), plan,
            random_state=0, device="cpu", progress=None, initial={},
        ).history["loss"][-1]
        for centre in (mean, None)
    ]  # fmt: skip
    assert last[0] < 0.5
    assert last[1] > 1  # it has not even learnt the mean image, of loss 1


# --- the whole model ------------------------------------------------------------------------------


def test_unseen_crystals_are_reconstructed_with_property(fitted: IMatGen) -> None:
    errors = reconstruction_errors(OTHERS, fitted.reconstruct(OTHERS)).mean()
    assert errors["species"] > 0.95
    assert errors["lattice"] < 0.1
    assert errors["angles"] < 1
    assert errors["coordinates"] < 0.02
    residuals = fitted.predict(OTHERS) - OTHER_LABELS
    assert np.mean(residuals**2) < 0.05 * OTHER_LABELS.var()
    z = fitted.encode(OTHERS)
    assert z.shape == (24, 12)
    np.testing.assert_array_equal(fitted.predict_latent(z), fitted.predict(OTHERS))
    np.testing.assert_allclose(fitted.latent_, fitted.encode(CRYSTALS), atol=1e-6)


def test_classifier_tells_what_lies_below_the_threshold(fitted: IMatGen) -> None:
    learnt = fitted.threshold_
    assert abs(learnt - np.median(LABELS)) < 0.1
    chance = fitted.predict_stability(OTHERS)
    assert ((chance >= 0) & (chance <= 1)).all()
    assert np.mean((chance > 0.5) == (learnt >= OTHER_LABELS)) > 0.85
    np.testing.assert_array_equal(fitted.predict_stability_latent(fitted.encode(OTHERS)), chance)
    assert briefly(threshold=-1.5).fit(CRYSTALS[:20], LABELS[:20]).threshold_ == -1.5


def test_history_holds_losses_of_all_three_networks() -> None:
    seen: list[tuple[int, int, str]] = []
    model = briefly(cell_epochs=2).fit(CRYSTALS[:20], LABELS[:20], progress=lambda *step: seen.append(step))
    assert [step[:2] for step in seen] == [(k, 5) for k in range(1, 6)]
    assert [step[2].split(": loss")[0] for step in seen] == ["cell", "cell", "basis", "generator", "generator"]
    terms = {"loss", "codes", "elements", "kl", "regression", "classification"}
    named = {f"{name}.{term}" for name in ("cell", "basis") for term in ("loss", "images", "saturation")}
    validation = {f"validation_{name}" for name in terms} | {name.replace(".", ".validation_") for name in named}
    assert set(model.history_) == terms | named | validation
    assert [len(model.history_[name]) for name in ("cell.loss", "basis.loss", "loss")] == [2, 1, 2]


def test_a_seed_determines_the_model() -> None:
    first, same, other = (briefly(random_state=seed).fit(CRYSTALS[:20], LABELS[:20]) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.latent_, same.latent_)
    assert first.history_ == same.history_
    assert not np.allclose(first.latent_, other.latent_)


@pytest.mark.slow
def test_fine_tuning_goes_on_from_the_weights_and_adds_heads(unlabelled: IMatGen, tmp_path: Path) -> None:
    model = IMatGen.load(unlabelled.save(tmp_path / "broad.safetensors"), representation=SMALL)
    before = dict(model.weights_)
    centre = model.centres_["basis"].mean
    model.set_params(learning_rate=1e-9, image_learning_rate=1e-9)
    model.fine_tune(CRYSTALS[40:70], LABELS[40:70])
    for name, value in before.items():
        np.testing.assert_allclose(model.weights_[name], value, atol=1e-6)
    assert {name.split(".")[1] for name in set(model.weights_) - set(before)} == {"regressor", "classifier"}
    np.testing.assert_array_equal(model.centres_["basis"].mean, centre)
    np.testing.assert_array_equal(model.labels_, LABELS[40:70])
    assert model.latent_.shape == (30, 12)
    offset = model.offset_
    model.fine_tune(CRYSTALS[:20], LABELS[:20] + 100)
    assert model.offset_ == offset


def test_a_failed_fine_tuning_leaves_the_model_as_it_was(unlabelled: IMatGen) -> None:
    before = unlabelled.encode(OTHERS)
    wrong = Structure(Lattice.cubic(4.0), ["Fe"], [(0, 0, 0)])
    with pytest.raises(RepresentationError):
        unlabelled.fine_tune([*CRYSTALS[:5], wrong])
    np.testing.assert_array_equal(unlabelled.encode(OTHERS), before)


def test_files_hold_the_whole_model(fitted: IMatGen, tmp_path: Path) -> None:
    path = fitted.save(tmp_path / "model.safetensors")
    loaded = IMatGen.load(path, representation=SMALL)
    np.testing.assert_array_equal(loaded.predict(OTHERS), fitted.predict(OTHERS))
    np.testing.assert_array_equal(loaded.predict_stability(OTHERS), fitted.predict_stability(OTHERS))
    assert loaded.sample(3, random_state=1) == fitted.sample(3, random_state=1)
    assert loaded.history_ == fitted.history_
    with pytest.raises(RecordError, match="representation"):
        IMatGen.load(path)
    tensors, header = read_model(path, "IMatGen")
    tensors.pop("cell.decoder.1.weight")
    write_model(path, "IMatGen", tensors, {k: v for k, v in header.items() if k not in ("format", "version")})
    with pytest.raises(RecordError, match="fits no IMatGen"):
        IMatGen.load(path, representation=SMALL)


def test_an_uncentred_model_is_saved_too(tmp_path: Path) -> None:
    model = briefly(centred=False).fit(CRYSTALS[:20])
    loaded = IMatGen.load(model.save(tmp_path / "model.safetensors"), representation=SMALL)
    np.testing.assert_array_equal(loaded.encode(OTHERS), model.encode(OTHERS))


def test_samples_are_crystals_and_follow_method_target_and_seed(fitted: IMatGen) -> None:
    for method in ("prior", "posterior", "local", "slerp"):
        found = fitted.sample(4, method=method, random_state=3)
        assert len(found) == 4
        assert found == fitted.sample(4, method=method, random_state=3)
    found = fitted.sample(8, method="local", scale=0.1, random_state=0)
    assert sum(crystal is not None and len(crystal) == 5 for crystal in found) >= 6
    near = fitted.sample_latent(6, method="target", target=1.0, random_state=0)
    assert np.abs(fitted.predict_latent(near) - 1.0).max() < 0.2
    ends = fitted.encode(OTHERS[:2])
    np.testing.assert_array_equal(slerp(*ends, 0), ends[0])
    assert fitted.decode(slerp(*ends, [0, 1])) == fitted.reconstruct(OTHERS[:2])


def test_parameters_are_those_of_an_estimator() -> None:
    model = small(latent=9)
    assert clone(model).get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        model.encode(OTHERS)


# --- bad input ------------------------------------------------------------------------------------


def test_bad_input_is_named(fitted: IMatGen, unlabelled: IMatGen) -> None:
    with pytest.raises(EmptyDatasetError):
        small().fit([])
    with pytest.raises(InvalidLabelError):
        small().fit(CRYSTALS[:3], [0.0, np.nan, 1.0])
    with pytest.raises(MissingLabelError):
        small().fit(CRYSTALS[:3], [0.0])
    with pytest.raises(RepresentationError, match="Fe not among the elements"):
        fitted.encode([Structure(Lattice.cubic(4.0), ["Fe"], [(0, 0, 0)])])
    with pytest.raises(TypeError, match="Voxels"):
        small().set_params(representation=FTCP()).fit(CRYSTALS[:3])
    for predict in (unlabelled.predict, unlabelled.predict_stability):
        with pytest.raises(MissingLabelError, match="without labels"):
            predict(OTHERS)
    with pytest.raises(ValueError, match="shape"):
        fitted.decode(np.zeros((1, 3)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cell_channels": (4, 8, 8)}, "2 strided convolutions"),
        ({"basis_code": 12}, "multiple of 8"),
        ({"cell_code": 24}, "must not be longer"),
        ({"channels": (8, 8, 8)}, "four convolutions"),
    ],
)
def test_networks_that_cannot_be_are_refused_before_training(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**changes).fit(CRYSTALS[:4])
