"""iMatGen: images of cell and atoms compressed by two autoencoders, and a variational autoencoder of their codes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.core import Structure
from sklearn.utils.validation import check_is_fitted

from qperov.evaluation.progress import Progress
from qperov.generative.imatgen.compression import (
    IMAGES,
    SATURATION,
    count_epochs,
    train_compression,
    with_weights,
)
from qperov.generative.imatgen.images import CHUNK, CrystalImages, SparseImages
from qperov.generative.imatgen.networks import (
    CODES,
    ELEMENTS,
    ImageCentre,
    ImageCompression,
    MaterialsGenerator,
    generator_terms,
)
from qperov.generative.imatgen.pipeline import BASIS, CELL, GENERATOR, Pipeline, weights_of
from qperov.generative.imatgen.postprocessing import merge_sites
from qperov.generative.imatgen.presets import PUBLISHED, PUBLISHED_CELL_RATE, PUBLISHED_OPTIMISER, REPAIRED
from qperov.generative.models.base import CLASSIFIER, REGRESSOR, GenerativeModel
from qperov.generative.models.published import CLASSIFICATION, REGRESSION
from qperov.generative.models.training import (
    KL,
    ONE_CYCLE,
    TrainingPlan,
    TrainingResult,
    split_rows,
    train,
)
from qperov.generative.representations.representation import Representation
from qperov.generative.representations.voxels import Voxels
from qperov.torch_support import State

#: The generator's heads on z, where there are labels.
HEADS = (REGRESSOR, CLASSIFIER)


class IMatGen(GenerativeModel):
    """iMatGen: crystals to images, images to codes, codes to z, and back.

    CELL and BASIS compress the image of the cell and that of each element's atoms (`ImageCompression`); MG is a
    variational autoencoder of a crystal's codes (`MaterialsGenerator`), with a stability classifier and a property head
    on z. They are trained one after another. A crystal that comes out has its atoms merged where two of one
    element are closer than 0.7 of twice its covalent radius. Needs PyTorch (``pip install 'qperov[torch]'``).

    Repaired, L of CELL and BASIS = mean (image − image′)² − w_c mean ln(1 − c²) over their codes c. L of MG = mean
    (codes − codes′)² + w_e cross-entropy of the elements + β KL + w_p (head(z) − y)² + w_s BCE, y in standard
    deviations, squared errors of images and codes in units of their variance, each term a mean over crystals and
    entries. z = μ + δ σ ε, ε ~ N(0, I).

    The repaired mode is a small preset for computers without an accelerator, on images of 32³.

    **The published model** (``mode="published"``, from the paper's supplement) wants an accelerator: images of 64³,
    five elements, CELL {64, 64, 64, 20}, BASIS {64, 64, 64, 64, 200}, MG {100, 100, 100, 50} → 1250 → 500. z is drawn
    with δ = 10⁻⁴, which leaves KL without an opponent: z follows the prior, but the decoder has met single points only;
    here δ = 1. No network is centred (see `ImageCentre`), and codes may saturate. Adam at 10⁻⁴ (CELL), 3·10⁻⁴ (BASIS)
    and 10⁻⁴ (MG), batches of 24 and 64, KL 10⁻⁶ and BCE 5·10⁻⁷, as for the vanadium oxides; `fine_tune` goes on from a
    broad set. It knows elements by their position alone and has no property head: both are read from z here without
    shaping it. Not public, and so ours: the program of the networks, their first weights, the numbers of epochs,
    whether losses are sums or means (errors are means, KL a sum over z), and the classifier's threshold.

    Parameters
    ----------
    representation : Voxels, optional
        ``Voxels(grid=32)`` if none is given; published, ``Voxels(grid=64, max_elements=5)``.
    mode : {"repaired", "published"}
        Parameters left at ``None`` have the values of the mode (`DEFAULTS`).
    cell_channels, basis_channels : tuple of int
        Of the strided convolutions of CELL and BASIS: log₂(side) − 2 of them.
    cell_code, basis_code : int
        Lengths of their codes; the cell's is the shorter, the other a multiple of 8.
    channels : tuple of int
        Of MG's four convolutions.
    latent, hidden : int
        Widths of z, and of the hidden layer of each head.
    threshold : float, optional
        Crystals with this property or less are the classifier's stable ones; the median of the labels if none is given.
    centred : bool
        Give CELL and BASIS the mean of their images.
    cell_epochs, basis_epochs, epochs : int
        Of CELL, BASIS and MG.
    image_batch_size, batch_size : int
        Images of CELL and BASIS, and crystals of MG.
    image_learning_rate, learning_rate : float
        Largest rates of AdamW's one-cycle schedule, likewise.
    beta : float
        Weight of KL(q(z | x) ‖ N(0, 1)), a mean over the components of z; the paper's α.
    warm_up : int
        Epochs in which β grows to its value.
    delta : float
        δ.
    saturation_weight : float
        w_c. Without it most codes end at ±1, where near images have far codes.
    element_weight, property_weight, stability_weight : float
        w_e, w_p and w_s; the last is the paper's β.
    validation_fraction : float
        Share of the crystals kept back at random to stop by; 0 for none.
    patience : int
        Epochs without a lower validation loss before a network's training stops.
    device : str
        As in PyTorch: ``"cpu"``, ``"cuda"``.
    random_state : int, RandomState or None

    Attributes
    ----------
    representation_, weights_, latent_, labels_
        As in `GenerativeModel`; names of weights begin with ``cell.``, ``basis.`` or ``generator.``.
    history_ : dict of str to list of float
        Losses of each epoch of MG; those of CELL and BASIS under ``cell.…`` and ``basis.…``.
    threshold_ : float
        The classifier's.
    centres_ : dict of str to ImageCentre
        Of ``"cell"`` and ``"basis"``.
    offset_, factor_ : float
        Mean and standard deviation of the labels learnt from.
    code_variance_ : float
        Of the codes learnt from.

    References
    ----------
    J. Noh et al., Matter 1, 1370 (2019), doi:10.1016/j.matt.2019.08.017.

    Examples
    --------
    >>> IMatGen(mode="published").hyperparameters()["latent"]
    500
    """

    def __init__(
        self,
        representation: Voxels | None = None,
        *,
        mode: str = "repaired",
        cell_channels: tuple[int, ...] | None = None,
        basis_channels: tuple[int, ...] | None = None,
        cell_code: int | None = None,
        basis_code: int | None = None,
        channels: tuple[int, ...] | None = None,
        latent: int | None = None,
        hidden: int | None = None,
        threshold: float | None = None,
        centred: bool | None = None,
        cell_epochs: int | None = None,
        basis_epochs: int | None = None,
        epochs: int | None = None,
        image_batch_size: int | None = None,
        batch_size: int | None = None,
        image_learning_rate: float | None = None,
        learning_rate: float | None = None,
        beta: float | None = None,
        warm_up: int | None = None,
        delta: float | None = None,
        saturation_weight: float | None = None,
        element_weight: float | None = None,
        property_weight: float | None = None,
        stability_weight: float | None = None,
        validation_fraction: float | None = None,
        patience: int | None = None,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.representation = representation
        self.mode = mode
        self.cell_channels = cell_channels
        self.basis_channels = basis_channels
        self.cell_code = cell_code
        self.basis_code = basis_code
        self.channels = channels
        self.latent = latent
        self.hidden = hidden
        self.threshold = threshold
        self.centred = centred
        self.cell_epochs = cell_epochs
        self.basis_epochs = basis_epochs
        self.epochs = epochs
        self.image_batch_size = image_batch_size
        self.batch_size = batch_size
        self.image_learning_rate = image_learning_rate
        self.learning_rate = learning_rate
        self.beta = beta
        self.warm_up = warm_up
        self.delta = delta
        self.saturation_weight = saturation_weight
        self.element_weight = element_weight
        self.property_weight = property_weight
        self.stability_weight = stability_weight
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.device = device
        self.random_state = random_state

    DEFAULTS: ClassVar = {"repaired": REPAIRED, "published": PUBLISHED}

    @classmethod
    def published(cls, **changes: Any) -> Self:
        """``IMatGen(mode="published")``, by its deprecated name."""
        warnings.warn(
            'IMatGen.published() is IMatGen(mode="published") since 0.2, and goes in 0.3', DeprecationWarning, 2
        )
        return cls(mode="published", **changes)

    # --- training -------------------------------------------------------------------------------

    def fine_tune(
        self, structures: Sequence[Structure], y: ArrayLike | None = None, *, progress: Progress | None = None
    ) -> Self:
        """Go on training from the weights of a broad set on other crystals, as the paper did on vanadium oxides.

        Means of images, and the scales of codes and labels, stay those of the first set, so that its weights keep their
        meaning. Heads that the model lacks, because it had no labels, begin from nothing. Parameters, such as the
        learning rates, may be changed before by ``set_params``. Latent codes and labels are then the new crystals'.
        """
        check_is_fitted(self, "weights_")
        return self._fit(structures, y, progress, self.weights_)

    def _represent(self, structures: list[Structure]) -> CrystalImages:
        """Images, kept as the few points that are not empty."""
        return CrystalImages.of(self._voxels, structures)

    def _train(
        self,
        crystals: list[Structure],
        arrays: CrystalImages,
        labels: np.ndarray | None,
        random_state: int,
        progress: Progress | None,
        initial: State,
    ) -> None:
        known = self.hyperparameters()
        learnt, kept = split_rows(len(arrays), known["validation_fraction"], random_state)
        rows = {
            CELL: (arrays.cell, learnt, kept),
            BASIS: (arrays.basis, arrays.filled_slots(learnt), arrays.filled_slots(kept)),
        }
        if not initial:
            self.centres_ = {name: self._centre(some, own) for name, (some, own, _) in rows.items()}
        weights: State = {}
        history: dict[str, list[float]] = {}
        architectures = self._pipeline(weights).compressions
        epochs = {CELL: known["cell_epochs"], BASIS: known["basis_epochs"], GENERATOR: known["epochs"]}
        counting = count_epochs(progress, epochs)
        terms = {IMAGES: 1.0, SATURATION: known["saturation_weight"]}
        for name, (some, own, held) in rows.items():
            result = train_compression(
                architectures[name],
                self.centres_[name],
                some,
                own,
                held,
                self._plan(epochs[name], known["image_batch_size"], self._image_rate(name), terms),
                random_state=random_state,
                device=self.device,
                progress=next(counting),
                initial=weights_of(name, initial),
            )
            weights |= {f"{name}.{key}": value for key, value in result.state.items()}
            history |= {f"{name}.{key}": losses for key, losses in result.history.items()}
        pipeline = self._pipeline(weights)
        codes = [pipeline.image_codes(arrays), pipeline.vectors(arrays)]
        result = self._train_generator(
            pipeline.generator,
            codes,
            labels,
            (learnt, kept),
            random_state,
            next(counting),
            weights_of(GENERATOR, initial),
        )
        self.weights_ = weights | {f"{GENERATOR}.{key}": value for key, value in result.state.items()}
        self.history_ = history | result.history

    def _train_generator(
        self,
        architecture: MaterialsGenerator,
        codes: list[np.ndarray],
        labels: np.ndarray | None,
        rows: tuple[np.ndarray, np.ndarray],
        random_state: int,
        progress: Progress | None,
        initial: State,
    ) -> TrainingResult:
        learnt, kept = rows
        known = self.hyperparameters()
        published = self.mode == "published"
        if not initial:
            self.code_variance_ = 1.0 if published else float(codes[0][learnt].var())
        if not any(key.startswith(REGRESSOR) for key in initial):
            own = None if labels is None else labels[learnt]
            self.offset_, self.factor_, self.threshold_ = self._label_numbers(own)
        targets: list[np.ndarray] = []
        if labels is not None:
            targets = [(labels - self.offset_) / self.factor_, labels <= self.threshold_]
        columns = [*codes, *(target.astype(np.float32) for target in targets)]
        weights = {
            CODES: 1.0,
            ELEMENTS: known["element_weight"],
            KL: known["beta"],
            REGRESSION: known["property_weight"],
            CLASSIFICATION: known["stability_weight"],
        }
        return train(
            with_weights(replace(architecture, heads=HEADS if targets else ()).build, initial),
            partial(generator_terms, delta=known["delta"], code_variance=self.code_variance_, published=published),
            [column[learnt] for column in columns],
            [column[kept] for column in columns],
            self._plan(known["epochs"], known["batch_size"], known["learning_rate"], weights),
            random_state=random_state,
            device=self.device,
            progress=progress,
        )

    def _plan(self, epochs: int, batch_size: int, learning_rate: float, weights: Mapping[str, float]) -> TrainingPlan:
        known = self.hyperparameters()
        last = (known["warm_up"], known["validation_fraction"], known["patience"])
        optimiser = PUBLISHED_OPTIMISER if self.mode == "published" else ONE_CYCLE
        return TrainingPlan(epochs, batch_size, learning_rate, 0.0, weights, *last, optimiser)

    def _image_rate(self, name: str) -> float:
        """Published, the network of cells has its own rate, unless one is given."""
        if self.mode == "published" and name == CELL and self.image_learning_rate is None:
            return PUBLISHED_CELL_RATE
        return self.hyperparameters()["image_learning_rate"]

    def _centre(self, images: SparseImages, rows: np.ndarray) -> ImageCentre:
        if self.mode == "published" and not self.centred:
            return ImageCentre(None, 1.0)
        mean, deviation = images.mean_and_deviation(rows)
        centred = self.hyperparameters()["centred"]
        return ImageCentre(mean if centred else None, deviation if deviation > 0 else 1.0)

    def _label_numbers(self, labels: np.ndarray | None) -> tuple[float, float, float]:
        """Mean, standard deviation and threshold for those learnt from."""
        if labels is None:
            return 0.0, 1.0, 0.0
        threshold = float(np.median(labels)) if self.threshold is None else float(self.threshold)
        return float(labels.mean()), float(labels.std()) or 1.0, threshold

    # --- crystals and codes ---------------------------------------------------------------------

    @property
    def _voxels(self) -> Voxels:
        if not isinstance(self.representation_, Voxels):
            raise TypeError(f"iMatGen's networks are made for Voxels, not for {type(self.representation_).__name__}")
        return self.representation_

    def _default_representation(self) -> Representation:
        return Voxels(grid=64, max_elements=5) if self.mode == "published" else Voxels(grid=32)

    def _codes(self, arrays: CrystalImages) -> np.ndarray:
        return self._pipeline(self.weights_).means(arrays)

    def _decode(self, z: np.ndarray) -> list[Structure | None]:
        """Crystals with their atoms merged."""
        pipeline, crystals = self._pipeline(self.weights_), []
        for start in range(0, len(z), CHUNK):
            crystals += self._voxels.decode(pipeline.arrays(z[start : start + CHUNK]))
        return [None if structure is None else merge_sites(structure) for structure in crystals]

    def _head(self, name: str) -> Callable[[np.ndarray], np.ndarray]:
        return self._pipeline(self.weights_).head(name)

    def _pipeline(self, weights: State) -> Pipeline:
        voxels = self._voxels
        known = self.hyperparameters()
        if known["cell_code"] > known["basis_code"]:
            raise ValueError("the code of the cell must not be longer than that of the atoms")
        compressions = {
            CELL: ImageCompression(voxels.cell_grid, tuple(known["cell_channels"]), known["cell_code"]),
            BASIS: ImageCompression(voxels.grid, tuple(known["basis_channels"]), known["basis_code"]),
        }
        generator = MaterialsGenerator(
            length=known["basis_code"],
            width=voxels.max_elements + 1,
            species=len(voxels.species),
            channels=tuple(known["channels"]),
            latent=known["latent"],
            hidden=known["hidden"],
            informed=self.mode != "published",
            heads=HEADS if any(key.startswith(f"{GENERATOR}.{REGRESSOR}.") for key in weights) else (),
        )
        return Pipeline(voxels, compressions, self.centres_, generator, weights, self.device)

    # --- files ----------------------------------------------------------------------------------

    def _numbers(self) -> tuple[State, dict[str, Any]]:
        tensors = {f"centre.{name}": one.mean for name, one in self.centres_.items() if one.mean is not None}
        numbers = {name: getattr(self, name) for name in ("offset_", "factor_", "threshold_", "code_variance_")}
        return tensors, numbers | {f"deviation.{name}": one.deviation for name, one in self.centres_.items()}

    def _adopt_numbers(self, tensors: State, header: dict[str, Any]) -> None:
        self.centres_ = {
            name: ImageCentre(tensors.pop(f"centre.{name}", None), float(header[f"deviation.{name}"]))
            for name in (CELL, BASIS)
        }
        for name in ("offset_", "factor_", "threshold_", "code_variance_"):
            setattr(self, name, float(header[name]))
        self.weights_ = tensors
        self._pipeline(self.weights_).check()
