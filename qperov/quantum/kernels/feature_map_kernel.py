"""What all kernels of a feature map share: its parameters, their checks, and the states it prepares."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from inspect import signature
from numbers import Integral, Real
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from qperov_circuits import ENTANGLEMENTS, FEATURE_MAPS, Angle, Gate, feature_map, n_wires
from qperov_circuits import FeatureMap as CircuitMap
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel
from sklearn.utils import check_array

from qperov.errors import KernelSizeError
from qperov.quantum.kernels.memory import KernelMemory
from qperov.quantum.kernels.shots import noise_key
from qperov.quantum.simulation.dual import Dual
from qperov.quantum.simulation.mps import MatrixProductStates, largest_bond, matrix_product_states
from qperov.quantum.simulation.statevector import (
    MAX_QUBITS,
    check_size,
    physical_memory,
    readable,
    states,
    states_and_tangents,
)
from qperov.torch_support import check_device, import_torch

#: A name in `qperov_circuits.FEATURE_MAPS`, a map such as `qperov_circuits.IsingChain`, a function from a list of
#: n_features angles to the gates of a circuit, a parameterised ``qiskit.QuantumCircuit``, or a PennyLane QNode of one
#: argument.
FeatureMap: TypeAlias = str | Callable[[Sequence[Angle]], Iterable[Gate]] | Any

#: Memory that the states of one tile of samples may take; larger sets of states are prepared tile by tile.
TILE_BYTES = 2**28

#: What kernels remember in this process; small enough that joblib does not take a worker for one that leaks memory.
MEMORY = KernelMemory(max_bytes=96 * 2**20)

#: Values of ``bandwidth`` that estimators resolve on their training data, see `qperov.quantum.kernels.bandwidth`.
LEARNT_BANDWIDTHS = ("median", "aligned")

#: Amplitudes for each value of ``precision``.
PRECISIONS: dict[str, np.dtype] = {"double": np.dtype(np.complex128), "single": np.dtype(np.complex64)}

SIMULATORS = ("auto", "statevector", "mps")

#: Time of one multiplication of a matrix product state's tensors, in units of one of a statevector's amplitudes.
TENSOR_COST = 24

#: A feature map as a backend takes it: gates from the scaled features of one sample.
Circuit: TypeAlias = Callable[[Sequence[Angle]], list[Gate]]


class Backend(Protocol):
    """What measures circuits, instead of the exact simulation: `qperov.Backend`, or anything with these two methods."""

    def measure_fidelities(self, circuit: Circuit, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """|⟨φ(x)|φ(y)⟩|² of n_pairs pairs of scaled samples x in rows, y in columns, shape (n_pairs,)."""

    def measure_bloch(self, circuit: Circuit, samples: np.ndarray) -> np.ndarray:
        """⟨X⟩, ⟨Y⟩, ⟨Z⟩ of each qubit of the states of scaled samples, shape (n_samples, n_qubits, 3)."""


class FeatureMapKernel(Kernel):
    """What the two kernels share: the feature map, its states, and the checks of their arguments."""

    family = "quantum"

    feature_map: FeatureMap
    reps: int
    entanglement: str
    n_qubits: int | None
    weights: Sequence[float] | None
    bandwidth: float | Sequence[float] | str
    bandwidth_bounds: tuple[float, float] | str
    shots: int | None
    random_state: int | None
    precision: str
    simulator: str
    tolerance: float
    max_bond: int
    n_jobs: int | None
    device: str | None = None  # files of 0.1 have none
    backend: Backend | None

    @property
    def hyperparameter_bandwidth(self) -> Hyperparameter:
        """The scale of the features, searched on a logarithmic axis; one a feature if it was given so."""
        if isinstance(self.bandwidth, str):
            return Hyperparameter("bandwidth", "string", "fixed")
        n_elements = np.size(self.bandwidth)
        return Hyperparameter("bandwidth", "numeric", self.bandwidth_bounds, n_elements)

    def diag(self, X: ArrayLike) -> np.ndarray:
        """The diagonal of ``self(X)``: ones, shape (n_samples,)."""
        return np.ones(len(self._checked(X)))

    def is_stationary(self) -> bool:
        """False: the kernels depend on more than x − y."""
        return False

    def circuit(self, angles: Sequence[Angle]) -> list[Gate]:
        """Gates that prepare |φ⟩ from the scaled features of one sample, or from arrays of them, one a feature.

        Raises
        ------
        ValueError
            An unknown name, or more features, qubits or weights than the map can do with.
        """
        if (named := self._named_map()) is not None:
            return list(named.gates(angles, self.reps, self.entanglement, self.n_qubits, self.weights))
        return list(_as_generator(self.feature_map, len(angles))(angles))

    def chosen_simulator(self, n_features: int) -> str:
        """ "statevector" or "mps": what ``simulator="auto"`` takes for so many features.

        Of n qubits and bond dimension D, at most, a statevector costs 2ⁿ multiplications a pair and matrix product
        states n·D³, each of which takes `TENSOR_COST` times as long; above 26 qubits there are no statevectors.
        """
        n_qubits = self._n_qubits(n_features)
        if self.simulator != "auto":
            return self.simulator
        if n_qubits > MAX_QUBITS:
            return "mps"
        if 2**n_qubits <= TENSOR_COST * n_qubits * 2**3:  # whatever is entangled has a bond dimension of two at least
            return "statevector"
        bond = largest_bond(self.circuit([0.5] * n_features), n_qubits)
        return "mps" if TENSOR_COST * n_qubits * bond**3 < 2**n_qubits else "statevector"

    def _named_map(self) -> CircuitMap | None:
        """The map of the catalogue, or of its kind; None for a map of the user's own."""
        if isinstance(self.feature_map, str):
            return feature_map(self.feature_map)
        return self.feature_map if isinstance(self.feature_map, CircuitMap) else None

    def __repr__(self) -> str:
        defaults = signature(type(self)).parameters
        shown = {
            name: plain(value)
            for name, value in self.get_params().items()
            if name in ("feature_map", "bandwidth") or np.any(value != defaults[name].default)
        }
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    # --- checks ---------------------------------------------------------------------------------

    def _checked(self, X: ArrayLike, name: str = "X") -> np.ndarray:
        """X as floats of shape (n_samples, n_features), after a look at the parameters too."""
        if self._named_map() is None and (self.n_qubits is not None or self.weights is not None):
            raise ValueError("n_qubits and weights belong to the named feature maps: leave them out for your own")
        if self.entanglement not in ENTANGLEMENTS:
            raise ValueError(f"unknown entanglement {self.entanglement!r}; known are {', '.join(ENTANGLEMENTS)}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be 'double' or 'single', got {self.precision!r}")
        if self.simulator not in SIMULATORS:
            raise ValueError(f"unknown simulator {self.simulator!r}; known are {', '.join(SIMULATORS)}")
        for parameter in ("reps", "n_qubits", "shots", "random_state", "max_bond"):
            value = getattr(self, parameter)
            if value is None and parameter != "reps":
                continue
            if not isinstance(value, Integral):
                raise ValueError(f"{parameter} must be a whole number, got {value!r}")
            if value < 1 and parameter != "random_state":
                raise ValueError(f"{parameter} must be at least 1, got {value}")
        if self.device is not None:
            check_device(self.device)
        if self.shots is not None and self.backend is not None:
            raise ValueError("with a backend the shots are the backend's: leave shots=None")
        samples: np.ndarray = check_array(X, dtype=np.float64, input_name=name)
        self._check_bandwidth(samples.shape[1])
        return samples

    def _check_bandwidth(self, n_features: int) -> None:
        if isinstance(self.bandwidth, str):
            if self.bandwidth in LEARNT_BANDWIDTHS:
                raise ValueError(
                    f"bandwidth={self.bandwidth!r} is found on training data: give the kernel to QuantumSVR, "
                    "QuantumSVC or QuantumKernelRidge, or take the number from "
                    "qperov.quantum.resolved_kernel(kernel, X, y)"
                )
            raise ValueError(
                f"bandwidth must be a number, one a feature, 'median' or 'aligned', got {self.bandwidth!r}"
            )
        values = np.asarray(self.bandwidth, dtype=float)
        if values.ndim > 1 or values.size not in (1, n_features):
            raise ValueError(
                f"bandwidth must be one number, or one for each of {n_features} features, got {values.size}"
            )
        for value in np.atleast_1d(values):
            check_positive("bandwidth", value)

    def _checked_pair(
        self, X: ArrayLike, Y: ArrayLike | None, eval_gradient: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        if Y is not None and eval_gradient:
            raise ValueError("the gradient is available for K(X, X) only: leave Y out")
        inexact = self.shots is not None or self.backend is not None
        if eval_gradient and inexact and not self.hyperparameter_bandwidth.fixed:
            raise ValueError(
                "the gradient is available for exact values only: shots=None and backend=None, or keep the bandwidth "
                "out of the search with bandwidth_bounds='fixed'"
            )
        X = self._checked(X)
        rates = eval_gradient and not self.hyperparameter_bandwidth.fixed
        if rates and (self.simulator == "mps" or self._n_qubits(X.shape[1]) > MAX_QUBITS):
            raise ValueError(
                f"the gradient is available from statevectors of at most {MAX_QUBITS} qubits only: keep the bandwidth "
                "out of the search with bandwidth_bounds='fixed'"
            )
        if Y is not None:
            Y = self._checked(Y, "Y")
            if X.shape[1] != Y.shape[1]:
                raise ValueError(f"X has {X.shape[1]} features and Y has {Y.shape[1]}: they must have the same")
        n, m = len(X), len(X if Y is None else Y)
        needed = 8.0 * n * m * (1 + (np.size(self.bandwidth) if rates else 0))
        if needed > physical_memory():
            raise KernelSizeError(
                f"a kernel matrix of {n} × {m} samples takes {readable(needed)} of memory, the machine has "
                f"{readable(physical_memory())}: write it to a file with qperov.write_gram, or take LandmarkFeatures"
            )
        return X, Y

    # --- states ---------------------------------------------------------------------------------

    def _n_qubits(self, n_features: int) -> int:
        if (named := self._named_map()) is not None:
            return self.n_qubits or named.n_qubits(n_features, self.reps)
        return n_wires(self.circuit([0.0] * n_features))

    def _states(self, X: np.ndarray, n_qubits: int) -> Any:
        """States of samples, shape (n_samples, 2**n_qubits), as a tensor if there is a device."""
        if self.device is None:
            gates = self._gates(X)
        else:
            with np.errstate(over="ignore"):  # the simulator refuses angles that are not finite
                gates = self.circuit(list(import_torch().as_tensor(self._scaled(X), device=self.device).T))
        return states(gates, n_qubits, len(X), dtype=PRECISIONS[self.precision])

    def _chains(self, X: np.ndarray, n_qubits: int) -> MatrixProductStates:
        """States of samples as matrix product states."""
        return matrix_product_states(
            self._gates(X),
            n_qubits,
            len(X),
            tolerance=self.tolerance,
            max_bond=self.max_bond,
            n_jobs=self.n_jobs,
        )

    def _gates(self, X: np.ndarray) -> list[Gate]:
        """The circuits of all samples, one array an angle."""
        with np.errstate(over="ignore", invalid="ignore"):  # the simulator refuses angles that are not finite
            return self.circuit(list(self._scaled(X).T))

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        return np.asarray(self.bandwidth, dtype=float) * X

    def _states_and_rates(self, X: np.ndarray, n_qubits: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """States and their derivatives with respect to the logarithm of each bandwidth, one after the other."""
        scaled = list(self._scaled(X).T)
        constant = np.zeros(len(X))
        n_rates = np.size(self.bandwidth)
        for moving in range(n_rates):
            angles = [Dual(x, x if n_rates == 1 or i == moving else constant) for i, x in enumerate(scaled)]
            try:
                gates = self.circuit(angles)
            except (AttributeError, TypeError, ValueError) as error:
                raise ValueError(
                    f"the gradient cannot be carried through this feature map ({error}): keep to + - * of the angles, "
                    "or keep the bandwidth out of the search with bandwidth_bounds='fixed'"
                ) from error
            yield states_and_tangents(gates, n_qubits, len(X), dtype=PRECISIONS[self.precision])

    def _tile_rows(self, n_qubits: int, n_arrays: int = 1) -> int:
        """Samples whose states, and as many arrays more, fit `TILE_BYTES`."""
        itemsize = PRECISIONS[self.precision].itemsize
        check_size(n_qubits, itemsize=itemsize)
        return max(1, TILE_BYTES // (n_arrays * itemsize * 2**n_qubits))

    # --- memory ---------------------------------------------------------------------------------

    def _key(self, what: str) -> Hashable | None:
        """What values are remembered under; None if they must not be: the map may not be pure, the noise is new.

        The type is in it, since a subclass may have another circuit.
        """
        noisy = self.shots is not None and what != "states"
        if self._named_map() is None or (noisy and self.random_state is None):
            return None
        try:
            hash(self.backend)
        except TypeError:
            return None
        simulation = (self.simulator, self.tolerance, self.max_bond)
        return (type(self), what, *self._settings(noisy), *simulation, self.backend)

    def _settings(self, noisy: bool) -> tuple[Any, ...]:
        """All that the values of a named feature map depend on, as plain numbers and text.

        Bandwidths in twelve digits: a Gaussian process takes them through log and exp, and must find what it measured.
        """
        weights = None if self.weights is None else tuple(map(float, self.weights))
        bandwidth = tuple(float(f"{b:.12g}") for b in np.atleast_1d(np.asarray(self.bandwidth, dtype=float)))
        noise = (self.shots, self.random_state) if noisy else None
        named = self._named_map()
        known = None if named is None else FEATURE_MAPS.get(named.name)
        feature_map = named.name if named is not None and named == known else self.feature_map
        circuit = (feature_map, self.reps, self.entanglement, self.n_qubits, weights, bandwidth)
        return plain((*circuit, self.precision, noise))

    def _noise_key(self, what: str) -> int:
        """Seed of the measurements of this setting."""
        if self.random_state is None:
            return int(np.random.default_rng().integers(2**63))
        settings = self._settings(self.shots is not None) if self._named_map() is not None else ()
        return noise_key(int(self.random_state), what, *settings)


def check_positive(name: str, value: float) -> None:
    """Raise ValueError unless a parameter is positive and finite."""
    if not (isinstance(value, Real) and 0 < value < np.inf):
        raise ValueError(f"{name} must be positive and finite, got {plain(value)!r}")


def plain(value: Any) -> Any:
    """Numbers and arrays of numpy as Python's numbers and lists, in lists too; anything else as it is."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return type(value)(map(plain, value)) if type(value) in (list, tuple) else value


def _as_generator(own: Any, n_features: int) -> Callable[[Sequence[Angle]], Iterable[Gate]]:
    """A user's feature map as a function from angles to gates."""
    package = type(own).__module__.partition(".")[0]
    if package == "qiskit":
        from qperov_circuits.adapters.from_qiskit import from_qiskit

        return from_qiskit(own)
    if package == "pennylane":
        from qperov_circuits.adapters.from_pennylane import from_pennylane

        return from_pennylane(own, n_features)
    if not callable(own):
        raise ValueError(
            "feature_map must be a name, a function from angles to gates, a Qiskit QuantumCircuit or a PennyLane "
            f"QNode, got {own!r}"
        )
    return own
