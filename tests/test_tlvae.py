"""TL-VAE: its layers, its two heads and what it learns from a toy set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from toy_representation import ToyCells, toy_crystals

from qperov.errors import MissingLabelError, RecordError
from qperov.generative.bench.reconstruction import reconstruction_errors
from qperov.generative.models.tlvae import TLVAE
from qperov.generative.representations.tlvae_image import TLVAEImage

CRYSTALS, LABELS = toy_crystals(120)
OTHERS, OTHER_LABELS = toy_crystals(40, seed=1)


def small(**changes: object) -> TLVAE:
    parameters: dict = {
        "equivalent_cells": 1,
        "latent": 8,
        "hidden": 32,
        "epochs": 60,
        "batch_size": 32,
        "learning_rate": 3e-3,
    }
    return TLVAE(ToyCells(image=True), **(parameters | changes))


@pytest.fixture(scope="module")
def fitted() -> TLVAE:
    return small().fit(CRYSTALS, LABELS)


def test_layers_are_the_published_ones() -> None:
    network = TLVAE()._architecture(TLVAEImage().shape, ["regressor", "classifier"]).build().eval()
    maps: list[tuple[int, ...]] = []
    for part in (network["encoder"], network["decoder"]):
        for layer in part:
            if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear, torch.nn.ConvTranspose2d, torch.nn.Unflatten)):
                layer.register_forward_hook(lambda _, __, out: maps.append(tuple(out.shape[1:])))
    with torch.no_grad():
        network["decoder"](network["encoder"](torch.zeros(1, 3, 60, 88))[:, :256])
    encoder = [(32, 60, 88), (64, 30, 44), (64, 15, 22), (1024,), (512,)]
    assert maps == [*encoder, (1024,), (21120,), (64, 15, 22), (32, 30, 44), (3, 60, 88)]
    convolutions = [layer for layer in network["encoder"] if isinstance(layer, torch.nn.Conv2d)]
    assert [(layer.kernel_size[0], layer.stride[0]) for layer in convolutions] == [(3, 1), (3, 2), (5, 2)]
    assert len([layer for layer in network["encoder"] if isinstance(layer, torch.nn.BatchNorm2d)]) == 3
    widths = {
        name: [layer.out_features for layer in network[name] if isinstance(layer, torch.nn.Linear)]
        for name in ("regressor", "classifier")
    }
    assert widths == {"regressor": [256, 128, 64, 32, 1], "classifier": [128, 64, 32, 1]}


def test_unseen_crystals_are_reconstructed_and_judged(fitted: TLVAE) -> None:
    errors = reconstruction_errors(OTHERS, fitted.reconstruct(OTHERS)).mean()
    assert errors["species"] == 1
    assert errors["lattice"] < 0.15
    assert errors["undecodable"] == errors["angles"] == 0
    residuals = fitted.predict(OTHERS) - OTHER_LABELS
    assert np.mean(residuals**2) < 0.05 * OTHER_LABELS.var()
    stable = fitted.predict_stability(OTHERS)
    assert ((stable >= 0) & (stable <= 1)).all()
    clear = np.abs(OTHER_LABELS - -1.5) > 0.15
    assert np.array_equal(stable[clear] > 0.5, OTHER_LABELS[clear] < -1.5)
    assert np.array_equal(fitted.predict_stability_latent(fitted.encode(OTHERS)), stable)


def test_the_threshold_is_a_parameter() -> None:
    for threshold, expected in ((0.0, 1.0), (-5.0, 0.0)):
        model = small(threshold=threshold, epochs=12).fit(CRYSTALS, LABELS)
        np.testing.assert_allclose(model.predict_stability(OTHERS), expected, atol=0.2)


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    model = small(epochs=2, property_weight=3.0, stability_weight=5.0, beta=0.7, warm_up=0).fit(CRYSTALS, LABELS)
    for prefix in ("", "validation_"):
        terms = {name: np.array(values) for name, values in model.history_.items()}
        expected = (
            terms[f"{prefix}reconstruction"]
            + 0.7 * terms[f"{prefix}kl"]
            + 3 * terms[f"{prefix}regression"]
            + 5 * terms[f"{prefix}classification"]
        )
        np.testing.assert_allclose(terms[f"{prefix}loss"], expected, rtol=1e-5)


def test_a_seed_determines_the_model() -> None:
    first, same = (small(epochs=2).fit(CRYSTALS, LABELS) for _ in range(2))
    assert np.array_equal(first.predict_stability(OTHERS), same.predict_stability(OTHERS))
    assert clone(first).get_params() == first.get_params()


def test_a_saved_model_does_the_same(fitted: TLVAE, tmp_path: Path) -> None:
    path = fitted.save(tmp_path / "tlvae.safetensors")
    again = TLVAE.load(path, representation=ToyCells(image=True))
    assert np.array_equal(again.predict(OTHERS), fitted.predict(OTHERS))
    assert np.array_equal(again.predict_stability(OTHERS), fitted.predict_stability(OTHERS))
    assert again.reconstruct(OTHERS) == fitted.reconstruct(OTHERS)
    assert again.threshold == -1.5
    with pytest.raises(RecordError, match="trained with the representation"):
        TLVAE.load(path)


def test_without_labels_nothing_is_judged() -> None:
    model = small(epochs=1).fit(CRYSTALS)
    for ask in (lambda: model.predict_stability(OTHERS), lambda: model.predict_stability_latent(np.zeros((1, 8)))):
        with pytest.raises(MissingLabelError, match="fitted without labels"):
            ask()
    with pytest.raises(NotFittedError):
        small().predict_stability(OTHERS)
