"""A Gaussian of the one-qubit reduced density matrices of feature states as a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from math import pi
from typing import Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import ArrayLike
from qperov_circuits import Gate
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.gaussian_process.kernels import Hyperparameter

from qperov.errors import keyword_only
from qperov.evaluation.progress import announced
from qperov.quantum.gram.matrix import gaussian
from qperov.quantum.kernels.feature_map_kernel import (
    MEMORY,
    PRECISIONS,
    Backend,
    FeatureMap,
    FeatureMapKernel,
    check_positive,
)
from qperov.quantum.kernels.shots import measured_expectations, sample_keys
from qperov.quantum.simulation.mps import MAX_BOND, TOLERANCE
from qperov.quantum.simulation.mps_overlaps import bloch_vectors
from qperov.quantum.simulation.overlaps import expectations
from qperov.quantum.simulation.statevector import MAX_QUBITS, states

#: Samples whose matrix product states are held at once.
CHAINS = 1024


class ProjectedKernel(FeatureMapKernel):
    """Gaussian kernel of the one-qubit reduced density matrices ρ_k of a feature map's states.

    K(x, y) = exp(−γ Σ_k ‖ρ_k(b·x) − ρ_k(b·y)‖²_F) = exp(−(γ/2) ‖r(b·x) − r(b·y)‖²), where r are the Bloch vectors of
    all qubits. On hardware its cost grows with N, not with N².

    Parameters
    ----------
    feature_map, reps, entanglement, bandwidth, bandwidth_bounds, n_qubits, weights
        As for `FidelityKernel`.
    precision, n_jobs, backend, simulator, tolerance, max_bond, device
        As for `FidelityKernel`.
    gamma : float
        Inverse squared width γ > 0 of the Gaussian.
    gamma_bounds : pair of floats or "fixed"
        Where an optimiser may look for γ.
    shots : int or None
        Runs in each of three bases (all X, all Y, all Z) for each sample; None for exact values.
    random_state : int or None
        Seed of the shots: with the same seed the same sample gets the same Bloch vectors. None for new noise in every
        call.

    References
    ----------
    H.-Y. Huang et al., Power of data in quantum machine learning, Nat. Commun. 12, 2631 (2021),
    doi:10.1038/s41467-021-22539-9, the projected quantum kernel.

    Examples
    --------
    >>> ProjectedKernel("zz", bandwidth=0.1)([[0.0, 0.0], [1.0, 0.0]]).shape
    (2, 2)
    """

    @keyword_only()
    def __init__(
        self,
        feature_map: FeatureMap = "zz",
        *,
        reps: int = 2,
        entanglement: str = "linear",
        gamma: float = 1.0,
        bandwidth: float | Sequence[float] | str = 0.1,
        gamma_bounds: tuple[float, float] | str = (1e-5, 1e5),
        bandwidth_bounds: tuple[float, float] | str = (1e-3, 10.0),
        n_qubits: int | None = None,
        weights: Sequence[float] | None = None,
        shots: int | None = None,
        random_state: int | None = 0,
        precision: str = "double",
        n_jobs: int | None = None,
        backend: Backend | None = None,
        simulator: str = "auto",
        tolerance: float = TOLERANCE,
        max_bond: int = MAX_BOND,
        device: str | None = None,
    ) -> None:
        self.feature_map = feature_map
        self.reps = reps
        self.entanglement = entanglement
        self.gamma = gamma
        self.bandwidth = bandwidth
        self.gamma_bounds = gamma_bounds
        self.bandwidth_bounds = bandwidth_bounds
        self.n_qubits = n_qubits
        self.weights = weights
        self.shots = shots
        self.random_state = random_state
        self.precision = precision
        self.n_jobs = n_jobs
        self.backend = backend
        self.simulator = simulator
        self.tolerance = tolerance
        self.max_bond = max_bond
        self.device = device

    @property
    def hyperparameter_gamma(self) -> Hyperparameter:
        """The inverse squared width, searched on a logarithmic axis."""
        return Hyperparameter("gamma", "numeric", self.gamma_bounds)

    def __call__(self, X: ArrayLike, Y: ArrayLike | None = None, eval_gradient: bool = False) -> Any:
        """Kernel matrix between the samples of X and of Y.

        Arguments, exceptions and the form of the result as for `FidelityKernel`; the last axis of the gradient is
        (log(bandwidth), log(gamma)), without those that are fixed.
        """
        X, Y = self._checked_pair(X, Y, eval_gradient)
        check_positive("gamma", self.gamma)
        together = self.bloch_vectors(X if Y is None else np.concatenate([X, Y]))
        vectors, others = together[: len(X)], together if Y is None else together[len(X) :]
        K = gaussian(vectors, others, self.gamma)
        if not eval_gradient:
            return K
        parts = []
        if not self.hyperparameter_bandwidth.fixed:
            for rates in self._bloch_rates(X):
                cross = vectors @ rates.T  # d‖rᵢ−rⱼ‖² = 2 (rᵢ−rⱼ)·(drᵢ−drⱼ)
                own = cross.diagonal()
                parts.append(-self.gamma * K * (own[:, None] + own - cross - cross.T))
        if not self.hyperparameter_gamma.fixed:
            parts.append(-0.5 * self.gamma * K * cdist(vectors, vectors, "sqeuclidean"))
        return K, np.stack(parts, axis=-1) if parts else np.empty((*K.shape, 0))

    def bloch_vectors(self, X: ArrayLike) -> np.ndarray:
        """⟨X⟩, ⟨Y⟩, ⟨Z⟩ of each qubit of each sample's state, shape (n_samples, 3·n_qubits): the features projected on.

        Columns are X₀, Y₀, Z₀, X₁, …
        """
        X = self._checked(X)
        with nullcontext() if self.backend is None else MEMORY.measuring:
            return MEMORY.rows(self._key("bloch"), X, self._bloch)

    def _fresh_matrix(self, samples: np.ndarray) -> np.ndarray:
        """K(samples, samples) without memory, for checked samples."""
        vectors = self._bloch(samples)
        return gaussian(vectors, vectors, self.gamma)

    def _matrix_of_tensors(self, psi: Any, n_qubits: int) -> Any:
        """K of states that are a tensor, differentiably."""
        squares: Any = 0.0
        for qubit in range(n_qubits):
            parts = psi.reshape(len(psi), 2**qubit, 2, -1)
            reduced = (parts.transpose(1, 2).reshape(len(psi), 2, -1)) @ (
                parts.transpose(1, 2).reshape(len(psi), 2, -1).conj().transpose(1, 2)
            )
            flat = reduced.reshape(len(psi), 4)
            norms = (flat.real**2 + flat.imag**2).sum(1)
            squares = squares + norms[:, None] + norms - 2 * (flat.conj() @ flat.T).real
        return (-self.gamma * squares).exp()

    def _bloch(self, X: np.ndarray) -> np.ndarray:
        if self.backend is not None:
            return self.backend.measure_bloch(self.circuit, self._scaled(X)).reshape(len(X), -1)
        n_qubits = self._n_qubits(X.shape[1])
        n_jobs = effective_n_jobs(self.n_jobs)
        if self.chosen_simulator(X.shape[1]) == "mps":
            if self.shots is not None:
                raise ValueError(
                    f"shots of all qubits at once are drawn from statevectors only, here are {n_qubits} qubits: "
                    f"shots=None, or simulator='statevector' up to {MAX_QUBITS} qubits"
                )
            parts = [X[start : start + CHAINS] for start in range(0, len(X), CHAINS)]
            vectors = (bloch_vectors(self._chains(part, n_qubits)) for part in parts)
            what = f"preparing states of {len(X)} samples and {n_qubits} qubits"
            return np.concatenate(list(announced(vectors, [*map(len, parts)], what, "fewer repetitions are faster")))
        rows = min(self._tile_rows(n_qubits, 2), -(-len(X) // (1 if n_jobs == 1 else 2 * n_jobs)))
        spec = clone(self).set_params(n_jobs=1)
        keys = np.zeros(len(X), np.uint64) if self.shots is None else sample_keys(X, self._noise_key("bloch"))
        starts = range(0, len(X), rows)
        tasks = (
            delayed(_bloch_block)(spec, X[start : start + rows], keys[start : start + rows], n_qubits)
            for start in starts
        )
        blocks = Parallel(self.n_jobs, return_as="generator")(tasks)
        what = f"preparing states of {len(X)} samples and {n_qubits} qubits"
        ways_out = "fewer qubits or simulator='mps' are faster"
        return np.concatenate(list(announced(blocks, [1.0] * len(starts), what, ways_out, n_jobs)))

    def _measured_bloch(self, X: np.ndarray, keys: np.ndarray, n_qubits: int, shots: int) -> np.ndarray:
        """Bloch vectors from runs in three bases, each of them all qubits at once."""
        result = np.empty((len(X), n_qubits, 3))
        gates = self._gates(X)
        wires = range(n_qubits)
        hadamards = [Gate("h", (wire,)) for wire in wires]
        to_basis: tuple[list[Gate], ...] = (hadamards, [Gate("rz", (w,), -pi / 2) for w in wires] + hadamards, [])
        for axis, rotations in enumerate(to_basis):
            psi = states([*gates, *rotations], n_qubits, len(X), dtype=PRECISIONS[self.precision])
            chances = (psi.real**2 + psi.imag**2).astype(float)
            result[:, :, axis] = measured_expectations(chances, keys + np.uint64(axis), shots)
        return result.reshape(len(X), -1)

    def _bloch_rates(self, X: np.ndarray) -> list[np.ndarray]:
        """Derivatives of the Bloch vectors with respect to the logarithm of each bandwidth."""
        n_qubits = self._n_qubits(X.shape[1])
        rows = self._tile_rows(n_qubits, 4)
        tiles = [
            [2 * expectations(psi, rate, n_qubits) for psi, rate in self._states_and_rates(X[i : i + rows], n_qubits)]
            for i in range(0, len(X), rows)
        ]
        return [np.concatenate(column) for column in zip(*tiles, strict=True)]


def _bloch_block(spec: ProjectedKernel, X: np.ndarray, keys: np.ndarray, n_qubits: int) -> np.ndarray:
    if spec.shots is not None:
        return spec._measured_bloch(X, keys, n_qubits, spec.shots)
    psi = spec._states(X, n_qubits)
    return expectations(psi, psi, n_qubits)
