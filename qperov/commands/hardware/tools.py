"""What ``qperov hardware`` needs from the rest of qperov: features to measure, repairs and scores of the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from qperov_circuits import Gate
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from qperov.commands.hardware.commands import Toolbox
from qperov.datasets.dataset import CrystalDataset
from qperov.descriptors.featurizer import PXRDFeaturizer
from qperov.descriptors.rank_pca import RankPCA
from qperov.quantum.autoencoder.autoencoder import QuantumAutoencoder
from qperov.quantum.autoencoder.compression import amplitudes
from qperov.quantum.estimators.regression import QuantumSVR
from qperov.quantum.gram.repair import KernelRepair
from qperov.studies.models import diffraction_kinds, lattices_of

#: Components, and so qubits, where the command line names no number.
COMPONENTS = 6


def toolbox(named: Callable[[str], CrystalDataset]) -> Toolbox:
    """The toolbox of the hardware commands; ``named`` gives a dataset by its name."""

    def dataset(
        name: str, samples: int | None, components: int | None, seed: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        crystals = named(name).one_per_class()
        if samples is not None:
            crystals = crystals.take(np.sort(np.random.default_rng(seed).permutation(len(crystals))[:samples]))
        kind = diffraction_kinds(lattices_of(crystals))[-1]
        steps = make_pipeline(PXRDFeaturizer(kind), StandardScaler(), RankPCA(components or COMPONENTS))
        return steps.fit_transform(crystals.structures), crystals.y

    return Toolbox(dataset, _encoder, _repairs, _score)


def _encoder(path: Path, vectors: np.ndarray) -> tuple[Sequence[Gate], int, np.ndarray]:
    model = QuantumAutoencoder.load(path)
    return model.gates(), model.code_qubits, amplitudes(vectors, model.n_qubits_, "raise")


def _repairs(K: np.ndarray, n_qubits: int, diagonal: bool) -> dict[str, np.ndarray]:
    found = {"nearest": KernelRepair().fit(K).matrix_}
    if diagonal:
        # a diagonal that noise has brought to its floor leaves nothing to correct; the other repairs still can be had
        with suppress(ValueError):
            found["depolarising"] = KernelRepair(depolarising="mean", n_qubits=n_qubits).fit(K).matrix_
    return found


def _score(K: np.ndarray, y: np.ndarray) -> float:
    """Cross-validated R² of a support vector regression on the matrix, with settings that are not tuned."""
    if y.std() == 0:
        return float("nan")
    z = (y - y.mean()) / y.std()
    folds = KFold(min(5, len(y)), shuffle=True, random_state=0)
    return float(r2_score(z, cross_val_predict(QuantumSVR("precomputed", C=10.0, epsilon=0.05), K, z, cv=folds)))
