"""iMatGen: images of cell and atoms compressed by two autoencoders, and a variational autoencoder of their codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.core import Structure
from scipy.special import expit
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from qperov.errors import EmptyDatasetError
from qperov.generative.imatgen.compression import (
    IMAGES,
    SATURATION,
    counted_through,
    train_compression,
    with_weights,
)
from qperov.generative.imatgen.images import CHUNK, CrystalImages, SparseImages
from qperov.generative.imatgen.networks import (
    CLASSIFICATION,
    CLASSIFIER,
    CODES,
    ELEMENTS,
    REGRESSION,
    REGRESSOR,
    ImageCentre,
    ImageCompression,
    MaterialsGenerator,
    generator_terms,
)
from qperov.generative.imatgen.pipeline import BASIS, CELL, GENERATOR, Pipeline, weights_of
from qperov.generative.imatgen.postprocessing import merge_sites
from qperov.generative.models.base import LEAST_CRYSTALS, GenerativeModel, checked_labels
from qperov.generative.models.training import KL, Progress, Trained, TrainingPlan, split_rows, train
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

    L of CELL and BASIS = mean (image − image′)² − w_c mean ln(1 − c²) over their codes c. L of MG = mean (codes −
    codes′)² + w_e cross-entropy of the elements + β KL + w_p (head(z) − y)² + w_s BCE, y in standard deviations,
    squared errors of images and codes in units of their variance, each term a mean over crystals and entries.
    z = μ + δ σ ε, ε ~ N(0, I).

    The defaults are a small preset for computers without an accelerator, on images of 32³. :meth:`published` gives the
    published sizes.

    **What differs from the published model.** There z is drawn with δ = 10⁻⁴, which leaves KL without an opponent: z
    follows the prior, but the decoder has met single points only; here δ = 1. There no network is centred (see
    `ImageCentre`), and codes may saturate. The elements are learnt, as `MaterialsGenerator` tells. The property head is
    new.

    Parameters
    ----------
    representation : Voxels, optional
        ``Voxels(grid=32)`` if none is given.
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
    """

    def __init__(
        self,
        representation: Voxels | None = None,
        *,
        cell_channels: tuple[int, ...] = (8, 16, 32),
        basis_channels: tuple[int, ...] = (8, 16, 32),
        cell_code: int = 20,
        basis_code: int = 64,
        channels: tuple[int, ...] = (64, 64, 64, 32),
        latent: int = 64,
        hidden: int = 256,
        threshold: float | None = None,
        centred: bool = True,
        cell_epochs: int = 30,
        basis_epochs: int = 25,
        epochs: int = 150,
        image_batch_size: int = 16,
        batch_size: int = 32,
        image_learning_rate: float = 3e-3,
        learning_rate: float = 2e-3,
        beta: float = 1e-2,
        warm_up: int = 30,
        delta: float = 1.0,
        saturation_weight: float = 1e-2,
        element_weight: float = 1.0,
        property_weight: float = 1.0,
        stability_weight: float = 0.1,
        validation_fraction: float = 0.1,
        patience: int = 60,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.representation = representation
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

    @classmethod
    def published(cls, **changes: Any) -> Self:
        """The published sizes, δ and weights: images of 64³, five elements, z of 500. It wants an accelerator.

        CELL {64, 64, 64, 20}, BASIS {64, 64, 64, 64, 200}, MG {100, 100, 100, 50} → 1250 → 500; nothing centred,
        δ = 10⁻⁴, KL 10⁻⁶ and BCE 5·10⁻⁷ as for the vanadium oxides. ``changes`` are parameters of the class.
        """
        sizes: dict[str, Any] = {
            "representation": Voxels(grid=64, max_elements=5),
            "cell_channels": (64, 64, 64),
            "basis_channels": (64, 64, 64, 64),
            "cell_code": 20,
            "basis_code": 200,
            "channels": (100, 100, 100, 50),
            "latent": 500,
            "hidden": 500,
            "centred": False,
            "image_batch_size": 24,
            "batch_size": 64,
            "image_learning_rate": 3e-4,
            "learning_rate": 1e-4,
            "beta": 1e-6,
            "delta": 1e-4,
            "saturation_weight": 0.0,
            "stability_weight": 5e-7,
        }
        return cls(**(sizes | changes))

    # --- training -------------------------------------------------------------------------------

    def fit(
        self, structures: Sequence[Structure], y: ArrayLike | None = None, *, progress: Progress | None = None
    ) -> Self:
        """Train on crystals, as `GenerativeModel.fit` says; their images are kept as the few points that are not empty.

        ``progress`` counts the epochs of the three networks through.
        """
        return self._fit(structures, y, progress, {})

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

    def _fit(
        self, structures: Sequence[Structure], y: ArrayLike | None, progress: Progress | None, known: State
    ) -> Self:
        crystals = list(structures)
        if len(crystals) < LEAST_CRYSTALS:
            raise EmptyDatasetError(f"{len(crystals)} crystals: a generator is trained on {LEAST_CRYSTALS} at least")
        labels = None if y is None else checked_labels(y, len(crystals))
        voxels = self._default_representation() if self.representation is None else self.representation
        if not isinstance(voxels, Voxels):
            raise TypeError(f"iMatGen's networks are made for Voxels, not for {type(voxels).__name__}")
        self.representation_ = voxels
        images = CrystalImages.of(voxels, crystals)
        self._train(images, labels, int(check_random_state(self.random_state).randint(2**31)), progress, known)
        self.labels_ = labels
        self.latent_ = self._codes(images)
        return self

    def _train(
        self, arrays: Any, labels: np.ndarray | None, seed: int, progress: Progress | None, known: State | None = None
    ) -> None:
        images, known = arrays, known or {}
        learnt, kept = split_rows(len(images), self.validation_fraction, seed)
        rows = {
            CELL: (images.cell, learnt, kept),
            BASIS: (images.basis, images.filled_slots(learnt), images.filled_slots(kept)),
        }
        if not known:
            self.centres_ = {name: self._centre(some, own) for name, (some, own, _) in rows.items()}
        weights: State = {}
        history: dict[str, list[float]] = {}
        architectures = self._pipeline(weights).compressions
        counted = counted_through(progress, (self.cell_epochs, self.basis_epochs, self.epochs))
        for (name, (some, own, held)), epochs in zip(rows.items(), (self.cell_epochs, self.basis_epochs), strict=True):
            trained = train_compression(
                architectures[name],
                self.centres_[name],
                some,
                own,
                held,
                self._plan(
                    epochs,
                    self.image_batch_size,
                    self.image_learning_rate,
                    {IMAGES: 1.0, SATURATION: self.saturation_weight},
                ),
                seed=seed,
                device=self.device,
                progress=next(counted),
                known=weights_of(name, known),
            )
            weights |= {f"{name}.{key}": value for key, value in trained.state.items()}
            history |= {f"{name}.{key}": losses for key, losses in trained.history.items()}
        pipeline = self._pipeline(weights)
        codes = [pipeline.image_codes(images), pipeline.vectors(images)]
        trained = self._train_generator(
            pipeline.generator, codes, labels, (learnt, kept), seed, next(counted), weights_of(GENERATOR, known)
        )
        self.weights_ = weights | {f"{GENERATOR}.{key}": value for key, value in trained.state.items()}
        self.history_ = history | trained.history

    def _train_generator(
        self,
        architecture: MaterialsGenerator,
        codes: list[np.ndarray],
        labels: np.ndarray | None,
        rows: tuple[np.ndarray, np.ndarray],
        seed: int,
        progress: Progress | None,
        known: State,
    ) -> Trained:
        learnt, kept = rows
        if not known:
            self.code_variance_ = float(codes[0][learnt].var())
        if not any(key.startswith(REGRESSOR) for key in known):
            own = None if labels is None else labels[learnt]
            self.offset_, self.factor_, self.threshold_ = self._label_numbers(own)
        targets: list[np.ndarray] = []
        if labels is not None:
            targets = [(labels - self.offset_) / self.factor_, labels <= self.threshold_]
        columns = [*codes, *(target.astype(np.float32) for target in targets)]
        weights = {
            CODES: 1.0,
            ELEMENTS: self.element_weight,
            KL: self.beta,
            REGRESSION: self.property_weight,
            CLASSIFICATION: self.stability_weight,
        }
        return train(
            with_weights(replace(architecture, heads=HEADS if targets else ()).build, known),
            partial(generator_terms, delta=self.delta, code_variance=self.code_variance_),
            [column[learnt] for column in columns],
            [column[kept] for column in columns],
            self._plan(self.epochs, self.batch_size, self.learning_rate, weights),
            seed=seed,
            device=self.device,
            progress=progress,
        )

    def _plan(self, epochs: int, batch_size: int, learning_rate: float, weights: Mapping[str, float]) -> TrainingPlan:
        fraction, patience = self.validation_fraction, self.patience
        return TrainingPlan(epochs, batch_size, learning_rate, 0.0, weights, self.warm_up, fraction, patience)

    def _centre(self, images: SparseImages, rows: np.ndarray) -> ImageCentre:
        mean, deviation = images.mean_and_deviation(rows)
        return ImageCentre(mean if self.centred else None, deviation if deviation > 0 else 1.0)

    def _label_numbers(self, labels: np.ndarray | None) -> tuple[float, float, float]:
        """Mean, standard deviation and threshold for those learnt from."""
        if labels is None:
            return 0.0, 1.0, 0.0
        threshold = float(np.median(labels)) if self.threshold is None else float(self.threshold)
        return float(labels.mean()), float(labels.std()) or 1.0, threshold

    # --- crystals and codes ---------------------------------------------------------------------

    def encode(self, structures: Sequence[Structure]) -> np.ndarray:
        """Posterior means z, shape (n, latent); raises as `GenerativeModel.encode`."""
        check_is_fitted(self, "weights_")
        return self._codes(CrystalImages.of(self._voxels, list(structures)))

    def decode(self, z: ArrayLike) -> list[Structure | None]:
        """Crystals of codes of shape (n, latent), atoms merged; ``None`` where the images hold no crystal."""
        codes = self._checked_codes(z)
        found: list[Structure | None] = []
        for start in range(0, len(codes), CHUNK):
            found += self._voxels.decode(self._arrays(codes[start : start + CHUNK]))
        return [None if structure is None else merge_sites(structure) for structure in found]

    def predict_stability(self, structures: Sequence[Structure]) -> np.ndarray:
        """Probability that the property of crystals is at most ``threshold_``, shape (n,)."""
        self._check_labelled()
        return expit(self._pipeline(self.weights_).head(CLASSIFIER, self.encode(structures)))

    def predict_stability_latent(self, z: ArrayLike) -> np.ndarray:
        """That probability at codes of shape (n, latent), shape (n,)."""
        codes = self._checked_codes(z)
        self._check_labelled()
        return expit(self._pipeline(self.weights_).head(CLASSIFIER, codes))

    @property
    def _voxels(self) -> Voxels:
        assert isinstance(self.representation_, Voxels)
        return self.representation_

    def _default_representation(self) -> Representation:
        return Voxels(grid=32)

    def _codes(self, arrays: Any) -> np.ndarray:
        return self._pipeline(self.weights_).means(arrays)

    def _arrays(self, z: np.ndarray) -> np.ndarray:
        return self._pipeline(self.weights_).arrays(z)

    def _properties(self, z: np.ndarray) -> np.ndarray:
        return self.offset_ + self.factor_ * self._pipeline(self.weights_).head(REGRESSOR, z)

    def _pipeline(self, weights: State) -> Pipeline:
        voxels = self._voxels
        if self.cell_code > self.basis_code:
            raise ValueError("the code of the cell must not be longer than that of the atoms")
        compressions = {
            CELL: ImageCompression(voxels.cell_grid, tuple(self.cell_channels), self.cell_code),
            BASIS: ImageCompression(voxels.grid, tuple(self.basis_channels), self.basis_code),
        }
        generator = MaterialsGenerator(
            length=self.basis_code,
            width=voxels.max_elements + 1,
            species=len(voxels.species),
            channels=tuple(self.channels),
            latent=self.latent,
            hidden=self.hidden,
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
