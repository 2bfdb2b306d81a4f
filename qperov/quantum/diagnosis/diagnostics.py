"""Why a quantum kernel works or fails on given data: one call, a table and a figure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.spatial.distance import pdist
from sklearn.gaussian_process.kernels import RBF, Kernel
from sklearn.utils import check_array

from qperov.quantum.diagnosis.expressibility import expressibility_of
from qperov.quantum.gram.concentration import (
    Concentration,
    OffDiagonalStatistics,
    concentration,
    concentration_warning,
    minimum_shots,
    off_diagonal_statistics,
)
from qperov.quantum.gram.geometry import (
    effective_rank,
    geometric_difference,
    kernel_target_alignment,
    model_complexity,
    spectrum,
)
from qperov.quantum.gram.matrix import with_unit_diagonal
from qperov.quantum.kernels.bandwidth import resolved_kernel
from qperov.quantum.kernels.feature_map_kernel import FeatureMapKernel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Shots to judge an exact kernel by.
SHOTS = 1024

#: Qubits up to which `diagnose` gives the expressibility: with more, the fidelities of almost any two states lie in the
#: first of its bins, and those of any map would seem random.
EXPRESSIBILITY_QUBITS = 10


@dataclass(frozen=True, eq=False, repr=False)
class KernelDiagnosis:
    """What `diagnose` found.

    Parameters
    ----------
    kernel : Kernel
        The kernel as examined: without shots, and with numbers for bandwidths.
    classical : Kernel
        What it is compared with.
    K, K_classical : ndarray of shape (n_samples, n_samples)
        The kernel's matrix and the classical one's, scaled to ones on the diagonal.
    y : ndarray of shape (n_samples,) or None
        The target.
    statistics : OffDiagonalStatistics
    concentration : Concentration
        Spread against shot noise.
    minimum_shots : float
        Shots that resolve the spread.
    eigenvalues : ndarray of shape (n_samples,)
        Spectrum of K, largest first.
    effective_rank : float
    geometric_difference : float
        g(K_C‖K_Q).
    alignment, alignment_classical : float or None
        Centred alignment of either kernel with y; None without y.
    complexity, complexity_classical : float or None
        s of the centred target, divided by its variance, so that s/N compares with 1; None without y.
    expressibility : float or None
        Of the feature map, over inputs of its own; None for other kernels and for more than 10 qubits.
    factor : float
        How many times the shot noise the spread shall be.
    regularisation : float
        λ of the geometric difference and the complexities.
    near_identity : bool
        No entry off the diagonal is large enough to learn from, whatever the number of shots.
    """

    kernel: Kernel
    classical: Kernel
    K: np.ndarray
    K_classical: np.ndarray
    y: np.ndarray | None
    statistics: OffDiagonalStatistics
    concentration: Concentration
    minimum_shots: float
    eigenvalues: np.ndarray
    effective_rank: float
    geometric_difference: float
    alignment: float | None
    alignment_classical: float | None
    complexity: float | None
    complexity_classical: float | None
    expressibility: float | None
    factor: float
    regularisation: float
    near_identity: bool

    @property
    def concentrated(self) -> bool:
        """Whether the matrix is close to the identity, or its spread is lost in the noise of the shots given."""
        return self.near_identity or self.concentration.shots < self.minimum_shots

    @property
    def table(self) -> pd.DataFrame:
        """One row a quantity: its name, its value, and what it means."""
        n, c, statistics = len(self.K), self.concentration, self.statistics
        same = f"the same of {self.classical}"
        rows: list[tuple[str, float | None, str]] = [
            ("mean off-diagonal entry", statistics.mean, "near 0: all samples look unrelated"),
            ("median off-diagonal entry", statistics.median, "about 0.5 for bandwidth='median'"),
            ("pairs taken for one sample", statistics.n_same, f"K = 1, of {statistics.n_pairs} pairs; left out below"),
            ("spread of the entries", c.spread, "standard deviation; vanishes exponentially when concentrated"),
            (f"shot noise at {c.shots} shots", c.shot_noise, "standard error of a measured fidelity"),
            ("spread / shot noise", c.resolution, f"below {self.factor:g} the entries cannot be told apart"),
            ("minimum shots", self.minimum_shots, f"for a spread of {self.factor:g} times the noise"),
            ("explained variance bound", min(c.explained, 1.0), "best R² of a near-identity matrix; 1: no limit seen"),
            ("effective rank", self.effective_rank, f"1: constant kernel; {n}: identity, nothing is generalised"),
            (
                "geometric difference g",
                self.geometric_difference,
                f"near 1: no target favours the quantum kernel; √N = {math.sqrt(n):.3g}: some could",
            ),
            ("target alignment", self.alignment, "1: the kernel orders samples as the target does"),
            ("target alignment, classical", self.alignment_classical, same),
            (
                "complexity s / N",
                _per(self.complexity, n),
                "the lower, the simpler the target; but 1 for the identity, which learns nothing",
            ),
            ("complexity s / N, classical", _per(self.complexity_classical, n), same),
            ("expressibility", self.expressibility, "0: at full angles the circuit's states are as random as can be"),
        ]
        known = [row for row in rows if row[1] is not None]
        return pd.DataFrame(known, columns=["quantity", "value", "meaning"])

    def figure(self) -> Figure:
        """Four panels: entries with the shot-noise band, spectrum, matrix, and quantum against classical."""
        from qperov.quantum.diagnosis.figure import draw

        return draw(self)

    @property
    def verdict(self) -> str:
        """Whether the kernel is concentrated, in one sentence."""
        if self.near_identity:
            return "Concentrated: the matrix is close to the identity and nothing can be learned from it"
        if self.concentrated:
            return f"Concentrated: {self.concentration.shots} shots do not resolve the entries"
        return f"Not concentrated: {self.concentration.shots} shots resolve the entries"

    def __repr__(self) -> str:
        return f"<KernelDiagnosis of {self.kernel} on {len(self.K)} samples>"

    def __str__(self) -> str:
        width = max(len(name) for name in self.table["quantity"])
        lines = [f"{self.kernel} on {len(self.K)} samples", self.verdict]
        lines += [f"  {row.quantity:<{width}}  {row.value:>10.4g}  {row.meaning}" for row in self.table.itertuples()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        table = self.table.to_html(index=False, float_format="{:.4g}".format)
        return f"<p>{escape(f'{self.kernel} on {len(self.K)} samples')}. {escape(self.verdict)}.</p>{table}"


def diagnose(
    kernel: Kernel,
    X: ArrayLike,
    y: ArrayLike | None = None,
    *,
    shots: int | None = None,
    classical: Kernel | None = None,
    factor: float = 2.0,
    regularisation: float = 1e-3,
) -> KernelDiagnosis:
    """Examine a kernel on given data: concentration, spectrum, alignment, and the distance to a classical kernel.

    Shot noise is that of fidelities measured as frequencies, whatever the kernel.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel
        A quantum kernel or any other; a bandwidth of "median" or "aligned" is found on the data. Values are exact even
        if the kernel has shots, and matrices are scaled to ones on the diagonal.
    X : array of shape (n_samples, n_features)
        At least two samples. Takes O(N³) time.
    y : array of shape (n_samples,) or None
        Target values, or ±1 for two classes.
    shots : int or None
        Repetitions of each circuit that one can afford; None for those of the kernel, or 1024 if it is exact.
    classical : Kernel or None
        What to compare with; None for the RBF whose length scale is the median distance of the samples.
    factor : float
        How many times the shot noise the spread of the entries shall be.
    regularisation : float
        λ of the geometric difference and of the complexities, see `geometric_difference`.

    Raises
    ------
    ValueError
        Fewer than two samples, NaN, labels that are not numbers, a parameter out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from qperov.quantum.kernels.fidelity import FidelityKernel
    >>> X = np.random.default_rng(0).normal(size=(20, 8))
    >>> diagnose(FidelityKernel("zz", bandwidth=3.0), X).verdict
    'Concentrated: the matrix is close to the identity and nothing can be learned from it'
    """
    samples = check_array(X, dtype=np.float64, ensure_min_samples=2)
    target = None
    if y is not None:
        target = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
        if target.shape != (len(samples),):
            raise ValueError(f"y must have shape ({len(samples)},), got {target.shape}")
        if np.ptp(target) == 0:
            raise ValueError("y is the same for all samples: leave it out")
    kernel = resolved_kernel(kernel, samples, target)
    measured = {name: value for name, value in kernel.get_params().items() if name.rpartition("__")[2] == "shots"}
    kernel.set_params(**dict.fromkeys(measured))
    if shots is None:
        shots = min((value for value in measured.values() if value is not None), default=SHOTS)
    K = with_unit_diagonal(kernel(samples))
    classical = median_rbf(samples) if classical is None else resolved_kernel(classical, samples, target)
    K_classical = with_unit_diagonal(classical(samples))
    scores: list[float | None] = [None] * 4
    if target is not None:
        standard = (target - target.mean()) / target.std()
        matrices = (K, K_classical)
        scores = [_alignment(matrix, target) for matrix in matrices]
        scores += [model_complexity(matrix, standard, regularisation) for matrix in matrices]
    return KernelDiagnosis(
        kernel=kernel,
        classical=classical,
        K=K,
        K_classical=K_classical,
        y=target,
        statistics=off_diagonal_statistics(K),
        concentration=concentration(K, shots),
        minimum_shots=minimum_shots(K, factor),
        eigenvalues=spectrum(K),
        effective_rank=effective_rank(K),
        geometric_difference=geometric_difference(K_classical, K, regularisation),
        alignment=scores[0],
        alignment_classical=scores[1],
        complexity=scores[2],
        complexity_classical=scores[3],
        expressibility=_expressibility(kernel, samples.shape[1]),
        factor=factor,
        regularisation=regularisation,
        near_identity=concentration_warning(K) is not None,
    )


def median_rbf(X: np.ndarray) -> RBF:
    """The Gaussian kernel exp(−d²/2ℓ²) whose ℓ is the median distance of distinct samples.

    Raises
    ------
    ValueError
        All samples are the same.
    """
    distances = pdist(X)
    distances = distances[distances > 0]
    if len(distances) == 0:
        raise ValueError("all samples are the same: there is no distance to scale a kernel by")
    return RBF(float(np.median(distances)))


def _alignment(K: np.ndarray, y: np.ndarray) -> float | None:
    """None for a kernel that is constant, which is aligned with nothing."""
    return None if np.ptp(K) < 1e-14 else kernel_target_alignment(K, y)


def _expressibility(kernel: Kernel, n_features: int) -> float | None:
    if not isinstance(kernel, FeatureMapKernel) or kernel._n_qubits(n_features) > EXPRESSIBILITY_QUBITS:
        return None
    return expressibility_of(kernel, n_features)


def _per(total: float | None, n_samples: int) -> float | None:
    return None if total is None else total / n_samples
