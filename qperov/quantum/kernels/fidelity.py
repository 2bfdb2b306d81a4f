"""The fidelity of feature states as a kernel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import ArrayLike
from sklearn.base import clone

from qperov.errors import keyword_only
from qperov.evaluation.progress import announced
from qperov.quantum.kernels.feature_map_kernel import MEMORY, PRECISIONS, Backend, FeatureMap, FeatureMapKernel
from qperov.quantum.kernels.shots import measured_fidelities, pair_keys, sample_keys
from qperov.quantum.simulation import mps_overlaps
from qperov.quantum.simulation.mps import MAX_BOND, TOLERANCE, MatrixProductStates
from qperov.quantum.simulation.overlaps import fidelities, fidelities_and_rates, symmetric
from qperov.quantum.simulation.statevector import readable

#: Samples on each side of the largest block of overlaps, which take up to three times the memory of their fidelities.
MAX_SIDE = 4096

#: What to do about a matrix that takes long.
WAYS_OUT = (
    "fewer qubits or simulator='mps' are faster, LandmarkFeatures needs fewer pairs, and qperov.quantum.write_gram "
    "goes on where it was stopped"
)


class FidelityKernel(FeatureMapKernel):
    """Fidelity of the states that a feature map prepares from scaled features.

    K(x, y) = |⟨φ(b·x)|φ(b·y)⟩|², positive semi-definite and 1 for x = y. Its rank is at most 4ⁿ for n qubits: a
    Gaussian process on more samples needs noise, ``FidelityKernel() + WhiteKernel()``, or its likelihood has no clear
    maximum.

    Parameters
    ----------
    feature_map : str, callable, QuantumCircuit or QNode
        A name in `qperov_circuits.FEATURE_MAPS`; or a map such as `qperov_circuits.IsingChain`; or
        ``callable(angles)`` that returns gates, given a list of n_features arrays of shape (n_samples,), with ``+ - *``
        on them and nothing else; or a parameterised ``qiskit.QuantumCircuit``; or a PennyLane QNode of one argument.
    reps : int
        Repetitions of a named feature map.
    entanglement : str
        Pairs that it entangles, see `qperov_circuits.entangling_pairs`.
    bandwidth : float, sequence of n_features floats, "median" or "aligned"
        The scale b > 0, one for all features or one for each. It decides whether the kernel generalises: at b near 1
        and many features all states are as good as orthogonal. "median" and "aligned" are found on training data by
        the estimators of qperov, see `qperov.quantum.resolved_kernel`.
    bandwidth_bounds : pair of floats or "fixed"
        Where an optimiser may look for b.
    n_qubits : int or None
        Qubits of a named feature map; with fewer than it would take, features are written in several rounds
        (re-uploading). None for the map's own number.
    weights : sequence of floats or None
        Angles of a trainable feature map; None for its default start.
    shots : int or None
        Each value is the fraction of all-zero outcomes in so many runs; None for exact values.
    random_state : int or None
        Seed of the shots: with the same seed the same pair gets the same value, in whatever matrix it stands. None
        for new noise in every call.
    precision : "double" or "single"
        Of the amplitudes. Single halves time and memory and leaves errors near 1e-6.
    n_jobs : int or None
        Blocks of the matrix evaluated at once by joblib, in processes or on a cluster (``joblib.parallel_config``).
        None for one, or what the active configuration says.
    backend : object or None
        What measures the circuits, for instance `qperov.Backend`; None for exact simulation.
    simulator : "auto", "statevector" or "mps"
        What prepares the states for exact values: all 2ⁿ amplitudes (to 26 qubits), or matrix product states
        (`qperov.quantum.simulation.mps`), for circuits that entangle neighbours on a line, of any number of qubits.
        "auto" takes what is estimated to be faster, and `chosen_simulator` says which.
    tolerance : float
        Of matrix product states: norm of what is dropped at a cut; `error_bound` says what it comes to.
    max_bond : int
        Of matrix product states: bond dimension above which a circuit is refused.
    device : str or None
        Name of a torch device, such as ``"cuda"``, on which exact values are worked out: states and overlaps of
        statevectors, overlaps of matrix product states. None for numpy, in which gradients and shots stay.

    References
    ----------
    V. Havlíček et al., Nature 567, 209 (2019), doi:10.1038/s41586-019-0980-2 (the kernel);
    R. Shaydulin, S. M. Wild, Phys. Rev. A 106, 042407 (2022), doi:10.1103/PhysRevA.106.042407 (the bandwidth).

    Examples
    --------
    >>> K = FidelityKernel("z", reps=1, bandwidth=0.5)([[0.0, 0.0], [1.0, 0.0]])
    >>> K.round(3).tolist()  # ∏ cos²(b (xᵢ − yᵢ))
    [[1.0, 0.77], [0.77, 1.0]]
    """

    @keyword_only()
    def __init__(
        self,
        feature_map: FeatureMap = "zz",
        *,
        reps: int = 2,
        entanglement: str = "linear",
        bandwidth: float | Sequence[float] | str = 0.1,
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
        self.bandwidth = bandwidth
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

    def __call__(self, X: ArrayLike, Y: ArrayLike | None = None, eval_gradient: bool = False) -> Any:
        """Kernel matrix between the samples of X and of Y.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
        Y : array of shape (m_samples, n_features) or None
            None for X itself: the matrix is then exactly symmetric with exactly 1 on the diagonal.
        eval_gradient : bool
            Also return the derivatives with respect to log(bandwidth); only for Y = None. They are exact (forward
            mode).

        Returns
        -------
        K : ndarray of shape (n_samples, m_samples)
        gradient : ndarray of shape (n_samples, n_samples, n_bandwidths), last axis empty if the bandwidth is fixed
            Only with ``eval_gradient``.

        Raises
        ------
        ValueError
            NaN or infinity in the input, numbers of features that differ, a parameter out of range.
        CircuitSizeError
            More than 26 qubits for statevectors, or more memory than there is.
        KernelSizeError
            The matrix itself takes more memory than there is.
        BondDimensionError
            A circuit that entangles too much for matrix product states.
        """
        X, Y = self._checked_pair(X, Y, eval_gradient)
        if eval_gradient and not self.hyperparameter_bandwidth.fixed:
            return self._fidelities_and_gradient(X)
        if self.backend is None and self.simulator == "statevector":
            self._tile_rows(self._n_qubits(X.shape[1]))  # too many qubits are refused even where no pair is evaluated
        K = MEMORY.matrix(self._key("fidelity"), X, Y, self._evaluate)
        return (K, np.empty((*K.shape, 0))) if eval_gradient else K

    def error_bound(self, X: ArrayLike, Y: ArrayLike | None = None) -> float:
        """Bound on the error of every value of K(X, Y) from what matrix product states leave out; 0 for statevectors.

        |ΔK(x, y)| ≤ 2(δ(x) + δ(y)), where δ² is the sum of a state's discarded weights; rounding comes on top.
        """
        X, Y = self._checked_pair(X, Y, eval_gradient=False)
        if self.chosen_simulator(X.shape[1]) == "statevector":
            return 0.0
        bras, kets = self._both_chains(X, Y)
        return mps_overlaps.fidelity_error(bras, kets)

    def _both_chains(
        self, X: np.ndarray, Y: np.ndarray | None
    ) -> tuple[MatrixProductStates, MatrixProductStates | None]:
        n_qubits = self._n_qubits(X.shape[1])
        return self._chains(X, n_qubits), None if Y is None else self._chains(Y, n_qubits)

    def _fresh_matrix(self, samples: np.ndarray) -> np.ndarray:
        """K(samples, samples) of exact values without memory, for checked samples that are all different."""
        n_qubits = self._n_qubits(samples.shape[1])
        if self.chosen_simulator(samples.shape[1]) == "mps":
            return self._exact(samples, None)
        if self._in_one_piece(len(samples), n_qubits):
            return fidelities(self._states(samples, n_qubits))
        return self._in_blocks(samples, None, n_qubits)

    def _matrix_of_tensors(self, psi: Any, n_qubits: int) -> Any:
        """K of states that are a tensor, differentiably."""
        overlaps = psi.conj() @ psi.T
        return overlaps.real**2 + overlaps.imag**2

    def _evaluate(self, X: np.ndarray, Y: np.ndarray | None) -> np.ndarray:
        """K(X, Y) for samples that are all different in X, and all different in Y: exact, with shots, or measured."""
        if self.backend is not None:
            backend, bras = self.backend, self._scaled(X)
            kets = bras if Y is None else self._scaled(Y)

            def measure(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
                return backend.measure_fidelities(self.circuit, bras[rows], kets[columns])

        elif self.shots is not None:
            shots, noise = self.shots, self._noise_key("fidelity")

            def measure(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
                keys = [sample_keys(samples, noise) for samples in (X, X if Y is None else Y)]
                return measured_fidelities(
                    self._exact(X, Y)[rows, columns], pair_keys(keys[0][rows], keys[1][columns]), shots
                )

        else:
            return self._exact(X, Y)
        return MEMORY.pairs(self._key("pairs"), X, Y, measure)

    def _exact(self, X: np.ndarray, Y: np.ndarray | None) -> np.ndarray:
        if self.chosen_simulator(X.shape[1]) == "mps":
            chains = self._both_chains(X, Y)
            dtype = PRECISIONS[self.precision]
            return mps_overlaps.fidelities(*chains, dtype=dtype, n_jobs=self.n_jobs, device=self.device)
        n_qubits = self._n_qubits(X.shape[1])
        if not self._in_one_piece(len(X) + (0 if Y is None else len(Y)), n_qubits):
            return self._in_blocks(X, Y, n_qubits)
        if self.device is not None:
            return _block(self, X, Y, n_qubits)
        key = self._key("states")
        bras = MEMORY.rows(key, X, lambda new: self._states(new, n_qubits))
        return fidelities(bras, None if Y is None else MEMORY.rows(key, Y, lambda new: self._states(new, n_qubits)))

    def _in_one_piece(self, n_samples: int, n_qubits: int) -> bool:
        """Whether all states are prepared at once, here."""
        return effective_n_jobs(self.n_jobs) == 1 and n_samples <= min(self._tile_rows(n_qubits), MAX_SIDE)

    def _in_blocks(self, X: np.ndarray, Y: np.ndarray | None, n_qubits: int) -> np.ndarray:
        """The matrix block by block, each with states that fit `TILE_BYTES`, several at once with ``n_jobs``."""
        n_jobs = effective_n_jobs(self.n_jobs)
        others = X if Y is None else Y
        height, width = (
            min(self._tile_rows(n_qubits, 2), MAX_SIDE, -(-len(samples) // (1 if n_jobs == 1 else 2 * n_jobs)))
            for samples in (X, others)
        )
        corners = [
            (top, left)
            for top in range(0, len(X), height)
            for left in range(top if Y is None else 0, len(others), width)
        ]
        spec = clone(self).set_params(n_jobs=1)
        operands = (
            (top, X[top : top + height], None if Y is None and top == left else others[left : left + width])
            for top, left in corners
        )
        if n_jobs == 1:
            blocks = _blocks_in_turn(spec, operands, n_qubits)
        else:
            tasks = (delayed(_block)(spec, rows, columns, n_qubits) for _, rows, columns in operands)
            blocks = Parallel(self.n_jobs, return_as="generator")(tasks)
        K = np.empty((len(X), len(others)))
        what = f"a kernel matrix of {len(X)} × {len(others)} samples and {n_qubits} qubits ({readable(K.nbytes)})"
        costs = [1.0] * len(corners)
        for (top, left), block in zip(corners, announced(blocks, costs, what, WAYS_OUT, n_jobs), strict=True):
            K[top : top + height, left : left + width] = block
            if Y is None:
                K[left : left + width, top : top + height] = block.T
        return K

    def _fidelities_and_gradient(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """K and dK/d log b."""
        n_qubits = self._n_qubits(X.shape[1])
        rows = self._tile_rows(n_qubits, 4)
        tiles = [X[start : start + rows] for start in range(0, len(X), rows)]
        K = np.zeros((len(X), len(X)))
        gradient = np.zeros((np.size(self.bandwidth), len(X), len(X)))
        top = 0
        for i, tile in enumerate(tiles):
            left = top
            for other in tiles[i:]:
                part = np.s_[top : top + len(tile), left : left + len(other)]
                pairs = zip(
                    self._states_and_rates(tile, n_qubits), self._states_and_rates(other, n_qubits), strict=True
                )
                for k, (bras_and_rates, kets_and_rates) in enumerate(pairs):
                    K[part], gradient[k][part] = fidelities_and_rates(*bras_and_rates, *kets_and_rates)
                left += len(other)
            top += len(tile)
        rates = np.stack([symmetric(rate, 0.0) for rate in gradient], axis=-1)
        return symmetric(np.minimum(K, 1.0, out=K), 1.0), rates


def _block(spec: FidelityKernel, X: np.ndarray, Y: np.ndarray | None, n_qubits: int) -> np.ndarray:
    return fidelities(spec._states(X, n_qubits), None if Y is None else spec._states(Y, n_qubits))


def _blocks_in_turn(
    spec: FidelityKernel, operands: Iterable[tuple[int, np.ndarray, np.ndarray | None]], n_qubits: int
) -> Iterator[np.ndarray]:
    """Block by block, from the left, with the states of a row of blocks prepared once."""
    prepared, bras = -1, np.empty(0)
    for top, rows, columns in operands:
        if top != prepared:
            prepared, bras = top, spec._states(rows, n_qubits)
        yield fidelities(bras, None if columns is None else spec._states(columns, n_qubits))
