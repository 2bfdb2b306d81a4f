"""What iMatGen's parameters are, repaired and published, where none are given."""

from __future__ import annotations

from typing import Any

from qperov.generative.models.training import Optimiser

#: Published: Adam at one rate, another one for the network of cells.
PUBLISHED_OPTIMISER, PUBLISHED_CELL_RATE = Optimiser("Adam", lambda step, steps: 1.0, None), 1e-4
#: Values of the parameters by mode.
REPAIRED: dict[str, Any] = {
    "cell_channels": (8, 16, 32),
    "basis_channels": (8, 16, 32),
    "cell_code": 20,
    "basis_code": 64,
    "channels": (64, 64, 64, 32),
    "latent": 64,
    "hidden": 256,
    "centred": True,
    "cell_epochs": 30,
    "basis_epochs": 25,
    "epochs": 150,
    "image_batch_size": 16,
    "batch_size": 32,
    "image_learning_rate": 0.003,
    "learning_rate": 0.002,
    "beta": 0.01,
    "warm_up": 30,
    "delta": 1.0,
    "saturation_weight": 0.01,
    "element_weight": 1.0,
    "property_weight": 1.0,
    "stability_weight": 0.1,
    "validation_fraction": 0.1,
    "patience": 60,
}
PUBLISHED: dict[str, Any] = REPAIRED | {
    "cell_channels": (64, 64, 64),
    "basis_channels": (64, 64, 64, 64),
    "basis_code": 200,
    "channels": (100, 100, 100, 50),
    "latent": 500,
    "hidden": 500,
    "centred": False,
    "image_batch_size": 24,
    "batch_size": 64,
    "image_learning_rate": 0.0003,
    "learning_rate": 0.0001,
    "beta": 1e-06,
    "warm_up": 0,
    "delta": 0.0001,
    "saturation_weight": 0.0,
    "stability_weight": 5e-07,
    "validation_fraction": 0.0,
}
