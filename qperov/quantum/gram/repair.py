"""Repair of measured kernel matrices, training and test blocks alike, as a scikit-learn transformer.

``make_pipeline(KernelRepair(), SVR(kernel="precomputed"))`` takes K(train, train) in ``fit`` and K(test, train) in
``predict``, and cross-validation slices its rows and columns.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from qperov.errors import keyword_only
from qperov.quantum.gram.depolarising import preparation_survival, remove_depolarising
from qperov.quantum.gram.matrix import symmetrise, with_unit_diagonal
from qperov.quantum.gram.psd import feasible_rows, nearest_correlation

#: What `modified_spectrum` knows.
SPECTRUM_MODIFICATIONS = ("clip", "flip", "tikhonov")

METHODS = ("nearest", *SPECTRUM_MODIFICATIONS)


def modified_spectrum(K: ArrayLike, method: str, unit_diagonal: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """A symmetric matrix made positive semi-definite through its eigenvalues, and the same map for new rows.

    With K = UΛUᵀ: "clip" U max(Λ, 0) Uᵀ, "flip" U |Λ| Uᵀ, "tikhonov" K + s·1 with s = max(0, −λ_min). The first two are
    linear maps K̃ = K P, P = U M Uᵀ with M the step or the sign of Λ, and new rows are mapped by the same P; the third
    adds to self-similarities only, also to those of new samples. A unit diagonal is restored by D^(−1/2) K̃ D^(−1/2).

    Parameters
    ----------
    K : array of shape (n_samples, n_samples)
    method : "clip", "flip" or "tikhonov"
    unit_diagonal : bool

    Returns
    -------
    repaired : ndarray of shape (n_samples, n_samples)
    row_map : ndarray of shape (n_samples, n_samples)
        Rows of new samples, of self-similarity 1, become ``rows @ row_map``.

    Raises
    ------
    ValueError
        Not square or finite; an unknown method; a sample that has no self-similarity left.

    References
    ----------
    Y. Chen, E. K. Garcia, M. R. Gupta, A. Rahimi, L. Cazzanti, J. Mach. Learn. Res. 10, 747 (2009);
    T. Hubregtsen et al., Phys. Rev. A 106, 042431 (2022), doi:10.1103/PhysRevA.106.042431: R-THR is "clip", R-TIK
    "tikhonov".
    """
    K = symmetrise(K)
    eigenvalues, vectors = np.linalg.eigh(K)
    if method == "tikhonov":
        shift = max(0.0, -float(eigenvalues[0]))
        repaired, row_map = K + shift * np.eye(len(K)), np.eye(len(K)) / (np.sqrt(1 + shift) if unit_diagonal else 1.0)
    elif method in SPECTRUM_MODIFICATIONS:
        signs = np.where(eigenvalues > 0, 1.0, 0.0 if method == "clip" else -1.0)
        repaired, row_map = (vectors * (eigenvalues * signs)) @ vectors.T, (vectors * signs) @ vectors.T
    else:
        raise ValueError(f"unknown method {method!r}; known are {', '.join(SPECTRUM_MODIFICATIONS)}")
    if not unit_diagonal:
        return symmetrise(repaired), row_map
    return with_unit_diagonal(repaired), row_map / np.sqrt(repaired.diagonal())


class KernelRepair(TransformerMixin, BaseEstimator):
    """Make a measured kernel matrix a proper one, and the rows of test samples consistent with it.

    ``fit_transform`` of K(train, train) gives the repaired training matrix. ``transform`` of K(test, train) first maps
    the rows as the repair mapped the training matrix, then, with a unit diagonal, moves each to the nearest one for
    which the training matrix bordered by it is positive semi-definite. A row that is a training row, entry by entry,
    gets its row of the repaired matrix.

    Parameters
    ----------
    method : "nearest", "clip", "flip" or "tikhonov"
        `qperov.quantum.gram.psd.nearest_correlation` ("clip" without a unit diagonal) or one of `modified_spectrum`.
    unit_diagonal : bool
        Keep the diagonal at exactly 1, as fidelities have it. One that is not 1 is first divided out,
        K_ij / √(K_ii K_jj), where test samples count with the mean of the diagonal.
    depolarising : "mean", "split" or None
        Remove global depolarising noise before the repair, with its strength taken from the measured diagonal, see
        `preparation_survival`. Test samples are given the mean strength.
    n_qubits : int or None
        Number of qubits; asked for with ``depolarising``.
    tolerance, max_iter : float, int
        For "nearest".

    Attributes
    ----------
    matrix_ : ndarray of shape (n_samples, n_samples)
        The repaired training matrix.
    row_map_ : ndarray of shape (n_samples, n_samples) or None
        What test rows are multiplied by; None for "nearest" with a unit diagonal.
    survival_ : ndarray of shape (n_samples,) or None
        Survival probabilities of the training samples' preparations.
    n_iter_ : int
        Eigendecompositions that the repair took.
    scale_ : ndarray of shape (n_samples,)
        Roots of the measured diagonal that were divided out; ones after a depolarising correction.
    training_rows_ : dict
        Digest of each measured training row, and its number.
    """

    family = "quantum"

    @keyword_only()
    def __init__(
        self,
        method: str = "nearest",
        *,
        unit_diagonal: bool = True,
        depolarising: str | None = None,
        n_qubits: int | None = None,
        tolerance: float = 1e-6,
        max_iter: int = 200,
    ) -> None:
        self.method = method
        self.unit_diagonal = unit_diagonal
        self.depolarising = depolarising
        self.n_qubits = n_qubits
        self.tolerance = tolerance
        self.max_iter = max_iter

    def fit(self, X: ArrayLike, y: Any = None) -> KernelRepair:
        """Repair the training matrix.

        Parameters
        ----------
        X : array of shape (n_samples, n_samples)
            Measured K(train, train), its diagonal included.
        y : ignored

        Raises
        ------
        ValueError
            A matrix that is not square, NaN or infinity, a parameter out of range, a diagonal without a positive
            entry, or one that leaves nothing to correct.
        """
        measured = validate_data(self, X, dtype=np.float64)
        if measured.shape[0] != measured.shape[1]:
            raise ValueError(f"fit takes the square matrix K(train, train), got shape {measured.shape}")
        if self.method not in METHODS:
            raise ValueError(f"unknown method {self.method!r}; known are {', '.join(METHODS)}")
        K, self.survival_ = measured, None
        if self.depolarising is not None:
            if self.n_qubits is None:
                raise ValueError("the depolarising correction needs n_qubits")
            self.survival_ = preparation_survival(measured.diagonal(), self.n_qubits, self.depolarising)
            K = remove_depolarising(measured, self.n_qubits, self.survival_)
        self.row_map_: np.ndarray | None = None
        self.scale_ = np.ones(len(K))
        if self.unit_diagonal and self.survival_ is None:
            diagonal = K.diagonal()
            if not (diagonal > 0).any():
                raise ValueError(
                    "no sample has a positive self-similarity, so that this is no measured kernel matrix: its diagonal "
                    f"reaches from {diagonal.min():.3g} to {diagonal.max():.3g}; look at how it was measured"
                )
            # Noise has no bound: a self-similarity below 0 tells no scale, and the largest entry stands in for it.
            self.scale_ = np.sqrt(np.where(diagonal > 0, diagonal, np.abs(K).max()))
            K = K / np.outer(self.scale_, self.scale_)
        elif self.unit_diagonal:
            np.fill_diagonal(K, 1.0)
        self.n_iter_ = 1
        if self.method != "nearest":
            self.matrix_, self.row_map_ = modified_spectrum(K, self.method, self.unit_diagonal)
        elif self.unit_diagonal:
            self.matrix_, self.n_iter_ = nearest_correlation(K, self.tolerance, self.max_iter)
        else:
            self.matrix_, self.row_map_ = modified_spectrum(K, "clip", unit_diagonal=False)
        self.training_rows_ = {_digest(row): number for number, row in enumerate(measured)}
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Rows K(test, train), as measured, made consistent with the repaired training matrix.

        Parameters
        ----------
        X : array of shape (n_test, n_samples)

        Returns
        -------
        ndarray of shape (n_test, n_samples)
        """
        check_is_fitted(self)
        measured = validate_data(self, X, dtype=np.float64, reset=False)
        rows = measured
        if self.survival_ is not None:
            typical = np.full(len(rows), np.sqrt(np.mean(self.survival_**2)))
            rows = remove_depolarising(rows, int(self.n_qubits or 0), typical, self.survival_)
        rows = rows / (self.scale_ * np.sqrt(np.mean(self.scale_**2)))
        if self.row_map_ is not None:
            rows = rows @ self.row_map_
        if self.unit_diagonal:
            rows = feasible_rows(rows, self.matrix_)
        known = [self.training_rows_.get(_digest(row), -1) for row in measured]
        return np.stack([rows[i] if number < 0 else self.matrix_[number] for i, number in enumerate(known)])

    def fit_transform(self, X: ArrayLike, y: Any = None) -> np.ndarray:
        """The repaired training matrix."""
        return self.fit(X).matrix_.copy()

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = True
        return tags


def _digest(row: np.ndarray) -> bytes:
    return blake2b(np.ascontiguousarray(row).tobytes(), digest_size=16).digest()
