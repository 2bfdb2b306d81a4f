"""What a report says of the autoencoder, as plain numbers: compression, baselines, noise, dead angles, energy heads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.metrics import mean_absolute_error, r2_score

from qperov.quantum.autoencoder.autoencoder import QuantumAutoencoder
from qperov.quantum.autoencoder.compression import (
    amplitudes,
    constant_state_fidelities,
    linear_autoencoder_fidelities,
    spectral_bound,
)
from qperov.quantum.autoencoder.encoded_regressor import TorchHead
from qperov.quantum.autoencoder.trainability import dead_angles, random_gradients
from qperov.quantum.simulation.noise import GateNoise, noisy_losses

#: Noise that the trained encoder is put under, from one of today's good machines to a bad one.
NOISE_LEVELS = (
    GateNoise(),
    GateNoise(depolarising=1e-4, amplitude_damping=1e-4, readout=5e-3),
    GateNoise(depolarising=1e-3),
    GateNoise(amplitude_damping=1e-3),
    GateNoise(readout=1e-2),
    GateNoise(depolarising=1e-3, amplitude_damping=1e-3, readout=1e-2),
    GateNoise(depolarising=5e-3, amplitude_damping=5e-3, readout=3e-2),
)

#: Runs a state where shots are counted.
SHOTS = 1024


@dataclass(frozen=True)
class AutoencoderFindings:
    """Tables of a report's section on the autoencoder.

    Attributes
    ----------
    compression : DataFrame
        One row an encoder: ``model``, ``ansatz``, ``n_qubits``, ``code_qubits``, ``train``, ``test``, ``test_least``
        (fidelities), ``loss_test``, beside them on the test samples ``constant``, ``linear`` and ``bound``, and
        ``seconds``.
    losses : DataFrame
        ``model``, ``ansatz``, ``epoch``, ``loss``; epoch 0 is before training.
    fidelities : DataFrame
        ``model``, ``split``, ``fidelity``, one row a sample, for the encoders of ``code_qubits[0]``.
    noise : DataFrame
        Loss of the test samples under noise: ``model``, ``depolarising``, ``amplitude_damping``, ``readout``,
        ``n_gates``, ``encoder`` (noise in the encoder alone), ``preparation`` (and in the writing of amplitudes), and
        ``shots`` (that with finitely many shots).
    dead : dict of str to list of int
        Angles of each ansatz that cannot change the loss.
    energy : DataFrame or None
        ``model``, ``split``, ``mae``, ``r2`` of the heads and of the training median.
    predictions : DataFrame or None
        ``model``, ``split``, ``true``, ``predicted``.
    """

    compression: pd.DataFrame
    losses: pd.DataFrame
    fidelities: pd.DataFrame
    noise: pd.DataFrame
    dead: dict[str, list[int]]
    energy: pd.DataFrame | None
    predictions: pd.DataFrame | None


def autoencoder_findings(
    X_train: ArrayLike,
    X_test: ArrayLike,
    y_train: ArrayLike | None = None,
    y_test: ArrayLike | None = None,
    *,
    code_qubits: Sequence[int] = (4, 3, 2, 1),
    epochs: int = 500,
    seed: int = 0,
    published: bool = True,
) -> AutoencoderFindings:
    """Train encoders to several sizes of code and say what they are worth beside their baselines.

    Parameters
    ----------
    X_train, X_test : array of shape (n, n_features)
        Vectors on both sides of an honest split.
    y_train, y_test : array of shape (n,), optional
        A property for the heads; needs torch.
    code_qubits : sequence of int
    epochs : int
        Of the entangling encoder.
    seed : int
    published : bool
        Whether the published encoder and head are trained beside it, where the vectors fit five qubits.
    """
    X_train, X_test = np.asarray(X_train, dtype=float), np.asarray(X_test, dtype=float)
    n_qubits = max(int(X_train.shape[1] - 1).bit_length(), max(code_qubits) + 1)
    models: dict[str, QuantumAutoencoder] = {}
    if published and n_qubits == 5:
        models["published 5→4"] = QuantumAutoencoder(mode="published", random_state=seed)
    for k in code_qubits:
        models[f"entangling {n_qubits}→{k}"] = QuantumAutoencoder(
            n_qubits, code_qubits=k, epochs=epochs, observables="pauli", random_state=seed
        )
    rows, losses = [], []
    for name, model in models.items():
        rows.append({"model": name} | _compression(model, X_train, X_test))
        curve = {
            "model": name,
            "ansatz": _ansatz(model),
            "epoch": range(len(model.loss_history_)),
            "loss": model.loss_history_,
        }
        losses.append(pd.DataFrame(curve))
    shown = {name: model for name, model in models.items() if model.code_qubits == code_qubits[0]}
    energy = predictions = None
    if y_train is not None and y_test is not None:
        energy, predictions = _energy_heads(
            shown, X_train, X_test, np.asarray(y_train, dtype=float), np.asarray(y_test, dtype=float), seed
        )
    return AutoencoderFindings(
        compression=pd.DataFrame(rows),
        losses=pd.concat(losses, ignore_index=True),
        fidelities=pd.concat(
            [
                pd.DataFrame({"model": name, "split": split, "fidelity": model.fidelity(X)})
                for name, model in shown.items()
                for split, X in (("train", X_train), ("test", X_test))
            ],
            ignore_index=True,
        ),
        noise=pd.concat([_noise(name, model, X_test, seed) for name, model in shown.items()], ignore_index=True),
        dead={name: _dead(model, X_train, seed) for name, model in models.items()},
        energy=energy,
        predictions=predictions,
    )


def compression_curve(
    vectors: dict[int, tuple[np.ndarray, np.ndarray]], *, epochs: int = 300, seed: int = 0
) -> pd.DataFrame:
    """Fidelity of the entangling encoder for every size of code and several sizes of input.

    Parameters
    ----------
    vectors : dict of int to (ndarray, ndarray)
        Number of qubits n → training and test vectors of up to 2ⁿ features.
    epochs, seed : int

    Returns
    -------
    DataFrame
        The columns of `AutoencoderFindings.compression` without ``model``.
    """
    return pd.DataFrame(
        [
            _compression(QuantumAutoencoder(n, code_qubits=k, epochs=epochs, random_state=seed), X_train, X_test)
            for n, (X_train, X_test) in vectors.items()
            for k in range(n - 1, 0, -1)
        ]
    )


def _compression(model: QuantumAutoencoder, X_train: np.ndarray, X_test: np.ndarray) -> dict[str, Any]:
    """Fit, and measure beside the baselines."""
    start = time.perf_counter()
    model.fit(X_train)
    seconds = time.perf_counter() - start
    train, test = (amplitudes(X, model.n_qubits_) for X in (X_train, X_test))
    fidelities, dimension = model.fidelity(X_test), 2**model.code_qubits
    return {
        "ansatz": _ansatz(model),
        "n_qubits": model.n_qubits_,
        "code_qubits": model.code_qubits,
        "train": model.score(X_train),
        "test": float(fidelities.mean()),
        "test_least": float(fidelities.min()),
        "loss_test": model.loss(X_test),
        "constant": float(constant_state_fidelities(train, test).mean()),
        "linear": float(linear_autoencoder_fidelities(train, test, dimension).mean()),
        "bound": spectral_bound(test, dimension),
        "seconds": seconds,
    }


def _ansatz(model: QuantumAutoencoder) -> str:
    return "published" if model.mode == "published" else str(model.ansatz)


def _noise(name: str, model: QuantumAutoencoder, X: np.ndarray, seed: int) -> pd.DataFrame:
    gates = model.gates()
    # crystals share patterns, and a noisy preparation is the dearest step by far
    states, row_of = np.unique(amplitudes(X, model.n_qubits_), axis=0, return_inverse=True)
    rows = []
    for noise in NOISE_LEVELS:
        encoder, preparation = (
            noisy_losses(gates, states, model.code_qubits, noise, noisy_preparation=both)[row_of]
            for both in (False, True)
        )
        counted = np.random.RandomState(seed).binomial(SHOTS, preparation) / SHOTS
        rows.append(
            {
                "model": name,
                "depolarising": noise.depolarising,
                "amplitude_damping": noise.amplitude_damping,
                "readout": noise.readout,
                "n_gates": len(gates),
                "encoder": float(encoder.mean()),
                "preparation": float(preparation.mean()),
                "shots": float(counted.mean()),
            }
        )
    return pd.DataFrame(rows)


def _dead(model: QuantumAutoencoder, X: np.ndarray, seed: int) -> list[int]:
    states = amplitudes(X, model.n_qubits_)
    gradients = random_gradients(
        _ansatz(model), model.n_qubits_, model.code_qubits, states, layers=model.layers, draws=20, random_state=seed
    )
    return dead_angles(gradients)


def _energy_heads(
    models: dict[str, QuantumAutoencoder],
    X_train: np.ndarray,
    X_test: np.ndarray,
    y_train: np.ndarray,
    y_test: np.ndarray,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Heads on the codes of trained encoders, published and not; targets are differences from the median label."""
    median = float(np.median(y_train))
    predicted = {"median of the training labels": tuple(np.full(len(X), median) for X in (X_train, X_test))}
    for name, model in models.items():
        head = TorchHead(mode=model.mode, random_state=seed)
        train, test = model.transform(X_train), model.transform(X_test)
        head.fit(train, y_train - median)
        predicted[f"{name}, head"] = (head.predict(train) + median, head.predict(test) + median)
    scores, predictions = [], []
    for name, pair in predicted.items():
        for split, true, values in (("train", y_train, pair[0]), ("test", y_test, pair[1])):
            scores.append(
                {
                    "model": name,
                    "split": split,
                    "mae": float(mean_absolute_error(true, values)),
                    "r2": float(r2_score(true, values)),
                }
            )
            predictions.append(pd.DataFrame({"model": name, "split": split, "true": true, "predicted": values}))
    return pd.DataFrame(scores), pd.concat(predictions, ignore_index=True)
