"""The feature maps by name, behind one signature."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from qperov_circuits.feature_maps import high_dimensional, iqp, ising_chain, peters, z, zz
from qperov_circuits.gate import Angle, Gate
from qperov_circuits.reuploading import check_reps, n_rounds
from qperov_circuits.trainable_maps import (
    angle_yz_cx,
    angle_yz_cx_weights,
    covariant_ry,
    covariant_ry_weights,
    heisenberg,
    heisenberg_weights,
    hubregtsen,
    hubregtsen_weights,
)


@dataclass(frozen=True)
class FeatureMap:
    """A feature map: its generator of gates, and how many qubits and weights it takes.

    Parameters
    ----------
    name : str
        Its name in `FEATURE_MAPS`.
    generator : callable
        The generator function; its docstring has the formula and the source.
    features_per_qubit : int
        Features that one layer writes on each qubit.
    entangles : bool
        Whether it has two-qubit gates.
    takes_entanglement : bool
        Whether ``entanglement`` chooses their pairs; otherwise they are those of its paper, and it has no effect.
    weights : callable or None
        Function of (n_features, reps, n_qubits) that gives the default weights; None: the map is not trainable.
    extra_qubits : int
        Qubits beyond those that the features need.
    spreads : bool
        Whether its reps + 1 blocks hold different features, instead of the same ones in each repetition.
    """

    name: str
    generator: Callable[..., Iterator[Gate]]
    features_per_qubit: int = 1
    entangles: bool = True
    takes_entanglement: bool = False
    weights: Callable[[int, int, int], list[float]] | None = None
    extra_qubits: int = 0
    spreads: bool = False

    @property
    def trainable(self) -> bool:
        """Whether it has weights."""
        return self.weights is not None

    def gates(
        self,
        x: Sequence[Angle],
        reps: int = 2,
        entanglement: str = "linear",
        n_qubits: int | None = None,
        weights: Sequence[Angle] | None = None,
    ) -> Iterator[Gate]:
        """Gates of the circuit.

        Parameters
        ----------
        x : sequence of n_features angles
            Radians; each a number or an array of one angle per sample.
        reps : int
            Number of repetitions.
        entanglement : str
            A pattern of `entangling_pairs`, for the maps that take one.
        n_qubits : int or None
            Number of wires; None: ``self.n_qubits(n_features, reps)``.
        weights : sequence of angles or None
            Trainable angles; None: ``self.default_weights(n_features, reps, n_qubits)``.

        Raises
        ------
        ValueError
            A number that does not fit (features, qubits, repetitions, weights), or an unknown entanglement.
        """
        options: dict[str, Any] = {"n_qubits": self._wires(len(x), n_qubits, reps)} | self._options()
        if self.takes_entanglement:
            options["entanglement"] = entanglement
        if self.trainable:
            options["weights"] = weights
        elif weights is not None and len(weights):
            raise ValueError(f"feature map {self.name!r} takes no weights, got {len(weights)}")
        return self.generator(x, reps, **options)

    def n_qubits(self, n_features: int, reps: int = 2) -> int:
        """Number of qubits that hold the features in one layer, or in all blocks if they are spread over them."""
        if n_features < 1:
            raise ValueError(f"a feature map needs at least one feature, got {n_features}")
        blocks = reps + 1 if self.spreads else 1
        return n_rounds(n_features, blocks * self.features_per_qubit) + self.extra_qubits

    def n_weights(self, n_features: int, reps: int, n_qubits: int | None = None) -> int:
        """Number of weights; 0 if the map is not trainable."""
        return len(self.default_weights(n_features, reps, n_qubits))

    def default_weights(self, n_features: int, reps: int, n_qubits: int | None = None) -> list[float]:
        """Weights to start from, always the same ones; empty if the map is not trainable."""
        wires = self._wires(n_features, n_qubits, reps)
        return [] if self.weights is None else self.weights(n_features, reps, wires)

    def _options(self) -> dict[str, Any]:
        """Further arguments of the generator."""
        return {}

    def _wires(self, n_features: int, n_qubits: int | None, reps: int) -> int:
        check_reps(reps)
        default = self.n_qubits(n_features, reps)
        if n_qubits is None:
            return default
        if n_qubits < 1 + self.extra_qubits:
            raise ValueError(
                f"feature map {self.name!r} needs n_qubits of at least {1 + self.extra_qubits}, got {n_qubits}"
            )
        return n_qubits


@dataclass(frozen=True, init=False, repr=False)
class IsingChain(FeatureMap):
    """The map `ising_chain` with couplings of a reach and strength of one's own.

    Parameters
    ----------
    distance : int
        Farthest qubits along the chain that are coupled.
    gamma : float
        γ > 0; no bandwidth, see `ising_chain`.

    Raises
    ------
    ValueError
        A distance below 1 or a γ that is not positive and finite.
    """

    distance: int = 1
    gamma: float = 0.1

    def __init__(self, distance: int = 1, gamma: float = 0.1) -> None:
        super().__init__("ising_chain", ising_chain)
        object.__setattr__(self, "distance", distance)
        object.__setattr__(self, "gamma", gamma)
        list(self.gates([0.0], 1))  # refuses what the map refuses

    def __repr__(self) -> str:
        return f"IsingChain(distance={self.distance}, gamma={self.gamma})"

    def _options(self) -> dict[str, Any]:
        return {"distance": self.distance, "gamma": self.gamma}


def feature_map(name: str) -> FeatureMap:
    """The feature map of a name.

    Raises
    ------
    ValueError
        There is none; the message lists those that there are.
    """
    if name not in FEATURE_MAPS:
        raise ValueError(f"unknown feature map {name!r}; known are {', '.join(FEATURE_MAPS)}")
    return FEATURE_MAPS[name]


#: All feature maps, by name; it cannot be changed.
FEATURE_MAPS: Mapping[str, FeatureMap] = MappingProxyType(
    {
        known.name: known
        for known in (
            FeatureMap("zz", zz, takes_entanglement=True),
            FeatureMap("z", z, entangles=False),
            FeatureMap("iqp", iqp, takes_entanglement=True),
            FeatureMap("high_dimensional", high_dimensional, features_per_qubit=3),
            FeatureMap("angle_yz_cx", angle_yz_cx, features_per_qubit=2, weights=angle_yz_cx_weights),
            FeatureMap("hubregtsen", hubregtsen, weights=hubregtsen_weights),
            FeatureMap(
                "covariant_ry",
                covariant_ry,
                features_per_qubit=2,
                takes_entanglement=True,
                weights=covariant_ry_weights,
            ),
            FeatureMap("heisenberg", heisenberg, weights=heisenberg_weights, extra_qubits=1),
            IsingChain(),
            FeatureMap("peters", peters, features_per_qubit=3, spreads=True),
        )
    }
)
