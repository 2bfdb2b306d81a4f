"""Quantum circuits, written once as generators of gates and handed to any simulator, SDK or machine by an adapter.

Bit order: wire 0 is the most significant bit of a basis state, so that amplitude ``0b100`` of three wires has wire 0
in |1⟩. It is PennyLane's wire 0 and ``q[0]`` of OpenQASM. Qiskit counts from the other end: wire w of n is its qubit
n−1−w, in both directions, and amplitudes, unitaries and bit strings read the same on both sides. A program in OpenQASM
that Qiskit reads itself has ``q[0]`` as qubit 0, and needs ``reverse_bits()`` to give the same amplitudes.

Encoders of autoencoders are in `qperov_circuits.qcnn`. Adapters (`qperov_circuits.adapters`: `to_qiskit`,
`from_qiskit`, `to_pennylane`, `from_pennylane`, `to_qasm`) are imported on their own: each needs its SDK.
"""

from __future__ import annotations

from qperov_circuits.amplitude_encoding import amplitude, tree_angles
from qperov_circuits.catalogue import FEATURE_MAPS, FeatureMap, IsingChain, feature_map
from qperov_circuits.entanglement import ENTANGLEMENTS, entangling_pairs
from qperov_circuits.feature_maps import high_dimensional, iqp, ising_chain, peters, z, zz
from qperov_circuits.gate import Angle, Gate, inverse, n_wires
from qperov_circuits.trainable_maps import angle_yz_cx, covariant_ry, heisenberg, hubregtsen

__all__ = [
    "ENTANGLEMENTS",
    "FEATURE_MAPS",
    "Angle",
    "FeatureMap",
    "Gate",
    "IsingChain",
    "amplitude",
    "angle_yz_cx",
    "covariant_ry",
    "entangling_pairs",
    "feature_map",
    "heisenberg",
    "high_dimensional",
    "hubregtsen",
    "inverse",
    "iqp",
    "ising_chain",
    "n_wires",
    "peters",
    "tree_angles",
    "z",
    "zz",
]
