"""The published forms of FTCP, TL-VAE and iMatGen: layers, losses, scaling and arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from crystal_prototypes import cubic_perovskite
from pymatgen.core import Lattice, Structure
from toy_representation import ToyCells, toy_crystals

from qperov.generative.imatgen.model import IMatGen
from qperov.generative.imatgen.networks import MaterialsGenerator, generator_terms
from qperov.generative.models.array_loss import ArrayScaling
from qperov.generative.models.ftcp_vae import FTCPVAE
from qperov.generative.models.published import ftcp_network, ftcp_terms, tlvae_network, tlvae_terms
from qperov.generative.models.tlvae import TLVAE
from qperov.generative.models.training import Optimiser, TrainingPlan, train
from qperov.generative.representations.ftcp import FTCP, published_hkl
from qperov.generative.representations.tlvae_image import TLVAEImage
from qperov.generative.representations.voxels import Voxels

CRYSTALS, LABELS = toy_crystals(40)
HEADS = ["regressor", "classifier"]


def layers(part: torch.nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in part]


def test_ftcp_has_the_layers_of_its_program() -> None:
    network = ftcp_network((280, 63), 256, 1024, ["regressor"]).eval()
    block = ["Conv1d", "BatchNorm1d", "LeakyReLU"]
    assert layers(network["encoder"]) == [*block * 3, "Flatten", "Linear", "Sigmoid", "Linear"]
    upward = ["ConvTranspose1d", "BatchNorm1d", "ReLU"]
    assert layers(network["decoder"]) == [
        "Linear", "ReLU", "Unflatten", "BatchNorm1d", *upward * 2, "ConvTranspose1d", "Sigmoid"
    ]  # fmt: skip
    assert layers(network["regressor"]) == ["ReLU", *["Linear", "ReLU"] * 2, "Linear", "Sigmoid"]
    widths = [layer.out_features for layer in network.modules() if isinstance(layer, torch.nn.Linear)]
    assert widths == [1024, 512, 8960, 128, 32, 1]
    assert network["decoder"](torch.zeros(2, 256)).shape == (2, 63, 280)


def test_tlvae_has_the_layers_of_its_program() -> None:
    network = tlvae_network((60, 88, 3), 256, 1024, HEADS).eval()
    block = ["Conv2d", "LeakyReLU", "BatchNorm2d"]
    assert layers(network["encoder"]) == [*block * 3, "Flatten", "Linear", "Sigmoid", "Linear"]
    upward = ["ConvTranspose2d", "LeakyReLU", "BatchNorm2d"]
    dense = ["Linear", "Sigmoid", "Linear", "LeakyReLU", "BatchNorm1d", "Unflatten"]
    assert layers(network["decoder"]) == [*dense, *upward * 2, "ConvTranspose2d", "Sigmoid"]
    transposed = [layer for layer in network["decoder"] if isinstance(layer, torch.nn.ConvTranspose2d)]
    assert [(layer.out_channels, layer.kernel_size[0], layer.stride[0]) for layer in transposed] == [
        (64, 5, 2), (64, 3, 2), (3, 3, 1)
    ]  # fmt: skip
    assert network["decoder"](torch.zeros(2, 256)).shape == (2, 3, 60, 88)
    assert network["encoder"](torch.zeros(2, 3, 60, 88)).shape == (2, 512)


def test_published_losses_grow_with_batch_and_image() -> None:
    torch.manual_seed(0)
    inputs, y = torch.rand(6, 8, 4), torch.rand(6)
    network = ftcp_network((8, 4), 3, 5, ["regressor"]).eval()
    once = ftcp_terms(network, inputs, {"regressor": y})
    twice = ftcp_terms(network, inputs.repeat(2, 1, 1), {"regressor": y.repeat(2)})
    assert twice["reconstruction"].item() == pytest.approx(2 * once["reconstruction"].item(), rel=1e-5)
    assert twice["regression"].item() == pytest.approx(2 * once["regression"].item(), rel=1e-5)
    assert twice["kl"].item() == pytest.approx(once["kl"].item(), rel=1e-5)
    images = torch.rand(6, 8, 4, 3)
    network = tlvae_network((8, 4, 3), 3, 5, HEADS).eval()
    terms = tlvae_terms(network, images, {"regressor": y, "classifier": (y < 0.5).float()})
    mean = network["encoder"](images.movedim(-1, 1))[:, :3]
    error = (network["decoder"](mean).movedim(1, -1) - images).square().mean()
    assert terms["reconstruction"].item() == pytest.approx((8 * 4 * error * 8 * 4 * 3).item(), rel=1e-5)
    assert set(terms) == {"reconstruction", "kl", "regression", "classification"}


def test_scaling_by_range_puts_all_crystals_into_unit_interval() -> None:
    arrays = np.random.default_rng(0).normal(size=(20, 5, 3)).astype(np.float32)
    arrays[:, 4] = 2.0
    scaling = ArrayScaling.of_range(arrays, (0, 2))
    inputs = scaling.inputs(arrays)
    np.testing.assert_allclose(inputs.min(axis=(0, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(inputs.max(axis=(0, 2)), [1, 1, 1, 1, 0], atol=1e-6)


def test_rates_are_set_and_fall_on_a_plateau() -> None:
    rates: list[float] = []

    class Watched(Optimiser):
        def build(self, network: torch.nn.Module, rate: float, weight_decay: float) -> torch.optim.Optimizer:
            optimizer = super().build(network, rate, weight_decay)
            optimizer.register_step_pre_hook(lambda own, *_: rates.append(own.param_groups[0]["lr"]))
            return optimizer

    way = Watched("RMSprop", lambda step, steps: 1.0, None, {6: 0.5}, (0.1, 2, 0.01))
    plan = TrainingPlan(9, 4, 1.0, 0.0, {"flat": 1.0}, 0, 0.0, 5, way)

    def flat(network: torch.nn.Module, batch: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"flat": 0 * network(batch[0]).mean() + 1}

    rows = np.ones((4, 2), np.float32)
    train(lambda: torch.nn.Linear(2, 1), flat, [rows], [rows[:0]], plan, random_state=0)
    assert rates == pytest.approx([1, 1, 1, 0.1, 0.1, 0.01, 0.5, 0.05, 0.05])


@pytest.mark.parametrize(("cls", "image"), [(FTCPVAE, False), (TLVAE, True)])
def test_published_models_fit_predict_sample_and_are_stored(cls: type, image: bool, tmp_path: Path) -> None:
    model = cls(ToyCells(image=image), mode="published", latent=4, hidden=8, epochs=3).fit(CRYSTALS, LABELS)
    assert model.hyperparameters()["property_weight"] == 10
    assert not any(name.startswith("validation") for name in model.history_)
    assert len(model.reconstruct(CRYSTALS[:3])) == 3
    assert len(model.sample(5, method="local", target=-1.5, random_state=0)) == 5
    loaded = cls.load(model.save(tmp_path / "model"), representation=ToyCells(image=image))
    np.testing.assert_array_equal(loaded.predict(CRYSTALS), model.predict(CRYSTALS))
    assert loaded.mode == "published"
    with pytest.raises(ValueError, match="mode must be one of"):
        cls(mode="printed").fit(CRYSTALS, LABELS)


def test_the_published_branch_of_ftcp_cannot_exceed_its_labels() -> None:
    model = FTCPVAE(ToyCells(), mode="published", latent=4, hidden=8, epochs=2).fit(CRYSTALS, LABELS)
    assert (model.offset_, model.factor_) == (LABELS.min(), pytest.approx(np.ptp(LABELS)))
    far = model.predict_latent(100 * np.random.default_rng(0).normal(size=(200, 4)))
    assert LABELS.min() <= far.min()
    assert far.max() <= LABELS.max() + 1e-9


def test_published_local_noise_is_in_units_of_the_prior() -> None:
    model = FTCPVAE(ToyCells(), mode="published", latent=4, hidden=8, epochs=1).fit(CRYSTALS, LABELS)
    codes = model.sample_latent(4000, method="local", target=-1.5, scale=0.6, neighbours=1, random_state=0)
    assert codes.std(axis=0) == pytest.approx(np.full(4, 0.6), rel=0.05)


def test_settings_still_mean_equivalent_cells() -> None:
    with pytest.deprecated_call(match="equivalent_cells"):
        old = FTCPVAE(ToyCells(), settings=2, latent=4, hidden=8, epochs=1)
    old.fit(CRYSTALS, LABELS)
    new = FTCPVAE(ToyCells(), equivalent_cells=2, latent=4, hidden=8, epochs=1).fit(CRYSTALS, LABELS)
    np.testing.assert_array_equal(old.predict(CRYSTALS), new.predict(CRYSTALS))


def test_ftcp_tells_stability_where_it_has_a_threshold() -> None:
    model = FTCPVAE(ToyCells(), threshold=-1.5, latent=4, hidden=8, epochs=1).fit(CRYSTALS, LABELS)
    assert model.predict_stability(CRYSTALS).shape == (40,)
    without = FTCPVAE(ToyCells(), latent=4, hidden=8, epochs=1).fit(CRYSTALS, LABELS)
    with pytest.raises(ValueError, match="fit it with a threshold"):
        without.predict_stability(CRYSTALS)


# --- arrays ---------------------------------------------------------------------------------------


def test_published_hkl_are_sorted_by_the_sum_of_indices() -> None:
    lattice = Lattice.orthorhombic(4, 5, 6)
    hkl, g = published_hkl(lattice.matrix)
    assert hkl[:6].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, -1], [0, -1, 0], [-1, 0, 0]]
    assert len(hkl) == 59
    np.testing.assert_allclose(g, np.linalg.norm(hkl / [4, 5, 6], axis=1))


def test_only_published_fourier_rows_see_the_origin() -> None:
    crystal = cubic_perovskite()
    moved = crystal.copy().translate_sites(range(5), [0.25, 0.1, 0.3])
    for representation in (FTCP(), FTCP(mode="published")):
        part = representation.blocks["structure_factors"]
        first, second = (representation.encode([each])[0][part] for each in (crystal, moved))
        assert np.allclose(first, second, atol=1e-5) == (representation.mode == "repaired")
    image = TLVAEImage(mode="published")
    rows = image.encode([crystal])[0][image.blocks["structure_factors"]]
    assert np.abs(rows).max() > 2


def test_published_ftcp_keeps_the_order_of_the_file_and_inverts() -> None:
    positions = [[0.9, 0.1, 0.2], [0.3, 0.6, 0.95], [0.5, 0.5, 0.4]]
    crystal = Structure(Lattice.from_parameters(4, 5, 6, 80, 95, 100), ["O", "Ti", "O"], positions)
    array = FTCP(mode="published").encode([crystal])
    assert FTCP(mode="published").decode(array)[0].species == crystal.species
    np.testing.assert_allclose(FTCP(mode="published").decode(array)[0].frac_coords, positions, atol=1e-6)
    block = FTCP().blocks["structure_factors"]
    hkl, _ = published_hkl(crystal.lattice.matrix)
    total = np.pi * (np.array(positions) @ hkl.T).sum(axis=0)
    # each of the nine properties is one-hot: its bins add up to one for every atom
    np.testing.assert_allclose(array[0][block].sum(axis=0)[: len(hkl)], 9 * total, rtol=1e-4)
    with pytest.raises(ValueError, match="mode must be one of"):
        FTCP(mode="printed")


# --- iMatGen --------------------------------------------------------------------------------------


def test_what_published_imatgen_lacks_does_not_shape_its_codes() -> None:
    torch.manual_seed(0)
    network = MaterialsGenerator(8, 3, 4, 1, (4, 4, 4, 2), 6, 5, ("regressor", "classifier"), informed=False).build()
    assert network["posterior"].in_features == 2
    batch = [torch.rand(5, 3, 8), torch.rand(5, 2, 5), torch.randn(5), (torch.rand(5) < 0.5).float()]
    terms = generator_terms(network, batch, 1e-4, 1.0, published=True)
    (terms["elements"] + terms["regression"]).backward()
    assert all(weight.grad is None for weight in network["encoder"].parameters())
    assert all(weight.grad is not None for name in ("elements", "regressor") for weight in network[name].parameters())
    plain = generator_terms(network.eval(), batch, 1e-4, 1.0)
    summed = generator_terms(network, batch, 1e-4, 1.0, published=True)
    assert summed["kl"].item() == pytest.approx(6 * plain["kl"].item(), rel=1e-5)


def test_published_imatgen_fits_and_is_stored(tmp_path: Path) -> None:
    voxels = Voxels(grid=32, max_elements=3, species=("Rb", "Cs", "Sn", "Pb", "Br", "I"), box=10.0, cell_grid=32)
    small = {"cell_channels": (2, 2, 2), "basis_channels": (2, 2, 2), "cell_code": 4, "basis_code": 8, "latent": 4}
    model = IMatGen(voxels, mode="published", **small, channels=(4, 4, 4, 2), cell_epochs=1, basis_epochs=1, epochs=2)
    model.fit(CRYSTALS[:12], LABELS[:12])
    assert model.code_variance_ == 1
    assert model.predict_stability(CRYSTALS[:4]).shape == (4,)
    loaded = IMatGen.load(model.save(tmp_path / "model"), representation=voxels)
    np.testing.assert_array_equal(loaded.predict(CRYSTALS[:4]), model.predict(CRYSTALS[:4]))
