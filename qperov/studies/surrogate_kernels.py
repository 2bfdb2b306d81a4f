"""Classical kernels that stand in for a quantum one: without entanglement, in closed form, fitted, and sampled.

The rotations of a feature map that act on one qubit, by an angle linear in the features, are its encoding: rotation g
turns by s_g·x + const, and eigenvalue differences of its generator give the kernel the frequencies −s_g, 0 and s_g.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from qperov_circuits import Angle, Gate
from scipy.optimize import minimize_scalar
from scipy.spatial.distance import pdist, squareform
from sklearn.base import clone

from qperov.quantum.kernels.feature_map_kernel import Circuit, FeatureMapKernel
from qperov.quantum.kernels.projected import ProjectedKernel
from qperov.studies.kernel_findings import likeness

#: Widths of Gaussians that are tried, in units of the median distance, before the best is refined.
WIDTHS = np.geomspace(0.05, 20.0, 25)


def separable_twin(kernel: FeatureMapKernel, n_features: int) -> FeatureMapKernel:
    """The same kernel without entanglement.

    Gates on two qubits are left out, and so are rotations by products of features, whose only use is to entangle (those
    between two CX of the map ``zz``). Its states are products, K(x, y) = ∏_q ½(1 + r_q(x)·r_q(y)) with the Bloch
    vectors r of single qubits for a `FidelityKernel`, which takes 3 numbers a qubit and no quantum computer.
    """
    kept = [slopes is not None for slopes in _slopes(kernel, n_features)]
    alone = partial(_some_gates, clone(kernel).circuit, kept)
    return clone(kernel).set_params(feature_map=alone, n_qubits=None, weights=None, simulator="auto")


def _some_gates(circuit: Circuit, kept: Sequence[bool], angles: Sequence[Angle]) -> list[Gate]:
    return [gate for gate, stays in zip(circuit(angles), kept, strict=True) if stays]


def encoding(kernel: FeatureMapKernel, n_features: int) -> np.ndarray:
    """Slopes s_g of the encoding's rotations by features times bandwidth, shape (n_rotations, n_features)."""
    found = [slopes for slopes in _slopes(kernel, n_features) if slopes is not None and slopes.any()]
    return np.array(found).reshape(-1, n_features)


def _slopes(kernel: FeatureMapKernel, n_features: int) -> list[np.ndarray | None]:
    """Of each gate, how its angle grows with each feature; None for two qubits or an angle that is not linear."""
    anywhere = np.random.default_rng(0).normal(size=n_features)
    points = np.vstack([np.zeros(n_features), np.eye(n_features), anywhere])
    found: list[np.ndarray | None] = []
    for gate in kernel.circuit(list(points.T)):
        angles = np.broadcast_to(0.0 if gate.angle is None else gate.angle, len(points))
        slopes = angles[1:-1] - angles[0]
        linear = np.isclose(angles[-1] - angles[0], slopes @ anywhere, rtol=0, atol=1e-9)
        found.append(slopes if linear and len(gate.wires) == 1 else None)
    return found


def _phases(kernel: FeatureMapKernel, X: np.ndarray) -> np.ndarray:
    """s_g·(b x) of every sample and rotation, shape (n_samples, n_rotations)."""
    return (np.asarray(kernel.bandwidth, dtype=float) * X) @ encoding(kernel, X.shape[1]).T


def closed_form(kernel: FeatureMapKernel, X: np.ndarray) -> np.ndarray:
    """The kernel's encoding in closed form, shape (n_samples, n_samples).

    With Δ_g = s_g·b(x − y), ∏_g cos²(Δ_g/2) for a `FidelityKernel` and ∏_g exp(−2γ sin²(Δ_g/2)), a periodic kernel,
    for a `ProjectedKernel`. It is the separable twin where each qubit is put on the equator of its Bloch sphere and
    then turned about the axis once, and a kernel of the same frequencies where it is turned more often.
    """
    projected = isinstance(kernel, ProjectedKernel)
    K = np.ones((len(X), len(X)))
    for phase in _phases(kernel, X).T:
        half = (phase[:, None] - phase) / 2
        K *= np.exp(-2 * kernel.gamma * np.sin(half) ** 2) if projected else np.cos(half) ** 2
    return K


def fourier_features(
    kernel: FeatureMapKernel, X: np.ndarray, n_frequencies: int, random: np.random.Generator
) -> np.ndarray:
    """Random Fourier features of the frequencies that a feature map encodes, shape (n_samples, 2·n_frequencies).

    cos(ω·b x)/√D and sin(ω·b x)/√D of D frequencies ω = Σ_g k_g s_g with independent whole numbers k_g: −1, 0, 1 with
    probabilities ¼, ½, ¼ for a `FidelityKernel`; the difference of two Poisson numbers of mean γ/2, whose
    probabilities are e^(−γ) I_k(γ), for a `ProjectedKernel`. Their products have the mean `closed_form`.

    References
    ----------
    A. Rahimi, B. Recht, Random features for large-scale kernel machines, NeurIPS 20 (2007);
    J. Landman et al., Classically approximating variational quantum machine learning with random Fourier features
    (2022), arXiv:2210.13200, for frequencies drawn from the spectrum of an encoding.
    """
    phases = _phases(kernel, X)
    shape = (n_frequencies, phases.shape[1])
    if isinstance(kernel, ProjectedKernel):
        multiples = random.poisson(kernel.gamma / 2, shape) - random.poisson(kernel.gamma / 2, shape)
    else:
        multiples = random.binomial(2, 0.5, shape) - 1
    turns = phases @ multiples.T
    return np.hstack([np.cos(turns), np.sin(turns)]) / np.sqrt(n_frequencies)


def closest_gaussian(K: np.ndarray, X: np.ndarray) -> np.ndarray:
    """The Gaussian kernel exp(−d²/2ℓ²) of the width ℓ that has the greatest centred alignment with K.

    Raises
    ------
    ValueError
        All samples are the same.
    """
    squares = squareform(pdist(X, "sqeuclidean"))
    if not squares.any():
        raise ValueError("all samples are the same: there is no distance to scale a kernel by")
    squares /= np.median(squares[squares > 0])

    def miss(log_width: float) -> float:
        return -likeness(K, np.exp(-0.5 * squares / np.exp(2 * log_width)))

    logs = np.log(WIDTHS)
    at = min(max(int(np.argmin([miss(log) for log in logs])), 1), len(logs) - 2)
    best = minimize_scalar(miss, bounds=(logs[at - 1], logs[at + 1]), method="bounded", options={"xatol": 1e-4})
    return np.exp(-0.5 * squares / np.exp(2 * best.x))


def reorder_qubits(kernel: FeatureMapKernel, X: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The kernel matrix with the features on other qubits, each with its own bandwidth."""
    bandwidth = np.asarray(kernel.bandwidth, dtype=float)
    own = kernel if bandwidth.size == 1 else clone(kernel).set_params(bandwidth=bandwidth[order].tolist())
    return own(X[:, order])
