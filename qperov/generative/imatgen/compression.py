"""CELL and BASIS at work: their training, images to codes, and codes to images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from qperov.evaluation.progress import Progress
from qperov.generative.imatgen.images import SparseImages
from qperov.generative.imatgen.networks import DECODER, ENCODER, ImageCentre, ImageCompression
from qperov.generative.models.training import TrainingPlan, TrainingResult, train
from qperov.torch_support import State, import_torch

if TYPE_CHECKING:
    import torch

#: Terms of their loss.
IMAGES, SATURATION = "images", "saturation"
#: Keeps ln(1 − c²) of a code finite.
LEAST_OPENING = 1e-6
#: Voxels of the images that are compressed or drawn at once.
VOXELS_AT_ONCE = 1 << 21


def train_compression(
    architecture: ImageCompression,
    centre: ImageCentre,
    images: SparseImages,
    learnt: np.ndarray,
    kept: np.ndarray,
    plan: TrainingPlan,
    *,
    random_state: int,
    device: str,
    progress: Progress | None,
    initial: State,
) -> TrainingResult:
    """Train an autoencoder on the rows ``learnt`` of images, the rows ``kept`` held back; batches are filled as needed.

    Terms: ``images``, the squared error in units of the variance, and ``saturation``, the mean of −ln(1 − c²) over the
    codes c. ``initial`` are weights to go on from, if there are any. All else is as in `train`.
    """

    def terms(network: torch.nn.Module, batch: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        parts = dict(network.named_children())
        some = import_torch().as_tensor(images.full(batch[0].cpu().numpy()), device=device)
        codes = parts[ENCODER](centre.inputs(some))
        saturation = -(1 - codes.square() + LEAST_OPENING).log().mean()
        return {IMAGES: centre.loss(parts[DECODER](codes), some), SATURATION: saturation}

    build = with_weights(lambda: architecture.build(keep_size=centre.mean is not None), initial)
    return train(build, terms, [learnt], [kept], plan, random_state=random_state, device=device, progress=progress)


def codes_of(
    encoder: torch.nn.Module, centre: ImageCentre, images: SparseImages, rows: np.ndarray, device: str
) -> np.ndarray:
    """Codes of some images, shape (len(rows), code)."""
    pytorch = import_torch()
    size = max(1, VOXELS_AT_ONCE // images.side**3)
    with pytorch.no_grad():
        parts = [
            encoder(centre.inputs(pytorch.as_tensor(images.full(rows[start : start + size]), device=device)))
            for start in range(0, max(1, len(rows)), size)
        ]
    return pytorch.cat(parts).cpu().numpy()


def images_of(decoder: torch.nn.Module, centre: ImageCentre, codes: torch.Tensor, side: int) -> np.ndarray:
    """Flat images of codes, shape (n, side³)."""
    pytorch = import_torch()
    size = max(1, VOXELS_AT_ONCE // side**3)
    with pytorch.no_grad():
        parts = [centre.images(decoder(some)).flatten(1) for some in codes.split(size)]
    return pytorch.cat(parts).cpu().numpy()


def with_weights(build: Callable[[], torch.nn.Module], known: State) -> Callable[[], torch.nn.Module]:
    """What builds a network and gives it the weights that are known of it; others, of a new head say, stay as drawn."""

    def built() -> torch.nn.Module:
        network, pytorch = build(), import_torch()
        own = network.state_dict()
        network.load_state_dict(own | {key: pytorch.as_tensor(known[key]) for key in known if key in own})
        return network

    return built


def count_epochs(progress: Progress | None, epochs: Mapping[str, int]) -> Iterator[Progress | None]:
    """For each of several trainings, by their names, a progress that counts the epochs of all."""

    def after(done: int, name: str) -> Progress:
        return lambda epoch, _, what: (
            None if progress is None else progress(done + epoch, sum(epochs.values()), f"{name}: {what}")
        )

    for done, name in zip(np.cumsum([0, *epochs.values()]).tolist(), epochs, strict=False):
        yield None if progress is None else after(done, name)
