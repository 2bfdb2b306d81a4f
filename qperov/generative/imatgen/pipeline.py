"""iMatGen's three networks at work: images to codes to z, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qperov.generative.imatgen.compression import codes_of, images_of
from qperov.generative.imatgen.images import CrystalImages
from qperov.generative.imatgen.networks import (
    DECODER,
    ELEMENTS,
    ENCODER,
    POSTERIOR,
    ImageCentre,
    ImageCompression,
    MaterialsGenerator,
    element_vectors,
    posterior_of,
)
from qperov.generative.models.networks import stored_part
from qperov.generative.representations.voxels import VoxelParts, Voxels
from qperov.torch_support import State, import_torch

if TYPE_CHECKING:
    import torch

#: The networks, and what the names of their weights begin with.
CELL, BASIS, GENERATOR = "cell", "basis", "generator"


@dataclass(frozen=True, eq=False)
class Pipeline:
    """CELL, BASIS and MG with their weights.

    Attributes
    ----------
    voxels : Voxels
    compressions : dict of str to ImageCompression
        Of ``"cell"`` and ``"basis"``.
    centres : dict of str to ImageCentre
        Likewise.
    generator : MaterialsGenerator
    weights : dict of str to ndarray
        Under ``cell.…``, ``basis.…`` and ``generator.…``.
    device : str
    """

    voxels: Voxels
    compressions: Mapping[str, ImageCompression]
    centres: Mapping[str, ImageCentre]
    generator: MaterialsGenerator
    weights: State
    device: str

    def image_codes(self, images: CrystalImages) -> np.ndarray:
        """Codes of slots and cell, shape (n, slots + 1, length); those of empty slots, and beyond a cell's, are 0."""
        n, slots = images.elements.shape[:2]
        codes = np.zeros((n, slots + 1, self.generator.length), np.float32)
        codes[:, slots, : self.compressions[CELL].code] = codes_of(
            self.part(CELL, ENCODER), self.centres[CELL], images.cell, np.arange(n), self.device
        )
        filled = images.filled_slots(np.arange(n))
        codes[filled // slots, filled % slots] = codes_of(
            self.part(BASIS, ENCODER), self.centres[BASIS], images.basis, filled, self.device
        )
        return codes

    def vectors(self, images: CrystalImages) -> np.ndarray:
        """Vectors of the elements, shape (n, slots, …)."""
        return element_vectors(images.elements, self.voxels.species)

    def means(self, images: CrystalImages) -> np.ndarray:
        """Posterior means of z, shape (n, latent)."""
        pytorch = import_torch()
        parts = {name: self.part(GENERATOR, name) for name in (ENCODER, POSTERIOR)}
        codes = pytorch.as_tensor(self.image_codes(images), device=self.device)
        with pytorch.no_grad():
            mean, _ = posterior_of(parts, codes, pytorch.as_tensor(self.vectors(images), device=self.device))
        return mean.cpu().numpy()

    def arrays(self, z: np.ndarray) -> np.ndarray:
        """Flat arrays for `Voxels.decode`. A slot whose likeliest element is none has an empty image."""
        pytorch = import_torch()
        n, slots = len(z), self.voxels.max_elements
        rows = self._rows(z)
        with pytorch.no_grad():
            codes = self.part(GENERATOR, DECODER)(rows)
            logits = self.part(GENERATOR, ELEMENTS)(rows).reshape(n, slots, -1).cpu().numpy()
        own = codes[:, -1, : self.compressions[CELL].code]
        cell = images_of(self.part(CELL, DECODER), self.centres[CELL], own, self.voxels.cell_grid)
        chosen = (logits.max(-1) > 0).ravel()  # the log-odds of none are 0
        basis = np.zeros((n * slots, self.voxels.grid**3), np.float32)
        if chosen.any():
            own = codes[:, :-1].flatten(0, 1)[pytorch.as_tensor(chosen, device=codes.device)]
            basis[chosen] = images_of(self.part(BASIS, DECODER), self.centres[BASIS], own, self.voxels.grid)
        elements = np.eye(logits.shape[-1], dtype=np.float32)[logits.argmax(-1)]
        return self.voxels.joined(VoxelParts(cell, basis.reshape(n, -1), elements))

    def head(self, name: str) -> Callable[[np.ndarray], np.ndarray]:
        """A head of which any codes may be asked: bare outputs, shape (n,)."""
        head = self.part(GENERATOR, name)

        def outputs(z: np.ndarray) -> np.ndarray:
            with import_torch().no_grad():
                return head(self._rows(z)).squeeze(1).cpu().numpy().astype(np.float64)

        return outputs

    def part(self, name: str, part: str) -> torch.nn.Module:
        """One part of a network, ready to be asked.

        Raises
        ------
        RuntimeError
            The weights are not those of this part.
        """
        architecture = self.generator if name == GENERATOR else self.compressions[name]
        return stored_part(architecture.build, part, weights_of(name, self.weights), self.device)

    def check(self) -> None:
        """Raise `RuntimeError` unless all weights fit."""
        for name, parts in ((CELL, ()), (BASIS, ()), (GENERATOR, (POSTERIOR, ELEMENTS, *self.generator.heads))):
            for part in (ENCODER, DECODER, *parts):
                self.part(name, part)

    def _rows(self, z: np.ndarray) -> torch.Tensor:
        pytorch = import_torch()
        return pytorch.as_tensor(z, dtype=pytorch.float32, device=self.device)


def weights_of(name: str, weights: State) -> State:
    """Those of one network, by their names in it."""
    return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}
