"""What all kernels of a feature map share: its parameters, their checks, and the states it prepares."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel
from sklearn.utils import check_array

from circuits import ENTANGLEMENTS, Angle, Gate, n_wires, z, zz
from qperov.quantum.cache import ArrayCache, fingerprint
from qperov.quantum.dual import Dual
from qperov.quantum.statevector import check_size, states, states_and_tangents

#: ``"zz"``, ``"z"``, or a function from a list of n_features angles to the gates of a circuit.
FeatureMap: TypeAlias = str | Callable[[Sequence[Angle]], Iterable[Gate]]

#: Memory that the states of one tile of samples may take; larger sets of states are prepared tile by tile.
TILE_BYTES = 2**27

#: States and matrices of this process; small enough that joblib does not take a worker for one that leaks memory.
CACHE = ArrayCache(max_bytes=96 * 2**20)


class FeatureMapKernel(Kernel):
    """What the two kernels share: the feature map, its states, and the checks of their arguments."""

    feature_map: FeatureMap
    reps: int
    entanglement: str
    bandwidth: float
    bandwidth_bounds: tuple[float, float] | str

    @property
    def hyperparameter_bandwidth(self) -> Hyperparameter:
        """The scale of the features, searched on a logarithmic axis."""
        return Hyperparameter("bandwidth", "numeric", self.bandwidth_bounds)

    def diag(self, X: ArrayLike) -> np.ndarray:
        """The diagonal of ``self(X)``: ones, shape (n_samples,)."""
        return np.ones(len(self._checked(X)))

    def is_stationary(self) -> bool:
        """False: the kernels depend on more than x − y."""
        return False

    def __repr__(self) -> str:
        parameters = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({parameters})"

    def _checked(self, X: ArrayLike, name: str = "X") -> np.ndarray:
        """X as floats of shape (n_samples, n_features), after a look at the parameters too."""
        if isinstance(self.feature_map, str) and self.feature_map not in ("zz", "z"):
            raise ValueError(
                f"unknown feature map {self.feature_map!r}; known are 'zz', 'z', and any function x -> gates"
            )
        if self.entanglement not in ENTANGLEMENTS:
            raise ValueError(f"unknown entanglement {self.entanglement!r}; known are {', '.join(ENTANGLEMENTS)}")
        if self.reps < 1:
            raise ValueError(f"reps must be at least 1, got {self.reps}")
        check_positive("bandwidth", self.bandwidth)
        return check_array(X, dtype=np.float64, input_name=name)

    def _checked_pair(
        self, X: ArrayLike, Y: ArrayLike | None, eval_gradient: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        if Y is not None and eval_gradient:
            raise ValueError("the gradient is available for K(X, X) only: leave Y out")
        X = self._checked(X)
        if Y is None:
            return X, None
        Y = self._checked(Y, "Y")
        if X.shape[1] != Y.shape[1]:
            raise ValueError(f"X has {X.shape[1]} features and Y has {Y.shape[1]}: they must have the same")
        return X, Y

    def _gates(self, angles: Sequence[Angle]) -> list[Gate]:
        if not isinstance(self.feature_map, str):
            return list(self.feature_map(angles))
        if self.feature_map == "zz":
            return list(zz(angles, self.reps, self.entanglement))
        return list(z(angles, self.reps))

    def _n_qubits(self, X: np.ndarray) -> int:
        if isinstance(self.feature_map, str):
            return X.shape[1]
        return n_wires(self._gates([0.0] * X.shape[1]))

    def _states(self, X: np.ndarray, n_qubits: int, with_tangents: bool = False) -> tuple[np.ndarray, ...]:
        """States of samples, and on request their derivatives with respect to log(bandwidth)."""
        with np.errstate(over="ignore", invalid="ignore"):  # the simulator refuses angles that are not finite
            scaled = list(self.bandwidth * X.T)
            gates = self._gates([Dual(x, x) for x in scaled] if with_tangents else scaled)
        if with_tangents:
            return states_and_tangents(gates, n_qubits, len(X))
        return (states(gates, n_qubits, len(X)),)

    def _key(self, what: str, *arrays: np.ndarray | None) -> Hashable | None:
        """Key of a result in the cache: the feature map's settings and the arrays' content; None for a callable."""
        if not isinstance(self.feature_map, str):
            return None
        settings = (what, self.feature_map, self.reps, self.entanglement, float(self.bandwidth))
        return (*settings, *(None if array is None else fingerprint(array) for array in arrays))

    def _tiles(self, X: np.ndarray, n_qubits: int, itemsize: int) -> list[np.ndarray]:
        """X cut into runs of samples whose states fit `TILE_BYTES`."""
        check_size(n_qubits, itemsize=itemsize)
        rows = max(1, TILE_BYTES // (itemsize * 2**n_qubits))
        return [X[start : start + rows] for start in range(0, len(X), rows)]


def check_positive(name: str, value: float) -> None:
    """Raise ValueError unless a parameter is positive and finite."""
    if not 0 < value < np.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}")
