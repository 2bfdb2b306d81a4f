"""Quantum kernels as scikit-learn Gaussian-process kernels, evaluated exactly.

One object serves SVR, KernelRidge, Nystroem, KernelPCA and GaussianProcessRegressor, composes with scikit-learn's
kernels (``ConstantKernel() * FidelityKernel() + WhiteKernel()``), clones, pickles, and grid-searches as
``kernel__bandwidth``.

Kernels hold their parameters and nothing else. States and matrices of the named feature maps are remembered by
content in `CACHE`, outside of the kernels; those of a feature map given as a callable never are, since it may not be
pure.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg.blas import zgemm, zher2k, zherk
from scipy.spatial.distance import cdist
from sklearn.gaussian_process.kernels import Hyperparameter

from qperov.quantum.encoding import CACHE, FeatureMap, FeatureMapKernel, check_positive


class FidelityKernel(FeatureMapKernel):
    """Fidelity of the states that a feature map prepares from scaled features.

    K(x, y) = |⟨φ(b·x)|φ(b·y)⟩|², positive semi-definite and 1 for x = y.

    Parameters
    ----------
    feature_map : "zz", "z" or callable
        ``callable(angles)`` returns gates, given a list of n_features arrays of shape (n_samples,). It may use ``+ -
        *`` on them and nothing else.
    reps : int
        Repetitions of a named feature map.
    entanglement : str
        Pairs that "zz" entangles, see `circuits.entangling_pairs`.
    bandwidth : float
        The scale b > 0. It decides whether the kernel generalises: at b near 1 and many features all states are as
        good as orthogonal.
    bandwidth_bounds : pair of floats or "fixed"
        Where an optimiser may look for b.

    References
    ----------
    V. Havlíček et al., Nature 567, 209 (2019), doi:10.1038/s41586-019-0980-2 (the kernel);
    R. Shaydulin, S. M. Wild, Phys. Rev. A 106, 042407 (2022), doi:10.1103/PhysRevA.106.042407 (the bandwidth).
    """

    def __init__(
        self,
        feature_map: FeatureMap = "zz",
        reps: int = 2,
        entanglement: str = "linear",
        bandwidth: float = 0.1,
        bandwidth_bounds: tuple[float, float] | str = (1e-3, 10.0),
    ) -> None:
        self.feature_map = feature_map
        self.reps = reps
        self.entanglement = entanglement
        self.bandwidth = bandwidth
        self.bandwidth_bounds = bandwidth_bounds

    def __call__(self, X: ArrayLike, Y: ArrayLike | None = None, eval_gradient: bool = False) -> Any:
        """Kernel matrix between the samples of X and of Y.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
        Y : array of shape (m_samples, n_features) or None
            None for X itself: the matrix is then exactly symmetric with exactly 1 on the diagonal.
        eval_gradient : bool
            Also return the derivative with respect to log(bandwidth); only for Y = None. It is exact (forward mode).

        Returns
        -------
        K : ndarray of shape (n_samples, m_samples)
        gradient : ndarray of shape (n_samples, n_samples, 1), last axis empty if the bandwidth is fixed
            Only with ``eval_gradient``.

        Raises
        ------
        ValueError
            NaN or infinity in the input, numbers of features that differ, a parameter out of range.
        CircuitSizeError
            More than 26 qubits.
        """
        X, Y = self._checked_pair(X, Y, eval_gradient)
        if eval_gradient and not self.hyperparameter_bandwidth.fixed:
            K, gradient = CACHE.get(self._key("fidelity gradient", X), lambda: self._fidelities_and_gradient(X))
            return K.copy(), gradient[:, :, None].copy()
        (K,) = CACHE.get(self._key("fidelity", X, Y), lambda: (self._fidelities(X, Y),))
        return (K.copy(), np.empty((*K.shape, 0))) if eval_gradient else K.copy()

    def _fidelities(self, X: np.ndarray, Y: np.ndarray | None) -> np.ndarray:
        n_qubits = self._n_qubits(X)
        rows = self._tiles(X, n_qubits, 16)
        columns = rows if Y is None else self._tiles(Y, n_qubits, 16)
        K = np.zeros((len(X), len(X if Y is None else Y)))
        top = 0
        for i, row in enumerate(rows):
            bras = self._tile_states(row, n_qubits)
            left = 0
            for j, column in enumerate(columns):
                part = np.s_[top : top + len(row), left : left + len(column)]
                if Y is None and i == j:
                    K[part] = _squared_modulus(zherk(1.0, bras))
                elif Y is not None or i < j:
                    K[part] = _squared_modulus(zgemm(1.0, bras, self._tile_states(column, n_qubits), trans_b=2))
                left += len(column)
            top += len(row)
        np.minimum(K, 1.0, out=K)
        return _symmetric(K, 1.0) if Y is None else K

    def _tile_states(self, X: np.ndarray, n_qubits: int) -> np.ndarray:
        return CACHE.get(self._key("states", X), lambda: self._states(X, n_qubits))[0]

    def _fidelities_and_gradient(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """K and dK/d log b = 2 Re(S̄·dS), with the overlaps S = ⟨φᵢ|φⱼ⟩ and dS = ⟨φᵢ|dφⱼ⟩ + ⟨dφᵢ|φⱼ⟩."""
        n_qubits = self._n_qubits(X)
        tiles = self._tiles(X, n_qubits, 32)
        K, gradient = np.zeros((2, len(X), len(X)))
        top = 0
        for i, row in enumerate(tiles):
            bras, bra_rates = self._states(row, n_qubits, with_tangents=True)
            left = top
            for column in tiles[i:]:
                part = np.s_[top : top + len(row), left : left + len(column)]
                if left == top:
                    overlaps, rates = zherk(1.0, bras), zher2k(1.0, bras, bra_rates)
                else:
                    kets, ket_rates = self._states(column, n_qubits, with_tangents=True)
                    # a·b† is the conjugate of ⟨a|b⟩, which changes neither |S|² nor Re(S̄·dS).
                    overlaps = zgemm(1.0, bras, kets, trans_b=2)
                    rates = zgemm(1.0, bra_rates, kets, 1.0, zgemm(1.0, bras, ket_rates, trans_b=2), trans_b=2)
                K[part] = _squared_modulus(overlaps)
                gradient[part] = 2 * (overlaps.real * rates.real + overlaps.imag * rates.imag)
                left += len(column)
            top += len(row)
        return _symmetric(np.minimum(K, 1.0, out=K), 1.0), _symmetric(gradient, 0.0)


class ProjectedKernel(FeatureMapKernel):
    """Gaussian kernel of the one-qubit reduced density matrices ρ_k of a feature map's states.

    K(x, y) = exp(−γ Σ_k ‖ρ_k(b·x) − ρ_k(b·y)‖²_F) = exp(−(γ/2) ‖r(b·x) − r(b·y)‖²), where r are the Bloch vectors of
    all qubits. On hardware its cost grows with N, not with N².

    Parameters
    ----------
    feature_map, reps, entanglement, bandwidth, bandwidth_bounds
        As for `FidelityKernel`.
    gamma : float
        Inverse squared width γ > 0 of the Gaussian.
    gamma_bounds : pair of floats or "fixed"
        Where an optimiser may look for γ.

    References
    ----------
    H.-Y. Huang et al., Power of data in quantum machine learning, Nat. Commun. 12, 2631 (2021),
    doi:10.1038/s41467-021-22539-9, the projected quantum kernel.
    """

    def __init__(
        self,
        feature_map: FeatureMap = "zz",
        reps: int = 2,
        entanglement: str = "linear",
        gamma: float = 1.0,
        bandwidth: float = 0.1,
        gamma_bounds: tuple[float, float] | str = (1e-5, 1e5),
        bandwidth_bounds: tuple[float, float] | str = (1e-3, 10.0),
    ) -> None:
        self.feature_map = feature_map
        self.reps = reps
        self.entanglement = entanglement
        self.gamma = gamma
        self.bandwidth = bandwidth
        self.gamma_bounds = gamma_bounds
        self.bandwidth_bounds = bandwidth_bounds

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
        vectors = self.bloch_vectors(X)
        squares = cdist(vectors, vectors if Y is None else self.bloch_vectors(Y), "sqeuclidean")
        K = np.exp(-0.5 * self.gamma * squares)
        if not eval_gradient:
            return K
        parts = []
        if not self.hyperparameter_bandwidth.fixed:
            vectors, rates = CACHE.get(self._key("bloch rates", X), lambda: self._bloch(X, with_tangents=True))
            cross = vectors @ rates.T  # d‖rᵢ−rⱼ‖² = 2 (rᵢ−rⱼ)·(drᵢ−drⱼ)
            own = cross.diagonal()
            parts.append(-self.gamma * K * (own[:, None] + own - cross - cross.T))
        if not self.hyperparameter_gamma.fixed:
            parts.append(-0.5 * self.gamma * K * squares)
        return K, np.stack(parts, axis=-1) if parts else np.empty((*K.shape, 0))

    def bloch_vectors(self, X: ArrayLike) -> np.ndarray:
        """⟨X⟩, ⟨Y⟩, ⟨Z⟩ of each qubit of each sample's state, shape (n_samples, 3·n_qubits): the features projected on.

        Columns are X₀, Y₀, Z₀, X₁, …
        """
        X = self._checked(X)
        return CACHE.get(self._key("bloch", X), lambda: self._bloch(X))[0].copy()

    def _bloch(self, X: np.ndarray, with_tangents: bool = False) -> tuple[np.ndarray, ...]:
        n_qubits = self._n_qubits(X)
        parts = []
        for tile in self._tiles(X, n_qubits, 32):
            psi, *tangents = self._states(tile, n_qubits, with_tangents)
            found = [_expectations(psi, psi, n_qubits)]
            found += [2 * _expectations(psi, tangent, n_qubits) for tangent in tangents]
            parts.append(found)
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _expectations(psi: np.ndarray, phi: np.ndarray, n_qubits: int) -> np.ndarray:
    """Re⟨ψ|P|φ⟩ for P = X, Y, Z on each qubit, shape (n_samples, 3·n_qubits)."""
    result = np.empty((len(psi), n_qubits, 3))
    for qubit in range(n_qubits):
        bra, ket = (s.T.reshape(2**qubit, 2, -1, len(psi)) for s in (psi, phi))
        to_one, to_zero, zeros, ones = (
            np.einsum("lrs,lrs->s", bra[:, i].conj(), ket[:, j]) for i, j in ((0, 1), (1, 0), (0, 0), (1, 1))
        )
        result[:, qubit] = np.stack([(to_one + to_zero).real, (to_one - to_zero).imag, (zeros - ones).real], axis=1)
    return result.reshape(len(psi), -1)


def _squared_modulus(overlaps: np.ndarray) -> np.ndarray:
    return overlaps.real**2 + overlaps.imag**2


def _symmetric(upper: np.ndarray, diagonal: float) -> np.ndarray:
    """The symmetric matrix with this upper triangle and this constant diagonal."""
    matrix = np.triu(upper, 1)
    matrix += matrix.T
    np.fill_diagonal(matrix, diagonal)
    return matrix
