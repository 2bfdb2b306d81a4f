"""The quantum kernel of two studies of measured diffraction, their classical kernels, and what is put beside them.

The experiments on the two studies import this; it does nothing by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from few_samples import Contender
from scipy.spatial.distance import cdist

import qperov
from qperov.quantum.gram.psd import nearest_correlation
from qperov.studies.surrogate_kernels import closed_form, fourier_features, separable_twin

QUBITS, FEATURES, SHOTS = 25, 150, 1024
#: Gates of one circuit U(x)U(y)† as the jobs of the first study were compiled, and the mean fidelity of each on IonQ's
#: Aria as Microsoft's page on the provider gives it (learn.microsoft.com/azure/quantum/provider-ionq).
GATES = {"one qubit": (664, 0.9995), "two qubits": (96, 0.996), "preparation and measurement": (QUBITS, 0.9961)}
#: Widths among which marginal likelihood chooses, in units of what a study took or of the median distance.
WIDTHS = tuple(np.geomspace(1 / 8, 8, 13).tolist())
#: Random frequencies of the surrogate that samples them.
FREQUENCIES = 500


# --- the quantum kernel of both studies ---------------------------------------------------------


def quantum_angles(intensities: np.ndarray, *, by_row: bool) -> np.ndarray:
    """1/(1 + exp(−I/1000)), divided by its sum in each row if ``by_row``, then all scaled to [0, π]."""
    squeezed = 1 / (1 + np.exp(-0.001 * intensities))
    if by_row:
        squeezed = squeezed / squeezed.sum(axis=1, keepdims=True)
    return np.pi * (squeezed - squeezed.min()) / np.ptp(squeezed)


def spread_columns(intensities: np.ndarray) -> np.ndarray:
    """150 columns at equal steps of the index, rounded down, as both studies take them."""
    return intensities[:, np.linspace(0, intensities.shape[1] - 1, FEATURES, dtype=int)]


def qiskit_order(angles: np.ndarray) -> np.ndarray:
    """Columns as Qiskit's NLocal gives them to the gates: in each layer 25 to the first Rz, 25 to Ry, 25 to the last.

    The Peters map of qperov takes three after another for each qubit instead.
    """
    layers = angles.reshape(len(angles), 2, 3, QUBITS)
    return layers.transpose(0, 1, 3, 2).reshape(len(angles), FEATURES)


def peters_kernel(bandwidth: float = 1.0) -> qperov.FidelityKernel:
    """Fidelity kernel of the Peters map on 25 qubits with one repetition: exact, with matrix product states."""
    return qperov.FidelityKernel("peters", reps=1, bandwidth=bandwidth, simulator="mps", max_bond=4)


def survival() -> float:
    """Share of circuits without an error by the stated fidelities."""
    return float(np.prod([fidelity**count for count, fidelity in GATES.values()]))


def measured_matrix(K: np.ndarray, random: np.random.Generator, scale: float = 1.0) -> np.ndarray:
    """A kernel matrix from 1,024 shots a pair, all values times ``scale`` before, ones on the diagonal.

    The noise model is the simplest that has a source: a circuit with an error never returns all zeros. The nearest
    positive semi-definite matrix with that diagonal is taken.
    """
    drawn = np.triu(random.binomial(SHOTS, np.clip(scale * K, 0, 1)) / SHOTS, 1)
    return nearest_correlation(drawn + drawn.T + np.eye(len(K)))[0]


# --- classical kernels --------------------------------------------------------------------------


def cosines(X: np.ndarray) -> np.ndarray:
    """Cosine of the angle between two rows."""
    rows = X / np.linalg.norm(X, axis=1, keepdims=True)
    return np.clip(rows @ rows.T, -1, 1)


def angular(X: np.ndarray, width: float = 1.0) -> np.ndarray:
    """exp(−arccos(c)²/ℓ²)."""
    return np.exp(-((np.arccos(cosines(X)) / width) ** 2))


def gaussian(X: np.ndarray, width: float = 1.0) -> np.ndarray:
    """exp(−‖x − y‖²/ℓ²), without the usual factor ½."""
    return np.exp(-cdist(X, X, "sqeuclidean") / width**2)


def published_kernels(X: np.ndarray, gaussian_width: float) -> dict[str, np.ndarray]:
    """The classical kernels of both studies, without anything to tune."""
    c = cosines(X)
    return {
        "angular": angular(X),
        "cosine": c,
        "cosine RBF": np.exp(-((1 - c) ** 2)),
        "cosine-distance exponential": np.exp(c - 1),
        "Gaussian": gaussian(X, gaussian_width),
    }


def median_distance(X: np.ndarray) -> float:
    """Median distance of two different rows."""
    distances = cdist(X, X)
    return float(np.median(distances[distances > 0]))


# --- contenders ---------------------------------------------------------------------------------


def published_contenders(
    angles: np.ndarray, classical: np.ndarray, gaussian_width: float, seed: int
) -> list[Contender]:
    """The quantum kernel, exact and as it would be measured, and the classical kernels, all as they are."""
    K = peters_kernel()(angles)
    random = np.random.default_rng(seed)
    quantum = {
        "quantum": K,
        "quantum, 1,024 shots": measured_matrix(K, random),
        "quantum, noise model": measured_matrix(K, random, survival()),
    }
    found = [Contender(name, "quantum", matrix[None]) for name, matrix in quantum.items()]
    others = published_kernels(classical, gaussian_width)
    return found + [Contender(name, "classical", matrix[None]) for name, matrix in others.items()]


def widths_of(name: str, family: str, kernel: Callable[[float], np.ndarray]) -> Contender:
    """A contender of all `WIDTHS`; ``kernel`` makes the matrix of a width."""
    return Contender(f"{name}, tuned", family, np.array([kernel(width) for width in WIDTHS]))


def tuned_contenders(angles: np.ndarray, classical: np.ndarray, physical: np.ndarray, seed: int) -> list[Contender]:
    """Quantum kernel, its surrogates, classical kernels and physical descriptors, with the same search of the width.

    Parameters
    ----------
    angles : ndarray, shape (n, 150)
        Of the quantum kernel, in the order of its gates.
    classical : ndarray, shape (n, m)
        What the studies give to classical kernels.
    physical : ndarray, shape (n, d)
        Numbers read off the peaks; standardised here, without labels; their kernels are Gaussian, and a linear one.
    """

    def surrogate(replace: Callable[[Any], np.ndarray]) -> Callable[[float], np.ndarray]:
        return lambda width: replace(peters_kernel(1 / width))

    def frequencies(kernel: Any) -> np.ndarray:
        Z = fourier_features(kernel, angles, FREQUENCIES, np.random.default_rng(seed))
        return Z @ Z.T

    scale = median_distance(classical)
    standard = (physical - physical.mean(axis=0)) / np.where(physical.std(axis=0) > 0, physical.std(axis=0), 1)
    of_peaks = widths_of("", "", lambda width: gaussian(standard, width * median_distance(standard))).matrices
    linear = 1 + standard @ standard.T / standard.shape[1]
    return [
        widths_of("quantum", "quantum", lambda width: peters_kernel(1 / width)(angles)),
        widths_of("without entanglement", "classical", surrogate(lambda k: separable_twin(k, FEATURES)(angles))),
        widths_of("closed form", "classical", surrogate(lambda kernel: closed_form(kernel, angles))),
        widths_of("random frequencies", "classical", surrogate(frequencies)),
        widths_of("angular", "classical", lambda width: angular(classical, width)),
        widths_of("Gaussian", "classical", lambda width: gaussian(classical, width * scale)),
        Contender("physical descriptors, tuned", "reference", np.array([linear, *of_peaks])),
    ]


if __name__ == "__main__":
    print(__doc__)
