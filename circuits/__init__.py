"""Quantum circuits, written once as generators of gates and handed to any simulator, SDK or machine by an adapter.

Adapters (`circuits.to_qiskit`, `circuits.to_pennylane`, `circuits.to_qasm`) are imported on their own: each needs its
SDK.
"""

from __future__ import annotations

from circuits.feature_maps import ENTANGLEMENTS, entangling_pairs, z, zz
from circuits.gate import Angle, Gate, inverse, n_wires

__all__ = ["ENTANGLEMENTS", "Angle", "Gate", "entangling_pairs", "inverse", "n_wires", "z", "zz"]
