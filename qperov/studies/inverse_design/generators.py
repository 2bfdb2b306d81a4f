"""Generators trained for an inverse design, kept in its folder, and measured on the crystals held out."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import qperov
from qperov.datasets.dataset import CrystalDataset
from qperov.evaluation.progress import Progress
from qperov.generative.imatgen.model import IMatGen
from qperov.generative.models.base import GenerativeModel
from qperov.generative.models.ftcp_vae import FTCPVAE
from qperov.generative.models.tlvae import TLVAE
from qperov.generative.representations.ftcp import FTCP
from qperov.generative.representations.representation import description
from qperov.generative.representations.tlvae_image import TLVAEImage
from qperov.generative.representations.voxels import Voxels
from qperov.storage.atomic import write_text
from qperov.studies.inverse_design.task import Task

#: Small networks and few epochs, to see that everything works.
QUICK: dict[str, Any] = {"latent": 16, "hidden": 64, "epochs": 3, "batch_size": 32}
QUICK_IMAGES: dict[str, Any] = QUICK | {
    "cell_channels": (4, 4, 4),
    "basis_channels": (4, 4, 4),
    "channels": (16, 16, 16, 8),
    "basis_code": 32,
    "cell_epochs": 1,
    "basis_epochs": 1,
}


def presets(task: Task, threshold: float) -> dict[str, GenerativeModel]:
    """Untrained models by the names that the report has for them.

    Raises
    ------
    ValueError
        There is no such model.
    """
    common: dict[str, Any] = {"mode": task.mode, "device": task.device, "random_state": task.random_state}
    small, images = (QUICK, QUICK_IMAGES) if task.quick else ({}, {})
    models: dict[str, GenerativeModel] = {}
    for name in task.models:
        if name == "ftcp":
            models["FTCP"] = FTCPVAE(FTCP(mode=task.mode), **common, **small)
        elif name == "tlvae":
            models["TL-VAE"] = TLVAE(TLVAEImage(mode=task.mode), threshold=threshold, **common, **small)
        elif name == "imatgen":
            fine = task.mode == "published" and not task.quick
            voxels = Voxels(grid=64, max_elements=5) if fine else Voxels(grid=32)
            models["iMatGen"] = IMatGen(voxels, threshold=threshold, **common, **images)
        else:
            raise ValueError(f"no model {name!r}; there are ftcp, tlvae, imatgen")
    return models


def train_model(
    task: Task, name: str, model: GenerativeModel, dataset: CrystalDataset, progress: Progress | None = None
) -> tuple[GenerativeModel, float]:
    """The model trained on a dataset, from the output folder if it is there, and the seconds that took."""
    parameters = model.get_params(deep=False) | model.hyperparameters()
    settings = {
        "version": qperov.__version__,
        "model": type(model).__name__,
        "parameters": {k: v for k, v in parameters.items() if k not in ("representation", "device")},
        "representation": description(model.representation or model._default_representation()),
        "data": dataset.fingerprint,
    }
    key = hashlib.sha256(json.dumps(settings, sort_keys=True, default=repr).encode()).hexdigest()[:12]
    folder = task.out / "models"
    file = folder / f"{name.lower()}-{key}.safetensors"
    clock = file.with_suffix(".json")
    if file.exists() and clock.exists():
        loaded = type(model).load(file, representation=model.representation).set_params(device=task.device)
        return loaded, float(json.loads(clock.read_text())["seconds"])
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    model.fit(list(dataset.structures), dataset.y, progress=within(progress, name))
    seconds = time.perf_counter() - began
    model.save(file)
    write_text(clock, json.dumps(settings | {"seconds": seconds}, default=repr))
    return model, seconds


def within(progress: Progress | None, name: str) -> Progress | None:
    """Progress of one part of the work, which its name begins."""
    if progress is None:
        return None
    return lambda done, total, what: progress(done, total, f"{name}: {what}")
